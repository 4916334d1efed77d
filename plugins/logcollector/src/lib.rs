//! `logcollector`: speaks to the server of log-collector, and as one.
//!
//! [`mapping`] says what a message becomes there, `reading` what an entry becomes here; nothing else knows.

#[cfg(feature = "dialect")]
mod dialect;
#[cfg(any(feature = "dialect", feature = "sender"))]
mod filler;
#[cfg(feature = "sender")]
pub mod mapping;
#[cfg(feature = "dialect")]
pub mod reading;
#[cfg(feature = "sender")]
mod sender;
#[cfg(feature = "dialect")]
mod stats;
#[cfg(feature = "dialect")]
pub use dialect::{LogCollectorDialect, Nothing};
#[cfg(feature = "sender")]
pub use sender::{Config, LogCollectorSender};
