//! The contract that every store passes. A store's test calls it:
//!
//! ```no_run
//! # use metlog_query::memory::Memory;
//! use metlog_query::suite::{TestStore, contract};
//!
//! impl TestStore for MyStore {
//!     fn write(&self, batch: &[(u64, Vec<u8>)]) {
//!         // As its endpoint would be given them; when this returns, they can be found.
//! #       self.0.write(batch.iter().map(|(position, raw)| (*position, raw.as_slice())));
//!     }
//! }
//!
//! contract(|| Box::new(MyStore::empty()));
//! # struct MyStore(Memory);
//! # impl MyStore { fn empty() -> Self { MyStore(Memory::new()) } }
//! # use metlog_query::*;
//! # impl Store for MyStore {
//! #     fn scan(&self, scan: &Scan, each: &mut dyn FnMut(&Row<'_>) -> std::ops::ControlFlow<()>) -> Result<End, Trouble> { self.0.scan(scan, each) }
//! #     fn change(&self, change: Change, positions: &[u64]) -> Result<u64, Trouble> { self.0.change(change, positions) }
//! #     fn size(&self) -> Result<Size, Trouble> { self.0.size() }
//! #     fn backup(&self, note: &str) -> Result<Backup, Trouble> { self.0.backup(note) }
//! #     fn backups(&self) -> Result<Vec<Backup>, Trouble> { self.0.backups() }
//! # }
//! ```
//!
//! Everything it writes is younger than three days and expires after years, so a store may have its retention on. It
//! panics at the first clause that is not kept, and says which.

mod invented;

use crate::asker::Asker;
use crate::change::{Changed, change_all};
use crate::expr::{Expr, Test};
use crate::facts::Facts;
use crate::literal::Literal;
use crate::page::{find, visit};
use crate::path::Path;
use crate::store::{Change, Cursor, End, Narrow, Order, Row, Scan, Store};
use crate::tally::{By, Wanted, tally};
use crate::view::document;
use crate::words::Phrase;
use fastrand::Rng;
use invented::{TYPES, message, query};
use metlog_message::message::Origin;
use metlog_message::{Message, Timestamp, Value, wire};
use std::collections::{BTreeMap, BTreeSet};
use std::ops::ControlFlow;
use std::sync::atomic::{AtomicBool, Ordering as Memory};
use std::time::{Duration, Instant};

/// A store that the contract can fill.
pub trait TestStore: Store {
    /// Writes messages at these positions, and returns once they can be found. What is written a second time, at its
    /// position or at another one, is there once.
    fn write(&self, batch: &[(u64, Vec<u8>)]);
}

impl TestStore for crate::memory::Memory {
    fn write(&self, batch: &[(u64, Vec<u8>)]) {
        Self::write(self, batch.iter().map(|(position, raw)| (*position, raw.as_slice())));
    }
}

const SECOND: i64 = 1_000_000_000;
const PATIENCE: Duration = Duration::from_secs(60);

/// Checks every clause, each with an empty store of its own.
///
/// # Panics
/// If the store does not keep one.
pub fn contract(mut open: impl FnMut() -> Box<dyn TestStore>) {
    an_empty_store_answers(&*open());
    let store = open();
    let kept = filled(&*store, 600, 7);
    every_row_is_as_it_was_written(&*store, &kept);
    no_bound_loses_a_message(&*store, &kept);
    pages_are_what_a_naive_scan_finds(&*store, &kept);
    tallies_are_what_a_naive_count_finds(&*store, &kept);
    time_that_is_up_is_kept_to(&*store);
    whoever_has_enough_stops(&*store, &kept);
    what_comes_twice_is_there_once(&*store, &kept);
    what_two_routers_took_is_there_once(&*open());
    odd_messages_are_kept_beside_others(&*open());
    pages_go_on_while_messages_come(&*open());
    pages_go_on_while_another_thread_writes(&*open());
    changes_reach_what_is_meant(&*open());
    changes_keep_to_their_limit(&*open());
}

