//! The other end: what stands in a stream, seen and made without the plugin.
#![allow(dead_code, reason = "each test program uses a part")]

use async_nats::jetstream::{self, consumer, stream};
use metlog_testkit::Nats;
use std::time::Duration;
use tokio::runtime::Runtime;

/// A message in a stream.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Stored {
    pub subject: String,
    pub payload: Vec<u8>,
    pub id: Option<String>,
}

/// A connection of our own.
pub struct Raw {
    runtime: Runtime,
    context: jetstream::Context,
}

impl Raw {
    pub fn connect(server: &Nats) -> Self {
        Self::with(&server.url(), async_nats::ConnectOptions::new()).expect("connects")
    }

    pub fn with(url: &str, options: async_nats::ConnectOptions) -> Result<Self, async_nats::ConnectError> {
        let runtime =
            tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().expect("a runtime");
        let client = runtime.block_on(options.connect(url))?;
        let inside = runtime.enter();
        let context = jetstream::ContextBuilder::new().timeout(Duration::from_secs(10)).build(client);
        drop(inside);
        Ok(Raw { runtime, context })
    }

    pub fn make(&self, config: stream::Config) {
        self.runtime.block_on(self.context.create_stream(config)).expect("made");
    }

    pub fn publish(&self, subject: &str, payload: &[u8]) {
        self.runtime.block_on(async {
            let ack = self.context.publish(subject.to_owned(), payload.to_vec().into()).await.expect("published");
            ack.await.expect("stored");
        });
    }

    pub fn config(&self, name: &str) -> Option<stream::Config> {
        let stream = self.runtime.block_on(self.context.get_stream(name)).ok()?;
        Some(stream.cached_info().config.clone())
    }

    pub fn purge(&self, name: &str) {
        self.runtime.block_on(async {
            let stream = self.context.get_stream(name).await.expect("there");
            stream.purge().await.expect("purged");
        });
    }

    /// Messages in a stream.
    pub fn count(&self, name: &str) -> u64 {
        let stream = self.runtime.block_on(self.context.get_stream(name)).expect("there");
        stream.cached_info().state.messages
    }

    /// All that stands in a stream, from a sequence on, and the next sequence.
    pub fn stored(&self, name: &str, from: u64) -> (Vec<Stored>, u64) {
        self.runtime.block_on(async {
            let Ok(stream) = self.context.get_stream(name).await else { return (Vec::new(), from) };
            let state = &stream.cached_info().state;
            let mut all = Vec::new();
            for sequence in from.max(state.first_sequence)..=state.last_sequence {
                let Ok(message) = stream.get_raw_message(sequence).await else { continue };
                let id = message.headers.get("Nats-Msg-Id").map(ToString::to_string);
                let subject = message.subject.to_string();
                all.push(Stored { subject, payload: message.payload.to_vec(), id });
            }
            (all, state.last_sequence.max(from.saturating_sub(1)) + 1)
        })
    }

    pub fn consumer(&self, stream: &str, name: &str) -> Option<consumer::Info> {
        self.runtime.block_on(async {
            let stream = self.context.get_stream(stream).await.ok()?;
            stream.consumer_info(name).await.ok()
        })
    }

    pub fn make_consumer(&self, stream: &str, config: consumer::pull::Config) {
        self.runtime.block_on(async {
            let stream = self.context.get_stream(stream).await.expect("there");
            stream.create_consumer(config).await.expect("made");
        });
    }
}
