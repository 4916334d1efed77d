//! Reading: from memory if one keeps up, otherwise from the files.

use crate::Spool;
use crate::bell::Waker;
use crate::frame::Frame;
use crate::fs::{Disk, Fs};
use crate::journal::Core;
use crate::options::{AppendError, ReadError};
use crate::segment::{Head, Step, Walk, unpack};
use crate::view::{Located, Segment, View};
use metlog_message::batch::bit;
use std::collections::VecDeque;
use std::io;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::Duration;

/// How many frames that are not committed yet a rewind knows exactly.
const TRAIL: usize = 65_536;
/// After so many failures in one place it counts as damaged.
const TRIES: u32 = 3;

/// One endpoint's way through the journal. It belongs to one thread at a time.
///
/// A slot may have one reader that reads and another that only commits.
pub struct Reader<F: Fs = Disk> {
    spool: Arc<Spool<F>>,
    slot: u32,
    position: u64,
    /// How many messages the slot had been sent up to the position: what a segment's header is held against.
    seen: u64,
    /// The first id of the file it is in.
    segment: Option<u64>,
    /// The frames handed out and not committed yet, for the way back.
    trail: VecDeque<Footprint>,
    walk: Option<(Arc<Segment>, Walk<F>)>,
    /// Behind the last frame that came from memory: its file, where it ends there, and the id.
    place: Option<(Arc<Segment>, u64, u64)>,
    failures: u32,
    called: Arc<AtomicBool>,
}

/// A frame handed out, as far as it was behind the position then.
#[derive(Clone, Copy)]
struct Footprint {
    start: u64,
    end: u64,
    /// What had been seen before and behind.
    before: u64,
    after: u64,
}

/// What one look at a file brought.
enum Look {
    Frame(Arc<Frame>),
    /// Look again, maybe elsewhere.
    Again,
}

impl<F: Fs> Reader<F> {
    pub(crate) fn new(spool: Arc<Spool<F>>, slot: u32) -> Self {
        let mut reader = Reader {
            spool,
            slot,
            position: 0,
            seen: 0,
            segment: None,
            trail: VecDeque::new(),
            walk: None,
            place: None,
            failures: 0,
            called: Arc::default(),
        };
        reader.rewind(0);
        reader
    }

    fn core(&self) -> &Core<F> {
        &self.spool.core
    }

    /// The next frame that holds at least one message for this slot at or behind its position. `None`: there is none yet.
    ///
    /// # Errors
    /// If a place is damaged, or cannot be read. The next call goes on.
    pub fn try_next(&mut self) -> Result<Option<Arc<Frame>>, ReadError> {
        let spool = self.spool.clone();
        loop {
            let located = {
                let mut view = spool.core.view();
                self.prune(&view);
                self.jump(&mut view);
                if self.position >= view.end {
                    self.caught_up(&mut view);
                    return Ok(None);
                }
                if let Some(frame) = self.look_in_memory(&mut view) {
                    return Ok(Some(frame));
                }
                if self.position >= view.end {
                    continue;
                }
                self.locate(&mut view)
            };
            let Some(located) = located else { continue };
            match self.look_on_disk(&located) {
                Ok(Look::Frame(frame)) => return Ok(Some(frame)),
                Ok(Look::Again) => {}
                Err(error) => return Err(error),
            }
        }
    }

    /// Waits until there may be something for this slot, or somebody calls [`Waker::wake`]. False: neither happened.
    pub fn wait(&self, timeout: Duration) -> bool {
        match self.core().bells.get(self.slot as usize) {
            Some(bell) => bell.wait(self.position, &self.called, timeout),
            None => false,
        }
    }

    /// Ends this reader's waiting.
    pub fn waker(&self) -> Waker {
        let bell = self.core().bells.get(self.slot as usize).cloned().unwrap_or_default();
        Waker { bell, called: self.called.clone() }
    }

    /// The next message it looks at.
    pub fn position(&self) -> u64 {
        self.position
    }

