//! What travels through metlog. This crate names no transport and opens nothing.
//!
//! - [`message`]: [`Message`], the nine envelope keys and what may stand beside them
//! - [`value`]: [`Value`] and [`Fields`], any JSON value, with key order kept
//! - [`time`]: [`Timestamp`], UTC, RFC 3339 in and out
//! - [`wire`]: message to JSON text and back; the only place that knows JSON. Strict out, lenient in
//! - [`head`]: the few values routing looks at, found in one pass over the bytes
//! - [`name`]: names of topics and subjects in which messages have a say
//! - [`plain`]: a message as a line for people
//! - [`lines`]: many messages in one buffer, the unit everything moves in
//! - [`batch`]: the same with a column that says which endpoints want which

pub mod batch;
pub mod head;
pub mod lines;
pub mod message;
pub mod name;
pub mod plain;
mod swar;
pub mod time;
pub mod value;
pub mod wire;

pub use batch::{Batch, Wants};
pub use head::Head;
pub use lines::Lines;
pub use message::{Message, Severity};
pub use time::Timestamp;
pub use value::{Fields, Value};
