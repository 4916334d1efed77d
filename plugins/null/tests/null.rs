//! The clauses of senders, with what the sender took for what arrived.

use metlog_message::Lines;
use metlog_null::NullSender;
use metlog_pipeline::{SendError, Sender, SenderEntry};
use metlog_testkit::{Arrived, Delivery, Peer, drive, of_example, sample, settings};
use std::sync::{Arc, Mutex};
use std::time::Duration;

/// Nobody can be asked what arrived nowhere, so this writes down what the sender in it took.
struct Witness {
    sender: NullSender,
    taken: Arc<Mutex<Vec<Arrived>>>,
}

impl Sender for Witness {
    fn send(&mut self, batch: &Lines) -> Result<(), SendError> {
        self.sender.send(batch)?;
        self.taken.lock().expect("whole").extend(batch.iter().map(Arrived::of_json));
        Ok(())
    }
}

#[derive(Default)]
struct Nowhere(Arc<Mutex<Vec<Arrived>>>);

impl Peer for Nowhere {
    fn sender(&mut self) -> Box<dyn Sender> {
        Box::new(Witness { sender: NullSender, taken: self.0.clone() })
    }
    fn delivery(&self) -> Delivery {
        Delivery::Exact
    }
    fn arrived(&mut self) -> Vec<Arrived> {
        self.0.lock().expect("whole").clone()
    }
}

metlog_testkit::contract!(Nowhere::default());

#[test]
fn everything_counts_as_sent_at_once() {
    let mut sender = NullSender;
    let outcome = drive(&mut sender, sample::lines(0, 1000), Duration::ZERO);
    assert_eq!((outcome.sent, outcome.refused, outcome.given_up), (1000, 0, 0));
    sender.flush().expect("nothing to push");
    sender.close(Duration::ZERO).expect("nothing to end");
    assert!(sender.is_active(), "it is a choice, not the placeholder of a client without a sender");
}

#[test]
fn the_example_opens_and_there_is_nothing_to_set() {
    let entry = SenderEntry::find("null").expect("there");
    let open = (entry.read)(&of_example(entry.example)).unwrap_or_else(|problems| panic!("{problems}"));
    open().expect("opens").send(&sample::lines(0, 1)).expect("taken");
    let problems = (entry.read)(&settings("path = 'x'")).err().expect("refused").to_string();
    assert!(problems.contains("test.toml:1:1") && problems.contains("path"), "{problems}");
}
