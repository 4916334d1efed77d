//! What these tests share: folders that go with the test, writing, and asking.
#![allow(dead_code, reason = "each test program uses its part")]

use metlog_message::{Lines, Message, Timestamp, wire};
use metlog_pipeline::registry::Configured;
use metlog_pipeline::{Endpoint, Picked, SendError};
use metlog_query::{End, Narrow, Order, Scan, Store};
use metlog_store::{Config, Messages, StoreEndpoint};
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

static FOLDERS: AtomicUsize = AtomicUsize::new(0);

/// A folder that goes with the test.
pub struct Folder(pub PathBuf);

impl Folder {
    pub fn new() -> Self {
        let number = FOLDERS.fetch_add(1, Ordering::Relaxed);
        let path = std::env::temp_dir().join(format!("metlog-store-{}-{number}", std::process::id()));
        let _ = std::fs::remove_dir_all(&path);
        std::fs::create_dir_all(&path).expect("a folder");
        Folder(path)
    }

    pub fn file(&self) -> PathBuf {
        self.0.join("data/messages.db")
    }

    pub fn config(&self) -> Config {
        Config::at(self.file())
    }

    /// Names in the folder of the file.
    pub fn names(&self) -> Vec<String> {
        let entries = std::fs::read_dir(self.0.join("data")).into_iter().flatten();
        entries.map(|entry| entry.expect("an entry").file_name().to_string_lossy().into_owned()).collect()
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

/// The endpoint.
pub struct Writing(pub StoreEndpoint);

impl Writing {
    pub fn open(config: &Config) -> Self {
        Writing(StoreEndpoint::open(config.clone()).unwrap_or_else(|why| panic!("{why}")))
    }

    pub fn write(&mut self, batch: &[(u64, &[u8])]) -> Result<(), SendError> {
        let mut lines = Lines::default();
        batch.iter().for_each(|(_, raw)| lines.push(raw));
        let ids: Vec<u64> = batch.iter().map(|(position, _)| *position).collect();
        self.0.write(&Picked::new(&lines, &ids))
    }

    /// Messages at these positions, all of one payload and a millisecond apart.
    pub fn fill(&mut self, positions: std::ops::Range<u64>, payload: &str) {
        let raws: Vec<(u64, Vec<u8>)> =
            positions.map(|position| (position, raw(&message(position, payload)))).collect();
        let batch: Vec<(u64, &[u8])> = raws.iter().map(|(position, raw)| (*position, raw.as_slice())).collect();
        self.write(&batch).expect("written");
    }
}

/// A moment not long ago.
pub fn recently() -> i64 {
    static ONCE: std::sync::OnceLock<i64> = std::sync::OnceLock::new();
    *ONCE.get_or_init(|| Timestamp::now().nanos() - 3_600_000_000_000)
}

pub fn message(position: u64, payload: &str) -> Message {
    let mut message = Message::new("log").payload(payload).logger("app");
    message.timestamp = Timestamp::from_nanos(recently() + position as i64 * 1_000_000);
    message
}

pub fn raw(message: &Message) -> Vec<u8> {
    let mut raw = Vec::new();
    wire::write(&mut raw, message);
    raw
}

pub fn reading(config: &Config) -> Messages {
    Messages::open(config.clone()).expect("nothing is opened yet")
}

pub fn scan(narrow: Narrow) -> Scan {
    Scan { narrow, order: Order::OldestFirst, after: None, deadline: (Instant::now() + Duration::from_secs(60)).into() }
}

/// Positions and bytes of what is found.
pub fn found(store: &dyn Store, narrow: Narrow) -> Vec<(u64, Vec<u8>)> {
    let mut rows = Vec::new();
    let end = store.scan(&scan(narrow), &mut |row| {
        rows.push((row.position, row.raw.to_vec()));
        ControlFlow::Continue(())
    });
    assert_eq!(end.unwrap_or_else(|why| panic!("{why}")), End::All);
    rows
}

pub fn positions(store: &dyn Store, narrow: Narrow) -> Vec<u64> {
    found(store, narrow).into_iter().map(|(position, _)| position).collect()
}

/// One word.
pub fn word(word: &str) -> Narrow {
    Narrow { words: vec![(word.to_owned(), false)], ..Narrow::default() }
}

/// What SQLite says of the whole file.
pub fn is_whole(path: &Path) -> bool {
    let connection = rusqlite::Connection::open(path).expect("opens");
    let said: String = connection.query_row("PRAGMA integrity_check", [], |row| row.get(0)).expect("checked");
    said == "ok"
}
