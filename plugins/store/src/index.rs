//! The index of words, in generations: a table of FTS5 takes the words of some messages that came one after the other,
//! then the next begins. Retention takes what came first, so whole generations go at once. Taking the messages out one by
//! one, by FTS5's own `contentless_delete`, made its merges crawl: writing to a full store took twenty times as long. So
//! it is done only for what somebody deletes, and by telling FTS5 the words.
//!
//! Words are cut by `metlog_query::words`, so the tokenizer finds nothing but the blanks between them. A hit may name a
//! message that is gone; positions never come back, so nobody finds another in its place.

use metlog_query::Facts;
use rusqlite::{Connection, OptionalExtension};

/// Larger pieces at once, put together later: a tenth less time than with FTS5's own values.
const MERGING: [(&str, i64); 4] = [("hashsize", 32 << 20), ("automerge", 16), ("crisismerge", 64), ("pgsz", 16_000)];

/// A generation is a quarter of all messages, but no less and no more than this. The one that is going out wastes at most
/// so much, and a question asks each of them.
const SIZE: std::ops::RangeInclusive<i64> = 2000..=1_000_000;

/// Where the words of what is written now go.
pub struct Generation {
    number: i64,
    /// Puts a position and its words in.
    pub insert: String,
}

/// Whether there is an index of words.
pub fn is_on(connection: &Connection) -> rusqlite::Result<bool> {
    connection.prepare_cached("SELECT EXISTS (SELECT 1 FROM generations)")?.query_row([], |row| row.get(0))
}

/// Makes an index, which holds for what comes from now on, or lets go of it.
pub fn switch(connection: &Connection, wanted: bool) -> rusqlite::Result<()> {
    match (wanted, is_on(connection)?) {
        (true, false) => {
            begin(connection)?;
            connection.execute(
                "UPDATE figures SET value = (SELECT coalesce(max(position), -1) FROM messages) WHERE name = 'unworded'",
                [],
            )?;
        }
        (false, true) => {
            for number in numbers(connection, "1", [])? {
                drop(connection, number)?;
            }
        }
        _ => {}
    }
    Ok(())
}

fn begin(connection: &Connection) -> rusqlite::Result<i64> {
    connection.execute("INSERT INTO generations(first, last, messages) VALUES (9223372036854775807, -1, 0)", [])?;
    let number = connection.last_insert_rowid();
    connection.execute_batch(&format!(
        "CREATE VIRTUAL TABLE words_{number} USING fts5(
            line, content = '', columnsize = 0, tokenize = 'ascii', detail = 'none')"
    ))?;
    for (name, value) in MERGING {
        let set = format!("INSERT INTO words_{number}(words_{number}, rank) VALUES (?1, ?2)");
        connection.execute(&set, (name, value))?;
    }
    Ok(number)
}

fn drop(connection: &Connection, number: i64) -> rusqlite::Result<()> {
    connection.execute("DELETE FROM generations WHERE number = ?1", [number])?;
    connection.execute_batch(&format!("DROP TABLE words_{number}"))
}

fn numbers(connection: &Connection, which: &str, values: impl rusqlite::Params) -> rusqlite::Result<Vec<i64>> {
    let mut find =
        connection.prepare_cached(&format!("SELECT number FROM generations WHERE {which} ORDER BY number"))?;
    find.query_map(values, |row| row.get(0))?.collect()
}

impl Generation {
    /// The one for the next batch; none if words are not indexed.
    pub fn current(connection: &Connection, messages: i64) -> rusqlite::Result<Option<Self>> {
        let mut find =
            connection.prepare_cached("SELECT number, messages FROM generations ORDER BY number DESC LIMIT 1")?;
        let latest: Option<(i64, i64)> = find.query_row([], |row| Ok((row.get(0)?, row.get(1)?))).optional()?;
        let Some((latest, holds)) = latest else { return Ok(None) };
        let full = holds >= (messages / 4).clamp(*SIZE.start(), *SIZE.end());
        let number = if full { begin(connection)? } else { latest };
        Ok(Some(Generation { number, insert: format!("INSERT INTO words_{number}(rowid, line) VALUES (?1, ?2)") }))
    }

    /// Notes that so many messages between these positions went in.
    pub fn took(&self, connection: &Connection, (first, last): (i64, i64), messages: i64) -> rusqlite::Result<()> {
        let mut note = connection.prepare_cached(
            "UPDATE generations SET first = min(first, ?2), last = max(last, ?3), messages = messages + ?4
             WHERE number = ?1",
        )?;
        note.execute((self.number, first, last, messages)).map(|_| ())
    }
}

/// Lets go of a generation that no message is left of. Whether there was one.
pub fn let_go(connection: &Connection) -> rusqlite::Result<bool> {
    let gone = numbers(
        connection,
        "number < (SELECT max(number) FROM generations)
         AND NOT EXISTS (SELECT 1 FROM messages WHERE position BETWEEN first AND last)",
        [],
    )?;
    let Some(number) = gone.first() else { return Ok(false) };
    drop(connection, *number)?;
    Ok(true)
}

/// Takes the words of this message out, which is still there. FTS5 has to be told what they were.
pub fn forget(connection: &Connection, position: i64) -> rusqlite::Result<()> {
    let mut find = connection.prepare_cached(
        "SELECT raw FROM messages WHERE position = ?1
         AND position > (SELECT value FROM figures WHERE name = 'unworded')",
    )?;
    let raw: Option<Vec<u8>> = find.query_row([position], |row| row.get(0)).optional()?;
    let mut words = String::new();
    if raw.and_then(|raw| Facts::of_many(&raw, Some(&mut words))).is_none() || words.is_empty() {
        return Ok(());
    }
    // Generations overlap where messages came once more; told to forget what it never took, FTS5 would count wrong.
    let first = format!("\"{}\"", words.split(' ').next().unwrap_or_default());
    for number in numbers(connection, "?1 BETWEEN first AND last", [position])? {
        let mut has = connection.prepare_cached(&format!(
            "SELECT EXISTS (SELECT 1 FROM words_{number} WHERE words_{number} MATCH ?1 AND rowid = ?2)"
        ))?;
        if !has.query_row((&first, position), |row| row.get::<_, bool>(0))? {
            continue;
        }
        let delete = format!("INSERT INTO words_{number}(words_{number}, rowid, line) VALUES ('delete', ?1, ?2)");
        connection.prepare_cached(&delete)?.execute((position, &words))?;
    }
    Ok(())
}

/// Positions of messages with these words, in order: at least so many if there are more.
pub fn hits(connection: &Connection, question: &str, most: usize) -> rusqlite::Result<Vec<i64>> {
    let mut hits: Vec<i64> = Vec::new();
    for number in numbers(connection, "1", [])? {
        let mut find = connection.prepare_cached(&format!(
            "SELECT rowid FROM words_{number} WHERE words_{number} MATCH ?1 ORDER BY rowid LIMIT ?2"
        ))?;
        let left = i64::try_from(most.saturating_sub(hits.len())).unwrap_or(i64::MAX);
        for position in find.query_map((question, left), |row| row.get::<_, i64>(0))? {
            hits.push(position?);
        }
        if hits.len() >= most {
            break;
        }
    }
    // What was delivered again after it was gone stands in a later generation than its neighbours.
    hits.sort_unstable();
    hits.dedup();
    Ok(hits)
}
