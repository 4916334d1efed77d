//! The contract of stores, kept by the one in memory.

use metlog_query::memory::Memory;
use metlog_query::suite::{TestStore, contract};
use metlog_query::{Backup, Change, End, Row, Scan, Size, Store, Trouble};
use std::ops::ControlFlow;

struct InMemory(Memory);

impl Store for InMemory {
    fn scan(&self, scan: &Scan, each: &mut dyn FnMut(&Row<'_>) -> ControlFlow<()>) -> Result<End, Trouble> {
        self.0.scan(scan, each)
    }
    fn change(&self, change: Change, positions: &[u64]) -> Result<u64, Trouble> {
        self.0.change(change, positions)
    }
    fn size(&self) -> Result<Size, Trouble> {
        self.0.size()
    }
    fn backup(&self, note: &str) -> Result<Backup, Trouble> {
        self.0.backup(note)
    }
    fn backups(&self) -> Result<Vec<Backup>, Trouble> {
        self.0.backups()
    }
}

impl TestStore for InMemory {
    fn write(&self, batch: &[(u64, Vec<u8>)]) {
        self.0.write(batch.iter().map(|(position, raw)| (*position, raw.as_slice())));
    }
}

#[test]
fn the_store_in_memory_keeps_the_contract() {
    contract(|| Box::new(InMemory(Memory::new())));
}
