//! `[endpoints.*]`

use super::sections::{EndpointKeys, mistyped, take};
use super::{Named, names, nobody, unknown};
use crate::deliver::{Habits, Open};
use metlog_message::Severity;
use metlog_pipeline::{Endpoint, EndpointEntry, Forward, SenderEntry};
use metlog_query::{Store, StoreEntry};
use metlog_settings::{Node, Origin, Problems};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

/// An endpoint that was found right.
pub struct EndpointPlan {
    /// Its name, which its cursor goes by.
    pub name: String,
    /// Its section: the same section means the same endpoint.
    pub section: Node,
    /// Whether the spool waits for it when it is full.
    pub required: bool,
    /// How many write side by side.
    pub workers: usize,
    /// What every endpoint can be told.
    pub(crate) keys: EndpointKeys,
    pub(crate) inputs: Option<BTreeSet<u32>>,
    pub(crate) filters: Vec<usize>,
    pub(crate) alerts: bool,
    /// Opens an instance.
    pub open: Open,
    /// Reads the files that its settings name.
    pub(crate) examine: Examine,
    /// Opens what it keeps for questions, if it keeps anything.
    pub store: Option<OpenStore>,
}

/// Reads the files that settings name; what it gives is what will soon be wrong with them.
pub type Examine = Arc<dyn Fn() -> Result<Vec<String>, Problems> + Send + Sync>;

/// Opens a store.
pub type OpenStore = Arc<dyn Fn() -> Result<Arc<dyn Store>, String> + Send + Sync>;

/// Names that an endpoint may refer to.
pub(super) struct Context<'a> {
    pub inputs: &'a [&'a str],
    pub filters: &'a BTreeMap<String, usize>,
}

pub(super) fn endpoint(named: &Named<'_>, context: &Context<'_>) -> Result<EndpointPlan, Problems> {
    let mut problems = Problems::new();
    let (kind, place) = named.kind()?;
    let (kind, place) = (kind.to_owned(), place.clone());
    let (common, own) = take(named.table, named.node);
    let keys: Option<EndpointKeys> = problems.note(metlog_settings::read(&common));

    let inputs = problems.note(names(named.table, "from_inputs")).flatten().map(|wanted| {
        let found = wanted.iter().filter_map(|(name, place)| {
            let number = context.inputs.iter().position(|known| known == name);
            if number.is_none() {
                problems.push(nobody("input", name, place, context.inputs));
            }
            number.and_then(|number| u32::try_from(number).ok())
        });
        found.collect::<BTreeSet<u32>>()
    });
    let known: Vec<&str> = context.filters.keys().map(String::as_str).collect();
    let wanted = problems.note(names(named.table, "filters")).flatten().unwrap_or_default();
    let mut filters = Vec::new();
    for (name, place) in &wanted {
        match context.filters.get(name) {
            Some(at) => filters.push(*at),
            None => problems.push(nobody("filter", name, place, &known)),
        }
    }
    let store = StoreEntry::find(&kind).map(|entry| -> OpenStore {
        let settings = own.clone();
        Arc::new(move || (entry.read)(&settings).map_err(|problems| problems.to_string())?())
    });
    let open = problems.note(opener(&kind, &place, own).map_err(mistyped));
    let (Some(keys), Some((open, examine))) = (keys, open) else { return Err(problems) };
    let alerts = keys.alerts.unwrap_or_else(|| EndpointEntry::find(&kind).is_ok_and(|entry| entry.alerts));
    problems.or(EndpointPlan {
        name: named.name.to_owned(),
        section: named.node.clone(),
        required: keys.required,
        workers: keys.workers.get(),
        keys,
        inputs,
        filters,
        alerts,
        open,
        examine,
        store,
    })
}

/// How to open an endpoint of a kind: one of its own, or a sender.
fn opener(kind: &str, place: &Origin, settings: Node) -> Result<(Open, Examine), Problems> {
    let own = settings.clone();
    let error = match EndpointEntry::find(kind) {
        Ok(entry) => {
            drop((entry.read)(&settings)?);
            let open: Open = Arc::new(move || (entry.read)(&settings).map_err(|problems| problems.to_string())?());
            return Ok((open, Arc::new(move || (entry.examine)(&own))));
        }
        Err(error) => error,
    };
    if let Ok(entry) = SenderEntry::find(kind) {
        drop((entry.read)(&settings)?);
        let open: Open = Arc::new(move || {
            let sender = (entry.read)(&settings).map_err(|problems| problems.to_string())?()?;
            Ok(Box::new(Forward(sender)) as Box<dyn Endpoint>)
        });
        return Ok((open, Arc::new(move || (entry.examine)(&own))));
    }
    Err(unknown(place, &error.among(endpoint_kinds())).into())
}

/// Everything that can be the `type` of an endpoint.
pub fn endpoint_kinds() -> Vec<&'static str> {
    let own = EndpointEntry::all().into_iter().map(|entry| entry.name);
    let kinds: BTreeSet<&str> = own.chain(SenderEntry::all().into_iter().map(|entry| entry.name)).collect();
    kinds.into_iter().collect()
}

impl EndpointPlan {
    /// How it is served, where the configuration does not say as the plugin likes it.
    pub fn habits(&self, endpoint: &dyn Endpoint) -> Habits {
        let mut pacing = endpoint.pacing();
        pacing.messages = self.keys.batch_messages.map_or(pacing.messages, std::num::NonZeroUsize::get);
        pacing.bytes =
            self.keys.batch_bytes.map_or(pacing.bytes, |size| usize::try_from(size.bytes()).unwrap_or(usize::MAX));
        pacing.wait = self.keys.batch_wait.map_or(pacing.wait, |span| span.duration());
        Habits {
            pacing,
            retry: (self.keys.retry_min.duration(), self.keys.retry_max.duration()),
            give_up_after: self.keys.give_up_after.map(|span| span.duration()),
        }
    }

    /// The least severe it takes.
    pub fn severity_max(&self) -> Option<Severity> {
        self.keys.severity_max
    }
}
