//! The clauses of senders against a server that is as strict as Master Log's own, and what it gets word by word.

use metlog_masterlog as _;
use metlog_message::{Fields, Value, wire};
use metlog_pipeline::{SendError, Sender, SenderEntry};
use metlog_testkit::http::{Answer, HttpPeer, Request};
use metlog_testkit::service::{map, number, text};
use metlog_testkit::{Arrived, Service, of_example, open, sample, settings};
use std::time::Duration;
use std::time::Instant;

#[test]
fn the_example_opens() {
    let entry = SenderEntry::find("masterlog").expect("there");
    (entry.read)(&of_example(entry.example)).unwrap_or_else(|problems| panic!("{problems}"))().expect("opens");
}

fn config(peer: &HttpPeer) -> String {
    format!("endpoint = '{}'\napi_key = 'k-1'", peer.url())
}

fn logs(request: &Request) -> Vec<Fields> {
    let list = map(&request.body).get("logs").and_then(|logs| logs.as_list().map(<[Value]>::to_vec)).expect("`logs`");
    list.iter().map(|one| one.as_map().expect("an event").clone()).collect()
}

/// As strict as the service itself.
fn server() -> Service {
    Service::new(
        |http| open("masterlog", &config(http)).expect("opens"),
        |request, state| {
            assert_eq!((request.method.as_str(), request.target.as_str()), ("POST", "/api/v1/logs/batch"));
            assert_eq!(request.header("content-type"), Some("application/json"));
            if request.header("authorization") != Some("Bearer k-1") {
                return Answer::new(401, "{\"detail\":\"no key\"}");
            }
            let events = logs(request);
            assert!(events.len() <= 100, "{} in one request", events.len());
            let arrived: Vec<Arrived> = events
                .iter()
                .map(|event| Arrived { number: number(event, "metadata.number"), payload: text(event, "body") })
                .collect();
            if arrived.iter().any(|message| state.refused.contains(&message.number)) {
                return Answer::new(422, "{\"detail\":\"one of them\"}");
            }
            let answer = format!("{{\"accepted\":{}}}", arrived.len());
            state.arrived.extend(arrived);
            Answer::new(200, answer)
        },
    )
}

metlog_testkit::contract!(server());

#[test]
fn the_body_word_by_word() {
    let server = server();
    let mut sender = open("masterlog", &config(&server.http)).expect("opens");
    sender.send(&sample::lines(0, 1)).expect("taken");
    let expected = concat!(
        r#"{"logs":[{"severity":"info","tags":[],"title":"message 0","body":"message 0","metadata":{"number":0,"#,
        r#""metlog":{"type":"contract","severity":5,"logger":"metlog.tests","hostname":"app01","pid":4711,"#,
        r#""client":"00000000c0ffee00","seq":1}},"created_at":"2026-11-20T22:00:50.000000Z"}]}"#
    );
    assert_eq!(String::from_utf8_lossy(&server.http.requests()[0].body), expected);
    let mut batch = metlog_message::Lines::new();
    let message = sample::message(1)
        .payload("first line \nsecond")
        .severity(metlog_message::Severity::Debug)
        .field("level", "trace")
        .field("tags", "b, a,,a ,B")
        .field("ttl_seconds", 60)
        .field("expires_at", "2027-01-01T00:00:00Z")
        .field("created_at", "2026-01-01T00:00:00Z");
    batch.push_with(|line| wire::write(line, &message));
    sender.send(&batch).expect("taken");
    let event = logs(&server.http.requests()[1]).remove(0);
    assert_eq!((text(&event, "severity"), text(&event, "title")), ("trace".into(), "first line ".into()));
    assert_eq!(event.get("tags"), Some(&Value::from(["B", "a", "b"])));
    assert_eq!((number(&event, "ttl_seconds"), text(&event, "expires_at")), (60, "2027-01-01T00:00:00Z".into()));
    assert_eq!(text(&event, "created_at"), "2026-01-01T00:00:00Z");
    assert_eq!(text(&event, "metadata.metlog.timestamp"), "2026-11-20T22:00:50.001000Z", "nothing is lost");
}

