//! The thread and the runtime a connection lives on, behind a plain blocking call. It is there between two batches as
//! well, so that the server's questions whether anybody is still there are answered.

use crate::config::Servers;
use crate::link::{Fault, Link, of_jetstream};
use crate::stream::{self, StreamConfig};
use crate::subject::{ESCAPE, Template};
use async_nats::jetstream::{ErrorCode, publish::PublishAck, response::Response};
use async_nats::{HeaderMap, Message, StatusCode, Subscriber, client::PublishErrorKind, header};
use bytes::Bytes;
use futures_util::{FutureExt as _, StreamExt as _};
use metlog_message::{Head, Lines, head};
use metlog_pipeline::SendError;
use std::hash::{DefaultHasher, Hasher as _};
use std::ops::Range;
use std::sync::mpsc as std_mpsc;
use std::thread::JoinHandle;
use std::time::{Duration, Instant};
use tokio::sync::mpsc;

/// Messages on their way without an answer. More are no faster, and fewer wait for the way there and back.
const WINDOW: usize = 1024;

/// How much later than its own time-out the thread may answer on a busy machine.
const SLACK: Duration = Duration::from_secs(5);

/// What there is to know for publishing.
pub(crate) struct Plan {
    pub servers: Servers,
    pub stream: Option<StreamConfig>,
    pub template: Template,
    /// What ids of messages begin with that bring none.
    pub router: String,
}

/// Publishes batches.
pub(crate) struct Publisher {
    jobs: Option<mpsc::Sender<Job>>,
    patience: Duration,
    ended: std_mpsc::Receiver<()>,
    handle: Option<JoinHandle<()>>,
}

struct Job {
    text: Bytes,
    parts: Vec<Range<usize>>,
    /// In a router's spool.
    ids: Vec<u64>,
    answer: std_mpsc::Sender<Result<(), SendError>>,
}

impl Publisher {
    /// Starts the thread; it connects with the first batch.
    pub fn start(plan: Plan) -> Result<Self, String> {
        let wrong = |error: std::io::Error| format!("cannot start the NATS thread: {error}");
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().map_err(wrong)?;
        // One job at a time: `publish` waits for the answer before it hands over the next.
        let (jobs, incoming) = mpsc::channel(1);
        let (end, ended) = std_mpsc::channel();
        let patience = plan.servers.timeout + SLACK;
        let run = move || {
            runtime.block_on(serve(plan, incoming));
            // A name look-up may be under way on a thread of its own; it must not hold up the end.
            runtime.shutdown_background();
            let _ = end.send(());
        };
        let handle = std::thread::Builder::new().name("metlog-nats".to_owned()).spawn(run).map_err(wrong)?;
        Ok(Publisher { jobs: Some(jobs), patience, ended, handle: Some(handle) })
    }

    /// Publishes a batch, and waits until the stream has confirmed each message.
    pub fn publish(&mut self, lines: &Lines, ids: &[u64]) -> Result<(), SendError> {
        if lines.is_empty() {
            return Ok(());
        }
        let mut begin = 0;
        let ranges = lines.iter().map(|line| {
            let range = begin..begin + line.len();
            begin = range.end + 1;
            range
        });
        let (answer, verdict) = std_mpsc::channel();
        let parts = ranges.collect();
        let job = Job { text: Bytes::copy_from_slice(lines.bytes()), parts, ids: ids.to_vec(), answer };
        match self.jobs.as_ref().map(|jobs| jobs.try_send(job)) {
            Some(Ok(())) => verdict
                .recv_timeout(self.patience)
                .unwrap_or_else(|_| Err(SendError::retry("the NATS thread did not answer in time"))),
            Some(Err(mpsc::error::TrySendError::Full(_))) => Err(SendError::retry("the NATS thread is stuck")),
            _ => Err(SendError::retry("the NATS thread has ended")),
        }
    }

    /// Ends the thread. Nothing can be left to send: `publish` returns when everything has its verdict.
    pub fn close(&mut self, within: Duration) {
        self.jobs = None;
        if let Some(handle) = self.handle.take()
            && self.ended.recv_timeout(within) != Err(std_mpsc::RecvTimeoutError::Timeout)
        {
            let _ = handle.join();
        }
    }
}

impl Drop for Publisher {
    fn drop(&mut self) {
        self.close(Duration::from_secs(1));
    }
}

async fn serve(plan: Plan, mut jobs: mpsc::Receiver<Job>) {
    let mut line: Option<Wire> = None;
    while let Some(job) = jobs.recv().await {
        let until = Instant::now() + plan.servers.timeout;
        let (books, fault) = match open(&mut line, &plan, until).await {
            Ok(wire) => wire.write(&plan, &job, until).await,
            Err(fault) => (Books::new(job.parts.len()), Some(fault)),
        };
        if fault.is_some() {
            line = None;
        }
        let _ = job.answer.send(books.verdict(fault));
    }
}

