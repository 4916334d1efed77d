//! Timers, sampling, aggregation, methods in the place of helpers.

mod common;

use common::{client, settle};
use metlog::{Client, Emit, Fields, Message, Method, MethodError, Setup, Value, fields, measure, measure_async};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

fn name(message: &Message) -> &str {
    message.fields.get("name").and_then(Value::as_str).unwrap_or_default()
}

fn ms(milliseconds: u64) -> Duration {
    Duration::from_millis(milliseconds)
}

#[test]
fn timers_measure_to_the_end_however_it_comes() {
    let (client, kept) = client(Setup::new("timers"));
    let sleep = || std::thread::sleep(ms(20));
    {
        let _timer = metlog::timer!(client: client, "scope");
        sleep();
    }
    let value = metlog::timer!(client: client, "block", table = "users", {
        sleep();
        7
    });
    assert_eq!(value, 7);
    let panics = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
        let _timer = metlog::timer!(client: client, "panic");
        std::panic::resume_unwind(Box::new("on purpose"))
    }));
    assert!(panics.is_err());
    let timer = metlog::timer!(client: client, "stopped");
    sleep();
    let told = timer.stop().expect("it ran");
    let cancelled = metlog::timer!(client: client, "cancelled");
    assert!(cancelled.is_running());
    cancelled.cancel();
    let computed = String::from("computed");
    drop(metlog::timer!(client: client, computed));
    settle(&client);
    let messages = kept.messages();
    let names: Vec<&str> = messages.iter().map(name).collect();
    assert_eq!(names, ["scope", "block", "panic", "stopped", "computed"]);
    assert!(messages.iter().all(|message| message.kind == "timer"));
    let payload =
        |at: usize| messages[at].payload.as_str().and_then(|text| text.parse::<u64>().ok()).expect("milliseconds");
    assert!((20..2000).contains(&payload(0)) && (20..2000).contains(&payload(1)), "{messages:?}");
    assert_eq!(payload(3), told, "what `stop` says is what is sent");
    assert_eq!(messages[1].fields.get("table"), Some(&Value::from("users")));
    assert_eq!(messages[0].fields.get("rate"), Some(&Value::Float(1.0)));
}

#[test]
fn timers_are_disabled_by_name_at_any_time() {
    let (client, kept) = client(Setup::new("disabled").disable_timer("off"));
    let time = |client: &Client| {
        for fixed in [metlog::timer!(client: client, "off"), metlog::timer!(client: client, "on")] {
            drop(fixed);
        }
        for computed in ["off", "on"] {
            drop(metlog::timer!(client: client, computed));
        }
        kept_names(&kept, client)
    };
    assert_eq!(time(&client), ["on", "on"]);
    client.enable_timer("off");
    let mut all = time(&client);
    all.sort();
    assert_eq!(all, ["off", "off", "on", "on"]);
    client.disable_timer("*");
    assert_eq!(time(&client), [""; 0]);
    assert!(client.is_timer_disabled("whatever"));
    client.enable_timer("*");
    assert_eq!(time(&client).len(), 4);
    assert!(!metlog::timer!(client: client, "never", rate = 0.0).is_running());
}

fn kept_names(kept: &common::Kept, client: &Client) -> Vec<String> {
    settle(client);
    let names = kept.messages().iter().map(|message| name(message).to_owned()).collect();
    kept.clear();
    names
}

#[test]
fn sampling_sends_its_share_and_says_so() {
    let (client, kept) = client(Setup::new("sampled"));
    for _ in 0..4000 {
        metlog::incr!(client: client, "tenth", 1, rate = 0.1);
        metlog::incr!(client: client, "none", 1, rate = 0.0);
        drop(metlog::timer!(client: client, "timed", rate = 0.1));
    }
    settle(&client);
    let messages = kept.messages();
    let count = |wanted: &str| messages.iter().filter(|message| name(message) == wanted).count();
    // Six standard deviations: it fails once in a billion runs.
    for sampled in ["tenth", "timed"] {
        assert!((286..=514).contains(&count(sampled)), "{sampled}: {}", count(sampled));
    }
    assert_eq!(count("none"), 0);
    assert!(messages.iter().all(|message| message.fields.get("rate") == Some(&Value::Float(0.1))));
}

#[test]
fn aggregated_calls_lose_nothing() {
    let (client, kept) = client(Setup::new("aggregated").aggregate(ms(20)));
    std::thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| {
                for number in 0..10_000 {
                    metlog::incr!(client: client, "hits");
                    metlog::incr!(client: client, "bytes", 512);
                    metlog::incr!(client: client, "half", 0.5);
                    drop(metlog::timer!(client: client, "quick"));
                    if number % 1000 == 0 {
                        metlog::incr!(client: client, "with fields", 1, host = "a");
                    }
                }
            });
        }
    });
    settle(&client);
    let messages = kept.messages();
    let sum = |wanted: &str| -> f64 {
        let own = messages.iter().filter(|message| message.kind == "counter" && name(message) == wanted);
        own.map(|message| message.payload.to_text().parse::<f64>().expect("a number")).sum()
    };
    assert_eq!((sum("hits"), sum("bytes"), sum("half")), (40_000.0, 20_480_000.0, 20_000.0));
    assert_eq!(messages.iter().filter(|message| name(message) == "with fields").count(), 40, "one message per call");
    let times: Vec<&Message> = messages.iter().filter(|message| message.kind == "timer").collect();
    let counted: i64 = times.iter().filter_map(|message| message.fields.get("count")?.as_i64()).sum();
    assert_eq!(counted, 40_000);
    assert!(messages.len() < 2000, "far fewer than calls: {}", messages.len());
    for time in times {
        let value = |name: &str| time.fields.get(name).and_then(Value::as_f64).expect("a number");
        assert!(
            value("p50") <= value("p90") && value("p90") <= value("p99") && value("p99") <= value("max"),
            "{time:?}"
        );
    }
}

