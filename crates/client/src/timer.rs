//! Timers: measure to the end of a scope.

use crate::arg::Arg;
use crate::site::{self, Site};
use crate::{clock, engine, slots, thread};

/// A running timer. It sends its message when it goes, also when that is because of a panic.
#[must_use = "the timer stops when this value goes; bind it to a name (`_timer`, not `_`)"]
#[derive(Debug, Default)]
pub struct Timer(Option<Running>);

struct Running {
    site: &'static Site,
    word: u64,
    start: u64,
    /// The values of the call's fields, ready for the record.
    fields: Vec<u8>,
}

impl std::fmt::Debug for Running {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Running").field("name", &self.site.meta.name).finish_non_exhaustive()
    }
}

impl Timer {
    /// A timer that sends nothing: disabled, or not sampled.
    #[inline(always)]
    pub fn off() -> Self {
        Timer(None)
    }

    /// Starts. The macros call it; the first value is the place of the time to come.
    #[inline]
    #[doc(hidden)]
    pub fn start<const RATE: usize, const N: usize>(site: &'static Site, word: u64, args: [Arg<'_>; N]) -> Self {
        if !sampled(args.get(RATE)) {
            return Timer(None);
        }
        let mut fields = Vec::new();
        if N > 1 {
            let values = args.get(1..).unwrap_or_default();
            fields.resize(values.iter().map(Arg::size).sum(), 0);
            values.iter().fold(fields.as_mut_slice(), |place, value| value.put(place));
        }
        let word = if site::is_known(word) { word } else { site.known() };
        if word & site::LIVE == 0 {
            return Timer(None);
        }
        Timer(Some(Running { site, word, start: clock::ticks(), fields }))
    }

    /// Keeps the timer unless the client has disabled this name, which its call site could not know.
    #[doc(hidden)]
    pub fn named(mut timer: Self, name: &str) -> Self {
        let client = timer.0.as_ref().and_then(|running| engine::client(site::client_of(running.word)));
        if client.is_some_and(|core| core.is_timer_disabled(name)) {
            timer.0 = None;
        }
        timer
    }

    /// Whether it will send a message.
    pub fn is_running(&self) -> bool {
        self.0.is_some()
    }

    /// Stops now. Returns the milliseconds that the message says, or `None` if there is no message.
    pub fn stop(mut self) -> Option<u64> {
        self.0.take().map(|running| clock::millis(running.stop()))
    }

    /// Stops without a message.
    pub fn cancel(mut self) {
        self.0 = None;
    }
}

impl Running {
    #[inline]
    fn stop(self) -> u64 {
        // The counter cannot run backwards on one core, but cores may be a few ticks apart.
        let ticks = clock::ticks().saturating_sub(self.start);
        if self.word & site::AGGREGATE != 0
            && let Some(slot) = slots::here(site::site_of(self.word))
        {
            slot.time(ticks);
        } else if self.fields.is_empty() {
            thread::emit(self.site, self.word, [Arg::Ticks(ticks)]);
        } else {
            thread::emit(self.site, self.word, [Arg::Ticks(ticks), Arg::Raw(&self.fields)]);
        }
        ticks
    }
}

impl Drop for Timer {
    #[inline]
    fn drop(&mut self) {
        if let Some(running) = self.0.take() {
            running.stop();
        }
    }
}

/// Counts, or adds to the thread's slot. The first value is the count; `RATE` is the place of the sampling rate.
#[inline]
pub fn count<const RATE: usize, const N: usize>(site: &'static Site, word: u64, args: [Arg<'_>; N]) {
    if N == 1 && word & site::AGGREGATE != 0 {
        if let (Some(slot), Some(count)) = (slots::here(site::site_of(word)), args.first()) {
            slot.add(*count);
        }
        return;
    }
    // A ready timer's rate is only recorded.
    if site.meta.kind == site::Kind::Counter && !sampled(args.get(RATE)) {
        return;
    }
    thread::emit(site, word, args);
}

/// Counts when it goes: what `#[incr_count]` puts in front of a body. The values are taken at once, since the body may
/// move what they were made of.
pub struct Counting(Option<(&'static Site, u64, Vec<u8>)>);

impl Counting {
    /// Counts nothing.
    #[inline(always)]
    pub fn off() -> Self {
        Counting(None)
    }

    /// Samples now, and keeps the values.
    #[inline]
    pub fn start<const RATE: usize, const N: usize>(site: &'static Site, word: u64, args: [Arg<'_>; N]) -> Self {
        if !sampled(args.get(RATE)) {
            return Counting(None);
        }
        let mut values = vec![0; args.iter().map(Arg::size).sum()];
        args.iter().fold(values.as_mut_slice(), |place, value| value.put(place));
        Counting(Some((site, word, values)))
    }
}

impl Drop for Counting {
    fn drop(&mut self) {
        let Some((site, word, values)) = self.0.take() else { return };
        match Arg::take(&values) {
            // Alone it can be added up.
            Some((count, [])) => self::count::<{ usize::MAX }, 1>(site, word, [count]),
            _ => thread::emit(site, word, [Arg::Raw(&values)]),
        }
    }
}

/// Whether this call is one of those that are sent. A rate of one or above, or none, sends all; zero sends none.
#[inline(always)]
fn sampled(rate: Option<&Arg<'_>>) -> bool {
    match rate.and_then(Arg::as_f64) {
        Some(rate) if rate < 1.0 => fastrand::f64() < rate,
        _ => true,
    }
}

/// Runs a closure inside a timer of a client's choosing: for names known at run time.
pub fn measure<T>(name: &str, work: impl FnOnce() -> T) -> T {
    let _timer = crate::__timer!({} name);
    work()
}

/// The same for a future: measures from the first poll to the end.
pub async fn measure_async<F: Future>(name: &str, work: F) -> F::Output {
    let _timer = crate::__timer!({} name);
    work.await
}
