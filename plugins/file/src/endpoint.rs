use crate::base::{Base, split};
use crate::format::{Format, Sheet};
use crate::shelf::{Compress, Live, SPARE, Shelf};
use crate::sorted::Sorted;
use crate::target::{Broken, Place, Target};
use crate::template::Template;
use metlog_pipeline::registry::Configured;
use metlog_pipeline::{Endpoint, EndpointEntry, Pacing, Picked, SendError, inventory};
use metlog_settings::{Size, Span};
use serde::Deserialize;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// Settings of the endpoint `file`.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct EndpointConfig {
    /// The file. `{type}`, `{logger}`, `{severity}`, `{date}` and `{hour}` in it are filled from each message, the last
    /// two from its timestamp, in UTC. The folder before the first of them is never left. Folders are made.
    pub path: String,
    /// `json`: the message's bytes, one line each; `indented`: Metlog's own form; `text`: a line for people.
    #[serde(default)]
    pub format: Format,
    /// Permissions of a new file, as for `chmod`; new folders have `0750`.
    #[serde(default = "mode")]
    pub mode: String,
    /// When to wait for the disk.
    #[serde(default)]
    pub sync: Sync,
    /// Rotates a file before a batch would make it larger than this; a larger batch still goes whole.
    #[serde(default)]
    pub rotate_bytes: Option<Size>,
    /// Rotates a file when so much time is over, counted from the beginning of 1970 in UTC: `24h` is at midnight.
    #[serde(default)]
    pub rotate_every: Option<Span>,
    /// How many rotated files are kept of each file; 0: all.
    #[serde(default = "keep_files")]
    pub keep_files: usize,
    /// `none`, `gzip` or `zstd`: what becomes of a file that was rotated.
    #[serde(default)]
    pub compress: Compress,
}

fn mode() -> String {
    "0640".to_owned()
}

fn keep_files() -> usize {
    10
}

/// When to wait until the disk has what was written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Sync {
    /// When a file is closed for good: rotated, or let go of on SIGHUP or at the end.
    #[default]
    Close,
    /// After each batch: no power failure takes what counts as delivered.
    Batch,
    /// Never; the system writes when it sees fit.
    Never,
}

/// Appends to a file, or to many.
pub struct FileEndpoint {
    files: Files,
    format: Format,
    writer: Writer,
    base: Arc<Base>,
    sheet: Sheet,
}

enum Files {
    One(Box<Target>),
    Many(Box<Sorted>),
}

/// How files are written: what is the same for one and for many.
pub struct Writer {
    pub mode: u32,
    sync: Sync,
    bytes: Option<u64>,
    every: Option<Duration>,
    shelf: Option<Shelf>,
}

impl Writer {
    /// Appends whole messages, after rotating the file if it is time.
    pub fn write(&mut self, target: &mut Target, text: &[u8], ends: &[usize]) -> Result<(), Broken> {
        let nothing = |error| Broken { done: 0, error };
        if self.too_old(target) || self.too_large(target, text.len()) {
            self.rotate(target).map_err(nothing)?;
        }
        target.append(text, ends)?;
        if self.sync == Sync::Batch {
            target.sync().map_err(|error| {
                // A descriptor whose sync failed once says nothing trustworthy any more. What is not known to be on the
                // disk is written again: twice is better than not at all.
                target.let_go();
                nothing(error)
            })?;
        }
        Ok(())
    }

    /// Rotates a file nobody writes to, if it is time.
    pub fn tick(&mut self, target: &mut Target) -> Result<(), String> {
        if !self.too_old(target) {
            return Ok(());
        }
        self.rotate(target).map_err(|error| format!("{} cannot be rotated: {error}", target.place()))
    }

    /// Lets go of a file.
    pub fn close(&self, target: &mut Target) -> Result<(), String> {
        let synced = if self.sync == Sync::Never { Ok(()) } else { target.sync() };
        target.let_go();
        synced.map_err(|error| format!("{}: {error}", target.place()))
    }

    fn too_large(&self, target: &Target, coming: usize) -> bool {
        self.bytes.is_some_and(|limit| target.len() > 0 && target.len() + coming as u64 > limit)
    }

    fn too_old(&self, target: &Target) -> bool {
        let Some(every) = self.every.filter(|_| target.len() > 0) else { return false };
        let period = |at: SystemTime| at.duration_since(UNIX_EPOCH).unwrap_or_default().as_nanos() / every.as_nanos();
        period(target.touched()) < period(SystemTime::now())
    }

    fn rotate(&mut self, target: &mut Target) -> io::Result<()> {
        let Some(shelf) = &mut self.shelf else { return Ok(()) };
        // If it is not there any more, somebody else has just rotated it.
        if target.follow() {
            if self.sync != Sync::Never {
                target.sync()?;
            }
            match target.place() {
                Place::At(path) => shelf.put(&path.file_name().unwrap_or_default().to_string_lossy())?,
                Place::Beneath(_, path) => shelf.put(path)?,
            }
            target.let_go();
        }
        Ok(())
    }
}

impl FileEndpoint {
    fn write_one(&mut self, batch: &Picked<'_>) -> Result<(), SendError> {
        let FileEndpoint { files: Files::One(target), format, writer, sheet, .. } = self else { return Ok(()) };
        let (text, ends) = sheet.whole(*format, batch.lines());
        writer.write(target, text, ends).map_err(|Broken { done, error }| {
            let why = format!("{}: {error}", target.place());
            SendError::retry_after_first(done.min(batch.lines().len().saturating_sub(1)), why)
        })
    }

