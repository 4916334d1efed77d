//! VictoriaLogs, played: what it does with JSON lines, above all what it loses while it answers 200.
//!
//! It behaves as the real server was seen to behave, version 1.26 unless a later one is stricter. What it does not play:
//! other ways in, queries, retention by disk space.

use crate::http::{Answer, HttpPeer, Request};
use metlog_message::{Fields, Timestamp, Value, wire};
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

/// Undoes a content coding; `None` if the body is not of that coding.
pub type Unpack = fn(coding: &str, body: &[u8]) -> Option<Vec<u8>>;

/// A stored row: flat names and texts.
pub type Row = BTreeMap<String, String>;

const DAY: f64 = 86_400.0;
const LINE: usize = 256 * 1024;
const FIELDS: usize = 1000;
const NAME: usize = 128;

/// The server.
pub struct VictoriaLogs {
    /// Its web server, for scripted faults and for what was asked.
    pub http: HttpPeer,
    state: Arc<Mutex<State>>,
}

struct State {
    unpack: Unpack,
    rows: Vec<(Instant, Stored)>,
    dropped: BTreeMap<&'static str, u64>,
    started: u64,
    read_only: bool,
    metrics: bool,
}

/// A row, and whose it is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Stored {
    /// `account:project`
    pub tenant: String,
    /// The fields and their values in the order of `_stream_fields`.
    pub stream: Vec<(String, String)>,
    /// All fields, `_msg` and `_time` (nanoseconds) among them.
    pub row: Row,
}

fn lock(state: &Mutex<State>) -> MutexGuard<'_, State> {
    state.lock().unwrap_or_else(PoisonError::into_inner)
}

impl VictoriaLogs {
    /// An empty one, with a retention of 7 days and 2 days into the future.
    pub fn new(unpack: Unpack) -> Self {
        let state = State {
            unpack,
            rows: Vec::new(),
            dropped: BTreeMap::new(),
            started: 1_800_000_000,
            read_only: false,
            metrics: true,
        };
        let state = Arc::new(Mutex::new(state));
        let shared = state.clone();
        VictoriaLogs { http: HttpPeer::new(move |request| lock(&shared).answer(request)), state }
    }

    /// Where it listens.
    pub fn url(&self) -> String {
        self.http.url()
    }

    /// What it has stored, in the order of arrival.
    pub fn stored(&self) -> Vec<Stored> {
        lock(&self.state).rows.iter().map(|(_, stored)| stored.clone()).collect()
    }

    /// The same, without tenants and streams.
    pub fn rows(&self) -> Vec<Row> {
        self.stored().into_iter().map(|stored| stored.row).collect()
    }

    /// How many rows it has dropped without a word.
    pub fn dropped(&self) -> u64 {
        lock(&self.state).dropped.values().sum()
    }

    /// It is killed and starts again: what it confirmed within this time is gone, and its counters begin at nought.
    pub fn crash(&self, losing: Duration) {
        let mut state = lock(&self.state);
        state.rows.retain(|(at, _)| at.elapsed() > losing);
        state.dropped.clear();
        state.started += 1;
    }

    /// Its disk is full, or not any more.
    pub fn set_read_only(&self, read_only: bool) {
        lock(&self.state).read_only = read_only;
    }

    /// Whether its metrics can be read.
    pub fn set_metrics(&self, there: bool) {
        lock(&self.state).metrics = there;
    }
}

impl State {
    fn answer(&mut self, request: &Request) -> Answer {
        let (path, query) = request.target.split_once('?').unwrap_or((&request.target, ""));
        match path {
            "/health" => Answer::new(200, "OK"),
            "/metrics" if self.metrics => Answer::new(200, self.page()),
            "/insert/jsonline" if request.method != "POST" => Answer::new(405, "only POST"),
            "/insert/jsonline" => self.insert(request, query),
            _ => Answer::new(400, format!("unsupported path requested: {path:?}")),
        }
    }

    fn page(&self) -> String {
        let mut page = format!("process_start_time_seconds {0}\nvm_app_start_timestamp {0}\n", self.started);
        for (name, count) in &self.dropped {
            page.push_str(&format!("{name} {count}\n"));
        }
        page
    }

