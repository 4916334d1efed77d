//! The account of every message.
//!
//! Per input: received = accepted + refused{reason} + duplicates. Per endpoint: accepted = delivered + filtered +
//! dead-lettered + dropped + buffered. The parts are counted where they happen, by different hands, so that a remainder
//! other than 0 means a mistake of ours.

use metlog_pipeline::{Away, Reason};
use serde::Serialize;
use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::{Mutex, MutexGuard, PoisonError};

/// What an input has seen.
#[derive(Debug, Default)]
pub struct InputAccount {
    /// Its name in the configuration.
    pub name: String,
    counts: Mutex<InputCounts>,
}

/// Numbers of an input. All of a batch are added at once, so that they always add up.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct InputCounts {
    /// Messages, or what was meant as such.
    pub received: u64,
    /// Taken; also those that no endpoint wants.
    pub accepted: u64,
    /// Of those, the ones no endpoint wants.
    pub unwanted: u64,
    /// Known already, by client and running number.
    pub duplicates: u64,
    /// Refused, by [`Reason`].
    #[serde(serialize_with = "by_reason")]
    pub refused: [u64; Reason::ALL.len()],
    /// Of those accepted, the ones that were not strictly right and were mended.
    pub mended: u64,
    /// Known to have been lost before they reached us. Not part of the sum: they were never received.
    pub lost: u64,
    /// Connections not let in, or thrown out.
    pub turned_away: u64,
    /// The same, by [`Away`].
    #[serde(serialize_with = "by_cause")]
    pub turned_away_for: [u64; Away::ALL.len()],
    /// Bytes of what was received.
    pub bytes: u64,
}

fn by_reason<S: serde::Serializer>(counts: &[u64; Reason::ALL.len()], to: S) -> Result<S::Ok, S::Error> {
    to.collect_map(Reason::ALL.iter().map(|reason| reason.name()).zip(counts))
}

/// Most of them never happen, so only what did is told.
fn by_cause<S: serde::Serializer>(counts: &[u64; Away::ALL.len()], to: S) -> Result<S::Ok, S::Error> {
    to.collect_map(Away::ALL.iter().map(|why| why.name()).zip(counts).filter(|(_, count)| **count > 0))
}

impl InputCounts {
    /// Adds one connection that was not let in.
    pub fn turn_away(&mut self, why: Away) {
        self.turned_away += 1;
        if let Some(place) = self.turned_away_for.get_mut(why as usize) {
            *place += 1;
        }
    }

    /// Adds one refusal.
    pub fn refuse(&mut self, reason: Reason, count: u64) {
        if let Some(place) = self.refused.get_mut(reason as usize) {
            *place += count;
        }
    }

    fn add(&mut self, more: &InputCounts) {
        self.received += more.received;
        self.accepted += more.accepted;
        self.unwanted += more.unwanted;
        self.duplicates += more.duplicates;
        for (sum, more) in self.refused.iter_mut().zip(more.refused) {
            *sum += more;
        }
        self.mended += more.mended;
        self.lost += more.lost;
        self.turned_away += more.turned_away;
        for (sum, more) in self.turned_away_for.iter_mut().zip(more.turned_away_for) {
            *sum += more;
        }
        self.bytes += more.bytes;
    }

    /// What the law leaves over. Anything but 0 is a mistake of ours.
    pub fn unaccounted(&self) -> i64 {
        let told = self.accepted + self.duplicates + self.refused.iter().sum::<u64>();
        self.received.wrapping_sub(told).cast_signed()
    }
}

impl InputAccount {
    /// An account with nothing in it.
    pub fn new(name: &str) -> Self {
        InputAccount { name: name.to_owned(), counts: Mutex::default() }
    }

    /// Adds a batch.
    pub fn add(&self, counts: &InputCounts) {
        self.counts.lock().unwrap_or_else(PoisonError::into_inner).add(counts);
    }

