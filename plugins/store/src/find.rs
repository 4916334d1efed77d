//! From bounds to rows.
//!
//! Few positions, ids, traces or hits of words are looked up one by one and put in order. Everything else is a walk along
//! the index that seems to hold least, in its own order, so that nothing is ever sorted and the first rows come at once.
//! Several types (or loggers, or severities) are several walks that SQLite merges.

use crate::index;
use crate::reading::Reading;
use crate::walk::{Asked, Walk, indexed};
use metlog_message::Timestamp;
use metlog_query::{End, Narrow, Row, Scan, words};
use rusqlite::{Connection, params_from_iter};
use std::collections::HashMap;
use std::ops::ControlFlow;
use std::sync::Arc;

/// So many hits are looked up one by one; more are met on a walk.
const FEW: usize = 20_000;

/// Rows of a walk that are given without asking the index of words. Whoever wants more gets the list of all hits.
const FREELY: usize = 2_000;

/// Hits of words that are remembered during a walk, 32 MiB; with more, all rows are given.
const HITS: usize = 4_000_000;

/// Names remembered by a connection.
const NAMES: usize = 16_384;

/// The words that are wanted, as a question to their index.
struct Hits {
    question: String,
    /// Messages up to here are not in the index.
    unworded: i64,
}

impl Hits {
    /// None if no words are wanted, or there is no index.
    fn of(connection: &Connection, narrow: &Narrow) -> rusqlite::Result<Option<Self>> {
        let mut terms = Vec::new();
        for (text, begins) in &narrow.words {
            // As the tokenizer would cut it, were it no word of ours; so nothing can be smuggled into the question.
            let mut cut: Vec<&str> = text
                .split(|symbol: char| symbol.is_ascii() && !symbol.is_ascii_alphanumeric())
                .filter(|piece| !piece.is_empty() && piece.len() <= words::LONGEST)
                .collect();
            let last = cut.pop();
            terms.extend(cut.into_iter().map(|word| format!("\"{word}\"")));
            terms.extend(last.map(|word| if *begins { format!("\"{word}\"*") } else { format!("\"{word}\"") }));
        }
        if terms.is_empty() || !index::is_on(connection)? {
            return Ok(None);
        }
        let mut figure = connection.prepare_cached("SELECT value FROM figures WHERE name = 'unworded'")?;
        let unworded = figure.query_row([], |row| row.get(0))?;
        let mut first = connection.prepare_cached("SELECT min(position) FROM messages")?;
        let first: Option<i64> = first.query_row([], |row| row.get(0))?;
        let unworded = if first.is_some_and(|first| first <= unworded) { unworded } else { -1 };
        Ok(Some(Hits { question: terms.join(" AND "), unworded }))
    }
}

