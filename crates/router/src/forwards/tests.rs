use super::*;
use crate::accounting::InputAccount;
use crate::deadletters::DeadLetters;
use crate::intake::Door;
use crate::routes::{Route, Routes};
use metlog_message::wire;
use metlog_pipeline::{Inlet, Receipt};
use metlog_spool::{Disk, Options};

/// A router's floor in a directory of its own, on which one slot wants everything that [`bring`] brings.
struct Place(PathBuf);

impl Place {
    fn new(name: &str) -> Place {
        let path = std::env::temp_dir().join(format!("metlog-forwards-{name}-{}", std::process::id()));
        let _ = std::fs::remove_dir_all(&path);
        std::fs::create_dir_all(&path).expect("a directory");
        Place(path)
    }

    fn open(&self) -> Arc<Floor> {
        let (forwards, from) = Forwards::open(&self.0);
        let disk = Disk::open(self.0.join("spool")).expect("ours");
        let options =
            Options { hold: from.unwrap_or(u64::MAX), segment_bytes: 4096, free_floor: 0, ..Options::default() };
        let (spool, recovery) = Spool::open(disk, options).expect("a spool");
        let slot = spool.slot("all", true).expect("a slot");
        assert_eq!(slot, 0);
        let everything = Route {
            endpoint: "all".to_owned(),
            slot,
            inputs: None,
            severity_max: None,
            types: None,
            filters: Vec::new(),
            alerts: false,
        };
        let routes = Routes::new(vec![everything], Vec::new());
        let dead = DeadLetters::new(self.0.join("dead"), 1 << 20);
        let mut floor = Floor::new(spool, dead, wire::Limits::default(), routes);
        floor.identity = 0xc0ffee;
        forwards.begin(&floor.spool, from, recovery.fresh).expect("begun");
        floor.forwards = forwards;
        Arc::new(floor)
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

fn message(number: u64) -> String {
    format!(
        r#"{{"type":"a","timestamp":"2026-11-21T08:00:00.000000Z","logger":"","severity":6,"payload":"{number}","fields":{{}},"env_version":"0.8","metlog_pid":1,"metlog_hostname":"h"}}"#
    )
}

fn inlet(floor: &Arc<Floor>) -> Inlet {
    Inlet::new(Box::new(Door::new(floor.clone(), Arc::new(InputAccount::new("t")), 0)))
}

fn told(key: &str, from: &str, ids: impl IntoIterator<Item = u64>) -> Forwarded {
    let passed = from.split('/').next().unwrap_or_default().to_owned();
    Forwarded { key: key.into(), from: from.into(), ids: ids.into_iter().collect(), passed }
}

/// Brings messages under these ids; what became of them.
fn bring(floor: &Arc<Floor>, key: &str, from: &str, messages: impl IntoIterator<Item = (u64, String)>) -> Receipt {
    let messages: Vec<(u64, String)> = messages.into_iter().collect();
    let mut inlet = inlet(floor);
    inlet.forwarded(told(key, from, messages.iter().map(|(id, _)| *id))).expect("no loop");
    messages.iter().for_each(|(_, message)| inlet.push(message.as_bytes()));
    inlet.commit().expect("room")
}

fn counts(receipt: &Receipt) -> (usize, usize, usize) {
    (receipt.accepted, receipt.duplicates, receipt.rejected.len())
}

const A: &str = "00000000000000aa/central";
const B: &str = "00000000000000bb/central";

#[test]
fn what_comes_again_is_known_however_it_is_cut_and_whoever_was_killed() {
    let place = Place::new("again");
    let floor = place.open();
    let batch = |ids: std::ops::Range<u64>| ids.map(|id| (id, message(id)));
    assert_eq!(counts(&bring(&floor, "k", A, batch(10..20))), (10, 0, 0));
    assert_eq!(counts(&bring(&floor, "k", A, batch(15..25))), (5, 5, 0));
    // Ids that were not among them come late, as after a change of conditions.
    assert_eq!(counts(&bring(&floor, "k", A, (0..30).step_by(3).map(|id| (id, message(id))))), (5, 5, 0));
    let before = floor.spool.next_id();
    assert_eq!(counts(&bring(&floor, "k", A, batch(10..25))), (0, 15, 0));
    assert_eq!(floor.spool.next_id(), before, "nothing more is kept");
    // The file tells nothing of it yet: a process that is killed here leaves the notes alone.
    assert_eq!(codec::read(&std::fs::read(place.0.join("forwards")).expect("there")).expect("whole").1, vec![]);
    drop(floor);
    let floor = place.open();
    assert_eq!(counts(&bring(&floor, "k", A, batch(8..26))), (2, 16, 0));
    // Saved, and every file of the spool gone since everybody is through with it.
    floor.forwards.look(&floor.spool, true);
    drop(floor);
    let floor = place.open();
    assert_eq!(counts(&bring(&floor, "k", A, batch(8..26))), (0, 18, 0));
    assert_eq!(floor.forwards.totals().duplicates, 18);
}

#[test]
fn files_stay_until_what_they_say_of_forwarded_messages_is_saved() {
    let place = Place::new("hold");
    let floor = place.open();
    for round in 0..30 {
        bring(&floor, "", A, (round * 10..round * 10 + 10).map(|id| (id, message(id))));
    }
    let through = floor.spool.next_id();
    floor.spool.reader(0).commit_durably(through, 300).expect("a cursor");
    let files = |floor: &Floor| floor.spool.status().segments;
    let held = files(&floor);
    assert!(held > 10);
    floor.spool.reader(0).commit_durably(through, 0).expect("a cursor");
    assert_eq!(files(&floor), held, "nobody wants them and they stay");
    let gone = metlog_testkit::eventually(Duration::from_secs(20), || {
        floor.forwards.look(&floor.spool, true);
        floor.spool.reader(0).commit_durably(through, 0).expect("a cursor");
        files(&floor) < 3
    });
    assert!(gone, "{} files", files(&floor));
    drop(floor);
    let floor = place.open();
    assert_eq!(counts(&bring(&floor, "", A, (0..300).map(|id| (id, message(id))))), (0, 300, 0));
}

#[test]
fn nobody_is_kept_from_bringing_theirs_by_what_others_say() {
    let place = Place::new("others");
    let floor = place.open();
    // Somebody with a key of their own who says to be another router; and that router's other endpoint.
    assert_eq!(counts(&bring(&floor, "mallory", A, (0..100).map(|id| (id, message(id))))), (100, 0, 0));
    assert_eq!(counts(&bring(&floor, "alice", A, (0..100).map(|id| (id, message(id))))), (100, 0, 0));
    assert_eq!(counts(&bring(&floor, "alice", B, (0..100).map(|id| (id, message(id))))), (100, 0, 0));
    // With the same key, the same name and the same ids: a copied disk. Other messages are other messages.
    assert_eq!(counts(&bring(&floor, "alice", A, (0..100).map(|id| (id, message(id + 1000))))), (100, 0, 0));
    assert_eq!(floor.forwards.totals().changed, 100);
    assert_eq!(counts(&bring(&floor, "alice", A, (0..100).map(|id| (id, message(id))))), (0, 100, 0));
    assert_eq!(counts(&bring(&floor, "alice", A, (0..100).map(|id| (id, message(id + 1000))))), (0, 100, 0));
    // The highest ids there are do not make lower ones old.
    assert_eq!(counts(&bring(&floor, "alice", A, [(u64::MAX - 1, message(7))])), (1, 0, 0));
    assert_eq!(counts(&bring(&floor, "alice", A, (100..200).map(|id| (id, message(id))))), (100, 0, 0));
}

#[test]
fn thousands_of_names_cost_their_own_key_and_bounded_memory() {
    let place = Place::new("names");
    let floor = place.open();
    let good = |id: u64| [(id, message(id))];
    assert_eq!(counts(&bring(&floor, "alice", A, good(1))), (1, 0, 0));
    for number in 0..2 * STREAMS {
        bring(&floor, "mallory", &format!("{number:016x}/x"), good(1));
    }
    let totals = floor.forwards.totals();
    assert_eq!(totals.routers, STREAMS);
    assert!(totals.forgotten >= STREAMS as u64);
    assert_eq!(counts(&bring(&floor, "alice", A, good(1))), (0, 1, 0), "hers is still known");
    // One that sends a lot is remembered as far as its share goes, the latest best.
    let share = (MESSAGES / STREAMS).max(OF_ONE.0) as u64;
    for start in (0..3 * share).step_by(500) {
        bring(&floor, "alice", B, (start..start + 500).map(|id| (id, message(id))));
    }
    assert!(floor.forwards.totals().remembered <= (STREAMS as u64) + share + 4096);
    let last = 3 * share - 500;
    assert_eq!(counts(&bring(&floor, "alice", B, (last..last + 500).map(|id| (id, message(id))))).1, 500);
    assert_eq!(counts(&bring(&floor, "alice", B, good(0))), (1, 0, 0), "forgotten: it comes twice rather than never");
}

#[test]
fn what_is_refused_is_refused_again_and_kept_by_whoever_brought_it() {
    let place = Place::new("refused");
    let floor = place.open();
    let mixed = || [(1, message(1)), (2, "no message".to_owned()), (3, message(3))];
    assert_eq!(counts(&bring(&floor, "", A, mixed())), (2, 0, 1));
    assert_eq!(counts(&bring(&floor, "", A, mixed())), (0, 2, 1));
    assert_eq!(floor.dead.totals().written, 0);
    assert_eq!(counts(&bring(&floor, "", A, [(2, message(2))])), (1, 0, 0), "put right there and sent again");
}

#[test]
fn another_request_with_the_same_messages_waits_for_the_first() {
    let place = Place::new("collision");
    let floor = place.open();
    let (mut first, mut second) = (inlet(&floor), inlet(&floor));
    for inlet in [&mut first, &mut second] {
        inlet.forwarded(told("", A, 1..3)).expect("no loop");
        (1..3).for_each(|id| inlet.push(message(id).as_bytes()));
    }
    assert_eq!(counts(&first.commit().expect("room")), (2, 0, 0));
    assert!(second.commit().expect_err("the same").why.contains("just bringing the same"));
    second.drop_pushed(metlog_pipeline::Reason::SpoolFull);
    assert_eq!(counts(&bring(&floor, "", A, (1..3).map(|id| (id, message(id))))), (0, 2, 0));
    assert_eq!(floor.forwards.totals().collisions, 1);
    // What was said and not followed by anything is forgotten with the request.
    let mut idle = inlet(&floor);
    idle.forwarded(told("", A, 1..3)).expect("no loop");
    idle.commit().expect("nothing");
    idle.push(message(1).as_bytes());
    assert_eq!(counts(&idle.commit().expect("room")), (1, 0, 0));
}

#[test]
fn circles_and_long_ways_are_refused() {
    let place = Place::new("circles");
    let floor = place.open();
    let hop = |passed: String| inlet(&floor).forwarded(Forwarded { passed, ..told("", A, [1]) });
    let looping = hop("00000000000000aa,0000000000c0ffee".into()).expect_err("a loop");
    assert_eq!(looping.here.as_deref(), Some("0000000000c0ffee"));
    let way: Vec<String> = (0..=PASSED as u64).map(number).collect();
    let long = hop(way.join(",")).expect_err("too long");
    assert!(long.here.is_none() && long.why.contains("more than 16"), "{}", long.why);
    assert_eq!(floor.forwards.totals().loops, 2);
    assert!(hop(way[1..].join(",")).is_ok());
}

#[test]
fn a_damaged_file_costs_nothing_and_one_of_another_spool_is_not_believed() {
    let place = Place::new("damaged");
    let floor = place.open();
    let batch = || (0..50).map(|id| (id, message(id)));
    bring(&floor, "", A, batch());
    floor.forwards.look(&floor.spool, true);
    drop(floor);
    std::fs::write(place.0.join("forwards"), b"metlog forwards 1\ngarbage").expect("written");
    let floor = place.open();
    assert_eq!(counts(&bring(&floor, "", A, batch())), (0, 50, 0));
    drop(floor);
    std::fs::remove_dir_all(place.0.join("spool")).expect("gone");
    let floor = place.open();
    assert_eq!(counts(&bring(&floor, "", A, batch())), (50, 0, 0), "they were in the old one and are gone with it");
}
