//! What a server lets in, and how long it waits for it.

use super::Counters;
use metlog_settings::{Size, Span};
use serde::Deserialize;
use std::panic::resume_unwind;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::Duration;
use tokio::sync::Semaphore;
use tokio::task::spawn_blocking;

/// Limits of a server. None can be turned off; each that is hit counts in [`Counters`].
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct ServerLimits {
    /// Connections at one time. One more is answered 503 and closed.
    pub connections: u32,
    /// Connections at one time from one address, for IPv6 from one /64, which is what one subscriber has.
    pub connections_per_address: u32,
    /// From the first byte of a request to the end of its head, and from a connection's begin to its first byte.
    pub header_timeout: Span,
    /// How long a body may lag behind `body_rate`; so long may it take to begin, too.
    pub body_timeout: Span,
    /// What a body must bring every second.
    pub body_rate: Size,
    /// How long a connection may stay between two requests.
    pub idle_timeout: Span,
    /// How long a client may refuse to read its answer.
    pub write_timeout: Span,
    /// How long requests that are running may take to end when the server ends.
    pub drain_timeout: Span,
    /// A compressed body, as it comes.
    pub body: Size,
    /// A body after it is expanded, or one that is not compressed.
    pub expanded: Size,
    /// How many times its size a body may expand to, once it has passed its first MiB.
    pub ratio: u32,
    /// All bodies together that are being received, expanded or looked at.
    pub in_flight: Size,
}

impl Default for ServerLimits {
    fn default() -> Self {
        const MIB: u64 = 1024 * 1024;
        let seconds = |count| Span(Duration::from_secs(count));
        ServerLimits {
            connections: 1024,
            connections_per_address: 64,
            header_timeout: seconds(10),
            body_timeout: seconds(10),
            body_rate: Size(16 * 1024),
            idle_timeout: seconds(60),
            write_timeout: seconds(30),
            drain_timeout: seconds(10),
            body: Size(8 * MIB),
            expanded: Size(16 * MIB),
            ratio: 100,
            in_flight: Size(64 * MIB),
        }
    }
}

/// What all requests of a server share: its limits, what has been counted, and the bytes in flight.
#[derive(Debug)]
pub struct Bounds {
    /// The limits.
    pub limits: ServerLimits,
    /// What was counted.
    pub counters: Arc<Counters>,
    in_flight: AtomicU64,
    /// How many large bodies are worked on at one time off the event loop: hostile ones must not take every core, and a
    /// zstd window is 8 MiB.
    turns: Arc<Semaphore>,
}

impl Bounds {
    /// For a server of its own.
    pub fn new(limits: ServerLimits) -> Arc<Self> {
        let cores = std::thread::available_parallelism().map_or(2, usize::from);
        Arc::new(Bounds {
            limits,
            counters: Arc::default(),
            in_flight: AtomicU64::new(0),
            turns: Arc::new(Semaphore::new(cores.clamp(2, 8))),
        })
    }

    /// Bytes of bodies that are being received, expanded or looked at.
    pub fn in_flight(&self) -> u64 {
        self.in_flight.load(Relaxed)
    }

    /// Does something long off the event loop, in turn. It goes on to its end even if nobody waits for it any more.
    pub(super) async fn off_the_loop<T: Send + 'static>(&self, work: impl FnOnce() -> T + Send + 'static) -> T {
        // The semaphore is never closed. The turn ends with the work and not with whoever waits for it.
        let turn = self.turns.clone().acquire_owned().await;
        let work = move || {
            let _turn = turn;
            work()
        };
        match spawn_blocking(work).await {
            Ok(made) => made,
            // It panicked, as it would have done here; the connection ends and is counted.
            Err(error) => resume_unwind(error.try_into_panic().unwrap_or_else(|error| Box::new(error))),
        }
    }

    /// A share of the bytes in flight, of nothing yet.
    pub(super) fn share(self: &Arc<Self>) -> Share {
        Share { bounds: self.clone(), bytes: 0 }
    }
}

/// A part of the bytes in flight; given back when dropped.
#[derive(Debug)]
pub(super) struct Share {
    bounds: Arc<Bounds>,
    bytes: u64,
}

impl Share {
    /// Takes so many more, if there are as many.
    pub(super) fn grow(&mut self, bytes: usize) -> Result<(), Exhausted> {
        let bytes = bytes as u64;
        let before = self.bounds.in_flight.fetch_add(bytes, Relaxed);
        if before.saturating_add(bytes) > self.bounds.limits.in_flight.bytes() {
            self.bounds.in_flight.fetch_sub(bytes, Relaxed);
            return Err(Exhausted);
        }
        self.bytes += bytes;
        Ok(())
    }

    /// Gives back all but so many.
    pub(super) fn shrink_to(&mut self, bytes: usize) {
        let back = self.bytes.saturating_sub(bytes as u64);
        self.bounds.in_flight.fetch_sub(back, Relaxed);
        self.bytes -= back;
    }
}

impl Drop for Share {
    fn drop(&mut self) {
        self.bounds.in_flight.fetch_sub(self.bytes, Relaxed);
    }
}

/// All bytes in flight are taken.
#[derive(Debug)]
pub(super) struct Exhausted;
