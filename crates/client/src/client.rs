//! The client: what an application holds, and what it set up.

use crate::arg::Arg;
use crate::desk::{Desk, Outlet, Sieve, shielded};
use crate::engine;
use crate::lane::{Bounds, Lane, Overflow};
use crate::render::Envelope;
use crate::setup::{SenderSetup, Setup};
use crate::site::{self, Kind, Meta, Site};
use crate::stats::{Counters, Report, Stats};
use crate::thread;
use metlog_message::{Fields, Message, Severity, Timestamp, Value};
use metlog_pipeline::{Emit, Method, MethodError};
use std::collections::{BTreeMap, BTreeSet};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError, RwLock};
use std::time::{Duration, Instant};

/// One configuration of a client, from set-up to close. Replaced whole when the client is set up anew.
pub struct Core {
    /// Unique in the process; records carry it.
    pub(crate) number: u32,
    pub(crate) envelope: Envelope,
    pub(crate) overflow: Overflow,
    pub(crate) block_timeout: Duration,
    pub(crate) ring_bytes: usize,
    pub(crate) aggregate: Option<Duration>,
    /// Someone waited in vain; nobody waits again before there is room.
    pub(crate) saturated: AtomicBool,
    pub(crate) pace: Pace,
    pub(crate) stats: Counters,
    pub(crate) sieve: Arc<Sieve>,
    sieves: Vec<Arc<Sieve>>,
    lanes: Vec<Arc<Lane>>,
    disabled_timers: RwLock<BTreeSet<String>>,
    methods: RwLock<BTreeMap<String, Arc<dyn Method>>>,
    /// How often methods were added since: the desk then looks anew who wants to be called by the clock.
    pub(crate) methods_added: AtomicU32,
    active: bool,
    shutdown_timeout: Duration,
    /// The effective configuration, secrets struck out.
    config: Value,
    closed: AtomicBool,
}

static NUMBERS: AtomicU32 = AtomicU32::new(1);

/// The helpers that a method may take the place of.
const HELPERS: [(Severity, &str); 6] = [
    (Severity::Debug, "debug"),
    (Severity::Informational, "info"),
    (Severity::Warning, "warn"),
    (Severity::Error, "error"),
    (Severity::Critical, "critical"),
    (Severity::Alert, "exception"),
];

/// Names that a method may only take with `override`.
const BUILT_IN: [&str; 11] = [
    "debug",
    "info",
    "warn",
    "error",
    "critical",
    "exception",
    "incr",
    "timer",
    "timer_send",
    "metlog",
    "send_message",
];

impl Core {
    /// Opens the senders and starts to serve. Nothing stays open when it fails.
    fn open(mut setup: Setup) -> Result<Arc<Core>, String> {
        let pace = Pace::new(&setup);
        let mut opened = Vec::new();
        for sender in std::mem::take(&mut setup.senders) {
            opened.push(Opened::new(sender)?);
        }
        let active = opened.iter().any(|opened| opened.sender.is_active());
        let mut outlets = Vec::new();
        for Opened { name, sender, pacing, bounds, sieve } in opened {
            let observer = pace.clone();
            let observe = Arc::new(move |took, count| observer.observe(took, count));
            let lane = Lane::start(name, sender, pacing, bounds, observe)?;
            outlets.push(Outlet::new(lane, sieve, pacing, setup.numbered));
        }
        crate::holder::merge_globals(&setup.globals);
        if setup.panics {
            crate::panics::tell_panics();
        }
        let core = Arc::new(Core { active, ..Core::new(setup, pace, &outlets) });
        engine::open(core.clone(), Desk::new(core.clone(), outlets))?;
        Ok(core)
    }

