//! The one-pass scan against a full parse by another implementation, over generated and broken messages.

use metlog_message::wire::{self, Limits, Piece, Splitter};
use metlog_message::{Fields, Message, Severity, Timestamp, Value, head};
use proptest::prelude::*;
use serde::Deserialize;
use serde::de::IgnoredAny;
use std::borrow::Cow;

/// The same keys, read by serde_json.
#[derive(Deserialize)]
struct Reference<'a> {
    #[serde(borrow, rename = "type")]
    kind: Cow<'a, str>,
    #[serde(borrow)]
    timestamp: Cow<'a, str>,
    #[serde(borrow)]
    logger: Cow<'a, str>,
    severity: u8,
    #[serde(rename = "payload")]
    _payload: IgnoredAny,
    #[serde(rename = "fields")]
    _fields: std::collections::HashMap<String, IgnoredAny>,
}

fn value() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::Bool),
        any::<i64>().prop_map(Value::Int),
        any::<u64>().prop_map(Value::from),
        any::<f64>().prop_filter("JSON has no word for it", |number| number.is_finite()).prop_map(Value::Float),
        "-?[1-9][0-9]{25,40}".prop_map(Value::Big),
        text().prop_map(Value::Str),
    ];
    leaf.prop_recursive(4, 24, 5, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..5).prop_map(Value::List),
            prop::collection::vec((text(), inner), 0..5).prop_map(|entries| Value::Map(entries.into_iter().collect())),
        ]
    })
}

fn text() -> impl Strategy<Value = String> {
    prop_oneof!["[a-z.]{0,12}", ".{0,20}", any::<String>(), "[\"\\\\\n\u{0}\u{7f}\u{2028}é🦀a]{0,30}"]
}

fn fields() -> impl Strategy<Value = Fields> {
    prop::collection::vec((text(), value()), 0..5).prop_map(|entries| entries.into_iter().collect())
}

fn message() -> impl Strategy<Value = Message> {
    let envelope = (text(), any::<i64>(), text(), 0i64..8, value(), fields());
    let more = (any::<Option<i64>>(), prop::option::of(text()), prop::option::of((text(), any::<u64>())));
    (envelope, more).prop_map(|((kind, nanos, logger, severity, payload, fields), (pid, hostname, origin))| Message {
        kind,
        // Whole microseconds: that is what the wire carries.
        timestamp: Timestamp::from_nanos(nanos.div_euclid(1000) * 1000 % (200 * 365 * 86_400_000_000_000)),
        logger,
        severity: Severity::from_number(severity).unwrap_or_default(),
        payload,
        fields,
        pid,
        hostname,
        origin: origin.map(|(client, seq)| metlog_message::message::Origin { client, seq }),
        extra: Fields::new(),
    })
}

fn written(message: &Message) -> Vec<u8> {
    let mut out = Vec::new();
    wire::write(&mut out, message);
    out
}

/// Whatever the scan vouches for, the others read too, and to the same values.
fn agree(text: &[u8]) -> Result<bool, TestCaseError> {
    let limits = Limits::default();
    let read = wire::read(text, &limits);
    let Ok(head) = head::scan(text, &limits) else { return Ok(false) };
    let read = read.map_err(|error| TestCaseError::fail(format!("scanned but refused: {error}")))?;
    prop_assert_eq!(&read.notes, &[], "scanned but noted");
    let reference: Reference<'_> =
        serde_json::from_slice(text).map_err(|error| TestCaseError::fail(format!("scanned, serde_json: {error}")))?;
    prop_assert_eq!(&head.kind, &reference.kind);
    prop_assert_eq!(&head.logger, &reference.logger);
    prop_assert_eq!(head.severity.number(), reference.severity);
    prop_assert_eq!(Some(head.timestamp), Timestamp::parse(&reference.timestamp));
    prop_assert_eq!(&*head.kind, read.message.kind.as_str());
    prop_assert_eq!(&*head.logger, read.message.logger.as_str());
    prop_assert_eq!((head.severity, head.timestamp), (read.message.severity, read.message.timestamp));
    let origin = read.message.origin.as_ref().map(|origin| (origin.client.as_str(), origin.seq));
    prop_assert_eq!(head.origin.as_ref().map(|(client, seq)| (&**client, *seq)), origin);
    Ok(true)
}

