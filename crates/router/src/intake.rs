//! From an input's bytes to the spool: find the head, let the editors have it, ask who wants it, copy what somebody wants,
//! once.

use crate::accounting::{InputAccount, InputCounts};
use crate::clients::claims::{Awaited, Claim};
use crate::clients::{Clients, Seen};
use crate::deadletters::{DeadLetters, Letter};
use crate::deliver::Clock;
use crate::edits::{Edits, Hand};
use crate::forwards::{Collision, Forwards, Hop};
use crate::routes::{Judge, Routes};
use crate::tail::Tail;
use memchr::memchr2;
use metlog_message::batch::bit;
use metlog_message::{Batch, Head, Wants, head, wire};
use metlog_pipeline::{Away, Durable, Forwarded, Full, Intake, Looping, Reason, Receipt, Rejected};
use metlog_spool::{AppendError, Disk, Fs, Spool};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Acquire, Ordering::Relaxed, Ordering::Release};
use std::sync::{Arc, Mutex, PoisonError, RwLock};
use std::time::{Duration, Instant};

/// A type or logger beyond this many bytes is no name.
pub(crate) const NAME: usize = 128;

/// What all inputs share. Its spool is on a disk, or on one that a simulation plays.
pub struct Floor<F: Fs = Disk> {
    /// Where everything goes.
    pub spool: Arc<Spool<F>>,
    /// Which spool that is, for whoever keeps what several of them hold.
    pub identity: u64,
    /// What clients have sent so far.
    pub clients: Clients,
    /// What other routers have forwarded so far.
    pub forwards: Forwards,
    /// What deliverers go by between two tries.
    pub clock: Clock,
    /// Where goes what cannot be used.
    pub dead: DeadLetters,
    /// Whoever is looking on.
    pub tail: Tail,
    /// What a message may be.
    pub limits: wire::Limits,
    /// Messages accepted by all inputs together.
    pub accepted: AtomicU64,
    /// Of those, what each slot wants, counted here and compared with what the spool and the deliverers count.
    pub wanted: [AtomicU64; 64],
    /// Why there was no room the last time somebody asked; `None`: there was.
    pub refusing: Mutex<Option<String>>,
    refuses: AtomicBool,
    rules: RwLock<Rules>,
    /// Grows with every change of the routes, so that inputs need not take the lock to see that nothing changed.
    generation: AtomicU64,
}

/// What is asked about a message, changed as one.
#[derive(Clone)]
struct Rules {
    routes: Arc<Routes>,
    edits: Option<Arc<Edits>>,
}

impl<F: Fs> Floor<F> {
    /// A floor without inputs.
    pub fn new(spool: Arc<Spool<F>>, dead: DeadLetters, limits: wire::Limits, routes: Routes) -> Self {
        Floor {
            spool,
            identity: 0,
            clients: Clients::default(),
            forwards: Forwards::default(),
            clock: Clock::default(),
            dead,
            tail: Tail::default(),
            limits,
            accepted: AtomicU64::new(0),
            wanted: std::array::from_fn(|_| AtomicU64::new(0)),
            refusing: Mutex::default(),
            refuses: AtomicBool::new(false),
            rules: RwLock::new(Rules { routes: Arc::new(routes), edits: None }),
            generation: AtomicU64::new(0),
        }
    }

