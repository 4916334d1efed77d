//! Backups: copies of the file made while it is written to, read through, and taken back.

use crate::base::{self, Identity, Unfit};
use crate::config::Config;
use metlog_message::Timestamp;
use metlog_query::{Backup, Trouble};
use rusqlite::backup::StepResult;
use rusqlite::config::DbConfig;
use rusqlite::{Connection, OpenFlags, OptionalExtension};
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant, SystemTime};

/// Pages copied between two looks at whether to stop.
const PAGES: i32 = 1024;

/// What ends the names of copies that are not finished.
const UNFINISHED: &str = ".unfinished";

/// What a copy says of itself, inside it, so that it cannot be parted from it.
const COPY: &str = "CREATE TABLE copy(made INTEGER NOT NULL, whole INTEGER NOT NULL, note TEXT NOT NULL)";

/// What is copied, where to, and how many copies are kept.
#[derive(Debug, Clone)]
pub(crate) struct Place {
    file: PathBuf,
    folder: PathBuf,
    keep: usize,
}

impl Place {
    pub fn of(config: &Config) -> Self {
        Place { file: config.path.clone(), folder: config.backups(), keep: config.keep_backups }
    }

    /// What the names of all copies begin with.
    fn stem(&self) -> String {
        let stem = self.file.file_stem().unwrap_or_default();
        format!("{}-", stem.to_string_lossy())
    }
}

fn away(what: &Path, error: impl std::fmt::Display) -> Trouble {
    Trouble::Away(format!("{}: {error}", what.display()))
}

fn unfit(unfit: Unfit) -> Trouble {
    match unfit {
        Unfit::Foreign(why) => Trouble::Refused(why),
        Unfit::Damaged(why) | Unfit::Io(why) => Trouble::Away(why),
    }
}

/// Folders that copies are being made into.
static BUSY: Mutex<Vec<PathBuf>> = Mutex::new(Vec::new());

/// One copy at a time.
struct Alone<'a>(&'a Path);

impl<'a> Alone<'a> {
    fn with(folder: &'a Path) -> Result<Self, Trouble> {
        let mut busy = BUSY.lock().unwrap_or_else(PoisonError::into_inner);
        if busy.iter().any(|other| other == folder) {
            return Err(Trouble::Refused("a backup is being made already".to_owned()));
        }
        busy.push(folder.to_owned());
        Ok(Alone(folder))
    }
}

impl Drop for Alone<'_> {
    fn drop(&mut self) {
        BUSY.lock().unwrap_or_else(PoisonError::into_inner).retain(|other| other != self.0);
    }
}

/// Makes a copy, reads it through, and lets go of those that are too many.
pub(crate) fn make(place: &Place, note: &str, stop: &AtomicBool) -> Result<Backup, Trouble> {
    let _alone = Alone::with(&place.folder)?;
    base::make_folder(&place.folder).map_err(|error| away(&place.folder, error))?;
    let made = Timestamp::now();
    let name = format!("{}{}.db", place.stem(), base::stamp(made));
    let unfinished = place.folder.join(format!("{name}{UNFINISHED}"));
    let path = place.folder.join(name);
    let result = fill(place, &unfinished, (made, note), stop).and_then(|whole| {
        fs::rename(&unfinished, &path).and_then(|()| sync(&place.folder)).map_err(|error| away(&path, error))?;
        Ok(whole)
    });
    if result.is_err() {
        let _ = fs::remove_file(&unfinished);
    }
    let whole = result?;
    let bytes = fs::metadata(&path).map_or(0, |file| file.len());
    prune(place)?;
    Ok(Backup { path: path.display().to_string(), made, bytes, whole, note: note.to_owned() })
}

