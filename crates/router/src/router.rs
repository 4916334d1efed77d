//! The router put together: opened as a whole, reloaded as a whole, stopped in the order in which messages flow.

mod reload;

pub use reload::Changes;

use crate::accounting::{Account, EndpointAccount, EndpointLine, InputAccount, InputLine, Opened};
use crate::config::{self, EndpointPlan, FilterPlan, FleetPlan, HttpInput, InputPlan, Plan};
use crate::deadletters::DeadLetters;
use crate::deliver::{Clock, Delivery, Period, Progress};
use crate::edits::Hand;
use crate::fleet::Fleet;
use crate::forwards::Forwards;
use crate::http::pipeline::Standing;
use crate::http::{self, Ground, Ports};
use crate::identity;
use crate::intake::{Door, Floor};
use crate::kept::Kept;
use crate::routes::Routes;
use crate::topology::Topology;
use crate::trend::Trend;
use metlog_http::server::{Fragments, Gate, Server};
use metlog_message::Timestamp;
use metlog_pipeline::input::Renew;
use metlog_pipeline::{Endpoint, Inlet, Input, Stop};
use metlog_spool::{Disk, Recovery, SlotStatus, Spool};
use metlog_tls::Acceptor;
use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::{Duration, Instant};
use tokio::runtime::Handle;
use tokio::sync::watch;
use tokio::task::JoinHandle;

/// A running router.
pub struct Router {
    /// What all its inputs share.
    pub floor: Arc<Floor>,
    /// When it started.
    pub started: Instant,
    /// Reloads that were applied, and that were refused.
    pub reloads: Reloads,
    /// The keys that all HTTP ports ask for.
    pub gate: Arc<Gate>,
    /// What is kept and can be asked for.
    pub kept: Arc<Kept>,
    runtime: Handle,
    parts: Mutex<Parts>,
    janitor: Mutex<Option<(watch::Sender<bool>, JoinHandle<()>)>>,
    /// What the HTTP ports count, by address.
    pub ports: Ports,
    /// When it started, by the clock on the wall.
    pub started_at: Timestamp,
    /// What has been going on in the last minutes.
    pub trend: Mutex<Trend>,
    /// Who else there is.
    pub fleet: Arc<Fleet>,
    /// Of the dead letters that came in again.
    again: Arc<InputAccount>,
    /// Reads the configuration again.
    load: OnceLock<Load>,
    stopping: AtomicBool,
}

/// Where dead letters come in again: no input can be called so.
pub const AGAIN: &str = "dead letters";

/// See [`Router::reload_by`].
pub type Load = Box<dyn Fn() -> Result<Plan, String> + Send + Sync>;

/// How often another configuration came.
#[derive(Debug, Default)]
pub struct Reloads {
    /// And was applied.
    pub applied: AtomicU64,
    /// And was refused.
    pub refused: AtomicU64,
}

#[derive(Default)]
struct Parts {
    own: Option<(watch::Sender<bool>, JoinHandle<()>)>,
    /// What the router's own port speaks TLS with.
    tls: Option<Acceptor>,
    inputs: Vec<RunningInput>,
    endpoints: Vec<RunningEndpoint>,
    drain: Duration,
    settings: Option<crate::config::RouterSettings>,
    topology: Topology,
    /// The editors, to be opened for whoever asks what they would do.
    editors: Vec<FilterPlan>,
    free_floor: u64,
}

impl Parts {
    /// What is told about a configuration.
    fn describe(&mut self, plan: &Plan) {
        self.drain = plan.router.drain.duration();
        self.topology = Topology::of(plan);
        self.editors = plan.editors();
        self.free_floor = plan.spool.free_floor.bytes();
    }
}

struct RunningInput {
    name: String,
    section: metlog_settings::Node,
    number: u32,
    place: String,
    account: Arc<InputAccount>,
    stop: watch::Sender<bool>,
    task: Option<JoinHandle<()>>,
    again: Again,
    /// Reads its files again; another one whenever it was opened again.
    renew: Arc<Mutex<Option<Renew>>>,
    /// What it is on the router's own port.
    dialects: Option<HttpInput>,
}

