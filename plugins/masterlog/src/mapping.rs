//! What a message is to Master Log: one event of `POST /api/v1/logs/batch`.
//!
//! The table is in the README.

use crate::title::{title_of, trim};
use metlog_http::event;
use metlog_message::{Fields, Message, Value};

/// The event of a message.
pub fn event(mut message: Message) -> Value {
    let severity = event::level_of_six(&message);
    let mut envelope = event::envelope(&message);
    let mut fields = std::mem::take(&mut message.fields);
    // What the event says otherwise than the message did.
    let mut kept = Fields::new();
    if severity == "trace" {
        keep(&mut kept, "level", fields.remove("level"), &"trace".into());
    }
    let body = message.payload.to_text().into_owned();

    let mut event = Fields::new();
    event.set("severity", severity);
    let given = fields.get("tags").cloned();
    let tags = Value::from(take_tags(&mut fields));
    if !fields.contains("tags") {
        let empty = tags.as_list().is_some_and(<[Value]>::is_empty);
        keep(&mut kept, "tags", given, if empty { &Value::Null } else { &tags });
    }
    event.set("tags", tags);
    let derived = title_of(&body, &message.kind);
    let given = event::take_text(&mut fields, "title");
    let title = given.as_deref().map(trim).filter(|title| !title.is_empty()).unwrap_or(&derived).to_owned();
    let restored = if title == derived { Value::Null } else { Value::from(&title) };
    keep(&mut kept, "title", given.map(Value::Str), &restored);
    event.set("title", title);
    event.set("body", body);
    let ttl = event::take_number(&mut fields, "ttl_seconds");
    let expires = event::take_text(&mut fields, "expires_at");
    let timestamp = message.timestamp.to_string();
    let created = match event::take_text(&mut fields, "created_at") {
        Some(given) => {
            envelope.set("timestamp", timestamp);
            given
        }
        None => timestamp,
    };
    if !kept.is_empty() {
        envelope.set("fields", kept);
    }
    event::add(&mut fields, "metlog", envelope);
    event.set("metadata", fields);
    for (name, value) in [("ttl_seconds", ttl), ("expires_at", expires.map(Value::Str))] {
        if let Some(value) = value {
            event.set(name, value);
        }
    }
    event.set("created_at", created);
    Value::Map(event)
}

/// Keeps what was given unless it can be had back from the event.
fn keep(kept: &mut Fields, name: &str, given: Option<Value>, restored: &Value) {
    if let Some(given) = given.filter(|given| given != restored) {
        kept.set(name, given);
    }
}

/// The server compares tags as they are, so spelling variants are evened out as its own clients do.
fn take_tags(fields: &mut Fields) -> Vec<String> {
    if !matches!(fields.get("tags"), Some(Value::Str(_) | Value::List(_))) {
        return Vec::new();
    }
    let texts: Vec<String> = match fields.remove("tags") {
        Some(Value::List(items)) => items.iter().map(|item| item.to_text().into_owned()).collect(),
        Some(Value::Str(text)) => vec![text],
        _ => Vec::new(),
    };
    let mut tags: Vec<String> = texts
        .iter()
        .flat_map(|text| text.split(','))
        .map(|tag| trim(tag).to_owned())
        .filter(|tag| !tag.is_empty())
        .collect();
    tags.sort();
    tags.dedup();
    tags
}
