//! Events are read back: one, the latest, those that a selector means, those set aside.

use crate::ask::{Asked, Kept, detail};
use crate::dialect::{Manager, unfit};
use crate::event::Event;
use crate::types::Speaker;
use crate::{literal, mapping, types, ulid};
use memchr::memmem;
use metlog_http::axum::body::Body;
use metlog_http::axum::extract::{Path, State};
use metlog_http::axum::http::{HeaderMap, HeaderValue, Request, Response, StatusCode, Uri};
use metlog_http::axum::response::IntoResponse;
use metlog_http::server::json;
use metlog_http::{Refused, event};
use metlog_message::wire::{self, Limits};
use metlog_message::{Timestamp, Value};
use metlog_query::{End, Narrow, Order, Row, Scan, Store, Trouble};
use std::collections::HashSet;
use std::ops::ControlFlow;
use std::time::Instant;

/// Bytes of one answer: events may have a megabyte each.
const ANSWER: usize = 32 * 1024 * 1024;

/// Says that there is more than the answer holds, and why; the answer itself must hold nothing but events.
const PARTIAL: &str = "x-metlog-partial";

/// Archived events that are put in order at a time, newest first: 16 bytes each.
const ARCHIVED: usize = 1_000_000;

/// The event in a row, if it is one.
pub fn event_of(row: &Row<'_>) -> Option<Event> {
    // Most messages of most stores are none, and reading them takes ten times as long.
    memmem::find(row.raw, mapping::VIA.1.as_bytes())?;
    let message = wire::read(row.raw, &Limits::NONE).ok()?.message;
    let is_event = message.extra.get(mapping::VIA.0).and_then(Value::as_str) == Some(mapping::VIA.1);
    is_event.then(|| mapping::event(message))
}

/// Events by their ids, in the order in which they were found.
struct Page {
    body: Vec<u8>,
    seen: HashSet<String>,
    speaker: Speaker,
    skip: usize,
    left: usize,
    partial: Option<&'static str>,
}

impl Page {
    /// `number` is what was asked for; 0 asks for all, which are at most `most`.
    fn new(speaker: Speaker, skip: usize, number: usize, most: usize) -> Self {
        let left = if number == 0 { most } else { number.min(most) };
        let capped = number == 0 || number > most;
        let partial = capped.then_some("more than one answer holds; ask for less, or for the next with offset");
        Page { body: b"{".to_vec(), seen: HashSet::new(), speaker, skip, left, partial }
    }

    /// Adds one, unless its id is there already: the newest of them stands for all.
    fn add(&mut self, event: Event, archived: Option<Timestamp>) -> ControlFlow<()> {
        if !self.seen.insert(event.id.clone()) {
            return ControlFlow::Continue(());
        }
        if self.skip > 0 {
            self.skip -= 1;
            return ControlFlow::Continue(());
        }
        if self.left == 0 {
            return ControlFlow::Break(());
        }
        let before = self.body.len();
        if before > 1 {
            self.body.push(b',');
        }
        wire::write_str(&mut self.body, &event.id);
        self.body.push(b':');
        wire::write_value(&mut self.body, &Value::Map(event.answer(self.speaker, archived)));
        if self.body.len() > ANSWER && before > 1 {
            self.body.truncate(before);
            self.partial = Some("more bytes than one answer holds; ask for the next with offset");
            self.left = 0;
            return ControlFlow::Break(());
        }
        self.left -= 1;
        ControlFlow::Continue(())
    }

    fn answer(mut self, end: End) -> Response<Body> {
        self.body.push(b'}');
        let mut answer = json(StatusCode::OK, self.body);
        let partial = match end {
            End::All => None,
            End::Enough => self.partial,
            End::Late => Some("the store was not done in time; ask for less"),
        };
        if let Some(why) = partial {
            answer.headers_mut().insert(PARTIAL, HeaderValue::from_static(why));
        }
        answer
    }
}

fn scan(narrow: Narrow, deadline: Instant) -> Scan {
    Scan { narrow, order: Order::NewestFirst, after: None, deadline: deadline.into() }
}

/// `GET /event/{id}`.
pub async fn event(
    State(manager): State<Manager>,
    kept: Kept,
    headers: HeaderMap,
    Path(id): Path<String>,
) -> Response<Body> {
    let speaker = Speaker::of(&headers);
    let wanted = id.clone();
    let found = manager.askers.ask(kept, manager.limits.read, move |store, deadline| one(store, &wanted, deadline));
    match found.await {
        Ok(Some((event, archived))) => json(StatusCode::OK, event::json(&Value::Map(event.answer(speaker, archived)))),
        Ok(None) => detail(StatusCode::NOT_FOUND, &format!("Event with ID {id} not found")),
        Err(refused) => refused.into_response(),
    }
}

