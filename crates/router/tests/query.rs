//! Asking the real program for what it keeps.

#[path = "query/large.rs"]
mod large;
mod program;
mod stage;

use program::{Answer, FILE, Program};
use serde_json::{Value, json};
use std::io::Write;
use std::path::Path;
use std::process::Command;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::SeqCst};

const STORE: &str = "[inputs.http]\n[endpoints.store]\npath = 'messages.db'\n";

fn start(more: &str) -> Program {
    Program::start_in(stage::Directory::new(), &format!("{STORE}{more}"))
}

/// As an address needs it.
fn encoded(text: &str) -> String {
    text.bytes()
        .map(|byte| if byte.is_ascii_alphanumeric() { char::from(byte).to_string() } else { format!("%{byte:02x}") })
        .collect()
}

fn parsed(answer: &Answer) -> Value {
    serde_json::from_str(&answer.body).unwrap_or_else(|why| panic!("{why}: {answer:?}"))
}

/// The answer to a question that is right.
fn ask(program: &Program, path: &str) -> Value {
    let answer = program.ask(path);
    assert_eq!(answer.status, 200, "{path}: {answer:?}");
    parsed(&answer)
}

fn find(program: &Program, query: &str, more: &str) -> Value {
    ask(program, &format!("/v1/messages?query={}{more}", encoded(query)))
}

fn send(program: &Program, lines: &str) {
    let answer = program.post(lines.as_bytes());
    assert!(answer.status == 200 && answer.body.contains("\"rejected\":[]"), "{answer:?}");
}

fn tell(program: &Program, path: &str, body: &str) -> Answer {
    program
        .request(&format!("POST {path}"), &[("Content-Type", "application/json")], body.as_bytes())
        .expect("an answer")
}

fn change(program: &Program, what: &str, body: &str) -> Value {
    let answer = tell(program, &format!("/v1/messages/{what}"), body);
    assert_eq!(answer.status, 200, "{what} {body}: {answer:?}");
    parsed(&answer)
}

fn length(value: &Value) -> usize {
    value.as_array().expect("a list").len()
}

/// The numbers of a page's messages.
fn numbers(page: &Value) -> Vec<u64> {
    let messages = page["messages"].as_array().expect("messages");
    messages.iter().map(|message| message["fields"]["n"].as_u64().expect("a number")).collect()
}

/// One message, `n` thousandths into the day, so that they are in order.
fn line(n: u64, kind: &str, payload: &str) -> String {
    let (second, thousandth) = (n / 1000, n % 1000);
    let (minute, second) = (second / 60, second % 60);
    let (hour, minute) = (minute / 60, minute % 60);
    format!(
        "{{\"type\":\"{kind}\",\"timestamp\":\"2026-11-20T{hour:02}:{minute:02}:{second:02}.{thousandth:03}000Z\",\"logger\":\"web\",\
         \"severity\":{},\"payload\":{},\"fields\":{{\"n\":{n}}},\"env_version\":\"0.8\",\"metlog_pid\":1,\"metlog_hostname\":\"h\"}}\n",
        n % 8,
        json!(payload)
    )
}

fn lines(range: std::ops::Range<u64>, payload: &str) -> String {
    range.map(|n| line(n, "log", payload)).collect()
}

