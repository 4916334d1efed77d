use metlog_settings::{Size, Span};
use serde::Deserialize;
use std::path::PathBuf;
use std::time::Duration;

/// Settings of the endpoint `store`, and of the store that is asked.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// The file; folders are made. `metlog-data/messages.db` by default.
    #[serde(default = "path")]
    pub path: PathBuf,
    /// Whether the words of payloads are indexed. Switched on later, it holds for what comes from then on; what is there
    /// is still found, only more slowly. `true` by default.
    #[serde(default = "full_text")]
    pub full_text: bool,
    /// Messages with an older timestamp are deleted. No bound by default.
    pub max_age: Option<Span>,
    /// When the file holds more than this, what came first is deleted; 0: no bound. `10 GiB` by default.
    #[serde(default = "max_bytes")]
    pub max_bytes: Size,
    /// How often to look for messages whose time is over. `10s` by default.
    #[serde(default = "purge_every")]
    pub purge_every: Span,
    /// Folder of the copies. `backups` beside the file by default.
    pub backups: Option<PathBuf>,
    /// How many copies are kept; 0: all. 10 by default.
    #[serde(default = "keep_backups")]
    pub keep_backups: usize,
    /// How often a copy is made; only when asked for by default.
    pub backup_every: Option<Span>,
}

fn path() -> PathBuf {
    "metlog-data/messages.db".into()
}

fn full_text() -> bool {
    true
}

fn max_bytes() -> Size {
    Size(10 << 30)
}

fn purge_every() -> Span {
    Span(Duration::from_secs(10))
}

fn keep_backups() -> usize {
    10
}

impl Config {
    /// Settings with this file and otherwise the defaults.
    pub fn at(path: impl Into<PathBuf>) -> Self {
        Config {
            path: path.into(),
            full_text: full_text(),
            max_age: None,
            max_bytes: max_bytes(),
            purge_every: purge_every(),
            backups: None,
            keep_backups: keep_backups(),
            backup_every: None,
        }
    }

    /// What is wrong together.
    pub(crate) fn check(&self) -> Result<(), String> {
        if self.path.file_name().is_none() || self.path.as_os_str().as_encoded_bytes().ends_with(b"/") {
            return Err("`path` names no file; right would be metlog-data/messages.db".to_owned());
        }
        if (1..1 << 20).contains(&self.max_bytes.bytes()) {
            return Err("`max_bytes` is less than 1 MiB, which an empty store with its indexes may need".to_owned());
        }
        if self.purge_every.duration() < Duration::from_millis(100) {
            return Err("`purge_every` is less than 100ms".to_owned());
        }
        if self.max_age.is_some_and(|age| age.duration().is_zero()) {
            return Err("`max_age` is nought: nothing would be kept; leave it out to keep everything".to_owned());
        }
        if self.backup_every.is_some_and(|every| every.duration() < Duration::from_secs(1)) {
            return Err("`backup_every` is less than 1s".to_owned());
        }
        Ok(())
    }

    /// Where the copies are.
    pub(crate) fn backups(&self) -> PathBuf {
        self.backups.clone().unwrap_or_else(|| self.path.with_file_name("backups"))
    }
}
