use crate::config::{Config, Target};
use crate::link::{Fault, Link};
use crate::narrow::{ALIVE, Question, positions};
use crate::rows::Moment;
use futures_util::TryStreamExt;
use metlog_message::Timestamp;
use metlog_pipeline::inventory;
use metlog_pipeline::registry::Configured;
use metlog_query::{Backup, Change, Cursor, Deadline, End, Row, Scan, Size, Store, StoreEntry, Trouble};
use std::cell::Cell;
use std::ops::ControlFlow;
use std::pin::pin;
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Instant;
use tokio_postgres::types::Type;

/// Rows asked for first, and said to be: most questions are for a page, and the server plans for what it is asked.
const PAGE: usize = 200;

/// Each further helping is twice the one before, up to this: what is left of it when somebody has enough is read for
/// nothing.
const HELPING: usize = 4096;

/// Reads what the endpoint has written.
pub struct PostgresStore {
    target: Target,
    pool: Mutex<Pool>,
    freed: Condvar,
}

#[derive(Default)]
struct Pool {
    idle: Vec<Link>,
    /// Idle ones among them.
    open: usize,
}

/// A connection's place in the pool; given back when it goes.
struct Lease<'a> {
    store: &'a PostgresStore,
    link: Option<Link>,
}

impl Lease<'_> {
    /// It is as it was.
    fn keep(mut self, link: Link) {
        self.link = Some(link);
    }
}

impl Drop for Lease<'_> {
    fn drop(&mut self) {
        let mut pool = self.store.lock();
        match self.link.take() {
            Some(link) => pool.idle.push(link),
            None => pool.open -= 1,
        }
        drop(pool);
        self.store.freed.notify_one();
    }
}

impl PostgresStore {
    fn lock(&self) -> MutexGuard<'_, Pool> {
        self.pool.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A connection, and whether it has been used before.
    fn lease(&self, until: &Deadline) -> Result<(Lease<'_>, Link, bool), Fault> {
        let mut pool = self.lock();
        loop {
            if let Some(link) = pool.idle.pop() {
                return Ok((Lease { store: self, link: None }, link, true));
            }
            if pool.open < self.target.readers {
                pool.open += 1;
                drop(pool);
                let lease = Lease { store: self, link: None };
                let link = Link::open(&self.target, until.at().min(Instant::now() + self.target.timeout))?;
                return Ok((lease, link, false));
            }
            let nap = until.nap();
            if nap.is_zero() {
                return Err(Fault::Late);
            }
            pool = self.freed.wait_timeout(pool, nap).unwrap_or_else(PoisonError::into_inner).0;
        }
    }

    /// Does something over a connection. One that lay idle may be dead without knowing; then it is done over a new one,
    /// as long as `again` says that nobody has noticed.
    fn with<T>(
        &self,
        until: &Deadline,
        mut work: impl FnMut(&Link) -> Result<T, Fault>,
        again: impl Fn() -> bool,
    ) -> Result<T, Fault> {
        loop {
            let (lease, link, used) = self.lease(until)?;
            let outcome = work(&link);
            match outcome {
                Ok(_) => lease.keep(link),
                Err(Fault::Away(_)) if used && again() => {
                    // The others are as old.
                    drop((lease, link));
                    let dead = {
                        let mut pool = self.lock();
                        pool.open -= pool.idle.len();
                        std::mem::take(&mut pool.idle)
                    };
                    drop(dead);
                    self.freed.notify_all();
                    continue;
                }
                Err(_) => {
                    if until.has_left() {
                        link.cancel(&self.target);
                    }
                    drop(lease);
                }
            }
            return outcome;
        }
    }

    fn once<T>(&self, work: impl FnMut(&Link) -> Result<T, Fault>) -> Result<T, Trouble> {
        self.with(&self.until().into(), work, || true).map_err(Fault::trouble)
    }

    fn until(&self) -> Instant {
        Instant::now() + self.target.timeout
    }

