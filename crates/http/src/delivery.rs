//! Gets a batch through although the peer refuses some of it.
//!
//! A peer that refuses a whole request (413, 422, 400 …) says rarely which message was wrong. Repeating the request
//! would block everything behind it for ever, giving the batch up would lose the good ones; so it is cut in halves
//! until the refused messages stand alone. Every client that was studied does one of the two wrong things.

use crate::client::{Address, Key, Options, Reply, Trouble};
use metlog_message::{Lines, Value, wire};
use metlog_pipeline::SendError;
use metlog_settings::Secret;
use std::ops::Range;
use std::path::PathBuf;

/// So many refused requests are cut in one hand-over. One bad message among 4096 takes twelve; a batch full of them
/// continues with the next attempt, so that a peer which suddenly refuses everything is not asked in a tight loop.
const CUTS: usize = 128;

/// A router's answer names every message that it rejects, so more of it is kept than usual.
const REPLY_LIMIT: usize = 1024 * 1024;

/// One message that the peer named as refused while it took others of the same request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rejected {
    /// Its position in the request.
    pub at: usize,
    /// The peer's words.
    pub why: String,
}

/// What a peer said about a request that it took.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Taken {
    /// What it did not take after all.
    pub rejected: Vec<Rejected>,
    /// Something people should know although everything went through.
    pub note: Option<String>,
}

/// Where a router takes messages, by the settings `url`, `key` and `key_file`, and what a client of it begins with.
/// Without a path, `/v1/messages` is meant.
///
/// # Errors
/// If one of the settings is wrong.
pub fn to_router(url: &str, key: Option<Secret>, key_file: Option<PathBuf>) -> Result<(Address, Options), String> {
    let mut address = Address::parse("url", url)?;
    if address.path() == "/" {
        address = address.with_path("/v1/messages");
    }
    let key = Key::bearer("key", key, key_file)?;
    Ok((address, Options { key, reply_limit: REPLY_LIMIT, ..Options::default() }))
}

/// Sends batches in requests of limited length, and remembers what became of the messages of a batch that has to be
/// tried again, so that none goes twice because another one failed.
#[derive(Debug)]
pub struct Delivery {
    per_request: usize,
    settled: Settled,
}

/// What became of the first messages of the batch that comes next.
#[derive(Debug, Default)]
struct Settled {
    lines: Lines,
    /// Why a message was refused; `None` when it went through.
    fates: Vec<Option<String>>,
}

impl Taken {
    /// A router's answer, `{"accepted":n,"rejected":[{"index":i,"error":"…"}]}`, to so many messages. Whatever else answers
    /// 2xx in words of its own has taken everything.
    pub fn by_router(reply: &Reply, sent: usize) -> Taken {
        let answer = wire::read_value(&reply.body).ok();
        let part = |name: &str| answer.as_ref().and_then(|answer| answer.as_map()?.get(name));
        let count = |value: &Value| value.as_i64().and_then(|count| usize::try_from(count).ok());
        let rejected: Vec<Rejected> = part("rejected")
            .and_then(Value::as_list)
            .unwrap_or_default()
            .iter()
            .filter_map(|one| {
                let one = one.as_map()?;
                let why = one.get("error").map(|why| why.to_text().into_owned()).unwrap_or_default();
                Some(Rejected { at: one.get("index").and_then(count)?, why })
            })
            .collect();
        let note = part("accepted")
            .and_then(count)
            .filter(|accepted| accepted.saturating_add(rejected.len()) < sent)
            .map(|accepted| {
                format!("the peer says it took {accepted} of {sent} messages and rejected {}", rejected.len())
            });
        Taken { rejected, note }
    }
}

enum Fate {
    Open,
    Gone,
    Refused(String),
}

impl Delivery {
    /// With at most this many messages in one request.
    pub fn new(per_request: usize) -> Self {
        Delivery { per_request: per_request.max(1), settled: Settled::default() }
    }

    /// Sends a batch, in order. `map` makes a message the peer's; its error refuses that message without asking the
    /// peer. `post` sends some of them in one request and names those that the peer refused by position.
    ///
    /// The result is exact in the sense of [`SendError`]: what a message's fate is, is decided once.
    pub fn deliver<'a, T>(
        &mut self,
        batch: &'a Lines,
        mut map: impl FnMut(&'a [u8]) -> Result<T, String>,
        post: impl FnMut(&[T]) -> Result<Taken, Trouble>,
    ) -> Result<(), SendError> {
        self.deliver_placed(batch, |_, line| map(line), post)
    }