    fn rules(&self) -> Rules {
        self.rules.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// The routes now.
    pub fn routes(&self) -> Arc<Routes> {
        self.rules().routes
    }

    /// The editors now.
    pub fn edits(&self) -> Option<Arc<Edits>> {
        self.rules().edits
    }

    fn refuse(&self, why: Option<String>) {
        *self.refusing.lock().unwrap_or_else(PoisonError::into_inner) = why;
    }

    /// New routes and editors for whatever comes from now on. What is in the spool stays as it was judged.
    pub fn set_rules(&self, routes: Routes, edits: Option<Arc<Edits>>) {
        *self.rules.write().unwrap_or_else(PoisonError::into_inner) = Rules { routes: Arc::new(routes), edits };
        self.generation.fetch_add(1, Release);
    }
}

/// One connection's way in.
pub struct Door<F: Fs = Disk> {
    floor: Arc<Floor<F>>,
    account: Arc<InputAccount>,
    input: u32,
    from: Arc<str>,
    routes: Arc<Routes>,
    generation: u64,
    judge: Judge,
    pending: Batch,
    /// Whether `pending` was taken from those the spool has done with.
    has_memory: bool,
    counts: InputCounts,
    receipt: Receipt,
    /// Pushed since the last commit.
    pushed: usize,
    /// What is kept of what was refused, beside `receipt.rejected`.
    refused: Vec<Refused>,
    scratch: Vec<u8>,
    /// Past the editors, if there are any.
    hand: Option<Hand>,
    /// What they made of a message.
    edited: Vec<u8>,
    now: Instant,
    /// Whether somebody looks on, as of the first push of this batch.
    watched: bool,
    /// All that was committed here has lower ids.
    committed: u64,
    again: Option<Again>,
    /// Others take from the same queue.
    part: bool,
    /// Numbers of this batch are noted.
    claim: Option<Claim>,
    /// Claims that were dropped before this batch.
    dropped: u64,
    /// What was known already since [`Intake::durable`] was last asked is safe when this is.
    awaited: Mutex<Option<Awaited>>,
    /// The messages of this batch come from another router, and this is where clients' messages come from then.
    hop: Option<(Hop, Arc<str>)>,
}

/// Messages that have been here before, and are kept elsewhere until they are in again: their running numbers are known,
/// which says nothing, and what is refused once more makes no second dead letter.
#[derive(Debug, Clone, Copy)]
struct Again {
    /// The slot of the only endpoint that is to get them; otherwise all are asked.
    only: Option<u32>,
}

/// What a dead letter will say.
enum Refused {
    /// These bytes, and why; that is in the receipt, if it holds nothing that must not be kept.
    Kept(Vec<u8>, Option<String>),
    /// None: whoever sends too much would fill the disk.
    Counted,
}

/// Of what is refused and edited so much is searched: more than a dead letter keeps. Searching costs more than sending.
const SEARCHED: usize = 80 * 1024;

/// So much of that is not kept if it goes on behind: the end may be the first part of something.
const UNSURE: usize = 8 * 1024;

impl Refused {
    fn searched(hand: &mut Hand, message: &[u8], why: &str) -> Refused {
        let mut shown = hand.blot(why.as_bytes()).map(|why| String::from_utf8_lossy(&why).into_owned());
        let searched = message.get(..SEARCHED).unwrap_or(message);
        let mut kept = hand.blot(searched).unwrap_or_else(|| searched.to_vec());
        if searched.len() < message.len() {
            kept.truncate(kept.len().saturating_sub(UNSURE));
            let why = shown.as_deref().unwrap_or(why);
            shown = Some(format!("{why} (the beginning of {} bytes)", message.len()));
        }
        Refused::Kept(kept, shown)
    }
}

impl<F: Fs> Door<F> {
    /// A way in for the input of this number.
    pub fn new(floor: Arc<Floor<F>>, account: Arc<InputAccount>, input: u32) -> Self {
        let generation = floor.generation.load(Acquire);
        let Rules { routes, edits } = floor.rules();
        Door {
            routes,
            hand: edits.map(|edits| edits.hand()),
            edited: Vec::new(),
            from: format!("input {}", account.name).into(),
            floor,
            account,
            input,
            generation,
            judge: Judge::default(),
            pending: Batch::new(),
            has_memory: false,
            counts: InputCounts::default(),
            receipt: Receipt::default(),
            pushed: 0,
            refused: Vec::new(),
            scratch: Vec::new(),
            now: Instant::now(),
            watched: false,
            committed: 0,
            again: None,
            part: false,
            claim: None,
            dropped: 0,
            awaited: Mutex::default(),
            hop: None,
        }
    }

    /// A way back in for dead letters, those of one endpoint to that endpoint only, past all conditions.
    pub fn again(floor: Arc<Floor<F>>, account: Arc<InputAccount>, input: u32, only: Option<u32>) -> Self {
        let mut door = Door::new(floor, account, input);
        door.again = Some(Again { only });
        door
    }

    #[cold]
    #[inline(never)]
    fn begin(&mut self) {
        self.now = Instant::now();
        self.dropped = self.floor.clients.claims.dropped();
        self.watched = self.floor.tail.is_watched();
        let generation = self.floor.generation.load(Acquire);
        if generation != self.generation {
            self.generation = generation;
            let Rules { routes, edits } = self.floor.rules();
            self.routes = routes;
            self.hand = edits.map(|edits| edits.hand());
            self.judge = Judge::default();
        }
    }

    #[inline]
    fn take(&mut self, message: &[u8]) {
        self.counts.received += 1;
        self.counts.bytes += message.len() as u64;
        match head::scan(message, &self.floor.limits) {
            Ok(head) => self.accept(message, &head),
            Err(_) => self.mend(message),
        }
    }

