//! The published clients 0.5.2 and 0.8.1, as they are, against the dialect: all they can write, and all they can ask.

#[path = "support/published.rs"]
mod published;
mod support;

use metlog_message::{Fields, Value};
use metlog_testkit::python;
use published::{EventManager, NEW, OLD};
use std::process::Command;
use support::House;

#[test]
fn client_0_8_1_writes_and_reads_all_it_can() {
    writes_and_reads(NEW);
}

#[test]
fn client_0_5_2_writes_and_reads_all_it_can() {
    writes_and_reads(OLD);
}

fn writes_and_reads(packages: &[&str]) {
    let house = House::new();
    let home = std::path::Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("client-{}", packages[1]));
    std::fs::create_dir_all(&home).expect("a folder for its own logs");
    let client = Command::new(python(packages))
        .arg(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/support/client.py"))
        .arg(format!("http://{}", house.at))
        .current_dir(&home)
        // Settings and proxies of whoever runs this are not the client's.
        .env_clear()
        .env("HOME", &home)
        .env("PYTHONIOENCODING", "utf-8")
        .output()
        .expect("Python starts");
    let said = String::from_utf8_lossy(&client.stderr);
    let tail: String = said.lines().rev().take(40).collect::<Vec<_>>().into_iter().rev().collect::<Vec<_>>().join("\n");
    assert!(client.status.success(), "{tail}");
    let seen = house.recorder.seen();
    assert_eq!((seen.refused, seen.pending, seen.forgotten), (Vec::new(), 0, 0));
    let output = String::from_utf8_lossy(&client.stdout);
    let sent = output.lines().last().and_then(|line| line.strip_prefix("{\"sent\": ")?.strip_suffix('}')?.parse().ok());
    assert_eq!(Some(seen.accepted.len()), sent, "each once");
}

/// A workcell and a lab, with experiments that overlap and nodes that come and go.
fn story() -> Vec<String> {
    let [bench, lab, arm, pump] = ["B", "C", "D", "E"].map(|last| format!("01ARZ3NDEKTSV4RRFFQ69G5FA{last}"));
    let ids = |name: &str, id: &str| format!("\"{name}\":\"{id}\"");
    let action = |id: &str, status: &str| format!("{},{}", ids("action_id", id), ids("status", status));
    let mut events = Vec::new();
    let mut event = |time: &str, kind: &str, source: &str, data: &str| {
        events.push(format!(
            r#"{{"event_id":"s{}","event_type":"{kind}","event_timestamp":"2026-03-02T{time}:00","source":{{{source}}},"event_data":{{{data}}}}}"#,
            events.len()
        ));
    };
    event("08:00", "workcell_start", &ids("workcell_id", &bench), "");
    event("08:00", "node_start", &ids("node_id", &arm), &ids("node_name", "Arm"));
    event("09:00", "experiment_start", "", &ids("experiment_id", "e1"));
    event("09:00", "action_status_change", &ids("node_id", &arm), &action("a1", "running"));
    event("09:15", "action_status_change", &ids("node_id", &arm), &action("a2", "started"));
    event("09:30", "experiment_start", "", &ids("experiment_id", "e2"));
    event("09:30", "action_status_change", &ids("node_id", &arm), &action("a1", "succeeded"));
    event("10:00", "experiment_complete", "", &ids("experiment_id", "e1"));
    event("10:00", "action_status_change", &ids("node_id", &arm), &action("a2", "failed"));
    event("10:30", "experiment_failed", "", &ids("experiment_id", "e2"));
    event("10:45", "action_status_change", &ids("node_id", &arm), &action("a3", "in_progress"));
    event("11:00", "node_stop", &ids("node_id", &arm), "");
    event("11:00", "action_status_change", &ids("node_id", &pump), &action("p1", "running"));
    event("11:20", "action_status_change", &ids("node_id", &pump), &action("p1", "finished"));
    event("11:30", "experiment_start", "", &ids("experiment_id", "e3"));
    event("12:00", "workcell_stop", &ids("workcell_id", &bench), "");
    event("13:00", "lab_start", &ids("manager_id", &lab), "");
    event("13:10", "experiment_start", "", &ids("experiment_id", "e4"));
    event("13:40", "experiment_complete", "", &ids("experiment_id", "e4"));
    event("15:00", "lab_start", &ids("manager_id", &lab), "");
    events
}

/// What of a report of sessions is a number, or says what a number is of. Times differ in form, names where theirs are
/// made up.
fn numbers(report: &Fields) -> Vec<String> {
    let one = |value: &Value, names: &[&str]| -> Vec<String> {
        let at = |name: &&str| {
            value
                .as_map()
                .and_then(|map| map.at(name))
                .map(|found| found.as_f64().map_or(found.to_text().into_owned(), |n| format!("{n:.9}")))
        };
        names.iter().map(|name| format!("{name} {}", at(name).unwrap_or_default())).collect()
    };
    let list = report.get("session_details").and_then(Value::as_list).expect("sessions");
    let mut found = Vec::new();
    for session in list {
        let names =
            ["session_type", "session_id", "duration_hours", "active_time_hours", "raw_hours.idle", "nodes_active"];
        found.extend(one(session, &names));
        found.extend(one(session, &["system_utilization_percent", "total_experiments", "timing.idle_time.display"]));
        let mut nodes: Vec<_> =
            session.as_map().and_then(|map| map.get("node_utilizations")?.as_map()).expect("nodes").iter().collect();
        nodes.sort_by_key(|(id, _)| *id);
        for (_, node) in nodes {
            found.extend(one(node, &["node_id", "node_name", "display_name", "utilization_percent", "state"]));
            found.extend(one(
                node,
                &["busy_time_hours", "idle_time_hours", "timing.busy_time.display", "raw_hours.total"],
            ));
        }
    }
    let overall = report.get("overall_summary").expect("a summary");
    let names = ["total_sessions", "total_system_runtime_hours", "total_active_time_hours", "total_experiments"];
    found.extend(one(overall, &names));
    found.extend(one(
        overall,
        &["average_system_utilization_percent", "nodes_tracked", "analysis_period.duration_hours"],
    ));
    found
}

#[test]
fn sessions_have_the_numbers_of_server_0_5_2() {
    let (house, published) = (House::new(), EventManager::new(OLD));
    for event in story() {
        assert_eq!(house.post(&event).status, 200);
        assert!(published.ask("POST /event", &event).contains("_id"), "{event}");
    }
    let line = "GET /utilization/sessions?start_time=2026-03-02T07:00:00&end_time=2026-03-02T18:00:00";
    let (ours, theirs) = (numbers(&house.ask(line, "").map()), numbers(&published.ask(line, "")));
    assert_eq!(ours, theirs);
    assert!(ours.len() > 40, "{ours:?}");
}
