//! What became of every message: the counters of intake, spool and deliverers, put side by side.

use super::{AGAIN, Router};
use crate::accounting::{Account, EndpointAccount, EndpointLine, InputLine, Opened};
use metlog_message::Timestamp;
use metlog_spool::SlotStatus;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::time::Duration;

impl Router {
    pub(super) fn new_account(&self, name: &str, slot: u32) -> Arc<EndpointAccount> {
        let before = self.slot(name).map_or((0, 0, 0), |slot| (slot.queued, slot.skipped, slot.lost));
        let wanted = self.floor.wanted.get(slot as usize).map_or(0, |wanted| wanted.load(Relaxed));
        let opened = Opened {
            accepted: self.floor.accepted.load(Relaxed),
            wanted,
            backlog: before.0,
            skipped: before.1,
            lost: before.2,
        };
        Arc::new(EndpointAccount::new(name, slot, opened))
    }

    pub(super) fn slot(&self, name: &str) -> Option<SlotStatus> {
        self.floor.spool.slots().into_iter().find(|slot| slot.name == name)
    }

    /// The account of every message, at a moment when nothing is between two counters.
    pub fn account(&self) -> Account {
        let mut account = self.account_now();
        for _ in 0..50 {
            if account.unaccounted() == 0 {
                break;
            }
            std::thread::sleep(Duration::from_millis(1));
            account = self.account_now();
        }
        account
    }

    fn account_now(&self) -> Account {
        let parts = self.parts();
        let now = Timestamp::now().nanos();
        let inputs = parts.inputs.iter().map(|input| {
            let counts = input.account.counts();
            (input.name.clone(), InputLine { counts, unaccounted: counts.unaccounted() })
        });
        let mut inputs: BTreeMap<String, InputLine> = inputs.collect();
        let again = self.again.counts();
        if again.received > 0 {
            inputs.insert(AGAIN.to_owned(), InputLine { counts: again, unaccounted: again.unaccounted() });
        }
        let endpoints = parts.endpoints.iter().map(|running| self.endpoint_line(running.delivery.account(), now));
        Account { inputs, endpoints: endpoints.collect() }
    }

    fn endpoint_line(&self, account: &EndpointAccount, now: i64) -> EndpointLine {
        let (counts, slot) = account.counts(|| self.slot(&account.name));
        let numbers = slot.as_ref().map_or((0, 0, 0), |slot| (slot.queued, slot.skipped, slot.lost));
        let (queued, skipped, lost) = numbers;
        let wanted = self.floor.wanted.get(account.slot as usize).map_or(0, |wanted| wanted.load(Relaxed));
        let wanted = wanted - account.opened.wanted;
        let accepted = self.floor.accepted.load(Relaxed) - account.opened.accepted;
        let (skipped, lost) = (skipped - account.opened.skipped, lost - account.opened.lost);
        let told = counts.sum() + counts.in_flight + skipped + lost + queued;
        // Between the two counters of a commit more is wanted than accepted; then it does not add up, and is asked again.
        let filtered = accepted.saturating_sub(wanted);
        let oldest =
            slot.and_then(|slot| slot.oldest).map_or(0, |received| now.saturating_sub(received).max(0) / 1_000_000);
        EndpointLine {
            name: account.name.clone(),
            accepted: accepted + account.opened.backlog,
            filtered,
            counts,
            skipped,
            lost,
            buffered: queued + counts.in_flight,
            backlog: account.opened.backlog,
            failures: account.failures.load(Relaxed),
            redelivered: account.redelivered.load(Relaxed),
            oldest_ms: oldest.cast_unsigned(),
            state: account.state(),
            unaccounted: (accepted + account.opened.backlog - filtered).wrapping_sub(told).cast_signed(),
        }
    }
}
