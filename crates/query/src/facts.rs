//! What a store writes beside a message so that it can be found again. Both stores take it from here, so that an id or an
//! expiry means the same in each.

use metlog_message::wire::{self, Limits};
use metlog_message::{Fields, Message, Timestamp, Value};
use std::time::Duration;

/// Longer ids are not indexed; they are still found, by their field.
pub const LONGEST_ID: usize = 128;

/// The columns of a message.
#[derive(Debug, Clone, PartialEq)]
pub struct Facts {
    /// When it happened.
    pub timestamp: Timestamp,
    /// 0 to 7.
    pub severity: u8,
    /// Its type.
    pub kind: String,
    /// Its logger.
    pub logger: String,
    /// What its sender calls it: the field `id` or `event_id`.
    pub id: Option<String>,
    /// The field `trace_id`.
    pub trace: Option<String>,
    /// The client and its running number, if it says them.
    pub origin: Option<(String, u64)>,
    /// When it is to be forgotten: the earlier of the field `expires_at` and `ttl_seconds` after its timestamp.
    pub expires: Option<Timestamp>,
    /// The words of its payload.
    pub words: Vec<String>,
}

impl Facts {
    /// Of a message's bytes; none if they are no message, which the router does not deliver.
    pub fn of(raw: &[u8], with_words: bool) -> Option<Self> {
        let message = wire::read(raw, &Limits::NONE).ok()?.message;
        let words = if with_words { crate::words::of_payload(&message.payload) } else { Vec::new() };
        Some(Facts {
            id: id_of(&message.fields).map(str::to_owned),
            trace: text(&message.fields, "trace_id").map(str::to_owned),
            expires: expiry(&message),
            origin: message.origin.map(|origin| (origin.client, origin.seq)),
            timestamp: message.timestamp,
            severity: message.severity.number(),
            kind: message.kind,
            logger: message.logger,
            words,
        })
    }
}

/// The id among a message's fields.
pub fn id_of(fields: &Fields) -> Option<&str> {
    text(fields, "id").or_else(|| text(fields, "event_id"))
}

fn text<'a>(fields: &'a Fields, name: &str) -> Option<&'a str> {
    fields.get(name)?.as_str().filter(|text| !text.is_empty() && text.len() <= LONGEST_ID)
}

fn expiry(message: &Message) -> Option<Timestamp> {
    let at = message.fields.get("expires_at").and_then(Value::as_str).and_then(Timestamp::parse);
    let after = message.fields.get("ttl_seconds").and_then(Value::as_f64).filter(|seconds| *seconds >= 0.0);
    let after = after.and_then(|seconds| Duration::try_from_secs_f64(seconds).ok()).and_then(|time| {
        let nanos = i64::try_from(time.as_nanos()).ok()?;
        message.timestamp.nanos().checked_add(nanos).map(Timestamp::from_nanos)
    });
    at.into_iter().chain(after).min()
}
