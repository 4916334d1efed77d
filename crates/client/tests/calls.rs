//! What each call sends.

mod common;

use common::{Kept, client, settle};
use metlog::{Client, Message, Setup, Severity, Value, fields};

fn calls(work: impl FnOnce(&Client)) -> Vec<Message> {
    let (client, kept) = client(Setup::new("app"));
    work(&client);
    settle(&client);
    kept.messages()
}

fn call(work: impl FnOnce(&Client)) -> Message {
    let mut messages = calls(work);
    assert_eq!(messages.len(), 1, "{messages:?}");
    messages.remove(0)
}

#[test]
fn the_envelope_is_whole() {
    let (client, kept) = client(Setup::new("app"));
    metlog::info!(client: client, "user {} in", "bob"; user_id = 7);
    settle(&client);
    let line = kept.lines().remove(0);
    let message = kept.one();
    let host = message.hostname.clone().expect("a host name");
    let origin = message.origin.clone().expect("an origin");
    assert_eq!(origin.seq, 1);
    assert_eq!(origin.client.len(), 16);
    let expected = format!(
        "{{\"type\":\"oldstyle\",\"timestamp\":\"{}\",\"logger\":\"app\",\"severity\":6,\"payload\":\"user bob in\",\
         \"fields\":{{\"user_id\":7}},\"env_version\":\"0.8\",\"metlog_pid\":{},\"metlog_hostname\":\"{host}\",\
         \"metlog_client\":\"{}\",\"metlog_seq\":1}}",
        message.timestamp,
        std::process::id(),
        origin.client,
    );
    assert_eq!(line, expected);
    let age = metlog::Timestamp::now().nanos() - message.timestamp.nanos();
    assert!((0..60_000_000_000).contains(&age), "sent just now: {age} ns");
}

#[test]
fn every_helper_has_its_severity() {
    let messages = calls(|client| {
        metlog::emergency!(client: client, "a");
        metlog::alert!(client: client, "a");
        metlog::critical!(client: client, "a");
        metlog::fatal!(client: client, "a");
        metlog::error!(client: client, "a");
        metlog::warn!(client: client, "a");
        metlog::warning!(client: client, "a");
        metlog::notice!(client: client, "a");
        metlog::info!(client: client, "a");
        metlog::debug!(client: client, "a");
        metlog::trace!(client: client, "a");
        metlog::log!(client: client, Severity::Notice, "a");
    });
    let got: Vec<(u8, Option<&str>)> = messages
        .iter()
        .map(|message| (message.severity.number(), message.fields.get("level").and_then(Value::as_str)))
        .collect();
    let plain = |number| (number, None);
    let expected = [
        plain(0),
        plain(1),
        plain(2),
        (2, Some("fatal")),
        plain(3),
        plain(4),
        plain(4),
        plain(5),
        plain(6),
        plain(7),
        (7, Some("trace")),
        plain(5),
    ];
    assert_eq!(got, expected);
    assert!(messages.iter().all(|message| message.kind == "oldstyle"));
}

#[test]
fn texts_are_formatted_late_or_at_once_to_the_same_result() {
    let name = "bob";
    let messages = calls(|client| {
        metlog::info!(client: client, "plain");
        metlog::info!(client: client, "100% {{done}}");
        metlog::info!(client: client, "{} {} {}", 1u8, -2i64, 3.5);
        metlog::info!(client: client, "{} {} {}", true, 'c', "s");
        metlog::info!(client: client, "{} {}", 1.0, 1e300);
        metlog::info!(client: client, "{name} {0:>4} {1:?}", 7, "q");
        metlog::info!(client: client, "{}", std::net::Ipv4Addr::LOCALHOST);
        metlog::info!(client: client, String::from("no literal {}"));
        metlog::mlog!(client: client, info, "a", 1, 2.5);
        metlog::mlog!(client: client, info, sep = "-", "a", 1);
    });
    let payloads: Vec<&str> = messages.iter().filter_map(|message| message.payload.as_str()).collect();
    let huge = format!("1 {}", 1e300);
    let expected = [
        "plain",
        "100% {done}",
        "1 -2 3.5",
        "true c s",
        &huge,
        "bob    7 \"q\"",
        "127.0.0.1",
        "no literal {}",
        "a 1 2.5",
        "a-1",
    ];
    assert_eq!(payloads, expected);
}

