//! `cef`: a client method that sends security events in ArcSight's Common Event Format.
//!
//! - [`event`]: what happened, and the trait that lets code tell a client
//! - `line`: the CEF text and its escapes
//! - `method`: what the configuration adds, and the message

pub mod event;
#[cfg(feature = "method")]
mod line;
#[cfg(feature = "method")]
mod method;

pub use event::{Cef, Event};
#[cfg(feature = "method")]
pub use method::{CefMethod, Config};
