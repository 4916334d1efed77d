//! Asking for messages that are kept: page by page, counted, exported; and, for admins, archived and deleted.
//!
//! Every answer says whether time was up first (`partial`), and whether all that was acknowledged before is in the store
//! (`settled`). No question runs beyond its deadline, however much there is to look through, or on for somebody who has
//! left.

use axum::body::{Body, Bytes};
use axum::extract::rejection::PathRejection;
use axum::extract::{Extension, Path as At, RawQuery, Request, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use metlog_http::Refused;
use metlog_http::server::{Bounds, Guard, json, limited_body, quote};
use metlog_message::{Timestamp, Value, wire};
use metlog_query::page::{MOST, Page};
use metlog_query::store::{Order, Trouble};
use metlog_query::tally::{By, MOST_BUCKETS, MOST_FACETS, Wanted, tally};
use metlog_query::{Backup, Change, Expr, Path, Shelf, Store, find, language, selector};
use serde_json::json as tree;
use std::fmt;
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

pub(super) mod asked;
mod change;
mod counted;
pub(crate) mod csv;
mod export;

use asked::Asked;
use export::Export;

/// Questions that are worked on at a time: each may read the whole store, and messages go first.
const AT_ONCE: usize = 4;
/// How long one waits for its turn.
const TURN: Duration = Duration::from_secs(5);
/// How long a question may take if it does not say, and at the most.
const DEADLINE: (Duration, Duration) = (Duration::from_secs(5), Duration::from_secs(60));
/// The same for an export, which looks only while its client reads.
const EXPORT_DEADLINE: (Duration, Duration) = (Duration::from_secs(60), Duration::from_secs(3600));
/// Messages on a page that does not say.
const PAGE: u64 = 100;
/// A body that asks. The server's own limits are made for messages.
const BODY: usize = 1024 * 1024;
/// Answers that wait for clients to read them, all together.
const WAITING: usize = 64 * 1024 * 1024;
/// Smaller answers do not count there: the limit of connections bounds them.
const SMALL: usize = 32 * 1024;
/// Values and series that a tally names.
const TOP: u64 = 1000;
/// Counts over time in one answer.
const COUNTS: u64 = 100_000;

/// What all questions share.
#[derive(Clone)]
struct Desk {
    turns: Arc<Semaphore>,
    /// Of [`WAITING`], in KiB.
    waiting: Arc<Semaphore>,
    bounds: Arc<Bounds>,
}

/// The routes.
pub fn routes(guard: &Guard) -> axum::Router {
    let desk = Desk {
        turns: Arc::new(Semaphore::new(AT_ONCE)),
        waiting: Arc::new(Semaphore::new(WAITING / 1024)),
        bounds: guard.bounds(),
    };
    let reading = axum::Router::new()
        .route("/v1/messages", get(messages))
        .route("/v1/messages/query", post(select))
        .route("/v1/messages/tally", get(count))
        .route("/v1/messages/export", get(everything))
        .route("/v1/messages/{position}", get(one))
        .route("/v1/store", get(size))
        .with_state(desk.clone());
    let admin = axum::Router::new()
        .route("/v1/messages/archive", post(archive))
        .route("/v1/messages/restore", post(restore))
        .route("/v1/messages/delete", post(delete))
        .route("/v1/backups", get(backups).post(backup))
        .with_state(desk);
    guard.for_reading(reading).merge(guard.for_admin(admin))
}

/// What went wrong with a question.
#[derive(Debug)]
pub(super) enum Wrong {
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

impl fmt::Display for Wrong {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Wrong::Refused(refused) => f.write_str(&refused.error),
            Wrong::Query(mistake) => mistake.fmt(f),
        }
    }
}

impl IntoResponse for Wrong {
    fn into_response(self) -> Response {
        match self {
            Wrong::Refused(refused) => refused.into_response(),
            Wrong::Query(mistake) => {
                let mut body = b"{\"error\":".to_vec();
                quote(&mut body, &mistake.what);
                body.extend_from_slice(format!(",\"column\":{}}}", mistake.column).as_bytes());
                json(StatusCode::BAD_REQUEST, body)
            }
        }
    }
}

pub(super) type Answer = Result<Response, Wrong>;
pub(super) type Kept = Option<Extension<Shelf>>;

pub(super) fn bad(why: impl Into<String>) -> Wrong {
    Refused::new(StatusCode::BAD_REQUEST, why.into()).into()
}

