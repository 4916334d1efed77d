use crate::echo::{self, Echo};
use crate::endpoint::check;
use crate::frames::{Limit, cut};
use crate::handshake::{Verdict, watch};
use crate::link::Way;
use crate::publisher::{Publisher, Terms};
use metlog_message::Lines;
use metlog_pipeline::registry::Configured;
use metlog_pipeline::{Pacing, SendError, Sender, SenderEntry, inventory};
use metlog_settings::Span;
use serde::de::{Error, Visitor};
use serde::{Deserialize, Deserializer};
use std::sync::Arc;
use std::time::Duration;

/// Where the messages go, and how to find out whether somebody is there.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct HandshakeConfig {
    /// The router's REP endpoint.
    pub handshake_bind: String,
    /// The router's SUB endpoint, one only.
    pub connect_bind: String,
    /// How long a handshake may take: a number is milliseconds.
    #[serde(default = "handshake_timeout")]
    pub handshake_timeout: Millis,
    /// How long until the next handshake: a number is seconds.
    #[serde(default = "livecheck")]
    pub livecheck: Span,
    /// The most messages in hand at once.
    #[serde(default = "hwm")]
    pub hwm: usize,
    /// How long a batch waits for the router's subscription before it is diverted.
    #[serde(default = "connect_wait")]
    pub connect_wait: Span,
    /// How long the router may take over one batch before it loses the connection.
    #[serde(default = "send_timeout")]
    pub send_timeout: Span,
    /// Every message is also written to standard error, one line each. A diverted message is written once.
    #[serde(default)]
    pub debug_stderr: bool,
    /// Accepted, and without effect: there is one socket, which keeps messages in order, and one handshake.
    #[serde(default)]
    pub pool_size: Option<usize>,
}

fn handshake_timeout() -> Millis {
    Millis(Duration::from_millis(200))
}
fn livecheck() -> Span {
    Span(Duration::from_secs(10))
}
fn hwm() -> usize {
    200
}
fn connect_wait() -> Span {
    Span(Duration::from_millis(500))
}
fn send_timeout() -> Span {
    Span(Duration::from_secs(10))
}

/// A length of time whose bare number means milliseconds, as it did in Metlog; text carries its unit.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Millis(pub Duration);

impl<'de> Deserialize<'de> for Millis {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Texts;
        impl Visitor<'_> for Texts {
            type Value = Millis;
            fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str("a number of milliseconds or a time such as `200ms` or `1s`")
            }
            fn visit_u64<E: Error>(self, millis: u64) -> Result<Millis, E> {
                Ok(Millis(Duration::from_millis(millis)))
            }
            fn visit_i64<E: Error>(self, millis: i64) -> Result<Millis, E> {
                let unsigned = u64::try_from(millis);
                let unsigned = unsigned.map_err(|_| E::invalid_value(serde::de::Unexpected::Signed(millis), &self))?;
                self.visit_u64(unsigned)
            }
            fn visit_str<E: Error>(self, text: &str) -> Result<Millis, E> {
                match text.trim().parse() {
                    Ok(millis) => self.visit_u64(millis),
                    Err(_) => text.parse::<Span>().map(|span| Millis(span.duration())).map_err(E::custom),
                }
            }
        }
        deserializer.deserialize_any(Texts)
    }
}

/// Most bytes in hand at once; Metlog bounded the number of messages only.
const BYTES: usize = 16 * 1024 * 1024;

/// Publishes while the router answers handshakes, and writes to standard error while it does not.
pub struct ZmqHandshakePubSender {
    publisher: Publisher,
    verdict: Arc<Verdict>,
    echo: Echo,
    limit: Limit,
    diverted: u64,
}

impl ZmqHandshakePubSender {
    /// Whether the last handshake was answered.
    pub fn is_connected(&self) -> bool {
        self.verdict.is_there()
    }

    /// How many messages went to standard error instead of the router.
    pub fn diverted(&self) -> u64 {
        self.diverted
    }

    /// Writes what the router cannot have now to standard error, one line of JSON each, as Metlog did; and says so,
    /// which Metlog did not.
    fn divert(&mut self, batch: &Lines, from: usize) -> Result<(), SendError> {
        let mut rest = Lines::new();
        batch.iter().skip(from).for_each(|message| rest.push(message));
        if !self.echo.is_on() {
            echo::write(rest.bytes()).map_err(|error| {
                let why = format!("the router does not answer, and standard error cannot be written: {error}");
                SendError::retry_after_first(from, why)
            })?;
        }
        self.diverted += rest.len() as u64;
        let why = "the router does not answer handshakes; its messages go to standard error".to_owned();
        Err(SendError::Refuse { why, which: (from..batch.len()).collect() })
    }
}

impl Sender for ZmqHandshakePubSender {
    fn send(&mut self, batch: &Lines) -> Result<(), SendError> {
        self.echo.before(batch);
        let mut done = 0;
        while let Some(part) = cut(batch, done, self.limit, false) {
            if !self.verdict.is_there() || self.publisher.publish(&part).is_err() {
                return self.divert(batch, done);
            }
            done += part.messages;
        }
        Ok(())
    }

    fn close(&mut self, within: Duration) -> Result<(), SendError> {
        self.publisher.close(within);
        Ok(())
    }

    fn pacing(&self) -> Pacing {
        Pacing { messages: self.limit.messages, ..Pacing::default() }
    }
}

/// The endpoints of handshake and messages.
fn endpoints(config: &HandshakeConfig) -> Result<(String, String), String> {
    let numbers = [
        ("handshake_timeout", config.handshake_timeout.0.is_zero()),
        ("livecheck", config.livecheck.duration().is_zero()),
        ("hwm", config.hwm == 0),
    ];
    if let Some((key, _)) = numbers.into_iter().find(|(_, is_zero)| *is_zero) {
        return Err(format!("`{key}` is 0, it must be more"));
    }
    Ok((check("handshake_bind", &config.handshake_bind)?, check("connect_bind", &config.connect_bind)?))
}

impl Configured for ZmqHandshakePubSender {
    type Config = HandshakeConfig;

    fn check(config: &HandshakeConfig) -> Result<(), String> {
        endpoints(config).map(drop)
    }

    fn open(config: HandshakeConfig) -> Result<Self, String> {
        let (handshake, connect) = endpoints(&config)?;
        let (within, livecheck) = (config.handshake_timeout.0, config.livecheck.duration());
        let verdict = Arc::new(Verdict::default());
        let companion = Box::pin(watch(handshake, within, livecheck, Arc::clone(&verdict)));
        let terms =
            Terms { connect_wait: config.connect_wait.duration(), send_timeout: config.send_timeout.duration() };
        let publisher = Publisher::start(vec![connect], Way::Connect, terms, Some(companion))?;
        // The one handshake a constructor makes. It ends by itself after this time, answered or not.
        verdict.wait(within);
        Ok(ZmqHandshakePubSender {
            publisher,
            verdict,
            echo: Echo::new(config.debug_stderr),
            limit: Limit { messages: config.hwm, bytes: BYTES },
            diverted: 0,
        })
    }
}

inventory::submit! {
    SenderEntry::of::<ZmqHandshakePubSender>(
        "zmq_handshake_pub",
        &["metlog.senders.zmq.ZmqHandshakePubSender", "ZmqHandshakePubSender"],
        include_str!("../example-handshake.toml"),
    )
}
