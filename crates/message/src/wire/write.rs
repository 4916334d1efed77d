//! Message to JSON text: strict, without blanks, one line.

use super::ENVELOPE;
use crate::message::ENV_VERSION;
use crate::swar::until_escape;
use crate::{Message, Value};

/// Writes a message, without a newline. Extra keys cannot pose as keys of the envelope: such are left out.
pub fn write(out: &mut Vec<u8>, message: &Message) {
    out.extend_from_slice(b"{\"type\":");
    write_str(out, &message.kind);
    out.extend_from_slice(b",\"timestamp\":\"");
    out.extend_from_slice(&message.timestamp.text());
    out.extend_from_slice(b"\",\"logger\":");
    write_str(out, &message.logger);
    out.extend_from_slice(b",\"severity\":");
    write_u64(out, message.severity.number().into());
    out.extend_from_slice(b",\"payload\":");
    write_value(out, &message.payload);
    out.extend_from_slice(b",\"fields\":");
    write_map(out, message.fields.iter());
    out.extend_from_slice(b",\"env_version\":");
    write_str(out, ENV_VERSION);
    if let Some(pid) = message.pid {
        out.extend_from_slice(b",\"metlog_pid\":");
        write_i64(out, pid);
    }
    if let Some(hostname) = &message.hostname {
        out.extend_from_slice(b",\"metlog_hostname\":");
        write_str(out, hostname);
    }
    for (name, value) in message.extra.iter().filter(|(name, _)| !ENVELOPE.contains(name)) {
        out.push(b',');
        write_str(out, name);
        out.push(b':');
        write_value(out, value);
    }
    if let Some(origin) = &message.origin {
        out.extend_from_slice(b",\"metlog_client\":");
        write_str(out, &origin.client);
        out.extend_from_slice(b",\"metlog_seq\":");
        write_u64(out, origin.seq);
    }
    out.push(b'}');
}

/// Writes a message in Metlog's indented form: four blanks per level, empty lists and objects on one line. Without a
/// newline at the end.
pub fn indented(out: &mut Vec<u8>, message: &Message) {
    let mut compact = Vec::with_capacity(512);
    write(&mut compact, message);
    let mut rest = compact.as_slice();
    let mut depth = 0usize;
    let line = |out: &mut Vec<u8>, depth: usize| {
        out.push(b'\n');
        out.extend(std::iter::repeat_n(b' ', 4 * depth));
    };
    while let [byte, after @ ..] = rest {
        rest = after;
        match (*byte, after) {
            (b'"', _) => {
                let end = text_end(after);
                out.push(b'"');
                out.extend_from_slice(after.get(..end).unwrap_or_default());
                rest = after.get(end..).unwrap_or_default();
            }
            (b'{' | b'[', [close @ (b'}' | b']'), more @ ..]) => {
                out.extend_from_slice(&[*byte, *close]);
                rest = more;
            }
            (b'{' | b'[', _) => {
                out.push(*byte);
                depth += 1;
                line(out, depth);
            }
            (b'}' | b']', _) => {
                depth = depth.saturating_sub(1);
                line(out, depth);
                out.push(*byte);
            }
            (b',', _) => {
                out.push(b',');
                line(out, depth);
            }
            (b':', _) => out.extend_from_slice(b": "),
            (other, _) => out.push(other),
        }
    }
}

/// How long a text is, its closing quote included; it begins after the opening one.
fn text_end(text: &[u8]) -> usize {
    let mut escaped = false;
    let end = text.iter().position(|byte| {
        let closes = *byte == b'"' && !escaped;
        escaped = *byte == b'\\' && !escaped;
        closes
    });
    end.map_or(text.len(), |end| end + 1)
}

/// Writes a value.
pub fn write_value(out: &mut Vec<u8>, value: &Value) {
    match value {
        Value::Null => out.extend_from_slice(b"null"),
        Value::Bool(true) => out.extend_from_slice(b"true"),
        Value::Bool(false) => out.extend_from_slice(b"false"),
        Value::Int(number) => write_i64(out, *number),
        Value::UInt(number) => write_u64(out, *number),
        Value::Big(digits) if is_integer(digits) => out.extend_from_slice(digits.as_bytes()),
        Value::Big(other) => write_str(out, other),
        Value::Float(number) => write_f64(out, *number),
        Value::Str(text) => write_str(out, text),
        Value::List(items) => {
            out.push(b'[');
            for (at, item) in items.iter().enumerate() {
                if at > 0 {
                    out.push(b',');
                }
                write_value(out, item);
            }
            out.push(b']');
        }
        Value::Map(map) => write_map(out, map.iter()),
    }
}

