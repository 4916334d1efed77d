//! The open file.

use std::fs::{File, OpenOptions};
use std::io::{ErrorKind, Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

/// How often it is looked whether the file still stands at its path: a system call for many batches.
const LOOK_EVERY: Duration = Duration::from_millis(100);

/// A file that is appended to.
pub struct Target {
    path: PathBuf,
    mode: u32,
    file: Option<File>,
    looked: Instant,
    /// Bytes in the file: as last looked at, and our own since.
    len: u64,
    /// A line was cut short and could not be taken back: the next write begins with a newline.
    torn: bool,
    /// The file's entry in its folder may not be on the disk yet.
    fresh: bool,
}

/// How far a write came before it failed.
pub struct Broken {
    /// Bytes of this write that are in the file.
    pub written: usize,
    /// Why no more.
    pub error: std::io::Error,
}

impl Target {
    /// Opens or makes the file.
    pub fn open(path: PathBuf, mode: u32) -> std::io::Result<Self> {
        let mut target = Target { path, mode, file: None, looked: Instant::now(), len: 0, torn: false, fresh: false };
        target.reopen()?;
        Ok(target)
    }

    /// Empties the file.
    pub fn empty(&mut self) -> std::io::Result<()> {
        match &self.file {
            // Pipes and devices hold nothing to throw away.
            Some(file) if file.metadata()?.is_file() => file.set_len(0)?,
            _ => {}
        }
        (self.len, self.torn) = (0, false);
        Ok(())
    }

    pub fn path(&self) -> &Path {
        &self.path
    }

    pub fn len(&self) -> u64 {
        self.len
    }

    fn reopen(&mut self) -> std::io::Result<()> {
        let mut options = OpenOptions::new();
        options.create(true).append(true);
        #[cfg(unix)]
        std::os::unix::fs::OpenOptionsExt::mode(&mut options, self.mode);
        let file = options.open(&self.path)?;
        let about = file.metadata()?;
        self.len = about.len();
        self.looked = Instant::now();
        self.torn = about.is_file() && ends_amid_line(&self.path, self.len);
        self.fresh = true;
        self.file = Some(file);
        Ok(())
    }

    /// Lets go of the file if it was renamed or removed: whoever rotates it expects a new one at its path.
    fn follow(&mut self) {
        self.looked = Instant::now();
        if let Some(file) = &self.file {
            match in_place(file, &self.path) {
                Some(len) => self.len = len,
                None => self.file = None,
            }
        }
    }

    /// Appends whole lines, with one system call if the system takes them at once. After an error the file ends where
    /// a line ends, as far as that can be brought about.
    pub fn append(&mut self, lines: &[u8]) -> Result<(), Broken> {
        if self.looked.elapsed() >= LOOK_EVERY {
            self.follow();
        }
        let nothing = |error| Broken { written: 0, error };
        if self.file.is_none() {
            self.reopen().map_err(nothing)?;
        }
        let Target { file: Some(file), len, torn, .. } = self else { return Err(nothing(ErrorKind::NotFound.into())) };
        if *torn {
            file.write_all(b"\n").map_err(nothing)?;
            *torn = false;
            *len += 1;
        }
        let mut written = 0;
        while let Some(rest) = lines.get(written..).filter(|rest| !rest.is_empty()) {
            match file.write(rest) {
                Ok(count) if count > 0 => written += count,
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                result => {
                    let error = result.err().unwrap_or_else(|| ErrorKind::WriteZero.into());
                    let whole = lines.get(..written).and_then(|done| done.iter().rposition(|byte| *byte == b'\n'));
                    let whole = whole.map_or(0, |end| end + 1);
                    // Cutting the torn line off needs no room on the disk. Another process may have appended behind
                    // it meanwhile: then its bytes must stay, and ours are ended by a newline later.
                    let ours = *len + written as u64;
                    let alone = file.metadata().is_ok_and(|about| about.is_file() && about.len() == ours);
                    let cut = written == whole || (alone && file.set_len(*len + whole as u64).is_ok());
                    *torn = !cut;
                    *len += if cut { whole } else { written } as u64;
                    return Err(Broken { written: whole, error });
                }
            }
        }
        *len += written as u64;
        Ok(())
    }

    /// Waits until what was written is on the disk.
    pub fn sync(&mut self) -> std::io::Result<()> {
        let Some(file) = &self.file else { return Ok(()) };
        match file.sync_data() {
            // Pipes and terminals have no disk to wait for.
            Err(error) if error.kind() != ErrorKind::InvalidInput => return Err(error),
            _ => {}
        }
        if std::mem::take(&mut self.fresh) {
            // Without this a power failure may take a new file with it, whole. Not every system lets folders be
            // synced; the file's own bytes are safe in any case.
            let folder = self.path.parent().filter(|folder| !folder.as_os_str().is_empty());
            let _ = File::open(folder.unwrap_or(Path::new("."))).and_then(|folder| folder.sync_all());
        }
        Ok(())
    }

    /// Moves `path` to `path.1`, `path.1` to `path.2` and so on, keeping so many, and begins a new file.
    pub fn rotate(&mut self, keep: usize) -> std::io::Result<()> {
        self.follow();
        if self.file.is_none() {
            // Somebody else has just done so.
            return self.reopen();
        }
        let numbered = |number: usize| {
            let mut name = self.path.clone().into_os_string();
            name.push(format!(".{number}"));
            PathBuf::from(name)
        };
        for number in (1..keep).rev() {
            match std::fs::rename(numbered(number), numbered(number + 1)) {
                Err(error) if error.kind() != ErrorKind::NotFound => return Err(error),
                _ => {}
            }
        }
        if keep == 0 {
            std::fs::remove_file(&self.path)?;
        } else {
            std::fs::rename(&self.path, numbered(1))?;
        }
        self.file = None;
        self.reopen()
    }
}

/// The file's size, if it still stands at its path.
#[cfg(unix)]
fn in_place(file: &File, path: &Path) -> Option<u64> {
    use std::os::unix::fs::MetadataExt;
    let (open, there) = (file.metadata().ok()?, std::fs::metadata(path).ok()?);
    ((open.dev(), open.ino()) == (there.dev(), there.ino())).then_some(open.len())
}

#[cfg(not(unix))]
fn in_place(file: &File, path: &Path) -> Option<u64> {
    path.exists().then(|| file.metadata().ok())?.map(|about| about.len())
}

/// Whether the last line has no end, as after a crash amid a write.
fn ends_amid_line(path: &Path, len: u64) -> bool {
    let cut = || -> std::io::Result<bool> {
        let mut file = File::open(path)?;
        file.seek(SeekFrom::Start(len.saturating_sub(1)))?;
        let mut last = [0];
        file.read_exact(&mut last)?;
        if len == 0 || last == *b"\n" {
            return Ok(false);
        }
        // It may be the line of another process that is just being written.
        std::thread::sleep(Duration::from_millis(10));
        Ok(file.metadata()?.len() == len)
    };
    // A file that may be written and not read is taken to be whole.
    len > 0 && cut().unwrap_or(false)
}
