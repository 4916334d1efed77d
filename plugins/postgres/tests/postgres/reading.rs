//! What is found.

use crate::support::{Bed, at, found, moment, scan};
use metlog_message::{Message, Severity, Timestamp};
use metlog_query::{Asker, Change, Cursor, End, Narrow, Order, Scan, Trouble};
use metlog_testkit::sample;
use std::ops::ControlFlow;
use std::time::{Duration, Instant};

fn several() -> Bed {
    let mut bed = Bed::new();
    let message = |time: &str, severity: Severity, kind: &str, logger: &str, payload: &str| {
        let mut message = at(time).severity(severity).payload(payload).logger(logger);
        message.kind = kind.into();
        message
    };
    let batch = [
        message("2026-09-01T00:00:00Z", Severity::Error, "log", "web", "disk full on node7"),
        message("2026-10-01T00:00:00Z", Severity::Warning, "log", "web", "disk nearly full").field("id", "w1"),
        message("2026-11-01T00:00:00Z", Severity::Debug, "timer", "db", "12").field("trace_id", "t1"),
        message("2026-11-02T00:00:00.000001Z", Severity::Informational, "counter", "db", "1"),
        message("2026-11-02T00:00:00.000002Z", Severity::Notice, "log", "", "Diskette found"),
    ];
    bed.write(&batch).expect("written");
    bed
}

#[test]
fn every_bound_narrows() {
    let bed = several();
    let all = Narrow::default;
    let day = |text: &str| Some(moment(&format!("2026-{text}T00:00:00Z")));
    let texts = |texts: &[&str]| texts.iter().map(|text| (*text).to_owned()).collect::<Vec<_>>();
    let word = |word: &str, begun: bool| (word.to_owned(), begun);
    for (narrow, expected) in [
        (all(), &[1, 2, 3, 4, 5][..]),
        (Narrow { since: day("10-01"), ..all() }, &[2, 3, 4, 5]),
        (Narrow { until: day("11-01"), ..all() }, &[1, 2]),
        (Narrow { since: day("10-01"), until: day("11-01"), ..all() }, &[2]),
        (Narrow { severity_max: Some(4), ..all() }, &[1, 2]),
        (Narrow { severity_max: Some(3), ..all() }, &[1]),
        (Narrow { severity_min: Some(5), ..all() }, &[3, 4, 5]),
        (Narrow { types: texts(&["timer", "counter"]), ..all() }, &[3, 4]),
        (Narrow { loggers: texts(&["db", ""]), ..all() }, &[3, 4, 5]),
        (Narrow { ids: texts(&["w1", "w2"]), ..all() }, &[2]),
        (Narrow { traces: texts(&["t1"]), ..all() }, &[3]),
        (Narrow { positions: vec![5, 1, 77, u64::MAX], ..all() }, &[1, 5]),
        (Narrow { words: vec![word("disk", false)], ..all() }, &[1, 2]),
        (Narrow { words: vec![word("disk", true)], ..all() }, &[1, 2, 5]),
        (Narrow { words: vec![word("full", false), word("near", true)], ..all() }, &[2]),
    ] {
        assert_eq!(bed.positions(narrow.clone()), expected, "{narrow:?}");
    }
    // To the nanosecond.
    let since = Timestamp::from_nanos(moment("2026-11-02T00:00:00.000001Z").nanos() + 1);
    assert_eq!(bed.positions(Narrow { since: Some(since), ..all() }), [5]);
    assert_eq!(bed.positions(Narrow { until: Some(since), ..all() }), [1, 2, 3, 4]);
}

