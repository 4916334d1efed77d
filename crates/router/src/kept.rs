//! The store that questions go to: the first endpoint that keeps messages, or the one that `router.store` names.

use crate::config::EndpointPlan;
use crate::intake::Floor;
use axum::extract::Request;
use axum::middleware::{Next, from_fn};
use metlog_query::{Shelf, Store};
use metlog_settings::Node;
use std::sync::{Arc, PoisonError, RwLock};
use std::time::{Duration, Instant};

/// How long a question waits for what was acknowledged before it, and how often it looks.
const SETTLED: (Duration, Duration) = (Duration::from_secs(1), Duration::from_millis(2));

/// The store, for as long as a configuration has one.
#[derive(Default)]
pub struct Kept(RwLock<Option<Current>>);

#[derive(Clone)]
struct Current {
    endpoint: String,
    section: Node,
    store: Arc<dyn Store>,
}

/// A store that is open, to be asked from some moment on.
pub struct Opened(Option<Current>);

impl Kept {
    /// Opens a configuration's store, or takes the one that is open already.
    ///
    /// # Errors
    /// If it does not open.
    pub fn open(&self, plan: Option<&EndpointPlan>) -> Result<Opened, String> {
        let Some((plan, open)) = plan.and_then(|plan| Some((plan, plan.store.as_ref()?))) else {
            return Ok(Opened(None));
        };
        let before = self
            .current()
            .filter(|current| current.endpoint == plan.name && current.section.to_json() == plan.section.to_json());
        if before.is_some() {
            return Ok(Opened(before));
        }
        let store = open().map_err(|why| format!("endpoint `{}`: {why}", plan.name))?;
        Ok(Opened(Some(Current { endpoint: plan.name.clone(), section: plan.section.clone(), store })))
    }

    /// From now on this one is asked.
    pub fn set(&self, opened: Opened) {
        *self.0.write().unwrap_or_else(PoisonError::into_inner) = opened.0;
    }

    fn current(&self) -> Option<Current> {
        self.0.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// The endpoint that fills it.
    pub fn endpoint(&self) -> Option<String> {
        self.current().map(|current| current.endpoint)
    }

    /// For one question.
    pub fn shelf(&self, floor: &Arc<Floor>) -> Option<Shelf> {
        let Current { endpoint, store, .. } = self.current()?;
        let floor = floor.clone();
        let settled = move || -> metlog_query::store::Settled {
            let (floor, endpoint) = (floor.clone(), endpoint.clone());
            Box::pin(async move { settled(&floor, &endpoint).await })
        };
        Some(Shelf::new(store, settled))
    }
}

/// Whether the endpoint has within a moment all that the spool has now.
async fn settled(floor: &Floor, endpoint: &str) -> bool {
    let (upto, by) = (floor.spool.next_id(), Instant::now() + SETTLED.0);
    loop {
        let slot = floor.spool.slots().into_iter().find(|slot| slot.name == endpoint);
        if slot.is_none_or(|slot| slot.queued == 0 || slot.committed >= upto) {
            return true;
        }
        if Instant::now() > by {
            return false;
        }
        tokio::time::sleep(SETTLED.1).await;
    }
}

/// Routes whose handlers find the shelf among a request's extensions, if there is one then.
pub fn lend(routes: axum::Router, kept: &Arc<Kept>, floor: &Arc<Floor>) -> axum::Router {
    let (kept, floor) = (kept.clone(), floor.clone());
    routes.layer(from_fn(move |mut request: Request, next: Next| {
        if let Some(shelf) = kept.shelf(&floor) {
            request.extensions_mut().insert(shelf);
        }
        next.run(request)
    }))
}
