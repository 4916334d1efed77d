//! One file of the journal: what it begins with, and frame after frame.
//!
//! ```text
//! seg-00000000000000000001.mls
//!   header   magic, version, length, salt, first id, where the content before it ends, time, how many messages each slot
//!            has been sent up to here (64 numbers), the slots' names, CRC32C
//!   frame    magic, salt, length, count, first id, time, who wants any, CRC32C of what follows, CRC32C of the above
//!            per message: where its text ends (u32), who wants it (u64)
//!            the texts, each with a newline
//!   frame    …
//! ```
//! All numbers are little-endian. A frame is what was appended at once. The salt is drawn for each file: bytes of a
//! message, whoever has written it, never pass for a frame.

use crate::fs::{Fs, patiently};
use metlog_message::Batch;
use std::io;
use std::sync::Arc;

/// How many slots there are: a bit each in [`metlog_message::Wants`].
pub const SLOTS: usize = 64;
/// One number for each slot.
pub(crate) type PerSlot = [u64; SLOTS];

const MAGIC: &[u8; 8] = b"METLOGSP";
const VERSION: u32 = 1;
const FIXED: usize = 48 + 8 * SLOTS;
/// The longest header: 64 names of 255 bytes.
pub(crate) const MAX_HEADER: usize = 32 * 1024;
/// The longest name of a slot.
pub(crate) const MAX_NAME: usize = 255;

const FRAME_MAGIC: [u8; 4] = [0xf5, b'M', b'L', 0x01];
/// Bytes of a frame before its table.
pub(crate) const HEAD: usize = 48;
/// Bytes of a message in the table.
pub(crate) const ROW: usize = 12;
/// The longest frame. Nobody comes near; a length beyond is damage.
pub(crate) const MAX_FRAME: usize = 256 << 20;

/// What a file begins with.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Header {
    pub salt: u32,
    pub first: u64,
    /// The id behind the last message before this file. From here to `first` there are none, and never were.
    pub follows: u64,
    pub created: i64,
    /// How many messages each slot was sent before this file.
    pub wanted: PerSlot,
    pub names: Vec<Named>,
}

/// A slot as a header knows it, for when the state is lost.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Named {
    pub slot: u32,
    pub required: bool,
    /// What is older was meant for whoever had the slot before.
    pub since: u64,
    pub name: String,
}

/// Why there is no header.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum NoHeader {
    Damaged,
    /// It is whole, but of a version we do not know.
    Version(u32),
}

/// Takes numbers off the front of bytes from the disk.
pub(crate) struct Bytes<'a>(pub &'a [u8]);

impl<'a> Bytes<'a> {
    pub fn take(&mut self, count: usize) -> Option<&'a [u8]> {
        let (taken, rest) = self.0.split_at_checked(count)?;
        self.0 = rest;
        Some(taken)
    }

    pub fn u8(&mut self) -> Option<u8> {
        self.take(1)?.first().copied()
    }

    pub fn u32(&mut self) -> Option<u32> {
        Some(u32::from_le_bytes(self.take(4)?.try_into().ok()?))
    }

    pub fn u64(&mut self) -> Option<u64> {
        Some(u64::from_le_bytes(self.take(8)?.try_into().ok()?))
    }

    pub fn i64(&mut self) -> Option<i64> {
        Some(i64::from_le_bytes(self.take(8)?.try_into().ok()?))
    }

    pub fn per_slot(&mut self) -> Option<PerSlot> {
        let mut numbers = [0; SLOTS];
        for number in &mut numbers {
            *number = self.u64()?;
        }
        Some(numbers)
    }
}

impl Header {
    pub fn write(&self) -> Vec<u8> {
        let mut out = Vec::with_capacity(FIXED + 64);
        out.extend_from_slice(MAGIC);
        out.extend(VERSION.to_le_bytes());
        out.extend([0; 4]);
        out.extend(self.salt.to_le_bytes());
        out.extend((self.names.len() as u32).to_le_bytes());
        out.extend(self.first.to_le_bytes());
        out.extend(self.follows.to_le_bytes());
        out.extend(self.created.to_le_bytes());
        out.extend(self.wanted.iter().flat_map(|number| number.to_le_bytes()));
        for named in &self.names {
            out.extend([named.slot as u8, u8::from(named.required), named.name.len() as u8]);
            out.extend(named.since.to_le_bytes());
            out.extend_from_slice(named.name.as_bytes());
        }
        let length = (out.len() + 4) as u32;
        if let Some(place) = out.get_mut(12..16) {
            place.copy_from_slice(&length.to_le_bytes());
        }
        out.extend(crc32c::crc32c(&out).to_le_bytes());
        out
    }

