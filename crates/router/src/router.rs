//! The router put together: opened as a whole, reloaded as a whole, stopped in the order in which messages flow.

mod account;
mod inputs;
mod janitor;
mod reload;

pub use reload::Changes;

use crate::accounting::{EndpointAccount, InputAccount};
use crate::config::{self, EndpointPlan, FilterPlan, FleetPlan, Plan};
use crate::deadletters::DeadLetters;
use crate::deliver::{Clock, Delivery, Opened, Period, Progress};
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
use inputs::{RunningInput, open_input};
use metlog_http::server::Gate;
use metlog_message::Timestamp;
use metlog_pipeline::Inlet;
use metlog_spool::{Disk, Recovery, Spool};
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
            for (endpoint, opened) in plan.endpoints.iter().zip(opened) {
                let slot = slots.get(&endpoint.name).copied().unwrap_or_default();
                let account = router.new_account(&endpoint.name, slot);
                parts.endpoints.push(router.serve(endpoint, opened, account, false)?);
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

    fn serve(
        &self,
        plan: &EndpointPlan,
        opened: Opened,
        account: Arc<EndpointAccount>,
        paused: bool,
    ) -> Result<RunningEndpoint, String> {
        let (habits, open) = (plan.habits(&*opened.0), plan.open.clone());
        let delivery = Delivery::start(self.floor.clone(), account, opened, open, habits, paused)?;
        Ok(RunningEndpoint { name: plan.name.clone(), section: plan.section.clone(), delivery: Arc::new(delivery) })
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

    /// Files and sockets of endpoints are opened anew.
    pub fn reopen(&self) {
        self.parts().endpoints.iter().for_each(|running| running.delivery.reopen());
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

/// All its instances, so that what serves it cannot fail for a wrong address.
fn open_endpoint(plan: &EndpointPlan) -> Result<Opened, String> {
    let open = || (plan.open)().map_err(|why| format!("endpoint `{}`: {why}", plan.name));
    Ok((open()?, (1..plan.workers).map(|_| open()).collect::<Result<_, _>>()?))
}

fn slots(plan: &Plan, floor: &Floor) -> Result<BTreeMap<String, u32>, String> {
    let slot =
        |endpoint: &EndpointPlan| Ok((endpoint.name.clone(), floor.spool.slot(&endpoint.name, endpoint.required)?));
    plan.endpoints.iter().map(slot).collect()
}
