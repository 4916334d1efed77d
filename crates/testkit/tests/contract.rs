//! The suite catches senders that break their promises: a test that cannot fail proves nothing.

use metlog_message::Lines;
use metlog_pipeline::{SendError, Sender};
use metlog_testkit::contract as clauses;
use metlog_testkit::{Arrived, Delivery, Peer, sample};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, Mutex};
use std::time::Duration;

/// How a sender misbehaves.
#[derive(Clone, Copy, PartialEq)]
enum Fault {
    None,
    Drops,
    Doubles,
    Reorders,
    Garbles,
    Respaces,
    BreaksHalfWay,
    Repeats,
    Skips,
    RefusesSilently,
    LiesAboutDone,
    HangsInFlush,
    HangsInClose,
}

#[derive(Clone)]
struct Memory {
    fault: Fault,
    up: Arc<Mutex<bool>>,
    taken: Arc<Mutex<Vec<Vec<u8>>>>,
    refuses: Arc<Mutex<Vec<u64>>>,
    sends: usize,
}

impl Memory {
    fn new(fault: Fault) -> Self {
        Memory { fault, up: Arc::new(Mutex::new(true)), taken: Arc::default(), refuses: Arc::default(), sends: 0 }
    }

    fn take(&self, lines: &[Vec<u8>]) -> Vec<usize> {
        let refuses = self.refuses.lock().expect("no panic");
        let refused = |line: &Vec<u8>| sample::number(line).is_some_and(|number| refuses.contains(&number));
        self.taken.lock().expect("no panic").extend(lines.iter().filter(|line| !refused(line)).cloned());
        (0..lines.len()).filter(|at| refused(&lines[*at])).collect()
    }
}

impl Sender for Memory {
    fn send(&mut self, batch: &Lines) -> Result<(), SendError> {
        if !*self.up.lock().expect("no panic") {
            let done = if self.fault == Fault::LiesAboutDone { batch.len() - 1 } else { 0 };
            return Err(SendError::retry_after_first(done, "gone"));
        }
        let mut lines: Vec<Vec<u8>> = batch.iter().map(<[u8]>::to_vec).collect();
        self.sends += 1;
        let half = lines.len() / 2;
        // Every second call breaks half way; `done` says where it goes on.
        let goes_on_at = match self.fault {
            Fault::BreaksHalfWay => Some(half),
            Fault::Repeats => Some(0),
            Fault::Skips => Some(half + 1),
            _ => None,
        };
        if let Some(done) = goes_on_at.filter(|_| self.sends % 2 == 1 && lines.len() > 2) {
            self.take(&lines[..half]);
            return Err(SendError::retry_after_first(done, "half way"));
        }
        match self.fault {
            Fault::Drops => drop(lines.pop()),
            Fault::Doubles => lines.extend(lines.last().cloned()),
            Fault::Reorders => lines.reverse(),
            Fault::Garbles => lines.iter_mut().for_each(|line| line.retain(|byte| *byte != b'\\')),
            Fault::Respaces => lines.iter_mut().for_each(|line| line.push(b' ')),
            _ => {}
        }
        let which = self.take(&lines);
        if which.is_empty() || self.fault == Fault::RefusesSilently {
            return Ok(());
        }
        Err(SendError::Refuse { why: "asked to".into(), which })
    }

    fn flush(&mut self) -> Result<(), SendError> {
        if self.fault == Fault::HangsInFlush && !*self.up.lock().expect("no panic") {
            std::thread::sleep(Duration::from_millis(5500));
        }
        Ok(())
    }

    fn close(&mut self, _within: Duration) -> Result<(), SendError> {
        if self.fault == Fault::HangsInClose {
            std::thread::sleep(Duration::from_secs(3));
        }
        Ok(())
    }
}

impl Peer for Memory {
    fn sender(&mut self) -> Box<dyn Sender> {
        Box::new(self.clone())
    }
    fn arrived(&mut self) -> Vec<Arrived> {
        self.taken.lock().expect("no panic").iter().map(|line| Arrived::of_json(line)).collect()
    }
    fn delivery(&self) -> Delivery {
        Delivery::Exact
    }
    fn patience(&self) -> Duration {
        Duration::from_millis(100)
    }
    fn stop(&mut self) -> bool {
        *self.up.lock().expect("no panic") = false;
        true
    }
    fn start(&mut self) {
        *self.up.lock().expect("no panic") = true;
    }
    fn refuse(&mut self, numbers: &[u64]) -> bool {
        *self.refuses.lock().expect("no panic") = numbers.to_vec();
        true
    }
}

metlog_testkit::contract!(Memory::new(Fault::None));

mod breaks_half_way {
    use super::*;
    metlog_testkit::contract!(Memory::new(Fault::BreaksHalfWay); success content gone_and_back close_with_dead_peer);
}

fn fails(fault: Fault, clause: fn(&mut dyn Peer)) -> bool {
    catch_unwind(AssertUnwindSafe(|| clause(&mut Memory::new(fault)))).is_err()
}

#[test]
fn what_arrives_wrong_is_caught() {
    assert!(fails(Fault::Doubles, clauses::success));
    assert!(fails(Fault::Reorders, clauses::success));
    assert!(fails(Fault::Garbles, clauses::content));
    assert!(fails(Fault::Respaces, clauses::success));
}

#[test]
fn what_is_sent_again_after_done_is_caught() {
    assert!(fails(Fault::Repeats, clauses::success));
    assert!(fails(Fault::Repeats, clauses::gone_and_back));
}

#[test]
fn what_is_lost_is_caught() {
    assert!(fails(Fault::Drops, clauses::success));
    assert!(fails(Fault::Skips, clauses::success));
    assert!(fails(Fault::LiesAboutDone, clauses::gone_and_back));
    assert!(fails(Fault::RefusesSilently, clauses::refusal));
}

#[test]
fn a_close_that_hangs_is_caught() {
    assert!(fails(Fault::HangsInClose, clauses::close_with_dead_peer));
}

#[test]
fn a_flush_that_hangs_is_caught() {
    assert!(fails(Fault::HangsInFlush, clauses::flush));
}
