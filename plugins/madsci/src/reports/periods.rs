//! Periods: sessions cut at hours, midnights, Mondays or firsts of the month of a zone. A session's active time is spread
//! evenly over its length.

use super::activity::{Activities, end_of_experiment};
use super::sessions::{self, Session};
use super::{Range, hours, iso, object, round, tail, users};
use crate::ask::Asked;
use crate::zone::{Period, Zone};
use metlog_message::{Fields, Timestamp, Value};
use std::collections::{BTreeMap, HashMap, HashSet};

/// More are refused: a year of hours fits.
const BUCKETS: usize = 10_000;

/// Parts of sessions and of nodes' work in all buckets together.
const PARTS: usize = 200_000;

/// Experiments that are listed.
const LISTED: usize = 50;

/// Users that are listed.
const TOP: usize = 10;

/// A change in percent beyond which it goes up or down.
const STABLE: f64 = 5.0;

/// How to cut.
#[derive(Debug, Clone)]
pub struct Cut {
    /// Where.
    pub period: Period,
    /// By whose clock.
    pub zone: Zone,
    /// Whether users are told of, too.
    pub users: bool,
}

impl Default for Cut {
    fn default() -> Self {
        Cut { period: Period::Day, zone: Zone::utc(), users: true }
    }
}

impl Cut {
    /// As asked for. A zone that nobody knows is UTC, and the report says so.
    ///
    /// # Errors
    /// If the period is none.
    pub fn of(asked: &Asked) -> Result<Self, String> {
        let period = |text: &str| {
            Some(match text.to_ascii_lowercase().as_str() {
                "hourly" => Period::Hour,
                "daily" => Period::Day,
                "weekly" => Period::Week,
                "monthly" => Period::Month,
                _ => return None,
            })
        };
        let period = asked.parsed("analysis_type", "hourly, daily, weekly or monthly", period)?;
        let zone = Zone::named(asked.get("user_timezone").unwrap_or("America/Chicago")).unwrap_or_else(Zone::utc);
        Ok(Cut { period: period.unwrap_or(Period::Day), zone, users: asked.flag("include_users", true)? })
    }

    fn name(&self) -> &'static str {
        match self.period {
            Period::Hour => "hourly",
            Period::Day => "daily",
            Period::Week => "weekly",
            Period::Month => "monthly",
        }
    }
}

/// What fell into one period.
#[derive(Debug, Clone, PartialEq)]
pub struct Bucket<'a> {
    /// Its part of the report's range: the end belongs to the next, or to this if it is the last.
    pub range: Range,
    /// What it is called.
    pub display: String,
    date: String,
    shown: String,
    /// Hours of sessions in it.
    pub runtime: f64,
    /// Hours of experiments in it.
    pub active: f64,
    /// Experiments that began in it.
    pub experiments: usize,
    parts: Vec<Part<'a>>,
    /// How busy each node was, and for how many hours.
    pub nodes: BTreeMap<&'a str, (Vec<f64>, f64)>,
}

/// A session's share of a period.
#[derive(Debug, Clone, PartialEq)]
struct Part<'a> {
    session: &'a Session,
    runtime: f64,
    active: f64,
    experiments: usize,
}

impl Bucket<'_> {
    /// 100 × active ÷ runtime.
    pub fn percent(&self) -> f64 {
        if self.runtime > 0.0 { self.active / self.runtime * 100.0 } else { 0.0 }
    }
}