/// Copies to this file. Whether it is whole.
fn fill(place: &Place, to: &Path, (made, note): (Timestamp, &str), stop: &AtomicBool) -> Result<bool, Trouble> {
    let from = base::open_existing(&place.file, OpenFlags::SQLITE_OPEN_READ_ONLY).map_err(unfit)?;
    base::private(to).map_err(|error| away(to, error))?;
    let sql = |error| away(to, error);
    if !copy(&from, to, stop).map_err(sql)? {
        return Err(Trouble::Away("the backup was stopped".to_owned()));
    }
    let copy = Connection::open(to).map_err(sql)?;
    let whole = is_whole(&copy).map_err(sql)?;
    copy.execute_batch("DROP TABLE IF EXISTS copy").and_then(|()| copy.execute_batch(COPY)).map_err(sql)?;
    copy.execute("INSERT INTO copy VALUES (?1, ?2, ?3)", (made.nanos(), whole, note)).map_err(sql)?;
    copy.close().map_err(|(_, error)| sql(error))?;
    sync(to).map_err(|error| away(to, error))?;
    Ok(whole)
}

/// Copies all pages as they are at this moment. False: stopped before the end.
fn copy(from: &Connection, to: &Path, stop: &AtomicBool) -> rusqlite::Result<bool> {
    let mut target = Connection::open(to)?;
    target.pragma_update_and_check(None, "journal_mode", "OFF", |_| Ok(()))?;
    target.pragma_update(None, "synchronous", "OFF")?;
    // The source stands still for whoever has begun to read: otherwise each batch written would start the copy over.
    let _still = from.unchecked_transaction()?;
    from.query_row("SELECT count(*) FROM sqlite_schema", [], |_| Ok(()))?;
    {
        let backup = rusqlite::backup::Backup::new(from, &mut target)?;
        loop {
            if stop.load(Ordering::Relaxed) {
                return Ok(false);
            }
            match backup.step(PAGES)? {
                StepResult::Done => break,
                StepResult::More => {}
                _ => std::thread::sleep(Duration::from_millis(10)),
            }
        }
    }
    drop(target);
    // One file that stands for itself, without a log.
    let target = Connection::open(to)?;
    target.pragma_update_and_check(None, "journal_mode", "DELETE", |_| Ok(()))?;
    Ok(true)
}

fn is_whole(connection: &Connection) -> rusqlite::Result<bool> {
    match connection.query_row("PRAGMA integrity_check(1)", [], |row| row.get::<_, String>(0)) {
        Ok(said) => Ok(said == "ok"),
        Err(error) if base::is_damage(&error) => Ok(false),
        Err(error) => Err(error),
    }
}

fn sync(path: &Path) -> io::Result<()> {
    fs::File::open(path)?.sync_all()
}

/// The copies there are, newest first.
pub(crate) fn list(place: &Place) -> Result<Vec<Backup>, Trouble> {
    let entries = match fs::read_dir(&place.folder) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        other => other.map_err(|error| away(&place.folder, error))?,
    };
    let stem = place.stem();
    let mut found = Vec::new();
    for entry in entries {
        let entry = entry.map_err(|error| away(&place.folder, error))?;
        let name = entry.file_name();
        let name = name.to_string_lossy();
        if name.starts_with(&stem) && name.ends_with(".db") {
            found.extend(read(&entry.path()));
        }
    }
    found.sort_by_key(|copy: &Backup| std::cmp::Reverse(copy.made));
    Ok(found)
}

/// What a copy says of itself; nothing if the file is none.
fn read(path: &Path) -> Option<Backup> {
    let bytes = fs::metadata(path).ok()?.len();
    let copy = base::open_existing(path, OpenFlags::SQLITE_OPEN_READ_ONLY).ok()?;
    let row = copy.query_row("SELECT made, whole, note FROM copy", [], |row| {
        let made = Timestamp::from_nanos(row.get(0)?);
        Ok(Backup { path: path.display().to_string(), made, bytes, whole: row.get(1)?, note: row.get(2)? })
    });
    row.optional().ok()?
}

/// Deletes the oldest beyond so many, and what was never finished. The latest whole one stays.
fn prune(place: &Place) -> Result<(), Trouble> {
    let all = list(place)?;
    let best = all.iter().position(|copy| copy.whole);
    if place.keep > 0 {
        for (at, copy) in all.iter().enumerate().skip(place.keep) {
            if Some(at) != best {
                fs::remove_file(&copy.path).map_err(|error| away(Path::new(&copy.path), error))?;
            }
        }
    }
    let a_day_ago = SystemTime::now().checked_sub(Duration::from_secs(86_400));
    for entry in fs::read_dir(&place.folder).into_iter().flatten().flatten() {
        let name = entry.file_name();
        let name = name.to_string_lossy();
        let changed = entry.metadata().and_then(|file| file.modified()).ok();
        if name.starts_with(&place.stem()) && name.ends_with(UNFINISHED) && changed < a_day_ago {
            let _ = fs::remove_file(entry.path());
        }
    }
    Ok(())
}

