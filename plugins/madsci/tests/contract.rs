//! The clauses of senders against a server that takes what both published event managers take, and refuses what one of
//! them refuses.

use metlog_madsci as _;
use metlog_message::{Fields, Value, wire};
use metlog_pipeline::{SendError, Sender, SenderEntry};
use metlog_testkit::http::{Answer, HttpPeer};
use metlog_testkit::service::{map, number, text};
use metlog_testkit::{Arrived, Peer, Service, of_example, open, sample, settings};
use std::collections::BTreeSet;
use std::time::Duration;

#[test]
fn the_example_opens() {
    let entry = SenderEntry::find("madsci").expect("there");
    (entry.read)(&of_example(entry.example)).unwrap_or_else(|problems| panic!("{problems}"))().expect("opens");
}

fn config(peer: &HttpPeer) -> String {
    format!("event_server_url = '{}'", peer.url())
}

/// What 0.5.2 knows of; 0.8.1 knows one of them under another name.
const PREFIXES: &[&str] = &["log", "unknown", "test", "lab_", "node_", "workcell_", "workflow_", "experiment_"];

fn is_ulid(text: &str) -> bool {
    text.len() == 26 && text.bytes().all(|byte| b"0123456789ABCDEFGHJKMNPQRSTVWXYZ".contains(&byte))
}

fn acceptable(event: &Fields) -> bool {
    let kind = text(event, "event_type");
    is_ulid(&text(event, "event_id"))
        && PREFIXES.iter().any(|prefix| kind.starts_with(prefix))
        && !["experiment_stop", "experiment_cancelled"].contains(&kind.as_str())
        && [0, 10, 20, 30, 40, 50].contains(&number(event, "log_level"))
        && event.get("alert").is_some_and(|alert| alert.as_bool().is_some())
        && text(event, "event_timestamp").ends_with('Z')
        && event
            .get("source")
            .and_then(Value::as_map)
            .is_some_and(|source| source.iter().all(|(_, id)| id.as_str().is_some_and(is_ulid)))
}

/// As strict as the service itself.
fn server() -> Service {
    let mut known = BTreeSet::new();
    Service::new(
        |http| open("madsci", &config(http)).expect("opens"),
        move |request, state| {
            // One request per message: the clause about slowness has hundreds.
            state.pause = state.pause.min(Duration::from_millis(5));
            assert_eq!((request.method.as_str(), request.target.as_str()), ("POST", "/event"));
            assert_eq!(request.header("content-type"), Some("application/json"));
            assert_eq!(request.header("content-encoding"), None);
            let event = map(&request.body);
            let arrived =
                Arrived { number: number(&event, "event_data.number"), payload: text(&event, "event_data.message") };
            if !acceptable(&event) || state.refused.contains(&arrived.number) {
                return Answer::new(422, "{\"detail\":[]}");
            }
            // A repeat is answered as if it were new, and the first one kept.
            if known.insert(text(&event, "event_id")) {
                state.arrived.push(arrived);
            }
            Answer::new(200, format!("{{\"_id\":\"{}\"}}", text(&event, "event_id")))
        },
    )
}

/// What becomes of a message.
fn event_of(server: &Service, message: &metlog_message::Message) -> Fields {
    let mut batch = metlog_message::Lines::new();
    batch.push_with(|line| wire::write(line, message));
    open("madsci", &config(&server.http)).expect("opens").send(&batch).expect("taken");
    map(&server.http.requests().last().expect("a request").body)
}

metlog_testkit::contract!(server());

#[test]
fn the_body_word_by_word() {
    let server = server();
    let event = event_of(&server, &sample::message(0));
    let expected = format!(
        concat!(
            r#"{{"event_id":"{}","event_type":"log_info","log_level":20,"alert":false,"#,
            r#""event_timestamp":"2026-11-20T22:00:50.000000Z","source":{{}},"event_data":{{"message":"message 0","#,
            r#""number":0,"metlog":{{"type":"contract","severity":5,"logger":"metlog.tests","hostname":"app01","#,
            r#""pid":4711,"client":"00000000c0ffee00","seq":1}}}}}}"#
        ),
        text(&event, "event_id")
    );
    assert_eq!(String::from_utf8_lossy(&server.http.requests()[0].body), expected);
}

#[test]
fn what_both_servers_know_has_its_place_and_the_rest_is_data() {
    let server = server();
    let id = "01ARZ3NDEKTSV4RRFFQ69G5FAV";
    let event = event_of(
        &server,
        &sample::message(0)
            .field("event_type", "Workflow_Start")
            .field("alert", true)
            .field("node_id", id)
            .field("user_id", "ann")
            .field("trace_id", "0123456789abcdef0123456789abcdef")
            .field("span_id", "short")
            .field("event_id", id),
    );
    assert_eq!((text(&event, "event_type"), text(&event, "event_id")), ("workflow_start".into(), id.into()));
    assert_eq!(event.get("alert"), Some(&Value::Bool(true)));
    assert_eq!((text(&event, "source.node_id"), text(&event, "event_data.user_id")), (id.into(), "ann".into()));
    assert_eq!(text(&event, "trace_id").len(), 32);
    assert_eq!((event.contains("span_id"), text(&event, "event_data.span_id")), (false, "short".into()));
    for kind in ["experiment_stop", "experiment_cancelled", "resource_create"] {
        let event = event_of(&server, &sample::message(1).field("event_type", kind));
        assert_eq!(
            (text(&event, "event_type"), text(&event, "event_data.event_type")),
            ("log_info".into(), kind.into())
        );
    }
}

#[test]
fn a_message_sent_twice_is_stored_once() {
    let mut server = server();
    let mut sender = server.sender();
    sender.send(&sample::lines(0, 3)).expect("taken");
    sender.send(&sample::lines(0, 3)).expect("taken");
    assert_eq!((server.http.requests().len(), server.arrived().len()), (6, 3));
}

#[test]
fn an_answer_that_is_no_event_is_no_success() {
    let peer = HttpPeer::new(|_| Answer::new(200, "<html>hello</html>"));
    let mut sender = open("madsci", &config(&peer)).expect("opens");
    match sender.send(&sample::lines(0, 1)) {
        Err(SendError::Pause { why }) => assert!(why.contains("event_server_url"), "{why}"),
        other => panic!("{other:?}"),
    }
    peer.script([Answer::new(429, "").header("Retry-After", "2")]);
    let wait = Some(Duration::from_secs(2));
    assert!(matches!(sender.send(&sample::lines(0, 1)), Err(SendError::Retry { after, .. }) if after == wait));
}

#[test]
fn the_address_has_several_spellings() {
    use metlog_madsci::{Config, MadsciSender};
    use metlog_settings::Environment;
    let server = server();
    for toml in [format!("event_server = '{}/'", server.http.url()), format!("url = '{}/event'", server.http.url())] {
        open("madsci", &toml).expect("opens").send(&sample::lines(0, 1)).expect("taken");
    }
    let variables = Environment::fixed([("EVENT_SERVER_URL", server.http.url())]);
    MadsciSender::open_with(Config::default(), &variables).expect("opens").send(&sample::lines(0, 1)).expect("taken");
    let none = Environment::fixed::<&str, &str>([]);
    assert!(MadsciSender::open_with(Config::default(), &none).expect_err("refused").contains("EVENT_SERVER_URL"));
    let entry = SenderEntry::find("madsci").expect("there");
    let told =
        (entry.read)(&settings("timeout = '1s'\nevent_server_url = 'ftp://h'")).err().expect("refused").to_string();
    assert_eq!(told, "test.toml:2:1: `event_server_url` has the scheme `ftp`; only http and https work here");
}
