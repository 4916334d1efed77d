//! Our own reports: the account as it is now, and what remains of inputs and endpoints that a reload took away, so that
//! the sums of one life only grow.

use super::report::{Cut, EndpointPart, FORM, InputPart, Report, SpoolPart};
use super::sums::{EndpointSums, InputSums, Sums};
use crate::accounting::{Account, Doing, EndpointLine};
use crate::router::Router;
use crate::topology::Topology;
use std::collections::BTreeMap;

/// Endpoints that are gone and whose messages wait, one by one; what waits for more of them counts as gone on.
const MOST_LEFT: usize = 256;

/// Makes reports.
#[derive(Debug, Default)]
pub struct Teller {
    instance: String,
    name: String,
    every: u64,
    number: u64,
    /// What each part had when it was last told.
    inputs: BTreeMap<String, (String, InputSums)>,
    endpoints: BTreeMap<String, (String, EndpointSums)>,
    /// Endpoints that are not configured any more; what waited for them may be theirs again.
    left: BTreeMap<String, EndpointSums>,
    /// Of parts that are gone for good.
    gone: Sums,
    backlog: Option<u64>,
}

impl Teller {
    /// For this life of the router.
    pub fn new(instance: &str) -> Self {
        Teller { instance: instance.to_owned(), ..Teller::default() }
    }

    /// What the router is called from now on, and how often it reports, in milliseconds.
    pub fn call(&mut self, name: &str, every: u64) {
        name.clone_into(&mut self.name);
        self.every = every;
    }

    /// A report; `ends`: it is the last one. `None`: the router is stopping, and its parts are not where they belong.
    pub fn report(&mut self, router: &Router, ends: bool) -> Option<Report> {
        let account = router.account();
        if router.is_stopping() && !ends {
            return None;
        }
        let (topology, spool) = (router.topology(), router.floor.spool.status());
        self.number += 1;
        let sums = self.sum(&account, &topology);
        let mut endpoint_parts: Vec<EndpointPart> =
            account.endpoints.iter().map(|line| endpoint_part(line, &topology, router)).collect();
        // If any must be left out, then those of which there is the least to say.
        endpoint_parts.sort_by_key(|part| (part.state == "running", std::cmp::Reverse(part.buffered)));
        let input_parts = account.inputs.iter().map(|(name, line)| {
            let InputSums { received, accepted, refused, .. } = (&line.counts).into();
            InputPart { name: name.clone(), kind: input_kind(&topology, name), received, accepted, refused }
        });
        Some(Report {
            form: FORM,
            name: self.name.clone(),
            instance: self.instance.clone(),
            version: env!("CARGO_PKG_VERSION").to_owned(),
            started: u64::try_from(router.started_at.nanos() / 1_000_000).unwrap_or_default(),
            uptime: u64::try_from(router.started.elapsed().as_millis()).unwrap_or(u64::MAX),
            every: self.every,
            number: self.number,
            ends,
            sums,
            backlog: self.backlog.unwrap_or_default(),
            oldest: account.endpoints.iter().map(|line| line.oldest_ms).max().unwrap_or_default(),
            unaccounted: account.unaccounted(),
            spool: SpoolPart { bytes: spool.bytes, max_bytes: spool.max_bytes },
            input_parts: input_parts.collect(),
            endpoint_parts,
            cut: Cut::default(),
        })
    }

    fn sum(&mut self, account: &Account, topology: &Topology) -> Sums {
        self.backlog.get_or_insert_with(|| account.endpoints.iter().map(|line| line.backlog).sum());
        let mut sums = Sums::default();
        let mut before = std::mem::take(&mut self.inputs);
        for (name, line) in &account.inputs {
            let now = InputSums::from(&line.counts);
            if let Some((kind, old)) = before.remove(name)
                && old.received > now.received
            {
                self.bury_input(&kind, old);
            }
            let kind = input_kind(topology, name);
            sums.inputs.add(now);
            sums.transport(&kind).taken += now.received;
            self.inputs.insert(name.clone(), (kind, now));
        }
        for (kind, old) in before.into_values() {
            self.bury_input(&kind, old);
        }
        let mut before = std::mem::take(&mut self.endpoints);
        for line in &account.endpoints {
            let now = EndpointSums::from(line);
            let again = before.remove(&line.name).filter(|(_, old)| old.accepted > now.accepted);
            let left = again.map(|(kind, old)| self.count_out(&kind, old)).or_else(|| self.left.remove(&line.name));
            if let Some(left) = left {
                self.gone.endpoints.add(left.followed(line.backlog));
            }
            let kind = endpoint_kind(topology, &line.name);
            sums.endpoints.add(now);
            sums.transport(&kind).given += now.delivered;
            self.endpoints.insert(line.name.clone(), (kind, now));
        }
        for (name, (kind, old)) in before {
            let old = self.count_out(&kind, old);
            if self.left.len() < MOST_LEFT {
                self.left.insert(name, old);
            } else {
                self.gone.endpoints.add(old.followed(0));
            }
        }
        self.left.values().for_each(|left| sums.endpoints.add(*left));
        sums.add(&self.gone);
        sums
    }

    fn bury_input(&mut self, kind: &str, sums: InputSums) {
        self.gone.inputs.add(sums);
        self.gone.transport(kind).taken += sums.received;
    }

    /// What an endpoint that is gone had given; its other numbers still have to go somewhere.
    fn count_out(&mut self, kind: &str, sums: EndpointSums) -> EndpointSums {
        self.gone.transport(kind).given += sums.delivered;
        sums
    }
}

fn input_kind(topology: &Topology, name: &str) -> String {
    let kind = topology.inputs.iter().find(|(input, _)| input == name).map(|(_, kind)| kind.as_str());
    kind.unwrap_or(crate::router::AGAIN).to_owned()
}

fn endpoint_kind(topology: &Topology, name: &str) -> String {
    let kind = topology.endpoints.iter().find(|shape| shape.name == name).map(|shape| shape.kind.as_str());
    kind.unwrap_or("other").to_owned()
}

fn endpoint_part(line: &EndpointLine, topology: &Topology, router: &Router) -> EndpointPart {
    let state = match line.state.doing {
        _ if router.standing(&line.name).paused => "paused",
        Doing::Paused => "held",
        Doing::Retrying => "retrying",
        Doing::Running => "running",
        Doing::Stopped => "stopped",
    };
    EndpointPart {
        name: line.name.clone(),
        kind: endpoint_kind(topology, &line.name),
        state: state.to_owned(),
        delivered: line.counts.delivered,
        buffered: line.buffered,
        oldest: line.oldest_ms,
        error: line.state.error.clone().filter(|_| ["held", "retrying"].contains(&state)),
    }
}
