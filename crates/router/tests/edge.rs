//! The real program twice, an edge router and a central one, and between them a network that fails: a cable between two
//! network namespaces that is pulled for a minute, and a proxy that cuts, delays and swallows. Both routers are killed in
//! turn while much is coming. What the edge has acknowledged is in the central store exactly once, in order, and nothing
//! else is; and both accounts balance.
//!
//! `METLOG_EDGE_OUTAGE` sets the seconds of the outage, 60 otherwise; the seed is printed.

#[path = "edge/life.rs"]
mod life;
#[path = "edge/link.rs"]
mod link;
mod program;
mod stage;

use life::{Life, POINTS};
use link::{Cable, Link, Proxy};
use metlog_http::server::keys::Hash;
use program::{free_port, request};
use stage::{message_of, number};
use std::collections::BTreeMap;
use std::io::Write;
use std::process::Command;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::SeqCst};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

/// Says to this program that it has a network namespace of its own.
const INSIDE: &str = "METLOG_MAY_PLUG";
/// Deaths before, during and after the outage.
const KILLS: [u64; 3] = [7, 6, 7];
const BATCH: u64 = 20;
/// Whoever waits on a loaded machine.
const PATIENCE: Duration = Duration::from_secs(90);

/// A sender of messages, and what it knows of them.
struct Producer {
    name: String,
    /// It numbers its messages and sends again what nobody acknowledged. Otherwise it sends everything once.
    numbers: bool,
    sent: AtomicU64,
    acknowledged: Mutex<Vec<std::ops::Range<u64>>>,
}

