//! Events are set aside, thrown away and copied.

use crate::ask::{Asked, Kept, detail};
use crate::dialect::{Manager, unfit};
use crate::reads::{event_of, since_when};
use crate::zone::Zone;
use metlog_http::axum::body::Body;
use metlog_http::axum::extract::State;
use metlog_http::axum::http::{Request, Response, StatusCode, Uri};
use metlog_http::axum::response::IntoResponse;
use metlog_http::server::json;
use metlog_http::{Refused, event};
use metlog_message::{Fields, Timestamp, Value, wire};
use metlog_query::{Change, End, Narrow, Order, Row, Scan, Store, Trouble};
use std::ops::ControlFlow;
use std::time::{Duration, Instant};

/// Messages that are changed at a time.
const AT_A_TIME: usize = 1000;

/// Ids in one request.
const IDS: usize = 10_000;

/// How long the one backup at a time may take before its asker hears that it goes on.
const BACKUP: Duration = Duration::from_secs(25);

/// The words of a description that are kept.
const NOTE: usize = 1000;

const DAY: i64 = 86_400_000_000_000;

/// `POST /events/archive`.
pub async fn archive(State(manager): State<Manager>, kept: Kept, request: Request<Body>) -> Response<Body> {
    let content = match manager.door.content(request).await {
        Ok(content) => content,
        Err(refused) => return refused.into_response(),
    };
    let narrows = match which(&content, &manager.zone) {
        Ok(narrows) => narrows,
        Err(why) => return unfit(&why),
    };
    let done = manager.askers.ask(kept, manager.limits.read, move |store, deadline| {
        let mut sum = (0, true);
        for narrow in narrows {
            let ids = narrow.ids.clone();
            let is_meant = |row: &Row<'_>| {
                event_of(row).is_some_and(|event| !event.archived && (ids.is_empty() || ids.contains(&event.id)))
            };
            let (count, whole) = change(store, Change::Archive, &narrow, deadline, is_meant)?;
            sum = (sum.0 + count, sum.1 && whole);
        }
        Ok(sum)
    });
    changed(done.await, "archived_count", "Successfully archived {} events")
}

/// What is to be set aside: some ids, or all before a day.
fn which(body: &[u8], zone: &Zone) -> Result<Vec<Narrow>, String> {
    let keys = match wire::read_value(body) {
        Ok(Value::Map(keys)) => keys,
        Ok(_) => return Err("the body is an object with `event_ids` or `before_date`".to_owned()),
        Err(refusal) => return Err(format!("the body is no JSON: {refusal}")),
    };
    let archived = Some(false);
    let ids = match keys.get("event_ids") {
        None | Some(Value::Null) => Vec::new(),
        Some(Value::List(ids)) => {
            let ids: Option<Vec<String>> = ids.iter().map(|id| id.as_str().map(str::to_owned)).collect();
            ids.ok_or("`event_ids` is a list of texts")?
        }
        Some(_) => return Err("`event_ids` is a list of texts".to_owned()),
    };
    if ids.len() > IDS {
        return Err(format!("`event_ids` has {} ids; send at most {IDS} at a time", ids.len()));
    }
    if !ids.is_empty() {
        let part = |ids: &[String]| Narrow { ids: ids.to_vec(), archived, ..Narrow::default() };
        return Ok(ids.chunks(100).map(part).collect());
    }
    match keys.get("before_date") {
        None | Some(Value::Null) => Err("Either event_ids or before_date must be provided".to_owned()),
        Some(date) => {
            let until = zone.moment(date).ok_or("`before_date` is an ISO 8601 date and time")?;
            Ok(vec![Narrow { until: Some(until), archived, ..Narrow::default() }])
        }
    }
}

/// `DELETE /events/archived`.
pub async fn purge(State(manager): State<Manager>, kept: Kept, uri: Uri) -> Response<Body> {
    let days = Asked::of(uri.query()).count("older_than_days", 365);
    let days = match days {
        Ok(days) => days,
        Err(why) => return unfit(&why),
    };
    let age = i64::try_from(days).ok().and_then(|days| days.checked_mul(DAY));
    let before = age.and_then(|age| Timestamp::now().nanos().checked_sub(age)).unwrap_or(i64::MIN);
    let zone = manager.zone.clone();
    let done = manager.askers.ask(kept, manager.limits.read, move |store, deadline| {
        let is_old = |row: &Row<'_>| since_when(row, &zone).is_some_and(|since| since.nanos() < before);
        change(store, Change::Delete, &Narrow::default(), deadline, is_old)
    });
    let message = format!("Permanently deleted {{}} archived events older than {days} days");
    changed(done.await, "deleted_count", &message)
}

