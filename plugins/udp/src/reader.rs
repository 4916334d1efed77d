//! The thread of one socket: datagrams to messages, one commit per read.

use crate::queue::{Datagram, Queue, Wake};
use metlog_message::wire::packet;
use metlog_pipeline::{Inlet, Reason};
use std::io;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

/// A read that finds so many datagrams, and not a whole batch, is followed by a nap: to be woken costs more than the
/// rest of a message's way, so that many at a time cost half of what they cost one by one.
const BUSY: usize = 4;
/// Long enough to collect some, short enough that the kernel's buffer (a few hundred messages at the least) holds what
/// comes meanwhile at any rate that one socket can take.
const NAP: Duration = Duration::from_micros(500);
/// How often the kernel is asked for its drops; only while something arrives.
const LOOK: Duration = Duration::from_secs(1);
/// How long a stop goes on reading while datagrams keep coming.
const DRAIN: Duration = Duration::from_secs(1);

/// Reads until told to stop, then what is still there.
///
/// # Errors
/// What the system said when it refused to go on.
pub(crate) fn run(queue: &mut Queue, inlet: &mut Inlet, stop: &AtomicBool, wake: &Wake) -> io::Result<()> {
    let mut looked = Instant::now();
    // Whether something arrived that may have been followed by drops nobody has told us of.
    let mut curious = true;
    while !stop.load(Ordering::Acquire) {
        let count = turn(queue, inlet)?;
        curious |= count > 0;
        if count == queue.batch() {
            continue;
        }
        if count >= BUSY {
            std::thread::sleep(NAP);
            continue;
        }
        let mut patience = None;
        if curious {
            let age = looked.elapsed();
            if age >= LOOK {
                queue.look_for_drops();
                tell_drops(queue, inlet);
                (looked, curious) = (Instant::now(), false);
            } else {
                patience = Some(LOOK - age);
            }
        }
        queue.wait(wake, patience)?;
    }
    let end = Instant::now() + DRAIN;
    while turn(queue, inlet)? > 0 && Instant::now() < end {}
    queue.look_for_drops();
    tell_drops(queue, inlet);
    Ok(())
}

/// One read and one commit. Says how many datagrams there were.
fn turn(queue: &mut Queue, inlet: &mut Inlet) -> io::Result<usize> {
    let count = queue.read(|datagram| take(&datagram, inlet))?;
    if count > 0 {
        tell_drops(queue, inlet);
        // Nobody can be asked to send more slowly, and what waits here only makes the kernel drop instead.
        if inlet.commit().is_err() {
            inlet.drop_pushed(Reason::SpoolFull);
        }
    }
    Ok(count)
}

fn tell_drops(queue: &mut Queue, inlet: &mut Inlet) {
    let dropped = queue.dropped();
    if dropped > 0 {
        inlet.lost(dropped);
    }
}

/// A message, several lines of one each, or something to refuse: every datagram leaves a trace.
fn take(datagram: &Datagram<'_>, inlet: &mut Inlet) {
    if datagram.truncated {
        inlet.refuse(datagram.bytes, Reason::Truncated, "longer than a datagram can be");
    } else if !packet(datagram.bytes, |message| inlet.push(message)) {
        inlet.refuse(datagram.bytes, Reason::Malformed, "an empty datagram");
    }
}
