//! Appending: one write, however many readers there are.

use crate::bell::Bell;
use crate::desk::{Ask, Desk};
use crate::frame::{Frame, Pool};
use crate::fs::Fs;
use crate::options::{AppendError, Options, Sync};
use crate::segment::{
    HEAD, Head, Header, MAX_FRAME, PerSlot, Prepared, SLOTS, file_name, prepare, slots_of, wanted_by_each,
};
use crate::state::{Store, write_all};
use crate::view::{Dirty, Kept, Placed, Segment, View, add, subtract};
use metlog_message::{Batch, Timestamp};
use std::cell::RefCell;
use std::hash::{BuildHasher, Hasher};
use std::io::{self, IoSlice};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// Where a batch went.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Appended {
    /// The id of its first message.
    pub first_id: u64,
    /// The id behind its last one.
    pub next_id: u64,
}

/// So many ids are reserved at a time: they can be given out without the state being saved.
pub(crate) const RESERVE: u64 = 1 << 22;
/// Unsynced bytes that start a sync; at four times as many, appending waits for it. They are all in memory.
const UNSYNCED: u64 = 4 << 20;
/// The free space of the disk is asked for again after so many bytes.
const FREE_EVERY: u64 = 8 << 20;

/// What appending, reading and keeping share. Locks are taken in this order: store, writer, view, desk.
pub(crate) struct Core<F: Fs> {
    pub fs: F,
    pub options: Options,
    pub store: Mutex<Store<F>>,
    pub writer: Mutex<Writer<F>>,
    view: Mutex<View<F>>,
    pub desk: Desk,
    pub bells: Vec<Arc<Bell>>,
    pub pool: Arc<Pool>,
    pub next: AtomicU64,
    pub durable: AtomicU64,
    /// Ids below may be given out.
    pub reserved: AtomicU64,
}

/// The end of the journal.
pub(crate) struct Writer<F: Fs> {
    active: Option<Active<F>>,
    next: u64,
    /// Bytes that may be written before the disk's free space is asked for again.
    budget: u64,
    pub closed: bool,
}

struct Active<F: Fs> {
    segment: Arc<Segment>,
    file: Arc<F::File>,
    at: u64,
}

/// What is in the way of a batch.
enum Obstacle {
    Ids,
    Unsynced,
    Room(String),
}

/// Damaged bytes that are kept.
const QUARANTINED: u64 = 64 << 20;

thread_local! {
    static TABLE: RefCell<Vec<u8>> = const { RefCell::new(Vec::new()) };
}

impl<F: Fs> Core<F> {
    pub fn new(fs: F, options: Options, store: Store<F>, view: View<F>, reserved: u64) -> Self {
        let bells: Vec<Arc<Bell>> = (0..SLOTS).map(|_| Arc::default()).collect();
        // What is left from before has to be delivered too.
        let waiting = view.slots.iter().filter(|(at, slot)| slot.queued(view.total(*at)) > 0);
        waiting.filter_map(|(at, _)| bells.get(at)).for_each(|bell| bell.ring(view.end));
        Core {
            fs,
            options,
            store: Mutex::new(store),
            writer: Mutex::new(Writer { active: None, next: view.end, budget: 0, closed: false }),
            desk: Desk::default(),
            bells,
            pool: Arc::default(),
            next: AtomicU64::new(view.end),
            durable: AtomicU64::new(view.durable),
            reserved: AtomicU64::new(reserved),
            view: Mutex::new(view),
        }
    }

    pub fn view(&self) -> MutexGuard<'_, View<F>> {
        self.view.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub fn writer(&self) -> MutexGuard<'_, Writer<F>> {
        self.writer.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Appends a batch, in one write.
    pub fn append(&self, batch: Batch) -> Result<Appended, (Batch, AppendError)> {
        if batch.is_empty() {
            let next = self.next.load(Ordering::Acquire);
            return Ok(Appended { first_id: next, next_id: next });
        }
        TABLE.with_borrow_mut(|table| {
            let whole = HEAD + batch.len() * crate::segment::ROW + batch.bytes();
            if whole > MAX_FRAME {
                let why = format!("a batch of {} bytes; {MAX_FRAME} is the most", batch.bytes());
                return Err((batch, AppendError::Io { why }));
            }
            let prepared = prepare(&batch, table);
            let result = self.put(batch, &prepared, table);
            if table.capacity() > 1 << 20 {
                *table = Vec::new();
            }
            result
        })
    }

