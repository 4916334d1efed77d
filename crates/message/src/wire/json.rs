//! A lenient JSON parser: beside JSON it takes NaN and the infinities, lone surrogates, raw control characters and
//! bytes that are not UTF-8, and notes each kind once. Depth, size and the number of values have limits.

use super::{ENVELOPE, Limits, Note, Refusal};
use crate::swar::until_special;
use crate::{Fields, Value};
use std::collections::HashSet;
use std::mem::discriminant;

pub(super) struct Parser<'a> {
    text: &'a [u8],
    at: usize,
    /// Levels that may still be opened.
    depth: usize,
    /// Values that may still come: a message of one byte per value would need fifty times its size.
    values: usize,
    limits: Limits,
    notes: Vec<Note>,
}

/// A text in quotes, which holds escapes, unescaped; nothing if it is not strictly right.
pub(crate) fn unescaped(text: &[u8]) -> Option<String> {
    let mut parser = Parser::over(text, &Limits::default());
    let text = parser.string().ok()?;
    parser.notes.is_empty().then_some(text)
}

/// Whether a float would hold the number. An integer without exponent is kept as its digits, however long.
pub(crate) fn in_range(number: &str) -> bool {
    number.parse().is_ok_and(f64::is_finite)
}

impl<'a> Parser<'a> {
    pub fn new(text: &'a [u8], limits: &Limits) -> Result<Self, Refusal> {
        if text.len() > limits.bytes {
            return Err(Refusal::TooLarge { bytes: text.len(), limit: limits.bytes });
        }
        Ok(Self::over(text, limits))
    }

    fn over(text: &'a [u8], limits: &Limits) -> Self {
        let limits = Limits { depth: limits.safe_depth(), ..*limits };
        Parser { text, at: 0, depth: limits.depth, values: limits.values, limits, notes: Vec::new() }
    }

    pub fn into_notes(self) -> Vec<Note> {
        self.notes
    }

    /// One value and nothing after it.
    pub fn document(&mut self) -> Result<Value, Refusal> {
        self.blanks();
        if self.peek().is_none() {
            return Err(Refusal::Empty);
        }
        let value = self.value(true)?;
        self.blanks();
        match self.peek() {
            None => Ok(value),
            Some(_) => Err(self.wrong("the end of the message")),
        }
    }

    fn peek(&self) -> Option<u8> {
        self.text.get(self.at).copied()
    }

    fn blanks(&mut self) {
        while matches!(self.peek(), Some(b' ' | b'\n' | b'\r' | b'\t')) {
            self.at += 1;
        }
    }

    fn wrong(&self, expected: &'static str) -> Refusal {
        Refusal::Syntax { at: self.at, expected }
    }

    /// The first of its kind.
    fn note(&mut self, note: Note) {
        if !self.notes.iter().any(|other| discriminant(other) == discriminant(&note)) {
            self.notes.push(note);
        }
    }

    fn take(&mut self, word: &[u8]) -> bool {
        let found = self.text.get(self.at..).is_some_and(|rest| rest.starts_with(word));
        self.at += if found { word.len() } else { 0 };
        found
    }

    fn value(&mut self, top: bool) -> Result<Value, Refusal> {
        self.values = self.values.checked_sub(1).ok_or(Refusal::TooManyValues { limit: self.limits.values })?;
        match self.peek() {
            Some(b'"') => self.string().map(Value::Str),
            Some(b'{') => self.nested(|parser| parser.object(top)),
            Some(b'[') => self.nested(Self::list),
            Some(b'-' | b'0'..=b'9') => self.number(),
            _ => self.word(),
        }
    }

    fn word(&mut self) -> Result<Value, Refusal> {
        for (word, value) in [("null", Value::Null), ("true", Value::Bool(true)), ("false", Value::Bool(false))] {
            if self.take(word.as_bytes()) {
                return Ok(value);
            }
        }
        for (word, number) in [("NaN", f64::NAN), ("Infinity", f64::INFINITY)] {
            let at = self.at;
            if self.take(word.as_bytes()) {
                self.note(Note::NoJsonNumber { at });
                return Ok(Value::Float(number));
            }
        }
        Err(self.wrong("a value"))
    }

