//! What every day brings, on a real disk or one that can be filled.

mod common;

use common::{Place, append, drain, open, slot, small, sync, wait};
use metlog_message::Batch;
use metlog_spool::simulated::Simulated;
use metlog_spool::{AppendError, Disk, OpenError, Options, SLOTS, Spool, Sync};
use std::os::unix::fs::{PermissionsExt, symlink};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

const MESSAGE: &str = "a message of some length, so that files fill up: 0123456789012345678901234567890123456789012345";

#[test]
fn what_is_appended_is_read_committed_and_still_known_after_a_restart() {
    let place = Place::new("restart");
    let (spool, recovery) = open(place.disk(), small());
    assert!(recovery.fresh && !recovery.state_damaged);
    let number = spool.slot("files", true).unwrap();
    for round in 0..10 {
        append(&spool, &[(&format!("m{round}"), 1), ("for somebody else", 2)]).unwrap();
    }
    let mut reader = spool.reader(number);
    assert_eq!(slot(&spool, "files").queued, 10);
    let (found, _) = drain(&mut reader, number);
    assert_eq!(found.len(), 10);
    reader.commit(found[6].0 + 1, 7);
    drop(reader);
    spool.close();
    let error = append(&spool, &[("too late", 1)]).unwrap_err();
    assert_eq!(error.to_string(), "the spool cannot be written: the spool is closed");
    drop(spool);

    let (spool, recovery) = open(place.disk(), small());
    assert!(recovery.clean, "{recovery:?}");
    assert_eq!(recovery.orphans, ["files"]);
    let status = slot(&spool, "files");
    assert!(!status.registered && status.queued == 3 && status.oldest.is_some(), "{status:?}");
    let number = spool.slot("files", true).unwrap();
    let mut reader = spool.reader(number);
    assert!(reader.wait(Duration::from_secs(60)), "what is left from before has to be delivered too");
    assert_eq!(drain(&mut reader, number).0, found[7..]);
    assert!(!reader.wait(Duration::from_millis(1)));
}

#[test]
fn ids_begin_where_they_are_told_to_in_a_new_spool_alone() {
    let place = Place::new("first-id");
    let from = |first_id| open(place.disk(), Options { first_id, ..small() });
    let (spool, _) = from(5_000);
    assert_eq!(append(&spool, &[("m", 1)]).unwrap(), 5_000);
    spool.close();
    drop(spool);
    let (spool, _) = from(9_000);
    assert_eq!(append(&spool, &[("m", 1)]).unwrap(), 5_001, "the same spool goes on");
    spool.close();
}

#[test]
fn the_directory_is_ours_alone() {
    let place = Place::new("alone");
    let disk = place.disk();
    let Err(OpenError::Taken { pid, .. }) = Disk::open(&place.0) else { panic!("twice") };
    assert_eq!(pid, Some(std::process::id()));
    let error = Disk::open(&place.0).unwrap_err().to_string();
    assert!(error.contains(&format!("belongs to process {}", std::process::id())), "{error}");
    let (spool, _) = open(disk, small());
    append(&spool, &[("m", 1)]).unwrap();
    let mode = |path: &std::path::Path| std::fs::symlink_metadata(path).unwrap().permissions().mode() & 0o7777;
    assert_eq!(mode(&place.0), 0o700);
    for entry in std::fs::read_dir(&place.0).unwrap() {
        let path = entry.unwrap().path();
        assert_eq!(mode(&path), 0o600, "{}", path.display());
    }
    drop(spool);
    std::fs::set_permissions(&place.0, PermissionsExt::from_mode(0o770)).unwrap();
    let error = Disk::open(&place.0).unwrap_err();
    assert!(matches!(error, OpenError::Exposed { mode: 0o770, .. }), "{error}");
    std::fs::set_permissions(&place.0, PermissionsExt::from_mode(0o700)).unwrap();
    let link = place.0.with_extension("link");
    let _ = std::fs::remove_file(&link);
    symlink(&place.0, &link).unwrap();
    assert!(Disk::open(&link).is_err());
    std::fs::remove_file(&link).unwrap();
    // A link in the place of a segment is not followed, and not touched.
    let elsewhere = place.0.with_extension("elsewhere");
    std::fs::write(&elsewhere, "somebody's").unwrap();
    let name = place.0.join("seg-00000000000000000900.mls");
    symlink(&elsewhere, &name).unwrap();
    let (spool, recovery) = open(place.disk(), small());
    assert_eq!(recovery.unreadable.len(), 1, "{recovery:?}");
    spool.close();
    assert_eq!(std::fs::read(&elsewhere).unwrap(), b"somebody's");
    std::fs::remove_file(elsewhere).unwrap();
}

