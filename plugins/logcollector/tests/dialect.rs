//! The interface over real sockets: what events become, our own sender and the published client against it.

use metlog_http::axum::extract::Request;
use metlog_http::axum::middleware::{Next, from_fn};
use metlog_http::axum::{Extension, Router};
use metlog_http::server::home_route;
use metlog_http::{DialectEntry, Server, ServerLimits};
use metlog_logcollector::{Config, LogCollectorSender};
use metlog_message::message::Origin;
use metlog_message::wire::{self, Limits};
use metlog_message::{Fields, Lines, Message, Severity, Timestamp, Value};
use metlog_pipeline::{Reason, Sender, Stop};
use metlog_query::{Backup, Change, End, Facts, Row, Scan, Shelf, Size, Store, Trouble};
use metlog_settings::Environment;
use metlog_testkit::http::{Said, ask};
use metlog_testkit::inlet::Recorder;
use metlog_testkit::{Arrived, Peer, python, sample, settings};
use proptest::prelude::*;
use serde_json::json;
use std::io::Read;
use std::net::SocketAddr;
use std::ops::ControlFlow;
use std::process::{Command, Stdio};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};
use tokio::runtime::Runtime;
use tokio::sync::watch;
use tokio::task::JoinHandle;

/// The dialect in a server, before a recorder.
struct Running {
    at: SocketAddr,
    recorder: Recorder,
    shelf: Option<Shelf>,
    pause: Arc<Mutex<Duration>>,
    runtime: Runtime,
    serving: Option<(watch::Sender<bool>, JoinHandle<std::io::Result<()>>)>,
}

impl Running {
    fn new() -> Self {
        Self::over(None)
    }

