//! Frames of the spool to batches as an endpoint likes them.

use crate::forwards;
use metlog_message::{Lines, batch::bit};
use metlog_pipeline::{Pacing, Passed};
use metlog_spool::{Disk, Frame, Fs, Reader};
use std::sync::Arc;
use std::time::{Duration, Instant};

/// A frame of at least this size goes out alone, without being copied. Smaller ones are put together. Where messages wait
/// for company, company is worth more than a copy: there a frame goes out alone from a quarter of a batch on.
const ALONE: usize = 64 * 1024;

/// Messages that go to an endpoint together.
#[derive(Default)]
pub struct Chunk {
    whole: Option<Arc<Frame>>,
    lines: Lines,
    ids: Vec<u64>,
    /// Where some of them have been before.
    passed: Vec<Passed>,
    /// All ids below are dealt with once this chunk is.
    pub upto: u64,
    /// Its number in the ledger.
    pub(super) number: u64,
    pub(super) epoch: u64,
}

impl Chunk {
    /// These messages, past the ledger.
    pub(super) fn of(lines: Lines, ids: Vec<u64>) -> Self {
        Chunk { lines, ids, ..Chunk::default() }
    }

    /// The messages.
    pub fn lines(&self) -> &Lines {
        self.whole.as_ref().map_or(&self.lines, |frame| frame.batch.lines())
    }

    /// Their ids.
    pub fn ids(&self) -> &[u64] {
        &self.ids
    }

    /// Where some of them have been before.
    pub fn passed(&self) -> &[Passed] {
        &self.passed
    }

    /// How many messages.
    pub fn len(&self) -> usize {
        self.ids.len()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.ids.is_empty()
    }

    fn clear(&mut self) {
        self.whole = None;
        self.lines.clear();
        self.ids.clear();
        self.passed.clear();
    }
}

/// What gathering brought.
#[derive(Debug, PartialEq, Eq)]
pub enum Next {
    /// A chunk.
    Chunk,
    /// Nothing within the time.
    Nothing,
    /// A damaged place in the spool, which was passed over.
    Damaged(String),
}

/// An endpoint's way through the spool.
pub struct Gather<F: Fs = Disk> {
    reader: Reader<F>,
    slot: u32,
    pacing: Pacing,
    /// A frame that did not fit whole, and from where on.
    current: Option<(Arc<Frame>, usize)>,
    last: Option<Instant>,
}

impl<F: Fs> Gather<F> {
    /// From where the reader stands.
    pub fn new(reader: Reader<F>, slot: u32, pacing: Pacing) -> Self {
        Gather { reader, slot, pacing, current: None, last: None }
    }

    /// Starts over from this id.
    pub fn rewind(&mut self, to: u64) {
        self.current = None;
        self.reader.rewind(to);
    }

    /// The next chunk; waits at most this long for its first message, and then as the pacing says for company.
    pub fn next(&mut self, chunk: &mut Chunk, patience: Duration, stopping: impl Fn() -> bool) -> Next {
        chunk.clear();
        if let Some(last) = self.last.filter(|_| !self.pacing.min_interval.is_zero()) {
            let rest = (last + self.pacing.min_interval).saturating_duration_since(Instant::now());
            if !rest.is_zero() && !stopping() {
                std::thread::sleep(rest.min(patience));
                if rest > patience {
                    return Next::Nothing;
                }
            }
        }
        let until = Instant::now() + patience;
        let mut began = None;
        loop {
            match self.fill(chunk) {
                Ok(true) => break,
                Ok(false) => {}
                Err(why) if chunk.is_empty() => return Next::Damaged(why),
                Err(_) => break,
            }
            let now = Instant::now();
            let wait = if chunk.is_empty() {
                until.saturating_duration_since(now)
            } else {
                (*began.get_or_insert(now) + self.pacing.wait).saturating_duration_since(now)
            };
            if wait.is_zero() || stopping() {
                break;
            }
            self.reader.wait(wait);
        }
        if chunk.is_empty() {
            return Next::Nothing;
        }
        self.last = Some(Instant::now());
        Next::Chunk
    }

    /// Takes what there is. True: the chunk is full.
    fn fill(&mut self, chunk: &mut Chunk) -> Result<bool, String> {
        loop {
            let (frame, from) = match self.current.take() {
                Some(current) => current,
                None => {
                    let position = self.reader.position();
                    let Some(frame) = self.reader.try_next().map_err(|error| error.to_string())? else {
                        return Ok(false);
                    };
                    // The first messages of the frame may be settled already.
                    let from = usize::try_from(position.saturating_sub(frame.first_id)).unwrap_or(usize::MAX);
                    (frame, from)
                }
            };
            let batch = &frame.batch;
            let alone = if self.pacing.wait.is_zero() { ALONE } else { ALONE.max(self.pacing.bytes / 4) };
            let fits = batch.len() <= self.pacing.messages && batch.bytes() <= self.pacing.bytes.max(ALONE * 8);
            if chunk.is_empty() && from == 0 && fits && batch.bytes() >= alone && batch.wanted_whole(self.slot) {
                chunk.ids.extend(frame.first_id..frame.first_id + batch.len() as u64);
                chunk.upto = frame.first_id + batch.len() as u64;
                chunk.whole = Some(frame);
                return Ok(true);
            }
            if !self.copy(chunk, &frame, from) {
                return Ok(true);
            }
        }
    }

    /// Copies what this endpoint wants. False: the chunk is full, and the rest of the frame waits.
    fn copy(&mut self, chunk: &mut Chunk, frame: &Arc<Frame>, from: usize) -> bool {
        let bit = bit(self.slot);
        if let Some(routers) = forwards::passed(frame.batch.noted()) {
            let last = chunk.passed.last().map(|(_, routers)| routers).filter(|last| &***last == routers);
            let routers = last.cloned().unwrap_or_else(|| routers.into());
            chunk.passed.push((frame.first_id..frame.end(), routers));
        }
        for (at, wants) in frame.batch.wants().iter().enumerate().skip(from) {
            if wants & bit == 0 {
                continue;
            }
            let Some(message) = frame.batch.lines().get(at) else { break };
            let bytes = chunk.lines.bytes().len() + message.len();
            if !chunk.is_empty() && (chunk.len() >= self.pacing.messages || bytes >= self.pacing.bytes) {
                self.current = Some((frame.clone(), at));
                return false;
            }
            chunk.lines.push(message);
            chunk.ids.push(frame.first_id + at as u64);
            chunk.upto = frame.first_id + at as u64 + 1;
        }
        chunk.upto = frame.first_id + frame.batch.len() as u64;
        true
    }
}
