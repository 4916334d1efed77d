//! librdkafka's mock cluster: brokers on loopback that speak the real protocol and fail where a test says so.
//!
//! A call into librdkafka may never return; so whatever calls it is watched, and a test that hangs says where.
#![allow(dead_code, reason = "each test program uses its own part")]

use metlog_message::Lines;
use metlog_pipeline::{Endpoint, EndpointEntry, Picked, SendError};
use metlog_testkit::{Watch, sample, settings, watch};
use rdkafka::consumer::{BaseConsumer, Consumer as _};
use rdkafka::message::{Headers as _, Message as _};
use rdkafka::mocking::MockCluster;
use rdkafka::producer::{BaseProducer, BaseRecord, DefaultProducerContext, Producer as _};
use rdkafka::topic_partition_list::{Offset, TopicPartitionList};
use rdkafka::types::{RDKafkaApiKey, RDKafkaRespErr};
use rdkafka::{ClientConfig, consumer::DefaultConsumerContext};
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

/// For whatever must come to pass on a machine that has other things to do.
pub const PATIENCE: Duration = Duration::from_secs(60);

/// For a call that itself gives up in time, if it does.
pub const CALL: Duration = Duration::from_secs(150);

/// For a whole test, of which none takes a minute by itself.
const TEST: Duration = Duration::from_secs(400);

/// A cluster that goes with the test.
pub struct Kafka {
    onlookers: Mutex<BTreeMap<String, Arc<BaseConsumer>>>,
    pub cluster: MockCluster<'static, DefaultProducerContext>,
    pub servers: String,
    _watch: Watch,
}

/// A record as it is in a topic.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Stored {
    pub partition: i32,
    pub offset: i64,
    pub key: Option<Vec<u8>>,
    pub payload: Vec<u8>,
    pub headers: Vec<(String, String)>,
}

impl Kafka {
    /// Three brokers with these topics, of so many partitions each.
    #[track_caller]
    pub fn new(topics: &[(&str, i32)]) -> Self {
        let watch = watch("the test with this cluster", TEST);
        let cluster = MockCluster::new(3).expect("a cluster");
        for (topic, partitions) in topics {
            cluster.create_topic(topic, *partitions, 3).expect("a topic");
        }
        let servers = cluster.bootstrap_servers();
        Kafka { onlookers: Mutex::default(), cluster, servers, _watch: watch }
    }

    /// What of settings says which brokers.
    pub fn brokers(&self) -> String {
        let servers: Vec<String> = self.servers.split(',').map(|server| format!("'{server}'")).collect();
        format!("brokers = [{}]", servers.join(", "))
    }

    pub fn client(&self) -> ClientConfig {
        let mut client = ClientConfig::new();
        client.set("bootstrap.servers", &self.servers);
        client
    }

    /// The next requests of this kind fail so.
    pub fn fail(&self, request: RDKafkaApiKey, errors: &[RDKafkaRespErr]) {
        self.cluster.request_errors(request, errors);
    }

    /// The endpoint with these settings.
    #[track_caller]
    pub fn endpoint(&self, more: &str) -> Box<dyn Endpoint> {
        let entry = EndpointEntry::find("kafka").expect("there");
        let text = format!("{}\n{more}", self.brokers());
        (entry.read)(&settings(&text)).unwrap_or_else(|problems| panic!("{problems}"))().expect("opens")
    }

    /// As somebody else produces, with values or without.
    #[track_caller]
    pub fn produce(&self, topic: &str, values: &[Option<&[u8]>]) {
        let _watch = watch("producing", CALL);
        let producer: BaseProducer = self.client().create().expect("a producer");
        for value in values {
            let mut record: BaseRecord<'_, str, [u8]> = BaseRecord::to(topic).partition(0).key("k");
            record.payload = *value;
            producer.send(record).map_err(|(error, _)| error).expect("sent");
        }
        producer.flush(PATIENCE).expect("stored");
    }

    /// One that asks for what a group has, and is none of it.
    fn consumer(&self, group: &str) -> Arc<BaseConsumer> {
        let mut onlookers = self.onlookers.lock().expect("no panic");
        let make = || {
            let mut client = self.client();
            client.set("group.id", group).set("enable.auto.commit", "false");
            Arc::new(client.create_with_context(DefaultConsumerContext).expect("a consumer"))
        };
        onlookers.entry(group.to_owned()).or_insert_with(make).clone()
    }

