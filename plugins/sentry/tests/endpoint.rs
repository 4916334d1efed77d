//! The endpoint against a web server that answers by script and reads envelopes by the letter.

mod support;

use metlog_message::{Fields, Lines, Severity, Value as Said};
use metlog_pipeline::{EndpointEntry, Picked, SendError};
use metlog_testkit::http::{Answer, Close, HttpPeer};
use metlog_testkit::settings;
use serde_json::{Value, json};
use std::time::{Duration, Instant};
use support::{KEY, fine, message, open, to, write};

const ERROR: Severity = Severity::Error;

fn events(peer: &HttpPeer) -> Vec<Value> {
    peer.requests().iter().map(support::event).collect()
}

#[test]
fn the_example_opens() {
    let entry = EndpointEntry::find("sentry").expect("registered");
    let mut root = settings(entry.example);
    let endpoints = root.as_table_mut().and_then(|root| root.remove("endpoints")).expect("a section");
    let mut section = endpoints.get("sentry").cloned().expect("an endpoint");
    let table = section.as_table_mut().expect("a table");
    // Keys of every endpoint.
    table.remove("type");
    table.remove("severity_max");
    (entry.read)(&section).unwrap_or_else(|problems| panic!("{problems}"))().expect("opens");
}

#[test]
fn wrong_settings_are_told_without_the_dsn() {
    let base = format!("dsn = 'http://{KEY}@127.0.0.1:1/42'\n");
    for (toml, words) in [
        (String::new(), "`dsn` is missing"),
        (format!("dsn = 'http://{KEY}@h'"), "`dsn` is no DSN"),
        (format!("dsn = '{KEY}'"), "`dsn` is no DSN"),
        (format!("dsn = 'ftp://{KEY}@h/1'"), "`dsn`"),
        (format!("{base}dsn_file = 'x'"), "both set"),
        ("dsn_file = 'no such file'".into(), "`dsn_file` no such file"),
        (format!("{base}release = 'a/b'"), "`release`"),
        (format!("{base}environment = 'a b'"), "`environment`"),
        (format!("{base}tags = ['type']"), "`tags` names \"type\""),
        (format!("{base}tags = ['a b']"), "`tags` names \"a b\""),
        (format!("{base}fingerprint = ['line']"), "`field:NAME`"),
        (format!("{base}fingerprint = ['field:']"), "`fingerprint`"),
        (format!("{base}breadcrumbs = 101"), "`breadcrumbs`"),
        (format!("{base}event_severity = 8"), "severity"),
        (format!("{base}timeout = '0s'"), "`timeout`"),
        (format!("{base}connection = {{ headers = {{ x-sentry-auth = 'x' }} }}"), "X-Sentry-Auth"),
        (format!("{base}connection = {{ client_cert = 'c' }}"), "client_key"),
    ] {
        let why = open(&toml).err().unwrap_or_else(|| panic!("{toml} is taken"));
        assert!(why.contains(words) && !why.contains(KEY), "{toml}: {why}");
    }
}