    fn drop_row(&mut self, counter: &'static str) {
        *self.dropped.entry(counter).or_default() += 1;
    }

    fn insert(&mut self, request: &Request, query: &str) -> Answer {
        let parameters = parameters(query);
        let list = |name: &str| -> Vec<String> {
            let header = format!("VL-{}", name.trim_start_matches('_').replace('_', "-"));
            let text = parameters.get(name).map(String::as_str).or(request.header(&header)).unwrap_or_default();
            text.split(',').filter(|item| !item.is_empty()).map(str::to_owned).collect()
        };
        let mut tenant = Vec::new();
        for header in ["AccountID", "ProjectID"] {
            let text = request.header(header).unwrap_or("0");
            if text.parse::<u32>().is_err() {
                return Answer::new(400, format!("cannot parse {header} from {text:?}"));
            }
            tenant.push(text.to_owned());
        }
        let extra: Option<Vec<(String, String)>> = list("extra_fields")
            .iter()
            .map(|pair| pair.split_once('=').map(|(name, value)| (name.to_owned(), value.to_owned())))
            .collect();
        let Some(extra) = extra else { return Answer::new(400, "cannot parse extra_fields") };
        if self.read_only {
            return Answer::new(429, "the storage is in read-only mode");
        }
        let kind = request.header("content-type").unwrap_or_default();
        if kind.starts_with("application/x-www-form-urlencoded") || kind.starts_with("multipart/form-data") {
            // The parser of parameters eats the body.
            return Answer::new(200, "");
        }
        let body = match request.header("content-encoding") {
            None | Some("identity") => Some(request.body.clone()),
            Some(coding) => (self.unpack)(coding, &request.body),
        };
        let Some(body) = body else { return Answer::new(200, "") };
        let plain = request.header("content-encoding").is_none();
        let told = Told {
            tenant: tenant.join(":"),
            streams: list("_stream_fields"),
            times: list("_time_field"),
            texts: list("_msg_field"),
            extra,
        };
        let (mut lines, mut bad) = (0, 0);
        for line in self.lines(&body, plain) {
            lines += 1;
            bad += usize::from(self.row(line, &told).is_none());
        }
        if lines > 0 && bad == lines {
            return Answer::new(400, "cannot read any line");
        }
        Answer::new(200, "")
    }

    /// The lines it gets to see. A line that is too long is skipped; in a plain body with everything behind it, when
    /// that came in the same read.
    fn lines<'a>(&mut self, body: &'a [u8], plain: bool) -> Vec<&'a [u8]> {
        let (mut lines, mut rest) = (Vec::new(), body);
        while !rest.is_empty() {
            let end = rest.iter().position(|byte| *byte == b'\n').unwrap_or(rest.len());
            let (line, behind) = rest.split_at(end);
            rest = behind.get(1..).unwrap_or_default();
            if line.len() >= LINE {
                self.drop_row("vl_too_long_lines_skipped_total");
                if plain && rest.len() < LINE {
                    break;
                }
            } else if !line.iter().all(u8::is_ascii_whitespace) {
                lines.push(line);
            }
        }
        lines
    }

    /// Stores a row or drops it. `None`: it is not one.
    fn row(&mut self, line: &[u8], told: &Told) -> Option<()> {
        let Ok(Value::Map(object)) = wire::read_value(line) else { return None };
        let now = Timestamp::now().nanos();
        let mut row = Row::new();
        if object.iter().any(|(name, _)| name.len() > NAME) {
            // It gives up on the object, and with it on time and stream.
            row.insert("_msg".into(), String::from_utf8_lossy(line).into_owned());
            row.insert("_time".into(), now.to_string());
            self.store(told, row, Vec::new());
            return Some(());
        }
        flatten("", &object, &mut row);
        if row.len() > FIELDS {
            self.drop_row("vl_rows_dropped_total{reason=\"too_many_fields\"}");
            return Some(());
        }
        let time = match told.times.iter().find_map(|name| row.remove(name)) {
            None => now,
            Some(text) if ["", "0", "-"].contains(&text.as_str()) => now,
            Some(text) => nanos(&text)?,
        };
        let ahead = (time - now) as f64 / 1e9;
        if !(-7.0 * DAY..=2.0 * DAY).contains(&ahead) {
            self.drop_row(match ahead > 0.0 {
                true => "vl_rows_dropped_total{reason=\"too_big_timestamp\"}",
                false => "vl_rows_dropped_total{reason=\"too_small_timestamp\"}",
            });
            return Some(());
        }
        if row.contains_key("_stream") || row.contains_key("_stream_id") {
            self.drop_row("vl_rows_dropped_total{reason=\"reserved\"}");
            return Some(());
        }
        row.insert("_time".into(), time.to_string());
        if let Some(text) = told.texts.iter().find_map(|name| row.remove(name)) {
            row.insert("_msg".into(), text);
        }
        row.entry("_msg".into()).or_insert_with(|| "missing _msg field; see https://docs.victoriametrics.com".into());
        row.extend(told.extra.iter().cloned());
        let stream = told.streams.iter().filter_map(|name| Some((name.clone(), row.get(name)?.clone()))).collect();
        self.store(told, row, stream);
        Some(())
    }

    fn store(&mut self, told: &Told, row: Row, stream: Vec<(String, String)>) {
        self.rows.push((Instant::now(), Stored { tenant: told.tenant.clone(), stream, row }));
    }
}

