//! Sessions: from a lab's or workcell's start to its stop. How much of that time an experiment ran, and how much of its
//! own time each node was busy.

use super::activity::{Activities, Activity, end_of_experiment};
use super::{Range, hours, iso, object, round, tail};
use metlog_message::{Fields, Timestamp, Value};
use std::collections::{BTreeMap, HashMap, HashSet};

/// What a session is made of.
pub const KINDS: &[&str] = &[
    "lab_start",
    "lab_stop",
    "workcell_start",
    "workcell_stop",
    "node_start",
    "node_stop",
    "node_status_update",
    "experiment_start",
    "experiment_complete",
    "experiment_failed",
    "experiment_cancelled",
    "experiment_stop",
    "action_status_change",
    "workflow_start",
    "workflow_complete",
];

/// More are refused: each looks through its events.
const SESSIONS: usize = 2000;

/// Nodes of all sessions together.
const NODES: usize = 20_000;

/// Events that all sessions together look at, those in several as often: nothing stops this work, so it must end soon.
const LOOKS: usize = 20_000_000;

/// How an action says that it runs.
const BEGUN: [&str; 3] = ["running", "started", "in_progress"];

/// And that it does no more.
const ENDED: [&str; 5] = ["completed", "failed", "cancelled", "finished", "succeeded"];

/// One session.
#[derive(Debug, Clone, PartialEq)]
pub struct Session {
    /// `lab`, `workcell`, or `default_analysis` for the whole range when nothing was started.
    pub kind: &'static str,
    /// What was started.
    pub id: String,
    /// What that is called.
    pub name: String,
    /// From when to when.
    pub range: Range,
    /// How long an experiment ran, in nanoseconds.
    pub active: i64,
    /// Those that began in it.
    pub experiments: Vec<String>,
    /// Those that did something in it.
    pub nodes: Vec<Node>,
}

/// A node during a session.
#[derive(Debug, Clone, PartialEq)]
pub struct Node {
    /// Its id.
    pub id: String,
    /// How long it was at work, in nanoseconds.
    pub busy: i64,
    /// How long it was there.
    pub active: i64,
    /// Whether it was at work at the end.
    pub is_busy: bool,
}

impl Session {
    /// 100 × active ÷ length.
    pub fn percent(&self) -> f64 {
        percent(self.active, self.range.nanos())
    }
}

impl Node {
    /// 100 × busy ÷ active.
    pub fn percent(&self) -> f64 {
        percent(self.busy, self.active)
    }
}

fn percent(part: i64, whole: i64) -> f64 {
    if whole > 0 { part as f64 / whole as f64 * 100.0 } else { 0.0 }
}

/// All sessions that began in the range.
///
/// # Errors
/// If there are too many to look at.
pub fn sessions(activities: &Activities) -> Result<Vec<Session>, String> {
    let is_start = |event: &&Activity| matches!(event.kind, "lab_start" | "workcell_start");
    let starts: Vec<&Activity> = activities.events.iter().filter(is_start).collect();
    if starts.len() > SESSIONS {
        return Err(format!("more than {SESSIONS} sessions in that range; ask for a shorter one"));
    }
    let (mut begins, mut ends) = (HashMap::<&str, Vec<Timestamp>>::new(), HashMap::<&str, Vec<Timestamp>>::new());
    for event in &activities.events {
        match event.kind {
            "lab_start" | "workcell_start" => {
                begins.entry(event.place().unwrap_or_default()).or_default().push(event.at);
            }
            "lab_stop" | "workcell_stop" => {
                event.places.iter().flatten().for_each(|id| ends.entry(id).or_default().push(event.at));
            }
            _ => {}
        }
    }
    let mut found = Vec::with_capacity(starts.len());
    for start in starts {
        let id = start.place().map_or_else(|| format!("system_{}", start.at.unix_seconds()), str::to_owned);
        let after = |times: &HashMap<&str, Vec<Timestamp>>| {
            let times = times.get(id.as_str())?;
            times.get(times.partition_point(|at| *at <= start.at)).copied()
        };
        let end = after(&ends).or_else(|| after(&begins)).unwrap_or(activities.range.end);
        let kind = if start.kind == "lab_start" { "lab" } else { "workcell" };
        let made_up = || format!("{} {}", if kind == "lab" { "Lab" } else { "Workcell" }, tail(&id));
        let name = start.name.clone().unwrap_or_else(made_up);
        found.push((kind, id, name, Range { start: start.at, end }));
    }
    if found.iter().map(|(.., range)| activities.inside(*range).len()).sum::<usize>() > LOOKS {
        return Err("too many sessions at the same time in that range; ask for a shorter one".to_owned());
    }
    if found.is_empty() {
        let id = format!("analysis_{}", activities.range.start.unix_seconds());
        found.push(("default_analysis", id, "Complete Database Analysis".to_owned(), activities.range));
    }
    let whole = |(kind, id, name, range)| session(activities, kind, id, name, range);
    let sessions: Vec<Session> = found.into_iter().map(whole).collect();
    if sessions.iter().map(|session| session.nodes.len()).sum::<usize>() > NODES {
        return Err(format!("more than {NODES} nodes in the sessions of that range; ask for a shorter one"));
    }
    Ok(sessions)
}

