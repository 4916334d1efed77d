//! How far each file was read, on disk.

use metlog_message::{Fields, Value, wire};
use std::fs::File;
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};

/// A state is written by us, and a line for each file; nothing larger is read.
const LARGEST: u64 = 16 * 1024 * 1024;

/// The key of a state's first line.
const FILES: &str = "metlog_followed_files";

/// Bytes of a file's beginning that tell it from others.
pub const HEAD: usize = 256;

/// A file, as far as it was read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Mark {
    /// Where it was last.
    pub path: PathBuf,
    pub device: u64,
    pub inode: u64,
    /// The first byte that is not known to be taken in for good.
    pub offset: u64,
    pub head: Head,
}

/// The beginning of a file: systems use the numbers of removed files again.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Head {
    /// So many bytes, [`HEAD`] at the most.
    pub len: usize,
    /// What they come to.
    pub sum: u64,
}

impl Head {
    pub fn of(bytes: &[u8]) -> Self {
        // FNV-1a: the same on every machine and in every version.
        let sum = bytes
            .iter()
            .fold(0xcbf2_9ce4_8422_2325_u64, |sum, byte| (sum ^ u64::from(*byte)).wrapping_mul(0x0000_0100_0000_01b3));
        Head { len: bytes.len(), sum }
    }
}

/// Reads a state; none if there is no file yet.
pub fn load(path: &Path) -> Result<Option<Vec<Mark>>, String> {
    let mut text = Vec::new();
    let read = File::open(path).and_then(|file| file.take(LARGEST).read_to_end(&mut text));
    match read {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(format!("{} cannot be read: {error}", path.display())),
        Ok(_) => {}
    }
    marks(&text)
        .map(Some)
        .ok_or_else(|| format!("{} is not a state of followed files; without it, reading begins anew", path.display()))
}

/// One line says what it is and how many follow, each of the others is a file.
fn marks(text: &[u8]) -> Option<Vec<Mark>> {
    let mut lines = text.split(|byte| *byte == b'\n').filter(|line| !line.is_empty()).map(wire::read_value);
    let first = lines.next()?.ok()?;
    let count = first.as_map()?.get(FILES)?.as_i64()?;
    let marks: Vec<Mark> = lines.map(|line| mark(&line.ok()?)).collect::<Option<_>>()?;
    (marks.len() as i64 == count).then_some(marks)
}

fn mark(value: &Value) -> Option<Mark> {
    let mark = value.as_map()?;
    // As text: not every one of these numbers fits what readers of JSON take.
    let number = |name: &str| mark.get(name)?.as_str()?.parse::<u64>().ok();
    Some(Mark {
        path: PathBuf::from(mark.get("path")?.as_str()?),
        device: number("device")?,
        inode: number("inode")?,
        offset: number("offset")?,
        head: Head { len: usize::try_from(number("head")?).ok().filter(|len| *len <= HEAD)?, sum: number("sum")? },
    })
}

/// Writes a state so that after a crash there is either this one or the one before.
pub fn save(path: &Path, marks: &[Mark]) -> Result<(), String> {
    let mut text = Vec::new();
    let mut line = |fields: Fields| {
        wire::write_value(&mut text, &Value::Map(fields));
        text.push(b'\n');
    };
    line([(FILES, marks.len() as i64)].into_iter().collect());
    for mark in marks {
        let mut fields = Fields::new();
        fields.set("path", mark.path.to_string_lossy().into_owned());
        for (name, number) in [
            ("device", mark.device),
            ("inode", mark.inode),
            ("offset", mark.offset),
            ("head", mark.head.len as u64),
            ("sum", mark.head.sum),
        ] {
            fields.set(name, number.to_string());
        }
        line(fields);
    }
    let mut new = path.as_os_str().to_owned();
    new.push(".new");
    let write = || -> io::Result<()> {
        let mut file = File::create(&new)?;
        file.write_all(&text)?;
        file.sync_all()?;
        std::fs::rename(&new, path)?;
        let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty());
        File::open(folder.unwrap_or(Path::new(".")))?.sync_all()
    };
    write().map_err(|error| format!("{} cannot be written: {error}", path.display()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_state_reads_back_and_nonsense_is_told() {
        let path = std::env::temp_dir().join(format!("metlog-state-{}", std::process::id()));
        let _ = std::fs::remove_file(&path);
        assert_eq!(load(&path), Ok(None));
        let head = Head::of(b"{\"type\"");
        let mark = Mark { path: "a\n\"b".into(), device: u64::MAX, inode: u64::MAX - 1, offset: 1 << 60, head };
        save(&path, &[mark.clone(), mark.clone()]).expect("saved");
        assert_eq!(load(&path), Ok(Some(vec![mark.clone(), mark])));
        for text in ["", "{}", "{\"metlog_followed_files\":2}", "{\"metlog_followed_files\":1}\n{}", "{\"metlog_follo"]
        {
            std::fs::write(&path, text).expect("written");
            assert!(load(&path).is_err_and(|why| why.contains("not a state")), "{text}");
        }
        std::fs::remove_file(&path).expect("removed");
    }
}
