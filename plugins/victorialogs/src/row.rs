//! What the endpoint sends for a message: its own bytes, wherever the server would keep them as they are.
//!
//! The router hands on only what its head scan vouched for, so [`fits`] reads no JSON: it knows the form our own
//! clients write and proves with a few searches that the server can lose nothing of it. Whatever it cannot prove,
//! [`look`] reads.

use crate::mapping::{Limits, MAX_FIELDS, MAX_NAME, flatten, seconds};
use memchr::memmem::Finder;
use memchr::{memchr, memchr2, memrchr};
use metlog_message::{Message, Timestamp, Value, wire};
use std::borrow::Cow;
use std::collections::HashSet;

/// A field takes five bytes at least, `"":0,`, so this much text has fewer than [`MAX_FIELDS`].
const FEW: usize = 5 * MAX_FIELDS;

/// A name directly in `fields` may have so many bytes.
const SHORT: usize = MAX_NAME - "fields.".len();

/// Keys of the envelope and the text we add: fields that every row may have.
const OWN: usize = 12;

/// Names that mean something to the server, so that nobody may bring them along.
const TAKEN: [&str; 5] = ["", "_msg", "_time", "_stream", "_stream_id"];

/// What the server keeps at this moment.
pub struct Bounds {
    limits: Limits,
    now: f64,
    oldest: Vec<u8>,
    newest: Vec<u8>,
    underscore: Finder<'static>,
    nothing: Finder<'static>,
}

impl Bounds {
    pub fn new(limits: Limits) -> Self {
        Bounds {
            limits,
            now: 0.0,
            oldest: Vec::new(),
            newest: Vec::new(),
            underscore: Finder::new("\"_"),
            nothing: Finder::new("\"\""),
        }
    }

    /// Before each hand-over.
    pub fn set_now(&mut self, now: Timestamp) {
        self.now = seconds(now);
        // A second less on both sides, since the texts are compared by whole ones.
        self.oldest = text(self.now - self.limits.past + 1.0);
        self.newest = text(self.now + self.limits.future - 1.0);
    }

    /// Whether the server reads this form as we do, and keeps what is of that time.
    fn keeps(&self, time: &[u8]) -> bool {
        is_utc(time) && self.oldest.as_slice() < time && time < self.newest.as_slice()
    }
}

/// The first 19 bytes of a moment's text, which sort as moments do.
fn text(seconds: f64) -> Vec<u8> {
    let mut text = Timestamp::from_nanos((seconds * 1e9) as i64).to_string().into_bytes();
    text.truncate(19);
    text
}

/// `2026-11-20T22:00:50.348839Z` with up to nine digits behind the point, or none. That those are digits is known.
fn is_utc(time: &[u8]) -> bool {
    let at = |position: usize| time.get(position).copied();
    matches!(time.len(), 20 | 22..=30)
        && time.last() == Some(&b'Z')
        && (at(4), at(7), at(10)) == (Some(b'-'), Some(b'-'), Some(b'T'))
        && (at(13), at(16)) == (Some(b':'), Some(b':'))
        && matches!(at(19), Some(b'Z' | b'.'))
}

/// Whether the bytes can go as they are. False says nothing.
pub fn fits(message: &[u8], bounds: &Bounds) -> bool {
    message.len() < FEW
        && message.len() < bounds.limits.line
        && (form(message, bounds).is_some() || parts(message, bounds).is_some())
}

/// Of the form our own clients write.
fn form(message: &[u8], bounds: &Bounds) -> Option<()> {
    let rest = behind_text(message.strip_prefix(b"{\"type\":\"")?)?;
    let rest = rest.strip_prefix(b",\"timestamp\":\"")?;
    let (time, _) = rest.split_at_checked(memchr(b'"', rest.get(..31)?)?)?;
    if !bounds.keeps(time) {
        return None;
    }
    let rest = behind_text(rest.get(time.len()..)?.strip_prefix(b"\",\"logger\":\"")?)?;
    let rest = rest.strip_prefix(b",\"severity\":")?.get(1..)?.strip_prefix(b",\"payload\":\"")?;
    if rest.first() == Some(&b'"') {
        return None;
    }
    let rest = behind_text(rest)?.strip_prefix(b",\"fields\":{")?;
    // No object in there, so a name is at most `fields.` and what stands between two quotes that follow each other; and
    // no backslash, so each quote is the end of something.
    (memchr2(b'{', b'\\', rest).is_none()
        && bounds.underscore.find(rest).is_none()
        && has_no_nameless(rest, bounds)
        && is_dense(rest))
    .then_some(())
}