#[test]
fn a_plain_message() {
    let peer = fine();
    let more = "release = 'shop@1.2'\nenvironment = 'production'\ntags = ['customer', 'http.status', 'absent']";
    let mut endpoint = to(&peer, more);
    let http: Fields = [("status", 503)].into_iter().collect();
    let mut plain = message(7, Severity::Warning, "no money\nleft").field("customer", "bob\nb").field("user_id", 42);
    plain = plain.field("http", http).field("trace_id", "0af76519-16cd-43dd-8448-eb211c80319c");
    plain = plain.field("span_id", "b7ad6b7169203331").field("dsn", "http://a:b@c/1").field("environment", "staging");
    let fields = "event_severity = 'warning'";
    assert_eq!(write(&mut *to(&peer, &format!("{more}\n{fields}")), 1, &[plain]), Ok(()));
    assert_eq!(write(&mut *endpoint, 1, &[message(8, ERROR, "")]), Ok(()));
    let events = events(&peer);
    assert_eq!(
        events[0],
        json!({
            "event_id": "c3c4dd1d9088594193db6877895bcad7",
            "level": "warning",
            "fingerprint": ["oldstyle", "{{ default }}"],
            "message": "no money\nleft",
            "logger": "shop.cart",
            "timestamp": 1795212050.25,
            "server_name": "app01",
            "release": "shop@1.2",
            "environment": "staging",
            "user": {"id": "42"},
            "contexts": {"trace": {
                "type": "trace",
                "trace_id": "0af7651916cd43dd8448eb211c80319c",
                "span_id": "b7ad6b7169203331",
            }},
            "tags": {"type": "oldstyle", "customer": "bob b", "http.status": "503"},
            "extra": {
                "customer": "bob\nb", "user_id": 42, "http": {"status": 503}, "environment": "staging",
                "trace_id": "0af76519-16cd-43dd-8448-eb211c80319c", "span_id": "b7ad6b7169203331",
                "metlog": {
                    "type": "oldstyle", "severity": 4, "logger": "shop.cart", "hostname": "app01", "pid": 4711,
                    "client": "00000000c0ffee00", "seq": 7,
                },
            },
            "sdk": {"name": "metlog", "version": env!("CARGO_PKG_VERSION")},
        })
    );
    assert_eq!((&events[1]["message"], &events[1]["environment"]), (&json!("oldstyle"), &json!("production")));
    assert_eq!(events[1].get("level"), None, "error is Sentry's own default");
}

#[test]
fn an_exception_of_our_client() {
    let peer = fine();
    let mut endpoint = to(&peer, "");
    let text = "lookup failed for bob\nno such table\nCaused by: disk gone\nCaused by: smoke\nStack:\n   \
        0: metlog::trouble::with_stack\n             at /x/crates/client/src/trouble.rs:84:21\n   \
        1: shop::cart::find\n             at ./src/cart.rs:10:5\n   \
        2: core::ops::function::FnOnce::call_once\n             at /rustc/abc/library/core/src/ops/function.rs:250:5\n";
    assert_eq!(write(&mut *endpoint, 1, &[message(1, Severity::Alert, text)]), Ok(()));
    let event = &events(&peer)[0];
    let chained = json!({"type": "chained", "handled": true});
    assert_eq!(
        event["exception"],
        json!({"values": [
            {"type": "Error", "value": "smoke", "mechanism": chained},
            {"type": "Error", "value": "disk gone", "mechanism": chained},
            {"type": "Error", "value": "no such table", "mechanism": {"type": "generic", "handled": true},
                "stacktrace": {"frames": [
                    {"function": "core::ops::function::FnOnce::call_once", "package": "core", "in_app": false,
                        "filename": "/rustc/abc/library/core/src/ops/function.rs", "lineno": 250, "colno": 5},
                    {"function": "shop::cart::find", "package": "shop", "in_app": true,
                        "filename": "src/cart.rs", "lineno": 10, "colno": 5},
                ]}},
        ]})
    );
    assert_eq!((&event["level"], &event["platform"]), (&json!("fatal"), &json!("native")));
    assert_eq!(event["message"], "lookup failed for bob");
    assert_eq!(event["fingerprint"], json!(["Error", "src/cart.rs:shop::cart::find"]));
    assert_eq!(event["culprit"], "src/cart.rs:shop::cart::find");
    assert_eq!(event["extra"]["payload"].as_str().map(str::trim_end), Some(text.trim_end()), "nothing is lost");
}

/// What the client sent for `exception!` with and without an error, for an index out of bounds and for an `unwrap`.
const CLIENT: &str = include_str!("client.jsonl");

