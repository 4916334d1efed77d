//! `POST /v1/messages`: an object, a list, JSON lines or objects one after another. Answers when the messages are safe.

use metlog_http::axum::Router;
use metlog_http::axum::body::Body;
use metlog_http::axum::extract::State;
use metlog_http::axum::http::header::CONTENT_TYPE;
use metlog_http::axum::http::{HeaderMap, HeaderValue, Request, Response, StatusCode};
use metlog_http::axum::response::IntoResponse;
use metlog_http::axum::routing::post;
use metlog_http::server::{Piece, json, pieces, quote};
use metlog_http::{Dialect, DialectEntry, Door, Refused, forward};
use metlog_message::wire;
use metlog_pipeline::registry::Configured;
use metlog_pipeline::{Forwarded, Inlet, Looping, Reason, Receipt, inventory};
use serde::Deserialize;

/// Rejected messages that an answer names. Each is among the dead letters with its bytes, and a body of a million line ends
/// must not be answered with a hundred megabytes.
const NAMED: usize = forward::PER_REQUEST;

/// Settings: none of its own.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Nothing {}

/// The router's own interface.
#[derive(Debug)]
pub struct HttpDialect;

impl Dialect for HttpDialect {
    fn routes(self: Box<Self>, door: Door) -> Router {
        // Both, since a redirected write would come again as a GET.
        Router::new().route("/v1/messages", post(write)).route("/v1/messages/", post(write)).with_state(door)
    }
}

async fn write(State(door): State<Door>, request: Request<Body>) -> Result<Response<Body>, Refused> {
    if is_form(request.headers()) {
        return Err(Refused::new(
            StatusCode::UNSUPPORTED_MEDIA_TYPE,
            "a form with parts is no message; send the JSON itself, as Content-Type: application/json",
        ));
    }
    let told = Told::by(&request, &door)?;
    let content = door.content(request).await?;
    let Some(told) = told else {
        let (receipt, ()) = door.take(content, push).await?;
        return Ok(answer(&receipt, false));
    };
    let (receipt, pushed) = door.take(content, move |body, inlet| told.push(body, inlet)).await?;
    Ok(pushed.unwrap_or_else(|| answer(&receipt, true)))
}

/// What another router tells of the messages that it forwards.
struct Told {
    key: String,
    from: String,
    ids: String,
    passed: String,
}

impl Told {
    fn by(request: &Request<Body>, door: &Door) -> Result<Option<Told>, Refused> {
        let headers = request.headers();
        if !headers.contains_key(forward::FROM) {
            return Ok(None);
        }
        let header = |name: &str, is: fn(&str) -> bool| {
            let mut all = headers.get_all(name).iter();
            let one = all.next().filter(|_| all.next().is_none()).and_then(|value| value.to_str().ok());
            let right = one.filter(|text| is(text)).map(str::to_owned);
            right.ok_or_else(|| mistaken(format!("header `{name}` is missing, there twice, or not what routers write")))
        };
        Ok(Some(Told {
            from: header(forward::FROM, forward::is_from)?,
            ids: header(forward::IDS, |text| text.len() <= forward::LONGEST)?,
            passed: header(forward::PASSED, forward::is_passed)?,
            key: door.key(request),
        }))
    }

    /// Each line is a message. Either all are pushed or, with the answer to give, none.
    fn push(self, body: &[u8], inlet: &mut Inlet) -> Option<Response<Body>> {
        let text = body.strip_suffix(b"\n").unwrap_or(body);
        let lines = || text.split(|byte| *byte == b'\n');
        let ids = match forward::read_ids(&self.ids, lines().count()) {
            Ok(ids) => ids,
            Err(why) => return Some(mistaken(why).into_response()),
        };
        let Told { key, from, passed, .. } = self;
        if let Err(looping) = inlet.forwarded(Forwarded { key, from, ids, passed }) {
            return Some(loops(&looping));
        }
        lines().for_each(|line| inlet.push(line));
        None
    }
}

fn mistaken(why: String) -> Refused {
    Refused::new(StatusCode::PRECONDITION_FAILED, why)
}

fn loops(looping: &Looping) -> Response<Body> {
    let mut response = Refused::new(StatusCode::CONFLICT, looping.why.clone()).into_response();
    if let Some(Ok(here)) = looping.here.as_deref().map(HeaderValue::from_str) {
        response.headers_mut().insert(forward::LOOP, here);
    }
    response
}

fn push(body: &[u8], inlet: &mut Inlet) {
    pieces(body, |piece| match piece {
        Piece::Message(message) => inlet.push(message),
        Piece::Unfinished(part) => inlet.refuse(part, Reason::Truncated, "the list ends before its bracket"),
    });
}

/// A body of several parts with headers of their own. Any other type is taken for what the body is: `curl -d` calls
/// everything `application/x-www-form-urlencoded`.
fn is_form(headers: &HeaderMap) -> bool {
    let kind = headers.get(CONTENT_TYPE).and_then(|kind| kind.to_str().ok()).unwrap_or_default();
    kind.split(';').next().unwrap_or_default().trim().eq_ignore_ascii_case("multipart/form-data")
}

/// Duplicates count as accepted: their sender wants to hear that they are safe.
///
/// A router that forwards asks about each message, so to it `always` 200 is said.
fn answer(receipt: &Receipt, always: bool) -> Response<Body> {
    let Receipt { accepted, duplicates, rejected } = receipt;
    let mut body = Vec::with_capacity(64);
    body.extend_from_slice(b"{\"accepted\":");
    wire::write_u64(&mut body, (accepted + duplicates) as u64);
    if *duplicates > 0 {
        body.extend_from_slice(b",\"duplicates\":");
        wire::write_u64(&mut body, *duplicates as u64);
    }
    body.extend_from_slice(b",\"rejected\":[");
    for (at, one) in rejected.iter().take(NAMED).enumerate() {
        body.extend_from_slice(if at == 0 { b"{\"index\":" } else { b",{\"index\":" });
        wire::write_u64(&mut body, one.index as u64);
        body.extend_from_slice(b",\"error\":");
        quote(&mut body, &one.why);
        body.push(b'}');
    }
    body.push(b']');
    if rejected.len() > NAMED {
        body.extend_from_slice(b",\"rejected_more\":");
        wire::write_u64(&mut body, (rejected.len() - NAMED) as u64);
    }
    body.push(b'}');
    let nothing = accepted + duplicates == 0 && !rejected.is_empty() && !always;
    json(if nothing { StatusCode::BAD_REQUEST } else { StatusCode::OK }, body)
}

impl Configured for HttpDialect {
    type Config = Nothing;

    fn open(_: Nothing) -> Result<Self, String> {
        Ok(HttpDialect)
    }
}

inventory::submit! { DialectEntry::of::<HttpDialect>("http", include_str!("../example.dialect.toml")) }
