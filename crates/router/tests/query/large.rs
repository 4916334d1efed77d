//! Answers that are large, questions that are slow, and clients that read slowly or leave.

use crate::program::Program;
use crate::stage::eventually;
use crate::{ask, encoded, find, length, line, lines, send, start};
use metlog_testkit::python;
use serde_json::Value;
use std::collections::BTreeMap;
use std::io::{Read, Write};
use std::net::TcpStream;
use std::process::Command;
use std::sync::atomic::{AtomicBool, Ordering::SeqCst};
use std::time::{Duration, Instant};

/// So that there are several portions.
fn filled(count: u64) -> (Program, String) {
    let program = start("");
    let mut all = String::new();
    for from in (0..count).step_by(2000) {
        let some =
            lines(from..(from + 2000).min(count), &format!("payload of {from} {}", "with some words ".repeat(6)));
        send(&program, &some);
        all += &some;
    }
    eventually("all are stored", || ask(&program, "/v1/store")["messages"] == count);
    (program, all)
}

#[test]
fn an_export_is_what_was_sent() {
    let (program, sent) = filled(12_000);
    let export = |more: &str| program.ask(&format!("/v1/messages/export?order=oldest{more}"));
    let answer = export("");
    assert!(answer.body == sent, "{} and {} bytes", answer.body.len(), sent.len());
    assert!(answer.head.contains("content-type: application/x-ndjson"), "{}", answer.head);
    assert!(answer.head.contains("attachment; filename=\"messages.jsonl\""), "{}", answer.head);
    assert!(sent.len() > 4 * 512 * 1024, "several portions");
    let newest = program.ask("/v1/messages/export").body;
    assert!(newest.lines().eq(sent.lines().rev()), "the other way round");
    let first: String = sent.split_inclusive('\n').take(5000).collect();
    assert!(export("&limit=5000").body == first);
    assert_eq!(export("&query=type:none").body, "");
    let cursor = find(&program, "", "&order=oldest&limit=5000")["next"].as_str().unwrap().to_owned();
    assert!(export(&format!("&after={cursor}")).body == sent[first.len()..], "the rest");

    // Too late: it says so, and where to go on.
    let cut = export("&deadline=1ms").body;
    let (whole, last) = cut.trim_end().rsplit_once('\n').map_or(("", cut.trim_end()), |(whole, last)| (whole, last));
    let last: Value = serde_json::from_str(last).unwrap();
    assert!(
        sent.starts_with(whole) && last["partial"] == true && last["error"].as_str().unwrap().contains("time was up")
    );
    let next = last["next"].as_str().map_or(String::new(), |next| format!("&after={next}"));
    let rest = export(&next).body;
    let both = if whole.is_empty() { rest } else { format!("{whole}\n{rest}") };
    assert!(both == sent, "both parts are all");
    program.stop();
}

#[test]
fn csv_is_read_by_python_and_holds_no_formulas() {
    let program = start("");
    let payloads = [
        "=1+1",
        "+cmd|' /C calc'!A0",
        "@SUM(A1)",
        "-5.5",
        "two\nlines\r\nand \"quotes\", comma; é",
        "\u{ff1d}1",
        "\t=2",
        "plain",
        "",
    ];
    let sent: String = payloads.iter().zip(0..).map(|(payload, n)| line(n, "log", payload)).collect();
    send(&program, &sent);
    let answer = program.ask(
        "/v1/messages/export?format=csv&order=oldest&columns=position,timestamp,payload,fields.n,fields,nothing.here",
    );
    assert!(answer.head.contains("content-type: text/csv; charset=utf-8"), "{}", answer.head);
    std::fs::write(program.path("out.csv"), &answer.body).unwrap();
    let script =
        "import csv, json, sys; print(json.dumps(list(csv.reader(open(sys.argv[1], newline='', encoding='utf-8')))))";
    let read = Command::new(python(&[])).args(["-c", script]).arg(program.path("out.csv")).output().unwrap();
    let rows: Vec<Vec<String>> = serde_json::from_slice(&read.stdout).unwrap();
    assert_eq!(rows[0], ["position", "timestamp", "payload", "fields.n", "fields", "nothing.here"]);
    for ((row, payload), n) in rows[1..].iter().zip(payloads).zip(0..) {
        let safe = if payload.starts_with(['=', '+', '@', '\t', '\u{ff1d}']) {
            format!("'{payload}")
        } else {
            payload.to_owned()
        };
        let fields = format!("{{\"n\":{n}}}");
        assert_eq!(row[1..], [format!("2026-11-20T00:00:00.{n:03}000Z"), safe, n.to_string(), fields, String::new()]);
    }
    assert_eq!(rows.len(), payloads.len() + 1);
    let usual = program.ask("/v1/messages/export?format=csv&limit=1").body;
    assert!(usual.starts_with("timestamp,severity,type,logger,payload,fields\r\n2026-"), "{usual}");

    // CSV has no place to say that it is not all: the connection breaks off instead.
    let (program2, _) = filled(4000);
    let mut stream = TcpStream::connect(program2.place("http")).unwrap();
    stream.write_all(b"GET /v1/messages/export?format=csv&deadline=1ms HTTP/1.1\r\nHost: localhost\r\n\r\n").unwrap();
    let mut text = Vec::new();
    let _ = stream.read_to_end(&mut text);
    let text = String::from_utf8_lossy(&text);
    assert!(text.contains("transfer-encoding: chunked") && !text.ends_with("0\r\n\r\n"), "{text}");
    program2.stop();
    program.stop();
}