/// The process that holds a lock is another one: this test's program again.
#[test]
fn another_process_is_named() {
    let place = Place::new("process");
    if let Ok(path) = std::env::var("METLOG_SPOOL_HOLD") {
        let _disk = Disk::open(path).unwrap();
        println!("held");
        std::thread::sleep(Duration::from_secs(60));
        return;
    }
    let mut child = std::process::Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "another_process_is_named", "--nocapture"])
        .env("METLOG_SPOOL_HOLD", &place.0)
        .stdout(std::process::Stdio::piped())
        .spawn()
        .unwrap();
    let mut lines = std::io::BufRead::lines(std::io::BufReader::new(child.stdout.take().unwrap()));
    assert!(lines.any(|line| line.unwrap().contains("held")));
    let result = Disk::open(&place.0);
    child.kill().unwrap();
    child.wait().unwrap();
    assert_eq!(result.unwrap_err(), OpenError::Taken { path: place.0.display().to_string(), pid: Some(child.id()) });
    place.disk();
}

fn fill(spool: &Spool<Simulated>, wants: u64) -> (u64, AppendError) {
    for count in 0..100_000 {
        if let Err(error) = append(spool, &[(MESSAGE, wants)]) {
            return (count, error);
        }
    }
    panic!("it is never full");
}

#[test]
fn a_full_spool_says_who_holds_it_and_goes_on_by_itself() {
    let options = Options { max_bytes: 20_000, ..small() };
    let fs = Simulated::new();
    let (spool, _) = open(fs.clone(), options.clone());
    let number = spool.slot("archive", true).unwrap();
    let (count, error) = fill(&spool, 1);
    assert!(matches!(&error, AppendError::Full { why } if why.contains("archive") && why.contains("20000")), "{error}");
    assert!(count > 40, "{count}");
    assert!(spool.status().bytes <= 20_000);
    let mut reader = spool.reader(number);
    let (found, _) = drain(&mut reader, number);
    assert_eq!(found.len() as u64, count);
    // Nothing is acknowledged, nothing is free; the cap also holds after a restart.
    assert!(append(&spool, &[(MESSAGE, 1)]).is_err());
    drop(reader);
    drop(spool);
    let fs = fs.kill();
    let (spool, _) = open(fs.clone(), options);
    assert!(append(&spool, &[(MESSAGE, 1)]).is_err());
    let number = spool.slot("archive", true).unwrap();
    let reader = spool.reader(number);
    reader.commit(found[found.len() / 2].0, found.len() as u64 / 2);
    append(&spool, &[(MESSAGE, 1)]).unwrap();
    assert_eq!(slot(&spool, "archive").skipped, 0);
}

#[test]
fn who_need_not_have_everything_gives_way_and_each_message_is_counted() {
    let options = Options { max_bytes: 20_000, ..small() };
    let fs = Simulated::new();
    let (spool, _) = open(fs.clone(), options.clone());
    let (required, spare) = (spool.slot("archive", true).unwrap(), spool.slot("live view", false).unwrap());
    let mut keeping_up = spool.reader(required);
    let mut slow = spool.reader(spare);
    // What it has in hand when the rest is given up it may still settle.
    for _ in 0..3 {
        append(&spool, &[(MESSAGE, 0b11)]).unwrap();
    }
    let in_hand = drain(&mut slow, spare).0.len() as u64;
    assert_eq!(in_hand, 3);
    for _ in 0..500 {
        append(&spool, &[(MESSAGE, 0b11), (MESSAGE, 0b01)]).unwrap();
        let settled = drain(&mut keeping_up, required).0.len() as u64;
        keeping_up.commit(keeping_up.position(), settled);
    }
    let status = slot(&spool, "live view");
    assert!(status.skipped > 300, "{status:?}");
    assert_eq!(status.skipped + status.queued, 503, "{status:?}");
    slow.commit(4, in_hand);
    let status = slot(&spool, "live view");
    assert_eq!(status.skipped + status.queued, 500, "{status:?}");
    let (found, damage) = drain(&mut slow, spare);
    assert_eq!((found.len() as u64, damage), (status.queued, 0));
    slow.commit(slow.position(), found.len() as u64);
    let status = slot(&spool, "live view");
    assert_eq!((status.skipped, status.queued, status.lost), (500 - found.len() as u64, 0, 0), "{status:?}");
    assert_eq!(slot(&spool, "archive").skipped, 0);
    drop((keeping_up, slow));
    spool.close();
    let (spool, _) = open(fs.kill(), options);
    assert_eq!(slot(&spool, "live view").skipped, 500 - found.len() as u64);
}

