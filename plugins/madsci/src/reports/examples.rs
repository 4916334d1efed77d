//! Examples computed by hand.

use super::activity::{Activities, Activity};
use super::periods::Cut;
use super::{Range, csv, iso, periods, sessions, tail, users};
use crate::event::Event;
use crate::zone::{Period, Zone};
use metlog_message::wire::read_value;
use metlog_message::{Timestamp, Value};
use proptest::prelude::*;

const BENCH: &str = "01ARZ3NDEKTSV4RRFFQ69GBENC";
const LAB: &str = "01ARZ3NDEKTSV4RRFFQ69G00AB";
const ARM: &str = "01ARZ3NDEKTSV4RRFFQ69G0ARM";
const PUMP: &str = "01ARZ3NDEKTSV4RRFFQ69GPVMP";

fn at(text: &str) -> Timestamp {
    Timestamp::parse(text).expect(text)
}

fn range(start: &str, end: &str) -> Range {
    Range { start: at(start), end: at(end) }
}

/// What an event at that time on 2 March becomes.
fn activity(kind: &str, time: &str, source: &str, data: &str) -> Activity {
    let time = if time.len() == 5 { format!("2026-03-02T{time}:00Z") } else { time.to_owned() };
    let event = format!(
        r#"{{"event_type":"{kind}","event_timestamp":"{time}","source":{{{source}}},"event_data":{{{data}}}}}"#
    );
    let event = Event::read(read_value(event.as_bytes()).expect(&event)).unwrap_or_else(|no| panic!("{}", no.why));
    let at = event.moment().0;
    Activity::of(&event, at)
}

fn of(name: &str, id: &str) -> String {
    format!("\"{name}\":\"{id}\"")
}

fn experiment(kind: &str, time: &str, id: &str) -> Activity {
    activity(kind, time, "", &of("experiment_id", id))
}

fn action(time: &str, node: &str, id: &str, status: &str) -> Activity {
    let data = format!("{},{}", of("action_id", id), of("status", status));
    activity("action_status_change", time, &of("node_id", node), &data)
}

#[track_caller]
fn is(report: &Value, path: &str, expected: impl Into<Value>) {
    let found = report.as_map().and_then(|map| map.at(path)).unwrap_or_else(|| panic!("no {path} in {report:?}"));
    assert_eq!(found, &expected.into(), "{path}");
}

fn item<'a>(report: &'a Value, path: &str, place: usize) -> &'a Value {
    let list = report.as_map().and_then(|map| map.at(path)).and_then(Value::as_list).expect(path);
    &list[place]
}

