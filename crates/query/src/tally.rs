//! Counts over time, values and how often they are there, timers and counters: all of one scan.

use crate::expr::Expr;
use crate::page::visit;
use crate::path::{Path, Root};
use crate::store::{End, Order, Row, Store, Trouble};
use crate::view::View;
use metlog_message::Timestamp;
use std::collections::HashMap;
use std::ops::ControlFlow;
use std::time::Instant;

mod measures;

use measures::Measures;
pub use measures::{Came, Counter, EXACT_SLOT, MOST_HELD, MOST_SLOTS, Timer, Took};

/// Buckets of time.
pub const MOST_BUCKETS: usize = 1000;
/// Types or loggers that are counted one by one; what comes after them is among the others.
pub const MOST_SERIES: usize = 1000;
/// Paths whose values are counted at a time.
pub const MOST_FACETS: usize = 32;
/// Values of one path that are counted one by one; what comes after them is among the others.
pub const MOST_VALUES: usize = 10_000;
/// Longer values are among the others.
pub const LONGEST_VALUE: usize = 256;
/// Timers, and again counters, that are counted one by one.
pub const MOST_NAMES: usize = 1000;

/// What to count.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Wanted {
    /// Not before. Without it, what the query says, or the oldest message.
    pub since: Option<Timestamp>,
    /// Before. Without it, what the query says, or now, or the newest message if there is no beginning either.
    pub until: Option<Timestamp>,
    /// Counts in so many buckets of time; 0: none.
    pub buckets: usize,
    /// By what those are told apart.
    pub by: By,
    /// So many of the most frequent, of series and of values; the rest are others.
    pub top: usize,
    /// The values at these paths.
    pub facets: Vec<Path>,
    /// Timers and counters.
    pub measures: bool,
    /// These bucket by bucket, too.
    pub courses: bool,
}

/// By what counts are told apart.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum By {
    /// Not at all.
    #[default]
    Nothing,
    /// Severities, by number.
    Severity,
    /// Types.
    Kind,
    /// Loggers.
    Logger,
}

/// What was counted.
#[derive(Debug, Clone, PartialEq)]
pub struct Tally {
    /// Messages that were meant.
    pub matched: u64,
    /// Messages that were looked at.
    pub scanned: u64,
    /// Whether time was up first; then the latest messages have been counted.
    pub partial: bool,
    /// Counts over time.
    pub over: Over,
    /// One per path, in the order they were asked for.
    pub facets: Vec<Facet>,
    /// By how often, most first.
    pub timers: Vec<Timer>,
    /// By how much, most first.
    pub counters: Vec<Counter>,
    /// Timers and counters that are not among those, for there are more than [`MOST_NAMES`] names.
    pub unnamed: u64,
    /// Timers and counters whose payload or rate is no number.
    pub unreadable: u64,
    /// Whether there is more in courses than [`MOST_SLOTS`] and [`MOST_HELD`] let in. Then their latest is there.
    pub cut: bool,
}

/// Counts over time.
#[derive(Debug, Clone, PartialEq)]
pub struct Over {
    /// Where the first bucket begins.
    pub since: Timestamp,
    /// Where the last one was asked to end.
    pub until: Timestamp,
    /// Nanoseconds of a bucket.
    pub width: i64,
    /// The most frequent, most first.
    pub series: Vec<Series>,
    /// All others, bucket by bucket.
    pub other: Vec<u64>,
    /// Whether there were more than [`MOST_SERIES`], so that one among the others may be more frequent.
    pub bounded: bool,
}

/// Counts of one severity, type or logger.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Series {
    /// Which.
    pub name: String,
    /// Bucket by bucket.
    pub counts: Vec<u64>,
}

/// What stands at a path, and how often. A message with a list counts for each value in it once.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Facet {
    /// Where.
    pub path: Path,
    /// The most frequent values as text, most first.
    pub values: Vec<(String, u64)>,
    /// How many times other values were there.
    pub other: u64,
    /// How many messages have none there.
    pub missing: u64,
    /// How many different values were counted.
    pub distinct: usize,
    /// Whether there were more than [`MOST_VALUES`] or such as are longer than [`LONGEST_VALUE`], so that one among the
    /// others may be more frequent.
    pub bounded: bool,
}

