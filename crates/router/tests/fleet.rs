//! A fleet as it is meant to be run: a client, a NATS server, three routers on one durable consumer, one PostgreSQL. Each
//! of them is killed again and again under load. What NATS had confirmed to the client is in the store, once.
//!
//! Twice is how it comes: a router that is killed between its disk and its acknowledgement delivers its copy when it is
//! back, and by then another router has taken the message too. A router that is held for longer than `ack_wait` does the
//! same for certain, so that is among the cycles. `METLOG_FLEET_CYCLES` sets their number, 20 otherwise; the seed is
//! printed.

mod program;
mod stage;

use metlog_testkit::{Nats, Postgres, eventually};
use program::Program;
use serde_json::Value;
use stage::Directory;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::SeqCst};
use std::time::{Duration, Instant};

const ROUTERS: usize = 3;

/// For whatever must come to pass on a machine that has other things to do.
const PATIENCE: Duration = Duration::from_secs(120);

fn number(name: &str, otherwise: impl FnOnce() -> u64) -> u64 {
    std::env::var(name).ok().and_then(|text| text.parse().ok()).unwrap_or_else(otherwise)
}

/// The client, the server and the store of a fleet.
struct Fleet {
    nats: Nats,
    database: String,
}

impl Fleet {
    fn new() -> Fleet {
        Fleet { nats: Nats::new(), database: Postgres::shared().database() }
    }

    /// One router's configuration. Some seconds are enough for the server to give what is unacknowledged to another, and
    /// the spool is in small pieces, so that they come and go. Fewer seconds are none for a server of 2.9: killed, it
    /// forgets acknowledgements of the last two, looks for their messages again after each `ack_wait`, one whenever
    /// something comes, and gives nothing new until it is through.
    fn router(&self) -> String {
        format!(
            "[spool]\nsegment_bytes = '256 KiB'\nmemory = '128 KiB'\n\
             [inputs.http]\n[inputs.fleet]\ntype = 'nats'\nurls = ['{}']\nstream = {{ name = 'METLOG' }}\nbatch = 200\n\
             ack_wait = '5s'\ntimeout = '3s'\n\
             [endpoints.database]\ntype = 'postgres'\nurl = '{}'\nretry_min = '50ms'\nretry_max = '500ms'\n\
             [endpoints.out]\ntype = 'file'\npath = 'out.jsonl'\n",
            self.nats.url(),
            Postgres::shared().url(&self.database)
        )
    }

    fn start(&self, directory: Directory) -> Program {
        Program::start_in(directory, &self.router())
    }

    fn sql(&self, sql: &str) -> String {
        Postgres::shared().sql(&self.database, sql)
    }

    fn stored(&self) -> u64 {
        self.sql("select count(*) from metlog_messages").parse().unwrap()
    }

    /// What the server says of the consumer they share.
    fn consumer(&self) -> Option<Value> {
        let said = self.nats.ask("$JS.API.CONSUMER.INFO.METLOG.metlog", b"")?;
        serde_json::from_str(&said).ok()
    }
}

/// Ends the senders also when something fails before it is time.
struct Enough<'a>(&'a AtomicBool);

impl Drop for Enough<'_> {
    fn drop(&mut self) {
        self.0.store(true, SeqCst);
    }
}

/// Numbers in a router's file; none for a line that a kill has cut short.
fn numbers(directory: &Directory) -> Vec<Option<u64>> {
    let text = std::fs::read_to_string(directory.0.join("out.jsonl")).unwrap();
    let number = |line: &str| serde_json::from_str::<Value>(line).ok()?["fields"]["n"].as_u64();
    text.lines().map(number).collect()
}

/// What happens in a cycle.
fn strike(cycle: u64, random: &mut fastrand::Rng, fleet: &mut Fleet, routers: &mut [Option<Program>]) -> String {
    let victim = (cycle / 4 + cycle % 4) as usize % ROUTERS;
    let place = routers.get_mut(victim).unwrap();
    let pause = Duration::from_millis(random.u64(0..300));
    match cycle % 4 {
        0 | 1 => {
            let directory = place.take().unwrap().kill();
            std::thread::sleep(pause);
            *place = Some(fleet.start(directory));
            "router killed".to_owned()
        }
        2 => {
            fleet.nats.kill();
            std::thread::sleep(pause / 4);
            fleet.nats.start();
            "server killed".to_owned()
        }
        _ => {
            // Past `ack_wait`, while others take what it holds; and then it goes on as if nothing had been, or is killed
            // with all that in its hands.
            place.as_ref().unwrap().freeze(true);
            std::thread::sleep(Duration::from_millis(5500));
            if random.bool() {
                place.as_ref().unwrap().freeze(false);
                return "router held".to_owned();
            }
            *place = Some(fleet.start(place.take().unwrap().kill()));
            "router held and killed".to_owned()
        }
    }
}