/// What a copy says of itself, if it was made as one, and if it can take this place now: what [`restore`] looks at first.
/// Nothing is changed.
///
/// # Errors
/// As of [`restore`].
pub fn look(from: &Path, to: &Path) -> Result<Option<Backup>, String> {
    fit(from, to).map(|_| read(from))
}

/// A whole copy, for a place where nobody is.
fn fit(from: &Path, to: &Path) -> Result<Connection, String> {
    if Identity::of(from).is_some_and(|copy| Identity::of(to) == Some(copy)) {
        return Err(format!("{} is the store itself", from.display()));
    }
    let copied = base::open_existing(from, OpenFlags::SQLITE_OPEN_READ_ONLY).map_err(|why| why.to_string())?;
    match is_in_use(to) {
        Ok(true) => return Err(in_use(to)),
        Err(error) if !base::is_damage(&error) => return Err(format!("{}: {error}", to.display())),
        _ => {}
    }
    if !is_whole(&copied).map_err(|error| format!("{}: {error}", from.display()))? {
        return Err(format!("{} is damaged; take an older backup", from.display()));
    }
    Ok(copied)
}

fn in_use(path: &Path) -> String {
    format!("{} is in use; stop the router first", path.display())
}

/// Whether anybody else has the file open: then it cannot be had alone. Its log stays where it is.
fn is_in_use(path: &Path) -> rusqlite::Result<bool> {
    if !path.exists() {
        return Ok(false);
    }
    let connection = Connection::open_with_flags(path, OpenFlags::SQLITE_OPEN_READ_WRITE)?;
    connection.set_db_config(DbConfig::SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, true)?;
    connection.busy_timeout(Duration::from_secs(1))?;
    connection.pragma_update_and_check(None, "locking_mode", "EXCLUSIVE", |_| Ok(()))?;
    match connection.query_row("SELECT count(*) FROM sqlite_schema", [], |_| Ok(())) {
        Ok(()) => Ok(false),
        Err(error) if error.sqlite_error_code() == Some(rusqlite::ErrorCode::DatabaseBusy) => Ok(true),
        Err(error) => Err(error),
    }
}

/// Puts a copy in the place of a store that no router has open. Where the store that was there is now, if there was one.
///
/// Messages delivered since the copy was made come back only if the router replays them from its spool.
///
/// # Errors
/// If the copy is not whole, or the store is in use; then nothing is changed.
pub fn restore(from: &Path, to: &Path) -> Result<Option<PathBuf>, String> {
    let say = |error: &dyn std::fmt::Display| format!("{}: {error}", to.display());
    let copied = fit(from, to)?;
    if let Some(folder) = to.parent().filter(|folder| !folder.as_os_str().is_empty()) {
        base::make_folder(folder).map_err(|error| say(&error))?;
    }
    let fresh = base::beside(to, ".restoring");
    let _ = fs::remove_file(&fresh);
    base::private(&fresh).map_err(|error| say(&error))?;
    let filled = copy(&copied, &fresh, &AtomicBool::new(false)).and_then(|_| {
        let fresh = Connection::open(&fresh)?;
        fresh.execute_batch("DROP TABLE IF EXISTS copy")
    });
    filled.map_err(|error| say(&error))?;
    sync(&fresh).map_err(|error| say(&error))?;
    let before = make_way(to)?;
    fs::rename(&fresh, to).map_err(|error| say(&error))?;
    let folder = to.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    sync(folder).map_err(|error| say(&error))?;
    Ok(before)
}

