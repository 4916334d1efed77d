//! Message to JSON text and back; the only place that knows JSON. Strict out, lenient in.

mod json;
mod read;
mod split;
mod write;

pub use read::{Read, read, read_value};
pub use split::{Piece, Splitter};
use std::fmt;
pub use write::{
    float_word, indented, write, write_f64, write_i64, write_str, write_str_inside, write_str_lossy, write_u64,
    write_value,
};

/// The keys a message may have beside those of its sender's own.
const ENVELOPE: [&str; 11] = [
    "type",
    "timestamp",
    "logger",
    "severity",
    "payload",
    "fields",
    "env_version",
    "metlog_pid",
    "metlog_hostname",
    "metlog_client",
    "metlog_seq",
];

/// What a message from outside may be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// Bytes of its text.
    pub bytes: usize,
    /// How deep lists and objects may be inside each other.
    pub depth: usize,
    /// Values in it, all depths together.
    pub values: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Limits { bytes: 1024 * 1024, depth: 32, values: 65_536 }
    }
}

/// Something in a message that was not as it should be, and was understood all the same.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Note {
    /// The key was missing or null; its default stands in.
    Missing(&'static str),
    /// The key had another name once.
    Renamed {
        /// What it is called.
        key: &'static str,
        /// What the message called it.
        from: &'static str,
    },
    /// The value was of another kind, or beyond its range, and was converted.
    Coerced(&'static str),
    /// The value could not be made sense of; the default stands in.
    Unreadable(&'static str),
    /// A key of the envelope came twice; the last one counts.
    Duplicate,
    /// `NaN`, `Infinity` or `-Infinity`, which JSON does not have.
    NoJsonNumber,
    /// Half of a surrogate pair became the replacement character.
    LoneSurrogate,
    /// A control character stood in a text without being escaped.
    RawControl,
    /// Bytes that are not UTF-8 became replacement characters.
    NotUtf8,
}

impl fmt::Display for Note {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Note::Missing(key) => write!(f, "`{key}` is missing; its default stands in"),
            Note::Renamed { key, from } => write!(f, "`{from}` was taken for `{key}`"),
            Note::Coerced(key) => write!(f, "`{key}` was converted"),
            Note::Unreadable(key) => write!(f, "`{key}` cannot be read; its default stands in"),
            Note::Duplicate => f.write_str("a key came twice; the last one counts"),
            Note::NoJsonNumber => f.write_str("NaN or an infinity is not JSON"),
            Note::LoneSurrogate => f.write_str("half of a surrogate pair was replaced"),
            Note::RawControl => f.write_str("a control character was not escaped"),
            Note::NotUtf8 => f.write_str("bytes that are not UTF-8 were replaced"),
        }
    }
}

/// Why bytes are no message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Refusal {
    /// Nothing but blanks.
    Empty,
    /// More bytes than the limit.
    TooLarge {
        /// How many.
        bytes: usize,
        /// How many there may be.
        limit: usize,
    },
    /// Lists and objects deeper inside each other than the limit.
    TooDeep {
        /// The byte at which.
        at: usize,
    },
    /// More values than the limit.
    TooManyValues,
    /// Not JSON.
    Syntax {
        /// The byte at which.
        at: usize,
        /// What would have been right there.
        expected: &'static str,
    },
    /// JSON, but not an object.
    NotAnObject,
    /// Without a `type` nobody can say what it is.
    NoType,
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Refusal::Empty => f.write_str("empty"),
            Refusal::TooLarge { bytes, limit } => write!(f, "{bytes} bytes, at most {limit} are allowed"),
            Refusal::TooDeep { at } => write!(f, "byte {at}: nested too deep"),
            Refusal::TooManyValues => f.write_str("too many values"),
            Refusal::Syntax { at, expected } => write!(f, "byte {at}: expected {expected}"),
            Refusal::NotAnObject => f.write_str("expected an object with a `type`"),
            Refusal::NoType => f.write_str("`type` is missing, or is not a text"),
        }
    }
}

impl std::error::Error for Refusal {}
