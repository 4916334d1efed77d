//! The law's terms, summed: over the parts of a router, over a router's lives, over a fleet.

use crate::accounting::{EndpointLine, InputCounts};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// Kinds of transport that are told apart; what comes beyond them is counted together, as `other`.
const MOST_TRANSPORTS: usize = 64;

/// received = accepted + refused + duplicates
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct InputSums {
    /// See [`InputCounts`], as for all of these.
    pub received: u64,
    /// See above.
    pub accepted: u64,
    /// Of these.
    pub unwanted: u64,
    /// For whatever reason.
    pub refused: u64,
    /// Known already.
    pub duplicates: u64,
    /// Not part of the sum.
    pub lost: u64,
    /// Not part of it either.
    pub turned_away: u64,
    /// Of what was received.
    pub bytes: u64,
}

/// accepted = delivered + filtered + dead_lettered + dropped + unheard + buffered
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct EndpointSums {
    /// See [`EndpointLine`], as for all of these. A message counts once for each endpoint.
    pub accepted: u64,
    /// Taken away.
    pub delivered: u64,
    /// Not wanted.
    pub filtered: u64,
    /// Refused for good.
    pub dead_lettered: u64,
    /// Given up, skipped to make room, or lost to damage.
    pub dropped: u64,
    /// Waited when a router or an endpoint was last heard of, and did no longer when it was there again: they went on
    /// between its last word and its end.
    #[serde(default)]
    pub unheard: u64,
    /// Waiting.
    pub buffered: u64,
    /// Sent again; not part of the sum.
    pub redelivered: u64,
    /// Tries that failed; not part of it either.
    pub failures: u64,
}

/// What goes through one kind of transport. What one router gives to it and another takes from it counts at both.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Transport {
    /// Received by inputs of this kind.
    pub taken: u64,
    /// Delivered by endpoints of this kind.
    pub given: u64,
}

/// All of it.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Sums {
    /// Of the inputs.
    pub inputs: InputSums,
    /// Of the endpoints.
    pub endpoints: EndpointSums,
    /// By kind.
    pub transports: BTreeMap<String, Transport>,
}

fn plus<const N: usize>(sums: [&mut u64; N], more: [&mut u64; N]) {
    // What others say may be anything.
    sums.into_iter().zip(more).for_each(|(sum, more)| *sum = sum.saturating_add(*more));
}

/// The rest of a sum, as far as it can be told in 64 bits.
fn rest(whole: u64, parts: &[u64]) -> i64 {
    let rest = i128::from(whole) - parts.iter().copied().map(i128::from).sum::<i128>();
    i64::try_from(rest).unwrap_or(if rest < 0 { i64::MIN } else { i64::MAX })
}

impl InputSums {
    fn terms(&mut self) -> [&mut u64; 8] {
        let InputSums { received, accepted, unwanted, refused, duplicates, lost, turned_away, bytes } = self;
        [received, accepted, unwanted, refused, duplicates, lost, turned_away, bytes]
    }

    /// Adds others.
    pub fn add(&mut self, mut more: InputSums) {
        plus(self.terms(), more.terms());
    }

    /// The greatest of its numbers.
    pub fn most(mut self) -> u64 {
        self.terms().into_iter().map(|term| *term).max().unwrap_or_default()
    }

    /// What the law leaves over.
    pub fn unaccounted(&self) -> i64 {
        rest(self.received, &[self.accepted, self.refused, self.duplicates])
    }
}

impl From<&InputCounts> for InputSums {
    fn from(counts: &InputCounts) -> Self {
        InputSums {
            received: counts.received,
            accepted: counts.accepted,
            unwanted: counts.unwanted,
            refused: counts.refused.iter().sum(),
            duplicates: counts.duplicates,
            lost: counts.lost,
            turned_away: counts.turned_away,
            bytes: counts.bytes,
        }
    }
}

impl EndpointSums {
    fn terms(&mut self) -> [&mut u64; 9] {
        let EndpointSums {
            accepted,
            delivered,
            filtered,
            dead_lettered,
            dropped,
            unheard,
            buffered,
            redelivered,
            failures,
        } = self;
        [accepted, delivered, filtered, dead_lettered, dropped, unheard, buffered, redelivered, failures]
    }

    /// Adds others.
    pub fn add(&mut self, mut more: EndpointSums) {
        plus(self.terms(), more.terms());
    }

    /// The greatest of its numbers.
    pub fn most(mut self) -> u64 {
        self.terms().into_iter().map(|term| *term).max().unwrap_or_default()
    }

    /// What the law leaves over.
    pub fn unaccounted(&self) -> i64 {
        let EndpointSums { delivered, filtered, dead_lettered, dropped, unheard, buffered, .. } = *self;
        rest(self.accepted, &[delivered, filtered, dead_lettered, dropped, unheard, buffered])
    }

    /// These numbers once somebody has taken over, who began with so many messages that waited: what still waited is
    /// counted there from now on.
    #[must_use]
    pub fn followed(mut self, backlog: u64) -> Self {
        let over = self.buffered.min(backlog);
        self.accepted = self.accepted.saturating_sub(over);
        self.unheard = self.unheard.saturating_add(self.buffered - over);
        self.buffered = 0;
        self
    }
}

impl From<&EndpointLine> for EndpointSums {
    fn from(line: &EndpointLine) -> Self {
        EndpointSums {
            accepted: line.accepted,
            delivered: line.counts.delivered,
            filtered: line.filtered,
            dead_lettered: line.counts.dead,
            dropped: line.counts.dropped + line.skipped + line.lost,
            unheard: 0,
            buffered: line.buffered,
            redelivered: line.redelivered,
            failures: line.failures,
        }
    }
}

impl Sums {
    /// Adds others.
    pub fn add(&mut self, more: &Sums) {
        self.inputs.add(more.inputs);
        self.endpoints.add(more.endpoints);
        for (kind, more) in &more.transports {
            let sum = self.transport(kind);
            plus([&mut sum.taken, &mut sum.given], [&mut more.taken.clone(), &mut more.given.clone()]);
        }
    }

    /// The sum of a kind of transport.
    pub fn transport(&mut self, kind: &str) -> &mut Transport {
        let room = self.transports.len() < MOST_TRANSPORTS || self.transports.contains_key(kind);
        self.transports.entry(if room { kind } else { "other" }.to_owned()).or_default()
    }

    /// See [`EndpointSums::followed`].
    #[must_use]
    pub fn followed(mut self, backlog: u64) -> Self {
        self.endpoints = self.endpoints.followed(backlog);
        self
    }
}