    /// Starts over from an id, or from what is committed if that is further.
    pub fn rewind(&mut self, to: u64) {
        let spool = self.spool.clone();
        let mut view = spool.core.view();
        let Some(slot) = view.slots.get_mut(self.slot as usize) else {
            self.position = view.end;
            return;
        };
        if to <= slot.committed {
            (self.position, self.seen) = (slot.committed, slot.mark);
            self.trail.clear();
        } else {
            while self.trail.pop_back_if(|last| last.start > to).is_some() {}
            self.position = to;
            // In the middle of a frame: what is before the position is counted when the frame is at hand.
            let seen = self.trail.back().map(|last| if to >= last.end { last.after } else { last.before });
            self.seen = seen.unwrap_or(slot.mark);
        }
        slot.forget_gaps(self.position);
        // At its very beginning it has yet to be entered.
        let segment = view.at(self.position).and_then(|at| Some(view.segments.get(at)?.segment.first));
        self.segment = segment.filter(|first| *first < self.position);
    }

    /// Everything below an id is settled, and so many messages of this slot more than at the last commit. On disk with the
    /// next sync, a second later at most.
    pub fn commit(&self, upto: u64, settled: u64) {
        let mut view = self.core().view();
        let total = view.total(self.slot as usize);
        view.moved = true;
        if let Some(slot) = view.slots.get_mut(self.slot as usize) {
            slot.commit(upto, settled, total);
        }
    }

    /// As [`Reader::commit`], and on disk before it returns: for endpoints that must not be sent anything twice.
    ///
    /// # Errors
    /// If that fails. The commit holds nevertheless, until a crash.
    pub fn commit_durably(&self, upto: u64, settled: u64) -> Result<(), AppendError> {
        self.commit(upto, settled);
        self.core().desk.ask_and_wait(crate::desk::Ask { state: true, ..Default::default() }).state()
    }

    /// What is committed needs no way back.
    fn prune(&mut self, view: &View<F>) {
        let Some(slot) = view.slots.get(self.slot as usize) else { return };
        while self.trail.len() > TRAIL || self.trail.get(1).is_some_and(|next| next.start <= slot.committed) {
            self.trail.pop_front();
        }
    }

    /// What has been given up is passed over.
    fn jump(&mut self, view: &mut View<F>) {
        let Some(slot) = view.slots.get_mut(self.slot as usize) else {
            self.position = view.end;
            return;
        };
        let (floor, mark) = slot.floor;
        if floor <= self.position {
            return;
        }
        slot.gap(floor, 0, mark.saturating_sub(self.seen), false);
        (self.position, self.seen) = (floor, mark);
        self.trail.push_back(Footprint { start: floor, end: floor, before: mark, after: mark });
        self.segment = None;
    }

    /// At the end: whatever should have been seen and was not is lost.
    fn caught_up(&mut self, view: &mut View<F>) {
        let (end, total) = (view.end, view.total(self.slot as usize));
        let Some(slot) = view.slots.get_mut(self.slot as usize) else { return };
        if self.seen < total && self.position == end {
            slot.gap(end, total - self.seen, 0, false);
        }
        self.seen = total;
        if slot.committed < end && slot.queued(total) == 0 {
            // Whatever was there is settled, so nothing is held for what was not.
            slot.commit(end, 0, total);
            view.moved = true;
        }
    }

    /// Another file begins: its header says how many messages there have been.
    fn enter(&mut self, view: &mut View<F>, segment: &Segment) {
        if self.segment == Some(segment.first) {
            return;
        }
        self.segment = Some(segment.first);
        if self.position > segment.first {
            return;
        }
        let wanted = segment.wanted.get(self.slot as usize).copied().unwrap_or(0);
        if let Some(slot) = view.slots.get_mut(self.slot as usize) {
            slot.gap(segment.first, wanted.saturating_sub(self.seen), 0, true);
        }
        self.seen = wanted;
    }

