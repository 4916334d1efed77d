//! `nats`: metlog over NATS JetStream, the transport of a fleet: clients and edge routers publish, any number of routers
//! share what has come.
//!
//! - `config`: which servers, who we are there, TLS
//! - `tls`: certificates
//! - `link`: one connection, and what its errors mean
//! - `stream`: the stream, made or verified
//! - `subject`: under which subject a message goes
//! - `publisher`: the thread and the runtime a connection lives on, behind a plain blocking call
//! - `sender`, `endpoint`: publishing, for a client and for a router
//! - `consumer`: the durable consumer that routers share, made or verified
//! - `beacon`: how the routers of a fleet hear of each other, without a stream
//! - `number`: a running number for messages that bring none
//! - `pull`, `input`: asking for messages, and acknowledging once the spool is safe
//!
//! async-nats would reconnect by itself, for ever and unseen, while what was under way waits for its time-out. Here a
//! lost connection is noticed at once, what was unconfirmed is tried again by whoever supervises, and running numbers
//! keep it from being stored twice.

#[cfg(feature = "beacon")]
mod beacon;
mod config;
mod link;
mod stream;

#[cfg(feature = "sender")]
mod publisher;
#[cfg(feature = "sender")]
mod sender;
#[cfg(feature = "sender")]
mod subject;

#[cfg(feature = "endpoint")]
mod endpoint;

#[cfg(feature = "input")]
mod consumer;
#[cfg(feature = "input")]
mod input;
#[cfg(feature = "input")]
mod number;
#[cfg(feature = "input")]
mod pull;

#[cfg(feature = "beacon")]
pub use beacon::{BeaconConfig, NatsBeacon};
pub use config::{Login, Tls};
#[cfg(feature = "endpoint")]
pub use endpoint::NatsEndpoint;
#[cfg(feature = "input")]
pub use input::{InputConfig, NatsInput};
#[cfg(feature = "sender")]
pub use sender::{NatsSender, SenderConfig};
pub use stream::{Discard, Retention, Storage, StreamConfig};
