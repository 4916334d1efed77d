//! `sentry`: errors become events in Sentry.
//!
//! - `endpoint`: settings and delivery
//! - `dsn`: where to and as whom, kept out of error texts
//! - `event`: a message as an event; `place` what it is grouped by
//! - `stack`: errors as texts tell them, of `python` and `rust`, and as Metlog's `raven` packed them
//! - `trail`: what clients said before, as breadcrumbs
//! - `envelope`: an event as what is posted, within Sentry's sizes
//! - `quota`: for how long Sentry wants no errors
//! - `cut`: bounds of texts and values

#[cfg(feature = "endpoint")]
mod cut;
#[cfg(feature = "endpoint")]
mod dsn;
#[cfg(feature = "endpoint")]
mod endpoint;
#[cfg(feature = "endpoint")]
mod envelope;
#[cfg(feature = "endpoint")]
mod event;
#[cfg(feature = "endpoint")]
mod place;
#[cfg(feature = "endpoint")]
mod python;
#[cfg(feature = "endpoint")]
mod quota;
#[cfg(feature = "endpoint")]
mod raven;
#[cfg(feature = "endpoint")]
mod rust;
#[cfg(feature = "endpoint")]
mod stack;
#[cfg(feature = "endpoint")]
mod trail;

#[cfg(feature = "endpoint")]
pub use endpoint::{Config, Sentry};
