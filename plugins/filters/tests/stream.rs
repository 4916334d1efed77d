//! `logger`, and the filters whose answer depends on what came before: samples, rates, repetitions.

mod common;

use common::{event, filter, keeps, open};
use metlog_filters::{Dedup, Logger, RateLimit, Sample};
use metlog_message::{Message, Severity, wire};
use metlog_pipeline::Filter;
use metlog_testkit::{ini_settings, settings};
use proptest::prelude::*;
use std::num::NonZeroU32;
use std::time::{Duration, Instant};

fn from(logger: &str) -> Message {
    Message::new("log").logger(logger).payload("text")
}

fn with(name: &str, value: impl Into<metlog_message::Value>) -> Message {
    let mut message = from("app");
    message.fields.set(name, value);
    message
}

#[test]
fn loggers_by_their_names() {
    let names = ["", "web", "web.api", "web.health", "db.query", "db", "Web", "aXbYb"];
    let passed = |filter: &mut dyn Filter| -> Vec<&str> {
        names.into_iter().filter(|name| keeps(filter, &from(name))).collect()
    };
    for (toml, expected) in [
        ("is = ['web*', 'db.query']", vec!["web", "web.api", "web.health", "db.query"]),
        ("is = ['web*']\nnot = ['*.health']", vec!["web", "web.api"]),
        ("not = ['web*', '']", vec!["db.query", "db", "Web", "aXbYb"]),
        ("is = 'db'", vec!["db"]),
        ("is = ['a*b']", vec!["aXbYb"]),
        ("is = ['a*b*b']", vec!["aXbYb"]),
        ("is = ['a*b*b*b', 'web*web', '*health*health*']", vec![]),
        ("is = ''", vec![]),
        ("is = ['']", vec![""]),
        ("is = []", vec![]),
        ("is = ['*.*']", vec!["web.api", "web.health", "db.query"]),
        ("is = ['**']", names.to_vec()),
    ] {
        assert_eq!(passed(&mut *filter("logger", toml)), expected, "{toml}");
    }
    let mut ini = open("logger", &ini_settings("is =\n    web*\n    db.query")).expect("opens");
    assert_eq!(passed(&mut *ini).len(), 4);
    assert_eq!(passed(&mut Logger::is(["db"])), ["db"]);
    assert_eq!(passed(&mut Logger::not(["*b*"])), [""]);
    assert_eq!(filter("logger", "is = 'db'").decide("db", Severity::Error), None);
}

proptest! {
    /// Against the definition: a star is any part of the name.
    #[test]
    fn globs_are_what_they_say(pattern in "[ab*]{0,6}", name in "[ab]{0,8}") {
        fn naive(pattern: &[u8], name: &[u8]) -> bool {
            match pattern.split_first() {
                None => name.is_empty(),
                Some((b'*', rest)) => (0..=name.len()).any(|at| naive(rest, &name[at..])),
                Some((byte, rest)) => name.split_first().is_some_and(|(first, name)| first == byte && naive(rest, name)),
            }
        }
        let kept = keeps(&mut Logger::is([&pattern]), &from(&name));
        prop_assert_eq!(kept, naive(pattern.as_bytes(), name.as_bytes()));
    }
}

#[test]
fn a_sample_is_a_part() {
    let mut tenth = filter("sample", "rate = 0.1");
    let kept = (0..100_000).filter(|_| keeps(&mut *tenth, &from("app"))).count();
    // Ten standard deviations: once in more runs than there will be.
    assert!((9_000..11_000).contains(&kept), "{kept}");
    assert_eq!(tenth.decide("log", Severity::Error), None);
    for (rate, all) in [("0", false), ("1", true), ("0.0", false), ("'1.0'", true)] {
        for key in ["", "key = 'trace'"] {
            let mut filter = filter("sample", &format!("rate = {rate}\n{key}"));
            assert_eq!(filter.decide("log", Severity::Error), Some(all));
            assert!((0..1000).all(|at| keeps(&mut *filter, &with("trace", at)) == all));
        }
    }
}

