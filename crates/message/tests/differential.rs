//! The one-pass scan against a full parse by another implementation, over generated and broken messages.

use metlog_message::wire::{self, Limits, Piece, Splitter, strict};
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
            prop::collection::vec((name(), inner), 0..5).prop_map(|entries| Value::Map(entries.into_iter().collect())),
        ]
    })
}

fn text() -> impl Strategy<Value = String> {
    prop_oneof!["[a-z.]{0,12}", ".{0,20}", any::<String>(), "[\"\\\\\n\u{0}\u{7f}\u{2028}é🦀a]{0,30}"]
}

fn name() -> impl Strategy<Value = String> {
    text().prop_filter("longer than a name may be", |name| {
        let mut written = Vec::new();
        wire::write_str(&mut written, name);
        written.len() <= Limits::default().name + 2
    })
}

fn fields() -> impl Strategy<Value = Fields> {
    prop::collection::vec((name(), value()), 0..5).prop_map(|entries| entries.into_iter().collect())
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

/// Members are given of exactly those objects that are strictly right, and they are what another reader finds.
fn members_agree(text: &[u8]) -> Result<(), TestCaseError> {
    let mut found = Fields::new();
    let mut unread = 0;
    let each = |name: &[u8], value: &[u8]| match (strict::text(name), wire::read_value_within(value, &Limits::NONE)) {
        (Some(name), Ok(value)) => found.set(name, value),
        _ => unread += 1,
    };
    let given = strict::members(text, &Limits::NONE, each);
    nested_agrees(text, given.is_ok())?;
    if given.is_err() {
        return Ok(());
    }
    prop_assert_eq!(unread, 0);
    let reference: Result<std::collections::BTreeMap<String, IgnoredAny>, _> = serde_json::from_slice(text);
    let reference = reference.map_err(|why| TestCaseError::fail(format!("given, but serde_json says {why}")))?;
    let mut names: Vec<_> = found.iter().map(|(name, _)| name.to_owned()).collect();
    names.sort();
    prop_assert_eq!(names, reference.into_keys().collect::<Vec<_>>());
    let Ok(Value::Map(read)) = wire::read_value_within(text, &Limits::NONE) else {
        return Err(TestCaseError::fail("given, but not read"));
    };
    let sorted = |fields: Fields| {
        let mut all: Vec<_> = fields.into_iter().collect();
        all.sort_by(|(one, _), (other, _)| one.cmp(other));
        all
    };
    prop_assert_eq!(sorted(found), sorted(read));
    Ok(())
}

/// An object that something follows is as long as the object, and what it holds comes before it, level by level.
fn nested_agrees(text: &[u8], strict: bool) -> Result<(), TestCaseError> {
    let text = text.trim_ascii();
    let more = [text, b",{\"a\":"].concat();
    let mut inside: [Vec<(&[u8], &[u8])>; 4] = Default::default();
    let mut wrong = 0;
    let length = strict::nested(&more, &Limits::NONE, 3, |level, name, value| {
        let children = std::mem::take(&mut inside[(level + 1) & 3]);
        let mut expected = Vec::new();
        if level < 3 {
            let _ = strict::members(value, &Limits::NONE, |name, value| expected.push((name, value)));
        }
        wrong += usize::from(children != expected);
        inside[level].push((name, value));
    });
    prop_assert!(!strict || length == Ok(text.len()), "{:?}", length);
    let Ok(length) = length else { return Ok(()) };
    let mut expected = Vec::new();
    let alone = strict::members(&more[..length], &Limits::NONE, |name, value| expected.push((name, value)));
    prop_assert_eq!((alone, wrong), (Ok(()), 0));
    prop_assert_eq!(&inside[1], &expected);
    Ok(())
}

/// The scan vouches for exactly what the reader reads without a note, and serde_json reads that too: to the same values.
fn agree(text: &[u8]) -> Result<bool, TestCaseError> {
    let limits = Limits::default();
    members_agree(text)?;
    let read = wire::read(text, &limits);
    let given = strict::members(text, &Limits::NONE, |_, _| ()).is_ok();
    prop_assert!(given || head::scan(text, &limits).is_err(), "scanned, but not given");
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
    fn times_survive_the_way(nanos: i64, steps in prop::collection::vec(-2_000_000_000i64..2_000_000_000, 0..5)) {
        let mut writer = metlog_message::time::TimestampWriter::default();
        for step in [0, 1, 999_999].into_iter().chain(steps) {
            let time = Timestamp::from_nanos(nanos.saturating_add(step));
            let written = time.to_string();
            prop_assert_eq!(written.len(), 27, "every year has four digits: {}", written);
            let back = Timestamp::parse(&written).map(|back| back.nanos().div_euclid(1000));
            prop_assert_eq!(back, Some(time.nanos().div_euclid(1000)));
            let mut out = Vec::new();
            writer.write(time, &mut out);
            prop_assert_eq!(String::from_utf8(out).expect("ASCII"), written);
        }
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
        limit in 0usize..9,
    ) {
        let all = chunks.concat();
        let pieces = cut(limit, &chunks);
        prop_assert_eq!(&pieces, &cut(limit, std::slice::from_ref(&all)), "in one go");
        prop_assert_eq!(&pieces, &cut(limit, &all.iter().map(|byte| vec![*byte]).collect::<Vec<_>>()), "byte by byte");
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
    let [first, second] = [indented.len(), line.len()].map(Piece::Oversized);
    // The newlines between are blanks: they count as neither.
    assert_eq!(pieces, [first, message.clone(), second, Piece::Message(b"z".into()), message.clone()]);
    let edge = format!("{{\"{}", "x".repeat(58));
    assert_eq!(edge.len(), 60, "its newline is the first byte too many");
    assert_eq!(cut(60, &[format!("{edge}\n{good}").into_bytes()]), [Piece::Oversized(60), message]);
}

/// Members that fit and members that nearly do.
const MEMBERS: [&str; 43] = [
    r#""heka_pid":1"#,
    r#""heka_hostname":"h""#,
    r#""message":"m""#,
    r#""tags":{}"#,
    r#""uuid":[1]"#,
    r#""\"":0"#,
    r#""ty\u0070e":"again""#,
    r#""type":1"#,
    r#""logger":null"#,
    r#""payload":null"#,
    r#""fields":[]"#,
    r#""fields":{"a":{"b":[{}]}}"#,
    r#""severity":7.0"#,
    r#""severity":8"#,
    r#""severity":"6""#,
    r#""severity":0"#,
    r#""timestamp":"2026-11-20 22:00:50.5+02:00""#,
    r#""timestamp":"2026-11-20T22\u003a00:50Z""#,
    r#""timestamp":"2026-11-20T22:00:50""#,
    r#""timestamp":1"#,
    r#""env_version":8"#,
    r#""metlog_pid":4"#,
    r#""metlog_pid":null"#,
    r#""metlog_pid":-0"#,
    r#""metlog_pid":1e2"#,
    r#""metlog_pid":9223372036854775808"#,
    r#""metlog_p\u0069d":3"#,
    r#""metlog_hostname":"h\n""#,
    r#""metlog_hostname":5"#,
    r#""metlog_client":"c""#,
    r#""metlog_client":null"#,
    r#""metlog_seq":18446744073709551615"#,
    r#""metlog_seq":-1"#,
    r#""x":[1e-400,-0,0.5E+2,0e9999]"#,
    r#""x":-1e400"#,
    r#""x":01"#,
    r#""x":NaN"#,
    r#""x":"\ud83e\udd80""#,
    r#""x":"\ud83e""#,
    r#""x":"\ud83e\ud83e""#,
    r#""x":"\udd80""#,
    r#""x":{"a":1,"a":2}"#,
    r#""x":truefalse"#,
];

#[test]
fn messages_by_other_hands_never_divide_the_readers() {
    let base = [
        r#""type":"t\u00e9""#,
        r#""timestamp":"2026-11-20T22:00:50Z""#,
        r#""logger":"l""#,
        r#""severity":6"#,
        r#""payload":[{}]"#,
        r#""fields":{}"#,
    ];
    let name = |member: &str| member.split_once(':').map(|(name, _)| name.to_owned());
    let mut strict = 0;
    for first in MEMBERS {
        for second in MEMBERS {
            // In place of the member of the same name, so that one flaw does not hide another; and beside it.
            let others = base.iter().filter(|member| ![name(first), name(second)].contains(&name(member)));
            let replaced: Vec<&str> = others.copied().chain([first, second]).collect();
            let mut beside = base.to_vec();
            beside.insert(0, first);
            for text in [
                format!("{{{}}}", replaced.join(",")),
                format!(" {{\n {} }}\r\n", replaced.join(" ,\t")),
                format!("{{{}}}", beside.join(",")),
            ] {
                let agreed = agree(text.as_bytes());
                strict += usize::from(agreed.unwrap_or_else(|error| panic!("{error}: {text}")));
            }
        }
    }
    assert!(strict > 500, "only {strict} were strictly right");
}
