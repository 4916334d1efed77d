//! The one loop every endpoint shares: read, pick, gather, write, retry, settle.
//!
//! An endpoint has a thread of its own for each of its workers, so that whatever it does holds up nobody else. Workers
//! take turns at gathering and write side by side; the cursor is the lowest position not yet settled.

mod again;
mod clock;
mod gather;
mod ledger;

pub use again::{Period, Progress};
pub use clock::Clock;
pub use gather::{Chunk, Gather, Next};
pub use ledger::Ledger;

use crate::accounting::{Doing, EndpointAccount, EndpointCounts, add};
use crate::deadletters::Letter;
use crate::intake::Floor;
use metlog_message::{Lines, Timestamp};
use metlog_pipeline::{Endpoint, Pacing, Picked, Promise, SendError};
use metlog_spool::Waker;
use std::collections::BTreeSet;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

/// How an endpoint is served.
#[derive(Debug, Clone, PartialEq)]
pub struct Habits {
    /// How its batches are cut.
    pub pacing: Pacing,
    /// The first pause after a failure, and the longest.
    pub retry: (Duration, Duration),
    /// After so long without success a batch goes to the dead letters; `None`: never.
    pub give_up_after: Option<Duration>,
}

/// Opens one more instance of an endpoint: for another worker, or after one has panicked.
pub type Open = Arc<dyn Fn() -> Result<Box<dyn Endpoint>, String> + Send + Sync>;

/// An endpoint being served.
pub struct Delivery {
    shared: Arc<Shared>,
    threads: Mutex<Vec<JoinHandle<()>>>,
}

struct Shared {
    floor: Arc<Floor>,
    account: Arc<EndpointAccount>,
    habits: Habits,
    promise: Promise,
    open: Open,
    gather: Mutex<Gather>,
    ledger: Mutex<Ledger>,
    waker: Waker,
    orders: Mutex<Orders>,
    again: again::Queue,
    /// Wakes those who wait to try again.
    changed: Condvar,
}

/// Instances of an endpoint: one, and those of further workers.
pub type Opened = (Box<dyn Endpoint>, Vec<Box<dyn Endpoint>>);

/// What the router wants of the workers.
#[derive(Debug, Clone, Copy, Default)]
struct Orders {
    stop_by: Option<Instant>,
    paused: bool,
    reopen: u64,
    /// Grows when waiting for the next try makes no sense any more.
    hurry: u64,
}

/// How a chunk ended.
enum End {
    /// Each message has a verdict.
    Settled,
    /// The router stops; from this position on nothing is known.
    Stopped(usize),
}

impl Delivery {
    /// Starts serving, with a worker for each instance; `open` makes another in place of one that panicked.
    ///
    /// # Errors
    /// If a thread cannot be had.
    pub fn start(
        floor: Arc<Floor>,
        account: Arc<EndpointAccount>,
        (first, others): Opened,
        open: Open,
        habits: Habits,
        paused: bool,
    ) -> Result<Delivery, String> {
        let reader = floor.spool.reader(account.slot);
        let cursor = floor.spool.reader(account.slot);
        let shared = Arc::new(Shared {
            promise: first.promise(),
            waker: reader.waker(),
            ledger: Mutex::new(Ledger::new(cursor, first.settle())),
            gather: Mutex::new(Gather::new(reader, account.slot, habits.pacing)),
            orders: Mutex::new(Orders { paused, ..Orders::default() }),
            again: again::Queue::default(),
            changed: Condvar::new(),
            floor,
            account,
            habits,
            open,
        });
        let delivery = Delivery { shared: shared.clone(), threads: Mutex::default() };
        for (number, endpoint) in std::iter::once(first).chain(others).enumerate() {
            let worker = Worker {
                shared: shared.clone(),
                endpoint,
                reopened: 0,
                ticked: Instant::now(),
                chunk: Chunk::default(),
            };
            let thread = std::thread::Builder::new()
                .name(format!("to {} {number}", shared.account.name))
                .spawn(move || worker.run())
                .map_err(|error| format!("no thread for endpoint `{}`: {error}", shared.account.name))?;
            delivery.threads.lock().unwrap_or_else(PoisonError::into_inner).push(thread);
        }
        Ok(delivery)
    }