/// The store, and whether it has what was acknowledged before.
pub(super) async fn shelf(kept: Kept) -> Result<(Shelf, bool), Wrong> {
    let Some(Extension(shelf)) = kept else {
        let why = "no endpoint of this router keeps messages; add [endpoints.store] with type = \"store\"";
        return Err(Refused::new(StatusCode::SERVICE_UNAVAILABLE, why).into());
    };
    let settled = shelf.settled().await;
    Ok((shelf, settled))
}

impl Desk {
    async fn turn(&self, patience: Duration) -> Result<OwnedSemaphorePermit, Wrong> {
        match tokio::time::timeout(patience, self.turns.clone().acquire_owned()).await {
            Ok(Ok(turn)) => Ok(turn),
            _ => Err(Refused::later("too many questions at once; try again", Duration::from_secs(2)).into()),
        }
    }

    /// Works with the store where that holds up nobody. Who does not wait for it any more gives the turn back soon.
    async fn work<T: Send + 'static>(
        &self,
        shelf: &Shelf,
        turn: OwnedSemaphorePermit,
        work: impl FnOnce(&dyn Store) -> Result<T, Wrong> + Send + 'static,
    ) -> Result<T, Wrong> {
        let (_asker, store) = shelf.lend();
        let done = tokio::task::spawn_blocking(move || {
            let _turn = turn;
            work(&store)
        });
        done.await.map_err(|_| Refused::new(StatusCode::INTERNAL_SERVER_ERROR, "the question failed"))?
    }

    /// Asks the store something. The second is whether it has what was acknowledged before.
    async fn ask<T: Send + 'static>(
        &self,
        kept: Kept,
        work: impl FnOnce(&dyn Store, bool) -> Result<T, Wrong> + Send + 'static,
    ) -> Result<T, Wrong> {
        let (shelf, settled) = shelf(kept).await?;
        let turn = self.turn(TURN).await?;
        self.work(&shelf, turn, move |store| work(store, settled)).await
    }

    /// Room for an answer that may wait long until it is read.
    fn room(&self, bytes: usize) -> Result<OwnedSemaphorePermit, Wrong> {
        let some = u32::try_from(bytes.div_ceil(1024).min(WAITING / 1024)).unwrap_or(u32::MAX);
        self.waiting.clone().try_acquire_many_owned(some).map_err(|_| {
            Refused::later("too many large answers wait to be read; try again", Duration::from_secs(1)).into()
        })
    }

    fn answer(&self, body: Vec<u8>) -> Answer {
        if body.len() <= SMALL {
            return Ok(json(StatusCode::OK, body));
        }
        let _room = self.room(body.len())?;
        let mut response = json(StatusCode::OK, Vec::new());
        *response.body_mut() = Body::from(Bytes::from_owner(Waiting { body, _room }));
        Ok(response)
    }

    /// A body that asks.
    async fn body(&self, request: Request) -> Result<Value, Wrong> {
        let body = limited_body(request, &self.bounds).await?;
        if body.len() > BODY {
            let why = format!("a question has at most {BODY} bytes; ask for less at a time");
            return Err(Refused::new(StatusCode::PAYLOAD_TOO_LARGE, why).into());
        }
        if body.is_empty() {
            return Ok(Value::Null);
        }
        wire::read_value(&body).map_err(|why| bad(format!("the body is no JSON: {why}")))
    }
}

/// An answer, until its last byte has been taken.
struct Waiting {
    body: Vec<u8>,
    _room: OwnedSemaphorePermit,
}

impl AsRef<[u8]> for Waiting {
    fn as_ref(&self) -> &[u8] {
        &self.body
    }
}

const PAGES: [&str; 5] = ["query", "order", "limit", "after", "deadline"];

async fn messages(State(desk): State<Desk>, kept: Kept, RawQuery(query): RawQuery) -> Answer {
    let asked = Asked::of_address(query, &PAGES)?;
    let expr = asked.expr()?;
    page(&desk, kept, &asked, expr).await
}

