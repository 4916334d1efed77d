//! What everybody sees of the journal: its files, the frames still in memory, the cursors. Held for moments only, never
//! while the disk works.

use crate::frame::Frame;
use crate::fs::Fs;
use crate::segment::{PerSlot, SLOTS};
use crate::slots::Slots;
use std::collections::{BTreeSet, VecDeque};
use std::sync::Arc;
use std::time::Duration;

/// A file of the journal.
#[derive(Debug)]
pub(crate) struct Segment {
    pub name: String,
    pub first: u64,
    pub follows: u64,
    pub wanted: PerSlot,
    /// `None`: the header is lost.
    pub salt: Option<u32>,
    pub created: i64,
    /// Where its first frame begins.
    pub start: u64,
}

/// A file, and how much is in it by now.
#[derive(Debug, Clone)]
pub(crate) struct Placed {
    pub segment: Arc<Segment>,
    /// Frames end here.
    pub bytes: u64,
    /// When the last one came.
    pub last: i64,
}

/// A frame in memory, and where it is on disk.
pub(crate) struct Kept {
    pub frame: Arc<Frame>,
    pub segment: Arc<Segment>,
    /// Where the next one begins.
    pub behind: u64,
    pub bytes: u64,
}

/// A file with something in it that is not on disk yet.
pub(crate) struct Dirty<F: Fs> {
    pub file: Arc<F::File>,
    pub first: u64,
    /// Nothing more will be written to it.
    pub sealed: bool,
    /// Its name may not be on disk.
    pub fresh: bool,
}

impl<F: Fs> Clone for Dirty<F> {
    fn clone(&self) -> Self {
        Dirty { file: self.file.clone(), ..*self }
    }
}

/// What has happened since the spool was opened.
#[derive(Debug, Clone, Default)]
pub(crate) struct Tally {
    pub syncs: u64,
    pub sync_time: Duration,
    pub last_error: Option<String>,
    pub damaged_bytes: u64,
    pub damaged_messages: u64,
    /// Places already counted: several readers come past each.
    pub places: BTreeSet<(u64, u64)>,
    pub quarantined: u64,
}

pub(crate) struct View<F: Fs> {
    pub segments: VecDeque<Placed>,
    /// The newest frames, without a gap up to `end`.
    pub window: VecDeque<Kept>,
    pub window_bytes: u64,
    /// How many messages each slot has been sent.
    pub totals: PerSlot,
    /// The next id.
    pub end: u64,
    /// Behind the last message.
    pub content_end: u64,
    /// Everything below is on disk; behind the last message of that.
    pub durable: u64,
    pub content_durable: u64,
    /// Files before this id may be deleted once that has been saved.
    pub doomed: u64,
    /// Bytes appended since the spool was opened, and how many of them are on disk.
    pub written: u64,
    pub synced: u64,
    pub dirty: Vec<Dirty<F>>,
    /// Grows when frames are written a second time, elsewhere: what a sync before that said counts no more.
    pub epoch: u64,
    /// Frames that are not on disk are in no file either: they must be written again before anything else is.
    pub broken: bool,
    /// Files whose frames are written again elsewhere. They must be gone first, or would be taken for the continuation.
    pub useless: Vec<String>,
    /// Nothing more is written to the newest file.
    pub sealed: bool,
    pub slots: Slots,
    /// Files before this id go only to make room: whose they were has been lost.
    pub unclaimed: u64,
    /// Files with ids from here on stay: somebody else reads them, at the next start.
    pub held: u64,
    /// A cursor has moved since the state was saved.
    pub moved: bool,
    /// Bytes of all files.
    pub bytes: u64,
    pub tally: Tally,
}

/// A file in which a position lies, and what comes behind.
pub(crate) struct Located {
    pub segment: Arc<Segment>,
    pub bytes: u64,
    /// Messages in this file end before this id, whatever is in it.
    pub below: u64,
    /// From here on one looks elsewhere: the next file, or memory.
    pub stop: u64,
}

impl<F: Fs> View<F> {
    pub fn new(end: u64, content_end: u64, totals: PerSlot) -> Self {
        View {
            segments: VecDeque::new(),
            window: VecDeque::new(),
            window_bytes: 0,
            totals,
            end,
            content_end,
            durable: end,
            content_durable: content_end,
            doomed: 0,
            written: 0,
            synced: 0,
            dirty: Vec::new(),
            epoch: 0,
            broken: false,
            useless: Vec::new(),
            sealed: true,
            unclaimed: 0,
            held: u64::MAX,
            slots: Slots::new(),
            moved: false,
            bytes: 0,
            tally: Tally::default(),
        }
    }

    /// The number of the file this position lies in or behind.
    pub fn at(&self, position: u64) -> Option<usize> {
        self.segments.partition_point(|placed| placed.segment.first <= position).checked_sub(1)
    }

    /// Where to look on disk for this position.
    pub fn locate(&self, position: u64) -> Option<Located> {
        let at = self.at(position)?;
        let placed = self.segments.get(at)?;
        let next = self.segments.get(at + 1).map(|next| &next.segment);
        let (below, stop) = next.map_or((self.content_end, self.end), |next| (next.follows, next.first));
        // What is in memory need not be on disk.
        let memory = self.window.front().map_or(u64::MAX, |kept| kept.frame.first_id);
        let memory = if memory > position { memory } else { u64::MAX };
        Some(Located {
            segment: placed.segment.clone(),
            bytes: placed.bytes,
            below: below.min(memory),
            stop: stop.min(memory),
        })
    }

    /// The id behind the last message of a file, and how many messages each slot had been sent up to there.
    pub fn end_of(&self, at: usize) -> (u64, PerSlot) {
        match self.segments.get(at + 1) {
            Some(next) => (next.segment.first, next.segment.wanted),
            None => (self.end, self.totals),
        }
    }

    /// How many messages this slot has been sent.
    pub fn total(&self, slot: usize) -> u64 {
        self.totals.get(slot).copied().unwrap_or(0)
    }

    /// Lets go of frames that are on disk, down to so many bytes.
    pub fn trim(&mut self, most: u64) {
        while self.window_bytes > most {
            match self.window.pop_front_if(|kept| kept.frame.end() <= self.durable) {
                Some(kept) => self.window_bytes -= kept.bytes,
                None => break,
            }
        }
    }

    /// Bytes that are not on disk yet.
    pub fn unsynced(&self) -> u64 {
        self.written - self.synced
    }

    /// Forgets the oldest file.
    pub fn drop_oldest(&mut self) -> Option<Placed> {
        let placed = self.segments.pop_front()?;
        self.bytes = self.bytes.saturating_sub(placed.bytes);
        let first = placed.segment.first;
        self.dirty.retain(|dirty| dirty.first != first);
        self.tally.places.retain(|(of, _)| *of != first);
        Some(placed)
    }
}

/// How many messages have gone to each slot between two points.
pub(crate) fn add(to: &mut PerSlot, more: &PerSlot) {
    for (to, more) in to.iter_mut().zip(more) {
        *to = to.saturating_add(*more);
    }
}

/// The other way.
pub(crate) fn subtract(from: &mut PerSlot, less: &PerSlot) {
    for (from, less) in from.iter_mut().zip(less) {
        *from = from.saturating_sub(*less);
    }
}

/// Nothing for anybody.
pub(crate) const NONE: PerSlot = [0; SLOTS];
