//! Ids of events that were taken a short while ago: clients repeat what they did not hear about in time, and one of
//! them now and then sends an event twice at the same time.

use std::collections::{HashMap, HashSet, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use tokio::sync::OwnedMutexGuard;

/// So many are known without asking a store: at most 9 MB, an hour at 18 events a second.
pub const WINDOW: usize = 65_536;

/// The window, and who is at work on which id.
#[derive(Debug, Clone, Default)]
pub struct Recent(Arc<Mutex<Ids>>);

#[derive(Debug, Default)]
struct Ids {
    known: HashSet<Arc<str>>,
    order: VecDeque<Arc<str>>,
    /// As many as there are requests at a time.
    busy: HashMap<Arc<str>, Arc<tokio::sync::Mutex<()>>>,
}

/// The right to write an event of this id; another with the same id waits until it is known how that went.
#[derive(Debug)]
pub struct Claim {
    recent: Recent,
    id: Arc<str>,
    turn: Option<OwnedMutexGuard<()>>,
}

impl Recent {
    /// Waits until nobody else writes it. None if it was written lately.
    pub async fn claim(&self, id: &str) -> Option<Claim> {
        let id: Arc<str> = id.into();
        let turn = self.ids().busy.entry(id.clone()).or_default().clone();
        let claim = Claim { recent: self.clone(), id, turn: Some(turn.lock_owned().await) };
        let known = self.ids().known.contains(&claim.id);
        (!known).then_some(claim)
    }

    fn ids(&self) -> MutexGuard<'_, Ids> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Claim {
    /// It is safe now, so a repeat need not be written.
    pub fn safe(self) {
        let mut ids = self.recent.ids();
        if ids.known.insert(self.id.clone()) {
            ids.order.push_back(self.id.clone());
        }
        if ids.order.len() > WINDOW
            && let Some(oldest) = ids.order.pop_front()
        {
            ids.known.remove(&oldest);
        }
    }
}

impl Drop for Claim {
    fn drop(&mut self) {
        self.turn = None;
        let mut ids = self.recent.ids();
        // One count is the map's own; whoever waits has another.
        if ids.busy.get(&self.id).is_some_and(|turn| Arc::strong_count(turn) == 1) {
            ids.busy.remove(&self.id);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    fn runtime() -> tokio::runtime::Runtime {
        tokio::runtime::Builder::new_current_thread().enable_time().build().expect("a runtime")
    }

    #[test]
    fn a_repeat_waits_and_is_known_only_once_the_first_is_safe() {
        runtime().block_on(async {
            let recent = Recent::default();
            let first = recent.claim("a").await.expect("new");
            let soon = tokio::time::timeout(Duration::from_millis(20), recent.claim("a")).await;
            assert!(soon.is_err(), "still at work");
            drop(first);
            let second = recent.claim("a").await.expect("the first was not written after all");
            second.safe();
            assert!(recent.claim("a").await.is_none());
            assert!(recent.claim("b").await.is_some());
            assert!(recent.ids().busy.is_empty(), "nobody is at work");
        });
    }

    #[test]
    fn the_window_is_bounded() {
        runtime().block_on(async {
            let recent = Recent::default();
            for id in 0..WINDOW + 10 {
                recent.claim(&id.to_string()).await.expect("new").safe();
            }
            let sizes = |ids: &Ids| (ids.known.len(), ids.order.len());
            assert_eq!(sizes(&recent.ids()), (WINDOW, WINDOW));
            assert!(recent.claim("9").await.is_some(), "forgotten");
            assert!(recent.claim("10").await.is_none(), "still known");
        });
    }
}