proptest! {
    #[test]
    fn what_is_written_is_one_line_and_reads_back_the_same(message in message()) {
        let text = written(&message);
        prop_assert!(text.iter().all(|byte| *byte >= b' ' && *byte != 0x7f));
        prop_assert!(agree(&text)?, "what we write is strictly right");
        let read = wire::read(&text, &Limits::default()).expect("ours");
        prop_assert_eq!(read.message, message.clone());
        let mut indented = Vec::new();
        wire::indented(&mut indented, &message);
        let read = wire::read(&indented, &Limits::default()).expect("ours");
        prop_assert_eq!(read.message, message);
    }

    #[test]
    fn broken_messages_never_divide_the_readers(
        message in message(),
        breaks in prop::collection::vec((any::<prop::sample::Index>(), 0u8..4, any::<u8>()), 1..4),
    ) {
        let mut text = written(&message);
        for (at, how, byte) in breaks {
            let at = at.index(text.len());
            match how {
                0 => text[at] ^= 1 << (byte % 8),
                1 => text.truncate(at.max(1)),
                2 => text.insert(at, *b"\"\\{}[],:0e-.tfn \n\x00\xff".get(usize::from(byte) % 20).unwrap_or(&byte)),
                _ => { text.remove(at); }
            }
            if text.is_empty() {
                break;
            }
        }
        agree(&text)?;
    }

    #[test]
    fn any_bytes_are_survived(bytes: Vec<u8>, text in "[\\[\\]{}\",:\\\\u0-9a-fA-Ntrue. \n-]{0,60}", time in "[0-9TZ:.+ -]{0,30}") {
        for bytes in [&bytes[..], text.as_bytes()] {
            agree(bytes)?;
            let _ = wire::read_value(bytes);
        }
        let _ = Timestamp::parse(&time);
    }

    #[test]
    fn times_survive_the_way(nanos: i64) {
        let time = Timestamp::from_nanos(nanos);
        let back = Timestamp::parse(&time.to_string());
        // Years that are not four digits do not exist in 64 bits of nanoseconds.
        prop_assert_eq!(back.map(|back| back.nanos().div_euclid(1000)), Some(nanos.div_euclid(1000)));
        let mut writer = metlog_message::time::TimestampWriter::default();
        let mut out = Vec::new();
        writer.write(time, &mut out);
        prop_assert_eq!(String::from_utf8(out).expect("ASCII"), time.to_string());
    }

    #[test]
    fn a_stream_is_cut_the_same_however_it_arrives(
        messages in prop::collection::vec((message(), 0u8..3), 0..6),
        sizes in prop::collection::vec(1usize..200, 1..20),
    ) {
        let mut stream = Vec::new();
        for (message, form) in &messages {
            match form {
                0 => { stream.extend(written(message)); stream.push(b'\n'); }
                1 => stream.extend(written(message)),
                _ => { wire::indented(&mut stream, message); stream.extend(b"\n\n"); }
            }
        }
        let mut splitter = Splitter::new(1 << 20);
        let mut pieces = Vec::new();
        let mut rest = &stream[..];
        for size in sizes.iter().cycle() {
            let (now, later) = rest.split_at((*size).min(rest.len()));
            splitter.push(now);
            pieces.extend(std::iter::from_fn(|| splitter.next_piece()));
            rest = later;
            if rest.is_empty() {
                break;
            }
        }
        pieces.extend(std::iter::from_fn(|| splitter.finish()));
        let read: Vec<Message> = pieces.iter().map(|piece| match piece {
            Piece::Message(text) => wire::read(text, &Limits::default()).expect("whole").message,
            Piece::Oversized(_) => panic!("none is too large"),
        }).collect();
        let expected: Vec<Message> = messages.into_iter().map(|(message, _)| message).collect();
        prop_assert_eq!(read, expected);
    }

    #[test]
    fn a_stream_of_anything_loses_no_byte_and_stays_bounded(chunks in prop::collection::vec(prop::collection::vec(prop::sample::select(b"{}\"\\\n ax".to_vec()), 0..40), 0..20)) {
        let mut splitter = Splitter::new(16);
        let (mut cut, mut blanks) = (0, 0);
        let mut count = |piece: Option<Piece>| piece.map(|piece| match piece {
            Piece::Message(text) => cut += text.len(),
            Piece::Oversized(bytes) => cut += bytes,
        });
        for chunk in &chunks {
            splitter.push(chunk);
            while count(splitter.next_piece()).is_some() {}
        }
        while count(splitter.finish()).is_some() {}
        let all: usize = chunks.iter().map(Vec::len).sum();
        blanks += chunks.iter().flatten().filter(|byte| byte.is_ascii_whitespace()).count();
        prop_assert!(cut <= all && cut + blanks >= all, "{cut} of {all}, {blanks} blanks");
    }
}

#[test]
fn a_broken_line_costs_itself_only() {
    let good = r#"{"type":"t"}"#;
    let stream =
        format!("{good}\nnonsense\n{{\"type\":\"cut\n{good}\n{{\"type\":\n{good}{good}\n{}\n{good}", "x".repeat(100));
    let mut splitter = Splitter::new(60);
    splitter.push(stream.as_bytes());
    let mut pieces = Vec::new();
    while let Some(piece) = splitter.next_piece().or_else(|| splitter.finish()) {
        pieces.push(piece);
    }
    let whole = pieces.iter().filter(|piece| **piece == Piece::Message(good.into())).count();
    assert_eq!(whole, 5, "{pieces:?}");
    assert!(pieces.contains(&Piece::Oversized(100)), "{pieces:?}");
}
