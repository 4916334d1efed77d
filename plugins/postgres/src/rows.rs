//! What of a message stands in which column, made to fit: PostgreSQL knows no NUL, and its numbers have an end.

use bytes::{BufMut, BytesMut};
use metlog_message::wire::{self, Limits};
use metlog_message::{Fields, Message, Timestamp, Value, head};
use metlog_query::Facts;
use std::borrow::Cow;
use std::error::Error;
use std::ops::Range;
use tokio_postgres::types::{FromSql, IsNull, ToSql, Type, accepts, to_sql_checked};

/// Longer names of clients are not kept beside the message: an index takes no more than some kilobytes.
const LONGEST_CLIENT: usize = 128;

/// Numbers with more digits stand as text: some ten thousand digits are the end of PostgreSQL's, and nobody counts there.
const MOST_DIGITS: usize = 1000;

/// A `timestamptz`: microseconds since 2000.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Moment(pub i64);

/// The year 2000, in microseconds.
const EPOCH: i64 = 946_684_800_000_000;

impl Moment {
    /// The moment and the nanoseconds beyond.
    pub fn split(timestamp: Timestamp) -> (Self, i16) {
        let nanos = timestamp.nanos();
        (Moment(nanos.div_euclid(1000) - EPOCH), nanos.rem_euclid(1000) as i16)
    }

    pub fn of(timestamp: Timestamp) -> Self {
        Self::split(timestamp).0
    }

    pub fn timestamp(self, nanos: i16) -> Timestamp {
        let nanos = (i128::from(self.0) + i128::from(EPOCH)) * 1000 + i128::from(nanos);
        let edge = if nanos < 0 { i64::MIN } else { i64::MAX };
        Timestamp::from_nanos(i64::try_from(nanos).unwrap_or(edge))
    }
}

impl ToSql for Moment {
    fn to_sql(&self, _: &Type, out: &mut BytesMut) -> Result<IsNull, Box<dyn Error + Sync + Send>> {
        out.put_i64(self.0);
        Ok(IsNull::No)
    }
    accepts!(TIMESTAMPTZ);
    to_sql_checked!();
}

impl<'a> FromSql<'a> for Moment {
    fn from_sql(of: &Type, raw: &'a [u8]) -> Result<Self, Box<dyn Error + Sync + Send>> {
        i64::from_sql(&Type::INT8, raw).map(Moment).map_err(|_| format!("no {of}").into())
    }
    accepts!(TIMESTAMPTZ);
}

/// Messages as columns, in the order of [`INSERT`].
#[derive(Default)]
pub struct Columns<'a> {
    position: Vec<i64>,
    ts: Vec<Moment>,
    ts_nanos: Vec<i16>,
    severity: Vec<i16>,
    kind: Vec<String>,
    logger: Vec<String>,
    id: Vec<Option<String>>,
    trace: Vec<Option<String>>,
    client: Vec<Option<String>>,
    seq: Vec<Option<i64>>,
    expires: Vec<Option<Moment>>,
    /// With blanks between: an array of arrays is one long array to `unnest`.
    words: Vec<String>,
    fields: Vec<String>,
    payload: Vec<String>,
    raw: Vec<Option<&'a str>>,
    raw_bytes: Vec<Option<&'a [u8]>>,
    /// Of the message; no column.
    length: Vec<usize>,
}

/// Behind `INSERT INTO table`. Without a target, so that any of the unique indexes keeps a repeated message out.
pub const INSERT: &str = " (position, ts, ts_nanos, severity, type, logger, id, trace_id, client, seq, expires, words, \
     fields, payload, raw, raw_bytes) \
     SELECT position, ts, ts_nanos, severity, type, logger, id, trace_id, client, seq, expires, \
     string_to_array(words, ' '), fields::jsonb, payload, raw, raw_bytes \
     FROM unnest($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16) AS new \
     (position, ts, ts_nanos, severity, type, logger, id, trace_id, client, seq, expires, words, fields, payload, raw, \
     raw_bytes) ON CONFLICT DO NOTHING";

/// The types of its parameters.
pub const TYPES: [Type; 16] = [
    Type::INT8_ARRAY,
    Type::TIMESTAMPTZ_ARRAY,
    Type::INT2_ARRAY,
    Type::INT2_ARRAY,
    Type::TEXT_ARRAY,
    Type::TEXT_ARRAY,
    Type::TEXT_ARRAY,
    Type::TEXT_ARRAY,
    Type::TEXT_ARRAY,
    Type::INT8_ARRAY,
    Type::TIMESTAMPTZ_ARRAY,
    Type::TEXT_ARRAY,
    Type::TEXT_ARRAY,
    Type::TEXT_ARRAY,
    Type::TEXT_ARRAY,
    Type::BYTEA_ARRAY,
];

