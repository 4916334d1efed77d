use crate::path::Path;
use metlog_pipeline::registry::Configured;
use metlog_pipeline::{Event, Filter, FilterEntry, inventory};
use metlog_settings::Span;
use serde::de::Error;
use serde::{Deserialize, Deserializer};
use std::collections::{HashSet, VecDeque};
use std::hash::{BuildHasher, Hash, Hasher, RandomState};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

/// Messages that are remembered, some 5 MB of them. Beyond, the oldest is forgotten: its repetition passes, and nothing
/// is swallowed that should have passed.
const MAX_REMEMBERED: usize = 65_536;

/// Settings of `dedup`.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DedupConfig {
    /// How long a message is not repeated, from the one that passed.
    #[serde(deserialize_with = "window")]
    pub window: Duration,
    /// The places where two messages have to be equal to be the same; both may lack one. `type`, `logger` and `payload`, if
    /// not given. At least one.
    #[serde(default = "usual", deserialize_with = "places")]
    pub key: Vec<Path>,
}

fn usual() -> Vec<Path> {
    vec![Path::kind(), Path::logger(), Path::payload()]
}

fn window<'de, D: Deserializer<'de>>(from: D) -> Result<Duration, D::Error> {
    let window = Span::deserialize(from)?.duration();
    if window.is_zero() { Err(D::Error::custom("expected a time above nought, such as `5s`")) } else { Ok(window) }
}

fn places<'de, D: Deserializer<'de>>(from: D) -> Result<Vec<Path>, D::Error> {
    let places = Vec::deserialize(from)?;
    if places.is_empty() { Err(D::Error::custom("without a place all messages would be the same")) } else { Ok(places) }
}

/// Passes a message once in a while and swallows its repetitions, by the time at which they arrive.
#[derive(Debug)]
pub struct Dedup {
    window: Duration,
    key: Vec<Path>,
    /// Two secrets that are drawn anew at each start: nobody can choose a message that is taken for another, and by
    /// accident 128 bits do not meet.
    hashes: [RandomState; 2],
    /// What passed within the window, in that order.
    passed: VecDeque<(Instant, [u64; 2])>,
    known: HashSet<[u64; 2]>,
    swallowed: Swallowed,
}

/// How many messages a [`Dedup`] has swallowed; still to be asked when the filter is in other hands.
#[derive(Debug, Clone, Default)]
pub struct Swallowed(Arc<AtomicU64>);

impl Swallowed {
    /// So far.
    pub fn get(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}

impl Dedup {
    /// The same type, logger and payload not twice within the window.
    pub fn new(window: Duration) -> Self {
        Dedup {
            window,
            key: usual(),
            hashes: [RandomState::new(), RandomState::new()],
            passed: VecDeque::new(),
            known: HashSet::new(),
            swallowed: Swallowed::default(),
        }
    }

    /// The same are messages that are equal in all of these places.
    #[must_use]
    pub fn by(self, key: impl IntoIterator<Item = Path>) -> Self {
        Dedup { key: key.into_iter().collect(), ..self }
    }

    /// The number of repetitions.
    pub fn swallowed(&self) -> Swallowed {
        self.swallowed.clone()
    }

    /// The same as [`Filter::keep`] for a message that arrived then. Times that go back count as no time.
    pub fn keep_at(&mut self, event: &Event<'_>, arrived: Instant) -> bool {
        while let Some((passed, _)) = self.passed.front()
            && arrived.saturating_duration_since(*passed) >= self.window
        {
            self.forget();
        }
        let same = self.fingerprint(event);
        if self.known.contains(&same) {
            self.swallowed.0.fetch_add(1, Ordering::Relaxed);
            return false;
        }
        if self.passed.len() >= MAX_REMEMBERED {
            self.forget();
        }
        self.passed.push_back((arrived, same));
        self.known.insert(same)
    }

    fn forget(&mut self) {
        if let Some((_, oldest)) = self.passed.pop_front() {
            self.known.remove(&oldest);
        }
    }

    fn fingerprint(&self, event: &Event<'_>) -> [u64; 2] {
        let mut hashers = self.hashes.each_ref().map(BuildHasher::build_hasher);
        for path in &self.key {
            let found = path.find(event);
            hashers.iter_mut().for_each(|hasher| found.hash(hasher));
        }
        hashers.map(|hasher| hasher.finish())
    }
}

impl Filter for Dedup {
    fn keep(&mut self, event: &Event<'_>) -> bool {
        self.keep_at(event, Instant::now())
    }

    fn peek(&mut self, event: &Event<'_>) -> bool {
        let (same, now) = (self.fingerprint(event), Instant::now());
        let recent = |passed: &Instant| now.saturating_duration_since(*passed) < self.window;
        !self.passed.iter().any(|(passed, known)| *known == same && recent(passed))
    }
}

impl Configured for Dedup {
    type Config = DedupConfig;
    fn open(config: DedupConfig) -> Result<Self, String> {
        Ok(Dedup::new(config.window).by(config.key))
    }
}

inventory::submit! {
    FilterEntry::of::<Dedup>("dedup", &[], include_str!("../example-dedup.toml"))
}