/// What a request says beside its rows.
struct Told {
    tenant: String,
    streams: Vec<String>,
    times: Vec<String>,
    texts: Vec<String>,
    extra: Vec<(String, String)>,
}

fn parameters(query: &str) -> BTreeMap<String, String> {
    query
        .split('&')
        .filter_map(|pair| pair.split_once('='))
        .map(|(name, value)| (decoded(name), decoded(value)))
        .collect()
}

fn decoded(text: &str) -> String {
    let mut bytes = text.bytes();
    let mut out = Vec::new();
    while let Some(byte) = bytes.next() {
        let hex = |byte: Option<u8>| byte.and_then(|byte| (byte as char).to_digit(16));
        out.push(match byte {
            b'+' => b' ',
            b'%' => {
                let (high, low) = (hex(bytes.next()), hex(bytes.next()));
                u8::try_from(high.unwrap_or(0) * 16 + low.unwrap_or(0)).unwrap_or_default()
            }
            byte => byte,
        });
    }
    String::from_utf8_lossy(&out).into_owned()
}

/// Dots between names; lists stay JSON; null and empty texts are no fields; an object with a name that would be too
/// long stays JSON under its own.
fn flatten(prefix: &str, object: &Fields, into: &mut Row) {
    for (name, value) in object.iter() {
        let name = format!("{prefix}{name}");
        let text = match value {
            Value::Map(inner) if !inner.iter().any(|(key, _)| name.len() + 1 + key.len() > NAME) => {
                flatten(&format!("{name}."), inner, into);
                continue;
            }
            Value::Null => continue,
            value => value.to_text().into_owned(),
        };
        if !text.is_empty() {
            into.insert(name, text);
        }
    }
}

/// A moment as the server reads it: whole numbers by their magnitude, RFC 3339 with `Z` or an offset with a colon.
fn nanos(text: &str) -> Option<i64> {
    if let Ok(number) = text.parse::<i64>() {
        let second = 1_i64 << 31;
        return Some(match number {
            small if small < second => small * 1_000_000_000,
            millis if millis < second * 1000 => millis * 1_000_000,
            micros if micros < second * 1_000_000 => micros * 1000,
            nanos => nanos,
        });
    }
    let zone = text.get(19..)?.trim_start_matches(|char: char| char.is_ascii_digit() || char == '.');
    let known = zone == "Z" || (zone.len() == 6 && zone.starts_with(['+', '-']) && zone.get(3..4) == Some(":"));
    known.then(|| Timestamp::parse(text)).flatten().map(Timestamp::nanos)
}
