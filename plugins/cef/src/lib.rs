//! `cef`: a client method that sends security events in ArcSight's Common Event Format.
//!
//! - [`event`]: what happened, and the trait that lets code tell a client
//! - `line`: the CEF text and its escapes
//! - [`syslog`]: what a receiver is told about syslog
//! - `method`: what the configuration adds, and the message

pub mod event;
#[cfg(feature = "method")]
mod line;
#[cfg(feature = "method")]
mod method;
#[cfg(feature = "method")]
pub mod syslog;

pub use event::{Cef, Event};
#[cfg(feature = "method")]
pub use method::{CefMethod, Config};
