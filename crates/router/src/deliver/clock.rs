//! How time passes between two tries: as it does, or as a test says, so that an hour of an outage takes a moment.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

/// The system's clock; or one that also goes on when it is told to.
#[derive(Debug, Clone, Default)]
pub struct Clock(Option<Arc<Played>>);

#[derive(Debug, Default)]
struct Played {
    ahead: Mutex<Duration>,
    /// Until when each of them waits.
    resting: Mutex<Vec<Instant>>,
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

    /// How many deliverers wait for a next try whose time has not come, if it is played.
    pub fn resting(&self) -> usize {
        let now = self.now();
        self.0.as_ref().map_or(0, |played| played.resting().iter().filter(|until| **until > now).count())
    }

    /// Somebody rests until then, or until this is dropped.
    pub(super) fn rest(&self, until: Instant) -> Resting {
        if let Some(played) = &self.0 {
            played.resting().push(until);
        }
        Resting(self.0.clone(), until)
    }

    /// How long to sleep if there is so much time left.
    pub(super) fn nap(&self, left: Duration) -> Duration {
        if self.0.is_some() { left.min(GLANCE) } else { left }
    }
}

impl Played {
    fn resting(&self) -> MutexGuard<'_, Vec<Instant>> {
        self.resting.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// See [`Clock::rest`].
pub(super) struct Resting(Option<Arc<Played>>, Instant);

impl Drop for Resting {
    fn drop(&mut self) {
        if let Some(played) = &self.0 {
            let mut resting = played.resting();
            if let Some(at) = resting.iter().position(|until| *until == self.1) {
                resting.swap_remove(at);
            }
        }
    }
}
