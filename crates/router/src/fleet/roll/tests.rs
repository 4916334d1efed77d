use super::super::report::{EndpointPart, FORM, MOST_BYTES, MOST_PARTS};
use super::super::sums::{EndpointSums, InputSums, Transport};
use super::*;
use proptest::prelude::*;

/// A router with an honest account: so many received over TCP, of which so many wait and the others were delivered.
fn report(name: &str, life: u64, number: u64, received: u64, buffered: u64, backlog: u64) -> Report {
    let delivered = received + backlog - buffered;
    Report {
        form: FORM,
        name: name.to_owned(),
        instance: format!("{life:016x}"),
        version: "1.2.3".to_owned(),
        started: 1_790_000_000_000,
        uptime: number * 1000,
        every: 1000,
        number,
        sums: Sums {
            inputs: InputSums { received, accepted: received, ..InputSums::default() },
            endpoints: EndpointSums { accepted: received + backlog, delivered, buffered, ..EndpointSums::default() },
            transports: BTreeMap::from([("tcp".to_owned(), Transport { taken: received, given: 0 })]),
        },
        backlog,
        ..Report::default()
    }
}

fn after(start: Instant, seconds: u64) -> Instant {
    start + Duration::from_secs(seconds)
}

fn hear(roll: &mut Roll, report: &Report, now: Instant) -> Result<Heard, Refusal> {
    roll.hear(&report.clone().write(), now).map_err(|(refusal, _)| refusal)
}

/// Received, delivered and waiting, while the law holds.
fn sums(roll: &Roll) -> (u64, u64, u64) {
    let sums = roll.sums();
    assert_eq!((sums.inputs.unaccounted(), sums.endpoints.unaccounted()), (0, 0), "{sums:#?}");
    (sums.inputs.received, sums.endpoints.delivered, sums.endpoints.buffered)
}

fn states(roll: &Roll, now: Instant) -> Vec<(&'static str, u64)> {
    roll.states(now).into_iter().filter(|(_, count)| *count > 0).collect()
}

#[test]
fn a_silent_router_is_kept_and_one_that_starts_again_is_not_counted_twice() {
    let (start, mut roll) = (Instant::now(), Roll::new(None));
    for (name, life) in [("a", 1), ("b", 2)] {
        assert_eq!(hear(&mut roll, &report(name, life, 1, 100, 30, 0), start), Ok(Heard::Taken));
    }
    assert_eq!(sums(&roll), (200, 140, 60));
    hear(&mut roll, &report("b", 2, 2, 100, 30, 0), after(start, 11)).expect("heard");
    assert_eq!(states(&roll, after(start, 11)), [("running", 1), ("silent", 1)]);
    assert_eq!(sums(&roll), (200, 140, 60), "its last numbers stay");

    // Its second life begins with 25 of the 30 that waited: 5 went on unheard.
    hear(&mut roll, &report("a", 3, 1, 0, 25, 25), after(start, 12)).expect("heard");
    assert_eq!(sums(&roll), (200, 140, 55));
    assert_eq!(roll.sums().endpoints.unheard, 5);
    assert_eq!(roll.sums().endpoints.accepted, 200, "no message twice, and none gone");
    hear(&mut roll, &report("a", 3, 2, 10, 0, 25), after(start, 13)).expect("heard");
    assert_eq!(sums(&roll), (210, 175, 30));
    let told = roll.tell(after(start, 13), 10, false);
    assert_eq!(told["routers"].as_array().map(Vec::len), Some(2));
    assert_eq!((&told["routers"][0]["lives_before"], &told["total"]["lives_before"]), (&json!(1), &json!(1)));
}

#[test]
fn ten_lives_of_one_router_are_one_sum() {
    let (start, mut roll) = (Instant::now(), Roll::new(None));
    let (mut backlog, mut received) = (0, 0);
    for life in 1..=10 {
        let buffered = backlog + 7;
        hear(&mut roll, &report("a", life, 1, 20, buffered, backlog), after(start, life)).expect("heard");
        received += 20;
        backlog = buffered;
        assert_eq!(sums(&roll), (received, received - backlog, backlog));
        assert_eq!(roll.sums().endpoints.accepted, received);
    }
    assert_eq!(states(&roll, after(start, 10)), [("running", 1)]);
    assert_eq!(roll.tell(after(start, 10), 1, false)["total"]["lives_before"], json!(9));
}

