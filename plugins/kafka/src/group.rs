//! Being one of a consumer group, on a thread of its own: polling, pausing, and giving partitions up without telling Kafka
//! more than is safe.

use crate::config::{self, Brokers};
use crate::desk::Desk;
use crate::fault::{Meaning, Trouble, meaning};
use crate::leave;
use metlog_pipeline::{Inlet, Stop};
use rdkafka::ClientContext;
use rdkafka::config::RDKafkaLogLevel;
use rdkafka::consumer::{BaseConsumer, CommitMode, Consumer as _, ConsumerContext, Rebalance};
use rdkafka::error::{KafkaError, KafkaResult, RDKafkaErrorCode as Code};
use rdkafka::message::{BorrowedMessage, Message as _};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

/// Messages and bytes of one commit to the spool, if no single message is larger.
const BATCH: usize = 1000;
const BATCH_BYTES: usize = 1024 * 1024;

/// So long a record is waited for while nothing is under way; and while something is, or we are told to stop.
const IDLE: Duration = Duration::from_millis(100);
const BUSY: Duration = Duration::from_millis(10);

/// So often Kafka is told how far we are. Between two times a killed router's messages come again.
const TELL: Duration = Duration::from_millis(500);

/// So often it is told all of it, in case it was not heard.
const REPEAT: Duration = Duration::from_secs(5);

/// So long a full spool or a slow disk is waited for before the partitions are paused, which throws away what was fetched.
const PATIENCE: Duration = Duration::from_millis(500);

/// So long it is waited for the disk and for Kafka when partitions go to somebody else, or when it is time to stop. The
/// router waits no longer for an input.
const FAREWELL: Duration = Duration::from_secs(5);

/// The last of it is for librdkafka, which leaves the group.
const GOODBYE: Duration = Duration::from_secs(1);

/// Asking whether anybody answers is done in such pieces, so that a stop is heard.
const PIECE: Duration = Duration::from_millis(500);

/// KiB fetched ahead, the largest answer of a broker, and of one partition in it.
const AHEAD: &str = "16384";
const ANSWER: &str = "8388608";
const PART: &str = "1048576";

/// So often the brokers are asked for new topics and partitions.
const LOOK_AROUND: &str = "30000";

/// So many milliseconds a broker waits for something to give. Whatever else is asked on the same connection waits as well.
const LULL: &str = "500";

/// After so many milliseconds librdkafka repeats a request, a fifth more or less. If the group's coordinator has refused a
/// commit, the new one must be known by then, and the answer to who that is may wait for [`LULL`]. A commit that is repeated
/// earlier fails as soon as the coordinator is known, which makes it unknown again, and so on: no heartbeats, until the
/// partitions are lost (librdkafka #3645).
const AGAIN: &str = "1000";

/// What there is to know for taking in.
pub(crate) struct Plan {
    pub brokers: Brokers,
    pub topics: Vec<String>,
    pub group: String,
    pub start: &'static str,
    pub instance: Option<String>,
    pub session_timeout: Duration,
    pub in_flight: usize,
}

/// What librdkafka calls while it is polled, on the thread that polls.
struct Context {
    desk: Mutex<Desk>,
    trouble: Trouble,
    /// Partitions came or went.
    reassigned: AtomicBool,
    /// No more is told: it was, or it must not be.
    leaving: AtomicBool,
}

impl Context {
    fn desk(&self) -> MutexGuard<'_, Desk> {
        self.desk.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes a record, and says how many bytes are pending.
    fn take(&self, record: &BorrowedMessage<'_>) -> usize {
        let mut desk = self.desk();
        desk.take((record.topic(), record.partition(), record.offset()), record.payload());
        desk.pending()
    }

    /// Tells Kafka what has become safe. It says nothing to that, so all is told again from time to time.
    fn tell(&self, consumer: &BaseConsumer<Context>) {
        let mut desk = self.desk();
        if let Some(offsets) = desk.tell()
            && consumer.commit(&offsets, CommitMode::Async).is_err()
        {
            desk.untell();
        }
    }

