//! The endpoint around whatever carries a notice away.

use crate::engine::Engine;
use crate::notice::Notice;
use crate::rules::{Keys, Rules};
use metlog_pipeline::registry::Configured;
use metlog_pipeline::{Endpoint, Pacing, Picked, SendError};
use serde::de::DeserializeOwned;
use std::collections::VecDeque;
use std::time::{Duration, Instant};

/// Carries a notice to people: by mail, into a chat.
pub trait Post: Send {
    /// Carries it away, until this moment at the latest where one is given. The errors mean what they mean for a batch
    /// of one message. After [`SendError::Retry`] and [`SendError::Pause`] the same notice comes again; by its number it
    /// is known what of it has been done.
    ///
    /// # Errors
    /// Says what became of it.
    fn post(&mut self, notice: &Notice, by: Option<Instant>) -> Result<(), SendError>;

    /// What should be known although the notice went through, once: a recipient that was refused.
    fn remark(&mut self) -> Option<String> {
        None
    }
}

/// A [`Post`] that a section of the configuration makes.
pub trait Carrier: Post + Sized + 'static {
    /// Its settings, made by [`with_keys!`](crate::with_keys).
    type Config: DeserializeOwned + Send + 'static;

    /// Those of its settings that are rules.
    fn keys(config: &Self::Config) -> Keys;

    /// As [`Configured::check`], for all that is no rule.
    ///
    /// # Errors
    /// What is wrong and what would be right.
    fn check(config: &Self::Config) -> Result<(), String>;

    /// As [`Configured::examine`].
    ///
    /// # Errors
    /// What is wrong and what would be right.
    fn examine(config: &Self::Config) -> Result<Vec<String>, String> {
        let _ = config;
        Ok(Vec::new())
    }

    /// As [`Configured::open`].
    ///
    /// # Errors
    /// What is wrong and what would be right.
    fn open(config: Self::Config) -> Result<Self, String>;
}

impl<C: Carrier> Configured for Alerting<C> {
    type Config = C::Config;

    const ALERTS: bool = true;

    fn check(config: &C::Config) -> Result<(), String> {
        C::keys(config).rules()?;
        C::check(config)
    }

    fn examine(config: &C::Config) -> Result<Vec<String>, String> {
        C::examine(config)
    }

    fn open(config: C::Config) -> Result<Self, String> {
        let rules = C::keys(&config).rules()?;
        Ok(Alerting::new(rules, C::open(config)?))
    }
}

/// Notices of the clock that wait to be carried away; while there are so many, the clock stands still.
const WAITING: usize = 64;
/// Pauses after the clock's notices could not be carried away: the first and the longest.
const PAUSES: (Duration, Duration) = (Duration::from_secs(1), Duration::from_secs(60));
/// How much longer than its digest's time the router can repeat a message: until the digest has gone out.
const MARGIN: Duration = Duration::from_secs(30);
/// Reasons named in one error text.
const REASONS: usize = 3;

/// An endpoint that tells people by the rules.
pub struct Alerting<P> {
    engine: Engine,
    post: P,
    began: Instant,
    waiting: VecDeque<Waiting>,
    /// The router repeats what it was not told is done. Up to this id everything has been counted.
    counted: Option<u64>,
    /// Messages at or before that whose notice was refused, or that are none, and why.
    refused: Vec<(u64, String)>,
    pause: Duration,
    not_before: Option<Instant>,
    remarks: Vec<String>,
}

struct Waiting {
    notice: Notice,
    /// The message it is about, unless that has been acknowledged.
    id: Option<u64>,
}

impl<P: Post> Alerting<P> {
    /// Tells by these rules.
    pub fn new(rules: Rules, post: P) -> Self {
        Alerting {
            engine: Engine::new(rules),
            post,
            began: Instant::now(),
            waiting: VecDeque::new(),
            counted: None,
            refused: Vec::new(),
            pause: PAUSES.0,
            not_before: None,
            remarks: Vec::new(),
        }
    }

