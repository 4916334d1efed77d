//! The head: the few values routing looks at, found in one pass that validates the whole message.
//!
//! The scan says yes only to what is strictly right, byte for byte, so that a router can pass those bytes on unread.
//! Everything else it hands to [`crate::wire::read`], which decides between a note and a refusal. It allocates only
//! where a value of the head itself holds an escape.

use crate::swar::until_special;
use crate::wire::{self, Limits, in_range, unescaped};
use crate::{Severity, Timestamp};
use std::borrow::Cow;

/// What routing looks at; everything else stays bytes.
#[derive(Debug, Clone, PartialEq)]
pub struct Head<'a> {
    /// `type`
    pub kind: Cow<'a, str>,
    /// `timestamp`
    pub timestamp: Timestamp,
    /// `logger`
    pub logger: Cow<'a, str>,
    /// `severity`
    pub severity: Severity,
    /// The JSON of `payload`.
    pub payload: &'a [u8],
    /// The JSON of `fields`, an object.
    pub fields: &'a [u8],
    /// `metlog_client` and `metlog_seq`
    pub origin: Option<(Cow<'a, str>, u64)>,
}

/// The message is not strictly right; [`crate::wire::read`] may still make something of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct NotStrict;

/// Finds the head of a strictly valid message: of exactly those in which [`crate::wire::read`] finds nothing to note.
///
/// # Errors
/// If it is not strictly valid JSON in UTF-8, is beyond the limits, lacks one of `type`, `timestamp`, `logger`,
/// `severity`, `payload` and `fields`, or has a key of the envelope twice or of the wrong kind.
pub fn scan<'a>(text: &'a [u8], limits: &Limits) -> Result<Head<'a>, NotStrict> {
    if text.len() > limits.bytes {
        return Err(NotStrict);
    }
    Scanner::over(text, limits)?.message().ok_or(NotStrict)
}

/// The head of a message that has been let in; one that is not strictly right is written anew for it, into `strict`.
/// Nothing if it is no message after all.
pub fn of<'a>(text: &'a [u8], strict: &'a mut Vec<u8>) -> Option<Head<'a>> {
    if let Ok(head) = scan(text, &Limits::NONE) {
        return Some(head);
    }
    strict.clear();
    wire::write(strict, &wire::read(text, &Limits::NONE).ok()?.message);
    scan(strict, &Limits::NONE).ok()
}

/// The members of a strictly valid object, in order: each name and each value as they stand, a name with its quotes. Of
/// several of the same name each is given.
///
/// # Errors
/// If it is not strictly valid JSON in UTF-8, is beyond the limits, or is no object. Some members may have been given.
pub fn members<'a>(text: &'a [u8], limits: &Limits, mut each: impl FnMut(&'a [u8], &'a [u8])) -> Result<(), NotStrict> {
    if text.len() > limits.bytes {
        return Err(NotStrict);
    }
    Scanner::over(text, limits)?.members(&mut each).ok_or(NotStrict)
}

/// What a text says that stands in quotes, as [`members`] gives names and values; nothing if it is none.
pub fn text(quoted: &[u8]) -> Option<Cow<'_, str>> {
    let inner = quoted.strip_prefix(b"\"")?.strip_suffix(b"\"")?;
    if inner.contains(&b'\\') {
        return unescaped(quoted).map(Cow::Owned);
    }
    std::str::from_utf8(inner).ok().map(Cow::Borrowed)
}

/// What has been seen of the envelope.
#[derive(Default)]
struct Found<'a> {
    kind: Option<Cow<'a, str>>,
    timestamp: Option<Timestamp>,
    logger: Option<Cow<'a, str>>,
    severity: Option<Severity>,
    payload: Option<&'a [u8]>,
    fields: Option<&'a [u8]>,
    client: Option<Cow<'a, str>>,
    seq: Option<u64>,
    pid: Option<i64>,
    hostname: Option<()>,
    env_version: Option<()>,
    heka_pid: bool,
    heka_hostname: bool,
}

impl<'a> Found<'a> {
    fn head(self) -> Option<Head<'a>> {
        // The reader takes the older name where the newer is missing, and notes it.
        if self.heka_pid && self.pid.is_none() || self.heka_hostname && self.hostname.is_none() {
            return None;
        }
        let origin = match (self.client, self.seq) {
            (None, None) => None,
            (Some(client), Some(seq)) => Some((client, seq)),
            _ => return None,
        };
        Some(Head {
            kind: self.kind?,
            timestamp: self.timestamp?,
            logger: self.logger?,
            severity: self.severity?,
            payload: self.payload?,
            fields: self.fields?,
            origin,
        })
    }
}

/// Fills a place that must be empty.
#[inline(always)]
fn once<T>(place: &mut Option<T>, value: T) -> Option<()> {
    if place.is_some() {
        return None;
    }
    *place = Some(value);
    Some(())
}

