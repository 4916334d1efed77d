//! Every bit of a small spool is turned over, and every file cut at every place: it opens, only what was hit is lost, and
//! the losses are told exactly. `METLOG_SPOOL_ALL=1` for really every bit; without, some of them.

mod common;

use common::{append, drain, open, small, sync};
use metlog_spool::Options;
use metlog_spool::simulated::Simulated;
use std::collections::BTreeMap;

/// Two endpoints; frames of one to three messages in three files or more.
fn sample(options: &Options, clean: bool) -> (Simulated, BTreeMap<u64, (String, u64)>) {
    let fs = Simulated::new();
    let (spool, _) = open(fs.clone(), options.clone());
    spool.slot("files", true).unwrap();
    spool.slot("pager", true).unwrap();
    let mut written = BTreeMap::new();
    for round in 0..16_u64 {
        let texts: Vec<(String, u64)> =
            (0..1 + round % 3).map(|at| (format!("{round} {at} {}", "y".repeat(70)), 1 + (round + at) % 3)).collect();
        let messages: Vec<(&str, u64)> = texts.iter().map(|(text, wants)| (text.as_str(), *wants)).collect();
        let first = append(&spool, &messages).unwrap();
        written.extend((first..).zip(texts));
    }
    sync(&spool).unwrap();
    if clean {
        spool.close();
    } else {
        // So that the state knows what is on disk.
        spool.reader(0).commit_durably(0, 0).unwrap();
    }
    (fs.kill(), written)
}

fn all() -> bool {
    std::env::var_os("METLOG_SPOOL_ALL").is_some()
}

/// Opens a damaged one, reads everything; returns how many messages are missing.
fn check(fs: &Simulated, options: &Options, written: &BTreeMap<u64, (String, u64)>, what: &str) -> u64 {
    let (spool, recovery) = open(fs.clone(), options.clone());
    let mut there = BTreeMap::new();
    for (number, name) in ["files", "pager"].into_iter().enumerate() {
        let slot = spool.slot(name, true).unwrap();
        assert_eq!(slot as usize, number, "{what}: {recovery:?}");
        let mut reader = spool.reader(slot);
        let (found, _) = drain(&mut reader, slot);
        assert!(found.is_sorted_by(|a, b| a.0 < b.0), "{what}");
        for (id, text) in &found {
            assert_eq!(written.get(id).map(|(text, _)| text), Some(text), "{what}");
            there.insert(*id, ());
        }
        let wanted = written.values().filter(|(_, wants)| wants & (1 << slot) != 0).count() as u64;
        let status = common::slot(&spool, name);
        assert_eq!(status.queued, found.len() as u64, "{what}: {status:?} {recovery:?}");
        if recovery.clean {
            assert_eq!(status.lost + status.queued, wanted, "{what}: {status:?} {recovery:?}");
        }
    }
    let missing = written.len() as u64 - there.len() as u64;
    let status = spool.status();
    assert_eq!(status.damaged_messages, missing, "{what}: {status:?} {recovery:?}");
    let first = append(&spool, &[("new", 3)]).unwrap();
    assert!(first > *written.keys().last().unwrap(), "{what}");
    sync(&spool).unwrap();
    missing
}

#[test]
fn any_bit() {
    let options = small();
    for clean in [true, false] {
        let (fs, written) = sample(&options, clean);
        let mut most = 0;
        let mut files = 0;
        for name in fs.names() {
            let content = fs.content(&name).unwrap();
            let used = if name == "state" { content.len().min(2000) } else { content.len() };
            files += 1;
            let step = if all() { 1 } else { 13 };
            for bit in (0..used * 8).step_by(step) {
                let copy = fs.copy();
                let mut bad = content.clone();
                bad[bit / 8] ^= 1 << (bit % 8);
                copy.set_content(&name, &bad);
                let missing = check(&copy, &options, &written, &format!("clean {clean}, {name}, bit {bit}"));
                assert!(missing <= 3, "{name}, bit {bit}: {missing} missing");
                most = most.max(missing);
            }
        }
        assert!(most > 0 && files >= 4, "nothing was hit");
    }
}

#[test]
fn any_cut() {
    let options = small();
    let (fs, written) = sample(&options, true);
    for name in fs.names() {
        let content = fs.content(&name).unwrap();
        let step = if name == "state" {
            997
        } else if all() {
            1
        } else {
            5
        };
        for length in (0..content.len()).step_by(step) {
            let copy = fs.copy();
            copy.set_content(&name, &content[..length]);
            check(&copy, &options, &written, &format!("{name} cut to {length}"));
        }
    }
}

#[test]
fn files_that_are_gone_twice_there_or_mixed_up() {
    let options = small();
    let (fs, written) = sample(&options, true);
    let segments: Vec<String> = fs.names().into_iter().filter(|name| name.ends_with(".mls")).collect();
    assert!(segments.len() >= 3);
    for name in &segments {
        // Twice there, under a name that is none of ours, and under one that is.
        let copy = fs.copy();
        let content = fs.content(name).unwrap();
        copy.set_content("somebody's", &content);
        copy.set_content("seg-00000000000000000777.mls", &content);
        assert_eq!(check(&copy, &options, &written, name), 0);
        assert_eq!(copy.kill().content("somebody's").as_ref(), Some(&content), "not ours, so left alone");
    }
    // Names exchanged: a header says where its file belongs.
    let copy = fs.copy();
    copy.set_content(&segments[0], &fs.content(&segments[1]).unwrap());
    copy.set_content(&segments[1], &fs.content(&segments[0]).unwrap());
    assert_eq!(check(&copy, &options, &written, "exchanged"), 0);
    // Zeros behind the end, as some file systems leave them.
    let copy = fs.copy();
    let last = segments.last().unwrap();
    let mut content = fs.content(last).unwrap();
    content.extend([0; 5000]);
    copy.set_content(last, &content);
    assert_eq!(check(&copy, &options, &written, "zeros"), 0);
}
