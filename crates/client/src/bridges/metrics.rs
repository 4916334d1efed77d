//! A recorder for the `metrics` crate.
//!
//! ```
//! let _metrics = metlog::metrics::init()?;
//! ::metrics::counter!("orders", "shop" => "north").increment(1);
//! # Ok::<(), metlog::metrics::SetRecorderError<metlog::metrics::Recorder>>(())
//! ```
//!
//! | instrument | message | when |
//! | --- | --- | --- |
//! | counter | type `counter`, the sum as payload | every interval, unless it is zero |
//! | gauge | type `gauge`, the latest value as payload, a number | every interval, if it was set |
//! | histogram described in a unit of time | type `timer`, milliseconds | every value at once |
//! | any other histogram | type `histogram`, the value as payload, a number | every value at once |
//!
//! `name` is a field, and so is every label, and `unit` when the instrument was described with one (a timer's is always
//! milliseconds). A label whose name is taken, such as `name`, arrives with a `_` behind it.
//!
//! An increment is one atomic addition, however often it happens: keep the handle that `counter!` returns where that
//! matters, since finding it costs far more. The sums carry no context, having been made in many. A thread of its own
//! sends them, ten seconds apart unless told otherwise, and a last time when the [`Flusher`] goes: let it go before the
//! client's guard, which declaring it later does. What is counted while no sender wants it, for example before there is
//! a client, waits until one does.
//!
//! Values of metlog's own threads are added up but not sent one by one. Beyond 10000 instruments of one kind, new ones
//! count nothing, and standard error says so: a label that never repeats, such as a user's id, must not eat the memory.

use super::is_wanted;
use super::members::Members;
use crate::arg::Arg;
use crate::site::{Kind, Site};
use crate::{Context, thread};
pub use ::metrics::SetRecorderError;
use ::metrics::{
    Counter, CounterFn, Gauge, GaugeFn, Histogram, HistogramFn, Key, KeyName, Metadata, SharedString, Unit,
};
use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::mpsc::{self, RecvTimeoutError};
use std::sync::{Arc, OnceLock, PoisonError, RwLock};
use std::thread::JoinHandle;
use std::time::Duration;

/// Seconds between two sums, as statsd has it.
const INTERVAL: Duration = Duration::from_secs(10);
/// Instruments of one kind.
const MOST: usize = 10_000;
/// Messages sent in one go, and the time in which the background thread takes them up.
const STRIDE: usize = 256;
const PAUSE: Duration = Duration::from_millis(1);

static COUNTER: Site = open_site!(Kind::Counter, "", &["name", "rate", "fields"], "");
static TIMER: Site = open_site!(Kind::TimerSend, "", &["name", "rate", "fields"], "");
static GAUGE: Site = open_site!(Kind::Custom, "gauge", &["payload", "name", "fields"], "");
static HISTOGRAM: Site = open_site!(Kind::Custom, "histogram", &["payload", "name", "fields"], "");

/// Makes a new recorder the program's, and sends its sums every ten seconds until the returned value goes.
///
/// # Errors
/// The program has a recorder already.
pub fn init() -> Result<Flusher, SetRecorderError<Recorder>> {
    recorder().init(INTERVAL)
}

/// A recorder that nobody knows yet.
#[must_use]
pub fn recorder() -> Recorder {
    Recorder::default()
}

/// Gives out the instruments. Clones are the same recorder.
#[derive(Clone, Default)]
pub struct Recorder(Arc<Instruments>);

#[derive(Default)]
struct Instruments {
    counters: Shelf<Sum>,
    gauges: Shelf<Latest>,
    histograms: Shelf<Values>,
}

impl std::fmt::Debug for Recorder {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Recorder").finish_non_exhaustive()
    }
}

impl Recorder {
    /// Makes this the program's recorder, and sends its sums at this interval until the returned value goes.
    ///
    /// # Errors
    /// The program has a recorder already.
    pub fn init(self, interval: Duration) -> Result<Flusher, SetRecorderError<Recorder>> {
        ::metrics::set_global_recorder(self.clone())?;
        Ok(self.every(interval))
    }

    /// Sends the sums at this interval until the returned value goes; for recorders that are part of a stack.
    pub fn every(&self, interval: Duration) -> Flusher {
        let (stop, stopped) = mpsc::channel::<()>();
        let recorder = self.clone();
        let thread = std::thread::Builder::new().name("metlog-metrics".into()).spawn(move || {
            while stopped.recv_timeout(interval) == Err(RecvTimeoutError::Timeout) {
                recorder.flush();
            }
        });
        if let Err(error) = &thread {
            eprintln!("metlog: no thread to send metrics, sums go out only at the end: {error}");
        }
        Flusher { recorder: self.clone(), clock: thread.ok().map(|thread| (stop, thread)) }
    }