#[test]
fn a_disk_that_is_full_and_then_is_not() {
    let fs = Simulated::new();
    let (spool, _) = open(fs.clone(), small());
    spool.slot("files", true).unwrap();
    fs.set_capacity(Some(140_000));
    let (count, error) = fill(&spool, 1);
    assert!(matches!(error, AppendError::Full { .. }), "{error}");
    fs.set_capacity(Some(160_000));
    append(&spool, &[(MESSAGE, 1)]).unwrap();
    sync(&spool).unwrap();
    assert_eq!(slot(&spool, "files").queued, count + 1);
    // The floor leaves room for others.
    drop(spool);
    let fs = fs.kill();
    let used: u64 = fs.names().iter().map(|name| fs.content(name).unwrap().len() as u64).sum();
    fs.set_capacity(Some(used + 10_000));
    let (spool, _) = open(fs.clone(), Options { free_floor: 5_000, ..small() });
    let (_, error) = fill(&spool, 1);
    assert!(matches!(&error, AppendError::Full { why } if why.contains("spool.free_floor")), "{error}");
    let number = spool.slot("files", true).unwrap();
    // The state has its room, so cursors move on a full disk as well.
    spool.reader(number).commit_durably(3, 2).unwrap();
}

#[test]
fn what_everybody_has_is_deleted_or_kept_as_long_as_wanted() {
    for keep in [Duration::ZERO, Duration::from_secs(3600)] {
        let fs = Simulated::new();
        let (spool, _) = open(fs.clone(), Options { keep, max_bytes: 40_000, ..small() });
        let number = spool.slot("files", true).unwrap();
        // It wants nothing, so it holds nothing, wherever its cursor stands.
        spool.slot("idle", true).unwrap();
        let mut reader = spool.reader(number);
        for _ in 0..100 {
            append(&spool, &[(MESSAGE, 1)]).unwrap();
        }
        let settled = drain(&mut reader, number).0.len() as u64;
        reader.commit_durably(reader.position(), settled).unwrap();
        let status = spool.status();
        if keep.is_zero() {
            assert_eq!(status.segments, 1, "{status:?}");
        } else {
            assert!(status.segments > 5, "{status:?}");
            // Rather than be in the way, it goes.
            for _ in 0..300 {
                append(&spool, &[(MESSAGE, 1)]).unwrap();
                let settled = drain(&mut reader, number).0.len() as u64;
                reader.commit(reader.position(), settled);
            }
        }
    }
}

#[test]
fn orphans_hold_their_messages_until_they_are_removed() {
    let fs = Simulated::new();
    let (spool, _) = open(fs.clone(), small());
    spool.slot("old", true).unwrap();
    for _ in 0..50 {
        append(&spool, &[(MESSAGE, 1)]).unwrap();
    }
    assert!(!spool.remove("old"), "its endpoint is there");
    spool.close();
    let (spool, recovery) = open(fs.kill(), small());
    assert_eq!(recovery.orphans, ["old"]);
    let number = spool.slot("new", true).unwrap();
    append(&spool, &[(MESSAGE, 1 << number)]).unwrap();
    sync(&spool).unwrap();
    assert!(spool.status().segments > 2);
    assert!(spool.remove("old") && !spool.remove("old"));
    // The number is free again, and what it stood for is not the new owner's.
    let again = spool.slot("newer", true).unwrap();
    assert_eq!(again, 0);
    let mut reader = spool.reader(again);
    assert_eq!((drain(&mut reader, again).0.len(), slot(&spool, "newer").queued), (0, 0));
    append(&spool, &[(MESSAGE, 1)]).unwrap();
    assert_eq!(drain(&mut reader, again).0.len(), 1);
    spool.release("newer");
    assert!(spool.remove("newer"));
}

