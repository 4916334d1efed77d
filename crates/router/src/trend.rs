//! What has been going on in the last minutes: how fast the spool grows, what a sync takes, who is moving.

use metlog_spool::{SlotStatus, SpoolStatus};
use std::collections::{BTreeMap, VecDeque};
use std::time::{Duration, Instant};

/// One look per second, for five minutes.
const LOOKS: usize = 300;
/// Less says nothing about where it goes.
const LEAST: Duration = Duration::from_secs(3);
/// Who has delivered within this time is delivering.
const RECENT: Duration = Duration::from_secs(2);

/// The last minutes.
#[derive(Debug, Default)]
pub struct Trend {
    looks: VecDeque<Look>,
    moved: BTreeMap<String, (u64, Option<Instant>)>,
}

#[derive(Debug, Clone, Copy)]
struct Look {
    at: Instant,
    bytes: u64,
    /// What waits for the one for whom the most does, of those the spool waits for.
    behind: u64,
    syncs: u64,
    sync_time: Duration,
}

impl Look {
    fn of(spool: &SpoolStatus, slots: &[SlotStatus], at: Instant) -> Self {
        let behind = slots.iter().filter(|slot| slot.required).map(|slot| slot.queued).max().unwrap_or(0);
        Look { at, bytes: spool.bytes, behind, syncs: spool.syncs, sync_time: spool.sync_time }
    }
}

impl Trend {
    /// A look at the spool, once a second.
    pub fn look(&mut self, spool: &SpoolStatus, slots: &[SlotStatus], now: Instant) {
        if self.looks.len() >= LOOKS {
            self.looks.pop_front();
        }
        self.looks.push_back(Look::of(spool, slots, now));
    }

    /// When the spool will be full if it goes on as it does. `None`: it does not grow because of somebody who does not keep
    /// up. What is there already and goes as soon as a file of it is finished is no growth.
    pub fn full_in(&self, spool: &SpoolStatus, slots: &[SlotStatus], floor: u64, now: Instant) -> Option<Duration> {
        let last = Look::of(spool, slots, now);
        let since = self.looks.iter().rposition(|look| look.behind == 0).map_or(0, |at| at + 1);
        let first = self.looks.get(since)?;
        let time = now.saturating_duration_since(first.at);
        let growth = last.bytes.checked_sub(first.bytes).filter(|growth| *growth > 0)?;
        if last.behind <= first.behind || time < LEAST {
            return None;
        }
        let room = spool.max_bytes.saturating_sub(spool.bytes);
        let room = spool.free.map_or(room, |free| room.min(free.saturating_sub(floor)));
        Duration::try_from_secs_f64(room as f64 / (growth as f64 / time.as_secs_f64())).ok()
    }

    /// What a sync takes, in the last minutes, or ever if there was none.
    pub fn sync(&self, spool: &SpoolStatus) -> Option<Duration> {
        let (syncs, time) = self.looks.front().map_or((0, Duration::ZERO), |first| (first.syncs, first.sync_time));
        let recent = (spool.syncs.saturating_sub(syncs), spool.sync_time.saturating_sub(time));
        let (syncs, time) = if recent.0 > 0 { recent } else { (spool.syncs, spool.sync_time) };
        (syncs > 0).then(|| time.div_f64(syncs as f64))
    }

    /// Whether this one has delivered within a moment; `delivered` is how much it has by now.
    pub fn moves(&mut self, endpoint: &str, delivered: u64, now: Instant) -> bool {
        let Some((before, moved)) = self.moved.get_mut(endpoint) else {
            self.moved.insert(endpoint.to_owned(), (delivered, None));
            return false;
        };
        if std::mem::replace(before, delivered) != delivered {
            *moved = Some(now);
        }
        moved.is_some_and(|moved| now.saturating_duration_since(moved) < RECENT)
    }

    /// Forgets those that are not there any more.
    pub fn keep(&mut self, is_there: impl Fn(&str) -> bool) {
        self.moved.retain(|name, _| is_there(name));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn spool(bytes: u64) -> SpoolStatus {
        SpoolStatus {
            bytes,
            segments: 1,
            oldest_id: 0,
            next_id: 0,
            durable_id: 0,
            window_bytes: 0,
            unsynced_bytes: 0,
            syncs: bytes,
            sync_time: Duration::from_millis(2 * bytes),
            last_error: None,
            damaged_bytes: 0,
            damaged_messages: 0,
            max_bytes: 10_000,
            free: Some(7_000),
        }
    }

    fn slots(queued: u64) -> [SlotStatus; 1] {
        [SlotStatus {
            name: "a".into(),
            slot: 0,
            registered: true,
            required: true,
            since: 0,
            committed: 0,
            queued,
            queued_bytes: 0,
            oldest: None,
            skipped: 0,
            lost: 0,
            wanted: 0,
        }]
    }

    #[test]
    fn only_a_backlog_that_grows_fills_the_spool() {
        let start = Instant::now();
        let after = |seconds| start + Duration::from_secs(seconds);
        let full = |queued: &dyn Fn(u64) -> u64| {
            let mut trend = Trend::default();
            (0..20).for_each(|at| trend.look(&spool(100 * at), &slots(queued(at)), after(at)));
            trend.full_in(&spool(2_000), &slots(queued(20)), 1_000, after(20))
        };
        assert_eq!(full(&|_| 0), None, "a file that is being filled goes when it is full");
        assert_eq!(full(&|_| 50), None, "somebody keeps up, a little behind");
        // 100 bytes a second, with 8000 to the limit and 6000 of the disk.
        assert_eq!(full(&|at| 1 + at), Some(Duration::from_secs(60)));
        assert_eq!(full(&|at| at.saturating_sub(10)), Some(Duration::from_secs(60)), "from where it began");
        assert_eq!(full(&|at| at.saturating_sub(18)), None, "too early to say");
        let mut trend = Trend::default();
        assert_eq!(trend.sync(&spool(0)), None);
        assert_eq!(trend.sync(&spool(5)), Some(Duration::from_millis(2)));
        (0..1000).for_each(|at| trend.look(&spool(at), &slots(0), after(at)));
        assert_eq!(trend.looks.len(), LOOKS);
        assert!(!trend.moves("a", 5, after(0)) && trend.moves("a", 6, after(1)) && !trend.moves("a", 6, after(4)));
    }
}