/// The periods of a range, empty.
fn empty<'a>(range: Range, cut: &Cut) -> Result<Vec<Bucket<'a>>, String> {
    let beyond = || "the range is beyond what calendars hold".to_owned();
    let mut begin = cut.zone.begin(cut.period, range.start).ok_or_else(beyond)?;
    let mut buckets = Vec::new();
    while begin < range.end {
        if buckets.len() == BUCKETS {
            return Err(format!("more than {BUCKETS} periods in that range; ask for longer ones"));
        }
        let next = cut.zone.next(cut.period, begin).filter(|next| *next > begin).ok_or_else(beyond)?;
        let shown = cut.zone.shown(begin).ok_or_else(beyond)?;
        let (display, date) = match cut.period {
            Period::Hour => ("%Y-%m-%d %H:%M", "%Y-%m-%d"),
            Period::Day => ("%Y-%m-%d", "%Y-%m-%d"),
            Period::Week => ("Week of %Y-%m-%d", "%Y-%m-%d"),
            Period::Month => ("%B %Y", "%Y-%m"),
        };
        buckets.push(Bucket {
            range: Range { start: begin.max(range.start), end: next.min(range.end) },
            display: shown.strftime(display).to_string(),
            date: shown.strftime(date).to_string(),
            shown: shown.strftime("%Y-%m-%dT%H:%M:%S").to_string(),
            runtime: 0.0,
            active: 0.0,
            experiments: 0,
            parts: Vec::new(),
            nodes: BTreeMap::new(),
        });
        begin = next;
    }
    Ok(buckets)
}

/// Experiments of a range by the moment each first began.
fn begins(activities: &Activities) -> Vec<(Timestamp, &str)> {
    let mut seen = HashSet::new();
    let starts = activities.events.iter().filter(|event| event.kind == "experiment_start");
    let firsts = starts.filter_map(|event| Some((event.at, event.experiment.as_deref()?)));
    firsts.filter(|(_, id)| seen.insert(*id)).collect()
}

/// How many of them lie in a part of the range: the end belongs to what follows, if anything does.
fn count(begins: &[(Timestamp, &str)], part: Range, whole: Range) -> usize {
    let first = begins.partition_point(|(at, _)| *at < part.start);
    let inside = |at: Timestamp| if part.end == whole.end { at <= part.end } else { at < part.end };
    begins.partition_point(|(at, _)| inside(*at)).saturating_sub(first)
}

/// The periods of a range, with what fell into each.
///
/// # Errors
/// If there are too many of anything.
pub fn buckets<'a>(activities: &Activities, sessions: &'a [Session], cut: &Cut) -> Result<Vec<Bucket<'a>>, String> {
    let whole = activities.range;
    let mut buckets = empty(whole, cut)?;
    let begins = begins(activities);
    for bucket in &mut buckets {
        bucket.experiments = count(&begins, bucket.range, whole);
    }
    let mut parts = 0;
    for session in sessions {
        let length = session.range.nanos();
        let first = buckets.partition_point(|bucket| bucket.range.end <= session.range.start);
        for bucket in buckets.iter_mut().skip(first).take_while(|bucket| bucket.range.start < session.range.end) {
            let both = Range {
                start: bucket.range.start.max(session.range.start),
                end: bucket.range.end.min(session.range.end),
            };
            parts += 1 + session.nodes.len();
            if parts > PARTS {
                return Err(format!("more than {PARTS} parts of sessions; ask for a shorter range or longer periods"));
            }
            let share = both.nanos() as f64 / length as f64;
            let (runtime, active) = (both.hours(), hours(session.active) * share);
            bucket.runtime += runtime;
            bucket.active += active;
            bucket.parts.push(Part { session, runtime, active, experiments: count(&begins, both, whole) });
            for node in &session.nodes {
                let (percents, busy) = bucket.nodes.entry(&node.id).or_default();
                percents.push(node.percent());
                *busy += hours(node.busy) * share;
            }
        }
    }
    Ok(buckets)
}

fn mean(values: &[f64]) -> f64 {
    if values.is_empty() { 0.0 } else { values.iter().sum::<f64>() / values.len() as f64 }
}