#[test]
fn what_our_client_really_sends() {
    let peer = fine();
    let lines: Lines = CLIENT.lines().collect();
    assert_eq!(to(&peer, "").write(&Picked::new(&lines, &[1, 2, 3, 4])), Ok(()));
    let lookup = "src/main.rs:try_it::lookup";
    let closure = "src/main.rs:try_it::main::{{closure}}";
    let index = "index out of bounds: the len is 0 but the index is 6";
    let unwrap = "called `Result::unwrap()` on an `Err` value: \"x\"";
    let expected = [
        (json!("lookup failed for bob"), "Error", "No such file or directory (os error 2)", lookup, "try_it::lookup"),
        (Value::Null, "Error", "no error at hand", lookup, "try_it::lookup"),
        (Value::Null, "panic", index, closure, "<usize as core::slice::index::SliceIndex<[T]>>::index"),
        (Value::Null, "panic", unwrap, closure, "core::result::unwrap_failed"),
    ];
    let events = events(&peer);
    assert_eq!(events.len(), expected.len());
    for (event, (said, ty, value, place, innermost)) in events.iter().zip(expected) {
        let error = &event["exception"]["values"][0];
        assert_eq!((&event["message"], &error["type"], &error["value"]), (&said, &json!(ty), &json!(value)));
        assert_eq!(event["fingerprint"], json!([ty, place]));
        assert_eq!(error["mechanism"]["handled"], ty != "panic");
        let frames = error["stacktrace"]["frames"].as_array().expect("frames");
        assert_eq!(frames.last().map(|frame| &frame["function"]), Some(&json!(innermost)), "not the telling of it");
        let ours: Vec<&Value> = frames.iter().filter(|frame| frame["in_app"] == true).collect();
        assert!(ours.iter().all(|frame| frame["package"] == "try_it") && !ours.is_empty(), "{ours:?}");
    }
    assert_eq!(events[0]["user"], json!({"id": "7"}));
}

const TRACEBACK: &str = "Traceback (most recent call last):\n  File \"/srv/app/shop.py\", line 12, in find\n    \
    return table[key]\n           ~~~~~^^^^^\nKeyError: 'k'\n\nThe above exception was the direct cause of the \
    following exception:\n\nTraceback (most recent call last):\n  File \
    \"/venv/lib/python3.12/site-packages/web/app.py\", line 9, in call\nshop.errors.NotFound: k";

#[test]
fn a_traceback_wherever_a_client_puts_it() {
    let peer = fine();
    let mut endpoint = to(&peer, "");
    let inside: Fields = [("traceback", TRACEBACK)].into_iter().collect();
    let of = |payload: &str| message(1, ERROR, payload);
    let all = [
        of(&format!("lookup failed\n{TRACEBACK}")),
        of("lookup failed").field("exception", TRACEBACK).field("exception_name", "NotFound"),
        of("lookup failed").field("stack_trace", TRACEBACK).field("error_type", "NotFound"),
        of("lookup failed").field("traceback", TRACEBACK),
        of("lookup failed").field("event_data", inside),
        of("lookup failed").field("exception.stacktrace", TRACEBACK),
    ];
    assert_eq!(write(&mut *endpoint, 1, &all), Ok(()));
    for (at, event) in events(&peer).iter().enumerate() {
        assert_eq!(
            event["exception"],
            json!({"values": [
                {"type": "KeyError", "value": "'k'", "mechanism": {"type": "chained", "handled": true},
                    "stacktrace": {"frames": [{"function": "find", "filename": "/srv/app/shop.py", "lineno": 12,
                        "context_line": "return table[key]", "in_app": true}]}},
                {"type": "NotFound", "module": "shop.errors", "value": "k",
                    "mechanism": {"type": "generic", "handled": true},
                    "stacktrace": {"frames": [{"function": "call", "filename": "web/app.py", "lineno": 9,
                        "abs_path": "/venv/lib/python3.12/site-packages/web/app.py", "in_app": false}]}},
            ]}),
            "number {at}"
        );
        assert_eq!((&event["message"], &event["platform"]), (&json!("lookup failed"), &json!("python")), "number {at}");
        assert_eq!(event["fingerprint"], json!(["shop.errors.NotFound", "web/app.py:call"]), "number {at}");
    }
}

