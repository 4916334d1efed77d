//! How a message stands in a file.

use metlog_message::wire::{self, Limits};
use metlog_message::{Lines, plain};
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
    fn write(self, message: &[u8], out: &mut Vec<u8>) {
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
                Ok(message) => plain::line(out, &message, ("", "")),
                Err(_) => plain::visibly(out, &String::from_utf8_lossy(message)),
            },
        }
        out.push(b'\n');
    }
}

/// Messages as they stand in a file. Its memory is kept from one batch to the next.
#[derive(Default)]
pub(crate) struct Sheet {
    text: Vec<u8>,
    ends: Vec<usize>,
}

impl Sheet {
    /// Writes all of a batch: the text, and where each message ends in it; no ends if that is where each line ends.
    pub fn whole<'a>(&'a mut self, format: Format, lines: &'a Lines) -> (&'a [u8], &'a [usize]) {
        if format == Format::Json { (lines.bytes(), &[]) } else { self.some(format, lines.iter()) }
    }

    /// The same of some messages.
    pub fn some<'a>(&mut self, format: Format, lines: impl Iterator<Item = &'a [u8]>) -> (&[u8], &[usize]) {
        self.text.clear();
        self.ends.clear();
        for line in lines {
            format.write(line, &mut self.text);
            self.ends.push(self.text.len());
        }
        (&self.text, &self.ends)
    }
}
