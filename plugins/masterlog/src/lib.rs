//! `masterlog`: speaks to a Master Log server.
//!
//! [`mapping`] says what a message becomes there, and is all that knows it.

#[cfg(feature = "sender")]
pub mod mapping;
#[cfg(feature = "sender")]
mod sender;
#[cfg(feature = "sender")]
pub use sender::{Config, MasterLogSender};
