//! `kafka`: metlog over Apache Kafka. An input takes topics in as one of a consumer group, an endpoint produces to them.
//!
//! Without its features this crate is empty: librdkafka is compiled for those who ask for it.
//!
//! - `config`: which brokers, who we are there, TLS
//! - `fault`: what librdkafka's errors mean for us
//! - `leave`: letting go of it without waiting for long
//! - `topic`: to which topic a message goes
//! - `producer`, `endpoint`: a batch, and what became of each message of it
//! - `desk`, `group`, `input`: what was taken and how far it is safe, being one of a group, settings

#[cfg(any(feature = "endpoint", feature = "input"))]
mod config;
#[cfg(any(feature = "endpoint", feature = "input"))]
mod fault;
#[cfg(any(feature = "endpoint", feature = "input"))]
mod leave;

#[cfg(feature = "endpoint")]
mod endpoint;
#[cfg(feature = "endpoint")]
mod producer;
#[cfg(feature = "endpoint")]
mod topic;

#[cfg(feature = "input")]
mod desk;
#[cfg(feature = "input")]
mod group;
#[cfg(feature = "input")]
mod input;

#[cfg(any(feature = "endpoint", feature = "input"))]
pub use config::{Login, Mechanism, Tls};
#[cfg(feature = "endpoint")]
pub use endpoint::{Compression, EndpointConfig, KafkaEndpoint, Key};
#[cfg(feature = "input")]
pub use input::{InputConfig, KafkaInput, Start};
/// For whoever tests against its mock cluster, with the same librdkafka.
#[cfg(any(feature = "endpoint", feature = "input"))]
#[doc(hidden)]
pub use rdkafka;
