//! What a message is to log-collector: one entry of `POST /logs`, and through it one row of a table.
//!
//! The server copies a request into its table in one piece and answers 500 when a single value does not fit its
//! column, and it keeps of the rest only what is inside `metadata`. So everything is made to fit here, and whatever
//! had to be changed for that stands unchanged in `metadata`.
//!
//! The table is in the README.

use crate::filler;
use metlog_http::event;
use metlog_message::{Fields, Message, Value, wire};

/// Text columns and how many characters they hold.
const TEXTS: &[(&str, usize)] = &[
    ("service", 100),
    ("service_version", 50),
    ("trace_id", 32),
    ("user_id", 255),
    ("session_id", 100),
    ("error_type", 200),
    ("stack_trace", usize::MAX),
    ("path", 500),
    ("action_type", 50),
    ("function_name", 300),
    ("file_path", 1000),
];

const ENVIRONMENTS: &[(&str, &[&str])] = &[
    ("production", &["prod", "prd", "live"]),
    ("staging", &["stage", "stg", "preprod", "pre-production", "uat"]),
    ("development", &["dev", "devel", "develop"]),
    ("test", &["testing", "tests", "qa", "ci"]),
    ("local", &["localhost"]),
];

const LOG_TYPES: &[(&str, &[&str])] = &[
    ("BACKEND", &["back-end", "back_end", "server", "api"]),
    ("FRONTEND", &["front-end", "front_end", "web", "browser", "client"]),
    ("MOBILE", &["android", "ios", "app"]),
    ("IOT", &["device", "sensor", "embedded"]),
    ("WORKER", &["job", "batch", "queue", "cron"]),
];

const METHODS: &[(&str, &[&str])] =
    &[("GET", &[]), ("POST", &[]), ("PUT", &[]), ("DELETE", &[]), ("PATCH", &[]), ("HEAD", &[]), ("OPTIONS", &[])];

/// `decimal(10,3)` ends here.
const LONGEST_MS: f64 = 9_999_999.999;

/// The end of the year 9999, beyond which the server's date type has nothing.
const LAST_SECOND: f64 = 253_402_300_799.0;

/// What an entry says where the message does not.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Defaults {
    /// Name of the service; the logger's, where there is none.
    pub service: Option<String>,
    /// One of the table's five words.
    pub environment: &'static str,
    /// Version of the service.
    pub service_version: String,
    /// One of the table's five words.
    pub log_type: &'static str,
}

impl Default for Defaults {
    fn default() -> Self {
        Defaults {
            service: None,
            environment: filler::ENVIRONMENT,
            service_version: filler::SERVICE_VERSION.into(),
            log_type: filler::LOG_TYPE,
        }
    }
}

/// The table's word for an environment: `production`, `staging`, `development`, `test`, `local`, and what people write.
pub fn environment(text: &str) -> Option<&'static str> {
    word(ENVIRONMENTS, text)
}

/// The table's word for a kind of program: `BACKEND`, `FRONTEND`, `MOBILE`, `IOT`, `WORKER`, and what people write.
pub fn log_type(text: &str) -> Option<&'static str> {
    word(LOG_TYPES, text)
}

