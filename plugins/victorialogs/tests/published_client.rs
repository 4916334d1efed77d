//! Against the published Python handler: both send the same records to the same peer, and what arrives is compared.
//! And against VictoriaLogs itself, when there is one.

use metlog_message::{Fields, Lines, Message, Severity, Timestamp, Value, wire};
use metlog_testkit::http::{Answer, HttpPeer, Request};
use metlog_testkit::service::{map, text};
use metlog_testkit::{eventually, open, python, sample};
use metlog_victorialogs as _;
use std::collections::{BTreeMap, BTreeSet};
use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

const CLIENT: &[&str] = &["victorialogs-handler==0.1.0"];

/// `-` only the handler's, `+` only ours, `~` another value; and why.
type Differences = &'static [(&'static str, &'static str)];

/// Where the head of a request differs on purpose.
const HEADS: Differences = &[
    ("~user-agent", "each says its own name"),
    ("-connection", "the handler's is `close`; ours is kept for the next request"),
    ("-accept-encoding", "the handler's is `identity`, which is what no header means"),
    (
        "~content-type",
        "the handler's is `application/x-ndjson`; ours is what VictoriaLogs documents, which reads neither",
    ),
    ("+content-encoding", "uncompressed, a line that the server drops can take others along"),
];

/// The query's parameters are the same three, and name other fields.
const QUERIES: Differences = &[
    ("~_stream_fields", "the handler's is the top package; ours tell processes and types apart"),
    ("~_time_field", "our line uses the server's own name, so that what is sent is what is found"),
    ("~_msg_field", "the same"),
];

/// What the two call the same thing.
const NAMES: &[(&str, &str)] = &[("timestamp", "_time"), ("message", "_msg"), ("process", "pid")];

/// Where every line differs on purpose, under our names.
const LINES: Differences = &[
    ("~_time", "seconds with a fraction lose digits; nanoseconds as text are exact"),
    ("~level", "the severity's name of syslog, in lower case"),
    ("-stream", "`type`, `logger` and `hostname` stand for it"),
    ("-module", "a message knows its place in the program only if the caller says it in fields"),
    ("-function", "the same"),
    ("-line_number", "the same"),
    ("-process_name", "Python's own"),
    ("-thread_name", "a message does not know its thread"),
    ("-thread", "the same"),
    ("+type", "a message's own kind"),
    ("+severity", "the level as a number, to compare by"),
    ("+hostname", "of a stream"),
    ("+metlog_client", "finds duplicates and gaps"),
    ("+metlog_seq", "the same"),
];

/// A record of this level with this `extra`, the message of the same meaning, and where they part on purpose.
struct Case {
    level: &'static str,
    ours: &'static str,
    severity: Severity,
    extra: &'static str,
    fields: fn(Message) -> Message,
    on_purpose: Differences,
}

fn leveled(level: &'static str, ours: &'static str, severity: Severity) -> Case {
    Case { level, ours, severity, extra: "{}", fields: |m| m, on_purpose: &[] }
}

fn with(extra: &'static str, fields: fn(Message) -> Message, on_purpose: Differences) -> Case {
    let info = leveled("INFO", "informational", Severity::Informational);
    Case { extra, fields, on_purpose, ..info }
}

fn cases() -> Vec<Case> {
    vec![
        leveled("DEBUG", "debug", Severity::Debug),
        leveled("INFO", "informational", Severity::Informational),
        leveled("WARNING", "warning", Severity::Warning),
        leveled("ERROR", "error", Severity::Error),
        leveled("CRITICAL", "critical", Severity::Critical),
        with(
            r#"{"user":"täst 🦀 \u0000 \"","n":-7,"big":18446744073709551615,"f":2.5,"yes":true,"no":null,"list":[1,"a",{"b":null}],"map":{"a":{"b":"c"},"empty":{}}}"#,
            |m| {
                let inner: Fields = [("b", Value::Null)].into_iter().collect();
                let list = vec![1.into(), "a".into(), Value::Map(inner)];
                let map: Fields =
                    [("a", Value::Map([("b", "c")].into_iter().collect())), ("empty", Value::Map(Fields::new()))]
                        .into_iter()
                        .collect();
                m.field("user", "täst 🦀 \0 \"")
                    .field("n", -7)
                    .field("big", u64::MAX)
                    .field("f", 2.5)
                    .field("yes", true)
                    .field("no", Value::Null)
                    .field("list", Value::List(list))
                    .field("map", map)
            },
            &[],
        ),
        with(
            r#"{"ratio":NaN}"#,
            |m| m.field("ratio", f64::NAN),
            &[("~ratio", "the handler's is null, which the server drops")],
        ),
        with(
            r#"{"logger":"mine","type":"mine"}"#,
            |m| m.field("logger", "mine").field("type", "mine"),
            &[
                ("~logger", "the handler lets what the caller adds replace its own; here both are kept"),
                ("~type", "the same"),
                ("+fields", "the same: the caller's are in there"),
            ],
        ),
    ]
}