    /// A message that another router forwards.
    #[inline(never)]
    fn take_forwarded(&mut self, message: &[u8]) {
        let Some((hop, _)) = &mut self.hop else { return };
        if hop.judge(self.pushed - 1, message) == Some(true) {
            self.counts.received += 1;
            self.counts.bytes += message.len() as u64;
            self.counts.duplicates += 1;
            self.receipt.duplicates += 1;
            self.floor.forwards.repeated(1);
        } else {
            self.take(message);
        }
    }

    /// A message that the scan vouches for.
    #[inline]
    fn accept(&mut self, message: &[u8], head: &Head<'_>) {
        if head.kind.len() > NAME || head.logger.len() > NAME {
            return self.reject(message, Reason::TooLarge, "a type or logger has at most 128 bytes".to_owned());
        }
        if self.claim.is_none() && head.origin.is_some() && self.again.is_none() {
            self.claim = Some(self.floor.clients.claims.open());
        }
        if let Some((client, seq)) = &head.origin
            && self.again.is_none()
            && self
                .floor
                .clients
                .session_from(self.hop.as_ref().map_or(&self.from, |(_, from)| from))
                .of_a_part(self.part)
                .see(client, *seq, self.now)
                == Seen::Again
        {
            self.counts.duplicates += 1;
            self.receipt.duplicates += 1;
            return;
        }
        if self.hand.is_some() {
            return self.edit(message, head);
        }
        self.admit(message, head);
    }

    /// Past the editors. What they change goes on as they leave it, or not at all.
    #[inline(never)]
    fn edit(&mut self, message: &[u8], head: &Head<'_>) {
        let Some(hand) = &mut self.hand else { return };
        let mut text = std::mem::take(&mut self.edited);
        let edited = hand.edit(message, head, &self.floor.limits, &mut text, |_| {});
        let dropped = match edited {
            Ok(false) => {
                self.admit(message, head);
                None
            }
            Ok(true) => match head::scan(&text, &self.floor.limits) {
                Ok(head) if head.kind.len() <= NAME && head.logger.len() <= NAME => {
                    self.admit(&text, &head);
                    None
                }
                _ => Some((Reason::TooLarge, "beyond the limits once it is edited".to_owned())),
            },
            Err(dropped) => {
                hand.say(&self.from, &dropped);
                Some((dropped.reason, dropped.why))
            }
        };
        self.edited = text;
        if let Some((reason, why)) = dropped {
            if let Some((client, seq)) = &head.origin
                && self.again.is_none()
            {
                // It was not taken, so when it is sent again it is not known.
                self.floor.clients.session().unsee(client, *seq);
            }
            self.reject(message, reason, why);
        }
    }

    /// Everything but its being wanted is settled.
    #[inline]
    fn admit(&mut self, message: &[u8], head: &Head<'_>) {
        self.counts.accepted += 1;
        self.receipt.accepted += 1;
        let wants = match self.again {
            Some(Again { only: Some(slot) }) => bit(slot),
            _ => self.judge.wants(&self.routes, self.input, head, message),
        };
        if wants != 0 && self.pending.is_empty() && !self.has_memory {
            // A connection without anything to hand over holds no memory.
            self.pending = self.floor.spool.recycled();
            self.has_memory = true;
        }
        if wants == 0 {
            self.counts.unwanted += 1;
            if self.watched {
                self.floor.tail.show(message);
            }
        } else if memchr2(b'\n', b'\r', message).is_none() {
            self.pending.push(message, wants);
        } else {
            self.pending.push_flat(message, wants);
        }
    }

    /// What the scan does not vouch for: mended if it can be understood, refused if not.
    #[cold]
    #[inline(never)]
    fn mend(&mut self, message: &[u8]) {
        match wire::read(message, &self.floor.limits) {
            Ok(read) => {
                let mut text = std::mem::take(&mut self.scratch);
                text.clear();
                wire::write(&mut text, &read.message);
                match head::scan(&text, &self.floor.limits) {
                    Ok(head) => {
                        let before = self.counts.accepted;
                        self.accept(&text, &head);
                        self.counts.mended += self.counts.accepted - before;
                    }
                    Err(_) => self.reject(message, Reason::TooLarge, "beyond the limits once it is mended".to_owned()),
                }
                self.scratch = text;
            }
            Err(wire::Refusal::Syntax { .. }) if self.several(message) => {}
            Err(refusal) => {
                let reason = match refusal {
                    wire::Refusal::TooLarge { .. }
                    | wire::Refusal::TooDeep { .. }
                    | wire::Refusal::TooManyValues { .. }
                    | wire::Refusal::TooManyNames { .. }
                    | wire::Refusal::LongName { .. } => Reason::TooLarge,
                    _ => Reason::Malformed,
                };
                self.reject(message, reason, refusal.to_string());
            }
        }
    }