/// The first that came of those with this id.
fn one(store: &dyn Store, id: &str, deadline: Instant) -> Result<Option<(Event, Option<Timestamp>)>, Trouble> {
    let by_id = Narrow { ids: vec![id.to_owned()], ..Narrow::default() };
    // Messages of our own clients may have a field `id`, which stores take for theirs; the event's tells its time.
    let by_time = ulid::millisecond(id).and_then(|since| {
        let until = Timestamp::from_nanos(since.nanos().checked_add(1_000_000)?);
        Some(Narrow { since: Some(since), until: Some(until), ..Narrow::default() })
    });
    for narrow in std::iter::once(by_id).chain(by_time) {
        let mut found: Option<(u64, Event, Option<Timestamp>)> = None;
        let end = store.scan(&scan(narrow, deadline), &mut |row| {
            if let Some(event) = event_of(row).filter(|event| event.id == id) {
                let earlier = found.as_ref().is_none_or(|(position, ..)| row.position < *position);
                if earlier {
                    found = Some((row.position, event, row.archived));
                }
            }
            ControlFlow::Continue(())
        })?;
        match found {
            Some((_, event, archived)) => return Ok(Some((event, archived))),
            None if end == End::Late => return Err(Trouble::Away("the store was not done in time".to_owned())),
            None => {}
        }
    }
    Ok(None)
}

/// `GET /events`.
pub async fn events(State(manager): State<Manager>, kept: Kept, headers: HeaderMap, uri: Uri) -> Response<Body> {
    let asked = Asked::of(uri.query());
    let wanted = match Wanted::of(&asked, &manager) {
        Ok(wanted) => wanted,
        Err(why) => return unfit(&why),
    };
    let mut page = Page::new(Speaker::of(&headers), wanted.offset, wanted.number, manager.limits.events);
    let answer = manager.askers.ask(kept, manager.limits.read, move |store, deadline| {
        let narrow = Narrow {
            since: wanted.since,
            until: wanted.until,
            severity_max: Some(types::severity(wanted.level.clamp(0, 50) as u8).number()),
            archived: (!wanted.archived).then_some(false),
            ..Narrow::default()
        };
        let end = store.scan(&scan(narrow, deadline), &mut |row| match event_of(row) {
            Some(event) if wanted.is(&event, row.archived) => page.add(event, row.archived),
            _ => ControlFlow::Continue(()),
        })?;
        Ok(page.answer(end))
    });
    answer.await.unwrap_or_else(Refused::into_response)
}

/// What `GET /events` asks for.
struct Wanted {
    number: usize,
    offset: usize,
    level: i64,
    since: Option<Timestamp>,
    until: Option<Timestamp>,
    archived: bool,
}

impl Wanted {
    fn of(asked: &Asked, manager: &Manager) -> Result<Self, String> {
        let level = |text: &str| text.trim().parse().ok().or_else(|| types::level(text).map(i64::from));
        let moment = |text: &str| manager.zone.moment(&text.into());
        let time = |name| asked.parsed(name, "an ISO 8601 date and time", moment);
        Ok(Wanted {
            number: asked.count("number", 100)?,
            offset: asked.count("offset", 0)?,
            level: asked.parsed("level", "a number, or the name of a level", level)?.unwrap_or(0),
            since: time("start_time")?,
            // The end is meant to be inside.
            until: time("end_time")?.and_then(|end| end.nanos().checked_add(1).map(Timestamp::from_nanos)),
            archived: asked.flag("include_archived", false)?,
        })
    }

    fn is(&self, event: &Event, archived: Option<Timestamp>) -> bool {
        i64::from(event.level) >= self.level && (self.archived || !event.archived && archived.is_none())
    }
}

/// `POST /events/query`: the selector is the body, or stands behind the question mark, where the clients put it.
pub async fn query(State(manager): State<Manager>, kept: Kept, request: Request<Body>) -> Response<Body> {
    let speaker = Speaker::of(request.headers());
    let asked = Asked::of(request.uri().query());
    let content = match manager.door.content(request).await {
        Ok(content) => content,
        Err(refused) => return refused.into_response(),
    };
    let selector = match selector(&content, &asked) {
        Ok(selector) => selector,
        Err((status, why)) => return detail(status, &why),
    };
    let zone = manager.zone.clone();
    let mut page = Page::new(speaker, 0, 0, manager.limits.events);
    let answer = manager.askers.ask(kept, manager.limits.read, move |store, deadline| {
        let end = store.scan(&scan(Narrow::default(), deadline), &mut |row| {
            let Some(event) = event_of(row) else { return ControlFlow::Continue(()) };
            if selector.holds(&event, row.archived, speaker, &zone) {
                return page.add(event, row.archived);
            }
            ControlFlow::Continue(())
        })?;
        Ok(page.answer(end))
    });
    answer.await.unwrap_or_else(Refused::into_response)
}

