//! Against the published Python client: both send the same entries to the same peer, and what arrives is compared.

use flate2::read::GzDecoder;
use metlog_logcollector::{Config, LogCollectorSender};
use metlog_message::{Fields, Lines, Message, Severity, Timestamp, Value, wire};
use metlog_pipeline::Sender;
use metlog_settings::Environment;
use metlog_testkit::http::{Answer, HttpPeer, Request};
use metlog_testkit::service::{compare, head, map};
use metlog_testkit::{python, sample};
use std::io::{Read, Write};
use std::process::{Command, Stdio};

const CLIENT: &[&str] = &["log-collector-async==1.1.1"];

/// Where the head of a request differs on purpose. `-` only the client's, `+` only ours, `~` another value.
const HEADS: &[(&str, &str)] = &[
    ("~user-agent", "each says its own name"),
    ("-accept", "the client's is `*/*`, which is what no header means"),
    ("-accept-encoding", "the client's HTTP library offers to unpack the answer; the server's is 30 bytes"),
];

/// `-` only the client's, `+` only ours, `~` another value; and why.
type Differences = &'static [(&'static str, &'static str)];

/// An entry: how the client is called, what becomes of our plain message when it is told the same (what only the
/// client can know, it reads from the client's entry), and where the two part on purpose.
struct Case {
    call: Fields,
    message: fn(Message, &Fields) -> Message,
    on_purpose: Differences,
}

fn case(call: &str, message: fn(Message, &Fields) -> Message, on_purpose: Differences) -> Case {
    Case { call: map(call.as_bytes()), message, on_purpose }
}

/// Every entry of ours has it; the server keeps nothing that is neither in a column nor in there.
const ENVELOPE: (&str, &str) = ("+metadata.metlog", "what of the envelope has no column");

const OWN_PLACE: &str = "the server keeps keys of the caller's only inside `metadata`";

/// When: the client's own would be the time of the call.
const AT: f64 = 1_795_212_050.25;

/// Settings of both.
const SETTINGS: &str =
    r#"{"service":"checkout","environment":"staging","service_version":"v1.2.3","log_type":"WORKER"}"#;

fn with(message: Message, entry: &Fields, columns: &[&str]) -> Message {
    columns.iter().fold(message, |message, column| {
        message.field(*column, entry.get(column).cloned().unwrap_or_else(|| panic!("no {column} in {entry:?}")))
    })
}

