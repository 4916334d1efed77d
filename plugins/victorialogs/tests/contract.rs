//! The clauses of senders against a server that answers 200 to everything, as VictoriaLogs does, and keeps only what
//! VictoriaLogs would keep.

use metlog_message::{Fields, Value, wire};
use metlog_pipeline::{SendError, SenderEntry};
use metlog_testkit::http::{Answer, HttpPeer, Request};
use metlog_testkit::service::{map, number, text};
use metlog_testkit::{Arrived, Peer, Service, of_example, open, sample, settings};
use metlog_victorialogs as _;

#[test]
fn the_example_opens() {
    let entry = SenderEntry::find("victorialogs").expect("there");
    (entry.read)(&of_example(entry.example)).unwrap_or_else(|problems| panic!("{problems}"))().expect("opens");
}

#[test]
fn wrong_settings_are_told_with_their_place() {
    let entry = SenderEntry::find("victorialogs").expect("there");
    for (toml, words) in [
        ("timeout = '1s'\nurl = 'ftp://h'", "test.toml:2:1: `url` has the scheme `ftp`"),
        ("url = 'http://h'\nstream_fields = ['a', '']", "test.toml:2:1: `stream_fields` holds \"\""),
    ] {
        let told = (entry.read)(&settings(toml)).err().expect("refused").to_string();
        assert!(told.contains(words), "{told}");
    }
}

/// The samples have a fixed date, so the time the server keeps things is long.
fn config(peer: &HttpPeer) -> String {
    format!("url = '{}'\nretention = '20000d'\nfuture_retention = '20000d'", peer.url())
}

fn rows(request: &Request) -> Vec<Vec<u8>> {
    let body = match request.header("content-encoding") {
        Some("zstd") => zstd::decode_all(request.body.as_slice()).expect("zstd"),
        None => request.body.clone(),
        other => panic!("{other:?}"),
    };
    let body = body.strip_suffix(b"\n").expect("every line is ended");
    body.split(|byte| *byte == b'\n').map(<[u8]>::to_vec).collect()
}

/// Whether the server would store the row as it is.
fn kept(row: &[u8]) -> bool {
    fn names(prefix: &str, map: &Fields, into: &mut Vec<String>) {
        for (name, value) in map.iter() {
            match value {
                Value::Map(inner) => names(&format!("{prefix}{name}."), inner, into),
                _ => into.push(format!("{prefix}{name}")),
            }
        }
    }
    let (event, mut all) = (map(row), Vec::new());
    names("", &event, &mut all);
    let count = all.len();
    let short = all.iter().all(|name| name.len() <= 128);
    all.sort();
    all.dedup();
    row.len() < 256 * 1024
        && count <= 1000
        && short
        && all.len() == count
        && text(&event, "_time").parse::<u64>().is_ok_and(|nanos| nanos > 2_147_483_648_000_000)
        && !text(&event, "_msg").is_empty()
        && !event.contains("_stream")
        && !event.contains("_stream_id")
}

/// As strict as the service itself.
fn server() -> Service {
    Service::new(
        |http| open("victorialogs", &config(http)).expect("opens"),
        |request, state| {
            let path = "/insert/jsonline?_stream_fields=type,logger,hostname&_time_field=_time&_msg_field=_msg";
            assert_eq!((request.method.as_str(), request.target.as_str()), ("POST", path));
            // A form's content type would be answered with 200 and store nothing.
            assert_eq!(request.header("content-type"), Some("application/stream+json"));
            let rows: Vec<_> = rows(request).into_iter().filter(|row| kept(row)).collect();
            assert!(rows.len() <= 1000);
            let arrived: Vec<Arrived> = rows
                .iter()
                .map(|row| {
                    let row = map(row);
                    // An empty message shows its type, since the server would write a complaint there.
                    let payload = Some(text(&row, "_msg")).filter(|text| text != "contract").unwrap_or_default();
                    Arrived { number: number(&row, "number"), payload }
                })
                .collect();
            if arrived.iter().any(|message| state.refused.contains(&message.number)) {
                return Answer::new(400, "cannot");
            }
            state.arrived.extend(arrived);
            Answer::new(200, "")
        },
    )
}

