//! The filter `field`: a value found in a message's bytes.
//!
//! The first line of an input is the path, the rest the message.

use metlog_filters::{Choice, Condition, Field, Number, Path};
use metlog_message::wire::{self, Limits};
use metlog_message::{Fields, Message, Value, head};
use metlog_pipeline::{Event, Filter};

/// The value is found exactly where it is in the message read as a tree, and equals what it is there.
pub fn field_path(data: &[u8]) {
    let (line, raw) = data.split_at(data.iter().position(|byte| *byte == b'\n').unwrap_or(data.len()));
    let Ok(Ok(path)) = std::str::from_utf8(line).map(str::parse::<Path>) else { return };
    let written = path.to_string();
    assert_eq!(written.parse::<Path>().as_ref(), Ok(&path), "what it prints as");
    let limits = Limits::default();
    let Ok(head) = head::scan(raw, &limits) else { return };
    let message = wire::read(raw, &limits).expect("the scan has vouched for it").message;
    let event = Event { head: &head, raw };
    let holds = |condition| Field::new(path.clone(), condition).keep(&event);

    let there = look(&written, &message, raw);
    assert_eq!(holds(Condition::Exists(true)), there.is_some(), "{written}: {there:?}");
    assert_eq!(holds(Condition::Exists(false)), there.is_none(), "{written}: {there:?}");
    let Some(there) = there else { return };
    let plain = !matches!(there, Value::Null | Value::List(_) | Value::Map(_));
    assert_eq!(holds(Condition::In(Choice::of([there.clone()]))), plain, "{written}: {there:?} is itself");
    let number = match there {
        Value::Int(number) => Some(number.into()),
        Value::UInt(number) => Some(number.into()),
        Value::Float(number) => Number::of(number),
        // Longer ones compare as floating point does.
        _ => return,
    };
    let number = number.expect("a strict message has no infinities");
    assert!(holds(Condition::AtMost(number)) && holds(Condition::AtLeast(number)), "{written}: {there:?}");
    assert!(!holds(Condition::Less(number)) && !holds(Condition::More(number)), "{written}: {there:?}");
}

/// The same place in the tree.
fn look(path: &str, message: &Message, raw: &[u8]) -> Option<Value> {
    let inside = |fields: &Fields, rest: &str| fields.at(rest).cloned();
    match path.split_once('.') {
        None if path == "type" => Some(Value::from(message.kind.as_str())),
        None if path == "logger" => Some(Value::from(message.logger.as_str())),
        None if path == "severity" => Some(Value::from(i64::from(message.severity.number()))),
        None if path == "payload" => Some(message.payload.clone()),
        None if path == "fields" => Some(Value::Map(message.fields.clone())),
        Some(("payload", rest)) => inside(message.payload.as_map()?, rest),
        Some(("fields", rest)) => inside(&message.fields, rest),
        _ => inside(wire::read_value(raw).ok()?.as_map()?, path),
    }
}
