//! What appending and reading cost. `cargo run --release -p metlog-spool --example append [DIRECTORY]`

use metlog_spool::{Disk, Options, Spool, Sync};
use std::hint::black_box;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

const BATCHES: u32 = 1500;
const MESSAGES: u32 = 800;
const SIZE: usize = 300;

fn main() {
    let directory =
        std::env::args_os().nth(1).map_or_else(|| std::env::temp_dir().join("metlog-spool-bench"), PathBuf::from);
    println!("{MESSAGES} messages of {SIZE} bytes in a batch, {BATCHES} batches; nanoseconds per message");
    for round in 0..5 {
        floor(&directory, round);
        for (name, sync) in [("never", Sync::Never), ("every 20 ms", Sync::Every(Duration::from_millis(20)))] {
            let directory = directory.join(format!("{}-{round}-{name}", std::process::id()));
            measure(name, &directory, sync);
            std::fs::remove_dir_all(&directory).expect("nobody else is there");
        }
    }
    // Ours, if it was made by us and is empty.
    let _ = std::fs::remove_dir(directory);
}

/// What nobody can save: the same bytes through the checksum, and through bare writes.
fn floor(directory: &Path, round: u32) {
    use std::io::Write;
    let text = vec![b'x'; (SIZE + 13) * MESSAGES as usize];
    let began = Instant::now();
    (0..BATCHES).for_each(|_| _ = black_box(crc32c::crc32c(black_box(&text))));
    let checksum = began.elapsed();
    std::fs::create_dir_all(directory).expect("a directory of our own");
    let path = directory.join(format!("{}-{round}-floor", std::process::id()));
    let mut file = std::fs::File::create_new(&path).expect("a file of our own");
    let began = Instant::now();
    (0..BATCHES).for_each(|_| file.write_all(&text).expect("room"));
    let writing = began.elapsed();
    drop(file);
    std::fs::remove_file(path).expect("nobody else is there");
    println!("bare              write  {:6.1}   checksum {:5.1}", per(writing), per(checksum));
}

fn per(time: Duration) -> f64 {
    time.as_nanos() as f64 / f64::from(BATCHES * MESSAGES)
}

fn measure(name: &str, directory: &Path, sync: Sync) {
    let options = Options { sync, free_floor: 0, ..Options::default() };
    let disk = Disk::open(directory).expect("a directory of our own");
    let (spool, _) = Spool::open(disk, options).expect("a new spool");
    let slots: Vec<u32> =
        (0..3).map(|at| spool.slot(&format!("endpoint {at}"), true).expect("room for three")).collect();
    let message = vec![b'x'; SIZE];
    let mut appending = Duration::ZERO;
    let mut keeping_up = Duration::ZERO;
    let mut reader = spool.reader(slots[1]);
    for _ in 0..BATCHES {
        let mut batch = spool.recycled();
        (0..MESSAGES).for_each(|at| batch.push(&message, if at % 2 == 0 { 0b111 } else { 0b011 }));
        let began = Instant::now();
        spool.append(batch).map_err(|(_, error)| error).expect("room");
        appending += began.elapsed();
        let began = Instant::now();
        let frame = reader.try_next().expect("no damage").expect("what was appended");
        black_box(frame.batch.bytes());
        keeping_up += began.elapsed();
        reader.commit(reader.position(), u64::from(MESSAGES));
    }
    let mut late = spool.reader(slots[0]);
    let began = Instant::now();
    let mut read = 0;
    while let Some(frame) = late.try_next().expect("no damage") {
        read += frame.batch.len() as u32;
    }
    let reading = began.elapsed();
    assert_eq!(read, BATCHES * MESSAGES);
    println!(
        "sync {name:12} append {:6.1}   read from memory {:5.2}   read from disk {:6.1}",
        per(appending),
        per(keeping_up),
        per(reading)
    );
    spool.close();
}
