use metlog_http::forward::PER_REQUEST;
use metlog_http::{Blocking, Codec, Compress, Connection, Delivery, Options, Post, Taken, to_router};
use metlog_message::Lines;
use metlog_pipeline::registry::Configured;
use metlog_pipeline::{SendError, Sender, SenderEntry, inventory};
use metlog_settings::{Secret, Size, Span};
use serde::Deserialize;
use std::path::PathBuf;
use std::time::Duration;

/// Settings of the `http` sender.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// Where to. Without a path, `/v1/messages` is meant, the router's.
    pub url: String,
    /// Sent as `Authorization: Bearer …`.
    pub key: Option<Secret>,
    /// File that holds the key; read again after a 401 or 403.
    pub key_file: Option<PathBuf>,
    /// `auto` (zstd, then gzip, then nothing, as far as the peer understands it), `gzip`, `zstd` or `none`.
    #[serde(default)]
    pub compress: Codec,
    /// Smaller bodies go as they are.
    #[serde(default = "compress_above")]
    pub compress_above: Size,
    /// For one request and its answer.
    #[serde(default = "timeout")]
    pub timeout: Span,
    /// TLS, time to connect, further headers.
    #[serde(default)]
    pub connection: Connection,
}

fn compress_above() -> Size {
    Size(1024)
}

fn timeout() -> Span {
    Span(Duration::from_secs(10))
}

/// Posts JSON lines.
#[derive(Debug)]
pub struct HttpSender {
    client: Blocking,
    delivery: Delivery,
    compress: Compress,
}

impl Sender for HttpSender {
    fn send(&mut self, batch: &Lines) -> Result<(), SendError> {
        let HttpSender { client, delivery, compress } = self;
        delivery.deliver(batch, Ok, |lines| {
            let reply = client.post(Post::lines("application/x-ndjson", lines, *compress))?;
            Ok(Taken::by_router(&reply, lines.len()))
        })
    }
}

impl Configured for HttpSender {
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
        let options = Options { connection: config.connection, timeout: config.timeout.duration(), ..options };
        Ok(HttpSender {
            client: Blocking::new(address, options)?,
            delivery: Delivery::new(PER_REQUEST),
            compress: Compress {
                codec: config.compress,
                above: usize::try_from(config.compress_above.bytes()).unwrap_or(usize::MAX),
            },
        })
    }
}

inventory::submit! { SenderEntry::of::<HttpSender>("http", &[], include_str!("../example.toml")) }
