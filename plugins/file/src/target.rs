//! The open file.

use std::fs::{File, OpenOptions};
use std::io::{ErrorKind, Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant, SystemTime};

/// How often it is looked whether the file still stands at its path: a system call for many batches.
const LOOK_EVERY: Duration = Duration::from_millis(100);

/// Where a file stands, and how it is got at.
#[derive(Clone)]
pub enum Place {
    /// Where the operator put it.
    At(PathBuf),
    /// Where messages put it: at this path beneath a folder that is not left.
    #[cfg(all(unix, feature = "endpoint"))]
    Beneath(std::sync::Arc<crate::base::Base>, String),
}

/// A file that is appended to.
pub struct Target {
    place: Place,
    mode: u32,
    file: Option<File>,
    looked: Instant,
    /// Bytes in the file: as last looked at, and our own since. Pipes and devices have none.
    len: u64,
    regular: bool,
    /// When it was last written to.
    touched: SystemTime,
    /// A line was cut short and could not be taken back: the next write begins with a newline.
    torn: bool,
    /// The file's entry in its folder may not be on the disk yet.
    fresh: bool,
}

/// How far a write came before it failed.
pub struct Broken {
    /// Messages of this write that are whole in the file.
    pub done: usize,
    /// Why no more.
    pub error: std::io::Error,
}

impl Target {
    /// Opens or makes the file.
    pub fn open(place: Place, mode: u32) -> std::io::Result<Self> {
        let mut target = Target {
            place,
            mode,
            file: None,
            looked: Instant::now(),
            len: 0,
            regular: true,
            touched: SystemTime::now(),
            torn: false,
            fresh: false,
        };
        target.reopen()?;
        Ok(target)
    }

    /// Empties the file.
    #[cfg(feature = "sender")]
    pub fn empty(&mut self) -> std::io::Result<()> {
        match &self.file {
            // Pipes and devices hold nothing to throw away.
            Some(file) if self.regular => file.set_len(0)?,
            _ => {}
        }
        (self.len, self.torn) = (0, false);
        Ok(())
    }

    #[cfg(all(unix, feature = "endpoint"))]
    pub fn place(&self) -> &Place {
        &self.place
    }

    /// Nought for what cannot be rotated.
    pub fn len(&self) -> u64 {
        if self.regular && self.file.is_some() { self.len } else { 0 }
    }

    /// When it was last written to.
    #[cfg(all(unix, feature = "endpoint"))]
    pub fn touched(&self) -> SystemTime {
        self.touched
    }

    /// Lets go of the file; the next write opens it anew.
    pub fn let_go(&mut self) {
        self.file = None;
    }

    pub fn reopen(&mut self) -> std::io::Result<()> {
        let file = self.place.append(self.mode)?;
        let about = file.metadata()?;
        self.len = about.len();
        self.regular = about.is_file();
        self.touched = about.modified().ok().filter(|_| self.len > 0).unwrap_or_else(SystemTime::now);
        self.looked = Instant::now();
        self.torn = self.regular && ends_amid_line(&self.place, self.len);
        self.fresh = true;
        self.file = Some(file);
        Ok(())
    }

    /// Lets go of the file if it was renamed or removed: whoever rotates it expects a new one at its path. Says whether
    /// it is still held.
    pub fn follow(&mut self) -> bool {
        self.looked = Instant::now();
        if let Some(file) = &self.file {
            match self.place.len_of(file) {
                Some(len) => self.len = len,
                None => self.file = None,
            }
        }
        self.file.is_some()
    }

