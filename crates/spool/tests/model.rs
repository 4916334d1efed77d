//! Random lives of a spool, held against a list: what was acknowledged is there, nothing is there that was not written,
//! order is kept, no id comes twice, and the sums are right. `PROPTEST_CASES` says how many.

mod common;

use common::{drain, open, small, sync, wait};
use metlog_message::Batch;
use metlog_spool::simulated::Simulated;
use metlog_spool::{Options, Reader, Spool};
use proptest::prelude::*;
use std::collections::BTreeMap;
use std::sync::Arc;

const NAMES: [&str; 3] = ["files", "pager", "metrics"];

#[derive(Debug, Clone)]
enum Step {
    /// Messages: how long, and who wants them.
    Append(Vec<(usize, u64)>),
    /// A slot reads so many frames and settles so many messages of what it has in hand.
    Read(usize, usize, usize),
    /// What a slot has in hand it wants once more.
    Rewind(usize),
    CommitDurably(usize),
    Sync,
    /// Power goes, the process ends, or it is stopped properly.
    Crash(u64),
    Kill,
    Close,
}

fn step() -> impl Strategy<Value = Step> {
    let message = (0..120_usize, 0..8_u64);
    prop_oneof![
        8 => proptest::collection::vec(message, 1..8).prop_map(Step::Append),
        6 => (0..3_usize, 0..4_usize, 0..20_usize).prop_map(|(slot, frames, settle)| Step::Read(slot, frames, settle)),
        1 => (0..3_usize).prop_map(Step::Rewind),
        1 => (0..3_usize).prop_map(Step::CommitDurably),
        3 => Just(Step::Sync),
        1 => any::<u64>().prop_map(Step::Crash),
        1 => Just(Step::Kill),
        1 => Just(Step::Close),
    ]
}

struct Hand {
    reader: Reader<Simulated>,
    /// Messages read and not settled.
    held: Vec<u64>,
    committed: u64,
    durably: u64,
    /// Messages settled since the last opening, and what the status said then.
    settled: u64,
    settled_before: u64,
}

struct Model {
    fs: Simulated,
    spool: Option<Arc<Spool<Simulated>>>,
    hands: Vec<Hand>,
    /// All that may be there: text and who wants it.
    written: BTreeMap<u64, (String, u64)>,
    /// All below was acknowledged.
    durable: u64,
    highest: u64,
    counter: u64,
}

fn settled(spool: &Spool<Simulated>, name: &str) -> u64 {
    let status = common::slot(spool, name);
    status.wanted - status.queued - status.skipped - status.lost
}

impl Model {
    fn new(options: &Options) -> Self {
        let fs = Simulated::new();
        let (spool, recovery) = open(fs.clone(), options.clone());
        assert!(recovery.fresh);
        let mut model = Model {
            fs,
            spool: Some(spool),
            hands: Vec::new(),
            written: BTreeMap::new(),
            durable: 0,
            highest: 0,
            counter: 0,
        };
        model.hands();
        model
    }

    fn spool(&self) -> &Arc<Spool<Simulated>> {
        self.spool.as_ref().unwrap()
    }

    fn hands(&mut self) {
        let spool = self.spool().clone();
        self.hands = NAMES
            .iter()
            .enumerate()
            .map(|(at, name)| {
                assert_eq!(spool.slot(name, true).unwrap() as usize, at);
                let reader = spool.reader(at as u32);
                let committed = reader.position();
                let settled_before = settled(&spool, name);
                Hand { reader, held: Vec::new(), committed, durably: committed, settled: 0, settled_before }
            })
            .collect();
    }

    fn append(&mut self, messages: &[(usize, u64)]) {
        let mut batch = Batch::new();
        let mut texts = Vec::new();
        for (length, wants) in messages {
            self.counter += 1;
            let text = format!("{}:{}", self.counter, "x".repeat(*length));
            batch.push(text.as_bytes(), *wants);
            texts.push((text, *wants));
        }
        let appended = self.spool().append(batch).map_err(|(_, error)| error).unwrap();
        assert!(appended.first_id >= self.highest, "id {} once more", appended.first_id);
        assert_eq!(appended.next_id - appended.first_id, messages.len() as u64);
        self.highest = appended.next_id;
        self.written.extend((appended.first_id..).zip(texts));
    }

    fn wanted(&self, slot: usize, from: u64, to: u64) -> Vec<u64> {
        self.written
            .range(from..to.max(from))
            .filter(|(_, (_, wants))| wants & (1 << slot) != 0)
            .map(|(id, _)| *id)
            .collect()
    }

    fn read(&mut self, slot: usize, frames: usize, settle: usize) {
        let expected = self.wanted(slot, self.hands[slot].reader.position(), u64::MAX);
        let mut got = Vec::new();
        let hand = &mut self.hands[slot];
        for _ in 0..frames {
            let position = hand.reader.position();
            let Some(frame) = hand.reader.try_next().unwrap() else { break };
            let first = position.saturating_sub(frame.first_id) as usize;
            for (at, wants) in frame.batch.wants().iter().enumerate().skip(first) {
                if wants & (1 << slot) != 0 {
                    let id = frame.first_id + at as u64;
                    assert_eq!(frame.batch.lines().get(at).unwrap(), self.written[&id].0.as_bytes());
                    got.push(id);
                }
            }
        }
        assert_eq!(got, expected[..got.len()], "slot {slot}");
        hand.held.extend(got);
        let settle = settle.min(hand.held.len());
        if settle > 0 {
            let rest = hand.held.split_off(settle);
            let upto = hand.held.last().unwrap() + 1;
            hand.reader.commit(upto, settle as u64);
            hand.committed = upto;
            hand.settled += settle as u64;
            hand.held = rest;
        }
    }

