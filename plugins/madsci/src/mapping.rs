//! Message ⇄ event.
//!
//! Two forms of a message stand for an event. Our own sender's events become again the message they were made of; any
//! other becomes a message of its own form, whose fields are the event's keys. Nothing is lost either way, and an event
//! that only looks like our sender's takes the second.

use crate::event::{Event, SOURCES};
use crate::{types, ulid};
use metlog_http::event;
use metlog_message::{Fields, Message, Timestamp, Value, wire};
use std::fmt::Write;

/// The envelope key of every message that a dialect made, and what ours says there.
pub const VIA: (&str, &str) = ("via", "madsci");

/// The logger of events that are not our sender's.
const LOGGER: &str = "madsci";

/// The event of a message, whoever made it.
pub fn event(mut message: Message) -> Event {
    if message.extra.get(VIA.0).and_then(Value::as_str) != Some(VIA.1) {
        return made(message);
    }
    message.extra.remove(VIA.0);
    if let Some(event) = unfolded(&message) {
        return event;
    }
    // Put there to be found by; the event never had it among its data.
    let is_id = |id: &Value| id.as_str().is_some_and(ulid::is_valid);
    let last = message.fields.iter().last().is_some_and(|(name, id)| name == "event_id" && is_id(id));
    let id = if last { message.fields.remove("event_id") } else { None };
    let mut event = made(message);
    if let Some(Value::Str(id)) = id {
        event.id = id;
    }
    event
}

/// The message of an event that happened then.
pub fn message(event: Event, at: Timestamp) -> Message {
    let mut message = remade(&event).unwrap_or_else(|| folded(event, at));
    message.extra.set(VIA.0, VIA.1);
    message
}

/// A message as an event, by the table in the README.
fn made(mut message: Message) -> Event {
    let mut envelope = event::envelope(&message);
    let fields = std::mem::take(&mut message.fields);
    let (level, by_severity) = types::of_severity(message.severity);
    let (mut id, mut kind, mut alert, mut trace_id, mut span_id) = (None, None, None, None, None);
    let (mut source, mut data) = (Fields::new(), Fields::new());
    let (mut moved, mut renamed) = (Fields::new(), Fields::new());
    data.set("message", message.payload.to_text().into_owned());
    for (at, (name, value)) in fields.into_iter().enumerate() {
        let text = value.as_str();
        let place = match name.as_str() {
            "event_id" if text.is_some_and(ulid::is_valid) => &mut id,
            "trace_id" if text.is_some_and(|text| is_hexadecimal(text, 32)) => &mut trace_id,
            "span_id" if text.is_some_and(|text| is_hexadecimal(text, 16)) => &mut span_id,
            "event_type" => {
                let known = text.and_then(types::known_to_both);
                kind = known;
                if known.is_none() || known != text {
                    data.push(name, value);
                } else {
                    moved.set(name, at);
                }
                continue;
            }
            "alert" if value.as_bool().is_some() => {
                alert = value.as_bool();
                moved.set(name, at);
                continue;
            }
            _ if SOURCES.contains(&name.as_str()) && text.is_some_and(ulid::is_valid) => {
                moved.set(name.as_str(), at);
                source.set(name, value);
                continue;
            }
            _ => {
                let free = event::free(&data, &name);
                if free != name {
                    renamed.set(free.as_str(), name);
                }
                data.push(free, value);
                continue;
            }
        };
        *place = text.map(str::to_owned);
        moved.set(name, at);
    }
    for (name, places) in [("moved", moved), ("renamed", renamed)] {
        if !places.is_empty() {
            envelope.set(name, places);
        }
    }
    event::add(&mut data, "metlog", envelope);
    Event {
        id: id.unwrap_or_else(|| ulid::of(&message)),
        kind: kind.or_else(|| types::known_to_both(&message.kind)).unwrap_or(by_severity),
        level,
        alert: alert.unwrap_or(message.kind == "alert"),
        timestamp: message.timestamp.to_string().into(),
        source,
        data: Value::Map(data),
        trace_id,
        span_id,
        archived: false,
        archived_at: Value::Null,
        extra: Fields::new(),
    }
}