#[test]
fn what_the_server_confirmed_is_in_the_store_once_whoever_dies() {
    let cycles = number("METLOG_FLEET_CYCLES", || 20);
    let seed = number("METLOG_FLEET_SEED", || fastrand::u64(..));
    println!("METLOG_FLEET_SEED={seed}");
    let mut random = fastrand::Rng::with_seed(seed);
    let mut fleet = Fleet::new();
    let mut routers: Vec<Option<Program>> = (0..ROUTERS).map(|_| Some(fleet.start(Directory::new()))).collect();
    let made = || fleet.sql("select to_regclass('metlog_messages') is not null") == "t";
    assert!(eventually(PATIENCE, made), "one of them makes the table");
    let client = metlog::from_toml(
        &format!(
            "[metlog]\nlogger = 'fleet'\noverflow = 'block'\n[metlog.sender]\nclass = 'nats'\nurls = ['{}']\n\
             stream = {{ name = 'METLOG' }}\ntimeout = '3s'\nretry_min = '50ms'\nretry_max = '500ms'\n",
            fleet.nats.url()
        ),
        "metlog",
    )
    .unwrap_or_else(|why| panic!("{why}"));

    let (sent, done) = (AtomicU64::new(0), AtomicBool::new(false));
    let mut struck: BTreeMap<String, u64> = BTreeMap::new();
    std::thread::scope(|scope| {
        for _ in 0..2 {
            scope.spawn(|| {
                while !done.load(SeqCst) {
                    // An application that says more than its queue holds while the server is away loses it knowingly.
                    if client.stats().queued() > 2000 {
                        std::thread::sleep(Duration::from_millis(5));
                        continue;
                    }
                    for _ in 0..10 {
                        let number = sent.fetch_add(1, SeqCst);
                        client.send(&client.message("fleet").payload("under load").field("n", number));
                    }
                    std::thread::sleep(Duration::from_millis(8));
                }
            });
        }
        let _enough = Enough(&done);
        for cycle in 0..cycles {
            // So that there is something in everybody's hands, also in the next ones'.
            let before = (sent.load(SeqCst), fleet.stored());
            let moved = eventually(PATIENCE, || sent.load(SeqCst) > before.0 + 300 && fleet.stored() > before.1);
            assert!(moved, "nothing goes on in cycle {cycle}: {:?}", client.stats());
            *struck.entry(strike(cycle, &mut random, &mut fleet, &mut routers)).or_default() += 1;
        }
    });
    let routers: Vec<Program> = routers.into_iter().flatten().collect();
    let waiting = |router: &Program| {
        router.metric("metlog_buffered{endpoint=\"database\"}") + router.metric("metlog_buffered{endpoint=\"out\"}")
    };
    let began = Instant::now();
    let mut confirmed = 0;
    let all = eventually(PATIENCE, || {
        // Something comes, see `Fleet::router`.
        for _ in 0..50 {
            client.send(&client.message("fleet").payload("afterwards").field("n", sent.fetch_add(1, SeqCst)));
        }
        let report = client.flush(PATIENCE);
        assert!(report.complete && report.stats.lost() == 0, "{report}");
        confirmed = report.stats.senders.iter().map(|sender| sender.sent).sum::<u64>();
        assert_eq!(confirmed, sent.load(SeqCst), "{report}");
        eventually(Duration::from_millis(100), || fleet.stored() >= confirmed)
            && routers.iter().map(waiting).sum::<u64>() == 0
    });
    assert!(all, "{} of {confirmed} stored, {:?}", fleet.stored(), fleet.consumer());
    let idle = eventually(PATIENCE, || fleet.consumer().is_some_and(|consumer| consumer["num_pending"] == 0));
    assert!(idle, "{:?}", fleet.consumer());
    // A server of 2.9 that is killed may go on counting some as unacknowledged that it gives to nobody any more: then
    // nothing comes, however long one waits.
    let settled = || fleet.consumer().is_some_and(|consumer| consumer["num_ack_pending"] == 0);
    if !eventually(Duration::from_secs(5), settled) {
        let before = fleet.consumer().unwrap();
        std::thread::sleep(Duration::from_secs(3));
        let after = fleet.consumer().unwrap();
        assert_eq!(before["delivered"], after["delivered"], "it goes on giving what was acknowledged");
    }
    println!("caught up in {:?}; the consumer: {}", began.elapsed(), fleet.consumer().unwrap());
    let lost: Vec<u64> = routers.iter().map(|router| router.metric("metlog_client_lost")).collect();
    assert_eq!(lost, [0; ROUTERS], "what another router has taken is no loss");
    let directories: Vec<Directory> = routers.into_iter().map(Program::stop).collect();

    let lines: Vec<Option<u64>> = directories.iter().flat_map(numbers).collect();
    let torn = lines.iter().filter(|number| number.is_none()).count();
    assert!(torn as u64 <= cycles, "a death tears one message at the most: {torn}");
    let written = lines.len() - torn;
    let there: BTreeSet<u64> = lines.into_iter().flatten().collect();
    println!(
        "{cycles} cycles, {struck:?}; {confirmed} confirmed, {} rows, {written} delivered by all routers together, {} of \
         them again",
        fleet.stored(),
        written - there.len()
    );
    assert!(there.into_iter().eq(0..confirmed), "each is in some router's file");
    let counted = fleet.sql(
        "select count(*), count(distinct (client, seq)), count(distinct fields ->> 'n'), min(seq), max(seq), \
         count(distinct client) from metlog_messages",
    );
    assert_eq!(counted, format!("{confirmed}|{confirmed}|{confirmed}|1|{confirmed}|1"), "each once, and nothing else");
}

