//! Contract: how the client hands messages over to whatever carries them away.

use metlog_message::Lines;
use std::time::Duration;

/// Takes batches of messages somewhere.
///
/// Each sender lives on a thread of its own behind a bounded queue, so it may block; it does not queue, batch, retry
/// or count. The calls never overlap. What the thread does with an error is said at [`SendError`].
pub trait Sender: Send {
    /// Takes a batch away. `Ok` means that every message of it has left this process (or reached its file).
    ///
    /// After `Err`, the messages that went through before the error must not be sent again: a sender that knows how
    /// far it came says so in the error.
    fn send(&mut self, batch: &Lines) -> Result<(), SendError>;

    /// Pushes out what the sender itself still holds. Called after every hand-over that a `flush` waits for.
    fn flush(&mut self) -> Result<(), SendError> {
        Ok(())
    }

    /// Ends: flushes and lets go of files and sockets, within this time.
    fn close(&mut self, within: Duration) -> Result<(), SendError> {
        let _ = within;
        self.flush()
    }

    /// How this sender likes its batches, where the configuration does not say.
    fn pacing(&self) -> Pacing {
        Pacing::default()
    }

    /// False only for the placeholder of a client that was given no sender.
    fn is_active(&self) -> bool {
        true
    }
}

/// How batches are cut for a sender.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Pacing {
    /// Messages in one `send` at the most.
    pub messages: usize,
    /// Bytes in one `send` at the most; a single larger message still goes, alone.
    pub bytes: usize,
    /// How long a message may wait for company. Zero: what is there goes at once.
    pub wait: Duration,
    /// Start-to-start distance of two sends at the least.
    pub min_interval: Duration,
}

impl Default for Pacing {
    fn default() -> Self {
        Pacing { messages: 4096, bytes: 256 * 1024, wait: Duration::ZERO, min_interval: Duration::ZERO }
    }
}

/// Why a batch did not go through, which decides what happens to it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum SendError {
    /// It may work later (peer gone, time-out, disk full, 5xx, 429). The rest of the batch is kept and tried again
    /// with growing pauses.
    Retry {
        /// What happened, for people.
        why: String,
        /// What the peer asked us to wait (`Retry-After`).
        after: Option<Duration>,
        /// The first so many messages of the batch did go through.
        done: usize,
    },
    /// These messages will never go through (too large, not understood). They are counted as refused; `done` and
    /// `which` together say what became of the whole batch: everything not in `which` went through.
    Refuse {
        /// What happened, for people.
        why: String,
        /// Positions in the batch.
        which: Vec<usize>,
    },
    /// Nothing will go through any more until someone changes the configuration (authentication, wrong path).
    /// Retried like `Retry`, but at the longest pause from the start, and reported at once.
    Pause {
        /// What happened and what would be right, for people.
        why: String,
    },
}

impl SendError {
    /// Try the whole batch again later.
    pub fn retry(why: impl std::fmt::Display) -> Self {
        SendError::Retry { why: why.to_string(), after: None, done: 0 }
    }

    /// Try again later, from the message after the first `done`.
    pub fn retry_after_first(done: usize, why: impl std::fmt::Display) -> Self {
        SendError::Retry { why: why.to_string(), after: None, done }
    }

    /// The verdict on a batch of so many of which these were refused, by position and in order; none is none. The text
    /// names the first three reasons.
    ///
    /// # Errors
    /// [`SendError::Refuse`], if there is one.
    pub fn refused(count: usize, refused: impl IntoIterator<Item = (usize, String)>) -> Result<(), Self> {
        let (mut which, mut reasons) = (Vec::new(), String::new());
        for (at, why) in refused {
            which.push(at);
            match which.len() {
                1..=3 if count == 1 => reasons = format!("; {why}"),
                1..=3 => reasons.push_str(&format!("; number {at}: {why}")),
                _ => {}
            }
        }
        if which.is_empty() {
            return Ok(());
        }
        let more = which.len().saturating_sub(3);
        let more = if more > 0 { format!("; and {more} more") } else { String::new() };
        Err(SendError::Refuse { why: format!("{} of {count} refused{reasons}{more}", which.len()), which })
    }

    /// The words for people.
    pub fn why(&self) -> &str {
        match self {
            SendError::Retry { why, .. } | SendError::Refuse { why, .. } | SendError::Pause { why } => why,
        }
    }
}

impl std::fmt::Display for SendError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.why())
    }
}

impl std::error::Error for SendError {}
