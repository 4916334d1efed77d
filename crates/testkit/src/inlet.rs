//! The router's side of an input, for tests: keeps what came in, and can be told to be full or slow to sync.

use metlog_message::{head, wire};
use metlog_pipeline::{Away, Durable, Full, Inlet, Intake, Reason, Receipt, Rejected};
use std::collections::{BTreeMap, HashSet};
use std::future::poll_fn;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Poll, Waker};
use std::time::Duration;

/// Makes inlets and keeps what all of them were given. Judges as the router does: what is no message is refused.
#[derive(Clone, Default)]
pub struct Recorder(Arc<Mutex<State>>);

/// What a [`Recorder`] has seen. Whatever is not committed or dropped yet is in `pending` alone, as it is in the
/// router, where a batch is counted when it ends.
#[derive(Debug, Default, Clone)]
pub struct Seen {
    /// Committed and good, in the order of the commits.
    pub accepted: Vec<Vec<u8>>,
    /// Refused, by the input or by the judgement, with what was at hand of each.
    pub refused: Vec<Refused>,
    /// Dropped with [`Inlet::drop_pushed`], by reason.
    pub dropped: BTreeMap<Reason, u64>,
    /// Known already; always 0 unless [`Recorder::deduplicate`] was called.
    pub duplicates: u64,
    /// Told with [`Inlet::lost`].
    pub lost: u64,
    /// Commits that had something to hand over and succeeded.
    pub commits: u64,
    /// Commits that failed because it was full.
    pub full: u64,
    /// Pushed or refused, neither committed nor dropped, by inlets that still live.
    pub pending: u64,
    /// Pushed or refused, neither committed nor dropped, by inlets that are gone: an input's mistake.
    pub forgotten: u64,
    /// Inlets made by [`Inlet::another`].
    pub others: u64,
    /// Peers turned away, told with [`Inlet::turned_away`].
    pub turned_away: u64,
    /// The same, by reason.
    pub turned_away_for: BTreeMap<Away, u64>,
}

/// Something that was refused.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refused {
    /// What was at hand of it.
    pub part: Vec<u8>,
    /// Why, as a label.
    pub reason: Reason,
    /// Why, for people.
    pub why: String,
}

impl Seen {
    /// All that was pushed or refused and is settled.
    pub fn received(&self) -> u64 {
        self.accepted.len() as u64 + self.duplicates + self.refused.len() as u64 + self.dropped.values().sum::<u64>()
    }

    /// How many were refused or dropped for this reason.
    pub fn count(&self, reason: Reason) -> u64 {
        let refused = self.refused.iter().filter(|refused| refused.reason == reason).count() as u64;
        refused + self.dropped.get(&reason).copied().unwrap_or(0)
    }
}

#[derive(Default)]
struct State {
    seen: Seen,
    limits: wire::Limits,
    full: bool,
    /// Commits are not durable for now, and who waits for it.
    unsynced: bool,
    waiting: Vec<Waker>,
    known: Option<HashSet<(String, u64)>>,
}

impl Recorder {
    /// One that has room and syncs at once.
    pub fn new() -> Self {
        Self::default()
    }

    /// A way in.
    pub fn inlet(&self) -> Inlet {
        Inlet::new(Box::new(Way::new(self.clone())))
    }

    /// What it has seen.
    pub fn seen(&self) -> Seen {
        self.state().seen.clone()
    }

    /// How many were accepted; cheaper than [`Recorder::seen`] while many arrive.
    pub fn accepted(&self) -> usize {
        self.state().seen.accepted.len()
    }

    /// Received so far, accepted or not; cheaper than [`Recorder::seen`] while many arrive.
    pub fn received(&self) -> u64 {
        self.state().seen.received()
    }

    /// From now on there is no room, or room again.
    pub fn set_full(&self, full: bool) {
        self.state().full = full;
    }

    /// From now on nothing becomes durable, or all of it at once.
    pub fn set_unsynced(&self, unsynced: bool) {
        let mut state = self.state();
        state.unsynced = unsynced;
        if !unsynced {
            state.waiting.drain(..).for_each(Waker::wake);
        }
    }

    /// The largest message it takes.
    pub fn set_message_limit(&self, bytes: usize) {
        self.state().limits.bytes = bytes;
    }

