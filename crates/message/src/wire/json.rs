//! A lenient JSON parser: beside JSON it takes NaN and the infinities, lone surrogates, raw control characters and
//! bytes that are not UTF-8, and notes each kind once. Depth, size and the number of values have limits.

use super::{ENVELOPE, Limits, Note, Refusal};
use crate::{Fields, Value};

pub(super) struct Parser<'a> {
    text: &'a [u8],
    at: usize,
    depth: usize,
    /// Values that may still come: a message of one byte per value would need fifty times its size.
    values: usize,
    notes: Vec<Note>,
}

impl<'a> Parser<'a> {
    pub fn new(text: &'a [u8], limits: &Limits) -> Result<Self, Refusal> {
        if text.len() > limits.bytes {
            return Err(Refusal::TooLarge { bytes: text.len(), limit: limits.bytes });
        }
        Ok(Parser { text, at: 0, depth: limits.depth, values: limits.values, notes: Vec::new() })
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

    fn note(&mut self, note: Note) {
        if !self.notes.contains(&note) {
            self.notes.push(note);
        }
    }

    fn take(&mut self, word: &[u8]) -> bool {
        let found = self.text.get(self.at..).is_some_and(|rest| rest.starts_with(word));
        self.at += if found { word.len() } else { 0 };
        found
    }

    fn value(&mut self, top: bool) -> Result<Value, Refusal> {
        self.values = self.values.checked_sub(1).ok_or(Refusal::TooManyValues)?;
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
            if self.take(word.as_bytes()) {
                self.note(Note::NoJsonNumber);
                return Ok(Value::Float(number));
            }
        }
        Err(self.wrong("a value"))
    }

    fn nested(&mut self, inner: impl FnOnce(&mut Self) -> Result<Value, Refusal>) -> Result<Value, Refusal> {
        self.depth = self.depth.checked_sub(1).ok_or(Refusal::TooDeep { at: self.at })?;
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
            let name = self.string()?;
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

    /// Of several values for a name the last one counts. Sorted look-up: a thousand equal names must not cost a
    /// million comparisons.
    fn unique(&mut self, entries: Vec<(String, Value)>, top: bool) -> Fields {
        let mut last = std::collections::HashMap::with_capacity(entries.len());
        for (at, (name, _)) in entries.iter().enumerate() {
            last.insert(name.clone(), at);
        }
        let twice = |(at, (name, _)): (usize, &(String, Value))| {
            ENVELOPE.contains(&name.as_str()) && last.get(name) != Some(&at)
        };
        if top && last.len() < entries.len() && entries.iter().enumerate().any(twice) {
            self.note(Note::Duplicate);
        }
        let mut fields = Fields::new();
        for (at, (name, value)) in entries.into_iter().enumerate() {
            if last.get(&name) == Some(&at) {
                fields.push(name, value);
            }
        }
        fields
    }

    fn number(&mut self) -> Result<Value, Refusal> {
        let start = self.at;
        let negative = self.take(b"-");
        if negative && self.take(b"Infinity") {
            self.note(Note::NoJsonNumber);
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
        self.at += 1;
        let mut out: Vec<u8> = Vec::new();
        loop {
            let rest = self.text.get(self.at..).unwrap_or_default();
            let plain = rest.iter().position(|byte| matches!(byte, b'"' | b'\\') || *byte < b' ').unwrap_or(rest.len());
            out.extend_from_slice(rest.get(..plain).unwrap_or_default());
            self.at += plain;
            match self.peek() {
                None => return Err(self.wrong("`\"` at the end of a text")),
                Some(b'"') => break,
                Some(b'\\') => self.escape(&mut out)?,
                Some(control) => {
                    self.note(Note::RawControl);
                    out.push(control);
                    self.at += 1;
                }
            }
        }
        self.at += 1;
        String::from_utf8(out).or_else(|error| {
            self.note(Note::NotUtf8);
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
        self.note(Note::LoneSurrogate);
        Some(char::REPLACEMENT_CHARACTER)
    }

    fn hex(&mut self) -> Option<u32> {
        let digits = self.text.get(self.at..self.at + 4)?;
        let number = digits.iter().try_fold(0, |sum, digit| Some(sum * 16 + (*digit as char).to_digit(16)?))?;
        self.at += 4;
        Some(number)
    }
}
