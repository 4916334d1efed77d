//! `POST /logs`, which answers 200 and nothing else that is good; `GET /stats`; and a part of `GET /`.

use crate::reading::Reading;
use crate::stats;
use metlog_http::axum::Router;
use metlog_http::axum::body::Body;
use metlog_http::axum::extract::State;
use metlog_http::axum::http::{Request, Response, StatusCode};
use metlog_http::axum::routing::{get, post};
use metlog_http::server::{Fragments, Piece, json, listed, understood};
use metlog_http::{Dialect, DialectEntry, Door, Refused};
use metlog_message::{Timestamp, wire};
use metlog_pipeline::registry::Configured;
use metlog_pipeline::{Inlet, Reason, inventory};
use serde::Deserialize;
use std::borrow::Cow;

/// Settings: none of its own.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Nothing {}

/// The interface of a log-collector server.
#[derive(Debug)]
pub struct LogCollectorDialect;

impl Dialect for LogCollectorDialect {
    fn routes(self: Box<Self>, door: Door) -> Router {
        let reading = Router::new().route("/stats", get(stats::answer)).route("/stats/", get(stats::answer));
        let reading = door.for_reading(reading);
        Router::new().route("/logs", post(write)).route("/logs/", post(write)).with_state(door).merge(reading)
    }

    fn home(&self) -> Fragments {
        vec![("status", Cow::Borrowed(b"\"ok\"")), ("service", Cow::Borrowed(b"\"log-server\""))]
    }
}

async fn write(State(door): State<Door>, request: Request<Body>) -> Result<Response<Body>, Refused> {
    let content = door.content(request).await?;
    let (receipt, understood) = door.take(content, push).await?;
    if !understood {
        let right = "expected {\"logs\":[...]} with entries, {\"level\":...,\"message\":...}";
        return Err(Refused::new(StatusCode::BAD_REQUEST, right));
    }
    let mut body = b"{\"status\":\"ok\",\"count\":".to_vec();
    // Duplicates too: their sender wants to hear that they are safe.
    wire::write_u64(&mut body, (receipt.accepted + receipt.duplicates) as u64);
    body.push(b'}');
    Ok(json(StatusCode::OK, body))
}

/// Pushes what a body holds; false if that is no list.
fn push(body: &[u8], inlet: &mut Inlet) -> bool {
    let now = Timestamp::now();
    let largest = inlet.message_limit();
    let mut reading = Reading::default();
    let (mut message, mut rewritten) = (Vec::new(), Vec::new());
    listed(body, "logs", |piece| match piece {
        Piece::Message(entry) => {
            message.clear();
            match understood(entry, largest, &mut rewritten, |json| reading.message(json, now, &mut message)) {
                Ok(()) => inlet.push(&message),
                Err((reason, why)) => inlet.refuse(entry, reason, &why),
            }
        }
        Piece::Unfinished(part) => inlet.refuse(part, Reason::Truncated, "the list ends before its bracket"),
    })
}

impl Configured for LogCollectorDialect {
    type Config = Nothing;

    fn open(_: Nothing) -> Result<Self, String> {
        Ok(LogCollectorDialect)
    }
}

inventory::submit! { DialectEntry::of::<LogCollectorDialect>("logcollector", include_str!("../example.dialect.toml")) }
