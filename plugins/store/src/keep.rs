//! How long messages are kept. Deleting goes in small steps between two writes, so that nobody waits for it.

use crate::config::Config;
use crate::endpoint::Writer;
use crate::index;
use metlog_message::Timestamp;
use rusqlite::{Connection, OptionalExtension, Params, Transaction, TransactionBehavior};
use std::time::{Duration, Instant};

/// Messages deleted in one transaction: some milliseconds.
const STEP: i64 = 1000;

/// Pages given back to the file system in one transaction.
const PAGES: i64 = 512;

/// Names looked at in one transaction.
const NAMES: i64 = 500;

/// Pages that may be free in the file: what comes next takes them. 16 MiB.
const SPARE: i64 = 2048;

/// How long one tick may delete, and how long when a tenth more is there than may be.
const SHARE: (Duration, Duration) = (Duration::from_millis(50), Duration::from_millis(700));

/// What is kept, and how far the last look came.
pub struct Keep {
    max_age: Option<Duration>,
    max_bytes: Option<i64>,
    every: Duration,
    looked: Option<Instant>,
    /// Something was deleted, so the last of a generation may be gone.
    thinned: bool,
    /// Names up to this number have been looked at.
    name: i64,
}

/// How full the file is.
struct Fill {
    page: i64,
    pages: i64,
    free: i64,
}

impl Fill {
    fn of(connection: &Connection) -> rusqlite::Result<Self> {
        let one = |pragma: &str| connection.prepare_cached(pragma)?.query_row([], |row| row.get(0));
        Ok(Fill {
            page: one("PRAGMA page_size")?,
            pages: one("PRAGMA page_count")?,
            free: one("PRAGMA freelist_count")?,
        })
    }

    fn used(&self) -> i64 {
        (self.pages - self.free) * self.page
    }
}

impl Keep {
    /// As the settings say.
    pub fn new(config: &Config) -> Self {
        Keep {
            max_age: config.max_age.map(|age| age.duration()),
            max_bytes: i64::try_from(config.max_bytes.bytes()).ok().filter(|bytes| *bytes > 0),
            every: config.purge_every.duration(),
            looked: None,
            thinned: true,
            name: 0,
        }
    }

    /// Deletes what has to go, for a while. What is left is for the next tick.
    pub fn tick(&mut self, writer: &mut Writer, now: Instant) -> rusqlite::Result<()> {
        let fill = Fill::of(&writer.connection)?;
        let over = self.max_bytes.map_or(0.0, |most| (fill.used() - most).max(0) as f64 / most as f64);
        let until = now + SHARE.0 + (SHARE.1 - SHARE.0).mul_f64((over * 10.0).min(1.0));
        while over > 0.0 && Instant::now() < until && self.shrink(&writer.connection)? {}
        self.thinned |= over > 0.0;
        if self.thinned {
            self.thinned = forget_words(&writer.connection)?;
        }
        self.vacuum(&writer.connection, until)?;
        if self.looked.is_some_and(|looked| now < looked + self.every) {
            return Ok(());
        }
        let moment = Timestamp::now().nanos();
        let expired =
            "SELECT position FROM messages INDEXED BY by_expiry WHERE expires <= ?1 ORDER BY expires LIMIT ?2";
        let old = "SELECT position FROM messages INDEXED BY by_time WHERE time < ?1 ORDER BY time LIMIT ?2";
        let age = self.max_age.map(|age| moment.saturating_sub(i64::try_from(age.as_nanos()).unwrap_or(i64::MAX)));
        loop {
            let mut gone = delete(&writer.connection, expired, (moment, STEP))?;
            if let Some(oldest) = age {
                gone += delete(&writer.connection, old, (oldest, STEP))?;
            }
            if gone == 0 {
                break;
            }
            self.thinned = true;
            if Instant::now() >= until {
                return Ok(());
            }
        }
        self.looked = Some(now);
        self.names(writer)
    }

