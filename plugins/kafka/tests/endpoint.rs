//! The endpoint against librdkafka's mock cluster.

mod common;

use common::{Kafka, PATIENCE, numbers, put, write};
use metlog_kafka as _;
use metlog_message::{Lines, Message, message::Origin, wire};
use metlog_pipeline::{EndpointEntry, Picked, SendError};
use metlog_testkit::{eventually, sample, settings};
use rdkafka::types::{RDKafkaApiKey as Api, RDKafkaRespErr as Error};
use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};

fn pause(result: Result<(), SendError>) -> String {
    match result {
        Err(SendError::Pause { why }) => why,
        other => panic!("no pause: {other:?}"),
    }
}

fn refused(result: Result<(), SendError>) -> (Vec<usize>, String) {
    match result {
        Err(SendError::Refuse { which, why }) => (which, why),
        other => panic!("not refused: {other:?}"),
    }
}

fn all_once(kafka: &Kafka, topic: &str, count: u64) {
    let stored = kafka.stored(topic);
    let there: BTreeSet<u64> = numbers(stored.iter().map(|stored| stored.payload.as_slice())).into_iter().collect();
    assert_eq!((stored.len() as u64, there.len() as u64), (count, count));
    assert!(there.into_iter().eq(0..count));
}

#[test]
fn the_example_and_nothing_wrong_is_taken() {
    let entry = EndpointEntry::find("kafka").expect("there");
    let example = settings(entry.example);
    let mut section = example.get("endpoints").and_then(|endpoints| endpoints.get("kafka")).expect("there").clone();
    section.as_table_mut().expect("a table").remove("type");
    drop((entry.read)(&section).unwrap_or_else(|problems| panic!("{problems}")));
    for (wrong, words) in [
        ("brokers = ['kafka1']", "kafka1:9092"),
        ("brokers = []", "brokers"),
        ("topic = 'a b'", "`topic`"),
        ("topic = '{host}'", "only type, severity and logger"),
        ("max_topics = 0", "max_topics"),
        ("max_message = '10 B'", "max_message"),
        ("key = 'partition'", "client"),
        ("compression = 'rar'", "zstd"),
        ("timeout = '1ms'", "timeout"),
        ("login = { mechanism = 'gssapi', user = 'u', password = 'hunter2' }", "scram-sha-512"),
        ("login = { mechanism = 'plain', user = 'u' }", "password_file"),
        ("acks = 1", "acks"),
    ] {
        let problems = (entry.read)(&settings(wrong)).map(drop).expect_err(wrong).to_string();
        assert!(problems.contains(words) && !problems.contains("hunter2"), "{problems}");
    }
}

#[test]
fn what_is_confirmed_is_in_the_topic_with_key_and_headers() {
    let kafka = Kafka::new(&[("metlog", 4)]);
    let mut lines = Lines::new();
    for number in 0..2000 {
        let mut message = sample::message(number);
        message.origin = Some(Origin { client: format!("client{}", number % 10), seq: number / 10 + 1 });
        lines.push_with(|text| wire::write(text, &message));
    }
    for payload in sample::nasty() {
        lines.push_with(|text| wire::write(text, &Message::new("nasty").logger("l").payload(payload.as_str())));
    }
    let mut endpoint = kafka.endpoint("");
    assert_eq!(put(&mut *endpoint, &lines), Ok(()));
    let stored = kafka.stored("metlog");
    assert_eq!(stored.len(), lines.len());
    let sent: BTreeSet<&[u8]> = lines.iter().collect();
    assert!(stored.iter().all(|stored| sent.contains(stored.payload.as_slice())), "byte for byte");
    let mut clients: BTreeMap<Vec<u8>, (BTreeSet<i32>, Vec<u64>)> = BTreeMap::new();
    for stored in &stored {
        let headers: BTreeMap<&str, &str> =
            stored.headers.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
        let Some(key) = &stored.key else {
            assert_eq!(headers.into_iter().collect::<Vec<_>>(), [("metlog_severity", "6"), ("metlog_type", "nasty")]);
            continue;
        };
        assert_eq!(headers["metlog_type"], "contract");
        assert_eq!(headers["metlog_client"].as_bytes(), key);
        let (partitions, seqs) = clients.entry(key.clone()).or_default();
        partitions.insert(stored.partition);
        seqs.push(headers["metlog_seq"].parse().expect("a number"));
    }
    assert_eq!(clients.len(), 10);
    for (partitions, seqs) in clients.values() {
        assert!(partitions.len() == 1 && seqs.iter().copied().eq(1..=200), "in order, in one place");
    }
    assert!(stored.iter().map(|stored| stored.partition).collect::<BTreeSet<_>>().len() > 1, "they are spread");
}