    /// The account this delivery keeps.
    pub fn account(&self) -> &Arc<EndpointAccount> {
        &self.shared.account
    }

    fn order(&self, change: impl FnOnce(&mut Orders)) {
        change(&mut self.shared.orders());
        self.shared.changed.notify_all();
        self.shared.waker.wake();
    }

    /// Files and sockets are to be opened anew.
    pub fn reopen(&self) {
        self.order(|orders| orders.reopen += 1);
    }

    /// Holds delivery up, also where it is trying again, or lets it go on at once. What comes meanwhile is kept.
    pub fn pause(&self, paused: bool) {
        self.order(|orders| {
            orders.paused = paused;
            orders.hurry += u64::from(!paused);
            if !paused {
                // The next try says if that is not so.
                self.shared.account.set_state(|state| (state.doing, state.retry_at) = (Doing::Running, None));
            }
        });
    }

    /// Whether somebody holds it up.
    pub fn is_paused(&self) -> bool {
        self.shared.is_paused()
    }

    /// Delivers a period once more, to this endpoint alone; its conditions are asked again. The account counts it as
    /// redelivered, and nothing as delivered. A stop ends it, and nobody goes on with it at the next start.
    ///
    /// # Errors
    /// If that goes on already, or the spool cannot be read.
    pub fn again(&self, period: Period) -> Result<Progress, String> {
        let (again, feed) = again::begin(&self.shared, period)?;
        if let Some(feed) = feed {
            let name = format!("again {}", self.shared.account.name);
            let thread = std::thread::Builder::new().name(name).spawn(feed);
            let thread = thread.map_err(|error| format!("no thread: {error}"))?;
            self.threads.lock().unwrap_or_else(PoisonError::into_inner).push(thread);
        }
        Ok(again)
    }

    /// What is being delivered again, and how far that is.
    pub fn progress(&self) -> Option<Progress> {
        self.shared.again.progress()
    }

    /// Tries again now.
    pub fn hurry(&self) {
        self.order(|orders| orders.hurry += 1);
    }

    /// Delivers what is there until this moment, then lets go. [`Delivery::join`] waits.
    pub fn stop(&self, by: Instant) {
        self.order(|orders| orders.stop_by = Some(orders.stop_by.map_or(by, |earlier| earlier.min(by))));
    }

    /// Waits for the workers. False if one still hangs in its endpoint at this moment; it is left alone then.
    pub fn join(&self, by: Instant) -> bool {
        let mut threads = std::mem::take(&mut *self.threads.lock().unwrap_or_else(PoisonError::into_inner));
        loop {
            threads.retain(|thread| !thread.is_finished());
            if threads.is_empty() || Instant::now() >= by {
                return threads.is_empty();
            }
            std::thread::sleep(Duration::from_millis(2));
        }
    }
}

impl Shared {
    fn orders(&self) -> MutexGuard<'_, Orders> {
        self.orders.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn is_paused(&self) -> bool {
        self.orders().paused
    }

    fn ledger(&self) -> MutexGuard<'_, Ledger> {
        self.ledger.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn told_again(&self, again: &Progress) {
        crate::say!("endpoint `{}`: {} messages were delivered again", self.account.name, again.done);
    }

    /// Sleeps, unless something happens that ends the waiting, and as long as somebody holds delivery up. True: stop.
    fn rest(&self, time: Duration) -> bool {
        let clock = &self.floor.clock;
        let until = clock.now() + time;
        let _resting = clock.rest(until);
        let mut orders = self.orders();
        let hurry = orders.hurry;
        loop {
            let now = clock.now();
            if orders.stop_by.is_some() {
                return true;
            }
            if !orders.paused && (now >= until || orders.hurry != hurry) {
                return false;
            }
            let more = if orders.paused { TICK } else { until.saturating_duration_since(now) };
            orders = self.changed.wait_timeout(orders, clock.nap(more)).unwrap_or_else(PoisonError::into_inner).0;
        }
    }
}

struct Worker {
    shared: Arc<Shared>,
    endpoint: Box<dyn Endpoint>,
    reopened: u64,
    ticked: Instant,
    chunk: Chunk,
}

