//! How many connections there may be, in all and from one address.

use super::counters::count;
use super::{Counters, ServerLimits};
use metlog_pipeline::input::subscriber;
use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::atomic::Ordering::Relaxed;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

#[derive(Debug, Default)]
struct Taken {
    all: u32,
    by_address: HashMap<IpAddr, u32>,
}

/// The connections there may be.
#[derive(Debug, Clone)]
pub(super) struct Seats {
    taken: Arc<Mutex<Taken>>,
    most: u32,
    most_per_address: u32,
}

impl Seats {
    pub(super) fn new(limits: &ServerLimits) -> Self {
        Seats { taken: Arc::default(), most: limits.connections, most_per_address: limits.connections_per_address }
    }

    /// A seat for one from there, if there is one.
    pub(super) fn take(&self, from: IpAddr, counters: &Arc<Counters>) -> Option<Seat> {
        let whose = subscriber(from);
        let mut taken = self.lock();
        if taken.all >= self.most {
            count(&counters.refused_cap);
            return None;
        }
        let of_address = taken.by_address.entry(whose).or_default();
        if *of_address >= self.most_per_address {
            count(&counters.refused_address);
            return None;
        }
        *of_address += 1;
        taken.all += 1;
        count(&counters.connections);
        count(&counters.open);
        Some(Seat { seats: self.clone(), whose, counters: counters.clone() })
    }

    fn lock(&self) -> MutexGuard<'_, Taken> {
        self.taken.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// One of them; free again when dropped.
pub(super) struct Seat {
    seats: Seats,
    whose: IpAddr,
    counters: Arc<Counters>,
}

impl Drop for Seat {
    fn drop(&mut self) {
        let mut taken = self.seats.lock();
        taken.all -= 1;
        if let Some(of_address) = taken.by_address.get_mut(&self.whose) {
            *of_address -= 1;
            if *of_address == 0 {
                taken.by_address.remove(&self.whose);
            }
        }
        self.counters.open.fetch_sub(1, Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn seats_are_free_again_and_an_ipv6_network_is_one_address() {
        let limits = ServerLimits { connections: 3, connections_per_address: 2, ..ServerLimits::default() };
        let (seats, counters) = (Seats::new(&limits), Arc::new(Counters::default()));
        let take = |address: &str| seats.take(address.parse().expect("an address"), &counters);
        let (first, _second) = (take("2001:db8::1").expect("one"), take("2001:db8::2").expect("two"));
        assert!(take("2001:db8:0:0:ffff::").is_none());
        let third = take("::ffff:10.0.0.1").expect("somebody else");
        assert!(take("10.0.0.2").is_none(), "all are taken");
        drop(third);
        let _third = take("10.0.0.1").expect("free again");
        drop(first);
        assert!(take("2001:db8::3").is_some());
        let count = |counter: &std::sync::atomic::AtomicU64| counter.load(Relaxed);
        assert_eq!((count(&counters.refused_address), count(&counters.refused_cap)), (1, 1));
        assert_eq!((count(&counters.connections), count(&counters.open)), (5, 2));
    }
}
