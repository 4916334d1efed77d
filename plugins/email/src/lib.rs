//! `email`: tells people by mail.
//!
//! - `endpoint`: settings, and who has got what of a notice
//! - `address`: a mailbox, from the configuration only
//! - `letter`: a notice as a mail; nothing of a message reaches it unencoded
//! - `session`: SMTP, as far as it takes to hand a letter over
//! - `wire`: a connection with one deadline, and its encryption

#[cfg(feature = "endpoint")]
mod address;
#[cfg(feature = "endpoint")]
mod endpoint;
#[cfg(feature = "endpoint")]
mod letter;
#[cfg(feature = "endpoint")]
mod session;
#[cfg(feature = "endpoint")]
mod wire;

#[cfg(feature = "endpoint")]
pub use endpoint::{Config, Mailer, Tls};
