//! `logging`: a sender into the crate `log`, for programs whose logs already go somewhere that way.

#[cfg(feature = "sender")]
mod sender;

#[cfg(feature = "sender")]
pub use sender::{Config, LoggingSender};
