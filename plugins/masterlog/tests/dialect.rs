//! The interface over real sockets: what events become, our own sender and the published client against it.

use metlog_http::axum::Router;
use metlog_http::axum::extract::Request;
use metlog_http::axum::middleware::{Next, from_fn};
use metlog_http::{DialectEntry, Server, ServerLimits};
use metlog_masterlog as _;
use metlog_message::message::Origin;
use metlog_message::wire::{self, Limits};
use metlog_message::{Fields, Lines, Message, Severity, Timestamp, Value};
use metlog_pipeline::{Reason, Sender, Stop};
use metlog_testkit::http::{Said, ask};
use metlog_testkit::inlet::Recorder;
use metlog_testkit::{Arrived, Peer, open, python, sample, settings};
use proptest::prelude::*;
use serde_json::json;
use std::io::Read;
use std::net::SocketAddr;
use std::process::{Command, Stdio};
use std::sync::{Arc, Mutex};
use std::time::Duration;
use tokio::runtime::Runtime;
use tokio::sync::watch;
use tokio::task::JoinHandle;

/// The dialect in a server, before a recorder.
struct Running {
    at: SocketAddr,
    recorder: Recorder,
    pause: Arc<Mutex<Duration>>,
    runtime: Runtime,
    serving: Option<(watch::Sender<bool>, JoinHandle<std::io::Result<()>>)>,
}

impl Running {
    fn new() -> Self {
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build();
        let mut running = Running {
            at: "127.0.0.1:0".parse().expect("an address"),
            recorder: Recorder::new(),
            pause: Arc::default(),
            runtime: runtime.expect("a runtime"),
            serving: None,
        };
        running.begin();
        running
    }

    fn begin(&mut self) {
        let server = Server::bind(self.at, ServerLimits::default()).expect("a free port");
        self.at = server.local_addr();
        let entry = DialectEntry::find("masterlog").expect("there");
        let dialect = (entry.read)(&settings("")).unwrap_or_else(|problems| panic!("{problems}"))().expect("opens");
        let pause = self.pause.clone();
        let wait = move |request: Request, next: Next| {
            let pause = *pause.lock().expect("a lock");
            async move {
                tokio::time::sleep(pause).await;
                next.run(request).await
            }
        };
        let routes: Router = dialect.routes(server.door(self.recorder.inlet())).layer(from_fn(wait));
        let (tell, stop) = Stop::new();
        self.serving = Some((tell, self.runtime.spawn(server.serve(routes, stop))));
    }

    fn ask(&self, line: &str, body: &[u8]) -> Answer {
        let Said { status, head, body } = ask(self.at, line, body);
        let json: serde_json::Value = serde_json::from_str(&body).unwrap_or_else(|_| panic!("{status}: {body}"));
        assert!(body.is_ascii() && json.is_object(), "what its clients survive: {body}");
        Answer { status, head, json }
    }

    fn post(&self, path: &str, body: impl AsRef<[u8]>) -> Answer {
        self.ask(&format!("POST {path}"), body.as_ref())
    }

    /// What has arrived from here on.
    fn since(&self, before: usize) -> Vec<serde_json::Value> {
        let lines = self.recorder.seen().accepted.split_off(before);
        lines.iter().map(|line| serde_json::from_slice(line).expect("JSON as it must be")).collect()
    }

    /// The message that one event becomes.
    fn message(&self, event: impl AsRef<[u8]>) -> serde_json::Value {
        let before = self.recorder.accepted();
        let answer = self.post("/api/v1/logs", event);
        assert_eq!((answer.status, &answer.json["accepted"]), (200, &json!(1)), "{answer:?}");
        self.since(before).remove(0)
    }

    fn own_sender(&self) -> Box<dyn Sender> {
        open("masterlog", &format!("endpoint = 'http://{}'\napi_key = 'k'", self.at)).expect("opens")
    }
}

#[derive(Debug)]
struct Answer {
    status: u16,
    head: String,
    json: serde_json::Value,
}

impl Answer {
    fn ids(&self) -> Vec<&str> {
        let events = self.json["events"].as_array().expect("events");
        events.iter().map(|event| event["id"].as_str().expect("an id")).collect()
    }
}