    fn partitions(&self, consumer: &BaseConsumer, topic: &str) -> Vec<i32> {
        let metadata = consumer.fetch_metadata(Some(topic), PATIENCE).expect("metadata");
        let topic = metadata.topics().iter().find(|known| known.name() == topic).expect("there");
        topic.partitions().iter().map(|partition| partition.id()).collect()
    }

    /// All there is of a topic, partition by partition.
    #[track_caller]
    pub fn stored(&self, topic: &str) -> Vec<Stored> {
        let _watch = watch("reading a topic", CALL);
        let consumer = self.consumer("looking-on");
        let mut all = Vec::new();
        for partition in self.partitions(&consumer, topic) {
            let (low, high) = consumer.fetch_watermarks(topic, partition, PATIENCE).expect("offsets");
            let mut list = TopicPartitionList::new();
            list.add_partition_offset(topic, partition, Offset::Offset(low)).expect("added");
            consumer.assign(&list).expect("assigned");
            let until = Instant::now() + PATIENCE;
            let mut next = low;
            while next < high && Instant::now() < until {
                let Some(record) = consumer.poll(Duration::from_millis(100)) else { continue };
                let Ok(record) = record else { continue };
                next = record.offset() + 1;
                let headers = record.headers().map(|headers| {
                    let text = |value: Option<&[u8]>| String::from_utf8_lossy(value.unwrap_or_default()).into_owned();
                    headers.iter().map(|header| (header.key.to_owned(), text(header.value))).collect()
                });
                all.push(Stored {
                    partition,
                    offset: record.offset(),
                    key: record.key().map(<[u8]>::to_vec),
                    payload: record.payload().unwrap_or_default().to_vec(),
                    headers: headers.unwrap_or_default(),
                });
            }
            assert_eq!(next, high, "all of {topic} {partition}");
        }
        consumer.unassign().expect("nothing");
        all
    }

    /// Records of a topic.
    #[track_caller]
    pub fn count(&self, topic: &str) -> i64 {
        let _watch = watch("counting records", CALL);
        let consumer = self.consumer("looking-on");
        let high = |partition| consumer.fetch_watermarks(topic, partition, PATIENCE).expect("offsets").1;
        self.partitions(&consumer, topic).into_iter().map(high).sum()
    }

    /// How many records of a topic a group has done with.
    #[track_caller]
    pub fn committed(&self, group: &str, topic: &str) -> i64 {
        let _watch = watch("asking for offsets", CALL);
        let consumer = self.consumer(group);
        let mut list = TopicPartitionList::new();
        for partition in self.partitions(&consumer, topic) {
            list.add_partition(topic, partition);
        }
        let Ok(committed) = consumer.committed_offsets(list, Duration::from_secs(10)) else { return -1 };
        committed.elements().iter().filter_map(|element| element.offset().to_raw().filter(|offset| *offset > 0)).sum()
    }
}

impl Drop for Kafka {
    fn drop(&mut self) {
        let onlookers = std::mem::take(self.onlookers.get_mut().unwrap_or_else(PoisonError::into_inner));
        let _watch = watch("the end of those who looked on", CALL);
        drop(onlookers);
    }
}

/// Writes samples until all are through, as a router does.
#[track_caller]
pub fn write(endpoint: &mut dyn Endpoint, from: u64, count: u64) -> Vec<SendError> {
    let _watch = watch("writing", CALL);
    let mut errors = Vec::new();
    let until = Instant::now() + PATIENCE;
    let mut next = from;
    while next < from + count {
        let lines = sample::lines(next, (from + count - next).min(1000));
        let ids: Vec<u64> = (next..next + lines.len() as u64).collect();
        match endpoint.write(&Picked::new(&lines, &ids)) {
            Ok(()) => next += lines.len() as u64,
            Err(error) => {
                assert!(Instant::now() < until, "{error:?}");
                if let SendError::Retry { done, .. } = error {
                    next += done as u64;
                }
                errors.push(error);
            }
        }
    }
    errors
}

/// The numbers of samples, in this order.
pub fn numbers<'a>(lines: impl IntoIterator<Item = &'a [u8]>) -> Vec<u64> {
    lines.into_iter().map(|line| sample::number(line).expect("a sample")).collect()
}

/// With these ids.
#[track_caller]
pub fn put(endpoint: &mut dyn Endpoint, lines: &Lines) -> Result<(), SendError> {
    let _watch = watch("writing", CALL);
    let ids: Vec<u64> = (0..lines.len() as u64).collect();
    endpoint.write(&Picked::new(lines, &ids))
}