#[test]
fn every_compression_arrives_and_loggers_can_be_keys() {
    let kafka = Kafka::new(&[("zstd", 1), ("lz4", 1), ("snappy", 1), ("gzip", 1), ("none", 1)]);
    for name in ["zstd", "lz4", "snappy", "gzip", "none"] {
        let mut endpoint = kafka.endpoint(&format!("topic = '{name}'\ncompression = '{name}'\nkey = 'logger'"));
        assert_eq!(write(&mut *endpoint, 0, 500), []);
        all_once(&kafka, name, 500);
        assert!(kafka.stored(name).iter().all(|stored| stored.key.as_deref() == Some(b"metlog.tests")), "{name}");
    }
    let mut endpoint = kafka.endpoint("topic = 'none'\nkey = 'none'");
    assert_eq!(write(&mut *endpoint, 500, 1), []);
    assert_eq!(kafka.stored("none").last().and_then(|stored| stored.key.clone()), None);
}

#[test]
fn whatever_passes_is_passed_over_and_nothing_is_there_twice() {
    let kafka = Kafka::new(&[("metlog", 4)]);
    let mut endpoint = kafka.endpoint("timeout = '20s'");
    assert_eq!(write(&mut *endpoint, 0, 1000), []);
    let transport = Error::RD_KAFKA_RESP_ERR__TRANSPORT;
    kafka.fail(
        Api::Produce,
        &[
            Error::RD_KAFKA_RESP_ERR_NOT_LEADER_FOR_PARTITION,
            transport,
            Error::RD_KAFKA_RESP_ERR_REQUEST_TIMED_OUT,
            Error::RD_KAFKA_RESP_ERR_NOT_ENOUGH_REPLICAS,
            transport,
            Error::RD_KAFKA_RESP_ERR_COORDINATOR_NOT_AVAILABLE,
        ],
    );
    // One at a time: the mock cluster does not look at sequence numbers, and takes the second of two requests where a
    // broker would not without the first.
    for number in 1000..1020 {
        write(&mut *endpoint, number, 1);
    }
    kafka.cluster.broker_round_trip_time(-1, Duration::from_millis(20)).expect("told");
    kafka.cluster.partition_leader("metlog", 0, Some(2)).expect("told");
    kafka.fail(Api::Produce, &[transport; 3]);
    write(&mut *endpoint, 1020, 4980);
    all_once(&kafka, "metlog", 6000);
}

#[test]
fn while_the_brokers_are_away_everything_is_kept() {
    let kafka = Kafka::new(&[("metlog", 2)]);
    let mut endpoint = kafka.endpoint("timeout = '2s'");
    assert_eq!(write(&mut *endpoint, 0, 100), []);
    kafka.cluster.broker_down(-1).expect("told");
    let began = Instant::now();
    let lines = sample::lines(100, 200);
    let ids: Vec<u64> = (100..300).collect();
    let error = endpoint.write(&Picked::new(&lines, &ids)).expect_err("away");
    let SendError::Retry { done: 0, why, .. } = &error else { panic!("{error:?}") };
    assert!(why.contains("did not confirm within 2s: ") && began.elapsed() < Duration::from_secs(20), "{why}");
    kafka.cluster.broker_up(-1).expect("told");
    write(&mut *endpoint, 100, 900);
    all_once(&kafka, "metlog", 1000);
    // Nobody is there at all.
    let mut alone =
        (EndpointEntry::find("kafka").expect("there").read)(&settings("brokers = ['127.0.0.1:1']\ntimeout = '1s'"))
            .unwrap_or_else(|problems| panic!("{problems}"))()
        .expect("opens");
    let error = put(&mut *alone, &lines).expect_err("nobody");
    assert!(matches!(&error, SendError::Retry { why, .. } if why.contains("127.0.0.1:1")), "{error:?}");
}

