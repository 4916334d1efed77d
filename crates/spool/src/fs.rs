//! What the spool needs of a file system: one directory, files by name.

use crate::OpenError;
use rustix::fs::{AtFlags, CWD, Dir, FileType, FlockOperation, Mode, OFlags};
use std::fs::File;
use std::io::{self, IoSlice};
use std::os::fd::OwnedFd;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

/// Where damaged bytes are kept.
pub(crate) const QUARANTINE: &str = "quarantine";
/// So often the disk is asked, at a start, before what it refuses is taken for damaged.
const TRIES: usize = 3;

/// Asks again what the disk refused. What a start cannot read is passed over, and cursors move past what is in it: a
/// failure that is over the next moment must not cost messages.
pub(crate) fn patiently<T>(mut call: impl FnMut() -> io::Result<T>) -> io::Result<T> {
    (1..TRIES).find_map(|_| call().ok()).map_or_else(&mut call, Ok)
}

/// A directory. A name with one `/` in it stands for a file in a folder below, made when first needed.
pub trait Fs: Send + Sync + 'static {
    /// An open file.
    type File: Send + Sync + 'static;
    /// The files' names, without those in folders.
    ///
    /// # Errors
    /// As the system says; so below.
    fn list(&self) -> io::Result<Vec<String>>;
    /// Makes a file, which must not exist.
    ///
    /// # Errors
    /// See above.
    fn create(&self, name: &str) -> io::Result<Self::File>;
    /// Opens a file that exists.
    ///
    /// # Errors
    /// See above.
    fn open(&self, name: &str) -> io::Result<Self::File>;
    /// Its length.
    ///
    /// # Errors
    /// See above.
    fn size(&self, file: &Self::File) -> io::Result<u64>;
    /// Reads from a place as much as one call gives.
    ///
    /// # Errors
    /// See above.
    fn read(&self, file: &Self::File, at: u64, into: &mut [u8]) -> io::Result<usize>;
    /// Writes to a place as much as one call takes.
    ///
    /// # Errors
    /// See above.
    fn write(&self, file: &Self::File, at: u64, parts: &[IoSlice<'_>]) -> io::Result<usize>;
    /// Cuts a file off.
    ///
    /// # Errors
    /// See above.
    fn cut(&self, file: &Self::File, to: u64) -> io::Result<()>;
    /// Brings a file's content to the disk.
    ///
    /// # Errors
    /// See above.
    fn sync(&self, file: &Self::File) -> io::Result<()>;
    /// Brings the directory's entries to the disk.
    ///
    /// # Errors
    /// See above.
    fn sync_names(&self) -> io::Result<()>;
    /// Renames a file over another.
    ///
    /// # Errors
    /// See above.
    fn rename(&self, from: &str, to: &str) -> io::Result<()>;
    /// Removes a file.
    ///
    /// # Errors
    /// See above.
    fn remove(&self, name: &str) -> io::Result<()>;
    /// Bytes free to us on its disk.
    ///
    /// # Errors
    /// See above.
    fn free(&self) -> io::Result<u64>;
}

/// A real directory, which nobody but its owner may enter, and which one process has at a time.
#[derive(Debug)]
pub struct Disk {
    path: PathBuf,
    dir: OwnedFd,
    /// Held, not read: the lock goes with it.
    _lock: Option<File>,
}

const OURS: Mode = Mode::from_raw_mode(0o600);
const LOCK: &str = "lock";

impl Disk {
    /// Opens or makes the directory, and takes it for this process.
    ///
    /// # Errors
    /// If it is another process's, open to others, no directory, or cannot be had.
    pub fn open(path: impl AsRef<Path>) -> Result<Disk, OpenError> {
        let path = path.as_ref();
        make(path).map_err(|error| OpenError::io(&format!("make {}", path.display()), &error))?;
        let mut disk = Disk::look(path)?;
        disk._lock = Some(disk.lock()?);
        Ok(disk)
    }

    /// Opens the directory to look at it, also while a process has it. A spool does not work on it.
    ///
    /// # Errors
    /// If it is open to others, no directory, or cannot be had.
    pub fn look(path: impl AsRef<Path>) -> Result<Disk, OpenError> {
        let path = path.as_ref();
        let flags = OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let failed = |error: rustix::io::Errno| OpenError::io(&format!("open {}", path.display()), &error.into());
        let dir = rustix::fs::openat(CWD, path, flags, Mode::empty()).map_err(failed)?;
        let state = rustix::fs::fstat(&dir).map_err(failed)?;
        if state.st_mode & 0o022 != 0 {
            return Err(OpenError::Exposed { path: path.display().to_string(), mode: state.st_mode as u32 & 0o7777 });
        }
        Ok(Disk { path: path.to_owned(), dir, _lock: None })
    }

    /// The directory.
    pub fn path(&self) -> &Path {
        &self.path
    }

    fn lock(&self) -> Result<File, OpenError> {
        let failed = |error: io::Error| OpenError::io(&format!("lock {}", self.path.display()), &error);
        let flags = OFlags::RDWR | OFlags::CREATE | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let file = File::from(rustix::fs::openat(&self.dir, LOCK, flags, OURS).map_err(|error| failed(error.into()))?);
        match rustix::fs::flock(&file, FlockOperation::NonBlockingLockExclusive) {
            Ok(()) => {}
            Err(rustix::io::Errno::WOULDBLOCK) => {
                let mut text = [0; 20];
                let size = file.read_at(&mut text, 0).unwrap_or(0);
                let pid = text.get(..size).and_then(|text| std::str::from_utf8(text).ok()?.trim().parse().ok());
                return Err(OpenError::Taken { path: self.path.display().to_string(), pid });
            }
            Err(error) => return Err(failed(error.into())),
        }
        // Only to be told by: the lock holds also where this cannot be written.
        let _ = file.set_len(0).and_then(|()| file.write_all_at(format!("{}\n", std::process::id()).as_bytes(), 0));
        Ok(file)
    }

    fn file(&self, name: &str, flags: OFlags) -> io::Result<File> {
        let flags = flags | OFlags::RDWR | OFlags::NOFOLLOW | OFlags::CLOEXEC | OFlags::NONBLOCK;
        let file = File::from(rustix::fs::openat(&self.dir, name, flags, OURS)?);
        // A pipe would hold us up, a device would take anything.
        if !file.metadata()?.is_file() {
            return Err(io::Error::other(format!("{name} is not a regular file")));
        }
        Ok(file)
    }

    fn folder(&self, name: &str) -> io::Result<()> {
        let Some((folder, _)) = name.split_once('/') else { return Ok(()) };
        match rustix::fs::mkdirat(&self.dir, folder, Mode::from_raw_mode(0o700)) {
            Ok(()) => self.sync_names(),
            Err(rustix::io::Errno::EXIST) => {
                let state = rustix::fs::statat(&self.dir, folder, AtFlags::SYMLINK_NOFOLLOW)?;
                match FileType::from_raw_mode(state.st_mode) {
                    FileType::Directory => Ok(()),
                    _ => Err(io::Error::other(format!("{folder} is not a directory"))),
                }
            }
            Err(error) => Err(error.into()),
        }
    }
}

impl Fs for Disk {
    type File = File;

    fn list(&self) -> io::Result<Vec<String>> {
        let mut names = Vec::new();
        for entry in Dir::read_from(&self.dir)? {
            if let Ok(name) = entry?.file_name().to_str() {
                names.push(name.to_owned());
            }
        }
        Ok(names)
    }

    fn create(&self, name: &str) -> io::Result<File> {
        self.folder(name)?;
        self.file(name, OFlags::CREATE | OFlags::EXCL)
    }

    fn open(&self, name: &str) -> io::Result<File> {
        self.file(name, OFlags::empty())
    }

    fn size(&self, file: &File) -> io::Result<u64> {
        Ok(file.metadata()?.len())
    }

    fn read(&self, file: &File, at: u64, into: &mut [u8]) -> io::Result<usize> {
        file.read_at(into, at)
    }

    fn write(&self, file: &File, at: u64, parts: &[IoSlice<'_>]) -> io::Result<usize> {
        Ok(rustix::io::pwritev(file, parts, at)?)
    }

    fn cut(&self, file: &File, to: u64) -> io::Result<()> {
        file.set_len(to)
    }

    fn sync(&self, file: &File) -> io::Result<()> {
        file.sync_data()
    }

    fn sync_names(&self) -> io::Result<()> {
        Ok(rustix::fs::fsync(&self.dir)?)
    }

    fn rename(&self, from: &str, to: &str) -> io::Result<()> {
        self.folder(to)?;
        Ok(rustix::fs::renameat(&self.dir, from, &self.dir, to)?)
    }

    fn remove(&self, name: &str) -> io::Result<()> {
        Ok(rustix::fs::unlinkat(&self.dir, name, AtFlags::empty())?)
    }

    fn free(&self) -> io::Result<u64> {
        let disk = rustix::fs::fstatvfs(&self.dir)?;
        Ok(disk.f_bavail.saturating_mul(disk.f_frsize))
    }
}

/// Makes a directory and those above it. What is new is brought to the disk, or power loss could take all of the spool.
fn make(path: &Path) -> io::Result<()> {
    use std::os::unix::fs::DirBuilderExt;
    if path.symlink_metadata().is_ok() {
        return Ok(());
    }
    let above = match path.parent() {
        Some(above) if above != Path::new("") => above,
        _ => Path::new("."),
    };
    if !above.exists() {
        make(above)?;
    }
    match std::fs::DirBuilder::new().mode(0o700).create(path) {
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Ok(()),
        Err(error) => Err(error),
        Ok(()) => File::open(above)?.sync_all(),
    }
}
