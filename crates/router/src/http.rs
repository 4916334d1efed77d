//! What the router serves over HTTP about itself, and the ports on which dialects are spoken.

mod control;
mod deadletters;
pub mod docs;
mod explain;
mod fields;
mod fleet;
pub mod metrics;
pub mod page;
pub mod pipeline;
pub mod query;
pub mod status;
mod tail;

use crate::config::{HttpInput, RouterSettings};
use crate::intake::Floor;
use crate::kept::{self, Kept};
use crate::router::Router as Metlog;
use async_trait::async_trait;
use axum::body::Body;
use axum::extract::State;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use metlog_http::server::{Counters, DialectEntry, Fragments, Gate, Guard, Server, ServerLimits, home_route};
use metlog_pipeline::input::Renew;
use metlog_pipeline::registry::blame;
use metlog_pipeline::{Inlet, Input, Stop};
use metlog_settings::{Kind, Node, Origin, Problem, Problems, Table, suggest};
use metlog_tls::Identity;
use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError, Weak};

fn address(setting: &str, text: &str) -> Result<SocketAddr, String> {
    text.parse().map_err(|_| format!("`{setting}` is `{text}`, expected an address and a port such as 127.0.0.1:5568"))
}

/// Whether a port may be where it is; `setting` is what the configuration calls it.
///
/// # Errors
/// If its address is none, or others can reach it and are not asked for keys. There is no way around these: what can ask
/// who somebody is does so.
pub fn reachable(setting: &str, text: &str, trusted_network: bool, keys: bool) -> Result<(), String> {
    if keys || address(setting, text)?.ip().to_canonical().is_loopback() {
        return address(setting, text).map(drop);
    }
    let trusted = if trusted_network {
        "; `trusted_network = true` is not enough for HTTP, where keys can be asked for"
    } else {
        ""
    };
    Err(format!(
        "`{setting}` is `{text}`, which other machines can reach, and there are no keys: `metlog-router key new` makes \
         one; or `tls.client_ca_file`, and whoever comes needs a certificate{trusted}"
    ))
}

/// Binds a port.
///
/// # Errors
/// If the address is none of this machine, or in use; if a certificate is not right.
fn bind(
    setting: &str,
    text: &str,
    allowed_hosts: &[String],
    tls: Option<&Identity>,
    gate: Arc<Gate>,
) -> Result<Server, String> {
    let at = address(setting, text)?;
    let server =
        Server::bind(at, ServerLimits::default()).map_err(|error| format!("cannot listen on {at}: {error}"))?;
    let server = server.allow_hosts(allowed_hosts).ask_for_keys(gate);
    match tls {
        None => Ok(server),
        Some(identity) => server.secure(identity),
    }
}

/// What every HTTP port stands on.
#[derive(Clone)]
pub struct Ground {
    /// The keys that are asked for.
    pub gate: Arc<Gate>,
    /// What is kept and can be asked for.
    pub kept: Arc<Kept>,
    /// The router's inner parts.
    pub floor: Arc<Floor>,
    /// Where each port's counters go, by its URL.
    pub ports: Ports,
}

/// What HTTP ports count, by their URLs.
pub type Ports = Arc<Mutex<BTreeMap<String, Arc<Counters>>>>;

impl Ground {
    /// Routes as a server serves them: with what several dialects say at `/`, and with the store for those who ask.
    pub fn under(&self, server: &Server, routes: axum::Router, home: Fragments) -> axum::Router {
        let home = server.guard().for_any_key(home_route(home));
        kept::lend(routes.merge(home), &self.kept, &self.floor)
    }

    /// The same for the router's own port, where the page is at home too.
    pub fn under_page(&self, server: &Server, routes: axum::Router, home: Fragments) -> axum::Router {
        let home = page::before(server.guard().for_any_key(home_route(home)));
        kept::lend(routes.merge(home), &self.kept, &self.floor)
    }
}

