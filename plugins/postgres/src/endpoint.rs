use crate::care::{self, Care};
use crate::config::{Config, Target};
use crate::link::{Fault, Link};
use crate::months::{self, Month, Window};
use crate::positions::Positions;
use crate::rows::{Columns, INSERT, TYPES};
use metlog_message::Timestamp;
use metlog_pipeline::registry::Configured;
use metlog_pipeline::{Endpoint, EndpointEntry, Pacing, Picked, SendError, inventory};
use std::collections::BTreeSet;
use std::ops::Range;
use std::time::{Duration, Instant};
use tokio_postgres::Statement;

/// Rows of one statement at the most: ten times as many are no faster, and hold locks ten times as long.
const PER_INSERT: usize = 2000;

/// Bytes of messages in one statement, except for a single larger one; what goes to the server is two or three times that,
/// and it takes a gigabyte at the most.
const BYTES: usize = 4 * 1024 * 1024;

/// For so long nobody tries again to make a partition that could not be made.
const LATER: Duration = Duration::from_secs(60);

/// Writes messages as rows.
pub struct PostgresEndpoint {
    target: Target,
    writer: Option<Writer>,
    care: Care,
    /// Until then new months' messages go to the default partition.
    no_months_before: Option<Instant>,
    /// Those of the last message.
    positions: Option<Positions>,
}

/// A connection that is ready to write.
struct Writer {
    link: Link,
    insert: Statement,
    months: BTreeSet<Month>,
    /// It has worked: since then the server may have gone without a word.
    proven: bool,
}

impl Writer {
    fn open(target: &Target) -> Result<Self, Fault> {
        let until = Instant::now() + target.timeout;
        let link = Link::open(target, until)?;
        let sql = format!("INSERT INTO {}{INSERT}", target.table.quoted());
        let insert = link.run(until, link.client().prepare_typed(&sql, &TYPES))?;
        let months = months::existing(&link, &target.table, until)?;
        Ok(Writer { link, insert, months, proven: false })
    }

    fn insert(&mut self, rows: &Columns<'_>, range: Range<usize>, timeout: Duration) -> Result<(), Fault> {
        let part = rows.part(range);
        let parameters = part.parameters();
        // It may say fewer rows: others were there already.
        self.link.run(Instant::now() + timeout, self.link.client().execute(&self.insert, &parameters))?;
        self.proven = true;
        Ok(())
    }
}

impl PostgresEndpoint {
    fn writer(&mut self) -> Result<&mut Writer, Fault> {
        if self.writer.is_none() {
            self.writer = Some(Writer::open(&self.target)?);
            // It may be another table by now.
            self.positions = None;
        }
        self.writer.as_mut().ok_or_else(|| Fault::Away("the connection is closed".into()))
    }

    /// The position of a message.
    fn position(&mut self, spool: u64, id: u64) -> Result<i64, Fault> {
        loop {
            if let Some(position) = self.positions.and_then(|positions| positions.of(spool, id)) {
                return Ok(position);
            }
            let Target { table, timeout, .. } = self.target.clone();
            let writer = self.writer()?;
            let proven = writer.proven;
            match Positions::find(&writer.link, &table, spool, id, Instant::now() + timeout) {
                Ok(positions) => self.positions = Some(positions),
                // Once more, over a new connection.
                Err(Fault::Away(_)) if proven => self.writer = None,
                Err(fault) => {
                    self.writer = None;
                    return Err(fault);
                }
            }
        }
    }

    /// Makes the partitions that these messages need, as far as that is possible now; there is always the default one.
    fn months(&mut self, needed: &BTreeSet<Month>) -> Result<(), Fault> {
        if self.no_months_before.is_some_and(|before| Instant::now() < before) {
            return Ok(());
        }
        self.no_months_before = None;
        let Target { table, timeout, .. } = self.target.clone();
        for month in needed {
            let writer = self.writer()?;
            if writer.months.contains(month) {
                continue;
            }
            match months::make(&writer.link, &table, *month, Instant::now() + timeout) {
                Ok(()) => drop(writer.months.insert(*month)),
                Err(fault) => {
                    self.writer = None;
                    self.no_months_before = Some(Instant::now() + LATER);
                    self.care.note(format!("no partition for a month: {}", SendError::from(fault)));
                    return Ok(());
                }
            }
        }
        Ok(())
    }

