//! The interface of an event manager, of both releases and for their clients as they are.

use crate::ask::{Askers, Kept, detail};
use crate::event::{Event, NoEvent};
use crate::recent::{Claim, Recent};
use crate::types::Speaker;
use crate::zone::Zone;
use crate::{about, keeping, mapping, reads, reports, ulid};
use metlog_http::axum::Router;
use metlog_http::axum::body::Body;
use metlog_http::axum::extract::State;
use metlog_http::axum::http::header::USER_AGENT;
use metlog_http::axum::http::{HeaderMap, Request, Response, StatusCode};
use metlog_http::axum::response::IntoResponse;
use metlog_http::axum::routing::{MethodRouter, delete, get, post};
use metlog_http::server::{Fragments, json, quote};
use metlog_http::{Dialect, DialectEntry, Door, Refused, event};
use metlog_message::{Message, Timestamp, Value, wire};
use metlog_pipeline::registry::Configured;
use metlog_pipeline::{Reason, inventory};
use metlog_query::{Narrow, Order, Scan, Store};
use metlog_settings::Span;
use serde::Deserialize;
use std::ops::ControlFlow;
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::sync::Semaphore;
use tokio::time::timeout;

/// Settings of the `madsci` dialect.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    /// What `GET /definition` calls it. `metlog` by default.
    pub name: Option<String>,
    /// Its id, a ULID. A new one at every start by default.
    pub manager_id: Option<String>,
    /// Where an `event_timestamp` without a zone was written: a name such as `Europe/Berlin`, or `system`. `UTC` by
    /// default, as MADSci's own reports take it.
    pub timezone: Option<String>,
    /// Events in one answer. 10000 by default.
    pub max_events: Option<usize>,
    /// How long the store may look for events before it gives what it has. `8s` by default: clients wait for ten.
    pub read_timeout: Option<Span>,
    /// The same for a report. `25s` by default: clients wait for thirty or more.
    pub report_timeout: Option<Span>,
}

/// How long an answer to a write may be held up by asking the store for an id.
const LOOK_UP: Duration = Duration::from_millis(500);

/// So many ids are looked up at a time.
const LOOK_UPS: usize = 16;

/// The interface of an event manager.
#[derive(Debug)]
pub struct MadsciDialect {
    config: Config,
    zone: Zone,
    manager_id: String,
}

/// What every route has at hand.
#[derive(Clone)]
pub(crate) struct Manager {
    pub door: Door,
    recent: Recent,
    looking_up: Arc<Semaphore>,
    pub askers: Askers,
    pub zone: Zone,
    pub limits: Limits,
    pub about: Arc<about::About>,
    pub backing_up: Arc<tokio::sync::Mutex<()>>,
}

/// How much, how long.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Limits {
    pub events: usize,
    pub read: Duration,
    pub report: Duration,
}

impl Config {
    pub(crate) fn limits(&self) -> Limits {
        Limits {
            events: self.max_events.unwrap_or(10_000),
            read: self.read_timeout.map_or(Duration::from_secs(8), Span::duration),
            report: self.report_timeout.map_or(Duration::from_secs(25), Span::duration),
        }
    }

    fn zone(&self) -> Result<Zone, String> {
        match self.timezone.as_deref() {
            None => Ok(Zone::utc()),
            Some(name) => Zone::named(name)
                .ok_or_else(|| format!("`timezone` is `{name}`, which is no zone; write one such as `Europe/Berlin`")),
        }
    }
}

