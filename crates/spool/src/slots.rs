//! Who reads, and how far each has come.
//!
//! Positions are kept twice: as an id, and as how many messages the slot had been sent up to there (its mark). What is
//! queued is then a difference, exact without looking at the backlog, and a mark that does not fit what a segment's header
//! says tells how many messages have been lost in between.

use crate::segment::{Named, PerSlot, SLOTS};
use crate::state::Saved;

/// One reader's standing.
#[derive(Debug, Clone)]
pub(crate) struct Slot {
    pub name: String,
    pub required: bool,
    /// An endpoint of this name is there. If not, the cursor is an orphan.
    pub registered: bool,
    pub since: u64,
    pub base: u64,
    pub committed: u64,
    pub mark: u64,
    pub skipped: u64,
    pub lost: u64,
    /// What is below has been given up to make room; and the mark there.
    pub floor: (u64, u64),
    /// Messages that are not there any more, ahead of the cursor. They are accounted for when it passes.
    pub gaps: Vec<Gap>,
}

/// Messages a reader will not find.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Gap {
    /// They were before this id.
    pub at: u64,
    pub lost: u64,
    pub skipped: u64,
    /// That id begins a file, whose header will tell again: it can be kept when a reader starts over, and saved.
    pub lasting: bool,
}

/// All of them. A state whose checksum is right may still hold any numbers, and nobody is to fall over them.
fn total(numbers: impl Iterator<Item = u64>) -> u64 {
    numbers.fold(0, u64::saturating_add)
}

impl Slot {
    pub fn new(name: &str, required: bool, at: u64, mark: u64) -> Self {
        Slot {
            name: name.to_owned(),
            required,
            registered: true,
            since: at,
            base: mark,
            committed: at,
            mark,
            skipped: 0,
            lost: 0,
            floor: (at, mark),
            gaps: Vec::new(),
        }
    }

    /// The mark from which on there is something to deliver.
    fn reached(&self) -> u64 {
        let gaps = self.gaps.iter().map(|gap| gap.lost.saturating_add(gap.skipped));
        self.mark.saturating_add(total(gaps)).max(self.floor.1)
    }

    /// Messages to be delivered yet.
    pub fn queued(&self, total: u64) -> u64 {
        total.saturating_sub(self.reached())
    }

    /// Messages given up, also those the reader has not noticed yet.
    pub fn skipped(&self) -> u64 {
        let ahead = total(self.gaps.iter().map(|gap| gap.skipped));
        let below =
            self.gaps.iter().filter(|gap| gap.at <= self.floor.0).map(|gap| gap.lost.saturating_add(gap.skipped));
        self.skipped
            .saturating_add(ahead)
            .saturating_add(self.floor.1.saturating_sub(self.mark.saturating_add(total(below))))
    }

    /// Messages lost to damage, also those ahead of the cursor.
    pub fn lost(&self) -> u64 {
        self.lost.saturating_add(total(self.gaps.iter().map(|gap| gap.lost)))
    }

    /// Whether something before this id, up to which the slot had been sent so many messages, is not settled. Gaps count
    /// only once the cursor has passed them: it is what is saved that must not need a file any more.
    pub fn holds(&self, end: u64, mark: u64) -> bool {
        self.committed.max(self.floor.0) < end && self.mark.max(self.floor.1) < mark
    }

    /// Messages up to this id are settled, so many more than before.
    pub fn commit(&mut self, upto: u64, settled: u64, total: u64) {
        self.committed = self.committed.max(upto);
        self.mark = self.mark.saturating_add(settled);
        let committed = self.committed;
        let passed: Vec<Gap> = self.gaps.extract_if(.., |gap| gap.at <= committed).collect();
        passed.iter().for_each(|gap| self.pass(gap.lost, gap.skipped));
        self.mark = self.mark.min(total);
    }

    /// Notes that messages before this id are not there; what was known about the same place is replaced;
    /// what was given up and what is lost are told apart.
    pub fn gap(&mut self, at: u64, lost: u64, skipped: u64, lasting: bool) {
        self.gaps.retain(|gap| gap.at != at || (gap.skipped > 0) != (skipped > 0));
        if at <= self.committed {
            self.pass(lost, skipped);
        } else if lost > 0 || skipped > 0 {
            self.gaps.push(Gap { at, lost, skipped, lasting });
        }
    }

    /// The cursor is behind messages that are not there.
    fn pass(&mut self, lost: u64, skipped: u64) {
        self.mark = self.mark.saturating_add(lost).saturating_add(skipped);
        self.lost = self.lost.saturating_add(lost);
        self.skipped = self.skipped.saturating_add(skipped);
    }

    /// A reader starts over: what it has found out ahead of the cursor it finds out again.
    pub fn forget_gaps(&mut self, from: u64) {
        self.gaps.retain(|gap| gap.lasting || gap.at <= from);
    }

    /// Gives up what is before this id.
    pub fn give_up(&mut self, end: u64, mark: u64) {
        self.floor = (self.floor.0.max(end), self.floor.1.max(mark));
    }

