//! A router with a directory of its own, and an endpoint that does what a test tells it.
#![allow(dead_code)]

use metlog_pipeline::registry::Configured;
use metlog_pipeline::{Endpoint, EndpointEntry, Pacing, Picked, Promise, SendError, inventory};
use metlog_router::accounting::Account;
use metlog_router::config::{self, Plan};
use metlog_router::deliver::Clock;
use metlog_router::router::{Left, Router};
use serde::Deserialize;
use std::collections::{BTreeMap, VecDeque};
use std::io::{Read, Write};
use std::net::{Shutdown, TcpStream};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::SeqCst};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};
use tokio::runtime::Runtime;

/// What a scripted endpoint does, and what it got.
#[derive(Default)]
pub struct Script {
    pub answers: Mutex<VecDeque<SendError>>,
    /// As long as this is set, every write fails with it.
    pub broken: Mutex<Option<SendError>>,
    pub got: Mutex<Vec<(u64, String)>>,
    pub pause: Mutex<Duration>,
    pub at_most_once: AtomicBool,
    pub settle: Mutex<Duration>,
    pub relapse: AtomicBool,
    pub panics: AtomicU64,
    pub panics_at_the_end: AtomicBool,
    pub opened: AtomicU64,
    pub ticks: AtomicU64,
    pub reopened: AtomicU64,
    /// Writes that are under way, and how many were at the most.
    pub writing: AtomicU64,
    pub together: AtomicU64,
}

impl Script {
    pub fn named(name: &str) -> Arc<Script> {
        static ALL: Mutex<BTreeMap<String, Arc<Script>>> = Mutex::new(BTreeMap::new());
        ALL.lock().unwrap().entry(name.to_owned()).or_default().clone()
    }

    pub fn numbers(&self) -> Vec<u64> {
        self.got.lock().unwrap().iter().map(|(_, text)| number(text)).collect()
    }

    pub fn count(&self) -> usize {
        self.got.lock().unwrap().len()
    }

    pub fn fail(&self, error: SendError) {
        *self.broken.lock().unwrap() = Some(error);
    }