#[test]
fn sixty_four_slots_and_ids_beyond_the_middle() {
    let fs = Simulated::new();
    let (spool, _) = open(fs.clone(), small());
    for at in 0..SLOTS {
        assert_eq!(spool.slot(&format!("endpoint {at}"), true).unwrap(), at as u32);
    }
    let error = spool.slot("one more", true).unwrap_err();
    assert!(error.contains("64") && error.contains("endpoint 63"), "{error}");
    for name in ["", &"x".repeat(256)] {
        assert!(spool.slot(name, true).is_err());
    }
    let before = spool.next_id();
    spool.close();
    // A spool whose file name says that ids are far along, and whose state is gone.
    let fs = fs.kill();
    fs.lose("state");
    let far = u64::MAX / 2 + 5;
    fs.set_content(&format!("seg-{far:020}.mls"), b"not a segment");
    let (spool, recovery) = open(fs.clone(), small());
    assert!(recovery.state_damaged && recovery.quarantined.len() == 1, "{recovery:?}");
    assert!(spool.next_id() > far && before < far);
    for at in 0..SLOTS {
        spool.slot(&format!("endpoint {at}"), true).unwrap();
    }
    let mut reader = spool.reader(63);
    let mut ids = Vec::new();
    for wants in [1 << 63, 1 << 62, u64::MAX] {
        ids.push(append(&spool, &[(MESSAGE, wants), (MESSAGE, 1)]).unwrap());
    }
    let found: Vec<u64> = drain(&mut reader, 63).0.into_iter().map(|(id, _)| id).collect();
    assert_eq!(found, [ids[0], ids[2]]);
    reader.commit(ids[0] + 1, 1);
    assert_eq!(slot(&spool, "endpoint 63").queued, 1);
    drop(reader);
    drop(spool);
    let (spool, _) = open(fs.kill(), small());
    let mut reader = spool.reader(63);
    assert_eq!(drain(&mut reader, 63).0, [(ids[2], MESSAGE.to_owned())]);
}

#[test]
fn cursors_that_are_lost_start_over_for_the_right_endpoints() {
    let fs = Simulated::new();
    let (spool, _) = open(fs.clone(), small());
    for name in ["b", "a"] {
        spool.slot(name, true).unwrap();
    }
    for round in 0..30 {
        append(&spool, &[(&format!("{round} {MESSAGE}"), 0b10)]).unwrap();
    }
    spool.reader(1).commit_durably(20, 19).unwrap();
    spool.close();
    let fs = fs.kill();
    fs.lose("state");
    let (spool, recovery) = open(fs, small());
    assert!(recovery.state_damaged, "{recovery:?}");
    let (a, b) = (spool.slot("a", true).unwrap(), spool.slot("b", true).unwrap());
    assert_eq!((b, a), (0, 1));
    let expected = 30 - (spool.status().oldest_id - 1);
    assert_eq!(drain(&mut spool.reader(a), a).0.len() as u64, expected);
    assert_eq!((slot(&spool, "a").queued, slot(&spool, "b").queued), (expected, 0));
}

