//! The file as a store that is asked: a few connections that only read, and one that changes.

use crate::base::{self, Identity, Unfit};
use crate::config::Config;
use crate::copies::{self, Place};
use crate::{find, index, keep};
use metlog_message::Timestamp;
use metlog_pipeline::inventory;
use metlog_pipeline::registry::Configured;
use metlog_query::{Backup, Change, Deadline, End, Exchange, Row, Scan, Size, Store, StoreEntry, Trouble};
use rusqlite::{Connection, Error, ErrorCode, OpenFlags, Transaction, TransactionBehavior};
use std::collections::HashMap;
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};
use std::sync::atomic::AtomicBool;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

/// Questions at the same time; more wait for one of them, until their deadline.
const MOST: usize = 8;

/// How long `size` may take, which has no deadline of its own.
const SIZING: Duration = Duration::from_secs(10);

/// Steps of SQLite's machine between two looks at the clock, and whether the asker is there: some tens of microseconds.
const STEPS: i32 = 2000;

/// Messages kept by the endpoint `store`, to be asked.
pub struct Messages {
    config: Config,
    pool: Mutex<Pool>,
    returned: Condvar,
    changing: Mutex<Option<(Connection, Identity)>>,
}

#[derive(Default)]
struct Pool {
    free: Vec<Reading>,
    lent: usize,
}

/// A connection that only reads.
pub(crate) struct Reading {
    pub connection: Connection,
    /// Numbers are never given twice, so what is in here stays true.
    pub names: HashMap<i64, Arc<str>>,
    identity: Identity,
    deadline: Arc<Mutex<Option<Deadline>>>,
}

impl Reading {
    fn open(path: &Path) -> Result<Self, Trouble> {
        let mut connection = base::open_existing(path, OpenFlags::SQLITE_OPEN_READ_ONLY).map_err(trouble)?;
        let identity = Identity::of(path).ok_or_else(|| gone(path))?;
        let deadline: Arc<Mutex<Option<Deadline>>> = Arc::default();
        let clock = deadline.clone();
        let late = move || clock.lock().unwrap_or_else(PoisonError::into_inner).as_ref().is_some_and(Deadline::is_over);
        let set = connection.progress_handler(STEPS, Some(late)).and_then(|()| {
            connection.pragma_update(None, "temp_store", "MEMORY")?;
            connection.pragma_update(None, "trusted_schema", false)?;
            connection.pragma_update(None, "cache_size", -16 * 1024)
        });
        set.map_err(|error| explain(path, &error))?;
        Ok(Reading { connection, names: HashMap::new(), identity, deadline })
    }
}

fn gone(path: &Path) -> Trouble {
    Trouble::Away(format!("{} is not there; nothing has been stored yet", path.display()))
}

fn trouble(unfit: Unfit) -> Trouble {
    match unfit {
        Unfit::Foreign(why) => Trouble::Refused(why),
        Unfit::Io(why) => Trouble::Away(why),
        Unfit::Damaged(why) => Trouble::Away(format!("{why}; take back a backup, or move the file away")),
    }
}

fn explain(path: &Path, error: &Error) -> Trouble {
    match error.sqlite_error_code() {
        Some(ErrorCode::DatabaseBusy | ErrorCode::DatabaseLocked) => {
            Trouble::Away(format!("{}: others have been writing to it for {:?}", path.display(), base::PATIENCE))
        }
        Some(ErrorCode::OperationInterrupted) => Trouble::Away(format!("{}: it took too long", path.display())),
        _ if base::is_damage(error) => trouble(Unfit::Damaged(format!("{} is damaged: {error}", path.display()))),
        _ => Trouble::Away(format!("{}: {error}", path.display())),
    }
}

/// A connection on loan.
struct Loan<'a> {
    from: &'a Messages,
    reading: Option<Reading>,
}

impl Drop for Loan<'_> {
    fn drop(&mut self) {
        let mut pool = self.from.pool();
        pool.lent -= 1;
        // One that found the file in a state it cannot explain is not asked again.
        if let Some(reading) = self.reading.take().filter(|reading| reading.connection.is_autocommit()) {
            pool.free.push(reading);
        }
        drop(pool);
        self.from.returned.notify_one();
    }
}

