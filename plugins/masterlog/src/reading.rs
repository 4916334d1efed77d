//! What an event of Master Log is to us: the way back of `mapping`.
//!
//! An event of our own sender becomes the message it was. Any other becomes one of type `log`; its parts are not taken
//! further apart than that needs and go into the message as they stand. The table is in the README.

use crate::id::Id;
use crate::title::title_of;
use metlog_http::event;
use metlog_http::server::Parts;
use metlog_message::wire::{self, Limits, strict};
use metlog_message::{Fields, Message, Severity, Timestamp, Value};
use std::borrow::Cow;

/// In the envelope key `via`.
pub const VIA: &str = "masterlog";

/// Its type.
const KIND: &str = "log";

/// The router judges sizes itself; the number of values bounds memory.
const LIMITS: Limits = Limits { values: 65_536, depth: 32, ..Limits::NONE };

type Json<'a> = &'a [u8];

/// An event's parts as they stand.
#[derive(Default)]
struct Event<'a> {
    severity: Option<Json<'a>>,
    title: Option<Json<'a>>,
    tags: Option<Json<'a>>,
    body: Option<Json<'a>>,
    metadata: Option<Json<'a>>,
    ttl_seconds: Option<Json<'a>>,
    expires_at: Option<Json<'a>>,
    created_at: Option<Json<'a>>,
    others: Vec<(Json<'a>, Json<'a>)>,
}

impl<'a> Event<'a> {
    fn of(json: &'a [u8]) -> Option<Self> {
        let mut event = Event::default();
        let mut twice = false;
        let each = |name: Json<'a>, value: Json<'a>| {
            let place = match name {
                b"\"severity\"" => &mut event.severity,
                b"\"title\"" => &mut event.title,
                b"\"tags\"" => &mut event.tags,
                b"\"body\"" => &mut event.body,
                b"\"metadata\"" => &mut event.metadata,
                b"\"ttl_seconds\"" => &mut event.ttl_seconds,
                b"\"expires_at\"" => &mut event.expires_at,
                b"\"created_at\"" => &mut event.created_at,
                _ => return event.others.push((name, value)),
            };
            twice |= place.replace(value).is_some();
        };
        strict::members(json, &LIMITS, each).ok()?;
        (!twice).then_some(event)
    }

    /// Whether it has anything that every event has.
    fn says_something(&self) -> bool {
        [self.severity, self.title, self.body, self.metadata].iter().any(Option::is_some)
    }
}

/// Buffers that one event after the other uses.
#[derive(Default)]
pub struct Reading {
    fields: Vec<u8>,
}

/// Whose id a message has.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Named {
    /// The one that was offered.
    Ours,
    /// One it brought along, or none: a message of our own sender, which is not changed.
    Own(Option<String>),
}

impl Reading {
    /// Writes the message of an event, or nothing if the event is not strictly right.
    pub fn message(&mut self, json: &[u8], id: &Id, now: Timestamp, out: &mut Vec<u8>) -> Option<Named> {
        let event = Event::of(json).filter(Event::says_something)?;
        let metadata = match event.metadata {
            Some(json) if json.first() == Some(&b'{') => Some(members(json)?),
            _ => None,
        };
        if metadata.as_ref().is_some_and(|members| members.iter().any(|(name, _)| is_envelope(name)))
            && let Ok(Value::Map(event)) = wire::read_value_within(json, &LIMITS)
            && let Some(mut message) = restored(event)
        {
            let id = ["id", "event_id"].iter().find_map(|name| message.fields.get(name)?.as_str().map(str::to_owned));
            message.extra.set("via", VIA);
            wire::write(out, &message);
            return Some(Named::Own(id));
        }
        self.foreign(&event, metadata.as_deref().unwrap_or_default(), id, now, out);
        Some(Named::Ours)
    }

