//! The original's own bytes in, and our bytes out.

use metlog_message::wire::{self, Limits, Piece, Splitter};
use metlog_message::{Fields, Message, Severity, Timestamp, Value, head};

/// Real output of the original client, host and process replaced.
const ORIGINAL: [&str; 6] = [
    r#"{"severity": 6, "timestamp": "2026-11-20T22:00:50.348839Z", "metlog_hostname": "app01", "fields": {}, "metlog_pid": 4711, "logger": "myapp", "type": "oldstyle", "payload": "user bob logged in", "env_version": "0.8"}"#,
    r#"{"severity": 6, "timestamp": "2026-11-20T22:00:50.348874Z", "metlog_hostname": "app01", "fields": {"rate": 1.0, "name": "hits"}, "metlog_pid": 4711, "logger": "myapp", "type": "counter", "payload": "5", "env_version": "0.8"}"#,
    r#"{"severity": 6, "timestamp": "2026-11-20T22:00:50.348890Z", "metlog_hostname": "app01", "fields": {"table": "users", "rate": 0.5, "name": "db.query"}, "metlog_pid": 4711, "logger": "myapp", "type": "timer", "payload": "42", "env_version": "0.8"}"#,
    r#"{"severity": 1, "timestamp": "2026-11-20T22:00:50.348947Z", "metlog_hostname": "app01", "fields": {}, "metlog_pid": 4711, "logger": "myapp", "type": "oldstyle", "payload": "lookup failed\nTraceback (most recent call last):\n  File \"app.py\", line 7, in <module>\n    ...\nKeyError: 'k'", "env_version": "0.8"}"#,
    r#"{"severity": 2, "timestamp": "2026-11-20T22:00:50.348957Z", "metlog_hostname": "app01", "fields": {"amount": 12.5, "ok": true, "tags": ["a", "b"]}, "metlog_pid": 4711, "logger": "market", "type": "bid", "payload": "raw", "env_version": "0.8"}"#,
    r#"{"severity": 6, "timestamp": "2026-11-20T22:00:50.348957Z", "metlog_hostname": "app01", "fields": {}, "metlog_pid": 4711, "logger": "myapp", "type": "oldstyle", "payload": "\u65e5\u672c \ud83e\udd80", "env_version": "0.8"}"#,
];

/// The same messages as we write them.
const OURS: [&str; 6] = [
    r#"{"type":"oldstyle","timestamp":"2026-11-20T22:00:50.348839Z","logger":"myapp","severity":6,"payload":"user bob logged in","fields":{},"env_version":"0.8","metlog_pid":4711,"metlog_hostname":"app01"}"#,
    r#"{"type":"counter","timestamp":"2026-11-20T22:00:50.348874Z","logger":"myapp","severity":6,"payload":"5","fields":{"rate":1.0,"name":"hits"},"env_version":"0.8","metlog_pid":4711,"metlog_hostname":"app01"}"#,
    r#"{"type":"timer","timestamp":"2026-11-20T22:00:50.348890Z","logger":"myapp","severity":6,"payload":"42","fields":{"table":"users","rate":0.5,"name":"db.query"},"env_version":"0.8","metlog_pid":4711,"metlog_hostname":"app01"}"#,
    r#"{"type":"oldstyle","timestamp":"2026-11-20T22:00:50.348947Z","logger":"myapp","severity":1,"payload":"lookup failed\nTraceback (most recent call last):\n  File \"app.py\", line 7, in <module>\n    ...\nKeyError: 'k'","fields":{},"env_version":"0.8","metlog_pid":4711,"metlog_hostname":"app01"}"#,
    r#"{"type":"bid","timestamp":"2026-11-20T22:00:50.348957Z","logger":"market","severity":2,"payload":"raw","fields":{"amount":12.5,"ok":true,"tags":["a","b"]},"env_version":"0.8","metlog_pid":4711,"metlog_hostname":"app01"}"#,
    r#"{"type":"oldstyle","timestamp":"2026-11-20T22:00:50.348957Z","logger":"myapp","severity":6,"payload":"日本 🦀","fields":{},"env_version":"0.8","metlog_pid":4711,"metlog_hostname":"app01"}"#,
];

