//! What an entry of log-collector is to us: the way back of `mapping`.
//!
//! An entry of our own sender becomes the message it was. Any other becomes one of type `log`; its keys go into the
//! message as they stand. The table is in the README.

use crate::filler;
use metlog_http::event;
use metlog_http::server::Parts;
use metlog_message::wire::{self, Limits, strict};
use metlog_message::{Fields, Message, Severity, Timestamp, Value};

/// In the envelope key `via`.
pub const VIA: &str = "logcollector";

/// Its type. A `duration_ms` does not make it a timer: a timer's payload is its duration, and here it has a text.
const KIND: &str = "log";

/// The router judges sizes itself; the number of values bounds memory.
const LIMITS: Limits = Limits { values: 65_536, depth: 32, ..Limits::NONE };

type Json<'a> = &'a [u8];

/// Buffers that one entry after the other uses.
#[derive(Default)]
pub struct Reading {
    fields: Vec<u8>,
}

/// The parts of an entry that are more than fields, as they stand.
#[derive(Default)]
struct Entry<'a> {
    level: Option<Json<'a>>,
    message: Option<Json<'a>>,
    created_at: Option<Json<'a>>,
    service: Option<Json<'a>>,
    metadata: Option<Json<'a>>,
    twice: bool,
}

impl Reading {
    /// Writes the message of an entry, or nothing if the entry is not strictly right.
    pub fn message(&mut self, json: &[u8], now: Timestamp, out: &mut Vec<u8>) -> Option<()> {
        let fields = &mut self.fields;
        fields.clear();
        let mut entry = Entry::default();
        let each = |name: &[u8], value| {
            let (place, field) = match name {
                b"\"level\"" => (&mut entry.level, false),
                b"\"message\"" => (&mut entry.message, false),
                b"\"created_at\"" => (&mut entry.created_at, false),
                b"\"service\"" => (&mut entry.service, true),
                b"\"metadata\"" => (&mut entry.metadata, true),
                _ => return put(fields, name, value),
            };
            entry.twice |= place.replace(value).is_some();
            if field {
                put(fields, name, value);
            }
        };
        strict::members(json, &LIMITS, each).ok()?;
        if entry.twice || entry.level.is_none() && entry.message.is_none() {
            return None;
        }
        if entry.metadata.is_some_and(has_envelope)
            && let Ok(Value::Map(entry)) = wire::read_value_within(json, &LIMITS)
            && let Some(mut message) = restored(entry)
        {
            message.extra.set("via", VIA);
            wire::write(out, &message);
            return Some(());
        }
        let (severity, plain) = severity(entry.level);
        if let Some(level) = entry.level.filter(|_| !plain) {
            put(fields, b"\"level\"", level);
        }
        let created = entry.created_at.filter(|json| *json != b"null");
        let moment = created.and_then(moment);
        if let (Some(odd), false) = (created, moment.is_some_and(|(_, whole)| whole)) {
            put(fields, b"\"created_at\"", odd);
        }
        let parts = Parts {
            kind: KIND,
            timestamp: moment.map_or(now, |(moment, _)| moment),
            logger: &entry.service.and_then(strict::text).unwrap_or_default(),
            severity,
            payload: entry.message.unwrap_or(b"\"\""),
            fields,
            pid: None,
            hostname: None,
            via: VIA,
        };
        parts.write(out);
        Some(())
    }
}

fn put(fields: &mut Vec<u8>, name: &[u8], value: Json<'_>) {
    if !fields.is_empty() {
        fields.push(b',');
    }
    fields.extend_from_slice(name);
    fields.push(b':');
    fields.extend_from_slice(value);
}

/// The severity of a level, and whether it says all that the level says.
fn severity(json: Option<Json<'_>>) -> (Severity, bool) {
    match json {
        None => (Severity::Informational, true),
        Some(b"\"TRACE\"") => (Severity::Debug, false),
        Some(b"\"DEBUG\"") => (Severity::Debug, true),
        Some(b"\"INFO\"") => (Severity::Informational, true),
        Some(b"\"WARN\"") => (Severity::Warning, true),
        Some(b"\"ERROR\"") => (Severity::Error, true),
        Some(b"\"FATAL\"") => (Severity::Critical, true),
        Some(other) => {
            let text = strict::text(other).unwrap_or_else(|| String::from_utf8_lossy(other));
            (Severity::parse(&text).unwrap_or_default(), false)
        }
    }
}

/// The moment of a number or text, and whether it says all that they do. Seconds since 1970, as the clients write them;
/// beyond the year 5138 they are taken for milli-, micro- or nanoseconds, which browsers and others have at hand.
fn moment(json: Json<'_>) -> Option<(Timestamp, bool)> {
    if let Some(text) = strict::text(json) {
        return Timestamp::parse(&text).map(|moment| (moment, moment.to_string() == *text));
    }
    let number: f64 = std::str::from_utf8(json).ok()?.parse().ok()?;
    let micros = match number.abs() {
        size if size < 1e11 => number * 1e6,
        size if size < 1e14 => number * 1e3,
        size if size < 1e17 => number,
        size if size < 9.2e18 => number / 1e3,
        _ => return None,
    };
    Some((Timestamp::from_nanos(micros.round() as i64 * 1000), true))
}

/// Whether an object may hold what our own sender adds; a closer look follows.
fn has_envelope(metadata: Json<'_>) -> bool {
    let mut found = false;
    let each = |name: &[u8], value: &[u8]| {
        found |= name.ends_with(b"metlog\"") && value.first() == Some(&b'{');
    };
    // It stands inside what was found to be right, and may be no object.
    let _ = strict::members(metadata, &LIMITS, each);
    found
}

/// The message that our own sender made this entry of; nothing if it is none of its entries.
fn restored(mut entry: Fields) -> Option<Message> {
    let Some(Value::Map(mut metadata)) = entry.remove("metadata") else { return None };
    // It was added last, so that any of the caller's own stand before it.
    let name = metadata.iter().filter(|(name, _)| name.trim_start_matches('_') == "metlog").last()?.0.to_owned();
    let Some(Value::Map(mut envelope)) = metadata.remove(&name) else { return None };
    if let Some(whole) = envelope.get("whole").and_then(Value::as_str) {
        return wire::read(whole.as_bytes(), &LIMITS).ok().map(|read| read.message);
    }
    let mut message = event::opened(&mut envelope)?;
    message.timestamp = envelope.get("timestamp").and_then(Value::as_str).and_then(Timestamp::parse)?;
    let body = entry.remove("message").unwrap_or_default();
    message.payload = envelope.remove("payload").unwrap_or(body);

    let mut fields = Fields::new();
    if entry.remove("level").is_some_and(|level| level.as_str() == Some("TRACE")) {
        fields.set("level", "trace");
    }
    entry.remove("created_at");
    let timer = message.kind == "timer";
    for (name, value) in entry {
        let filled = filler::is(&name, &value, &message.logger) || timer && name == "duration_ms";
        if !filled {
            fields.set(name, value);
        }
    }
    if let Some(names) = envelope.get("metadata").and_then(Value::as_list) {
        let own = |name: &Value| Some((name.as_str()?.to_owned(), metadata.remove(name.as_str()?)?));
        fields.set("metadata", names.iter().filter_map(own).collect::<Fields>());
    }
    let kept = envelope.remove("fields").and_then(|kept| if let Value::Map(kept) = kept { Some(kept) } else { None });
    for (name, value) in metadata.into_iter().chain(kept.unwrap_or_default()) {
        fields.set(name, value);
    }
    message.fields = fields;
    Some(message)
}
