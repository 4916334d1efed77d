//! What the client's lane does with a sender's answers, without its threads: so that a test sees each of them.

use crate::sample;
use metlog_message::Lines;
use metlog_pipeline::{SendError, Sender};
use std::collections::BTreeSet;
use std::time::{Duration, Instant};

/// Between two tries; the lane's pauses are longer and grow.
const PAUSE: Duration = Duration::from_millis(10);

/// How long [`drive`] goes on, and what happens between two tries.
pub struct Policy<'a> {
    within: Duration,
    on_error: Option<OnError<'a>>,
}

type OnError<'a> = Box<dyn FnMut(&SendError) + 'a>;

impl<'a> Policy<'a> {
    /// Gives up after this time, but not before the first try.
    pub fn within(time: Duration) -> Self {
        Policy { within: time, on_error: None }
    }

    /// Calls this after each error, before the next try: to bring a peer back, say.
    #[must_use]
    pub fn on_error(mut self, call: impl FnMut(&SendError) + 'a) -> Self {
        self.on_error = Some(Box::new(call));
        self
    }
}

impl From<Duration> for Policy<'_> {
    fn from(time: Duration) -> Self {
        Policy::within(time)
    }
}

/// How far [`drive`] came.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Outcome {
    /// Messages the sender reported as taken away.
    pub sent: usize,
    /// Messages it reported as refused.
    pub refused: usize,
    /// Messages left when time was up.
    pub given_up: usize,
    /// What went wrong, in order.
    pub errors: Vec<SendError>,
    /// Which messages those were.
    pub numbers: Numbers,
}

/// Messages by what the sender said of them.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Numbers {
    /// Taken away.
    pub sent: BTreeSet<u64>,
    /// Refused.
    pub refused: BTreeSet<u64>,
    /// Left.
    pub given_up: BTreeSet<u64>,
}

/// Sends a batch as the lane does: repeats from `done` on, counts what is refused.
///
/// # Panics
/// If an answer contradicts itself, such as a refused position that the batch does not have.
pub fn drive<'a>(sender: &mut dyn Sender, mut batch: Lines, policy: impl Into<Policy<'a>>) -> Outcome {
    let mut policy = policy.into();
    let until = Instant::now() + policy.within;
    let mut outcome = Outcome::default();
    loop {
        let tried = batch.len();
        let Err(error) = sender.send(&batch) else {
            outcome.went(&batch, tried);
            return outcome;
        };
        outcome.errors.push(error.clone());
        match &error {
            SendError::Refuse { which, .. } => {
                outcome.settle(&batch, which);
                return outcome;
            }
            SendError::Retry { done, .. } => {
                assert!(*done < tried, "{done} of {tried} done: if all went through it is no error");
                outcome.went(&batch, *done);
                batch.drop_first(*done);
            }
            SendError::Pause { .. } => {}
        }
        if let Some(call) = &mut policy.on_error {
            call(&error);
        }
        if Instant::now() >= until {
            outcome.given_up = batch.len();
            outcome.numbers.given_up.extend(batch.iter().filter_map(sample::number));
            return outcome;
        }
        std::thread::sleep(PAUSE);
    }
}

impl Outcome {
    fn went(&mut self, batch: &Lines, count: usize) {
        self.sent += count;
        self.numbers.sent.extend(batch.iter().take(count).filter_map(sample::number));
    }

    fn settle(&mut self, batch: &Lines, refused: &[usize]) {
        let distinct: BTreeSet<usize> = refused.iter().copied().collect();
        assert_eq!(distinct.len(), refused.len(), "each position once: {refused:?}");
        assert!(distinct.iter().all(|at| *at < batch.len()), "positions in a batch of {}: {refused:?}", batch.len());
        for (at, line) in batch.iter().enumerate() {
            let numbers = &mut self.numbers;
            let (count, of) = match distinct.contains(&at) {
                true => (&mut self.refused, &mut numbers.refused),
                false => (&mut self.sent, &mut numbers.sent),
            };
            *count += 1;
            of.extend(sample::number(line));
        }
    }
}
