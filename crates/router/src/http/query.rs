//! Asking for messages that are kept: page by page, counted, exported; and, for admins, archived and deleted.
//!
//! Every answer says whether time was up first (`partial`), and no question runs beyond its deadline, however much there
//! is to look through.

use axum::body::{Body, Bytes};
use axum::extract::{Extension, Path as At, Query, State};
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use metlog_http::Refused;
use metlog_http::server::{Guard, json};
use metlog_message::wire::{self, Limits};
use metlog_message::{Timestamp, Value};
use metlog_query::change::change_all;
use metlog_query::store::{Change, Cursor, Order, Row, Trouble};
use metlog_query::tally::{By, Tally, Wanted, tally};
use metlog_query::{Expr, Path, Shelf, find, language, selector, visit};
use metlog_settings::Span;
use serde::Deserialize;
use serde_json::json as tree;
use std::ops::ControlFlow;
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::sync::{Semaphore, mpsc};

mod csv;

/// Questions that are worked on at a time: each may read the whole store, and messages go first.
const AT_ONCE: usize = 4;
/// How long one waits for its turn.
const TURN: Duration = Duration::from_secs(5);
/// How long a question may take if it does not say, and at the most.
const DEADLINE: (Duration, Duration) = (Duration::from_secs(5), Duration::from_secs(60));
/// Messages on a page that does not say.
const PAGE: usize = 100;
/// Bytes of an export on the way to a client that reads slowly.
const PORTION: usize = 64 * 1024;
/// Messages that one request archives, restores or deletes, if it does not say.
const CHANGES: u64 = 100_000;

#[derive(Clone)]
struct Turns(Arc<Semaphore>);

/// The routes.
pub fn routes(guard: &Guard) -> axum::Router {
    let turns = Turns(Arc::new(Semaphore::new(AT_ONCE)));
    let reading = axum::Router::new()
        .route("/v1/messages", get(messages))
        .route("/v1/messages/query", post(select))
        .route("/v1/messages/tally", get(count))
        .route("/v1/messages/export", get(export))
        .route("/v1/messages/{position}", get(one))
        .route("/v1/store", get(size))
        .with_state(turns.clone());
    let admin = axum::Router::new()
        .route("/v1/messages/archive", post(archive))
        .route("/v1/messages/restore", post(restore))
        .route("/v1/messages/delete", post(delete))
        .route("/v1/backups", get(backups).post(backup))
        .with_state(turns);
    guard.for_reading(reading).merge(guard.for_admin(admin))
}

/// What went wrong with a question.
enum Wrong {
    Refused(Refused),
    /// A mistake in the query, at this column.
    Query(language::Mistake),
}

impl From<Refused> for Wrong {
    fn from(refused: Refused) -> Self {
        Wrong::Refused(refused)
    }
}

impl From<Trouble> for Wrong {
    fn from(trouble: Trouble) -> Self {
        Wrong::Refused(match trouble {
            Trouble::Away(why) => Refused::later(why, Duration::from_secs(1)),
            Trouble::Refused(why) => Refused::new(StatusCode::BAD_REQUEST, why),
        })
    }
}

impl IntoResponse for Wrong {
    fn into_response(self) -> Response {
        match self {
            Wrong::Refused(refused) => refused.into_response(),
            Wrong::Query(mistake) => {
                let body = tree!({"error": mistake.what, "column": mistake.column});
                json(StatusCode::BAD_REQUEST, body.to_string().into_bytes())
            }
        }
    }
}

type Answer = Result<Response, Wrong>;

fn bad(why: impl Into<String>) -> Wrong {
    Refused::new(StatusCode::BAD_REQUEST, why.into()).into()
}

/// What every question can say.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default)]
struct Asked {
    query: String,
    order: String,
    limit: Option<u64>,
    after: Option<String>,
    deadline: Option<String>,
    format: String,
    buckets: usize,
    by: String,
    top: Option<usize>,
    facets: String,
    measures: bool,
    columns: String,
}

/// The names of [`Asked`]: a slip of the hand must not ask something else.
const NAMES: [&str; 12] =
    ["query", "order", "limit", "after", "deadline", "format", "buckets", "by", "top", "facets", "measures", "columns"];

