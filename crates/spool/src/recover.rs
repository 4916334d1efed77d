//! Opening a spool, whatever was left behind. Only what may not have been on disk is looked through, so that a long backlog
//! costs no time.

use crate::fs::{Fs, QUARANTINE};
use crate::journal::Core;
use crate::options::{OpenError, Options};
use crate::scan::{Found, Listing, Scan, find, quarantine, scan};
use crate::segment::{PerSlot, id_in};
use crate::slots::{Slot, Slots};
use crate::state::{self, State, Store};
use crate::view::{NONE, Placed, Segment, View, add, subtract};
use metlog_message::Timestamp;
use std::collections::BTreeSet;
use std::sync::Arc;

/// What was found when the spool was opened.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Recovery {
    /// There was no spool.
    pub fresh: bool,
    /// The last owner had closed it.
    pub clean: bool,
    /// The cursors were damaged or gone. They start over from the oldest message, or are a little behind.
    pub state_damaged: bool,
    /// Files with messages in them.
    pub segments: usize,
    /// Their bytes.
    pub bytes: u64,
    /// Cut off the end: what was being written, and had not been acknowledged.
    pub torn_bytes: u64,
    /// Whole messages among that, as far as can be told.
    pub torn_messages: u64,
    /// In damaged places.
    pub damaged_bytes: u64,
    /// Messages that had been on disk and are lost.
    pub damaged_messages: u64,
    /// Files whose header was damaged; what was behind it is used.
    pub headers_rebuilt: u64,
    /// Names of files that hold what is damaged or does not belong.
    pub quarantined: Vec<String>,
    /// Files that could not be opened, and why.
    pub unreadable: Vec<String>,
    /// Cursors found. Those whose endpoint does not come back hold messages until they are removed.
    pub orphans: Vec<String>,
}

/// So far ids jump when it is not known which ones have been given out.
const LEAP: u64 = 1 << 32;

/// Opens everything.
pub(crate) fn open<F: Fs>(fs: F, options: Options) -> Result<(Core<F>, Recovery), OpenError> {
    let mut recovery = Recovery::default();
    let found = state::find(&fs);
    if let Some(version) = found.newer {
        let why = format!(
            "{} is of format {version}, this metlog knows 1: start the newer one, or another directory",
            state::NAME
        );
        return Err(OpenError::Io { why });
    }
    let Listing { files, useless, highest } = find(&fs, &mut recovery)?;
    recovery.fresh = found.state.is_none() && !found.damaged && files.is_empty() && useless.is_empty();
    recovery.state_damaged = !recovery.fresh && (found.damaged || found.state.is_none());
    recovery.clean = found.state.as_ref().is_some_and(|state| state.clean) && !found.damaged;
    let known = found.state.as_ref();
    let mut places: BTreeSet<_> = known.map(|state| state.places.iter().copied().collect()).unwrap_or_default();
    places.retain(|(of, _)| files.iter().any(|found| found.first == *of));
    let uncertain = Vec::new();
    let mut opening = Opening { fs: &fs, known, recovery, uncertain, places, files, scans: Vec::new() };
    for name in &useless {
        opening.set_aside(name);
    }
    opening.drop_doomed();
    opening.drop_empty();
    let slots = opening.slots();
    opening.look_through(&slots);
    let mut view = opening.view(slots, highest, if opening.recovery.fresh { options.first_id } else { 1 });
    opening.sync();
    let recovery = opening.recovery;
    view.moved = true;
    view.held = options.hold;
    let store = Store::new(&fs, &found);
    let core = Core::new(fs, options, store, view, 0);
    // The ids are reserved, and the spool is not clean any more, before anything is written.
    core.save(true, false).map_err(|error| OpenError::Io { why: error.to_string() })?;
    Ok((core, recovery))
}

