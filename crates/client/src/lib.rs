//! Typed messages from a line of application code to wherever they should end up, for nanoseconds.
//!
//! ```
//! let _guard = metlog::from_text("[metlog]\nlogger = shop\nsender_class = stdout", "metlog")?.guard();
//! metlog::info!("user {} logged in", "bob"; user_id = 7);
//! metlog::incr!("login");
//! let _timer = metlog::timer!("db.query");
//! # Ok::<(), metlog::Error>(())
//! ```
//!
//! Read the code in this order; it is the way of a message:
//!
//! - `macros`, `site`: a call is one static and one load when it is off
//! - `arg`, `record`, `thread`: values in binary into a ring of the calling thread
//! - `slots`, `harvest`: counters and timers that are added up in place of being sent
//! - `engine`, `desk`, `render`: the background thread drains, merges by time, writes JSON, asks filters
//! - `lane`: a bounded queue and a thread per sender; retry, limits, spill
//! - `client`, `setup`, `config`, `holder`: who holds what, and how it is configured

mod arg;
#[cfg(any(feature = "log", feature = "metrics", feature = "tower", feature = "tracing"))]
mod bridges;
mod client;
mod clock;
pub mod config;
pub mod context;
mod desk;
mod engine;
mod error;
mod harvest;
mod holder;
mod lane;
mod macros;
mod panics;
mod plugins;
mod record;
mod render;
mod setup;
mod site;
mod slots;
mod stats;
mod thread;
mod timer;
mod trouble;

pub use client::Client;
pub use config::{from_file, from_stream, from_text, from_toml, from_value};
pub use context::{Context, WithContext};
pub use error::Error;
pub use holder::{
    Guard, clear_globals, client, default_client, delete_client, globals, init, set_client, set_default_client,
};
pub use lane::Overflow;
#[cfg(feature = "macros")]
pub use metlog_macros::{incr_count, timeit};
pub use metlog_message::{Fields, Lines, Message, Severity, Timestamp, Value};
pub use metlog_pipeline::{Emit, Event, Filter, Method, MethodError, Pacing, SendError, Sender};
pub use panics::tell_panics;
pub use setup::Setup;
pub use stats::{Report, SenderStats, Stats};
pub use timer::{Timer, measure, measure_async};

#[cfg(feature = "cef")]
pub use metlog_cef as cef;
#[cfg(feature = "debug")]
pub use metlog_debug as debug;
#[cfg(feature = "filters")]
pub use metlog_filters as filters;
#[cfg(feature = "procinfo")]
pub use metlog_procinfo as procinfo;

#[cfg(feature = "log")]
pub use bridges::log;
#[cfg(feature = "metrics")]
pub use bridges::metrics;
#[cfg(feature = "tower")]
pub use bridges::tower;
#[cfg(feature = "tracing")]
pub use bridges::tracing;

/// What a crate with a sender, filter or method of its own needs.
pub mod plugin {
    pub use metlog_pipeline::inventory;
    pub use metlog_pipeline::registry::{Configured, FilterEntry, MethodEntry, Opener, SenderEntry};
}

/// What the macros expand to. Not for hand-written code: it may change with any release.
#[doc(hidden)]
pub mod __private {
    pub use crate::arg::{Arg, ViaDisplay, ViaNothing, ViaPrimitive, ViaStructured, Wrap};
    pub use crate::engine::is_internal;
    pub use crate::holder::Decorator;
    pub use crate::site::{Kind, LIVE, Meta, Site, dotted, dotted_len, plain, rate_at};
    pub use crate::thread::emit_here;
    pub use crate::timer::{Counting, count};
    pub use crate::trouble::{Trouble, ViaDeref, ViaError, ViaText, join, with_error, with_stack};
}
