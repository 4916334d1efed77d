//! One request's rows become messages and go to the inlet; what cannot goes to the dead letters, each by itself.

use super::arguments::{Arguments, Names};
use super::flat::Flat;
use super::mapping;
use super::moment::{Moment, moment};
use memchr::memmem::Finder;
use metlog_message::wire::{self, Refusal};
use metlog_message::{Fields, Message, Timestamp, Value};
use metlog_pipeline::{Inlet, Reason};
use std::sync::LazyLock;

/// The name of the dialect, and what its messages say they came by.
pub const NAME: &str = "victorialogs";

const VIA: &[u8] = b",\"via\":\"victorialogs\"}";

/// How much a request with `debug=1` is shown.
const SHOWN: usize = 64 * 1024;

/// Where rows are turned into messages.
pub struct Desk<'a> {
    inlet: &'a mut Inlet,
    pub arguments: &'a Arguments,
    now: Timestamp,
    /// The keys under which the times stand, as JSON has them.
    keys: Vec<Finder<'static>>,
    flat: Flat,
    /// The message in hand.
    message: Vec<u8>,
    outcome: Outcome,
}

/// What the answer depends on besides the receipt.
#[derive(Debug, Default)]
pub struct Outcome {
    /// Rows of the right shape, whatever became of them.
    pub understood: usize,
    /// With `debug=1`: the messages, as they would have been.
    pub shown: Option<Vec<u8>>,
}

impl<'a> Desk<'a> {
    pub fn new(inlet: &'a mut Inlet, arguments: &'a Arguments) -> Self {
        let outcome = Outcome { understood: 0, shown: arguments.debug.then(Vec::new) };
        let key = |path: &String| format!("\"{}\"", path.rsplit('.').next().unwrap_or(path));
        let keys = arguments.time.iter().map(|path| Finder::new(&key(path)).into_owned()).collect();
        Desk {
            inlet,
            arguments,
            now: Timestamp::now(),
            keys,
            flat: Flat::default(),
            message: Vec::with_capacity(1024),
            outcome,
        }
    }

    pub fn finish(self) -> Outcome {
        self.outcome
    }

    /// An object in text, with these fields beside its own where it has none of the name.
    pub fn object(&mut self, text: &[u8], beside: Vec<(String, Value)>) {
        if beside.is_empty()
            && self.arguments.change_nothing()
            && text.len() <= self.inlet.message_limit()
            && self.flat.write(text, self.arguments, self.now, &mut self.message)
        {
            self.outcome.understood += 1;
            return self.hand_over();
        }
        let Some(value) = self.value(text) else { return };
        let Value::Map(mut row) = value else {
            return self.refuse(text, Reason::Malformed, "expected an object");
        };
        self.outcome.understood += 1;
        for (name, value) in beside {
            if !row.contains(&name) {
                row.push(name, value);
            }
        }
        match mapping::is_native(&row) {
            true => self.native(row, text),
            false => self.row(row, text),
        }
    }

    /// Reads a value, or refuses it.
    pub fn value(&mut self, text: &[u8]) -> Option<Value> {
        let limit = self.inlet.message_limit();
        if text.len() > limit {
            self.refuse(text, Reason::TooLarge, &Refusal::TooLarge { bytes: text.len(), limit }.to_string());
            return None;
        }
        match wire::read_value(text) {
            Ok(value) => Some(value),
            Err(refusal) => {
                self.refuse(text, reason(&refusal), &refusal.to_string());
                None
            }
        }
    }

    fn row(&mut self, mut row: Fields, line: &[u8]) {
        let time = match self.time(&mut row, line) {
            Ok(time) => time,
            Err(why) => return self.refuse(line, Reason::Malformed, &why),
        };
        let (source, text) = match take_text(&mut row, &self.arguments.text) {
            Some((name, text)) => (name, text),
            None => ("_msg", row.remove("_msg").unwrap_or_default()),
        };
        let (row, text) = changed(self.arguments, row, source, text);
        self.push(mapping::message(row, text, time));
    }

    /// A message of our own, as our endpoint sends it to VictoriaLogs.
    fn native(&mut self, mut row: Fields, line: &[u8]) {
        // The endpoint adds a text where the payload is none that the server could show.
        let added = row.contains("_msg") && row.get("payload").and_then(Value::as_str).is_none_or(str::is_empty);
        if added {
            row.remove("_msg");
        }
        let read = if added || !self.arguments.change_nothing() {
            let mut text = Vec::with_capacity(line.len());
            let (row, _) = changed(self.arguments, row, "payload", Value::Null);
            wire::write_value(&mut text, &Value::Map(row));
            wire::read(&text, &wire::Limits::default())
        } else {
            wire::read(line, &wire::Limits::default())
        };
        match read {
            Ok(read) => self.push(read.message),
            Err(refusal) => self.refuse(line, reason(&refusal), &refusal.to_string()),
        }
    }