#[test]
fn fields_keep_their_types() {
    let message = call(|client| {
        metlog::info!(client: client, "x"; int = 1, neg = -1, float = 0.5, nan = f64::NAN, text = "t\n", yes = true,
            none = None::<u8>, list = ["a", "b"], map = fields! { a = 1 }, "quoted key" = 2, severity = 3, logger = "other");
    });
    let expected = fields! {
        int = 1, neg = -1, float = 0.5, nan = "NaN", text = "t\n", yes = true, none = None::<u8>, list = ["a", "b"],
        map = fields! { a = 1 }, "quoted key" = 2
    };
    assert_eq!(message.fields, expected);
    assert_eq!((message.severity, message.logger.as_str()), (Severity::Error, "other"));
}

#[test]
fn counters() {
    let name = String::from("computed");
    let messages = calls(|client| {
        metlog::incr!(client: client, "hits");
        metlog::incr!(client: client, "hits", 5);
        metlog::incr!(client: client, "hits", -2.5);
        metlog::incr!(client: client, "hits", 1, rate = 1.0, host = "a", severity = 2, logger = "market");
        metlog::incr!(client: client, name, 3);
        metlog::incr!(client: client, "hits", 1, rate = 7);
    });
    let got: Vec<(&str, &str)> = messages
        .iter()
        .map(|message| {
            let name = message.fields.get("name").and_then(Value::as_str).unwrap_or_default();
            (name, message.payload.as_str().unwrap_or_default())
        })
        .collect();
    let expected = [("hits", "1"), ("hits", "5"), ("hits", "-2.5"), ("hits", "1"), ("computed", "3"), ("hits", "1")];
    assert_eq!(got, expected);
    assert!(messages.iter().all(|message| message.kind == "counter"));
    assert_eq!(messages[0].fields, fields! { name = "hits", rate = 1.0 });
    assert_eq!((messages[3].severity, messages[3].logger.as_str()), (Severity::Critical, "market"));
    assert_eq!(messages[3].fields.get("host"), Some(&Value::from("a")));
    assert_eq!(messages[5].fields.get("rate"), Some(&Value::Int(7)), "a rate above one is passed on as it is");
}

#[test]
fn ready_timers_are_neither_sampled_nor_disabled() {
    let messages = calls(|client| {
        client.disable_timer("*");
        metlog::timer_send!(client: client, "db", 42, rate = 0.0, table = "users");
        metlog::timer_send!(client: client, "db", 1.5);
        drop(metlog::timer!(client: client, "db"));
    });
    assert_eq!(messages.len(), 2);
    assert_eq!(messages[0].payload, Value::from("42"));
    assert_eq!(
        messages[0].fields,
        fields! { rate = 0.0, table = "users", name = "db" }.sorted_like(&messages[0].fields)
    );
    assert_eq!(messages[1].payload, Value::from("1.5"));
}

/// Compares maps whatever their order.
trait SortedLike {
    fn sorted_like(self, other: &metlog::Fields) -> metlog::Fields;
}

impl SortedLike for metlog::Fields {
    fn sorted_like(self, other: &metlog::Fields) -> metlog::Fields {
        let mut mine: Vec<(String, Value)> = self.into_iter().collect();
        let place = |name: &str| other.iter().position(|(key, _)| key == name).unwrap_or(usize::MAX);
        mine.sort_by_key(|(name, _)| place(name));
        mine.into_iter().collect()
    }
}

#[test]
fn any_type() {
    let kind = String::from("computed");
    let map = fields! { amount = 12.5, ok = true };
    let messages = calls(|client| {
        metlog::metlog!(client: client, "bid", payload = "raw", severity = 2, logger = "market", amount = 12.5);
        metlog::metlog!(client: client, "bare");
        metlog::metlog!(client: client, kind, payload = 42);
        metlog::metlog!(client: client, "map", fields = map, ok = false);
        metlog::metlog!(client: client, "object", payload = fields! { a = [1, 2] });
    });
    assert_eq!(messages[0].payload, Value::from("raw"));
    assert_eq!((messages[0].severity, messages[0].logger.as_str()), (Severity::Critical, "market"));
    assert_eq!(messages[0].fields, fields! { amount = 12.5 });
    assert_eq!((messages[1].payload.clone(), messages[1].fields.len()), (Value::from(""), 0));
    assert_eq!((messages[2].kind.as_str(), messages[2].payload.clone()), ("computed", Value::Int(42)));
    assert_eq!(messages[3].fields.get("amount"), Some(&Value::Float(12.5)));
    assert_eq!(messages[3].fields.get("ok"), Some(&Value::Bool(false)), "what the call says itself wins");
    assert_eq!(messages[4].payload, Value::Map(fields! { a = [1, 2] }));
}

