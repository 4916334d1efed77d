//! A fleet in simulated time: clients, a JetStream stream, a hundred routers, a store, and everything that goes wrong
//! between them. One thread, one clock, one source of chance: a seed is a life, and the same one every time.

mod member;
mod stream;
mod traffic;
mod trouble;

use fastrand::Rng;
use member::{Alive, Member};
use std::collections::{BTreeMap, BTreeSet};
use std::hash::{DefaultHasher, Hash, Hasher};
use stream::{ACK_WAIT, Given, Puller, Stream};
use trouble::Trouble;

/// Simulated time.
pub type Micros = u64;
/// A second of it.
pub const SECOND: Micros = 1_000_000;
/// A client and its running number.
pub type Id = (u16, u64);

pub const MEMBERS: usize = 100;
const CLIENTS: u16 = 50;
/// Messages a second, all clients together.
const RATE: u64 = 200;
/// What a router asks for at once.
const BATCH: usize = 50;

/// Nothing goes wrong until here, and again from there on.
const CALM: Micros = 20 * SECOND;
const HEALED: Micros = CALM + 80 * SECOND;
/// Clients stop here.
const QUIET: Micros = HEALED + ACK_WAIT + 30 * SECOND;
/// The calm behind the storm: what was stuck at dead connections has been given to others.
const CALM_AGAIN: Micros = HEALED + ACK_WAIT + 10 * SECOND;
/// Everything is in the store so long after the last message at the latest.
const DRAINED: Micros = 30 * SECOND;

/// What the routers do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Rule {
    /// What they really do.
    Right,
    /// Acknowledge when the message is in the spool, not when it is on the disk.
    AcknowledgeBeforeSync,
    /// Move the cursor when a batch goes out, not when the store has it.
    SettleBeforeWriting,
    /// Write to a store that takes whatever comes, as often as it comes.
    StoreEverything,
}

/// What a life came to.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Report {
    pub confirmed: u64,
    /// Messages the stream gave once more.
    pub redelivered: u64,
    /// Publications the stream recognised.
    pub recognised: u64,
    /// Messages routers recognised.
    pub duplicates: u64,
    /// Messages the store had already.
    pub repeats: u64,
    pub deaths: u64,
    pub power_cuts: u64,
    pub disk_errors: u64,
    /// How far the busiest and the idlest router are from the mean, in thousandths, before the storm and behind it.
    pub spread: [u64; 2],
    /// How long after the last message everything was stored.
    pub drained: Micros,
    /// Of all that happened, in order.
    pub digest: u64,
}

#[derive(Debug, Clone, Hash)]
enum Event {
    Produce(u16),
    Impatient(u16),
    Publish(u16, Vec<u64>),
    Confirm(u16, Vec<u64>),
    Connect(usize, u64),
    Pull(Puller, usize),
    Arrive(Puller, Vec<Given>),
    Take(usize, u64),
    Synced(usize, u64),
    Acknowledge(Vec<u64>),
    AtWork(Vec<u64>),
    Tick(usize, u64),
    StreamTick,
    Gather(usize, u64),
    Write(usize, u64, u64),
    Written(usize, u64, u64),
    Overdue(usize, u64, u64),
    Trouble(Trouble, Micros),
    Mend(Trouble),
}

struct Client {
    seq: u64,
    unconfirmed: BTreeSet<u64>,
    cut: bool,
}

struct World {
    rule: Rule,
    chance: Rng,
    now: Micros,
    queue: BTreeMap<(Micros, u64), Event>,
    number: u64,
    clients: Vec<Client>,
    stream: Stream,
    members: Vec<Member>,
    /// Who is stored, how often.
    store: BTreeMap<Id, u32>,
    store_down: bool,
    confirmed: BTreeSet<Id>,
    calm: [Vec<u64>; 2],
    report: Report,
}

/// Lives through a seed.
pub fn live(seed: u64, rule: Rule) -> Result<Report, String> {
    let mut world = World {
        rule,
        chance: Rng::with_seed(seed),
        now: 0,
        queue: BTreeMap::new(),
        number: 0,
        clients: (0..CLIENTS).map(|_| Client { seq: 0, unconfirmed: BTreeSet::new(), cut: false }).collect(),
        stream: Stream::default(),
        members: (0..MEMBERS).map(|_| Member::new()).collect(),
        store: BTreeMap::new(),
        store_down: false,
        confirmed: BTreeSet::new(),
        calm: [vec![0; MEMBERS], vec![0; MEMBERS]],
        report: Report::default(),
    };
    world.begin();
    world.go_on()?;
    world.judge()
}

/// Far from the mean, in thousandths of it.
fn spread(taken: &[u64]) -> u64 {
    let mean = taken.iter().sum::<u64>() as f64 / taken.len() as f64;
    let far = taken.iter().map(|count| (*count as f64 - mean).abs()).fold(0.0, f64::max);
    (far / mean * 1000.0) as u64
}

impl World {
    fn at(&mut self, time: Micros, event: Event) {
        self.number += 1;
        self.queue.insert((time, self.number), event);
    }

    fn after(&mut self, time: Micros, event: Event) {
        self.at(self.now + time, event);
    }

    /// A way through the network.
    fn way(&mut self) -> Micros {
        self.chance.u64(200..2000)
    }

