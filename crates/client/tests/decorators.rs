//! `#[timeit]` and `#[incr_count]` with a client behind them.
#![cfg(all(feature = "macros", feature = "null"))]

mod common;

use common::{client, settle};
use metlog::{Client, Setup, Severity, Value, incr_count, timeit};
use std::sync::{Mutex, MutexGuard, PoisonError};

/// The default client and the process-wide settings are everybody's.
static ONE: Mutex<()> = Mutex::new(());

fn alone() -> MutexGuard<'static, ()> {
    ONE.lock().unwrap_or_else(PoisonError::into_inner)
}

#[timeit]
fn plain() {}

#[incr_count("bytes", count = data.len(), logger = "io", severity = 4, fields(file = name))]
fn read(name: String, data: Vec<u8>) -> (String, Vec<u8>) {
    (name, data)
}

#[timeit("never", rate = 0.0)]
#[incr_count("never", rate = 0)]
fn never() {}

#[timeit("sleepy", fields(who = "me"))]
async fn sleepy() -> u8 {
    tokio::time::sleep(std::time::Duration::from_millis(20)).await;
    7
}

#[timeit("boom")]
fn boom() {
    panic!("on purpose")
}

struct Service {
    client: Client,
}

impl Service {
    #[incr_count("asked", client = self.client)]
    #[timeit("asking", client = self.client)]
    fn ask(&self) {}
}

#[test]
fn names_values_and_order() {
    let _alone = alone();
    let (client, kept) = client(Setup::new("app"));
    client.make_default();
    plain();
    settle(&client);
    let message = kept.one();
    assert_eq!(message.kind, "timer");
    assert_eq!(message.fields.get("name"), Some(&Value::from("decorators.plain")));
    assert_eq!(message.fields.get("rate"), Some(&Value::Float(1.0)));
    kept.clear();

    read("f".into(), vec![0; 5]);
    settle(&client);
    let message = kept.one();
    assert_eq!(
        (message.kind.as_str(), message.logger.as_str(), message.severity),
        ("counter", "io", Severity::Warning)
    );
    assert_eq!(message.payload, Value::from("5"));
    assert_eq!(message.fields.get("name"), Some(&Value::from("bytes")));
    assert_eq!(message.fields.get("file"), Some(&Value::from("f")));
    kept.clear();

    never();
    assert!(std::panic::catch_unwind(boom).is_err());
    Service { client: client.clone() }.ask();
    settle(&client);
    let names: Vec<_> = kept.messages().iter().map(|m| m.fields.get("name").unwrap().to_text().into_owned()).collect();
    assert_eq!(names, ["boom", "asking", "asked"]);
}

#[test]
fn futures() {
    let _alone = alone();
    let (client, kept) = client(Setup::new("app"));
    client.make_default();
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_time().build().expect("a runtime");
    assert_eq!(runtime.block_on(async { tokio::spawn(sleepy()).await }).expect("it ends"), 7);
    settle(&client);
    let message = kept.one();
    assert!(message.payload.to_text().parse::<u64>().unwrap() >= 20, "{message:?}");
    assert_eq!(message.fields.get("who"), Some(&Value::from("me")));
}

#[test]
fn the_configuration_decides_at_every_call() {
    let _alone = alone();
    let (client, kept) = client(Setup::new("app"));
    client.make_default();
    let kinds = || {
        kept.clear();
        plain();
        read("f".into(), vec![0; 5]);
        settle(&client);
        kept.messages().into_iter().map(|message| message.kind).collect::<Vec<_>>()
    };
    assert_eq!(kinds(), ["timer", "counter"]);
    let global = |disabled: &str| {
        let text = format!("[metlog]\nsender_class = null\nglobal_disabled_decorators = {disabled}");
        metlog::from_text(&text, "metlog").expect("opens")
    };
    global("timeit");
    assert_eq!(kinds(), ["counter"]);
    global("\n  timeit\n  incr_count");
    assert!(kinds().is_empty());
    global("");
    client.disable_timer("plain");
    assert_eq!(kinds(), ["timer", "counter"], "the name is the whole one");
    client.disable_timer("decorators.plain");
    assert_eq!(kinds(), ["counter"]);
    client.enable_timer("decorators.plain");
    assert_eq!(kinds(), ["timer", "counter"]);
    client.disable_timer("*");
    assert_eq!(kinds(), ["counter"]);
}
