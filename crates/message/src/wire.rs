//! Message to JSON text and back; the only place that knows JSON. Strict out, lenient in.

mod json;
mod read;
mod split;
mod stream;
pub mod strict;
mod write;

pub(crate) use json::{in_range, unescaped};
pub use read::{Read, read, read_value, read_value_within};
pub use split::{Piece, Splitter, packet};
use std::fmt;
pub use stream::{Cut, Stream};
pub use write::{
    float_word, indented, write, write_f64, write_i64, write_str, write_str_inside, write_str_lossy, write_u64,
    write_value,
};

/// The keys of the envelope; any other is its sender's own.
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
    /// How deep lists and objects may be inside each other. Above 128 it counts as 128: the readers call themselves
    /// once per level, and no stack is endless.
    pub depth: usize,
    /// Values in it, all depths together.
    pub values: usize,
    /// Names in one object.
    pub names: usize,
    /// Bytes of a name, as it is written.
    pub name: usize,
}

impl Limits {
    /// None but the depth, for what has been let in already.
    pub const NONE: Limits =
        Limits { bytes: usize::MAX, depth: 128, values: usize::MAX, names: usize::MAX, name: usize::MAX };

    /// The depth that is safe on a thread with little stack.
    pub(crate) fn safe_depth(&self) -> usize {
        self.depth.min(128)
    }
}

impl Default for Limits {
    fn default() -> Self {
        Limits { bytes: 1024 * 1024, depth: 32, values: 65_536, names: 256, name: 128 }
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
    /// The key came twice; the last one counts. Said of keys of the envelope only: elsewhere the last counts in silence.
    Duplicate(&'static str),
    /// `NaN`, `Infinity` or `-Infinity`, which JSON does not have.
    NoJsonNumber {
        /// The byte at which, the first time.
        at: usize,
    },
    /// A number beyond what 64 bits of floating point hold became an infinity.
    OutOfRange {
        /// The byte at which, the first time.
        at: usize,
    },
    /// Half of a surrogate pair became the replacement character.
    LoneSurrogate {
        /// The byte at which, the first time.
        at: usize,
    },
    /// A control character stood in a text without being escaped.
    RawControl {
        /// The byte at which, the first time.
        at: usize,
    },
    /// Bytes that are not UTF-8 became replacement characters.
    NotUtf8 {
        /// The byte at which the first such text begins.
        at: usize,
    },
}

impl fmt::Display for Note {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Note::Missing(key) => write!(f, "`{key}` is missing; its default stands in"),
            Note::Renamed { key, from } => write!(f, "`{from}` was taken for `{key}`"),
            Note::Coerced(key) => write!(f, "`{key}` was converted"),
            Note::Unreadable(key) => write!(f, "`{key}` cannot be read; its default stands in"),
            Note::Duplicate(key) => write!(f, "`{key}` came twice; the last one counts"),
            Note::NoJsonNumber { at } => write!(f, "byte {at}: NaN or an infinity is not JSON"),
            Note::OutOfRange { at } => write!(f, "byte {at}: the number is too large; an infinity stands in"),
            Note::LoneSurrogate { at } => write!(f, "byte {at}: half of a surrogate pair was replaced"),
            Note::RawControl { at } => write!(f, "byte {at}: a control character was not escaped"),
            Note::NotUtf8 { at } => write!(f, "byte {at}: what is not UTF-8 was replaced"),
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
        /// How deep they may be.
        limit: usize,
    },
    /// More values than the limit.
    TooManyValues {
        /// How many there may be.
        limit: usize,
    },
    /// More names in one object than the limit.
    TooManyNames {
        /// The byte at which.
        at: usize,
        /// How many there may be.
        limit: usize,
    },
    /// A name longer than the limit.
    LongName {
        /// The byte at which it begins.
        at: usize,
        /// How many bytes it may have.
        limit: usize,
    },
    /// Not JSON.
    Syntax {
        /// The byte at which.
        at: usize,
        /// What would have been right there.
        expected: &'static str,
    },
    /// JSON, but not an object.
    NotAnObject,
    /// Without a `type` nobody can say what it is: missing, null, a list or an object. The original sent such messages
    /// when told to. An empty text is a type like any other.
    NoType,
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Refusal::Empty => f.write_str("empty"),
            Refusal::TooLarge { bytes, limit } => write!(f, "{bytes} bytes, at most {limit} are allowed"),
            Refusal::TooDeep { at, limit } => {
                write!(f, "byte {at}: nested too deep, at most {limit} levels are allowed")
            }
            Refusal::TooManyValues { limit } => write!(f, "too many values, at most {limit} are allowed"),
            Refusal::TooManyNames { at, limit } => {
                write!(f, "byte {at}: too many names in one object, at most {limit} are allowed")
            }
            Refusal::LongName { at, limit } => write!(f, "byte {at}: a name is longer than {limit} bytes"),
            Refusal::Syntax { at, expected } => write!(f, "byte {at}: expected {expected}"),
            Refusal::NotAnObject => f.write_str("expected an object with a `type`"),
            Refusal::NoType => f.write_str("`type` is missing, or is not a text"),
        }
    }
}

impl std::error::Error for Refusal {}
