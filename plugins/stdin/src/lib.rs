//! `stdin`: an input that reads messages from this process's own standard input until its end.
//!
//! It needs a Unix system; elsewhere its feature adds nothing.

#[cfg(all(unix, feature = "input"))]
mod input;

#[cfg(all(unix, feature = "input"))]
pub use input::{Config, StdinInput};
