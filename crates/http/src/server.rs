//! The router's side of HTTP: HTTP/1.1, with TLS or without, and everything bounded.
//!
//! ```text
//!   accept ── seat? ──► connection task ── Host, Origin, key ──► routes ──► Door::content ──► Inlet
//!               │            │ Pulse: head, idle, write        │         size, ratio, rate, bytes in flight
//!              503           └ closes what is overdue          └ 404, 405 and refusals are {"error":"…"}
//! ```
//!
//! Where there is TLS, its handshake comes before all that, with an end of its own: [`metlog_tls::Acceptor`].
//!
//! Handlers get a body that fails by itself when it comes too slowly, so a route that reads one in its own way is still
//! no way in for a slow client.

mod body;
mod counters;
mod dialect;
mod expand;
mod foreign;
mod hosts;
pub mod keys;
mod limits;
mod page;
mod pieces;
mod pulse;
mod refused;
mod snappy;

pub use body::{Content, limited_body};
pub use counters::Counters;
pub use dialect::{Dialect, DialectEntry, Door, Fragments, UnknownDialect, home_route};
pub use foreign::{Parts, understood};
pub use hosts::Hosts;
pub use keys::{Gate, Guard};
pub use limits::{Bounds, ServerLimits};
pub use page::Page;
pub use pieces::{Piece, Takes, is_element, listed, pieces};
pub use refused::{Refused, json, quote};

use axum::Router;
use axum::body::{Body, HttpBody};
use axum::http::header::{CACHE_CONTROL, X_CONTENT_TYPE_OPTIONS};
use axum::http::{HeaderValue, Request, Response, StatusCode};
use axum::response::IntoResponse;
use counters::count;
use hosts::Asked;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use keys::Caller;
use metlog_listen::{Seat, Seats};
use metlog_pipeline::{Away, Inlet, Stop};
use metlog_tls::{Acceptor, Identity};
use pulse::{Answer, Overdue, Pulse, Timely, Watched};
use std::convert::Infallible;
use std::io;
use std::net::{IpAddr, SocketAddr, ToSocketAddrs};
use std::pin::pin;
use std::sync::atomic::Ordering::Relaxed;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncWrite, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::{JoinError, JoinSet};
use tokio::time::{sleep, timeout};
use tower_service::Service;

/// A head may have so many bytes, and so much of a body is read at once.
const BUFFER: usize = 64 * 1024;

/// What one connection too many is told, without a look at what it wants.
const CROWDED: &[u8] = b"HTTP/1.1 503 Service Unavailable\r\nconnection: close\r\nretry-after: 1\r\n\
    content-type: application/json\r\ncontent-length: 32\r\n\r\n{\"error\":\"too many connections\"}";

/// What somebody without TLS is told where there is TLS.
const PLAINTEXT: &[u8] = b"HTTP/1.1 400 Bad Request\r\nconnection: close\r\n\
    content-type: application/json\r\ncontent-length: 57\r\n\r\n{\"error\":\"this port speaks TLS: the URL begins https://\"}";

/// What is spoken through TLS.
const ALPN: &[&[u8]] = &[b"http/1.1"];

/// A listener that serves routes.
#[derive(Debug)]
pub struct Server {
    listener: std::net::TcpListener,
    local: SocketAddr,
    hosts: Hosts,
    bounds: Arc<Bounds>,
    gate: Arc<Gate>,
    tls: Option<Acceptor>,
}

impl Server {
    /// Listens; nothing is accepted before [`Server::serve`].
    ///
    /// # Errors
    /// The operating system's, for the first address if there are several and all fail.
    pub fn bind(address: impl ToSocketAddrs, limits: ServerLimits) -> io::Result<Self> {
        let listener = metlog_listen::tcp(address)?;
        listener.set_nonblocking(true)?;
        let local = listener.local_addr()?;
        Ok(Server {
            listener,
            local,
            hosts: Hosts::new(local, [""; 0]),
            bounds: Bounds::new(limits),
            gate: Arc::default(),
            tls: None,
        })
    }

    /// Speaks TLS and nothing else.
    ///
    /// # Errors
    /// Which certificate file is wrong, and how.
    pub fn secure(mut self, identity: &Identity) -> Result<Self, String> {
        self.tls = Some(Acceptor::open(identity, ALPN)?);
        Ok(self)
    }

    /// What it speaks TLS with, for whoever renews that.
    pub fn tls(&self) -> Option<Acceptor> {
        self.tls.clone()
    }

    /// Its URL, by its address.
    pub fn url(&self) -> String {
        format!("{}://{}", if self.tls.is_some() { "https" } else { "http" }, self.local)
    }

    /// Asks for these keys, where the routes have a [`Guard`]; without this for none.
    #[must_use]
    pub fn ask_for_keys(mut self, gate: Arc<Gate>) -> Self {
        self.gate = gate;
        self
    }

