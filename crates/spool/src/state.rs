//! What the spool remembers beside the journal: who has read how far, and which ids may have been given out.
//!
//! Two places in one file, written in turn, each with a generation and a checksum: a write that fails half-way leaves the
//! other. The file has its full length from the beginning, so that a full disk does not keep cursors from being saved.

use crate::fs::Fs;
use crate::segment::{Bytes, MAX_NAME, PerSlot, SLOTS};
use std::io::{self, IoSlice};

pub(crate) const NAME: &str = "state";
const NEW: &str = "state.new";
const MAGIC: &[u8; 8] = b"METLOGST";
const VERSION: u32 = 1;
/// Bytes of one place.
pub(crate) const PLACE: usize = 64 * 1024;

/// The state.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct State {
    /// The spool was closed; nothing has been written since.
    pub clean: bool,
    /// The next id.
    pub next: u64,
    /// No id from here on has been given out.
    pub reserved: u64,
    /// Everything below was on disk.
    pub durable: u64,
    /// Behind the last message there was, and behind the last one that was on disk.
    pub content_end: u64,
    pub content_durable: u64,
    /// Files before this id may be deleted: one that is still there, or there again, holds nothing for anybody.
    pub doomed: u64,
    /// How many messages each slot has been sent.
    pub totals: PerSlot,
    pub slots: Vec<Saved>,
    /// Places without whole frames that have been counted: the file's first id, and where.
    pub places: Vec<(u64, u64)>,
}

/// So many such places are remembered; others are counted anew at each start.
pub(crate) const MOST_PLACES: usize = 256;
/// So many gaps of a slot; a reader finds the others.
const MOST_GAPS: usize = 32;

/// One slot.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Saved {
    pub slot: u32,
    pub required: bool,
    pub name: String,
    /// Where its owner began.
    pub since: u64,
    /// What is below is settled.
    pub committed: u64,
    /// How many messages the slot had been sent up to `since`, and up to `committed`.
    pub base: u64,
    pub mark: u64,
    pub skipped: u64,
    pub lost: u64,
    /// Messages missing ahead of it: before which id, and how many.
    pub gaps: Vec<(u64, u64)>,
}

impl State {
    pub fn write(&self, generation: u64) -> Vec<u8> {
        let mut out = Vec::with_capacity(2048);
        out.extend_from_slice(MAGIC);
        out.extend(VERSION.to_le_bytes());
        out.extend([0; 4]);
        let ids = [self.next, self.reserved, self.durable, self.content_end, self.content_durable, self.doomed];
        for number in [generation, u64::from(self.clean)].into_iter().chain(ids) {
            out.extend(number.to_le_bytes());
        }
        out.extend(self.totals.iter().flat_map(|number| number.to_le_bytes()));
        out.extend((self.slots.len() as u32).to_le_bytes());
        for slot in &self.slots {
            out.extend([slot.slot as u8, u8::from(slot.required), slot.name.len() as u8]);
            for number in [slot.since, slot.committed, slot.base, slot.mark, slot.skipped, slot.lost] {
                out.extend(number.to_le_bytes());
            }
            out.extend_from_slice(slot.name.as_bytes());
            let gaps = slot.gaps.get(..MOST_GAPS).unwrap_or(&slot.gaps);
            out.push(gaps.len() as u8);
            gaps.iter().for_each(|gap| out.extend([gap.0, gap.1].into_iter().flat_map(u64::to_le_bytes)));
        }
        out.extend((self.places.len() as u32).to_le_bytes());
        for (first, from) in &self.places {
            out.extend(first.to_le_bytes());
            out.extend(from.to_le_bytes());
        }
        let length = (out.len() + 4) as u32;
        if let Some(place) = out.get_mut(12..16) {
            place.copy_from_slice(&length.to_le_bytes());
        }
        out.extend(crc32c::crc32c(&out).to_le_bytes());
        out
    }

    /// The state and its generation.
    pub fn read(bytes: &[u8]) -> Option<(u64, State)> {
        let mut from = Bytes(bytes);
        if version(bytes)? != VERSION {
            return None;
        }
        from.take(16)?;
        let generation = from.u64()?;
        let clean = from.u64()? != 0;
        let (next, reserved, durable) = (from.u64()?, from.u64()?, from.u64()?);
        let (content_end, content_durable, doomed) = (from.u64()?, from.u64()?, from.u64()?);
        let totals = from.per_slot()?;
        let count = from.u32()?;
        let mut slots = Vec::new();
        for _ in 0..count.min(SLOTS as u32) {
            let (slot, required, length) = (u32::from(from.u8()?), from.u8()? != 0, from.u8()?);
            let (since, committed, base, mark) = (from.u64()?, from.u64()?, from.u64()?, from.u64()?);
            let (skipped, lost) = (from.u64()?, from.u64()?);
            let name = String::from_utf8(from.take(usize::from(length))?.to_owned()).ok()?;
            let mut gaps = Vec::new();
            for _ in 0..from.u8()? {
                gaps.push((from.u64()?, from.u64()?));
            }
            slots.push(Saved { slot, required, name, since, committed, base, mark, skipped, lost, gaps });
        }
        let mut places = Vec::new();
        for _ in 0..from.u32()?.min(MOST_PLACES as u32) {
            places.push((from.u64()?, from.u64()?));
        }
        Some((
            generation,
            State { clean, next, reserved, durable, content_end, content_durable, doomed, totals, slots, places },
        ))
    }
}

