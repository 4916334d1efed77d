//! The clauses of senders, and Metlog's mapping. One logger per process, so the tests take turns.

use log::{Level, Log, Metadata, Record};
use metlog_logging as _;
use metlog_message::{Lines, Message, Severity, wire};
use metlog_pipeline::{Sender, SenderEntry};
use metlog_testkit::{Arrived, Delivery, Peer, of_example, settings};
use std::sync::{Mutex, MutexGuard, Once, PoisonError};

static TURN: Mutex<()> = Mutex::new(());
static LOGGED: Mutex<Vec<(Level, String, String)>> = Mutex::new(Vec::new());
static INSTALL: Once = Once::new();

struct Keeper;

impl Log for Keeper {
    fn enabled(&self, _: &Metadata<'_>) -> bool {
        true
    }
    fn log(&self, record: &Record<'_>) {
        LOGGED.lock().expect("no panic").push((record.level(), record.target().to_owned(), record.args().to_string()));
    }
    fn flush(&self) {}
}

fn open(toml: &str) -> Box<dyn Sender> {
    let entry = SenderEntry::find("metlog.senders.StdLibLoggingSender").expect("by its old name");
    (entry.read)(&settings(toml)).unwrap_or_else(|problems| panic!("{problems}"))().expect("opens")
}

struct Installed(#[expect(dead_code, reason = "held for its turn")] MutexGuard<'static, ()>);

impl Installed {
    fn new() -> Self {
        let turn = TURN.lock().unwrap_or_else(PoisonError::into_inner);
        INSTALL.call_once(|| {
            log::set_logger(&Keeper).expect("the first");
            log::set_max_level(log::LevelFilter::Trace);
        });
        LOGGED.lock().expect("no panic").clear();
        Installed(turn)
    }
}

impl Peer for Installed {
    fn sender(&mut self) -> Box<dyn Sender> {
        open("json_types = '*'\npayload_types = []")
    }
    fn delivery(&self) -> Delivery {
        Delivery::Exact
    }
    fn arrived(&mut self) -> Vec<Arrived> {
        LOGGED.lock().expect("no panic").iter().map(|(_, _, text)| Arrived::of_json(text.as_bytes())).collect()
    }
}

metlog_testkit::contract!(Installed::new());

fn logged(sender: &mut dyn Sender, messages: &[Message]) -> Vec<(Level, String, String)> {
    LOGGED.lock().expect("no panic").clear();
    let mut lines = Lines::new();
    for message in messages {
        lines.push_with(|text| wire::write(text, message));
    }
    sender.send(&lines).expect("logged");
    LOGGED.lock().expect("no panic").clone()
}

#[test]
fn payloads_json_and_nothing_by_type() {
    let _turn = Installed::new();
    let messages = [Message::new("oldstyle").payload("text"), Message::new("timer").payload("5"), Message::new("x")];
    let all = logged(&mut *open(""), &messages);
    assert_eq!(all.len(), 3);
    assert_eq!((all[0].1.as_str(), all[0].2.as_str()), ("metlog", "text"));
    assert!(all[1].2.starts_with("{\"type\":\"timer\""));
    let some = logged(&mut *open("logger_name = 'app'\npayload_types = 'timer'\njson_types = ['oldstyle']"), &messages);
    assert_eq!(some.len(), 2, "`x` is in neither list");
    assert!(some.iter().all(|(_, target, _)| target == "app"));
    assert_eq!(some[1].2, "5");
    let payloads = logged(&mut *open("payload_types = '*'"), &messages);
    assert_eq!(payloads.iter().map(|(_, _, text)| text.as_str()).collect::<Vec<_>>(), ["text", "5", ""]);
}

#[test]
fn a_message_too_deep_to_be_read_is_shown_whole() {
    let _turn = Installed::new();
    let deep = (0..140).fold(metlog_message::Value::Null, |inner, _| vec![inner].into());
    let all = logged(&mut *open("json_types = []"), &[Message::new("x").field("deep", deep)]);
    assert_eq!(all.len(), 1, "{all:?}");
    assert!(all[0].0 == Level::Warn && all[0].2.contains("[[[[null]]]]"), "{all:?}");
}

#[test]
fn severities_become_levels() {
    let _turn = Installed::new();
    let messages = Severity::ALL.map(|severity| Message::new("oldstyle").severity(severity));
    let levels: Vec<Level> = logged(&mut *open(""), &messages).into_iter().map(|(level, _, _)| level).collect();
    let [error, warn, info, debug] = [Level::Error, Level::Warn, Level::Info, Level::Debug];
    assert_eq!(levels, [error, error, error, error, warn, info, info, debug]);
}

#[test]
fn the_example_loads() {
    let entry = SenderEntry::find("logging").expect("there");
    (entry.read)(&of_example(entry.example)).map(drop).unwrap_or_else(|problems| panic!("{problems}"));
    let told = (entry.read)(&settings("logger_name = 'app'\njson_types = [{}]")).err().expect("refused").to_string();
    assert!(told.starts_with("test.toml:2:15: `json_types[0]`: "), "{told}");
}
