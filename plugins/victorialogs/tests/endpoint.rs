//! The endpoint against what VictoriaLogs does with its rows, above all behind a 200. The server is played, and it is
//! the real one as well where `VICTORIALOGS_BIN` names its program.

use metlog_message::{Fields, Lines, Message, Timestamp, Value, wire};
use metlog_pipeline::{Endpoint, EndpointEntry, Picked, SendError, Sender};
use metlog_testkit::http::{Answer, Close};
use metlog_testkit::victorialogs::{Row, VictoriaLogs};
use metlog_testkit::{Outcome, Policy, drive, eventually, sample, service, settings};
use metlog_victorialogs as _;
use std::collections::BTreeMap;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::ops::RangeInclusive;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::Once;
use std::time::Duration;

fn unpack(coding: &str, body: &[u8]) -> Option<Vec<u8>> {
    (coding == "zstd").then(|| zstd::decode_all(body).ok()).flatten()
}

fn played() -> VictoriaLogs {
    VictoriaLogs::new(unpack)
}

fn open(url: &str, more: &str) -> Result<Box<dyn Endpoint>, String> {
    let entry = EndpointEntry::find("victorialogs").expect("registered");
    (entry.read)(&settings(&format!("url = '{url}'\n{more}"))).unwrap_or_else(|problems| panic!("{problems}"))()
}

/// An endpoint that is given batches, and the rest of them, as the router does it.
struct Driven(Box<dyn Endpoint>);

impl Sender for Driven {
    fn send(&mut self, batch: &Lines) -> Result<(), SendError> {
        let ids: Vec<u64> = (0..batch.len() as u64).collect();
        self.0.write(&Picked::new(batch, &ids))
    }
}

fn driven(url: &str, more: &str) -> Driven {
    Driven(open(url, more).expect("opens"))
}

/// Everything offered has a verdict.
fn offer(to: &mut Driven, batch: Lines) -> Outcome {
    let offered = batch.len();
    let outcome = drive(to, batch, Policy::within(Duration::from_secs(20)));
    assert_eq!(offered, outcome.sent + outcome.refused + outcome.given_up, "{outcome:?}");
    outcome
}

/// A message of now, since the server keeps no others.
fn message(number: u64) -> Message {
    let mut message = sample::message(number);
    message.timestamp = Timestamp::now();
    message
}

fn line(message: &Message) -> Vec<u8> {
    let mut line = Vec::new();
    wire::write(&mut line, message);
    line
}

fn lines(from: u64, count: u64) -> Lines {
    (from..from + count).map(|number| line(&message(number))).collect()
}

fn numbers(rows: &[Row]) -> Vec<u64> {
    let number = |row: &Row| row.get("fields.number").and_then(|number| number.parse().ok()).expect("a number");
    let mut numbers: Vec<u64> = rows.iter().map(number).collect();
    numbers.sort_unstable();
    numbers
}

/// The real server with an empty store, which goes with it.
struct Real {
    process: Option<Child>,
    program: String,
    port: u16,
    store: PathBuf,
}

impl Real {
    /// `None`, and a line that says so, if there is none.
    fn new() -> Option<Self> {
        let Some(program) = std::env::var("VICTORIALOGS_BIN").ok().filter(|program| !program.is_empty()) else {
            // Not by `eprintln`, which shows nothing of a test that passes.
            static ONCE: Once = Once::new();
            ONCE.call_once(|| {
                writeln!(std::io::stderr(), "skipped: VICTORIALOGS_BIN names no VictoriaLogs binary").expect("written");
            });
            return None;
        };
        let port = TcpListener::bind("127.0.0.1:0").and_then(|free| free.local_addr()).expect("a free port").port();
        let store = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("victorialogs-endpoint-{port}"));
        let mut server = Real { process: None, program, port, store };
        server.start();
        Some(server)
    }

    fn start(&mut self) {
        let process = Command::new(&self.program)
            .arg(format!("-storageDataPath={}", self.store.display()))
            .arg(format!("-httpListenAddr=127.0.0.1:{}", self.port))
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn();
        self.process = Some(process.unwrap_or_else(|error| panic!("VICTORIALOGS_BIN is {:?}: {error}", self.program)));
        assert!(eventually(Duration::from_secs(30), || self.get("/health").is_ok()), "it does not listen");
    }

    /// At once, with what it has not written to its disk.
    fn kill(&mut self) {
        if let Some(mut process) = self.process.take() {
            process.kill().expect("it runs");
            process.wait().expect("it ends");
        }
    }

    fn get(&self, target: &str) -> std::io::Result<String> {
        let mut connection = TcpStream::connect(("127.0.0.1", self.port))?;
        write!(connection, "GET {target} HTTP/1.0\r\nHost: localhost\r\n\r\n")?;
        let mut answer = String::new();
        connection.read_to_string(&mut answer)?;
        let (head, body) = answer.split_once("\r\n\r\n").expect("a head");
        assert!(head.split(' ').nth(1) == Some("200"), "{target}: {answer}");
        Ok(body.to_owned())
    }
}

