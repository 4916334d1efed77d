//! Who is connected: so many at most, so many from one address, and those who have not shaken hands give way first.

use std::collections::{BTreeMap, HashMap};
use std::net::IpAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use tokio::task::AbortHandle;

/// All connections of an input.
#[derive(Debug)]
pub(crate) struct Roster {
    limits: Limits,
    state: Mutex<State>,
}

/// How many there may be.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Limits {
    pub all: usize,
    /// From one address. Loopback addresses and files stand for a whole machine and are not limited.
    pub per_address: usize,
}

#[derive(Debug, Default)]
struct State {
    next: u64,
    seated: usize,
    addresses: HashMap<IpAddr, usize>,
    /// Those still shaking hands, the oldest first.
    strangers: BTreeMap<u64, (Option<IpAddr>, AbortHandle)>,
}

/// A place for one connection, free again when it is dropped.
#[derive(Debug)]
pub(crate) struct Seat {
    roster: Arc<Roster>,
    number: u64,
    from: Option<IpAddr>,
}

impl Roster {
    pub fn new(limits: Limits) -> Arc<Self> {
        Arc::new(Roster { limits, state: Mutex::default() })
    }

    /// Seats whoever came from there, as a stranger whose task `start` begins; false if there is no room. A stranger
    /// that has been here longer goes first.
    pub fn admit(self: &Arc<Self>, from: Option<IpAddr>, start: impl FnOnce(Seat) -> AbortHandle) -> bool {
        let from = from.map(|address| address.to_canonical()).filter(|address| !address.is_loopback());
        let Some(seat) = self.seat(from) else { return false };
        let number = seat.number;
        let task = start(seat);
        // Tasks run on this thread: it cannot have ended, and left, before it is written down here.
        self.state().strangers.insert(number, (from, task));
        true
    }

    fn seat(self: &Arc<Self>, from: Option<IpAddr>) -> Option<Seat> {
        let mut state = self.state();
        let of_address = from.and_then(|address| state.addresses.get(&address)).copied().unwrap_or(0);
        let crowded = of_address >= self.limits.per_address;
        if crowded || state.seated >= self.limits.all {
            let oldest = state.strangers.iter().find(|(_, (other, _))| !crowded || *other == from);
            let oldest = oldest.map(|(number, _)| *number)?;
            // Its seat comes free when its task has ended, in a moment: until then there is one more than the limit.
            let (_, stranger) = state.strangers.remove(&oldest)?;
            stranger.abort();
        }
        state.next += 1;
        state.seated += 1;
        if let Some(address) = from {
            *state.addresses.entry(address).or_default() += 1;
        }
        Some(Seat { roster: Arc::clone(self), number: state.next, from })
    }

    fn state(&self) -> MutexGuard<'_, State> {
        // Nothing under this lock can panic half-way.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Seat {
    /// It has shaken hands: it stays.
    pub fn settle(&self) {
        self.roster.state().strangers.remove(&self.number);
    }
}

impl Drop for Seat {
    fn drop(&mut self) {
        let mut state = self.roster.state();
        state.seated -= 1;
        state.strangers.remove(&self.number);
        if let Some(address) = self.from
            && let Some(count) = state.addresses.get_mut(&address)
        {
            *count -= 1;
            if *count == 0 {
                state.addresses.remove(&address);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::future::pending;
    use tokio::task::JoinSet;

    fn address(last: u8) -> Option<IpAddr> {
        Some([192, 0, 2, last].into())
    }

    /// A roster, and tasks that do nothing with their seats.
    struct Room {
        roster: Arc<Roster>,
        tasks: JoinSet<()>,
    }

    impl Room {
        fn new(all: usize, per_address: usize) -> Self {
            Room { roster: Roster::new(Limits { all, per_address }), tasks: JoinSet::new() }
        }

        fn admit(&mut self, from: Option<IpAddr>, settle: bool) -> bool {
            self.roster.admit(from, |seat| {
                self.tasks.spawn(async move {
                    if settle {
                        seat.settle();
                    }
                    pending::<()>().await;
                })
            })
        }

        async fn seated(&self) -> usize {
            for _ in 0..100 {
                tokio::task::yield_now().await;
            }
            self.roster.state().seated
        }
    }

    fn run(test: impl Future<Output = ()>) {
        tokio::runtime::Builder::new_current_thread().build().unwrap().block_on(test);
    }

    #[test]
    fn strangers_give_way_and_those_who_have_shaken_hands_stay() {
        run(async {
            let mut room = Room::new(3, 9);
            assert!(room.admit(address(1), true));
            for last in 2..100 {
                assert!(room.admit(address(last), false));
                assert!(room.seated().await <= 3);
            }
            assert!(room.admit(address(1), true) && room.seated().await == 3);
            assert!(room.admit(address(1), true) && room.seated().await == 3);
            assert!(!room.admit(address(1), true), "all have shaken hands");
            room.tasks.shutdown().await;
            let state = room.roster.state();
            assert_eq!((state.seated, state.addresses.len(), state.strangers.len()), (0, 0, 0));
        });
    }

    #[test]
    fn one_address_does_not_take_all_and_its_strangers_go_first() {
        run(async {
            let mut room = Room::new(9, 2);
            assert!(room.admit(address(2), false));
            assert!(room.admit(address(1), true) && room.admit(address(1), false) && room.seated().await == 3);
            assert!(room.admit(address(1), true) && room.seated().await == 3);
            assert!(!room.admit(address(1), true));
            assert!(room.admit(address(2), false) && room.seated().await == 4);
        });
    }

    #[test]
    fn this_machine_counts_as_many() {
        run(async {
            let mut room = Room::new(9, 2);
            for from in [
                None,
                Some([127, 0, 0, 1].into()),
                Some("::1".parse().unwrap()),
                Some("::ffff:127.0.0.1".parse().unwrap()),
            ] {
                assert!(room.admit(from, true) && room.admit(from, true));
            }
            assert_eq!(room.seated().await, 8);
        });
    }
}
