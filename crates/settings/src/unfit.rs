//! What did not fit when a tree was read as a struct. Unlike other serde errors it keeps what
//! was wrong and the way to it, so that [`crate::read()`] can point there, suggest something, and go on.

use crate::{Kind, Node, Origin, Problem, suggest};
use serde::de::{self, Expected, Unexpected};
use std::fmt::{self, Display};

/// One step from a value to a part of it.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Step {
    Key(String),
    Index(usize),
}

#[derive(Debug, PartialEq)]
pub(crate) enum Wrong {
    UnknownKey(String, &'static [&'static str]),
    UnknownValue(String, &'static [&'static str]),
    Missing(String),
    Mismatch { found: String, expected: String },
    Other(String),
}

/// The first thing that did not fit.
#[derive(Debug)]
pub(crate) struct Error {
    pub wrong: Wrong,
    pub origin: Option<Origin>,
    /// Innermost step first.
    pub path: Vec<Step>,
    /// Whether it concerns a stand-in for something already reported.
    pub in_hole: bool,
}

impl Error {
    fn new(wrong: Wrong) -> Self {
        Error { wrong, origin: None, path: Vec::new(), in_hole: false }
    }

    /// Gives the error the place of `node` unless something further in has placed it already.
    pub fn at(mut self, node: &Node, last_key: Option<&str>) -> Self {
        if self.origin.is_some() {
            return self;
        }
        // What is said of a table with a stand-in inside it may be about the stand-in: serde buffers some tables and
        // then no longer knows. A key's name it always knows.
        let about_hole = match &self.wrong {
            Wrong::UnknownKey(..) => false,
            Wrong::Missing(key) => node.get(key).is_some_and(Node::is_gone),
            _ => has_hole(node),
        };
        self.in_hole = about_hole || matches!(node.kind, Kind::Hole(_));
        self.origin = Some(node.origin.clone());
        match (&mut self.wrong, describe(node), looked_up(node)) {
            (Wrong::Mismatch { found, .. }, Some(scalar), _) => *found = scalar,
            (Wrong::UnknownValue(text, _) | Wrong::Other(text), _, Some((value, written))) => {
                *text = text.replace(value, written);
            }
            _ => {}
        }
        // An error of a whole table is often about one key of it.
        let key = match &self.wrong {
            Wrong::UnknownKey(key, _) => Some(key.as_str()),
            Wrong::Missing(_) => None,
            _ => last_key,
        };
        if let Some((key, origin)) = key.and_then(|key| Some((key, node.as_table()?.key_origin(key)?))) {
            self.origin = Some(origin.clone());
            self.path.push(Step::Key(key.to_owned()));
        }
        self
    }

    /// Says of what kind the value is and no more.
    pub fn without_value(mut self) -> Self {
        if let Wrong::Mismatch { found, .. } = &mut self.wrong
            && let Some((kind, _)) = found.split_once('`')
        {
            *found = if kind.is_empty() { "a truth value".into() } else { format!("a {}", kind.trim_end()) };
        }
        self
    }

    /// Says what would be right in these words.
    pub fn expecting(mut self, words: &str) -> Self {
        if let Wrong::Mismatch { expected, .. } = &mut self.wrong {
            words.clone_into(expected);
        }
        self
    }

    pub fn inside(mut self, step: Step) -> Self {
        self.path.push(step);
        self
    }

    /// What a person reads. Names are whole paths: a tree from a program has no lines to point to.
    pub fn problem(&self) -> Problem {
        let path = |last: Option<&str>| {
            let mut path = String::new();
            for step in self.path.iter().rev() {
                match step {
                    Step::Key(key) if path.is_empty() => path.push_str(key),
                    Step::Key(key) => path.extend([".", key]),
                    Step::Index(at) => path.push_str(&format!("[{at}]")),
                }
            }
            match last {
                Some(last) if path.is_empty() => last.to_owned(),
                Some(last) => format!("{path}.{last}"),
                None => path,
            }
        };
        let (message, suggestion) = match &self.wrong {
            Wrong::UnknownKey(key, known) => (
                format!("unknown key `{}`, {}", path(None), one_of("key", known)),
                suggest::nearest(key, known.iter().copied()),
            ),
            Wrong::UnknownValue(value, known) => {
                let message = format!("unknown value `{value}`, {}", one_of("value", known));
                (message, suggest::nearest(value, known.iter().copied()))
            }
            Wrong::Missing(key) => (format!("missing key `{}`", path(Some(key))), None),
            Wrong::Mismatch { found, expected } => (format!("expected {expected}, found {found}"), None),
            // What the standard library says of an address says nothing of what one looks like.
            Wrong::Other(message) if message == "invalid socket address syntax" => {
                ("expected an address and a port such as 127.0.0.1:5567".to_owned(), None)
            }
            Wrong::Other(message) => (message.clone(), None),
        };
        let message = match (&self.wrong, path(None)) {
            (Wrong::UnknownKey(..) | Wrong::Missing(_), _) => message,
            (_, path) if path.is_empty() => message,
            (_, path) => format!("`{path}`: {message}"),
        };
        let problem = Problem { origin: self.origin.clone(), message, suggestion: None };
        problem.suggest(suggestion)
    }
}

