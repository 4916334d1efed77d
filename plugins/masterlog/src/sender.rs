use crate::mapping;
use metlog_http::{
    Address, Blocking, Codec, Compress, Connection, Delivery, Key, Options, Post, Reply, Taken, Trouble, event,
};
use metlog_message::{Lines, Value, wire};
use metlog_pipeline::registry::Configured;
use metlog_pipeline::{Pacing, SendError, Sender, SenderEntry, inventory};
use metlog_settings::{Environment, Secret, Span};
use serde::Deserialize;
use std::path::PathBuf;
use std::str::FromStr;
use std::time::{Duration, Instant};

/// Settings of the `masterlog` sender. Those that can come from a variable do so only when they are not set here.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    /// The server's address, or its API's (`…/api/v1`, `…/api/v1/logs`), with or without a slash at the end. Else
    /// `MASTER_LOG_ENDPOINT`.
    pub endpoint: Option<String>,
    /// Sent as `Authorization: Bearer …`. Else `MASTER_LOG_API_KEY`.
    pub api_key: Option<Secret>,
    /// File that holds the key; read again after a 401 or 403.
    pub api_key_file: Option<PathBuf>,
    /// Messages in one request. Else `MASTER_LOG_BATCH_SIZE`, else 100.
    pub batch_size: Option<usize>,
    /// How long a message waits for company. Else `MASTER_LOG_FLUSH_INTERVAL_SECONDS`, else `1s`.
    pub flush_interval: Option<Span>,
    /// From the start of one request to the start of the next. Else `MASTER_LOG_MIN_REQUEST_INTERVAL_SECONDS`, else
    /// `0s`.
    pub min_request_interval: Option<Span>,
    /// For one request and its answer. Else `MASTER_LOG_TIMEOUT_SECONDS`, else `2s`.
    pub timeout: Option<Span>,
    /// `none`, the default, because the server is not known to understand anything else; or `gzip`, `zstd`, `auto`.
    pub compress: Option<Codec>,
    /// TLS, time to connect, further headers.
    pub connection: Connection,
}

/// Posts events in batches.
#[derive(Debug)]
pub struct MasterLogSender {
    client: Blocking,
    delivery: Delivery,
    compress: Compress,
    pacing: Pacing,
    last_request: Option<Instant>,
}

impl Sender for MasterLogSender {
    fn send(&mut self, batch: &Lines) -> Result<(), SendError> {
        let MasterLogSender { client, delivery, compress, pacing, last_request } = self;
        let map = |line: &[u8]| event::message(line).map(|message| event::json(&mapping::event(message)));
        delivery.deliver(batch, map, |events: &[Vec<u8>]| {
            // The lane keeps the distance between batches; a batch that had to be cut is several requests.
            let pause =
                last_request.and_then(|last| (last + pacing.min_interval).checked_duration_since(Instant::now()));
            std::thread::sleep(pause.unwrap_or_default());
            *last_request = Some(Instant::now());
            let body = event::joined(b"{\"logs\":[", events, b"]}");
            let reply = client.post(Post { content_type: "application/json", body, compress: *compress })?;
            taken(&reply, events.len(), client.address())
        })
    }

    fn pacing(&self) -> Pacing {
        self.pacing
    }
}

/// The server answers nothing or a JSON object. Anything else comes from somebody else (a proxy's page, most often).
fn taken(reply: &Reply, sent: usize, address: &Address) -> Result<Taken, Trouble> {
    if reply.cut || reply.body.trim_ascii().is_empty() {
        return Ok(Taken::default());
    }
    let Ok(Value::Map(answer)) = wire::read_value(&reply.body) else {
        return Err(Trouble::pause(format!(
            "{address} answered {} with `{}`, which is not what a Master Log server says; check `endpoint`",
            reply.status,
            reply.excerpt()
        )));
    };
    // Both are optional, and which events are meant is never said.
    let accepted = answer.get("accepted").and_then(Value::as_i64).and_then(|count| usize::try_from(count).ok());
    let ids = answer.get("events").and_then(Value::as_list).map(|events| events.len());
    let note = accepted
        .or(ids)
        .filter(|&count| count < sent)
        .map(|count| format!("{address} says it took {count} of {sent} events, but not which"));
    Ok(Taken { note, ..Taken::default() })
}

