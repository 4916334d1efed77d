//! When a person is told: what endpoints that alert have in common. Nothing here opens a file or a socket.
//!
//! - [`rules`]: the keys of a section, and what they mean together
//! - [`engine`]: messages and time in, [`Notice`]s out; counts, groups, pauses and digests, all of them bounded
//! - [`notice`]: what a person is told
//! - [`text`]: foreign text, made harmless for a line or a page
//! - [`alerting`]: an [`Endpoint`](metlog_pipeline::Endpoint) around whatever carries a notice away
//!
//! What has been counted is in memory only. A message whose notice has gone out, or that was only counted, is
//! acknowledged and not seen again after a restart; one that waits in a digest is acknowledged once that is due.

pub mod alerting;
pub mod engine;
pub mod notice;
pub mod rules;
pub mod text;

pub use alerting::{Alerting, Carrier, Post};
pub use engine::Engine;
pub use notice::{Brief, Cause, Item, Notice};
pub use rules::{Keys, Rules, Trigger, When};

#[doc(hidden)]
pub use metlog_settings::Span;
