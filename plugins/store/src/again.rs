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
    /// Messages of a generation.
    most: usize,
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
        Again::remembering(GENERATION)
    }
}

impl Again {
    fn remembering(most: usize) -> Self {
        let (young, old) = (Generation::default(), Generation::default());
        Again { floor: i64::MAX, young, old, most, hashing: RandomState::default() }
    }

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
        if self.young.seen.len() >= self.most {
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base;
    use metlog_message::message::Origin;
    use metlog_message::{Message, Timestamp, wire};

    #[test]
    fn what_is_known_is_what_is_there_however_little_is_remembered() {
        let folder = std::env::temp_dir().join(format!("metlog-store-again-{}", std::process::id()));
        let _ = std::fs::remove_dir_all(&folder);
        let connection = base::open(&folder.join("messages.db"), false).unwrap_or_else(|why| panic!("{why}"));
        let (mut again, mut there, mut state) = (Again::remembering(40), HashSet::new(), 1_u64);
        let mut random = |below: u64| {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            (state >> 33) % below
        };
        let mut known = 0;
        for round in 0..4000 {
            // As often another one as one of those before, some of them long ago; of three clients, and few moments.
            let seq = round / 2 - random(round / 2 + 1).min(random(2000));
            let client = format!("c{}", random(3));
            let mut message = Message::new("log").payload("x");
            message.timestamp = Timestamp::from_nanos((seq / 5 * 1000).cast_signed());
            message.origin = Some(Origin { client: client.clone(), seq });
            let mut raw = Vec::new();
            wire::write(&mut raw, &message);
            if round == 0 || random(500) == 0 {
                again.begin(&connection).expect("asked");
            }
            let facts = Facts::of_many(&raw, None).expect("a message");
            let mut look = Again::look(&connection).expect("prepared");
            let expected = !there.insert((client, seq));
            assert_eq!(again.knows(&mut look, &facts, &raw), Ok(expected), "round {round}, {facts:?}");
            assert!(again.young.seen.len() + again.old.seen.len() <= 2 * again.most);
            known += u64::from(expected);
            if !expected {
                let values = (round.cast_signed(), facts.timestamp.nanos(), 6, 1, 1, raw);
                let insert =
                    "INSERT INTO messages(position, time, severity, type, logger, raw) VALUES (?1, ?2, ?3, ?4, ?5, ?6)";
                connection.execute(insert, values).expect("written");
            }
        }
        assert!((500..3500).contains(&known), "{known}");
        drop(connection);
        std::fs::remove_dir_all(&folder).expect("made here");
    }
}
