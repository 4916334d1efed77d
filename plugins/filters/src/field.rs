use crate::number::Number;
use crate::path::{Found, Path};
use metlog_message::{Severity, Value, wire};
use metlog_pipeline::registry::Configured;
use metlog_pipeline::{Event, Filter, FilterEntry, inventory};
use regex::{Regex, RegexBuilder};
use serde::de::{Error, MapAccess, Visitor};
use serde::{Deserialize, Deserializer};
use std::collections::{BTreeSet, HashSet};
use std::fmt;
use std::str::FromStr;

/// The most bytes a pattern may be, and take once it is compiled, and again while it is matched: `(a{1000}){1000}` is
/// short to write.
const MAX_PATTERN: usize = 64 * 1024;
const MAX_COMPILED: usize = 1024 * 1024;

/// Settings of `field`: a `path`, and exactly one condition.
#[derive(Debug)]
pub struct FieldConfig {
    /// Where the value stands.
    pub path: Path,
    /// What it has to be.
    pub condition: Condition,
}

/// What a value has to be. Where there is no value, only `exists = false` is met.
#[derive(Debug, Clone)]
pub enum Condition {
    /// `equals` and `in`: one of these.
    In(Choice),
    /// `matches`: a text in which this is found; a number or truth value as it is written.
    Matches(Pattern),
    /// `exists`: there, be it `null`; or not there.
    Exists(bool),
    /// `less`: a number below this. Texts are no numbers, whatever they hold.
    Less(Number),
    /// `at_most`: this, or below.
    AtMost(Number),
    /// `more`: a number above this.
    More(Number),
    /// `at_least`: this, or above.
    AtLeast(Number),
}

impl Condition {
    fn holds(&self, found: Option<&Found<'_>>) -> bool {
        let Some(found) = found else { return matches!(self, Condition::Exists(false)) };
        let number = |right: fn(&Number, &Number) -> bool, than: &Number| match found {
            Found::Number(text) => Number::parse(text).is_some_and(|number| right(&number, than)),
            _ => false,
        };
        match self {
            Condition::In(choice) => choice.contains(found),
            Condition::Matches(pattern) => match found {
                Found::Null | Found::Nested(_) => false,
                plain => std::str::from_utf8(plain.as_written()).is_ok_and(|text| pattern.0.is_match(text)),
            },
            Condition::Exists(wanted) => *wanted,
            Condition::Less(than) => number(Number::lt, than),
            Condition::AtMost(than) => number(Number::le, than),
            Condition::More(than) => number(Number::gt, than),
            Condition::AtLeast(than) => number(Number::ge, than),
        }
    }
}

/// Values to be equal to, as text: 500 and `"500"` are the same, since INI cannot tell them apart. Numbers are equal to
/// numbers by value, however both are written.
#[derive(Debug, Clone, Default)]
pub struct Choice {
    texts: HashSet<String>,
    numbers: BTreeSet<Number>,
}

impl Choice {
    /// One of these. Lists, objects and null are left out: nothing is equal to them.
    pub fn of<V: Into<Value>>(values: impl IntoIterator<Item = V>) -> Self {
        let mut choice = Choice::default();
        for value in values.into_iter().map(Into::into) {
            if !matches!(value, Value::Null | Value::List(_) | Value::Map(_)) {
                choice.add(value.to_text().into_owned());
            }
        }
        choice
    }

    fn add(&mut self, text: String) {
        let number = match wire::read_value(text.as_bytes()) {
            Ok(Value::Int(number)) => Some(number.into()),
            Ok(Value::UInt(number)) => Some(number.into()),
            Ok(Value::Big(digits)) => Number::parse(&digits),
            Ok(Value::Float(number)) => Number::of(number),
            _ => None,
        };
        self.numbers.extend(number);
        self.texts.insert(text);
    }

    fn contains(&self, found: &Found<'_>) -> bool {
        let as_text = |text: &str| self.texts.contains(text);
        match found {
            Found::Text(text) => as_text(text),
            Found::Truth(truth) => as_text(if *truth { "true" } else { "false" }),
            Found::Number(digits) => {
                as_text(digits) || Number::parse(digits).is_some_and(|number| self.numbers.contains(&number))
            }
            Found::Null | Found::Nested(_) => false,
        }
    }
}

/// What something can be equal to, as a configuration has it: as text, since INI takes `yes` for a truth value.
struct Plain(Value);

impl<'de> Deserialize<'de> for Plain {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        struct Plains;
        impl Visitor<'_> for Plains {
            type Value = Plain;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a text, a number or a truth value")
            }
            fn visit_str<E: Error>(self, text: &str) -> Result<Plain, E> {
                Ok(Plain(text.into()))
            }
            fn visit_bool<E: Error>(self, truth: bool) -> Result<Plain, E> {
                Ok(Plain(truth.into()))
            }
            fn visit_i64<E: Error>(self, number: i64) -> Result<Plain, E> {
                Ok(Plain(number.into()))
            }
            fn visit_u64<E: Error>(self, number: u64) -> Result<Plain, E> {
                Ok(Plain(number.into()))
            }
            fn visit_f64<E: Error>(self, number: f64) -> Result<Plain, E> {
                Ok(Plain(number.into()))
            }
        }
        from.deserialize_string(Plains)
    }
}

