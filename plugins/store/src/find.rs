//! From bounds to rows: which index to walk along, and what else to ask of each row.
//!
//! Few positions, ids, traces or hits of words are looked up one by one and put in order. Everything else is a walk along
//! the index that seems to hold least, in its own order, so that nothing is ever sorted and the first rows come at once.
//! Several types (or loggers, or severities) are several walks that SQLite merges.

use crate::base;
use crate::reading::Reading;
use metlog_message::Timestamp;
use metlog_query::{Cursor, End, Narrow, Order, Row, Scan, facts, words};
use rusqlite::types::Value;
use rusqlite::{Connection, OptionalExtension, params_from_iter};
use std::collections::HashMap;
use std::fmt::Write;
use std::ops::ControlFlow;
use std::sync::Arc;
use std::time::Instant;

/// So many hits are looked up one by one; more are met on a walk.
const FEW: usize = 20_000;

/// Rows of a walk that are given without asking the index of words. Whoever wants more gets the list of all hits.
const FREELY: usize = 2_000;

/// Hits of words that are remembered during a walk, 32 MiB; with more, all rows are given.
const HITS: usize = 4_000_000;

/// Names remembered by a connection.
const NAMES: usize = 16_384;

/// Walks that are merged.
const MERGED: usize = 8;

/// How far an index is looked into to see whether it holds little.
const LOOK: i64 = 2_000;

/// Bounds of a kind that are worth asking of each row; the store may give too much.
const ASKED: usize = 200;

/// A condition with its values.
#[derive(Debug, Clone, Default)]
struct Condition {
    sql: String,
    values: Vec<Value>,
}

impl Condition {
    fn and(&mut self, sql: &str, values: impl IntoIterator<Item = Value>) {
        self.sql.push_str(if self.sql.is_empty() { "" } else { " AND " });
        self.sql.push_str(sql);
        self.values.extend(values);
    }

    /// What another one says, too.
    fn both(&mut self, other: &Condition) {
        if !other.sql.is_empty() {
            self.and(&other.sql, other.values.iter().cloned());
        }
    }

    /// One of these, if there are any and not too many to ask.
    fn one_of(&mut self, column: &str, list: Vec<Value>) {
        if !list.is_empty() && list.len() <= ASKED {
            let places = vec!["?"; list.len()].join(",");
            self.and(&format!("{column} IN ({places})"), list);
        }
    }
}

/// The question in the store's own numbers.
struct Asked {
    kinds: Vec<i64>,
    loggers: Vec<i64>,
    severities: Vec<u8>,
    /// Beside time and the cursor.
    rest: Condition,
    /// One of these.
    spans: Vec<Condition>,
    newest_first: bool,
}

/// Ids and traces as they stand in the index; none if one of them is never there.
fn indexed(list: &[String]) -> &[String] {
    let fit = |id: &String| !id.is_empty() && id.len() <= facts::LONGEST_ID;
    if list.iter().all(fit) { list } else { &[] }
}

fn texts(list: &[String]) -> Vec<Value> {
    list.iter().map(|text| Value::Text(text.clone())).collect()
}

fn integers(list: impl IntoIterator<Item = i64>) -> Vec<Value> {
    list.into_iter().map(Value::Integer).collect()
}

/// A position as it stands in the file; beyond it there is none.
fn place(position: u64) -> i64 {
    i64::try_from(position).unwrap_or(i64::MAX)
}

/// Numbers of those names that there are.
fn numbers(connection: &Connection, names: &[String]) -> rusqlite::Result<Vec<i64>> {
    let mut find = connection.prepare_cached("SELECT number FROM names WHERE name = ?1")?;
    let mut found = Vec::new();
    for name in names {
        found.extend(find.query_row([name], |row| row.get::<_, i64>(0)).optional()?);
    }
    found.sort_unstable();
    found.dedup();
    Ok(found)
}

impl Asked {
    /// None if nothing can be found.
    fn of(connection: &Connection, scan: &Scan) -> rusqlite::Result<Option<Self>> {
        let Narrow { types, loggers, .. } = &scan.narrow;
        let (kinds, loggers_found) = (numbers(connection, types)?, numbers(connection, loggers)?);
        let severities: Vec<u8> =
            (scan.narrow.severity_min.unwrap_or(0)..=scan.narrow.severity_max.unwrap_or(7).min(7)).collect();
        if (kinds.is_empty() && !types.is_empty())
            || (loggers_found.is_empty() && !loggers.is_empty())
            || severities.is_empty()
        {
            return Ok(None);
        }
        let newest_first = scan.order == Order::NewestFirst;
        let mut asked = Asked {
            kinds,
            loggers: loggers_found,
            severities,
            rest: Condition::default(),
            spans: spans(&scan.narrow, scan.after, newest_first),
            newest_first,
        };
        asked.rest = asked.rest(&scan.narrow);
        Ok(Some(asked))
    }

