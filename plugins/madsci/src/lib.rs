//! `madsci`: speaks to the event manager of MADSci, and as one to its clients.
//!
//! - [`event`]: what an event may be, and how it is written for whom; [`types`]: its words in either release
//! - [`mapping`]: message ⇄ event, and all that knows it; [`ulid`]: the ids
//! - `sender`: to an event manager
//! - `dialect`: the interface of one. `recent` finds repeats; `ask` asks the store for `reads`, `keeping` and `reports`,
//!   with selectors out of a `literal`; `zone` knows the clocks of places; `about` is what it says of itself

#[cfg(feature = "dialect")]
mod about;
#[cfg(feature = "dialect")]
mod ask;
#[cfg(feature = "dialect")]
mod dialect;
#[cfg(any(feature = "sender", feature = "dialect"))]
pub mod event;
#[cfg(feature = "dialect")]
mod keeping;
#[cfg(feature = "dialect")]
mod literal;
#[cfg(any(feature = "sender", feature = "dialect"))]
pub mod mapping;
#[cfg(feature = "dialect")]
mod reads;
#[cfg(feature = "dialect")]
mod recent;
#[cfg(feature = "dialect")]
mod reports;
#[cfg(feature = "sender")]
mod sender;
#[cfg(any(feature = "sender", feature = "dialect"))]
pub mod types;
#[cfg(any(feature = "sender", feature = "dialect"))]
pub mod ulid;
#[cfg(feature = "dialect")]
mod zone;

#[cfg(feature = "dialect")]
pub use dialect::{Config as DialectConfig, MadsciDialect};
#[cfg(feature = "sender")]
pub use sender::{Config, MadsciSender};
