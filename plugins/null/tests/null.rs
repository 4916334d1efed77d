//! There is no receiving end to ask, so not the clauses of senders, but what is left of them.

use metlog_null::NullSender;
use metlog_pipeline::{Sender, SenderEntry};
use metlog_testkit::{drive, of_example, sample, settings};
use std::time::Duration;

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
