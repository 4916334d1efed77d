//! The clauses of senders against a server that answers as the router does, and its answers one by one.

use metlog_pipeline::{SendError, Sender, SenderEntry};
use metlog_send_http as _;
use metlog_testkit::http::{Answer, HttpPeer, Request};
use metlog_testkit::{Arrived, Peer, of_example, sample, settings};
use std::io::Read;
use std::sync::{Arc, Mutex};
use std::time::Duration;

#[derive(Default)]
struct State {
    arrived: Vec<Arrived>,
    refused: Vec<u64>,
    pause: Duration,
}

struct Router {
    http: HttpPeer,
    state: Arc<Mutex<State>>,
}

fn body(request: &Request) -> Vec<u8> {
    let mut text = Vec::new();
    match request.header("content-encoding") {
        None => text.extend_from_slice(&request.body),
        Some("zstd") => text = zstd::decode_all(request.body.as_slice()).expect("zstd"),
        Some("gzip") => {
            flate2::read::GzDecoder::new(request.body.as_slice()).read_to_end(&mut text).expect("gzip");
        }
        Some(other) => panic!("{other}"),
    }
    text
}

impl Router {
    fn new() -> Self {
        let state = Arc::new(Mutex::new(State::default()));
        let shared = state.clone();
        let http = HttpPeer::new(move |request| {
            let mut state = shared.lock().expect("a lock");
            assert_eq!((request.method.as_str(), request.target.as_str()), ("POST", "/v1/messages"));
            assert_eq!(request.header("content-type"), Some("application/x-ndjson"));
            let (mut accepted, mut rejected) = (0, Vec::new());
            let body = body(request);
            let lines = body.strip_suffix(b"\n").expect("every line is ended").split(|byte| *byte == b'\n');
            for (index, line) in lines.enumerate() {
                let message = Arrived::of_json(line);
                if state.refused.contains(&message.number) {
                    rejected.push(format!("{{\"index\":{index},\"error\":\"not this one\"}}"));
                } else {
                    accepted += 1;
                    state.arrived.push(message);
                }
            }
            let answer = format!("{{\"accepted\":{accepted},\"rejected\":[{}]}}", rejected.join(","));
            Answer::new(200, answer).delay(state.pause)
        });
        Router { http, state }
    }
}

impl Peer for Router {
    fn sender(&mut self) -> Box<dyn Sender> {
        open(&format!("url = '{}'", self.http.url())).expect("opens")
    }
    fn arrived(&mut self) -> Vec<Arrived> {
        self.state.lock().expect("a lock").arrived.clone()
    }
    fn stop(&mut self) -> bool {
        self.http.stop();
        true
    }
    fn start(&mut self) {
        self.http.start();
    }
    fn slow_down(&mut self, pause: Duration) -> bool {
        self.state.lock().expect("a lock").pause = pause;
        true
    }
    fn refuse(&mut self, numbers: &[u64]) -> bool {
        self.state.lock().expect("a lock").refused = numbers.to_vec();
        true
    }
}

metlog_testkit::contract!(Router::new());

fn open(toml: &str) -> Result<Box<dyn Sender>, String> {
    let entry = SenderEntry::find("http").expect("there");
    (entry.read)(&settings(toml)).unwrap_or_else(|problems| panic!("{problems}"))()
}

#[test]
fn the_body_is_the_lines_themselves_compressed_from_a_size_on() {
    let peer = HttpPeer::new(|_| Answer::new(204, ""));
    for compress in ["auto", "none", "gzip", "zstd"] {
        let toml = format!("url = '{}/elsewhere'\ncompress = '{compress}'\ncompress_above = '2 KiB'", peer.url());
        let mut sender = open(&toml).expect("opens");
        sender.send(&sample::lines(0, 1)).expect("taken");
        sender.send(&sample::lines(0, 50)).expect("taken");
    }
    let requests = peer.requests();
    let codings: Vec<_> = requests.iter().map(|request| request.header("content-encoding")).collect();
    assert_eq!(codings, [None, Some("zstd"), None, None, None, Some("gzip"), None, Some("zstd")]);
    for (at, request) in requests.iter().enumerate() {
        assert_eq!(body(request), sample::lines(0, if at % 2 == 0 { 1 } else { 50 }).bytes());
        assert_eq!(request.target, "/elsewhere");
    }
}

#[test]
fn a_body_that_is_too_large_is_halved_until_it_fits_and_a_single_one_refused() {
    let peer = HttpPeer::new(|request| match body(request).windows(13).any(|part| part == b"\"message 777\"") {
        true => Answer::new(413, ""),
        false if body(request).len() > 8000 => Answer::new(413, "too large"),
        false => Answer::new(200, ""),
    });
    let mut sender = open(&format!("url = '{}'", peer.url())).expect("opens");
    match sender.send(&sample::lines(700, 100)) {
        Err(SendError::Refuse { why, which }) => {
            assert_eq!(which, [77]);
            assert!(why.contains("413"), "{why}");
        }
        other => panic!("{other:?}"),
    }
}

#[test]
fn verdicts_follow_the_status_and_settings_are_checked_first() {
    let peer = HttpPeer::new(|_| Answer::new(200, ""));
    peer.script([
        Answer::new(503, "").header("Retry-After", "3"),
        Answer::new(401, ""),
        Answer::new(404, ""),
        Answer::new(302, "").header("Location", "http://elsewhere.invalid/"),
    ]);
    let mut sender = open(&format!("url = '{}'\nkey = 'hunter2'", peer.url())).expect("opens");
    let batch = sample::lines(0, 3);
    let after = Some(Duration::from_secs(3));
    assert!(matches!(sender.send(&batch), Err(SendError::Retry { after: wait, done: 0, .. }) if wait == after));
    for words in ["check the key", "check the URL", "never redirected"] {
        assert!(matches!(sender.send(&batch), Err(SendError::Pause { why }) if why.contains(words)));
    }
    sender.send(&batch).expect("taken");
    assert_eq!(peer.requests()[0].header("authorization"), Some("Bearer hunter2"));
    let entry = SenderEntry::find("http").expect("there");
    for (toml, words) in [
        ("timeout = '1s'\nurl = 'h:1'", "test.toml:2:1: `url` "),
        ("url = 'http://u:hunter2@h'", "settings of their own"),
        ("url = 'http://h'\nkey = 'hunter2'\nkey_file = 'key.txt'", "both `key` and `key_file` are set"),
        ("url = 'http://h'\nkey = ''", "test.toml:2:1: `key` is empty"),
    ] {
        let told = (entry.read)(&settings(toml)).err().expect("refused").to_string();
        assert!(told.contains(words) && !told.contains("hunter2"), "{told}");
    }
}

#[test]
fn the_example_opens() {
    let entry = SenderEntry::find("http").expect("there");
    (entry.read)(&of_example(entry.example)).unwrap_or_else(|problems| panic!("{problems}"))().expect("opens");
}