impl<'a> Columns<'a> {
    /// Adds a message; when it happened.
    pub fn push(&mut self, position: i64, raw: &'a [u8]) -> Result<Timestamp, String> {
        let mut words = String::new();
        let facts = Facts::of_many(raw, Some(&mut words)).ok_or("it is no message")?;
        let (payload, fields) = content(raw).ok_or("it is no message")?;
        let (ts, ts_nanos) = Moment::split(facts.timestamp);
        let origin = facts.origin.filter(|(client, _)| client.len() <= LONGEST_CLIENT);
        let origin = origin.and_then(|(client, seq)| Some((clean(client), i64::try_from(seq).ok()?)));
        let (client, seq) = origin.unzip();
        let text = std::str::from_utf8(raw).ok().filter(|text| !text.contains('\0'));
        self.position.push(position);
        self.ts.push(ts);
        self.ts_nanos.push(ts_nanos);
        self.severity.push(facts.severity.into());
        self.kind.push(clean(facts.kind));
        self.logger.push(clean(facts.logger));
        self.id.push(facts.id.map(clean));
        self.trace.push(facts.trace.map(clean));
        self.client.push(client);
        self.seq.push(seq);
        self.expires.push(facts.expires.map(Moment::of));
        self.words.push(words);
        self.fields.push(fields);
        self.payload.push(payload);
        self.length.push(raw.len());
        self.raw.push(text);
        self.raw_bytes.push(if text.is_none() { Some(raw) } else { None });
        Ok(facts.timestamp)
    }

    pub fn len(&self) -> usize {
        self.position.len()
    }

    /// All of them in parts of so many rows and bytes at the most, or of a single row.
    pub fn helpings(&self, rows: usize, bytes: usize) -> Vec<Range<usize>> {
        let mut parts = Vec::new();
        let (mut start, mut size) = (0, 0);
        for (at, length) in self.length.iter().enumerate() {
            if at > start && (at - start == rows || size + length > bytes) {
                parts.push(start..at);
                (start, size) = (at, 0);
            }
            size += length;
        }
        if start < self.len() {
            parts.push(start..self.len());
        }
        parts
    }

    /// Some of them.
    pub fn part(&self, range: Range<usize>) -> Part<'_> {
        fn of<'c, T>(column: &'c [T], range: &Range<usize>) -> &'c [T] {
            column.get(range.clone()).unwrap_or_default()
        }
        Part {
            position: of(&self.position, &range),
            ts: of(&self.ts, &range),
            ts_nanos: of(&self.ts_nanos, &range),
            severity: of(&self.severity, &range),
            texts: [&self.kind, &self.logger].map(|column| of(column, &range)),
            options: [&self.id, &self.trace, &self.client].map(|column| of(column, &range)),
            seq: of(&self.seq, &range),
            expires: of(&self.expires, &range),
            long: [&self.words, &self.fields, &self.payload].map(|column| of(column, &range)),
            raw: of(&self.raw, &range),
            raw_bytes: of(&self.raw_bytes, &range),
        }
    }
}

/// Some rows, as parameters.
pub struct Part<'a> {
    position: &'a [i64],
    ts: &'a [Moment],
    ts_nanos: &'a [i16],
    severity: &'a [i16],
    texts: [&'a [String]; 2],
    options: [&'a [Option<String>]; 3],
    seq: &'a [Option<i64>],
    expires: &'a [Option<Moment>],
    long: [&'a [String]; 3],
    raw: &'a [Option<&'a str>],
    raw_bytes: &'a [Option<&'a [u8]>],
}

impl Part<'_> {
    pub fn parameters(&self) -> [&(dyn ToSql + Sync); 16] {
        let [kind, logger] = &self.texts;
        let [id, trace, client] = &self.options;
        let [words, fields, payload] = &self.long;
        [
            &self.position,
            &self.ts,
            &self.ts_nanos,
            &self.severity,
            kind,
            logger,
            id,
            trace,
            client,
            &self.seq,
            &self.expires,
            words,
            fields,
            payload,
            &self.raw,
            &self.raw_bytes,
        ]
    }
}

/// Payload and fields as PostgreSQL can hold them.
fn content(raw: &[u8]) -> Option<(String, String)> {
    if let Ok(head) = head::scan(raw, &Limits::NONE) {
        let payload = wire::read_value_within(head.payload, &Limits::NONE).ok()?;
        let plain = is_plain(head.fields).then(|| std::str::from_utf8(head.fields).ok()).flatten();
        let fields = match plain {
            Some(text) => text.to_owned(),
            None => fitting(wire::read_value_within(head.fields, &Limits::NONE).ok()?),
        };
        return Some((text_of(&payload), fields));
    }
    let Message { payload, fields, .. } = wire::read(raw, &Limits::NONE).ok()?.message;
    Some((text_of(&payload), fitting(Value::Map(fields))))
}

fn text_of(payload: &Value) -> String {
    clean(payload.to_text().into_owned())
}