    /// After a crash took messages that nobody had been promised, and with them their numbers: what is counted is at most
    /// what there was.
    pub fn tidy(&mut self) {
        let passed = self.mark.saturating_sub(self.base);
        self.skipped = self.skipped.min(passed);
        self.lost = self.lost.min(passed - self.skipped);
    }

    /// As it is saved: as if the reader had noticed what was given up.
    pub fn saved(&self, slot: usize) -> Saved {
        let mut copy = self.clone();
        if copy.floor.0 > copy.committed {
            let floor = copy.floor;
            copy.commit(floor.0, 0, u64::MAX);
            copy.skipped = copy.skipped.saturating_add(floor.1.saturating_sub(copy.mark));
            copy.mark = copy.mark.max(floor.1);
        }
        Saved {
            slot: slot as u32,
            required: copy.required,
            name: copy.name,
            since: copy.since,
            committed: copy.committed,
            base: copy.base,
            mark: copy.mark,
            skipped: copy.skipped,
            lost: copy.lost,
            gaps: copy
                .gaps
                .iter()
                .filter(|gap| gap.lasting && gap.skipped == 0)
                .map(|gap| (gap.at, gap.lost))
                .collect(),
        }
    }

    /// As it was saved.
    pub fn restored(saved: &Saved) -> Self {
        Slot {
            registered: false,
            since: saved.since,
            base: saved.base,
            skipped: saved.skipped,
            lost: saved.lost,
            gaps: saved.gaps.iter().map(|(at, lost)| Gap { at: *at, lost: *lost, skipped: 0, lasting: true }).collect(),
            ..Slot::new(&saved.name, saved.required, saved.committed, saved.mark)
        }
    }
}

/// All of them, by number.
#[derive(Debug, Clone)]
pub(crate) struct Slots(Vec<Option<Slot>>);

impl Slots {
    pub fn new() -> Self {
        Slots(vec![None; SLOTS])
    }

    pub fn get(&self, slot: usize) -> Option<&Slot> {
        self.0.get(slot)?.as_ref()
    }

    pub fn get_mut(&mut self, slot: usize) -> Option<&mut Slot> {
        self.0.get_mut(slot)?.as_mut()
    }

    pub fn iter(&self) -> impl Iterator<Item = (usize, &Slot)> {
        self.0.iter().enumerate().filter_map(|(at, slot)| Some((at, slot.as_ref()?)))
    }

    pub fn iter_mut(&mut self) -> impl Iterator<Item = (usize, &mut Slot)> {
        self.0.iter_mut().enumerate().filter_map(|(at, slot)| Some((at, slot.as_mut()?)))
    }

    pub fn find(&self, name: &str) -> Option<usize> {
        self.iter().find(|(_, slot)| slot.name == name).map(|(at, _)| at)
    }

    pub fn put(&mut self, at: usize, slot: Option<Slot>) {
        if let Some(place) = self.0.get_mut(at) {
            *place = slot;
        }
    }

    pub fn free(&self) -> Option<usize> {
        self.0.iter().position(Option::is_none)
    }

    pub fn saved(&self) -> Vec<Saved> {
        self.iter().map(|(at, slot)| slot.saved(at)).collect()
    }

    pub fn named(&self) -> Vec<Named> {
        let named = |(at, slot): (usize, &Slot)| Named {
            slot: at as u32,
            required: slot.required,
            since: slot.since,
            name: slot.name.clone(),
        };
        self.iter().map(named).collect()
    }

    /// The names of those to whom something before this id is still to be delivered.
    pub fn holders(&self, end: u64, marks: &PerSlot) -> Vec<usize> {
        let mark = |at: usize| marks.get(at).copied().unwrap_or(0);
        self.iter().filter(|(at, slot)| slot.holds(end, mark(*at))).map(|(at, _)| at).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_number_of_a_state_is_fallen_over() {
        let saved = Saved {
            slot: 0,
            required: true,
            name: "a".to_owned(),
            since: 0,
            committed: 5,
            base: 0,
            mark: u64::MAX,
            skipped: u64::MAX,
            lost: u64::MAX,
            gaps: vec![(7, u64::MAX), (8, 1), (9, u64::MAX)],
        };
        let mut slot = Slot::restored(&saved);
        slot.gap(4, u64::MAX, u64::MAX, false);
        slot.gap(20, u64::MAX, u64::MAX, true);
        slot.give_up(6, u64::MAX);
        assert_eq!((slot.queued(u64::MAX), slot.skipped(), slot.lost()), (0, u64::MAX, u64::MAX));
        slot.commit(10, u64::MAX, u64::MAX);
        slot.tidy();
        slot.give_up(u64::MAX, u64::MAX);
        assert_eq!(slot.saved(0).mark, u64::MAX);
        assert_eq!((slot.queued(u64::MAX), slot.lost()), (0, u64::MAX));
    }
}