async fn open<'a>(line: &'a mut Option<Wire>, plan: &Plan, until: Instant) -> Result<&'a mut Wire, Fault> {
    if line.as_mut().is_some_and(|wire| wire.link.broken().now_or_never().is_some()) {
        *line = None;
    }
    if line.is_none() {
        let opening = tokio::time::timeout_at(until.into(), Wire::open(plan)).await;
        *line = Some(opening.unwrap_or_else(|_| Err(late(plan)))?);
    }
    line.as_mut().ok_or_else(|| late(plan))
}

fn late(plan: &Plan) -> Fault {
    Fault::Away(format!("NATS did not confirm within {:?}", plan.servers.timeout))
}

/// A connection that is ready to publish.
struct Wire {
    link: Link,
    acks: Subscriber,
    inbox: String,
    /// Which batch it is: an answer that comes too late is none to a later batch.
    turn: u64,
}

/// What is known of each message of a batch.
struct Books {
    states: Vec<State>,
    open: usize,
}

#[derive(Debug, Clone, PartialEq)]
enum State {
    Unknown,
    Stored,
    Refused(String),
}

impl Wire {
    async fn open(plan: &Plan) -> Result<Self, Fault> {
        let link = Link::open(&plan.servers).await?;
        if let Some(asked) = &plan.stream {
            stream::ensure(&link, asked).await?;
        }
        let inbox = link.client.new_inbox();
        let acks = link.client.subscribe(format!("{inbox}.*.*")).await;
        let acks = acks.map_err(|error| Fault::Away(format!("no answers can come from NATS: {error}")))?;
        Ok(Wire { link, acks, inbox, turn: 0 })
    }

    async fn write(&mut self, plan: &Plan, job: &Job, until: Instant) -> (Books, Option<Fault>) {
        self.turn += 1;
        let (mut books, mut next) = (Books::new(job.parts.len()), 0);
        loop {
            while next < job.parts.len() && books.open < WINDOW {
                if let Err(fault) = self.publish(plan, job, next, until, &mut books).await {
                    return (books, Some(fault));
                }
                next += 1;
            }
            if books.open == 0 && next == job.parts.len() {
                return (books, None);
            }
            let mut ack = tokio::select! {
                biased;
                ack = self.acks.next() => ack,
                fault = self.link.broken() => return (books, Some(fault)),
                () = tokio::time::sleep_until(until.into()) => return (books, Some(late(plan))),
            };
            loop {
                match ack {
                    Some(ack) => {
                        if let Err(fault) = self.book(plan, &ack, &mut books) {
                            return (books, Some(fault));
                        }
                    }
                    None => return (books, Some(Fault::Away("the connection to NATS was lost".to_owned()))),
                }
                match self.acks.next().now_or_never() {
                    Some(more) => ack = more,
                    None => break,
                }
            }
        }
    }

    async fn publish(&self, plan: &Plan, job: &Job, at: usize, until: Instant, books: &mut Books) -> Result<(), Fault> {
        let range = job.parts.get(at).cloned().unwrap_or_default();
        let payload = job.text.slice(range);
        let id = job.ids.get(at).copied();
        let Some((subject, headers)) = address(plan, &payload, id) else {
            books.settle(at, State::Refused("it is no message".to_owned()));
            return Ok(());
        };
        let reply = format!("{}.{}.{at}", self.inbox, self.turn);
        let sent = self.link.client.publish_with_reply_and_headers(subject, reply, headers, payload);
        match tokio::time::timeout_at(until.into(), sent).await {
            Ok(Ok(())) => books.open += 1,
            Ok(Err(error)) if error.kind() == PublishErrorKind::MaxPayloadExceeded => {
                let most = self.link.client.max_payload();
                let why = format!("it is larger than the {most} bytes this NATS server takes (`max_payload`)");
                books.settle(at, State::Refused(why));
            }
            Ok(Err(error)) => return Err(Fault::Away(format!("cannot publish to NATS: {error}"))),
            Err(_) => return Err(late(plan)),
        }
        Ok(())
    }

