//! Pages, cursors, and changes to all that is meant.

use metlog_message::{Message, Timestamp, wire};
use metlog_query::change::{Changed, change_all};
use metlog_query::expr::Expr;
use metlog_query::memory::Memory;
use metlog_query::page::{MOST_BYTES, find};
use metlog_query::{Backup, Change, Cursor, End, Order, Row, Scan, Size, Store, Trouble};
use proptest::prelude::*;
use std::ops::ControlFlow;
use std::time::{Duration, Instant};

fn soon() -> Instant {
    Instant::now() + Duration::from_secs(60)
}

fn keep(count: u64, payload: &str) -> Memory {
    let store = Memory::new();
    for position in 0..count {
        let mut raw = Vec::new();
        wire::write(&mut raw, &Message::new("t").payload(payload));
        store.write([(position, raw.as_slice())]);
    }
    store
}

#[test]
fn a_page_that_is_full_by_chance_promises_no_other() {
    let store = keep(20, "");
    for (limit, more) in [(19, true), (20, false), (21, false)] {
        let page = find(&store, &Expr::EVERYTHING, Order::NewestFirst, None, limit, soon()).unwrap();
        assert_eq!((page.messages.len(), page.next.is_some()), (limit.min(20), more));
    }
}

#[test]
fn a_page_ends_before_it_takes_too_much_memory() {
    let store = keep(40, &"x".repeat(900_000));
    let (mut after, mut found, mut pages) = (None, 0, 0);
    loop {
        let page = find(&store, &Expr::EVERYTHING, Order::OldestFirst, after, 1000, soon()).unwrap();
        assert!(page.messages.iter().map(|found| found.raw.len()).sum::<usize>() <= MOST_BYTES);
        (found, pages) = (found + page.messages.len(), pages + 1);
        match page.next {
            Some(next) => after = Some(next),
            None => break,
        }
    }
    assert_eq!((found, pages), (40, 3));
}

/// Has time for a hundred rows only, every time it is asked.
struct Slow(Memory);

impl Store for Slow {
    fn scan(&self, scan: &Scan, each: &mut dyn FnMut(&Row<'_>) -> ControlFlow<()>) -> Result<End, Trouble> {
        let mut left = 100;
        let end = self.0.scan(scan, &mut |row| {
            if left == 0 {
                return ControlFlow::Break(());
            }
            left -= 1;
            each(row)
        })?;
        Ok(if left == 0 { End::Late } else { end })
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

#[test]
fn late_pages_together_are_all() {
    let store = Slow(keep(450, ""));
    // Nothing is found on most pages, and yet each goes on where the one before has been.
    for (query, expected) in [(Expr::EVERYTHING, 450), (Expr::any_of([Expr::Position(7), Expr::Position(430)]), 2)] {
        let query = Expr::any_of([query, Expr::Id("none".to_owned())]);
        let (mut after, mut found, mut late) = (None, 0, 0);
        loop {
            let page = find(&store, &query, Order::NewestFirst, after, 1000, soon()).unwrap();
            found += page.messages.len();
            late += u32::from(page.partial);
            assert_eq!(page.partial, page.next.is_some());
            match page.next {
                Some(next) => after = Some(next),
                None => break,
            }
        }
        assert_eq!((found, late), (expected, 4));
    }
    assert_eq!(
        change_all(&store, &Expr::EVERYTHING, Change::Delete, 1000, soon()),
        Ok(Changed { changed: 100, done: false })
    );
}

proptest! {
    #[test]
    fn cursors_read_what_they_write(nanos in any::<i64>(), position in any::<u64>(), newest in any::<bool>(), at in 0_usize..42, to in "[0-9a-zA-Zé]") {
        let order = |newest| if newest { Order::NewestFirst } else { Order::OldestFirst };
        let cursor = Cursor { timestamp: Timestamp::from_nanos(nanos), position };
        let text = cursor.to_text(order(newest));
        prop_assert_eq!(Cursor::parse(&text, order(newest)), Ok(cursor));
        let other = Cursor::parse(&text, order(!newest)).unwrap_err();
        prop_assert!(other.contains("the other order"), "{}", other);
        let mut touched = text.clone();
        touched.replace_range(at..=at, &to);
        prop_assert!(touched == text || Cursor::parse(&touched, order(newest)).is_err());
    }
}

#[test]
fn what_is_no_cursor_is_refused() {
    for text in ["", "x", &"0".repeat(42), &"é".repeat(21), &"0".repeat(10_000)] {
        assert!(Cursor::parse(text, Order::NewestFirst).unwrap_err().contains("not one of ours"), "{text}");
    }
}

#[test]
fn changes_go_on_where_they_stopped() {
    let store = keep(2500, "");
    let change = |change, limit| change_all(&store, &Expr::EVERYTHING, change, limit, soon()).unwrap();
    assert_eq!(change(Change::Archive, 1500), Changed { changed: 1500, done: false });
    assert_eq!(change(Change::Archive, u64::MAX), Changed { changed: 1000, done: true });
    assert_eq!(change(Change::Archive, u64::MAX), Changed { changed: 0, done: true });
    assert_eq!(change(Change::Restore, 10), Changed { changed: 10, done: false });
    assert_eq!(store.size().unwrap().archived, 2490);
    assert_eq!(change(Change::Delete, 0), Changed { changed: 0, done: false });
    assert_eq!(change(Change::Delete, 2500), Changed { changed: 2500, done: true });
    let late = change_all(&keep(10, ""), &Expr::EVERYTHING, Change::Delete, 5, Instant::now()).unwrap();
    assert_eq!(late, Changed { changed: 0, done: false });
}
