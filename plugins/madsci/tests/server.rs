//! Our sender against the published event managers 0.5.2 and 0.8.1.

#[path = "support/published.rs"]
mod published;

use metlog_madsci as _;
use metlog_message::{Fields, Lines, Value, wire};
use metlog_pipeline::{Sender, SenderEntry};
use metlog_testkit::{sample, settings};
use published::{EventManager, NEW, OLD};
use std::collections::BTreeMap;

fn sender(server: &EventManager) -> Box<dyn Sender> {
    let toml = format!("event_server_url = 'http://127.0.0.1:{}'", server.port);
    let entry = SenderEntry::find("madsci").expect("there");
    (entry.read)(&settings(&toml)).unwrap_or_else(|problems| panic!("{problems}"))().expect("opens")
}

/// What it stored, by the number of the sample.
fn events(server: &EventManager) -> BTreeMap<i64, Fields> {
    let events = server.ask("GET /events?number=1000", "");
    let number = |event: &Fields| event.at("event_data.number").and_then(Value::as_i64).expect("a sample");
    events.iter().filter_map(|(_, event)| event.as_map()).map(|event| (number(event), event.clone())).collect()
}

#[test]
fn server_0_8_1_takes_everything_and_stores_a_repeat_once() {
    takes_everything(NEW);
}

#[test]
fn server_0_5_2_takes_everything_and_stores_a_repeat_once() {
    takes_everything(OLD);
}

fn takes_everything(packages: &[&str]) {
    let server = EventManager::new(packages);
    let payloads = sample::nasty();
    let mut batch = Lines::new();
    for (at, payload) in payloads.iter().enumerate() {
        let severity = metlog_message::Severity::ALL[at % 8];
        let message = sample::message(at as u64)
            .payload(payload.as_str())
            .severity(severity)
            .field("node_id", "01ARZ3NDEKTSV4RRFFQ69G5FAV")
            .field("user_id", "no ULID")
            .field("event_type", ["workflow_start", "resource_create", "experiment_stop"][at % 3]);
        batch.push_with(|line| wire::write(line, &message));
    }
    let mut sender = sender(&server);
    sender.send(&batch).expect("all are taken");
    sender.send(&batch).expect("all are taken again");
    let events = events(&server);
    assert_eq!(events.len(), payloads.len());
    for (at, payload) in payloads.iter().enumerate() {
        let event = &events[&(at as i64)];
        assert_eq!(event.at("event_data.message").and_then(Value::as_str), Some(payload.as_str()));
        assert_eq!(event.at("event_data.metlog.severity").and_then(Value::as_i64), Some(at as i64 % 8));
        assert_eq!(event.at("source.node_id").and_then(Value::as_str), Some("01ARZ3NDEKTSV4RRFFQ69G5FAV"));
        let kind = event.get("event_type").and_then(Value::as_str);
        assert_eq!(kind == Some("workflow_start"), at % 3 == 0, "{kind:?}");
    }
}
