//! `victorialogs`: speaks to VictoriaLogs.
//!
//! - `sender`, [`mapping`]: what a message becomes there, under names of the server's own kind
//! - `endpoint`, `row`: messages as they are, and what has to be known of them before
//! - `watch`: what the server says of itself
//! - `dialect`: the router in its place
//! - `server`: its address, tenant and credentials

#[cfg(feature = "dialect")]
mod dialect;
#[cfg(feature = "endpoint")]
mod endpoint;
#[cfg(any(feature = "sender", feature = "endpoint"))]
pub mod mapping;
#[cfg(feature = "endpoint")]
mod row;
#[cfg(feature = "sender")]
mod sender;
#[cfg(any(feature = "sender", feature = "endpoint"))]
mod server;
#[cfg(feature = "endpoint")]
mod watch;

#[cfg(feature = "dialect")]
pub use dialect::VictoriaLogsDialect;
#[cfg(feature = "endpoint")]
pub use endpoint::{EndpointConfig, VictoriaLogsEndpoint};
#[cfg(feature = "sender")]
pub use sender::{Config, VictoriaLogsSender};
