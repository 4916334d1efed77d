//! `/v1/status`: everything there is to know about a running router, for programs; `metlog-router status` prints it for
//! people.

use crate::accounting::Account;
use crate::clients::{ClientLosses, Losses};
use crate::deadletters::Totals;
use crate::router::Router;
use serde::Serialize;
use std::collections::BTreeMap;

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
    /// Endpoints that are no longer configured and have messages waiting.
    orphans: BTreeMap<String, u64>,
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
        }
    }
}
