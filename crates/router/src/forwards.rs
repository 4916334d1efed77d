//! What other routers have forwarded to this one, so that nothing of it comes in twice, however often they repeat it and
//! whoever is killed when.
//!
//! A message is known again by three things together: who forwards it (the key shown, the router's number, the name of its
//! endpoint), its id there, and a checksum of its bytes. So a wrong number, a copied disk or a spool put back from a backup
//! costs a repetition at the worst and never a message.
//!
//! ```text
//!  POST ──► Inlet::forwarded ──► push … ──► commit ──► one frame of the spool: messages, and behind them a note:
//!               │ what is known of these ids              whose they are, their ids there, their checksums
//! ```
//!
//! The note is as safe as the messages, since it is written and synced with them. What is known is also saved to a file now
//! and then; until that is done the spool keeps the files with the notes, so that a start reads the file and the notes
//! behind it, and no more.

mod codec;
mod stream;

use crate::intake::Floor;
use codec::{Note, Saved};
use metlog_http::forward::number;
use metlog_pipeline::{Forwarded, Looping};
use metlog_spool::{Fs, Spool};
use std::collections::HashMap;
use std::fs::File;
use std::io::{self, Write as _};
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};
use stream::Stream;

/// Endpoints of other routers that are followed.
const STREAMS: usize = 1024;
/// Messages that are remembered of all of them together, 16 bytes each, and of one at the most and at the least.
const MESSAGES: usize = 2 << 20;
const OF_ONE: (usize, usize) = (2048, 256 * 1024);
/// Routers that a message may have been at.
const PASSED: usize = 16;
/// What is known is saved after a second, and a second later for each so many bytes of it.
const SAVED_BYTES: usize = 1 << 20;
/// A start need not look through more messages than this for notes.
const BEHIND: u64 = 256 * 1024;
/// Where what is known is damaged, so much of the spool is looked through.
const DAMAGED: u64 = 64 << 20;

/// All that is known.
#[derive(Default)]
pub struct Forwards {
    path: Option<PathBuf>,
    streams: Mutex<HashMap<Box<str>, Arc<Mutex<Stream>>>>,
    saving: Mutex<Saving>,
    received: AtomicU64,
    duplicates: AtomicU64,
    others: AtomicU64,
    loops: AtomicU64,
    collisions: AtomicU64,
    forgotten: AtomicU64,
}

/// What is known about forwarding routers.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, serde::Serialize)]
pub struct Totals {
    /// Endpoints of other routers that have forwarded something.
    pub routers: usize,
    /// Messages that were forwarded, repeated ones among them.
    pub received: u64,
    /// Messages that were forwarded again.
    pub duplicates: u64,
    /// Messages that came with an id that another message had. Two routers have one number, or one has an old spool.
    pub changed: u64,
    /// Requests refused since their messages had been here before, or at too many routers.
    pub loops: u64,
    /// Requests put off since another one was bringing the same messages.
    pub collisions: u64,
    /// Messages remembered now, and those forgotten to make room.
    pub remembered: u64,
    /// See above.
    pub forgotten: u64,
}

/// When what is known was saved, and what waits to be.
#[derive(Default)]
struct Saving {
    /// What is below is in the file.
    upto: u64,
    /// Something has been learnt since.
    changed: bool,
    /// The last one, and how long that holds.
    at: Option<(Instant, Duration)>,
    /// Taken, and to be written when the spool has everything below on disk.
    taken: Option<(Saved, u64)>,
}

/// One request's messages.
pub struct Hop {
    stream: Arc<Mutex<Stream>>,
    version: u64,
    name: Box<str>,
    passed: String,
    ids: Vec<u64>,
    /// What is known of ids in this range, by id.
    known: Vec<(u64, u32)>,
    /// What was taken.
    taken: Vec<(u64, u32)>,
    /// The last of that is the message being judged.
    open: bool,
}

/// Another request was just bringing the same messages.
#[derive(Debug)]
pub struct Collision;

