//! Messages that are in the file already, at another position: sent again to a router that had forgotten them, or taken
//! by two routers of a fleet, one of which was killed before it could say so.
//!
//! They are looked for by their time, which has an index. Most need no looking: what has been written since the file was
//! opened is remembered, and nothing else in the file is later than its latest message was then.

use foldhash::fast::RandomState;
use metlog_query::Facts;
use rusqlite::{CachedStatement, Connection};
use std::collections::HashSet;
use std::hash::BuildHasher;

/// Messages remembered, in each of two generations.
const GENERATION: usize = 65_536;

/// Messages of one nanosecond that are compared: more are no client's with a clock, and each costs as much as a row.
const COMPARED: i64 = 1000;

/// What is known without looking.
pub struct Again {
    /// Later messages in the file are remembered.
    floor: i64,
    young: Generation,
    old: Generation,
    hashing: RandomState,
}

/// Some messages, by a hash of what makes them the same.
struct Generation {
    seen: HashSet<u64, RandomState>,
    /// Their latest time.
    latest: i64,
}

impl Default for Generation {
    fn default() -> Self {
        Generation { seen: HashSet::default(), latest: i64::MIN }
    }
}

impl Default for Again {
    fn default() -> Self {
        Again {
            floor: i64::MAX,
            young: Generation::default(),
            old: Generation::default(),
            hashing: RandomState::default(),
        }
    }
}

impl Again {
    /// Somebody else has written, or may have.
    pub fn begin(&mut self, connection: &Connection) -> rusqlite::Result<()> {
        let mut latest = connection.prepare_cached("SELECT max(time) FROM messages")?;
        self.floor = latest.query_row([], |row| row.get::<_, Option<i64>>(0))?.unwrap_or(i64::MIN);
        Ok(())
    }

    /// How to look into the file.
    pub fn look(connection: &Connection) -> rusqlite::Result<CachedStatement<'_>> {
        connection
            .prepare_cached(&format!("SELECT raw FROM messages INDEXED BY by_time WHERE time = ?1 LIMIT {COMPARED}"))
    }

    /// Whether this message is in the file. If not, it is about to be.
    pub fn knows(&mut self, look: &mut CachedStatement<'_>, facts: &Facts, raw: &[u8]) -> rusqlite::Result<bool> {
        if facts.origin.is_none() && facts.id.is_none() {
            return Ok(false);
        }
        let time = facts.timestamp.nanos();
        let hash = match &facts.origin {
            Some((client, seq)) => self.hashing.hash_one((time, client, seq)),
            None => self.hashing.hash_one((time, raw)),
        };
        let perhaps = time <= self.floor || self.old.seen.contains(&hash) || self.young.seen.contains(&hash);
        if perhaps && is_there(look, facts, raw)? {
            return Ok(true);
        }
        if self.young.seen.len() >= GENERATION {
            let dropped = std::mem::replace(&mut self.old, std::mem::take(&mut self.young));
            self.floor = self.floor.max(dropped.latest);
        }
        self.young.seen.insert(hash);
        self.young.latest = self.young.latest.max(time);
        Ok(false)
    }
}

fn is_there(look: &mut CachedStatement<'_>, facts: &Facts, raw: &[u8]) -> rusqlite::Result<bool> {
    let mut rows = look.query([facts.timestamp.nanos()])?;
    while let Some(row) = rows.next()? {
        let there = row.get_ref(0)?.as_blob().unwrap_or_default();
        if facts.is_again(raw, there) {
            return Ok(true);
        }
    }
    Ok(false)
}
