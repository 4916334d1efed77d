use crate::format::{Format, Sheet};
use crate::target::{Broken, Place, Target};
use metlog_message::Lines;
use metlog_pipeline::registry::Configured;
use metlog_pipeline::{SendError, Sender, SenderEntry, inventory};
use metlog_settings::Size;
use serde::Deserialize;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};
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
    /// `json`: one line per message; `indented`: Metlog's own form; `text`: a line for people.
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

/// Appends batches to a file.
pub struct FileSender {
    target: Target,
    path: PathBuf,
    format: Format,
    sync: bool,
    rotate: Option<(u64, usize)>,
    sheet: Sheet,
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

    fn sync(&mut self) -> Result<(), SendError> {
        let synced = self.target.sync();
        synced.map_err(|error| SendError::retry(format!("{}: {error}", self.path.display())))
    }
}

/// Makes room for so many bytes, where there is a limit.
fn rotate_for(coming: usize, target: &mut Target, path: &Path, rotate: Option<(u64, usize)>) -> Result<(), SendError> {
    let Some((limit, keep)) = rotate else { return Ok(()) };
    if target.len() == 0 || target.len() + coming as u64 <= limit {
        return Ok(());
    }
    // If it is not held any more, somebody else has just rotated it.
    let shifted = if target.follow() { shift(path, keep) } else { Ok(()) };
    target.let_go();
    let reopened = shifted.and_then(|()| target.reopen());
    reopened.map_err(|error| SendError::retry(format!("{} cannot be rotated: {error}", path.display())))
}

impl Sender for FileSender {
    fn send(&mut self, batch: &Lines) -> Result<(), SendError> {
        if batch.is_empty() {
            return Ok(());
        }
        let FileSender { target, path, format, sheet, rotate, .. } = self;
        let (text, ends) = sheet.whole(*format, batch);
        rotate_for(text.len(), target, path, *rotate)?;
        target.append(text, ends).map_err(|Broken { done, error }| {
            let why = format!("{}: {error}", path.display());
            SendError::retry_after_first(done.min(batch.len().saturating_sub(1)), why)
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

    fn check(config: &Config) -> Result<(), String> {
        crate::target::mode(&config.mode).map(drop)
    }

    fn open(config: Config) -> Result<Self, String> {
        let mode = crate::target::mode(&config.mode)?;
        let path = config.filepath;
        let opened = Target::open(Place::At(path.clone()), mode).and_then(|mut target| {
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
        Ok(FileSender { target, path, format: config.format, sync: config.sync, rotate, sheet: Sheet::default() })
    }
}

/// Moves `path` to `path.1`, `path.1` to `path.2` and so on, keeping so many.
fn shift(path: &Path, keep: usize) -> std::io::Result<()> {
    let numbered = |number: usize| {
        let mut name = path.as_os_str().to_owned();
        name.push(format!(".{number}"));
        PathBuf::from(name)
    };
    for number in (1..keep).rev() {
        match std::fs::rename(numbered(number), numbered(number + 1)) {
            Err(error) if error.kind() != ErrorKind::NotFound => return Err(error),
            _ => {}
        }
    }
    if keep == 0 { std::fs::remove_file(path) } else { std::fs::rename(path, numbered(1)) }
}

inventory::submit! {
    SenderEntry::of::<FileSender>(
        "file",
        &["metlog.senders.FileSender", "metlog.senders.dev.FileSender", "FileSender"],
        include_str!("../example.toml"),
    )
}
