//! A batch on its way, and what became of each message of it. Whoever calls waits for the last report, so nothing is on
//! its way between two calls.

use crate::config::{self, Brokers};
use crate::endpoint::{Compression, Key};
use crate::fault::{Meaning, Trouble, meaning, words};
use crate::leave;
use crate::topic::Template;
use metlog_message::{Head, Lines, head};
use metlog_pipeline::SendError;
use rdkafka::client::ClientContext;
use rdkafka::config::RDKafkaLogLevel;
use rdkafka::error::{KafkaError, RDKafkaErrorCode as Code};
use rdkafka::message::{Header, OwnedHeaders};
use rdkafka::producer::{BaseProducer, BaseRecord, DeliveryResult, Producer as _, ProducerContext, PurgeConfig};
use std::collections::HashSet;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

/// So long librdkafka waits for company before it sends a batch; whoever has a whole batch at hand needs no more.
const LINGER: &str = "2";

/// KiB that librdkafka keeps at the most. A batch of the router's is much less; if it is more, it waits for room.
const MEMORY: &str = "65536";

/// Between two looks at what has come; rdkafka's own way of waiting ends with its time only, whatever comes.
const GLANCE: Duration = Duration::from_millis(1);

/// How much later than its own time-out librdkafka may report on a busy machine.
const SLACK: Duration = Duration::from_secs(10);

/// So long it is waited until a client has ended that is of no use any more.
const FAREWELL: Duration = Duration::from_secs(1);

/// What there is to know for producing.
pub(crate) struct Plan {
    pub brokers: Brokers,
    pub template: Template,
    pub key: Key,
    pub compression: Compression,
    pub max_message: u64,
    pub max_topics: usize,
}

/// Produces batches.
pub(crate) struct Producer {
    plan: Plan,
    client: Option<BaseProducer<Reports>>,
    /// Topics of messages so far, where messages decide.
    topics: HashSet<String>,
    /// Ids of messages that the brokers have, and that come again because one before them did not get through.
    stored: Vec<u64>,
}

/// What librdkafka reports while it is polled.
#[derive(Default)]
struct Reports {
    done: Mutex<Vec<(usize, Option<Code>)>>,
    trouble: Trouble,
}