impl Drop for Real {
    fn drop(&mut self) {
        self.kill();
        let _never_made = std::fs::remove_dir_all(&self.store);
    }
}

#[test]
fn the_real_server_loses_what_it_confirmed_and_gets_it_again() {
    let Some(real) = Real::new() else { return };
    let mut server = Server::Real(real);
    let mut endpoint = driven(&server.url(), "");
    offer(&mut endpoint, lines(0, 1000));
    assert_eq!(numbers(&server.rows()).len(), 1000);
    assert!(!endpoint.0.relapsed());
    if let Server::Real(real) = &mut server {
        // Start times are whole seconds.
        std::thread::sleep(Duration::from_millis(1100));
        real.kill();
        real.start();
    }
    assert!(server.rows().len() < 1000, "otherwise there is nothing to mend");
    assert!(eventually(Duration::from_secs(5), || endpoint.0.relapsed()));
    offer(&mut endpoint, lines(0, 1000));
    let mut found = numbers(&server.rows());
    found.dedup();
    assert_eq!(found, (0..1000).collect::<Vec<_>>());
}

/// Something that stores rows.
enum Server {
    Played(VictoriaLogs),
    Real(Real),
}

impl Server {
    fn all() -> Vec<Server> {
        Real::new().map(Server::Real).into_iter().chain([Server::Played(played())]).collect()
    }

    fn url(&self) -> String {
        match self {
            Server::Played(server) => server.url(),
            Server::Real(server) => format!("http://127.0.0.1:{}", server.port),
        }
    }

    fn rows(&self) -> Vec<Row> {
        match self {
            Server::Played(server) => server.rows(),
            Server::Real(server) => {
                server.get("/internal/force_flush").expect("flushed");
                let found = server.get("/select/logsql/query?query=*&limit=100000").expect("asked");
                let row = |line: &str| {
                    let row = service::map(line.as_bytes());
                    row.iter().map(|(name, value)| (name.to_owned(), value.to_text().into_owned())).collect()
                };
                found.lines().map(row).collect()
            }
        }
    }

    /// Posts a body without the endpoint's care, and says the status.
    fn post(&self, headers: &[(&str, &str)], body: &[u8]) -> u16 {
        let url = self.url();
        let address = url.strip_prefix("http://").expect("a URL");
        let mut connection = TcpStream::connect(address).expect("it listens");
        let path = "/insert/jsonline?_time_field=timestamp&_msg_field=_msg,payload";
        let mut head =
            format!("POST {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\nContent-Length: {}\r\n", body.len());
        for (name, value) in headers {
            head.push_str(&format!("{name}: {value}\r\n"));
        }
        connection.write_all(&[head.as_bytes(), b"\r\n", body].concat()).expect("taken");
        let mut status = String::new();
        BufReader::new(connection).read_line(&mut status).expect("an answer");
        status.split(' ').nth(1).and_then(|status| status.parse().ok()).expect("a status")
    }
}

