//! `http`: JSON lines by POST, to the router or anything else that takes them.

#[cfg(feature = "sender")]
mod sender;
#[cfg(feature = "sender")]
pub use sender::{Config, HttpSender};
