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
    let more = (any::<Option<i64>>(), prop::option::of(text()), prop::option::of((text(), any::<u64>())), fields());
    (envelope, more).prop_map(|((kind, nanos, logger, severity, payload, fields), (pid, hostname, origin, extra))| {
        Message {
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
            extra,
        }
    })
}

fn written(message: &Message) -> Vec<u8> {
    let mut out = Vec::new();
    wire::write(&mut out, message);
    out
}

/// The scan vouches for exactly what the reader reads without a note, and serde_json reads that too: to the same values.
fn agree(text: &[u8]) -> Result<bool, TestCaseError> {
    let limits = Limits::default();
    let read = wire::read(text, &limits);
    let Ok(head) = head::scan(text, &limits) else {
        let strict = read.as_ref().is_ok_and(|read| read.notes.is_empty());
        prop_assert!(!strict, "not scanned, but read without a note: {}", String::from_utf8_lossy(text));
        return Ok(false);
    };
    let read = read.map_err(|error| TestCaseError::fail(format!("scanned but refused: {error}")))?;
    prop_assert_eq!(&read.notes, &[], "scanned but noted");
    prop_assert!(serde_json::from_slice::<serde_json::Value>(text).is_ok() || has_big(&read.message));
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

/// Whether an integer is in it that serde_json, which has 64 bits and floats, may refuse.
fn has_big(message: &Message) -> bool {
    fn big(value: &Value) -> bool {
        match value {
            Value::Big(digits) => digits.len() > 300,
            Value::List(items) => items.iter().any(big),
            Value::Map(fields) => fields.iter().any(|(_, value)| big(value)),
            _ => false,
        }
    }
    big(&message.payload) || message.fields.iter().chain(message.extra.iter()).any(|(_, value)| big(value))
}

/// Messages by other hands: members that fit and members that nearly do, in any order, with blanks.
fn foreign() -> impl Strategy<Value = String> {
    let mut members =
        vec![r#""heka_pid":1"#, r#""heka_hostname":"h""#, r#""message":"m""#, r#""tags":{}"#, r#""uuid":[1]"#];
    members.extend([
        r#""metlog_p\u0069d":3"#,
        r#""ty\u0070e":"again""#,
        r#""\"":0"#,
        r#""metlog_seq":7"#,
        r#""metlog_seq":-0"#,
    ]);
    members.extend([r#""metlog_client":"c""#, r#""metlog_client":null"#, r#""metlog_pid":4"#, r#""metlog_pid":null"#]);
    members.extend([
        r#""metlog_pid":1e2"#,
        r#""metlog_hostname":"h\n""#,
        r#""metlog_hostname":5"#,
        r#""env_version":"0.8""#,
    ]);
    members.extend([r#""env_version":8"#, r#""x":1e400"#, r#""x":[1e-400,-0,0.5E+2]"#, r#""x":01"#, r#""x":NaN"#]);
    members.extend([
        r#""x":"\ud83e\udd80""#,
        r#""x":"\ud83e""#,
        r#""x":"\udd80\ud83e""#,
        r#""x":{"a":1,"a":2}"#,
        r#""type":1"#,
    ]);
    let required = Just(vec![r#""type":"t\u00e9""#, r#""logger":"l""#, r#""payload":[{}]"#, r#""fields":{"a":[]}"#]);
    let severity =
        prop::sample::select(vec![r#""severity":6"#, r#""severity":7.0"#, r#""severity":8"#, r#""severity":"6""#]);
    let moment = prop::sample::select(vec![
        r#""timestamp":"2026-11-20T22:00:50Z""#,
        r#""timestamp":"2026-11-20 22:00:50.5+02:00""#,
        r#""timestamp":"2026-11-20T22\u003a00:50Z""#,
        r#""timestamp":"2026-11-20T22:00:50""#,
        r#""timestamp":1"#,
    ]);
    let extra = prop::sample::subsequence(members, 0..4);
    (required, severity, moment, extra, any::<bool>()).prop_flat_map(|(mut all, severity, moment, extra, spaced)| {
        all.extend([severity, moment]);
        all.extend(extra);
        let form = move |all: Vec<&str>| {
            if spaced { format!(" {{\n {} }}\r\n", all.join(" ,\t")) } else { format!("{{{}}}", all.join(",")) }
        };
        Just(all).prop_shuffle().prop_map(form)
    })
}

proptest! {
    #[test]
    fn messages_by_other_hands_never_divide_the_readers(text in foreign()) {
        agree(text.as_bytes())?;
    }

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
    fn a_stream_of_anything_loses_no_byte_wherever_it_is_cut(
        chunks in prop::collection::vec(prop::collection::vec(prop::sample::select(b"{}\"\\\n ax".to_vec()), 0..40), 0..20),
    ) {
        let all = chunks.concat();
        let pieces = cut(16, &chunks);
        prop_assert_eq!(&pieces, &cut(16, std::slice::from_ref(&all)), "in one go");
        prop_assert_eq!(&pieces, &cut(16, &all.iter().map(|byte| vec![*byte]).collect::<Vec<_>>()), "byte by byte");
        let held: usize = pieces.iter().map(|piece| match piece {
            Piece::Message(text) => text.len(),
            Piece::Oversized(bytes) => *bytes,
        }).sum();
        let blanks = all.iter().filter(|byte| byte.is_ascii_whitespace()).count();
        prop_assert!(held <= all.len() && held + blanks >= all.len(), "{held} of {}, {blanks} blanks", all.len());
    }
}

/// All pieces of a stream that comes in these chunks.
fn cut(limit: usize, chunks: &[Vec<u8>]) -> Vec<Piece> {
    let mut splitter = Splitter::new(limit);
    let mut pieces = Vec::new();
    for chunk in chunks {
        splitter.push(chunk);
        pieces.extend(std::iter::from_fn(|| splitter.next_piece()));
    }
    pieces.extend(std::iter::from_fn(|| splitter.finish()));
    pieces
}

#[test]
fn a_broken_line_costs_itself_only() {
    let good = r#"{"type":"t"}"#;
    let stream =
        format!("{good}\nnonsense\n{{\"type\":\"cut\n{good}\n{{\"type\":\n{good}{good}\n{}\n{good}", "x".repeat(100));
    let pieces = cut(60, &[stream.into_bytes()]);
    let whole = pieces.iter().filter(|piece| **piece == Piece::Message(good.into())).count();
    assert_eq!(whole, 5, "{pieces:?}");
    assert!(pieces.contains(&Piece::Oversized(100)), "{pieces:?}");
}

#[test]
fn a_message_beyond_the_limit_is_dropped_up_to_the_next_line_that_may_be_one() {
    let good = r#"{"type":"t"}"#;
    let indented = format!("{{\n    \"type\": \"{}\"\n}}", "x".repeat(100));
    let line = "y".repeat(61);
    let pieces = cut(60, &[format!("{indented}\n{good}\n{line}\nz\n{good}").into_bytes()]);
    let message = Piece::Message(good.into());
    let dropped = [indented.len(), line.len()].map(Piece::Oversized);
    let [first, second] = dropped;
    // The newline that ends the message is dropped with it or is a blank: it counts as neither.
    assert_eq!(pieces, [first, message.clone(), second, Piece::Message(b"z".into()), message]);
}