impl Messages {
    fn pool(&self) -> MutexGuard<'_, Pool> {
        self.pool.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Lends a connection to the file that is there now, until then at the latest.
    fn lend(&self, deadline: &Deadline) -> Result<Loan<'_>, Trouble> {
        let mut pool = self.pool();
        while pool.lent >= MOST {
            let nap = deadline.nap();
            if nap.is_zero() {
                return Err(Trouble::Away(format!("{MOST} other questions are being answered")));
            }
            pool = self.returned.wait_timeout(pool, nap).unwrap_or_else(PoisonError::into_inner).0;
        }
        let path = &self.config.path;
        let identity = Identity::of(path);
        // Whoever holds a file that was taken away holds its place on the disk.
        pool.free.retain(|reading| Some(reading.identity) == identity);
        if identity.is_none() {
            return Err(gone(path));
        }
        pool.lent += 1;
        let reading = pool.free.pop();
        drop(pool);
        let mut loan = Loan { from: self, reading: None };
        let reading = match reading {
            Some(reading) => reading,
            None => Reading::open(path)?,
        };
        *reading.deadline.lock().unwrap_or_else(PoisonError::into_inner) = Some(deadline.clone());
        loan.reading = Some(reading);
        Ok(loan)
    }

    fn measure(&self, reading: &Reading) -> rusqlite::Result<Size> {
        let connection = reading.connection.unchecked_transaction()?;
        let now = Timestamp::now().nanos();
        let number = |question: &str| -> rusqlite::Result<i64> {
            connection.query_row(question, [now], |row| Ok(row.get::<_, Option<i64>>(0)?.unwrap_or(0)))
        };
        let moment = |question: &str| -> rusqlite::Result<Option<Timestamp>> {
            let mut question = connection.prepare(question)?;
            let mut rows = question.query([now])?;
            rows.next()?.map(|row| row.get(0).map(Timestamp::from_nanos)).transpose()
        };
        let expired = number("SELECT count(*) FROM messages INDEXED BY by_expiry WHERE expires <= ?1")?;
        let archived = number(
            "SELECT count(*) FROM messages INDEXED BY by_archive
             WHERE archived IS NOT NULL AND (expires IS NULL OR expires > ?1)",
        )?;
        let oldest = moment(
            "SELECT time FROM messages INDEXED BY by_time WHERE expires IS NULL OR expires > ?1 ORDER BY time LIMIT 1",
        )?;
        let newest = moment(
            "SELECT time FROM messages INDEXED BY by_time WHERE expires IS NULL OR expires > ?1
             ORDER BY time DESC LIMIT 1",
        )?;
        let of_file = |ending: &str| -> u64 {
            let path: PathBuf = base::beside(&self.config.path, ending);
            std::fs::metadata(path).map_or(0, |file| file.len())
        };
        Ok(Size {
            messages: u64::try_from(keep::messages(&connection)? - expired).unwrap_or(0),
            archived: u64::try_from(archived).unwrap_or(0),
            bytes: of_file("") + of_file("-wal"),
            oldest,
            newest,
        })
    }
}

/// Changes these messages in one transaction. How many were there.
fn apply(connection: &Connection, change: Change, positions: &[u64]) -> rusqlite::Result<u64> {
    let now = Timestamp::now().nanos();
    let positions: Vec<i64> = positions.iter().filter_map(|position| i64::try_from(*position).ok()).collect();
    let all = Transaction::new_unchecked(connection, TransactionBehavior::Immediate)?;
    let mut there = 0;
    match change {
        Change::Delete => {
            if index::is_on(&all)? {
                positions.iter().try_for_each(|position| index::forget(&all, *position))?;
            }
            there = keep::remove(&all, &positions)? as u64;
        }
        Change::Archive | Change::Restore => {
            let mut set = all.prepare_cached(
                "UPDATE messages SET archived = CASE WHEN ?2 IS NULL THEN NULL ELSE coalesce(archived, ?2) END
                 WHERE position = ?1 AND (expires IS NULL OR expires > ?3)",
            )?;
            let moment = Some(now).filter(|_| change == Change::Archive);
            for position in positions {
                there += set.execute((position, moment, now))? as u64;
            }
        }
    }
    all.commit()?;
    Ok(there)
}

