//! What a query compares with: values, patterns, and when two of them are the same.

use metlog_message::{Timestamp, Value};
use regex::{Regex, RegexBuilder};
use std::borrow::Cow;
use std::cmp::Ordering;

/// What one pattern may take once it is compiled, and again while it is matched: `(a{1000}){1000}` is short to write.
const MAX_COMPILED: usize = 256 * 1024;
/// The most bytes a pattern may be.
pub(crate) const MAX_PATTERN: usize = 4096;

/// A number that compares by value, not by how it is written. Whole ones of up to 38 digits compare exactly, longer ones
/// and fractions as 64 bits of floating point do.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Number {
    Whole(i128),
    /// Has a fraction, or is beyond what the other holds.
    Float(f64),
}

impl Number {
    /// Of a number as JSON writes it, and nothing around it.
    pub fn parse(text: &str) -> Option<Self> {
        let digits = text.strip_prefix('-').unwrap_or(text).as_bytes();
        match digits {
            [b'0', b'0'..=b'9', ..] => return None,
            [b'0'..=b'9', rest @ ..] if rest.iter().all(u8::is_ascii_digit) => {
                return text
                    .parse()
                    .map_or_else(|_| Number::of(text.parse().ok()?), |whole| Some(Number::Whole(whole)));
            }
            [b'0'..=b'9', .., b'0'..=b'9'] => {}
            _ => return None,
        }
        // Of what a float may be written as, only what JSON has.
        let plain = digits.iter().all(|byte| matches!(byte, b'0'..=b'9' | b'.' | b'e' | b'E' | b'+' | b'-'));
        let dots = digits.windows(2).any(|two| matches!(two, [b'.', b'e' | b'E']));
        if plain && !dots { Number::of(text.parse().ok()?) } else { None }
    }

    /// Of a float that is a number.
    pub fn of(number: f64) -> Option<Self> {
        let fits = number.fract() == 0.0 && number.abs() < 2_f64.powi(126);
        (!number.is_nan()).then_some(if fits { Number::Whole(number as i128) } else { Number::Float(number) })
    }

    fn of_value(value: &Value) -> Option<Self> {
        match value {
            Value::Int(number) => Some(Number::Whole((*number).into())),
            Value::UInt(number) => Some(Number::Whole((*number).into())),
            Value::Big(digits) => Number::parse(digits),
            Value::Float(number) => Number::of(*number),
            _ => None,
        }
    }

    pub fn float(self) -> f64 {
        match self {
            Number::Whole(number) => number as f64,
            Number::Float(number) => number,
        }
    }

    pub fn order(self, other: Number) -> Ordering {
        match (self, other) {
            (Number::Whole(one), Number::Whole(other)) => one.cmp(&other),
            // Not-a-number is not let in.
            _ => self.float().total_cmp(&other.float()),
        }
    }
}

/// A value of a message, as tests look at it.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Seen<'a> {
    Null,
    Truth(bool),
    Number(Number),
    Text(&'a str),
    /// A list or an object, or what JSON has no number for.
    Nested(&'a Value),
}

impl<'a> Seen<'a> {
    pub fn of(value: &'a Value) -> Self {
        match value {
            Value::Null => Seen::Null,
            Value::Bool(truth) => Seen::Truth(*truth),
            Value::Str(text) => Seen::Text(text),
            other => Number::of_value(other).map_or(Seen::Nested(other), Seen::Number),
        }
    }

    /// Text itself; a number or truth value as we write it.
    fn as_text(&self) -> Option<Cow<'a, str>> {
        Some(match *self {
            Seen::Text(text) => Cow::Borrowed(text),
            Seen::Truth(truth) => Cow::Borrowed(if truth { "true" } else { "false" }),
            Seen::Number(Number::Whole(number)) => Cow::Owned(number.to_string()),
            Seen::Number(Number::Float(number)) => Cow::Owned(Value::Float(number).to_text().into_owned()),
            Seen::Null | Seen::Nested(_) => return None,
        })
    }
}