/// At least so often an endpoint gets its tick, a settled position its commit, and an order its answer.
const TICK: Duration = Duration::from_millis(500);

/// A longer pause that a peer asks for is a mistake or an attack.
const HOUR: Duration = Duration::from_secs(3600);

impl Worker {
    fn run(mut self) {
        let shared = self.shared.clone();
        loop {
            let orders = {
                let orders = shared.orders();
                if orders.paused && orders.stop_by.is_none() {
                    shared.account.set_state(|state| state.doing = Doing::Paused);
                }
                *orders
            };
            if orders.reopen != self.reopened {
                self.reopened = orders.reopen;
                self.endpoint.reopen();
            }
            if orders.paused {
                // What is held up stays for the next start.
                if orders.stop_by.is_some() {
                    break;
                }
                shared.rest(TICK);
                continue;
            }
            if orders.stop_by.is_some_and(|by| Instant::now() >= by) {
                break;
            }
            self.tick();
            if let Some(chunk) = shared.again.take()
                && !self.deliver_again(&chunk)
            {
                break;
            }
            let patience = if shared.again.is_waiting() { Duration::ZERO } else { TICK };
            let mut chunk = std::mem::take(&mut self.chunk);
            let next = {
                let mut gather = shared.gather.lock().unwrap_or_else(PoisonError::into_inner);
                let ordered = || {
                    let orders = shared.orders();
                    orders.stop_by.is_some() || orders.paused
                };
                let called = || ordered() || shared.again.is_waiting();
                let next = gather.next(&mut chunk, patience, called);
                if let Next::Chunk = next {
                    shared.ledger().begin(&mut chunk);
                }
                next
            };
            match next {
                // Held up in the same moment: it waits here, and if that is to the end, in the spool.
                Next::Chunk if shared.is_paused() && shared.rest(TICK) => break,
                // What does not go through while the router stops waits for the next start, and so does all behind it.
                Next::Chunk if !self.deliver(&mut chunk) => break,
                Next::Chunk => {}
                Next::Nothing if orders.stop_by.is_some() => break,
                Next::Nothing => {}
                Next::Damaged(why) => self.say(&why, Doing::Running, None),
            }
            self.chunk = chunk;
        }
        let within = shared.orders().stop_by.map_or(Duration::ZERO, |by| by.saturating_duration_since(Instant::now()));
        if let Err(error) = self.guarded(|endpoint| endpoint.close(within)) {
            self.say(&error.to_string(), Doing::Stopped, None);
        }
        shared.ledger().release(&shared.account, None);
        shared.account.set_state(|state| state.doing = Doing::Stopped);
    }

    fn tick(&mut self) {
        if self.ticked.elapsed() < TICK {
            return;
        }
        self.ticked = Instant::now();
        if let Err(error) = self.guarded(|endpoint| endpoint.tick()) {
            self.say(&error.to_string(), Doing::Running, None);
        }
        let relapsed = catch_unwind(AssertUnwindSafe(|| self.endpoint.relapsed())).unwrap_or(false);
        let shared = &self.shared;
        if relapsed {
            // In this order, as when a chunk begins.
            let mut gather = shared.gather.lock().unwrap_or_else(PoisonError::into_inner);
            let (from, again) = shared.ledger().relapse();
            gather.rewind(from);
            add(&shared.account.redelivered, again);
        }
        shared.ledger().release(&shared.account, Some(self.ticked));
    }

    /// Writes a chunk until each message has a verdict. False: the router stopped before that.
    fn deliver(&mut self, chunk: &mut Chunk) -> bool {
        let shared = self.shared.clone();
        let mut verdicts = EndpointCounts::default();
        let wanted = chunk.len() as u64;
        if shared.promise == Promise::AtMostOnce && !self.move_first(chunk) {
            return false;
        }
        let end = self.write(chunk, &mut verdicts);
        let whole = matches!(end, End::Settled);
        match shared.promise {
            Promise::AtMostOnce => {
                verdicts.dropped += wanted - verdicts.sum();
                shared.account.settle(|counts| {
                    counts.in_flight -= wanted;
                    counts.add(&verdicts);
                });
            }
            Promise::AtLeastOnce => {
                let upto = match end {
                    End::Settled => chunk.upto,
                    End::Stopped(at) => chunk.ids().get(at).copied().unwrap_or(chunk.upto),
                };
                shared.ledger().finish(&shared.account, chunk, upto, verdicts, whole);
            }
        }
        whole
    }

