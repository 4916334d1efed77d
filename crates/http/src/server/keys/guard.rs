//! Who may in.

use super::gate::{Caller, Without};
use super::rate::Bucket;
use super::{Key, Scope};
use crate::server::body::linger;
use crate::server::counters::count;
use crate::server::{Bounds, Refused};
use axum::Router;
use axum::body::Body;
use axum::extract::{Request, State};
use axum::http::header::{ACCEPT, WWW_AUTHENTICATE};
use axum::http::{HeaderMap, HeaderValue, Response, StatusCode};
use axum::middleware::{Next, from_fn_with_state};
use axum::response::IntoResponse;
use metlog_pipeline::Receipt;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tower_service::Service;

tokio::task_local! {
    /// What a request is taken from, while its handler runs.
    static METER: Option<Arc<Key>>;
}

/// Takes what a request has brought from the rate of its key. One was taken when it came in.
pub(in crate::server) fn charge(receipt: &Receipt) {
    let further = (receipt.accepted + receipt.duplicates + receipt.rejected.len()).saturating_sub(1);
    // Work that a handler has given away is nobody's.
    let _ = METER.try_with(|key| take(key.as_deref(), further));
}

fn take(key: Option<&Key>, count: usize) {
    if let Some(bucket) = bucket(key) {
        bucket.take(count);
    }
}

fn bucket(key: Option<&Key>) -> Option<&Bucket> {
    key?.bucket.as_deref()
}

/// Stands before routes and asks each request for its key.
#[derive(Clone)]
pub struct Guard {
    rule: Rule,
    /// Routes of the dialect for which writing is not needed, again: see [`Guard::around`].
    others: Arc<Mutex<Router>>,
}

/// What it goes by.
#[derive(Clone)]
struct Rule {
    bounds: Arc<Bounds>,
    /// Whose routes these are; empty: the router's own.
    dialect: &'static str,
    keyless: bool,
}

/// What a route wants of a key.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Need {
    Scope(Scope),
    /// That it is one.
    Any,
}

/// Why not.
enum Denied {
    Without(Without),
    Scope(Scope),
    Dialect,
    Rate(Duration),
}

impl Guard {
    /// Before the routes of this dialect; if that is empty, before the router's own, which are no dialect's. If it is
    /// `keyless`, everybody may write there.
    pub fn new(bounds: Arc<Bounds>, dialect: &'static str, keyless: bool) -> Self {
        Guard { rule: Rule { bounds, dialect, keyless }, others: Arc::default() }
    }

    /// The limits and counters of the server whose routes these are, for those that read bodies.
    pub fn bounds(&self) -> Arc<Bounds> {
        self.rule.bounds.clone()
    }

    /// These routes, for keys that may read.
    pub fn for_reading(&self, routes: Router) -> Router {
        self.before(Need::Scope(Scope::Read), routes)
    }

    /// These routes, for keys that may change what the router does.
    pub fn for_admin(&self, routes: Router) -> Router {
        self.before(Need::Scope(Scope::Admin), routes)
    }

    /// These routes, for any key: what says nothing about messages, such as a version, and is asked by clients that write
    /// and by those that read.
    pub fn for_any_key(&self, routes: Router) -> Router {
        self.before(Need::Any, routes)
    }

    fn before(&self, need: Need, routes: Router) -> Router {
        let routes = with_plain_404(routes.layer(from_fn_with_state((self.rule.clone(), need), ask)));
        let mut others = self.others.lock().unwrap_or_else(PoisonError::into_inner);
        *others = std::mem::take(&mut *others).merge(routes.clone());
        routes
    }

    /// All routes of a dialect: whatever is not said to be for others is for keys that may write.
    ///
    /// axum's layers go around each other and nobody can see which routes have one already. So whoever may not write is
    /// not sent on to these routes, but to those others alone; a route that is in both asks for itself.
    pub fn around(&self, routes: Router) -> Router {
        let others = std::mem::take(&mut *self.others.lock().unwrap_or_else(PoisonError::into_inner));
        let others: Router = others.fallback(deny_writing).method_not_allowed_fallback(deny_writing);
        let others: Router = others.layer(axum::Extension(self.rule.clone()));
        with_plain_404(routes.layer(from_fn_with_state((self.rule.clone(), others), ask_writing)))
    }
}

impl Rule {
    fn verdict(&self, need: Need, caller: Option<&Caller>) -> Result<Option<Arc<Key>>, Denied> {
        let open = self.keyless && matches!(need, Need::Any | Need::Scope(Scope::Ingest));
        let key = match caller {
            Some(Caller::Anyone) => return Ok(None),
            Some(Caller::Known(key)) => key,
            _ if open => return Ok(None),
            Some(Caller::Nobody(without)) => return Err(Denied::Without(*without)),
            // A server always says who asks. Whoever comes another way is nobody.
            None => return Err(Denied::Without(Without::Key)),
        };
        // What is of no dialect and says nothing about messages is for all of them.
        let common = self.dialect.is_empty() && need == Need::Any;
        let here = common || key.dialects.is_empty() || key.dialects.iter().any(|dialect| dialect == self.dialect);
        match need {
            _ if open => {}
            _ if !here => return Err(Denied::Dialect),
            Need::Scope(scope) if !key.may(scope) => return Err(Denied::Scope(scope)),
            _ => {}
        }
        match bucket(Some(key)).and_then(Bucket::wait) {
            Some(wait) => Err(Denied::Rate(wait)),
            None => Ok(Some(key.clone())),
        }
    }

