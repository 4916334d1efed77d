//! Many files: which message goes to which, and how many may be open.

use crate::base::Base;
use crate::endpoint::Writer;
use crate::format::{Format, Sheet};
use crate::target::{Broken, Place, Target};
use crate::template::{Template, Values};
use metlog_message::wire::{self, Limits};
use metlog_message::{Severity, head};
use metlog_pipeline::{Picked, SendError};
use rustix::io::Errno;
use std::collections::{HashMap, HashSet};
use std::io;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// Files open at the same time; the one that was not written to for the longest time goes first.
const OPEN: usize = 64;
/// Different files within [`PERIOD`]. Beyond it a message's file is only written if it is one of these: whoever can
/// choose a logger's name shall not fill the disk with files.
const NAMES: usize = 10_000;
const PERIOD: Duration = Duration::from_secs(3600);

/// Files by what messages say.
pub struct Sorted {
    template: Arc<Template>,
    base: Arc<Base>,
    open: HashMap<String, (Target, u64)>,
    /// Counts uses, so that the least recent one can be told.
    uses: u64,
    names: HashSet<String>,
    since: Instant,
    /// Messages of a batch that failed in part which were written all the same, behind those that were not: by their ids
    /// they are not written again.
    before: HashSet<u64>,
    /// The path last rendered, and what it was made of: type, logger, severity, hour.
    path: String,
    last: (String, String, Severity, i64),
    sheet: Sheet,
}

/// What became of a message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Fate {
    Waiting,
    Written,
    Refused,
}

/// The messages of a batch that go to one file.
struct Group {
    path: String,
    which: Vec<usize>,
}

/// Why some messages could not be written.
#[derive(Default)]
struct Trouble {
    /// For now.
    stuck: Option<SendError>,
    /// For ever.
    refused: Option<String>,
}

impl Sorted {
    pub fn new(template: Arc<Template>, base: Arc<Base>) -> Self {
        Sorted {
            template,
            base,
            open: HashMap::new(),
            uses: 0,
            names: HashSet::new(),
            since: Instant::now(),
            before: HashSet::new(),
            path: String::new(),
            last: Default::default(),
            sheet: Sheet::default(),
        }
    }

    /// The open files.
    pub fn targets(&mut self) -> impl Iterator<Item = &mut Target> {
        self.open.values_mut().map(|(target, _)| target)
    }

    /// Another folder stands at the base's path by now. The files are let go of, not waited for.
    pub fn rebase(&mut self, base: Arc<Base>) {
        self.base = base;
        self.open.clear();
    }

    /// Writes each message to its file, with one write for each file.
    pub fn write(&mut self, batch: &Picked<'_>, format: Format, writer: &mut Writer) -> Result<(), SendError> {
        let mut fates = vec![Fate::Waiting; batch.lines().len()];
        let mut trouble = Trouble::default();
        for group in self.sort(batch, &mut fates, &mut trouble) {
            let known = self.admit(&group.path);
            let outcome = if known { self.write_group(&group, batch, format, writer) } else { Err((0, None)) };
            let done = outcome.as_ref().map_or_else(|(done, _)| *done, |()| group.which.len());
            let place = self.base.path().join(&group.path);
            let rest = match outcome {
                Ok(()) => Fate::Written,
                Err((_, None)) => {
                    trouble.refused = Some(format!(
                        "{}: {NAMES} different files were written within an hour, and this would be one more",
                        place.display()
                    ));
                    Fate::Refused
                }
                Err((_, Some(error))) if never(&error) => {
                    trouble.refused = Some(format!("{}: {error}", place.display()));
                    Fate::Refused
                }
                Err((_, Some(error))) => {
                    let why = format!("{}: {error}", place.display());
                    trouble.stuck = Some(match error.kind() {
                        io::ErrorKind::PermissionDenied | io::ErrorKind::ReadOnlyFilesystem => SendError::Pause { why },
                        _ => SendError::retry(why),
                    });
                    Fate::Waiting
                }
            };
            for (count, at) in group.which.into_iter().enumerate() {
                if let Some(fate) = fates.get_mut(at) {
                    *fate = if count < done { Fate::Written } else { rest };
                }
            }
        }
        self.sum_up(batch, &fates, trouble)
    }

    /// Which messages go where, in the order of their first.
    fn sort(&mut self, batch: &Picked<'_>, fates: &mut [Fate], trouble: &mut Trouble) -> Vec<Group> {
        let mut groups: Vec<Group> = Vec::new();
        let mut index: HashMap<String, usize> = HashMap::new();
        let mut last = 0;
        for (at, (line, fate)) in batch.lines().iter().zip(fates).enumerate() {
            if !self.before.is_empty() && batch.ids().get(at).is_some_and(|id| self.before.contains(id)) {
                *fate = Fate::Written;
                continue;
            }
            if let Err(why) = self.render(line) {
                *fate = Fate::Refused;
                trouble.refused = Some(why);
                continue;
            }
            if groups.get(last).is_none_or(|group| group.path != self.path) {
                last = match index.get(&self.path) {
                    Some(known) => *known,
                    None => {
                        index.insert(self.path.clone(), groups.len());
                        groups.push(Group { path: self.path.clone(), which: Vec::new() });
                        groups.len() - 1
                    }
                };
            }
            if let Some(group) = groups.get_mut(last) {
                group.which.push(at);
            }
        }
        groups
    }

