//! One append-only journal, many readers, each with a durable cursor.
//!
//! A batch is written once, however many endpoints want messages of it; beside each message stands who does. An endpoint's
//! reader goes through the journal at its own pace, finds what is new still in memory, and says what is settled. Files that
//! everybody is through with are deleted.
//!
//! - `segment`: the files' format, and the way through one
//! - `state`: the small file beside them: cursors, reserved ids
//! - `slots`: who reads, how far, how much is left
//! - `view`: what everybody sees of the journal
//! - `journal`: appending
//! - `desk`, `keeper`, `durable`: the one thread that syncs, saves and deletes, what is asked of it, waiting for it
//! - `reader`, `bell`, `frame`: reading
//! - `recover`, `scan`: opening, whatever was left behind
//! - `walk`: looking through it beside all readers
//! - [`tools`]: looking at a spool nobody has open, and mending it
//! - `fs`: what is needed of a file system, and the real one

mod bell;
mod desk;
mod durable;
mod frame;
mod fs;
mod journal;
mod keeper;
mod options;
mod reader;
mod recover;
mod scan;
mod segment;
#[cfg(feature = "simulation")]
pub mod simulated;
mod slots;
mod spool;
mod state;
pub mod tools;
mod view;
mod walk;

pub use bell::Waker;
pub use frame::Frame;
pub use fs::{Disk, Fs};
pub use journal::Appended;
pub use options::{AppendError, OpenError, Options, ReadError, Sync};
pub use reader::Reader;
pub use recover::Recovery;
pub use segment::SLOTS;
pub use spool::{SlotStatus, Spool, SpoolStatus};