const TEXT: &str = "pay \"1\"\n200 %s";

/// Sends all records in one request.
fn client_sends(peer: &HttpPeer, cases: &[Case]) -> Request {
    let mut client = Command::new(python(CLIENT))
        .arg(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/support/client.py"))
        .arg(peer.url())
        // Proxies of whoever runs this are not the handler's.
        .env_clear()
        .stdin(Stdio::piped())
        .spawn()
        .expect("Python starts");
    let mut lines = Vec::new();
    for Case { level, extra, .. } in cases {
        lines.extend_from_slice(b"{\"message\":");
        wire::write_str(&mut lines, TEXT);
        let rest = format!(r#","created":1795212050.25,"logger":"shop.pay","level":"{level}","extra":{extra}}}"#);
        lines.extend_from_slice(rest.as_bytes());
        lines.push(b'\n');
    }
    client.stdin.take().expect("its input").write_all(&lines).expect("read");
    assert!(client.wait().expect("it ends").success(), "the handler says why above");
    let mut requests = peer.requests();
    assert_eq!(requests.len(), 1);
    requests.remove(0)
}

/// The samples have a fixed date, so the time the server keeps things is long.
fn settings(url: &str) -> String {
    format!("url = '{url}'\nretention = '20000d'\nfuture_retention = '20000d'")
}

fn we_send(peer: &HttpPeer, messages: impl IntoIterator<Item = Message>) -> Request {
    let mut batch = Lines::new();
    for message in messages {
        batch.push_with(|line| wire::write(line, &message));
    }
    open("victorialogs", &settings(&peer.url())).expect("opens").send(&batch).expect("taken");
    peer.requests().pop().expect("a request")
}

fn rows(body: &[u8]) -> Vec<Fields> {
    body.split(|byte| *byte == b'\n').map(map).collect()
}

/// A request without its query and body. Of the length only whether it is right.
fn head(request: &Request) -> Fields {
    let mut head: Fields = request.headers.iter().map(|(name, value)| (name.clone(), value.as_str())).collect();
    head.set("content-length", request.header("content-length") == Some(&request.body.len().to_string()));
    head.set(":method", request.method.as_str());
    head.set(":path", request.target.split('?').next());
    head
}

fn query(request: &Request) -> Fields {
    let (_, query) = request.target.split_once('?').expect("a query");
    query.split('&').filter_map(|pair| pair.split_once('=')).collect()
}

/// A line of the handler's under our names.
fn renamed(line: &Fields) -> Fields {
    let name = |name: &str| {
        NAMES.iter().find(|(theirs, _)| *theirs == name).map_or(name.to_owned(), |(_, ours)| (*ours).into())
    };
    line.iter().map(|(theirs, value)| (name(theirs), value.clone())).collect()
}

/// That two objects differ where it was said, and there only.
fn compare(client: &Fields, ours: &Fields, on_purpose: &[Differences]) {
    let mut found = BTreeSet::new();
    for (name, value) in client.iter() {
        match ours.get(name) {
            Some(other) if other == value => {}
            Some(_) => _ = found.insert(format!("~{name}")),
            None => _ = found.insert(format!("-{name}")),
        }
    }
    found.extend(ours.iter().filter(|(name, _)| !client.contains(name)).map(|(name, _)| format!("+{name}")));
    // What a case says of a name stands over what is said of every line.
    let said: BTreeMap<&str, &str> = on_purpose
        .iter()
        .copied()
        .flatten()
        .map(|(difference, _)| difference.split_at(1))
        .map(|(how, name)| (name, how))
        .collect();
    let said: BTreeSet<String> = said.iter().map(|(name, how)| format!("{how}{name}")).collect();
    assert_eq!(found, said, "\nclient: {client:?}\nours: {ours:?}");
}

#[test]
fn the_same_request_but_for_what_is_said_here() {
    let (peer, cases) = (HttpPeer::new(|_| Answer::new(200, "")), cases());
    let theirs = client_sends(&peer, &cases);
    let their_lines = rows(&theirs.body);
    assert_eq!(their_lines.len(), cases.len());
    let messages = cases.iter().zip(&their_lines).map(|(case, line)| {
        let mut plain = sample::message(0).payload(TEXT).severity(case.severity);
        plain.fields = Fields::new();
        plain.logger = "shop.pay".into();
        plain.timestamp = Timestamp::from_nanos(1_795_212_050_250_000_000);
        plain.pid = line.get("process").and_then(Value::as_i64);
        (case.fields)(plain)
    });
    let ours = we_send(&peer, messages);
    let body = zstd::decode_all(ours.body.as_slice()).expect("zstd");
    // Ours end every line, theirs separates them: to the server it is the same.
    let our_lines = rows(body.strip_suffix(b"\n").expect("an ended line"));
    assert_eq!(our_lines.len(), cases.len());

    compare(&head(&theirs), &head(&ours), &[HEADS]);
    compare(&query(&theirs), &query(&ours), &[QUERIES]);
    for ((case, client), ours_line) in cases.iter().zip(&their_lines).zip(&our_lines) {
        compare(&renamed(client), ours_line, &[LINES, case.on_purpose]);
        assert_eq!((text(client, "level"), text(ours_line, "level")), (case.level.into(), case.ours.into()));
        // What each names in its query is there, and says the same.
        let named = |request: &Request, line: &Fields, parameter: &str| {
            line.get(&text(&query(request), parameter)).cloned().unwrap_or_else(|| panic!("{parameter} of {line:?}"))
        };
        let texts = [named(&theirs, client, "_msg_field"), named(&ours, ours_line, "_msg_field")];
        assert_eq!(texts, [TEXT, TEXT].map(Value::from));
        let times = [named(&theirs, client, "_time_field"), named(&ours, ours_line, "_time_field")];
        assert_eq!(times, [Value::Float(1_795_212_050.25), "1795212050250000000".into()]);
    }
}

/// VictoriaLogs with an empty store, which goes with it.
struct VictoriaLogs {
    process: Child,
    port: u16,
    store: PathBuf,
}

impl VictoriaLogs {
    fn new(program: &str, run: &str) -> Self {
        let port = TcpListener::bind("127.0.0.1:0").and_then(|free| free.local_addr()).expect("a free port").port();
        let store = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("victorialogs-{run}"));
        let process = Command::new(program)
            .arg(format!("-storageDataPath={}", store.display()))
            .arg(format!("-httpListenAddr=127.0.0.1:{port}"))
            // As `settings` says of it.
            .args(["-retentionPeriod=100y", "-futureRetention=100y", "-loggerLevel=ERROR"])
            .stdout(Stdio::null())
            .spawn()
            .unwrap_or_else(|error| panic!("VICTORIALOGS_BIN is {program:?}: {error}"));
        let server = VictoriaLogs { process, port, store };
        assert!(eventually(Duration::from_secs(30), || server.get("/health").is_ok()), "it does not listen");
        server
    }

    /// The body of an answer.
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

impl Drop for VictoriaLogs {
    fn drop(&mut self) {
        let _gone_already = self.process.kill();
        let _ = self.process.wait();
        let _never_made = std::fs::remove_dir_all(&self.store);
    }
}

#[test]
fn the_server_finds_each_of_a_thousand_messages_once() {
    let Some(program) = std::env::var("VICTORIALOGS_BIN").ok().filter(|program| !program.is_empty()) else {
        // Not by `eprintln`, which shows nothing of a test that passes.
        writeln!(std::io::stderr(), "skipped: VICTORIALOGS_BIN names no VictoriaLogs binary").expect("written");
        return;
    };
    let run = format!("{}-{}", std::process::id(), Timestamp::now().nanos());
    let server = VictoriaLogs::new(&program, &run);
    let mut batch = Lines::new();
    for number in 0..1000 {
        let message = sample::message(number).field("run", run.as_str());
        batch.push_with(|line| wire::write(line, &message));
    }
    let url = format!("http://127.0.0.1:{}", server.port);
    open("victorialogs", &settings(&url)).expect("opens").send(&batch).expect("taken");
    server.get("/internal/force_flush").expect("flushed");
    // run:="…" | stats count() n, count_uniq(number) different
    let query = format!("run:%3D%22{run}%22%20|%20stats%20count()%20n,%20count_uniq(number)%20different");
    let found = map(server.get(&format!("/select/logsql/query?query={query}")).expect("asked").trim().as_bytes());
    assert_eq!((text(&found, "n"), text(&found, "different")), ("1000".into(), "1000".into()));
}
