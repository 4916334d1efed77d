//! Ways of timing a call.

use crate::machine;
use quanta::Clock;
use serde::{Deserialize, Serialize};
use std::hint::{black_box, spin_loop};
use std::time::Duration;

/// How much is measured.
#[derive(Debug, Clone, Copy)]
pub struct Plan {
    /// Single calls for the percentiles.
    pub calls: usize,
    /// From the end of one call to the beginning of the next.
    pub pace: Duration,
    /// Bursts of [`BURST`] calls.
    pub bursts: usize,
    /// Loops of [`LOOP`] calls.
    pub loops: usize,
    /// Messages for the far side.
    pub messages: u64,
}

/// Calls in a burst: what a busy request might log at once.
pub const BURST: usize = 64;
/// Calls in a loop.
pub const LOOP: usize = 10_000;

impl Plan {
    /// Enough for a p99.9 that means something.
    pub const FULL: Plan =
        Plan { calls: 60_000, pace: Duration::from_micros(5), bursts: 1000, loops: 300, messages: 1_000_000 };
    /// To see that it works.
    pub const QUICK: Plan =
        Plan { calls: 10_000, pace: Duration::from_micros(5), bursts: 200, loops: 50, messages: 300_000 };

    /// How many calls [`spread`] makes in all.
    pub fn spread_calls(&self) -> u64 {
        (self.warm_up() + self.calls + self.bursts * BURST) as u64
    }

    fn warm_up(&self) -> usize {
        self.calls / 10 + 100
    }
}

/// What a measurement yields. Times are in nanoseconds.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "shape", rename_all = "snake_case")]
pub enum Numbers {
    /// Single calls, with the clock's cost still in them, and bursts.
    Spread {
        /// Half of the calls took at most this.
        p50: f64,
        /// 99 of a hundred calls took at most this.
        p99: f64,
        /// 999 of a thousand calls took at most this.
        p999: f64,
        /// Reading the clock twice, measured like a call: the median. It is to be taken off the others.
        clock: f64,
        /// One call of a burst, the median over all bursts. The clock does not count here.
        burst: f64,
    },
    /// A call in a loop.
    Repeated {
        /// The quickest loop.
        min: f64,
        /// The median loop.
        median: f64,
    },
    /// As many as go through.
    Flow {
        /// Messages per second from the first call to the end of the flush.
        per_second: f64,
        /// Processor time per message of each thread, by name.
        threads: std::collections::BTreeMap<String, f64>,
    },
}

/// Times single calls at a steady pace, then bursts.
pub fn spread(plan: &Plan, mut call: impl FnMut(u64)) -> Numbers {
    let clock = Clock::new();
    // The call's own code and data, and its library's thread, are warm before anything counts.
    paced(&clock, plan.warm_up(), plan.pace, 1, &mut call);
    let empty = paced(&clock, plan.calls / 4 + 100, plan.pace, 1, |number| {
        black_box(number);
    });
    let single = paced(&clock, plan.calls, plan.pace, 1, &mut call);
    let rest = plan.pace * BURST as u32;
    let bursts = paced(&clock, plan.bursts, rest, BURST as u64, &mut call);
    Numbers::Spread {
        p50: quantile(&single, 0.5),
        p99: quantile(&single, 0.99),
        p999: quantile(&single, 0.999),
        clock: quantile(&empty, 0.5),
        burst: (quantile(&bursts, 0.5) - quantile(&empty, 0.5)).max(0.0) / BURST as f64,
    }
}

/// Times `count` groups of `size` calls, each after a pause that is spent awake: a sleeping caller would measure how
/// the system wakes it. Returns nanoseconds, sorted.
fn paced(clock: &Clock, count: usize, pause: Duration, size: u64, mut call: impl FnMut(u64)) -> Vec<f64> {
    // Filled, so that no page of it is touched for the first time between two calls.
    let mut spans = vec![u64::MAX; count];
    let mut number = 0;
    for span in &mut spans {
        let rested = clock.raw();
        while clock.delta(rested, clock.raw()) < pause {
            spin_loop();
        }
        let start = clock.raw();
        for _ in 0..size {
            call(number);
            number += 1;
        }
        *span = clock.raw().saturating_sub(start);
    }
    sorted(spans.into_iter().map(|ticks| clock.delta_as_nanos(0, ticks) as f64).collect())
}

/// Times loops of [`LOOP`] calls.
pub fn repeated(plan: &Plan, mut call: impl FnMut(u64)) -> Numbers {
    let clock = Clock::new();
    let mut spans = Vec::with_capacity(plan.loops);
    for turn in 0..plan.loops + plan.loops / 10 {
        let start = clock.raw();
        for number in 0..LOOP as u64 {
            call(black_box(number));
        }
        let span = clock.delta_as_nanos(start, clock.raw()) as f64 / LOOP as f64;
        if turn >= plan.loops / 10 {
            spans.push(span);
        }
    }
    let spans = sorted(spans);
    Numbers::Repeated { min: spans.first().copied().unwrap_or(f64::NAN), median: quantile(&spans, 0.5) }
}