/// What has been written, as the contract remembers it.
struct Kept(BTreeMap<u64, (Facts, Vec<u8>, bool)>);

impl Kept {
    fn add(&mut self, batch: &[(u64, Vec<u8>)]) {
        for (position, raw) in batch {
            let facts = Facts::of(raw, true).expect("the contract writes messages");
            self.0.insert(*position, (facts, raw.clone(), false));
        }
    }

    /// The places of what is meant, in order, without any index.
    fn naive(&self, expr: &Expr, order: Order) -> Vec<Cursor> {
        self.those(order, |row, _| expr.holds(row))
    }

    fn those(&self, order: Order, meant: impl Fn(&Row<'_>, &Facts) -> bool) -> Vec<Cursor> {
        let rows = self.0.iter().filter_map(|(position, (facts, raw, archived))| {
            let row = row(*position, facts, raw, *archived);
            meant(&row, facts).then(|| row.cursor())
        });
        let mut places: Vec<Cursor> = rows.collect();
        places.sort_unstable();
        if order == Order::NewestFirst {
            places.reverse();
        }
        places
    }
}

fn row<'a>(position: u64, facts: &'a Facts, raw: &'a [u8], archived: bool) -> Row<'a> {
    Row {
        position,
        timestamp: facts.timestamp,
        severity: facts.severity,
        kind: &facts.kind,
        logger: &facts.logger,
        archived: archived.then_some(facts.timestamp),
        raw,
    }
}

fn soon() -> Instant {
    Instant::now() + PATIENCE
}

fn base() -> i64 {
    (Timestamp::now().unix_seconds() - 3 * 86_400) * SECOND
}

fn batch(rng: &mut Rng, positions: impl Iterator<Item = u64>, base: i64) -> Vec<(u64, Vec<u8>)> {
    let written = positions.map(|position| {
        let mut raw = Vec::new();
        wire::write(&mut raw, &message(rng, base));
        (position, raw)
    });
    written.collect()
}

/// Writes so many messages at positions with gaps, in batches, and archives every tenth.
fn filled(store: &dyn TestStore, count: u64, seed: u64) -> Kept {
    let mut rng = Rng::with_seed(seed);
    let base = base();
    let mut kept = Kept(BTreeMap::new());
    let mut next = 1;
    while u64::try_from(kept.0.len()).is_ok_and(|have| have < count) {
        let size = rng.u64(1..100);
        let batch = batch(&mut rng, next..next + size, base);
        store.write(&batch);
        kept.add(&batch);
        next += size + rng.u64(0..1000);
    }
    let some: Vec<u64> = kept.0.keys().copied().step_by(10).collect();
    let archived = store.change(Change::Archive, &some).expect("a store archives");
    assert_eq!(archived, u64::try_from(some.len()).unwrap_or(0), "how many were archived");
    for position in some {
        kept.0.entry(position).and_modify(|one| one.2 = true);
    }
    kept
}

fn an_empty_store_answers(store: &dyn TestStore) {
    let page = find(store, &Expr::EVERYTHING, Order::NewestFirst, None, 10, soon()).expect("an empty store is read");
    assert_eq!((page.messages.len(), page.next, page.partial), (0, None, false), "a page of an empty store");
    let size = store.size().expect("an empty store has a size");
    assert_eq!(
        (size.messages, size.archived, size.oldest, size.newest),
        (0, 0, None, None),
        "the size of an empty store"
    );
    let changed = store.change(Change::Delete, &[1, 2, u64::MAX / 2]).expect("what is not there is passed over");
    assert_eq!(changed, 0, "changes to what is not there");
}

fn every_row_is_as_it_was_written(store: &dyn TestStore, kept: &Kept) {
    for order in [Order::NewestFirst, Order::OldestFirst] {
        let mut seen = Vec::new();
        let scan = Scan { narrow: Narrow::everything(), order, after: None, deadline: soon().into() };
        let end = store.scan(&scan, &mut |row| {
            let (facts, raw, archived) = kept.0.get(&row.position).expect("a row that was never written");
            assert_eq!(row.raw, raw, "bytes change at position {}", row.position);
            let columns = (row.timestamp, row.severity, row.kind, row.logger, row.archived.is_some());
            let expected = (facts.timestamp, facts.severity, facts.kind.as_str(), facts.logger.as_str(), *archived);
            assert_eq!(columns, expected, "columns at position {}", row.position);
            seen.push(row.cursor());
            ControlFlow::Continue(())
        });
        assert_eq!(end, Ok(End::All), "a scan over all {order:?}");
        assert_eq!(seen, kept.naive(&Expr::EVERYTHING, order), "all rows, {order:?}");
    }
    let size = store.size().expect("a store has a size");
    let all = kept.naive(&Expr::EVERYTHING, Order::OldestFirst);
    let count = |number: usize| u64::try_from(number).unwrap_or(0);
    assert_eq!(size.messages, count(all.len()), "how many messages there are");
    assert_eq!(
        size.archived,
        count(kept.naive(&Expr::Archived(true), Order::OldestFirst).len()),
        "how many are archived"
    );
    let ends = (all.first().map(|first| first.timestamp), all.last().map(|last| last.timestamp));
    assert_eq!((size.oldest, size.newest), ends, "oldest and newest");
}

/// Bounds one by one, and those of queries, against what they mean.
fn no_bound_loses_a_message(store: &dyn TestStore, kept: &Kept) {
    let mut rng = Rng::with_seed(11);
    let texts = |list: &[&str]| list.iter().map(|text| (*text).to_owned()).collect::<Vec<_>>();
    let middle = kept.naive(&Expr::EVERYTHING, Order::OldestFirst);
    let middle = middle.get(middle.len() / 2).map(|cursor| cursor.timestamp);
    let word = |word: &str, open| (word.to_owned(), open);
    let everything = Narrow::everything;
    let mut bounds = vec![
        Narrow::nothing(),
        Narrow { since: middle, ..everything() },
        Narrow { until: middle, ..everything() },
        Narrow { since: middle, until: middle, ..everything() },
        Narrow {
            since: Some(Timestamp::from_nanos(i64::MIN)),
            until: Some(Timestamp::from_nanos(i64::MAX)),
            ..everything()
        },
        Narrow { severity_max: Some(3), ..everything() },
        Narrow { severity_min: Some(5), severity_max: Some(5), ..everything() },
        Narrow { types: texts(&TYPES[1..]), ..everything() },
        Narrow { loggers: texts(&["日志", "", "100%_x"]), ..everything() },
        Narrow { ids: texts(&["id-1", "Ü'2", "'; drop table x; --", "100%"]), ..everything() },
        Narrow { ids: (0..500).map(|number| format!("id-{number}")).collect(), ..everything() },
        Narrow { traces: vec![format!("{:032x}", 3)], ..everything() },
        Narrow { positions: kept.0.keys().copied().step_by(3).chain([u64::MAX / 2]).collect(), ..everything() },
        Narrow { archived: Some(true), ..everything() },
        Narrow { archived: Some(false), severity_max: Some(4), ..everything() },
        Narrow { words: vec![word("disk", false), word("full", false)], ..everything() },
        Narrow { words: vec![word("überlauf", false)], ..everything() },
        Narrow { words: vec![word("t", true), word("日", true)], ..everything() },
        Narrow { words: vec![word("nowhere", false)], ..everything() },
    ];
    bounds.extend((0..150).map(|_| query(&mut rng, 3).narrow()));
    for narrow in bounds {
        for order in [Order::NewestFirst, Order::OldestFirst] {
            let expected = kept.those(order, |row, facts| narrow.contains(row.position, facts, row.archived.is_some()));
            let mut given = Vec::new();
            let scan = Scan { narrow: narrow.clone(), order, after: None, deadline: soon().into() };
            let end = store.scan(&scan, &mut |row| {
                given.push(row.cursor());
                ControlFlow::Continue(())
            });
            assert_eq!(end, Ok(End::All), "{narrow:?}");
            let in_order = given.windows(2).all(|two| match (two, order) {
                ([one, other], Order::OldestFirst) => one < other,
                ([one, other], Order::NewestFirst) => one > other,
                _ => true,
            });
            assert!(in_order, "rows come in order, each once: {narrow:?} {order:?}");
            let given: BTreeSet<Cursor> = given.into_iter().collect();
            let lost: Vec<&Cursor> = expected.iter().filter(|cursor| !given.contains(cursor)).collect();
            assert!(lost.is_empty(), "{narrow:?} loses {lost:?}");
        }
    }
}

/// All pages of a query, one after the other.
fn pages(store: &dyn TestStore, expr: &Expr, order: Order, limit: usize, mut between: impl FnMut()) -> Vec<Cursor> {
    let (mut found, mut after) = (Vec::new(), None);
    loop {
        let page = find(store, expr, order, after, limit, soon()).expect("a store is read");
        assert!(page.messages.len() <= limit && !page.partial, "a page keeps to its limit");
        let places = page.messages.iter();
        found.extend(places.map(|found| Cursor { timestamp: found.timestamp, position: found.position }));
        let Some(next) = page.next else { return found };
        after = Some(Cursor::parse(&next.to_text(order), order).expect("a cursor reads its own text"));
        between();
    }
}

fn pages_are_what_a_naive_scan_finds(store: &dyn TestStore, kept: &Kept) {
    let mut rng = Rng::with_seed(13);
    for round in 0..150 {
        let expr = if round == 0 { Expr::EVERYTHING } else { query(&mut rng, 3) };
        let order = if rng.bool() { Order::NewestFirst } else { Order::OldestFirst };
        let limit = *rng.choice(&[1, 7, 50, 1000]).unwrap_or(&7);
        let found = pages(store, &expr, order, limit.max(kept.0.len() / 40), || {});
        assert_eq!(found, kept.naive(&expr, order), "{expr:?} {order:?} by {limit}");
    }
}

fn time_that_is_up_is_kept_to(store: &dyn TestStore) {
    let began = Instant::now();
    let page = find(store, &Expr::EVERYTHING, Order::NewestFirst, None, 1000, began).expect("a store is read");
    assert!(page.partial, "a page whose time was up says so");
    assert!(began.elapsed() < Duration::from_secs(5), "a deadline that has passed is kept to");
    let mut given = 0;
    let asker = Asker::default();
    let deadline = asker.until(soon());
    drop(asker);
    let end = store.scan(
        &Scan { narrow: Narrow::everything(), order: Order::NewestFirst, after: None, deadline },
        &mut |_| {
            given += 1;
            ControlFlow::Continue(())
        },
    );
    assert_eq!((end, given), (Ok(End::Late), 0), "nothing is given to somebody who has left");
}

fn whoever_has_enough_stops(store: &dyn TestStore, kept: &Kept) {
    let mut taken = 0;
    let scan = Scan { narrow: Narrow::everything(), order: Order::OldestFirst, after: None, deadline: soon().into() };
    let end = store.scan(&scan, &mut |_| {
        taken += 1;
        if taken == 3 { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
    });
    assert_eq!((end, taken), (Ok(End::Enough), 3), "a scan that is broken off");
    let all = visit(store, &Expr::EVERYTHING, Order::OldestFirst, None, soon(), &mut |_| ControlFlow::Continue(()));
    assert_eq!(all.map(|visit| visit.matched), Ok(u64::try_from(kept.0.len()).unwrap_or(0)), "a visit sees all");
}

fn what_comes_twice_is_there_once(store: &dyn TestStore, kept: &Kept) {
    let again: Vec<(u64, Vec<u8>)> = kept.0.iter().take(80).map(|(position, one)| (*position, one.1.clone())).collect();
    store.write(&again);
    let found = pages(store, &Expr::EVERYTHING, Order::NewestFirst, 100, || {});
    assert_eq!(found, kept.naive(&Expr::EVERYTHING, Order::NewestFirst), "after a batch was written twice");
    let archived = pages(store, &Expr::Archived(true), Order::NewestFirst, 100, || {});
    assert_eq!(archived, kept.naive(&Expr::Archived(true), Order::NewestFirst), "what is archived stays so");
}

/// A message that another router has taken as well, or the same one that had forgotten it, comes at another position.
fn what_two_routers_took_is_there_once(store: &dyn TestStore) {
    let moment = |number: i64| Timestamp::from_nanos(base() + number * 1_000_000);
    let numbered = |client: &str, seq: u64, at: i64| {
        let mut message = Message::new("log").payload("taken twice").field("n", seq);
        message.timestamp = moment(at);
        message.origin = Some(Origin { client: client.to_owned(), seq });
        message
    };
    let named = |id: &str, payload: &str| {
        let mut message = Message::new("log").payload(payload).field("id", id);
        message.timestamp = moment(1_000_000);
        message
    };
    let mut plain = Message::new("log").payload("said twice");
    plain.timestamp = moment(1_000_001);
    let line = |message: &Message| {
        let mut raw = Vec::new();
        wire::write(&mut raw, message);
        raw
    };
    let from = |position: u64, messages: &[Message]| -> Vec<(u64, Vec<u8>)> {
        (position..).zip(messages.iter().map(line)).collect()
    };
    // One client after the other, in a month that may be two, and some at the same moments.
    let first: Vec<Message> = (1..=300).map(|seq| numbered("a", seq, i64::try_from(seq).unwrap_or(0) * 300)).collect();
    let other: Vec<Message> = (1..=300).map(|seq| numbered("b", seq, i64::try_from(seq).unwrap_or(0) * 200)).collect();
    let count = |what: &str, expected: u64| {
        let found = pages(store, &Expr::EVERYTHING, Order::OldestFirst, 500, || {});
        assert_eq!(u64::try_from(found.len()), Ok(expected), "{what}");
        assert_eq!(store.size().map(|size| size.messages), Ok(expected), "{what}, by the store's own count");
    };
    store.write(&from(1, &first));
    store.write(&from(10_000, &other));
    store.write(&from(20_000, &first));
    count("as a batch, at other positions", 600);
    let mixed: Vec<Message> =
        first.iter().rev().zip(&other).flat_map(|(one, other)| [one.clone(), other.clone()]).collect();
    store.write(&from(30_000, &mixed));
    count("in another order, with those of another client between", 600);
    let new = numbered("a", 301, 100_000);
    store.write(&from(40_000, &[new.clone(), first.first().unwrap_or(&new).clone(), new.clone()]));
    count("within one batch", 601);
    store.write(&from(50_000, &[numbered("a", 302, 100_000), numbered("b", 301, 100_000), numbered("a", 1, 100_000)]));
    count("another number or client at that moment, and that number at another moment, are others", 604);
    store.write(&from(60_000, &[named("x", "paid"), named("x", "sent")]));
    store.write(&from(70_000, &[named("x", "sent"), named("x", "paid"), named("x", "lost")]));
    count("those of an id and the same bytes are the same, and of other bytes others", 607);
    store.write(&from(80_000, &[plain.clone(), plain.clone()]));
    count("who says nothing of client and id may say the same twice", 609);
    let gone = first.get(..100).unwrap_or_default();
    let positions: Vec<u64> = (1..=100).collect();
    assert_eq!(store.change(Change::Delete, &positions), Ok(100), "they are where they came first");
    store.write(&from(90_000, gone));
    count("what was deleted may come again", 609);
}

/// A message that a database may choke on must not hold up the batch it comes in. A text with a NUL may be kept in a
/// column with a replacement; the message's bytes are what they were.
fn odd_messages_are_kept_beside_others(store: &dyn TestStore) {
    let nul = "a\u{0}b";
    let words = (0..5000).map(|number| format!("w{number}")).collect::<Vec<_>>().join(" ");
    let messages = [
        Message::new("plain").logger("web").payload("needle"),
        Message::new(nul).logger(nul).payload(nul).field("id", nul).field("trace_id", nul),
        Message::new("long").logger("l".repeat(5000)).payload("x".repeat(300_000)).field("id", "i".repeat(5000)),
        Message::new("k".repeat(5000)).payload(words),
        Message::new("\u{fffd}\u{feff}\u{10ffff}").payload("\u{2028}\r\n\u{1b}[31m").field("id", "\u{1f600}"),
        Message::new("plain")
            .payload(Value::Null)
            .field("id", "")
            .field("expires_at", "never")
            .field("ttl_seconds", -5),
        Message::new("plain").payload(Value::Float(f64::MAX)).field("ttl_seconds", 1e300).field("expires_at", 12),
    ];
    let raws = messages.into_iter().enumerate().map(|(at, message)| {
        let mut raw = Vec::new();
        wire::write(&mut raw, &message);
        (u64::try_from(at).unwrap_or(0) + 5, raw)
    });
    let batch: Vec<(u64, Vec<u8>)> = raws.collect();
    store.write(&batch);
    let mut kept = Kept(BTreeMap::new());
    kept.add(&batch);
    let all = find(store, &Expr::EVERYTHING, Order::OldestFirst, None, 100, soon()).expect("a store is read");
    let found: BTreeMap<u64, Vec<u8>> = all.messages.into_iter().map(|found| (found.position, found.raw)).collect();
    assert!(found == batch.into_iter().collect(), "odd messages are kept as they came");
    let path = |text: &str| Path::new(text).unwrap_or_else(Path::itself);
    let say = |text: &str| Phrase::new(text, false).map_or(Expr::EVERYTHING, Expr::Words);
    for expr in [
        Expr::Test(path("type"), Test::Is(Literal::exact("plain"))),
        Expr::Test(path("type"), Test::Is(Literal::exact("k".repeat(5000)))),
        Expr::Test(path("type"), Test::Is(Literal::exact("\u{fffd}\u{feff}\u{10ffff}"))),
        Expr::Test(path("logger"), Test::Is(Literal::exact("l".repeat(5000)))),
        Expr::Test(path("fields.id"), Test::Is(Literal::exact(nul))),
        Expr::Id("i".repeat(5000)),
        Expr::Id("\u{1f600}".to_owned()),
        Expr::Id(String::new()),
        say("needle"),
        say(&"x".repeat(300_000)),
        say("w17"),
        say("w4999"),
    ] {
        let found = pages(store, &expr, Order::NewestFirst, 100, || {});
        assert_eq!(found, kept.naive(&expr, Order::NewestFirst), "{expr:?}");
    }
    for expr in [
        Expr::Test(path("type"), Test::Is(Literal::exact(nul))),
        Expr::Test(path("logger"), Test::Is(Literal::exact(nul))),
        Expr::Id(nul.to_owned()),
        Expr::Trace(nul.to_owned()),
    ] {
        let asked = find(store, &expr, Order::NewestFirst, None, 100, soon());
        assert!(asked.is_ok(), "a question with a NUL is answered: {asked:?}");
    }
}

/// What was there when the first page was taken is found once, whatever comes meanwhile.
fn check_going_on(kept: &Kept, order: Order, found: &[Cursor]) {
    let distinct: BTreeSet<&Cursor> = found.iter().collect();
    assert_eq!(distinct.len(), found.len(), "nothing is on two pages, {order:?}");
    let there = kept.naive(&Expr::EVERYTHING, order);
    let lost: Vec<&Cursor> = there.iter().filter(|cursor| !distinct.contains(cursor)).collect();
    assert!(lost.is_empty(), "pages lose {lost:?}, {order:?}");
}

fn pages_go_on_while_messages_come(store: &dyn TestStore) {
    let mut next = 1_000_000;
    let mut kept = filled(store, 200, 17);
    for order in [Order::NewestFirst, Order::OldestFirst] {
        let mut rng = Rng::with_seed(19);
        let mut come = Vec::new();
        let found = pages(store, &Expr::EVERYTHING, order, 40, || {
            // Not too many, or there is always another page.
            let batch = batch(&mut rng, next..next + 10, base());
            next += 10;
            store.write(&batch);
            come.extend(batch);
        });
        check_going_on(&kept, order, &found);
        kept.add(&come);
    }
}

fn pages_go_on_while_another_thread_writes(store: &dyn TestStore) {
    let kept = filled(store, 300, 23);
    let enough = AtomicBool::new(false);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            let mut rng = Rng::with_seed(29);
            for round in 0..50_u64 {
                if enough.load(Memory::Relaxed) {
                    break;
                }
                let first = 2_000_000 + round * 20;
                store.write(&batch(&mut rng, first..first + 20, base()));
            }
        });
        for order in [Order::NewestFirst, Order::OldestFirst] {
            let found = pages(store, &Expr::EVERYTHING, order, 50, || {});
            check_going_on(&kept, order, &found);
        }
        enough.store(true, Memory::Relaxed);
    });
}

