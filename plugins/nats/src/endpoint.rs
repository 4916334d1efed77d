use crate::publisher::Publisher;
use crate::sender::{PACING, SenderConfig};
use metlog_pipeline::registry::Configured;
use metlog_pipeline::{Endpoint, EndpointEntry, Pacing, Picked, SendError, inventory};
use std::time::Duration;

/// Publishes messages to a stream, as the sender does, and makes ids for those that bring none.
pub struct NatsEndpoint(Publisher);

impl Endpoint for NatsEndpoint {
    fn write(&mut self, batch: &Picked<'_>) -> Result<(), SendError> {
        self.0.publish(batch.lines(), batch.ids())
    }

    fn close(&mut self, within: Duration) -> Result<(), SendError> {
        self.0.close(within);
        Ok(())
    }

    fn pacing(&self) -> Pacing {
        PACING
    }
}

impl Configured for NatsEndpoint {
    type Config = SenderConfig;

    fn check(config: &SenderConfig) -> Result<(), String> {
        config.plan().map(drop)
    }

    fn examine(config: &SenderConfig) -> Result<Vec<String>, String> {
        config.plan()?.servers.examine()
    }

    fn open(config: SenderConfig) -> Result<Self, String> {
        Publisher::start(config.plan()?).map(NatsEndpoint)
    }
}

inventory::submit! { EndpointEntry::of::<NatsEndpoint>("nats", &[], include_str!("../example.endpoint.toml")) }
