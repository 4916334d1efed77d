//! What was taken from the partitions, and how far it is safe. Offsets are told to Kafka from here only.

use metlog_pipeline::{Durable, Full, Inlet, Reason};
use rdkafka::topic_partition_list::{Offset, TopicPartitionList};
use std::collections::VecDeque;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, Wake, Waker};
use std::thread::Thread;
use std::time::{Duration, Instant};

/// The spool says when to try again; within these bounds.
const SOONEST: Duration = Duration::from_millis(10);
const LATEST: Duration = Duration::from_secs(1);

/// The next offset of a partition, as of some message.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Mark {
    topic: Arc<str>,
    partition: i32,
    next: i64,
}

/// Messages of some partitions, and how far they went.
#[derive(Debug, Default)]
struct Marks {
    of: Vec<Mark>,
    messages: usize,
}

impl Marks {
    fn set(&mut self, topic: &str, partition: i32, next: i64) {
        // Messages come in runs of one partition.
        let found = self.of.iter_mut().rev().find(|mark| mark.partition == partition && *mark.topic == *topic);
        match found {
            Some(mark) => mark.next = next,
            None => self.of.push(Mark { topic: topic.into(), partition, next }),
        }
    }

    fn forget(&mut self, gone: &TopicPartitionList) {
        self.of.retain(|mark| gone.find_partition(&mark.topic, mark.partition).is_none());
    }
}

/// Safe offsets, and whether Kafka was told.
#[derive(Debug)]
struct Safe {
    mark: Mark,
    told: bool,
}

/// What is between the partitions and the spool.
pub(crate) struct Desk {
    inlet: Inlet,
    /// Pushed and not committed: nothing polled since, or there was no room.
    held: Marks,
    /// When there may be room again.
    retry: Option<Instant>,
    /// Committed, and not yet safe.
    waiting: VecDeque<(Durable, Marks)>,
    in_flight: usize,
    most: usize,
    safe: Vec<Safe>,
}

impl Desk {
    /// One that has at most so many messages on their way to the disk.
    pub fn new(inlet: Inlet, most: usize) -> Self {
        Desk {
            inlet,
            held: Marks::default(),
            retry: None,
            waiting: VecDeque::new(),
            in_flight: 0,
            most,
            safe: Vec::new(),
        }
    }

    /// Takes a record, of whatever quality.
    pub fn take(&mut self, (topic, partition, offset): (&str, i32, i64), value: Option<&[u8]>) {
        match value {
            Some(value) if !value.is_empty() => self.inlet.push(value),
            _ => {
                let why = format!("a record without a value: topic {topic}, partition {partition}, offset {offset}");
                self.inlet.refuse(b"", Reason::Malformed, &why);
            }
        }
        self.held.messages += 1;
        self.held.set(topic, partition, offset.saturating_add(1));
    }

    /// Bytes pushed and not committed.
    pub fn pending(&self) -> usize {
        self.inlet.pending()
    }

    /// Hands over what was pushed. What is refused goes to the dead letters and counts as taken: it would be refused
    /// again however often it came.
    pub fn commit(&mut self) {
        match self.inlet.commit() {
            Ok(_) => {
                self.retry = None;
                if self.held.messages > 0 {
                    self.in_flight += self.held.messages;
                    self.waiting.push_back((self.inlet.durable(), std::mem::take(&mut self.held)));
                }
            }
            Err(full) => self.retry = Some(Instant::now() + full.retry_after.clamp(SOONEST, LATEST)),
        }
    }

    /// Whether there is room for more.
    pub fn has_room(&self) -> bool {
        self.retry.is_none() && self.in_flight < self.most
    }

    /// Whether something is on its way to the disk, or known to be there and Kafka was not told.
    pub fn is_busy(&self) -> bool {
        !self.waiting.is_empty() || self.retry.is_some() || self.safe.iter().any(|safe| !safe.told)
    }

    /// Notes what has become safe; waits until then for the first of it.
    ///
    /// # Errors
    /// If the disk fails. What is not safe then comes again, to whichever router has a disk.
    pub fn settle(&mut self, until: Instant) -> Result<(), Full> {
        if self.retry.is_some_and(|retry| retry <= Instant::now()) {
            self.commit();
        }
        let mut until = Some(self.retry.map_or(until, |retry| retry.min(until)));
        while let Some((durable, _)) = self.waiting.front_mut() {
            let Some(safe) = wait(durable, until.take()) else { return Ok(()) };
            let Some((_, marks)) = self.waiting.pop_front() else { return Ok(()) };
            self.in_flight = self.in_flight.saturating_sub(marks.messages);
            safe?;
            marks.of.into_iter().for_each(|mark| self.advance(mark));
        }
        if let (Some(until), true) = (until, self.retry.is_some()) {
            std::thread::sleep(until.saturating_duration_since(Instant::now()));
        }
        Ok(())
    }

    fn advance(&mut self, mark: Mark) {
        let known =
            self.safe.iter_mut().find(|safe| safe.mark.partition == mark.partition && safe.mark.topic == mark.topic);
        match known {
            Some(safe) => *safe = Safe { mark, told: false },
            None => self.safe.push(Safe { mark, told: false }),
        }
    }

    /// Until then, brings all that was taken to safety.
    ///
    /// # Errors
    /// If the disk fails.
    pub fn hand_over(&mut self, until: Instant) -> Result<(), Full> {
        self.commit();
        while (self.retry.is_some() || !self.waiting.is_empty()) && Instant::now() < until {
            self.settle(until)?;
        }
        Ok(())
    }

    /// Gives up on what found no room.
    pub fn give_up(&mut self) {
        self.inlet.drop_pushed(Reason::SpoolFull);
        self.held = Marks::default();
        self.retry = None;
    }

    /// Offsets that are safe and were not told; from now on they count as told.
    pub fn tell(&mut self) -> Option<TopicPartitionList> {
        let mut list = TopicPartitionList::new();
        for safe in self.safe.iter_mut().filter(|safe| !safe.told) {
            safe.told = true;
            // It fails for offsets that are none, of which Kafka gives none.
            let _ = list.add_partition_offset(&safe.mark.topic, safe.mark.partition, Offset::Offset(safe.mark.next));
        }
        (list.count() > 0).then_some(list)
    }

    /// It is not sure what was told.
    pub fn untell(&mut self) {
        self.safe.iter_mut().for_each(|safe| safe.told = false);
    }

    /// These partitions are somebody else's: nothing is told of them any more, also not of what becomes safe later.
    pub fn forget(&mut self, gone: &TopicPartitionList) {
        self.safe.retain(|safe| gone.find_partition(&safe.mark.topic, safe.mark.partition).is_none());
        self.held.forget(gone);
        self.waiting.iter_mut().for_each(|(_, marks)| marks.forget(gone));
    }
}

/// Wakes a thread that is parked.
struct Unpark(Thread);

impl Wake for Unpark {
    fn wake(self: Arc<Self>) {
        self.0.unpark();
    }
}

/// What became of it by then; without a time, by now.
fn wait(durable: &mut Durable, until: Option<Instant>) -> Option<Result<(), Full>> {
    let waker = Waker::from(Arc::new(Unpark(std::thread::current())));
    loop {
        if let Poll::Ready(safe) = Pin::new(&mut *durable).poll(&mut Context::from_waker(&waker)) {
            return Some(safe);
        }
        let left = until?.checked_duration_since(Instant::now())?;
        std::thread::park_timeout(left);
    }
}