    /// The same for who wants to know a message's place in the batch.
    ///
    /// # Errors
    /// As of [`Delivery::deliver`].
    pub fn deliver_placed<'a, T>(
        &mut self,
        batch: &'a Lines,
        mut map: impl FnMut(usize, &'a [u8]) -> Result<T, String>,
        mut post: impl FnMut(&[T]) -> Result<Taken, Trouble>,
    ) -> Result<(), SendError> {
        let mut fates = self.take_settled(batch);
        let (mut places, mut items) = (Vec::new(), Vec::new());
        for ((at, line), fate) in batch.iter().enumerate().zip(&mut fates) {
            if let Fate::Open = fate {
                match map(at, line) {
                    Ok(item) => {
                        places.push(at);
                        items.push(item);
                    }
                    Err(why) => *fate = Fate::Refused(why),
                }
            }
        }

        // Left to right, so that what is decided is always the front of the batch.
        let mut open: Vec<Range<usize>> = Vec::new();
        let mut start = 0;
        while start < items.len() {
            open.push(start..items.len().min(start + self.per_request));
            start += self.per_request;
        }
        open.reverse();
        let (mut cuts, mut note) = (0, None);
        while let Some(range) = open.pop() {
            let (Some(part), Some(at)) = (items.get(range.clone()), places.get(range.clone())) else { break };
            let mut settle = |position: usize, fate: Fate| {
                if let Some(slot) = at.get(position).and_then(|&at| fates.get_mut(at)) {
                    *slot = fate;
                }
            };
            match post(part) {
                Ok(taken) => {
                    (0..part.len()).for_each(|position| settle(position, Fate::Gone));
                    note = note.or(taken.note);
                    taken.rejected.into_iter().for_each(|one| settle(one.at, Fate::Refused(one.why)));
                }
                Err(Trouble::Refuse { why, .. }) if part.len() == 1 => settle(0, Fate::Refused(why)),
                Err(Trouble::Refuse { why, .. }) if cuts == CUTS => {
                    let why = format!("{why} (still looking for the messages it refuses)");
                    return Err(self.put_off(batch, fates, Trouble::Retry { why, after: None }));
                }
                Err(Trouble::Refuse { .. }) => {
                    cuts += 1;
                    let middle = range.start + range.len() / 2;
                    open.push(middle..range.end);
                    open.push(range.start..middle);
                }
                Err(trouble) => return Err(self.put_off(batch, fates, trouble)),
            }
        }
        verdict(fates, note)
    }

    /// The rest has to be tried again: says how far the batch came, and keeps what the error cannot say.
    fn put_off(&mut self, batch: &Lines, fates: Vec<Fate>, trouble: Trouble) -> SendError {
        // `Pause` has no count, so with it the whole batch comes back.
        let done = match trouble {
            Trouble::Retry { .. } => fates.iter().take_while(|fate| matches!(fate, Fate::Gone)).count(),
            _ => 0,
        };
        for (line, fate) in batch.iter().zip(fates).skip(done) {
            let why = match fate {
                Fate::Open => break,
                Fate::Gone => None,
                Fate::Refused(why) => Some(why),
            };
            self.settled.lines.push(line);
            self.settled.fates.push(why);
        }
        match trouble {
            Trouble::Retry { why, after } => SendError::Retry { why, after, done },
            other => other.into_send_error(batch.len()),
        }
    }

    /// What is known already about the messages of this batch. Bytes are compared: the queue may have dropped some of
    /// what we gave back, and another message's fate is not this one's.
    fn take_settled(&mut self, batch: &Lines) -> Vec<Fate> {
        let Settled { lines, fates } = std::mem::take(&mut self.settled);
        let same = lines.iter().zip(batch.iter()).all(|(ours, theirs)| ours == theirs);
        let known = if same { fates } else { Vec::new() };
        let known = known.into_iter().map(|why| why.map_or(Fate::Gone, Fate::Refused));
        known.chain(std::iter::repeat_with(|| Fate::Open)).take(batch.len()).collect()
    }
}

