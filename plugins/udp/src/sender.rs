use crate::destination::Destination;
use metlog_message::Lines;
use metlog_pipeline::registry::Configured;
use metlog_pipeline::{SendError, Sender, SenderEntry, inventory};
use metlog_settings::Size;
use serde::Deserialize;
use std::collections::BTreeSet;
use std::time::Duration;

/// The most that fits in one datagram: 65535 less the headers of UDP (8) and IPv4 (20).
const DATAGRAM: usize = 65_507;
/// Messages handed to each destination in turn. When a later destination runs out of buffers, at most so many are
/// sent twice to an earlier one.
const TURN: usize = 256;
/// Out of buffers usually passes within a few of these.
const PAUSE: Duration = Duration::from_millis(1);
const PAUSES: usize = 20;

/// Where the datagrams go.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Config {
    /// A host or several: names or addresses, IPv4 or IPv6. Every message goes to all of them. A name with addresses
    /// of both families means its IPv4 one.
    pub host: Vec<String>,
    /// A port or several, paired with the hosts in order. The last one also serves hosts that have none of their
    /// own; ports without a host are ignored.
    pub port: Vec<u16>,
    /// The socket's send buffer. The system's default when absent; the system may cap what is asked for.
    pub send_buffer: Option<Size>,
}

impl Default for Config {
    fn default() -> Self {
        Config { host: vec!["127.0.0.1".to_owned()], port: vec![5566], send_buffer: None }
    }
}

/// One datagram per message to every destination: compact JSON, no newline.
#[derive(Debug)]
pub struct UdpSender {
    destinations: Vec<Destination>,
}

impl UdpSender {
    /// The destinations as `host:port`.
    pub fn destinations(&self) -> Vec<String> {
        self.destinations.iter().map(Destination::name).collect()
    }

    /// Hands some messages to every destination. Adds to `refused` the positions that are too large.
    fn turn(&mut self, messages: &[&[u8]], tell: &mut Tell) -> Turn {
        let mut turn = Turn { through: messages.len(), refused: BTreeSet::new(), stop: None };
        let (mut up, mut furthest) = (false, 0);
        for destination in &mut self.destinations {
            let mut from = 0;
            let mut pauses = 0;
            loop {
                let outcome = destination.send(messages.get(from..).unwrap_or_default());
                turn.refused.extend(outcome.refused.iter().map(|at| from + at));
                from += outcome.through;
                if outcome.unheard > 0 {
                    tell.add(format!("nobody listens at {}", destination.name()));
                }
                match outcome.trouble {
                    None => {
                        up = true;
                        break;
                    }
                    Some(trouble) if trouble.busy => {
                        pauses += 1;
                        if pauses <= PAUSES {
                            std::thread::sleep(PAUSE);
                            continue;
                        }
                        up = true;
                        turn.through = turn.through.min(from);
                        turn.stop.get_or_insert(trouble.why);
                        break;
                    }
                    Some(trouble) => {
                        tell.add(trouble.why);
                        break;
                    }
                }
            }
            furthest = furthest.max(from);
        }
        if !up {
            turn.through = furthest;
            turn.stop = Some(tell.words());
        }
        turn
    }
}

/// How far all destinations together came with some messages.
struct Turn {
    through: usize,
    refused: BTreeSet<usize>,
    stop: Option<String>,
}

/// What people should know of a batch that did go through, each thing once.
#[derive(Default)]
struct Tell(BTreeSet<String>);

impl Tell {
    fn add(&mut self, what: String) {
        self.0.insert(what);
    }

    fn words(&self) -> String {
        self.0.iter().map(String::as_str).collect::<Vec<_>>().join("; ")
    }
}

impl Sender for UdpSender {
    fn send(&mut self, batch: &Lines) -> Result<(), SendError> {
        let (mut places, mut bodies) = (Vec::with_capacity(batch.len()), Vec::with_capacity(batch.len()));
        let mut refused = BTreeSet::new();
        let mut tell = Tell::default();
        for (at, message) in batch.iter().enumerate() {
            if message.len() > DATAGRAM {
                refused.insert(at);
                tell.add(format!("message {at} has {} bytes, more than fit in a datagram ({DATAGRAM})", message.len()));
            } else {
                places.push(at);
                bodies.push(message);
            }
        }

        let mut sent = 0;
        while let Some(rest) = bodies.get(sent..).filter(|rest| !rest.is_empty()) {
            let turn = self.turn(rest.get(..TURN).unwrap_or(rest), &mut tell);
            for at in turn.refused {
                if let (Some(&place), Some(body)) = (places.get(sent + at), rest.get(at)) {
                    refused.insert(place);
                    tell.add(format!("message {place} has {} bytes, more than this system sends", body.len()));
                }
            }
            sent += turn.through;
            if let Some(why) = turn.stop {
                // `done` cannot say that one of the first was refused, so it ends before that one: what followed it
                // is sent twice, which the router notices, and nothing is counted as sent that was not.
                let done = places.get(sent).copied().unwrap_or(batch.len());
                let done = refused.first().map_or(done, |&first| first.min(done));
                return Err(SendError::retry_after_first(done, why));
            }
        }
        if refused.is_empty() && tell.0.is_empty() {
            return Ok(());
        }
        Err(SendError::Refuse { why: tell.words(), which: refused.into_iter().collect() })
    }
}

/// The destinations, none of which is looked up yet.
fn plan(config: &Config) -> Result<Vec<Destination>, String> {
    if config.host.is_empty() {
        return Err("`host` is an empty list: name at least one".to_owned());
    }
    let Some(&last) = config.port.last() else {
        return Err("`port` is an empty list: name at least one, the router's own is 5566".to_owned());
    };
    let send_buffer = config.send_buffer.map(|size| usize::try_from(size.bytes()));
    let send_buffer = send_buffer.transpose().map_err(|_| "`send_buffer` is too large".to_owned())?;
    let destination = |(at, host): (usize, &String)| {
        let host = host.trim().to_owned();
        if host.is_empty() {
            return Err("`host` holds an empty name".to_owned());
        }
        match config.port.get(at).copied().unwrap_or(last) {
            0 => Err("`port` is 0: nothing can listen there, the router's own is 5566".to_owned()),
            port => Ok(Destination::new(host, port, send_buffer)),
        }
    };
    config.host.iter().enumerate().map(destination).collect()
}

impl Configured for UdpSender {
    type Config = Config;

    fn check(config: &Config) -> Result<(), String> {
        plan(config).map(drop)
    }

    fn open(config: Config) -> Result<Self, String> {
        let mut destinations = plan(&config)?;
        for destination in &mut destinations {
            // A name that is unknown now may be known later: the first send says what is wrong, the client keeps the
            // messages. A start must not depend on a name server.
            let _ = destination.prepare();
        }
        Ok(UdpSender { destinations })
    }
}

inventory::submit! {
    SenderEntry::of::<UdpSender>(
        "udp",
        &["metlog.senders.udp.UdpSender", "UdpSender"],
        include_str!("../example.toml"),
    )
}
