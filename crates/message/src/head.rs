//! The head: the few values routing looks at, found in one pass that validates the whole message.
//!
//! The scan says yes only to what is strictly right, byte for byte, so that a router can pass those bytes on unread.
//! Everything else it hands to [`crate::wire::read`], which decides between a note and a refusal. It allocates only
//! where a value of the head itself holds an escape.

use crate::swar::until_special;
use crate::wire::{Limits, read_value};
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

/// Finds the head of a strictly valid message.
///
/// # Errors
/// If it is not strictly valid JSON in UTF-8, is beyond the limits, lacks one of `type`, `timestamp`, `logger`,
/// `severity`, `payload` and `fields`, or has a key of the envelope twice or of the wrong kind.
pub fn scan<'a>(text: &'a [u8], limits: &Limits) -> Result<Head<'a>, NotStrict> {
    if text.len() > limits.bytes || std::str::from_utf8(text).is_err() {
        return Err(NotStrict);
    }
    let mut scanner = Scanner { text, at: 0, values: limits.values, depth: limits.depth };
    let mut found = Found::default();
    scanner.blanks();
    scanner.envelope(&mut found).ok_or(NotStrict)?;
    scanner.blanks();
    if scanner.at != text.len() {
        return Err(NotStrict);
    }
    found.head().ok_or(NotStrict)
}

/// Values of the envelope as they stand in the message: JSON.
#[derive(Default)]
struct Found<'a> {
    kind: Option<&'a [u8]>,
    timestamp: Option<&'a [u8]>,
    logger: Option<&'a [u8]>,
    severity: Option<&'a [u8]>,
    payload: Option<&'a [u8]>,
    fields: Option<&'a [u8]>,
    pid: Option<&'a [u8]>,
    hostname: Option<&'a [u8]>,
    env_version: Option<&'a [u8]>,
    client: Option<&'a [u8]>,
    seq: Option<&'a [u8]>,
}

impl<'a> Found<'a> {
    fn place(&mut self, key: &[u8]) -> Option<&mut Option<&'a [u8]>> {
        Some(match key {
            b"type" => &mut self.kind,
            b"timestamp" => &mut self.timestamp,
            b"logger" => &mut self.logger,
            b"severity" => &mut self.severity,
            b"payload" => &mut self.payload,
            b"fields" => &mut self.fields,
            b"metlog_pid" => &mut self.pid,
            b"metlog_hostname" => &mut self.hostname,
            b"env_version" => &mut self.env_version,
            b"metlog_client" => &mut self.client,
            b"metlog_seq" => &mut self.seq,
            _ => return None,
        })
    }

    fn head(self) -> Option<Head<'a>> {
        let timestamp = text(self.timestamp?)?;
        if !Timestamp::has_zone(&timestamp) || self.fields?.first() != Some(&b'{') {
            return None;
        }
        if let Some(hostname) = self.hostname {
            text(hostname)?;
        }
        if let Some(pid) = self.pid {
            integer::<i64>(pid)?;
        }
        let [severity @ b'0'..=b'7'] = self.severity? else { return None };
        let origin = match (self.client, self.seq) {
            (None, None) => None,
            (Some(client), Some(seq)) => Some((text(client)?, integer(seq)?)),
            _ => return None,
        };
        Some(Head {
            kind: text(self.kind?)?,
            timestamp: Timestamp::parse(&timestamp)?,
            logger: text(self.logger?)?,
            severity: Severity::from_number(i64::from(severity - b'0'))?,
            payload: self.payload?,
            fields: self.fields?,
            origin,
        })
    }
}

/// A whole number; the scanner has seen that it is a number.
fn integer<T: std::str::FromStr>(json: &[u8]) -> Option<T> {
    let digits = std::str::from_utf8(json).ok()?;
    if digits == "-0" { None } else { digits.parse().ok() }
}

/// A text without its quotes, unescaped where it has to be.
fn text(json: &[u8]) -> Option<Cow<'_, str>> {
    let inside = json.strip_prefix(b"\"")?.strip_suffix(b"\"")?;
    if inside.contains(&b'\\') {
        return read_value(json).ok().and_then(|value| Some(Cow::Owned(value.as_str()?.to_owned())));
    }
    std::str::from_utf8(inside).ok().map(Cow::Borrowed)
}

struct Scanner<'a> {
    text: &'a [u8],
    at: usize,
    values: usize,
    depth: usize,
}

impl<'a> Scanner<'a> {
    #[inline(always)]
    fn peek(&self) -> Option<u8> {
        self.text.get(self.at).copied()
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

    fn envelope(&mut self, found: &mut Found<'a>) -> Option<()> {
        self.depth = self.depth.checked_sub(1)?;
        self.values = self.values.checked_sub(1)?;
        self.take(b'{')?;
        self.blanks();
        loop {
            let key = self.at;
            self.string()?;
            let key = self.text.get(key + 1..self.at - 1)?;
            self.colon()?;
            let start = self.at;
            self.value()?;
            let value = self.text.get(start..self.at)?;
            match found.place(key) {
                Some(place @ None) => *place = Some(value),
                Some(_) => return None,
                // An escaped name may be one of ours in disguise, and old names mean something to the reader.
                None if key.contains(&b'\\') || key.starts_with(b"heka_") => return None,
                None => {}
            }
            if !self.more(b'}')? {
                return Some(());
            }
        }
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

    fn value(&mut self) -> Option<()> {
        self.values = self.values.checked_sub(1)?;
        match self.peek()? {
            b'"' => self.string(),
            b'-' | b'0'..=b'9' => self.number(),
            open @ (b'{' | b'[') => {
                self.depth = self.depth.checked_sub(1)?;
                self.at += 1;
                self.blanks();
                self.inside(open)?;
                self.depth += 1;
                Some(())
            }
            b't' => self.word(b"true"),
            b'f' => self.word(b"false"),
            b'n' => self.word(b"null"),
            _ => None,
        }
    }

    fn inside(&mut self, open: u8) -> Option<()> {
        // `[` and `{` are each two below their closing partner.
        let close = open + 2;
        if self.take(close).is_some() {
            return Some(());
        }
        loop {
            if open == b'{' {
                self.string()?;
                self.colon()?;
            }
            self.value()?;
            if !self.more(close)? {
                return Some(());
            }
        }
    }

    fn word(&mut self, word: &[u8]) -> Option<()> {
        self.text.get(self.at..)?.starts_with(word).then(|| self.at += word.len())
    }

    #[inline]
    fn string(&mut self) -> Option<()> {
        self.take(b'"')?;
        loop {
            self.at += until_special(self.text.get(self.at..)?);
            match self.peek()? {
                b'"' => {
                    self.at += 1;
                    return Some(());
                }
                b'\\' => self.escape()?,
                _ => return None,
            }
        }
    }

    fn escape(&mut self) -> Option<()> {
        let letter = *self.text.get(self.at + 1)?;
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
        let digits = self.text.get(self.at..self.at + 4)?;
        self.at += 4;
        digits.iter().try_fold(0, |sum, digit| Some(sum * 16 + (*digit as char).to_digit(16)?))
    }

    #[inline]
    fn number(&mut self) -> Option<()> {
        let _minus = self.take(b'-');
        if self.take(b'0').is_none() {
            self.digits()?;
        }
        if self.take(b'.').is_some() {
            self.digits()?;
        }
        if let Some(b'e' | b'E') = self.peek() {
            self.at += 1;
            if let Some(b'+' | b'-') = self.peek() {
                self.at += 1;
            }
            self.digits()?;
        }
        Some(())
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