#[test]
fn a_stream_of_what_nobody_understands_is_put_aside_once_and_holds_up_nothing() {
    let fleet = Fleet::new();
    let directory = Directory::new();
    let input = format!(
        "[inputs.http]\n[inputs.fleet]\ntype = 'nats'\nurls = ['{}']\nstream = {{ name = 'METLOG' }}\nack_wait = '1s'\n\
         [endpoints.store]\npath = 'messages.db'\n",
        fleet.nats.url()
    );
    let router = Program::start_in(directory, &input);
    assert!(eventually(PATIENCE, || fleet.consumer().is_some()), "the stream and the consumer are made");
    let large = format!("{{\"type\":\"t\",\"payload\":\"{}\"}}", "x".repeat(1000 * 1000))
        .replace("\"t\"", &format!("\"{}\"", "t".repeat(200)));
    let deep = format!("{{\"type\":\"t\",\"fields\":{}1{}}}", "[".repeat(500), "]".repeat(500));
    let foreign: [&[u8]; 9] = [
        b"",
        b"\0\xff\xfe\x80",
        b"not json",
        b"{\"cut",
        b"[1,2,3]",
        b"\"text\"",
        b"{\"no\":\"type\"}",
        deep.as_bytes(),
        large.as_bytes(),
    ];
    // Among good ones, under every subject the stream takes.
    for (number, payload) in foreign.iter().enumerate() {
        for subject in ["metlog.x", "metlog.counter.6.a%2Eb", "metlog.\u{e4}.\u{1f980}"] {
            let stored = fleet.nats.ask(subject, payload).unwrap();
            assert!(stored.contains("\"seq\":"), "{stored}");
        }
        fleet.nats.ask("metlog.good", stage::message(number as u64).as_bytes()).unwrap();
    }
    let (bad, good) = (foreign.len() as u64 * 3, foreign.len() as u64);
    let settled =
        || fleet.consumer().is_some_and(|consumer| consumer["num_ack_pending"] == 0 && consumer["num_pending"] == 0);
    assert!(eventually(PATIENCE, || settled() && router.delivered("store") == good), "{:?}", fleet.consumer());
    // Whatever were not acknowledged would come again by now.
    std::thread::sleep(Duration::from_millis(2500));
    let consumer = fleet.consumer().unwrap();
    assert_eq!(consumer["num_redelivered"], 0, "{consumer}");
    assert_eq!(consumer["delivered"]["consumer_seq"], bad + good, "each came once: {consumer}");
    assert_eq!(router.refused("fleet", "malformed") + router.refused("fleet", "too_large"), bad);
    assert_eq!((router.accepted("fleet"), router.delivered("store")), (good, good));
    let directory = router.stop();
    assert_eq!(stage::dead_letters_in(&directory.0.join("metlog-data")).len() as u64, bad);
}

#[test]
fn a_consumer_or_a_stream_that_is_otherwise_is_refused_with_both() {
    let nats = Nats::new();
    let made = nats.ask(
        "$JS.API.STREAM.CREATE.METLOG",
        br#"{"name":"METLOG","subjects":["metlog.>"],"retention":"workqueue","storage":"memory","discard":"new","num_replicas":1}"#,
    );
    assert!(made.is_some_and(|made| !made.contains("\"error\"")));
    let consumer = nats.ask(
        "$JS.API.CONSUMER.DURABLE.CREATE.METLOG.metlog",
        br#"{"stream_name":"METLOG","config":{"durable_name":"metlog","ack_policy":"explicit","deliver_policy":"all","ack_wait":7000000000,"max_ack_pending":20000,"max_deliver":4}}"#,
    );
    assert!(consumer.as_ref().is_some_and(|made| !made.contains("\"error\"")), "{consumer:?}");
    let with = |more: &str| {
        format!(
            "[inputs.http]\n[inputs.fleet]\ntype = 'nats'\nurls = ['{}']\nstream = {{ name = 'METLOG'{more} }}\n[endpoints.out]\ntype = 'null'\n",
            nats.url()
        )
    };
    for (more, words) in [
        (
            "",
            [
                "the consumer `metlog`",
                "`ack_wait` is 30s here and 7s there",
                "`max_deliver` is unlimited here and 4 there",
            ],
        ),
        (", storage = 'file'", ["the stream `METLOG`", "`storage` is file here and memory there", "nats stream edit"]),
    ] {
        let router = Program::start_in(Directory::new(), &with(more));
        let said = eventually(PATIENCE, || words.iter().all(|words| router.log().contains(words)));
        assert!(said, "{words:?}: {}", router.log());
        router.stop();
    }
    // Nothing was taken, and nothing changed there.
    let info = nats.ask("$JS.API.CONSUMER.INFO.METLOG.metlog", b"").unwrap();
    assert!(info.contains("\"max_deliver\":4") && info.contains("\"num_waiting\":0"), "{info}");
}