#[test]
fn errors_come_with_their_causes_and_the_stack() {
    #[derive(Debug)]
    struct Outer(std::num::ParseIntError);
    impl std::fmt::Display for Outer {
        fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
            f.write_str("outer")
        }
    }
    impl std::error::Error for Outer {
        fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
            Some(&self.0)
        }
    }
    let error = Outer("x".parse::<u8>().expect_err("no number"));
    let boxed: Box<dyn std::error::Error + Send + Sync> = "boxed".into();
    let messages = calls(|client| {
        metlog::exception!(client: client, error, "lookup failed for {}", "bob"; user = "bob");
        metlog::exception!(client: client, boxed, "second");
        metlog::exception!(client: client, "only text");
    });
    let payload = messages[0].payload.as_str().expect("text");
    assert!(
        payload.starts_with("lookup failed for bob\nouter\nCaused by: invalid digit found in string\nStack:\n"),
        "{payload}"
    );
    assert_eq!(messages[0].severity, Severity::Alert);
    assert_eq!(messages[0].fields.get("user"), Some(&Value::from("bob")));
    assert!(messages[1].payload.as_str().expect("text").starts_with("second\nboxed"));
    assert!(messages[2].payload.as_str().expect("text").starts_with("only text"));
}

#[test]
fn content_never_splits_a_line() {
    let nasty = "line\nline\r\u{0}\u{1b}[31m\u{7f}\u{2028}\u{2029}\"\\ täxt 🦀";
    let (client, kept) = client(Setup::new(nasty));
    metlog::info!(client: client, "{}", nasty; text = nasty);
    metlog::metlog!(client: client, "t\ny", payload = nasty);
    settle(&client);
    for line in kept.lines() {
        assert!(line.bytes().all(|byte| byte >= b' ' && byte != 0x7f), "{line:?}");
        assert!(!line.contains(['\u{2028}', '\u{2029}']));
    }
    let messages = kept.messages();
    assert_eq!(messages[0].payload, Value::from(nasty));
    assert_eq!(messages[0].logger, nasty);
    assert_eq!(messages[0].fields.get("text"), Some(&Value::from(nasty)));
    assert_eq!(messages[1].kind, "t\ny");
}

#[test]
fn large_messages_go_beside_the_ring() {
    let (client, kept) = client(Setup::new("app").ring_bytes(16 * 1024));
    let text = "x".repeat(300_000);
    for number in 0..20 {
        metlog::info!(client: client, "{}", text; number = number);
        metlog::info!(client: client, "small"; number = number);
    }
    let stats = settle(&client);
    assert_eq!(kept.len() as u64 + stats.lost(), 40);
    assert_eq!(stats.lost(), 0, "{stats:?}");
}

#[test]
fn a_message_of_ones_own_goes_the_same_way() {
    let (client, kept) = client(Setup::new("app"));
    let message = client.message("bid").payload("raw").field("a", 1).severity(Severity::Debug);
    client.send(&message);
    settle(&client);
    let got = kept.one();
    assert_eq!((got.kind.as_str(), got.severity, got.payload), ("bid", Severity::Debug, Value::from("raw")));
    assert_eq!(got.origin.expect("numbered like the others").seq, 1);
}

#[test]
fn two_clients_do_not_mix() {
    let (one, first) = client(Setup::new("one"));
    let (two, second) = client(Setup::new("two"));
    for _ in 0..50 {
        for client in [&one, &two] {
            metlog::incr!(client: client, "shared call site");
        }
    }
    settle(&one);
    settle(&two);
    for (kept, logger) in [(&first, "one"), (&second, "two")] {
        let messages = kept.messages();
        assert_eq!(messages.len(), 50);
        assert!(messages.iter().all(|message| message.logger == logger));
    }
    let _: &Kept = &first;
}
