//! Reading the slots: aggregated counters and timers become one message each per interval.

use crate::client::Core;
use crate::clock;
use crate::site::{self, Kind, Site};
use crate::slots::{self, Slot, Tally};
use metlog_message::{Message, Value};
use std::collections::HashMap;

/// What was read so far, so that the next reading gives the difference. One for the process: slots outlive clients, and
/// what was counted just before a call site changed hands is sent by its new client and not lost.
#[derive(Default)]
pub(crate) struct Harvest {
    counts: HashMap<usize, Count>,
    times: HashMap<usize, Tally>,
}

#[derive(Clone, Copy, Default, PartialEq)]
struct Count {
    calls: u64,
    whole: i64,
    fraction: f64,
}

impl Harvest {
    /// One message per counter and timer of this client that was used since the last reading. Whether the site still
    /// adds up does not matter: a client that is closing has switched its sites off already.
    pub fn collect(&mut self, sites: &[&'static Site], core: &Core) -> Vec<Message> {
        let (mut messages, blocks) = (Vec::new(), slots::all());
        for (at, site) in sites.iter().enumerate() {
            if site::client_of(site.word()) != core.number || !site.meta.is_metric() {
                continue;
            }
            let number = at + 1;
            let message = match site.meta.kind {
                Kind::Timer => self.timer(number, &blocks, core),
                _ => self.counter(number, &blocks, core),
            };
            messages.extend(message.map(|message| message.field("name", site.meta.name).field("rate", 1.0)));
        }
        messages
    }

    fn counter(&mut self, number: usize, blocks: &[&[Slot]], core: &Core) -> Option<Message> {
        let mut now = Count::default();
        for (calls, whole, fraction) in of_site(blocks, number).map(Slot::counted) {
            now.calls = now.calls.wrapping_add(calls);
            now.whole = now.whole.wrapping_add(whole);
            now.fraction += fraction;
        }
        let before = self.counts.insert(number, now).unwrap_or_default();
        let calls = now.calls.wrapping_sub(before.calls);
        if calls == 0 {
            return None;
        }
        let whole = now.whole.wrapping_sub(before.whole);
        let fraction = now.fraction - before.fraction;
        let sum = if fraction == 0.0 { whole.to_string() } else { (whole as f64 + fraction).to_string() };
        Some(core.message("counter").payload(sum).field("calls", calls))
    }

    fn timer(&mut self, number: usize, blocks: &[&[Slot]], core: &Core) -> Option<Message> {
        let mut now = Tally::default();
        of_site(blocks, number).filter_map(Slot::times).for_each(|times| now.add(times));
        let since = match self.times.get(&number) {
            Some(before) => now.since(before),
            None => now.clone(),
        };
        if since.count == 0 {
            return None;
        }
        self.times.insert(number, now);
        let ms = |ticks: u64| Value::from(clock::nanos(ticks) as f64 / 1e6);
        let mean = clock::nanos(since.sum) as f64 / 1e6 / since.count as f64;
        Some(
            core.message("timer")
                .payload(mean.to_string())
                .field("count", since.count)
                .field("mean", mean)
                .field("p50", ms(since.quantile(0.5)))
                .field("p90", ms(since.quantile(0.9)))
                .field("p99", ms(since.quantile(0.99)))
                .field("max", ms(since.quantile(1.0))),
        )
    }
}

/// Each thread's slot of a site.
fn of_site<'a>(blocks: &[&'a [Slot]], number: usize) -> impl Iterator<Item = &'a Slot> {
    blocks.iter().filter_map(move |block| block.get(number))
}