#[test]
fn a_message_too_large_is_refused_and_its_neighbours_are_not() {
    let kafka = Kafka::new(&[("metlog", 1)]);
    let mut endpoint = kafka.endpoint("max_message = '10000 B'\ncompression = 'none'");
    let mut lines = sample::lines(0, 100);
    lines.push_with(|text| wire::write(text, &sample::message(100).payload("x".repeat(20_000))));
    lines.push(b"this is no message");
    lines.push_with(|text| wire::write(text, &sample::message(101)));
    let (which, why) = refused(put(&mut *endpoint, &lines));
    assert_eq!(which, [100, 101]);
    assert!(why.contains("`max_message`") && why.contains("no message"), "{why}");
    assert_eq!(kafka.count("metlog"), 101);
    // The broker refuses batches for their size, of which only one message is to blame: the one that is left by itself when
    // the third request is refused. How many go in one request is a matter of time, so it is tried until all went in the
    // first and half of them in the second.
    let size = Error::RD_KAFKA_RESP_ERR_MSG_SIZE_TOO_LARGE;
    let (mut next, mut good) = (200, BTreeSet::new());
    assert!(eventually(PATIENCE, || {
        kafka.fail(Api::Produce, &[size; 3]);
        let which = match put(&mut *kafka.endpoint("compression = 'none'"), &sample::lines(next, 4)) {
            Ok(()) => Vec::new(),
            result => {
                let (which, why) = refused(result);
                assert!(why.contains("max.message.bytes"), "{why}");
                which
            }
        };
        kafka.cluster.clear_request_errors(Api::Produce);
        good.extend((0..4).filter(|at| !which.contains(at)).map(|at| next + at as u64));
        next += 4;
        which == [0]
    }));
    let there = numbers(kafka.stored("metlog").iter().map(|stored| stored.payload.as_slice()));
    assert_eq!(there.len(), 101 + good.len());
    assert_eq!(there.into_iter().filter(|number| *number >= 200).collect::<BTreeSet<_>>(), good);
}

#[test]
fn what_somebody_has_to_change_pauses_and_then_goes_on() {
    let kafka = Kafka::new(&[("metlog", 1)]);
    let mut endpoint = kafka.endpoint("timeout = '5s'");
    for error in
        [Error::RD_KAFKA_RESP_ERR_TOPIC_AUTHORIZATION_FAILED, Error::RD_KAFKA_RESP_ERR_CLUSTER_AUTHORIZATION_FAILED]
    {
        kafka.fail(Api::Produce, &[error]);
        let why = pause(put(&mut *endpoint, &sample::lines(0, 10)));
        assert!(why.contains("`login`"), "{why}");
    }
    assert_eq!(put(&mut *endpoint, &sample::lines(0, 10)), Ok(()));
    all_once(&kafka, "metlog", 10);
    let absent = Error::RD_KAFKA_RESP_ERR_UNKNOWN_TOPIC_OR_PART;
    kafka.cluster.create_topic("other", 1, 1).expect("a topic");
    kafka.cluster.topic_error("other", absent).expect("told");
    let mut other = kafka.endpoint("topic = 'other'\ntimeout = '4s'");
    let why = pause(put(&mut *other, &sample::lines(0, 10)));
    assert!(why.contains("has no topic `other`"), "{why}");
    kafka.cluster.topic_error("other", Error::RD_KAFKA_RESP_ERR_NO_ERROR).expect("told");
    assert!(eventually(PATIENCE, || put(&mut *other, &sample::lines(0, 10)).is_ok()));
    all_once(&kafka, "other", 10);
}

#[test]
fn what_a_message_says_makes_legal_topics_and_not_too_many() {
    let kafka = Kafka::new(&[]);
    let mut endpoint = kafka.endpoint("topic = 'm.{type}.{severity}'\nmax_topics = 5");
    let kinds = ["log", "__consumer_offsets", "a.b", "ä\r\n/..", &"l".repeat(5000), "one.too.many", "another", "log"];
    let mut lines = Lines::new();
    for kind in kinds {
        lines.push_with(|text| wire::write(text, &Message::new(kind).logger("l")));
    }
    let (which, why) = refused(put(&mut *endpoint, &lines));
    assert_eq!(which, [5, 6]);
    assert!(why.contains("`max_topics`") && why.contains("m.one_2Etoo_2Emany.6"), "{why}");
    assert_eq!(kafka.count("m.log.6"), 2);
    assert_eq!(kafka.count("m._5F_5Fconsumer_5Foffsets.6"), 1);
    // One that the brokers do not make holds up nothing else.
    kafka.cluster.create_topic("n.gone.6", 1, 1).expect("a topic");
    kafka.cluster.topic_error("n.gone.6", Error::RD_KAFKA_RESP_ERR_UNKNOWN_TOPIC_OR_PART).expect("told");
    let mut endpoint = kafka.endpoint("topic = 'n.{type}.{severity}'\ntimeout = '4s'");
    let mut lines = Lines::new();
    for kind in ["log", "gone", "log"] {
        lines.push_with(|text| wire::write(text, &Message::new(kind).logger("l")));
    }
    assert_eq!(refused(put(&mut *endpoint, &lines)).0, [1]);
    assert_eq!(kafka.count("n.log.6"), 2);
}
