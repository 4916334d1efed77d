//! VictoriaLogs' ways in, served by the router: JSON lines, Loki's push, Elasticsearch's bulk.
//!
//! - [`arguments`]: what a request says about its lines
//! - [`desk`]: rows become messages, one by one; what cannot is refused by itself
//! - [`mapping`]: what a row is as a message
//! - [`flat`]: the same without reading, for the rows that come most
//! - [`moment`]: the forms a time comes in
//! - [`loki`], [`parts`], [`proto`]: streams of entries, and the two codings they come in
//! - [`bulk`]: actions and documents

mod arguments;
mod bulk;
mod desk;
mod flat;
mod loki;
mod mapping;
mod moment;
mod parts;
mod proto;

use arguments::Arguments;
use desk::{Desk, NAME, Outcome};
use metlog_http::axum::Router;
use metlog_http::axum::body::Body;
use metlog_http::axum::extract::{RawPathParams, State};
use metlog_http::axum::http::header::{CONTENT_ENCODING, CONTENT_TYPE};
use metlog_http::axum::http::{HeaderMap, HeaderValue, Request, Response, StatusCode};
use metlog_http::axum::middleware::map_response;
use metlog_http::axum::response::IntoResponse;
use metlog_http::axum::routing::{MethodRouter, any, get, post};
use metlog_http::server::{json, quote};
use metlog_http::{Dialect, DialectEntry, Door, Refused};
use metlog_message::wire;
use metlog_pipeline::registry::Configured;
use metlog_pipeline::{Inlet, Receipt, inventory};
use serde::Deserialize;
use std::borrow::Cow;

/// Refused lines that an answer names. All are among the dead letters.
const NAMED: usize = 10;

/// Where Loki's clients push to: VictoriaLogs' path, Loki's own, and what a client makes of the two.
const PUSH: [&str; 3] = ["/insert/loki/api/v1/push", "/loki/api/v1/push", "/insert/loki/loki/api/v1/push"];

/// What Beats, Logstash and their like ask for before they send. VictoriaLogs answers all of it alike.
const ASKED: [&str; 7] = ["_ilm", "_index_template", "_ingest", "_nodes", "_rollup", "_logstash", "logstash"];

/// The version that VictoriaLogs says, which is known to please all of them.
const VERSION: &str =
    r#"{"name":"metlog","cluster_name":"metlog","version":{"number":"8.9.0","build_flavor":"default"}}"#;

const LICENSE: &str = r#"{"license":{"uid":"00000000-0000-0000-0000-000000000000","type":"oss","status":"active","expiry_date_in_millis":4000000000000}}"#;

const HEALTH: &str =
    r#"{"cluster_name":"metlog","status":"green","timed_out":false,"number_of_nodes":1,"number_of_data_nodes":1}"#;

/// Settings: none of its own.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Nothing {}

/// The interface of VictoriaLogs for those who write.
#[derive(Debug)]
pub struct VictoriaLogsDialect;

