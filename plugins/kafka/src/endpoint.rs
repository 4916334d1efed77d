use crate::config::{Brokers, Login, Tls, default_brokers};
use crate::producer::{Plan, Producer};
use crate::topic::Template;
use metlog_pipeline::registry::Configured;
use metlog_pipeline::{Endpoint, EndpointEntry, Pacing, Picked, SendError, inventory};
use metlog_settings::{Size, Span};
use serde::Deserialize;
use std::time::Duration;

/// Messages and bytes of one batch: some of librdkafka's, so that waiting for the last confirmation is a small part.
const PACING: Pacing =
    Pacing { messages: 4096, bytes: 2 * 1024 * 1024, wait: Duration::ZERO, min_interval: Duration::ZERO };

/// librdkafka's bounds of `message.max.bytes`.
const MESSAGE: std::ops::RangeInclusive<u64> = 1000..=1_000_000_000;

/// Topics that `max_topics` can allow.
const MOST_TOPICS: usize = 10_000;

/// Settings of the `kafka` endpoint.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct EndpointConfig {
    /// Brokers of one cluster, which tell of the others. `127.0.0.1:9092` by default.
    #[serde(default = "default_brokers")]
    pub brokers: Vec<String>,
    /// Who we are there.
    pub login: Option<Login>,
    /// How connections are encrypted; without it they are not.
    pub tls: Option<Tls>,
    /// Lets a password travel in the open.
    #[serde(default)]
    pub dangerously_unencrypted: bool,
    /// The topic; `{type}`, `{severity}` and `{logger}` stand for what a message says. `metlog` by default.
    #[serde(default = "topic")]
    pub topic: String,
    /// Topics at the most, if messages decide. 64 by default.
    #[serde(default = "max_topics")]
    pub max_topics: usize,
    /// Whose messages go to one partition and so stay in order: each `client`'s, each `logger`'s, or none's. `client` by
    /// default.
    #[serde(default)]
    pub key: Key,
    /// How batches are compressed. `zstd` by default.
    #[serde(default)]
    pub compression: Compression,
    /// The largest message, and the largest batch, in bytes; as much as the topic's `max.message.bytes`. 1000000 by
    /// default.
    #[serde(default = "max_message")]
    pub max_message: Size,
    /// For a batch with its confirmations. `30s` by default.
    #[serde(default = "timeout")]
    pub timeout: Span,
}

/// What partition a message goes to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Key {
    /// One for each client.
    #[default]
    Client,
    /// One for each logger.
    Logger,
    /// Any.
    None,
}

/// How batches are compressed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Compression {
    /// Small; brokers know it since 2.1.
    #[default]
    Zstd,
    /// Fast.
    Lz4,
    /// Fast.
    Snappy,
    /// What everything reads.
    Gzip,
    /// Not.
    None,
}

impl Compression {
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Compression::Zstd => "zstd",
            Compression::Lz4 => "lz4",
            Compression::Snappy => "snappy",
            Compression::Gzip => "gzip",
            Compression::None => "none",
        }
    }
}

fn topic() -> String {
    "metlog".to_owned()
}

fn max_topics() -> usize {
    64
}

fn max_message() -> Size {
    Size(1_000_000)
}

fn timeout() -> Span {
    Span(Duration::from_secs(30))
}

impl EndpointConfig {
    fn plan(&self) -> Result<Plan, String> {
        let brokers = Brokers {
            addresses: self.brokers.clone(),
            login: self.login.clone(),
            tls: self.tls.clone(),
            dangerously_unencrypted: self.dangerously_unencrypted,
            timeout: self.timeout.duration(),
        };
        brokers.check()?;
        let template = Template::parse(&self.topic)?;
        if !(1..=MOST_TOPICS).contains(&self.max_topics) {
            return Err(format!("`max_topics` is {}; 1 to {MOST_TOPICS} are possible", self.max_topics));
        }
        if !MESSAGE.contains(&self.max_message.bytes()) {
            return Err(format!("`max_message` is {}; 1000 bytes to 1000000000 are possible", self.max_message));
        }
        Ok(Plan {
            brokers,
            template,
            key: self.key,
            compression: self.compression,
            max_message: self.max_message.bytes(),
            max_topics: self.max_topics,
        })
    }
}

/// Produces messages to topics.
pub struct KafkaEndpoint(Producer);

impl Endpoint for KafkaEndpoint {
    fn write(&mut self, batch: &Picked<'_>) -> Result<(), SendError> {
        self.0.publish(batch.lines(), batch.ids())
    }

    fn tick(&mut self) -> Result<(), SendError> {
        self.0.tick();
        Ok(())
    }

    fn close(&mut self, within: Duration) -> Result<(), SendError> {
        self.0.close(within);
        Ok(())
    }

    fn pacing(&self) -> Pacing {
        PACING
    }
}

impl Configured for KafkaEndpoint {
    type Config = EndpointConfig;

    fn check(config: &EndpointConfig) -> Result<(), String> {
        config.plan().map(drop)
    }

    fn examine(config: &EndpointConfig) -> Result<Vec<String>, String> {
        config.plan()?.brokers.examine()
    }

    fn open(config: EndpointConfig) -> Result<Self, String> {
        config.plan().map(Producer::new).map(KafkaEndpoint)
    }
}

inventory::submit! { EndpointEntry::of::<KafkaEndpoint>("kafka", &[], include_str!("../example.endpoint.toml")) }