impl Peer for Running {
    fn sender(&mut self) -> Box<dyn Sender> {
        self.own_sender()
    }
    fn arrived(&mut self) -> Vec<Arrived> {
        let lines = self.recorder.seen().accepted;
        let message = |line: &Vec<u8>| wire::read(line, &Limits::default()).expect("a message").message;
        lines.iter().map(|line| Arrived::of_message(&message(line))).collect()
    }
    fn stop(&mut self) -> bool {
        if let Some((tell, serving)) = self.serving.take() {
            drop(tell);
            self.runtime.block_on(serving).expect("no panic").expect("served");
        }
        true
    }
    fn start(&mut self) {
        self.begin();
    }
    fn slow_down(&mut self, pause: Duration) -> bool {
        *self.pause.lock().expect("a lock") = pause;
        true
    }
}

metlog_testkit::contract!(Running::new());

/// A message without what is different every time.
fn plain(mut message: serde_json::Value) -> serde_json::Value {
    let id = message["fields"].as_object_mut().and_then(|fields| fields.remove("id"));
    assert!(id.is_some_and(|id| id.as_str().is_some_and(|id| id.len() == 36)), "an id of ours: {message}");
    let map = message.as_object_mut().expect("an object");
    for (key, value) in [("via", "masterlog"), ("env_version", "0.8"), ("type", "log")] {
        assert_eq!(map.remove(key), Some(value.into()), "{key}");
    }
    message
}

const AT: &str = "2026-11-20T22:00:50.001002Z";

#[test]
fn every_part_of_an_event_has_its_place() {
    let running = Running::new();
    let whole = json!({
        "severity": "warn", "tags": ["a", "b"], "title": "t", "body": "line\nline \u{1f980}\u{0}", "ttl_seconds": 60,
        "expires_at": "2027-01-01T00:00:00Z", "created_at": AT, "more": [1],
        "metadata": {"a": {"b": [1, null]}, "python_client": {"hostname": "h\u{e4}", "pid": 7, "process_name": "w.py", "argv0": "x/w.py"}},
    });
    let expected = json!({
        "timestamp": AT, "logger": "w.py", "severity": 4, "payload": "line\nline \u{1f980}\u{0}", "metlog_pid": 7,
        "metlog_hostname": "h\u{e4}", "fields": {
            "title": "t", "tags": ["a", "b"], "ttl_seconds": 60, "expires_at": "2027-01-01T00:00:00Z", "more": [1],
            "a": {"b": [1, null]}, "python_client": {"hostname": "h\u{e4}", "pid": 7, "process_name": "w.py", "argv0": "x/w.py"},
        },
    });
    assert_eq!(plain(running.message(whole.to_string())), expected);
    // However it is laid out, and escaped.
    assert_eq!(plain(running.message(serde_json::to_string_pretty(&whole).expect("JSON"))), expected);
    let ascii = whole.to_string().replace('\u{e4}', "\\u00e4").replace('\u{1f980}', "\\ud83e\\udd80");
    assert_eq!(plain(running.message(ascii)), expected);
}

