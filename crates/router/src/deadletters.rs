//! Dead letters: what could not be taken or delivered, kept with its cause, so that nothing ends nowhere.
//!
//! JSON lines in `dead-letters/`, rotated by size, the oldest file removed beyond a cap and what was in it counted.

mod shelf;

pub use shelf::{Found, Id, Listing, Stock};

use metlog_message::{Timestamp, wire};
use std::fs::{File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError};

/// One dead letter, before it is written.
#[derive(Debug, Clone, Copy)]
pub struct Letter<'a> {
    /// `input udp` or `endpoint archive`.
    pub from: &'a str,
    /// A label: `malformed`, `refused`, …
    pub reason: &'a str,
    /// For people, with what the peer answered.
    pub why: &'a str,
    /// Its id in the spool, if it had got that far.
    pub id: Option<u64>,
    /// Its bytes.
    pub message: &'a [u8],
}

/// Where they are kept.
pub struct DeadLetters {
    directory: PathBuf,
    file_bytes: u64,
    max_bytes: u64,
    open: Mutex<Open>,
    index: Mutex<shelf::Index>,
    /// Held by whoever works through letters: two must not send in the same one.
    pub at_work: tokio::sync::Mutex<()>,
}

#[derive(Default)]
struct Open {
    file: Option<File>,
    number: u64,
    bytes: u64,
    buffer: Vec<u8>,
    unsynced: bool,
    totals: Totals,
}

/// How many there are.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, serde::Serialize)]
pub struct Totals {
    /// Written since the start.
    pub written: u64,
    /// Files removed to stay under the cap, since the start.
    pub files_removed: u64,
    /// Letters that could not be written: the disk is full, say.
    pub failed: u64,
}

/// More of a message than this is cut off, with a mark: what is over all limits must not fill the disk either.
const KEPT: usize = 64 * 1024;

/// Longer reasons are cut off: what a peer says of a whole batch stands in each letter of it.
const WHY: usize = 1024;

impl DeadLetters {
    /// In this directory, at most so many bytes. Nothing is opened before the first letter.
    pub fn new(directory: PathBuf, max_bytes: u64) -> Self {
        DeadLetters {
            directory,
            file_bytes: (max_bytes / 8).clamp(64 * 1024, 64 << 20),
            max_bytes,
            open: Mutex::default(),
            index: Mutex::default(),
            at_work: tokio::sync::Mutex::default(),
        }
    }

    fn lock(&self) -> MutexGuard<'_, Open> {
        self.open.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Keeps letters. They are with the operating system when this returns, and on disk after [`DeadLetters::sync`].
    ///
    /// # Errors
    /// If they could not be written, which is counted.
    pub fn keep<'a>(&self, letters: impl Iterator<Item = Letter<'a>>) -> io::Result<()> {
        let mut open = self.lock();
        let open = &mut *open;
        open.buffer.clear();
        let mut count = 0;
        for letter in letters {
            write(&mut open.buffer, &letter);
            count += 1;
        }
        if count == 0 {
            return Ok(());
        }
        let written = self.append(open);
        let total = if written.is_ok() { &mut open.totals.written } else { &mut open.totals.failed };
        *total += count;
        written
    }

    fn append(&self, open: &mut Open) -> io::Result<()> {
        if open.file.is_none() || open.bytes >= self.file_bytes {
            self.next_file(open)?;
        }
        let Open { file: Some(file), buffer, bytes, unsynced, .. } = open else { return Ok(()) };
        let wrote = file.write_all(buffer);
        if wrote.is_err() {
            // Half a line must not take the next letter with it.
            let _ = file.set_len(*bytes);
        } else {
            *bytes += buffer.len() as u64;
            *unsynced = true;
        }
        wrote
    }

    fn next_file(&self, open: &mut Open) -> io::Result<()> {
        std::fs::DirBuilder::new().recursive(true).mode(0o700).create(&self.directory)?;
        if let Some(file) = open.file.take() {
            file.sync_data()?;
        }
        let there = self.files()?;
        let last = there.last().map_or(0, |(number, _, _)| *number);
        open.number = last.max(open.number) + 1;
        let path = self.directory.join(format!("{:08}.jsonl", open.number));
        open.file = Some(OpenOptions::new().append(true).create_new(true).mode(0o600).open(path)?);
        File::open(&self.directory)?.sync_all()?;
        open.bytes = 0;
        let mut total: u64 = there.iter().map(|(_, _, bytes)| bytes).sum();
        for (_, path, bytes) in there {
            if total + self.file_bytes <= self.max_bytes {
                break;
            }
            std::fs::remove_file(path)?;
            open.totals.files_removed += 1;
            total -= bytes;
        }
        Ok(())
    }

    /// The files, oldest first: number, path, size.
    ///
    /// # Errors
    /// If the directory cannot be read.
    pub fn files(&self) -> io::Result<Vec<(u64, PathBuf, u64)>> {
        let entries = match std::fs::read_dir(&self.directory) {
            Ok(entries) => entries,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
            Err(error) => return Err(error),
        };
        let mut files = Vec::new();
        for entry in entries {
            let entry = entry?;
            let path = entry.path();
            if let Some(number) = number(&path) {
                files.push((number, path, entry.metadata()?.len()));
            }
        }
        files.sort();
        Ok(files)
    }

    /// Brings what was kept to the disk.
    ///
    /// # Errors
    /// If the disk does.
    pub fn sync(&self) -> io::Result<()> {
        let mut open = self.lock();
        if std::mem::take(&mut open.unsynced)
            && let Some(file) = &open.file
        {
            file.sync_data()?;
        }
        Ok(())
    }

    /// How many.
    pub fn totals(&self) -> Totals {
        self.lock().totals
    }
}

