use crate::mapping::Limits;
use crate::row::{self, Bounds};
use crate::server::{self, Server};
use crate::watch::Watch;
use metlog_http::{Blocking, Codec, Compress, Connection, Delivery, Post, Taken};
use metlog_message::Timestamp;
use metlog_pipeline::registry::Configured;
use metlog_pipeline::{Endpoint, EndpointEntry, Pacing, Picked, SendError, inventory};
use metlog_settings::{Secret, Size, Span};
use serde::Deserialize;
use std::borrow::Cow;
use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Duration;

/// Lines in one request at the most: as good as ten times as many at the server, and a tenth of the wait.
const PER_REQUEST: usize = 2000;

/// Settings of the endpoint `victorialogs`.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct EndpointConfig {
    /// The server's address; a path in it is kept (`-http.pathPrefix`, a proxy).
    pub url: String,
    /// What identifies the process that wrote a message and stays the same during its life. Never anything that
    /// varies by message: every combination is a stream of its own. `type`, `logger`, `metlog_hostname` by default.
    #[serde(default = "stream_fields")]
    pub stream_fields: Vec<String>,
    /// Added to every message by the server, over a field of the same name.
    #[serde(default)]
    pub extra_fields: BTreeMap<String, String>,
    /// Tenant: the account. 0 by default.
    #[serde(alias = "account")]
    pub account_id: Option<u32>,
    /// Tenant: the project. 0 by default.
    #[serde(alias = "project")]
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
    #[serde(default = "server::compress", alias = "compression")]
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
    /// How long the server may lose what it has confirmed, if it is killed: for so long it can be sent again. `0s`: what
    /// is confirmed counts as safe, and the server's metrics are not read. `15s` by default.
    #[serde(default = "settle")]
    pub settle: Span,
    /// TLS, time to connect, further headers.
    #[serde(default)]
    pub connection: Connection,
}

fn stream_fields() -> Vec<String> {
    ["type", "logger", "metlog_hostname"].map(str::to_owned).into()
}

fn settle() -> Span {
    Span(Duration::from_secs(15))
}

/// Posts messages as they are, and knows what the server would do to them.
pub struct VictoriaLogsEndpoint {
    client: Blocking,
    delivery: Delivery,
    compress: Compress,
    bounds: Bounds,
    watch: Watch,
    settle: Duration,
    pacing: Pacing,
}

impl Endpoint for VictoriaLogsEndpoint {
    fn write(&mut self, batch: &Picked<'_>) -> Result<(), SendError> {
        let VictoriaLogsEndpoint { client, delivery, compress, bounds, watch, .. } = self;
        watch.before_write();
        bounds.set_now(Timestamp::now());
        let map =
            |message| if row::fits(message, bounds) { Ok(Cow::Borrowed(message)) } else { row::look(message, bounds) };
        delivery.deliver(batch.lines(), map, |rows: &[Cow<'_, [u8]>]| {
            // With a form's content type the server would answer 200 and store nothing.
            client.post(Post::lines("application/stream+json", rows, *compress))?;
            watch.after_write();
            Ok(Taken::default())
        })
    }

    fn tick(&mut self) -> Result<(), SendError> {
        self.watch.note_for_people().map_or(Ok(()), |note| Err(SendError::retry(note)))
    }

    fn pacing(&self) -> Pacing {
        self.pacing
    }

    fn settle(&self) -> Duration {
        self.settle
    }

    fn relapsed(&mut self) -> bool {
        self.watch.relapsed()
    }
}

fn server(config: &EndpointConfig) -> Result<Server<'_>, String> {
    Ok(Server {
        url: &config.url,
        stream_fields: &config.stream_fields,
        time_field: "timestamp",
        // Ours, where we had to add one; otherwise the payload.
        message_field: "_msg,payload",
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

impl Configured for VictoriaLogsEndpoint {
    type Config = EndpointConfig;

    fn check(config: &EndpointConfig) -> Result<(), String> {
        config.connection.check()?;
        server(config)?.address().map(drop)
    }

    fn examine(config: &EndpointConfig) -> Result<Vec<String>, String> {
        config.connection.examine()
    }

    fn open(config: EndpointConfig) -> Result<Self, String> {
        let server = server(&config)?;
        let settle = config.settle.duration();
        Ok(VictoriaLogsEndpoint {
            client: server.lines()?,
            delivery: Delivery::new(PER_REQUEST),
            compress: Compress { codec: config.compress, above: 0 },
            bounds: Bounds::new(Limits::of(config.max_line, config.retention, config.future_retention)),
            watch: Watch::new(server.metrics()?, settle),
            settle,
            pacing: Pacing {
                messages: PER_REQUEST,
                bytes: 1024 * 1024,
                wait: config.flush_interval.duration(),
                ..Pacing::default()
            },
        })
    }
}

inventory::submit! {
    EndpointEntry::of::<VictoriaLogsEndpoint>("victorialogs", &[], include_str!("../example.endpoint.toml"))
}
