//! The stream, made or verified.

use crate::link::{Fault, Link, refused};
use async_nats::jetstream::stream::{Config, DiscardPolicy, RetentionPolicy, StorageType, Stream};
use async_nats::jetstream::{ErrorCode, context::GetStreamErrorKind};
use metlog_settings::{Size, Span};
use serde::Deserialize;
use std::collections::BTreeSet;
use std::fmt::Display;

/// A stream. What is not said here is not looked at where it exists already, and otherwise left to the server.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct StreamConfig {
    /// Its name.
    pub name: String,
    /// What it takes. `metlog.>` where it must be made.
    pub subjects: Option<Vec<String>>,
    /// When it holds so much it takes no more, see `discard`.
    pub max_bytes: Option<Size>,
    /// Older messages are removed, taken or not.
    pub max_age: Option<Span>,
    /// Servers that hold a message.
    pub replicas: Option<usize>,
    /// `file` or `memory`.
    pub storage: Option<Storage>,
    /// So long it knows a message's id, and removes a second one of it. Longer than any sender goes on trying.
    pub duplicate_window: Option<Span>,
    /// `work_queue` where it must be made: a message goes when a router has taken it.
    pub retention: Option<Retention>,
    /// `new`: a full stream refuses, so that nothing goes before it was taken. `old`: it forgets.
    #[serde(default)]
    pub discard: Discard,
}

/// Where a stream is kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Storage {
    /// On disk.
    File,
    /// Gone with the server.
    Memory,
}

/// When a message goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Retention {
    /// When it was taken; by one consumer.
    WorkQueue,
    /// When all consumers have taken it.
    Interest,
    /// When a limit says so.
    Limits,
}

/// What a full stream does.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Discard {
    /// Refuses what comes.
    #[default]
    New,
    /// Forgets what it has.
    Old,
}

/// What a stream takes that is made here and told nothing else.
const SUBJECTS: &str = "metlog.>";

/// Most settings that can differ are named in one error.
pub(crate) struct Differences(Vec<String>);

impl Differences {
    pub fn new() -> Self {
        Differences(Vec::new())
    }

    /// Compares what was asked for with what is there; what was not asked for is not looked at.
    pub fn compare<T: PartialEq>(&mut self, key: &str, asked: Option<T>, there: T, show: impl Fn(&T) -> String) {
        if let Some(asked) = asked.filter(|asked| *asked != there) {
            self.0.push(format!("`{key}` is {} here and {} there", show(&asked), show(&there)));
        }
    }

    pub fn or<T>(self, good: T, what: impl Display, remedy: &str) -> Result<T, Fault> {
        if self.0.is_empty() {
            return Ok(good);
        }
        Err(Fault::Barred(format!("{what} is not what the settings say: {}; {remedy}", self.0.join(", "))))
    }
}

impl StreamConfig {
    /// What is wrong with it, by itself. Touches nothing.
    pub fn check(&self) -> Result<(), String> {
        check_name("stream.name", &self.name)?;
        for subject in self.subjects.iter().flatten() {
            check_pattern("stream.subjects", subject)?;
        }
        if self.subjects.as_ref().is_some_and(Vec::is_empty) {
            return Err(format!("`stream.subjects` is empty; `[\"{SUBJECTS}\"]` is usual"));
        }
        if self.max_bytes.is_some_and(|size| size.bytes() == 0 || i64::try_from(size.bytes()).is_err()) {
            return Err("`stream.max_bytes` is nothing, or more than there can be".into());
        }
        if self.replicas.is_some_and(|replicas| !(1..=5).contains(&replicas)) {
            return Err("`stream.replicas` is 1 to 5".into());
        }
        Ok(())
    }

    /// What it takes, if it has to be made here.
    pub fn subjects(&self) -> Vec<String> {
        self.subjects.clone().unwrap_or_else(|| vec![SUBJECTS.to_owned()])
    }

    fn wanted(&self) -> Config {
        Config {
            name: self.name.clone(),
            subjects: self.subjects(),
            max_bytes: self.max_bytes.and_then(|size| i64::try_from(size.bytes()).ok()).unwrap_or(-1),
            max_age: self.max_age.unwrap_or_default().duration(),
            num_replicas: self.replicas.unwrap_or(1),
            storage: storage(self.storage.unwrap_or(Storage::File)),
            duplicate_window: self.duplicate_window.unwrap_or_default().duration(),
            retention: retention(self.retention.unwrap_or(Retention::WorkQueue)),
            discard: discard(self.discard),
            ..Config::default()
        }
    }

