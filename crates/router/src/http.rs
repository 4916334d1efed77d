//! What the router serves over HTTP about itself, and the ports on which dialects are spoken.

pub mod metrics;
pub mod status;

use crate::config::{HttpInput, RouterSettings};
use crate::router::Router as Metlog;
use crate::tail::Sight;
use async_trait::async_trait;
use axum::body::{Body, Bytes};
use axum::extract::State;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use metlog_http::server::{DialectEntry, Server, ServerLimits};
use metlog_pipeline::registry::blame;
use metlog_pipeline::{Inlet, Input, Stop};
use metlog_settings::{Kind, Node, Origin, Problem, Problems, Table, suggest};
use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::{Arc, PoisonError, Weak};
use std::time::Duration;

/// The address of a port, if it is one and may be; `key` is what the configuration calls it.
///
/// # Errors
/// If it is none, or reachable from elsewhere without that being meant.
pub fn address(key: &str, text: &str, trusted_network: bool) -> Result<SocketAddr, String> {
    let at: SocketAddr = text
        .parse()
        .map_err(|_| format!("`{key}` is `{text}`, expected an address and a port such as 127.0.0.1:5568"))?;
    if at.ip().is_loopback() || trusted_network {
        return Ok(at);
    }
    Err(format!(
        "`{key}` is `{text}`, which other machines can reach, and nobody is asked who they are; if only machines you trust \
         can reach it, say `trusted_network = true`"
    ))
}

/// Binds a port.
///
/// # Errors
/// If the address is none of this machine, or in use; see also [`address`].
pub fn bind(key: &str, text: &str, trusted_network: bool, allowed_hosts: &[String]) -> Result<Server, String> {
    let at = address(key, text, trusted_network)?;
    let server =
        Server::bind(at, ServerLimits::default()).map_err(|error| format!("cannot listen on {at}: {error}"))?;
    Ok(server.allow_hosts(allowed_hosts))
}

/// The routes of these dialects, all if none is named, from a server's requests towards an inlet.
///
/// # Errors
/// If one does not open.
pub fn dialects(server: &Server, names: &[String], inlet: &Inlet) -> Result<axum::Router, String> {
    let mut routes = axum::Router::new();
    for entry in chosen(names) {
        let empty = Node::new(Origin::named(entry.name), Kind::Table(Table::default()));
        let dialect = (entry.read)(&empty).map_err(|problems| problems.to_string())?()?;
        routes = routes.merge(dialect.routes(server.door(inlet.another())));
    }
    Ok(routes)
}

fn chosen(names: &[String]) -> Vec<&'static DialectEntry> {
    let all = DialectEntry::all();
    all.into_iter().filter(|entry| names.is_empty() || names.iter().any(|name| name == entry.name)).collect()
}

/// An HTTP input with a port of its own.
pub struct Listener {
    server: Server,
    dialects: Vec<String>,
}

impl Listener {
    /// Binds it.
    ///
    /// # Errors
    /// See [`bind`].
    pub fn open(input: &HttpInput) -> Result<Self, String> {
        let server = bind("listen", &input.listen, input.trusted_network, &input.allowed_hosts)?;
        Ok(Listener { server, dialects: input.dialects.clone() })
    }
}

#[async_trait]
impl Input for Listener {
    fn place(&self) -> String {
        format!("http://{}", self.server.local_addr())
    }

    async fn run(self: Box<Self>, inlet: Inlet, stop: Stop) -> Result<(), String> {
        let routes = dialects(&self.server, &self.dialects, &inlet)?;
        self.server.serve(routes, stop).await.map_err(|error| error.to_string())
    }
}

/// Whether the dialects an input names exist.
///
/// # Errors
/// Which do not, and what there is.
pub fn check(input: &HttpInput, section: &Node) -> Result<(), Problems> {
    let mut problems = Problems::new();
    let known: Vec<&str> = DialectEntry::all().into_iter().map(|entry| entry.name).collect();
    let place = section.get("dialects").map_or(&section.origin, |node| &node.origin);
    for name in input.dialects.iter().filter(|name| !known.contains(&name.as_str())) {
        let message = format!("unknown dialect `{name}`, this program has {}", known.join(", "));
        problems.push(Problem::at(place, message).suggest(suggest::nearest(name, known.iter().copied())));
    }
    if !input.listen.is_empty() {
        let at = address("listen", &input.listen, input.trusted_network);
        problems.note(at.map_err(|why| blame(section, why)));
    }
    problems.or(())
}

/// The router's own port, if it has one.
///
/// # Errors
/// See [`bind`].
pub fn own(settings: &RouterSettings) -> Result<Option<Server>, String> {
    if settings.http.is_empty() {
        return Ok(None);
    }
    bind("http", &settings.http, settings.trusted_network, &settings.allowed_hosts).map(Some)
}

type Shared = State<Weak<Metlog>>;

/// What the router says of itself.
pub fn about(router: &Arc<Metlog>) -> axum::Router {
    axum::Router::new()
        .route("/metrics", get(metrics))
        .route("/health/live", get(|| async { "alive\n" }))
        .route("/health/ready", get(ready))
        .route("/v1/status", get(status_json))
        .route("/v1/tail", get(tail))
        .with_state(Arc::downgrade(router))
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

/// Every message as a server-sent event. A comment now and then keeps proxies from closing the line.
async fn tail(State(router): Shared) -> Response {
    let Some(router) = router.upgrade() else { return gone() };
    let onlooker = router.floor.tail.watch();
    drop(router);
    let events = futures_util::stream::unfold(onlooker, |mut onlooker| async move {
        let event = match tokio::time::timeout(Duration::from_secs(15), onlooker.next()).await {
            Err(_) => Bytes::from_static(b": still here\n\n"),
            Ok(None) => return None,
            Ok(Some(Sight::Message(message))) => Bytes::from([b"data: ", &*message, b"\n\n"].concat()),
            Ok(Some(Sight::Missed(count))) => Bytes::from(format!("event: missed\ndata: {count}\n\n")),
        };
        Some((Ok::<_, Infallible>(event), onlooker))
    });
    let headers = [(header::CONTENT_TYPE, "text/event-stream"), (header::CACHE_CONTROL, "no-store")];
    (headers, Body::from_stream(events)).into_response()
}
