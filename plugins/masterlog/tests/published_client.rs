//! Against the published Python client: both send the same events to the same peer, and what arrives is compared.

use metlog_masterlog as _;
use metlog_message::{Fields, Lines, Message, Severity, Timestamp, Value, wire};
use metlog_testkit::http::{Answer, HttpPeer, Request};
use metlog_testkit::service::{compare, head, map};
use metlog_testkit::{open, python, sample};
use std::io::Write;
use std::process::{Command, Stdio};

const CLIENT: &[&str] = &["master-log-client==0.1.0"];

/// Where the head of a request differs on purpose. `-` only the client's, `+` only ours, `~` another value.
const HEADS: &[(&str, &str)] = &[
    ("~user-agent", "each says its own name"),
    ("-connection", "the client's is `close`; ours is kept for the next request"),
    ("-accept-encoding", "the client's is `identity`, which is what no header means"),
];

/// Where every event differs on purpose.
const EVENTS: &[(&str, &str)] = &[
    ("-metadata.python_client", "describes a Python process"),
    ("+metadata.metlog", "what of the envelope has no place in an event"),
];

/// Where the event of a client that was given no time differs too.
const WITHOUT_TIME: (&str, &str) = ("+created_at", "the client lets the time of arrival stand for the event's");

/// An event: what the client is told, what our message differs in from the plain one, and where they part on purpose.
struct Case {
    text: &'static str,
    arguments: Fields,
    message: fn(Message) -> Message,
    parts: &'static [(&'static str, &'static str)],
}

fn case(text: &'static str, arguments: &str, message: fn(Message) -> Message) -> Case {
    Case { text, arguments: map(arguments.as_bytes()), message, parts: &[] }
}

