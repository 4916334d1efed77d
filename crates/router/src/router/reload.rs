//! Another configuration while the router runs: what changed is opened anew, what stays is not touched, and on any error
//! everything stays.

use super::inputs::{RunningInput, open_input};
use super::{Parts, Router, RunningEndpoint, open_endpoint, same, slots};
use crate::accounting::InputAccount;
use crate::config::{EndpointPlan, FleetPlan, Plan};
use metlog_http::server::keys::{Key, Keys};
use metlog_pipeline::Input;
use std::sync::atomic::Ordering::Relaxed;
use std::sync::{Arc, PoisonError};
use std::time::{Duration, Instant};

/// Puts files in force that were read and found right.
type Renewal = Box<dyn FnOnce() + Send>;

/// What changed at a reload.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Changes {
    /// New inputs, endpoints and keys.
    pub added: Vec<String>,
    /// Opened anew.
    pub changed: Vec<String>,
    /// Gone. What an endpoint had not delivered stays in the spool under its name.
    pub removed: Vec<String>,
    /// Untouched, but for certificates, which were read again; connections that exist go on with the old ones.
    pub renewed: Vec<String>,
}

impl std::fmt::Display for Changes {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let parts = [
            ("added", &self.added),
            ("changed", &self.changed),
            ("removed", &self.removed),
            ("certificates read again:", &self.renewed),
        ];
        let mut said = parts.iter().filter(|(_, names)| !names.is_empty()).peekable();
        if said.peek().is_none() {
            return f.write_str("filters only, or nothing");
        }
        let said: Vec<String> = said.map(|(what, names)| format!("{what} {}", names.join(", "))).collect();
        f.write_str(&said.join("; "))
    }
}

impl Router {
    /// Another configuration from now on. Everything new is opened before anything old is closed, but for what would
    /// collide with itself; if anything does not open, the old configuration goes on as it was.
    ///
    /// # Errors
    /// What did not open.
    pub fn reload(self: &Arc<Self>, plan: &Plan) -> Result<Changes, String> {
        let _in_runtime = self.runtime.enter();
        let result = self.swap_all(plan);
        let count = if result.is_ok() { &self.reloads.applied } else { &self.reloads.refused };
        count.fetch_add(1, Relaxed);
        result
    }

    fn swap_all(self: &Arc<Self>, plan: &Plan) -> Result<Changes, String> {
        let before = self.fleet.section();
        let stays = match (&before, &plan.fleet) {
            (Some(before), Some(after)) => same(before, &after.section),
            (before, after) => before.is_none() && after.is_none(),
        };
        let beacon = plan.fleet.as_ref().filter(|_| !stays).map(FleetPlan::open).transpose()?;
        let mut changes = self.swap(plan)?;
        if !stays {
            let list = match (before, &plan.fleet) {
                (None, _) => &mut changes.added,
                (Some(_), Some(_)) => &mut changes.changed,
                (Some(_), None) => &mut changes.removed,
            };
            list.push("fleet".to_owned());
            self.fleet.configure(plan.fleet.as_ref(), beacon, self, &self.runtime);
        }
        Ok(changes)
    }

