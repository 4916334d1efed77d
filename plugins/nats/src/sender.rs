use crate::config::{Login, Servers, Tls, default_urls, timeout};
use crate::publisher::{Plan, Publisher};
use crate::stream::StreamConfig;
use crate::subject::Template;
use metlog_message::Lines;
use metlog_pipeline::registry::Configured;
use metlog_pipeline::{Pacing, SendError, Sender, SenderEntry, inventory};
use metlog_settings::Span;
use serde::Deserialize;
use std::time::Duration;

/// Settings of the `nats` sender and endpoint.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SenderConfig {
    /// The servers of one cluster, any of which will do. `nats://127.0.0.1:4222` by default.
    #[serde(default = "default_urls")]
    pub urls: Vec<String>,
    /// Who we are there.
    #[serde(default)]
    pub login: Login,
    /// How connections are encrypted.
    #[serde(default)]
    pub tls: Tls,
    /// Under which subject a message goes; `{type}`, `{severity}` and `{logger}` stand for one token each.
    #[serde(default = "subject")]
    pub subject: String,
    /// The stream, which is made if it is not there, and else compared. Without it whichever takes the subject will do.
    pub stream: Option<StreamConfig>,
    /// For connecting, and for one batch with its confirmations. `10s` by default.
    #[serde(default = "timeout")]
    pub timeout: Span,
    /// Of an endpoint: this router's name in the ids of messages that bring none. The host's by default.
    pub router: Option<String>,
}

fn subject() -> String {
    "metlog.{type}.{severity}.{logger}".to_owned()
}

/// Messages and bytes of one batch: some windows full, so that waiting for the last confirmations is a small part.
pub(crate) const PACING: Pacing =
    Pacing { messages: 4096, bytes: 2 * 1024 * 1024, wait: Duration::ZERO, min_interval: Duration::ZERO };

impl SenderConfig {
    pub(crate) fn plan(&self) -> Result<Plan, String> {
        let servers = Servers::new(&self.urls, &self.login, &self.tls, self.timeout)?;
        let template = Template::parse(&self.subject)?;
        if let Some(stream) = &self.stream {
            stream.check()?;
            let subjects = stream.subjects();
            if !template.fits(&subjects) {
                return Err(format!(
                    "`subject` is `{}`, which a stream of {} does not take; widen `stream.subjects`",
                    self.subject,
                    subjects.join(", ")
                ));
            }
        }
        let router = self.router.clone().unwrap_or_else(host);
        Ok(Plan { servers, stream: self.stream.clone(), template, router })
    }
}

fn host() -> String {
    let name = std::fs::read_to_string("/proc/sys/kernel/hostname").unwrap_or_default();
    if name.trim().is_empty() { "router".to_owned() } else { name.trim().to_owned() }
}

/// Publishes messages to a stream.
pub struct NatsSender(Publisher);

impl Sender for NatsSender {
    fn send(&mut self, batch: &Lines) -> Result<(), SendError> {
        self.0.publish(batch, &[])
    }

    fn close(&mut self, within: Duration) -> Result<(), SendError> {
        self.0.close(within);
        Ok(())
    }

    fn pacing(&self) -> Pacing {
        PACING
    }
}

impl Configured for NatsSender {
    type Config = SenderConfig;

    fn check(config: &SenderConfig) -> Result<(), String> {
        if config.router.is_some() {
            return Err("`router` is for endpoints; a client's messages have ids of their own".into());
        }
        config.plan().map(drop)
    }

    fn examine(config: &SenderConfig) -> Result<Vec<String>, String> {
        config.plan()?.servers.examine()
    }

    fn open(config: SenderConfig) -> Result<Self, String> {
        Publisher::start(config.plan()?).map(NatsSender)
    }
}

inventory::submit! { SenderEntry::of::<NatsSender>("nats", &[], include_str!("../example.toml")) }