fn send(server: &Service, messages: &[metlog_message::Message]) -> Result<(), SendError> {
    let mut batch = metlog_message::Lines::new();
    for message in messages {
        batch.push_with(|line| wire::write(line, message));
    }
    open("victorialogs", &config(&server.http)).expect("opens").send(&batch)
}

metlog_testkit::contract!(server());

#[test]
fn the_body_word_by_word() {
    let server = server();
    send(&server, &[sample::message(0)]).expect("taken");
    let expected = concat!(
        r#"{"_time":"1795212050000000000","_msg":"message 0","type":"contract","logger":"metlog.tests","severity":5,"#,
        r#""level":"notice","hostname":"app01","pid":4711,"metlog_client":"00000000c0ffee00","metlog_seq":1,"number":0}"#
    );
    let request = server.http.requests().remove(0);
    assert_eq!(
        request.header("content-encoding"),
        Some("zstd"),
        "always: uncompressed, a long line takes others along"
    );
    assert_eq!(String::from_utf8_lossy(&rows(&request)[0]), expected);
}

#[test]
fn what_the_server_would_lose_is_refused_here() {
    let mut server = server();
    let many: Fields = (0..1001).map(|at| (format!("f{at}"), at)).collect();
    let mut early = sample::message(2);
    early.timestamp = metlog_message::Timestamp::from_nanos(1);
    let long = sample::message(1).payload("x".repeat(256 * 1024));
    let sent =
        send(&server, &[sample::message(0), long, early, sample::message(3).field("many", many), sample::message(4)]);
    match sent {
        Err(SendError::Refuse { why, which }) => {
            assert_eq!(which, [1, 2, 3]);
            for words in ["`max_line`", "before 1971", "1000"] {
                assert!(why.contains(words), "{why}");
            }
        }
        other => panic!("{other:?}"),
    }
    assert_eq!(server.arrived().iter().map(|message| message.number).collect::<Vec<_>>(), [0, 4]);
}

#[test]
fn names_that_are_taken_or_too_long_move_aside() {
    let mut server = server();
    let message =
        sample::message(0).field("_stream", "x").field("type", "mine").field("n".repeat(129), 1).field("level", "loud");
    send(&server, &[message]).expect("taken");
    assert_eq!(server.arrived().len(), 1);
    let row = map(&rows(&server.http.requests()[0])[0]);
    assert_eq!((text(&row, "fields._stream"), text(&row, "fields.type")), ("x".into(), "mine".into()));
    assert_eq!((text(&row, "type"), text(&row, "level")), ("contract".into(), "loud".into()));
    assert!(row.get("long_names").is_some_and(|names| names.as_list().is_some_and(|list| list.len() == 1)));
}

#[test]
fn old_and_future_messages_are_told_about_their_setting() {
    let server = server();
    let mut sender = open("victorialogs", &format!("url = '{}'", server.http.url())).expect("opens");
    for (days, setting) in [(-8, "`retention`"), (3, "`future_retention`")] {
        let mut message = sample::message(0);
        let nanos = metlog_message::Timestamp::now().nanos() + days * 86_400_000_000_000;
        message.timestamp = metlog_message::Timestamp::from_nanos(nanos);
        let mut batch = metlog_message::Lines::new();
        batch.push_with(|line| wire::write(line, &message));
        assert!(matches!(sender.send(&batch), Err(SendError::Refuse { why, .. }) if why.contains(setting)));
    }
    assert!(server.http.requests().is_empty());
}

#[test]
fn tenant_key_prefix_and_fields_reach_the_server() {
    let peer = HttpPeer::new(|_| Answer::new(200, ""));
    let toml = format!(
        "url = '{}/prefix/'\nstream_fields = ['type', 'host name']\naccount_id = 7\nproject_id = 8\nusername = 'u'\n\
         password = 'p'\nretention = '20000d'\nfuture_retention = '20000d'\nextra_fields = {{ site = 'a b' }}",
        peer.url()
    );
    open("victorialogs", &toml).expect("opens").send(&sample::lines(0, 1)).expect("taken");
    let request = peer.requests().remove(0);
    assert_eq!(
        request.target,
        "/prefix/insert/jsonline?_stream_fields=type,host%20name&_time_field=_time&_msg_field=_msg&extra_fields=site%3Da%20b"
    );
    assert_eq!((request.header("accountid"), request.header("projectid")), (Some("7"), Some("8")));
    assert_eq!(request.header("authorization"), Some("Basic dTpw"));
}
