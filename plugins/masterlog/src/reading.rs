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

/// A name, with its quotes, and a value.
type Member<'a> = (Json<'a>, Json<'a>);

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
    /// Members of the metadata, if that is an object.
    within: Vec<Member<'a>>,
    others: Vec<Member<'a>>,
    process: Process<'a>,
}

impl<'a> Event<'a> {
    /// The event that a text begins with, and how long it is.
    fn read(&mut self, text: &'a [u8], inner: &mut Inner<'a>) -> Option<usize> {
        let (mut within, mut others) = (std::mem::take(&mut self.within), std::mem::take(&mut self.others));
        within.clear();
        others.clear();
        *self = Event { within, others, ..Event::default() };
        inner.clear();
        let mut twice = false;
        let length = strict::nested(text, &LIMITS, 3, |level, name, value| match level {
            1 => {
                twice |= !self.part(name, value, inner);
                inner.clear();
            }
            2 => inner.member(name, value),
            _ => inner.deepest.push((name, value)),
        });
        let something = [self.severity, self.title, self.body, self.metadata].iter().any(Option::is_some);
        length.ok().filter(|_| something && !twice)
    }

    /// Puts a part into its place; false if that is taken.
    fn part(&mut self, name: Json<'a>, value: Json<'a>, inner: &mut Inner<'a>) -> bool {
        let place = match name {
            b"\"severity\"" => &mut self.severity,
            b"\"title\"" => &mut self.title,
            b"\"tags\"" => &mut self.tags,
            b"\"body\"" => &mut self.body,
            b"\"metadata\"" => {
                std::mem::swap(&mut self.within, &mut inner.members);
                self.process = std::mem::take(&mut inner.process);
                &mut self.metadata
            }
            b"\"ttl_seconds\"" => &mut self.ttl_seconds,
            b"\"expires_at\"" => &mut self.expires_at,
            b"\"created_at\"" => &mut self.created_at,
            _ => {
                self.others.push((name, value));
                return true;
            }
        };
        place.replace(value).is_none()
    }
}

/// What an object holds comes before it is known whose value it is.
#[derive(Default)]
struct Inner<'a> {
    members: Vec<Member<'a>>,
    process: Process<'a>,
    deepest: Vec<Member<'a>>,
}

impl<'a> Inner<'a> {
    fn clear(&mut self) {
        self.members.clear();
        self.process = Process::default();
        self.deepest.clear();
    }

    fn member(&mut self, name: Json<'a>, value: Json<'a>) {
        self.members.push((name, value));
        if value.first() == Some(&b'{') {
            self.process.offer(name, &self.deepest);
        }
        self.deepest.clear();
    }
}

/// What the published client says of its process.
#[derive(Default)]
struct Process<'a> {
    hostname: Option<Json<'a>>,
    pid: Option<i64>,
    name: Option<Json<'a>>,
    /// Under which of its names it was found; nought: not at all.
    rank: usize,
}

impl<'a> Process<'a> {
    /// If the caller's own metadata has something of that name, the client's has an underscore.
    fn offer(&mut self, name: Json<'a>, members: &[Member<'a>]) {
        let rank = match name {
            b"\"_python_client\"" => 2,
            b"\"python_client\"" => 1,
            _ => 0,
        };
        if rank <= self.rank {
            return;
        }
        *self = Process { rank, ..Process::default() };
        let text = |json: Json<'a>| Some(json).filter(|json| json.first() == Some(&b'"'));
        for (name, value) in members {
            match *name {
                b"\"hostname\"" => self.hostname = text(value),
                b"\"pid\"" => self.pid = std::str::from_utf8(value).ok().and_then(|pid| pid.parse().ok()),
                b"\"process_name\"" => self.name = text(value),
                _ => {}
            }
        }
    }

    /// The name of the program's file.
    fn logger(&self) -> Cow<'a, str> {
        self.name.and_then(strict::text).unwrap_or_default()
    }
}

/// Whose id a message has.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Named {
    /// The one that was offered.
    Ours,
    /// One it brought along, or none: a message of our own sender, which is not changed.
    Own(Option<String>),
}

/// Reads one event after the other.
#[derive(Default)]
pub struct Reading<'a> {
    event: Event<'a>,
    inner: Inner<'a>,
    fields: Members<'a>,
}

impl<'a> Reading<'a> {
    /// Writes the message of the event that a text begins with, and says how long the event is; nothing if it is not
    /// strictly right.
    pub fn message(&mut self, text: &'a [u8], id: &Id, now: Timestamp, out: &mut Vec<u8>) -> Option<(Named, usize)> {
        let length = self.event.read(text, &mut self.inner)?;
        if self.event.within.iter().any(|(name, _)| is_envelope(name))
            && let Ok(Value::Map(event)) = wire::read_value_within(text.get(..length)?, &LIMITS)
            && let Some(mut message) = restored(event)
        {
            let id = ["id", "event_id"].iter().find_map(|name| message.fields.get(name)?.as_str().map(str::to_owned));
            message.extra.set("via", VIA);
            wire::write(out, &message);
            return Some((Named::Own(id), length));
        }
        self.foreign(id, now, out);
        Some((Named::Ours, length))
    }

    fn foreign(&mut self, id: &Id, now: Timestamp, out: &mut Vec<u8>) {
        let Reading { event, fields, .. } = self;
        let (severity, level) = severity(event.severity);
        let created = event.created_at.and_then(strict::text).and_then(|text| Some((Timestamp::parse(&text)?, text)));
        // Any other spelling of the moment stays beside it.
        let ours = created.as_ref().is_some_and(|(moment, text)| moment.text() == text.as_bytes());
        fields.begin(id);
        for (name, value) in [
            (&b"\"title\""[..], event.title),
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
        for (members, last) in [(&event.others, false), (&event.within, true)] {
            for &(name, value) in members {
                let name = fields.free(name, &[&event.others, &event.within]);
                fields.write(&name, value);
                if !last || matches!(name, Cow::Owned(_)) {
                    fields.taken.push(name);
                }
            }
        }
        let parts = Parts {
            kind: KIND,
            timestamp: created.map_or(now, |(moment, _)| moment),
            logger: &event.process.logger(),
            severity,
            payload: event.body.unwrap_or(b"\"\""),
            fields: &fields.text,
            pid: event.process.pid,
            hostname: event.process.hostname,
            via: VIA,
        };
        parts.write(out);
    }
}

/// Fields that are being written, and names that others must not take.
#[derive(Default)]
struct Members<'a> {
    text: Vec<u8>,
    taken: Vec<Cow<'a, [u8]>>,
}

impl<'a> Members<'a> {
    fn begin(&mut self, id: &Id) {
        const NAME: &[u8] = b"\"id\"";
        self.text.clear();
        self.text.extend_from_slice(NAME);
        self.text.extend_from_slice(b":\"");
        self.text.extend_from_slice(id);
        self.text.push(b'"');
        self.taken.clear();
        self.taken.push(Cow::Borrowed(NAME));
    }

    fn write(&mut self, name: &[u8], value: Json<'_>) {
        self.text.push(b',');
        self.text.extend_from_slice(name);
        self.text.push(b':');
        self.text.extend_from_slice(value);
    }

    fn is_taken(&self, name: &[u8]) -> bool {
        self.taken.iter().any(|taken| **taken == *name)
    }

    /// The name, or one with underscores that is neither taken nor meant for another.
    fn free(&self, name: &'a [u8], others: &[&[Member<'a>]]) -> Cow<'a, [u8]> {
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
