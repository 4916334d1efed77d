//! JSON lines over real sockets: every argument, every form of a body, every answer, and our own senders against it.

mod support;

use metlog_http::DialectEntry;
use metlog_message::message::Origin;
use metlog_message::{Fields, Lines, Message, Severity, Timestamp, Value, wire};
use metlog_pipeline::{EndpointEntry, Picked, Reason};
use metlog_settings::Node;
use metlog_testkit::{open, sample, settings};
use proptest::prelude::*;
use std::io::Write;
use std::sync::LazyLock;
use support::{Answer, Running, strict};

const SECOND: i64 = 1_790_000_000_000_000_000;

fn value(json: &str) -> Value {
    wire::read_value(json.as_bytes()).expect("JSON")
}

fn fields(json: &str) -> Fields {
    value(json).as_map().cloned().expect("an object")
}

fn sorted(fields: &Fields) -> Vec<(&str, &Value)> {
    let mut all: Vec<_> = fields.iter().collect();
    all.sort_by_key(|(name, _)| *name);
    all
}

#[test]
fn each_argument() {
    let (running, mut before) = (Running::new(), (0, 0));
    for (head, row, payload, expected) in [
        ("", r#"{"_msg":"a","b":1}"#, r#""a""#, r#"{"b":1}"#),
        ("?_msg_field=m", r#"{"m":"a","_msg":"b"}"#, r#""a""#, r#"{"_msg":"b"}"#),
        ("?_msg_field=m", r#"{"_msg":"b"}"#, r#""b""#, "{}"),
        ("?_msg_field=x,m,n", r#"{"x":"","m":"a","n":"b"}"#, r#""a""#, r#"{"x":"","n":"b"}"#),
        ("?_msg_field=m", r#"{"m":"","b":1}"#, r#""""#, r#"{"b":1}"#),
        ("?_msg_field=e.m,m", r#"{"m":"b","e":{"m":"a","c":1}}"#, r#""a""#, r#"{"m":"b","e":{"c":1}}"#),
        ("?_msg_field=e.m", r#"{"e":{"m":"a","c":1}}"#, r#""a""#, r#"{"e":{"c":1}}"#),
        ("?_msg_field=m", r#"{"m":{"a":[1]}}"#, r#"{"a":[1]}"#, "{}"),
        ("?_msg_field=m", r#"{"b":1}"#, r#""""#, r#"{"b":1}"#),
        ("\r\nVL-Msg-Field: m\r\n", r#"{"m":"a","n":"b"}"#, r#""a""#, r#"{"n":"b"}"#),
        ("?_msg_field=n\r\nVL-Msg-Field: m\r\n", r#"{"m":"a","n":"b"}"#, r#""b""#, r#"{"m":"a"}"#),
        ("?_stream_fields=s,t", r#"{"_msg":"a","s":"x"}"#, r#""a""#, r#"{"s":"x"}"#),
        ("\r\nVL-Stream-Fields: s\r\n", r#"{"_msg":"a","s":"x"}"#, r#""a""#, r#"{"s":"x"}"#),
        (
            "?ignore_fields=b,c.d,e*",
            r#"{"_msg":"a","b":1,"c":{"d":1,"f":2},"e1":1,"e":{"x":1}}"#,
            r#""a""#,
            r#"{"c":{"f":2}}"#,
        ),
        ("\r\nVL-Ignore-Fields: b\r\n", r#"{"_msg":"a","b":1,"c":null}"#, r#""a""#, r#"{"c":null}"#),
        ("?ignore_fields=_msg", r#"{"_msg":"a","b":1}"#, r#""""#, r#"{"b":1}"#),
        (
            "?decolorize_fields=_msg,c*",
            r#"{"_msg":"\u001b[31ma\u001b[0m","c":{"d":"\u001b[1mx"},"e":"\u001b[1m"}"#,
            r#""a""#,
            r#"{"c":{"d":"x"},"e":"\u001b[1m"}"#,
        ),
        ("?_msg_field=m&decolorize_fields=m", r#"{"m":"\u001b[31ma"}"#, r#""a""#, "{}"),
        ("\r\nVL-Decolorize-Fields: b\r\n", r#"{"_msg":"a","b":"\u001b[2Jx"}"#, r#""a""#, r#"{"b":"x"}"#),
        ("?extra_fields=dc=ber,b=2", r#"{"_msg":"a","b":1}"#, r#""a""#, r#"{"b":"2","dc":"ber"}"#),
        ("\r\nVL-Extra-Fields: dc=ber\r\n", r#"{"_msg":"a"}"#, r#""a""#, r#"{"dc":"ber"}"#),
        (
            "\r\nAccountID: 7\r\nProjectID: 0\r\n",
            r#"{"_msg":"a","ProjectID":"x"}"#,
            r#""a""#,
            r#"{"ProjectID":"x","AccountID":7,"_ProjectID":0}"#,
        ),
        ("?debug=0", r#"{"_msg":"a"}"#, r#""a""#, "{}"),
        ("?unknown=1", r#"{"_msg":"a"}"#, r#""a""#, "{}"),
        ("/", r#"{"_msg":"a"}"#, r#""a""#, "{}"),
    ] {
        running.ask(&format!("POST /insert/jsonline{head}"), row).is_silent(200);
        let (mut made, refused) = running.new_ones(&mut before);
        assert_eq!((made.len(), refused.len()), (1, 0), "{head} {row}");
        let message = made.remove(0);
        assert_eq!((&message.payload, &message.fields), (&value(payload), &fields(expected)), "{head} {row}");
        assert_eq!(message.kind, "oldstyle");
    }
    let error = running.lines("extra_fields=a=error,level=error", r#"{"level":"info"}"#);
    error.is_silent(200);
    assert_eq!(
        running.new_ones(&mut before).0[0].severity,
        Severity::Error,
        "what is added stands over the line's own"
    );
    for head in ["?extra_fields=a", "\r\nAccountID: x\r\n"] {
        let answer = running.ask(&format!("POST /insert/jsonline{head}"), "{}");
        assert!(answer.status == 400 && answer.json()["error"].is_string(), "{answer:?}");
    }
}

#[test]
fn each_form_of_time() {
    let (running, mut before) = (Running::new(), (0, 0));
    for (time, nanos) in [
        ("1790000000", SECOND),
        ("1790000000.5", SECOND + 500_000_000),
        ("1790000000.1234567", SECOND + 123_456_700),
        ("1790000000.123456789", SECOND + 123_456_789),
        ("1.79e9", SECOND),
        ("1790000000123", SECOND + 123_000_000),
        ("1790000000123456", SECOND + 123_456_000),
        ("1790000000123456789", SECOND + 123_456_789),
        (r#""1790000000123456789""#, SECOND + 123_456_789),
        (r#""1790000000.25""#, SECOND + 250_000_000),
        (r#""2026-09-21T14:13:20Z""#, SECOND),
        (r#""2026-09-21 14:13:20.123456789""#, SECOND + 123_456_789),
        (r#""2026-09-21T16:13:20.5+02:00""#, SECOND + 500_000_000),
        (r#""2026-09-21T09:13:20-0500""#, SECOND),
    ] {
        for (query, row) in [
            ("", format!(r#"{{"_time":{time}}}"#)),
            ("_time_field=x,t", format!(r#"{{"x":null,"a":"\"t\"","t" : {time} , "_time":1}}"#)),
            ("_time_field=m.t", format!(r#"{{"m":{{"t":{time}}}}}"#)),
        ] {
            running.lines(query, &row).is_silent(200);
            let message = running.new_ones(&mut before).0.remove(0);
            assert_eq!(message.timestamp, Timestamp::from_nanos(nanos), "{row}");
            assert!(!message.fields.contains("t") && !message.fields.contains("m"), "{row}");
        }
    }
    for time in ["0", "null", r#""""#, r#""-""#, r#""0""#, "0.0"] {
        let begun = Timestamp::now();
        running.lines("", format!(r#"{{"_time":{time}}}"#)).is_silent(200);
        let message = running.new_ones(&mut before).0.remove(0);
        assert!((begun..=Timestamp::now()).contains(&message.timestamp), "{time}");
        assert_eq!(message.fields, Fields::new());
    }
    let begun = Timestamp::now();
    running.lines("_time_field=t", r#"{"_time":5}"#).is_silent(200);
    let message = running.new_ones(&mut before).0.remove(0);
    assert!((begun..=Timestamp::now()).contains(&message.timestamp) && message.fields.contains("_time"));
    for time in [r#""yesterday""#, r#""2026-09-21""#, "true", "[1]", "{}", "NaN", "1e300", "99999999999999999999"] {
        let row = format!(r#"{{"_time":{time}}}"#);
        let answer = running.lines("", &row);
        assert_eq!((answer.status, &answer.json()["refused"]), (200, &1.into()), "{row}");
        let refused = running.new_ones(&mut before).1.remove(0);
        assert_eq!((refused.part.as_slice(), refused.reason), (row.as_bytes(), Reason::Malformed));
        assert!(refused.why.contains("`_time`"), "{}", refused.why);
    }
}

#[test]
fn a_bad_line_costs_itself_only() {
    let (running, mut before) = (Running::new(), (0, 0));
    let long = format!(r#"{{"_msg":"{}"}}"#, "x".repeat(1024 * 1024));
    let deep = "[".repeat(200) + &"]".repeat(200);
    let body = format!(
        "{{\"_msg\":\"1\"}}\r\nno JSON\n\n[1]\n{long}\n{{\"_time\":\"?\"}}\n{{\"d\":{deep}}}\n \n{{\"_msg\":\"2\",\"n\":NaN}}"
    );
    let answer = running.lines("", body);
    let (made, refused) = running.new_ones(&mut before);
    let texts: Vec<_> = made.iter().filter_map(|message| message.payload.as_str()).collect();
    assert_eq!((answer.status, texts), (200, vec!["1", "2"]));
    assert_eq!(made[1].fields, fields(r#"{"n":"NaN"}"#));
    let reasons: Vec<_> = refused.iter().map(|refused| refused.reason).collect();
    assert_eq!(reasons, [Reason::Malformed, Reason::Malformed, Reason::TooLarge, Reason::Malformed, Reason::TooLarge]);
    assert!(refused[2].part == long.as_bytes());
    let said = answer.json();
    assert_eq!((&said["accepted"], &said["refused"], &said["first"][0]["index"]), (&2.into(), &5.into(), &1.into()));
    // Of a thousand, ten are named.
    let answer = running.lines("", "{}\n".to_owned() + &"x\n".repeat(1000)).json();
    assert_eq!((&answer["refused"], answer["first"].as_array().map(Vec::len)), (&1000.into(), Some(10)));
}

#[test]
fn only_a_body_without_any_sense_is_a_bad_one() {
    let running = Running::new();
    for nothing in ["", "\n \r\n"] {
        running.lines("", nothing).is_silent(200);
    }
    for body in ["no JSON", "[{}]", "5\n\"x\"", "{\"_msg\":\"cut"] {
        let answer = running.lines("", body);
        assert!(answer.status == 400 && answer.json()["error"].is_string(), "{answer:?}");
    }
    assert_eq!(running.lines("", "{\"_time\":\"?\"}").status, 200, "a row, though not one that can be kept");
    assert_eq!((running.recorder.accepted(), running.recorder.received()), (0, 6));
}

#[test]
fn each_coding_and_content_type() {
    let (running, row) = (Running::new(), r#"{"_msg":"a"}"#);
    let mut gzip = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    let mut deflate = flate2::write::ZlibEncoder::new(Vec::new(), flate2::Compression::fast());
    gzip.write_all(row.as_bytes()).expect("written");
    deflate.write_all(row.as_bytes()).expect("written");
    for (coding, body) in [
        ("gzip", gzip.finish().expect("finished")),
        ("deflate", deflate.finish().expect("finished")),
        ("zstd", zstd::bulk::compress(row.as_bytes(), 1).expect("compressed")),
        ("snappy", snap::raw::Encoder::new().compress_vec(row.as_bytes()).expect("compressed")),
        ("identity", row.into()),
    ] {
        running.ask(&format!("POST /insert/jsonline\r\nContent-Encoding: {coding}\r\n"), body).is_silent(200);
    }
    for kind in ["application/stream+json", "application/x-www-form-urlencoded", "multipart/form-data", "text/plain"] {
        running.ask(&format!("POST /insert/jsonline\r\nContent-Type: {kind}\r\n"), row).is_silent(200);
    }
    running.lines("", format!("\u{feff}{row}")).is_silent(200);
    assert!(running.messages().iter().all(|message| message.payload.as_str() == Some("a")));
    assert_eq!(running.recorder.accepted(), 10);
    let answer = running.ask("POST /insert/jsonline\r\nContent-Encoding: br\r\n", row);
    assert!(answer.status == 415 && answer.body.contains("snappy"), "{answer:?}");
}

#[test]
fn whoever_only_looks_is_told_so() {
    let running = Running::new();
    for slash in ["", "/"] {
        let answer = running.ask(&format!("GET /insert/jsonline{slash}"), "");
        assert!(answer.status == 405 && answer.head.contains("\r\nallow: post"), "{answer:?}");
        let answer = running.ask(&format!("GET /insert/ready{slash}"), "");
        assert_eq!((answer.status, answer.json()["status"].as_str()), (200, Some("ok")));
    }
    let answer = running.lines("debug=1", "{\"_msg\":\"a\"}\nx\n".to_owned() + &"{\"_msg\":\"b\"}\n".repeat(2000));
    let mut shown = answer.body.lines();
    let first = strict(shown.next().expect("a line").as_bytes());
    assert_eq!((answer.status, first.payload.as_str()), (200, Some("a")));
    assert!(shown.next().expect("a line").starts_with("{\"error\":"));
    assert!(answer.body.len() <= 64 * 1024);
    assert_eq!(running.recorder.received(), 0);
}

#[test]
fn full_is_said_and_nothing_is_taken() {
    let running = Running::new();
    running.recorder.set_full(true);
    let loki = r#"{"streams":[{"stream":{},"values":[["1","a"]]}]}"#;
    for (path, body) in [
        ("/insert/jsonline", "{}"),
        ("/insert/loki/api/v1/push", loki),
        ("/insert/elasticsearch/_bulk", "{\"index\":{}}\n{}\n"),
    ] {
        let answer = running.ask(&format!("POST {path}\r\nContent-Type: application/json\r\n"), body);
        assert!(answer.status == 503 && answer.head.contains("\r\nretry-after: 1"), "{answer:?}");
    }
    let seen = running.recorder.seen();
    assert_eq!((seen.accepted.len(), seen.count(Reason::SpoolFull), seen.pending), (0, 3, 0));
}

/// What the row form can hold: any type, text, number of levels, names that the mapping uses itself.
fn all_sorts() -> Vec<Message> {
    let mut full = Message::new("counter").logger("shop.pay").payload("1").severity(Severity::Notice);
    full.timestamp = Timestamp::from_nanos(SECOND + 123_456_789);
    full.pid = Some(7);
    full.hostname = Some("app01".into());
    full.origin = Some(Origin { client: "c0ffee".into(), seq: 12 });
    full.extra = fields(r#"{"own":{"a":1},"other":null}"#);
    full.fields = fields(
        r#"{"name":"jobs","rate":0.5,"n":null,"list":[1,{"a":"b"}],"map":{"a":{"b":1}},"big":123456789012345678901234567890}"#,
    );
    let plain = |kind: &str| {
        let mut message = Message::new(kind);
        message.timestamp = Timestamp::from_nanos(SECOND);
        message
    };
    let long = "n".repeat(125);
    vec![
        full,
        plain("oldstyle").payload("a \"text\" \u{1f980}\n\0"),
        plain("").payload("x"),
        plain("timer").payload(value(r#"{"a":{"b":[1,2]},"c":null}"#)),
        plain("empty"),
        plain("t").payload("x").severity(Severity::Debug).field("level", "trace").field("logger", "mine"),
        plain("t").payload("x").field("type", "mine").field("_msg", "m").field("fields", 5).field("payload", "p"),
        plain("t").payload("x").field(long, 1).field("a", 2),
    ]
}

#[test]
fn what_our_own_sender_wrote_comes_out_equal() {
    let running = Running::new();
    let mut batch = Lines::new();
    for message in all_sorts() {
        batch.push_with(|line| wire::write(line, &message));
    }
    let keep = "retention = '20000d'\nfuture_retention = '20000d'";
    let mut sender = open("victorialogs", &format!("url = '{}'\n{keep}", running.url(""))).expect("opens");
    sender.send(&batch).expect("taken");
    let came = running.messages();
    assert_eq!(came.len(), all_sorts().len());
    for (mut sent, mut came) in all_sorts().into_iter().zip(came) {
        // Microseconds are what the message had on its way to the sender.
        sent.timestamp = Timestamp::from_nanos(sent.timestamp.nanos() / 1000 * 1000);
        assert_eq!(sorted(&sent.fields), sorted(&came.fields));
        sent.fields = Fields::new();
        came.fields = Fields::new();
        assert_eq!(came, sent);
    }
}

#[test]
fn what_our_own_endpoint_wrote_comes_out_equal() {
    let running = Running::new();
    let mut batch = Lines::new();
    let mut sent = all_sorts();
    // What the endpoint cannot send is for its own tests.
    sent.retain(|message| message.fields.iter().all(|(name, _)| name.len() < 100));
    for message in &sent {
        batch.push_with(|line| wire::write(line, message));
    }
    let toml = format!("url = '{}'\nretention = '20000d'\nfuture_retention = '20000d'\nsettle = '0s'", running.url(""));
    let entry = EndpointEntry::find("victorialogs").expect("there");
    let mut endpoint = (entry.read)(&settings(&toml)).unwrap_or_else(|problems| panic!("{problems}"))().expect("opens");
    let ids: Vec<u64> = (0..sent.len() as u64).collect();
    endpoint.write(&Picked::new(&batch, &ids)).expect("taken");
    let came = running.messages();
    assert_eq!(came.len(), sent.len());
    for (mut sent, came) in sent.into_iter().zip(came) {
        sent.timestamp = Timestamp::from_nanos(sent.timestamp.nanos() / 1000 * 1000);
        assert_eq!(came, sent);
    }
    // Arguments hold for such rows too.
    let mut before = (running.recorder.accepted(), 0);
    let line = String::from_utf8(sample::line(3)).expect("UTF-8");
    let query = "_msg_field=_msg,payload&_time_field=timestamp&ignore_fields=fields.number&extra_fields=dc=x";
    running.ask(&format!("POST /insert/jsonline?{query}\r\nAccountID: 5\r\n"), &line).is_silent(200);
    let (made, _) = running.new_ones(&mut before);
    assert!(!made[0].fields.contains("number") && made[0].fields.get("AccountID") == Some(&Value::Int(5)));
    assert_eq!(made[0].extra.get("dc"), Some(&Value::from("x")));
    assert_eq!(made[0].payload, sample::message(3).payload);
}

#[test]
fn the_example_names_it_and_it_has_no_settings() {
    let entry = DialectEntry::find("victorialogs").expect("there");
    let example = settings(entry.example);
    let names = example.get("inputs").and_then(|inputs| inputs.get("http")?.get("dialects")).and_then(Node::as_list);
    let names: Vec<_> = names.expect("a list").iter().map(Node::as_str).collect();
    assert_eq!(names, [Some("victorialogs")]);
    let problems = (entry.read)(&settings("color = 'red'")).err().expect("refused");
    assert!(problems.to_string().contains("color"), "{problems}");
}

/// Asks, and counts what came of it.
fn counted(running: &Running, head: &str, body: &[u8]) -> (Answer, u64, u64) {
    let (accepted, received) = (running.recorder.accepted() as u64, running.recorder.received());
    let answer = running.ask(head, body);
    let accepted = running.recorder.accepted() as u64 - accepted;
    (answer, accepted, running.recorder.received() - received - accepted)
}

fn piece() -> impl Strategy<Value = Vec<u8>> {
    let row = "[{]\"(_msg|_time|level|a)\":(1|\"x\"|null|\\[\\]|[{][}]|1e9|tru)(,\"b\":2)?[}]?";
    let part = prop_oneof![row, "[\\[\\]{},:\"\\\\ a1\r]{0,20}", "\\{\"(create|index|delete|update)\":\\{\\}\\}"];
    prop_oneof![4 => part.prop_map(String::into_bytes), 1 => prop::collection::vec(any::<u8>(), 0..20)]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(300))]
    /// Accepted and refused are all lines there are.
    #[test]
    fn no_line_is_lost(pieces in prop::collection::vec(piece(), 0..8)) {
        static RUNNING: LazyLock<Running> = LazyLock::new(Running::new);
        let body = pieces.join(&b'\n');
        let lines = body.split(|byte| *byte == b'\n').filter(|line| !line.trim_ascii().is_empty());
        let lines = lines.count() as u64;
        let (answer, accepted, refused) = counted(&RUNNING, "POST /insert/jsonline?ignore_fields=a", &body);
        if answer.status != 415 {
            prop_assert_eq!(accepted + refused, lines);
            prop_assert!(answer.status == 200 || accepted == 0);
        }
    }

    /// One item for each that went in, whatever the lines are.
    #[test]
    fn no_document_is_lost(pieces in prop::collection::vec(piece(), 0..8)) {
        static RUNNING: LazyLock<Running> = LazyLock::new(Running::new);
        let body = pieces.join(&b'\n');
        let lines = body.split(|byte| *byte == b'\n').filter(|line| !line.trim_ascii().is_empty());
        let lines = lines.count() as u64;
        let (answer, accepted, refused) = counted(&RUNNING, "POST /_bulk", &body);
        if answer.status != 415 {
            // An action and its document are one.
            prop_assert!(accepted + refused <= lines && 2 * (accepted + refused) >= lines);
        }
        if answer.status == 200 {
            let items = answer.json()["items"].as_array().map_or(0, Vec::len) as u64;
            let created = answer.body.matches("201").count() as u64;
            prop_assert_eq!((items, created), (accepted + refused, accepted));
        } else {
            prop_assert!(accepted == 0 && [400, 415].contains(&answer.status), "{:?}", answer);
        }
    }
}