impl Store for Messages {
    fn scan(&self, scan: &Scan, each: &mut dyn FnMut(&Row<'_>) -> ControlFlow<()>) -> Result<End, Trouble> {
        if scan.deadline.is_over() {
            return Ok(End::Late);
        }
        let mut loan = self.lend(&scan.deadline)?;
        let Some(reading) = &mut loan.reading else { return Err(gone(&self.config.path)) };
        match find::scan(reading, scan, each) {
            Err(error) if error.sqlite_error_code() == Some(ErrorCode::OperationInterrupted) => Ok(End::Late),
            Err(error) => {
                loan.reading = None;
                Err(explain(&self.config.path, &error))
            }
            Ok(end) => Ok(end),
        }
    }

    fn change(&self, change: Change, positions: &[u64]) -> Result<u64, Trouble> {
        let path = &self.config.path;
        let mut changing = self.changing.lock().unwrap_or_else(PoisonError::into_inner);
        let identity = Identity::of(path).ok_or_else(|| gone(path))?;
        if changing.as_ref().is_none_or(|(_, of)| *of != identity) {
            let connection = base::open_existing(path, OpenFlags::SQLITE_OPEN_READ_WRITE).map_err(trouble)?;
            connection.pragma_update(None, "synchronous", "FULL").map_err(|error| explain(path, &error))?;
            *changing = Some((connection, identity));
        }
        let Some((connection, _)) = &*changing else { return Err(gone(path)) };
        let done = apply(connection, change, positions);
        if done.is_err() {
            *changing = None;
        }
        done.map_err(|error| explain(path, &error))
    }

    fn size(&self) -> Result<Size, Trouble> {
        let mut loan = self.lend(&(Instant::now() + SIZING).into())?;
        let Some(reading) = &mut loan.reading else { return Err(gone(&self.config.path)) };
        let size = self.measure(reading);
        if size.is_err() {
            loan.reading = None;
        }
        size.map_err(|error| explain(&self.config.path, &error))
    }

    fn backup(&self, note: &str) -> Result<Backup, Trouble> {
        copies::make(&Place::of(&self.config), note, &AtomicBool::new(false))
    }

    fn backups(&self) -> Result<Vec<Backup>, Trouble> {
        copies::list(&Place::of(&self.config))
    }

    fn restore(&self, copy: &Path, act: bool) -> Result<Exchange, Trouble> {
        // Whoever was asked has it open, and what it has open would be another store's then.
        self.pool.lock().unwrap_or_else(PoisonError::into_inner).free.clear();
        *self.changing.lock().unwrap_or_else(PoisonError::into_inner) = None;
        let to = &self.config.path;
        let made = copies::look(copy, to).map_err(Trouble::Refused)?;
        let size = |path: &Path| Messages::open(Config::at(path)).map_err(Trouble::Away)?.size();
        let holds = size(copy)?;
        let before = to.exists().then(|| size(to));
        let kept = if act { copies::restore(copy, to).map_err(Trouble::Refused)? } else { None };
        let kept = kept.map(|kept| kept.display().to_string());
        Ok(Exchange { copy: made, holds, place: to.display().to_string(), before, kept })
    }
}

impl Configured for Messages {
    type Config = Config;

    fn check(config: &Config) -> Result<(), String> {
        config.check()
    }

    /// Touches nothing: whoever asks may start before whoever writes.
    fn open(config: Config) -> Result<Self, String> {
        Ok(Messages { config, pool: Mutex::default(), returned: Condvar::new(), changing: Mutex::default() })
    }
}

inventory::submit! {
    StoreEntry::of::<Messages>("store")
}