/// Keeps what is there under another name, and leaves nothing that would be mistaken for the log of what comes.
fn make_way(path: &Path) -> Result<Option<PathBuf>, String> {
    if !path.exists() {
        let _ = fs::remove_file(base::beside(path, "-wal"));
        let _ = fs::remove_file(base::beside(path, "-shm"));
        return Ok(None);
    }
    let say = |error: &dyn std::fmt::Display| format!("{}: {error}", path.display());
    match fold(path) {
        // Without a log a second name will do, and the first one always names a store.
        Ok(true) => {
            let aside = base::beside(path, &format!(".replaced-{}", base::stamp(Timestamp::now())));
            fs::hard_link(path, &aside).or_else(|_| fs::rename(path, &aside)).map_err(|error| say(&error))?;
            Ok(Some(aside))
        }
        Ok(false) => Err(in_use(path)),
        Err(error) if base::is_damage(&error) => {
            base::set_aside(path, "replaced").map(Some).map_err(|error| say(&error))
        }
        Err(error) => Err(say(&error)),
    }
}

/// Carries the log over into the file and lets go of it, which is possible only if nobody else has the file open.
fn fold(path: &Path) -> rusqlite::Result<bool> {
    let connection = Connection::open_with_flags(path, OpenFlags::SQLITE_OPEN_READ_WRITE)?;
    connection.busy_timeout(Duration::from_secs(1))?;
    let mode = connection.pragma_update_and_check(None, "journal_mode", "DELETE", |row| row.get::<_, String>(0));
    match mode {
        Ok(mode) => Ok(mode == "delete"),
        Err(error) if error.sqlite_error_code() == Some(rusqlite::ErrorCode::DatabaseBusy) => Ok(false),
        Err(error) => Err(error),
    }
}

/// Copies made by the clock, on a thread of their own, so that messages do not wait for them.
pub(crate) struct Copies {
    place: Place,
    every: Duration,
    next: Option<Instant>,
    stop: Arc<AtomicBool>,
    thread: Option<JoinHandle<Result<Option<Backup>, Trouble>>>,
}

impl Copies {
    pub fn every(every: Duration, place: Place) -> Self {
        Copies { place, every, next: None, stop: Arc::default(), thread: None }
    }

    /// Begins one if it is time. What went wrong with the last.
    pub fn tick(&mut self) -> Option<String> {
        if let Some(thread) = self.thread.take_if(|thread| thread.is_finished()) {
            match thread.join() {
                Ok(Ok(Some(copy))) if !copy.whole => {
                    return Some(format!("the backup {} is not whole: the store is damaged", copy.path));
                }
                Ok(Ok(_)) => {}
                // It is being made by another worker.
                Ok(Err(Trouble::Refused(_))) => {}
                Ok(Err(why)) => return Some(format!("no backup could be made: {why}")),
                Err(_) => return Some("no backup could be made: its thread panicked".to_owned()),
            }
        }
        let now = Instant::now();
        let next = *self.next.get_or_insert_with(|| now + due_in(&self.place, self.every));
        if self.thread.is_some() || now < next {
            return None;
        }
        self.next = Some(now + self.every);
        let (place, stop, every) = (self.place.clone(), self.stop.clone(), self.every);
        let make = move || match due_in(&place, every) {
            // Another worker, or somebody else, has just made one.
            soon if soon > every / 2 => Ok(None),
            _ => make(&place, "by the clock", &stop).map(Some),
        };
        let begun = std::thread::Builder::new().name("backup".to_owned()).spawn(make);
        match begun {
            Ok(thread) => {
                self.thread = Some(thread);
                None
            }
            Err(error) => Some(format!("no thread for a backup: {error}")),
        }
    }

    /// Lets go of one that is not finished.
    pub fn stop(mut self, within: Duration) -> Result<(), String> {
        self.stop.store(true, Ordering::Relaxed);
        let Some(thread) = self.thread.take() else { return Ok(()) };
        let until = Instant::now() + within;
        while !thread.is_finished() {
            if Instant::now() >= until {
                return Err("a backup is still being read through; it is left unfinished".to_owned());
            }
            std::thread::sleep(Duration::from_millis(5));
        }
        let _stopped = thread.join();
        Ok(())
    }
}

/// How long until the next copy, so that a router that is started often does not copy each time.
fn due_in(place: &Place, every: Duration) -> Duration {
    let latest = list(place).ok().and_then(|all| all.first().map(|copy| copy.made));
    let since = latest.map(|made| Timestamp::now().nanos().saturating_sub(made.nanos()).max(0) as u64);
    since.map_or(Duration::ZERO, |since| every.saturating_sub(Duration::from_nanos(since)))
}
