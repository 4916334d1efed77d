//! The input against librdkafka's mock cluster: no offset is told before the spool's disk, and whoever gets a partition
//! gets all that was not.

mod common;

use common::{CALL, Kafka, PATIENCE, numbers, write};
use metlog_kafka as _;
use metlog_message::wire;
use metlog_pipeline::{Input, InputEntry, Reason, Stop};
use metlog_testkit::{Recorder, eventually, sample, settings, watch};
use rdkafka::types::{RDKafkaApiKey as Api, RDKafkaRespErr as Error};
use std::collections::BTreeSet;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};
use tokio::runtime::Runtime;
use tokio::task::JoinHandle;

fn open(text: &str) -> Box<dyn Input> {
    let entry = InputEntry::find("kafka").expect("there");
    (entry.read)(&settings(text)).unwrap_or_else(|problems| panic!("{problems}"))().expect("opens")
}

fn runtime() -> Runtime {
    tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().expect("a runtime")
}

/// A router's part: an input that runs.
struct Running {
    runtime: Runtime,
    stop: tokio::sync::watch::Sender<bool>,
    task: JoinHandle<Result<(), String>>,
}

impl Running {
    fn start(kafka: &Kafka, recorder: &Recorder, more: &str) -> Self {
        Self::with(recorder, &format!("{}\nsession_timeout = '6s'\n{more}", kafka.brokers()))
    }

    fn with(recorder: &Recorder, text: &str) -> Self {
        let input = open(text);
        let runtime = runtime();
        let (stop, told) = Stop::new();
        let task = runtime.spawn(input.run(recorder.inlet(), told));
        Running { runtime, stop, task }
    }

    #[track_caller]
    fn stop(self) -> Result<(), String> {
        let _watch = watch("an input told to stop", CALL);
        self.stop.send(true).expect("it listens");
        self.runtime.block_on(self.task).expect("no panic")
    }

    #[track_caller]
    fn result(self) -> Result<(), String> {
        let _watch = watch("an input that should end by itself", CALL);
        self.runtime.block_on(self.task).expect("no panic")
    }

    /// As if the process was killed, but that the group hears of it: nothing is told of what was taken.
    #[track_caller]
    fn kill(self) {
        let _watch = watch("an input that is killed", CALL);
        self.task.abort();
        self.runtime.shutdown_timeout(PATIENCE);
    }
}

const METLOG: &str = "topics = ['metlog']";

fn there(recorder: &Recorder) -> BTreeSet<u64> {
    numbers(recorder.seen().accepted.iter().map(Vec::as_slice)).into_iter().collect()
}

#[test]
fn the_example_and_nothing_wrong_is_taken() {
    let entry = InputEntry::find("kafka").expect("there");
    let example = settings(entry.example);
    let mut section = example.get("inputs").and_then(|inputs| inputs.get("kafka")).expect("there").clone();
    section.as_table_mut().expect("a table").remove("type");
    drop((entry.read)(&section).unwrap_or_else(|problems| panic!("{problems}")));
    for (wrong, words) in [
        ("", "topics"),
        ("topics = []", "topics"),
        ("topics = ['a b']", "begins with `^`"),
        ("topics = ['^']", "begins with `^`"),
        ("topics = ['a']\ngroup = ''", "`group`"),
        ("topics = ['a']\nstart = 'now'", "latest"),
        ("topics = ['a']\nsession_timeout = '1s'", "45s is usual"),
        ("topics = ['a']\nin_flight = 0", "in_flight"),
        ("topics = ['a']\nlogin = { mechanism = 'plain', user = 'u', passwort = 'hunter2' }", "password"),
    ] {
        let problems = (entry.read)(&settings(wrong)).map(drop).expect_err(wrong).to_string();
        assert!(problems.contains(words) && !problems.contains("hunter2"), "{problems}");
    }
}

