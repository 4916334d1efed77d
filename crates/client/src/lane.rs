//! A lane: the bounded queue in front of one sender, and the thread that empties it.
//!
//! Queueing, retry, pauses, limits and counting live here once; a sender only sends. A sender that hangs holds up
//! nothing but its own lane.

use crate::stats::{LaneCounters, add};
use metlog_message::Lines;
use metlog_pipeline::{Pacing, SendError, Sender};
use std::collections::VecDeque;
use std::io::{BufRead, BufReader, Read, Write};
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

/// What happens to a message for which there is no room.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Overflow {
    /// It is dropped, at once.
    DropNew,
    /// The oldest waiting ones are dropped for it.
    DropOld,
    /// The caller waits, at most `block_timeout` and once per outage; then it is dropped.
    #[default]
    Block,
    /// As `Block`; besides, every call is slowed to the pace at which messages have been leaving.
    Pace,
}

impl Overflow {
    /// Its word in configurations.
    pub const fn name(self) -> &'static str {
        match self {
            Overflow::DropNew => "drop_new",
            Overflow::DropOld => "drop_old",
            Overflow::Block => "block",
            Overflow::Pace => "pace",
        }
    }
}

/// Bounds and habits of a lane.
#[derive(Debug, Clone)]
pub(crate) struct Bounds {
    pub bytes: usize,
    pub messages: usize,
    pub overflow: Overflow,
    pub block_timeout: Duration,
    pub retry_min: Duration,
    pub retry_max: Duration,
    /// Where messages go that cannot be sent at exit; `None`: standard error.
    pub spill: Option<PathBuf>,
}

#[derive(Default)]
struct State {
    batches: VecDeque<Lines>,
    bytes: usize,
    messages: usize,
    /// Batches put in, and batches dealt with, since the start; their difference waits or is on its way.
    put: u64,
    done: u64,
    /// Flushes are wanted, and were made, up to this batch.
    flush_wanted: u64,
    flushed: u64,
    closing: Option<Instant>,
    ended: bool,
    spare: Vec<Lines>,
}

/// The queue, shared between the background thread, the sender's thread and whoever flushes.
pub(crate) struct Lane {
    pub name: String,
    pub counters: LaneCounters,
    pub bounds: Bounds,
    state: Mutex<State>,
    /// Something to send, or to end.
    work: Condvar,
    /// Something was sent: room, or a flush is done.
    progress: Condvar,
    thread: Mutex<Option<JoinHandle<()>>>,
}

/// Called with the time a batch took and the number of its messages.
pub(crate) type Observer = Arc<dyn Fn(Duration, usize) + Send + Sync>;