    /// The numbers now.
    pub fn counts(&self) -> InputCounts {
        *self.counts.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// What an endpoint's deliverers have done.
#[derive(Debug, Default)]
pub struct EndpointAccount {
    /// Its name in the configuration.
    pub name: String,
    /// Its slot in the spool.
    pub slot: u32,
    /// What the router had accepted, and the spool had marked for it, when this account was opened.
    pub opened: Opened,
    counts: Mutex<EndpointCounts>,
    /// Tries that failed.
    pub failures: AtomicU64,
    /// Messages sent again after a failure, since the peer may have had them already.
    pub redelivered: AtomicU64,
    /// Bytes delivered.
    pub bytes: AtomicU64,
    state: Mutex<EndpointState>,
}

/// Where an account begins.
#[derive(Debug, Default, Clone, Copy)]
pub struct Opened {
    /// Messages the router had accepted.
    pub accepted: u64,
    /// Those of them that were for the endpoint's slot.
    pub wanted: u64,
    /// Messages that were waiting for the endpoint from earlier.
    pub backlog: u64,
    /// Messages that had been skipped to make room, and lost to damage, in earlier runs.
    pub skipped: u64,
    /// See above.
    pub lost: u64,
}

impl EndpointCounts {
    /// Messages with a verdict.
    pub fn sum(&self) -> u64 {
        self.delivered + self.dead + self.dropped
    }

    /// Adds what became of more messages.
    pub fn add(&mut self, more: &EndpointCounts) {
        self.delivered += more.delivered;
        self.dead += more.dead;
        self.dropped += more.dropped;
        self.in_flight += more.in_flight;
    }
}

/// Numbers of an endpoint, which change together with its cursor.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct EndpointCounts {
    /// Taken away.
    pub delivered: u64,
    /// Refused by the endpoint for good, and kept as dead letters.
    pub dead: u64,
    /// Given up by an endpoint that promises at most one delivery.
    pub dropped: u64,
    /// Behind the cursor already and without a verdict yet, at an endpoint that promises at most one delivery.
    pub in_flight: u64,
}

/// What an endpoint is doing.
#[derive(Debug, Default, Clone, PartialEq, Eq, Serialize)]
pub struct EndpointState {
    /// In a word: `running`, `retrying`, `paused`, `stopped`.
    pub doing: Doing,
    /// The last error.
    pub error: Option<String>,
    /// When that was, in Unix milliseconds.
    pub error_at: Option<i64>,
    /// When it tries again, in Unix milliseconds.
    pub retry_at: Option<i64>,
}

/// See [`EndpointState`].
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Doing {
    /// Delivering, or waiting for messages.
    #[default]
    Running,
    /// Waiting to try again.
    Retrying,
    /// Waiting for somebody to put right what only a person can: a key, an address.
    Paused,
    /// Ended.
    Stopped,
}

impl EndpointAccount {
    /// An account with nothing in it.
    pub fn new(name: &str, slot: u32, opened: Opened) -> Self {
        EndpointAccount { name: name.to_owned(), slot, opened, ..EndpointAccount::default() }
    }

    /// Changes the numbers and the cursor as one.
    pub fn settle<T>(&self, change: impl FnOnce(&mut EndpointCounts) -> T) -> T {
        change(&mut self.lock())
    }

    /// The numbers, and what `read` sees while they stand still.
    pub fn counts<T>(&self, read: impl FnOnce() -> T) -> (EndpointCounts, T) {
        let counts = self.lock();
        (*counts, read())
    }

    fn lock(&self) -> MutexGuard<'_, EndpointCounts> {
        self.counts.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What it is doing.
    pub fn state(&self) -> EndpointState {
        self.state.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Says what it is doing from now on.
    pub fn set_state(&self, change: impl FnOnce(&mut EndpointState)) {
        change(&mut self.state.lock().unwrap_or_else(PoisonError::into_inner));
    }
}

/// The line of one endpoint in the account.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct EndpointLine {
    /// Its name.
    pub name: String,
    /// Accepted by the router since the account was opened, and what was waiting then.
    pub accepted: u64,
    /// Not wanted.
    pub filtered: u64,
    /// See [`EndpointCounts`].
    #[serde(flatten)]
    pub counts: EndpointCounts,
    /// Dropped to make room in the spool.
    pub skipped: u64,
    /// Lost to damage of the spool's files.
    pub lost: u64,
    /// Waiting.
    pub buffered: u64,
    /// Of those accepted, the ones that were waiting when the account was opened.
    #[serde(skip)]
    pub backlog: u64,
    /// See [`EndpointAccount::failures`].
    pub failures: u64,
    /// See [`EndpointAccount::redelivered`].
    pub redelivered: u64,
    /// How long the oldest message has been waiting, in milliseconds.
    pub oldest_ms: u64,
    /// What it is doing.
    #[serde(flatten)]
    pub state: EndpointState,
    /// What the law leaves over: 0.
    pub unaccounted: i64,
}

/// The whole account.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Default)]
pub struct Account {
    /// By name.
    pub inputs: BTreeMap<String, InputLine>,
    /// In the order of the configuration.
    pub endpoints: Vec<EndpointLine>,
}

/// The line of one input in the account.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct InputLine {
    /// See [`InputCounts`].
    #[serde(flatten)]
    pub counts: InputCounts,
    /// What the law leaves over: 0.
    pub unaccounted: i64,
}

impl Account {
    /// The sum of all remainders' sizes.
    pub fn unaccounted(&self) -> u64 {
        let inputs = self.inputs.values().map(|line| line.unaccounted);
        inputs.chain(self.endpoints.iter().map(|line| line.unaccounted)).map(i64::unsigned_abs).sum()
    }
}

/// A plain counter.
pub fn add(counter: &AtomicU64, count: u64) {
    counter.fetch_add(count, Relaxed);
}