    /// The header and its length.
    pub fn read(bytes: &[u8]) -> Result<(Header, u64), NoHeader> {
        let mut from = Bytes(bytes);
        let whole = |from: &mut Bytes<'_>| {
            let magic = from.take(8)?;
            let version = from.u32()?;
            let length = from.u32()?;
            let (content, crc) = bytes.get(..length as usize)?.split_last_chunk::<4>()?;
            (magic == MAGIC && crc32c::crc32c(content) == u32::from_le_bytes(*crc)).then_some((version, length))
        };
        let (version, length) = whole(&mut from).ok_or(NoHeader::Damaged)?;
        if version != VERSION {
            return Err(NoHeader::Version(version));
        }
        let header = Header::fields(&mut from).ok_or(NoHeader::Damaged)?;
        Ok((header, u64::from(length)))
    }

    fn fields(from: &mut Bytes<'_>) -> Option<Header> {
        let salt = from.u32()?;
        let count = from.u32()?;
        let (first, follows, created) = (from.u64()?, from.u64()?, from.i64()?);
        let wanted = from.per_slot()?;
        let mut names = Vec::new();
        for _ in 0..count.min(SLOTS as u32) {
            let (slot, required, length) = (from.u8()?, from.u8()?, from.u8()?);
            let since = from.u64()?;
            let name = String::from_utf8(from.take(usize::from(length))?.to_owned()).ok()?;
            names.push(Named { slot: u32::from(slot), required: required != 0, since, name });
        }
        Some(Header { salt, first, follows, created, wanted, names })
    }
}

/// The name of the file whose first message has this id.
pub(crate) fn file_name(first: u64) -> String {
    format!("seg-{first:020}.mls")
}

/// The id in a file's name, if it is one of ours.
pub(crate) fn id_in(name: &str) -> Option<u64> {
    let digits = name.strip_prefix("seg-")?.strip_suffix(".mls")?;
    (digits.len() == 20 && digits.bytes().all(|byte| byte.is_ascii_digit())).then(|| digits.parse().ok())?
}

/// What a frame begins with.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Head {
    pub salt: u32,
    /// Of the whole frame.
    pub length: u32,
    pub count: u32,
    pub first: u64,
    pub received: i64,
    pub any: u64,
    pub body: u32,
}

impl Head {
    pub fn write(&self) -> [u8; HEAD] {
        let mut out = [0; HEAD];
        let mut rest = &mut out[..];
        let mut put = |bytes: &[u8]| {
            if let Some((place, behind)) = std::mem::take(&mut rest).split_at_mut_checked(bytes.len()) {
                place.copy_from_slice(bytes);
                rest = behind;
            }
        };
        put(&FRAME_MAGIC);
        put(&self.salt.to_le_bytes());
        put(&self.length.to_le_bytes());
        put(&self.count.to_le_bytes());
        put(&self.first.to_le_bytes());
        put(&self.received.to_le_bytes());
        put(&self.any.to_le_bytes());
        put(&self.body.to_le_bytes());
        let crc = crc32c::crc32c(out.get(..HEAD - 4).unwrap_or_default());
        if let Some(place) = out.last_chunk_mut::<4>() {
            *place = crc.to_le_bytes();
        }
        out
    }

    pub fn read(bytes: &[u8]) -> Option<Head> {
        let (content, crc) = bytes.get(..HEAD)?.split_last_chunk::<4>()?;
        let mut from = Bytes(content);
        if from.take(4)? != FRAME_MAGIC || crc32c::crc32c(content) != u32::from_le_bytes(*crc) {
            return None;
        }
        let head = Head {
            salt: from.u32()?,
            length: from.u32()?,
            count: from.u32()?,
            first: from.u64()?,
            received: from.i64()?,
            any: from.u64()?,
            body: from.u32()?,
        };
        let table = (head.count as usize).checked_mul(ROW)?.checked_add(HEAD)?;
        let fits = head.count > 0 && head.length as usize >= table && head.length as usize <= MAX_FRAME;
        (fits && head.first.checked_add(u64::from(head.count)).is_some()).then_some(head)
    }

    /// The id behind its last message.
    pub fn end(&self) -> u64 {
        self.first + u64::from(self.count)
    }
}

