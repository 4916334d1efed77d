//! The clauses of senders against a server as strict as log-collector's table, and what it gets word by word.

use metlog_logcollector as _;
use metlog_message::{Fields, Value, wire};
use metlog_pipeline::{SendError, Sender, SenderEntry};
use metlog_testkit::http::{Answer, HttpPeer, Request};
use metlog_testkit::service::{map, number, text};
use metlog_testkit::{Arrived, Peer, Service, of_example, open, sample, settings};
use std::io::Read;

#[test]
fn the_example_opens() {
    let entry = SenderEntry::find("logcollector").expect("there");
    (entry.read)(&of_example(entry.example)).unwrap_or_else(|problems| panic!("{problems}"))().expect("opens");
}

fn config(peer: &HttpPeer) -> String {
    format!("server_url = '{}'\nservice = 'checkout'", peer.url())
}

fn logs(request: &Request) -> Vec<Fields> {
    let mut body = request.body.clone();
    if request.header("content-encoding") == Some("gzip") {
        body.clear();
        flate2::read::GzDecoder::new(request.body.as_slice()).read_to_end(&mut body).expect("gzip");
    }
    let list = map(&body).get("logs").and_then(|logs| logs.as_list().map(<[Value]>::to_vec)).expect("`logs`");
    list.iter().map(|one| one.as_map().expect("an entry").clone()).collect()
}

const LEVELS: &[&str] = &["TRACE", "DEBUG", "INFO", "WARN", "ERROR", "FATAL"];
const ENVIRONMENTS: &[&str] = &["production", "staging", "development", "test", "local"];
const TYPES: &[&str] = &["BACKEND", "FRONTEND", "MOBILE", "IOT", "WORKER"];
const METHODS: &[&str] = &["GET", "POST", "PUT", "DELETE", "PATCH", "HEAD", "OPTIONS"];
const COLUMNS: &[&str] = &[
    "created_at",
    "level",
    "log_type",
    "service",
    "environment",
    "service_version",
    "trace_id",
    "user_id",
    "session_id",
    "error_type",
    "message",
    "stack_trace",
    "path",
    "method",
    "action_type",
    "function_name",
    "file_path",
    "duration_ms",
    "metadata",
];

fn has_nul(value: &Value) -> bool {
    match value {
        Value::Str(text) => text.contains('\0'),
        Value::List(items) => items.iter().any(has_nul),
        Value::Map(fields) => fields.iter().any(|(name, value)| name.contains('\0') || has_nul(value)),
        _ => false,
    }
}

/// Whether the table takes an entry and keeps all of it.
fn fits(entry: &Fields) -> bool {
    let is_one = |name: &str, words: &[&str]| words.contains(&text(entry, name).as_str());
    let room = |name: &str, room: usize| {
        entry.get(name).is_none_or(|value| value.as_str().is_some_and(|text| text.chars().count() <= room))
    };
    !has_nul(&Value::Map(entry.clone()))
        && entry.iter().all(|(name, _)| COLUMNS.contains(&name))
        && is_one("level", LEVELS)
        && is_one("environment", ENVIRONMENTS)
        && is_one("log_type", TYPES)
        && entry.get("method").is_none_or(|_| is_one("method", METHODS))
        && entry.get("created_at").is_some_and(|at| at.as_f64().is_some())
        && entry.get("metadata").is_some_and(|data| data.as_map().is_some())
        && [("service", 100), ("service_version", 50), ("trace_id", 32), ("user_id", 255), ("session_id", 100)]
            .iter()
            .all(|&(name, limit)| room(name, limit))
        && [("error_type", 200), ("path", 500), ("action_type", 50), ("function_name", 300), ("file_path", 1000)]
            .iter()
            .all(|&(name, limit)| room(name, limit))
}

/// As strict as the service itself.
fn server() -> Service {
    Service::new(
        |http| open("logcollector", &config(http)).expect("opens"),
        |request, state| {
            assert_eq!((request.method.as_str(), request.target.as_str()), ("POST", "/logs"));
            assert_eq!(request.header("content-type"), Some("application/json"));
            let entries = logs(request);
            assert!(entries.len() <= 1000);
            assert_eq!(request.header("content-encoding").is_some(), entries.len() >= 100);
            let arrived: Vec<Arrived> = entries
                .iter()
                .map(|entry| Arrived { number: number(entry, "metadata.number"), payload: text(entry, "message") })
                .collect();
            // One odd value makes the whole copy into the table fail.
            if !entries.iter().all(fits) {
                return Answer::new(500, "{\"detail\":\"copy failed\"}");
            }
            if arrived.iter().any(|message| state.refused.contains(&message.number)) {
                return Answer::new(400, "{\"detail\":\"one of them\"}");
            }
            let answer = format!("{{\"status\":\"ok\",\"count\":{}}}", arrived.len());
            state.arrived.extend(arrived);
            Answer::new(200, answer)
        },
    )
}

/// What becomes of a message.
fn entry_of(server: &Service, message: &metlog_message::Message) -> Fields {
    let mut batch = metlog_message::Lines::new();
    batch.push_with(|line| wire::write(line, message));
    open("logcollector", &config(&server.http)).expect("opens").send(&batch).expect("taken");
    logs(server.http.requests().last().expect("a request")).remove(0)
}

