//! How a reader learns that something came for it.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

/// One for each slot. It knows the last position with something in it rather than that something came, so that there is
/// no moment at which it could be missed.
#[derive(Default)]
pub(crate) struct Bell {
    state: Mutex<State>,
    rung: Condvar,
}

#[derive(Default)]
struct State {
    /// Behind the last message for this slot.
    newest: u64,
    /// Threads asleep: waking nobody costs a system call as well.
    asleep: usize,
}

impl Bell {
    /// Something came, up to this id.
    pub fn ring(&self, end: u64) {
        let mut state = self.state();
        state.newest = end.max(state.newest);
        if state.asleep > 0 {
            self.rung.notify_all();
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Waits for something at or behind this position, or a call.
    pub fn wait(&self, position: u64, called: &AtomicBool, timeout: Duration) -> bool {
        let until = Instant::now().checked_add(timeout);
        let mut state = self.state();
        loop {
            if called.swap(false, Ordering::Relaxed) || state.newest > position {
                return true;
            }
            let left = until.map_or(Duration::from_secs(3600), |until| until.saturating_duration_since(Instant::now()));
            if left.is_zero() {
                return false;
            }
            state.asleep += 1;
            state = self.rung.wait_timeout(state, left).unwrap_or_else(PoisonError::into_inner).0;
            state.asleep -= 1;
        }
    }
}

/// Ends a reader's waiting, from any thread.
#[derive(Clone)]
pub struct Waker {
    pub(crate) bell: Arc<Bell>,
    pub(crate) called: Arc<AtomicBool>,
}

impl Waker {
    /// The reader's present or next [`crate::Reader::wait`] returns.
    pub fn wake(&self) {
        // Under the lock, or it could come between the reader's look and its sleep.
        let _state = self.bell.state();
        self.called.store(true, Ordering::Relaxed);
        self.bell.rung.notify_all();
    }
}