struct Opening<'a, F: Fs> {
    fs: &'a F,
    known: Option<&'a State>,
    recovery: Recovery,
    /// What the system has and the disk may not have.
    uncertain: Vec<Arc<F::File>>,
    /// The damaged places: of which file, and where.
    places: BTreeSet<(u64, u64)>,
    files: Vec<Found<F>>,
    /// As far as each file has been looked through.
    scans: Vec<Option<Scan>>,
}

impl<F: Fs> Opening<'_, F> {
    /// Puts a file without a whole frame out of the way. One that was just being begun is nothing to keep.
    fn set_aside(&mut self, name: &str) {
        let size = self.fs.open(name).and_then(|file| self.fs.size(&file)).unwrap_or(u64::MAX);
        if size == 0 || id_in(name).is_some_and(|id| id >= self.was_there()) {
            self.recovery.torn_bytes += size;
            // If it stays it is in nobody's way.
            let _ = self.fs.remove(name);
            return;
        }
        self.recovery.damaged_bytes += size;
        let kept = format!("{QUARANTINE}/{name}-{}", Timestamp::now().nanos());
        if self.fs.rename(name, &kept).is_ok() {
            self.recovery.quarantined.push(kept);
        }
    }

    /// Behind the last message that certainly was on disk.
    fn was_there(&self) -> u64 {
        match self.known {
            Some(state) if self.recovery.clean => state.content_end,
            Some(state) => state.content_durable,
            None if self.recovery.fresh => 0,
            None => u64::MAX,
        }
    }

    /// Deletes what was to be deleted.
    fn drop_doomed(&mut self) {
        let doomed = self.known.map_or(0, |state| state.doomed);
        let gone = self.files.extract_if(.., |found| found.first < doomed);
        for found in gone {
            // If that fails it is tried again at the next start; nobody reads it.
            let _ = self.fs.remove(&found.name);
        }
    }

    /// The last file is one with a message in it.
    fn drop_empty(&mut self) {
        let empty = |found: &mut Found<F>| scan(self.fs, found, u64::MAX, &NONE, |_| ()).frames == 0;
        let mut useless = Vec::new();
        while let Some(found) = self.files.pop_if(empty) {
            useless.push(found.name);
        }
        useless.iter().for_each(|name| self.set_aside(name));
    }

    /// The cursors as they were saved; if they are lost, as the newest header knows them, at the beginning.
    fn slots(&mut self) -> Slots {
        let mut slots = Slots::new();
        if let Some(state) = self.known {
            for saved in &state.slots {
                slots.put(saved.slot as usize, Some(Slot::restored(saved)));
            }
        } else if let Some(header) = self.files.iter().rev().find_map(|found| found.header.as_ref()) {
            let oldest = self.files.first().map_or(0, |found| found.first);
            for named in &header.names {
                let at = named.since.max(oldest);
                let mut slot = Slot::new(&named.name, named.required, at, 0);
                slot.registered = false;
                slots.put(named.slot as usize, Some(slot));
            }
        }
        self.recovery.orphans = slots.iter().map(|(_, slot)| slot.name.clone()).collect();
        slots
    }

    /// Looks through the files that may not have been on disk, or whose header is lost.
    fn look_through(&mut self, slots: &Slots) {
        let mut cursors = NONE;
        for (at, slot) in slots.iter() {
            if let Some(cursor) = cursors.get_mut(at) {
                *cursor = slot.committed;
            }
        }
        let durable = self.known.map(|state| state.durable);
        let last = self.files.len().saturating_sub(1);
        let lost: Vec<bool> = self.files.iter().map(|found| found.header.is_none()).collect();
        for at in 0..self.files.len() {
            let next = self.files.get(at + 1);
            let (first, below) = next.map_or((u64::MAX, u64::MAX), |next| (next.first, follows(next)));
            let lost = lost.get(at).copied().unwrap_or(false) || lost.get(at + 1).copied().unwrap_or(false);
            // Without a state what is behind is what most likely was not.
            let uncertain = durable.map_or(at == last, |durable| first > durable) || at == last;
            let scan = self
                .files
                .get(at)
                .filter(|_| uncertain || lost)
                .map(|found| scan(self.fs, found, below, &cursors, |_| ()));
            self.scans.push(scan);
        }
    }

    fn view(&mut self, mut slots: Slots, highest: u64, begin: u64) -> View<F> {
        let (bases, mut renumbered) = self.bases();
        // The end of the last file, too, is where its frames end, unless somebody had said so.
        renumbered.push(!self.recovery.clean);
        let (mut totals, mut content_end) = self.known.map_or((NONE, begin), |state| (state.totals, state.content_end));
        let mut placed = Vec::new();
        let files = std::mem::take(&mut self.files);
        let scans = std::mem::take(&mut self.scans);
        let count = files.len();
        let mut known_lost: Vec<(usize, PerSlot)> = Vec::new();
        let mut before = None;
        for (at, found) in files.iter().enumerate() {
            let base = bases.get(at).copied().unwrap_or(NONE);
            let mut bytes = found.size;
            let mut last = files.get(at + 1).and_then(|next| Some(next.header.as_ref()?.created)).unwrap_or(i64::MIN);
            if let Some(scan) = scans.get(at).and_then(Option::as_ref) {
                self.uncertain.push(found.file.clone());
                last = last.max(scan.last);
                self.note_damage(found, scan);
                let mut reached = base;
                add(&mut reached, &scan.counts);
                if at + 1 == count {
                    bytes = self.tail(found, scan);
                    content_end = if self.recovery.clean { content_end.max(scan.last_id) } else { scan.last_id };
                    totals = if self.recovery.clean { most(&totals, &reached) } else { reached };
                } else if let Some(next) = files.get(at + 1) {
                    self.lost_behind(found, scan, next);
                }
                let end = if at + 1 == count { totals } else { bases.get(at + 1).copied().unwrap_or(reached) };
                let mut lost = end;
                subtract(&mut lost, &reached);
                known_lost.push((at, lost));
            }
            let header = found.header.as_ref();
            let segment = Segment {
                name: found.name.clone(),
                first: found.first,
                follows: header.map_or(before.unwrap_or(found.first), |header| header.follows),
                wanted: base,
                salt: found.salt,
                created: header.map_or(last, |header| header.created),
                start: found.start,
            };
            before = scans.get(at).and_then(Option::as_ref).map(|scan| scan.last_id);
            placed.push(Placed { segment: Arc::new(segment), bytes, last });
        }
        let next = self.next_id(highest, content_end);
        self.recovery.segments = placed.len();
        self.recovery.bytes = placed.iter().map(|placed| placed.bytes).sum();
        let mut view = View::new(next, content_end, totals);
        view.bytes = self.recovery.bytes;
        view.segments = placed.into();
        // What comes from now on is not to be deleted, whatever was said before.
        view.doomed = self.known.map_or(0, |state| state.doomed.min(next));
        self.recovery.damaged_messages += self.settle_marks(&view, &mut slots, &scans, &known_lost, &renumbered);
        view.tally.damaged_bytes = self.recovery.damaged_bytes;
        view.tally.damaged_messages = self.recovery.damaged_messages;
        view.tally.places = std::mem::take(&mut self.places);
        if slots.iter().next().is_none() && !self.recovery.clean {
            view.unclaimed = next;
        }
        view.slots = slots;
        view
    }

    /// A process that was killed leaves messages that the system has and the disk has not. From now on they count as saved.
    fn sync(&mut self) {
        let synced = self.uncertain.iter().try_for_each(|file| self.fs.sync(file)).and_then(|()| self.fs.sync_names());
        if let (Err(error), false) = (synced, self.recovery.fresh) {
            self.recovery.unreadable.push(format!("what was left cannot be brought to the disk: {error}"));
        }
    }

    /// How many messages each slot had been sent before each file: as its header says, or else reckoned from its neighbours.
    /// And for which of them that starts from what is left, so that it does not fit the cursors' marks any more.
    fn bases(&self) -> (Vec<PerSlot>, Vec<bool>) {
        let counts = |at: usize| self.scans.get(at).and_then(Option::as_ref).map_or(NONE, |scan| scan.counts);
        let mut bases: Vec<Option<PerSlot>> =
            self.files.iter().map(|found| found.header.as_ref().map(|header| header.wanted)).collect();
        let totals = self.known.filter(|_| self.recovery.clean).map(|state| state.totals);
        for at in (0..bases.len()).rev() {
            let behind = bases.get(at + 1).copied().unwrap_or(totals);
            if let (Some(base @ None), Some(mut behind)) = (bases.get_mut(at), behind) {
                subtract(&mut behind, &counts(at));
                *base = Some(behind);
            }
        }
        let renumbered = bases.iter().map(Option::is_none).collect();
        let mut reached = NONE;
        for (at, base) in bases.iter_mut().enumerate() {
            reached = *base.get_or_insert(reached);
            add(&mut reached, &counts(at));
        }
        (bases.into_iter().map(|base| base.unwrap_or(NONE)).collect(), renumbered)
    }

    fn note_damage(&mut self, found: &Found<F>, scan: &Scan) {
        for hole in &scan.damage {
            self.missing(found, (hole.from, hole.to), hole.id, hole.messages, hole.messages);
        }
        if found.header.is_none() {
            self.recovery.headers_rebuilt += 1;
        }
    }

    /// What is behind the last whole frame of a file that is not the last one.
    fn lost_behind(&mut self, found: &Found<F>, scan: &Scan, next: &Found<F>) {
        // Where the next one's header is lost nobody knows whether the ids between have been messages.
        let messages = next.header.as_ref().map_or(0, |header| header.follows.saturating_sub(scan.last_id));
        if messages > 0 || found.size > scan.end {
            self.missing(found, (scan.end, found.size), scan.last_id, messages, messages);
        }
    }

    /// Counts a place without whole frames: damage if its messages had been on disk, otherwise merely torn.
    fn missing(&mut self, found: &Found<F>, (from, to): (u64, u64), id: u64, lost: u64, torn: u64) {
        if !self.places.insert((found.first, from)) {
            return;
        }
        if id < self.was_there() {
            self.recovery.damaged_bytes += to - from;
            self.recovery.damaged_messages += lost;
            self.keep(found, from, to);
        } else {
            self.recovery.torn_bytes += to - from;
            self.recovery.torn_messages += torn;
        }
    }

    /// What is behind the last whole frame of the last file is cut off. Where that file ends then.
    fn tail(&mut self, found: &Found<F>, scan: &Scan) -> u64 {
        let bytes = found.size - scan.end;
        // Without a state the heads are all that tells.
        let certain = self.known.map_or(scan.last_id + scan.torn, |_| self.was_there());
        if bytes > 0 || certain > scan.last_id {
            self.missing(found, (scan.end, found.size), scan.last_id, certain.saturating_sub(scan.last_id), scan.torn);
        }
        if bytes > 0 && self.fs.cut(&found.file, scan.end).is_err() {
            // Then it is found once more at the next start.
            return found.size;
        }
        scan.end
    }

    /// The next id: one that certainly has not been given out.
    fn next_id(&self, highest: u64, content_end: u64) -> u64 {
        match self.known {
            Some(state) if self.recovery.clean => state.next.max(content_end),
            Some(state) if !self.recovery.state_damaged => state.reserved.max(content_end),
            Some(state) => state.reserved.max(content_end).max(highest).saturating_add(LEAP),
            None if self.recovery.fresh => content_end,
            None => content_end.max(highest).saturating_add(LEAP),
        }
    }

    /// Makes each cursor's mark fit the files that are there.
    /// Returns how many messages have gone with files that should be there, as far as ids tell.
    fn settle_marks(
        &mut self,
        view: &View<F>,
        slots: &mut Slots,
        scans: &[Option<Scan>],
        known_lost: &[(usize, PerSlot)],
        renumbered: &[bool],
    ) -> u64 {
        let mut vanished = 0;
        let trusted = self.known.is_some();
        for (number, slot) in slots.iter_mut() {
            let of = |numbers: &PerSlot| numbers.get(number).copied().unwrap_or(0);
            let total = of(&view.totals);
            let Some(oldest) = view.segments.front() else {
                if slot.mark < total {
                    vanished =
                        vanished.max(self.was_there().min(view.end).saturating_sub(slot.committed.max(view.doomed)));
                }
                settle(slot, view.end, total);
                continue;
            };
            if slot.committed >= view.content_end {
                slot.committed = slot.committed.min(view.end);
                settle_at(slot, total);
                continue;
            }
            if slot.committed < oldest.segment.first {
                if slot.mark < of(&oldest.segment.wanted) {
                    let upto = oldest.segment.follows.min(self.was_there());
                    vanished = vanished.max(upto.saturating_sub(slot.committed.max(view.doomed)));
                }
                slot.committed = oldest.segment.first;
                settle_at(slot, of(&oldest.segment.wanted).max(slot.mark.min(total)));
            }
            let Some(at) = view.at(slot.committed) else { continue };
            let Some(placed) = view.segments.get(at) else { continue };
            let base = of(&placed.segment.wanted);
            let end = of(&view.end_of(at).1);
            match scans.get(at).and_then(Option::as_ref) {
                // As it is now: what is not there any more does not count as settled either.
                Some(scan) if renumbered.get(at + 1).copied().unwrap_or(false) => slot.mark = base + of(&scan.before),
                _ if !trusted => slot.mark = base,
                _ => slot.mark = slot.mark.clamp(base, end.max(base)),
            }
            if !trusted {
                slot.base = slot.mark;
            }
            slot.base = slot.base.min(slot.mark);
            slot.floor = (slot.committed, slot.mark);
            let committed = slot.committed;
            slot.gaps.retain(|gap| gap.at > committed);
            self.expect_gaps(view, slot, number, at, scans, known_lost);
        }
        slots.iter_mut().for_each(|(_, slot)| slot.tidy());
        vanished
    }

    /// What a reader will miss ahead of its cursor, as far as is known now.
    fn expect_gaps(
        &self,
        view: &View<F>,
        slot: &mut Slot,
        number: usize,
        at: usize,
        scans: &[Option<Scan>],
        known_lost: &[(usize, PerSlot)],
    ) {
        let of = |numbers: &PerSlot| numbers.get(number).copied().unwrap_or(0);
        for (file, lost) in known_lost.iter().filter(|(file, _)| *file >= at) {
            let Some(scan) = scans.get(*file).and_then(Option::as_ref) else { continue };
            let (end, marks) = view.end_of(*file);
            let lost = if *file == at {
                of(&marks).saturating_sub(slot.mark).saturating_sub(of(&scan.counts) - of(&scan.before))
            } else {
                of(lost)
            };
            slot.gap(end, lost, 0, true);
        }
    }

    /// Keeps damaged bytes.
    fn keep(&mut self, found: &Found<F>, from: u64, to: u64) {
        if let Some(name) = quarantine(self.fs, &found.name, &found.file, from, to) {
            self.recovery.quarantined.push(name);
        }
    }
}

fn settle(slot: &mut Slot, at: u64, mark: u64) {
    slot.committed = at;
    settle_at(slot, mark);
}

/// A cursor that is moved over what is not there any more.
fn settle_at(slot: &mut Slot, mark: u64) {
    slot.lost += mark.saturating_sub(slot.mark);
    slot.mark = mark;
    slot.base = slot.base.min(mark);
    slot.floor = (slot.committed, slot.mark);
    slot.gaps.retain(|gap| gap.at > slot.committed);
}

/// Behind the last message before a file.
fn follows<F: Fs>(found: &Found<F>) -> u64 {
    found.header.as_ref().map_or(found.first, |header| header.follows)
}

fn most(a: &PerSlot, b: &PerSlot) -> PerSlot {
    let mut most = *a;
    most.iter_mut().zip(b).for_each(|(most, b)| *most = (*most).max(*b));
    most
}
