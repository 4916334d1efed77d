use crate::again::Again;
use crate::base::{self, Identity, Unfit};
use crate::config::Config;
use crate::copies::{self, Copies};
use crate::index::Generation;
use crate::keep::{self, Keep};
use crate::place::Places;
use metlog_pipeline::registry::Configured;
use metlog_pipeline::{Endpoint, EndpointEntry, Pacing, Picked, SendError, inventory};
use metlog_query::Facts;
use rusqlite::{Connection, Error, ErrorCode, Transaction, TransactionBehavior, params};
use std::collections::HashMap;
use std::ops::Range;
use std::path::Path;
use std::time::{Duration, Instant};

/// Names of types and loggers whose numbers are remembered; beyond, all are looked up anew.
const NAMES: usize = 16_384;

/// A row by itself: several in one statement take a quarter more time, since the end of each index is then looked for
/// anew.
const MESSAGE: &str = "
    INSERT OR IGNORE INTO messages(position, time, severity, type, logger, severe, expires, id, trace, raw)
    VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10)";

/// Writes messages, one transaction a batch.
pub struct StoreEndpoint {
    config: Config,
    writer: Option<Writer>,
    rows: Vec<Prepared>,
    /// The words of all rows, one after the other.
    words: String,
    keep: Keep,
    copies: Option<Copies>,
    /// What is still to be told.
    said: Option<String>,
}

/// A message on its way into the tables.
struct Prepared {
    /// In its spool.
    id: u64,
    /// Which line of the batch.
    line: usize,
    facts: Facts,
    words: Range<usize>,
}

/// The file while it is open.
pub(crate) struct Writer {
    pub connection: Connection,
    file: Option<Identity>,
    log: Option<Identity>,
    names: HashMap<String, i64>,
    again: Again,
    places: Places,
    /// Another number: another connection has written, and may have let go of a name.
    version: i64,
}

impl Writer {
    /// Opens the file, and makes it if there is none.
    pub fn open(path: &Path, full_text: bool) -> Result<Self, Unfit> {
        let connection = base::open(path, full_text)?;
        let (file, log) = (Identity::of(path), Identity::of_log(path));
        Ok(Writer {
            connection,
            file,
            log,
            names: HashMap::new(),
            again: Again::default(),
            places: Places::default(),
            version: 0,
        })
    }

    /// Whether what was written is still at this path.
    fn is_at(&self, path: &Path) -> bool {
        self.file.is_some() && Identity::of(path) == self.file
    }

    /// Whether the log is still there, without which the file lacks what was written last.
    fn has_log(&self, path: &Path) -> bool {
        self.log.is_some() && Identity::of_log(path) == self.log
    }

    /// Carries the log over into the file. False: whoever reads is in the way.
    fn carry_over(&self) -> rusqlite::Result<bool> {
        self.connection.query_row("PRAGMA wal_checkpoint(FULL)", [], |row| Ok(row.get::<_, i64>(0)? == 0))
    }

    /// Forgets what another connection may have made untrue, or a change that did not come about.
    pub fn forget_names(&mut self) {
        self.names.clear();
        self.places = Places::default();
    }

    fn write(&mut self, batch: &Picked<'_>, rows: &[Prepared], words: &str) -> rusqlite::Result<()> {
        let Writer { connection, names, again, places, version, .. } = self;
        let change = Transaction::new_unchecked(connection, TransactionBehavior::Immediate)?;
        let now: i64 = change.prepare_cached("PRAGMA data_version")?.query_row([], |row| row.get(0))?;
        if *version != now || names.len() > NAMES {
            names.clear();
        }
        if *version != now {
            again.begin(&change)?;
            *version = now;
        }
        let mut new = 0;
        let generation = Generation::current(&change, keep::messages(&change)?)?;
        {
            let mut message = change.prepare_cached(MESSAGE)?;
            let mut look = Again::look(&change)?;
            let mut index = match &generation {
                Some(generation) => Some(change.prepare_cached(&generation.insert)?),
                None => None,
            };
            for row in rows {
                let Prepared { id, facts, line, .. } = row;
                let position = places.of(&change, batch.spool(), *id)?;
                let raw = batch.lines().get(*line).unwrap_or_default();
                if again.knows(&mut look, facts, raw)? {
                    continue;
                }
                let kind = number_of(&change, names, &facts.kind)?;
                let logger = number_of(&change, names, &facts.logger)?;
                let severe = Some(facts.severity).filter(|severity| *severity <= base::SEVERE);
                let expires = facts.expires.map(|moment| moment.nanos());
                let time = facts.timestamp.nanos();
                let values =
                    params![position, time, facts.severity, kind, logger, severe, expires, facts.id, facts.trace, raw];
                // Nought: it was written before, and is delivered once more.
                let written = message.execute(values)?;
                new += written as i64;
                let words = words.get(row.words.clone()).unwrap_or_default();
                if let Some(index) = index.as_mut().filter(|_| written > 0 && !words.is_empty()) {
                    index.execute((position, words))?;
                }
            }
        }
        if let (Some(generation), Some(first), Some(last)) = (generation, rows.first(), rows.last()) {
            let mut of = |row: &Prepared| places.of(&change, batch.spool(), row.id);
            let (first, last) = (of(first)?, of(last)?);
            generation.took(&change, (first.min(last), first.max(last)), new)?;
        }
        keep::count(&change, new)?;
        change.commit()
    }
}

