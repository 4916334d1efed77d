//! What is looked after by the clock, and what somebody should hear of.

use super::Router;
use metlog_pipeline::Stop;
use std::sync::{Arc, PoisonError};
use std::time::{Duration, Instant};

impl Router {
    /// What has to be looked after by the clock.
    pub(super) fn start_janitor(self: &Arc<Self>) {
        let (tell, stop) = Stop::new();
        let router = Arc::downgrade(self);
        let task = self.runtime.spawn(async move {
            let mut worries = Worries::default();
            while !stop.is_stopped() {
                tokio::select! {
                    () = tokio::time::sleep(Duration::from_secs(1)) => {}
                    () = stop.stopped() => {}
                }
                let Some(router) = router.upgrade() else { return };
                let looked = tokio::task::spawn_blocking(move || {
                    worries.look(&router);
                    worries
                });
                match looked.await {
                    Ok(after) => worries = after,
                    Err(_) => return,
                }
            }
        });
        *self.janitor.lock().unwrap_or_else(PoisonError::into_inner) = Some((tell, task));
    }
}

/// What somebody should hear of once, and not every second.
#[derive(Default)]
struct Worries {
    seconds: u64,
    unaccounted: u64,
    /// Tenths of the spool's room that were full when it was last told.
    full: u64,
}

impl Worries {
    fn look(&mut self, router: &Router) {
        // A failure is counted there, and shows in the status.
        let _ = router.floor.dead.sync();
        let refusing = router.floor.refusing.lock().unwrap_or_else(PoisonError::into_inner).is_some();
        router.floor.forwards.look(&router.floor.spool, refusing);
        let spool = router.floor.spool.status();
        let slots = router.floor.spool.slots();
        router.trend.lock().unwrap_or_else(PoisonError::into_inner).look(&spool, &slots, Instant::now());
        let full = spool.bytes.saturating_mul(10) / spool.max_bytes.max(1);
        if full >= 7 && full > self.full {
            crate::say!(
                "the spool takes {full}0 % of its {} bytes; `metlog-router status` says for whom",
                spool.max_bytes
            );
        }
        self.full = full;
        self.seconds += 1;
        if self.seconds.is_multiple_of(10) {
            let unaccounted = router.account().unaccounted();
            if unaccounted != 0 && unaccounted == self.unaccounted {
                crate::say!(
                    "{unaccounted} messages are unaccounted for: this is a fault of the router, please report it"
                );
            }
            self.unaccounted = unaccounted;
        }
    }
}