impl Reports {
    fn take(&self) -> Vec<(usize, Option<Code>)> {
        std::mem::take(&mut *self.done.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

impl ClientContext for Reports {
    fn log(&self, _: RDKafkaLogLevel, _: &str, _: &str) {}

    fn error(&self, error: KafkaError, reason: &str) {
        self.trouble.note(&error, reason);
    }
}

impl ProducerContext for Reports {
    /// The message's position in its batch.
    type DeliveryOpaque = usize;

    fn delivery(&self, result: &DeliveryResult<'_>, at: usize) {
        let code = result.as_ref().err().map(|(error, _)| error.rdkafka_error_code().unwrap_or(Code::Fail));
        self.done.lock().unwrap_or_else(PoisonError::into_inner).push((at, code));
    }
}

/// What is known of a message.
#[derive(Debug, Clone, PartialEq, Eq)]
enum State {
    Open,
    Stored,
    /// It, or those sent along with it, are too large.
    Large,
    Failed(Code),
    Refused(String),
    /// Nothing goes there until somebody changes something.
    Barred(String),
}

impl Producer {
    /// Connects with the first batch.
    pub fn new(plan: Plan) -> Self {
        Producer { plan, client: None, topics: HashSet::new(), stored: Vec::new() }
    }

    /// Produces a batch, and waits until the brokers have confirmed each message.
    pub fn publish(&mut self, lines: &Lines, ids: &[u64]) -> Result<(), SendError> {
        let count = lines.len();
        let mut states = vec![State::Open; count];
        for (state, _) in states.iter_mut().zip(ids).filter(|(_, id)| self.stored.binary_search(id).is_ok()) {
            *state = State::Stored;
        }
        if let Err(why) = self.open() {
            return Err(SendError::Pause { why });
        }
        let until = Instant::now() + self.plan.brokers.timeout + SLACK;
        let open: Vec<usize> = (0..count).filter(|at| states.get(*at) == Some(&State::Open)).collect();
        let mut rounds = vec![open];
        while let Some(round) = rounds.pop() {
            self.round(lines, &round, &mut states, until);
            rounds.extend(apart(&round, &mut states));
            if states.iter().any(|state| matches!(state, State::Failed(_) | State::Barred(_))) {
                break;
            }
        }
        self.verdict(states, ids)
    }

    /// Ends. Nothing can be left to send.
    pub fn close(&mut self, patience: Duration) {
        if let Some(client) = self.client.take() {
            leave::end(client, patience);
        }
    }

    /// Takes in what happened between two batches, of which nobody is told.
    pub fn tick(&mut self) {
        if let Some(client) = &self.client {
            client.poll(Duration::ZERO);
        }
    }

    fn open(&mut self) -> Result<(), String> {
        if self.client.as_ref().is_some_and(|client| client.client().fatal_error().is_some()) {
            self.close(FAREWELL);
        }
        if let Some(client) = &self.client {
            client.context().trouble.clear();
            return Ok(());
        }
        leave::admit()?;
        let plan = &self.plan;
        let mut client = plan.brokers.client()?;
        let timeout = plan.brokers.timeout;
        client
            .set("acks", "all")
            .set("enable.idempotence", "true")
            .set("message.timeout.ms", config::millis(timeout))
            .set("request.timeout.ms", config::millis(timeout))
            // A topic that was just made takes a while to be known.
            .set("topic.metadata.propagation.max.ms", config::millis(timeout / 3))
            .set("linger.ms", LINGER)
            .set("compression.type", plan.compression.name())
            .set("message.max.bytes", plan.max_message.to_string())
            .set("queue.buffering.max.kbytes", MEMORY)
            // Java's: a key goes to the same partition whoever produces it.
            .set("partitioner", "murmur2_random");
        let made = client.create_with_context(Reports::default());
        self.client = Some(made.map_err(|error| config::unmade(&error))?);
        Ok(())
    }

    /// Sends these, and waits for what becomes of each.
    fn round(&mut self, lines: &Lines, which: &[usize], states: &mut [State], until: Instant) {
        let Some(client) = &self.client else { return };
        let plan = &self.plan;
        let mut waiting = 0;
        for at in which {
            let line = lines.get(*at).unwrap_or_default();
            let sent = send(client, plan, &mut self.topics, (*at, line), until);
            match sent {
                None => waiting += 1,
                Some(state) => set(states, *at, state),
            }
            waiting -= book(client, plan, states, waiting);
        }
        let mut given_up = false;
        while waiting > 0 && Instant::now() < until {
            client.poll(GLANCE);
            waiting -= book(client, plan, states, waiting);
            if !given_up && client.context().trouble.barred().is_some() {
                // It would be tried until time is up, with the same password.
                client.purge(PurgeConfig::default().queue().inflight());
                given_up = true;
            }
        }
        if let Some(why) = client.context().trouble.barred().filter(|_| given_up) {
            states.iter_mut().filter(|state| matches!(state, State::Failed(_))).for_each(|state| {
                *state = State::Barred(format!("{}: {why}; see `login` and `tls`", plan.brokers.place()));
            });
        }
        for at in which.iter().filter(|_| waiting > 0) {
            if states.get(*at) == Some(&State::Open) {
                set(states, *at, State::Failed(Code::MessageTimedOut));
            }
        }
        if waiting > 0 {
            // With it goes whatever it may still report.
            self.close(FAREWELL);
        }
    }

    /// What became of the batch.
    fn verdict(&mut self, states: Vec<State>, ids: &[u64]) -> Result<(), SendError> {
        self.stored.clear();
        let barred =
            states.iter().find_map(|state| if let State::Barred(why) = state { Some(why.clone()) } else { None });
        let failed = states.iter().find_map(|state| if let State::Failed(code) = state { Some(*code) } else { None });
        if barred.is_some() || failed.is_some() {
            let stored = |(state, id): (&State, &u64)| (*state == State::Stored).then_some(*id);
            self.stored.extend(states.iter().zip(ids).filter_map(stored));
        }
        if let Some(why) = barred {
            // A file may say something else by then.
            self.close(FAREWELL);
            return Err(SendError::Pause { why });
        }
        if let Some(code) = failed {
            let done = states.iter().take_while(|state| **state == State::Stored).count();
            return Err(SendError::retry_after_first(done, self.unconfirmed(code)));
        }
        let count = states.len();
        let refused = states.into_iter().map(|state| if let State::Refused(why) = state { Some(why) } else { None });
        SendError::refused(count, refused.enumerate().filter_map(|(at, why)| Some((at, why?))))
    }

    fn unconfirmed(&self, code: Code) -> String {
        let (place, timeout) = (self.plan.brokers.place(), self.plan.brokers.timeout);
        let last = self.client.as_ref().and_then(|client| client.context().trouble.last());
        match (code, last) {
            (Code::MessageTimedOut, Some((_, why))) => format!("{place} did not confirm within {timeout:?}: {why}"),
            (Code::MessageTimedOut, None) => format!("{place} did not confirm within {timeout:?}"),
            (code, _) => format!("{place}: {code}"),
        }
    }
}

impl Drop for Producer {
    fn drop(&mut self) {
        self.close(FAREWELL);
    }
}

fn set(states: &mut [State], at: usize, state: State) {
    if let Some(place) = states.get_mut(at) {
        *place = state;
    }
}

/// Notes what was reported, and says how many of those waited for that were.
fn book(client: &BaseProducer<Reports>, plan: &Plan, states: &mut [State], waiting: usize) -> usize {
    let done = client.context().take();
    let count = done.len();
    for (at, code) in done {
        set(states, at, code.map_or(State::Stored, |code| state(plan, code)));
    }
    count.min(waiting)
}

fn state(plan: &Plan, code: Code) -> State {
    let place = plan.brokers.place();
    match (meaning(code), plan.template.fixed()) {
        (Meaning::TooLarge, _) => State::Large,
        (Meaning::Refused, _) => State::Refused(format!("Kafka says: {}", words(&code.to_string()))),
        (Meaning::Barred, _) => {
            State::Barred(format!("{place}: {code}; see `login`, and the rights of its user there"))
        }
        (Meaning::NoTopic, Some(topic)) => {
            State::Barred(format!("{place} has no topic `{topic}`; make it there, or name another in `topic`"))
        }
        // One message must not hold up all others.
        (Meaning::NoTopic, None) => State::Refused("its topic is not there, and the brokers do not make it".to_owned()),
        (Meaning::Passing | Meaning::Away, _) => State::Failed(code),
    }
}

/// Brokers refuse a whole batch for its size, even one that is no larger than any single message may be. So those are
/// sent in halves, down to one that is too large by itself.
fn apart(round: &[usize], states: &mut [State]) -> Vec<Vec<usize>> {
    let large: Vec<usize> = round.iter().copied().filter(|at| states.get(*at) == Some(&State::Large)).collect();
    match (large.as_slice(), round) {
        ([], _) => Vec::new(),
        ([at], [_]) => {
            let why = "it is larger than the topic takes (`max.message.bytes` there)";
            set(states, *at, State::Refused(why.to_owned()));
            Vec::new()
        }
        ([_], _) => vec![large],
        _ => {
            let (first, second) = large.split_at(large.len() / 2);
            vec![second.to_vec(), first.to_vec()]
        }
    }
}

/// Hands a message to librdkafka; otherwise says what became of it.
fn send(
    client: &BaseProducer<Reports>,
    plan: &Plan,
    topics: &mut HashSet<String>,
    (at, line): (usize, &[u8]),
    until: Instant,
) -> Option<State> {
    let mut strict = Vec::new();
    let Some(head) = head::of(line, &mut strict) else {
        return Some(State::Refused("it is no message".to_owned()));
    };
    let topic = plan.template.topic(&head);
    if plan.template.fixed().is_none() && !topics.contains(topic.as_ref()) {
        if topics.len() >= plan.max_topics {
            let why = format!("`{topic}` would be one more than the {} topics of `max_topics`", plan.max_topics);
            return Some(State::Refused(why));
        }
        topics.insert(topic.clone().into_owned());
    }
    let key = match plan.key {
        Key::Client => head.origin.as_ref().map(|(client, _)| client.as_bytes()),
        Key::Logger => Some(head.logger.as_bytes()).filter(|logger| !logger.is_empty()),
        Key::None => None,
    };
    let mut record = BaseRecord::with_opaque_to(&topic, at).payload(line).headers(headers(&head));
    record.key = key;
    loop {
        match client.send(record) {
            Ok(()) => return None,
            Err((KafkaError::MessageProduction(Code::QueueFull), again)) if Instant::now() < until => {
                record = again;
                client.poll(GLANCE);
            }
            Err((KafkaError::MessageProduction(Code::MessageSizeTooLarge), _)) => {
                let why = format!("it is larger than the {} bytes of `max_message`", plan.max_message);
                return Some(State::Refused(why));
            }
            Err((KafkaError::MessageProduction(code), _)) => return Some(state(plan, code)),
            Err(_) => return Some(State::Failed(Code::Fail)),
        }
    }
}

/// What a consumer may want to know without reading the message.
fn headers(head: &Head<'_>) -> OwnedHeaders {
    let severity = head.severity.number().to_string();
    let headers = OwnedHeaders::new_with_capacity(4)
        .insert(Header { key: "metlog_type", value: Some(head.kind.as_bytes()) })
        .insert(Header { key: "metlog_severity", value: Some(severity.as_bytes()) });
    match &head.origin {
        None => headers,
        Some((client, seq)) => headers
            .insert(Header { key: "metlog_client", value: Some(client.as_bytes()) })
            .insert(Header { key: "metlog_seq", value: Some(seq.to_string().as_bytes()) }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A broker that takes so many of these sizes at once.
    fn rounds(sizes: &[u64], most: u64) -> (Vec<State>, usize) {
        let mut states = vec![State::Open; sizes.len()];
        let (mut rounds, mut count) = (vec![(0..sizes.len()).collect::<Vec<_>>()], 0);
        while let Some(round) = rounds.pop() {
            count += 1;
            let together: u64 = round.iter().map(|at| sizes[*at]).sum();
            for at in &round {
                states[*at] = if together > most { State::Large } else { State::Stored };
            }
            rounds.extend(apart(&round, &mut states));
        }
        (states, count)
    }

    #[test]
    fn of_a_batch_that_is_too_large_only_what_is_too_large_by_itself_is_refused() {
        let mut sizes = vec![10; 1000];
        sizes[500] = 5000;
        let (states, count) = rounds(&sizes, 1000);
        let refused: Vec<usize> = (0..1000).filter(|at| matches!(states[*at], State::Refused(_))).collect();
        assert_eq!(refused, [500]);
        assert_eq!(states.iter().filter(|state| **state == State::Stored).count(), 999);
        assert!(count < 50, "{count}");
        let (states, _) = rounds(&[2000], 1000);
        assert!(matches!(states[0], State::Refused(_)));
    }
}
