//! `webhook`: tells people in a chat, or a program, by a request.
//!
//! - `endpoint`: settings and delivery
//! - `address`: a URL that is a secret, kept out of error texts
//! - `chat`: a notice for Slack and those that take the same
//! - `plain`: a notice as JSON of our own

#[cfg(feature = "endpoint")]
mod address;
#[cfg(feature = "endpoint")]
mod chat;
#[cfg(feature = "endpoint")]
mod endpoint;
#[cfg(feature = "endpoint")]
mod plain;

#[cfg(feature = "endpoint")]
pub use endpoint::{Config, Format, Webhook};