#[test]
fn errors_that_are_told_in_pieces() {
    let peer = fine();
    let mut endpoint = to(&peer, "");
    let all = [
        message(1, ERROR, "it failed").field("error_type", "IoError").field("error_message", "disk"),
        message(2, ERROR, "it failed").field("error_type", "IoError"),
        // The bridge of `tracing`: the chain in `error`; a program may add the stack.
        message(3, ERROR, "it failed").field("error", "a\nCaused by: b").field("backtrace", "   0: x::f\n   1: x::g\n"),
        message(4, ERROR, "it failed").field("error_type", "E").field("backtrace", "   0: x::f\n   1: x::g\n"),
    ];
    assert_eq!(write(&mut *endpoint, 1, &all), Ok(()));
    let events = events(&peer);
    let errors = |at: usize| events[at]["exception"]["values"].as_array().cloned().unwrap_or_default();
    let told = |error: &Value| (error["type"].clone(), error["value"].clone());
    assert_eq!(errors(0).iter().map(told).collect::<Vec<_>>(), [(json!("IoError"), json!("disk"))]);
    assert_eq!(errors(1).iter().map(told).collect::<Vec<_>>(), [(json!("IoError"), json!("it failed"))]);
    let chain = errors(2);
    assert_eq!(
        chain.iter().map(told).collect::<Vec<_>>(),
        [("Error", "b"), ("Error", "a")].map(|(ty, value)| (json!(ty), json!(value)))
    );
    assert_eq!(chain[1]["stacktrace"]["frames"][1]["function"], "x::f");
    assert_eq!(told(&errors(3)[0]), (json!("E"), json!("it failed")));
}

#[test]
fn what_metlog_s_own_plugin_sent() {
    let peer = fine();
    // {"message": "KeyError: 'k'", "exception": {"values": [{"type": "KeyError", "value": "'k'"}]}}
    let packed =
        "eJyrVspNLS5OTE9VslJQ8k6tdC0qyi+yUlDPVlfSUVBKrUhOLSjJzM8DylYrlSXmlKYWA5nR1UollQUoWkCqwfIgQZDu2tjaWgB4rR1w";
    let mut old = message(1, ERROR, packed).field("msg", "lookup failed").field("dsn", "http://user:geheim@h/1");
    old.kind = "sentry".into();
    assert_eq!(write(&mut *to(&peer, ""), 1, &[old]), Ok(()));
    let event = &events(&peer)[0];
    assert_eq!(
        (&event["exception"]["values"][0]["type"], &event["message"]),
        (&json!("KeyError"), &json!("KeyError: 'k'"))
    );
    assert!(event["extra"].get("payload").is_none() && !event.to_string().contains("geheim"), "{event}");
}

#[test]
fn what_groups_events_can_be_chosen() {
    let peer = fine();
    let one = || message(1, ERROR, "x").field("file", "src/a.rs").field("line", 7).field("job", "nightly");
    for (setting, expected) in [
        ("['type', 'place']", json!(["oldstyle", "src/a.rs:7"])),
        (
            "['place', 'logger', 'field:job', 'field:absent', 'default']",
            json!(["src/a.rs:7", "shop.cart", "nightly", "-", "{{ default }}"]),
        ),
        ("[]", Value::Null),
    ] {
        assert_eq!(write(&mut *to(&peer, &format!("fingerprint = {setting}")), 1, &[one()]), Ok(()));
        assert_eq!(events(&peer).last().expect("an event")["fingerprint"], expected, "{setting}");
    }
    let named = one().field("function", "find");
    assert_eq!(write(&mut *to(&peer, ""), 1, &[named]), Ok(()));
    assert_eq!(events(&peer)[3]["fingerprint"][1], "src/a.rs:find");
}

