//! The few values routing looks at, found in one pass over the bytes.

use crate::wire::Limits;
use crate::{Severity, wire};
use std::borrow::Cow;

/// What routing looks at.
#[derive(Debug, Clone, PartialEq)]
pub struct Head<'a> {
    /// `type`.
    pub kind: Cow<'a, str>,
    /// `severity`.
    pub severity: Severity,
    /// `logger`.
    pub logger: Cow<'a, str>,
}

/// The message is not strictly right: the lenient reader may make something of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct NotStrict;

/// Finds the head of a strictly valid message.
///
/// # Errors
/// If it is not one.
pub fn scan<'a>(text: &'a [u8], limits: &Limits) -> Result<Head<'a>, NotStrict> {
    let message = wire::read(text, limits).map_err(|_| NotStrict)?.message;
    Ok(Head { kind: message.kind.into(), severity: message.severity, logger: message.logger.into() })
}
