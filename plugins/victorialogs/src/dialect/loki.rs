//! Loki's push: streams of labels with entries of time, text and metadata, as JSON or protobuf.

use super::desk::{Desk, take_text};
use super::moment::{Moment, nanoseconds};
use super::parts::Parts;
use super::proto::{Field, Proto};
use metlog_message::{Fields, Timestamp, Value, wire};
use metlog_pipeline::Reason;

/// Labels of a stream, or metadata of an entry. A message has no more fields either.
const MOST: usize = 256;

/// A body of JSON: `{"streams":[{"stream":{…},"values":[["time","text",{…}],…]},…]}`.
pub fn json(body: &[u8], desk: &mut Desk<'_>) {
    let mut any = false;
    for part in Parts::members(body) {
        match part {
            Ok((b"\"streams\"", streams)) => {
                any = true;
                for stream in Parts::elements(streams) {
                    match stream {
                        Ok((_, stream)) => json_stream(stream, desk),
                        Err(broken) => {
                            desk.refuse(broken, Reason::Malformed, "expected a stream, or the end of the list")
                        }
                    }
                }
            }
            Ok(_) => {}
            Err(broken) => return desk.refuse(broken, Reason::Malformed, "expected an object with `streams`"),
        }
    }
    if !any && !body.is_empty() {
        desk.refuse(body, Reason::Malformed, "expected an object with `streams`");
    }
}

fn json_stream(stream: &[u8], desk: &mut Desk<'_>) {
    let (mut labels, mut values, mut rest) = (None, None, None);
    for part in Parts::members(stream) {
        match part {
            Ok((b"\"stream\"", part)) => labels = Some(part),
            Ok((b"\"values\"", part)) => values = Some(part),
            Ok(_) => {}
            Err(broken) => rest = Some(broken),
        }
    }
    let Some(values) = values else {
        return desk.refuse(stream, Reason::Malformed, "the stream has no `values`");
    };
    if let Some(broken) = rest {
        desk.refuse(broken, Reason::Malformed, "expected a member of a stream");
    }
    let labels = match labels.map(wire::read_value) {
        None => Fields::new(),
        Some(Ok(Value::Map(labels))) => labels,
        Some(_) => return desk.refuse(stream, Reason::Malformed, "the labels in `stream` are no object"),
    };
    for entry in Parts::elements(values) {
        match entry {
            Ok((_, entry)) => json_entry(entry, &labels, desk),
            Err(broken) => desk.refuse(broken, Reason::Malformed, "expected an entry, or the end of `values`"),
        }
    }
}

fn json_entry(part: &[u8], labels: &Fields, desk: &mut Desk<'_>) {
    let Some(value) = desk.value(part) else { return };
    let Value::List(entry) = value else {
        return desk.refuse(part, Reason::Malformed, "an entry is a list of time, text and metadata");
    };
    let mut entry = entry.into_iter();
    match (entry.next(), entry.next(), entry.next(), entry.next()) {
        (Some(time), Some(text), metadata @ (None | Some(Value::Map(_) | Value::Null)), None) => {
            let mut row = labels.clone();
            if let Some(Value::Map(metadata)) = metadata {
                metadata.into_iter().for_each(|(name, value)| row.set(name, value));
            }
            give(row, text, nanoseconds(&time), part, desk);
        }
        _ => desk.refuse(part, Reason::Malformed, "an entry is a list of time, text and metadata"),
    }
}

/// A body of protobuf: `PushRequest`.
pub fn protobuf(body: &[u8], desk: &mut Desk<'_>) {
    let mut any = body.is_empty();
    for field in Proto(body) {
        any |= !matches!(field, Ok((1, Field::Number(_)) | (2.., _)));
        match field {
            Ok((1, Field::Bytes(stream))) => proto_stream(stream, desk),
            Ok(_) => {}
            Err(broken) => desk.refuse(broken, Reason::Truncated, "the protobuf breaks off, or is none"),
        }
    }
    if !any {
        desk.refuse(body, Reason::Malformed, "the protobuf has no streams");
    }
}

