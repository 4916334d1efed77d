//! The real program, killed again and again: at chosen system calls of its own, and at any moment. What it has
//! acknowledged is never lost, and every message is accounted for.
//!
//! The system calls are the crash points: `strace` ends the process as it enters the n-th of a kind, before the kernel has
//! done anything. `METLOG_CRASH_CYCLES` sets the number of cycles, 50 otherwise; the seed is printed.

mod stage;

use stage::{Directory, message};
use std::collections::{BTreeMap, BTreeSet};
use std::io::{BufRead, BufReader, Write};
use std::net::{Shutdown, TcpStream};
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::SeqCst};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

const PROGRAM: &str = env!("CARGO_BIN_EXE_metlog-router");

/// Ways to die: a name, and the system calls that count.
const POINTS: [(&str, &str); 6] = [
    ("append", "writev,pwritev,pwritev2,pwrite64"),
    ("sync", "fdatasync,fsync"),
    ("new file", "openat"),
    ("rename", "rename,renameat,renameat2"),
    ("unlink", "unlink,unlinkat"),
    ("acknowledge", "sendto,sendmsg"),
];

/// What the producer knows.
#[derive(Default)]
struct Oracle {
    sent: AtomicU64,
    acknowledged: Mutex<BTreeSet<u64>>,
    stop: AtomicBool,
    port: AtomicU64,
}

/// Sends batches and notes what was acknowledged. A batch whose fate is unknown is sent again, as a client would.
fn produce(oracle: &Oracle) {
    while !oracle.stop.load(SeqCst) {
        if session(oracle).is_none() {
            std::thread::sleep(Duration::from_millis(5));
        }
    }
}

fn session(oracle: &Oracle) -> Option<()> {
    let port = u16::try_from(oracle.port.load(SeqCst)).ok()?;
    let mut stream = TcpStream::connect(("127.0.0.1", port)).ok()?;
    stream.set_read_timeout(Some(Duration::from_secs(10))).ok()?;
    let mut answers = BufReader::new(stream.try_clone().ok()?);
    let mut confirmed = 0;
    while !oracle.stop.load(SeqCst) {
        let from = oracle.sent.fetch_add(40, SeqCst);
        let text: String = (from..from + 40).flat_map(|number| [message(number), "\n".to_owned()]).collect();
        stream.write_all(text.as_bytes()).ok()?;
        let mut here = 0;
        while here < 40 {
            let mut line = String::new();
            if answers.read_line(&mut line).ok()? == 0 {
                return None;
            }
            let total: u64 = line.strip_prefix("{\"accepted\":")?.split(',').next()?.parse().ok()?;
            let mut known = oracle.acknowledged.lock().unwrap();
            known.extend(from + here..from + here + (total - confirmed));
            here += total - confirmed;
            confirmed = total;
        }
    }
    stream.shutdown(Shutdown::Write).ok()
}

fn start(directory: &Path, config: &Path, point: Option<(&str, u64)>) -> Child {
    let mut command = match point {
        None => Command::new(PROGRAM),
        Some((calls, when)) => {
            let mut command = Command::new("strace");
            let calls = calls.split(',').map(|call| format!("?{call}")).collect::<Vec<_>>().join(",");
            command.args(["-f", "-qq", "-o", "/dev/null", "-e", &format!("trace={calls}")]);
            command.args(["-e", &format!("inject={calls}:signal=SIGKILL:when={when}")]).arg(PROGRAM);
            command
        }
    };
    let log = std::fs::OpenOptions::new().create(true).append(true).open(directory.join("log.txt")).unwrap();
    // A group of its own, so that a signal reaches the router also where strace stands between.
    command.process_group(0).arg("run").arg("--config").arg(config);
    command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(log).spawn().unwrap()
}

fn kill(child: &Child, signal: &str) {
    let _ = Command::new("kill").args([signal, "--", &format!("-{}", child.id())]).status();
}

/// Numbers in the output, rotated files included, and how many lines are a message's beginning only: what was being
/// written when the router was killed.
fn output(directory: &Path) -> (Vec<u64>, u64) {
    let files = std::fs::read_dir(directory).unwrap().map(|entry| entry.unwrap().path());
    let ours =
        files.filter(|path| path.file_name().is_some_and(|name| name.to_string_lossy().starts_with("out.jsonl")));
    let (mut numbers, mut torn) = (Vec::new(), 0);
    for path in ours {
        for line in std::fs::read_to_string(path).unwrap().lines() {
            match whole(line) {
                Some(number) => numbers.push(number),
                None => torn += 1,
            }
        }
    }
    (numbers, torn)
}

fn whole(line: &str) -> Option<u64> {
    let (_, rest) = line.split_once("\"n\":")?;
    let number = rest.split_once('}')?.0.parse().ok()?;
    (line == message(number)).then_some(number)
}

