//! How many messages a second `find` decides about, over a million in memory:
//! `cargo run --release -p metlog-query --example scan`

use metlog_message::{Message, Severity, Timestamp, wire};
use metlog_query::memory::Memory;
use metlog_query::tally::{By, Wanted, tally};
use metlog_query::{Order, Path, find, language};
use std::time::{Duration, Instant};

const COUNT: u64 = 1_000_000;

/// What this thread has used of a processor, where that can be told: the machine may be busy with other things.
fn used() -> Duration {
    static BEGAN: std::sync::LazyLock<Instant> = std::sync::LazyLock::new(Instant::now);
    let stat = std::fs::read_to_string("/proc/thread-self/schedstat").ok();
    let nanos = stat.as_deref().and_then(|stat| stat.split(' ').next()?.parse().ok());
    nanos.map_or_else(|| BEGAN.elapsed(), Duration::from_nanos)
}

fn main() {
    let store = Memory::new();
    let now = Timestamp::now();
    let mut raw = Vec::new();
    let began = Instant::now();
    for number in 0..COUNT {
        let mut message = Message::new(["oldstyle", "timer", "counter"][(number % 3) as usize])
            .logger(["web.api", "web.page", "db"][(number / 7 % 3) as usize])
            .severity(Severity::from_number((number % 8) as i64).unwrap_or_default())
            .payload(format!("user {number} has opened page {} in {} ms", number % 97, number % 1000))
            .field("user_id", number % 1000)
            .field("http", metlog_message::Fields::from_iter([("status", 200 + number % 300)]))
            .field("name", "page");
        message.timestamp = Timestamp::from_nanos(now.nanos() - (COUNT - number) as i64 * 1_000_000);
        message.pid = Some(4711);
        message.hostname = Some("app01".to_owned());
        raw.clear();
        wire::write(&mut raw, &message);
        store.write([(number, raw.as_slice())]);
    }
    println!("{COUNT} messages of about {} bytes, written in {:.1} s", raw.len(), began.elapsed().as_secs_f64());
    let far = || Instant::now() + Duration::from_secs(600);
    let report = |name: &str, matched: usize, scanned: u64, took: Duration| {
        let million = scanned as f64 / took.as_secs_f64() / 1e6;
        println!("{million:8.2} M/s  {name}  ({matched} found of {scanned} looked at)");
    };
    for query in [
        // None of these is narrowed by an index: each row is decided by `holds`.
        "logger:*page type:t*",
        "user_id=77",
        "http.status>=450 user_id<100",
        "payload~/page 7. in 99. ms/",
        "opened OR nothing",
        "\"page 42 in 7*\" OR user_id:nobody",
        "via:masterlog",
    ] {
        let expr = language::parse(query, now).unwrap_or_else(|mistake| panic!("{mistake}"));
        let (mut after, mut matched, mut scanned) = (None, 0, 0);
        let began = used();
        loop {
            let page =
                find(&store, &expr, Order::NewestFirst, after, 10_000, far()).unwrap_or_else(|why| panic!("{why}"));
            (matched, scanned) = (matched + page.messages.len(), scanned + page.scanned);
            match page.next {
                Some(next) => after = Some(next),
                None => break,
            }
        }
        report(query, matched, scanned, used() - began);
    }
    let everything = language::parse("", now).unwrap_or_else(|mistake| panic!("{mistake}"));
    let path = |text| Path::new(text).unwrap_or_else(|| panic!("{text}"));
    for (name, wanted) in [
        ("counts by severity", Wanted { buckets: 60, by: By::Severity, top: 8, ..Wanted::default() }),
        ("a facet of a field", Wanted { facets: vec![path("fields.user_id")], top: 10, ..Wanted::default() }),
        ("timers and counters", Wanted { measures: true, ..Wanted::default() }),
    ] {
        let began = used();
        let tally = tally(&store, &everything, &wanted, far()).unwrap_or_else(|why| panic!("{why}"));
        report(name, tally.matched as usize, tally.scanned, used() - began);
    }
}
