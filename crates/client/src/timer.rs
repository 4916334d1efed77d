//! Timers: measure to the end of a scope.

use crate::arg::Arg;
use crate::site::{self, Site};
use crate::{clock, engine, slots, thread};

/// A running timer. It sends its message when it goes, also when that is because of a panic.
///
/// Flat and zero when it is off, so that a disabled timer dissolves into nothing where it is inlined.
#[must_use = "the timer stops when this value goes; bind it to a name (`_timer`, not `_`)"]
#[derive(Default)]
pub struct Timer {
    site: Option<&'static Site>,
    word: u64,
    start: u64,
    /// The values of the call's fields, ready for the record.
    fields: Option<Box<[u8]>>,
}

impl std::fmt::Debug for Timer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Timer").field("name", &self.site.map(|site| site.meta.name)).finish_non_exhaustive()
    }
}

impl Timer {
    /// A timer that sends nothing: disabled, or not sampled.
    #[inline(always)]
    pub fn off() -> Self {
        Timer { site: None, word: 0, start: 0, fields: None }
    }

    /// Starts. The macros call it; the first value is the place of the time to come.
    #[inline]
    #[doc(hidden)]
    pub fn start<const RATE: usize, const N: usize>(site: &'static Site, word: u64, args: [Arg<'_>; N]) -> Self {
        if !sampled(args.get(RATE)) {
            return Timer::off();
        }
        let word = if site::is_known(word) { word } else { site.known() };
        if word & site::LIVE == 0 {
            return Timer::off();
        }
        let fields = (N > 1).then(|| {
            let values = args.get(1..).unwrap_or_default();
            let mut fields = vec![0; values.iter().map(Arg::size).sum()].into_boxed_slice();
            values.iter().fold(&mut *fields, |place, value| value.put(place));
            fields
        });
        Timer { site: Some(site), word, start: clock::ticks(), fields }
    }

    /// Keeps the timer unless the client has disabled this name, which its call site could not know.
    #[doc(hidden)]
    pub fn named(mut timer: Self, name: &str) -> Self {
        let client = timer.site.and_then(|_| engine::client(site::client_of(timer.word)));
        if client.is_some_and(|core| core.is_timer_disabled(name)) {
            timer.site = None;
        }
        timer
    }

    /// Whether it will send a message.
    pub fn is_running(&self) -> bool {
        self.site.is_some()
    }

    /// Stops now. Returns the milliseconds that the message says, or `None` if there is no message.
    pub fn stop(mut self) -> Option<u64> {
        let site = self.site.take()?;
        Some(clock::millis(finish(site, self.word, self.start, self.fields.take())))
    }

    /// Stops without a message.
    pub fn cancel(mut self) {
        self.site = None;
    }
}

/// Takes the time and sends it; returns it in ticks.
#[inline(never)]
fn finish(site: &'static Site, word: u64, start: u64, fields: Option<Box<[u8]>>) -> u64 {
    let now = clock::ticks();
    // The counter cannot run backwards on one core, but cores may be a few ticks apart.
    let ticks = now.saturating_sub(start);
    if word & site::AGGREGATE != 0
        && let Some(slot) = slots::here(site::site_of(word))
    {
        slot.time(ticks);
    } else if let Some(fields) = fields {
        thread::emit_at(site, word, now, [Arg::Ticks(ticks), Arg::Raw(&fields)]);
    } else {
        thread::emit_at(site, word, now, [Arg::Ticks(ticks)]);
    }
    ticks
}

impl Drop for Timer {
    #[inline(always)]
    fn drop(&mut self) {
        if let Some(site) = self.site {
            finish(site, self.word, self.start, self.fields.take());
        }
    }
}

/// Counts, or adds to the thread's slot. The first value is the count; `RATE` is the place of the sampling rate.
#[inline(always)]
pub fn count<const RATE: usize, const N: usize, H: Fn()>(site: &'static Site, word: u64, args: [Arg<'_>; N], here: H) {
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
    thread::emit_here(site, word, args, here);
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
            Some((count, [])) => self::count::<{ usize::MAX }, 1, _>(site, word, [count], || ()),
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
