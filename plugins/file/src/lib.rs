//! `file`: a sender that appends to a file, follows its rotation by others, or rotates it itself.
//!
//! - `sender`: settings, and batches to bytes
//! - `target`: the open file: where it is, whether it still is, how a torn line is mended

#[cfg(feature = "sender")]
mod sender;
#[cfg(feature = "sender")]
mod target;

#[cfg(feature = "sender")]
pub use sender::{Config, FileSender, Format};
