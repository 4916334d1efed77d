//! What the page asks and orders: the real program, looked at and led over HTTP while messages go through it.

#[path = "control/looking.rs"]
mod looking;
mod program;
mod stage;

use metlog_testkit::http::{Answer as Said, HttpPeer};
use program::{Answer, Program, request};
use serde_json::{Value, json};
use stage::{Directory, eventually};
use std::io::Write;
use std::net::TcpStream;
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::SeqCst};
use std::time::Duration;

const MEANT: [(&str, &str); 2] = [("X-Metlog", "1"), ("Content-Type", "application/json")];

fn start(config: &str) -> Program {
    Program::start_in(Directory::new(), &format!("[inputs.http]\n{config}"))
}

fn file(name: &str, more: &str) -> String {
    format!("[endpoints.{name}]\ntype = 'file'\npath = '{name}.jsonl'\n{more}")
}

fn parsed(answer: &Answer) -> Value {
    serde_json::from_str(&answer.body).unwrap_or_else(|why| panic!("{why}: {answer:?}"))
}

fn ask(program: &Program, path: &str) -> Value {
    let answer = program.ask(path);
    assert_eq!(answer.status, 200, "{path}: {answer:?}");
    parsed(&answer)
}

fn tell(program: &Program, path: &str, body: &str) -> Answer {
    program.request(&format!("POST {path}"), &MEANT, body.as_bytes()).expect("an answer")
}

fn order(program: &Program, path: &str, body: Value) -> Value {
    let answer = tell(program, path, &body.to_string());
    assert_eq!(answer.status, 200, "{path} {body}: {answer:?}");
    parsed(&answer)
}

fn line(n: u64, kind: &str, severity: u8) -> String {
    json!({
        "type": kind, "timestamp": "2026-11-20T00:00:00.000000Z", "logger": "web", "severity": severity,
        "payload": format!("m{n}"), "fields": {"n": n, "user_id": n % 3, "http": {"status": 200 + n % 2}},
        "env_version": "0.8",
    })
    .to_string()
        + "\n"
}

fn send(program: &Program, lines: &str) {
    let answer = program.post(lines.as_bytes());
    assert!(answer.status == 200 && answer.body.contains("\"rejected\":[]"), "{answer:?}");
}

fn lines(range: std::ops::Range<u64>) -> String {
    range.map(|n| line(n, "log", 6)).collect()
}

/// The numbers of what an endpoint's file has.
fn got(program: &Program, name: &str) -> Vec<u64> {
    let text = program.text(&format!("{name}.jsonl"));
    let whole = text.rfind('\n').map_or("", |end| &text[..=end]);
    let number = |line: &str| serde_json::from_str::<Value>(line).unwrap()["fields"]["n"].as_u64().unwrap();
    whole.lines().map(number).collect()
}

fn of<'a>(pipeline: &'a Value, part: &str, name: &str) -> &'a Value {
    let parts = pipeline[part].as_array().unwrap();
    parts.iter().find(|line| line["name"] == name).unwrap_or_else(|| panic!("no {name} in {pipeline}"))
}

fn number(value: &Value) -> u64 {
    value.as_u64().unwrap_or_else(|| panic!("no number: {value}"))
}

fn sum(counts: &Value) -> u64 {
    counts.as_object().unwrap().values().map(number).sum()
}

/// Every line of the account adds up, as whoever reads it would add it.
fn adds_up(pipeline: &Value) {
    assert_eq!(pipeline["unaccounted"], 0, "{pipeline}");
    for input in pipeline["inputs"].as_array().unwrap() {
        let counts = &input["counts"];
        let told = number(&counts["accepted"]) + number(&counts["duplicates"]) + sum(&counts["refused"]);
        assert_eq!(number(&counts["received"]), told, "{input}");
    }
    for endpoint in pipeline["endpoints"].as_array().unwrap() {
        let parts = ["delivered", "filtered", "dead_lettered", "buffered"].map(|part| number(&endpoint[part]));
        let told = parts.iter().sum::<u64>() + sum(&endpoint["dropped"]);
        assert_eq!(number(&endpoint["accepted"]), told, "{endpoint}");
    }
}

