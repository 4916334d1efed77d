//! The background thread: drains the rings, merges by time, and hands each client's desk its records.
//!
//! One for the process, started with the first client. It polls, so that no caller ever makes a system call to wake
//! it; idle, it looks a thousand times a second, which costs a thousandth of a core.

use crate::client::Core;
use crate::clock::{self, Wall};
use crate::desk::Desk;
use crate::harvest::Harvest;
use crate::record::{self, Record};
use crate::site::{self, Site};
use crate::stats::bump;
use metlog_message::Timestamp;
use metlog_message::time::TimestampWriter;
use metlog_ring::Consumer;
use std::cell::Cell;
use std::collections::{BTreeMap, VecDeque};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc;
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError, RwLock};
use std::thread::Thread;
use std::time::{Duration, Instant};

/// How long the thread sleeps when it found nothing.
const IDLE: Duration = Duration::from_millis(1);
/// Records read from one ring before its room is given back.
const STRIDE: u32 = 128;
/// Bytes of large messages that may wait beside the rings.
const ASIDE: usize = 64 * 1024 * 1024;

/// What other threads leave for the background thread.
#[derive(Default)]
struct Inbox {
    rings: Vec<Consumer>,
    orders: Vec<Order>,
    aside: VecDeque<Aside>,
    aside_bytes: usize,
}

/// A record too large for a ring, or from a thread that has none.
struct Aside {
    site: u32,
    record: Vec<u8>,
}

enum Order {
    Open(Box<Desk>),
    /// Take up everything there is, queue it, and say which tickets to wait for.
    Flush(u32, mpsc::Sender<Vec<u64>>),
    Close(u32, mpsc::Sender<Vec<u64>>),
}

static INBOX: Mutex<Inbox> =
    Mutex::new(Inbox { rings: Vec::new(), orders: Vec::new(), aside: VecDeque::new(), aside_bytes: 0 });
/// Whether the inbox holds anything, so that the thread need not lock it to see.
static MAIL: AtomicBool = AtomicBool::new(false);
static THREAD: OnceLock<Option<Thread>> = OnceLock::new();
static CLIENTS: RwLock<BTreeMap<u32, Arc<Core>>> = RwLock::new(BTreeMap::new());

thread_local! {
    static INTERNAL: Cell<bool> = const { Cell::new(false) };
}

/// Marks this thread as one of metlog's own: bridges do not feed back what it logs, and it never waits for itself.
pub(crate) fn mark_internal() {
    INTERNAL.set(true);
}

/// Whether this is one of metlog's own threads.
pub fn is_internal() -> bool {
    INTERNAL.get()
}

fn inbox() -> MutexGuard<'static, Inbox> {
    INBOX.lock().unwrap_or_else(PoisonError::into_inner)
}

fn leave(change: impl FnOnce(&mut Inbox)) {
    change(&mut inbox());
    MAIL.store(true, Ordering::Release);
    wake();
}

/// Gets the thread out of its sleep.
pub(crate) fn wake() {
    if let Some(Some(thread)) = THREAD.get() {
        thread.unpark();
    }
}

/// Takes over the reading end of a new thread's ring.
pub(crate) fn adopt(ring: Consumer) {
    leave(|inbox| inbox.rings.push(ring));
}

/// Takes a record that goes beside the rings.
pub(crate) fn push_aside(core: &Core, site: u32, record: Vec<u8>) {
    leave(|inbox| {
        if inbox.aside_bytes + record.len() > ASIDE {
            core.stats.aside_full.fetch_add(1, Ordering::Relaxed);
            return;
        }
        inbox.aside_bytes += record.len();
        inbox.aside.push_back(Aside { site, record });
    });
}

/// The open client of this number.
pub(crate) fn client(number: u32) -> Option<Arc<Core>> {
    CLIENTS.read().unwrap_or_else(PoisonError::into_inner).get(&number).cloned()
}

/// Starts to serve a client. Starts the thread if it is the first.
pub(crate) fn open(core: Arc<Core>, desk: Desk) -> Result<(), String> {
    CLIENTS.write().unwrap_or_else(PoisonError::into_inner).insert(core.number, core);
    leave(|inbox| inbox.orders.push(Order::Open(Box::new(desk))));
    let started = THREAD.get_or_init(|| {
        let thread = std::thread::Builder::new().name("metlog".into()).spawn(|| Engine::new().run());
        thread.ok().map(|handle| handle.thread().clone())
    });
    match started {
        Some(_) => Ok(()),
        None => Err("metlog's background thread does not start".into()),
    }
}

/// Takes up everything called so far and queues it; returns what to wait for in each lane.
pub(crate) fn flush(number: u32, until: Instant) -> Option<Vec<u64>> {
    ask(until, |reply| Order::Flush(number, reply))
}

/// The same, and stops serving the client.
pub(crate) fn close(number: u32, until: Instant) -> Option<Vec<u64>> {
    CLIENTS.write().unwrap_or_else(PoisonError::into_inner).remove(&number);
    ask(until, |reply| Order::Close(number, reply))
}

fn ask(until: Instant, order: impl FnOnce(mpsc::Sender<Vec<u64>>) -> Order) -> Option<Vec<u64>> {
    let (reply, answer) = mpsc::channel();
    leave(|inbox| inbox.orders.push(order(reply)));
    answer.recv_timeout(until.saturating_duration_since(Instant::now())).ok()
}

struct Engine {
    rings: Vec<Consumer>,
    sites: Vec<&'static Site>,
    desks: BTreeMap<u32, Desk>,
    harvest: Harvest,
    pens: Pens,
}

