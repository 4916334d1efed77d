//! Unmodified clients against the dialect: what they send arrives once, with everything in it.

mod support;

use metlog_message::{Fields, Message, Severity, Timestamp, Value, wire};
use metlog_testkit::python;
use std::process::{Command, Stdio};
use support::Running;

const SECOND: i64 = 1_790_000_000_000_000_000;

fn fields(json: &str) -> Fields {
    match wire::read_value(json.as_bytes()) {
        Ok(Value::Map(fields)) => fields,
        other => panic!("{other:?}"),
    }
}

/// Runs a script of this folder and gives what it prints.
fn run(packages: &[&str], script: &str, arguments: &[&str]) -> String {
    let output = Command::new(python(packages))
        .arg(format!("{}/tests/support/{script}", env!("CARGO_MANIFEST_DIR")))
        .args(arguments)
        // Proxies of whoever runs this are not the clients'.
        .env_clear()
        .env("PYTHONIOENCODING", "utf-8")
        .stderr(Stdio::inherit())
        .output()
        .expect("Python starts");
    let printed = String::from_utf8(output.stdout).expect("UTF-8");
    assert!(output.status.success(), "it says why above; it printed: {printed}");
    printed
}

#[test]
fn the_published_handler_loses_nothing() {
    let running = Running::new();
    run(&["victorialogs-handler==0.1.0"], "handler.py", &[&running.url("")]);
    let came = running.messages();
    assert_eq!((came.len(), running.recorder.seen().commits), (9, 2));
    let pid = came[0].pid.expect("a process");
    let of_python = [
        ("function", "pay".into()),
        ("line_number", Value::Int(7)),
        ("module", "pay".into()),
        ("process_name", "MainProcess".into()),
        ("thread_name", "MainThread".into()),
    ];
    let expected: [(i64, Severity, &str, &str); 9] = [
        (123_456_700, Severity::Debug, "first", "{}"),
        (500_000_000, Severity::Informational, "t\u{e4}st \u{1f980} \0 \"\n%s", "{}"),
        (0, Severity::Warning, "", "{}"),
        (1_000_000_000, Severity::Error, "x", "{}"),
        (2_000_000_000, Severity::Critical, "failed", r#"{"exception_name":"ValueError"}"#),
        (3_000_000_000, Severity::Informational, "custom", r#"{"level":"SUCCESS"}"#),
        (
            4_000_000_000,
            Severity::Informational,
            "types",
            r#"{"n":-7,"big":9223372036854775808,"f":2.5,"nan":null,"yes":true,"none":null,"list":[1,"a",{"b":null}],
            "map":{"a":{"b":"c"},"empty":{}},"day":"2026-09-21"}"#,
        ),
        (5_000_000_000, Severity::Error, "own", r#"{"stream":"mine","id":"e1"}"#),
        (6_000_000_000, Severity::Informational, "clash", r#"{"severity":3,"type":5,"fields":{"a":1},"via":"x"}"#),
    ];
    for (at, (mut message, (nanos, severity, text, also))) in came.into_iter().zip(expected).enumerate() {
        assert_eq!(message.timestamp, Timestamp::from_nanos(SECOND + nanos), "{text}");
        if at == 3 {
            assert_eq!(message.payload, "x".repeat(300_000).into(), "beyond what VictoriaLogs takes");
            message.payload = "x".into();
        }
        assert_eq!((message.severity, message.payload.as_str()), (severity, Some(text)));
        let logger = if at == 7 { "mine" } else { "shop.pay" };
        assert_eq!((message.kind.as_str(), message.logger.as_str(), message.pid), ("oldstyle", logger, Some(pid)));
        assert_eq!(message.hostname.as_deref(), (at == 8).then_some("app01"));
        let mut also = fields(also);
        if !also.contains("stream") {
            also.set("stream", "shop");
        }
        for (name, value) in &of_python {
            also.set(*name, value.clone());
        }
        assert!(message.fields.remove("thread").is_some_and(|thread| thread.as_i64().is_some()));
        if at == 4 {
            let trace = message.fields.remove("exception").expect("a trace");
            assert!(trace.as_str().is_some_and(|trace| trace.ends_with("ValueError: no such shop")), "{trace:?}");
        }
        if at == 6 {
            assert!(message.fields.remove("set").is_some());
        }
        let sorted = |fields: &Fields| {
            let mut all: Vec<_> = fields.iter().map(|(name, value)| (name.to_owned(), value.clone())).collect();
            all.sort_by(|one, other| one.0.cmp(&other.0));
            all
        };
        assert_eq!(sorted(&message.fields), sorted(&also), "{text}");
    }
    assert_eq!(running.recorder.seen().refused, []);
}

#[test]
fn a_loki_handler() {
    let running = Running::new();
    run(&["python-logging-loki==0.3.1"], "shippers.py", &["loki", &running.url("")]);
    let came = running.messages();
    assert_eq!(came.len(), 20);
    for (number, message) in came.iter().enumerate() {
        assert_eq!(message.payload, format!("order {number} \u{1f980}").into());
        assert_eq!((message.severity, message.logger.as_str()), (Severity::Error, "pay"));
        assert_eq!(sorted_text(&message.fields), format!("app=shop number={number} severity=error"));
        let age = Timestamp::now().nanos() - message.timestamp.nanos();
        assert!((0..120_000_000_000).contains(&age), "{age}");
    }
}

fn sorted_text(fields: &Fields) -> String {
    let mut all: Vec<_> = fields.iter().map(|(name, value)| format!("{name}={}", value.to_text())).collect();
    all.sort();
    all.join(" ")
}

#[test]
fn elasticsearchs_own_client() {
    let running = Running::new();
    let printed = run(&["elasticsearch==8.19.3"], "shippers.py", &["elasticsearch", &running.url("")]);
    let lines: Vec<&str> = printed.lines().collect();
    assert_eq!(lines, ["8.9.0 True green", "50 []", "1 []", "1 1", "BadRequestError 400"]);
    let came = running.messages();
    assert_eq!((came.len(), running.recorder.seen().refused.len()), (52, 2));
    for (number, message) in came.iter().take(50).enumerate() {
        let nanos = SECOND + number as i64 * 1_000_000;
        let expected = Message {
            fields: fields(&format!(
                r#"{{"number":{number},"log":{{"level":"error"}},"id":"o{number}","_index":"shop"}}"#
            )),
            timestamp: Timestamp::from_nanos(nanos),
            ..Message::new("oldstyle").payload(format!("order {number} \u{1f980}")).severity(Severity::Error)
        };
        let mut message = message.clone();
        for name in ["id", "_index"] {
            let value = message.fields.remove(name).expect("said by the action");
            message.fields.set(name, value);
        }
        assert_eq!(message, expected);
    }
    assert_eq!(came[50].payload.as_str(), Some("created"));
}