    /// What the cursor has passed already, once more. False: the router stopped before all of it had a verdict.
    fn deliver_again(&mut self, chunk: &Chunk) -> bool {
        let mut verdicts = EndpointCounts::default();
        let end = self.write(chunk, &mut verdicts);
        add(&self.shared.account.redelivered, verdicts.delivered);
        if let Some(again) = self.shared.again.done(verdicts.sum()) {
            self.shared.told_again(&again);
        }
        matches!(end, End::Settled)
    }

    /// For an endpoint that delivers at most once: the cursor goes ahead, to the disk. False: the router stops.
    fn move_first(&mut self, chunk: &Chunk) -> bool {
        let wanted = chunk.len() as u64;
        let mut pause = self.shared.habits.retry.0;
        loop {
            let mut ledger = self.shared.ledger();
            let moved = self.shared.account.settle(|counts| {
                let moved = ledger.move_first(chunk);
                counts.in_flight += if moved.is_ok() { wanted } else { 0 };
                moved
            });
            drop(ledger);
            let Err(why) = moved else { return true };
            self.say(&format!("the cursor cannot be written: {why}"), Doing::Retrying, Some(pause));
            if self.shared.rest(pause) {
                return false;
            }
            pause = (pause * 2).min(self.shared.habits.retry.1);
        }
    }

    fn write(&mut self, chunk: &Chunk, verdicts: &mut EndpointCounts) -> End {
        let shared = self.shared.clone();
        let (first_pause, longest) = shared.habits.retry;
        let mut pause = first_pause;
        let clock = shared.floor.clock.clone();
        let mut began = clock.now();
        // What is left to write is either all of the chunk or a copy without what is done.
        let mut rest: Option<Lines> = None;
        let mut at = 0;
        let mut last_try = false;
        loop {
            let lines = rest.as_ref().unwrap_or(chunk.lines());
            let ids = chunk.ids().get(at..).unwrap_or_default();
            let (left, bytes) = (lines.len(), lines.bytes().len() as u64);
            let result = {
                let picked = Picked::new(lines, ids).out_of(shared.floor.identity);
                let picked = picked.forwarded(&shared.account.name, chunk.passed());
                self.guarded(|endpoint| endpoint.write(&picked))
            };
            let (why, wait, doing) = match result {
                Ok(()) => {
                    verdicts.delivered += left as u64;
                    add(&shared.account.bytes, bytes);
                    self.well();
                    return End::Settled;
                }
                Err(SendError::Refuse { why, which }) => {
                    // An endpoint's slip must not cost more than one letter, and no thread.
                    let which: BTreeSet<usize> = which.into_iter().filter(|position| *position < left).collect();
                    if !self.bury(lines, ids, which.iter().copied(), "refused", &why) {
                        return End::Stopped(at);
                    }
                    verdicts.dead += which.len() as u64;
                    verdicts.delivered += (left - which.len()) as u64;
                    self.say(&why, Doing::Running, None);
                    return End::Settled;
                }
                Err(SendError::Retry { why, after, done }) => {
                    let done = done.min(left);
                    verdicts.delivered += done as u64;
                    at += done;
                    if done > 0 {
                        rest.get_or_insert_with(|| chunk.lines().clone()).drop_first(done);
                    }
                    let jitter = pause.mul_f64(0.5 + fastrand::f64() * 0.5);
                    pause = if done > 0 { first_pause } else { (pause * 2).min(longest) };
                    // What a peer asks for is honoured, but neither "at once" nor "never".
                    let asked = after.map(|after| after.max(first_pause).min(HOUR));
                    (why, asked.unwrap_or(jitter), Doing::Retrying)
                }
                Err(SendError::Pause { why }) => (why, longest, Doing::Paused),
            };
            add(&shared.account.failures, 1);
            self.say(&why, doing, Some(wait));
            let left = chunk.len() - at;
            if shared
                .habits
                .give_up_after
                .is_some_and(|most| clock.now().saturating_duration_since(began) + wait > most)
            {
                let lines = rest.as_ref().unwrap_or(chunk.lines());
                let ids = chunk.ids().get(at..).unwrap_or_default();
                if !self.bury(lines, ids, 0..left, "gave_up", &why) {
                    return End::Stopped(at);
                }
                verdicts.dead += left as u64;
                return End::Settled;
            }
            let rested = clock.now();
            let stops = shared.rest(wait);
            // Held up is not failed.
            began += clock.now().saturating_duration_since(rested).saturating_sub(wait);
            // Held up to the end: what it has not taken waits for the next start.
            if stops && shared.is_paused() {
                return End::Stopped(at);
            }
            // Once more when the router stops: perhaps what it was waiting for is there.
            if stops && std::mem::replace(&mut last_try, true) {
                return End::Stopped(at);
            }
            add(&shared.account.redelivered, left as u64);
        }
    }

