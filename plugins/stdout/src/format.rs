//! How a message looks on a screen or in a pipe.

use metlog_message::wire::{self, Limits};
use metlog_message::{Message, Severity};
use serde::Deserialize;
use std::io::IsTerminal;

/// A form to write messages in.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Format {
    /// As it is sent everywhere else: one line of JSON.
    #[default]
    #[serde(alias = "json.dumps", alias = "simplejson.dumps")]
    Json,
    /// Metlog's own: JSON over many lines, four blanks per level.
    Indented,
    /// For people: time, severity, logger, payload, fields on one line; colours on a terminal unless `NO_COLOR` is set.
    Text,
}

/// What turns a message's JSON into what is written, newline included.
pub type Formatter = Box<dyn FnMut(&[u8], &mut Vec<u8>) + Send>;

impl Format {
    /// The formatter of this form.
    pub fn formatter(self, colour: bool) -> Formatter {
        match self {
            Format::Json => Box::new(|message, out| {
                out.extend_from_slice(message);
                out.push(b'\n');
            }),
            Format::Indented => Box::new(|message, out| {
                match decode(message) {
                    Some(message) => wire::indented(out, &message),
                    None => out.extend_from_slice(message),
                }
                out.push(b'\n');
            }),
            Format::Text => Box::new(move |message, out| {
                match decode(message) {
                    Some(message) => text(out, &message, colour),
                    None => escaped(out, &String::from_utf8_lossy(message)),
                }
                out.push(b'\n');
            }),
        }
    }
}

/// Whether people who look at this stream want colours.
pub(crate) fn colours(stream: &impl IsTerminal) -> bool {
    let refused = std::env::var_os("NO_COLOR").is_some_and(|value| !value.is_empty());
    let unable = std::env::var_os("TERM").is_some_and(|terminal| terminal == "dumb");
    !refused && !unable && stream.is_terminal()
}

/// None for what is nested too deep to be read; it is written as it is, one line in any case.
fn decode(message: &[u8]) -> Option<Message> {
    let limits = Limits::NONE;
    Some(wire::read(message, &limits).ok()?.message)
}

fn text(out: &mut Vec<u8>, message: &Message, colour: bool) {
    let (paint, plain) = if colour { (paint(message.severity), "\x1b[0m") } else { ("", "") };
    let word = message.severity.name();
    let time = message.timestamp.to_string();
    // The severity is a word and a colour: not everybody sees the colour.
    out.extend_from_slice(format!("{time} {paint}{word:<13}{plain} ").as_bytes());
    if !message.logger.is_empty() {
        escaped(out, &message.logger);
        out.extend_from_slice(b": ");
    }
    if message.kind != "oldstyle" {
        out.push(b'[');
        escaped(out, &message.kind);
        out.extend_from_slice(b"] ");
    }
    escaped(out, &message.payload.to_text());
    for (name, value) in message.fields.iter() {
        out.push(b' ');
        escaped(out, name);
        out.push(b'=');
        match value.as_str() {
            Some(text) if !text.is_empty() && text.chars().all(|c| c.is_alphanumeric() || "._-/:@".contains(c)) => {
                escaped(out, text)
            }
            _ => {
                let mut json = Vec::new();
                wire::write_value(&mut json, value);
                // JSON lets pass what a terminal obeys: the control characters from U+007F to U+009F.
                escaped(out, &String::from_utf8_lossy(&json));
            }
        }
    }
}

/// Text without its control characters, so that no content moves the cursor, colours the screen or begins a line.
fn escaped(out: &mut Vec<u8>, text: &str) {
    for character in text.chars() {
        if character.is_control()
            || matches!(character, '\u{2028}' | '\u{2029}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
        {
            out.extend(character.escape_default().map(|escape| escape as u8));
        } else {
            out.extend_from_slice(character.encode_utf8(&mut [0; 4]).as_bytes());
        }
    }
}

fn paint(severity: Severity) -> &'static str {
    match severity.number() {
        0..=2 => "\x1b[1;31m",
        3 => "\x1b[31m",
        4 => "\x1b[33m",
        5 => "\x1b[36m",
        6 => "\x1b[32m",
        _ => "\x1b[2m",
    }
}
