//! A store for somebody who may leave: a scan then ends at its next row.

use metlog_query::store::{Backup, Change, End, Row, Scan, Size, Store, Trouble};
use std::ops::ControlFlow;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};

/// Somebody who waits. Dropping it is leaving.
pub(super) struct Leaving(Arc<AtomicBool>);

impl Leaving {
    /// This store, for as long as somebody waits.
    pub(super) fn watch(store: Arc<dyn Store>) -> (Self, Awaited) {
        let left = Arc::new(AtomicBool::new(false));
        (Leaving(left.clone()), Awaited { store, left })
    }
}

impl Drop for Leaving {
    fn drop(&mut self) {
        self.0.store(true, Relaxed);
    }
}

pub(super) struct Awaited {
    store: Arc<dyn Store>,
    left: Arc<AtomicBool>,
}

/// Only scans end early. A change is made whole; one of many batches finds no more to change.
impl Store for Awaited {
    fn scan(&self, scan: &Scan, each: &mut dyn FnMut(&Row<'_>) -> ControlFlow<()>) -> Result<End, Trouble> {
        let mut each = |row: &Row<'_>| if self.left.load(Relaxed) { ControlFlow::Break(()) } else { each(row) };
        let end = self.store.scan(scan, &mut each)?;
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
