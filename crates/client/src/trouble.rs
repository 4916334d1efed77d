//! Errors as text: the error, what caused it, and the stack.

use std::backtrace::{Backtrace, BacktraceStatus};
use std::error::Error;
use std::fmt::{Display, Write};
use std::ops::Deref;

/// Causes beyond this are left out: a chain may be a ring.
const LONGEST_CHAIN: usize = 32;

/// What [`crate::exception!`] wraps an error in, so that method look-up finds the best way to print it.
pub struct Trouble<'a, T: ?Sized>(pub &'a T);

/// First choice: an error.
pub trait ViaError {
    /// The error and its causes, a line each.
    fn chain(&self) -> String;
}

impl<E: Error> ViaError for &&Trouble<'_, E> {
    fn chain(&self) -> String {
        chain(self.0)
    }
}

/// Second choice: a box of an error.
pub trait ViaDeref {
    /// The error and its causes, a line each.
    fn chain(&self) -> String;
}

impl<E: Deref<Target: AsDynError>> ViaDeref for &Trouble<'_, E> {
    fn chain(&self) -> String {
        chain(self.0.deref().as_dyn())
    }
}

/// Errors behind a pointer, as boxes and error-report crates hold them.
pub trait AsDynError {
    /// The error.
    fn as_dyn(&self) -> &(dyn Error + 'static);
}

impl AsDynError for dyn Error {
    fn as_dyn(&self) -> &(dyn Error + 'static) {
        self
    }
}

impl AsDynError for dyn Error + Send + Sync {
    fn as_dyn(&self) -> &(dyn Error + 'static) {
        self
    }
}

/// Last choice: anything that prints.
pub trait ViaText {
    /// Its text.
    fn chain(&self) -> String;
}

impl<E: Display> ViaText for Trouble<'_, E> {
    fn chain(&self) -> String {
        self.0.to_string()
    }
}

fn chain(error: &dyn Error) -> String {
    let mut out = error.to_string();
    let mut cause = error.source();
    for _ in 0..LONGEST_CHAIN {
        let Some(error) = cause else { break };
        let _ = write!(out, "\nCaused by: {error}");
        cause = error.source();
    }
    out
}

/// A text, and the stack under it.
pub fn with_stack(mut text: String) -> String {
    let wanted = |name| std::env::var_os(name).is_none_or(|value| value != "0");
    if wanted("RUST_BACKTRACE") && wanted("RUST_LIB_BACKTRACE") {
        let stack = Backtrace::force_capture();
        if stack.status() == BacktraceStatus::Captured {
            newline(&mut text);
            let _ = write!(text, "Stack:\n{stack}");
        }
    }
    text.truncate(text.trim_end().len());
    text
}

/// A text, the error under it, and the stack.
pub fn with_error(mut text: String, error: String) -> String {
    newline(&mut text);
    text.push_str(&error);
    with_stack(text)
}

/// The next thing begins on a line of its own; a text that ends in a newline needs no second one.
fn newline(text: &mut String) {
    if !text.is_empty() && !text.ends_with('\n') {
        text.push('\n');
    }
}

/// Values joined into one text.
pub fn join(between: &str, parts: &[&dyn Display]) -> String {
    let mut out = String::new();
    for (at, part) in parts.iter().enumerate() {
        let _ = write!(out, "{}{part}", if at == 0 { "" } else { between });
    }
    out
}
