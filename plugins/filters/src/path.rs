//! Where a value stands in a message, and how it is found in the bytes without reading the rest of them into a tree.
//!
//! The head scan has vouched for the bytes; what is not as it should be is not found, and never more than passed over.

use metlog_message::{Head, Severity, Value, wire};
use metlog_pipeline::Event;
use serde::de::Error;
use serde::{Deserialize, Deserializer};
use std::borrow::Cow;
use std::fmt;
use std::str::FromStr;

/// Keys of the envelope that hold no other values, beside `type`, `severity` and `logger`.
const PLAIN: [&str; 6] = ["timestamp", "env_version", "metlog_pid", "metlog_hostname", "metlog_client", "metlog_seq"];

/// Where a value stands: `http.status` is in the fields; `fields.http.status` is the same place. `payload`,
/// `payload.a.b`, and the keys of the envelope by their names, of which a field is told apart by `fields.type`.
///
/// A name that itself holds dots wins over the path, and of two equal names the last one counts.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Path(Root, Box<str>);

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Root {
    Kind,
    Severity,
    Logger,
    Payload,
    Fields,
    Envelope,
}

impl Path {
    pub(crate) fn kind() -> Self {
        Path(Root::Kind, Box::default())
    }

    pub(crate) fn logger() -> Self {
        Path(Root::Logger, Box::default())
    }

    pub(crate) fn payload() -> Self {
        Path(Root::Payload, Box::default())
    }

    /// The value, if it is there.
    pub(crate) fn find<'a>(&self, event: &Event<'a>) -> Option<Found<'a>> {
        let head: &'a Head<'a> = event.head;
        match self.0 {
            Root::Kind => Some(Found::Text(Cow::Borrowed(&head.kind))),
            Root::Severity => Some(severity(head.severity)),
            Root::Logger => Some(Found::Text(Cow::Borrowed(&head.logger))),
            Root::Payload => Found::of(inside(head.payload, &self.1)?),
            Root::Fields => Found::of(inside(head.fields, &self.1)?),
            Root::Envelope => Found::of(inside(event.raw, &self.1)?),
        }
    }

    /// The value in every message of this type and severity, if those two are it.
    pub(crate) fn known<'a>(&self, kind: &'a str, least: Severity) -> Option<Found<'a>> {
        match self.0 {
            Root::Kind => Some(Found::Text(Cow::Borrowed(kind))),
            Root::Severity => Some(severity(least)),
            _ => None,
        }
    }
}

impl FromStr for Path {
    type Err = String;

    fn from_str(path: &str) -> Result<Self, String> {
        if path.split('.').any(str::is_empty) {
            return Err(format!("`{path}` is not a path such as `logger`, `payload` or `fields.http.status`"));
        }
        let (first, rest) = path.split_once('.').unwrap_or((path, ""));
        let root = match first {
            "payload" => return Ok(Path(Root::Payload, rest.into())),
            "fields" => return Ok(Path(Root::Fields, rest.into())),
            "type" => Root::Kind,
            "severity" => Root::Severity,
            "logger" => Root::Logger,
            name if PLAIN.contains(&name) => Root::Envelope,
            _ => return Ok(Path(Root::Fields, path.into())),
        };
        if !rest.is_empty() {
            return Err(format!("`{first}` holds no other values; a field of this name is `fields.{path}`"));
        }
        Ok(Path(root, if root == Root::Envelope { first.into() } else { Box::default() }))
    }
}

impl fmt::Display for Path {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let root = match self.0 {
            Root::Kind => "type",
            Root::Severity => "severity",
            Root::Logger => "logger",
            Root::Payload => "payload",
            Root::Fields => "fields",
            Root::Envelope => return f.write_str(&self.1),
        };
        f.write_str(root)?;
        if self.1.is_empty() { Ok(()) } else { write!(f, ".{}", self.1) }
    }
}

impl<'de> Deserialize<'de> for Path {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        String::deserialize(from)?.parse().map_err(D::Error::custom)
    }
}

