//! How a message looks on a screen or in a pipe.

use metlog_message::wire::{self, Limits};
use metlog_message::{Message, Severity, plain};
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
                    // The severity is a word and a colour: not everybody sees the colour.
                    Some(message) => {
                        plain::line(out, &message, if colour { paint(message.severity) } else { ("", "") })
                    }
                    None => plain::visibly(out, &String::from_utf8_lossy(message)),
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

fn paint(severity: Severity) -> (&'static str, &'static str) {
    let colour = match severity.number() {
        0..=2 => "\x1b[1;31m",
        3 => "\x1b[31m",
        4 => "\x1b[33m",
        5 => "\x1b[36m",
        6 => "\x1b[32m",
        _ => "\x1b[2m",
    };
    (colour, "\x1b[0m")
}