fn read(text: &str) -> Message {
    let read = wire::read(text.as_bytes(), &Limits::default()).unwrap_or_else(|error| panic!("{error}: {text}"));
    assert_eq!(read.notes, [], "{text}");
    read.message
}

fn write(message: &Message) -> String {
    let mut out = Vec::new();
    wire::write(&mut out, message);
    String::from_utf8(out).expect("UTF-8")
}

#[test]
fn the_originals_messages_are_strictly_right_and_come_out_as_ours() {
    for (original, ours) in ORIGINAL.iter().zip(OURS) {
        assert_eq!(write(&read(original)), ours);
        assert_eq!(read(ours), read(original));
        for text in [*original, ours] {
            let head = head::scan(text.as_bytes(), &Limits::default()).expect("strictly right");
            let message = read(text);
            assert_eq!((&*head.kind, &*head.logger), (message.kind.as_str(), message.logger.as_str()));
            assert_eq!((head.severity, head.timestamp), (message.severity, message.timestamp));
            assert_eq!(wire::read_value(head.fields), Ok(Value::Map(message.fields)));
            assert_eq!(wire::read_value(head.payload), Ok(message.payload));
        }
    }
}

#[test]
fn every_part_has_its_place() {
    let mut message = Message::new("t").logger("l").severity(Severity::Emergency).field("a", 1);
    message.timestamp = Timestamp::from_nanos(1_000_000_000);
    message.extra.set("trace", "x");
    message.pid = Some(1);
    message.hostname = Some("h".into());
    message.origin = Some(metlog_message::message::Origin { client: "c".into(), seq: u64::MAX });
    let expected = r#"{"type":"t","timestamp":"1970-01-01T00:00:01.000000Z","logger":"l","severity":0,"payload":"","fields":{"a":1},"env_version":"0.8","metlog_pid":1,"metlog_hostname":"h","trace":"x","metlog_client":"c","metlog_seq":18446744073709551615}"#;
    assert_eq!(write(&message), expected);
    assert_eq!(read(expected), message);
    let head = head::scan(expected.as_bytes(), &Limits::default()).expect("strictly right");
    assert_eq!(head.origin, Some(("c".into(), u64::MAX)));
}

#[test]
fn values_that_json_has_no_words_for() {
    let mut out = Vec::new();
    let values = [
        Value::Float(f64::NAN),
        Value::Float(f64::INFINITY),
        Value::Float(f64::NEG_INFINITY),
        Value::Float(1.0),
        Value::Float(1e300),
        Value::Float(-0.0),
        Value::Big("123456789012345678901234567890".into()),
        Value::UInt(u64::MAX),
        Value::Int(i64::MIN),
        Value::from("\u{0}\u{1f}\u{7f}\u{80}\u{2027}\u{2028}\u{2029}\u{202a}\"\\/\n\r\t"),
    ];
    wire::write_value(&mut out, &Value::List(values.to_vec()));
    let expected = concat!(
        r#"["NaN","Infinity","-Infinity",1.0,1e+300,-0.0,123456789012345678901234567890,18446744073709551615,"#,
        r#"-9223372036854775808,"\u0000\u001f\u007f"#,
        "\u{80}\u{2027}",
        r#"\u2028\u2029"#,
        "\u{202a}",
        r#"\"\\/\n\r\t"]"#
    );
    assert_eq!(String::from_utf8(out.clone()).expect("UTF-8"), expected);
    let back = wire::read_value(&out).expect("JSON");
    let back = back.as_list().expect("a list");
    assert_eq!(back[3..], values[3..]);
}

