//! What a client is made of, however it was configured: the typed builder, and what configuration files become.

use crate::lane::{Bounds, Overflow};
use crate::render::Envelope;
use metlog_message::{Fields, Severity, Value, wire};
use metlog_pipeline::registry::Opener;
use metlog_pipeline::{Filter, Method, Pacing, Sender};
use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

/// A client that is described but not open: nothing has been touched yet.
///
/// ```
/// use metlog::{Client, Setup};
/// let capture = metlog::debug::Capture::new(100);
/// let client = Client::open(Setup::new("shop").sender(capture.sender()))?;
/// client.make_default();
/// metlog::info!("open for business");
/// client.flush(std::time::Duration::from_secs(1));
/// assert_eq!(capture.len(), 1);
/// # Ok::<(), metlog::Error>(())
/// ```
#[must_use]
pub struct Setup {
    pub(crate) envelope: Envelope,
    pub(crate) senders: Vec<SenderSetup>,
    pub(crate) filters: Vec<Box<dyn Filter>>,
    pub(crate) methods: BTreeMap<String, Arc<dyn Method>>,
    pub(crate) disabled_timers: BTreeSet<String>,
    pub(crate) overflow: Overflow,
    pub(crate) block_timeout: Duration,
    pub(crate) ring_bytes: usize,
    pub(crate) aggregate: Option<Duration>,
    pub(crate) numbered: bool,
    pub(crate) pace_initial: Duration,
    pub(crate) pace_max: Duration,
    pub(crate) shutdown_timeout: Duration,
    pub(crate) panics: bool,
    pub(crate) globals: Fields,
    pub(crate) config: Value,
    pub(crate) defaults: LaneSettings,
}

/// One sender of a client.
pub(crate) struct SenderSetup {
    pub name: String,
    pub open: Opener<Box<dyn Sender>>,
    pub pacing: PacingSettings,
    pub bounds: Bounds,
    pub filters: Vec<Box<dyn Filter>>,
}

/// How batches are cut, where someone said so.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct PacingSettings {
    pub messages: Option<usize>,
    pub bytes: Option<usize>,
    pub wait: Option<Duration>,
    pub min_interval: Option<Duration>,
}

impl PacingSettings {
    /// What was said, over what the sender likes.
    pub fn over(self, likes: Pacing) -> Pacing {
        Pacing {
            messages: self.messages.unwrap_or(likes.messages).max(1),
            bytes: self.bytes.unwrap_or(likes.bytes).max(1),
            wait: self.wait.unwrap_or(likes.wait),
            min_interval: self.min_interval.unwrap_or(likes.min_interval),
        }
    }
}

/// Bounds of a sender's queue and how its batches are cut.
#[derive(Debug, Clone, Default)]
pub(crate) struct LaneSettings {
    pub pacing: PacingSettings,
    pub queue_bytes: Option<usize>,
    pub queue_messages: Option<usize>,
    pub retry_min: Option<Duration>,
    pub retry_max: Option<Duration>,
    pub spill: Option<PathBuf>,
}

impl LaneSettings {
    pub fn bounds(&self, overflow: Overflow, block_timeout: Duration) -> Bounds {
        Bounds {
            bytes: self.queue_bytes.unwrap_or(16 * 1024 * 1024),
            messages: self.queue_messages.unwrap_or(100_000),
            overflow,
            block_timeout,
            retry_min: self.retry_min.unwrap_or(Duration::from_millis(100)),
            retry_max: self.retry_max.unwrap_or(Duration::from_secs(30)),
            spill: self.spill.clone(),
        }
    }
}

impl Setup {
    /// A client with this default logger, no sender, and every default.
    pub fn new(logger: impl Into<String>) -> Self {
        Setup {
            envelope: Envelope {
                logger: logger.into(),
                severity: Severity::default(),
                hostname: hostname(),
                pid: std::process::id(),
                location: false,
                fields: Vec::new(),
            },
            senders: Vec::new(),
            filters: Vec::new(),
            methods: BTreeMap::new(),
            disabled_timers: BTreeSet::new(),
            overflow: Overflow::default(),
            block_timeout: Duration::from_millis(100),
            ring_bytes: 256 * 1024,
            aggregate: None,
            numbered: true,
            pace_initial: Duration::ZERO,
            pace_max: Duration::from_millis(250),
            shutdown_timeout: Duration::from_secs(5),
            panics: false,
            globals: Fields::new(),
            config: Value::Null,
            defaults: LaneSettings::default(),
        }
    }

    /// Default severity of messages that bring none: counters, timers, `metlog!`. 6 otherwise.
    pub fn severity(mut self, severity: Severity) -> Self {
        self.envelope.severity = severity;
        self
    }

    /// Adds a sender of your own or from a plugin crate. Several may run at once; each gets every message its filters
    /// let through.
    pub fn sender(self, sender: impl Sender + 'static) -> Self {
        self.sender_with(sender, [])
    }

    /// Adds a sender behind filters of its own.
    pub fn sender_with(
        self,
        sender: impl Sender + 'static,
        filters: impl IntoIterator<Item = Box<dyn Filter>>,
    ) -> Self {
        let name = format!("sender{}", self.senders.len() + 1);
        let filters = filters.into_iter().collect();
        self.add_sender(name, Box::new(move || Ok(Box::new(sender) as Box<dyn Sender>)), filters)
    }