    fn rest(&self, narrow: &Narrow) -> Condition {
        let mut rest = Condition::default();
        rest.and("(expires IS NULL OR expires > ?)", [Value::Integer(Timestamp::now().nanos())]);
        match narrow.archived {
            Some(true) => rest.and("archived IS NOT NULL", []),
            Some(false) => rest.and("archived IS NULL", []),
            None => {}
        }
        if self.severities.len() < 8 {
            rest.one_of("severity", integers(self.severities.iter().map(|severity| i64::from(*severity))));
        }
        rest.one_of("type", integers(self.kinds.iter().copied()));
        rest.one_of("logger", integers(self.loggers.iter().copied()));
        rest.one_of("id", texts(indexed(&narrow.ids)));
        rest.one_of("trace", texts(indexed(&narrow.traces)));
        rest
    }

    fn direction(&self) -> &'static str {
        if self.newest_first { "DESC" } else { "ASC" }
    }
}

/// From when to when, and behind the cursor: the rest of the cursor's own moment, and what follows it. They are two, so
/// that an index is entered at the cursor even among a million messages of one moment.
fn spans(narrow: &Narrow, after: Option<Cursor>, newest_first: bool) -> Vec<Condition> {
    let moment = |moment: Timestamp| Value::Integer(moment.nanos());
    let (mut since, mut until) = (narrow.since.map(|since| (">=", since)), narrow.until.map(|until| ("<", until)));
    let mut spans = Vec::new();
    if let Some(Cursor { timestamp, position }) = after {
        let inside =
            since.is_none_or(|(_, since)| since <= timestamp) && until.is_none_or(|(_, until)| timestamp < until);
        let beyond = if newest_first { "<" } else { ">" };
        if inside {
            let mut same = Condition::default();
            let position = Value::Integer(place(position));
            same.and(&format!("time = ? AND position {beyond} ?"), [moment(timestamp), position]);
            spans.push(same);
        }
        match newest_first {
            true if until.is_none_or(|(_, until)| timestamp < until) => until = Some(("<", timestamp)),
            false if since.is_none_or(|(_, since)| timestamp >= since) => since = Some((">", timestamp)),
            _ => {}
        }
    }
    let mut span = Condition::default();
    for (sign, bound) in since.into_iter().chain(until) {
        span.and(&format!("time {sign} ?"), [moment(bound)]);
    }
    spans.push(span);
    spans
}

/// An index to walk along: its name, its column, and the values wanted.
struct Walk {
    index: &'static str,
    column: &'static str,
    values: Vec<i64>,
}

impl Walk {
    /// The one that seems to hold least.
    fn choose(connection: &Connection, asked: &Asked, narrow: &Narrow) -> rusqlite::Result<Self> {
        let mut walks = Vec::new();
        if asked.severities.iter().all(|severity| *severity <= base::SEVERE) {
            let values = asked.severities.iter().map(|severity| i64::from(*severity)).collect();
            walks.push(Walk { index: "by_severity", column: "severe", values });
        }
        for (index, column, values) in [("by_logger", "logger", &asked.loggers), ("by_type", "type", &asked.kinds)] {
            if (1..=MERGED).contains(&values.len()) {
                walks.push(Walk { index, column, values: values.clone() });
            }
        }
        if narrow.archived == Some(true) {
            walks.push(Walk { index: "by_archive", column: "", values: Vec::new() });
        }
        let mut best = (i64::MAX, Walk { index: "by_time", column: "", values: Vec::new() });
        for walk in walks {
            let holds = walk.look(connection, asked)?;
            if holds < best.0 {
                best = (holds, walk);
            }
        }
        Ok(best.1)
    }

    /// How much it holds, as far as it is worth knowing.
    fn look(&self, connection: &Connection, asked: &Asked) -> rusqlite::Result<i64> {
        let question = self.questions(asked, "1", &Condition::default());
        let sql = format!("SELECT count(*) FROM ({} LIMIT {LOOK})", question.sql);
        connection.prepare_cached(&sql)?.query_row(params_from_iter(question.values), |row| row.get(0))
    }

    /// One question for each value and span, one after the other.
    fn questions(&self, asked: &Asked, columns: &str, condition: &Condition) -> Condition {
        let Walk { index, column, values } = self;
        let mut all = Condition::default();
        for value in values.iter().map(Some).chain(values.is_empty().then_some(None)) {
            for span in &asked.spans {
                let mut one = Condition::default();
                if let Some(value) = value {
                    one.and(&format!("{column} = ?"), [Value::Integer(*value)]);
                }
                if *index == "by_archive" {
                    one.and("archived IS NOT NULL", []);
                }
                one.both(span);
                one.both(condition);
                let also = if all.sql.is_empty() { "" } else { " UNION ALL " };
                let only = if one.sql.is_empty() { "" } else { " WHERE " };
                let _never_fails =
                    write!(all.sql, "{also}SELECT {columns} FROM messages INDEXED BY {index}{only}{}", one.sql);
                all.values.extend(one.values);
            }
        }
        all
    }

