//! The spool's one thread: brings to the disk what was appended and how far readers have come, and deletes what everybody
//! has.

use crate::desk::{Ask, Order, Outcome};
use crate::fs::Fs;
use crate::journal::{Core, RESERVE};
use crate::options::{AppendError, Options, Sync};
use crate::state::{MOST_PLACES, State};
use crate::view::{Placed, View};
use metlog_message::Timestamp;
use std::sync::atomic::Ordering;
use std::sync::{Arc, PoisonError};
use std::time::{Duration, Instant};

/// At least so often what has been appended, and how far readers have come, goes to the disk.
const TICK: Duration = Duration::from_secs(1);

impl<F: Fs> Core<F> {
    /// Until the spool is closed.
    pub fn keep(&self) {
        let tick = match self.options.sync {
            Sync::Every(time) => time.min(TICK),
            Sync::Ack | Sync::Never => TICK,
        };
        let mut due = Instant::now() + tick;
        loop {
            let order = self.desk.next(due);
            let now = Instant::now();
            let tick_due = order.tick || now >= due;
            if tick_due {
                due = now + tick;
            }
            let outcome = self.round(&order, tick_due);
            self.desk.served(&order, self.durable.load(Ordering::Acquire), outcome);
            if order.stop {
                break;
            }
        }
        self.desk.over();
    }

    /// One round on the caller's thread; `tick`: and what is due with time.
    #[cfg(feature = "simulation")]
    pub fn keep_once(&self, tick: bool) {
        let order = self.desk.next(Instant::now());
        let outcome = self.round(&order, tick);
        self.desk.served(&order, self.durable.load(Ordering::Acquire), outcome);
    }

    fn round(&self, order: &Order, due: bool) -> Outcome {
        let Ask { data, state, room } = order.ask;
        let mut outcome = Outcome::default();
        if data || order.stop || (due && self.options.sync != Sync::Never) {
            outcome.data = self.sync_data().err();
        }
        if order.stop {
            // Only what is on disk may be called clean.
            let clean = outcome.data.is_none();
            self.sweep(false, &mut outcome);
            self.note(&mut outcome, |core| core.save(true, clean));
            return outcome;
        }
        let moved = self.view().moved;
        if state || (due && moved) {
            let sync = state || self.options.sync != Sync::Never;
            self.note(&mut outcome, |core| core.save(sync, false));
        }
        self.sweep(false, &mut outcome);
        if room > 0 {
            self.make_room(room, &mut outcome);
        }
        outcome
    }

    fn note(&self, outcome: &mut Outcome, save: impl FnOnce(&Self) -> Result<(), AppendError>) {
        if let Err(error) = save(self) {
            self.view().tally.last_error = Some(error.to_string());
            outcome.state = Some(error);
        }
    }

    /// Brings what has been appended to the disk. After a failure it is written again, to a new file, and synced once more.
    pub fn sync_data(&self) -> Result<(), AppendError> {
        let mut result = Ok(());
        for attempt in 0..2 {
            result = self.sync_once();
            let Err(error) = &result else { return Ok(()) };
            self.view().tally.last_error = Some(error.to_string());
            if attempt == 0 {
                let mut writer = self.writer();
                self.restart(&mut writer)?;
            }
        }
        result
    }

    fn sync_once(&self) -> Result<(), AppendError> {
        loop {
            let (end, content, written, epoch, dirty, broken) = {
                let view = self.view();
                (view.end, view.content_end, view.written, view.epoch, view.dirty.clone(), view.broken)
            };
            if broken {
                let mut writer = self.writer();
                self.restart(&mut writer)?;
                continue;
            }
            if self.durable.load(Ordering::Acquire) >= end && self.options.sync != Sync::Never {
                return Ok(());
            }
            let began = Instant::now();
            for one in &dirty {
                let failed = |error| AppendError::of(&format!("sync {}", crate::segment::file_name(one.first)), &error);
                self.fs.sync(&one.file).map_err(failed)?;
            }
            if dirty.iter().any(|one| one.fresh) {
                self.fs.sync_names().map_err(|error| AppendError::of("sync the directory", &error))?;
            }
            let mut view = self.view();
            if view.epoch != epoch {
                // Meanwhile frames have gone elsewhere: what these files hold is not all.
                continue;
            }
            view.tally.syncs += 1;
            view.tally.sync_time += began.elapsed();
            view.durable = view.durable.max(end);
            view.content_durable = view.content_durable.max(content);
            view.synced = view.synced.max(written);
            view.dirty.retain_mut(|one| {
                let known = dirty.iter().find(|known| Arc::ptr_eq(&known.file, &one.file));
                one.fresh &= known.is_none();
                known.is_none_or(|known| !known.sealed)
            });
            self.durable.store(view.durable, Ordering::Release);
            view.trim(self.options.window_bytes as u64);
            return Ok(());
        }
    }

