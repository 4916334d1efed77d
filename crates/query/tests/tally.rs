//! Counts, facets, timers and counters, and percentiles of many values.

use metlog_message::{Message, Severity, Timestamp, Value, wire};
use metlog_query::expr::Expr;
use metlog_query::memory::Memory;
use metlog_query::tally::{self, By, MOST_SLOTS, Tally, Took, Wanted};
use metlog_query::times::{ERROR, EXACT, Times};
use metlog_query::{Path, language};
use proptest::prelude::*;
use std::time::{Duration, Instant};

const SECOND: i64 = 1_000_000_000;
const BEGIN: i64 = 1_795_168_800 * SECOND;

fn at(second: i64) -> Timestamp {
    Timestamp::from_nanos(BEGIN + second * SECOND)
}

fn keep(messages: impl IntoIterator<Item = Message>) -> Memory {
    let store = Memory::new();
    for (position, message) in messages.into_iter().enumerate() {
        let mut raw = Vec::new();
        wire::write(&mut raw, &message);
        store.write([(position as u64, raw.as_slice())]);
    }
    store
}

fn message(kind: &str, second: i64) -> Message {
    let mut message = Message::new(kind);
    message.timestamp = at(second);
    message
}

fn count(store: &Memory, expr: &Expr, wanted: &Wanted) -> Tally {
    tally::tally(store, expr, wanted, Instant::now() + Duration::from_secs(60)).unwrap()
}

#[test]
fn counts_over_time_lie_in_buckets_of_equal_width() {
    let store = keep(
        (0..100).map(|second| message(if second % 10 == 0 { "a" } else { "b" }, second).severity(Severity::Error)),
    );
    let mut wanted =
        Wanted { since: Some(at(0)), until: Some(at(100)), buckets: 4, by: By::Kind, top: 1, ..Wanted::default() };
    let tally = count(&store, &Expr::EVERYTHING, &wanted);
    assert_eq!((tally.matched, tally.scanned, tally.partial), (100, 100, false));
    assert_eq!((tally.over.width, tally.over.since, tally.over.until), (25 * SECOND, at(0), at(100)));
    let [series] = tally.over.series.as_slice() else { panic!() };
    assert_eq!((series.name.as_str(), series.counts.as_slice()), ("b", &[22, 23, 22, 23][..]));
    assert_eq!((tally.over.other.as_slice(), tally.over.bounded), (&[3, 2, 3, 2][..], false));

    wanted.by = By::Severity;
    let tally = count(&store, &Expr::EVERYTHING, &wanted);
    assert_eq!(tally.over.series.first().map(|series| series.name.as_str()), Some("3"));
    // Without bounds, from the oldest to the newest.
    wanted = Wanted { buckets: 10, ..Wanted::default() };
    let tally = count(&store, &Expr::EVERYTHING, &wanted);
    assert_eq!(tally.over.since, at(0));
    assert_eq!(tally.over.series.first().map(|series| series.counts.iter().sum::<u64>()), Some(100));
    // As the query says.
    let query = language::parse("since:2026-11-20T10:00:10Z until:2026-11-20T10:00:20Z", at(0)).unwrap();
    let tally = count(&store, &query, &wanted);
    assert_eq!((tally.over.since, tally.over.until, tally.matched), (at(10), at(20), 10));
    assert_eq!(
        count(&store, &Expr::EVERYTHING, &Wanted { since: Some(at(20)), until: Some(at(10)), ..wanted }).matched,
        0
    );
}

#[test]
fn a_single_message_lies_within_a_second() {
    let mut single = message("t", 7);
    single.timestamp = Timestamp::from_nanos(at(7).nanos() + 250_000_000);
    let wanted = Wanted { buckets: 4, top: 1, ..Wanted::default() };
    let over = count(&keep([single]), &Expr::EVERYTHING, &wanted).over;
    assert_eq!((over.since, over.until, over.width), (at(7), at(8), SECOND / 4));
    assert_eq!(over.series.first().map(|series| series.counts.as_slice()), Some(&[0, 1, 0, 0][..]));
    // What a query says is not rounded.
    let query = language::parse("until:2026-11-20T10:00:07.5Z", at(0)).unwrap();
    let over = count(&keep([message("t", 7)]), &query, &wanted).over;
    assert_eq!((over.since, over.until.nanos()), (at(7), at(7).nanos() + 500_000_000));
    for moment in [i64::MIN, i64::MAX] {
        let mut far = message("t", 0);
        far.timestamp = Timestamp::from_nanos(moment);
        assert_eq!(count(&keep([far]), &Expr::EVERYTHING, &wanted).matched, 1);
    }
}