/// The version of what stands in a place, if it is whole.
fn version(bytes: &[u8]) -> Option<u32> {
    let mut from = Bytes(bytes);
    let magic = from.take(8)?;
    let version = from.u32()?;
    let length = from.u32()? as usize;
    let (content, crc) = bytes.get(..length)?.split_last_chunk::<4>()?;
    (magic == MAGIC && crc32c::crc32c(content) == u32::from_le_bytes(*crc)).then_some(version)
}

// Sixty-four of the longest names fit.
const _: () = assert!(104 + 8 * SLOTS + SLOTS * (4 + 48 + MAX_NAME + 16 * MOST_GAPS) + 16 * MOST_PLACES <= PLACE);

/// What was found of the state.
#[derive(Debug, Default)]
pub(crate) struct Found {
    pub state: Option<State>,
    /// A place was neither valid nor untouched: the newest state may be missing.
    pub damaged: bool,
    /// It is whole, but of a version we do not know.
    pub newer: Option<u32>,
    generation: u64,
    place: usize,
}

/// Reads the state; does not fail for damage.
pub(crate) fn find<F: Fs>(fs: &F) -> Found {
    let file = match fs.open(NAME) {
        Ok(file) => file,
        Err(error) => return Found { damaged: error.kind() != io::ErrorKind::NotFound, ..Found::default() },
    };
    let mut found = Found::default();
    for place in 0..2 {
        let mut bytes = vec![0; PLACE];
        let mut filled = 0;
        while filled < PLACE {
            let into = bytes.get_mut(filled..).unwrap_or_default();
            match fs.read(&file, (place * PLACE + filled) as u64, into) {
                Ok(0) => break,
                Ok(count) => filled += count,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(_) => {
                    found.damaged = true;
                    break;
                }
            }
        }
        match State::read(&bytes) {
            Some((generation, state)) if found.state.is_none() || generation > found.generation => {
                found.generation = generation;
                found.place = place;
                found.state = Some(state);
            }
            Some(_) => {}
            None if version(&bytes).is_some_and(|version| version != VERSION) => found.newer = version(&bytes),
            None => found.damaged |= filled < PLACE || bytes.iter().any(|byte| *byte != 0),
        }
    }
    found
}

/// Writes the state.
pub(crate) struct Store<F: Fs> {
    file: Option<F::File>,
    generation: u64,
    /// Where the newest stands.
    place: usize,
    /// The last one that is certainly on disk.
    pub last: Option<State>,
}

impl<F: Fs> Store<F> {
    /// Goes on where it was found. Where nothing was, the first write makes a new file.
    pub fn new(fs: &F, found: &Found) -> Self {
        let usable = |file: &F::File| fs.size(file).is_ok_and(|size| size == 2 * PLACE as u64);
        let file = found.state.as_ref().and_then(|_| fs.open(NAME).ok()).filter(usable);
        Store { file, generation: found.generation, place: found.place, last: None }
    }

    /// Writes it; `sync`: to the disk. A descriptor that has failed once is not used again.
    pub fn save(&mut self, fs: &F, state: &State, sync: bool) -> io::Result<()> {
        let generation = self.generation.saturating_add(1);
        let place = 1 - self.place;
        let bytes = state.write(generation);
        if let Some(file) = &self.file {
            let written = write_all(fs, file, (place * PLACE) as u64, &bytes);
            match written.and_then(|()| if sync { fs.sync(file) } else { Ok(()) }) {
                Ok(()) => {
                    (self.generation, self.place) = (generation, place);
                    return Ok(());
                }
                Err(_) => self.file = None,
            }
        }
        self.file = Some(renew(fs, place, &bytes)?);
        (self.generation, self.place) = (generation, place);
        Ok(())
    }
}

/// Makes the file anew.
fn renew<F: Fs>(fs: &F, place: usize, bytes: &[u8]) -> io::Result<F::File> {
    match fs.remove(NEW) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    let file = fs.create(NEW)?;
    let mut all = vec![0; 2 * PLACE];
    if let Some(into) = all.get_mut(place * PLACE..).and_then(|all| all.get_mut(..bytes.len())) {
        into.copy_from_slice(bytes);
    }
    write_all(fs, &file, 0, &all)?;
    fs.sync(&file)?;
    fs.rename(NEW, NAME)?;
    fs.sync_names()?;
    Ok(file)
}

/// Writes all of it, in as many calls as it takes.
pub(crate) fn write_all<F: Fs>(fs: &F, file: &F::File, mut at: u64, mut bytes: &[u8]) -> io::Result<()> {
    while !bytes.is_empty() {
        match fs.write(file, at, &[IoSlice::new(bytes)]) {
            Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
            Ok(count) => {
                at += count as u64;
                bytes = bytes.get(count..).unwrap_or_default();
            }
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_largest_state_fits_and_comes_back() {
        let saved = |slot| Saved {
            slot,
            required: slot % 2 == 0,
            name: "n".repeat(MAX_NAME),
            since: 1,
            committed: u64::MAX,
            base: 3,
            mark: 4,
            skipped: 5,
            lost: 6,
            gaps: vec![(7, 8); MOST_GAPS],
        };
        let state = State {
            clean: true,
            next: u64::MAX,
            reserved: 2,
            durable: 3,
            content_end: 4,
            content_durable: 5,
            doomed: 6,
            totals: [u64::MAX; SLOTS],
            slots: (0..SLOTS as u32).map(saved).collect(),
            places: vec![(1, 2); MOST_PLACES],
        };
        let bytes = state.write(77);
        assert!(bytes.len() <= PLACE);
        assert_eq!(State::read(&bytes), Some((77, state)));
        assert_eq!(State::read(&bytes[..bytes.len() - 1]), None);
    }
}
