use crate::path::{Found, Path};
use crate::table::{Rests, Table};
use metlog_pipeline::registry::Configured;
use metlog_pipeline::{Edit, Event, Filter, FilterEntry, Reason, inventory};
use metlog_settings::{Size, Span};
use serde::de::{Error, Visitor};
use serde::{Deserialize, Deserializer};
use std::borrow::Cow;
use std::fmt;
use std::str::FromStr;
use std::time::{Duration, Instant};

/// Femtoseconds, in which a byte of a terabyte per second still takes a whole number.
const SECOND: u128 = 1_000_000_000_000_000;

/// Settings of `quota`: `messages`, `bytes`, or both.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct QuotaConfig {
    /// So many messages for ever: `1000/s`, `10/m`, `5000/h`; a number alone is per second.
    pub messages: Option<Rate>,
    /// So many bytes for ever: `1 MiB/s`; a size alone is per second.
    pub bytes: Option<SizeRate>,
    /// After a pause as much passes at once as in this time; one message always does.
    #[serde(default = "one_second")]
    pub burst: Span,
    /// Each value here has a quota of its own: `metlog_client` if it is not given. Messages without it share one.
    pub by: Option<Path>,
}

fn one_second() -> Span {
    Span(Duration::from_secs(1))
}

/// Messages in a time.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Rate {
    number: f64,
    unit: &'static str,
    seconds: f64,
}

/// Bytes in a time.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct SizeRate {
    size: Size,
    unit: &'static str,
    seconds: f64,
}

/// A number or size, and the unit of time behind a slash.
fn split(text: &str) -> Option<(&str, &'static str, f64)> {
    let (what, unit) = text.rsplit_once('/').unwrap_or((text, "s"));
    let (unit, seconds) = match unit.trim() {
        "s" | "sec" | "second" => ("s", 1.0),
        "m" | "min" | "minute" => ("m", 60.0),
        "h" | "hour" => ("h", 3600.0),
        "d" | "day" => ("d", 86_400.0),
        _ => return None,
    };
    Some((what.trim(), unit, seconds))
}

const RATE: &str =
    "a number of messages in a time, such as `1000/s`, `10/m` or `5000/h`, a millionth to a thousand million a second";
const SIZE_RATE: &str = "a size in a time, such as `1 MiB/s` or `5 GB/h`, one byte to a terabyte a second";

impl FromStr for Rate {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let rate =
            split(text).and_then(|(number, unit, seconds)| Some(Rate { number: number.parse().ok()?, unit, seconds }));
        let rate = rate.filter(|rate| (1e-6..=1e9).contains(&(rate.number / rate.seconds)));
        rate.ok_or_else(|| format!("expected {RATE}; found `{text}`"))
    }
}

impl FromStr for SizeRate {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let wrong = || format!("expected {SIZE_RATE}; found `{text}`");
        let (size, unit, seconds) = split(text).ok_or_else(wrong)?;
        let rate = SizeRate { size: size.parse()?, unit, seconds };
        if (1.0..=1e12).contains(&(rate.size.bytes() as f64 / seconds)) { Ok(rate) } else { Err(wrong()) }
    }
}

impl fmt::Display for Rate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} messages/{}", self.number, self.unit)
    }
}

impl fmt::Display for SizeRate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.size, self.unit)
    }
}

/// Reads what is written as text or as a number.
struct Written<T>(&'static str, fn(&str) -> Result<T, String>);

impl<T> Visitor<'_> for Written<T> {
    type Value = T;
    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.0)
    }
    fn visit_str<E: Error>(self, text: &str) -> Result<T, E> {
        (self.1)(text).map_err(E::custom)
    }
    fn visit_i64<E: Error>(self, number: i64) -> Result<T, E> {
        self.visit_str(&number.to_string())
    }
    fn visit_u64<E: Error>(self, number: u64) -> Result<T, E> {
        self.visit_str(&number.to_string())
    }
    fn visit_f64<E: Error>(self, number: f64) -> Result<T, E> {
        self.visit_str(&number.to_string())
    }
}

impl<'de> Deserialize<'de> for Rate {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        from.deserialize_any(Written(RATE, str::parse))
    }
}

impl<'de> Deserialize<'de> for SizeRate {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        from.deserialize_any(Written(SIZE_RATE, str::parse))
    }
}

/// Passes what each sender may send, by the time at which it arrives. As an editor it says so to those who may not; as a
/// plain filter it keeps the rest from its endpoint.
#[derive(Debug)]
pub struct Quota {
    messages: Option<Limit>,
    bytes: Option<Limit>,
    /// `None`: `metlog_client`.
    by: Option<Path>,
    started: Option<Instant>,
    accounts: Table<Account>,
}

/// One of the two.
#[derive(Debug)]
struct Limit {
    /// For one message or byte.
    interval: u128,
    /// What may come at once, as the time that it takes to come back.
    burst: u128,
    said: String,
}