/// "expected one of …".
pub(crate) fn one_of(what: &str, known: &[&str]) -> String {
    match known {
        [] => format!("no {what} is expected here"),
        [one] => format!("expected `{one}`"),
        many => format!("expected one of `{}`", many.join("`, `")),
    }
}

/// A scalar as the file has it.
fn describe(node: &Node) -> Option<String> {
    let (word, value) = match &node.kind {
        Kind::Bool(truth) => ("", truth.to_string()),
        Kind::Int(number) => ("number ", number.to_string()),
        Kind::Float(number) => ("number ", number.to_string()),
        Kind::Text(text) => ("text ", text.clone()),
        _ => return None,
    };
    let value: String = node.written.as_deref().unwrap_or(&value).chars().take(80).collect();
    Some(format!("{word}`{value}`"))
}

/// Text that came from a variable, and what the file has in its place: that is what may be shown.
fn looked_up(node: &Node) -> Option<(&str, &str)> {
    match (&node.kind, &node.written) {
        (Kind::Text(value), Some(written)) if !value.is_empty() => Some((value.as_str(), written)),
        _ => None,
    }
}

/// serde's words, in ours.
fn plainly(expected: &str) -> String {
    let whole = |least: i128, most: u128| format!("a whole number from {least} to {most}");
    match expected {
        "a boolean" => "`true` or `false`".into(),
        "a string" | "str" | "a borrowed string" => "text".into(),
        "a sequence" => "a list".into(),
        "a map" => "a table".into(),
        "f32" | "f64" => "a number".into(),
        "u8" => whole(0, u8::MAX.into()),
        "u16" => whole(0, u16::MAX.into()),
        "u32" => whole(0, u32::MAX.into()),
        "u64" | "usize" => whole(0, u64::MAX.into()),
        "i8" => whole(i8::MIN.into(), 127),
        "i16" => whole(i16::MIN.into(), 32767),
        "i32" => whole(i32::MIN.into(), 2_147_483_647),
        "i64" | "isize" => "a whole number".into(),
        "a nonzero u8" | "a nonzero u16" | "a nonzero u32" | "a nonzero u64" | "a nonzero usize" => {
            "a whole number from 1 on".into()
        }
        other if other.starts_with("struct ") => "a table".into(),
        other => other.into(),
    }
}

impl de::Error for Error {
    fn custom<T: Display>(message: T) -> Self {
        Error::new(Wrong::Other(message.to_string()))
    }
    fn invalid_type(found: Unexpected<'_>, expected: &dyn Expected) -> Self {
        let found = match found {
            Unexpected::Map => "a table".into(),
            Unexpected::Seq => "a list".into(),
            Unexpected::Unit | Unexpected::Option => "nothing".into(),
            Unexpected::Str(text) => format!("text `{text}`"),
            other => other.to_string(),
        };
        Error::new(Wrong::Mismatch { found, expected: plainly(&expected.to_string()) })
    }
    fn invalid_value(found: Unexpected<'_>, expected: &dyn Expected) -> Self {
        Self::invalid_type(found, expected)
    }
    fn invalid_length(length: usize, expected: &dyn Expected) -> Self {
        let expected = plainly(&expected.to_string());
        Error::new(Wrong::Mismatch { found: format!("{length} elements"), expected })
    }
    fn unknown_field(name: &str, known: &'static [&'static str]) -> Self {
        Error::new(Wrong::UnknownKey(name.to_owned(), known))
    }
    fn unknown_variant(name: &str, known: &'static [&'static str]) -> Self {
        Error::new(Wrong::UnknownValue(name.to_owned(), known))
    }
    fn missing_field(name: &'static str) -> Self {
        Error::new(Wrong::Missing(name.to_owned()))
    }
    fn duplicate_field(name: &'static str) -> Self {
        Error::new(Wrong::Other(format!("is `{name}` under another name, and both are set; keep one of the two")))
    }
}

impl Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.problem().fmt(f)
    }
}

impl std::error::Error for Error {}

fn has_hole(node: &Node) -> bool {
    match &node.kind {
        Kind::Hole(_) => true,
        Kind::List(list) => list.iter().any(has_hole),
        Kind::Table(table) => table.iter().any(|(_, _, node)| has_hole(node)),
        _ => false,
    }
}
