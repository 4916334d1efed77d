//! `[fleet]`: which routers this one belongs to.

use super::{Problem, Problems, unknown};
use crate::fleet::{host, report};
use metlog_pipeline::registry::blame;
use metlog_pipeline::{Beacon, BeaconEntry};
use metlog_settings::{Kind, Node, Span, Table, suggest};
use serde::Deserialize;
use std::time::Duration;

/// `[fleet]`, beside what its `type` wants to know.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct FleetSettings {
    /// What this router is called in the fleet, and no other is; by default the host's name.
    pub name: Option<String>,
    /// How often it says how it is; after ten such times without a word the others call it silent.
    pub every: Span,
}

impl Default for FleetSettings {
    fn default() -> Self {
        FleetSettings { name: None, every: Span(Duration::from_secs(1)) }
    }
}

/// The keys of [`FleetSettings`], and `type`.
const COMMON: [&str; 3] = ["type", "name", "every"];

/// A fleet that was found right.
#[derive(Clone)]
pub struct FleetPlan {
    /// What this router is called.
    pub name: String,
    /// How often it reports.
    pub every: Duration,
    /// Its section: the same section means the same fleet.
    pub section: Node,
    entry: &'static BeaconEntry,
    settings: Node,
}

impl FleetPlan {
    /// Opens the place where routers hear each other; that connects to nothing yet.
    ///
    /// # Errors
    /// What and where, and what would be right.
    pub fn open(&self) -> Result<Box<dyn Beacon>, String> {
        (self.entry.read)(&self.settings).map_err(|problems| problems.to_string())?()
            .map_err(|why| format!("fleet: {why}"))
    }
}

impl FleetPlan {
    /// Reads the files that its settings name, and says what will soon be wrong with them.
    pub(super) fn examine(&self) -> Result<Vec<String>, Problems> {
        (self.entry.examine)(&self.settings)
    }
}

pub(super) fn fleet(node: &Node) -> Result<FleetPlan, Problems> {
    let Some(table) = node.as_table() else {
        return Err(Problem::at(&node.origin, "`fleet` must be a section: write `[fleet]` above its settings").into());
    };
    let mut problems = Problems::new();
    let (kind, place) = match table.get("type") {
        None => ("nats", &node.origin),
        Some(kind) => match kind.as_str() {
            Some(text) => (text, &kind.origin),
            None => return Err(Problem::at(&kind.origin, "`type` must be the name of a plugin, as text").into()),
        },
    };
    let entry = BeaconEntry::find(kind).map_err(|error| unknown(place, &error))?;
    let (mut common, mut own) = (Table::default(), Table::default());
    for (key, place, value) in table.iter().filter(|(key, ..)| *key != "type") {
        let part = if COMMON.contains(&key) { &mut common } else { &mut own };
        part.insert(key, place.clone(), value.clone());
    }
    let of = |table| Node::new(node.origin.clone(), Kind::Table(table));
    let (common, settings) = (of(common), of(own));
    let FleetSettings { name, every } = problems.note(metlog_settings::read(&common)).unwrap_or_default();
    if let Some(name) = name.as_ref().filter(|name| !report::is_name(name)) {
        let why = format!("`name` is `{}`: letters, digits, `_`, `-` and `.`, at most 64", name.escape_debug());
        problems.push(blame(node, why));
    }
    let every = every.duration();
    if !u64::try_from(every.as_millis()).is_ok_and(|every| report::EVERY.contains(&every)) {
        problems.push(blame(node, format!("`every` is {every:?}; 200ms to 1min are possible, 1s is usual")));
    }
    problems.note((entry.read)(&settings).map(drop).map_err(mistyped));
    let name = name.unwrap_or_else(host);
    problems.or(FleetPlan { name, every, section: node.clone(), entry, settings })
}

/// A key that the plugin does not know may be one of every fleet, with a slip.
fn mistyped(mut problems: Problems) -> Problems {
    for problem in problems.iter_mut() {
        let key = problem.message.strip_prefix("unknown key `").and_then(|rest| rest.split_once('`'));
        if let (Some((key, _)), None) = (key, &problem.suggestion) {
            problem.suggestion = suggest::nearest(key, COMMON).map(str::to_owned);
        }
    }
    problems
}
