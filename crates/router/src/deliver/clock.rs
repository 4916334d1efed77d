//! How time passes between two tries: as it does, or as a test says, so that an hour of an outage takes a moment.

use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

/// The system's clock; or one that also goes on when it is told to.
#[derive(Debug, Clone, Default)]
pub struct Clock(Option<Arc<Played>>);

#[derive(Debug, Default)]
struct Played {
    ahead: Mutex<Duration>,
    resting: AtomicUsize,
}

/// How soon somebody who rests sees that a played clock has gone on.
const GLANCE: Duration = Duration::from_millis(1);

impl Clock {
    /// One that goes on when it is told to.
    pub fn played() -> Self {
        Clock(Some(Arc::default()))
    }

    /// What it shows.
    pub fn now(&self) -> Instant {
        let ahead = self.0.as_ref().map(|played| *played.ahead.lock().unwrap_or_else(PoisonError::into_inner));
        Instant::now() + ahead.unwrap_or_default()
    }

    /// Lets so much time pass, if it is played.
    pub fn advance(&self, time: Duration) {
        if let Some(played) = &self.0 {
            *played.ahead.lock().unwrap_or_else(PoisonError::into_inner) += time;
        }
    }

    /// How many deliverers wait for the next try, if it is played.
    pub fn resting(&self) -> usize {
        self.0.as_ref().map_or(0, |played| played.resting.load(SeqCst))
    }

    /// Somebody rests until this is dropped.
    pub(super) fn rest(&self) -> Resting {
        if let Some(played) = &self.0 {
            played.resting.fetch_add(1, SeqCst);
        }
        Resting(self.0.clone())
    }

    /// How long to sleep if there is so much time left.
    pub(super) fn nap(&self, left: Duration) -> Duration {
        if self.0.is_some() { left.min(GLANCE) } else { left }
    }
}

/// See [`Clock::rest`].
pub(super) struct Resting(Option<Arc<Played>>);

impl Drop for Resting {
    fn drop(&mut self) {
        if let Some(played) = &self.0 {
            played.resting.fetch_sub(1, SeqCst);
        }
    }
}
