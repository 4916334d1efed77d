//! The sections' settings. Each doc comment here is what `metlog-router schema` says of the key.

use metlog_message::{Severity, Timestamp, wire};
use metlog_settings::{Kind, Node, Problems, Size, Span, Table, suggest};
use metlog_tls::Identity;
use serde::Deserialize;
use std::collections::BTreeMap;
use std::num::NonZeroUsize;
use std::path::PathBuf;
use std::time::Duration;

/// `[router]`
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct RouterSettings {
    /// Where page, API, metrics and HTTP inputs are served; empty: nowhere.
    pub http: String,
    /// The directory of spool and dead letters.
    pub data: PathBuf,
    /// The endpoint whose messages questions are answered from; by default the first that keeps any.
    pub store: Option<String>,
    /// Filters that every message passes before it is kept anywhere, in this order: they may change it or turn it down.
    pub edit: Vec<String>,
    /// How long a stop may take, to deliver what is there.
    pub drain: Span,
    /// The largest message, in bytes.
    pub message_bytes: Size,
    /// Names in one of a message's objects, such as its fields.
    pub message_names: usize,
    /// Bytes of such a name.
    pub message_name_bytes: Size,
    /// How much disk dead letters may take.
    pub dead_letter_bytes: Size,
    /// Threads for inputs and HTTP; 0: as many as there are processors, at most 4.
    pub threads: usize,
    /// Says that whoever reaches the HTTP port may write what is `keyless`, where that is beyond this machine.
    pub trusted_network: bool,
    /// Names under which the HTTP port may be addressed, beside those of this machine.
    pub allowed_hosts: Vec<String>,
    /// Speaks TLS on the HTTP port, and nothing else.
    pub tls: Option<Identity>,
}

impl Default for RouterSettings {
    fn default() -> Self {
        RouterSettings {
            http: "127.0.0.1:5568".to_owned(),
            data: "metlog-data".into(),
            store: None,
            edit: Vec::new(),
            drain: Span(Duration::from_secs(10)),
            message_bytes: Size(1 << 20),
            message_names: 256,
            message_name_bytes: Size(128),
            dead_letter_bytes: Size(1 << 30),
            threads: 0,
            trusted_network: false,
            allowed_hosts: Vec::new(),
            tls: None,
        }
    }
}

impl RouterSettings {
    /// Where its HTTP port is, as clients write it; empty: nowhere.
    pub fn url(&self) -> String {
        match (self.http.as_str(), &self.tls) {
            ("", _) => String::new(),
            (at, None) => format!("http://{at}"),
            (at, Some(_)) => format!("https://{at}"),
        }
    }

    /// Whether its HTTP port knows by their certificates who comes.
    pub fn asks(&self) -> bool {
        self.tls.as_ref().is_some_and(Identity::asks)
    }

    /// What a message may be.
    pub fn limits(&self) -> wire::Limits {
        let whole = |size: Size| usize::try_from(size.bytes()).unwrap_or(usize::MAX);
        let (bytes, name) = (whole(self.message_bytes), whole(self.message_name_bytes));
        wire::Limits { bytes, names: self.message_names, name, ..wire::Limits::default() }
    }
}

/// `[spool]`
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct SpoolSettings {
    /// When what came in is on disk: `ack`, before it is acknowledged; a time such as `1s`, at least so often; `never`,
    /// when the operating system likes.
    pub sync: SyncSetting,
    /// The most disk it takes.
    pub max_bytes: Size,
    /// The least it leaves free on its disk.
    pub free_floor: Size,
    /// How long delivered messages stay, to be delivered again.
    pub keep: Span,
    /// Bytes in one file of it.
    pub segment_bytes: Size,
    /// Bytes kept in memory for endpoints that keep up.
    pub memory: Size,
}

impl Default for SpoolSettings {
    fn default() -> Self {
        SpoolSettings {
            sync: SyncSetting::Ack,
            max_bytes: Size(10 << 30),
            free_floor: Size(64 << 20),
            keep: Span(Duration::ZERO),
            segment_bytes: Size(64 << 20),
            memory: Size(8 << 20),
        }
    }
}

/// `spool.sync`
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SyncSetting {
    /// Before an acknowledgement, several together.
    Ack,
    /// So often.
    Every(Duration),
    /// When the operating system likes.
    Never,
}

impl<'de> Deserialize<'de> for SyncSetting {
    fn deserialize<D: serde::Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        let text = String::deserialize(from)?;
        match text.as_str() {
            "ack" => Ok(SyncSetting::Ack),
            "never" => Ok(SyncSetting::Never),
            time => match time.parse::<Span>() {
                Ok(span) if !span.duration().is_zero() => Ok(SyncSetting::Every(span.duration())),
                _ => Err(serde::de::Error::custom("expected `ack`, `never`, or a time such as `1s`")),
            },
        }
    }
}

