//! The small steps every mapping of a message to another system's event needs.
//!
//! Rule of all mappings: nothing is lost. What the other system has a place for goes there; everything else of the
//! caller goes where that system keeps free data, and what it cannot know about us goes there too, in one object
//! named `metlog`.

use metlog_message::message::Origin;
use metlog_message::wire::{self, Limits};
use metlog_message::{Fields, Message, Severity, Value};

/// Reads a line of a batch. The error is a reason to refuse that message.
pub fn message(line: &[u8]) -> Result<Message, String> {
    wire::read(line, &Limits::NONE).map(|read| read.message).map_err(|refusal| refusal.to_string())
}

/// A value as JSON text.
pub fn json(value: &Value) -> Vec<u8> {
    let mut text = Vec::new();
    wire::write_value(&mut text, value);
    text
}

/// The severity on the scale of six that Master Log and log-collector share, in lower case. A debug message whose
/// field `level` says `trace` is one.
pub fn level_of_six(message: &Message) -> &'static str {
    match message.severity {
        Severity::Emergency | Severity::Alert | Severity::Critical => "fatal",
        Severity::Error => "error",
        Severity::Warning => "warn",
        Severity::Notice | Severity::Informational => "info",
        Severity::Debug if is_trace(message) => "trace",
        Severity::Debug => "debug",
    }
}

/// Whether the field `level` makes this debug message a trace.
pub fn is_trace(message: &Message) -> bool {
    message.severity == Severity::Debug
        && message.fields.get("level").and_then(Value::as_str).is_some_and(|level| level.eq_ignore_ascii_case("trace"))
}

/// The object `metlog`: the envelope, and what of it the event's own shape cannot give back.
///
/// `type`, `severity`, `logger`, `hostname`, `pid`, `client` and `seq` when there are any; `payload` when it was not
/// text; `envelope` for envelope keys that are none of ours.
pub fn envelope(message: &Message) -> Fields {
    let mut envelope = Fields::new();
    envelope.set("type", message.kind.as_str());
    envelope.set("severity", message.severity.number());
    if !message.logger.is_empty() {
        envelope.set("logger", message.logger.as_str());
    }
    if let Some(hostname) = &message.hostname {
        envelope.set("hostname", hostname.as_str());
    }
    if let Some(pid) = message.pid {
        envelope.set("pid", pid);
    }
    if let Some(origin) = &message.origin {
        envelope.set("client", origin.client.as_str());
        envelope.set("seq", origin.seq);
    }
    if !matches!(message.payload, Value::Str(_)) {
        envelope.set("payload", message.payload.clone());
    }
    if !message.extra.is_empty() {
        envelope.set("envelope", message.extra.clone());
    }
    envelope
}

/// The message that an [`envelope`] is of, as far as that says, which is taken out of it: without time, payload and fields.
/// Nothing if it is no such object.
pub fn opened(envelope: &mut Fields) -> Option<Message> {
    let text = |value| if let Some(Value::Str(text)) = value { Some(text) } else { None };
    let mut message = Message::new(text(envelope.remove("type"))?);
    message.severity = Severity::from_number(envelope.remove("severity")?.as_i64()?)?;
    message.logger = text(envelope.remove("logger")).unwrap_or_default();
    message.hostname = text(envelope.remove("hostname"));
    message.pid = envelope.remove("pid").and_then(|pid| pid.as_i64());
    let seq = match envelope.remove("seq") {
        Some(Value::UInt(seq)) => Some(seq),
        seq => seq.and_then(|seq| u64::try_from(seq.as_i64()?).ok()),
    };
    message.origin = text(envelope.remove("client")).zip(seq).map(|(client, seq)| Origin { client, seq });
    if let Some(Value::Map(extra)) = envelope.remove("envelope") {
        message.extra = extra;
    }
    Some(message)
}

/// A name that is not taken: underscores in front until it is not.
pub fn free(data: &Fields, name: &str) -> String {
    let mut name = name.to_owned();
    while data.contains(&name) {
        name.insert(0, '_');
    }
    name
}

/// Adds a value beside the caller's own data without replacing any of it.
pub fn add(data: &mut Fields, name: &str, value: impl Into<Value>) {
    data.push(free(data, name), value.into());
}

/// Takes out a text that is not blank. Anything else under that name stays where it is.
pub fn take_text(fields: &mut Fields, name: &str) -> Option<String> {
    match fields.get(name)?.as_str() {
        Some(text) if !text.trim().is_empty() => match fields.remove(name) {
            Some(Value::Str(text)) => Some(text),
            _ => None,
        },
        _ => None,
    }
}

/// Takes out a finite number.
pub fn take_number(fields: &mut Fields, name: &str) -> Option<Value> {
    fields.get(name)?.as_f64().filter(|number| number.is_finite())?;
    fields.remove(name)
}

/// JSON values between a head and a tail, separated by commas.
pub fn joined(head: &[u8], values: &[Vec<u8>], tail: &[u8]) -> Vec<u8> {
    let length: usize = values.iter().map(|value| value.len() + 1).sum();
    let mut text = Vec::with_capacity(head.len() + length + tail.len());
    text.extend_from_slice(head);
    for (at, value) in values.iter().enumerate() {
        if at > 0 {
            text.push(b',');
        }
        text.extend_from_slice(value);
    }
    text.extend_from_slice(tail);
    text
}