type Unread = (StatusCode, String);

fn selector(body: &[u8], asked: &Asked) -> Result<Selector, Unread> {
    let bad = |why: String| (StatusCode::BAD_REQUEST, why);
    let value = if body.iter().all(u8::is_ascii_whitespace) {
        let mut given = asked.all("selector").filter(|text| !text.is_empty());
        match (given.next(), given.next()) {
            // `requests` leaves out a parameter that is empty, and an empty selector means everything.
            (None, _) => Value::Map(Default::default()),
            (Some(text), None) if text.trim_start().starts_with('{') => {
                literal::read(text).map_err(|why| bad(format!("`selector` is no JSON and no Python literal: {why}")))?
            }
            // Better no answer than events that were not asked for.
            _ => {
                return Err(bad("only the selector's keys arrived, which is all that client 0.5.2 sends of it; send \
                                the selector as a JSON body, or use client 0.8.1"
                    .to_owned()));
            }
        }
    } else {
        wire::read_value(body).map_err(|refusal| bad(format!("the selector is no JSON: {refusal}")))?
    };
    Selector::of(&value).map_err(bad)
}

/// `GET /events/archived`.
pub async fn archived(State(manager): State<Manager>, kept: Kept, headers: HeaderMap, uri: Uri) -> Response<Body> {
    let asked = Asked::of(uri.query());
    let (number, offset) = match (asked.count("number", 100), asked.count("offset", 0)) {
        (Ok(number), Ok(offset)) => (number, offset),
        (Err(why), _) | (_, Err(why)) => return unfit(&why),
    };
    let zone = manager.zone.clone();
    let mut page = Page::new(Speaker::of(&headers), offset, number, manager.limits.events);
    let answer = manager.askers.ask(kept, manager.limits.read, move |store, deadline| {
        let mut places = Vec::new();
        let mut end = store.scan(&scan(Narrow::default(), deadline), &mut |row| {
            places.extend(since_when(row, &zone).map(|since| (since, row.position)));
            if places.len() < ARCHIVED { ControlFlow::Continue(()) } else { ControlFlow::Break(()) }
        })?;
        if places.len() == ARCHIVED {
            page.partial = Some("more are archived than are put in order at a time");
        }
        // The latest that was set aside comes first.
        places.sort_unstable_by(|one, other| other.cmp(one));
        for some in places.chunks(256) {
            let narrow =
                Narrow { positions: some.iter().map(|(_, position)| *position).collect(), ..Narrow::default() };
            let mut rows = Vec::new();
            let part = store.scan(&scan(narrow, deadline), &mut |row| {
                rows.extend(event_of(row).map(|event| (row.position, event, row.archived)));
                ControlFlow::Continue(())
            })?;
            rows.sort_unstable_by_key(|(at, ..)| some.iter().position(|(_, position)| position == at));
            if part == End::Late {
                end = End::Late;
            }
            if rows.into_iter().any(|(_, event, since)| page.add(event, since).is_break()) {
                end = End::Enough;
                break;
            }
        }
        Ok(page.answer(end))
    });
    answer.await.unwrap_or_else(Refused::into_response)
}

/// Since when an event is set aside, by the store's word or its sender's.
pub fn since_when(row: &Row<'_>, zone: &crate::zone::Zone) -> Option<Timestamp> {
    if row.archived.is_none() {
        memmem::find(row.raw, b"\"archived\":true")?;
    }
    let event = event_of(row)?;
    row.archived.or_else(|| {
        let said = zone.moment(&event.archived_at).unwrap_or_default();
        event.archived.then_some(said)
    })
}

/// What `POST /events/query` means.
pub struct Selector(metlog_query::expr::Expr);

impl Selector {
    fn of(selector: &Value) -> Result<Self, String> {
        metlog_query::selector::parse(selector).map(Selector).map_err(|why| why.to_string())
    }

    /// Whether it holds of the event as its asker knows it: with its own words for types, both names of the id, and a
    /// time that can be compared.
    fn holds(&self, event: &Event, archived: Option<Timestamp>, speaker: Speaker, zone: &crate::zone::Zone) -> bool {
        let mut document = event.clone().answer(speaker, archived);
        if speaker == Speaker::Either {
            document.set("event_type", event.kind);
        }
        document.set("event_id", event.id.as_str());
        if let Some(at) = zone.moment(&event.timestamp) {
            document.set("event_timestamp", at.to_string());
        }
        self.0.holds_document(&Value::Map(document))
    }
}