    fn new(setup: Setup, pace: Pace, outlets: &[Outlet]) -> Core {
        Core {
            number: NUMBERS.fetch_add(1, Ordering::Relaxed),
            envelope: setup.envelope,
            overflow: setup.overflow,
            block_timeout: setup.block_timeout,
            ring_bytes: setup.ring_bytes,
            aggregate: setup.aggregate,
            saturated: AtomicBool::new(false),
            pace,
            stats: Counters::default(),
            sieve: Arc::new(Sieve(Mutex::new(setup.filters))),
            sieves: outlets.iter().map(|outlet| outlet.sieve.clone()).collect(),
            lanes: outlets.iter().map(|outlet| outlet.lane.clone()).collect(),
            disabled_timers: RwLock::new(setup.disabled_timers),
            methods: RwLock::new(setup.methods),
            methods_added: AtomicU32::new(0),
            active: false,
            shutdown_timeout: setup.shutdown_timeout,
            config: setup.config,
            closed: AtomicBool::new(false),
        }
    }

    /// What a site does with this client: its flags.
    pub(crate) fn judge(&self, meta: &Meta) -> u64 {
        let disabled = meta.kind == Kind::Timer && !meta.name.is_empty() && self.is_timer_disabled(meta.name);
        if disabled || self.closed.load(Ordering::Relaxed) || !self.wants(meta) {
            return 0;
        }
        let mut flags = site::LIVE;
        if self.overflow == Overflow::Pace || self.in_place_of(meta).is_some() {
            flags |= site::SLOW;
        }
        if self.aggregate.is_some()
            && meta.is_metric()
            && meta.kind != Kind::TimerSend
            && meta.fields.is_empty()
            && !meta.name.is_empty()
        {
            flags |= site::AGGREGATE;
        }
        flags
    }

    fn wants(&self, meta: &Meta) -> bool {
        let open = meta.has("severity") || (meta.kind == Kind::Custom && meta.name.is_empty());
        let (kind, severity) = (meta.type_name(), self.severity_of(meta));
        let passes = |sieve: &Sieve| sieve.decide(kind, severity) != Some(false);
        !self.sieves.is_empty() && (open || passes(&self.sieve) && self.sieves.iter().any(|sieve| passes(sieve)))
    }

    pub(crate) fn severity_of(&self, meta: &Meta) -> Severity {
        match meta.kind {
            Kind::Log(severity) => severity,
            _ => self.envelope.severity,
        }
    }

    pub(crate) fn is_patient(&self) -> bool {
        matches!(self.overflow, Overflow::Block | Overflow::Pace)
    }

    pub(crate) fn is_timer_disabled(&self, name: &str) -> bool {
        let disabled = self.disabled_timers.read().unwrap_or_else(PoisonError::into_inner);
        disabled.contains(name) || disabled.contains("*")
    }

    /// A message with everything the client knows.
    pub(crate) fn message(&self, kind: &str) -> Message {
        Message {
            kind: kind.to_owned(),
            timestamp: Timestamp::now(),
            logger: self.envelope.logger.clone(),
            severity: self.envelope.severity,
            payload: Value::from(""),
            fields: Fields::new(),
            pid: Some(self.envelope.pid.into()),
            hostname: Some(self.envelope.hostname.clone()),
            origin: None,
            extra: Fields::new(),
        }
    }

