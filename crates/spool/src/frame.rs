//! What readers are handed, and the memory it goes back to.

use metlog_message::Batch;
use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};

/// A batch in the journal.
pub struct Frame {
    /// The id of its first message; the others follow.
    pub first_id: u64,
    /// When it was appended, in nanoseconds since 1970.
    pub received: i64,
    /// The messages.
    pub batch: Batch,
    home: Arc<Pool>,
}

impl Frame {
    pub(crate) fn new(first_id: u64, received: i64, batch: Batch, home: Arc<Pool>) -> Self {
        Frame { first_id, received, batch, home }
    }

    /// The id behind its last message.
    pub fn end(&self) -> u64 {
        self.first_id + self.batch.len() as u64
    }
}

impl fmt::Debug for Frame {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "Frame {}..{}", self.first_id, self.end())
    }
}

impl Drop for Frame {
    fn drop(&mut self) {
        self.home.give(std::mem::take(&mut self.batch));
    }
}

/// Batches nobody needs any more: a few, so that appending and reading allocate nothing.
#[derive(Default)]
pub(crate) struct Pool(Mutex<Vec<Batch>>);

const BATCHES: usize = 16;
/// A larger one was an exception, whose memory is not kept.
const LARGEST: usize = 2 << 20;

impl Pool {
    pub fn take(&self) -> Batch {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).pop().unwrap_or_default()
    }

    pub fn give(&self, mut batch: Batch) {
        let capacity = batch.lines().capacity();
        if capacity == 0 || capacity > LARGEST {
            return;
        }
        batch.clear();
        let mut batches = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if batches.len() < BATCHES {
            batches.push(batch);
        }
    }
}