#[test]
fn what_was_acknowledged_survives_every_death() {
    let cycles: u64 = std::env::var("METLOG_CRASH_CYCLES").ok().and_then(|text| text.parse().ok()).unwrap_or(50);
    let seed: u64 =
        std::env::var("METLOG_CRASH_SEED").ok().and_then(|text| text.parse().ok()).unwrap_or_else(|| fastrand::u64(..));
    println!("METLOG_CRASH_SEED={seed}");
    let mut random = fastrand::Rng::with_seed(seed);
    let points = if Command::new("strace").arg("-V").output().is_ok() {
        POINTS.to_vec()
    } else {
        println!("skipped: the crash points, since strace is not installed; the router is killed at any moment only");
        Vec::new()
    };
    let directory = Directory::new();
    let port = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let config = directory.0.join("router.toml");
    let out = directory.0.join("out.jsonl");
    std::fs::write(
        &config,
        format!(
            "[router]\nhttp = ''\ndata = '{}'\n[spool]\nsegment_bytes = '128 KiB'\nmemory = '64 KiB'\n\
             [inputs.tcp]\nlisten = '127.0.0.1:{port}'\nack = true\n\
             [endpoints.out]\ntype = 'file'\npath = '{}'\nrotate_bytes = '512 KiB'\nkeep_files = 0\n[endpoints.other]\ntype = 'null'\n",
            directory.0.join("data").display(),
            out.display()
        ),
    )
    .unwrap();
    let oracle = Arc::new(Oracle { port: AtomicU64::new(u64::from(port)), ..Oracle::default() });
    let producer = {
        let oracle = oracle.clone();
        std::thread::spawn(move || produce(&oracle))
    };

    let mut died: BTreeMap<&str, u64> = BTreeMap::new();
    let mut when: BTreeMap<&str, u64> = points.iter().map(|(name, _)| (*name, 60)).collect();
    for cycle in 0..cycles {
        let at_a_point = !points.is_empty() && cycle % 2 == 0;
        if !at_a_point {
            let mut child = start(&directory.0, &config, None);
            std::thread::sleep(Duration::from_millis(100 + random.u64(..300)));
            kill(&child, "-KILL");
            child.wait().unwrap();
            *died.entry("any moment").or_default() += 1;
            continue;
        }
        let (name, calls) = points[(cycle / 2) as usize % points.len()];
        let most = when[name];
        let mut child = start(&directory.0, &config, Some((calls, 1 + random.u64(..most))));
        let began = Instant::now();
        let mut by_itself = false;
        while began.elapsed() < Duration::from_millis(1500) && !by_itself {
            by_itself = child.try_wait().unwrap().is_some();
            std::thread::sleep(Duration::from_millis(2));
        }
        if by_itself {
            *died.entry(name).or_default() += 1;
        } else {
            // So many calls of this kind do not happen in the time: nearer to the start the next time.
            when.insert(name, (most / 2).max(1));
            kill(&child, "-KILL");
        }
        child.wait().unwrap();
    }
    let calm = oracle.acknowledged.lock().unwrap().len();
    let mut last = start(&directory.0, &config, None);
    stage::eventually("a message passes after all that", || oracle.acknowledged.lock().unwrap().len() > calm);
    oracle.stop.store(true, SeqCst);
    producer.join().unwrap();
    kill(&last, "-TERM");
    assert!(last.wait().unwrap().success(), "a clean end");

    let log = std::fs::read_to_string(directory.0.join("log.txt")).unwrap();
    let (acknowledged, sent) = (oracle.acknowledged.lock().unwrap(), oracle.sent.load(SeqCst));
    let (arrived, torn) = output(&directory.0);
    let there: BTreeSet<u64> = arrived.iter().copied().collect();
    println!(
        "{cycles} cycles, deaths {died:?}; {sent} sent, {} acknowledged, {} arrived, {} of them more than once; {torn} torn",
        acknowledged.len(),
        there.len(),
        arrived.len() - there.len()
    );
    let lost: Vec<&u64> = acknowledged.difference(&there).take(10).collect();
    assert!(lost.is_empty(), "acknowledged and lost: {lost:?}\n{log}");
    assert!(there.iter().all(|number| *number < sent), "nothing is invented");
    assert!(torn <= cycles, "a death tears one message at the most: {torn}");
    assert!(log.trim_end().ends_with("unaccounted for: 0"), "{log}");
    assert!(!log.contains("panicked"), "{log}");
    assert!(acknowledged.len() > 1000, "too little happened");
    for (name, _) in points {
        assert!(died.get(name).is_some_and(|deaths| *deaths > 0), "never died at `{name}`: {died:?}");
    }
}