    fn begin(&mut self) {
        for client in 0..CLIENTS {
            let (first, impatient) = (self.chance.u64(0..SECOND), self.chance.u64(SECOND..10 * SECOND));
            self.at(first, Event::Produce(client));
            self.at(impatient, Event::Impatient(client));
        }
        for member in 0..MEMBERS {
            self.attend(member);
        }
        self.at(SECOND, Event::StreamTick);
        self.plan_troubles();
    }

    /// A process has begun: what it does by itself.
    fn attend(&mut self, member: usize) {
        let Some(place) = self.members.get(member) else { return };
        let life = place.life;
        let (soon, tick) = (self.way(), self.chance.u64(1..SECOND));
        self.after(soon, Event::Connect(member, life));
        self.after(soon, Event::Gather(member, life));
        self.after(tick, Event::Tick(member, life));
    }

    fn go_on(&mut self) -> Result<(), String> {
        while let Some(((time, _), event)) = self.queue.pop_first() {
            self.now = time;
            self.note(&event);
            self.happen(event)?;
            if self.now > QUIET && self.is_over() {
                self.report.drained = self.now - QUIET;
                return Ok(());
            }
            if self.now > QUIET + DRAINED {
                let backlog: u64 =
                    self.members.iter().filter_map(|member| Some(member.alive.as_ref()?.backlog())).sum();
                let unconfirmed: usize = self.clients.iter().map(|client| client.unconfirmed.len()).sum();
                return Err(format!(
                    "not drained {} s after the last message: {} in the stream, {backlog} in spools, {unconfirmed} unconfirmed",
                    DRAINED / SECOND,
                    self.stream.len()
                ));
            }
        }
        Err("nothing happens any more".to_owned())
    }

    /// Adds to the digest what happens, and when.
    fn note(&mut self, event: &Event) {
        let mut digest = DefaultHasher::new();
        (self.report.digest, self.now, event).hash(&mut digest);
        self.report.digest = digest.finish();
    }

    fn is_over(&self) -> bool {
        self.stream.len() == 0
            && self.clients.iter().all(|client| client.unconfirmed.is_empty())
            && self.members.iter().all(|member| member.alive.as_ref().is_some_and(|alive| alive.backlog() == 0))
    }

    fn judge(mut self) -> Result<Report, String> {
        for id in &self.confirmed {
            match self.store.get(id) {
                None => return Err(format!("lost: {id:?} was confirmed and is not stored")),
                Some(1) => {}
                Some(times) => return Err(format!("repeated: {id:?} is stored {times} times")),
            }
        }
        let sent = |(client, seq): &Id| self.clients.get(usize::from(*client)).is_some_and(|client| *seq <= client.seq);
        if let Some(id) = self.store.keys().find(|id| !sent(id)) {
            return Err(format!("made up: {id:?} was never sent"));
        }
        for (number, member) in self.members.iter().enumerate() {
            if let Some(wrong) = member.alive.as_ref().and_then(Alive::wrong) {
                return Err(format!("the account of router {number} is not right: {wrong}"));
            }
            self.report.duplicates += member.alive.as_ref().map_or(0, |alive| alive.account.counts().duplicates);
        }
        self.report.confirmed = self.confirmed.len() as u64;
        (self.report.redelivered, self.report.recognised) = (self.stream.redelivered, self.stream.recognised);
        self.report.spread = [spread(&self.calm[0]), spread(&self.calm[1])];
        Ok(self.report)
    }

    /// The process of this life, if it is still there.
    fn alive(&mut self, member: usize, life: u64) -> Option<&mut Alive> {
        self.members.get_mut(member).filter(|place| place.life == life)?.alive.as_mut()
    }

    fn reaches_stream(&self, member: usize) -> bool {
        !self.stream.down && self.members.get(member).is_some_and(|place| !place.no_stream)
    }

    fn happen(&mut self, event: Event) -> Result<(), String> {
        match event {
            Event::Produce(client) => self.produce(client),
            Event::Impatient(client) => self.impatient(client),
            Event::Publish(client, seqs) => self.publish(client, seqs),
            Event::Confirm(client, seqs) => self.confirm(client, &seqs),
            Event::Connect(member, life) => self.connect(member, life),
            Event::Pull(who, batch) => self.pull(who, batch),
            Event::Arrive(who, given) => self.arrive(who, given),
            Event::Take(member, life) => self.take(member, life),
            Event::Synced(member, life) => self.synced(member, life),
            Event::Acknowledge(numbers) => numbers.iter().for_each(|number| self.stream.acknowledge(*number)),
            Event::AtWork(numbers) => numbers.iter().for_each(|number| self.stream.at_work(*number, self.now)),
            Event::Tick(member, life) => self.tick(member, life),
            Event::StreamTick => {
                if !self.stream.down {
                    self.stream.tick(self.now);
                    self.serve();
                }
                self.after(SECOND, Event::StreamTick);
            }
            Event::Gather(member, life) => self.gather(member, life),
            Event::Write(member, life, number) => self.write(member, life, number),
            Event::Written(member, life, number) => self.written(member, life, number),
            Event::Overdue(member, life, number) => self.overdue(member, life, number),
            Event::Trouble(trouble, lasts) => {
                self.after(lasts, Event::Mend(trouble));
                return self.trouble(trouble);
            }
            Event::Mend(trouble) => self.mend(trouble),
        }
        Ok(())
    }
}
