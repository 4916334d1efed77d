//! A fleet in simulated time: clients, a JetStream stream, a hundred routers, a store, and everything that goes wrong
//! between them. One thread, one clock, one source of chance: a seed is a life, and the same one every time.

mod member;
mod stream;

use fastrand::Rng;
use member::{Alive, Member, Taken};
use metlog_spool::simulated::Fault;
use std::collections::{BTreeMap, BTreeSet};
use stream::{ACK_WAIT, Given, Puller, Stream};

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

#[derive(Debug, Clone)]
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

/// What goes wrong, and is mended some time later.
#[derive(Debug, Clone, Copy)]
enum Trouble {
    Kill(usize),
    /// A power cut at so many places in a row.
    Power(usize, usize),
    NoStream(usize),
    NoStore(usize),
    SlowDisk(usize),
    DiskError(usize),
    ClientCut(u16),
    StreamDown,
    StoreDown,
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

    fn plan_troubles(&mut self) {
        for _ in 0..160 {
            let at = self.chance.u64(CALM..HEALED - 5 * SECOND);
            let member = self.chance.usize(0..MEMBERS);
            let trouble = match self.chance.u32(0..100) {
                0..30 => Trouble::Kill(member),
                30..40 => Trouble::Power(member, 1),
                40..55 => Trouble::NoStream(member),
                55..65 => Trouble::NoStore(member),
                65..80 => Trouble::SlowDisk(member),
                80..90 => Trouble::DiskError(member),
                _ => Trouble::ClientCut(self.chance.u16(0..CLIENTS)),
            };
            let lasts = self.chance.u64(SECOND..25 * SECOND);
            self.at(at, Event::Trouble(trouble, lasts));
        }
        let rack = self.chance.usize(0..MEMBERS - 30);
        for (trouble, longest) in
            [(Trouble::StreamDown, 10), (Trouble::StreamDown, 10), (Trouble::StoreDown, 30), (Trouble::Power(rack, 30), 20)]
        {
            let at = self.chance.u64(CALM..HEALED - 5 * SECOND);
            let lasts = self.chance.u64(SECOND..longest * SECOND);
            self.at(at, Event::Trouble(trouble, lasts));
        }
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
                let backlog: u64 = self.members.iter().filter_map(|member| Some(member.alive.as_ref()?.backlog())).sum();
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
        for byte in format!("{} {event:?}", self.now).bytes() {
            self.report.digest = (self.report.digest ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01b3);
        }
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

/// Clients: they number, publish, and publish again what is not confirmed.
impl World {
    fn produce(&mut self, number: u16) {
        let count = self.chance.u64(1..8);
        let Some(client) = self.clients.get_mut(usize::from(number)) else { return };
        let seqs: Vec<u64> = (client.seq + 1..=client.seq + count).collect();
        client.seq += count;
        client.unconfirmed.extend(&seqs);
        self.send(number, seqs);
        let mean = SECOND * u64::from(CLIENTS) * 4 / RATE;
        let next = self.chance.u64(mean / 2..mean * 3 / 2);
        if self.now + next < QUIET {
            self.after(next, Event::Produce(number));
        }
    }

    fn send(&mut self, number: u16, seqs: Vec<u64>) {
        let cut = self.clients.get(usize::from(number)).is_none_or(|client| client.cut);
        let way = self.way();
        if !cut && !seqs.is_empty() {
            self.after(way, Event::Publish(number, seqs));
        }
    }

    fn impatient(&mut self, number: u16) {
        let Some(client) = self.clients.get(usize::from(number)) else { return };
        let seqs: Vec<u64> = client.unconfirmed.iter().copied().collect();
        self.send(number, seqs);
        self.after(5 * SECOND, Event::Impatient(number));
    }

    fn publish(&mut self, number: u16, seqs: Vec<u64>) {
        if self.stream.down {
            return;
        }
        seqs.iter().for_each(|seq| self.stream.publish((number, *seq), self.now));
        let way = self.way();
        // Once in a while the answer does not find its way.
        if self.chance.u32(0..50) != 0 {
            self.after(way, Event::Confirm(number, seqs));
        }
        self.serve();
    }

    fn confirm(&mut self, number: u16, seqs: &[u64]) {
        if self.stream.down {
            return;
        }
        let Some(client) = self.clients.get_mut(usize::from(number)).filter(|client| !client.cut) else { return };
        for seq in seqs {
            client.unconfirmed.remove(seq);
            self.confirmed.insert((number, *seq));
        }
    }
}

/// Routers, and what goes to and fro between them and the stream.
impl World {
    fn serve(&mut self) {
        for (who, given) in self.stream.serve(self.now) {
            // One connection keeps the order.
            self.after(1000, Event::Arrive(who, given));
        }
    }

    fn connect(&mut self, member: usize, life: u64) {
        let reaches = self.reaches_stream(member);
        let number = self.number;
        let Some(alive) = self.alive(member, life) else { return };
        if !reaches {
            self.after(SECOND, Event::Connect(member, life));
        } else if alive.session.is_none() {
            alive.session = Some(number);
            self.ask(member, life);
        }
    }

    /// Asks for more, if there is room.
    fn ask(&mut self, member: usize, life: u64) {
        let Some(alive) = self.alive(member, life) else { return };
        let room = alive.in_hand().len() < 4 * BATCH;
        if let (Some(session), true, 0) = (alive.session, room, alive.asked) {
            alive.asked = BATCH;
            let way = self.way();
            self.after(way, Event::Pull((member, session), BATCH));
        }
    }

    fn pull(&mut self, who: Puller, batch: usize) {
        let current = self.members.get(who.0).and_then(|place| place.alive.as_ref()?.session);
        if self.reaches_stream(who.0) && current == Some(who.1) {
            self.stream.pull(who, batch);
            self.serve();
        }
    }

    fn arrive(&mut self, (member, session): Puller, given: Vec<Given>) {
        if !self.reaches_stream(member) {
            return;
        }
        let Some(place) = self.members.get_mut(member) else { return };
        let life = place.life;
        let Some(alive) = place.alive.as_mut().filter(|alive| alive.session == Some(session)) else { return };
        let phase = match self.now {
            ..CALM => Some(0),
            CALM_AGAIN..QUIET => Some(1),
            _ => None,
        };
        if let Some(count) = phase.and_then(|phase| self.calm[phase].get_mut(member)) {
            *count += given.len() as u64;
        }
        alive.arrive(given);
        self.take(member, life);
    }

    fn take(&mut self, member: usize, life: u64) {
        let rule = self.rule;
        let Some(alive) = self.alive(member, life) else { return };
        match alive.take() {
            Taken::Nothing => {}
            Taken::Held => self.after(SECOND, Event::Take(member, life)),
            Taken::Committed(numbers) => {
                if rule == Rule::AcknowledgeBeforeSync {
                    self.acknowledge(member, numbers);
                }
                self.sync(member, life);
                self.after(1, Event::Gather(member, life));
            }
        }
        self.ask(member, life);
    }

    /// Has the disk do its work, which takes its time.
    fn sync(&mut self, member: usize, life: u64) {
        let slow = self.members.get(member).is_some_and(|place| place.slow_disk);
        let takes = if slow { self.chance.u64(2 * SECOND..8 * SECOND) } else { self.chance.u64(200..3000) };
        let Some(alive) = self.alive(member, life) else { return };
        if !std::mem::replace(&mut alive.syncing, true) {
            self.after(takes, Event::Synced(member, life));
        }
    }

    fn synced(&mut self, member: usize, life: u64) {
        let rule = self.rule;
        let Some(alive) = self.alive(member, life) else { return };
        alive.syncing = false;
        match alive.synced() {
            Ok(safe) => {
                let more = alive.waits();
                if rule != Rule::AcknowledgeBeforeSync {
                    self.acknowledge(member, safe);
                }
                if more {
                    self.sync(member, life);
                }
                self.take(member, life);
            }
            Err(()) => self.reconnect(member, life),
        }
    }

    fn acknowledge(&mut self, member: usize, numbers: Vec<u64>) {
        let way = self.way();
        if self.reaches_stream(member) && !numbers.is_empty() {
            self.after(way, Event::Acknowledge(numbers));
        }
    }

    /// The connection is gone, and both sides know it.
    fn reconnect(&mut self, member: usize, life: u64) {
        self.stream.leave(member);
        if let Some(alive) = self.alive(member, life) {
            alive.disconnect();
            self.after(SECOND, Event::Connect(member, life));
        }
    }

    fn tick(&mut self, member: usize, life: u64) {
        let reaches = self.reaches_stream(member);
        let Some(alive) = self.alive(member, life) else { return };
        alive.tick();
        let in_hand = alive.in_hand();
        if reaches && alive.session.is_some() && !in_hand.is_empty() {
            let way = self.way();
            self.after(way, Event::AtWork(in_hand));
        }
        self.after(5 * SECOND, Event::Tick(member, life));
        self.ask(member, life);
    }
}

/// Routers and the store.
impl World {
    fn gather(&mut self, member: usize, life: u64) {
        let (rule, number) = (self.rule, self.number + 1);
        let Some(alive) = self.alive(member, life).filter(|alive| alive.writing == 0) else { return };
        if alive.gather() {
            alive.writing = number;
            if rule == Rule::SettleBeforeWriting {
                alive.settle();
            }
            self.attempt(member, life, number);
        }
    }

    fn attempt(&mut self, member: usize, life: u64, number: u64) {
        let way = self.way();
        self.after(way, Event::Write(member, life, number));
        self.after(5 * SECOND, Event::Overdue(member, life, number));
    }

    fn reaches_store(&self, member: usize) -> bool {
        !self.store_down && self.members.get(member).is_some_and(|place| !place.no_store)
    }

    fn write(&mut self, member: usize, life: u64, number: u64) {
        let (reaches, all) = (self.reaches_store(member), self.rule == Rule::StoreEverything);
        let Some(alive) = self.alive(member, life).filter(|alive| reaches && alive.writing == number) else { return };
        for id in alive.sending() {
            let times = self.store.entry(id).or_default();
            self.report.repeats += u64::from(*times > 0);
            *times = if all { *times + 1 } else { 1 };
        }
        // Once in a while the answer does not find its way.
        let way = self.way();
        if self.chance.u32(0..100) != 0 {
            self.after(way, Event::Written(member, life, number));
        }
    }

    fn written(&mut self, member: usize, life: u64, number: u64) {
        let (reaches, rule) = (self.reaches_store(member), self.rule);
        let Some(alive) = self.alive(member, life).filter(|alive| reaches && alive.writing == number) else { return };
        if rule != Rule::SettleBeforeWriting {
            alive.settle();
        }
        (alive.writing, alive.pause) = (0, SECOND / 10);
        self.gather(member, life);
    }

    /// No answer: the same once more, after a pause that grows.
    fn overdue(&mut self, member: usize, life: u64, number: u64) {
        let Some(alive) = self.alive(member, life).filter(|alive| alive.writing == number) else { return };
        let pause = alive.pause;
        alive.pause = (pause * 2).min(8 * SECOND);
        let way = self.way();
        self.after(pause + way, Event::Write(member, life, number));
        self.after(pause + 5 * SECOND, Event::Overdue(member, life, number));
    }
}

/// What goes wrong.
impl World {
    fn trouble(&mut self, trouble: Trouble) -> Result<(), String> {
        match trouble {
            Trouble::Kill(member) => self.die(member, false)?,
            Trouble::Power(first, count) => {
                for member in first..first + count {
                    self.die(member, true)?;
                }
            }
            Trouble::StreamDown => {
                self.stream.stop();
                for member in 0..MEMBERS {
                    let life = self.members.get(member).map_or(0, |place| place.life);
                    self.reconnect(member, life);
                }
            }
            Trouble::StoreDown => self.store_down = true,
            Trouble::ClientCut(client) => self.cut(client, true),
            Trouble::NoStream(member) | Trouble::NoStore(member) | Trouble::SlowDisk(member) | Trouble::DiskError(member) => {
                let calls = self.chance.u64(0..6);
                let Some(place) = self.members.get_mut(member) else { return Ok(()) };
                match trouble {
                    Trouble::NoStream(_) => place.no_stream = true,
                    Trouble::NoStore(_) => place.no_store = true,
                    Trouble::SlowDisk(_) => place.slow_disk = true,
                    _ => {
                        place.disk.fail(calls, Fault::Io, false);
                        self.report.disk_errors += 1;
                    }
                }
            }
        }
        Ok(())
    }

    fn mend(&mut self, trouble: Trouble) {
        match trouble {
            Trouble::Kill(member) => self.rise(member),
            Trouble::Power(first, count) => (first..first + count).for_each(|member| self.rise(member)),
            Trouble::StreamDown => self.stream.down = false,
            Trouble::StoreDown => self.store_down = false,
            Trouble::ClientCut(client) => self.cut(client, false),
            Trouble::NoStream(member) => {
                let Some(place) = self.members.get_mut(member) else { return };
                place.no_stream = false;
                let life = place.life;
                // Until now each side believed in the connection; what was given to it meanwhile is gone.
                self.reconnect(member, life);
            }
            Trouble::NoStore(member) | Trouble::SlowDisk(member) | Trouble::DiskError(member) => {
                let Some(place) = self.members.get_mut(member) else { return };
                match trouble {
                    Trouble::NoStore(_) => place.no_store = false,
                    Trouble::SlowDisk(_) => place.slow_disk = false,
                    _ => place.disk.heal(),
                }
            }
        }
    }

    fn cut(&mut self, client: u16, cut: bool) {
        if let Some(client) = self.clients.get_mut(usize::from(client)) {
            client.cut = cut;
        }
    }

    fn die(&mut self, member: usize, power: bool) -> Result<(), String> {
        let seed = power.then(|| self.chance.u64(..));
        let Some(place) = self.members.get_mut(member) else { return Ok(()) };
        if let Some(alive) = &place.alive {
            if let Some(wrong) = alive.wrong() {
                return Err(format!("the account of router {member} is not right when it dies: {wrong}"));
            }
            self.report.duplicates += alive.account.counts().duplicates;
        }
        if place.die(seed) {
            self.report.deaths += 1;
            self.report.power_cuts += u64::from(power);
            self.stream.leave(member);
        }
        Ok(())
    }

    fn rise(&mut self, member: usize) {
        let Some(place) = self.members.get_mut(member).filter(|place| place.alive.is_none()) else { return };
        let before = place.disk.injected(Fault::Io);
        match place.start() {
            Ok(recovery) => {
                assert_eq!(recovery.damaged_messages, 0, "{recovery:?}");
                self.attend(member);
            }
            Err(why) => {
                assert!(place.disk.injected(Fault::Io) > before, "a sound disk, and it does not start: {why}");
                self.after(SECOND, Event::Mend(Trouble::Kill(member)));
            }
        }
    }
}
