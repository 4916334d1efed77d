//! Paths with `*` and `?` in them.

use std::ffi::OsStr;
use std::io;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

/// A path of whose steps some are patterns.
#[derive(Debug, Clone)]
pub struct Pattern {
    root: PathBuf,
    steps: Vec<String>,
}

impl Pattern {
    /// Reads a path; `*` is any part of a name, `?` one byte of it.
    pub fn parse(path: &str) -> Result<Self, String> {
        let name = path.rsplit('/').next().unwrap_or_default();
        if matches!(name, "" | "." | "..") {
            return Err(format!(
                "`paths` has `{path}`, which is not a file; expected a path such as `/var/log/app/*.jsonl`"
            ));
        }
        if name.contains("**") || path.contains("/**/") {
            return Err(format!("`paths` has `{path}`: `**` is not understood; write one `*` for each folder"));
        }
        let first = path.split('/').position(is_wild).unwrap_or(path.split('/').count() - 1);
        let root: Vec<&str> = path.split('/').take(first).collect();
        let root = if root == [""] { "/".to_owned() } else { root.join("/") };
        let steps = path.split('/').skip(first).filter(|step| !step.is_empty()).map(str::to_owned).collect();
        Ok(Pattern { root: PathBuf::from(root), steps })
    }

    /// Whether it names one file, which the operator has chosen then, link or not.
    pub fn is_plain(&self) -> bool {
        !self.steps.iter().any(|step| is_wild(step))
    }

    /// Adds what there is that fits. A folder that is not there holds nothing.
    pub fn find(&self, found: &mut Vec<PathBuf>) -> io::Result<()> {
        descend(&self.root, &self.steps, found)
    }
}

fn is_wild(step: &str) -> bool {
    step.contains(['*', '?'])
}

fn descend(folder: &Path, steps: &[String], found: &mut Vec<PathBuf>) -> io::Result<()> {
    let Some((step, rest)) = steps.split_first() else {
        found.push(folder.to_owned());
        return Ok(());
    };
    if !is_wild(step) {
        let next = folder.join(step);
        return if rest.is_empty() && !next.exists() { Ok(()) } else { descend(&next, rest, found) };
    }
    let here = if folder.as_os_str().is_empty() { Path::new(".") } else { folder };
    let entries = match std::fs::read_dir(here) {
        Err(error) if matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory) => return Ok(()),
        entries => entries.map_err(|error| io::Error::new(error.kind(), format!("{}: {error}", here.display())))?,
    };
    for entry in entries {
        let entry = entry?;
        if fits(step.as_bytes(), &entry.file_name()) && (rest.is_empty() || entry.file_type()?.is_dir()) {
            descend(&folder.join(entry.file_name()), rest, found)?;
        }
    }
    Ok(())
}

/// Whether a name fits a pattern. Hidden files fit only what begins with a dot itself, as in shells.
fn fits(pattern: &[u8], name: &OsStr) -> bool {
    let name = name.as_bytes();
    if name.first() == Some(&b'.') && pattern.first() != Some(&b'.') {
        return false;
    }
    let (mut at, mut of) = (0, 0);
    // Where to go on if what follows the last star does not fit: the star takes one byte more.
    let mut again = None;
    loop {
        match (pattern.get(of), name.get(at)) {
            (Some(b'*'), _) => {
                again = Some((of + 1, at));
                of += 1;
                continue;
            }
            (None, None) => return true,
            (Some(b'?'), Some(_)) => {}
            (Some(wanted), Some(byte)) if wanted == byte => {}
            _ => match again {
                Some((after, from)) if from < name.len() => {
                    (of, at) = (after, from + 1);
                    again = Some((after, from + 1));
                    continue;
                }
                _ => return false,
            },
        }
        at += 1;
        of += 1;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn stars_and_question_marks() {
        for (pattern, name, right) in [
            ("*.jsonl", "a.jsonl", true),
            ("*.jsonl", ".jsonl", false),
            (".*", ".jsonl", true),
            ("*.jsonl", "a.jsonl.1", false),
            ("*.jsonl*", "a.jsonl.1", true),
            ("a?c", "abc", true),
            ("a?c", "ac", false),
            ("*a*b", "xaxbab", true),
            ("*a*b", "xaxba", false),
            ("*", "", true),
            ("a*", "a", true),
            ("**a", "ba", true),
        ] {
            assert_eq!(fits(pattern.as_bytes(), OsStr::new(name)), right, "{pattern} {name}");
        }
        let long = "a".repeat(10_000);
        assert!(!fits(b"*a*a*a*b", OsStr::new(&long)), "and in no time");
    }

    #[test]
    fn what_is_not_a_pattern_is_the_folder_to_begin_in() {
        let parsed = |path| Pattern::parse(path).map(|pattern| (pattern.root.clone(), pattern.steps.join("/")));
        assert_eq!(parsed("/var/log/*/x.log"), Ok(("/var/log".into(), "*/x.log".into())));
        assert_eq!(parsed("/x"), Ok(("/".into(), "x".into())));
        assert_eq!(parsed("logs/x"), Ok(("logs".into(), "x".into())));
        assert_eq!(parsed("*.x"), Ok(("".into(), "*.x".into())));
        assert!(parsed("/var/log/").is_err() && parsed("a/**/b").is_err() && parsed("").is_err());
    }
}
