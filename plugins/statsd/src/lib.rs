//! `statsd`: the router's endpoint that turns counters, timers and gauges into statsd lines.
//!
//! - `endpoint`: settings, and what became of each message
//! - `metric`, `fields`: what a message counts, found in its bytes
//! - `tally`: lines of one hand-over, counters of one name summed
//! - `line`: names, numbers and lines; everything the crate `statsd` cannot say
//! - `udp`, `tcp`: the ways there; over UDP the crate `statsd` sends all it can express

#[cfg(feature = "endpoint")]
mod endpoint;
#[cfg(feature = "endpoint")]
mod fields;
#[cfg(feature = "endpoint")]
mod line;
#[cfg(feature = "endpoint")]
mod metric;
#[cfg(feature = "endpoint")]
mod tally;
#[cfg(feature = "endpoint")]
mod tcp;
#[cfg(feature = "endpoint")]
mod udp;

#[cfg(feature = "endpoint")]
pub use endpoint::{Config, Protocol, StatsdEndpoint};
#[cfg(feature = "endpoint")]
pub use line::Tags;