#[test]
fn what_each_part_may_be() {
    let running = Running::new();
    // An event, and what of the message follows from it beside the defaults.
    for (event, severity, payload, fields) in [
        (json!({"severity": "trace"}), 7, json!(""), json!({"level": "trace"})),
        (json!({"severity": "debug"}), 7, json!(""), json!({})),
        (json!({"severity": "info"}), 6, json!(""), json!({})),
        (json!({"severity": "warn"}), 4, json!(""), json!({})),
        (json!({"severity": "error"}), 3, json!(""), json!({})),
        (json!({"severity": "fatal"}), 2, json!(""), json!({})),
        (json!({"severity": "Warning"}), 4, json!(""), json!({"severity": "Warning"})),
        (json!({"severity": 1}), 1, json!(""), json!({"severity": 1})),
        (json!({"severity": "sehr schlimm"}), 6, json!(""), json!({"severity": "sehr schlimm"})),
        (json!({"severity": {"a": 1}}), 6, json!(""), json!({"severity": {"a": 1}})),
        (json!({"body": {"a": [1]}}), 6, json!({"a": [1]}), json!({})),
        (
            json!({"body": "b", "title": null, "tags": null, "ttl_seconds": null, "metadata": null}),
            6,
            json!("b"),
            json!({}),
        ),
        (json!({"title": "t", "tags": []}), 6, json!(""), json!({"title": "t"})),
        (json!({"title": 5, "tags": "a,b"}), 6, json!(""), json!({"title": 5, "tags": "a,b"})),
        (json!({"body": "", "ttl_seconds": "soon"}), 6, json!(""), json!({"ttl_seconds": "soon"})),
        (json!({"body": "", "ttl_seconds": {"days": 1.5}}), 6, json!(""), json!({"ttl_seconds": {"days": 1.5}})),
        (json!({"body": "", "expires_at": 5}), 6, json!(""), json!({"expires_at": 5})),
        (json!({"body": "", "metadata": [1]}), 6, json!(""), json!({"metadata": [1]})),
        (json!({"body": "", "metadata": "m"}), 6, json!(""), json!({"metadata": "m"})),
        (json!({"body": "", "created_at": "yesterday"}), 6, json!(""), json!({"created_at": "yesterday"})),
        (json!({"body": "", "created_at": 5}), 6, json!(""), json!({"created_at": 5})),
        (
            json!({"title": "t", "severity": "trace", "x": 1, "metadata": {"id": 5, "title": "m", "_title": 1, "level": "l", "x": 2}}),
            7,
            json!(""),
            json!({"title": "t", "level": "trace", "x": 1, "_id": 5, "__title": "m", "_title": 1, "_level": "l", "_x": 2}),
        ),
        (json!({"body": "", "metadata": {"metlog": {"a": 1}}}), 6, json!(""), json!({"metlog": {"a": 1}})),
        (
            json!({"body": "", "metadata": {"metlog": 1, "python_client": 3}}),
            6,
            json!(""),
            json!({"metlog": 1, "python_client": 3}),
        ),
    ] {
        let before = Timestamp::now();
        let mut message = plain(running.message(event.to_string()));
        let at = message["timestamp"].take();
        let at = at.as_str().and_then(Timestamp::parse).expect("a time");
        assert!((before.nanos() / 1000..=Timestamp::now().nanos() / 1000).contains(&(at.nanos() / 1000)), "{event}");
        let expected =
            json!({"timestamp": null, "logger": "", "severity": severity, "payload": payload, "fields": fields});
        assert_eq!(message, expected, "{event}");
    }
    let other = running.message(r#"{"body":"","created_at":"2026-01-01T02:00:00.5+02:00"}"#);
    assert_eq!(other["timestamp"], "2026-01-01T00:00:00.500000Z");
    assert_eq!(other["fields"]["created_at"], "2026-01-01T02:00:00.5+02:00", "the zone is not lost");
    let taken = json!({"body": "", "metadata": {"python_client": {"pid": 1}, "_python_client": {"pid": 2, "process_name": "p"}}});
    let taken = running.message(taken.to_string());
    assert_eq!((&taken["metlog_pid"], &taken["logger"]), (&json!(2), &json!("p")));
    let odd =
        running.message(r#"{"body":"","metadata":{"python_client":{"pid":"x","hostname":5,"process_name":null}}}"#);
    assert_eq!((odd.get("metlog_pid"), odd.get("metlog_hostname"), &odd["logger"]), (None, None, &json!("")));
}

#[test]
fn json_that_strict_readers_refuse() {
    let running = Running::new();
    let event = "{\"severity\":\"info\",\"body\":\"a\\ud800\\u0000b\",\"tags\":[\"\\udc00\"],\"ttl_seconds\":NaN,\
        \"metadata\":{\"n\":-Infinity,\"big\":123456789012345678901234567890,\"raw\":\"\ttab\",\"twice\":1,\"twice\":2},\
        \"title\":\"first\",\"title\":\"last\"}";
    let message = plain(running.message(event));
    assert_eq!((&message["payload"], &message["severity"]), (&json!("a\u{fffd}\u{0}b"), &json!(6)));
    let fields = &message["fields"];
    assert_eq!(fields["tags"], json!(["\u{fffd}"]));
    assert_eq!((&fields["ttl_seconds"], &fields["n"]), (&json!("NaN"), &json!("-Infinity")));
    assert_eq!((&fields["raw"], &fields["twice"], &fields["title"]), (&json!("\ttab"), &json!(2), &json!("last")));
    let line = running.recorder.seen().accepted.remove(0);
    assert!(String::from_utf8_lossy(&line).contains(":123456789012345678901234567890"), "to the last digit");
    let message = running.message(b"{\"body\":\"\xff\"}");
    assert_eq!(message["payload"], "\u{fffd}");
}

#[test]
fn answers_have_the_ids_of_the_messages_in_order() {
    let running = Running::new();
    let one = running.post("/api/v1/logs", r#"{"severity":"info","title":"t","body":"b"}"#);
    assert_eq!((one.status, &one.json["accepted"]), (200, &json!(1)));
    let many: Vec<_> = (0..1500).map(|number| json!({"body": number.to_string()})).collect();
    let many = running.post("/api/v1/logs/batch", json!({"logs": many}).to_string());
    assert_eq!((&many.json["accepted"], &many.json["events_more"]), (&json!(1500), &json!(500)));
    let ids: Vec<_> = one.ids().into_iter().chain(many.ids()).collect();
    assert_eq!(ids.len(), 1001);
    let written = running.since(0);
    assert!(ids.iter().zip(&written).all(|(id, message)| message["fields"]["id"] == **id));
    let all: Vec<_> = written.iter().map(|message| message["fields"]["id"].as_str().expect("an id")).collect();
    assert!(all.windows(2).all(|pair| pair[0] < pair[1]), "in the order of time");
    let empty = running.post("/api/v1/logs/batch", r#"{"logs":[]}"#);
    assert_eq!((empty.status, empty.json), (200, json!({"accepted": 0, "events": []})));
}

#[test]
fn a_bad_event_costs_itself_only() {
    let running = Running::new();
    running.recorder.set_message_limit(10_000);
    let deep = format!("{{\"body\":{}1{}}}", "[".repeat(40), "]".repeat(40));
    let long = format!("{{\"body\":\"{}\"}}", "x".repeat(10_001));
    let body = format!(
        "{{\"logs\":[{{\"body\":\"1\"}}, 5, null, \"text\", [], {{}}, {{\"x\":1}}, {{bad}}, {{\"body\":\"a\"}} {{\"body\":\"b\"}}, {{\"body\":1e}}, {deep}, {long}, {{\"body\":\"2\"}},{{\"bod"
    );
    let answer = running.post("/api/v1/logs/batch", &body);
    assert_eq!((answer.status, &answer.json["accepted"]), (200, &json!(2)));
    let events = answer.json["events"].as_array().expect("events");
    let good: Vec<usize> =
        events.iter().enumerate().filter(|(_, one)| one["id"].is_string()).map(|(at, _)| at).collect();
    assert_eq!((good, events.len()), (vec![0, 12], 14));
    assert!(events.iter().all(|one| one["id"].is_string() != one["error"].as_str().is_some_and(|why| !why.is_empty())));
    let seen = running.recorder.seen();
    let reasons: Vec<_> = seen.refused.iter().map(|refused| refused.reason).collect();
    let mut expected = vec![Reason::Malformed; 9];
    expected.extend([Reason::TooLarge, Reason::TooLarge, Reason::Truncated]);
    assert_eq!(reasons, expected);
    assert_eq!((seen.refused[0].part.as_slice(), seen.refused[6].part.as_slice()), (&b"5"[..], &b"{bad}"[..]));

    let all_bad = running.post("/api/v1/logs/batch", r#"{"logs":[1,2]}"#);
    assert_eq!((all_bad.status, &all_bad.json["accepted"]), (200, &json!(0)), "else its client repeats it for ever");
}

#[test]
fn what_cannot_be_understood_at_all_is_400_in_a_few_words() {
    let running = Running::new();
    for body in ["", " ", "x", "5", "\"logs\"", "{", "{\"logs\":5}", "{\"a\":1}", "{}", "severity=info", "\u{1f980}"] {
        let answer = running.post("/api/v1/logs/batch", body);
        assert_eq!(answer.status, 400, "{body}: {answer:?}");
        assert!(answer.json["error"].as_str().is_some_and(|why| why.contains("{\"logs\":[...]}") && why.len() < 200));
    }
    assert_eq!(running.recorder.received(), 0);
}

#[test]
fn every_path_is_answered_where_it_is() {
    let running = Running::new();
    let (one, many) = (r#"{"severity":"info","body":"b"}"#, r#"{"logs":[{"severity":"info","body":"b"}]}"#);
    for path in ["/api/v1/logs", "/api/v1/logs/batch", "/api/v1/logs/batch/api/v1/logs"] {
        for slash in ["", "/"] {
            for body in [one, many, &many[8..many.len() - 1]] {
                let answer = running.post(&format!("{path}{slash}"), body);
                assert_eq!((answer.status, &answer.json["accepted"]), (200, &json!(1)), "{path}{slash} {body}");
                assert!(!answer.head.contains("location:"));
            }
            let answer = running.ask(&format!("GET {path}{slash}"), b"");
            assert_eq!(answer.status, 405);
        }
    }
    assert_eq!(running.recorder.accepted(), 18);
    assert_eq!(running.post("/api/v1/log", one).status, 404);
}

#[test]
fn full_is_said_and_nothing_of_the_batch_is_taken() {
    let running = Running::new();
    running.recorder.set_full(true);
    let body = r#"{"logs":[{"body":"1"},{"body":"2"}]}"#;
    let answer = running.post("/api/v1/logs/batch", body);
    assert_eq!((answer.status, &answer.json["error"]), (503, &json!("the test says it is full")));
    assert!(answer.head.contains("\r\nretry-after: 1"));
    running.recorder.set_full(false);
    assert_eq!(running.post("/api/v1/logs/batch", body).json["accepted"], 2);
    let seen = running.recorder.seen();
    assert_eq!((seen.accepted.len(), seen.count(Reason::SpoolFull), seen.pending, seen.forgotten), (2, 2, 0, 0));
}

fn comes_back(running: &Running, messages: &[Message]) {
    let mut batch = Lines::new();
    for message in messages {
        batch.push_with(|line| wire::write(line, message));
    }
    let before = running.recorder.accepted();
    running.own_sender().send(&batch).expect("taken");
    let lines = running.recorder.seen().accepted.split_off(before);
    assert_eq!(lines.len(), messages.len());
    for (line, sent) in lines.iter().zip(messages) {
        let mut came = wire::read(line, &Limits::default()).expect("a message").message;
        assert_eq!(came.extra.get("via"), Some(&"masterlog".into()));
        let mut sent = sent.clone();
        came.extra.remove("via");
        sent.extra.remove("via");
        assert_eq!(sample::sorted(came), sample::sorted(sent));
    }
}

fn own_messages() -> Vec<Message> {
    let base = || sample::message(7);
    let mut all: Vec<Message> = Severity::ALL.into_iter().map(|severity| base().severity(severity)).collect();
    let trace = || base().severity(Severity::Debug);
    let mut bare = Message::new("");
    bare.timestamp = Timestamp::from_nanos(-1_000);
    let mut extra = base();
    extra.extra =
        [("heka", Value::from(1)), ("x", vec![1, 2].into()), ("via", "elsewhere".into())].into_iter().collect();
    extra.origin = Some(Origin { client: "c".into(), seq: u64::MAX });
    let mut timer = base().payload(12).field("name", "t").field("rate", 0.5);
    timer.kind = "timer".into();
    all.extend([
        trace().field("level", "trace"),
        trace().field("level", "TRACE"),
        trace().field("level", "other"),
        bare,
        extra,
        timer,
        base().payload(Value::Null),
        base().payload(Value::from(vec![Value::from(1.5), Value::Null])),
        base().payload("first\nsecond").field("title", "first"),
        base().payload("first").field("title", "  a title\t"),
        base().payload("first").field("title", "a title"),
        base().payload("").field("title", " \n"),
        base().payload("").field("title", "contract"),
        base()
            .field("title", 5)
            .field("tags", 5)
            .field("expires_at", 5)
            .field("created_at", 5)
            .field("ttl_seconds", "x"),
        base().field("tags", "b, a,,a ,B"),
        base().field("tags", ["a", "b"]),
        base().field("tags", ["b", "a"]),
        base().field("tags", Vec::<String>::new()).field("title", ""),
        base().field("tags", vec![Value::from(1), Value::Null]),
        base().field("ttl_seconds", 60).field("expires_at", "2027-01-01T00:00:00+01:00").field("created_at", "then"),
        base().field("metlog", 1).field("_metlog", Fields::new()).field("metadata", "m").field("body", "b"),
        base().field("metlog", [("type", "x"), ("severity", "y")].into_iter().collect::<Fields>()),
        base().field("_metlog", [("type", Value::from("x")), ("severity", 1.into())].into_iter().collect::<Fields>()),
        base()
            .field("severity", "fatal")
            .field("logs", vec![1])
            .field("id", "mine")
            .field("python_client", Fields::new()),
        base()
            .field("big", Value::Big("9".repeat(40)))
            .field("u", u64::MAX)
            .field("nul\0\u{2028}", "a\0\u{2028}\u{7f}"),
    ]);
    all
}

#[test]
fn a_message_of_our_own_sender_is_what_it_was() {
    let running = Running::new();
    comes_back(&running, &own_messages());
    let answer = running.post(
        "/api/v1/logs",
        r#"{"body":"","created_at":"2026-11-20T22:00:50Z","metadata":{"id":"mine","metlog":{"type":"t","severity":6}}}"#,
    );
    assert_eq!(answer.json, json!({"accepted": 1, "events": [{"id": "mine"}]}));
    let answer = running.post(
        "/api/v1/logs",
        r#"{"body":"","created_at":"2026-11-20T22:00:50Z","metadata":{"metlog":{"type":"t","severity":6}}}"#,
    );
    assert_eq!(answer.json, json!({"accepted": 1, "events": [{"id": null}]}));
}

fn value() -> impl Strategy<Value = Value> {
    let text = prop_oneof!["[a-z ,\n]{0,5}", any::<String>()];
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        (-1e9..1e9).prop_map(Value::Float),
        text.prop_map(Value::from),
    ];
    leaf.prop_recursive(3, 12, 3, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..3).prop_map(Value::from),
            prop::collection::vec(("[a-z_]{0,3}", inner), 0..3)
                .prop_map(|pairs| Value::Map(pairs.into_iter().collect())),
        ]
    })
}

fn name() -> impl Strategy<Value = String> {
    const KNOWN: [&str; 10] =
        ["title", "tags", "level", "metlog", "_metlog", "id", "body", "created_at", "expires_at", "ttl_seconds"];
    prop_oneof![3 => prop::sample::select(&KNOWN[..]).prop_map(str::to_owned), 1 => "[a-z_]{0,4}"]
}

fn process_part() -> impl Strategy<Value = String> {
    prop::sample::select(&["hostname", "pid", "process_name", "argv0"]).prop_map(str::to_owned)
}

fn message() -> impl Strategy<Value = Message> {
    let fields = prop::collection::vec((name(), value()), 0..5);
    (prop::sample::select(&Severity::ALL[..]), value(), fields, "[a-z]{0,3}", any::<i64>()).prop_map(
        |(severity, payload, fields, logger, nanos)| {
            let mut message = Message::new("kind").payload(payload).severity(severity).logger(logger);
            message.fields = fields.into_iter().collect();
            message.timestamp = Timestamp::from_nanos(nanos / 1000 * 1000);
            message
        },
    )
}

#[test]
fn any_message_of_our_own_sender_is_what_it_was() {
    let running = Running::new();
    let mut runner = proptest::test_runner::TestRunner::new(ProptestConfig {
        failure_persistence: None,
        ..ProptestConfig::with_cases(64)
    });
    let all = prop::collection::vec(message(), 1..8);
    let run = runner.run(&all, |messages| {
        comes_back(&running, &messages);
        Ok(())
    });
    run.unwrap_or_else(|why| panic!("{why}"));
}

/// Strictly written, laid out anew, or in a list, which are three ways through the code, an event is one message.
#[test]
fn layout_makes_no_difference() {
    let running = Running::new();
    let events = (
        value(),
        value(),
        prop::collection::vec((name(), value()), 0..6),
        prop::collection::vec((name(), value()), 0..3),
        prop::option::of((any::<[bool; 2]>(), prop::collection::vec((process_part(), value()), 0..4))),
    );
    let mut runner = proptest::test_runner::TestRunner::new(ProptestConfig {
        failure_persistence: None,
        ..ProptestConfig::with_cases(64)
    });
    let run = runner.run(&events, |(severity, body, mut metadata, mut others, process)| {
        if let Some(([marked, inside], process)) = process {
            let name = if marked { "_python_client" } else { "python_client" };
            let place = if inside { &mut metadata } else { &mut others };
            place.push((name.to_owned(), Value::Map(process.into_iter().collect())));
        }
        let mut event: Fields = others.into_iter().collect();
        event.set("severity", severity);
        event.set("body", body);
        event.set("metadata", metadata.into_iter().collect::<Fields>());
        let mut text = Vec::new();
        wire::write_value(&mut text, &Value::Map(event));
        let pretty = [b"\n ".as_slice(), &text].concat();
        let list = [b"{\"logs\":[", text.as_slice(), b" ]}"].concat();
        let [one, other, listed] = [text, pretty, list].map(|text| {
            let mut message = running.message(text);
            message["fields"]["id"].take();
            message["timestamp"].take();
            message
        });
        prop_assert_eq!(&one, &other);
        prop_assert_eq!(one, listed);
        Ok(())
    });
    run.unwrap_or_else(|why| panic!("{why}"));
}

/// What the published client sends, and what must come of it.
#[test]
fn the_published_client_sends_all_it_can() {
    let running = Running::new();
    let script = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/support/everything.py");
    let mut client = Command::new(python(&["master-log-client==0.1.0"]))
        .args([script, &format!("http://{}", running.at)])
        .env_clear()
        .stdout(Stdio::piped())
        .spawn()
        .expect("Python starts");
    let mut said = String::new();
    client.stdout.take().expect("its output").read_to_string(&mut said).expect("UTF-8");
    assert!(client.wait().expect("it ends").success(), "the client says why above");
    let said: serde_json::Value = serde_json::from_str(&said).expect("JSON");
    let (pid, host) = (&said["pid"], &said["hostname"]);

    let messages = running.since(0);
    let seen = running.recorder.seen();
    assert_eq!((seen.refused.len(), seen.duplicates, seen.pending), (0, 0, 0));
    let expected = said["expected"].as_array().expect("a list");
    // Each way of sending has sent each of them, and a burst of its own.
    let ways = said["ways"].as_array().expect("a list");
    let burst = said["burst"].as_u64().expect("a number");
    assert_eq!(messages.len() as u64, ways.len() as u64 * (expected.len() as u64 + burst));
    for way in ways {
        let of_way: Vec<_> = messages.iter().filter(|message| message["fields"]["way"] == *way).collect();
        let numbers: Vec<_> = of_way.iter().map(|message| message["fields"]["n"].as_u64().expect("a number")).collect();
        assert_eq!(numbers, (0..expected.len() as u64 + burst).collect::<Vec<_>>(), "{way}: once each, in order");
        for (message, expected) in of_way.iter().zip(expected) {
            let mut message = plain((*message).clone());
            let fields = message["fields"].as_object_mut().expect("fields");
            fields.remove("n");
            fields.remove("way");
            let process =
                if fields.get("python_client") == Some(&json!("mine")) { "_python_client" } else { "python_client" };
            let process = fields.remove(process).expect("the client's own");
            assert_eq!((&process["pid"], &process["hostname"]), (pid, host));
            assert_eq!(process.as_object().map(|process| process.len()), Some(9));
            let mut expected = expected.clone();
            let map = expected.as_object_mut().expect("an object");
            map.insert("metlog_pid".into(), pid.clone());
            map.insert("metlog_hostname".into(), host.clone());
            map.insert("logger".into(), "everything.py".into());
            if !map.contains_key("timestamp") {
                message.as_object_mut().expect("an object").remove("timestamp");
            }
            assert_eq!(message, expected, "{way}");
        }
    }
    let ids: Vec<_> = messages.iter().filter(|message| message["fields"]["way"] == "one").collect();
    let ids: Vec<_> = ids.iter().map(|message| &message["fields"]["id"]).collect();
    assert_eq!(json!(ids), said["ids"], "the client was told the ids of what it sent one at a time");
}
