//! `tracing` events and spans arrive as messages.
#![cfg(feature = "tracing")]

mod common;

use common::{Kept, client, settle};
use metlog::{Client, Message, Setup, Severity, Value, WithContext as _, context, fields};
use std::fmt;
use std::sync::{Mutex, MutexGuard, PoisonError};
use tracing::field::Empty;
use tracing_subscriber::prelude::*;

/// The bridge speaks to the default client, of which there is one; and every dispatcher alive has a say in whether a
/// call site is switched off.
static ONE: Mutex<()> = Mutex::new(());

fn start(setup: Setup) -> (MutexGuard<'static, ()>, Client, Kept) {
    let one = ONE.lock().unwrap_or_else(PoisonError::into_inner);
    let (client, kept) = client(setup);
    client.make_default();
    (one, client, kept)
}

fn with<T>(builder: metlog::tracing::Builder, work: impl FnOnce() -> T) -> T {
    tracing::subscriber::with_default(tracing_subscriber::registry().with(builder.layer()), work)
}

fn of<'m>(messages: &'m [Message], payload: &str) -> &'m Message {
    let found = messages.iter().find(|message| message.payload == Value::from(payload));
    found.unwrap_or_else(|| panic!("no message says {payload}: {messages:?}"))
}

#[derive(Debug)]
struct Wrapped(std::num::ParseIntError);

impl fmt::Display for Wrapped {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("bad port")
    }
}

impl std::error::Error for Wrapped {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        Some(&self.0)
    }
}

#[test]
fn levels_become_severities_and_values_keep_their_types() {
    let (_one, client, kept) = start(Setup::new("levels"));
    let error = Wrapped("x".parse::<i32>().expect_err("not a number"));
    with(metlog::tracing::builder(), || {
        tracing::error!(error = &error as &(dyn std::error::Error + 'static), "e");
        tracing::warn!(target: "shop::cart", int = -7i64, unsigned = u64::MAX, big = u128::MAX, float = 1.5, "w");
        tracing::info!(truth = true, text = "a \"b\"\n", debug = ?Some(1), shown = %"x", "user {} of {}", "bob", 3);
        tracing::debug!(fields = 1, span = "mine", nan = f64::NAN, "d");
        tracing::trace!(absent = None::<i64>, "t");
        tracing::info!(only = "fields");
    });
    settle(&client);
    let messages = kept.messages();
    assert!(messages.iter().all(|message| message.kind == "oldstyle" && message.logger == "levels"));
    let severities: Vec<u8> = messages.iter().map(|message| message.severity.number()).collect();
    assert_eq!(severities, [3, 4, 6, 7, 7, 6]);
    let target = "bridge_tracing";
    let chain = "bad port\nCaused by: invalid digit found in string";
    assert_eq!(of(&messages, "e").fields, fields! { error = chain, target = target });
    let expected = fields! { int = -7, unsigned = u64::MAX, big = u128::MAX, float = 1.5, target = "shop::cart" };
    assert_eq!(of(&messages, "w").fields, expected);
    let expected = fields! { truth = true, text = "a \"b\"\n", debug = "Some(1)", shown = "x", target = target };
    assert_eq!(of(&messages, "user bob of 3").fields, expected);
    let expected = fields! { fields_ = 1, span = "mine", nan = "NaN", target = target };
    assert_eq!(of(&messages, "d").fields, expected);
    assert_eq!(of(&messages, "t").fields, fields! { level = "trace", target = target });
    assert_eq!(of(&messages, "").fields, fields! { only = "fields", target = target });
}

#[test]
fn spans_lend_their_fields_and_the_inner_one_wins() {
    let (_one, client, kept) = start(Setup::new("spans"));
    with(metlog::tracing::builder(), || {
        let outer = tracing::info_span!("request", id = 7, user = Empty, step = "outer");
        let inner = tracing::debug_span!(parent: &outer, "load", step = "inner", row = 1);
        let unseen = tracing::trace_span!("frame", noise = true);
        outer.record("user", "ann");
        outer.record("id", 8);
        outer.in_scope(|| tracing::info!("in request"));
        inner.in_scope(|| {
            tracing::info!(row = 2, "in load");
            unseen.in_scope(|| tracing::info!("in frame"));
        });
        let _context = context! { trace_id = "t", step = "context" };
        tracing::info!(parent: &outer, "named parent");
        tracing::info!("outside");
    });
    settle(&client);
    let messages = kept.messages();
    let target = "bridge_tracing";
    let request = fields! { target = target, span = "request", id = 8, step = "outer", user = "ann" };
    assert_eq!(of(&messages, "in request").fields, request);
    let load = fields! { row = 2, target = target, span = "request:load", step = "inner", id = 8, user = "ann" };
    assert_eq!(of(&messages, "in load").fields, load);
    let frame = fields! { target = target, span = "request:load", step = "inner", row = 1, id = 8, user = "ann" };
    assert_eq!(of(&messages, "in frame").fields, frame, "a TRACE span lends nothing, its parents do");
    let named = &of(&messages, "named parent").fields;
    assert_eq!(named.get("trace_id"), Some(&Value::from("t")));
    assert_eq!(named.get("step"), Some(&Value::from("outer")), "the span is nearer than the context");
    assert_eq!(of(&messages, "outside").fields, fields! { trace_id = "t", step = "context", target = target });
}

#[test]
fn a_span_can_be_a_timer_unless_its_name_is_disabled() {
    let (_one, client, kept) = start(Setup::new("timers").disable_timer("quiet"));
    with(metlog::tracing::builder().timers(true), || {
        let outer = tracing::info_span!("job", id = 1, name = "n");
        let inner = tracing::info_span!(parent: &outer, "query", rows = Empty);
        let quiet = tracing::info_span!("quiet");
        inner.in_scope(|| std::thread::sleep(std::time::Duration::from_millis(30)));
        inner.record("rows", 12);
        drop((inner, quiet, outer));
    });
    with(metlog::tracing::builder(), || drop(tracing::info_span!("not asked for")));
    settle(&client);
    let messages = kept.messages();
    assert_eq!(messages.len(), 2, "{messages:?}");
    let [query, job] = messages.as_slice() else { unreachable!() };
    assert!(messages.iter().all(|message| message.kind == "timer"));
    let target = "bridge_tracing";
    let expected = fields! {
        target = target, span = "job:query", rows = 12, id = 1, name_ = "n", name = "query", rate = 1.0,
    };
    assert_eq!(query.fields, expected);
    assert_eq!(job.fields.get("name"), Some(&Value::from("job")));
    let millis = |message: &Message| message.payload.as_str().and_then(|text| text.parse::<u64>().ok());
    assert!(millis(query) >= Some(29) && millis(job) >= millis(query), "{messages:?}");
}

#[test]
fn the_target_can_be_the_logger_and_the_place_is_told_when_wanted() {
    let (_one, client, kept) = start(Setup::new("place").location(true));
    with(metlog::tracing::builder().target_as_logger(true), || {
        tracing::warn!(target: "shop::cart", logger = "kept", "here");
    });
    settle(&client);
    let message = kept.one();
    assert_eq!(message.logger, "shop::cart");
    let (module, file) = (module_path!(), file!());
    let line = message.fields.get("line").and_then(Value::as_i64).expect("a line");
    assert!(line > 100, "{line}");
    assert_eq!(message.fields, fields! { logger_ = "kept", module = module, file = file, line = line });
}

/// Counts what another layer sees.
#[derive(Clone, Default)]
struct Beside(std::sync::Arc<std::sync::atomic::AtomicUsize>);

impl<S: tracing::Subscriber> tracing_subscriber::Layer<S> for Beside {
    fn on_event(&self, _: &tracing::Event<'_>, _: tracing_subscriber::layer::Context<'_, S>) {
        self.0.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
    }
}

struct Shown<'a>(&'a std::cell::Cell<u32>);

impl fmt::Debug for Shown<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.set(self.0.get() + 1);
        f.write_str("shown")
    }
}

