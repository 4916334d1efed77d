use metlog_message::Lines;
use metlog_pipeline::registry::Configured;
use metlog_pipeline::{SendError, Sender, SenderEntry, inventory};
use serde::Deserialize;

/// There is nothing to set.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Config {}

/// Takes everything and keeps nothing.
#[derive(Debug, Default)]
pub struct NullSender;

impl Sender for NullSender {
    fn send(&mut self, _batch: &Lines) -> Result<(), SendError> {
        Ok(())
    }
}

impl Configured for NullSender {
    type Config = Config;
    fn open(_config: Config) -> Result<Self, String> {
        Ok(NullSender)
    }
}

inventory::submit! { SenderEntry::of::<NullSender>("null", &[], include_str!("../example.toml")) }
