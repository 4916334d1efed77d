//! A client as the contract has it: one method, and a list of what was emitted.

#![allow(dead_code, reason = "each test program needs another part")]

use metlog_message::{Fields, Message, Timestamp, Value};
use metlog_pipeline::{Emit, Method, MethodEntry, MethodError};
use metlog_settings::{Kind, Node};
use std::sync::{Arc, Mutex};

pub struct Client {
    name: String,
    method: Arc<dyn Method>,
    sent: Mutex<Vec<Message>>,
}

impl Client {
    /// With the method as these settings make it.
    pub fn new(settings: &str) -> Self {
        Self::open("cef", settings).unwrap_or_else(|wrong| panic!("{wrong}"))
    }

    pub fn open(name: &str, settings: &str) -> Result<Self, String> {
        let node = metlog_settings::toml::read("test", settings, &|_| None).map_err(|wrong| wrong.to_string())?;
        Self::from_node(name, &node)
    }

    /// The plugin's section of a whole file.
    pub fn from_example(example: &str) -> Self {
        let file = metlog_settings::toml::read("example.toml", example, &|_| None).expect("TOML");
        let plugins = file.get("metlog").and_then(|main| main.get("plugins")).expect("plugins");
        let mut section = plugins.get("cef").expect("a section of the plugin's name").clone();
        let provider = section.as_table_mut().and_then(|table| table.remove("provider")).expect("a provider");
        assert_eq!(provider.kind, Kind::Text("cef".into()));
        Self::from_node("cef", &section).unwrap_or_else(|wrong| panic!("{wrong}"))
    }

    fn from_node(name: &str, node: &Node) -> Result<Self, String> {
        let entry = MethodEntry::find("cef").map_err(|unknown| unknown.to_string())?;
        let open = (entry.read)(node).map_err(|problems| problems.to_string())?;
        Ok(Client { name: name.into(), method: open()?.into(), sent: Mutex::default() })
    }

    pub fn take(&self) -> Vec<Message> {
        std::mem::take(&mut self.sent.lock().expect("no panic while it was held"))
    }
}

impl Emit for Client {
    fn message(&self, kind: &str) -> Message {
        let timestamp = Timestamp::parse("2026-11-20T22:00:50.348839Z").expect("a timestamp");
        Message { hostname: Some("web01".into()), timestamp, ..Message::new(kind) }
    }
    fn emit(&self, message: Message) {
        self.sent.lock().expect("no panic while it was held").push(message);
    }
    fn method(&self, name: &str) -> Option<Arc<dyn Method>> {
        (name == self.name).then(|| self.method.clone())
    }
    fn call(&self, name: &str, args: &Fields) -> Result<Value, MethodError> {
        let known = || MethodError::NotFound { name: name.into(), known: vec![self.name.clone()] };
        self.method(name).ok_or_else(known)?.call(self, args)
    }
}