#[test]
fn from_endpoint_to_topic_to_input_every_byte_stays() {
    let kafka = Kafka::new(&[("metlog", 4)]);
    let mut endpoint = kafka.endpoint("");
    assert_eq!(write(&mut *endpoint, 0, 5000), []);
    let mut nasty = metlog_message::Lines::new();
    for (number, payload) in (5000..).zip(sample::nasty()) {
        nasty.push_with(|text| wire::write(text, &sample::message(number).payload(payload.as_str())));
    }
    assert_eq!(common::put(&mut *endpoint, &nasty), Ok(()));
    let all = 5000 + nasty.len();
    let recorder = Recorder::new();
    let running = Running::start(&kafka, &recorder, METLOG);
    assert!(eventually(PATIENCE, || recorder.accepted() == all), "{}", recorder.accepted());
    assert!(eventually(PATIENCE, || kafka.committed("metlog", "metlog") == all as i64));
    running.stop().expect("no error");
    let seen = recorder.seen();
    assert_eq!((seen.received(), seen.forgotten, seen.pending), (all as u64, 0, 0));
    // One client's, so they have stayed in order.
    let sent = sample::lines(0, 5000);
    assert!(seen.accepted.iter().map(Vec::as_slice).eq(sent.iter().chain(nasty.iter())), "in order, byte for byte");
    // Nothing comes again to the same group; another group gets all.
    let (again, other) = (Recorder::new(), Recorder::new());
    let same = Running::start(&kafka, &again, METLOG);
    let running = Running::start(&kafka, &other, "topics = ['^met.*']\ngroup = 'other'");
    assert!(eventually(PATIENCE, || other.accepted() == all));
    assert_eq!(write(&mut *endpoint, 6000, 10), []);
    assert!(eventually(PATIENCE, || again.accepted() == 10 && other.accepted() == all + 10));
    same.stop().expect("no error");
    running.stop().expect("no error");
    assert!(there(&again).into_iter().eq(6000..6010));
}

#[test]
fn no_offset_is_told_before_the_disk() {
    let kafka = Kafka::new(&[("metlog", 2)]);
    write(&mut *kafka.endpoint("key = 'none'"), 0, 1000);
    let recorder = Recorder::new();
    recorder.set_unsynced(true);
    let running = Running::start(&kafka, &recorder, METLOG);
    assert!(eventually(PATIENCE, || recorder.accepted() == 1000));
    // Several times as long as it takes otherwise.
    std::thread::sleep(Duration::from_secs(2));
    assert_eq!(kafka.committed("metlog", "metlog"), 0);
    recorder.set_unsynced(false);
    assert!(eventually(PATIENCE, || kafka.committed("metlog", "metlog") == 1000));
    // Also not when it is time to go.
    recorder.set_unsynced(true);
    write(&mut *kafka.endpoint("key = 'none'"), 1000, 1000);
    assert!(eventually(PATIENCE, || recorder.accepted() == 2000));
    running.stop().expect("no error");
    assert_eq!(kafka.committed("metlog", "metlog"), 1000);
    let next = Recorder::new();
    let running = Running::start(&kafka, &next, METLOG);
    assert!(eventually(PATIENCE, || next.accepted() == 1000));
    running.stop().expect("no error");
    assert!(there(&next).into_iter().eq(1000..2000));
    assert_eq!(kafka.committed("metlog", "metlog"), 2000);
}

#[test]
fn what_a_killed_router_had_not_told_comes_again() {
    let kafka = Kafka::new(&[("metlog", 4)]);
    let (first, second) = (Recorder::new(), Recorder::new());
    first.set_unsynced(true);
    second.deduplicate();
    let doomed = Running::start(&kafka, &first, METLOG);
    write(&mut *kafka.endpoint("key = 'none'"), 0, 2000);
    assert!(eventually(PATIENCE, || first.accepted() == 2000));
    doomed.kill();
    assert_eq!(kafka.committed("metlog", "metlog"), 0);
    // Somebody sends again what is there already, as after a lost confirmation.
    write(&mut *kafka.endpoint("key = 'none'"), 1000, 1500);
    let running = Running::start(&kafka, &second, METLOG);
    assert!(eventually(PATIENCE, || second.received() == 3500), "{}", second.received());
    assert!(eventually(PATIENCE, || kafka.committed("metlog", "metlog") == 3500));
    running.stop().expect("no error");
    assert!(there(&second).into_iter().eq(0..2500));
    let seen = second.seen();
    assert_eq!((seen.accepted.len(), seen.duplicates, seen.forgotten), (2500, 1000, 0), "once each");
}

