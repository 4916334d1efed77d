//! What a user chooses, and what goes wrong.

use std::fmt;
use std::io;
use std::time::Duration;

/// How a spool behaves. See each field of [`Options::default`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Options {
    /// A file of the journal ends at about this size; 64 MiB. What is delivered goes away a file at a time.
    pub segment_bytes: u64,
    /// The most disk the spool takes; 10 GiB. Then it is full.
    pub max_bytes: u64,
    /// The least it leaves free on its disk, for others and for its own cursors; 64 MiB.
    pub free_floor: u64,
    /// Bytes kept in memory for readers that keep up; 8 MiB. What is not on disk yet comes on top.
    pub window_bytes: usize,
    /// How long messages stay when everyone has them, to be delivered again; 0. They go earlier rather than be in the way.
    pub keep: Duration,
    /// When messages are on disk.
    pub sync: Sync,
    /// The first id of a spool that begins; 1. A number that grows with the time keeps ids from coming back when
    /// somebody deletes a spool and starts another, for whoever knows messages by their ids.
    pub first_id: u64,
    /// Files with ids from here on stay until [`crate::Spool::hold`] says otherwise; `u64::MAX`: none do.
    pub hold: u64,
}

impl Default for Options {
    fn default() -> Self {
        Options {
            segment_bytes: 64 << 20,
            max_bytes: 10 << 30,
            free_floor: 64 << 20,
            window_bytes: 8 << 20,
            keep: Duration::ZERO,
            sync: Sync::Ack,
            first_id: 1,
            hold: u64::MAX,
        }
    }
}

/// When messages are brought from the operating system to the disk.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Sync {
    /// Whenever somebody waits for it, many together; without that within a second. A power cut loses nothing acknowledged.
    Ack,
    /// So often. A power cut loses as much.
    Every(Duration),
    /// When the operating system likes. The end of our process loses nothing, a power cut may lose half a minute.
    Never,
}

/// Why a spool cannot be opened. Damage is no reason.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum OpenError {
    /// Another process has it.
    Taken {
        /// The directory.
        path: String,
        /// Who, if it says so.
        pid: Option<u32>,
    },
    /// Others may write to the directory.
    Exposed {
        /// The directory.
        path: String,
        /// Its permissions.
        mode: u32,
    },
    /// It cannot be read or written.
    Io {
        /// What was done, and what the system said.
        why: String,
    },
}

impl OpenError {
    pub(crate) fn io(what: &str, error: &io::Error) -> Self {
        OpenError::Io { why: format!("{what}: {error}") }
    }
}

impl fmt::Display for OpenError {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            OpenError::Taken { path, pid: Some(pid) } => {
                write!(out, "the spool {path} belongs to process {pid}: stop that, or give this one another directory")
            }
            OpenError::Taken { path, pid: None } => {
                write!(
                    out,
                    "the spool {path} belongs to another process: stop that, or give this one another directory"
                )
            }
            OpenError::Exposed { path, mode } => {
                write!(out, "others may write to the spool {path} (mode {mode:04o}): chmod 700 {path}")
            }
            OpenError::Io { why } => write!(out, "the spool cannot be opened: {why}"),
        }
    }
}

impl std::error::Error for OpenError {}

/// Why messages were not taken, or are not on disk.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum AppendError {
    /// There is no room. Try again later: it ends by itself.
    Full {
        /// Which limit, and what would help.
        why: String,
    },
    /// The disk fails. The next attempt begins with a new file.
    Io {
        /// What was done, and what the system said.
        why: String,
    },
}

impl AppendError {
    /// What the system said, sorted by whether room would help.
    pub(crate) fn of(what: &str, error: &io::Error) -> Self {
        let why = format!("{what}: {error}");
        match error.kind() {
            io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded | io::ErrorKind::FileTooLarge => {
                AppendError::Full { why }
            }
            _ => AppendError::Io { why },
        }
    }
}

impl fmt::Display for AppendError {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            AppendError::Full { why } => write!(out, "the spool is full: {why}"),
            AppendError::Io { why } => write!(out, "the spool cannot be written: {why}"),
        }
    }
}

impl std::error::Error for AppendError {}

/// Why a reader did not get on. It may be asked again at once: it does not stand still before the same place for ever.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ReadError {
    /// A damaged place, which has been passed over and is kept in `quarantine/`.
    Damaged {
        /// Which file and where.
        place: String,
        /// Bytes passed over.
        bytes: u64,
        /// Messages passed over, of all endpoints.
        messages: u64,
    },
    /// The disk fails. At the third attempt the place counts as damaged.
    Io {
        /// What was done, and what the system said.
        why: String,
    },
}

impl fmt::Display for ReadError {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            ReadError::Damaged { place, bytes, messages } => {
                write!(out, "the spool is damaged at {place}: passed over {bytes} bytes with {messages} messages")
            }
            ReadError::Io { why } => write!(out, "the spool cannot be read: {why}"),
        }
    }
}

impl std::error::Error for ReadError {}