#[test]
fn what_was_said_before_comes_along_in_order() {
    let peer = fine();
    let mut endpoint = to(&peer, "breadcrumbs = 3");
    let mut other = message(1, Severity::Informational, "somebody else");
    other.origin.as_mut().expect("a client").client = "other".into();
    let said = |seq, text: &str| message(seq, Severity::Informational, text).field("n", seq);
    let batch = [said(1, "one"), said(2, "two"), other, said(3, "three"), said(4, "four"), message(5, ERROR, "bad")];
    peer.script([Answer::new(503, "")]);
    let result = write(&mut *endpoint, 1, &batch);
    assert!(matches!(result, Err(SendError::Retry { done: 5, .. })), "{result:?}");
    // Said later, and known already when the error is tried again in a batch of its own.
    assert_eq!(write(&mut *endpoint, 6, &batch[5..]), Ok(()));
    assert_eq!(write(&mut *endpoint, 7, &[said(6, "five"), message(7, Severity::Emergency, "worse")]), Ok(()));
    let texts = |event: &Value| -> Vec<String> {
        let crumbs = event["breadcrumbs"]["values"].as_array().cloned().unwrap_or_default();
        crumbs.iter().map(|crumb| crumb["message"].as_str().unwrap_or_default().to_owned()).collect()
    };
    let events = events(&peer);
    assert_eq!(events.len(), 3);
    assert_eq!(
        (texts(&events[0]), texts(&events[1])),
        (texts(&events[1]), vec!["two".into(), "three".into(), "four".into()])
    );
    assert_eq!(texts(&events[2]), ["three", "four", "five"]);
    assert_eq!(
        events[1]["breadcrumbs"]["values"][0],
        json!({"timestamp": 1795212050.25, "category": "shop.cart", "message": "two", "data": {"n": "2"}})
    );
}

#[test]
fn the_same_message_is_the_same_event() {
    let peer = fine();
    peer.script([Answer::new(200, "").close(Close::Instead), Answer::new(500, "")]);
    let mut nameless = message(1, ERROR, "x");
    nameless.origin = None;
    let batch = [message(1, ERROR, "x"), message(2, ERROR, "x"), nameless.clone(), nameless];
    let mut endpoint = to(&peer, "timeout = '2s'");
    for _ in 0..2 {
        assert!(matches!(write(&mut *endpoint, 1, &batch), Err(SendError::Retry { done: 0, .. })));
    }
    assert_eq!(write(&mut *endpoint, 1, &batch), Ok(()));
    // After a restart, which remembers nothing.
    assert_eq!(write(&mut *to(&peer, ""), 1, &batch), Ok(()));
    let ids: Vec<Value> = events(&peer).iter().map(|event| event["event_id"].clone()).collect();
    let (tries, again) = ids.split_at(6);
    assert!(tries[0] == tries[1] && tries[1] == tries[2], "{ids:?}");
    assert_eq!(&tries[2..], again);
    let distinct: std::collections::BTreeSet<String> = ids.iter().map(Value::to_string).collect();
    assert_eq!(distinct.len(), 4, "{ids:?}");
    // Another router, whose spool has given the same number to something else.
    let mut elsewhere = message(1, ERROR, "y");
    elsewhere.origin = None;
    assert_eq!(write(&mut *to(&peer, ""), 3, &[elsewhere]), Ok(()));
    assert!(!ids.contains(&events(&peer).last().expect("an event")["event_id"]));
}