#[test]
fn the_example_opens() {
    let entry = EndpointEntry::find("victorialogs").expect("registered");
    let mut root = settings(entry.example);
    let endpoints = root.as_table_mut().and_then(|root| root.remove("endpoints")).expect("a section");
    let mut section = endpoints.get("logs").cloned().expect("an endpoint");
    section.as_table_mut().expect("a table").remove("type");
    let endpoint = (entry.read)(&section).unwrap_or_else(|problems| panic!("{problems}"))().expect("opens");
    assert_eq!(endpoint.settle(), Duration::from_secs(15));
}

#[test]
fn the_bytes_of_messages_go_unchanged_and_are_found() {
    for server in Server::all() {
        let mut endpoint = driven(&server.url(), "");
        let batch = lines(0, 1000);
        assert_eq!(offer(&mut endpoint, batch.clone()).sent, 1000);
        let rows = server.rows();
        assert_eq!(numbers(&rows), (0..1000).collect::<Vec<_>>());
        let row = rows.iter().find(|row| row.get("fields.number").is_some_and(|number| number == "7")).expect("there");
        for (name, value) in [
            ("_msg", "message 7"),
            ("type", "contract"),
            ("logger", "metlog.tests"),
            ("metlog_hostname", "app01"),
            ("metlog_seq", "8"),
        ] {
            assert_eq!(row.get(name).map(String::as_str), Some(value), "{row:?}");
        }
        if let Server::Played(server) = server {
            let request = server.http.requests().into_iter().find(|request| !request.body.is_empty()).expect("one");
            let path = "/insert/jsonline?_stream_fields=type,logger,metlog_hostname&_time_field=timestamp&_msg_field=_msg,payload";
            assert_eq!(request.target, path);
            assert_eq!(unpack("zstd", &request.body).as_deref(), Some(batch.bytes()));
            let stored = server.stored().remove(0);
            let stream: Vec<&str> = stored.stream.iter().map(|(_, value)| value.as_str()).collect();
            assert_eq!((stream, stored.tenant.as_str()), (vec!["contract", "metlog.tests", "app01"], "0:0"));
        }
    }
}

/// What the server loses behind a 200, and how often it answers something else.
#[test]
fn what_is_posted_without_care_is_lost_without_a_word() {
    let good = |number| line(&message(number));
    let many = |count: u64| (0..count).flat_map(|number| [good(number), b"\n".to_vec()].concat()).collect::<Vec<u8>>();
    let long = [b"{\"payload\":\"".as_slice(), &vec![b'x'; 300 * 1024], b"\"}\n"].concat();
    let zstd = |body: &[u8]| zstd::bulk::compress(body, 1).expect("zstd");
    let mut old = message(0);
    old.timestamp = Timestamp::from_nanos(old.timestamp.nanos() - 8 * 86_400_000_000_000);
    let json = ("Content-Type", "application/stream+json");
    let half = zstd(&many(2000));
    let half = &half[..half.len() / 2];
    type Case<'a> = (&'a str, Vec<(&'a str, &'a str)>, Vec<u8>, u16, RangeInclusive<usize>);
    let cases: Vec<Case> = vec![
        ("one bad line", vec![json], [good(1), b"\n{bad\n".to_vec(), good(2)].concat(), 200, 2..=2),
        ("every line bad", vec![json], b"{bad\n[1]\n".to_vec(), 400, 0..=0),
        ("too old", vec![json], line(&old), 200, 0..=0),
        ("a long line and a short one", vec![json], [long.clone(), good(1)].concat(), 200, 0..=0),
        ("many, a long one, some", vec![json], [many(1000), long.clone(), many(100)].concat(), 200, 1000..=1000),
        (
            "the same packed",
            vec![json, ("Content-Encoding", "zstd")],
            zstd(&[many(1000), long, many(100)].concat()),
            200,
            1100..=1100,
        ),
        ("a form", vec![("Content-Type", "application/x-www-form-urlencoded")], many(3), 200, 0..=0),
        ("an unknown coding", vec![json, ("Content-Encoding", "br")], many(3), 200, 0..=0),
        ("not packed at all", vec![json, ("Content-Encoding", "zstd")], many(3), 200, 0..=0),
        ("cut in half", vec![json, ("Content-Encoding", "zstd")], half.to_vec(), 200, 0..=1999),
        ("nothing", vec![json], Vec::new(), 200, 0..=0),
        ("no tenant", vec![json, ("AccountID", "x")], many(3), 400, 0..=0),
    ];
    for (what, headers, body, status, stored) in cases {
        for server in Server::all() {
            let (answered, found) = (server.post(&headers, &body), server.rows().len());
            assert!(answered == status && stored.contains(&found), "{what}: {answered}, {found} rows");
        }
    }
}