#[test]
fn a_sample_keeps_traces_whole() {
    let traces: Vec<String> = (0..20_000).map(|at| format!("{at:032x}")).collect();
    let by = |rate: f64| Sample::new(rate).expect("a rate").by("fields.trace_id".parse().expect("a path"));
    let kept = |sample: &mut Sample| -> Vec<bool> {
        traces.iter().map(|trace| keeps(sample, &with("trace_id", trace))).collect()
    };
    let (mut tenth, mut fifth) = (by(0.1), by(0.2));
    let (first, again, elsewhere) = (kept(&mut tenth), kept(&mut tenth), kept(&mut by(0.1)));
    assert!(first == again && first == elsewhere);
    let count = first.iter().filter(|kept| **kept).count();
    assert!((1_700..2_300).contains(&count), "{count}");
    assert!(first.iter().zip(kept(&mut fifth)).all(|(low, high)| !low || high), "more keeps what less keeps");
    // However it is written.
    let text = |id: &str| {
        let fields = format!("{{\"trace_id\":\"{id}\"}}");
        format!(
            r#"{{"type":"t","timestamp":"2026-01-02T03:04:05Z","logger":"","severity":6,"payload":"","fields":{fields}}}"#
        )
    };
    for at in 0..100 {
        let (plain, escaped) = (text(&format!("a{at}")), text(&format!("\\u0061{at}")));
        let mut half = by(0.5);
        assert_eq!(event(plain.as_bytes(), |it| half.keep(it)), event(escaped.as_bytes(), |it| half.keep(it)));
    }
}

#[test]
fn a_sample_draws_what_has_no_key() {
    let mut half = filter("sample", "rate = 0.5\nkey = 'trace_id'");
    for message in [from("app"), with("trace_id", ())] {
        let kept = (0..10_000).filter(|_| keeps(&mut *half, &message)).count();
        assert!((4_500..5_500).contains(&kept), "{kept}");
    }
    let by_type = filter("sample", "rate = 0.5\nkey = 'type'");
    let fates = ["a", "b", "c", "d", "e", "f", "g", "h"].map(|kind| by_type.decide(kind, Severity::Error));
    assert!(fates.contains(&Some(true)) && fates.contains(&Some(false)), "{fates:?}");
}

/// Times from a start.
fn clock() -> impl Fn(u64) -> Instant {
    let start = Instant::now();
    move |millis| start + Duration::from_millis(millis)
}

fn limit(filter: &mut RateLimit, message: &Message, at: Instant) -> bool {
    let mut text = Vec::new();
    wire::write(&mut text, message);
    event(&text, |event| filter.keep_at(event, at))
}

fn once(filter: &mut Dedup, message: &Message, at: Instant) -> bool {
    let mut text = Vec::new();
    wire::write(&mut text, message);
    event(&text, |event| filter.keep_at(event, at))
}

#[test]
fn a_rate_and_a_burst() {
    let at = clock();
    let mut filter = RateLimit::new(10.0, NonZeroU32::new(3)).expect("a rate");
    let mut kept = |millis| limit(&mut filter, &from("app"), at(millis));
    assert_eq!([0, 0, 0, 0, 0].map(&mut kept), [true, true, true, false, false]);
    assert_eq!([99, 100, 100, 199, 200].map(&mut kept), [false, true, false, false, true]);
    assert_eq!([10_000, 10_000, 10_000, 10_000].map(&mut kept), [true, true, true, false], "no more is saved up");
    assert_eq!([5_000, 10_099, 10_100].map(&mut kept), [false, false, true], "back is no time");
}