fn is_hexadecimal(text: &str, digits: usize) -> bool {
    text.len() == digits && text.bytes().all(|byte| byte.is_ascii_hexdigit())
}

/// The message that our own sender made an event of, if that is what it was: it must become the very same event again.
fn remade(event: &Event) -> Option<Message> {
    let mut data = event.data.as_map()?.clone();
    let (name, _) = data.iter().last()?;
    let name = Some(name).filter(|name| name.trim_start_matches('_') == "metlog")?.to_owned();
    let Some(Value::Map(mut envelope)) = data.remove(&name) else { return None };
    let mut message = event::opened(&mut envelope)?;
    message.timestamp = Timestamp::parse(event.timestamp.as_str()?)?;
    let said = data.remove("message")?;
    message.payload = envelope.remove("payload").unwrap_or(said);
    message.fields = fields_again(event, data, &envelope)?;
    let again = made(message.clone());
    // Without an id of its own and without a running number, chance had given the event its id.
    let by_chance = message.origin.is_none() && !message.fields.contains("event_id");
    if again != (Event { id: if by_chance { again.id.clone() } else { event.id.clone() }, ..event.clone() }) {
        return None;
    }
    match message.fields.get("event_id") {
        None => message.fields.push("event_id".to_owned(), event.id.as_str().into()),
        Some(id) if id.as_str() == Some(&event.id) => {}
        // Nobody would find it by the event's.
        Some(_) => return None,
    }
    Some(message)
}

/// A message's fields, each where it was and under its own name.
fn fields_again(event: &Event, data: Fields, envelope: &Fields) -> Option<Fields> {
    let renamed = envelope.get("renamed").and_then(Value::as_map);
    let mut fields: Vec<(String, Value)> = data
        .into_iter()
        .map(|(name, value)| {
            let was = renamed.and_then(|renamed| renamed.get(&name)?.as_str());
            (was.map_or(name.clone(), str::to_owned), value)
        })
        .collect();
    let mut moved: Vec<(usize, &str)> = Vec::new();
    for (name, at) in envelope.get("moved").and_then(Value::as_map).into_iter().flat_map(Fields::iter) {
        moved.push((usize::try_from(at.as_i64()?).ok()?, name));
    }
    moved.sort_unstable();
    for (at, name) in moved {
        let value = match name {
            "event_id" => Value::from(event.id.as_str()),
            "event_type" => event.kind.into(),
            "alert" => event.alert.into(),
            "trace_id" => event.trace_id.clone().into(),
            "span_id" => event.span_id.clone().into(),
            id => event.source.get(id)?.clone(),
        };
        fields.insert(at.min(fields.len()), (name.to_owned(), value));
    }
    Some(fields.into_iter().collect())
}

/// Any other event as a message: its keys are fields, its text is the payload.
fn folded(event: Event, at: Timestamp) -> Message {
    let mut message = Message::new(event.effective_kind()).severity(types::severity(event.level)).logger(LOGGER);
    message.timestamp = at;
    let mut data = Some(event.data);
    let mut form = None;
    match &mut data {
        // Taken out only where it can be put back in its place: a text of a megabyte is not to be kept twice.
        Some(Value::Map(inner)) if is_first_text(inner) => {
            message.payload = inner.remove("message").unwrap_or_default()
        }
        Some(Value::Map(inner)) => {
            message.payload = Value::from(inner.get("message").and_then(Value::as_str).unwrap_or_default());
        }
        Some(Value::Str(text)) => match inside(text) {
            Some(said) if as_python_writes(&said) == *text => {
                message.payload = said.into();
                form = Some(AS_JSON);
            }
            Some(said) => message.payload = said.into(),
            None => {
                message.payload = std::mem::take(text).into();
                form = Some(AS_TEXT);
            }
        },
        _ => {}
    }
    if form.is_some() {
        data = None;
    }
    let fields = &mut message.fields;
    fields.set("event_id", event.id);
    fields.set("event_type", event.kind);
    fields.set("log_level", event.level);
    fields.set("alert", event.alert);
    fields.set("event_timestamp", event.timestamp);
    fields.set("source", event.source);
    match (data, form) {
        (Some(data), _) => fields.set("event_data", data),
        (None, form) => fields.set("event_text", form),
    }
    for (name, id) in [("trace_id", event.trace_id), ("span_id", event.span_id)] {
        if let Some(id) = id {
            fields.set(name, id);
        }
    }
    if event.archived {
        fields.set("archived", true);
    }
    if event.archived_at != Value::Null {
        fields.set("archived_at", event.archived_at);
    }
    if !event.extra.is_empty() {
        fields.set("event_extra", event.extra);
    }
    message
}

