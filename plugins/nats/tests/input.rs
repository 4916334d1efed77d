//! The input against a real server: what is acknowledged is in the spool, what is in the spool came once, and nothing
//! comes for ever.

mod common;

use async_nats::jetstream::consumer::{AckPolicy, pull};
use common::Raw;
use metlog_message::{Lines, wire};
use metlog_nats as _;
use metlog_pipeline::{EndpointEntry, Input, InputEntry, Picked, Reason, SenderEntry, Stop};
use metlog_testkit::{Nats, Policy, Recorder, drive, eventually, sample, settings};
use std::collections::{BTreeSet, HashSet};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};
use tokio::runtime::Runtime;
use tokio::sync::watch;
use tokio::task::JoinHandle;

const PATIENCE: Duration = Duration::from_secs(60);

fn open(server: &Nats, more: &str) -> Box<dyn Input> {
    let text = format!("urls = ['{}']\nstream = {{ name = 'T' }}\ntimeout = '2s'\n{more}", server.url());
    let entry = InputEntry::find("nats").expect("there");
    (entry.read)(&settings(&text)).unwrap_or_else(|problems| panic!("{problems}"))().expect("opens")
}

/// A router's part: an input that runs.
struct Running {
    runtime: Runtime,
    stop: watch::Sender<bool>,
    task: JoinHandle<Result<(), String>>,
}

impl Running {
    fn start(server: &Nats, recorder: &Recorder, more: &str) -> Self {
        let input = open(server, more);
        let runtime =
            tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().expect("a runtime");
        let (tell, stop) = Stop::new();
        let task = runtime.spawn(input.run(recorder.inlet(), stop));
        Running { runtime, stop: tell, task }
    }

    fn stop(self) -> Result<(), String> {
        self.stop.send(true).expect("it listens");
        self.runtime.block_on(self.task).expect("no panic")
    }

    fn result(self) -> Result<(), String> {
        self.runtime.block_on(self.task).expect("no panic")
    }

    /// As if the process was killed: nothing is told to anybody.
    fn kill(self) {
        self.runtime.shutdown_timeout(Duration::from_millis(100));
    }
}

fn send(server: &Nats, lines: Lines) {
    let text = format!("urls = ['{}']\nstream = {{ name = 'T' }}", server.url());
    let entry = SenderEntry::find("nats").expect("there");
    let mut sender = (entry.read)(&settings(&text)).unwrap_or_else(|problems| panic!("{problems}"))().expect("opens");
    let count = lines.len();
    let outcome = drive(&mut *sender, lines, Policy::within(PATIENCE));
    assert_eq!(outcome.sent, count, "{:?}", outcome.errors);
}

fn numbers(accepted: &[Vec<u8>]) -> Vec<u64> {
    accepted.iter().map(|line| sample::number(line).expect("a sample")).collect()
}

/// Nothing is left in the stream, whose messages go when they are acknowledged.
fn is_empty(server: &Nats) -> bool {
    let raw = Raw::connect(server);
    eventually(PATIENCE, || raw.count("T") == 0)
}

#[test]
fn from_endpoint_to_stream_to_input_every_byte_stays() {
    let server = Nats::new();
    let mut lines = sample::lines(0, 5000);
    for (number, payload) in (5000..).zip(sample::nasty()) {
        lines.push_with(|text| wire::write(text, &sample::message(number).payload(payload.as_str())));
    }
    let ids: Vec<u64> = (0..lines.len() as u64).collect();
    let text = format!("urls = ['{}']\nstream = {{ name = 'T' }}", server.url());
    let entry = EndpointEntry::find("nats").expect("there");
    let mut endpoint = (entry.read)(&settings(&text)).unwrap_or_else(|problems| panic!("{problems}"))().expect("opens");
    assert_eq!(endpoint.write(&Picked::new(&lines, &ids)), Ok(()));
    let recorder = Recorder::new();
    let running = Running::start(&server, &recorder, "");
    assert!(eventually(PATIENCE, || recorder.accepted() == lines.len()));
    assert!(is_empty(&server));
    running.stop().expect("no error");
    let seen = recorder.seen();
    assert!(seen.accepted.iter().map(Vec::as_slice).eq(lines.iter()), "in order, byte for byte");
    assert_eq!((seen.received(), seen.forgotten), (lines.len() as u64, 0));
}