#[test]
fn routers_share_come_and_go_and_nothing_is_lost() {
    let kafka = Kafka::new(&[("metlog", 6)]);
    // What both had taken is known to both, as to one store behind them.
    let shared = Recorder::new();
    shared.deduplicate();
    let (done, sent) = (AtomicBool::new(false), AtomicU64::new(0));
    let mut endpoint = kafka.endpoint("key = 'none'");
    std::thread::scope(|scope| {
        scope.spawn(|| {
            while !done.load(Ordering::Relaxed) {
                write(&mut *endpoint, sent.load(Ordering::Relaxed), 200);
                sent.fetch_add(200, Ordering::Relaxed);
                std::thread::sleep(Duration::from_millis(20));
            }
        });
        let moves = |by: usize| {
            let before = shared.accepted();
            assert!(eventually(PATIENCE, || shared.accepted() >= before + by), "nothing moves at {before}");
        };
        let first = Running::start(&kafka, &shared, METLOG);
        moves(500);
        let second = Running::start(&kafka, &shared, METLOG);
        moves(2000);
        // Nothing is safe for a while, and just then partitions change hands.
        shared.set_unsynced(true);
        let third = Running::start(&kafka, &shared, METLOG);
        moves(500);
        shared.set_unsynced(false);
        moves(1000);
        first.kill();
        moves(1000);
        second.stop().expect("no error");
        moves(1000);
        done.store(true, Ordering::Relaxed);
        let all = || eventually(PATIENCE, || shared.accepted() as u64 == sent.load(Ordering::Relaxed));
        std::thread::sleep(Duration::from_millis(300));
        assert!(all(), "{} of {}", shared.accepted(), sent.load(Ordering::Relaxed));
        third.stop().expect("no error");
    });
    let sent = sent.load(Ordering::Relaxed);
    let seen = shared.seen();
    assert!(there(&shared).into_iter().eq(0..sent));
    assert_eq!((seen.accepted.len() as u64, seen.pending), (sent, 0));
    assert_eq!(kafka.committed("metlog", "metlog"), sent as i64);
    println!("{sent} messages, {} came again", seen.duplicates);
}

#[test]
fn two_of_a_group_both_get_their_share() {
    let kafka = Kafka::new(&[("metlog", 6)]);
    let recorders = [Recorder::new(), Recorder::new()];
    let running = recorders.each_ref().map(|recorder| Running::start(&kafka, recorder, METLOG));
    let mut endpoint = kafka.endpoint("key = 'none'");
    let mut sent = 0;
    // Until both have been given partitions.
    let both = eventually(PATIENCE, || {
        write(&mut *endpoint, sent, 200);
        sent += 200;
        std::thread::sleep(Duration::from_millis(50));
        recorders.iter().all(|recorder| recorder.accepted() > 500)
    });
    assert!(both, "{:?}", recorders.each_ref().map(Recorder::accepted));
    let all = || recorders.iter().flat_map(there).collect::<BTreeSet<u64>>();
    assert!(eventually(PATIENCE, || all().len() as u64 == sent));
    // Before the first one leaves: other than brokers, the mock cluster takes no offsets while a group that has lost one
    // waits for the others.
    assert!(eventually(PATIENCE, || kafka.committed("metlog", "metlog") == sent as i64));
    running.into_iter().for_each(|one| one.stop().expect("no error"));
    assert_eq!(kafka.committed("metlog", "metlog"), sent as i64);
}