metlog_testkit::contract!(server(); success nothing refusal slow flush gone_and_back close_with_dead_peer);

/// The clause `content`, but for NUL, which PostgreSQL has no place for.
#[test]
fn content_arrives_without_its_nul() {
    let mut server = server();
    let payloads = sample::nasty();
    let mut batch = metlog_message::Lines::new();
    for (at, payload) in payloads.iter().enumerate() {
        batch.push_with(|line| wire::write(line, &sample::message(at as u64).payload(payload.as_str())));
    }
    server.sender().send(&batch).expect("taken");
    for (arrived, payload) in server.arrived().iter().zip(&payloads) {
        assert_eq!(arrived.payload, payload.replace('\0', ""));
    }
    assert_eq!(server.arrived().len(), payloads.len());
}

#[test]
fn the_body_word_by_word() {
    let server = server();
    open("logcollector", &config(&server.http)).expect("opens").send(&sample::lines(0, 1)).expect("taken");
    let expected = concat!(
        r#"{"logs":[{"level":"INFO","message":"message 0","created_at":1795212050.0,"service":"checkout","#,
        r#""service_version":"v0.0.0-dev","environment":"development","log_type":"BACKEND","metadata":{"number":0,"#,
        r#""metlog":{"type":"contract","severity":5,"logger":"metlog.tests","hostname":"app01","pid":4711,"#,
        r#""client":"00000000c0ffee00","seq":1,"timestamp":"2026-11-20T22:00:50.000000Z"}}}]}"#
    );
    assert_eq!(String::from_utf8_lossy(&server.http.requests()[0].body), expected);
}

#[test]
fn odd_values_are_made_to_fit_and_stay_whole_in_the_metadata() {
    let server = server();
    let message = sample::message(0)
        .field("trace_id", "f81d4fae-7dec-11d0-a765-00a0c91e6bf6")
        .field("environment", "prod")
        .field("method", "CONNECT")
        .field("user_id", "u".repeat(300))
        .field("path", "/".repeat(600))
        .field("duration_ms", 1e12)
        .field("memory_mb", 512)
        .field("a\0b", "c\0d");
    let entry = entry_of(&server, &message);
    assert_eq!(text(&entry, "trace_id"), "f81d4fae7dec11d0a76500a0c91e6bf6");
    assert_eq!(text(&entry, "environment"), "production");
    assert!(!entry.contains("method") && !entry.contains("user_id") && !entry.contains("duration_ms"));
    assert_eq!(text(&entry, "metadata.method"), "CONNECT");
    assert_eq!(text(&entry, "metadata.user_id").len(), 300, "the start of an id would be another id");
    assert_eq!((text(&entry, "path").len(), text(&entry, "metadata.path").len()), (500, 600));
    assert_eq!((number(&entry, "metadata.memory_mb"), text(&entry, "metadata.ab")), (512, "cd".into()));
}

#[test]
fn only_200_is_success() {
    let peer = HttpPeer::new(|_| Answer::new(200, "{\"status\":\"ok\",\"count\":2}"));
    let mut sender = open("logcollector", &config(&peer)).expect("opens");
    for status in [201, 202, 204] {
        peer.script([Answer::new(status, "")]);
        assert!(
            matches!(sender.send(&sample::lines(0, 2)), Err(SendError::Pause { why }) if why.contains("answers 200"))
        );
    }
    sender.send(&sample::lines(0, 2)).expect("taken");
    assert!(matches!(sender.send(&sample::lines(0, 3)), Err(SendError::Refuse { which, .. }) if which.is_empty()));
}

#[test]
fn variables_stand_in_and_settings_are_checked() {
    use metlog_logcollector::{Config, LogCollectorSender};
    use metlog_settings::Environment;
    let server = server();
    let url = format!("{}/", server.http.url());
    let variables = [("LOG_SERVER_URL", url.as_str()), ("SERVICE_NAME", "shop"), ("ENVIRONMENT", "of a stranger")];
    let mut sender = LogCollectorSender::open_with(Config::default(), &Environment::fixed(variables)).expect("opens");
    sender.send(&sample::lines(0, 1)).expect("taken");
    let entry = logs(&server.http.requests()[0]).remove(0);
    assert_eq!((text(&entry, "service"), text(&entry, "environment")), ("shop".into(), "development".into()));
    let entry = SenderEntry::find("logcollector").expect("there");
    for (toml, words) in [
        (
            "service = 'a'\nenvironment = 'moon'",
            "test.toml:2:1: `environment` is \"moon\"; the server knows `production`",
        ),
        ("log_type = 'TOASTER'", "test.toml:1:1: `log_type` is \"TOASTER\""),
        ("server_url = 'localhost'", "test.toml:1:1: `server_url` "),
        (&format!("service = '{}'", "x".repeat(101)), "test.toml:1:1: `service` does not fit"),
    ] {
        let told = (entry.read)(&settings(toml)).err().expect("refused").to_string();
        assert!(told.contains(words), "{told}");
    }
}
