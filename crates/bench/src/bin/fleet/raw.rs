//! Bare async-nats at the same work: what the server and its own client make possible here.

use async_nats::jetstream::{self, consumer::AckPolicy, consumer::pull, stream};
use bytes::Bytes;
use futures_util::StreamExt as _;
use metlog_message::Lines;
use std::collections::VecDeque;
use std::error::Error;
use std::time::{Duration, Instant};

/// As in the input, if it is told nothing.
pub const PER_PULL: usize = 500;

/// On their way without an answer; the sender's own number.
const WINDOW: usize = 1024;

type Outcome<T> = Result<T, Box<dyn Error + Send + Sync>>;

pub async fn connect(url: &str) -> Outcome<jetstream::Context> {
    Ok(jetstream::new(async_nats::connect(url).await?))
}

/// The stream as the plugin makes it.
pub async fn make(context: &jetstream::Context) -> Outcome<()> {
    let config = stream::Config {
        name: "METLOG".into(),
        subjects: vec!["metlog.>".into()],
        retention: stream::RetentionPolicy::WorkQueue,
        discard: stream::DiscardPolicy::New,
        ..stream::Config::default()
    };
    context.create_stream(config).await?;
    Ok(())
}

/// Publishes each with an id, a window at a time.
pub async fn publish(context: &jetstream::Context, all: &[Lines]) -> Outcome<()> {
    let mut open = VecDeque::new();
    for (number, line) in all.iter().flat_map(|lines| lines.iter()).enumerate() {
        let mut headers = async_nats::HeaderMap::new();
        headers.insert("Nats-Msg-Id", format!("bare-{number}"));
        let payload = Bytes::copy_from_slice(line);
        open.push_back(context.publish_with_headers("metlog.contract.5.bare", headers, payload).await?);
        if open.len() >= WINDOW
            && let Some(first) = open.pop_front()
        {
            first.await?;
        }
    }
    for ack in open {
        ack.await?;
    }
    Ok(())
}

/// Takes so many out of the stream and acknowledges each; messages a second since the first came. The consumer goes
/// afterwards: a work queue has one.
pub async fn pull(context: &jetstream::Context, count: usize) -> Outcome<f64> {
    let config = pull::Config {
        durable_name: Some("bare".into()),
        ack_policy: AckPolicy::Explicit,
        max_ack_pending: 20_000,
        ..pull::Config::default()
    };
    let stream = context.get_stream("METLOG").await?;
    let consumer = stream.create_consumer(config).await?;
    let (mut taken, mut began) = (0, None);
    while taken < count {
        let mut messages = consumer.batch().max_messages(PER_PULL).expires(Duration::from_secs(5)).messages().await?;
        while let Some(message) = messages.next().await {
            began.get_or_insert_with(Instant::now);
            message?.ack().await?;
            taken += 1;
        }
    }
    context.client().flush().await?;
    let seconds = began.map_or(f64::INFINITY, |began| began.elapsed().as_secs_f64());
    stream.delete_consumer("bare").await?;
    Ok(taken as f64 / seconds)
}