fn cases() -> Vec<Case> {
    let mut cases = vec![
        case(r#"{"how":"trace"}"#, |m, _| m.severity(Severity::Debug).field("level", "trace"), &[]),
        case(r#"{"how":"debug"}"#, |m, _| m.severity(Severity::Debug), &[]),
        case(r#"{"how":"info"}"#, |m, _| m.severity(Severity::Informational), &[]),
        case(r#"{"how":"warn"}"#, |m, _| m.severity(Severity::Warning), &[]),
        case(r#"{"how":"error"}"#, |m, _| m.severity(Severity::Error), &[]),
        case(r#"{"how":"fatal"}"#, |m, _| m.severity(Severity::Critical), &[]),
    ];
    cases.push(case(
        r#"{"how":"info","trace_id":"0123456789abcdef0123456789abcdef","user_id":"täst","session_id":"s","path":"/pay",
            "method":"POST","action_type":"click","function_name":"pay","file_path":"shop/pay.py","duration_ms":12.5,
            "error_type":"Oops","stack_trace":"a\nb","metadata":{"a":{"b":[1,-2.5,null,true,"日🦀\""]}}}"#,
        |m, entry| {
            let all =
                ["trace_id", "user_id", "session_id", "path", "method", "action_type", "function_name", "file_path"];
            with(with(m, entry, &all), entry, &["duration_ms", "error_type", "stack_trace", "metadata"])
        },
        &[],
    ));
    cases.push(case(
        r#"{"how":"info","service":"other","environment":"production","service_version":"v9","log_type":"IOT"}"#,
        |m, entry| with(m, entry, &["service", "environment", "service_version", "log_type"]),
        &[],
    ));
    cases.push(case(
        r#"{"how":"error_with_trace"}"#,
        |m, entry| {
            let columns = ["stack_trace", "error_type", "function_name", "file_path"];
            with(m.severity(Severity::Error), entry, &columns)
        },
        &[],
    ));
    cases.push(case(
        r#"{"how":"info","auto_caller":true}"#,
        |m, _| m,
        &[
            ("-file_path", "a message knows its place in the program only if the caller says it in fields"),
            ("-function_name", "the same"),
        ],
    ));
    cases.push(case(
        r#"{"how":"timer"}"#,
        |mut m, entry| {
            m.kind = "timer".into();
            let duration = entry.get("duration_ms").cloned().expect("the duration");
            m.payload(duration).field("name", entry.get("message").cloned().expect("the name"))
        },
        &[("~message", "a timer's payload is its duration, and its name a field"), ("+metadata.name", "the same")],
    ));
    cases.push(case(
        r#"{"how":"info","amount":7}"#,
        |m, _| m.field("amount", 7),
        &[("-amount", OWN_PLACE), ("+metadata.amount", OWN_PLACE)],
    ));
    cases.push(case(
        r#"{"how":"info","trace_id":"f81d4fae-7dec-11d0-a765-00a0c91e6bf6","environment":"prod","method":"get"}"#,
        |m, entry| with(m, entry, &["trace_id", "environment", "method"]),
        &[
            ("~trace_id", "36 characters do not fit the column; without the dashes they do"),
            ("~environment", "the column knows `production` only"),
            ("~method", "the column knows `GET` only"),
        ],
    ));
    cases.push(case(
        r#"{"how":"info","user_id":7,"duration_ms":"soon"}"#,
        |m, entry| with(m, entry, &["user_id", "duration_ms"]),
        &[
            ("~user_id", "a text column"),
            ("-duration_ms", "no number: it would make the server refuse the request"),
            ("+metadata.duration_ms", "the same"),
        ],
    ));
    cases.push(case(
        r#"{"how":"info","error_type":null}"#,
        |m, entry| with(m, entry, &["error_type"]),
        &[("-error_type", "a column that is not named is as empty"), ("+metadata.error_type", "nothing is lost")],
    ));
    cases.push(case(
        r#"{"how":"info","user_id":"a\u0000b"}"#,
        |m, entry| with(m, entry, &["user_id"]),
        &[("~user_id", "PostgreSQL has no place for NUL")],
    ));
    cases
}

/// Sends everything the client is told, one call after the other, in one request.
fn client_sends(peer: &HttpPeer, settings: &Fields, calls: impl IntoIterator<Item = Fields>) -> Request {
    let mut arguments = Vec::new();
    let mut settings = settings.clone();
    settings.set("server_url", peer.url());
    wire::write_value(&mut arguments, &Value::Map(settings));
    let before = peer.requests().len();
    let mut client = Command::new(python(CLIENT))
        .arg(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/support/client.py"))
        .arg(String::from_utf8(arguments).expect("JSON"))
        // Settings of whoever runs this are not the client's.
        .env_clear()
        .stdin(Stdio::piped())
        .spawn()
        .expect("Python starts");
    let mut lines = Vec::new();
    for call in calls {
        wire::write_value(&mut lines, &Value::Map(call));
        lines.push(b'\n');
    }
    client.stdin.take().expect("its input").write_all(&lines).expect("read");
    assert!(client.wait().expect("it ends").success(), "the client says why above");
    let mut requests = peer.requests().split_off(before);
    assert_eq!(requests.len(), 1);
    requests.remove(0)
}

fn we_send(peer: &HttpPeer, config: Config, messages: impl IntoIterator<Item = Message>) -> Request {
    let before = peer.requests().len();
    let batch: Lines = messages
        .into_iter()
        .map(|message| {
            let mut line = Vec::new();
            wire::write(&mut line, &message);
            line
        })
        .collect();
    let config = Config { server_url: Some(peer.url()), ..config };
    let none = Environment::fixed::<&str, &str>([]);
    LogCollectorSender::open_with(config, &none).expect("opens").send(&batch).expect("taken");
    let mut requests = peer.requests().split_off(before);
    assert_eq!(requests.len(), 1);
    requests.remove(0)
}

/// As the server answers.
fn peer() -> HttpPeer {
    HttpPeer::new(|request| {
        Answer::new(200, format!(r#"{{"status":"ok","count":{}}}"#, logs(request).len()))
            .header("content-type", "application/json")
    })
}

fn logs(request: &Request) -> Vec<Value> {
    let mut body = request.body.clone();
    if request.header("content-encoding") == Some("gzip") {
        body.clear();
        GzDecoder::new(request.body.as_slice()).read_to_end(&mut body).expect("gzip");
    }
    let body = map(&body);
    assert_eq!(body.len(), 1, "{body:?}");
    body.get("logs").and_then(Value::as_list).expect("`logs`").to_vec()
}

/// With the place for free data that an entry of ours always has.
fn with_metadata(mut entry: Value) -> Value {
    if let Value::Map(fields) = &mut entry
        && !fields.contains("metadata")
    {
        fields.set("metadata", Fields::new());
    }
    entry
}

/// Seconds to a moment; messages know microseconds.
fn moment(seconds: f64) -> Timestamp {
    Timestamp::from_nanos((seconds * 1e6).round() as i64 * 1000)
}

/// A message without anything of the caller's.
fn plain(text: &str) -> Message {
    let mut message = sample::message(0).payload(text);
    message.fields = Fields::new();
    message.timestamp = moment(AT);
    message
}

#[test]
fn the_same_request_but_for_what_is_said_here() {
    let (peer, cases) = (peer(), cases());
    let calls = cases.iter().map(|case| {
        let mut call = case.call.clone();
        call.set("message", "zäh \"🦀\"\n");
        call.set("created_at", AT);
        call
    });
    let theirs = client_sends(&peer, &map(SETTINGS.as_bytes()), calls);
    let entries = logs(&theirs);
    let messages = cases
        .iter()
        .zip(&entries)
        .map(|(case, entry)| (case.message)(plain("zäh \"🦀\"\n"), entry.as_map().expect("an entry")));
    let text = |name: &str| Some(metlog_testkit::service::text(&map(SETTINGS.as_bytes()), name));
    let config = Config {
        service: text("service"),
        environment: text("environment"),
        service_version: text("service_version"),
        log_type: text("log_type"),
        ..Config::default()
    };
    let ours = we_send(&peer, config, messages);
    compare(&head(&theirs), &head(&ours), HEADS);
    assert_eq!((entries.len(), logs(&ours).len()), (cases.len(), cases.len()));
    for ((case, client), ours) in cases.iter().zip(entries).zip(logs(&ours)) {
        compare(&with_metadata(client), &ours, [&ENVELOPE].into_iter().chain(case.on_purpose));
    }
}

#[test]
fn the_same_entry_without_any_settings() {
    let peer = peer();
    let call = map(br#"{"how":"info","message":"m"}"#);
    let theirs = with_metadata(logs(&client_sends(&peer, &Fields::new(), [call])).remove(0));
    let at = |entry: &Value| match entry.as_map().and_then(|entry| entry.get("created_at")) {
        Some(Value::Float(seconds)) => *seconds,
        other => panic!("{other:?} is not seconds with a fraction"),
    };
    let mut message = plain("m").severity(Severity::Informational);
    message.timestamp = moment(at(&theirs));
    let mut ours = logs(&we_send(&peer, Config::default(), [message])).remove(0);
    // A message's time ends at microseconds, which is also where the column's does.
    assert!((at(&theirs) - at(&ours)).abs() < 1e-6, "{} and {}", at(&theirs), at(&ours));
    if let Value::Map(ours) = &mut ours {
        ours.set("created_at", at(&theirs));
    }
    compare(&theirs, &ours, &[ENVELOPE, ("+service", "its column may not be empty: the logger's name")]);
}

#[test]
fn compressed_from_the_same_number_on() {
    let peer = peer();
    for (count, coding) in [(99, None), (100, Some("gzip"))] {
        let call = map(br#"{"how":"info","message":"m"}"#);
        let theirs = client_sends(&peer, &Fields::new(), std::iter::repeat_n(call, count));
        let ours = we_send(&peer, Config::default(), std::iter::repeat_n(plain("m"), count));
        assert_eq!((logs(&theirs).len(), logs(&ours).len()), (count, count));
        assert_eq!((theirs.header("content-encoding"), ours.header("content-encoding")), (coding, coding));
        compare(&head(&theirs), &head(&ours), HEADS);
    }
}