    fn put(&self, batch: Batch, prepared: &Prepared, table: &[u8]) -> Result<Appended, (Batch, AppendError)> {
        let mut writer = match self.clear_way(&batch, prepared.length as u64) {
            Ok(writer) => writer,
            Err(error) => return Err((batch, error)),
        };
        let first = writer.next;
        let received = Timestamp::now().nanos();
        let mut head = Head {
            salt: 0,
            length: prepared.length as u32,
            count: batch.len() as u32,
            first,
            received,
            any: batch.any(),
            body: prepared.body,
        };
        if let Err(error) = self.write(&mut writer, &mut head, table, batch.lines().bytes()) {
            self.view().tally.last_error = Some(error.to_string());
            return Err((batch, error));
        }
        let any = batch.any();
        let next = head.end();
        let frame = Arc::new(Frame::new(first, received, batch, self.pool.clone()));
        self.publish(&mut writer, frame, &head, &prepared.counts);
        drop(writer);
        slots_of(any).filter_map(|slot| self.bells.get(slot)).for_each(|bell| bell.ring(next));
        if self.reserved.load(Ordering::Relaxed) < next + RESERVE / 2 {
            self.desk.ask(Ask { state: true, ..Ask::default() });
        }
        Ok(Appended { first_id: first, next_id: next })
    }

    /// Counts a damaged place, once however many readers come past, and keeps its bytes. False: it was known.
    pub fn note_damage(&self, segment: &Segment, file: &F::File, from: u64, to: u64, messages: u64) -> bool {
        let mut view = self.view();
        // A bound: who has so many damaged places does not need them told apart.
        if view.tally.places.len() >= 4096 || !view.tally.places.insert((segment.first, from)) {
            return false;
        }
        view.tally.damaged_bytes += to - from;
        view.tally.damaged_messages += messages;
        view.tally.last_error = Some(format!("{} is damaged at byte {from}", segment.name));
        let room = view.tally.quarantined + (to - from) <= QUARANTINED;
        view.tally.quarantined += to - from;
        drop(view);
        if room {
            crate::scan::quarantine(&self.fs, &segment.name, file, from, to);
        }
        true
    }

