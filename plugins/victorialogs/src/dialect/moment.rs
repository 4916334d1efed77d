//! The forms a time comes in: RFC 3339, or a number whose size tells its unit.

use metlog_message::{Timestamp, Value};

/// Digits that count; those behind them are far below a nanosecond.
const DIGITS: u32 = 30;

/// What a value says of when.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Moment {
    /// This.
    At(Timestamp),
    /// 0, `-` or nothing: when it came.
    Now,
    /// Not a time.
    Unreadable,
}

impl From<Option<Timestamp>> for Moment {
    fn from(time: Option<Timestamp>) -> Self {
        time.map_or(Moment::Unreadable, Moment::At)
    }
}

/// Reads a time. Where the number is no integer, `digits` may find more of them than a float can hold.
pub fn moment<'a>(value: &Value, digits: impl FnOnce() -> Option<&'a str>) -> Moment {
    match value {
        Value::Null => Moment::Now,
        Value::Str(text) => of_text(text),
        Value::Int(number) => of_integer(*number),
        Value::Float(number) if number.is_finite() => match digits() {
            Some(digits) if digits.parse() == Ok(*number) => of_text(digits),
            _ => of_text(&number.to_string()),
        },
        _ => Moment::Unreadable,
    }
}

/// Reads a time as it is written.
pub fn of_text(text: &str) -> Moment {
    let text = text.trim();
    match text.as_bytes() {
        [] | b"-" => Moment::Now,
        [_, _, _, _, b'-', ..] => Timestamp::parse(text).into(),
        _ => match text.parse() {
            Ok(number) => of_integer(number),
            Err(_) => since_1970(text).unwrap_or(Moment::Unreadable),
        },
    }
}

fn of_integer(number: i64) -> Moment {
    if number == 0 { Moment::Now } else { number.checked_mul(unit(number.into())).map(Timestamp::from_nanos).into() }
}

/// Nanoseconds in what a number of this size counts: seconds, milli-, micro- or nanoseconds, each up to what 31 bits
/// of seconds hold.
fn unit(size: i128) -> i64 {
    match size.unsigned_abs() {
        size if size < 1 << 31 => 1_000_000_000,
        size if size < (1 << 31) * 1000 => 1_000_000,
        size if size < (1 << 31) * 1_000_000 => 1_000,
        _ => 1,
    }
}

/// Nanoseconds since 1970 and nothing else, as Loki writes them.
pub fn nanoseconds(value: &Value) -> Moment {
    let number = match value {
        Value::Null => Some(0),
        Value::Str(text) if text.is_empty() => Some(0),
        Value::Str(text) => text.trim().parse().ok(),
        number => number.as_i64(),
    };
    match number {
        Some(0) => Moment::Now,
        number => number.map(Timestamp::from_nanos).into(),
    }
}