    /// Sends what was added up since the last time. Takes a millisecond per 256 messages: all at once, they would not fit
    /// the thread's ring.
    pub fn flush(&self) {
        let _nobody = Context::default().enter();
        if is_wanted(&COUNTER) {
            self.0.counters.each(Sum::send);
        }
        if is_wanted(&GAUGE) {
            self.0.gauges.each(Latest::send);
        }
    }
}

/// Sends a recorder's sums by the clock, and what is left when it goes.
#[must_use = "the sums are sent until this value goes; bind it to a name (`_metrics`, not `_`)"]
#[derive(Debug)]
pub struct Flusher {
    recorder: Recorder,
    clock: Option<(mpsc::Sender<()>, JoinHandle<()>)>,
}

impl Flusher {
    /// The recorder.
    pub fn recorder(&self) -> &Recorder {
        &self.recorder
    }
}

impl Drop for Flusher {
    fn drop(&mut self) {
        if let Some((stop, thread)) = self.clock.take() {
            drop(stop);
            // It sends for others; whatever made it panic has been printed.
            let _ = thread.join();
        }
        self.recorder.flush();
    }
}

/// What an instrument is called.
struct Label {
    key: Key,
    site: &'static Site,
    unit: Arc<OnceLock<Unit>>,
    /// The labels as JSON, before and after the unit became known.
    plain: String,
    with_unit: OnceLock<String>,
}

impl Label {
    fn new(key: &Key, site: &'static Site, unit: Arc<OnceLock<Unit>>) -> Self {
        Label { plain: fields(key, site, None), key: key.clone(), site, unit, with_unit: OnceLock::new() }
    }

    fn name(&self) -> Arg<'_> {
        Arg::Str(self.key.name())
    }

    fn fields(&self) -> Arg<'_> {
        Arg::Json(match self.unit.get() {
            Some(unit) => self.with_unit.get_or_init(|| fields(&self.key, self.site, Some(unit))),
            None => &self.plain,
        })
    }
}

fn fields(key: &Key, site: &'static Site, unit: Option<&Unit>) -> String {
    let mut members = Members::default();
    members.reset(site);
    for label in key.labels() {
        members.put_str(label.key(), label.value());
    }
    if let Some(unit) = unit {
        members.put_str("unit", unit.as_str());
    }
    members.finish().to_owned()
}

/// Instruments of one kind, and the units they were described with.
struct Shelf<T> {
    instruments: RwLock<HashMap<Key, Arc<T>>>,
    units: RwLock<HashMap<String, Arc<OnceLock<Unit>>>>,
    full: AtomicBool,
}

impl<T> Default for Shelf<T> {
    fn default() -> Self {
        Shelf { instruments: RwLock::default(), units: RwLock::default(), full: AtomicBool::new(false) }
    }
}

impl<T> Shelf<T> {
    fn get(&self, key: &Key, make: impl FnOnce(Arc<OnceLock<Unit>>) -> T) -> Option<Arc<T>> {
        if let Some(found) = self.instruments.read().unwrap_or_else(PoisonError::into_inner).get(key) {
            return Some(found.clone());
        }
        let unit = self.unit(key.name())?;
        let mut instruments = self.instruments.write().unwrap_or_else(PoisonError::into_inner);
        if instruments.len() >= MOST && !instruments.contains_key(key) {
            self.complain(key.name());
            return None;
        }
        Some(instruments.entry(key.clone()).or_insert_with(|| Arc::new(make(unit))).clone())
    }

    /// Where the unit of this name is or will be. Shared, because a description may come after the first use.
    fn unit(&self, name: &str) -> Option<Arc<OnceLock<Unit>>> {
        let mut units = self.units.write().unwrap_or_else(PoisonError::into_inner);
        if let Some(unit) = units.get(name) {
            return Some(unit.clone());
        }
        if units.len() >= MOST {
            self.complain(name);
            return None;
        }
        Some(units.entry(name.to_owned()).or_default().clone())
    }

    fn describe(&self, name: &KeyName, unit: Option<Unit>) {
        if let (Some(unit), Some(place)) = (unit, self.unit(name.as_str())) {
            // Of several descriptions the first one stays.
            let _ = place.set(unit);
        }
    }

    fn complain(&self, name: &str) {
        if !self.full.swap(true, Ordering::Relaxed) {
            eprintln!("metlog: {MOST} metrics of one kind; `{name}` and other new ones count nothing");
        }
    }

    fn each(&self, send: impl Fn(&T) -> bool) {
        // Copied out, so that nobody waits for a lock while a message waits for room in the ring.
        let all: Vec<Arc<T>> = {
            let instruments = self.instruments.read().unwrap_or_else(PoisonError::into_inner);
            instruments.values().cloned().collect()
        };
        for (at, _) in all.iter().filter(|instrument| send(instrument)).enumerate() {
            if at % STRIDE == STRIDE - 1 {
                std::thread::sleep(PAUSE);
            }
        }
    }
}