    /// Saves how far readers have come, and reserves ids. `clean`: nothing will be written after this.
    pub fn save(&self, sync: bool, clean: bool) -> Result<(), AppendError> {
        let mut store = self.store.lock().unwrap_or_else(PoisonError::into_inner);
        let reserved = self.reserved.load(Ordering::Acquire);
        let (state, raised) = {
            let mut view = self.view();
            view.moved = false;
            let low = reserved < view.end.saturating_add(RESERVE / 2);
            let state = State {
                clean,
                next: view.end,
                reserved: if low { view.end.saturating_add(RESERVE) } else { reserved },
                durable: view.durable,
                content_end: view.content_end,
                content_durable: view.content_durable,
                doomed: view.doomed,
                totals: view.totals,
                slots: view.slots.saved(),
                places: view.tally.places.iter().take(MOST_PLACES).copied().collect(),
            };
            (state, low)
        };
        let saved = store.save(&self.fs, &state, sync || raised);
        if let Err(error) = saved {
            self.view().moved = true;
            return Err(AppendError::of("save the cursors", &error));
        }
        self.reserved.store(state.reserved, Ordering::Release);
        if sync || raised {
            store.last = Some(state);
        }
        Ok(())
    }

    /// Deletes the oldest files that nobody needs any more, `now`: even if they are to be kept for a while. That they may go
    /// is saved first: after a crash nobody is to look for them, nor to take one that is there again for more than it is.
    fn sweep(&self, now: bool, outcome: &mut Outcome) {
        let doomed = {
            let mut view = self.view();
            view.doomed = view.doomed.max(unneeded(&view, now, &self.options));
            view.doomed
        };
        let saved = || {
            let store = self.store.lock().unwrap_or_else(PoisonError::into_inner);
            store.last.as_ref().map_or(0, |state| state.doomed)
        };
        if saved() < doomed {
            self.note(outcome, |core| core.save(true, false));
        }
        let doomed = saved();
        loop {
            let oldest = self.view().segments.front().filter(|placed| placed.segment.first < doomed).cloned();
            match oldest {
                Some(placed) if self.delete(&placed) => {}
                _ => return,
            }
        }
    }

    fn delete(&self, placed: &Placed) -> bool {
        match self.fs.remove(&placed.segment.name) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
                self.view().tally.last_error = Some(format!("remove {}: {error}", placed.segment.name));
                false
            }
            _ => {
                self.view().drop_oldest();
                true
            }
        }
    }

    /// Makes room for so many bytes: deletes what is only kept for a while, then gives up, for endpoints that need not have
    /// everything, what is oldest.
    pub fn make_room(&self, bytes: u64, outcome: &mut Outcome) {
        while !self.has_room(bytes) {
            let before = self.view().segments.len();
            if before <= 1 {
                self.seal(&mut self.writer());
            }
            self.sweep(true, outcome);
            let mut view = self.view();
            if view.segments.len() < before {
                continue;
            }
            if view.segments.is_empty() {
                return;
            }
            let (end, marks) = view.end_of(0);
            let holders = view.slots.holders(end, &marks);
            let required = |at: &usize| view.slots.get(*at).is_some_and(|slot| slot.required);
            if holders.is_empty() || holders.iter().any(required) {
                return;
            }
            for at in holders {
                if let Some(slot) = view.slots.get_mut(at) {
                    slot.give_up(end, marks.get(at).copied().unwrap_or(0));
                }
            }
            view.moved = true;
        }
    }

    fn has_room(&self, bytes: u64) -> bool {
        let used = self.view().bytes;
        let free = self.fs.free().unwrap_or(u64::MAX).saturating_sub(self.options.free_floor);
        used + bytes <= self.options.max_bytes && free >= bytes
    }
}

/// The id before which nobody needs any file.
fn unneeded<F: Fs>(view: &View<F>, now: bool, options: &Options) -> u64 {
    let mut doomed = 0;
    if view.slots.iter().next().is_none() {
        // Whose they are is not known, or not yet.
        return doomed;
    }
    let keep = i64::try_from(options.keep.as_nanos()).unwrap_or(i64::MAX);
    let moment = Timestamp::now().nanos();
    for (at, placed) in view.segments.iter().enumerate() {
        // The newest may still be written to.
        let closed = at + 1 < view.segments.len() || (now && view.sealed);
        let kept = moment.saturating_sub(placed.last) < keep || placed.segment.first < view.unclaimed;
        let (end, marks) = view.end_of(at);
        if !closed || (kept && !now) || end > view.held || !view.slots.holders(end, &marks).is_empty() {
            break;
        }
        doomed = end;
    }
    doomed
}