impl Asked {
    fn of(parameters: Vec<(String, String)>) -> Result<Self, Wrong> {
        for (name, _) in &parameters {
            if !NAMES.contains(&name.as_str()) {
                let near = metlog_settings::suggest::nearest(name, NAMES);
                let meant = near.map(|near| format!("; did you mean `{near}`?")).unwrap_or_default();
                return Err(bad(format!("unknown parameter `{name}`, expected one of {}{meant}", NAMES.join(", "))));
            }
        }
        let mut asked = Asked::default();
        let number = |name: &str, value: &str| {
            value.parse::<u64>().map_err(|_| bad(format!("`{name}` is `{value}`, expected a whole number")))
        };
        for (name, value) in parameters {
            match name.as_str() {
                "query" => asked.query = value,
                "order" => asked.order = value,
                "limit" => asked.limit = Some(number("limit", &value)?),
                "after" => asked.after = Some(value).filter(|text| !text.is_empty()),
                "deadline" => asked.deadline = Some(value),
                "format" => asked.format = value,
                "buckets" => asked.buckets = usize::try_from(number("buckets", &value)?).unwrap_or(usize::MAX),
                "by" => asked.by = value,
                "top" => asked.top = Some(usize::try_from(number("top", &value)?).unwrap_or(usize::MAX)),
                "facets" => asked.facets = value,
                "columns" => asked.columns = value,
                _ => asked.measures = matches!(value.as_str(), "" | "true" | "1" | "yes"),
            }
        }
        Ok(asked)
    }

    fn expr(&self) -> Result<Expr, Wrong> {
        language::parse(&self.query, Timestamp::now()).map_err(Wrong::Query)
    }

    fn order(&self) -> Result<Order, Wrong> {
        match self.order.as_str() {
            "" | "newest" => Ok(Order::NewestFirst),
            "oldest" => Ok(Order::OldestFirst),
            other => Err(bad(format!("`order` is `{other}`, expected `newest` or `oldest`"))),
        }
    }

    fn after(&self, order: Order) -> Result<Option<Cursor>, Wrong> {
        self.after.as_deref().map(|text| Cursor::parse(text, order)).transpose().map_err(bad)
    }

    fn deadline(&self) -> Result<Duration, Wrong> {
        let Some(text) = &self.deadline else { return Ok(DEADLINE.0) };
        let span: Span = text.parse().map_err(|why| bad(format!("`deadline`: {why}")))?;
        Ok(span.duration().min(DEADLINE.1))
    }

    fn limit(&self) -> usize {
        self.limit.map_or(PAGE, |limit| usize::try_from(limit).unwrap_or(usize::MAX))
    }
}

type Parameters = Query<Vec<(String, String)>>;
type Kept = Option<Extension<Shelf>>;

/// The store, once it has what was acknowledged before, and a turn to read it.
async fn turn(kept: Kept, turns: &Turns) -> Result<(Shelf, tokio::sync::OwnedSemaphorePermit), Wrong> {
    let Some(Extension(shelf)) = kept else {
        let why = "no endpoint of this router keeps messages; add [endpoints.store] with type = \"store\"";
        return Err(Refused::new(StatusCode::SERVICE_UNAVAILABLE, why).into());
    };
    shelf.settled().await;
    let turn = tokio::time::timeout(TURN, turns.0.clone().acquire_owned()).await;
    match turn {
        Ok(Ok(turn)) => Ok((shelf, turn)),
        _ => Err(Refused::later("too many questions at once; try again", Duration::from_secs(2)).into()),
    }
}

/// Reads the store where that holds up nobody.
async fn read<T: Send + 'static>(
    kept: Kept,
    turns: &Turns,
    work: impl FnOnce(&Shelf) -> Result<T, Wrong> + Send + 'static,
) -> Result<T, Wrong> {
    let (shelf, turn) = turn(kept, turns).await?;
    let done = tokio::task::spawn_blocking(move || {
        let made = work(&shelf);
        drop(turn);
        made
    });
    done.await.map_err(|_| Refused::new(StatusCode::INTERNAL_SERVER_ERROR, "the question failed"))?
}

async fn messages(State(turns): State<Turns>, kept: Kept, Query(parameters): Parameters) -> Answer {
    let asked = Asked::of(parameters)?;
    let expr = asked.expr()?;
    page(&turns, kept, asked, expr).await
}