    /// Several messages without anything between them. False if it is not that.
    fn several(&mut self, text: &[u8]) -> bool {
        let mut splitter = wire::Splitter::new(self.floor.limits.bytes);
        splitter.push(text);
        let pieces: Vec<_> = std::iter::from_fn(|| splitter.finish()).collect();
        if pieces.len() < 2 {
            return false;
        }
        self.counts.received -= 1;
        self.counts.bytes -= text.len() as u64;
        for piece in pieces {
            match piece {
                wire::Piece::Message(message) => self.take(&message),
                wire::Piece::Oversized(bytes) => {
                    self.counts.received += 1;
                    self.reject(&[], Reason::TooLarge, format!("{bytes} bytes are more than a message may have"));
                }
            }
        }
        true
    }

    fn reject(&mut self, message: &[u8], reason: Reason, why: String) {
        self.counts.refuse(reason, 1);
        if let Some((hop, _)) = &mut self.hop {
            hop.refused();
        }
        self.refused.push(match (reason, &mut self.hand) {
            // Whoever brought it keeps it.
            _ if self.again.is_some() || self.hop.is_some() => Refused::Counted,
            (Reason::Quota | Reason::Filtered, _) => Refused::Counted,
            (_, None) => Refused::Kept(message.to_vec(), None),
            (_, Some(hand)) => Refused::searched(hand, message, &why),
        });
        self.receipt.rejected.push(Rejected { index: self.pushed - 1, reason, why });
    }

    /// Ends a batch: what was counted becomes visible at once, so that the sums always add up.
    fn end(&mut self) -> Receipt {
        self.account.add(&self.counts);
        self.floor.accepted.fetch_add(self.counts.accepted, Relaxed);
        if !self.receipt.rejected.is_empty() {
            let letters = self.receipt.rejected.iter().zip(&self.refused).filter_map(|(rejected, refused)| {
                let Refused::Kept(message, why) = refused else { return None };
                let why = why.as_ref().unwrap_or(&rejected.why);
                Some(Letter { from: &self.from, reason: rejected.reason.name(), why, id: None, message })
            });
            // A failure is counted there; there is nobody here who could do more about it.
            let _ = self.floor.dead.keep(letters);
            self.refused.clear();
        }
        if let Some(hand) = &mut self.hand {
            hand.rest();
            self.edited = Vec::new();
        }
        self.counts = InputCounts::default();
        self.pushed = 0;
        self.hop = None;
        std::mem::take(&mut self.receipt)
    }
}

impl<F: Fs> Intake for Door<F> {
    fn another(&self) -> Box<dyn Intake> {
        let mut door = Door::new(self.floor.clone(), self.account.clone(), self.input);
        (door.again, door.part) = (self.again, self.part);
        Box::new(door)
    }

    #[inline]
    fn push(&mut self, message: &[u8]) {
        if self.pushed == 0 {
            self.begin();
        }
        self.pushed += 1;
        match self.hop {
            None => self.take(message),
            Some(_) => self.take_forwarded(message),
        }
    }

    fn forwarded(&mut self, forwarded: Forwarded) -> Result<(), Looping> {
        let from = format!("{}, from router {}", self.from, forwarded.from).into();
        self.hop = Some((self.floor.forwards.hop(&self.floor, forwarded)?, from));
        Ok(())
    }

    fn refuse(&mut self, part: &[u8], reason: Reason, why: &str) {
        if self.pushed == 0 {
            self.begin();
        }
        self.pushed += 1;
        self.counts.received += 1;
        self.counts.bytes += part.len() as u64;
        self.reject(part, reason, why.to_owned());
    }

    fn lost(&mut self, count: u64) {
        self.account.add(&InputCounts { lost: count, ..InputCounts::default() });
    }

    fn turned_away(&mut self, why: Away) {
        let mut counts = InputCounts::default();
        counts.turn_away(why);
        self.account.add(&counts);
    }

    fn takes_a_part(&mut self) {
        self.part = true;
    }