/// The routes of an input's dialects, all if it names none, from a server's requests towards an inlet; and what they say
/// at `/`.
///
/// # Errors
/// If one does not open.
pub fn dialects(server: &Server, input: &HttpInput, inlet: &Inlet) -> Result<(axum::Router, Fragments), String> {
    let (mut routes, mut home) = (axum::Router::new(), Fragments::new());
    for entry in chosen(&input.dialects) {
        let keyless = input.keyless.iter().any(|name| name == entry.name);
        let empty = || Node::new(Origin::named(entry.name), Kind::Table(Table::default()));
        let settings = input.settings.get(entry.name).cloned().unwrap_or_else(empty);
        let dialect = (entry.read)(&settings).map_err(|problems| problems.to_string())?()?;
        home.extend(dialect.home());
        routes = routes.merge(server.door(inlet.another()).lead_to(entry.name, keyless, dialect));
    }
    Ok((routes, home))
}

fn chosen(names: &[String]) -> Vec<&'static DialectEntry> {
    let all = DialectEntry::all();
    all.into_iter().filter(|entry| names.is_empty() || names.iter().any(|name| name == entry.name)).collect()
}

/// An HTTP input with a port of its own.
pub struct Listener {
    server: Server,
    input: HttpInput,
    ground: Ground,
}

impl Listener {
    /// Binds it.
    ///
    /// # Errors
    /// If the address is none of this machine, or in use.
    pub fn open(input: &HttpInput, ground: Ground) -> Result<Self, String> {
        let server = bind("listen", &input.listen, &input.allowed_hosts, input.tls.as_ref(), ground.gate.clone())?;
        Ok(Listener { server, input: input.clone(), ground })
    }
}

#[async_trait]
impl Input for Listener {
    fn place(&self) -> String {
        self.server.url()
    }

    fn renew(&self) -> Option<Renew> {
        self.server.tls().map(|tls| tls.renewer())
    }

    async fn run(self: Box<Self>, inlet: Inlet, stop: Stop) -> Result<(), String> {
        let (routes, home) = dialects(&self.server, &self.input, &inlet)?;
        let routes = self.ground.under(&self.server, routes, home);
        let (ports, url) = (self.ground.ports.clone(), self.server.url());
        let ports = || ports.lock().unwrap_or_else(PoisonError::into_inner);
        ports().insert(url.clone(), self.server.counters());
        let served = self.server.serve(routes, stop).await.map_err(|error| error.to_string());
        ports().remove(&url);
        served
    }
}

/// Whether the dialects that a setting of a section names exist.
pub fn check_dialects(setting: &str, names: &[String], section: &Node, problems: &mut Problems) {
    let known: Vec<&str> = DialectEntry::all().into_iter().map(|entry| entry.name).collect();
    let place = section.get(setting).map_or(&section.origin, |node| &node.origin);
    for name in names.iter().filter(|name| !known.contains(&name.as_str())) {
        let message = format!("unknown dialect `{name}`, this program has {}", known.join(", "));
        problems.push(Problem::at(place, message).suggest(suggest::nearest(name, known.iter().copied())));
    }
}

/// Whether an input's dialects exist, and whether it may be reached by those who can; `keys`: whether there are any.
///
/// # Errors
/// What is not, and what would be right.
pub fn check(input: &HttpInput, section: &Node, router: &RouterSettings, keys: bool) -> Result<(), Problems> {
    let mut problems = Problems::new();
    check_dialects("dialects", &input.dialects, section, &mut problems);
    check_dialects("keyless", &input.keyless, section, &mut problems);
    let unspoken = |name: &&String| !input.dialects.is_empty() && !input.dialects.contains(name);
    if let Some(name) = input.keyless.iter().find(unspoken) {
        problems
            .push(blame(section, format!("`keyless` names `{name}`, which is not among the `dialects` spoken here")));
    }
    let own = input.listen.is_empty();
    if let Some(tls) = &input.tls {
        problems.note(tls.check().map_err(|why| blame(section, why)));
        if own {
            let why = "`tls` belongs to a port of this input's own, `listen`; the router's has it in `[router.tls]`";
            problems.push(blame(section, why.to_owned()));
        }
    }
    let asks = if own { router.asks() } else { input.tls.as_ref().is_some_and(Identity::asks) };
    if !own {
        let may = reachable("listen", &input.listen, input.trusted_network, keys || asks);
        problems.note(may.map_err(|why| blame(section, why)));
    }
    let at = if own { &router.http } else { &input.listen };
    let trusted = input.trusted_network || (own && router.trusted_network);
    let far = at.parse().is_ok_and(|at: SocketAddr| !at.ip().to_canonical().is_loopback());
    if far && keys && !asks && !trusted && !input.keyless.is_empty() {
        let why = format!(
            "`keyless` lets everybody write who can reach `{at}`; if only machines you trust can reach it, say \
             `trusted_network = true`"
        );
        problems.push(blame(section, why));
    }
    problems.or(())
}