/// A counter.
struct Sum {
    label: Label,
    pending: AtomicU64,
    /// The highest that `absolute` said.
    seen: AtomicU64,
}

impl CounterFn for Sum {
    fn increment(&self, value: u64) {
        self.pending.fetch_add(value, Ordering::Relaxed);
    }

    /// What it grew since the last time is added; a lower value came late and adds nothing.
    fn absolute(&self, value: u64) {
        let before = self.seen.fetch_max(value, Ordering::Relaxed);
        self.pending.fetch_add(value.saturating_sub(before), Ordering::Relaxed);
    }
}

impl Sum {
    /// Whether there was anything to send.
    fn send(&self) -> bool {
        let sum = self.pending.swap(0, Ordering::Relaxed);
        if sum == 0 {
            return false;
        }
        let (name, fields) = (self.label.name(), self.label.fields());
        thread::emit(&COUNTER, COUNTER.word(), [Arg::U64(sum), name, Arg::F64(1.0), fields]);
        true
    }
}

/// A gauge.
struct Latest {
    label: Label,
    /// An `f64`.
    bits: AtomicU64,
    is_new: AtomicBool,
}

impl Latest {
    fn change(&self, next: impl Fn(f64) -> f64) {
        let change = |bits| Some(next(f64::from_bits(bits)).to_bits());
        // The closure always has a next value.
        let _ = self.bits.fetch_update(Ordering::Relaxed, Ordering::Relaxed, change);
        self.is_new.store(true, Ordering::Release);
    }

    /// Whether there was anything to send.
    fn send(&self) -> bool {
        if !self.is_new.swap(false, Ordering::Acquire) {
            return false;
        }
        let value = Arg::F64(f64::from_bits(self.bits.load(Ordering::Relaxed)));
        thread::emit(&GAUGE, GAUGE.word(), [value, self.label.name(), self.label.fields()]);
        true
    }
}

impl GaugeFn for Latest {
    fn increment(&self, value: f64) {
        self.change(|now| now + value);
    }

    fn decrement(&self, value: f64) {
        self.change(|now| now - value);
    }

    fn set(&self, value: f64) {
        self.change(|_| value);
    }
}

/// A histogram.
struct Values {
    label: Label,
    /// The same for when it turns out to be a timer, which has another set of reserved names and no unit.
    as_timer: Label,
}

impl HistogramFn for Values {
    fn record(&self, value: f64) {
        match self.label.unit.get().and_then(in_millis) {
            Some(factor) if is_wanted(&TIMER) => {
                let (name, fields) = (self.as_timer.name(), self.as_timer.fields());
                thread::emit(&TIMER, TIMER.word(), [Arg::F64(value * factor), name, Arg::F64(1.0), fields]);
            }
            None if is_wanted(&HISTOGRAM) => {
                let value = Arg::F64(value);
                thread::emit(&HISTOGRAM, HISTOGRAM.word(), [value, self.label.name(), self.label.fields()]);
            }
            _ => {}
        }
    }
}

/// How many milliseconds one of this unit is.
fn in_millis(unit: &Unit) -> Option<f64> {
    Some(match unit {
        Unit::Seconds => 1e3,
        Unit::Milliseconds => 1.0,
        Unit::Microseconds => 1e-3,
        Unit::Nanoseconds => 1e-6,
        _ => return None,
    })
}

impl ::metrics::Recorder for Recorder {
    fn describe_counter(&self, key: KeyName, unit: Option<Unit>, _: SharedString) {
        self.0.counters.describe(&key, unit);
    }

    fn describe_gauge(&self, key: KeyName, unit: Option<Unit>, _: SharedString) {
        self.0.gauges.describe(&key, unit);
    }

    fn describe_histogram(&self, key: KeyName, unit: Option<Unit>, _: SharedString) {
        self.0.histograms.describe(&key, unit);
    }

    fn register_counter(&self, key: &Key, _: &Metadata<'_>) -> Counter {
        let make =
            |unit| Sum { label: Label::new(key, &COUNTER, unit), pending: AtomicU64::new(0), seen: AtomicU64::new(0) };
        self.0.counters.get(key, make).map_or_else(Counter::noop, Counter::from_arc)
    }

    fn register_gauge(&self, key: &Key, _: &Metadata<'_>) -> Gauge {
        let make = |unit| Latest {
            label: Label::new(key, &GAUGE, unit),
            bits: AtomicU64::new(0),
            is_new: AtomicBool::new(false),
        };
        self.0.gauges.get(key, make).map_or_else(Gauge::noop, Gauge::from_arc)
    }

    fn register_histogram(&self, key: &Key, _: &Metadata<'_>) -> Histogram {
        let make = |unit| Values {
            label: Label::new(key, &HISTOGRAM, unit),
            as_timer: Label::new(key, &TIMER, Arc::default()),
        };
        self.0.histograms.get(key, make).map_or_else(Histogram::noop, Histogram::from_arc)
    }
}
