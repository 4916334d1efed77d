//! `http`: JSON lines by POST, to the router or anything else that takes them; and the router's route that takes them.

#[cfg(feature = "dialect")]
mod dialect;
#[cfg(feature = "sender")]
mod sender;
#[cfg(feature = "dialect")]
pub use dialect::HttpDialect;
#[cfg(feature = "sender")]
pub use sender::{Config, HttpSender};
