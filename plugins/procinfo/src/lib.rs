//! `procinfo`: a client method that sends what the process uses: processor, memory, disk, threads, connections.
//!
//! - [`mod@request`]: what is asked for, and the trait that lets code ask a client
//! - `method`: what the configuration makes of it, and the messages
//! - `readings`: numbers from `/proc`
//!
//! Linux only: elsewhere the method does not exist, and asking for it says so.

#[cfg(all(feature = "method", target_os = "linux"))]
mod method;
#[cfg(all(feature = "method", target_os = "linux"))]
mod readings;
pub mod request;

#[cfg(all(feature = "method", target_os = "linux"))]
pub use method::{Config, ProcinfoMethod};
pub use request::{Procinfo, Request};