impl Lane {
    /// Starts the thread of a sender.
    pub fn start(
        name: String,
        sender: Box<dyn Sender>,
        pacing: Pacing,
        bounds: Bounds,
        observe: Observer,
    ) -> Result<Arc<Self>, String> {
        let lane = Arc::new(Lane {
            name,
            counters: LaneCounters::default(),
            bounds,
            state: Mutex::default(),
            work: Condvar::new(),
            progress: Condvar::new(),
            thread: Mutex::default(),
        });
        let driver = Driver { lane: lane.clone(), sender, pacing, observe, last_start: None };
        let thread = std::thread::Builder::new()
            .name(format!("metlog {}", lane.name))
            .spawn(move || driver.run())
            .map_err(|error| format!("the thread of sender `{}` does not start: {error}", lane.name))?;
        *lane.thread.lock().unwrap_or_else(PoisonError::into_inner) = Some(thread);
        Ok(lane)
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Queues a batch and gives back an empty buffer for the next. `patient`: may wait for room.
    pub fn put(&self, batch: Lines, patient: bool) -> Lines {
        let (bytes, count) = (batch.bytes().len(), batch.len());
        let mut state = self.state();
        let full = |state: &State| {
            state.messages > 0
                && (state.bytes + bytes > self.bounds.bytes || state.messages + count > self.bounds.messages)
        };
        if full(&state) && patient && !state.ended {
            let waited = self.progress.wait_timeout_while(state, self.bounds.block_timeout, |state| full(state));
            state = waited.unwrap_or_else(PoisonError::into_inner).0;
        }
        if self.bounds.overflow == Overflow::DropOld {
            while full(&state)
                && let Some(oldest) = state.batches.pop_front()
            {
                state.bytes -= oldest.bytes().len();
                state.messages -= oldest.len();
                state.done += 1;
                add(&self.counters.queue_full, oldest.len());
            }
        }
        let mut spare = state.spare.pop().unwrap_or_default();
        if full(&state) || state.ended {
            add(&self.counters.queue_full, count);
            state.spare.push(spare);
            spare = batch;
            spare.clear();
        } else {
            state.bytes += bytes;
            state.messages += count;
            state.put += 1;
            state.batches.push_back(batch);
            drop(state);
            self.work.notify_one();
        }
        spare
    }

    /// Whether half of the room is free: then it is worth saying what was dropped, and waiting makes sense again.
    pub fn has_room(&self) -> bool {
        let state = self.state();
        !state.ended && state.bytes <= self.bounds.bytes / 2 && state.messages <= self.bounds.messages / 2
    }

    /// Asks for a flush of all that was put; the ticket tells when.
    pub fn want_flush(&self) -> u64 {
        let mut state = self.state();
        state.flush_wanted = state.put;
        self.work.notify_one();
        state.put
    }

    /// Waits for a flush. False when it did not happen in time.
    pub fn wait_flushed(&self, ticket: u64, until: Instant) -> bool {
        let wait = until.saturating_duration_since(Instant::now());
        let waiting = |state: &mut State| (state.flushed < ticket || state.done < ticket) && !state.ended;
        let result = self.progress.wait_timeout_while(self.state(), wait, waiting);
        let (state, _) = result.unwrap_or_else(PoisonError::into_inner);
        state.flushed >= ticket && state.done >= ticket
    }

    /// Ends the lane: sends until the deadline, then spills what is left. What a hanging sender holds in its hands
    /// at the deadline stays counted as queued.
    pub fn close(&self, until: Instant) {
        self.state().closing = Some(until);
        self.work.notify_one();
        // Unless it hangs, the sender's thread ends right after the deadline and spills what it held itself.
        let wait = (until + GRACE).saturating_duration_since(Instant::now());
        let result = self.progress.wait_timeout_while(self.state(), wait, |state| !state.ended);
        let (mut state, _) = result.unwrap_or_else(PoisonError::into_inner);
        let left = std::mem::take(&mut state.batches);
        let ended = state.ended;
        state.ended = true;
        drop(state);
        self.spill(&left);
        if ended && let Some(thread) = self.thread.lock().unwrap_or_else(PoisonError::into_inner).take() {
            // It ended by itself; a panic inside a sender was printed by then.
            let _ = thread.join();
        }
    }

    /// Keeps what cannot be sent any more: in the spill file, else on standard error.
    fn spill(&self, left: &VecDeque<Lines>) {
        let count: usize = left.iter().map(Lines::len).sum();
        if count == 0 {
            return;
        }
        let written = match &self.bounds.spill {
            Some(path) => spill_to(path, left).map_err(|error| {
                self.counters.fail(&format!("spill file {}: {error}", path.display()));
            }),
            None => {
                let mut out = std::io::stderr().lock();
                left.iter().try_for_each(|batch| out.write_all(batch.bytes())).map_err(|_| ())
            }
        };
        add(if written.is_ok() { &self.counters.spilled } else { &self.counters.at_exit }, count);
    }
}

fn spill_to(path: &PathBuf, left: &VecDeque<Lines>) -> std::io::Result<()> {
    let mut file = std::fs::OpenOptions::new().create(true).append(true).open(path)?;
    for batch in left {
        file.write_all(batch.bytes())?;
    }
    file.sync_data()
}

/// The sender's side of the lane.
struct Driver {
    lane: Arc<Lane>,
    sender: Box<dyn Sender>,
    pacing: Pacing,
    observe: Observer,
    last_start: Option<Instant>,
}

/// Tells the lane that its thread is gone, also when the sender panicked.
struct Ending(Arc<Lane>);

impl Drop for Ending {
    fn drop(&mut self) {
        if std::thread::panicking() {
            self.0.counters.fail("the sender panicked; its messages go to the spill file or standard error");
        }
        loop {
            let left = {
                let mut state = self.0.state();
                state.ended = state.batches.is_empty();
                std::mem::take(&mut state.batches)
            };
            if left.is_empty() {
                break;
            }
            // More may be put while this is written; ended only when there is nothing left.
            self.0.spill(&left);
        }
        self.0.progress.notify_all();
    }
}

impl Driver {
    fn run(mut self) {
        let _ending = Ending(self.lane.clone());
        crate::engine::mark_internal();
        self.resend_spilled();
        while let Some((batch, closing)) = self.next() {
            match batch {
                Some(batch) => self.deliver(batch),
                None => self.flush(),
            }
            if closing.is_some_and(|until| Instant::now() >= until) {
                break;
            }
        }
        let until = self.lane.state().closing.unwrap_or_else(Instant::now);
        if let Err(error) = self.sender.close(until.saturating_duration_since(Instant::now())) {
            self.lane.counters.fail(error.why());
        }
    }

