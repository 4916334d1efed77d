//! Contract: where the router takes messages to.

use crate::{Pacing, SendError, Sender};
use metlog_message::Lines;
use std::ops::Range;
use std::sync::Arc;
use std::time::Duration;

/// Takes batches of messages somewhere, as a [`Sender`] does for the client, and knows a little more about them.
///
/// Each endpoint has a thread of its own, so it may block; that thread queues, batches, retries, counts and moves the
/// cursor. A sender is an endpoint as it stands, see [`Forward`].
pub trait Endpoint: Send {
    /// Takes a batch away. The errors mean what they mean for a sender; what is refused goes to the dead letters.
    ///
    /// # Errors
    /// Says what became of each message.
    fn write(&mut self, batch: &Picked<'_>) -> Result<(), SendError>;

    /// Called at least once a second between two writes: for what happens by the clock, such as rotating a file.
    ///
    /// # Errors
    /// For the log and the status; no message is affected.
    fn tick(&mut self) -> Result<(), SendError> {
        Ok(())
    }

    /// Lets go of files and sockets and opens them again: on SIGHUP, after somebody moved a file away.
    fn reopen(&mut self) {}

    /// Ends: pushes out what it holds and lets go, within this time.
    ///
    /// # Errors
    /// For the log; the messages count as delivered already.
    fn close(&mut self, within: Duration) -> Result<(), SendError> {
        let _ = within;
        Ok(())
    }

    /// How it likes its batches, where the configuration does not say.
    fn pacing(&self) -> Pacing {
        Pacing::default()
    }

    /// What it promises.
    fn promise(&self) -> Promise {
        Promise::AtLeastOnce
    }

    /// How long the peer may still lose what it has confirmed. The cursor on disk follows this much behind, and
    /// [`Endpoint::relapsed`] says when to go back.
    fn settle(&self) -> Duration {
        Duration::ZERO
    }

    /// Whether the peer has lost what it had confirmed within [`Endpoint::settle`], by crashing, say. Asked with each
    /// tick; after a yes, delivery starts over from where it is sure.
    fn relapsed(&mut self) -> bool {
        false
    }
}

/// What an endpoint does about a message when the router cannot know whether it arrived.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Promise {
    /// It may arrive twice.
    AtLeastOnce,
    /// It may not arrive: the cursor moves before the attempt. For counters, where twice is worse than not at all.
    AtMostOnce,
}

/// The messages of a batch that an endpoint wants, in order, and their ids in the spool.
#[derive(Debug, Clone, Copy)]
pub struct Picked<'a> {
    lines: &'a Lines,
    ids: &'a [u64],
    spool: u64,
    endpoint: &'a str,
    passed: &'a [Passed],
}

/// Where messages have been before: a range of their ids, and the routers' numbers, in hexadecimal, with commas.
pub type Passed = (Range<u64>, Arc<str>);

impl<'a> Picked<'a> {
    /// These lines with these ids.
    pub fn new(lines: &'a Lines, ids: &'a [u64]) -> Self {
        Picked { lines, ids, spool: 0, endpoint: "", passed: &[] }
    }

    /// The same, for the endpoint of this name, some of them forwarded by other routers. The ranges grow.
    #[must_use]
    pub fn forwarded(self, endpoint: &'a str, passed: &'a [Passed]) -> Self {
        Picked { endpoint, passed, ..self }
    }

    /// The endpoint's name.
    pub fn endpoint(&self) -> &'a str {
        self.endpoint
    }

    /// The numbers of the routers at which the message of this id has been before, with commas.
    pub fn passed(&self, id: u64) -> &'a str {
        let at = self.passed.partition_point(|(ids, _)| ids.end <= id);
        self.passed.get(at).filter(|(ids, _)| ids.contains(&id)).map_or("", |(_, routers)| routers)
    }

    /// The same, out of this spool.
    #[must_use]
    pub fn out_of(self, spool: u64) -> Self {
        Picked { spool, ..self }
    }

    /// Which spool it is whose ids these are: a number that every spool draws for itself. 0: nobody says.
    pub fn spool(&self) -> u64 {
        self.spool
    }

    /// The messages.
    pub fn lines(&self) -> &'a Lines {
        self.lines
    }

    /// The id of each. Ids grow, are never used twice, and stay with a message however often it is delivered.
    pub fn ids(&self) -> &'a [u64] {
        self.ids
    }
}

/// A sender as an endpoint.
pub struct Forward(pub Box<dyn Sender>);

impl Endpoint for Forward {
    fn write(&mut self, batch: &Picked<'_>) -> Result<(), SendError> {
        self.0.send(batch.lines())
    }

    fn tick(&mut self) -> Result<(), SendError> {
        self.0.flush()
    }

    fn close(&mut self, within: Duration) -> Result<(), SendError> {
        self.0.close(within)
    }

    fn pacing(&self) -> Pacing {
        self.0.pacing()
    }
}