fn changes_reach_what_is_meant(store: &dyn TestStore) {
    let mut kept = filled(store, 400, 31);
    let mut rng = Rng::with_seed(37);
    for _ in 0..40 {
        let expr = query(&mut rng, 2);
        let change = *rng.choice(&[Change::Archive, Change::Restore, Change::Delete]).unwrap_or(&Change::Archive);
        if change == Change::Delete && rng.bool() {
            continue;
        }
        let meant = kept.naive(&expr, Order::OldestFirst);
        let mut expected = 0;
        for cursor in meant {
            match change {
                Change::Delete => expected += u64::from(kept.0.remove(&cursor.position).is_some()),
                Change::Archive | Change::Restore => {
                    kept.0.entry(cursor.position).and_modify(|one| {
                        let wanted = change == Change::Archive;
                        expected += u64::from(one.2 != wanted);
                        one.2 = wanted;
                    });
                }
            }
        }
        let changed = change_all(store, &expr, change, u64::MAX, soon());
        assert_eq!(changed, Ok(Changed { changed: expected, done: true }), "{change:?} {expr:?}");
        if kept.0.len() < 50 {
            break;
        }
    }
    every_row_is_as_it_was_written(store, &kept);
    no_bound_loses_a_message(store, &kept);
}

fn changes_keep_to_their_limit(store: &dyn TestStore) {
    let kept = filled(store, 150, 41);
    let all = u64::try_from(kept.0.len()).unwrap_or(0);
    let some = change_all(store, &Expr::EVERYTHING, Change::Delete, 100, soon());
    assert_eq!(some, Ok(Changed { changed: 100, done: false }), "a limit is kept to");
    let rest = change_all(store, &Expr::EVERYTHING, Change::Delete, u64::MAX, soon());
    assert_eq!(rest, Ok(Changed { changed: all - 100, done: true }), "the rest");
    assert_eq!(store.size().map(|size| size.messages), Ok(0), "nothing is left");
}