    /// From now on a second message of one client and running number counts as a duplicate.
    pub fn deduplicate(&self) {
        self.state().known.get_or_insert_default();
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// One inlet: what it was given since the last commit.
struct Way {
    recorder: Recorder,
    limits: wire::Limits,
    good: Vec<Vec<u8>>,
    bad: Vec<Refused>,
    receipt: Receipt,
    pushed: usize,
}

impl Way {
    fn new(recorder: Recorder) -> Self {
        let limits = recorder.state().limits;
        Way { recorder, limits, good: Vec::new(), bad: Vec::new(), receipt: Receipt::default(), pushed: 0 }
    }

    fn reject(&mut self, part: &[u8], reason: Reason, why: String) {
        self.receipt.rejected.push(Rejected { index: self.pushed - 1, reason, why: why.clone() });
        self.bad.push(Refused { part: part.to_vec(), reason, why });
    }

    fn begin_one(&mut self) {
        self.pushed += 1;
        self.recorder.state().seen.pending += 1;
    }

    /// Whether this is the second of its number.
    fn is_known(&self, message: &[u8]) -> bool {
        let mut state = self.recorder.state();
        let Some(known) = &mut state.known else { return false };
        let Ok(read) = wire::read(message, &self.limits) else { return false };
        read.message.origin.is_some_and(|origin| !known.insert((origin.client.to_string(), origin.seq)))
    }
}

impl Intake for Way {
    fn another(&self) -> Box<dyn Intake> {
        self.recorder.state().seen.others += 1;
        Box::new(Way::new(self.recorder.clone()))
    }

    fn push(&mut self, message: &[u8]) {
        self.begin_one();
        if head::scan(message, &self.limits).is_ok() || wire::read(message, &self.limits).is_ok() {
            if self.is_known(message) {
                self.receipt.duplicates += 1;
            } else {
                self.receipt.accepted += 1;
                self.good.push(message.to_vec());
            }
            return;
        }
        let reason = if message.len() > self.limits.bytes { Reason::TooLarge } else { Reason::Malformed };
        self.reject(message, reason, "not a message".to_owned());
    }

    fn refuse(&mut self, part: &[u8], reason: Reason, why: &str) {
        self.begin_one();
        self.reject(part, reason, why.to_owned());
    }

    fn lost(&mut self, count: u64) {
        self.recorder.state().seen.lost += count;
    }

    fn turned_away(&mut self, why: Away) {
        let seen = &mut self.recorder.state().seen;
        seen.turned_away += 1;
        *seen.turned_away_for.entry(why).or_default() += 1;
    }

    fn commit(&mut self) -> Result<Receipt, Full> {
        if self.pushed == 0 {
            return Ok(Receipt::default());
        }
        let mut state = self.recorder.state();
        if state.full && !self.good.is_empty() {
            state.seen.full += 1;
            return Err(Full { why: "the test says it is full".to_owned(), retry_after: Duration::from_millis(10) });
        }
        state.seen.commits += 1;
        state.seen.pending -= self.pushed as u64;
        state.seen.duplicates += self.receipt.duplicates as u64;
        state.seen.accepted.append(&mut self.good);
        state.seen.refused.append(&mut self.bad);
        self.pushed = 0;
        Ok(std::mem::take(&mut self.receipt))
    }

    fn drop_pushed(&mut self, reason: Reason) {
        if self.pushed == 0 {
            return;
        }
        let mut state = self.recorder.state();
        state.seen.pending -= self.pushed as u64;
        state.seen.duplicates += self.receipt.duplicates as u64;
        *state.seen.dropped.entry(reason).or_default() += self.good.len() as u64;
        state.seen.refused.append(&mut self.bad);
        self.good.clear();
        self.pushed = 0;
        self.receipt = Receipt::default();
    }

    fn pending(&self) -> usize {
        self.good.iter().map(Vec::len).sum()
    }

    fn durable(&self) -> Durable {
        let recorder = self.recorder.clone();
        Box::pin(poll_fn(move |context| {
            let mut state = recorder.state();
            if state.unsynced {
                state.waiting.push(context.waker().clone());
                return Poll::Pending;
            }
            Poll::Ready(Ok(()))
        }))
    }

    fn message_limit(&self) -> usize {
        self.limits.bytes
    }
}

impl Drop for Way {
    fn drop(&mut self) {
        let mut state = self.recorder.state();
        state.seen.pending -= self.pushed as u64;
        state.seen.forgotten += self.pushed as u64;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sample;

    #[test]
    fn what_came_in_adds_up() {
        let recorder = Recorder::new();
        let mut inlet = recorder.inlet();
        inlet.push(&sample::line(1));
        inlet.push(b"nonsense");
        inlet.refuse(b"half a mess", Reason::Truncated, "cut off");
        assert_eq!((recorder.received(), recorder.seen().pending), (0, 3));
        let receipt = inlet.commit().expect("room");
        assert_eq!((receipt.accepted, receipt.rejected.len()), (1, 2));
        assert_eq!(receipt.rejected[1].index, 2);

        recorder.set_full(true);
        inlet.push(&sample::line(2));
        inlet.commit().expect_err("full");
        recorder.set_full(false);
        inlet.commit().expect("still there");
        recorder.set_full(true);
        inlet.push(&sample::line(3));
        inlet.commit().expect_err("full");
        inlet.drop_pushed(Reason::SpoolFull);
        inlet.lost(7);

        let seen = recorder.seen();
        assert_eq!(seen.accepted, [sample::line(1), sample::line(2)]);
        assert_eq!((seen.received(), seen.commits, seen.full, seen.lost, seen.pending), (5, 2, 2, 7, 0));
        assert_eq!((seen.count(Reason::Malformed), seen.count(Reason::SpoolFull)), (1, 1));
    }

    #[test]
    fn an_inlet_that_goes_with_something_in_hand_is_noticed() {
        let recorder = Recorder::new();
        let mut inlet = recorder.inlet().another();
        inlet.push(&sample::line(1));
        drop(inlet);
        let seen = recorder.seen();
        assert_eq!((seen.forgotten, seen.pending, seen.others, seen.received()), (1, 0, 1, 0));
    }

    #[test]
    fn the_second_of_a_number_is_a_duplicate_when_asked_for() {
        let recorder = Recorder::new();
        recorder.deduplicate();
        let mut inlet = recorder.inlet();
        inlet.push(&sample::line(1));
        inlet.push(&sample::line(1));
        assert_eq!(inlet.commit().expect("room").duplicates, 1);
        assert_eq!((recorder.accepted(), recorder.seen().received()), (1, 2));
    }
}
