//! The contracts between metlog's parts, and the registry that finds an implementation by name.
//!
//! This crate names no plugin, opens no file or socket and spawns nothing. A plugin implements one or more of
//!
//! - [`sender`]: how the client hands messages over
//! - [`filter`]: keep a message or not
//! - [`method`]: a method added to a client by configuration
//! - [`input`]: where the router gets messages from
//! - [`endpoint`]: where it takes them to; a sender is one already
//! - [`beacon`]: how the routers of a fleet hear of each other
//!
//! and submits itself to the [`registry`] beside its code; [`describe`] says what its settings can look like.

pub mod beacon;
pub mod describe;
pub mod endpoint;
pub mod filter;
pub mod input;
pub mod method;
pub mod registry;
pub mod sender;

pub use beacon::{Air, Beacon, Ears, Word};
pub use endpoint::{Endpoint, Forward, Passed, Picked, Promise};
pub use filter::{Edit, Event, Filter};
pub use input::{Away, Durable, Forwarded, Full, Inlet, Input, Intake, Looping, Reason, Receipt, Rejected, Stop};
pub use method::{Emit, Method, MethodError};
pub use registry::{BeaconEntry, EndpointEntry, FilterEntry, InputEntry, MethodEntry, SenderEntry, Unknown};
pub use sender::{Pacing, SendError, Sender};

#[doc(hidden)]
pub use inventory;
