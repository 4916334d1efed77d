//! What a frame means to the router, and what happens when it has no room.

use metlog_message::wire::packet;
use metlog_pipeline::{Inlet, Reason, Stop};
use tokio::time::sleep;

/// A frame's message, or several lines of one each: every frame leaves a trace.
pub(crate) fn take(frame: &[u8], inlet: &mut Inlet) {
    if !packet(frame, |message| inlet.push(message)) {
        inlet.refuse(frame, Reason::Malformed, "an empty message");
    }
}

/// Hands over what was read. While there is no room it waits, and so does the peer, whose bytes nobody reads.
pub(crate) async fn commit(inlet: &mut Inlet, stop: &Stop) {
    while let Err(full) = inlet.commit() {
        if stop.is_stopped() {
            return inlet.drop_pushed(Reason::SpoolFull);
        }
        tokio::select! {
            () = sleep(full.retry_after) => {}
            () = stop.stopped() => {}
        }
    }
}
