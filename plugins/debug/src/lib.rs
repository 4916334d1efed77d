//! `debug`: a sender that keeps the last messages, for tests and for looking at a running program from inside.

#[cfg(feature = "sender")]
mod sender;

#[cfg(feature = "sender")]
pub use sender::{Capture, Config, DebugSender};
