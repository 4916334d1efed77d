//! The suite catches senders that break their promises: a test that cannot fail proves nothing.

use metlog_message::Lines;
use metlog_pipeline::{SendError, Sender};
use metlog_testkit::contract as clauses;
use metlog_testkit::{Arrived, Delivery, Peer};
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
    LiesAboutDone,
    HangsInClose,
}

#[derive(Clone)]
struct Memory {
    fault: Fault,
    up: Arc<Mutex<bool>>,
    taken: Arc<Mutex<Vec<Vec<u8>>>>,
}

impl Memory {
    fn new(fault: Fault) -> Self {
        Memory { fault, up: Arc::new(Mutex::new(true)), taken: Arc::default() }
    }
}

impl Sender for Memory {
    fn send(&mut self, batch: &Lines) -> Result<(), SendError> {
        if !*self.up.lock().expect("no panic") {
            let done = if self.fault == Fault::LiesAboutDone { batch.len() - 1 } else { 0 };
            return Err(SendError::retry_after_first(done, "gone"));
        }
        let mut lines: Vec<Vec<u8>> = batch.iter().map(<[u8]>::to_vec).collect();
        match self.fault {
            Fault::Drops => drop(lines.pop()),
            Fault::Doubles => lines.extend(lines.last().cloned()),
            Fault::Reorders => lines.reverse(),
            Fault::Garbles => lines.iter_mut().for_each(|line| line.retain(|byte| *byte != b'\\')),
            _ => {}
        }
        self.taken.lock().expect("no panic").extend(lines);
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
        Delivery::AtLeastOnce
    }
    fn stop(&mut self) -> bool {
        *self.up.lock().expect("no panic") = false;
        true
    }
    fn start(&mut self) {
        *self.up.lock().expect("no panic") = true;
    }
}

metlog_testkit::contract!(Memory::new(Fault::None));

fn fails(fault: Fault, clause: fn(&mut dyn Peer)) -> bool {
    catch_unwind(AssertUnwindSafe(|| clause(&mut Memory::new(fault)))).is_err()
}

#[test]
fn each_fault_is_caught() {
    assert!(fails(Fault::Doubles, clauses::success));
    assert!(fails(Fault::Reorders, clauses::success));
    assert!(fails(Fault::Garbles, clauses::content));
    assert!(fails(Fault::HangsInClose, clauses::close_with_dead_peer));
    assert!(fails(Fault::LiesAboutDone, clauses::gone_and_back));
}

#[test]
fn a_lost_message_is_caught() {
    assert!(fails(Fault::Drops, clauses::success));
}
