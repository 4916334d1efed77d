//! Batches whose running numbers are noted and whose messages are not in the spool yet. Who brings the same meanwhile is
//! not told that they are safe before they are.

use std::collections::BTreeSet;
use std::sync::atomic::{AtomicU64, Ordering::Acquire, Ordering::Release};
use std::sync::{Mutex, PoisonError};
use tokio::sync::watch;

/// Those of all inputs.
#[derive(Default)]
pub struct Claims {
    open: Mutex<(u64, BTreeSet<u64>)>,
    /// All claims below are closed.
    lowest: watch::Sender<u64>,
    /// Claims whose messages were not kept after all.
    dropped: AtomicU64,
}

/// A claim, to be closed.
#[derive(Debug)]
pub struct Claim(u64);

/// What somebody waits for who has brought what another one had brought.
#[derive(Debug, Clone, Copy)]
pub struct Awaited {
    below: u64,
    dropped: u64,
}

impl Awaited {
    /// Both.
    pub fn and(self, other: Option<Awaited>) -> Awaited {
        other.map_or(self, |other| Awaited {
            below: self.below.max(other.below),
            dropped: self.dropped.min(other.dropped),
        })
    }
}

impl Claims {
    /// A batch begins to note numbers.
    pub fn open(&self) -> Claim {
        let mut open = self.open.lock().unwrap_or_else(PoisonError::into_inner);
        let (next, all) = &mut *open;
        let number = *next;
        *next += 1;
        all.insert(number);
        Claim(number)
    }

    /// Its messages are in the spool, or, if not `kept`, its numbers are not noted any more.
    pub fn close(&self, Claim(number): Claim, kept: bool) {
        if !kept {
            self.dropped.fetch_add(1, Release);
        }
        let mut open = self.open.lock().unwrap_or_else(PoisonError::into_inner);
        let (next, all) = &mut *open;
        all.remove(&number);
        let lowest = all.first().copied().unwrap_or(*next);
        self.lowest.send_if_modified(|known| std::mem::replace(known, lowest) != lowest);
    }

    /// How many have been dropped so far: to be asked before the first number is looked up.
    pub fn dropped(&self) -> u64 {
        self.dropped.load(Acquire)
    }

    /// Everything that is open now; `dropped`: as of when the first number was looked up.
    pub fn awaited(&self, dropped: u64) -> Awaited {
        let open = self.open.lock().unwrap_or_else(PoisonError::into_inner);
        Awaited { below: open.0, dropped }
    }

    /// Waits until all of that is closed. False: some of it was not kept, perhaps what was meant.
    pub async fn closed(&self, awaited: Awaited) -> bool {
        let mut lowest = self.lowest.subscribe();
        // It cannot be gone: the sender is ours.
        let _ = lowest.wait_for(|lowest| *lowest >= awaited.below).await;
        self.dropped() == awaited.dropped
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::future::Future;
    use std::pin::pin;
    use std::task::{Context, Poll, Waker};

    fn look(claims: &Claims, awaited: Awaited) -> Poll<bool> {
        pin!(claims.closed(awaited)).as_mut().poll(&mut Context::from_waker(Waker::noop()))
    }

    #[test]
    fn whoever_waits_waits_for_those_before_and_for_nobody_later() {
        let claims = Claims::default();
        let before = claims.dropped();
        assert_eq!(look(&claims, claims.awaited(before)), Poll::Ready(true));
        let (first, second) = (claims.open(), claims.open());
        let awaited = claims.awaited(before);
        let later = claims.open();
        claims.close(second, true);
        assert_eq!(look(&claims, awaited), Poll::Pending);
        claims.close(first, true);
        assert_eq!(look(&claims, awaited), Poll::Ready(true));
        let both = claims.awaited(before);
        claims.close(later, false);
        assert_eq!(look(&claims, both), Poll::Ready(false), "it was not kept");
        assert_eq!(look(&claims, claims.awaited(claims.dropped())), Poll::Ready(true));
    }
}