#[test]
fn nothing_a_caller_makes_breaks_the_message() {
    let mut message =
        Message::new("t").payload(Value::Big("12,\"type\":\"x\"\n".into())).field("n", Value::Big("-0123".into()));
    message.extra.set("severity", 0);
    message.extra.set("trace", Value::Big("-0".into()));
    let text = write(&message);
    assert!(text.contains(r#""payload":"12,\"type\":\"x\"\n""#) && text.contains(r#"{"n":"-0123"}"#), "{text}");
    assert!(text.contains(r#""trace":-0"#) && text.matches("severity").count() == 1, "{text}");
    assert!(head::scan(text.as_bytes(), &Limits::default()).is_ok(), "{text}");
}

#[test]
fn text_that_is_not_utf8() {
    let mut out = Vec::new();
    wire::write_str_lossy(&mut out, b"a\xff\nb");
    assert_eq!(String::from_utf8(out).expect("UTF-8"), "\"a\u{fffd}\\nb\"");
}

#[test]
fn the_indented_form_is_the_originals() {
    let mut message = read(OURS[4]);
    message.fields.set("none", Fields::new());
    message.fields.set("empty", Value::List(Vec::new()));
    message.fields.set("text", "a, {b}: \"c\" \\");
    let mut out = Vec::new();
    wire::indented(&mut out, &message);
    let expected = r#"{
    "type": "bid",
    "timestamp": "2026-11-20T22:00:50.348957Z",
    "logger": "market",
    "severity": 2,
    "payload": "raw",
    "fields": {
        "amount": 12.5,
        "ok": true,
        "tags": [
            "a",
            "b"
        ],
        "none": {},
        "empty": [],
        "text": "a, {b}: \"c\" \\"
    },
    "env_version": "0.8",
    "metlog_pid": 4711,
    "metlog_hostname": "app01"
}"#;
    assert_eq!(String::from_utf8(out.clone()).expect("UTF-8"), expected);
    assert_eq!(read(expected), message);
    // Under Python 2 the original left a blank after each comma; its files hold one such message after the other.
    let original = expected.replace(",\n", ", \n");
    let mut splitter = Splitter::new(1 << 20);
    splitter.push(format!("{original}\n{original}\n").as_bytes());
    for _ in 0..2 {
        let Some(Piece::Message(text)) = splitter.next_piece() else { panic!("two messages") };
        assert_eq!(read(std::str::from_utf8(&text).expect("UTF-8")), message);
    }
    assert_eq!(splitter.finish(), None);
}

#[test]
fn times() {
    let parse = |text: &str| Timestamp::parse(text).map(|time| time.to_string());
    let moment = Some("2026-11-20T22:00:50.348839Z".to_owned());
    for same in [
        "2026-11-20T22:00:50.348839Z",
        "2026-11-20 22:00:50.348839z",
        "2026-11-20t22:00:50.348839",
        "2026-11-20T22:00:50.348839999Z",
        "2026-11-20T22:00:50.3488399999999Z",
        "2026-11-21T00:00:50.348839+02:00",
        "2026-11-21T00:00:50.348839+0200",
        "2026-11-20T20:00:50.348839-02",
    ] {
        assert_eq!(parse(same), moment, "{same}");
    }
    assert_eq!(parse("2026-11-20T22:00:50Z").as_deref(), Some("2026-11-20T22:00:50.000000Z"));
    assert_eq!(parse("2016-12-31T23:59:60Z").as_deref(), Some("2016-12-31T23:59:59.000000Z"), "a leap second");
    assert_eq!(parse("2024-02-29T00:00:00Z").as_deref(), Some("2024-02-29T00:00:00.000000Z"));
    assert_eq!(parse("1969-12-31T23:59:59.5Z").as_deref(), Some("1969-12-31T23:59:59.500000Z"));
    for wrong in [
        "",
        "2026",
        "2026-11-20",
        "2026-11-20T22:00",
        "2026-13-20T22:00:50Z",
        "2023-02-29T00:00:00Z",
        "2026-11-20T24:00:00Z",
        "2026-11-20T22:60:00Z",
        "2026-11-20T22:00:61Z",
        "2026-11-20T22:00:50.Z",
        "2026-11-20T22:00:50Zz",
        "2026-11-20T22:00:50+2",
        "2026-11-20T22:00:50+25:00",
        "２026-11-20T22:00:50Z",
        "9999-12-31T23:59:59Z",
    ] {
        assert_eq!(parse(wrong), None, "{wrong}");
    }
}
