//! What a person is told.

use crate::text;
use metlog_message::{Message, Severity, Timestamp};
use std::fmt;
use std::time::Duration;

/// Characters of a notice's one line.
pub const LINE: usize = 120;
/// Of a payload this many bytes are kept, and of each field.
const PAYLOAD: usize = 16 * 1024;
const FIELD: usize = 1024;
/// Fields of a message that are kept, and their bytes together.
const FIELDS: usize = 64;
const FIELDS_BYTES: usize = 16 * 1024;
/// Of names this many bytes.
const NAME: usize = 200;
/// Of the payload of a message that may never be told about in full.
const GLIMPSE: usize = 1024;

/// One thing to carry to a person: an event, or several that were collected.
#[derive(Debug, Clone, PartialEq)]
pub struct Notice {
    /// Counts the notices of an engine, from 1.
    pub number: u64,
    /// What happened; one at least.
    pub items: Vec<Item>,
    /// How many more messages there were that no item is about, for want of room.
    pub left_out: u64,
}

/// One event.
#[derive(Debug, Clone, PartialEq)]
pub struct Item {
    /// What kind of event.
    pub cause: Cause,
    /// What it was counted by: names and values, as the rules' `per` says.
    pub group: Vec<(String, String)>,
    /// How many messages it is about.
    pub count: u64,
    /// How many of the same were held back since the last notice, besides.
    pub held: u64,
    /// One of the messages.
    pub message: Option<Box<Brief>>,
}

/// Why somebody is told.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Cause {
    /// A message came.
    Each,
    /// More than `more_than` messages came within a time.
    Rate {
        /// What would not have been too many.
        more_than: u64,
        /// The time.
        within: Duration,
    },
    /// What had been held back; `message` is the first of it.
    Held,
    /// A message that says of itself that it is an alert.
    Alert,
    /// Nothing came for so long.
    Absent {
        /// How long.
        lasting: Duration,
    },
    /// And then something did.
    Back {
        /// After how long.
        after: Duration,
    },
}

impl Cause {
    /// A word for machines.
    pub fn word(&self) -> &'static str {
        match self {
            Cause::Each => "each",
            Cause::Rate { .. } => "rate",
            Cause::Held => "held",
            Cause::Alert => "alert",
            Cause::Absent { .. } => "absent",
            Cause::Back { .. } => "back",
        }
    }
}

/// A message as far as it is worth keeping: bounded, whatever came.
#[derive(Debug, Clone, PartialEq)]
pub struct Brief {
    /// `type`
    pub kind: String,
    /// `logger`
    pub logger: String,
    /// `severity`
    pub severity: Severity,
    /// `timestamp`
    pub timestamp: Timestamp,
    /// `metlog_hostname`
    pub hostname: Option<String>,
    /// `metlog_pid`
    pub pid: Option<i64>,
    /// The payload's text.
    pub payload: String,
    /// Whether the payload was longer.
    pub cut: bool,
    /// The fields' texts.
    pub fields: Vec<(String, String)>,
    /// How many fields there was no room for.
    pub more_fields: usize,
}

impl Brief {
    /// A message in full.
    pub fn new(message: &Message) -> Self {
        let mut brief = Brief::glimpse(message);
        let payload = message.payload.to_text();
        let (start, cut) = text::start(&payload, PAYLOAD);
        (brief.payload, brief.cut) = (start.to_owned(), cut);
        let mut room = FIELDS_BYTES;
        for (name, value) in message.fields.iter().take(FIELDS) {
            let value = value.to_text();
            let ((name, _), (value, cut)) = (text::start(name, NAME), text::start(&value, FIELD));
            let Some(rest) = room.checked_sub(name.len() + value.len()) else { break };
            room = rest;
            brief.fields.push((name.to_owned(), format!("{value}{}", if cut { "…" } else { "" })));
        }
        brief.more_fields = message.fields.len() - brief.fields.len();
        brief
    }

    /// What is kept of one among many: no fields, and little of the payload.
    pub fn glimpse(message: &Message) -> Self {
        let name = |text: &str| text::start(text, NAME).0.to_owned();
        let payload = message.payload.to_text();
        let (start, cut) = text::start(&payload, GLIMPSE);
        Brief {
            kind: name(&message.kind),
            logger: name(&message.logger),
            severity: message.severity,
            timestamp: message.timestamp,
            hostname: message.hostname.as_deref().map(name),
            pid: message.pid,
            payload: start.to_owned(),
            cut,
            fields: Vec::new(),
            more_fields: message.fields.len(),
        }
    }

    /// `error shop.checkout`: how bad, and who says it.
    fn sign(&self) -> String {
        let who = if self.logger.trim().is_empty() { &self.kind } else { &self.logger };
        format!("{} {}", self.severity, text::line(who, 60))
    }

