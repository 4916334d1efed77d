//! How much of the table is in memory while it is read. A program of its own, since others' memory would be counted too.

use metlog_postgres as _;
use metlog_query::{End, Narrow, Order, Scan, StoreEntry};
use metlog_testkit::{Postgres, settings};
use std::ops::ControlFlow;
use std::time::{Duration, Instant};

const MEBIBYTE: u64 = 1 << 20;

/// Bytes of ours that are in memory.
fn resident() -> u64 {
    let text = std::fs::read_to_string("/proc/self/statm").expect("Linux");
    let pages = text.split_whitespace().nth(1).and_then(|pages| pages.parse::<u64>().ok());
    pages.expect("a number") * 4096
}

#[test]
fn large_messages_are_in_memory_one_after_another() {
    let server = Postgres::shared();
    let section = settings(&format!("url = '{}'", server.url("postgres")));
    let store = (StoreEntry::find("postgres").expect("registered").read)(&section);
    let store = store.unwrap_or_else(|problems| panic!("{problems}"))().expect("opens");
    assert_eq!(store.size().expect("counted").messages, 0);
    server.sql(
        "postgres",
        "insert into metlog_messages (position, ts, ts_nanos, severity, type, logger, words, fields, payload, raw) \
         select n, now() + n * interval '1 s', 0, 6, 't', '', '{}', '{}', '', repeat('x', 1048576) \
         from generate_series(1, 500) n",
    );
    let before = resident();
    let (mut most, mut bytes) = (0, 0);
    let deadline = Instant::now() + Duration::from_secs(60);
    let scan = Scan { narrow: Narrow::default(), order: Order::OldestFirst, after: None, deadline: deadline.into() };
    let end = store.scan(&scan, &mut |row| {
        bytes += row.raw.len() as u64;
        most = most.max(resident());
        ControlFlow::Continue(())
    });
    assert_eq!((end, bytes), (Ok(End::All), 500 * MEBIBYTE));
    let grown = most.saturating_sub(before);
    assert!(grown < 32 * MEBIBYTE, "{grown} bytes more");
}
