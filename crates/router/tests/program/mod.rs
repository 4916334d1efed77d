//! The real program with a configuration, in a directory of its own.
#![allow(dead_code, reason = "each test program uses its own part")]

use super::stage::Directory;
use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

const PROGRAM: &str = env!("CARGO_BIN_EXE_metlog-router");

/// Every input on a free port, otherwise as the built-in default has them.
pub fn inputs() -> String {
    format!(
        "[inputs.zmq]\nbind = 'tcp://127.0.0.1:{}'\nhandshake = 'tcp://127.0.0.1:{}'\n[inputs.udp]\nlisten = '127.0.0.1:0'\n\
         [inputs.tcp]\nlisten = '127.0.0.1:0'\n[inputs.http]\n",
        free_port(),
        free_port()
    )
}

/// Below those that the system gives to connections, so that none of these takes it meanwhile.
pub fn free_port() -> u16 {
    std::iter::repeat_with(|| fastrand::u16(10_000..30_000))
        .find(|port| TcpListener::bind(("127.0.0.1", *port)).is_ok())
        .unwrap()
}

/// Everything into one file.
pub const FILE: &str = "[endpoints.all]\ntype = 'file'\npath = 'all.jsonl'\n";

/// A running router.
pub struct Program {
    child: Child,
    directory: Directory,
}

impl Program {
    /// With every input, and this configuration behind them.
    pub fn start(config: &str) -> Program {
        Program::start_in(Directory::new(), &(inputs() + config))
    }

    /// With this configuration behind a `[router]` whose port is free.
    pub fn start_in(directory: Directory, config: &str) -> Program {
        let text = format!("[router]\nhttp = '127.0.0.1:0'\ndrain = '2s'\n{config}");
        std::fs::write(directory.0.join("router.toml"), text).unwrap();
        let log = std::fs::File::create(directory.0.join("log.txt")).unwrap();
        let mut command = Command::new(PROGRAM);
        command.args(["run", "--config", "router.toml"]).current_dir(&directory.0);
        let child = command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(log).spawn().unwrap();
        let mut program = Program { child, directory };
        // Several at once on a busy machine take their time.
        let started = metlog_testkit::eventually(Duration::from_secs(90), || {
            assert!(program.child.try_wait().unwrap().is_none(), "{}", program.log());
            program.log().contains("see what becomes of it")
        });
        assert!(started, "{}", program.log());
        program
    }

    pub fn log(&self) -> String {
        std::fs::read_to_string(self.directory.0.join("log.txt")).unwrap()
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.directory.0.join(name)
    }

    pub fn text(&self, name: &str) -> String {
        std::fs::read_to_string(self.path(name)).unwrap_or_default()
    }

    /// The address after `what: ` in the line that says where an input listens: `host:port`.
    fn address(&self, what: &str) -> String {
        let log = self.log();
        let (_, rest) = log.split_once(what).unwrap_or_else(|| panic!("no {what} in\n{log}"));
        let word = rest.split([' ', ',', '\n']).next().unwrap();
        word.rsplit('/').next().unwrap().to_owned()
    }

    pub fn place(&self, input: &str) -> String {
        self.address(&format!("input {input}: "))
    }

    pub fn handshake(&self) -> String {
        self.address("handshakes at ")
    }

    pub fn port(&self, input: &str) -> u16 {
        self.place(input).rsplit_once(':').unwrap().1.parse().unwrap()
    }

    /// A request without a body: status, head and body.
    pub fn ask(&self, path: &str) -> Answer {
        self.request(&format!("GET {path}"), &[], b"").expect("an answer")
    }

    /// Messages over HTTP, one connection.
    pub fn post(&self, body: &[u8]) -> Answer {
        self.request("POST /v1/messages", &[], body).expect("an answer")
    }

    /// What a client sees; none if the connection ends without an answer.
    pub fn request(&self, what: &str, headers: &[(&str, &str)], body: &[u8]) -> Option<Answer> {
        request(&self.place("http"), what, headers, body)
    }

    /// A value of `/metrics`, by the whole of what stands before it.
    pub fn metric(&self, name: &str) -> u64 {
        let page = self.ask("/metrics").body;
        value(&page, name).unwrap_or_else(|| panic!("no {name} in\n{page}"))
    }