/// Whether JSON takes it for an integer: anyone may have made it.
fn is_integer(digits: &str) -> bool {
    match digits.strip_prefix('-').unwrap_or(digits).as_bytes() {
        [b'0'] => true,
        [b'1'..=b'9', rest @ ..] => rest.iter().all(u8::is_ascii_digit),
        _ => false,
    }
}

fn write_map<'a>(out: &mut Vec<u8>, entries: impl Iterator<Item = (&'a str, &'a Value)>) {
    out.push(b'{');
    for (at, (name, value)) in entries.enumerate() {
        if at > 0 {
            out.push(b',');
        }
        write_str(out, name);
        out.push(b':');
        write_value(out, value);
    }
    out.push(b'}');
}

/// Writes a whole number.
#[inline]
pub fn write_i64(out: &mut Vec<u8>, number: i64) {
    out.extend_from_slice(itoa::Buffer::new().format(number).as_bytes());
}

/// Writes a whole number.
#[inline]
pub fn write_u64(out: &mut Vec<u8>, number: u64) {
    out.extend_from_slice(itoa::Buffer::new().format(number).as_bytes());
}

/// Writes a number in its shortest form; what JSON has no number for becomes text.
#[inline]
pub fn write_f64(out: &mut Vec<u8>, number: f64) {
    if number.is_finite() {
        out.extend_from_slice(zmij::Buffer::new().format_finite(number).as_bytes());
    } else {
        write_str(out, float_word(number));
    }
}

/// What stands for a number that JSON does not have.
pub fn float_word(number: f64) -> &'static str {
    if number.is_nan() {
        "NaN"
    } else if number > 0.0 {
        "Infinity"
    } else {
        "-Infinity"
    }
}

/// Writes text in quotes.
#[inline]
pub fn write_str(out: &mut Vec<u8>, text: &str) {
    out.push(b'"');
    write_str_inside(out, text);
    out.push(b'"');
}

/// Writes text in quotes that may not be UTF-8; what is not becomes the replacement character.
pub fn write_str_lossy(out: &mut Vec<u8>, text: &[u8]) {
    write_str(out, &String::from_utf8_lossy(text));
}

/// Writes text as it stands between quotes.
#[inline]
pub fn write_str_inside(out: &mut Vec<u8>, text: &str) {
    let mut rest = text.as_bytes();
    loop {
        let (plain, special) = rest.split_at(until_escape(rest).min(rest.len()));
        out.extend_from_slice(plain);
        match special {
            [] => return,
            [first, ..] => rest = escape(out, *first, special),
        }
    }
}

/// Writes what cannot stand as it is, and returns what comes after it.
#[cold]
fn escape<'a>(out: &mut Vec<u8>, first: u8, special: &'a [u8]) -> &'a [u8] {
    let long = |out: &mut Vec<u8>, code: u16| {
        const HEX: [u8; 16] = *b"0123456789abcdef";
        out.extend_from_slice(b"\\u");
        out.extend([12, 8, 4, 0].map(|shift| HEX[usize::from(code >> shift) & 15]));
    };
    let mut width = 1;
    match first {
        b'"' => out.extend_from_slice(b"\\\""),
        b'\\' => out.extend_from_slice(b"\\\\"),
        b'\n' => out.extend_from_slice(b"\\n"),
        b'\r' => out.extend_from_slice(b"\\r"),
        b'\t' => out.extend_from_slice(b"\\t"),
        0xe2 => match special {
            // The separators U+2028 and U+2029, at which some readers break a line.
            [_, 0x80, last @ (0xa8 | 0xa9), ..] => {
                long(out, 0x2028 + u16::from(last - 0xa8));
                width = 3;
            }
            _ => out.push(first),
        },
        control => long(out, control.into()),
    }
    special.get(width..).unwrap_or_default()
}
