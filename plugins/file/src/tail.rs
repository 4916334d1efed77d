use crate::follow::{Begin, Followed, Id, Look};
use crate::pattern::Pattern;
use crate::state::{self, Mark};
use metlog_message::wire::{self, Limits, Piece};
use metlog_message::{Message, Value};
use metlog_pipeline::registry::Configured;
use metlog_pipeline::{Inlet, Input, InputEntry, Reason, Stop, inventory};
use metlog_settings::Span;
use serde::Deserialize;
use std::collections::{BTreeMap, HashSet};
use std::fs::File;
use std::future::Future;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};
use tokio::runtime::Handle;

/// Files that are followed at the same time; each is held open.
const FILES: usize = 512;
/// Read at a time, and committed.
const READ: usize = 256 * 1024;
/// Read of one file before the others have their turn.
const TURN: usize = 4 * READ;
/// Read before it is waited for that all of it is safe, and written down how far that was.
const SWEEP: usize = 16 * READ;
/// Marks that are kept of files that are not there at the moment.
const AWAY: usize = 1024;
/// So long it is waited for what was committed last, once it is time to stop.
const FAREWELL: Duration = Duration::from_secs(2);

/// Settings of the input `file`.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct InputConfig {
    /// The files: paths in which `*` stands for any part of a name and `?` for one byte. Files that come later are found.
    pub paths: Vec<String>,
    /// Where how far each file was read is written down. Its folder must exist; two inputs cannot share one.
    pub state: PathBuf,
    /// `end` or `beginning`: where reading begins in files that are there when there is no `state` yet. Any file that
    /// comes later is read from its beginning.
    #[serde(default)]
    pub start: Start,
    /// Whether a line that is no message becomes the text of one; otherwise it is refused.
    #[serde(default)]
    pub plain: bool,
    /// Whether links found by a pattern are followed; one that `paths` names itself always is.
    #[serde(default)]
    pub symlinks: bool,
    /// How often it is looked for more.
    #[serde(default = "poll")]
    pub poll: Span,
}

fn poll() -> Span {
    Span(Duration::from_millis(250))
}

/// Where reading begins the first time.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Start {
    /// What is there already was read by somebody else.
    #[default]
    End,
    /// Everything is new.
    Beginning,
}

/// Follows files that others write.
pub struct FileInput {
    config: InputConfig,
    patterns: Vec<Pattern>,
}

fn patterns(config: &InputConfig) -> Result<Vec<Pattern>, String> {
    if config.paths.is_empty() {
        return Err("`paths` is empty; expected files such as [\"/var/log/app/*.jsonl\"]".into());
    }
    config.paths.iter().map(|path| Pattern::parse(path)).collect()
}

impl Configured for FileInput {
    type Config = InputConfig;

    fn check(config: &InputConfig) -> Result<(), String> {
        patterns(config).map(drop)
    }

    fn open(config: InputConfig) -> Result<Self, String> {
        let patterns = patterns(&config)?;
        // Whether it can be written is better known before anything is read: else all of it would be read again.
        if let Some(marks) = state::load(&config.state)? {
            state::save(&config.state, &marks)?;
        } else {
            let folder = config.state.parent().filter(|folder| !folder.as_os_str().is_empty());
            if folder.is_some_and(|folder| !folder.is_dir()) {
                return Err(format!("`state` is `{}`, and there is no such folder", config.state.display()));
            }
        }
        Ok(FileInput { config, patterns })
    }
}

#[async_trait::async_trait]
impl Input for FileInput {
    fn place(&self) -> String {
        self.config.paths.join(", ")
    }

    async fn run(self: Box<Self>, inlet: Inlet, stop: Stop) -> Result<(), String> {
        // Files are read by blocking calls, so the work has a thread; it ends with this future at the latest.
        let abandoned = Arc::new(AtomicBool::new(false));
        let _leave = Leave(abandoned.clone());
        let clock = Clock { handle: Handle::current(), stop, abandoned };
        let work = tokio::task::spawn_blocking(move || {
            let marks = state::load(&self.config.state)?;
            Tail::new(*self, inlet, clock, marks).work()
        });
        work.await.unwrap_or_else(|error| Err(format!("following files broke off: {error}")))
    }
}

