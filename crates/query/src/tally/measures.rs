//! Timers and counters, altogether and bucket by bucket.

use super::{LONGEST_VALUE, MOST_NAMES};
use crate::path::Path;
use crate::store::Row;
use crate::times::{EXACT, Times};
use crate::view::View;
use std::collections::{BTreeMap, HashMap};

/// Slots of courses in one tally.
pub const MOST_SLOTS: usize = 20_000;
/// Values, or buckets of values, that the slots of all timers hold together.
pub const MOST_HELD: usize = 1_000_000;
/// So many values a slot keeps as they are; its percentiles are exact up to here.
pub const EXACT_SLOT: usize = 128;

/// A timer, in milliseconds.
#[derive(Debug, Clone, PartialEq)]
pub struct Timer {
    /// Whose.
    pub logger: String,
    /// The field `name`.
    pub name: String,
    /// How many times it ran in a second.
    pub per_second: f64,
    /// Of the messages, as are the percentiles.
    pub mean: f64,
    /// In all the time.
    pub whole: Took,
    /// By buckets, those in which it was there, in order.
    pub course: Vec<(usize, Took)>,
}

/// How long a timer took, in milliseconds.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Took {
    /// Messages.
    pub count: u64,
    /// How many times it ran: each message stands for as many as its rate left out.
    pub total: f64,
    /// Half of them took no longer.
    pub p50: f64,
    /// Nine in ten.
    pub p90: f64,
    /// Ninety-nine in a hundred.
    pub p99: f64,
    /// The longest.
    pub max: f64,
}

/// A counter.
#[derive(Debug, Clone, PartialEq)]
pub struct Counter {
    /// Whose.
    pub logger: String,
    /// The field `name`.
    pub name: String,
    /// What comes together in a second.
    pub per_second: f64,
    /// In all the time.
    pub whole: Came,
    /// By buckets, those in which it was there, in order.
    pub course: Vec<(usize, Came)>,
}

/// What a counter came to.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct Came {
    /// Messages.
    pub count: u64,
    /// The sum, each message divided by its rate.
    pub sum: f64,
}

impl Came {
    fn add(&mut self, value: f64) {
        self.count += 1;
        self.sum += value;
    }
}

#[derive(Debug)]
struct Timed {
    times: Times,
    total: f64,
}

impl Timed {
    fn keeping(exact: usize) -> Self {
        Timed { times: Times::keeping(exact), total: 0.0 }
    }

    fn add(&mut self, value: f64, rate: f64) {
        self.times.add(value);
        self.total += 1.0 / rate;
    }

    fn took(&self) -> Took {
        let times = &self.times;
        let [p50, p90, p99] = [0.5, 0.9, 0.99].map(|part| times.percentile(part));
        Took { count: times.count(), total: self.total, p50, p90, p99, max: times.most() }
    }
}

/// Of one logger and name: altogether, and by buckets.
#[derive(Debug)]
struct Course<T> {
    whole: T,
    slots: BTreeMap<usize, T>,
}

impl<T> Course<T> {
    fn of(whole: T) -> Self {
        Course { whole, slots: BTreeMap::new() }
    }

    /// The slot of a bucket, if there is room for it.
    fn slot(&mut self, bucket: usize, left: &mut usize, fresh: impl FnOnce() -> T) -> Option<&mut T> {
        if !self.slots.contains_key(&bucket) {
            *left = left.checked_sub(1)?;
        }
        Some(self.slots.entry(bucket).or_insert_with(fresh))
    }
}

type Named<T> = HashMap<(String, String), Course<T>>;

/// What is being counted.
#[derive(Debug)]
pub(super) struct Measures {
    timers: Named<Timed>,
    counters: Named<Came>,
    /// Of names for which there is no room.
    pub(super) unnamed: u64,
    /// Of what is no number.
    pub(super) unreadable: u64,
    /// Whether courses lack something, for there was no room. What comes first is kept: the latest.
    pub(super) cut: bool,
    /// Room for slots, and for what those of timers hold.
    slots: usize,
    held: usize,
    name: Path,
    rate: Path,
    payload: Path,
}

impl Measures {
    pub(super) fn new() -> Self {
        let path = |text: &str| Path::new(text).unwrap_or_else(Path::itself);
        Measures {
            timers: HashMap::new(),
            counters: HashMap::new(),
            unnamed: 0,
            unreadable: 0,
            cut: false,
            slots: MOST_SLOTS,
            held: MOST_HELD,
            name: path("fields.name"),
            rate: path("fields.rate"),
            payload: path("payload"),
        }
    }

