//! A message as an event.

use crate::cut::{self, Room};
use crate::place::{self, Part};
use crate::raven;
use crate::stack::{self, Found};
use metlog_message::{Fields, Message, Severity, Timestamp, Value};
use sentry_types::protocol::v7::{
    Breadcrumb, ClientSdkInfo, Context, Event, Level, Map, Mechanism, SpanId, TraceContext, TraceId, User, value,
};
use std::borrow::Cow;
use std::time::{Duration, SystemTime};
use uuid::Uuid;

/// Names what our ids are made of, so that they are nobody else's: RFC 9562, version 5.
const NAMESPACE: Uuid = Uuid::from_u128(0x6d65_746c_6f67_4b65_a3d1_7365_6e74_7279);

/// Sentry's own limits, in characters.
const MESSAGE: usize = 8192;
const LOGGER: usize = 64;
const HOST: usize = 200;
const TAG: usize = 200;
const USER: usize = 128;
/// Of a text in `extra`, and bytes of all of it.
const EXTRA_TEXT: usize = 16 * 1024;
const EXTRA: usize = 64 * 1024;

/// Where foreign clients put what they know about an error besides the fields themselves.
const INSIDE: [&str; 3] = ["", "event_data.", "metadata."];
/// Fields in which an error is told as text.
const TEXTS: [&str; 12] = [
    "exception",
    "traceback",
    "stack_trace",
    "stacktrace",
    "backtrace",
    "stack",
    "exc_info",
    "exc_text",
    "error",
    "exception.stacktrace",
    "exception.traceback",
    "error.stack_trace",
];
/// Fields that name its type.
const TYPES: [&str; 6] = ["exception_name", "error_type", "exception_type", "exc_type", "exception.type", "error.type"];
/// Fields that say what was wrong.
const VALUES: [&str; 5] = ["exception_message", "error_message", "exception.message", "error.message", "error"];

/// What an operator may choose about events.
pub struct Shape {
    /// Where a message does not say it itself.
    pub release: Option<String>,
    /// Where a message does not say it itself.
    pub environment: Option<String>,
    /// Fields that become tags.
    pub tags: Vec<String>,
    /// What events are grouped by.
    pub fingerprint: Vec<Part>,
}

/// The id of some bytes: the same whenever they are.
pub fn hash(parts: &[&[u8]]) -> Uuid {
    Uuid::new_v5(&NAMESPACE, &parts.join(&0))
}

/// The id of a message's event: by who sent it as its how-manieth, or else by its place in the spool and what it says,
/// since another router counts from where we do.
pub fn id(message: &Message, id: u64, line: &[u8]) -> Uuid {
    match &message.origin {
        Some(origin) => hash(&[b"origin", origin.client.as_bytes(), &origin.seq.to_be_bytes()]),
        None => hash(&[b"spool", &id.to_be_bytes(), line]),
    }
}

/// The level of a severity.
pub fn level(severity: Severity) -> Level {
    match severity {
        Severity::Emergency | Severity::Alert | Severity::Critical => Level::Fatal,
        Severity::Error => Level::Error,
        Severity::Warning => Level::Warning,
        Severity::Notice | Severity::Informational => Level::Info,
        Severity::Debug => Level::Debug,
    }
}

/// When it was. Sentry's time begins with 1970.
pub fn moment(timestamp: Timestamp) -> SystemTime {
    SystemTime::UNIX_EPOCH + Duration::from_nanos(timestamp.nanos().try_into().unwrap_or(0))
}

/// Whether a field holds what is nobody's business: clients of Metlog's time sent their DSN along.
pub fn is_secret(name: &str) -> bool {
    name.eq_ignore_ascii_case("dsn") || name.to_ascii_lowercase().ends_with("_dsn")
}

