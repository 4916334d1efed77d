//! A ring of bytes between one writing and one reading thread.
//!
//! The writer is an application thread inside a log call, so a push costs a few nanoseconds: one store to publish, no
//! lock, no system call, no allocation, and no look at the reader's cache line while there is room. Records are
//! written and read in place and never wrap, so both sides see plain slices.
//!
//! `storage` is the only module of metlog with unsafe code; this one is the protocol on top of it, and `loom` checks
//! the two together (`RUSTFLAGS="--cfg loom" cargo test -p metlog-ring --release`).

mod storage;

use std::sync::Arc;
use storage::Storage;

#[cfg(loom)]
use loom::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
#[cfg(not(loom))]
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

/// Before each record: its length and its tag. A length of [`SKIP`] says that the rest up to the end is unused.
const HEADER: usize = 8;
const SKIP: u32 = u32::MAX;

/// On a cache line of its own, so that writer and reader do not slow each other by writing to neighbours. Two lines,
/// because processors fetch them in pairs.
#[repr(align(128))]
struct Apart<T>(T);

struct Shared {
    storage: Storage,
    /// Everything before this position is written. Counts for ever; the place is the position modulo the size.
    written: Apart<AtomicUsize>,
    /// Everything before this position is read and may be written over.
    read: Apart<AtomicUsize>,
    closed: AtomicBool,
}

/// Makes a ring of at least this many bytes (rounded up to a power of two).
///
/// Every page is touched here: a page fault inside a log call would cost a hundred times the call.
pub fn ring(bytes: usize) -> (Producer, Consumer) {
    let storage = Storage::new(bytes.max(64).next_power_of_two());
    let shared = Arc::new(Shared {
        storage,
        written: Apart(AtomicUsize::new(0)),
        read: Apart(AtomicUsize::new(0)),
        closed: AtomicBool::new(false),
    });
    let producer = Producer { shared: shared.clone(), written: 0, read_seen: 0 };
    (producer, Consumer { shared, read: 0, written_seen: 0, released: 0 })
}

/// The ring has no room for the record now.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Full;

/// The writing end. Dropping it closes the ring; what is in it can still be read.
pub struct Producer {
    shared: Arc<Shared>,
    written: usize,
    /// The reader's position as last seen; it can only be further by now, so room computed from it is safe.
    read_seen: usize,
}

impl Producer {
    /// The size of the ring in bytes. Records above a quarter of it are better sent another way: a record may need
    /// its own length again to skip the end of the ring.
    pub fn capacity(&self) -> usize {
        self.shared.storage.len()
    }

    /// Writes one record of exactly `len` bytes; `fill` gets the place and must write all of it (what it leaves is
    /// old data, not garbage memory).
    #[inline]
    pub fn push(&mut self, tag: u32, len: usize, fill: impl FnOnce(&mut [u8])) -> Result<(), Full> {
        let size = self.shared.storage.len();
        let need = (HEADER + len + 7) & !7;
        let at = self.written & (size - 1);
        let skip = if need > size - at { size - at } else { 0 };
        if need + skip > size - (self.written - self.read_seen) {
            self.look_for_room(need + skip)?;
        }
        if skip > 0 {
            self.shared.storage.write(at, HEADER, |head| put_header(head, SKIP, 0));
            self.written += skip;
        }
        let at = self.written & (size - 1);
        // The length fits u32: `need` is at most the size of the ring, which `Storage::new` keeps below 4 GiB.
        self.shared.storage.write(at, HEADER + len, |record| {
            put_header(record, len as u32, tag);
            if let Some(body) = record.get_mut(HEADER..) {
                fill(body);
            }
        });
        self.written += need;
        self.shared.written.0.store(self.written, Ordering::Release);
        Ok(())
    }

    /// The slow half of `push`: asks the reader's cache line.
    #[cold]
    #[inline(never)]
    fn look_for_room(&mut self, need: usize) -> Result<(), Full> {
        self.read_seen = self.shared.read.0.load(Ordering::Acquire);
        let free = self.shared.storage.len() - (self.written - self.read_seen);
        if need > free { Err(Full) } else { Ok(()) }
    }
}

impl Drop for Producer {
    fn drop(&mut self) {
        self.shared.closed.store(true, Ordering::Release);
    }
}

/// The reading end.
pub struct Consumer {
    shared: Arc<Shared>,
    read: usize,
    written_seen: usize,
    released: usize,
}

impl Consumer {
    /// The oldest record that was not passed by [`Consumer::advance`], with its tag.
    #[inline]
    pub fn peek(&mut self) -> Option<(u32, &[u8])> {
        let (at, len, tag) = self.locate()?;
        Some((tag, self.shared.storage.read(at + HEADER, len)))
    }

    /// Steps over the record that `peek` shows. Its bytes stay in place until [`Consumer::release`].
    #[inline]
    pub fn advance(&mut self) {
        if let Some((_, len, _)) = self.locate() {
            self.read += (HEADER + len + 7) & !7;
        }
    }

    /// Gives the room of everything passed back to the writer. One store for many records.
    #[inline]
    pub fn release(&mut self) {
        if self.released != self.read {
            self.released = self.read;
            self.shared.read.0.store(self.read, Ordering::Release);
        }
    }

    /// Whether nothing is left and nothing can come.
    pub fn is_finished(&mut self) -> bool {
        // In this order: what was written before closing is seen by the second look.
        self.shared.closed.load(Ordering::Acquire) && self.locate().is_none()
    }

    /// Bytes written and not yet passed.
    pub fn backlog(&self) -> usize {
        self.shared.written.0.load(Ordering::Acquire) - self.read
    }

    #[inline]
    fn locate(&mut self) -> Option<(usize, usize, u32)> {
        loop {
            if self.read == self.written_seen {
                self.written_seen = self.shared.written.0.load(Ordering::Acquire);
                if self.read == self.written_seen {
                    return None;
                }
            }
            let size = self.shared.storage.len();
            let at = self.read & (size - 1);
            let (len, tag) = get_header(self.shared.storage.read(at, HEADER));
            if len == SKIP {
                self.read += size - at;
                continue;
            }
            return Some((at, len as usize, tag));
        }
    }
}

#[inline]
fn put_header(place: &mut [u8], len: u32, tag: u32) {
    if let Some(head) = place.first_chunk_mut::<HEADER>() {
        *head = (u64::from(tag) << 32 | u64::from(len)).to_le_bytes();
    }
}

#[inline]
fn get_header(place: &[u8]) -> (u32, u32) {
    let word = place.first_chunk::<HEADER>().map_or(0, |head| u64::from_le_bytes(*head));
    (word as u32, (word >> 32) as u32)
}
