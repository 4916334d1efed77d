//! Through Kafka from router to router, with librdkafka's mock cluster between them: brokers that really listen, and fail
//! where a test says so. What the first one took is with the last one, once.

mod program;
mod stage;

use metlog::config::{Config, Environment};
use metlog_kafka::rdkafka::mocking::MockCluster;
use metlog_kafka::rdkafka::producer::DefaultProducerContext;
use metlog_kafka::rdkafka::types::{RDKafkaApiKey as Api, RDKafkaRespErr as Error};
use metlog_testkit::{Watch, eventually, watch};
use program::{FILE, Program};
use serde_json::Value;
use stage::{Directory, Running, dead_letters, message};
use std::time::Duration;

/// For whatever must come to pass on a machine that has other things to do.
const PATIENCE: Duration = Duration::from_secs(120);

/// For a whole test, which takes a minute at the most by itself; one that hangs says so.
const TEST: Duration = Duration::from_secs(400);

/// For the end of a router or of the cluster.
const END: Duration = Duration::from_secs(60);

struct Kafka {
    cluster: MockCluster<'static, DefaultProducerContext>,
    brokers: String,
    _watch: Watch,
}

impl Kafka {
    #[track_caller]
    fn new(partitions: i32) -> Kafka {
        let watch = watch("the test with this cluster", TEST);
        let cluster = MockCluster::new(3).unwrap();
        cluster.create_topic("metlog", partitions, 3).unwrap();
        let servers = cluster.bootstrap_servers();
        let brokers: Vec<String> = servers.split(',').map(|server| format!("'{server}'")).collect();
        Kafka { cluster, brokers: brokers.join(", "), _watch: watch }
    }

    fn endpoint(&self, more: &str) -> String {
        let brokers = &self.brokers;
        format!(
            "[endpoints.kafka]\nbrokers = [{brokers}]\ntimeout = '5s'\nretry_min = '50ms'\nretry_max = '500ms'\n{more}\n"
        )
    }

    fn input(&self, more: &str) -> String {
        let brokers = &self.brokers;
        format!(
            "[inputs.kafka]\nbrokers = [{brokers}]\ntopics = ['metlog']\nsession_timeout = '6s'\ntimeout = '2s'\n{more}\n"
        )
    }
}

/// Numbers in a file.
fn numbers(text: &str) -> Vec<u64> {
    // Its last line may be on its way.
    let whole = text.rsplit_once('\n').map_or("", |(whole, _)| whole);
    let number = |line: &str| serde_json::from_str::<Value>(line).ok()?["fields"]["n"].as_u64();
    whole.lines().map(|line| number(line).unwrap_or_else(|| panic!("{line}"))).collect()
}

fn sorted(mut numbers: Vec<u64>) -> Vec<u64> {
    numbers.sort_unstable();
    numbers
}

#[test]
fn from_router_to_router_through_brokers_that_come_and_go() {
    const COUNT: u64 = 6000;
    let kafka = Kafka::new(4);
    let (near, far) = (Directory::new(), Directory::new());
    let edge = Running::start(
        &near,
        &format!(
            "[inputs.tcp]\nlisten = '127.0.0.1:0'\nack = true\n{}",
            kafka.endpoint("key = 'none'\nbatch_messages = 200")
        ),
    );
    let out = far.0.join("out.jsonl");
    let file = format!("[endpoints.out]\ntype = 'file'\npath = '{}'\n", out.display());
    let centre = Running::start(&far, &(kafka.input("") + &file));
    let there = || numbers(&std::fs::read_to_string(&out).unwrap_or_default());
    let moves = |upto: u64| {
        let enough = eventually(PATIENCE, || {
            std::thread::sleep(Duration::from_millis(20));
            there().len() as u64 >= upto
        });
        assert!(enough, "{} of {upto}", there().len());
    };
    for turn in 0..6 {
        edge.send("tcp", (turn * 1000..(turn + 1) * 1000).map(message));
        // The mock cluster does not take it well if a group breaks up while it forms.
        moves(if turn == 2 { 1000 } else { turn * 1000 + 1 });
        match turn {
            1 => kafka.cluster.broker_down(-1).unwrap(),
            2 => kafka.cluster.broker_up(-1).unwrap(),
            3 => {
                kafka.cluster.request_errors(Api::Produce, &[Error::RD_KAFKA_RESP_ERR__TRANSPORT; 2]);
                kafka.cluster.request_errors(Api::Fetch, &[Error::RD_KAFKA_RESP_ERR__TRANSPORT]);
            }
            4 => kafka.cluster.broker_round_trip_time(-1, Duration::from_millis(50)).unwrap(),
            _ => {}
        }
        std::thread::sleep(Duration::from_millis(300));
    }
    moves(COUNT);
    let (sent, taken) = (edge.balanced(), centre.balanced());
    let ending = watch("the end of the routers", END);
    edge.stop();
    centre.stop();
    drop(ending);
    let mut there = sorted(there());
    let written = there.len();
    there.dedup();
    assert!(there.into_iter().eq(0..COUNT));
    // These have no running numbers: what Kafka had taken without a word it got again.
    println!("{} came again; {sent:?}\n{taken:?}", written as u64 - COUNT);
    assert!(dead_letters(&near).is_empty() && dead_letters(&far).is_empty());
}