    fn nested(&mut self, inner: impl FnOnce(&mut Self) -> Result<Value, Refusal>) -> Result<Value, Refusal> {
        self.depth = self.depth.checked_sub(1).ok_or(Refusal::TooDeep { at: self.at, limit: self.limits.depth })?;
        self.at += 1;
        self.blanks();
        let value = inner(self)?;
        self.depth += 1;
        Ok(value)
    }

    fn list(&mut self) -> Result<Value, Refusal> {
        let mut items = Vec::new();
        if self.take(b"]") {
            return Ok(Value::List(items));
        }
        loop {
            items.push(self.value(false)?);
            self.blanks();
            if self.take(b"]") {
                return Ok(Value::List(items));
            }
            if !self.take(b",") {
                return Err(self.wrong("`,` or `]`"));
            }
            self.blanks();
        }
    }

    fn object(&mut self, top: bool) -> Result<Value, Refusal> {
        let mut entries: Vec<(String, Value)> = Vec::new();
        if self.take(b"}") {
            return Ok(Value::Map(Fields::new()));
        }
        loop {
            if self.peek() != Some(b'"') {
                return Err(self.wrong("a name in quotes"));
            }
            let start = self.at;
            let name = self.string()?;
            if self.at - start > self.limits.name.saturating_add(2) {
                return Err(Refusal::LongName { at: start, limit: self.limits.name });
            }
            if entries.len() == self.limits.names {
                return Err(Refusal::TooManyNames { at: start, limit: self.limits.names });
            }
            self.blanks();
            if !self.take(b":") {
                return Err(self.wrong("`:`"));
            }
            self.blanks();
            let value = self.value(false)?;
            entries.push((name, value));
            self.blanks();
            if self.take(b"}") {
                return Ok(Value::Map(self.unique(entries, top)));
            }
            if !self.take(b",") {
                return Err(self.wrong("`,` or `}`"));
            }
            self.blanks();
        }
    }

    /// Of several values for a name the last one counts.
    fn unique(&mut self, mut entries: Vec<(String, Value)>, top: bool) -> Fields {
        let overruled = overruled(&entries);
        if !overruled.is_empty() {
            let mut at = 0;
            entries.retain(|(name, _)| {
                let stays = overruled.binary_search(&at).is_err();
                at += 1;
                if let Some(key) = ENVELOPE.iter().find(|key| top && !stays && *key == name) {
                    self.notes.push(Note::Duplicate(key));
                }
                stays
            });
        }
        Fields::of_unique(entries)
    }

    fn number(&mut self) -> Result<Value, Refusal> {
        let start = self.at;
        let negative = self.take(b"-");
        if negative && self.take(b"Infinity") {
            self.note(Note::NoJsonNumber { at: start });
            return Ok(Value::Float(f64::NEG_INFINITY));
        }
        if !(self.take(b"0") || self.digits()) {
            return Err(self.wrong("a digit"));
        }
        let mut whole = true;
        if self.take(b".") {
            whole = false;
            if !self.digits() {
                return Err(self.wrong("a digit"));
            }
        }
        if self.take(b"e") || self.take(b"E") {
            whole = false;
            let _sign = self.take(b"+") || self.take(b"-");
            if !self.digits() {
                return Err(self.wrong("a digit"));
            }
        }
        let digits = self.text.get(start..self.at).and_then(|digits| std::str::from_utf8(digits).ok());
        let digits = digits.ok_or_else(|| self.wrong("a number"))?;
        if whole && digits != "-0" {
            let small = digits.parse().map(Value::Int).or_else(|_| digits.parse().map(Value::UInt));
            return Ok(small.unwrap_or_else(|_| Value::Big(digits.to_owned())));
        }
        if !in_range(digits) {
            self.note(Note::OutOfRange { at: start });
        }
        digits.parse().map(Value::Float).map_err(|_| self.wrong("a number"))
    }