/// What of a frame does not depend on its place: made before anybody is kept waiting.
pub(crate) struct Prepared {
    pub body: u32,
    pub length: usize,
    /// How many messages each slot gets.
    pub counts: PerSlot,
}

/// Writes a batch's table.
pub(crate) fn prepare(batch: &Batch, table: &mut Vec<u8>) -> Prepared {
    table.clear();
    table.resize(batch.len() * ROW, 0);
    let mut all = u64::MAX;
    let mut end = 0;
    let rows = table.as_chunks_mut::<ROW>().0;
    for ((row, line), wants) in rows.iter_mut().zip(batch.lines().iter()).zip(batch.wants()) {
        end += line.len() as u32 + 1;
        all &= wants;
        let (ends, who) = row.split_at_mut(4);
        ends.copy_from_slice(&end.to_le_bytes());
        who.copy_from_slice(&wants.to_le_bytes());
    }
    let body = crc32c::crc32c_append(crc32c::crc32c(table), batch.lines().bytes());
    Prepared { body, length: HEAD + table.len() + batch.bytes(), counts: counts(batch, all) }
}

fn counts(batch: &Batch, all: u64) -> PerSlot {
    let mut counts = [0; SLOTS];
    for slot in slots_of(batch.any()) {
        if let Some(count) = counts.get_mut(slot) {
            let everything = all & metlog_message::batch::bit(slot as u32) != 0;
            *count = if everything { batch.len() } else { batch.wanted(slot as u32, 0) } as u64;
        }
    }
    counts
}

/// How many messages of a batch each slot gets.
pub(crate) fn wanted_by_each(batch: &Batch) -> PerSlot {
    counts(batch, 0)
}

/// The slots whose bit is set.
pub(crate) fn slots_of(mut bits: u64) -> impl Iterator<Item = usize> {
    std::iter::from_fn(move || {
        let slot = (bits != 0).then(|| bits.trailing_zeros() as usize)?;
        bits &= bits - 1;
        Some(slot)
    })
}

/// Reads table and texts into a batch. False: they are damaged, or were never written by us.
pub(crate) fn unpack(head: &Head, body: &[u8], batch: &mut Batch) -> bool {
    batch.clear();
    if crc32c::crc32c(body) != head.body {
        return false;
    }
    let Some((table, text)) = body.split_at_checked(head.count as usize * ROW) else { return false };
    let mut start = 0;
    for row in table.as_chunks::<ROW>().0 {
        let (ends, who) = row.split_at(4);
        let (Ok(end), Ok(wants)) = (ends.try_into().map(u32::from_le_bytes), who.try_into().map(u64::from_le_bytes))
        else {
            return false;
        };
        let Some(message) = text.get(start..(end as usize).wrapping_sub(1)) else { return false };
        batch.push(message, wants);
        start = end as usize;
    }
    start == text.len()
}

/// What a walk finds at its place.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Step {
    /// A frame begins here; its body has not been looked at.
    Frame(Head),
    /// No frame; it has been passed over. `next`: the id of the frame behind, if there is one.
    Damage {
        from: u64,
        to: u64,
        next: Option<u64>,
    },
    End,
}

/// Goes through a file's frames, in as few reads as there can be.
pub(crate) struct Walk<F: Fs> {
    pub file: Arc<F::File>,
    /// Where it stands.
    pub at: u64,
    /// Frames end here.
    pub limit: u64,
    /// `None`: the header is lost; the first frame tells.
    pub salt: Option<u32>,
    /// The id the next frame has, unless something is missing.
    pub expected: u64,
    /// Frames from this id on are not valid here: they were written again elsewhere.
    pub below: u64,
    /// Reads what cannot be read as zeros.
    pub stubborn: bool,
    chunk: Vec<u8>,
    chunk_at: u64,
    filled: usize,
    ahead: usize,
}

const FAR: usize = 256 * 1024;
const NEAR: usize = 4096;

impl<F: Fs> Walk<F> {
    pub fn new(file: Arc<F::File>, at: u64, limit: u64, salt: Option<u32>, expected: u64) -> Self {
        Walk {
            file,
            at,
            limit,
            salt,
            expected,
            below: u64::MAX,
            stubborn: false,
            chunk: Vec::new(),
            chunk_at: 0,
            filled: 0,
            ahead: FAR,
        }
    }

