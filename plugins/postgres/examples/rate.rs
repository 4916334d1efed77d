//! How fast the endpoint writes and the store reads, against a PostgreSQL that this program starts with the settings it
//! has by itself: `cargo run --release -p metlog-postgres --example rate [ROWS [SQL…]]`.
//! The statements are for trying out what an index costs.

use metlog_message::message::Origin;
use metlog_message::{Lines, Message, Timestamp, wire};
use metlog_pipeline::{EndpointEntry, Picked};
use metlog_postgres as _;
use metlog_query::{Narrow, Order, Scan, StoreEntry};
use metlog_testkit::{Postgres, settings};
use std::ops::ControlFlow;
use std::time::{Duration, Instant};

const WORDS: [&str; 16] = [
    "request", "took", "user", "order", "cache", "missed", "from", "node", "with", "status", "retry", "after", "queue",
    "empty", "payment", "accepted",
];

/// Time a process has spent on a processor, and its parent.
fn spent(process: &str) -> (Duration, String) {
    let stat = std::fs::read_to_string(format!("/proc/{process}/stat")).unwrap_or_default();
    let parent = stat.rsplit(')').next().and_then(|rest| rest.split_whitespace().nth(1)).unwrap_or_default();
    let ticks: u64 = stat
        .rsplit(')')
        .next()
        .into_iter()
        .flat_map(str::split_whitespace)
        .skip(11)
        .take(2)
        .map(|part| part.parse::<u64>().unwrap_or(0))
        .sum();
    (Duration::from_millis(ticks * 10), parent.to_owned())
}

/// That of all processes of a server which are there.
fn server_spent(server: &Postgres) -> Duration {
    let file = std::fs::read_to_string(server.data().join("postmaster.pid")).expect("it runs");
    let main = file.lines().next().expect("a process").to_owned();
    let processes = std::fs::read_dir("/proc").expect("Linux").flatten();
    let processes = processes.filter_map(|entry| entry.file_name().into_string().ok());
    processes.map(|name| spent(&name)).filter(|(_, parent)| *parent == main).map(|(time, _)| time).sum()
}

fn message(number: u64) -> Message {
    let word = |shift: u32| WORDS[((number.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> shift) % 16) as usize];
    let text: Vec<&str> = (8..20).map(|shift| word(shift * 3)).collect();
    let mut message = Message::new("log").payload(format!("{} {number}", text.join(" "))).logger("shop.checkout");
    message.timestamp = Timestamp::from_nanos(Timestamp::now().nanos() + number as i64);
    message.hostname = Some("app01.example".into());
    message.origin = Some(Origin { client: "00000000c0ffee00".into(), seq: number + 1 });
    message
        .field("user_id", number % 10_000)
        .field("status", "ok")
        .field("duration_ms", 12.5)
        .field("path", "/cart/items")
}

fn main() {
    let rows: u64 = std::env::args().nth(1).and_then(|rows| rows.parse().ok()).unwrap_or(400_000);
    let server = Postgres::with(&[]);
    let section = settings(&format!("url = '{}'", server.url("postgres")));
    let endpoint = (EndpointEntry::find("postgres").expect("registered").read)(&section);
    let mut endpoint = endpoint.unwrap_or_else(|problems| panic!("{problems}"))().expect("opens");
    let store = (StoreEntry::find("postgres").expect("registered").read)(&section);
    let store = store.unwrap_or_else(|problems| panic!("{problems}"))().expect("opens");
    endpoint.tick().expect("a table");
    for statement in std::env::args().skip(2) {
        server.sql("postgres", &statement);
    }
    for size in [1000_usize, 2000] {
        server.sql("postgres", "truncate metlog_messages");
        let server_before = server_spent(&server);
        let (mut bytes, mut used, mut waited) = (0, Duration::ZERO, Duration::ZERO);
        for first in (0..rows).step_by(size) {
            let mut lines = Lines::new();
            let ids: Vec<u64> = (first..rows.min(first + size as u64)).collect();
            ids.iter().for_each(|number| lines.push_with(|out| wire::write(out, &message(*number))));
            bytes += lines.bytes().len();
            let (begun, before) = (Instant::now(), spent("self").0);
            endpoint.write(&Picked::new(&lines, &ids)).expect("written");
            (used, waited) = (used + (spent("self").0 - before), waited + begun.elapsed());
        }
        println!(
            "batches of {size}: {:.0} rows/s; processor time per row {:.1} us of the server's, {:.1} us of ours; {} bytes \
             per message",
            rows as f64 / waited.as_secs_f64(),
            server_spent(&server).saturating_sub(server_before).as_secs_f64() * 1e6 / rows as f64,
            used.as_secs_f64() * 1e6 / rows as f64,
            bytes as u64 / rows,
        );
    }
    let size = store.size().expect("counted");
    println!("{} rows, {} bytes per row in the database", size.messages, size.bytes / size.messages.max(1));
    server.sql("postgres", "analyze metlog_messages");
    let words = |words: &[&str]| words.iter().map(|word| ((*word).to_owned(), false)).collect();
    for (what, narrow, most) in [
        ("a page of the newest 100", Narrow::default(), 100),
        ("100 with two frequent words", Narrow { words: words(&["payment", "accepted"]), ..Narrow::default() }, 100),
        ("one with a rare word", Narrow { words: words(&["77777"]), ..Narrow::default() }, 100),
        ("all rows", Narrow::default(), usize::MAX),
    ] {
        let begun = Instant::now();
        let mut count = 0;
        let scan = Scan {
            narrow,
            order: Order::NewestFirst,
            after: None,
            deadline: (begun + Duration::from_secs(600)).into(),
        };
        let end = store.scan(&scan, &mut |_| {
            count += 1;
            if count == most { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
        });
        println!("{what}: {count} in {:.1} ms, {:?}", begun.elapsed().as_secs_f64() * 1e3, end.expect("read"));
    }
}