/// The router's own port, if it has one.
///
/// # Errors
/// If the address is none of this machine, or in use.
pub fn own(settings: &RouterSettings, gate: &Arc<Gate>) -> Result<Option<Server>, String> {
    if settings.http.is_empty() {
        return Ok(None);
    }
    bind("http", &settings.http, &settings.allowed_hosts, settings.tls.as_ref(), gate.clone()).map(Some)
}

type Shared = State<Weak<Metlog>>;

/// What the router says of itself. Whoever watches over it has no key, and learns that it lives and nothing else.
pub fn about(router: &Arc<Metlog>, guard: &Guard) -> axum::Router {
    let router = Arc::downgrade(router);
    let open = axum::Router::new()
        .route("/health/live", get(|| async { "alive\n" }))
        .route("/health/ready", get(ready))
        .with_state(router.clone());
    let (seats, known) = (tail::Seats::default(), fields::Known::default());
    let desk = explain::Desk::new(guard.bounds());
    let tail = get(move |router, kept, headers, query| tail::tail(router, kept, headers, seats.clone(), query));
    let reading = axum::Router::new()
        .route("/metrics", get(metrics))
        .route("/v1/status", get(status_json))
        .route("/v1/tail", tail)
        .route("/v1/pipeline", get(pipeline::pipeline))
        .route("/v1/clients", get(pipeline::clients))
        .route("/v1/fleet", get(fleet::fleet))
        .route("/v1/deadletters", get(deadletters::list))
        .route("/v1/fields", get(move |router, kept, query| fields::fields(router, kept, known.clone(), query)))
        .route("/v1/explain", post(move |router, request| explain::explain(router, desk.clone(), request)))
        .with_state(router.clone());
    let admin = axum::Router::new()
        .route("/v1/deadletters/replay", post(deadletters::replay))
        .route("/v1/deadletters/drop", post(deadletters::drop_them))
        .route("/v1/endpoints/{name}/pause", post(control::pause))
        .route("/v1/endpoints/{name}/resume", post(control::resume))
        .route("/v1/endpoints/{name}/replay", post(control::replay))
        .route("/v1/reload", post(control::reload))
        .with_state(router);
    let admin = control::deliberate(admin, &guard.bounds());
    let own = guard.for_reading(reading).merge(guard.for_admin(admin));
    open.merge(own).merge(query::routes(guard)).merge(docs::routes())
}

fn gone() -> Response {
    (StatusCode::SERVICE_UNAVAILABLE, "stopping\n").into_response()
}

fn json(text: impl Into<Body>) -> Response {
    ([(header::CONTENT_TYPE, "application/json")], text.into()).into_response()
}

/// Off the event loop: the account may wait some milliseconds for a moment at which nothing is between two counters.
async fn off_loop<T: Send + 'static>(
    router: Weak<Metlog>,
    make: impl FnOnce(&Metlog) -> T + Send + 'static,
) -> Option<T> {
    let router = router.upgrade()?;
    tokio::task::spawn_blocking(move || make(&router)).await.ok()
}

async fn metrics(State(router): Shared) -> Response {
    match off_loop(router, metrics::text).await {
        Some(text) => ([(header::CONTENT_TYPE, "text/plain; version=0.0.4; charset=utf-8")], text).into_response(),
        None => gone(),
    }
}

async fn status_json(State(router): Shared) -> Response {
    match off_loop(router, |router| serde_json::to_vec(&status::Status::of(router))).await {
        Some(Ok(text)) => json(text),
        _ => gone(),
    }
}

/// Ready is who can take messages. A dead endpoint is no reason: what it would get is kept for it, here.
async fn ready(State(router): Shared) -> Response {
    let Some(router) = router.upgrade() else { return gone() };
    let refusing = router.floor.refusing.lock().unwrap_or_else(PoisonError::into_inner).clone();
    match refusing {
        None => json("{\"ready\":true}"),
        Some(why) => {
            let body = serde_json::json!({"ready": false, "why": why}).to_string();
            (StatusCode::SERVICE_UNAVAILABLE, [(header::CONTENT_TYPE, "application/json")], body).into_response()
        }
    }
}