fn pipeline(program: &Program) -> Value {
    let pipeline = ask(program, "/v1/pipeline");
    adds_up(&pipeline);
    pipeline
}

#[test]
fn the_pipeline_adds_up_at_every_moment() {
    let filters =
        "[filters.loud]\ntype = 'severity_max'\nseverity = 3\n[filters.either]\ntype = 'any'\nof = ['loud']\n";
    let pager = "filters = ['either']\nfrom_inputs = ['http']\ntypes = ['log']\nseverity_max = 5\nrequired = false\n";
    let program = start(&format!("{filters}{}{}[endpoints.store]\n", file("all", ""), file("pager", pager)));
    let address = program.place("http");
    let senders: Vec<_> = (0..4_u64)
        .map(|sender| {
            let address = address.clone();
            std::thread::spawn(move || {
                for batch in 0..25 {
                    let from = sender * 10_000 + batch * 20;
                    let mut body: String = (from..from + 20).map(|n| line(n, "log", (n % 4 + 2) as u8)).collect();
                    body.push_str("nonsense\n");
                    let answer = request(&address, "POST /v1/messages", &[], body.as_bytes()).unwrap();
                    assert_eq!(answer.status, 200, "{answer:?}");
                }
            })
        })
        .collect();
    let mut looks = 0;
    while senders.iter().any(|sender| !sender.is_finished()) || looks == 0 {
        pipeline(&program);
        looks += 1;
    }
    senders.into_iter().for_each(|sender| sender.join().unwrap());
    eventually("all is delivered", || {
        let now = pipeline(&program);
        ["all", "store", "pager"].iter().all(|name| of(&now, "endpoints", name)["buffered"] == 0)
    });
    let now = pipeline(&program);
    let http = of(&now, "inputs", "http");
    assert_eq!((&http["counts"]["received"], &http["counts"]["refused"]["malformed"]), (&json!(2100), &json!(100)));
    assert_eq!(http["type"], "http");
    assert!(http["place"].as_str().unwrap().ends_with(&address));
    let pager = of(&now, "endpoints", "pager");
    assert_eq!((number(&pager["delivered"]), number(&pager["filtered"])), (1000, 1000));
    for (name, value) in [
        ("type", json!("file")),
        ("required", json!(false)),
        ("from_inputs", json!(["http"])),
        ("types", json!(["log"])),
        ("severity_max", json!(5)),
        ("filters", json!(["either"])),
        ("alerts", json!(false)),
        ("is_store", json!(false)),
        ("last_error", Value::Null),
        ("retry_in_ms", Value::Null),
    ] {
        assert_eq!(pager[name], value, "{name}");
    }
    assert_eq!(of(&now, "endpoints", "store")["is_store"], true);
    assert_eq!(of(&now, "filters", "either")["of"], json!(["loud"]));
    assert_eq!(now["spool"]["full_in_s"], Value::Null, "nobody is behind");
    assert!(number(&now["spool"]["next_id"]) >= number(&now["spool"]["durable_id"]));
    program.stop();
}

#[test]
fn clients_with_losses_come_first() {
    let program = start(&file("all", ""));
    for (client, seq) in [("a", 1), ("a", 2), ("b", 1), ("b", 5), ("b", 5), ("c", 9)] {
        let text = line(seq, "log", 6);
        let text = text.trim_end().trim_end_matches('}');
        send(&program, &format!("{text},\"metlog_client\":\"{client}\",\"metlog_seq\":{seq}}}"));
    }
    let clients = ask(&program, "/v1/clients?limit=2")["clients"].clone();
    let first = &clients[0];
    assert_eq!(clients.as_array().unwrap().len(), 2);
    assert_eq!(
        [
            &first["client"],
            &first["input"],
            &first["last_seq"],
            &first["received"],
            &first["lost"],
            &first["duplicates"]
        ],
        [&json!("b"), &json!("http"), &json!(5), &json!(2), &json!(3), &json!(1)]
    );
    assert_eq!(clients[1]["client"], "c", "the last one seen");
    let now = pipeline(&program);
    assert_eq!(now["clients"], json!({"tracked": 3, "untracked": 0, "lost": 3, "duplicates": 1}));
    program.stop();
}