/// The report.
///
/// # Errors
/// As [`buckets`] and [`sessions::sessions`].
pub fn report(activities: &Activities, cut: &Cut) -> Result<Value, String> {
    let sessions = sessions::sessions(activities)?;
    let buckets = buckets(activities, &sessions, cut)?;
    let Range { start, end } = activities.range;
    let metadata = object([
        ("analysis_type", cut.name().into()),
        ("generated_at", iso(Timestamp::now()).into()),
        ("period_start", iso(start).into()),
        ("period_end", iso(end).into()),
        ("user_timezone", cut.zone.name().into()),
        ("total_periods", buckets.len().into()),
    ]);
    let mut report = Fields::new();
    report.set("summary_metadata", metadata);
    report.set("key_metrics", key_metrics(&buckets, cut));
    if cut.users {
        report.set("user_utilization", top_users(activities));
    }
    let nodes = node_series(&buckets, cut);
    let places = place_series(&buckets, cut);
    report.set("node_summary", node_summary(&nodes, activities, cut));
    report.set("workcell_summary", place_summary(&places, activities, cut));
    report.set("trends", trends(&buckets));
    report.set("experiment_details", experiments(activities));
    let points = |series: &Series<'_>| Value::Map(series.iter().map(|(id, one)| (*id, one.points.clone())).collect());
    let time_series = object([
        ("system", Value::List(buckets.iter().enumerate().map(|(at, bucket)| point(at, bucket, cut)).collect())),
        ("nodes", points(&nodes)),
        ("workcells", points(&places)),
    ]);
    report.set("time_series", time_series);
    Ok(Value::Map(report))
}

fn key_metrics(buckets: &[Bucket<'_>], cut: &Cut) -> Value {
    let runtime: f64 = buckets.iter().map(|bucket| bucket.runtime).sum();
    let active: f64 = buckets.iter().map(|bucket| bucket.active).sum();
    let with: Vec<f64> = buckets.iter().filter(|bucket| bucket.experiments > 0).map(Bucket::percent).collect();
    let average = match cut.period {
        Period::Month if runtime > 0.0 => active / runtime * 100.0,
        Period::Month => 0.0,
        _ => mean(&with),
    };
    let [peak, period, context] = peak(buckets.iter().map(|bucket| (bucket.percent(), bucket.display.as_str())), cut);
    object([
        ("average_utilization", round(average, 2).into()),
        peak,
        period,
        context,
        ("total_experiments", buckets.iter().map(|bucket| bucket.experiments).sum::<usize>().into()),
        ("total_runtime_hours", round(runtime, 2).into()),
        ("total_active_time_hours", round(active, 2).into()),
        ("active_periods", with.len().into()),
        ("total_periods", buckets.len().into()),
    ])
}

/// The highest, the first of equals.
fn peak<'a>(values: impl Iterator<Item = (f64, &'a str)>, cut: &Cut) -> [(&'static str, Value); 3] {
    let highest = values.fold(None, |highest: Option<(f64, &str)>, one| match highest {
        Some(highest) if one.0 <= highest.0 => Some(highest),
        _ => Some(one).filter(|one| one.0 > 0.0).or(highest),
    });
    let preposition = match cut.period {
        Period::Day => "on",
        Period::Week => "during",
        _ => "in",
    };
    let (value, display, context) = match highest {
        None => (0.0, Value::Null, "No peak data available".to_owned()),
        Some((value, display)) => {
            (round(value, 2), display.into(), format!("Peak utilization {preposition} {display}"))
        }
    };
    [("peak_utilization", value.into()), ("peak_period", display), ("peak_context", context.into())]
}

/// What one node or workcell did, period by period.
#[derive(Default)]
struct One<'a> {
    percents: Vec<(f64, &'a str)>,
    experiments: usize,
    runtime: f64,
    /// Hours busy, or hours active.
    worked: f64,
    points: Value,
}

type Series<'a> = BTreeMap<&'a str, One<'a>>;

fn named<const N: usize>(at: usize, bucket: &Bucket<'_>, cut: &Cut, rest: [(&'static str, Value); N]) -> Value {
    let kind = match cut.period {
        Period::Hour => "period",
        Period::Day => "day",
        Period::Week => "week",
        Period::Month => "month",
    };
    let mut point = Fields::new();
    point.set("period_number", at + 1);
    point.set("period_type", kind);
    point.set("period_display", bucket.display.as_str());
    point.set("date", bucket.date.as_str());
    rest.into_iter().for_each(|(name, value)| point.set(name, value));
    Value::Map(point)
}

