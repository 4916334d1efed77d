//! A row whose bytes are looked into once at most, and the document that it is.

use crate::path::{self, Path, Root, Spot};
use crate::store::Row;
use metlog_message::wire::{self, Limits};
use metlog_message::{Fields, Head, Message, Value, head};
use std::borrow::Cow;
use std::cell::OnceCell;

/// A row, and its bytes once they have been looked into.
pub(crate) struct View<'v, 'r> {
    row: &'v Row<'r>,
    content: OnceCell<Content<'r>>,
}

pub(crate) enum Content<'r> {
    /// Strictly right: what is asked for is looked up in the bytes.
    Bytes(Head<'r>),
    /// Read leniently.
    Tree(Value),
}

impl<'v, 'r> View<'v, 'r> {
    pub fn of(row: &'v Row<'r>) -> Self {
        View { row, content: OnceCell::new() }
    }

    pub fn row(&self) -> &'v Row<'r> {
        self.row
    }

    /// Gives the plain values at a path, and those in a list there, as text. Null is none.
    pub fn texts(&self, path: &Path, each: &mut dyn FnMut(&str)) {
        let mut give = |value: Option<&Value>| {
            let items = match value {
                Some(Value::List(items)) => items,
                Some(value) => std::slice::from_ref(value),
                None => &[],
            };
            let plain = |item: &&Value| !matches!(item, Value::Null | Value::List(_) | Value::Map(_));
            items.iter().filter(plain).for_each(|item| each(&item.to_text()));
            false
        };
        let columns = match path.root() {
            Root::Kind => Some(Value::from(self.row.kind)),
            Root::Logger => Some(Value::from(self.row.logger)),
            Root::Severity => Some(Value::from(self.row.severity)),
            Root::Archived => Some(self.row.archived.map(|_| true).into()),
            _ => None,
        };
        if columns.is_some() {
            give(columns.as_ref());
            return;
        }
        let spot = match self.content() {
            Content::Bytes(head) => spot(path, head, self.row.raw),
            Content::Tree(document) => {
                path.any(document, &mut give);
                return;
            }
        };
        match spot {
            Spot::Missing => {}
            Spot::At(json) => match plain_text(json) {
                Some(text) => each(text),
                None => {
                    give(value_of(json).as_ref());
                }
            },
            Spot::List(json, rest) => {
                if let Some(list) = value_of(json) {
                    path::descend(&list, rest, &mut give);
                }
            }
        }
    }

    pub fn content(&self) -> &Content<'r> {
        self.content.get_or_init(|| match head::scan(self.row.raw, &Limits::NONE) {
            Ok(head) => Content::Bytes(head),
            Err(head::NotStrict) => Content::Tree(document(self.row)),
        })
    }
}

/// The document that a row is: its message's envelope, and `archived` if it is so. What its columns say wins, and is
/// written as we write it where the message itself cannot be read strictly.
pub fn document(row: &Row<'_>) -> Value {
    let limits = Limits::NONE;
    let mut document = match (head::scan(row.raw, &limits), value_of(row.raw)) {
        (Ok(_), Some(Value::Map(document))) => document,
        // A message beyond the limits is known by its columns alone.
        _ => wire::read(row.raw, &limits).map_or_else(|_| Fields::new(), |read| envelope(read.message, row)),
    };
    document.set("type", row.kind);
    document.set("logger", row.logger);
    document.set("severity", row.severity);
    match row.archived {
        Some(_) => document.set("archived", true),
        None => drop(document.remove("archived")),
    }
    Value::Map(document)
}

fn envelope(message: Message, row: &Row<'_>) -> Fields {
    let mut document = message.extra;
    document.set("timestamp", row.timestamp.to_string());
    document.set("payload", message.payload);
    document.set("fields", message.fields);
    document.set("env_version", metlog_message::message::ENV_VERSION);
    for (name, value) in
        [("metlog_pid", message.pid.map(Value::from)), ("metlog_hostname", message.hostname.map(Value::from))]
    {
        if let Some(value) = value {
            document.set(name, value);
        }
    }
    if let Some(origin) = message.origin {
        document.set("metlog_client", origin.client);
        document.set("metlog_seq", origin.seq);
    }
    document
}

/// Where a path leads in a strictly right message.
pub(crate) fn spot<'a, 'p>(path: &'p Path, head: &Head<'a>, raw: &'a [u8]) -> Spot<'a, 'p> {
    match path.root() {
        Root::Fields => path::locate(head.fields, path.rest()),
        Root::Payload => path::locate(head.payload, path.rest()),
        _ => path::locate(raw, path.as_str()),
    }
}

/// The value of JSON that has been let in.
pub(crate) fn value_of(json: &[u8]) -> Option<Value> {
    wire::read_value_within(json, &Limits::NONE).ok()
}

/// A text without escapes, as it stands.
pub(crate) fn plain_text(json: &[u8]) -> Option<&str> {
    match json {
        [b'"', text @ .., b'"'] if memchr::memchr(b'\\', text).is_none() => std::str::from_utf8(text).ok(),
        _ => None,
    }
}

pub(crate) fn text_of(json: &[u8]) -> Option<Cow<'_, str>> {
    match (plain_text(json), json) {
        (Some(text), _) => Some(Cow::Borrowed(text)),
        (None, [b'"', ..]) => match value_of(json)? {
            Value::Str(text) => Some(Cow::Owned(text)),
            _ => None,
        },
        _ => None,
    }
}
