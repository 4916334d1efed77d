use crate::config::{Login, Servers, Tls, default_urls, timeout};
use crate::consumer::{self, Wanted};
use crate::link::{Fault, Link};
use crate::number::Numbers;
use crate::pull::Pull;
use crate::stream::{self, StreamConfig};
use async_nats::{Client, Message, Subject};
use async_trait::async_trait;
use bytes::Bytes;
use metlog_pipeline::registry::Configured;
use metlog_pipeline::{Durable, Full, Inlet, Input, InputEntry, Reason, Stop, inventory};
use metlog_settings::Span;
use serde::Deserialize;
use std::collections::VecDeque;
use std::time::Duration;
use tokio::time::Instant;

/// So many batches may wait for the spool's disk while the next is taken.
const AHEAD: usize = 4;

/// So long it is waited for the spool's disk and for the last acknowledgements, once it is time to stop.
const FAREWELL: Duration = Duration::from_secs(5);

/// What acknowledges begin with: nothing else is answered, whatever a message gives as its reply subject.
const ACK: &str = "$JS.ACK.";

/// Settings of the `nats` input.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct InputConfig {
    /// The servers of one cluster, any of which will do. `nats://127.0.0.1:4222` by default.
    #[serde(default = "default_urls")]
    pub urls: Vec<String>,
    /// Who we are there.
    #[serde(default)]
    pub login: Login,
    /// How connections are encrypted.
    #[serde(default)]
    pub tls: Tls,
    /// The stream, which is made if it is not there, and else compared.
    pub stream: StreamConfig,
    /// The durable consumer. Routers that name the same one share its messages. `metlog` by default.
    #[serde(default = "consumer")]
    pub consumer: String,
    /// Only messages of these subjects: `metlog.*.3.*`, say.
    pub filter: Option<String>,
    /// Messages asked for at once. 500 by default.
    #[serde(default = "batch")]
    pub batch: usize,
    /// What is not acknowledged so long goes to another router; while the spool takes its time, more is asked for.
    /// `30s` by default.
    #[serde(default = "ack_wait")]
    pub ack_wait: Span,
    /// Messages of the consumer that may be unacknowledged, all routers together; at least twice `batch` for each.
    /// 20000 by default.
    #[serde(default = "max_ack_pending")]
    pub max_ack_pending: usize,
    /// Messages without `metlog_client` and `metlog_seq` get the stream's name and their place in it, and those without a
    /// timestamp the stream's, so that a store knows them when they come again. `true` by default.
    #[serde(default = "number")]
    pub number: bool,
    /// For connecting and for each answer. `10s` by default.
    #[serde(default = "timeout")]
    pub timeout: Span,
}

fn consumer() -> String {
    "metlog".to_owned()
}

fn batch() -> usize {
    500
}

fn ack_wait() -> Span {
    Span(Duration::from_secs(30))
}

fn max_ack_pending() -> usize {
    20_000
}

fn number() -> bool {
    true
}

/// The servers, if all of it can be meant.
fn plan(config: &InputConfig) -> Result<Servers, String> {
    config.stream.check()?;
    stream::check_name("consumer", &config.consumer)?;
    if let Some(filter) = &config.filter {
        stream::check_pattern("filter", filter)?;
    }
    if !(1..=10_000).contains(&config.batch) {
        return Err(format!("`batch` is {}; 1 to 10000 are possible, 500 is usual", config.batch));
    }
    if config.max_ack_pending < config.batch {
        return Err(format!("`max_ack_pending` is {}, less than one `batch`", config.max_ack_pending));
    }
    if config.ack_wait.duration() < Duration::from_secs(1) {
        return Err("`ack_wait` is shorter than 1s; 30s is usual".into());
    }
    Servers::new(&config.urls, &config.login, &config.tls, config.timeout)
}

/// Pulls messages.
pub struct NatsInput {
    config: InputConfig,
    servers: Servers,
}

impl Configured for NatsInput {
    type Config = InputConfig;

    fn check(config: &InputConfig) -> Result<(), String> {
        plan(config).map(drop)
    }

    fn examine(config: &InputConfig) -> Result<Vec<String>, String> {
        plan(config)?.examine()
    }

    /// Connects only when it runs: a router starts and takes from its other inputs while NATS is away.
    fn open(config: InputConfig) -> Result<Self, String> {
        Ok(NatsInput { servers: plan(&config)?, config })
    }
}

inventory::submit! { InputEntry::of::<NatsInput>("nats", &[], include_str!("../example.input.toml")) }

#[async_trait]
impl Input for NatsInput {
    fn place(&self) -> String {
        format!("{}, stream {}, consumer {}", self.servers.place(), self.config.stream.name, self.config.consumer)
    }

    async fn run(self: Box<Self>, inlet: Inlet, stop: Stop) -> Result<(), String> {
        let session = tokio::select! {
            session = self.open_session(inlet) => session.map_err(Fault::why)?,
            () = stop.stopped() => return Ok(()),
        };
        session.run(&stop).await.map_err(Fault::why)
    }
}

impl NatsInput {
    async fn open_session(&self, mut inlet: Inlet) -> Result<Session, Fault> {
        inlet.takes_a_part();
        let config = &self.config;
        let link = Link::open(&self.servers).await?;
        let stream = stream::ensure(&link, &config.stream).await?;
        let wanted = Wanted {
            name: config.consumer.clone(),
            filter: config.filter.clone(),
            ack_wait: config.ack_wait,
            max_ack_pending: config.max_ack_pending,
        };
        consumer::ensure(&link, &stream, &wanted).await?;
        let pull = Pull::open(&link, &config.stream.name, &config.consumer, config.batch).await?;
        let numbers = config.number.then(|| Numbers::of(stream.cached_info()));
        let reminder = config.ack_wait.duration() / 3;
        let courier = Courier { client: link.client.clone(), most: config.batch * AHEAD };
        let (held, waiting) = (Vec::new(), VecDeque::new());
        Ok(Session { link, pull, inlet, numbers, courier, held, retry: None, waiting, last: None, reminder })
    }
}

