use crate::echo::Echo;
use crate::endpoint::{check, check_bind};
use crate::frames::{Limit, cut};
use crate::link::Way;
use crate::publisher::{Publisher, Terms};
use metlog_message::Lines;
use metlog_pipeline::registry::Configured;
use metlog_pipeline::{Pacing, SendError, Sender, SenderEntry, inventory};
use metlog_settings::{Size, Span};
use serde::Deserialize;
use std::time::Duration;

/// Where the messages go, and what happens while nobody listens there.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct PubConfig {
    /// An endpoint or several, `tcp://host:port` or `ipc://path`. Every router gets every message.
    pub bindstrs: Vec<String>,
    /// Turns the connection around: this side binds the endpoints and routers connect, as metlog-node does it.
    /// Loopback and `ipc://` only.
    pub bind: bool,
    /// The most messages in hand at once.
    pub queue_length: usize,
    /// The most bytes in hand at once; a single larger message still goes, alone.
    pub queue_bytes: Size,
    /// What happens to messages while no router listens at all.
    pub when_down: WhenDown,
    /// How long a batch waits for a router to listen before `when_down` decides. At the start all routers get this
    /// time.
    pub connect_wait: Span,
    /// How long a router may take over one batch. One that takes longer loses the connection and gets a new one.
    pub send_timeout: Span,
    /// Many messages in one frame, a newline between two: several times faster. metlog-router understands it, other
    /// receivers may not.
    pub batch_frames: bool,
    /// Every message is also written to standard error, one line each.
    pub debug_stderr: bool,
    /// Accepted, and without effect: there is one socket, which keeps messages in order. Metlog's pool of sockets
    /// did not.
    pub pool_size: Option<usize>,
    /// Accepted, and without effect: a lost connection is noticed when it is lost.
    pub livecheck: Option<f64>,
}

/// What happens to messages while no router listens.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum WhenDown {
    /// They stay in the client's bounded queue and go when a router is back.
    Keep,
    /// They are dropped, and counted as refused. Metlog dropped them without a word.
    Drop,
}

impl Default for PubConfig {
    fn default() -> Self {
        PubConfig {
            bindstrs: vec!["tcp://127.0.0.1:5565".to_owned()],
            bind: false,
            queue_length: 1000,
            queue_bytes: Size(16 * 1024 * 1024),
            when_down: WhenDown::Keep,
            connect_wait: Span(Duration::from_millis(500)),
            send_timeout: Span(Duration::from_secs(10)),
            batch_frames: false,
            debug_stderr: false,
            pool_size: None,
            livecheck: None,
        }
    }
}

/// Publishes every message to every router, as a frame of its own.
pub struct ZmqPubSender {
    publisher: Publisher,
    echo: Echo,
    limit: Limit,
    join: bool,
    when_down: WhenDown,
}

impl ZmqPubSender {
    /// Whether a router is connected and has subscribed.
    pub fn is_connected(&self) -> bool {
        self.publisher.is_ready()
    }
}

impl Sender for ZmqPubSender {
    fn send(&mut self, batch: &Lines) -> Result<(), SendError> {
        self.echo.before(batch);
        let (mut done, mut notes) = (0, Vec::new());
        while let Some(part) = cut(batch, done, self.limit, self.join) {
            match self.publisher.publish(&part) {
                Ok(more) => notes.extend(more),
                Err(why) => {
                    notes.push(why);
                    let why = notes.join("; ");
                    if self.when_down == WhenDown::Keep {
                        self.echo.after(batch, done);
                        return Err(SendError::retry_after_first(done, why));
                    }
                    self.echo.after(batch, batch.len());
                    return Err(SendError::Refuse { why, which: (done..batch.len()).collect() });
                }
            }
            done += part.messages;
        }
        self.echo.after(batch, done);
        if notes.is_empty() {
            return Ok(());
        }
        Err(SendError::Refuse { why: notes.join("; "), which: Vec::new() })
    }

    fn close(&mut self, within: Duration) -> Result<(), SendError> {
        self.publisher.close(within);
        Ok(())
    }

    fn pacing(&self) -> Pacing {
        let usual = Pacing::default();
        Pacing { messages: self.limit.messages, bytes: self.limit.bytes.min(usual.bytes), ..usual }
    }
}

fn endpoints(config: &PubConfig) -> Result<Vec<String>, String> {
    if config.bindstrs.is_empty() {
        return Err("`bindstrs` is an empty list: name at least one endpoint".to_owned());
    }
    if config.queue_length == 0 {
        return Err("`queue_length` is 0: nothing could ever be sent".to_owned());
    }
    let check = if config.bind { check_bind } else { check };
    config.bindstrs.iter().map(|text| check("bindstrs", text)).collect()
}

impl Configured for ZmqPubSender {
    type Config = PubConfig;

    fn check(config: &PubConfig) -> Result<(), String> {
        endpoints(config).map(drop)
    }

    fn open(config: PubConfig) -> Result<Self, String> {
        let endpoints = endpoints(&config)?;
        let way = if config.bind { Way::Bind } else { Way::Connect };
        let terms =
            Terms { connect_wait: config.connect_wait.duration(), send_timeout: config.send_timeout.duration() };
        Ok(ZmqPubSender {
            publisher: Publisher::start(endpoints, way, terms, None)?,
            echo: Echo::new(config.debug_stderr),
            limit: Limit {
                messages: config.queue_length,
                bytes: usize::try_from(config.queue_bytes.bytes()).unwrap_or(usize::MAX),
            },
            join: config.batch_frames,
            when_down: config.when_down,
        })
    }
}

inventory::submit! {
    SenderEntry::of::<ZmqPubSender>(
        "zmq_pub",
        &["metlog.senders.zmq.ZmqPubSender", "ZmqPubSender"],
        include_str!("../example.toml"),
    )
}