/// Opens an input once more.
type Again = Arc<dyn Fn() -> Result<Option<Box<dyn Input>>, String> + Send + Sync>;

struct RunningEndpoint {
    name: String,
    section: metlog_settings::Node,
    /// Shared with whoever gives it an order: that may take a moment, and nobody else must wait for it.
    delivery: Arc<Delivery>,
}

/// What a stop left behind.
#[derive(Debug, Clone, Default, PartialEq, Eq, serde::Serialize)]
pub struct Left {
    /// Messages still in the spool, by endpoint; they are delivered after the next start.
    pub waiting: BTreeMap<String, u64>,
    /// Endpoints that did not come back from a call in time.
    pub hanging: Vec<String>,
}

impl Router {
    /// Opens everything and starts. Whatever does not open ends the start, and nothing stays open.
    ///
    /// # Errors
    /// What did not open, and what would be right.
    pub fn start(plan: &Plan, runtime: &Handle) -> Result<(Arc<Router>, Recovery), String> {
        Router::start_by(plan, runtime, Clock::default())
    }

    /// The same, with deliverers that wait by this clock.
    ///
    /// # Errors
    /// As of [`Router::start`].
    pub fn start_by(plan: &Plan, runtime: &Handle, clock: Clock) -> Result<(Arc<Router>, Recovery), String> {
        let _in_runtime = runtime.enter();
        let data = &plan.router.data;
        let (forwards, from) = Forwards::open(data);
        let (spool, recovery) = open_spool(plan)?;
        let dead = DeadLetters::new(data.join("dead-letters"), plan.router.dead_letter_bytes.bytes());
        let mut floor = Floor::new(spool, dead, plan.router.limits(), Routes::new(Vec::new(), Vec::new()));
        floor.identity = identity::of(&data.join("spool"))?;
        floor.clock = clock;
        if let Err(error) = floor.clients.remember(&floor.spool, &floor.limits) {
            crate::say!("spool: {error}; what clients send again may come in twice");
        }
        let known = forwards.begin(&floor.spool, from, recovery.fresh);
        known.map_err(|error| format!("what other routers have forwarded cannot be known: {error}"))?;
        floor.forwards = forwards;
        let floor = Arc::new(floor);
        let gate = Arc::<Gate>::default();
        gate.set(&plan.keys);
        let mut opened = Vec::new();
        for endpoint in &plan.endpoints {
            opened.push(open_endpoint(endpoint)?);
        }
        // After the endpoints, which make what is not there yet.
        let kept = Arc::<Kept>::default();
        kept.set(kept.open(plan.store())?);
        let ports = Ports::default();
        let ground = Ground { gate: gate.clone(), kept: kept.clone(), floor: floor.clone(), ports: ports.clone() };
        let mut inputs = Vec::new();
        for input in &plan.inputs {
            inputs.push(open_input(input, &ground)?);
        }
        let own = http::own(&plan.router, &gate)?;
        let beacon = plan.fleet.as_ref().map(FleetPlan::open).transpose()?;
        let slots = slots(plan, &floor)?;
        floor.set_rules(plan.routes(&slots)?, plan.edits(None)?);
        let router = Arc::new(Router {
            floor,
            started: Instant::now(),
            reloads: Reloads::default(),
            gate: gate.clone(),
            kept,
            runtime: runtime.clone(),
            parts: Mutex::default(),
            janitor: Mutex::default(),
            ports,
            started_at: Timestamp::now(),
            trend: Mutex::default(),
            fleet: Arc::default(),
            again: Arc::new(InputAccount::new(AGAIN)),
            load: OnceLock::new(),
            stopping: AtomicBool::new(false),
        });
        {
            let mut parts = router.parts();
            parts.describe(plan);
            parts.settings = Some(plan.router.clone());
            for (endpoint, first) in plan.endpoints.iter().zip(opened) {
                let slot = slots.get(&endpoint.name).copied().unwrap_or_default();
                let account = router.new_account(&endpoint.name, slot);
                parts.endpoints.push(router.serve(endpoint, first, account, false)?);
            }
            for ((number, input), opened) in (0..).zip(&plan.inputs).zip(inputs) {
                let account = Arc::new(InputAccount::new(&input.name));
                let running = router.run_input(input, opened, number, account);
                parts.inputs.push(running);
            }
            if let Some(server) = own {
                router.serve_own(&mut parts, server)?;
            }
        }
        router.start_janitor();
        router.fleet.configure(plan.fleet.as_ref(), beacon, &router, runtime);
        Ok((router, recovery))
    }

