//! `madsci`: speaks to the event manager of MADSci.
//!
//! [`mapping`] says what a message becomes there, and is all that knows it; [`ulid`] makes the ids it wants.

#[cfg(feature = "sender")]
pub mod mapping;
#[cfg(feature = "sender")]
mod sender;
#[cfg(feature = "sender")]
pub mod ulid;
#[cfg(feature = "sender")]
pub use sender::{Config, MadsciSender};
