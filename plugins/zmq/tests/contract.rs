//! The clauses of senders against libzmq, and what a busy, dying or hostile router does to a sender.

mod support;

use metlog_pipeline::{SendError, Sender, SenderEntry};
use metlog_testkit::{Arrived, Delivery, eventually, of_example, sample};
use std::collections::BTreeSet;
use std::io::{Read, Write};
use std::time::{Duration, Instant};
use support::{Router, endpoint, frames, insist, numbered, open, peer::Peer, until_refused};

struct Subscriber {
    at: String,
    /// The sender binds and the router connects: metlog-node's way.
    bind: bool,
    router: Option<Router>,
    arrived: Vec<Arrived>,
}

impl Subscriber {
    fn new(bind: bool) -> Self {
        let mut subscriber = Subscriber { at: endpoint(), bind, router: None, arrived: Vec::new() };
        metlog_testkit::Peer::start(&mut subscriber);
        subscriber
    }
}

impl metlog_testkit::Peer for Subscriber {
    fn sender(&mut self) -> Box<dyn Sender> {
        open("zmq_pub", &format!("bindstrs = {:?}\nbind = {}", self.at, self.bind)).expect("opens")
    }
    fn arrived(&mut self) -> Vec<Arrived> {
        while let Some(line) = self.router.as_ref().and_then(|router| router.line_within(Duration::ZERO)) {
            let frames = frames(&line);
            assert_eq!(frames.len(), 1, "one frame per message: {line}");
            self.arrived.push(Arrived::of_json(frames[0].as_bytes()));
        }
        self.arrived.clone()
    }
    fn delivery(&self) -> Delivery {
        Delivery::Buffered
    }
    fn stop(&mut self) -> bool {
        self.arrived();
        self.router.take().expect("running").kill();
        true
    }
    fn start(&mut self) {
        let connect = if self.bind { &["--connect"][..] } else { &[] };
        self.router = Some(Router::start(&[&["sub", &self.at], connect].concat()));
    }
}

mod connected {
    use super::*;
    metlog_testkit::contract!(Subscriber::new(false));
}

mod bound {
    use super::*;
    metlog_testkit::contract!(Subscriber::new(true));
}

/// A router that also answers handshakes.
struct Handshaken {
    reply: String,
    replier: Option<Router>,
    subscriber: Subscriber,
}

impl Handshaken {
    fn new() -> Self {
        let reply = endpoint();
        Handshaken { replier: Some(Router::start(&["rep", &reply])), reply, subscriber: Subscriber::new(false) }
    }
}

impl metlog_testkit::Peer for Handshaken {
    fn sender(&mut self) -> Box<dyn Sender> {
        handshaking(&self.reply, &self.subscriber.at)
    }
    fn arrived(&mut self) -> Vec<Arrived> {
        self.subscriber.arrived()
    }
    fn delivery(&self) -> Delivery {
        Delivery::Buffered
    }
    fn stop(&mut self) -> bool {
        self.replier.take().expect("running").kill();
        self.subscriber.stop()
    }
    fn start(&mut self) {
        self.replier = Some(Router::start(&["rep", &self.reply]));
        self.subscriber.start();
    }
}

mod handshaken {
    use super::*;
    metlog_testkit::contract!(
        Handshaken::new(); success nothing content refusal slow flush diverts_while_gone close_with_dead_peer
    );
}