    fn over(shelf: Option<Shelf>) -> Self {
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build();
        let mut running = Running {
            at: "127.0.0.1:0".parse().expect("an address"),
            recorder: Recorder::new(),
            shelf,
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
        let entry = DialectEntry::find("logcollector").expect("there");
        let dialect = (entry.read)(&settings("")).unwrap_or_else(|problems| panic!("{problems}"))().expect("opens");
        let pause = self.pause.clone();
        let wait = move |request: Request, next: Next| {
            let pause = *pause.lock().expect("a lock");
            async move {
                tokio::time::sleep(pause).await;
                next.run(request).await
            }
        };
        let home = home_route(dialect.home());
        let mut routes: Router = dialect.routes(server.door(self.recorder.inlet())).merge(home).layer(from_fn(wait));
        if let Some(shelf) = &self.shelf {
            routes = routes.layer(Extension(shelf.clone()));
        }
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

    /// The message that one entry becomes.
    fn message(&self, entry: impl AsRef<[u8]>) -> serde_json::Value {
        let before = self.recorder.accepted();
        let answer = self.post("/logs", [b"{\"logs\": [", entry.as_ref(), b"]}"].concat());
        assert_eq!((answer.status, answer.json), (200, json!({"status": "ok", "count": 1})));
        self.since(before).remove(0)
    }

    fn own_sender(&self) -> Box<dyn Sender> {
        let config = Config { server_url: Some(format!("http://{}", self.at)), ..Config::default() };
        let none = Environment::fixed::<&str, &str>([]);
        Box::new(LogCollectorSender::open_with(config, &none).expect("opens"))
    }
}

#[derive(Debug)]
struct Answer {
    status: u16,
    head: String,
    json: serde_json::Value,
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

/// A message without what is the same every time.
fn plain(mut message: serde_json::Value) -> serde_json::Value {
    let map = message.as_object_mut().expect("an object");
    for (key, value) in [("via", "logcollector"), ("env_version", "0.8"), ("type", "log")] {
        assert_eq!(map.remove(key), Some(value.into()), "{key}");
    }
    message
}

const AT: f64 = 1_795_212_050.001_002_4;

const AT_TEXT: &str = "2026-11-20T22:00:50.001002Z";

#[test]
fn every_key_of_an_entry_has_its_place() {
    let running = Running::new();
    let fields = json!({
        "service": "checkout", "environment": "prod", "service_version": "v1", "log_type": "BACKEND", "trace_id": "t-1",
        "user_id": 7, "session_id": "s", "error_type": null, "stack_trace": "a\nb", "path": "/p", "method": "CONNECT",
        "function_name": "f", "file_path": "x/f.py", "duration_ms": 12.5, "metadata": {"a": [1]}, "memory_mb": 512,
        "tenant": {"id": [null, true]}, "fields": 1, "type": "x", "timestamp": 2, "payload": 3, "id": "mine",
    });
    let mut entry = fields.clone();
    for (name, value) in [("level", json!("ERROR")), ("message", json!("m\u{e4}\u{0}")), ("created_at", json!(AT))] {
        entry.as_object_mut().expect("an object").insert(name.into(), value);
    }
    let expected = json!({
        "timestamp": AT_TEXT, "logger": "checkout", "severity": 3, "payload": "m\u{e4}\u{0}", "fields": fields,
    });
    assert_eq!(plain(running.message(entry.to_string())), expected);
    assert_eq!(plain(running.message(serde_json::to_string_pretty(&entry).expect("JSON"))), expected);
    assert_eq!(plain(running.message(entry.to_string().replace('\u{e4}', "\\u00e4"))), expected);
}

#[test]
fn what_each_key_may_be() {
    let running = Running::new();
    // An entry, and what of the message follows from it beside the defaults.
    for (entry, severity, payload, fields) in [
        (json!({"level": "TRACE", "message": "m"}), 7, json!("m"), json!({"level": "TRACE"})),
        (json!({"level": "DEBUG"}), 7, json!(""), json!({})),
        (json!({"level": "INFO"}), 6, json!(""), json!({})),
        (json!({"level": "WARN"}), 4, json!(""), json!({})),
        (json!({"level": "ERROR"}), 3, json!(""), json!({})),
        (json!({"level": "FATAL"}), 2, json!(""), json!({})),
        (json!({"level": "WARNING"}), 4, json!(""), json!({"level": "WARNING"})),
        (json!({"level": "info"}), 6, json!(""), json!({"level": "info"})),
        (json!({"level": "what"}), 6, json!(""), json!({"level": "what"})),
        (json!({"level": 3}), 3, json!(""), json!({"level": 3})),
        (json!({"level": null, "message": [1]}), 6, json!([1]), json!({"level": null})),
        (json!({"message": null}), 6, json!(null), json!({})),
        (json!({"message": "m", "created_at": null, "service": 5}), 6, json!("m"), json!({"service": 5})),
        (json!({"message": "m", "created_at": "then"}), 6, json!("m"), json!({"created_at": "then"})),
        (json!({"message": "m", "created_at": 1e300}), 6, json!("m"), json!({"created_at": 1e300})),
        (json!({"message": "m", "created_at": [1]}), 6, json!("m"), json!({"created_at": [1]})),
        (
            json!({"message": "m", "duration_ms": 5, "metadata": "x"}),
            6,
            json!("m"),
            json!({"duration_ms": 5, "metadata": "x"}),
        ),
        (
            json!({"message": "m", "metadata": {"metlog": {"a": 1}}}),
            6,
            json!("m"),
            json!({"metadata": {"metlog": {"a": 1}}}),
        ),
    ] {
        let before = Timestamp::now();
        let mut message = plain(running.message(entry.to_string()));
        let at = message["timestamp"].take();
        let at = at.as_str().and_then(Timestamp::parse).expect("a time");
        assert!((before.nanos() / 1000..=Timestamp::now().nanos() / 1000).contains(&(at.nanos() / 1000)), "{entry}");
        let expected =
            json!({"timestamp": null, "logger": "", "severity": severity, "payload": payload, "fields": fields});
        assert_eq!(message, expected, "{entry}");
    }
    for (given, timestamp, kept) in [
        ("1795212050", "2026-11-20T22:00:50.000000Z", false),
        ("0", "1970-01-01T00:00:00.000000Z", false),
        ("-1.5", "1969-12-31T23:59:58.500000Z", false),
        ("1.795212050001002e9", AT_TEXT, false),
        ("1795212050001.002", AT_TEXT, false),
        ("1795212050001002", AT_TEXT, false),
        ("1795212050001002000", AT_TEXT, false),
        ("\"2026-11-20T22:00:50.001002Z\"", AT_TEXT, false),
        ("\"2026-11-20T23:00:50.001002+01:00\"", AT_TEXT, true),
    ] {
        let message = running.message(format!("{{\"message\":\"m\",\"created_at\":{given}}}"));
        assert_eq!(message["timestamp"], timestamp, "{given}");
        assert_eq!(message["fields"].get("created_at").is_some(), kept, "{given}");
    }
}

#[test]
fn json_that_strict_readers_refuse() {
    let running = Running::new();
    let entry = "{\"level\":\"INFO\",\"message\":\"a\\ud800\\u0000b\",\"duration_ms\":NaN,\"x\":[Infinity,-Infinity],\
        \"created_at\":NaN,\"big\":123456789012345678901234567890,\"raw\":\"\ttab\",\"twice\":1,\"twice\":2,\"level\":\"WARN\"}";
    let message = plain(running.message(entry));
    assert_eq!((&message["payload"], &message["severity"]), (&json!("a\u{fffd}\u{0}b"), &json!(4)));
    let fields = &message["fields"];
    assert_eq!((&fields["duration_ms"], &fields["x"]), (&json!("NaN"), &json!(["Infinity", "-Infinity"])));
    assert_eq!((&fields["raw"], &fields["twice"], &fields["created_at"]), (&json!("\ttab"), &json!(2), &json!("NaN")));
    let line = running.recorder.seen().accepted.remove(0);
    assert!(String::from_utf8_lossy(&line).contains(":123456789012345678901234567890"), "to the last digit");
}

#[test]
fn a_bad_entry_costs_itself_only() {
    let running = Running::new();
    running.recorder.set_message_limit(10_000);
    let deep = format!("{{\"message\":{}1{}}}", "[".repeat(40), "]".repeat(40));
    let long = format!("{{\"message\":\"{}\"}}", "x".repeat(10_001));
    let body = format!(
        "{{\"logs\":[{{\"message\":\"1\"}}, 5, {{}}, {{\"x\":1}}, {{bad}}, {deep}, {long}, {{\"message\":\"2\"}},{{\"mess"
    );
    let answer = running.post("/logs", &body);
    assert_eq!((answer.status, answer.json), (200, json!({"status": "ok", "count": 2})));
    let seen = running.recorder.seen();
    let reasons: Vec<_> = seen.refused.iter().map(|refused| refused.reason).collect();
    let mut expected = vec![Reason::Malformed; 4];
    expected.extend([Reason::TooLarge, Reason::TooLarge, Reason::Truncated]);
    assert_eq!(reasons, expected);
    assert_eq!((seen.refused[0].part.as_slice(), seen.refused[3].part.as_slice()), (&b"5"[..], &b"{bad}"[..]));
    let all_bad = running.post("/logs", r#"{"logs":[1,2]}"#);
    assert_eq!((all_bad.status, &all_bad.json["count"]), (200, &json!(0)), "they are among the dead letters");
}

#[test]
fn what_cannot_be_understood_at_all_is_400_in_a_few_words() {
    let running = Running::new();
    for body in ["", "x", "5", "{", "{\"logs\":5}", "{\"level\":\"INFO\",\"message\":\"m\"}", "{}", "\u{1f980}"] {
        let answer = running.post("/logs", body);
        assert_eq!(answer.status, 400, "{body}: {answer:?}");
        assert!(answer.json["error"].as_str().is_some_and(|why| why.contains("{\"logs\":[...]}") && why.len() < 200));
    }
    let answer = running.ask("POST /logs\r\nContent-Encoding: gzip\r\n", b"no gzip");
    assert_eq!(answer.status, 400, "{answer:?}");
    assert_eq!(running.recorder.received(), 0);
}

#[test]
fn every_path_is_answered_where_it_is() {
    let running = Running::new();
    for path in ["/logs", "/logs/"] {
        for body in [r#"{"logs":[{"level":"INFO","message":"m"}]}"#, r#"[{"level":"INFO","message":"m"}]"#] {
            let answer = running.post(path, body);
            assert_eq!((answer.status, &answer.json), (200, &json!({"status": "ok", "count": 1})), "{path}");
            assert!(!answer.head.contains("location:"));
        }
        assert_eq!(running.ask(&format!("GET {path}"), b"").status, 405);
    }
    assert_eq!(running.post("/logs", r#"{"logs":[]}"#).json, json!({"status": "ok", "count": 0}));
    assert_eq!(running.ask("GET /", b"").json, json!({"status": "ok", "service": "log-server"}));
}

#[test]
fn full_is_said_and_nothing_of_the_batch_is_taken() {
    let running = Running::new();
    running.recorder.set_full(true);
    let body = r#"{"logs":[{"message":"1"},{"message":"2"}]}"#;
    let answer = running.post("/logs", body);
    assert_eq!((answer.status, &answer.json["error"]), (503, &json!("the test says it is full")));
    assert!(answer.head.contains("\r\nretry-after: 1"));
    running.recorder.set_full(false);
    assert_eq!(running.post("/logs", body).json["count"], 2);
    let seen = running.recorder.seen();
    assert_eq!((seen.accepted.len(), seen.count(Reason::SpoolFull), seen.pending, seen.forgotten), (2, 2, 0, 0));
}

/// Messages in memory, newest first, of which a scan gives some before it is late.
struct Kept {
    lines: Vec<Vec<u8>>,
    archived: u64,
    in_time: usize,
}

impl Store for Kept {
    fn scan(&self, scan: &Scan, each: &mut dyn FnMut(&Row<'_>) -> ControlFlow<()>) -> Result<End, Trouble> {
        assert!(scan.deadline.at() <= Instant::now() + Duration::from_secs(2));
        for (at, raw) in self.lines.iter().enumerate() {
            if at == self.in_time {
                return Ok(End::Late);
            }
            let facts = Facts::of(raw, false).expect("a message");
            let row = Row {
                position: at as u64,
                timestamp: facts.timestamp,
                severity: facts.severity,
                kind: &facts.kind,
                logger: &facts.logger,
                archived: (at < self.archived as usize).then(Timestamp::now),
                raw,
            };
            if each(&row).is_break() {
                return Ok(End::Enough);
            }
        }
        Ok(End::All)
    }
    fn change(&self, _: Change, _: &[u64]) -> Result<u64, Trouble> {
        Err(Trouble::Refused("not here".into()))
    }
    fn size(&self) -> Result<Size, Trouble> {
        if self.lines.is_empty() {
            return Err(Trouble::Away("out to lunch".into()));
        }
        Ok(Size { messages: self.lines.len() as u64, archived: self.archived, ..Size::default() })
    }
    fn backup(&self, _: &str) -> Result<Backup, Trouble> {
        Err(Trouble::Refused("not here".into()))
    }
    fn backups(&self) -> Result<Vec<Backup>, Trouble> {
        Ok(Vec::new())
    }
}

#[test]
fn counts_come_from_all_that_is_kept() {
    let writing = Running::new();
    let now = Timestamp::now().nanos() as f64 / 1e9;
    let mut entries = Vec::new();
    for (level, service, count, age) in [
        ("INFO", "a", 3, 0.0),
        ("TRACE", "a", 2, 0.0),
        ("DEBUG", "b", 1, 0.0),
        ("ERROR", "b", 2, 3000.0),
        ("ERROR", "c", 4, 4000.0),
        ("FATAL", "c", 1, 0.0),
        ("WARN", "c", 1, 0.0),
    ] {
        let entry = json!({"level": level, "message": "m", "service": service, "created_at": now - age});
        entries.extend(std::iter::repeat_n(entry, count));
    }
    entries.extend(
        (0..12).map(|n| json!({"level": "INFO", "message": "m", "service": format!("s{n:02}"), "created_at": now})),
    );
    writing.post("/logs", json!({"logs": entries}).to_string());
    let lines = writing.recorder.seen().accepted;
    let shelf = |kept: Kept| Some(Shelf::new(Arc::new(kept), || Box::pin(std::future::ready(true))));

    let kept = Kept { lines: lines.clone(), archived: 1, in_time: usize::MAX };
    let answer = Running::over(shelf(kept)).ask("GET /stats", b"");
    assert_eq!(answer.status, 200);
    let level = |level: &str, count: u64| json!({"level": level, "count": count});
    let levels = [
        level("INFO", 14),
        level("ERROR", 6),
        level("TRACE", 2),
        level("FATAL", 1),
        level("WARN", 1),
        level("DEBUG", 1),
    ];
    let mut services = vec![("c".to_owned(), 6), ("a".to_owned(), 4), ("b".to_owned(), 3)];
    services.extend((0..7).map(|n| (format!("s{n:02}"), 1)));
    let services: Vec<_> = services.iter().map(|(name, count)| json!({"service": name, "count": count})).collect();
    let expected = json!({
        "total_logs": 25, "level_distribution": levels, "service_distribution": services, "recent_errors_1h": 2,
        "complete": true,
    });
    assert_eq!(answer.json, expected);

    let kept = Kept { lines, archived: 0, in_time: 5 };
    let answer = Running::over(shelf(kept)).ask("GET /stats/", b"");
    assert_eq!((answer.status, &answer.json["complete"], &answer.json["total_logs"]), (200, &json!(false), &json!(26)));

    let away = Running::over(shelf(Kept { lines: Vec::new(), archived: 0, in_time: 0 })).ask("GET /stats", b"");
    assert_eq!((away.status, &away.json["error"]), (503, &json!("out to lunch")));
    let none = writing.ask("GET /stats", b"");
    assert_eq!(none.status, 503);
    assert!(none.json["error"].as_str().is_some_and(|why| why.contains("no endpoint that stores")), "{none:?}");
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
        assert_eq!(came.extra.get("via"), Some(&"logcollector".into()));
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
    let timer = |payload: Value| {
        let mut timer = base().payload(0).field("name", "t").field("rate", 0.5);
        timer.kind = "timer".into();
        timer.payload = payload;
        timer
    };
    let map = |pairs: &[(&str, i64)]| pairs.iter().copied().collect::<Fields>();
    all.extend([
        trace().field("level", "trace"),
        trace().field("level", "TRACE"),
        trace().field("level", "other"),
        bare,
        extra,
        timer(12.into()),
        timer(12.5.into()),
        timer("12".into()),
        timer("none".into()),
        timer(12.into()).field("duration_ms", 12.0),
        timer(Value::Float(1e12)).field("duration_ms", 5),
        base().payload(Value::Null),
        base().payload(vec![Value::from(1.5), Value::Null]),
        base().logger(""),
        base().logger("x".repeat(150)),
        base().logger("unknown").field("service", "unknown"),
        base().field("service", "metlog.tests").field("environment", "development"),
        base().field("service", "other").field("environment", "prod").field("service_version", "v0.0.0-dev"),
        base().field("environment", "moon").field("log_type", "BACKEND").field("method", "get"),
        base().field("log_type", "worker").field("method", "CONNECT").field("service_version", "v".repeat(60)),
        base().field("trace_id", "f81d4fae-7dec-11d0-a765-00a0c91e6bf6").field("user_id", 7).field("session_id", true),
        base().field("trace_id", "t".repeat(40)).field("user_id", Value::Null).field("path", "p".repeat(600)),
        base().field("duration_ms", 12).field("created_at", 5),
        base().field("duration_ms", 12.5).field("created_at", 1.5),
        base().field("duration_ms", 1e9).field("created_at", "then"),
        base().field("created_at", -5),
        base().field("metadata", map(&[("a", 1), ("b", 2)])).field("c", 3),
        base().field("metadata", Fields::new()),
        base().field("metadata", 5),
        base().field("metlog", 1).field("_metlog", Fields::new()).field("message", "m").field("logs", "l"),
        base().field("_metlog", map(&[("severity", 1)])).field("metadata", map(&[("metlog", 1)])),
        base().field("id", "mine").field("level", "info").field("fields", 1),
        base().logger("a\0").payload("b\0").field("service", "c\0").field("d\0", vec!["e\0"]),
        base().field("big", Value::Big("9".repeat(40))).field("u", u64::MAX).field("\u{2028}", "a\u{2028}\u{7f}"),
    ]);
    all
}

#[test]
fn a_message_of_our_own_sender_is_what_it_was() {
    let running = Running::new();
    comes_back(&running, &own_messages());
    // A hundred and more are compressed.
    comes_back(&running, &[own_messages(), own_messages(), own_messages()].concat());
    // What its settings say beyond what stands in for nothing is said of every message.
    let config = Config {
        server_url: Some(format!("http://{}", running.at)),
        service: Some("checkout".into()),
        environment: Some("production".into()),
        ..Config::default()
    };
    let none = Environment::fixed::<&str, &str>([]);
    LogCollectorSender::open_with(config, &none).expect("opens").send(&sample::lines(0, 1)).expect("taken");
    let fields = &running.since(0).pop().expect("one")["fields"];
    assert_eq!(fields, &json!({"number": 0, "service": "checkout", "environment": "production"}));
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
    const KNOWN: [&str; 14] = [
        "service",
        "environment",
        "service_version",
        "log_type",
        "trace_id",
        "user_id",
        "method",
        "duration_ms",
        "created_at",
        "level",
        "message",
        "metlog",
        "_metlog",
        "id",
    ];
    prop_oneof![3 => prop::sample::select(&KNOWN[..]).prop_map(str::to_owned), 1 => "[a-z_]{0,4}"]
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

/// Strictly written or laid out anew, which are two ways through the code, an entry is one message.
#[test]
fn layout_makes_no_difference() {
    let running = Running::new();
    let entries = (value(), value(), prop::collection::vec((name(), value()), 0..6));
    let mut runner = proptest::test_runner::TestRunner::new(ProptestConfig {
        failure_persistence: None,
        ..ProptestConfig::with_cases(64)
    });
    let run = runner.run(&entries, |(level, message, others)| {
        let mut entry: Fields = others.into_iter().collect();
        entry.set("level", level);
        entry.set("message", message);
        let mut text = Vec::new();
        wire::write_value(&mut text, &Value::Map(entry));
        let anew = text.strip_prefix(b"{").map(|rest| [b"{\n ", rest].concat()).expect("a brace");
        let [mut one, mut other] = [text, anew].map(|text| running.message(text));
        one["timestamp"].take();
        other["timestamp"].take();
        prop_assert_eq!(one, other);
        Ok(())
    });
    run.unwrap_or_else(|why| panic!("{why}"));
}

/// What the published client sends, and what must come of it: the message of every entry that it had in its queue.
#[test]
fn the_published_client_sends_all_it_can() {
    let running = Running::new();
    let script = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/support/everything.py");
    let mut client = Command::new(python(&["log-collector-async==1.1.1"]))
        .args([script, &format!("http://{}", running.at)])
        .env_clear()
        .stdout(Stdio::piped())
        .spawn()
        .expect("Python starts");
    let mut said = String::new();
    client.stdout.take().expect("its output").read_to_string(&mut said).expect("UTF-8");
    assert!(client.wait().expect("it ends").success(), "the client says why above");
    let said: serde_json::Value = serde_json::from_str(said.lines().last().expect("a line")).expect("JSON");

    let mut messages = running.since(0);
    let seen = running.recorder.seen();
    assert_eq!((seen.refused.len(), seen.duplicates, seen.pending), (0, 0, 0));
    let expected = said.as_array().expect("a list");
    assert!(expected.len() > 3000);
    assert_eq!(messages.len(), expected.len());
    // Of two threads of one client either may be first.
    messages.sort_by_key(|message| message["fields"]["n"].as_u64());
    for (message, expected) in messages.into_iter().zip(expected) {
        let mut message = plain(message);
        let mut expected = expected.clone();
        let seconds = expected["timestamp"].take().as_f64().expect("seconds");
        let at = message["timestamp"].take();
        let at = at.as_str().and_then(Timestamp::parse).expect("a time").nanos() as f64 / 1e9;
        assert!((at - seconds).abs() < 1e-6, "{at} and {seconds}");
        assert_eq!(message, expected);
    }
}