    /// To the dead letters, on disk before the cursor may pass. False: the router stops before that could be done.
    fn bury(
        &mut self,
        lines: &Lines,
        ids: &[u64],
        which: impl Iterator<Item = usize> + Clone,
        reason: &str,
        why: &str,
    ) -> bool {
        let shared = self.shared.clone();
        let from = format!("endpoint {}", shared.account.name);
        let mut pause = shared.habits.retry.0;
        loop {
            let letters = which.clone().filter_map(|at| {
                Some(Letter { from: &from, reason, why, id: Some(*ids.get(at)?), message: lines.get(at)? })
            });
            let Err(error) = shared.floor.dead.keep(letters).and_then(|()| shared.floor.dead.sync()) else {
                return true;
            };
            self.say(&format!("dead letters cannot be kept: {error}"), Doing::Retrying, Some(pause));
            if shared.rest(pause) {
                return false;
            }
            pause = (pause * 2).min(shared.habits.retry.1);
        }
    }

    /// Calls the endpoint. A panic ends this instance, not the thread: a new one takes its place.
    fn guarded<T>(&mut self, call: impl FnOnce(&mut dyn Endpoint) -> Result<T, SendError>) -> Result<T, SendError> {
        let result = catch_unwind(AssertUnwindSafe(|| call(&mut *self.endpoint)));
        result.unwrap_or_else(|panic| {
            let text = panic.downcast_ref::<&str>().map(|text| (*text).to_owned());
            let text = text.or_else(|| panic.downcast_ref::<String>().cloned()).unwrap_or_default();
            match (self.shared.open)() {
                Ok(fresh) => self.endpoint = fresh,
                Err(why) => return Err(SendError::retry(format!("panicked ({text}) and does not open again: {why}"))),
            }
            Err(SendError::retry(format!("panicked: {text}")))
        })
    }

    fn well(&self) {
        let account = &self.shared.account;
        if account.state().doing != Doing::Running {
            crate::say!("endpoint `{}` delivers again", account.name);
            account.set_state(|state| {
                state.doing = Doing::Running;
                state.retry_at = None;
            });
        }
    }

    fn say(&self, why: &str, doing: Doing, again_in: Option<Duration>) {
        let account = &self.shared.account;
        let before = account.state();
        // The same trouble is told once, not at every try; the status has the latest.
        if before.error.as_deref() != Some(why) || before.doing != doing {
            let then = match (doing, again_in) {
                (Doing::Paused, _) => "; it is held until that is put right".to_owned(),
                (_, Some(wait)) => format!("; trying again in {wait:.1?}, its messages are kept"),
                _ => String::new(),
            };
            crate::say!("endpoint `{}`: {why}{then}", account.name);
        }
        let now = Timestamp::now().nanos() / 1_000_000;
        account.set_state(|state| {
            state.doing = doing;
            state.error = Some(why.to_owned());
            state.error_at = Some(now);
            state.retry_at = again_in.map(|wait| now + i64::try_from(wait.as_millis()).unwrap_or(i64::MAX));
        });
    }
}
