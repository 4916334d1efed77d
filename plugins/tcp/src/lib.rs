//! `tcp`: JSON lines over one connection, with fail-over.

#[cfg(feature = "sender")]
mod address;
#[cfg(feature = "sender")]
mod connection;
#[cfg(feature = "sender")]
mod sender;
#[cfg(feature = "sender")]
pub use sender::{Config, TcpSender};