    /// Tells Kafka all that is safe, and asks whether it knows, until it does or time is up. Waiting for the answer to a
    /// commit itself has no end while the group's coordinator is away.
    fn tell_for_sure(&self, consumer: &BaseConsumer<Context>, until: Instant) {
        loop {
            let mut desk = self.desk();
            desk.untell();
            let Some(offsets) = desk.tell() else { return };
            drop(desk);
            let told = consumer.commit(&offsets, CommitMode::Async).is_ok();
            let left = until.saturating_duration_since(Instant::now());
            let known = consumer.committed_offsets(offsets.clone(), left.max(BUSY));
            if told && known.is_ok_and(|known| known == offsets) || left.is_zero() {
                return;
            }
            // librdkafka keeps each commit that it cannot send, and repeats it.
            std::thread::sleep(IDLE);
        }
    }
}

impl ClientContext for Context {
    fn log(&self, _: RDKafkaLogLevel, _: &str, _: &str) {}

    fn error(&self, error: KafkaError, reason: &str) {
        self.trouble.note(&error, reason);
    }
}

impl ConsumerContext for Context {
    fn pre_rebalance(&self, consumer: &BaseConsumer<Self>, rebalance: &Rebalance<'_>) {
        let Rebalance::Revoke(gone) = rebalance else { return };
        if !self.leaving.load(Ordering::Relaxed) && !consumer.assignment_lost() {
            let until = Instant::now() + FAREWELL;
            // What fails here, or takes too long, comes again to whoever gets the partition.
            let _ = self.desk().hand_over(until);
            self.tell_for_sure(consumer, until);
        }
        self.desk().forget(gone);
    }

    fn post_rebalance(&self, _: &BaseConsumer<Self>, _: &Rebalance<'_>) {
        self.reassigned.store(true, Ordering::Relaxed);
    }
}

/// One of the group.
pub(crate) struct Member<'a> {
    plan: &'a Plan,
    consumer: BaseConsumer<Context>,
    stop: &'a Stop,
    /// Whoever waited for us is gone: nothing more is to be told to anybody.
    gone: &'a AtomicBool,
    paused: bool,
    /// Since when there is no room.
    full_since: Option<Instant>,
    told: Instant,
    /// When all was told again, known or not.
    repeated: Instant,
}

impl<'a> Member<'a> {
    /// Sets up librdkafka; it connects by itself.
    pub fn new(plan: &'a Plan, inlet: Inlet, stop: &'a Stop, gone: &'a AtomicBool) -> Result<Self, String> {
        leave::admit()?;
        let mut client = plan.brokers.client()?;
        client
            .set("group.id", &plan.group)
            .set("enable.auto.commit", "false")
            .set("enable.auto.offset.store", "false")
            .set("auto.offset.reset", plan.start)
            .set("isolation.level", "read_committed")
            .set("partition.assignment.strategy", "cooperative-sticky")
            .set("session.timeout.ms", config::millis(plan.session_timeout))
            .set("heartbeat.interval.ms", config::millis(plan.session_timeout / 10))
            .set("allow.auto.create.topics", "false")
            .set("topic.metadata.refresh.interval.ms", LOOK_AROUND)
            .set("fetch.wait.max.ms", LULL)
            .set("retry.backoff.ms", AGAIN)
            .set("retry.backoff.max.ms", AGAIN)
            .set("queued.max.messages.kbytes", AHEAD)
            .set("fetch.max.bytes", ANSWER)
            .set("fetch.message.max.bytes", PART);
        if let Some(instance) = &plan.instance {
            client.set("group.instance.id", instance);
        }
        let context = Context {
            desk: Mutex::new(Desk::new(inlet, plan.in_flight)),
            trouble: Trouble::default(),
            reassigned: AtomicBool::new(false),
            leaving: AtomicBool::new(false),
        };
        let made: KafkaResult<BaseConsumer<Context>> = client.create_with_context(context);
        let consumer = made.map_err(|error| config::unmade(&error))?;
        let now = Instant::now();
        Ok(Member { plan, consumer, stop, gone, paused: false, full_since: None, told: now, repeated: now })
    }