    pub fn refused(&self, input: &str, reason: &str) -> u64 {
        self.metric(&format!("metlog_refused_total{{input=\"{input}\",reason=\"{reason}\"}}"))
    }

    pub fn accepted(&self, input: &str) -> u64 {
        self.metric(&format!("metlog_accepted_total{{input=\"{input}\"}}"))
    }

    pub fn delivered(&self, endpoint: &str) -> u64 {
        self.metric(&format!("metlog_delivered_total{{endpoint=\"{endpoint}\"}}"))
    }

    /// The most memory it has ever had, in bytes.
    pub fn peak(&self) -> u64 {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.child.id())).expect("it runs");
        let line = status.lines().find(|line| line.starts_with("VmHWM:")).expect("a peak");
        line.split_whitespace().nth(1).and_then(|kib| kib.parse::<u64>().ok()).expect("a number") * 1024
    }

    /// The law holds.
    pub fn balanced(&self) {
        let page = self.ask("/metrics").body;
        let remainders: Vec<&str> = page.lines().filter(|line| line.starts_with("metlog_unaccounted")).collect();
        assert!(
            !remainders.is_empty() && remainders.iter().all(|line| line.ends_with(" 0")),
            "{remainders:#?}\n{page}"
        );
    }

    /// Holds it, as a machine that swaps would, or lets it go on.
    pub fn freeze(&self, frozen: bool) {
        let signal = if frozen { "-STOP" } else { "-CONT" };
        assert!(Command::new("kill").args([signal, &self.child.id().to_string()]).status().unwrap().success());
    }

    /// As a crash would: nothing is finished, nothing is told.
    pub fn kill(mut self) -> Directory {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
        assert!(!self.log().contains("panicked"), "{}", self.log());
        std::mem::replace(&mut self.directory, Directory::new())
    }

    /// The account, at the end of every test.
    pub fn stop(mut self) -> Directory {
        self.balanced();
        assert!(Command::new("kill").args(["-TERM", &self.child.id().to_string()]).status().unwrap().success());
        assert!(self.child.wait().unwrap().success(), "{}", self.log());
        let log = self.log();
        assert!(log.trim_end().ends_with("unaccounted for: 0"), "{log}");
        assert!(!log.contains("panicked"), "{log}");
        std::mem::replace(&mut self.directory, Directory::new())
    }
}

impl Drop for Program {
    fn drop(&mut self) {
        if std::thread::panicking() {
            println!("the router's log:\n{}", self.log());
        }
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// An answer, read to the connection's end.
#[derive(Debug)]
pub struct Answer {
    pub status: u16,
    pub head: String,
    pub body: String,
}

impl Answer {
    fn of(text: &[u8]) -> Option<Answer> {
        let text = String::from_utf8_lossy(text);
        let (head, body) = text.split_once("\r\n\r\n")?;
        let status = head.split(' ').nth(1)?.parse().ok()?;
        Some(Answer { status, head: head.to_ascii_lowercase(), body: body.to_owned() })
    }
}

/// HTTP/1.0, so that the end of the connection is the end of the answer. A body is written while the answer may be on its
/// way already: whoever refuses one early need not read it to its end.
pub fn request(address: &str, what: &str, headers: &[(&str, &str)], body: &[u8]) -> Option<Answer> {
    let mut stream = TcpStream::connect(address).ok()?;
    stream.set_read_timeout(Some(Duration::from_secs(30))).unwrap();
    stream.set_write_timeout(Some(Duration::from_secs(30))).unwrap();
    let mut head = format!("{what} HTTP/1.0\r\nHost: localhost\r\nContent-Length: {}\r\n", body.len());
    headers.iter().for_each(|(name, value)| head.push_str(&format!("{name}: {value}\r\n")));
    let _ = stream.write_all(format!("{head}\r\n").as_bytes()).and_then(|()| stream.write_all(body));
    let mut text = Vec::new();
    let _ = stream.read_to_end(&mut text);
    Answer::of(&text)
}

/// A value in a page of metrics.
pub fn value(page: &str, name: &str) -> Option<u64> {
    page.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' ')?.parse().ok())
}