#[test]
fn questions_have_these_answers() {
    let program = start("");
    let first = ask(&program, "/v1/messages");
    assert_eq!(
        first,
        json!({"messages": [], "positions": [], "archived": [], "next": null, "partial": false, "scanned": 0, "settled": true})
    );
    assert_eq!(ask(&program, "/v1/store")["messages"], 0);

    let sent = [
        line(1, "log", "disk full on /dev/sda"),
        line(2, "log", "Käse, \"quoted\"\nand\tmore"),
        line(3, "timer", "12.5").replace("\"n\":3", "\"n\":3,\"name\":\"db\",\"rate\":0.5"),
        line(4, "timer", "7.5").replace("\"n\":4", "\"n\":4,\"name\":\"db\",\"rate\":1"),
        line(5, "counter", "3").replace("\"n\":5", "\"n\":5,\"name\":\"hits\",\"rate\":0.1"),
        line(6, "timer", "soon").replace("\"n\":6", "\"n\":6,\"name\":\"db\""),
    ];
    send(&program, &sent.concat());
    // Not as they should be: rewritten, on one line.
    send(
        &program,
        "{\n \"type\": \"odd\",\n \"timestamp\": \"2026-11-20T00:00:00.007Z\",\n \"fields\": {\"n\": 7}\n}\n",
    );

    let page = find(&program, "", "&order=oldest");
    assert_eq!((numbers(&page), page["settled"].as_bool()), (vec![1, 2, 3, 4, 5, 6, 7], Some(true)));
    let raw = program.ask("/v1/messages?order=oldest&limit=2").body;
    assert!(
        raw.starts_with(&format!("{{\"messages\":[{},{}],\"archived\":[]", sent[0].trim(), sent[1].trim())),
        "{raw}"
    );
    for (query, expected) in [
        ("disk full", vec![1]),
        ("k\u{e4}se", vec![2]),
        ("type:timer", vec![6, 4, 3]),
        ("type:timer fields.rate<1", vec![3]),
        ("severity<=2", vec![2, 1]),
        ("-type:timer -type:log", vec![7, 5]),
        ("n:{\"$in\": [1, 5]}", vec![5, 1]),
        ("since:2026-11-20T00:00:00.003Z until:2026-11-20T00:00:00.005Z", vec![4, 3]),
        ("payload~/sd[a-c]$/", vec![1]),
    ] {
        assert_eq!(numbers(&find(&program, query, "")), expected, "{query}");
    }
    let position = page["positions"][1].as_u64().unwrap();
    assert_eq!(program.ask(&format!("/v1/messages/{position}")).body, sent[1].trim());
    let selected = tell(
        &program,
        "/v1/messages/query",
        r#"{"selector":{"type":"timer","fields.n":{"$gte":4}},"order":"oldest","limit":1}"#,
    );
    assert_eq!(numbers(&parsed(&selected)), [4]);
    let next = parsed(&selected)["next"].as_str().unwrap().to_owned();
    let body = json!({"selector": {"type": "timer", "fields.n": {"$gte": 4}}, "order": "oldest", "after": next});
    assert_eq!(numbers(&parsed(&tell(&program, "/v1/messages/query", &body.to_string()))), [6]);

    let tally = ask(&program, "/v1/messages/tally?buckets=10&by=type&facets=type,fields.name&measures=true&top=2");
    let series = |name: &str, counts: [u64; 10]| json!({"name": name, "counts": counts});
    assert_eq!((tally["matched"].as_u64(), tally["partial"].as_bool()), (Some(7), Some(false)));
    assert_eq!(
        tally["over"],
        json!({
            "since": "2026-11-20T00:00:00.000000Z", "until": "2026-11-20T00:00:01.000000Z", "bucket_ms": 100.0, "bounded": false,
            "series": [series("timer", [3, 0, 0, 0, 0, 0, 0, 0, 0, 0]), series("log", [2, 0, 0, 0, 0, 0, 0, 0, 0, 0])],
            "other": [2, 0, 0, 0, 0, 0, 0, 0, 0, 0],
        })
    );
    assert_eq!(
        tally["facets"],
        json!([
            {"path": "type", "values": [{"value": "timer", "count": 3}, {"value": "log", "count": 2}], "other": 2, "missing": 0, "distinct": 4, "bounded": false},
            {"path": "fields.name", "values": [{"value": "db", "count": 3}, {"value": "hits", "count": 1}], "other": 0, "missing": 3, "distinct": 2, "bounded": false},
        ])
    );
    assert_eq!(
        tally["timers"],
        json!([{"logger": "web", "name": "db", "count": 2, "total": 3.0, "per_second": 3.0, "mean": 10.0, "p50": 7.5, "p90": 12.5, "p99": 12.5, "max": 12.5}])
    );
    assert_eq!(
        tally["counters"],
        json!([{"logger": "web", "name": "hits", "count": 1, "sum": 30.0, "per_second": 30.0}])
    );
    assert_eq!((tally["unreadable"].as_u64(), tally["unnamed"].as_u64()), (Some(1), Some(0)));
    // All of it in one question, bucket by bucket.
    let query = "since:2026-11-20T00:00:00Z+until:2026-11-20T00:00:00.010Z";
    let courses = ask(&program, &format!("/v1/messages/tally?query={query}&buckets=5&measures=true&courses=true"));
    let at = |index: usize, column: &str| courses["timers"][index]["course"][column].clone();
    assert_eq!((at(0, "bucket"), at(0, "count"), at(0, "total")), (json!([1, 2]), json!([1, 1]), json!([2.0, 1.0])));
    assert_eq!(
        (at(0, "p50"), at(0, "p99"), at(0, "max")),
        (json!([12.5, 7.5]), json!([12.5, 7.5]), json!([12.5, 7.5]))
    );
    let counter = &courses["counters"][0]["course"];
    assert_eq!(
        (counter, courses["cut"].as_bool()),
        (&json!({"bucket": [2], "count": [1], "sum": [30.0]}), Some(false))
    );
    let single = ask(&program, "/v1/messages/tally?query=n:1+since:2026-11-20+until:2026-11-21&buckets=24");
    assert_eq!((single["matched"].as_u64(), single["over"]["bucket_ms"].as_f64()), (Some(1), Some(3_600_000.0)));
    let size = ask(&program, "/v1/store");
    assert_eq!((size["messages"].as_u64(), size["oldest"].as_str()), (Some(7), Some("2026-11-20T00:00:00.001000Z")));
    assert!(size["bytes"].as_u64() > Some(1000), "{size}");
    program.stop();
}

