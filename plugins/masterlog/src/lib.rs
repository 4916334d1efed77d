//! `masterlog`: speaks to a Master Log server, and as one.
//!
//! [`mapping`] says what a message becomes there, `reading` what an event becomes here; nothing else knows.

#[cfg(feature = "dialect")]
mod dialect;
#[cfg(feature = "dialect")]
mod id;
#[cfg(feature = "sender")]
pub mod mapping;
#[cfg(feature = "dialect")]
pub mod reading;
#[cfg(feature = "sender")]
mod sender;
mod title;
#[cfg(feature = "dialect")]
pub use dialect::{MasterLogDialect, Nothing};
#[cfg(feature = "sender")]
pub use sender::{Config, MasterLogSender};