/// Counts everything of which `expr` holds, the latest first.
///
/// # Errors
/// If the store cannot be read.
pub fn tally(store: &dyn Store, expr: &Expr, wanted: &Wanted, deadline: Instant) -> Result<Tally, Trouble> {
    let bounds = [wanted.since.map(Expr::Since), wanted.until.map(Expr::Until)];
    let expr = Expr::all_of([expr.clone()].into_iter().chain(bounds.into_iter().flatten()));
    let (since, until) = range(store, &expr)?;
    let mut counting = Counting::new(wanted, since, until);
    let visit = visit(store, &expr, Order::NewestFirst, None, deadline, &mut |row| {
        counting.add(row);
        ControlFlow::Continue(())
    })?;
    let mut tally = counting.finish(wanted.top.max(1));
    (tally.matched, tally.scanned, tally.partial) = (visit.matched, visit.scanned, visit.end == End::Late);
    Ok(tally)
}

/// From when to when, at least a nanosecond. Where the messages themselves say it, whole seconds: a single one of them
/// lies within a second and not within a nanosecond.
fn range(store: &dyn Store, expr: &Expr) -> Result<(Timestamp, Timestamp), Trouble> {
    let narrow = expr.narrow();
    let next = |moment: Timestamp| Timestamp::from_nanos(moment.nanos().saturating_add(1));
    let second = |moment: Timestamp| moment.nanos().saturating_sub(moment.nanos().rem_euclid(SECOND));
    let (since, until) = match (narrow.since, narrow.until) {
        (Some(since), Some(until)) => (since, until),
        (Some(since), None) => (since, Timestamp::now()),
        (None, until) => {
            let size = store.size()?;
            let newest = size.newest.map(|newest| second(newest).saturating_add(SECOND));
            let until = until.or(newest.map(Timestamp::from_nanos)).unwrap_or_else(Timestamp::now);
            let oldest = size.oldest.filter(|oldest| *oldest < until).unwrap_or(until);
            (if oldest < until { Timestamp::from_nanos(second(oldest)) } else { oldest }, until)
        }
    };
    let last = Timestamp::from_nanos(i64::MAX - 1);
    Ok((since.min(last), until.max(next(since.min(last)))))
}

const SECOND: i64 = 1_000_000_000;

struct Counting<'w> {
    wanted: &'w Wanted,
    since: Timestamp,
    until: Timestamp,
    /// Buckets, and the width of each.
    buckets: usize,
    width: i64,
    series: HashMap<String, Vec<u64>>,
    other: Vec<u64>,
    bounded: bool,
    facets: Vec<Values<'w>>,
    measures: Measures,
}

impl<'w> Counting<'w> {
    fn new(wanted: &'w Wanted, since: Timestamp, until: Timestamp) -> Self {
        let buckets = wanted.buckets.min(MOST_BUCKETS);
        let span = i128::from(until.nanos()) - i128::from(since.nanos());
        let parts = i128::try_from(buckets.max(1)).unwrap_or(1);
        // The last bucket may reach beyond the end.
        let width = i64::try_from((span + parts - 1) / parts).unwrap_or(i64::MAX).max(1);
        Counting {
            wanted,
            since,
            until,
            buckets,
            width,
            series: HashMap::new(),
            other: vec![0; buckets],
            bounded: false,
            facets: wanted.facets.iter().take(MOST_FACETS).map(Values::at).collect(),
            measures: Measures::new(),
        }
    }

    fn add(&mut self, row: &Row<'_>) {
        let bucket = self.bucket(row);
        if let Some(bucket) = bucket {
            self.add_over(row, bucket);
        }
        let view = View::of(row);
        for facet in &mut self.facets {
            facet.add(&view);
        }
        if self.wanted.measures && matches!(row.kind, "timer" | "counter") {
            self.measures.add(row, &view, bucket.filter(|_| self.wanted.courses));
        }
    }

    fn bucket(&self, row: &Row<'_>) -> Option<usize> {
        let last = self.buckets.checked_sub(1)?;
        let behind = i128::from(row.timestamp.nanos()) - i128::from(self.since.nanos());
        // What came after the range was looked up belongs to its end.
        let bucket = usize::try_from((behind / i128::from(self.width)).max(0)).unwrap_or(usize::MAX);
        Some(bucket.min(last))
    }