    /// Appends whole messages, with one system call if the system takes them at once. After an error the file ends
    /// where a message ends, as far as that can be brought about: `ends` says where messages of several lines end, for
    /// messages of one line it is empty.
    pub fn append(&mut self, text: &[u8], ends: &[usize]) -> Result<(), Broken> {
        if self.looked.elapsed() >= LOOK_EVERY {
            self.follow();
        }
        let nothing = |error| Broken { done: 0, error };
        if self.file.is_none() {
            self.reopen().map_err(nothing)?;
        }
        let Target { file: Some(file), len, torn, .. } = self else { return Err(nothing(ErrorKind::NotFound.into())) };
        if *torn {
            file.write_all(b"\n").map_err(nothing)?;
            *torn = false;
            *len += 1;
        }
        self.touched = SystemTime::now();
        let mut written = 0;
        while let Some(rest) = text.get(written..).filter(|rest| !rest.is_empty()) {
            match file.write(rest) {
                Ok(count) if count > 0 => written += count,
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                result => {
                    let error = result.err().unwrap_or_else(|| ErrorKind::WriteZero.into());
                    let (whole, done) = whole(text, ends, written);
                    // Cutting the torn message off needs no room on the disk. Another process may have appended behind
                    // it meanwhile: then its bytes must stay, and ours are ended by a newline later.
                    let ours = *len + written as u64;
                    let alone = self.regular && file.metadata().is_ok_and(|about| about.len() == ours);
                    let cut = written == whole || (alone && file.set_len(*len + whole as u64).is_ok());
                    *torn = !cut;
                    *len += if cut { whole } else { written } as u64;
                    return Err(Broken { done, error });
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
            let _ = self.place.sync_folders();
        }
        Ok(())
    }
}

/// Permissions as for `chmod`.
pub fn mode(text: &str) -> Result<u32, String> {
    let mode = u32::from_str_radix(text.strip_prefix("0o").unwrap_or(text), 8).ok().filter(|mode| *mode <= 0o777);
    mode.ok_or_else(|| format!("`mode` is `{text}`; expected permissions such as `0640`"))
}

/// How much of what was written is whole messages: bytes, and how many.
fn whole(text: &[u8], ends: &[usize], written: usize) -> (usize, usize) {
    let lines = text.get(..written).filter(|_| ends.is_empty()).into_iter().flatten().enumerate();
    let lines = lines.filter(|(_, byte)| **byte == b'\n').map(|(at, _)| at + 1);
    let ends = ends.iter().copied().take_while(|end| *end <= written);
    lines.chain(ends).fold((0, 0), |(_, count), end| (end, count + 1))
}

impl Place {
    fn append(&self, mode: u32) -> std::io::Result<File> {
        match self {
            Place::At(path) => {
                let mut options = OpenOptions::new();
                options.create(true).append(true);
                #[cfg(unix)]
                std::os::unix::fs::OpenOptionsExt::mode(&mut options, mode);
                options.open(path)
            }
            #[cfg(all(unix, feature = "endpoint"))]
            Place::Beneath(base, path) => {
                use rustix::fs::{Mode, OFlags};
                base.file(path, OFlags::WRONLY | OFlags::APPEND | OFlags::CREATE, Mode::from_bits_retain(mode as _))
            }
        }
    }

    fn read(&self) -> std::io::Result<File> {
        match self {
            Place::At(path) => File::open(path),
            #[cfg(all(unix, feature = "endpoint"))]
            Place::Beneath(base, path) => base.file(path, rustix::fs::OFlags::RDONLY, rustix::fs::Mode::empty()),
        }
    }

    /// Syncs the folders that may be as new as the file.
    fn sync_folders(&self) -> std::io::Result<()> {
        match self {
            Place::At(path) => {
                let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty());
                File::open(folder.unwrap_or(Path::new(".")))?.sync_all()
            }
            #[cfg(all(unix, feature = "endpoint"))]
            Place::Beneath(base, path) => {
                let mut folder = crate::base::split(path).0;
                loop {
                    rustix::fs::fsync(base.folder(folder, false)?)?;
                    if folder.is_empty() {
                        return Ok(());
                    }
                    folder = crate::base::split(folder).0;
                }
            }
        }
    }

    /// The file's size, if it still stands at its path.
    #[cfg(unix)]
    fn len_of(&self, file: &File) -> Option<u64> {
        use std::os::unix::fs::MetadataExt;
        let open = file.metadata().ok()?;
        let in_place = match self {
            Place::At(path) => {
                std::fs::metadata(path).is_ok_and(|there| (open.dev(), open.ino()) == (there.dev(), there.ino()))
            }
            #[cfg(feature = "endpoint")]
            Place::Beneath(base, path) => crate::base::same(&rustix::fs::fstat(file).ok()?, &base.about(path).ok()?),
        };
        in_place.then_some(open.len())
    }

    #[cfg(not(unix))]
    fn len_of(&self, file: &File) -> Option<u64> {
        let Place::At(path) = self;
        path.exists().then(|| file.metadata().ok())?.map(|about| about.len())
    }
}

impl std::fmt::Display for Place {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Place::At(path) => path.display().fmt(f),
            #[cfg(all(unix, feature = "endpoint"))]
            Place::Beneath(base, path) => base.path().join(path).display().fmt(f),
        }
    }
}

/// Whether the last line has no end, as after a crash amid a write.
fn ends_amid_line(place: &Place, len: u64) -> bool {
    let cut = || -> std::io::Result<bool> {
        let mut file = place.read()?;
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
