//! Envelopes as Sentry's own software in Python reads them.

mod support;

use metlog_message::Severity;
use metlog_testkit::python;
use serde_json::Value;
use std::process::Command;
use support::{envelope, event, fine, message, to, write};

const READER: &str = r#"
import json, sys
from sentry_sdk.envelope import Envelope
for path in sys.argv[1:]:
    with open(path, "rb") as file:
        envelope = Envelope.deserialize(file.read())
    (item,) = envelope.items
    assert item.type == "event" and item.data_category == "error", item
    print(json.dumps({"headers": envelope.headers, "event": envelope.get_event()}))
"#;

#[test]
fn python_reads_what_we_mean() {
    let peer = fine();
    let mut endpoint = to(&peer, "tags = ['tag']");
    let huge = "\0\"\\日\u{1b}\n{}".repeat(50_000);
    let all = [
        message(1, Severity::Informational, "before\n{\"type\":\"event\"}"),
        message(2, Severity::Error, "plain\n{}\n").field("tag", "täg"),
        message(3, Severity::Alert, "a\nb\nCaused by: c\nStack:\n   0: shop::f\n             at src/f.rs:1:2\n"),
        message(4, Severity::Error, "t\nTraceback (most recent call last):\n  File \"a.py\", line 1, in f\nE: x"),
        message(5, Severity::Error, &huge).field("huge", huge.as_str()),
    ];
    assert_eq!(write(&mut *endpoint, 1, &all), Ok(()));
    let folder = std::path::Path::new(env!("CARGO_TARGET_TMPDIR")).join("envelopes");
    std::fs::create_dir_all(&folder).expect("a folder");
    let requests = peer.requests();
    assert_eq!(requests.len(), 4);
    let files: Vec<_> = (0..requests.len()).map(|at| folder.join(format!("{at}.envelope"))).collect();
    for (file, request) in files.iter().zip(&requests) {
        std::fs::write(file, envelope(request)).expect("written");
    }
    let output = Command::new(python(&["sentry-sdk==2.75.0"])).args(["-c", READER]).args(&files).output();
    let output = output.expect("Python runs");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let read: Vec<Value> =
        output.stdout.split(|&byte| byte == b'\n').filter_map(|line| serde_json::from_slice(line).ok()).collect();
    assert_eq!(read.len(), requests.len());
    for (read, request) in read.iter().zip(&requests) {
        assert_eq!(read["event"], event(request));
    }
}

/// Errors of all kinds, as Python prints them and as Sentry's own software sees them.
const RAISER: &str = r#"
import json, sys, traceback
from sentry_sdk.utils import exceptions_from_error_tuple

def deep(n):
    if n:
        return deep(n - 1)
    raise json.JSONDecodeError("odd", "x\ny", 1)

class Own(Exception):
    pass

def caught():
    try:
        deep(2)
    except ValueError as error:
        raise Own("two\nlines: here") from error

def again():
    try:
        caught()
    except Own:
        {}["missing"]

def exit():
    raise KeyboardInterrupt

for call in [lambda: deep(0), caught, again, exit, lambda: 1 / 0]:
    try:
        call()
    except BaseException:
        seen = exceptions_from_error_tuple(sys.exc_info())
        told = [{
            "type": one["type"], "value": one["value"] or None,
            "frames": [[frame["function"], frame["lineno"]] for frame in one["stacktrace"]["frames"]],
        } for one in seen]
        print(json.dumps({"text": traceback.format_exc(), "seen": told}))
"#;

#[test]
fn tracebacks_tell_us_what_they_tell_sentry_s_own_software() {
    let output = Command::new(python(&["sentry-sdk==2.75.0"])).args(["-c", RAISER]).output().expect("Python runs");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let cases: Vec<Value> =
        output.stdout.split(|&byte| byte == b'\n').filter_map(|line| serde_json::from_slice(line).ok()).collect();
    assert_eq!(cases.len(), 5);
    let peer = fine();
    let text = |case: &Value| case["text"].as_str().expect("a text").to_owned();
    let messages: Vec<_> = (1..).zip(&cases).map(|(seq, case)| message(seq, Severity::Error, &text(case))).collect();
    assert_eq!(write(&mut *to(&peer, ""), 1, &messages), Ok(()));
    for (case, request) in cases.iter().zip(&peer.requests()) {
        let event = event(request);
        let ours: Vec<Value> = event["exception"]["values"].as_array().into_iter().flatten().map(seen).collect();
        assert_eq!(Value::from(ours), case["seen"], "{}", text(case));
    }
}

/// An exception as the script tells it.
fn seen(error: &Value) -> Value {
    let frames = error["stacktrace"]["frames"].as_array().into_iter().flatten();
    let frames: Vec<Value> = frames.map(|frame| serde_json::json!([frame["function"], frame["lineno"]])).collect();
    serde_json::json!({"type": error["type"], "value": error["value"], "frames": frames})
}
