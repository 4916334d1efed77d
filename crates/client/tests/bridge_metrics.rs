//! What the `metrics` crate's instruments say arrives as messages.
#![cfg(feature = "metrics")]

mod common;

use common::{Kept, client, settle};
use metlog::{Client, Message, Setup, Value, context, fields};
use metrics::{Unit, counter, gauge, histogram, with_local_recorder};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

/// The bridge speaks to the default client, of which there is one.
static ONE: Mutex<()> = Mutex::new(());

fn alone() -> MutexGuard<'static, ()> {
    ONE.lock().unwrap_or_else(PoisonError::into_inner)
}

fn start(setup: Setup) -> (Client, Kept) {
    let (client, kept) = client(setup);
    client.make_default();
    (client, kept)
}

fn of<'m>(messages: &'m [Message], name: &str) -> Vec<&'m Message> {
    messages.iter().filter(|message| message.fields.get("name") == Some(&Value::from(name))).collect()
}

#[test]
fn counters_are_added_up_over_all_threads_and_sent_when_not_zero() {
    let _one = alone();
    let (client, kept) = start(Setup::new("counters"));
    let recorder = metlog::metrics::recorder();
    let _context = context! { trace_id = "t" };
    std::thread::scope(|scope| {
        for _ in 0..4 {
            let recorder = recorder.clone();
            scope.spawn(move || {
                let orders = with_local_recorder(&recorder, || counter!("orders", "shop" => "north"));
                (0..10_000).for_each(|_| orders.increment(1));
            });
        }
    });
    with_local_recorder(&recorder, || {
        counter!("orders", "shop" => "south").increment(5);
        let total = counter!("total");
        [10, 30, 20].into_iter().for_each(|value| total.absolute(value));
        counter!("taken", "name" => "a", "fields" => "b", "rate" => "c").increment(1);
        let _ = counter!("silent");
    });
    recorder.flush();
    recorder.flush();
    with_local_recorder(&recorder, || counter!("total").absolute(31));
    recorder.flush();
    settle(&client);
    let messages = kept.messages();
    assert!(messages.iter().all(|message| message.kind == "counter"));
    let mut orders: Vec<_> = of(&messages, "orders").iter().map(|message| message.payload.clone()).collect();
    orders.sort_by_key(|payload| payload.to_text().len());
    assert_eq!(orders, [Value::from("5"), Value::from("40000")]);
    let total: Vec<_> = of(&messages, "total").iter().map(|message| message.payload.clone()).collect();
    assert_eq!(total, [Value::from("30"), Value::from("1")]);
    let [taken] = of(&messages, "taken")[..] else { panic!("{messages:?}") };
    assert_eq!(taken.fields, fields! { name_ = "a", fields_ = "b", rate_ = "c", name = "taken", rate = 1.0 });
    assert!(of(&messages, "silent").is_empty());
}

#[test]
fn gauges_and_histograms_keep_their_units() {
    let _one = alone();
    let (client, kept) = start(Setup::new("units"));
    let recorder = metlog::metrics::recorder();
    with_local_recorder(&recorder, || {
        let depth = gauge!("depth", "queue" => "in");
        depth.set(10.0);
        depth.increment(2.5);
        depth.decrement(0.5);
        // A description after the first use counts from then on.
        metrics::describe_gauge!("depth", Unit::Count, "waiting");
        metrics::describe_histogram!("query", Unit::Seconds, "database");
        metrics::describe_histogram!("size", Unit::Bytes, "bodies");
        let _context = context! { trace_id = "t" };
        histogram!("query", "table" => "users").record(Duration::from_micros(1500));
        histogram!("size", "payload" => "own").record(512);
        histogram!("plain").record(0.25);
    });
    recorder.flush();
    recorder.flush();
    settle(&client);
    let messages = kept.messages();
    let [depth] = of(&messages, "depth")[..] else { panic!("{messages:?}") };
    assert_eq!((depth.kind.as_str(), &depth.payload), ("gauge", &Value::Float(12.0)));
    assert_eq!(depth.fields, fields! { queue = "in", unit = "count", name = "depth" });
    let [query] = of(&messages, "query")[..] else { panic!("{messages:?}") };
    assert_eq!((query.kind.as_str(), &query.payload), ("timer", &Value::from("1.5")));
    assert_eq!(query.fields, fields! { trace_id = "t", table = "users", name = "query", rate = 1.0 });
    let [size] = of(&messages, "size")[..] else { panic!("{messages:?}") };
    assert_eq!((size.kind.as_str(), &size.payload), ("histogram", &Value::Float(512.0)));
    let expected = fields! { trace_id = "t", payload_ = "own", unit = "bytes", name = "size" };
    assert_eq!(size.fields, expected);
    let [plain] = of(&messages, "plain")[..] else { panic!("{messages:?}") };
    assert_eq!(plain.fields, fields! { trace_id = "t", name = "plain" });
}

#[test]
fn what_was_counted_before_there_is_a_client_waits_for_one() {
    let _one = alone();
    metlog::clear_globals();
    let recorder = metlog::metrics::recorder();
    with_local_recorder(&recorder, || {
        counter!("early").increment(3);
        gauge!("level").set(1.0);
    });
    recorder.flush();
    let _placeholder = metlog::client("placeholder");
    recorder.flush();
    let (client, kept) = start(Setup::new("late"));
    recorder.flush();
    settle(&client);
    assert_eq!(kept.len(), 2);
}

#[test]
fn labels_that_never_repeat_do_not_eat_the_memory() {
    let _one = alone();
    let (client, kept) = start(Setup::new("labels"));
    let recorder = metlog::metrics::recorder();
    with_local_recorder(&recorder, || {
        for user in 0..10_100 {
            counter!("seen", "user" => user.to_string()).increment(1);
        }
        counter!("seen", "user" => "7").increment(1);
    });
    recorder.flush();
    settle(&client);
    let messages = kept.messages();
    assert_eq!(messages.len(), 10_000);
    let seven = messages.iter().find(|message| message.fields.get("user") == Some(&Value::from("7")));
    assert_eq!(seven.expect("one of the first").payload, Value::from("2"), "the known ones go on counting");
}

#[test]
fn the_clock_sends_by_itself_and_the_rest_goes_out_at_the_end() {
    let _one = alone();
    let (client, kept) = start(Setup::new("clock"));
    let flusher = metlog::metrics::recorder().init(Duration::from_millis(20)).expect("the first recorder");
    assert!(metlog::metrics::init().is_err(), "a program has one");
    let ticks = counter!("ticks");
    ticks.increment(1);
    let until = Instant::now() + Duration::from_secs(10);
    while kept.len() == 0 && Instant::now() < until {
        std::thread::sleep(Duration::from_millis(5));
        let _ = client.flush(Duration::from_secs(1));
    }
    assert_eq!(kept.len(), 1, "sent by the clock");
    ticks.increment(41);
    drop(flusher);
    settle(&client);
    let sum: i64 = kept.messages().iter().filter_map(|message| message.payload.as_str()?.parse::<i64>().ok()).sum();
    assert_eq!(sum, 42);
}
