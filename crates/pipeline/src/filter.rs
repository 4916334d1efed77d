//! Contract: keep a message or not.

use metlog_message::{Head, Severity};

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

    /// The answer for every message of this type and severity, if those two decide it.
    ///
    /// The client asks once per call site: a call site that no sender wants then costs one load and nothing else.
    fn decide(&self, kind: &str, severity: Severity) -> Option<bool> {
        let _ = (kind, severity);
        None
    }
}