impl Dialect for VictoriaLogsDialect {
    fn routes(self: Box<Self>, door: Door) -> Router {
        let says = |text: &'static str| get(async move || json(StatusCode::OK, text.into()));
        let mut routes = Router::new();
        let both = |routes: Router<Door>, path: &str, to: MethodRouter<Door>| {
            // A redirected write would come again as a GET.
            routes.route(path, to.clone()).route(&format!("{path}/"), to)
        };
        routes = both(routes, "/insert/jsonline", post(lines));
        routes = both(routes, "/insert/ready", says(r#"{"status":"ok"}"#));
        for path in PUSH {
            routes = both(routes, path, post(push));
        }
        for path in ["/insert/loki/ready", "/loki/ready", "/insert/loki/loki/ready"] {
            routes = both(routes, path, get("ready\n"));
        }
        let mut elastic = Router::new();
        for base in ["", "/insert/elasticsearch"] {
            for path in ["/_bulk", "/{index}/_bulk"] {
                elastic = both(elastic, &format!("{base}{path}"), post(documents).put(documents));
            }
            elastic = both(elastic, &format!("{base}/_cluster/health"), says(HEALTH));
            elastic = both(elastic, &format!("{base}/_license"), says(LICENSE));
        }
        elastic = both(elastic, "/insert/elasticsearch", says(VERSION));
        for asked in ASKED {
            let nothing = any(async || json(StatusCode::OK, b"{}".to_vec()));
            let path = format!("/insert/elasticsearch/{asked}");
            elastic = both(elastic, &path, nothing.clone()).route(&format!("{path}/{{*rest}}"), nothing);
        }
        let signed = map_response(async |mut response: Response<Body>| {
            // Their clients talk to nobody without it.
            response.headers_mut().insert("x-elastic-product", HeaderValue::from_static("Elasticsearch"));
            response
        });
        routes.merge(elastic.layer(signed)).with_state(door)
    }
}

/// Reads a body at a desk and waits until what it holds is safe.
async fn taken<T: Send + 'static>(
    door: &Door,
    request: Request<Body>,
    arguments: Arguments,
    read: impl FnOnce(&[u8], &mut Desk<'_>) -> T + Send + 'static,
) -> Result<(Receipt, Outcome, T), Refused> {
    let content = door.content(request).await?;
    let push = move |body: &[u8], inlet: &mut Inlet| {
        let mut desk = Desk::new(inlet, &arguments);
        let read = read(body, &mut desk);
        (desk.finish(), read)
    };
    let (receipt, (outcome, read)) = door.take(content, push).await?;
    Ok((receipt, outcome, read))
}

/// `POST /insert/jsonline`
async fn lines(State(door): State<Door>, request: Request<Body>) -> Result<Response<Body>, Refused> {
    let arguments = Arguments::read(request.uri(), request.headers(), &["_msg"], &["_time"])?;
    let read = |body: &[u8], desk: &mut Desk<'_>| {
        let body = body.strip_prefix(b"\xef\xbb\xbf").unwrap_or(body);
        let lines = body.split(|byte| *byte == b'\n').map(<[u8]>::trim_ascii);
        lines.filter(|line| !line.is_empty()).for_each(|line| desk.object(line, Vec::new()));
    };
    let (receipt, outcome, ()) = taken(&door, request, arguments, read).await?;
    match (nothing(&receipt, &outcome), outcome.shown) {
        (_, Some(shown)) => Ok(json(StatusCode::OK, shown)),
        (Some(why), None) => Err(Refused::new(StatusCode::BAD_REQUEST, why)),
        (None, None) if receipt.rejected.is_empty() => Ok(StatusCode::OK.into_response()),
        (None, None) => Ok(json(StatusCode::OK, report(&receipt))),
    }
}

/// `POST /insert/loki/api/v1/push`
async fn push(State(door): State<Door>, mut request: Request<Body>) -> Result<Response<Body>, Refused> {
    let texts = ["_msg", "message", "msg"];
    let arguments = Arguments::read(request.uri(), request.headers(), &texts, &[])?;
    let protobuf = is_protobuf(request.headers());
    if protobuf && !request.headers().contains_key(CONTENT_ENCODING) {
        // Their protobuf is compressed so without a word.
        request.headers_mut().insert(CONTENT_ENCODING, HeaderValue::from_static("snappy"));
    }
    let read = move |body: &[u8], desk: &mut Desk<'_>| match protobuf {
        true => loki::protobuf(body, desk),
        false => loki::json(body.trim_ascii(), desk),
    };
    let (receipt, outcome, ()) = taken(&door, request, arguments, read).await?;
    match (nothing(&receipt, &outcome), outcome.shown) {
        (_, Some(shown)) => Ok(json(StatusCode::OK, shown)),
        (Some(why), None) => Err(Refused::new(StatusCode::BAD_REQUEST, why)),
        (None, None) => Ok(StatusCode::NO_CONTENT.into_response()),
    }
}

/// `POST /_bulk`, and by PUT as Python's client does it.
async fn documents(
    State(door): State<Door>,
    path: RawPathParams,
    request: Request<Body>,
) -> Result<Response<Body>, Refused> {
    let index = path.iter().find(|(name, _)| *name == "index").map(|(_, index)| index.to_owned());
    let arguments = Arguments::read(request.uri(), request.headers(), &["_msg", "message"], &["_time", "@timestamp"])?;
    let read = move |body: &[u8], desk: &mut Desk<'_>| bulk::bulk(body, index.as_deref(), desk);
    let (receipt, outcome, items) = taken(&door, request, arguments, read).await?;
    Ok(match nothing(&receipt, &outcome) {
        Some(why) => bulk::nothing(&why),
        None => bulk::answer(&items, &receipt),
    })
}

/// Why a body is answered with 400: it holds something, and nothing of the shape it should have.
fn nothing(receipt: &Receipt, outcome: &Outcome) -> Option<Cow<'static, str>> {
    let first = receipt.rejected.first().filter(|_| outcome.understood == 0)?;
    Some(format!("nothing of it can be read, from the first on: {}", first.why).into())
}

/// Which lines were refused, for people: shippers look at the status alone.
fn report(receipt: &Receipt) -> Vec<u8> {
    let mut body = b"{\"accepted\":".to_vec();
    wire::write_u64(&mut body, (receipt.accepted + receipt.duplicates) as u64);
    body.extend_from_slice(b",\"refused\":");
    wire::write_u64(&mut body, receipt.rejected.len() as u64);
    body.extend_from_slice(b",\"first\":[");
    for (at, one) in receipt.rejected.iter().take(NAMED).enumerate() {
        body.extend_from_slice(if at == 0 { b"{\"index\":" } else { b",{\"index\":" });
        wire::write_u64(&mut body, one.index as u64);
        body.extend_from_slice(b",\"error\":");
        quote(&mut body, &one.why);
        body.push(b'}');
    }
    body.extend_from_slice(b"]}");
    body
}

/// As Loki decides: what says nothing is protobuf. Anything else is taken for JSON.
fn is_protobuf(headers: &HeaderMap) -> bool {
    let kind = headers.get(CONTENT_TYPE).and_then(|kind| kind.to_str().ok()).unwrap_or_default();
    let kind = kind.split(';').next().unwrap_or_default().trim().to_ascii_lowercase();
    kind.is_empty() || kind.contains("protobuf") || kind == "application/octet-stream"
}

impl Configured for VictoriaLogsDialect {
    type Config = Nothing;

    fn open(_: Nothing) -> Result<Self, String> {
        Ok(VictoriaLogsDialect)
    }
}

inventory::submit! { DialectEntry::of::<VictoriaLogsDialect>(NAME, include_str!("../example.dialect.toml")) }
