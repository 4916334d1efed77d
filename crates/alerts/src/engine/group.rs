//! What is counted together.

use crate::notice::Brief;
use crate::text;
use std::time::Duration;

/// Bytes of one value of a key; what differs behind them counts as the same.
const VALUE: usize = 120;
/// The time of a rate is counted in so many parts.
const PARTS: usize = 60;

/// The values messages are counted by.
#[derive(Debug, Clone, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(super) struct Key(Vec<String>);

impl Key {
    pub(super) fn of<T: AsRef<str>>(values: impl Iterator<Item = T>) -> Self {
        Key(values.map(|value| text::start(value.as_ref(), VALUE).0.to_owned()).collect())
    }

    pub(super) fn values(&self) -> impl Iterator<Item = String> {
        self.0.iter().cloned()
    }
}

/// What is known of a group.
#[derive(Debug, Default)]
pub(super) struct Group {
    /// It is not told about before.
    pub(super) until: Duration,
    /// Messages held back.
    pub(super) held: u64,
    /// The first of them.
    pub(super) first: Option<Box<Brief>>,
    pub(super) rate: Option<Box<Rate>>,
}

impl Group {
    /// Whether anything would change if it were forgotten.
    pub(super) fn is_of_use(&mut self, now: Duration) -> bool {
        let counts = self.rate.as_mut().is_some_and(|rate| rate.sum(now) > 0);
        self.held > 0 || self.until > now || counts
    }
}

/// How many came within a time, to the sixtieth of it, in the same memory however many.
#[derive(Debug)]
pub(super) struct Rate {
    part: u128,
    /// The part the last message came in.
    at: u128,
    counts: [u64; PARTS],
    sum: u64,
}

impl Rate {
    pub(super) fn new(within: Duration) -> Self {
        Rate { part: (within.as_nanos() / PARTS as u128).max(1), at: 0, counts: [0; PARTS], sum: 0 }
    }

    /// One more; how many it are.
    pub(super) fn add(&mut self, now: Duration) -> u64 {
        self.sum(now);
        if let Some(count) = self.counts.get_mut((self.at % PARTS as u128) as usize) {
            *count += 1;
        }
        self.sum += 1;
        self.sum
    }

    /// How many there are.
    pub(super) fn sum(&mut self, now: Duration) -> u64 {
        let to = now.as_nanos() / self.part;
        for passed in self.at.saturating_add(1)..=to.min(self.at.saturating_add(PARTS as u128)) {
            if let Some(count) = self.counts.get_mut((passed % PARTS as u128) as usize) {
                self.sum -= std::mem::take(count);
            }
        }
        self.at = self.at.max(to);
        self.sum
    }

    pub(super) fn clear(&mut self) {
        self.counts = [0; PARTS];
        self.sum = 0;
    }
}
