//! Bounds as conditions: text of ours, and values only as parameters.

use crate::config::Table;
use crate::months;
use crate::rows::{Moment, clean};
use metlog_message::Timestamp;
use metlog_query::{Narrow, Order, Scan};
use std::time::Duration;
use tokio_postgres::types::{ToSql, Type};

/// What is found of a row, in this order.
pub const COLUMNS: &str = "position, ts, ts_nanos, severity, type, logger, archived, raw, raw_bytes";

/// Nobody finds what has expired, whether or not it is deleted yet.
pub const ALIVE: &str = "(expires IS NULL OR expires > now())";

/// A statement and its parameters.
pub struct Question {
    pub sql: String,
    parameters: Vec<(Box<dyn ToSql + Sync>, Type)>,
}

impl Question {
    /// What a scan asks for.
    pub fn of(scan: &Scan, table: &Table, max_age: Option<Duration>) -> Self {
        let sql = format!("SELECT {COLUMNS} FROM {} WHERE {ALIVE}", table.quoted());
        let mut question = Question::plain(sql);
        question.bounds(&scan.narrow);
        if let Some(cutoff) = months::cutoff(Timestamp::now(), max_age) {
            question.time(">=", cutoff);
        }
        let (direction, sign) = match scan.order {
            Order::NewestFirst => ("DESC", "<"),
            Order::OldestFirst => ("ASC", ">"),
        };
        if let Some(after) = scan.after {
            let (ts, nanos) = Moment::split(after.timestamp);
            let position = i64::try_from(after.position).unwrap_or(i64::MAX);
            let ts = question.bind(ts, Type::TIMESTAMPTZ);
            let nanos = question.bind(nanos, Type::INT2);
            let position = question.bind(position, Type::INT8);
            // The first alone says which partitions matter, the second where to begin in an index.
            question.and(&format!("ts {sign}= {ts} AND (ts, ts_nanos, position) {sign} ({ts}, {nanos}, {position})"));
        }
        question.sql.push_str(&format!(" ORDER BY ts {direction}, ts_nanos {direction}, position {direction}"));
        question
    }

    /// A statement without parameters.
    pub fn plain(sql: String) -> Self {
        Question { sql, parameters: Vec::new() }
    }

    fn bounds(&mut self, narrow: &Narrow) {
        if let Some(since) = narrow.since {
            self.time(">=", since);
        }
        if let Some(until) = narrow.until {
            self.time("<", until);
        }
        for (sign, bound) in [("<=", narrow.severity_max), (">=", narrow.severity_min)] {
            if let Some(bound) = bound {
                let bound = self.bind(i16::from(bound), Type::INT2);
                self.and(&format!("severity {sign} {bound}"));
            }
        }
        for (column, texts) in
            [("type", &narrow.types), ("logger", &narrow.loggers), ("id", &narrow.ids), ("trace_id", &narrow.traces)]
        {
            if !texts.is_empty() {
                let texts: Vec<String> = texts.iter().cloned().map(clean).collect();
                let texts = self.bind(texts, Type::TEXT_ARRAY);
                self.and(&format!("{column} = ANY ({texts})"));
            }
        }
        if !narrow.positions.is_empty() {
            let positions = self.bind(positions(&narrow.positions), Type::INT8_ARRAY);
            self.and(&format!("position = ANY ({positions})"));
        }
        let part =
            |begun: bool| narrow.words.iter().filter(move |word| word.1 == begun).map(|word| clean(word.0.clone()));
        let whole: Vec<String> = part(false).collect();
        if !whole.is_empty() {
            let whole = self.bind(whole, Type::TEXT_ARRAY);
            self.and(&format!("words @> {whole}"));
        }
        for begin in part(true) {
            let begin = self.bind(begin, Type::TEXT);
            self.and(&format!("EXISTS (SELECT FROM unnest(words) AS one (word) WHERE starts_with(one.word, {begin}))"));
        }
        match narrow.archived {
            Some(true) => self.and("archived IS NOT NULL"),
            Some(false) => self.and("archived IS NULL"),
            None => {}
        }
    }

    fn time(&mut self, sign: &str, bound: Timestamp) {
        let (ts, nanos) = Moment::split(bound);
        let ts = self.bind(ts, Type::TIMESTAMPTZ);
        let nanos = self.bind(nanos, Type::INT2);
        let loose = if sign == "<" { "<=" } else { sign };
        self.and(&format!("ts {loose} {ts} AND (ts, ts_nanos) {sign} ({ts}, {nanos})"));
    }

    fn bind(&mut self, value: impl ToSql + Sync + 'static, of: Type) -> String {
        self.parameters.push((Box::new(value), of));
        format!("${}", self.parameters.len())
    }

    fn and(&mut self, condition: &str) {
        self.sql.push_str(" AND ");
        self.sql.push_str(condition);
    }

    pub fn parameters(&self) -> Vec<(&(dyn ToSql + Sync), Type)> {
        self.parameters.iter().map(|(value, of)| (&**value, of.clone())).collect()
    }
}

/// Those that can be positions at all.
pub fn positions(positions: &[u64]) -> Vec<i64> {
    positions.iter().filter_map(|position| i64::try_from(*position).ok()).collect()
}
