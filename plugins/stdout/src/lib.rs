//! `stdout` and `stream`: senders that write to this process's own output, or to any writer.

#[cfg(feature = "sender")]
mod format;
#[cfg(feature = "sender")]
mod sender;

#[cfg(feature = "sender")]
pub use format::{Format, Formatter};
#[cfg(feature = "sender")]
pub use sender::{StdoutConfig, StdoutSender, StreamConfig, StreamSender};
