//! The real program between real parts: libzmq's publishers, our own client, statsd, VictoriaLogs, and another router.

mod program;
mod stage;
#[allow(dead_code, reason = "its own tests use the rest")]
#[path = "../../../plugins/statsd/tests/support/mod.rs"]
mod statsd;

use metlog::Message;
use metlog::config::{Config, Environment};
use metlog_message::Timestamp;
use metlog_testkit::victorialogs::VictoriaLogs;
use program::{FILE, Program};
use serde_json::Value;
use stage::{Directory, eventually, message_of};
use std::collections::BTreeMap;
use std::io::Write;
use std::net::{TcpListener, TcpStream, UdpSocket};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

/// What a router's file holds.
fn kept(program: &Program) -> Vec<Value> {
    let text = program.text("all.jsonl");
    // Its last line may be on its way.
    let whole = text.rsplit_once('\n').map_or("", |(whole, _)| whole);
    whole.lines().map(|line| serde_json::from_str(line).unwrap_or_else(|error| panic!("{error}: {line}"))).collect()
}

/// Numbers by type, in the order of the file.
fn numbers(kept: &[Value]) -> BTreeMap<String, Vec<u64>> {
    let mut all: BTreeMap<String, Vec<u64>> = BTreeMap::new();
    for message in kept {
        let kind = message["type"].as_str().unwrap_or_else(|| panic!("no type: {message}"));
        // Those before the first one only ask whether anybody hears.
        if let Some(number) = message["fields"]["n"].as_i64().and_then(|number| u64::try_from(number).ok()) {
            all.entry(kind.to_owned()).or_default().push(number);
        }
    }
    all
}

fn upto(count: u64) -> Vec<u64> {
    (0..count).collect()
}

/// A publisher as Metlog's were: PUB sockets that connect, one message each frame, and what else is seen in the wild.
const PUBLISHER: &str = r#"
import json, sys, zmq
form, endpoint, count = sys.argv[1], sys.argv[2], int(sys.argv[3])
sockets = [zmq.Context.instance().socket(zmq.PUB) for _ in range(3 if form == "pool" else 1)]
for socket in sockets:
    socket.SNDHWM = 0
    socket.connect(endpoint)

def send(n, socket):
    message = {"type": form, "timestamp": "2011-11-21T08:00:00.000000", "logger": "sync", "severity": 6,
               "payload": "caf\u00e9 \u2028", "fields": {"n": n}, "env_version": "0.8"}
    if form not in ("seven", "topic"):
        message.update(metlog_pid=17, metlog_hostname="app01")
    text = json.dumps(message, indent=4 if form == "indented" else None).encode()
    socket.send_multipart([b"a topic", text] if form == "topic" else [text + (b"\n" if form == "node" else b"")])

poller = zmq.Poller()
poller.register(sys.stdin, zmq.POLLIN)
while not poller.poll(10):
    for socket in sockets:
        send(-1, socket)
for n in range(count):
    send(n, sockets[n % len(sockets)])
for socket in sockets:
    socket.close(linger=60000)
zmq.Context.instance().term()
"#;

