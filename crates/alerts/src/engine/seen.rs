//! A message, read as far as somebody asks.

use super::group::Key;
use metlog_message::wire::{self, Limits};
use metlog_message::{Head, Message, Value, head};
use std::borrow::Cow;
use std::cell::OnceCell;

/// A message that may be one of many that are only counted.
pub(super) struct Seen<'a> {
    text: &'a [u8],
    head: Option<Head<'a>>,
    message: OnceCell<Box<Message>>,
}

impl<'a> Seen<'a> {
    /// What is in the spool was let in, whatever the limits are.
    pub(super) fn of(text: &'a [u8]) -> Result<Self, String> {
        let seen = Seen { text, head: head::scan(text, &Limits::NONE).ok(), message: OnceCell::new() };
        if seen.head.is_none() {
            seen.message()?;
        }
        Ok(seen)
    }

    /// All of it.
    pub(super) fn message(&self) -> Result<&Message, String> {
        if let Some(message) = self.message.get() {
            return Ok(message);
        }
        let read = wire::read(self.text, &Limits::NONE).map_err(|refusal| refusal.to_string())?;
        Ok(self.message.get_or_init(|| Box::new(read.message)))
    }

    /// Whether it says `alert = true`.
    pub(super) fn is_alert(&self) -> Result<bool, String> {
        if let Some(head) = &self.head {
            // Nearly none does, and then it need not be read. A name can be written with escapes.
            let named = memchr::memmem::find(head.fields, b"\"alert\"").is_some();
            if !named && memchr::memchr(b'\\', head.fields).is_none() {
                return Ok(false);
            }
        }
        Ok(self.message()?.fields.get("alert").and_then(Value::as_bool) == Some(true))
    }

    /// Its values of these names.
    pub(super) fn key(&self, names: &[String]) -> Result<Key, String> {
        let values: Result<Vec<Cow<'_, str>>, String> = names.iter().map(|name| self.value(name)).collect();
        Ok(Key::of(values?.into_iter()))
    }

    fn value(&self, name: &str) -> Result<Cow<'_, str>, String> {
        if let Some(head) = &self.head {
            match name {
                "type" => return Ok(Cow::Borrowed(&head.kind)),
                "logger" => return Ok(Cow::Borrowed(&head.logger)),
                "severity" => return Ok(Cow::Borrowed(head.severity.name())),
                _ => {}
            }
        }
        let message = self.message()?;
        Ok(match name {
            "type" => Cow::Borrowed(&message.kind),
            "logger" => Cow::Borrowed(&message.logger),
            "severity" => Cow::Borrowed(message.severity.name()),
            "metlog_hostname" => Cow::Borrowed(message.hostname.as_deref().unwrap_or_default()),
            name => message.fields.at(name).map(Value::to_text).unwrap_or_default(),
        })
    }
}