    fn digits(&mut self) -> bool {
        let start = self.at;
        while matches!(self.peek(), Some(b'0'..=b'9')) {
            self.at += 1;
        }
        self.at > start
    }

    fn string(&mut self) -> Result<String, Refusal> {
        let start = self.at + 1;
        self.at = start;
        let mut out: Vec<u8> = Vec::new();
        loop {
            let rest = self.text.get(self.at..).unwrap_or_default();
            let (plain, _) = until_special(rest);
            out.extend_from_slice(rest.get(..plain).unwrap_or_default());
            self.at += plain;
            match self.peek() {
                None => return Err(self.wrong("`\"` at the end of a text")),
                Some(b'"') => break,
                Some(b'\\') => self.escape(&mut out)?,
                Some(control) => {
                    self.note(Note::RawControl { at: self.at });
                    out.push(control);
                    self.at += 1;
                }
            }
        }
        self.at += 1;
        String::from_utf8(out).or_else(|error| {
            self.note(Note::NotUtf8 { at: start });
            Ok(String::from_utf8_lossy(error.as_bytes()).into_owned())
        })
    }

    fn escape(&mut self, out: &mut Vec<u8>) -> Result<(), Refusal> {
        let place = self.at;
        let unknown = Refusal::Syntax { at: place, expected: "an escape that JSON knows" };
        let letter = self.text.get(place + 1).copied();
        self.at += 2;
        out.push(match letter {
            Some(plain @ (b'"' | b'\\' | b'/')) => plain,
            Some(b'b') => 8,
            Some(b'f') => 12,
            Some(b'n') => b'\n',
            Some(b'r') => b'\r',
            Some(b't') => b'\t',
            Some(b'u') => {
                let character = self.unicode().ok_or(unknown)?;
                out.extend_from_slice(character.encode_utf8(&mut [0; 4]).as_bytes());
                return Ok(());
            }
            _ => return Err(unknown),
        });
        Ok(())
    }

    /// After `\u`: one character, from one escape or from a pair. Half a pair becomes the replacement character.
    fn unicode(&mut self) -> Option<char> {
        let at = self.at - 2;
        let first = self.hex()?;
        if let Some(character) = char::from_u32(first) {
            return Some(character);
        }
        let resume = self.at;
        if first < 0xdc00
            && self.take(b"\\u")
            && let Some(second @ 0xdc00..=0xdfff) = self.hex()
        {
            return char::from_u32(0x10000 + ((first - 0xd800) << 10) + (second - 0xdc00));
        }
        self.at = resume;
        self.note(Note::LoneSurrogate { at });
        Some(char::REPLACEMENT_CHARACTER)
    }

    fn hex(&mut self) -> Option<u32> {
        let digits = self.text.get(self.at..self.at + 4)?;
        let number = digits.iter().try_fold(0, |sum, digit| Some(sum * 16 + (*digit as char).to_digit(16)?))?;
        self.at += 4;
        Some(number)
    }
}

/// Places of entries whose name comes again later, in order. Few names are compared with each other; with many, a
/// thousand equal ones must not cost a million comparisons.
fn overruled(entries: &[(String, Value)]) -> Vec<usize> {
    let places = entries.iter().enumerate();
    if entries.len() <= 16 {
        let again = |at: usize, name: &str| entries.iter().skip(at + 1).any(|(later, _)| later == name);
        return places.filter(|(at, (name, _))| again(*at, name)).map(|(at, _)| at).collect();
    }
    let mut later = HashSet::with_capacity(entries.len());
    let mut found: Vec<usize> =
        places.rev().filter(|(_, (name, _))| !later.insert(name.as_str())).map(|(at, _)| at).collect();
    found.reverse();
    found
}
