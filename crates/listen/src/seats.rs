use metlog_pipeline::Away;
use metlog_pipeline::input::subscriber;
use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// The connections there may be, in all and from one address.
#[derive(Debug, Clone)]
pub struct Seats {
    taken: Arc<Mutex<Taken>>,
    most: usize,
    each: usize,
}

#[derive(Debug, Default)]
struct Taken {
    all: usize,
    by_address: HashMap<IpAddr, usize>,
}

impl Seats {
    /// So many, and so many from one address.
    pub fn new(most: usize, each: usize) -> Self {
        Seats { taken: Arc::default(), most, each }
    }

    /// A seat for one from there.
    ///
    /// # Errors
    /// Which limit it is that leaves none.
    pub fn take(&self, from: IpAddr) -> Result<Seat, Away> {
        let whose = subscriber(from);
        let mut taken = self.lock();
        if taken.all >= self.most {
            return Err(Away::Cap);
        }
        let here = taken.by_address.get(&whose).copied().unwrap_or_default();
        if here >= self.each {
            return Err(Away::Address);
        }
        taken.by_address.insert(whose, here + 1);
        taken.all += 1;
        Ok(Seat { seats: self.clone(), whose })
    }

    fn lock(&self) -> MutexGuard<'_, Taken> {
        self.taken.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// One of them; free again when dropped.
#[derive(Debug)]
pub struct Seat {
    seats: Seats,
    whose: IpAddr,
}

impl Drop for Seat {
    fn drop(&mut self) {
        let mut taken = self.seats.lock();
        taken.all -= 1;
        if let Some(here) = taken.by_address.get_mut(&self.whose) {
            *here -= 1;
            if *here == 0 {
                taken.by_address.remove(&self.whose);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn seats_are_free_again_and_an_ipv6_network_is_one_address() {
        let seats = Seats::new(3, 2);
        let take = |address: &str| seats.take(address.parse().expect("an address"));
        let (first, _second) = (take("2001:db8::1").expect("one"), take("2001:db8::2").expect("two"));
        assert_eq!(take("2001:db8:0:0:ffff::").err(), Some(Away::Address));
        let third = take("::ffff:10.0.0.1").expect("somebody else");
        assert_eq!(take("10.0.0.2").err(), Some(Away::Cap));
        drop(third);
        let _third = take("10.0.0.1").expect("free again");
        drop(first);
        assert!(take("2001:db8::3").is_ok());
        drop((_second, _third));
        assert!(seats.lock().by_address.is_empty());
    }
}
