//! What each application thread owns: its ring, and its clock.
//!
//! Made at the thread's first message, handed to the background thread through a list, given up when the thread ends;
//! the background thread then reads what is left.

use crate::arg::Arg;
use crate::client::Core;
use crate::engine;
use crate::lane::Overflow;
use crate::record;
use crate::site::{self, Site};
use crate::{clock, context, slots};
use metlog_message::Message;
use metlog_ring::{Full, Producer};
use quanta::Clock;
use std::cell::RefCell;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

struct Local {
    producer: Producer,
    clock: Clock,
}

thread_local! {
    static LOCAL: RefCell<Option<Local>> = const { RefCell::new(None) };
}

/// Leaves a record. The common case is all here; everything else is `slow`.
#[inline]
pub fn emit<const N: usize>(site: &'static Site, word: u64, args: [Arg<'_>; N]) {
    leave(site, word, args, Clock::raw);
}

/// The same for the macros: `here`, a closure that does nothing, has a type of its own at each call site. So the
/// compiler makes this code once per site, in place, where the kinds of the values are known; shared between sites it
/// would look at each value's kind when it runs.
#[inline(always)]
pub fn emit_here<const N: usize, H: Fn()>(site: &'static Site, word: u64, args: [Arg<'_>; N], here: H) {
    leave(site, word, args, |clock| {
        here();
        clock.raw()
    });
}

/// The same for a moment that was read from the clock already: reading it is most of what a call costs.
#[inline]
pub fn emit_at<const N: usize>(site: &'static Site, word: u64, ticks: u64, args: [Arg<'_>; N]) {
    leave(site, word, args, |_| ticks);
}

#[inline(always)]
fn leave<const N: usize>(site: &'static Site, word: u64, args: [Arg<'_>; N], now: impl FnOnce(&Clock) -> u64) {
    let len = record::size(&[], &args);
    if word & site::SLOW != 0 || context::active() {
        return slow(site, word, &args);
    }
    let pushed = LOCAL.try_with(|local| match local.try_borrow_mut().as_deref_mut() {
        Ok(Some(local)) if len <= local.producer.capacity() / 4 => {
            let ticks = now(&local.clock);
            let client = site::client_of(word);
            local.producer.push(site::site_of(word), len, |place| record::put(place, ticks, client, &[], &args)).is_ok()
        }
        _ => false,
    });
    if pushed != Ok(true) {
        slow(site, word, &args);
    }
}

/// First calls, contexts, methods in a helper's place, full rings, large records.
#[cold]
#[inline(never)]
fn slow(site: &'static Site, word: u64, args: &[Arg<'_>]) {
    let word = if site::site_of(word) == 0 { site.known() } else { word };
    if word & site::LIVE == 0 {
        return;
    }
    let client = site::client_of(word);
    let Some(core) = engine::client(client) else { return };
    if word & site::SLOW != 0 && core.call_in_place_of(&site.meta, args) {
        return;
    }
    context::bytes(|context| {
        let len = record::size(context, args);
        deliver(&core, site::site_of(word), len, |place, ticks| record::put(place, ticks, client, context, args));
    });
    if core.overflow == Overflow::Pace {
        core.pace.wait();
    }
}

/// Leaves a message that came ready made.
pub fn emit_message(core: &Core, message: &Message) {
    let mut json = Vec::with_capacity(256);
    metlog_message::wire::write(&mut json, message);
    deliver(core, 0, record::HEAD + json.len(), |place, ticks| record::put_ready(place, ticks, core.number, &json));
    if core.overflow == Overflow::Pace {
        core.pace.wait();
    }
}

/// Into the ring if it fits, after waiting if the policy says so; beside it if it is large or the thread is ending.
fn deliver(core: &Core, tag: u32, len: usize, fill: impl Fn(&mut [u8], u64)) {
    let attempt = |wait: bool| -> Option<Result<(), Full>> {
        LOCAL
            .try_with(|local| {
                let mut local = local.try_borrow_mut().ok()?;
                let local = local.get_or_insert_with(|| Local::new(core.ring_bytes));
                if len > local.producer.capacity() / 4 {
                    return None;
                }
                let until = wait.then(|| Instant::now() + core.block_timeout);
                loop {
                    let ticks = local.clock.raw();
                    match local.producer.push(tag, len, |place| fill(place, ticks)) {
                        Err(Full) if until.is_some_and(|until| Instant::now() < until) => {
                            // The background thread empties a ring in well under a millisecond when it can.
                            engine::wake();
                            std::thread::sleep(Duration::from_micros(50));
                        }
                        result => return Some(result),
                    }
                }
            })
            .ok()
            .flatten()
    };
    // One of metlog's own threads would wait for itself.
    let patient = core.is_patient() && !engine::is_internal();
    match attempt(patient && !core.saturated.load(Ordering::Relaxed)) {
        Some(Ok(())) => core.saturated.store(false, Ordering::Relaxed),
        Some(Err(Full)) => {
            // Whoever waited in vain spares the others the wait until the ring has been read again.
            core.saturated.store(patient, Ordering::Relaxed);
            core.stats.ring_full.fetch_add(1, Ordering::Relaxed);
            engine::wake();
        }
        None => {
            let mut bytes = vec![0; len];
            fill(&mut bytes, clock::ticks());
            engine::push_aside(core, tag, bytes);
        }
    }
}

impl Local {
    fn new(ring_bytes: usize) -> Self {
        let (producer, consumer) = metlog_ring::ring(ring_bytes);
        engine::adopt(consumer);
        Local { producer, clock: clock::clock().clone() }
    }
}

/// Makes this thread's ring now, so that its first message is as quick as the others.
pub fn warm(core: &Arc<Core>) {
    let _ = LOCAL.try_with(|local| {
        if let Ok(mut local) = local.try_borrow_mut() {
            local.get_or_insert_with(|| Local::new(core.ring_bytes));
        }
    });
    let _ = slots::here(0);
}