/// The same table, through the endpoint: each message is stored or refused, and nothing is dropped at the server.
#[test]
fn nothing_is_silently_lost() {
    let at = |number, days: i64| {
        let mut message = message(number);
        message.timestamp = Timestamp::from_nanos(message.timestamp.nanos() + days * 86_400_000_000_000);
        line(&message)
    };
    let with = |number, name: &str, value: Value| line(&message(number).field(name, value));
    let payload = |number, payload: Value| line(&message(number).payload(payload));
    let mut reserved = message(9);
    reserved.extra.set("_stream_id", "x");
    let mut long_name = message(10);
    long_name.extra.set("n".repeat(129), 1);
    let fields = |count: u64| Value::Map((0..count).map(|at| (format!("f{at}"), at)).collect::<Fields>());
    let plain = String::from_utf8(line(&message(30))).expect("UTF-8");
    let stored: Vec<Vec<u8>> = vec![
        line(&message(0)),
        payload(1, "".into()),
        payload(2, Value::Null),
        payload(3, Value::Map([("a", 1)].into_iter().collect())),
        payload(4, Value::List(vec![1.into()])),
        with(5, "many", fields(980)),
        with(6, "name", "_stream".into()),
        with(7, "_stream", "x".into()),
        at(8, -6),
        with(20, "big", "x".repeat(250 * 1024).into()),
        // Of another client: blanks, no zone, NaN, half a surrogate pair.
        plain.replace("\":", "\" : ").into_bytes(),
        plain.replace("\"number\":30", "\"number\":31,\"bad\":NaN").into_bytes(),
        plain.replace("\"number\":30", "\"number\":32,\"bad\":\"\\ud800\"").into_bytes(),
        plain.replace("Z\"", "\"").replace("\"number\":30", "\"number\":33").into_bytes(),
        sample::nasty().iter().map(|text| line(&message(40).payload(text.as_str()))).next_back().expect("one"),
    ];
    let refused: Vec<Vec<u8>> = vec![
        line(&reserved),
        line(&long_name),
        with(11, &"n".repeat(129), 1.into()),
        with(12, "many", fields(1001)),
        at(13, -8),
        at(14, 3),
        with(15, "big", "x".repeat(300 * 1024).into()),
        b"{bad".to_vec(),
        b"[1]".to_vec(),
    ];
    // Mixed, so that a long line stands between short ones.
    let mut batch = Lines::new();
    let (mut all, mut bad) = (stored.iter(), refused.iter());
    loop {
        let pair = [all.next(), bad.next()];
        if pair.iter().all(Option::is_none) {
            break;
        }
        pair.into_iter().flatten().for_each(|line| batch.push(line));
    }
    for more in ["", "compression = 'none'", "compress = 'none'\nsettle = '0s'"] {
        for server in Server::all() {
            let mut endpoint = driven(&server.url(), more);
            let outcome = offer(&mut endpoint, batch.clone());
            assert_eq!((outcome.sent, outcome.refused), (stored.len(), refused.len()), "{outcome:?}");
            let rows = server.rows();
            assert_eq!(numbers(&rows), [0, 1, 2, 3, 4, 5, 6, 7, 8, 20, 30, 31, 32, 33, 40]);
            assert!(rows.iter().all(|row| !row["_msg"].starts_with("missing _msg")), "{rows:?}");
            let texts: BTreeMap<u64, &str> = rows
                .iter()
                .map(|row| (row["fields.number"].parse().expect("a number"), row["_msg"].as_str()))
                .collect();
            assert_eq!([texts[&1], texts[&2], texts[&3], texts[&4]], ["contract", "contract", "{\"a\":1}", "[1]"]);
            if let Server::Played(server) = server {
                assert_eq!(server.dropped(), 0);
                assert!(server.rows().iter().all(|row| row.get("type").is_some_and(|kind| kind == "contract")));
            }
        }
    }
}

