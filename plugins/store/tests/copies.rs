//! Backups of a real file, and back from them.

mod support;

use metlog_pipeline::Endpoint;
use metlog_query::{Narrow, Store};
use metlog_settings::Span;
use metlog_store::{Config, copies};
use metlog_testkit::eventually;
use std::path::Path;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;
use support::{Folder, Writing, found, is_whole, positions, reading, word};

#[test]
fn a_copy_made_while_messages_come_is_one_moment_of_the_store() {
    let folder = Folder::new();
    let config = folder.config();
    let mut writing = Writing::open(&config);
    for batch in 0..20 {
        writing.fill(batch * 1000..(batch + 1) * 1000, "copied word");
    }
    let store = reading(&config);
    let (stop, written) = (AtomicBool::new(false), AtomicU64::new(20_000));
    let (before, copy) = std::thread::scope(|scope| {
        scope.spawn(|| {
            while !stop.load(Ordering::SeqCst) {
                let next = written.load(Ordering::SeqCst);
                writing.fill(next..next + 200, "copied word");
                written.store(next + 200, Ordering::SeqCst);
            }
        });
        let begun = eventually(Duration::from_secs(10), || written.load(Ordering::SeqCst) > 20_400);
        let before = written.load(Ordering::SeqCst);
        let copy = store.backup("before the move");
        let grew = eventually(Duration::from_secs(10), || written.load(Ordering::SeqCst) > before);
        stop.store(true, Ordering::SeqCst);
        assert!(begun && grew);
        (before, copy)
    });
    let copy = copy.unwrap_or_else(|why| panic!("{why}"));
    assert!(copy.whole && copy.note == "before the move" && copy.bytes > 1 << 20, "{copy:?}");
    assert_eq!(store.backups().expect("listed"), std::slice::from_ref(&copy));
    assert!(is_whole(copy.path.as_ref()));
    writing.fill(90_000..90_010, "after the copy");
    drop(writing);

    // What is in the copy is what was in the store then: a beginning of what is in it now.
    let place = Folder::new();
    assert_eq!(copies::restore(Path::new(&copy.path), &place.file()), Ok(None));
    let (now, then) = (found(&store, Narrow::default()), found(&reading(&place.config()), Narrow::default()));
    assert!(then.len() as u64 >= before && then.len().is_multiple_of(200), "{} {before}", then.len());
    assert!(now.len() > then.len() && now.starts_with(&then));
    assert_eq!(positions(&reading(&place.config()), word("copied")).len(), then.len());

    // Over the store itself, which nobody has open any more, and which is kept beside. Then it is written to again.
    drop(store);
    let kept = copies::restore(Path::new(&copy.path), &config.path).expect("restored").expect("there was one");
    let store = reading(&config);
    assert_eq!(found(&store, Narrow::default()), then);
    assert_eq!(found(&reading(&Config::at(kept)), Narrow::default()), now);
    let mut writing = Writing::open(&config);
    writing.fill(90_000..90_010, "after the copy");
    assert_eq!(positions(&store, word("after")), (90_000..90_010).collect::<Vec<_>>());
    assert_eq!(store.size().expect("measured").messages, then.len() as u64 + 10);
}

#[test]
fn a_store_in_use_is_not_replaced_and_a_damaged_copy_not_taken() {
    let folder = Folder::new();
    let config = folder.config();
    let mut writing = Writing::open(&config);
    for batch in 0..5 {
        writing.fill(batch * 1000..(batch + 1) * 1000, "words");
    }
    let store = reading(&config);
    let copy = store.backup("").expect("made");
    writing.fill(5000..5001, "later");
    let why = copies::restore(Path::new(&copy.path), &config.path).expect_err("in use");
    assert!(why.contains("stop the router"), "{why}");
    assert_eq!(positions(&store, word("later")), [5000]);
    writing.fill(5001..5002, "later");
    drop((writing, store));

    let mut bytes = std::fs::read(&copy.path).expect("read");
    bytes.iter_mut().skip(40_000).for_each(|byte| *byte = 0x5a);
    let damaged = folder.0.join("damaged.db");
    std::fs::write(&damaged, bytes).expect("written");
    let why = copies::restore(&damaged, &config.path).expect_err("damaged");
    assert!(why.contains("damaged"), "{why}");
    let other = folder.0.join("other.db");
    std::fs::write(&other, "not a copy at all").expect("written");
    let why = copies::restore(&other, &config.path).expect_err("foreign");
    assert!(why.contains("not a store"), "{why}");
    assert_eq!(positions(&reading(&config), word("later")), [5000, 5001]);
}

#[test]
fn the_oldest_copies_go() {
    let folder = Folder::new();
    let config = Config { keep_backups: 3, ..folder.config() };
    Writing::open(&config).fill(0..10, "words");
    std::fs::create_dir_all(folder.0.join("data/backups")).expect("made");
    let foreign = folder.0.join("data/backups/messages-of-somebody.db");
    std::fs::write(&foreign, "theirs").expect("written");
    let store = reading(&config);
    for number in 0..5 {
        store.backup(&number.to_string()).expect("made");
    }
    let notes: Vec<String> = store.backups().expect("listed").into_iter().map(|copy| copy.note).collect();
    assert_eq!(notes, ["4", "3", "2"]);
    assert!(foreign.exists());
}

#[test]
fn the_clock_makes_copies_too() {
    let folder = Folder::new();
    let config = Config { backup_every: Some(Span(Duration::from_secs(1))), keep_backups: 2, ..folder.config() };
    let mut writing = Writing::open(&config);
    writing.fill(0..10, "words");
    let store = reading(&config);
    assert!(eventually(Duration::from_secs(20), || {
        writing.0.tick().expect("nothing to say");
        store.backups().expect("listed").len() == 2
    }));
    assert!(store.backups().expect("listed").iter().all(|copy| copy.whole && copy.note == "by the clock"));
    writing.0.close(Duration::from_secs(10)).expect("closed");
}