#[test]
fn libzmqs_publishers_are_kept_in_every_form_metlog_had() {
    const FORMS: [&str; 6] = ["nine", "seven", "topic", "indented", "node", "pool"];
    const COUNT: u64 = 1500;
    let program = Program::start(FILE);
    let endpoint = format!("tcp://{}", program.place("zmq"));
    let publish = |form: &str| {
        let mut python = Command::new(metlog_testkit::python(&["pyzmq"]));
        let python = python.args(["-c", PUBLISHER, form, &endpoint, &COUNT.to_string()]).stdin(Stdio::piped());
        python.spawn().expect("python starts")
    };
    let mut clients: Vec<Child> = FORMS.iter().map(|form| publish(form)).collect();
    // A socket of a pool is heard when it is, so each of the three has to have been.
    eventually("all are heard", || {
        let kept = kept(&program);
        FORMS.iter().all(|form| kept.iter().filter(|message| message["type"] == **form).count() > 30)
    });
    for client in &mut clients {
        client.stdin.take().expect("a pipe").write_all(b"go\n").expect("told");
    }
    for mut client in clients {
        assert!(client.wait().expect("it ends").success());
    }
    let all = FORMS.len() as u64 * COUNT;
    eventually("all arrive", || numbers(&kept(&program)).values().map(Vec::len).sum::<usize>() as u64 == all);
    let kept = kept(&program);
    for (form, mut found) in numbers(&kept) {
        if form == "pool" {
            // As Metlog's own: no order between sockets, the numbers alone are whole.
            found.sort_unstable();
        }
        assert_eq!(found, upto(COUNT), "{form}");
    }
    assert!(kept.iter().all(|message| message["payload"] == "caf\u{e9} \u{2028}" && message["env_version"] == "0.8"));
    for reason in ["malformed", "too_large", "truncated", "spool_full"] {
        assert_eq!(program.refused("zmq", reason), 0, "{reason}");
    }
    assert!(
        program.metric("metlog_mended_total{input=\"zmq\"}") >= 2 * COUNT,
        "seven keys and the indented form lack some"
    );
    program.stop();
}

/// Numbered messages through our client, as an application sends them.
fn through_the_client(name: &str, sender: &str, count: u64) {
    let toml = format!("[metlog]\nlogger = 'app'\n[metlog.sender]\n{sender}\n");
    let config = Config::toml(toml).environment(Environment::fixed([("", ""); 0]));
    let client = config.open().unwrap_or_else(|error| panic!("{name}: {error}"));
    for n in 0..count {
        client.send(&Message::new(name).logger("app").payload("m").field("n", n));
        // A datagram that meets a full buffer is nobody's mistake.
        if n % 100 == 99 {
            let report = client.flush(Duration::from_secs(20));
            assert!(report.complete, "{name}: {report}");
            std::thread::sleep(Duration::from_millis(if name == "udp" { 3 } else { 0 }));
        }
    }
    let report = client.shutdown(Duration::from_secs(20));
    assert!(report.complete && report.stats.dropped.is_empty(), "{name}: {report}");
    let [line] = &report.stats.senders[..] else { panic!("{name}: one sender") };
    assert_eq!((line.sent, line.refused, line.spilled, line.queued), (count, 0, 0, 0), "{name}: {report}");
}

#[test]
fn every_sender_of_our_client_gets_through_whole_and_in_order() {
    const COUNT: u64 = 2000;
    let program = Program::start(FILE);
    let (zmq, handshake) = (program.place("zmq"), program.handshake());
    let senders = [
        ("udp", format!("class = 'udp'\nhost = '127.0.0.1'\nport = {}", program.port("udp"))),
        ("tcp", format!("class = 'tcp'\naddress = '{}'", program.place("tcp"))),
        ("http", format!("class = 'http'\nurl = 'http://{}'", program.place("http"))),
        ("zmq_pub", format!("class = 'zmq_pub'\nbindstrs = 'tcp://{zmq}'\nconnect_wait = '20s'")),
        (
            "zmq_handshake_pub",
            format!(
                "class = 'zmq_handshake_pub'\nhandshake_bind = 'tcp://{handshake}'\nconnect_bind = 'tcp://{zmq}'\n\
                 handshake_timeout = 20000\nconnect_wait = '20s'"
            ),
        ),
    ];
    std::thread::scope(|scope| {
        for (name, sender) in &senders {
            scope.spawn(move || through_the_client(name, sender, COUNT));
        }
    });
    eventually("all are delivered", || program.delivered("all") == senders.len() as u64 * COUNT);
    let found = numbers(&kept(&program));
    for (name, _) in &senders {
        assert_eq!(found[*name], upto(COUNT), "{name}");
    }
    assert_eq!(program.metric("metlog_clients"), senders.len() as u64, "each has numbers of its own");
    assert_eq!(program.metric("metlog_client_lost"), 0);
    assert_eq!(program.metric("metlog_client_untracked_total"), 0);
    assert_eq!(program.metric("metlog_lost_total{input=\"udp\"}"), 0);
    for input in ["udp", "tcp", "http", "zmq"] {
        assert_eq!(program.metric(&format!("metlog_duplicates_total{{input=\"{input}\"}}")), 0, "{input}");
    }
    program.stop();
}

