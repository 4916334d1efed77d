//! The spool as the router sees it.

use crate::desk::Ask;
use crate::durable::Durable;
use crate::fs::{Disk, Fs};
use crate::journal::{Appended, Core};
use crate::options::{AppendError, OpenError, Options};
use crate::reader::Reader;
use crate::recover::{self, Recovery};
use crate::segment::{MAX_NAME, SLOTS};
use crate::slots::Slot;
use crate::view::View;
use metlog_message::Batch;
use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;

/// A journal in a directory. See the crate's documentation.
pub struct Spool<F: Fs = Disk> {
    pub(crate) core: Arc<Core<F>>,
    thread: Mutex<Option<JoinHandle<()>>>,
}

/// One cursor.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SlotStatus {
    /// The endpoint's name.
    pub name: String,
    /// Its number.
    pub slot: u32,
    /// Whether an endpoint of this name is there. If not, its messages are kept until it comes back or is removed.
    pub registered: bool,
    /// Whether messages are held for it when the spool is full.
    pub required: bool,
    /// The id from which on its number has meant it.
    pub since: u64,
    /// Everything below is settled.
    pub committed: u64,
    /// Messages for it that are not settled.
    pub queued: u64,
    /// About how many bytes that is.
    pub queued_bytes: u64,
    /// When the oldest of them came, in nanoseconds since 1970; at most so late if it is on disk only.
    pub oldest: Option<i64>,
    /// Messages given up to make room.
    pub skipped: u64,
    /// Messages lost to damage.
    pub lost: u64,
    /// Messages it has been sent since its cursor was made: settled, skipped, lost or queued.
    pub wanted: u64,
}

/// The journal.
#[derive(Debug, Clone, PartialEq)]
pub struct SpoolStatus {
    /// Bytes of its files.
    pub bytes: u64,
    /// How many files.
    pub segments: usize,
    /// The oldest id that is still there.
    pub oldest_id: u64,
    /// The next id.
    pub next_id: u64,
    /// Everything below is on disk.
    pub durable_id: u64,
    /// Bytes kept in memory.
    pub window_bytes: u64,
    /// Bytes not on disk yet.
    pub unsynced_bytes: u64,
    /// How often messages were brought to the disk, and how long that took.
    pub syncs: u64,
    /// See `syncs`.
    pub sync_time: Duration,
    /// The last thing that went wrong.
    pub last_error: Option<String>,
    /// Bytes and messages in damaged places, found since the spool was opened.
    pub damaged_bytes: u64,
    /// See `damaged_bytes`.
    pub damaged_messages: u64,
    /// The most bytes it takes.
    pub max_bytes: u64,
    /// Bytes free on its disk.
    pub free: Option<u64>,
}

impl<F: Fs> Spool<F> {
    /// Opens a spool. What the last owner left behind, whole or not, is made use of; [`Recovery`] says how far that went.
    ///
    /// # Errors
    /// If the directory cannot be read and written, or holds a newer version's files. Damage is no error.
    pub fn open(fs: F, options: Options) -> Result<(Arc<Self>, Recovery), OpenError> {
        let (core, recovery) = recover::open(fs, options)?;
        let core = Arc::new(core);
        let keeper = core.clone();
        let thread = std::thread::Builder::new()
            .name("metlog spool".to_owned())
            .spawn(move || keeper.keep())
            .map_err(|error| OpenError::io("start a thread", &error))?;
        Ok((Arc::new(Spool { core, thread: Mutex::new(Some(thread)) }), recovery))
    }

    /// Opens a spool without a thread of its own: nothing gets to the disk and nothing is deleted but by
    /// [`Spool::attend`]. A simulation decides when that is, so that the same seed is the same life. Whatever waits for
    /// room then waits for ever.
    ///
    /// # Errors
    /// As of [`Spool::open`].
    #[cfg(feature = "simulation")]
    pub fn unattended(fs: F, options: Options) -> Result<(Arc<Self>, Recovery), OpenError> {
        let (core, recovery) = recover::open(fs, options)?;
        Ok((Arc::new(Spool { core: Arc::new(core), thread: Mutex::default() }), recovery))
    }

    /// What the thread would do now, of what it was asked; `tick`: and what it does once a second.
    #[cfg(feature = "simulation")]
    pub fn attend(&self, tick: bool) {
        self.core.keep_once(tick);
    }

    /// The number of an endpoint's cursor, which is made if there is none: a new one begins with the next message.
    ///
    /// # Errors
    /// If all numbers are taken, the name does not do, or a new cursor cannot be saved.
    pub fn slot(&self, name: &str, required: bool) -> Result<u32, String> {
        if name.is_empty() || name.len() > MAX_NAME {
            return Err(format!("an endpoint's name has 1 to {MAX_NAME} bytes: `{name}`"));
        }
        let at = {
            let mut view = self.core.view();
            if let Some(at) = view.slots.find(name) {
                view.moved = true;
                if let Some(slot) = view.slots.get_mut(at) {
                    (slot.registered, slot.required) = (true, required);
                }
                return Ok(at as u32);
            }
            let Some(at) = view.slots.free() else {
                let names: Vec<_> = view.slots.iter().map(|(_, slot)| slot.name.as_str()).collect();
                return Err(format!("`{name}` is one endpoint too many: {SLOTS} have a cursor: {}", names.join(", ")));
            };
            let slot = Slot::new(name, required, view.end, view.total(at));
            view.slots.put(at, Some(slot));
            at
        };
        // The next file's header is to know the name.
        self.core.seal(&mut self.core.writer());
        // Before any message is marked for it: the number must not mean somebody else after a crash.
        if let Err(error) = self.core.save(true, false) {
            self.core.view().slots.put(at, None);
            return Err(format!("the cursor of `{name}` cannot be made: {error}"));
        }
        Ok(at as u32)
    }

