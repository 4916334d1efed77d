//! Looking at a spool, and mending it, while nobody has it open.

use crate::fs::{Disk, Fs, QUARANTINE};
use crate::options::OpenError;
use crate::recover::Recovery;
use crate::scan::{self, Found, Listing, Scan, scan};
use crate::segment::{Step, Walk, unpack};
use crate::state;
use crate::view::NONE;
use metlog_message::{Batch, batch::bit};
use std::io::{self, Write};
use std::ops::Range;
use std::path::Path;

/// What is in a spool.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Report {
    /// Its files, oldest first.
    pub segments: Vec<SegmentReport>,
    /// Files of the journal that hold no message at all.
    pub useless: Vec<String>,
    /// Files that could not be opened, and why.
    pub unreadable: Vec<String>,
    /// The cursors: name, number, committed id. Empty if the state is lost.
    pub cursors: Vec<(String, u32, u64)>,
    /// The cursors are damaged, or partly.
    pub state_damaged: bool,
    /// The last owner had closed it.
    pub clean: bool,
}

/// What is in one file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SegmentReport {
    /// Its name.
    pub name: String,
    /// The id of its first message, and the id behind its last one.
    pub ids: Range<u64>,
    /// Its bytes.
    pub bytes: u64,
    /// Whole frames.
    pub frames: u64,
    /// Messages in them.
    pub messages: u64,
    /// Whether its header is readable.
    pub header: bool,
    /// Damaged places with whole frames behind them.
    pub damage: Vec<Damage>,
    /// What is behind the last whole frame, if anything is.
    pub tail: Option<Damage>,
}

/// A damaged place.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Damage {
    /// From this byte on,
    pub from: u64,
    /// up to this.
    pub to: u64,
    /// Messages missing there, as far as can be told.
    pub messages: u64,
}

impl Report {
    /// Whether everything is whole. A torn end after a crash is not damage: the next start cuts it off.
    pub fn is_whole(&self) -> bool {
        let whole = |segment: &SegmentReport| segment.header && segment.damage.is_empty();
        !self.state_damaged && self.unreadable.is_empty() && self.useless.is_empty() && self.segments.iter().all(whole)
    }
}

/// How far a tool has come: bytes done, of all.
pub type Progress<'a> = &'a mut dyn FnMut(u64, u64);

/// Looks at every frame of a spool, also while a process has it: then the newest may look torn.
///
/// # Errors
/// If the directory cannot be read, or a newer version's files are in it.
pub fn check(directory: &Path, progress: Progress<'_>) -> Result<Report, OpenError> {
    examine(&Disk::look(directory)?, progress)
}

/// The same for any file system.
///
/// # Errors
/// As [`check`].
pub fn examine<F: Fs>(fs: &F, progress: Progress<'_>) -> Result<Report, OpenError> {
    let known = state::find(fs);
    let mut recovery = Recovery::default();
    let Listing { files, useless, .. } = scan::find(fs, &mut recovery)?;
    let all = files.iter().map(|found| found.size).sum();
    let mut report = Report {
        useless,
        unreadable: recovery.unreadable,
        state_damaged: known.damaged || (known.state.is_none() && !files.is_empty()),
        clean: known.state.as_ref().is_some_and(|state| state.clean),
        ..Report::default()
    };
    let counted = known.state.as_ref().map(|state| state.places.clone()).unwrap_or_default();
    let mut done = 0;
    for (at, found) in files.iter().enumerate() {
        let below = below(&files, at);
        let scan = scan(fs, found, below, &NONE, |at| progress(done + at, all));
        done += found.size;
        progress(done, all);
        report.segments.push(segment(found, &scan, files.get(at + 1), &counted));
    }
    let cursors = known.state.iter().flat_map(|state| &state.slots);
    report.cursors = cursors.map(|slot| (slot.name.clone(), slot.slot, slot.committed)).collect();
    Ok(report)
}

fn below<F: Fs>(files: &[Found<F>], at: usize) -> u64 {
    files.get(at + 1).map_or(u64::MAX, |next| next.header.as_ref().map_or(next.first, |header| header.follows))
}

fn segment<F: Fs>(found: &Found<F>, scan: &Scan, next: Option<&Found<F>>, counted: &[(u64, u64)]) -> SegmentReport {
    let follows = next.and_then(|next| next.header.as_ref()).map_or(scan.last_id, |header| header.follows);
    let missing = follows.saturating_sub(scan.last_id).max(scan.torn);
    let tail = (found.size > scan.end || missing > 0)
        .then_some(Damage { from: scan.end, to: found.size, messages: missing })
        // What was written again elsewhere is no loss.
        .filter(|tail| missing > 0 || next.is_none() || counted.contains(&(found.first, tail.from)));
    SegmentReport {
        name: found.name.clone(),
        ids: found.first..scan.last_id,
        bytes: found.size,
        frames: scan.frames,
        messages: scan.messages,
        header: found.header.is_some(),
        damage: scan
            .damage
            .iter()
            .map(|hole| Damage { from: hole.from, to: hole.to, messages: hole.messages })
            .collect(),
        tail,
    }
}

/// Which messages are meant.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Filter {
    /// By id.
    pub ids: Range<u64>,
    /// Only those for this slot.
    pub slot: Option<u32>,
}

impl Default for Filter {
    fn default() -> Self {
        Filter { ids: 0..u64::MAX, slot: None }
    }
}

