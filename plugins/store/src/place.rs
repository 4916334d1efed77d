//! Where a message stands in the file. Its id counts within one spool; a spool that was begun anew, or another router's,
//! counts from the beginning again, and its messages must not be taken for those that stand there.

use rusqlite::{Connection, Error, OptionalExtension};

/// Ids that share a range; those beyond get a range of their own.
const BITS: u32 = 40;

/// Ranges there can be: what is left of a position that is no negative number.
const MOST: i64 = 1 << (63 - BITS);

/// The range that was asked for last.
#[derive(Debug, Clone, Copy, Default)]
pub struct Places(Option<Range>);

#[derive(Debug, Clone, Copy)]
struct Range {
    spool: u64,
    block: u64,
    number: i64,
}

impl Places {
    /// The position of this id.
    pub fn of(&mut self, connection: &Connection, spool: u64, id: u64) -> rusqlite::Result<i64> {
        let block = id >> BITS;
        let range = match self.0.filter(|range| (range.spool, range.block) == (spool, block)) {
            Some(range) => range,
            None => *self.0.insert(Range { spool, block, number: number(connection, spool, block)? }),
        };
        Ok(range.number << BITS | (id & ((1 << BITS) - 1)).cast_signed())
    }
}

/// The number of a range, taken now if nobody has it: that of its ids, so that positions are ids, where nothing else stands
/// there.
fn number(connection: &Connection, spool: u64, block: u64) -> rusqlite::Result<i64> {
    let name = format!("spool {spool:016x} {block}");
    let mut find = connection.prepare_cached("SELECT value FROM figures WHERE name = ?1")?;
    if let Some(number) = find.query_row([&name], |row| row.get(0)).optional()? {
        return Ok(number);
    }
    // A file may have messages that are older than its ranges.
    let next: i64 = connection.query_row(
        "SELECT max(coalesce((SELECT max(value) + 1 FROM figures WHERE name GLOB 'spool *'), 0),
                    coalesce((SELECT (max(position) >> ?1) + 1 FROM messages), 0))",
        [BITS],
        |row| row.get(0),
    )?;
    let own = i64::try_from(block).unwrap_or(MOST);
    let number = if own >= next && own < MOST { own } else { next };
    if number >= MOST {
        return Err(Error::IntegralValueOutOfRange(0, number));
    }
    connection.execute("INSERT INTO figures VALUES (?1, ?2)", (name, number))?;
    Ok(number)
}