    /// The same buffers for another file.
    pub fn turn_to(&mut self, file: Arc<F::File>, at: u64, limit: u64, salt: Option<u32>, expected: u64) {
        let chunk = std::mem::take(&mut self.chunk);
        *self = Walk { chunk, ..Walk::new(file, at, limit, salt, expected) };
    }

    /// What is at its place.
    pub fn step(&mut self, fs: &F) -> io::Result<Step> {
        if self.at >= self.limit {
            return Ok(Step::End);
        }
        let from = self.at;
        if let Some(head) = self.head(fs, from)? {
            if head.first >= self.below {
                return Ok(Step::End);
            }
            if head.first >= self.expected {
                self.salt = Some(head.salt);
                return Ok(Step::Frame(head));
            }
        }
        let mut to = from + 1;
        loop {
            let Some(found) = self.find(fs, to)? else {
                self.at = self.limit;
                return Ok(Step::Damage { from, to: self.limit, next: None });
            };
            match self.head(fs, found)? {
                Some(head) if head.first >= self.expected => {
                    self.at = found;
                    return Ok(Step::Damage { from, to: found, next: Some(head.first) });
                }
                _ => to = found + 1,
            }
        }
    }

    /// Goes behind the frame at its place.
    pub fn pass(&mut self, head: &Head, read: bool) {
        self.at += u64::from(head.length);
        self.expected = head.end();
        // Who skips frames larger than a page does not want their texts.
        self.ahead = if read || (head.length as usize) < NEAR { FAR } else { NEAR };
    }

    /// Table and texts of the frame at its place.
    pub fn body(&mut self, fs: &F, head: &Head) -> io::Result<&[u8]> {
        let bytes = self.bytes(fs, self.at, head.length as usize)?;
        Ok(bytes.get(HEAD..head.length as usize).unwrap_or_default())
    }

    fn head(&mut self, fs: &F, at: u64) -> io::Result<Option<Head>> {
        let (limit, salt) = (self.limit, self.salt);
        let head = Head::read(self.bytes(fs, at, HEAD)?);
        Ok(head.filter(|head| salt.is_none_or(|salt| salt == head.salt) && at + u64::from(head.length) <= limit))
    }

    /// Where the next frame may begin.
    fn find(&mut self, fs: &F, mut from: u64) -> io::Result<Option<u64>> {
        while from + HEAD as u64 <= self.limit {
            let bytes = self.bytes(fs, from, HEAD)?;
            // All of what has been read, not just what was asked for.
            if let Some(at) = memchr::memmem::find(bytes, &FRAME_MAGIC) {
                return Ok(Some(from + at as u64));
            }
            from += (bytes.len() - (FRAME_MAGIC.len() - 1)) as u64;
        }
        Ok(None)
    }

    /// At least `need` bytes from a place, if there are so many before the limit, and whatever else is in memory behind.
    fn bytes(&mut self, fs: &F, at: u64, need: usize) -> io::Result<&[u8]> {
        let left = usize::try_from(self.limit.saturating_sub(at)).unwrap_or(usize::MAX);
        let need = need.min(left);
        let offset = at.checked_sub(self.chunk_at).and_then(|offset| usize::try_from(offset).ok());
        let there = offset.is_some_and(|offset| offset.checked_add(need).is_some_and(|end| end <= self.filled));
        if !there {
            let size = need.max(self.ahead).min(left);
            self.filled = 0;
            // One frame of an unusual size is no reason to keep its memory.
            if self.chunk.len() > 4 * FAR && size <= FAR {
                self.chunk = Vec::new();
            }
            if self.chunk.len() < size {
                self.chunk.resize(size, 0);
            }
            self.chunk_at = at;
            while self.filled < size {
                let into = self.chunk.get_mut(self.filled..size).unwrap_or_default();
                match read_some(fs, &self.file, at + self.filled as u64, into, self.stubborn) {
                    Ok(0) => break,
                    Ok(count) => self.filled += count,
                    Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                    Err(error) => {
                        self.filled = 0;
                        return Err(error);
                    }
                }
            }
            if self.filled < need {
                // The file has been cut off under us: what is missing is damage.
                self.limit = at + self.filled as u64;
            }
        }
        let offset = usize::try_from(at - self.chunk_at).unwrap_or(usize::MAX);
        Ok(self.chunk.get(offset..self.filled).unwrap_or_default())
    }
}