    /// What is no object of its own: labels and a text, as Loki has it.
    pub fn entry(&mut self, row: Fields, text: Value, time: Moment, part: &[u8]) {
        self.outcome.understood += 1;
        let time = match time {
            Moment::At(time) => time,
            Moment::Now => self.now,
            Moment::Unreadable => {
                return self.refuse(part, Reason::Malformed, "its time is no number of nanoseconds since 1970");
            }
        };
        let (row, text) = changed(self.arguments, row, "_msg", text);
        self.push(mapping::foreign(row, text, time));
    }

    fn push(&mut self, mut message: Message) {
        for (header, number) in &self.arguments.tenant {
            // Twice taken is made up.
            let name = if message.fields.contains(header) { format!("_{header}") } else { (*header).to_owned() };
            message.fields.set(name, *number);
        }
        message.extra.remove("via");
        self.message.clear();
        wire::write(&mut self.message, &message);
        exact(&mut self.message, message.timestamp);
        self.hand_over();
    }

    /// The message in hand to the inlet, with its way as the last key; as text, since that allocates nothing.
    fn hand_over(&mut self) {
        self.message.pop();
        self.message.extend_from_slice(VIA);
        let Some(shown) = &mut self.outcome.shown else {
            return self.inlet.push(&self.message);
        };
        if shown.len() + self.message.len() < SHOWN {
            shown.extend_from_slice(&self.message);
            shown.push(b'\n');
        }
    }

    pub fn refuse(&mut self, part: &[u8], reason: Reason, why: &str) {
        match &mut self.outcome.shown {
            None => self.inlet.refuse(part, reason, why),
            Some(shown) if shown.len() + 6 * why.len() + 16 < SHOWN => {
                shown.extend_from_slice(b"{\"error\":");
                metlog_http::server::quote(shown, why);
                shown.extend_from_slice(b"}\n");
            }
            Some(_) => {}
        }
    }

    /// Takes the time out of a row.
    fn time(&self, row: &mut Fields, line: &[u8]) -> Result<Timestamp, String> {
        for (name, key) in self.arguments.time.iter().zip(&self.keys) {
            let Some(value) = take(row, name).filter(|value| *value != Value::Null) else { continue };
            return match moment(&value, || digits(line, key)) {
                Moment::At(time) => Ok(time),
                Moment::Now => Ok(self.now),
                Moment::Unreadable => {
                    let value: String = value.to_text().chars().take(60).collect();
                    Err(format!(
                        "its time `{name}` is `{value}`; expected RFC 3339 or a number of (milli-, micro-, nano-) seconds since 1970"
                    ))
                }
            };
        }
        Ok(self.now)
    }
}

fn reason(refusal: &Refusal) -> Reason {
    match refusal {
        Refusal::Empty | Refusal::Syntax { .. } | Refusal::NotAnObject | Refusal::NoType => Reason::Malformed,
        _ => Reason::TooLarge,
    }
}

/// The first field of these that is not empty, and its name; or else the first that is there.
pub fn take_text<'a>(row: &mut Fields, names: &'a [String]) -> Option<(&'a str, Value)> {
    let is_empty = |value: &Value| *value == Value::Null || value.as_str() == Some("");
    let said = names.iter().find(|name| row.at(name).is_some_and(|value| !is_empty(value)));
    let name = said.or_else(|| names.iter().find(|name| row.at(name).is_some()))?;
    Some((name, take(row, name)?))
}

/// Takes out what [`Fields::at`] finds.
fn take(row: &mut Fields, path: &str) -> Option<Value> {
    if let Some(value) = row.remove(path) {
        return Some(value);
    }
    let (first, rest) = path.split_once('.')?;
    row.at(path)?;
    let Value::Map(mut inner) = row.remove(first)? else { return None };
    let value = take(&mut inner, rest);
    if !inner.is_empty() {
        row.push(first.to_owned(), inner.into());
    }
    value
}

/// The digits of a number where they are easily found: a float may have lost some.
fn digits<'a>(line: &'a [u8], key: &Finder<'_>) -> Option<&'a str> {
    key.find_iter(line).find_map(|at| {
        let number = line.get(at + key.needle().len()..)?.trim_ascii_start().strip_prefix(b":")?.trim_ascii_start();
        let end = number.iter().position(|byte| !matches!(byte, b'0'..=b'9' | b'.' | b'-' | b'+' | b'e' | b'E'))?;
        number.get(..end).and_then(|digits| std::str::from_utf8(digits).ok())
    })
}

/// What the arguments throw away, decolorize and add. The text goes by the name `_msg`, and by its own for colours.
fn changed(arguments: &Arguments, row: Fields, source: &str, text: Value) -> (Fields, Value) {
    let Arguments { ignore, decolorize, extra, .. } = arguments;
    if arguments.change_nothing() {
        return (row, text);
    }
    let mut row = if ignore.is_empty() && decolorize.is_empty() { row } else { sifted(row, "", ignore, decolorize) };
    let text = match text {
        _ if ignore.hold("_msg") => Value::Null,
        Value::Str(text) if decolorize.hold("_msg") || decolorize.hold(source) => Value::Str(without_colours(&text)),
        text => text,
    };
    for (name, value) in extra {
        row.set(name.as_str(), value.as_str());
    }
    (row, text)
}

