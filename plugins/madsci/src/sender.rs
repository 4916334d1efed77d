use crate::mapping;
use metlog_http::{
    Address, Blocking, Compress, Connection, Delivery, Key, Options, Post, Rejected, Reply, Taken, Trouble, event,
};
use metlog_message::{Lines, Value, wire};
use metlog_pipeline::registry::Configured;
use metlog_pipeline::{Pacing, SendError, Sender, SenderEntry, inventory};
use metlog_settings::{Environment, Span};
use serde::Deserialize;
use std::time::Duration;

/// Messages in one hand-over: each is a request of its own, and the whole must end in bounded time.
const PER_BATCH: usize = 100;

/// Settings of the `madsci` sender.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    /// The event manager's address; a path in it is kept. Else the variable `EVENT_SERVER_URL`. MADSci's own pages also
    /// say `event_server`, which its client ignores and this one understands.
    #[serde(alias = "event_server", alias = "url")]
    pub event_server_url: Option<String>,
    /// For one request and its answer. `10s` by default.
    pub timeout: Option<Span>,
    /// TLS, time to connect, further headers.
    pub connection: Connection,
}

/// Posts events one by one: the server has no other way in.
#[derive(Debug)]
pub struct MadsciSender {
    client: Blocking,
    delivery: Delivery,
}

impl Sender for MadsciSender {
    fn send(&mut self, batch: &Lines) -> Result<(), SendError> {
        let MadsciSender { client, delivery } = self;
        let map =
            |line: &[u8]| event::message(line).map(|message| event::json(&Value::Map(mapping::event(message).body())));
        delivery.deliver(batch, map, |events: &[Vec<u8>]| {
            let body = events.concat();
            let reply = client.post(Post { content_type: "application/json", body, compress: Compress::NONE })?;
            taken(&reply, client.address())
        })
    }

    fn pacing(&self) -> Pacing {
        Pacing { messages: PER_BATCH, ..Pacing::default() }
    }
}

/// The server answers with the event it stored, or had stored already under that id.
fn taken(reply: &Reply, address: &Address) -> Result<Taken, Trouble> {
    let event = match wire::read_value(&reply.body) {
        Ok(Value::Map(event)) if event.contains("_id") || event.contains("event_id") => Some(event),
        _ => None,
    };
    // What a router answers instead of 422, which clients in the field would repeat for ever.
    if let Some(why) = event.as_ref().and_then(|event| event.get("metlog_refused")?.as_str()) {
        return Ok(Taken { rejected: vec![Rejected { at: 0, why: why.to_owned() }], note: None });
    }
    if reply.cut || event.is_some() {
        return Ok(Taken::default());
    }
    Err(Trouble::pause(format!(
        "{address} answered {} with `{}`, but an event manager answers with the event; check `event_server_url`",
        reply.status,
        reply.excerpt()
    )))
}

fn address(config: &Config, variables: &Environment) -> Result<Address, String> {
    let variable = || variables.get("EVENT_SERVER_URL").filter(|url| !url.trim().is_empty());
    let url = config.event_server_url.clone().or_else(variable);
    let url = url.ok_or("`event_server_url` is missing, and so is the variable EVENT_SERVER_URL")?;
    Ok(Address::parse("event_server_url", &url)?.ending_in("/event", &[]))
}

impl MadsciSender {
    /// As [`Configured::open`], with these variables.
    pub fn open_with(config: Config, variables: &Environment) -> Result<Self, String> {
        let address = address(&config, variables)?;
        let options = Options {
            connection: config.connection,
            key: Key::default(),
            timeout: config.timeout.map_or(Duration::from_secs(10), Span::duration),
            ..Options::default()
        };
        Ok(MadsciSender { client: Blocking::new(address, options)?, delivery: Delivery::new(1) })
    }
}

impl Configured for MadsciSender {
    type Config = Config;

    fn check(config: &Config) -> Result<(), String> {
        config.connection.check()?;
        address(config, &Environment::process()).map(drop)
    }

    fn examine(config: &Config) -> Result<Vec<String>, String> {
        config.connection.examine()
    }

    fn open(config: Config) -> Result<Self, String> {
        Self::open_with(config, &Environment::process())
    }
}

inventory::submit! { SenderEntry::of::<MadsciSender>("madsci", &["mad_sci"], include_str!("../example.toml")) }
