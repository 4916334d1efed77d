//! `tcp`: JSON lines, out over one connection with fail-over, and in from many.

#[cfg(feature = "sender")]
mod address;
#[cfg(feature = "sender")]
mod connection;
#[cfg(feature = "input")]
mod input;
#[cfg(all(feature = "sender", feature = "tls"))]
mod safe;
#[cfg(feature = "sender")]
mod sender;
#[cfg(feature = "input")]
pub use input::{InputConfig, TcpInput};
#[cfg(feature = "sender")]
pub use sender::{Config, TcpSender};
