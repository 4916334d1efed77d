//! What metlog's HTTP plugins share. No plugin is named here.
//!
//! - feature `client`: [`client`], one HTTP/1.1 connection to one address, with TLS, compression, time limits and an
//!   exact verdict on every answer; [`delivery`], which gets a batch through although the peer refuses some of it
//! - feature `server`: [`server`], which serves routes and bounds connections, heads, bodies and what they expand to; the
//!   contract of dialects, other people's HTTP interfaces served by the router
//! - [`forward`]: what routers tell each other in headers
//! - with either: [`event`], the small steps every mapping of a message to somebody's event needs
//!
//! An application that only sends builds no server: the features are separate and none is on by default.

#[cfg(feature = "client")]
pub mod client;
#[cfg(feature = "client")]
pub mod delivery;
#[cfg(any(feature = "client", feature = "server"))]
pub mod event;
pub mod forward;
#[cfg(feature = "server")]
pub mod server;

#[cfg(feature = "client")]
pub use client::{Address, Blocking, Client, Codec, Compress, Connection, Key, Options, Post, Reply, Trouble};
#[cfg(feature = "client")]
pub use delivery::{Delivery, Rejected, Taken, to_router};
#[cfg(feature = "server")]
pub use server::{Content, Counters, Dialect, DialectEntry, Door, Hosts, Refused, Server, ServerLimits};

#[cfg(feature = "server")]
#[doc(no_inline)]
pub use axum;
