//! A desk: the background thread's side of one client. Renders records, asks the filters, numbers the messages of each
//! sender and hands full batches to its lane.

use crate::client::Core;
use crate::engine::Pens;
use crate::harvest::Harvest;
use crate::lane::Lane;
use crate::record::Record;
use crate::render::Template;
use crate::site::{Kind, Meta, Site};
use crate::stats::{add, bump};
use metlog_message::{Fields, Lines, Severity, Timestamp, Value, head, wire};
use metlog_pipeline::{Event, Filter, Pacing};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Instant;

/// A chain of filters, asked in order; the first no decides. Shared, because call sites are judged by the threads
/// they run on.
#[derive(Default)]
pub(crate) struct Sieve(pub Mutex<Vec<Box<dyn Filter>>>);

impl Sieve {
    /// The answer for every message of this type and severity, if those decide.
    pub fn decide(&self, kind: &str, severity: Severity) -> Option<bool> {
        let filters = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let mut sure = true;
        for filter in filters.iter() {
            match shielded(None, || filter.decide(kind, severity)) {
                Some(false) => return Some(false),
                Some(true) => {}
                None => sure = false,
            }
        }
        sure.then_some(true)
    }

    /// The answer for one message.
    fn keep(&self, message: &[u8]) -> bool {
        let Ok(head) = head::scan(message, &wire::Limits::NONE) else {
            // Ours are always valid; what a caller made too deep or too wide for the limits is not struck out here.
            return true;
        };
        let mut filters = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        filters.iter_mut().all(|filter| shielded(true, || filter.keep(&Event { head: &head, raw: message })))
    }
}

/// What somebody else's code answers, or this if it panics: it must take neither the background thread with it nor the
/// caller's. A filter lets the message pass then.
pub(crate) fn shielded<T>(otherwise: T, ask: impl FnOnce() -> T) -> T {
    catch_unwind(AssertUnwindSafe(ask)).unwrap_or(otherwise)
}

/// One sender's end of the desk.
pub(crate) struct Outlet {
    pub lane: Arc<Lane>,
    pub sieve: Arc<Sieve>,
    pub pacing: Pacing,
    /// `,"metlog_client":"…","metlog_seq":`, or nothing when the client is told not to number.
    tail: Vec<u8>,
    seq: u64,
    open: Lines,
    opened: Instant,
    /// Drops that the receiver has been told of.
    told: u64,
}

impl Outlet {
    pub fn new(lane: Arc<Lane>, sieve: Arc<Sieve>, pacing: Pacing, numbered: bool) -> Self {
        let tail = if numbered {
            format!(",\"metlog_client\":\"{:016x}\",\"metlog_seq\":", fastrand::u64(..)).into_bytes()
        } else {
            Vec::new()
        };
        Outlet { lane, sieve, pacing, tail, seq: 0, open: Lines::new(), opened: Instant::now(), told: 0 }
    }

    /// Takes a message without its closing brace.
    fn take(&mut self, message: &[u8]) {
        self.take_with(|text| text.extend_from_slice(message));
    }

    /// The same, written in place.
    #[inline]
    fn take_with(&mut self, write: impl FnOnce(&mut Vec<u8>)) {
        if self.open.is_empty() {
            self.opened = Instant::now();
        }
        let (seq, tail) = (self.seq + 1, &self.tail);
        self.open.push_with(|text| {
            write(text);
            if !tail.is_empty() {
                text.extend_from_slice(tail);
                wire::write_u64(text, seq);
            }
            text.push(b'}');
        });
        self.seq = seq;
    }

    fn is_full(&self) -> bool {
        self.open.len() >= self.pacing.messages || self.open.bytes().len() >= self.pacing.bytes
    }

    fn hand_over(&mut self, core: &Core) {
        if self.open.is_empty() {
            return;
        }
        let patient = core.is_patient() && !core.saturated.load(Ordering::Relaxed);
        let before = self.lane.counters.queue_full.load(Ordering::Relaxed);
        // Once per batch: an addition that other cores may see costs more than what it counts.
        add(&self.lane.counters.accepted, self.open.len());
        self.open = self.lane.put(std::mem::take(&mut self.open), patient);
        if patient && self.lane.counters.queue_full.load(Ordering::Relaxed) > before {
            // Waiting was in vain; nobody waits again until there is room.
            core.saturated.store(true, Ordering::Relaxed);
        }
    }
}