fn proto_stream(stream: &[u8], desk: &mut Desk<'_>) {
    // What cannot be read is met again below.
    let labels = Proto(stream).filter_map(|field| match field {
        Ok((1, Field::Bytes(labels))) => Some(labels),
        _ => None,
    });
    let labels = of_selector(&String::from_utf8_lossy(labels.last().unwrap_or_default()));
    for field in Proto(stream) {
        match field {
            Ok((2, Field::Bytes(entry))) => proto_entry(entry, &labels, desk),
            Ok(_) => {}
            Err(broken) => desk.refuse(broken, Reason::Truncated, "the stream breaks off"),
        }
    }
}

fn proto_entry(part: &[u8], labels: &Fields, desk: &mut Desk<'_>) {
    let (mut row, mut text, mut time, mut pairs) = (labels.clone(), "".into(), Moment::Now, 0);
    for field in Proto(part) {
        match field {
            Ok((1, Field::Bytes(moment))) => time = proto_time(moment),
            Ok((2, Field::Bytes(line))) => text = String::from_utf8_lossy(line),
            Ok((3, Field::Bytes(pair))) => {
                pairs += 1;
                if pairs > MOST {
                    return desk.refuse(part, Reason::TooLarge, "an entry has at most 256 pairs of metadata here");
                }
                let (mut name, mut value) = ("".into(), "".into());
                for half in Proto(pair) {
                    match half {
                        Ok((1, half)) => name = String::from_utf8_lossy(half.bytes()),
                        Ok((2, half)) => value = String::from_utf8_lossy(half.bytes()),
                        Ok(_) => {}
                        Err(_) => return desk.refuse(part, Reason::Truncated, "the metadata breaks off"),
                    }
                }
                row.set(name, value);
            }
            Ok(_) => {}
            Err(_) => return desk.refuse(part, Reason::Truncated, "the entry breaks off"),
        }
    }
    give(row, Value::Str(text.into_owned()), time, part, desk);
}

fn proto_time(moment: &[u8]) -> Moment {
    let (mut seconds, mut nanos) = (0_i64, 0_i64);
    for field in Proto(moment) {
        match field {
            // Numbers below zero come as those of 64 bits.
            Ok((1, Field::Number(number))) => seconds = number.cast_signed(),
            Ok((2, Field::Number(number))) => nanos = number.cast_signed(),
            Ok(_) => {}
            Err(_) => return Moment::Unreadable,
        }
    }
    if (seconds, nanos) == (0, 0) {
        return Moment::Now;
    }
    // The two may cancel each other's excess.
    let nanos = i128::from(seconds) * 1_000_000_000 + i128::from(nanos);
    i64::try_from(nanos).ok().map(Timestamp::from_nanos).into()
}

/// An entry to the desk; what a text of JSON says becomes fields.
fn give(mut row: Fields, mut text: Value, time: Moment, part: &[u8], desk: &mut Desk<'_>) {
    let inside = text.as_str().filter(|line| !desk.arguments.plain && line.starts_with('{') && line.ends_with('}'));
    if let Some(Ok(Value::Map(mut inside))) = inside.map(|line| wire::read_value(line.as_bytes())) {
        let said = take_text(&mut inside, &desk.arguments.text);
        // A label stands over a field of the text; that is then kept in the text, which stays whole.
        let mut whole = said.is_none();
        for (name, value) in inside {
            match row.get(&name) {
                None => row.push(name, value),
                Some(label) => whole |= *label != value,
            }
        }
        if let (false, Some((_, said))) = (whole, said) {
            text = said;
        }
    }
    desk.entry(row, text, time, part);
}

/// `{name="value", …}`. What is not of this form stays whole, as the field `labels`.
fn of_selector(text: &str) -> Fields {
    let whole = || [("labels", text)].into_iter().collect();
    if text.trim().is_empty() { Fields::new() } else { selector(text).unwrap_or_else(whole) }
}

fn selector(text: &str) -> Option<Fields> {
    let mut labels = Fields::new();
    let mut rest = text.trim().strip_prefix('{')?.trim_start();
    loop {
        if let Some(after) = rest.strip_prefix('}') {
            return after.is_empty().then_some(labels);
        }
        let (name, after) = rest.split_once('=')?;
        let (value, after) = quoted(after.trim_start())?;
        if labels.len() == MOST || name.contains(['"', '{', '}', ',']) {
            return None;
        }
        labels.set(name.trim(), value);
        rest = after.trim_start();
        rest = match rest.strip_prefix(',') {
            Some(after) => after.trim_start(),
            None if rest.starts_with('}') => rest,
            None => return None,
        };
    }
}