#[test]
fn in_the_long_run_a_rate_is_the_rate() {
    let at = clock();
    for (rate, step, steps, expected) in [(0.1, 100, 6_000, 61), (3.0, 7, 10_000, 213), (500.0, 1, 2_000, 1_500)] {
        let mut filter = RateLimit::new(rate, None).expect("a rate");
        let kept = (0..=steps).filter(|ticks| limit(&mut filter, &from("app"), at(ticks * step))).count();
        assert_eq!(kept, expected, "{rate}: those of the burst, and one each time its time has come");
    }
}

#[test]
fn each_key_has_its_rate_and_those_without_share_one() {
    let at = clock();
    let mut by_user = RateLimit::new(1.0, None).expect("a rate").by("user".parse().expect("a path"));
    let mut kept = |message: &Message| limit(&mut by_user, message, at(0));
    assert!(kept(&with("user", "a")) && kept(&with("user", "b")) && kept(&with("user", 1)) && kept(&with("user", "1")));
    assert!(!kept(&with("user", "a")) && !kept(&with("user", 1)));
    assert!(kept(&from("app")));
    assert!(!kept(&from("other")) && !kept(&with("user", ())), "no user and null share one");
    let mut by_logger = filter("rate_limit", "per_second = 0.001\nkey = 'logger'");
    assert!(
        keeps(&mut *by_logger, &from("a")) && keeps(&mut *by_logger, &from("b")) && !keeps(&mut *by_logger, &from("a"))
    );
    assert_eq!(by_logger.decide("log", Severity::Error), None);
}

#[test]
fn keys_beyond_the_table_share_one_limit_until_others_have_rested() {
    let at = clock();
    let mut filter = RateLimit::new(0.1, NonZeroU32::new(2)).expect("a rate").by("user".parse().expect("a path"));
    let mut kept = |user: u32, millis| limit(&mut filter, &with("user", user), at(millis));
    assert_eq!((0..10_000).filter(|user| kept(*user, 0)).count(), 10_000);
    assert_eq!((10_000..10_100).filter(|user| kept(*user, 0)).count(), 2, "the shared bucket's burst");
    assert!(kept(5, 0) && !kept(5, 0), "those in the table are as before");
    assert!(!kept(10_000, 2_000), "nobody has rested yet");
    // One interval later each but user 5 is full again, and makes room.
    assert_eq!((10_000..10_100).filter(|user| kept(*user, 10_000)).count(), 100);
    assert!(kept(5, 10_000) && !kept(5, 10_000), "one interval, one message");
}

#[test]
fn a_repetition_is_swallowed_until_the_window_has_passed() {
    let at = clock();
    let mut filter = Dedup::new(Duration::from_secs(5));
    let swallowed = filter.swallowed();
    let mut kept = |message: &Message, millis| once(&mut filter, message, at(millis));
    let same = from("app");
    assert!(kept(&same, 0) && !kept(&same, 0) && !kept(&same, 4_999));
    assert_eq!(swallowed.get(), 2);
    assert!(kept(&same, 5_000), "counted from the one that passed, so a steady stream is heard of");
    assert!(!kept(&same, 9_999) && kept(&same, 10_000));
    let mut other_severity = from("app").severity(Severity::Error);
    other_severity.fields.set("n", 1);
    assert!(!kept(&other_severity, 10_001), "neither severity nor fields are in the key");
    for other in [from("app").payload("text "), from("app2"), Message::new("audit").logger("app").payload("text")] {
        assert!(kept(&other, 10_001) && !kept(&other, 10_002));
    }
    assert_eq!(swallowed.get(), 7);
}

#[test]
fn the_key_is_a_list_of_places() {
    let at = clock();
    let mut filter =
        Dedup::new(Duration::from_secs(5)).by(["user", "payload"].map(|path| path.parse().expect("a path")));
    let mut kept = |message: &Message| once(&mut filter, message, at(0));
    assert!(kept(&with("user", "a")) && !kept(&with("user", "a")) && kept(&with("user", "b")));
    assert!(kept(&with("user", 1)) && kept(&with("user", "1")), "a number is no text");
    assert!(kept(&from("x")) && !kept(&from("y")), "both have no user, and logger is not in the key");
    assert!(
        kept(&with("user", ())) && kept(&with("user", "")) && kept(&with("user", "null")),
        "null is something, and not this"
    );
    assert!(
        kept(&with("user", "te").payload("xt")) && kept(&with("user", "tex").payload("t")),
        "values do not run together"
    );
    let mut read = filter_with_default_key();
    assert!(keeps(&mut *read, &from("a")) && !keeps(&mut *read, &from("a")) && keeps(&mut *read, &from("b")));
    assert_eq!(read.decide("log", Severity::Error), None);
}