    fn check(&mut self) {
        for (slot, name) in NAMES.iter().enumerate() {
            let status = common::slot(self.spool(), name);
            let queued = self.wanted(slot, self.hands[slot].committed, u64::MAX).len() as u64;
            assert_eq!(status.queued, queued, "{status:?}");
            let hand = &self.hands[slot];
            let settled = status.wanted - status.queued - status.skipped - status.lost;
            assert_eq!(settled, hand.settled_before + hand.settled, "{status:?}");
        }
    }

    /// After a start: what is there, and is it all that must be?
    fn survey(&mut self, old: &[(u64, u64)], orderly: bool) {
        let spool = self.spool().clone();
        let mut there = BTreeMap::new();
        for (slot, (durably, committed)) in old.iter().enumerate() {
            let status = common::slot(&spool, NAMES[slot]);
            let mut reader = spool.reader(slot as u32);
            let from = reader.position();
            assert!(from >= *durably && from <= (*committed).max(spool.next_id()), "{status:?} {durably} {committed}");
            let (found, _) = drain(&mut reader, slot as u32);
            assert_eq!(status.queued, found.len() as u64, "{status:?}, found {found:?}");
            assert_eq!(common::slot(&spool, NAMES[slot]).queued, status.queued);
            let ids: Vec<u64> = found.iter().map(|(id, _)| *id).collect();
            assert!(ids.is_sorted_by(|a, b| a < b), "{ids:?}");
            for id in self.wanted(slot, from, if orderly { u64::MAX } else { self.durable }) {
                assert!(ids.contains(&id), "slot {slot}: {id} is not in {ids:?}");
            }
            for (id, text) in found {
                assert_eq!(self.written.get(&id).map(|(text, _)| text), Some(&text), "{id} was never written");
                assert!(self.written[&id].1 & (1 << slot) != 0);
                there.insert(id, ());
            }
        }
        // Whoever wants a message: it is there for all of them or for none.
        if !orderly {
            self.written.retain(|id, _| *id < self.durable || there.contains_key(id));
        }
    }

    fn reopen(&mut self, options: &Options, fs: Simulated, orderly: bool) {
        let old: Vec<(u64, u64)> = self.hands.iter().map(|hand| (hand.durably, hand.committed)).collect();
        self.hands.clear();
        self.spool = None;
        let (spool, recovery) = open(fs.clone(), options.clone());
        assert!(!recovery.state_damaged || !orderly, "{recovery:?}");
        assert_eq!(recovery.damaged_messages, 0, "{recovery:?}");
        self.fs = fs;
        self.spool = Some(spool);
        self.hands();
        let durably: Vec<u64> = self.hands.iter().map(|hand| hand.committed).collect();
        self.survey(&old, orderly);
        // Looking moves the cursor over what holds nothing, in memory only.
        self.hands();
        self.hands.iter_mut().zip(durably).for_each(|(hand, durably)| hand.durably = durably);
        self.durable = self.spool().next_id();
    }

    fn step(&mut self, step: &Step, options: &Options) {
        match step {
            Step::Append(messages) => self.append(messages),
            Step::Read(slot, frames, settle) => self.read(*slot, *frames, *settle),
            Step::Rewind(slot) => {
                let hand = &mut self.hands[*slot];
                let half = hand.held.len() / 2;
                let to = if half == 0 { hand.committed } else { hand.held[half] };
                hand.held.truncate(half);
                hand.reader.rewind(to);
            }
            Step::CommitDurably(slot) => {
                let hand = &mut self.hands[*slot];
                hand.reader.commit_durably(hand.committed, 0).unwrap();
                self.hands.iter_mut().for_each(|hand| hand.durably = hand.committed);
            }
            Step::Sync => {
                let spool = self.spool().clone();
                sync(&spool).unwrap();
                assert_eq!(spool.durable_id(), spool.next_id());
                self.durable = spool.next_id();
                wait(spool.when_durable(0)).unwrap();
            }
            Step::Crash(seed) => {
                let fs = self.fs.crash(*seed);
                self.reopen(options, fs, false);
            }
            Step::Kill => {
                let fs = self.fs.kill();
                self.durable = self.spool().next_id();
                self.reopen(options, fs, true);
            }
            Step::Close => {
                self.spool().close();
                self.hands.iter_mut().for_each(|hand| hand.durably = hand.committed);
                let fs = self.fs.kill();
                self.reopen(options, fs, true);
            }
        }
        self.check();
    }
}

proptest! {
    #![proptest_config(ProptestConfig {
        cases: std::env::var("PROPTEST_CASES").ok().and_then(|cases| cases.parse().ok()).unwrap_or(2000),
        failure_persistence: None,
        max_shrink_iters: 4000,
        ..ProptestConfig::default()
    })]

    #[test]
    fn any_life_keeps_the_promises(steps in proptest::collection::vec(step(), 1..60)) {
        let options = small();
        let mut model = Model::new(&options);
        for step in &steps {
            model.step(step, &options);
        }
    }
}
