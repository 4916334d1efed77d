//! The file: whose it is, in which form, and what becomes of it when it is damaged.

use crate::index;
use metlog_message::Timestamp;
use rusqlite::{Connection, Error, ErrorCode, OpenFlags, Transaction, TransactionBehavior};
use std::fmt;
use std::fs::{self, OpenOptions};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

/// Says whose file it is, in its header: "metl".
const APPLICATION: i32 = 0x6d65_746c;

/// The form of the tables. One more for each change, and a step in [`migrate`] from the one before.
const FORM: i32 = 1;

/// Bigger pages than SQLite's own: a quarter fewer cycles per message.
const PAGE: i64 = 8192;

/// Pages of the log before they are carried over into the file: 64 MiB. Fewer would carry the same pages more often.
const CARRY_OVER: i64 = 8192;

/// Waiting for another writer. Batches take some tens of milliseconds, so this is somebody's tool, or a hanging disk.
pub const PATIENCE: Duration = Duration::from_secs(10);

/// How severe a message must be to be in the index of severities: beyond it would hold nearly everything.
pub const SEVERE: u8 = 4;

const TABLES: &str = "
    CREATE TABLE names(number INTEGER PRIMARY KEY AUTOINCREMENT, name TEXT NOT NULL UNIQUE);
    CREATE TABLE messages(
        position INTEGER PRIMARY KEY,
        time INTEGER NOT NULL,
        severity INTEGER NOT NULL,
        type INTEGER NOT NULL,
        logger INTEGER NOT NULL,
        severe INTEGER,
        archived INTEGER,
        expires INTEGER,
        id TEXT,
        trace TEXT,
        raw BLOB NOT NULL
    );
    CREATE INDEX by_time ON messages(time);
    CREATE INDEX by_type ON messages(type, time);
    CREATE INDEX by_logger ON messages(logger, time);
    CREATE INDEX by_severity ON messages(severe, time) WHERE severe IS NOT NULL;
    CREATE INDEX by_id ON messages(id) WHERE id IS NOT NULL;
    CREATE INDEX by_trace ON messages(trace) WHERE trace IS NOT NULL;
    CREATE INDEX by_expiry ON messages(expires) WHERE expires IS NOT NULL;
    CREATE INDEX by_archive ON messages(time) WHERE archived IS NOT NULL;
    CREATE TABLE generations(
        number INTEGER PRIMARY KEY AUTOINCREMENT,
        first INTEGER NOT NULL,
        last INTEGER NOT NULL,
        messages INTEGER NOT NULL
    );
    CREATE TABLE figures(name TEXT PRIMARY KEY, value INTEGER NOT NULL) WITHOUT ROWID;
    INSERT INTO figures VALUES ('messages', 0), ('unworded', -1);
";

/// Why a file cannot be used.
#[derive(Debug)]
pub enum Unfit {
    /// Somebody else's, or of a later form. It is left as it is.
    Foreign(String),
    /// Ours, and broken.
    Damaged(String),
    /// Not now.
    Io(String),
}

impl fmt::Display for Unfit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Unfit::Foreign(why) | Unfit::Damaged(why) | Unfit::Io(why) => f.write_str(why),
        }
    }
}

/// Which file it is, whatever its name says by now.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Identity(u64, u64);

impl Identity {
    /// Of what is at this path.
    pub fn of(path: &Path) -> Option<Self> {
        let file = fs::metadata(path).ok()?;
        #[cfg(unix)]
        let identity = {
            use std::os::unix::fs::MetadataExt;
            Identity(file.dev(), file.ino())
        };
        #[cfg(not(unix))]
        let identity = Identity(0, u64::from(file.is_file()));
        Some(identity)
    }

    /// Of the log of the file at this path.
    pub fn of_log(path: &Path) -> Option<Self> {
        Self::of(&beside(path, "-wal"))
    }
}

/// A path with something behind its name.
pub fn beside(path: &Path, ending: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(ending);
    name.into()
}

/// A moment for the name of a file.
pub fn stamp(moment: Timestamp) -> String {
    moment.to_string().chars().filter(|symbol| !matches!(symbol, '-' | ':' | '.')).collect()
}

/// Whether the file itself is broken.
pub fn is_damage(error: &Error) -> bool {
    matches!(error.sqlite_error_code(), Some(ErrorCode::DatabaseCorrupt | ErrorCode::NotADatabase))
}

/// Opens the file for writing; makes it, in a folder that is made too, if there is none.
pub fn open(path: &Path, full_text: bool) -> Result<Connection, Unfit> {
    // Two that make the same file at once would get in each other's way before either can wait for the other.
    static ONE: Mutex<()> = Mutex::new(());
    let _one = ONE.lock().unwrap_or_else(PoisonError::into_inner);
    make(path).map_err(|error| Unfit::Io(format!("{} cannot be opened: {error}", path.display())))?;
    let connection = connect(path, OpenFlags::SQLITE_OPEN_READ_WRITE)?;
    let sql = |error| explain(path, &error);
    whose(&connection, path)?;
    habits(&connection).map_err(sql)?;
    let change = Transaction::new_unchecked(&connection, TransactionBehavior::Immediate).map_err(sql)?;
    let form = whose(&change, path)?;
    migrate(&change, form)
        .and_then(|()| index::switch(&change, full_text))
        .and_then(|()| change.commit())
        .map_err(sql)?;
    Ok(connection)
}

/// Opens the file if it is there: `SQLITE_OPEN_READ_ONLY` or `SQLITE_OPEN_READ_WRITE`.
pub fn open_existing(path: &Path, flags: OpenFlags) -> Result<Connection, Unfit> {
    let connection = connect(path, flags)?;
    let form = whose(&connection, path)?;
    if form < FORM {
        return Err(Unfit::Io(format!("{} is still of form {form}; the router brings it up to date", path.display())));
    }
    Ok(connection)
}

