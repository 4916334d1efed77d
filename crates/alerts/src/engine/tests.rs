//! The engine beside a model that keeps everything and is as simple as the rules are said, under a clock that stands
//! still.

use super::*;
use crate::rules::{Keys, When};
use metlog_message::{Message, wire};
use metlog_settings::Span;
use proptest::collection::vec;
use proptest::prelude::*;
use std::collections::BTreeMap;

fn at(ms: u64) -> Duration {
    Duration::from_millis(ms)
}

fn seconds(number: u64) -> Duration {
    Duration::from_secs(number)
}

fn message(kind: &str) -> Message {
    Message::new(kind).logger("shop").payload(format!("about {kind}"))
}

fn text(message: &Message) -> Vec<u8> {
    let mut text = Vec::new();
    wire::write(&mut text, message);
    text
}

fn rules(keys: Keys) -> Rules {
    keys.rules().unwrap()
}

fn each(throttle: Duration) -> Keys {
    Keys { throttle: Some(Span(throttle)), ..Keys::default() }
}

/// What of a notice the model knows: when, why, of which group, how many messages and how many before.
type Told = (u64, &'static str, String, u64, u64);

fn told(now: u64, notices: Vec<Notice>) -> Vec<Told> {
    let mut all = Vec::new();
    for notice in notices {
        assert_eq!((notice.items.len(), notice.left_out), (1, 0));
        for item in notice.items {
            let group = item.group.iter().find(|(name, _)| name == "type").map(|(_, value)| value.clone());
            if let (Some(group), Some(message)) = (&group, &item.message) {
                assert_eq!(*group, message.kind);
            }
            all.push((now, item.cause.word(), group.unwrap_or_default(), item.count, item.held));
        }
    }
    all
}

#[derive(Debug, Clone)]
enum Step {
    Message(usize),
    Alert,
    Tick,
}

fn steps() -> impl Strategy<Value = Vec<(u64, Step)>> {
    let step = prop_oneof![6 => (0..3usize).prop_map(Step::Message), 1 => Just(Step::Alert), 3 => Just(Step::Tick)];
    // Round times, so that ends and messages often fall together.
    let round = (0..7u64).prop_map(|tens| tens * 10_000);
    vec((prop_oneof![3 => round, 4 => 0..500u64, 2 => 0..20_000u64, 1 => 0..90_000u64], step), 0..150)
}

fn throttle() -> impl Strategy<Value = u64> {
    prop_oneof![(0..5u64).prop_map(|tens| tens * 10_000), 1..40_000u64, 1..300_000u64]
}

const KINDS: [&str; 3] = ["a", "b", "c"];

fn run(keys: &Keys, steps: &[(u64, Step)]) -> (Vec<Told>, Vec<Told>) {
    let mut engine = Engine::new(rules(keys.clone()));
    let (mut all, mut now) = (Vec::new(), 0);
    for (gap, step) in steps {
        now += gap;
        let mut out = Vec::new();
        match step {
            Step::Message(kind) => engine.feed(&text(&message(KINDS[*kind])), at(now), &mut out).unwrap(),
            Step::Alert => engine.feed(&text(&message("x").field("alert", true)), at(now), &mut out).unwrap(),
            Step::Tick => engine.tick(at(now), &mut out),
        }
        all.extend(told(now, out));
    }
    let mut rest = Vec::new();
    engine.finish(&mut rest);
    let mut last = Vec::new();
    for notice in rest {
        for item in notice.items {
            last.extend(told(now, vec![Notice { number: 0, items: vec![item], left_out: 0 }]));
        }
    }
    (all, last)
}

/// A minute's allowance: it begins with the first that asks after the last one ended.
#[derive(Default)]
struct Minute(Option<u64>, u32);

impl Minute {
    fn take(&mut self, now: u64, most: u32) -> bool {
        if self.0.is_none_or(|began| now >= began + 60_000) {
            *self = Minute(Some(now), 0);
        }
        self.1 += 1;
        self.1 <= most
    }
    fn end(&self) -> u64 {
        self.0.map_or(0, |began| began + 60_000)
    }
}

#[derive(Default)]
struct Model {
    pauses: BTreeMap<usize, u64>,
    held: BTreeMap<usize, u64>,
    /// When the messages of a rate came, since it was last exceeded.
    came: BTreeMap<usize, Vec<u64>>,
    minute: Minute,
    alerts: Minute,
    alerts_held: u64,
    told: Vec<Told>,
}

impl Model {
    fn run(mut self, throttle: u64, most: u32, rate: Option<(u64, u64)>, steps: &[(u64, Step)]) -> (Vec<Told>, u64) {
        let mut now = 0;
        for (gap, step) in steps {
            now += gap;
            match step {
                Step::Message(kind) => match rate {
                    None => self.hit(*kind, 1, "each", now, throttle, most),
                    Some((more_than, within)) => {
                        let came = self.came.entry(*kind).or_default();
                        came.push(now);
                        let part = within / 60;
                        let count = came.iter().filter(|time| now / part - **time / part < 60).count() as u64;
                        if count > more_than {
                            came.clear();
                            self.hit(*kind, count, "rate", now, throttle, most);
                        }
                    }
                },
                Step::Alert if self.alerts.take(now, most) => {
                    let held = std::mem::take(&mut self.alerts_held);
                    self.told.push((now, "alert", String::new(), 1, held));
                }
                Step::Alert => self.alerts_held += 1,
                Step::Tick => {
                    if self.alerts_held > 0 && self.alerts.take(now, most) {
                        let held = std::mem::take(&mut self.alerts_held);
                        self.told.push((now, "alert", String::new(), held, 0));
                    }
                    let mut due: Vec<(u64, usize)> = self
                        .held
                        .keys()
                        .map(|kind| (self.pauses[kind], *kind))
                        .filter(|(end, _)| *end <= now)
                        .collect();
                    due.sort_unstable();
                    for (_, kind) in due {
                        if self.minute.take(now, most) {
                            let count = self.held.remove(&kind).unwrap();
                            self.told.push((now, "held", KINDS[kind].into(), count, 0));
                            self.pauses.insert(kind, now + throttle);
                        } else {
                            self.pauses.insert(kind, self.minute.end());
                        }
                    }
                }
            }
        }
        let left = self.held.values().sum::<u64>() + self.alerts_held;
        (self.told, left)
    }

    fn hit(&mut self, kind: usize, count: u64, cause: &'static str, now: u64, throttle: u64, most: u32) {
        let pausing = self.pauses.get(&kind).is_some_and(|end| *end > now);
        if !pausing && self.minute.take(now, most) {
            let held = self.held.remove(&kind).unwrap_or(0);
            self.told.push((now, cause, KINDS[kind].into(), count, held));
            self.pauses.insert(kind, now + throttle);
        } else {
            *self.held.entry(kind).or_default() += count;
            if !pausing {
                self.pauses.insert(kind, self.minute.end());
            }
        }
    }
}

proptest! {
    #[test]
    fn each_message_is_told_once_or_counted(steps in steps(), throttle in throttle(), most in 1..6u32) {
        let keys = Keys { per_minute: Some(most), ..each(at(throttle)) };
        let (all, last) = run(&keys, &steps);
        let (expected, left) = Model::default().run(throttle, most, None, &steps);
        prop_assert_eq!(&all, &expected);
        let sum = |told: &[Told]| told.iter().map(|(.., count, held)| count + held).sum::<u64>();
        prop_assert_eq!(sum(&last), left);
        let messages = steps.iter().filter(|(_, step)| !matches!(step, Step::Tick)).count() as u64;
        prop_assert_eq!(sum(&all) + sum(&last), messages);
        for kind in KINDS {
            let times: Vec<u64> = all.iter().filter(|(_, _, group, ..)| group == kind).map(|told| told.0).collect();
            prop_assert!(times.windows(2).all(|pair| pair[1] - pair[0] >= throttle), "{:?}", times);
        }
    }

    #[test]
    fn a_rate_is_exceeded_when_it_is(steps in steps(), more_than in 1..8u64, within in 1..120u64, throttle in throttle()) {
        let keys = Keys {
            when: When::Rate,
            more_than: Some(more_than),
            within: Some(Span(seconds(within * 3))),
            per_minute: Some(1000),
            ..each(at(throttle))
        };
        let (all, _) = run(&keys, &steps);
        let (expected, _) = Model::default().run(throttle, 1000, Some((more_than, within * 3000)), &steps);
        prop_assert_eq!(all, expected);
    }

    #[test]
    fn an_absence_is_told_once_and_so_is_its_end(steps in steps(), absent_for in 1..60u64) {
        let keys = Keys { when: When::Absence, absent_for: Some(Span(seconds(absent_for))), per_minute: Some(1000), ..Keys::default() };
        let (all, last) = run(&keys, &steps);
        let (mut expected, mut now, mut latest, mut absent) = (Vec::new(), 0, 0, false);
        for (gap, step) in &steps {
            now += gap;
            if let Step::Tick = step {
                if !absent && now - latest >= absent_for * 1000 {
                    absent = true;
                    expected.push((now, "absent", String::new(), 0, 0));
                }
                continue;
            }
            if std::mem::take(&mut absent) {
                expected.push((now, "back", String::new(), 0, 0));
            }
            latest = now;
            if let Step::Alert = step {
                expected.push((now, "alert", String::new(), 1, 0));
            }
        }
        prop_assert_eq!(all, expected);
        prop_assert!(last.is_empty());
    }

    #[test]
    fn a_digest_holds_everything_and_comes_in_time(steps in steps(), digest in 1..120u64) {
        let keys = Keys { digest: Some(Span(seconds(digest))), per_minute: Some(1000), ..each(Duration::ZERO) };
        let mut engine = Engine::new(rules(keys));
        let (mut now, mut waiting, mut since) = (0, 0u64, None);
        for (gap, step) in &steps {
            now += gap;
            let mut out = Vec::new();
            match step {
                Step::Message(kind) => {
                    engine.feed(&text(&message(KINDS[*kind])), at(now), &mut out).unwrap();
                    prop_assert!(out.is_empty());
                    waiting += 1;
                    since.get_or_insert(now);
                }
                Step::Alert => {
                    engine.feed(&text(&message("x").field("alert", true)), at(now), &mut out).unwrap();
                    prop_assert_eq!(out.iter().map(Notice::messages).sum::<u64>(), 1, "past the digest");
                }
                Step::Tick => {
                    engine.tick(at(now), &mut out);
                    let due = since.is_some_and(|since| now >= since + digest * 1000);
                    prop_assert_eq!(out.len(), usize::from(due));
                    if due {
                        prop_assert_eq!(out.iter().map(Notice::messages).sum::<u64>(), waiting);
                        (waiting, since) = (0, None);
                    }
                }
            }
        }
        let mut out = Vec::new();
        engine.finish(&mut out);
        prop_assert_eq!(out.iter().map(Notice::messages).sum::<u64>(), waiting);
    }
}

fn feed(engine: &mut Engine, message: &Message, now: Duration) -> Vec<Notice> {
    let mut out = Vec::new();
    engine.feed(&text(message), now, &mut out).unwrap();
    out
}

#[test]
fn groups_beyond_the_last_place_are_one_and_places_become_free() {
    let mut engine = Engine::with_room(rules(each(seconds(60))), 3);
    let mut groups = Vec::new();
    for number in 0..6 {
        let out = feed(&mut engine, &message(&format!("kind {number}")), seconds(1));
        groups.push(out.first().map(|notice| notice.items[0].group.len()));
    }
    assert_eq!(groups, [Some(2), Some(2), Some(2), Some(0), None, None]);
    assert_eq!(engine.groups.len(), 3);
    let mut out = Vec::new();
    engine.tick(seconds(70), &mut out);
    assert_eq!(out.iter().map(Notice::messages).collect::<Vec<_>>(), [2]);
    assert_eq!(engine.groups.len(), 0);
    assert_eq!(feed(&mut engine, &message("kind 5"), seconds(71))[0].items[0].group.len(), 2);
}

#[test]
fn a_flood_of_groups_stays_within_its_bounds() {
    let keys = Keys { digest: Some(Span(seconds(60))), per: Some(vec!["user".into()]), ..Keys::default() };
    let mut engine = Engine::new(rules(keys));
    let mut out = Vec::new();
    let payload = "x".repeat(100_000);
    for number in 0..GROUPS + 500 {
        let big = if number < 200 { payload.as_str() } else { "" };
        let one = message("login").payload(big).field("user", format!("{number:>300}"));
        engine.feed(&text(&one.field("user", number as u64)), seconds(1), &mut out).unwrap();
    }
    assert!(out.is_empty());
    assert_eq!(engine.groups.len(), GROUPS);
    engine.tick(seconds(61), &mut out);
    let [notice] = out.as_slice() else { panic!("{}", out.len()) };
    assert_eq!(notice.items.len(), ITEMS);
    // All but what the group of all others holds back for its pause.
    assert_eq!(notice.messages(), GROUPS as u64 + 1);
    assert!(notice.to_string().len() < 2_000_000, "{}", notice.to_string().len());
    engine.finish(&mut out);
    assert_eq!(out.last().map(Notice::messages), Some(499));
}

#[test]
fn fields_count_apart_and_values_that_differ_late_do_not() {
    let keys =
        Keys { per: Some(vec!["user.id".into(), "severity".into(), "metlog_hostname".into()]), ..each(seconds(60)) };
    let mut engine = Engine::new(rules(keys));
    let of = |id: &str| text(&message("login").field("user.id", id));
    let long = "y".repeat(500);
    for (id, expected) in [("1", 1), ("2", 1), ("1", 0), (&long[..400], 1), (&long, 0)] {
        let mut out = Vec::new();
        engine.feed(&of(id), seconds(1), &mut out).unwrap();
        assert_eq!(out.len(), expected, "{id}");
    }
}

#[test]
fn only_true_is_an_alert_however_its_name_is_written() {
    let mut engine = Engine::new(rules(each(seconds(60))));
    let json = |fields: &str| {
        format!(
            r#"{{"type":"t","timestamp":"2026-11-21T10:00:00Z","logger":"","severity":6,"payload":"p","fields":{fields}}}"#
        )
    };
    for (fields, alert) in [
        (r#"{}"#, false),
        (r#"{"alert":true}"#, true),
        (r#"{ "alert" : true }"#, true),
        (r#"{"\u0061lert":true}"#, true),
        (r#"{"alert":"true"}"#, false),
        (r#"{"alert":1}"#, false),
        (r#"{"x":{"alert":true}}"#, false),
        (r#"{"x":"\"alert\":true"}"#, false),
    ] {
        let mut out = Vec::new();
        engine.feed(json(fields).as_bytes(), seconds(1), &mut out).unwrap();
        let told = out.iter().any(|notice| notice.items[0].cause == Cause::Alert);
        assert_eq!(told, alert, "{fields}");
    }
    assert!(engine.feed(b"no message", seconds(1), &mut Vec::new()).is_err());
}

#[test]
fn a_notice_reads_well_and_nothing_in_it_poses_as_ours() {
    let mut engine = Engine::new(rules(each(seconds(60))));
    let mut message = message("oldstyle").payload("boom\ntime      never\u{1b}[2J\r\n\tat line 3").field("user", 7);
    message.severity = metlog_message::Severity::Error;
    message.timestamp = metlog_message::Timestamp::parse("2026-11-21T10:00:00Z").unwrap();
    message.logger = "shop.checkout\nBcc: x".into();
    message.hostname = Some("app01".into());
    message.pid = Some(4711);
    let out = feed(&mut engine, &message, seconds(1));
    let [notice] = out.as_slice() else { panic!("{out:?}") };
    assert_eq!(notice.headline(), "error shop.checkout Bcc: x: boom");
    assert_eq!(
        notice.to_string(),
        "time      2026-11-21T10:00:00.000000Z\nseverity  error (3)\ntype      oldstyle\nlogger    shop.checkout Bcc: x\n\
         host      app01, process 4711\npayload\n    boom\n    time      never\\u{1b}[2J\n    \tat line 3\nfields\n    user = 7\n"
    );
}