    /// The endpoint of this name is gone. Its cursor and its messages stay, as an orphan's.
    pub fn release(&self, name: &str) {
        let mut view = self.core.view();
        if let Some(slot) = view.slots.find(name).and_then(|at| view.slots.get_mut(at)) {
            slot.registered = false;
        }
    }

    /// Forgets an orphan's cursor, and with it the messages that were kept for it alone. False: there is none of this name,
    /// or its endpoint is there.
    pub fn remove(&self, name: &str) -> bool {
        {
            let mut view = self.core.view();
            let Some(at) = view.slots.find(name).filter(|at| view.slots.get(*at).is_some_and(|slot| !slot.registered))
            else {
                return false;
            };
            view.slots.put(at, None);
            view.moved = true;
        }
        self.core.seal(&mut self.core.writer());
        // If this fails the next tick does it; until then the cursor may come back, which loses nothing.
        let _ = self.core.desk.ask_and_wait(Ask { state: true, ..Ask::default() });
        true
    }

    /// Appends a batch with one write. May wait for the disk if more is not on it yet than memory may hold.
    ///
    /// # Errors
    /// If there is no room or the disk fails. The batch comes back.
    pub fn append(&self, batch: Batch) -> Result<Appended, (Batch, AppendError)> {
        self.core.append(batch)
    }

    /// An empty batch, with the memory of one nobody needs any more.
    pub fn recycled(&self) -> Batch {
        self.core.pool.take()
    }

    /// A reader that starts at what is committed.
    pub fn reader(self: &Arc<Self>, slot: u32) -> Reader<F> {
        Reader::new(self.clone(), slot)
    }

    /// The id the next message gets.
    pub fn next_id(&self) -> u64 {
        self.core.next.load(Ordering::Acquire)
    }

    /// Everything below is on disk, as [`crate::Sync`] understands it.
    pub fn durable_id(&self) -> u64 {
        self.core.durable.load(Ordering::Acquire)
    }

    /// Ready when everything below an id is on disk, with [`crate::Sync::Ack`]; otherwise at once.
    pub fn when_durable(
        self: &Arc<Self>,
        id: u64,
    ) -> impl Future<Output = Result<(), AppendError>> + Send + use<F> + 'static {
        Durable::new(self.core.clone(), id)
    }

    /// All cursors.
    pub fn slots(&self) -> Vec<SlotStatus> {
        let view = self.core.view();
        let messages: u64 =
            view.end.saturating_sub(view.segments.front().map_or(view.end, |placed| placed.segment.first));
        view.slots.iter().map(|(at, slot)| status(&view, at, slot, messages)).collect()
    }

    /// The journal.
    pub fn status(&self) -> SpoolStatus {
        let free = self.core.fs.free().ok();
        let view = self.core.view();
        SpoolStatus {
            bytes: view.bytes,
            segments: view.segments.len(),
            oldest_id: view.segments.front().map_or(view.end, |placed| placed.segment.first),
            next_id: view.end,
            durable_id: view.durable,
            window_bytes: view.window_bytes,
            unsynced_bytes: view.unsynced(),
            syncs: view.tally.syncs,
            sync_time: view.tally.sync_time,
            last_error: view.tally.last_error.clone(),
            damaged_bytes: view.tally.damaged_bytes,
            damaged_messages: view.tally.damaged_messages,
            max_bytes: self.core.options.max_bytes,
            free,
        }
    }

    /// Brings everything to the disk and ends the thread. Nothing can be appended after this.
    pub fn close(&self) {
        self.core.writer().closed = true;
        self.core.desk.stop();
        let thread = self.thread.lock().unwrap_or_else(PoisonError::into_inner).take();
        if let Some(thread) = thread {
            // A panic there has been printed; there is nothing to be done about it here.
            let _ = thread.join();
        }
    }
}

impl<F: Fs> Drop for Spool<F> {
    fn drop(&mut self) {
        self.close();
    }
}

fn status<F: Fs>(view: &View<F>, at: usize, slot: &Slot, messages: u64) -> SlotStatus {
    let total = view.total(at);
    let queued = slot.queued(total);
    // Ids run on over the gap a crash leaves: then this is too low, and only an estimate.
    let average = view.bytes.checked_div(messages).unwrap_or(0).max(1);
    let from = slot.committed.max(slot.floor.0);
    let in_memory = view.window.partition_point(|kept| kept.frame.end() <= from);
    let oldest = match view.window.get(in_memory).filter(|kept| kept.frame.first_id <= from) {
        Some(_) => {
            let bit = metlog_message::batch::bit(at as u32);
            view.window
                .range(in_memory..)
                .find(|kept| kept.frame.batch.any() & bit != 0)
                .map(|kept| kept.frame.received)
        }
        None => view.at(from).or(Some(0)).and_then(|at| Some(view.segments.get(at)?.segment.created)),
    };
    SlotStatus {
        name: slot.name.clone(),
        slot: at as u32,
        registered: slot.registered,
        required: slot.required,
        since: slot.since,
        committed: from,
        queued,
        queued_bytes: queued.saturating_mul(average),
        oldest: oldest.filter(|_| queued > 0),
        skipped: slot.skipped(),
        lost: slot.lost(),
        wanted: total.saturating_sub(slot.base),
    }
}