/// Of any form: each key at the top, and no look inside what is flat.
fn parts(message: &[u8], bounds: &Bounds) -> Option<()> {
    let mut keys = Keys { bytes: message, at: 0 };
    let (mut time, mut text, mut flat) = (false, false, false);
    while let Some((key, value)) = keys.next() {
        let name = key.strip_prefix(b"\"")?.strip_suffix(b"\"")?;
        match name {
            b"timestamp" => time = bounds.keeps(value.strip_prefix(b"\"")?.strip_suffix(b"\"")?),
            b"payload" => text = !matches!(value.first(), Some(b'{' | b'n')) && value != b"\"\"",
            b"fields" => {
                let inside = value.strip_prefix(b"{")?;
                flat = memchr2(b'{', b'\\', inside).is_none() && is_dense(inside);
            }
            name if name.len() > SHORT || name.contains(&b'\\') || value.first() == Some(&b'{') => return None,
            name if TAKEN.iter().any(|taken| taken.as_bytes() == name) => return None,
            _ => {}
        }
    }
    let end = message.get(keys.at..)?.trim_ascii_end();
    (time && text && flat && end == b"}").then_some(())
}

/// What follows a text whose first quote is gone.
fn behind_text(text: &[u8]) -> Option<&[u8]> {
    let mut at = 0;
    loop {
        let found = at + memchr2(b'"', b'\\', text.get(at..)?)?;
        if text.get(found) == Some(&b'"') {
            return text.get(found + 1..);
        }
        at = found + 2;
    }
}

/// Whether two quotes side by side are always an empty value.
fn has_no_nameless(rest: &[u8], bounds: &Bounds) -> bool {
    bounds.nothing.find_iter(rest).all(|at| matches!(rest.get(at + 2), Some(b',' | b'}' | b']')))
}

/// Whether from each quote to the next it is never far: there are no long names, and no long values either. Looks for
/// the last quote within reach, so that it takes few steps.
fn is_dense(mut rest: &[u8]) -> bool {
    while let Some(reach) = rest.get(..=SHORT) {
        match memrchr(b'"', reach) {
            Some(at) if at > 0 => rest = rest.get(at..).unwrap_or_default(),
            _ => return false,
        }
    }
    true
}

/// The row of a message, or why the server would lose it.
pub fn look<'a>(message: &'a [u8], bounds: &Bounds) -> Result<Cow<'a, [u8]>, String> {
    // What is too long is so before and after.
    bounds.limits.check_length(message.len())?;
    let read = wire::read(message, &wire::Limits::NONE).map_err(|refusal| refusal.to_string())?;
    let same = read.notes.is_empty() && is_clear(message);
    let read = read.message;
    bounds.limits.check_time(read.timestamp, bounds.now)?;
    check_names(&read)?;
    let mut row = Cow::Borrowed(message);
    if !same {
        row.to_mut().clear();
        wire::write(row.to_mut(), &read);
    }
    if let Some(text) = missing_text(&read) {
        let row = row.to_mut();
        row.truncate(row.iter().rposition(|byte| *byte == b'}').unwrap_or(0));
        row.extend_from_slice(b",\"_msg\":");
        wire::write_str(row, &text);
        row.push(b'}');
    }
    bounds.limits.check_length(row.len())?;
    Ok(row)
}

