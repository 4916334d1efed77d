//! What the manager says of itself.

use crate::ask::{Asked, Kept, detail};
use crate::dialect::{Config, Manager};
use crate::zone::Zone;
use metlog_http::axum::Extension;
use metlog_http::axum::body::Body;
use metlog_http::axum::extract::State;
use metlog_http::axum::http::{Response, StatusCode, Uri};
use metlog_http::event;
use metlog_http::server::json;
use metlog_message::{Fields, Value};
use metlog_query::Store;
use std::time::Duration;

/// Whoever watches health wants to hear soon.
const PROMPT: Duration = Duration::from_secs(2);

/// Its name, its id, its settings. None of them is a secret.
#[derive(Debug)]
pub struct About {
    name: String,
    manager_id: String,
    settings: Vec<Setting>,
}

#[derive(Debug)]
struct Setting {
    name: &'static str,
    value: Value,
    is_default: bool,
    /// Its type in a JSON schema.
    kind: &'static str,
    what: &'static str,
}

impl About {
    /// Of these settings.
    pub fn new(config: &Config, zone: &Zone, manager_id: String) -> Self {
        let limits = config.limits();
        let name = config.name.clone().unwrap_or_else(|| "metlog".to_owned());
        let setting = |name, value: Value, is_default, kind, what| Setting { name, value, is_default, kind, what };
        let settings = vec![
            setting("manager_name", name.as_str().into(), config.name.is_none(), "string", "What it is called."),
            setting(
                "manager_id",
                manager_id.as_str().into(),
                config.manager_id.is_none(),
                "string",
                "Its id; a new one at every start unless it is set.",
            ),
            setting("manager_type", "event_manager".into(), true, "string", "What it manages."),
            setting(
                "timezone",
                zone.name().into(),
                config.timezone.is_none(),
                "string",
                "Where an event_timestamp without a zone was written.",
            ),
            setting("max_events", limits.events.into(), config.max_events.is_none(), "integer", "Events in an answer."),
            setting(
                "read_timeout_seconds",
                limits.read.as_secs_f64().into(),
                config.read_timeout.is_none(),
                "number",
                "How long the store may look for events.",
            ),
            setting(
                "report_timeout_seconds",
                limits.report.as_secs_f64().into(),
                config.report_timeout.is_none(),
                "number",
                "The same for a report.",
            ),
        ];
        About { name, manager_id, settings }
    }

    /// What `GET /definition` answers, and `GET /` among others'.
    pub fn definition(&self) -> [(&'static str, Value); 4] {
        [
            ("name", self.name.as_str().into()),
            ("description", "metlog, a router for typed messages".into()),
            ("manager_id", self.manager_id.as_str().into()),
            ("manager_type", "event_manager".into()),
        ]
    }
}

fn object(entries: impl IntoIterator<Item = (&'static str, Value)>) -> Response<Body> {
    json(StatusCode::OK, event::json(&Value::Map(entries.into_iter().collect())))
}

/// `GET /definition`.
pub async fn definition(State(manager): State<Manager>) -> Response<Body> {
    object(manager.about.definition())
}

/// `GET /health`. Without a store events are taken all the same, so that is healthy.
pub async fn health(kept: Kept) -> Response<Body> {
    let is_there = kept.is_some();
    let size = match kept {
        Some(Extension(shelf)) => {
            let (_asker, store) = shelf.lend();
            let asked = tokio::task::spawn_blocking(move || store.size());
            match tokio::time::timeout(PROMPT, asked).await {
                Ok(Ok(Ok(size))) => Some(size),
                _ => None,
            }
        }
        None => None,
    };
    let description = match (is_there, size) {
        (_, Some(_)) => "Events are taken and can be read",
        (true, None) => "Events are taken; the store cannot be read",
        (false, None) => "Events are taken; no store is configured, so none can be read",
    };
    object([
        ("healthy", (size.is_some() || !is_there).into()),
        ("description", description.into()),
        ("version", env!("CARGO_PKG_VERSION").into()),
        ("db_connected", size.is_some().into()),
        // Messages of any kind: counting events alone would mean reading them all.
        ("total_events", size.map(|size| size.messages).into()),
        ("otel_enabled", Value::Null),
        ("otel_exporter_type", Value::Null),
        ("otel_endpoint", Value::Null),
    ])
}

/// `GET /settings`.
pub async fn settings(State(manager): State<Manager>, uri: Uri) -> Response<Body> {
    let asked = Asked::of(uri.query());
    let flags = asked.flag("include_defaults", true).and_then(|all| Ok((all, asked.flag("include_schema", false)?)));
    let (all, with_schema) = match flags {
        Ok(flags) => flags,
        Err(why) => return detail(StatusCode::UNPROCESSABLE_ENTITY, &why),
    };
    let settings = &manager.about.settings;
    let values: Fields =
        settings.iter().filter(|one| all || !one.is_default).map(|one| (one.name, one.value.clone())).collect();
    let mut answer = vec![("settings", Value::Map(values))];
    if with_schema {
        let property = |one: &Setting| {
            let property: Fields = [("type", one.kind), ("description", one.what)].into_iter().collect();
            (one.name, Value::Map(property))
        };
        let properties: Fields = settings.iter().map(property).collect();
        let schema = [("type", Value::from("object")), ("properties", Value::Map(properties))];
        answer.push(("schema", Value::Map(schema.into_iter().collect())));
        answer.push(("schema_title", "MadsciDialect".into()));
    }
    object(answer)
}