/// Calls without a pause and waits for `finish`, which returns when everything is through. The library is set to make
/// the caller wait when it is full, so nothing is lost and the thread behind is never idle.
pub fn flow(plan: &Plan, mut call: impl FnMut(u64), finish: impl FnOnce()) -> Numbers {
    let clock = Clock::new();
    let before = machine::threads();
    let start = clock.raw();
    for number in 0..plan.messages {
        call(number);
    }
    // Threads that end in `finish` are gone from the list afterwards; what they did until here is nearly all of it.
    let near = machine::threads();
    finish();
    let seconds = clock.delta(start, clock.raw()).as_secs_f64();
    let mut after = machine::threads();
    for (name, nanos) in near {
        let entry = after.entry(name).or_insert(nanos);
        *entry = (*entry).max(nanos);
    }
    let used = |(name, nanos): (String, u64)| {
        let nanos = nanos.saturating_sub(before.get(&name).copied().unwrap_or(0));
        (nanos > 0).then(|| (name, nanos as f64 / plan.messages as f64))
    };
    Numbers::Flow { per_second: plan.messages as f64 / seconds, threads: after.into_iter().filter_map(used).collect() }
}

fn sorted(mut values: Vec<f64>) -> Vec<f64> {
    values.sort_by(f64::total_cmp);
    values
}

/// The smallest value that this share of the sorted values does not exceed.
fn quantile(sorted: &[f64], share: f64) -> f64 {
    let at = (sorted.len() as f64 * share).ceil() as usize;
    sorted.get(at.saturating_sub(1)).copied().unwrap_or(f64::NAN)
}

impl Numbers {
    /// The median of several runs, number by number. `None` for no run, or for runs of different shapes.
    pub fn median(runs: &[Numbers]) -> Option<Numbers> {
        let first = runs.first()?;
        let all = |pick: &dyn Fn(&Numbers) -> Option<f64>| -> Option<f64> {
            let values: Option<Vec<f64>> = runs.iter().map(pick).collect();
            Some(quantile(&sorted(values?), 0.5))
        };
        macro_rules! of {
            ($shape:ident . $name:ident) => {
                all(&|numbers| if let Numbers::$shape { $name, .. } = numbers { Some(*$name) } else { None })?
            };
        }
        Some(match first {
            Numbers::Spread { .. } => Numbers::Spread {
                p50: of!(Spread.p50),
                p99: of!(Spread.p99),
                p999: of!(Spread.p999),
                clock: of!(Spread.clock),
                burst: of!(Spread.burst),
            },
            Numbers::Repeated { .. } => Numbers::Repeated { min: of!(Repeated.min), median: of!(Repeated.median) },
            Numbers::Flow { threads, .. } => {
                let used = |name: &String| {
                    // A thread that a short run did not catch working did little in it.
                    let median = all(&|numbers| match numbers {
                        Numbers::Flow { threads, .. } => Some(threads.get(name).copied().unwrap_or(0.0)),
                        _ => None,
                    });
                    median.map(|nanos| (name.clone(), nanos))
                };
                Numbers::Flow { per_second: of!(Flow.per_second), threads: threads.keys().filter_map(used).collect() }
            }
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PLAN: Plan = Plan { calls: 50, pace: Duration::from_micros(20), bursts: 5, loops: 5, messages: 100 };

    #[test]
    fn quantiles_are_values_that_were_measured() {
        let values: Vec<f64> = (1..=1000).map(f64::from).collect();
        assert_eq!((quantile(&values, 0.5), quantile(&values, 0.99), quantile(&values, 0.999)), (500.0, 990.0, 999.0));
        assert_eq!(quantile(&[7.0], 0.001), 7.0);
        assert!(quantile(&[], 0.5).is_nan());
    }

    #[test]
    fn a_call_that_waits_is_seen_to_wait() {
        let wait = Duration::from_micros(50);
        let Numbers::Spread { p50, burst, .. } = spread(&PLAN, |_| std::thread::sleep(wait)) else {
            panic!("another shape")
        };
        assert!(p50 >= 50_000.0 && burst >= 49_000.0, "{p50} {burst}");
    }

    #[test]
    fn calls_are_made_as_often_as_planned() {
        let mut calls = 0;
        let numbers = flow(&PLAN, |_| calls += 1, || ());
        assert_eq!(calls, 100);
        assert!(matches!(numbers, Numbers::Flow { per_second, .. } if per_second > 0.0));
        let mut calls = 0;
        repeated(&PLAN, |_| calls += 1);
        assert_eq!(calls, 5 * LOOP);
        let mut calls = 0;
        spread(&PLAN, |_| calls += 1);
        assert_eq!(calls, PLAN.spread_calls());
    }

    #[test]
    fn the_median_of_runs_is_taken_number_by_number() {
        let run = |min, median| Numbers::Repeated { min, median };
        let runs = [run(1.0, 9.0), run(3.0, 8.0), run(2.0, 7.0)];
        assert_eq!(Numbers::median(&runs), Some(run(2.0, 8.0)));
        let flow = Numbers::Flow { per_second: 1.0, threads: Default::default() };
        assert_eq!(Numbers::median(&[run(1.0, 1.0), flow]), None);
        assert_eq!(Numbers::median(&[]), None);
    }
}