#[test]
fn a_limit_is_kept_whether_it_comes_with_a_429_or_not() {
    let peer = fine();
    let mut endpoint = to(&peer, "");
    let after = |result: &Result<(), SendError>| match result {
        Err(SendError::Retry { after, done, .. }) => (after.map(|after| after.as_secs_f64().round() as u64), *done),
        other => panic!("{other:?}"),
    };
    let limit = |status, header: &str| Answer::new(status, "{}").header("X-Sentry-Rate-Limits", header);
    // A limit of other categories is none of ours; `Retry-After` stands in.
    peer.script([limit(429, "60:transaction:key").header("Retry-After", "1")]);
    assert_eq!(after(&write(&mut *endpoint, 1, &[message(1, ERROR, "x")])), (Some(1), 0));
    // Asked too early, it does not ask Sentry; what is no event goes on.
    let began = Instant::now();
    let crumb = message(2, Severity::Informational, "x");
    let result = write(&mut *endpoint, 1, &[crumb.clone(), message(1, ERROR, "x")]);
    assert_eq!(after(&result), (Some(1), 1));
    assert_eq!(peer.requests().len(), 1);
    while write(&mut *endpoint, 2, &[message(1, ERROR, "x")]).is_err() {
        assert!(began.elapsed() < Duration::from_secs(5));
        std::thread::sleep(Duration::from_millis(20));
    }
    assert_eq!(peer.requests().len(), 2);
    // Taken, and the next one would not be.
    peer.script([limit(200, "1:error;session:organization:quota, 60:transaction:key")]);
    let two = [message(3, ERROR, "x"), message(4, ERROR, "x")];
    let result = write(&mut *endpoint, 3, &two);
    assert_eq!(after(&result), (Some(1), 1), "{result:?}");
    assert_eq!(peer.requests().len(), 3);
    std::thread::sleep(Duration::from_millis(1050));
    peer.script([limit(429, "2700::key").header("Retry-After", "3")]);
    assert_eq!(after(&write(&mut *endpoint, 4, &two[1..])), (Some(2700), 0), "the header that says more wins");
    assert_eq!(write(&mut *endpoint, 5, &[crumb]), Ok(()));
}

#[test]
fn answers_decide_and_no_error_tells_the_key() {
    let peer = fine();
    let mut endpoint = to(&peer, "");
    let echo = format!("bad sentry_key={KEY}");
    for status in [401, 403, 404, 302] {
        peer.script([Answer::new(status, echo.as_str()).header("location", "http://h/")]);
        let result = write(&mut *endpoint, 1, &[message(1, ERROR, "x")]);
        let Err(SendError::Pause { why }) = result else { panic!("{status}: {result:?}") };
        assert!(why.contains(&status.to_string()) && !why.contains(KEY), "{why}");
    }
    peer.script([Answer::new(500, echo.as_str())]);
    let result = write(&mut *endpoint, 1, &[message(1, ERROR, "x")]);
    assert!(matches!(&result, Err(SendError::Retry { why, .. }) if !why.contains(KEY)), "{result:?}");
    // One that Sentry does not take stands alone; so does what is no message.
    peer.script([Answer::new(400, echo.as_str()), Answer::new(200, ""), Answer::new(413, echo.as_str())]);
    let mut batch = support::lines(&[1, 2, 3, 4].map(|seq| message(seq, ERROR, "x")));
    batch.push(b"no message");
    let result = endpoint.write(&Picked::new(&batch, &[1, 2, 3, 4, 5]));
    let Err(SendError::Refuse { why, which }) = result else { panic!("{result:?}") };
    assert_eq!(which, [0, 2, 4]);
    assert!(why.contains("400") && why.contains("413") && !why.contains(KEY), "{why}");
    assert_eq!(peer.requests().len(), 9);
    assert!(peer.requests().iter().all(|request| request.connection == 0), "one connection");
}

