//! The tree becomes typed settings, and those a [`Setup`].
//!
//! Everything is read before anything is made: a configuration with a mistake anywhere opens nothing.

use super::shape::{self, Named};
use super::shown;
use crate::client::is_taken;
use crate::lane::Overflow;
use crate::plugins;
use crate::setup::{LaneSettings, PacingSettings};
use crate::{Error, Setup};
use metlog_message::{Fields, Severity, Value};
use metlog_pipeline::registry::Opener;
use metlog_pipeline::{Filter, FilterEntry, Method, MethodEntry, Sender, SenderEntry};
use metlog_settings::{Kind, Node, Origin, Problem, Problems, Size, Span, Table, read, suggest};
use serde::de::Error as _;
use serde::{Deserialize, Deserializer};
use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

/// What the main section says of the client itself.
#[derive(Debug, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct Main {
    logger: String,
    severity: Severity,
    disabled_timers: Vec<String>,
    overflow: Overflow,
    block_timeout: Span,
    ring_bytes: Size,
    aggregate: Option<Interval>,
    numbered: bool,
    location: bool,
    process: bool,
    panics: bool,
    pace_initial: Span,
    pace_max: Span,
    shutdown_timeout: Span,
}

const MAIN: [&str; 14] = [
    "logger",
    "severity",
    "disabled_timers",
    "overflow",
    "block_timeout",
    "ring_bytes",
    "aggregate",
    "numbered",
    "location",
    "process",
    "panics",
    "pace_initial",
    "pace_max",
    "shutdown_timeout",
];

impl Default for Main {
    fn default() -> Self {
        let new = Setup::new("");
        Main {
            logger: String::new(),
            severity: Severity::default(),
            disabled_timers: Vec::new(),
            overflow: new.overflow,
            block_timeout: Span(new.block_timeout),
            ring_bytes: Size(new.ring_bytes as u64),
            aggregate: None,
            numbered: new.numbered,
            location: false,
            process: false,
            panics: false,
            pace_initial: Span(new.pace_initial),
            pace_max: Span(new.pace_max),
            shutdown_timeout: Span(new.shutdown_timeout),
        }
    }
}

/// The queue and the batches of a sender; in the main section, of every sender that does not say otherwise.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct LaneKeys {
    queue_bytes: Option<Size>,
    queue_messages: Option<usize>,
    batch_messages: Option<usize>,
    batch_bytes: Option<Size>,
    flush_interval: Option<Span>,
    min_interval: Option<Span>,
    retry_min: Option<Span>,
    retry_max: Option<Span>,
    spill: Option<PathBuf>,
}

const LANE: [&str; 9] = [
    "queue_bytes",
    "queue_messages",
    "batch_messages",
    "batch_bytes",
    "flush_interval",
    "min_interval",
    "retry_min",
    "retry_max",
    "spill",
];

/// Filters in one line each, for the whole client or for one sender.
const SHORT_FILTERS: [(&str, &str, &str); 4] = [
    ("severity_max", "severity_max", "severity"),
    ("types", "type_whitelist", "types"),
    ("not_types", "type_blacklist", "types"),
    ("type_severity_max", "type_severity_max", "types"),
];

/// Tables of the main section.
const TABLES: [&str; 5] = ["fields", "senders", "filters", "plugins", "global"];

/// A time, or `off`.
#[derive(Debug, Clone, Copy)]
struct Interval(Option<Duration>);

impl<'de> Deserialize<'de> for Interval {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        let text = String::deserialize(from)?;
        match text.trim() {
            "off" | "false" | "no" | "0" => Ok(Interval(None)),
            text => text.parse::<Span>().map(|span| Interval(Some(span.0))).map_err(D::Error::custom),
        }
    }
}

impl<'de> Deserialize<'de> for Overflow {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        #[derive(Deserialize)]
        #[serde(rename_all = "snake_case")]
        enum Word {
            DropNew,
            DropOld,
            Block,
            Pace,
        }
        Ok(match Word::deserialize(from)? {
            Word::DropNew => Overflow::DropNew,
            Word::DropOld => Overflow::DropOld,
            Word::Block => Overflow::Block,
            Word::Pace => Overflow::Pace,
        })
    }
}