    /// The walk itself.
    fn question(&self, asked: &Asked, columns: &str) -> Condition {
        let mut question = self.questions(asked, columns, &asked.rest);
        let way = asked.direction();
        let _never_fails = write!(question.sql, " ORDER BY time {way}, position {way}");
        question
    }
}

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
        if terms.is_empty() || !base::has_words(connection)? {
            return Ok(None);
        }
        let mut figure = connection.prepare_cached("SELECT value FROM figures WHERE name = 'unworded'")?;
        let unworded = figure.query_row([], |row| row.get(0))?;
        let mut first = connection.prepare_cached("SELECT min(position) FROM messages")?;
        let first: Option<i64> = first.query_row([], |row| row.get(0))?;
        let unworded = if first.is_some_and(|first| first <= unworded) { unworded } else { -1 };
        Ok(Some(Hits { question: terms.join(" AND "), unworded }))
    }

    /// Positions in order, at most so many.
    fn positions(&self, connection: &Connection, most: usize) -> rusqlite::Result<Vec<i64>> {
        let mut find =
            connection.prepare_cached("SELECT rowid FROM words WHERE words MATCH ?1 ORDER BY rowid LIMIT ?2")?;
        let most = i64::try_from(most).unwrap_or(i64::MAX);
        find.query_map((&self.question, most), |row| row.get(0))?.collect()
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
        let few = hits.positions(&reading.connection, FEW + 1)?;
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
        if Instant::now() >= scan.deadline {
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
        if Instant::now() >= scan.deadline {
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
        if Instant::now() >= scan.deadline {
            return Ok(End::Late);
        }
        let position: i64 = key.get(1)?;
        if freely == 0 && known.is_none() {
            known = Some(hits.positions(connection, HITS)?);
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::endpoint::Writer;

    /// Whatever is asked, SQLite walks along one index in its order: it sorts nothing, and enters where the cursor is.
    #[test]
    fn nothing_is_sorted() {
        let path = std::env::temp_dir().join(format!("metlog-store-plans-{}.db", std::process::id()));
        let _ = std::fs::remove_file(&path);
        let writer = Writer::open(&path, true).unwrap_or_else(|why| panic!("{why}"));
        let connection = &writer.connection;
        connection.execute_batch("INSERT INTO names(name) VALUES ('a'), ('b'), ('c')").expect("names");
        let walks = [
            ("by_time", "", 0..0),
            ("by_severity", "severe", 0..5),
            ("by_type", "type", 1..4),
            ("by_logger", "logger", 1..2),
            ("by_archive", "", 0..0),
        ];
        for order in [Order::NewestFirst, Order::OldestFirst] {
            for after in [None, Some(Cursor { timestamp: Timestamp::from_nanos(7), position: 7 })] {
                let narrow = Narrow {
                    since: Some(Timestamp::from_nanos(1)),
                    until: Some(Timestamp::from_nanos(9)),
                    types: vec!["a".to_owned(), "b".to_owned()],
                    loggers: vec!["c".to_owned()],
                    ids: vec!["x".to_owned()],
                    archived: Some(true),
                    ..Narrow::default()
                };
                let scan = Scan { narrow, order, after, deadline: Instant::now() };
                let asked = Asked::of(connection, &scan).expect("asked").expect("names are there");
                for (index, column, values) in walks.clone() {
                    let walk = Walk { index, column, values: values.collect() };
                    let question = walk.question(&asked, COLUMNS);
                    let mut plan = connection.prepare(&format!("EXPLAIN QUERY PLAN {}", question.sql)).expect("sql");
                    let rows = plan.query_map(params_from_iter(question.values), |row| row.get::<_, String>(3));
                    let plan: Vec<String> = rows.expect("a plan").map(|step| step.expect("a step")).collect();
                    assert!(!plan.iter().any(|step| step.contains("TEMP B-TREE")), "{plan:?}");
                    let searches: Vec<&String> = plan.iter().filter(|step| step.contains("SEARCH")).collect();
                    let entered = |how: &str| searches.iter().filter(|step| step.contains(how)).count();
                    let values = walk.values.len().max(1);
                    assert_eq!(entered(index), searches.len(), "{plan:?}");
                    assert_eq!(entered("time>? AND time<?"), values, "{plan:?}");
                    assert_eq!(entered("time=? AND rowid"), if after.is_some() { values } else { 0 }, "{plan:?}");
                }
            }
        }
        drop(writer);
        std::fs::remove_file(&path).expect("made here");
    }
}
