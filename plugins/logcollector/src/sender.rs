use crate::mapping::{self, Defaults};
use metlog_http::{
    Address, Blocking, Codec, Compress, Connection, Delivery, Options, Post, Reply, Taken, Trouble, event,
};
use metlog_message::{Lines, wire};
use metlog_pipeline::registry::Configured;
use metlog_pipeline::{Pacing, SendError, Sender, SenderEntry, inventory};
use metlog_settings::{Environment, Span};
use serde::Deserialize;
use std::time::Duration;

/// Entries in one request at the most.
const PER_REQUEST: usize = 1000;

/// Requests of this many entries are compressed.
const GZIP_FROM: usize = 100;

/// Settings of the `logcollector` sender. Those that can come from a variable do so only when they are not set here.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    /// The server's address; a path in it is kept. Else `LOG_SERVER_URL`, else `http://localhost:8000`.
    pub server_url: Option<String>,
    /// Name of the service. Else `SERVICE_NAME`, else each message's logger.
    pub service: Option<String>,
    /// `production`, `staging`, `development`, `test` or `local`. Else `ENVIRONMENT`, else `development`.
    pub environment: Option<String>,
    /// Version of the service. Else `SERVICE_VERSION`, else `v0.0.0-dev`.
    pub service_version: Option<String>,
    /// `BACKEND`, `FRONTEND`, `MOBILE`, `IOT` or `WORKER`. Else `LOG_TYPE`, else `BACKEND`.
    pub log_type: Option<String>,
    /// Whether requests of 100 entries and more are compressed (gzip). True by default.
    pub enable_compression: Option<bool>,
    /// How long a message waits for company. `1s` by default.
    pub flush_interval: Option<Span>,
    /// For one request and its answer. `5s` by default.
    pub timeout: Option<Span>,
    /// TLS, time to connect, further headers.
    pub connection: Connection,
}

/// Posts entries in batches.
#[derive(Debug)]
pub struct LogCollectorSender {
    client: Blocking,
    delivery: Delivery,
    defaults: Defaults,
    compress: bool,
    pacing: Pacing,
}

impl Sender for LogCollectorSender {
    fn send(&mut self, batch: &Lines) -> Result<(), SendError> {
        let LogCollectorSender { client, delivery, defaults, compress, .. } = self;
        let map = |line: &[u8]| event::message(line).map(|message| event::json(&mapping::entry(message, defaults)));
        delivery.deliver(batch, map, |entries: &[Vec<u8>]| {
            let body = event::joined(b"{\"logs\":[", entries, b"]}");
            let codec = if *compress && entries.len() >= GZIP_FROM { Codec::Gzip } else { Codec::None };
            let reply =
                client.post(Post { content_type: "application/json", body, compress: Compress::always(codec) })?;
            taken(&reply, entries.len(), client.address())
        })
    }

    fn pacing(&self) -> Pacing {
        self.pacing
    }
}

/// The server answers 200 with `{"status":"ok","count":n}`. Another 2xx is not its voice, and its own clients take
/// that for a failure.
fn taken(reply: &Reply, sent: usize, address: &Address) -> Result<Taken, Trouble> {
    if reply.status != 200 {
        let status = reply.status;
        return Err(Trouble::pause(format!(
            "{address} answered {status}, a log-collector answers 200; check `server_url`"
        )));
    }
    let answer = wire::read_value(&reply.body).ok();
    let count = answer.as_ref().and_then(|answer| answer.as_map()?.get("count")?.as_i64());
    let note = count
        .and_then(|count| usize::try_from(count).ok())
        .filter(|&count| count < sent)
        .map(|count| format!("{address} says it took {count} of {sent} entries, but not which"));
    Ok(Taken { note, ..Taken::default() })
}

/// Where to, and what entries say that messages do not.
fn plan(config: &Config, variables: &Environment) -> Result<(Address, Defaults), String> {
    let variable = |name: &str| variables.get(name).map(|text| text.trim().to_owned()).filter(|text| !text.is_empty());
    let known = Defaults::default();
    let url = config.server_url.clone().or_else(|| variable("LOG_SERVER_URL"));
    let address = Address::parse("server_url", url.as_deref().unwrap_or("http://localhost:8000"))?;
    let environment = one_of(
        "environment",
        config.environment.as_deref(),
        variable("ENVIRONMENT"),
        mapping::environment,
        "`production`, `staging`, `development`, `test` or `local`",
    )?;
    let log_type = one_of(
        "log_type",
        config.log_type.as_deref(),
        variable("LOG_TYPE"),
        mapping::log_type,
        "`BACKEND`, `FRONTEND`, `MOBILE`, `IOT` or `WORKER`",
    )?;
    let service_version = config.service_version.clone().or_else(|| variable("SERVICE_VERSION"));
    let defaults = Defaults {
        service: config.service.clone().or_else(|| variable("SERVICE_NAME")),
        environment: environment.unwrap_or(known.environment),
        service_version: service_version.unwrap_or(known.service_version),
        log_type: log_type.unwrap_or(known.log_type),
    };
    for (name, text, room) in [
        ("service", defaults.service.as_deref(), 100),
        ("service_version", Some(defaults.service_version.as_str()), 50),
    ] {
        if text.is_some_and(|text| text.chars().count() > room || text.contains('\0')) {
            return Err(format!("`{name}` does not fit the server's table: {room} characters at the most, no NUL"));
        }
    }
    Ok((address.ending_in("/logs", &[]), defaults))
}

impl LogCollectorSender {
    /// As [`Configured::open`], with these variables.
    pub fn open_with(config: Config, variables: &Environment) -> Result<Self, String> {
        let (address, defaults) = plan(&config, variables)?;
        let timeout = config.timeout.map_or(Duration::from_secs(5), Span::duration);
        Ok(LogCollectorSender {
            client: Blocking::new(address, Options { connection: config.connection, timeout, ..Options::default() })?,
            delivery: Delivery::new(PER_REQUEST),
            defaults,
            compress: config.enable_compression.unwrap_or(true),
            pacing: Pacing {
                messages: PER_REQUEST,
                wait: config.flush_interval.map_or(Duration::from_secs(1), Span::duration),
                ..Pacing::default()
            },
        })
    }
}

/// A setting with a fixed set of words. A wrong setting is an error; a variable with a name as general as
/// `ENVIRONMENT` may be somebody else's, so a word of it that we do not know is passed over.
fn one_of(
    setting: &str,
    set: Option<&str>,
    variable: Option<String>,
    known: fn(&str) -> Option<&'static str>,
    right: &str,
) -> Result<Option<&'static str>, String> {
    match set {
        Some(text) => known(text).map(Some).ok_or_else(|| format!("`{setting}` is {text:?}; the server knows {right}")),
        None => Ok(variable.as_deref().and_then(known)),
    }
}

impl Configured for LogCollectorSender {
    type Config = Config;

    fn check(config: &Config) -> Result<(), String> {
        config.connection.check()?;
        plan(config, &Environment::process()).map(drop)
    }

    fn examine(config: &Config) -> Result<Vec<String>, String> {
        config.connection.examine()
    }

    fn open(config: Config) -> Result<Self, String> {
        Self::open_with(config, &Environment::process())
    }
}

inventory::submit! {
    SenderEntry::of::<LogCollectorSender>("logcollector", &["log_collector"], include_str!("../example.toml"))
}
