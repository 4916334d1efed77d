//! Users: whose workflows ran, for how long, and how they ended.

use super::activity::{Activities, Activity};
use super::{Range, iso, object, round};
use metlog_message::{Fields, Timestamp, Value};
use std::collections::HashMap;

/// What it is made of.
pub const KINDS: &[&str] = &["workflow_start", "workflow_complete"];

/// Whose workflows say nobody's name.
const UNKNOWN: &str = "Unknown Author";

/// One workflow.
#[derive(Debug, Clone, PartialEq)]
pub struct Workflow<'a> {
    id: &'a str,
    name: Option<&'a str>,
    author: Option<&'a str>,
    start: Option<Timestamp>,
    end: Option<Timestamp>,
    status: &'a str,
    said: Option<f64>,
}

impl Workflow<'_> {
    /// As said, or else from start to end.
    fn hours(&self) -> Option<f64> {
        let ran = || Range { start: self.start?, end: self.end? }.hours().into();
        self.said.map(|seconds| seconds / 3600.0).or_else(ran).filter(|hours: &f64| *hours >= 0.0)
    }
}

/// One person's workflows.
#[derive(Debug, Clone, PartialEq)]
pub struct User<'a> {
    /// The name that the workflows say.
    pub author: &'a str,
    /// In order of their first event.
    pub workflows: Vec<Workflow<'a>>,
}

/// Sums over workflows.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct Sums {
    /// All.
    pub total: usize,
    /// Of those, ended well.
    pub completed: usize,
    failed: usize,
    cancelled: usize,
    /// Hours of those that say them.
    pub hours: f64,
    timed: usize,
    shortest: Option<f64>,
    longest: Option<f64>,
}

impl Sums {
    fn of<'a>(workflows: impl Iterator<Item = &'a Workflow<'a>>) -> Self {
        let mut sums = Sums::default();
        for workflow in workflows {
            sums.total += 1;
            match workflow.status {
                "completed" => sums.completed += 1,
                "failed" => sums.failed += 1,
                "cancelled" => sums.cancelled += 1,
                _ => {}
            }
            if let Some(hours) = workflow.hours() {
                sums.hours += hours;
                sums.timed += 1;
                sums.shortest = Some(sums.shortest.map_or(hours, |shortest| shortest.min(hours)));
                sums.longest = Some(sums.longest.map_or(hours, |longest| longest.max(hours)));
            }
        }
        sums
    }

    /// Mean hours of those that say them.
    pub fn average(&self) -> f64 {
        if self.timed == 0 { 0.0 } else { round(self.hours / self.timed as f64, 3) }
    }

    /// 100 × completed ÷ all.
    pub fn completion(&self) -> f64 {
        share(self.completed, self.total)
    }
}

fn share(part: usize, whole: usize) -> f64 {
    if whole == 0 { 0.0 } else { round(part as f64 / whole as f64 * 100.0, 2) }
}

/// Everybody, in order of their first workflow.
pub fn users(activities: &Activities) -> Vec<User<'_>> {
    let mut workflows: Vec<Workflow<'_>> = Vec::new();
    let mut places: HashMap<&str, usize> = HashMap::new();
    for event in activities.events.iter().filter(|event| KINDS.contains(&event.kind)) {
        let Some(id) = event.workflow.as_deref() else { continue };
        let place = *places.entry(id).or_insert(workflows.len());
        if place == workflows.len() {
            let (name, author) = (None, None);
            workflows.push(Workflow { id, name, author, start: None, end: None, status: "unknown", said: None });
        }
        if let Some(workflow) = workflows.get_mut(place) {
            add(workflow, event);
        }
    }
    let mut users: Vec<User<'_>> = Vec::new();
    let mut places: HashMap<&str, usize> = HashMap::new();
    for workflow in workflows {
        let author = workflow.author.unwrap_or(UNKNOWN);
        let place = *places.entry(author).or_insert(users.len());
        if place == users.len() {
            users.push(User { author, workflows: Vec::new() });
        }
        if let Some(user) = users.get_mut(place) {
            user.workflows.push(workflow);
        }
    }
    users
}