    /// The answer, when what is still coming of the request has been let go by.
    async fn deny(&self, denied: Denied, request: Request) -> Response<Body> {
        let (head, mut body) = request.into_parts();
        let counters = &self.bounds.counters;
        let (counter, refused) = match denied {
            Denied::Without(Without::Key) => (&counters.without_key, NO_KEY.into()),
            Denied::Without(Without::Right) => (&counters.wrong_key, WRONG_KEY.into()),
            Denied::Without(Without::End(wait)) => {
                let refused =
                    Refused::new(StatusCode::TOO_MANY_REQUESTS, "too many requests with wrong keys from here");
                (&counters.wrong_keys, Refused { retry_after: Some(wait), ..refused })
            }
            Denied::Scope(scope) => {
                let error = format!("this key is not good for that; it takes one whose scope is {}", scope.name());
                (&counters.wrong_scope, Refused::new(StatusCode::FORBIDDEN, error))
            }
            Denied::Dialect => {
                let error = "this key is good for certain dialects only, and this is none of them";
                (&counters.wrong_scope, Refused::new(StatusCode::FORBIDDEN, error))
            }
            Denied::Rate(wait) => {
                let refused = Refused::new(StatusCode::TOO_MANY_REQUESTS, "more than this key may send in this time");
                (&counters.over_rate, Refused { retry_after: Some(wait), ..refused })
            }
        };
        count(counter);
        linger(&head.headers, &mut body).await;
        let challenge = refused.status == StatusCode::UNAUTHORIZED;
        let mut response = refused.into_response();
        if challenge {
            let headers = response.headers_mut();
            headers.append(WWW_AUTHENTICATE, HeaderValue::from_static("Bearer realm=\"metlog\""));
            // A browser then asks for a password, which is the key. Programs would only take it for an offer to be weaker.
            if wants_page(&head.headers) {
                headers.append(WWW_AUTHENTICATE, HeaderValue::from_static("Basic realm=\"metlog\", charset=\"UTF-8\""));
            }
        }
        response
    }
}

/// A layer around routes is also around what they do with paths they do not know, as it must be. If they do nothing, the
/// plain 404 comes back by this, which says nothing to anybody.
fn with_plain_404(routes: Router) -> Router {
    routes.merge(Router::new())
}

struct Unauthorized(&'static str);

const NO_KEY: Unauthorized =
    Unauthorized("this takes a key: as Authorization: Bearer KEY, as a Basic password, or as /key/KEY before the path");
const WRONG_KEY: Unauthorized = Unauthorized("this key is not known here; it may be mistyped, or revoked");

impl From<Unauthorized> for Refused {
    fn from(Unauthorized(error): Unauthorized) -> Self {
        Refused::new(StatusCode::UNAUTHORIZED, error)
    }
}

fn wants_page(headers: &HeaderMap) -> bool {
    headers.get(ACCEPT).and_then(|accept| accept.to_str().ok()).is_some_and(|accept| accept.contains("text/html"))
}

async fn ask(State((rule, need)): State<(Rule, Need)>, request: Request, next: Next) -> Response<Body> {
    match rule.verdict(need, request.extensions().get()) {
        Ok(key) => {
            // A route of a dialect that may be written to: it has been counted there.
            if METER.try_with(|_| ()).is_ok() {
                return next.run(request).await;
            }
            take(key.as_deref(), 1);
            METER.scope(key, next.run(request)).await
        }
        Err(denied) => rule.deny(denied, request).await,
    }
}

async fn ask_writing(State((rule, mut others)): State<(Rule, Router)>, request: Request, next: Next) -> Response<Body> {
    match rule.verdict(Need::Scope(Scope::Ingest), request.extensions().get()) {
        Ok(key) => {
            take(key.as_deref(), 1);
            METER.scope(key, next.run(request)).await
        }
        Err(_) => others.call(request).await.unwrap_or_else(|never| match never {}),
    }
}

/// What is among the routes of a dialect and not among those for others.
async fn deny_writing(axum::Extension(rule): axum::Extension<Rule>, request: Request) -> Response<Body> {
    match rule.verdict(Need::Scope(Scope::Ingest), request.extensions().get()) {
        Err(denied) => rule.deny(denied, request).await,
        // Its rate allows it again, a moment after it did not.
        Ok(_) => rule.deny(Denied::Rate(Duration::from_secs(1)), request).await,
    }
}
