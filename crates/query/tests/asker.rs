//! Whoever leaves gets no answer, and no store goes on for them.

use metlog_message::Timestamp;
use metlog_query::memory::Memory;
use metlog_query::store::Settled;
use metlog_query::{Backup, Change, Deadline, End, Expr, Order, Row, Scan, Shelf, Size, Store, Trouble, visit};
use std::ops::ControlFlow;
use std::sync::atomic::{AtomicBool, Ordering::SeqCst};
use std::sync::{Arc, mpsc};
use std::time::{Duration, Instant};

fn shelf(store: impl Store + 'static) -> Shelf {
    Shelf::new(Arc::new(store), || -> Settled { Box::pin(async { true }) })
}

fn later() -> Instant {
    Instant::now() + Duration::from_secs(600)
}

fn filled(count: u64) -> Memory {
    let memory = Memory::new();
    let lines: Vec<String> = (0..count)
        .map(|n| format!("{{\"type\":\"log\",\"timestamp\":\"{}\",\"payload\":\"\"}}", Timestamp::from_nanos(n as i64)))
        .collect();
    memory.write((0..).zip(lines.iter().map(String::as_bytes)));
    memory
}

#[test]
fn who_stays_sees_what_there_is() {
    let (_asker, store) = shelf(filled(10)).lend();
    let all = visit(&store, &Expr::EVERYTHING, Order::OldestFirst, None, later(), &mut |_| ControlFlow::Continue(()));
    assert_eq!(all.map(|visit| (visit.end, visit.scanned)), Ok((End::All, 10)));
}

#[test]
fn who_leaves_in_the_middle_is_given_no_more_and_cannot_ask_again() {
    let (asker, store) = shelf(filled(10)).lend();
    let (mut asker, mut given) = (Some(asker), 0);
    let mut ask = || {
        visit(&store, &Expr::EVERYTHING, Order::OldestFirst, None, later(), &mut |_| {
            given += 1;
            if given == 3 {
                asker.take();
            }
            ControlFlow::Continue(())
        })
    };
    assert!(matches!(ask(), Err(Trouble::Away(_))));
    assert!(matches!(ask(), Err(Trouble::Away(_))));
    assert_eq!(given, 3);
}

/// It looks for something that is not there, for as long as it may.
struct Searching(mpsc::SyncSender<()>);

impl Store for Searching {
    fn scan(&self, scan: &Scan, _: &mut dyn FnMut(&Row<'_>) -> ControlFlow<()>) -> Result<End, Trouble> {
        let _ = self.0.send(());
        while !scan.deadline.is_over() {
            std::thread::sleep(scan.deadline.nap());
        }
        Ok(End::Late)
    }

    fn change(&self, _: Change, _: &[u64]) -> Result<u64, Trouble> {
        Ok(0)
    }

    fn size(&self) -> Result<Size, Trouble> {
        Ok(Size::default())
    }

    fn backup(&self, _: &str) -> Result<Backup, Trouble> {
        Err(Trouble::Refused(String::new()))
    }

    fn backups(&self) -> Result<Vec<Backup>, Trouble> {
        Ok(Vec::new())
    }
}

#[test]
fn a_search_that_finds_nothing_ends_too() {
    let (begun, begins) = mpsc::sync_channel(0);
    let (asker, store) = shelf(Searching(begun)).lend();
    let came = AtomicBool::new(false);
    std::thread::scope(|scope| {
        let searching = scope.spawn(|| {
            visit(&store, &Expr::EVERYTHING, Order::OldestFirst, None, later(), &mut |_| {
                came.store(true, SeqCst);
                ControlFlow::Continue(())
            })
        });
        begins.recv().expect("it begins");
        let left = Instant::now();
        drop(asker);
        assert!(matches!(searching.join().expect("no panic"), Err(Trouble::Away(_))));
        assert!(left.elapsed() < Duration::from_secs(60), "{:?}", left.elapsed());
    });
    assert!(!came.load(SeqCst));
}

#[test]
fn without_an_asker_a_deadline_is_a_moment() {
    let passed = Deadline::from(Instant::now());
    assert!(passed.is_over() && !passed.has_left() && passed.nap().is_zero());
    let far = Deadline::from(later());
    assert!(!far.is_over() && far.nap() > Duration::from_secs(60), "{:?}", far.nap());
}
