//! `logcollector`: speaks to the server of log-collector.
//!
//! [`mapping`] says what a message becomes there, and is all that knows it.

#[cfg(feature = "sender")]
pub mod mapping;
#[cfg(feature = "sender")]
mod sender;
#[cfg(feature = "sender")]
pub use sender::{Config, LogCollectorSender};