/// What the field `event_text` says of data that is all in the payload: 0.5.2 sends the JSON of a text, quotes and all.
const AS_JSON: &str = "json";

/// Or that it is the payload.
const AS_TEXT: &str = "plain";

/// The text that a text is the JSON of.
fn inside(text: &str) -> Option<String> {
    match wire::read_value(text.as_bytes()) {
        Ok(Value::Str(inside)) => Some(inside),
        _ => None,
    }
}

/// A text as Python's `json.dumps` writes it: everything beyond ASCII is escaped.
fn as_python_writes(text: &str) -> String {
    let mut out = String::with_capacity(text.len() + 2);
    out.push('"');
    for symbol in text.chars() {
        match symbol {
            '"' | '\\' => out.extend(['\\', symbol]),
            '\n' => out.push_str("\\n"),
            '\r' => out.push_str("\\r"),
            '\t' => out.push_str("\\t"),
            '\u{8}' => out.push_str("\\b"),
            '\u{c}' => out.push_str("\\f"),
            ' '..='\u{7f}' => out.push(symbol),
            _ => {
                for unit in symbol.encode_utf16(&mut [0; 2]) {
                    // Writing to a text cannot fail.
                    let _ok = write!(out, "\\u{unit:04x}");
                }
            }
        }
    }
    out.push('"');
    out
}

fn is_first_text(data: &Fields) -> bool {
    data.iter()
        .next()
        .is_some_and(|(name, value)| name == "message" && value.as_str().is_some_and(|text| !text.is_empty()))
}

/// The event of a message in its own form.
fn unfolded(message: &Message) -> Option<Event> {
    let is_own = |fields: &Fields| {
        let text = |name: &str| fields.get(name).is_some_and(|value| value.as_str().is_some());
        let has_data = fields.contains("event_data") || text("event_text");
        text("event_id") && text("event_type") && fields.contains("event_timestamp") && has_data
    };
    if message.logger != LOGGER || message.origin.is_some() || !is_own(&message.fields) {
        return None;
    }
    let Message { payload, mut fields, .. } = message.clone();
    let extra = fields.remove("event_extra");
    let form = fields.remove("event_text");
    let mut data = fields.remove("event_data");
    match (&mut data, payload) {
        (Some(Value::Map(inner)), Value::Str(text)) if !inner.contains("message") && !text.is_empty() => {
            let rest = std::mem::take(inner);
            inner.set("message", text);
            rest.into_iter().for_each(|(name, value)| inner.push(name, value));
        }
        (None, Value::Str(text)) => {
            let is_json = form.as_ref().and_then(Value::as_str) == Some(AS_JSON);
            data = Some(if is_json { as_python_writes(&text) } else { text }.into());
        }
        _ => {}
    }
    fields.set("event_data", data);
    if let Some(Value::Map(extra)) = extra {
        extra.into_iter().for_each(|(name, value)| fields.push(name, value));
    }
    Event::read(Value::Map(fields)).ok()
}