fn read_some<F: Fs>(fs: &F, file: &F::File, at: u64, into: &mut [u8], stubborn: bool) -> io::Result<usize> {
    if !stubborn {
        return fs.read(file, at, into);
    }
    let size = into.len().min(NEAR);
    let into = into.get_mut(..size).unwrap_or_default();
    match patiently(|| fs.read(file, at, into)) {
        Err(error) if error.kind() != io::ErrorKind::Interrupted => {
            into.fill(0);
            Ok(size)
        }
        result => result,
    }
}

#[cfg(all(test, feature = "simulation"))]
mod tests {
    use super::*;
    use crate::simulated::Simulated;

    fn frame(salt: u32, first: u64, messages: &[&[u8]]) -> Vec<u8> {
        let mut batch = Batch::new();
        messages.iter().for_each(|message| batch.push(message, 1 << 63));
        let mut table = Vec::new();
        let prepared = prepare(&batch, &mut table);
        assert_eq!(prepared.counts[63], messages.len() as u64);
        let (length, count) = (prepared.length as u32, batch.len() as u32);
        let head = Head { salt, length, count, first, received: -5, any: batch.any(), body: prepared.body };
        assert_eq!(Head::read(&head.write()), Some(head));
        [&head.write()[..], &table, batch.lines().bytes()].concat()
    }

    fn steps(content: &[u8], salt: Option<u32>) -> Vec<Step> {
        let fs = Simulated::new();
        fs.set_content("file", content);
        let file = Arc::new(fs.open("file").unwrap());
        let mut walk = Walk::<Simulated>::new(file, 0, content.len() as u64, salt, 1);
        let mut steps = Vec::new();
        loop {
            let step = walk.step(&fs).unwrap();
            steps.push(step);
            match step {
                Step::Frame(head) => walk.pass(&head, true),
                Step::Damage { .. } => {}
                Step::End => return steps,
            }
        }
    }

    #[test]
    fn a_header_comes_back_as_it_was() {
        let named = Named { slot: 63, required: true, since: u64::MAX, name: "x".repeat(MAX_NAME) };
        let header = Header {
            salt: 7,
            first: u64::MAX / 2,
            follows: 5,
            created: -1,
            wanted: [u64::MAX; SLOTS],
            names: vec![named; SLOTS],
        };
        let bytes = header.write();
        assert!(bytes.len() <= MAX_HEADER);
        assert_eq!(Header::read(&bytes), Ok((header.clone(), bytes.len() as u64)));
        assert_eq!(Header::read(&bytes[..bytes.len() - 1]), Err(NoHeader::Damaged));
        let mut newer = bytes[..bytes.len() - 4].to_vec();
        newer[8] = 2;
        newer.extend(crc32c::crc32c(&newer).to_le_bytes());
        assert_eq!(Header::read(&newer), Err(NoHeader::Version(2)));
    }

    #[test]
    fn a_frame_inside_a_message_is_only_text() {
        // Somebody who knows the format sends a whole frame as a message; then the frame around it is damaged.
        let forged = frame(1234, 2, &[b"forged"]);
        let mut content = frame(99, 1, &[&forged]);
        content.extend(frame(99, 2, &[b"real"]));
        content[20] ^= 1;
        let found = steps(&content, Some(99));
        assert!(
            matches!(found[..], [Step::Damage { next: Some(2), .. }, Step::Frame(Head { salt: 99, .. }), Step::End]),
            "{found:?}"
        );
    }

    #[test]
    fn lengths_from_the_disk_are_not_believed() {
        let good = frame(9, 1, &[b"m"]);
        let head = Head::read(&good).unwrap();
        for (length, count) in [(u32::MAX, 1), (10, 1), (head.length, u32::MAX), (head.length, 0)] {
            assert_eq!(Head::read(&Head { length, count, ..head }.write()), None);
        }
        assert_eq!(Head::read(&Head { first: u64::MAX, ..head }.write()), None);
        // Longer than the file is.
        let long = Head { length: head.length + 1, ..head }.write();
        let found = steps(&[&long, &good[HEAD..]].concat(), Some(9));
        assert!(matches!(found[..], [Step::Damage { next: None, .. }, Step::End]), "{found:?}");
        let mut batch = Batch::new();
        let mut body = good[HEAD..].to_vec();
        assert!(unpack(&head, &body, &mut batch));
        body[0] = 200;
        assert!(!unpack(&Head { body: crc32c::crc32c(&body), ..head }, &body, &mut batch));
    }
}
