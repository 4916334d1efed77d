//! What a report needs of an event, and no more: an event may have a megabyte, and a report is made of many.

use super::Range;
use crate::event::{self, Event};
use metlog_message::{Fields, Timestamp, Value};
use std::collections::{HashMap, HashSet};

/// Types whose events give things their names.
pub const NAMING: &[&str] = &["lab_start", "workcell_start", "node_start", "experiment_start"];

/// Longer names and ids are cut here.
const LONGEST: usize = 128;

/// An event, as reports see it.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Activity {
    /// When.
    pub at: Timestamp,
    /// Its type, the one that says most.
    pub kind: &'static str,
    /// `source.workcell_id`, `source.manager_id`, `event_data.workcell_id`.
    pub places: [Option<String>; 3],
    /// Whose node it is about.
    pub node: Option<String>,
    /// The experiment it is about.
    pub experiment: Option<String>,
    /// The action it is about.
    pub action: Option<String>,
    /// The workflow it is about.
    pub workflow: Option<String>,
    /// What that is called.
    pub name: Option<String>,
    /// Who wrote the workflow.
    pub author: Option<String>,
    /// How it went, in lower case.
    pub status: Option<String>,
    /// How long it took, in seconds.
    pub seconds: Option<f64>,
}

impl Activity {
    /// Of an event that happened then.
    pub fn of(event: &Event, at: Timestamp) -> Self {
        let none = Fields::new();
        let kind = event.effective_kind();
        let data = event.data.as_map().unwrap_or(&none);
        let source = |name: &str| word(event.source.get(name));
        let said = |names: &[&str]| names.iter().find_map(|name| word(data.at(name)));
        Activity {
            at,
            kind,
            places: [source("workcell_id"), source("manager_id"), said(&["workcell_id"])],
            node: source("node_id")
                .or_else(|| source("workcell_id"))
                .or_else(|| said(&["node_id", "node_name", "node"])),
            experiment: source("experiment_id")
                .or_else(|| said(&["experiment_id", "experiment.experiment_id", "experiment._id"])),
            action: said(&["action_id", "action", "task_id", "_id", "id"]),
            workflow: said(&["workflow_id"]),
            name: names(kind).iter().find_map(|name| name_of(data.at(name))),
            author: ["workflow_definition_metadata.author", "definition_metadata.author", "author"]
                .iter()
                .find_map(|name| name_of(data.at(name))),
            status: status(data.get("status")),
            seconds: seconds(data),
        }
    }

    /// Bytes of its texts.
    pub fn size(&self) -> usize {
        let texts =
            [&self.node, &self.experiment, &self.action, &self.workflow, &self.name, &self.author, &self.status];
        self.places.iter().chain(texts).flatten().map(String::len).sum()
    }

    /// What is set up or taken down by it: its workcell, its manager, or what its data names.
    pub fn place(&self) -> Option<&str> {
        self.places.iter().flatten().next().map(String::as_str)
    }
}

/// Where a thing of an event's kind says its name.
fn names(kind: &str) -> &'static [&'static str] {
    match kind {
        "lab_start" => &["name", "lab_name", "workcell_name", "display_name"],
        "workcell_start" => &["name", "workcell_name", "lab_name", "display_name"],
        "node_start" => &["node_name"],
        "workflow_start" | "workflow_complete" => &["name", "workflow_name"],
        _ => &[
            "experiment_name",
            "name",
            "experiment.name",
            "experiment.experiment_design.experiment_name",
            "experiment.run_name",
        ],
    }
}

/// An id: a text or a number.
fn word(value: Option<&Value>) -> Option<String> {
    match value? {
        Value::Str(text) if !text.is_empty() => Some(text.chars().take(LONGEST).collect()),
        number @ (Value::Int(_) | Value::UInt(_)) => Some(number.to_text().into_owned()),
        _ => None,
    }
}

fn name_of(value: Option<&Value>) -> Option<String> {
    let name = value?.as_str()?.trim();
    (!name.is_empty()).then(|| name.chars().take(LONGEST).collect())
}