fn tallies_are_what_a_naive_count_finds(store: &dyn TestStore, kept: &Kept) {
    let mut rng = Rng::with_seed(43);
    let path = |text: &str| Path::new(text).unwrap_or_else(Path::itself);
    for round in 0..40 {
        let expr = if round == 0 { Expr::EVERYTHING } else { query(&mut rng, 2) };
        let by = *rng.choice(&[By::Nothing, By::Severity, By::Kind, By::Logger]).unwrap_or(&By::Kind);
        let facets = vec![path("logger"), path("fields.user_id")];
        let wanted = Wanted {
            buckets: rng.usize(1..50),
            by,
            top: 3,
            facets,
            measures: true,
            courses: true,
            ..Wanted::default()
        };
        let tally = tally(store, &expr, &wanted, soon()).expect("a store is read");
        let meant: Vec<&(Facts, Vec<u8>, bool)> =
            kept.naive(&expr, Order::OldestFirst).iter().filter_map(|cursor| kept.0.get(&cursor.position)).collect();
        let all = u64::try_from(meant.len()).unwrap_or(0);
        assert_eq!((tally.matched, tally.partial), (all, false), "how many, {expr:?}");

        let over = &tally.over;
        let place = |timestamp: Timestamp| {
            let behind = (timestamp.nanos().max(over.since.nanos()) - over.since.nanos()) / over.width;
            usize::try_from(behind).unwrap_or(0).min(wanted.buckets - 1)
        };
        let mut naive = vec![0; wanted.buckets];
        for (facts, _, _) in &meant {
            naive[place(facts.timestamp)] += 1;
        }
        let mut counted = over.other.clone();
        for series in &over.series {
            counted.iter_mut().zip(&series.counts).for_each(|(sum, count)| *sum += count);
            let of = |facts: &Facts| match by {
                By::Nothing => String::new(),
                By::Severity => facts.severity.to_string(),
                By::Kind => facts.kind.clone(),
                By::Logger => facts.logger.clone(),
            };
            let those = meant.iter().filter(|(facts, _, _)| of(facts) == series.name).count();
            assert_eq!(series.counts.iter().sum::<u64>(), u64::try_from(those).unwrap_or(0), "{series:?} of {expr:?}");
        }
        assert_eq!(counted, naive, "counts over time, {expr:?}");
        assert!(over.series.len() <= 3 && !over.bounded, "at most the top are told apart");

        let [loggers, users] = tally.facets.as_slice() else { panic!("two facets were asked for") };
        let sum = |values: &[(String, u64)]| values.iter().map(|(_, count)| count).sum::<u64>();
        assert_eq!(sum(&loggers.values) + loggers.other + loggers.missing, all, "every message has a logger");
        for (name, count) in &loggers.values {
            let those = meant.iter().filter(|(facts, _, _)| facts.logger == *name).count();
            assert_eq!(u64::try_from(those), Ok(*count), "of logger {name:?}");
        }
        for (text, count) in &users.values {
            let those = meant.iter().filter(|(facts, raw, archived)| {
                let document = document(&row(1, facts, raw, *archived));
                let mut there = false;
                users.path.any(&document, &mut |value| {
                    let items = value.map_or(&[][..], |value| value.as_list().unwrap_or(std::slice::from_ref(value)));
                    there |= items.iter().any(|item| {
                        !matches!(item, Value::Null | Value::List(_) | Value::Map(_)) && item.to_text() == *text
                    });
                    false
                });
                there
            });
            assert_eq!(u64::try_from(those.count()), Ok(*count), "of user {text:?}, {expr:?}");
        }
        let timers: u64 = tally.timers.iter().map(|timer| timer.whole.count).sum();
        let naive = meant.iter().filter(|(facts, _, _)| facts.kind == "timer").count();
        assert_eq!(u64::try_from(naive), Ok(timers), "every timer is counted");

        // Bucket by bucket, too.
        let mut naive = vec![0; wanted.buckets];
        meant
            .iter()
            .filter(|(facts, _, _)| facts.kind == "timer")
            .for_each(|(facts, _, _)| naive[place(facts.timestamp)] += 1);
        let mut counted = vec![0; wanted.buckets];
        let slots = tally.timers.iter().flat_map(|timer| &timer.course);
        slots.for_each(|(bucket, slot)| counted[*bucket] += slot.count);
        assert_eq!((counted, tally.cut), (naive, false), "timers over time, {expr:?}");
    }
}