struct Scanner<'a> {
    text: &'a str,
    bytes: &'a [u8],
    at: usize,
    values: usize,
    depth: usize,
    /// In one object.
    names: usize,
    /// With its quotes.
    name: usize,
}

impl<'a> Scanner<'a> {
    fn over(text: &'a [u8], limits: &Limits) -> Result<Self, NotStrict> {
        let text = std::str::from_utf8(text).map_err(|_| NotStrict)?;
        Ok(Scanner {
            text,
            bytes: text.as_bytes(),
            at: 0,
            values: limits.values,
            depth: limits.safe_depth(),
            names: limits.names,
            name: limits.name.saturating_add(2),
        })
    }

    fn members(&mut self, each: &mut impl FnMut(&'a [u8], &'a [u8])) -> Option<()> {
        self.blanks();
        self.values = self.values.checked_sub(1)?;
        if self.peek()? != b'{' {
            return None;
        }
        self.open()?;
        if self.take(b'}').is_none() {
            let mut names = self.names;
            loop {
                let start = self.at;
                self.string()?;
                self.name(start, &mut names)?;
                let name = self.bytes.get(start..self.at)?;
                self.colon()?;
                each(name, self.raw()?);
                if !self.more(b'}')? {
                    break;
                }
            }
        }
        self.blanks();
        (self.at == self.bytes.len()).then_some(())
    }