/// The event of a message.
pub fn of(message: &Message, id: Uuid, shape: &Shape, trail: Vec<Breadcrumb>) -> Event<'static> {
    let payload = message.payload.to_text();
    let (found, told) = found(message, &payload);
    let said = match (&found, told) {
        (Some(found), true) => found.before.clone().unwrap_or_default(),
        (None, _) if payload.trim().is_empty() => message.kind.clone(),
        _ => payload.clone().into_owned(),
    };
    let packed = found.as_ref().is_some_and(|found| found.packed);
    let place = place::of(&message.fields, found.as_ref());
    let fingerprint = place::fingerprint(&shape.fingerprint, message, found.as_ref(), place.as_deref());
    let own = |name: &str, fits: fn(&str) -> bool, set: &Option<String>| {
        let own = message.fields.get(name).and_then(Value::as_str).filter(|text| fits(text));
        own.map(str::to_owned).or_else(|| set.clone()).map(Cow::Owned)
    };
    let mut event = Event {
        event_id: id,
        level: level(message.severity),
        culprit: place,
        message: Some(cut::text(&said, MESSAGE)).filter(|said| !said.is_empty()),
        logger: Some(cut::line(&message.logger, LOGGER)).filter(|logger| !logger.is_empty()),
        platform: found.as_ref().map_or("other", |found| found.platform).into(),
        timestamp: moment(message.timestamp),
        server_name: message.hostname.as_deref().map(|host| cut::line(host, HOST).into()),
        release: own("release", is_release, &shape.release),
        environment: own("environment", is_environment, &shape.environment),
        user: user(&message.fields),
        contexts: trace(&message.fields, id),
        breadcrumbs: trail.into(),
        tags: tags(message, &shape.tags),
        extra: extra(message, !packed && (said != payload || said.chars().nth(MESSAGE).is_some())),
        sdk: Some(Cow::Owned(sdk())),
        ..Event::default()
    };
    if !fingerprint.is_empty() {
        event.fingerprint = fingerprint.into_iter().map(Cow::Owned).collect::<Vec<_>>().into();
    }
    event.exception = found.map(|found| found.chain).unwrap_or_default().into();
    event
}

/// The errors a message tells of, and whether the payload is what told them.
fn found(message: &Message, payload: &str) -> (Option<Found>, bool) {
    let raven = (message.kind == "sentry").then(|| raven::read(payload)).flatten();
    let mut found = raven.or_else(|| stack::read(payload, true));
    let told = found.is_some();
    let texts = |names: &'static [&'static str]| {
        let paths = INSIDE.iter().flat_map(move |inside| names.iter().map(move |name| format!("{inside}{name}")));
        paths.filter_map(|path| message.fields.at(&path)?.as_str()).filter(|text| !text.trim().is_empty())
    };
    for more in texts(&TEXTS).filter_map(|text| stack::read(text, false)) {
        found = Some(match found {
            None => more,
            Some(found) => found.with(more),
        });
    }
    let ty = texts(&TYPES).next();
    let value = texts(&VALUES).find(|text| stack::read(text, false).is_none());
    if let (None, Some(ty)) = (&found, ty) {
        let mut named = Found::new("other");
        named.push(Some(stack::exception(ty, value.unwrap_or(payload), Vec::new())));
        found = Some(named);
    }
    let count = found.as_ref().map_or(0, |found| found.chain.len());
    let panicked = message.fields.get("panic").and_then(Value::as_bool) == Some(true);
    for (at, error) in found.iter_mut().flat_map(|found| &mut found.chain).enumerate() {
        let is_last = at + 1 == count;
        if is_last {
            if error.value.is_none() && error.ty == "Error" {
                error.value = Some(cut::text(value.unwrap_or(payload), stack::LONGEST_VALUE));
            }
            // Rust's errors do not say their type.
            if let ("Error", Some(ty)) = (error.ty.as_str(), ty) {
                error.ty = cut::line(ty, stack::LONGEST_NAME);
            }
        }
        let panicked = is_last && (panicked || error.ty == "panic");
        let ty = if panicked {
            "panic"
        } else if is_last {
            "generic"
        } else {
            "chained"
        };
        error.mechanism = Some(Mechanism { ty: ty.into(), handled: Some(!panicked), ..Mechanism::default() });
    }
    (found, told)
}