    fn commit(&mut self) -> Result<Receipt, Full> {
        if self.pushed == 0 {
            self.hop = None;
            return Ok(Receipt::default());
        }
        if !self.pending.is_empty() {
            let wanted = Wanted::of(&self.pending);
            let mut claim = None;
            if let Some((hop, _)) = &self.hop {
                let claimed = self.floor.forwards.claim(&self.floor.spool, hop).map_err(|Collision| Full {
                    why: "another request is just bringing the same messages".to_owned(),
                    retry_after: Duration::from_secs(1),
                })?;
                if self.pending.noted().is_none() {
                    self.pending.note(&claimed.note);
                }
                claim = Some((hop, claimed));
            }
            let appended = self.floor.spool.append(std::mem::take(&mut self.pending)).map_err(|(batch, error)| {
                self.pending = batch;
                self.floor.refuse(Some(error.to_string()));
                self.floor.refuses.store(true, Relaxed);
                full(&error)
            })?;
            if self.floor.refuses.swap(false, Relaxed) {
                self.floor.refuse(None);
            }
            if let Some((hop, claim)) = claim {
                self.floor.forwards.keep(hop, claim);
            }
            self.has_memory = false;
            self.committed = appended.next_id;
            wanted.add(&self.floor.wanted);
        }
        let claims = &self.floor.clients.claims;
        let claim = self.claim.take();
        let numbered = claim.is_some();
        if let Some(claim) = claim {
            claims.close(claim, true);
        }
        // A duplicate is acknowledged like the first one, so it has to wait until that is in the spool, and for its sync.
        if self.receipt.duplicates > 0 {
            let mut awaited = self.awaited.lock().unwrap_or_else(PoisonError::into_inner);
            if numbered {
                *awaited = Some(claims.awaited(self.dropped).and(*awaited));
            }
            drop(awaited);
            self.committed = self.floor.spool.next_id();
        }
        Ok(self.end())
    }

    fn drop_pushed(&mut self, reason: Reason) {
        if self.pushed == 0 {
            self.hop = None;
            return;
        }
        // They will be sent again, if their sender can, and must not pass for known then.
        let mut session = self.floor.clients.session();
        for line in self.pending.lines().iter().filter(|_| self.again.is_none()) {
            if let Ok(Head { origin: Some((client, seq)), .. }) = head::scan(line, &self.floor.limits) {
                session.unsee(&client, seq);
            }
        }
        drop(session);
        if let Some(claim) = self.claim.take() {
            self.floor.clients.claims.close(claim, false);
        }
        let dropped = self.pending.messages() as u64;
        self.counts.accepted -= dropped;
        self.counts.refuse(reason, dropped);
        self.pending.clear();
        let _ = self.end();
    }

    fn pending(&self) -> usize {
        self.pending.bytes()
    }

    fn durable(&self) -> Durable {
        let durable = self.floor.spool.when_durable(self.committed);
        let awaited = self.awaited.lock().unwrap_or_else(PoisonError::into_inner).take();
        let Some(awaited) = awaited else {
            return Box::pin(async move { durable.await.map_err(|error| full(&error)) });
        };
        let floor = self.floor.clone();
        Box::pin(async move {
            if !floor.clients.claims.closed(awaited).await {
                let why = "another connection has brought the same and not got through".to_owned();
                return Err(Full { why, retry_after: Duration::from_secs(1) });
            }
            floor.spool.when_durable(floor.spool.next_id()).await.map_err(|error| full(&error))
        })
    }

    fn message_limit(&self) -> usize {
        self.floor.limits.bytes
    }
}

/// How many messages of a batch each slot wants.
struct Wanted([u32; 64], Wants);

impl Wanted {
    fn of(batch: &Batch) -> Self {
        let mut counts = [0; 64];
        let mut slots = batch.any();
        while slots != 0 {
            let slot = slots.trailing_zeros();
            if let Some(count) = counts.get_mut(slot as usize) {
                *count = u32::try_from(batch.wanted(slot, 0)).unwrap_or(u32::MAX);
            }
            slots &= slots - 1;
        }
        Wanted(counts, batch.any())
    }

    fn add(&self, sums: &[AtomicU64; 64]) {
        for (_, (sum, count)) in sums.iter().zip(self.0).enumerate().filter(|(slot, _)| self.1 >> slot & 1 == 1) {
            sum.fetch_add(u64::from(count), Relaxed);
        }
    }
}

impl<F: Fs> Drop for Door<F> {
    /// An input that ends with something in hand has lost it.
    fn drop(&mut self) {
        self.drop_pushed(Reason::Truncated);
    }
}

fn full(error: &AppendError) -> Full {
    Full { why: error.to_string(), retry_after: Duration::from_secs(1) }
}