#[test]
fn an_acknowledgement_waits_for_the_disk_however_long_that_takes() {
    let server = Nats::new();
    send(&server, sample::lines(0, 100));
    let recorder = Recorder::new();
    recorder.set_unsynced(true);
    let running = Running::start(&server, &recorder, "ack_wait = '1s'");
    assert!(eventually(PATIENCE, || recorder.accepted() == 100));
    // Past `ack_wait` several times: without a word from us all would have come again.
    std::thread::sleep(Duration::from_millis(3500));
    let raw = Raw::connect(&server);
    let info = raw.consumer("T", "metlog").expect("there");
    assert_eq!((info.num_ack_pending, info.num_redelivered, raw.count("T")), (100, 0, 100));
    recorder.set_unsynced(false);
    assert!(is_empty(&server));
    running.stop().expect("no error");
    assert_eq!(recorder.received(), 100);
}

#[test]
fn what_a_killed_router_had_not_acknowledged_goes_to_another() {
    let server = Nats::new();
    let (first, second) = (Recorder::new(), Recorder::new());
    first.set_unsynced(true);
    second.deduplicate();
    let settings = "ack_wait = '1s'\nbatch = 50";
    send(&server, sample::lines(0, 2000));
    let doomed = Running::start(&server, &first, settings);
    assert!(eventually(PATIENCE, || first.accepted() >= 200));
    let other = Running::start(&server, &second, settings);
    assert!(eventually(PATIENCE, || second.accepted() >= 500), "they share");
    doomed.kill();
    // Somebody sends again what is there already, as after a lost confirmation.
    send(&server, sample::lines(0, 2000));
    assert!(eventually(PATIENCE, || second.accepted() == 2000), "{}", second.accepted());
    assert!(is_empty(&server));
    other.stop().expect("no error");
    let there: BTreeSet<u64> = numbers(&second.seen().accepted).into_iter().collect();
    assert!(there.into_iter().eq(0..2000), "all of them, whatever the first one took along");
    assert_eq!(second.accepted(), 2000, "once each");
}

#[test]
fn routers_share_and_a_message_goes_to_one() {
    let server = Nats::new();
    let recorders = [Recorder::new(), Recorder::new(), Recorder::new()];
    let running: Vec<Running> =
        recorders.iter().map(|recorder| Running::start(&server, recorder, "batch = 100")).collect();
    for batch in 0..20 {
        send(&server, sample::lines(batch * 1000, 1000));
    }
    let count = || recorders.iter().map(Recorder::accepted).sum::<usize>();
    assert!(eventually(PATIENCE, || count() >= 20_000), "{}", count());
    for one in running {
        one.stop().expect("no error");
    }
    assert!(is_empty(&server));
    let all: Vec<u64> = recorders.iter().flat_map(|recorder| numbers(&recorder.seen().accepted)).collect();
    assert_eq!(all.len(), 20_000);
    assert_eq!(all.into_iter().collect::<BTreeSet<_>>().len(), 20_000);
    assert!(recorders.iter().all(|recorder| recorder.accepted() > 0), "each got some");
}

#[test]
fn a_consumer_that_is_otherwise_is_refused_with_both() {
    let server = Nats::new();
    let raw = Raw::connect(&server);
    send(&server, sample::lines(0, 10));
    let there = pull::Config {
        durable_name: Some("metlog".into()),
        ack_policy: AckPolicy::Explicit,
        ack_wait: Duration::from_secs(5),
        max_ack_pending: 7,
        max_deliver: 3,
        ..pull::Config::default()
    };
    raw.make_consumer("T", there);
    let recorder = Recorder::new();
    let running = Running::start(&server, &recorder, "ack_wait = '10s'\nfilter = 'metlog.*.3.*'");
    let why = running.result().expect_err("refused");
    for words in [
        "the consumer `metlog`",
        "`ack_wait` is 10s here and 5s there",
        "`max_ack_pending` is 20000 here and 7 there",
        "`filter` is `metlog.*.3.*` here and none there",
        "`max_deliver` is unlimited here and 3 there",
        "nats consumer edit",
    ] {
        assert!(why.contains(words), "{words}: {why}");
    }
    assert_eq!((recorder.received(), raw.count("T")), (0, 10));
    // Of a work queue there is one consumer for a subject.
    let why = Running::start(&server, &recorder, "consumer = 'another'").result().expect_err("refused");
    assert!(why.contains("making the consumer `another`"), "{why}");
}