    fn ground(&self) -> Ground {
        Ground {
            gate: self.gate.clone(),
            kept: self.kept.clone(),
            floor: self.floor.clone(),
            ports: self.ports.clone(),
        }
    }

    fn parts(&self) -> MutexGuard<'_, Parts> {
        self.parts.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn new_account(&self, name: &str, slot: u32) -> Arc<EndpointAccount> {
        let before = self.slot(name).map_or((0, 0, 0), |slot| (slot.queued, slot.skipped, slot.lost));
        let wanted = self.floor.wanted.get(slot as usize).map_or(0, |wanted| wanted.load(Relaxed));
        let opened = Opened {
            accepted: self.floor.accepted.load(Relaxed),
            wanted,
            backlog: before.0,
            skipped: before.1,
            lost: before.2,
        };
        Arc::new(EndpointAccount::new(name, slot, opened))
    }

    fn slot(&self, name: &str) -> Option<SlotStatus> {
        self.floor.spool.slots().into_iter().find(|slot| slot.name == name)
    }

    fn serve(
        &self,
        plan: &EndpointPlan,
        first: Box<dyn Endpoint>,
        account: Arc<EndpointAccount>,
        paused: bool,
    ) -> Result<RunningEndpoint, String> {
        let (habits, open) = (plan.habits(&*first), plan.open.clone());
        let delivery = Delivery::start(self.floor.clone(), account, first, open, habits, plan.workers, paused)?;
        Ok(RunningEndpoint { name: plan.name.clone(), section: plan.section.clone(), delivery: Arc::new(delivery) })
    }

    fn run_input(
        &self,
        plan: &InputPlan,
        opened: Option<Box<dyn Input>>,
        number: u32,
        account: Arc<InputAccount>,
    ) -> RunningInput {
        let again = Arc::new(plan.reopen(self.ground()));
        let mut running = self.start_input(plan.name.clone(), plan.section.clone(), opened, again, number, account);
        running.dialects = plan.on_own_port().cloned();
        running
    }

    fn start_input(
        &self,
        name: String,
        section: metlog_settings::Node,
        opened: Option<Box<dyn Input>>,
        again: Again,
        number: u32,
        account: Arc<InputAccount>,
    ) -> RunningInput {
        let (tell, stop) = Stop::new();
        let place = opened.as_ref().map_or_else(|| "http".to_owned(), |input| input.place());
        let renew = Arc::new(Mutex::new(opened.as_ref().and_then(|input| input.renew())));
        let task = opened.map(|input| {
            let inlet = Inlet::new(Box::new(Door::new(self.floor.clone(), account.clone(), number)));
            self.runtime.spawn(supervise(name.clone(), input, again.clone(), renew.clone(), inlet, stop))
        });
        RunningInput { name, section, number, place, account, stop: tell, task, again, renew, dialects: None }
    }

