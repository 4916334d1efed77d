//! metlog's router: inputs, filters, one journal, endpoints, and an account of every message.
//!
//! In the order in which a message meets them:
//!
//! - [`config`]: the file; [`router`]: everything it says, opened, reloaded and stopped as a whole
//! - [`intake`]: from an input's bytes to the spool, past [`forwards`] and [`clients`] (lost and repeated), [`edits`] (what
//!   must not be kept) and [`routes`] (who wants it)
//! - [`deliver`]: from the spool to an endpoint; [`deadletters`]: what cannot be taken or delivered
//! - [`accounting`]: the law that nothing vanishes; [`tail`]: looking on live; [`kept`] and [`http`]: asking;
//!   [`topology`] and [`trend`]: what is configured, and what has been going on; [`fleet`]: the same of other routers

pub mod accounting;
mod cli;
pub mod clients;
pub mod config;
pub mod deadletters;
pub mod deliver;
pub mod edits;
pub mod fleet;
pub mod forwards;
pub mod http;
mod identity;
pub mod intake;
pub mod kept;
mod plugins;
pub mod router;
pub mod routes;
pub mod tail;
pub mod topology;
pub mod trend;

pub use cli::{main, main_of, sections};
pub use plugins::LEFT_OUT;

/// What the router says about itself, on standard error.
#[doc(hidden)]
#[macro_export]
macro_rules! say {
    ($($arg:tt)*) => {
        $crate::tell(&format!($($arg)*))
    };
}

/// One line, with the time, and without anything that could move a terminal's cursor.
#[doc(hidden)]
pub fn tell(text: &str) {
    let text: String = text.chars().map(|c| if c.is_control() { '\u{fffd}' } else { c }).collect();
    eprintln!("{} {text}", metlog_message::Timestamp::now());
}
