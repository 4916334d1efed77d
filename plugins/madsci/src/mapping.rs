//! What a message is to a MADSci event manager: the body of one `POST /event`, in the form that the servers 0.5.2 and
//! 0.8.1 both take.
//!
//! The table is in the README.

use crate::ulid;
use metlog_http::event;
use metlog_message::{Fields, Message, Severity, Value};

/// What both servers know. Of the 38 of 0.5.2 only `experiment_stop` is missing in 0.8.1; what 0.8.1 has beyond them
/// is answered with 422 by 0.5.2.
const TYPES: &[&str] = &[
    "unknown",
    "log",
    "log_debug",
    "log_info",
    "log_warning",
    "log_error",
    "log_critical",
    "test",
    "lab_create",
    "lab_start",
    "lab_stop",
    "node_create",
    "node_start",
    "node_stop",
    "node_config_update",
    "node_status_update",
    "node_error",
    "workcell_create",
    "workcell_start",
    "workcell_stop",
    "workcell_config_update",
    "workcell_status_update",
    "workflow_create",
    "workflow_start",
    "workflow_complete",
    "workflow_abort",
    "experiment_create",
    "experiment_start",
    "experiment_complete",
    "experiment_failed",
    "experiment_pause",
    "experiment_continued",
    "campaign_create",
    "campaign_start",
    "campaign_complete",
    "campaign_abort",
    "action_status_change",
];

/// The ids of an event's source, each a ULID.
const SOURCES: &[&str] = &[
    "user_id",
    "experiment_id",
    "campaign_id",
    "project_id",
    "node_id",
    "workcell_id",
    "lab_id",
    "step_id",
    "workflow_id",
    "manager_id",
];

/// The event of a message.
pub fn event(mut message: Message) -> Value {
    let envelope = event::envelope(&message);
    let mut fields = std::mem::take(&mut message.fields);
    let (level, by_severity) = match message.severity {
        Severity::Emergency | Severity::Alert | Severity::Critical => (50, "log_critical"),
        Severity::Error => (40, "log_error"),
        Severity::Warning => (30, "log_warning"),
        Severity::Notice | Severity::Informational => (20, "log_info"),
        Severity::Debug => (10, "log_debug"),
    };

    let mut event = Fields::new();
    let id = take_if(&mut fields, "event_id", ulid::is_valid).unwrap_or_else(|| ulid::of(&message));
    event.set("event_id", id);
    let named = take_if(&mut fields, "event_type", |name| known(name).is_some());
    event.set("event_type", named.as_deref().and_then(known).or(known(&message.kind)).unwrap_or(by_severity));
    event.set("log_level", level);
    let alert = fields.get("alert").and_then(Value::as_bool);
    if alert.is_some() {
        fields.remove("alert");
    }
    event.set("alert", alert.unwrap_or(message.kind == "alert"));
    event.set("event_timestamp", message.timestamp.to_string());
    let mut source = Fields::new();
    for name in SOURCES {
        if let Some(id) = take_if(&mut fields, name, ulid::is_valid) {
            source.set(*name, id);
        }
    }
    event.set("source", source);
    for (name, digits) in [("trace_id", 32), ("span_id", 16)] {
        let is_id = |text: &str| text.len() == digits && text.bytes().all(|byte| byte.is_ascii_hexdigit());
        if let Some(id) = take_if(&mut fields, name, is_id) {
            event.set(name, id);
        }
    }
    let mut data = Fields::new();
    data.set("message", message.payload.to_text().into_owned());
    for (name, value) in fields {
        event::add(&mut data, &name, value);
    }
    event::add(&mut data, "metlog", envelope);
    event.set("event_data", data);
    Value::Map(event)
}

/// A type's name as the servers spell it.
fn known(name: &str) -> Option<&'static str> {
    TYPES.iter().copied().find(|known| known.eq_ignore_ascii_case(name.trim()))
}

/// Takes out a text that is right for its place. Anything else stays with the caller's data.
fn take_if(fields: &mut Fields, name: &str, right: impl Fn(&str) -> bool) -> Option<String> {
    let text = fields.get(name)?.as_str().filter(|text| right(text))?.to_owned();
    fields.remove(name);
    Some(text)
}
