//! Which index to walk along, and what to ask of each row there.

use crate::base;
use metlog_message::Timestamp;
use metlog_query::{Cursor, Narrow, Order, Scan, facts};
use rusqlite::types::Value;
use rusqlite::{Connection, OptionalExtension, params_from_iter};
use std::fmt::Write;

/// Walks that are merged.
const MERGED: usize = 8;

/// How far an index is looked into to see whether it holds little.
const LOOK: i64 = 2_000;

/// Bounds of a kind that are worth asking of each row; the store may give too much.
const ASKED: usize = 200;

/// A condition with its values.
#[derive(Debug, Clone, Default)]
pub struct Condition {
    pub sql: String,
    pub values: Vec<Value>,
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
pub struct Asked {
    kinds: Vec<i64>,
    loggers: Vec<i64>,
    severities: Vec<u8>,
    /// Beside time and the cursor.
    pub rest: Condition,
    /// One of these.
    pub spans: Vec<Condition>,
    pub newest_first: bool,
}

/// Ids and traces as they stand in the index; none if one of them is never there.
pub fn indexed(list: &[String]) -> &[String] {
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
    pub fn of(connection: &Connection, scan: &Scan) -> rusqlite::Result<Option<Self>> {
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
pub struct Walk {
    index: &'static str,
    column: &'static str,
    values: Vec<i64>,
}

impl Walk {
    /// The one that seems to hold least.
    pub fn choose(connection: &Connection, asked: &Asked, narrow: &Narrow) -> rusqlite::Result<Self> {
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
    pub fn question(&self, asked: &Asked, columns: &str) -> Condition {
        let mut question = self.questions(asked, columns, &asked.rest);
        let way = asked.direction();
        let _never_fails = write!(question.sql, " ORDER BY time {way}, position {way}");
        question
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::endpoint::Writer;
    use std::time::Instant;

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
                let scan = Scan { narrow, order, after, deadline: Instant::now().into() };
                let asked = Asked::of(connection, &scan).expect("asked").expect("names are there");
                for (index, column, values) in walks.clone() {
                    let walk = Walk { index, column, values: values.collect() };
                    let question = walk.question(&asked, "time, position, raw");
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