pub fn clean(text: String) -> String {
    if text.contains('\0') { text.replace('\0', "\u{fffd}") } else { text }
}

/// Whether valid JSON is certainly valid `jsonb`: no `\u`, which may spell NUL or half a symbol, and only short numbers
/// without an exponent. Of the rest most is fine too, and is looked at.
fn is_plain(json: &[u8]) -> bool {
    let (mut inside, mut escaped, mut digits) = (false, false, 0);
    for byte in json {
        match (inside, byte) {
            (true, b'u') if escaped => return false,
            (true, b'\\') if !escaped => {
                escaped = true;
                continue;
            }
            (true, b'"') if !escaped => inside = false,
            (true, _) => {}
            (false, b'"') => (inside, digits) = (true, 0),
            (false, b'0'..=b'9' | b'.' | b'-' | b'+' | b'E') => {
                digits += 1;
                if digits > 30 || *byte == b'E' {
                    return false;
                }
            }
            // Of `true` and `false` as well, where no digit is before it.
            (false, b'e') if digits > 0 => return false,
            (false, _) => digits = 0,
        }
        escaped = false;
    }
    true
}

fn fitting(value: Value) -> String {
    fn fit(value: Value) -> Value {
        match value {
            Value::Str(text) => Value::Str(clean(text)),
            Value::Big(digits) if digits.len() > MOST_DIGITS => Value::Str(digits),
            Value::List(items) => Value::List(items.into_iter().map(fit).collect()),
            Value::Map(fields) => {
                let mut fitting = Fields::new();
                for (name, value) in fields {
                    fitting.push(clean(name), fit(value));
                }
                Value::Map(fitting)
            }
            other => other,
        }
    }
    let mut out = Vec::new();
    wire::write_value(&mut out, &fit(value));
    match String::from_utf8_lossy(&out) {
        Cow::Owned(text) => text,
        Cow::Borrowed(_) => String::from_utf8(out).unwrap_or_default(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn moments_are_exact_on_both_sides_of_every_epoch() {
        for nanos in [i64::MIN, -1_000_001, -1, 0, 1, 999, 1000, 946_684_800_000_000_001, i64::MAX] {
            let (moment, rest) = Moment::split(Timestamp::from_nanos(nanos));
            assert!((0..1000).contains(&rest));
            assert_eq!(moment.timestamp(rest).nanos(), nanos);
        }
        assert_eq!(Moment::of(Timestamp::parse("2000-01-01T00:00:00.000001Z").expect("a moment")), Moment(1));
    }

    #[test]
    fn what_jsonb_cannot_hold_is_made_to_fit() {
        let fitted = |fields: &str| {
            let raw = format!(
                "{{\"type\":\"t\",\"timestamp\":\"2026-11-21T08:00:00.000000Z\",\"logger\":\"\",\"severity\":6,\
                 \"payload\":\"\",\"fields\":{fields}}}"
            );
            content(raw.as_bytes()).expect("a message").1
        };
        assert_eq!(fitted(r#"{"a\u0000":"\u0000","b":"\\u0000"}"#), "{\"a\u{fffd}\":\"\u{fffd}\",\"b\":\"\\\\u0000\"}");
        assert_eq!(fitted(r#"{"a":"\ud800"}"#), "{\"a\":\"\u{fffd}\"}");
        let long = "9".repeat(1001);
        assert_eq!(fitted(&format!("{{\"a\":[{long}]}}")), format!("{{\"a\":[\"{long}\"]}}"));
        assert_eq!(fitted(r#"{"a":1.5,"b":true,"c":[false,null,-7]}"#), r#"{"a":1.5,"b":true,"c":[false,null,-7]}"#);
    }

    #[test]
    fn helpings_are_full_and_leave_nobody_out() {
        let mut rows = Columns::default();
        let line = metlog_testkit::sample::line(1);
        (0..7).for_each(|id| drop(rows.push(id, &line)));
        assert_eq!(rows.helpings(3, usize::MAX), [0..3, 3..6, 6..7]);
        assert_eq!(rows.helpings(100, line.len() * 2), [0..2, 2..4, 4..6, 6..7]);
        assert_eq!(rows.helpings(100, 1), (0..7).map(|at| at..at + 1).collect::<Vec<_>>());
        assert!(Columns::default().helpings(3, 1).is_empty());
    }

    #[test]
    fn plain_is_what_needs_no_look() {
        for json in [r#"{}"#, r#"{"a":"e1","b":false,"c":-1.25}"#, r#"{"u":"\\","v":"\n\"u"}"#] {
            assert!(is_plain(json.as_bytes()), "{json}");
        }
        for json in [r#"{"a":"\u0000"}"#, r#"{"a":1e9}"#, r#"{"a":1E9}"#, &format!("[{}]", "1".repeat(31))] {
            assert!(!is_plain(json.as_bytes()), "{json}");
        }
    }
}