/// Tells the thread that nobody waits for it any more.
struct Leave(Arc<AtomicBool>);

impl Drop for Leave {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

/// Waiting on a thread that blocks.
struct Clock {
    handle: Handle,
    stop: Stop,
    abandoned: Arc<AtomicBool>,
}

impl Clock {
    fn is_over(&self) -> bool {
        self.stop.is_stopped() || self.abandoned.load(Ordering::Relaxed)
    }

    /// Waits so long, or until it is time to stop.
    fn wait(&self, time: Duration) {
        let _ = self.handle.block_on(async { tokio::time::timeout(time, self.stop.stopped()).await });
    }

    /// What a future comes to; none if it is time to stop and it takes too long.
    fn finish<T>(&self, mut future: impl Future<Output = T> + Unpin) -> Option<T> {
        let mut over = None;
        loop {
            let part = Duration::from_millis(100);
            if let Ok(done) = self.handle.block_on(async { tokio::time::timeout(part, &mut future).await }) {
                return Some(done);
            }
            if self.is_over() && over.get_or_insert_with(Instant::now).elapsed() >= FAREWELL {
                return None;
            }
        }
    }
}

/// All files that are followed.
struct Tail {
    config: InputConfig,
    patterns: Vec<Pattern>,
    inlet: Inlet,
    clock: Clock,
    files: BTreeMap<Id, Followed>,
    /// Marks of files that were not found yet.
    away: Vec<Mark>,
    /// There was no state: files that are there now begin as told.
    first: bool,
    /// Files that cannot be followed, which was said.
    told: HashSet<PathBuf>,
    buffer: Vec<u8>,
}

impl Tail {
    fn new(input: FileInput, inlet: Inlet, clock: Clock, marks: Option<Vec<Mark>>) -> Self {
        let FileInput { config, patterns } = input;
        let (first, away) = (marks.is_none(), marks.unwrap_or_default());
        let (files, told) = (BTreeMap::new(), HashSet::new());
        Tail { config, patterns, inlet, clock, files, away, first, told, buffer: vec![0; READ] }
    }

    fn work(mut self) -> Result<(), String> {
        self.find_moved();
        while !self.clock.is_over() {
            let new = self.find()?;
            let (mut read, mut more) = (0, false);
            let ids: Vec<Id> = self.files.keys().copied().collect();
            for id in ids {
                let count = self.turn(id)?;
                more |= count >= TURN;
                read += count;
                if read >= SWEEP || self.clock.is_over() {
                    more = true;
                    break;
                }
            }
            let ended = self.let_go();
            if read > 0 || new || ended {
                self.settle()?;
            }
            if !more {
                self.clock.wait(self.config.poll.duration());
            }
        }
        Ok(())
    }

    /// Finds files that were renamed while nobody looked: what was added to them before is still to be read.
    fn find_moved(&mut self) {
        let listed: HashSet<PathBuf> = self.listed().unwrap_or_default().into_iter().map(|(path, _)| path).collect();
        for mark in std::mem::take(&mut self.away) {
            let folder = mark.path.parent().filter(|folder| !folder.as_os_str().is_empty());
            let entries = std::fs::read_dir(folder.unwrap_or(Path::new("."))).into_iter().flatten().flatten();
            let moved = entries
                .filter(|entry| {
                    std::os::unix::fs::DirEntryExt::ino(entry) == mark.inode && !listed.contains(&entry.path())
                })
                .find_map(|entry| {
                    let file = open(&entry.path(), false).ok()?;
                    // It is in the same folder, so if the device's number is another one, it changed for all of it.
                    Followed::is(&file, &mark.path, &mark).then_some((entry.path(), file))
                });
            let followed = moved.and_then(|(path, file)| self.follow(&path, file, &Begin::At(mark.offset)).ok());
            match followed {
                Some(followed) if self.files.len() < FILES => drop(self.files.insert(followed.id, followed)),
                _ => self.away.push(mark),
            }
        }
    }

