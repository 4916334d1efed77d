//! The contract of stores, kept by endpoint and store together.

use metlog_message::Lines;
use metlog_pipeline::{Endpoint, EndpointEntry, Picked};
use metlog_postgres as _;
use metlog_query::suite::{TestStore, contract};
use metlog_query::{Backup, Change, End, Row, Scan, Size, Store, StoreEntry, Trouble};
use metlog_testkit::{Postgres, settings};
use std::ops::ControlFlow;
use std::sync::{Arc, Mutex};

struct InPostgres {
    endpoint: Mutex<Box<dyn Endpoint>>,
    store: Arc<dyn Store>,
}

impl InPostgres {
    fn empty() -> Self {
        let server = Postgres::shared();
        let section = settings(&format!("url = '{}'\nmax_age = '30d'", server.url(&server.database())));
        let endpoint = EndpointEntry::find("postgres").expect("registered").read;
        let store = StoreEntry::find("postgres").expect("registered").read;
        InPostgres {
            endpoint: Mutex::new(endpoint(&section).expect("right")().expect("opens")),
            store: store(&section).expect("right")().expect("opens"),
        }
    }
}

impl Store for InPostgres {
    fn scan(&self, scan: &Scan, each: &mut dyn FnMut(&Row<'_>) -> ControlFlow<()>) -> Result<End, Trouble> {
        self.store.scan(scan, each)
    }
    fn change(&self, change: Change, positions: &[u64]) -> Result<u64, Trouble> {
        self.store.change(change, positions)
    }
    fn size(&self) -> Result<Size, Trouble> {
        self.store.size()
    }
    fn backup(&self, note: &str) -> Result<Backup, Trouble> {
        self.store.backup(note)
    }
    fn backups(&self) -> Result<Vec<Backup>, Trouble> {
        self.store.backups()
    }
}

impl TestStore for InPostgres {
    fn write(&self, batch: &[(u64, Vec<u8>)]) {
        let ids: Vec<u64> = batch.iter().map(|(position, _)| *position).collect();
        let lines: Lines = batch.iter().map(|(_, raw)| raw).collect();
        let mut endpoint = self.endpoint.lock().expect("no panic");
        assert_eq!(endpoint.write(&Picked::new(&lines, &ids)), Ok(()));
    }
}

#[test]
fn the_store_in_postgresql_keeps_the_contract() {
    contract(|| Box::new(InPostgres::empty()));
}
