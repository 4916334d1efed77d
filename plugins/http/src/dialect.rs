//! `POST /v1/messages`: an object, a list, JSON lines or objects one after another. Answers when the messages are safe.

use metlog_http::axum::Router;
use metlog_http::axum::body::Body;
use metlog_http::axum::extract::State;
use metlog_http::axum::http::header::CONTENT_TYPE;
use metlog_http::axum::http::{HeaderMap, Request, Response, StatusCode};
use metlog_http::axum::routing::post;
use metlog_http::server::{Piece, json, pieces, quote};
use metlog_http::{Dialect, DialectEntry, Door, Refused};
use metlog_message::wire;
use metlog_pipeline::registry::Configured;
use metlog_pipeline::{Inlet, Reason, Receipt, inventory};
use serde::Deserialize;

/// Rejected messages that an answer names: as many as our own sender puts into one request, so that it never takes one
/// for delivered. Each is among the dead letters with its bytes, and a body of a million line ends must not be answered
/// with a hundred megabytes.
const NAMED: usize = 4096;

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
    let content = door.content(request).await?;
    let (receipt, ()) = door.take(content, push).await?;
    Ok(answer(&receipt))
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
fn answer(receipt: &Receipt) -> Response<Body> {
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
    let nothing = accepted + duplicates == 0 && !rejected.is_empty();
    json(if nothing { StatusCode::BAD_REQUEST } else { StatusCode::OK }, body)
}

impl Configured for HttpDialect {
    type Config = Nothing;

    fn open(_: Nothing) -> Result<Self, String> {
        Ok(HttpDialect)
    }
}

inventory::submit! { DialectEntry::of::<HttpDialect>("http", include_str!("../example.dialect.toml")) }