fn filter_with_default_key() -> Box<dyn Filter> {
    open("dedup", &ini_settings("window = 1h")).expect("opens")
}

#[test]
fn too_many_to_remember_pass_again_and_none_is_swallowed_wrongly() {
    let at = clock();
    let mut filter = Dedup::new(Duration::from_secs(3600)).by(["n".parse().expect("a path")]);
    let mut kept = |n: u32| once(&mut filter, &with("n", n), at(0));
    assert_eq!((0..65_536).filter(|n| kept(*n)).count(), 65_536);
    assert!(!kept(0), "all are remembered");
    assert!(kept(65_536), "the oldest made room");
    assert!(kept(0) && !kept(65_536) && !kept(2), "and it alone passes again");
    assert!(kept(1), "as the next one does after it");
}

#[test]
fn mistakes_are_told_with_their_place() {
    for (name, toml, words) in [
        ("logger", "not = []", "test.toml:1:1: `logger` needs `is` or `not`"),
        ("logger", "iss = 'a'", "did you mean `is`?"),
        (
            "sample",
            "rate = 1.5",
            "test.toml:1:8: `rate`: expected a part of all messages, 0 to 1, such as 0.1; found 1.5",
        ),
        ("sample", "rate = nan", "0 to 1"),
        ("sample", "rate = -0.1", "0 to 1"),
        ("sample", "key = 'a'", "missing key `rate`"),
        ("sample", "rate = 1\nkey = 'type.a'", "test.toml:2:7: `key`: `type` holds no other values"),
        ("rate_limit", "per_second = 0", "test.toml:1:14: `per_second`: expected messages per second"),
        ("rate_limit", "per_second = inf", "found inf"),
        ("rate_limit", "per_second = 1\nburst = 0", "test.toml:2:9: "),
        ("rate_limit", "burst = 1", "missing key `per_second`"),
        ("dedup", "window = 0", "test.toml:1:10: `window`: expected a time above nought, such as `5s`"),
        ("dedup", "window = '5 moons'", "`5 moons` is not a time"),
        ("dedup", "window = 5\nkey = []", "test.toml:2:7: `key`: without a place all messages would be the same"),
        ("dedup", "window = 5\nkey = ['a', '.']", "test.toml:2:13: `key[1]`: `.` is not a path"),
        ("dedup", "key = 'a'", "missing key `window`"),
    ] {
        let problems = open(name, &settings(toml)).err().expect("refused");
        assert!(problems.contains(words), "{toml}\n{problems}");
    }
}

#[test]
fn whoever_only_looks_counts_for_nothing() {
    for (name, toml) in [
        ("rate_limit", "per_second = 0.001\nburst = 2"),
        ("rate_limit", "per_second = 0.001\nburst = 2\nkey = 'logger'"),
        ("quota", "messages = '1/h'\nburst = '2h'\nby = 'logger'"),
        ("dedup", "window = '1h'"),
        ("sample", "rate = 0.5"),
        ("severity_max", "severity = 4"),
    ] {
        let mut filter = filter(name, toml);
        let mut text = Vec::new();
        wire::write(&mut text, &from("app"));
        for _ in 0..4 {
            let looked = [(); 5].map(|()| event(&text, |event| filter.peek(event)));
            let kept = event(&text, |event| filter.keep(event));
            assert_eq!(looked, [kept; 5], "{name} {toml}");
        }
    }
}