#[test]
fn two_routers_of_one_name_are_a_conflict_and_both_count() {
    let (start, mut roll) = (Instant::now(), Roll::new(Some(format!("{:016x}", 1))));
    roll.own(report("a", 1, 1, 100, 10, 0), start);
    hear(&mut roll, &report("a", 2, 1, 50, 5, 0), after(start, 1)).expect("heard");
    assert_eq!(states(&roll, after(start, 1)), [("conflict", 2)]);
    assert_eq!(roll.conflicts(after(start, 1)), ["a"]);
    assert_eq!(sums(&roll), (150, 135, 15));
    // As a third sees it: who seemed to be over speaks again.
    let mut roll = Roll::new(None);
    for number in 1..=3 {
        for life in [1, 2, 3] {
            hear(&mut roll, &report("a", life, number, 100, 10, 0), after(start, number)).expect("heard");
        }
    }
    assert_eq!(states(&roll, after(start, 3)), [("conflict", 3)]);
    assert_eq!(sums(&roll), (300, 270, 30));
    hear(&mut roll, &report("a", 3, 20, 100, 10, 0), after(start, 20)).expect("heard");
    assert_eq!(states(&roll, after(start, 20)), [("running", 1), ("silent", 2)]);
    assert_eq!(sums(&roll), (300, 270, 30));
}

#[test]
fn a_router_takes_its_sums_along_to_another_name() {
    let (start, mut roll) = (Instant::now(), Roll::new(None));
    hear(&mut roll, &report("a", 1, 1, 100, 10, 0), start).expect("heard");
    hear(&mut roll, &report("b", 1, 2, 110, 0, 0), start).expect("heard");
    assert_eq!(sums(&roll), (110, 110, 0));
    assert_eq!(states(&roll, start), [("running", 1)]);
}

#[test]
fn an_orderly_end_is_no_silence_and_is_shown_for_a_while() {
    let (start, mut roll) = (Instant::now(), Roll::new(None));
    let last = Report { ends: true, ..report("a", 1, 5, 100, 10, 0) };
    hear(&mut roll, &last, start).expect("heard");
    assert_eq!(states(&roll, after(start, 60)), [("stopped", 1)]);
    assert_eq!(hear(&mut roll, &last, after(start, 60)), Err(Refusal::Stale), "said again by somebody");
    assert_eq!(roll.tell(after(start, 3600), 10, false)["routers"], json!([]));
    assert_eq!(sums(&roll), (100, 90, 10), "and counts for ever");
    assert_eq!(hear(&mut roll, &last, after(start, 3601)), Err(Refusal::Stale), "long after");
    hear(&mut roll, &report("a", 2, 1, 0, 10, 10), after(start, 4000)).expect("heard");
    assert_eq!(sums(&roll), (100, 90, 10), "what waited waits here now");
}

#[test]
fn who_was_only_out_of_reach_is_there_again_as_before() {
    let (start, mut roll) = (Instant::now(), Roll::new(None));
    hear(&mut roll, &report("a", 1, 1, 100, 10, 0), start).expect("heard");
    assert_eq!(roll.tell(after(start, 3600), 10, false)["routers"], json!([]));
    hear(&mut roll, &report("a", 1, 3600, 150, 0, 0), after(start, 3600)).expect("heard");
    assert_eq!((sums(&roll), states(&roll, after(start, 3600))), ((150, 150, 0), vec![("running", 1)]));
}