fn connect(path: &Path, flags: OpenFlags) -> Result<Connection, Unfit> {
    // Never opened by other means than SQLite's: closing it would let go of the locks that this process has on it.
    let file = fs::metadata(path).map_err(|error| match error.kind() {
        io::ErrorKind::NotFound => Unfit::Io(format!("{} is not there; nothing has been stored yet", path.display())),
        _ => Unfit::Io(format!("{} cannot be opened: {error}", path.display())),
    })?;
    // SQLite would take so short a file for an empty one.
    if !file.is_file() || (1..512).contains(&file.len()) {
        return Err(foreign(path));
    }
    let connection = Connection::open_with_flags(path, flags | OpenFlags::SQLITE_OPEN_NO_MUTEX)
        .map_err(|error| explain(path, &error))?;
    connection.busy_timeout(PATIENCE).map_err(|error| explain(path, &error))?;
    connection.set_prepared_statement_cache_capacity(64);
    Ok(connection)
}

/// Only its owner may read what applications say. SQLite gives the log the permissions of the file.
fn make(path: &Path) -> io::Result<()> {
    if let Some(folder) = path.parent().filter(|folder| !folder.as_os_str().is_empty()) {
        make_folder(folder)?;
    }
    private(path)
}

/// A folder that its owner and group may look into.
pub fn make_folder(folder: &Path) -> io::Result<()> {
    let mut builder = fs::DirBuilder::new();
    builder.recursive(true);
    #[cfg(unix)]
    std::os::unix::fs::DirBuilderExt::mode(&mut builder, 0o750);
    builder.create(folder)
}

/// Makes an empty file for its owner alone, if there is none.
pub fn private(path: &Path) -> io::Result<()> {
    let mut options = OpenOptions::new();
    options.create_new(true).write(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    match options.open(path) {
        Err(error) if error.kind() != io::ErrorKind::AlreadyExists => Err(error),
        _ => Ok(()),
    }
}

fn pragma(connection: &Connection, name: &str) -> rusqlite::Result<i32> {
    connection.pragma_query_value(None, name, |row| row.get(0))
}

/// The form of the tables, 0 if there are none yet.
fn whose(connection: &Connection, path: &Path) -> Result<i32, Unfit> {
    let read = || -> rusqlite::Result<(i32, i32, i64)> {
        let tables = connection.query_row("SELECT count(*) FROM sqlite_schema", [], |row| row.get(0))?;
        Ok((pragma(connection, "application_id")?, pragma(connection, "user_version")?, tables))
    };
    match read().map_err(|error| explain(path, &error))? {
        (APPLICATION, form, _) if form > FORM => Err(Unfit::Foreign(format!(
            "{} was written by a later metlog (form {form}, this one knows up to {FORM}); it is left as it is",
            path.display()
        ))),
        (APPLICATION, form, _) => Ok(form),
        (0, 0, 0) => Ok(0),
        _ => Err(Unfit::Foreign(format!(
            "{} is a SQLite file of another program; it is left as it is. Move it away, or give another `path`",
            path.display()
        ))),
    }
}

/// What holds for this connection, and for the file if it is new.
fn habits(connection: &Connection) -> rusqlite::Result<()> {
    // The first two count for an empty file only. FULL: what counts as delivered is on the disk.
    connection.pragma_update(None, "page_size", PAGE)?;
    connection.pragma_update(None, "auto_vacuum", "INCREMENTAL")?;
    connection.pragma_update_and_check(None, "journal_mode", "WAL", |_| Ok(()))?;
    connection.pragma_update(None, "synchronous", "FULL")?;
    connection.pragma_update(None, "cache_size", -64 * 1024)?;
    connection.pragma_update(None, "temp_store", "MEMORY")?;
    connection.pragma_update(None, "trusted_schema", false)?;
    connection.pragma_update_and_check(None, "wal_autocheckpoint", CARRY_OVER, |_| Ok(()))?;
    connection.pragma_update_and_check(None, "journal_size_limit", CARRY_OVER * PAGE, |_| Ok(()))
}

fn foreign(path: &Path) -> Unfit {
    Unfit::Foreign(format!(
        "{} is not a store of metlog's, nor any SQLite file; it is left as it is. Move it away, or give another `path`",
        path.display()
    ))
}

/// What SQLite says, with the file and what it means for it.
fn explain(path: &Path, error: &Error) -> Unfit {
    if error.sqlite_error_code() == Some(ErrorCode::NotADatabase) {
        return foreign(path);
    }
    if is_damage(error) {
        return Unfit::Damaged(format!("{} is damaged: {error}", path.display()));
    }
    Unfit::Io(format!("{}: {error}", path.display()))
}

/// Moves the file and its log out of the way. Where to.
pub fn set_aside(path: &Path, why: &str) -> io::Result<PathBuf> {
    let aside = beside(path, &format!(".{why}-{}", stamp(Timestamp::now())));
    fs::rename(path, &aside)?;
    for ending in ["-wal", "-shm"] {
        match fs::rename(beside(path, ending), beside(&aside, ending)) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            _ => {}
        }
    }
    Ok(aside)
}

/// From this form to ours.
fn migrate(connection: &Connection, form: i32) -> rusqlite::Result<()> {
    if form < 1 {
        connection.execute_batch(TABLES)?;
        connection.pragma_update(None, "application_id", APPLICATION)?;
    }
    connection.pragma_update(None, "user_version", FORM)
}
