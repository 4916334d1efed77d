//! The endpoint against a web server that answers by script.

use metlog_message::{Fields, Lines, Message, Severity, Value, wire};
use metlog_pipeline::{Endpoint, EndpointEntry, Picked, SendError};
use metlog_testkit::http::{Answer, Close, HttpPeer};
use metlog_testkit::{service, settings};
use metlog_webhook as _;
use std::time::Duration;

const SECRET: &str = "Tverysecret0";

fn open(toml: &str) -> Result<Box<dyn Endpoint>, String> {
    let entry = EndpointEntry::find("webhook").expect("registered");
    (entry.read)(&settings(toml)).map_err(|problems| problems.to_string())?()
}

fn to(peer: &HttpPeer, more: &str) -> Box<dyn Endpoint> {
    open(&format!("url = '{}/hooks/{SECRET}'\nthrottle = '0s'\n{more}", peer.url())).expect("opens")
}

fn error(payload: &str) -> Message {
    Message::new("oldstyle").logger("shop").severity(Severity::Error).payload(payload)
}

fn write(endpoint: &mut dyn Endpoint, from: u64, messages: &[Message]) -> Result<(), SendError> {
    let lines: Lines = messages
        .iter()
        .map(|message| {
            let mut line = Vec::new();
            wire::write(&mut line, message);
            line
        })
        .collect();
    let ids: Vec<u64> = (from..from + messages.len() as u64).collect();
    endpoint.write(&Picked::new(&lines, &ids))
}

fn fine() -> HttpPeer {
    HttpPeer::new(|_| Answer::new(200, "ok"))
}

fn bodies(peer: &HttpPeer) -> Vec<Fields> {
    peer.requests().iter().map(|request| service::map(&request.body)).collect()
}

#[test]
fn the_example_opens() {
    let entry = EndpointEntry::find("webhook").expect("registered");
    let mut root = settings(entry.example);
    let endpoints = root.as_table_mut().and_then(|root| root.remove("endpoints")).expect("a section");
    let mut section = endpoints.get("chat").cloned().expect("an endpoint");
    let table = section.as_table_mut().expect("a table");
    // Keys of every endpoint.
    table.remove("type");
    table.remove("severity_max");
    (entry.read)(&section).unwrap_or_else(|problems| panic!("{problems}"))().expect("opens");
}

#[test]
fn wrong_settings_are_told_without_the_address() {
    let base = format!("url = 'http://127.0.0.1:1/{SECRET}'\n");
    for (toml, words) in [
        (format!("url = 'ftp://h/{SECRET}'"), "`url` has the scheme `ftp`"),
        (format!("url = '{SECRET}'"), "`url`"),
        (format!("url = 'http://h/{SECRET} x'"), "`url`"),
        (String::new(), "`url` is missing"),
        ("url_file = 'no such file'".into(), "`url_file` no such file"),
        (format!("{base}url_file = 'x'"), "both set"),
        (format!("{base}format = 'xml'"), "plain"),
        (format!("{base}timeout = '0s'"), "`timeout`"),
        (format!("{base}prefix = \"a\\nb\""), "`prefix`"),
        (format!("{base}key = 'a'\nkey_file = 'b'"), "`key`"),
        (format!("{base}key_file = 'no such file'"), "no such file"),
        (format!("{base}absent_for = '5m'"), "`absent_for` means something only when `when` is `absence`"),
        (format!("{base}connection = {{ headers = {{ Host = 'x' }} }}"), "Host"),
    ] {
        let why = open(&toml).err().unwrap_or_else(|| panic!("{toml} is taken"));
        assert!(why.contains(words) && !why.contains(SECRET), "{toml}: {why}");
    }
    // Of these, whoever only asks whether a configuration is right has to hear as well.
    let wrong = settings(&format!("{base}connection = {{ headers = {{ Host = 'x' }} }}"));
    let problems = (EndpointEntry::find("webhook").expect("registered").read)(&wrong).err().expect("refused");
    assert!(problems.to_string().contains("Host"), "{problems}");
}

#[test]
fn a_program_gets_the_notice_as_json() {
    let peer = fine();
    let mut endpoint = to(&peer, "key = 'k'\nconnection = { headers = { X-Token = 't' } }");
    assert_eq!(write(&mut *endpoint, 1, &[error("a <b>\nc").field("n", 7)]), Ok(()));
    let requests = peer.requests();
    let request = &requests[0];
    assert_eq!((request.method.as_str(), request.target.as_str()), ("POST", format!("/hooks/{SECRET}").as_str()));
    assert_eq!(request.header("content-type"), Some("application/json"));
    assert_eq!((request.header("authorization"), request.header("x-token")), (Some("Bearer k"), Some("t")));
    let body = &bodies(&peer)[0];
    assert_eq!(service::text(body, "text"), "error shop: a <b>");
    assert_eq!((service::number(body, "severity"), service::number(body, "messages")), (3, 1));
    let item = body.get("items").and_then(Value::as_list).and_then(|items| items[0].as_map()).expect("an item");
    assert_eq!(service::text(item, "cause"), "each");
    assert_eq!(service::text(item, "message.payload"), "a <b>\nc");
    assert_eq!(service::text(item, "message.fields.n"), "7");
    assert_eq!(service::text(item, "group.logger"), "shop");
}

