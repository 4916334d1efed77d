//! What a store writes beside a message so that it can be found again. Both stores take it from here, so that an id or an
//! expiry means the same in each.

use metlog_message::wire::{self, Limits};
use metlog_message::{Fields, Timestamp, Value, head};
use std::borrow::Cow;
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
            expires: expiry(&message.fields, message.timestamp),
            origin: message.origin.map(|origin| (origin.client, origin.seq)),
            timestamp: message.timestamp,
            severity: message.severity.number(),
            kind: message.kind,
            logger: message.logger,
            words,
        })
    }

    /// The same, several times faster for what is strictly right: the words come joined by blanks, behind what is in
    /// `words`, and the list of them stays empty.
    pub fn of_many(raw: &[u8], words: Option<&mut String>) -> Option<Self> {
        let Ok(head) = head::scan(raw, &Limits::NONE) else {
            let mut facts = Self::of(raw, words.is_some())?;
            if let Some(line) = words {
                line.push_str(&std::mem::take(&mut facts.words).join(" "));
            }
            return Some(facts);
        };
        if let Some(line) = words {
            match plain(head.payload) {
                Some(text) => crate::words::join(text, line),
                None => {
                    let payload = wire::read_value_within(head.payload, &Limits::NONE).ok()?;
                    line.push_str(&crate::words::of_payload(&payload).join(" "));
                }
            }
        }
        let fields = match mentioned(head.fields) {
            true => wire::read_value_within(head.fields, &Limits::NONE).ok()?,
            false => Value::Null,
        };
        let none = Fields::new();
        let fields = fields.as_map().unwrap_or(&none);
        Some(Facts {
            id: id_of(fields).map(str::to_owned),
            trace: text(fields, "trace_id").map(str::to_owned),
            expires: expiry(fields, head.timestamp),
            origin: head.origin.map(|(client, seq)| (client.into_owned(), seq)),
            timestamp: head.timestamp,
            severity: head.severity.number(),
            kind: head.kind.into_owned(),
            logger: head.logger.into_owned(),
            words: Vec::new(),
        })
    }

    /// Whether another message is this one once more, whatever its position: of the same moment, and by the same client
    /// under the same number, or of the same id and in every byte the same. Without client and id there is no telling:
    /// two may have said the same at once.
    pub fn is_again(&self, raw: &[u8], other: &[u8]) -> bool {
        if self.id.is_some() && raw == other {
            return true;
        }
        let same = |facts: Facts| facts.origin == self.origin && facts.timestamp == self.timestamp;
        self.origin.is_some() && Facts::of_many(other, None).is_some_and(same)
    }
}

/// The text of a JSON text without escapes.
fn plain(json: &[u8]) -> Option<&str> {
    let inside = json.strip_prefix(b"\"")?.strip_suffix(b"\"")?;
    if inside.contains(&b'\\') { None } else { std::str::from_utf8(inside).ok() }
}

/// Whether one of the fields that count here may be among these. An escape may hide anything.
fn mentioned(json: &[u8]) -> bool {
    json.windows(3).any(|end| matches!(end, b"id\"" | b"at\"" | b"ds\"")) || json.contains(&b'\\')
}

/// The id among a message's fields.
pub fn id_of(fields: &Fields) -> Option<&str> {
    text(fields, "id").or_else(|| text(fields, "event_id"))
}

/// Whether this is the id among fields, whose texts `text` gives; one too long for an index is looked for as well.
pub(crate) fn has_id<'a>(text: impl Fn(&str) -> Option<Cow<'a, str>>, id: &str) -> bool {
    if id.is_empty() || id.len() > LONGEST_ID {
        return ["id", "event_id"].iter().any(|name| text(name).is_some_and(|found| found == id));
    }
    let fits = |found: &Cow<'_, str>| !found.is_empty() && found.len() <= LONGEST_ID;
    text("id").filter(fits).or_else(|| text("event_id").filter(fits)).is_some_and(|found| found == id)
}

