//! Paths with placeholders, which messages fill.

use metlog_message::{Severity, Timestamp};
use std::path::{Path, PathBuf};

/// No value becomes a longer part of a name.
const LONGEST_VALUE: usize = 100;
/// What file systems take as a name.
const LONGEST_NAME: usize = 255;

/// A path in two halves: the folder the operator chose, and what messages have a say in.
#[derive(Debug)]
pub struct Template {
    /// The folder that is never left.
    pub base: PathBuf,
    /// The rest, by steps.
    steps: Vec<Vec<Part>>,
}

#[derive(Debug, PartialEq)]
enum Part {
    Literal(String),
    Kind,
    Logger,
    Severity,
    Date,
    Hour,
}

/// What a message fills a template with.
pub struct Values<'a> {
    pub kind: &'a str,
    pub logger: &'a str,
    pub severity: Severity,
    pub timestamp: Timestamp,
}

impl Template {
    /// Reads a path; `spare` bytes of every file's name are left for what is appended when it is rotated. None is a path
    /// without placeholders.
    pub fn parse(path: &str, spare: usize) -> Result<Option<Self>, String> {
        let Some(first) = path.find(['{', '}']) else { return Ok(None) };
        let base_end = path.get(..first).and_then(|before| before.rfind('/')).map_or(0, |slash| slash + 1);
        let (base, rest) = path.split_at_checked(base_end).ok_or("a broken path")?;
        let mut steps = Vec::new();
        for step in rest.split('/') {
            let parts = parts(step).map_err(|why| format!("`path` is `{path}`: {why}"))?;
            let spare = if steps.len() == rest.matches('/').count() { spare } else { 0 };
            let longest: usize = parts.iter().map(Part::longest).sum();
            if longest + spare > LONGEST_NAME {
                return Err(format!(
                    "`path` is `{path}`: `{step}` can become {longest} bytes long, and a name has {} at the most{}",
                    LONGEST_NAME - spare,
                    if spare > 0 { " if it is rotated" } else { "" }
                ));
            }
            steps.push(parts);
        }
        Ok(Some(Template { base: Path::new(base).to_owned(), steps }))
    }

    /// The path beneath the base for a message.
    pub fn render(&self, values: &Values<'_>, out: &mut String) {
        out.clear();
        for (at, step) in self.steps.iter().enumerate() {
            if at > 0 {
                out.push('/');
            }
            for part in step {
                match part {
                    Part::Literal(text) => out.push_str(text),
                    Part::Kind => tame(values.kind, out),
                    Part::Logger => tame(values.logger, out),
                    Part::Severity => out.push_str(values.severity.name()),
                    Part::Date => out.push_str(values.timestamp.to_string().get(..10).unwrap_or("0000-00-00")),
                    Part::Hour => out.push_str(values.timestamp.to_string().get(11..13).unwrap_or("00")),
                }
            }
        }
    }

    /// How many folders down the files are.
    pub fn depth(&self) -> usize {
        self.steps.len().saturating_sub(1)
    }

    /// Whether a name may be one of this template's, so many folders down: as far as its ends tell.
    pub fn may_be(&self, depth: usize, name: &str) -> bool {
        let Some(step) = self.steps.get(depth) else { return false };
        let literal = |part: Option<&Part>, test: fn(&str, &str) -> bool| match part {
            Some(Part::Literal(text)) => test(name, text),
            _ => true,
        };
        literal(step.first(), |name, text| name.starts_with(text))
            && literal(step.last(), |name, text| name.ends_with(text))
    }
}

fn parts(step: &str) -> Result<Vec<Part>, String> {
    if matches!(step, "" | "." | "..") {
        return Err(format!("`{step}` cannot stand behind a placeholder, only the name of a folder or file"));
    }
    let mut parts = Vec::new();
    let mut rest = step;
    while let Some(open) = rest.find(['{', '}']) {
        let (before, from) = rest.split_at_checked(open).unwrap_or((rest, ""));
        if !before.is_empty() {
            parts.push(Part::Literal(before.to_owned()));
        }
        let (name, after) = from.strip_prefix('{').and_then(|name| name.split_once('}')).ok_or(
            "a brace without its other half; placeholders are {type}, {logger}, {severity}, {date} and {hour}",
        )?;
        parts.push(match name {
            "type" => Part::Kind,
            "logger" => Part::Logger,
            "severity" => Part::Severity,
            "date" => Part::Date,
            "hour" => Part::Hour,
            other => {
                let known = ["type", "logger", "severity", "date", "hour"];
                let nearest = metlog_settings::suggest::nearest(other, known);
                let meant = nearest.map(|name| format!(", did you mean {{{name}}}?")).unwrap_or(".".to_owned());
                return Err(format!(
                    "there is no placeholder {{{other}}}{meant} There are {{type}}, {{logger}}, {{severity}}, {{date}} \
                     and {{hour}}"
                ));
            }
        });
        rest = after;
    }
    if !rest.is_empty() {
        parts.push(Part::Literal(rest.to_owned()));
    }
    Ok(parts)
}

impl Part {
    fn longest(&self) -> usize {
        match self {
            Part::Literal(text) => text.len(),
            Part::Kind | Part::Logger => LONGEST_VALUE,
            Part::Severity => Severity::Informational.name().len(),
            Part::Date => 10,
            Part::Hour => 2,
        }
    }
}

/// A message's value as part of a name: letters, digits, `_`, `-` and single dots, not beginning with what hides a file
/// or looks like an option, never empty.
fn tame(value: &str, out: &mut String) {
    // As if a dot stood before it: so none begins it.
    let mut before = '.';
    for (at, character) in value.chars().take(LONGEST_VALUE).enumerate() {
        let character = match character {
            '.' if before == '.' => '_',
            '-' if at == 0 => '_',
            c if c.is_ascii_alphanumeric() || matches!(c, '_' | '-' | '.') => c,
            _ => '_',
        };
        out.push(character);
        before = character;
    }
    if value.is_empty() {
        out.push('_');
    }
}
