//! Who is in the fleet, as far as it was heard: the last report of each router, and the sums of all, which never go
//! backwards and count nothing twice.
//!
//! A router that starts again counts from 0 under another instance. What its life before had told is kept beside it,
//! without the messages that waited: those wait in the new life and are counted there. What did not wait any more by then
//! is counted as `unheard`.

use super::report::{Refusal, Report};
use super::sums::Sums;
use metlog_message::Timestamp;
use serde_json::{Value, json};
use std::collections::{BTreeMap, VecDeque};
use std::time::{Duration, Instant};

/// Routers that are followed, and names that are remembered.
pub const MOST: usize = 1000;

/// Lives of one name that are shown beside each other, and that are remembered one by one.
const MOST_LIVES: usize = 4;

/// So many intervals without a word, and a router is silent.
const SILENT: u32 = 10;

/// A silent router is shown so long. Its sums remain.
const SHOWN: Duration = Duration::from_secs(30 * 60);

/// Milliseconds that a rate speaks of.
const WINDOW: u64 = 5_000;

/// Reports that a rate may be taken from.
const LOOKS: usize = 32;

/// Bytes that are listened to in a second, each report counting for as much more as it takes to look at one.
const BYTES_A_SECOND: u64 = 16 << 20;
const ONE_REPORT: u64 = 1 << 10;

/// What a router is doing, the worst first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum State {
    /// Another router has the same name.
    Conflict,
    /// Nothing was heard of it for ten of its intervals.
    Silent,
    /// It reports.
    Running,
    /// It has said that it stops.
    Stopped,
}

impl State {
    /// All of them.
    pub const ALL: [State; 4] = [State::Conflict, State::Silent, State::Running, State::Stopped];

    /// The word for it.
    pub const fn name(self) -> &'static str {
        match self {
            State::Conflict => "conflict",
            State::Silent => "silent",
            State::Running => "running",
            State::Stopped => "stopped",
        }
    }
}

/// What became of something that was heard.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Heard {
    /// It is the latest of a router.
    Taken,
    /// Our own.
    Echo,
}

/// One life of a router.
struct Life {
    report: Report,
    heard: Instant,
    heard_at: Timestamp,
    /// Uptime, received and delivered, oldest first.
    looks: VecDeque<(u64, u64, u64)>,
}

impl Life {
    fn is_silent(&self, now: Instant) -> bool {
        let patience = Duration::from_millis(self.report.every) * SILENT;
        !self.report.ends && now.saturating_duration_since(self.heard) > patience
    }

    fn speaks(&self, now: Instant) -> bool {
        !self.report.ends && !self.is_silent(now)
    }

    fn take(&mut self, report: Report, now: Instant) {
        let look = (report.uptime, report.sums.inputs.received, report.sums.endpoints.delivered);
        let from = report.uptime.saturating_sub(WINDOW);
        while self.looks.len() >= LOOKS || self.looks.front().is_some_and(|(at, ..)| self.looks.len() > 1 && *at < from)
        {
            self.looks.pop_front();
        }
        self.looks.push_back(look);
        (self.report, self.heard, self.heard_at) = (report, now, Timestamp::now());
    }

    /// Received and delivered in a second; none before there are two reports.
    fn rates(&self) -> Option<(f64, f64)> {
        let ((began, received, delivered), (ended, now_received, now_delivered)) =
            self.looks.front().zip(self.looks.back())?;
        let seconds = ended.checked_sub(*began).filter(|time| *time > 0)? as f64 / 1e3;
        let rate = |from: u64, to: u64| to.saturating_sub(from) as f64 / seconds;
        Some((rate(*received, *now_received), rate(*delivered, *now_delivered)))
    }
}

/// A life that is over, or not shown any more.
struct Former {
    instance: String,
    /// Of its last report.
    number: u64,
    sums: Sums,
    /// How much waited when the next life began, if there was one.
    followed: Option<u64>,
}

impl Former {
    fn sums(self) -> Sums {
        match self.followed {
            Some(backlog) => self.sums.followed(backlog),
            None => self.sums,
        }
    }
}

/// A name, and who goes or went by it.
#[derive(Default)]
struct Member {
    lives: Vec<Life>,
    former: VecDeque<Former>,
    /// Of lives before those.
    carry: Sums,
    /// How many lives are not among `lives`.
    past: u64,
    heard: Option<Instant>,
}