/// A text as Go writes it between quotes, or as it stands between backticks; and what follows.
fn quoted(text: &str) -> Option<(String, &str)> {
    if let Some(raw) = text.strip_prefix('`') {
        return raw.split_once('`').map(|(value, after)| (value.to_owned(), after));
    }
    let (mut made, mut rest) = (Vec::new(), text.strip_prefix('"')?);
    loop {
        let at = rest.find(['"', '\\'])?;
        made.extend_from_slice(rest.get(..at)?.as_bytes());
        let sign = rest.get(at..)?;
        if let Some(after) = sign.strip_prefix('"') {
            return Some((String::from_utf8_lossy(&made).into_owned(), after));
        }
        let mut letters = sign.get(1..)?.chars();
        let letter = letters.next()?;
        let digits = |count: usize, radix| {
            let digits = sign.get(2..2 + count)?;
            Some((u32::from_str_radix(digits, radix).ok()?, sign.get(2 + count..)?))
        };
        let sign_of = |code: u32| char::from_u32(code).unwrap_or(char::REPLACEMENT_CHARACTER);
        rest = letters.as_str();
        match letter {
            'n' => made.push(b'\n'),
            't' => made.push(b'\t'),
            'r' => made.push(b'\r'),
            'a' => made.push(7),
            'b' => made.push(8),
            'f' => made.push(12),
            'v' => made.push(11),
            'x' => {
                let (byte, after) = digits(2, 16)?;
                made.push(u8::try_from(byte).ok()?);
                rest = after;
            }
            'u' | 'U' => {
                let (code, after) = digits(if letter == 'u' { 4 } else { 8 }, 16)?;
                made.extend_from_slice(sign_of(code).encode_utf8(&mut [0; 4]).as_bytes());
                rest = after;
            }
            '0'..='7' => {
                let code = u32::from_str_radix(sign.get(1..4)?, 8).ok()?;
                made.push(u8::try_from(code).ok()?);
                rest = sign.get(4..)?;
            }
            '"' | '\\' | '\'' => made.push(letter as u8),
            _ => return None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn selectors() {
        for (text, expected) in [
            ("", &[][..]),
            ("{}", &[]),
            (r#"{a="b"}"#, &[("a", "b")]),
            (
                r#" { a = "b" , c_d="x\"}\\,\n\u00e4\xc3\xa4\101\U0001f980",} "#,
                &[("a", "b"), ("c_d", "x\"}\\,\n\u{e4}\u{e4}A\u{1f980}")],
            ),
            ("{a=`\\b\"`}", &[("a", "\\b\"")]),
            (r#"{a="1",a="2"}"#, &[("a", "2")]),
            // No selectors.
            ("a", &[("labels", "a")]),
            (r#"{a="b""#, &[("labels", r#"{a="b""#)]),
            (r#"{a="b} "#, &[("labels", r#"{a="b} "#)]),
            (r#"{a="\q"}"#, &[("labels", r#"{a="\q"}"#)]),
            (r#"{a="\xf"}"#, &[("labels", r#"{a="\xf"}"#)]),
            (r#"{a="\u12"}"#, &[("labels", r#"{a="\u12"}"#)]),
            ("{a=\"\\x\u{e4}\"}", &[("labels", "{a=\"\\x\u{e4}\"}")]),
            (r#"{a="b" c="d"}"#, &[("labels", r#"{a="b" c="d"}"#)]),
            (r#"{a="b"} x"#, &[("labels", r#"{a="b"} x"#)]),
        ] {
            let expected: Fields = expected.iter().copied().collect();
            assert_eq!(of_selector(text), expected, "{text}");
        }
        let many: String = (0..257).map(|number| format!("l{number}=\"\",")).collect();
        assert_eq!(of_selector(&format!("{{{many}}}")).len(), 1);
    }
}