#[test]
fn a_pause_in_the_middle_sends_nothing_twice() {
    let peer = fine();
    let mut endpoint = to(&peer, "");
    peer.script([Answer::new(200, ""), Answer::new(401, "")]);
    let batch = [1, 2, 3].map(|seq| message(seq, ERROR, "x"));
    assert!(matches!(write(&mut *endpoint, 1, &batch), Err(SendError::Pause { .. })));
    assert_eq!(write(&mut *endpoint, 1, &batch), Ok(()));
    let seqs: Vec<Value> = events(&peer).iter().map(|event| event["extra"]["metlog"]["seq"].clone()).collect();
    assert_eq!(seqs, [1, 2, 2, 3]);
}

#[test]
fn a_dead_server_comes_back() {
    let mut peer = fine();
    let mut endpoint = to(&peer, "compress = 'none'");
    peer.stop();
    let result = write(&mut *endpoint, 1, &[message(1, ERROR, "x")]);
    assert!(matches!(&result, Err(SendError::Retry { why, .. }) if !why.contains(KEY)), "{result:?}");
    peer.start();
    assert_eq!(write(&mut *endpoint, 1, &[message(1, ERROR, "x")]), Ok(()));
    assert_eq!(write(&mut *endpoint, 2, &[]), Ok(()));
    assert_eq!(peer.requests().len(), 1);
}

#[test]
fn hostile_content_makes_valid_events() {
    let peer = fine();
    let mut endpoint = to(&peer, "tags = ['tag']");
    let huge = "\0\"\\日\u{1b}".repeat(30_000);
    let deep = (0..100).fold(Said::from("core"), |inner, _| Said::from(vec![inner]));
    let trace = format!("{TRACEBACK}\n").repeat(100);
    let frames = "  File \"a.py\", line 1, in f\n    x\n".repeat(5_000);
    let stack: String =
        (0..5_000).map(|at| format!("   {at}: a::b\n             at {}:1:2\n", "x".repeat(300))).collect();
    let mut names = message(1, ERROR, &huge).logger(huge.as_str());
    (names.kind, names.hostname) = (huge.clone(), Some(huge.clone()));
    let many: Fields = (0..20_000).map(|at| (format!("{at}{}", "n".repeat(50)), huge.len())).collect();
    let all = [
        names.field("tag", huge.as_str()).field("user_id", huge.as_str()).field(huge.as_str(), 1),
        message(2, ERROR, "x").field("deep", deep),
        message(3, ERROR, &trace).field("exception", trace.as_str()),
        message(4, ERROR, &format!("Traceback (most recent call last):\n{frames}ValueError: {huge}")),
        message(5, ERROR, &format!("a\nb\n{}Stack:\n{stack}", "Caused by: c\n".repeat(5_000))),
        message(6, ERROR, "x").field("many", many).field("more", huge.as_str()),
    ];
    for (at, one) in all.into_iter().enumerate() {
        let long = "\0\"\\日".repeat(500);
        let said: Vec<_> = (0..100).map(|seq| message(seq, Severity::Debug, &long).field("h", long.as_str())).collect();
        assert_eq!(write(&mut *endpoint, 1 + at as u64 * 200, &said), Ok(()));
        assert_eq!(write(&mut *endpoint, 101 + at as u64 * 200, &[one]), Ok(()), "number {at}");
    }
    for event in events(&peer) {
        let text = event.to_string();
        assert!(!text.contains("\\u0000") && !text.contains("\\u001b"));
        assert!(text.contains("metlog_left_out") || text.contains("metlog_cut") || event["extra"]["deep"].is_array());
    }
    // Half a surrogate pair, which the wire's reader replaces, and a time before Sentry's begins.
    let raw =
        br#"{"type":"t","severity":3,"payload":"\ud800 x","timestamp":"1900-01-01T00:00:00Z","fields":{"a":"\udc00"}}"#;
    let lines: Lines = [raw].into_iter().collect();
    assert_eq!(endpoint.write(&Picked::new(&lines, &[5000])), Ok(()));
    let event = events(&peer).pop().expect("an event");
    assert_eq!((&event["message"], &event["timestamp"]), (&json!("\u{fffd} x"), &json!(0)));
}