    /// The next batch, or a flush to make, or the end.
    #[allow(clippy::type_complexity)]
    fn next(&mut self) -> Option<(Option<Lines>, Option<Instant>)> {
        let mut state = self.lane.state();
        loop {
            if state.flush_wanted > state.flushed && state.done >= state.flush_wanted {
                return Some((None, state.closing));
            }
            if let Some(batch) = state.batches.pop_front() {
                return Some((Some(batch), state.closing));
            }
            if state.closing.is_some() {
                return None;
            }
            state = self.lane.work.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
    }

    fn flush(&mut self) {
        let wanted = self.lane.state().flush_wanted;
        if let Err(error) = self.sender.flush() {
            self.lane.counters.fail(error.why());
        }
        self.lane.state().flushed = wanted;
        self.lane.progress.notify_all();
    }

    /// Sends a batch, for as long as it takes or until the lane is closed and out of time.
    fn deliver(&mut self, mut batch: Lines) {
        let (bytes, count) = (batch.bytes().len(), batch.len());
        let mut pause = self.lane.bounds.retry_min;
        while let Some(wanted) = self.attempt(&mut batch, &mut pause) {
            add(&self.lane.counters.retries, 1);
            if !self.rest(wanted) {
                break;
            }
        }
        let mut state = self.lane.state();
        state.bytes -= bytes.min(state.bytes);
        state.messages -= count.min(state.messages);
        state.done += 1;
        if !batch.is_empty() {
            // Only a closing lane leaves something; whoever spills finds it where it was.
            state.batches.push_front(batch);
        } else if state.spare.len() < 4 && batch.capacity() <= 2 * self.pacing.bytes.max(64 * 1024) {
            state.spare.push(batch);
        }
        drop(state);
        self.lane.progress.notify_all();
    }

    /// One try. `None`: the batch is dealt with and empty. Otherwise how long to wait before the next.
    fn attempt(&mut self, batch: &mut Lines, pause: &mut Duration) -> Option<Duration> {
        self.keep_distance();
        let started = Instant::now();
        self.last_start = Some(started);
        let (tried, counters) = (batch.len(), &self.lane.counters);
        let result = match catch_unwind(AssertUnwindSafe(|| self.sender.send(batch))) {
            Ok(result) => result,
            Err(panic) => {
                self.lane.state().batches.push_front(std::mem::take(batch));
                resume_unwind(panic)
            }
        };
        if let Err(error) = &result {
            counters.fail(error.why());
        }
        let longest = self.lane.bounds.retry_max;
        match result {
            Ok(()) => {
                add(&counters.sent, tried);
                (self.observe)(started.elapsed(), tried);
                batch.clear();
            }
            Err(SendError::Refuse { which, .. }) => {
                let refused = which.len().min(tried);
                add(&counters.refused, refused);
                add(&counters.sent, tried - refused);
                batch.clear();
            }
            Err(SendError::Retry { after, done, .. }) => {
                add(&counters.sent, done.min(tried));
                batch.drop_first(done);
                let now = if done > 0 { self.lane.bounds.retry_min } else { *pause };
                *pause = (now * 2).min(longest);
                // What a peer asks for is honoured, but neither "at once" nor, for that is a mistake or an attack, "never".
                let asked = after.map(|after| after.max(self.lane.bounds.retry_min).min(HOUR));
                return (!batch.is_empty()).then(|| asked.unwrap_or_else(|| jitter(now)));
            }
            Err(SendError::Pause { .. }) => return Some(jitter(longest)),
        }
        None
    }

    /// Waits. A closing lane waits less, because this is its last chance; false when it is out of time.
    fn rest(&self, pause: Duration) -> bool {
        let began = Instant::now();
        let mut state = self.lane.state();
        loop {
            let now = Instant::now();
            let pause = if state.closing.is_some() { pause.min(self.lane.bounds.retry_min) } else { pause };
            let wake = began + pause;
            match state.closing {
                Some(end) if now >= end => return false,
                _ if now >= wake => return true,
                end => {
                    let wait = end.map_or(wake, |end| wake.min(end)).saturating_duration_since(now);
                    state = self.lane.work.wait_timeout(state, wait).unwrap_or_else(PoisonError::into_inner).0;
                }
            }
        }
    }

    fn keep_distance(&self) {
        if let Some(last) = self.last_start
            && let Some(pause) = (last + self.pacing.min_interval).checked_duration_since(Instant::now())
        {
            self.rest(pause);
        }
    }

    /// Sends what an earlier run could not. The file goes when all of it is away; after a crash on the way some of it
    /// is sent twice, and told apart by its running numbers.
    fn resend_spilled(&mut self) {
        let Some(path) = self.lane.bounds.spill.clone() else { return };
        let aside = path.with_extension("resending");
        if !aside.exists() && std::fs::rename(&path, &aside).is_err() {
            return;
        }
        match self.resend(&aside) {
            Ok(()) => drop(std::fs::remove_file(&aside)),
            Err(error) => self.lane.counters.fail(&format!("spill file {}: {error}", aside.display())),
        }
    }

    fn resend(&mut self, path: &Path) -> std::io::Result<()> {
        let mut file = BufReader::new(std::fs::File::open(path)?);
        let (mut batch, mut line) = (Lines::new(), Vec::new());
        loop {
            line.clear();
            let read = (&mut file).take(MAX_LINE).read_until(b'\n', &mut line)?;
            if !line.trim_ascii().is_empty() {
                batch.push(line.trim_ascii());
            }
            let full = batch.len() >= self.pacing.messages || batch.bytes().len() >= self.pacing.bytes;
            if !batch.is_empty() && (full || read == 0) {
                add(&self.lane.counters.accepted, batch.len());
                self.lane.state().put += 1;
                self.deliver(std::mem::take(&mut batch));
            }
            if read == 0 {
                return Ok(());
            }
        }
    }
}

/// How much longer than told a close may take before a sender counts as hanging.
const GRACE: Duration = Duration::from_millis(200);
const HOUR: Duration = Duration::from_secs(3600);
/// Longer lines are not ours: no message is.
const MAX_LINE: u64 = 16 * 1024 * 1024;

fn jitter(pause: Duration) -> Duration {
    pause.mul_f64(0.5 + fastrand::f64() / 2.0)
}
