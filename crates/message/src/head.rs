//! The head: the few values routing looks at, found in one pass that validates the whole message.
//!
//! The scan says yes only to what is strictly right, byte for byte, so that a router can pass those bytes on unread.
//! Everything else it hands to [`crate::wire::read`], which decides between a note and a refusal. It allocates only
//! where a value of the head itself holds an escape.

pub use crate::wire::strict::NotStrict;
use crate::wire::strict::{Scanner, inside, text};
use crate::wire::{self, Limits, unescaped};
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

/// Finds the head of a strictly valid message: of exactly those in which [`crate::wire::read`] finds nothing to note.
///
/// # Errors
/// If it is not strictly valid JSON in UTF-8, is beyond the limits, lacks one of `type`, `timestamp`, `logger`,
/// `severity`, `payload` and `fields`, or has a key of the envelope twice or of the wrong kind.
pub fn scan<'a>(text: &'a [u8], limits: &Limits) -> Result<Head<'a>, NotStrict> {
    if text.len() > limits.bytes {
        return Err(NotStrict);
    }
    Scanner::over(text, limits).message().ok_or(NotStrict)
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

/// A key of the envelope, in the order in which we write them.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Key {
    Type,
    Timestamp,
    Logger,
    Severity,
    Payload,
    Fields,
    EnvVersion,
    Pid,
    Hostname,
    Client,
    Seq,
    HekaPid,
    HekaHostname,
    Other,
}

impl Key {
    fn of(name: &[u8]) -> Key {
        match name {
            b"type" => Key::Type,
            b"timestamp" => Key::Timestamp,
            b"logger" => Key::Logger,
            b"severity" => Key::Severity,
            b"payload" => Key::Payload,
            b"fields" => Key::Fields,
            b"env_version" => Key::EnvVersion,
            b"metlog_pid" => Key::Pid,
            b"metlog_hostname" => Key::Hostname,
            b"metlog_client" => Key::Client,
            b"metlog_seq" => Key::Seq,
            b"heka_pid" => Key::HekaPid,
            b"heka_hostname" => Key::HekaHostname,
            _ => Key::Other,
        }
    }
}

impl<'a> Scanner<'a> {
    fn message(&mut self) -> Option<Head<'a>> {
        self.blanks();
        self.depth = self.depth.checked_sub(1)?;
        self.values = self.values.checked_sub(1)?;
        self.take(b'{')?;
        self.blanks();
        let mut found = Found::default();
        let (mut names, mut key) = (self.names, None);
        loop {
            key = Some(self.key(key, &mut names)?);
            self.entry(key?, &mut found)?;
            if !self.more(b'}')? {
                break;
            }
        }
        self.end()?;
        found.head()
    }

    /// A key and its colon. Most messages come from clients that write the envelope in one order, so that what follows
    /// the last one can be guessed, and needs no more than to be compared.
    #[inline(always)]
    fn key(&mut self, last: Option<Key>, names: &mut usize) -> Option<Key> {
        let guessed = match last {
            None => self.is(b"\"type\":", Key::Type),
            Some(Key::Type) => self.is(b"\"timestamp\":", Key::Timestamp),
            Some(Key::Timestamp) => self.is(b"\"logger\":", Key::Logger),
            Some(Key::Logger) => self.is(b"\"severity\":", Key::Severity),
            Some(Key::Severity) => self.is(b"\"payload\":", Key::Payload),
            Some(Key::Payload) => self.is(b"\"fields\":", Key::Fields),
            Some(Key::Fields) => self.is(b"\"env_version\":", Key::EnvVersion),
            Some(Key::EnvVersion) => self.is(b"\"metlog_pid\":", Key::Pid),
            Some(Key::Pid) => self.is(b"\"metlog_hostname\":", Key::Hostname),
            Some(Key::Hostname) => self.is(b"\"metlog_client\":", Key::Client),
            Some(Key::Client) => self.is(b"\"metlog_seq\":", Key::Seq),
            _ => None,
        };
        if let Some((key, length)) = guessed {
            self.name(length, names)?;
            self.blanks();
            return Some(key);
        }
        let start = self.at;
        let escaped = self.string()?;
        self.name(self.at - start, names)?;
        let quoted = self.bytes.get(start..self.at)?;
        let key = if escaped { Key::of(unescaped(quoted)?.as_bytes()) } else { Key::of(inside(quoted)?) };
        self.colon()?;
        Some(key)
    }

    /// Whether this name and its colon are next; the key that it is, and the name's length with its quotes.
    #[inline(always)]
    fn is<const N: usize>(&mut self, name: &[u8; N], key: Key) -> Option<(Key, usize)> {
        let next = self.bytes.get(self.at..)?.first_chunk::<N>()?;
        (next == name).then(|| self.at += N)?;
        Some((key, N - 1))
    }

    /// The value of a key of the envelope.
    #[inline(always)]
    fn entry(&mut self, key: Key, found: &mut Found<'a>) -> Option<()> {
        match key {
            Key::Type => once(&mut found.kind, self.text_value()?),
            Key::Timestamp => once(&mut found.timestamp, self.moment()?),
            Key::Logger => once(&mut found.logger, self.text_value()?),
            Key::Severity => {
                let [digit @ b'0'..=b'7'] = self.raw()? else { return None };
                once(&mut found.severity, Severity::from_number(i64::from(digit - b'0'))?)
            }
            Key::Payload => once(&mut found.payload, self.raw()?),
            Key::Fields => once(&mut found.fields, self.raw().filter(|json| json.first() == Some(&b'{'))?),
            Key::EnvVersion => once(&mut found.env_version, self.value()?),
            Key::Pid => once(&mut found.pid, self.integer()?),
            Key::Hostname => {
                once(&mut found.hostname, self.raw().filter(|json| json.first() == Some(&b'"')).map(|_| ())?)
            }
            Key::Client => once(&mut found.client, self.text_value()?),
            Key::Seq => once(&mut found.seq, self.integer()?),
            other => {
                found.heka_pid |= other == Key::HekaPid;
                found.heka_hostname |= other == Key::HekaHostname;
                self.value()
            }
        }
    }

    #[inline(always)]
    fn moment(&mut self) -> Option<Timestamp> {
        let quoted = self.raw()?;
        if let Some(moment) = Timestamp::as_written(inside(quoted)?) {
            return Some(moment);
        }
        let text = text(quoted)?;
        Timestamp::parse(&text).filter(|_| Timestamp::has_zone(&text))
    }
}