impl Dialect for MadsciDialect {
    fn routes(self: Box<Self>, door: Door) -> Router {
        let manager = Manager {
            door,
            recent: Recent::default(),
            looking_up: Arc::new(Semaphore::new(LOOK_UPS)),
            askers: Askers::default(),
            limits: self.config.limits(),
            about: Arc::new(about::About::new(&self.config, &self.zone, self.manager_id)),
            zone: self.zone,
            backing_up: Arc::default(),
        };
        // Each with and without its last slash, since a redirected write comes again as a GET without its body.
        let both = |router: Router<Manager>, (path, with): (&str, MethodRouter<Manager>)| {
            router.route(&format!("{path}/"), with.clone()).route(path, with)
        };
        let reading = [
            ("/event/{id}", get(reads::event)),
            ("/events", get(reads::events)),
            ("/events/query", post(reads::query)),
            ("/events/archived", get(reads::archived)),
            ("/backup", get(keeping::backups)),
            ("/backup/status", get(keeping::backups)),
            ("/utilization/sessions", get(reports::sessions)),
            ("/utilization/periods", get(reports::periods)),
            // The client of either release asks for the one, the server of 0.8.1 has the other.
            ("/utilization/users", get(reports::users)),
            ("/utilization/user", get(reports::users)),
        ];
        let admin = [
            ("/events/archive", post(keeping::archive)),
            ("/events/archived", delete(keeping::purge)),
            ("/backup", post(keeping::backup)),
        ];
        let anyone = [
            ("/definition", get(about::definition)),
            ("/health", get(about::health)),
            ("/settings", get(about::settings)),
        ];
        let door = manager.door.clone();
        let reading = reading.into_iter().fold(Router::new(), both).with_state(manager.clone());
        let admin = admin.into_iter().fold(Router::new(), both).with_state(manager.clone());
        let anyone = anyone.into_iter().fold(Router::new(), both).with_state(manager.clone());
        let writing = both(Router::new(), ("/event", post(write))).with_state(manager);
        writing.merge(door.for_reading(reading)).merge(door.for_admin(admin)).merge(door.for_any_key(anyone))
    }

    fn home(&self) -> Fragments {
        let about = about::About::new(&self.config, &self.zone, self.manager_id.clone());
        about.definition().into_iter().map(|(name, value)| (name, event::json(&value).into())).collect()
    }
}

impl Configured for MadsciDialect {
    type Config = Config;

    fn check(config: &Config) -> Result<(), String> {
        config.zone()?;
        match &config.manager_id {
            Some(id) if !ulid::is_valid(id) => {
                Err(format!("`manager_id` is `{id}`, which is no ULID: 26 digits and capitals"))
            }
            _ if config.max_events == Some(0) => Err("`max_events` is 0, so nothing could be read".to_owned()),
            _ => Ok(()),
        }
    }

    fn open(config: Config) -> Result<Self, String> {
        Self::check(&config)?;
        let manager_id = config.manager_id.clone().unwrap_or_else(|| ulid::new(Timestamp::now()));
        Ok(MadsciDialect { zone: config.zone()?, manager_id, config })
    }
}

inventory::submit! { DialectEntry::of::<MadsciDialect>("madsci", include_str!("../example.dialect.toml")) }

impl Speaker {
    /// Whose words a client wants: 0.5.2 is made with `requests`, 0.8.1 with `httpx`, and neither says more.
    pub fn of(headers: &HeaderMap) -> Self {
        let agent = headers.get(USER_AGENT).and_then(|agent| agent.to_str().ok()).unwrap_or_default();
        match agent {
            agent if agent.starts_with("python-requests/") => Speaker::Old,
            agent if agent.starts_with("python-httpx/") => Speaker::New,
            _ => Speaker::Either,
        }
    }
}

/// `POST /event`.
async fn write(State(manager): State<Manager>, kept: Kept, request: Request<Body>) -> Response<Body> {
    let speaker = Speaker::of(request.headers());
    let written = match manager.door.content(request).await {
        Ok(content) => manager.write(&content, speaker, kept).await,
        // The one of 0.5.2 sends what is too large again for ever, between everything else.
        Err(refused) if speaker == Speaker::Old && refused.status == StatusCode::PAYLOAD_TOO_LARGE => {
            manager.refuse(&[], Reason::TooLarge, NoEvent { id: None, why: refused.error.into_owned() }).await
        }
        Err(refused) => Err(refused),
    };
    written.unwrap_or_else(Refused::into_response)
}

