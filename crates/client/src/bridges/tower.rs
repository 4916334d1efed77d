//! A `tower` layer that gives every HTTP request its context, its time and its fate.
//!
//! ```
//! # struct Router;
//! # impl Router { fn new() -> Self { Router } fn layer<L>(self, _: L) -> Self { self } }
//! use metlog::tower::ContextLayer;
//! let app = Router::new().layer(ContextLayer::new());
//! ```
//!
//! Whatever is said while a request is answered carries `trace_id`, `method` and `path`, and `ip` where the layer was
//! told where to find it. At the end a message of type `timer` named `http.request` tells the milliseconds to the
//! response's head, with `status`; a request that got no response has `outcome` in its place: `failed` (the service
//! returned an error), `panicked`, or `cancelled` (the future was dropped, which is what servers do when the client went
//! away). What a handler adds to its context, say `user_id`, is in that message too.
//!
//! `trace_id` is that of a valid W3C `traceparent` header, or else `x-trace-id` if it is 1 to 64 letters, digits, `-`,
//! `_` and `.`, or else made new. The query is not part of `path`: it is where secrets stand. `path` is cut after 512
//! bytes, `method` after 32. Nothing else of a request is looked at.

use super::is_wanted;
use crate::arg::Arg;
use crate::site::{Kind, Meta, Site};
use crate::{Context, clock, thread};
use http::header::{HeaderMap, HeaderName, HeaderValue};
use http::{Extensions, Request, Response};
use metlog_message::{Fields, Severity, Value};
use std::future::Future;
use std::net::{IpAddr, SocketAddr};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Poll, ready};
use tower_layer::Layer;
use tower_service::Service;

const LONGEST_PATH: usize = 512;
const LONGEST_METHOD: usize = 32;
const LONGEST_TRACE_ID: usize = 64;
/// An IPv6 address with brackets, zone-free, and a port is shorter.
const LONGEST_ADDRESS: usize = 64;

const fn site(kind: Kind, name: &'static str, text: &'static str, fields: &'static [&'static str]) -> Site {
    let text_args = if text.is_empty() { 1 } else { 4 };
    let (module, file, line) = (module_path!(), file!(), line!());
    Site::new(Meta { kind, name, text, text_args, fields, level: "", module, file, line })
}

static ANSWERED: Site = site(Kind::Timer, "http.request", "", &["status"]);
static UNANSWERED: Site = site(Kind::Timer, "http.request", "", &["outcome"]);

/// Method, path, status or fate, milliseconds.
const LINE: &str = "{} {} {} {} ms";
static GOOD: Site = site(Kind::Log(Severity::Informational), "", LINE, &[]);
static BAD: Site = site(Kind::Log(Severity::Error), "", LINE, &[]);

/// Wraps services in [`ContextService`].
#[derive(Clone, Default)]
pub struct ContextLayer(Settings);

#[derive(Clone, Default)]
struct Settings {
    access_log: bool,
    ip: Option<Ip>,
}

/// Where the client's address is.
#[derive(Clone)]
enum Ip {
    Header { name: HeaderName, proxies: usize },
    Extension(Arc<Find>),
}

type Find = dyn Fn(&Extensions) -> Option<IpAddr> + Send + Sync;

impl std::fmt::Debug for ContextLayer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("ContextLayer").field("access_log", &self.0.access_log).finish_non_exhaustive()
    }
}

impl ContextLayer {
    /// With every default.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// One `oldstyle` message per request beside the timer: `GET /cart 200 12 ms`, severity 6, or 3 where the status is
    /// 500 or above or there is none for another reason than the client's going away. Off otherwise.
    #[must_use]
    pub fn access_log(mut self, access_log: bool) -> Self {
        self.0.access_log = access_log;
        self
    }

    /// `ip` is in this header, a list to which each proxy adds the address it was called from (`x-forwarded-for`) or
    /// that one address alone (`x-real-ip`). Only for servers that nobody reaches but through `proxies` proxies of your
    /// own: that many places from the end is where the first of them wrote; what stands before, anyone can have sent.
    #[must_use]
    pub fn ip_header(mut self, name: HeaderName, proxies: usize) -> Self {
        self.0.ip = Some(Ip::Header { name, proxies });
        self
    }