#[test]
fn faults_of_the_server_lose_nothing() {
    for (what, fault, words) in [
        ("overload", Answer::new(503, "busy"), "503"),
        ("too many", Answer::new(429, "later").header("Retry-After", "7"), "429"),
        ("gone in the middle", Answer::new(200, "").close(Close::Instead), ""),
        ("slow", Answer::new(200, "").delay(Duration::from_millis(700)), "no answer within"),
    ] {
        let server = played();
        let mut endpoint = driven(&server.url(), "settle = '0s'\ntimeout = '300ms'");
        server.http.script([fault.clone(), fault]);
        let outcome = offer(&mut endpoint, lines(0, 100));
        assert_eq!((outcome.sent, outcome.refused), (100, 0), "{what}: {outcome:?}");
        assert_eq!(numbers(&server.rows()), (0..100).collect::<Vec<_>>(), "{what}");
        assert!(outcome.errors.iter().all(|error| error.why().contains(words)), "{what}: {outcome:?}");
        if let Some(SendError::Retry { after, .. }) = outcome.errors.first().filter(|_| what == "too many") {
            assert_eq!(*after, Some(Duration::from_secs(7)));
        }
    }
}

#[test]
fn a_full_disk_is_waited_for_and_a_stopped_server_too() {
    let mut server = played();
    let mut endpoint = driven(&server.url(), "settle = '0s'");
    server.set_read_only(true);
    let outcome = drive(&mut endpoint, lines(0, 10), Policy::within(Duration::ZERO));
    assert_eq!((outcome.sent, outcome.given_up), (0, 10));
    server.set_read_only(false);
    server.http.stop();
    let outcome =
        drive(&mut endpoint, lines(0, 10), Policy::within(Duration::from_secs(20)).on_error(|_| server.http.start()));
    assert_eq!((outcome.sent, outcome.errors.len()), (10, 1));
    assert_eq!(numbers(&server.rows()), (0..10).collect::<Vec<_>>());
}

#[test]
fn one_message_that_the_server_refuses_holds_up_no_other() {
    let server = played();
    let mut endpoint = driven(&server.url(), "settle = '0s'");
    // Whole, then its first half, until the first message stands alone; a wrong tenant would look the same.
    server.http.script((0..4).map(|_| Answer::new(400, "cannot")));
    let outcome = offer(&mut endpoint, lines(0, 8));
    assert_eq!((outcome.sent, outcome.refused), (7, 1), "{outcome:?}");
    assert_eq!(numbers(&server.rows()), (1..8).collect::<Vec<_>>());
}

#[test]
fn a_killed_server_is_noticed_and_gets_its_last_seconds_again() {
    let server = played();
    let mut endpoint = driven(&server.url(), "");
    offer(&mut endpoint, lines(0, 50));
    assert!(!endpoint.0.relapsed() && endpoint.0.tick().is_ok());
    server.crash(Duration::from_secs(10));
    assert!(server.rows().is_empty());
    assert!(eventually(Duration::from_secs(5), || endpoint.0.relapsed()));
    let why = endpoint.0.tick().expect_err("a note").why().to_owned();
    assert!(why.contains("restarted"), "{why}");
    // The router starts over from where it is sure.
    offer(&mut endpoint, lines(0, 50));
    assert_eq!(numbers(&server.rows()), (0..50).collect::<Vec<_>>());
    std::thread::sleep(Duration::from_millis(1100));
    assert!(!endpoint.0.relapsed() && endpoint.0.tick().is_ok(), "once");
}

