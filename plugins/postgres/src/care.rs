//! What happens by the clock, once a minute: partitions ahead, months that are too old, messages that have expired.

use crate::config::Target;
use crate::link::{Fault, Link};
use crate::months::{self, Month, Window};
use crate::rows::Moment;
use metlog_message::Timestamp;
use std::collections::BTreeSet;
use std::time::{Duration, Instant};
use tokio_postgres::types::{ToSql, Type};

const EVERY: Duration = Duration::from_secs(60);

/// Rows that one statement deletes at the most, so that nobody waits long for them.
const AT_ONCE: i64 = 5000;

/// For so long one turn deletes; the rest is for the next.
const TURN: Duration = Duration::from_secs(1);

/// When it is time again, and what people should know.
#[derive(Debug, Default)]
pub struct Care {
    next: Option<Instant>,
    note: Option<String>,
}

impl Care {
    pub fn is_due(&self) -> bool {
        self.next.is_none_or(|next| Instant::now() >= next)
    }

    pub fn done(&mut self) {
        self.next = Some(Instant::now() + EVERY);
    }

    pub fn note(&mut self, note: String) {
        self.note = Some(note);
    }

    pub fn take_note(&mut self) -> Option<String> {
        self.note.take()
    }
}

/// Something to do. After an error the connection is of no use, and the next thing is done all the same.
pub type Job = fn(&Link, &Target, Timestamp, &mut BTreeSet<Month>) -> Result<(), Fault>;

/// Each turn's.
pub const JOBS: [Job; 3] = [forget_expired, forget_old, make_ahead];

fn forget_expired(link: &Link, target: &Target, _: Timestamp, _: &mut BTreeSet<Month>) -> Result<(), Fault> {
    let which = "expires <= now() AND $1::timestamptz IS NULL";
    delete(link, &target.table.quoted(), which, None, target.timeout)
}

fn forget_old(link: &Link, target: &Target, now: Timestamp, known: &mut BTreeSet<Month>) -> Result<(), Fault> {
    let Target { table, max_age, timeout, .. } = target;
    let Some(cutoff) = months::cutoff(now, *max_age) else { return Ok(()) };
    let until = || Instant::now() + *timeout;
    *known = months::existing(link, table, until())?;
    let old = |month: &Month| month.next().begin().is_some_and(|end| end <= cutoff);
    for month in known.iter().copied().filter(old).collect::<Vec<_>>() {
        months::remove(link, table, month, until())?;
        known.remove(&month);
    }
    delete(link, &table.with("_default"), "ts < $1", Some(cutoff), *timeout)
}

fn make_ahead(link: &Link, target: &Target, now: Timestamp, known: &mut BTreeSet<Month>) -> Result<(), Fault> {
    let Target { table, max_age, timeout, .. } = target;
    for month in [Month::of(now), Window::at(now, *max_age).last] {
        if !known.contains(&month) {
            months::make(link, table, month, Instant::now() + *timeout)?;
            known.insert(month);
        }
    }
    Ok(())
}

/// Deletes rows of a table bit by bit.
fn delete(link: &Link, of: &str, which: &str, before: Option<Timestamp>, timeout: Duration) -> Result<(), Fault> {
    let sql = format!(
        "DELETE FROM {of} WHERE (position, ts) IN (SELECT position, ts FROM {of} WHERE {which} LIMIT {AT_ONCE})"
    );
    let before = before.map(Moment::of);
    let parameters: [(&(dyn ToSql + Sync), Type); 1] = [(&before, Type::TIMESTAMPTZ)];
    let turn = Instant::now() + TURN;
    loop {
        let deleting = link.client().execute_typed(&sql, &parameters);
        let deleted = link.run(Instant::now() + timeout, deleting)?;
        if deleted < AT_ONCE as u64 || Instant::now() >= turn {
            return Ok(());
        }
    }
}
