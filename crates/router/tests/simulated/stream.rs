//! The stream that the fleet shares, as NATS JetStream behaves: a work queue that recognises ids for a while, and one
//! durable consumer from which any number of routers pull.

use super::{Id, Micros, SECOND};
use std::collections::{BTreeMap, BTreeSet, VecDeque};

/// So long an id is remembered: JetStream's own default.
const DUPLICATE_WINDOW: Micros = 120 * SECOND;
/// What is not acknowledged so long goes to somebody else.
pub const ACK_WAIT: Micros = 30 * SECOND;
/// Unacknowledged messages of all routers together.
const MAX_ACK_PENDING: usize = 3000;

/// A message on its way to a router: its number in the stream, and whose it is.
pub type Given = (u64, Id);

/// Who pulls: which router, and which of its connections.
pub type Puller = (usize, u64);

/// Stream and consumer.
#[derive(Default)]
pub struct Stream {
    pub down: bool,
    /// What is kept: a message goes when it is acknowledged.
    log: BTreeMap<u64, Id>,
    last: u64,
    ids: BTreeMap<Id, Micros>,
    /// The first message nobody has been given yet.
    fresh: u64,
    /// Given and not acknowledged, until when.
    pending: BTreeMap<u64, Micros>,
    /// To be given once more, before anything new.
    again: BTreeSet<u64>,
    waiting: VecDeque<(Puller, usize)>,
    /// How often a message was given once more.
    pub redelivered: u64,
    /// Publications whose id was known.
    pub recognised: u64,
}

impl Stream {
    /// Takes a message, unless its id is known; confirmed in either case.
    pub fn publish(&mut self, id: Id, now: Micros) {
        if self.ids.contains_key(&id) {
            self.recognised += 1;
            return;
        }
        self.ids.insert(id, now);
        self.last += 1;
        self.log.insert(self.last, id);
    }

    /// A router asks for so many messages. One connection has one request.
    pub fn pull(&mut self, who: Puller, batch: usize) {
        self.waiting.retain(|(puller, _)| *puller != who);
        self.waiting.push_back((who, batch));
    }

    /// A connection is known to be gone, and its request with it. What it was given stays pending.
    pub fn leave(&mut self, member: usize) {
        self.waiting.retain(|((puller, _), _)| *puller != member);
    }

    /// The server ends. Its files are kept, connections and requests are not.
    pub fn stop(&mut self) {
        self.down = true;
        self.waiting.clear();
    }

    /// Taken for good.
    pub fn acknowledge(&mut self, number: u64) {
        self.log.remove(&number);
        self.pending.remove(&number);
        self.again.remove(&number);
    }

    /// Somebody is still at it.
    pub fn at_work(&mut self, number: u64, now: Micros) {
        if let Some(until) = self.pending.get_mut(&number) {
            *until = now + ACK_WAIT;
        }
    }

    /// Hands out what there is, a message to each request in turn, as the server does.
    pub fn serve(&mut self, now: Micros) -> BTreeMap<Puller, Vec<Given>> {
        let mut given: BTreeMap<Puller, Vec<Given>> = BTreeMap::new();
        while !self.down && self.pending.len() < MAX_ACK_PENDING && !self.waiting.is_empty() {
            let number = match self.again.pop_first() {
                Some(number) => {
                    self.redelivered += 1;
                    number
                }
                None => match self.log.range(self.fresh..).next() {
                    Some((number, _)) => {
                        self.fresh = number + 1;
                        *number
                    }
                    None => break,
                },
            };
            let Some(id) = self.log.get(&number) else { continue };
            let Some((who, left)) = self.waiting.pop_front() else { break };
            self.pending.insert(number, now + ACK_WAIT);
            given.entry(who).or_default().push((number, *id));
            if left > 1 {
                self.waiting.push_back((who, left - 1));
            }
        }
        given
    }

    /// What time has brought about.
    pub fn tick(&mut self, now: Micros) {
        let late: Vec<u64> =
            self.pending.iter().filter(|(_, until)| **until <= now).map(|(number, _)| *number).collect();
        for number in late {
            self.pending.remove(&number);
            self.again.insert(number);
        }
        self.ids.retain(|_, at| *at + DUPLICATE_WINDOW > now);
    }

    /// Messages it holds.
    pub fn len(&self) -> usize {
        self.log.len()
    }
}
