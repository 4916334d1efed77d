use crate::target::{Broken, Target};
use metlog_message::Lines;
use metlog_message::wire::{self, Limits};
use metlog_pipeline::registry::Configured;
use metlog_pipeline::{SendError, Sender, SenderEntry, inventory};
use metlog_settings::Size;
use serde::Deserialize;
use std::path::PathBuf;
use std::time::Duration;

/// Settings of `file`.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// The file. It is made if it is not there; its folder must be.
    #[serde(alias = "path")]
    pub filepath: PathBuf,
    /// Whether what stands in the file stays there when it is opened.
    #[serde(default = "append")]
    pub append: bool,
    /// `json`: one line per message; `indented`: Metlog's own form.
    #[serde(default, alias = "formatter")]
    pub format: Format,
    /// Whether every batch is on the disk before it counts as sent.
    #[serde(default)]
    pub sync: bool,
    /// Permissions of a new file, as for `chmod`.
    #[serde(default = "mode")]
    pub mode: String,
    /// Rotates the file itself before it would grow beyond this; otherwise that is left to others.
    #[serde(default)]
    pub rotate_bytes: Option<Size>,
    /// How many rotated files are kept, `FILE.1` the youngest.
    #[serde(default = "keep")]
    pub keep: usize,
}

fn append() -> bool {
    true
}

fn mode() -> String {
    "0640".to_owned()
}

fn keep() -> usize {
    5
}

/// How a message looks in the file.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Format {
    /// One line of JSON.
    #[default]
    #[serde(alias = "json.dumps", alias = "simplejson.dumps")]
    Json,
    /// JSON over many lines, four blanks per level.
    Indented,
}

/// Appends batches to a file.
pub struct FileSender {
    target: Target,
    format: Format,
    sync: bool,
    rotate: Option<(u64, usize)>,
    text: Vec<u8>,
    ends: Vec<usize>,
}

impl FileSender {
    /// Opens or makes the file; one JSON line per message, no rotation of its own.
    pub fn new(path: impl Into<PathBuf>) -> Result<Self, String> {
        Self::open(Config {
            filepath: path.into(),
            append: true,
            format: Format::Json,
            sync: false,
            mode: mode(),
            rotate_bytes: None,
            keep: keep(),
        })
    }

    fn indented(&mut self, batch: &Lines) {
        self.text.clear();
        self.ends.clear();
        let limits = Limits { bytes: usize::MAX, values: usize::MAX, ..Limits::default() };
        for message in batch.iter() {
            match wire::read(message, &limits) {
                Ok(read) => wire::indented(&mut self.text, &read.message),
                // Whatever it is, it is one line and belongs in the file.
                Err(_) => self.text.extend_from_slice(message),
            }
            self.text.push(b'\n');
            self.ends.push(self.text.len());
        }
    }

    fn sync(&mut self) -> Result<(), SendError> {
        let synced = self.target.sync();
        synced.map_err(|error| SendError::retry(format!("{}: {error}", self.target.path().display())))
    }

    fn rotate_for(&mut self, coming: usize) -> Result<(), SendError> {
        let Some((limit, keep)) = self.rotate else { return Ok(()) };
        let len = self.target.len();
        if len > 0 && len + coming as u64 > limit {
            let name = self.target.path().display().to_string();
            self.target.rotate(keep).map_err(|error| SendError::retry(format!("{name} cannot be rotated: {error}")))?;
        }
        Ok(())
    }
}

impl Sender for FileSender {
    fn send(&mut self, batch: &Lines) -> Result<(), SendError> {
        let bytes = if self.format == Format::Indented {
            self.indented(batch);
            self.text.len()
        } else {
            batch.bytes().len()
        };
        if bytes == 0 {
            return Ok(());
        }
        self.rotate_for(bytes)?;
        let result = match self.format {
            Format::Json => self.target.append(batch.bytes()),
            Format::Indented => self.target.append(&self.text),
        };
        let name = self.target.path().display();
        result.map_err(|Broken { written, error }| {
            let done = match self.format {
                Format::Json => {
                    batch.bytes().get(..written).unwrap_or_default().iter().filter(|byte| **byte == b'\n').count()
                }
                Format::Indented => self.ends.partition_point(|end| *end <= written),
            };
            SendError::retry_after_first(done.min(batch.len().saturating_sub(1)), format!("{name}: {error}"))
        })?;
        if self.sync {
            // What is not known to be on the disk is written again: twice is better than not at all.
            self.sync()?;
        }
        Ok(())
    }

    fn close(&mut self, _within: Duration) -> Result<(), SendError> {
        // The system writes out what it holds; waiting for the disk is worth it once, at the end.
        self.sync()
    }
}

impl Configured for FileSender {
    type Config = Config;
    fn open(config: Config) -> Result<Self, String> {
        let mode = config.mode.strip_prefix("0o").unwrap_or(&config.mode);
        let mode = u32::from_str_radix(mode, 8).ok().filter(|mode| *mode <= 0o777);
        let mode = mode.ok_or_else(|| format!("`mode` is `{}`; expected permissions such as `0640`", config.mode))?;
        let path = config.filepath;
        let opened = Target::open(path.clone(), mode).and_then(|mut target| {
            if !config.append {
                target.empty()?;
            }
            Ok(target)
        });
        let target = opened.map_err(|error| {
            let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty() && !folder.exists());
            match folder {
                Some(folder) => format!("{} cannot be opened: there is no folder {}", path.display(), folder.display()),
                None => format!("{} cannot be opened: {error}", path.display()),
            }
        })?;
        let rotate = config.rotate_bytes.map(|size| (size.bytes(), config.keep));
        Ok(FileSender { target, format: config.format, sync: config.sync, rotate, text: Vec::new(), ends: Vec::new() })
    }
}

inventory::submit! {
    SenderEntry::of::<FileSender>(
        "file",
        &["metlog.senders.FileSender", "metlog.senders.dev.FileSender", "FileSender"],
        include_str!("../example.toml"),
    )
}