#[test]
fn a_filter_takes_its_own_and_leaves_the_rest() {
    let server = Nats::new();
    send(&server, sample::lines(0, 10));
    Raw::connect(&server).publish("metlog.other.3.x", &sample::line(99));
    let recorder = Recorder::new();
    let running = Running::start(&server, &recorder, "filter = 'metlog.*.3.*'");
    assert!(eventually(PATIENCE, || recorder.accepted() == 1));
    running.stop().expect("no error");
    assert_eq!(numbers(&recorder.seen().accepted), [99]);
    assert_eq!(Raw::connect(&server).count("T"), 10);
}

#[test]
fn what_is_no_message_goes_to_the_dead_letters_and_never_comes_again() {
    let server = Nats::new();
    send(&server, sample::lines(0, 1));
    let raw = Raw::connect(&server);
    let large = vec![b'x'; 900_000];
    let foreign: [&[u8]; 6] = [b"", b"not json", b"\xff\0\xfe", b"[1,2,3]", b"{\"cut", &large];
    for part in foreign {
        raw.publish("metlog.somebody.else.s", part);
    }
    raw.publish("metlog.x.6.y", &sample::line(1));
    let recorder = Recorder::new();
    recorder.set_message_limit(100_000);
    let running = Running::start(&server, &recorder, "ack_wait = '1s'");
    assert!(eventually(PATIENCE, || recorder.received() == 8));
    assert!(is_empty(&server), "acknowledged, all of them");
    std::thread::sleep(Duration::from_millis(1500));
    let info = raw.consumer("T", "metlog").expect("there");
    assert_eq!((info.num_redelivered, info.num_ack_pending, info.num_pending), (0, 0, 0), "{info:?}");
    assert_eq!(info.delivered.consumer_sequence, 8, "each came once");
    running.stop().expect("no error");
    let seen = recorder.seen();
    assert_eq!(numbers(&seen.accepted), [0, 1]);
    assert_eq!((seen.count(Reason::Malformed), seen.count(Reason::TooLarge), seen.received()), (5, 1, 8));
    assert!(seen.refused.iter().map(|refused| refused.part.as_slice()).eq(foreign), "with what they were");
}

