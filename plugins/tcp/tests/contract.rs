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
fn a_peer_that_does_not_read_costs_a_batch_no_more_than_its_time() {
    let silent = TcpListener::bind("127.0.0.1:0").expect("a free port");
    let address = silent.local_addr().expect("an address");
    let mut sender = open(&format!("address = '{address}'\nwrite_timeout = '300ms'")).expect("opens");
    let began = Instant::now();
    let failed = (0..2000).find_map(|at| sender.send(&sample::lines(at * 1000, 1000)).err());
    assert!(began.elapsed() < Duration::from_secs(20));
    match failed {
        Some(SendError::Retry { why, done, .. }) => {
            assert!(why.contains(&address.to_string()) && why.contains("300ms"), "{why}");
            assert_eq!(done, 0, "what the system took may never have been read");
        }
        other => panic!("{other:?}"),
    }
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
    for (toml, words) in [
        ("address = '127.0.0.1'", "no port"),
        ("address = []", "empty list"),
        ("address = '127.0.0.1:1'\nwrite_timeout = '0s'", "`write_timeout` is zero"),
    ] {
        let told = open(toml).err().expect("refused");
        assert!(told.contains(words), "{told}");
    }
    let entry = SenderEntry::find("tcp").expect("there");
    (entry.read)(&of_example(entry.example)).unwrap_or_else(|problems| panic!("{problems}"))()
        .expect("the example opens");
}