fn session(activities: &Activities, kind: &'static str, id: String, name: String, range: Range) -> Session {
    let events = activities.inside(range);
    let (experiments, active) = experiments(events, range.end);
    let mut by_node: BTreeMap<&str, Vec<&Activity>> = BTreeMap::new();
    for event in events {
        if let Some(id) = event.node.as_deref().filter(|id| !activities.places.contains(*id)) {
            by_node.entry(id).or_default().push(event);
        }
    }
    let nodes = by_node.into_iter().map(|(id, events)| node(id, &events, range)).collect();
    Session { kind, id, name, range, active, experiments, nodes }
}

/// Which experiments began, and for how long at least one ran.
fn experiments(events: &[Activity], end: Timestamp) -> (Vec<String>, i64) {
    let (mut begun, mut seen) = (Vec::new(), HashSet::new());
    let mut running: HashMap<&str, Timestamp> = HashMap::new();
    let mut ran = Vec::new();
    for event in events {
        let Some(id) = event.experiment.as_deref() else { continue };
        if event.kind == "experiment_start" {
            running.entry(id).or_insert(event.at);
            if seen.insert(id) {
                begun.push(id.to_owned());
            }
        } else if end_of_experiment(event.kind).is_some()
            && let Some(start) = running.remove(id)
        {
            ran.push((start, event.at));
        }
    }
    ran.extend(running.into_values().map(|start| (start, end)));
    (begun, merged(ran))
}

/// How long at least one of them lasted.
fn merged(mut intervals: Vec<(Timestamp, Timestamp)>) -> i64 {
    intervals.sort_unstable();
    let (mut sum, mut until) = (0, i64::MIN);
    for (start, end) in intervals {
        let start = start.nanos().max(until);
        sum += end.nanos().saturating_sub(start).max(0);
        until = until.max(end.nanos());
    }
    sum
}

/// A node: there from its start to its stop, or all the time if it was never started; busy while it has an action.
fn node(id: &str, events: &[&Activity], range: Range) -> Node {
    let (mut there, mut at_work) = (Vec::new(), Vec::new());
    let (mut since, mut busy_since) = (None, None);
    let mut actions: HashSet<&str> = HashSet::new();
    for event in events {
        let status = event.status.as_deref().unwrap_or_default();
        match event.kind {
            "node_start" => since = since.or(Some(event.at)),
            "node_stop" => {
                there.extend(since.take().map(|since| (since, event.at)));
                at_work.extend(busy_since.take().map(|since| (since, event.at)));
                actions.clear();
            }
            "action_status_change" => {
                let Some(action) = event.action.as_deref() else { continue };
                if BEGUN.contains(&status) {
                    actions.insert(action);
                    busy_since = busy_since.or(Some(event.at));
                } else if ENDED.contains(&status) && actions.remove(action) && actions.is_empty() {
                    at_work.extend(busy_since.take().map(|since| (since, event.at)));
                }
            }
            _ => {}
        }
    }
    let is_busy = busy_since.is_some();
    there.extend(since.map(|since| (since, range.end)));
    at_work.extend(busy_since.map(|since| (since, range.end)));
    let active = if there.is_empty() { range.nanos() } else { merged(there) };
    Node { id: id.to_owned(), busy: merged(at_work), active, is_busy }
}

/// The report.
///
/// # Errors
/// As [`sessions`].
pub fn report(activities: &Activities) -> Result<Value, String> {
    let sessions = sessions(activities)?;
    let Range { start, end } = activities.range;
    let metadata = object([
        ("generated_at", iso(Timestamp::now()).into()),
        ("analysis_start", iso(start).into()),
        ("analysis_end", iso(end).into()),
        ("total_sessions", sessions.len().into()),
        ("analysis_duration_hours", activities.range.hours().into()),
    ]);
    Ok(object([
        ("report_metadata", metadata),
        ("overall_summary", overall(&sessions, activities.range)),
        ("session_details", Value::List(sessions.iter().map(|session| details(session, activities)).collect())),
    ]))
}

