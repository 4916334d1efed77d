use metlog_message::wire::{self, Limits};
use metlog_message::{Lines, Message};
use metlog_pipeline::registry::Configured;
use metlog_pipeline::{SendError, Sender, SenderEntry, inventory};
use serde::Deserialize;
use std::collections::{BTreeMap, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// Where captured messages are kept.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Config {
    /// How many; the oldest go first.
    pub capacity: usize,
    /// The name under which [`Capture::named`] finds them. A configuration that uses one again keeps on adding.
    pub name: String,
}

impl Default for Config {
    fn default() -> Self {
        Config { capacity: 100, name: "debug".to_owned() }
    }
}

/// The last messages of one or more senders. Clones are the same capture.
#[derive(Debug, Clone)]
pub struct Capture(Arc<Mutex<Ring>>);

#[derive(Debug)]
struct Ring {
    capacity: usize,
    lines: VecDeque<Vec<u8>>,
}

static NAMED: Mutex<BTreeMap<String, Capture>> = Mutex::new(BTreeMap::new());

impl Capture {
    /// Keeps so many.
    pub fn new(capacity: usize) -> Self {
        Capture(Arc::new(Mutex::new(Ring { capacity, lines: VecDeque::new() })))
    }

    /// What a configuration captured under this name, if one did.
    pub fn named(name: &str) -> Option<Self> {
        NAMED.lock().unwrap_or_else(PoisonError::into_inner).get(name).cloned()
    }

    /// A sender that captures into this.
    pub fn sender(&self) -> DebugSender {
        DebugSender(self.clone())
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.ring().lines.len()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Their JSON, oldest first.
    pub fn lines(&self) -> Vec<Vec<u8>> {
        self.ring().lines.iter().cloned().collect()
    }

    /// The messages, oldest first. One that is nested deeper than any receiver reads is among the lines only.
    pub fn messages(&self) -> Vec<Message> {
        let limits = Limits::NONE;
        self.lines().iter().filter_map(|line| Some(wire::read(line, &limits).ok()?.message)).collect()
    }

    /// Forgets them.
    pub fn clear(&self) {
        self.ring().lines.clear();
    }

    fn ring(&self) -> MutexGuard<'_, Ring> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Keeps what it is given.
#[derive(Debug)]
pub struct DebugSender(Capture);

impl Sender for DebugSender {
    fn send(&mut self, batch: &Lines) -> Result<(), SendError> {
        let mut ring = self.0.ring();
        let Ring { capacity, lines } = &mut *ring;
        for line in batch.iter().skip(batch.len().saturating_sub(*capacity)) {
            // A configuration may have made it smaller meanwhile.
            while lines.len() >= *capacity {
                lines.pop_front();
            }
            lines.push_back(line.to_vec());
        }
        Ok(())
    }
}

impl Configured for DebugSender {
    type Config = Config;

    fn check(config: &Config) -> Result<(), String> {
        if config.capacity == 0 {
            return Err("`capacity` is 0, which keeps nothing; the sender `null` does that".to_owned());
        }
        Ok(())
    }

    fn open(config: Config) -> Result<Self, String> {
        Self::check(&config)?;
        let mut named = NAMED.lock().unwrap_or_else(PoisonError::into_inner);
        let capture = named.entry(config.name).or_insert_with(|| Capture::new(config.capacity));
        capture.ring().capacity = config.capacity;
        Ok(capture.sender())
    }
}

inventory::submit! {
    SenderEntry::of::<DebugSender>(
        "debug",
        &["metlog.senders.DebugCaptureSender", "metlog.senders.dev.DebugCaptureSender", "DebugCaptureSender"],
        include_str!("../example.toml"),
    )
}
