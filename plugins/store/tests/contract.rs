//! The contract of stores, of what is asked and what writes together.

mod support;

use metlog_message::Severity;
use metlog_query::suite::{TestStore, contract};
use metlog_query::{Asker, Backup, Change, End, Narrow, Row, Scan, Size, Store, Trouble};
use metlog_store::{Config, Messages};
use std::ops::ControlFlow;
use std::sync::Mutex;
use std::time::{Duration, Instant};
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

/// It is SQLite that looks for the next row here, and nobody else has a chance to notice.
#[test]
fn a_search_ends_when_the_asker_leaves() {
    let both = Both::empty(false);
    let mut first = support::message(0, "the only one");
    first.severity = Severity::Debug;
    {
        let mut writing = both.writing.lock().expect("whole");
        writing.write(&[(0, &support::raw(&first))]).expect("written");
        writing.fill(1..20_000, "another");
    }
    let asker = Asker::default();
    let deadline = asker.until(Instant::now() + Duration::from_secs(600));
    let narrow = Narrow { severity_min: Some(7), ..Narrow::default() };
    let scan = Scan { deadline, ..support::scan(narrow.clone()) };
    let mut asker = Some(asker);
    let mut given = 0;
    let end = both.scan(&scan, &mut |_| {
        given += 1;
        asker.take();
        ControlFlow::Continue(())
    });
    assert_eq!((end, given), (Ok(End::Late), 1), "it does not look through the rest");
    assert_eq!(support::positions(&both, narrow), [0], "the connection works for the next");
}