#[test]
fn names_beyond_the_limit_are_others() {
    let store = keep((0..1500).map(|number| message(&format!("t{number}"), number)));
    let path = Path::new("type").unwrap();
    let wanted = Wanted { buckets: 3, by: By::Kind, top: 2, facets: vec![path], ..Wanted::default() };
    let tally = count(&store, &Expr::EVERYTHING, &wanted);
    assert!(tally.over.bounded);
    let counted: u64 = tally.over.series.iter().flat_map(|series| &series.counts).chain(&tally.over.other).sum();
    assert_eq!(counted, 1500);
    let facet = &tally.facets[0];
    assert_eq!((facet.values.len(), facet.other, facet.distinct, facet.bounded), (2, 1498, 1500, false));

    let store = keep((0..tally::MOST_VALUES as i64 + 5).map(|number| message("t", 0).field("n", number)));
    let wanted = Wanted { facets: vec![Path::new("fields.n").unwrap()], top: 10, ..Wanted::default() };
    let facet = &count(&store, &Expr::EVERYTHING, &wanted).facets[0];
    assert_eq!((facet.distinct, facet.other, facet.bounded), (tally::MOST_VALUES, tally::MOST_VALUES as u64 - 5, true));
}

#[test]
fn facets_count_values_as_text() {
    let store = keep([
        message("t", 0).field("a", 1).field("tags", Value::from(vec!["x", "y", "x"])),
        message("t", 1).field("a", "1").field("tags", "x"),
        message("t", 2).field("a", true),
        message("t", 3).field("a", ()).field("b", "long".repeat(100)),
        message("t", 4).field("a", Value::List(vec![Value::Null, Value::Float(2.5)])),
    ]);
    let path = |text| Path::new(text).unwrap();
    let facets = vec![path("fields.a"), path("fields.tags"), path("fields.b"), path("severity")];
    let tally = count(&store, &Expr::EVERYTHING, &Wanted { facets, top: 5, ..Wanted::default() });
    let values =
        |at: usize| tally.facets[at].values.iter().map(|(text, count)| format!("{text}={count}")).collect::<Vec<_>>();
    assert_eq!(values(0), ["1=2", "2.5=1", "true=1"]);
    assert_eq!((values(1), tally.facets[1].missing), (vec!["x=2".to_owned(), "y=1".to_owned()], 3));
    assert_eq!((values(2).len(), tally.facets[2].other, tally.facets[2].bounded), (0, 1, true));
    assert_eq!(values(3), ["6=5"]);
}

#[test]
fn timers_and_counters_are_weighted_by_their_rate() {
    let timer = |ms: &str, second, rate: f64| {
        message("timer", second).logger("web").payload(ms).field("name", "db").field("rate", rate)
    };
    let counter = |by: &str, rate: Value| message("counter", 5).payload(by).field("name", "hits").field("rate", rate);
    let store = keep([
        timer("10", 0, 1.0),
        timer("20.5", 1, 0.5),
        timer("30", 2, 0.1),
        timer("-1", 2, 1.0),
        timer("soon", 2, 1.0),
        counter("5", 1.into()),
        counter("-1", 0.5.into()),
        counter("2", "0.1".into()),
        counter("2", 0.into()),
        counter("1", ().into()),
        message("counter", 6).payload(7),
        message("other", 6).payload("7"),
    ]);
    let wanted = Wanted { since: Some(at(0)), until: Some(at(10)), measures: true, ..Wanted::default() };
    let tally = count(&store, &Expr::EVERYTHING, &wanted);
    let [timer] = tally.timers.as_slice() else { panic!("{tally:?}") };
    assert_eq!((timer.logger.as_str(), timer.name.as_str(), timer.whole.count), ("web", "db", 3));
    let Took { total, p50, p90, p99, max, .. } = timer.whole;
    assert_eq!((total, timer.per_second), (13.0, 1.3));
    assert_eq!((p50, p90, p99, max), (20.5, 30.0, 30.0, 30.0));
    assert!((timer.mean - 60.5 / 3.0).abs() < 1e-9);
    let counters: Vec<(&str, u64, f64, f64)> =
        tally.counters.iter().map(|one| (one.name.as_str(), one.whole.count, one.whole.sum, one.per_second)).collect();
    assert_eq!(counters, [("hits", 4, 24.0, 2.4), ("", 1, 7.0, 0.7)]);
    assert_eq!((tally.unreadable, tally.unnamed), (3, 0));

    let store = keep((0..1100).map(|number| message("counter", 0).payload("1").field("name", format!("n{number}"))));
    let tally = count(&store, &Expr::EVERYTHING, &wanted);
    assert_eq!((tally.counters.len(), tally.unnamed), (tally::MOST_NAMES, 100));
}

