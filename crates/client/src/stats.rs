//! Counting: what became of every message, by reason.
//!
//! Per sender: accepted = sent + filtered + refused + dropped + spilled + queued. What never reached a sender because the
//! calling thread's ring was full is counted beside them.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};

/// What a client counts before messages reach its senders.
#[derive(Debug, Default)]
pub(crate) struct Counters {
    /// Taken out of rings.
    pub taken: AtomicU64,
    /// Dropped by callers whose ring stayed full.
    pub ring_full: AtomicU64,
    /// Large messages dropped because too many were waiting.
    pub aside_full: AtomicU64,
}

/// What one sender's lane counts.
#[derive(Debug, Default)]
pub(crate) struct LaneCounters {
    pub accepted: AtomicU64,
    pub filtered: AtomicU64,
    pub sent: AtomicU64,
    pub refused: AtomicU64,
    pub queue_full: AtomicU64,
    pub at_exit: AtomicU64,
    pub spilled: AtomicU64,
    pub retries: AtomicU64,
    pub last_error: Mutex<Option<String>>,
}

pub(crate) fn add(counter: &AtomicU64, count: usize) {
    counter.fetch_add(count as u64, Ordering::Relaxed);
}

/// Adds one to a counter that only this thread writes: a load and a store, which cost less than an addition that other
/// cores must see.
pub(crate) fn bump(counter: &AtomicU64) {
    counter.store(counter.load(Ordering::Relaxed) + 1, Ordering::Relaxed);
}

impl LaneCounters {
    pub fn fail(&self, why: &str) {
        *self.last_error.lock().unwrap_or_else(PoisonError::into_inner) = Some(why.to_owned());
    }

    pub fn read(&self, name: &str) -> SenderStats {
        let get = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        // What left is read before what came, so that the difference cannot be negative.
        let (sent, filtered, refused) = (get(&self.sent), get(&self.filtered), get(&self.refused));
        let (queue_full, at_exit, spilled) = (get(&self.queue_full), get(&self.at_exit), get(&self.spilled));
        let accepted = get(&self.accepted);
        SenderStats {
            name: name.to_owned(),
            accepted,
            sent,
            filtered,
            refused,
            dropped: reasons([("queue_full", queue_full), ("at_exit", at_exit)]),
            spilled,
            queued: accepted.saturating_sub(sent + filtered + refused + queue_full + at_exit + spilled),
            retries: get(&self.retries),
            last_error: self.last_error.lock().unwrap_or_else(PoisonError::into_inner).clone(),
        }
    }
}

fn reasons<const N: usize>(counts: [(&'static str, u64); N]) -> BTreeMap<&'static str, u64> {
    counts.into_iter().filter(|(_, count)| *count > 0).collect()
}

/// What became of a client's messages so far.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Stats {
    /// Messages that calls left and the background thread took up.
    pub taken: u64,
    /// Messages that calls could not leave, by reason (`ring_full`, `too_large`).
    pub dropped: BTreeMap<&'static str, u64>,
    /// Each sender's account.
    pub senders: Vec<SenderStats>,
}

/// One sender's account: accepted = sent + filtered + refused + dropped + spilled + queued.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SenderStats {
    /// Its name in the configuration.
    pub name: String,
    /// Messages offered to it.
    pub accepted: u64,
    /// Messages the sender took away.
    pub sent: u64,
    /// Messages its filters, or the client's, struck out.
    pub filtered: u64,
    /// Messages that could never go (too large, not understood by the peer).
    pub refused: u64,
    /// Messages given up, by reason (`queue_full`, `at_exit`).
    pub dropped: BTreeMap<&'static str, u64>,
    /// Messages written to the spill file, or to standard error, because the client was closed before they could go.
    pub spilled: u64,
    /// Messages waiting or on their way.
    pub queued: u64,
    /// How often a batch was tried again.
    pub retries: u64,
    /// The last thing that went wrong.
    pub last_error: Option<String>,
}

impl Stats {
    pub(crate) fn read(counters: &Counters, senders: Vec<SenderStats>) -> Self {
        let get = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        let dropped = reasons([("ring_full", get(&counters.ring_full)), ("too_large", get(&counters.aside_full))]);
        Stats { taken: get(&counters.taken), dropped, senders }
    }

    /// All messages that are gone for good, over all senders.
    pub fn lost(&self) -> u64 {
        let here: u64 = self.dropped.values().sum();
        here + self.senders.iter().map(|sender| sender.refused + sender.dropped.values().sum::<u64>()).sum::<u64>()
    }

    /// Messages waiting or on their way, over all senders.
    pub fn queued(&self) -> u64 {
        self.senders.iter().map(|sender| sender.queued).sum()
    }
}

/// What `flush` or `shutdown` achieved.
#[derive(Debug, Clone, PartialEq, Eq)]
#[must_use]
pub struct Report {
    /// Whether everything called before it has left, or is accounted for as filtered.
    pub complete: bool,
    /// The accounts afterwards.
    pub stats: Stats,
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(if self.complete { "all sent" } else { "not all sent" })?;
        for (reason, count) in &self.stats.dropped {
            write!(f, "; {count} dropped ({reason})")?;
        }
        for sender in &self.stats.senders {
            write!(f, "; {}: {} sent", sender.name, sender.sent)?;
            let rest = [("queued", sender.queued), ("refused", sender.refused), ("spilled", sender.spilled)];
            let dropped = sender.dropped.iter().map(|(reason, count)| (*reason, *count));
            for (what, count) in rest.into_iter().chain(dropped).filter(|(_, count)| *count > 0) {
                write!(f, ", {count} {what}")?;
            }
            if let Some(error) = &sender.last_error {
                write!(f, ", last error: {error}")?;
            }
        }
        Ok(())
    }
}
