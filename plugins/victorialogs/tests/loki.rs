//! Loki's push in both codings, the second written by an encoder of the test's own.

mod support;

use metlog_message::{Fields, Message, Severity, Timestamp, Value, wire};
use metlog_pipeline::Reason;
use proptest::prelude::*;
use std::sync::LazyLock;
use support::{Answer, Running};

const NANOS: i64 = 1_790_000_000_123_456_789;

fn fields(json: &str) -> Fields {
    match wire::read_value(json.as_bytes()) {
        Ok(Value::Map(fields)) => fields,
        other => panic!("{other:?}"),
    }
}

fn json(running: &Running, body: impl AsRef<[u8]>) -> Answer {
    running.ask("POST /insert/loki/api/v1/push\r\nContent-Type: application/json\r\n", body)
}

/// A field of bytes, as protobuf has it.
fn bytes(number: u64, bytes: impl AsRef<[u8]>) -> Vec<u8> {
    let bytes = bytes.as_ref();
    [varint(number << 3 | 2), varint(bytes.len() as u64), bytes.to_vec()].concat()
}

fn number(field: u64, number: i64) -> Vec<u8> {
    [varint(field << 3), varint(number.cast_unsigned())].concat()
}

fn varint(mut number: u64) -> Vec<u8> {
    let mut made = Vec::new();
    while number > 0x7f {
        made.push(number as u8 | 0x80);
        number >>= 7;
    }
    made.push(number as u8);
    made
}

fn entry(nanos: i64, text: &str, metadata: &[(&str, &str)]) -> Vec<u8> {
    let (seconds, below) = (nanos.div_euclid(1_000_000_000), nanos.rem_euclid(1_000_000_000));
    let mut entry = [bytes(1, [number(1, seconds), number(2, below)].concat()), bytes(2, text)].concat();
    for (name, value) in metadata {
        entry.extend(bytes(3, [bytes(1, name), bytes(2, value)].concat()));
    }
    entry
}

fn stream(labels: &str, entries: &[Vec<u8>]) -> Vec<u8> {
    let entries: Vec<u8> = entries.iter().flat_map(|entry| bytes(2, entry)).collect();
    // The hash comes last, and means nothing to us.
    bytes(1, [bytes(1, labels), entries, number(3, -5)].concat())
}

fn snappy(body: &[u8]) -> Vec<u8> {
    snap::raw::Encoder::new().compress_vec(body).expect("compressed")
}

fn protobuf(running: &Running, body: &[u8]) -> Answer {
    running.ask("POST /loki/api/v1/push\r\nContent-Type: application/x-protobuf\r\n", snappy(body))
}