fn add<'a>(workflow: &mut Workflow<'a>, event: &'a Activity) {
    workflow.name = workflow.name.or(event.name.as_deref());
    workflow.author = workflow.author.or(event.author.as_deref());
    if event.kind == "workflow_start" {
        workflow.start = workflow.start.or(Some(event.at));
        if workflow.end.is_none() {
            workflow.status = "started";
        }
    } else {
        workflow.end = Some(event.at);
        workflow.status = event.status.as_deref().unwrap_or("completed");
        workflow.said = event.seconds;
    }
}

/// All of them together.
pub fn system(users: &[User<'_>]) -> Sums {
    Sums::of(users.iter().flat_map(|user| &user.workflows))
}

/// 100 × workflows that say an author ÷ all.
pub fn attribution(users: &[User<'_>]) -> (usize, f64) {
    let (total, nobodys) = users.iter().fold((0, 0), |(total, nobodys), user| {
        let count = user.workflows.len();
        (total + count, nobodys + if user.author == UNKNOWN { count } else { 0 })
    });
    (total - nobodys, share(total - nobodys, total))
}

impl User<'_> {
    /// Over this user's workflows.
    pub fn sums(&self) -> Sums {
        Sums::of(self.workflows.iter())
    }
}

/// The report.
pub fn report(activities: &Activities) -> Value {
    let users = users(activities);
    let sums = system(&users);
    let (attributed, attribution) = attribution(&users);
    let Range { start, end } = activities.range;
    let metadata = object([
        ("generated_at", iso(Timestamp::now()).into()),
        ("analysis_start", iso(start).into()),
        ("analysis_end", iso(end).into()),
        ("total_workflows", sums.total.into()),
        ("total_users", users.len().into()),
        ("workflows_with_authors", attributed.into()),
        ("workflows_without_authors", (sums.total - attributed).into()),
    ]);
    let summary = object([
        ("total_workflows", sums.total.into()),
        ("total_runtime_hours", round(sums.hours, 2).into()),
        ("average_workflow_duration_hours", sums.average().into()),
        ("completion_rate_percent", sums.completion().into()),
        ("workflows_with_known_authors", attributed.into()),
        ("author_attribution_rate_percent", attribution.into()),
    ]);
    let mut by_author = Fields::new();
    for user in &users {
        by_author.push(user.author.to_owned(), details(user));
    }
    object([("report_metadata", metadata), ("system_summary", summary), ("user_utilization", Value::Map(by_author))])
}

fn details(user: &User<'_>) -> Value {
    let sums = user.sums();
    let workflow = |workflow: &Workflow<'_>| {
        object([
            ("workflow_id", workflow.id.into()),
            ("workflow_name", workflow.name.unwrap_or("Unknown").into()),
            ("start_time", workflow.start.map(iso).into()),
            ("end_time", workflow.end.map(iso).into()),
            ("duration_hours", workflow.hours().into()),
            ("status", workflow.status.into()),
        ])
    };
    object([
        ("author", user.author.into()),
        ("total_workflows", sums.total.into()),
        ("completed_workflows", sums.completed.into()),
        ("failed_workflows", sums.failed.into()),
        ("cancelled_workflows", sums.cancelled.into()),
        ("total_runtime_hours", round(sums.hours, 2).into()),
        ("average_workflow_duration_hours", sums.average().into()),
        ("shortest_workflow_hours", sums.shortest.map(|hours| round(hours, 3)).into()),
        ("longest_workflow_hours", sums.longest.map(|hours| round(hours, 3)).into()),
        ("completion_rate_percent", sums.completion().into()),
        ("workflows", Value::List(user.workflows.iter().map(workflow).collect())),
    ])
}