/// Changes what is meant, some at a time. How many, and whether that was all.
fn change(
    store: &dyn Store,
    how: Change,
    narrow: &Narrow,
    deadline: Instant,
    is_meant: impl Fn(&Row<'_>) -> bool,
) -> Result<(u64, bool), Trouble> {
    let (mut count, mut after) = (0, None);
    loop {
        let mut positions = Vec::new();
        let scan = Scan { narrow: narrow.clone(), order: Order::OldestFirst, after, deadline: deadline.into() };
        let end = store.scan(&scan, &mut |row| {
            if is_meant(row) {
                positions.push(row.position);
                after = Some(row.cursor());
            }
            if positions.len() < AT_A_TIME { ControlFlow::Continue(()) } else { ControlFlow::Break(()) }
        })?;
        if !positions.is_empty() {
            count += store.change(how, &positions)?;
        }
        match end {
            End::Enough => {}
            End::All => return Ok((count, true)),
            End::Late => return Ok((count, false)),
        }
    }
}

fn changed(done: Result<(u64, bool), Refused>, name: &str, message: &str) -> Response<Body> {
    let (count, whole) = match done {
        Ok(done) => done,
        Err(refused) => return refused.into_response(),
    };
    let mut message = message.replace("{}", &count.to_string());
    if !whole {
        message.push_str("; there are more, call again");
    }
    let answer: Fields = [(name, Value::from(count)), ("message", message.into())].into_iter().collect();
    json(StatusCode::OK, event::json(&Value::Map(answer)))
}

/// `POST /backup`.
pub async fn backup(State(manager): State<Manager>, kept: Kept, request: Request<Body>) -> Response<Body> {
    let content = match manager.door.content(request).await {
        Ok(content) => content,
        Err(refused) => return refused.into_response(),
    };
    let note = match note(&content) {
        Ok(note) => note,
        Err(why) => return unfit(&why),
    };
    let Ok(turn) = manager.backing_up.clone().try_lock_owned() else {
        return detail(StatusCode::CONFLICT, "a backup is being made; ask /backup/status for it");
    };
    let made = manager.askers.ask(kept, BACKUP, move |store, _| {
        let made = store.backup(&note);
        drop(turn);
        made
    });
    match made.await {
        Ok(made) => {
            let answer: Fields = [("backup_path", made.path.as_str()), ("status", "completed")].into_iter().collect();
            json(StatusCode::OK, event::json(&Value::Map(answer)))
        }
        Err(refused) => refused.into_response(),
    }
}

fn note(body: &[u8]) -> Result<String, String> {
    if body.iter().all(u8::is_ascii_whitespace) {
        return Ok("manual_backup".to_owned());
    }
    let keys = match wire::read_value(body) {
        Ok(Value::Map(keys)) => keys,
        Ok(Value::Null) => Fields::new(),
        _ => return Err("the body is an object with `description`, or nothing".to_owned()),
    };
    match keys.get("description") {
        None | Some(Value::Null) => Ok("manual_backup".to_owned()),
        Some(Value::Str(text)) => Ok(text.chars().take(NOTE).collect()),
        Some(_) => Err("`description` is a text".to_owned()),
    }
}

/// `GET /backup/status`, for the clients also `GET /backup`.
pub async fn backups(State(manager): State<Manager>, kept: Kept) -> Response<Body> {
    let listed = manager.askers.ask(kept, manager.limits.read, |store, _| store.backups());
    let backups = match listed.await {
        Ok(backups) => backups,
        Err(refused) => return refused.into_response(),
    };
    let folder = backups.first().and_then(|one| one.path.rsplit_once(['/', '\\'])).map_or("", |(folder, _)| folder);
    let mut answer: Fields =
        [("backup_enabled", Value::from(true)), ("backup_dir", folder.into())].into_iter().collect();
    let one = |backup: &metlog_query::Backup| {
        let mut one = Fields::new();
        one.set("path", backup.path.as_str());
        one.set("created_at", backup.made.to_string());
        one.set("size_bytes", backup.bytes);
        one.set("is_valid", backup.whole);
        one.set("description", backup.note.as_str());
        Value::Map(one)
    };
    answer.set("available_backups", Value::List(backups.iter().map(one).collect()));
    json(StatusCode::OK, event::json(&Value::Map(answer)))
}