fn text<'a>(fields: &'a Fields, name: &str) -> Option<&'a str> {
    fields.get(name)?.as_str().filter(|text| !text.is_empty() && text.len() <= LONGEST_ID)
}

fn expiry(fields: &Fields, timestamp: Timestamp) -> Option<Timestamp> {
    let at = fields.get("expires_at").and_then(Value::as_str).and_then(Timestamp::parse);
    let after = fields.get("ttl_seconds").and_then(Value::as_f64).filter(|seconds| *seconds >= 0.0);
    let after = after.and_then(|seconds| Duration::try_from_secs_f64(seconds).ok()).and_then(|time| {
        let nanos = i64::try_from(time.as_nanos()).ok()?;
        timestamp.nanos().checked_add(nanos).map(Timestamp::from_nanos)
    });
    at.into_iter().chain(after).min()
}

#[cfg(test)]
mod tests {
    use super::*;
    use metlog_message::Message;
    use proptest::prelude::*;

    /// Both ways say the same.
    fn agree(raw: &[u8]) -> Result<(), TestCaseError> {
        let mut line = String::new();
        let fast = Facts::of_many(raw, Some(&mut line));
        let slow = Facts::of(raw, true);
        prop_assert_eq!(slow.as_ref().map(|facts| facts.words.join(" ")), fast.as_ref().map(|_| line));
        let slow = slow.map(|facts| Facts { words: Vec::new(), ..facts });
        prop_assert_eq!(Facts::of_many(raw, None), slow.clone());
        prop_assert_eq!(fast, slow);
        Ok(())
    }

    fn value() -> impl Strategy<Value = Value> {
        let leaf = prop_oneof![
            any::<bool>().prop_map(Value::from),
            any::<i64>().prop_map(Value::from),
            (-1e9..1e9f64).prop_map(Value::from),
            "[ -~]{0,20}|\\PC{0,8}|[a-z \\\\\"\n]{0,90}|2026-01-0[1-9]T00:00:00Z".prop_map(Value::from),
        ];
        leaf.prop_recursive(2, 8, 4, |inner| {
            prop_oneof![
                prop::collection::vec(inner.clone(), 0..4).prop_map(Value::from),
                prop::collection::vec(("id|a", inner), 0..4).prop_map(|pairs| {
                    let mut fields = Fields::new();
                    pairs.into_iter().for_each(|(name, value)| fields.set(name, value));
                    Value::Map(fields)
                }),
            ]
        })
    }

    proptest! {
        #[test]
        fn the_fast_way_says_the_same(
            payload in value(),
            fields in prop::collection::vec(("id|event_id|trace_id|expires_at|ttl_seconds|other|\\PC", value()), 0..5),
            breaks in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 0..2),
        ) {
            let mut message = Message::new("log").payload(payload).logger("app");
            message.timestamp = Timestamp::from_nanos(1_767_225_600_000_000_000);
            for (name, value) in fields {
                message = message.field(name, value);
            }
            let mut raw = Vec::new();
            wire::write(&mut raw, &message);
            agree(&raw)?;
            for (at, byte) in breaks {
                let at = at.index(raw.len());
                raw[at] = byte;
                // Without a timestamp that can be read both would say now, and differ by a moment.
                if wire::read(&raw, &Limits::NONE).is_ok_and(|read| read.message.timestamp == message.timestamp) {
                    agree(&raw)?;
                }
            }
        }
    }

    #[test]
    fn names_written_with_escapes_are_found() {
        let raw = br#"{"type":"t","timestamp":"2026-01-01T00:00:00Z","logger":"","severity":6,"payload":"a B, \u0063","fields":{"\u0069d":"7","event_i\u0064":"8"}}"#;
        let mut line = String::new();
        let facts = Facts::of_many(raw, Some(&mut line)).expect("a message");
        assert_eq!((facts.id.as_deref(), line.as_str()), (Some("7"), "a b c"));
    }
}