#[test]
fn a_pause_keeps_what_comes_through_reloads_and_lets_it_go_at_a_restart() {
    let config = format!("[spool]\nkeep = '1h'\n[inputs.http]\n{}{}", file("all", ""), file("other", ""));
    let program = Program::start_in(Directory::new(), &config);
    send(&program, &lines(0..10));
    eventually("both have them", || got(&program, "all").len() == 10 && got(&program, "other").len() == 10);
    assert_eq!(order(&program, "/v1/endpoints/all/pause", json!({}))["paused"], true);
    send(&program, &lines(10..20));
    eventually("the other goes on", || got(&program, "other").len() == 20);
    let toml = std::fs::read_to_string(program.path("router.toml")).unwrap();
    // Its section changes, so it is opened anew.
    std::fs::write(
        program.path("router.toml"),
        toml.replace("path = 'all.jsonl'", "path = 'all.jsonl'\nbatch_messages = 3"),
    )
    .unwrap();
    assert_eq!(order(&program, "/v1/reload", json!({}))["changes"], "changed all");
    send(&program, &lines(20..25));
    eventually("the other goes on", || got(&program, "other").len() == 25);
    std::thread::sleep(Duration::from_millis(700));
    let now = pipeline(&program);
    assert_eq!(got(&program, "all").len(), 10);
    assert_eq!(
        (&of(&now, "endpoints", "all")["state"], &of(&now, "endpoints", "all")["buffered"]),
        (&json!("paused"), &json!(15))
    );
    assert_eq!(order(&program, "/v1/endpoints/all/resume", json!({}))["messages"], 15);
    eventually("it goes on", || got(&program, "all") == (0..25).collect::<Vec<_>>());
    eventually("it says so", || of(&pipeline(&program), "endpoints", "all")["state"] == "waiting");

    // A mistake changes nothing.
    std::fs::write(program.path("router.toml"), toml.replace("type = 'file'", "type = 'fille'")).unwrap();
    let refused = tell(&program, "/v1/reload", "{}");
    assert!(refused.status == 422 && refused.body.contains("unknown endpoint `fille`"), "{refused:?}");
    assert_eq!(pipeline(&program)["reloads"], json!({"applied": 1, "refused": 1}));
    std::fs::write(program.path("router.toml"), &toml).unwrap();

    // What is held up at the end waits for the next start, which holds up nothing.
    order(&program, "/v1/endpoints/all/pause", json!({}));
    send(&program, &lines(25..30));
    let directory = program.stop();
    let program = Program::start_in(directory, &config);
    eventually("it goes on", || got(&program, "all") == (0..30).collect::<Vec<_>>());
    program.stop();
}

#[test]
fn a_pause_holds_up_tries_as_well() {
    let mut peer = HttpPeer::new(|_| Said::new(200, "{\"accepted\":1,\"rejected\":[]}"));
    peer.stop();
    let url = peer.url();
    let program =
        start(&format!("[endpoints.away]\ntype = 'http'\nurl = '{url}'\nretry_max = '50ms'\nretry_min = '10ms'\n"));
    send(&program, &lines(0..1));
    let failures = || number(&of(&pipeline(&program), "endpoints", "away")["failures"]);
    eventually("it tries", || failures() > 2);
    let now = pipeline(&program);
    let away = of(&now, "endpoints", "away");
    assert!(away["state"] == "retrying" && away["last_error"].is_string() && away["retry_in_ms"].is_u64(), "{away}");
    order(&program, "/v1/endpoints/away/pause", json!({}));
    std::thread::sleep(Duration::from_millis(200));
    let before = failures();
    std::thread::sleep(Duration::from_millis(500));
    assert_eq!(failures(), before);
    assert_eq!(of(&pipeline(&program), "endpoints", "away")["state"], "paused");
    peer.start();
    order(&program, "/v1/endpoints/away/resume", json!({}));
    eventually("it arrives", || of(&pipeline(&program), "endpoints", "away")["delivered"] == 1);
    program.stop();
}