    fn foreign(&mut self, event: &Event<'_>, metadata: &[Member<'_>], id: &Id, now: Timestamp, out: &mut Vec<u8>) {
        let (severity, level) = severity(event.severity);
        let created = event.created_at.and_then(strict::text).and_then(|text| Some((Timestamp::parse(&text)?, text)));
        // Any other spelling of the moment stays beside it.
        let ours = created.as_ref().is_some_and(|(moment, text)| moment.to_string() == **text);
        let quoted_id = [b"\"".as_slice(), id, b"\""].concat();

        self.fields.clear();
        let mut fields = Members { out: &mut self.fields, taken: Vec::with_capacity(8) };
        for (name, value) in [
            (&b"\"id\""[..], Some(quoted_id.as_slice())),
            (b"\"title\"", event.title),
            (b"\"tags\"", event.tags.filter(|json| *json != b"[]")),
            (b"\"ttl_seconds\"", event.ttl_seconds),
            (b"\"expires_at\"", event.expires_at),
            (b"\"created_at\"", event.created_at.filter(|_| !ours)),
            (b"\"severity\"", event.severity.filter(|_| level == Level::Odd)),
            (b"\"level\"", (level == Level::Trace).then_some(&b"\"trace\""[..])),
            (b"\"metadata\"", event.metadata.filter(|json| json.first() != Some(&b'{'))),
        ] {
            if let Some(value) = value.filter(|json| *json != b"null") {
                fields.write(name, value);
                fields.taken.push(Cow::Borrowed(name));
            }
        }
        for (members, last) in [(event.others.as_slice(), false), (metadata, true)] {
            for &(name, value) in members {
                let name = fields.free(name, &[&event.others, metadata]);
                fields.write(&name, value);
                if !last || matches!(name, Cow::Owned(_)) {
                    fields.taken.push(name);
                }
            }
        }
        let process = Process::of(metadata);
        let parts = Parts {
            kind: KIND,
            timestamp: created.map_or(now, |(moment, _)| moment),
            logger: &process.logger(),
            severity,
            payload: event.body.unwrap_or(b"\"\""),
            fields: &self.fields,
            pid: process.pid,
            hostname: process.hostname,
            via: VIA,
        };
        parts.write(out);
    }
}

/// A name, with its quotes, and a value.
type Member<'a> = (Json<'a>, Json<'a>);