fn overall(sessions: &[Session], range: Range) -> Value {
    let sum = |of: fn(&Session) -> f64| sessions.iter().map(of).sum::<f64>();
    let mut nodes: BTreeMap<&str, Vec<&Node>> = BTreeMap::new();
    for node in sessions.iter().flat_map(|session| &session.nodes) {
        nodes.entry(&node.id).or_default().push(node);
    }
    let mut summary = Fields::new();
    for (id, in_sessions) in &nodes {
        let count = in_sessions.len();
        let one = object([
            (
                "average_utilization_percent",
                (in_sessions.iter().map(|node| node.percent()).sum::<f64>() / count as f64).into(),
            ),
            ("total_busy_time_hours", hours(in_sessions.iter().map(|node| node.busy).sum()).into()),
            ("sessions_active", count.into()),
        ]);
        summary.push((*id).to_owned(), one);
    }
    let period = object([
        ("start_time", iso(range.start).into()),
        ("end_time", iso(range.end).into()),
        ("duration_hours", range.hours().into()),
    ]);
    let average = sum(Session::percent) / sessions.len().max(1) as f64;
    object([
        ("total_sessions", sessions.len().into()),
        ("total_system_runtime_hours", sum(|session| session.range.hours()).into()),
        ("total_active_time_hours", sum(|session| hours(session.active)).into()),
        ("average_system_utilization_percent", average.into()),
        ("total_experiments", sessions.iter().map(|session| session.experiments.len()).sum::<usize>().into()),
        ("nodes_tracked", nodes.len().into()),
        ("node_summary", Value::Map(summary)),
        ("analysis_period", period),
    ])
}

fn details(session: &Session, activities: &Activities) -> Value {
    let length = session.range.nanos();
    let idle = length.saturating_sub(session.active);
    let experiment = |id: &String| {
        let name = activities.names.experiment(id);
        let display = name.map_or_else(|| format!("Experiment {}", tail(id)), str::to_owned);
        object([("experiment_id", id.into()), ("experiment_name", name.into()), ("display_name", display.into())])
    };
    let mut nodes = Fields::new();
    for node in &session.nodes {
        nodes.push(node.id.clone(), node_details(node, activities, length));
    }
    let timing = object([
        ("duration", readable(length)),
        ("active_time", readable(session.active)),
        ("idle_time", readable(idle)),
    ]);
    let raw = object([
        ("duration", hours(length).into()),
        ("active", hours(session.active).into()),
        ("idle", hours(idle).into()),
    ]);
    object([
        ("session_type", session.kind.into()),
        ("session_id", session.id.as_str().into()),
        ("session_name", session.name.as_str().into()),
        ("start_time", iso(session.range.start).into()),
        ("end_time", iso(session.range.end).into()),
        ("timing", timing),
        ("system_utilization_percent", round(session.percent(), 1).into()),
        ("total_experiments", session.experiments.len().into()),
        ("experiment_details", Value::List(session.experiments.iter().map(experiment).collect())),
        ("nodes_active", session.nodes.len().into()),
        ("node_utilizations", Value::Map(nodes)),
        ("raw_hours", raw),
        ("duration_hours", hours(length).into()),
        ("active_time_hours", hours(session.active).into()),
    ])
}

/// What a node is called, and how people see it.
pub fn node_names(id: &str, activities: &Activities) -> (Value, Value) {
    let name = activities.names.node(id);
    let display = name.map_or_else(|| format!("Node {}", tail(id)), |name| format!("{name} ({})", tail(id)));
    (name.into(), display.into())
}

fn node_details(node: &Node, activities: &Activities, length: i64) -> Value {
    let idle = node.active.saturating_sub(node.busy).max(0);
    let (name, display) = node_names(&node.id, activities);
    let timing =
        object([("busy_time", readable(node.busy)), ("idle_time", readable(idle)), ("total_time", readable(length))]);
    let raw =
        object([("busy", hours(node.busy).into()), ("idle", hours(idle).into()), ("total", hours(length).into())]);
    object([
        ("node_id", node.id.as_str().into()),
        ("node_name", name),
        ("display_name", display),
        ("utilization_percent", round(node.percent(), 1).into()),
        ("state", if node.is_busy { "busy" } else { "idle" }.into()),
        ("timing", timing),
        ("raw_hours", raw),
        ("busy_time_hours", hours(node.busy).into()),
        ("idle_time_hours", hours(idle).into()),
    ])
}

/// A length of time in the unit that fits it.
fn readable(nanos: i64) -> Value {
    let seconds = nanos as f64 / 1e9;
    let (minutes, hours) = (seconds / 60.0, seconds / 3600.0);
    let (value, unit, letter) = match seconds {
        ..60.0 => (seconds, "seconds", 's'),
        60.0..3600.0 => (minutes, "minutes", 'm'),
        _ => (hours, "hours", 'h'),
    };
    object([
        ("display", format!("{value:.1}{letter}").into()),
        ("seconds", seconds.into()),
        ("minutes", minutes.into()),
        ("hours", hours.into()),
        ("primary_unit", unit.into()),
        ("primary_value", value.into()),
    ])
}
