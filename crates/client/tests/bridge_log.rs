//! `log` records arrive as messages.
#![cfg(feature = "log")]

mod common;

use common::{client, settle};
use log::Log as _;
use metlog::{Client, Lines, Message, Pacing, SendError, Sender, Setup, Severity, Value, context, fields};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

fn of<'m>(messages: &'m [Message], payload: &str) -> &'m Message {
    let found = messages.iter().find(|message| message.payload == Value::from(payload));
    found.unwrap_or_else(|| panic!("no message says {payload}: {messages:?}"))
}

/// A sender that logs what it does.
struct Talkative(Arc<AtomicUsize>);

impl Sender for Talkative {
    fn send(&mut self, batch: &Lines) -> Result<(), SendError> {
        log::error!("sending {} messages", batch.len());
        self.0.fetch_add(batch.len(), Ordering::SeqCst);
        Ok(())
    }

    fn pacing(&self) -> Pacing {
        Pacing::default()
    }
}

/// One test, because a program has one logger.
#[test]
fn records_become_messages() {
    metlog::log::init().expect("no logger yet");
    metlog::log::init().expect("ours is there already");
    assert_eq!(log::max_level(), log::LevelFilter::Trace);
    log::error!("before there is a client");

    let (client, kept) = client(Setup::new("records"));
    client.make_default();
    let (target, name) = (module_path!(), "bob");
    {
        let _request = context! { trace_id = "t" };
        log::error!("disk {} of {} full", 1, 2);
    }
    log::warn!(target: "shop::cart", "plain text");
    log::info!(user = name, id = 7, big = u64::MAX, ratio = 0.5, ok = true; "with {name}");
    log::debug!(fields = 1, shown:? = Some(2), none = Option::<i32>::None; "debug");
    log::trace!("trace");
    settle(&client);
    let messages = kept.messages();
    let severities: Vec<u8> = messages.iter().map(|message| message.severity.number()).collect();
    assert_eq!(severities, [3, 4, 6, 7, 7], "what was said before is gone");
    assert!(messages.iter().all(|message| message.kind == "oldstyle" && message.logger == "records"));
    assert_eq!(of(&messages, "disk 1 of 2 full").fields, fields! { trace_id = "t", target = target });
    assert_eq!(of(&messages, "plain text").fields, fields! { target = "shop::cart" });
    let expected = fields! { user = "bob", id = 7, big = u64::MAX, ratio = 0.5, ok = true, target = target };
    assert_eq!(of(&messages, "with bob").fields, expected);
    let expected = fields! { fields_ = 1, shown = "Some(2)", none = Value::Null, target = target };
    assert_eq!(of(&messages, "debug").fields, expected);
    assert_eq!(of(&messages, "trace").fields, fields! { level = "trace", target = target });

    // Another configuration of the same client: the place is wanted, and nothing below a warning.
    let next = common::Kept::new();
    let setup = Setup::new("again").location(true).filter(metlog::filters::SeverityMax::new(Severity::Warning));
    let _ = client.setup(setup.sender(next.sender())).expect("opens");
    assert!(log::log_enabled!(log::Level::Warn) && !log::log_enabled!(log::Level::Info));
    log::info!("unwanted");
    log::warn!("wanted");
    settle(&client);
    let message = next.one();
    let line = message.fields.get("line").and_then(Value::as_i64).expect("a line");
    assert_eq!(message.fields, fields! { target = target, module = target, file = file!(), line = line });

    // What a value says while it is written down is a message of its own, and none is lost over the other.
    next.clear();
    struct Talks;
    impl std::fmt::Display for Talks {
        fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
            log::warn!(inner = true; "talking");
            f.write_str("talked")
        }
    }
    log::warn!(outer = true; "it {}", Talks);
    log::logger().flush();
    let messages = next.messages();
    assert_eq!(messages.len(), 2, "flushed by the logger");
    assert!(of(&messages, "talking").fields.contains("inner") && of(&messages, "it talked").fields.contains("outer"));

    // A logger of one's own choices, as one of several.
    next.clear();
    let own = metlog::log::Logger::new().max_level(log::LevelFilter::Error).target_as_logger(true);
    let record = |level| log::Record::builder().level(level).target("own").args(format_args!("direct")).build();
    own.log(&record(log::Level::Warn));
    own.log(&record(log::Level::Error));
    settle(&client);
    let message = next.one();
    assert_eq!((message.logger.as_str(), message.severity), ("own", Severity::Error));
    let nowhere = fields! { module = Value::Null, file = Value::Null, line = Value::Null };
    assert_eq!(message.fields, nowhere, "a record that does not say where is not said to be in the bridge");

    // A sender that uses `log` does not feed on what it sends.
    let told = Arc::new(AtomicUsize::new(0));
    let talkative = Client::open(Setup::new("talkative").sender(Talkative(told.clone()))).expect("opens");
    talkative.make_default();
    log::error!("once");
    for _ in 0..5 {
        settle(&talkative);
    }
    assert_eq!(told.load(Ordering::SeqCst), 1);
}
