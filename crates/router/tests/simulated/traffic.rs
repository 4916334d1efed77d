//! What goes to and fro: between clients and the stream, the stream and the routers, the routers and the store.

use super::member::Taken;
use super::stream::{Given, Puller};
use super::{BATCH, CALM, CALM_AGAIN, CLIENTS, Event, QUIET, RATE, Rule, SECOND, World};

/// Clients: they number, publish, and publish again what is not confirmed.
impl World {
    pub(super) fn produce(&mut self, number: u16) {
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

    pub(super) fn impatient(&mut self, number: u16) {
        let Some(client) = self.clients.get(usize::from(number)) else { return };
        let seqs: Vec<u64> = client.unconfirmed.iter().copied().collect();
        self.send(number, seqs);
        self.after(5 * SECOND, Event::Impatient(number));
    }

    pub(super) fn publish(&mut self, number: u16, seqs: Vec<u64>) {
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

    pub(super) fn confirm(&mut self, number: u16, seqs: &[u64]) {
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
    pub(super) fn serve(&mut self) {
        for (who, given) in self.stream.serve(self.now) {
            // One connection keeps the order.
            self.after(1000, Event::Arrive(who, given));
        }
    }

    pub(super) fn connect(&mut self, member: usize, life: u64) {
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

    pub(super) fn pull(&mut self, who: Puller, batch: usize) {
        let current = self.members.get(who.0).and_then(|place| place.alive.as_ref()?.session);
        if self.reaches_stream(who.0) && current == Some(who.1) {
            self.stream.pull(who, batch);
            self.serve();
        }
    }

    pub(super) fn arrive(&mut self, (member, session): Puller, given: Vec<Given>) {
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

    pub(super) fn take(&mut self, member: usize, life: u64) {
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

    pub(super) fn synced(&mut self, member: usize, life: u64) {
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
    pub(super) fn reconnect(&mut self, member: usize, life: u64) {
        self.stream.leave(member);
        if let Some(alive) = self.alive(member, life) {
            alive.disconnect();
            self.after(SECOND, Event::Connect(member, life));
        }
    }

    pub(super) fn tick(&mut self, member: usize, life: u64) {
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
    pub(super) fn gather(&mut self, member: usize, life: u64) {
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

    pub(super) fn write(&mut self, member: usize, life: u64, number: u64) {
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

    pub(super) fn written(&mut self, member: usize, life: u64, number: u64) {
        let (reaches, rule) = (self.reaches_store(member), self.rule);
        let Some(alive) = self.alive(member, life).filter(|alive| reaches && alive.writing == number) else { return };
        if rule != Rule::SettleBeforeWriting {
            alive.settle();
        }
        (alive.writing, alive.pause) = (0, SECOND / 10);
        self.gather(member, life);
    }

    /// No answer: the same once more, after a pause that grows.
    pub(super) fn overdue(&mut self, member: usize, life: u64, number: u64) {
        let Some(alive) = self.alive(member, life).filter(|alive| alive.writing == number) else { return };
        let pause = alive.pause;
        alive.pause = (pause * 2).min(8 * SECOND);
        let way = self.way();
        self.after(pause + way, Event::Write(member, life, number));
        self.after(pause + 5 * SECOND, Event::Overdue(member, life, number));
    }
}
