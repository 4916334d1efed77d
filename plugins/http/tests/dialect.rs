//! The route over real sockets: every form of a body, every answer, and our own sender against it.

use metlog_http::axum::Router;
use metlog_http::axum::extract::Request;
use metlog_http::axum::middleware::{Next, from_fn};
use metlog_http::{DialectEntry, Server, ServerLimits};
use metlog_pipeline::{Durable, Full, Inlet, Intake, Reason, Receipt, Sender, SenderEntry, Stop};
use metlog_send_http as _;
use metlog_settings::{Kind, Node};
use metlog_testkit::http::{Said, ask};
use metlog_testkit::inlet::Recorder;
use metlog_testkit::{Arrived, Peer, eventually, sample, settings};
use std::collections::HashSet;
use std::io::Write;
use std::net::{SocketAddr, TcpStream};
use std::sync::{Arc, Mutex};
use std::time::Duration;
use tokio::runtime::Runtime;
use tokio::sync::watch;
use tokio::task::JoinHandle;

/// The route in a server, before a recorder that refuses what it is told to.
struct Running {
    at: SocketAddr,
    recorder: Recorder,
    refused: Arc<Mutex<HashSet<u64>>>,
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
            refused: Arc::default(),
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
        let choosy = Choosy { inlet: self.recorder.inlet(), refused: self.refused.clone() };
        let entry = DialectEntry::find("HTTP").expect("there");
        let dialect = (entry.read)(&settings("")).unwrap_or_else(|problems| panic!("{problems}"))().expect("opens");
        let pause = self.pause.clone();
        let wait = move |request: Request, next: Next| {
            let pause = *pause.lock().expect("a lock");
            async move {
                tokio::time::sleep(pause).await;
                next.run(request).await
            }
        };
        let routes: Router = dialect.routes(server.door(Inlet::new(Box::new(choosy)))).layer(from_fn(wait));
        let (tell, stop) = Stop::new();
        self.serving = Some((tell, self.runtime.spawn(server.serve(routes, stop))));
    }

    fn end(&mut self) {
        if let Some((tell, serving)) = self.serving.take() {
            drop(tell);
            self.runtime.block_on(serving).expect("no panic").expect("served");
        }
    }

    fn post(&self, body: impl AsRef<[u8]>) -> Answer {
        self.ask("POST /v1/messages", body.as_ref())
    }

    fn ask(&self, head: &str, body: &[u8]) -> Answer {
        let Said { status, head, body } = ask(self.at, head, body);
        let json = serde_json::from_str(&body).unwrap_or_else(|_| panic!("{status}: {body}"));
        assert!(body.is_ascii());
        Answer { status, head, json }
    }
}

#[derive(Debug)]
struct Answer {
    status: u16,
    head: String,
    json: serde_json::Value,
}

impl Answer {
    #[track_caller]
    fn says(&self, status: u16, json: serde_json::Value) {
        assert_eq!((self.status, &self.json), (status, &json));
    }

    fn error(&self) -> &str {
        self.json["error"].as_str().expect("an error")
    }
}

/// Refuses samples of some numbers, as a router does that knows better.
struct Choosy {
    inlet: Inlet,
    refused: Arc<Mutex<HashSet<u64>>>,
}

impl Intake for Choosy {
    fn another(&self) -> Box<dyn Intake> {
        Box::new(Choosy { inlet: self.inlet.another(), refused: self.refused.clone() })
    }
    fn push(&mut self, message: &[u8]) {
        let refused = self.refused.lock().expect("a lock");
        if !refused.is_empty() && sample::number(message).is_some_and(|number| refused.contains(&number)) {
            return self.inlet.refuse(message, Reason::Malformed, "not this one, s\u{fc}\u{df}er");
        }
        self.inlet.push(message);
    }
    fn refuse(&mut self, part: &[u8], reason: Reason, why: &str) {
        self.inlet.refuse(part, reason, why);
    }
    fn lost(&mut self, count: u64) {
        self.inlet.lost(count);
    }
    fn commit(&mut self) -> Result<Receipt, Full> {
        self.inlet.commit()
    }
    fn drop_pushed(&mut self, reason: Reason) {
        self.inlet.drop_pushed(reason);
    }
    fn pending(&self) -> usize {
        self.inlet.pending()
    }
    fn durable(&self) -> Durable {
        self.inlet.durable()
    }
    fn message_limit(&self) -> usize {
        self.inlet.message_limit()
    }
}