/// A regular expression, with the limits that a stranger's would need too. Found anywhere in the text unless `^` and `$` say
/// otherwise.
#[derive(Debug, Clone)]
pub struct Pattern(Regex);

impl Pattern {
    pub(crate) fn regex(&self) -> &Regex {
        &self.0
    }
}

impl FromStr for Pattern {
    type Err = String;

    fn from_str(pattern: &str) -> Result<Self, String> {
        if pattern.len() > MAX_PATTERN {
            return Err(format!("a pattern of {} bytes, at most {MAX_PATTERN} are allowed", pattern.len()));
        }
        let built = RegexBuilder::new(pattern).size_limit(MAX_COMPILED).dfa_size_limit(MAX_COMPILED).build();
        built.map(Pattern).map_err(|error| match error {
            regex::Error::CompiledTooBig(limit) => {
                format!("the pattern `{pattern}` needs more than {limit} bytes when it is compiled; repeat less")
            }
            other => mistake(pattern).unwrap_or_else(|| other.to_string()),
        })
    }
}

/// What is wrong with a pattern, in one line, and at which of its characters.
fn mistake(pattern: &str) -> Option<String> {
    let (why, span) = match regex_syntax::Parser::new().parse(pattern).err()? {
        regex_syntax::Error::Parse(error) => (error.kind().to_string(), *error.span()),
        regex_syntax::Error::Translate(error) => (error.kind().to_string(), *error.span()),
        _ => return None,
    };
    let place = pattern.get(..span.start.offset)?.chars().count() + 1;
    Some(format!("the pattern `{pattern}` is wrong at its character {place}: {why}"))
}

impl<'de> Deserialize<'de> for Pattern {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        String::deserialize(from)?.parse().map_err(D::Error::custom)
    }
}

const KEYS: [&str; 9] = ["path", "equals", "in", "matches", "exists", "less", "at_most", "more", "at_least"];

impl<'de> Deserialize<'de> for FieldConfig {
    /// By hand, so that of two conditions the second is pointed at.
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        from.deserialize_struct("FieldConfig", &KEYS, Settings)
    }
}

struct Settings;

impl<'de> Visitor<'de> for Settings {
    type Value = FieldConfig;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the settings of a filter: `path` and a condition")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<FieldConfig, A::Error> {
        let mut path = None;
        let mut given: Option<(&str, Condition)> = None;
        while let Some(key) = map.next_key::<String>()? {
            let key =
                KEYS.into_iter().find(|known| *known == key).ok_or_else(|| A::Error::unknown_field(&key, &KEYS))?;
            let condition = match key {
                "equals" => Condition::In(Choice::of([map.next_value::<Plain>()?.0])),
                "in" => Condition::In(Choice::of(map.next_value::<Vec<Plain>>()?.into_iter().map(|plain| plain.0))),
                "matches" => Condition::Matches(map.next_value()?),
                "exists" => Condition::Exists(map.next_value()?),
                "less" => Condition::Less(map.next_value()?),
                "at_most" => Condition::AtMost(map.next_value()?),
                "more" => Condition::More(map.next_value()?),
                "at_least" => Condition::AtLeast(map.next_value()?),
                _ => {
                    path = Some(map.next_value()?);
                    continue;
                }
            };
            if let Some((first, _)) = given {
                let both = format!("`{first}` and `{key}`: a filter has one condition; two filters have two");
                return Err(A::Error::custom(both));
            }
            given = Some((key, condition));
        }
        let path = path.ok_or_else(|| A::Error::missing_field("path"))?;
        let Some((_, condition)) = given else {
            let right = "a condition is missing: one of equals, in, matches, exists, less, at_most, more, at_least";
            return Err(A::Error::custom(right));
        };
        Ok(FieldConfig { path, condition })
    }
}

/// Passes messages in which one value is as it should be.
#[derive(Debug, Clone)]
pub struct Field {
    path: Path,
    condition: Condition,
}

impl Field {
    /// Where, and what it has to be.
    pub const fn new(path: Path, condition: Condition) -> Self {
        Field { path, condition }
    }
}

impl Filter for Field {
    fn keep(&mut self, event: &Event<'_>) -> bool {
        self.condition.holds(self.path.find(event).as_ref())
    }

    fn decide(&self, kind: &str, severity: Severity) -> Option<bool> {
        self.path.known(kind, severity).map(|found| self.condition.holds(Some(&found)))
    }
}

impl Configured for Field {
    type Config = FieldConfig;
    fn open(config: FieldConfig) -> Result<Self, String> {
        Ok(Field::new(config.path, config.condition))
    }
}

inventory::submit! {
    FilterEntry::of::<Field>("field", &[], include_str!("../example-field.toml"))
}