    fn message(&mut self) -> Option<Head<'a>> {
        self.blanks();
        self.depth = self.depth.checked_sub(1)?;
        self.values = self.values.checked_sub(1)?;
        self.take(b'{')?;
        self.blanks();
        let mut found = Found::default();
        let mut names = self.names;
        loop {
            let start = self.at;
            let key = self.text()?;
            self.name(start, &mut names)?;
            self.colon()?;
            self.entry(&key, &mut found)?;
            if !self.more(b'}')? {
                break;
            }
        }
        self.blanks();
        if self.at == self.bytes.len() { found.head() } else { None }
    }

    /// The value of a key of the envelope.
    #[inline(always)]
    fn entry(&mut self, key: &str, found: &mut Found<'a>) -> Option<()> {
        match key {
            "type" => once(&mut found.kind, self.text_value()?),
            "timestamp" => {
                let text = self.text_value()?;
                let timestamp = Timestamp::parse(&text).filter(|_| Timestamp::has_zone(&text))?;
                once(&mut found.timestamp, timestamp)
            }
            "logger" => once(&mut found.logger, self.text_value()?),
            "severity" => {
                let [digit @ b'0'..=b'7'] = self.raw()? else { return None };
                once(&mut found.severity, Severity::from_number(i64::from(digit - b'0'))?)
            }
            "payload" => once(&mut found.payload, self.raw()?),
            "fields" => once(&mut found.fields, self.raw().filter(|json| json.first() == Some(&b'{'))?),
            "env_version" => once(&mut found.env_version, self.value()?),
            "metlog_pid" => once(&mut found.pid, self.integer()?),
            "metlog_hostname" => once(&mut found.hostname, self.text_value().map(|_| ())?),
            "metlog_client" => once(&mut found.client, self.text_value()?),
            "metlog_seq" => once(&mut found.seq, self.integer()?),
            other => {
                found.heka_pid |= other == "heka_pid";
                found.heka_hostname |= other == "heka_hostname";
                self.value()
            }
        }
    }

    /// A value as it stands.
    #[inline(always)]
    fn raw(&mut self) -> Option<&'a [u8]> {
        let start = self.at;
        self.value()?;
        self.bytes.get(start..self.at)
    }

    /// A whole number of this size. Minus nought is a float.
    #[inline(always)]
    fn integer<T: std::str::FromStr>(&mut self) -> Option<T> {
        let start = self.at;
        self.value()?;
        self.text.get(start..self.at).filter(|digits| *digits != "-0")?.parse().ok()
    }

    #[inline(always)]
    fn text_value(&mut self) -> Option<Cow<'a, str>> {
        self.values = self.values.checked_sub(1)?;
        self.text()
    }

    /// A text without its quotes, unescaped where it has to be.
    #[inline(always)]
    fn text(&mut self) -> Option<Cow<'a, str>> {
        let start = self.at;
        if self.string()? {
            return unescaped(self.bytes.get(start..self.at)?).map(Cow::Owned);
        }
        self.text.get(start + 1..self.at - 1).map(Cow::Borrowed)
    }

    #[inline(always)]
    fn peek(&self) -> Option<u8> {
        self.bytes.get(self.at).copied()
    }

    #[inline(always)]
    fn blanks(&mut self) {
        while matches!(self.peek(), Some(b' ' | b'\n' | b'\r' | b'\t')) {
            self.at += 1;
        }
    }

    #[inline(always)]
    fn take(&mut self, byte: u8) -> Option<()> {
        (self.peek()? == byte).then(|| self.at += 1)
    }

    #[inline(always)]
    fn colon(&mut self) -> Option<()> {
        self.blanks();
        self.take(b':')?;
        self.blanks();
        Some(())
    }

    /// After a value: whether another one follows.
    #[inline(always)]
    fn more(&mut self, close: u8) -> Option<bool> {
        self.blanks();
        let byte = self.peek()?;
        self.at += 1;
        if byte == b',' {
            self.blanks();
            return Some(true);
        }
        (byte == close).then_some(false)
    }

    #[inline(always)]
    fn value(&mut self) -> Option<()> {
        self.values = self.values.checked_sub(1)?;
        match self.peek()? {
            b'"' => self.string().map(|_| ()),
            b'-' | b'0'..=b'9' => self.number(),
            b'{' => self.object(),
            b'[' => self.list(),
            b't' => self.word(b"true"),
            b'f' => self.word(b"false"),
            b'n' => self.word(b"null"),
            _ => None,
        }
    }

    /// After a name that began there: whether it may be so long, and be there at all.
    #[inline(always)]
    fn name(&self, start: usize, left: &mut usize) -> Option<()> {
        *left = left.checked_sub(1)?;
        (self.at - start <= self.name).then_some(())
    }

    fn object(&mut self) -> Option<()> {
        self.open()?;
        if self.take(b'}').is_none() {
            let mut names = self.names;
            loop {
                let start = self.at;
                self.string()?;
                self.name(start, &mut names)?;
                self.colon()?;
                self.value()?;
                if !self.more(b'}')? {
                    break;
                }
            }
        }
        self.depth += 1;
        Some(())
    }

    fn list(&mut self) -> Option<()> {
        self.open()?;
        if self.take(b']').is_none() {
            loop {
                self.value()?;
                if !self.more(b']')? {
                    break;
                }
            }
        }
        self.depth += 1;
        Some(())
    }

    #[inline(always)]
    fn open(&mut self) -> Option<()> {
        self.depth = self.depth.checked_sub(1)?;
        self.at += 1;
        self.blanks();
        Some(())
    }

    fn word(&mut self, word: &[u8]) -> Option<()> {
        self.bytes.get(self.at..)?.starts_with(word).then(|| self.at += word.len())
    }

    /// Whether the text holds escapes.
    #[inline]
    fn string(&mut self) -> Option<bool> {
        self.take(b'"')?;
        let at = self.at + until_special(self.bytes.get(self.at..)?);
        self.at = at + 1;
        if *self.bytes.get(at)? == b'"' { Some(false) } else { self.escapes(at) }
    }

    /// The rest of a text, from its first escape on.
    #[cold]
    #[inline(never)]
    fn escapes(&mut self, at: usize) -> Option<bool> {
        self.at = at;
        loop {
            match self.peek()? {
                b'"' => {
                    self.at += 1;
                    return Some(true);
                }
                b'\\' => self.escape()?,
                _ => return None,
            }
            self.at += until_special(self.bytes.get(self.at..)?);
        }
    }

    fn escape(&mut self) -> Option<()> {
        let letter = *self.bytes.get(self.at + 1)?;
        self.at += 2;
        match letter {
            b'"' | b'\\' | b'/' | b'b' | b'f' | b'n' | b'r' | b't' => Some(()),
            b'u' => match self.hex()? {
                // The first half of a pair needs the second, and the second cannot come first.
                0xd800..=0xdbff => {
                    self.take(b'\\')?;
                    self.take(b'u')?;
                    matches!(self.hex()?, 0xdc00..=0xdfff).then_some(())
                }
                0xdc00..=0xdfff => None,
                _ => Some(()),
            },
            _ => None,
        }
    }

    fn hex(&mut self) -> Option<u32> {
        let digits = self.bytes.get(self.at..self.at + 4)?;
        self.at += 4;
        digits.iter().try_fold(0, |sum, digit| Some(sum * 16 + (*digit as char).to_digit(16)?))
    }

    #[inline]
    fn number(&mut self) -> Option<()> {
        let start = self.at;
        let _minus = self.take(b'-');
        if self.take(b'0').is_none() {
            self.digits()?;
        }
        let fraction = self.take(b'.').is_some();
        if fraction {
            self.digits()?;
        }
        if let Some(b'e' | b'E') = self.peek() {
            self.at += 1;
            if let Some(b'+' | b'-') = self.peek() {
                self.at += 1;
            }
            self.digits()?;
        } else if !fraction || self.at - start < 300 {
            // Without an exponent it takes so many digits to leave the range.
            return Some(());
        }
        in_range(self.text.get(start..self.at)?).then_some(())
    }

    #[inline(always)]
    fn digits(&mut self) -> Option<()> {
        let start = self.at;
        while let Some(b'0'..=b'9') = self.peek() {
            self.at += 1;
        }
        (self.at > start).then_some(())
    }
}
