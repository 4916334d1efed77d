//! Partitions, one for each month (UTC) in which something may be expected to happen. Other dates, which anybody may
//! send, go to the default partition: else each could cost a table.

use crate::config::Table;
use crate::link::{Fault, Link};
use crate::schema::LOCK;
use metlog_message::Timestamp;
use std::collections::BTreeSet;
use std::time::{Duration, Instant};
use tokio_postgres::types::Type;

/// Months before this one that get a partition when a message needs it.
const BACK: u16 = 24;

/// How long others are kept waiting for a change of partitions, and the change for others.
const PATIENCE: &str = "SET LOCAL lock_timeout = '2s'";

/// A month of a year of four digits.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Month {
    year: u16,
    month: u8,
}

impl Month {
    /// In which a moment is.
    pub fn of(moment: Timestamp) -> Self {
        let text = moment.to_string();
        let part = |from: usize, to: usize| text.get(from..to).and_then(|digits| digits.parse().ok());
        Month { year: part(0, 4).unwrap_or_default(), month: part(5, 7).unwrap_or_default() as u8 }
    }

    pub fn next(self) -> Self {
        match self.month {
            12 => Month { year: self.year + 1, month: 1 },
            month => Month { year: self.year, month: month + 1 },
        }
    }

    fn back(self, months: u16) -> Self {
        let count = self.year * 12 + u16::from(self.month) - 1;
        let count = count.saturating_sub(months);
        Month { year: count / 12, month: (count % 12) as u8 + 1 }
    }

    /// Its first moment; none before 1678.
    pub fn begin(self) -> Option<Timestamp> {
        Timestamp::parse(&format!("{}T00:00:00Z", self.day()))
    }

    /// Its first day, as text.
    fn day(self) -> String {
        format!("{:04}-{:02}-01", self.year, self.month)
    }

    fn suffix(self) -> String {
        format!("_p{:04}_{:02}", self.year, self.month)
    }

    fn of_partition(table: &Table, name: &str) -> Option<Self> {
        let (year, month) = name.strip_prefix(table.name())?.strip_prefix("_p")?.split_once('_')?;
        let month = Month { year: year.parse().ok()?, month: month.parse().ok()? };
        (name == format!("{}{}", table.name(), month.suffix()) && (1..=12).contains(&month.month)).then_some(month)
    }
}

/// The months that get a partition: from the oldest that is kept to the next.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Window {
    pub first: Month,
    pub last: Month,
}

impl Window {
    pub fn at(now: Timestamp, max_age: Option<Duration>) -> Self {
        let this = Month::of(now);
        let oldest = this.back(BACK);
        let kept = cutoff(now, max_age).map_or(oldest, Month::of);
        Window { first: oldest.max(kept), last: this.next() }
    }

    pub fn holds(&self, month: Month) -> bool {
        (self.first..=self.last).contains(&month)
    }
}

/// What happened before this moment is too old.
pub fn cutoff(now: Timestamp, max_age: Option<Duration>) -> Option<Timestamp> {
    let age = i64::try_from(max_age?.as_nanos()).ok()?;
    Some(Timestamp::from_nanos(now.nanos().saturating_sub(age)))
}

/// The months that have one.
pub fn existing(link: &Link, table: &Table, until: Instant) -> Result<BTreeSet<Month>, Fault> {
    let sql = "SELECT c.relname::text FROM pg_inherits i JOIN pg_class c ON c.oid = i.inhrelid \
               WHERE i.inhparent = to_regclass($1)";
    let rows = link.run(until, link.client().query_typed(sql, &[(&table.quoted(), Type::TEXT)]))?;
    let name = |row: &tokio_postgres::Row| row.try_get::<_, String>(0).ok();
    Ok(rows.iter().filter_map(name).filter_map(|name| Month::of_partition(table, &name)).collect())
}

/// Makes one, unless another router was first. What already is in the default partition moves over.
///
/// After an error the connection is of no use: its transaction is open.
pub fn make(link: &Link, table: &Table, month: Month, until: Instant) -> Result<(), Fault> {
    link.batch(until, &format!("BEGIN; {PATIENCE}; SELECT pg_advisory_xact_lock({LOCK})"))?;
    if existing(link, table, until)?.contains(&month) {
        return link.batch(until, "ROLLBACK");
    }
    let (parent, other, new) = (table.quoted(), table.with("_default"), table.with(&month.suffix()));
    let (from, to) = (month.day(), month.next().day());
    // Attached, not made in place: that would shut everybody out of the whole table, and this only out of the default
    // partition, where usually nobody is.
    link.batch(
        until,
        &format!(
            "CREATE TABLE {new} (LIKE {parent} INCLUDING DEFAULTS INCLUDING STORAGE); \
             LOCK TABLE {other} IN ACCESS EXCLUSIVE MODE; \
             WITH moved AS (DELETE FROM ONLY {other} WHERE ts >= '{from} 00:00:00+00' AND ts < '{to} 00:00:00+00' \
             RETURNING *) INSERT INTO {new} SELECT * FROM moved; \
             ALTER TABLE {parent} ATTACH PARTITION {new} FOR VALUES FROM ('{from} 00:00:00+00') TO ('{to} 00:00:00+00'); \
             COMMIT"
        ),
    )
}

/// Drops one, unless somebody else is at it.
pub fn remove(link: &Link, table: &Table, month: Month, until: Instant) -> Result<(), Fault> {
    link.batch(until, &format!("BEGIN; {PATIENCE}"))?;
    let sql = format!("SELECT pg_try_advisory_xact_lock({LOCK})");
    let ours = link.run(until, link.client().query_typed_one(&sql, &[]))?;
    if ours.try_get::<_, bool>(0).unwrap_or_default() {
        link.batch(until, &format!("DROP TABLE IF EXISTS {}", table.with(&month.suffix())))?;
    }
    link.batch(until, "COMMIT")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn month(text: &str) -> Month {
        Month::of(Timestamp::parse(text).expect("a moment"))
    }

    #[test]
    fn months_follow_each_other() {
        let december = month("2026-12-31T23:59:59.999999999Z");
        assert_eq!((december.suffix(), december.next().suffix()), ("_p2026_12".into(), "_p2027_01".into()));
        assert_eq!(december.next().back(1), december);
        assert_eq!(december.back(24).suffix(), "_p2024_12");
        assert_eq!(december.begin(), Timestamp::parse("2026-12-01T00:00:00Z"));
    }

    #[test]
    fn the_window_ends_with_what_is_kept() {
        let now = Timestamp::parse("2026-11-21T12:00:00Z").expect("a moment");
        let ever = Window::at(now, None);
        assert_eq!((ever.first.suffix(), ever.last.suffix()), ("_p2024_11".into(), "_p2026_12".into()));
        let week = Window::at(now, Some(Duration::from_secs(7 * 86_400)));
        assert!(week.holds(month("2026-11-30T00:00:00Z")) && !week.holds(month("2026-10-31T00:00:00Z")));
        assert!(!ever.holds(month("1700-01-01T00:00:00Z")) && !ever.holds(month("2262-01-01T00:00:00Z")));
    }
}
