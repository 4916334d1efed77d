//! Which chunks are done: several are under way at once and end in any order, and the cursor is the lowest position not
//! yet settled.

use super::Chunk;
use crate::accounting::{EndpointAccount, EndpointCounts};
use metlog_spool::{AppendError, Disk, Fs, Reader};
use std::collections::{BTreeMap, VecDeque};
use std::time::{Duration, Instant};

/// The chunks of one endpoint.
pub struct Ledger<F: Fs = Disk> {
    cursor: Reader<F>,
    settle: Duration,
    /// Grows at every relapse: chunks of an earlier epoch are void.
    epoch: u64,
    /// The number of the next chunk, and of the lowest one not done.
    next: u64,
    lowest: u64,
    done: BTreeMap<u64, Done>,
    /// Done and in order, but the peer may yet lose them.
    settling: VecDeque<(Instant, Done)>,
    committed: u64,
}

#[derive(Debug, Clone, Copy)]
struct Done {
    upto: u64,
    verdicts: EndpointCounts,
    whole: bool,
}

impl<F: Fs> Ledger<F> {
    /// Moves this cursor, so much later than the peer has confirmed.
    pub fn new(cursor: Reader<F>, settle: Duration) -> Self {
        let committed = cursor.position();
        Ledger {
            cursor,
            settle,
            epoch: 0,
            next: 0,
            lowest: 0,
            done: BTreeMap::new(),
            settling: VecDeque::new(),
            committed,
        }
    }

    /// A chunk is under way. Chunks begin in the order of the spool.
    pub fn begin(&mut self, chunk: &mut Chunk) {
        chunk.number = self.next;
        chunk.epoch = self.epoch;
        self.next += 1;
    }

    /// A chunk is done up to a position; `whole`: to its end.
    pub fn finish(
        &mut self,
        account: &EndpointAccount,
        chunk: &Chunk,
        upto: u64,
        verdicts: EndpointCounts,
        whole: bool,
    ) {
        if chunk.epoch != self.epoch {
            // Its messages are delivered once more, and counted then.
            return;
        }
        self.done.insert(chunk.number, Done { upto, verdicts, whole });
        while let Some(done) = self.done.remove(&self.lowest) {
            // Behind a chunk that was cut short nothing may move the cursor.
            self.lowest += u64::from(done.whole);
            self.settling.push_back((Instant::now() + self.settle, done));
            if !done.whole {
                break;
            }
        }
        if self.settle.is_zero() {
            self.release(account, None);
        }
    }

    /// Moves the cursor over what has settled by this moment; `None`: over all that is done.
    pub fn release(&mut self, account: &EndpointAccount, by: Option<Instant>) {
        let mut sum = EndpointCounts::default();
        let mut upto = None;
        while let Some((_, done)) = self.settling.pop_front_if(|(at, _)| by.is_none_or(|by| *at <= by)) {
            sum.add(&done.verdicts);
            upto = Some(done.upto);
        }
        if let Some(upto) = upto {
            self.committed = upto;
            account.settle(|counts| {
                counts.add(&sum);
                self.cursor.commit(upto, sum.sum());
            });
        }
    }

    /// For at most one delivery: the cursor passes the chunk before it is written.
    ///
    /// # Errors
    /// If that cannot be brought to the disk.
    pub fn move_first(&mut self, chunk: &Chunk) -> Result<(), AppendError> {
        // With several workers a later chunk may have come first.
        let upto = self.committed.max(chunk.upto);
        self.cursor.commit_durably(upto, chunk.len() as u64)?;
        self.committed = upto;
        Ok(())
    }

    /// The peer has lost what had not settled. From where to start over, and how many messages that are.
    pub fn relapse(&mut self) -> (u64, u64) {
        let again = self
            .settling
            .drain(..)
            .chain(std::mem::take(&mut self.done).into_values().map(|done| (Instant::now(), done)));
        let again = again.map(|(_, done)| done.verdicts.delivered).sum();
        self.epoch += 1;
        self.lowest = self.next;
        (self.committed, again)
    }
}
