//! What others send: understood with a note, or refused with a reason.

use metlog_message::wire::{self, Limits, Note, Refusal};
use metlog_message::{Message, Severity, Timestamp, Value, head};

const BASE: &str = r#""timestamp":"2026-11-20T22:00:50Z","logger":"l","severity":3,"payload":"p","fields":{"a":1}"#;

fn read(text: &str) -> (Message, Vec<Note>) {
    let read = wire::read(text.as_bytes(), &Limits::default()).unwrap_or_else(|error| panic!("{error}: {text}"));
    assert!(
        head::scan(text.as_bytes(), &Limits::default()).is_err() || read.notes.is_empty(),
        "what needs a note is not strictly right: {text}"
    );
    (read.message, read.notes)
}

/// A message whose envelope has one key replaced.
fn with(key: &str, value: &str) -> (Message, Vec<Note>) {
    let mut parts = vec![("type", r#""t""#.to_owned())];
    parts.extend([
        ("timestamp", r#""2026-11-20T22:00:50Z""#.into()),
        ("logger", r#""l""#.into()),
        ("severity", "3".into()),
        ("payload", r#""p""#.into()),
        ("fields", r#"{"a":1}"#.into()),
    ]);
    parts.retain(|(name, _)| *name != key);
    if !value.is_empty() {
        parts.push((key, value.into()));
    }
    let inner: Vec<String> = parts.iter().map(|(name, value)| format!("\"{name}\":{value}")).collect();
    read(&format!("{{{}}}", inner.join(",")))
}

#[test]
fn seven_keys_blanks_and_newlines_are_fine() {
    let (message, notes) = read(&format!(" \r\n{{\"type\":\"t\",{BASE},\"env_version\":\"0.8\"}} \n\n"));
    assert_eq!((message.pid, message.hostname, notes), (None, None, vec![]));
}

#[test]
fn missing_keys_take_their_defaults() {
    let (message, notes) = read(r#"{"type":"t"}"#);
    let missing = ["timestamp", "logger", "severity", "payload", "fields"].map(Note::Missing);
    assert_eq!(notes, missing);
    assert_eq!(
        (message.severity, message.payload, message.fields.len()),
        (Severity::Informational, Value::from(""), 0)
    );
    assert!((Timestamp::now().nanos() - message.timestamp.nanos()).abs() < 60_000_000_000, "now stands in");
}

#[test]
fn severities_of_any_kind() {
    for (written, severity) in [
        ("\"3\"", 3),
        ("\"error\"", 3),
        ("\" WARN \"", 4),
        ("3.0", 3),
        ("2.9", 2),
        ("99", 7),
        ("-1", 0),
        ("1e9", 7),
        ("99999999999999999999999", 7),
        ("\" 99 \"", 7),
        ("\"-5\"", 0),
    ] {
        let (message, notes) = with("severity", written);
        assert_eq!((message.severity.number(), notes), (severity, vec![Note::Coerced("severity")]), "{written}");
    }
    for written in ["\"foo\"", "[]", "true"] {
        let (message, notes) = with("severity", written);
        assert_eq!((message.severity.number(), notes), (6, vec![Note::Unreadable("severity")]), "{written}");
    }
    assert!(with("severity", "NaN").1.contains(&Note::Unreadable("severity")));
    assert_eq!(with("severity", "null").1, [Note::Missing("severity")]);
}

#[test]
fn timestamps_of_any_kind() {
    for (written, note) in [
        ("\"2026-11-20T22:00:50\"", Note::Coerced("timestamp")),
        ("1795212050", Note::Coerced("timestamp")),
        ("1795212050.0", Note::Coerced("timestamp")),
        ("1795212050000", Note::Coerced("timestamp")),
        ("1795212050000000", Note::Coerced("timestamp")),
        ("1795212050000000000", Note::Coerced("timestamp")),
    ] {
        let (message, notes) = with("timestamp", written);
        assert_eq!(
            (message.timestamp.to_string().as_str(), notes),
            ("2026-11-20T22:00:50.000000Z", vec![note]),
            "{written}"
        );
    }
    for (written, moment) in [
        ("1795212050348839000", "2026-11-20T22:00:50.348839Z"),
        ("1795212050348839", "2026-11-20T22:00:50.348839Z"),
        ("1795212050.348839", "2026-11-20T22:00:50.348839Z"),
        ("1795212050348.839", "2026-11-20T22:00:50.348839Z"),
        ("0", "1970-01-01T00:00:00.000000Z"),
        ("-1.5", "1969-12-31T23:59:58.500000Z"),
    ] {
        assert_eq!(
            with("timestamp", written).0.timestamp.to_string(),
            moment,
            "{written}: no digit of it may get lost"
        );
    }
    for unreadable in ["\"yesterday\"", "[]", "true", "1e300"] {
        let (_, notes) = with("timestamp", unreadable);
        assert!(notes.contains(&Note::Unreadable("timestamp")), "{unreadable}: {notes:?}");
    }
}

#[test]
fn other_kinds_at_other_keys() {
    assert_eq!(with("type", "5").0.kind, "5");
    assert_eq!(with("type", "5").1, [Note::Coerced("type")]);
    assert_eq!(with("logger", "[1]").0.logger, "[1]");
    for payload in ["null", "42", "1.5", "{\"a\":[]}", "[]", "true"] {
        let (message, notes) = with("payload", payload);
        assert_eq!(
            (message.payload, notes),
            (wire::read_value(payload.as_bytes()).expect("JSON"), vec![]),
            "{payload}"
        );
    }
    let (message, notes) = with("fields", "[1]");
    assert_eq!((message.fields.get("value"), notes), (Some(&Value::from([1])), vec![Note::Coerced("fields")]));
    assert_eq!(with("fields", "null").0.fields.len(), 0);
    assert_eq!(with("metlog_pid", "\"7\"").0.pid, Some(7));
    let (message, notes) = with("metlog_pid", "{}");
    assert_eq!((message.pid, notes), (None, vec![Note::Unreadable("metlog_pid")]));
    assert_eq!(with("metlog_pid", "null").1, [Note::Missing("metlog_pid")]);
    assert_eq!(with("metlog_hostname", "null").1, [Note::Missing("metlog_hostname")]);
    assert_eq!(with("metlog_hostname", "5").0.hostname.as_deref(), Some("5"));
    assert_eq!(with("metlog_seq", "1").1, [Note::Unreadable("metlog_seq")], "half an origin is none");
}

#[test]
fn names_of_drafts_and_relatives() {
    let (message, notes) = read(
        r#"{"type":"t","timestamp":"2026-11-20T22:00:50Z","logger":"l","severity":3,"message":"m","tags":{"a":1},"heka_pid":7,"heka_hostname":"h","uuid":"u"}"#,
    );
    assert_eq!((message.payload, message.pid, message.hostname.as_deref()), (Value::from("m"), Some(7), Some("h")));
    assert_eq!(message.fields.get("a"), Some(&Value::Int(1)));
    assert_eq!(message.extra.get("uuid"), Some(&Value::from("u")));
    assert_eq!(notes.len(), 4, "{notes:?}");
    let (message, notes) = read(&format!("{{\"type\":\"t\",{BASE},\"message\":\"beside\"}}"));
    assert_eq!((message.payload, notes), (Value::from("p"), vec![]), "a payload is there, so this is a key of its own");
    assert_eq!(message.extra.get("message"), Some(&Value::from("beside")));
}

#[test]
fn what_json_does_not_allow() {
    let (message, notes) =
        with("payload", r#"[NaN,Infinity,-Infinity,"\ud800","\udc00x","\ud83e\udd80","\ud800\ud83e\udd80"]"#);
    let items = message.payload.as_list().expect("a list").to_vec();
    assert!(matches!(items[0], Value::Float(number) if number.is_nan()));
    assert_eq!(items[1..3], [Value::Float(f64::INFINITY), Value::Float(f64::NEG_INFINITY)]);
    let texts: Vec<&str> = items[3..].iter().filter_map(Value::as_str).collect();
    assert_eq!(texts, ["\u{fffd}", "\u{fffd}x", "🦀", "\u{fffd}🦀"]);
    assert!(matches!(notes[..], [Note::NoJsonNumber { at: 101 }, Note::LoneSurrogate { at: 125 }]), "{notes:?}");
    let (message, notes) = with("payload", "[1e400,-1.0e999,1e-400]");
    let far = [f64::INFINITY, f64::NEG_INFINITY, 0.0].map(Value::Float);
    assert_eq!((message.payload, notes.len()), (Value::List(far.to_vec()), 1));
    assert!(matches!(notes[..], [Note::OutOfRange { .. }]), "{notes:?}");
    assert!(matches!(with("payload", "\"a\nb\"").1[..], [Note::RawControl { .. }]));
    let bytes = [b"{\"type\":\"t\xff\",".as_slice(), BASE.as_bytes(), b"}"].concat();
    let read = wire::read(&bytes, &Limits::default()).expect("understood");
    assert_eq!((read.message.kind.as_str(), read.notes), ("t\u{fffd}", vec![Note::NotUtf8 { at: 9 }]));
    assert!(head::scan(&bytes, &Limits::default()).is_err());
    let (message, notes) = read_str(r#"{"type":"a","type":"b","#);
    assert_eq!((message.kind.as_str(), notes), ("b", vec![Note::Duplicate("type")]));
    let big = "9".repeat(400);
    assert_eq!(with("payload", &big).0.payload, Value::Big(big));
}

fn read_str(front: &str) -> (Message, Vec<Note>) {
    read(&format!("{front}{BASE}}}"))
}

#[test]
fn what_is_no_message_is_refused_with_a_reason_and_a_place() {
    let deep = format!("{}{}", "[".repeat(40), "]".repeat(40));
    let cases = [
        ("", Refusal::Empty, "empty"),
        (" \n", Refusal::Empty, "empty"),
        ("[]", Refusal::NotAnObject, "expected an object with a `type`"),
        ("{}", Refusal::NoType, "`type` is missing, or is not a text"),
        (r#"{"type":null}"#, Refusal::NoType, "`type` is missing, or is not a text"),
        (r#"{"type":{}}"#, Refusal::NoType, "`type` is missing, or is not a text"),
        ("x", Refusal::Syntax { at: 0, expected: "a value" }, "byte 0: expected a value"),
        (
            r#"{"type":"t"} x"#,
            Refusal::Syntax { at: 13, expected: "the end of the message" },
            "byte 13: expected the end of the message",
        ),
        (r#"{"type" 1}"#, Refusal::Syntax { at: 8, expected: "`:`" }, "byte 8: expected `:`"),
        (
            r#"{"type":"t"#,
            Refusal::Syntax { at: 10, expected: "`\"` at the end of a text" },
            "byte 10: expected `\"` at the end of a text",
        ),
        (r#"{"a":01}"#, Refusal::Syntax { at: 6, expected: "`,` or `}`" }, "byte 6: expected `,` or `}`"),
        (
            r#"{"a":"\x"}"#,
            Refusal::Syntax { at: 6, expected: "an escape that JSON knows" },
            "byte 6: expected an escape that JSON knows",
        ),
        (r#"{"a":1,}"#, Refusal::Syntax { at: 7, expected: "a name in quotes" }, "byte 7: expected a name in quotes"),
        (&deep, Refusal::TooDeep { at: 32, limit: 32 }, "byte 32: nested too deep, at most 32 levels are allowed"),
    ];
    for (text, refusal, words) in cases {
        let got = wire::read(text.as_bytes(), &Limits::default()).expect_err(text);
        assert_eq!((got, got.to_string().as_str()), (refusal, words), "{text}");
        assert!(head::scan(text.as_bytes(), &Limits::default()).is_err(), "{text}");
    }
    let small = Limits { bytes: 100, values: 10, ..Limits::default() };
    let long = format!("{{\"type\":\"{}\"}}", "x".repeat(100));
    assert_eq!(wire::read(long.as_bytes(), &small), Err(Refusal::TooLarge { bytes: 111, limit: 100 }));
    let many = "[1,1,1,1,1,1,1,1,1,1,1,1]";
    assert_eq!(wire::read(many.as_bytes(), &small), Err(Refusal::TooManyValues { limit: 10 }));
}

#[test]
fn names_are_limited_in_length_and_number_wherever_they_stand() {
    let object = |names: usize, length: usize| {
        let member = |at: usize| format!("\"{at:0>length$}\":1");
        format!("{{{}}}", (0..names).map(member).collect::<Vec<_>>().join(","))
    };
    let inside = |place: &str, object: &str| match place {
        "fields" => format!(
            "{{\"type\":\"t\",\"timestamp\":\"2026-11-21T08:00:00.000000Z\",\"logger\":\"\",\"severity\":6,\
                             \"payload\":\"\",\"fields\":{object}}}"
        ),
        "deep" => format!("{{\"type\":\"t\",{BASE},\"x\":[{object}]}}"),
        _ => format!("{{\"type\":\"t\",{BASE},{}", object.trim_start_matches('{')),
    };
    let limits = Limits::default();
    for place in ["fields", "deep", "envelope"] {
        let taken = if place == "envelope" { 6 } else { 0 };
        let fits = inside(place, &object(256 - taken, 128));
        assert!(
            head::scan(fits.as_bytes(), &limits).is_ok() && wire::read(fits.as_bytes(), &limits).is_ok(),
            "{place}"
        );
        let many = inside(place, &object(257 - taken, 128));
        let refused = wire::read(many.as_bytes(), &limits);
        assert!(matches!(refused, Err(Refusal::TooManyNames { limit: 256, .. })), "{place}: {refused:?}");
        let long = inside(place, &object(1, 129));
        let refused = wire::read(long.as_bytes(), &limits);
        assert!(matches!(refused, Err(Refusal::LongName { limit: 128, .. })), "{place}: {refused:?}");
        for text in [many, long] {
            assert!(head::scan(text.as_bytes(), &limits).is_err(), "{place}");
            assert!(head::scan(text.as_bytes(), &Limits::NONE).is_ok(), "{place}: {text}");
        }
    }
}

#[test]
fn depth_is_safe_on_little_stack_whatever_the_limit_says() {
    let limits = Limits { depth: usize::MAX, ..Limits::default() };
    let nested =
        |levels: usize| format!("{{\"type\":\"t\",{BASE},\"x\":{}{}}}", "[".repeat(levels), "]".repeat(levels));
    let work = move || {
        let fits = nested(127);
        let message = wire::read(fits.as_bytes(), &limits).expect("not too deep").message;
        let mut out = Vec::new();
        wire::write(&mut out, &message);
        assert!(head::scan(fits.as_bytes(), &limits).is_ok() && head::scan(&out, &limits).is_ok());
        for levels in [128, 400_000] {
            let deep = nested(levels);
            assert!(matches!(wire::read(deep.as_bytes(), &limits), Err(Refusal::TooDeep { limit: 128, .. })));
            assert!(head::scan(deep.as_bytes(), &limits).is_err());
        }
    };
    let thread = std::thread::Builder::new().stack_size(512 * 1024).spawn(work).expect("a thread");
    thread.join().expect("no overflow");
}

#[test]
fn many_equal_names_cost_no_more_than_many_others() {
    let limits = Limits::NONE;
    let members: Vec<String> = (0..200_000).map(|number| format!("\"a{}\":{number}", number % 100_000)).collect();
    let text = format!("{{\"type\":\"t\",{BASE},{}}}", members.join(","));
    let read = wire::read(text.as_bytes(), &limits).expect("understood");
    assert_eq!((read.message.extra.len(), read.message.extra.get("a7")), (100_000, Some(&Value::Int(100_007))));
    assert_eq!(read.notes, [], "what is none of ours may come twice");
}

#[test]
fn notes_say_what_and_where() {
    let (_, notes) =
        read(r#"{"type":"t","type":5,"timestamp":"-","severity":"high","message":"m","tags":[NaN,1e999,"\ud800",""]}"#);
    let told: Vec<String> = notes.iter().map(ToString::to_string).collect();
    let expected = [
        "byte 77: NaN or an infinity is not JSON",
        "byte 81: the number is too large; an infinity stands in",
        "byte 88: half of a surrogate pair was replaced",
        "`type` came twice; the last one counts",
        "`type` was converted",
        "`timestamp` cannot be read; its default stands in",
        "`logger` is missing; its default stands in",
        "`severity` cannot be read; its default stands in",
        "`message` was taken for `payload`",
        "`tags` was taken for `fields`",
        "`fields` was converted",
    ];
    assert_eq!(told, expected);
}
