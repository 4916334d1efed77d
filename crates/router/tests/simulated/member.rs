//! One router of the fleet. Its spool, its way in, what it knows of clients, its gathering and its ledger are the real
//! ones; played are the disk, the clock and both ends of the network.

use super::stream::Given;
use super::{Id, Micros, SECOND};
use metlog_message::wire::Limits;
use metlog_pipeline::{Durable, Full, Inlet, Pacing, Reason};
use metlog_router::accounting::{EndpointAccount, EndpointCounts, InputAccount, Opened};
use metlog_router::deadletters::DeadLetters;
use metlog_router::deliver::{Chunk, Gather, Ledger, Next};
use metlog_router::intake::{Door, Floor};
use metlog_router::routes::{Route, Routes};
use metlog_spool::simulated::Simulated;
use metlog_spool::{Options, Recovery, SlotStatus, Spool};
use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

/// Messages in one write to the store.
const CHUNK: usize = 200;

/// A place in the fleet, whether or not a process is alive there.
pub struct Member {
    pub disk: Simulated,
    /// The number of its process.
    pub life: u64,
    pub alive: Option<Alive>,
    pub no_stream: bool,
    pub no_store: bool,
    pub slow_disk: bool,
}

/// A process.
pub struct Alive {
    spool: Arc<Spool<Simulated>>,
    floor: Arc<Floor<Simulated>>,
    inlet: Inlet,
    pub account: Arc<InputAccount>,
    endpoint: Arc<EndpointAccount>,
    gather: Gather<Simulated>,
    ledger: Ledger<Simulated>,
    chunk: Chunk,
    /// The number of the write to the store that is under way; 0: none.
    pub writing: u64,
    pub pause: Micros,
    /// The number of the connection to the stream; `None`: there is none.
    pub session: Option<u64>,
    /// What its request has not brought yet.
    pub asked: usize,
    inbox: VecDeque<Vec<Given>>,
    /// Pushed and not committed: there was no room.
    held: Vec<u64>,
    /// Committed, and not yet safe.
    waiting: VecDeque<(Wait, Vec<u64>)>,
    /// A sync is under way.
    pub syncing: bool,
}

/// Waiting for the disk, or what came of it.
enum Wait {
    For(Durable),
    Over(Result<(), Full>),
}

impl Wait {
    /// Looks as a runtime would: until there is an answer, and not once more.
    fn look(&mut self) -> Option<Result<(), Full>> {
        if let Wait::For(durable) = self
            && let Poll::Ready(result) = durable.as_mut().poll(&mut Context::from_waker(Waker::noop()))
        {
            *self = Wait::Over(result);
        }
        match self {
            Wait::Over(result) => Some(result.clone()),
            Wait::For(_) => None,
        }
    }
}

/// What came of handing messages over.
pub enum Taken {
    /// These are in the spool, not yet on its disk.
    Committed(Vec<u64>),
    /// The disk refused; to be tried again.
    Held,
    /// There was nothing.
    Nothing,
}

fn options() -> Options {
    // Files so small that they are sealed and deleted all the time, and a window from which readers fall out.
    Options { segment_bytes: 32 << 10, window_bytes: 8 << 10, max_bytes: 1 << 40, free_floor: 0, ..Options::default() }
}

/// A message as a client would write it.
fn message(id: Id, into: &mut Vec<u8>) {
    use std::io::Write;
    let (client, seq) = id;
    into.clear();
    let _ = write!(
        into,
        "{{\"type\":\"oldstyle\",\"timestamp\":\"2026-11-21T10:00:00.000000Z\",\"logger\":\"shop\",\"severity\":6,\
         \"payload\":\"order {seq} of {client}\",\"fields\":{{\"n\":{seq}}},\"env_version\":\"0.8\",\"metlog_pid\":1,\
         \"metlog_hostname\":\"app\",\"metlog_client\":\"client-{client}\",\"metlog_seq\":{seq}}}"
    );
}

/// Whose a message is, read back as any receiver would.
pub fn id_of(line: &[u8]) -> Option<Id> {
    let (client, seq) = metlog_message::head::scan(line, &Limits::default()).ok()?.origin?;
    Some((client.strip_prefix("client-")?.parse().ok()?, seq))
}

impl Member {
    pub fn new() -> Self {
        let mut member = Member {
            disk: Simulated::new(),
            life: 0,
            alive: None,
            no_stream: false,
            no_store: false,
            slow_disk: false,
        };
        member.start().expect("a disk without faults");
        member
    }

    /// A process begins with what the disk holds.
    ///
    /// # Errors
    /// If the disk fails in that moment; nothing else is a reason.
    pub fn start(&mut self) -> Result<Recovery, String> {
        let (spool, recovery) = Spool::unattended(self.disk.clone(), options()).map_err(|error| error.to_string())?;
        let slot = spool.slot("store", true)?;
        let backlog = status(&spool).queued;
        let nowhere = std::env::temp_dir().join("metlog-simulation-has-no-dead-letters");
        let route = Route { endpoint: "store".to_owned(), slot, ..Route::default() };
        let floor = Floor::new(
            spool.clone(),
            DeadLetters::new(nowhere, 1 << 20),
            Limits::default(),
            Routes::new(vec![route], Vec::new()),
        );
        let floor = Arc::new(floor);
        let account = Arc::new(InputAccount::new("fleet"));
        let pacing = Pacing { messages: CHUNK, ..Pacing::default() };
        self.life += 1;
        self.alive = Some(Alive {
            inlet: Inlet::new(Box::new(Door::new(floor.clone(), account.clone(), 0))),
            gather: Gather::new(spool.reader(slot), slot, pacing),
            ledger: Ledger::new(spool.reader(slot), Duration::ZERO),
            endpoint: Arc::new(EndpointAccount::new("store", slot, Opened { backlog, ..Opened::default() })),
            floor,
            spool,
            account,
            chunk: Chunk::default(),
            writing: 0,
            pause: SECOND / 10,
            session: None,
            asked: 0,
            inbox: VecDeque::new(),
            held: Vec::new(),
            waiting: VecDeque::new(),
            syncing: false,
        });
        Ok(recovery)
    }

