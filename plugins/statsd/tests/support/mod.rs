//! statsd itself, and an endpoint driven as the router does it.

use metlog_message::{Lines, Message, wire};
use metlog_pipeline::{Endpoint, EndpointEntry, Picked, SendError, Sender};
use metlog_testkit::{eventually, settings};
use std::collections::BTreeMap;
use std::fs::File;
use std::io::{BufRead, BufReader, Write};
use std::net::{TcpListener, TcpStream, UdpSocket};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

/// The folder of a package from npm, installed once.
pub fn npm(package: &str) -> PathBuf {
    let target = Path::new(env!("CARGO_TARGET_TMPDIR"));
    let folder = target.join(package);
    let lock = File::create(target.join(format!("{package}.lock"))).expect("a lock file");
    // Several tests run at a time; one of them installs, the others wait.
    lock.lock().expect("a lock");
    let ready = folder.join("ready");
    if !ready.exists() {
        let mut install = Command::new("npm");
        install.args(["install", "--silent", "--ignore-scripts", "--no-audit", "--no-fund", "--prefix"]);
        let output = install.arg(&folder).arg(package).output();
        let output = output.unwrap_or_else(|error| panic!("{install:?}: {error}; install Node.js with npm"));
        assert!(output.status.success(), "{install:?}: {}", String::from_utf8_lossy(&output.stderr));
        File::create(&ready).expect("a mark");
    }
    let name = package.split('@').next().expect("a name");
    folder.join("node_modules").join(name)
}

/// The daemon. It never flushes, so that its counts stand until they are asked for.
pub struct Statsd {
    process: Option<Child>,
    pub port: u16,
    management: u16,
    config: PathBuf,
}

static CONFIGS: AtomicUsize = AtomicUsize::new(0);

fn free_port() -> u16 {
    // Free for both protocols at this moment.
    loop {
        let tcp = TcpListener::bind("127.0.0.1:0").expect("a free port");
        let port = tcp.local_addr().expect("an address").port();
        if UdpSocket::bind(("127.0.0.1", port)).is_ok() {
            return port;
        }
    }
}

impl Statsd {
    /// Not started yet.
    pub fn stopped() -> Self {
        let (port, management) = (free_port(), free_port());
        let number = CONFIGS.fetch_add(1, Ordering::Relaxed);
        let config = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("statsd-{}-{number}.js", std::process::id()));
        let text = format!(
            "{{ servers: [{{ server: './servers/udp', address: '127.0.0.1', port: {port} }}, \
             {{ server: './servers/tcp', address: '127.0.0.1', port: {port} }}], mgmt_address: '127.0.0.1', \
             mgmt_port: {management}, flushInterval: 86400000, backends: [] }}"
        );
        std::fs::write(&config, text).expect("a file");
        Statsd { process: None, port, management, config }
    }

    pub fn new() -> Self {
        let mut statsd = Statsd::stopped();
        statsd.start();
        statsd
    }

    pub fn start(&mut self) {
        let mut node = Command::new("node");
        node.arg("stats.js")
            .arg(&self.config)
            .current_dir(npm("statsd@0.9.0"))
            .stdout(Stdio::null())
            .stderr(Stdio::null());
        self.process = Some(node.spawn().expect("Node starts"));
        let up = eventually(Duration::from_secs(30), || {
            TcpStream::connect(("127.0.0.1", self.management)).is_ok()
                && TcpStream::connect(("127.0.0.1", self.port)).is_ok()
        });
        assert!(up, "statsd listens");
    }

    /// At once: what it counted is gone.
    pub fn stop(&mut self) {
        if let Some(mut process) = self.process.take() {
            process.kill().expect("it runs");
            process.wait().expect("it ends");
        }
    }

    /// `counters`, `timers` or `gauges`: names and numbers; of a timer how many there are.
    pub fn ask(&self, what: &str) -> BTreeMap<String, f64> {
        let mut connection = TcpStream::connect(("127.0.0.1", self.management)).expect("it listens");
        writeln!(connection, "{what}").expect("it listens");
        let lines = BufReader::new(connection).lines().map(|line| line.expect("text"));
        let text: Vec<String> = lines.take_while(|line| line != "END").collect();
        parse(&text.join(" "))
    }

    /// A count, when it has become this much; otherwise what it is after some time.
    pub fn count(&self, what: &str, name: &str, expected: f64) -> Option<f64> {
        let mut found = None;
        // If it does not become that, it is for the caller to say so.
        let _ = eventually(Duration::from_secs(10), || {
            found = self.ask(what).get(name).copied();
            found == Some(expected)
        });
        found
    }
}

impl Drop for Statsd {
    fn drop(&mut self) {
        self.stop();
        let _ = std::fs::remove_file(&self.config);
    }
}

/// Node's way to print an object: `{ 'a.b': 1, c: [ 1, 2, ... 98 more items ] }`.
fn parse(text: &str) -> BTreeMap<String, f64> {
    let inside = text.trim().strip_prefix('{').and_then(|text| text.strip_suffix('}')).expect("an object");
    let (mut parts, mut depth, mut start) = (Vec::new(), 0, 0);
    for (at, char) in inside.char_indices() {
        match char {
            '[' => depth += 1,
            ']' => depth -= 1,
            ',' if depth == 0 => {
                parts.push(&inside[start..at]);
                start = at + 1;
            }
            _ => {}
        }
    }
    parts.push(&inside[start..]);
    let number = |text: &str| text.trim().parse::<f64>().unwrap_or_else(|_| panic!("a number: {text}"));
    let pair = |part: &str| {
        let (name, value) = part.rsplit_once(':').expect("a pair");
        let value = match value.trim().strip_prefix('[').and_then(|list| list.strip_suffix(']')) {
            None => number(value),
            Some(list) => list
                .split(',')
                .map(|item| match item.trim().strip_prefix("...") {
                    Some(more) => number(more.trim().split(' ').next().unwrap_or_default()),
                    None => 1.0,
                })
                .sum(),
        };
        (name.trim().trim_matches('\'').to_owned(), value)
    };
    parts.into_iter().filter(|part| !part.trim().is_empty()).map(pair).collect()
}

pub fn open(toml: &str) -> Result<Box<dyn Endpoint>, String> {
    let entry = EndpointEntry::find("statsd").expect("registered");
    (entry.read)(&settings(toml)).unwrap_or_else(|problems| panic!("{problems}"))()
}

/// An endpoint that is given batches, and the rest of them, as the router does it: each message keeps its id.
pub struct Driven {
    pub endpoint: Box<dyn Endpoint>,
    next: u64,
}

impl Driven {
    pub fn new(toml: &str) -> Self {
        Driven { endpoint: open(toml).expect("opens"), next: 1 }
    }
}

impl Sender for Driven {
    fn send(&mut self, batch: &Lines) -> Result<(), SendError> {
        let end = self.next + batch.len() as u64;
        let ids: Vec<u64> = (self.next..end).collect();
        let result = self.endpoint.write(&Picked::new(batch, &ids));
        self.next = match &result {
            Err(SendError::Retry { done, .. }) => self.next + *done as u64,
            Err(SendError::Pause { .. }) => self.next,
            _ => end,
        };
        result
    }
}

pub fn metric(kind: &str, name: &str, value: impl Into<metlog_message::Value>) -> Message {
    Message::new(kind).payload(value).field("name", name)
}

pub fn lines<'a>(messages: impl IntoIterator<Item = &'a Message>) -> Lines {
    let mut lines = Lines::new();
    for message in messages {
        lines.push_with(|text| wire::write(text, message));
    }
    lines
}
