//! Bytes to text, with limits. Every file this crate reads comes through here.

use crate::{MAX_BYTES, Origin, Problem};
use std::io::Read;
use std::path::Path;

/// Reads a file that may be at most `limit` bytes, whatever its length claims: `/dev/zero` and pipes have none.
///
/// # Errors
/// If it cannot be read, is too large, or is not UTF-8.
pub fn read_file(path: &Path, limit: usize) -> Result<String, Problem> {
    let name = path.display().to_string();
    let mut bytes = Vec::new();
    let most = u64::try_from(limit).unwrap_or(u64::MAX).saturating_add(1);
    let read = std::fs::File::open(path).and_then(|file| file.take(most).read_to_end(&mut bytes));
    read.map_err(|error| Problem::at(&Origin::named(&name), format!("cannot be read: {error}")))?;
    decode(&name, &bytes, limit).map(str::to_owned)
}

/// Bytes as text, without the mark that some editors put at the beginning.
///
/// # Errors
/// If there are too many or they are not UTF-8.
pub fn decode<'a>(file: &str, bytes: &'a [u8], limit: usize) -> Result<&'a str, Problem> {
    if bytes.len() > limit {
        return Err(Problem::at(&Origin::named(file), format!("is larger than {limit} bytes, the most this may have")));
    }
    let text = std::str::from_utf8(bytes).map_err(|error| {
        let before = bytes.get(..error.valid_up_to()).unwrap_or_default();
        let line_start = before.iter().rposition(|byte| *byte == b'\n').map_or(0, |at| at + 1);
        let line = before.iter().filter(|byte| **byte == b'\n').count() + 1;
        let column = before.get(line_start..).map_or(0, |rest| String::from_utf8_lossy(rest).chars().count()) + 1;
        let number = |count: usize| u32::try_from(count).unwrap_or(u32::MAX);
        Problem::at(&Origin::new(&file.into(), number(line), number(column)), "is not UTF-8 text from here on")
    })?;
    Ok(text.strip_prefix('\u{feff}').unwrap_or(text))
}

/// Text that came from elsewhere has the same limit.
pub(crate) fn check(file: &str, text: &str) -> Result<(), Problem> {
    decode(file, text.as_bytes(), MAX_BYTES).map(|_| ())
}