    fn methods(&self) -> std::sync::RwLockReadGuard<'_, BTreeMap<String, Arc<dyn Method>>> {
        self.methods.read().unwrap_or_else(PoisonError::into_inner)
    }

    /// The method that was configured in the place of the helper a site calls.
    fn in_place_of(&self, meta: &Meta) -> Option<(&'static str, Arc<dyn Method>)> {
        let name = match meta.kind {
            Kind::Log(severity) => HELPERS.iter().find(|(of, _)| *of == severity)?.1,
            Kind::Counter => "incr",
            Kind::Timer | Kind::TimerSend => "timer_send",
            Kind::Custom => "metlog",
        };
        self.methods().get(name).cloned().map(|method| (name, method))
    }

    /// Calls the method that stands in for a helper, if there is one.
    pub(crate) fn call_in_place_of(self: &Arc<Self>, meta: &Meta, args: &[Arg<'_>]) -> bool {
        let Some((name, method)) = self.in_place_of(meta) else { return false };
        let mut fields = Fields::new();
        let (text, rest) = args.split_at(meta.text_args.min(args.len()));
        let what = match meta.kind {
            Kind::Log(_) => ("msg", crate::render::text(meta.text, text)),
            Kind::Custom => ("type", meta.name.to_owned()),
            _ => ("name", meta.name.to_owned()),
        };
        fields.set(what.0, what.1);
        if !matches!(meta.kind, Kind::Log(_))
            && let Some(count) = text.first()
        {
            fields.set("count", count.to_value());
        }
        for (name, value) in meta.fields.iter().zip(rest) {
            fields.set(*name, value.to_value());
        }
        self.run(name, &*method, &fields);
        true
    }

    /// Runs a method that the application does not wait for. Whatever goes wrong in it is told and goes no further.
    fn run(self: &Arc<Self>, name: &str, method: &dyn Method, fields: &Fields) {
        match catch_unwind(AssertUnwindSafe(|| method.call(&Client::of(self.clone()), fields))) {
            Ok(Ok(_)) => {}
            Ok(Err(error)) => eprintln!("metlog: method `{name}`: {error}"),
            Err(_) => eprintln!("metlog: method `{name}` panicked"),
        }
    }

    /// Methods that want to be called by the clock.
    pub(crate) fn intervals(&self) -> Vec<(String, Duration)> {
        self.methods().iter().filter_map(|(name, method)| Some((name.clone(), every(&**method)?))).collect()
    }

    pub(crate) fn interval(&self, name: &str) -> Option<Duration> {
        every(&**self.methods().get(name)?)
    }

    pub(crate) fn call_on_time(self: &Arc<Self>, name: &str) {
        let method = self.methods().get(name).cloned();
        if let Some(method) = method {
            self.run(name, &*method, &Fields::new());
        }
    }

    fn stats(&self) -> Stats {
        Stats::read(&self.stats, self.lanes.iter().map(|lane| lane.counters.read(&lane.name)).collect())
    }

    fn flush(&self, within: Duration) -> Report {
        if self.lanes.is_empty() {
            return Report { complete: true, stats: self.stats() };
        }
        let until = Instant::now() + within;
        let tickets = engine::flush(self.number, until);
        let flushed = tickets.is_some_and(|tickets| {
            // Every lane is waited for, also after one that was too slow: its report must be as fresh.
            self.lanes.iter().zip(tickets).fold(true, |all, (lane, ticket)| lane.wait_flushed(ticket, until) && all)
        });
        let stats = self.stats();
        Report { complete: flushed && stats.lost() == 0, stats }
    }

    fn close(&self, within: Duration) -> Report {
        if self.closed.swap(true, Ordering::Relaxed) {
            let stats = self.stats();
            return Report { complete: stats.lost() == 0 && stats.queued() == 0, stats };
        }
        site::rejudge(self);
        if self.lanes.is_empty() {
            return Report { complete: true, stats: self.stats() };
        }
        let until = Instant::now() + within;
        let reached = engine::close(self.number, until).is_some();
        std::thread::scope(|scope| {
            for lane in &self.lanes {
                scope.spawn(|| lane.close(until));
            }
        });
        let stats = self.stats();
        let spilled: u64 = stats.senders.iter().map(|sender| sender.spilled).sum();
        Report { complete: reached && stats.lost() == 0 && stats.queued() == 0 && spilled == 0, stats }
    }
}

/// A sender that is open while the others are still being opened.
struct Opened {
    name: String,
    sender: Box<dyn metlog_pipeline::Sender>,
    pacing: metlog_pipeline::Pacing,
    bounds: Bounds,
    sieve: Arc<Sieve>,
}

