//! Times that carry their unit: `"250ms"`. [`Span`] is a type of its own so that `Option<Span>` works; for a field of
//! type [`Duration`] there is `#[serde(with = "metlog_settings::duration")]`.

use serde::de::{Error, Unexpected, Visitor};
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use std::fmt;
use std::str::FromStr;
use std::time::Duration;

const UNITS: [(&str, u128); 8] = [
    ("ns", 1),
    ("us", 1000),
    ("µs", 1000),
    ("ms", 1_000_000),
    ("s", SECOND),
    ("m", 60 * SECOND),
    ("h", 3600 * SECOND),
    ("d", 24 * 3600 * SECOND),
];
const SECOND: u128 = 1_000_000_000;

const RIGHT: &str = "a time such as `250ms`, `1s`, `5m`, `2h` or `1d`, or a number of seconds";

/// A length of time. Written as a number of seconds, or with units: ns, us, ms, s, m, h, d, also several (`1h 30m`).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Span(pub Duration);

impl Span {
    /// As the standard library has it.
    pub const fn duration(self) -> Duration {
        self.0
    }
}

/// One number with its unit, and the rest of the text.
fn part(text: &str) -> Option<(u128, &str)> {
    let end = text.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(text.len());
    let (number, rest) = text.split_at_checked(end)?;
    let rest = rest.trim_start();
    let (unit, rest) = rest.split_at_checked(rest.find(|c: char| !c.is_alphabetic()).unwrap_or(rest.len()))?;
    let (_, factor) = UNITS.iter().find(|(name, _)| *name == unit)?;
    let nanoseconds = match number.parse::<u128>() {
        Ok(whole) => whole.checked_mul(*factor)?,
        Err(_) => (number.parse::<f64>().ok()? * *factor as f64).round() as u128,
    };
    Some((nanoseconds, rest.trim_start()))
}

impl FromStr for Span {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let wrong = || format!("`{text}` is not {RIGHT}");
        let mut rest = text.trim();
        if !rest.is_empty() && rest.bytes().all(|byte| byte.is_ascii_digit() || byte == b'.') {
            let seconds = rest.parse().map_err(|_| wrong())?;
            return Duration::try_from_secs_f64(seconds).map(Span).map_err(|_| wrong());
        }
        let mut total: u128 = 0;
        loop {
            let (nanoseconds, after) = part(rest).ok_or_else(wrong)?;
            total = total.checked_add(nanoseconds).ok_or_else(wrong)?;
            rest = after;
            if rest.is_empty() {
                break;
            }
        }
        let seconds = u64::try_from(total / SECOND).map_err(|_| wrong())?;
        Ok(Span(Duration::new(seconds, u32::try_from(total % SECOND).unwrap_or_default())))
    }
}

impl fmt::Display for Span {
    /// In the largest unit that loses nothing.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let nanoseconds = self.0.as_nanos();
        let fits = |(_, factor): &&(&str, u128)| nanoseconds > 0 && nanoseconds.is_multiple_of(*factor);
        match UNITS.iter().rev().find(fits) {
            Some(("µs", factor)) => write!(f, "{}us", nanoseconds / factor),
            Some((unit, factor)) => write!(f, "{}{unit}", nanoseconds / factor),
            None => f.write_str("0s"),
        }
    }
}

impl Serialize for Span {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Span {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Spans;
        impl Visitor<'_> for Spans {
            type Value = Span;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(RIGHT)
            }
            fn visit_u64<E: Error>(self, seconds: u64) -> Result<Span, E> {
                Ok(Span(Duration::from_secs(seconds)))
            }
            fn visit_i64<E: Error>(self, seconds: i64) -> Result<Span, E> {
                let seconds =
                    u64::try_from(seconds).map_err(|_| E::invalid_value(Unexpected::Signed(seconds), &self))?;
                self.visit_u64(seconds)
            }
            fn visit_f64<E: Error>(self, seconds: f64) -> Result<Span, E> {
                let wrong = |_| E::invalid_value(Unexpected::Float(seconds), &self);
                Duration::try_from_secs_f64(seconds).map(Span).map_err(wrong)
            }
            fn visit_str<E: Error>(self, text: &str) -> Result<Span, E> {
                text.parse().map_err(E::custom)
            }
        }
        deserializer.deserialize_any(Spans)
    }
}

/// For `#[serde(with = "metlog_settings::duration")]`.
///
/// # Errors
/// If it is no length of time; the error says what would be.
pub fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Duration, D::Error> {
    Span::deserialize(deserializer).map(Span::duration)
}

/// The way back.
///
/// # Errors
/// Only the serializer's own.
pub fn serialize<S: Serializer>(duration: &Duration, serializer: S) -> Result<S::Ok, S::Error> {
    Span(*duration).serialize(serializer)
}
