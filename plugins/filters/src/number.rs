//! Numbers that compare by value, not by how they are written.

use serde::de::{Error, Visitor};
use serde::{Deserialize, Deserializer};
use std::cmp::Ordering;
use std::fmt;

/// A number: 500, 500.0 and 5e2 are one. Whole ones of up to 38 digits compare exactly, longer ones and fractions as
/// 64 bits of floating point do. Never infinite.
#[derive(Debug, Clone, Copy)]
pub struct Number(Form);

#[derive(Debug, Clone, Copy)]
enum Form {
    Whole(i128),
    /// Has a fraction, or is beyond what the other holds.
    Float(f64),
}

impl Number {
    /// Of a number as JSON writes it.
    pub(crate) fn parse(text: &str) -> Option<Self> {
        if !text.starts_with(|first: char| first == '-' || first.is_ascii_digit()) {
            return None;
        }
        match text.parse() {
            Ok(whole) => Some(Number(Form::Whole(whole))),
            Err(_) => Number::of(text.parse().ok()?),
        }
    }

    /// Of a float, if it is finite.
    pub fn of(number: f64) -> Option<Self> {
        let fits = number.fract() == 0.0 && number.abs() < 2_f64.powi(127);
        let form = if fits { Form::Whole(number as i128) } else { Form::Float(number) };
        number.is_finite().then_some(Number(form))
    }

    fn float(self) -> f64 {
        match self.0 {
            Form::Whole(number) => number as f64,
            Form::Float(number) => number,
        }
    }
}

impl From<i64> for Number {
    fn from(number: i64) -> Self {
        Number(Form::Whole(number.into()))
    }
}

impl From<u64> for Number {
    fn from(number: u64) -> Self {
        Number(Form::Whole(number.into()))
    }
}

impl Ord for Number {
    fn cmp(&self, other: &Self) -> Ordering {
        match (self.0, other.0) {
            (Form::Whole(one), Form::Whole(other)) => one.cmp(&other),
            // Not-a-number is not let in.
            _ => self.float().total_cmp(&other.float()),
        }
    }
}

impl PartialOrd for Number {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl PartialEq for Number {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other) == Ordering::Equal
    }
}

impl Eq for Number {}

impl<'de> Deserialize<'de> for Number {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        struct Numbers;
        impl Visitor<'_> for Numbers {
            type Value = Number;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a number")
            }
            fn visit_i64<E: Error>(self, number: i64) -> Result<Number, E> {
                Ok(number.into())
            }
            fn visit_u64<E: Error>(self, number: u64) -> Result<Number, E> {
                Ok(number.into())
            }
            fn visit_f64<E: Error>(self, number: f64) -> Result<Number, E> {
                Number::of(number).ok_or_else(|| E::custom("expected a number that is finite"))
            }
            fn visit_str<E: Error>(self, text: &str) -> Result<Number, E> {
                Number::parse(text.trim()).ok_or_else(|| E::custom(format!("expected a number, found text `{text}`")))
            }
        }
        from.deserialize_any(Numbers)
    }
}
