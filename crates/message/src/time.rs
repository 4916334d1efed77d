//! Moments: UTC, RFC 3339 in and out.

use std::fmt;
use std::time::{SystemTime, UNIX_EPOCH};

/// A moment, to the nanosecond, from 1677 to 2262.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Timestamp(i64);

const SECOND: i64 = 1_000_000_000;

impl Timestamp {
    /// This moment, by the system's clock.
    pub fn now() -> Self {
        SystemTime::now().into()
    }

    /// So many nanoseconds after the beginning of 1970.
    pub const fn from_nanos(nanos: i64) -> Self {
        Timestamp(nanos)
    }

    /// Nanoseconds since the beginning of 1970.
    pub const fn nanos(self) -> i64 {
        self.0
    }

    /// So many seconds after the beginning of 1970.
    pub const fn from_unix_seconds(seconds: i64) -> Self {
        Timestamp(seconds.saturating_mul(SECOND))
    }

    /// Whole seconds since the beginning of 1970.
    pub const fn unix_seconds(self) -> i64 {
        self.0.div_euclid(SECOND)
    }

    /// Reads RFC 3339 leniently: no to nine digits of fraction (more are cut), any offset, `T` or a blank, and UTC where
    /// no zone is given.
    pub fn parse(text: &str) -> Option<Self> {
        let bytes = text.as_bytes();
        let number = |from: usize, len: usize| -> Option<i64> {
            let digits = bytes.get(from..from + len)?;
            digits.iter().try_fold(0, |sum, digit| digit.is_ascii_digit().then(|| sum * 10 + i64::from(digit - b'0')))
        };
        let is = |at: usize, any: &[u8]| bytes.get(at).is_some_and(|byte| any.contains(byte));
        if !(is(4, b"-") && is(7, b"-") && is(10, b"Tt ") && is(13, b":") && is(16, b":")) {
            return None;
        }
        let (year, month, day) = (number(0, 4)?, number(5, 2)?, number(8, 2)?);
        let (hour, minute, second) = (number(11, 2)?, number(14, 2)?, number(17, 2)?);
        let length = days_of_month(year, month)?;
        if !(1..=length).contains(&day) || hour > 23 || minute > 59 || second > 60 {
            return None;
        }
        let mut rest = bytes.get(19..)?;
        let mut nanos = 0;
        if let [b'.' | b',', digits @ ..] = rest {
            let count = digits.iter().take_while(|byte| byte.is_ascii_digit()).count();
            let (digits, after) = digits.split_at_checked(count).filter(|(digits, _)| !digits.is_empty())?;
            for at in 0..9 {
                nanos = nanos * 10 + digits.get(at).map_or(0, |digit| i64::from(digit - b'0'));
            }
            rest = after;
        }
        let offset = offset(rest)?;
        // A leap second is the last moment of its minute.
        let second = if second == 60 { 59 } else { second };
        let seconds = days(year, month, day) * 86_400 + hour * 3600 + minute * 60 + second - offset;
        seconds.checked_mul(SECOND)?.checked_add(nanos).map(Timestamp)
    }

    /// Whether a text that [`Timestamp::parse`] reads says its zone.
    pub(crate) fn has_zone(text: &str) -> bool {
        let rest = text.as_bytes().get(19..).unwrap_or_default();
        rest.iter().any(|byte| matches!(byte, b'Z' | b'z' | b'+' | b'-'))
    }

    /// The day and the time of it.
    fn parts(self) -> (i64, i64, i64, i64) {
        let seconds = self.unix_seconds();
        let (year, month, day) = date(seconds.div_euclid(86_400));
        (year, month, day, seconds.rem_euclid(86_400))
    }

    fn micros(self) -> u32 {
        (self.0.rem_euclid(SECOND) / 1000) as u32
    }
}