    /// The router's own port: what it says of itself, and the dialects of inputs without a port of their own.
    fn serve_own(self: &Arc<Self>, parts: &mut Parts, server: Server) -> Result<(), String> {
        let mut routes = http::about(self, &server.guard());
        let mut home = Fragments::new();
        let at = server.url();
        parts.tls = server.tls();
        for input in &mut parts.inputs {
            let Some(dialects) = &input.dialects else { continue };
            let inlet = Inlet::new(Box::new(Door::new(self.floor.clone(), input.account.clone(), input.number)));
            let (spoken, said) = http::dialects(&server, dialects, &inlet)?;
            routes = routes.merge(spoken);
            home.extend(said);
            input.place.clone_from(&at);
        }
        routes = self.ground().under_page(&server, routes, home);
        self.ports.lock().unwrap_or_else(PoisonError::into_inner).insert(at, server.counters());
        let (tell, stop) = Stop::new();
        let task = self.runtime.spawn(async move {
            if let Err(error) = server.serve(routes, stop).await {
                crate::say!("the HTTP port is gone: {error}");
            }
        });
        parts.own = Some((tell, task));
        Ok(())
    }

    /// What has to be looked after by the clock.
    fn start_janitor(self: &Arc<Self>) {
        let (tell, stop) = Stop::new();
        let router = Arc::downgrade(self);
        let task = self.runtime.spawn(async move {
            let mut worries = Worries::default();
            while !stop.is_stopped() {
                tokio::select! {
                    () = tokio::time::sleep(Duration::from_secs(1)) => {}
                    () = stop.stopped() => {}
                }
                let Some(router) = router.upgrade() else { return };
                let looked = tokio::task::spawn_blocking(move || {
                    worries.look(&router);
                    worries
                });
                match looked.await {
                    Ok(after) => worries = after,
                    Err(_) => return,
                }
            }
        });
        *self.janitor.lock().unwrap_or_else(PoisonError::into_inner) = Some((tell, task));
    }

    /// What it listens on: name and place.
    pub fn places(&self) -> Vec<(String, String)> {
        self.parts().inputs.iter().map(|input| (input.name.clone(), input.place.clone())).collect()
    }

    /// A way in for messages that come through HTTP, as the input of this name.
    pub fn inlet(&self, input: &str) -> Option<Inlet> {
        let parts = self.parts();
        let input = parts.inputs.iter().find(|running| running.name == input)?;
        Some(Inlet::new(Box::new(Door::new(self.floor.clone(), input.account.clone(), input.number))))
    }

    /// A way back in for dead letters: those of this endpoint to it alone, those of an input as if they came there again.
    /// `None`: there is no such one any more.
    pub fn way_back(&self, from: &str) -> Option<Inlet> {
        let parts = self.parts();
        let (input, only) = match from.split_once(' ')? {
            ("input", name) => (parts.inputs.iter().find(|running| running.name == name)?.number, None),
            ("endpoint", name) => {
                let running = parts.endpoints.iter().find(|running| running.name == name)?;
                (0, Some(running.delivery.account().slot))
            }
            _ => return None,
        };
        Some(Inlet::new(Box::new(Door::again(self.floor.clone(), self.again.clone(), input, only))))
    }

    /// What is configured.
    pub fn topology(&self) -> Topology {
        self.parts().topology.clone()
    }

    /// The number of an input, the first one's if none is named. `None`: there is none of this name.
    pub fn input_number(&self, name: Option<&str>) -> Option<u32> {
        let parts = self.parts();
        match name {
            None => Some(parts.inputs.first().map_or(0, |running| running.number)),
            Some(name) => parts.inputs.iter().find(|running| running.name == name).map(|running| running.number),
        }
    }

    /// A fresh way past the editors: what it sees counts nowhere.
    ///
    /// # Errors
    /// If one does not open.
    pub fn fresh_hand(&self) -> Result<Option<Hand>, String> {
        let editors = self.parts().editors.clone();
        Ok(config::edits(&editors, None)?.map(|edits| edits.hand()))
    }

    /// Whether it stops. Who looks on has to leave then, or would keep it waiting.
    pub fn is_stopping(&self) -> bool {
        self.stopping.load(Relaxed)
    }