#[test]
fn a_router_killed_between_its_disk_and_kafka_delivers_once() {
    const COUNT: u64 = 2000;
    let kafka = Kafka::new(4);
    let near = Directory::new();
    let edge = Running::start(&near, &format!("[inputs.tcp]\nlisten = '127.0.0.1:0'\n{}", kafka.endpoint("")));
    let send = |from: u64| {
        let address = format!("class = 'tcp'\naddress = '127.0.0.1:{}'", edge.port("tcp"));
        let toml = format!("[metlog]\nlogger = 'app'\n[metlog.sender]\n{address}\n");
        let client = Config::toml(toml).environment(Environment::fixed([("", ""); 0])).open().unwrap();
        for n in from..from + COUNT {
            client.send(&client.message("numbered").payload("m").field("n", n));
            // So that nothing meets a full ring.
            if n % 200 == 199 {
                assert!(client.flush(PATIENCE).complete);
            }
        }
        let report = client.shutdown(PATIENCE);
        assert!(report.complete && report.stats.dropped.is_empty(), "{report}");
    };
    // The group hears of nothing that this router does.
    kafka.cluster.request_errors(Api::OffsetCommit, &[Error::RD_KAFKA_RESP_ERR_UNKNOWN; 1000]);
    let config = kafka.input("") + "[inputs.http]\n" + FILE;
    let centre = Program::start_in(Directory::new(), &config);
    send(0);
    let there = |centre: &Program| numbers(&centre.text("all.jsonl"));
    assert!(eventually(PATIENCE, || there(&centre).len() as u64 == COUNT), "{}", centre.log());
    // Until the file's own cursor is on the disk as well: this is about Kafka.
    assert!(eventually(PATIENCE, || centre.metric("metlog_buffered{endpoint=\"all\"}") == 0));
    std::thread::sleep(Duration::from_secs(3));
    let directory = centre.kill();
    kafka.cluster.clear_request_errors(Api::OffsetCommit);
    let centre = Program::start_in(directory, &config);
    let again = "metlog_duplicates_total{input=\"kafka\"}";
    assert!(eventually(PATIENCE, || centre.metric(again) == COUNT), "{}\n{}", centre.metric(again), centre.log());
    send(COUNT);
    assert!(eventually(PATIENCE, || there(&centre).len() as u64 == 2 * COUNT), "{}", centre.log());
    assert!(sorted(there(&centre)).into_iter().eq(0..2 * COUNT), "once each");
    let log = centre.log();
    let ending = watch("the end of the second router", END);
    let directory = centre.stop();
    drop(ending);
    assert!(!log.contains("panicked"), "{log}");
    // Nothing is left for the next one.
    let centre = Program::start_in(directory, &config);
    send(2 * COUNT);
    assert!(eventually(PATIENCE, || there(&centre).len() as u64 == 3 * COUNT), "{}", centre.log());
    assert_eq!(centre.metric(again), 0);
    let _ending = watch("the end of the last routers", END);
    centre.stop();
    edge.stop();
}
