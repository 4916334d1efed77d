//! Which spool it is. Ids of messages begin anew with every spool, and stores that several routers write to, or that
//! outlive a spool, must not take two messages of one id for one.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Read as _, Write as _};
use std::path::Path;

/// In the spool's own folder, so that it goes when the spool does.
const NAME: &str = "identity";

/// A number that was drawn when the spool was made.
///
/// # Errors
/// If it cannot be kept: a number that is another one with the next start would be none.
pub fn of(spool: &Path) -> Result<u64, String> {
    let path = spool.join(NAME);
    let mut text = String::new();
    let read = File::open(&path).and_then(|file| file.take(64).read_to_string(&mut text));
    if read.is_ok()
        && let Ok(number) = u64::from_str_radix(text.trim_end(), 16)
    {
        return Ok(number);
    }
    let number = fastrand::u64(1..);
    keep(spool, &path, number).map_err(|error| format!("{} cannot be written: {error}", path.display()))?;
    Ok(number)
}

fn keep(spool: &Path, path: &Path, number: u64) -> io::Result<()> {
    let new = path.with_extension("new");
    let mut options = OpenOptions::new();
    options.write(true).create(true).truncate(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    let mut file = options.open(&new)?;
    writeln!(file, "{number:016x}")?;
    file.sync_all()?;
    fs::rename(&new, path)?;
    File::open(spool)?.sync_all()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_spool_keeps_its_number_and_another_one_has_another() {
        let folder = std::env::temp_dir().join(format!("metlog-identity-{}", std::process::id()));
        let _ = fs::remove_dir_all(&folder);
        assert!(of(&folder).is_err_and(|why| why.contains("identity")), "there is no folder");
        fs::create_dir_all(&folder).expect("a folder");
        let first = of(&folder).expect("made");
        assert_eq!(of(&folder), Ok(first));
        fs::write(folder.join(NAME), "garbage\n").expect("written");
        let second = of(&folder).expect("made");
        assert!(second != first && of(&folder) == Ok(second));
        fs::remove_dir_all(&folder).expect("made here");
    }
}
