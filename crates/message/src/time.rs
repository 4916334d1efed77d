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

    /// Reads RFC 3339 leniently: up to nine digits of fraction (more are cut), any offset with or without minutes and
    /// colon, `T` or a blank, and UTC where no zone is given. Nothing else, and nothing around it.
    pub fn parse(text: &str) -> Option<Self> {
        Self::as_written(text.as_bytes()).or_else(|| Self::otherwise(text))
    }

    /// Reads what [`Timestamp::text`] writes, which nearly all messages have: eight bytes in one go. Nothing where it is
    /// written otherwise, or the moment has not a place in every year.
    #[inline(always)]
    pub(crate) fn as_written(text: &[u8]) -> Option<Self> {
        let (date, rest) = text.split_first_chunk()?;
        let (time, rest) = rest.split_first_chunk()?;
        let (fraction, rest) = rest.split_first_chunk()?;
        let [f5, f6, b'Z'] = rest else { return None };
        let [y12, _, y34, _, _, month, _, _] = pairs(*date, *b"0000-00-")?;
        let [day, _, _, hour, _, _, minute, _] = pairs(*time, *b"00T00:00")?;
        let [_, second, _, _, f12, _, f34, _] = pairs(*fraction, *b":00.0000")?;
        let [year, month, day] = [y12 * 100 + y34, month, day];
        if !(1680..=2260).contains(&year)
            || !(1..=12).contains(&month)
            || !(1..=28).contains(&day)
            || hour > 23
            || minute > 59
            || second > 59
        {
            return None;
        }
        let seconds = days(year, month, day) * 86_400 + hour * 3600 + minute * 60 + second;
        let micros = f12 * 10_000 + f34 * 100 + two(f5, f6)?;
        Some(Timestamp(seconds * SECOND + micros * 1000))
    }

    fn otherwise(text: &str) -> Option<Self> {
        let (whole, mut rest) = text.as_bytes().split_first_chunk::<19>()?;
        let [y1, y2, y3, y4, b'-', o1, o2, b'-', d1, d2, b'T' | b't' | b' ', h1, h2, b':', m1, m2, b':', s1, s2] =
            whole
        else {
            return None;
        };
        let year = two(y1, y2)? * 100 + two(y3, y4)?;
        let (month, day) = (two(o1, o2)?, two(d1, d2)?);
        let (hour, minute, second) = (two(h1, h2)?, two(m1, m2)?, two(s1, s2)?);
        let length = days_of_month(year, month)?;
        if !(1..=length).contains(&day) || hour > 23 || minute > 59 || second > 60 {
            return None;
        }
        // A leap second repeats the one before it, as most clocks do.
        let second = second.min(59);
        let seconds = days(year, month, day) * 86_400 + hour * 3600 + minute * 60 + second;
        let mut nanos = 0;
        if let [b'.', fraction @ ..] = rest {
            let mut place = SECOND / 10;
            rest = fraction;
            while let [digit @ b'0'..=b'9', after @ ..] = rest {
                nanos += i64::from(digit - b'0') * place;
                place /= 10;
                rest = after;
            }
            if rest.len() == fraction.len() {
                return None;
            }
        }
        let seconds = seconds - offset(rest)?;
        // In the first second of all, the second alone is out of range while the moment is not.
        i64::try_from(i128::from(seconds) * i128::from(SECOND) + i128::from(nanos)).ok().map(Timestamp)
    }

    /// Whether a text that [`Timestamp::parse`] reads says its zone.
    pub(crate) fn has_zone(text: &str) -> bool {
        let rest = text.as_bytes().get(19..).unwrap_or_default();
        // Most end with it.
        rest.last() == Some(&b'Z') || rest.iter().any(|byte| matches!(byte, b'Z' | b'z' | b'+' | b'-'))
    }

    /// `2026-11-20T22:00:50.348839Z`: every moment there is has a year of four digits.
    pub fn text(self) -> [u8; 27] {
        let seconds = self.unix_seconds();
        let (year, month, day) = date(seconds.div_euclid(86_400));
        let second = seconds.rem_euclid(86_400);
        let ([y1, y2], [y3, y4]) = (digits(year / 100), digits(year));
        let ([o1, o2], [d1, d2]) = (digits(month), digits(day));
        let ([h1, h2], [m1, m2], [s1, s2]) = (digits(second / 3600), digits(second / 60 % 60), digits(second % 60));
        let [f1, f2, f3, f4, f5, f6] = self.fraction();
        [
            y1, y2, y3, y4, b'-', o1, o2, b'-', d1, d2, b'T', h1, h2, b':', m1, m2, b':', s1, s2, b'.', f1, f2, f3, f4,
            f5, f6, b'Z',
        ]
    }

    /// The microseconds.
    #[inline]
    fn fraction(self) -> [u8; 6] {
        let micros = self.0.rem_euclid(SECOND) / 1000;
        let ([f1, f2], [f3, f4], [f5, f6]) = (digits(micros / 10_000), digits(micros / 100), digits(micros));
        [f1, f2, f3, f4, f5, f6]
    }
}

