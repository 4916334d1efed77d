//! Setting up, setting up anew, flushing, closing, and what becomes of what is left.

mod common;

use common::{Kept, balanced, client, settle};
use metlog::{Client, Emit, Event, Fields, Filter, Lines, Message, Method, MethodError, SendError, Sender};
use metlog::{Setup, Severity, Value};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::SeqCst};
use std::time::{Duration, Instant};

fn ms(milliseconds: u64) -> Duration {
    Duration::from_millis(milliseconds)
}

fn payloads(messages: &[Message]) -> Vec<String> {
    messages.iter().map(|message| message.payload.to_text().into_owned()).collect()
}

#[test]
fn shutdown_keeps_its_deadline_when_the_peer_is_dead_and_spills() {
    let folder = folder("spill");
    let spill = folder.join("left.jsonl");
    let kept = Kept::new();
    kept.set_down(true);
    let setup = || Setup::new("spill").retry(ms(5), ms(50)).spill(&spill);
    let client = Client::open(setup().sender(kept.sender())).expect("opens");
    for number in 0..100 {
        metlog::info!(client: client, "{}", number);
    }
    let began = Instant::now();
    let report = client.shutdown(ms(300));
    assert!(began.elapsed() < ms(1500), "{:?}", began.elapsed());
    assert!(!report.complete);
    balanced(&report.stats);
    assert_eq!(report.stats.senders[0].spilled, 100, "{report}");
    assert_eq!(report.stats.senders[0].last_error.as_deref(), Some("the peer is down"));
    assert!(report.to_string().contains("100 spilled"), "{report}");
    let text = std::fs::read_to_string(&spill).expect("the spill file");
    assert_eq!(text.lines().count(), 100);

    // The next start sends them, before anything new, and removes the file.
    kept.set_down(false);
    let next = Client::open(setup().sender(kept.sender())).expect("opens");
    metlog::info!(client: next, "new");
    let deadline = Instant::now() + ms(5000);
    while kept.len() < 101 && Instant::now() < deadline {
        std::thread::sleep(ms(5));
    }
    let report = next.shutdown(ms(2000));
    assert!(report.complete, "{report}");
    balanced(&report.stats);
    let mut expected: Vec<String> = (0..100).map(|number| number.to_string()).collect();
    expected.push("new".into());
    assert_eq!(payloads(&kept.messages()), expected);
    assert!(!spill.exists());
    assert_eq!(std::fs::read_dir(&folder).expect("the folder").count(), 0, "nothing is left over");
    std::fs::remove_dir_all(folder).expect("removed");
}

/// Its peer is busy so often, and each time asks to be asked again at once.
struct Hasty(u32);

impl Sender for Hasty {
    fn send(&mut self, _: &Lines) -> Result<(), SendError> {
        if self.0 == 0 {
            return Ok(());
        }
        self.0 -= 1;
        Err(SendError::Retry { why: "busy".into(), after: Some(Duration::ZERO), done: 0 })
    }
}

#[test]
fn a_peer_that_says_at_once_is_not_asked_at_once() {
    let setup = Setup::new("hasty").retry(ms(10), ms(10)).sender(Hasty(40));
    let client = Client::open(setup).expect("opens");
    let began = Instant::now();
    metlog::info!(client: client, "one");
    let stats = settle(&client);
    assert!(began.elapsed() >= 40 * ms(10), "{:?}: not `retry_min` each time", began.elapsed());
    assert_eq!((stats.senders[0].sent, stats.senders[0].retries), (1, 40));
}

#[test]
fn a_hanging_sender_holds_up_nobody_at_exit() {
    let (client, kept) = client(Setup::new("hang"));
    kept.set_hanging(true);
    metlog::info!(client: client, "stuck");
    let began = Instant::now();
    let report = client.flush(ms(100));
    assert!(!report.complete);
    let report = client.shutdown(ms(200));
    assert!(began.elapsed() < ms(1500), "{:?}", began.elapsed());
    assert!(!report.complete);
    balanced(&report.stats);
    kept.set_hanging(false);
}

