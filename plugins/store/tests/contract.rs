//! The contract of stores, of what is asked and what writes together.

mod support;

use metlog_query::suite::{TestStore, contract};
use metlog_query::{Backup, Change, End, Row, Scan, Size, Store, Trouble};
use metlog_store::{Config, Messages};
use std::ops::ControlFlow;
use std::sync::Mutex;
use support::{Folder, Writing};

struct Both {
    messages: Messages,
    writing: Mutex<Writing>,
    _folder: Folder,
}

impl Both {
    fn empty(full_text: bool) -> Self {
        let folder = Folder::new();
        let config = Config { full_text, ..folder.config() };
        Both { writing: Mutex::new(Writing::open(&config)), messages: support::reading(&config), _folder: folder }
    }
}

impl TestStore for Both {
    fn write(&self, batch: &[(u64, Vec<u8>)]) {
        let batch: Vec<(u64, &[u8])> = batch.iter().map(|(position, raw)| (*position, raw.as_slice())).collect();
        self.writing.lock().expect("whole").write(&batch).expect("written");
    }
}

impl Store for Both {
    fn scan(&self, scan: &Scan, each: &mut dyn FnMut(&Row<'_>) -> ControlFlow<()>) -> Result<End, Trouble> {
        self.messages.scan(scan, each)
    }
    fn change(&self, change: Change, positions: &[u64]) -> Result<u64, Trouble> {
        self.messages.change(change, positions)
    }
    fn size(&self) -> Result<Size, Trouble> {
        self.messages.size()
    }
    fn backup(&self, note: &str) -> Result<Backup, Trouble> {
        self.messages.backup(note)
    }
    fn backups(&self) -> Result<Vec<Backup>, Trouble> {
        self.messages.backups()
    }
}

#[test]
fn with_an_index_of_words() {
    contract(|| Box::new(Both::empty(true)));
}

#[test]
fn without_an_index_of_words() {
    contract(|| Box::new(Both::empty(false)));
}