/// A selector over the envelope, in a body such as `{"selector": {"type": "timer"}, "limit": 10}`.
async fn select(State(desk): State<Desk>, kept: Kept, request: Request) -> Answer {
    let missing = || bad("expected an object with a `selector`, such as {\"selector\": {\"type\": \"timer\"}}");
    let Value::Map(mut body) = desk.body(request).await? else { return Err(missing()) };
    let chosen = body.remove("selector");
    let pairs = body.into_iter().filter(|(_, value)| *value != Value::Null);
    let pairs = pairs.map(|(name, value)| (name, value.to_text().into_owned())).collect();
    let asked = Asked::of(pairs, &["selector", "order", "limit", "after", "deadline"])?;
    let expr = selector::parse(&chosen.ok_or_else(missing)?).map_err(|mistake| bad(mistake.to_string()))?;
    page(&desk, kept, &asked, expr).await
}

async fn page(desk: &Desk, kept: Kept, asked: &Asked, expr: Expr) -> Answer {
    let (order, time) = (asked.order()?, asked.deadline(DEADLINE.0, DEADLINE.1)?);
    let limit = asked.number("limit", 1..=MOST as u64)?.unwrap_or(PAGE);
    let limit = usize::try_from(limit).unwrap_or(MOST);
    let after = asked.after(order)?;
    let found = desk.ask(kept, move |store, settled| {
        Ok(written(find(store, &expr, order, after, limit, Instant::now() + time)?, order, settled))
    });
    desk.answer(found.await?)
}

fn written(page: Page, order: Order, settled: bool) -> Vec<u8> {
    let positions: Vec<u64> = page.messages.iter().map(|found| found.position).collect();
    let archived: Vec<u64> =
        page.messages.iter().filter(|found| found.archived.is_some()).map(|found| found.position).collect();
    let rest = tree!({
        "positions": positions,
        "archived": archived,
        "next": page.next.map(|next| next.to_text(order)),
        "partial": page.partial,
        "scanned": page.scanned,
        "settled": settled,
    });
    let rest = rest.to_string();
    let length: usize = page.messages.iter().map(|found| found.raw.len() + 1).sum();
    let mut body = Vec::with_capacity(length + rest.len() + 16);
    body.extend_from_slice(b"{\"messages\":[");
    for (at, found) in page.messages.into_iter().enumerate() {
        body.extend_from_slice(if at == 0 { b"" } else { b"," });
        body.extend_from_slice(&found.raw);
    }
    body.extend_from_slice(b"],");
    body.extend_from_slice(rest.trim_start_matches('{').as_bytes());
    body
}

/// One message, by its place in the store.
async fn one(State(desk): State<Desk>, kept: Kept, position: Result<At<String>, PathRejection>) -> Answer {
    let position = position.ok().filter(|At(text)| text.bytes().all(|byte| byte.is_ascii_digit()));
    let Some(position) = position.and_then(|At(text)| text.parse::<u64>().ok()) else {
        return Err(Refused::new(StatusCode::NOT_FOUND, "messages have numbers, such as /v1/messages/123").into());
    };
    let page = desk.ask(kept, move |store, _| {
        Ok(find(store, &Expr::Position(position), Order::NewestFirst, None, 1, Instant::now() + DEADLINE.0)?)
    });
    let mut page = page.await?;
    match page.messages.pop() {
        Some(found) => desk.answer(found.raw),
        None if page.partial => Err(Refused::later("time was up; try again", Duration::from_secs(1)).into()),
        None => Err(Refused::new(StatusCode::NOT_FOUND, "there is no such message, or not any more").into()),
    }
}

async fn count(State(desk): State<Desk>, kept: Kept, RawQuery(query): RawQuery) -> Answer {
    let known = ["query", "buckets", "by", "top", "facets", "measures", "courses", "deadline"];
    let asked = Asked::of_address(query, &known)?;
    let (expr, time) = (asked.expr()?, asked.deadline(DEADLINE.0, DEADLINE.1)?);
    let by = [("severity", By::Severity), ("type", By::Kind), ("logger", By::Logger)];
    let buckets = asked.number("buckets", 0..=MOST_BUCKETS as u64)?.unwrap_or(0);
    let top = asked.number("top", 1..=TOP)?.unwrap_or(10);
    if buckets * top > COUNTS {
        return Err(bad(format!("`buckets` times `top` is {}, at most {COUNTS} are allowed", buckets * top)));
    }
    let truth = [("true", true), ("false", false)];
    let measures = asked.one_of("measures", &truth)?.unwrap_or(false);
    let courses = asked.one_of("courses", &truth)?.unwrap_or(false);
    if courses && (!measures || buckets == 0) {
        return Err(bad(
            "`courses` are those of timers and counters in buckets: they go with `measures=true` and `buckets`",
        ));
    }
    let wanted = Wanted {
        since: None,
        until: None,
        buckets: usize::try_from(buckets).unwrap_or(MOST_BUCKETS),
        by: asked.one_of("by", &by)?.unwrap_or_default(),
        top: usize::try_from(top).unwrap_or(10),
        facets: asked.paths("facets", MOST_FACETS)?,
        measures,
        courses,
    };
    let counted = desk.ask(kept, move |store, settled| {
        let counted = tally(store, &expr, &wanted, Instant::now() + time)?;
        Ok(counted::written(&counted, settled))
    });
    desk.answer(counted.await?)
}

