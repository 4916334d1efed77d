//! Records become JSON: the formatting that no caller waits for.
//!
//! Whatever is the same for every message of a call site is rendered once, into a [`Template`]; a message is then a
//! few copies, its numbers and its escaped texts.

use crate::arg::Arg;
use crate::clock::{self, Wall};
use crate::context::Entries;
use crate::record::Record;
use crate::site::{Kind, Meta};
use metlog_message::time::TimestampWriter;
use metlog_message::{Fields, Severity, Value, wire};
use std::io::Write;

/// What a client writes into every message.
#[derive(Debug, Clone)]
pub(crate) struct Envelope {
    pub logger: String,
    pub severity: Severity,
    pub hostname: String,
    pub pid: u32,
    /// Add where the call stands: `module`, `file`, `line`.
    pub location: bool,
    /// Fields that every message carries: process metadata, and what the configuration adds.
    pub fields: Vec<(String, String)>,
}

/// A value that a call gives in place of the client's default.
const OVERRIDES: [&str; 4] = ["severity", "logger", "payload", "type"];

/// The constant parts of one call site's messages.
pub(crate) struct Template {
    kind: Kind,
    metric: bool,
    text_args: usize,
    /// Up to the timestamp.
    front: Vec<u8>,
    /// From the timestamp to the payload, with the client's logger and the site's severity.
    middle: Vec<u8>,
    /// The text between its values, escaped already.
    parts: Vec<Vec<u8>>,
    /// `"name":` of each field, or which override it is.
    slots: Vec<Slot>,
    names: Vec<&'static str>,
    /// Fields that are the same every time: name, and `"name":value,`.
    fixed: Vec<(String, Vec<u8>)>,
    /// All of them in one piece, for the usual case that nothing comes in their place.
    fixed_whole: Vec<u8>,
    /// From the end of the fields to the end of the envelope, without the closing brace.
    back: Vec<u8>,
    overrides: bool,
}

enum Slot {
    Field(Vec<u8>),
    /// Position in [`OVERRIDES`].
    Override(usize),
    /// The counter's or timer's name, given at run time; written last, as Metlog does.
    Name,
    Rate,
    /// `fields = map`: its entries are fields.
    Spread,
}

/// What a record says in place of the defaults.
#[derive(Default)]
struct Said<'a> {
    overrides: [Option<Arg<'a>>; OVERRIDES.len()],
    name: Option<Arg<'a>>,
    rate: Option<Arg<'a>>,
    spread: Fields,
}

/// The type and severity a message turned out to have, where its template could not say.
pub(crate) struct Found<'a> {
    pub kind: Option<&'a str>,
    pub severity: Severity,
}

impl Template {
    pub fn new(meta: &Meta, envelope: &Envelope) -> Self {
        let mut slots: Vec<Slot> = meta.fields.iter().map(|name| slot(meta, name)).collect();
        slots.shrink_to_fit();
        let mut front = b"{\"type\":".to_vec();
        let overrides = slots.iter().any(|slot| matches!(slot, Slot::Override(_)));
        if !meta.has("type") {
            wire::write_str(&mut front, meta.type_name());
            front.extend_from_slice(b",\"timestamp\":\"");
        }
        let severity = match meta.kind {
            Kind::Log(severity) => severity,
            _ => envelope.severity,
        };
        let mut middle = b"\",\"logger\":".to_vec();
        wire::write_str(&mut middle, &envelope.logger);
        middle.extend_from_slice(format!(",\"severity\":{},\"payload\":", severity.number()).as_bytes());
        let fixed = fixed(meta, envelope);
        Template {
            kind: meta.kind,
            metric: meta.is_metric(),
            text_args: meta.text_args,
            front,
            middle,
            parts: parts(meta.text),
            slots,
            names: meta.fields.to_vec(),
            fixed_whole: fixed.iter().flat_map(|(_, text)| text.iter().copied()).collect(),
            fixed,
            back: back(envelope),
            overrides,
        }
    }

