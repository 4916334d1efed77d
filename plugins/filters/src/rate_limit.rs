use crate::path::Path;
use crate::table::{Rests, Table};
use metlog_pipeline::registry::Configured;
use metlog_pipeline::{Event, Filter, FilterEntry, inventory};
use serde::de::Error;
use serde::{Deserialize, Deserializer};
use std::num::NonZeroU32;
use std::time::Instant;

/// Picoseconds, in which a thousand million per second are still a whole number.
const SECOND: u128 = 1_000_000_000_000;

/// Settings of `rate_limit`.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RateLimitConfig {
    /// What passes for ever: 0.1 is one message in ten seconds. A millionth to a thousand million.
    #[serde(deserialize_with = "per_second")]
    pub per_second: f64,
    /// What passes at once after a pause; without it, what passes in a second, and at least one.
    pub burst: Option<NonZeroU32>,
    /// Each value here has a limit of its own. Messages without it, or with `null`, share one.
    pub key: Option<Path>,
}

fn per_second<'de, D: Deserializer<'de>>(from: D) -> Result<f64, D::Error> {
    let per_second = f64::deserialize(from)?;
    checked(per_second).map_err(D::Error::custom)
}

fn checked(per_second: f64) -> Result<f64, String> {
    let right = || format!("expected messages per second, 0.000001 to 1000000000; found {per_second}");
    if (1e-6..=1e9).contains(&per_second) { Ok(per_second) } else { Err(right()) }
}

/// Passes so many messages per second, and so many at once, by the time at which they arrive.
#[derive(Debug)]
pub struct RateLimit {
    interval: u128,
    /// How far ahead of its time a bucket may be used: the burst but for its last message.
    ahead: u128,
    key: Option<Path>,
    started: Option<Instant>,
    buckets: Table<Bucket>,
}

/// When it will be full again: a bucket drained by one message needs one interval. One that is full already is as good as
/// a new one, so forgetting it changes nothing.
#[derive(Debug, Clone, Copy, Default)]
struct Bucket(u128);

impl Rests for Bucket {
    fn has_rested(&self, now: u128) -> bool {
        self.0 <= now
    }
}

impl Bucket {
    fn take(&mut self, now: u128, interval: u128, ahead: u128) -> bool {
        let full = self.0.max(now);
        let passes = full - now <= ahead;
        if passes {
            self.0 = full + interval;
        }
        passes
    }
}

impl RateLimit {
    /// For all messages together. Without a burst: what passes in a second.
    ///
    /// # Errors
    /// If the rate is not a millionth to a thousand million.
    pub fn new(per_second: f64, burst: Option<NonZeroU32>) -> Result<Self, String> {
        let interval = (SECOND as f64 / checked(per_second)?).round() as u128;
        let burst = burst.map_or(per_second.ceil() as u128, |burst| burst.get().into());
        Ok(RateLimit {
            interval,
            ahead: burst.saturating_sub(1) * interval,
            key: None,
            started: None,
            buckets: Table::default(),
        })
    }

    /// For each value here by itself.
    #[must_use]
    pub fn by(self, key: Path) -> Self {
        RateLimit { key: Some(key), ..self }
    }

    /// The same as [`Filter::keep`] for a message that arrived then. Times that go back count as no time.
    pub fn keep_at(&mut self, event: &Event<'_>, arrived: Instant) -> bool {
        let (bucket, now, interval, ahead) = self.bucket(event, arrived);
        bucket.take(now, interval, ahead)
    }

    fn bucket(&mut self, event: &Event<'_>, arrived: Instant) -> (&mut Bucket, u128, u128, u128) {
        let started = *self.started.get_or_insert(arrived);
        let now = arrived.saturating_duration_since(started).as_nanos() * 1000;
        let (interval, ahead) = (self.interval, self.ahead);
        let key = self.key.as_ref().and_then(|key| key.find(event));
        (self.buckets.of(key.as_ref(), now, SECOND), now, interval, ahead)
    }
}

impl Filter for RateLimit {
    fn keep(&mut self, event: &Event<'_>) -> bool {
        self.keep_at(event, Instant::now())
    }

    fn peek(&mut self, event: &Event<'_>) -> bool {
        let (bucket, now, interval, ahead) = self.bucket(event, Instant::now());
        bucket.clone().take(now, interval, ahead)
    }
}

impl Configured for RateLimit {
    type Config = RateLimitConfig;
    fn open(config: RateLimitConfig) -> Result<Self, String> {
        Ok(RateLimit { key: config.key, ..RateLimit::new(config.per_second, config.burst)? })
    }
}

inventory::submit! {
    FilterEntry::of::<RateLimit>("rate_limit", &[], include_str!("../example-rate_limit.toml"))
}