#[test]
fn what_a_datagram_loses_is_told_by_the_running_numbers() {
    let program = Program::start(FILE);
    let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
    for seq in (1..=200).filter(|seq| seq % 20 != 7) {
        let text = message_of("gaps", 6, seq);
        let open = text.strip_suffix('}').unwrap();
        let numbered = format!(r#"{open},"metlog_client":"lossy","metlog_seq":{seq}}}"#);
        socket.send_to(numbered.as_bytes(), program.place("udp")).unwrap();
    }
    eventually("the others arrive", || program.delivered("all") == 190);
    assert_eq!(program.metric("metlog_client_lost"), 10);
    program.stop();
}

#[test]
fn statsd_counts_exactly_what_came_in() {
    let statsd = statsd::Statsd::new();
    let program = Program::start(&format!(
        "[endpoints.metrics]\ntype = 'statsd'\naddress = '127.0.0.1:{}'\nprotocol = 'tcp'\n\
         types = ['counter', 'timer']\nnamespace = false\nflush_interval = '100ms'\n[endpoints.all]\ntype = 'null'\n",
        statsd.port
    ));
    let metric = |kind: &str, name: &str, value: u64, n: u64| {
        let text = message_of(kind, 6, n);
        let fields = format!(r#""fields":{{"name":"{name}","rate":1}}"#);
        let text = text.replace(r#""payload":"m""#, &format!(r#""payload":"{value}""#));
        text.replace(&format!(r#""fields":{{"n":{n}}}"#), &fields)
    };
    let mut stream = TcpStream::connect(program.place("tcp")).unwrap();
    let mut sum = 0;
    for n in 0..5000 {
        sum += n % 7;
        let line = match n % 5 {
            4 => metric("timer", "db.query", n, n),
            _ => metric("counter", "logins", n % 7, n),
        };
        let quiet = message_of("oldstyle", 6, n);
        stream.write_all(format!("{line}\n{quiet}\n").as_bytes()).unwrap();
        sum -= if n % 5 == 4 { n % 7 } else { 0 };
    }
    drop(stream);
    let sum = sum as f64;
    assert_eq!(statsd.count("counters", "logins", sum), Some(sum));
    assert_eq!(statsd.count("timers", "db.query", 1000.0), Some(1000.0));
    assert_eq!(statsd.ask("counters").get("statsd.bad_lines_seen"), Some(&0.0));
    eventually("the account agrees", || program.delivered("metrics") == 5000 && program.delivered("all") == 10_000);
    assert_eq!(program.metric("metlog_filtered_total{endpoint=\"metrics\"}"), 5000);
    assert_eq!(program.metric("metlog_dropped_total{endpoint=\"metrics\"}"), 0);
    program.stop();
}

/// VictoriaLogs itself, with a store that goes with it.
struct Real {
    child: Child,
    at: String,
    _store: Directory,
}

impl Real {
    fn start() -> Option<Real> {
        let Some(program) = std::env::var_os("VICTORIALOGS_BIN").filter(|program| !program.is_empty()) else {
            // Not by `eprintln`, which shows nothing of a test that passes.
            let note = b"skipped: VICTORIALOGS_BIN names no VictoriaLogs binary; a played one is used\n";
            std::io::stderr().write_all(note).expect("written");
            return None;
        };
        let at = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().to_string();
        let store = Directory::new();
        let mut command = Command::new(program);
        command.arg(format!("-storageDataPath={}", store.0.display())).arg(format!("-httpListenAddr={at}"));
        let child = command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().expect("VICTORIALOGS_BIN starts");
        eventually("it listens", || TcpStream::connect(&at).is_ok());
        Some(Real { child, at, _store: store })
    }

    fn rows(&self) -> Vec<String> {
        let ask = |path: &str| {
            let answer = program::request(&self.at, &format!("GET {path}"), &[], b"").expect("an answer");
            assert_eq!(answer.status, 200, "{answer:?}");
            answer.body
        };
        ask("/internal/force_flush");
        let found = ask("/select/logsql/query?query=*&limit=100000");
        let row = |line: &str| {
            serde_json::from_str::<Value>(line).expect("JSON")["fields.n"].as_str().expect("a number").to_owned()
        };
        found.lines().map(row).collect()
    }
}

impl Drop for Real {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn unpack(coding: &str, body: &[u8]) -> Option<Vec<u8>> {
    (coding == "zstd").then(|| zstd::decode_all(body).ok()).flatten()
}

#[test]
fn victorialogs_stores_every_message_once() {
    const COUNT: u64 = 3000;
    let real = Real::start();
    let played = VictoriaLogs::new(unpack);
    let url = real.as_ref().map_or_else(|| played.url(), |real| format!("http://{}", real.at));
    let program = Program::start(&format!(
        "[endpoints.logs]\ntype = 'victorialogs'\nurl = '{url}'\nflush_interval = '100ms'\nsettle = '1s'\n"
    ));
    // It keeps no messages of long ago, so these are of now.
    let now = Timestamp::now().to_string();
    let body: String =
        (0..COUNT).map(|n| message_of("log", 6, n).replace("2026-11-21T08:00:00.000000Z", &now) + "\n").collect();
    assert_eq!(program.post(body.as_bytes()).body, format!("{{\"accepted\":{COUNT},\"rejected\":[]}}"));
    eventually("all are settled", || program.delivered("logs") == COUNT);
    let rows = match &real {
        Some(real) => real.rows(),
        None => played.rows().iter().map(|row| row["fields.n"].clone()).collect(),
    };
    let mut found: Vec<u64> = rows.iter().map(|n| n.parse().expect("a number")).collect();
    found.sort_unstable();
    assert_eq!(found, upto(COUNT));
    assert_eq!(played.dropped(), 0);
    program.stop();
}

#[test]
fn a_router_feeds_another_over_tcp_and_http() {
    const COUNT: u64 = 4000;
    let last = Program::start(FILE);
    let over = [
        ("tcp", format!("address = '{}'", last.place("tcp"))),
        ("http", format!("url = 'http://{}'", last.place("http"))),
    ];
    let firsts: Vec<(&str, Program)> = over
        .iter()
        .map(|(name, to)| (*name, Program::start(&format!("[endpoints.next]\ntype = '{name}'\n{to}\n"))))
        .collect();
    let mut sent = BTreeMap::new();
    for (name, first) in &firsts {
        let lines: Vec<String> = (0..COUNT).map(|n| message_of(&format!("over {name}"), 6, n)).collect();
        let mut stream = TcpStream::connect(first.place("tcp")).unwrap();
        stream.write_all((lines.join("\n") + "\n").as_bytes()).unwrap();
        sent.insert(*name, lines);
    }
    eventually("all arrive", || last.delivered("all") == 2 * COUNT);
    let text = last.text("all.jsonl");
    for (name, first) in firsts {
        let kind = format!("over {name}");
        let arrived: Vec<&str> = text.lines().filter(|line| line.contains(&kind)).collect();
        assert!(arrived == sent[name], "{name}: every byte, in order");
        eventually("the account agrees", || first.delivered("next") == COUNT);
        assert_eq!(last.accepted(name), COUNT);
        first.stop();
    }
    last.stop();
}
