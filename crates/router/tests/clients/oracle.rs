//! Stands between a client and the router, and knows what was answered.

use super::program::request;
use flate2::read::MultiGzDecoder;
use metlog_testkit::http::{Answer, Close, HttpPeer, Request};
use std::collections::{BTreeMap, BTreeSet};
use std::io::Read;
use std::sync::{Arc, Mutex};

/// For each mark, in how many requests it was that were answered with success, and in how many others.
type Marks = BTreeMap<String, (u64, u64)>;

pub struct Oracle {
    peer: HttpPeer,
    marks: Arc<Mutex<Marks>>,
}

impl Oracle {
    /// Before the router at an address, which may change.
    pub fn before(address: Arc<Mutex<String>>) -> Oracle {
        let marks = Arc::new(Mutex::new(Marks::new()));
        let known = marks.clone();
        let peer = HttpPeer::new(move |asked| {
            let address = address.lock().unwrap().clone();
            let answer = pass_on(&address, asked);
            let good = answer.as_ref().is_some_and(|answer| (200..300).contains(&answer.status));
            let mut known = known.lock().unwrap();
            for mark in marks_in(&expanded(asked)) {
                let (yes, no) = known.entry(mark).or_default();
                *(if good { yes } else { no }) += 1;
            }
            answer.unwrap_or_else(|| Answer::new(502, "").close(Close::Instead))
        });
        Oracle { peer, marks }
    }

    pub fn url(&self) -> String {
        self.peer.url()
    }

    /// Marks that were answered.
    pub fn answered(&self) -> usize {
        self.marks.lock().unwrap().values().filter(|(yes, _)| *yes > 0).count()
    }

    /// Requests with a mark: answered with success, and not.
    pub fn requests(&self, mark: &str) -> (u64, u64) {
        self.marks.lock().unwrap().get(mark).copied().unwrap_or_default()
    }
}

/// Nothing if the router was not there, or went away before it had answered.
fn pass_on(address: &str, asked: &Request) -> Option<Answer> {
    let own = ["host", "content-length", "connection", "transfer-encoding", "accept-encoding", "expect"];
    let headers = asked.headers.iter().filter(|(name, _)| !own.contains(&name.as_str()));
    let headers: Vec<(&str, &str)> = headers.map(|(name, value)| (name.as_str(), value.as_str())).collect();
    let answer = request(address, &format!("{} {}", asked.method, asked.target), &headers, &asked.body)?;
    Some(Answer::new(answer.status, answer.body).header("content-type", "application/json"))
}

fn expanded(asked: &Request) -> Vec<u8> {
    if asked.header("content-encoding") != Some("gzip") {
        return asked.body.clone();
    }
    let mut body = Vec::new();
    MultiGzDecoder::new(asked.body.as_slice()).read_to_end(&mut body).expect("gzip");
    body
}

/// `<name:5>`, each once, however often an event has it.
fn marks_in(body: &[u8]) -> BTreeSet<String> {
    let text = String::from_utf8_lossy(body);
    let parts = text.split('<').skip(1).filter_map(|rest| rest.split_once('>'));
    parts.filter(|(mark, _)| mark.len() < 40 && mark.contains(':')).map(|(mark, _)| format!("<{mark}>")).collect()
}