#[test]
fn a_server_that_stays_silent_is_not_believed_for_long() {
    let mut server = played();
    let mut endpoint = driven(&server.url(), "settle = '14s'\ntimeout = '500ms'");
    offer(&mut endpoint, lines(0, 50));
    server.crash(Duration::from_secs(10));
    server.http.stop();
    // Before the first of those rows counts as settled.
    assert!(eventually(Duration::from_secs(4), || endpoint.0.relapsed()));
    assert!(endpoint.0.tick().is_err());
    let outcome =
        drive(&mut endpoint, lines(0, 50), Policy::within(Duration::from_secs(20)).on_error(|_| server.http.start()));
    assert_eq!(outcome.sent, 50);
    // They went to the new process, which has lost nothing.
    std::thread::sleep(Duration::from_millis(1100));
    assert!(!endpoint.0.relapsed());
    assert_eq!(numbers(&server.rows()), (0..50).collect::<Vec<_>>());
    // And that one is watched as the first was.
    server.crash(Duration::from_secs(10));
    assert!(eventually(Duration::from_secs(5), || endpoint.0.relapsed()));
}

#[test]
fn what_the_server_drops_all_the_same_is_told() {
    let server = Server::Played(played());
    let mut endpoint = driven(&server.url(), "");
    offer(&mut endpoint, lines(0, 1));
    let old = br#"{"timestamp":"2001-01-01T00:00:00Z","payload":"of somebody else"}"#;
    server.post(&[("Content-Type", "application/stream+json")], old);
    let told = eventually(Duration::from_secs(5), || {
        assert!(!endpoint.0.relapsed());
        endpoint
            .0
            .tick()
            .is_err_and(|error| error.why().contains("vl_rows_dropped_total{reason=\"too_small_timestamp\"} +1"))
    });
    assert!(told);
}

#[test]
fn metrics_that_cannot_be_read_are_told_once_and_not_asked_again() {
    let server = played();
    server.set_metrics(false);
    let mut endpoint = driven(&server.url(), "");
    assert_eq!(offer(&mut endpoint, lines(0, 10)).sent, 10);
    let why = endpoint.0.tick().expect_err("a note").why().to_owned();
    assert!(why.contains("/metrics") && why.contains("settle = \"0s\""), "{why}");
    offer(&mut endpoint, lines(10, 10));
    assert!(!endpoint.0.relapsed() && endpoint.0.tick().is_ok());
    let asked =
        |server: &VictoriaLogs| server.http.requests().iter().filter(|request| request.target == "/metrics").count();
    assert_eq!(asked(&server), 1);

    let server = played();
    let mut endpoint = driven(&server.url(), "settle = '0s'");
    offer(&mut endpoint, lines(0, 10));
    server.crash(Duration::from_secs(10));
    assert!(!endpoint.0.relapsed() && endpoint.0.settle().is_zero());
    assert_eq!(asked(&server), 0);
}

#[test]
fn tenant_key_and_fields_reach_the_server() {
    let server = played();
    let more = "account = 7\nproject = 8\nusername = 'u'\npassword = 'p'\nsettle = '0s'\nextra_fields = { site = 'a b' }\n\
                stream_fields = ['site', 'logger']\nconnection = { headers = { 'X-Own' = 'yes' } }";
    let mut endpoint = driven(&format!("{}/", server.url()), more);
    offer(&mut endpoint, lines(0, 1));
    let stored = server.stored().remove(0);
    assert_eq!(stored.tenant, "7:8");
    assert_eq!(stored.stream, [("site".into(), "a b".into()), ("logger".to_owned(), "metlog.tests".to_owned())]);
    let request = server.http.requests().remove(0);
    assert_eq!((request.header("authorization"), request.header("x-own")), (Some("Basic dTpw"), Some("yes")));
    let entry = EndpointEntry::find("victorialogs").expect("registered");
    for (toml, words) in [
        ("url = 'nowhere'", "test.toml:1:1: `url` "),
        ("url = 'http://h'\nstream_fields = ['a,b']", "test.toml:2:1: `stream_fields` "),
        ("url = 'http://h'\nextra_fields = { a = '' }", "test.toml:2:1: `extra_fields` "),
        ("url = 'http://h'\nusername = 'u'", "test.toml:2:1: `username` is set without `password`"),
        ("url = 'http://h'\nusername = 'u'\npassword = 'p'\nkey = 'k'", "both a key and a user name"),
    ] {
        let told = (entry.read)(&settings(toml)).err().expect("refused").to_string();
        assert!(told.contains(words), "{told}");
    }
}
