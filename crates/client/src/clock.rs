//! Time: ticks where a call is made, wall-clock time where messages are written.
//!
//! Reading the processor's counter takes half of what `Instant::now` takes, and the clock is most of what a log call
//! costs. The background thread pins the counter to the wall clock once a second, so that steps of the system time
//! are followed within that second and drift never adds up.

use metlog_message::Timestamp;
use quanta::Clock;
use std::sync::OnceLock;
use std::time::{Duration, Instant};

static CLOCK: OnceLock<Clock> = OnceLock::new();

/// The process's clock. The first call measures the counter's rate, which takes a few milliseconds at the most.
pub fn clock() -> &'static Clock {
    CLOCK.get_or_init(Clock::new)
}

/// The counter now.
#[inline]
pub fn ticks() -> u64 {
    clock().raw()
}

/// A span of ticks in nanoseconds.
#[inline]
pub fn nanos(ticks: u64) -> u64 {
    clock().delta_as_nanos(0, ticks)
}

/// A span of ticks in whole milliseconds, half a millisecond up: what a timer's payload says.
pub fn millis(ticks: u64) -> u64 {
    (nanos(ticks) + 500_000) / 1_000_000
}

/// Turns ticks into wall-clock time.
pub struct Wall {
    ticks: u64,
    nanos: i64,
    pinned: Instant,
}

impl Wall {
    /// Pinned now.
    pub fn new() -> Self {
        Wall { ticks: ticks(), nanos: Timestamp::now().nanos(), pinned: Instant::now() }
    }

    /// Pins again if a second has passed.
    pub fn keep(&mut self) {
        if self.pinned.elapsed() >= Duration::from_secs(1) {
            *self = Wall::new();
        }
    }

    /// When the counter stood at `ticks`, which may lie before the pin.
    pub fn at(&self, ticks: u64) -> Timestamp {
        let nanos = if ticks >= self.ticks {
            self.nanos.saturating_add_unsigned(nanos(ticks - self.ticks))
        } else {
            self.nanos.saturating_sub_unsigned(nanos(self.ticks - ticks))
        };
        Timestamp::from_nanos(nanos)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ticks_become_the_wall_time_they_were_taken_at() {
        let before = Timestamp::now().nanos();
        let (early, wall) = (ticks(), Wall::new());
        std::thread::sleep(Duration::from_millis(20));
        let late = wall.at(ticks()).nanos();
        let after = Timestamp::now().nanos();
        let slack = 2_000_000;
        assert!((before - slack..=after).contains(&wall.at(early).nanos()));
        assert!((before + 20_000_000 - slack..=after + slack).contains(&late));
    }
}
