//! A period of the spool once more, for one endpoint: read beside its cursor, which stays where it is, and delivered
//! between its other batches.

use super::{Chunk, Shared};
use crate::routes::Routes;
use metlog_message::batch::bit;
use metlog_message::{Batch, Lines, head};
use metlog_pipeline::Event;
use serde::Serialize;
use std::collections::VecDeque;
use std::ops::{ControlFlow, Range};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

/// Batches that wait for a worker.
const READY: usize = 2;
/// How long counting beforehand may take. It goes on without knowing how many there will be.
const COUNTING: Duration = Duration::from_secs(10);
/// How soon whoever feeds hears that the endpoint stops.
const BREATH: Duration = Duration::from_millis(200);

/// What to deliver again.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Period {
    /// Messages with these ids,
    pub ids: Range<u64>,
    /// that came in at this time or later, in nanoseconds since 1970.
    pub since: Option<i64>,
}

/// How far that has come.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
pub struct Progress {
    /// How many messages there are to deliver again.
    pub messages: u64,
    /// Whether these are all: there was no time to count more.
    pub counted: bool,
    /// How many are done.
    pub done: u64,
}

/// Where a period waits for the workers.
#[derive(Default)]
pub(super) struct Queue {
    waiting: Mutex<Waiting>,
    room: Condvar,
}

#[derive(Default)]
struct Waiting {
    again: Option<Progress>,
    ready: VecDeque<Chunk>,
    /// Taken by a worker and not done.
    in_hand: usize,
    fed: bool,
}

impl Queue {
    fn lock(&self) -> MutexGuard<'_, Waiting> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// How far it has come, if anything is delivered again.
    pub fn progress(&self) -> Option<Progress> {
        self.lock().again
    }

    pub fn is_waiting(&self) -> bool {
        !self.lock().ready.is_empty()
    }

    pub fn take(&self) -> Option<Chunk> {
        let mut waiting = self.lock();
        let chunk = waiting.ready.pop_front()?;
        waiting.in_hand += 1;
        self.room.notify_all();
        Some(chunk)
    }

    /// A chunk that was taken is done. How far it has come, if that was the last one.
    pub fn done(&self, messages: u64) -> Option<Progress> {
        let mut waiting = self.lock();
        waiting.in_hand -= 1;
        if let Some(again) = &mut waiting.again {
            again.done += messages;
        }
        waiting.end()
    }
}

impl Waiting {
    fn end(&mut self) -> Option<Progress> {
        if self.fed && self.ready.is_empty() && self.in_hand == 0 { self.again.take() } else { None }
    }
}

/// A period, and who asks for it.
struct Reading {
    shared: Arc<Shared>,
    routes: Arc<Routes>,
    period: Period,
    /// Its slot's number has meant this endpoint from the first id on; from the second on it gets what is marked for it
    /// anyway.
    since: u64,
    committed: u64,
}

/// Begins. How many messages it will be, and who feeds them to the workers, if there are any.
pub(super) fn begin(
    shared: &Arc<Shared>,
    period: Period,
) -> Result<(Progress, Option<impl FnOnce() + Send + 'static>), String> {
    let name = &shared.account.name;
    {
        let mut waiting = shared.again.lock();
        if waiting.again.is_some() {
            return Err(format!("endpoint `{name}` is being sent a period again already; wait for its end"));
        }
        *waiting = Waiting { again: Some(Progress::default()), ..Waiting::default() };
    }
    let slot = shared.floor.spool.slots().into_iter().find(|slot| slot.slot == shared.account.slot);
    let (since, committed) = slot.map_or((0, 0), |slot| (slot.since, slot.committed));
    let end = period.ids.end.min(shared.floor.spool.next_id());
    let period = Period { ids: period.ids.start.min(end)..end, ..period };
    let reading = Reading { shared: shared.clone(), routes: shared.floor.routes(), period, since, committed };
    let (mut again, until) = (Progress { counted: true, ..Progress::default() }, Instant::now() + COUNTING);
    let counted = reading.each(&mut |_, _| {
        again.messages += 1;
        again.counted = !again.messages.is_multiple_of(1024) || Instant::now() < until;
        if again.counted { ControlFlow::Continue(()) } else { ControlFlow::Break(()) }
    });
    let failed = counted.err().map(|error| format!("the spool cannot be read: {error}"));
    let none = failed.is_some() || again.messages == 0;
    shared.again.lock().again = (!none).then_some(again);
    match failed {
        Some(why) => Err(why),
        None => Ok((again, (!none).then_some(move || reading.feed()))),
    }
}

impl Reading {
    /// Gives every message of the period that the endpoint takes, with its id.
    fn each(&self, give: &mut dyn FnMut(u64, &[u8]) -> ControlFlow<()>) -> std::io::Result<()> {
        let Reading { shared, routes, period, since, committed } = self;
        let (slot, limits) = (shared.account.slot, &shared.floor.limits);
        let mut frame = |first: u64, _received: i64, batch: &Batch| {
            for ((id, message), wants) in (first..).zip(batch.lines().iter()).zip(batch.wants()) {
                let marked = wants & bit(slot) != 0 && id >= *since;
                if !period.ids.contains(&id) || marked && id >= *committed {
                    continue;
                }
                let Ok(head) = head::scan(message, limits) else { continue };
                if routes.takes_again(slot, marked, &Event { head: &head, raw: message }) {
                    give(id, message)?;
                }
            }
            ControlFlow::Continue(())
        };
        shared.floor.spool.look_through(period.ids.clone(), period.since, &mut frame)
    }

    fn feed(self) {
        let (shared, pacing) = (&self.shared, self.shared.habits.pacing);
        let (mut lines, mut ids) = (Lines::default(), Vec::new());
        let read = self.each(&mut |id, message| {
            let bytes = lines.bytes().len() + message.len();
            if !ids.is_empty() && (ids.len() >= pacing.messages || bytes > pacing.bytes) {
                let full = Chunk::of(std::mem::take(&mut lines), std::mem::take(&mut ids));
                if !self.offer(full) {
                    return ControlFlow::Break(());
                }
            }
            lines.push(message);
            ids.push(id);
            ControlFlow::Continue(())
        });
        if let Err(error) = read {
            crate::say!("endpoint `{}`: not all of the period is delivered again: {error}", shared.account.name);
        }
        let all = ids.is_empty() || self.offer(Chunk::of(lines, ids));
        let mut waiting = shared.again.lock();
        waiting.fed = true;
        let ended = waiting.end();
        drop(waiting);
        if let Some(again) = ended {
            shared.told_again(&again);
        }
        if !all {
            crate::say!("endpoint `{}` stops; what was still to be delivered again is not", shared.account.name);
        }
    }

    /// Waits for room. False: the endpoint stops.
    fn offer(&self, chunk: Chunk) -> bool {
        let queue = &self.shared.again;
        let mut waiting = queue.lock();
        while waiting.ready.len() >= READY {
            if self.shared.orders().stop_by.is_some() {
                return false;
            }
            waiting = queue.room.wait_timeout(waiting, BREATH).unwrap_or_else(PoisonError::into_inner).0;
        }
        waiting.ready.push_back(chunk);
        drop(waiting);
        self.shared.waker.wake();
        true
    }
}