    /// Counts a timer or counter; with a bucket, also there.
    pub(super) fn add(&mut self, row: &Row<'_>, view: &View<'_, '_>, bucket: Option<usize>) {
        let first = |path: &Path| {
            let mut found = None;
            view.texts(path, &mut |text| found = found.take().or_else(|| Some(text.to_owned())));
            found
        };
        let number = |text: &String| text.trim().parse::<f64>().ok().filter(|number| number.is_finite());
        let value = first(&self.payload).as_ref().and_then(number);
        let rate = match first(&self.rate) {
            None => Some(1.0),
            Some(text) => number(&text).filter(|rate| *rate > 0.0).map(|rate| rate.min(1.0)),
        };
        let timer = row.kind == "timer";
        let Some((value, rate)) = value.zip(rate).filter(|(value, _)| !timer || *value >= 0.0) else {
            self.unreadable += 1;
            return;
        };
        let key = (row.logger.to_owned(), first(&self.name).unwrap_or_default());
        let known = if timer { self.timers.contains_key(&key) } else { self.counters.contains_key(&key) };
        let names = if timer { self.timers.len() } else { self.counters.len() };
        let long = key.0.len() > LONGEST_VALUE || key.1.len() > LONGEST_VALUE;
        if !known && (names >= MOST_NAMES || long) {
            self.unnamed += 1;
        } else if timer {
            let own = self.timers.entry(key).or_insert_with(|| Course::of(Timed::keeping(EXACT)));
            own.whole.add(value, rate);
            let Some(bucket) = bucket else { return };
            let fresh = || Timed::keeping(EXACT_SLOT);
            let slot = if self.held == 0 { None } else { own.slot(bucket, &mut self.slots, fresh) };
            let Some(slot) = slot else {
                self.cut = true;
                return;
            };
            let before = slot.times.held();
            slot.add(value, rate);
            self.held = (self.held + before).saturating_sub(slot.times.held());
        } else {
            let own = self.counters.entry(key).or_insert_with(|| Course::of(Came::default()));
            own.whole.add(value / rate);
            let Some(bucket) = bucket else { return };
            match own.slot(bucket, &mut self.slots, Came::default) {
                Some(slot) => slot.add(value / rate),
                None => self.cut = true,
            }
        }
    }

    /// By how often and by how much, most first.
    pub(super) fn finish(self, seconds: f64) -> (Vec<Timer>, Vec<Counter>) {
        let timers = self.timers.into_iter().map(|((logger, name), course)| Timer {
            logger,
            name,
            per_second: course.whole.total / seconds,
            mean: course.whole.times.mean(),
            whole: course.whole.took(),
            course: course.slots.iter().map(|(bucket, slot)| (*bucket, slot.took())).collect(),
        });
        let mut timers: Vec<Timer> = timers.collect();
        timers.sort_by(|one, other| {
            let names = || (&one.logger, &one.name).cmp(&(&other.logger, &other.name));
            other.whole.total.total_cmp(&one.whole.total).then_with(names)
        });
        let counters = self.counters.into_iter().map(|((logger, name), course)| Counter {
            logger,
            name,
            per_second: course.whole.sum / seconds,
            whole: course.whole,
            course: course.slots.into_iter().collect(),
        });
        let mut counters: Vec<Counter> = counters.collect();
        counters.sort_by(|one, other| {
            let names = || (&one.logger, &one.name).cmp(&(&other.logger, &other.name));
            other.whole.sum.total_cmp(&one.whole.sum).then_with(names)
        });
        (timers, counters)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::facts::Facts;
    use metlog_message::{Message, wire};

    #[test]
    fn what_the_slots_of_timers_hold_is_bounded_and_the_rest_is_said_to_be_missing() {
        let mut measures = Measures::new();
        measures.held = 300;
        for number in 0..1000_usize {
            let mut raw = Vec::new();
            wire::write(&mut raw, &Message::new("timer").payload(number as u64).field("name", number % 2));
            let facts = Facts::of(&raw, false).expect("a message");
            let row = Row {
                position: 1,
                timestamp: facts.timestamp,
                kind: &facts.kind,
                logger: &facts.logger,
                severity: facts.severity,
                raw: &raw,
                archived: None,
            };
            measures.add(&row, &View::of(&row), Some(number / 100));
        }
        assert!(measures.cut);
        let (timers, _) = measures.finish(1.0);
        for timer in timers {
            assert_eq!(timer.whole.count, 500, "nothing is missing altogether");
            let slots: Vec<(usize, u64)> = timer.course.iter().map(|(bucket, slot)| (*bucket, slot.count)).collect();
            assert_eq!(slots, [(0, 50), (1, 50), (2, 50)], "what came first is whole");
        }
    }
}