#[test]
fn a_period_is_delivered_again_to_one_endpoint_only() {
    let config = format!(
        "[spool]\nkeep = '1h'\n[inputs.http]\n[inputs.tcp]\nlisten = '127.0.0.1:0'\n{}{}{}",
        file("all", "batch_messages = 7\n"),
        file("other", ""),
        file("loud", "severity_max = 3\nfrom_inputs = ['http']\n")
    );
    let program = Program::start_in(Directory::new(), &config);
    let body: String = (0..40).map(|n| line(n, "log", (n % 8) as u8)).collect();
    send(&program, &body);
    let mut tcp = TcpStream::connect(program.place("tcp")).unwrap();
    tcp.write_all(line(40, "log", 0).as_bytes()).unwrap();
    drop(tcp);
    eventually("all is there", || got(&program, "all").len() == 41 && got(&program, "loud").len() == 20);
    eventually("and settled", || of(&pipeline(&program), "endpoints", "all")["buffered"] == 0);
    let again = order(&program, "/v1/endpoints/all/replay", json!({"since": "1h"}));
    assert_eq!((&again["messages"], &again["counted"]), (&json!(41), &json!(true)));
    eventually("it comes again", || got(&program, "all").len() == 82);
    // What came by another input it would not take, though it is severe enough.
    assert_eq!(order(&program, "/v1/endpoints/loud/replay", json!({"since": "1h"}))["messages"], 20);
    eventually("it comes again", || got(&program, "loud").len() == 40);
    let next = number(&pipeline(&program)["spool"]["next_id"]);
    // The last message, by its id, and nothing behind it.
    assert_eq!(order(&program, "/v1/endpoints/other/replay", json!({"from": next - 3, "to": next - 1}))["messages"], 2);
    eventually("it comes again", || got(&program, "other").len() == 43);
    assert_eq!(order(&program, "/v1/endpoints/other/replay", json!({"from": next}))["messages"], 0);
    eventually("the account has it", || {
        let now = pipeline(&program);
        let redelivered = |name: &str| number(&of(&now, "endpoints", name)["redelivered"]);
        let again = |name: &str| of(&now, "endpoints", name)["again"].is_null();
        ["all", "loud", "other"].map(redelivered) == [41, 20, 2] && ["all", "loud", "other"].into_iter().all(again)
    });
    let now = pipeline(&program);
    assert_eq!(["all", "loud", "other"].map(|name| number(&of(&now, "endpoints", name)["delivered"])), [41, 20, 41]);
    let mut ids = got(&program, "all");
    ids.sort_unstable();
    assert!(ids.chunks(2).zip(0..).all(|(pair, n)| pair == [n, n]), "each twice: {ids:?}");

    // Held up, it waits, and nobody begins another.
    order(&program, "/v1/endpoints/all/pause", json!({}));
    order(&program, "/v1/endpoints/all/replay", json!({"since": "1h"}));
    assert_eq!(tell(&program, "/v1/endpoints/all/replay", "{\"since\":\"1h\"}").status, 409);
    assert_eq!(of(&pipeline(&program), "endpoints", "all")["again"]["messages"], 41);
    order(&program, "/v1/endpoints/all/resume", json!({}));
    eventually("it comes", || got(&program, "all").len() == 123);
    program.stop();
}