#[test]
fn foreign_words_are_refused_with_a_reason_and_counted() {
    let (start, mut roll) = (Instant::now(), Roll::new(Some(format!("{:016x}", 9))));
    let good = || report("a", 1, 1, 100, 10, 0);
    let changed = |change: &dyn Fn(&mut Value)| {
        let mut value = serde_json::to_value(good()).expect("JSON");
        change(&mut value);
        value.to_string().into_bytes()
    };
    let part = EndpointPart {
        name: "e".into(),
        kind: "file".into(),
        state: "held".into(),
        delivered: 0,
        buffered: 0,
        oldest: 0,
        error: None,
    };
    let cases: Vec<(Vec<u8>, Refusal)> = vec![
        (b"".to_vec(), Refusal::Malformed),
        (b"hello".to_vec(), Refusal::Malformed),
        (b"{}".to_vec(), Refusal::Malformed),
        (vec![b'['; MOST_BYTES], Refusal::Malformed),
        (vec![b' '; MOST_BYTES + 1], Refusal::TooLarge),
        (b"{\"form\":2,\"what\":[1]}".to_vec(), Refusal::Form),
        (changed(&|value| value["name"] = json!("a\u{1b}[2J")), Refusal::Malformed),
        (changed(&|value| value["name"] = json!("<b>")), Refusal::Malformed),
        (changed(&|value| value["name"] = json!("")), Refusal::Malformed),
        (changed(&|value| value["name"] = json!("a".repeat(65))), Refusal::Malformed),
        (changed(&|value| value["instance"] = json!("x")), Refusal::Malformed),
        (changed(&|value| value["every"] = json!(0)), Refusal::Malformed),
        (changed(&|value| value["every"] = json!(u64::MAX)), Refusal::Malformed),
        (changed(&|value| value["inputs"]["received"] = json!(u64::MAX)), Refusal::Malformed),
        (changed(&|value| value["inputs"]["received"] = json!(-1)), Refusal::Malformed),
        (changed(&|value| value["transports"]["\u{202e}x"] = json!({"taken": 1, "given": 1})), Refusal::Malformed),
        (changed(&|value| value["endpoint_parts"] = json!(vec![&part; MOST_PARTS + 1])), Refusal::Malformed),
        (changed(&|value| value["endpoint_parts"] = json!([{"name": "e"}])), Refusal::Malformed),
    ];
    for (text, refusal) in &cases {
        let refused = roll.hear(text, start).map_err(|(refusal, _)| refusal);
        assert_eq!(refused, Err(*refusal), "{}", String::from_utf8_lossy(text));
    }
    assert_eq!(roll.hear(&good().write(), start).expect("one that is right"), Heard::Taken);
    assert_eq!(hear(&mut roll, &good(), start), Err(Refusal::Stale));
    assert_eq!(hear(&mut roll, &Report { instance: format!("{:016x}", 9), ..good() }, start), Ok(Heard::Echo));
    let counted: u64 = roll.refused().map(|(_, count)| count).sum();
    assert_eq!(counted, cases.len() as u64 + 1);
    assert_eq!(sums(&roll), (100, 90, 10));
    assert_eq!(roll.tell(start, 10, false)["last_refused"]["reason"], json!("stale"));
}

#[test]
fn a_flood_of_names_is_bounded_and_does_not_push_out_those_who_speak() {
    let (start, mut roll) = (Instant::now(), Roll::new(Some(format!("{:016x}", 1))));
    roll.own(report("own", 1, 1, 10, 0, 0), start);
    hear(&mut roll, &report("real", 2, 1, 10, 0, 0), start).expect("heard");
    for number in 0..2000 {
        let heard = hear(&mut roll, &report(&format!("fake-{number}"), 1000 + number, 1, 1, 0, 0), start);
        assert_eq!(heard.is_ok(), number < MOST as u64 - 2, "{number}: {heard:?}");
    }
    assert_eq!(roll.members.len(), MOST);
    assert_eq!(roll.refused().find(|(why, _)| *why == Refusal::TooMany), Some((Refusal::TooMany, 1002)));
    let told = roll.tell(start, 100, false);
    assert_eq!((told["routers"].as_array().map(Vec::len), &told["left_out"]), (Some(100), &json!(900)));
    // When they are silent, whoever is real finds room, and nothing is lost from the sums.
    roll.own(report("own", 1, 2, 10, 0, 0), after(start, 20));
    hear(&mut roll, &report("real", 2, 2, 10, 0, 0), after(start, 20)).expect("heard");
    hear(&mut roll, &report("late", 3, 1, 5, 0, 0), after(start, 20)).expect("room");
    assert_eq!(sums(&roll), (20 + (MOST as u64 - 2) + 5, 20 + (MOST as u64 - 2) + 5, 0));
    assert!(["own", "real", "late"].iter().all(|name| roll.members.contains_key(*name)));
}

#[test]
fn more_than_can_be_listened_to_is_not_listened_to() {
    let (start, mut roll) = (Instant::now(), Roll::new(None));
    let noise = vec![b'x'; 30 * 1024];
    let refused = (0..2000).filter_map(|_| roll.hear(&noise, start).err());
    let fast = refused.filter(|(refusal, _)| *refusal == Refusal::TooFast).count();
    assert!((1000..2000).contains(&fast), "{fast}");
    assert!(hear(&mut roll, &report("a", 1, 1, 1, 0, 0), after(start, 1)).is_ok(), "a second later");
}