/// A selector over the envelope, in a body such as `{"selector": {"type": "timer"}, "limit": 10}`.
async fn select(State(turns): State<Turns>, kept: Kept, body: Bytes) -> Answer {
    let body = wire::read_value(&body).map_err(|why| bad(format!("the body is no JSON: {why}")))?;
    let Value::Map(mut body) = body else { return Err(bad("expected an object with a `selector`")) };
    let chosen = body.remove("selector").ok_or_else(|| bad("expected an object with a `selector`"))?;
    let expr = selector::parse(&chosen).map_err(|mistake| bad(mistake.to_string()))?;
    let parameters = body.into_iter().map(|(name, value)| (name, value.to_text().into_owned())).collect();
    let asked = Asked::of(parameters)?;
    if !asked.query.is_empty() {
        return Err(bad("a selector and a `query` in one question; send one of them"));
    }
    page(&turns, kept, asked, expr).await
}

async fn page(turns: &Turns, kept: Kept, asked: Asked, expr: Expr) -> Answer {
    let (order, limit, time) = (asked.order()?, asked.limit(), asked.deadline()?);
    let after = asked.after(order)?;
    let page =
        read(kept, turns, move |shelf| Ok(find(&*shelf.store, &expr, order, after, limit, Instant::now() + time)?));
    let page = page.await?;
    let mut body = b"{\"messages\":[".to_vec();
    for (at, found) in page.messages.iter().enumerate() {
        body.extend_from_slice(if at == 0 { b"" } else { b"," });
        body.extend_from_slice(&found.raw);
    }
    body.extend_from_slice(b"],\"positions\":");
    let positions: Vec<u64> = page.messages.iter().map(|found| found.position).collect();
    let archived: Vec<u64> =
        page.messages.iter().filter(|found| found.archived.is_some()).map(|found| found.position).collect();
    let rest = tree!({
        "archived": archived,
        "next": page.next.map(|next| next.to_text(order)),
        "partial": page.partial,
        "scanned": page.scanned,
    });
    body.extend_from_slice(tree!(positions).to_string().as_bytes());
    body.push(b',');
    body.extend_from_slice(rest.to_string().trim_start_matches('{').as_bytes());
    Ok(json(StatusCode::OK, body))
}

/// One message, by its place in the store.
async fn one(State(turns): State<Turns>, kept: Kept, At(position): At<String>) -> Answer {
    let Ok(position) = position.parse::<u64>() else {
        return Err(Refused::new(StatusCode::NOT_FOUND, "messages have numbers, such as /v1/messages/123").into());
    };
    let expr = Expr::Position(position);
    let page = read(kept, &turns, move |shelf| {
        Ok(find(&*shelf.store, &expr, Order::NewestFirst, None, 1, Instant::now() + DEADLINE.0)?)
    });
    match page.await?.messages.pop() {
        Some(found) => Ok(json(StatusCode::OK, found.raw)),
        None => Err(Refused::new(StatusCode::NOT_FOUND, "there is no such message, or not any more").into()),
    }
}

async fn count(State(turns): State<Turns>, kept: Kept, Query(parameters): Parameters) -> Answer {
    let asked = Asked::of(parameters)?;
    let (expr, time) = (asked.expr()?, asked.deadline()?);
    let by = match asked.by.as_str() {
        "" => By::Nothing,
        "severity" => By::Severity,
        "type" => By::Kind,
        "logger" => By::Logger,
        other => return Err(bad(format!("`by` is `{other}`, expected `severity`, `type` or `logger`"))),
    };
    let facet = |text: &str| Path::new(text).ok_or_else(|| bad(format!("`facets`: `{text}` is no path")));
    let facets = asked.facets.split(',').map(str::trim).filter(|text| !text.is_empty()).map(facet);
    let wanted = Wanted {
        since: None,
        until: None,
        buckets: asked.buckets,
        by,
        top: asked.top.unwrap_or(10),
        facets: facets.collect::<Result<_, _>>()?,
        measures: asked.measures,
    };
    let counted = read(kept, &turns, move |shelf| Ok(tally(&*shelf.store, &expr, &wanted, Instant::now() + time)?));
    Ok(json(StatusCode::OK, counts(&counted.await?).to_string().into_bytes()))
}

