//! Who asks.

use super::rate::{Bucket, Rate};
use super::text::LONGEST;
use super::{Key, Keys, places};
use axum::http::request::Parts;
use metlog_pipeline::input::subscriber;
use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::atomic::Ordering::Relaxed;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tokio::sync::watch;

/// The keys that are known now, to all ports of a router.
#[derive(Debug)]
pub struct Gate {
    keys: watch::Sender<Arc<Keys>>,
    attempts: Attempts,
}

impl Default for Gate {
    /// One that asks nobody.
    fn default() -> Self {
        Gate { keys: watch::Sender::new(Arc::default()), attempts: Attempts::default() }
    }
}

impl Gate {
    /// With these keys; with none everybody may everything.
    pub fn new(keys: Keys) -> Arc<Self> {
        Arc::new(Gate { keys: watch::Sender::new(Arc::new(keys)), attempts: Attempts::default() })
    }

    /// Other keys from now on. Whatever goes on with a key that is no longer there, or that may do something else, ends.
    pub fn set(&self, keys: &Keys) {
        self.keys.send_modify(|current| *current = Arc::new(keys.after(current)));
    }

    /// The keys as they are.
    pub fn keys(&self) -> Arc<Keys> {
        self.keys.borrow().clone()
    }

    /// Tells when there are others.
    pub(in crate::server) fn changes(&self) -> watch::Receiver<Arc<Keys>> {
        self.keys.subscribe()
    }

    /// Whether somebody would be let in as before.
    pub(in crate::server) fn still_knows(&self, caller: &Caller) -> bool {
        let keys = self.keys();
        match caller {
            Caller::Anyone => keys.is_empty(),
            Caller::Known(key) => keys.all().iter().any(|now| now.same_rights(key)),
            Caller::Nobody(_) => true,
        }
    }

    /// Whose request this is. Keys are gone from it afterwards, whether or not anybody is asked for one.
    pub(in crate::server) fn admit(&self, head: &mut Parts, from: IpAddr) -> Caller {
        let candidates = places::cut(head);
        let keys = self.keys();
        if keys.is_empty() {
            return Caller::Anyone;
        }
        let short = || candidates.iter().filter(|text| text.len() <= LONGEST);
        if let Some(key) = short().find_map(|text| keys.find(text)) {
            key.used.fetch_add(1, Relaxed);
            return Caller::Known(key.clone());
        }
        if candidates.is_empty() {
            return Caller::Nobody(Without::Key);
        }
        match self.attempts.failed(from) {
            Some(wait) => Caller::Nobody(Without::End(wait)),
            None => Caller::Nobody(Without::Right),
        }
    }
}

/// Who sent a request: an extension of it.
#[derive(Debug, Clone)]
pub(in crate::server) enum Caller {
    /// There are no keys.
    Anyone,
    /// Whoever has this key.
    Known(Arc<Key>),
    /// Somebody without a key that is known.
    Nobody(Without),
}

/// What somebody is without.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::server) enum Without {
    /// Any key.
    Key,
    /// The right key.
    Right,
    /// The right key, again and again; and how long they should wait.
    End(Duration),
}

/// Addresses that came with wrong keys. Right keys are let in from there all the same: behind one address may be a whole
/// network, and nobody finds a key of 256 bits by trying.
#[derive(Debug, Default)]
struct Attempts {
    by_address: Mutex<HashMap<IpAddr, Bucket>>,
}

/// Wrong keys that one address may bring at once, and then in a second.
const PATIENCE: (u32, Rate) = (20, Rate::per_second(1));

/// Addresses that are remembered.
const REMEMBERED: usize = 4096;

impl Attempts {
    /// Once more; and how long that address should wait if it was too often.
    fn failed(&self, from: IpAddr) -> Option<Duration> {
        let mut known = self.by_address.lock().unwrap_or_else(PoisonError::into_inner);
        let whose = subscriber(from);
        if known.len() >= REMEMBERED && !known.contains_key(&whose) {
            known.retain(|_, bucket| !bucket.is_full());
            // All of them at it: then whoever is new has the place of one that gets a fresh start by it.
            if known.len() >= REMEMBERED
                && let Some(one) = known.keys().next().copied()
            {
                known.remove(&one);
            }
        }
        let bucket = known.entry(whose).or_insert_with(|| Bucket::new(PATIENCE.1, PATIENCE.0));
        let wait = bucket.wait();
        if wait.is_none() {
            bucket.take(1);
        }
        wait
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::{Ipv4Addr, Ipv6Addr};

    #[test]
    fn one_address_is_told_to_wait_and_no_other_is() {
        let attempts = Attempts::default();
        let bad = IpAddr::from([192, 0, 2, 1]);
        let early = (0..20).filter(|_| attempts.failed(bad).is_none()).count();
        assert_eq!(early, 20);
        let late = (0..100).filter(|_| attempts.failed(bad).is_some()).count();
        assert!(late > 90, "{late}");
        assert_eq!(attempts.failed(IpAddr::from([192, 0, 2, 2])), None);
        // One subscriber has a whole /64.
        let of_one = |last| IpAddr::from(Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, last));
        assert!((0..40).filter(|last| attempts.failed(of_one(*last)).is_some()).count() > 10);
    }

    #[test]
    fn the_table_does_not_grow_with_the_internet() {
        let attempts = Attempts::default();
        for number in 0..20_000 {
            attempts.failed(Ipv4Addr::from_bits(number).into());
        }
        assert!(attempts.by_address.lock().expect("whole").len() <= REMEMBERED);
    }
}
