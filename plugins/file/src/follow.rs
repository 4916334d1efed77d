//! One file that others write, and how far it was read.

use crate::state::{HEAD, Head, Mark};
use metlog_message::wire::{Piece, Splitter};
use std::fs::{File, Metadata};
use std::io;
use std::os::unix::fs::{FileExt, MetadataExt};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant, SystemTime};

/// A file that is not at its path any more is still read for so long after its last byte: programs go on writing to a
/// file that was renamed until they notice.
const GRACE: Duration = Duration::from_secs(10);

/// Which file it is, whatever it is called.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Id {
    pub device: u64,
    pub inode: u64,
}

impl Id {
    pub fn of(about: &Metadata) -> Self {
        Id { device: about.dev(), inode: about.ino() }
    }
}

/// Where to begin.
pub enum Begin {
    Start,
    /// Behind the last whole line.
    End,
    At(u64),
}

/// A file being followed.
pub struct Followed {
    pub path: PathBuf,
    pub id: Id,
    file: File,
    /// How far it was read.
    read: u64,
    /// How far it was committed: where reading goes on after a crash.
    committed: u64,
    cutter: Cutter,
    head: Head,
    /// Size and time of the last change when last looked at.
    seen: Option<(u64, SystemTime)>,
    /// Since when it is not at its path and nothing was added.
    gone: Option<Instant>,
}

/// What a look at the file has found.
pub enum Look {
    Nothing,
    More,
    /// The file begins anew; what was read of an unfinished message is in here.
    Anew(Option<Vec<u8>>),
}

impl Followed {
    pub fn open(path: &Path, file: File, begin: &Begin, limit: usize, plain: bool) -> io::Result<Self> {
        let about = file.metadata()?;
        let read = match begin {
            Begin::Start => 0,
            Begin::At(offset) => *offset,
            Begin::End => last_line(&file, about.len())?,
        };
        let mut followed = Followed {
            path: path.to_owned(),
            id: Id::of(&about),
            file,
            read,
            committed: read,
            cutter: Cutter::new(limit, plain),
            head: Head::default(),
            seen: None,
            gone: None,
        };
        followed.take_head()?;
        Ok(followed)
    }

    /// Whether a file is the one of this mark, and at least as long as it was.
    pub fn is(file: &File, path: &Path, mark: &Mark) -> bool {
        let Ok(about) = file.metadata() else { return false };
        // The numbers of devices may change when a system starts anew.
        let same = about.ino() == mark.inode && (about.dev() == mark.device || path == mark.path);
        same && about.len() >= mark.offset && head(file, mark.head.len).is_ok_and(|head| head == mark.head)
    }

    pub fn mark(&self) -> Mark {
        let Id { device, inode } = self.id;
        Mark { path: self.path.clone(), device, inode, offset: self.committed, head: self.head }
    }

    /// Looks whether there is more to be read.
    pub fn look(&mut self, limit: usize, plain: bool) -> io::Result<Look> {
        let about = self.file.metadata()?;
        let now = (about.len(), about.modified()?);
        if self.seen == Some(now) && self.read >= now.0 {
            return Ok(Look::Nothing);
        }
        self.seen = Some(now);
        if now.0 < self.read || head(&self.file, self.head.len)? != self.head {
            let rest = match self.cutter.finish() {
                Some(Piece::Message(part)) => Some(part),
                Some(Piece::Oversized(_)) => Some(Vec::new()),
                None => None,
            };
            self.cutter = Cutter::new(limit, plain);
            (self.read, self.committed, self.head) = (0, 0, Head::default());
            return Ok(Look::Anew(rest));
        }
        Ok(if self.read < now.0 { Look::More } else { Look::Nothing })
    }

    /// Reads some and says how much; pieces of it come from [`Followed::next`].
    pub fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let count = self.file.read_at(buffer, self.read)?;
        self.cutter.push(buffer.get(..count).unwrap_or_default());
        self.read += count as u64;
        if count > 0 {
            self.take_head()?;
            self.gone = self.gone.map(|_| Instant::now());
        }
        Ok(count)
    }

    pub fn next(&mut self) -> Option<Piece> {
        self.cutter.next()
    }

    /// The pieces of a file to which nothing will be added.
    pub fn finish(&mut self) -> Option<Piece> {
        self.cutter.finish()
    }

    /// All pieces so far were committed.
    pub fn commit(&mut self) {
        self.committed = self.read.saturating_sub(self.cutter.held() as u64);
    }

    /// Tells where the file is now, or that it is nowhere.
    pub fn place(&mut self, path: Option<PathBuf>) {
        match path {
            Some(path) => {
                self.path = path;
                self.gone = None;
            }
            None => {
                self.gone.get_or_insert_with(Instant::now);
            }
        }
    }

    /// Whether it is gone and nothing more is to be expected of it.
    pub fn is_over(&self) -> bool {
        self.gone.is_some_and(|since| since.elapsed() >= GRACE)
    }

    fn take_head(&mut self) -> io::Result<()> {
        let wanted = self.read.min(HEAD as u64) as usize;
        if self.head.len < wanted {
            self.head = head(&self.file, wanted)?;
        }
        Ok(())
    }
}