impl Producer {
    fn message(&self, n: u64) -> String {
        // Each at a time of its own, as those of a clock are: the store compares what is of one moment.
        let (time, own) = (format!("{:02}:{:02}:{:02}", n / 3600 % 24, n / 60 % 60, n % 60), self.name.len());
        let text = message_of(&self.name, 6, n).replace("08:00:00.000000", &format!("{time}.{own:06}"));
        if !self.numbers {
            return text;
        }
        format!(r#"{},"metlog_client":"{}","metlog_seq":{n}}}"#, text.strip_suffix('}').unwrap(), self.name)
    }

    fn run(&self, at: &str, stop: &AtomicBool) {
        let mut next = 1;
        while !stop.load(SeqCst) {
            let batch = next..next + BATCH;
            self.sent.store(batch.end, SeqCst);
            let text: String = batch.clone().flat_map(|n| [self.message(n), "\n".to_owned()]).collect();
            let taken = request(at, "POST /v1/messages", &[], text.as_bytes());
            let taken = taken.is_some_and(|answer| answer.status == 200 && answer.body.contains(r#""rejected":[]"#));
            if taken {
                self.acknowledged.lock().unwrap().push(batch.clone());
            }
            if taken || !self.numbers {
                next = batch.end;
            }
            std::thread::sleep(Duration::from_millis(if taken { 50 } else { 20 }));
        }
    }
}

fn eventually(what: &str, is: impl FnMut() -> bool) {
    assert!(metlog_testkit::eventually(PATIENCE, is), "not in time: {what}");
}

/// Kills one of the routers and starts it again: at any moment, or at a system call of its own.
struct Reaper {
    random: fastrand::Rng,
    points: Vec<(&'static str, &'static str)>,
    deaths: BTreeMap<String, u64>,
    turn: usize,
}

impl Reaper {
    fn kill(&mut self, edge: &mut Life, central: &mut Life) {
        self.turn += 1;
        let (name, victim) = if self.turn.is_multiple_of(2) { ("edge", edge) } else { ("central", central) };
        let point = self.points.get(self.turn / 2 % (self.points.len() + 1)).copied();
        std::thread::sleep(Duration::from_millis(50 + self.random.u64(..400)));
        victim.kill();
        *self.deaths.entry(format!("{name} at any moment")).or_default() += 1;
        if let Some((point, calls)) = point {
            victim.start(Some((calls, 5 + self.random.u64(..40))));
            if victim.dies(Duration::from_millis(1500)) {
                *self.deaths.entry(format!("{name} at {point}")).or_default() += 1;
            }
        }
        victim.start(None);
    }
}

fn live_through(link: &dyn Link) {
    let seed = std::env::var("METLOG_EDGE_SEED").ok().and_then(|text| text.parse().ok());
    let seed: u64 = seed.unwrap_or_else(|| fastrand::u64(..));
    println!("METLOG_EDGE_SEED={seed}");
    let seconds = std::env::var("METLOG_EDGE_OUTAGE").ok().and_then(|text| text.parse().ok()).unwrap_or(60);
    let key = |name: &str, scope: &str| {
        format!("[keys.{name}]\nscope = ['{scope}']\nhash = '{}'\n", Hash::of(name.as_bytes()))
    };
    let spool = "[spool]\nsegment_bytes = '1 MiB'\n";
    let config = format!(
        "{spool}[inputs.http]\n[endpoints.store]\npath = 'messages.db'\n{}{}",
        key("edge", "ingest"),
        key("reader", "read")
    );
    let mut central = Life::new(link.before(), link.central(), Some("reader"), &config);
    let config = format!(
        "{spool}[inputs.http]\n[endpoints.central]\ntype = 'router'\nurl = '{}'\nkey = 'edge'\ntimeout = '3s'\n\
         retry_max = '1s'\nconnection.connect_timeout = '1s'\n",
        link.url()
    );
    let at = format!("127.0.0.1:{}", free_port());
    let mut edge = Life::new(Vec::new(), at.clone(), None, &config);
    let strace = Command::new("strace").arg("-V").output().is_ok();
    let points = if strace { POINTS.to_vec() } else { Vec::new() };
    let mut reaper = Reaper { random: fastrand::Rng::with_seed(seed), points, deaths: BTreeMap::new(), turn: 0 };
    let producers: Vec<Arc<Producer>> = [("numbered one", true), ("numbered two", true), ("plain", false)]
        .into_iter()
        .map(|(name, numbers)| {
            let acknowledged = Mutex::default();
            Arc::new(Producer { name: name.to_owned(), numbers, sent: AtomicU64::new(0), acknowledged })
        })
        .collect();
    let delivered = |edge: &Life| edge.metric("metlog_delivered_total{endpoint=\"central\"}").unwrap_or(0);

    central.start(None);
    edge.start(None);
    eventually("they start", || edge.is_ready() && central.is_ready());
    let stop = AtomicBool::new(false);
    let mut again = 0;
    std::thread::scope(|scope| {
        let (at, stop) = (&at, &stop);
        let ending = Ending(stop);
        for producer in &producers {
            scope.spawn(move || producer.run(at, stop));
        }
        for _ in 0..KILLS[0] {
            reaper.kill(&mut edge, &mut central);
            eventually("they live on", || edge.is_ready() && central.is_ready());
        }
        let before = delivered(&edge);
        eventually("it goes on", || delivered(&edge) > before);

        link.set_broken(true);
        let began = Instant::now();
        let outage = Duration::from_secs(seconds);
        for kill in 0..KILLS[1] as u32 {
            reaper.kill(&mut edge, &mut central);
            eventually("the edge lives on", || edge.is_ready());
            std::thread::sleep((outage / KILLS[1] as u32 * (kill + 1)).saturating_sub(began.elapsed()));
        }
        let waiting = edge.metric("metlog_buffered{endpoint=\"central\"}");
        assert!(waiting.is_some_and(|waiting| waiting > 20 * seconds), "{waiting:?} messages are kept meanwhile");
        link.set_broken(false);

        eventually("the central one is back", || central.is_ready());
        let before = delivered(&edge);
        eventually("and gets what it missed", || delivered(&edge) > before);
        for _ in 0..KILLS[2] {
            reaper.kill(&mut edge, &mut central);
            eventually("they live on", || edge.is_ready() && central.is_ready());
            again += central.metric("metlog_forwarded_again_total").unwrap_or(0);
        }
        eventually("every kind of fault", || link.faults().iter().all(|(_, count)| *count > 0));
        drop(ending);
    });
    eventually("everything is delivered", || edge.metric("metlog_buffered{endpoint=\"central\"}") == Some(0));
    eventually("and stored", || central.metric("metlog_buffered{endpoint=\"store\"}") == Some(0));
    again += central.metric("metlog_forwarded_again_total").unwrap_or(0);
    for life in [&mut edge, &mut central] {
        let page = life.ask("/metrics").unwrap();
        let remainders: Vec<&str> = page.lines().filter(|line| line.starts_with("metlog_unaccounted")).collect();
        assert!(remainders.len() >= 2 && remainders.iter().all(|line| line.ends_with(" 0")), "{remainders:#?}");
        assert_eq!(program::value(&page, "metlog_forwarded_changed_total"), Some(0));
        life.end();
    }
    println!("deaths {:?}, faults {:?}, {again} messages came again and were known", reaper.deaths, link.faults());
    let deaths: u64 = reaper.deaths.values().sum();
    assert!(deaths >= 20, "{:?}", reaper.deaths);
    compare(&stored(&central), &producers);
}

/// Tells the producers to stop, also when something fails.
struct Ending<'a>(&'a AtomicBool);

impl Drop for Ending<'_> {
    fn drop(&mut self) {
        self.0.store(true, SeqCst);
    }
}

/// What is in the central store, in its order.
fn stored(central: &Life) -> String {
    let read = "import sqlite3, sys\nfor row in sqlite3.connect(sys.argv[1]).execute('SELECT raw FROM messages ORDER BY \
                position'): sys.stdout.buffer.write(row[0] + b'\\n')\n";
    let file = central.directory.0.join("messages.db");
    let output = Command::new("python3").args(["-c", read]).arg(file).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}

fn compare(stored: &str, producers: &[Arc<Producer>]) {
    let mut found: BTreeMap<&str, Vec<u64>> = BTreeMap::new();
    for line in stored.lines() {
        let name = line.split('"').nth(3).expect("a type");
        let producer = producers.iter().find(|producer| producer.name == name);
        let producer = producer.unwrap_or_else(|| panic!("nobody sent {line}"));
        assert_eq!(line, producer.message(number(line)), "not a byte changed");
        found.entry(name).or_default().push(number(line));
    }
    for producer in producers {
        let name = producer.name.as_str();
        let numbers = found.remove(name).unwrap_or_default();
        let acknowledged = producer.acknowledged.lock().unwrap();
        let sure: u64 = acknowledged.iter().map(|range| range.end - range.start).sum();
        println!("{name}: {} sent, {sure} acknowledged, {} stored", producer.sent.load(SeqCst) - 1, numbers.len());
        assert!(sure > 2000, "{name}: too little happened");
        let wrong = numbers.windows(2).find(|pair| pair[0] >= pair[1]);
        assert!(wrong.is_none(), "{name}: {wrong:?} stand beside each other: twice, or out of order");
        for range in acknowledged.iter() {
            let at = numbers.partition_point(|number| *number < range.start);
            let there = numbers.get(at..at + (range.end - range.start) as usize).unwrap_or_default();
            assert!(there.iter().copied().eq(range.clone()), "{name}: {range:?} was acknowledged, {there:?} is there");
        }
        assert!(numbers.iter().all(|number| *number < producer.sent.load(SeqCst)), "{name}: nothing is invented");
    }
}

#[test]
fn through_a_proxy_that_cuts_delays_and_swallows() {
    live_through(&Proxy::new());
}

#[test]
fn over_a_cable_that_is_pulled() {
    if std::env::var_os(INSIDE).is_some() {
        return live_through(&Cable::new());
    }
    let program = std::env::current_exe().expect("a path");
    let test = "over_a_cable_that_is_pulled";
    let script = format!(
        "ip link add name probe0 type veth peer name probe1 && ip link del probe0 && unshare -n true || exit 77; \
         exec {program:?} --exact {test} --nocapture"
    );
    let inside = |more: &[&str]| {
        Command::new("unshare").args(more).args(["-n", "sh", "-c", &script]).env(INSIDE, "yes").output()
    };
    let mut tried = [&["-U", "-r"][..], &[]].into_iter().filter_map(|more| inside(more).ok());
    match tried.find(|output| matches!(output.status.code(), Some(0 | 101))) {
        Some(output) => {
            let said =
                format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
            assert!(output.status.success(), "{said}");
            print!("{said}");
        }
        // Not by `println`, which shows nothing of a test that passes.
        None => {
            let note = format!("skipped: {test}, since no network namespace can be had here\n");
            std::io::stderr().write_all(note.as_bytes()).expect("written");
        }
    }
}