async fn everything(State(desk): State<Desk>, kept: Kept, RawQuery(query): RawQuery) -> Answer {
    let known = ["query", "order", "limit", "after", "format", "columns", "deadline"];
    let asked = Asked::of_address(query, &known)?;
    let as_csv = asked.one_of("format", &[("jsonl", false), ("csv", true)])?.unwrap_or(false);
    let mut columns = asked.paths("columns", csv::MOST)?;
    if !as_csv && !columns.is_empty() {
        return Err(bad("`columns` go with `format=csv`"));
    }
    if columns.is_empty() {
        columns.extend(csv::USUAL.into_iter().filter_map(Path::new));
    }
    let order = asked.order()?;
    let export = Export {
        expr: asked.expr()?,
        order,
        after: asked.after(order)?,
        left: asked.number("limit", 1..=u64::MAX)?.unwrap_or(u64::MAX),
        time: asked.deadline(EXPORT_DEADLINE.0, EXPORT_DEADLINE.1)?,
        columns: as_csv.then_some(columns),
        begun: false,
    };
    let (shelf, _) = shelf(kept).await?;
    let turn = desk.turn(TURN).await?;
    export.answer(desk, shelf, turn).await
}

async fn archive(State(desk): State<Desk>, kept: Kept, request: Request) -> Answer {
    change::change(&desk, kept, request, Change::Archive).await
}

async fn restore(State(desk): State<Desk>, kept: Kept, request: Request) -> Answer {
    change::change(&desk, kept, request, Change::Restore).await
}

async fn delete(State(desk): State<Desk>, kept: Kept, request: Request) -> Answer {
    change::change(&desk, kept, request, Change::Delete).await
}

async fn size(State(desk): State<Desk>, kept: Kept) -> Answer {
    let size = desk.ask(kept, |store, _| Ok(store.size()?)).await?;
    let moment = |at: Option<Timestamp>| at.map(|at| at.to_string());
    let body = tree!({
        "messages": size.messages, "archived": size.archived, "bytes": size.bytes, "oldest": moment(size.oldest),
        "newest": moment(size.newest),
    });
    desk.answer(body.to_string().into_bytes())
}

fn told_backup(backup: &Backup) -> serde_json::Value {
    tree!({
        "path": backup.path, "made": backup.made.to_string(), "bytes": backup.bytes, "whole": backup.whole,
        "note": backup.note,
    })
}

async fn backups(State(desk): State<Desk>, kept: Kept) -> Answer {
    let all = desk.ask(kept, |store, _| Ok(store.backups()?)).await?;
    let all: Vec<_> = all.iter().map(told_backup).collect();
    desk.answer(tree!({"backups": all}).to_string().into_bytes())
}

/// A note is one line for people.
const LONGEST_NOTE: usize = 500;

async fn backup(State(desk): State<Desk>, kept: Kept, request: Request) -> Answer {
    let note = match desk.body(request).await? {
        Value::Null => String::new(),
        Value::Map(body) => {
            body.iter().try_for_each(|(name, _)| asked::known_name("key", name, &["note"]))?;
            match body.get("note") {
                None | Some(Value::Null) => String::new(),
                Some(Value::Str(note)) if note.len() <= LONGEST_NOTE => note.clone(),
                Some(_) => return Err(bad(format!("`note` is a text of at most {LONGEST_NOTE} bytes"))),
            }
        }
        _ => return Err(bad("expected nothing, or an object with a `note`")),
    };
    let made = desk.ask(kept, move |store, _| Ok(store.backup(&note)?)).await?;
    desk.answer(told_backup(&made).to_string().into_bytes())
}