impl Limit {
    fn new(per_second: f64, burst: Duration, said: String) -> Self {
        let burst = burst.as_nanos() * (SECOND / 1_000_000_000);
        // Rounded down, so that as many fit into a second as are said to.
        Limit { interval: (SECOND as f64 / per_second) as u128, burst, said }
    }

    /// When the account is full again if so much is taken; `None`: it is not there. What is more than a burst passes
    /// once nothing is owed, or it never would.
    fn after(&self, full: u128, now: u128, count: u128) -> Option<u128> {
        let from = full.max(now);
        let after = from + count * self.interval;
        (after - now <= self.burst || from == now).then_some(after)
    }
}

/// When messages and bytes will be full again.
#[derive(Debug, Default)]
struct Account {
    messages: u128,
    bytes: u128,
}

impl Rests for Account {
    fn has_rested(&self, now: u128) -> bool {
        self.messages.max(self.bytes) <= now
    }
}

impl Quota {
    /// By `metlog_client`, with what comes in a second at once.
    ///
    /// # Errors
    /// If there is no limit at all.
    pub fn new(messages: Option<Rate>, bytes: Option<SizeRate>) -> Result<Self, String> {
        Self::open(QuotaConfig { messages, bytes, burst: one_second(), by: None })
    }

    /// For each value here instead.
    #[must_use]
    pub fn by(self, key: Path) -> Self {
        Quota { by: Some(key), ..self }
    }

    /// The limit that a message is beyond which arrived then. What passes is charged to both. Times that go back count as
    /// no time.
    fn beyond(&mut self, event: &Event<'_>, arrived: Instant) -> Option<&Limit> {
        self.within(event, arrived, true)
    }

    /// The same, charged or not.
    fn within(&mut self, event: &Event<'_>, arrived: Instant, charged: bool) -> Option<&Limit> {
        let started = *self.started.get_or_insert(arrived);
        let now = arrived.saturating_duration_since(started).as_nanos() * (SECOND / 1_000_000_000);
        let key = match &self.by {
            Some(path) => path.find(event),
            None => event.head.origin.as_ref().map(|(client, _)| Found::Text(Cow::Borrowed(client))),
        };
        let account = self.accounts.of(key.as_ref(), now, SECOND);
        let ask = |limit: &Option<Limit>, full: u128, count: usize| match limit {
            Some(limit) => limit.after(full, now, count as u128),
            None => Some(full),
        };
        let messages = ask(&self.messages, account.messages, 1);
        let bytes = ask(&self.bytes, account.bytes, event.raw.len());
        match (messages, bytes) {
            (Some(messages), Some(bytes)) => {
                if charged {
                    *account = Account { messages, bytes };
                }
                None
            }
            (None, _) => self.messages.as_ref(),
            (_, None) => self.bytes.as_ref(),
        }
    }

    /// The same as [`Filter::keep`] for a message that arrived then.
    pub fn keep_at(&mut self, event: &Event<'_>, arrived: Instant) -> bool {
        self.beyond(event, arrived).is_none()
    }
}

impl Filter for Quota {
    fn keep(&mut self, event: &Event<'_>) -> bool {
        self.keep_at(event, Instant::now())
    }

    fn peek(&mut self, event: &Event<'_>) -> bool {
        self.within(event, Instant::now(), false).is_none()
    }

    fn edit(&mut self, event: &Event<'_>, _out: &mut Vec<u8>) -> Edit {
        match self.beyond(event, Instant::now()) {
            None => Edit::Keep,
            Some(limit) => Edit::Drop { reason: Reason::Quota, why: Cow::Owned(limit.said.clone()) },
        }
    }
}

impl Configured for Quota {
    type Config = QuotaConfig;

    fn check(config: &QuotaConfig) -> Result<(), String> {
        if config.messages.is_none() && config.bytes.is_none() {
            return Err("`quota` needs `messages` or `bytes`, such as `messages = \"1000/s\"`".into());
        }
        Ok(())
    }

    fn open(config: QuotaConfig) -> Result<Self, String> {
        Self::check(&config)?;
        let QuotaConfig { messages, bytes, burst, by } = config;
        let of = by.as_ref().map_or_else(|| "metlog_client".to_owned(), Path::to_string);
        let said = |rate: &dyn fmt::Display| format!("over the quota of {rate} by {of}");
        let messages = messages.map(|rate| Limit::new(rate.number / rate.seconds, burst.duration(), said(&rate)));
        let bytes =
            bytes.map(|rate| Limit::new(rate.size.bytes() as f64 / rate.seconds, burst.duration(), said(&rate)));
        // The head has it already.
        let by = by.filter(|path| path.to_string() != "metlog_client");
        Ok(Quota { messages, bytes, by, started: None, accounts: Table::default() })
    }
}

inventory::submit! {
    FilterEntry::of::<Quota>("quota", &[], include_str!("../example-quota.toml"))
}
