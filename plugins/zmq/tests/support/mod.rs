//! What the tests of this plugin share: routers to send to, and senders made as a configuration makes them.
#![allow(dead_code, reason = "each test program uses its own part")]

pub mod client;
pub mod peer;

use metlog_message::Lines;
use metlog_pipeline::{SendError, Sender, SenderEntry};
use metlog_zmq as _;
use std::io::{BufRead, BufReader};
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::time::{Duration, Instant};

/// How long anything may take that has to happen: long, because the machine may be busy.
pub const PATIENCE: Duration = Duration::from_secs(60);

/// A program in Python and what it says, ended with its value.
pub struct Script {
    pub child: Child,
    lines: Receiver<String>,
}

impl Script {
    /// Starts one of those beside this file.
    pub fn start(name: &str, arguments: &[&str]) -> Self {
        let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/support").join(name);
        let mut child = Command::new(python())
            .arg(script)
            .args(arguments)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .expect("python starts");
        let stdout = child.stdout.take().expect("a pipe");
        let (sender, lines) = channel();
        std::thread::spawn(move || {
            for line in BufReader::new(stdout).lines().map_while(Result::ok) {
                if sender.send(line).is_err() {
                    break;
                }
            }
        });
        Script { child, lines }
    }

    /// What it says next.
    pub fn line(&self) -> String {
        self.lines.recv_timeout(PATIENCE).expect("it says something")
    }
}

impl Drop for Script {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// A program that plays the router: libzmq through pyzmq.
pub struct Router(Script);

impl Router {
    /// Starts one and waits until it is bound.
    pub fn start(arguments: &[&str]) -> Self {
        let router = Router(Script::start("router.py", arguments));
        assert_eq!(router.line(), "\"ready\"");
        router
    }

    /// What it says next.
    pub fn line(&self) -> String {
        self.0.line()
    }

    /// What it says within a moment, if anything.
    pub fn line_within(&self, within: Duration) -> Option<String> {
        self.0.lines.recv_timeout(within).ok()
    }

    /// The next message it received, which must be of one frame.
    pub fn message(&self) -> String {
        let line = self.line();
        let frames = frames(&line);
        assert_eq!(frames.len(), 1, "{line}");
        frames.into_iter().next().unwrap()
    }

    /// Ends it at once, as a crash does.
    pub fn kill(self) {}
}

/// The frames in a line of the router.
pub fn frames(line: &str) -> Vec<String> {
    serde_json::from_str(line).expect("a JSON list of texts")
}

/// An interpreter that has pyzmq.
pub fn python() -> PathBuf {
    metlog_testkit::python(&["pyzmq"])
}

/// An endpoint nobody uses.
pub fn endpoint() -> String {
    let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    format!("tcp://127.0.0.1:{port}")
}

/// A sender, from the text of its section.
pub fn open(class: &str, settings: &str) -> Result<Box<dyn Sender>, String> {
    let node = metlog_settings::toml::read("test.toml", settings, &|_| None).map_err(|wrong| wrong.to_string())?;
    let entry = SenderEntry::find(class).map_err(|unknown| unknown.to_string())?;
    (entry.read)(&node).map_err(|wrong| wrong.to_string())?()
}

/// Messages numbered from `first`, about 100 bytes each.
pub fn numbered(first: usize, count: usize) -> Lines {
    let pad = "x".repeat(80);
    (first..first + count).map(|n| format!("{{\"n\":{n},\"pad\":\"{pad}\"}}")).collect()
}

/// Sends as the client does: again and again until it went.
pub fn insist(sender: &mut dyn Sender, mut batch: Lines) {
    let deadline = Instant::now() + PATIENCE;
    loop {
        match sender.send(&batch) {
            Ok(()) => return,
            Err(SendError::Retry { done, why, .. }) => {
                assert!(Instant::now() < deadline, "still not sent: {why}");
                batch.drop_first(done);
            }
            Err(other) => panic!("{other}"),
        }
    }
}

/// Sends until it does not work any more, and says why. The messages sent meanwhile are lost.
pub fn until_refused(sender: &mut dyn Sender) -> String {
    let deadline = Instant::now() + PATIENCE;
    loop {
        match sender.send(&numbered(1, 1)) {
            Err(SendError::Retry { why, .. }) => return why,
            Err(other) => panic!("{other}"),
            Ok(()) => assert!(Instant::now() < deadline, "the sender notices nothing"),
        }
    }
}