    /// Takes in until told to stop.
    pub fn run(mut self) -> Result<(), String> {
        let topics: Vec<&str> = self.plan.topics.iter().map(String::as_str).collect();
        let mut ended = self.look(&topics);
        if ended.is_ok() && !self.is_over() {
            let joined = self.consumer.subscribe(&topics);
            ended = joined.map_err(|error| format!("`topics` cannot be taken from: {error}"));
        }
        while ended.is_ok() && !self.is_over() {
            ended = self.turn();
        }
        self.leave();
        ended
    }

    fn context(&self) -> &Context {
        self.consumer.context()
    }

    fn is_over(&self) -> bool {
        self.stop.is_stopped() || self.gone.load(Ordering::Relaxed)
    }

    /// Asks for each topic that is named, so that what is wrong is said at once; for patterns, whether anybody answers.
    fn look(&self, topics: &[&str]) -> Result<(), String> {
        let place = self.plan.brokers.place();
        let named = topics.iter().filter(|topic| !topic.starts_with('^')).map(|topic| Some(*topic));
        let asked: Vec<Option<&str>> = named.collect();
        let asked = if asked.is_empty() { vec![None] } else { asked };
        let mut until = Instant::now() + self.plan.brokers.timeout;
        for topic in asked {
            loop {
                let said = self.consumer.client().fetch_metadata(topic, PIECE);
                // Brings along what else there is to say. Neither a record that was polled comes again, nor an error.
                match self.consumer.poll(Duration::ZERO) {
                    Some(Ok(record)) => drop(self.context().take(&record)),
                    Some(Err(error)) => self.judge(&error).map(drop)?,
                    None => {}
                }
                match said {
                    Ok(said) => {
                        let error = said.topics().iter().find_map(|topic| topic.error());
                        if let (Some(error), Some(topic)) = (error, topic) {
                            self.judge_topic(topic, error.into())?;
                        }
                        until = Instant::now() + self.plan.brokers.timeout;
                        break;
                    }
                    Err(_) if self.is_over() => return Ok(()),
                    Err(error) => {
                        if let Some(why) = self.context().trouble.barred() {
                            return Err(format!("{place}: {why}; see `login` and `tls`"));
                        }
                        if Instant::now() >= until {
                            let last = self.context().trouble.last().map_or(error.to_string(), |(_, why)| why);
                            return Err(format!("{place} does not answer: {last}"));
                        }
                    }
                }
            }
        }
        self.context().trouble.clear();
        Ok(())
    }

    fn judge_topic(&self, topic: &str, code: Code) -> Result<(), String> {
        let place = self.plan.brokers.place();
        match meaning(code) {
            Meaning::NoTopic => Err(format!("{place} has no topic `{topic}`; make it there, or see `topics`")),
            Meaning::Barred => Err(format!("{place}: topic `{topic}`: {code}; see the rights of `login` there")),
            Meaning::Refused => Err(format!("{place}: topic `{topic}`: {code}")),
            _ => Ok(()),
        }
    }

    /// One look at everything.
    fn turn(&mut self) -> Result<(), String> {
        let now = Instant::now();
        let (room, busy) = {
            let mut desk = self.context().desk();
            // Without room there is nothing to do but to wait for some, unless it takes too long.
            let until = if desk.has_room() || self.paused { now } else { now + BUSY * 10 };
            desk.settle(until).map_err(|full| full.why)?;
            (desk.has_room(), desk.is_busy())
        };
        if self.repeated.elapsed() >= REPEAT {
            self.context().desk().untell();
            self.repeated = Instant::now();
        }
        if self.told.elapsed() >= TELL {
            self.context().tell(&self.consumer);
            self.told = Instant::now();
        }
        self.pause_or_go_on(room)?;
        if room || self.paused {
            self.poll(if busy { BUSY } else { IDLE })?;
        }
        Ok(())
    }