    fn write(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let of = |text: &str| text::line(text, NAME);
        writeln!(f, "time      {}", self.timestamp)?;
        writeln!(f, "severity  {} ({})", self.severity, self.severity.number())?;
        writeln!(f, "type      {}", of(&self.kind))?;
        if !self.logger.is_empty() {
            writeln!(f, "logger    {}", of(&self.logger))?;
        }
        match (&self.hostname, self.pid) {
            (Some(host), Some(pid)) => writeln!(f, "host      {}, process {pid}", of(host))?,
            (Some(host), None) => writeln!(f, "host      {}", of(host))?,
            (None, Some(pid)) => writeln!(f, "process   {pid}")?,
            (None, None) => {}
        }
        if !self.payload.is_empty() {
            writeln!(f, "payload")?;
            indented(f, &self.payload)?;
            if self.cut {
                writeln!(f, "(the rest of the payload is left away)")?;
            }
        }
        if !self.fields.is_empty() {
            writeln!(f, "fields")?;
            for (name, value) in &self.fields {
                indented(f, &format!("{} = {value}", of(name)))?;
            }
            if self.more_fields > 0 {
                writeln!(f, "(and {} more)", self.more_fields)?;
            }
        }
        Ok(())
    }
}

/// Foreign lines stand behind blanks, so that none of them can pass for one of ours.
fn indented(f: &mut fmt::Formatter<'_>, text: &str) -> fmt::Result {
    text::page(text, PAYLOAD).lines().try_for_each(|line| writeln!(f, "    {line}"))
}

impl Item {
    /// What happened, in one line.
    pub fn headline(&self) -> String {
        let message = self.message.as_deref();
        let sign = message.map(|message| format!("{}: ", message.sign())).unwrap_or_default();
        let first = message.map(|message| text::first_line(&message.payload)).unwrap_or_default();
        let first = if first.is_empty() { message.map_or("", |message| &message.kind) } else { first };
        let line = match self.cause {
            Cause::Each | Cause::Alert if self.count < 2 => format!("{sign}{first}"),
            Cause::Each | Cause::Alert | Cause::Held => format!("{sign}{} more: {first}", self.count + self.held),
            Cause::Rate { within, .. } => format!("{sign}{} in {}: {first}", self.count, text::span(within)),
            Cause::Absent { lasting } => format!("no message for {}", text::span(lasting)),
            Cause::Back { after } => format!("messages again, after {}", text::span(after)),
        };
        text::line(&line, LINE)
    }

    /// How bad: of the message, or else an error's.
    pub fn severity(&self) -> Severity {
        match (&self.message, self.cause) {
            (_, Cause::Back { .. }) => Severity::Notice,
            (Some(message), _) => message.severity,
            (None, _) => Severity::Error,
        }
    }

    /// What there is to say about numbers.
    pub fn counted(&self) -> Vec<String> {
        let mut said = Vec::new();
        match self.cause {
            Cause::Each => {}
            Cause::Rate { more_than, within } => said.push(format!(
                "{} messages within {}; up to {more_than} would be usual. This is the latest of them.",
                self.count,
                text::span(within)
            )),
            Cause::Held | Cause::Alert if self.count > 1 => {
                said.push(format!("{} messages were held back. This is the first of them.", self.count));
            }
            Cause::Held => said.push("This message was held back.".into()),
            Cause::Alert => said.push("The message itself asks for this notice.".into()),
            Cause::Absent { lasting } => said.push(format!("No message has come for {}.", text::span(lasting))),
            Cause::Back { after } => said.push(format!("The first message after {}.", text::span(after))),
        }
        if self.held > 0 {
            said.push(format!("{} more were held back since the last notice.", self.held));
        }
        said
    }
}

impl Notice {
    /// All of it in one line.
    pub fn headline(&self) -> String {
        match self.items.as_slice() {
            [one] => one.headline(),
            many => {
                let sign = self.worst().and_then(|item| item.message.as_deref()).map(Brief::sign);
                let sign = sign.map(|sign| format!(", the worst {sign}")).unwrap_or_default();
                text::line(&format!("{} messages, {} kinds{sign}", self.messages(), many.len()), LINE)
            }
        }
    }

    /// The worst of its events, the first of several.
    pub fn worst(&self) -> Option<&Item> {
        self.items.iter().min_by_key(|item| item.severity())
    }

    /// How bad the worst is.
    pub fn severity(&self) -> Severity {
        self.worst().map(Item::severity).unwrap_or_default()
    }

    /// How many messages it is about.
    pub fn messages(&self) -> u64 {
        self.items.iter().map(|item| item.count + item.held).sum::<u64>() + self.left_out
    }
}

impl fmt::Display for Notice {
    /// For reading: a page of plain text.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let several = self.items.len() > 1;
        for (at, item) in self.items.iter().enumerate() {
            if several {
                writeln!(f, "{}{}. {}\n", if at > 0 { "\n" } else { "" }, at + 1, item.headline())?;
            }
            let counted = item.counted();
            counted.iter().try_for_each(|said| writeln!(f, "{said}"))?;
            if !counted.is_empty() && item.message.is_some() {
                writeln!(f)?;
            }
            let message = item.message.as_deref();
            message.map_or(Ok(()), |message| message.write(f))?;
            for (name, value) in item.group.iter().filter(|(name, _)| !matches!(name.as_str(), "type" | "logger")) {
                writeln!(f, "counted by {}: {}", text::line(name, NAME), text::line(value, NAME))?;
            }
        }
        if self.left_out > 0 {
            writeln!(f, "\n{} more messages were counted, of which nothing is shown.", self.left_out)?;
        }
        Ok(())
    }
}
