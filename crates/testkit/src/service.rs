//! A web service of a neighbour, played by a test: it takes, refuses, dawdles and goes away as the contract asks.

use crate::contract::{Arrived, Peer};
use crate::http::{Answer, HttpPeer, Request};
use metlog_message::{Fields, Value, wire};
use metlog_pipeline::Sender;
use std::collections::BTreeSet;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

/// What the service has seen, and how it was told to behave.
#[derive(Debug, Default)]
pub struct Desk {
    /// What it took, in order.
    pub arrived: Vec<Arrived>,
    /// Numbers it refuses for good.
    pub refused: Vec<u64>,
    /// How long it waits before each answer.
    pub pause: Duration,
}

/// The service.
pub struct Service {
    /// Its web server.
    pub http: HttpPeer,
    desk: Arc<Mutex<Desk>>,
    open: fn(&HttpPeer) -> Box<dyn Sender>,
}

fn lock(desk: &Mutex<Desk>) -> MutexGuard<'_, Desk> {
    desk.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Service {
    /// Answers each request by `answer`; `open` makes a sender towards it.
    pub fn new(
        open: fn(&HttpPeer) -> Box<dyn Sender>,
        mut answer: impl FnMut(&Request, &mut Desk) -> Answer + Send + 'static,
    ) -> Self {
        let desk: Arc<Mutex<Desk>> = Arc::default();
        let shared = desk.clone();
        let http = HttpPeer::new(move |request| {
            let mut desk = lock(&shared);
            let said = answer(request, &mut desk);
            said.delay(desk.pause)
        });
        Service { http, desk, open }
    }

    /// What it has seen.
    pub fn desk(&self) -> MutexGuard<'_, Desk> {
        lock(&self.desk)
    }
}

impl Peer for Service {
    fn sender(&mut self) -> Box<dyn Sender> {
        (self.open)(&self.http)
    }
    fn arrived(&mut self) -> Vec<Arrived> {
        self.desk().arrived.clone()
    }
    fn stop(&mut self) -> bool {
        self.http.stop();
        true
    }
    fn start(&mut self) {
        self.http.start();
    }
    fn slow_down(&mut self, pause: Duration) -> bool {
        self.desk().pause = pause;
        true
    }
    fn refuse(&mut self, numbers: &[u64]) -> bool {
        self.desk().refused = numbers.to_vec();
        true
    }
}

/// A JSON object.
///
/// # Panics
/// If the text is none.
pub fn map(text: &[u8]) -> Fields {
    match wire::read_value(text) {
        Ok(Value::Map(map)) => map,
        other => panic!("{other:?}: {}", String::from_utf8_lossy(text)),
    }
}

/// The text at a path.
///
/// # Panics
/// If there is none.
pub fn text(map: &Fields, path: &str) -> String {
    map.at(path).and_then(Value::as_str).unwrap_or_else(|| panic!("no text {path} in {map:?}")).to_owned()
}

/// The number at a path.
///
/// # Panics
/// If there is none.
pub fn number(map: &Fields, path: &str) -> u64 {
    let number = map.at(path).and_then(Value::as_i64).unwrap_or_else(|| panic!("no number {path} in {map:?}"));
    number.unsigned_abs()
}

/// A request without its body. Of the length only whether it is right.
pub fn head(request: &Request) -> Value {
    let mut head: Fields = request.headers.iter().map(|(name, value)| (name.clone(), value.as_str())).collect();
    head.set("content-length", request.header("content-length") == Some(&request.body.len().to_string()));
    head.set(":method", request.method.as_str());
    head.set(":target", request.target.as_str());
    Value::Map(head)
}

/// Where two values differ.
fn differences(path: &str, client: &Value, ours: &Value, found: &mut BTreeSet<String>) {
    let (Value::Map(client), Value::Map(ours)) = (client, ours) else {
        if client != ours {
            found.insert(format!("~{path}"));
        }
        return;
    };
    let at = |name: &str| if path.is_empty() { name.to_owned() } else { format!("{path}.{name}") };
    for (name, value) in client.iter() {
        match ours.get(name) {
            Some(other) => differences(&at(name), value, other, found),
            None => _ = found.insert(format!("-{}", at(name))),
        }
    }
    found.extend(ours.iter().filter(|(name, _)| !client.contains(name)).map(|(name, _)| format!("+{}", at(name))));
}

/// That two values differ where it was said, each with its reason, and there only: `-` and a path that only the client's has,
/// `+` only ours, `~` another value or type.
pub fn compare<'a>(client: &Value, ours: &Value, on_purpose: impl IntoIterator<Item = &'a (&'a str, &'a str)>) {
    let mut found = BTreeSet::new();
    differences("", client, ours, &mut found);
    let expected: BTreeSet<String> = on_purpose.into_iter().map(|(difference, _)| (*difference).to_owned()).collect();
    assert_eq!(found, expected, "\nclient: {}\nours: {}", client.to_text(), ours.to_text());
}