    /// Polling must go on without room as well, or the group would think that we are dead; so what is polled is paused.
    fn pause_or_go_on(&mut self, room: bool) -> Result<(), String> {
        let wrong = |error: KafkaError| format!("cannot pause taking from Kafka: {error}");
        if room {
            self.full_since = None;
            if self.paused {
                self.consumer.resume(&self.consumer.assignment().map_err(wrong)?).map_err(wrong)?;
                self.paused = false;
            }
            return Ok(());
        }
        let since = *self.full_since.get_or_insert_with(Instant::now);
        let reassigned = self.context().reassigned.swap(false, Ordering::Relaxed);
        if if self.paused { reassigned } else { since.elapsed() >= PATIENCE } {
            self.consumer.pause(&self.consumer.assignment().map_err(wrong)?).map_err(wrong)?;
            self.paused = true;
        }
        Ok(())
    }

    fn poll(&mut self, patience: Duration) -> Result<(), String> {
        let mut patience = patience;
        let mut count = 0;
        while let Some(polled) = self.consumer.poll(patience) {
            match polled {
                Ok(record) => {
                    count += 1;
                    if self.context().take(&record) >= BATCH_BYTES || count >= BATCH {
                        break;
                    }
                }
                Err(error) => {
                    self.context().desk().commit();
                    return match self.judge(&error)? {
                        // An idle connection that was closed looks the same; so somebody is asked.
                        Meaning::Away => self.look(&self.plan.topics.iter().map(String::as_str).collect::<Vec<_>>()),
                        _ => Ok(()),
                    };
                }
            }
            patience = Duration::ZERO;
        }
        self.context().desk().commit();
        Ok(())
    }

    /// Whether this ends it, or else what it means. librdkafka goes on by itself after whatever passes. What does not it may
    /// say only once.
    fn judge(&self, error: &KafkaError) -> Result<Meaning, String> {
        let place = self.plan.brokers.place();
        let last = self.context().trouble.last().map_or_else(|| error.to_string(), |(_, why)| why);
        if let KafkaError::MessageConsumptionFatal(code) = error {
            let other = match code {
                Code::FencedInstanceId => "; another router has this `instance`",
                _ => "",
            };
            return Err(format!("{place}: {last}{other}"));
        }
        let Some(code) = error.rdkafka_error_code() else { return Err(format!("{place}: {error}")) };
        match (code, meaning(code)) {
            (_, Meaning::Barred) => {
                Err(format!("{place}: {last}; see `login`, `tls`, and the rights of its user there"))
            }
            (_, Meaning::NoTopic) => Err(format!("{place}: {last}; make it there, or see `topics`")),
            (Code::AutoOffsetReset, _) => {
                Err(format!("{place}: {last}; `start` says where to begin without an offset: `earliest` or `latest`"))
            }
            (Code::NotImplemented | Code::BadCompression | Code::BadMessage, _) => {
                Err(format!("{place}: what it has cannot be read: {last}"))
            }
            (_, meaning) => Ok(meaning),
        }
    }

    /// Ends being one of the group. What is safe is told, if anybody hears it within reason.
    fn leave(self) {
        let end = Instant::now() + FAREWELL;
        let until = end - GOODBYE;
        let context = self.context();
        if !self.gone.load(Ordering::Relaxed) {
            // What fails here comes again.
            let _ = context.desk().hand_over(until);
            context.desk().give_up();
            context.tell_for_sure(&self.consumer, until);
        }
        context.leaving.store(true, Ordering::Relaxed);
        leave::end(self.consumer, end.saturating_duration_since(Instant::now()));
    }
}
