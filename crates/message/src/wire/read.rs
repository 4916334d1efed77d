//! JSON text to values and messages, leniently: what can be understood is, with a note of what was made of it; what
//! cannot is refused with a reason and a place.

use super::json::Parser;
use super::{Limits, Note, Refusal};
use crate::message::Origin;
use crate::{Fields, Message, Severity, Timestamp, Value};

/// A message that was read.
#[derive(Debug, Clone, PartialEq)]
pub struct Read {
    /// The message.
    pub message: Message,
    /// What was not as it should be, and what was made of it. Empty exactly for what [`crate::head::scan`] vouches for.
    pub notes: Vec<Note>,
}

/// Reads one message; blanks and newlines around it do not matter.
///
/// # Errors
/// If it is beyond the limits, not JSON even leniently, not an object, or has no type.
pub fn read(text: &[u8], limits: &Limits) -> Result<Read, Refusal> {
    let mut parser = Parser::new(text, limits)?;
    let value = parser.document()?;
    let Value::Map(envelope) = value else { return Err(Refusal::NotAnObject) };
    let mut reader = Reader { envelope, notes: parser.into_notes() };
    let message = reader.message()?;
    Ok(Read { message, notes: reader.notes })
}

/// Reads any JSON value under the default limits of size, depth and number, without notes.
///
/// # Errors
/// If it is beyond the limits or not JSON even leniently.
pub fn read_value(text: &[u8]) -> Result<Value, Refusal> {
    let Limits { bytes, depth, values, .. } = Limits::default();
    read_value_within(text, &Limits { bytes, depth, values, ..Limits::NONE })
}

/// Reads any JSON value under these limits, without notes.
///
/// # Errors
/// See [`read_value`].
pub fn read_value_within(text: &[u8], limits: &Limits) -> Result<Value, Refusal> {
    Parser::new(text, limits)?.document()
}

/// An envelope being taken apart.
struct Reader {
    envelope: Fields,
    notes: Vec<Note>,
}

impl Reader {
    fn message(&mut self) -> Result<Message, Refusal> {
        let kind = match self.envelope.remove("type") {
            None | Some(Value::Null | Value::Map(_) | Value::List(_)) => return Err(Refusal::NoType),
            Some(value) => self.text("type", value),
        };
        let timestamp = self.timestamp();
        let logger = self.required("logger").map_or_else(String::new, |value| self.text("logger", value));
        let severity = self.severity();
        let payload = match self.envelope.remove("payload") {
            Some(payload) => payload,
            None => self.old_name("payload", &["message"]).unwrap_or_else(|| Value::from("")),
        };
        let fields = self.fields();
        self.envelope.remove("env_version");
        let pid = self.pid();
        let hostname = self.renamed("metlog_hostname", "heka_hostname");
        let hostname = hostname.map(|value| self.text("metlog_hostname", value));
        let origin = self.origin();
        let extra = std::mem::take(&mut self.envelope);
        Ok(Message { kind, timestamp, logger, severity, payload, fields, pid, hostname, origin, extra })
    }

    /// A key that every message has; noted when this one does not.
    fn required(&mut self, key: &'static str) -> Option<Value> {
        let value = self.envelope.remove(key).filter(|value| *value != Value::Null);
        if value.is_none() {
            self.notes.push(Note::Missing(key));
        }
        value
    }