#[test]
fn what_is_no_message_goes_to_the_dead_letters_and_never_comes_again() {
    let kafka = Kafka::new(&[("metlog", 1)]);
    let large = vec![b'x'; 200_000];
    let (first, last) = (sample::line(0), sample::line(1));
    let foreign: [Option<&[u8]>; 6] =
        [None, Some(b""), Some(b"not json"), Some(b"\xff\0\xfe"), Some(b"{\"cut"), Some(&large)];
    kafka.produce("metlog", &[Some(&first)]);
    kafka.produce("metlog", &foreign);
    kafka.produce("metlog", &[Some(&last)]);
    let recorder = Recorder::new();
    recorder.set_message_limit(100_000);
    let running = Running::start(&kafka, &recorder, METLOG);
    assert!(eventually(PATIENCE, || recorder.received() == 8), "{:?}", recorder.seen());
    assert!(eventually(PATIENCE, || kafka.committed("metlog", "metlog") == 8), "done with, all of them");
    running.stop().expect("no error");
    let seen = recorder.seen();
    assert!(there(&recorder).into_iter().eq(0..2));
    assert_eq!((seen.count(Reason::Malformed), seen.count(Reason::TooLarge), seen.received()), (5, 1, 8));
    assert!(seen.refused[0].why.contains("topic metlog, partition 0, offset 1"), "{:?}", seen.refused[0]);
    let parts: Vec<&[u8]> = foreign.iter().map(|value| value.unwrap_or_default()).collect();
    assert!(seen.refused.iter().map(|refused| refused.part.as_slice()).eq(parts), "with what they were");
}

#[test]
fn a_full_spool_is_waited_for_and_what_is_on_its_way_is_bounded() {
    let kafka = Kafka::new(&[("metlog", 2)]);
    let mut endpoint = kafka.endpoint("key = 'none'");
    write(&mut *endpoint, 0, 5000);
    let recorder = Recorder::new();
    recorder.set_unsynced(true);
    let running = Running::start(&kafka, &recorder, "topics = ['metlog']\nin_flight = 300");
    assert!(eventually(PATIENCE, || recorder.accepted() >= 300));
    std::thread::sleep(Duration::from_secs(2));
    // One commit to the spool beyond it, at the most.
    assert!(recorder.accepted() <= 1300, "{}", recorder.accepted());
    recorder.set_unsynced(false);
    recorder.set_full(true);
    assert!(eventually(PATIENCE, || recorder.seen().full > 20));
    // Longer than the group waits for one that does not poll.
    std::thread::sleep(Duration::from_secs(7));
    let held = recorder.seen();
    assert!(held.pending <= 1000 && held.accepted.len() <= 2300, "{} {}", held.pending, held.accepted.len());
    recorder.set_full(false);
    assert!(eventually(PATIENCE, || recorder.accepted() == 5000), "{}", recorder.accepted());
    assert!(eventually(PATIENCE, || kafka.committed("metlog", "metlog") == 5000));
    // Stopped while there is no room: what found none comes again.
    recorder.set_full(true);
    write(&mut *endpoint, 5000, 100);
    assert!(eventually(PATIENCE, || recorder.seen().pending > 0));
    running.stop().expect("no error");
    let seen = recorder.seen();
    assert_eq!((seen.accepted.len(), seen.forgotten, seen.pending), (5000, 0, 0));
    assert!(seen.count(Reason::SpoolFull) > 0);
    let next = Recorder::new();
    let running = Running::start(&kafka, &next, METLOG);
    assert!(eventually(PATIENCE, || next.accepted() == 100));
    running.stop().expect("no error");
}