    /// Old servers leave out without a word what they do not know, so the answer is compared, also of one just made.
    fn verify(&self, there: &Config) -> Result<(), Fault> {
        let mut differences = Differences::new();
        let set = |subjects: &[String]| subjects.iter().cloned().collect::<BTreeSet<_>>();
        differences.compare("subjects", self.subjects.as_deref().map(set), set(&there.subjects), |set| {
            format!("[{}]", set.iter().cloned().collect::<Vec<_>>().join(", "))
        });
        let there_bytes = u64::try_from(there.max_bytes).ok().map(Size);
        differences.compare("max_bytes", self.max_bytes.map(Some), there_bytes, |size| {
            size.map_or_else(|| "no limit".to_owned(), |size| size.to_string())
        });
        differences.compare("max_age", self.max_age, Span(there.max_age), ToString::to_string);
        differences.compare("replicas", self.replicas, there.num_replicas, ToString::to_string);
        differences.compare("storage", self.storage.map(storage), there.storage, lower);
        differences.compare("duplicate_window", self.duplicate_window, Span(there.duplicate_window), Span::to_string);
        differences.compare("retention", self.retention.map(retention), there.retention, lower);
        differences.compare("discard", Some(discard(self.discard)), there.discard, lower);
        let remedy = "change the settings here, or the stream, with `nats stream edit`";
        differences.or((), format_args!("the stream `{}`", self.name), remedy)
    }
}

fn storage(storage: Storage) -> StorageType {
    match storage {
        Storage::File => StorageType::File,
        Storage::Memory => StorageType::Memory,
    }
}

fn retention(retention: Retention) -> RetentionPolicy {
    match retention {
        Retention::WorkQueue => RetentionPolicy::WorkQueue,
        Retention::Interest => RetentionPolicy::Interest,
        Retention::Limits => RetentionPolicy::Limits,
    }
}

fn discard(discard: Discard) -> DiscardPolicy {
    match discard {
        Discard::New => DiscardPolicy::New,
        Discard::Old => DiscardPolicy::Old,
    }
}

fn lower(value: &impl std::fmt::Debug) -> String {
    format!("{value:?}").to_ascii_lowercase()
}

/// Finds the stream as the settings want it, or makes it.
pub(crate) async fn ensure(link: &Link, asked: &StreamConfig) -> Result<Stream, Fault> {
    let jetstream = link.jetstream();
    let doing = format!("looking for the stream `{}`", asked.name);
    match link.answer(jetstream.get_stream(&asked.name)).await? {
        Ok(stream) => {
            asked.verify(&stream.cached_info().config)?;
            return Ok(stream);
        }
        Err(error) => match error.kind() {
            GetStreamErrorKind::JetStream(said) if said.error_code() == ErrorCode::STREAM_NOT_FOUND => {}
            GetStreamErrorKind::JetStream(said) => return Err(crate::link::of_jetstream(&doing, &said)),
            _ => return Err(refused(&doing, &error)),
        },
    }
    let doing = format!("making the stream `{}`", asked.name);
    let made = link.answer(jetstream.create_stream(asked.wanted())).await?;
    let stream = made.map_err(|error| match error.kind() {
        async_nats::jetstream::context::CreateStreamErrorKind::JetStream(said) => {
            crate::link::of_jetstream(&doing, &said)
        }
        _ => refused(&doing, &error),
    })?;
    asked.verify(&stream.cached_info().config)?;
    Ok(stream)
}

/// A name of a stream or consumer, which also is a token of subjects and a folder's name at the server.
pub(crate) fn check_name(key: &str, name: &str) -> Result<(), String> {
    let plain = name.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-'));
    if plain && !name.is_empty() && name.len() <= 64 {
        return Ok(());
    }
    Err(format!("`{key}` is `{name}`; it needs letters, digits, `_` and `-`, 64 of them at the most"))
}

/// Subjects with the wildcards `*` and `>`.
pub(crate) fn check_pattern(key: &str, pattern: &str) -> Result<(), String> {
    let mut tokens = pattern.split('.').peekable();
    let mut good = pattern.len() <= 256;
    while let Some(token) = tokens.next() {
        let graphic = !token.is_empty() && token.bytes().all(|byte| byte.is_ascii_graphic());
        good &= match token {
            ">" => tokens.peek().is_none(),
            "*" => true,
            _ => graphic && !token.contains(['*', '>']),
        };
    }
    if good {
        return Ok(());
    }
    Err(format!("`{key}`: `{pattern}` is no subject; one is written like `metlog.>` or `metlog.*.3.app`"))
}
