//! Where clocks say what: times without a zone, and the days of a place.

use crate::event;
use jiff::civil::{DateTime, Weekday};
use jiff::tz::TimeZone;
use jiff::{Span, ToSpan, Zoned};
use metlog_message::{Timestamp, Value};

/// A zone, by name.
#[derive(Debug, Clone)]
pub struct Zone(TimeZone);

/// How long a bucket of a report is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Period {
    /// From one full hour to the next.
    Hour,
    /// From midnight to midnight, which is 23 to 25 hours.
    Day,
    /// From Monday to Monday.
    Week,
    /// From the first to the first.
    Month,
}

impl Zone {
    /// Universal time.
    pub fn utc() -> Self {
        Zone(TimeZone::UTC)
    }

    /// A name such as `Europe/Berlin`; `system` is the one this machine is set to.
    pub fn named(name: &str) -> Option<Self> {
        if name.eq_ignore_ascii_case("system") {
            return Some(Zone(TimeZone::system()));
        }
        TimeZone::get(name).ok().map(Zone)
    }

    /// What it is called.
    pub fn name(&self) -> &str {
        self.0.iana_name().unwrap_or("UTC")
    }

    /// A moment as it was written; one without a zone is meant here.
    pub fn moment(&self, value: &Value) -> Option<Timestamp> {
        let (moment, said) = event::moment(value)?;
        Some(if said { moment } else { self.meant(moment).unwrap_or(moment) })
    }

    /// The same text, read here instead of in UTC. What the clock shows twice is the first of them, what it skips is as
    /// much later.
    fn meant(&self, as_utc: Timestamp) -> Option<Timestamp> {
        let shown = zoned(as_utc, TimeZone::UTC)?.datetime();
        moment(&shown.to_zoned(self.0.clone()).ok()?)
    }

    /// What clocks here show.
    pub fn shown(&self, at: Timestamp) -> Option<DateTime> {
        Some(zoned(at, self.0.clone())?.datetime())
    }

    /// The begin of the period that a moment is in.
    pub fn begin(&self, period: Period, at: Timestamp) -> Option<Timestamp> {
        let at = zoned(at, self.0.clone())?;
        if period == Period::Hour {
            let into = i64::from(at.minute()) * 60 + i64::from(at.second());
            let begin = at.timestamp().as_second().checked_sub(into)?;
            return Some(Timestamp::from_unix_seconds(begin));
        }
        let date = at.date();
        let back = match period {
            Period::Week => i64::from(date.weekday().since(Weekday::Monday)),
            Period::Month => i64::from(date.day()) - 1,
            _ => 0,
        };
        let first = date.checked_sub(back.days()).ok()?;
        moment(&first.to_zoned(self.0.clone()).ok()?)
    }

    /// The begin of the period after the one that begins then.
    pub fn next(&self, period: Period, begin: Timestamp) -> Option<Timestamp> {
        if period == Period::Hour {
            return begin.nanos().checked_add(3_600_000_000_000).map(Timestamp::from_nanos);
        }
        let step: Span = match period {
            Period::Week => 1.week(),
            Period::Month => 1.month(),
            _ => 1.day(),
        };
        let date = zoned(begin, self.0.clone())?.date().checked_add(step).ok()?;
        moment(&date.to_zoned(self.0.clone()).ok()?)
    }
}

fn zoned(at: Timestamp, zone: TimeZone) -> Option<Zoned> {
    let at = jiff::Timestamp::from_nanosecond(i128::from(at.nanos())).ok()?;
    Some(at.to_zoned(zone))
}

fn moment(at: &Zoned) -> Option<Timestamp> {
    i64::try_from(at.timestamp().as_nanosecond()).ok().map(Timestamp::from_nanos)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(text: &str) -> Timestamp {
        Timestamp::parse(text).expect(text)
    }

    #[test]
    fn a_time_without_a_zone_is_meant_here() {
        let chicago = Zone::named("America/Chicago").expect("known");
        assert_eq!(chicago.moment(&"2026-01-15T12:00:00".into()), Some(at("2026-01-15T18:00:00Z")));
        assert_eq!(chicago.moment(&"2026-07-15T12:00:00".into()), Some(at("2026-07-15T17:00:00Z")));
        assert_eq!(chicago.moment(&"2026-07-15T12:00:00Z".into()), Some(at("2026-07-15T12:00:00Z")));
        // At two the clock goes on to three, and in autumn from two back to one.
        assert_eq!(chicago.moment(&"2026-03-08T02:30:00".into()), Some(at("2026-03-08T08:30:00Z")));
        assert_eq!(chicago.moment(&"2026-11-01T01:30:00".into()), Some(at("2026-11-01T06:30:00Z")));
        assert!(Zone::named("Mars/Olympus").is_none());
        assert_eq!(Zone::utc().name(), "UTC");
    }

    #[test]
    fn days_have_the_hours_they_have() {
        let chicago = Zone::named("America/Chicago").expect("known");
        let spring = chicago.begin(Period::Day, at("2026-03-08T20:00:00Z")).expect("a day");
        assert_eq!(spring, at("2026-03-08T06:00:00Z"));
        assert_eq!(chicago.next(Period::Day, spring), Some(at("2026-03-09T05:00:00Z")), "23 hours");
        let week = chicago.begin(Period::Week, at("2026-03-08T20:00:00Z")).expect("a week");
        assert_eq!(week, at("2026-03-02T06:00:00Z"), "a Monday");
        assert_eq!(chicago.next(Period::Week, week), Some(at("2026-03-09T05:00:00Z")));
        let month = chicago.begin(Period::Month, at("2026-11-30T00:00:00Z")).expect("a month");
        assert_eq!(month, at("2026-11-01T05:00:00Z"));
        assert_eq!(chicago.next(Period::Month, month), Some(at("2026-12-01T06:00:00Z")), "an hour more");
        let hour = Zone::named("Asia/Kathmandu").and_then(|zone| zone.begin(Period::Hour, at("2026-01-01T00:20:30Z")));
        assert_eq!(hour, Some(at("2026-01-01T00:15:00Z")), "5:45 east");
    }
}