#[test]
fn what_no_sender_wants_is_not_formatted_and_other_layers_still_see_it() {
    let errors = metlog::filters::SeverityMax::new(Severity::Error);
    let (_one, client, kept) = start(Setup::new("filtered").filter(errors));
    for settled in [false, true] {
        let (beside, formatted) = (Beside::default(), std::cell::Cell::new(0));
        let bridge = metlog::tracing::builder().settled(settled).layer();
        let both = tracing_subscriber::registry().with(beside.clone()).with(bridge);
        tracing::subscriber::with_default(both, || {
            tracing::info!(value = ?Shown(&formatted), "unwanted");
            tracing::error!(value = ?Shown(&formatted), "wanted");
        });
        assert_eq!(formatted.get(), 1);
        assert_eq!(beside.0.load(std::sync::atomic::Ordering::Relaxed), 2, "settled: {settled}");
    }
    with(metlog::tracing::builder().settled(true), || {
        assert!(!tracing::enabled!(tracing::Level::INFO));
        assert!(tracing::enabled!(tracing::Level::ERROR));
    });
    with(metlog::tracing::builder().max_level(metlog::tracing::LevelFilter::OFF), || tracing::error!("off"));
    settle(&client);
    assert_eq!(kept.messages().iter().filter(|message| message.payload == Value::from("wanted")).count(), 2);
    assert_eq!(kept.len(), 2);
}

#[test]
fn events_find_a_client_that_comes_later_and_one_that_is_set_up_anew() {
    let _one = ONE.lock().unwrap_or_else(PoisonError::into_inner);
    metlog::clear_globals();
    let say = || tracing::info!("hello");
    with(metlog::tracing::builder(), || {
        say();
        let (first, kept) = client(Setup::new("late"));
        first.make_default();
        say();
        settle(&first);
        assert_eq!(kept.len(), 1);
        let next = Kept::new();
        let _ = first.setup(Setup::new("anew").location(true).sender(next.sender())).expect("opens");
        say();
        settle(&first);
        assert_eq!((kept.len(), next.len()), (1, 1));
        assert!(next.one().fields.contains("line"), "it asks the new one where");
    });
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn events_in_tasks_carry_the_context_of_the_task() {
    let (client, kept) = client(Setup::new("tasks"));
    {
        let _one = ONE.lock().unwrap_or_else(PoisonError::into_inner);
        client.make_default();
        let dispatch = tracing::Dispatch::new(tracing_subscriber::registry().with(metlog::tracing::layer()));
        let tasks: Vec<_> = (0..8)
            .map(|task| {
                let dispatch = dispatch.clone();
                let work = async move {
                    for _ in 0..20 {
                        tracing::dispatcher::with_default(&dispatch, || tracing::info!(said = task, "step"));
                        tokio::task::yield_now().await;
                    }
                };
                tokio::spawn(work.in_context(metlog::Context::new(fields! { task = task })))
            })
            .collect();
        tokio::task::block_in_place(|| {
            let runtime = tokio::runtime::Handle::current();
            tasks.into_iter().for_each(|task| runtime.block_on(task).expect("it ends"));
        });
    }
    settle(&client);
    let messages = kept.messages();
    assert_eq!(messages.len(), 160);
    assert!(messages.iter().all(|message| message.fields.get("task") == message.fields.get("said")));
}
