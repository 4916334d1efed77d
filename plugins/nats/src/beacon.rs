use crate::config::{Login, Servers, Tls, default_urls, timeout};
use crate::link::{Fault, Link};
use crate::stream;
use async_trait::async_trait;
use bytes::Bytes;
use futures_util::StreamExt as _;
use metlog_pipeline::registry::Configured;
use metlog_pipeline::{Air, Beacon, BeaconEntry, Stop, Word, inventory};
use metlog_settings::Span;
use serde::Deserialize;
use std::time::Duration;

/// Words that wait to be heard: every router of a large fleet may say one at the same moment.
const AHEAD: usize = 1024;

/// So long the last word may take.
const FAREWELL: Duration = Duration::from_secs(1);

/// Settings of `[fleet]` with `type = "nats"`.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct BeaconConfig {
    /// The servers of one cluster, any of which will do. `nats://127.0.0.1:4222` by default.
    #[serde(default = "default_urls")]
    pub urls: Vec<String>,
    /// Who we are there.
    #[serde(default)]
    pub login: Login,
    /// How connections are encrypted.
    #[serde(default)]
    pub tls: Tls,
    /// The subject that all routers of the fleet share, and nothing else uses: no stream takes it. `metlog-fleet` by default.
    #[serde(default = "subject")]
    pub subject: String,
    /// For connecting. `10s` by default.
    #[serde(default = "timeout")]
    pub timeout: Span,
}

/// Not below `metlog.`, which is what a stream of messages takes if nothing else is said.
fn subject() -> String {
    "metlog-fleet".to_owned()
}

/// The servers, if all of it can be meant.
fn plan(config: &BeaconConfig) -> Result<Servers, String> {
    let subject = &config.subject;
    if stream::check_pattern("subject", subject).is_err() || subject.contains(['*', '>']) || subject.contains('$') {
        return Err(format!("`subject`: `{subject}` is no subject of one fleet; one is written like `metlog-fleet`"));
    }
    Servers::new(&config.urls, &config.login, &config.tls, config.timeout)
}

/// Says and hears words under one subject.
pub struct NatsBeacon {
    servers: Servers,
    subject: String,
}

impl Configured for NatsBeacon {
    type Config = BeaconConfig;

    fn check(config: &BeaconConfig) -> Result<(), String> {
        plan(config).map(drop)
    }

    fn examine(config: &BeaconConfig) -> Result<Vec<String>, String> {
        plan(config)?.examine()
    }

    /// Connects only when it runs: a router starts without the others.
    fn open(config: BeaconConfig) -> Result<Self, String> {
        Ok(NatsBeacon { servers: plan(&config)?, subject: config.subject })
    }
}

inventory::submit! { BeaconEntry::of::<NatsBeacon>("nats", &[], include_str!("../example.fleet.toml")) }

#[async_trait]
impl Beacon for NatsBeacon {
    fn place(&self) -> String {
        format!("{}, subject {}", self.servers.place(), self.subject)
    }

    async fn run(self: Box<Self>, air: Air, stop: Stop) -> Result<(), String> {
        let link = tokio::select! {
            link = Link::open_for_latest(&self.servers, AHEAD) => link.map_err(Fault::why)?,
            () = stop.stopped() => return Ok(()),
        };
        self.talk(&link, air, &stop).await.map_err(Fault::why)
    }
}

impl NatsBeacon {
    async fn talk(&self, link: &Link, mut air: Air, stop: &Stop) -> Result<(), Fault> {
        let heard = link.client.subscribe(self.subject.clone()).await;
        let mut heard = heard.map_err(|error| Fault::Away(format!("nothing can be heard from NATS: {error}")))?;
        let mut missed = 0;
        loop {
            tokio::select! {
                biased;
                fault = link.broken() => return Err(fault),
                () = stop.stopped() => break,
                word = air.word() => link.answer(self.say(link, word)).await??,
                said = heard.next() => match said {
                    Some(said) => air.hear(&said.payload),
                    None => return Err(Fault::Away("the connection to NATS was lost".to_owned())),
                },
            }
            let now = link.missed();
            if now > missed {
                air.missed(now - missed);
                missed = now;
            }
        }
        // What was said a moment ago may not have left this process yet.
        let farewell = async {
            if let Some(word) = air.left() {
                self.say(link, word).await?;
            }
            link.client.flush().await.map_err(|error| Fault::Away(error.to_string()))
        };
        // If it takes longer, the others hear nothing more of us, and will say so.
        let _ = tokio::time::timeout(FAREWELL, farewell).await;
        Ok(())
    }

    async fn say(&self, link: &Link, word: Word) -> Result<(), Fault> {
        let said = link.client.publish(self.subject.clone(), Bytes::from_owner(word)).await;
        said.map_err(|error| Fault::Away(format!("nothing can be said over NATS: {error}")))
    }
}
