//! A message's JSON, read leniently, written strictly, scanned.

use crate::shown;
use metlog_message::wire::{self, Limits};
use metlog_message::{Message, Value};

/// What is written may be longer than what was read: escapes, and keys that stood for themselves by default.
const WIDE: Limits = Limits { bytes: 64 << 20, depth: 128, values: 1 << 20, names: 1 << 20, name: 1 << 20 };

/// What can be read can be written: strictly, on one line without a control character, and to the same message.
pub fn message(data: &[u8]) {
    let _any_value = wire::read_value(data);
    let Ok(read) = wire::read(data, &Limits::default()) else { return };
    let mut text = Vec::new();
    wire::write(&mut text, &read.message);
    let unsafe_byte = |byte: &u8| *byte < b' ' || *byte == 0x7f;
    assert!(!text.iter().any(unsafe_byte), "a control character in {}", shown(&text));
    let utf8 = std::str::from_utf8(&text).expect("JSON is UTF-8");
    assert!(!utf8.contains(['\u{2028}', '\u{2029}']), "a line separator in {utf8:?}");

    let again = wire::read(&text, &WIDE).unwrap_or_else(|why| panic!("ours is refused: {why}: {utf8}"));
    assert!(again.notes.is_empty(), "ours is noted: {:?}: {utf8}", again.notes);
    assert!(metlog_message::head::scan(&text, &WIDE).is_ok(), "ours is not scanned: {utf8}");
    let mut twice = Vec::new();
    wire::write(&mut twice, &again.message);
    assert_eq!(shown(&twice), shown(&text), "written again");
    if exact(&read.message) {
        assert_eq!(again.message, read.message);
    }

    let mut indented = Vec::new();
    wire::indented(&mut indented, &read.message);
    let laid_out = wire::read(&indented, &WIDE).unwrap_or_else(|why| panic!("indented: {why}: {}", shown(&indented)));
    assert_eq!(laid_out.message, again.message, "indented");
}

/// Whether the wire can carry all of it: neither NaN and infinities, nor less than microseconds.
fn exact(message: &Message) -> bool {
    let mut values = message.fields.iter().chain(message.extra.iter()).map(|(_, value)| value);
    message.timestamp.nanos() % 1000 == 0 && finite(&message.payload) && values.all(finite)
}

fn finite(value: &Value) -> bool {
    match value {
        Value::Float(number) => number.is_finite(),
        Value::List(items) => items.iter().all(finite),
        Value::Map(fields) => fields.iter().all(|(_, value)| finite(value)),
        _ => true,
    }
}

/// The scan vouches for exactly what the reader reads without a note, and both find the same.
pub fn head(data: &[u8]) {
    let limits = Limits::default();
    let read = wire::read(data, &limits);
    let Ok(head) = metlog_message::head::scan(data, &limits) else {
        let strict = read.is_ok_and(|read| read.notes.is_empty());
        assert!(!strict, "read without a note, but not scanned");
        return;
    };
    let read = read.unwrap_or_else(|why| panic!("scanned, but refused: {why}"));
    assert!(read.notes.is_empty(), "scanned, but noted: {:?}", read.notes);
    let message = read.message;
    assert_eq!((&*head.kind, &*head.logger), (message.kind.as_str(), message.logger.as_str()));
    assert_eq!((head.severity, head.timestamp), (message.severity, message.timestamp));
    assert_eq!(wire::read_value(head.payload), Ok(message.payload), "payload");
    assert_eq!(wire::read_value(head.fields), Ok(Value::Map(message.fields)), "fields");
    let origin = message.origin.map(|origin| (origin.client, origin.seq));
    assert_eq!(head.origin.map(|(client, seq)| (client.into_owned(), seq)), origin);
    // Another implementation, which has no numbers beyond 64 bits of floating point.
    if let Err(error) = serde_json::from_slice::<serde_json::Value>(data) {
        assert!(error.to_string().contains("out of range"), "scanned, but serde_json says: {error}");
    }
}