impl SpoolSettings {
    /// As the spool wants them.
    pub fn options(&self) -> metlog_spool::Options {
        metlog_spool::Options {
            segment_bytes: self.segment_bytes.bytes(),
            max_bytes: self.max_bytes.bytes(),
            free_floor: self.free_floor.bytes(),
            window_bytes: usize::try_from(self.memory.bytes()).unwrap_or(usize::MAX),
            keep: self.keep.duration(),
            sync: match self.sync {
                SyncSetting::Ack => metlog_spool::Sync::Ack,
                SyncSetting::Every(time) => metlog_spool::Sync::Every(time),
                SyncSetting::Never => metlog_spool::Sync::Never,
            },
            first_id: first_id(Timestamp::now()),
            hold: u64::MAX,
        }
    }
}

/// Where the ids of a new spool begin. Stores know messages by their ids, so a spool that somebody deleted must not be
/// followed by one that counts from 1 again: by so much, ids run ahead of any router that takes less than four million
/// messages a second all its life, and until 2041 they are still whole numbers to JavaScript.
fn first_id(now: Timestamp) -> u64 {
    u64::try_from(now.nanos() / 250).unwrap_or(1).max(1)
}

/// `[inputs.http]`
#[derive(Debug, Clone, PartialEq, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct HttpInput {
    /// A port of its own; empty: the router's.
    pub listen: String,
    /// What is spoken here; empty: everything this program knows.
    pub dialects: Vec<String>,
    /// Dialects whose clients cannot send a key: everybody may write there. Reading takes a key all the same.
    pub keyless: Vec<String>,
    /// Says that whoever reaches the port may write what is `keyless`, where that is beyond this machine.
    pub trusted_network: bool,
    /// Names under which the port may be addressed, beside its own.
    pub allowed_hosts: Vec<String>,
    /// Speaks TLS on the port of its own, and nothing else.
    pub tls: Option<Identity>,
    /// What each dialect is told, from the tables of their names.
    #[serde(skip)]
    pub settings: BTreeMap<String, Node>,
}

/// What every endpoint can be told, beside what its plugin wants to know.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct EndpointKeys {
    /// The least severe it takes.
    pub severity_max: Option<Severity>,
    /// The types it takes.
    pub types: Option<Vec<String>>,
    /// Whether it takes every message whose field `alert` is true, past its other conditions; by default what tells people,
    /// such as `email`, does.
    pub alerts: Option<bool>,
    /// Whether the spool holds messages for it when it is full. If not, the oldest are dropped and counted.
    pub required: bool,
    /// How many batches are written side by side.
    pub workers: NonZeroUsize,
    /// Messages in one batch.
    pub batch_messages: Option<NonZeroUsize>,
    /// Bytes in one batch.
    pub batch_bytes: Option<Size>,
    /// How long a message waits for company.
    pub batch_wait: Option<Span>,
    /// The first pause after a failure.
    pub retry_min: Span,
    /// The longest pause.
    pub retry_max: Span,
    /// After so long without success a batch goes to the dead letters; without this it never does.
    pub give_up_after: Option<Span>,
}

impl Default for EndpointKeys {
    fn default() -> Self {
        EndpointKeys {
            severity_max: None,
            types: None,
            alerts: None,
            required: true,
            workers: NonZeroUsize::MIN,
            batch_messages: None,
            batch_bytes: None,
            batch_wait: None,
            retry_min: Span(Duration::from_millis(100)),
            retry_max: Span(Duration::from_secs(30)),
            give_up_after: None,
        }
    }
}

/// The keys of [`EndpointKeys`].
const COMMON: [&str; 11] = [
    "severity_max",
    "types",
    "alerts",
    "required",
    "workers",
    "batch_messages",
    "batch_bytes",
    "batch_wait",
    "retry_min",
    "retry_max",
    "give_up_after",
];

/// A key that the plugin does not know may be one that every endpoint knows, with a slip.
pub(super) fn mistyped(mut problems: Problems) -> Problems {
    for problem in problems.iter_mut() {
        let key = problem.message.strip_prefix("unknown key `").and_then(|rest| rest.split_once('`'));
        let Some(key) = key.map(|(key, _)| key.to_owned()) else { continue };
        problem.message = problem.message.replace("no key is expected here", "there are only those of every endpoint");
        if problem.suggestion.is_none() {
            let all = COMMON.into_iter().chain(["type", "from_inputs", "filters"]);
            problem.suggestion = suggest::nearest(&key, all).map(str::to_owned);
        }
    }
    problems
}

/// An endpoint's section in two: what every endpoint can be told, and what is for the plugin.
pub(super) fn take(section: &Table, node: &Node) -> (Node, Node) {
    let (mut common, mut own) = (Table::default(), Table::default());
    for (key, place, value) in section.iter() {
        match key {
            "type" | "from_inputs" | "filters" => {}
            key if COMMON.contains(&key) => common.insert(key, place.clone(), value.clone()),
            key => own.insert(key, place.clone(), value.clone()),
        }
    }
    let of = |table| Node::new(node.origin.clone(), Kind::Table(table));
    (of(common), of(own))
}