/// The number of a name, given now if it has none yet.
fn number_of(connection: &Connection, names: &mut HashMap<String, i64>, name: &str) -> rusqlite::Result<i64> {
    if let Some(number) = names.get(name) {
        return Ok(*number);
    }
    connection.prepare_cached("INSERT OR IGNORE INTO names(name) VALUES (?1)")?.execute([name])?;
    let number =
        connection.prepare_cached("SELECT number FROM names WHERE name = ?1")?.query_row([name], |row| row.get(0))?;
    names.insert(name.to_owned(), number);
    Ok(number)
}

impl StoreEndpoint {
    /// The file, open. One that is damaged is set aside, and a new one begun.
    fn open_file(&mut self) -> Result<(), String> {
        if self.writer.is_some() {
            return Ok(());
        }
        let Config { path, full_text, .. } = &self.config;
        let writer = match Writer::open(path, *full_text) {
            Err(Unfit::Damaged(why)) => {
                self.set_aside(&why)?;
                Writer::open(&self.config.path, self.config.full_text)
            }
            other => other,
        };
        self.writer = Some(writer.map_err(|why| why.to_string())?);
        Ok(())
    }

    /// What cannot be read any more is kept for whoever knows how to save some of it, and messages go on being stored.
    fn set_aside(&mut self, why: &str) -> Result<String, String> {
        self.writer = None;
        let path = &self.config.path;
        let aside = base::set_aside(path, "damaged").map_err(|error| format!("{why}; it cannot be moved: {error}"))?;
        let said = format!(
            "{why}; it was moved to {}, and a new store begun. What was stored until now is not found any more: take \
             back a backup, or replay the spool",
            aside.display()
        );
        self.said = Some(said.clone());
        Ok(said)
    }

    /// What becomes of a batch, or of what the clock asked for, after this error.
    fn failed(&mut self, error: &Error) -> String {
        let path = self.config.path.display().to_string();
        if base::is_damage(error) {
            return self.set_aside(&format!("{path} is damaged: {error}")).unwrap_or_else(|why| why);
        }
        match error.sqlite_error_code() {
            Some(ErrorCode::DatabaseBusy | ErrorCode::DatabaseLocked) => {
                format!("{path}: another program has been writing to it for {:?}", base::PATIENCE)
            }
            Some(ErrorCode::DiskFull) => format!("{path}: the disk is full"),
            _ => {
                self.writer = None;
                format!("{path}: {error}")
            }
        }
    }

    /// Cuts the batch into rows. Which lines are no messages, or have no place in the file.
    fn prepare(&mut self, batch: &Picked<'_>) -> Vec<usize> {
        self.rows.clear();
        self.words.clear();
        let mut unfit = Vec::new();
        for ((line, raw), id) in batch.lines().iter().enumerate().zip(batch.ids()) {
            let start = self.words.len();
            let facts = Facts::of_many(raw, self.config.full_text.then_some(&mut self.words));
            match facts {
                Some(facts) => {
                    let words = start..self.words.len();
                    self.rows.push(Prepared { id: *id, line, facts, words });
                }
                None => unfit.push(line),
            }
        }
        unfit
    }
}

