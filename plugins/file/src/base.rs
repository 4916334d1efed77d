//! The folder that files named by messages never leave.

use rustix::fs::{AtFlags, Mode, OFlags, Stat};
use std::fs::File;
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::path::{Path, PathBuf};

/// Permissions of new folders.
const FOLDER_MODE: Mode = Mode::from_bits_retain(0o750);

const FOLDER: OFlags = OFlags::RDONLY.union(OFlags::DIRECTORY).union(OFlags::CLOEXEC).union(OFlags::NOFOLLOW);

/// A folder, held open: everything beneath it is reached from its handle, step by step, through no symbolic link. So
/// whatever others put there meanwhile, nothing outside is opened.
pub struct Base {
    path: PathBuf,
    handle: OwnedFd,
}

impl Base {
    /// Opens the folder, or makes it, and those it stands in. Links on the way to it were chosen by the operator.
    pub fn open(path: &Path) -> io::Result<Self> {
        let path = if path.as_os_str().is_empty() { Path::new(".") } else { path };
        std::fs::create_dir_all(path)?;
        let handle = rustix::fs::open(path, FOLDER.difference(OFlags::NOFOLLOW), Mode::empty())?;
        Ok(Base { path: path.to_owned(), handle })
    }

    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Whether another folder stands at its path by now, or none.
    pub fn is_gone(&self) -> bool {
        let there = rustix::fs::stat(&self.path);
        let here = rustix::fs::fstat(&self.handle);
        !matches!((there, here), (Ok(there), Ok(here)) if same(&there, &here))
    }

    /// Opens a file beneath; with `CREATE`, its folders are made.
    pub fn file(&self, path: &str, flags: OFlags, mode: Mode) -> io::Result<File> {
        // Whoever waits at the other end of a pipe in a file's place shall not make us wait.
        let flags = flags | OFlags::CLOEXEC | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::NOCTTY;
        #[cfg(target_os = "linux")]
        {
            use rustix::fs::ResolveFlags;
            let resolve = ResolveFlags::BENEATH | ResolveFlags::NO_SYMLINKS | ResolveFlags::NO_MAGICLINKS;
            if let Ok(file) = rustix::fs::openat2(&self.handle, path, flags, mode, resolve) {
                return regular(file);
            }
            // A folder is missing, or the kernel is old, or a sandbox forbids the call; if it is anything else, the
            // way on foot says what.
        }
        self.file_on_foot(path, flags, mode)
    }

    fn file_on_foot(&self, path: &str, flags: OFlags, mode: Mode) -> io::Result<File> {
        let (folder, name) = split(path);
        let folder = self.folder(folder, flags.contains(OFlags::CREATE))?;
        component(name)?;
        regular(rustix::fs::openat(folder, name, flags | OFlags::NOFOLLOW, mode)?)
    }

    /// Opens a folder beneath, one step at a time; `""` is the base itself.
    pub fn folder(&self, path: &str, make: bool) -> io::Result<OwnedFd> {
        let mut at = self.handle.try_clone()?;
        for name in path.split('/').filter(|_| !path.is_empty()) {
            component(name)?;
            at = match rustix::fs::openat(&at, name, FOLDER, Mode::empty()) {
                Err(rustix::io::Errno::NOENT) if make => {
                    match rustix::fs::mkdirat(&at, name, FOLDER_MODE) {
                        Ok(()) | Err(rustix::io::Errno::EXIST) => {}
                        Err(error) => return Err(error.into()),
                    }
                    rustix::fs::openat(&at, name, FOLDER, Mode::empty())?
                }
                opened => opened?,
            };
        }
        Ok(at)
    }

    /// What stands beneath at this path.
    pub fn about(&self, path: &str) -> io::Result<Stat> {
        Ok(rustix::fs::statat(&self.handle, path, AtFlags::SYMLINK_NOFOLLOW)?)
    }
}

/// The folder and the name in it.
pub fn split(path: &str) -> (&str, &str) {
    path.rsplit_once('/').unwrap_or(("", path))
}

/// Whether both are the same file.
pub fn same(one: &Stat, other: &Stat) -> bool {
    (one.st_dev, one.st_ino) == (other.st_dev, other.st_ino)
}

/// One step down, and not up or aside.
fn component(name: &str) -> io::Result<()> {
    match name {
        "" | "." | ".." => Err(io::Error::new(io::ErrorKind::InvalidInput, format!("`{name}` is not a file name"))),
        _ if name.contains('/') => Err(io::Error::new(io::ErrorKind::InvalidInput, "a file name holds no slash")),
        _ => Ok(()),
    }
}

fn regular(file: OwnedFd) -> io::Result<File> {
    let about = rustix::fs::fstat(file.as_fd())?;
    if rustix::fs::FileType::from_raw_mode(about.st_mode) != rustix::fs::FileType::RegularFile {
        return Err(io::Error::new(io::ErrorKind::InvalidInput, "not a regular file"));
    }
    Ok(File::from(file))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Both ways of opening keep to the base: the second is for kernels without the first.
    #[test]
    fn links_pipes_and_steps_up_are_refused() {
        let top = std::env::temp_dir().join(format!("metlog-base-{}", std::process::id()));
        let _ = std::fs::remove_dir_all(&top);
        let base = Base::open(&top.join("base")).expect("made");
        std::fs::create_dir_all(top.join("outside")).expect("made");
        std::os::unix::fs::symlink(top.join("outside"), top.join("base/link")).expect("linked");
        std::os::unix::fs::symlink(top.join("outside/file"), top.join("base/file")).expect("linked");
        let pipe = std::process::Command::new("mkfifo").arg(top.join("base/pipe")).status();
        assert!(pipe.is_ok_and(|status| status.success()));
        let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::APPEND;
        let mode = Mode::from_bits_retain(0o640);
        for path in ["link/x", "file", "pipe", "../outside/x", "a/../../x", "/etc/metlog", "a//", ".", "..", ""] {
            assert!(base.file(path, flags, mode).is_err(), "{path}");
            assert!(base.file_on_foot(path, flags | OFlags::NONBLOCK, mode).is_err(), "{path} on foot");
        }
        for path in ["x", "a/b/c"] {
            base.file(path, flags, mode).expect(path);
            base.file_on_foot(path, flags, mode).expect(path);
        }
        assert_eq!(std::fs::read_dir(top.join("outside")).expect("there").count(), 0);
        assert!(!base.is_gone());
        std::fs::rename(top.join("base"), top.join("moved")).expect("moved");
        assert!(base.is_gone());
        let _ = std::fs::remove_dir_all(&top);
    }
}