    /// What fits the patterns, and whether links count.
    fn listed(&self) -> Result<Vec<(PathBuf, bool)>, String> {
        let mut all = Vec::new();
        for pattern in &self.patterns {
            let mut found = Vec::new();
            pattern.find(&mut found).map_err(|error| error.to_string())?;
            let links = self.config.symlinks || pattern.is_plain();
            all.extend(found.into_iter().filter(|path| !self.is_state(path)).map(|path| (path, links)));
        }
        Ok(all)
    }

    /// Whether a file is the state: what is read of it would change it, without end.
    fn is_state(&self, path: &Path) -> bool {
        let state = &self.config.state;
        let name = |path: &Path| path.file_name().map(|name| name.to_string_lossy().into_owned());
        let (Some(found), Some(own)) = (name(path), name(state)) else { return false };
        let folder = |path: &Path| {
            let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty());
            std::fs::canonicalize(folder.unwrap_or(Path::new("."))).ok()
        };
        (found == own || found.strip_suffix(".new") == Some(&own)) && folder(path) == folder(state)
    }

    /// Looks which files there are; says whether there is news.
    fn find(&mut self) -> Result<bool, String> {
        let mut there: BTreeMap<Id, PathBuf> = BTreeMap::new();
        let mut new = std::mem::take(&mut self.first);
        let begin = if new && self.config.start == Start::End { Begin::End } else { Begin::Start };
        for (path, links) in self.listed()? {
            let about = if links { std::fs::metadata(&path) } else { std::fs::symlink_metadata(&path) };
            // It may have gone meanwhile.
            let Ok(about) = about else { continue };
            if !about.is_file() {
                continue;
            }
            let id = Id::of(&about);
            if !self.files.contains_key(&id) && !there.contains_key(&id) {
                match self.begin(&path, links, &begin) {
                    Ok(Some(followed)) => {
                        // By the file that was opened: another one may have come to its path.
                        there.insert(followed.id, path);
                        self.files.entry(followed.id).or_insert(followed);
                        new = true;
                    }
                    Ok(None) => {}
                    Err(why) => new |= self.tell(&path, &why),
                }
                continue;
            }
            there.entry(id).or_insert(path);
        }
        for (id, followed) in &mut self.files {
            followed.place(there.remove(id));
        }
        Ok(new)
    }

    /// Begins to follow a file; none if it is not there any more.
    fn begin(&mut self, path: &Path, links: bool, begin: &Begin) -> Result<Option<Followed>, String> {
        if self.files.len() >= FILES {
            return Err(format!("{FILES} files are followed already; it waits until one is gone"));
        }
        let file = match open(path, links) {
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
            opened => opened.map_err(|error| error.to_string())?,
        };
        let mark = self.away.iter().position(|mark| Followed::is(&file, path, mark));
        let begin = match mark.map(|at| self.away.remove(at)) {
            Some(mark) => &Begin::At(mark.offset),
            None => begin,
        };
        self.follow(path, file, begin).map(Some).map_err(|error| error.to_string())
    }

    fn follow(&self, path: &Path, file: File, begin: &Begin) -> std::io::Result<Followed> {
        Followed::open(path, file, begin, self.inlet.message_limit(), self.config.plain)
    }

    /// Says once that a file cannot be followed, and whether that was now. Nothing of it is lost as long as it stays
    /// where it is.
    fn tell(&mut self, path: &Path, why: &str) -> bool {
        let now = self.told.len() < FILES && self.told.insert(path.to_owned());
        if now {
            let name = path.to_string_lossy();
            self.inlet.refuse(name.as_bytes(), Reason::Malformed, &format!("{name} cannot be followed: {why}"));
        }
        now
    }

