use crate::config::{Brokers, Login, Tls, default_brokers};
use crate::group::{Member, Plan};
use async_trait::async_trait;
use metlog_pipeline::registry::Configured;
use metlog_pipeline::{Inlet, Input, InputEntry, Stop, inventory};
use metlog_settings::Span;
use serde::Deserialize;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

/// Topics and patterns that can be named.
const MOST_TOPICS: usize = 64;

/// Settings of the `kafka` input.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct InputConfig {
    /// Brokers of one cluster, which tell of the others. `127.0.0.1:9092` by default.
    #[serde(default = "default_brokers")]
    pub brokers: Vec<String>,
    /// Who we are there.
    pub login: Option<Login>,
    /// How connections are encrypted; without it they are not.
    pub tls: Option<Tls>,
    /// Lets a password travel in the open.
    #[serde(default)]
    pub dangerously_unencrypted: bool,
    /// Topics, or patterns of topics, which begin with `^`.
    pub topics: Vec<String>,
    /// The consumer group. Routers that name the same one share the partitions. `metlog` by default.
    #[serde(default = "group")]
    pub group: String,
    /// Where to begin in a partition of which the group has no offset. `earliest` by default.
    #[serde(default)]
    pub start: Start,
    /// A name that stays this router's, for a static member: restarted within `session_timeout`, it gets its partitions
    /// back without the others noticing.
    pub instance: Option<String>,
    /// So long a router that is gone without a word keeps its partitions. `45s` by default.
    #[serde(default = "session_timeout")]
    pub session_timeout: Span,
    /// Messages that may be on their way to the spool's disk. 20000 by default.
    #[serde(default = "in_flight")]
    pub in_flight: usize,
    /// For connecting and for each answer. `10s` by default.
    #[serde(default = "timeout")]
    pub timeout: Span,
}

/// Where to begin.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Start {
    /// With the oldest that is there.
    #[default]
    Earliest,
    /// With what comes from now on.
    Latest,
    /// Nowhere: it is an error.
    None,
}

fn group() -> String {
    "metlog".to_owned()
}

fn session_timeout() -> Span {
    Span(Duration::from_secs(45))
}

fn in_flight() -> usize {
    20_000
}

fn timeout() -> Span {
    Span(Duration::from_secs(10))
}

impl InputConfig {
    fn plan(&self) -> Result<Plan, String> {
        let brokers = Brokers {
            addresses: self.brokers.clone(),
            login: self.login.clone(),
            tls: self.tls.clone(),
            dangerously_unencrypted: self.dangerously_unencrypted,
            timeout: self.timeout.duration(),
        };
        brokers.check()?;
        if self.topics.is_empty() || self.topics.len() > MOST_TOPICS {
            return Err(format!("`topics` needs 1 to {MOST_TOPICS} of them, such as `metlog`, or `^metlog\\..*`"));
        }
        self.topics.iter().try_for_each(|topic| check_topic(topic))?;
        check_name("group", &self.group)?;
        if let Some(instance) = &self.instance {
            check_name("instance", instance)?;
        }
        let session_timeout = self.session_timeout.duration();
        if session_timeout < Duration::from_secs(6) || session_timeout > Duration::from_secs(1800) {
            return Err("`session_timeout` can be 6s to 30m, as far as the brokers allow it; 45s is usual".into());
        }
        if !(1..=1_000_000).contains(&self.in_flight) {
            return Err(format!("`in_flight` is {}; 1 to 1000000 are possible, 20000 is usual", self.in_flight));
        }
        Ok(Plan {
            brokers,
            topics: self.topics.clone(),
            group: self.group.clone(),
            start: match self.start {
                Start::Earliest => "earliest",
                Start::Latest => "latest",
                Start::None => "error",
            },
            instance: self.instance.clone(),
            session_timeout,
            in_flight: self.in_flight,
        })
    }
}

fn check_topic(topic: &str) -> Result<(), String> {
    let legal = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'_' | b'-');
    let good = match topic.strip_prefix('^') {
        Some(pattern) => !pattern.is_empty() && !pattern.contains('\0'),
        None => !topic.is_empty() && topic.bytes().all(legal),
    };
    if good && topic.len() <= 249 {
        return Ok(());
    }
    Err(format!(
        "`topics`: `{topic}` is no topic; one has letters, digits, `.`, `_` and `-`, and a pattern begins with `^`"
    ))
}

fn check_name(key: &str, name: &str) -> Result<(), String> {
    if !name.is_empty() && name.len() <= 249 && name.bytes().all(|byte| byte.is_ascii_graphic()) {
        return Ok(());
    }
    Err(format!("`{key}` is `{}`; it needs a name without blanks, 249 bytes at the most", name.escape_debug()))
}

/// Takes topics in.
pub struct KafkaInput(Plan);

impl Configured for KafkaInput {
    type Config = InputConfig;

    fn check(config: &InputConfig) -> Result<(), String> {
        config.plan().map(drop)
    }

    fn examine(config: &InputConfig) -> Result<Vec<String>, String> {
        config.plan()?.brokers.examine()
    }

    /// Connects only when it runs: a router starts and takes from its other inputs while Kafka is away.
    fn open(config: InputConfig) -> Result<Self, String> {
        config.plan().map(KafkaInput)
    }
}

inventory::submit! { InputEntry::of::<KafkaInput>("kafka", &[], include_str!("../example.input.toml")) }

/// Tells the thread when nobody waits for it any more.
struct Gone(Arc<AtomicBool>);

impl Drop for Gone {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

#[async_trait]
impl Input for KafkaInput {
    fn place(&self) -> String {
        let Plan { brokers, topics, group, .. } = &self.0;
        format!("{}, topics {}, group {group}", brokers.place(), topics.join(" "))
    }

    /// librdkafka's callbacks wait for the spool's disk, so it has a thread that may.
    async fn run(self: Box<Self>, inlet: Inlet, stop: Stop) -> Result<(), String> {
        let gone = Gone(Arc::default());
        let told = gone.0.clone();
        let thread = tokio::task::spawn_blocking(move || Member::new(&self.0, inlet, &stop, &told)?.run());
        thread.await.map_err(|error| format!("the Kafka thread has ended: {error}"))?
    }
}
