//! How fast endpoint and input are beside bare async-nats doing the same against the same server, in turns:
//! `cargo run --release -p metlog-nats --example nats_rate [MESSAGES [ROUNDS]]`.

use async_nats::jetstream::{self, consumer::AckPolicy, consumer::pull, stream};
use bytes::Bytes;
use futures_util::StreamExt as _;
use metlog_message::Lines;
use metlog_nats as _;
use metlog_pipeline::{
    Durable, Endpoint, EndpointEntry, Full, Inlet, InputEntry, Intake, Picked, Reason, Receipt, Stop,
};
use metlog_testkit::{Nats, eventually, sample, settings};
use std::collections::VecDeque;
use std::error::Error;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};
use tokio::runtime::Runtime;

/// The endpoint's own, and the input's.
const WINDOW: usize = 1024;
const PER_WRITE: usize = 4000;
const PER_PULL: usize = 500;

/// The router's side at no cost, so that what is measured is the way there.
struct Counter {
    taken: Arc<AtomicUsize>,
    pushed: usize,
}

impl Intake for Counter {
    fn another(&self) -> Box<dyn Intake> {
        Box::new(Counter { taken: self.taken.clone(), pushed: 0 })
    }
    fn push(&mut self, _: &[u8]) {
        self.pushed += 1;
    }
    fn refuse(&mut self, _: &[u8], _: Reason, _: &str) {}
    fn lost(&mut self, _: u64) {}
    fn commit(&mut self) -> Result<Receipt, Full> {
        self.taken.fetch_add(self.pushed, Ordering::Relaxed);
        self.pushed = 0;
        Ok(Receipt::default())
    }
    fn drop_pushed(&mut self, _: Reason) {}
    fn pending(&self) -> usize {
        0
    }
    fn durable(&self) -> Durable {
        Box::pin(std::future::ready(Ok(())))
    }
    fn message_limit(&self) -> usize {
        1 << 20
    }
}

/// Publishes as many as there are, so many on their way at once, each with an id.
async fn bare_publish(context: &jetstream::Context, batches: &[Lines]) -> Result<(), Box<dyn Error>> {
    let mut open = VecDeque::new();
    for (number, line) in batches.iter().flat_map(|lines| lines.iter()).enumerate() {
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

async fn bare_pull(context: &jetstream::Context, count: usize) -> Result<(), Box<dyn Error + Send + Sync>> {
    let config = pull::Config {
        durable_name: Some("bare".into()),
        ack_policy: AckPolicy::Explicit,
        max_ack_pending: 20_000,
        ..pull::Config::default()
    };
    let consumer = context.get_stream("T").await?.create_consumer(config).await?;
    let mut taken = 0;
    while taken < count {
        let mut messages = consumer.batch().max_messages(PER_PULL).expires(Duration::from_secs(5)).messages().await?;
        while let Some(message) = messages.next().await {
            message?.ack().await?;
            taken += 1;
        }
    }
    context.client().flush().await?;
    Ok(())
}

fn input(url: &str, runtime: &Runtime, count: usize) -> Result<(), Box<dyn Error>> {
    let entry = InputEntry::find("nats")?;
    let text = format!("urls = ['{url}']\nstream = {{ name = 'T' }}\nbatch = {PER_PULL}");
    let opened = (entry.read)(&settings(&text)).map_err(|problems| problems.to_string())?()?;
    let (tell, stop) = Stop::new();
    let taken = Arc::new(AtomicUsize::new(0));
    let inlet = Inlet::new(Box::new(Counter { taken: taken.clone(), pushed: 0 }));
    let task = runtime.spawn(opened.run(inlet, stop));
    eventually(Duration::from_secs(300), || taken.load(Ordering::Relaxed) >= count);
    tell.send(true)?;
    Ok(runtime.block_on(task)??)
}

fn per_second(count: usize, began: Instant) -> f64 {
    count as f64 / began.elapsed().as_secs_f64()
}

fn main() -> Result<(), Box<dyn Error>> {
    let mut arguments = std::env::args().skip(1).filter_map(|argument| argument.parse::<usize>().ok());
    let (count, rounds) = (arguments.next().unwrap_or(100_000), arguments.next().unwrap_or(5));
    let batches: Vec<Lines> =
        (0..count / PER_WRITE).map(|batch| sample::lines((batch * PER_WRITE) as u64, PER_WRITE as u64)).collect();
    let count = batches.len() * PER_WRITE;
    let bytes: usize = batches.iter().map(|lines| lines.bytes().len()).sum();
    println!("{count} messages of {} bytes, {WINDOW} on their way, pulled {PER_PULL} at a time", bytes / count.max(1));
    println!("each line: bare async-nats, ours, ratio");
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build()?;
    for _ in 0..rounds {
        let server = Nats::new();
        let context = runtime.block_on(async {
            let context = jetstream::new(async_nats::connect(server.url()).await?);
            let retention = stream::RetentionPolicy::WorkQueue;
            let subjects = vec!["metlog.>".to_owned()];
            let discard = stream::DiscardPolicy::New;
            let config = stream::Config { name: "T".into(), subjects, retention, discard, ..stream::Config::default() };
            context.create_stream(config).await?;
            Ok::<_, Box<dyn Error>>(context)
        })?;
        let began = Instant::now();
        runtime.block_on(bare_publish(&context, &batches))?;
        let bare = per_second(count, began);

        let text = format!("urls = ['{}']\nstream = {{ name = 'T' }}", server.url());
        let entry = EndpointEntry::find("nats")?;
        let mut endpoint: Box<dyn Endpoint> =
            (entry.read)(&settings(&text)).map_err(|problems| problems.to_string())?()?;
        let began = Instant::now();
        for lines in &batches {
            endpoint.write(&Picked::new(lines, &vec![0; PER_WRITE]))?;
        }
        let ours = per_second(count, began);
        println!("publish: {bare:8.0}/s {ours:8.0}/s {:.2}", ours / bare);

        let began = Instant::now();
        runtime.block_on(bare_pull(&context, count)).map_err(|error| error.to_string())?;
        let bare = per_second(count, began);
        // One consumer for a subject of a work queue.
        runtime
            .block_on(async { context.get_stream("T").await?.delete_consumer("bare").await.map_err(Into::into) })
            .map_err(|error: Box<dyn Error + Send + Sync>| error.to_string())?;
        let began = Instant::now();
        input(&server.url(), &runtime, count)?;
        let ours = per_second(count, began);
        println!("pull:    {bare:8.0}/s {ours:8.0}/s {:.2}", ours / bare);
    }
    Ok(())
}
