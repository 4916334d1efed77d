//! Reports: who and what was at work, and how much. Each is made of a list of activities and knows no store.
//!
//! - [`activity`]: what a report needs of an event
//! - [`mod@sessions`]: how busy the system and its nodes were while it was set up
//! - [`mod@users`]: whose workflows ran
//! - [`mod@periods`]: the same hour by hour, day by day, week by week, month by month
//! - [`csv`]: the same as tables

pub mod activity;
pub mod csv;
#[cfg(test)]
mod examples;
pub mod periods;
pub mod sessions;
pub mod users;

use crate::ask::{Asked, Kept};
use crate::dialect::Manager;
use crate::reads::event_of;
use crate::zone::Zone;
use activity::{Activities, Activity};
use metlog_http::axum::body::Body;
use metlog_http::axum::extract::State;
use metlog_http::axum::http::header::{CONTENT_DISPOSITION, CONTENT_TYPE};
use metlog_http::axum::http::{HeaderValue, Response, StatusCode, Uri};
use metlog_http::axum::response::IntoResponse;
use metlog_http::server::{json, quote};
use metlog_http::{Refused, event};
use metlog_message::{Timestamp, Value};
use metlog_query::{End, Narrow, Order, Scan, Store, Trouble};
use std::ops::ControlFlow;
use std::time::Instant;

/// Events that one report is made of.
const EVENTS: usize = 100_000;

/// Bytes of the texts in them: usual ones have 10 MB.
const TEXTS: usize = 64 * 1024 * 1024;

/// Events from before the range in which names are looked for.
const EARLIER: usize = 10_000;

const MINUTE: i64 = 60_000_000_000;
const DAY: i64 = 24 * 60 * MINUTE;
const HOUR: f64 = 3.6e12;

/// From when to when, both inside.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Range {
    /// The first moment.
    pub start: Timestamp,
    /// The last.
    pub end: Timestamp,
}

impl Range {
    /// As asked for; a day from or before the one time that is given. `all` is the first and last event there is, asked
    /// for if no time is given, which has a minute added on each side; without any event it is the last day.
    fn of<E>(
        start: Option<Timestamp>,
        end: Option<Timestamp>,
        all: impl FnOnce() -> Result<Option<Range>, E>,
    ) -> Result<Self, E> {
        let moved = |at: Timestamp, by: i64| Timestamp::from_nanos(at.nanos().saturating_add(by));
        Ok(match (start, end) {
            (Some(start), Some(end)) => Range { start, end },
            (Some(start), None) => Range { start, end: moved(start, DAY) },
            (None, Some(end)) => Range { start: moved(end, -DAY), end },
            (None, None) => match all()? {
                Some(all) => Range { start: moved(all.start, -MINUTE), end: moved(all.end, MINUTE) },
                None => Range { start: moved(Timestamp::now(), -DAY), end: Timestamp::now() },
            },
        })
    }

    /// How long, in hours.
    pub fn hours(&self) -> f64 {
        hours(self.nanos())
    }

    fn nanos(&self) -> i64 {
        self.end.nanos().saturating_sub(self.start.nanos())
    }
}

/// Nanoseconds as hours.
fn hours(nanos: i64) -> f64 {
    nanos as f64 / HOUR
}

/// The same rounded as people do, halves that are none in binary included.
fn round(number: f64, places: usize) -> f64 {
    format!("{number:.places$}").parse().unwrap_or(number)
}

/// A moment as Python reads it in every version still in use.
fn iso(at: Timestamp) -> String {
    let text = at.to_string();
    let text = text.strip_suffix('Z').unwrap_or(&text);
    format!("{}+00:00", text.strip_suffix(".000000").unwrap_or(text))
}

fn object<const N: usize>(entries: [(&str, Value); N]) -> Value {
    Value::Map(entries.into_iter().collect())
}

/// The last eight letters or digits of an id, which tell things apart that were made at the same time.
fn tail(id: &str) -> &str {
    id.char_indices().rev().nth(7).and_then(|(at, _)| id.get(at..)).unwrap_or(id)
}

/// What every request for a report says.
struct Wish {
    start: Option<Timestamp>,
    end: Option<Timestamp>,
    csv: bool,
}

impl Wish {
    fn of(asked: &Asked) -> Result<Self, String> {
        let utc = Zone::utc();
        let moment = |name| asked.parsed(name, "an ISO 8601 date and time", |text| utc.moment(&text.into()));
        if asked.flag("save_to_file", false)? {
            return Err(
                "a report is not saved on the server, where anyone could then write files; ask for csv_format \
                        alone and save the answer"
                    .to_owned(),
            );
        }
        let wish =
            Wish { start: moment("start_time")?, end: moment("end_time")?, csv: asked.flag("csv_format", false)? };
        match (wish.start, wish.end) {
            (Some(start), Some(end)) if start >= end => Err("`start_time` is not before `end_time`".to_owned()),
            _ => Ok(wish),
        }
    }
}

/// `GET /utilization/sessions`.
pub async fn sessions(State(manager): State<Manager>, kept: Kept, uri: Uri) -> Response<Body> {
    let make = |activities: Activities| sessions::report(&activities);
    let asked = Asked::of(uri.query());
    answer(&manager, kept, Wish::of(&asked), sessions::KINDS, make, csv::sessions, "session_utilization_report").await
}

