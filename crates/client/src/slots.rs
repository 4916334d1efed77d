//! Aggregation: per thread one slot per call site, added to without sending anything.
//!
//! A slot has one writer, its thread, so an addition is a load and a store that no other core contends for. The
//! background thread reads all slots once per interval and sends the difference to what it read before; nothing is
//! ever reset, so nothing can be lost between a read and a reset. Blocks of slots outlive their threads and are handed
//! to the next one: their number is that of the most threads that ever ran at a time.

use crate::arg::Arg;
use std::cell::Cell;
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};
use std::sync::{Mutex, OnceLock, PoisonError};

/// What one thread counted at one site.
#[derive(Default)]
pub struct Slot {
    calls: AtomicU64,
    whole: AtomicI64,
    /// A float's bits.
    fraction: AtomicU64,
    times: OnceLock<Box<Times>>,
}

/// A histogram of ticks: sixteen steps per power of two, so a quantile is off by three per cent at the most.
pub struct Times {
    count: AtomicU64,
    sum: AtomicU64,
    buckets: Box<[AtomicU64]>,
}

const STEPS: u32 = 4;
const BUCKETS: usize = 61 << STEPS;

type Block = &'static [Slot];

struct Blocks {
    all: Vec<Block>,
    /// Blocks whose thread has ended.
    free: Vec<Block>,
}

static BLOCKS: Mutex<Blocks> = Mutex::new(Blocks { all: Vec::new(), free: Vec::new() });

/// Gives a thread's block back when the thread ends.
struct Lease;

thread_local! {
    /// Without a destructor, so that looking at it costs nothing; [`LEASE`] has the destructor.
    static HERE: Cell<Block> = const { Cell::new(&[]) };
    static LEASE: Lease = const { Lease };
}

impl Drop for Lease {
    fn drop(&mut self) {
        let block = HERE.replace(&[]);
        if !block.is_empty() {
            blocks().free.push(block);
        }
    }
}

fn blocks() -> std::sync::MutexGuard<'static, Blocks> {
    BLOCKS.lock().unwrap_or_else(PoisonError::into_inner)
}

/// This thread's slot for a site.
#[inline(always)]
pub fn here(site: u32) -> Option<&'static Slot> {
    match HERE.get().get(site as usize) {
        Some(slot) => Some(slot),
        None => grow(site),
    }
}

#[cold]
fn grow(site: u32) -> Option<&'static Slot> {
    let mut blocks = blocks();
    let wanted = (site as usize + 1).next_power_of_two().max(256);
    let old = HERE.get();
    let at = blocks.free.iter().position(|block| block.len() >= wanted);
    let block = match at {
        Some(at) => blocks.free.swap_remove(at),
        None => {
            let block: Block = Box::leak((0..wanted).map(|_| Slot::default()).collect());
            blocks.all.push(block);
            block
        }
    };
    if !old.is_empty() {
        blocks.free.push(old);
    }
    HERE.set(block);
    // Registers the destructor; too late only while the thread is ending, and then a block stays taken.
    let _ = LEASE.try_with(|_| ());
    block.get(site as usize)
}

/// Every block there is, to read.
pub fn all() -> Vec<&'static [Slot]> {
    blocks().all.clone()
}

impl Slot {
    /// Counts. Only the owning thread calls it.
    #[inline(always)]
    pub fn add(&self, count: Arg<'_>) {
        self.calls.store(self.calls.load(Ordering::Relaxed) + 1, Ordering::Relaxed);
        match count {
            Arg::I64(number) => self.add_whole(number),
            Arg::U64(number) => self.add_whole(number as i64),
            other => {
                let sum = f64::from_bits(self.fraction.load(Ordering::Relaxed)) + other.as_f64().unwrap_or(0.0);
                self.fraction.store(sum.to_bits(), Ordering::Relaxed);
            }
        }
    }

    #[inline(always)]
    fn add_whole(&self, number: i64) {
        self.whole.store(self.whole.load(Ordering::Relaxed).wrapping_add(number), Ordering::Relaxed);
    }

    /// Notes a time. Only the owning thread calls it.
    #[inline]
    pub fn time(&self, ticks: u64) {
        let times = self.times.get_or_init(|| Box::new(Times::new()));
        bump(&times.count, 1);
        bump(&times.sum, ticks);
        if let Some(bucket) = times.buckets.get(bucket(ticks)) {
            bump(bucket, 1);
        }
    }

    /// Calls, whole and fractional sums so far.
    pub fn counted(&self) -> (u64, i64, f64) {
        let fraction = f64::from_bits(self.fraction.load(Ordering::Relaxed));
        (self.calls.load(Ordering::Relaxed), self.whole.load(Ordering::Relaxed), fraction)
    }

    /// The times so far.
    pub fn times(&self) -> Option<&Times> {
        self.times.get().map(|times| &**times)
    }
}