#[test]
fn nothing_sits() {
    // Two readers that sleep between single messages, appended by three threads at odd moments: each is seen at once.
    let (spool, _) = open(Simulated::new(), Options { max_bytes: 64 << 20, segment_bytes: 1 << 20, ..small() });
    let (a, b) = (spool.slot("a", true).unwrap(), spool.slot("b", true).unwrap());
    const EACH: u64 = 3000;
    let seen = Arc::new(AtomicU64::new(0));
    let readers = [a, b].map(|number| {
        let (mut reader, seen) = (spool.reader(number), seen.clone());
        std::thread::spawn(move || {
            let mut got = 0;
            while got < 3 * EACH {
                while let Some(frame) = reader.try_next().unwrap() {
                    let wanted = frame.batch.wanted(number, 0) as u64;
                    got += wanted;
                    seen.fetch_add(wanted, Ordering::Relaxed);
                    reader.commit(reader.position(), wanted);
                }
                if got < 3 * EACH {
                    assert!(reader.wait(Duration::from_secs(20)), "{got} of {} and nothing more", 3 * EACH);
                }
            }
        })
    });
    let writers = [0, 1, 2].map(|writer| {
        let spool = spool.clone();
        std::thread::spawn(move || {
            for round in 0..EACH {
                // Each message is for one of them only, so that the other must not need it to wake up.
                for wants in [1 << a, 1 << b] {
                    append(&spool, &[("m", wants)]).unwrap();
                }
                if (round + writer) % 7 == 0 {
                    std::thread::yield_now();
                }
            }
        })
    });
    writers.into_iter().for_each(|writer| writer.join().unwrap());
    readers.into_iter().for_each(|reader| reader.join().unwrap());
    assert_eq!(seen.load(Ordering::Relaxed), 6 * EACH);
    assert_eq!(spool.slots().iter().map(|slot| slot.queued).sum::<u64>(), 0);

    // Others' messages do not wake anybody; a call does, also one that came before.
    let reader = spool.reader(a);
    append(&spool, &[("m", 1 << b)]).unwrap();
    let began = Instant::now();
    assert!(!reader.wait(Duration::from_millis(20)) && began.elapsed() >= Duration::from_millis(20));
    let waker = reader.waker();
    waker.wake();
    assert!(reader.wait(Duration::from_secs(60)) && !reader.wait(Duration::ZERO));
    let thread = std::thread::spawn(move || waker.wake());
    assert!(reader.wait(Duration::from_secs(60)));
    thread.join().unwrap();
}

#[test]
fn many_wait_for_one_sync() {
    let place = Place::new("group");
    let (spool, _) = open(place.disk(), small());
    let number = spool.slot("files", true).unwrap();
    let threads: Vec<_> = (0..8)
        .map(|_| {
            let spool = spool.clone();
            std::thread::spawn(move || {
                for _ in 0..50 {
                    let first = append(&spool, &[(MESSAGE, 1)]).unwrap();
                    wait(spool.when_durable(first + 1)).unwrap();
                    assert!(spool.durable_id() > first);
                }
            })
        })
        .collect();
    threads.into_iter().for_each(|thread| thread.join().unwrap());
    let status = spool.status();
    assert!(status.syncs > 0 && status.unsynced_bytes == 0, "{status:?}");
    assert_eq!(drain(&mut spool.reader(number), number).0.len(), 400);
    // A future that nobody wants any more, and one for a spool that is closed.
    drop(spool.when_durable(u64::MAX));
    append(&spool, &[(MESSAGE, 1)]).unwrap();
    let late = spool.when_durable(u64::MAX);
    spool.close();
    assert!(wait(late).is_err());
}

#[test]
fn other_ways_to_sync() {
    for sync in [Sync::Never, Sync::Every(Duration::from_millis(5))] {
        let place = Place::new("ways");
        let (spool, _) = open(place.disk(), Options { sync, ..small() });
        let number = spool.slot("files", true).unwrap();
        for _ in 0..40 {
            append(&spool, &[(MESSAGE, 1)]).unwrap();
        }
        wait(spool.when_durable(spool.next_id())).unwrap();
        let until = Instant::now() + Duration::from_secs(20);
        while spool.durable_id() < spool.next_id() {
            assert!(Instant::now() < until, "{:?}", spool.status());
            std::thread::sleep(Duration::from_millis(1));
        }
        spool.close();
        drop(spool);
        let (spool, recovery) = open(place.disk(), small());
        assert!(recovery.clean);
        assert_eq!(drain(&mut spool.reader(number), number).0.len(), 40);
    }
}

#[test]
fn memory_comes_back() {
    let (spool, _) = open(Simulated::new(), small());
    let number = spool.slot("files", true).unwrap();
    let mut reader = spool.reader(number);
    let mut batch = Batch::new();
    (0..20).for_each(|_| batch.push(MESSAGE.as_bytes(), 1));
    spool.append(batch).map_err(|(_, error)| error).unwrap();
    sync(&spool).unwrap();
    drop(reader.try_next().unwrap());
    // Behind the next batch there is no room for it in memory any more.
    append(&spool, &[(MESSAGE, 1)]).unwrap();
    let back = spool.recycled();
    assert!(back.is_empty() && back.lines().capacity() >= 20 * MESSAGE.len());
    assert_eq!(spool.recycled().lines().capacity(), 0);
    // An empty batch is nothing.
    let appended = spool.append(Batch::new()).map_err(|(_, error)| error).unwrap();
    assert_eq!((appended.first_id, appended.next_id), (spool.next_id(), spool.next_id()));
}