impl Endpoint for StoreEndpoint {
    fn write(&mut self, batch: &Picked<'_>) -> Result<(), SendError> {
        let unfit = self.prepare(batch);
        self.open_file().map_err(SendError::retry)?;
        let Some(writer) = &mut self.writer else { return Err(SendError::retry("not open")) };
        if let Err(error) = writer.write(batch, &self.rows, &self.words) {
            writer.forget_names();
            return Err(SendError::retry(self.failed(&error)));
        }
        let path = &self.config.path;
        if !writer.is_at(path) {
            let why = format!("{} was moved, replaced or deleted; it is opened anew", path.display());
            self.writer = None;
            return Err(SendError::retry(why));
        }
        if !writer.has_log(path) {
            let why = format!("the log of {} was taken away; restart the router", path.display());
            // It is open still, so nothing is lost as long as each batch is carried over at once.
            if !writer.carry_over().is_ok_and(|whole| whole) {
                return Err(SendError::retry(why));
            }
            self.said = Some(why);
        }
        if unfit.is_empty() {
            return Ok(());
        }
        Err(SendError::Refuse { why: "not a message that can be read".to_owned(), which: unfit })
    }

    fn tick(&mut self) -> Result<(), SendError> {
        if let Some(said) = self.said.take() {
            return Err(SendError::retry(said));
        }
        if self.writer.as_ref().is_some_and(|writer| !writer.is_at(&self.config.path)) {
            self.writer = None;
        }
        if let Some(said) = self.copies.as_mut().and_then(Copies::tick) {
            return Err(SendError::retry(said));
        }
        let Some(writer) = &mut self.writer else { return Ok(()) };
        let kept = self.keep.tick(writer, Instant::now());
        kept.map_err(|error| SendError::retry(self.failed(&error)))
    }

    fn reopen(&mut self) {
        self.writer = None;
    }

    fn close(&mut self, within: Duration) -> Result<(), SendError> {
        // The last connection carries the log over into the file.
        self.writer = None;
        match self.copies.take() {
            Some(copies) => copies.stop(within).map_err(SendError::retry),
            None => Ok(()),
        }
    }

    fn pacing(&self) -> Pacing {
        Pacing { messages: 10_000, bytes: 4 * 1024 * 1024, wait: Duration::from_millis(20), ..Pacing::default() }
    }
}

impl Configured for StoreEndpoint {
    type Config = Config;

    fn check(config: &Config) -> Result<(), String> {
        config.check()
    }

    fn open(config: Config) -> Result<Self, String> {
        let copies = config.backup_every.map(|every| Copies::every(every.duration(), copies::Place::of(&config)));
        let mut endpoint = StoreEndpoint {
            keep: Keep::new(&config),
            config,
            writer: None,
            rows: Vec::new(),
            words: String::new(),
            copies,
            said: None,
        };
        endpoint.open_file()?;
        Ok(endpoint)
    }
}

inventory::submit! {
    EndpointEntry::of::<StoreEndpoint>("store", &[], include_str!("../example.endpoint.toml"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use metlog_message::{Lines, Message, wire};

    #[test]
    fn a_full_disk_holds_up_and_loses_nothing() {
        let folder = std::env::temp_dir().join(format!("metlog-store-full-{}", std::process::id()));
        let _ = std::fs::remove_dir_all(&folder);
        let path = folder.join("messages.db");
        let mut endpoint = StoreEndpoint::open(Config::at(&path)).unwrap_or_else(|why| panic!("{why}"));
        let limit = |endpoint: &StoreEndpoint, pages: i64| {
            let connection = &endpoint.writer.as_ref().expect("open").connection;
            connection.pragma_update_and_check(None, "max_page_count", pages, |_| Ok(())).expect("a limit");
        };
        limit(&endpoint, 100);
        let mut lines = Lines::default();
        lines.push_with(|out| wire::write(out, &Message::new("log").payload("x".repeat(50_000))));
        let mut written = Vec::new();
        let why = loop {
            let id = written.len() as u64;
            match endpoint.write(&Picked::new(&lines, &[id])) {
                Ok(()) => written.push(id),
                Err(SendError::Retry { why, done: 0, .. }) => break why,
                Err(other) => panic!("{other:?}"),
            }
        };
        assert!(why.contains("the disk is full") && why.contains("messages.db"), "{why}");
        assert!(written.len() > 5, "{written:?}");
        limit(&endpoint, 1_000_000);
        let id = written.len() as u64;
        endpoint.write(&Picked::new(&lines, &[id])).expect("there is room again");
        let connection = &endpoint.writer.as_ref().expect("open").connection;
        let count: i64 = connection.query_row("SELECT count(*) FROM messages", [], |row| row.get(0)).expect("counted");
        assert_eq!((count, keep::messages(connection).expect("counted")), (id as i64 + 1, id as i64 + 1));
        drop(endpoint);
        std::fs::remove_dir_all(&folder).expect("made here");
    }
}
