//! What the client's tests share: a sender that keeps or refuses on command, and the sum every test ends with.
#![allow(dead_code, reason = "each test program uses some of it")]

use metlog::{Client, Lines, Message, Pacing, SendError, Sender, Setup, Stats};
use metlog_message::wire::{self, Limits};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

/// A receiving end in memory.
#[derive(Clone, Default)]
pub struct Kept(Arc<Inner>);

#[derive(Default)]
struct Inner {
    lines: Mutex<Vec<Vec<u8>>>,
    down: AtomicBool,
    hang: AtomicBool,
}

impl Kept {
    pub fn new() -> Self {
        Self::default()
    }

    pub fn sender(&self) -> KeptSender {
        KeptSender(self.clone())
    }

    /// Every `send` fails while it is down.
    pub fn set_down(&self, down: bool) {
        self.0.down.store(down, Ordering::SeqCst);
    }

    /// Every `send` hangs while this is set.
    pub fn set_hanging(&self, hang: bool) {
        self.0.hang.store(hang, Ordering::SeqCst);
    }

    pub fn lines(&self) -> Vec<String> {
        let lines = self.0.lines.lock().expect("no panic while it was held");
        lines.iter().map(|line| String::from_utf8(line.clone()).expect("UTF-8")).collect()
    }

    /// Each line through the strict reader of another implementation, and through ours without any note.
    pub fn messages(&self) -> Vec<Message> {
        let lines = self.lines();
        let read = lines.iter().map(|line| {
            let strict: serde_json::Value =
                serde_json::from_str(line).unwrap_or_else(|error| panic!("{error}: {line}"));
            assert!(strict.is_object(), "{line}");
            let read =
                wire::read(line.as_bytes(), &Limits::default()).unwrap_or_else(|error| panic!("{error}: {line}"));
            assert!(read.notes.is_empty(), "{:?}: {line}", read.notes);
            read.message
        });
        read.collect()
    }

    /// The one message.
    pub fn one(&self) -> Message {
        let mut messages = self.messages();
        assert_eq!(messages.len(), 1, "{:?}", self.lines());
        messages.remove(0)
    }

    pub fn len(&self) -> usize {
        self.0.lines.lock().expect("no panic while it was held").len()
    }

    pub fn clear(&self) {
        self.0.lines.lock().expect("no panic while it was held").clear();
    }
}

pub struct KeptSender(Kept);

impl Sender for KeptSender {
    fn send(&mut self, batch: &Lines) -> Result<(), SendError> {
        let inner = &self.0.0;
        while inner.hang.load(Ordering::SeqCst) {
            std::thread::sleep(Duration::from_millis(1));
        }
        if inner.down.load(Ordering::SeqCst) {
            return Err(SendError::retry("the peer is down"));
        }
        let mut lines = inner.lines.lock().expect("no panic while it was held");
        lines.extend(batch.iter().map(<[u8]>::to_vec));
        Ok(())
    }

    fn pacing(&self) -> Pacing {
        Pacing::default()
    }
}

/// A client with one sender that keeps everything.
pub fn client(setup: Setup) -> (Client, Kept) {
    let kept = Kept::new();
    let client = Client::open(setup.sender(kept.sender())).expect("opens");
    (client, kept)
}

/// Flushes and checks the accounts.
pub fn settle(client: &Client) -> Stats {
    let report = client.flush(Duration::from_secs(20));
    balanced(&report.stats);
    assert_eq!(report.stats.queued(), 0, "{report}");
    report.stats
}

/// Per sender: accepted = sent + filtered + refused + dropped + spilled + queued.
pub fn balanced(stats: &Stats) {
    for sender in &stats.senders {
        let dropped: u64 = sender.dropped.values().sum();
        let sum = sender.sent + sender.filtered + sender.refused + dropped + sender.spilled + sender.queued;
        assert_eq!(sender.accepted, sum, "{sender:?}");
    }
}
