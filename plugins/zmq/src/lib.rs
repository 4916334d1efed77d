//! `zmq`: Metlog over ZeroMQ: its senders `zmq_pub` and `zmq_handshake_pub`, and the input `zmq`.
//!
//! Metlog's wire is one single-frame message per message: compact JSON, no topic, the client connects and the router
//! binds. The senders' sockets are `zeromq`'s; what that crate lacks is made up for here, each in one module:
//!
//! - `frames`: batches cut so that what is in hand is bounded in messages and in bytes
//! - `peers`: whether anybody is connected, which an XPUB socket does not say
//! - `link`: one socket to one endpoint: connects, waits for the subscription, publishes, reconnects
//! - `board`: how each link is doing, seen from the thread that sends
//! - `publisher`: the thread and the runtime all links live on, behind plain blocking calls
//! - `handshake`: Metlog's REQ/REP handshake
//!
//! The publishing sockets are XPUB, not PUB. A subscriber cannot tell the difference. But this crate's PUB has queues
//! of 100,000 messages that it silently drops from when they are full and silently forgets when it closes, and it
//! keeps to itself whether anybody has subscribed; its XPUB writes each message to the connection before it returns
//! and hands subscriptions over.
//!
//! The input speaks ZMTP itself to whoever connects to it, because that crate ends the process when a peer announces an
//! absurd frame, hangs up on heartbeats, waits for ever for a handshake, and does not know the versions that Metlog's
//! clients of old speak. A guard in front of it would have to read all of the protocol too, and pass every byte on; and
//! the crate alone takes seven times the processor: 0.46 µs per message of 322 bytes against 0.06.
//!
//! - `session`: the protocol, from bytes to messages, which opens nothing
//! - `connection`: one peer, from greeting to end
//! - `listener`: lets peers in; `roster`: how many
//! - `dial`: the other way round, we connect: there the socket is `zeromq`'s, towards a peer the configuration names
//! - `arrival`: what a frame means to the router

#[cfg(feature = "sender")]
mod board;
#[cfg(feature = "sender")]
mod echo;
mod endpoint;
#[cfg(feature = "sender")]
mod frames;
#[cfg(feature = "sender")]
mod handshake;
#[cfg(feature = "sender")]
mod handshake_pub;
#[cfg(feature = "sender")]
mod link;
#[cfg(feature = "sender")]
mod peers;
#[cfg(feature = "sender")]
mod publisher;
#[cfg(feature = "sender")]
mod zmq_pub;

#[cfg(feature = "sender")]
pub use handshake_pub::{HandshakeConfig, ZmqHandshakePubSender};
#[cfg(feature = "sender")]
pub use zmq_pub::{PubConfig, WhenDown, ZmqPubSender};

#[cfg(feature = "input")]
mod arrival;
#[cfg(feature = "input")]
mod connection;
#[cfg(feature = "input")]
mod dial;
#[cfg(feature = "input")]
mod input;
#[cfg(feature = "input")]
mod listener;
#[cfg(feature = "input")]
mod roster;
// Public for the oracles alone, which tear what a peer says where no socket lets them.
#[cfg(feature = "input")]
#[doc(hidden)]
pub mod session;
#[cfg(feature = "input")]
pub use input::{InputConfig, Kind, ZmqInput};
