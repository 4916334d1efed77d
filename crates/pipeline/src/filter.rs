//! Contract: keep a message or not; and, where the configuration says so, change it.

use crate::Reason;
use metlog_message::{Head, Severity};
use std::borrow::Cow;

/// What a filter sees of a message: its head, and the bytes for the few filters that look deeper.
#[derive(Debug, Clone, Copy)]
pub struct Event<'a> {
    /// Type, severity, logger and timestamp.
    pub head: &'a Head<'a>,
    /// The whole message as JSON text.
    pub raw: &'a [u8],
}

/// A plain predicate: no I/O, no waiting. Filters are asked in the configured order; the first no decides.
pub trait Filter: Send {
    /// Whether the message passes.
    fn keep(&mut self, event: &Event<'_>) -> bool;

    /// What [`Filter::keep`] would say now, with nothing counted or remembered for it: for whoever asks where a message
    /// would go. A filter that remembers something from one message to the next says it by itself.
    fn peek(&mut self, event: &Event<'_>) -> bool {
        self.keep(event)
    }

    /// The answer for every message of this type and severity, if those two decide it.
    ///
    /// The client asks once per call site: a call site that no sender wants then costs one load and nothing else.
    fn decide(&self, kind: &str, severity: Severity) -> Option<bool> {
        let _ = (kind, severity);
        None
    }

    /// What becomes of the message before anybody is asked whether it wants it: asked of the router's editors only, once
    /// per message, before it is kept anywhere. [`Edit::Changed`] leaves the whole new message in `out`, which comes
    /// empty; it has to be as strictly right as the old one was, or it is refused.
    ///
    /// A filter that changes nothing says what it always says.
    fn edit(&mut self, event: &Event<'_>, out: &mut Vec<u8>) -> Edit {
        let _ = out;
        match self.keep(event) {
            true => Edit::Keep,
            false => Edit::Drop { reason: Reason::Filtered, why: Cow::Borrowed("not wanted") },
        }
    }

    /// The same for bytes that are no message, and are kept as they came because of that: whether something in them must
    /// not be kept. Then `out`, which comes empty, holds what may be.
    fn blot(&mut self, bytes: &[u8], out: &mut Vec<u8>) -> bool {
        let _ = (bytes, out);
        false
    }

    /// A second one that says the same of every message: for editors that remember nothing from one message to the next.
    /// Each connection then has its own, and none waits for another.
    fn another(&self) -> Option<Box<dyn Filter>> {
        None
    }
}

/// See [`Filter::edit`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Edit {
    /// It goes on as it is.
    Keep,
    /// It goes on as it is now.
    Changed,
    /// It goes no further, and whoever sent it is told so, if anybody can be.
    Drop {
        /// What it is counted under.
        reason: Reason,
        /// For people: what is too much, what is not there.
        why: Cow<'static, str>,
    },
}