    /// `ip` is what this finds in the request's extensions, where servers leave the peer's address:
    /// `|extensions| extensions.get::<ConnectInfo<SocketAddr>>().map(|info| info.ip())`.
    #[must_use]
    pub fn ip_extension(mut self, find: impl Fn(&Extensions) -> Option<IpAddr> + Send + Sync + 'static) -> Self {
        self.0.ip = Some(Ip::Extension(Arc::new(find)));
        self
    }
}

impl<S> Layer<S> for ContextLayer {
    type Service = ContextService<S>;

    fn layer(&self, inner: S) -> ContextService<S> {
        ContextService { inner, settings: self.0.clone() }
    }
}

/// Answers each request in a context of its own.
#[derive(Clone)]
pub struct ContextService<S> {
    inner: S,
    settings: Settings,
}

impl<S: std::fmt::Debug> std::fmt::Debug for ContextService<S> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("ContextService").field("inner", &self.inner).finish_non_exhaustive()
    }
}

impl<S, B, R> Service<Request<B>> for ContextService<S>
where
    S: Service<Request<B>, Response = Response<R>>,
{
    type Response = S::Response;
    type Error = S::Error;
    type Future = ResponseFuture<S::Future>;

    fn poll_ready(&mut self, cx: &mut std::task::Context<'_>) -> Poll<Result<(), S::Error>> {
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, request: Request<B>) -> Self::Future {
        let context = Context::current().with(self.settings.fields(&request));
        let mut watch = Watch::start(context, self.settings.access_log);
        let future = watch.run(|| self.inner.call(request));
        ResponseFuture { future: Some(future), watch }
    }
}

impl Settings {
    fn fields<B>(&self, request: &Request<B>) -> Fields {
        let mut fields = Fields::new();
        fields.set("trace_id", trace_id(request.headers()));
        fields.set("method", cut(request.method().as_str(), LONGEST_METHOD));
        fields.set("path", cut(request.uri().path(), LONGEST_PATH));
        let ip = match &self.ip {
            Some(Ip::Header { name, proxies }) => forwarded(request.headers(), name, *proxies),
            Some(Ip::Extension(find)) => find(request.extensions()),
            None => None,
        };
        if let Some(ip) = ip {
            fields.set("ip", ip.to_string());
        }
        fields
    }
}

fn cut(text: &str, longest: usize) -> &str {
    text.get(..text.floor_char_boundary(longest)).unwrap_or(text)
}

/// The caller's, or a new one of W3C's form: 32 hexadecimal digits.
fn trace_id(headers: &HeaderMap) -> String {
    let traceparent = only(headers, "traceparent").and_then(w3c);
    let own = || only(headers, "x-trace-id").filter(|id| is_plain(id));
    match traceparent.or_else(own) {
        Some(id) => id.to_owned(),
        // Never zero, which W3C calls invalid.
        None => format!("{:032x}", fastrand::u128(1..)),
    }
}

/// The header's value, if it is there once and is visible ASCII. Two of them are one too many to choose from.
fn only<'h>(headers: &'h HeaderMap, name: &str) -> Option<&'h str> {
    let mut values = headers.get_all(name).iter();
    let value = values.next()?;
    if values.next().is_some() { None } else { value.to_str().ok() }
}

fn is_plain(id: &str) -> bool {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.');
    (1..=LONGEST_TRACE_ID).contains(&id.len()) && id.bytes().all(plain)
}

/// The trace id in `version-trace-parent-flags`. Later versions may add to its end, version ff does not exist.
fn w3c(header: &str) -> Option<&str> {
    let hex = |part: &str, len| part.len() == len && part.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'));
    let is_set = |part: &str| part.bytes().any(|byte| byte != b'0');
    let mut parts = header.splitn(5, '-');
    let (version, trace, parent, flags) = (parts.next()?, parts.next()?, parts.next()?, parts.next()?);
    let ended = parts.next().is_none();
    let valid = hex(version, 2)
        && version != "ff"
        && (ended || version != "00")
        && hex(trace, 32)
        && is_set(trace)
        && hex(parent, 16)
        && is_set(parent)
        && hex(flags, 2);
    valid.then_some(trace)
}