fn counts(tally: &Tally) -> serde_json::Value {
    let series = tally.over.series.iter().map(|series| tree!({"name": series.name, "counts": series.counts}));
    let facets = tally.facets.iter().map(|facet| {
        let values = facet.values.iter().map(|(value, count)| tree!({"value": value, "count": count}));
        tree!({
            "path": facet.path.to_string(), "values": values.collect::<Vec<_>>(), "other": facet.other,
            "missing": facet.missing, "distinct": facet.distinct, "bounded": facet.bounded,
        })
    });
    let timers = tally.timers.iter().map(|timer| {
        tree!({
            "logger": timer.logger, "name": timer.name, "count": timer.count, "total": timer.total,
            "per_second": timer.per_second, "mean": timer.mean, "p50": timer.p50, "p90": timer.p90, "p99": timer.p99,
            "max": timer.max,
        })
    });
    let counters = tally.counters.iter().map(|counter| {
        tree!({
            "logger": counter.logger, "name": counter.name, "count": counter.count, "sum": counter.sum,
            "per_second": counter.per_second,
        })
    });
    tree!({
        "matched": tally.matched, "scanned": tally.scanned, "partial": tally.partial,
        "over": {
            "since": tally.over.since.to_string(), "until": tally.over.until.to_string(),
            "bucket_ms": tally.over.width as f64 / 1e6, "series": series.collect::<Vec<_>>(), "other": tally.over.other,
            "bounded": tally.over.bounded,
        },
        "facets": facets.collect::<Vec<_>>(), "timers": timers.collect::<Vec<_>>(),
        "counters": counters.collect::<Vec<_>>(), "unnamed": tally.unnamed, "unreadable": tally.unreadable,
    })
}

/// Everything that is meant, as JSON lines or CSV, in bounded memory; the last line says so if it is not all.
async fn export(State(turns): State<Turns>, kept: Kept, Query(parameters): Parameters) -> Answer {
    let asked = Asked::of(parameters)?;
    let (expr, order, time) = (asked.expr()?, asked.order()?, asked.deadline()?);
    let columns = csv::columns(&asked.columns).map_err(bad)?;
    let (kind, as_csv) = match asked.format.as_str() {
        "" | "jsonl" => ("application/x-ndjson", false),
        "csv" => ("text/csv; charset=utf-8", true),
        other => return Err(bad(format!("`format` is `{other}`, expected `jsonl` or `csv`"))),
    };
    let limit = asked.limit.unwrap_or(u64::MAX);
    let (shelf, turn) = turn(kept, &turns).await?;
    let (give, taken) = mpsc::channel::<Bytes>(2);
    tokio::task::spawn_blocking(move || {
        let _turn = turn;
        let mut portion: Vec<u8> = Vec::with_capacity(PORTION);
        if as_csv {
            csv::head(&columns, &mut portion);
        }
        let mut left = limit;
        let mut each = |row: &Row<'_>| {
            if left == 0 {
                return ControlFlow::Break(());
            }
            left -= 1;
            if as_csv {
                csv::row(&columns, row, &mut portion);
            } else {
                portion.extend_from_slice(row.raw);
                portion.push(b'\n');
            }
            let full = portion.len() >= PORTION;
            // Whoever does not read any more wants no more.
            let gone = full && give.blocking_send(std::mem::take(&mut portion).into()).is_err();
            if gone { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
        };
        let end = visit(&*shelf.store, &expr, order, None, Instant::now() + time, &mut each);
        let why = match end {
            Ok(visit) if visit.end == metlog_query::End::Late => {
                Some("time was up; ask for less, or for a later `deadline`".to_owned())
            }
            Ok(_) => None,
            Err(trouble) => Some(trouble.to_string()),
        };
        if let (Some(why), false) = (why, as_csv) {
            portion.extend_from_slice(tree!({"partial": true, "error": why}).to_string().as_bytes());
            portion.push(b'\n');
        }
        let _ = give.blocking_send(portion.into());
    });
    let body = futures_util::stream::unfold(taken, |mut taken| async move {
        taken.recv().await.map(|bytes| (Ok::<_, std::convert::Infallible>(bytes), taken))
    });
    let name = if as_csv { "attachment; filename=\"messages.csv\"" } else { "attachment; filename=\"messages.jsonl\"" };
    let headers = [(header::CONTENT_TYPE, kind), (header::CONTENT_DISPOSITION, name)];
    Ok((headers, Body::from_stream(body)).into_response())
}

