//! `/v1/fields`: names and values that messages have these days, for whoever is typing a query.

use super::query::asked::Asked;
use super::query::{Answer, Kept, Wrong};
use super::{Shared, gone, json};
use crate::intake::Floor;
use axum::extract::{Extension, RawQuery, State};
use axum::http::StatusCode;
use metlog_http::Refused;
use metlog_message::{Value, wire};
use metlog_query::store::Order;
use metlog_query::{Expr, Path, Shelf, find};
use serde_json::json as tree;
use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

/// Messages that are looked at: the newest ones, but no more bytes of them than this.
const SAMPLE: usize = 1000;
const BYTES: usize = 4 << 20;
/// How long that may take.
const TIME: Duration = Duration::from_millis(500);
/// Whoever types asks at each letter; new messages show within this time.
const FRESH: Duration = Duration::from_secs(2);
/// Different paths that are remembered, and different values of each.
const PATHS: usize = 2000;
const VALUES: usize = 200;
/// Longer ones nobody wants completed.
const LONGEST: usize = 120;
/// Fields in fields in fields.
const DEPTH: usize = 4;
/// Values that are told of each path.
const TOLD: usize = 10;

/// What was there the last time.
#[derive(Clone, Default)]
pub(super) struct Known(Arc<Mutex<Option<Looked>>>);

/// When, and what was found.
type Looked = (Instant, Arc<Names>);

/// Paths, the most frequent first, each with its values, the most frequent first.
type Names = Vec<(String, Vec<String>)>;

pub(super) async fn fields(State(router): Shared, kept: Kept, known: Known, RawQuery(query): RawQuery) -> Answer {
    let asked = Asked::of_address(query, &["prefix", "limit"])?;
    let limit = asked.number("limit", 1..=500)?.unwrap_or(50);
    let prefix = asked.text("prefix").unwrap_or_default().to_lowercase();
    let Some(router) = router.upgrade() else { return Ok(gone()) };
    let shelf = kept.map(|Extension(shelf)| shelf);
    let floor = router.floor.clone();
    drop(router);
    let names = tokio::task::spawn_blocking(move || known.names(&floor, shelf.as_ref())).await;
    let failed = || Wrong::from(Refused::new(StatusCode::INTERNAL_SERVER_ERROR, "the fields could not be looked at"));
    let names = names.map_err(|_| failed())??;
    let begins = |path: &str| {
        let path = path.to_lowercase();
        path.starts_with(&prefix) || path.strip_prefix("fields.").is_some_and(|rest| rest.starts_with(&prefix))
    };
    let fields = names.iter().filter(|(path, _)| begins(path)).take(usize::try_from(limit).unwrap_or(usize::MAX));
    let fields: Vec<_> = fields.map(|(path, values)| tree!({"path": path, "values": values})).collect();
    Ok(json(tree!({"fields": fields}).to_string()))
}

impl Known {
    /// Looks again if there may be something new. One at a time: the others have the same question.
    fn names(&self, floor: &Floor, shelf: Option<&Shelf>) -> Result<Arc<Names>, Wrong> {
        let mut known = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((at, names)) = &*known
            && at.elapsed() < FRESH
        {
            return Ok(names.clone());
        }
        let mut seen = Seen::default();
        match shelf {
            Some(shelf) => {
                let until = Instant::now() + TIME;
                let (_asker, store) = shelf.lend();
                let found = find(&store, &Expr::EVERYTHING, Order::NewestFirst, None, SAMPLE, until)?;
                let mut bytes = 0;
                for found in found.messages {
                    bytes += found.raw.len();
                    if bytes > BYTES {
                        break;
                    }
                    seen.note(&found.raw);
                }
            }
            // Nothing is kept to be asked for; what has just come shows the names all the same.
            None => {
                let from = floor.spool.next_id().saturating_sub(SAMPLE as u64);
                for frame in floor.spool.recent(from, BYTES) {
                    frame.batch.lines().iter().take(SAMPLE).for_each(|message| seen.note(message));
                }
            }
        }
        let names = Arc::new(seen.names());
        *known = Some((Instant::now(), names.clone()));
        Ok(names)
    }
}

#[derive(Default)]
struct Seen(HashMap<String, (u64, HashMap<String, u64>)>);

impl Seen {
    fn note(&mut self, raw: &[u8]) {
        let Ok(Value::Map(message)) = wire::read_value_within(raw, &wire::Limits::NONE) else { return };
        for (name, value) in message.iter() {
            match (name, value) {
                ("fields", Value::Map(fields)) => {
                    fields.iter().for_each(|(name, value)| self.descend(format!("fields.{name}"), value, DEPTH));
                }
                // What people search by words.
                ("payload", Value::Str(_)) | ("timestamp", _) => self.count(name.to_owned(), None),
                _ => self.descend(name.to_owned(), value, DEPTH),
            }
        }
    }

    fn descend(&mut self, path: String, value: &Value, depth: usize) {
        if path.len() > LONGEST || Path::new(&path).is_none() {
            return;
        }
        match value {
            Value::Map(map) if depth > 0 => {
                map.iter().for_each(|(name, value)| self.descend(format!("{path}.{name}"), value, depth - 1));
            }
            Value::Null | Value::Map(_) => self.count(path, None),
            Value::List(items) => {
                self.count(path.clone(), None);
                let plain = items.iter().filter(|item| !matches!(item, Value::Map(_) | Value::List(_) | Value::Null));
                plain.take(10).for_each(|item| self.value(&path, item));
            }
            plain => {
                self.count(path.clone(), None);
                self.value(&path, plain);
            }
        }
    }

    fn value(&mut self, path: &str, value: &Value) {
        let text = value.to_text();
        if text.len() <= LONGEST && !text.is_empty() {
            self.count(path.to_owned(), Some(text.into_owned()));
        }
    }

    /// One more at this path, or one more of its values.
    fn count(&mut self, path: String, value: Option<String>) {
        if self.0.len() >= PATHS && !self.0.contains_key(&path) {
            return;
        }
        let (count, values) = self.0.entry(path).or_default();
        match value {
            None => *count += 1,
            Some(value) if values.len() < VALUES || values.contains_key(&value) => {
                *values.entry(value).or_default() += 1
            }
            Some(_) => {}
        }
    }

    fn names(self) -> Names {
        let mut paths: Vec<_> = self.0.into_iter().collect();
        paths.sort_by(|a, b| b.1.0.cmp(&a.1.0).then_with(|| a.0.cmp(&b.0)));
        let told = |(path, (_, values)): (String, (u64, HashMap<String, u64>))| {
            let mut values: Vec<_> = values.into_iter().collect();
            values.sort_by(|a, b| b.1.cmp(&a.1).then_with(|| a.0.cmp(&b.0)));
            (path, values.into_iter().take(TOLD).map(|(value, _)| value).collect())
        };
        paths.into_iter().map(told).collect()
    }
}
