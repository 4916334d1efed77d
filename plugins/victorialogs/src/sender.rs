use crate::mapping::{self, Limits};
use crate::server::{self, Server};
use metlog_http::{Blocking, Codec, Compress, Connection, Delivery, Post, Taken, event};
use metlog_message::{Lines, Timestamp};
use metlog_pipeline::registry::Configured;
use metlog_pipeline::{Pacing, SendError, Sender, SenderEntry, inventory};
use metlog_settings::{Secret, Size, Span};
use serde::Deserialize;
use std::collections::BTreeMap;
use std::path::PathBuf;

/// Lines in one request at the most: as good as ten times as many at the server, and a tenth of the wait.
const PER_REQUEST: usize = 1000;

/// Settings of the `victorialogs` sender.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// The server's address; a path in it is kept (`-http.pathPrefix`, a proxy).
    pub url: String,
    /// What identifies the process that wrote a message and stays the same during its life. Never anything that
    /// varies by message: every combination is a stream of its own. `type`, `logger`, `hostname` by default.
    #[serde(default = "stream_fields")]
    pub stream_fields: Vec<String>,
    /// Added to every message by the server, over a field of the same name.
    #[serde(default)]
    pub extra_fields: BTreeMap<String, String>,
    /// Tenant: the account. 0 by default.
    pub account_id: Option<u32>,
    /// Tenant: the project. 0 by default.
    pub project_id: Option<u32>,
    /// For basic authentication.
    pub username: Option<String>,
    /// The password of `username`.
    pub password: Option<Secret>,
    /// File that holds the password; read again after a 401 or 403.
    pub password_file: Option<PathBuf>,
    /// Sent as `Authorization: Bearer …`, for a proxy in front of the server.
    pub key: Option<Secret>,
    /// File that holds the key; read again after a 401 or 403.
    pub key_file: Option<PathBuf>,
    /// `zstd` by default; `gzip`, `none` or `auto`.
    #[serde(default = "server::compress")]
    pub compress: Codec,
    /// What the server was told with `-retentionPeriod`. `7d` by default.
    #[serde(default = "server::retention")]
    pub retention: Span,
    /// What the server was told with `-futureRetention`. `2d` by default.
    #[serde(default = "server::future_retention")]
    pub future_retention: Span,
    /// What the server was told with `-insert.maxLineSizeBytes`. `256 KiB` by default.
    #[serde(default = "server::max_line")]
    pub max_line: Size,
    /// How long a message waits for company. `1s` by default.
    #[serde(default = "server::flush_interval")]
    pub flush_interval: Span,
    /// For one request and its answer. `10s` by default.
    #[serde(default = "server::timeout")]
    pub timeout: Span,
    /// TLS, time to connect, further headers.
    #[serde(default)]
    pub connection: Connection,
}

fn stream_fields() -> Vec<String> {
    ["type", "logger", "hostname"].map(str::to_owned).into()
}

/// Posts JSON lines that the server will really keep.
#[derive(Debug)]
pub struct VictoriaLogsSender {
    client: Blocking,
    delivery: Delivery,
    compress: Compress,
    limits: Limits,
    pacing: Pacing,
}

impl Sender for VictoriaLogsSender {
    fn send(&mut self, batch: &Lines) -> Result<(), SendError> {
        let VictoriaLogsSender { client, delivery, compress, limits, .. } = self;
        let now = mapping::seconds(Timestamp::now());
        let map = |line: &[u8]| event::message(line).and_then(|message| mapping::line(message, limits, now));
        delivery.deliver(batch, map, |lines: &[Vec<u8>]| {
            // With a form's content type the server would answer 200 and store nothing.
            client.post(Post::lines("application/stream+json", lines, *compress))?;
            Ok(Taken::default())
        })
    }

    fn pacing(&self) -> Pacing {
        self.pacing
    }
}

fn server(config: &Config) -> Result<Server<'_>, String> {
    Ok(Server {
        url: &config.url,
        stream_fields: &config.stream_fields,
        time_field: "_time",
        message_field: "_msg",
        extra_fields: &config.extra_fields,
        account_id: config.account_id,
        project_id: config.project_id,
        key: server::key(
            (config.username.clone(), config.password.clone(), config.password_file.clone()),
            (config.key.clone(), config.key_file.clone()),
        )?,
        connection: config.connection.clone(),
        timeout: config.timeout.duration(),
    })
}

impl Configured for VictoriaLogsSender {
    type Config = Config;

    fn check(config: &Config) -> Result<(), String> {
        config.connection.check()?;
        server(config)?.address().map(drop)
    }

    fn examine(config: &Config) -> Result<Vec<String>, String> {
        config.connection.examine()
    }

    fn open(config: Config) -> Result<Self, String> {
        let server = server(&config)?;
        Ok(VictoriaLogsSender {
            client: server.lines()?,
            delivery: Delivery::new(PER_REQUEST),
            compress: Compress { codec: config.compress, above: 0 },
            limits: Limits::of(config.max_line, config.retention, config.future_retention),
            pacing: Pacing { messages: PER_REQUEST, wait: config.flush_interval.duration(), ..Pacing::default() },
        })
    }
}

inventory::submit! {
    SenderEntry::of::<VictoriaLogsSender>("victorialogs", &["victoria_logs"], include_str!("../example.toml"))
}
