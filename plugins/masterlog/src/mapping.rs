//! What a message is to Master Log: one event of `POST /api/v1/logs/batch`.
//!
//! The table is in the README.

use metlog_http::event;
use metlog_message::{Fields, Message, Value};

/// The server's own clients cut a title made from the body at this many characters.
const TITLE: usize = 120;

/// What ends a line in Python.
const LINE_ENDS: &[char] =
    &['\n', '\r', '\u{b}', '\u{c}', '\u{1c}', '\u{1d}', '\u{1e}', '\u{85}', '\u{2028}', '\u{2029}'];

/// The event of a message.
pub fn event(mut message: Message) -> Value {
    let severity = event::level_of_six(&message);
    if event::is_trace(&message) {
        message.fields.remove("level");
    }
    let mut envelope = event::envelope(&message);
    let mut fields = std::mem::take(&mut message.fields);
    let body = message.payload.to_text().into_owned();

    let mut event = Fields::new();
    event.set("severity", severity);
    event.set("tags", take_tags(&mut fields));
    let title = event::take_text(&mut fields, "title").map(|title| trim(&title).to_owned());
    let title = title.filter(|title| !title.is_empty());
    event.set("title", title.unwrap_or_else(|| title_of(&body, &message.kind)));
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

/// The body's first line, cut as the published client cuts it: the same body has one title, whoever sends it.
fn title_of(body: &str, kind: &str) -> String {
    match trim(body).split(LINE_ENDS).next() {
        Some(line) if !line.is_empty() => line.chars().take(TITLE).collect(),
        _ => kind.to_owned(),
    }
}

/// Without what Python takes for blanks at both ends: Unicode's, and four separators of ASCII.
fn trim(text: &str) -> &str {
    text.trim_matches(|c: char| c.is_whitespace() || ('\u{1c}'..='\u{1f}').contains(&c))
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
