use metlog_http::forward::{self, PER_REQUEST};
use metlog_http::{
    Blocking, Codec, Compress, Connection, Delivery, Options, Post, Rejected, Taken, Trouble, to_router,
};
use metlog_pipeline::registry::Configured;
use metlog_pipeline::{Endpoint, EndpointEntry, Pacing, Picked, SendError, inventory};
use metlog_settings::{Secret, Span};
use serde::Deserialize;
use std::collections::BTreeSet;
use std::path::PathBuf;
use std::time::Duration;

/// What is larger than this expanded has to be at least a hundredth of it compressed, or it is taken for a bomb.
const BYTES: usize = 1024 * 1024;

/// How long a message waits for company: a request and its sync cost the same for one and for thousands.
const WAIT: Duration = Duration::from_millis(50);

/// Smaller bodies are not compressed.
const COMPRESS_ABOVE: usize = 1024;

/// Settings of the `router` endpoint.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// The other router. Without a path, `/v1/messages` is meant.
    pub url: String,
    /// Sent as `Authorization: Bearer …`.
    pub key: Option<Secret>,
    /// File that holds the key; read again after a 401 or 403.
    pub key_file: Option<PathBuf>,
    /// `auto` (zstd, then gzip, then nothing, as far as what stands between understands it), `gzip`, `zstd` or `none`.
    #[serde(default)]
    pub compress: Codec,
    /// For one request and its answer, which comes when the other router's disk has it.
    #[serde(default = "timeout")]
    pub timeout: Span,
    /// TLS, time to connect, further headers.
    #[serde(default)]
    pub connection: Connection,
}

fn timeout() -> Span {
    Span(Duration::from_secs(30))
}

/// Forwards.
#[derive(Debug)]
pub struct RouterEndpoint {
    client: Blocking,
    delivery: Delivery,
    compress: Codec,
    /// The other router's number, once it has refused something that had been there.
    peer: Option<String>,
}

/// One message of a batch.
struct Item<'a> {
    id: u64,
    line: &'a [u8],
    /// Where it has been before.
    passed: &'a str,
}

impl Item<'_> {
    fn has_been_at(&self, router: &str) -> bool {
        self.passed.split(',').any(|passed| passed == router)
    }
}

impl Endpoint for RouterEndpoint {
    fn write(&mut self, batch: &Picked<'_>) -> Result<(), SendError> {
        let RouterEndpoint { client, delivery, compress, peer } = self;
        let own = forward::number(batch.spool());
        let from = forward::from(batch.spool(), batch.endpoint());
        let map = |at: usize, line| {
            let id = batch.ids().get(at).copied().ok_or("it has no id")?;
            Ok(Item { id, line, passed: batch.passed(id) })
        };
        delivery.deliver_placed(batch.lines(), map, |items| {
            let mut hop = Hop { client, compress: *compress, own: &own, from: &from };
            hop.post(items, peer)
        })
    }

    fn reopen(&mut self) {
        self.peer = None;
    }

    fn pacing(&self) -> Pacing {
        Pacing { messages: PER_REQUEST, bytes: BYTES, wait: WAIT, ..Pacing::default() }
    }
}

/// What one request needs.
struct Hop<'a> {
    client: &'a mut Blocking,
    compress: Codec,
    own: &'a str,
    from: &'a str,
}

impl Hop<'_> {
    /// Sends what has not been there; what has is refused without asking for each.
    fn post(&mut self, items: &[Item<'_>], peer: &mut Option<String>) -> Result<Taken, Trouble> {
        loop {
            let looping = |item: &Item<'_>| peer.as_deref().is_some_and(|peer| item.has_been_at(peer));
            let (mut places, mut good, mut rejected) = (Vec::new(), Vec::new(), Vec::new());
            for (at, item) in items.iter().enumerate() {
                if looping(item) {
                    let why = format!("a loop: it has been at that router before, on its way over {}", item.passed);
                    rejected.push(Rejected { at, why });
                } else {
                    places.push(at);
                    good.push(item);
                }
            }
            if good.is_empty() {
                return Ok(Taken { rejected, note: None });
            }
            match self.request(&good) {
                Ok(taken) => {
                    let placed = |one: Rejected| Some(Rejected { at: *places.get(one.at)?, why: one.why });
                    rejected.extend(taken.rejected.into_iter().filter_map(placed));
                    return Ok(Taken { rejected, note: taken.note });
                }
                Err(Trouble::Refuse { status: forward::LOOPING, why }) => {
                    let heard = self.client.heard().map(str::to_owned);
                    let new = heard.filter(|number| good.iter().any(|item| item.has_been_at(number)));
                    match new {
                        Some(number) => *peer = Some(number),
                        // That router is this one.
                        None if self.client.heard() == Some(self.own) => {
                            return Err(Trouble::pause(format!("check the URL: it leads back to this router: {why}")));
                        }
                        None => return Err(Trouble::Refuse { status: forward::LOOPING, why }),
                    }
                }
                // It is about the request: no message is to blame.
                Err(Trouble::Refuse { status: forward::MISTAKEN, why }) => {
                    return Err(Trouble::pause(format!("{why} (does something in between change headers or bodies?)")));
                }
                Err(trouble) => return Err(trouble),
            }
        }
    }

    fn request(&mut self, items: &[&Item<'_>]) -> Result<Taken, Trouble> {
        let ids = forward::write_ids(items.iter().map(|item| item.id));
        let routers: BTreeSet<&str> = items.iter().flat_map(|item| item.passed.split(',')).collect();
        let passed: Vec<&str> = routers.into_iter().chain([self.own]).filter(|router| !router.is_empty()).collect();
        let passed = passed.join(",");
        if items.len() > 1 && ids.len().max(passed.len()) > forward::LONGEST {
            // As if the other one had found it too large: it goes in parts.
            return Err(Trouble::Refuse { why: "too many ids for one header".to_owned(), status: 413 });
        }
        let headers = [(forward::FROM, self.from.to_owned()), (forward::IDS, ids), (forward::PASSED, passed)];
        let lines: Vec<&[u8]> = items.iter().map(|item| item.line).collect();
        let post =
            |codec: Codec| Post::lines("application/x-ndjson", &lines, Compress { codec, above: COMPRESS_ABOVE });
        let mut reply = self.client.post_with(post(self.compress), &headers);
        if items.len() == 1 && matches!(reply, Err(Trouble::Refuse { status: 413, .. })) && self.compress != Codec::None
        {
            // A message of one letter over and over looks like a bomb when it is compressed.
            reply = self.client.post_with(post(Codec::None), &headers);
        }
        Ok(Taken::by_router(&reply?, items.len()))
    }
}

impl Configured for RouterEndpoint {
    type Config = Config;

    fn check(config: &Config) -> Result<(), String> {
        config.connection.check()?;
        to_router(&config.url, config.key.clone(), config.key_file.clone()).map(drop)
    }

    fn examine(config: &Config) -> Result<Vec<String>, String> {
        config.connection.examine()
    }

    fn open(config: Config) -> Result<Self, String> {
        let (address, options) = to_router(&config.url, config.key, config.key_file)?;
        let (connection, timeout) = (config.connection, config.timeout.duration());
        let options = Options { connection, timeout, hear: Some(forward::LOOP), ..options };
        Ok(RouterEndpoint {
            client: Blocking::new(address, options)?,
            delivery: Delivery::new(PER_REQUEST),
            compress: config.compress,
            peer: None,
        })
    }
}

inventory::submit! { EndpointEntry::of::<RouterEndpoint>("router", &[], include_str!("../example.endpoint.toml")) }