    /// The process ends, and with `power` the machine. True: there was one.
    pub fn die(&mut self, power: Option<u64>) -> bool {
        let Some(alive) = self.alive.take() else { return false };
        self.disk = power.map_or_else(|| self.disk.kill(), |seed| self.disk.crash(seed));
        // What it would still do on its way out meets a directory that is not its own any more.
        drop(alive);
        self.life += 1;
        true
    }
}

fn status(spool: &Spool<Simulated>) -> SlotStatus {
    spool.slots().into_iter().next().expect("one cursor")
}

impl Alive {
    /// Messages have arrived from the stream.
    pub fn arrive(&mut self, given: Vec<Given>) {
        self.asked = self.asked.saturating_sub(given.len());
        self.inbox.push_back(given);
    }

    /// Hands over what has arrived, or what could not be handed over the last time.
    pub fn take(&mut self) -> Taken {
        if self.held.is_empty() {
            let mut text = Vec::new();
            for (number, id) in self.inbox.drain(..).flatten() {
                message(id, &mut text);
                self.inlet.push(&text);
                self.held.push(number);
            }
        }
        if self.held.is_empty() {
            return Taken::Nothing;
        }
        match self.inlet.commit() {
            Ok(receipt) => {
                assert!(receipt.rejected.is_empty(), "{receipt:?}");
                let numbers = std::mem::take(&mut self.held);
                let mut wait = Wait::For(self.inlet.durable());
                // The first look asks for the sync.
                wait.look();
                self.waiting.push_back((wait, numbers.clone()));
                Taken::Committed(numbers)
            }
            Err(_) => Taken::Held,
        }
    }

    /// The disk has had its time: the messages that are on it now, or that the disk has failed.
    pub fn synced(&mut self) -> Result<Vec<u64>, ()> {
        self.spool.attend(false);
        let mut safe = Vec::new();
        while let Some((wait, _)) = self.waiting.front_mut() {
            match wait.look() {
                Some(Ok(())) => safe.extend(self.waiting.pop_front().into_iter().flat_map(|(_, numbers)| numbers)),
                Some(Err(_)) => return Err(()),
                None => break,
            }
        }
        Ok(safe)
    }

    /// Whether something waits for the disk.
    pub fn waits(&self) -> bool {
        !self.waiting.is_empty()
    }

    /// What is to be told that somebody is at it.
    pub fn in_hand(&self) -> Vec<u64> {
        self.held.iter().chain(self.waiting.iter().flat_map(|(_, numbers)| numbers)).copied().collect()
    }

    /// The connection to the stream is gone, and with it the right to acknowledge anything that came through it.
    pub fn disconnect(&mut self) {
        self.session = None;
        self.asked = 0;
        self.inbox.clear();
        self.held.clear();
        self.waiting.clear();
        self.inlet.drop_pushed(Reason::SpoolFull);
    }

    /// Once a second: cursors are saved, what nobody needs is deleted.
    pub fn tick(&mut self) {
        self.spool.attend(true);
    }

    /// The next messages for the store. False: there are none.
    pub fn gather(&mut self) -> bool {
        loop {
            match self.gather.next(&mut self.chunk, Duration::ZERO, || true) {
                Next::Chunk => {
                    self.ledger.begin(&mut self.chunk);
                    return true;
                }
                Next::Nothing => return false,
                // A disk that fails now and then; nothing is damaged for good, which the end will show.
                Next::Damaged(_) => {}
            }
        }
    }

    /// Who wrote what the store is being sent.
    pub fn sending(&self) -> Vec<Id> {
        self.chunk.lines().iter().map(|line| id_of(line).expect("a message of a client")).collect()
    }

    /// The store has them.
    pub fn settle(&mut self) {
        let verdicts = EndpointCounts { delivered: self.chunk.len() as u64, ..EndpointCounts::default() };
        self.ledger.finish(&self.endpoint, &self.chunk, self.chunk.upto, verdicts, true);
    }

    /// Messages that wait for the store.
    pub fn backlog(&self) -> u64 {
        status(&self.spool).queued
    }

    /// What is not right about the accounts.
    pub fn wrong(&self) -> Option<String> {
        let slot = status(&self.spool);
        let input = self.account.counts();
        let wanted = self.floor.wanted.first().map_or(0, |wanted| wanted.load(Relaxed));
        let (counts, queued) = self.endpoint.counts(|| slot.queued);
        let came = self.endpoint.opened.backlog + wanted;
        let whole = input.unaccounted() == 0 && came == counts.sum() + queued && slot.lost == 0 && slot.skipped == 0;
        (!whole).then(|| format!("{input:?}, {came} came, {counts:?}, {slot:?}"))
    }
}
