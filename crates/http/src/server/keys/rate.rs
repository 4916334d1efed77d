//! How often, as `1000/s`.

use serde::{Deserialize, Deserializer};
use std::fmt;
use std::str::FromStr;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::{Duration, Instant};

/// So many in so long.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Rate {
    count: u32,
    per: Duration,
}

impl Rate {
    pub(super) const fn per_second(count: u32) -> Self {
        Rate { count, per: Duration::from_secs(1) }
    }

    /// What may come at once, after a rest: a second's worth, or one if that is less.
    pub(super) fn at_once(self) -> u32 {
        self.count / u32::try_from(self.per.as_secs()).unwrap_or(u32::MAX).max(1)
    }
}

const UNITS: [(&str, u64); 3] = [("s", 1), ("min", 60), ("h", 3600)];

impl FromStr for Rate {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let wrong = "expected a number of messages or requests in a time, such as `1000/s`, `60/min` or `5000/h`";
        let (count, unit) = text.split_once('/').ok_or(wrong)?;
        let count = count.trim().parse().ok().filter(|count| *count > 0).ok_or(wrong)?;
        let per = UNITS.iter().find(|(name, _)| *name == unit.trim()).ok_or(wrong)?.1;
        Ok(Rate { count, per: Duration::from_secs(per) })
    }
}

impl fmt::Display for Rate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let unit =
            UNITS.iter().find(|(_, seconds)| Duration::from_secs(*seconds) == self.per).map_or("", |unit| unit.0);
        write!(f, "{}/{unit}", self.count)
    }
}

impl<'de> Deserialize<'de> for Rate {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        String::deserialize(from)?.parse().map_err(serde::de::Error::custom)
    }
}

/// What is left of a rate. How many messages a request brings is known only when they are in, so a bucket may be
/// overdrawn by one round of requests; whoever overdraws it waits so much longer.
#[derive(Debug)]
pub(super) struct Bucket {
    rate: Rate,
    at_once: u32,
    began: Instant,
    /// Nanoseconds after `began` at which everything that was taken will have been allowed.
    paid: AtomicU64,
}

impl Bucket {
    /// A full one.
    pub(super) fn new(rate: Rate, at_once: u32) -> Self {
        Bucket { rate, at_once, began: Instant::now(), paid: AtomicU64::new(0) }
    }

    pub(super) fn rate(&self) -> Rate {
        self.rate
    }

    fn now(&self) -> u64 {
        u64::try_from(self.began.elapsed().as_nanos()).unwrap_or(u64::MAX)
    }

    /// What one costs, in nanoseconds.
    fn price(&self) -> u64 {
        u64::try_from(self.rate.per.as_nanos()).unwrap_or(u64::MAX) / u64::from(self.rate.count).max(1)
    }

    /// How long until there is something; nothing if there is.
    pub(super) fn wait(&self) -> Option<Duration> {
        // What may be taken at once, less the one that is asked for.
        let ahead = self.price().saturating_mul(u64::from(self.at_once.saturating_sub(1)));
        let over = self.paid.load(Relaxed).saturating_sub(self.now().saturating_add(ahead));
        (over > 0).then(|| Duration::from_nanos(over))
    }

    /// Whether everything is there that can be.
    pub(super) fn is_full(&self) -> bool {
        self.paid.load(Relaxed) <= self.now()
    }

    /// Takes so many, whether or not they are there.
    pub(super) fn take(&self, count: usize) {
        let cost = self.price().saturating_mul(count as u64);
        let now = self.now();
        // The closure always gives a value, so this cannot fail.
        let _ = self.paid.fetch_update(Relaxed, Relaxed, |paid| Some(paid.max(now).saturating_add(cost)));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(rate: &str) -> Bucket {
        let rate: Rate = rate.parse().expect("a rate");
        Bucket::new(rate, rate.at_once())
    }

    #[test]
    fn rates_as_people_write_them() {
        for text in ["1000/s", "1/min", "4294967295/h"] {
            assert_eq!(text.parse::<Rate>().map(|rate| rate.to_string()).as_deref(), Ok(text));
        }
        assert_eq!(" 5 / s ".parse::<Rate>(), "5/s".parse());
        for wrong in ["", "5", "0/s", "-1/s", "1.5/s", "1/", "1/d", "1/S", "s/1", "4294967296/s"] {
            assert!(wrong.parse::<Rate>().is_err(), "{wrong}");
        }
    }

    #[test]
    fn a_second_at_once_and_then_as_it_comes() {
        let bucket = of("100/h");
        assert_eq!(bucket.wait(), None);
        bucket.take(1);
        let wait = bucket.wait().expect("the next one waits");
        assert!(wait > Duration::from_secs(30) && wait <= Duration::from_secs(36), "{wait:?}");
        let bucket = of("1000000/s");
        for _ in 0..10 {
            assert_eq!(bucket.wait(), None);
            bucket.take(10_000);
        }
        bucket.take(20_000_000);
        let wait = bucket.wait().expect("far overdrawn");
        assert!(wait > Duration::from_secs(15) && wait < Duration::from_secs(20), "{wait:?}");
        bucket.take(usize::MAX);
        assert!(bucket.wait().is_some());
    }

    #[test]
    fn what_was_not_used_is_not_saved_up() {
        let bucket = Bucket { began: Instant::now() - Duration::from_secs(3600), ..of("10/s") };
        assert_eq!(bucket.wait(), None);
        bucket.take(20);
        assert!(bucket.wait().is_some_and(|wait| wait > Duration::from_millis(900)));
    }
}