    fn read(&self, link: &Link, scan: &Scan, each: &mut dyn FnMut(&Row<'_>) -> ControlFlow<()>) -> Result<End, Fault> {
        let until = &scan.deadline;
        let ask = |scan: &Scan| Question::of(scan, &self.target.table, self.target.max_age);
        let millis = until.at().saturating_duration_since(Instant::now()).as_millis().max(1);
        // Whatever goes wrong, the connection is given up, and with it transaction and cursor.
        link.batch(until, &format!("BEGIN READ ONLY; SET LOCAL statement_timeout = {millis}"))?;
        let mut question = ask(scan);
        question.sql.push_str(&format!(" LIMIT {PAGE}"));
        let page = link.run(until, give(link, &question, each))?;
        let mut end = page.end(PAGE);
        if let (None, Some(after)) = (end, page.last) {
            question = ask(&Scan { after: Some(after), ..scan.clone() });
            question.sql.insert_str(0, "DECLARE scan NO SCROLL CURSOR FOR ");
            link.run(until, link.client().execute_typed(&question.sql, &question.parameters()))?;
            let mut helping = PAGE;
            while end.is_none() {
                helping = HELPING.min(helping * 2);
                question = Question::plain(format!("FETCH FORWARD {helping} FROM scan"));
                end = link.run(until, give(link, &question, each))?.end(helping);
            }
        }
        link.batch(until, "ROLLBACK")?;
        Ok(end.unwrap_or(End::All))
    }
}

/// Rows that were given.
struct Given {
    count: usize,
    last: Option<Cursor>,
    enough: bool,
}

impl Given {
    /// How that ended, if it was so many that were asked for.
    fn end(&self, asked: usize) -> Option<End> {
        if self.enough {
            return Some(End::Enough);
        }
        (self.count < asked).then_some(End::All)
    }
}

/// Asks, and gives on rows as they are read from the socket, so that one after another is in memory.
async fn give(
    link: &Link,
    question: &Question,
    each: &mut dyn FnMut(&Row<'_>) -> ControlFlow<()>,
) -> Result<Given, tokio_postgres::Error> {
    let mut rows = pin!(link.client().query_typed_raw(&question.sql, question.parameters()).await?);
    let mut given = Given { count: 0, last: None, enough: false };
    while let Some(row) = rows.try_next().await? {
        let archived: Option<Moment> = row.try_get(6)?;
        let text: Option<&str> = row.try_get(7)?;
        let raw: Option<&[u8]> = match text {
            Some(text) => Some(text.as_bytes()),
            None => row.try_get(8)?,
        };
        let found = Row {
            position: u64::try_from(row.try_get::<_, i64>(0)?).unwrap_or_default(),
            timestamp: row.try_get::<_, Moment>(1)?.timestamp(row.try_get(2)?),
            severity: u8::try_from(row.try_get::<_, i16>(3)?).unwrap_or_default(),
            kind: row.try_get(4)?,
            logger: row.try_get(5)?,
            archived: archived.map(|moment| moment.timestamp(0)),
            raw: raw.unwrap_or_default(),
        };
        given.count += 1;
        given.last = Some(found.cursor());
        if each(&found).is_break() {
            given.enough = true;
            break;
        }
    }
    Ok(given)
}

impl Store for PostgresStore {
    fn scan(&self, scan: &Scan, each: &mut dyn FnMut(&Row<'_>) -> ControlFlow<()>) -> Result<End, Trouble> {
        if scan.deadline.is_over() {
            return Ok(End::Late);
        }
        let given = Cell::new(false);
        let mut noting = |row: &Row<'_>| {
            given.set(true);
            each(row)
        };
        match self.with(&scan.deadline, |link| self.read(link, scan, &mut noting), || !given.get()) {
            Err(Fault::Late) => Ok(End::Late),
            outcome => outcome.map_err(Fault::trouble),
        }
    }

    fn change(&self, change: Change, of: &[u64]) -> Result<u64, Trouble> {
        let table = self.target.table.quoted();
        let (what, which) = match change {
            Change::Archive => (format!("UPDATE {table} SET archived = now()"), "archived IS NULL"),
            Change::Restore => (format!("UPDATE {table} SET archived = NULL"), "archived IS NOT NULL"),
            Change::Delete => (format!("DELETE FROM {table}"), "true"),
        };
        let sql = format!("{what} WHERE position = ANY ($1) AND {which} AND {ALIVE}");
        let positions = positions(of);
        self.once(|link| link.run(self.until(), link.client().execute_typed(&sql, &[(&positions, Type::INT8_ARRAY)])))
    }

    fn size(&self) -> Result<Size, Trouble> {
        let table = self.target.table.quoted();
        // By indexes alone; what has expired and is not deleted yet has an index of its own.
        let expired = "expires <= now()";
        let end = |direction: &str| {
            format!(
                "SELECT ts, ts_nanos FROM {table} WHERE {ALIVE} ORDER BY ts {direction}, ts_nanos {direction} LIMIT 1"
            )
        };
        let counts = format!(
            "SELECT (SELECT count(*) FROM {table}) - (SELECT count(*) FROM {table} WHERE {expired}), \
             (SELECT count(*) FROM {table} WHERE archived IS NOT NULL AND {ALIVE}), \
             (SELECT coalesce(sum(pg_total_relation_size(relid)), 0)::bigint FROM pg_partition_tree($1::text::regclass))"
        );
        self.once(|link| {
            let until = self.until();
            let row = link.run(until, link.client().query_typed_one(&counts, &[(&table, Type::TEXT)]))?;
            let number = |at: usize| u64::try_from(row.try_get::<_, i64>(at).unwrap_or_default()).unwrap_or_default();
            let moment = |direction: &str| -> Result<Option<Timestamp>, Fault> {
                let row = link.run(until, link.client().query_typed_opt(&end(direction), &[]))?;
                Ok(row.and_then(|row| Some(row.try_get::<_, Moment>(0).ok()?.timestamp(row.try_get(1).ok()?))))
            };
            let (oldest, newest) = (moment("ASC")?, moment("DESC")?);
            Ok(Size { messages: number(0), archived: number(1), bytes: number(2), oldest, newest })
        })
    }

    fn backup(&self, _: &str) -> Result<Backup, Trouble> {
        let name = self.target.table.name();
        Err(Trouble::Refused(format!(
            "messages in PostgreSQL are backed up with its own tools, such as `pg_dump --table='{name}*'`"
        )))
    }

    fn backups(&self) -> Result<Vec<Backup>, Trouble> {
        Ok(Vec::new())
    }
}

impl Configured for PostgresStore {
    type Config = Config;

    fn check(config: &Config) -> Result<(), String> {
        config.check()
    }

    fn examine(config: &Config) -> Result<Vec<String>, String> {
        config.examine()
    }

    fn open(config: Config) -> Result<Self, String> {
        Ok(PostgresStore { target: config.target()?, pool: Mutex::default(), freed: Condvar::new() })
    }
}

inventory::submit! {
    StoreEntry::of::<PostgresStore>("postgres")
}
