//! How many messages a second the store takes: with and without the index of words, with ids and traces, in batches as
//! the router makes them. `cargo run --release -p metlog-store --example load [messages] [batch] [folder]`
//!
//! CPU is all of the process, the building of batches left out.

use metlog_message::message::Origin;
use metlog_message::{Lines, Message, Severity, Timestamp, wire};
use metlog_pipeline::registry::Configured;
use metlog_pipeline::{Endpoint, Picked};
use metlog_query::{Narrow, Order, Scan, Store};
use metlog_settings::Size;
use metlog_store::{Config, Messages, StoreEndpoint};
use std::ops::ControlFlow;
use std::path::Path;
use std::time::{Duration, Instant};

const VERBS: [&str; 8] = ["served", "queued", "rejected", "retried", "cached", "expired", "written", "forwarded"];

struct Source {
    random: u64,
    next: u64,
    time: i64,
    ids: bool,
    /// How far each client has counted.
    clients: [u64; 20],
}

impl Source {
    fn random(&mut self, below: u64) -> u64 {
        self.random ^= self.random << 13;
        self.random ^= self.random >> 7;
        self.random ^= self.random << 17;
        self.random % below
    }

    /// A message of some 300 bytes.
    fn message(&mut self, out: &mut Vec<u8>) {
        let verb = VERBS[self.random(8) as usize];
        let (next, user, worker) = (self.next, self.random(50_000), self.random(32));
        let (took, item) = (self.random(900), self.random(10_000));
        let text =
            format!("request {next} of user {user} {verb} by worker {worker} in {took} ms, path /api/v1/items/{item}");
        let mut message = Message::new(["log", "log", "log", "log", "counter", "timer"][self.random(6) as usize])
            .payload(text)
            .severity(Severity::from_number([6, 6, 6, 6, 6, 6, 7, 5, 4, 3][self.random(10) as usize]).expect("0 to 7"))
            .logger(format!("service-{}", self.random(20)))
            .field("user", self.random(50_000))
            .field("method", "GET");
        if self.ids {
            message = message
                .field("id", format!("{next:012x}{:012x}", self.random(1 << 48)))
                .field("trace_id", format!("{:016x}", self.random(1 << 62)));
        }
        self.time += 10_000 + self.random(10_000) as i64;
        // Of some clients, which do not take turns.
        message.timestamp = Timestamp::from_nanos(self.time - self.random(3_000_000) as i64);
        let client = self.random(20) as usize;
        self.clients[client] += 1;
        message.origin = Some(Origin { client: format!("00000000c0ffee{client:02}"), seq: self.clients[client] });
        message.hostname = Some("node-17.example.net".to_owned());
        message.pid = Some(4711);
        wire::write(out, &message);
    }

    fn batch(&mut self, size: usize) -> (Lines, Vec<u64>) {
        let mut lines = Lines::with_capacity(size * 350);
        let mut ids = Vec::with_capacity(size);
        for _ in 0..size {
            lines.push_with(|out| self.message(out));
            ids.push(self.next);
            self.next += 1;
        }
        (lines, ids)
    }
}

/// Of this process and its threads, user and system.
fn cpu() -> Duration {
    let stat = std::fs::read_to_string("/proc/self/stat").unwrap_or_default();
    let numbers: Vec<i64> =
        stat.rsplit(')').next().unwrap_or_default().split_whitespace().filter_map(|part| part.parse().ok()).collect();
    // utime and stime, in hundredths of a second. What stands before them are a letter and ten numbers.
    Duration::from_millis(10 * numbers.get(10..12).map_or(0, |both| both.iter().sum::<i64>()).cast_unsigned())
}

