//! What every day brings.

use metlog_message::Batch;
use metlog_spool::{Disk, Options, Spool};
use std::time::Duration;

fn batch(messages: &[(&str, u64)]) -> Batch {
    let mut batch = Batch::new();
    messages.iter().for_each(|(text, wants)| batch.push(text.as_bytes(), *wants));
    batch
}
#[test]
fn smoke() {
    let dir = std::env::temp_dir().join(format!("metlog-spool-{}-smoke", std::process::id()));
    let (spool, recovery) = Spool::open(Disk::open(&dir).unwrap(), Options { free_floor: 0, ..Options::default() }).unwrap();
    assert!(recovery.fresh);
    let slot = spool.slot("a", true).unwrap();
    let mut reader = spool.reader(slot);
    for n in 0..10 {
        spool.append(batch(&[(&format!("m{n}"), 1), ("other", 2)])).map_err(|e| e.1).unwrap();
    }
    assert_eq!(spool.slots()[0].queued, 10);
    assert!(reader.wait(Duration::ZERO));
    let mut n = 0;
    while let Some(frame) = reader.try_next().unwrap() {
        assert_eq!(frame.batch.lines().get(0), Some(format!("m{n}").as_bytes()));
        n += 1;
    }
    assert_eq!(n, 10);
    reader.commit(spool.next_id() - 6, 7);
    drop(reader);
    spool.close();
    drop(spool);
    let (spool, recovery) = Spool::open(Disk::open(&dir).unwrap(), Options { free_floor: 0, ..Options::default() }).unwrap();
    println!("{recovery:?}");
    assert!(recovery.clean);
    assert_eq!(spool.slots()[0].queued, 3);
    let mut reader = spool.reader(slot);
    let mut n = 7;
    while let Some(frame) = reader.try_next().unwrap() {
        assert_eq!(frame.batch.lines().get(0), Some(format!("m{n}").as_bytes()));
        n += 1;
    }
    assert_eq!(n, 10);
    reader.commit(spool.next_id(), 3);
    println!("{:?} {:?}", spool.slots(), spool.status());
    drop((reader, spool));
    std::fs::remove_dir_all(dir).unwrap();
}