/// A number with a fraction or an exponent. Exact; what is below a nanosecond is cut.
fn since_1970(number: &str) -> Option<Moment> {
    let (number, exponent) = match number.split_once(['e', 'E']) {
        Some((number, exponent)) => (number, exponent.parse::<i32>().ok().filter(|e| e.unsigned_abs() < 100)?),
        None => (number, 0),
    };
    let (negative, number) = number.strip_prefix('-').map_or((false, number), |number| (true, number));
    let (whole, fraction) = number.split_once('.').map_or((number, None), |(whole, fraction)| (whole, Some(fraction)));
    if whole.is_empty() || fraction.is_some_and(str::is_empty) {
        return None;
    }
    // mantissa / 10^places is the number
    let (mut mantissa, mut places, mut digits) = (0_i128, -exponent, 0);
    for (digit, below) in whole.bytes().map(|d| (d, 0)).chain(fraction.unwrap_or_default().bytes().map(|d| (d, 1))) {
        let digit = char::from(digit).to_digit(10)?;
        if digits < DIGITS {
            mantissa = mantissa * 10 + i128::from(digit);
            places += below;
            digits += u32::from(mantissa > 0);
        } else if below == 0 {
            return None;
        }
    }
    if mantissa == 0 {
        return Some(Moment::Now);
    }
    let by = 10_i128.checked_pow(places.unsigned_abs());
    let nanos = if places > 0 {
        // Beyond all powers there are, nothing is left of it.
        by.map_or(Some(0), |by| Some(mantissa.checked_mul(unit(mantissa / by).into())? / by))
    } else {
        by.and_then(|by| mantissa.checked_mul(by)).and_then(|whole| whole.checked_mul(unit(whole).into()))
    };
    let nanos = i64::try_from(nanos?).ok()?;
    Some(Moment::At(Timestamp::from_nanos(if negative { -nanos } else { nanos })))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn at(text: &str) -> Moment {
        moment(&text.into(), || None)
    }

    #[test]
    fn every_form() {
        let second = 1_790_000_000_000_000_000;
        for (text, nanos) in [
            ("1790000000", second),
            ("1790000000.5", second + 500_000_000),
            ("1.79e9", second),
            ("1.79E+9", second),
            ("179000000000e-2", second),
            ("1790000000.123456789", second + 123_456_789),
            ("1790000000.12345678987654321", second + 123_456_789),
            ("1790000000123", second + 123_000_000),
            ("1790000000123.25", second + 123_250_000),
            ("1790000000123456", second + 123_456_000),
            ("1790000000123456789", second + 123_456_789),
            ("2147483647", 2_147_483_647_000_000_000),
            ("2147483648", 2_147_483_648_000_000),
            ("-1", -1_000_000_000),
            ("0.25", 250_000_000),
            ("2026-09-21T14:13:20Z", second),
            ("2026-09-21t14:13:20.5z", second + 500_000_000),
            ("2026-09-21 14:13:20.123456789", second + 123_456_789),
            ("2026-09-21T16:13:20+02:00", second),
            ("2026-09-21T09:13:20-0500", second),
            ("2026-09-21T14:13:20.000000001+00", second + 1),
            (" 1790000000 ", second),
        ] {
            assert_eq!(at(text), Moment::At(Timestamp::from_nanos(nanos)), "{text}");
        }
        for now in ["", "-", "0", "0.0", "0e5", " "] {
            assert_eq!(at(now), Moment::Now, "{now:?}");
        }
        for text in [
            "yesterday",
            "2026-09-21",
            "2026-09-21T14:13",
            "2026-13-01T00:00:00Z",
            "1790000000s",
            "1..5",
            "1.",
            ".5",
            "e9",
            "1e",
            "1e999",
            "1e99",
            "99999999999999999999",
            "--5",
            "5-",
            "\u{661}",
            "1790000000123456789012345678901234567890",
        ] {
            assert_eq!(at(text), Moment::Unreadable, "{text}");
        }
    }

    #[test]
    fn numbers_as_numbers() {
        let nanos = 1_790_000_000_123_456_700;
        let known = Some("1790000000.1234567891");
        for (value, digits, expected) in [
            (Value::Int(nanos), None, Moment::At(Timestamp::from_nanos(nanos))),
            (Value::Float(1_790_000_000.123_456_7), None, Moment::At(Timestamp::from_nanos(nanos))),
            (Value::Float(1_790_000_000.123_456_7), known, Moment::At(Timestamp::from_nanos(nanos + 89))),
            // Digits of something else.
            (Value::Float(1.5), known, Moment::At(Timestamp::from_nanos(1_500_000_000))),
            (Value::Null, None, Moment::Now),
            (Value::Int(0), None, Moment::Now),
            (Value::UInt(u64::MAX), None, Moment::Unreadable),
            (Value::Big("9".repeat(40)), None, Moment::Unreadable),
            (Value::Float(f64::NAN), None, Moment::Unreadable),
            (Value::Bool(true), None, Moment::Unreadable),
            (Value::List(Vec::new()), None, Moment::Unreadable),
        ] {
            assert_eq!(moment(&value, || digits), expected, "{value:?}");
        }
    }

    #[test]
    fn lokis() {
        for (value, expected) in [
            ("1790000000123456789".into(), Moment::At(Timestamp::from_nanos(1_790_000_000_123_456_789))),
            (Value::Int(5), Moment::At(Timestamp::from_nanos(5))),
            ("".into(), Moment::Now),
            ("0".into(), Moment::Now),
            ("2026-09-21T14:13:20Z".into(), Moment::Unreadable),
            ("1.5".into(), Moment::Unreadable),
            (Value::List(Vec::new()), Moment::Unreadable),
        ] {
            assert_eq!(nanoseconds(&value), expected, "{value:?}");
        }
    }

    proptest! {
        #[test]
        fn any_text(text in "[0-9eE.+-]{0,50}") {
            at(&text);
        }

        #[test]
        fn seconds_with_any_fraction(nanos in 1_i64..2_147_483_648_000_000_000) {
            let text = format!("{}.{:09}", nanos / 1_000_000_000, nanos % 1_000_000_000);
            prop_assert_eq!(at(&text), Moment::At(Timestamp::from_nanos(nanos)));
        }
    }
}