/// What the outlets say of a site's messages.
#[derive(Clone, Copy, PartialEq)]
enum Verdict {
    Keep,
    Drop,
    /// Only the message itself can tell.
    Ask,
}

struct Known {
    template: Template,
    verdicts: Vec<Verdict>,
    /// Type or severity are only known per message.
    open: bool,
}

/// See the module.
pub(crate) struct Desk {
    core: Arc<Core>,
    outlets: Vec<Outlet>,
    /// By site number.
    known: Vec<Option<Box<Known>>>,
    scratch: Vec<u8>,
    /// When aggregates were sent last.
    harvested: Instant,
    /// Methods that are called by the clock, with the time of the next call.
    methods: Vec<(Instant, String)>,
    methods_added: u32,
}

impl Desk {
    pub fn new(core: Arc<Core>, outlets: Vec<Outlet>) -> Self {
        let now = Instant::now();
        let methods = core.intervals().into_iter().map(|(name, every)| (now + every, name)).collect();
        Desk { core, outlets, known: Vec::new(), scratch: Vec::new(), harvested: now, methods, methods_added: 0 }
    }

    pub fn core(&self) -> &Core {
        &self.core
    }

    /// Writes a record of a call site.
    pub fn write(&mut self, number: u32, site: &'static Site, record: &Record<'_>, pens: &mut Pens) {
        let at = number as usize;
        if at >= self.known.len() {
            self.known.resize_with(at + 1, || None);
        }
        let Some(entry) = self.known.get_mut(at) else { return };
        let known = entry.get_or_insert_with(|| Box::new(Known::new(&site.meta, &self.core, &self.outlets)));
        if let ([outlet], [Verdict::Keep], false) = (self.outlets.as_mut_slice(), known.verdicts.as_slice(), known.open)
        {
            // The usual case: one sender that wants it needs no copy.
            outlet.take_with(|text| {
                known.template.render(record, &self.core.envelope, &pens.wall, &mut pens.time, text);
            });
            if outlet.is_full() {
                outlet.hand_over(&self.core);
            }
            return;
        }
        self.scratch.clear();
        let found = known.template.render(record, &self.core.envelope, &pens.wall, &mut pens.time, &mut self.scratch);
        let kind = found.kind.unwrap_or(site.meta.type_name());
        let mut shared = None;
        for (outlet, verdict) in self.outlets.iter_mut().zip(&known.verdicts) {
            let verdict = if known.open { judge(outlet, &self.core, kind, found.severity) } else { *verdict };
            offer(outlet, &self.core, verdict, &mut self.scratch, &mut shared);
        }
    }

    /// Writes a message that came as JSON.
    pub fn write_ready(&mut self, json: &[u8]) {
        let Some((b'}', body)) = json.split_last() else { return };
        self.scratch.clear();
        self.scratch.extend_from_slice(body);
        let mut shared = None;
        for outlet in &mut self.outlets {
            offer(outlet, &self.core, Verdict::Ask, &mut self.scratch, &mut shared);
        }
    }