    fn swap(self: &Arc<Self>, plan: &Plan) -> Result<Changes, String> {
        let mut parts = self.parts();
        if parts.settings.as_ref().is_some_and(|old| old.data != plan.router.data || old.http != plan.router.http) {
            return Err("`router.data` and `router.http` change with a restart only".to_owned());
        }
        let own =
            |name: &str, number: u32, section: &metlog_settings::Node| format!("{name} {number} {}", section.to_json());
        let running = parts.inputs.iter().filter(|input| input.dialects.is_some());
        let before: Vec<String> = running.map(|input| own(&input.name, input.number, &input.section)).collect();
        let wanted = (0..).zip(&plan.inputs).filter(|(_, input)| input.on_own_port().is_some());
        let after: Vec<String> = wanted.map(|(number, input)| own(&input.name, number, &input.section)).collect();
        if before != after {
            return Err(
                "HTTP inputs on the router's own port, and their place in the file, change with a restart only"
                    .to_owned(),
            );
        }
        let (renewals, renewed) = Self::renewals(&parts, plan)?;
        let mut changes = Changes { renewed, ..Changes::default() };
        let same_endpoint = |running: &RunningEndpoint, new: &EndpointPlan| {
            running.name == new.name && same(&running.section, &new.section)
        };
        let mut opened = Vec::new();
        for new in &plan.endpoints {
            let stays = parts.endpoints.iter().any(|running| same_endpoint(running, new));
            opened.push(if stays { None } else { Some(open_endpoint(new)?) });
        }
        // Two inputs cannot have one port, so an input that changed is closed before it is opened again.
        let mut inputs = Vec::new();
        for new in &plan.inputs {
            let old = parts.inputs.iter().find(|running| running.name == new.name);
            inputs.push(if old.is_some() { None } else { Some(open_input(new, &self.ground())?) });
        }
        let store = self.kept.open(plan.store())?;
        let slots = slots(plan, &self.floor)?;
        let routes = plan.routes(&slots)?;
        let edits = plan.edits(self.floor.edits().as_deref())?;
        self.swap_inputs(&mut parts, plan, inputs, &mut changes)?;
        renewals.into_iter().for_each(|renewal| renewal());

        let drain = parts.drain.min(Duration::from_secs(5));
        let mut old: Vec<RunningEndpoint> = std::mem::take(&mut parts.endpoints);
        self.floor.set_rules(routes, edits);
        self.kept.set(store);
        let mut threadless = Ok(());
        for (new, opened) in plan.endpoints.iter().zip(opened) {
            let at = old.iter().position(|running| running.name == new.name);
            let before = at.map(|at| old.swap_remove(at));
            let running = match (before, opened) {
                (Some(before), None) => Ok(before),
                (Some(before), Some(opened)) => {
                    changes.changed.push(new.name.clone());
                    let by = Instant::now() + drain;
                    before.delivery.stop(Instant::now());
                    before.delivery.join(by);
                    let (account, paused) = (before.delivery.account().clone(), before.delivery.is_paused());
                    self.serve(new, opened, account, paused)
                }
                (None, Some(opened)) => {
                    changes.added.push(new.name.clone());
                    let slot = slots.get(&new.name).copied().unwrap_or_default();
                    self.serve(new, opened, self.new_account(&new.name, slot), false)
                }
                (None, None) => continue,
            };
            // What a system without another thread cannot serve waits in the spool; the others are served all the same.
            match running {
                Ok(running) => parts.endpoints.push(running),
                Err(why) => threadless = Err(why),
            }
        }
        for gone in old {
            changes.removed.push(gone.name.clone());
            gone.delivery.stop(Instant::now());
            gone.delivery.join(Instant::now() + drain);
            self.floor.spool.release(&gone.name);
        }
        parts.describe(plan);
        threadless.map(|()| changes)
    }

    /// The files of whatever stays, read; what puts them in force, and whose they are.
    fn renewals(parts: &Parts, plan: &Plan) -> Result<(Vec<Renewal>, Vec<String>), String> {
        let (mut renewals, mut whose): (Vec<Renewal>, _) = (Vec::new(), Vec::new());
        match (&parts.tls, &plan.router.tls) {
            (Some(running), Some(identity)) => {
                let renewal = running.renew_as(identity).map_err(|why| format!("[router]: {why}"))?;
                renewals.push(Box::new(move || renewal.apply()));
                whose.push("router.http".to_owned());
            }
            (Some(_), None) | (None, Some(_)) if parts.own.is_some() => {
                return Err("whether `router.http` speaks TLS changes with a restart only".to_owned());
            }
            _ => {}
        }
        for running in &parts.inputs {
            let stays = (0..).zip(&plan.inputs).any(|(number, new): (u32, _)| {
                new.name == running.name && number == running.number && same(&running.section, &new.section)
            });
            let renew = running.renew.lock().unwrap_or_else(PoisonError::into_inner).clone();
            if let Some(renew) = renew.filter(|_| stays) {
                renewals.push(renew().map_err(|why| format!("input `{}`: {why}", running.name))?);
                whose.push(running.name.clone());
            }
        }
        Ok((renewals, whose))
    }