    /// What the spool leaves free on its disk.
    pub fn free_floor(&self) -> u64 {
        self.parts().free_floor
    }

    /// How long a stop may take.
    pub fn drain(&self) -> Duration {
        self.parts().drain
    }

    /// Does something with the delivery of an endpoint; `None`: there is none of this name.
    fn with_delivery<T>(&self, endpoint: &str, act: impl FnOnce(&Delivery) -> T) -> Option<T> {
        let delivery = self.parts().endpoints.iter().find(|running| running.name == endpoint)?.delivery.clone();
        Some(act(&delivery))
    }

    /// How an endpoint is being served.
    pub fn standing(&self, endpoint: &str) -> Standing {
        let of = |delivery: &Delivery| Standing { paused: delivery.is_paused(), again: delivery.progress() };
        self.with_delivery(endpoint, of).unwrap_or_default()
    }

    /// Holds an endpoint up, or lets it go on. Its messages are kept meanwhile; a reload changes nothing about it, a
    /// restart lets it go on. How many messages wait for it; `None`: there is none of this name.
    pub fn pause(&self, endpoint: &str, paused: bool) -> Option<u64> {
        self.with_delivery(endpoint, |delivery| {
            if delivery.is_paused() != paused {
                crate::say!("endpoint `{endpoint}` is {}", if paused { "paused" } else { "resumed" });
                delivery.pause(paused);
            }
        })?;
        Some(self.slot(endpoint).map_or(0, |slot| slot.queued))
    }

    /// Delivers a period to an endpoint again; see [`Delivery::again`]. `None`: there is none of this name.
    ///
    /// # Errors
    /// If that goes on already, or the spool cannot be read.
    pub fn again(&self, endpoint: &str, period: Period) -> Option<Result<Progress, String>> {
        self.with_delivery(endpoint, |delivery| delivery.again(period))
    }

    /// How [`Router::reload_again`] gets the configuration.
    pub fn reload_by(&self, load: Load) {
        // Told once, at the start.
        let _ = self.load.set(load);
    }

    /// Reads the configuration again and reloads, as SIGHUP does, and says what came of it.
    ///
    /// # Errors
    /// What is wrong; then the old configuration goes on as it was.
    pub fn reload_again(self: &Arc<Self>) -> Result<Changes, String> {
        let load = self.load.get().ok_or("this router cannot read its configuration again")?;
        self.reopen();
        let done = match load() {
            Ok(plan) => self.reload(&plan),
            Err(why) => {
                self.reloads.refused.fetch_add(1, Relaxed);
                Err(why)
            }
        };
        match &done {
            Ok(changes) => crate::say!("reloaded: {changes}"),
            Err(why) => {
                crate::say!("reload refused, the running configuration stays:");
                why.lines().for_each(|line| crate::say!("  {line}"));
            }
        }
        done
    }

    /// The account of every message, at a moment when nothing is between two counters.
    pub fn account(&self) -> Account {
        let mut account = self.account_now();
        for _ in 0..50 {
            if account.unaccounted() == 0 {
                break;
            }
            std::thread::sleep(Duration::from_millis(1));
            account = self.account_now();
        }
        account
    }

    fn account_now(&self) -> Account {
        let parts = self.parts();
        let now = Timestamp::now().nanos();
        let inputs = parts.inputs.iter().map(|input| {
            let counts = input.account.counts();
            (input.name.clone(), InputLine { counts, unaccounted: counts.unaccounted() })
        });
        let mut inputs: BTreeMap<String, InputLine> = inputs.collect();
        let again = self.again.counts();
        if again.received > 0 {
            inputs.insert(AGAIN.to_owned(), InputLine { counts: again, unaccounted: again.unaccounted() });
        }
        let endpoints = parts.endpoints.iter().map(|running| self.endpoint_line(running.delivery.account(), now));
        Account { inputs, endpoints: endpoints.collect() }
    }