    /// Accounts for a frame of which it has not seen what is behind its position. How many messages there are for it.
    fn count(&mut self, frame: &Frame) -> u64 {
        let from = usize::try_from(self.position.saturating_sub(frame.first_id)).unwrap_or(usize::MAX);
        let wanted = frame.batch.wanted(self.slot, from) as u64;
        match self.trail.back() {
            // Once more, after a rewind.
            Some(last) if last.start <= self.position && self.position < last.end => {
                let start = usize::try_from(last.start - frame.first_id).unwrap_or(usize::MAX);
                self.seen = last.before + (frame.batch.wanted(self.slot, start) as u64).saturating_sub(wanted);
            }
            _ if wanted > 0 => self.trail.push_back(Footprint {
                start: frame.first_id.max(self.position),
                end: frame.end(),
                before: self.seen,
                after: self.seen + wanted,
            }),
            _ => {}
        }
        self.seen += wanted;
        self.position = frame.end();
        wanted
    }

    fn look_in_memory(&mut self, view: &mut View<F>) -> Option<Arc<Frame>> {
        if view.window.front().is_none_or(|kept| kept.frame.first_id > self.position) {
            return None;
        }
        let mut at = view.window.partition_point(|kept| kept.frame.end() <= self.position);
        while let Some(kept) = view.window.get(at) {
            let (frame, segment) = (kept.frame.clone(), kept.segment.clone());
            let behind = kept.behind;
            self.enter(view, &segment);
            let wanted = if frame.batch.any() & bit(self.slot) != 0 { self.count(&frame) } else { 0 };
            self.position = frame.end();
            if wanted > 0 {
                self.place = Some((segment, behind, self.position));
                return Some(frame);
            }
            at += 1;
        }
        None
    }

    /// Where to look on disk. `None`: its position has changed.
    fn locate(&mut self, view: &mut View<F>) -> Option<Located> {
        let Some(located) = view.locate(self.position) else {
            // All that is older is gone.
            let oldest = view.segments.front().map(|placed| placed.segment.clone());
            match oldest {
                Some(segment) => {
                    self.position = segment.first;
                    self.enter(view, &segment);
                }
                None => self.position = view.window.front().map_or(view.end, |kept| kept.frame.first_id),
            }
            return None;
        };
        self.enter(view, &located.segment);
        if self.position >= located.below {
            self.position = located.stop;
            return None;
        }
        Some(located)
    }

    /// One step through a file.
    fn look_on_disk(&mut self, located: &Located) -> Result<Look, ReadError> {
        let spool = self.spool.clone();
        let core = &spool.core;
        if !self.turn_to(core, located)? {
            self.position = located.stop;
            return Ok(Look::Again);
        }
        let Some((segment, mut walk)) = self.walk.take() else { return Ok(Look::Again) };
        let result = self.step(core, &mut walk, located);
        let result = match result {
            Err(error) => Err(self.failed(&mut walk, &segment.name, &error)),
            Ok(result) => {
                if result.is_ok() {
                    self.failures = 0;
                }
                result
            }
        };
        self.walk = Some((segment, walk));
        result
    }

    /// Places the walk at or before the position. False: the file is not there.
    fn turn_to(&mut self, core: &Core<F>, located: &Located) -> Result<bool, ReadError> {
        let segment = &located.segment;
        let mut from = (segment.start, segment.first);
        if let Some((_, at, id)) = self.place.as_ref().filter(|place| Arc::ptr_eq(&place.0, segment))
            && *id <= self.position
        {
            from = (*at, *id);
        }
        let same = self.walk.as_ref().is_some_and(|(of, _)| Arc::ptr_eq(of, segment));
        if !same {
            let file = match core.fs.open(&segment.name) {
                Ok(file) => Arc::new(file),
                Err(error) if error.kind() == io::ErrorKind::NotFound => {
                    let mut view = core.view();
                    // Deleted because nobody needs it, or by somebody: then it is lost.
                    if view.segments.iter().any(|placed| Arc::ptr_eq(&placed.segment, segment)) {
                        view.tally.last_error = Some(format!("{} has disappeared", segment.name));
                    }
                    return Ok(false);
                }
                Err(error) => {
                    self.failures += 1;
                    if self.failures >= TRIES {
                        self.failures = 0;
                        return Ok(false);
                    }
                    return Err(ReadError::Io { why: format!("open {}: {error}", segment.name) });
                }
            };
            let mut walk = self.walk.take().map_or_else(|| Walk::new(file.clone(), 0, 0, None, 0), |(_, walk)| walk);
            walk.turn_to(file, from.0, located.bytes, segment.salt, from.1);
            self.walk = Some((segment.clone(), walk));
        }
        if let Some((_, walk)) = &mut self.walk {
            if walk.expected > self.position || (from.1 > walk.expected) {
                (walk.at, walk.expected) = from;
            }
            walk.limit = located.bytes;
            walk.below = located.below;
        }
        Ok(true)
    }

