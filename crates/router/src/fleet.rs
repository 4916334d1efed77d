//! The fleet: every router says now and then how it is, hears the others, and so can tell of all of them.
//!
//! - `report`: what is said, and how little of what others say is believed
//! - `sums`: the law's terms, summed over lives and routers
//! - `teller`: our own reports
//! - `roll`: who was heard
//!
//! Nothing of it is on the way of a message: the place where routers hear each other may be away as long as it likes.

pub mod report;
pub mod roll;
pub mod sums;
mod teller;

use crate::config::FleetPlan;
use crate::router::Router;
use metlog_message::Timestamp;
use metlog_pipeline::{Air, Beacon, Ears, Stop, Word};
use metlog_settings::Node;
use report::{Refusal, Report};
use roll::{Heard, Roll};
use serde_json::{Value, json};
use std::collections::BTreeSet;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::{Duration, Instant};
use teller::Teller;
use tokio::runtime::Handle;
use tokio::sync::watch;
use tokio::task::JoinHandle;

/// How soon a lost connection is tried again.
const PAUSE: Duration = Duration::from_secs(1);

/// How long the last report may take at a stop.
const FAREWELL: Duration = Duration::from_secs(2);

/// Our own part is not asked for more often than this, however many look on.
const FRESH: Duration = Duration::from_millis(200);

/// A router's place in a fleet; of one that is in none, the fleet that it is by itself.
pub struct Fleet {
    teller: Mutex<Teller>,
    roll: Mutex<Roll>,
    link: Mutex<Link>,
    talk: Mutex<Option<Talk>>,
    instance: String,
}

/// What there is while a fleet is configured.
struct Talk {
    section: Node,
    place: String,
    /// `fleet.every`
    every: Duration,
    say: watch::Sender<Word>,
    stop: watch::Sender<bool>,
    carrier: JoinHandle<()>,
    ticker: JoinHandle<()>,
}

/// How the place where routers hear each other can be reached. It can if we hear ourselves there.
#[derive(Debug, Clone, Default)]
struct Link {
    echo: Option<Instant>,
    /// Why not, and since when.
    away: Option<(String, Timestamp)>,
    /// What was refused and told.
    told: BTreeSet<Refusal>,
    disputed: Vec<String>,
    since: Option<Timestamp>,
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// A number that no other life of any router has.
fn instance() -> String {
    format!("{:016x}", fastrand::u64(..))
}

/// What a router is called if nothing else is configured.
pub fn host() -> String {
    report::to_name(&rustix::system::uname().nodename().to_string_lossy())
}

impl Default for Fleet {
    fn default() -> Self {
        let instance = instance();
        let mut teller = Teller::new(&instance);
        teller.call(&host(), 1000);
        Fleet {
            teller: Mutex::new(teller),
            roll: Mutex::new(Roll::new(Some(instance.clone()))),
            link: Mutex::default(),
            talk: Mutex::default(),
            instance,
        }
    }
}

impl Ears for Fleet {
    fn hear(&self, word: &[u8]) {
        let heard = lock(&self.roll).hear(word, Instant::now());
        match heard {
            Ok(Heard::Taken) => {}
            Ok(Heard::Echo) => {
                let mut link = lock(&self.link);
                link.echo = Some(Instant::now());
                let was_away = link.away.take().is_some();
                if was_away || link.since.is_none() {
                    link.since = Some(Timestamp::now());
                    crate::say!("fleet: connected");
                }
            }
            Err((refusal, why)) => {
                if lock(&self.link).told.insert(refusal) {
                    crate::say!("fleet: something that was heard is refused: {why}; more of this kind is only counted");
                }
            }
        }
    }