/// Writes messages out as they came, one per line; what is damaged is left out. How many were written.
///
/// # Errors
/// If the directory cannot be read, or the messages cannot be written.
pub fn export(directory: &Path, out: &mut dyn Write, filter: &Filter, progress: Progress<'_>) -> io::Result<u64> {
    let disk = Disk::look(directory).map_err(io::Error::other)?;
    extract(&disk, out, filter, progress)
}

/// The same for any file system.
///
/// # Errors
/// As [`export`].
pub fn extract<F: Fs>(fs: &F, out: &mut dyn Write, filter: &Filter, progress: Progress<'_>) -> io::Result<u64> {
    let Listing { files, .. } = scan::find(fs, &mut Recovery::default()).map_err(io::Error::other)?;
    let all = files.iter().map(|found| found.size).sum();
    let mut done = 0;
    let mut written = 0;
    let mut batch = Batch::new();
    for (at, found) in files.iter().enumerate() {
        let mut walk = Walk::<F>::new(found.file.clone(), found.start, found.size, found.salt, found.first);
        (walk.below, walk.stubborn) = (below(&files, at), true);
        loop {
            progress(done + walk.at, all);
            let head = match walk.step(fs)? {
                Step::Frame(head) => head,
                Step::Damage { .. } => continue,
                Step::End => break,
            };
            let outside = head.end() <= filter.ids.start || head.first >= filter.ids.end;
            let unwanted = filter.slot.is_some_and(|slot| head.any & bit(slot) == 0);
            if !outside && !unwanted && unpack(&head, walk.body(fs, &head)?, &mut batch) {
                written += lines(out, head.first, &batch, filter)?;
            }
            walk.pass(&head, !outside && !unwanted);
        }
        done += found.size;
    }
    out.flush()?;
    Ok(written)
}

fn lines(out: &mut dyn Write, first: u64, batch: &Batch, filter: &Filter) -> io::Result<u64> {
    let mut written = 0;
    for ((id, line), wants) in (first..).zip(batch.lines().iter()).zip(batch.wants()).take(batch.messages()) {
        if filter.ids.contains(&id) && filter.slot.is_none_or(|slot| wants & bit(slot) != 0) {
            out.write_all(line)?;
            out.write_all(b"\n")?;
            written += 1;
        }
    }
    Ok(written)
}

/// What [`repair`] does, or would do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Action {
    /// Cuts off what is behind a file's last whole frame, after keeping it in `quarantine/`.
    Cut {
        /// The file.
        name: String,
        /// Its length then.
        to: u64,
        /// The bytes cut off.
        bytes: u64,
    },
    /// Keeps a damaged place in `quarantine/`. It stays where it is too: readers pass it over.
    Keep {
        /// The file.
        name: String,
        /// Where.
        place: Damage,
    },
    /// Puts a file without a message into `quarantine/`.
    SetAside {
        /// The file.
        name: String,
    },
}

/// What [`repair`] found, and does about it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Plan {
    /// What is there.
    pub report: Report,
    /// What is to be done.
    pub actions: Vec<Action>,
    /// It has been done.
    pub applied: bool,
}

/// Does to a spool what the next start would do, and looks at all of it rather than at its end. Without `apply` it only
/// says what it would do.
///
/// # Errors
/// If a process has the spool, or the directory cannot be read and written.
pub fn repair(directory: &Path, apply: bool, progress: Progress<'_>) -> Result<Plan, OpenError> {
    if !directory.exists() {
        return Err(OpenError::Io { why: format!("there is no {}", directory.display()) });
    }
    mend(&Disk::open(directory)?, apply, progress)
}

/// The same for any file system.
///
/// # Errors
/// As [`repair`].
pub fn mend<F: Fs>(fs: &F, apply: bool, progress: Progress<'_>) -> Result<Plan, OpenError> {
    let report = examine(fs, progress)?;
    let mut actions: Vec<Action> = report.useless.iter().map(|name| Action::SetAside { name: name.clone() }).collect();
    let last = report.segments.len().saturating_sub(1);
    for (at, segment) in report.segments.iter().enumerate() {
        actions.extend(segment.damage.iter().map(|place| Action::Keep { name: segment.name.clone(), place: *place }));
        match segment.tail {
            Some(tail) if at == last && tail.to > tail.from => {
                actions.push(Action::Cut { name: segment.name.clone(), to: tail.from, bytes: tail.to - tail.from });
            }
            Some(place) => actions.push(Action::Keep { name: segment.name.clone(), place }),
            None => {}
        }
    }
    if apply {
        for action in &actions {
            act(fs, action).map_err(|error| OpenError::io(&format!("carry out {action:?}"), &error))?;
        }
    }
    Ok(Plan { report, actions, applied: apply })
}

fn act<F: Fs>(fs: &F, action: &Action) -> io::Result<()> {
    match action {
        Action::Cut { name, to, bytes } => {
            let file = fs.open(name)?;
            scan::quarantine(fs, name, &file, *to, to + bytes);
            fs.cut(&file, *to)?;
            fs.sync(&file)
        }
        Action::Keep { name, place } => {
            scan::quarantine(fs, name, &fs.open(name)?, place.from, place.to);
            Ok(())
        }
        Action::SetAside { name } => {
            fs.rename(name, &format!("{QUARANTINE}/{name}"))?;
            fs.sync_names()
        }
    }
}
