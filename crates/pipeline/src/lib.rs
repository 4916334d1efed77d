//! The contracts between metlog's parts, and the registry that finds an implementation by name.
//!
//! This crate names no plugin, opens no file or socket and spawns nothing. A plugin implements one or more of
//!
//! - [`sender`]: how the client hands messages over
//! - [`filter`]: keep a message or not
//! - [`method`]: a method added to a client by configuration
//!
//! and submits itself to the [`registry`] beside its code. The router's two contracts, input and endpoint, stand
//! beside these when the router does: a contract without a caller would be a guess.

pub mod filter;
pub mod method;
pub mod registry;
pub mod sender;

pub use filter::{Event, Filter};
pub use method::{Emit, Method, MethodError};
pub use registry::{FilterEntry, MethodEntry, SenderEntry, Unknown};
pub use sender::{Pacing, SendError, Sender};

#[doc(hidden)]
pub use inventory;
