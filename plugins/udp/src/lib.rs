//! `udp`: one datagram per message. The sender sends each to every destination, the input takes what arrives.

#[cfg(feature = "sender")]
mod burst;
#[cfg(feature = "sender")]
mod destination;
#[cfg(feature = "sender")]
mod sender;
#[cfg(feature = "sender")]
pub use sender::{Config, UdpSender};

#[cfg(feature = "input")]
mod drops;
#[cfg(feature = "input")]
mod input;
#[cfg(feature = "input")]
mod queue;
#[cfg(feature = "input")]
mod reader;
#[cfg(feature = "input")]
pub use input::{InputConfig, UdpInput};