/// One request's messages, about to be appended.
pub struct Claim<'a> {
    stream: MutexGuard<'a, Stream>,
    most: usize,
    /// What is to be noted beside them.
    pub note: Vec<u8>,
}

impl Hop {
    /// What the message at this place is called there and whether it came before; `None`: there is no such place.
    pub fn judge(&mut self, at: usize, message: &[u8]) -> Option<bool> {
        self.open = false;
        let (id, sum) = (*self.ids.get(at)?, crc32c::crc32c(message));
        let from = self.known.partition_point(|(known, _)| *known < id);
        let again = self.known.iter().skip(from).take_while(|(known, _)| *known == id).any(|(_, known)| *known == sum);
        if !again {
            self.taken.push((id, sum));
        }
        self.open = !again;
        Some(again)
    }

    /// The message judged last was not taken after all.
    pub fn refused(&mut self) {
        if std::mem::take(&mut self.open) {
            self.taken.pop();
        }
    }

    /// Whether ids are known that came with other messages.
    fn others(&self) -> u64 {
        let known = |id: &u64| self.known.binary_search_by_key(id, |(known, _)| *known).is_ok();
        self.taken.iter().filter(|(id, _)| known(id)).count() as u64
    }
}

impl Forwards {
    /// What was saved in a directory, and where the spool's files begin that are to be looked through for what came behind.
    pub fn open(data: &Path) -> (Forwards, Option<u64>) {
        let path = data.join("forwards");
        let forwards = Forwards { path: Some(path.clone()), ..Forwards::default() };
        let from = match std::fs::read(&path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => None,
            Err(error) => {
                crate::say!("{} cannot be read: {error}; messages forwarded again may come in twice", path.display());
                Some(0)
            }
            Ok(bytes) => match codec::read(&bytes) {
                Some((upto, streams)) => {
                    let mut all = forwards.streams();
                    for (name, entries) in streams.into_iter().take(STREAMS) {
                        let mut stream = Stream::default();
                        stream.add(&entries, OF_ONE.1);
                        all.insert(name, Arc::new(Mutex::new(stream)));
                    }
                    Some(upto)
                }
                None => {
                    crate::say!("{} is damaged; the newest messages of the spool tell the same", path.display());
                    Some(0)
                }
            },
        };
        (forwards, from)
    }

    /// Looks through the spool for what came behind, and begins to save. `fresh`: it is a new one, and what was saved tells
    /// of messages that are gone with the old one.
    ///
    /// # Errors
    /// If the spool cannot be read, or nothing can be saved.
    pub fn begin<F: Fs>(&self, spool: &Spool<F>, from: Option<u64>, fresh: bool) -> io::Result<()> {
        let next = spool.next_id();
        if fresh {
            self.streams().clear();
        }
        let from = match from {
            None => next,
            Some(0) => spool.newest(DAMAGED),
            Some(from) => from,
        };
        if from < next {
            spool.look_through(from..next, None, &mut |_, _, batch| {
                if let Some(note) = batch.noted().and_then(codec::note) {
                    self.learn(&note);
                }
                ControlFlow::Continue(())
            })?;
        }
        let Saved { bytes, .. } = self.take(next);
        self.write(&bytes)?;
        self.saving().upto = next;
        self.hold(spool);
        Ok(())
    }

    fn streams(&self) -> MutexGuard<'_, HashMap<Box<str>, Arc<Mutex<Stream>>>> {
        self.streams.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// All of them. One of them may be busy for long, and nobody else must wait for it.
    fn all(&self) -> Vec<(Box<str>, Arc<Mutex<Stream>>)> {
        self.streams().iter().map(|(name, stream)| (name.clone(), stream.clone())).collect()
    }

    fn saving(&self) -> MutexGuard<'_, Saving> {
        self.saving.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn learn(&self, note: &Note<'_>) {
        let (stream, most) = self.stream(note.name);
        let forgotten = lock(&stream).add(&note.entries, most);
        self.forgotten.fetch_add(forgotten, Relaxed);
    }

