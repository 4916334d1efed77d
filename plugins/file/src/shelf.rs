//! Files that were rotated away: their names, and a thread that compresses them and throws the oldest away.
//!
//! `all.jsonl` becomes `all.jsonl@20261121T074300.123456Z`, then, compressed, the same with `.gz` or `.zst`. A message
//! cannot forge such a name: no value of a message becomes an `@`.
//!
//! What the thread does to a file's shelf follows from what lies there alone, and every step leaves either the old form
//! of a file or the new one whole. So it may be cut short anywhere, and goes on when it is started again.

use crate::base::{Base, split};
use crate::template::Template;
use metlog_message::Timestamp;
use rustix::fs::{AtFlags, FileType, Mode, OFlags};
use serde::Deserialize;
use std::collections::{BTreeMap, BTreeSet};
use std::fs::File;
use std::io::{self, Read, Write};
use std::os::fd::{AsFd, OwnedFd};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;

/// What may be appended to a file's name: `@`, the moment, an ending, `.tmp`.
pub const SPARE: usize = 1 + 23 + 4 + 4;

/// The thread's list is a set, and beyond this it looks through all files instead.
const LONGEST_LIST: usize = 1024;

/// What is read, compressed and written at a time; between two pieces it may be told to stop.
const PIECE: usize = 64 * 1024;

/// What becomes of a file that was rotated away.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Compress {
    /// It stays as it is.
    #[default]
    None,
    /// `.gz`
    Gzip,
    /// `.zst`
    Zstd,
}

impl Compress {
    fn ending(self) -> &'static str {
        match self {
            Compress::None => "",
            Compress::Gzip => ".gz",
            Compress::Zstd => ".zst",
        }
    }
}

/// Which files there are shelves for.
pub enum Live {
    /// This one, in the base itself.
    One(String),
    /// All that the template may have made.
    Like(Arc<Template>),
}

/// The shelves of an endpoint.
pub struct Shelf {
    shared: Arc<Shared>,
    thread: Option<JoinHandle<()>>,
    last: i64,
}

struct Shared {
    live: Live,
    keep: usize,
    compress: Compress,
    list: Mutex<List>,
    bell: Condvar,
    stop: AtomicBool,
}

struct List {
    base: Arc<Base>,
    /// Paths beneath the base of files whose shelves may have something to be done.
    todo: BTreeSet<String>,
    /// All shelves may.
    all: bool,
    trouble: Option<String>,
}

impl Shelf {
    /// Starts the thread, which first goes on with what was left undone. Nought keeps all files.
    pub fn start(base: Arc<Base>, live: Live, keep: usize, compress: Compress) -> io::Result<Self> {
        let list = List { base, todo: BTreeSet::new(), all: true, trouble: None };
        let (list, bell, stop) = (Mutex::new(list), Condvar::new(), AtomicBool::new(false));
        let shared = Arc::new(Shared { live, keep, compress, list, bell, stop });
        let worker = shared.clone();
        let thread = std::thread::Builder::new().name("metlog-shelf".into()).spawn(move || worker.work())?;
        Ok(Shelf { shared, thread: Some(thread), last: 0 })
    }

    /// Moves the file at this path beneath the base to its shelf.
    pub fn put(&mut self, path: &str) -> io::Result<()> {
        let base = self.shared.lock().base.clone();
        let (folder, name) = split(path);
        let folder = base.folder(folder, false)?;
        let mut at = Timestamp::now().nanos().max(self.last.saturating_add(1000));
        let shelved = loop {
            let shelved = format!("{name}@{}", stamp(Timestamp::from_nanos(at)));
            let taken = |ending| rustix::fs::statat(&folder, format!("{shelved}{ending}"), AtFlags::SYMLINK_NOFOLLOW);
            if ["", ".gz", ".zst"].into_iter().all(|ending| taken(ending).is_err()) {
                break shelved;
            }
            at = at.saturating_add(1000);
        };
        self.last = at;
        rustix::fs::renameat(&folder, name, &folder, shelved.as_str())?;
        let mut list = self.shared.lock();
        if list.todo.len() < LONGEST_LIST {
            list.todo.insert(path.to_owned());
        } else {
            list.all = true;
        }
        drop(list);
        self.shared.bell.notify_one();
        Ok(())
    }

    /// Another folder stands at the base's path by now.
    pub fn rebase(&self, base: Arc<Base>) {
        let mut list = self.shared.lock();
        (list.base, list.all) = (base, true);
        drop(list);
        self.shared.bell.notify_one();
    }