    fn endpoint_line(&self, account: &EndpointAccount, now: i64) -> EndpointLine {
        let (counts, slot) = account.counts(|| self.slot(&account.name));
        let numbers = slot.as_ref().map_or((0, 0, 0), |slot| (slot.queued, slot.skipped, slot.lost));
        let (queued, skipped, lost) = numbers;
        let wanted = self.floor.wanted.get(account.slot as usize).map_or(0, |wanted| wanted.load(Relaxed));
        let wanted = wanted - account.opened.wanted;
        let accepted = self.floor.accepted.load(Relaxed) - account.opened.accepted;
        let (skipped, lost) = (skipped - account.opened.skipped, lost - account.opened.lost);
        let told = counts.sum() + counts.in_flight + skipped + lost + queued;
        // Between the two counters of a commit more is wanted than accepted; then it does not add up, and is asked again.
        let filtered = accepted.saturating_sub(wanted);
        let oldest =
            slot.and_then(|slot| slot.oldest).map_or(0, |received| now.saturating_sub(received).max(0) / 1_000_000);
        EndpointLine {
            name: account.name.clone(),
            accepted: accepted + account.opened.backlog,
            filtered,
            counts,
            skipped,
            lost,
            buffered: queued + counts.in_flight,
            backlog: account.opened.backlog,
            failures: account.failures.load(Relaxed),
            redelivered: account.redelivered.load(Relaxed),
            oldest_ms: oldest.cast_unsigned(),
            state: account.state(),
            unaccounted: (accepted + account.opened.backlog - filtered).wrapping_sub(told).cast_signed(),
        }
    }

    /// Files and sockets of endpoints are opened anew.
    pub fn reopen(&self) {
        self.parts().endpoints.iter().for_each(|running| running.delivery.reopen());
    }

    fn end_input(&self, input: &RunningInput) {
        let _ = input.stop.send(true);
        let by = Instant::now() + Duration::from_secs(5);
        while input.task.as_ref().is_some_and(|task| !task.is_finished()) && Instant::now() < by {
            std::thread::sleep(Duration::from_millis(2));
        }
        if let Some(task) = &input.task {
            task.abort();
        }
    }

    /// Stops: first the inputs, then the endpoints with what there is, then the spool. Blocks.
    pub fn stop(&self, by: Instant) -> Left {
        self.stopping.store(true, Relaxed);
        let (own, inputs, endpoints) = {
            let mut parts = self.parts();
            (parts.own.take(), std::mem::take(&mut parts.inputs), std::mem::take(&mut parts.endpoints))
        };
        for input in &inputs {
            // Nobody listens any more: it has ended already.
            let _ = input.stop.send(true);
        }
        inputs.iter().for_each(|input| self.end_input(input));
        if let Some((tell, task)) = own {
            let _ = tell.send(true);
            let wait = Instant::now() + Duration::from_secs(3);
            while !task.is_finished() && Instant::now() < wait {
                std::thread::sleep(Duration::from_millis(2));
            }
            task.abort();
        }
        endpoints.iter().for_each(|running| running.delivery.stop(by));
        let mut left = Left::default();
        for running in &endpoints {
            if !running.delivery.join(by + Duration::from_secs(1)) {
                left.hanging.push(running.name.clone());
            }
        }
        if let Some((tell, _)) = self.janitor.lock().unwrap_or_else(PoisonError::into_inner).take() {
            let _ = tell.send(true);
        }
        let _ = self.floor.dead.sync();
        self.floor.spool.close();
        self.floor.forwards.look(&self.floor.spool, true);
        left.waiting = self
            .floor
            .spool
            .slots()
            .into_iter()
            .filter(|slot| slot.queued > 0)
            .map(|slot| (slot.name, slot.queued))
            .collect();
        // Whoever asks for the account afterwards gets the last one.
        let mut parts = self.parts();
        (parts.inputs, parts.endpoints) = (inputs, endpoints);
        drop(parts);
        self.fleet.leave(self);
        left
    }
}

