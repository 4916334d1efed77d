//! `null`: takes everything, keeps nothing. For measuring what everything before it costs.

#[cfg(feature = "sender")]
mod sender;
#[cfg(feature = "sender")]
pub use sender::{Config, NullSender};
