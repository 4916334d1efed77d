//! `/v1/status`: everything there is to know about a running router, for programs; `metlog-router status` prints it for
//! people.

use crate::accounting::Account;
use crate::clients::{ClientLosses, Losses};
use crate::deadletters::Totals;
use crate::router::Router;
use metlog_http::server::Counters;
use serde::Serialize;
use std::collections::BTreeMap;
use std::sync::PoisonError;

/// All of it.
#[derive(Debug, Serialize)]
pub struct Status {
    version: &'static str,
    uptime_seconds: u64,
    /// The law, line by line.
    #[serde(flatten)]
    account: Account,
    unaccounted: u64,
    places: BTreeMap<String, String>,
    spool: Spool,
    dead_letters: Totals,
    clients: Losses,
    worst_clients: Vec<ClientLosses>,
    forwards: crate::forwards::Totals,
    /// What each HTTP port has counted, by its URL. What has several reasons is a table of those that happened.
    ports: BTreeMap<String, BTreeMap<&'static str, Count>>,
    /// Endpoints that are no longer configured and have messages waiting.
    orphans: BTreeMap<String, u64>,
}

/// A number, or several by reason.
#[derive(Debug, Serialize)]
#[serde(untagged)]
enum Count {
    Whole(u64),
    ByReason(BTreeMap<&'static str, u64>),
}

fn ports(router: &Router) -> BTreeMap<String, BTreeMap<&'static str, Count>> {
    let ports = router.ports.lock().unwrap_or_else(PoisonError::into_inner);
    let read = |counters: &Counters| {
        let mut counts = BTreeMap::new();
        for (name, reason, count) in counters.all() {
            if reason.is_empty() {
                counts.insert(name, Count::Whole(count));
            } else if let Count::ByReason(reasons) =
                counts.entry(name).or_insert_with(|| Count::ByReason(BTreeMap::new()))
                && count > 0
            {
                reasons.insert(reason, count);
            }
        }
        counts
    };
    ports.iter().map(|(url, counters)| (url.clone(), read(counters))).collect()
}

#[derive(Debug, Serialize)]
struct Spool {
    bytes: u64,
    max_bytes: u64,
    free_bytes: Option<u64>,
    segments: u64,
    next_id: u64,
    durable_id: u64,
    error: Option<String>,
}

impl Status {
    /// As it is now.
    pub fn of(router: &Router) -> Self {
        let account = router.account();
        let spool = router.floor.spool.status();
        let configured = |name: &str| account.endpoints.iter().any(|line| line.name == name);
        let orphans = router.floor.spool.slots().into_iter().filter(|slot| !configured(&slot.name));
        Status {
            version: env!("CARGO_PKG_VERSION"),
            uptime_seconds: router.started.elapsed().as_secs(),
            unaccounted: account.unaccounted(),
            orphans: orphans.map(|slot| (slot.name, slot.queued)).collect(),
            account,
            places: router.places().into_iter().collect(),
            ports: ports(router),
            spool: Spool {
                bytes: spool.bytes,
                max_bytes: spool.max_bytes,
                free_bytes: spool.free,
                segments: spool.segments as u64,
                next_id: spool.next_id,
                durable_id: spool.durable_id,
                error: spool.last_error,
            },
            dead_letters: router.floor.dead.totals(),
            clients: router.floor.clients.losses(),
            worst_clients: router.floor.clients.worst(10),
            forwards: router.floor.forwards.totals(),
        }
    }
}