/// What somebody should hear of once, and not every second.
#[derive(Default)]
struct Worries {
    seconds: u64,
    unaccounted: u64,
    /// Tenths of the spool's room that were full when it was last told.
    full: u64,
}

impl Worries {
    fn look(&mut self, router: &Router) {
        // A failure is counted there, and shows in the status.
        let _ = router.floor.dead.sync();
        let refusing = router.floor.refusing.lock().unwrap_or_else(PoisonError::into_inner).is_some();
        router.floor.forwards.look(&router.floor.spool, refusing);
        let spool = router.floor.spool.status();
        let slots = router.floor.spool.slots();
        router.trend.lock().unwrap_or_else(PoisonError::into_inner).look(&spool, &slots, Instant::now());
        let full = spool.bytes.saturating_mul(10) / spool.max_bytes.max(1);
        if full >= 7 && full > self.full {
            crate::say!(
                "the spool takes {full}0 % of its {} bytes; `metlog-router status` says for whom",
                spool.max_bytes
            );
        }
        self.full = full;
        self.seconds += 1;
        if self.seconds.is_multiple_of(10) {
            let unaccounted = router.account().unaccounted();
            if unaccounted != 0 && unaccounted == self.unaccounted {
                crate::say!(
                    "{unaccounted} messages are unaccounted for: this is a fault of the router, please report it"
                );
            }
            self.unaccounted = unaccounted;
        }
    }
}

/// Whether two sections say the same, wherever they stand.
fn same(a: &metlog_settings::Node, b: &metlog_settings::Node) -> bool {
    a.to_json() == b.to_json()
}

/// Its files stay until they have been looked through for what clients and other routers had sent.
fn open_spool(plan: &Plan) -> Result<(Arc<Spool>, Recovery), String> {
    let directory = plan.router.data.join("spool");
    let disk = Disk::open(&directory).map_err(|error| error.to_string())?;
    let options = metlog_spool::Options { hold: 0, ..plan.spool.options() };
    Spool::open(disk, options).map_err(|error| error.to_string())
}

fn open_endpoint(plan: &EndpointPlan) -> Result<Box<dyn Endpoint>, String> {
    (plan.open)().map_err(|why| format!("endpoint `{}`: {why}", plan.name))
}

fn open_input(plan: &InputPlan, ground: &Ground) -> Result<Option<Box<dyn Input>>, String> {
    plan.open(ground).map_err(|why| format!("input `{}`: {why}", plan.name))
}

fn slots(plan: &Plan, floor: &Floor) -> Result<BTreeMap<String, u32>, String> {
    let slot =
        |endpoint: &EndpointPlan| Ok((endpoint.name.clone(), floor.spool.slot(&endpoint.name, endpoint.required)?));
    plan.endpoints.iter().map(slot).collect()
}

/// Runs an input, and opens it again when it fails: what an input cannot do now it may be able to do later.
async fn supervise(
    name: String,
    first: Box<dyn Input>,
    again: Again,
    renew: Arc<Mutex<Option<Renew>>>,
    inlet: Inlet,
    stop: Stop,
) {
    let mut input = first;
    loop {
        let run = tokio::spawn(input.run(inlet.another(), stop.clone()));
        let Err(why) = run.await.unwrap_or_else(|error| Err(error.to_string())) else { return };
        crate::say!("input `{name}`: {why}; it is opened again");
        input = loop {
            tokio::select! {
                () = tokio::time::sleep(Duration::from_secs(1)) => {}
                () = stop.stopped() => return,
            }
            match again() {
                Ok(Some(fresh)) => {
                    *renew.lock().unwrap_or_else(PoisonError::into_inner) = fresh.renew();
                    break fresh;
                }
                Ok(None) => return,
                Err(why) => crate::say!("input `{name}`: {why}"),
            }
        };
    }
}
