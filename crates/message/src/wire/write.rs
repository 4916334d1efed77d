//! Message to JSON text: strict, without blanks, one line.

use crate::message::ENV_VERSION;
use crate::time::TimestampWriter;
use crate::{Message, Value};

/// Writes a message, without a newline.
pub fn write(out: &mut Vec<u8>, message: &Message) {
    out.extend_from_slice(b"{\"type\":");
    write_str(out, &message.kind);
    out.extend_from_slice(b",\"timestamp\":\"");
    TimestampWriter::default().write(message.timestamp, out);
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
    for (name, value) in message.extra.iter() {
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

/// Metlog's indented form.
pub fn indented(out: &mut Vec<u8>, message: &Message) {
    write(out, message);
    out.push(b'\n');
}

/// Writes a value.
pub fn write_value(out: &mut Vec<u8>, value: &Value) {
    match value {
        Value::Null => out.extend_from_slice(b"null"),
        Value::Bool(true) => out.extend_from_slice(b"true"),
        Value::Bool(false) => out.extend_from_slice(b"false"),
        Value::Int(number) => write_i64(out, *number),
        Value::UInt(number) => write_u64(out, *number),
        Value::Big(digits) => out.extend_from_slice(digits.as_bytes()),
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
pub fn write_str_inside(out: &mut Vec<u8>, text: &str) {
    for character in text.chars() {
        match character {
            '"' => out.extend_from_slice(b"\\\""),
            '\\' => out.extend_from_slice(b"\\\\"),
            '\n' => out.extend_from_slice(b"\\n"),
            '\r' => out.extend_from_slice(b"\\r"),
            '\t' => out.extend_from_slice(b"\\t"),
            '\u{0}'..='\u{1f}' | '\u{7f}' | '\u{2028}' | '\u{2029}' => {
                out.extend_from_slice(format!("\\u{:04x}", u32::from(character)).as_bytes());
            }
            other => out.extend_from_slice(other.encode_utf8(&mut [0; 4]).as_bytes()),
        }
    }
}