/// Gives every row inside the bounds, in order.
pub fn scan(
    reading: &mut Reading,
    scan: &Scan,
    each: &mut dyn FnMut(&Row<'_>) -> ControlFlow<()>,
) -> rusqlite::Result<End> {
    // One state of the file for all questions that follow.
    reading.connection.execute_batch("BEGIN")?;
    let end = within(reading, scan, each);
    let over = reading.connection.execute_batch("ROLLBACK");
    end.and_then(|end| over.map(|()| end))
}

fn within(
    reading: &mut Reading,
    scan: &Scan,
    each: &mut dyn FnMut(&Row<'_>) -> ControlFlow<()>,
) -> rusqlite::Result<End> {
    let narrow = &scan.narrow;
    let Some(asked) = Asked::of(&reading.connection, scan)? else { return Ok(End::All) };
    if let Some(points) = points(&reading.connection, &asked, narrow)? {
        return one_by_one(reading, scan, points, each);
    }
    let hits = Hits::of(&reading.connection, narrow)?;
    if let Some(hits) = &hits
        && hits.unworded < 0
    {
        let few = index::hits(&reading.connection, &hits.question, FEW + 1)?;
        if few.len() <= FEW {
            let points = times(&reading.connection, &asked, few)?;
            return one_by_one(reading, scan, points, each);
        }
    }
    let walk = Walk::choose(&reading.connection, &asked, narrow)?;
    match hits {
        Some(hits) => along_hits(reading, scan, &asked, (&walk, &hits), each),
        None => along(reading, scan, &asked, &walk, each),
    }
}

/// A place in the order.
type Point = (i64, i64);

/// Where the messages stand that the bounds name one by one; none if they name none.
fn points(connection: &Connection, asked: &Asked, narrow: &Narrow) -> rusqlite::Result<Option<Vec<Point>>> {
    if !narrow.positions.is_empty() {
        let mut positions: Vec<i64> = narrow.positions.iter().filter_map(|at| i64::try_from(*at).ok()).collect();
        positions.sort_unstable();
        positions.dedup();
        return times(connection, asked, positions).map(Some);
    }
    let lists = [("by_id", "id", indexed(&narrow.ids)), ("by_trace", "trace", indexed(&narrow.traces))];
    let Some((index, column, list)) = lists.into_iter().find(|(_, _, list)| !list.is_empty()) else { return Ok(None) };
    let mut find = connection.prepare_cached(&format!(
        "SELECT position FROM messages INDEXED BY {index} WHERE {column} = ?1 LIMIT {HITS}"
    ))?;
    let mut positions = Vec::new();
    for text in list {
        for position in find.query_map([text], |row| row.get::<_, i64>(0))? {
            positions.push(position?);
        }
        if positions.len() >= HITS {
            return Ok(None);
        }
    }
    positions.sort_unstable();
    positions.dedup();
    drop(find);
    times(connection, asked, positions).map(Some)
}

/// When these messages happened, of those inside the bounds.
fn times(connection: &Connection, asked: &Asked, positions: Vec<i64>) -> rusqlite::Result<Vec<Point>> {
    let any: Vec<&str> = asked.spans.iter().map(|span| if span.sql.is_empty() { "1" } else { &span.sql }).collect();
    let mut find = connection.prepare_cached(&format!(
        "SELECT time FROM messages WHERE position = ? AND {} AND (({}))",
        asked.rest.sql,
        any.join(") OR (")
    ))?;
    let values = asked.rest.values.iter().chain(asked.spans.iter().flat_map(|span| &span.values));
    for (at, value) in values.enumerate() {
        find.raw_bind_parameter(at + 2, value)?;
    }
    let mut points = Vec::new();
    for position in positions {
        find.raw_bind_parameter(1, position)?;
        let mut rows = find.raw_query();
        if let Some(row) = rows.next()? {
            points.push((row.get(0)?, position));
        }
    }
    points.sort_unstable();
    if asked.newest_first {
        points.reverse();
    }
    Ok(points)
}

const COLUMNS: &str = "time, position, severity, type, logger, archived, raw";

/// The name of this number, remembered.
fn name(connection: &Connection, names: &mut HashMap<i64, Arc<str>>, number: i64) -> rusqlite::Result<Arc<str>> {
    if let Some(name) = names.get(&number) {
        return Ok(name.clone());
    }
    let mut find = connection.prepare_cached("SELECT name FROM names WHERE number = ?1")?;
    let name: Arc<str> = find.query_row([number], |row| row.get::<_, String>(0))?.into();
    if names.len() >= NAMES {
        names.clear();
    }
    names.insert(number, name.clone());
    Ok(name)
}

/// Calls with a row of [`COLUMNS`].
fn give(
    row: &rusqlite::Row<'_>,
    name: &mut dyn FnMut(i64) -> rusqlite::Result<Arc<str>>,
    each: &mut dyn FnMut(&Row<'_>) -> ControlFlow<()>,
) -> rusqlite::Result<ControlFlow<()>> {
    let (kind, logger) = (name(row.get(3)?)?, name(row.get(4)?)?);
    Ok(each(&Row {
        timestamp: Timestamp::from_nanos(row.get(0)?),
        position: row.get::<_, i64>(1)?.cast_unsigned(),
        severity: row.get(2)?,
        kind: &kind,
        logger: &logger,
        archived: row.get::<_, Option<i64>>(5)?.map(Timestamp::from_nanos),
        raw: row.get_ref(6)?.as_bytes()?,
    }))
}

fn one_by_one(
    reading: &mut Reading,
    scan: &Scan,
    points: Vec<Point>,
    each: &mut dyn FnMut(&Row<'_>) -> ControlFlow<()>,
) -> rusqlite::Result<End> {
    let Reading { connection, names, .. } = reading;
    let mut fetch = connection.prepare_cached(&format!("SELECT {COLUMNS} FROM messages WHERE position = ?1"))?;
    for (_, position) in points {
        if scan.deadline.is_over() {
            return Ok(End::Late);
        }
        let mut rows = fetch.query([position])?;
        let Some(row) = rows.next()? else { continue };
        if give(row, &mut |number| name(connection, names, number), each)?.is_break() {
            return Ok(End::Enough);
        }
    }
    Ok(End::All)
}

fn along(
    reading: &mut Reading,
    scan: &Scan,
    asked: &Asked,
    walk: &Walk,
    each: &mut dyn FnMut(&Row<'_>) -> ControlFlow<()>,
) -> rusqlite::Result<End> {
    let Reading { connection, names, .. } = reading;
    let question = walk.question(asked, COLUMNS);
    let mut find = connection.prepare_cached(&question.sql)?;
    let mut rows = find.query(params_from_iter(question.values))?;
    while let Some(row) = rows.next()? {
        if scan.deadline.is_over() {
            return Ok(End::Late);
        }
        if give(row, &mut |number| name(connection, names, number), each)?.is_break() {
            return Ok(End::Enough);
        }
    }
    Ok(End::All)
}

/// A walk that meets the hits of words. Where they are frequent, the first rows are there before all hits are known.
fn along_hits(
    reading: &mut Reading,
    scan: &Scan,
    asked: &Asked,
    (walk, hits): (&Walk, &Hits),
    each: &mut dyn FnMut(&Row<'_>) -> ControlFlow<()>,
) -> rusqlite::Result<End> {
    let Reading { connection, names, .. } = reading;
    let question = walk.question(asked, "time, position");
    let mut find = connection.prepare_cached(&question.sql)?;
    let mut fetch = connection.prepare_cached(&format!("SELECT {COLUMNS} FROM messages WHERE position = ?1"))?;
    let mut keys = find.query(params_from_iter(question.values))?;
    let mut freely = if scan.narrow.exact { 0 } else { FREELY };
    let mut known: Option<Vec<i64>> = None;
    while let Some(key) = keys.next()? {
        if scan.deadline.is_over() {
            return Ok(End::Late);
        }
        let position: i64 = key.get(1)?;
        if freely == 0 && known.is_none() {
            known = Some(index::hits(connection, &hits.question, HITS)?);
        }
        freely = freely.saturating_sub(1);
        let misses = known.as_ref().is_some_and(|known| {
            known.len() < HITS && position > hits.unworded && known.binary_search(&position).is_err()
        });
        if misses {
            continue;
        }
        let mut rows = fetch.query([position])?;
        let Some(row) = rows.next()? else { continue };
        if give(row, &mut |number| name(connection, names, number), each)?.is_break() {
            return Ok(End::Enough);
        }
    }
    Ok(End::All)
}