/// A value as it stands in a message.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) enum Found<'a> {
    Null,
    Truth(bool),
    /// As it is written.
    Number(&'a str),
    Text(Cow<'a, str>),
    /// A list or an object, as it is written.
    Nested(&'a [u8]),
}

impl<'a> Found<'a> {
    /// Of a value's JSON. Allocates for texts that hold escapes.
    fn of(json: &'a [u8]) -> Option<Self> {
        Some(match json {
            [b'"', text @ .., b'"'] if !text.contains(&b'\\') => {
                Found::Text(Cow::Borrowed(std::str::from_utf8(text).ok()?))
            }
            [b'"', ..] => match wire::read_value(json).ok()? {
                Value::Str(text) => Found::Text(Cow::Owned(text)),
                _ => return None,
            },
            [b'{' | b'[', ..] => Found::Nested(json),
            b"null" => Found::Null,
            b"true" => Found::Truth(true),
            b"false" => Found::Truth(false),
            [b'-' | b'0'..=b'9', ..] => Found::Number(std::str::from_utf8(json).ok()?),
            _ => return None,
        })
    }

    /// Text without quotes, anything else as it is written.
    pub(crate) fn as_written(&self) -> &[u8] {
        match self {
            Found::Null => b"null",
            Found::Truth(true) => b"true",
            Found::Truth(false) => b"false",
            Found::Number(digits) => digits.as_bytes(),
            Found::Text(text) => text.as_bytes(),
            Found::Nested(json) => json,
        }
    }
}

fn severity(severity: Severity) -> Found<'static> {
    let digit = match severity {
        Severity::Emergency => "0",
        Severity::Alert => "1",
        Severity::Critical => "2",
        Severity::Error => "3",
        Severity::Warning => "4",
        Severity::Notice => "5",
        Severity::Informational => "6",
        Severity::Debug => "7",
    };
    Found::Number(digit)
}

/// The JSON at a path inside an object; of an empty path the whole. Each level is passed over once, to its end, since
/// the last of equal names counts.
fn inside<'a>(mut json: &'a [u8], mut path: &str) -> Option<&'a [u8]> {
    if path.is_empty() {
        return Some(json);
    }
    loop {
        let mut names = Names::of(json)?;
        let step = path.split_once('.');
        let (mut whole, mut part) = (None, None);
        while let Some((name, value)) = names.next() {
            if is(name, path) {
                whole = Some(value);
            } else if step.is_some_and(|(first, _)| is(name, first)) {
                part = Some(value);
            }
        }
        if whole.is_some() {
            return whole;
        }
        (json, path) = (part?, step?.1);
    }
}

/// Whether a name, in its quotes, is this one.
fn is(quoted: &[u8], name: &str) -> bool {
    let Some((b'"', text)) = quoted.split_first() else { return false };
    let Some((b'"', text)) = text.split_last() else { return false };
    // Escapes only lengthen.
    if text.len() <= name.len() || !text.contains(&b'\\') {
        return text == name.as_bytes();
    }
    wire::read_value(quoted).is_ok_and(|read| read.as_str() == Some(name))
}

/// Names and values of an object. Without recursion: depth costs nothing.
struct Names<'a> {
    text: &'a [u8],
    at: usize,
}

impl<'a> Names<'a> {
    fn of(json: &'a [u8]) -> Option<Self> {
        let mut names = Names { text: json, at: 0 };
        names.blanks();
        names.take(b'{').map(|()| names)
    }

    fn next(&mut self) -> Option<(&'a [u8], &'a [u8])> {
        self.blanks();
        if self.take(b',').is_some() {
            self.blanks();
        }
        let name = self.spanned(Self::string)?;
        self.blanks();
        self.take(b':')?;
        self.blanks();
        Some((name, self.spanned(Self::value)?))
    }

    fn spanned(&mut self, skip: impl FnOnce(&mut Self) -> Option<()>) -> Option<&'a [u8]> {
        let start = self.at;
        skip(self)?;
        self.text.get(start..self.at)
    }

    fn rest(&self) -> &'a [u8] {
        self.text.get(self.at..).unwrap_or_default()
    }

    fn take(&mut self, byte: u8) -> Option<()> {
        (*self.rest().first()? == byte).then(|| self.at += 1)
    }

    fn blanks(&mut self) {
        self.at += self.rest().iter().take_while(|byte| matches!(byte, b' ' | b'\n' | b'\r' | b'\t')).count();
    }

    fn string(&mut self) -> Option<()> {
        self.take(b'"')?;
        loop {
            let rest = self.rest();
            let at = rest.iter().position(|byte| matches!(byte, b'"' | b'\\'))?;
            if rest.get(at) == Some(&b'"') {
                self.at += at + 1;
                return Some(());
            }
            self.at += at + 2;
        }
    }

    fn value(&mut self) -> Option<()> {
        match self.rest().first()? {
            b'"' => self.string(),
            b'{' | b'[' => self.nested(),
            _ => {
                let ends = |byte: &u8| matches!(byte, b',' | b'}' | b']' | b' ' | b'\n' | b'\r' | b'\t');
                let rest = self.rest();
                self.at += rest.iter().position(ends).unwrap_or(rest.len());
                Some(())
            }
        }
    }

    fn nested(&mut self) -> Option<()> {
        let mut depth = 0_usize;
        loop {
            let at = self.rest().iter().position(|byte| matches!(byte, b'"' | b'{' | b'[' | b'}' | b']'))?;
            self.at += at;
            match self.rest().first()? {
                b'"' => {
                    self.string()?;
                    continue;
                }
                b'{' | b'[' => depth += 1,
                _ => depth = depth.checked_sub(1)?,
            }
            self.at += 1;
            if depth == 0 {
                return Some(());
            }
        }
    }
}