fn verdict(fates: Vec<Fate>, note: Option<String>) -> Result<(), SendError> {
    let count = fates.len();
    let refused = fates.into_iter().map(|fate| if let Fate::Refused(why) = fate { Some(why) } else { None });
    SendError::refused(count, refused.enumerate().filter_map(|(at, why)| Some((at, why?))))?;
    // Nothing refused, and still something to say: the lane shows it as its latest error.
    note.map_or(Ok(()), |why| Err(SendError::Refuse { why, which: Vec::new() }))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn batch(of: impl IntoIterator<Item = u32>) -> Lines {
        of.into_iter().map(|number| number.to_string()).collect()
    }

    fn number(line: &[u8]) -> Result<u32, String> {
        String::from_utf8_lossy(line).parse().map_err(|_| "no number".to_owned())
    }

    fn refuse() -> Trouble {
        Trouble::Refuse { why: "422".into(), status: 422 }
    }

    #[test]
    fn a_good_batch_is_one_request() {
        let mut requests = Vec::new();
        let result = Delivery::new(100).deliver(&batch(0..100), number, |part| {
            requests.push(part.to_vec());
            Ok(Taken::default())
        });
        assert_eq!(result, Ok(()));
        assert_eq!(requests, [(0..100).collect::<Vec<_>>()]);
    }

    #[test]
    fn one_bad_message_is_found_and_the_others_go_through_in_order() {
        let (mut taken, mut requests) = (Vec::new(), 0);
        let result = Delivery::new(4096).deliver(&batch(0..4096), number, |part| {
            requests += 1;
            if part.contains(&777) {
                return Err(refuse());
            }
            taken.extend_from_slice(part);
            Ok(Taken::default())
        });
        assert_eq!(
            result,
            Err(SendError::Refuse { why: "1 of 4096 refused; number 777: 422".into(), which: vec![777] })
        );
        assert_eq!(taken, (0..4096).filter(|&number| number != 777).collect::<Vec<_>>());
        assert!(requests <= 25, "{requests}");
    }

    #[test]
    fn what_cannot_be_mapped_or_is_named_by_the_peer_is_refused_without_a_cut() {
        let lines: Lines = ["0", "x", "2", "3"].into_iter().collect();
        let mut requests = 0;
        let result = Delivery::new(10).deliver(&lines, number, |part| {
            requests += 1;
            assert_eq!(part, [0, 2, 3]);
            // A position beyond the request is a hostile or broken peer, and means nothing.
            Ok(Taken { rejected: [2, 9].map(|at| Rejected { at, why: "no".into() }).into(), note: None })
        });
        assert_eq!(requests, 1);
        let why = "2 of 4 refused; number 1: no number; number 3: no".to_owned();
        assert_eq!(result, Err(SendError::Refuse { why, which: vec![1, 3] }));
    }

    #[test]
    fn a_failure_behind_a_refused_message_forgets_neither() {
        let mut delivery = Delivery::new(1);
        let mut asked = Vec::new();
        let first = delivery.deliver(&batch(0..5), number, |part| {
            asked.push(part[0]);
            match part[0] {
                1 => Err(refuse()),
                3 => Err(Trouble::Retry { why: "503".into(), after: None }),
                _ => Ok(Taken::default()),
            }
        });
        assert_eq!(first, Err(SendError::Retry { why: "503".into(), after: None, done: 1 }));
        let second = delivery.deliver(&batch(1..5), number, |part| {
            asked.push(part[0]);
            Err(Trouble::pause("401"))
        });
        assert_eq!(second, Err(SendError::Pause { why: "401".into() }));
        let third = delivery.deliver(&batch(1..5), number, |part| {
            asked.push(part[0]);
            Ok(Taken::default())
        });
        assert!(matches!(third, Err(SendError::Refuse { which, .. }) if which == [0]));
        assert_eq!(asked, [0, 1, 2, 3, 3, 3, 4], "2 went once, 1 was asked about once");
    }

    #[test]
    fn a_peer_that_refuses_everything_is_not_asked_for_ever() {
        let mut delivery = Delivery::new(4096);
        let mut requests = 0;
        let result = delivery.deliver(&batch(0..4096), number, |_| {
            requests += 1;
            Err(refuse())
        });
        assert!(matches!(result, Err(SendError::Retry { .. })), "{result:?}");
        assert!(requests <= 2 * CUTS + 20, "{requests}");
    }

    /// Whatever fails in whatever order, each good message goes exactly once and in order, and each bad one is
    /// reported exactly once.
    #[test]
    fn fates_are_exact_whatever_happens() {
        for seed in 0..300 {
            let mut random = fastrand::Rng::with_seed(seed);
            let count = random.u32(1..200);
            let bad: Vec<u32> = (0..count).filter(|_| random.u32(..).is_multiple_of(10)).collect();
            let mut delivery = Delivery::new(random.usize(1..64));
            let (mut taken, mut refused) = (Vec::new(), Vec::new());
            let mut waiting: Vec<u32> = (0..count).collect();
            let mut attempts = 0;
            loop {
                attempts += 1;
                assert!(attempts < 10_000, "seed {seed}: no end");
                let result = delivery.deliver(&batch(waiting.iter().copied()), number, |part| {
                    if random.u8(..) < 40 {
                        return Err(if random.bool() { Trouble::retry("503") } else { Trouble::pause("401") });
                    }
                    if part.iter().any(|number| bad.contains(number)) {
                        return Err(refuse());
                    }
                    taken.extend_from_slice(part);
                    Ok(Taken::default())
                });
                match result {
                    Ok(()) => break,
                    Err(SendError::Refuse { which, .. }) => {
                        refused.extend(which.iter().map(|&at| waiting[at]));
                        break;
                    }
                    Err(SendError::Retry { done, .. }) => drop(waiting.drain(..done)),
                    Err(SendError::Pause { .. }) => {}
                }
            }
            let good: Vec<u32> = (0..count).filter(|number| !bad.contains(number)).collect();
            assert_eq!((taken, refused), (good, bad), "seed {seed}");
        }
    }
}