impl LaneKeys {
    fn settings(self, defaults: &LaneSettings) -> LaneSettings {
        let bytes = |size: Option<Size>| size.map(|size| usize::try_from(size.bytes()).unwrap_or(usize::MAX));
        let time = |span: Option<Span>| span.map(Span::duration);
        let of = &defaults.pacing;
        LaneSettings {
            pacing: PacingSettings {
                messages: self.batch_messages.or(of.messages),
                bytes: bytes(self.batch_bytes).or(of.bytes),
                wait: time(self.flush_interval).or(of.wait),
                min_interval: time(self.min_interval).or(of.min_interval),
            },
            queue_bytes: bytes(self.queue_bytes).or(defaults.queue_bytes),
            queue_messages: self.queue_messages.or(defaults.queue_messages),
            retry_min: time(self.retry_min).or(defaults.retry_min),
            retry_max: time(self.retry_max).or(defaults.retry_max),
            spill: self.spill.or_else(|| defaults.spill.clone()),
        }
    }
}

/// A sender whose settings are right.
struct ReadSender {
    label: String,
    lane: LaneSettings,
    filters: Vec<ReadFilter>,
    open: Opener<Box<dyn Sender>>,
}

struct ReadFilter {
    place: Origin,
    open: Opener<Box<dyn Filter>>,
}

struct ReadMethod {
    place: Origin,
    name: String,
    open: Opener<Box<dyn Method>>,
}

/// A client's set-up from its main section in its one form.
pub fn setup(main: Node) -> Result<Setup, Error> {
    let shown = shown::value(&main);
    let mut problems = Problems::new();
    let Some(table) = main.as_table() else { return Err(Problem::at(&main.origin, "expected a section").into()) };
    check_names(table, &mut problems);
    let own: Main = problems.note(read(&pick(&main, &MAIN))).unwrap_or_default();
    let lane: LaneKeys = problems.note(read(&pick(&main, &LANE))).unwrap_or_default();
    let defaults = lane.settings(&LaneSettings::default());
    let mut filters = short_filters(&mut table.clone(), &mut problems);
    for entry in shape::entries(table.get("filters"), &mut problems) {
        filters.extend(read_filter(entry, &mut problems));
    }
    let senders: Vec<ReadSender> = shape::entries(table.get("senders"), &mut problems)
        .into_iter()
        .filter_map(|entry| read_sender(entry, &defaults, &mut problems))
        .collect();
    if table.get("senders").is_none() {
        let right =
            "a client needs a sender, for instance `sender_class = stdout`; `null` is one that drops everything";
        problems.push(Problem::at(&main.origin, right));
    }
    let methods = read_methods(table.get("plugins"), &mut problems);
    let fields = extra_fields(table.get("fields"), &mut problems);
    let globals = global_settings(table.get("global"), &mut problems);
    problems.sort();
    problems.or(())?;

    let mut setup = own.setup().fields(fields);
    setup.defaults = defaults;
    setup.globals = globals;
    setup.filters = open_filters(filters)?;
    for ReadMethod { place, name, open } in methods {
        let method = open().map_err(|why| Problem::at(&place, why))?;
        setup.methods.insert(name, Arc::from(method));
    }
    for ReadSender { label, lane, filters, open } in senders {
        let filters = open_filters(filters)?;
        setup.defaults = lane;
        setup = setup.add_sender(label, open, filters);
    }
    setup.config = effective(shown, &setup);
    Ok(setup)
}

impl Main {
    fn setup(self) -> Setup {
        let mut setup = Setup::new(self.logger)
            .severity(self.severity)
            .overflow(self.overflow)
            .block_timeout(self.block_timeout.0)
            .ring_bytes(usize::try_from(self.ring_bytes.bytes()).unwrap_or(usize::MAX))
            .numbered(self.numbered)
            .location(self.location)
            .process(self.process)
            .panics(self.panics)
            .pace(self.pace_initial.0, self.pace_max.0)
            .shutdown_timeout(self.shutdown_timeout.0);
        setup.aggregate = self.aggregate.and_then(|interval| interval.0);
        setup.disabled_timers = self.disabled_timers.into_iter().collect();
        setup
    }
}

/// Whether a key means something in the main section.
pub fn is_main(key: &str) -> bool {
    key.starts_with("sender_") || key.starts_with("global_") || MAIN.contains(&key) || LANE.contains(&key)
}