    /// Stands before routes that are the router's own.
    pub fn guard(&self) -> Guard {
        Guard::new(self.bounds.clone(), "", false)
    }

    /// Answers to these names: `allowed_hosts`, see [`Hosts`].
    #[must_use]
    pub fn allow_hosts<S: AsRef<str>>(mut self, names: impl IntoIterator<Item = S>) -> Self {
        self.hosts = Hosts::new(self.local, names);
        self
    }

    /// Where it listens.
    pub fn local_addr(&self) -> SocketAddr {
        self.local
    }

    /// What it counts, for metrics.
    pub fn counters(&self) -> Arc<Counters> {
        self.bounds.counters.clone()
    }

    /// Its limits and counters, for routes that read bodies.
    pub fn bounds(&self) -> Arc<Bounds> {
        self.bounds.clone()
    }

    /// A way from its requests to an input's inlet, for dialects.
    pub fn door(&self, inlet: Inlet) -> Door {
        Door::new(inlet, self.bounds.clone())
    }

    /// Serves until told to stop; then ends idle connections at once and gives running requests
    /// [`ServerLimits::drain_timeout`]. All connections are gone when it returns. An answer without end has to listen to
    /// a [`Stop`] of its own, or it is cut off then.
    ///
    /// # Errors
    /// If the runtime cannot take the listener, which happens before anything is served.
    pub async fn serve(self, routes: Router, stop: Stop) -> io::Result<()> {
        let Server { listener, local: _, hosts, bounds, gate, tls } = self;
        let listener = TcpListener::from_std(listener)?;
        let house = Arc::new(House { routes, hosts, gate, bounds: bounds.clone(), stop, tls });
        let limits = &bounds.limits;
        let seats = Seats::new(limits.connections as usize, limits.connections_per_address as usize);
        let mut connections = JoinSet::new();
        loop {
            tokio::select! {
                () = house.stop.stopped() => break,
                Some(ended) = connections.join_next() => note(ended, &bounds),
                accepted = listener.accept() => match accepted {
                    Ok((socket, from)) => match seats.take(from.ip()) {
                        Ok(seat) => {
                            let guest = Guest::new(seat, from.ip(), &bounds.counters);
                            connections.spawn(house.clone().receive(socket, guest));
                        }
                        Err(why) => {
                            let Counters { refused_address, refused_cap, .. } = &*bounds.counters;
                            count(if why == Away::Address { refused_address } else { refused_cap });
                            // To somebody who waits for a handshake no word means anything.
                            if house.tls.is_none() {
                                // Never blocks: an empty buffer takes this much, and if it does not, closing says enough.
                                let _ = socket.try_write(CROWDED);
                            }
                        }
                    },
                    Err(_) => {
                        count(&bounds.counters.accept_errors);
                        // No descriptors left, most likely: trying again at once would only burn a core.
                        sleep(Duration::from_millis(50)).await;
                    }
                },
            }
        }
        drop(listener);
        let all = async {
            while let Some(ended) = connections.join_next().await {
                note(ended, &bounds);
            }
        };
        if timeout(bounds.limits.drain_timeout.duration(), all).await.is_err() {
            connections.shutdown().await;
        }
        Ok(())
    }
}

fn note(ended: Result<(), JoinError>, bounds: &Bounds) {
    if ended.is_err_and(|error| error.is_panic()) {
        count(&bounds.counters.panics);
    }
}

/// Somebody who is connected, and counted.
struct Guest {
    from: IpAddr,
    counters: Arc<Counters>,
    /// There until the end.
    seat: Option<Seat>,
}

impl Guest {
    fn new(seat: Seat, from: IpAddr, counters: &Arc<Counters>) -> Self {
        count(&counters.connections);
        count(&counters.open);
        Guest { from, counters: counters.clone(), seat: Some(seat) }
    }
}

impl Drop for Guest {
    fn drop(&mut self) {
        // Who sees the number fall finds a free seat.
        self.seat = None;
        self.counters.open.fetch_sub(1, Relaxed);
    }
}

/// What all connections share.
struct House {
    routes: Router,
    hosts: Hosts,
    gate: Arc<Gate>,
    bounds: Arc<Bounds>,
    stop: Stop,
    tls: Option<Acceptor>,
}

impl House {
    /// One connection from its begin to its end.
    async fn receive(self: Arc<Self>, socket: TcpStream, guest: Guest) {
        // An answer is one write; nothing comes that it could wait for.
        let _ = socket.set_nodelay(true);
        let Some(tls) = &self.tls else { return self.converse(socket, guest.from).await };
        let safe = tokio::select! {
            safe = tls.accept(socket) => safe,
            () = self.stop.stopped() => return,
        };
        match safe {
            Ok(stream) => self.converse(stream, guest.from).await,
            Err(metlog_tls::Unsafe { why, socket }) => {
                self.bounds.counters.turn_away(why);
                if let Some(socket) = socket {
                    show_out(socket).await;
                }
            }
        }
    }