impl Peer for Running {
    fn sender(&mut self) -> Box<dyn Sender> {
        let entry = SenderEntry::find("http").expect("there");
        let toml = format!("url = 'http://{}'\ncompress_above = '500 B'", self.at);
        (entry.read)(&settings(&toml)).unwrap_or_else(|problems| panic!("{problems}"))().expect("opens")
    }
    fn arrived(&mut self) -> Vec<Arrived> {
        self.recorder.seen().accepted.iter().map(|line| Arrived::of_json(line)).collect()
    }
    fn stop(&mut self) -> bool {
        self.end();
        true
    }
    fn start(&mut self) {
        self.begin();
    }
    fn slow_down(&mut self, pause: Duration) -> bool {
        *self.pause.lock().expect("a lock") = pause;
        true
    }
    fn refuse(&mut self, numbers: &[u64]) -> bool {
        *self.refused.lock().expect("a lock") = numbers.iter().copied().collect();
        true
    }
}

metlog_testkit::contract!(Running::new());

fn json(text: &str) -> serde_json::Value {
    serde_json::from_str(text).expect("JSON")
}

fn texts(numbers: std::ops::Range<u64>) -> Vec<String> {
    numbers.map(|number| String::from_utf8(sample::line(number)).expect("UTF-8")).collect()
}

fn gzip(body: &str) -> Vec<u8> {
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    encoder.write_all(body.as_bytes()).expect("written");
    encoder.finish().expect("finished")
}