/// From text, or the flags of 0.8.1, or else from its description.
fn status(value: Option<&Value>) -> Option<String> {
    const KNOWN: [&str; 4] = ["completed", "failed", "cancelled", "running"];
    let flags = match value? {
        Value::Str(text) => return Some(text.trim().to_lowercase().chars().take(LONGEST).collect()),
        Value::Map(flags) => flags,
        _ => return None,
    };
    let flag = KNOWN.iter().find(|name| flags.get(name).and_then(Value::as_bool) == Some(true));
    let description = flags.get("description").and_then(Value::as_str).unwrap_or_default().to_lowercase();
    flag.or_else(|| KNOWN.iter().find(|name| description.contains(*name))).map(|name| (*name).to_owned())
}

/// As said, or from its own begin to its own end.
fn seconds(data: &Fields) -> Option<f64> {
    let said = data.get("duration_seconds").and_then(Value::as_f64);
    let time = |name: &str| event::moment(data.get(name)?).map(|(at, _)| at.nanos());
    let from_times = || Some(time("end_time")?.checked_sub(time("start_time")?)? as f64 / 1e9);
    said.or_else(from_times).filter(|seconds| seconds.is_finite() && *seconds >= 0.0)
}

/// What happened in a range.
#[derive(Debug, Clone, PartialEq)]
pub struct Activities {
    /// The range.
    pub range: Range,
    /// In order.
    pub events: Vec<Activity>,
    /// Names of nodes, experiments and workcells, by id; the range's own win over earlier ones.
    pub names: Names,
    /// Ids of workcells and managers, which are no nodes.
    pub places: HashSet<String>,
}

/// Names by the type of event that gave them, and by id.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Names(HashMap<(&'static str, String), String>);

impl Names {
    /// A node's.
    pub fn node(&self, id: &str) -> Option<&str> {
        self.of("node_start", id)
    }

    /// An experiment's.
    pub fn experiment(&self, id: &str) -> Option<&str> {
        self.of("experiment_start", id)
    }

    /// A workcell's or a lab's.
    pub fn place(&self, id: &str) -> Option<&str> {
        self.of("workcell_start", id).or_else(|| self.of("lab_start", id))
    }

    fn of(&self, kind: &'static str, id: &str) -> Option<&str> {
        self.0.get(&(kind, id.to_owned())).map(String::as_str)
    }
}

impl Activities {
    /// Of events in any order. `earlier` are from before the range, newest first.
    pub fn new(range: Range, mut events: Vec<Activity>, earlier: Vec<Activity>) -> Self {
        events.sort_by_key(|event| event.at);
        let mut names = Names::default();
        let mut places = HashSet::new();
        for event in events.iter().chain(&earlier) {
            places.extend(event.places.iter().take(2).flatten().cloned());
            if matches!(event.kind, "lab_start" | "lab_stop" | "workcell_start" | "workcell_stop") {
                places.extend(event.places.iter().flatten().cloned());
            }
            let (Some(name), Some(kind)) = (&event.name, NAMING.iter().find(|kind| **kind == event.kind)) else {
                continue;
            };
            let ids: [&Option<String>; 3] = match *kind {
                "node_start" => [&event.node, &None, &None],
                "experiment_start" => [&event.experiment, &None, &None],
                _ => {
                    let [workcell, manager, said] = &event.places;
                    [workcell, manager, said]
                }
            };
            for id in ids.into_iter().flatten() {
                names.0.entry((*kind, id.clone())).or_insert_with(|| name.clone());
            }
        }
        Activities { range, events, names, places }
    }

    /// Those of them inside, both ends included.
    pub fn inside(&self, range: Range) -> &[Activity] {
        let first = self.events.partition_point(|event| event.at < range.start);
        let behind = self.events.partition_point(|event| event.at <= range.end);
        self.events.get(first..behind).unwrap_or_default()
    }
}

/// How an experiment ended, if a type says that it did.
pub fn end_of_experiment(kind: &str) -> Option<&'static str> {
    Some(match kind {
        "experiment_complete" => "completed",
        "experiment_failed" => "failed",
        "experiment_cancelled" | "experiment_stop" => "cancelled",
        _ => return None,
    })
}