/// The same three entries, which both codings are to give.
fn expected() -> Vec<Message> {
    let mut first = Message::new("oldstyle").payload("GET / 200").severity(Severity::Error);
    first.fields = fields(r#"{"app":"shop \"1\"","trace_id":"t1"}"#);
    first.logger = "http".into();
    let mut second = Message::new("oldstyle").payload("two\nlines \u{1f980}").severity(Severity::Error);
    second.fields = fields(r#"{"app":"shop \"1\""}"#);
    second.logger = "http".into();
    let mut third = Message::new("oldstyle").payload("hi");
    third.fields = fields(r#"{"user":{"id":7}}"#);
    first.timestamp = Timestamp::from_nanos(NANOS);
    second.timestamp = Timestamp::from_nanos(NANOS + 1);
    third.timestamp = Timestamp::from_nanos(-1);
    vec![first, second, third]
}

#[test]
fn the_same_in_both_codings() {
    let body = format!(
        r#" {{"other":[1],"streams":[{{"values":[["{NANOS}","GET / 200",{{"trace_id":"t1"}}],["{}","two\nlines 🦀"]],
        "stream":{{"app":"shop \"1\"","level":"error","logger":"http"}}}},
        {{"stream":{{}},"values":[["-1","{{\"msg\":\"hi\",\"user\":{{\"id\":7}}}}",{{}}]]}}]}}"#,
        NANOS + 1
    );
    let labels = r#"{app="shop \"1\"", level="error", logger="http"}"#;
    let streams = [
        stream(
            labels,
            &[entry(NANOS, "GET / 200", &[("trace_id", "t1")]), entry(NANOS + 1, "two\nlines \u{1f980}", &[])],
        ),
        stream("{}", &[entry(-1, r#"{"msg":"hi","user":{"id":7}}"#, &[])]),
    ]
    .concat();
    for path in ["/insert/loki/api/v1/push", "/loki/api/v1/push/", "/insert/loki/loki/api/v1/push"] {
        for (head, body) in [
            ("application/json", body.clone().into_bytes()),
            ("application/json; charset=utf-8", body.clone().into_bytes()),
            ("application/json\r\nContent-Encoding: snappy", snappy(body.as_bytes())),
            ("text/plain", body.clone().into_bytes()),
            ("", snappy(&streams)),
            ("application/x-protobuf", snappy(&streams)),
            ("application/x-protobuf\r\nContent-Encoding: snappy", snappy(&streams)),
            ("application/x-protobuf\r\nContent-Encoding: identity", streams.clone()),
            (
                "application/x-protobuf\r\nContent-Encoding: zstd",
                zstd::bulk::compress(&streams, 1).expect("compressed"),
            ),
        ] {
            let running = Running::new();
            running.ask(&format!("POST {path}\r\nContent-Type: {head}\r\n"), body).is_silent(204);
            assert_eq!(running.messages(), expected(), "{head}");
        }
    }
}

#[test]
fn json_in_a_text_becomes_fields_unless_something_would_be_lost() {
    let line = |text: &str| {
        format!(r#"{{"streams":[{{"stream":{{"a":"1"}},"values":[["5",{}]]}}]}}"#, serde_json::json!(text))
    };
    let (running, mut before) = (Running::new(), (0, 0));
    for (query, text, payload, expected) in [
        ("", r#"{"msg":"hi","b":2}"#, "hi", r#"{"a":"1","b":2}"#),
        ("?_msg_field=b", r#"{"msg":"hi","b":"x"}"#, "x", r#"{"a":"1","msg":"hi"}"#),
        // No text in it, or two of a name.
        ("", r#"{"b":2}"#, r#"{"b":2}"#, r#"{"a":"1","b":2}"#),
        ("", r#"{"msg":"hi","a":2}"#, r#"{"msg":"hi","a":2}"#, r#"{"a":"1"}"#),
        ("", r#"{"msg":"hi","a":"1"}"#, "hi", r#"{"a":"1"}"#),
        ("", r#"{"msg":"hi"#, r#"{"msg":"hi"#, r#"{"a":"1"}"#),
        ("", "{b}", "{b}", r#"{"a":"1"}"#),
        ("?disable_message_parsing=1", r#"{"msg":"hi"}"#, r#"{"msg":"hi"}"#, r#"{"a":"1"}"#),
        ("?ignore_fields=a&extra_fields=dc=x", "t", "t", r#"{"dc":"x"}"#),
    ] {
        let head = format!("POST /loki/api/v1/push{query}\r\nContent-Type: application/json\r\n");
        running.ask(&head, line(text)).is_silent(204);
        let message = running.new_ones(&mut before).0.remove(0);
        assert_eq!((message.payload, message.fields), (payload.into(), fields(expected)), "{text}");
    }
}

#[test]
fn a_bad_entry_costs_itself_only() {
    let (running, mut before) = (Running::new(), (0, 0));
    let body = r#"{"streams":[
        {"stream":{"a":"1"},"values":[["1","good"],["soon","bad"],["1"],5,["1","x",7],["1","x",{},1],["2","good"]]},
        {"stream":{"a":"2"}},{"stream":5,"values":[["1","bad"]]},7,
        {"stream":{"a":"3"},"values":[["0","good"],["3","bro"#;
    assert_eq!(json(&running, body).status, 204);
    let (made, refused) = running.new_ones(&mut before);
    assert_eq!(made.iter().filter(|message| message.payload.as_str() == Some("good")).count(), 3);
    assert_eq!((made.len(), refused.len()), (3, 9), "{refused:?}");
    assert!(refused.iter().any(|refused| refused.part == br#"["soon","bad"]"# && refused.why.contains("nanoseconds")));

    let broken = [bytes(1, b"\x0a\x02"), bytes(2, [5])].concat();
    let stream_of = |entries: &[Vec<u8>]| stream("{a=\"1\"}", entries);
    let body = [
        stream_of(&[entry(1, "good", &[]), broken, b"\x12\x50x".to_vec(), entry(i64::MIN, "edge", &[])]),
        bytes(1, [bytes(1, "no selector"), bytes(2, entry(1, "good", &[])), b"\x12\x7f".to_vec()].concat()),
        stream_of(&[entry(2, "good", &[])]),
        b"\x0a\xff\xff\xff\xff\xff\xff\xff\xff\x7fx".to_vec(),
    ]
    .concat();
    assert_eq!(protobuf(&running, &body).status, 204);
    let (made, refused) = running.new_ones(&mut before);
    assert_eq!(made.iter().filter(|message| message.payload.as_str() == Some("good")).count(), 3, "{made:?}");
    assert_eq!((made.len(), refused.len()), (4, 4), "{refused:?}");
    assert!(made.iter().any(|message| message.fields == fields(r#"{"labels":"no selector"}"#)));
    assert!(refused.iter().filter(|refused| refused.reason == Reason::Truncated).count() >= 3);
}

#[test]
fn only_a_body_without_any_sense_is_a_bad_one() {
    let running = Running::new();
    for nothing in ["", r#"{"streams":[]}"#, r#"{"streams":[{"stream":{},"values":[]}]}"#] {
        json(&running, nothing).is_silent(204);
    }
    protobuf(&running, b"").is_silent(204);
    for body in ["no JSON", "{}", "[]", r#"{"streams":5}"#, r#"{"streams":[{}]}"#, r#"{"streams":[{"values":[[]]}]}"#] {
        let answer = json(&running, body);
        assert!(answer.status == 400 && answer.json()["error"].is_string(), "{answer:?}");
    }
    for body in [b"{\"streams\":[]}".as_slice(), b"\x08\x01", b"\x12\x01a"] {
        assert_eq!(protobuf(&running, body).status, 400);
    }
    assert_eq!((running.recorder.accepted(), running.recorder.received()), (0, 9));
}

#[test]
fn snappy_is_not_believed() {
    let running = Running::new();
    let ask = |body: &[u8]| running.ask("POST /loki/api/v1/push\r\nContent-Type: application/x-protobuf\r\n", body);
    let whole = snappy(&stream("{}", &[entry(1, &"x".repeat(5000), &[])]));
    for cut in [1, 2, 10, whole.len() - 1] {
        assert_eq!(ask(&whole[..cut]).status, 400, "{cut}");
    }
    // It says four GiB, or what nobody could have compressed so well.
    let bomb = [b"\xff\xff\xff\xff\x0f\x00a".as_slice(), &[0xfe, 0x01, 0x00].repeat(100)].concat();
    assert_eq!(ask(&bomb).status, 413);
    let large = snappy(&vec![b' '; 17 * 1024 * 1024]);
    assert_eq!(ask(&large).status, 413);
    assert_eq!(ask(b"plain text").status, 400);
    assert_eq!(running.recorder.received(), 0);
}

#[test]
fn they_ask_whether_it_is_ready() {
    let running = Running::new();
    for path in ["/insert/loki/ready", "/loki/ready", "/insert/loki/loki/ready"] {
        let answer = running.ask(&format!("GET {path}"), "");
        assert_eq!((answer.status, answer.body.as_str()), (200, "ready\n"));
    }
    assert_eq!(running.ask("GET /loki/api/v1/push", "").status, 405);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]
    /// Each entry is accepted or refused, and a body that is cut loses no whole one.
    #[test]
    fn no_entry_is_lost(
        streams in prop::collection::vec(prop::collection::vec((any::<i64>(), "\\PC{0,12}", any::<bool>()), 0..4), 0..4),
        cut in 0.0..1.0_f64,
        coding: bool,
    ) {
        static RUNNING: LazyLock<Running> = LazyLock::new(Running::new);
        let mut before = (RUNNING.recorder.accepted(), RUNNING.recorder.seen().refused.len());
        let entries: usize = streams.iter().map(Vec::len).sum();
        let parts: Vec<Vec<u8>> = streams
            .iter()
            .map(|entries| {
                if coding {
                    let entries: Vec<_> = entries.iter().map(|(nanos, text, _)| entry(*nanos, text, &[])).collect();
                    return stream("{a=\"b\"}", &entries);
                }
                let entry = |(nanos, text, bad): &(i64, String, bool)| {
                    if *bad { serde_json::json!([text]) } else { serde_json::json!([nanos.to_string(), text]) }
                };
                let entries: Vec<_> = entries.iter().map(entry).collect();
                serde_json::json!({ "stream": { "a": "b" }, "values": entries }).to_string().into_bytes()
            })
            .collect();
        let send = |body: &[u8]| if coding { protobuf(&RUNNING, body) } else { json(&RUNNING, body) };
        let body = match coding {
            true => parts.concat(),
            false => [b"{\"streams\":[".as_slice(), &parts.join(&b','), b"]}"].concat(),
        };
        let bad = if coding { 0 } else { streams.iter().flatten().filter(|(_, _, bad)| *bad).count() };
        let answer = send(&body);
        prop_assert!(answer.status == 204 || bad == entries);
        let (made, refused) = RUNNING.new_ones(&mut before);
        prop_assert_eq!((made.len(), refused.len()), (entries - bad, bad));

        send(&body[..(body.len() as f64 * cut) as usize]);
        let (again, refused) = RUNNING.new_ones(&mut before);
        let texts = |messages: &[Message]| messages.iter().map(|message| message.payload.clone()).collect::<Vec<_>>();
        prop_assert!(texts(&made).starts_with(&texts(&again)));
        prop_assert!(again.len() + refused.len() <= entries + 1);
    }
}