    fn missed(&self, count: u64) {
        lock(&self.roll).missed(count);
    }
}

impl Fleet {
    /// From now on as it is configured; `opened` is what the plan opens. Takes what a report of ours takes, so whoever calls
    /// this holds nothing of the router.
    pub fn configure(
        self: &Arc<Self>,
        plan: Option<&FleetPlan>,
        opened: Option<Box<dyn Beacon>>,
        router: &Arc<Router>,
        runtime: &Handle,
    ) {
        let mut talk = lock(&self.talk);
        let before = talk.take();
        if let Some(before) = &before {
            before.carrier.abort();
            before.ticker.abort();
        }
        let (Some(plan), Some(beacon)) = (plan, opened) else { return };
        lock(&self.teller).call(&plan.name, u64::try_from(plan.every.as_millis()).unwrap_or(u64::MAX));
        let place = beacon.place();
        crate::say!("fleet: {place}; this router is called `{}` there", plan.name);
        if before.is_some_and(|before| before.place != place) {
            // Another fleet: whoever was heard elsewhere is none of it.
            *lock(&self.roll) = Roll::new(Some(self.instance.clone()));
        }
        *lock(&self.link) = Link::default();
        let (say, air) = Air::new(self.clone());
        let (tell, stop) = Stop::new();
        let carrier = runtime.spawn(carry(self.clone(), plan.clone(), beacon, air, stop.clone()));
        let ticker = runtime.spawn(tick(Arc::downgrade(router), plan.every, say.clone(), stop));
        *talk =
            Some(Talk { section: plan.section.clone(), place, every: plan.every, say, stop: tell, carrier, ticker });
    }

    /// The section it is configured by, if it is.
    pub fn section(&self) -> Option<Node> {
        lock(&self.talk).as_ref().map(|talk| talk.section.clone())
    }

    /// Takes a report of ours to the roll; what is to be said, if anything is.
    fn report(&self, router: &Router, ends: bool) -> Option<Word> {
        let mut teller = lock(&self.teller);
        let report: Report = teller.report(router, ends)?;
        lock(&self.roll).own(report.clone(), Instant::now());
        Some(Word::from(report.write()))
    }

    /// Our own part as it is now, for somebody who looks.
    fn refresh(&self, router: &Router) {
        if !lock(&self.roll).is_fresh(&self.instance, Instant::now(), FRESH) {
            // Nobody hears of this one, and the next that is said is newer.
            let _ = self.report(router, false);
        }
    }

    /// Says goodbye. Blocks for a moment.
    pub fn leave(&self, router: &Router) {
        let word = self.report(router, true);
        let Some(talk) = lock(&self.talk).take() else { return };
        talk.ticker.abort();
        if let Some(word) = word {
            talk.say.send_replace(word);
        }
        // Nobody listens any more: it has ended already.
        let _ = talk.stop.send(true);
        let until = Instant::now() + FAREWELL;
        while !talk.carrier.is_finished() && Instant::now() < until {
            std::thread::sleep(Duration::from_millis(2));
        }
        talk.carrier.abort();
    }

    /// The fleet as it is seen from here; `most` routers, with their parts if they are wanted.
    pub fn tell(&self, router: &Router, most: usize, parts: bool) -> Value {
        self.refresh(router);
        let mut told = lock(&self.roll).tell(Instant::now(), most, parts);
        let (place, link) = match &*lock(&self.talk) {
            Some(talk) => (Some(talk.place.clone()), Some(self.link(talk.every))),
            None => (None, None),
        };
        if let Value::Object(told) = &mut told {
            told.insert("now".to_owned(), json!(Timestamp::now().to_string()));
            told.insert("place".to_owned(), json!(place));
            told.insert("link".to_owned(), json!(link));
            told.insert("since".to_owned(), json!(router.started_at.to_string()));
        }
        told
    }