/// The beginning of a file.
fn head(file: &File, len: usize) -> io::Result<Head> {
    let mut bytes = [0; HEAD];
    let mut filled = 0;
    while let Some(rest) = bytes.get_mut(filled..len).filter(|rest| !rest.is_empty()) {
        match file.read_at(rest, filled as u64)? {
            0 => break,
            count => filled += count,
        }
    }
    Ok(Head::of(bytes.get(..filled).unwrap_or_default()))
}

/// Behind the last newline, if it is not too far from the end.
fn last_line(file: &File, len: u64) -> io::Result<u64> {
    let mut bytes = vec![0; 64 * 1024];
    let from = len.saturating_sub(bytes.len() as u64);
    let count = file.read_at(&mut bytes, from)?;
    let newline = bytes.get(..count).and_then(|bytes| bytes.iter().rposition(|byte| *byte == b'\n'));
    Ok(match newline {
        Some(at) => from + at as u64 + 1,
        None if from == 0 => 0,
        None => len,
    })
}

/// Cuts a file into messages.
enum Cutter {
    Json(Splitter),
    Plain(PlainLines),
}

impl Cutter {
    fn new(limit: usize, plain: bool) -> Self {
        match plain {
            true => Cutter::Plain(PlainLines { limit, ..PlainLines::default() }),
            false => Cutter::Json(Splitter::new(limit)),
        }
    }

    fn push(&mut self, bytes: &[u8]) {
        match self {
            Cutter::Json(splitter) => splitter.push(bytes),
            Cutter::Plain(lines) => lines.push(bytes),
        }
    }

    fn next(&mut self) -> Option<Piece> {
        match self {
            Cutter::Json(splitter) => splitter.next_piece(),
            Cutter::Plain(lines) => lines.next(),
        }
    }

    fn finish(&mut self) -> Option<Piece> {
        match self {
            Cutter::Json(splitter) => splitter.finish(),
            Cutter::Plain(lines) => lines.next().or_else(|| lines.finish()),
        }
    }

    /// Bytes of what is not finished, when all that is was taken.
    fn held(&self) -> usize {
        match self {
            Cutter::Json(splitter) => splitter.held(),
            Cutter::Plain(lines) => lines.dropped + lines.buffer.len() - lines.start,
        }
    }
}

/// Lines of text, one message each.
#[derive(Default)]
struct PlainLines {
    limit: usize,
    buffer: Vec<u8>,
    start: usize,
    /// What is known to hold no newline.
    seen: usize,
    /// Bytes of a line beyond the limit that were thrown away.
    dropped: usize,
}

impl PlainLines {
    fn push(&mut self, bytes: &[u8]) {
        self.buffer.drain(..self.start);
        self.seen -= self.start;
        self.start = 0;
        self.buffer.extend_from_slice(bytes);
    }

    fn next(&mut self) -> Option<Piece> {
        loop {
            let ahead = self.buffer.get(self.seen..)?;
            let Some(at) = ahead.iter().position(|byte| *byte == b'\n') else {
                self.seen = self.buffer.len();
                if self.dropped > 0 || self.seen - self.start > self.limit {
                    self.dropped += self.seen - self.start;
                    self.start = self.seen;
                }
                return None;
            };
            let end = self.seen + at;
            let line = self.buffer.get(self.start..end).unwrap_or_default().trim_ascii().to_vec();
            let bytes = self.dropped + end - self.start;
            (self.start, self.seen) = (end + 1, end + 1);
            if std::mem::take(&mut self.dropped) > 0 || bytes > self.limit {
                return Some(Piece::Oversized(bytes));
            }
            if !line.is_empty() {
                return Some(Piece::Message(line));
            }
        }
    }

    fn finish(&mut self) -> Option<Piece> {
        let line = self.buffer.get(self.start..).unwrap_or_default().trim_ascii().to_vec();
        let dropped = std::mem::take(&mut self.dropped);
        (self.start, self.seen) = (self.buffer.len(), self.buffer.len());
        match (dropped, line.is_empty()) {
            (0, true) => None,
            (0, false) => Some(Piece::Message(line)),
            (dropped, _) => Some(Piece::Oversized(dropped + line.len())),
        }
    }
}