    /// Reads a file for a while; says how much.
    fn turn(&mut self, id: Id) -> Result<usize, String> {
        let limit = self.inlet.message_limit();
        let Some(followed) = self.files.get_mut(&id) else { return Ok(0) };
        let looked = followed.look(limit, self.config.plain);
        let broken = |error: std::io::Error, path: &Path| format!("{} cannot be read: {error}", path.display());
        match looked.map_err(|error| broken(error, &followed.path))? {
            Look::Nothing => return Ok(0),
            Look::More => {}
            Look::Anew(None) => {}
            Look::Anew(Some(part)) => {
                let why = format!("{} was cut short while a message was being read", followed.path.display());
                self.inlet.refuse(&part, Reason::Truncated, &why);
            }
        }
        let mut read = 0;
        while read < TURN {
            let Some(followed) = self.files.get_mut(&id) else { break };
            let count = followed.read(&mut self.buffer).map_err(|error| broken(error, &followed.path))?;
            while let Some(piece) = followed.next() {
                push(&mut self.inlet, piece, &followed.path, self.config.plain);
            }
            if !self.commit() {
                break;
            }
            if let Some(followed) = self.files.get_mut(&id) {
                followed.commit();
            }
            read += count;
            if count == 0 {
                break;
            }
        }
        Ok(read)
    }

    /// Hands over what was pushed, and waits for room, which a file can. False if it is time to stop before there is any.
    fn commit(&mut self) -> bool {
        while let Err(full) = self.inlet.commit() {
            if self.clock.is_over() {
                // It is read again: the mark stays before it.
                self.inlet.drop_pushed(Reason::SpoolFull);
                return false;
            }
            self.clock.wait(full.retry_after);
        }
        true
    }

    /// Lets go of files that are gone and read to their ends; says whether there were any.
    fn let_go(&mut self) -> bool {
        let over: Vec<Id> = self.files.iter().filter(|(_, followed)| followed.is_over()).map(|(id, _)| *id).collect();
        for id in &over {
            let Some(mut followed) = self.files.remove(id) else { continue };
            while let Some(piece) = followed.finish() {
                push(&mut self.inlet, piece, &followed.path, self.config.plain);
            }
            if !self.commit() {
                self.files.insert(*id, followed);
                return false;
            }
        }
        !over.is_empty()
    }

    /// Waits until all that was committed is safe, and writes down how far that is.
    fn settle(&mut self) -> Result<(), String> {
        if !self.commit() {
            return Ok(());
        }
        match self.clock.finish(self.inlet.durable()) {
            None => return Ok(()),
            Some(Err(full)) => return Err(full.why),
            Some(Ok(())) => {}
        }
        let skip = self.away.len().saturating_sub(AWAY);
        let marks: Vec<Mark> =
            self.files.values().map(Followed::mark).chain(self.away.iter().skip(skip).cloned()).collect();
        state::save(&self.config.state, &marks)
    }
}

fn push(inlet: &mut Inlet, piece: Piece, path: &Path, plain: bool) {
    match piece {
        Piece::Oversized(bytes) => {
            let why =
                format!("a message of {bytes} bytes in {}; the limit is {}", path.display(), inlet.message_limit());
            inlet.refuse(b"", Reason::TooLarge, &why);
        }
        Piece::Message(text) if plain && !is_message(&text) => {
            let text = String::from_utf8_lossy(&text).into_owned();
            let message =
                Message::new("oldstyle").payload(text).field("file", Value::from(path.to_string_lossy().into_owned()));
            let mut line = Vec::new();
            wire::write(&mut line, &message);
            inlet.push(&line);
        }
        Piece::Message(text) => inlet.push(&text),
    }
}

fn is_message(text: &[u8]) -> bool {
    text.first() == Some(&b'{') && wire::read(text, &Limits::NONE).is_ok()
}

/// Opens a file to read it. A pipe that came to its place makes nobody wait.
fn open(path: &Path, links: bool) -> std::io::Result<File> {
    use rustix::fs::{Mode, OFlags};
    let flags = OFlags::RDONLY | OFlags::CLOEXEC | OFlags::NONBLOCK | OFlags::NOCTTY;
    let file = rustix::fs::open(path, if links { flags } else { flags | OFlags::NOFOLLOW }, Mode::empty())?;
    let file = File::from(file);
    if !file.metadata()?.is_file() {
        return Err(std::io::Error::new(std::io::ErrorKind::InvalidInput, "not a regular file"));
    }
    Ok(file)
}

inventory::submit! {
    InputEntry::of::<FileInput>("file", &[], include_str!("../example.input.toml"))
}