#[test]
fn aggregates_survive_a_new_set_up_and_the_end() {
    let (client, first) = client(Setup::new("handed over").aggregate(ms(60_000)));
    let second = common::Kept::new();
    let count = || metlog::incr!(client: client, "hits");
    (0..10).for_each(|_| count());
    let report = client.setup(Setup::new("anew").aggregate(ms(60_000)).sender(second.sender())).expect("opens");
    assert!(report.complete, "{report}");
    (0..7).for_each(|_| count());
    let report = client.shutdown(ms(2000));
    assert!(report.complete, "{report}");
    let messages = [first.messages(), second.messages()].concat();
    let sum: i64 = messages.iter().map(|message| message.payload.to_text().parse::<i64>().expect("a number")).sum();
    assert_eq!(sum, 17, "{messages:?}");
    assert!(messages.len() <= 3, "added up: {messages:?}");
}

#[test]
fn a_call_site_of_two_clients_adds_nothing_up() {
    let (one, first) = client(Setup::new("one").aggregate(ms(20)));
    let (two, second) = client(Setup::new("two").aggregate(ms(20)));
    for _ in 0..50 {
        for client in [&one, &two] {
            metlog::incr!(client: client, "shared");
        }
    }
    settle(&one);
    settle(&two);
    for kept in [first, second] {
        let sum: i64 =
            kept.messages().iter().map(|message| message.payload.to_text().parse::<i64>().expect("a number")).sum();
        assert!((48..=52).contains(&sum), "but for the first call, which did not know yet: {sum}");
    }
}

#[tokio::test]
async fn closures_and_futures_are_measured() {
    let (client, kept) = client(Setup::new("measured"));
    client.make_default();
    assert_eq!(measure("closure", || 3), 3);
    let future = measure_async("future", async {
        tokio::time::sleep(ms(15)).await;
        4
    });
    assert_eq!(future.await, 4);
    settle(&client);
    let messages = kept.messages();
    assert_eq!(messages.iter().map(name).collect::<Vec<_>>(), ["closure", "future"]);
    assert!(messages[1].payload.to_text().parse::<u64>().is_ok_and(|took| took >= 15), "{:?}", messages[1]);
}

/// Sends `type` with its arguments, and counts its calls.
struct Echo(Arc<AtomicU64>, Option<Duration>);

impl Method for Echo {
    fn call(&self, client: &dyn Emit, args: &Fields) -> Result<Value, MethodError> {
        self.0.fetch_add(1, Ordering::Relaxed);
        let mut message = client.message("echo");
        message.fields = args.clone();
        client.emit(message);
        Ok(Value::from("done"))
    }
    fn every(&self) -> Option<Duration> {
        self.1
    }
}

#[test]
fn methods_are_called_by_name_by_the_clock_and_in_place_of_helpers() {
    let calls = Arc::new(AtomicU64::new(0));
    let setup = Setup::new("methods").method("echo", Echo(calls.clone(), None));
    let (client, kept) = client(setup);
    assert_eq!(client.call("echo", &fields! { a = 1 }), Ok(Value::from("done")));
    let error = client.call("eco", &Fields::new()).expect_err("no such method").to_string();
    assert_eq!(error, "no method `eco`: this client has echo");
    let taken = client.add_method("incr", Arc::new(Echo(calls.clone(), None)), false).expect_err("taken");
    assert!(taken.contains("`incr` is already in use"), "{taken}");
    client.add_method("incr", Arc::new(Echo(calls.clone(), None)), true).expect("in its place");
    client.add_method("exception", Arc::new(Echo(calls.clone(), None)), true).expect("in its place");
    metlog::incr!(client: client, "hits", 5, host = "a");
    metlog::exception!(client: client, "lookup failed");
    metlog::info!(client: client, "as always");
    settle(&client);
    let messages = kept.messages();
    let kinds: Vec<&str> = messages.iter().map(|message| message.kind.as_str()).collect();
    assert_eq!(kinds, ["echo", "echo", "echo", "oldstyle"]);
    assert_eq!(messages[0].fields, fields! { a = 1 });
    assert_eq!(messages[1].fields, fields! { name = "hits", count = 5, host = "a" });
    assert!(
        messages[2].fields.get("msg").and_then(Value::as_str).is_some_and(|text| text.starts_with("lookup failed"))
    );
}

#[test]
fn a_method_on_an_interval_is_called_by_the_clock() {
    let calls = Arc::new(AtomicU64::new(0));
    let (client, _kept) = client(Setup::new("interval").method("tick", Echo(calls.clone(), Some(ms(10)))));
    for _ in 0..500 {
        if calls.load(Ordering::Relaxed) >= 3 {
            break;
        }
        std::thread::sleep(ms(5));
    }
    assert!(calls.load(Ordering::Relaxed) >= 3);
    // One that comes later is called too.
    let later = Arc::new(AtomicU64::new(0));
    client.add_method("later", Arc::new(Echo(later.clone(), Some(ms(5)))), false).expect("a free name");
    for _ in 0..500 {
        if later.load(Ordering::Relaxed) >= 2 {
            break;
        }
        std::thread::sleep(ms(5));
    }
    assert!(later.load(Ordering::Relaxed) >= 2);
    settle(&client);
    assert!(client.shutdown(ms(1000)).complete);
}