fn word(words: &[(&'static str, &[&str])], text: &str) -> Option<&'static str> {
    let text = text.trim();
    let is = |other: &&str| other.eq_ignore_ascii_case(text);
    words.iter().find(|(word, others)| is(word) || others.iter().any(&is)).map(|(word, _)| *word)
}

/// The entry of a message.
pub fn entry(mut message: Message, defaults: &Defaults) -> Value {
    let whole = has_nul(&message).then(|| {
        let mut text = Vec::new();
        wire::write(&mut text, &message);
        String::from_utf8_lossy(&text).into_owned()
    });
    let level = event::level_of_six(&message).to_ascii_uppercase();
    // What the entry says otherwise than the message did.
    let mut kept = Fields::new();
    if level == "TRACE" {
        keep(&mut kept, "level", message.fields.remove("level"), Some("trace".into()));
    }
    let mut envelope = event::envelope(&message);
    envelope.set("timestamp", message.timestamp.to_string());
    if let Some(whole) = whole {
        envelope.set("whole", whole);
    }
    let mut fields = std::mem::take(&mut message.fields);
    let mut metadata = match fields.remove("metadata") {
        Some(Value::Map(metadata)) => {
            envelope.set("metadata", metadata.iter().map(|(name, _)| name).collect::<Vec<_>>());
            metadata
        }
        Some(other) => [("metadata", other)].into_iter().collect(),
        None => Fields::new(),
    };

    let mut entry = Fields::new();
    entry.set("level", level);
    entry.set("message", message.payload.to_text().into_owned());
    let given = fields.get("created_at").cloned();
    entry.set("created_at", created_at(&message, &mut fields));
    if !fields.contains("created_at") {
        keep(&mut kept, "created_at", given, None);
    }
    for &(column, room) in TEXTS {
        let Some(text) = scalar(fields.get(column)) else { continue };
        let (cell, fits) = cell(column, &text, room);
        if let Some(cell) = cell {
            entry.set(column, cell);
        }
        if fits {
            let restored = entry.get(column).filter(|cell| !filler::is(column, cell, &message.logger)).cloned();
            keep(&mut kept, column, fields.remove(column), restored);
        }
    }
    for (column, words) in [("environment", ENVIRONMENTS), ("log_type", LOG_TYPES), ("method", METHODS)] {
        if let Some(known) = fields.get(column).and_then(Value::as_str).and_then(|text| word(words, text)) {
            entry.set(column, known);
            let restored = Value::from(known);
            let restored = Some(restored).filter(|known| !filler::is(column, known, &message.logger));
            keep(&mut kept, column, fields.remove(column), restored);
        }
    }
    let given = fields.get("duration_ms").cloned();
    if let Some(duration) = duration_ms(&message, &mut fields) {
        entry.set("duration_ms", duration);
        if !fields.contains("duration_ms") {
            let restored = (message.kind != "timer").then_some(Value::Float(duration));
            keep(&mut kept, "duration_ms", given, restored);
        }
    }
    let service = || defaults.service.as_deref().unwrap_or(&message.logger);
    let service = Some(service()).filter(|name| !name.is_empty()).unwrap_or(filler::SERVICE);
    for (column, default) in [
        ("service", service),
        ("service_version", defaults.service_version.as_str()),
        ("environment", defaults.environment),
        ("log_type", defaults.log_type),
    ] {
        if !entry.contains(column) {
            entry.set(column, default.chars().take(100).collect::<String>());
        }
    }
    for (name, value) in fields {
        event::add(&mut metadata, &name, value);
    }
    if !kept.is_empty() {
        envelope.set("fields", kept);
    }
    event::add(&mut metadata, "metlog", envelope);
    entry.set("metadata", metadata);
    without_nul(Value::Map(entry))
}

/// Keeps what was given unless it can be had back from the entry.
fn keep(kept: &mut Fields, name: &str, given: Option<Value>, restored: Option<Value>) {
    if let Some(given) = given.filter(|given| Some(given) != restored.as_ref()) {
        kept.set(name, given);
    }
}

fn created_at(message: &Message, fields: &mut Fields) -> f64 {
    let given = fields.get("created_at").and_then(Value::as_f64);
    match given.filter(|seconds| (0.0..=LAST_SECOND).contains(seconds)) {
        Some(seconds) => {
            fields.remove("created_at");
            seconds
        }
        // Microseconds are exact in a float and nanoseconds are not: of .25 they would make .2499998.
        None => message.timestamp.nanos().div_euclid(1000) as f64 / 1e6,
    }
}

/// Text as it is, numbers and truth values as text. Anything with a structure is for `metadata`.
fn scalar(value: Option<&Value>) -> Option<String> {
    match value? {
        Value::Null | Value::List(_) | Value::Map(_) => None,
        scalar => Some(scalar.to_text().replace('\0', "")),
    }
}

/// What goes into a column, and whether that is all of it.
fn cell(column: &str, text: &str, room: usize) -> (Option<String>, bool) {
    // The documented way to make one, `str(uuid4())`, has four dashes too many for the table.
    let dashless = || text.replace('-', "");
    if column == "trace_id" && text.len() == 36 && dashless().len() == 32 {
        return (Some(dashless()), true);
    }
    if text.chars().nth(room).is_none() {
        return (Some(text.to_owned()), true);
    }
    // The start of an id is another id.
    let cut = || text.chars().take(room).collect();
    ((!column.ends_with("_id")).then(cut), false)
}

fn duration_ms(message: &Message, fields: &mut Fields) -> Option<f64> {
    let fits = |duration: &f64| duration.abs() <= LONGEST_MS;
    if let Some(given) = fields.get("duration_ms").and_then(Value::as_f64).filter(fits) {
        fields.remove("duration_ms");
        return Some(given);
    }
    if message.kind != "timer" {
        return None;
    }
    let payload = &message.payload;
    payload.as_f64().or_else(|| payload.as_str()?.trim().parse().ok()).filter(fits)
}

/// Whether there is a NUL anywhere. Such a message stands in the envelope as a text once more, where it is an escape.
fn has_nul(message: &Message) -> bool {
    fn inside(value: &Value) -> bool {
        match value {
            Value::Str(text) => text.contains('\0'),
            Value::List(items) => items.iter().any(inside),
            Value::Map(fields) => within(fields),
            _ => false,
        }
    }
    fn within(fields: &Fields) -> bool {
        fields.iter().any(|(name, value)| name.contains('\0') || inside(value))
    }
    let texts = [Some(&message.kind), Some(&message.logger), message.hostname.as_ref()];
    let texts = texts.into_iter().chain([message.origin.as_ref().map(|origin| &origin.client)]).flatten();
    inside(&message.payload)
        || within(&message.fields)
        || within(&message.extra)
        || texts.into_iter().any(|text| text.contains('\0'))
}

/// PostgreSQL has no place for NUL, in text or in JSON.
fn without_nul(value: Value) -> Value {
    let clean = |text: String| if text.contains('\0') { text.replace('\0', "") } else { text };
    match value {
        Value::Str(text) => Value::Str(clean(text)),
        Value::List(items) => Value::List(items.into_iter().map(without_nul).collect()),
        Value::Map(fields) => {
            let mut cleaned = Fields::new();
            for (name, value) in fields {
                event::add(&mut cleaned, &clean(name), without_nul(value));
            }
            Value::Map(cleaned)
        }
        other => other,
    }
}
