//! `postgres`: the router's endpoint that keeps messages in PostgreSQL, and the store that finds them again there.
//!
//! - `config`: settings, and the server they mean
//! - `tls`: certificates
//! - `link`: one connection, and what its errors mean
//! - `schema`: the table's versions, in `schema/*.sql`
//! - `months`: partitions, made ahead and on demand
//! - `positions`: at which position a message of some router's spool stands
//! - `rows`: what of a message stands in which column
//! - `endpoint`: writing
//! - `care`: what happens by the clock: new months, old months, expired messages
//! - `narrow`: bounds as conditions
//! - `store`: reading

#[cfg(feature = "endpoint")]
mod care;
#[cfg(feature = "endpoint")]
mod config;
#[cfg(feature = "endpoint")]
mod endpoint;
#[cfg(feature = "endpoint")]
mod link;
#[cfg(feature = "endpoint")]
mod months;
#[cfg(feature = "endpoint")]
mod narrow;
#[cfg(feature = "endpoint")]
mod positions;
#[cfg(feature = "endpoint")]
mod rows;
#[cfg(feature = "endpoint")]
mod schema;
#[cfg(feature = "endpoint")]
mod store;
#[cfg(feature = "endpoint")]
#[cfg(feature = "endpoint")]
pub use config::{Config, SslMode};
#[cfg(feature = "endpoint")]
pub use endpoint::PostgresEndpoint;
#[cfg(feature = "endpoint")]
pub use store::PostgresStore;