/// A mistyped key is an error: Metlog ignored it, and the mistake was found when the data was missing.
fn check_names(table: &Table, problems: &mut Problems) {
    let known = || {
        let short = SHORT_FILTERS.iter().map(|(key, _, _)| *key);
        MAIN.into_iter().chain(LANE).chain(TABLES).chain(short).chain(["sender", "sender_class"])
    };
    for (key, place, _) in table.iter().filter(|(key, _, _)| !known().any(|known| known == *key)) {
        problems.push(Problem::at(place, format!("unknown key `{key}`")).suggest(suggest::nearest(key, known())));
    }
}

/// A table with these keys only.
fn pick(node: &Node, keys: &[&str]) -> Node {
    let mut picked = Table::default();
    for (key, place, value) in
        node.as_table().into_iter().flat_map(Table::iter).filter(|(key, _, _)| keys.contains(key))
    {
        picked.insert(key, place.clone(), value.clone());
    }
    Node::new(node.origin.clone(), Kind::Table(picked))
}

/// Takes the one-line filters out of a section.
fn short_filters(table: &mut Table, problems: &mut Problems) -> Vec<ReadFilter> {
    let mut filters = Vec::new();
    for (key, filter, argument) in SHORT_FILTERS {
        let place = table.key_origin(key).cloned();
        if let (Some(place), Some(value)) = (place, table.remove(key)) {
            let mut settings = Table::default();
            settings.insert(argument, place.clone(), value);
            filters.extend(find_filter(filter, &place, settings, problems));
        }
    }
    filters
}

fn read_filter(entry: Named, problems: &mut Problems) -> Option<ReadFilter> {
    let Named { label, place, mut table } = entry;
    let provider = problems.note(text(&mut table, "provider", &place, &format!("filter `{label}`")))?;
    find_filter(&provider.0, &provider.1, table, problems)
}

fn find_filter(name: &str, place: &Origin, table: Table, problems: &mut Problems) -> Option<ReadFilter> {
    let entry = problems.note(FilterEntry::find(name).map_err(|unknown| plugins::unknown(place, unknown)))?;
    let open = problems.note((entry.read)(&Node::new(place.clone(), Kind::Table(table))))?;
    Some(ReadFilter { place: place.clone(), open })
}

fn open_filters(filters: Vec<ReadFilter>) -> Result<Vec<Box<dyn Filter>>, Error> {
    let open = |ReadFilter { place, open }| open().map_err(|why| Error::from(Problem::at(&place, why)));
    filters.into_iter().map(open).collect()
}

fn read_sender(entry: Named, defaults: &LaneSettings, problems: &mut Problems) -> Option<ReadSender> {
    let Named { label, place, mut table } = entry;
    let class = problems.note(text(&mut table, "class", &place, &format!("sender `{label}`")));
    let lane = Node::new(place.clone(), Kind::Table(table.clone()));
    let lane: LaneKeys = problems.note(read(&pick(&lane, &LANE))).unwrap_or_default();
    LANE.iter().for_each(|key| drop(table.remove(key)));
    let filters = short_filters(&mut table, problems);
    let (class, at) = class?;
    let entry = problems.note(SenderEntry::find(&class).map_err(|unknown| plugins::unknown(&at, unknown)))?;
    problems.note(name_positional(entry.name, &mut table));
    let open = problems.note((entry.read)(&Node::new(place, Kind::Table(table))))?;
    Some(ReadSender { label, lane: lane.settings(defaults), filters, open })
}

/// Metlog's `sender_args`: arguments by position. These are the names its senders gave them.
fn name_positional(sender: &str, table: &mut Table) -> Result<(), Problem> {
    let Some(place) = table.key_origin("args").cloned() else { return Ok(()) };
    let Some(args) = table.remove("args") else { return Ok(()) };
    let names: &[&str] = match sender {
        "udp" => &["host", "port"],
        "file" => &["filepath"],
        "zmq_pub" => &["bindstrs", "queue_length"],
        "zmq_handshake_pub" => &["handshake_bind", "connect_bind", "handshake_timeout"],
        _ => &[],
    };
    let values = match args.kind {
        Kind::List(values) => values,
        _ => vec![args],
    };
    if values.len() > names.len() {
        let right = if names.is_empty() { "takes none".into() } else { format!("takes {}", names.join(", ")) };
        return Err(Problem::at(&place, format!("too many `args`: by position, sender `{sender}` {right}")));
    }
    for (name, value) in names.iter().zip(values) {
        table.insert(*name, place.clone(), value);
    }
    Ok(())
}

