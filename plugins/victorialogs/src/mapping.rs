//! What a message is to VictoriaLogs: one JSON line, checked against everything the server would lose without a word.
//!
//! The table is in the README.

use metlog_message::{Fields, Message, Timestamp, Value};
use metlog_settings::{Size, Span};
use std::collections::HashSet;

/// The server drops rows with more fields (`-insert.maxFieldsPerLine`), and answers 200.
pub const MAX_FIELDS: usize = 1000;

/// A longer name makes the server give up on the object that holds it.
pub(crate) const MAX_NAME: usize = 128;

/// Nanoseconds of earlier times look like another unit to the server, or like "now".
const FIRST_SECOND: f64 = 365.0 * 86400.0;

/// Names that are taken: by this mapping, or by the server.
const TAKEN: &[&str] = &[
    "",
    "_time",
    "_msg",
    "_stream",
    "_stream_id",
    "type",
    "logger",
    "severity",
    "hostname",
    "pid",
    "metlog_client",
    "metlog_seq",
    "payload",
    "fields",
    "long_names",
    "envelope",
];

/// What the server would drop, as it was configured.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Limits {
    /// Lines of this many bytes and more (`-insert.maxLineSizeBytes`).
    pub line: usize,
    /// Seconds into the past (`-retentionPeriod`).
    pub past: f64,
    /// Seconds into the future (`-futureRetention`).
    pub future: f64,
}

impl Default for Limits {
    fn default() -> Self {
        Limits { line: 256 * 1024, past: 7.0 * 86400.0, future: 2.0 * 86400.0 }
    }
}

impl Limits {
    /// As the settings say.
    pub(crate) fn of(line: Size, past: Span, future: Span) -> Self {
        Limits {
            line: usize::try_from(line.bytes()).unwrap_or(usize::MAX),
            past: past.duration().as_secs_f64(),
            future: future.duration().as_secs_f64(),
        }
    }

    /// Whether the server keeps what was written at this moment. `now` is in seconds since 1970.
    pub(crate) fn check_time(&self, moment: Timestamp, now: f64) -> Result<(), String> {
        let at = seconds(moment);
        let days = |seconds: f64| seconds / 86400.0;
        if at < now - self.past {
            return Err(format!(
                "its timestamp {moment} is more than {:.1} days old, and the server drops such messages without a \
                 word; if it keeps them longer (`-retentionPeriod`), say so in `retention`",
                days(self.past)
            ));
        }
        if at > now + self.future {
            return Err(format!(
                "its timestamp {moment} is more than {:.1} days ahead, and the server drops such messages without a \
                 word; if it allows more (`-futureRetention`), say so in `future_retention`",
                days(self.future)
            ));
        }
        Ok(())
    }

    /// Whether the server takes a line of this length.
    pub(crate) fn check_length(&self, bytes: usize) -> Result<(), String> {
        if bytes < self.line {
            return Ok(());
        }
        Err(format!(
            "it is {bytes} bytes long, and the server drops lines of {} bytes and more without a word; if it allows \
             longer ones (`-insert.maxLineSizeBytes`), say so in `max_line`",
            self.line
        ))
    }
}

/// The line of a message, or why the server would lose it. `now` is in seconds since 1970.
pub fn line(message: Message, limits: &Limits, now: f64) -> Result<Vec<u8>, String> {
    if seconds(message.timestamp) < FIRST_SECOND {
        return Err(format!(
            "its timestamp {} is before 1971, which the server takes for another time",
            message.timestamp
        ));
    }
    limits.check_time(message.timestamp, now)?;
    let event = event(message)?;
    let text = metlog_http::event::json(&event);
    limits.check_length(text.len())?;
    Ok(text)
}

/// Seconds since 1970 with their fraction.
pub(crate) fn seconds(moment: Timestamp) -> f64 {
    moment.nanos() as f64 / 1e9
}

/// The line as a value. The error says what the server would lose.
pub fn event(message: Message) -> Result<Value, String> {
    let mut event = Fields::new();
    event.push("_time".into(), message.timestamp.nanos().to_string().into());
    event.push("_msg".into(), text_of(&message).into());
    event.push("type".into(), message.kind.into());
    if !message.logger.is_empty() {
        event.push("logger".into(), message.logger.into());
    }
    event.push("severity".into(), message.severity.number().into());
    if !message.fields.contains("level") {
        event.push("level".into(), message.severity.name().into());
    }
    if let Some(hostname) = message.hostname {
        event.push("hostname".into(), hostname.into());
    }
    if let Some(pid) = message.pid {
        event.push("pid".into(), pid.into());
    }
    if let Some(origin) = message.origin {
        event.push("metlog_client".into(), origin.client.into());
        event.push("metlog_seq".into(), origin.seq.into());
    }
    if let Value::Map(payload) = message.payload {
        event.push("payload".into(), payload.into());
    }
    if !message.extra.is_empty() {
        event.push("envelope".into(), message.extra.into());
    }

    // The names the server will see. Two of one name would be stored twice and found once.
    let mut names = HashSet::new();
    for (name, value) in event.iter() {
        flatten(name, value, &mut |name| names.insert(name.to_owned()));
    }
    let (mut aside, mut long) = (Fields::new(), Vec::new());
    for (name, value) in message.fields {
        let mut flat = Vec::new();
        flatten(&name, &value, &mut |name| {
            flat.push(name.to_owned());
            true
        });
        if flat.iter().any(|name| name.len() + "fields.".len() > MAX_NAME) {
            long.push(Value::Map([(name, value)].into_iter().collect()));
        } else if TAKEN.contains(&name.as_str()) || flat.iter().any(|name| names.contains(name)) {
            aside.push(name, value);
        } else {
            names.extend(flat);
            event.push(name, value);
        }
    }
    for (name, value) in [("fields", Value::Map(aside)), ("long_names", Value::List(long))] {
        let empty = value.as_map().is_some_and(Fields::is_empty) || value.as_list().is_some_and(<[Value]>::is_empty);
        if empty {
            continue;
        }
        let mut doubled = None;
        flatten(name, &value, &mut |name| {
            let new = names.insert(name.to_owned());
            if !new {
                doubled = Some(name.to_owned());
            }
            new
        });
        if let Some(doubled) = doubled {
            return Err(format!("two of its fields would both be `{doubled}` at the server, which would lose one"));
        }
        event.push(name.into(), value);
    }
    if names.len() > MAX_FIELDS {
        return Err(format!(
            "it has {} fields, and the server drops messages with more than {MAX_FIELDS} without a word",
            names.len()
        ));
    }
    Ok(Value::Map(event))
}

/// Without any text the server would store a complaint of its own.
fn text_of(message: &Message) -> String {
    match message.payload.to_text() {
        text if text.is_empty() => message.kind.clone(),
        text => text.into_owned(),
    }
}

/// Calls `see` with each name the server will make of a value; an array is one, it stays JSON text.
pub(crate) fn flatten(name: &str, value: &Value, see: &mut dyn FnMut(&str) -> bool) {
    match value {
        Value::Map(fields) => {
            for (inner, value) in fields.iter() {
                flatten(&format!("{name}.{inner}"), value, see);
            }
        }
        _ => {
            see(name);
        }
    }
}