    /// Writes rows; those whose values cannot be stored are named, with the reason.
    fn insert(&mut self, rows: &Columns<'_>) -> Result<Vec<(usize, String)>, Fault> {
        let timeout = self.target.timeout;
        let mut refused = Vec::new();
        let mut open: Vec<Range<usize>> = rows.helpings(PER_INSERT, BYTES);
        open.reverse();
        while let Some(range) = open.pop() {
            let writer = self.writer()?;
            let proven = writer.proven;
            match writer.insert(rows, range.clone(), timeout) {
                Ok(()) => {}
                Err(Fault::Away(_)) if proven => {
                    // Once more, over a new connection.
                    self.writer = None;
                    open.push(range);
                }
                Err(Fault::Data(why)) if range.len() == 1 => refused.push((range.start, why)),
                Err(Fault::Data(_)) => {
                    let middle = range.start + range.len() / 2;
                    open.push(middle..range.end);
                    open.push(range.start..middle);
                }
                Err(fault) => {
                    // What was written so far is found there and left alone the next time.
                    self.writer = None;
                    return Err(fault);
                }
            }
        }
        Ok(refused)
    }
}

impl Endpoint for PostgresEndpoint {
    fn write(&mut self, batch: &Picked<'_>) -> Result<(), SendError> {
        let window = Window::at(Timestamp::now(), self.target.max_age);
        let (mut rows, mut places, mut refused) = (Columns::default(), Vec::new(), Vec::new());
        let (mut needed, mut current) = (BTreeSet::new(), None);
        for (at, (raw, id)) in batch.lines().iter().zip(batch.ids()).enumerate() {
            let position = self.position(batch.spool(), *id)?;
            match rows.push(position, raw) {
                Ok(moment) => {
                    places.push(at);
                    note_month(moment, &window, &mut current, &mut needed);
                }
                Err(why) => refused.push((at, why)),
            }
        }
        if rows.len() > 0 {
            self.months(&needed)?;
            for (row, why) in self.insert(&rows)? {
                refused.extend(places.get(row).map(|at| (*at, why)));
            }
        }
        refused.sort_unstable();
        SendError::refused(batch.ids().len(), refused)
    }

    fn tick(&mut self) -> Result<(), SendError> {
        let mut outcome = Ok(());
        if self.care.is_due() {
            let (target, now) = (self.target.clone(), Timestamp::now());
            self.care.done();
            for job in care::JOBS {
                let writer = self.writer()?;
                if let Err(fault) = job(&writer.link, &target, now, &mut writer.months) {
                    self.writer = None;
                    outcome = outcome.and(Err(fault));
                }
            }
        }
        outcome?;
        self.care.take_note().map_or(Ok(()), |note| Err(SendError::retry(note)))
    }

    fn reopen(&mut self) {
        self.writer = None;
    }

    fn pacing(&self) -> Pacing {
        // Who writes and then reads waits for this.
        let wait = Duration::from_millis(50);
        Pacing { messages: PER_INSERT, bytes: BYTES, wait, ..Pacing::default() }
    }
}

/// Messages of one month come together, and months are told apart by their text.
fn note_month(
    moment: Timestamp,
    window: &Window,
    current: &mut Option<Range<Timestamp>>,
    needed: &mut BTreeSet<Month>,
) {
    if current.as_ref().is_some_and(|range| range.contains(&moment)) {
        return;
    }
    let month = Month::of(moment);
    *current = month.begin().zip(month.next().begin()).map(|(begin, end)| begin..end);
    if window.holds(month) {
        needed.insert(month);
    }
}

impl Configured for PostgresEndpoint {
    type Config = Config;

    fn check(config: &Config) -> Result<(), String> {
        config.check()
    }

    fn examine(config: &Config) -> Result<Vec<String>, String> {
        config.examine()
    }

    fn open(config: Config) -> Result<Self, String> {
        Ok(PostgresEndpoint {
            target: config.target()?,
            writer: None,
            care: Care::default(),
            no_months_before: None,
            positions: None,
        })
    }
}

inventory::submit! {
    EndpointEntry::of::<PostgresEndpoint>("postgres", &["postgresql"], include_str!("../example.endpoint.toml"))
}
