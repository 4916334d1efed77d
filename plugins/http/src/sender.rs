use metlog_http::{Address, Blocking, Codec, Compress, Connection, Delivery, Key, Options, Post, Taken};
use metlog_message::Lines;
use metlog_pipeline::registry::Configured;
use metlog_pipeline::{SendError, Sender, SenderEntry, inventory};
use metlog_settings::{Secret, Size, Span};
use serde::Deserialize;
use std::path::PathBuf;
use std::time::Duration;

/// Messages in one request at the most; the lane cuts by bytes before that.
const PER_REQUEST: usize = 4096;

/// The answer names every rejected message, so more of it is kept than usual.
const REPLY_LIMIT: usize = 1024 * 1024;

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
            let mut body = Vec::with_capacity(batch.bytes().len());
            for line in lines {
                body.extend_from_slice(line);
                body.push(b'\n');
            }
            let reply = client.post(Post { content_type: "application/x-ndjson", body, compress: *compress })?;
            Ok(Taken::by_router(&reply, lines.len()))
        })
    }
}

/// Where to, and who we are.
fn plan(config: &Config) -> Result<(Address, Key), String> {
    let mut address = Address::parse("url", &config.url)?;
    if address.path() == "/" {
        address = address.with_path("/v1/messages");
    }
    Ok((address, Key::bearer("key", config.key.clone(), config.key_file.clone())?))
}

impl Configured for HttpSender {
    type Config = Config;

    fn check(config: &Config) -> Result<(), String> {
        config.connection.check()?;
        plan(config).map(drop)
    }

    fn examine(config: &Config) -> Result<Vec<String>, String> {
        config.connection.examine()
    }

    fn open(config: Config) -> Result<Self, String> {
        let (address, key) = plan(&config)?;
        let options = Options {
            connection: config.connection,
            key,
            timeout: config.timeout.duration(),
            reply_limit: REPLY_LIMIT,
            ..Options::default()
        };
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