/// Asks for an export and reads this much of it.
fn begin_export(address: &str, bytes: usize) -> TcpStream {
    let mut stream = TcpStream::connect(address).unwrap();
    stream.write_all(b"GET /v1/messages/export?order=oldest HTTP/1.0\r\nHost: localhost\r\n\r\n").unwrap();
    let mut some = vec![0; bytes];
    stream.read_exact(&mut some).unwrap();
    stream
}

#[test]
fn clients_that_read_slowly_or_leave_hold_up_nobody() {
    let (program, sent) = filled(60_000);
    let address = program.place("http");
    let before = program.peak();
    // More than there are turns.
    let mut slow: Vec<TcpStream> = (0..20).map(|_| begin_export(&address, 1000)).collect();
    for _ in 0..20 {
        drop(begin_export(&address, 1000));
    }
    let began = Instant::now();
    assert_eq!(length(&find(&program, "n:17", "")["positions"]), 1);
    assert!(began.elapsed() < Duration::from_secs(4), "{:?}", began.elapsed());
    // Pages that nobody reads wait in memory, of which there is only so much, however many there are.
    let large = "x".repeat(500_000);
    for n in 60_000..60_040 {
        send(&program, &line(n, "large", &large));
    }
    let crowd = |size: usize| {
        let ask = || {
            let mut stream = TcpStream::connect(&address).unwrap();
            stream.write_all(b"GET /v1/messages?limit=40 HTTP/1.0\r\nHost: localhost\r\n\r\n").unwrap();
            stream
        };
        let pages: Vec<TcpStream> = (0..size).map(|_| ask()).collect();
        let mut status = [0; 12];
        eventually("all of them are answered", || {
            pages.iter().all(|page| page.peek(&mut status).is_ok_and(|count| count == 12))
        });
        let refused = pages.iter().filter(|page| page.peek(&mut status).is_ok() && status.ends_with(b"503")).count();
        assert!((size / 2..size).contains(&refused), "{refused} of {size} were refused");
        assert_eq!(length(&find(&program, "n:3", "&limit=1")["positions"]), 1, "small ones are not");
        drop(pages);
        eventually("there is room again", || program.ask("/v1/messages?limit=40").status == 200);
        program.peak()
    };
    let peaks = [crowd(12), crowd(40)];
    println!("at most {peaks:?} bytes, {before} before");
    // Those that wait, those that are being made, twice, and what the allocator has not given back.
    assert!(peaks[1] < 700 << 20, "{peaks:?}");
    // Those that are slow get everything in the end.
    let mut rest = Vec::new();
    slow.pop().unwrap().read_to_end(&mut rest).unwrap();
    let rest = String::from_utf8(rest).unwrap();
    // The slowest has seen what came meanwhile, too: the earliest come first.
    let (old, _) = rest.split_once("{\"type\":\"large\"").expect("it came meanwhile");
    assert!(sent.ends_with(old), "to the last byte");
    drop(slow);
    assert_eq!(ask(&program, "/v1/store")["messages"], 60_040);
    program.stop();
}