    /// Waits until nothing is in the way of a batch, and takes the end of the journal.
    fn clear_way(&self, batch: &Batch, length: u64) -> Result<MutexGuard<'_, Writer<F>>, AppendError> {
        let mut asked_room = false;
        let mut tries = 0;
        loop {
            let mut writer = self.writer();
            if writer.closed {
                return Err(AppendError::Io { why: "the spool is closed".to_owned() });
            }
            let Some(obstacle) = self.obstacle(&mut writer, batch.len() as u64, length) else { return Ok(writer) };
            drop(writer);
            tries += 1;
            match obstacle {
                Obstacle::Room(why) if asked_room => return Err(AppendError::Full { why }),
                Obstacle::Room(_) => {
                    asked_room = true;
                    // Whether it worked shows at the next look.
                    let _ = self.desk.ask_and_wait(Ask { room: length + self.header_room(), ..Ask::default() });
                }
                Obstacle::Ids => self.desk.ask_and_wait(Ask { state: true, ..Ask::default() }).state()?,
                Obstacle::Unsynced => self.desk.ask_and_wait(Ask { data: true, ..Ask::default() }).data()?,
            }
            if tries > 100 {
                return Err(AppendError::Io { why: "others take all that is made room for".to_owned() });
            }
        }
    }

    fn header_room(&self) -> u64 {
        // Numbers and a few names; at the cap nobody minds a page.
        4096
    }

    fn obstacle(&self, writer: &mut Writer<F>, count: u64, length: u64) -> Option<Obstacle> {
        if writer.next.checked_add(count).is_none_or(|next| next > self.reserved.load(Ordering::Acquire)) {
            return Some(Obstacle::Ids);
        }
        let view = self.view();
        let unsynced = view.unsynced();
        let bytes = view.bytes;
        if unsynced + length > UNSYNCED * 4 && unsynced > 0 {
            return Some(Obstacle::Unsynced);
        }
        let needed = length + self.header_room();
        if bytes + needed > self.options.max_bytes {
            let last = view.segments.len().saturating_sub(1);
            let (end, marks) = view.end_of(0);
            let holders = view.slots.holders(end, &marks);
            let names: Vec<_> = holders.iter().filter_map(|at| Some(view.slots.get(*at)?.name.clone())).collect();
            let limit = self.options.max_bytes;
            let why = format!(
                "{bytes} of at most {limit} bytes are in use (spool.max_bytes), in {} files; waiting for {}",
                last + 1,
                if names.is_empty() { "the next file".to_owned() } else { names.join(", ") }
            );
            return Some(Obstacle::Room(why));
        }
        drop(view);
        if unsynced > UNSYNCED {
            self.desk.ask(Ask { data: true, ..Ask::default() });
        }
        if writer.budget < needed {
            // If the disk does not say, its own refusal will do.
            let free = self.fs.free().unwrap_or(u64::MAX);
            let usable = free.saturating_sub(self.options.free_floor);
            if usable < needed {
                let floor = self.options.free_floor;
                return Some(Obstacle::Room(format!(
                    "{free} bytes are free on its disk, {floor} must stay (spool.free_floor)"
                )));
            }
            writer.budget = usable.min(FREE_EVERY.max(needed));
        }
        None
    }

    /// Writes a frame behind the last one, or to a new file.
    fn write(&self, writer: &mut Writer<F>, head: &mut Head, table: &[u8], text: &[u8]) -> Result<(), AppendError> {
        for attempt in 0..2 {
            let full = writer.active.as_ref().is_some_and(|active| {
                active.at > active.segment.start && active.at + u64::from(head.length) > self.segment_bytes()
            });
            if full {
                self.seal(writer);
            }
            if self.view().broken {
                self.restart(writer)?;
            }
            if writer.active.is_none() {
                self.begin(writer, None)?;
            }
            let Some(active) = &mut writer.active else { continue };
            head.salt = active.segment.salt.unwrap_or_default();
            let bytes = head.write();
            let Err(error) = write_parts(&self.fs, &active.file, active.at, [&bytes, table, text]) else {
                active.at += u64::from(head.length);
                writer.budget = writer.budget.saturating_sub(u64::from(head.length));
                return Ok(());
            };
            writer.budget = 0;
            let failed = AppendError::of(&format!("write {}", active.segment.name), &error);
            // What was written of it is in nobody's way, but takes room; the next frame overwrites it anyway.
            let _ = self.fs.cut(&active.file, active.at);
            if matches!(failed, AppendError::Full { .. }) || attempt > 0 {
                return Err(failed);
            }
            self.restart(writer)?;
        }
        Err(AppendError::Io { why: "no file could be begun".to_owned() })
    }

    /// A file's size: small enough that a small cap still has several of them.
    fn segment_bytes(&self) -> u64 {
        self.options.segment_bytes.min((self.options.max_bytes / 8).max(4096))
    }

    /// Nothing more goes to the present file.
    pub fn seal(&self, writer: &mut Writer<F>) {
        let Some(active) = writer.active.take() else { return };
        let mut view = self.view();
        view.sealed = true;
        let never = self.options.sync == Sync::Never;
        for dirty in &mut view.dirty {
            dirty.sealed |= dirty.first == active.segment.first;
        }
        view.dirty.retain(|dirty| !(never && dirty.sealed));
    }

    /// Begins a file. What is written there is on disk only when both the file and its name have been synced.
    fn begin(&self, writer: &mut Writer<F>, again: Option<(u64, u64, PerSlot)>) -> Result<(), AppendError> {
        let (first, follows, wanted, names) = {
            let mut view = self.view();
            let (first, follows, wanted) = again.unwrap_or((writer.next, view.content_end, view.totals));
            // One that was begun and never got a frame.
            while let Some(empty) = view.segments.pop_back_if(|placed| placed.segment.first >= first) {
                view.bytes = view.bytes.saturating_sub(empty.bytes);
                view.dirty.retain(|dirty| dirty.first != empty.segment.first);
            }
            (first, follows, wanted, view.slots.named())
        };
        let name = file_name(first);
        let header = Header { salt: salt(), first, follows, created: Timestamp::now().nanos(), wanted, names };
        let bytes = header.write();
        let made = match self.fs.create(&name) {
            // Left by an attempt that failed: no message with this id, or one behind, has ever been on disk.
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
                self.fs.remove(&name).and_then(|()| self.fs.create(&name))
            }
            made => made,
        };
        let file = made.map_err(|error| AppendError::of(&format!("make {name}"), &error))?;
        if let Err(error) = write_all(&self.fs, &file, 0, &bytes) {
            let _ = self.fs.remove(&name);
            return Err(AppendError::of(&format!("write {name}"), &error));
        }
        let start = bytes.len() as u64;
        let Header { salt, created, .. } = header;
        let segment = Arc::new(Segment { name, first, follows, wanted, salt: Some(salt), created, start });
        let file = Arc::new(file);
        let mut view = self.view();
        view.segments.push_back(Placed { segment: segment.clone(), bytes: start, last: created });
        view.bytes += start;
        view.sealed = false;
        view.dirty.push(Dirty { file: file.clone(), first, sealed: false, fresh: true });
        drop(view);
        writer.active = Some(Active { segment, file, at: start });
        Ok(())
    }

    /// After a failure: nothing more is expected of the files that were not on disk. What they should hold is in memory, and
    /// is written again, to a new one.
    pub fn restart(&self, writer: &mut Writer<F>) -> Result<(), AppendError> {
        writer.active = None;
        let mut view = self.view();
        view.epoch += 1;
        view.broken = true;
        view.sealed = true;
        view.dirty.clear();
        let durable = view.durable;
        let frames: Vec<_> =
            view.window.iter().filter(|kept| kept.frame.end() > durable).map(|kept| kept.frame.clone()).collect();
        let first = frames.first().map_or(writer.next, |frame| frame.first_id);
        let mut wanted = view.totals;
        for frame in &frames {
            subtract(&mut wanted, &wanted_by_each(&frame.batch));
        }
        // A file that begins with such a frame is of no use at all, and its name is needed.
        let mut follows = first;
        while let Some(placed) = view.segments.pop_back_if(|placed| placed.segment.first >= first) {
            follows = placed.segment.follows;
            view.bytes = view.bytes.saturating_sub(placed.bytes);
            view.useless.push(placed.segment.name.clone());
        }
        let useless = view.useless.clone();
        drop(view);
        for name in &useless {
            match self.fs.remove(name) {
                Err(error) if error.kind() != io::ErrorKind::NotFound => {
                    return Err(AppendError::of(&format!("remove {name}"), &error));
                }
                _ => self.view().useless.retain(|other| other != name),
            }
        }
        if !frames.is_empty() {
            self.begin(writer, Some((first, follows, wanted)))?;
            frames.iter().try_for_each(|frame| self.rewrite(writer, frame))?;
        }
        self.view().broken = false;
        Ok(())
    }

    fn rewrite(&self, writer: &mut Writer<F>, frame: &Arc<Frame>) -> Result<(), AppendError> {
        let Some(active) = &mut writer.active else {
            return Err(AppendError::Io { why: "no file could be begun".to_owned() });
        };
        let mut table = Vec::new();
        let prepared = prepare(&frame.batch, &mut table);
        let head = Head {
            salt: active.segment.salt.unwrap_or_default(),
            length: prepared.length as u32,
            count: frame.batch.len() as u32,
            first: frame.first_id,
            received: frame.received,
            any: frame.batch.any(),
            body: prepared.body,
        };
        if let Err(error) =
            write_parts(&self.fs, &active.file, active.at, [&head.write(), &table, frame.batch.lines().bytes()])
        {
            let failed = AppendError::of(&format!("write {}", active.segment.name), &error);
            // Half of what must be in it: the next attempt begins with another.
            writer.active = None;
            return Err(failed);
        }
        active.at += u64::from(head.length);
        let mut view = self.view();
        view.bytes += u64::from(head.length);
        if let Some(placed) = view.segments.back_mut() {
            placed.bytes = active.at;
            placed.last = frame.received;
        }
        if let Some(kept) = view.window.iter_mut().find(|kept| kept.frame.first_id == frame.first_id) {
            kept.segment = active.segment.clone();
            kept.behind = active.at;
        }
        Ok(())
    }

    /// Shows a frame that has been written to everybody.
    fn publish(&self, writer: &mut Writer<F>, frame: Arc<Frame>, head: &Head, counts: &PerSlot) {
        let Some(active) = &writer.active else { return };
        writer.next = head.end();
        let bytes = u64::from(head.length);
        let mut view = self.view();
        add(&mut view.totals, counts);
        view.end = head.end();
        view.content_end = head.end();
        view.bytes += bytes;
        view.written += bytes;
        if let Some(placed) = view.segments.back_mut() {
            placed.bytes = active.at;
            placed.last = head.received;
        }
        let kept = Kept { frame, segment: active.segment.clone(), behind: active.at, bytes };
        view.window.push_back(kept);
        view.window_bytes += bytes;
        if self.options.sync == Sync::Never {
            view.durable = head.end();
            view.synced = view.written;
            self.durable.store(head.end(), Ordering::Release);
        }
        self.next.store(head.end(), Ordering::Release);
        view.trim(self.options.window_bytes as u64);
    }
}

/// Writes parts behind each other, in one call if the system takes them so.
fn write_parts<F: Fs>(fs: &F, file: &F::File, at: u64, parts: [&[u8]; 3]) -> io::Result<()> {
    let slices = parts.map(IoSlice::new);
    let mut written = loop {
        match fs.write(file, at, &slices) {
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            result => break result?,
        }
    };
    if written == 0 {
        return Err(io::ErrorKind::WriteZero.into());
    }
    let mut at = at;
    for part in parts {
        let done = written.min(part.len());
        written -= done;
        at += done as u64;
        let rest = part.get(done..).unwrap_or_default();
        write_all(fs, file, at, rest)?;
        at += rest.len() as u64;
    }
    Ok(())
}

/// Drawn anew for each file. The hasher's keys are the system's randomness.
fn salt() -> u32 {
    std::hash::RandomState::new().build_hasher().finish() as u32
}