#[test]
fn the_address_can_stand_in_a_file() {
    let peer = fine();
    let file = std::path::Path::new(env!("CARGO_TARGET_TMPDIR")).join("url");
    std::fs::write(&file, format!("{}/hooks/{SECRET}\n", peer.url())).expect("written");
    let mut endpoint = open(&format!("url_file = '{}'", file.display())).expect("opens");
    assert_eq!(write(&mut *endpoint, 1, &[error("x")]), Ok(()));
    assert_eq!(peer.requests()[0].target, format!("/hooks/{SECRET}"));
}

#[test]
fn a_chat_gets_text_that_calls_nobody() {
    let peer = fine();
    let mut endpoint = to(&peer, "format = 'slack'");
    assert_eq!(write(&mut *endpoint, 1, &[error("<!channel> & @here")]), Ok(()));
    let body = &bodies(&peer)[0];
    assert_eq!(service::text(body, "text"), "[metlog] error shop: &lt;!channel&gt; &amp; @\u{200b}here");
    assert_eq!(body.get("link_names"), Some(&Value::Bool(false)));
    let large = error(&"<@".repeat(500_000));
    assert_eq!(write(&mut *endpoint, 2, &[large]), Ok(()));
    assert!(peer.requests()[1].body.len() < 50_000);
}

#[test]
fn a_server_that_asks_for_time_gets_it_and_nothing_comes_twice() {
    let peer = fine();
    let mut endpoint = to(&peer, "timeout = '500ms'");
    let batch = [error("one"), error("two")];
    peer.script([
        Answer::new(200, "ok"),
        Answer::new(429, "rate_limited").header("retry-after", "7"),
        Answer::new(503, ""),
        Answer::new(200, "late").delay(Duration::from_secs(1)),
        Answer::new(200, "").close(Close::Instead),
    ]);
    let result = write(&mut *endpoint, 1, &batch);
    let Err(SendError::Retry { after, done, why }) = result else { panic!("{result:?}") };
    assert_eq!((after, done), (Some(Duration::from_secs(7)), 1), "{why}");
    for _ in 0..3 {
        let result = write(&mut *endpoint, 2, &batch[1..]);
        assert!(matches!(result, Err(SendError::Retry { done: 0, .. })), "{result:?}");
    }
    assert_eq!(write(&mut *endpoint, 2, &batch[1..]), Ok(()));
    let ids: Vec<String> = bodies(&peer).iter().map(|body| service::text(body, "id")).collect();
    assert_eq!(ids.len(), 6);
    assert!(ids[0] != ids[1] && ids[1..].iter().all(|id| *id == ids[1]), "one id over all tries: {ids:?}");
}

#[test]
fn answers_decide_and_no_error_tells_the_address() {
    let peer = fine();
    let mut endpoint = to(&peer, "");
    let echo = format!("no such hook {SECRET}");
    for (status, at) in [(404, 1), (403, 1), (410, 1), (302, 1)] {
        peer.script([Answer::new(status, echo.as_str()).header("location", &format!("http://h/{SECRET}"))]);
        let result = write(&mut *endpoint, at, &[error("x")]);
        let Err(SendError::Pause { why }) = result else { panic!("{status}: {result:?}") };
        assert!(why.contains(&status.to_string()) && !why.contains(SECRET), "{why}");
    }
    peer.script([Answer::new(500, echo.as_str())]);
    let result = write(&mut *endpoint, 1, &[error("x")]);
    let Err(SendError::Retry { why, .. }) = result else { panic!("{result:?}") };
    assert!(!why.contains(SECRET), "{why}");
    peer.script([Answer::new(400, "invalid_payload")]);
    let result = write(&mut *endpoint, 1, &[error("x"), error("y")]);
    let Err(SendError::Refuse { why, which }) = result else { panic!("{result:?}") };
    assert!(which == [0] && why.contains("invalid_payload") && !why.contains(SECRET), "{why}");
    let last = bodies(&peer).last().map(|body| service::text(body, "text"));
    assert_eq!(last.as_deref(), Some("error shop: y"));
}

#[test]
fn a_dead_server_comes_back() {
    let mut peer = fine();
    let mut endpoint = to(&peer, "");
    peer.stop();
    let result = write(&mut *endpoint, 1, &[error("x")]);
    let Err(SendError::Retry { why, .. }) = result else { panic!("{result:?}") };
    assert!(!why.contains(SECRET), "{why}");
    peer.start();
    assert_eq!(write(&mut *endpoint, 1, &[error("x")]), Ok(()));
    assert_eq!(peer.requests().len(), 1);
    assert_eq!(endpoint.close(Duration::from_secs(1)), Ok(()));
}
