//! `.env` files: `NAME=value` lines for development. They never change the process environment: other threads may be
//! reading it, and child processes would inherit what was meant for one program.

use crate::{MAX_BYTES, Origin, Problem, Problems, source};
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// The nearest `.env` file, from a directory upwards.
pub fn find(from: &Path) -> Option<PathBuf> {
    from.ancestors().map(|directory| directory.join(".env")).find(|path| path.is_file())
}

/// Reads a `.env` file.
///
/// # Errors
/// If it cannot be read, or all that is wrong in it.
pub fn read_file(path: &Path) -> Result<BTreeMap<String, String>, Problems> {
    let text = source::read_file(path, MAX_BYTES)?;
    read(&path.display().to_string(), &text)
}

/// Reads the text of such a file. A line is `NAME=value`, with `export ` before it if you like, or a `#` comment. A
/// bare value ends at ` #`; one in single quotes is literal; in double quotes `\n`, `\t`, `\r`, `\"`, `\\` and `\$` are
/// escapes. Quoted values may span lines. As in a shell, of two values the later counts.
///
/// # Errors
/// All that is wrong in it.
pub fn read(file: &str, text: &str) -> Result<BTreeMap<String, String>, Problems> {
    source::check(file, text)?;
    let file: Arc<str> = file.into();
    let mut problems = Problems::new();
    let mut variables = BTreeMap::new();
    let mut rest = text;
    let mut number = 1;
    while !rest.is_empty() {
        let (line, below) = rest.split_once('\n').unwrap_or((rest, ""));
        let mut used = 1;
        match assignment(line, below) {
            Ok(Some(found)) => {
                used += found.more_lines;
                variables.insert(found.name, found.value);
            }
            Ok(None) => {}
            Err((at, message)) => {
                let column = line.get(..at).map_or(0, |before| before.chars().count()) + 1;
                let origin = Origin::new(&file, number, u32::try_from(column).unwrap_or(u32::MAX));
                problems.push(Problem::at(&origin, message));
            }
        }
        for _ in 0..used {
            rest = rest.split_once('\n').map_or("", |(_, below)| below);
            number = number.saturating_add(1);
        }
    }
    problems.or(variables)
}

struct Assignment {
    name: String,
    value: String,
    more_lines: usize,
}

/// What a line sets, or the byte where it goes wrong.
fn assignment(line: &str, below: &str) -> Result<Option<Assignment>, (usize, &'static str)> {
    let start = line.len() - line.trim_start().len();
    let trimmed = line.trim();
    if trimmed.is_empty() || trimmed.starts_with('#') {
        return Ok(None);
    }
    let named = trimmed.strip_prefix("export ").map_or(trimmed, str::trim_start);
    let (name, value) = named.split_once('=').ok_or((start, "expected `NAME=value` or a comment"))?;
    let name = name.trim_end();
    let good = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '.' | '-');
    if !name.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_') || !name.chars().all(good) {
        return Err((start, "the name of a variable has letters, digits and `_` only, and begins with no digit"));
    }
    let value = value.trim_start();
    let at = line.trim_end().len() - value.len();
    let Some(quote) = value.chars().next().filter(|c| matches!(c, '"' | '\'')) else {
        return Ok(Some(Assignment { name: name.to_owned(), value: bare(value).to_owned(), more_lines: 0 }));
    };
    let mut out = String::new();
    let mut more_lines = 0;
    let from_here = line.get(at + 1..).unwrap_or_default();
    let mut characters = from_here.chars().chain("\n".chars()).chain(below.chars());
    loop {
        let c = characters.next().ok_or((at, "this quote is never closed"))?;
        match c {
            _ if c == quote => break,
            '\\' if quote == '"' => out.push(match characters.next() {
                Some('n') => '\n',
                Some('t') => '\t',
                Some('r') => '\r',
                Some(c @ ('"' | '\\' | '$')) => c,
                _ => return Err((at, "in double quotes `\\` begins `\\n`, `\\t`, `\\r`, `\\\"`, `\\\\` or `\\$`; single quotes are literal")),
            }),
            '\n' => {
                more_lines += 1;
                out.push('\n');
            }
            c => out.push(c),
        }
    }
    let after: String = characters.take_while(|c| *c != '\n').collect();
    if !after.trim().is_empty() && !after.trim_start().starts_with('#') {
        return Err((at, "only a comment may follow a quoted value"));
    }
    Ok(Some(Assignment { name: name.to_owned(), value: out, more_lines }))
}

/// A value without quotes, up to a `#` with white space before it.
fn bare(value: &str) -> &str {
    let mut before = ' ';
    for (at, c) in value.char_indices() {
        if c == '#' && before.is_whitespace() {
            return value.get(..at).unwrap_or(value).trim_end();
        }
        before = c;
    }
    value
}
