//! Against the published event managers 0.5.2 and 0.8.1, their stores in memory.

use metlog_madsci as _;
use metlog_message::{Fields, Lines, Value, wire};
use metlog_pipeline::{Sender, SenderEntry};
use metlog_testkit::{python, sample, settings};
use std::collections::BTreeMap;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::process::{Child, Command, Stdio};

/// Its own packages do not hold each other to one release, and no release works with pydantic 2.14.
const NEW: &[&str] = &["madsci_event_manager==0.8.1", "madsci_client==0.8.1", "madsci_common==0.8.1", "pydantic<2.14"];
const OLD: &[&str] =
    &["madsci_event_manager==0.5.2", "madsci_client==0.5.2", "madsci_common==0.5.2", "pydantic<2.14", "mongomock"];

struct EventManager {
    process: Child,
    port: u16,
}

impl EventManager {
    fn new(packages: &[&str]) -> Self {
        let release = packages.first().copied().unwrap_or_default();
        let home = std::path::Path::new(env!("CARGO_TARGET_TMPDIR")).join(release);
        // A server that was killed leaves a claim on its name there, and the next one waits until it has run out.
        let _none_yet = std::fs::remove_dir_all(&home);
        std::fs::create_dir_all(&home).expect("a folder for its own logs");
        let mut process = Command::new(python(packages))
            .arg(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/support/event_manager.py"))
            .current_dir(&home)
            .env("HOME", &home)
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .expect("Python starts");
        let output = BufReader::new(process.stdout.take().expect("its output"));
        let port = output.lines().map_while(Result::ok).find_map(|line| line.strip_prefix("port ")?.parse().ok());
        EventManager {
            process,
            port: port.expect("it says its port; run tests/support/event_manager.py to see why not"),
        }
    }

    fn sender(&self) -> Box<dyn Sender> {
        let toml = format!("event_server_url = 'http://127.0.0.1:{}'", self.port);
        let entry = SenderEntry::find("madsci").expect("there");
        (entry.read)(&settings(&toml)).unwrap_or_else(|problems| panic!("{problems}"))().expect("opens")
    }

    /// What it stored, by the number of the sample.
    fn events(&self) -> BTreeMap<i64, Fields> {
        let mut connection = TcpStream::connect(("127.0.0.1", self.port)).expect("it listens");
        connection.write_all(b"GET /events?number=1000 HTTP/1.0\r\nHost: localhost\r\n\r\n").expect("asked");
        let mut answer = Vec::new();
        connection.read_to_end(&mut answer).expect("answered");
        let head = answer.windows(4).position(|part| part == b"\r\n\r\n").expect("a head");
        let Ok(Value::Map(events)) = wire::read_value(&answer[head + 4..]) else {
            panic!("{}", String::from_utf8_lossy(&answer))
        };
        let number = |event: &Fields| event.at("event_data.number").and_then(Value::as_i64).expect("a sample");
        events.iter().filter_map(|(_, event)| event.as_map()).map(|event| (number(event), event.clone())).collect()
    }
}

impl Drop for EventManager {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
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
    let mut sender = server.sender();
    sender.send(&batch).expect("all are taken");
    sender.send(&batch).expect("all are taken again");
    let events = server.events();
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