#[test]
fn a_router_that_dies_is_noticed_and_its_successor_is_found() {
    let at = endpoint();
    let router = Router::start(&["sub", &at]);
    let mut sender = open("zmq_pub", &format!("bindstrs = {at:?}\nconnect_wait = \"100ms\"")).expect("opens");
    insist(&mut *sender, numbered(1, 1));
    assert!(router.message().starts_with("{\"n\":1,"));
    router.kill();
    let why = until_refused(&mut *sender);
    assert!(!why.is_empty());
    let router = Router::start(&["sub", &at, "--count", "500"]);
    insist(&mut *sender, numbered(1, 500));
    assert_eq!(router.line(), r#"{"seen": 500, "in_order": 500, "last": 500}"#);
}

#[test]
fn closing_right_after_a_large_batch_loses_nothing() {
    let at = endpoint();
    let router = Router::start(&["sub", &at, "--count", "20000"]);
    let mut sender = open("zmq_pub", &format!("bindstrs = {at:?}\nconnect_wait = \"30s\"")).expect("opens");
    sender.send(&numbered(1, 20_000)).expect("published");
    sender.close(Duration::from_secs(10)).expect("closed");
    drop(sender);
    assert_eq!(router.line(), r#"{"seen": 20000, "in_order": 20000, "last": 20000}"#);
}

#[test]
fn a_router_that_stops_reading_costs_no_more_than_its_time() {
    let peer = Peer::bind();
    let at = peer.endpoint();
    let settings = format!("bindstrs = {at:?}\nconnect_wait = \"30s\"\nsend_timeout = \"300ms\"");
    let mut sender = open("zmq_pub", &settings).expect("opens");
    let mut connection = peer.accept();
    connection.greet("SUB");
    connection.subscribe();
    insist(&mut *sender, numbered(0, 1));
    let began = Instant::now();
    // Some 40 MB, of which the connection's buffers hold a fraction and nothing else holds anything.
    let stuck = (0..400).find_map(|at| sender.send(&numbered(at * 1000 + 1, 1000)).err());
    assert!(matches!(&stuck, Some(SendError::Retry { why, .. }) if why.contains("300ms")), "{stuck:?}");
    assert!(began.elapsed() < Duration::from_secs(30), "{:?}", began.elapsed());
    let began = Instant::now();
    let _ = sender.close(Duration::from_millis(200));
    drop(sender);
    assert!(began.elapsed() < Duration::from_secs(3), "{:?}", began.elapsed());
}

#[test]
fn a_heartbeat_costs_the_connection_and_no_message() {
    let peer = Peer::bind();
    let settings = format!("bindstrs = {:?}\nconnect_wait = \"30s\"", peer.endpoint());
    let mut sender = open("zmq_pub", &settings).expect("opens");
    for number in 0..3 {
        let mut connection = peer.accept();
        connection.greet("SUB");
        connection.subscribe();
        insist(&mut *sender, sample::lines(number, 1));
        assert_eq!(connection.frame().1, sample::line(number));
        // The library under us takes a PING for an error. What matters is that the link then makes a new connection.
        connection.stream.write_all(b"\x04\x07\x04PING\0\0").expect("written");
        assert_eq!(connection.stream.read(&mut [0; 64]).expect("an end, no reset"), 0);
    }
}

#[test]
fn a_router_with_heartbeats_gets_everything() {
    let at = endpoint();
    let router = Router::start(&["sub", &at, "--heartbeat", "300"]);
    let mut sender = open("zmq_pub", &format!("bindstrs = {at:?}\nconnect_wait = \"30s\"")).expect("opens");
    for number in 0..100 {
        insist(&mut *sender, sample::lines(number, 1));
        std::thread::sleep(Duration::from_millis(10));
    }
    // A message may come twice: where the connection ended under it, it was sent again.
    let mut missing: BTreeSet<u64> = (0..100).collect();
    while !missing.is_empty() {
        missing.remove(&Arrived::of_json(router.message().as_bytes()).number);
    }
}

#[test]
fn without_a_router_messages_are_kept_or_refused_as_told() {
    let at = endpoint();
    let mut keep = open("zmq_pub", &format!("bindstrs = {at:?}\nconnect_wait = \"20ms\"")).expect("opens");
    assert!(matches!(keep.send(&numbered(1, 3)), Err(SendError::Retry { done: 0, .. })));
    let mut drops =
        open("zmq_pub", &format!("bindstrs = {at:?}\nconnect_wait = \"20ms\"\nwhen_down = \"drop\"")).expect("opens");
    assert!(matches!(drops.send(&numbered(1, 3)), Err(SendError::Refuse { which, .. }) if which == [0, 1, 2]));
}

fn handshaking(reply: &str, publish: &str) -> Box<dyn Sender> {
    let settings = format!(
        "handshake_bind = {reply:?}\nconnect_bind = {publish:?}\nhandshake_timeout = 1000\nlivecheck = \"100ms\"\nconnect_wait = \"10s\""
    );
    open("metlog.senders.zmq.ZmqHandshakePubSender", &settings).expect("opens")
}

#[test]
fn the_handshake_is_two_empty_frames_and_any_answer_will_do() {
    let (reply, publish) = (endpoint(), endpoint());
    let replier = Router::start(&["router", &reply]);
    let router = Router::start(&["sub", &publish]);
    let mut sender = handshaking(&reply, &publish);
    assert_eq!(frames(&replier.line()), ["", ""], "REQ's delimiter and an empty request");
    sender.send(&sample::lines(0, 2)).expect("the router is there");
    assert_eq!(router.message().as_bytes(), sample::line(0));
    assert_eq!(router.message().as_bytes(), sample::line(1));
}

#[test]
fn without_an_answer_messages_go_to_standard_error_until_one_comes() {
    let (reply, publish) = (endpoint(), endpoint());
    let began = Instant::now();
    let mut sender = handshaking(&reply, &publish);
    assert!(began.elapsed() < Duration::from_secs(5), "one handshake, whatever the pool size");
    match sender.send(&sample::lines(0, 3)) {
        Err(SendError::Refuse { why, which }) => {
            assert_eq!(which, [0, 1, 2]);
            assert!(why.contains("standard error"), "{why}");
        }
        other => panic!("{other:?}"),
    }
    let router = Router::start(&["sub", &publish]);
    let replier = Router::start(&["rep", &reply]);
    assert!(eventually(Duration::from_secs(20), || sender.send(&sample::lines(7, 1)).is_ok()));
    assert_eq!(router.message().as_bytes(), sample::line(7));
    replier.kill();
    let diverts = |told| matches!(told, Err(SendError::Refuse { which, .. }) if which == [0]);
    assert!(eventually(Duration::from_secs(20), || diverts(sender.send(&sample::lines(8, 1)))));
}

#[test]
fn the_examples_load_and_old_names_are_known() {
    for (name, old) in [
        ("zmq_pub", "metlog.senders.zmq.ZmqPubSender"),
        ("zmq_handshake_pub", "metlog.senders.zmq.ZmqHandshakePubSender"),
    ] {
        let entry = SenderEntry::find(old).expect("by its old name");
        assert_eq!(entry.name, name);
        (entry.read)(&of_example(entry.example)).map(drop).unwrap_or_else(|problems| panic!("{problems}"));
    }
}