/// What rendering needs besides the record.
pub(crate) struct Pens {
    pub wall: Wall,
    pub time: TimestampWriter,
}

impl Engine {
    fn new() -> Self {
        let pens = Pens { wall: Wall::new(), time: TimestampWriter::default() };
        Engine { rings: Vec::new(), sites: Vec::new(), desks: BTreeMap::new(), harvest: Harvest::default(), pens }
    }

    fn run(mut self) {
        mark_internal();
        loop {
            let orders = self.collect();
            let moved = self.drain();
            for order in orders {
                self.obey(order);
            }
            self.tend();
            if !moved && !MAIL.load(Ordering::Acquire) {
                std::thread::park_timeout(IDLE);
            }
        }
    }

    /// Empties the inbox. Orders are carried out after the rings were read, so that what was called before an order
    /// was given is in what the order works on.
    fn collect(&mut self) -> Vec<Order> {
        if !MAIL.swap(false, Ordering::AcqRel) {
            return Vec::new();
        }
        let (orders, aside) = {
            let mut inbox = inbox();
            self.rings.append(&mut inbox.rings);
            inbox.aside_bytes = 0;
            (std::mem::take(&mut inbox.orders), std::mem::take(&mut inbox.aside))
        };
        let mut later = Vec::new();
        for order in orders {
            match order {
                // A desk must stand before its first record comes.
                Order::Open(desk) => drop(self.desks.insert(desk.core().number, *desk)),
                order => later.push(order),
            }
        }
        for Aside { site, record } in aside {
            self.serve(site, &record);
        }
        later
    }

    fn obey(&mut self, order: Order) {
        let (number, closing, reply) = match order {
            Order::Open(_) => return,
            Order::Flush(number, reply) => (number, false, reply),
            Order::Close(number, reply) => (number, true, reply),
        };
        self.sites.extend(site::after(self.sites.len()));
        let tickets = self.desks.get_mut(&number).map(|desk| {
            desk.aggregate(&mut self.harvest, &self.sites, Timestamp::now(), true);
            desk.flush()
        });
        if closing {
            self.desks.remove(&number);
        }
        // The asker may have given up waiting.
        let _ = reply.send(tickets.unwrap_or_default());
    }

    /// What is done by the clock: batches that waited long enough, aggregates, methods on an interval.
    fn tend(&mut self) {
        self.pens.wall.keep();
        let mut calls = Vec::new();
        for (number, desk) in &mut self.desks {
            desk.aggregate(&mut self.harvest, &self.sites, Timestamp::now(), false);
            desk.hand_over(false);
            calls.extend(desk.due_methods().into_iter().map(|name| (*number, name)));
        }
        for (number, name) in calls {
            if let Some(core) = client(number) {
                core.call_on_time(&name);
            }
        }
    }

    /// Reads what was in the rings when it began, oldest first over all threads.
    fn drain(&mut self) -> bool {
        let cutoff = clock::ticks();
        let mut rings = std::mem::take(&mut self.rings);
        let mut heads: Vec<u64> = rings.iter_mut().map(|ring| head(ring, cutoff)).collect();
        let mut moved = false;
        while let Some((first, limit)) = oldest(&heads) {
            moved = true;
            if let (Some(ring), Some(head)) = (rings.get_mut(first), heads.get_mut(first)) {
                let next = self.read_while_oldest(ring, limit.min(cutoff));
                *head = if next <= cutoff { next } else { u64::MAX };
            }
        }
        rings.retain_mut(|ring| {
            ring.release();
            !ring.is_finished()
        });
        self.rings = rings;
        moved
    }

    /// Reads one ring up to a time; returns the time of its next record.
    fn read_while_oldest(&mut self, ring: &mut Consumer, limit: u64) -> u64 {
        let mut read = 0u32;
        loop {
            let Some((tag, bytes)) = ring.peek() else {
                ring.release();
                return u64::MAX;
            };
            let ticks = record::ticks_of(bytes);
            if ticks > limit {
                return ticks;
            }
            self.serve(tag, bytes);
            ring.advance();
            read += 1;
            if read.is_multiple_of(STRIDE) {
                ring.release();
            }
        }
    }

    fn serve(&mut self, tag: u32, bytes: &[u8]) {
        let Some(record) = Record::read(bytes) else { return };
        if tag as usize > self.sites.len() {
            self.sites.extend(site::after(self.sites.len()));
        }
        let Some(desk) = self.desks.get_mut(&record.client) else { return };
        bump(&desk.core().stats.taken);
        match tag.checked_sub(1) {
            None => desk.write_ready(record.body),
            Some(at) => {
                if let Some(site) = self.sites.get(at as usize) {
                    desk.write(tag, site, &record, &mut self.pens);
                }
            }
        }
    }
}

/// When a ring's next record was made; the end of time if that is after the cutoff, so that a busy thread cannot keep
/// a round from ending.
fn head(ring: &mut Consumer, cutoff: u64) -> u64 {
    match ring.peek().map(|(_, bytes)| record::ticks_of(bytes)) {
        Some(ticks) if ticks <= cutoff => ticks,
        _ => u64::MAX,
    }
}

/// The ring with the oldest record, and how far it may be read before another one's turn.
fn oldest(heads: &[u64]) -> Option<(usize, u64)> {
    let (mut first, mut second) = ((usize::MAX, u64::MAX), u64::MAX);
    for (at, &head) in heads.iter().enumerate() {
        if head < first.1 {
            second = first.1;
            first = (at, head);
        } else if head < second {
            second = head;
        }
    }
    (first.1 != u64::MAX).then_some((first.0, second))
}