impl Member {
    fn sum(&self, into: &mut Sums) {
        into.add(&self.carry);
        for former in &self.former {
            match former.followed {
                Some(backlog) => into.add(&former.sums.clone().followed(backlog)),
                None => into.add(&former.sums),
            }
        }
        self.lives.iter().for_each(|life| into.add(&life.report.sums));
    }

    fn retire(&mut self, at: usize, followed: Option<u64>) {
        let life = self.lives.swap_remove(at);
        self.past += 1;
        let Report { instance, number, sums, .. } = life.report;
        self.former.push_back(Former { instance, number, sums, followed });
        if self.former.len() > MOST_LIVES
            && let Some(oldest) = self.former.pop_front()
        {
            self.carry.add(&oldest.sums());
        }
    }

    /// Forgets this instance, which goes by another name now or speaks again.
    fn take_out(&mut self, instance: &str) {
        self.lives.retain(|life| life.report.instance != instance);
        let before = self.former.len();
        self.former.retain(|former| former.instance != instance);
        self.past = self.past.saturating_sub((before - self.former.len()) as u64);
    }

    fn state(&self, life: &Life, now: Instant) -> State {
        let others = self.lives.iter().filter(|other| other.report.instance != life.report.instance);
        match () {
            () if life.report.ends => State::Stopped,
            () if life.is_silent(now) => State::Silent,
            () if others.into_iter().any(|other| other.speaks(now)) => State::Conflict,
            () => State::Running,
        }
    }
}

/// Everybody.
#[derive(Default)]
pub struct Roll {
    /// Our own instance: it alone is never heard, and never takes anybody's place.
    own: Option<String>,
    members: BTreeMap<String, Member>,
    /// Sums of names that were forgotten for others.
    gone: Sums,
    heard: u64,
    refused: BTreeMap<Refusal, u64>,
    last_refused: Option<(Refusal, String, Timestamp)>,
    budget: Option<(Instant, u64)>,
    tidied: Option<Instant>,
}

impl Roll {
    /// One that knows nobody; `own` is the instance that keeps it, if it is a router.
    pub fn new(own: Option<String>) -> Self {
        Roll { own, ..Roll::default() }
    }

    /// What somebody said.
    ///
    /// # Errors
    /// Why it counts for nothing; that is counted.
    pub fn hear(&mut self, text: &[u8], now: Instant) -> Result<Heard, (Refusal, String)> {
        let heard = self.judge(text, now);
        match &heard {
            Ok(_) => self.heard += 1,
            Err((refusal, why)) => {
                *self.refused.entry(*refusal).or_default() += 1;
                let why: String = why.chars().map(|c| if c.is_control() { '\u{fffd}' } else { c }).take(200).collect();
                self.last_refused = Some((*refusal, why, Timestamp::now()));
            }
        }
        heard
    }

    fn judge(&mut self, text: &[u8], now: Instant) -> Result<Heard, (Refusal, String)> {
        if !self.may_listen(text.len(), now) {
            return Err((Refusal::TooFast, "more is said than is listened to".to_owned()));
        }
        let report = Report::read(text)?;
        if self.own.as_ref() == Some(&report.instance) {
            return Ok(Heard::Echo);
        }
        self.tidy(now);
        self.take(report, now).map(|()| Heard::Taken)
    }

    fn may_listen(&mut self, bytes: usize, now: Instant) -> bool {
        let (at, left) = self.budget.unwrap_or((now, BYTES_A_SECOND));
        let since = u64::try_from(now.saturating_duration_since(at).as_micros()).unwrap_or(u64::MAX);
        let left = since.saturating_mul(BYTES_A_SECOND / 1_000_000).saturating_add(left).min(BYTES_A_SECOND);
        let cost = ONE_REPORT + bytes as u64;
        self.budget = Some((now, left.saturating_sub(if cost <= left { cost } else { 0 })));
        cost <= left
    }

    /// Counts what was thrown away before it got here.
    pub fn missed(&mut self, count: u64) {
        *self.refused.entry(Refusal::Missed).or_default() += count;
    }

    /// Our own report.
    pub fn own(&mut self, report: Report, now: Instant) {
        // Ours is always newer than the last one, and there is always room for it.
        let _ = self.take(report, now);
    }

    /// Whether this instance was heard within this time.
    pub fn is_fresh(&self, instance: &str, now: Instant, within: Duration) -> bool {
        let mut lives = self.members.values().flat_map(|member| &member.lives);
        lives.any(|life| life.report.instance == instance && now.saturating_duration_since(life.heard) < within)
    }