#[test]
fn every_form_of_a_body() {
    let running = Running::new();
    let three = texts(0..3);
    let pretty = serde_json::to_string_pretty(&json(&three[1])).expect("JSON");
    for body in [
        three.join("\n"),
        three.join("\r\n\r\n") + "\r\n",
        three.concat(),
        three.join(" "),
        format!("[{}]", three.join(",")),
        format!("\u{feff} [\n{}\n]\n", three.join("\n,\n")),
        format!("{}\n{pretty}\n{}", three[0], three[2]),
    ] {
        let before = running.recorder.accepted();
        running.post(&body).says(200, json(r#"{"accepted":3,"rejected":[]}"#));
        let arrived = running.recorder.seen().accepted.split_off(before);
        let numbers: Vec<_> = arrived.iter().map(|line| sample::number(line)).collect();
        assert_eq!(numbers, [Some(0), Some(1), Some(2)], "{body}");
        if !body.contains(&pretty) {
            let arrived: Vec<_> = arrived.iter().map(|line| String::from_utf8_lossy(line)).collect();
            assert_eq!(arrived, three, "the very bytes");
        }
    }
    running.post(&three[0]).says(200, json(r#"{"accepted":1,"rejected":[]}"#));
    for nothing in ["", " \n", "[]", "[ ]\n"] {
        running.post(nothing).says(200, json(r#"{"accepted":0,"rejected":[]}"#));
    }
    for head in [
        "POST /v1/messages/",
        "POST /v1/messages\r\nContent-Type: text/plain\r\n",
        "POST /v1/messages\r\nContent-Type: application/x-ndjson; charset=utf-8\r\n",
    ] {
        running.ask(head, three[0].as_bytes()).says(200, json(r#"{"accepted":1,"rejected":[]}"#));
    }
    let seen = running.recorder.seen();
    assert_eq!((seen.pending, seen.forgotten, seen.refused.len()), (0, 0, 0));
    assert!(seen.others < 5, "inlets are used again: {}", seen.others);
}

#[test]
fn a_large_body_compressed_or_not() {
    let running = Running::new();
    let many = texts(0..4000);
    let (lines, list) = (many.join("\n"), format!("[{}]", many.join(",")));
    assert!(lines.len() > 600_000);
    let zstd = zstd::bulk::compress(lines.as_bytes(), 1).expect("compressed");
    for (coding, body) in [("", lines.into()), ("gzip", gzip(&list)), ("zstd", zstd)] {
        let before = running.recorder.accepted();
        let answer = running.ask(&format!("POST /v1/messages\r\nContent-Encoding: {coding}\r\n"), &body);
        answer.says(200, json(r#"{"accepted":4000,"rejected":[]}"#));
        let arrived = running.recorder.seen().accepted.split_off(before);
        assert!(arrived.iter().map(|line| line.as_slice()).eq(many.iter().map(|line| line.as_bytes())), "{coding}");
    }
    assert_eq!(running.recorder.seen().commits, 3);
}

#[test]
fn a_bad_message_costs_itself_only_and_is_named() {
    let running = Running::new();
    let good = texts(0..3);
    let answer = running.post(format!("{}\nnonsense\n{}\n{{\"half\":\n{}\n", good[0], good[1], good[2]));
    assert_eq!(answer.status, 200);
    assert_eq!(answer.json["accepted"], 3);
    let rejected = answer.json["rejected"].as_array().expect("a list");
    let indexes: Vec<_> = rejected.iter().filter_map(|one| one["index"].as_u64()).collect();
    assert_eq!(indexes, [1, 3]);
    assert!(rejected.iter().all(|one| one["error"].as_str().is_some_and(|error| !error.is_empty())));

    let answer = running.post(format!("[{},{{a:1}},{},{{\"b", good[0], good[1]));
    assert_eq!((answer.status, &answer.json["accepted"]), (200, &json("2")));
    assert_eq!(answer.json["rejected"][1]["error"], "the list ends before its bracket");
    let truncated = &running.recorder.seen().refused[3];
    assert_eq!((truncated.part.as_slice(), truncated.reason), (&b"{\"b"[..], Reason::Truncated));

    running.refused.lock().expect("a lock").insert(1);
    let answer = running.post(&good[1]);
    answer.says(400, json("{\"accepted\":0,\"rejected\":[{\"index\":0,\"error\":\"not this one, s\u{fc}\u{df}er\"}]}"));
}

#[test]
fn an_answer_names_as_many_as_our_sender_sends_at_once() {
    let running = Running::new();
    let answer = running.post("x\n".repeat(100) + &texts(0..1)[0]);
    assert_eq!((answer.status, &answer.json["accepted"]), (200, &json("1")));
    assert_eq!(answer.json["rejected"].as_array().map(Vec::len), Some(100));
    assert_eq!(answer.json.get("rejected_more"), None);
    let answer = running.post("x\n".repeat(5000));
    assert_eq!((answer.status, &answer.json["rejected_more"]), (400, &json("904")));
    assert_eq!(answer.json["rejected"].as_array().map(Vec::len), Some(4096));
    assert_eq!(running.recorder.seen().refused.len(), 5100, "none of them is lost");
}

#[test]
fn what_curl_says_of_a_body_does_not_matter() {
    let running = Running::new();
    let head = "POST /v1/messages\r\nContent-Type: application/x-www-form-urlencoded\r\n";
    assert_eq!(running.ask(head, &sample::line(1)).status, 200);
    assert_eq!(running.recorder.accepted(), 1);
}

#[test]
fn what_is_no_message_is_told_what_would_be_one() {
    let running = Running::new();
    let answer = running.ask("POST /v1/messages\r\nContent-Type: Multipart/Form-Data; boundary=x\r\n", b"{}");
    assert_eq!(answer.status, 415);
    assert!(answer.error().contains("Content-Type: application/json"), "{answer:?}");
    let answer = running.ask("GET /v1/messages", b"");
    assert_eq!(answer.status, 405);
    assert!(answer.head.contains("\r\nallow: post"), "{answer:?}");
    assert_eq!(running.post(gzip("{}")).status, 415);
    assert_eq!(running.recorder.received(), 0);
}

#[test]
fn a_repeat_is_as_good_as_taken() {
    let running = Running::new();
    running.recorder.deduplicate();
    let body = texts(0..3).join("\n");
    running.post(&body).says(200, json(r#"{"accepted":3,"rejected":[]}"#));
    running.post(&body).says(200, json(r#"{"accepted":3,"duplicates":3,"rejected":[]}"#));
    running.post(body + "\nx").json["duplicates"].as_u64().filter(|count| *count == 3).expect("said with others");
    assert_eq!(running.recorder.accepted(), 3);
}

#[test]
fn full_is_said_and_nothing_of_the_batch_is_taken() {
    let running = Running::new();
    running.recorder.set_full(true);
    for _ in 0..3 {
        let answer = running.post(texts(0..3).join("\n"));
        assert_eq!((answer.status, answer.error()), (503, "the test says it is full"));
        assert!(answer.head.contains("\r\nretry-after: 1"), "{answer:?}");
    }
    running.recorder.set_full(false);
    running.post(texts(0..3).join("\n")).says(200, json(r#"{"accepted":3,"rejected":[]}"#));
    let seen = running.recorder.seen();
    assert_eq!((seen.accepted.len(), seen.count(Reason::SpoolFull), seen.received(), seen.pending), (3, 9, 12, 0));
}

#[test]
fn the_answer_waits_until_it_is_safe() {
    let running = Running::new();
    running.recorder.set_unsynced(true);
    std::thread::scope(|scope| {
        let asking = scope.spawn(|| running.post(&texts(0..1)[0]));
        assert!(eventually(Duration::from_secs(10), || running.recorder.accepted() == 1));
        std::thread::sleep(Duration::from_millis(100));
        assert!(!asking.is_finished());
        running.recorder.set_unsynced(false);
        asking.join().expect("no panic").says(200, json(r#"{"accepted":1,"rejected":[]}"#));
    });
}

#[test]
fn what_clients_were_told_is_what_the_router_has() {
    let running = Running::new();
    let (accepted, rejected) = std::thread::scope(|scope| {
        let clients: Vec<_> = (0..8_u64)
            .map(|client| {
                let running = &running;
                scope.spawn(move || {
                    let (mut accepted, mut rejected) = (0, 0);
                    for round in 0..30 {
                        let mut parts = texts(client * 1000 + round * 10..client * 1000 + round * 10 + round % 7);
                        (0..round % 3).for_each(|_| parts.push("{\"broken\"".to_owned()));
                        let body = if round % 2 == 0 { parts.join("\n") } else { format!("[{}]", parts.join(",\n")) };
                        if round % 5 == 4 {
                            // Goes away in the middle, and counts for nothing.
                            let mut socket = TcpStream::connect(running.at).expect("a connection");
                            let head =
                                "POST /v1/messages HTTP/1.1\r\nHost: localhost\r\nContent-Length: 100000\r\n\r\n";
                            socket.write_all(head.as_bytes()).expect("written");
                            socket.write_all(body.as_bytes()).expect("written");
                            continue;
                        }
                        let answer = running.post(body);
                        accepted += answer.json["accepted"].as_u64().expect("a number");
                        rejected += answer.json["rejected"].as_array().expect("a list").len() as u64;
                    }
                    (accepted, rejected)
                })
            })
            .collect();
        let sums = clients.into_iter().map(|client| client.join().expect("no panic"));
        sums.fold((0, 0), |all, one| (all.0 + one.0, all.1 + one.1))
    });
    let seen = running.recorder.seen();
    assert_eq!((seen.accepted.len() as u64, seen.refused.len() as u64), (accepted, rejected));
    assert!(accepted > 400 && rejected > 50, "{accepted} {rejected}");
    assert_eq!((seen.received(), seen.pending, seen.forgotten), (accepted + rejected, 0, 0));
}

#[test]
fn the_example_names_it_and_it_has_no_settings() {
    let entry = DialectEntry::find("http").expect("there");
    let example = settings(entry.example);
    let names: Vec<_> = example
        .get("inputs")
        .and_then(|inputs| inputs.get("http")?.get("dialects"))
        .and_then(Node::as_list)
        .expect("a list")
        .iter()
        .map(Node::as_str)
        .collect();
    assert_eq!(names, [Some("http")]);
    let empty = Node::new(example.origin.clone(), Kind::Table(Default::default()));
    assert!((entry.read)(&empty).is_ok());
    let problems = (entry.read)(&settings("color = 'red'")).err().expect("refused");
    assert!(problems.to_string().contains("color"), "{problems}");
    let unknown = DialectEntry::find("htpt").err().expect("unknown");
    assert_eq!(unknown.suggestion.as_deref(), Some("http"));
    assert!(unknown.to_string().contains("unknown dialect `htpt`, this program has http"));
}
