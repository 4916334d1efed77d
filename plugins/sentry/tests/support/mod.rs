//! Sentry's side, by the letter of its envelope format.

use metlog_message::message::Origin;
use metlog_message::{Lines, Message, Severity, Timestamp, wire};
use metlog_pipeline::{Endpoint, EndpointEntry, Picked, SendError};
use metlog_sentry as _;
use metlog_testkit::http::{Answer, HttpPeer, Request};
use metlog_testkit::settings;
use serde_json::Value;
use std::io::Read;

/// The key of the DSN, which nothing may show.
pub const KEY: &str = "0123456789abcdef0123456789abcdef";

pub fn open(toml: &str) -> Result<Box<dyn Endpoint>, String> {
    let entry = EndpointEntry::find("sentry").expect("registered");
    (entry.read)(&settings(toml)).map_err(|problems| problems.to_string())?()
}

pub fn to(peer: &HttpPeer, more: &str) -> Box<dyn Endpoint> {
    open(&format!("dsn = 'http://{KEY}@{}/pre/42'\n{more}", peer.address())).expect("opens")
}

pub fn fine() -> HttpPeer {
    HttpPeer::new(|request| Answer::new(200, format!("{{\"id\":{}}}", event(request)["event_id"])))
}

/// The message of this number of a client, at a fixed time.
pub fn message(seq: u64, severity: Severity, payload: &str) -> Message {
    let mut message = Message::new("oldstyle").logger("shop.cart").severity(severity).payload(payload);
    message.timestamp = Timestamp::from_nanos(1_795_212_050_250_000_000);
    message.hostname = Some("app01".into());
    message.pid = Some(4711);
    message.origin = Some(Origin { client: "00000000c0ffee00".into(), seq });
    message
}

pub fn lines(messages: &[Message]) -> Lines {
    let line = |message| {
        let mut line = Vec::new();
        wire::write(&mut line, message);
        line
    };
    messages.iter().map(line).collect()
}

pub fn write(endpoint: &mut dyn Endpoint, from: u64, messages: &[Message]) -> Result<(), SendError> {
    let ids: Vec<u64> = (from..from + messages.len() as u64).collect();
    endpoint.write(&Picked::new(&lines(messages), &ids))
}

/// The envelope of a request as it was before it was compressed.
pub fn envelope(request: &Request) -> Vec<u8> {
    match request.header("content-encoding") {
        Some("gzip") => {
            let mut body = Vec::new();
            flate2::read::GzDecoder::new(request.body.as_slice()).read_to_end(&mut body).expect("gzip");
            body
        }
        None => request.body.clone(),
        other => panic!("{other:?}"),
    }
}

/// The one event of a request. Whatever is not as Sentry wants it ends the test.
pub fn event(request: &Request) -> Value {
    assert_eq!((request.method.as_str(), request.target.as_str()), ("POST", "/pre/api/42/envelope/"));
    assert_eq!(request.header("content-type"), Some("application/x-sentry-envelope"));
    let auth = request.header("x-sentry-auth").expect("who it is");
    assert!(auth.starts_with(&format!("Sentry sentry_key={KEY}, sentry_version=7, ")), "{auth}");
    assert!(auth.contains("sentry_client=metlog/"), "{auth}");
    assert!(request.body.len() <= 200_000, "{} bytes as sent", request.body.len());

    let body = envelope(request);
    assert!(body.len() <= 1024 * 1024 && !String::from_utf8_lossy(&body).contains(KEY));
    let (headers, rest) = line(&body);
    let (item, rest) = line(rest);
    let length = usize::try_from(item["length"].as_u64().expect("a length")).expect("small");
    assert_eq!(item["type"], "event");
    let (payload, end) = rest.split_at(length);
    assert_eq!(end, b"\n", "the payload is as long as it says, and nothing follows");
    let event: Value = serde_json::from_slice(payload).expect("JSON");
    assert_eq!(headers["event_id"].as_str().map(|id| id.replace('-', "")).as_deref(), event["event_id"].as_str());
    event
}

/// A line of JSON, and what follows.
fn line(bytes: &[u8]) -> (Value, &[u8]) {
    let end = bytes.iter().position(|&byte| byte == b'\n').expect("a line");
    let (line, rest) = bytes.split_at(end);
    (serde_json::from_slice(line).expect("JSON"), &rest[1..])
}