/// Whether Sentry takes it as a release.
pub fn is_release(text: &str) -> bool {
    let odd = |one: char| matches!(one, '/' | '\\') || one.is_control();
    !text.trim().is_empty() && !matches!(text, "." | "..") && text.chars().count() <= 200 && !text.contains(odd)
}

/// Whether Sentry takes it as an environment.
pub fn is_environment(text: &str) -> bool {
    let odd = |one: char| matches!(one, '/' | '\\') || one.is_control() || one.is_whitespace();
    !text.is_empty() && text != "None" && text.chars().count() <= 64 && !text.contains(odd)
}

fn user(fields: &Fields) -> Option<User> {
    let id = match fields.get("user_id")? {
        id @ (Value::Str(_) | Value::Int(_) | Value::UInt(_) | Value::Big(_)) => cut::line(&id.to_text(), USER),
        _ => return None,
    };
    Some(User { id: Some(id), ..User::default() }).filter(|user| user.id.as_deref() != Some(""))
}

/// The trace of `trace_id`, with the span of `span_id`, or one made of the event's id: Sentry wants one.
fn trace(fields: &Fields, id: Uuid) -> Map<String, Context> {
    let digits = |name: &str, count: usize| {
        let text = fields.get(name)?.as_str()?.replace('-', "").to_ascii_lowercase();
        let is_one = text.len() == count && text.bytes().all(|digit| digit.is_ascii_hexdigit());
        Some(text).filter(|text| is_one && text.bytes().any(|digit| digit != b'0'))
    };
    let Some(trace_id) = digits("trace_id", 32).and_then(|text| text.parse::<TraceId>().ok()) else {
        return Map::new();
    };
    let span_id = digits("span_id", 16).and_then(|text| text.parse::<SpanId>().ok());
    let span_id = span_id.unwrap_or_else(|| SpanId::from(id.as_u64_pair().0.to_be_bytes()));
    let trace = TraceContext { trace_id, span_id, ..TraceContext::default() };
    Map::from([("trace".to_owned(), Context::Trace(Box::new(trace)))])
}

fn tags(message: &Message, chosen: &[String]) -> Map<String, String> {
    let chosen = chosen.iter().filter_map(|path| {
        let value = match message.fields.at(path)? {
            Value::Null => return None,
            value => cut::line(&value.to_text(), TAG),
        };
        Some((path.clone(), value))
    });
    let kind = ("type".to_owned(), cut::line(&message.kind, TAG));
    chosen.chain([kind]).filter(|(_, value)| !value.is_empty()).collect()
}

/// Fields, the payload where it is not told elsewhere, and the envelope; what had no room is counted.
fn extra(message: &Message, with_payload: bool) -> Map<String, value::Value> {
    let (mut room, mut left_out) = (Room(EXTRA), 0);
    let mut envelope = metlog_http::event::envelope(message);
    // What is told once, below, or by the event itself.
    envelope.remove("payload");
    let envelope = room.map(&envelope, 1024, &mut left_out);
    let payload = with_payload.then(|| room.value(&message.payload, EXTRA_TEXT, 5, &mut left_out));
    let mut fields = message.fields.clone();
    let secret: Vec<String> =
        fields.iter().map(|(name, _)| name).filter(|name| is_secret(name)).map(str::to_owned).collect();
    for name in secret {
        fields.remove(&name);
    }
    let mut extra: Map<String, value::Value> = room.map(&fields, EXTRA_TEXT, &mut left_out).into_iter().collect();
    let mut add = |name: &str, value: value::Value| {
        let mut name = name.to_owned();
        while extra.contains_key(&name) {
            name.insert(0, '_');
        }
        extra.insert(name, value);
    };
    if let Some(Some(payload)) = payload {
        add("payload", payload);
    }
    add("metlog", envelope.into());
    if left_out > 0 {
        add("metlog_left_out", left_out.into());
    }
    extra
}

fn sdk() -> ClientSdkInfo {
    ClientSdkInfo {
        name: "metlog".into(),
        version: env!("CARGO_PKG_VERSION").into(),
        integrations: Vec::new(),
        packages: Vec::new(),
    }
}