#[test]
fn what_is_wrong_is_said_in_ascii_where_it_is() {
    let program = start("");
    send(&program, &lines(0..3, "x"));
    let long = "x".repeat(5000);
    let cursor = find(&program, "", "&limit=1")["next"].as_str().unwrap().to_owned();
    let cut = &cursor[..41];
    let of = |query: &str| format!("/v1/messages?query={}", encoded(query));
    for (path, status, says, column) in [
        ("/v1/messages?limt=5".to_owned(), 400, "did you mean `limit`?", None),
        (format!("/v1/messages?{long}=5"), 400, "unknown parameter", None),
        ("/v1/messages?limit=0".to_owned(), 400, "from 1 to 10000", None),
        ("/v1/messages?limit=10001".to_owned(), 400, "from 1 to 10000", None),
        ("/v1/messages?limit=99999999999999999999999".to_owned(), 400, "from 1 to 10000", None),
        ("/v1/messages?limit=-1".to_owned(), 400, "whole number", None),
        ("/v1/messages?limit=1&limit=2".to_owned(), 400, "there twice", None),
        ("/v1/messages?buckets=2".to_owned(), 400, "unknown parameter `buckets`", None),
        ("/v1/messages?order=up".to_owned(), 400, "`newest` or `oldest`", None),
        ("/v1/messages?query=%ff".to_owned(), 400, "not UTF-8", None),
        ("/v1/messages?deadline=soon".to_owned(), 400, "`deadline`", None),
        ("/v1/messages?deadline=2m".to_owned(), 400, "60s at the most", None),
        ("/v1/messages?after=1".to_owned(), 400, "take `next` of an earlier answer", None),
        (format!("/v1/messages?after={cut}"), 400, "not one of ours", None),
        (format!("/v1/messages?after={}", cursor.to_uppercase()), 400, "not one of ours", None),
        (format!("/v1/messages?order=oldest&after={cursor}"), 400, "the other order", None),
        (of("a (b"), 400, "", Some(3)),
        (of("severity:wraning"), 400, "did you mean `warning`?", Some(10)),
        (of("käse severity:ü"), 400, "is no severity", Some(15)),
        (of(&"\u{fc}".repeat(3000)), 400, "at most 4096", Some(1)),
        (of("payload~/(/"), 400, "", Some(9)),
        ("/v1/messages/tally?by=kind".to_owned(), 400, "`severity` or `type` or `logger`", None),
        ("/v1/messages/tally?buckets=1001".to_owned(), 400, "from 0 to 1000", None),
        ("/v1/messages/tally?buckets=1000&top=1000".to_owned(), 400, "at most 100000", None),
        ("/v1/messages/tally?top=0".to_owned(), 400, "from 1 to 1000", None),
        (
            "/v1/messages/tally?courses=true&buckets=5".to_owned(),
            400,
            "they go with `measures=true` and `buckets`",
            None,
        ),
        ("/v1/messages/tally?courses=true&measures=true".to_owned(), 400, "they go with `measures=true`", None),
        ("/v1/messages/tally?measures=maybe".to_owned(), 400, "`true` or `false`", None),
        ("/v1/messages/tally?facets=a..b".to_owned(), 400, "`a..b` is no path", None),
        (format!("/v1/messages/tally?facets={}", ["a"; 33].join(",")), 400, "at most 32", None),
        ("/v1/messages/export?format=xml".to_owned(), 400, "`jsonl` or `csv`", None),
        ("/v1/messages/export?columns=a".to_owned(), 400, "`format=csv`", None),
        ("/v1/messages/export?format=csv&columns=a,,b".to_owned(), 400, "no path", None),
        ("/v1/messages/x".to_owned(), 404, "messages have numbers", None),
        ("/v1/messages/%ff".to_owned(), 404, "messages have numbers", None),
        ("/v1/messages/18446744073709551616".to_owned(), 404, "messages have numbers", None),
        ("/v1/messages/18446744073709551615".to_owned(), 404, "no such message", None),
        ("/v1/messages/tallies/1".to_owned(), 404, "nothing here", None),
    ] {
        wrong(&program.ask(&path), status, says, column, &path);
    }
    let positions = format!("{{\"positions\":[{}]}}", vec!["1"; 10_001].join(","));
    for (path, body, status, says, column) in [
        ("query", "", 400, "a `selector`", None),
        ("query", "[]", 400, "a `selector`", None),
        ("query", "{", 400, "no JSON", None),
        ("query", r#"{"selectr":{}}"#, 400, "did you mean `selector`?", None),
        ("query", r#"{"limit":5}"#, 400, "a `selector`", None),
        ("query", r#"{"selector":{},"limit":0}"#, 400, "from 1 to 10000", None),
        ("query", r#"{"selector":{},"limit":[1]}"#, 400, "whole number", None),
        ("query", r#"{"selector":{},"query":"a"}"#, 400, "unknown parameter `query`", None),
        ("query", r#"{"selector":{"$or":[{"a":{"$gtt":1}}]}}"#, 400, "at $or[0].a.$gtt: there is no operator", None),
        ("delete", "{}", 400, "either a `query`", None),
        ("delete", r#"{"query":" "}"#, 400, "`*` means everything", None),
        ("delete", r#"{"query":"a","positions":[1]}"#, 400, "either a `query`", None),
        ("delete", r#"{"query":"a","limit":0}"#, 400, "from 1", None),
        ("delete", r#"{"query":"a","limt":1}"#, 400, "did you mean `limit`?", None),
        ("delete", r#"{"query":"a ("}"#, 400, "a condition is missing", Some(4)),
        ("restore", r#"{"query":"a) OR (b"}"#, 400, "without `(`", Some(2)),
        ("archive", r#"{"positions":[-1]}"#, 400, "whole numbers", None),
        ("archive", r#"{"positions":[1.5]}"#, 400, "whole numbers", None),
        ("archive", r#"{"positions":"1"}"#, 400, "a list", None),
        ("archive", r#"{"positions":[1],"limit":1}"#, 400, "does not go with it", None),
        ("archive", &positions, 400, "at most 10000", None),
    ] {
        let answer = tell(&program, &format!("/v1/messages/{path}"), body);
        wrong(&answer, status, says, column, &format!("{path} {}", &body[..body.len().min(50)]));
    }
    wrong(&tell(&program, "/v1/backups", "{\"notes\":1}"), 400, "did you mean `note`?", None, "backups");
    assert_eq!(ask(&program, "/v1/store")["messages"], 3, "nothing was changed");

    // Bodies are what the server's own limits let in, expanded, and no more than a question needs.
    let zip = |bytes: &[u8]| {
        let mut out = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::best());
        out.write_all(bytes).unwrap();
        out.finish().unwrap()
    };
    let post =
        |headers: &[(&str, &str)], body: &[u8]| program.request("POST /v1/messages/query", headers, body).unwrap();
    let gzip = [("Content-Encoding", "gzip")];
    assert_eq!(numbers(&parsed(&post(&gzip, &zip(b"{\"selector\":{\"fields.n\":1}}")))), [1]);
    let blank = |count: usize| [&b"{\"selector\":{}}"[..], &vec![b' '; count]].concat();
    wrong(&post(&[], &blank(2 << 20)), 413, "at most 1048576 bytes", None, "large");
    wrong(&post(&gzip, &zip(&blank(2 << 20))), 413, "", None, "large when expanded");
    wrong(&post(&gzip, &zip(&blank(100 << 20))), 413, "", None, "a bomb");
    wrong(&post(&gzip, b"{}"), 400, "no whole gzip", None, "not compressed");
    wrong(&post(&[("Content-Encoding", "br")], b"{}"), 415, "", None, "unknown coding");
    program.stop();
}

fn wrong(answer: &Answer, status: u16, says: &str, column: Option<u64>, what: &str) {
    assert_eq!(answer.status, status, "{what}: {answer:?}");
    assert!(answer.body.is_ascii() && answer.body.len() < 600, "{what}: {answer:?}");
    let body = parsed(answer);
    assert!(body["error"].as_str().is_some_and(|error| error.contains(says)), "{what}: {body}");
    assert_eq!(body["column"].as_u64(), column, "{what}: {body}");
}

#[test]
fn pages_have_no_gap_and_no_double_while_messages_come() {
    const BEFORE: u64 = 3000;
    let program = start("");
    send(&program, &lines(0..BEFORE, "before"));
    let (sent, stop) = (AtomicU64::new(BEFORE), AtomicBool::new(false));
    std::thread::scope(|scope| {
        let writer = scope.spawn(|| {
            while !stop.load(SeqCst) {
                let from = sent.load(SeqCst);
                send(&program, &lines(from..from + 20, "meanwhile"));
                sent.store(from + 20, SeqCst);
            }
        });
        // The latest first: all that was there at the first page, and nothing twice.
        for round in 0..5 {
            let there = sent.load(SeqCst);
            let (mut seen, mut after) = (Vec::new(), String::new());
            while seen.len() < 100 + round {
                let page = ask(&program, &format!("/v1/messages?limit=7{after}"));
                seen.extend(numbers(&page));
                after = format!("&after={}", page["next"].as_str().expect("there are more"));
            }
            assert!(seen.windows(2).all(|pair| pair[0] == pair[1] + 1), "{seen:?}");
            assert!(seen[0] >= there - 1, "{} is not among them: {seen:?}", there - 1);
        }
        // The earliest first, to the end of all that came meanwhile.
        let (mut seen, mut after) = (0, String::new());
        loop {
            let page = ask(&program, &format!("/v1/messages?order=oldest&limit=100{after}"));
            for n in numbers(&page) {
                assert_eq!(n, seen);
                seen += 1;
            }
            stop.store(seen > BEFORE / 2, SeqCst);
            let Some(next) = page["next"].as_str() else { break };
            after = format!("&after={next}");
        }
        writer.join().unwrap();
        assert_eq!(seen, sent.load(SeqCst));
    });
    program.stop();
}

#[test]
fn who_writes_and_then_reads_finds_what_it_wrote() {
    let program = start("");
    std::thread::scope(|scope| {
        for who in 0..6_u64 {
            let program = &program;
            scope.spawn(move || {
                for n in who * 1000..who * 1000 + 40 {
                    send(
                        program,
                        &line(n, "log", "mine").replace("\"fields\":{", &format!("\"fields\":{{\"id\":\"m{n}\",")),
                    );
                    let page = find(program, &format!("id:m{n}"), "");
                    assert_eq!((length(&page["messages"]), &page["settled"]), (1, &json!(true)), "{n}: {page}");
                }
            });
        }
    });
    assert_eq!(ask(&program, "/v1/store")["messages"], 240);
    program.stop();
}

#[test]
fn what_is_kept_is_set_aside_brought_back_deleted_and_copied() {
    let program = start("");
    send(&program, &(lines(0..10, "keep") + &(10..30).map(|n| line(n, "debug", "noise")).collect::<String>()));
    let archived = || ask(&program, "/v1/store")["archived"].as_u64().unwrap();
    assert_eq!(
        change(&program, "archive", r#"{"query":"type:debug","limit":15}"#),
        json!({"changed": 15, "done": false})
    );
    assert_eq!(change(&program, "archive", r#"{"query":"type:debug"}"#), json!({"changed": 5, "done": true}));
    assert_eq!((archived(), length(&find(&program, "", "")["messages"])), (20, 10));
    let page = find(&program, "archived:any", "");
    assert_eq!((length(&page["messages"]), length(&page["archived"])), (30, 20));
    assert_eq!(program.ask("/v1/messages/export").body.lines().count(), 10);
    let position = page["archived"][0].as_u64().unwrap();
    assert_eq!(program.ask(&format!("/v1/messages/{position}")).status, 200, "by its place it is still found");
    let selected = tell(&program, "/v1/messages/query", r#"{"selector":{"archived":true},"limit":100}"#);
    assert_eq!(length(&parsed(&selected)["messages"]), 20);
    assert_eq!(tell(&program, "/v1/messages/query", r#"{"selector":{"archived":{"$ne":true}}}"#).status, 200);

    assert_eq!(change(&program, "restore", r#"{"query":"n<20"}"#), json!({"changed": 10, "done": true}));
    assert_eq!(archived(), 10);
    let some = json!({"positions": [position, position, 1_u64 << 60]}).to_string();
    assert_eq!(change(&program, "restore", &some), json!({"changed": 1, "done": true}));
    assert_eq!(archived(), 9);
    assert_eq!(
        change(&program, "delete", r#"{"query":"type:debug"}"#),
        json!({"changed": 11, "done": true}),
        "not what is archived"
    );
    assert_eq!(change(&program, "delete", r#"{"query":"archived:yes"}"#), json!({"changed": 9, "done": true}));
    assert_eq!(numbers(&find(&program, "archived:any", "")), (0..10).rev().collect::<Vec<_>>());

    assert_eq!(ask(&program, "/v1/backups"), json!({"backups": []}));
    let made = tell(&program, "/v1/backups", r#"{"note":"before the rest goes"}"#);
    let made = parsed(&made);
    assert_eq!((made["whole"].as_bool(), made["note"].as_str()), (Some(true), Some("before the rest goes")), "{made}");
    assert!(made["bytes"].as_u64() > Some(1000) && Path::new(made["path"].as_str().unwrap()).is_relative(), "{made}");
    assert_eq!(change(&program, "delete", r#"{"query":"*"}"#), json!({"changed": 10, "done": true}));
    assert_eq!(ask(&program, "/v1/store")["messages"], 0);
    assert_eq!(ask(&program, "/v1/backups")["backups"], json!([made]));
    assert_eq!(tell(&program, "/v1/backups", "").status, 200, "without a note");
    assert_eq!(length(&ask(&program, "/v1/backups")["backups"]), 2);
    assert!(program.path(made["path"].as_str().unwrap()).exists());
    program.stop();
}

#[test]
fn without_a_store_and_with_one_that_is_away() {
    let program = Program::start_in(stage::Directory::new(), &format!("[inputs.http]\n{FILE}"));
    for path in
        ["/v1/messages", "/v1/messages/1", "/v1/messages/tally", "/v1/messages/export", "/v1/store", "/v1/backups"]
    {
        wrong(&program.ask(path), 503, "add [endpoints.store]", None, path);
    }
    wrong(&tell(&program, "/v1/messages/delete", r#"{"query":"*"}"#), 503, "add [endpoints.store]", None, "delete");
    program.stop();

    let program = start("");
    send(&program, &lines(0..5, "x"));
    assert_eq!(ask(&program, "/v1/store")["messages"], 5);
    for name in ["messages.db", "messages.db-wal", "messages.db-shm"] {
        let _ = std::fs::rename(program.path(name), program.path(&format!("away-{name}")));
    }
    for path in ["/v1/messages", "/v1/messages/tally", "/v1/messages/export?format=csv", "/v1/store"] {
        let answer = program.ask(path);
        wrong(&answer, 503, "is not there", None, path);
        assert!(answer.head.contains("retry-after: 1"), "{}", answer.head);
    }
    for name in ["messages.db", "messages.db-wal", "messages.db-shm"] {
        let _ = std::fs::rename(program.path(&format!("away-{name}")), program.path(name));
    }
    assert_eq!(ask(&program, "/v1/store")["messages"], 5);
    program.stop();
}

#[test]
fn reading_takes_a_key_and_changing_another() {
    let key = |name: &str, scope: &str| {
        let made = Command::new(env!("CARGO_BIN_EXE_metlog-router"))
            .args(["key", "new", "--name", name, "--scope", scope])
            .output()
            .unwrap();
        let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
        let (key, section) = (text(made.stdout).trim().to_owned(), text(made.stderr));
        (key, format!("[keys.{}", section.split_once("[keys.").expect("a section").1))
    };
    let keys = [("writer", "ingest"), ("reader", "read"), ("chief", "admin")].map(|(name, scope)| key(name, scope));
    let program = start(&keys.iter().map(|(_, section)| section.as_str()).collect::<String>());
    let reading = [
        "GET /v1/messages",
        "POST /v1/messages/query",
        "GET /v1/messages/tally",
        "GET /v1/messages/export",
        "GET /v1/messages/1",
        "GET /v1/store",
    ];
    let changing = [
        "POST /v1/messages/archive",
        "POST /v1/messages/restore",
        "POST /v1/messages/delete",
        "GET /v1/backups",
        "POST /v1/backups",
    ];
    let status = |what: &str, key: Option<&str>| {
        let bearer = key.map(|key| format!("Bearer {key}"));
        let headers: Vec<(&str, &str)> = bearer.iter().map(|bearer| ("Authorization", bearer.as_str())).collect();
        program.request(what, &headers, b"").unwrap().status
    };
    for (routes, reader) in [(&reading[..], true), (&changing, false)] {
        for route in routes {
            assert_eq!((status(route, None), status(route, Some(&keys[0].0))), (401, 403), "{route}");
            let read = status(route, Some(&keys[1].0));
            assert!(if reader { ![401, 403].contains(&read) } else { read == 403 }, "{route}: {read}");
            assert!(![401, 403].contains(&status(route, Some(&keys[2].0))), "{route}");
        }
    }
    assert_eq!(status("GET /docs", None), 200);
    assert_eq!(status("GET /v1/openapi.json", None), 200);
    let bearer = format!("Bearer {}", keys[1].0);
    let page = program.request("GET /metrics", &[("Authorization", &bearer)], b"").unwrap().body;
    let remainders: Vec<&str> = page.lines().filter(|line| line.starts_with("metlog_unaccounted")).collect();
    assert!(!remainders.is_empty() && remainders.iter().all(|line| line.ends_with(" 0")), "{remainders:?}");
}