    /// Carries away what waits, in order.
    fn clear(&mut self, by: Option<Instant>) -> Result<(), SendError> {
        while let Some(first) = self.waiting.front() {
            let result = self.post.post(&first.notice, by);
            self.remarks.extend(self.post.remark());
            match (result, first.id) {
                (Ok(()), _) => {}
                (Err(SendError::Refuse { why, .. }), Some(id)) => self.refused.push((id, why)),
                (Err(SendError::Refuse { why, .. }), None) => {
                    self.remarks.push(format!("a notice about {} messages is lost: {why}", first.notice.messages()));
                }
                (Err(error), _) => return Err(error),
            }
            self.waiting.pop_front();
            (self.pause, self.not_before) = (PAUSES.0, None);
        }
        Ok(())
    }

    /// Counts a message and carries away what comes of it.
    fn take(&mut self, message: &[u8], id: u64) -> Result<(), SendError> {
        let mut out = Vec::new();
        if let Err(why) = self.engine.feed(message, self.began.elapsed(), &mut out) {
            self.refused.push((id, why));
        }
        self.counted = Some(id);
        self.waiting.extend(out.into_iter().map(|notice| Waiting { notice, id: Some(id) }));
        self.clear(None)
    }

    /// The rest of the batch comes again. What is done counts from its beginning only, and a refused message is not
    /// done; so from the first of those everything comes again, and what is known of it is kept.
    fn put_off(&self, error: SendError, ids: &[u64], at: usize) -> SendError {
        match error {
            SendError::Retry { why, after, .. } => {
                let refused = self.refused.iter().filter_map(|(id, _)| ids.iter().position(|known| known == id)).min();
                SendError::Retry { why, after, done: refused.unwrap_or(at).min(at) }
            }
            other => other,
        }
    }

    fn verdict(&mut self, ids: &[u64]) -> Result<(), SendError> {
        let refused = std::mem::take(&mut self.refused);
        let mut which = Vec::new();
        let mut whys: Vec<&str> = Vec::new();
        for (id, why) in &refused {
            let Some(at) = ids.iter().position(|known| known == id) else { continue };
            if !which.contains(&at) {
                which.push(at);
                whys.push(why);
            }
        }
        if which.is_empty() {
            return Ok(());
        }
        let more = if whys.len() > REASONS { "; …" } else { "" };
        whys.truncate(REASONS);
        let why = format!("{} of {} refused: {}{more}", which.len(), ids.len(), whys.join("; "));
        Err(SendError::Refuse { why, which })
    }
}

impl<P: Post> Endpoint for Alerting<P> {
    fn write(&mut self, batch: &Picked<'_>) -> Result<(), SendError> {
        let ids = batch.ids();
        if let Some(first) = ids.first() {
            // What the router has given up is with the dead letters, and is not told about after that.
            self.waiting.retain(|waiting| waiting.id.is_none_or(|id| id >= *first));
            self.refused.retain(|(id, _)| id >= first);
        }
        // The message a notice waits for stands at its own place; all before it is done.
        let held_up = self.waiting.front().and_then(|waiting| waiting.id);
        let held_up = held_up.and_then(|id| ids.iter().position(|known| *known == id)).unwrap_or(0);
        self.clear(None).map_err(|error| self.put_off(error, ids, held_up))?;
        for (at, (message, id)) in batch.lines().iter().zip(ids).enumerate() {
            if self.counted.is_none_or(|counted| *id > counted) {
                self.take(message, *id).map_err(|error| self.put_off(error, ids, at))?;
            }
        }
        self.verdict(ids)
    }