/// A value that a query compares with.
///
/// An exact one is what it is: the text `42` is not the number 42. One that somebody typed has no type: it is equal to
/// text and number alike, and is less or more than a text that reads as a number, such as the payload of a timer.
#[derive(Debug, Clone)]
pub struct Literal {
    value: Value,
    typed: bool,
    pub(crate) number: Option<Number>,
    pub(crate) instant: Option<Timestamp>,
}

impl PartialEq for Literal {
    fn eq(&self, other: &Self) -> bool {
        self.typed == other.typed && self.value == other.value
    }
}

impl Literal {
    /// This value and no other.
    pub fn exact(value: impl Into<Value>) -> Self {
        let value = value.into();
        let instant = value.as_str().and_then(Timestamp::parse);
        Literal { number: Number::of_value(&value), instant, typed: false, value }
    }

    /// As it was typed.
    pub fn typed(text: impl Into<String>) -> Self {
        let text = text.into();
        let instant = Timestamp::parse(&text);
        Literal { number: Number::parse(&text), instant, typed: true, value: Value::Str(text) }
    }

    /// The value; of one that was typed, the text.
    pub fn value(&self) -> &Value {
        &self.value
    }

    /// Whether somebody typed it.
    pub fn is_typed(&self) -> bool {
        self.typed
    }

    /// The only text that is equal to it, if there is one such.
    pub(crate) fn only_text(&self) -> Option<&str> {
        let several = self.instant.is_some() || self.typed && self.number.is_some();
        self.value.as_str().filter(|_| !several)
    }

    pub(crate) fn is_missing_too(&self) -> bool {
        !self.typed && self.value == Value::Null
    }

    pub(crate) fn same(&self, seen: &Seen<'_>) -> bool {
        match (&self.value, seen) {
            (Value::Str(one), Seen::Text(other)) => one == other || self.same_text(other),
            (Value::Str(text), Seen::Truth(truth)) if self.typed => text == if *truth { "true" } else { "false" },
            (Value::Str(text), Seen::Null) if self.typed => text == "null",
            (Value::Null, Seen::Null) => true,
            (Value::Bool(one), Seen::Truth(other)) => one == other,
            (_, Seen::Number(other)) => self.number.is_some_and(|one| one.order(*other).is_eq()),
            (one, Seen::Nested(other)) => same(one, other),
            _ => false,
        }
    }

    /// Of texts that differ: written another way.
    fn same_text(&self, other: &str) -> bool {
        let moments = self.instant.is_some_and(|one| Timestamp::parse(other) == Some(one));
        let number = self.number.filter(|_| self.typed);
        moments || number.is_some_and(|one| Number::parse(other).is_some_and(|other| one.order(other).is_eq()))
    }

    /// How a value stands to it. None if the two are of different kinds.
    pub(crate) fn order(&self, seen: &Seen<'_>) -> Option<Ordering> {
        match (&self.value, seen) {
            (_, Seen::Number(other)) => Some(other.order(self.number?)),
            (Value::Bool(one), Seen::Truth(other)) => Some(other.cmp(one)),
            (Value::Str(_), Seen::Text(other)) if self.typed && self.number.is_some() => {
                Some(Number::parse(other)?.order(self.number?))
            }
            (Value::Str(one), Seen::Text(other)) => match self.instant.zip(Timestamp::parse(other)) {
                Some((one, other)) => Some(other.cmp(&one)),
                None => Some((*other).cmp(one.as_str())),
            },
            _ => None,
        }
    }
}

/// Whether two values are the same: numbers by value, moments by the instant, objects whatever the order of their names.
fn same(one: &Value, other: &Value) -> bool {
    match (one, other) {
        (Value::List(one), Value::List(other)) => {
            one.len() == other.len() && one.iter().zip(other).all(|(one, other)| same(one, other))
        }
        (Value::Map(one), Value::Map(other)) => {
            let in_other = |(name, one)| other.get(name).is_some_and(|other| same(one, other));
            one.len() == other.len() && one.iter().all(in_other)
        }
        (Value::Str(one), Value::Str(other)) => {
            one == other || Timestamp::parse(one).is_some_and(|moment| Timestamp::parse(other) == Some(moment))
        }
        (Value::Null, Value::Null) => true,
        (Value::Bool(one), Value::Bool(other)) => one == other,
        _ => Number::of_value(one).zip(Number::of_value(other)).is_some_and(|(one, other)| one.order(other).is_eq()),
    }
}