    fn step(&mut self, core: &Core<F>, walk: &mut Walk<F>, located: &Located) -> io::Result<Result<Look, ReadError>> {
        let before = walk.expected;
        match walk.step(&core.fs)? {
            Step::End => {
                let missing = located.below.saturating_sub(before.max(self.position));
                self.position = located.stop;
                if missing == 0 {
                    return Ok(Ok(Look::Again));
                }
                Ok(self.damaged(core, &located.segment, walk, (walk.at, walk.at), missing))
            }
            Step::Damage { from, to, next } => {
                let next = next.unwrap_or(located.below);
                let missing = next.saturating_sub(before);
                walk.expected = next.max(before);
                self.position = self.position.max(next);
                Ok(self.damaged(core, &located.segment, walk, (from, to), missing))
            }
            Step::Frame(head) => self.frame(core, walk, located, head),
        }
    }

    fn frame(
        &mut self,
        core: &Core<F>,
        walk: &mut Walk<F>,
        located: &Located,
        head: Head,
    ) -> io::Result<Result<Look, ReadError>> {
        let missing = head.first.saturating_sub(walk.expected.max(self.position));
        if missing > 0 && walk.expected <= self.position {
            // The frames before are gone without a trace, which a damaged header could not do.
            walk.expected = head.first;
            self.position = head.first;
            return Ok(self.damaged(core, &located.segment, walk, (walk.at, walk.at), missing));
        }
        if head.end() <= self.position || head.any & bit(self.slot) == 0 {
            walk.pass(&head, false);
            self.position = self.position.max(head.end());
            return Ok(Ok(Look::Again));
        }
        let mut batch = core.pool.take();
        if !unpack(&head, walk.body(&core.fs, &head)?, &mut batch) {
            core.pool.give(batch);
            let from = walk.at;
            walk.pass(&head, true);
            self.position = self.position.max(head.end());
            return Ok(self.damaged(core, &located.segment, walk, (from, walk.at), u64::from(head.count)));
        }
        walk.pass(&head, true);
        let frame = Arc::new(Frame::new(head.first, head.received, batch, core.pool.clone()));
        Ok(Ok(if self.count(&frame) > 0 { Look::Frame(frame) } else { Look::Again }))
    }

    /// Notes a damaged place and keeps its bytes.
    fn damaged(
        &mut self,
        core: &Core<F>,
        segment: &Segment,
        walk: &Walk<F>,
        (from, to): (u64, u64),
        messages: u64,
    ) -> Result<Look, ReadError> {
        self.failures = 0;
        if !core.note_damage(segment, &walk.file, from, to, messages) {
            return Ok(Look::Again);
        }
        Err(ReadError::Damaged { place: format!("{}, byte {from}", segment.name), bytes: to - from, messages })
    }

    /// The disk did not give what is there. The third time what cannot be read is taken for damaged.
    fn failed(&mut self, walk: &mut Walk<F>, name: &str, error: &io::Error) -> ReadError {
        self.failures += 1;
        walk.stubborn = self.failures >= TRIES - 1;
        ReadError::Io { why: format!("read {name} at byte {}: {error}", walk.at) }
    }
}