impl Opened {
    fn new(setup: SenderSetup) -> Result<Self, String> {
        let sender = (setup.open)().map_err(|why| format!("sender `{}`: {why}", setup.name))?;
        let pacing = setup.pacing.over(sender.pacing());
        Ok(Opened {
            name: setup.name,
            sender,
            pacing,
            bounds: setup.bounds,
            sieve: Arc::new(Sieve(Mutex::new(setup.filters))),
        })
    }
}

/// Master Log's back-pressure: callers sleep as long as, on average, one message takes to leave.
#[derive(Clone)]
pub(crate) struct Pace {
    nanos: Arc<AtomicU64>,
    longest: Duration,
}

impl Pace {
    fn new(setup: &Setup) -> Self {
        let first = u64::try_from(setup.pace_initial.as_nanos()).unwrap_or(u64::MAX);
        Pace { nanos: Arc::new(AtomicU64::new(first)), longest: setup.pace_max }
    }

    pub fn wait(&self) {
        let pause = Duration::from_nanos(self.nanos.load(Ordering::Relaxed)).min(self.longest);
        if !pause.is_zero() && !engine::is_internal() {
            std::thread::sleep(pause);
        }
    }

    /// A moving average that gives the latest batch a fifth.
    fn observe(&self, took: Duration, count: usize) {
        let sample = took.as_nanos() as f64 / count.max(1) as f64;
        let before = self.nanos.load(Ordering::Relaxed) as f64;
        let mean = if before == 0.0 { sample } else { 0.8 * before + 0.2 * sample };
        self.nanos.store(mean as u64, Ordering::Relaxed);
    }
}

/// A handle on a client. Cloning it costs a reference count; all clones are the same client.
#[derive(Clone)]
pub struct Client(Arc<Inner>);

struct Inner {
    core: RwLock<Arc<Core>>,
    number: AtomicU32,
}

impl std::fmt::Debug for Client {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Client").field("logger", &self.core().envelope.logger).finish_non_exhaustive()
    }
}

impl Client {
    pub(crate) fn of(core: Arc<Core>) -> Self {
        let number = AtomicU32::new(core.number);
        Client(Arc::new(Inner { core: RwLock::new(core), number }))
    }

    /// A client that sends nothing until it is set up; nothing is opened or started for it.
    pub(crate) fn without_sender(logger: &str) -> Self {
        let setup = Setup::new(logger);
        let pace = Pace::new(&setup);
        Client::of(Arc::new(Core::new(setup, pace, &[])))
    }

    /// Opens what was set up.
    pub fn open(setup: Setup) -> Result<Self, crate::Error> {
        Core::open(setup).map(Client::of).map_err(crate::Error::Open)
    }

    /// Sets the client up anew, in place: every holder of this handle uses the new one from the next call on. The old
    /// senders send what they have, within five seconds.
    pub fn setup(&self, setup: Setup) -> Result<Report, crate::Error> {
        let next = Core::open(setup).map_err(crate::Error::Open)?;
        let old = std::mem::replace(&mut *self.0.core.write().unwrap_or_else(PoisonError::into_inner), next.clone());
        self.0.number.store(next.number, Ordering::Relaxed);
        site::replace_default(&old, next);
        Ok(old.close(Duration::from_secs(5)))
    }

