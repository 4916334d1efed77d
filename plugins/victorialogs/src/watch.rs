//! What the server says of itself: whether it is still the one that confirmed our rows, and how many it has dropped.
//!
//! It confirms rows before they are on its disk; killed, it loses those of its last seconds. And it answers 200 to rows
//! that it drops. Of both it tells only in its metrics.

use metlog_http::{Blocking, Compress, Post, Reply, Trouble};
use std::collections::BTreeMap;
use std::time::{Duration, Instant};

/// How long the server may take to have on its disk what it confirmed: five seconds for each of two steps, and some.
const UNSAFE: Duration = Duration::from_secs(12);
/// How often it is asked, as long as something it has confirmed is not safe.
const EVERY: Duration = Duration::from_secs(1);
/// How often otherwise.
const SELDOM: Duration = Duration::from_secs(30);
/// So many processes are told apart.
const PROCESSES: usize = 8;
/// So many counters of drops.
const COUNTERS: usize = 64;

/// Keeps an eye on the server.
pub struct Watch {
    client: Blocking,
    settle: Duration,
    /// When each process of it started that we have seen; the last one is at work.
    processes: Vec<f64>,
    dropped: BTreeMap<String, f64>,
    asked: Option<Instant>,
    answered: Option<Instant>,
    written: Option<Instant>,
    /// Since when nothing is known of it and everything unsettled has been taken back.
    given_up: Option<Instant>,
    /// Another process turned up at a moment when nobody could be told.
    lost: bool,
    /// It cannot be watched.
    blind: bool,
    notes: Vec<String>,
}

/// What one look at the server brought.
#[derive(Debug, PartialEq, Eq)]
enum Seen {
    Same,
    Another,
    Silent,
    Unknown,
}

impl Watch {
    /// For rows that settle within this time; zero: nothing is asked.
    pub fn new(client: Blocking, settle: Duration) -> Self {
        Watch {
            client,
            settle,
            processes: Vec::new(),
            dropped: BTreeMap::new(),
            asked: None,
            answered: None,
            written: None,
            given_up: None,
            lost: false,
            blind: settle.is_zero(),
            notes: Vec::new(),
        }
    }

    /// Before rows go out: which process will confirm them.
    pub fn before_write(&mut self) {
        let given_up = self.given_up;
        if self.blind || !(self.processes.is_empty() || given_up.is_some()) {
            return;
        }
        // What was confirmed before is taken back already; what was since then may be lost with an unknown process.
        let since = given_up.is_some() && self.written > given_up;
        self.lost |= self.look() == Seen::Another && since;
    }

    /// Rows have been confirmed.
    pub fn after_write(&mut self) {
        self.written = Some(Instant::now());
    }

    /// Whether rows that were confirmed may be lost. Each loss is told once.
    pub fn relapsed(&mut self) -> bool {
        let unsettled = self.written.is_some_and(|at| at.elapsed() < self.settle + EVERY);
        if std::mem::take(&mut self.lost) {
            return true;
        }
        let pause = if unsettled { EVERY } else { SELDOM };
        if self.blind || self.asked.is_some_and(|at| at.elapsed() < pause) {
            return false;
        }
        match self.look() {
            Seen::Another => unsettled,
            // It may have been killed right after it answered for the last time. Before the first row it confirmed since
            // shortly before then counts as settled, all of them are taken back.
            Seen::Silent if unsettled && self.given_up.is_none() => {
                let sure = self.settle.saturating_sub(UNSAFE);
                if self.answered.is_some_and(|at| at.elapsed() + EVERY < sure) {
                    return false;
                }
                self.given_up = Some(Instant::now());
                self.note("the server does not say whether it lives; what it confirmed last is sent again".into());
                true
            }
            Seen::Same | Seen::Silent | Seen::Unknown => false,
        }
    }

    /// What people should know, once.
    pub fn note_for_people(&mut self) -> Option<String> {
        let notes = std::mem::take(&mut self.notes);
        (!notes.is_empty()).then(|| notes.join("; "))
    }

    fn note(&mut self, note: String) {
        // They are fetched soon; if not, the first ones say enough.
        if self.notes.len() < 8 {
            self.notes.push(note);
        }
    }

    fn look(&mut self) -> Seen {
        self.asked = Some(Instant::now());
        // The server answers its metrics to any method, and the client knows but one.
        let post = Post { content_type: "text/plain", body: Vec::new(), compress: Compress::NONE };
        match self.client.post(post) {
            Ok(Reply { body, cut: false, .. }) => self.judge(&String::from_utf8_lossy(&body)),
            Err(Trouble::Retry { .. }) => Seen::Silent,
            Ok(_) => self.unwatched("is longer than a page of metrics"),
            Err(trouble) => self.unwatched(trouble.why()),
        }
    }

    fn unwatched(&mut self, why: &str) -> Seen {
        self.blind = true;
        self.note(format!(
            "{}: {why}; so it stays unknown when the server drops rows or is killed and loses its latest. Let it be read, \
             or set `settle = \"0s\"`",
            self.client.address()
        ));
        Seen::Unknown
    }

    fn judge(&mut self, page: &str) -> Seen {
        let (mut started, mut dropped) = (None, BTreeMap::new());
        for line in page.lines().filter(|line| !line.starts_with('#')) {
            let Some((name, value)) = line.rsplit_once(' ') else { continue };
            let Ok(value) = value.parse::<f64>() else { continue };
            match name {
                "process_start_time_seconds" => started = Some(value),
                "vm_app_start_timestamp" => started = started.or(Some(value)),
                name if counts_drops(name) && dropped.len() < COUNTERS => drop(dropped.insert(name.to_owned(), value)),
                _ => {}
            }
        }
        let Some(started) = started else { return self.unwatched("holds no start time of a process") };
        self.answered = Some(Instant::now());
        self.given_up = None;
        let seen = match self.processes.last() {
            Some(last) if *last == started => Seen::Same,
            Some(_) if self.processes.contains(&started) => {
                return self.unwatched("is answered by several servers in turn");
            }
            Some(_) if self.processes.len() >= PROCESSES => {
                // It restarts all the time, or there are many behind the address; each new one is taken for a restart.
                self.processes.remove(0);
                Seen::Another
            }
            Some(_) => Seen::Another,
            None => Seen::Unknown,
        };
        if seen != Seen::Same {
            self.processes.push(started);
        }
        match seen {
            // What was dropped before we came is not news.
            Seen::Unknown => {}
            Seen::Another => {
                self.note("the server has been restarted; what it confirmed in its last seconds is sent again".into());
                self.dropped.clear();
                self.tell_drops(&dropped);
            }
            _ => self.tell_drops(&dropped),
        }
        self.dropped = dropped;
        seen
    }

    fn tell_drops(&mut self, dropped: &BTreeMap<String, f64>) {
        let more = dropped.iter().filter_map(|(name, count)| {
            let more = count - self.dropped.get(name).copied().unwrap_or(0.0);
            (more > 0.0).then(|| format!("{name} +{more}"))
        });
        let more: Vec<String> = more.collect();
        if !more.is_empty() {
            self.note(format!("the server has dropped rows, of ours or of others: {}", more.join(", ")));
        }
    }
}

/// Whether this counter grows when rows are lost behind a 200.
fn counts_drops(name: &str) -> bool {
    name.starts_with("vl_rows_dropped_total")
        || name.starts_with("vl_too_long_lines_skipped_total")
        || name.starts_with("vl_http_errors_total{") && name.contains("/insert/jsonline")
}