/// The last two digits of a number.
#[inline]
fn digits(number: i64) -> [u8; 2] {
    let number = (number % 100) as u8;
    [b'0' + number / 10, b'0' + number % 10]
}

/// The number that two digits make.
#[inline]
fn two(tens: &u8, ones: &u8) -> Option<i64> {
    (tens.is_ascii_digit() && ones.is_ascii_digit()).then(|| i64::from(tens - b'0') * 10 + i64::from(ones - b'0'))
}

/// The numbers that each digit makes with the one behind it, if the text has digits where the pattern has noughts, and
/// all else as the pattern has it.
#[inline(always)]
fn pairs(text: [u8; 8], pattern: [u8; 8]) -> Option<[i64; 8]> {
    const SIXES: u64 = u64::from_le_bytes([6; 8]);
    const TENS: u64 = u64::from_le_bytes([0xf0; 8]);
    let else_than = u64::from_le_bytes(pattern.map(|byte| if byte == b'0' { 0 } else { 0xff }));
    let digits = u64::from_le_bytes(text) ^ u64::from_le_bytes(pattern);
    // A digit is below ten, so that six more do not reach the next place of sixteen.
    if digits & else_than != 0 || (digits | digits.wrapping_add(SIXES)) & TENS != 0 {
        return None;
    }
    Some((digits * 10 + (digits >> 8)).to_le_bytes().map(i64::from))
}

/// Seconds east of UTC.
fn offset(zone: &[u8]) -> Option<i64> {
    let (sign, digits) = match zone {
        [] | [b'Z' | b'z'] => return Some(0),
        [b'+', digits @ ..] => (1, digits),
        [b'-', digits @ ..] => (-1, digits),
        _ => return None,
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
#[inline]
fn days(year: i64, month: i64, day: i64) -> i64 {
    let (year, month) = if month <= 2 { (year - 1, month + 9) } else { (year, month - 3) };
    let leap_days = year.div_euclid(4) - year.div_euclid(100) + year.div_euclid(400);
    year * 365 + leap_days + (153 * month + 2) / 5 + day - 719_469
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
        self.text().iter().try_for_each(|byte| fmt::Write::write_char(f, char::from(*byte)))
    }
}

/// Writes moments that follow each other: everything above the second is kept from the one before.
#[derive(Debug, Clone)]
pub struct TimestampWriter {
    second: i64,
    text: [u8; 27],
}

impl Default for TimestampWriter {
    fn default() -> Self {
        let moment = Timestamp::default();
        TimestampWriter { second: moment.unix_seconds(), text: moment.text() }
    }
}

impl TimestampWriter {
    /// Writes what `Display` writes, without quotes.
    #[inline]
    pub fn write(&mut self, moment: Timestamp, out: &mut Vec<u8>) {
        let second = moment.unix_seconds();
        if self.second == second {
            let [.., f1, f2, f3, f4, f5, f6, _z] = &mut self.text;
            [*f1, *f2, *f3, *f4, *f5, *f6] = moment.fraction();
        } else {
            (self.second, self.text) = (second, moment.text());
        }
        out.extend_from_slice(&self.text);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn eight_bytes_in_one_go_are_the_same(nanos: i64, at in 0..27_usize, byte in 0x20..0x7f_u8) {
            let moment = Timestamp(nanos);
            let mut text = moment.text();
            let micros = Timestamp(nanos.div_euclid(1000).saturating_mul(1000));
            prop_assert!(Timestamp::as_written(&text).is_none_or(|read| read == micros));
            text[at] = byte;
            if let Some(read) = Timestamp::as_written(&text) {
                let text = std::str::from_utf8(&text).expect("ASCII");
                prop_assert_eq!(Some(read), Timestamp::otherwise(text), "{}", text);
            }
        }
    }

    #[test]
    fn most_are_read_in_one_go() {
        for text in ["1970-01-01T00:00:00.000000Z", "2026-11-20T22:00:50.348839Z", "2000-02-28T23:59:59.999999Z"] {
            assert_eq!(Timestamp::as_written(text.as_bytes()).map(|moment| moment.to_string()).as_deref(), Some(text));
        }
    }
}