/// A day at the bench and in the lab, in no order.
fn day() -> Activities {
    let bench = of("workcell_id", BENCH);
    let lab = of("manager_id", LAB);
    let mut events = vec![
        // 08:00 to 12:00, 4 hours.
        activity("workcell_start", "08:00", &bench, r#""name":" Bench ""#),
        activity("workcell_stop", "12:00", &bench, ""),
        // Never stopped: 13:00 to its next start at 15:00, 2 hours; then to the end of the range at 18:00, 3 hours.
        activity("lab_start", "13:00", &lab, ""),
        activity("lab_start", "15:00", &lab, ""),
        // Two that overlap, 09:00 to 10:30, and one that nobody ended, 11:30 to the session's end: 1.5 + 0.5 hours.
        activity(
            "experiment_start",
            "09:00",
            "",
            r#""experiment":{"_id":"e1","experiment_design":{"experiment_name":"Dye"}}"#,
        ),
        experiment("experiment_complete", "10:00", "e1"),
        experiment("experiment_start", "09:30", "e2"),
        experiment("experiment_failed", "10:30", "e2"),
        experiment("experiment_start", "11:30", "e3"),
        // Half an hour of the lab's first two.
        experiment("experiment_start", "13:00", "e4"),
        experiment("experiment_cancelled", "13:30", "e4"),
        // There from 08:00 to 11:00, 3 hours. At work 09:00 to 10:00 with one action or two, and from 10:45 to its stop.
        activity("node_start", "08:00", &of("node_id", ARM), &of("node_name", "Arm")),
        action("09:00", ARM, "a1", "running"),
        action("09:15", ARM, "a2", "STARTED"),
        action("09:30", ARM, "a1", "succeeded"),
        action("10:00", ARM, "a2", "failed"),
        action("10:45", ARM, "a3", "in_progress"),
        activity("node_stop", "11:00", &of("node_id", ARM), ""),
        action("11:30", ARM, "a3", "completed"),
        // Never started, so there for all 4 hours; at work from 11:00 to 11:30.
        action("11:00", PUMP, "p1", "running"),
        action("11:30", PUMP, "p1", "finished"),
        // A workcell is no node.
        action("11:00", BENCH, "b1", "running"),
    ];
    events.reverse();
    Activities::new(range("2026-03-02T08:00:00Z", "2026-03-02T18:00:00Z"), events, Vec::new())
}

#[test]
fn a_day_in_sessions() {
    let report = sessions::report(&day()).expect("a report");
    is(&report, "report_metadata.analysis_duration_hours", 10.0);
    let session = |place| item(&report, "session_details", place);
    for (place, id, name, hours, percent, experiments) in [
        // (1.5 + 0.5) / 4
        (0, BENCH, "Bench", 4.0, 50.0, 3),
        // 0.5 / 2
        (1, LAB, "Lab Q69G00AB", 2.0, 25.0, 1),
        // 0 / 3
        (2, LAB, "Lab Q69G00AB", 3.0, 0.0, 0),
    ] {
        is(session(place), "session_id", id);
        is(session(place), "session_name", name);
        is(session(place), "duration_hours", hours);
        is(session(place), "system_utilization_percent", percent);
        is(session(place), "total_experiments", experiments);
    }
    is(session(0), "timing.active_time.display", "2.0h");
    is(session(0), "timing.idle_time.seconds", 7200.0);
    is(session(1), "timing.active_time.display", "30.0m");
    is(item(session(0), "experiment_details", 0), "experiment_name", "Dye");
    is(item(session(0), "experiment_details", 1), "display_name", "Experiment e2");
    // (1 + 0.25) / 3 = 41.66…, and 0.5 / 4.
    is(session(0), &format!("node_utilizations.{ARM}.utilization_percent"), 41.7);
    is(session(0), &format!("node_utilizations.{ARM}.display_name"), "Arm (FQ69G0ARM)".replace("FQ69G0ARM", tail(ARM)));
    is(session(0), &format!("node_utilizations.{ARM}.busy_time_hours"), 1.25);
    is(session(0), &format!("node_utilizations.{ARM}.idle_time_hours"), 1.75);
    is(session(0), &format!("node_utilizations.{PUMP}.utilization_percent"), 12.5);
    is(session(0), "nodes_active", 2);
    is(&report, "overall_summary.total_sessions", 3);
    is(&report, "overall_summary.total_system_runtime_hours", 9.0);
    is(&report, "overall_summary.total_active_time_hours", 2.5);
    // (50 + 25 + 0) / 3, which is not 2.5 / 9.
    is(&report, "overall_summary.average_system_utilization_percent", 25.0);
    is(&report, "overall_summary.total_experiments", 4);
    is(&report, &format!("overall_summary.node_summary.{PUMP}.total_busy_time_hours"), 0.5);
}

#[test]
fn without_a_start_the_whole_range_is_a_session() {
    let events = vec![experiment("experiment_start", "09:00", "e1"), experiment("experiment_stop", "12:00", "e1")];
    let activities = Activities::new(range("2026-03-02T08:00:00Z", "2026-03-02T20:00:00Z"), events, Vec::new());
    let report = sessions::report(&activities).expect("a report");
    let session = item(&report, "session_details", 0);
    is(session, "session_type", "default_analysis");
    is(session, "session_name", "Complete Database Analysis");
    // 3 / 12
    is(session, "system_utilization_percent", 25.0);
}

#[test]
fn names_come_from_before_the_range_if_need_be() {
    let mut activities = day();
    let earlier = vec![
        activity("node_start", "07:00", &of("node_id", PUMP), &of("node_name", "Pump")),
        activity("node_start", "06:00", &of("node_id", PUMP), &of("node_name", "Old Pump")),
    ];
    activities = Activities::new(activities.range, activities.events, earlier);
    let report = sessions::report(&activities).expect("a report");
    let session = item(&report, "session_details", 0);
    is(session, &format!("node_utilizations.{PUMP}.node_name"), "Pump");
}

#[test]
fn sessions_as_a_table() {
    let report = sessions::report(&day()).expect("a report");
    let table = csv::sessions(&report);
    let lines: Vec<&str> = table.split("\r\n").collect();
    assert_eq!(lines[..3], ["=== UTILIZATION REPORT ===", "", "Report Metadata"]);
    assert_eq!(
        lines[9..17],
        [
            "Overall Summary",
            "Total Sessions,3",
            "Total System Runtime (hours),9.0",
            "Total Active Time (hours),2.5",
            "Average System Utilization (%),25.0",
            "Total Experiments,4",
            "Nodes Tracked,2",
            "",
        ]
    );
    assert_eq!(
        lines[17..],
        [
            "=== SESSION DETAILS ===",
            "Session Type,Session Name,Start Time,End Time,Duration (hours),System Utilization (%),Total Experiments,Nodes Active",
            "workcell,Bench,2026-03-02T08:00:00+00:00,2026-03-02T12:00:00+00:00,4.0,50.0,3,2",
            "lab,Lab Q69G00AB,2026-03-02T13:00:00+00:00,2026-03-02T15:00:00+00:00,2.0,25.0,1,0",
            "lab,Lab Q69G00AB,2026-03-02T15:00:00+00:00,2026-03-02T18:00:00+00:00,3.0,0.0,0,0",
            "",
            "=== NODE SUMMARY ===",
            "Node ID,Average Utilization (%),Total Busy Time (hours),Sessions Active",
            "01ARZ3NDEKTSV4RRFFQ69G0ARM,41.66666666666667,1.25,1",
            "01ARZ3NDEKTSV4RRFFQ69GPVMP,12.5,0.5,1",
            "",
        ]
    );
}

fn workflow(kind: &str, time: &str, id: &str, data: &str) -> Activity {
    activity(kind, time, "", &format!("{},{data}", of("workflow_id", id)))
}

/// Ann has three: two hours as said, half an hour from start to end, and one that is still running.
fn workflows() -> Activities {
    let events = vec![
        workflow("workflow_start", "09:00", "w1", r#""name":"mix","author":" Ann ""#),
        workflow("workflow_complete", "10:00", "w1", r#""status":{"completed":true},"duration_seconds":7200"#),
        workflow("workflow_start", "11:00", "w2", r#""workflow_definition_metadata":{"author":"Ann"}"#),
        workflow("workflow_complete", "11:30", "w2", r#""status":{"failed":true,"completed":false}"#),
        workflow("workflow_start", "12:00", "w3", r#""author":"Ann""#),
        // Nobody's: its start is not in the range, so its time is its own two moments, 15 minutes.
        workflow(
            "workflow_complete",
            "13:00",
            "w4",
            r#""author":"  ","status":"Cancelled","start_time":"2026-03-02T12:45:00","end_time":"2026-03-02T13:00:00""#,
        ),
        workflow(
            "workflow_complete",
            "14:00",
            "w5",
            r#""author":"=cmd()","status":{"description":"It was Completed."}"#,
        ),
        activity("workflow_start", "15:00", "", r#""author":"Nobody counts one without an id""#),
    ];
    Activities::new(range("2026-03-02T00:00:00Z", "2026-03-03T00:00:00Z"), events, Vec::new())
}

#[test]
fn a_day_of_users() {
    let report = users::report(&workflows());
    let ann = |name: &str| format!("user_utilization.Ann.{name}");
    is(&report, &ann("total_workflows"), 3);
    is(&report, &ann("completed_workflows"), 1);
    is(&report, &ann("failed_workflows"), 1);
    // 2 + 0.5, and half of that.
    is(&report, &ann("total_runtime_hours"), 2.5);
    is(&report, &ann("average_workflow_duration_hours"), 1.25);
    is(&report, &ann("shortest_workflow_hours"), 0.5);
    is(&report, &ann("longest_workflow_hours"), 2.0);
    // 1 / 3
    is(&report, &ann("completion_rate_percent"), 33.33);
    let third = item(&report, "user_utilization.Ann.workflows", 2);
    is(third, "status", "started");
    is(third, "duration_hours", Value::Null);
    is(&report, "user_utilization.Unknown Author.cancelled_workflows", 1);
    is(&report, "user_utilization.Unknown Author.total_runtime_hours", 0.25);
    is(&report, "user_utilization.=cmd().completed_workflows", 1);
    // 2.75 hours in three that say them; two of five completed; four of five say whose.
    is(&report, "system_summary.total_workflows", 5);
    is(&report, "system_summary.total_runtime_hours", 2.75);
    is(&report, "system_summary.average_workflow_duration_hours", 0.917);
    is(&report, "system_summary.completion_rate_percent", 40.0);
    is(&report, "system_summary.author_attribution_rate_percent", 80.0);
    is(&report, "report_metadata.workflows_without_authors", 1);
}

#[test]
fn users_as_a_table() {
    let table = csv::users(&users::report(&workflows()));
    let lines: Vec<&str> = table.split("\r\n").collect();
    assert_eq!(lines[0], "=== DETAILED USER UTILIZATION REPORT ===");
    assert_eq!(
        lines[9..],
        [
            "System Summary",
            "Total Workflows,5",
            "Total Runtime (hours),2.75",
            "Average Workflow Duration (hours),0.917",
            "Completion Rate (%),40.0",
            "Author Attribution Rate (%),80.0",
            "",
            "=== USER DETAILS ===",
            "Author,Total Workflows,Completed,Failed,Cancelled,Total Runtime (hours),Avg Duration (hours),Completion Rate (%),Shortest (hours),Longest (hours)",
            "Ann,3,1,1,0,2.5,1.25,33.33,0.5,2.0",
            "Unknown Author,1,0,0,1,0.25,0.25,0.0,0.25,0.25",
            "'=cmd(),1,1,0,0,0.0,0.0,100.0,,",
            "",
        ]
    );
}

fn cut(period: Period, zone: &str) -> Cut {
    Cut { period, zone: Zone::named(zone).expect(zone), users: true }
}

/// Three days in Chicago, 24, 23 and 24 hours long: clocks go on an hour on 8 March.
fn spring() -> Activities {
    let bench = of("workcell_id", BENCH);
    let events = vec![
        // 48 hours: 12 on the first day (until 06:00 UTC), 23 on the second (until 05:00 UTC), 13 on the third.
        activity("workcell_start", "2026-03-07T18:00:00Z", &bench, &of("name", "Bench")),
        activity("workcell_stop", "2026-03-09T18:00:00Z", &bench, ""),
        // 24 of them with an experiment, so 50 %. The second begins at midnight, which is the second day's.
        experiment("experiment_start", "2026-03-07T18:00:00Z", "e1"),
        experiment("experiment_complete", "2026-03-08T06:00:00Z", "e1"),
        experiment("experiment_start", "2026-03-08T06:00:00Z", "e2"),
        experiment("experiment_failed", "2026-03-08T18:00:00Z", "e2"),
        // 12 hours of 48, so 25 %.
        action("2026-03-07T18:00:00Z", ARM, "a1", "running"),
        action("2026-03-08T06:00:00Z", ARM, "a1", "completed"),
        // Two more hours on the third day, with an experiment all the time.
        activity("lab_start", "2026-03-09T20:00:00Z", &of("manager_id", LAB), ""),
        activity("lab_stop", "2026-03-09T22:00:00Z", &of("manager_id", LAB), ""),
        experiment("experiment_start", "2026-03-09T20:00:00Z", "e3"),
        experiment("experiment_cancelled", "2026-03-09T22:00:00Z", "e3"),
        workflow("workflow_complete", "2026-03-09T21:00:00Z", "w1", r#""author":"Ann","duration_seconds":1800"#),
    ];
    Activities::new(range("2026-03-07T06:00:00Z", "2026-03-10T05:00:00Z"), events, Vec::new())
}

#[test]
fn days_of_23_hours() {
    let report = periods::report(&spring(), &cut(Period::Day, "America/Chicago")).expect("a report");
    is(&report, "summary_metadata.total_periods", 3);
    is(&report, "summary_metadata.user_timezone", "America/Chicago");
    let day = |place| item(&report, "time_series.system", place);
    for (place, date, runtime, active, percent) in [
        // The session's active time is spread evenly: 24 × 12 / 48 = 6, 24 × 23 / 48 = 11.5, 24 × 13 / 48 = 6.5.
        (0, "2026-03-07", 12.0, 6.0, 50.0),
        (1, "2026-03-08", 23.0, 11.5, 50.0),
        // The lab's two hours beside them: (6.5 + 2) / (13 + 2).
        (2, "2026-03-09", 15.0, 8.5, 8.5 / 15.0 * 100.0),
    ] {
        is(day(place), "period_number", place as i64 + 1);
        is(day(place), "period_display", date);
        is(day(place), "start_time", format!("{date}T00:00:00"));
        is(day(place), "runtime_hours", runtime);
        is(day(place), "active_time_hours", active);
        is(day(place), "utilization", percent);
        is(day(place), "experiments", 1);
    }
    // (50 + 50 + 56.66…) / 3
    is(&report, "key_metrics.average_utilization", 52.22);
    is(&report, "key_metrics.peak_utilization", 56.67);
    is(&report, "key_metrics.peak_period", "2026-03-09");
    is(&report, "key_metrics.peak_context", "Peak utilization on 2026-03-09");
    is(&report, "key_metrics.total_runtime_hours", 50.0);
    is(&report, "key_metrics.total_active_time_hours", 26.0);
    is(&report, "key_metrics.total_experiments", 3);
    // (56.66… - 50) / 50, and 1 against 1.
    is(&report, "trends.utilization_trend.direction", "increasing");
    is(&report, "trends.utilization_trend.change_percent", 13.33);
    is(&report, "trends.experiment_trend.direction", "stable");
    // 12 busy hours by the same shares: 3, 5.75 and 3.25.
    is(&report, &format!("node_summary.{ARM}.total_busy_hours"), 12.0);
    is(&report, &format!("node_summary.{ARM}.average_utilization"), 25.0);
    is(item(&report, &format!("time_series.nodes.{ARM}"), 1), "busy_hours", 5.75);
    is(&report, &format!("workcell_summary.{BENCH}.workcell_name"), "Bench");
    is(&report, &format!("workcell_summary.{BENCH}.total_experiments"), 2);
    is(&report, &format!("workcell_summary.{LAB}.average_utilization"), 100.0);
    let experiment = |place| item(&report, "experiment_details.experiments", place);
    for (place, status, display) in
        [(0, "completed", "12.0 hours"), (1, "failed", "12.0 hours"), (2, "cancelled", "2.0 hours")]
    {
        is(experiment(place), "status", status);
        is(experiment(place), "duration_display", display);
    }
    is(item(&report, "user_utilization.top_users", 0), "total_runtime_hours", 0.5);
}

#[test]
fn a_month_is_active_time_by_runtime() {
    let report = periods::report(&spring(), &cut(Period::Month, "America/Chicago")).expect("a report");
    // 26 / 50, while the one month's mean over periods would be the same only by chance.
    is(&report, "key_metrics.average_utilization", 52.0);
    is(item(&report, "time_series.system", 0), "period_display", "March 2026");
    is(item(&report, "time_series.system", 0), "date", "2026-03");
    is(&report, "trends.utilization_trend.direction", "insufficient_data");
}

#[test]
fn weeks_begin_on_monday() {
    let report = periods::report(&spring(), &cut(Period::Week, "America/Chicago")).expect("a report");
    let week = |place| item(&report, "time_series.system", place);
    is(week(0), "period_display", "Week of 2026-03-02");
    is(week(1), "period_display", "Week of 2026-03-09");
    // Saturday and Sunday: 12 + 23 hours.
    is(week(0), "runtime_hours", 35.0);
    is(week(1), "runtime_hours", 15.0);
    // (50 + 56.66…) / 2
    is(&report, "key_metrics.average_utilization", 53.33);
}

#[test]
fn an_experiment_on_an_edge_is_counted_once() {
    let mut events: Vec<_> = ["00:00", "01:00", "02:00", "03:00"]
        .iter()
        .enumerate()
        .map(|(place, time)| experiment("experiment_start", time, &format!("e{place}")))
        .collect();
    // Said again: it is still the one experiment.
    events.push(experiment("experiment_start", "02:30", "e0"));
    let activities = Activities::new(range("2026-03-02T00:00:00Z", "2026-03-02T03:00:00Z"), events, Vec::new());
    let report = periods::report(&activities, &cut(Period::Hour, "UTC")).expect("a report");
    is(&report, "key_metrics.total_experiments", 4);
    is(&report, "experiment_details.total_experiments", 4);
    // The end of the range belongs to its last hour.
    for (place, count) in [(0, 1), (1, 1), (2, 2)] {
        is(item(&report, "time_series.system", place), "experiments", count);
    }
    is(item(&report, "time_series.system", 1), "period_display", "2026-03-02 01:00");
    is(item(&report, "experiment_details.experiments", 0), "status", "in_progress");
}

#[test]
fn periods_as_a_table() {
    let report = periods::report(&spring(), &cut(Period::Day, "America/Chicago")).expect("a report");
    let table = csv::periods(&report);
    for line in [
        "=== UTILIZATION PERIODS REPORT ===",
        "Analysis Type,daily",
        "Average Utilization (%),52.22",
        "Period Number,Period Type,Period Display,Date,Start Time,Utilization (%),Experiments,Runtime (hours)",
        "2,day,2026-03-08,2026-03-08,2026-03-08T00:00:00,50.0,1,23.0",
        "Node ID,Node Name,Display Name,Average Utilization (%),Peak Utilization (%),Peak Period,Total Busy (hours)",
        "01ARZ3NDEKTSV4RRFFQ69G0ARM,,Node Q69G0ARM,25.0,25.0,2026-03-07,12.0",
        "Workcell ID,Workcell Name,Display Name,Average Utilization (%),Peak Utilization (%),Peak Period,Total Experiments,Total Runtime (hours),Total Active Time (hours)",
        "01ARZ3NDEKTSV4RRFFQ69GBENC,Bench,Bench (Q69GBENC),50.0,50.0,2026-03-07,2,48.0,24.0",
        "Author,Total Workflows,Total Runtime (hours),Completion Rate (%),Average Workflow Duration (hours)",
        "Ann,1,0.5,100.0,0.5",
        "Experiment ID,Experiment Name,Start Time,End Time,Status,Duration (hours),Duration Display",
        "e2,Unknown Experiment,2026-03-08T06:00:00+00:00,2026-03-08T18:00:00+00:00,failed,12.0,12.0 hours",
    ] {
        assert!(table.split("\r\n").any(|found| found == line), "{line}\nis not in\n{table}");
    }
}

#[test]
fn too_much_is_refused_in_words() {
    let far = Activities::new(range("2000-01-01T00:00:00Z", "2026-01-01T00:00:00Z"), Vec::new(), Vec::new());
    let told = periods::report(&far, &cut(Period::Hour, "UTC")).expect_err("too many hours");
    assert_eq!(told, "more than 10000 periods in that range; ask for longer ones");
    let starts = (0..2001).map(|_| activity("lab_start", "10:00", "", "")).collect();
    let many = Activities::new(range("2026-03-02T00:00:00Z", "2026-03-03T00:00:00Z"), starts, Vec::new());
    let told = sessions::report(&many).expect_err("too many sessions");
    assert_eq!(told, "more than 2000 sessions in that range; ask for a shorter one");
    // Never stopped and each its own, so that each looks at all that comes after it: 1500 × 20000.
    let starts = (0..1500).map(|lab| activity("lab_start", "10:00", "", &format!("\"workcell_id\":{lab}")));
    let one = action("11:00", ARM, "a", "running");
    let crowd = starts.chain(std::iter::repeat_n(one, 20_000)).collect();
    let crowd = Activities::new(range("2026-03-02T00:00:00Z", "2026-03-03T00:00:00Z"), crowd, Vec::new());
    let told = sessions::report(&crowd).expect_err("too much to look at");
    assert_eq!(told, "too many sessions at the same time in that range; ask for a shorter one");
}

#[test]
fn a_range_is_what_was_asked_for_or_all_there_is() {
    let (start, end) = (Some(at("2026-01-01T00:00:00Z")), Some(at("2026-01-03T00:00:00Z")));
    let all = Range { start: at("2026-02-01T00:00:00Z"), end: at("2026-02-02T00:00:00Z") };
    let range = |start, end| Range::of::<()>(start, end, || Ok(Some(all))).expect("a range");
    let text = |range: Range| format!("{} {}", iso(range.start), iso(range.end));
    assert_eq!(text(range(start, end)), "2026-01-01T00:00:00+00:00 2026-01-03T00:00:00+00:00");
    assert_eq!(text(range(start, None)), "2026-01-01T00:00:00+00:00 2026-01-02T00:00:00+00:00");
    assert_eq!(text(range(None, end)), "2026-01-02T00:00:00+00:00 2026-01-03T00:00:00+00:00");
    assert_eq!(text(range(None, None)), "2026-01-31T23:59:00+00:00 2026-02-02T00:01:00+00:00");
    let empty = Range::of::<()>(None, None, || Ok(None)).expect("a range");
    assert!((empty.hours() - 24.0).abs() < 0.01);
}

/// Anything at any minute of a week in which Chicago's clocks go on.
fn weeks() -> impl Strategy<Value = Activities> {
    let kinds = proptest::sample::select(sessions::KINDS);
    let one = (kinds, 0i64..=167 * 60, 0u8..4, proptest::sample::select(vec!["running", "completed", "failed", "x"]));
    proptest::collection::vec(one, 0..60).prop_map(|events| {
        let start = at("2026-03-05T06:00:00Z");
        let events = events.into_iter().map(|(kind, minute, id, status)| {
            let time = Timestamp::from_unix_seconds(start.unix_seconds() + minute * 60);
            let ids = ["a", "b", "c", "d"].map(Some);
            let id = ids.get(usize::from(id)).copied().flatten().map(str::to_owned);
            let place = if kind.starts_with("lab") || kind.starts_with("workcell") { id.clone() } else { None };
            Activity {
                at: time,
                kind,
                places: [None, None, place],
                node: if kind.starts_with("node") || kind.starts_with("action") {
                    Some(format!("n{id:?}"))
                } else {
                    None
                },
                experiment: id.clone(),
                action: id.clone(),
                workflow: id,
                status: Some(status.to_owned()),
                ..Activity::default()
            }
        });
        Activities::new(Range { start, end: at("2026-03-12T05:00:00Z") }, events.collect(), Vec::new())
    })
}

proptest! {
    #[test]
    fn periods_are_all_of_the_sessions(
        activities in weeks(),
        period in proptest::sample::select(vec![Period::Hour, Period::Day, Period::Week, Period::Month]),
        zone in proptest::sample::select(vec!["UTC", "America/Chicago", "Asia/Kathmandu", "Pacific/Chatham"]),
    ) {
        let sessions = sessions::sessions(&activities).expect("few");
        let buckets = periods::buckets(&activities, &sessions, &cut(period, zone)).expect("few");
        prop_assert!(buckets.windows(2).all(|two| two[0].range.end == two[1].range.start), "no gap and no overlap");
        prop_assert_eq!(buckets.first().map(|one| one.range.start), Some(activities.range.start));
        prop_assert_eq!(buckets.last().map(|one| one.range.end), Some(activities.range.end));
        let same = |one: f64, other: f64| (one - other).abs() < 1e-6 * other.abs().max(1.0);
        let lasting: f64 = sessions.iter().map(|session| session.range.hours()).sum();
        prop_assert!(same(buckets.iter().map(|one| one.runtime).sum(), lasting));
        // A session of no length has no share to give.
        let long = sessions.iter().filter(|session| session.range.hours() > 0.0);
        let active: f64 = long.clone().map(|session| session.active as f64 / 3.6e12).sum();
        prop_assert!(same(buckets.iter().map(|one| one.active).sum(), active));
        let busy: f64 = long.flat_map(|session| &session.nodes).map(|node| node.busy as f64 / 3.6e12).sum();
        prop_assert!(same(buckets.iter().flat_map(|one| one.nodes.values()).map(|(_, busy)| busy).sum(), busy));
        let begun = activities.events.iter().filter(|event| event.kind == "experiment_start");
        let begun: std::collections::HashSet<_> = begun.filter_map(|event| event.experiment.as_ref()).collect();
        prop_assert_eq!(buckets.iter().map(|one| one.experiments).sum::<usize>(), begun.len());
        for session in &sessions {
            prop_assert!((0.0..=100.0).contains(&session.percent()));
        }
        let report = periods::report(&activities, &cut(period, zone)).expect("few");
        prop_assert!(csv::periods(&report).lines().count() > buckets.len());
        let users = users::report(&activities);
        prop_assert!(csv::users(&users).starts_with("=== DETAILED"));
    }
}
