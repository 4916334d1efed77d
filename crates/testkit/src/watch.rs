//! Where a test hangs that hangs.

use std::io::Write as _;
use std::panic::Location;
use std::sync::mpsc;
use std::time::Duration;

/// What [`watch`] waits for.
#[must_use = "it watches until it is dropped"]
pub struct Watch {
    /// Says by its end that all is well.
    _alive: mpsc::Sender<()>,
}

/// Ends the whole test program, with a word on where, unless what it gives is dropped in time. For what may never return:
/// a call into foreign code, which can be abandoned in no other way.
#[track_caller]
pub fn watch(what: &str, within: Duration) -> Watch {
    let at = Location::caller();
    let test = std::thread::current().name().unwrap_or("a test").to_owned();
    let what = what.to_owned();
    let (alive, ended) = mpsc::channel::<()>();
    std::thread::spawn(move || {
        if ended.recv_timeout(within) == Err(mpsc::RecvTimeoutError::Timeout) {
            // Past the harness, which would keep it to itself.
            let _ = writeln!(std::io::stderr(), "\n{test}, at {at}: {what} has not ended within {within:?}");
            std::process::abort();
        }
    });
    Watch { _alive: alive }
}
