//! Where a key or value was written. It travels with every value, because a problem without a place cannot be fixed.

use std::fmt;
use std::sync::Arc;

/// A place in a file, or something without lines, such as an environment variable.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Origin {
    /// The file's name as the user gave it, or what else the value comes from.
    pub file: Arc<str>,
    /// From 1; 0 where there are no lines.
    pub line: u32,
    /// From 1, in characters; 0 where there are no lines.
    pub column: u32,
}

impl Origin {
    /// A place in a file.
    pub fn new(file: &Arc<str>, line: u32, column: u32) -> Self {
        Origin { file: file.clone(), line, column }
    }

    /// Something without lines.
    pub fn named(name: &str) -> Self {
        Origin { file: name.into(), line: 0, column: 0 }
    }

    /// Understands what [`fmt::Display`] wrote: `config` keeps origins as text. Other text names a whole file.
    pub fn parse(text: &str) -> Self {
        let mut parts = text.rsplitn(3, ':');
        let (column, line, file) = (parts.next(), parts.next(), parts.next());
        match (file, line.and_then(|n| n.parse().ok()), column.and_then(|n| n.parse().ok())) {
            (Some(file), Some(line), Some(column)) => Origin { file: file.into(), line, column },
            _ => Origin::named(text),
        }
    }
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.line {
            0 => f.write_str(&self.file),
            line => write!(f, "{}:{line}:{}", self.file, self.column),
        }
    }
}

/// Turns byte offsets into lines and columns in constant time, so that a file of one endless line costs no more.
pub(crate) struct Places<'a> {
    file: Arc<str>,
    text: &'a [u8],
    lines: Vec<usize>,
    /// How many characters begin before each multiple of [`STRIDE`].
    counts: Vec<usize>,
}

const STRIDE: usize = 1024;

fn starts(bytes: &[u8]) -> usize {
    bytes.iter().filter(|byte| **byte & 0xC0 != 0x80).count()
}

impl<'a> Places<'a> {
    pub(crate) fn new(file: &str, text: &'a str) -> Self {
        let text = text.as_bytes();
        let newlines = text.iter().enumerate().filter(|(_, byte)| **byte == b'\n').map(|(at, _)| at + 1);
        let mut total = 0;
        let counts = text.chunks(STRIDE).map(|chunk| {
            let before = total;
            total += starts(chunk);
            before
        });
        Places {
            file: file.into(),
            lines: std::iter::once(0).chain(newlines).collect(),
            counts: counts.collect(),
            text,
        }
    }

    fn characters_before(&self, offset: usize) -> usize {
        let chunk = offset / STRIDE;
        let rest = self.text.get(chunk * STRIDE..offset).map_or(0, starts);
        self.counts.get(chunk).map_or(0, |before| before + rest)
    }

    pub(crate) fn at(&self, offset: usize) -> Origin {
        let offset = offset.min(self.text.len().saturating_sub(1));
        let line = self.lines.partition_point(|start| *start <= offset);
        let start = self.lines.get(line.saturating_sub(1)).copied().unwrap_or(0);
        let column = 1 + self.characters_before(offset).saturating_sub(self.characters_before(start));
        Origin::new(&self.file, u32::try_from(line).unwrap_or(u32::MAX), u32::try_from(column).unwrap_or(u32::MAX))
    }
}