/// The members of a strictly valid object.
fn members(json: Json<'_>) -> Option<Vec<Member<'_>>> {
    let mut members = Vec::with_capacity(8);
    strict::members(json, &LIMITS, |name, value| members.push((name, value))).ok()?;
    Some(members)
}

/// Fields that are being written, and names that others must not take.
struct Members<'w, 'a> {
    out: &'w mut Vec<u8>,
    taken: Vec<Cow<'a, [u8]>>,
}

impl Members<'_, '_> {
    fn write(&mut self, name: &[u8], value: Json<'_>) {
        if !self.out.is_empty() {
            self.out.push(b',');
        }
        self.out.extend_from_slice(name);
        self.out.push(b':');
        self.out.extend_from_slice(value);
    }

    fn is_taken(&self, name: &[u8]) -> bool {
        self.taken.iter().any(|taken| **taken == *name)
    }

    /// The name, or one with underscores that is neither taken nor meant for another.
    fn free<'n>(&self, name: &'n [u8], others: &[&[Member<'_>]]) -> Cow<'n, [u8]> {
        let mut free = Cow::Borrowed(name);
        while self.is_taken(&free)
            || free.len() > name.len() && others.iter().any(|all| all.iter().any(|one| one.0 == &*free))
        {
            free.to_mut().insert(1, b'_');
        }
        free
    }
}

/// What besides a severity has to be said of an event.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Level {
    Plain,
    Trace,
    /// None of the six: kept as it stands.
    Odd,
}

fn severity(json: Option<Json<'_>>) -> (Severity, Level) {
    let plain = |severity| (severity, Level::Plain);
    match json {
        None => plain(Severity::Informational),
        Some(b"\"trace\"") => (Severity::Debug, Level::Trace),
        Some(b"\"debug\"") => plain(Severity::Debug),
        Some(b"\"info\"") => plain(Severity::Informational),
        Some(b"\"warn\"") => plain(Severity::Warning),
        Some(b"\"error\"") => plain(Severity::Error),
        Some(b"\"fatal\"") => plain(Severity::Critical),
        Some(other) => {
            let text = strict::text(other).unwrap_or_else(|| String::from_utf8_lossy(other));
            (Severity::parse(&text).unwrap_or_default(), Level::Odd)
        }
    }
}

/// What the published client says of its process.
#[derive(Default)]
struct Process<'a> {
    hostname: Option<Json<'a>>,
    pid: Option<i64>,
    name: Option<Json<'a>>,
}

impl<'a> Process<'a> {
    /// If the caller's own metadata has something of that name, the client's has an underscore.
    fn of(metadata: &[Member<'a>]) -> Self {
        let named = |name: &[u8]| metadata.iter().find(|one| one.0 == name && one.1.first() == Some(&b'{'));
        let mut process = Process::default();
        let Some((_, json)) = named(b"\"_python_client\"").or_else(|| named(b"\"python_client\"")) else {
            return process;
        };
        let text = |json: &'a [u8]| Some(json).filter(|json| json.first() == Some(&b'"'));
        let each = |name: &[u8], value: &'a [u8]| match name {
            b"\"hostname\"" => process.hostname = text(value),
            b"\"pid\"" => process.pid = std::str::from_utf8(value).ok().and_then(|pid| pid.parse().ok()),
            b"\"process_name\"" => process.name = text(value),
            _ => {}
        };
        // It stands inside what was found to be right.
        let _ = strict::members(json, &LIMITS, each);
        process
    }

    /// The name of the program's file.
    fn logger(&self) -> Cow<'a, str> {
        self.name.and_then(strict::text).unwrap_or_default()
    }
}

/// `metlog` behind any number of underscores, in quotes.
fn is_envelope(name: &[u8]) -> bool {
    let name = name.strip_prefix(b"\"").and_then(|name| name.strip_suffix(b"metlog\""));
    name.is_some_and(|before| before.iter().all(|byte| *byte == b'_'))
}

/// The message that our own sender made this event of; nothing if it is none of its events.
fn restored(mut event: Fields) -> Option<Message> {
    let Some(Value::Map(mut fields)) = event.remove("metadata") else { return None };
    // It was added last, so that any of the caller's own stand before it.
    let name = fields.iter().filter(|(name, _)| name.trim_start_matches('_') == "metlog").last()?.0.to_owned();
    let Some(Value::Map(mut envelope)) = fields.remove(&name) else { return None };
    let mut message = event::opened(&mut envelope)?;
    let body = event.remove("body").unwrap_or_default();
    let derived = title_of(&body.to_text(), &message.kind);
    message.payload = envelope.remove("payload").unwrap_or(body);

    let created = event.remove("created_at");
    let timestamp = envelope.get("timestamp").and_then(Value::as_str).and_then(Timestamp::parse);
    if let Some(timestamp) = timestamp {
        message.timestamp = timestamp;
        fields.set("created_at", created.unwrap_or_default());
    } else {
        message.timestamp = created.as_ref().and_then(Value::as_str).and_then(Timestamp::parse)?;
    }
    if event.remove("severity").is_some_and(|level| level.as_str() == Some("trace")) {
        fields.set("level", "trace");
    }
    for (name, value) in event {
        let derived = match name.as_str() {
            "title" => value.as_str() == Some(&derived),
            "tags" => value.as_list().is_some_and(<[Value]>::is_empty),
            _ => false,
        };
        if !derived {
            fields.set(name, value);
        }
    }
    if let Some(Value::Map(kept)) = envelope.remove("fields") {
        for (name, value) in kept {
            fields.set(name, value);
        }
    }
    message.fields = fields;
    Some(message)
}