#[test]
fn courses_say_in_which_bucket_how_much_was_there() {
    let timer =
        |ms: i64, second, rate: f64| message("timer", second).payload(ms).field("name", "db").field("rate", rate);
    let hits = |by: i64, second| message("counter", second).payload(by).field("name", "hits");
    let store = keep([timer(10, 0, 1.0), timer(30, 9, 0.5), timer(20, 25, 1.0), hits(2, 11), hits(3, 12), hits(4, 39)]);
    let mut wanted =
        Wanted { since: Some(at(0)), until: Some(at(40)), buckets: 4, measures: true, ..Wanted::default() };
    let without = count(&store, &Expr::EVERYTHING, &wanted);
    assert!(without.timers[0].course.is_empty() && without.counters[0].course.is_empty());
    wanted.courses = true;
    let tally = count(&store, &Expr::EVERYTHING, &wanted);
    let took = |count, total, [p50, p90, p99, max]: [f64; 4]| Took { count, total, p50, p90, p99, max };
    assert_eq!(tally.timers[0].course, [(0, took(2, 3.0, [10.0, 30.0, 30.0, 30.0])), (2, took(1, 1.0, [20.0; 4]))]);
    let came: Vec<(usize, u64, f64)> =
        tally.counters[0].course.iter().map(|(bucket, came)| (*bucket, came.count, came.sum)).collect();
    assert_eq!((came.as_slice(), tally.cut), (&[(1, 2, 5.0), (3, 1, 4.0)][..], false));
    // The same altogether, with and without.
    assert_eq!((without.timers[0].whole, without.counters[0].whole), (tally.timers[0].whole, tally.counters[0].whole));
    // Without buckets there is no course.
    wanted.buckets = 0;
    assert!(count(&store, &Expr::EVERYTHING, &wanted).timers[0].course.is_empty());
}

#[test]
fn courses_that_are_too_much_are_cut_and_their_latest_is_there() {
    let wanted = |buckets| Wanted {
        since: Some(at(0)),
        until: Some(at(1000)),
        buckets,
        measures: true,
        courses: true,
        ..Wanted::default()
    };
    let names = 2 * MOST_SLOTS as i64 / 1000;
    let all = (0..names * 1000).map(|at| message("counter", at / names).payload(1).field("name", at % names));
    let tally = count(&keep(all), &Expr::EVERYTHING, &wanted(1000));
    let slots: Vec<usize> = tally.counters.iter().flat_map(|one| &one.course).map(|(bucket, _)| *bucket).collect();
    assert_eq!((tally.cut, slots.len(), slots.iter().min()), (true, MOST_SLOTS, Some(&500)));
    assert!(tally.counters.iter().all(|one| one.whole.count == 1000), "nothing is missing altogether");
}

#[test]
fn time_that_is_up_makes_it_partial() {
    let store = keep((0..1000).map(|second| message("t", second)));
    let tally = tally::tally(&store, &Expr::EVERYTHING, &Wanted::default(), Instant::now()).unwrap();
    assert!(tally.partial && tally.matched < 1000);
}

#[test]
fn nothing_is_counted_in_an_empty_store() {
    let tally = count(&Memory::new(), &Expr::EVERYTHING, &Wanted { buckets: 5, measures: true, ..Wanted::default() });
    assert_eq!((tally.matched, tally.over.series.len(), tally.over.other.len()), (0, 0, 5));
}

fn nearest_rank(sorted: &[f64], part: f64) -> f64 {
    sorted[((part * sorted.len() as f64).ceil() as usize).max(1) - 1]
}

proptest! {
    #[test]
    fn percentiles_are_exact_and_then_nearly_so(
        seed in any::<u64>(),
        count in prop_oneof![1..EXACT, EXACT..4 * EXACT],
        spread in 0.0..12.0_f64,
    ) {
        let mut rng = fastrand::Rng::with_seed(seed);
        let mut times = Times::default();
        let mut values: Vec<f64> = (0..count)
            .map(|at| if at % 50 == 7 { 0.0 } else { 10_f64.powf(rng.f64() * spread - 4.0) })
            .collect();
        values.iter().for_each(|value| times.add(*value));
        values.sort_by(f64::total_cmp);
        for part in [0.0, 0.01, 0.5, 0.9, 0.99, 0.999, 1.0] {
            let (found, exact) = (times.percentile(part), nearest_rank(&values, part));
            let allowed = if count <= EXACT { 0.0 } else { exact * ERROR };
            prop_assert!((found - exact).abs() <= allowed, "{} of {}: {} for {}", part, count, found, exact);
        }
        prop_assert_eq!(times.count(), count as u64);
        prop_assert!((times.mean() - values.iter().sum::<f64>() / count as f64).abs() <= times.most() * 1e-9);
    }
}

#[test]
fn extreme_values_stay_in_bounded_memory() {
    let mut times = Times::default();
    for at in 0..10_000 {
        times.add(if at % 2 == 0 { f64::MAX / 1e4 } else { f64::MIN_POSITIVE });
    }
    assert_eq!((times.percentile(0.1), times.most()), (f64::MIN_POSITIVE, f64::MAX / 1e4));
}