    fn book(&self, plan: &Plan, ack: &Message, books: &mut Books) -> Result<(), Fault> {
        let place = ack.subject.as_str().strip_prefix(self.inbox.as_str()).and_then(|rest| rest.strip_prefix('.'));
        let Some((turn, at)) = place.and_then(|place| place.split_once('.')) else { return Ok(()) };
        let (Ok(turn), Ok(at)) = (turn.parse::<u64>(), at.parse::<usize>()) else { return Ok(()) };
        if turn != self.turn || books.states.get(at) != Some(&State::Unknown) {
            return Ok(());
        }
        if ack.status == Some(StatusCode::NO_RESPONDERS) {
            return Err(unheard(plan));
        }
        let state = match serde_json::from_slice::<Response<PublishAck>>(&ack.payload) {
            Ok(Response::Ok(_)) => State::Stored,
            Ok(Response::Err { error }) => match error.error_code() {
                ErrorCode::STREAM_MESSAGE_EXCEEDS_MAXIMUM | ErrorCode::STREAM_HEADER_EXCEEDS_MAXIMUM => {
                    State::Refused(format!("NATS says: {error}"))
                }
                _ => return Err(of_jetstream("publishing to NATS", &error)),
            },
            Err(_) => return Err(Fault::Away("NATS answered something that is no confirmation".to_owned())),
        };
        books.open = books.open.saturating_sub(1);
        books.settle(at, state);
        Ok(())
    }
}

fn unheard(plan: &Plan) -> Fault {
    Fault::Barred(match &plan.stream {
        Some(stream) => format!(
            "NATS has no stream for our subjects: `{}` takes others, or has gone; see `subject` and `stream.subjects`",
            stream.name
        ),
        None => "NATS has no stream for our subjects; make one, or name it in `stream` and it is made".to_owned(),
    })
}

/// Subject and headers of a message; none if it is no message.
fn address(plan: &Plan, text: &[u8], spool: Option<u64>) -> Option<(String, HeaderMap)> {
    let mut strict = Vec::new();
    let head = head::of(text, &mut strict)?;
    let mut headers = HeaderMap::new();
    if let Some(id) = id(plan, &head, text, spool) {
        headers.insert(header::NATS_MESSAGE_ID, id);
    }
    if let Some(stream) = &plan.stream {
        headers.insert(header::NATS_EXPECTED_STREAM, stream.name.as_str());
    }
    Some((plan.template.subject(&head), headers))
}

/// By it the stream knows a message that comes twice: who sent it and its running number, or else where it stands in
/// this router's spool, with a checksum, since two routers that were given one name must not swallow each other's.
fn id(plan: &Plan, head: &Head<'_>, text: &[u8], spool: Option<u64>) -> Option<String> {
    let mut id = String::with_capacity(48);
    if let Some((client, seq)) = &head.origin {
        ESCAPE.push(&mut id, client);
        id.push_str(&format!("-{seq}"));
        return Some(id);
    }
    let mut hasher = DefaultHasher::new();
    hasher.write(text);
    ESCAPE.push(&mut id, &plan.router);
    id.push_str(&format!("-{}-{:016x}", spool?, hasher.finish()));
    Some(id)
}

impl Books {
    fn new(count: usize) -> Self {
        Books { states: vec![State::Unknown; count], open: 0 }
    }

    fn settle(&mut self, at: usize, state: State) {
        if let Some(place) = self.states.get_mut(at) {
            *place = state;
        }
    }

    /// What became of the batch. Messages behind the first without an answer may have been stored; they are sent again,
    /// and known by their ids. A connection that breaks behind the last answer took nothing with it.
    fn verdict(self, fault: Option<Fault>) -> Result<(), SendError> {
        match fault.filter(|_| self.states.contains(&State::Unknown)) {
            Some(Fault::Barred(why)) => return Err(SendError::Pause { why }),
            Some(Fault::Away(why)) => {
                let done = self.states.iter().take_while(|state| **state == State::Stored).count();
                return Err(SendError::retry_after_first(done, why));
            }
            None => {}
        }
        let count = self.states.len();
        let refused =
            self.states.into_iter().map(|state| if let State::Refused(why) = state { Some(why) } else { None });
        SendError::refused(count, refused.enumerate().filter_map(|(at, why)| Some((at, why?))))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn verdict(states: impl IntoIterator<Item = State>) -> Result<(), SendError> {
        Books { states: states.into_iter().collect(), open: 0 }.verdict(Some(Fault::Away("gone".to_owned())))
    }

    #[test]
    fn a_connection_lost_costs_what_had_no_answer_and_nothing_else() {
        use State::{Stored, Unknown};
        assert_eq!(verdict([Stored, Unknown, Stored]), Err(SendError::retry_after_first(1, "gone")));
        assert_eq!(verdict([Stored, Stored]), Ok(()), "everything was stored before");
        let refused = verdict([Stored, State::Refused("too large".to_owned())]);
        assert!(matches!(&refused, Err(SendError::Refuse { which, .. }) if which == &[1]), "{refused:?}");
    }
}
