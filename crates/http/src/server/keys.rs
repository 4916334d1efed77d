//! Keys: who may do what.
//!
//! ```text
//!   request ── Gate::admit: where a key may stand, whose it is ──► Caller ──► routes ── Guard: may they? ──► handler
//!                │ cuts the key out of path and headers                        │ 401, 403, 429, body unread
//! ```
//!
//! A key is 256 random bits, so what is kept of it is a plain SHA-256: a slow, salted hash protects words that people
//! choose, of which there are few, and would cost every request milliseconds for nothing. It also means that nobody
//! guesses one, so wrong keys are slowed for the sake of peace and never at the cost of those who have a right one.

mod gate;
mod guard;
mod places;
mod rate;
mod text;

pub use gate::Gate;
pub use guard::Guard;
pub use rate::Rate;
pub use text::{Hash, KEY_PREFIX, new_key, not_whole};

pub(super) use gate::Caller;
pub(super) use guard::charge;

use rate::Bucket;
use serde::Deserialize;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use subtle::{ConditionallySelectable, ConstantTimeEq};

/// What a key is good for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Scope {
    /// Writing messages, and what clients that write ask beside it.
    Ingest,
    /// Reading messages, numbers and states.
    Read,
    /// Everything: whoever may change what the router does could give themselves the rest.
    Admin,
}

impl Scope {
    /// As it is written.
    pub fn name(self) -> &'static str {
        match self {
            Scope::Ingest => "ingest",
            Scope::Read => "read",
            Scope::Admin => "admin",
        }
    }
}

/// A key that is known here, by its hash.
#[derive(Debug)]
pub struct Key {
    name: String,
    hash: Hash,
    scopes: Vec<Scope>,
    dialects: Vec<String>,
    bucket: Option<Arc<Bucket>>,
    used: AtomicU64,
}

impl Key {
    /// One that may do this, everywhere and as often as it likes.
    pub fn new(name: impl Into<String>, hash: Hash, scopes: impl Into<Vec<Scope>>) -> Self {
        let (name, scopes) = (name.into(), scopes.into());
        Key { name, hash, scopes, dialects: Vec::new(), bucket: None, used: AtomicU64::new(0) }
    }

    /// With these dialects only, and not with what the router says of itself; none means all of it.
    #[must_use]
    pub fn within(mut self, dialects: impl Into<Vec<String>>) -> Self {
        self.dialects = dialects.into();
        self
    }

    /// So often: a message that is written is one, and so is a request that does not write.
    #[must_use]
    pub fn at_most(mut self, rate: Option<Rate>) -> Self {
        self.bucket = rate.map(|rate| Arc::new(Bucket::new(rate, rate.at_once())));
        self
    }

    /// Its name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Requests that came with it.
    pub fn used(&self) -> u64 {
        self.used.load(Relaxed)
    }

    fn may(&self, scope: Scope) -> bool {
        self.scopes.iter().any(|own| *own == scope || *own == Scope::Admin)
    }

    /// Whether this is the same key, and lets in where the other does.
    fn same_rights(&self, other: &Key) -> bool {
        self.hash == other.hash && self.scopes == other.scopes && self.dialects == other.dialects
    }

    /// Whether nothing about it is another.
    pub fn is_same(&self, other: &Key) -> bool {
        let rate = |key: &Key| key.bucket.as_ref().map(|bucket| bucket.rate());
        self.same_rights(other) && self.name == other.name && rate(self) == rate(other)
    }
}

/// All keys that are known. None at all means that nobody is asked for one.
#[derive(Debug, Default)]
pub struct Keys {
    keys: Vec<Arc<Key>>,
}

impl Keys {
    /// These.
    pub fn new(keys: impl IntoIterator<Item = Key>) -> Self {
        Keys { keys: keys.into_iter().map(Arc::new).collect() }
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.keys.is_empty()
    }

    /// All of them, in the order of the configuration.
    pub fn all(&self) -> &[Arc<Key>] {
        &self.keys
    }

    /// Whose this is. Looks at every key, and at every byte of its hash, whatever it has found: how long that takes says
    /// nothing about any key.
    fn find(&self, text: &[u8]) -> Option<&Arc<Key>> {
        let hash = Hash::of(text);
        let mut found = u64::MAX;
        for (at, key) in (0..).zip(&self.keys) {
            found.conditional_assign(&at, key.hash.words().ct_eq(hash.words()));
        }
        self.keys.get(usize::try_from(found).ok()?)
    }

    /// The same keys where they come after these: what stays as it was goes on with its bucket as empty as it is.
    fn after(&self, before: &Keys) -> Keys {
        let stays = |key: &Arc<Key>| before.keys.iter().find(|old| old.is_same(key)).unwrap_or(key).clone();
        Keys { keys: self.keys.iter().map(stays).collect() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    fn keys() -> Keys {
        Keys::new([
            Key::new("a", Hash::of(b"first"), [Scope::Ingest]),
            Key::new("b", Hash::of(b"second"), [Scope::Read]),
            Key::new("c", Hash::of(b"third"), [Scope::Admin]),
        ])
    }

    #[test]
    fn a_key_is_found_wherever_it_stands_in_the_list_and_nothing_else_is() {
        let keys = keys();
        for (text, name) in [("first", Some("a")), ("second", Some("b")), ("third", Some("c"))] {
            assert_eq!(keys.find(text.as_bytes()).map(|key| key.name()), name);
        }
        for text in ["", "firs", "first ", "First", "firstsecond", "\0"] {
            assert!(keys.find(text.as_bytes()).is_none(), "{text}");
        }
        assert!(Keys::default().find(b"first").is_none() && Keys::default().find(b"").is_none());
    }

    #[test]
    fn admin_may_everything_and_the_others_what_they_are_called() {
        let keys = keys();
        let may = |at: usize| [Scope::Ingest, Scope::Read, Scope::Admin].map(|scope| keys.all()[at].may(scope));
        assert_eq!([may(0), may(1), may(2)], [[true, false, false], [false, true, false], [true; 3]]);
    }

    #[test]
    fn another_configuration_refills_no_bucket_unless_its_rate_is_another() {
        let rate: Rate = "2/h".parse().expect("a rate");
        let with = |rate| Keys::new([Key::new("a", Hash::of(b"k"), [Scope::Ingest]).at_most(Some(rate))]);
        let before = with(rate);
        let bucket = before.all()[0].bucket.as_ref().expect("one");
        bucket.take(100);
        assert!(bucket.wait().is_some());
        let same = with(rate).after(&before);
        assert!(same.all()[0].bucket.as_ref().expect("one").wait().is_some_and(|wait| wait > Duration::from_secs(60)));
        let other = with("3/h".parse().expect("a rate")).after(&before);
        assert_eq!(other.all()[0].bucket.as_ref().expect("one").wait(), None);
    }

    #[test]
    fn nothing_that_prints_a_key_prints_it() {
        let text = new_key().expect("random bytes");
        let key = Key::new("a", Hash::of(text.reveal().as_bytes()), [Scope::Ingest]);
        let shown = format!("{text:?} {text} {:?}", Keys::new([key]));
        assert!(!shown.contains(text.reveal()) && !shown.contains(&text.reveal()[KEY_PREFIX.len()..]), "{shown}");
    }
}