    pub fn mend(&self) {
        *self.broken.lock().unwrap() = None;
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Config {
    name: String,
}

struct Scripted(Arc<Script>);

impl Configured for Scripted {
    type Config = Config;
    fn open(config: Config) -> Result<Self, String> {
        if config.name.ends_with("unopenable") {
            return Err("this one never opens".into());
        }
        let script = Script::named(&config.name);
        if config.name.ends_with("hermit") && script.opened.load(SeqCst) > 0 {
            return Err("there is one already".into());
        }
        script.opened.fetch_add(1, SeqCst);
        Ok(Scripted(script))
    }
}

inventory::submit! { EndpointEntry::of::<Scripted>("scripted", &[], "name = 'x'\n") }

impl Endpoint for Scripted {
    fn write(&mut self, batch: &Picked<'_>) -> Result<(), SendError> {
        let script = &self.0;
        let pause = *script.pause.lock().unwrap();
        script.together.fetch_max(script.writing.fetch_add(1, SeqCst) + 1, SeqCst);
        std::thread::sleep(pause);
        script.writing.fetch_sub(1, SeqCst);
        if script.panics.fetch_update(SeqCst, SeqCst, |left| left.checked_sub(1)).is_ok() {
            panic!("as told");
        }
        assert_eq!(batch.lines().len(), batch.ids().len());
        let answer = script.broken.lock().unwrap().clone().or_else(|| script.answers.lock().unwrap().pop_front());
        let mut got = script.got.lock().unwrap();
        let mut take = |wanted: &dyn Fn(usize) -> bool| {
            for (at, (line, id)) in batch.lines().iter().zip(batch.ids()).enumerate() {
                if wanted(at) {
                    got.push((*id, String::from_utf8(line.to_vec()).unwrap()));
                }
            }
        };
        match answer {
            None => take(&|_| true),
            Some(SendError::Refuse { ref which, .. }) => take(&|at| !which.contains(&at)),
            Some(SendError::Retry { done, .. }) => take(&|at| at < done),
            Some(SendError::Pause { .. }) => {}
        }
        answer.map_or(Ok(()), Err)
    }
    fn tick(&mut self) -> Result<(), SendError> {
        self.0.ticks.fetch_add(1, SeqCst);
        Ok(())
    }
    fn close(&mut self, _: Duration) -> Result<(), SendError> {
        assert!(!self.0.panics_at_the_end.load(SeqCst), "as told");
        Ok(())
    }
    fn reopen(&mut self) {
        self.0.reopened.fetch_add(1, SeqCst);
    }
    fn promise(&self) -> Promise {
        if self.0.at_most_once.load(SeqCst) { Promise::AtMostOnce } else { Promise::AtLeastOnce }
    }
    fn settle(&self) -> Duration {
        *self.0.settle.lock().unwrap()
    }
    fn relapsed(&mut self) -> bool {
        self.0.relapse.swap(false, SeqCst)
    }
    fn pacing(&self) -> Pacing {
        Pacing { messages: 100, ..Pacing::default() }
    }
}

/// A message's JSON with a number in it.
pub fn message(number: u64) -> String {
    message_of("oldstyle", 6, number)
}

pub fn message_of(kind: &str, severity: u8, number: u64) -> String {
    format!(
        r#"{{"type":"{kind}","timestamp":"2026-11-21T08:00:00.000000Z","logger":"t","severity":{severity},"payload":"m","fields":{{"n":{number}}},"env_version":"0.8","metlog_pid":1,"metlog_hostname":"h"}}"#
    )
}

pub fn number(text: &str) -> u64 {
    let (_, rest) = text.split_once("\"n\":").unwrap_or_else(|| panic!("no number: {text}"));
    rest.split_once('}').and_then(|(number, _)| number.parse().ok()).unwrap_or_else(|| panic!("no number: {text}"))
}

/// A directory that goes with the test.
pub struct Directory(pub PathBuf);

impl Directory {
    pub fn new() -> Self {
        static NUMBER: AtomicU64 = AtomicU64::new(0);
        let name = format!("router-{}-{}", std::process::id(), NUMBER.fetch_add(1, SeqCst));
        let directory = Path::new(env!("CARGO_TARGET_TMPDIR")).join(name);
        let _ = std::fs::remove_dir_all(&directory);
        std::fs::create_dir_all(&directory).unwrap();
        Directory(directory)
    }
}

impl Drop for Directory {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

pub struct Running {
    pub router: Arc<Router>,
    pub runtime: Runtime,
    stopped: bool,
}

pub fn plan(directory: &Directory, text: &str) -> Plan {
    let whole = format!("[router]\nhttp = ''\ndata = '{}'\n{text}", directory.0.join("data").display());
    config::from_toml("test.toml", &whole).unwrap_or_else(|problems| panic!("{problems}\n{whole}"))
}

impl Running {
    pub fn start(directory: &Directory, text: &str) -> Running {
        Running::try_start(&plan(directory, text)).unwrap_or_else(|why| panic!("{why}"))
    }

    pub fn try_start(plan: &Plan) -> Result<Running, String> {
        Running::try_start_by(plan, Clock::default())
    }

    pub fn try_start_by(plan: &Plan, clock: Clock) -> Result<Running, String> {
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
        let (router, _) = Router::start_by(plan, runtime.handle(), clock)?;
        Ok(Running { router, runtime, stopped: false })
    }

    /// The port of an input.
    pub fn port(&self, input: &str) -> u16 {
        let places = self.router.places();
        let (_, place) = places.iter().find(|(name, _)| name == input).expect("configured");
        place.rsplit_once(':').and_then(|(_, port)| port.parse().ok()).expect("a port")
    }

    /// Sends lines over TCP and waits until all were read.
    pub fn send(&self, input: &str, lines: impl IntoIterator<Item = String>) {
        let mut stream = TcpStream::connect(("127.0.0.1", self.port(input))).unwrap();
        let text: String = lines.into_iter().flat_map(|line| [line, "\n".to_owned()]).collect();
        stream.write_all(text.as_bytes()).unwrap();
        stream.shutdown(Shutdown::Write).unwrap();
        stream.read_to_end(&mut Vec::new()).unwrap();
    }

    pub fn account(&self) -> Account {
        self.router.account()
    }

    /// The law holds.
    pub fn balanced(&self) -> Account {
        let account = self.account();
        assert_eq!(account.unaccounted(), 0, "{account:#?}");
        account
    }

    pub fn stop(mut self) -> Left {
        self.stop_within(Duration::from_secs(10))
    }

    pub fn stop_within(&mut self, time: Duration) -> Left {
        self.stopped = true;
        let left = self.router.stop(Instant::now() + time);
        self.balanced();
        left
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        if !self.stopped && !std::thread::panicking() {
            self.stop_within(Duration::from_secs(2));
        }
    }
}

pub fn eventually(what: &str, mut is: impl FnMut() -> bool) {
    let began = Instant::now();
    while !is() {
        assert!(began.elapsed() < Duration::from_secs(20), "not in time: {what}");
        std::thread::sleep(Duration::from_millis(5));
    }
}

pub fn dead_letters(directory: &Directory) -> Vec<String> {
    dead_letters_in(&directory.0.join("data"))
}

/// Those of a router that keeps its data here.
pub fn dead_letters_in(data: &Path) -> Vec<String> {
    let mut files: Vec<PathBuf> = match std::fs::read_dir(data.join("dead-letters")) {
        Ok(entries) => entries.map(|entry| entry.unwrap().path()).collect(),
        Err(_) => return Vec::new(),
    };
    files.sort();
    files
        .iter()
        .flat_map(|file| std::fs::read_to_string(file).unwrap().lines().map(str::to_owned).collect::<Vec<_>>())
        .collect()
}