#[test]
fn dead_letters_are_listed_sent_in_again_and_thrown_away() {
    let refusing = Arc::new(AtomicBool::new(true));
    let verdict = refusing.clone();
    let peer = HttpPeer::new(move |_| {
        if verdict.load(SeqCst) {
            Said::new(400, "{\"error\":\"no such tenant\"}")
        } else {
            Said::new(200, "{\"accepted\":1,\"rejected\":[]}")
        }
    });
    let sink = format!("[endpoints.sink]\ntype = 'http'\nurl = '{}'\n", peer.url());
    let program = start(&format!("{sink}{}", file("all", "")));
    send(&program, &lines(0..3));
    for n in 0..120 {
        assert_eq!(program.post(format!("nonsense {n} \u{fc}").as_bytes()).status, 400);
    }
    program.post(b"\xff\xfe");
    let dead = |program: &Program| number(&of(&pipeline(program), "endpoints", "sink")["dead_lettered"]);
    eventually("all three are refused", || dead(&program) == 3);
    // Page by page, the last first, each once.
    let (mut all, mut before) = (Vec::new(), String::new());
    loop {
        let page = ask(&program, &format!("/v1/deadletters?limit=50{before}"));
        assert_eq!((&page["total"], &page["counted"]), (&json!(124), &json!(true)));
        all.extend(page["letters"].as_array().unwrap().clone());
        let Some(next) = page["next"].as_str() else { break };
        before = format!("&before={next}");
    }
    let mut ids: Vec<&str> = all.iter().map(|letter| letter["id"].as_str().unwrap()).collect();
    assert_eq!(ids.len(), 124);
    ids.sort_unstable();
    ids.dedup();
    assert_eq!(ids.len(), 124);
    let of_sink: Vec<&Value> = all.iter().filter(|letter| letter["where"] == "endpoint sink").collect();
    assert!(of_sink.len() == 3 && of_sink.iter().all(|letter| letter["valid"] == true), "{of_sink:?}");
    assert!(of_sink[0]["reply"].as_str().unwrap().contains("no such tenant"), "{of_sink:?}");
    let plain = all.iter().find(|letter| letter["message"] == "nonsense 7 \u{fc}").expect("as it came");
    assert_eq!(
        (&plain["where"], &plain["valid"], &plain["reply"]),
        (&json!("input http"), &json!(false), &Value::Null)
    );
    let lossy = all.iter().find(|letter| letter["message"] == "\u{fffd}\u{fffd}").expect("with marks");
    assert_eq!((&lossy["valid"], &lossy["whole"]), (&json!(false), &json!(false)));

    // One of them; it arrives at the one that refused it and nowhere else.
    refusing.store(false, SeqCst);
    let before = got(&program, "all").len();
    let one = of_sink[2]["id"].clone();
    let told = order(&program, "/v1/deadletters/replay", json!({"ids": [one, one]}));
    assert_eq!((&told["replayed"], &told["refused"], &told["gone"]), (&json!(1), &json!(0), &json!(0)), "{told}");
    let delivered = || number(&of(&pipeline(&program), "endpoints", "sink")["delivered"]);
    eventually("it arrives", || delivered() == 1);
    assert_eq!(order(&program, "/v1/deadletters/replay", json!({"ids": [one]}))["gone"], 1, "it is not there any more");
    // All: what is nonsense stays, and makes no second letter.
    let told = order(&program, "/v1/deadletters/replay", json!({"all": true}));
    assert_eq!((&told["replayed"], &told["refused"], &told["done"]), (&json!(2), &json!(121), &json!(true)), "{told}");
    eventually("they arrive", || delivered() == 3);
    assert_eq!(got(&program, "all").len(), before);
    assert_eq!(ask(&program, "/v1/deadletters")["total"], 121);
    let now = pipeline(&program);
    let again = &of(&now, "inputs", "dead letters")["counts"];
    assert_eq!((&again["received"], &again["accepted"]), (&json!(123), &json!(3)));

    let ids = json!([plain["id"], lossy["id"], "9-9-00000000"]);
    assert_eq!(order(&program, "/v1/deadletters/drop", json!({"ids": ids}))["dropped"], 2);
    assert!(
        !program.text("metlog-data/dead-letters/00000001.jsonl").contains("nonsense 7 "),
        "it is gone from the disk"
    );
    assert_eq!(ask(&program, "/v1/deadletters")["total"], 119);
    assert_eq!(order(&program, "/v1/deadletters/drop", json!({"all": true}))["dropped"], 119);
    let none = ask(&program, "/v1/deadletters");
    assert_eq!((&none["total"], &none["bytes"], &none["letters"]), (&json!(0), &json!(0), &json!([])));
    program.post(b"more nonsense");
    assert_eq!(ask(&program, "/v1/deadletters")["letters"][0]["message"], "more nonsense");
    // After another start the same ids mean the same letters.
    let id = ask(&program, "/v1/deadletters")["letters"][0]["id"].clone();
    let config = format!("[inputs.http]\n{}", file("all", ""));
    let program = Program::start_in(program.stop(), &config);
    program.post(b"and more");
    let letters = ask(&program, "/v1/deadletters")["letters"].clone();
    assert_eq!((&letters[1]["id"], &letters[0]["message"]), (&id, &json!("and more")));
    program.stop();
}

