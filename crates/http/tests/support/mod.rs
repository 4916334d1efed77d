//! A server on a free port, and a client that says exactly what a test wants said.
#![allow(dead_code, reason = "each test program uses a part of it")]

use metlog_http::axum::Router;
use metlog_http::server::Gate;
use metlog_http::server::{Bounds, Counters};
use metlog_http::{Door, Server, ServerLimits};
use metlog_pipeline::Stop;
use metlog_testkit::inlet::Recorder;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::sync::Arc;
use std::time::Duration;
use tokio::runtime::Runtime;
use tokio::sync::watch;
use tokio::task::JoinHandle;

pub struct Running {
    pub at: SocketAddr,
    pub counters: Arc<Counters>,
    pub bounds: Arc<Bounds>,
    runtime: Runtime,
    tell: watch::Sender<bool>,
    serving: Option<JoinHandle<std::io::Result<()>>>,
}

impl Running {
    pub fn new(limits: ServerLimits, routes: impl FnOnce(Door) -> Router) -> Self {
        Running::behind(Arc::default(), limits, |server| routes(server.door(Recorder::new().inlet())))
    }

    /// With these keys.
    pub fn behind(gate: Arc<Gate>, limits: ServerLimits, routes: impl FnOnce(&Server) -> Router) -> Self {
        let server = Server::bind("127.0.0.1:0", limits).expect("a free port").ask_for_keys(gate);
        let (at, counters, bounds) = (server.local_addr(), server.counters(), server.bounds());
        let routes = routes(&server);
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build();
        let runtime = runtime.expect("a runtime");
        let (tell, stop) = Stop::new();
        let serving = Some(runtime.spawn(server.serve(routes, stop)));
        Running { at, counters, bounds, runtime, tell, serving }
    }

    pub fn connect(&self) -> Client {
        let socket = TcpStream::connect(self.at).expect("a connection");
        socket.set_read_timeout(Some(Duration::from_secs(20))).expect("a time-out");
        socket.set_write_timeout(Some(Duration::from_secs(20))).expect("a time-out");
        Client { socket, ahead: Vec::new() }
    }

    /// One request over a connection of its own.
    pub fn ask(&self, head: &str, body: &[u8]) -> Answer {
        self.connect().ask(head, body)
    }

    pub fn tell_to_stop(&self) {
        self.tell.send_replace(true);
    }

    /// Whether it ended within this time.
    pub fn ends_within(&mut self, time: Duration) -> bool {
        let serving = self.serving.take().expect("once");
        self.runtime.block_on(async { tokio::time::timeout(time, serving).await }).is_ok()
    }
}

pub struct Client {
    pub socket: TcpStream,
    ahead: Vec<u8>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Answer {
    pub status: u16,
    pub head: String,
    pub body: String,
}

impl Answer {
    pub fn header(&self, name: &str) -> Option<&str> {
        let lines = self.head.lines().filter_map(|line| line.split_once(':'));
        lines.filter(|(key, _)| key.eq_ignore_ascii_case(name)).map(|(_, value)| value.trim()).next()
    }
}

impl Client {
    pub fn write(&mut self, bytes: impl AsRef<[u8]>) {
        self.try_write(bytes).expect("written");
    }

    pub fn try_write(&mut self, bytes: impl AsRef<[u8]>) -> std::io::Result<()> {
        self.socket.write_all(bytes.as_ref())
    }

    /// `head` is the request line and headers without `Host` and `Content-Length`, each ended by CRLF.
    pub fn ask(&mut self, head: &str, body: &[u8]) -> Answer {
        self.write(request(head, body));
        self.answer().expect("an answer")
    }

    /// The next answer; none if the connection ends instead.
    pub fn answer(&mut self) -> Option<Answer> {
        let end = loop {
            if let Some(end) = self.ahead.windows(4).position(|part| part == b"\r\n\r\n") {
                break end + 4;
            }
            self.more()?;
        };
        let head = String::from_utf8(self.ahead.drain(..end).collect()).expect("ASCII");
        let status = head.split(' ').nth(1).expect("a status").parse().expect("a number");
        let mut answer = Answer { status, head, body: String::new() };
        let length = answer.header("content-length").map_or(0, |length| length.parse().expect("a number"));
        while self.ahead.len() < length {
            self.more()?;
        }
        answer.body = String::from_utf8(self.ahead.drain(..length).collect()).expect("UTF-8");
        Some(answer)
    }

    fn more(&mut self) -> Option<()> {
        let mut buffer = [0; 4096];
        let read = self.socket.read(&mut buffer).ok().filter(|read| *read > 0)?;
        self.ahead.extend_from_slice(&buffer[..read]);
        Some(())
    }

    /// Whether the server closes the connection, without another answer.
    pub fn is_closed(&mut self) -> bool {
        self.answer().is_none()
    }
}

pub fn request(head: &str, body: &[u8]) -> Vec<u8> {
    let (line, headers) = head.split_once("\r\n").unwrap_or((head, ""));
    let length = body.len();
    let head = format!("{line} HTTP/1.1\r\nHost: localhost\r\nContent-Length: {length}\r\n{headers}\r\n");
    [head.as_bytes(), body].concat()
}
