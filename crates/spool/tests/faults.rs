//! Every call to the disk fails once, in every way. Then the disk is well again, and the power goes: the promises hold.

mod common;

use common::{append, crash, drain, open, small, sync};
use metlog_spool::simulated::{Fault, Simulated};
use metlog_spool::{Options, Spool};
use std::collections::BTreeMap;
use std::sync::Arc;

/// What the world outside knows.
#[derive(Default)]
struct Outside {
    /// Everything that was offered, and what was acknowledged.
    offered: BTreeMap<u64, String>,
    acknowledged: Vec<(u64, String)>,
    committed: u64,
    highest: u64,
    failures: u32,
    /// The disk failed so often in one place that the reader went on without.
    gave_up_reading: bool,
}

fn put(spool: &Arc<Spool<Simulated>>, outside: &mut Outside, count: u64, wait: bool) {
    let texts: Vec<String> =
        (0..count).map(|at| format!("{} {at} {}", outside.offered.len(), "x".repeat(40))).collect();
    let messages: Vec<(&str, u64)> = texts.iter().map(|text| (text.as_str(), 0b01)).collect();
    let first = match append(spool, &messages) {
        Ok(first) => first,
        Err(_) => {
            outside.failures += 1;
            return;
        }
    };
    assert!(first >= outside.highest, "id {first} once more");
    outside.highest = first + count;
    outside.offered.extend((first..).zip(texts.clone()));
    if wait {
        match sync(spool) {
            Ok(()) => outside.acknowledged = outside.offered.clone().into_iter().collect(),
            Err(_) => outside.failures += 1,
        }
    }
}

/// A day of a spool. It gets on, whatever one call does.
fn live(fs: &Simulated, options: &Options, outside: &mut Outside) -> Option<Arc<Spool<Simulated>>> {
    let (spool, _) = Spool::open(fs.clone(), options.clone()).ok()?;
    let slot = spool.slot("files", true).ok()?;
    let mut reader = spool.reader(slot);
    for round in 0..70 {
        put(&spool, outside, 1 + round % 3, false);
        put(&spool, outside, 2, true);
        let mut settled = 0;
        for _ in 0..2 {
            // A failure to read ends by itself.
            while let Ok(Some(frame)) = reader.try_next() {
                settled += frame.batch.len() as u64;
            }
        }
        if round % 3 == 2 {
            reader.commit(reader.position(), settled);
        } else {
            reader.rewind(0);
        }
        if round % 9 == 6 && reader.commit_durably(reader.position(), 0).is_ok() {
            outside.committed = reader.position();
        }
        outside.committed = outside.committed.max(reader.position());
    }
    Some(spool)
}

fn check(fs: &Simulated, options: &Options, outside: &Outside, what: &str) {
    let (spool, recovery) = open(fs.clone(), options.clone());
    assert_eq!(recovery.damaged_messages, 0, "{what}: {recovery:?}");
    let slot = spool.slot("files", true).unwrap();
    let mut reader = spool.reader(slot);
    let from = reader.position();
    let queued = common::slot(&spool, "files").queued;
    let (found, _) = drain(&mut reader, slot);
    if !outside.gave_up_reading {
        assert_eq!(queued, found.len() as u64, "{what}");
    }
    // What could not be read, and was taken for lost, is there again.
    assert_eq!(common::slot(&spool, "files").queued, found.len() as u64, "{what}");
    assert!(found.is_sorted_by(|a, b| a.0 < b.0), "{what}");
    assert!(from <= outside.committed.max(spool.next_id()));
    for (id, text) in outside.acknowledged.iter().filter(|(id, _)| *id >= from.max(outside.committed)) {
        assert!(found.contains(&(*id, text.clone())), "{what}: {id} was acknowledged; from {from}: {found:?}");
    }
    for (id, text) in &found {
        assert_eq!(outside.offered.get(id), Some(text), "{what}: {id}");
    }
    // And it goes on.
    let first = append(&spool, &[("one more", 1)]).unwrap();
    assert!(first >= outside.highest, "{what}: id {first} once more, {}", outside.highest);
    sync(&spool).unwrap();
}

fn campaign(ever_after: bool) {
    let options = small();
    let calls = {
        let fs = Simulated::new();
        let mut outside = Outside::default();
        let spool = live(&fs, &options, &mut outside).unwrap();
        assert_eq!(outside.failures, 0);
        assert_eq!(outside.acknowledged.len(), outside.offered.len());
        spool.close();
        fs.calls()
    };
    assert!(calls > 250, "{calls} calls only");
    for fault in [Fault::Io, Fault::Full, Fault::Short] {
        let mut injected = 0;
        for call in 0..calls {
            let fs = Simulated::new();
            fs.fail(call, fault, ever_after);
            let mut outside = Outside::default();
            let spool = live(&fs, &options, &mut outside);
            fs.heal();
            if let Some(spool) = &spool {
                // Whatever it was, it is over: the next attempt succeeds.
                let failures = outside.failures;
                put(spool, &mut outside, 1, true);
                assert_eq!(outside.failures, failures, "{fault:?} at {call}: {:?}", spool.status());
                if !ever_after && fault == Fault::Short {
                    assert_eq!(failures, 0, "a short write is no failure");
                }
            }
            outside.gave_up_reading = spool.as_ref().is_some_and(|spool| spool.status().damaged_bytes > 0);
            injected += fs.injected(fault);
            let after = match spool {
                Some(spool) => crash(spool, &fs, call),
                None => fs.crash(call),
            };
            check(&after, &options, &outside, &format!("{fault:?} at {call} of {calls}"));
        }
        assert!(injected > 50, "{fault:?} happened {injected} times only");
    }
}

#[test]
fn each_call_fails_once() {
    campaign(false);
}

#[test]
fn from_each_call_on_all_fail() {
    campaign(true);
}

#[test]
fn one_call_that_fails_at_a_start_costs_no_message() {
    let options = small();
    let fs = Simulated::new();
    let mut outside = Outside::default();
    let spool = live(&fs, &options, &mut outside).unwrap();
    let behind = outside.highest;
    (0..40).for_each(|_| put(&spool, &mut outside, 3, true));
    let left = crash(spool, &fs, 1);
    let (mut started, mut refused) = (0, 0);
    for call in 0..120 {
        let fs = left.copy();
        fs.fail(call, Fault::Io, false);
        let Ok((spool, recovery)) = Spool::open(fs.clone(), options.clone()) else {
            refused += 1;
            continue;
        };
        let Ok(slot) = spool.slot("files", true) else { continue };
        started += fs.injected(Fault::Io);
        assert_eq!(recovery.damaged_messages, 0, "{call}: {recovery:?}");
        let (found, _) = drain(&mut spool.reader(slot), slot);
        let lost = outside.acknowledged.iter().filter(|(id, _)| *id >= behind).find(|message| !found.contains(message));
        assert_eq!(lost, None, "{call}: {recovery:?}");
    }
    assert!(started > 10 && refused > 0, "{started} starts over a failing call, {refused} refused");
}