#[test]
fn without_brokers_or_topics_it_says_so_and_a_stop_is_heard() {
    let kafka = Kafka::new(&[("metlog", 1)]);
    let recorder = Recorder::new();
    let began = Instant::now();
    let why = Running::with(&recorder, "brokers = ['127.0.0.1:1']\ntopics = ['metlog']\ntimeout = '1s'").result();
    assert!(why.as_ref().is_err_and(|why| why.contains("127.0.0.1:1 does not answer: ")), "{why:?}");
    let why = Running::start(&kafka, &recorder, "topics = ['metlog', 'not-there']").result();
    assert!(why.as_ref().is_err_and(|why| why.contains("no topic `not-there`; make it there")), "{why:?}");
    kafka.cluster.create_topic("barred", 1, 1).expect("a topic");
    kafka.cluster.topic_error("barred", Error::RD_KAFKA_RESP_ERR_TOPIC_AUTHORIZATION_FAILED).expect("told");
    let why = Running::start(&kafka, &recorder, "topics = ['barred']").result();
    assert!(why.as_ref().is_err_and(|why| why.contains("`barred`") && why.contains("rights")), "{why:?}");
    kafka.fail(Api::FindCoordinator, &[Error::RD_KAFKA_RESP_ERR_GROUP_AUTHORIZATION_FAILED; 5]);
    let why = Running::start(&kafka, &recorder, METLOG).result();
    assert!(why.as_ref().is_err_and(|why| why.contains("`login`")), "{why:?}");
    kafka.cluster.clear_request_errors(Api::FindCoordinator);
    // librdkafka says that once, and may do so while it is still asked for topics.
    let several: Vec<String> = (0..8).map(|number| format!("several-{number}")).collect();
    several.iter().for_each(|topic| kafka.cluster.create_topic(topic, 1, 1).expect("a topic"));
    kafka.cluster.broker_round_trip_time(-1, Duration::from_millis(100)).expect("told");
    kafka.fail(Api::FindCoordinator, &[Error::RD_KAFKA_RESP_ERR_GROUP_AUTHORIZATION_FAILED; 5]);
    let why = Running::start(&kafka, &recorder, &format!("topics = ['{}']", several.join("', '"))).result();
    assert!(why.as_ref().is_err_and(|why| why.contains("`login`")), "{why:?}");
    kafka.cluster.broker_round_trip_time(-1, Duration::ZERO).expect("told");
    kafka.cluster.clear_request_errors(Api::FindCoordinator);
    kafka.cluster.create_topic("empty", 1, 1).expect("a topic");
    write(&mut *kafka.endpoint("topic = 'empty'"), 0, 1);
    let why = Running::start(&kafka, &recorder, "topics = ['empty']\nstart = 'none'\ngroup = 'new'").result();
    assert!(why.as_ref().is_err_and(|why| why.contains("`start`")), "{why:?}");
    assert!(began.elapsed() < PATIENCE);
    let away = Running::with(&recorder, "brokers = ['127.0.0.1:1']\ntopics = ['metlog']\ntimeout = '5m'");
    std::thread::sleep(Duration::from_millis(300));
    let began = Instant::now();
    away.stop().expect("told to");
    assert!(began.elapsed() < Duration::from_secs(10), "{:?}", began.elapsed());
    assert_eq!(recorder.received(), 0);
}

