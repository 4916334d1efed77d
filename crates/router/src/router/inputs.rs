//! Inputs while they run: on ports of their own, or all together on the router's.

use super::{Parts, Router};
use crate::accounting::InputAccount;
use crate::config::{HttpInput, InputPlan};
use crate::http::{self, Ground};
use crate::intake::Door;
use metlog_http::server::{Fragments, Server};
use metlog_pipeline::input::Renew;
use metlog_pipeline::{Inlet, Input, Stop};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};
use tokio::sync::watch;
use tokio::task::JoinHandle;

pub(super) struct RunningInput {
    pub(super) name: String,
    pub(super) section: metlog_settings::Node,
    pub(super) number: u32,
    pub(super) place: String,
    pub(super) account: Arc<InputAccount>,
    pub(super) stop: watch::Sender<bool>,
    pub(super) task: Option<JoinHandle<()>>,
    pub(super) again: Again,
    /// Reads its files again; another one whenever it was opened again.
    pub(super) renew: Arc<Mutex<Option<Renew>>>,
    /// What it is on the router's own port.
    pub(super) dialects: Option<HttpInput>,
}

/// Opens an input once more.
pub(super) type Again = Arc<dyn Fn() -> Result<Option<Box<dyn Input>>, String> + Send + Sync>;

impl Router {
    pub(super) fn run_input(
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

    pub(super) fn start_input(
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
    pub(super) fn serve_own(self: &Arc<Self>, parts: &mut Parts, server: Server) -> Result<(), String> {
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

    pub(super) fn end_input(&self, input: &RunningInput) {
        let _ = input.stop.send(true);
        let by = Instant::now() + Duration::from_secs(5);
        while input.task.as_ref().is_some_and(|task| !task.is_finished()) && Instant::now() < by {
            std::thread::sleep(Duration::from_millis(2));
        }
        if let Some(task) = &input.task {
            task.abort();
        }
    }
}

pub(super) fn open_input(plan: &InputPlan, ground: &Ground) -> Result<Option<Box<dyn Input>>, String> {
    plan.open(ground).map_err(|why| format!("input `{}`: {why}", plan.name))
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
