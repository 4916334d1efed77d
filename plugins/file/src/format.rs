//! How a message stands in a file.

use metlog_message::Message;
use metlog_message::wire::{self, Limits};
use serde::Deserialize;

/// How a message looks in the file.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Format {
    /// One line of JSON.
    #[default]
    #[serde(alias = "json.dumps", alias = "simplejson.dumps")]
    Json,
    /// JSON over many lines, four blanks per level.
    Indented,
    /// One line for people: time, severity, logger, type, payload, fields.
    #[serde(alias = "pretty")]
    Text,
}

impl Format {
    /// Appends a message as it stands in the file, newline included.
    pub(crate) fn write(self, message: &[u8], out: &mut Vec<u8>) {
        let limits = Limits::NONE;
        let read = || wire::read(message, &limits).map(|read| read.message);
        match self {
            Format::Json => out.extend_from_slice(message),
            // Whatever cannot be read is one line and belongs in the file.
            Format::Indented => match read() {
                Ok(message) => wire::indented(out, &message),
                Err(_) => out.extend_from_slice(message),
            },
            Format::Text => match read() {
                Ok(message) => text(out, &message),
                Err(_) => visibly(out, &String::from_utf8_lossy(message)),
            },
        }
        out.push(b'\n');
    }
}

fn text(out: &mut Vec<u8>, message: &Message) {
    out.extend_from_slice(format!("{} {:<13} ", message.timestamp, message.severity.name()).as_bytes());
    if !message.logger.is_empty() {
        visibly(out, &message.logger);
        out.extend_from_slice(b": ");
    }
    if message.kind != "oldstyle" {
        visibly(out, &format!("[{}] ", message.kind));
    }
    visibly(out, &message.payload.to_text());
    for (name, value) in message.fields.iter() {
        visibly(out, &format!(" {name}="));
        let plain = |c: char| c.is_alphanumeric() || "._-/:@".contains(c);
        match value.as_str() {
            Some(word) if !word.is_empty() && word.chars().all(plain) => visibly(out, word),
            _ => {
                let mut json = Vec::new();
                wire::write_value(&mut json, value);
                visibly(out, &String::from_utf8_lossy(&json));
            }
        }
    }
}

/// Text with its control characters spelled out: no content begins a line of its own, or moves the cursor of whoever
/// looks at the file.
fn visibly(out: &mut Vec<u8>, text: &str) {
    for character in text.chars() {
        let turns = matches!(character, '\u{2028}' | '\u{2029}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}');
        if character.is_control() || turns {
            out.extend(character.escape_default().map(|escape| escape as u8));
        } else {
            out.extend_from_slice(character.encode_utf8(&mut [0; 4]).as_bytes());
        }
    }
}