#[test]
fn a_report_of_many_parts_is_cut_and_its_sums_are_not() {
    let part = |number: usize| EndpointPart {
        name: format!("endpoint-{number}-{}", "x".repeat(40)),
        kind: "victorialogs".into(),
        state: "held".into(),
        delivered: u64::MAX >> 20,
        buffered: u64::MAX >> 20,
        oldest: u64::MAX >> 20,
        error: Some("ä\u{1b}".repeat(1000)),
    };
    let whole = Report { endpoint_parts: (0..100).map(part).collect(), ..report("a", 1, 1, 100, 10, 0) };
    let text = whole.clone().write();
    assert!(text.len() <= MOST_BYTES * 3 / 4, "{}", text.len());
    let read = Report::read(&text).expect("a report");
    assert_eq!(read.cut.endpoints + read.endpoint_parts.len() as u64, 100);
    assert!(!read.endpoint_parts.is_empty() && read.sums == whole.sums);
    assert!(read.troubles().next().is_some_and(|said| said.starts_with("endpoint-0-") && said.contains("is held")));
}

proptest! {
    #[test]
    fn whatever_is_said_is_survived(text in prop::collection::vec(any::<u8>(), 0..300)) {
        let mut roll = Roll::new(None);
        prop_assert!(roll.hear(&text, Instant::now()).is_err());
    }

    /// A report that somebody has put his hands on: refused, or one whose numbers can be told.
    #[test]
    fn whatever_becomes_of_a_report_is_survived(changes in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..8)) {
        let part = EndpointPart {
            name: "e".into(), kind: "file".into(), state: "held".into(), delivered: 1, buffered: 1, oldest: 1, error: Some("no".into()),
        };
        let mut text = Report { endpoint_parts: vec![part], ..report("a", 1, 1, 100, 10, 3) }.write();
        for (at, byte) in changes {
            let at = at.index(text.len());
            if let Some(place) = text.get_mut(at) {
                *place = byte;
            }
        }
        let (mut roll, now) = (Roll::new(None), Instant::now());
        let taken = roll.hear(&text, now).is_ok();
        prop_assert_eq!(roll.members.len(), usize::from(taken));
        let told = roll.tell(now, 10, true).to_string();
        prop_assert!(told.chars().all(|c| !c.is_control()));
        hear(&mut roll, &report("a", 2, 1, 100, 10, 3), now).expect("the next life");
    }

    /// Any order of lives, deaths, losses and repetitions: the sums obey the law and never go backwards.
    #[test]
    fn sums_only_grow(steps in prop::collection::vec((0..3_u64, 0..6_u8, 0..50_u64), 1..80)) {
        let start = Instant::now();
        let mut roll = Roll::new(None);
        // Of each router: life, report, received and waiting in this life, backlog.
        let mut routers = [(0_u64, 0_u64, 0_u64, 0_u64, 0_u64); 3];
        let (mut lives, mut before) = (0, Sums::default());
        for (at, (who, what, count)) in (0_u64..).zip(steps) {
            let router = &mut routers[usize::try_from(who).unwrap()];
            if router.0 == 0 || what == 0 {
                lives += 1;
                // Some of what waited has gone on between the last word and the end.
                let backlog = router.3.saturating_sub(count);
                *router = (lives, 0, 0, backlog, backlog);
            }
            let (life, number, received, buffered, backlog) = router;
            *number += 1;
            *received += count;
            *buffered = (*buffered + count) / 2;
            let said = report(&format!("r{who}"), *life, *number, *received, *buffered, *backlog);
            // Some words are lost.
            if what != 1 {
                prop_assert!(hear(&mut roll, &said, after(start, at * 4)).is_ok());
            }
            let now = roll.sums();
            sums(&roll);
            let grows = |now: u64, before: u64| now >= before;
            prop_assert!(grows(now.inputs.received, before.inputs.received), "{now:?} {before:?}");
            prop_assert!(grows(now.endpoints.accepted, before.endpoints.accepted), "{now:?} {before:?}");
            prop_assert!(grows(now.endpoints.delivered, before.endpoints.delivered));
            before = now;
        }
    }
}