/// `GET /utilization/users` and `/user`.
pub async fn users(State(manager): State<Manager>, kept: Kept, uri: Uri) -> Response<Body> {
    let make = |activities: Activities| Ok(users::report(&activities));
    let asked = Asked::of(uri.query());
    answer(&manager, kept, Wish::of(&asked), users::KINDS, make, csv::users, "user_utilization_report").await
}

/// `GET /utilization/periods`.
pub async fn periods(State(manager): State<Manager>, kept: Kept, uri: Uri) -> Response<Body> {
    let asked = Asked::of(uri.query());
    let parsed = Wish::of(&asked).and_then(|wish| Ok((wish, periods::Cut::of(&asked)?)));
    let (wish, cut) = match parsed {
        Ok((wish, cut)) => (Ok(wish), cut),
        Err(why) => (Err(why), periods::Cut::default()),
    };
    let make = move |activities: Activities| periods::report(&activities, &cut);
    answer(&manager, kept, wish, sessions::KINDS, make, csv::periods, "utilization_periods_report").await
}

/// The report, as an object or a table. What is wrong with a request is told with 200, as the published servers do:
/// their clients make an empty answer of any other status.
async fn answer(
    manager: &Manager,
    kept: Kept,
    wish: Result<Wish, String>,
    kinds: &'static [&'static str],
    make: impl FnOnce(Activities) -> Result<Value, String> + Send + 'static,
    table: fn(&Value) -> String,
    file: &str,
) -> Response<Body> {
    let Wish { start, end, csv } = match wish {
        Ok(wish) => wish,
        Err(why) => return trouble(&why),
    };
    let made = manager.askers.ask(kept, manager.limits.report, move |store, deadline| {
        let range = Range::of(start, end, || whole(store, deadline))?;
        Ok(gather(store, range, kinds, deadline)?.and_then(make))
    });
    match made.await {
        Ok(Ok(report)) if csv => {
            let mut answer = Response::new(Body::from(table(&report)));
            let headers = answer.headers_mut();
            headers.insert(CONTENT_TYPE, HeaderValue::from_static("text/csv; charset=utf-8"));
            if let Ok(named) = HeaderValue::try_from(format!("attachment; filename={file}.csv")) {
                headers.insert(CONTENT_DISPOSITION, named);
            }
            answer
        }
        Ok(Ok(report)) => json(StatusCode::OK, event::json(&report)),
        Ok(Err(why)) => trouble(&why),
        Err(refused) => Refused::into_response(refused),
    }
}

fn trouble(why: &str) -> Response<Body> {
    let mut body = b"{\"error\":".to_vec();
    quote(&mut body, why);
    body.push(b'}');
    json(StatusCode::OK, body)
}

/// From the first event to the last.
fn whole(store: &dyn Store, deadline: Instant) -> Result<Option<Range>, Trouble> {
    let first = |order| {
        let mut found = None;
        let scan = Scan { narrow: Narrow::default(), order, after: None, deadline: deadline.into() };
        store.scan(&scan, &mut |row| {
            found = event_of(row).map(|_| row.timestamp);
            if found.is_some() { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
        })?;
        Ok(found)
    };
    let (start, end) = (first(Order::OldestFirst)?, first(Order::NewestFirst)?);
    Ok(start.zip(end).map(|(start, end)| Range { start, end }))
}

/// What happened in the range, in order, archived or not; and from before it, what gave things their names.
fn gather(
    store: &dyn Store,
    range: Range,
    kinds: &[&str],
    deadline: Instant,
) -> Result<Result<Activities, String>, Trouble> {
    let scan = |since, until, order, types: &[&str]| Scan {
        narrow: Narrow {
            since,
            until,
            types: types.iter().map(|kind| (*kind).to_owned()).collect(),
            ..Narrow::default()
        },
        order,
        after: None,
        deadline: deadline.into(),
    };
    let (mut events, mut texts) = (Vec::new(), 0);
    let behind = range.end.nanos().checked_add(1).map(Timestamp::from_nanos);
    let end = store.scan(&scan(Some(range.start), behind, Order::OldestFirst, kinds), &mut |row| {
        let Some(event) = event_of(row) else { return ControlFlow::Continue(()) };
        let activity = Activity::of(&event, row.timestamp);
        texts += activity.size();
        events.push(activity);
        if events.len() > EVENTS || texts > TEXTS { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
    })?;
    if texts > TEXTS {
        return Ok(Err("the names and ids in that range are too long for a report; ask for a shorter one".to_owned()));
    }
    if events.len() > EVENTS {
        return Ok(Err(format!("more than {EVENTS} events in that range; ask for a shorter one")));
    }
    if end == End::Late {
        return Ok(Err("the store was not done in time; ask for a shorter range".to_owned()));
    }
    let mut earlier = Vec::new();
    store.scan(&scan(None, Some(range.start), Order::NewestFirst, activity::NAMING), &mut |row| {
        earlier.extend(event_of(row).map(|event| Activity::of(&event, row.timestamp)));
        if earlier.len() < EARLIER { ControlFlow::Continue(()) } else { ControlFlow::Break(()) }
    })?;
    Ok(Ok(Activities::new(range, events, earlier)))
}