    fn swap_inputs(
        self: &Arc<Self>,
        parts: &mut Parts,
        plan: &Plan,
        opened: Vec<Option<Option<Box<dyn Input>>>>,
        changes: &mut Changes,
    ) -> Result<(), String> {
        let stays = |running: &RunningInput| {
            let new = (0..).zip(&plan.inputs).find(|(_, new)| new.name == running.name);
            new.is_none_or(|(number, new)| same(&running.section, &new.section) && running.number == number)
        };
        parts.inputs.iter().filter(|running| !stays(running)).for_each(|running| self.end_input(running));
        let mut fresh = Vec::new();
        for (new, opened) in plan.inputs.iter().zip(opened) {
            let old = parts.inputs.iter().find(|running| running.name == new.name);
            let opened = match (opened, old) {
                (None, Some(old)) if !stays(old) => open_input(new, &self.ground()).map(Some),
                (opened, _) => Ok(opened),
            };
            match opened {
                Ok(opened) => fresh.push(opened),
                Err(why) => {
                    drop(fresh);
                    self.revive(parts, stays);
                    return Err(why);
                }
            }
        }
        // From here on nothing can fail, and nothing that is new has answered anybody yet.
        self.swap_keys(plan, changes);
        let mut old: Vec<RunningInput> = std::mem::take(&mut parts.inputs);
        for ((number, new), opened) in (0..).zip(&plan.inputs).zip(fresh) {
            let before = old.iter().position(|running| running.name == new.name).map(|at| old.swap_remove(at));
            let running = match (before, opened) {
                (Some(before), None) => before,
                (before, opened) => {
                    let (list, account) = match before {
                        Some(before) => (&mut changes.changed, before.account),
                        None => (&mut changes.added, Arc::new(InputAccount::new(&new.name))),
                    };
                    list.push(new.name.clone());
                    self.run_input(new, opened.flatten(), number, account)
                }
            };
            parts.inputs.push(running);
        }
        for gone in old {
            changes.removed.push(gone.name.clone());
            self.end_input(&gone);
        }
        Ok(())
    }

    fn swap_keys(&self, plan: &Plan, changes: &mut Changes) {
        let old = self.gate.keys();
        self.gate.set(&plan.keys);
        let new = self.gate.keys();
        let say = |key: &Key| format!("key {}", key.name());
        let named = |keys: &Keys, name: &str| keys.all().iter().find(|key| key.name() == name).cloned();
        for key in new.all() {
            match named(&old, key.name()) {
                None => changes.added.push(say(key)),
                Some(before) if !before.is_same(key) => changes.changed.push(say(key)),
                Some(_) => {}
            }
        }
        let gone = old.all().iter().filter(|key| named(&new, key.name()).is_none());
        changes.removed.extend(gone.map(|key| say(key)));
    }

    /// Inputs that were closed for others that did not open.
    fn revive(&self, parts: &mut Parts, stays: impl Fn(&RunningInput) -> bool) {
        for running in parts.inputs.iter_mut().filter(|running| !stays(running)) {
            match (running.again)() {
                Ok(opened) => {
                    let (account, again) = (running.account.clone(), running.again.clone());
                    let (name, section) = (running.name.clone(), running.section.clone());
                    *running = self.start_input(name, section, opened, again, running.number, account);
                }
                Err(why) => crate::say!("input `{}` is gone: {why}", running.name),
            }
        }
    }
}