#[test]
fn an_answer_that_no_such_server_gives_is_no_success() {
    let peer = HttpPeer::new(|_| Answer::new(200, ""));
    let mut sender = open("masterlog", &config(&peer)).expect("opens");
    sender.send(&sample::lines(0, 2)).expect("an empty answer is a good one");
    for page in ["[]", "\"ok\"", "<html>log in</html>"] {
        peer.script([Answer::new(200, page)]);
        assert!(matches!(sender.send(&sample::lines(0, 2)), Err(SendError::Pause { why }) if why.contains("endpoint")));
    }
    peer.script([Answer::new(200, "{\"accepted\":1}")]);
    match sender.send(&sample::lines(0, 2)) {
        Err(SendError::Refuse { why, which }) => {
            assert!(which.is_empty() && why.contains("1 of 2"), "{which:?} {why}");
        }
        other => panic!("{other:?}"),
    }
}

#[test]
fn requests_keep_their_distance_and_size() {
    let server = server();
    let toml = format!("{}\nbatch_size = 10\nmin_request_interval = '100ms'", config(&server.http));
    let mut sender = open("masterlog", &toml).expect("opens");
    let pacing = sender.pacing();
    assert_eq!((pacing.messages, pacing.wait), (10, Duration::from_secs(1)));
    assert_eq!(pacing.min_interval, Duration::from_millis(100));
    let began = Instant::now();
    sender.send(&sample::lines(0, 30)).expect("taken");
    assert!(began.elapsed() >= Duration::from_millis(200));
    let sizes: Vec<usize> = server.http.requests().iter().map(|request| logs(request).len()).collect();
    assert_eq!(sizes, [10, 10, 10]);
}

#[test]
fn any_form_of_the_address_and_the_variables_are_understood() {
    use metlog_masterlog::{Config, MasterLogSender};
    use metlog_settings::Environment;
    let server = server();
    for form in ["", "/", "/api/v1", "/api/v1/", "/api/v1/logs", "/api/v1/logs/", "/api/v1/logs/batch"] {
        let url = format!("{}{form}", server.http.url());
        let variables = [("MASTER_LOG_ENDPOINT", url.as_str()), ("MASTER_LOG_API_KEY", "k-1")];
        let mut sender = MasterLogSender::open_with(Config::default(), &Environment::fixed(variables)).expect("opens");
        sender.send(&sample::lines(0, 1)).expect("taken");
    }
    assert_eq!(server.http.requests().len(), 7);
    for (variables, words) in [
        (vec![], "MASTER_LOG_ENDPOINT"),
        (vec![("MASTER_LOG_ENDPOINT", "http://h")], "MASTER_LOG_API_KEY"),
        (
            vec![("MASTER_LOG_ENDPOINT", "http://h"), ("MASTER_LOG_API_KEY", "k"), ("MASTER_LOG_BATCH_SIZE", "many")],
            "MASTER_LOG_BATCH_SIZE",
        ),
    ] {
        let told = MasterLogSender::open_with(Config::default(), &Environment::fixed(variables)).expect_err("refused");
        assert!(told.contains(words), "{told}");
    }
}

#[test]
fn wrong_settings_are_told_with_their_place() {
    let entry = SenderEntry::find("masterlog").expect("there");
    for (toml, words) in [
        ("api_key = 'k'\nendpoint = 'h'", "test.toml:2:1: `endpoint` "),
        ("endpoint = 'http://h'\napi_key = ''", "test.toml:2:1: `api_key` is empty"),
        ("endpoint = 'http://h'\napi_key = 'k'\nbatch_size = 0", "test.toml:3:1: `batch_size` is 0"),
        ("endpoint = 'http://h'\napi_key = 'k'\napi_key_file = 'f'", "both `api_key` and `api_key_file` are set"),
    ] {
        let told = (entry.read)(&settings(toml)).err().expect("refused").to_string();
        assert!(told.contains(words), "{told}");
    }
}

#[test]
fn a_wrong_key_pauses() {
    let server = server();
    let mut sender =
        open("masterlog", &format!("endpoint = '{}'\napi_key = 'other'", server.http.url())).expect("opens");
    assert!(
        matches!(sender.send(&sample::lines(0, 1)), Err(SendError::Pause { why }) if why.contains("check the key"))
    );
}