/// What settings and variables come to.
struct Plan {
    address: Address,
    key: Key,
    pacing: Pacing,
    timeout: Duration,
}

impl Plan {
    fn of(config: &Config, variables: &Environment) -> Result<Self, String> {
        let endpoint = config.endpoint.clone().or_else(|| variable(variables, "MASTER_LOG_ENDPOINT"));
        let endpoint = endpoint.ok_or("`endpoint` is missing, and so is the variable MASTER_LOG_ENDPOINT")?;
        let address =
            Address::parse("endpoint", &endpoint)?.ending_in("/api/v1/logs/batch", &["/api/v1/logs", "/api/v1"]);
        let key = match (config.api_key.clone(), config.api_key_file.clone()) {
            (None, None) => {
                let key = variable(variables, "MASTER_LOG_API_KEY")
                    .ok_or("`api_key` and `api_key_file` are missing, and so is the variable MASTER_LOG_API_KEY")?;
                Key::bearer("api_key", Some(Secret::new(key)), None)?
            }
            (key, file) => Key::bearer("api_key", key, file)?,
        };
        let seconds = |set: Option<Span>, name: &str, default: f64| match set {
            Some(span) => Ok(span.duration()),
            None => parsed(variables, name, "a number of seconds, not negative").and_then(|seconds| {
                Duration::try_from_secs_f64(seconds.unwrap_or(default)).map_err(|error| format!("{name}: {error}"))
            }),
        };
        let batch_size = match config.batch_size {
            Some(size) => size,
            None => parsed(variables, "MASTER_LOG_BATCH_SIZE", "a whole number, 1 or more")?.unwrap_or(100),
        };
        if batch_size == 0 {
            return Err("`batch_size` is 0; a request needs at least one event".into());
        }
        let pacing = Pacing {
            messages: batch_size,
            wait: seconds(config.flush_interval, "MASTER_LOG_FLUSH_INTERVAL_SECONDS", 1.0)?,
            min_interval: seconds(config.min_request_interval, "MASTER_LOG_MIN_REQUEST_INTERVAL_SECONDS", 0.0)?,
            ..Pacing::default()
        };
        Ok(Plan { address, key, pacing, timeout: seconds(config.timeout, "MASTER_LOG_TIMEOUT_SECONDS", 2.0)? })
    }
}

impl MasterLogSender {
    /// As [`Configured::open`], with these variables.
    pub fn open_with(config: Config, variables: &Environment) -> Result<Self, String> {
        let Plan { address, key, pacing, timeout } = Plan::of(&config, variables)?;
        let mut connection = config.connection;
        // Some servers answer whoever did not ask for JSON with a page, and a bad event with a redirect to one.
        if !connection.headers.keys().any(|name| name.eq_ignore_ascii_case("accept")) {
            connection.headers.insert("Accept".into(), Secret::new("application/json"));
        }
        let options = Options { connection, key, timeout, ..Options::default() };
        Ok(MasterLogSender {
            client: Blocking::new(address, options)?,
            delivery: Delivery::new(pacing.messages),
            compress: Compress { codec: config.compress.unwrap_or(Codec::None), above: 1024 },
            pacing,
            last_request: None,
        })
    }
}

/// A variable that is set to nothing is not set.
fn variable(variables: &Environment, name: &str) -> Option<String> {
    variables.get(name).map(|value| value.trim().to_owned()).filter(|value| !value.is_empty())
}

fn parsed<T: FromStr>(variables: &Environment, name: &str, right: &str) -> Result<Option<T>, String> {
    let Some(text) = variable(variables, name) else { return Ok(None) };
    text.parse().map(Some).map_err(|_| format!("the variable {name} is {text:?}; it needs {right}"))
}

impl Configured for MasterLogSender {
    type Config = Config;

    fn check(config: &Config) -> Result<(), String> {
        config.connection.check()?;
        Plan::of(config, &Environment::process()).map(drop)
    }

    fn examine(config: &Config) -> Result<Vec<String>, String> {
        config.connection.examine()
    }

    fn open(config: Config) -> Result<Self, String> {
        Self::open_with(config, &Environment::process())
    }
}

inventory::submit! { SenderEntry::of::<MasterLogSender>("masterlog", &["master_log"], include_str!("../example.toml")) }
