//! What events are grouped by: the type of an error and where it happened.

use crate::cut;
use crate::stack::{Found, LONGEST_NAME};
use metlog_message::{Fields, Message, Value};
use sentry_types::protocol::v7::Frame;

/// What Sentry itself would group by.
const DEFAULT: &str = "{{ default }}";
/// Parts of a fingerprint at the most.
const PARTS: usize = 8;

/// One part of what makes two events the same issue.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Part {
    /// The type of the error, or of a message without one.
    Type,
    /// Where it happened; where nobody knows, what Sentry groups by.
    Place,
    /// The logger.
    Logger,
    /// What Sentry groups by.
    Default,
    /// A field.
    Field(String),
}

impl Part {
    /// Reads the setting `fingerprint`.
    pub fn all(setting: &[String]) -> Result<Vec<Part>, String> {
        if setting.len() > PARTS {
            return Err(format!("`fingerprint` has {} parts; {PARTS} are enough to tell issues apart", setting.len()));
        }
        let part = |part: &String| match part.as_str() {
            "type" => Ok(Part::Type),
            "place" => Ok(Part::Place),
            "logger" => Ok(Part::Logger),
            "default" | DEFAULT => Ok(Part::Default),
            field => match field.strip_prefix("field:") {
                Some(path) if !path.is_empty() => Ok(Part::Field(path.to_owned())),
                _ => Err(format!(
                    "`fingerprint` has the part {field:?}; there are `type`, `place`, `logger`, `default` and `field:NAME`"
                )),
            },
        };
        setting.iter().map(part).collect()
    }
}

/// The fingerprint of a message.
pub fn fingerprint(parts: &[Part], message: &Message, found: Option<&Found>, place: Option<&str>) -> Vec<String> {
    let part = |part: &Part| match part {
        Part::Type => match found.and_then(|found| found.chain.last()) {
            Some(error) => match &error.module {
                Some(module) => format!("{module}.{}", error.ty),
                None => error.ty.clone(),
            },
            None => cut::line(&message.kind, LONGEST_NAME),
        },
        Part::Place => place.unwrap_or(DEFAULT).to_owned(),
        Part::Logger => cut::line(&message.logger, LONGEST_NAME),
        Part::Default => DEFAULT.to_owned(),
        Part::Field(path) => match message.fields.at(path) {
            Some(value) => cut::line(&value.to_text(), LONGEST_NAME),
            None => "-".to_owned(),
        },
    };
    parts.iter().map(part).collect()
}

/// Where it happened: file and function, so that a new release which moves lines is no new issue. The line stands in
/// for a function nobody named.
pub fn of(fields: &Fields, found: Option<&Found>) -> Option<String> {
    let stack = found.and_then(|found| found.chain.iter().rev().find_map(|error| error.stacktrace.as_ref()));
    let frame = stack.and_then(|stack| {
        let ours = stack.frames.iter().rev().find(|frame| frame.in_app == Some(true));
        ours.or(stack.frames.last())
    });
    match frame {
        Some(Frame { filename, function, lineno, .. }) => {
            said(filename.clone(), function.clone(), lineno.map(|line| line.to_string()))
        }
        None => {
            let text = |names: &[&str]| {
                let value = names.iter().find_map(|name| fields.get(name))?;
                match value {
                    Value::Str(_) | Value::Int(_) | Value::UInt(_) => Some(cut::line(&value.to_text(), LONGEST_NAME)),
                    _ => None,
                }
                .filter(|text| !text.is_empty())
            };
            said(
                text(&["file", "file_path", "filename", "pathname", "module"]),
                text(&["function", "function_name", "funcName"]),
                text(&["line", "line_number", "lineno"]),
            )
        }
    }
}

fn said(file: Option<String>, function: Option<String>, line: Option<String>) -> Option<String> {
    match (file, function, line) {
        (Some(file), Some(function), _) => Some(format!("{file}:{function}")),
        (Some(file), None, Some(line)) => Some(format!("{file}:{line}")),
        (None, Some(function), _) => Some(function),
        _ => None,
    }
}