#[test]
fn a_letter_that_would_be_taken_now_goes_past_all_filters() {
    let rest = format!("[inputs.http]\n{}{}", file("all", ""), file("loud", "severity_max = 3\n"));
    // Too large at first; afterwards it is not.
    let small = Program::start_in(Directory::new(), &format!("message_bytes = '200 B'\n{rest}"));
    let long = line(1, "log", 2).replace("m1", &"x".repeat(300));
    assert_eq!(small.post(long.as_bytes()).status, 400);
    assert_eq!(ask(&small, "/v1/deadletters")["letters"][0]["valid"], false);
    let program = Program::start_in(small.stop(), &rest);
    assert_eq!(ask(&program, "/v1/deadletters")["letters"][0]["valid"], true);
    assert_eq!(order(&program, "/v1/deadletters/replay", json!({"all": true}))["replayed"], 1);
    eventually("it arrives", || got(&program, "all") == [1] && got(&program, "loud") == [1]);
    assert_eq!(ask(&program, "/v1/deadletters")["total"], 0);
    program.stop();
}

#[test]
fn nothing_changes_without_being_meant() {
    let program = start(&file("all", ""));
    let paths = [
        "/v1/endpoints/all/pause",
        "/v1/endpoints/all/resume",
        "/v1/endpoints/all/replay",
        "/v1/reload",
        "/v1/deadletters/drop",
        "/v1/deadletters/replay",
    ];
    let (json, meant) = (("Content-Type", "application/json"), ("X-Metlog", "1"));
    for path in paths {
        let post = |headers: &[(&str, &str)]| program.request(&format!("POST {path}"), headers, b"{}").unwrap().status;
        assert_eq!(post(&[json]), 403, "{path}");
        assert_eq!(post(&[meant]), 415, "{path}");
        assert_eq!(post(&[meant, ("Content-Type", "text/plain")]), 415, "{path}");
        assert_eq!(post(&[json, ("X-Metlog", "2")]), 403, "{path}");
        assert_eq!(post(&[json, meant, ("Origin", "http://evil.example")]), 403, "{path}");
        assert_eq!(program.request(&format!("GET {path}"), &[], b"").unwrap().status, 405, "{path}");
        let preflight = program.request(&format!("OPTIONS {path}"), &[("Origin", "http://evil.example")], b"").unwrap();
        assert!(!preflight.head.contains("access-control"), "{preflight:?}");
    }
    let nested = "[".repeat(100_000);
    let many = json!({"ids": vec!["1-0-00000000"; 10_001]}).to_string();
    for (path, body, status) in [
        ("/v1/endpoints/nobody/pause", "{}", 404),
        ("/v1/endpoints/..%2f..%2fetc/pause", "{}", 404),
        ("/v1/endpoints/%ff/pause", "{}", 404),
        ("/v1/endpoints/all/pause", "{\"for\":1}", 400),
        ("/v1/endpoints/all/replay", "{}", 400),
        ("/v1/endpoints/all/replay", "{\"since\":\"1 fortnight\"}", 400),
        ("/v1/endpoints/all/replay", "{\"since\":\"1h\",\"from\":1}", 400),
        ("/v1/endpoints/all/replay", "{\"from\":5,\"to\":5}", 400),
        ("/v1/endpoints/all/replay", "{\"from\":-1}", 400),
        ("/v1/endpoints/all/replay", "{\"since\":\"999999999999999999h\"}", 400),
        ("/v1/deadletters/drop", "{}", 400),
        ("/v1/deadletters/drop", "{\"all\":false}", 400),
        ("/v1/deadletters/drop", "{\"all\":true,\"ids\":[]}", 400),
        ("/v1/deadletters/drop", "{\"ids\":[1]}", 400),
        ("/v1/deadletters/drop", "{\"ids\":[\"../../x\"]}", 400),
        ("/v1/deadletters/drop", "{\"ids\":[\"1-0-0000000g\"]}", 400),
        ("/v1/deadletters/drop", "{\"ids\":[\"99999999999999999999-0-00000000\"]}", 400),
        ("/v1/deadletters/drop", &many, 400),
        ("/v1/deadletters/drop", &nested, 400),
        ("/v1/deadletters/drop", "{\"ids\":[\"1-18446744073709551615-00000000\"]}", 200),
        ("/v1/deadletters/replay", "{\"all\":1}", 400),
        ("/v1/reload", "{\"file\":\"/etc/passwd\"}", 400),
    ] {
        let answer = tell(&program, path, body);
        assert_eq!(answer.status, status, "{path} {}: {answer:?}", &body[..body.len().min(80)]);
    }
    let huge = format!("{{\"ids\":[\"{}\"]}}", "x".repeat(2 << 20));
    assert_eq!(tell(&program, "/v1/deadletters/drop", &huge).status, 413);
    for path in [
        "/v1/deadletters?before=x",
        "/v1/deadletters?before=1-2",
        "/v1/deadletters?limit=501",
        "/v1/clients?limit=0",
        "/v1/fields?limit=501",
        "/v1/fields?prefix=%ff",
    ] {
        assert_eq!(program.ask(path).status, 400, "{path}");
    }
    assert_eq!(program.ask("/v1/deadletters?before=18446744073709551615-18446744073709551615-ffffffff").status, 200);
    send(&program, &lines(0..1));
    eventually("it still runs", || got(&program, "all") == [0]);
    program.stop();
}