/// A regular expression. Found anywhere in the text unless `^` and `$` say otherwise.
#[derive(Debug, Clone)]
pub struct Pattern {
    source: String,
    flags: String,
    texts_only: bool,
    regex: Regex,
}

impl PartialEq for Pattern {
    fn eq(&self, other: &Self) -> bool {
        (&self.source, &self.flags, self.texts_only) == (&other.source, &other.flags, other.texts_only)
    }
}

impl Pattern {
    /// With flags of `imsx`. Looks at texts only, or at numbers and truth values too, as we write them.
    ///
    /// # Errors
    /// If it is no pattern, or one that would take too much memory; in one line.
    pub fn new(source: &str, flags: &str, texts_only: bool) -> Result<Self, String> {
        if source.len() > MAX_PATTERN {
            return Err(format!("a pattern of {} bytes, at most {MAX_PATTERN} are allowed", source.len()));
        }
        let mut builder = RegexBuilder::new(source);
        let mut sorted: Vec<char> = flags.chars().collect();
        sorted.sort_unstable();
        sorted.dedup();
        for flag in &sorted {
            match flag {
                'i' => builder.case_insensitive(true),
                'm' => builder.multi_line(true),
                's' => builder.dot_matches_new_line(true),
                'x' => builder.ignore_whitespace(true),
                other => return Err(format!("there is no flag `{other}`; there are i, m, s and x")),
            };
        }
        let built = builder.size_limit(MAX_COMPILED).dfa_size_limit(MAX_COMPILED).build();
        let regex = built.map_err(|error| match error {
            regex::Error::CompiledTooBig(limit) => {
                format!("the pattern needs more than {limit} bytes when it is compiled; repeat less")
            }
            // The engine draws the place over several lines; the last one says what is wrong.
            other => match other.to_string().lines().last() {
                Some(line) => format!("no regular expression: {}", line.trim_start_matches("error: ")),
                None => "no regular expression".to_owned(),
            },
        })?;
        Ok(Pattern { source: source.to_owned(), flags: sorted.into_iter().collect(), texts_only, regex })
    }

    /// As it was written.
    pub fn source(&self) -> &str {
        &self.source
    }

    /// Its flags, in order.
    pub fn flags(&self) -> &str {
        &self.flags
    }

    /// Whether it passes over what is no text.
    pub fn texts_only(&self) -> bool {
        self.texts_only
    }

    pub(crate) fn matches(&self, seen: &Seen<'_>) -> bool {
        match seen {
            Seen::Text(text) => self.regex.is_match(text),
            _ if self.texts_only => false,
            other => other.as_text().is_some_and(|text| self.regex.is_match(&text)),
        }
    }
}

/// Text with `*` in it, which stands for anything: the pieces between the stars, of which there are two at least.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Glob(Vec<String>);

impl Glob {
    /// Of the pieces between the stars; empty ones in the middle say nothing and are left out. None of fewer than two.
    pub fn new(pieces: Vec<String>) -> Option<Self> {
        let last = pieces.len().checked_sub(1).filter(|last| *last > 0)?;
        let pieces = pieces.into_iter().enumerate();
        let pieces = pieces.filter(|(at, piece)| *at == 0 || *at == last || !piece.is_empty());
        Some(Glob(pieces.map(|(_, piece)| piece).collect()))
    }

    /// The pieces between the stars.
    pub fn pieces(&self) -> &[String] {
        &self.0
    }

    pub(crate) fn matches(&self, seen: &Seen<'_>) -> bool {
        seen.as_text().is_some_and(|text| self.is(&text))
    }

    fn is(&self, text: &str) -> bool {
        let [first, middle @ .., last] = self.0.as_slice() else { return false };
        let Some(mut rest) = text.strip_prefix(first.as_str()).and_then(|rest| rest.strip_suffix(last.as_str())) else {
            return false;
        };
        middle.iter().all(|piece| {
            let found = rest.find(piece.as_str()).and_then(|at| rest.get(at + piece.len()..));
            found.map(|after| rest = after).is_some()
        })
    }
}
