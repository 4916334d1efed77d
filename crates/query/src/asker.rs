//! Who asks, and until when: work for somebody who has left is for nobody.

use crate::store::{Backup, Change, End, Row, Scan, Size, Store, Trouble};
use std::ops::ControlFlow;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::time::{Duration, Instant};

/// Whoever sleeps looks this often whether the asker is still there.
const LOOK: Duration = Duration::from_millis(100);

/// Until when an answer is waited for: a moment, or before it when the asker leaves.
#[derive(Debug, Clone)]
pub struct Deadline {
    at: Instant,
    left: Option<Arc<AtomicBool>>,
}

impl From<Instant> for Deadline {
    fn from(at: Instant) -> Self {
        Deadline { at, left: None }
    }
}

impl From<&Deadline> for Deadline {
    fn from(deadline: &Deadline) -> Self {
        deadline.clone()
    }
}

impl Deadline {
    /// Whether there is nothing to be done any more. Reads the clock.
    pub fn is_over(&self) -> bool {
        self.has_left() || Instant::now() >= self.at
    }

    /// Whether the asker has left.
    pub fn has_left(&self) -> bool {
        self.left.as_ref().is_some_and(|left| left.load(Relaxed))
    }

    /// The moment at the latest.
    pub fn at(&self) -> Instant {
        self.at
    }

    /// How long somebody who works for this may sleep before looking again; nothing if it is over.
    pub fn nap(&self) -> Duration {
        let time = self.at.saturating_duration_since(Instant::now());
        match &self.left {
            Some(left) if left.load(Relaxed) => Duration::ZERO,
            Some(_) => time.min(LOOK),
            None => time,
        }
    }
}

/// Somebody who waits for answers. Dropping it is leaving.
#[derive(Debug, Default)]
#[must_use = "who is dropped has left, and gets no answer"]
pub struct Asker(Arc<AtomicBool>);

impl Asker {
    /// Until this moment, or for as long as it is there.
    pub fn until(&self, at: Instant) -> Deadline {
        Deadline { at, left: Some(self.0.clone()) }
    }
}

impl Drop for Asker {
    fn drop(&mut self) {
        self.0.store(true, Relaxed);
    }
}

/// A store for as long as its asker is there: scans then end, even those that find nothing. Changes are made whole; one of
/// many batches finds no more to change.
pub struct Lent {
    store: Arc<dyn Store>,
    left: Arc<AtomicBool>,
}

impl Lent {
    /// This store, for somebody.
    pub fn new(store: Arc<dyn Store>) -> (Asker, Lent) {
        let asker = Asker::default();
        let left = asker.0.clone();
        (asker, Lent { store, left })
    }
}

impl Store for Lent {
    fn scan(&self, scan: &Scan, each: &mut dyn FnMut(&Row<'_>) -> ControlFlow<()>) -> Result<End, Trouble> {
        let deadline = Deadline { at: scan.deadline.at, left: Some(self.left.clone()) };
        let scan = Scan { deadline, ..scan.clone() };
        // Stores look between rows; how long one row takes is our affair.
        let mut each = |row: &Row<'_>| if self.left.load(Relaxed) { ControlFlow::Break(()) } else { each(row) };
        let end = self.store.scan(&scan, &mut each)?;
        // What follows is for nobody, and must not begin again.
        if self.left.load(Relaxed) { Err(Trouble::Away("nobody waits any more".to_owned())) } else { Ok(end) }
    }

    fn change(&self, change: Change, positions: &[u64]) -> Result<u64, Trouble> {
        self.store.change(change, positions)
    }

    fn size(&self) -> Result<Size, Trouble> {
        self.store.size()
    }

    fn backup(&self, note: &str) -> Result<Backup, Trouble> {
        self.store.backup(note)
    }

    fn backups(&self) -> Result<Vec<Backup>, Trouble> {
        self.store.backups()
    }
}