#[test]
fn keys_decide_who_may_look_and_who_may_lead() {
    let directory = Directory::new();
    let mut sections = String::new();
    let keys = ["read", "admin", "ingest"].map(|scope| {
        let mut make = Command::new(env!("CARGO_BIN_EXE_metlog-router"));
        make.args(["key", "new", "--name", scope, "--scope", scope, "--out", scope]).current_dir(&directory.0);
        let made = make.output().unwrap();
        assert!(made.status.success(), "{made:?}");
        sections.push_str(&String::from_utf8(made.stdout).unwrap());
        std::fs::read_to_string(directory.0.join(scope)).unwrap().trim().to_owned()
    });
    let program = Program::start_in(directory, &format!("[inputs.http]\n{sections}{}", file("all", "")));
    let with = |key: usize, what: &str| {
        let key = format!("Bearer {}", keys[key]);
        let headers = [("Authorization", key.as_str()), MEANT[0], MEANT[1]];
        let body: &[u8] = if what.ends_with("explain") { b"{\"message\":{}}" } else { b"{}" };
        program.request(what, &headers, body).unwrap().status
    };
    let reading = ["GET /v1/pipeline", "GET /v1/clients", "GET /v1/deadletters", "GET /v1/fields", "POST /v1/explain"];
    for what in reading {
        assert_eq!((with(0, what), with(2, what)), (200, 403), "{what}");
        assert_eq!(program.request(what, &MEANT, b"{}").unwrap().status, 401, "{what}");
    }
    for what in ["POST /v1/endpoints/all/pause", "POST /v1/endpoints/all/resume", "POST /v1/reload"] {
        assert_eq!((with(0, what), with(1, what), with(2, what)), (403, 200, 403), "{what}");
        assert_eq!(program.request(what, &MEANT, b"{}").unwrap().status, 401, "{what}");
    }
    // The page says nothing of what is in here; it asks for a key by itself.
    for (path, accept) in [("/", "text/html,*/*;q=0.8"), ("/page", "*/*")] {
        let answer = program.request(&format!("GET {path}"), &[("Accept", accept)], b"").unwrap();
        assert_eq!(answer.status, 200, "{path}");
        assert!(answer.head.contains("content-security-policy: default-src 'none'"), "{answer:?}");
    }
    assert_eq!(program.request("GET /", &[("Accept", "*/*")], b"").unwrap().status, 401);
}
