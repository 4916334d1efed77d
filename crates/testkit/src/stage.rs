//! A client as the contract of methods has it: one method, and a list of what was emitted.

use crate::settings::{of_example, settings};
use metlog_message::{Fields, Message, Value};
use metlog_pipeline::{Emit, Method, MethodEntry, MethodError};
use metlog_settings::Node;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

/// Stands in for a client around one method.
pub struct Stage {
    name: String,
    method: Arc<dyn Method>,
    /// What [`Emit::message`] starts from.
    template: Message,
    sent: Mutex<Vec<Message>>,
}

impl Stage {
    /// With the provider's method as these settings make it, under a name; messages start as `template`.
    ///
    /// # Errors
    /// Why the settings are refused.
    pub fn open(provider: &str, name: &str, toml: &str, template: Message) -> Result<Self, String> {
        Self::from_node(provider, name, &settings(toml), template)
    }

    /// With the method of the provider's own example.
    ///
    /// # Panics
    /// If the example is refused.
    pub fn of_example(provider: &str, template: Message) -> Self {
        let entry = MethodEntry::find(provider).unwrap_or_else(|unknown| panic!("{unknown}"));
        let stage = Self::from_node(provider, provider, &of_example(entry.example), template);
        stage.unwrap_or_else(|wrong| panic!("{wrong}"))
    }

    fn from_node(provider: &str, name: &str, node: &Node, template: Message) -> Result<Self, String> {
        let entry = MethodEntry::find(provider).map_err(|unknown| unknown.to_string())?;
        let open = (entry.read)(node).map_err(|problems| problems.to_string())?;
        Ok(Stage { name: name.into(), method: open()?.into(), template, sent: Mutex::default() })
    }

    /// What was emitted since the last time.
    pub fn take(&self) -> Vec<Message> {
        std::mem::take(&mut self.sent.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// How often the method wants to be called by the clock.
    pub fn every(&self) -> Option<Duration> {
        self.method.every()
    }
}

impl Emit for Stage {
    fn message(&self, kind: &str) -> Message {
        Message { kind: kind.into(), ..self.template.clone() }
    }
    fn emit(&self, message: Message) {
        self.sent.lock().unwrap_or_else(PoisonError::into_inner).push(message);
    }
    fn method(&self, name: &str) -> Option<Arc<dyn Method>> {
        (name == self.name).then(|| self.method.clone())
    }
    fn call(&self, name: &str, args: &Fields) -> Result<Value, MethodError> {
        let known = || MethodError::NotFound { name: name.into(), known: vec![self.name.clone()] };
        self.method(name).ok_or_else(known)?.call(self, args)
    }
}