    fn tick(&mut self) -> Result<(), SendError> {
        if self.waiting.len() < WAITING {
            let mut out = Vec::new();
            self.engine.tick(self.began.elapsed(), &mut out);
            self.waiting.extend(out.into_iter().map(|notice| Waiting { notice, id: None }));
        }
        if self.not_before.is_none_or(|moment| Instant::now() >= moment)
            && let Err(error) = self.clear(None)
        {
            let asked = match error {
                SendError::Retry { after, .. } => after.unwrap_or_default(),
                _ => PAUSES.1,
            };
            self.not_before = Some(Instant::now() + self.pause.max(asked));
            self.pause = (self.pause * 2).min(PAUSES.1);
            return Err(error);
        }
        if self.remarks.is_empty() {
            return Ok(());
        }
        Err(SendError::retry(std::mem::take(&mut self.remarks).join("; ")))
    }

    fn close(&mut self, within: Duration) -> Result<(), SendError> {
        let mut out = Vec::new();
        self.engine.finish(&mut out);
        // What belongs to a message that is not acknowledged comes again with it.
        self.waiting.retain(|waiting| waiting.id.is_none());
        self.waiting.extend(out.into_iter().map(|notice| Waiting { notice, id: None }));
        let messages: u64 = self.waiting.iter().map(|waiting| waiting.notice.messages()).sum();
        self.clear(Some(Instant::now() + within)).map_err(|error| match error {
            SendError::Retry { why, after, done } => {
                let why = format!("what was held back or collected, of {messages} messages, is not told: {why}");
                SendError::Retry { why, after, done }
            }
            other => other,
        })
    }

    fn pacing(&self) -> Pacing {
        // A person does not notice; a server does, and so does the list of what a digest may have to repeat.
        Pacing { messages: 1024, wait: Duration::from_millis(200), ..Pacing::default() }
    }