    /// Deletes some of what came first while there is too much. Whether there still is.
    fn shrink(&self, connection: &Connection) -> rusqlite::Result<bool> {
        let fill = Fill::of(connection)?;
        let Some(most) = self.max_bytes.filter(|most| fill.used() > *most) else { return Ok(false) };
        let messages = messages(connection)?.max(1);
        // A few more than it takes, so that it does not take a few with every tick.
        let share = (fill.used() - most + most / 100) as f64 / fill.used() as f64;
        let some = ((messages as f64 * share).ceil() as i64).clamp(1, STEP);
        let first = "SELECT position FROM messages ORDER BY position LIMIT ?1";
        Ok(delete(connection, first, [some])? > 0)
    }

    /// Gives free pages back, unless what comes next needs them soon.
    fn vacuum(&self, connection: &Connection, until: Instant) -> rusqlite::Result<()> {
        while Instant::now() < until {
            let fill = Fill::of(connection)?;
            let spare = SPARE.max(fill.pages / 20);
            let beyond = self.max_bytes.is_some_and(|most| fill.pages * fill.page > most);
            if fill.free == 0 || (fill.free <= spare && !beyond) {
                break;
            }
            connection.execute_batch(&format!("PRAGMA incremental_vacuum({PAGES})"))?;
        }
        Ok(())
    }

    /// Lets go of names that no message has any more, some at a time: whoever makes them up must not fill the file.
    fn names(&mut self, writer: &mut Writer) -> rusqlite::Result<()> {
        let change = Transaction::new_unchecked(&writer.connection, TransactionBehavior::Immediate)?;
        let upto: Option<i64> = change
            .prepare_cached(
                "SELECT max(number) FROM (SELECT number FROM names WHERE number > ?1 ORDER BY number LIMIT ?2)",
            )?
            .query_row((self.name, NAMES), |row| row.get(0))?;
        let gone = change
            .prepare_cached(
                "DELETE FROM names WHERE number > ?1 AND number <= ?2
                 AND NOT EXISTS (SELECT 1 FROM messages INDEXED BY by_type WHERE type = number)
                 AND NOT EXISTS (SELECT 1 FROM messages INDEXED BY by_logger WHERE logger = number)",
            )?
            .execute((self.name, upto.unwrap_or(0)))?;
        change.commit()?;
        self.name = upto.unwrap_or(0);
        if gone > 0 {
            writer.forget_names();
        }
        Ok(())
    }
}

/// Lets go of the words of what is gone, one generation. Whether there may be another.
fn forget_words(connection: &Connection) -> rusqlite::Result<bool> {
    let change = Transaction::new_unchecked(connection, TransactionBehavior::Immediate)?;
    let some = index::let_go(&change)?;
    change.commit().map(|()| some)
}

/// Deletes what this question finds. How many there were.
fn delete(connection: &Connection, which: &str, values: impl Params) -> rusqlite::Result<usize> {
    let positions: Vec<i64> = {
        let mut which = connection.prepare_cached(which)?;
        which.query_map(values, |row| row.get(0))?.collect::<rusqlite::Result<_>>()?
    };
    if positions.is_empty() {
        return Ok(0);
    }
    let change = Transaction::new_unchecked(connection, TransactionBehavior::Immediate)?;
    let gone = remove(&change, &positions)?;
    change.commit()?;
    Ok(gone)
}

/// Takes messages out, all but their words. How many there were.
pub fn remove(connection: &Connection, positions: &[i64]) -> rusqlite::Result<usize> {
    let mut gone = 0;
    let mut message = connection.prepare_cached("DELETE FROM messages WHERE position = ?1")?;
    for position in positions {
        gone += message.execute([position])?;
    }
    count(connection, -(gone as i64))?;
    Ok(gone)
}

/// So many more messages; counting them all takes seconds.
pub fn count(connection: &Connection, more: i64) -> rusqlite::Result<()> {
    connection
        .prepare_cached("UPDATE figures SET value = value + ?1 WHERE name = 'messages'")?
        .execute([more])
        .map(drop)
}

/// How many messages there are.
pub fn messages(connection: &Connection) -> rusqlite::Result<i64> {
    let mut figure = connection.prepare_cached("SELECT value FROM figures WHERE name = 'messages'")?;
    Ok(figure.query_row([], |row| row.get(0)).optional()?.unwrap_or(0))
}
