//! What a frame means to the router, and what happens when it has no room.

use memchr::memchr;
use metlog_pipeline::{Inlet, Reason, Stop};
use std::time::Duration;
use tokio::time::sleep;

/// The spool says when to try again; within these bounds.
const SOONEST: Duration = Duration::from_millis(10);
const LATEST: Duration = Duration::from_secs(1);

/// A frame's message, or several lines of one each: every frame leaves a trace.
pub(crate) fn take(frame: &[u8], inlet: &mut Inlet) {
    let text = frame.trim_ascii();
    match memchr(b'\n', text) {
        _ if text.is_empty() => inlet.refuse(frame, Reason::Malformed, "an empty message"),
        None => inlet.push(text),
        // A brace alone on its line begins a message laid out over several.
        Some(end) if text.get(..end).is_some_and(|line| line.trim_ascii() == b"{") => inlet.push(text),
        Some(_) => {
            let lines = text.split(|byte| *byte == b'\n').map(<[u8]>::trim_ascii);
            lines.filter(|line| !line.is_empty()).for_each(|line| inlet.push(line));
        }
    }
}

/// Hands over what was read. While there is no room it waits, and so does the peer, whose bytes nobody reads.
pub(crate) async fn commit(inlet: &mut Inlet, stop: &Stop) {
    while let Err(full) = inlet.commit() {
        if stop.is_stopped() {
            return inlet.drop_pushed(Reason::SpoolFull);
        }
        tokio::select! {
            () = sleep(full.retry_after.clamp(SOONEST, LATEST)) => {}
            () = stop.stopped() => {}
        }
    }
}