fn cases() -> Vec<Case> {
    let mut cases = vec![
        case("trace", r#"{"severity":"trace"}"#, |m| m.severity(Severity::Debug).field("level", "trace")),
        case("debug", r#"{"severity":"debug"}"#, |m| m.severity(Severity::Debug)),
        case("info", r#"{"severity":"info"}"#, |m| m.severity(Severity::Informational)),
        case("warn", r#"{"severity":"warn"}"#, |m| m.severity(Severity::Warning)),
        case("error", r#"{"severity":"error"}"#, |m| m.severity(Severity::Error)),
        case("fatal", r#"{"severity":"fatal"}"#, |m| m.severity(Severity::Critical)),
        case("everything", r#"{"created_at":"2026-11-20T22:00:50.001002Z"}"#, |mut m| {
            m.timestamp = Timestamp::from_nanos(1_795_212_050_001_002_000);
            m
        }),
        case("given", r#"{"created_at":"2026-01-01T02:00:00.5+02:00"}"#, |m| {
            m.field("created_at", "2026-01-01T00:00:00.500000Z")
        }),
        case("tags", r#"{"tags":"b, a,,a ,B,é"}"#, |m| m.field("tags", "b, a,,a ,B,é")),
        case("tags", r#"{"tags":["b, c","a","  ","a"]}"#, |m| m.field("tags", ["b, c", "a", "  ", "a"])),
        case("life", r#"{"ttl_seconds":60,"expires_at":"2027-01-01T00:00:00Z"}"#, |m| {
            m.field("ttl_seconds", 60).field("expires_at", "2027-01-01T00:00:00Z")
        }),
        case("body", r#"{"title":"  a title\t"}"#, |m| m.field("title", "  a title\t")),
        case("body", r#"{"title":"\u001c"}"#, |m| m.field("title", "\u{1c}")),
        case(
            "metadata",
            r#"{"metadata":{"a":{"b":[1,-2.5,null,true,{"c":"日\u0000\"🦀"}]},"i":18446744073709551615,"e":{},"t":""}}"#,
            |m| {
                let inner: Fields = [("c", "日\0\"🦀")].into_iter().collect();
                let list = vec![1.into(), (-2.5).into(), Value::Null, true.into(), Value::Map(inner)];
                m.field("a", [("b", Value::List(list))].into_iter().collect::<Fields>())
                    .field("i", u64::MAX)
                    .field("e", Fields::new())
                    .field("t", "")
            },
        ),
    ];
    for text in [
        "first line \nsecond",
        "\r\n\t first\r\nsecond\n",
        "one\rtwo",
        "one\u{2028}two",
        "one\u{85}two",
        "one\u{c}two",
        "\u{1c}\u{1f}one\u{1d}two",
        "a\u{200b}b\u{a0}",
        concat!(
            "1234567890123456789012345678901234567890123456789012345678901234567890123456789012345678901234567890",
            "日本日本日本日本日本日本日本日本日本日本"
        ),
    ] {
        cases.push(case(text, "{}", |m| m));
    }
    for blank in ["", " \n\t"] {
        cases.push(Case {
            parts: &[("~title", "the client's says `Python log event`; ours is the message's type")],
            ..case(blank, "{}", |m| m)
        });
    }
    cases.push(Case {
        parts: &[("+metadata.title", "the client forgets a blank title; here nothing of a message is lost")],
        ..case("body", r#"{"title":" \n"}"#, |m| m.field("title", " \n"))
    });
    cases.push(Case {
        parts: &[("~expires_at", "text stays as the caller wrote it; this client was given a moment")],
        ..case("zone", r#"{"expires_at":"2027-01-01T00:00:00+01:00"}"#, |m| {
            m.field("expires_at", "2027-01-01T00:00:00+01:00")
        })
    });
    cases
}

/// Runs the client with one JSON object per line.
fn client_sends(peer: &HttpPeer, cases: &[Case]) {
    let mut client = Command::new(python(CLIENT))
        .arg(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/support/client.py"))
        .args([&peer.url(), "k-1"])
        // Settings and proxies of whoever runs this are not the client's.
        .env_clear()
        .stdin(Stdio::piped())
        .spawn()
        .expect("Python starts");
    let mut lines = Vec::new();
    for case in cases {
        let mut arguments = case.arguments.clone();
        arguments.set("text", case.text);
        wire::write_value(&mut lines, &Value::Map(arguments));
        lines.push(b'\n');
    }
    client.stdin.take().expect("its input").write_all(&lines).expect("read");
    assert!(client.wait().expect("it ends").success(), "the client says why above");
}

fn we_send(peer: &HttpPeer, cases: &[Case]) {
    let mut batch = Lines::new();
    for case in cases {
        let mut plain = sample::message(0).payload(case.text);
        plain.fields = Fields::new();
        batch.push_with(|line| wire::write(line, &(case.message)(plain)));
    }
    let toml = format!("endpoint = '{}'\napi_key = 'k-1'", peer.url());
    open("masterlog", &toml).expect("opens").send(&batch).expect("taken");
}

fn logs(requests: &[Request]) -> Vec<Value> {
    let of_one = |request: &Request| match map(&request.body).get("logs") {
        Some(Value::List(logs)) => logs.clone(),
        _ => panic!("no `logs` in {}", String::from_utf8_lossy(&request.body)),
    };
    requests.iter().flat_map(of_one).collect()
}

#[test]
fn the_same_request_but_for_what_is_said_here() {
    let peer = HttpPeer::new(|_| Answer::new(200, ""));
    let cases = cases();
    client_sends(&peer, &cases);
    let theirs = peer.requests();
    we_send(&peer, &cases);
    let ours = peer.requests().split_off(theirs.len());
    assert!(!theirs.is_empty() && ours.len() == 1, "{} and {}", theirs.len(), ours.len());
    for request in &theirs {
        compare(&head(request), &head(&ours[0]), HEADS);
    }
    let keys = |request: &Request| map(&request.body).iter().map(|(name, _)| name.to_owned()).collect::<Vec<_>>();
    assert_eq!((keys(&theirs[0]), keys(&ours[0])), (vec!["logs".to_owned()], vec!["logs".to_owned()]));
    let (theirs, ours) = (logs(&theirs), logs(&ours));
    assert_eq!((theirs.len(), ours.len()), (cases.len(), cases.len()));
    for ((case, client), ours) in cases.iter().zip(&theirs).zip(&ours) {
        let without_time = (!case.arguments.contains("created_at")).then_some(&WITHOUT_TIME);
        compare(client, ours, EVENTS.iter().chain(without_time).chain(case.parts));
        // One spelling, whether or not the client had a time to write.
        let created = ours.as_map().and_then(|ours| ours.get("created_at")?.as_str()).expect("a time");
        let shape: String = created.chars().map(|c| if c.is_ascii_digit() { '0' } else { c }).collect();
        assert_eq!(shape, "0000-00-00T00:00:00.000000Z");
    }
}

#[test]
fn json_is_asked_for_unless_the_settings_ask_for_something_else() {
    let peer = HttpPeer::new(|_| Answer::new(200, ""));
    let toml = format!("endpoint = '{}'\napi_key = 'k-1'\nconnection.headers.accept = '*/*'", peer.url());
    open("masterlog", &toml).expect("opens").send(&sample::lines(0, 1)).expect("taken");
    we_send(&peer, &[case("m", "{}", |m| m)]);
    let accept: Vec<_> = peer.requests().iter().map(|request| request.header("accept").map(str::to_owned)).collect();
    assert_eq!(accept, [Some("*/*".to_owned()), Some("application/json".to_owned())]);
}
