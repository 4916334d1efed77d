//! The published event managers, their stores in memory.

// Not every test program needs all of it.
#![allow(dead_code)]

use metlog_message::{Fields, Value, wire};
use metlog_testkit::python;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::process::{Child, Command, Stdio};

/// Its own packages do not hold each other to one release, and no release works with pydantic 2.14.
pub const NEW: &[&str] =
    &["madsci_event_manager==0.8.1", "madsci_client==0.8.1", "madsci_common==0.8.1", "pydantic<2.14"];
pub const OLD: &[&str] =
    &["madsci_event_manager==0.5.2", "madsci_client==0.5.2", "madsci_common==0.5.2", "pydantic<2.14", "mongomock"];

pub struct EventManager {
    process: Child,
    pub port: u16,
}

impl EventManager {
    pub fn new(packages: &[&str]) -> Self {
        let release = packages.first().copied().unwrap_or_default();
        let home = std::path::Path::new(env!("CARGO_TARGET_TMPDIR")).join(release);
        // A server that was killed leaves a claim on its name there, and the next one waits until it has run out.
        let _none_yet = std::fs::remove_dir_all(&home);
        std::fs::create_dir_all(&home).expect("a folder for its own logs");
        let mut process = Command::new(python(packages))
            .arg(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/support/event_manager.py"))
            .current_dir(&home)
            .env("HOME", &home)
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .expect("Python starts");
        let output = BufReader::new(process.stdout.take().expect("its output"));
        let port = output.lines().map_while(Result::ok).find_map(|line| line.strip_prefix("port ")?.parse().ok());
        EventManager {
            process,
            port: port.expect("it says its port; run tests/support/event_manager.py to see why not"),
        }
    }

    /// What it answers, which is an object.
    pub fn ask(&self, line: &str, body: &str) -> Fields {
        let mut connection = TcpStream::connect(("127.0.0.1", self.port)).expect("it listens");
        let length = body.len();
        let head = format!(
            "{line} HTTP/1.0\r\nHost: localhost\r\nContent-Type: application/json\r\nContent-Length: {length}\r\n\r\n"
        );
        connection.write_all(head.as_bytes()).expect("asked");
        connection.write_all(body.as_bytes()).expect("asked");
        let mut answer = Vec::new();
        connection.read_to_end(&mut answer).expect("answered");
        let head = answer.windows(4).position(|part| part == b"\r\n\r\n").expect("a head");
        match wire::read_value(&answer[head + 4..]) {
            Ok(Value::Map(answer)) => answer,
            _ => panic!("{}", String::from_utf8_lossy(&answer)),
        }
    }
}

impl Drop for EventManager {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}
