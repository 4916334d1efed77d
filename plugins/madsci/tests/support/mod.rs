//! The dialect in a real server, before a recorder, with a store that has what the recorder has.

// Not every test program needs all of it.
#![allow(dead_code)]

use metlog_http::axum::Extension;
use metlog_http::{DialectEntry, Server, ServerLimits};
use metlog_madsci as _;
use metlog_message::{Fields, Message, Timestamp, Value, wire};
use metlog_pipeline::Stop;
use metlog_query::memory::Memory;
use metlog_query::{Backup, Change, End, Row, Scan, Shelf, Size, Store, Trouble};
use metlog_testkit::http::{Said, ask};
use metlog_testkit::{Recorder, settings};
use std::net::SocketAddr;
use std::ops::ControlFlow;
use std::sync::{Arc, Mutex};
use tokio::runtime::Runtime;
use tokio::sync::watch;

pub struct House {
    pub at: SocketAddr,
    pub recorder: Recorder,
    pub store: Arc<Cupboard>,
    _tell: watch::Sender<bool>,
    _runtime: Runtime,
}

/// What is in memory, and backups that are remembered only.
#[derive(Default)]
pub struct Cupboard {
    recorder: Mutex<Recorder>,
    filled: Mutex<usize>,
    memory: Memory,
    backups: Mutex<Vec<Backup>>,
    /// Scans end late.
    pub late: std::sync::atomic::AtomicBool,
}

impl Cupboard {
    /// What has been thrown away does not come again.
    fn fill(&self) {
        let mut filled = self.filled.lock().expect("a lock");
        let accepted = self.recorder.lock().expect("a lock").seen().accepted;
        self.memory.write((1..).zip(accepted.iter().map(Vec::as_slice)).skip(*filled));
        *filled = accepted.len();
    }
}

impl Store for Cupboard {
    fn scan(&self, scan: &Scan, each: &mut dyn FnMut(&Row<'_>) -> ControlFlow<()>) -> Result<End, Trouble> {
        let end = self.memory.scan(scan, each)?;
        Ok(if self.late.load(std::sync::atomic::Ordering::Relaxed) { End::Late } else { end })
    }
    fn change(&self, change: Change, positions: &[u64]) -> Result<u64, Trouble> {
        self.memory.change(change, positions)
    }
    fn size(&self) -> Result<Size, Trouble> {
        self.memory.size()
    }
    fn backup(&self, note: &str) -> Result<Backup, Trouble> {
        let mut backups = self.backups.lock().expect("a lock");
        let path = format!("metlog-data/backups/{}.db", backups.len());
        let made = Timestamp::from_nanos(1_795_212_050_000_000_000);
        backups.insert(0, Backup { path, made, bytes: 4096, whole: true, note: note.to_owned() });
        Ok(backups[0].clone())
    }
    fn backups(&self) -> Result<Vec<Backup>, Trouble> {
        Ok(self.backups.lock().expect("a lock").clone())
    }
}

impl House {
    pub fn new() -> Self {
        Self::with("", true)
    }

    pub fn with(toml: &str, store: bool) -> Self {
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build();
        let runtime = runtime.expect("a runtime");
        let server = Server::bind("127.0.0.1:0", ServerLimits::default()).expect("a free port");
        let (at, recorder) = (server.local_addr(), Recorder::new());
        let entry = DialectEntry::find("madsci").expect("there");
        let dialect = (entry.read)(&settings(toml)).unwrap_or_else(|problems| panic!("{problems}"))().expect("opens");
        let cupboard = Arc::new(Cupboard { recorder: Mutex::new(recorder.clone()), ..Cupboard::default() });
        let home = metlog_http::server::home_route(dialect.home());
        let mut routes = dialect.routes(server.door(recorder.inlet())).merge(home);
        if store {
            let filled = cupboard.clone();
            let settled = move || -> metlog_query::store::Settled {
                filled.fill();
                Box::pin(std::future::ready(true))
            };
            routes = routes.layer(Extension(Shelf::new(cupboard.clone(), settled)));
        }
        let (tell, stop) = Stop::new();
        runtime.spawn(server.serve(routes, stop));
        House { at, recorder, store: cupboard, _tell: tell, _runtime: runtime }
    }

    /// `agent` is the client's name for itself.
    pub fn ask_as(&self, agent: &str, line: &str, body: &str) -> Answer {
        let Said { status, head, body } = ask(self.at, &format!("{line}\r\nUser-Agent: {agent}\r\n"), body);
        Answer { status, head, body }
    }

    pub fn ask(&self, line: &str, body: &str) -> Answer {
        self.ask_as("test", line, body)
    }

    pub fn post(&self, event: &str) -> Answer {
        self.ask("POST /event", event)
    }

    /// The messages that were taken.
    pub fn messages(&self) -> Vec<Message> {
        let read = |line: &Vec<u8>| wire::read(line, &wire::Limits::NONE).expect("a message").message;
        self.recorder.seen().accepted.iter().map(read).collect()
    }
}

#[derive(Debug)]
pub struct Answer {
    pub status: u16,
    pub head: String,
    pub body: String,
}

impl Answer {
    /// The object, after a look at what every answer must be.
    #[track_caller]
    pub fn map(&self) -> Fields {
        assert!(self.head.contains("content-type: application/json"), "{self:?}");
        match wire::read_value(self.body.as_bytes()) {
            Ok(Value::Map(map)) => map,
            _ => panic!("{self:?}"),
        }
    }

    /// Names at the top of the object.
    #[track_caller]
    pub fn names(&self) -> Vec<String> {
        assert_eq!(self.status, 200, "{self:?}");
        self.map().iter().map(|(name, _)| name.to_owned()).collect()
    }

    #[track_caller]
    pub fn at(&self, path: &str) -> Value {
        self.map().at(path).unwrap_or_else(|| panic!("no {path} in {self:?}")).clone()
    }
}
