//! The dialect in a server on a free port, before a recorder, and a client that says what a test wants said.
#![allow(dead_code, reason = "each test program uses a part of it")]

use metlog_http::{DialectEntry, Server, ServerLimits};
use metlog_message::{Message, Value, wire};
use metlog_pipeline::Stop;
use metlog_testkit::http::{Said, ask};
use metlog_testkit::inlet::{Recorder, Refused};
use metlog_testkit::settings;
use metlog_victorialogs as _;
use std::net::SocketAddr;
use tokio::runtime::Runtime;
use tokio::sync::watch;

pub struct Running {
    pub at: SocketAddr,
    pub recorder: Recorder,
    _runtime: Runtime,
    _tell: watch::Sender<bool>,
}

impl Running {
    pub fn new() -> Self {
        let recorder = Recorder::new();
        let server = Server::bind("127.0.0.1:0", ServerLimits::default()).expect("a free port");
        let at = server.local_addr();
        let entry = DialectEntry::find("victorialogs").expect("there");
        let dialect = (entry.read)(&settings("")).unwrap_or_else(|problems| panic!("{problems}"))().expect("opens");
        let routes = dialect.routes(server.door(recorder.inlet()));
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build();
        let runtime = runtime.expect("a runtime");
        let (tell, stop) = Stop::new();
        runtime.spawn(server.serve(routes, stop));
        Running { at, recorder, _runtime: runtime, _tell: tell }
    }

    pub fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.at)
    }

    /// `head` is the request line without version, and further headers, each ended by CRLF.
    pub fn ask(&self, head: &str, body: impl AsRef<[u8]>) -> Answer {
        let Said { status, head, body } = ask(self.at, head, body);
        assert!(body.is_ascii());
        Answer { status, head, body }
    }

    pub fn lines(&self, query: &str, body: impl AsRef<[u8]>) -> Answer {
        self.ask(&format!("POST /insert/jsonline?{query}"), body)
    }

    /// What was accepted and refused since the last time; everything that came in is one of the two.
    pub fn new_ones(&self, before: &mut (usize, usize)) -> (Vec<Message>, Vec<Refused>) {
        let mut seen = self.recorder.seen();
        assert_eq!((seen.pending, seen.forgotten), (0, 0));
        assert_eq!(seen.received(), (seen.accepted.len() + seen.refused.len()) as u64);
        let (accepted, refused) = (seen.accepted.split_off(before.0), seen.refused.split_off(before.1));
        *before = (before.0 + accepted.len(), before.1 + refused.len());
        (accepted.iter().map(|line| strict(line)).collect(), refused)
    }

    pub fn messages(&self) -> Vec<Message> {
        self.new_ones(&mut (0, 0)).0
    }
}

/// A message that needs no leniency, and says by which way it came; that is taken out.
pub fn strict(line: &[u8]) -> Message {
    let text = String::from_utf8_lossy(line);
    let read = wire::read(line, &wire::Limits::default()).unwrap_or_else(|refusal| panic!("{refusal}: {text}"));
    assert!(read.notes.is_empty(), "{:?}: {text}", read.notes);
    let mut message = read.message;
    assert_eq!(message.extra.remove("via"), Some(Value::from("victorialogs")));
    message
}

#[derive(Debug)]
pub struct Answer {
    pub status: u16,
    pub head: String,
    pub body: String,
}

impl Answer {
    pub fn json(&self) -> serde_json::Value {
        serde_json::from_str(&self.body).unwrap_or_else(|_| panic!("{self:?}"))
    }

    /// Accepted, and nothing more to say.
    #[track_caller]
    pub fn is_silent(&self, status: u16) {
        assert_eq!((self.status, self.body.as_str()), (status, ""), "{self:?}");
    }
}