    fn take(&mut self, report: Report, now: Instant) -> Result<(), (Refusal, String)> {
        let instance = report.instance.clone();
        let is_known = |member: &Member| member.lives.iter().any(|life| life.report.instance == instance);
        if !self.members.get(&report.name).is_some_and(is_known) {
            self.admit(&report, now)?;
        }
        let Some(member) = self.members.get_mut(&report.name) else { return Ok(()) };
        member.heard = Some(now);
        match member.lives.iter_mut().find(|life| life.report.instance == instance) {
            Some(life) if life.report.number >= report.number => Err(stale(&report, life.report.number)),
            Some(life) => {
                life.take(report, now);
                Ok(())
            }
            None => {
                let mut life =
                    Life { report: Report::default(), heard: now, heard_at: Timestamp::now(), looks: VecDeque::new() };
                life.take(report, now);
                member.lives.push(life);
                Ok(())
            }
        }
    }

    /// Makes room for an instance that nothing is known of, or that was thought to be over.
    fn admit(&mut self, report: &Report, now: Instant) -> Result<(), (Refusal, String)> {
        let own = self.own.as_ref() == Some(&report.instance);
        if !self.members.contains_key(&report.name) && self.members.len() >= MOST && !(own || self.forget_one(now)) {
            return Err((
                Refusal::TooMany,
                format!("more than {MOST} routers report here; {} is one too many", report.name),
            ));
        }
        let mut back = false;
        if let Some(member) = self.members.get(&report.name)
            && let Some(former) = member.former.iter().find(|former| former.instance == report.instance)
        {
            if former.number >= report.number {
                return Err(stale(report, former.number));
            }
            if member.lives.len() >= MOST_LIVES {
                let why = format!("more than {MOST_LIVES} routers call themselves {}", report.name);
                return Err((Refusal::TooMany, why));
            }
            back = true;
        }
        for member in self.members.values_mut() {
            member.take_out(&report.instance);
        }
        let member = self.members.entry(report.name.clone()).or_default();
        if back {
            // It was there all the time, and so may those be that seemed to have taken its place.
            return Ok(());
        }
        for former in &mut member.former {
            former.followed.get_or_insert(report.backlog);
        }
        // Whoever of these is no life before this one speaks again within its interval.
        let over = |life: &Life| self.own.as_ref() != Some(&life.report.instance);
        while let Some(at) = member.lives.iter().position(over) {
            member.retire(at, Some(report.backlog));
        }
        Ok(())
    }

    /// Forgets a name that nobody has gone by for long, and keeps its sums; false if there is none.
    fn forget_one(&mut self, now: Instant) -> bool {
        let quiet = self.members.iter().filter(|(_, member)| !member.lives.iter().any(|life| life.speaks(now)));
        let longest = quiet.min_by_key(|(_, member)| (!member.lives.is_empty(), member.heard));
        let Some(name) = longest.map(|(name, _)| name.clone()) else { return false };
        if let Some(member) = self.members.remove(&name) {
            member.sum(&mut self.gone);
        }
        true
    }

    /// Takes those off the list that have been silent for long.
    fn tidy(&mut self, now: Instant) {
        if self.tidied.is_some_and(|tidied| now.saturating_duration_since(tidied) < Duration::from_secs(1)) {
            return;
        }
        self.tidied = Some(now);
        for member in self.members.values_mut() {
            let long = |life: &Life| now.saturating_duration_since(life.heard) > SHOWN && !life.speaks(now);
            while let Some(at) = member.lives.iter().position(long) {
                member.retire(at, None);
            }
        }
    }

    /// Names that more than one router goes by.
    pub fn conflicts(&self, now: Instant) -> Vec<String> {
        let disputed = |member: &Member| member.lives.iter().filter(|life| life.speaks(now)).count() > 1;
        self.members.iter().filter(|(_, member)| disputed(member)).map(|(name, _)| name.clone()).collect()
    }