fn number(path: &Path) -> Option<u64> {
    path.file_name()?.to_str()?.strip_suffix(".jsonl")?.parse().ok()
}

fn write(out: &mut Vec<u8>, letter: &Letter<'_>) {
    let now = Timestamp::now();
    out.extend_from_slice(b"{\"at\":\"");
    let _ = write!(out, "{now}");
    out.extend_from_slice(b"\",\"from\":");
    wire::write_str(out, letter.from);
    out.extend_from_slice(b",\"reason\":");
    wire::write_str(out, letter.reason);
    out.extend_from_slice(b",\"why\":");
    wire::write_str(out, letter.why.get(..letter.why.floor_char_boundary(WHY)).unwrap_or_default());
    if let Some(id) = letter.id {
        out.extend_from_slice(b",\"id\":");
        wire::write_u64(out, id);
    }
    // What went through the spool is JSON; what was refused at the door may be anything.
    if letter.id.is_some() {
        out.extend_from_slice(b",\"message\":");
        out.extend_from_slice(letter.message);
    } else {
        let kept = letter.message.get(..KEPT).unwrap_or(letter.message);
        out.extend_from_slice(b",\"bytes\":");
        wire::write_u64(out, letter.message.len() as u64);
        out.extend_from_slice(b",\"text\":");
        wire::write_str_lossy(out, kept);
    }
    out.extend_from_slice(b"}\n");
}

#[cfg(test)]
mod tests {
    use super::*;

    fn letter(message: &[u8]) -> Letter<'_> {
        Letter { from: "input udp", reason: "malformed", why: "not \"JSON\"\n", id: None, message }
    }

    fn directory(name: &str) -> PathBuf {
        let directory = std::env::temp_dir().join(format!("metlog-dead-{}-{name}", std::process::id()));
        let _ = std::fs::remove_dir_all(&directory);
        directory
    }

    #[test]
    fn a_letter_is_one_line_of_json_whatever_is_in_it() {
        let directory = directory("line");
        let dead = DeadLetters::new(directory.clone(), 1 << 20);
        assert!(dead.files().expect("none yet").is_empty());
        dead.keep([letter(b"\xff\n\"{"), Letter { id: Some(7), message: b"{\"a\":1}", ..letter(b"") }].into_iter())
            .expect("kept");
        dead.sync().expect("synced");
        let [(1, path, _)] = &dead.files().expect("read")[..] else { panic!("one file") };
        let text = std::fs::read_to_string(path).expect("text");
        let read: Vec<_> = text.lines().map(|line| wire::read_value(line.as_bytes()).expect("JSON")).collect();
        assert_eq!(read.len(), 2);
        let field = |at: usize, name: &str| read[at].as_map().and_then(|map| map.get(name)).cloned();
        assert_eq!(field(0, "text"), Some("\u{fffd}\n\"{".into()));
        assert_eq!(field(1, "message").and_then(|message| message.as_map()?.get("a").cloned()), Some(1.into()));
        assert_eq!(dead.totals(), Totals { written: 2, files_removed: 0, failed: 0 });
        let _ = std::fs::remove_dir_all(directory);
    }

    #[test]
    fn what_a_peer_says_at_length_is_cut_off() {
        let mut line = Vec::new();
        let why = format!("{}{}", "x".repeat(WHY - 1), "\u{e9}".repeat(100_000));
        write(&mut line, &Letter { why: &why, ..letter(b"") });
        let read = wire::read_value(&line).expect("JSON");
        let kept = read.as_map().and_then(|map| map.get("why")).cloned();
        assert_eq!(kept, Some("x".repeat(WHY - 1).as_str().into()));
    }

    #[test]
    fn the_cap_holds_and_what_it_costs_is_counted() {
        let directory = directory("cap");
        let dead = DeadLetters::new(directory.clone(), 512 * 1024);
        for _ in 0..400 {
            dead.keep(std::iter::once(letter(&[b'x'; 5000]))).expect("kept");
        }
        dead.keep(std::iter::once(letter(&[b'x'; 5_000_000]))).expect("kept, cut");
        let bytes: u64 = dead.files().expect("read").iter().map(|(_, _, bytes)| bytes).sum();
        assert!(bytes <= 512 * 1024 + 80 * 1024, "{bytes}");
        assert!(dead.totals().files_removed > 20);
        let again = DeadLetters::new(directory.clone(), 512 * 1024);
        again.keep(std::iter::once(letter(b"x"))).expect("never an old file's name");
        let _ = std::fs::remove_dir_all(directory);
    }
}
