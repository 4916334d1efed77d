//! `file`: a sender and an endpoint that append to files, and an input that follows files others write.
//!
//! - `sender`: one file, rotated by others or shifted to `FILE.1`, `FILE.2`
//! - `endpoint`: one file, or one for each type, logger, day; rotated, compressed, thrown away by the clock
//! - `target`: an open file: whether it still is where it was, how a torn line is mended
//! - `format`: how a message stands in a file
//! - `template`, `base`, `sorted`: paths that messages fill, the folder they do not leave, which message goes where
//! - `shelf`: files that were rotated away
//! - `tail`, `follow`, `state`, `pattern`: the input: all files, one file, how far each was read, which files
//!
//! Endpoint and input need a Unix system; elsewhere their features add nothing.

#[cfg(all(unix, feature = "endpoint"))]
mod base;
#[cfg(all(unix, feature = "endpoint"))]
mod endpoint;
#[cfg(all(unix, feature = "input"))]
mod follow;
#[cfg(any(feature = "sender", all(unix, feature = "endpoint")))]
mod format;
#[cfg(all(unix, feature = "input"))]
mod pattern;
#[cfg(feature = "sender")]
mod sender;
#[cfg(all(unix, feature = "endpoint"))]
mod shelf;
#[cfg(all(unix, feature = "endpoint"))]
mod sorted;
#[cfg(all(unix, feature = "input"))]
mod state;
#[cfg(all(unix, feature = "input"))]
mod tail;
#[cfg(any(feature = "sender", all(unix, feature = "endpoint")))]
mod target;
#[cfg(all(unix, feature = "endpoint"))]
mod template;

#[cfg(all(unix, feature = "endpoint"))]
pub use endpoint::{EndpointConfig, FileEndpoint, Sync};
#[cfg(any(feature = "sender", all(unix, feature = "endpoint")))]
pub use format::Format;
#[cfg(feature = "sender")]
pub use sender::{Config, FileSender};
#[cfg(all(unix, feature = "input"))]
pub use tail::{FileInput, InputConfig, Start};