    /// The stream of this name, and how much of it is remembered.
    fn stream(&self, name: &str) -> (Arc<Mutex<Stream>>, usize) {
        let mut streams = self.streams();
        if !streams.contains_key(name) {
            if streams.len() >= STREAMS {
                self.make_room(&mut streams);
            }
            streams.insert(name.into(), Arc::default());
        }
        let most = (MESSAGES / streams.len()).clamp(OF_ONE.0, OF_ONE.1);
        (streams.get(name).cloned().unwrap_or_default(), most)
    }

    /// Forgets the one that has been silent for longest, of the key that has most: who makes many forgets their own.
    fn make_room(&self, streams: &mut HashMap<Box<str>, Arc<Mutex<Stream>>>) {
        let key = |name: &str| name.split('\n').next().unwrap_or_default().to_owned();
        let mut by_key: HashMap<String, usize> = HashMap::new();
        for name in streams.keys() {
            *by_key.entry(key(name)).or_default() += 1;
        }
        let Some(most) = by_key.into_iter().max_by_key(|(_, count)| *count).map(|(key, _)| key) else { return };
        // One that is busy is not silent.
        let used =
            |stream: &Mutex<Stream>| stream.try_lock().map_or_else(|_| Some(Instant::now()), |stream| stream.used);
        let of_key = streams.iter().filter(|(name, _)| key(name) == most);
        let Some(oldest) = of_key.min_by_key(|(_, stream)| used(stream)).map(|(name, _)| name.clone()) else { return };
        if let Some(stream) = streams.remove(&oldest) {
            self.forgotten.fetch_add(lock(&stream).len() as u64, Relaxed);
        }
    }

    /// A request's messages begin.
    ///
    /// # Errors
    /// If they have been here before, or at too many routers.
    pub fn hop<F: Fs>(&self, floor: &Floor<F>, forwarded: Forwarded) -> Result<Hop, Looping> {
        let own = number(floor.identity);
        let Forwarded { key, from, ids, passed } = forwarded;
        if passed.split(',').any(|router| router == own) {
            self.loops.fetch_add(1, Relaxed);
            let why = format!(
                "a loop: these messages have been at this router ({own}) before, on their way over {passed}; one of those \
                 forwards what it should keep"
            );
            return Err(Looping { here: Some(own), why });
        }
        if passed.split(',').count() > PASSED {
            self.loops.fetch_add(1, Relaxed);
            let why = format!("these messages have been at more than {PASSED} routers: {passed}");
            return Err(Looping { here: None, why });
        }
        let name: Box<str> = format!("{key}\n{from}").into();
        let (stream, _) = self.stream(&name);
        let mut guard = lock(&stream);
        guard.used = Some(Instant::now());
        let range = ids.first().copied().unwrap_or(0)..=ids.last().copied().unwrap_or(0);
        let (known, version) = (guard.known(&range), guard.version);
        drop(guard);
        self.received.fetch_add(ids.len() as u64, Relaxed);
        Ok(Hop { stream, version, name, passed, ids, known, taken: Vec::new(), open: false })
    }