    fn settle(&self) -> Duration {
        match self.engine.digest_time() {
            Duration::ZERO => Duration::ZERO,
            time => time + MARGIN,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rules::When;
    use metlog_message::Lines;
    use metlog_settings::Span;
    use metlog_testkit::sample;
    use std::sync::{Arc, Mutex};

    /// Answers as it is told to, and keeps what went through.
    #[derive(Clone, Default)]
    struct Desk(Arc<Mutex<(VecDeque<SendError>, Vec<Notice>)>>);

    impl Desk {
        fn answers(&self, answers: impl IntoIterator<Item = SendError>) {
            self.0.lock().unwrap().0.extend(answers);
        }
        fn told(&self) -> Vec<String> {
            self.0.lock().unwrap().1.iter().map(Notice::headline).collect()
        }
    }

    impl Post for Desk {
        fn post(&mut self, notice: &Notice, _: Option<Instant>) -> Result<(), SendError> {
            let mut desk = self.0.lock().unwrap();
            if let Some(answer) = desk.0.pop_front().filter(|answer| answer.why() != "fine") {
                return Err(answer);
            }
            desk.1.push(notice.clone());
            Ok(())
        }
    }

    fn open(keys: Keys) -> (Desk, Alerting<Desk>) {
        let desk = Desk::default();
        (desk.clone(), Alerting::new(keys.rules().unwrap(), desk))
    }

    fn unthrottled() -> Keys {
        Keys { throttle: Some(Span::default()), ..Keys::default() }
    }

    fn write(to: &mut Alerting<Desk>, numbers: impl IntoIterator<Item = u64>) -> Result<(), SendError> {
        let ids: Vec<u64> = numbers.into_iter().collect();
        let lines: Lines = ids.iter().map(|number| sample::line(*number)).collect();
        to.write(&Picked::new(&lines, &ids))
    }

    fn refuse() -> SendError {
        SendError::Refuse { why: "spam".into(), which: vec![0] }
    }

    #[test]
    fn a_notice_that_fails_is_tried_again_and_no_message_counts_twice() {
        let (desk, mut alerting) = open(unthrottled());
        desk.answers([SendError::retry("fine"), SendError::retry("gone"), SendError::retry("still")]);
        assert_eq!(write(&mut alerting, 0..4), Err(SendError::retry_after_first(1, "gone")));
        assert_eq!(write(&mut alerting, 1..4), Err(SendError::retry_after_first(0, "still")));
        assert_eq!(write(&mut alerting, 1..4), Ok(()));
        assert_eq!(desk.told().len(), 4, "{:?}", desk.told());
    }

    #[test]
    fn what_was_refused_before_a_failure_is_still_refused_after_it() {
        let (desk, mut alerting) = open(unthrottled());
        let fine = || SendError::retry("fine");
        let stop = SendError::Pause { why: "no key".into() };
        desk.answers([fine(), refuse(), fine(), SendError::retry("gone"), stop.clone(), stop.clone()]);
        assert_eq!(write(&mut alerting, 0..5), Err(SendError::retry_after_first(1, "gone")));
        assert_eq!(write(&mut alerting, 1..5), Err(stop.clone()));
        assert_eq!(write(&mut alerting, 1..5), Err(stop));
        let why = "1 of 4 refused: spam".to_owned();
        assert_eq!(write(&mut alerting, 1..5), Err(SendError::Refuse { why, which: vec![0] }));
        assert_eq!(desk.told().len(), 4, "{:?}", desk.told());
    }

    #[test]
    fn what_the_router_has_given_up_is_not_told_later() {
        let (desk, mut alerting) = open(unthrottled());
        desk.answers([SendError::retry("gone")]);
        assert_eq!(write(&mut alerting, [7]), Err(SendError::retry_after_first(0, "gone")));
        assert_eq!(write(&mut alerting, [8]), Ok(()));
        assert_eq!(desk.told(), ["notice metlog.tests: message 8"]);
    }

    #[test]
    fn bytes_that_are_no_message_are_refused() {
        let (desk, mut alerting) = open(unthrottled());
        let lines: Lines = [sample::line(0), b"[]".to_vec()].into_iter().collect();
        let result = alerting.write(&Picked::new(&lines, &[3, 9]));
        assert!(matches!(result, Err(SendError::Refuse { which, .. }) if which == [1]));
        assert_eq!(desk.told().len(), 1);
    }

    #[test]
    fn what_was_held_back_is_told_at_the_end() {
        let (desk, mut alerting) = open(Keys::default());
        assert_eq!(write(&mut alerting, 0..5), Ok(()));
        assert_eq!(desk.told(), ["notice metlog.tests: message 0"]);
        assert_eq!(alerting.settle(), Duration::ZERO);
        assert_eq!(alerting.close(Duration::from_secs(1)), Ok(()));
        assert_eq!(desk.told(), ["notice metlog.tests: message 0", "notice metlog.tests: 4 more: message 1"]);
    }

    #[test]
    fn messages_of_a_digest_are_not_safe_before_it_is_due() {
        let (desk, mut alerting) = open(Keys { digest: Some(Span(Duration::from_secs(60))), ..unthrottled() });
        assert_eq!(write(&mut alerting, 0..3), Ok(()));
        assert_eq!(alerting.settle(), Duration::from_secs(90));
        assert!(desk.told().is_empty());
        desk.answers([SendError::retry("gone")]);
        let error = alerting.close(Duration::from_secs(1)).unwrap_err();
        assert!(error.why().contains("of 3 messages, is not told: gone"), "{error}");
    }

    #[test]
    fn the_clock_tries_again_with_pauses() {
        let keys = Keys { when: When::Absence, absent_for: Some(Span(Duration::from_secs(1))), ..Keys::default() };
        let (desk, mut alerting) = open(keys);
        alerting.began -= Duration::from_secs(2);
        desk.answers([SendError::retry("gone")]);
        assert_eq!(alerting.tick(), Err(SendError::retry("gone")));
        assert_eq!(alerting.tick(), Ok(()), "not yet");
        assert!(desk.told().is_empty());
        assert_eq!(write(&mut alerting, [1]), Ok(()));
        let told = desk.told();
        assert_eq!(told, ["no message for 2s", "messages again, after 2s"]);
    }
}