/// The address that the farthest of this many proxies was called from. `None` if the list is too short or holds
/// anything but an address there.
fn forwarded(headers: &HeaderMap, name: &HeaderName, proxies: usize) -> Option<IpAddr> {
    let lists = headers.get_all(name).iter().rev();
    let mut places = lists.flat_map(|list| HeaderValue::to_str(list).unwrap_or_default().rsplit(','));
    address(places.nth(proxies.checked_sub(1)?)?.trim())
}

fn address(text: &str) -> Option<IpAddr> {
    if text.len() > LONGEST_ADDRESS {
        return None;
    }
    let bare = text.strip_prefix('[').and_then(|text| text.strip_suffix(']')).unwrap_or(text);
    bare.parse().ok().or_else(|| Some(text.parse::<SocketAddr>().ok()?.ip()))
}

pin_project_lite::pin_project! {
    /// A response on its way, polled in its request's context.
    pub struct ResponseFuture<F> {
        // Emptied early when it is dropped unfinished, so that what its parts say as they go is said in the context.
        #[pin]
        future: Option<F>,
        watch: Watch,
    }

    impl<F> PinnedDrop for ResponseFuture<F> {
        fn drop(this: Pin<&mut Self>) {
            let mut this = this.project();
            let _context = this.watch.context.enter();
            this.future.set(None);
        }
    }
}

impl<F> std::fmt::Debug for ResponseFuture<F> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("ResponseFuture").finish_non_exhaustive()
    }
}

impl<F, R, E> Future for ResponseFuture<F>
where
    F: Future<Output = Result<Response<R>, E>>,
{
    type Output = F::Output;

    fn poll(self: Pin<&mut Self>, cx: &mut std::task::Context<'_>) -> Poll<F::Output> {
        let mut this = self.project();
        // Empty only while it is dropped, when nobody polls.
        let Some(future) = this.future.as_mut().as_pin_mut() else { return Poll::Pending };
        let result = ready!(this.watch.run(|| future.poll(cx)));
        this.watch.end(match &result {
            Ok(response) => Fate::Answered(response.status().as_u16()),
            Err(_) => Fate::Failed,
        });
        Poll::Ready(result)
    }
}

/// How a request ended.
#[derive(Clone, Copy, PartialEq)]
enum Fate {
    Answered(u16),
    Failed,
    Panicked,
    Cancelled,
}

/// Tells a request's end, once, whatever it is.
struct Watch {
    /// Where the request stands: what it began with, and what the handler made of it.
    context: Context,
    start: u64,
    access_log: bool,
    /// The handler is running. Still so when this is dropped: it panicked.
    running: bool,
    ended: bool,
}

impl Watch {
    fn start(context: Context, access_log: bool) -> Self {
        Watch { context, start: clock::ticks(), access_log, running: false, ended: false }
    }

    /// Runs a part of the request in its context.
    fn run<T>(&mut self, part: impl FnOnce() -> T) -> T {
        let _context = self.context.enter();
        self.running = true;
        let result = part();
        self.running = false;
        self.context = Context::current();
        result
    }

    fn end(&mut self, fate: Fate) {
        self.ended = true;
        let _context = self.context.enter();
        let now = clock::ticks();
        let ticks = Arg::Ticks(now.saturating_sub(self.start));
        let (site, said) = match fate {
            Fate::Answered(status) => (&ANSWERED, Arg::U64(status.into())),
            Fate::Failed => (&UNANSWERED, Arg::Str("failed")),
            Fate::Panicked => (&UNANSWERED, Arg::Str("panicked")),
            Fate::Cancelled => (&UNANSWERED, Arg::Str("cancelled")),
        };
        if is_wanted(site) {
            thread::emit_at(site, site.word(), now, [ticks, said]);
        }
        if self.access_log {
            let bad = matches!(fate, Fate::Answered(500..) | Fate::Failed | Fate::Panicked);
            let site = if bad { &BAD } else { &GOOD };
            if is_wanted(site) {
                let part = |name| Arg::Str(self.context.fields().get(name).and_then(Value::as_str).unwrap_or("-"));
                thread::emit_at(site, site.word(), now, [part("method"), part("path"), said, ticks]);
            }
        }
    }
}

impl Drop for Watch {
    fn drop(&mut self) {
        if !self.ended {
            self.end(if self.running { Fate::Panicked } else { Fate::Cancelled });
        }
    }
}