impl Manager {
    async fn write(&self, content: &[u8], speaker: Speaker, kept: Kept) -> Result<Response<Body>, Refused> {
        let read = wire::read_value(content).map_err(|refusal| {
            let reason = match refusal {
                wire::Refusal::Syntax { .. } | wire::Refusal::Empty => Reason::Malformed,
                _ => Reason::TooLarge,
            };
            (reason, NoEvent { id: None, why: refusal.to_string() })
        });
        let event = match read.and_then(|value| Event::read(value).map_err(|no| (Reason::Malformed, no))) {
            Ok(event) => event,
            Err((reason, no)) => return self.refuse(content, reason, no).await,
        };
        // A repeat is answered like the first, which is the one that stays.
        let Some(claim) = self.recent.claim(&event.id).await else { return Ok(answer(event, speaker)) };
        if self.is_kept(kept, &event.id).await {
            claim.safe();
            return Ok(answer(event, speaker));
        }
        self.take(event, speaker, claim).await
    }

    /// Writes it, and answers once it is safe.
    async fn take(&self, event: Event, speaker: Speaker, claim: Claim) -> Result<Response<Body>, Refused> {
        let at = self.zone.moment(&event.timestamp).unwrap_or_else(Timestamp::now);
        let message: Message = mapping::message(event.clone(), at);
        let mut line = Vec::with_capacity(1024);
        wire::write(&mut line, &message);
        let mut inlet = self.door.inlet();
        inlet.push(&line);
        let receipt = self.door.keep(inlet).await?;
        if let Some(rejected) = receipt.rejected.into_iter().next() {
            return Ok(refusal(NoEvent { id: Some(event.id), why: rejected.why }));
        }
        claim.safe();
        Ok(answer(event, speaker))
    }

    /// Whether the store has had this id since before the window. When it does not say so in time, the event is taken.
    async fn is_kept(&self, kept: Kept, id: &str) -> bool {
        let Some(shelf) = kept else { return false };
        let narrow = Narrow { ids: vec![id.to_owned()], ..Narrow::default() };
        let deadline = (Instant::now() + LOOK_UP).into();
        let Ok(Ok(turn)) = timeout(LOOK_UP, self.looking_up.clone().acquire_owned()).await else { return false };
        let (_asker, store) = shelf.lend();
        let asked = tokio::task::spawn_blocking(move || {
            let _turn = turn;
            let scan = Scan { narrow, order: Order::NewestFirst, after: None, deadline };
            let mut found = false;
            // A store that cannot be read must not keep anyone from writing.
            let _end = store.scan(&scan, &mut |row| {
                found = reads::event_of(row).is_some_and(|event| scan.narrow.ids.contains(&event.id));
                if found { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
            });
            found
        });
        matches!(timeout(LOOK_UP, asked).await, Ok(Ok(true)))
    }

    /// What is no event goes to the dead letters and is answered as if it were one: a client that hears 422 repeats it
    /// for ever or forgets it, and neither helps anybody.
    async fn refuse(&self, part: &[u8], reason: Reason, no: NoEvent) -> Result<Response<Body>, Refused> {
        let mut inlet = self.door.inlet();
        inlet.refuse(part, reason, &no.why);
        self.door.keep(inlet).await?;
        Ok(refusal(no))
    }
}

fn answer(event: Event, speaker: Speaker) -> Response<Body> {
    json(StatusCode::OK, event::json(&Value::Map(event.answer(speaker, None))))
}

/// Short and ASCII, as all that tells of a fault.
fn refusal(no: NoEvent) -> Response<Body> {
    let mut body = b"{\"_id\":".to_vec();
    match no.id {
        Some(id) => quote(&mut body, &id),
        None => body.extend_from_slice(b"null"),
    }
    body.extend_from_slice(b",\"metlog_refused\":");
    quote(&mut body, &no.why);
    body.push(b'}');
    json(StatusCode::OK, body)
}

/// A parameter that is not what it is to be.
pub(crate) fn unfit(why: &str) -> Response<Body> {
    detail(StatusCode::UNPROCESSABLE_ENTITY, why)
}
