//! What changes a running router: endpoints held up, let go, sent a period again; the configuration read again.
//!
//! A browser sends neither the header nor the type of body that these want to another origin without asking, and nobody
//! here answers such a question: no other site's page can have its visitor do any of this.

use super::query::{Answer, Wrong, bad};
use super::{Shared, gone, json};
use crate::deliver::Period;
use axum::extract::rejection::PathRejection;
use axum::extract::{Extension, Path as At, Request, State};
use axum::http::{HeaderMap, StatusCode, header};
use axum::middleware::{Next, from_fn};
use axum::response::IntoResponse;
use metlog_http::Refused;
use metlog_http::server::{Bounds, limited_body};
use metlog_message::{Fields, Timestamp, Value, wire};
use metlog_settings::Span;
use serde_json::json as tree;
use std::sync::Arc;
use std::time::Duration;

/// A body that says what to do.
const BODY: usize = 1 << 20;

/// What a request says.
#[derive(Debug, Clone)]
pub(super) struct Body(Value);

impl Body {
    /// Reads one. None at all is none.
    pub(super) async fn read(request: Request, bounds: &Arc<Bounds>, most: usize) -> Result<Body, Wrong> {
        let body = limited_body(request, bounds).await?;
        if body.len() > most {
            return Err(
                Refused::new(StatusCode::PAYLOAD_TOO_LARGE, format!("at most {most} bytes are read here")).into()
            );
        }
        if body.trim_ascii().is_empty() {
            return Ok(Body(Value::Null));
        }
        let limits = wire::Limits { bytes: most, names: 64, ..wire::Limits::NONE };
        wire::read_value_within(&body, &limits).map(Body).map_err(|why| bad(format!("the body is no JSON: {why}")))
    }

    pub(super) fn map(&self) -> Option<&Fields> {
        self.0.as_map()
    }
}

/// Refuses a key that means nothing.
pub(super) fn known(body: &Fields, keys: &[&str]) -> Result<(), Wrong> {
    body.iter().try_for_each(|(name, _)| super::query::asked::known_name("key", name, keys))
}

pub(super) fn failed(why: impl Into<String>) -> Wrong {
    Refused::new(StatusCode::INTERNAL_SERVER_ERROR, why.into()).into()
}

pub(super) fn busy(why: impl Into<String>) -> Wrong {
    Refused::new(StatusCode::CONFLICT, why.into()).into()
}

/// Routes that change something: what is posted there has to be meant, and comes as [`Body`].
pub(super) fn deliberate(routes: axum::Router, bounds: &Arc<Bounds>) -> axum::Router {
    let bounds = bounds.clone();
    routes.route_layer(from_fn(move |request: Request, next: Next| {
        let bounds = bounds.clone();
        async move {
            // Whatever else is asked here is told that it is not by this method.
            if request.method() != axum::http::Method::POST {
                return next.run(request).await;
            }
            if let Err(refused) = meant(request.headers()) {
                return refused.into_response();
            }
            let (head, body) = request.into_parts();
            let again = Request::from_parts(head.clone(), body);
            match Body::read(again, &bounds, BODY).await {
                Ok(body) => {
                    let mut request = Request::from_parts(head, axum::body::Body::empty());
                    request.extensions_mut().insert(body);
                    next.run(request).await
                }
                Err(wrong) => wrong.into_response(),
            }
        }
    }))
}

fn meant(headers: &HeaderMap) -> Result<(), Refused> {
    let is = |name: &str, right: &dyn Fn(&str) -> bool| {
        headers.get(name).and_then(|value| value.to_str().ok()).is_some_and(|value| right(value.trim()))
    };
    if !is("x-metlog", &|value| value == "1") {
        return Err(Refused::new(StatusCode::FORBIDDEN, "what changes something wants the header `X-Metlog: 1`"));
    }
    let json =
        |value: &str| value.split(';').next().unwrap_or_default().trim().eq_ignore_ascii_case("application/json");
    if !is(header::CONTENT_TYPE.as_str(), &json) {
        let why = "what changes something wants `Content-Type: application/json`";
        return Err(Refused::new(StatusCode::UNSUPPORTED_MEDIA_TYPE, why));
    }
    Ok(())
}

type Name = Result<At<String>, PathRejection>;

