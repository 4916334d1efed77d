//! One of something for each value of a key, for so many values and no more.

use crate::path::Found;
use std::collections::HashMap;
use std::hash::{BuildHasher, RandomState};
use std::time::Duration;

/// Values of the key that have something of their own. Who sends chooses the values; memory must not follow.
const MAX_KEYS: usize = 10_000;

/// Between two searches for what can be forgotten, in a table that has no room: each looks at all of it.
const BETWEEN_SWEEPS: Duration = Duration::from_secs(1);

/// What can be forgotten when it has rested for long enough.
pub(crate) trait Rests: Default {
    /// Whether a new one is as good from then on, in the unit in which the table is told the time.
    fn has_rested(&self, now: u128) -> bool;
}

#[derive(Debug, Default)]
pub(crate) struct Table<B> {
    /// By hash, under a secret that is drawn anew at each start: the values themselves may be as long as messages, and
    /// nobody can choose two that share one.
    own: HashMap<u64, B>,
    hashes: RandomState,
    swept: u128,
    /// Of messages without a value.
    keyless: B,
    /// Of the values that found no room.
    rest: B,
}

impl<B: Rests> Table<B> {
    /// The one of this value; `second` is how many units a second has.
    pub(crate) fn of(&mut self, key: Option<&Found<'_>>, now: u128, second: u128) -> &mut B {
        let Some(key) = key.filter(|key| **key != Found::Null) else { return &mut self.keyless };
        let key = self.hashes.hash_one(key);
        if self.own.len() >= MAX_KEYS && !self.own.contains_key(&key) {
            if now - self.swept.min(now) < u128::from(BETWEEN_SWEEPS.as_secs()) * second {
                return &mut self.rest;
            }
            self.swept = now;
            self.own.retain(|_, one| !one.has_rested(now));
            if self.own.len() >= MAX_KEYS {
                return &mut self.rest;
            }
        }
        self.own.entry(key).or_default()
    }
}