#[test]
fn pages_follow_each_other_over_partitions_and_equal_timestamps() {
    let mut bed = Bed::new();
    let mut batch = Vec::new();
    for number in 0..3000_i64 {
        let mut message = sample::message(number as u64);
        // Three at a time at the same nanosecond, over some four months.
        message.timestamp = Timestamp::from_nanos(1_785_000_000_000_000_000 + number / 3 * 10_000_000_000_007);
        message.origin = None;
        batch.push(message);
    }
    bed.write(&batch).expect("written");
    for order in [Order::OldestFirst, Order::NewestFirst] {
        let mut places: Vec<Cursor> = Vec::new();
        loop {
            let before = places.len();
            let page = Scan { after: places.last().copied(), ..scan(Narrow::default(), order) };
            let end = bed.store.scan(&page, &mut |row| {
                places.push(row.cursor());
                if places.len() - before == 700 { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
            });
            match end.expect("read") {
                End::Enough => assert_eq!(places.len(), before + 700),
                other => {
                    assert_eq!(other, End::All);
                    break;
                }
            }
        }
        assert_eq!(places.len(), 3000);
        let ordered = match order {
            Order::OldestFirst => places.is_sorted(),
            Order::NewestFirst => places.is_sorted_by(|a, b| a >= b),
        };
        assert!(ordered);
        places.dedup();
        assert_eq!(places.len(), 3000, "each once");
    }
}

#[test]
fn what_has_expired_is_not_found_and_goes() {
    let mut bed = Bed::new();
    let gone = at("2026-11-20T10:00:00Z").field("ttl_seconds", 1).field("id", "gone");
    let kept = at("2026-11-20T10:00:01Z").field("expires_at", "2200-01-01T00:00:00Z");
    bed.write(&[gone, kept, at("2026-11-20T10:00:02Z")]).expect("written");
    assert_eq!(bed.positions(Narrow::default()), [2, 3]);
    assert_eq!(bed.positions(Narrow { ids: vec!["gone".into()], ..Narrow::default() }), [] as [u64; 0]);
    assert_eq!(bed.sql("select count(*) from metlog_messages"), "3");
    let size = bed.store.size().expect("counted");
    assert_eq!((size.messages, size.oldest), (2, Some(moment("2026-11-20T10:00:01Z"))));
    assert_eq!(bed.store.change(Change::Archive, &[1]), Ok(0));
    bed.endpoint.tick().expect("cared for");
    assert_eq!(bed.sql("select count(*) from metlog_messages"), "2");
}

#[test]
fn messages_are_set_aside_and_brought_back_and_deleted() {
    let bed = several();
    let archived = |only: bool| bed.positions(Narrow { archived: Some(only), ..Narrow::default() });
    assert_eq!(bed.store.change(Change::Archive, &[1, 3, 99]), Ok(2));
    assert_eq!((archived(true), archived(false)), (vec![1, 3], vec![2, 4, 5]));
    assert_eq!(bed.positions(Narrow::default()).len(), 5);
    let size = bed.store.size().expect("counted");
    assert_eq!((size.messages, size.archived), (5, 2));
    assert!(size.bytes > 0);
    assert_eq!(
        size.oldest.zip(size.newest),
        Some((moment("2026-09-01T00:00:00Z"), moment("2026-11-02T00:00:00.000002Z")))
    );
    let mut since = None;
    let narrow = Narrow { positions: vec![1], ..Narrow::default() };
    let _ = bed.store.scan(&scan(narrow, Order::NewestFirst), &mut |row| {
        since = row.archived;
        ControlFlow::Continue(())
    });
    let age = Timestamp::now().unix_seconds() - since.expect("archived").unix_seconds();
    assert!((-5..60).contains(&age), "{age}");
    assert_eq!(bed.store.change(Change::Restore, &[1, 2]), Ok(1));
    assert_eq!(bed.store.change(Change::Delete, &[1, 2, u64::MAX]), Ok(2));
    assert_eq!(bed.positions(Narrow::default()), [3, 4, 5]);
}

#[test]
fn an_empty_store_is_empty_and_backups_are_for_pg_dump() {
    let bed = Bed::new();
    assert_eq!(bed.positions(Narrow::default()), [] as [u64; 0]);
    let size = bed.store.size().expect("counted");
    assert_eq!((size.messages, size.archived, size.oldest, size.newest), (0, 0, None, None));
    assert!(matches!(bed.store.backup("note"), Err(Trouble::Refused(why)) if why.contains("pg_dump")));
    assert_eq!(bed.store.backups(), Ok(Vec::new()));
}

/// A store with one connection, in which whoever looks for anything looks for this long.
fn slow(seconds: u32) -> Bed {
    let mut bed = Bed::with("readers = 1");
    bed.write(&[at("2026-11-20T10:00:00Z")]).expect("written");
    bed.sql(&format!(
        "create function slow(text) returns boolean language sql as 'select pg_sleep({seconds}) is not null'; \
         alter table metlog_messages rename to hidden; \
         create view metlog_messages as select * from hidden where slow(type)",
    ));
    bed
}

/// How many statements the server works on for that.
const RUNNING: &str = "select count(*) from pg_stat_activity where datname = current_database() \
                       and application_name = 'metlog' and state = 'active'";

fn works_again(bed: &Bed) {
    assert!(
        metlog_testkit::eventually(Duration::from_secs(30), || bed.sql(RUNNING) == "0"),
        "the server has stopped too"
    );
    bed.sql("drop view metlog_messages; alter table hidden rename to metlog_messages");
    assert_eq!(bed.positions(Narrow::default()), [1], "the only connection works again");
}

#[test]
fn a_scan_ends_with_its_deadline() {
    let bed = slow(60);
    let begun = Instant::now();
    let slow =
        Scan { deadline: (begun + Duration::from_millis(300)).into(), ..scan(Narrow::default(), Order::NewestFirst) };
    assert_eq!(bed.store.scan(&slow, &mut |_| ControlFlow::Continue(())), Ok(End::Late));
    assert!(begun.elapsed() < Duration::from_secs(5));
    works_again(&bed);
}

#[test]
fn a_scan_ends_when_its_asker_leaves() {
    let bed = slow(600);
    let asker = Asker::default();
    let deadline = asker.until(Instant::now() + Duration::from_secs(600));
    let endless = Scan { deadline, ..scan(Narrow::default(), Order::NewestFirst) };
    std::thread::scope(|scope| {
        let scanning = scope.spawn(|| bed.store.scan(&endless, &mut |_| ControlFlow::Continue(())));
        let begun = metlog_testkit::eventually(Duration::from_secs(30), || bed.sql(RUNNING) == "1");
        drop(asker);
        assert_eq!(scanning.join().expect("no panic"), Ok(End::Late));
        assert!(begun, "it had begun");
    });
    works_again(&bed);
}

#[test]
fn more_readers_than_connections_wait_for_each_other() {
    let mut bed = Bed::with("readers = 2");
    let batch: Vec<Message> = (0..500).map(sample::message).collect();
    bed.write(&batch).expect("written");
    let store = &*bed.store;
    std::thread::scope(|scope| {
        for _ in 0..8 {
            scope.spawn(|| assert_eq!(found(store, Narrow::default(), Order::OldestFirst).len(), 500));
        }
    });
    let used =
        "select count(*) from pg_stat_activity where datname = current_database() and application_name = 'metlog'";
    assert!(bed.sql(used).parse::<u32>().expect("a number") <= 3, "two readers, one writer");
}