    pub(crate) fn core(&self) -> Arc<Core> {
        self.0.core.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// The word of a site that names this client.
    #[inline]
    #[doc(hidden)]
    pub fn word(&self, site: &'static Site) -> u64 {
        let word = site.word();
        if site::client_of(word) == self.0.number.load(Ordering::Relaxed) && site::is_known(word) {
            return word;
        }
        site.known_for(&self.core())
    }

    /// Whether messages go anywhere: false exactly for a client without a sender.
    pub fn is_active(&self) -> bool {
        self.core().active
    }

    /// How long a [`crate::Guard`] may take to send what is left.
    pub fn shutdown_timeout(&self) -> Duration {
        self.core().shutdown_timeout
    }

    /// The default logger.
    pub fn logger(&self) -> String {
        self.core().envelope.logger.clone()
    }

    /// The default severity.
    pub fn severity(&self) -> Severity {
        self.core().envelope.severity
    }

    /// The effective configuration, with secrets struck out.
    pub fn config(&self) -> Value {
        self.core().config.clone()
    }

    /// Sends a ready message, through filters and senders like any other.
    pub fn send(&self, message: &Message) {
        let core = self.core();
        if !core.closed.load(Ordering::Relaxed) && !core.lanes.is_empty() {
            thread::emit_message(&core, message);
        }
    }

    /// A message of this type with the client's defaults for everything else.
    pub fn message(&self, kind: &str) -> Message {
        self.core().message(kind)
    }

    /// Switches a timer off (`*`: all of them), now and for every thread.
    pub fn disable_timer(&self, name: impl Into<String>) {
        self.change_timers(|disabled| {
            disabled.insert(name.into());
        });
    }

    /// Switches a timer on again.
    pub fn enable_timer(&self, name: &str) {
        self.change_timers(|disabled| {
            disabled.remove(name);
        });
    }

    /// Whether a timer of this name would send nothing.
    pub fn is_timer_disabled(&self, name: &str) -> bool {
        self.core().is_timer_disabled(name)
    }

    fn change_timers(&self, change: impl FnOnce(&mut BTreeSet<String>)) {
        let core = self.core();
        change(&mut core.disabled_timers.write().unwrap_or_else(PoisonError::into_inner));
        site::rejudge(&core);
    }

    /// Adds a method. Without `replace`, a name that is taken, by a helper or by another method, is refused.
    pub fn add_method(&self, name: &str, method: Arc<dyn Method>, replace: bool) -> Result<(), String> {
        let core = self.core();
        let mut methods = core.methods.write().unwrap_or_else(PoisonError::into_inner);
        if !replace && is_taken(name, &methods) {
            return Err(format!("the name `{name}` is already in use; say `override` to take its place"));
        }
        methods.insert(name.to_owned(), method);
        drop(methods);
        core.methods_added.fetch_add(1, Ordering::Relaxed);
        site::rejudge(&core);
        Ok(())
    }

    /// What became of every message so far.
    pub fn stats(&self) -> Stats {
        self.core().stats()
    }

    /// Waits until everything called before has left, and says what became of it.
    pub fn flush(&self, within: Duration) -> Report {
        self.core().flush(within)
    }

    /// Sends what there is, within this time, and ends. What cannot be sent goes to the spill file or standard error.
    pub fn shutdown(&self, within: Duration) -> Report {
        self.core().close(within)
    }

    /// Makes the calling thread's ring now, so that its first message is as quick as the others.
    pub fn warm(&self) {
        thread::warm(&self.core());
    }
}

pub(crate) fn is_taken(name: &str, methods: &BTreeMap<String, Arc<dyn Method>>) -> bool {
    BUILT_IN.contains(&name) || methods.contains_key(name)
}

impl Emit for Client {
    fn message(&self, kind: &str) -> Message {
        Client::message(self, kind)
    }

    fn emit(&self, message: Message) {
        self.send(&message);
    }

    fn method(&self, name: &str) -> Option<Arc<dyn Method>> {
        self.core().methods().get(name).cloned()
    }

    fn call(&self, name: &str, args: &Fields) -> Result<Value, MethodError> {
        match self.method(name) {
            Some(method) => method.call(self, args),
            None => {
                let known = self.core().methods().keys().cloned().collect();
                Err(MethodError::NotFound { name: name.to_owned(), known })
            }
        }
    }
}

/// How often a method wants to be called by the clock; a century is as rarely as it gets.
fn every(method: &dyn Method) -> Option<Duration> {
    shielded(None, || method.every()).map(|every| every.min(Duration::from_secs(100 * 365 * 86_400)))
}