/// What it takes to find the first hundred, and all.
fn ask(config: &Config) {
    let store = Messages::open(config.clone()).expect("nothing is opened yet");
    let word = |text: &str, begins| Narrow { words: vec![(text.to_owned(), begins)], ..Narrow::default() };
    let logger = Narrow { loggers: vec!["service-7".to_owned()], ..Narrow::default() };
    let severe = Narrow { severity_max: Some(3), ..Narrow::default() };
    let both = Narrow { severity_max: Some(3), types: vec!["timer".to_owned()], ..logger.clone() };
    for (name, narrow) in [
        ("anything", Narrow::default()),
        ("one of 20 loggers", logger),
        ("severity 3", severe),
        ("severity, type and logger", both),
        ("a rare word", word("12345", false)),
        ("a frequent word", word("served", false)),
        ("a rare word's beginning", word("1234", true)),
    ] {
        let mut took = Vec::new();
        for most in [100, usize::MAX] {
            let mut rows = 0;
            let began = Instant::now();
            let narrow = Narrow { exact: most > 100, ..narrow.clone() };
            let deadline = began + Duration::from_secs(60);
            let scan = Scan { narrow, order: Order::NewestFirst, after: None, deadline: deadline.into() };
            let end = store.scan(&scan, &mut |_| {
                rows += 1;
                if rows >= most { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
            });
            end.expect("answered");
            took.push(format!("{rows} rows in {:.1} ms", began.elapsed().as_secs_f64() * 1e3));
        }
        println!("  {name:<26} {}", took.join(", "));
    }
    let began = Instant::now();
    let copy = store.backup("load").expect("copied");
    println!("  backup of {} MB in {:.1} s", copy.bytes / 1_000_000, began.elapsed().as_secs_f64());
    let copy = Path::new(&copy.path);
    let _ = std::fs::remove_file(copy);
    let _ = copy.parent().map(std::fs::remove_dir);
}

fn run(name: &str, folder: &Path, full_text: bool, ids: bool, messages: usize, batch: usize) {
    let path = folder.join(format!("load-{}-{name}.db", std::process::id()));
    // So much that most of what is written takes the place of something else.
    let max_bytes = Size(if name.ends_with("-full") { (messages * 100) as u64 } else { 0 });
    let config = Config { full_text, max_bytes, ..Config::at(&path) };
    let mut endpoint = StoreEndpoint::open(config.clone()).expect("a folder that can be written");
    let mut source =
        Source { random: 88_172_645_463_325_252, next: 1, time: 1_780_000_000_000_000_000, ids, clients: [0; 20] };
    let (mut wall, mut used, mut longest, mut bytes) = (Duration::ZERO, Duration::ZERO, Duration::ZERO, 0);
    let mut rounds = 0;
    let mut ticked = Duration::ZERO;
    while rounds * batch < messages {
        // Several batches between two looks at a clock that counts hundredths.
        let batches: Vec<_> = (0..20).map(|_| source.batch(batch)).collect();
        bytes += batches.iter().map(|(lines, _)| lines.bytes().len()).sum::<usize>();
        let before = cpu();
        for (lines, ids) in &batches {
            let began = Instant::now();
            endpoint.write(&Picked::new(lines, ids)).expect("written");
            if wall - ticked > Duration::from_millis(500) {
                ticked = wall;
                endpoint.tick().expect("nothing to say");
            }
            longest = longest.max(began.elapsed());
            wall += began.elapsed();
        }
        used += cpu() - before;
        rounds += batches.len();
    }
    let total = (rounds * batch) as f64;
    if name == "words" {
        ask(&config);
    }
    let before = (cpu(), Instant::now());
    endpoint.close(Duration::from_secs(10)).expect("closed");
    used += cpu() - before.0;
    wall += before.1.elapsed();
    let file = std::fs::metadata(&path).map_or(0, |file| file.len());
    println!(
        "{name:<16} {:>9.0} /s {:>9.0} /s of CPU, {:.2} us CPU each, batches {batch}, longest {:>4.0} ms, {:.0} bytes each, {:.0} in the file",
        total / wall.as_secs_f64(),
        total / used.as_secs_f64(),
        used.as_secs_f64() * 1e6 / total,
        longest.as_secs_f64() * 1e3,
        bytes as f64 / total,
        file as f64 / total,
    );
    for ending in ["", "-wal", "-shm"] {
        let mut name = path.as_os_str().to_owned();
        name.push(ending);
        let _ = std::fs::remove_file(name);
    }
}

fn main() {
    let mut arguments = std::env::args().skip(1);
    let messages = arguments.next().and_then(|text| text.parse().ok()).unwrap_or(1_000_000);
    let batch = arguments.next().and_then(|text| text.parse().ok()).unwrap_or(5000);
    let folder = arguments.next().map_or_else(std::env::temp_dir, Into::into);
    let only = arguments.next();
    let kinds = [
        ("words", true, false),
        ("no-words", false, false),
        ("words-ids", true, true),
        ("no-words-ids", false, true),
        ("words-full", true, false),
        ("no-words-full", false, false),
    ];
    for (name, full_text, ids) in kinds {
        if only.as_ref().is_none_or(|only| only == name) {
            run(name, &folder, full_text, ids, messages, batch);
        }
    }
}