    /// The messages of a request are about to be appended, together with the note of what they are. Whoever else brings the
    /// same waits until the claim is gone.
    ///
    /// # Errors
    /// If another request has brought some of the same meanwhile.
    pub fn claim<'a, F: Fs>(&self, spool: &Spool<F>, hop: &'a Hop) -> Result<Claim<'a>, Collision> {
        let (_, most) = self.stream(&hop.name);
        let stream = lock(&hop.stream);
        if stream.version != hop.version {
            let range = hop.ids.first().copied().unwrap_or(0)..=hop.ids.last().copied().unwrap_or(0);
            let known = stream.known(&range);
            if hop.taken.iter().any(|entry| known.binary_search(entry).is_ok()) {
                self.collisions.fetch_add(1, Relaxed);
                return Err(Collision);
            }
        }
        // Before the note is there, so that its file stays until what it says is saved.
        let mut saving = self.saving();
        saving.changed = true;
        spool.hold(saving.upto);
        drop(saving);
        Ok(Claim { stream, most, note: codec::write_note(&hop.name, &hop.passed, &hop.taken) })
    }

    /// They have been appended.
    pub fn keep(&self, hop: &Hop, claim: Claim<'_>) {
        let Claim { mut stream, most, .. } = claim;
        let forgotten = stream.add(&hop.taken, most);
        drop(stream);
        self.forgotten.fetch_add(forgotten, Relaxed);
        let others = hop.others();
        if others > 0 && self.others.fetch_add(others, Relaxed) == 0 {
            crate::say!(
                "{others} messages came with ids that other messages had, from router {}: has its disk been copied, or its \
                 spool been put back from a backup? They are taken",
                hop.name.rsplit('\n').next().unwrap_or_default()
            );
        }
    }

    /// So many of a request's messages were known.
    pub fn repeated(&self, count: u64) {
        self.duplicates.fetch_add(count, Relaxed);
    }

    /// What is known now.
    pub fn totals(&self) -> Totals {
        let streams = self.all();
        let remembered = streams.iter().map(|(_, stream)| lock(stream).len() as u64).sum();
        let get = |counter: &AtomicU64| counter.load(Relaxed);
        Totals {
            routers: streams.len(),
            received: get(&self.received),
            duplicates: get(&self.duplicates),
            changed: get(&self.others),
            loops: get(&self.loops),
            collisions: get(&self.collisions),
            remembered,
            forgotten: get(&self.forgotten),
        }
    }

    /// Saves what is known if it is time. `now`: it is.
    pub fn look<F: Fs>(&self, spool: &Spool<F>, now: bool) {
        if self.path.is_none() {
            return;
        }
        let mut saving = self.saving();
        let due = saving.at.is_none_or(|(at, wait)| at.elapsed() >= wait);
        let behind = spool.next_id().saturating_sub(saving.upto) > BEHIND;
        if (now || saving.taken.is_none() && due) && (saving.changed || behind) {
            saving.changed = false;
            drop(saving);
            let upto = spool.next_id();
            let taken = self.take(upto);
            // What was learnt meanwhile is in it, too, and must not be on disk before its messages are.
            let needs = spool.next_id();
            saving = self.saving();
            saving.taken = Some((taken, needs));
        }
        let Some((taken, _)) = saving.taken.take_if(|(_, needs)| spool.durable_id() >= *needs) else { return };
        let wait = Duration::from_secs(1 + (taken.bytes.len() / SAVED_BYTES) as u64);
        saving.at = Some((Instant::now(), wait));
        drop(saving);
        match self.write(&taken.bytes) {
            Ok(()) => {
                self.saving().upto = taken.upto;
                self.hold(spool);
            }
            Err(error) => {
                self.saving().changed = true;
                crate::say!("what other routers forwarded cannot be saved: {error}; the spool keeps it meanwhile");
            }
        }
    }

    /// Files with notes stay until what they say is saved.
    fn hold<F: Fs>(&self, spool: &Spool<F>) {
        let none = self.streams().is_empty();
        let saving = self.saving();
        spool.hold(if none && !saving.changed { u64::MAX } else { saving.upto });
    }

    fn take(&self, upto: u64) -> Saved {
        let streams = self.all();
        let mut saved = codec::Writer::new(upto, streams.len());
        for (name, stream) in streams {
            saved.stream(&name, lock(&stream).entries());
        }
        saved.end()
    }

    fn write(&self, bytes: &[u8]) -> io::Result<()> {
        let Some(path) = &self.path else { return Ok(()) };
        let new = path.with_extension("new");
        let mut options = File::options();
        options.write(true).create(true).truncate(true);
        #[cfg(unix)]
        std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
        let mut file = options.open(&new)?;
        file.write_all(bytes)?;
        file.sync_all()?;
        std::fs::rename(&new, path)?;
        path.parent().map_or(Ok(()), |folder| File::open(folder)?.sync_all())
    }
}

/// The routers at which the messages of a frame have been, if another router forwarded them.
pub fn passed(noted: Option<&[u8]>) -> Option<&str> {
    codec::passed(noted?)
}

fn lock(stream: &Mutex<Stream>) -> MutexGuard<'_, Stream> {
    stream.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests;
