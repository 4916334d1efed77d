//! How each link is doing: written by the links, read by the thread that sends.

use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Instant;

/// How one link is doing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Status {
    /// It has just begun.
    Starting,
    /// Nobody is connected, and why.
    Away(String),
    /// Connected, but the other end has not subscribed: whatever is published now goes nowhere.
    Silent,
    /// The other end listens.
    Ready,
}

/// All links of one sender.
#[derive(Debug)]
pub(crate) struct Board {
    links: Mutex<Vec<Status>>,
    changed: Condvar,
}

impl Board {
    pub fn new(links: usize) -> Self {
        Board { links: Mutex::new(vec![Status::Starting; links]), changed: Condvar::new() }
    }

    /// Writes down how a link is doing.
    pub fn set(&self, link: usize, status: Status) {
        let mut links = self.lock();
        if let Some(place) = links.get_mut(link)
            && *place != status
        {
            *place = status;
            self.changed.notify_all();
        }
    }

    /// Waits until `enough` or the deadline, whichever is first, and says how the links are doing then.
    pub fn wait(&self, deadline: Instant, enough: impl Fn(&[Status]) -> bool) -> Vec<Status> {
        let mut links = self.lock();
        while !enough(&links) {
            let left = deadline.saturating_duration_since(Instant::now());
            if left.is_zero() {
                break;
            }
            (links, _) = self.changed.wait_timeout(links, left).unwrap_or_else(PoisonError::into_inner);
        }
        links.clone()
    }

    /// Nothing under this lock can panic half-way, so a poisoned one is as good as new.
    fn lock(&self) -> MutexGuard<'_, Vec<Status>> {
        self.links.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