/// Seconds east of UTC.
fn offset(zone: &[u8]) -> Option<i64> {
    let (sign, digits) = match zone {
        [] | [b'Z' | b'z'] => return Some(0),
        [b'+', digits @ ..] => (1, digits),
        [b'-', digits @ ..] => (-1, digits),
        _ => return None,
    };
    let two = |tens: &u8, ones: &u8| -> Option<i64> {
        (tens.is_ascii_digit() && ones.is_ascii_digit()).then(|| i64::from(tens - b'0') * 10 + i64::from(ones - b'0'))
    };
    let (hours, minutes) = match digits {
        [a, b] => (two(a, b)?, 0),
        [a, b, b':', c, d] | [a, b, c, d] => (two(a, b)?, two(c, d)?),
        _ => return None,
    };
    (hours <= 23 && minutes <= 59).then_some(sign * (hours * 3600 + minutes * 60))
}

fn days_of_month(year: i64, month: i64) -> Option<i64> {
    let leap = year % 4 == 0 && (year % 100 != 0 || year % 400 == 0);
    Some(match month {
        1 | 3 | 5 | 7 | 8 | 10 | 12 => 31,
        4 | 6 | 9 | 11 => 30,
        2 if leap => 29,
        2 => 28,
        _ => return None,
    })
}

/// Days from 1970-01-01 to a date. Years are counted from March, so that the leap day is the last of its year.
fn days(year: i64, month: i64, day: i64) -> i64 {
    let year = if month <= 2 { year - 1 } else { year };
    let (era, year_of_era) = (year.div_euclid(400), year.rem_euclid(400));
    let day_of_year = (153 * ((month + 9) % 12) + 2) / 5 + day - 1;
    era * 146_097 + year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year - 719_468
}

/// The other way.
fn date(days: i64) -> (i64, i64, i64) {
    let days = days + 719_468;
    let (era, day) = (days.div_euclid(146_097), days.rem_euclid(146_097));
    let year_of_era = (day - day / 1460 + day / 36_524 - day / 146_096) / 365;
    let day_of_year = day - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let shifted = (5 * day_of_year + 2) / 153;
    let month = if shifted < 10 { shifted + 3 } else { shifted - 9 };
    let year = year_of_era + era * 400 + i64::from(month <= 2);
    (year, month, day_of_year - (153 * shifted + 2) / 5 + 1)
}

impl From<SystemTime> for Timestamp {
    fn from(time: SystemTime) -> Self {
        let nanos = match time.duration_since(UNIX_EPOCH) {
            Ok(after) => i64::try_from(after.as_nanos()).unwrap_or(i64::MAX),
            Err(before) => i64::try_from(before.duration().as_nanos()).map_or(i64::MIN, |nanos| -nanos),
        };
        Timestamp(nanos)
    }
}

impl fmt::Display for Timestamp {
    /// `2026-11-20T22:00:50.348839Z`, always six digits.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (year, month, day, second) = self.parts();
        let (hour, minute, second) = (second / 3600, second / 60 % 60, second % 60);
        write!(f, "{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}.{:06}Z", self.micros())
    }
}

/// Writes moments that follow each other: everything above the second is kept from the one before.
#[derive(Debug, Clone, Default)]
pub struct TimestampWriter {
    second: Option<i64>,
    /// `2026-11-20T22:00:50.`
    text: Vec<u8>,
}

impl TimestampWriter {
    /// Writes what `Display` writes, without quotes.
    #[inline]
    pub fn write(&mut self, moment: Timestamp, out: &mut Vec<u8>) {
        let second = moment.unix_seconds();
        if self.second != Some(second) {
            self.turn(moment, second);
        }
        out.extend_from_slice(&self.text);
        let micros = moment.micros();
        let digit = |place: u32| b'0' + (micros / place % 10) as u8;
        out.extend_from_slice(&[digit(100_000), digit(10_000), digit(1000), digit(100), digit(10), digit(1), b'Z']);
    }

    #[cold]
    fn turn(&mut self, moment: Timestamp, second: i64) {
        let text = moment.to_string();
        self.text =
            text.as_bytes().split_at_checked(text.len().saturating_sub(7)).map_or(Vec::new(), |(all, _)| all.to_vec());
        self.second = Some(second);
    }
}