/// What the server is to show of a message whose payload is no text to it; `None`: the payload is.
fn missing_text(message: &Message) -> Option<String> {
    let empty = match &message.payload {
        Value::Null => true,
        Value::Str(text) => text.is_empty(),
        Value::Map(map) if !map.is_empty() => return Some(message.payload.to_text().into_owned()),
        Value::Map(_) => true,
        _ => false,
    };
    // Without any the server would store a complaint of its own.
    empty.then(|| if message.kind.is_empty() { "-".to_owned() } else { message.kind.clone() })
}

fn check_names(message: &Message) -> Result<(), String> {
    if let Some((name, _)) = message.extra.iter().find(|(name, _)| TAKEN.contains(name)) {
        return Err(format!(
            "its key {name:?} means something else to the server, which would lose the message or its time"
        ));
    }
    let (mut names, mut wrong) = (HashSet::new(), None);
    let mut see = |name: &str| {
        if name.len() > MAX_NAME {
            let start: String = name.chars().take(40).collect();
            wrong = Some(format!(
                "its field `{start}…` has a name of {} bytes, and the server takes {MAX_NAME}",
                name.len()
            ));
        } else if !names.insert(name.to_owned()) {
            wrong = Some(format!("two of its fields would both be `{name}` at the server, which would lose one"));
        }
        true
    };
    if let payload @ Value::Map(_) = &message.payload {
        flatten("payload", payload, &mut see);
    }
    for (name, value) in message.fields.iter() {
        flatten(&format!("fields.{name}"), value, &mut see);
    }
    for (name, value) in message.extra.iter() {
        flatten(name, value, &mut see);
    }
    if let Some(why) = wrong {
        return Err(why);
    }
    if names.len() + OWN > MAX_FIELDS {
        return Err(format!(
            "it has {} fields beside its envelope, and the server drops messages with more than {} without a word",
            names.len(),
            MAX_FIELDS - OWN
        ));
    }
    Ok(())
}

/// Whether the server reads the time, and each key at the top, as we do.
fn is_clear(message: &[u8]) -> bool {
    let mut keys = Keys { bytes: message, at: 0 };
    let mut clear = false;
    while let Some((key, value)) = keys.next() {
        // An escape in a key is allowed, and not worth understanding.
        if key.contains(&b'\\') {
            return false;
        }
        if key == b"\"timestamp\"" {
            clear = value.strip_prefix(b"\"").and_then(|time| time.strip_suffix(b"\"")).is_some_and(is_utc);
        }
    }
    clear
}

/// The keys and values at the top of an object that is known to be right, as they are written.
struct Keys<'a> {
    bytes: &'a [u8],
    at: usize,
}

impl<'a> Keys<'a> {
    fn next(&mut self) -> Option<(&'a [u8], &'a [u8])> {
        self.skip(b"{, \t\r\n");
        let key = self.value()?;
        self.skip(b": \t\r\n");
        Some((key, self.value()?))
    }

    fn skip(&mut self, these: &[u8]) {
        while self.bytes.get(self.at).is_some_and(|byte| these.contains(byte)) {
            self.at += 1;
        }
    }

    fn value(&mut self) -> Option<&'a [u8]> {
        let (start, mut depth) = (self.at, 0_usize);
        loop {
            let byte = *self.bytes.get(self.at)?;
            match byte {
                b'"' => {
                    let after = behind_text(self.bytes.get(self.at + 1..)?)?;
                    self.at = self.bytes.len() - after.len();
                    if depth == 0 {
                        break;
                    }
                    continue;
                }
                b'{' | b'[' => depth += 1,
                b'}' | b']' if depth > 0 => {
                    depth -= 1;
                    if depth == 0 {
                        self.at += 1;
                        break;
                    }
                }
                b',' | b'}' | b' ' | b'\t' | b'\r' | b'\n' if depth == 0 => break,
                _ => {}
            }
            self.at += 1;
        }
        self.bytes.get(start..self.at).filter(|value| !value.is_empty())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use metlog_message::{Fields, message::Origin};
    use proptest::prelude::*;

    fn bounds() -> Bounds {
        let mut bounds = Bounds::new(Limits::default());
        bounds.set_now(Timestamp::now());
        bounds
    }