    /// Writes a message, but for its closing brace.
    pub fn render<'a>(
        &self,
        record: &Record<'a>,
        envelope: &Envelope,
        wall: &Wall,
        time: &mut TimestampWriter,
        out: &mut Vec<u8>,
    ) -> Found<'a> {
        let mut found = Found { kind: None, severity: envelope.severity };
        if let Kind::Log(severity) = self.kind {
            found.severity = severity;
        }
        let said = self.said(record);
        out.extend_from_slice(&self.front);
        if let Some(kind) = said.overrides[3] {
            let text = if let Arg::Str(text) = kind { text } else { "" };
            found.kind = Some(text);
            wire::write_str(out, text);
            out.extend_from_slice(b",\"timestamp\":\"");
        }
        time.write(wall.at(record.ticks), out);
        if self.overrides {
            self.write_overridden(&said, envelope, &mut found, out);
        } else {
            out.extend_from_slice(&self.middle);
        }
        let mut values = record.values();
        match said.overrides[2] {
            Some(payload) => write_arg(out, payload),
            None => self.write_payload(&mut values, out),
        }
        out.extend_from_slice(b",\"fields\":{");
        self.write_fields(record, &said, out);
        out.extend_from_slice(&self.back);
        found
    }

    fn said<'a>(&self, record: &Record<'a>) -> Said<'a> {
        let mut said = Said::default();
        if self.slots.iter().all(|slot| matches!(slot, Slot::Field(_))) {
            return said;
        }
        for (slot, value) in self.slots.iter().zip(record.values().skip(self.text_args)) {
            match slot {
                Slot::Field(_) => {}
                Slot::Override(which) => said.overrides[*which] = Some(value),
                Slot::Name => said.name = Some(value),
                Slot::Rate => said.rate = Some(value),
                Slot::Spread => match value.to_value() {
                    Value::Map(fields) => said.spread = fields,
                    other => said.spread.set("fields", other),
                },
            }
        }
        said
    }

    #[cold]
    fn write_overridden(&self, said: &Said<'_>, envelope: &Envelope, found: &mut Found<'_>, out: &mut Vec<u8>) {
        out.extend_from_slice(b"\",\"logger\":");
        match said.overrides[1] {
            Some(Arg::Str(logger)) => wire::write_str(out, logger),
            _ => wire::write_str(out, &envelope.logger),
        }
        if let Some(severity) = said.overrides[0].and_then(|severity| severity.as_severity()) {
            found.severity = severity;
        }
        out.extend_from_slice(format!(",\"severity\":{},\"payload\":", found.severity.number()).as_bytes());
    }

    fn write_payload<'a>(&self, values: &mut impl Iterator<Item = Arg<'a>>, out: &mut Vec<u8>) {
        match self.kind {
            Kind::Log(_) => {
                out.push(b'"');
                for (at, part) in self.parts.iter().enumerate() {
                    if at > 0
                        && let Some(value) = values.next()
                    {
                        write_inside(out, value);
                    }
                    out.extend_from_slice(part);
                }
                out.push(b'"');
            }
            Kind::Counter | Kind::Timer | Kind::TimerSend => {
                out.push(b'"');
                match values.next() {
                    Some(value) => write_inside(out, value),
                    None => out.push(b'1'),
                }
                out.push(b'"');
            }
            Kind::Custom => out.extend_from_slice(b"\"\""),
        }
    }

    /// The nearer wins: the call's own fields, then its map, the context, the client. Name and rate of a metric always do.
    fn write_fields(&self, record: &Record<'_>, said: &Said<'_>, out: &mut Vec<u8>) {
        let start = out.len();
        if record.context.is_empty() && said.spread.is_empty() {
            out.extend_from_slice(&self.fixed_whole);
        } else {
            self.write_around(record, said, out);
        }
        for (slot, value) in self.slots.iter().zip(record.values().skip(self.text_args)) {
            if let Slot::Field(key) = slot {
                out.extend_from_slice(key);
                write_arg(out, value);
                out.push(b',');
            }
        }
        if let Some(name) = said.name {
            out.extend_from_slice(b"\"name\":");
            write_arg(out, name);
            out.push(b',');
        }
        if let Some(rate) = said.rate {
            out.extend_from_slice(b"\"rate\":");
            write_arg(out, rate);
            out.push(b',');
        }
        if out.len() > start {
            out.pop();
        }
    }
}

impl Template {
    /// Client, context and map, each without what comes nearer.
    fn write_around(&self, record: &Record<'_>, said: &Said<'_>, out: &mut Vec<u8>) {
        let taken = |name: &[u8]| {
            self.names.iter().any(|own| own.as_bytes() == name) || (self.metric && (name == b"name" || name == b"rate"))
        };
        let spread = |name: &[u8]| said.spread.iter().any(|(own, _)| own.as_bytes() == name);
        let context = |name: &[u8]| Entries(record.context).any(|(own, _)| own == name);
        for (name, text) in &self.fixed {
            let name = name.as_bytes();
            if taken(name) || !(spread(name) || context(name)) {
                out.extend_from_slice(text);
            }
        }
        for (name, json) in Entries(record.context).filter(|(name, _)| !taken(name) && !spread(name)) {
            wire::write_str_lossy(out, name);
            out.push(b':');
            out.extend_from_slice(json);
            out.push(b',');
        }
        for (name, value) in said.spread.iter().filter(|(name, _)| !taken(name.as_bytes())) {
            wire::write_str(out, name);
            out.push(b':');
            wire::write_value(out, value);
            out.push(b',');
        }
    }
}

fn slot(meta: &Meta, name: &str) -> Slot {
    let metric = meta.is_metric();
    match name {
        "name" if metric => Slot::Name,
        "rate" if metric => Slot::Rate,
        "fields" => Slot::Spread,
        // A counter's payload is its count.
        "payload" if metric => Slot::Field(key(name)),
        "type" if meta.kind != Kind::Custom || !meta.name.is_empty() => Slot::Field(key(name)),
        _ => match OVERRIDES.iter().position(|own| *own == name) {
            Some(which) => Slot::Override(which),
            None => Slot::Field(key(name)),
        },
    }
}