    fn link(&self, every: Duration) -> Value {
        let Link { echo, away, since, .. } = lock(&self.link).clone();
        let since = since.map(|since| since.to_string());
        let silence = echo.map(|echo| echo.elapsed()).filter(|silence| *silence > every * 10);
        match (away, echo, silence) {
            (Some((why, since)), ..) => json!({ "state": "away", "why": why, "since": since.to_string() }),
            (None, None, _) => json!({ "state": "connecting", "why": null, "since": null }),
            (None, Some(_), Some(silence)) => {
                let why = format!("connected, and nothing was heard for {} s, not even what we say", silence.as_secs());
                json!({ "state": "away", "why": why, "since": null })
            }
            (None, Some(_), None) => json!({ "state": "connected", "why": null, "since": since }),
        }
    }

    /// For metrics: routers by state, reports heard, what was refused, and whether we hear ourselves.
    pub fn counts(&self) -> Counts {
        let talk = lock(&self.talk).as_ref().map(|talk| talk.every);
        let connected = talk.is_some_and(|every| self.link(every).get("state") == Some(&json!("connected")));
        let roll = lock(&self.roll);
        Counts {
            configured: talk.is_some(),
            connected,
            states: roll.states(Instant::now()).into_iter().collect(),
            heard: roll.heard(),
            refused: roll.refused().map(|(why, count)| (why.name(), count)).collect(),
        }
    }

    /// Says once what only people can put right.
    fn watch_over(&self) {
        let disputed = lock(&self.roll).conflicts(Instant::now());
        let mut link = lock(&self.link);
        for name in disputed.iter().filter(|name| !link.disputed.contains(name)) {
            crate::say!("fleet: more than one router is called `{name}`: give each a `fleet.name` of its own");
        }
        link.disputed = disputed;
    }
}

/// See [`Fleet::counts`].
#[allow(missing_docs)]
pub struct Counts {
    pub configured: bool,
    pub connected: bool,
    pub states: Vec<(&'static str, u64)>,
    pub heard: u64,
    pub refused: Vec<(&'static str, u64)>,
}

/// Reports by the clock.
async fn tick(router: Weak<Router>, every: Duration, say: watch::Sender<Word>, stop: Stop) {
    let mut clock = tokio::time::interval(every);
    clock.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    loop {
        tokio::select! {
            _ = clock.tick() => {}
            () = stop.stopped() => return,
        }
        let Some(router) = router.upgrade() else { return };
        // Off the event loop: the account waits for a moment at which nothing is between two counters.
        let word = tokio::task::spawn_blocking(move || {
            router.fleet.watch_over();
            router.fleet.report(&router, false)
        });
        if let Ok(Some(word)) = word.await {
            say.send_replace(word);
        }
    }
}

/// Keeps the beacon running: what cannot be reached now may be reached later.
async fn carry(fleet: Arc<Fleet>, plan: FleetPlan, first: Box<dyn Beacon>, air: Air, stop: Stop) {
    let mut beacon = first;
    loop {
        let run = tokio::spawn(beacon.run(air.clone(), stop.clone()));
        let owner = Owner(run.abort_handle());
        let ended = run.await.unwrap_or_else(|error| Err(error.to_string()));
        drop(owner);
        let Err(why) = ended else { return };
        fleet.note_away(&why);
        beacon = loop {
            tokio::select! {
                () = tokio::time::sleep(PAUSE) => {}
                () = stop.stopped() => return,
            }
            match plan.open() {
                Ok(beacon) => break beacon,
                Err(why) => fleet.note_away(&why),
            }
        };
    }
}

/// What it owns ends with it.
struct Owner(tokio::task::AbortHandle);

impl Drop for Owner {
    fn drop(&mut self) {
        self.0.abort();
    }
}

impl Fleet {
    fn note_away(&self, why: &str) {
        let why: String = why.chars().map(|c| if c.is_control() { '\u{fffd}' } else { c }).take(500).collect();
        let mut link = lock(&self.link);
        let since = match link.away.take() {
            Some((before, since)) if before == why => since,
            other => {
                crate::say!("fleet: {why}; it is tried again");
                other.map_or_else(Timestamp::now, |(_, since)| since)
            }
        };
        link.away = Some((why, since));
    }
}