    /// What early drafts and relatives called a key that is missing.
    fn old_name(&mut self, key: &'static str, names: &[&'static str]) -> Option<Value> {
        let found = names.iter().find_map(|name| Some((*name, self.envelope.remove(name)?)));
        match found {
            Some((from, value)) => {
                self.notes.push(Note::Renamed { key, from });
                Some(value)
            }
            None => {
                self.notes.push(Note::Missing(key));
                None
            }
        }
    }

    /// The same for a key that may be missing; null says no more than nothing, but is not the way to say it.
    fn renamed(&mut self, key: &'static str, from: &'static str) -> Option<Value> {
        match self.envelope.remove(key) {
            Some(Value::Null) => self.notes.push(Note::Missing(key)),
            Some(value) => return Some(value),
            None => {}
        }
        let value = self.envelope.remove(from)?;
        self.notes.push(Note::Renamed { key, from });
        (value != Value::Null).then_some(value)
    }

    fn text(&mut self, key: &'static str, value: Value) -> String {
        match value {
            Value::Str(text) => text,
            other => {
                self.notes.push(Note::Coerced(key));
                other.to_text().into_owned()
            }
        }
    }

    fn timestamp(&mut self) -> Timestamp {
        let Some(value) = self.required("timestamp") else { return Timestamp::now() };
        let (read, exact) = match &value {
            Value::Str(text) => (Timestamp::parse(text), Timestamp::has_zone(text)),
            number => (since_1970(number), false),
        };
        match read {
            Some(_) if exact => {}
            Some(_) => self.notes.push(Note::Coerced("timestamp")),
            None => self.notes.push(Note::Unreadable("timestamp")),
        }
        read.unwrap_or_else(Timestamp::now)
    }

    fn severity(&mut self) -> Severity {
        let Some(value) = self.required("severity") else { return Severity::default() };
        if let Value::Int(number) = value
            && let Some(severity) = Severity::from_number(number)
        {
            return severity;
        }
        let severity = match &value {
            Value::Str(name) => Severity::parse(name).or_else(|| on_scale(name.trim().parse().ok()?)),
            number => number.as_f64().and_then(on_scale),
        };
        self.notes.push(if severity.is_some() { Note::Coerced("severity") } else { Note::Unreadable("severity") });
        severity.unwrap_or_default()
    }

    fn fields(&mut self) -> Fields {
        let value = match self.envelope.remove("fields") {
            Some(value) => Some(value),
            None => self.old_name("fields", &["metadata", "tags"]),
        };
        match value {
            Some(Value::Map(fields)) => fields,
            None => Fields::new(),
            Some(other) => {
                self.notes.push(Note::Coerced("fields"));
                let mut fields = Fields::new();
                if other != Value::Null {
                    fields.set("value", other);
                }
                fields
            }
        }
    }

    fn pid(&mut self) -> Option<i64> {
        let value = self.renamed("metlog_pid", "heka_pid")?;
        if let Value::Int(pid) = value {
            return Some(pid);
        }
        let pid = match value {
            Value::Str(text) => text.trim().parse().ok(),
            Value::Float(number) if number.fract() == 0.0 => Some(number as i64),
            _ => None,
        };
        self.notes.push(if pid.is_some() { Note::Coerced("metlog_pid") } else { Note::Unreadable("metlog_pid") });
        pid
    }

    /// Both of its halves or nothing: a client without a number, or the other way round, counts no losses.
    fn origin(&mut self) -> Option<Origin> {
        let (client, seq) = (self.envelope.remove("metlog_client"), self.envelope.remove("metlog_seq"));
        let seq = match (client, seq) {
            (None, None) => return None,
            (Some(Value::Str(client)), Some(Value::Int(seq))) => u64::try_from(seq).ok().map(|seq| (client, seq)),
            (Some(Value::Str(client)), Some(Value::UInt(seq))) => Some((client, seq)),
            _ => None,
        };
        if seq.is_none() {
            self.notes.push(Note::Unreadable("metlog_seq"));
        }
        seq.map(|(client, seq)| Origin { client, seq })
    }
}

/// The severity of a number; beyond the scale lies its end.
fn on_scale(number: f64) -> Option<Severity> {
    if number.is_nan() { None } else { Severity::from_number(number.clamp(0.0, 7.0) as i64) }
}

/// Seconds, milliseconds, microseconds or nanoseconds since 1970, told apart by their size: each stands for the years
/// 1973 to 5138, so no two are mistaken for each other within a lifetime. A float is good for microseconds only.
fn since_1970(number: &Value) -> Option<Timestamp> {
    let size = number.as_f64()?.abs();
    let scale = match size {
        _ if size < 1e11 => 1_000_000_000,
        _ if size < 1e14 => 1_000_000,
        _ if size < 1e17 => 1_000,
        _ => 1,
    };
    if let Value::Int(whole) = number {
        return whole.checked_mul(scale).map(Timestamp::from_nanos);
    }
    let micros = (number.as_f64()? * scale as f64 / 1000.0).round();
    (micros.abs() < 9.2e15).then(|| Timestamp::from_nanos(micros as i64 * 1000))
}