    /// The path of a message's file.
    fn render(&mut self, line: &[u8]) -> Result<(), String> {
        let limits = Limits::NONE;
        if let Ok(head) = head::scan(line, &limits) {
            let (severity, timestamp) = (head.severity, head.timestamp);
            self.fill(&Values { kind: &head.kind, logger: &head.logger, severity, timestamp });
            return Ok(());
        }
        let message = wire::read(line, &limits).map_err(|refusal| format!("a file's name is made of it: {refusal}"))?;
        let message = message.message;
        let (severity, timestamp) = (message.severity, message.timestamp);
        self.fill(&Values { kind: &message.kind, logger: &message.logger, severity, timestamp });
        Ok(())
    }

    /// Fills the template, unless that comes to the same as the last time: messages of one kind come in a row.
    fn fill(&mut self, values: &Values<'_>) {
        let hour = values.timestamp.unix_seconds().div_euclid(3600);
        let (kind, logger, severity, last) = &mut self.last;
        let same = (*severity, *last) == (values.severity, hour) && kind == values.kind && logger == values.logger;
        if same && !self.path.is_empty() {
            return;
        }
        (*severity, *last) = (values.severity, hour);
        kind.clear();
        kind.push_str(values.kind);
        logger.clear();
        logger.push_str(values.logger);
        self.template.render(values, &mut self.path);
    }

    /// Whether this may be a file.
    fn admit(&mut self, path: &str) -> bool {
        if self.since.elapsed() >= PERIOD {
            self.names.clear();
            self.since = Instant::now();
        }
        if self.names.contains(path) {
            return true;
        }
        self.names.len() < NAMES && self.names.insert(path.to_owned())
    }

    /// How many of the group's messages were written, and why not more.
    fn write_group(
        &mut self,
        group: &Group,
        batch: &Picked<'_>,
        format: Format,
        writer: &mut Writer,
    ) -> Result<(), (usize, Option<io::Error>)> {
        let (lines, mut sheet) = (batch.lines(), std::mem::take(&mut self.sheet));
        let (text, ends) = if group.which.len() == lines.len() {
            sheet.whole(format, lines)
        } else {
            sheet.some(format, group.which.iter().filter_map(|at| lines.get(*at)))
        };
        let target = self.target(&group.path, writer).map_err(|error| Broken { done: 0, error });
        let written = target.and_then(|target| writer.write(target, text, ends));
        self.sheet = sheet;
        written.map_err(|Broken { done, error }| (done, Some(error)))
    }

    /// The open file of this path, opened if it was not; then another one may have to go.
    fn target(&mut self, path: &str, writer: &Writer) -> io::Result<&mut Target> {
        self.uses += 1;
        if !self.open.contains_key(path) {
            if self.open.len() >= OPEN {
                let oldest = self.open.iter().min_by_key(|(_, (_, used))| *used).map(|(path, _)| path.clone());
                // Not synced: it is likely to be opened again, and syncs take longer than anything else here.
                if let Some(oldest) = oldest {
                    self.open.remove(&oldest);
                }
            }
            let target = Target::open(Place::Beneath(self.base.clone(), path.to_owned()), writer.mode)?;
            self.open.insert(path.to_owned(), (target, self.uses));
        }
        let (target, used) = self.open.get_mut(path).ok_or(io::ErrorKind::NotFound)?;
        *used = self.uses;
        Ok(target)
    }

    /// The answer to a batch.
    fn sum_up(&mut self, batch: &Picked<'_>, fates: &[Fate], trouble: Trouble) -> Result<(), SendError> {
        if let Some(mut stuck) = trouble.stuck {
            let leading = fates.iter().take_while(|fate| **fate == Fate::Written).count();
            self.before.clear();
            let behind = fates.iter().zip(batch.ids()).skip(leading).filter(|(fate, _)| **fate == Fate::Written);
            self.before.extend(behind.map(|(_, id)| *id));
            if let SendError::Retry { done, .. } = &mut stuck {
                *done = leading;
            } else {
                // A pause has no count, so these too will come again.
                let first = fates.iter().zip(batch.ids()).take(leading);
                self.before.extend(first.map(|(_, id)| *id));
            }
            return Err(stuck);
        }
        self.before.clear();
        let which: Vec<usize> =
            fates.iter().enumerate().filter(|(_, fate)| **fate == Fate::Refused).map(|(at, _)| at).collect();
        if which.is_empty() {
            return Ok(());
        }
        Err(SendError::Refuse { why: trouble.refused.unwrap_or_default(), which })
    }
}

/// Whether this file can never be written, however often one tries: something that is no file, or leads elsewhere, has
/// its name.
fn never(error: &io::Error) -> bool {
    let ours = error.raw_os_error().is_none() && error.kind() == io::ErrorKind::InvalidInput;
    let system = [Errno::LOOP, Errno::NOTDIR, Errno::ISDIR, Errno::NAMETOOLONG, Errno::XDEV, Errno::MLINK, Errno::NXIO];
    ours || error.raw_os_error().is_some_and(|code| system.iter().any(|errno| errno.raw_os_error() == code))
}