    /// Sends what the slots have gathered, if it is time or `force`d.
    pub fn aggregate(&mut self, harvest: &mut Harvest, sites: &[&'static Site], now: Timestamp, force: bool) {
        if !force && self.core.aggregate.is_none_or(|interval| self.harvested.elapsed() < interval) {
            return;
        }
        self.harvested = Instant::now();
        for mut message in harvest.collect(sites, &self.core) {
            message.timestamp = now;
            bump(&self.core.stats.taken);
            let mut json = Vec::with_capacity(256);
            wire::write(&mut json, &message);
            self.write_ready(&json);
        }
    }

    /// Hands batches to the lanes: all of them, or those that have waited long enough.
    pub fn hand_over(&mut self, all: bool) {
        for at in 0..self.outlets.len() {
            self.tell_drops(at);
            if let Some(outlet) = self.outlets.get_mut(at)
                && (all || outlet.pacing.wait.is_zero() || outlet.opened.elapsed() >= outlet.pacing.wait)
            {
                outlet.hand_over(&self.core);
            }
        }
    }

    /// Hands everything over and asks every sender to flush; the tickets tell when it is done.
    pub fn flush(&mut self) -> Vec<u64> {
        self.hand_over(true);
        self.outlets.iter().map(|outlet| outlet.lane.want_flush()).collect()
    }

    /// The names of methods whose time has come.
    pub fn due_methods(&mut self) -> Vec<String> {
        let now = Instant::now();
        let mut due = Vec::new();
        let added = self.core.methods_added.load(Ordering::Relaxed);
        if added != self.methods_added {
            self.methods_added = added;
            self.methods = self.core.intervals().into_iter().map(|(name, every)| (now + every, name)).collect();
        }
        for (next, name) in &mut self.methods {
            if now >= *next
                && let Some(every) = self.core.interval(name)
            {
                // From now, not from when it was due: after a stop of the machine there is no burst.
                *next = now + every;
                due.push(name.clone());
            }
        }
        due
    }

    /// Tells a receiver, once there is room again, what it did not get. This message passes every filter: it is about
    /// the others.
    fn tell_drops(&mut self, at: usize) {
        let Some(outlet) = self.outlets.get_mut(at) else { return };
        let ring_full = self.core.stats.ring_full.load(Ordering::Relaxed);
        let too_large = self.core.stats.aside_full.load(Ordering::Relaxed);
        let queue_full = outlet.lane.counters.queue_full.load(Ordering::Relaxed);
        let lost = ring_full + too_large + queue_full;
        if lost == outlet.told || !outlet.lane.has_room() {
            return;
        }
        self.core.saturated.store(false, Ordering::Relaxed);
        let news = lost - outlet.told;
        outlet.told = lost;
        let mut message = self.core.message("metlog.dropped");
        message.severity = Severity::Warning;
        message.payload = Value::from(format!("{news} messages were dropped before this one"));
        let totals = [("ring_full", ring_full), ("queue_full", queue_full), ("too_large", too_large)];
        message.fields.set("dropped", news);
        message.fields.set("total", totals.into_iter().collect::<Fields>());
        let mut json = Vec::new();
        wire::write(&mut json, &message);
        json.pop();
        outlet.take(&json);
    }
}

/// Gives a message, still without its closing brace, to an outlet that wants it. `shared` is what the filters of all
/// outlets said of this message: some of them count, so they are asked once.
#[inline]
fn offer(outlet: &mut Outlet, core: &Core, verdict: Verdict, message: &mut Vec<u8>, shared: &mut Option<bool>) {
    let keep = match verdict {
        Verdict::Keep => true,
        Verdict::Drop => false,
        Verdict::Ask => {
            message.push(b'}');
            let keep = *shared.get_or_insert_with(|| core.sieve.keep(message)) && outlet.sieve.keep(message);
            message.pop();
            keep
        }
    };
    if keep {
        outlet.take(message);
        if outlet.is_full() {
            outlet.hand_over(core);
        }
    } else {
        add(&outlet.lane.counters.accepted, 1);
        add(&outlet.lane.counters.filtered, 1);
    }
}

fn judge(outlet: &Outlet, core: &Core, kind: &str, severity: Severity) -> Verdict {
    match (core.sieve.decide(kind, severity), outlet.sieve.decide(kind, severity)) {
        (Some(false), _) | (_, Some(false)) => Verdict::Drop,
        (Some(true), Some(true)) => Verdict::Keep,
        _ => Verdict::Ask,
    }
}

impl Known {
    fn new(meta: &Meta, core: &Core, outlets: &[Outlet]) -> Self {
        let open = meta.has("severity") || (meta.kind == Kind::Custom && meta.name.is_empty());
        let severity = core.severity_of(meta);
        let verdicts = outlets.iter().map(|outlet| judge(outlet, core, meta.type_name(), severity)).collect();
        Known { template: Template::new(meta, &core.envelope), verdicts, open }
    }
}