    async fn converse<S: AsyncRead + AsyncWrite + Unpin + Send + 'static>(&self, socket: S, from: IpAddr) {
        let pulse = Pulse::new();
        let (limits, counters) = (&self.bounds.limits, &self.bounds.counters);
        let visit = Visit { from, last: Mutex::new(None) };
        let service = service_fn(|request| self.answer(request, &visit, &pulse));
        let unseen = self.tls.is_none().then(|| counters.clone());
        let watched = TokioIo::new(Watched { socket, pulse: pulse.clone(), unseen });
        let mut connection = pin!(http1::Builder::new().max_buf_size(BUFFER).serve_connection(watched, service));
        let mut overdue = pin!(pulse.overdue(limits));
        let mut told = pin!(self.stop.stopped());
        let mut changes = self.gate.changes();
        let mut ending = false;
        loop {
            tokio::select! {
                // An error is the client's way of going; there is nobody left to tell.
                _ = connection.as_mut() => break,
                what = &mut overdue => {
                    match what {
                        Overdue::Head => count(&counters.header_timeouts),
                        Overdue::Idle => count(&counters.idle_timeouts),
                        Overdue::Write => count(&counters.write_timeouts),
                        Overdue::End => {}
                    }
                    break;
                }
                // A key that is taken away ends what goes on with it, streams too. With the gate goes everything.
                Ok(()) = changes.changed() => {
                    let last = visit.last();
                    if last.as_ref().is_some_and(|caller| !self.gate.still_knows(caller)) {
                        break;
                    }
                }
                () = &mut told, if !ending => {
                    ending = true;
                    if !pulse.end() {
                        break;
                    }
                    connection.as_mut().graceful_shutdown();
                }
            }
        }
    }

    async fn answer(
        &self,
        request: Request<hyper::body::Incoming>,
        visit: &Visit,
        pulse: &Pulse,
    ) -> Result<Response<Answer>, Infallible> {
        pulse.request();
        let counters = &self.bounds.counters;
        counters.requests.fetch_add(1, Relaxed);
        let (mut head, body) = request.into_parts();
        let asked = Asked { method: &head.method, uri: &head.uri, version: head.version, headers: &head.headers };
        let mut response = match self.hosts.check(&asked) {
            Ok(()) => {
                let caller = self.gate.admit(&mut head, visit.from);
                *visit.last() = Some(caller.clone());
                head.extensions.insert(caller);
                let body = Body::new(Timely::new(body, &self.bounds.limits));
                let Ok(response) = self.routes.clone().call(Request::from_parts(head, body)).await;
                explained(response)
            }
            Err(foreign) => {
                count(if foreign == hosts::Foreign::Origin {
                    &counters.foreign_origin
                } else {
                    &counters.foreign_host
                });
                Refused::from(foreign).into_response()
            }
        };
        let headers = response.headers_mut();
        headers.insert(X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
        headers.entry(CACHE_CONTROL).or_insert(HeaderValue::from_static("no-store"));
        Ok(response.map(|body| Answer { body, pulse: pulse.clone() }))
    }
}

/// Tells somebody who speaks without TLS that here one has to. What he has sent is read first, or the closed connection
/// would take the answer with it.
async fn show_out(mut socket: TcpStream) {
    let mut request = [0; 4096];
    let _ = socket.try_read(&mut request);
    let _ = socket.try_write(PLAINTEXT);
    let _ = socket.shutdown().await;
    let gone = async {
        // As much as a head may be: who has more to say has not understood.
        for _ in 0..BUFFER / request.len() {
            let readable = socket.readable().await;
            if readable.is_err() || matches!(socket.try_read(&mut request), Ok(0)) {
                return;
            }
        }
    };
    let _ = timeout(Duration::from_secs(1), gone).await;
}

/// One connection, and who asked last over it.
struct Visit {
    from: IpAddr,
    last: Mutex<Option<Caller>>,
}

impl Visit {
    fn last(&self) -> MutexGuard<'_, Option<Caller>> {
        self.last.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The routing's own answers have no body; clients of dialects expect an object, and people a word.
fn explained(response: Response<Body>) -> Response<Body> {
    let error = match response.status() {
        StatusCode::NOT_FOUND => "there is nothing here by this name",
        StatusCode::METHOD_NOT_ALLOWED => "not by this method; see the Allow header",
        _ => return response,
    };
    if response.body().size_hint().exact() != Some(0) {
        return response;
    }
    let (mut head, _) = response.into_parts();
    let (explained, body) = Refused::new(head.status, error).into_response().into_parts();
    head.headers.remove(axum::http::header::CONTENT_LENGTH);
    head.headers.extend(explained.headers);
    Response::from_parts(head, body)
}