#[test]
fn what_has_no_number_has_the_same_one_wherever_it_goes() {
    let server = Nats::new();
    send(&server, sample::lines(0, 1));
    let raw = Raw::connect(&server);
    let strict =
        r#"{"type":"t","timestamp":"2026-11-21T08:00:00.000000Z","logger":"","severity":6,"payload":"","fields":{}}"#;
    let foreign = [r#"{"type":"t"}"#, strict, strict, r#"{"type":"t","metlog_client":"c","metlog_seq":1}"#];
    foreign.iter().for_each(|line| raw.publish("metlog.t.6.x", line.as_bytes()));
    let (first, second, third) = (Recorder::new(), Recorder::new(), Recorder::new());
    first.set_unsynced(true);
    let doomed = Running::start(&server, &first, "ack_wait = '1s'");
    assert!(eventually(PATIENCE, || first.accepted() == 5));
    doomed.kill();
    let running = Running::start(&server, &second, "ack_wait = '1s'");
    assert!(eventually(PATIENCE, || second.accepted() == 5));
    running.stop().expect("no error");
    assert!(is_empty(&server));
    let (one, other) = (first.seen().accepted, second.seen().accepted);
    assert_eq!(one.iter().collect::<BTreeSet<_>>(), other.iter().collect::<BTreeSet<_>>(), "to the last byte");
    assert_eq!(one.iter().collect::<BTreeSet<_>>().len(), 5, "and no two alike");
    let read = |line: &Vec<u8>| wire::read(line, &wire::Limits::NONE).expect("a message").message.origin.expect("one");
    let numbers: Vec<(String, u64)> = one.iter().map(read).map(|origin| (origin.client, origin.seq)).collect();
    assert_eq!(numbers.iter().map(|(_, seq)| *seq).collect::<Vec<_>>(), [1, 2, 3, 4, 1]);
    assert!(numbers[1..4].iter().all(|(client, _)| client.starts_with("T-") && *client == numbers[1].0), "{numbers:?}");
    // And nothing is written into messages, if nobody wants that.
    foreign.iter().for_each(|line| raw.publish("metlog.t.6.x", line.as_bytes()));
    let running = Running::start(&server, &third, "ack_wait = '1s'\nnumber = false");
    assert!(eventually(PATIENCE, || third.accepted() == 4));
    running.stop().expect("no error");
    assert!(third.seen().accepted.iter().map(Vec::as_slice).eq(foreign.map(str::as_bytes)));
}

#[test]
fn a_full_spool_takes_nothing_more_and_another_router_gets_it() {
    let server = Nats::new();
    send(&server, sample::lines(0, 3000));
    let full = Recorder::new();
    full.set_full(true);
    let running = Running::start(&server, &full, "ack_wait = '1s'\nbatch = 100");
    std::thread::sleep(Duration::from_millis(1500));
    let raw = Raw::connect(&server);
    let info = raw.consumer("T", "metlog").expect("there");
    assert!(info.num_ack_pending <= 200 && info.num_redelivered == 0, "{info:?}");
    full.set_full(false);
    assert!(eventually(PATIENCE, || full.accepted() > 500));
    full.set_full(true);
    running.stop().expect("no error");
    let seen = full.seen();
    let taken: HashSet<u64> = numbers(&seen.accepted).into_iter().collect();
    assert_eq!(seen.forgotten, 0);
    let other = Recorder::new();
    let began = Instant::now();
    let running = Running::start(&server, &other, "ack_wait = '1s'\nbatch = 100");
    assert!(eventually(PATIENCE, || taken.len() + other.accepted() == 3000), "{} {}", taken.len(), other.accepted());
    assert!(began.elapsed() < Duration::from_secs(20));
    running.stop().expect("no error");
    assert!(is_empty(&server));
    assert!(numbers(&other.seen().accepted).iter().all(|number| !taken.contains(number)), "each once");
}

#[test]
fn after_a_long_silence_it_still_takes() {
    let server = Nats::new();
    send(&server, sample::lines(0, 1));
    let recorder = Recorder::new();
    let running = Running::start(&server, &recorder, "");
    assert!(eventually(PATIENCE, || recorder.accepted() == 1));
    // Longer than the server keeps a request.
    std::thread::sleep(Duration::from_secs(12));
    send(&server, sample::lines(1, 1000));
    assert!(eventually(Duration::from_secs(5), || recorder.accepted() == 1001), "{}", recorder.accepted());
    // A server that says nothing any more is noticed, also while its connection stands.
    server.freeze(true);
    let began = Instant::now();
    let why = running.result().expect_err("silent");
    server.freeze(false);
    assert!(why.contains("silent") && began.elapsed() < Duration::from_secs(20), "{why}");
}

#[test]
fn whoever_stops_has_acknowledged_what_it_took() {
    let server = Nats::new();
    send(&server, sample::lines(0, 20_000));
    let mut taken = 0;
    for _ in 0..5 {
        let recorder = Recorder::new();
        let running = Running::start(&server, &recorder, "batch = 200");
        assert!(eventually(PATIENCE, || recorder.accepted() > 500));
        let began = Instant::now();
        running.stop().expect("no error");
        assert!(began.elapsed() < Duration::from_secs(4), "the server has said at once that it heard");
        taken += recorder.accepted() as u64;
        let raw = Raw::connect(&server);
        assert!(
            eventually(Duration::from_secs(5), || taken + raw.count("T") == 20_000),
            "{taken} + {}",
            raw.count("T")
        );
    }
}

#[test]
fn without_a_server_or_with_one_that_does_not_know_us_it_says_so() {
    let mut server = Nats::with(|_| "authorization { user: app, password: hunter2 }".to_owned());
    let recorder = Recorder::new();
    let began = Instant::now();
    let wrong = "login = { user = 'app', password = 'hunter3' }";
    let why = Running::start(&server, &recorder, wrong).result().expect_err("not let in");
    assert!(why.contains("`login`") && !why.contains("hunter"), "{why}");
    server.kill();
    let why = Running::start(&server, &recorder, "").result().expect_err("nobody there");
    assert!(why.contains("cannot connect"), "{why}");
    assert!(began.elapsed() < Duration::from_secs(6));
    let entry = InputEntry::find("nats").expect("there");
    let example = settings(entry.example);
    let mut section = example.get("inputs").and_then(|inputs| inputs.get("fleet")).expect("there").clone();
    section.as_table_mut().expect("a table").remove("type");
    drop((entry.read)(&section).unwrap_or_else(|problems| panic!("{problems}")));
}

/// As the router does: opens it again when it fails.
async fn supervise(text: String, recorder: Recorder, stop: Stop) {
    let entry = InputEntry::find("nats").expect("there");
    while !stop.is_stopped() {
        let input = (entry.read)(&settings(&text)).unwrap_or_else(|problems| panic!("{problems}"))().expect("opens");
        if input.run(recorder.inlet(), stop.clone()).await.is_err() {
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }
}

#[test]
fn a_server_killed_under_load_loses_nothing_and_gives_nothing_twice() {
    let mut server = Nats::new();
    let recorder = Recorder::new();
    recorder.deduplicate();
    let text = format!("urls = ['{}']\nstream = {{ name = 'T' }}\ntimeout = '2s'\nack_wait = '2s'", server.url());
    let runtime =
        tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().expect("a runtime");
    let (tell, stop) = Stop::new();
    let running: Vec<_> =
        (0..2).map(|_| runtime.spawn(supervise(text.clone(), recorder.clone(), stop.clone()))).collect();
    let done = AtomicBool::new(false);
    let url = server.url();
    let sent = std::thread::scope(|scope| {
        let worker = scope.spawn(|| {
            let text = format!("urls = ['{url}']\nstream = {{ name = 'T' }}\ntimeout = '2s'");
            let entry = SenderEntry::find("nats").expect("there");
            let mut sender =
                (entry.read)(&settings(&text)).unwrap_or_else(|problems| panic!("{problems}"))().expect("opens");
            let mut sent = 0;
            while !done.load(Ordering::Relaxed) {
                let outcome = drive(&mut *sender, sample::lines(sent, 1000), Policy::within(PATIENCE));
                assert_eq!(outcome.sent, 1000, "{:?}", outcome.errors.last());
                sent += 1000;
            }
            sent
        });
        for cycle in 0..5 {
            std::thread::sleep(Duration::from_millis(200 + 50 * cycle));
            server.kill();
            std::thread::sleep(Duration::from_millis(20));
            server.start();
        }
        std::thread::sleep(Duration::from_millis(300));
        done.store(true, Ordering::Relaxed);
        worker.join().expect("no panic")
    });
    assert!(eventually(PATIENCE, || recorder.accepted() as u64 >= sent), "{} of {sent}", recorder.accepted());
    tell.send(true).expect("they listen");
    for one in running {
        runtime.block_on(one).expect("no panic");
    }
    let seen = recorder.seen();
    let there: BTreeSet<u64> = numbers(&seen.accepted).into_iter().collect();
    assert_eq!((seen.accepted.len() as u64, there.len() as u64, seen.forgotten), (sent, sent, 0));
    assert!(there.into_iter().eq(0..sent));
    // A server of 2.9 that is killed forgets that it had removed what was acknowledged, and keeps it for nobody.
    let left = Raw::connect(&server).count("T");
    println!("{sent} messages, {} of them came twice and were known; {left} were left behind", seen.duplicates);
}