/// By the names that VictoriaLogs would see, with dots. No deeper than the reader allowed.
fn sifted(row: Fields, above: &str, ignore: &Names, decolorize: &Names) -> Fields {
    let mut kept = Fields::new();
    for (name, value) in row {
        let full = format!("{above}{name}");
        let value = match value {
            Value::Map(inner) if !inner.is_empty() => match sifted(inner, &format!("{full}."), ignore, decolorize) {
                inner if inner.is_empty() => continue,
                inner => inner.into(),
            },
            _ if ignore.hold(&full) => continue,
            Value::Str(text) if decolorize.hold(&full) => Value::Str(without_colours(&text)),
            value => value,
        };
        kept.push(name, value);
    }
    kept
}

/// Without the sequences that begin with `ESC [`, which is what terminals take colours from.
fn without_colours(text: &str) -> String {
    let mut made = String::with_capacity(text.len());
    let mut parts = text.split("\x1b[");
    made.extend(parts.next());
    for part in parts {
        let end = part.find(|sign| matches!(sign, '@'..='~'));
        match end.filter(|end| part.bytes().take(*end).all(|byte| matches!(byte, b' '..=b'?'))) {
            Some(end) => made.push_str(part.get(end + 1..).unwrap_or_default()),
            None => {
                made.push_str("\x1b[");
                made.push_str(part);
            }
        }
    }
    made
}

/// Writes what of a second is below a microsecond, which the usual form has no place for.
pub fn exact(message: &mut Vec<u8>, time: Timestamp) {
    let below = time.nanos().rem_euclid(1000);
    if below == 0 {
        return;
    }
    // Within a text the quotes would have a backslash before them.
    static KEY: LazyLock<Finder<'static>> = LazyLock::new(|| Finder::new(",\"timestamp\":\""));
    let Some(begin) = KEY.find(message) else { return };
    let at = begin + KEY.needle().len() + "2026-11-20T22:00:50.348839".len();
    if message.get(at) == Some(&b'Z') {
        let digit = |by: i64| b'0' + (below / by % 10) as u8;
        message.splice(at..at, [digit(100), digit(10), digit(1)]);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn colours() {
        for (text, expected) in [
            ("\x1b[1;31mred\x1b[0m and \x1b[Kplain", "red and plain"),
            ("\x1b[", "\x1b["),
            ("\x1b[31", "\x1b[31"),
            ("a\x1b[3\u{e4}m", "a\x1b[3\u{e4}m"),
            ("\x1b[\x1b[31mx", "\x1b[x"),
            ("none", "none"),
        ] {
            assert_eq!(without_colours(text), expected);
        }
    }

    #[test]
    fn a_number_keeps_its_digits() {
        for (line, expected) in [
            (r#"{"t":1.25}"#, Some("1.25")),
            (r#"{"a":"t", "t" : 1790000000.123456789,"x":1}"#, Some("1790000000.123456789")),
            (r#"{"t":"1"}"#, Some("")),
            (r#"{"a":"\"t\"","t":5}"#, Some("5")),
            (r#"{"u":5}"#, None),
        ] {
            assert_eq!(digits(line.as_bytes(), &Finder::new("\"t\"")), expected, "{line}");
        }
    }

    #[test]
    fn nanoseconds_are_written_where_there_are_any() {
        for (nanos, expected) in [
            (1_500_000_007, "1970-01-01T00:00:01.500000007Z"),
            (1_500_000_000, "1970-01-01T00:00:01.500000Z"),
            (-1, "1969-12-31T23:59:59.999999999Z"),
        ] {
            let mut message = Message::new("a\",\"timestamp\":\"b");
            message.timestamp = Timestamp::from_nanos(nanos);
            let mut line = Vec::new();
            wire::write(&mut line, &message);
            exact(&mut line, message.timestamp);
            let read = wire::read(&line, &wire::Limits::default()).expect("a message");
            assert_eq!(read.message, message);
            assert!(read.notes.is_empty());
            assert!(Finder::new(expected).find(&line).is_some(), "{}", String::from_utf8_lossy(&line));
        }
    }

    #[test]
    fn names_with_dots_are_names_or_ways() {
        let row = |text: &str| match wire::read_value(text.as_bytes()) {
            Ok(Value::Map(row)) => row,
            other => panic!("{other:?}"),
        };
        for (text, path, value, left) in [
            (r#"{"a.b":1,"a":{"b":2}}"#, "a.b", Some(1), r#"{"a":{"b":2}}"#),
            (r#"{"a":{"b":{"c":2},"d":3},"e":4}"#, "a.b.c", Some(2), r#"{"e":4,"a":{"d":3}}"#),
            (r#"{"a":{"b":2}}"#, "a.b", Some(2), "{}"),
            (r#"{"a":{"b.c":2}}"#, "a.b.c", Some(2), "{}"),
            (r#"{"a":5}"#, "a.b", None, r#"{"a":5}"#),
            (r#"{"a":{"b":5}}"#, "a.c", None, r#"{"a":{"b":5}}"#),
        ] {
            let mut from = row(text);
            assert_eq!(take(&mut from, path), value.map(Value::Int), "{text}");
            assert_eq!(from, row(left), "{text}");
        }
    }
}