/// One connection's worth of taking in.
struct Session {
    link: Link,
    pull: Pull,
    inlet: Inlet,
    numbers: Option<Numbers>,
    courier: Courier,
    /// Reply subjects of what was pushed and not committed: there was no room.
    held: Vec<Subject>,
    /// When there may be.
    retry: Option<Instant>,
    /// Committed, and not yet safe.
    waiting: VecDeque<(Durable, Vec<Subject>)>,
    /// What was acknowledged last.
    last: Option<Subject>,
    reminder: Duration,
}

/// Tells the server what became of messages.
struct Courier {
    client: Client,
    most: usize,
}

impl Courier {
    async fn tell(&self, replies: &[Subject], word: &'static [u8]) {
        for reply in replies {
            // If it does not go, the connection is gone, and the message comes again.
            if self.client.publish(reply.clone(), Bytes::from_static(word)).await.is_err() {
                return;
            }
        }
    }
}

const TAKEN: &[u8] = b"+ACK";
const NOT_TAKEN: &[u8] = b"-NAK";
const AT_WORK: &[u8] = b"+WPI";

impl Session {
    async fn run(mut self, stop: &Stop) -> Result<(), Fault> {
        let mut reminders = tokio::time::interval(self.reminder);
        reminders.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        let broken = loop {
            let room = self.held.is_empty() && self.on_their_way() < self.courier.most;
            tokio::select! {
                () = stop.stopped() => break None,
                safe = first(&mut self.waiting), if !self.waiting.is_empty() => {
                    if let Err(full) = self.settle(safe).await {
                        break Some(Fault::Away(full.why));
                    }
                }
                _ = reminders.tick() => self.remind().await,
                () = sleep_until(self.retry), if self.retry.is_some() => self.commit(),
                // What was asked for is taken also when there is no room: unread, it would come again.
                came = self.pull.next(&self.link, room) => match came {
                    Ok(messages) => self.take(messages),
                    Err(fault) => break Some(fault),
                },
            }
        };
        if broken.is_none() {
            let rest = self.pull.end().await;
            self.take(rest);
        }
        self.end(broken.is_none()).await;
        broken.map_or(Ok(()), Err)
    }

    fn on_their_way(&self) -> usize {
        self.waiting.iter().map(|(_, replies)| replies.len()).sum()
    }

    fn take(&mut self, messages: Vec<Message>) {
        for message in messages {
            match message.reply {
                Some(reply) if reply.starts_with(ACK) => {
                    let most = self.inlet.message_limit();
                    let numbered =
                        self.numbers.as_mut().map(|numbers| numbers.complete(&message.payload, &reply, most));
                    self.inlet.push(numbered.unwrap_or(&message.payload));
                    self.held.push(reply);
                }
                _ => {
                    let why = "it came to our inbox from somewhere that is no stream";
                    self.inlet.refuse(&message.payload, Reason::Malformed, why);
                }
            }
        }
        self.commit();
    }

    /// Hands over what was pushed. What is refused goes to the dead letters and counts as taken: it would be refused
    /// again however often it came.
    fn commit(&mut self) {
        match self.inlet.commit() {
            Ok(_) => {
                self.retry = None;
                if !self.held.is_empty() {
                    self.waiting.push_back((self.inlet.durable(), std::mem::take(&mut self.held)));
                }
            }
            Err(full) => self.retry = Some(Instant::now() + full.retry_after),
        }
    }

    async fn settle(&mut self, safe: Result<(), Full>) -> Result<(), Full> {
        let Some((_, mut replies)) = self.waiting.pop_front() else { return Ok(()) };
        // Unacknowledged they come again, to whichever router has a disk.
        safe?;
        self.courier.tell(&replies, TAKEN).await;
        self.last = replies.pop();
        Ok(())
    }

    /// Asks for more time.
    async fn remind(&mut self) {
        self.courier.tell(&self.held, AT_WORK).await;
        for (_, replies) in self.waiting.iter_mut() {
            self.courier.tell(replies, AT_WORK).await;
        }
    }

    async fn end(mut self, connected: bool) {
        let until = Instant::now() + FAREWELL;
        if !self.held.is_empty() {
            if connected {
                self.courier.tell(&self.held, NOT_TAKEN).await;
            }
            self.inlet.drop_pushed(Reason::SpoolFull);
        }
        while connected && !self.waiting.is_empty() {
            let Ok(safe) = tokio::time::timeout_at(until, first(&mut self.waiting)).await else { break };
            if self.settle(safe).await.is_err() {
                break;
            }
        }
        // What has been written may go down with its connection until the server has read it. So it is told of the last one
        // again, and asked to say that it heard.
        match self.last.take().filter(|_| connected) {
            Some(last) => {
                let heard = self.courier.client.request(last, Bytes::from_static(TAKEN));
                let _ = tokio::time::timeout_at(until, heard).await;
            }
            None => {
                let _ = tokio::time::timeout_at(until, self.courier.client.flush()).await;
            }
        }
    }
}

/// Ends when what was committed first is safe.
async fn first(waiting: &mut VecDeque<(Durable, Vec<Subject>)>) -> Result<(), Full> {
    match waiting.front_mut() {
        Some((durable, _)) => durable.await,
        None => std::future::pending().await,
    }
}

async fn sleep_until(moment: Option<Instant>) {
    match moment {
        Some(moment) => tokio::time::sleep_until(moment).await,
        None => std::future::pending().await,
    }
}