    /// Does something to each open file; the first thing that went wrong is told.
    fn each(&mut self, mut what: impl FnMut(&mut Writer, &mut Target) -> Result<(), String>) -> Result<(), String> {
        let mut outcome = Ok(());
        let targets: Box<dyn Iterator<Item = &mut Target>> = match &mut self.files {
            Files::One(target) => Box::new(std::iter::once(&mut **target)),
            Files::Many(sorted) => Box::new(sorted.targets()),
        };
        for target in targets {
            let done = what(&mut self.writer, target);
            outcome = outcome.and(done);
        }
        outcome
    }

    /// Lets go of all files, and of the folder: another one may stand in its place.
    fn let_go(&mut self) -> Result<(), String> {
        let closed = self.each(|writer, target| writer.close(target));
        let base = Base::open(self.base.path());
        let base = base.map_err(|error| format!("{}: {error}", self.base.path().display()))?;
        self.base = Arc::new(base);
        if let Some(shelf) = &self.writer.shelf {
            shelf.rebase(self.base.clone());
        }
        if let Files::Many(sorted) = &mut self.files {
            sorted.rebase(self.base.clone());
        }
        closed
    }
}

impl Endpoint for FileEndpoint {
    fn write(&mut self, batch: &Picked<'_>) -> Result<(), SendError> {
        if batch.lines().is_empty() {
            return Ok(());
        }
        match &mut self.files {
            Files::One(_) => self.write_one(batch),
            Files::Many(sorted) => sorted.write(batch, self.format, &mut self.writer),
        }
    }

    fn tick(&mut self) -> Result<(), SendError> {
        let moved = if self.base.is_gone() { self.let_go() } else { Ok(()) };
        let rotated = self.each(Writer::tick);
        let trouble = self.writer.shelf.as_ref().and_then(Shelf::trouble);
        moved.and(rotated).and(trouble.map_or(Ok(()), Err)).map_err(SendError::retry)
    }

    fn reopen(&mut self) {
        // What goes wrong here goes wrong again at the next write, which can say so.
        let _ = self.let_go();
    }

    fn close(&mut self, _within: Duration) -> Result<(), SendError> {
        let closed = self.each(|writer, target| writer.close(target));
        self.writer.shelf = None;
        closed.map_err(SendError::retry)
    }

    fn pacing(&self) -> Pacing {
        // The fewer and larger the writes, the better.
        Pacing { messages: 16 * 1024, bytes: 1024 * 1024, ..Pacing::default() }
    }
}

/// What the settings come to.
struct Plan {
    mode: u32,
    every: Option<Duration>,
    bytes: Option<u64>,
    template: Option<Template>,
}

impl Plan {
    fn of(config: &EndpointConfig) -> Result<Self, String> {
        let mode = crate::target::mode(&config.mode)?;
        let every = config.rotate_every.map(Span::duration).filter(|every| !every.is_zero());
        let bytes = config.rotate_bytes.map(Size::bytes).filter(|bytes| *bytes > 0);
        let rotates = every.is_some() || bytes.is_some();
        if config.compress != Compress::None && !rotates {
            return Err("`compress` is for files that were rotated; say `rotate_bytes` or `rotate_every` too".into());
        }
        let template = Template::parse(&config.path, if rotates { SPARE } else { 0 })?;
        if template.is_none() && (config.path.ends_with('/') || Path::new(&config.path).file_name().is_none()) {
            return Err(format!("`path` is `{}`; expected a file such as `logs/all.jsonl`", config.path));
        }
        Ok(Plan { mode, every, bytes, template })
    }
}

impl Configured for FileEndpoint {
    type Config = EndpointConfig;

    fn check(config: &EndpointConfig) -> Result<(), String> {
        Plan::of(config).map(drop)
    }

    fn open(config: EndpointConfig) -> Result<Self, String> {
        let Plan { mode, every, bytes, template } = Plan::of(&config)?;
        let rotates = every.is_some() || bytes.is_some();
        let template = template.map(Arc::new);
        let told = |path: &Path, error: io::Error| format!("{} cannot be opened: {error}", path.display());
        let path = match &template {
            Some(template) => template.base.clone(),
            // What is renamed, compressed and thrown away is the file and not a link to it.
            None if rotates => real(Path::new(&config.path)).map_err(|error| told(Path::new(&config.path), error))?,
            None => PathBuf::from(&config.path),
        };
        let folder = if template.is_some() { Some(path.as_path()) } else { path.parent() };
        let folder = folder.ok_or_else(|| format!("`path` is `{}`; expected a file", config.path))?;
        let base = Arc::new(Base::open(folder).map_err(|error| told(folder, error))?);
        let files = match &template {
            Some(template) => Files::Many(Box::new(Sorted::new(template.clone(), base.clone()))),
            None => {
                let target = Target::open(Place::At(path.clone()), mode).map_err(|error| told(&path, error))?;
                Files::One(Box::new(target))
            }
        };
        let live = match template {
            Some(template) => Live::Like(template),
            None => Live::One(split(&path.to_string_lossy()).1.to_owned()),
        };
        let shelf = rotates.then(|| Shelf::start(base.clone(), live, config.keep_files, config.compress)).transpose();
        let shelf = shelf.map_err(|error| format!("a thread cannot be started: {error}"))?;
        let writer = Writer { mode, sync: config.sync, bytes, every, shelf };
        Ok(FileEndpoint { files, format: config.format, writer, base, sheet: Sheet::default() })
    }
}

/// Where a link leads; what is no link, or is not there yet, stays as it is.
fn real(path: &Path) -> io::Result<PathBuf> {
    if path.is_symlink() { std::fs::canonicalize(path) } else { Ok(path.to_owned()) }
}

inventory::submit! {
    EndpointEntry::of::<FileEndpoint>("file", &[], include_str!("../example.endpoint.toml"))
}