#[inline(always)]
fn bump(cell: &AtomicU64, by: u64) {
    cell.store(cell.load(Ordering::Relaxed).wrapping_add(by), Ordering::Relaxed);
}

/// The bucket of a time: exact below sixteen, then sixteen per power of two.
#[inline]
fn bucket(ticks: u64) -> usize {
    if ticks < 1 << STEPS {
        return ticks as usize;
    }
    let power = 63 - ticks.leading_zeros();
    let step = (ticks >> (power - STEPS)) & ((1 << STEPS) - 1);
    (((power - STEPS + 1) << STEPS) as u64 + step) as usize
}

/// The middle of a bucket.
fn middle(bucket: usize) -> u64 {
    let (power, step) = ((bucket >> STEPS) as u32, (bucket & ((1 << STEPS) - 1)) as u64);
    if power == 0 {
        return step;
    }
    let width = 1u64 << (power - 1);
    ((1 << STEPS) + step) * width + width / 2
}

impl Times {
    fn new() -> Self {
        Times {
            count: AtomicU64::new(0),
            sum: AtomicU64::new(0),
            buckets: (0..BUCKETS).map(|_| AtomicU64::new(0)).collect(),
        }
    }
}

/// Times of several threads added up, as they stood at one moment.
#[derive(Debug, Clone, PartialEq)]
pub struct Tally {
    /// How many times were taken.
    pub count: u64,
    /// Their sum in ticks.
    pub sum: u64,
    buckets: Vec<u64>,
}

impl Default for Tally {
    fn default() -> Self {
        Tally { count: 0, sum: 0, buckets: vec![0; BUCKETS] }
    }
}

impl Tally {
    /// Adds what a slot holds. The three numbers of a slot are not read at one instant; what is missed now is in the
    /// next difference.
    pub fn add(&mut self, times: &Times) {
        self.count = self.count.wrapping_add(times.count.load(Ordering::Relaxed));
        self.sum = self.sum.wrapping_add(times.sum.load(Ordering::Relaxed));
        for (here, there) in self.buckets.iter_mut().zip(&times.buckets) {
            *here += there.load(Ordering::Relaxed);
        }
    }

    /// What came since `before`.
    pub fn since(&self, before: &Tally) -> Tally {
        Tally {
            count: self.count.wrapping_sub(before.count),
            sum: self.sum.wrapping_sub(before.sum),
            buckets: self.buckets.iter().zip(&before.buckets).map(|(now, then)| now.saturating_sub(*then)).collect(),
        }
    }

    /// The time in ticks below which this share of them lies.
    pub fn quantile(&self, share: f64) -> u64 {
        let total: u64 = self.buckets.iter().sum();
        let rank = (share * total as f64).ceil().max(1.0) as u64;
        let mut seen = 0;
        for (at, count) in self.buckets.iter().enumerate() {
            seen += count;
            if seen >= rank {
                return middle(at);
            }
        }
        0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bucket_holds_what_its_middle_says_within_three_per_cent() {
        for ticks in (0..40).map(|bit| 1u64 << bit).flat_map(|power| [power, power + power / 3, power * 2 - 1]) {
            let middle = middle(bucket(ticks));
            let off = middle.abs_diff(ticks) as f64 / ticks as f64;
            assert!(off <= 0.035, "{ticks} became {middle}");
        }
        assert!(bucket(u64::MAX) < BUCKETS);
    }

    #[test]
    fn what_threads_added_is_what_is_read_and_blocks_are_used_again() {
        let site = 7;
        let before: i64 = all().iter().map(|block| block[site].counted().1).sum();
        let blocks_before = all().len();
        for _ in 0..5 {
            std::thread::spawn(|| {
                for _ in 0..1000 {
                    here(7).expect("a slot").add(Arg::U64(2));
                }
            })
            .join()
            .expect("the thread ends");
        }
        let after: i64 = all().iter().map(|block| block[site].counted().1).sum();
        assert_eq!(after - before, 10_000);
        assert!(all().len() <= blocks_before + 2, "five threads in turn need one block, beside other tests'");
    }

    #[test]
    fn quantiles_of_a_difference() {
        let slot = Slot::default();
        slot.time(1_000_000);
        let mut before = Tally::default();
        before.add(slot.times().expect("times"));
        for ticks in 1..=100 {
            slot.time(ticks * 10);
        }
        let mut now = Tally::default();
        now.add(slot.times().expect("times"));
        let since = now.since(&before);
        assert_eq!((since.count, since.sum), (100, 50_500));
        assert!((480..=520).contains(&since.quantile(0.5)), "{}", since.quantile(0.5));
        assert!((960..=1040).contains(&since.quantile(0.99)), "{}", since.quantile(0.99));
    }
}
