//! `POST /api/v1/logs` and `/api/v1/logs/batch`: one event, or `{"logs":[…]}`. Which it is, the body says and not the path.

use crate::id::Ids;
use crate::reading::{Named, Reading};
use metlog_http::axum::Router;
use metlog_http::axum::body::Body;
use metlog_http::axum::extract::State;
use metlog_http::axum::http::{Request, Response, StatusCode};
use metlog_http::axum::routing::post;
use metlog_http::server::{Piece, Takes, is_element, json, listed, quote, understood};
use metlog_http::{Dialect, DialectEntry, Door, Refused};
use metlog_message::{Timestamp, wire};
use metlog_pipeline::registry::Configured;
use metlog_pipeline::{Inlet, Reason, Receipt, inventory};
use serde::Deserialize;

/// Events that an answer names; the published client sends a hundred at a time and looks at the first.
const NAMED: usize = 1000;

/// The last two are where the published client writes one at a time when it is given the address of the batches.
const PATHS: [&str; 6] = [
    "/api/v1/logs",
    "/api/v1/logs/",
    "/api/v1/logs/batch",
    "/api/v1/logs/batch/",
    "/api/v1/logs/batch/api/v1/logs",
    "/api/v1/logs/batch/api/v1/logs/",
];

/// Settings: none of its own.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Nothing {}

/// The interface of a Master Log server.
#[derive(Debug)]
pub struct MasterLogDialect;

impl Dialect for MasterLogDialect {
    fn routes(self: Box<Self>, door: Door) -> Router {
        PATHS.iter().fold(Router::new(), |router, path| router.route(path, post(write))).with_state(door)
    }
}

async fn write(State(door): State<Door>, request: Request<Body>) -> Result<Response<Body>, Refused> {
    let content = door.content(request).await?;
    let (receipt, pushed) = door.take(content, push).await?;
    let pushed = pushed.ok_or_else(|| {
        let right = "expected an event, {\"severity\":...,\"title\":...,\"body\":...}, or {\"logs\":[...]} with events";
        Refused::new(StatusCode::BAD_REQUEST, right)
    })?;
    Ok(answer(&receipt, &pushed))
}

/// What became of the first events of a body, up to the inlet's judgement.
struct Pushed {
    ids: Ids,
    named: Vec<Option<Named>>,
    count: usize,
}

/// Pushes what a body holds; nothing if that is neither an event nor a list of them.
fn push(body: &[u8], inlet: &mut Inlet) -> Option<Pushed> {
    let largest = inlet.message_limit();
    let mut push = Push {
        now: Timestamp::now(),
        largest,
        pushed: Pushed { ids: Ids::now(), named: Vec::new(), count: 0 },
        reading: Reading::default(),
        message: Vec::new(),
        rewritten: Vec::new(),
        inlet,
    };
    if !listed(body, "logs", &mut push) {
        let named = push.understood(body).ok()?;
        push.take(Some(named));
    }
    Some(push.pushed)
}

struct Push<'a, 'i> {
    now: Timestamp,
    largest: usize,
    pushed: Pushed,
    reading: Reading<'a>,
    message: Vec<u8>,
    rewritten: Vec<u8>,
    inlet: &'i mut Inlet,
}

impl Push<'_, '_> {
    /// Makes the message of an event that is cut already, strictly right or not.
    fn understood(&mut self, event: &[u8]) -> Result<Named, (Reason, String)> {
        let Push { now, largest, pushed, message, rewritten, .. } = self;
        let id = pushed.ids.at(pushed.count);
        understood(event, *largest, rewritten, |json| {
            message.clear();
            let (named, length) = Reading::default().message(json, &id, *now, message)?;
            json.get(length..)?.trim_ascii().is_empty().then_some(named)
        })
    }

    /// The next event is the message, if it is one.
    fn take(&mut self, named: Option<Named>) {
        if named.is_some() {
            self.inlet.push(&self.message);
        }
        self.pushed.count += 1;
        if self.pushed.count <= NAMED {
            self.pushed.named.push(named);
        }
    }
}

impl<'a> Takes<'a> for &mut Push<'a, '_> {
    fn ahead(&mut self, text: &'a [u8]) -> Option<usize> {
        self.message.clear();
        let id = self.pushed.ids.at(self.pushed.count);
        let (named, length) = self.reading.message(text, &id, self.now, &mut self.message)?;
        if !is_element(text, length) {
            return None;
        }
        self.take(Some(named));
        Some(length)
    }

    fn piece(&mut self, piece: Piece<'a>) {
        let named = match piece {
            Piece::Message(event) => {
                let read = self.understood(event);
                read.map_err(|(reason, why)| self.inlet.refuse(event, reason, &why)).ok()
            }
            Piece::Unfinished(part) => {
                self.inlet.refuse(part, Reason::Truncated, "the list ends before its bracket");
                None
            }
        };
        self.take(named);
    }
}

/// Duplicates count as accepted: their sender wants to hear that they are safe.
fn answer(receipt: &Receipt, pushed: &Pushed) -> Response<Body> {
    let mut body = Vec::with_capacity(64 + pushed.named.len() * 48);
    body.extend_from_slice(b"{\"accepted\":");
    wire::write_u64(&mut body, (receipt.accepted + receipt.duplicates) as u64);
    body.extend_from_slice(b",\"events\":[");
    let mut rejected = receipt.rejected.iter().peekable();
    for (at, named) in pushed.named.iter().enumerate() {
        if at > 0 {
            body.push(b',');
        }
        if let Some(one) = rejected.next_if(|one| one.index == at) {
            body.extend_from_slice(b"{\"error\":");
            quote(&mut body, &one.why);
        } else {
            body.extend_from_slice(b"{\"id\":");
            match named {
                Some(Named::Ours) => {
                    // Hexadecimal digits, which need no look.
                    body.push(b'"');
                    body.extend_from_slice(&pushed.ids.at(at));
                    body.push(b'"');
                }
                Some(Named::Own(Some(id))) => quote(&mut body, id),
                Some(Named::Own(None)) | None => body.extend_from_slice(b"null"),
            }
        }
        body.push(b'}');
    }
    body.push(b']');
    if pushed.count > pushed.named.len() {
        body.extend_from_slice(b",\"events_more\":");
        wire::write_u64(&mut body, (pushed.count - pushed.named.len()) as u64);
    }
    body.push(b'}');
    json(StatusCode::OK, body)
}

impl Configured for MasterLogDialect {
    type Config = Nothing;

    fn open(_: Nothing) -> Result<Self, String> {
        Ok(MasterLogDialect)
    }
}

inventory::submit! { DialectEntry::of::<MasterLogDialect>("masterlog", include_str!("../example.dialect.toml")) }