    /// What went wrong since the last time.
    pub fn trouble(&self) -> Option<String> {
        self.shared.lock().trouble.take()
    }
}

impl Drop for Shelf {
    /// Stops between two pieces of a file; what is left undone waits for the next start.
    fn drop(&mut self) {
        // Under the lock, so that the thread cannot miss the bell between looking and going to sleep.
        let list = self.shared.lock();
        self.shared.stop.store(true, Ordering::Relaxed);
        drop(list);
        self.shared.bell.notify_one();
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, List> {
        self.list.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn stopped(&self) -> bool {
        self.stop.load(Ordering::Relaxed)
    }

    fn work(&self) {
        while let Some((base, path)) = self.next() {
            let done = match &path {
                Some(path) => self.tidy(&base, path),
                None => self.find(&base),
            };
            if let (Err(error), false) = (done, self.stopped()) {
                let path = base.path().join(path.unwrap_or_default());
                self.lock().trouble = Some(format!("the rotated files of {}: {error}", path.display()));
            }
        }
    }

    /// What is to be done next: one file's shelf, or looking for all; none when it is time to stop.
    fn next(&self) -> Option<(Arc<Base>, Option<String>)> {
        let mut list = self.lock();
        loop {
            if self.stopped() {
                return None;
            }
            if std::mem::take(&mut list.all) {
                return Some((list.base.clone(), None));
            }
            if let Some(path) = list.todo.pop_first() {
                return Some((list.base.clone(), Some(path)));
            }
            list = self.bell.wait(list).unwrap_or_else(PoisonError::into_inner);
        }
    }

    /// Finds all shelves and tidies them.
    fn find(&self, base: &Base) -> io::Result<()> {
        match &self.live {
            Live::One(name) => self.tidy(base, name),
            Live::Like(template) => self.descend(base, template, 0, ""),
        }
    }

    fn descend(&self, base: &Base, template: &Template, depth: usize, folder: &str) -> io::Result<()> {
        let mut names = BTreeSet::new();
        for (name, kind) in listed(base.folder(folder, false)?)? {
            let below = if folder.is_empty() { name.clone() } else { format!("{folder}/{name}") };
            if depth == template.depth() {
                names.extend(shelved(&name).map(|(live, ..)| live.to_owned()));
            } else if kind == FileType::Directory && template.may_be(depth, &name) && !self.stopped() {
                self.descend(base, template, depth + 1, &below)?;
            }
        }
        for name in names.into_iter().filter(|name| template.may_be(depth, name)) {
            self.tidy(base, &if folder.is_empty() { name } else { format!("{folder}/{name}") })?;
        }
        Ok(())
    }

    /// Brings one file's shelf in order: no half-made files, no more than are kept, all compressed.
    fn tidy(&self, base: &Base, path: &str) -> io::Result<()> {
        let (folder, live) = split(path);
        let folder = base.folder(folder, false)?;
        let mut shelf: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
        for (name, kind) in listed(folder.try_clone()?)? {
            match shelved(&name) {
                Some((of, stamp, ending)) if of == live && kind == FileType::RegularFile => {
                    if ending.ends_with(".tmp") {
                        remove(&folder, &name)?;
                    } else {
                        shelf.entry(stamp.to_owned()).or_default().insert(ending.to_owned());
                    }
                }
                _ => {}
            }
        }
        while self.keep > 0 && shelf.len() > self.keep {
            let Some((stamp, endings)) = shelf.pop_first() else { break };
            for ending in endings {
                remove(&folder, &format!("{live}@{stamp}{ending}"))?;
            }
        }
        for (stamp, endings) in shelf {
            let plain = format!("{live}@{stamp}");
            if !endings.contains("") || self.stopped() {
                continue;
            }
            if endings.len() > 1 {
                // The compressed one got its name when it was whole.
                remove(&folder, &plain)?;
            } else if self.compress != Compress::None {
                self.pack(&folder, &plain)?;
            }
        }
        Ok(())
    }

    fn pack(&self, folder: &OwnedFd, plain: &str) -> io::Result<()> {
        let packed = format!("{plain}{}", self.compress.ending());
        let half = format!("{packed}.tmp");
        let made = self.squeeze(folder, plain, &half);
        if made.is_err() {
            // Room on the disk may be what is wanting.
            let _ = remove(folder, &half);
        }
        made?;
        rustix::fs::renameat(folder, half.as_str(), folder, packed.as_str())?;
        rustix::fs::fsync(folder)?;
        remove(folder, plain)
    }

    /// Writes a file's compressed form and waits until it is on the disk.
    fn squeeze(&self, folder: &OwnedFd, plain: &str, half: &str) -> io::Result<()> {
        let flags = OFlags::CLOEXEC | OFlags::NOFOLLOW;
        let mut from = File::from(rustix::fs::openat(folder, plain, flags | OFlags::RDONLY, Mode::empty())?);
        let mode = Mode::from_raw_mode(rustix::fs::fstat(&from)?.st_mode);
        let flags = flags | OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL;
        let to = File::from(rustix::fs::openat(folder, half, flags, mode)?);
        // Whatever the process's mask took away: who may read the one may read the other.
        rustix::fs::fchmod(&to, mode)?;
        let to = match self.compress {
            Compress::None => return Ok(()),
            Compress::Gzip => {
                let mut packer = flate2::write::GzEncoder::new(to, flate2::Compression::default());
                self.pump(&mut from, &mut packer)?;
                packer.finish()?
            }
            Compress::Zstd => {
                let mut packer = zstd::Encoder::new(to, 0)?;
                packer.include_checksum(true)?;
                self.pump(&mut from, &mut packer)?;
                packer.finish()?
            }
        };
        to.sync_all()
    }

    fn pump(&self, from: &mut File, to: &mut impl Write) -> io::Result<()> {
        let mut piece = vec![0; PIECE];
        loop {
            if self.stopped() {
                return Err(io::ErrorKind::Interrupted.into());
            }
            match from.read(&mut piece)? {
                0 => return Ok(()),
                count => to.write_all(piece.get(..count).unwrap_or_default())?,
            }
        }
    }
}

/// `20261121T074300.123456Z`: sorts as time does, and holds nothing that any file system minds.
fn stamp(at: Timestamp) -> String {
    at.to_string().replace(['-', ':'], "")
}

/// A file on a shelf: the live file's name, the moment, and the endings.
fn shelved(name: &str) -> Option<(&str, &str, &str)> {
    let (live, rest) = name.rsplit_once('@')?;
    let (stamp, ending) = rest.split_at_checked(23)?;
    let shape = b"00000000T000000.000000Z";
    let fits = |(byte, shape): (u8, &u8)| if *shape == b'0' { byte.is_ascii_digit() } else { byte == *shape };
    let whole = ending.strip_suffix(".tmp").unwrap_or(ending);
    (!live.is_empty() && stamp.bytes().zip(shape).all(fits) && matches!(whole, "" | ".gz" | ".zst"))
        .then_some((live, stamp, ending))
}

/// Names and kinds of what is in a folder. Names that are not UTF-8 are none of ours.
fn listed(folder: OwnedFd) -> io::Result<Vec<(String, FileType)>> {
    let mut all = Vec::new();
    for entry in rustix::fs::Dir::read_from(folder.as_fd())? {
        let entry = entry?;
        let Ok(name) = entry.file_name().to_str() else { continue };
        if matches!(name, "." | "..") {
            continue;
        }
        let kind = match entry.file_type() {
            // Not every file system says it in the list.
            FileType::Unknown => match rustix::fs::statat(&folder, name, AtFlags::SYMLINK_NOFOLLOW) {
                Ok(about) => FileType::from_raw_mode(about.st_mode),
                Err(_) => continue,
            },
            known => known,
        };
        all.push((name.to_owned(), kind));
    }
    Ok(all)
}

/// Removes a file; one that is not there is as good.
fn remove(folder: &OwnedFd, name: &str) -> io::Result<()> {
    match rustix::fs::unlinkat(folder, name, AtFlags::empty()) {
        Err(error) if error != rustix::io::Errno::NOENT => Err(error.into()),
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_shelf_s_names_are_told_from_others() {
        let moment = stamp(Timestamp::from_nanos(1_795_246_980_123_456_000));
        assert_eq!(moment.len() + 1 + ".zst".len() + ".tmp".len(), SPARE);
        for ending in ["", ".gz", ".zst", ".gz.tmp"] {
            let name = format!("a@b.jsonl@{moment}{ending}");
            assert_eq!(shelved(&name), Some(("a@b.jsonl", moment.as_str(), ending)));
        }
        for name in
            ["all.jsonl", "@20261121T074300.123456Z", "x@20261121T074300.123456Z.bz2", "x@yesterday", "日@日日日日"]
        {
            assert_eq!(shelved(name), None, "{name}");
        }
    }
}