fn push(points: &mut Value, point: Value) {
    match points {
        Value::List(list) => list.push(point),
        other => *other = Value::List(vec![point]),
    }
}

fn point(at: usize, bucket: &Bucket<'_>, cut: &Cut) -> Value {
    let rest = [
        ("start_time", bucket.shown.as_str().into()),
        ("start_time_utc", iso(bucket.range.start).into()),
        ("utilization", bucket.percent().into()),
        ("experiments", bucket.experiments.into()),
        ("runtime_hours", bucket.runtime.into()),
        ("active_time_hours", bucket.active.into()),
    ];
    named(at, bucket, cut, rest)
}

fn node_series<'a>(buckets: &'a [Bucket<'a>], cut: &Cut) -> Series<'a> {
    let mut series = Series::new();
    for (at, bucket) in buckets.iter().enumerate() {
        for (id, (percents, busy)) in &bucket.nodes {
            let one = series.entry(id).or_default();
            let percent = round(mean(percents), 1);
            one.percents.push((percent, &bucket.display));
            one.worked += busy;
            let rest = [("utilization", percent.into()), ("busy_hours", round(*busy, 3).into())];
            push(&mut one.points, named(at, bucket, cut, rest));
        }
    }
    series
}

fn place_series<'a>(buckets: &'a [Bucket<'a>], cut: &Cut) -> Series<'a> {
    let mut series = Series::new();
    for (at, bucket) in buckets.iter().enumerate() {
        for part in bucket.parts.iter().filter(|part| part.session.kind != "default_analysis") {
            let one = series.entry(&part.session.id).or_default();
            let percent = round(part.session.percent(), 1);
            one.percents.push((percent, &bucket.display));
            one.experiments += part.experiments;
            one.runtime += part.runtime;
            one.worked += part.active;
            let rest = [
                ("utilization", percent.into()),
                ("experiments", part.experiments.into()),
                ("runtime_hours", part.runtime.into()),
                ("active_time_hours", part.active.into()),
            ];
            push(&mut one.points, named(at, bucket, cut, rest));
        }
    }
    series
}

fn average(one: &One<'_>) -> f64 {
    round(mean(&one.percents.iter().map(|(percent, _)| *percent).collect::<Vec<_>>()), 2)
}

fn node_summary(series: &Series<'_>, activities: &Activities, cut: &Cut) -> Value {
    let mut summary = Fields::new();
    for (id, one) in series {
        let (name, display) = sessions::node_names(id, activities);
        let [peak, period, context] = peak(one.percents.iter().copied(), cut);
        let details = object([
            ("node_id", (*id).into()),
            ("node_name", name),
            ("display_name", display),
            ("average_utilization", average(one).into()),
            peak,
            period,
            context,
            ("total_busy_hours", round(one.worked, 2).into()),
        ]);
        summary.push((*id).to_owned(), details);
    }
    Value::Map(summary)
}

fn place_summary(series: &Series<'_>, activities: &Activities, cut: &Cut) -> Value {
    let mut summary = Fields::new();
    for (id, one) in series {
        let name = activities.names.place(id);
        let display = name.map_or_else(|| format!("Workcell {}", tail(id)), |name| format!("{name} ({})", tail(id)));
        let name = name.map_or_else(|| format!("Workcell {}", tail(id)), str::to_owned);
        let [peak, period, context] = peak(one.percents.iter().copied(), cut);
        let details = object([
            ("workcell_id", (*id).into()),
            ("workcell_name", name.into()),
            ("display_name", display.into()),
            ("average_utilization", average(one).into()),
            peak,
            period,
            context,
            ("total_experiments", one.experiments.into()),
            ("total_runtime_hours", round(one.runtime, 2).into()),
            ("total_active_time_hours", round(one.worked, 2).into()),
        ]);
        summary.push((*id).to_owned(), details);
    }
    Value::Map(summary)
}

/// The last period with activity against the first.
fn trends(buckets: &[Bucket<'_>]) -> Value {
    let active: Vec<&Bucket<'_>> = buckets.iter().filter(|bucket| bucket.percent() > 0.0).collect();
    let trend = |of: fn(&Bucket<'_>) -> f64| {
        let (Some(first), Some(last)) = (active.first(), active.last().filter(|_| active.len() > 1)) else {
            return object([("direction", "insufficient_data".into()), ("change_percent", 0.into())]);
        };
        let (first, last) = (of(first), of(last));
        let change = if first == 0.0 { 0.0 } else { (last - first) / first * 100.0 };
        let direction = match () {
            () if change < -STABLE => "decreasing",
            () if change > STABLE => "increasing",
            () => "stable",
        };
        object([
            ("direction", direction.into()),
            ("change_percent", round(change, 2).into()),
            ("first_value", round(first, 2).into()),
            ("last_value", round(last, 2).into()),
            ("active_periods_analyzed", active.len().into()),
        ])
    };
    object([
        ("utilization_trend", trend(|bucket| bucket.percent())),
        ("experiment_trend", trend(|bucket| bucket.experiments as f64)),
    ])
}

/// Those that began first.
fn experiments(activities: &Activities) -> Value {
    let begins = begins(activities);
    let listed = begins.get(..LISTED).unwrap_or(&begins);
    let mut ends: HashMap<&str, (Timestamp, &str)> = HashMap::new();
    for event in &activities.events {
        let (Some(how), Some(id)) = (end_of_experiment(event.kind), event.experiment.as_deref()) else { continue };
        let begun = listed.iter().any(|(at, begun)| *begun == id && event.at >= *at);
        if begun {
            let said = event.status.as_deref().filter(|_| how == "completed");
            ends.entry(id).or_insert((event.at, said.unwrap_or(how)));
        }
    }
    let one = |(at, id): &(Timestamp, &str)| {
        let end = ends.get(id);
        let ran = end.map(|(end, _)| Range { start: *at, end: *end }.nanos());
        object([
            ("experiment_id", (*id).into()),
            ("experiment_name", activities.names.experiment(id).unwrap_or("Unknown Experiment").into()),
            ("start_time", iso(*at).into()),
            ("end_time", end.map(|(end, _)| iso(*end)).into()),
            ("status", end.map_or("in_progress", |(_, how)| *how).into()),
            ("duration_hours", ran.map(hours).into()),
            ("duration_display", ran.map_or_else(|| "Ongoing".to_owned(), lasting).into()),
        ])
    };
    object([("total_experiments", begins.len().into()), ("experiments", Value::List(listed.iter().map(one).collect()))])
}

fn lasting(nanos: i64) -> String {
    let seconds = nanos as f64 / 1e9;
    match seconds {
        ..60.0 => format!("{seconds:.1} seconds"),
        60.0..3600.0 => format!("{:.1} minutes", seconds / 60.0),
        _ => format!("{:.1} hours", seconds / 3600.0),
    }
}

fn top_users(activities: &Activities) -> Value {
    let users = users::users(activities);
    let system = users::system(&users);
    let mut by_hours: Vec<_> = users.iter().map(|user| (user.author, user.sums())).collect();
    by_hours.sort_by(|(_, one), (_, other)| other.hours.total_cmp(&one.hours));
    let top = by_hours.iter().take(TOP).map(|(author, sums)| {
        object([
            ("author", (*author).into()),
            ("total_workflows", sums.total.into()),
            ("total_runtime_hours", round(sums.hours, 2).into()),
            ("completion_rate_percent", sums.completion().into()),
            ("average_workflow_duration_hours", sums.average().into()),
        ])
    });
    let totals = object([
        ("total_workflows", system.total.into()),
        ("total_runtime_hours", round(system.hours, 2).into()),
        ("completion_rate_percent", system.completion().into()),
    ]);
    object([
        ("total_users", users.len().into()),
        ("author_attribution_rate_percent", users::attribution(&users).1.into()),
        ("top_users", Value::List(top.collect())),
        ("system_totals", totals),
    ])
}
