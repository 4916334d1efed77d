//! Passwords and tokens: kept out of logs, and readable from a file of their own.

use crate::{Kind, Node, Origin, Problem, Problems, source};
use serde::de::Visitor;
use serde::{Deserialize, Deserializer};
use std::fmt;
use std::path::Path;

/// Larger than any key or certificate; a secret's file is given by mistake more often than it is long.
const MAX_SECRET: usize = 64 * 1024;

/// Text that does not print. There is deliberately no way to serialize it.
#[derive(Clone, PartialEq, Eq, Default)]
pub struct Secret(String);

impl Secret {
    /// Wraps it.
    pub fn new(text: impl Into<String>) -> Self {
        Secret(text.into())
    }

    /// What it asks a deserializer for: by this name ours knows not to show what it found in a secret's place.
    pub(crate) const TYPE: &'static str = "metlog_settings::Secret";

    /// What a file holds, without the end of its last line: for secrets that are read again while we run.
    ///
    /// # Errors
    /// The path and what is wrong with it: it cannot be read, or holds only blanks, a NUL, or more than any secret.
    pub fn from_file(path: &Path) -> Result<Self, String> {
        let text = source::read_file(path, MAX_SECRET).map_err(|problem| problem.to_string())?;
        match text.trim_end_matches(['\r', '\n']) {
            secret if secret.trim().is_empty() => Err(format!("{}: it is empty", path.display())),
            secret if secret.contains('\0') => Err(format!("{}: it holds a NUL", path.display())),
            secret => Ok(Secret::new(secret)),
        }
    }

    /// The text itself. Do not put it into an error or a log.
    pub fn reveal(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("***")
    }
}

impl fmt::Display for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("***")
    }
}

impl<'de> Deserialize<'de> for Secret {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Text;
        impl<'de> Visitor<'de> for Text {
            type Value = Secret;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("text")
            }
            fn visit_newtype_struct<D: Deserializer<'de>>(self, inner: D) -> Result<Secret, D::Error> {
                String::deserialize(inner).map(Secret)
            }
        }
        deserializer.deserialize_newtype_struct(Secret::TYPE, Text)
    }
}

impl Node {
    /// For each of `keys`, lets `KEY_file = "path"` supply `KEY`: the file's content without its last newline. Relative
    /// paths start at the current directory, as all paths in settings do.
    ///
    /// # Errors
    /// All that is wrong: both given, or a file that cannot be read.
    pub fn resolve_files(&mut self, keys: &[&str]) -> Result<(), Problems> {
        let mut problems = Problems::new();
        let Some(table) = self.as_table_mut() else { return Ok(()) };
        for key in keys {
            let file_key = format!("{key}_file");
            let place = table.key_origin(&file_key).cloned();
            let (Some(place), Some(node)) = (place, table.remove(&file_key)) else { continue };
            if table.get(key).is_some() {
                problems
                    .push(Problem::at(&place, format!("`{key}` and `{file_key}` are both set; keep one of the two")));
            } else if let Some(secret) = problems.note(from_file(&file_key, &node)) {
                table.insert(*key, place, secret);
            }
        }
        problems.or(())
    }
}

fn from_file(key: &str, node: &Node) -> Result<Node, Problem> {
    let wrong = |message: String| Problem::at(&node.origin, format!("`{key}`: {message}"));
    let Kind::Text(path) = &node.kind else {
        return Err(wrong("expected the path of a file".into()));
    };
    let shown = node.written.as_deref().unwrap_or(path);
    let text = source::read_file(Path::new(path), MAX_SECRET).map_err(|problem| {
        let place = problem.origin.filter(|origin: &Origin| origin.line > 0);
        let place = place.map(|origin| format!(":{}:{}", origin.line, origin.column)).unwrap_or_default();
        wrong(format!("{shown}{place} {}", problem.message))
    })?;
    let text = text.strip_suffix('\n').map_or(text.as_str(), |text| text.strip_suffix('\r').unwrap_or(text));
    let written = Some(format!("the content of {shown}").into());
    Ok(Node { origin: node.origin.clone(), kind: Kind::Text(text.to_owned()), written })
}
