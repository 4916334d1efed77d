//! `quota`: so much for each, and no more.

mod common;

use common::{event, filter, open};
use metlog_filters::Quota;
use metlog_message::Message;
use metlog_message::wire;
use metlog_pipeline::registry::Configured;
use metlog_pipeline::{Edit, Reason};
use metlog_testkit::{of_example, settings};
use proptest::prelude::*;
use std::time::{Duration, Instant};

fn quota(toml: &str) -> Quota {
    let config = metlog_settings::read(&settings(toml)).unwrap_or_else(|problems| panic!("{problems}"));
    Quota::open(config).unwrap_or_else(|why| panic!("{why}"))
}

fn clock() -> impl Fn(u64) -> Instant {
    let began = Instant::now();
    move |millis| began + Duration::from_millis(millis)
}

fn text(client: Option<&str>, logger: &str, bytes: usize) -> Vec<u8> {
    let mut text = Vec::new();
    wire::write(&mut text, &Message::new("log").logger(logger).payload(""));
    if let Some(client) = client {
        let more = format!(",\"metlog_client\":\"{client}\",\"metlog_seq\":1}}");
        text.pop();
        text.extend_from_slice(more.as_bytes());
    }
    let filled = text.len().max(bytes) - text.len();
    text.resize(text.len() + filled, b' ');
    text
}

fn kept(quota: &mut Quota, text: &[u8], at: Instant) -> bool {
    event(text, |event| quota.keep_at(event, at))
}

#[test]
fn each_client_has_its_own_and_those_without_a_name_share_one() {
    let at = clock();
    let mut fair = quota("messages = '10/s'");
    let mut count = |client: Option<&str>, millis| {
        let text = text(client, "app", 0);
        (0..50).filter(|_| kept(&mut fair, &text, at(millis))).count()
    };
    assert_eq!((count(Some("a"), 0), count(Some("b"), 0), count(None, 0)), (10, 10, 10));
    assert_eq!((count(Some("a"), 100), count(Some("a"), 600), count(Some("a"), 60_000)), (1, 5, 10));
    let mut fair = quota("messages = 4\nby = 'logger'\nburst = '500ms'");
    let mut count = |logger: &str| (0..50).filter(|_| kept(&mut fair, &text(None, logger, 0), at(0))).count();
    assert_eq!((count("x"), count("y")), (2, 2));
}

#[test]
fn bytes_count_and_one_larger_message_passes_when_nothing_is_owed() {
    let at = clock();
    let mut fair = quota("bytes = '10 kB/s'\nmessages = '100/s'");
    let mut count = |bytes, millis| (0..200).filter(|_| kept(&mut fair, &text(None, "x", bytes), at(millis))).count();
    assert_eq!(count(1000, 0), 10);
    assert_eq!(count(20_000, 999), 0, "a little is owed");
    assert_eq!(count(20_000, 1000), 1);
    assert_eq!(
        (count(200, 1999), count(200, 2900), count(1000, 3500)),
        (0, 45, 6),
        "what passed took two seconds' worth"
    );
    assert_eq!(count(200, 10_000), 50);
    let own = text(None, "x", 0).len();
    assert!((100..200).contains(&own), "{own}");
    assert_eq!(count(1, 20_000), 10_000 / own, "bytes come first");
}

#[test]
fn as_an_editor_it_says_which_quota() {
    let mut fair = filter("quota", "messages = '2/m'\nby = 'fields.tenant'");
    let text = text(None, "x", 0);
    let mut out = Vec::new();
    let mut edit = || event(&text, |event| fair.edit(event, &mut out));
    assert_eq!(edit(), Edit::Keep);
    let Edit::Drop { reason, why } = edit() else { panic!("one a burst") };
    assert_eq!((reason, &*why), (Reason::Quota, "over the quota of 2 messages/m by fields.tenant"));
    assert!(out.is_empty() && fair.another().is_none());
}

#[test]
fn the_table_is_bounded() {
    let at = clock();
    let mut fair = quota("messages = '1/s'");
    let mut one = |client: u32, millis| kept(&mut fair, &text(Some(&client.to_string()), "x", 0), at(millis));
    assert_eq!((0..10_000).filter(|client| one(*client, 0)).count(), 10_000);
    assert_eq!((10_000..10_100).filter(|client| one(*client, 0)).count(), 1, "they share one");
    assert_eq!((10_000..10_100).filter(|client| one(*client, 1_500)).count(), 100, "others have rested");
}

#[test]
fn mistakes_are_told_with_their_place() {
    for (toml, words) in [
        ("", "`quota` needs `messages` or `bytes`"),
        ("messages = 'many'", "test.toml:1:12: `messages`: expected a number of messages in a time, such as `1000/s`"),
        ("messages = '5/week'", "found `5/week`"),
        ("messages = 0", "found `0`"),
        ("messages = '-1/s'", "found `-1/s`"),
        ("messages = 'nan/s'", "found `nan/s`"),
        ("bytes = '1 M/s'", "can be meant in two ways"),
        ("bytes = '0 B/s'", "one byte to a terabyte"),
        ("messages = 1\nburst = 'x'", "test.toml:2:9: "),
        ("messages = 1\nby = '.'", "is not a path"),
    ] {
        let problems = open("quota", &settings(toml)).err().unwrap_or_else(|| panic!("taken: {toml}"));
        assert!(problems.contains(words), "{toml}\n{problems}");
    }
    assert!(open("quota", &of_example(include_str!("../example-quota.toml"))).is_ok());
}

proptest! {
    /// In any time: at most the rate and a burst. And who stays below the rate is never turned down.
    #[test]
    fn no_more_than_the_rate_and_a_burst(
        rate in 1..2000_u32, burst in 1..5000_u64, gaps in proptest::collection::vec(0..400_u64, 1..300),
    ) {
        let at = clock();
        let mut fair = quota(&format!("messages = '{rate}/s'\nburst = '{burst}ms'"));
        let line = text(Some("a"), "x", 0);
        let (mut now, mut passed) = (0, 0_u64);
        for gap in &gaps {
            now += gap;
            passed += u64::from(kept(&mut fair, &line, at(now)));
        }
        let allowed = (u64::from(rate) * (now + burst)) / 1000 + 1;
        prop_assert!(passed <= allowed, "{passed} > {allowed}");
        let mut calm = quota(&format!("messages = '{rate}/s'\nburst = '{burst}ms'"));
        let step = 1000_u64.div_ceil(u64::from(rate));
        prop_assert!((0..100).all(|n| kept(&mut calm, &line, at(n * step))));
    }
}
