//! Lines on their way into one packet or one hand-over: every counter of one name and rate stands there once.

use crate::line::{self, Kind};
use crate::metric::Metric;
use hashbrown::{DefaultHashBuilder, HashTable};
use std::hash::BuildHasher;
use std::ops::Range;

/// No room for another one.
#[derive(Debug, PartialEq, Eq)]
pub struct Full;

/// Lines, and which messages are in them. Cleared, it keeps its memory.
#[derive(Debug)]
pub struct Tally {
    room: usize,
    sum: bool,
    used: usize,
    names: String,
    entries: Vec<Entry>,
    counters: HashTable<usize>,
    hasher: DefaultHashBuilder,
    members: Vec<usize>,
    gauges: bool,
}

#[derive(Debug)]
struct Entry {
    kind: Kind,
    name: Range<usize>,
    suffix: Range<usize>,
    value: f64,
    rate: f64,
    hash: u64,
}

/// One line.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Line<'a> {
    pub kind: Kind,
    pub name: &'a str,
    pub value: f64,
    pub rate: f64,
    pub suffix: &'a str,
}

impl Tally {
    /// With room for lines of so many bytes; `sum`: counters are summed.
    pub fn new(room: usize, sum: bool) -> Self {
        Tally {
            room,
            sum,
            used: 0,
            names: String::new(),
            entries: Vec::new(),
            counters: HashTable::new(),
            hasher: DefaultHashBuilder::default(),
            members: Vec::new(),
            gauges: false,
        }
    }

    /// Adds the measurement of the message at this position. One that is larger than the room goes in alone.
    pub fn add(&mut self, at: usize, kind: Kind, metric: &Metric) -> Result<(), Full> {
        let Metric { name, suffix, value, rate, .. } = metric;
        let summed = self.sum && kind == Kind::Counter;
        let hash = if summed { self.hasher.hash_one((name, suffix, rate.to_bits())) } else { 0 };
        if summed && self.sum_up(hash, metric)? {
            self.members.push(at);
            return Ok(());
        }
        let width = line::width(kind, name, *value, *rate, suffix);
        if self.used + width > self.room && !self.entries.is_empty() {
            return Err(Full);
        }
        self.used += width;
        let start = self.names.len();
        self.names.push_str(name);
        let middle = self.names.len();
        self.names.push_str(suffix);
        let entry =
            Entry { kind, name: start..middle, suffix: middle..self.names.len(), value: *value, rate: *rate, hash };
        if summed {
            let entries = &self.entries;
            let hash_of = |at: &usize| entries.get(*at).map_or(0, |entry| entry.hash);
            self.counters.insert_unique(hash, entries.len(), hash_of);
        }
        self.entries.push(entry);
        self.members.push(at);
        self.gauges |= kind == Kind::Gauge;
        Ok(())
    }

    /// Whether the counter was there already.
    fn sum_up(&mut self, hash: u64, metric: &Metric) -> Result<bool, Full> {
        let Tally { counters, entries, names, .. } = self;
        let same = |entry: &Entry| {
            entry.rate.to_bits() == metric.rate.to_bits()
                && names.get(entry.name.clone()) == Some(&metric.name)
                && names.get(entry.suffix.clone()) == Some(&metric.suffix)
        };
        let Some(&found) = counters.find(hash, |at| entries.get(*at).is_some_and(same)) else { return Ok(false) };
        let Some(entry) = entries.get_mut(found) else { return Ok(false) };
        let sum = entry.value + metric.value;
        if !sum.is_finite() {
            // It begins anew in another packet, of which the server makes what it likes.
            return Err(Full);
        }
        let used = self.used + line::number_width(sum) - line::number_width(entry.value);
        if used > self.room {
            return Err(Full);
        }
        self.used = used;
        entry.value = sum;
        Ok(true)
    }

    /// The lines.
    pub fn lines(&self) -> impl Iterator<Item = Line<'_>> {
        self.entries.iter().map(|entry| Line {
            kind: entry.kind,
            name: self.names.get(entry.name.clone()).unwrap_or_default(),
            value: entry.value,
            rate: entry.rate,
            suffix: self.names.get(entry.suffix.clone()).unwrap_or_default(),
        })
    }

    /// Their text.
    pub fn write(&self, out: &mut String) {
        for Line { kind, name, value, rate, suffix } in self.lines() {
            line::write(out, kind, name, value, rate, suffix);
        }
    }

    /// Positions of the messages that are in the lines, in order.
    pub fn members(&self) -> &[usize] {
        &self.members
    }

    /// Whether the order of the lines means something.
    pub fn has_gauges(&self) -> bool {
        self.gauges
    }

    /// At most so many bytes of text.
    pub fn used(&self) -> usize {
        self.used
    }

    /// Empties it.
    pub fn clear(&mut self) {
        self.used = 0;
        self.names.clear();
        self.entries.clear();
        self.counters.clear();
        self.members.clear();
        self.gauges = false;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn metric(name: &str, value: f64, rate: f64) -> Metric {
        Metric { name: name.into(), value, rate, ..Metric::default() }
    }

    fn text(tally: &Tally) -> String {
        let mut text = String::new();
        tally.write(&mut text);
        assert!(text.len() <= tally.used(), "{text}");
        text
    }

    #[test]
    fn counters_of_one_name_and_rate_are_summed_and_nothing_else_is() {
        let mut tally = Tally::new(1000, true);
        let all = [
            (Kind::Counter, metric("a", 1.0, 1.0)),
            (Kind::Timer, metric("t", 5.0, 1.0)),
            (Kind::Counter, metric("a", 2.5, 1.0)),
            (Kind::Counter, metric("a", 1.0, 0.5)),
            (Kind::Timer, metric("t", 5.0, 1.0)),
            (Kind::Gauge, metric("a", 5.0, 1.0)),
            (Kind::Counter, metric("a", 1.0, 0.5)),
        ];
        for (at, (kind, metric)) in all.iter().enumerate() {
            assert_eq!(tally.add(at, *kind, metric), Ok(()));
        }
        assert_eq!(text(&tally), "a:3.5|c\nt:5|ms\na:2|c|@0.5\nt:5|ms\na:5|g\n");
        assert_eq!((tally.members(), tally.has_gauges()), (&[0, 1, 2, 3, 4, 5, 6][..], true));
        tally.clear();
        assert_eq!(tally.add(0, Kind::Counter, &metric("a", 1.0, 1.0)), Ok(()));
        assert_eq!(text(&tally), "a:1|c\n");
    }

    #[test]
    fn a_sum_that_outgrows_its_packet_waits_for_the_next() {
        let small = metric("a", 0.5, 1.0);
        let mut tally = Tally::new(12, true);
        assert_eq!(tally.add(0, Kind::Counter, &small), Ok(()));
        assert_eq!(tally.add(1, Kind::Counter, &metric("a", 1e-200, 1.0)), Ok(()), "lost in the sum, as numbers are");
        assert_eq!(tally.add(2, Kind::Counter, &metric("a", 1e200, 1.0)), Err(Full));
        assert_eq!(tally.add(2, Kind::Counter, &metric("b", 1.0, 1.0)), Err(Full));
        assert_eq!((text(&tally).as_str(), tally.members()), ("a:0.5|c\n", &[0, 1][..]));

        let mut alone = Tally::new(12, true);
        assert_eq!(alone.add(0, Kind::Counter, &metric("a", f64::MAX, 1.0)), Ok(()), "too long, but alone");
        assert_eq!(alone.add(1, Kind::Counter, &metric("a", f64::MAX, 1.0)), Err(Full), "no sum is infinite");
    }
}
