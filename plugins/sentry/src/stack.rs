//! What texts tell about errors: the chain of them, and where each happened.

use crate::cut;
use sentry_types::protocol::v7::{Exception, Frame, Stacktrace};

/// Characters of an exception's value.
pub const LONGEST_VALUE: usize = 4096;
/// Characters of names, paths and source lines.
pub const LONGEST_NAME: usize = 256;
/// Frames of one stack; Sentry keeps no more than 250 of an event. The middle of a longer one is left out.
const FRAMES: usize = 100;
/// Exceptions of one event: the client's own bound of a chain, and the error itself.
const CHAIN: usize = 33;

/// Errors found in a text.
#[derive(Debug)]
pub struct Found {
    /// What the text says before it comes to the error.
    pub before: Option<String>,
    /// Causes first, as Sentry wants it: the last one is what the program saw.
    pub chain: Vec<Exception>,
    /// Whose errors they are, in Sentry's words.
    pub platform: &'static str,
    /// Whether the text was no text for people.
    pub packed: bool,
}

impl Found {
    /// None so far.
    pub fn new(platform: &'static str) -> Self {
        Found { before: None, chain: Vec::new(), platform, packed: false }
    }

    /// One more, unless there are many.
    pub fn push(&mut self, exception: Option<Exception>) {
        if self.chain.len() == CHAIN {
            self.chain.remove(0);
        }
        self.chain.extend(exception);
    }

    /// With what another text tells: the chain may stand in one field, the stack in another.
    pub fn with(self, other: Found) -> Found {
        let (mut told, mut more) = if self.is_bare() { (other, self) } else { (self, other) };
        if !told.has_frames()
            && let (Some(last), Some(from)) = (told.chain.last_mut(), more.chain.last_mut())
        {
            last.stacktrace = from.stacktrace.take();
        }
        told
    }

    /// Whether it is a stack and nothing else.
    fn is_bare(&self) -> bool {
        matches!(self.chain.as_slice(), [only] if only.value.is_none() && only.ty == "Error")
    }

    fn has_frames(&self) -> bool {
        self.chain.iter().any(|one| one.stacktrace.is_some())
    }
}

/// The errors in a text, whoever printed it. `told`: it begins with a line about the error, as payloads do.
pub fn read(text: &str, told: bool) -> Option<Found> {
    crate::python::read(text).or_else(|| crate::rust::read(text, told))
}

/// An exception within bounds. Frames begin with the outermost call.
pub fn exception(ty: &str, value: &str, frames: Vec<Frame>) -> Exception {
    Exception {
        ty: cut::line(ty, LONGEST_NAME),
        value: Some(cut::text(value, LONGEST_VALUE)).filter(|value| !value.is_empty()),
        stacktrace: trace(frames),
        ..Exception::default()
    }
}

/// A stack within bounds.
pub fn trace(mut frames: Vec<Frame>) -> Option<Stacktrace> {
    if frames.is_empty() {
        return None;
    }
    let mut frames_omitted = None;
    if frames.len() > FRAMES {
        let until = frames.len() - FRAMES / 2;
        frames.drain(FRAMES / 2..until);
        frames_omitted = Some((FRAMES as u64 / 2, until as u64));
    }
    Some(Stacktrace { frames, frames_omitted, ..Stacktrace::default() })
}