    /// How many routers are in each state.
    pub fn states(&self, now: Instant) -> BTreeMap<&'static str, u64> {
        let mut states: BTreeMap<&'static str, u64> = State::ALL.iter().map(|state| (state.name(), 0)).collect();
        for member in self.members.values() {
            for life in &member.lives {
                *states.entry(member.state(life, now).name()).or_default() += 1;
            }
        }
        states
    }

    /// The sums of all routers, and of all their lives.
    pub fn sums(&self) -> Sums {
        let mut sums = self.gone.clone();
        self.members.values().for_each(|member| member.sum(&mut sums));
        sums
    }

    /// Reports that were heard, ours included.
    pub fn heard(&self) -> u64 {
        self.heard
    }

    /// What was refused, for each reason.
    pub fn refused(&self) -> impl Iterator<Item = (Refusal, u64)> + '_ {
        Refusal::ALL.into_iter().map(|why| (why, self.refused.get(&why).copied().unwrap_or_default()))
    }

    /// All of it, the worst first; `most` routers, with their parts if they are wanted.
    pub fn tell(&mut self, now: Instant, most: usize, parts: bool) -> Value {
        self.tidy(now);
        let mut all: Vec<(State, &str, &Member, &Life)> = Vec::new();
        for (name, member) in &self.members {
            all.extend(member.lives.iter().map(|life| (member.state(life, now), name.as_str(), member, life)));
        }
        all.sort_by(|(state, name, _, life), (other_state, other_name, _, other)| {
            (state, name, &life.report.instance).cmp(&(other_state, other_name, &other.report.instance))
        });
        let left_out = all.len().saturating_sub(most);
        let rates = all.iter().filter(|(.., life)| life.speaks(now)).filter_map(|(.., life)| life.rates());
        let (received, delivered) = rates.fold((0.0, 0.0), |sum, one| (sum.0 + one.0, sum.1 + one.1));
        let told: u64 = all.iter().map(|(.., life)| life.report.unaccounted).fold(0, u64::saturating_add);
        let past: u64 = self.members.values().map(|member| member.past).sum();
        let sums = self.sums();
        let routers = all.iter().take(most).map(|(state, _, member, life)| self.row(*state, member, life, now, parts));
        let refused: BTreeMap<&str, u64> = self.refused().map(|(why, count)| (why.name(), count)).collect();
        let last = self
            .last_refused
            .as_ref()
            .map(|(reason, why, at)| json!({ "reason": reason.name(), "why": why, "at": at.to_string() }));
        json!({
            "routers": routers.collect::<Vec<_>>(),
            "left_out": left_out,
            "total": {
                "routers": self.states(now),
                "lives_before": past,
                "rates": { "received": tenth(received), "delivered": tenth(delivered) },
                "inputs": with_rest(json!(sums.inputs), sums.inputs.unaccounted()),
                "endpoints": with_rest(json!(sums.endpoints), sums.endpoints.unaccounted()),
                "transports": sums.transports,
                "unaccounted": told,
            },
            "heard": self.heard,
            "refused": refused,
            "last_refused": last,
        })
    }

    fn row(&self, state: State, member: &Member, life: &Life, now: Instant, parts: bool) -> Value {
        let report = &life.report;
        let rates = life.rates().filter(|_| life.speaks(now));
        let started = i64::try_from(report.started).unwrap_or_default();
        let mut row = json!({
            "name": report.name,
            "instance": report.instance,
            "self": self.own.as_ref() == Some(&report.instance),
            "state": state.name(),
            "version": report.version,
            "started": Timestamp::from_nanos(started.saturating_mul(1_000_000)).to_string(),
            "heard": life.heard_at.to_string(),
            "age_ms": u64::try_from(now.saturating_duration_since(life.heard).as_millis()).unwrap_or(u64::MAX),
            "every_ms": report.every,
            "lives_before": member.past,
            "rates": rates.map(|(received, delivered)| json!({ "received": tenth(received), "delivered": tenth(delivered) })),
            "inputs": with_rest(json!(report.sums.inputs), report.sums.inputs.unaccounted()),
            "endpoints": with_rest(json!(report.sums.endpoints), report.sums.endpoints.unaccounted()),
            "oldest_ms": (report.sums.endpoints.buffered > 0).then_some(report.oldest),
            "unaccounted": report.unaccounted,
            "spool": report.spool,
            "troubles": report.troubles().take(3).collect::<Vec<_>>(),
        });
        if let (true, Value::Object(row)) = (parts, &mut row) {
            let parts = json!({ "inputs": report.input_parts, "endpoints": report.endpoint_parts, "cut": report.cut });
            row.insert("parts".to_owned(), parts);
        }
        row
    }
}

fn stale(report: &Report, last: u64) -> (Refusal, String) {
    (Refusal::Stale, format!("report {} of {}, of which {last} was heard already", report.number, report.name))
}

fn tenth(rate: f64) -> f64 {
    (rate * 10.0).round() / 10.0
}

fn with_rest(mut sums: Value, rest: i64) -> Value {
    if let Value::Object(sums) = &mut sums {
        sums.insert("unaccounted".to_owned(), json!(rest));
    }
    sums
}

#[cfg(test)]
mod tests;