fn read_methods(node: Option<&Node>, problems: &mut Problems) -> Vec<ReadMethod> {
    let mut methods: Vec<ReadMethod> = Vec::new();
    for Named { label, place, mut table } in shape::entries(node, problems) {
        let Some((provider, at)) = problems.note(text(&mut table, "provider", &place, &format!("plugin `{label}`")))
        else {
            continue;
        };
        let instead = table.remove("override");
        let found = problems.note(MethodEntry::find(&provider).map_err(|unknown| plugins::unknown(&at, unknown)));
        let Some(entry) = found else { continue };
        // As in Metlog: a text is another name for the method; anything else but `false` takes the canonical name's place.
        let (name, replace) = match instead.as_ref().map(|node| &node.kind) {
            None | Some(Kind::Bool(false)) => (entry.name.to_owned(), false),
            Some(Kind::Text(name)) => (name.clone(), true),
            Some(_) => (entry.name.to_owned(), true),
        };
        if !replace && (is_taken(&name, &BTreeMap::new()) || methods.iter().any(|method| method.name == name)) {
            let right = format!("the name `{name}` is already in use; `override = true` takes its place");
            problems.push(Problem::at(&place, right));
            continue;
        }
        if let Some(open) = problems.note((entry.read)(&Node::new(place.clone(), Kind::Table(table)))) {
            methods.retain(|method| method.name != name);
            methods.push(ReadMethod { place, name, open });
        }
    }
    methods
}

/// Takes a name out of a section that must have one.
fn text(table: &mut Table, key: &str, section: &Origin, what: &str) -> Result<(String, Origin), Problem> {
    let Some(node) = table.remove(key) else {
        return Err(Problem::at(section, format!("{what} says no `{key}`")));
    };
    match node.as_str() {
        Some(text) if !text.is_empty() => Ok((text.to_owned(), node.origin)),
        _ => Err(Problem::at(&node.origin, format!("`{key}` must be a name"))),
    }
}

fn extra_fields(node: Option<&Node>, problems: &mut Problems) -> Fields {
    match node.map(|node| (value(node), &node.origin)) {
        None => Fields::new(),
        Some((Value::Map(fields), _)) => fields,
        Some((_, origin)) => {
            problems.push(Problem::at(origin, "`fields` must be a table: what every message carries"));
            Fields::new()
        }
    }
}

fn global_settings(node: Option<&Node>, problems: &mut Problems) -> Fields {
    match node.map(|node| (value(node), &node.origin)) {
        None => Fields::new(),
        Some((Value::Map(globals), _)) => globals,
        Some((_, origin)) => {
            problems.push(Problem::at(origin, "`global` must be a table"));
            Fields::new()
        }
    }
}

/// The tree as a message's value; nothing is struck out.
fn value(node: &Node) -> Value {
    match &node.kind {
        Kind::Table(table) => Value::Map(table.iter().map(|(key, _, node)| (key, value(node))).collect::<Fields>()),
        Kind::List(list) => Value::List(list.iter().map(value).collect()),
        Kind::Text(text) => Value::from(text),
        Kind::Bool(truth) => Value::Bool(*truth),
        Kind::Int(number) => Value::from(*number),
        Kind::Float(number) => Value::Float(*number),
        _ => Value::Null,
    }
}

/// What was written, and the defaults of what was not.
fn effective(shown: Value, setup: &Setup) -> Value {
    let Value::Map(written) = shown else { return shown };
    let span = |duration: Duration| Value::from(Span(duration).to_string());
    let mut all = Fields::new();
    all.set("logger", setup.envelope.logger.as_str());
    all.set("severity", setup.envelope.severity.number());
    all.set("overflow", setup.overflow.name());
    all.set("block_timeout", span(setup.block_timeout));
    all.set("ring_bytes", setup.ring_bytes);
    all.set("aggregate", setup.aggregate.map_or(Value::from("off"), span));
    all.set("numbered", setup.numbered);
    all.set("location", setup.envelope.location);
    all.set("shutdown_timeout", span(setup.shutdown_timeout));
    for (key, value) in written {
        all.set(key, value);
    }
    Value::Map(all)
}
