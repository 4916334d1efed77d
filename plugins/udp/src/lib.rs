//! `udp`: one datagram per message, to every destination.

#[cfg(feature = "sender")]
mod burst;
#[cfg(feature = "sender")]
mod destination;
#[cfg(feature = "sender")]
mod sender;
#[cfg(feature = "sender")]
pub use sender::{Config, UdpSender};