/// Does something with an endpoint, off the event loop: it may have to read the spool.
async fn with_endpoint<T: Send + 'static>(
    router: super::Shared,
    name: Name,
    act: impl FnOnce(&crate::router::Router, &str) -> Option<T> + Send + 'static,
) -> Result<(String, T), Wrong> {
    let name = name.map(|At(name)| name).unwrap_or_default();
    let away = || Wrong::from(Refused::later("stopping", Duration::from_secs(1)));
    let State(router) = router;
    let router = router.upgrade().ok_or_else(away)?;
    let asked = name.clone();
    let done = tokio::task::spawn_blocking(move || {
        let known: Vec<String> = router.topology().endpoints.into_iter().map(|endpoint| endpoint.name).collect();
        act(&router, &asked).ok_or(known)
    });
    match done.await.map_err(|_| failed("it failed"))? {
        Ok(done) => Ok((name, done)),
        Err(known) => {
            let short: String = name.chars().take(64).collect();
            let why = format!("no endpoint is called `{short}`; there are {}", known.join(", "));
            Err(Refused::new(StatusCode::NOT_FOUND, why).into())
        }
    }
}

async fn set_paused(router: Shared, name: Name, body: &Body, paused: bool) -> Answer {
    if let Some(body) = body.map() {
        known(body, &[])?;
    }
    let (name, messages) = with_endpoint(router, name, move |router, name| router.pause(name, paused)).await?;
    Ok(json(tree!({"endpoint": name, "paused": paused, "messages": messages}).to_string()))
}

pub(super) async fn pause(router: Shared, name: Name, Extension(body): Extension<Body>) -> Answer {
    set_paused(router, name, &body, true).await
}

pub(super) async fn resume(router: Shared, name: Name, Extension(body): Extension<Body>) -> Answer {
    set_paused(router, name, &body, false).await
}

/// `{"since": "1h"}`, or `{"from": 10, "to": 20}`: from the first id on, before the second.
fn period(body: &Body) -> Result<Period, Wrong> {
    let wrong =
        || bad("expected {\"since\": \"1h\"}, or {\"from\": ID, \"to\": ID}, of which the second may be left out");
    let body = body.map().ok_or_else(wrong)?;
    known(body, &["since", "from", "to"])?;
    let id = |name: &str| match body.get(name) {
        None | Some(Value::Null) => Ok(None),
        Some(Value::Int(id)) => u64::try_from(*id).map(Some).map_err(|_| wrong()),
        Some(Value::UInt(id)) => Ok(Some(*id)),
        Some(Value::Str(id)) => id.parse().map(Some).map_err(|_| wrong()),
        Some(_) => Err(wrong()),
    };
    match (body.get("since"), id("from")?, id("to")?) {
        (Some(Value::Str(since)), None, None) => {
            let since: Span = since.parse().map_err(|why| bad(format!("`since`: {why}")))?;
            let nanos = i64::try_from(since.duration().as_nanos()).unwrap_or(i64::MAX);
            Ok(Period { ids: 0..u64::MAX, since: Some(Timestamp::now().nanos().saturating_sub(nanos)) })
        }
        (None | Some(Value::Null), Some(from), to) => {
            let to = to.unwrap_or(u64::MAX);
            if to <= from {
                return Err(bad("`to` is the id before which it ends, so it is above `from`"));
            }
            Ok(Period { ids: from..to, since: None })
        }
        _ => Err(wrong()),
    }
}

pub(super) async fn replay(router: Shared, name: Name, Extension(body): Extension<Body>) -> Answer {
    let period = period(&body)?;
    let (name, again) = with_endpoint(router, name, move |router, name| router.again(name, period)).await?;
    let again = again.map_err(busy)?;
    crate::say!("endpoint `{name}`: {} messages are to be delivered again", again.messages);
    let told = tree!({"endpoint": name, "messages": again.messages, "counted": again.counted});
    Ok(json(told.to_string()))
}

pub(super) async fn reload(State(router): Shared, Extension(body): Extension<Body>) -> Answer {
    if let Some(body) = body.map() {
        known(body, &[])?;
    }
    let Some(router) = router.upgrade() else { return Ok(gone()) };
    let done = tokio::task::spawn_blocking(move || router.reload_again()).await;
    match done.map_err(|_| failed("the reload failed"))? {
        Ok(changes) => Ok(json(tree!({"changes": changes.to_string()}).to_string())),
        Err(why) => Ok((StatusCode::UNPROCESSABLE_ENTITY, json(tree!({"error": why}).to_string())).into_response()),
    }
}
