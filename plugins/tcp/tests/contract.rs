//! The clauses of senders against a listener, and what can happen to a connection.

use metlog_pipeline::{SendError, Sender, SenderEntry};
use metlog_tcp as _;
use metlog_testkit::peer::TcpPeer;
use metlog_testkit::{Arrived, Delivery, Peer, eventually, of_example, sample, settings};
use std::io::Read;
use std::net::TcpListener;
use std::time::{Duration, Instant};

struct Listener(TcpPeer);

impl Peer for Listener {
    fn sender(&mut self) -> Box<dyn Sender> {
        open(&format!("address = '{}'", self.0.address())).expect("opens")
    }
    fn arrived(&mut self) -> Vec<Arrived> {
        self.0.lines().iter().map(|line| Arrived::of_json(line)).collect()
    }
    fn delivery(&self) -> Delivery {
        Delivery::Buffered
    }
    fn stop(&mut self) -> bool {
        self.0.stop();
        true
    }
    fn start(&mut self) {
        self.0.start();
    }
    fn slow_down(&mut self, pause: Duration) -> bool {
        self.0.slow_down(pause);
        true
    }
}

metlog_testkit::contract!(Listener(TcpPeer::new()));

fn open(toml: &str) -> Result<Box<dyn Sender>, String> {
    let entry = SenderEntry::find("tcp").expect("there");
    (entry.read)(&settings(toml)).unwrap_or_else(|problems| panic!("{problems}"))()
}

#[test]
fn the_next_address_takes_over() {
    let (mut first, second) = (TcpPeer::new(), TcpPeer::new());
    let mut sender = open(&format!("address = ['{}', '{}']", first.address(), second.address())).expect("opens");
    sender.send(&sample::lines(0, 5)).expect("to the first");
    assert!(eventually(Duration::from_secs(5), || first.lines().len() == 5));
    first.stop();
    sender.send(&sample::lines(5, 5)).expect("to the second: the first one's end was noticed before writing");
    assert!(eventually(Duration::from_secs(5), || second.lines().len() == 5));
    assert_eq!(second.lines()[0], sample::line(5));
}

#[test]
fn a_peer_that_reads_too_slowly_gets_every_line_and_only_the_torn_one_twice() {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
    let address = listener.local_addr().expect("an address");
    let mut sender = open(&format!("address = '{address}'\nwrite_timeout = '300ms'")).expect("opens");
    let batch = sample::lines(0, 1000);
    let began = Instant::now();
    // The peer reads nothing at all until the connection's buffers are full.
    let mut sent = 0;
    let done = loop {
        match sender.send(&batch) {
            Ok(()) => sent += 1000,
            Err(SendError::Retry { why, done, .. }) => {
                assert!(why.contains(&address.to_string()) && why.contains("300ms"), "{why}");
                break done;
            }
            other => panic!("{other:?}"),
        }
        assert!(began.elapsed() < Duration::from_secs(20), "a time limit of 300ms");
    };
    let mut rest = batch.clone();
    rest.drop_first(done);
    sender.send(&rest).expect("over a new connection");
    sender.close(Duration::from_secs(1)).expect("closes");

    let read = |listener: &TcpListener| {
        let (mut stream, _) = listener.accept().expect("a connection");
        let mut text = Vec::new();
        stream.read_to_end(&mut text).expect("an end, no reset");
        text
    };
    let (first, second) = (read(&listener), read(&listener));
    let whole = first.iter().filter(|byte| **byte == b'\n').count();
    assert_eq!(whole, sent + done, "what was said to be done arrived");
    let torn = first.split(|byte| *byte == b'\n').next_back().expect("a piece");
    assert!(rest.bytes().starts_with(torn) && torn.len() < sample::line(0).len() + 10);
    assert_eq!(second, rest.bytes());
}

#[test]
fn after_a_break_the_batch_goes_again_whole() {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
    let mut sender = open(&format!("address = '{}'", listener.local_addr().expect("an address"))).expect("opens");
    sender.send(&sample::lines(0, 1)).expect("written");
    let reader = std::thread::spawn(move || {
        let (mut stream, _) = listener.accept().expect("a connection");
        stream.read_exact(&mut [0; 200_000]).expect("so much of it");
        // Closed over unread bytes, which resets it under the writer.
    });
    // 50 MB, far more than the connection's buffers hold.
    let failed = sender.send(&sample::lines(0, 200_000));
    reader.join().expect("read");
    assert!(matches!(&failed, Err(SendError::Retry { done: 0, why, .. }) if why.contains("broke")), "{failed:?}");
}

#[test]
fn what_a_peer_says_is_ignored_and_its_end_is_noticed() {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
    let mut sender = open(&format!("address = '{}'", listener.local_addr().expect("an address"))).expect("opens");
    sender.send(&sample::lines(0, 1)).expect("written");
    let (mut talkative, _) = listener.accept().expect("a connection");
    std::io::Write::write_all(&mut talkative, &[b'x'; 100_000]).expect("said");
    sender.send(&sample::lines(1, 1)).expect("written all the same");
    let mut read = vec![0; sample::line(0).len() + sample::line(1).len() + 2];
    talkative.read_exact(&mut read).expect("both lines");
    drop(talkative);
    std::thread::sleep(Duration::from_millis(50));
    sender.send(&sample::lines(2, 1)).expect("over a new connection");
    let (mut next, _) = listener.accept().expect("a new connection");
    let mut read = vec![0; sample::line(2).len()];
    next.read_exact(&mut read).expect("the line");
    assert_eq!(read, sample::line(2), "nothing was written into the dead one");
}

#[test]
fn settings_are_checked_before_anything_is_opened() {
    let entry = SenderEntry::find("tcp").expect("there");
    for (toml, words) in [
        ("address = '127.0.0.1'", "no port"),
        ("address = []", "test.toml:1:1: `address` is an empty list"),
        ("address = '127.0.0.1:1'\nwrite_timeout = '0s'", "test.toml:2:1: `write_timeout` is zero"),
    ] {
        let told = (entry.read)(&settings(toml)).err().expect("refused").to_string();
        assert!(told.contains(words), "{told}");
    }
    (entry.read)(&of_example(entry.example)).unwrap_or_else(|problems| panic!("{problems}"))()
        .expect("the example opens");
}