fn key(name: &str) -> Vec<u8> {
    let mut key = Vec::with_capacity(name.len() + 3);
    wire::write_str(&mut key, name);
    key.push(b':');
    key
}

/// The fields that every message of the site has.
fn fixed(meta: &Meta, envelope: &Envelope) -> Vec<(String, Vec<u8>)> {
    let mut out = Vec::new();
    let mut put = |name: &str, json: &str| {
        if !meta.has(name) {
            out.push((name.to_owned(), [key(name).as_slice(), json.as_bytes(), b","].concat()));
        }
    };
    for (name, json) in &envelope.fields {
        put(name, json);
    }
    // A bridge's site does not stand where the call stood; the bridge says the place itself.
    if envelope.location && !meta.module.is_empty() {
        put("module", &json_of(meta.module));
        put("file", &json_of(meta.file));
        put("line", &meta.line.to_string());
    }
    if !meta.level.is_empty() {
        put("level", &json_of(meta.level));
    }
    if meta.is_metric() {
        put("name", &json_of(meta.name));
        put("rate", "1.0");
    }
    out
}

fn json_of(text: &str) -> String {
    let mut out = Vec::new();
    wire::write_str(&mut out, text);
    String::from_utf8(out).unwrap_or_default()
}

fn back(envelope: &Envelope) -> Vec<u8> {
    let mut out =
        format!("}},\"env_version\":\"{}\",\"metlog_pid\":{}", metlog_message::message::ENV_VERSION, envelope.pid);
    out.push_str(",\"metlog_hostname\":");
    out.push_str(&json_of(&envelope.hostname));
    out.into_bytes()
}

/// Cuts a text at its `{}` and escapes what stands between.
fn parts(text: &str) -> Vec<Vec<u8>> {
    raw_parts(text).iter().map(|part| inside(part)).collect()
}

/// Cuts a text at its `{}`; doubled braces become single ones.
fn raw_parts(text: &str) -> Vec<String> {
    let mut parts = vec![String::new()];
    let mut rest = text;
    while let Some(at) = rest.find(['{', '}']) {
        let (before, from) = rest.split_at(at);
        let step = match from.as_bytes() {
            [b'{', b'}', ..] | [b'{', b'{', ..] | [b'}', b'}', ..] => 2,
            _ => 1,
        };
        let (brace, after) = from.split_at(step);
        if let Some(part) = parts.last_mut() {
            part.push_str(before);
            part.push_str(if brace == "{}" { "" } else { &brace[..1] });
        }
        if brace == "{}" {
            parts.push(String::new());
        }
        rest = after;
    }
    if let Some(part) = parts.last_mut() {
        part.push_str(rest);
    }
    parts
}

/// A text with its values, for whoever needs it as text.
pub(crate) fn text(text: &str, values: &[Arg<'_>]) -> String {
    let mut out = String::new();
    let mut values = values.iter();
    for (at, part) in raw_parts(text).iter().enumerate() {
        if at > 0
            && let Some(value) = values.next()
        {
            out.push_str(&value.to_value().to_text());
        }
        out.push_str(part);
    }
    out
}

/// JSON text without its quotes.
fn inside(text: &str) -> Vec<u8> {
    let mut out = Vec::new();
    wire::write_str(&mut out, text);
    out.pop();
    if !out.is_empty() {
        out.remove(0);
    }
    out
}

/// A value as JSON.
#[inline]
fn write_arg(out: &mut Vec<u8>, arg: Arg<'_>) {
    match arg {
        Arg::Null => out.extend_from_slice(b"null"),
        Arg::Bool(true) => out.extend_from_slice(b"true"),
        Arg::Bool(false) => out.extend_from_slice(b"false"),
        Arg::I64(number) => wire::write_i64(out, number),
        Arg::U64(number) => wire::write_u64(out, number),
        Arg::F64(number) => wire::write_f64(out, number),
        Arg::Str(text) => wire::write_str(out, text),
        Arg::Json(json) => out.extend_from_slice(json.as_bytes()),
        Arg::Ticks(ticks) => wire::write_u64(out, clock::millis(ticks)),
        // Taken apart when the record was read.
        Arg::Raw(_) => {}
    }
}

/// A value inside a JSON text.
#[inline]
fn write_inside(out: &mut Vec<u8>, arg: Arg<'_>) {
    match arg {
        Arg::Str(text) => wire::write_str_inside(out, text),
        Arg::Json(json) => wire::write_str_inside(out, json),
        Arg::F64(number) if !number.is_finite() => out.extend_from_slice(wire::float_word(number).as_bytes()),
        Arg::F64(number) if number.fract() == 0.0 && number.abs() < 1e15 => {
            // As text, a whole float has no point, as `{}` prints it.
            wire::write_i64(out, number as i64);
        }
        Arg::F64(number) if !(1e-5..1e15).contains(&number.abs()) => {
            // Nor an exponent. Writing into a vector cannot fail.
            let _ = write!(out, "{number}");
        }
        other => write_arg(out, other),
    }
}
