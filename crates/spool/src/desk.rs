//! What is asked of the thread that keeps the spool, and who waits for it.

use crate::options::AppendError;
use std::collections::HashMap;
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::task::Waker;
use std::time::{Duration, Instant};

/// What is wanted.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Ask {
    /// What has been appended is to be brought to the disk,
    pub data: bool,
    /// the cursors are to be saved,
    pub state: bool,
    /// room is to be made for so many bytes.
    pub room: u64,
}

/// What came of it.
#[derive(Debug, Clone, Default)]
pub(crate) struct Outcome {
    pub data: Option<AppendError>,
    pub state: Option<AppendError>,
}

impl Outcome {
    pub fn data(self) -> Result<(), AppendError> {
        self.data.map_or(Ok(()), Err)
    }

    pub fn state(self) -> Result<(), AppendError> {
        self.state.map_or(Ok(()), Err)
    }
}

#[derive(Default)]
struct Sheet {
    data: bool,
    state: bool,
    room: u64,
    stop: bool,
    /// Somebody asked, or the time is up.
    asked: bool,
    /// The last request, and the last one served.
    ticket: u64,
    served: u64,
    outcome: Outcome,
    /// The thread has ended.
    over: bool,
    /// Futures that wait for a sync, by their ticket, and for which id.
    waiting: HashMap<u64, (u64, Waker)>,
    /// Syncs that failed so far, and why the last one did.
    failures: u64,
}

/// The requests.
#[derive(Default)]
pub(crate) struct Desk {
    sheet: Mutex<Sheet>,
    asked: Condvar,
    done: Condvar,
}

/// One round's work.
pub(crate) struct Order {
    pub ask: Ask,
    pub stop: bool,
    /// Nobody asked: it is just time.
    pub tick: bool,
    ticket: u64,
}

impl Desk {
    fn sheet(&self) -> MutexGuard<'_, Sheet> {
        self.sheet.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Asks, and does not wait.
    pub fn ask(&self, ask: Ask) {
        let mut sheet = self.sheet();
        if sheet.asked && (sheet.data || !ask.data) && (sheet.state || !ask.state) && sheet.room >= ask.room {
            return;
        }
        note(&mut sheet, ask);
        self.asked.notify_one();
    }

    /// Asks, and waits until a round that began after this has ended.
    pub fn ask_and_wait(&self, ask: Ask) -> Outcome {
        let mut sheet = self.sheet();
        note(&mut sheet, ask);
        sheet.ticket += 1;
        let ticket = sheet.ticket;
        self.asked.notify_one();
        while sheet.served < ticket && !sheet.over {
            sheet = self.done.wait(sheet).unwrap_or_else(PoisonError::into_inner);
        }
        if sheet.served < ticket { closed() } else { sheet.outcome.clone() }
    }

    /// Ends the thread, after a last round.
    pub fn stop(&self) {
        self.sheet().stop = true;
        self.asked.notify_one();
    }

    /// Registers a future that wants everything below an id on disk. `ticket`: its own of the last time.
    pub fn wait_for(&self, id: u64, ticket: Option<u64>, waker: &Waker) -> Result<u64, AppendError> {
        let mut sheet = self.sheet();
        if sheet.over {
            return closed().data().map(|()| 0);
        }
        let ticket = ticket.unwrap_or_else(|| {
            sheet.ticket += 1;
            sheet.ticket
        });
        sheet.waiting.insert(ticket, (id, waker.clone()));
        if !sheet.data {
            note(&mut sheet, Ask { data: true, ..Ask::default() });
            self.asked.notify_one();
        }
        Ok(ticket)
    }

    /// The future is not interested any more.
    pub fn give_up(&self, ticket: u64) {
        self.sheet().waiting.remove(&ticket);
    }

    /// How many syncs have failed, and why the last one did.
    pub fn failures(&self) -> (u64, Option<AppendError>) {
        let sheet = self.sheet();
        (sheet.failures, sheet.outcome.data.clone())
    }

    /// For the thread: waits for work, at most until this moment.
    pub fn next(&self, until: Instant) -> Order {
        let mut sheet = self.sheet();
        while !sheet.asked && !sheet.stop {
            let left = until.saturating_duration_since(Instant::now());
            if left.is_zero() {
                break;
            }
            sheet = self
                .asked
                .wait_timeout(sheet, left.min(Duration::from_secs(3600)))
                .unwrap_or_else(PoisonError::into_inner)
                .0;
        }
        let ask = Ask { data: sheet.data, state: sheet.state, room: sheet.room };
        let tick = !sheet.asked;
        (sheet.asked, sheet.data, sheet.state, sheet.room) = (false, false, false, 0);
        Order { ask, stop: sheet.stop, tick, ticket: sheet.ticket }
    }

    /// For the thread: a round is done; everything below `durable` is on disk.
    pub fn served(&self, order: &Order, durable: u64, outcome: Outcome) {
        let mut sheet = self.sheet();
        sheet.served = order.ticket;
        let failed = outcome.data.is_some();
        sheet.failures += u64::from(failed);
        sheet.outcome = outcome;
        let woken: Vec<Waker> =
            sheet.waiting.extract_if(|_, (id, _)| failed || *id <= durable).map(|(_, (_, waker))| waker).collect();
        drop(sheet);
        self.done.notify_all();
        woken.into_iter().for_each(Waker::wake);
    }

    /// For the thread: it ends, nobody needs to wait any more.
    pub fn over(&self) {
        let mut sheet = self.sheet();
        sheet.over = true;
        let woken: Vec<Waker> = sheet.waiting.drain().map(|(_, (_, waker))| waker).collect();
        drop(sheet);
        self.done.notify_all();
        woken.into_iter().for_each(Waker::wake);
    }
}

fn note(sheet: &mut Sheet, ask: Ask) {
    sheet.asked = true;
    sheet.data |= ask.data;
    sheet.state |= ask.state;
    sheet.room = sheet.room.max(ask.room);
}

fn closed() -> Outcome {
    let error = AppendError::Io { why: "the spool is closed".to_owned() };
    Outcome { data: Some(error.clone()), state: Some(error) }
}
