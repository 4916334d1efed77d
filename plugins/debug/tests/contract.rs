//! The clauses of senders, and the bound.

use metlog_debug::Capture;
use metlog_pipeline::{Sender, SenderEntry};
use metlog_testkit::{Arrived, Delivery, Peer, of_example, sample, settings};

struct InMemory(Capture);

impl Peer for InMemory {
    fn sender(&mut self) -> Box<dyn Sender> {
        Box::new(self.0.sender())
    }
    fn delivery(&self) -> Delivery {
        Delivery::Exact
    }
    fn arrived(&mut self) -> Vec<Arrived> {
        self.0.lines().iter().map(|line| Arrived::of_json(line)).collect()
    }
}

metlog_testkit::contract!(InMemory(Capture::new(1000)));

#[test]
fn the_oldest_go_first() {
    let capture = Capture::new(10);
    let mut sender = capture.sender();
    sender.send(&sample::lines(0, 8)).expect("kept");
    sender.send(&sample::lines(8, 5)).expect("kept");
    assert_eq!(capture.messages(), (3..13).map(sample::message).collect::<Vec<_>>());
    sender.send(&sample::lines(100, 50)).expect("kept");
    assert_eq!(capture.messages(), (140..150).map(sample::message).collect::<Vec<_>>());
    capture.clear();
    assert!(capture.is_empty());
}

#[test]
fn a_configuration_says_where_they_are() {
    let open = |toml: &str| {
        let entry = SenderEntry::find("metlog.senders.DebugCaptureSender").expect("by its old name");
        (entry.read)(&settings(toml)).unwrap_or_else(|problems| panic!("{problems}"))()
    };
    assert!(Capture::named("mine").is_none());
    let mut sender = open("name = 'mine'\ncapacity = 2").expect("opens");
    sender.send(&sample::lines(0, 3)).expect("kept");
    assert_eq!(Capture::named("mine").map(|capture| capture.len()), Some(2));
    let mut both = [open("name = 'mine'\ncapacity = 5").expect("opens"), open("name = 'mine'").expect("opens")];
    both[0].send(&sample::lines(10, 4)).expect("kept");
    both[1].send(&sample::lines(20, 4)).expect("kept");
    let numbers = || {
        let mine = Capture::named("mine").expect("there");
        mine.lines().iter().map(|line| Arrived::of_json(line).number).collect::<Vec<_>>()
    };
    assert_eq!(numbers(), [1, 2, 10, 11, 12, 13, 20, 21, 22, 23], "one capture, as large as it was last told to be");
    open("name = 'mine'\ncapacity = 2").expect("opens").send(&sample::lines(30, 1)).expect("kept");
    assert_eq!(numbers(), [23, 30], "and as small");
    let entry = SenderEntry::find("debug").expect("there");
    let told = (entry.read)(&settings("name = 'none'\ncapacity = 0")).err().expect("refused").to_string();
    assert_eq!(told, "test.toml:2:1: `capacity` is 0, which keeps nothing; the sender `null` does that");
    (entry.read)(&of_example(entry.example)).unwrap_or_else(|problems| panic!("{problems}"))()
        .expect("the example opens");
}