/// What a change is told: `{"query": "…"}` or `{"positions": [1, 2]}`, one of them, and a `limit`.
async fn change(turns: &Turns, kept: Kept, body: &[u8], change: Change) -> Answer {
    let body =
        wire::read_value_within(body, &Limits::NONE).map_err(|why| bad(format!("the body is no JSON: {why}")))?;
    let body = body.as_map().ok_or_else(|| bad("expected an object with a `query` or with `positions`"))?;
    let limit = body.get("limit").map_or(Some(CHANGES), |limit| u64::try_from(limit.as_i64()?).ok());
    let limit = limit.ok_or_else(|| bad("`limit` is a whole number"))?;
    if let Some(name) = body.iter().map(|(name, _)| name).find(|name| !["query", "positions", "limit"].contains(name)) {
        return Err(bad(format!("unknown key `{name}`, expected `query`, `positions` or `limit`")));
    }
    let expr = match (body.get("query"), body.get("positions")) {
        (Some(Value::Str(query)), None) if !query.trim().is_empty() => {
            language::parse(query, Timestamp::now()).map_err(Wrong::Query)?
        }
        (None, Some(Value::List(positions))) => {
            let positions = positions.iter().map(|position| u64::try_from(position.as_i64()?).ok());
            let all: Option<Vec<u64>> = positions.collect();
            let all = all.ok_or_else(|| bad("`positions` are whole numbers"))?;
            let done = read(kept, turns, move |shelf| {
                let mut changed = 0;
                for some in all.chunks(metlog_query::change::BATCH) {
                    changed += shelf.store.change(change, some)?;
                }
                Ok(changed)
            });
            return Ok(json(StatusCode::OK, tree!({"changed": done.await?, "done": true}).to_string().into_bytes()));
        }
        _ => return Err(bad("expected a `query` that is not empty, or `positions`; `*` means everything")),
    };
    let deadline = Instant::now() + DEADLINE.1;
    let done = read(kept, turns, move |shelf| Ok(change_all(&*shelf.store, &expr, change, limit, deadline)?)).await?;
    Ok(json(StatusCode::OK, tree!({"changed": done.changed, "done": done.done}).to_string().into_bytes()))
}

async fn archive(State(turns): State<Turns>, kept: Kept, body: Bytes) -> Answer {
    change(&turns, kept, &body, Change::Archive).await
}

async fn restore(State(turns): State<Turns>, kept: Kept, body: Bytes) -> Answer {
    change(&turns, kept, &body, Change::Restore).await
}

async fn delete(State(turns): State<Turns>, kept: Kept, body: Bytes) -> Answer {
    change(&turns, kept, &body, Change::Delete).await
}

async fn size(State(turns): State<Turns>, kept: Kept) -> Answer {
    let size = read(kept, &turns, |shelf| Ok(shelf.store.size()?)).await?;
    let moment = |at: Option<Timestamp>| at.map(|at| at.to_string());
    let body = tree!({
        "messages": size.messages, "archived": size.archived, "bytes": size.bytes, "oldest": moment(size.oldest),
        "newest": moment(size.newest),
    });
    Ok(json(StatusCode::OK, body.to_string().into_bytes()))
}

fn told(backup: &metlog_query::Backup) -> serde_json::Value {
    tree!({
        "path": backup.path, "made": backup.made.to_string(), "bytes": backup.bytes, "whole": backup.whole,
        "note": backup.note,
    })
}

async fn backups(State(turns): State<Turns>, kept: Kept) -> Answer {
    let all = read(kept, &turns, |shelf| Ok(shelf.store.backups()?)).await?;
    let all: Vec<_> = all.iter().map(told).collect();
    Ok(json(StatusCode::OK, tree!({"backups": all}).to_string().into_bytes()))
}

async fn backup(State(turns): State<Turns>, kept: Kept, body: Bytes) -> Answer {
    let note = match wire::read_value(&body) {
        _ if body.is_empty() => String::new(),
        Ok(Value::Map(body)) => body.get("note").map(|note| note.to_text().into_owned()).unwrap_or_default(),
        _ => return Err(bad("expected nothing, or an object with a `note`")),
    };
    let made = read(kept, &turns, move |shelf| Ok(shelf.store.backup(&note)?)).await?;
    Ok(json(StatusCode::OK, told(&made).to_string().into_bytes()))
}