#[test]
fn what_looks_through_too_much_stops_and_says_so_and_holds_up_nothing() {
    let (program, sent) = filled(60_000);
    // No index helps with this one.
    let slow = format!("/v1/messages?query={}&limit=10000", encoded("payload~/(some|thing|else).*(never|there)$/"));
    let began = Instant::now();
    let page = ask(&program, &format!("{slow}&deadline=50ms"));
    assert!(began.elapsed() < Duration::from_secs(3), "{:?}", began.elapsed());
    assert_eq!(page["partial"], true, "{page}");
    let scanned = page["scanned"].as_u64().unwrap();
    assert!((1..60_000).contains(&scanned), "{scanned}");
    // Page by page it comes to the end, having looked at each once.
    let (mut looked, mut next) = (scanned, page["next"].as_str().map(str::to_owned));
    while let Some(cursor) = next {
        let page = ask(&program, &format!("{slow}&after={cursor}&deadline=400ms"));
        looked += page["scanned"].as_u64().unwrap();
        assert_eq!(page["partial"].as_bool(), Some(page["next"].is_string()));
        next = page["next"].as_str().map(str::to_owned);
    }
    assert_eq!(looked, 60_000);
    let tally = ask(&program, "/v1/messages/tally?buckets=10&facets=fields.n,payload&deadline=30ms");
    let counted: u64 = tally["over"]["series"][0]["counts"]
        .as_array()
        .map_or(0, |counts| counts.iter().filter_map(Value::as_u64).sum());
    assert_eq!((tally["partial"].as_bool(), tally["matched"].as_u64()), (Some(true), Some(counted)), "{tally}");

    // Slow questions all the time, more than there are turns; messages and health come first.
    let stop = AtomicBool::new(false);
    let worst = std::thread::scope(|scope| {
        let askers: Vec<_> = (0..6)
            .map(|_| {
                scope.spawn(|| {
                    let mut answers = BTreeMap::new();
                    while !stop.load(SeqCst) {
                        let status = program.ask(&format!("{slow}&deadline=2s")).status;
                        *answers.entry(status).or_insert(0) += 1;
                    }
                    answers
                })
            })
            .collect();
        std::thread::sleep(Duration::from_millis(300));
        let mut worst = [Duration::ZERO; 2];
        for round in 0..40 {
            let timed = |worst: &mut Duration, what: &dyn Fn()| {
                let began = Instant::now();
                what();
                *worst = began.elapsed().max(*worst);
            };
            timed(&mut worst[0], &|| send(&program, &lines(60_000 + round * 10..60_010 + round * 10, "meanwhile")));
            timed(&mut worst[1], &|| assert_eq!(program.ask("/health/ready").status, 200));
        }
        stop.store(true, SeqCst);
        for asker in askers {
            let answers = asker.join().unwrap();
            assert!(
                answers.keys().all(|status| [200, 503].contains(status)) && answers.contains_key(&200),
                "{answers:?}"
            );
        }
        worst
    });
    println!("worst: a message {:?}, health {:?}", worst[0], worst[1]);
    assert!(worst.iter().all(|worst| *worst < Duration::from_secs(3)), "{worst:?}");
    assert_eq!(ask(&program, "/v1/store")["messages"].as_u64(), Some(sent.lines().count() as u64 + 400));
    program.stop();
}

#[test]
fn who_has_left_is_not_worked_for() {
    let (program, _) = filled(60_000);
    let patterns = (0..30).map(|n| format!("payload~/(some|thing|else).*(never|there){n}$/"));
    let slow = encoded(&patterns.collect::<Vec<_>>().join(" OR "));
    let address = program.place("http");
    for _ in 0..20 {
        let mut stream = TcpStream::connect(&address).unwrap();
        write!(
            stream,
            "GET /v1/messages/tally?facets=payload&deadline=60s&query={slow} HTTP/1.0\r\nHost: localhost\r\n\r\n"
        )
        .unwrap();
        std::thread::sleep(Duration::from_millis(20));
    }
    // Were they worked for, it would be refused: all turns would be taken for longer than it waits for one.
    assert_eq!(length(&find(&program, "n:5", "")["messages"]), 1);
    program.stop();
}