#[test]
fn several_senders_get_what_they_want_and_do_not_hold_each_other_up() {
    struct Only(&'static str);
    impl metlog::Filter for Only {
        fn keep(&mut self, event: &metlog::Event<'_>) -> bool {
            event.head.kind == self.0
        }
    }
    let (counters, all, dead) = (Kept::new(), Kept::new(), Kept::new());
    dead.set_down(true);
    let setup = Setup::new("several")
        .retry(ms(5), ms(20))
        .sender_with(counters.sender(), [Box::new(Only("counter")) as Box<dyn metlog::Filter>])
        .sender(all.sender())
        .sender(dead.sender());
    let client = Client::open(setup).expect("opens");
    for _ in 0..100 {
        metlog::incr!(client: client, "hits");
        metlog::info!(client: client, "text");
    }
    let report = client.flush(ms(300));
    balanced(&report.stats);
    assert_eq!((counters.len(), all.len(), dead.len()), (100, 200, 0));
    assert_eq!(report.stats.senders[0].filtered, 100);
    assert_eq!(report.stats.senders[2].queued, 200);
    for kept in [&counters, &all] {
        let numbers: Vec<u64> =
            kept.messages().iter().filter_map(|message| Some(message.origin.as_ref()?.seq)).collect();
        assert_eq!(numbers, (1..=kept.len() as u64).collect::<Vec<_>>(), "each sender numbers what it sends");
    }
    dead.set_down(false);
    settle(&client);
    assert_eq!(dead.len(), 200);
}

#[test]
fn a_client_is_set_up_anew_in_place() {
    let (first, second) = (Kept::new(), Kept::new());
    let client = Client::open(Setup::new("one").sender(first.sender())).expect("opens");
    let other_handle = client.clone();
    let call = |text: &str| metlog::info!(client: other_handle, "{}", text);
    call("before");
    let report = client.setup(Setup::new("two").sender(second.sender())).expect("opens");
    assert!(report.complete, "{report}");
    call("after");
    settle(&client);
    assert_eq!(payloads(&first.messages()), ["before"]);
    assert_eq!(payloads(&second.messages()), ["after"]);
    assert_eq!(second.messages()[0].logger, "two");
    assert_eq!(client.logger(), "two");
}

#[test]
fn a_closed_client_takes_nothing_and_says_so_twice() {
    let (client, kept) = client(Setup::new("closed"));
    metlog::info!(client: client, "last");
    assert!(client.shutdown(ms(2000)).complete);
    metlog::info!(client: client, "too late");
    client.send(&client.message("late"));
    assert!(client.shutdown(ms(100)).complete);
    assert_eq!(payloads(&kept.messages()), ["last"]);
}

#[test]
fn refused_and_partly_sent_batches_are_counted_exactly() {
    /// Refuses every message that says `bad`, and breaks once in the middle of a batch.
    struct Picky(Kept, bool);
    impl Sender for Picky {
        fn send(&mut self, batch: &Lines) -> Result<(), SendError> {
            let bad: Vec<usize> = batch
                .iter()
                .enumerate()
                .filter(|(_, line)| line.windows(5).any(|part| part == b"\"bad\""))
                .map(|(at, _)| at)
                .collect();
            if !self.1 && batch.len() > 2 {
                self.1 = true;
                let first: Lines = batch.iter().take(2).collect();
                self.0.sender().send(&first)?;
                return Err(SendError::retry_after_first(2, "the connection broke"));
            }
            let good: Lines =
                batch.iter().enumerate().filter(|(at, _)| !bad.contains(at)).map(|(_, line)| line).collect();
            self.0.sender().send(&good)?;
            if bad.is_empty() { Ok(()) } else { Err(SendError::Refuse { why: "bad".into(), which: bad }) }
        }
    }
    let kept = Kept::new();
    let setup = Setup::new("picky").retry(ms(1), ms(5)).batch(100, ms(20)).sender(Picky(kept.clone(), false));
    let client = Client::open(setup).expect("opens");
    for number in 0..10 {
        metlog::info!(client: client, "{}", number);
    }
    metlog::info!(client: client, "bad");
    metlog::info!(client: client, "end");
    let report = client.flush(ms(5000));
    balanced(&report.stats);
    let mut expected: Vec<String> = (0..10).map(|number| number.to_string()).collect();
    expected.push("end".into());
    assert_eq!(payloads(&kept.messages()), expected, "nothing twice, nothing missing");
    assert_eq!((report.stats.senders[0].sent, report.stats.senders[0].refused), (11, 1));
    assert!(!report.complete, "something is lost for good");
}

#[test]
fn a_panicking_sender_loses_nothing_silently() {
    struct Panics;
    impl Sender for Panics {
        fn send(&mut self, _: &Lines) -> Result<(), SendError> {
            panic!("on purpose, by a test")
        }
    }
    let client = Client::open(Setup::new("panics").sender(Panics)).expect("opens");
    metlog::info!(client: client, "a");
    let _ = client.flush(ms(200));
    metlog::info!(client: client, "b");
    let report = client.shutdown(ms(300));
    balanced(&report.stats);
    assert!(!report.complete);
    let sender = &report.stats.senders[0];
    assert_eq!(
        (sender.accepted, sender.queued),
        (sender.spilled + sender.dropped.values().sum::<u64>(), 0),
        "{report}"
    );
    assert!(sender.last_error.as_deref().is_some_and(|why| why.contains("panicked")), "{report}");
}

#[test]
fn a_panicking_filter_or_method_reaches_neither_the_caller_nor_the_others() {
    struct Panics(AtomicBool);
    impl Filter for Panics {
        fn keep(&mut self, _: &Event<'_>) -> bool {
            panic!("on purpose, by a test")
        }
        fn decide(&self, _: &str, _: Severity) -> Option<bool> {
            panic!("on purpose, by a test")
        }
    }
    impl Method for Panics {
        fn call(&self, _: &dyn Emit, _: &Fields) -> Result<Value, MethodError> {
            self.0.store(true, SeqCst);
            panic!("on purpose, by a test")
        }
        fn every(&self) -> Option<Duration> {
            Some(ms(5))
        }
    }
    /// In its own way of answering how often it wants to be called.
    struct Rarely(fn() -> Duration);
    impl Method for Rarely {
        fn call(&self, _: &dyn Emit, _: &Fields) -> Result<Value, MethodError> {
            Ok(Value::Null)
        }
        fn every(&self) -> Option<Duration> {
            Some(self.0())
        }
    }
    let panics = || Panics(AtomicBool::new(false));
    let kept = Kept::new();
    let filter: Box<dyn Filter> = Box::new(panics());
    let client = Client::open(Setup::new("panics").sender_with(kept.sender(), [filter])).expect("opens");
    let (by_clock, by_call) = (Arc::new(panics()), Arc::new(panics()));
    client.add_method("never", Arc::new(Rarely(|| panic!("on purpose, by a test"))), false).expect("added");
    client.add_method("at_last", Arc::new(Rarely(|| Duration::MAX)), false).expect("added");
    client.add_method("by_clock", by_clock.clone(), false).expect("added");
    client.add_method("incr", by_call.clone(), true).expect("in its place");
    metlog::incr!(client: client, "hits");
    assert!(by_call.0.load(SeqCst));
    let deadline = Instant::now() + ms(20_000);
    while !by_clock.0.load(SeqCst) && Instant::now() < deadline {
        std::thread::sleep(ms(5));
    }
    assert!(by_clock.0.load(SeqCst), "the clock calls it");
    metlog::info!(client: client, "{}", "after all that");
    settle(&client);
    assert_eq!(payloads(&kept.messages()), ["after all that"]);
}

#[test]
fn an_own_field_and_the_place_in_the_code() {
    let (client, kept) = client(Setup::new("extra").location(true).field("env", "test").process(true).numbered(false));
    metlog::info!(client: client, "x"; env = "nearer");
    metlog::info!(client: client, "y");
    settle(&client);
    let messages = kept.messages();
    assert_eq!(messages[0].fields.get("env"), Some(&Value::from("nearer")));
    assert_eq!(messages[1].fields.get("env"), Some(&Value::from("test")));
    assert_eq!(messages[0].fields.get("module"), Some(&Value::from("lifecycle")));
    assert!(messages[0].fields.get("file").and_then(Value::as_str).is_some_and(|file| file.ends_with("lifecycle.rs")));
    assert!(messages[0].fields.at("process.exe").is_some());
    assert_eq!(messages[0].origin, None);
}

/// An empty folder of this test's own.
fn folder(name: &str) -> std::path::PathBuf {
    let folder = std::env::temp_dir().join(format!("metlog-{name}-{}", std::process::id()));
    let _ = std::fs::remove_dir_all(&folder);
    std::fs::create_dir_all(&folder).expect("a folder");
    folder
}