    fn line(message: &Message) -> Vec<u8> {
        let mut line = Vec::new();
        wire::write(&mut line, message);
        line
    }

    fn usual() -> Message {
        let mut message =
            Message::new("counter").logger("shop.pay").payload("1").field("name", "jobs").field("rate", 0.5);
        message.pid = Some(7);
        message.hostname = Some("app01".into());
        message.origin = Some(Origin { client: "00000000c0ffee00".into(), seq: 12 });
        message
    }

    #[test]
    fn what_our_clients_usually_write_fits_without_a_look() {
        for message in [
            usual(),
            usual().payload("a \"quoted\" text\nof two lines, and as long as it likes to be".repeat(10)),
            usual().logger("").field("empty", "").field("list", Value::List(vec![1.into(), "a".into()])),
            usual().field("n".repeat(120), "v".repeat(119)),
        ] {
            let line = line(&message);
            assert!(fits(&line, &bounds()), "{}", String::from_utf8_lossy(&line));
            assert_eq!(look(&line, &bounds()), Ok(Cow::Borrowed(line.as_slice())));
        }
    }

    #[test]
    fn the_bytes_stay_whatever_form_they_have_and_a_row_without_text_gets_one() {
        let now = Timestamp::now().to_string();
        let now = now.as_str();
        let other = |time: &str, payload: &str| {
            format!(
                r#"{{ "fields" : {{"a":[{{"b":"}}"}}]}}, "payload": {payload}, "timestamp" : "{time}","logger":"","severity":6,"type":"t" }}"#
            )
        };
        for (payload, text) in [
            (r#""x""#, None),
            ("5", None),
            ("[1]", None),
            ("false", None),
            ("null", Some(r#""t""#)),
            (r#""""#, Some(r#""t""#)),
            ("{}", Some(r#""t""#)),
            (r#"{"a":{"b":1}}"#, Some(r#""{\"a\":{\"b\":1}}""#)),
        ] {
            let message = other(now, payload);
            let expected = match text {
                None => message.clone(),
                Some(text) => format!(r#"{},"_msg":{text}}}"#, message.strip_suffix('}').expect("its end")),
            };
            // What is nested takes a look.
            assert!(!fits(message.as_bytes(), &bounds()));
            let flat = message.replace(r#"[{"b":"}"}]"#, r#" [ "}" ] "#);
            assert_eq!(fits(flat.as_bytes(), &bounds()), text.is_none(), "{flat}");
            assert_eq!(look(message.as_bytes(), &bounds()).as_deref(), Ok(expected.as_bytes()), "{message}");
        }
        // Times that we read and the server does not, or not in the same way, are written as ours.
        let (date, time) = (now.get(..10).expect("a date"), now.get(11..19).expect("a time"));
        for strange in [format!("{date} {time}Z"), format!("{date}T{time}+0000"), format!("{date}T{time}z")] {
            let row = look(other(&strange, "1").as_bytes(), &bounds()).expect("kept").into_owned();
            let row = String::from_utf8(row).expect("UTF-8");
            assert!(row.contains(&format!(r#""timestamp":"{date}T{time}.000000Z""#)), "{strange}: {row}");
        }
    }

    #[test]
    fn what_the_server_would_lose_is_told() {
        let many: Fields = (0..990).map(|at| (format!("f{at}"), at)).collect();
        let mut reserved = usual();
        reserved.extra.set("_stream_id", "x");
        let mut nameless = usual();
        nameless.extra.set("", "x");
        let at = |days: i64| {
            let mut message = usual();
            message.timestamp = Timestamp::from_nanos(Timestamp::now().nanos() + days * 86_400_000_000_000);
            message
        };
        let deep: Fields =
            [("n".repeat(60), Value::Map([("m".repeat(61), 1)].into_iter().collect()))].into_iter().collect();
        let twice: Fields = [("b", 1)].into_iter().collect();
        for (message, words) in [
            (usual().payload("x".repeat(256 * 1024)), "`max_line`"),
            (usual().field("many", many), "992 fields"),
            (usual().field("n".repeat(122), 1), "name of 129 bytes"),
            (usual().field("deep", deep), "name of"),
            (usual().field("a.b", 1).field("a", twice), "`fields.a.b`"),
            (reserved, "_stream_id"),
            (nameless, "means something else"),
            (at(-8), "`retention`"),
            (at(3), "`future_retention`"),
        ] {
            let line = line(&message);
            assert!(!fits(&line, &bounds()));
            let why = look(&line, &bounds()).expect_err(words);
            assert!(why.contains(words), "{why}");
        }
        assert!(look(b"[1]", &bounds()).is_err() && look(b"", &bounds()).is_err());
    }

    /// Mostly what fits, and at its edges: a generator of anything would hardly ever meet one.
    fn values() -> impl Strategy<Value = Value> {
        let name = names();
        prop_oneof![
            8 => any::<i16>().prop_map(Value::from),
            4 => "[a-z_ ]{0,8}".prop_map(Value::from),
            1 => "[a\"\\\\{}]{0,130}".prop_map(Value::from),
            1 => any::<f64>().prop_map(Value::from),
            1 => Just(Value::Null),
            1 => proptest::collection::vec(any::<u8>().prop_map(Value::from), 0..3).prop_map(Value::List),
            1 => (name, any::<u8>()).prop_map(|pair| Value::Map([pair].into_iter().collect())),
        ]
    }

    fn names() -> impl Strategy<Value = String> {
        prop_oneof![
            8 => "[a-z.]{1,8}",
            3 => "[a]{118,131}",
            1 => "[ab\"\\\\]{100,131}",
            1 => prop_oneof![Just("_stream"), Just("_stream_id"), Just("_msg"), Just("_time"), Just(""), Just("payload")]
                .prop_map(str::to_owned),
        ]
    }

    proptest! {
        #![proptest_config(ProptestConfig { cases: 3000, ..ProptestConfig::default() })]
        #[test]
        fn what_fits_has_nothing_that_a_look_would_find(
            (kind, logger, text) in ("[a-z_]{1,5}", "[a-z.]{0,5}", "[a-z\\\\\"\n ]{1,200}"),
            payload in prop_oneof![4 => Just(None), 1 => values().prop_map(Some)],
            fields in proptest::collection::vec((names(), values()), 0..4),
            extra in proptest::collection::vec((names(), values()), 0..2),
            hours in prop_oneof![4 => Just(0), 1 => -24 * 9..24 * 3_i64],
        ) {
            let payload = payload.unwrap_or(Value::Str(text));
            let mut message = Message::new(kind).logger(logger).payload(payload);
            message.timestamp = Timestamp::from_nanos(Timestamp::now().nanos() + hours * 3_600_000_000_000 + 1_800_000_000_000);
            message.fields = fields.into_iter().collect();
            message.extra = extra.into_iter().collect();
            let line = line(&message);
            let bounds = bounds();
            // The same with a blank in front is of another form.
            for line in [line.clone(), [b" ", line.as_slice()].concat()] {
                if fits(&line, &bounds) {
                    // Two of one name are the exception: it takes a look at all names to see that.
                    match look(&line, &bounds) {
                        Ok(row) => prop_assert_eq!(row, Cow::Borrowed(line.as_slice())),
                        Err(why) => prop_assert!(why.starts_with("two of its fields"), "{}", why),
                    }
                }
            }
        }

        #[test]
        fn no_bytes_are_too_strange(bytes in proptest::collection::vec(any::<u8>(), 0..100)) {
            let _verdict = (fits(&bytes, &bounds()), look(&bytes, &bounds()));
        }

        #[test]
        fn broken_ends_are_no_trouble(cut in 0..300_usize, junk in any::<u8>()) {
            let mut line = line(&usual());
            line.truncate(cut);
            line.push(junk);
            let _verdict = (fits(&line, &bounds()), look(&line, &bounds()));
        }
    }
}