    fn add_over(&mut self, row: &Row<'_>, bucket: usize) {
        let digit;
        let name = match self.wanted.by {
            By::Nothing => "",
            By::Severity => {
                digit = [b'0' + row.severity.min(9)];
                std::str::from_utf8(&digit).unwrap_or_default()
            }
            By::Kind => row.kind,
            By::Logger => row.logger,
        };
        if !self.series.contains_key(name) && self.series.len() < MOST_SERIES && name.len() <= LONGEST_VALUE {
            self.series.insert(name.to_owned(), vec![0; self.buckets]);
        }
        let counts = self.series.get_mut(name);
        self.bounded |= counts.is_none();
        if let Some(count) = counts.unwrap_or(&mut self.other).get_mut(bucket) {
            *count += 1;
        }
    }

    fn finish(self, top: usize) -> Tally {
        let span = (i128::from(self.until.nanos()) - i128::from(self.since.nanos())) as f64 / 1e9;
        // A rate of what lies within less than a second would be beyond all that is known.
        let seconds = span.max(1.0);
        let (series, other) = most(self.series, self.other, top);
        let (unnamed, unreadable, cut) = (self.measures.unnamed, self.measures.unreadable, self.measures.cut);
        let (timers, counters) = self.measures.finish(seconds);
        Tally {
            matched: 0,
            scanned: 0,
            partial: false,
            over: Over {
                since: self.since,
                until: self.until,
                width: self.width,
                series,
                other,
                bounded: self.bounded,
            },
            facets: self.facets.into_iter().map(|values| values.finish(top)).collect(),
            timers,
            counters,
            unnamed,
            unreadable,
            cut,
        }
    }
}

/// The most frequent series; the rest goes to the others.
fn most(series: HashMap<String, Vec<u64>>, mut other: Vec<u64>, top: usize) -> (Vec<Series>, Vec<u64>) {
    let mut series: Vec<Series> = series.into_iter().map(|(name, counts)| Series { name, counts }).collect();
    let sum = |series: &Series| series.counts.iter().sum::<u64>();
    series.sort_by(|one, other| sum(other).cmp(&sum(one)).then_with(|| one.name.cmp(&other.name)));
    for rest in series.drain(top.min(series.len())..) {
        other.iter_mut().zip(rest.counts).for_each(|(other, count)| *other += count);
    }
    (series, other)
}

/// The values at one path.
struct Values<'w> {
    path: &'w Path,
    counts: HashMap<String, u64>,
    other: u64,
    missing: u64,
    bounded: bool,
    /// Of one message. Its memory is kept from one to the next.
    texts: Vec<String>,
}

impl<'w> Values<'w> {
    fn at(path: &'w Path) -> Self {
        Values { path, counts: HashMap::new(), other: 0, missing: 0, bounded: false, texts: Vec::new() }
    }

    fn add(&mut self, view: &View<'_, '_>) {
        match self.path.root() {
            Root::Kind => return self.count(view.row().kind),
            Root::Logger => return self.count(view.row().logger),
            _ => {}
        }
        let mut texts = std::mem::take(&mut self.texts);
        view.texts(self.path, &mut |text| texts.push(text.to_owned()));
        self.missing += u64::from(texts.is_empty());
        texts.sort_unstable();
        texts.dedup();
        for text in texts.drain(..) {
            self.count(&text);
        }
        self.texts = texts;
    }

    fn count(&mut self, text: &str) {
        if let Some(count) = self.counts.get_mut(text) {
            *count += 1;
        } else if self.counts.len() < MOST_VALUES && text.len() <= LONGEST_VALUE {
            self.counts.insert(text.to_owned(), 1);
        } else {
            self.other += 1;
            self.bounded = true;
        }
    }

    fn finish(self, top: usize) -> Facet {
        let distinct = self.counts.len();
        let mut values: Vec<(String, u64)> = self.counts.into_iter().collect();
        values.sort_by(|(one, ones), (other, others)| others.cmp(ones).then_with(|| one.cmp(other)));
        let rest: u64 = values.drain(top.min(values.len())..).map(|(_, count)| count).sum();
        Facet {
            path: self.path.clone(),
            values,
            other: self.other + rest,
            missing: self.missing,
            distinct,
            bounded: self.bounded,
        }
    }
}