/// As the router does: opens it again when it fails.
async fn supervise(text: String, recorder: Recorder, stop: Stop, said: std::sync::mpsc::Sender<String>) {
    while !stop.is_stopped() {
        if let Err(why) = open(&text).run(recorder.inlet(), stop.clone()).await {
            let _ = said.send(why);
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    }
}

#[test]
fn brokers_that_go_away_are_missed_and_found_again() {
    let kafka = Kafka::new(&[("metlog", 2)]);
    let recorder = Recorder::new();
    recorder.deduplicate();
    let text = format!("{}\ntopics = ['metlog']\nsession_timeout = '6s'\ntimeout = '2s'", kafka.brokers());
    let runtime = runtime();
    let (tell, stop) = Stop::new();
    let (say, said) = std::sync::mpsc::channel();
    let running = runtime.spawn(supervise(text, recorder.clone(), stop, say));
    let mut endpoint = kafka.endpoint("key = 'none'\ntimeout = '20s'");
    write(&mut *endpoint, 0, 500);
    assert!(eventually(PATIENCE, || recorder.accepted() == 500));
    // One of three, which is nobody's trouble.
    kafka.cluster.broker_down(1).expect("told");
    kafka.cluster.partition_leader("metlog", 0, Some(2)).expect("told");
    kafka.cluster.partition_leader("metlog", 1, Some(3)).expect("told");
    write(&mut *endpoint, 500, 500);
    kafka.cluster.broker_up(1).expect("told");
    assert!(eventually(PATIENCE, || recorder.accepted() == 1000), "{}", recorder.accepted());
    kafka.cluster.broker_down(-1).expect("told");
    let why = said.recv_timeout(PATIENCE).expect("it says so");
    assert!(why.contains("does not answer"), "{why}");
    kafka.cluster.broker_up(-1).expect("told");
    write(&mut *endpoint, 1000, 500);
    assert!(eventually(PATIENCE, || recorder.accepted() == 1500), "{}", recorder.accepted());
    // Gone just as it is told to stop.
    kafka.cluster.broker_down(-1).expect("told");
    let began = Instant::now();
    let _watch = watch("an input told to stop", CALL);
    tell.send(true).expect("it listens");
    runtime.block_on(running).expect("no panic");
    assert!(began.elapsed() < Duration::from_secs(30), "{:?}", began.elapsed());
    assert!(there(&recorder).into_iter().eq(0..1500));
}

#[test]
fn a_stop_does_not_wait_for_brokers_that_owe_an_answer() {
    let kafka = Kafka::new(&[("metlog", 2)]);
    let recorder = Recorder::new();
    recorder.set_unsynced(true);
    let running = Running::start(&kafka, &recorder, METLOG);
    write(&mut *kafka.endpoint("key = 'none'"), 0, 100);
    assert!(eventually(PATIENCE, || recorder.accepted() == 100));
    // What is safe now nobody hears, and librdkafka does not give up telling it.
    kafka.cluster.broker_down(-1).expect("told");
    recorder.set_unsynced(false);
    let began = Instant::now();
    running.stop().expect("no error");
    assert!(began.elapsed() < Duration::from_secs(20), "{:?}", began.elapsed());
    // Either it is heard after all, or all of it comes again.
    kafka.cluster.broker_up(-1).expect("told");
    let next = Recorder::new();
    let running = Running::start(&kafka, &next, METLOG);
    assert!(eventually(PATIENCE, || kafka.committed("metlog", "metlog") == 100), "{}", next.accepted());
    running.stop().expect("no error");
    assert!(there(&next).into_iter().all(|number| number < 100));
}

#[test]
fn offsets_that_are_not_taken_are_told_again() {
    let kafka = Kafka::new(&[("metlog", 1)]);
    let recorder = Recorder::new();
    kafka.fail(
        Api::OffsetCommit,
        &[
            Error::RD_KAFKA_RESP_ERR_NOT_COORDINATOR,
            Error::RD_KAFKA_RESP_ERR__TRANSPORT,
            Error::RD_KAFKA_RESP_ERR_REQUEST_TIMED_OUT,
            Error::RD_KAFKA_RESP_ERR_UNKNOWN,
        ],
    );
    let running = Running::start(&kafka, &recorder, METLOG);
    write(&mut *kafka.endpoint(""), 0, 100);
    assert!(eventually(PATIENCE, || kafka.committed("metlog", "metlog") == 100));
    running.stop().expect("no error");
    assert_eq!(recorder.accepted(), 100);
}

#[test]
fn latest_is_what_comes_from_now_on() {
    let kafka = Kafka::new(&[("metlog", 1)]);
    let mut endpoint = kafka.endpoint("");
    write(&mut *endpoint, 0, 100);
    let recorder = Recorder::new();
    let running = Running::start(&kafka, &recorder, "topics = ['metlog']\nstart = 'latest'\ninstance = 'router-1'");
    let mut next = 100;
    assert!(eventually(PATIENCE, || {
        write(&mut *endpoint, next, 1);
        next += 1;
        std::thread::sleep(Duration::from_millis(50));
        recorder.accepted() > 0
    }));
    assert!(eventually(PATIENCE, || there(&recorder).last() == Some(&(next - 1))));
    running.stop().expect("no error");
    assert!(there(&recorder).first().is_some_and(|first| *first >= 100));
}