    pub(crate) fn add_sender(
        mut self,
        name: String,
        open: Opener<Box<dyn Sender>>,
        filters: Vec<Box<dyn Filter>>,
    ) -> Self {
        let bounds = self.defaults.bounds(self.overflow, self.block_timeout);
        self.senders.push(SenderSetup { name, open, pacing: self.defaults.pacing, bounds, filters });
        self
    }

    /// Adds a filter in front of all senders.
    pub fn filter(mut self, filter: impl Filter + 'static) -> Self {
        self.filters.push(Box::new(filter));
        self
    }

    /// Adds a method that code calls by name.
    pub fn method(mut self, name: impl Into<String>, method: impl Method + 'static) -> Self {
        self.methods.insert(name.into(), Arc::new(method));
        self
    }

    /// Switches timers off by name; `*` switches all off.
    pub fn disable_timer(mut self, name: impl Into<String>) -> Self {
        self.disabled_timers.insert(name.into());
        self
    }

    /// What happens to a message for which there is no room. Give it before the senders.
    pub fn overflow(mut self, overflow: Overflow) -> Self {
        self.overflow = overflow;
        self
    }

    /// How long a caller waits for room with [`Overflow::Block`]; 100 ms otherwise. Give it before the senders.
    pub fn block_timeout(mut self, timeout: Duration) -> Self {
        self.block_timeout = timeout;
        self
    }

    /// Size of each thread's ring; 256 KiB otherwise. It is touched whole when a thread sends its first message.
    pub fn ring_bytes(mut self, bytes: usize) -> Self {
        self.ring_bytes = bytes.clamp(4096, 1 << 30);
        self
    }

    /// Counters and timers with a fixed name and no fields send one message per interval in place of one per call.
    pub fn aggregate(mut self, interval: Duration) -> Self {
        self.aggregate = Some(interval);
        self
    }

    /// Whether messages carry `metlog_client` and `metlog_seq`, with which a receiver counts what was lost on the way
    /// and removes what came twice. They do otherwise.
    pub fn numbered(mut self, numbered: bool) -> Self {
        self.numbered = numbered;
        self
    }

    /// Bounds of the queue in front of each sender that is added after this: 16 MiB and 100 000 messages otherwise.
    pub fn queue(mut self, bytes: usize, messages: usize) -> Self {
        self.defaults.queue_bytes = Some(bytes);
        self.defaults.queue_messages = Some(messages);
        self
    }

    /// How batches are cut for each sender that is added after this: at most so many messages, waiting at most so
    /// long for company.
    pub fn batch(mut self, messages: usize, wait: Duration) -> Self {
        self.defaults.pacing.messages = Some(messages);
        self.defaults.pacing.wait = Some(wait);
        self
    }

    /// First and longest pause between two tries of a batch, for each sender that is added after this: 100 ms and 30 s
    /// otherwise.
    pub fn retry(mut self, first: Duration, longest: Duration) -> Self {
        self.defaults.retry_min = Some(first);
        self.defaults.retry_max = Some(longest.max(first));
        self
    }

    /// The file that takes what cannot be sent at exit, and is sent at the next start; standard error otherwise.
    /// For each sender that is added after this.
    pub fn spill(mut self, path: impl Into<PathBuf>) -> Self {
        self.defaults.spill = Some(path.into());
        self
    }

    /// Every message says where in the code it was sent: `module`, `file`, `line`.
    pub fn location(mut self, location: bool) -> Self {
        self.envelope.location = location;
        self
    }

    /// First and longest pause of a caller with [`Overflow::Pace`]: none and 250 ms otherwise.
    pub fn pace(mut self, first: Duration, longest: Duration) -> Self {
        self.pace_initial = first;
        self.pace_max = longest;
        self
    }

    /// How long a [`crate::Guard`] may take to send what is left; five seconds otherwise.
    pub fn shutdown_timeout(mut self, timeout: Duration) -> Self {
        self.shutdown_timeout = timeout;
        self
    }

    /// Whether panics become messages; see [`crate::tell_panics`]. They do not otherwise.
    pub fn panics(mut self, panics: bool) -> Self {
        self.panics = panics;
        self
    }

    /// Fields that every message carries.
    pub fn fields(self, fields: Fields) -> Self {
        fields.into_iter().fold(self, |setup, (name, value)| setup.field(name, value))
    }

    /// A field that every message carries.
    pub fn field(mut self, name: impl Into<String>, value: impl Into<Value>) -> Self {
        let mut json = Vec::new();
        wire::write_value(&mut json, &value.into());
        self.envelope.fields.push((name.into(), String::from_utf8(json).unwrap_or_default()));
        self
    }

    /// Every message says which process it comes from, beyond pid and host name: a field `process` with the program,
    /// its working directory and the library's version.
    pub fn process(self, process: bool) -> Self {
        if !process {
            return self;
        }
        let text = |path: std::io::Result<PathBuf>| path.map(|path| path.display().to_string()).unwrap_or_default();
        let mut about = Fields::new();
        about.set("exe", text(std::env::current_exe()));
        about.set("cwd", text(std::env::current_dir()));
        about.set("library", concat!("metlog ", env!("CARGO_PKG_VERSION")));
        self.field("process", about)
    }
}

/// The name the system gives this host, not necessarily fully qualified.
fn hostname() -> String {
    rustix::system::uname().nodename().to_string_lossy().into_owned()
}
