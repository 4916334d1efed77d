//! Tracebacks as Python prints them.

use crate::cut;
use crate::stack::{self, Found};
use sentry_types::protocol::v7::{Exception, Frame};

const TRACEBACK: &str = "Traceback (most recent call last):";
/// What stands between an exception and the one that came of it.
const BETWEEN: [&str; 2] = [
    "During handling of the above exception, another exception occurred:",
    "The above exception was the direct cause of the following exception:",
];

/// Where installed packages are.
const LIBRARIES: [&str; 2] = ["/site-packages/", "/dist-packages/"];

enum Part {
    Frames,
    Value(String),
    Between,
}

/// The exceptions of a text, the last raised at the end, which is Python's order and Sentry's.
pub fn read(text: &str) -> Option<Found> {
    let mut lines = text.lines();
    let mut before: Vec<&str> = Vec::new();
    lines.by_ref().find(|line| {
        let found = line.trim() == TRACEBACK;
        if !found {
            before.push(line);
        }
        found
    })?;
    let (mut found, mut frames, mut part) = (Found::new("python"), Vec::new(), Part::Frames);
    for line in lines {
        part = match part {
            _ if line.trim() == TRACEBACK => {
                found.push(exception(&mut frames, part));
                Part::Frames
            }
            Part::Frames => match frame(line) {
                Some(frame) => {
                    frames.push(frame);
                    Part::Frames
                }
                None if line.starts_with("    ") => {
                    context(&mut frames, line);
                    Part::Frames
                }
                // `[Previous line repeated 996 more times]`
                None if line.trim().is_empty() || line.starts_with("  ") => Part::Frames,
                None => Part::Value(line.to_owned()),
            },
            Part::Value(_) if BETWEEN.contains(&line.trim()) => {
                found.push(exception(&mut frames, part));
                Part::Between
            }
            Part::Value(mut value) => {
                if value.len() < stack::LONGEST_VALUE {
                    value.push('\n');
                    value.push_str(line);
                }
                Part::Value(value)
            }
            Part::Between => Part::Between,
        };
    }
    found.push(exception(&mut frames, part));
    let before = before.join("\n");
    found.before = Some(before.trim_end().to_owned()).filter(|before| !before.is_empty());
    (!found.chain.is_empty()).then_some(found)
}

/// `  File "app.py", line 7, in <module>`; syntax errors have no function.
fn frame(line: &str) -> Option<Frame> {
    let (file, rest) = line.trim_start().strip_prefix("File \"")?.rsplit_once("\", line ")?;
    let (number, function) = rest.split_once(", in ").map_or((rest, None), |(number, name)| (number, Some(name)));
    let (file, number) = (file.replace('\\', "/"), number.trim().parse().ok()?);
    let library = LIBRARIES.iter().find_map(|part| Some(file.rsplit_once(part)?.1));
    Some(Frame {
        function: function.map(|name| cut::line(name, stack::LONGEST_NAME)),
        filename: Some(cut::line(library.unwrap_or(&file), stack::LONGEST_NAME)),
        abs_path: library.map(|_| cut::line(&file, stack::LONGEST_NAME)),
        lineno: Some(number),
        in_app: Some(is_in_app(&file)),
        ..Frame::default()
    })
}

/// Whether a file is the application's own, and no library.
pub fn is_in_app(path: &str) -> bool {
    let is_library = LIBRARIES.iter().any(|part| path.contains(part)) || path.contains("/lib/python");
    !is_library && !path.starts_with("<frozen")
}

/// The source line below a frame; the one below that, which underlines a part of it, is none.
fn context(frames: &mut [Frame], line: &str) {
    let line = line.trim();
    if let Some(frame) = frames.last_mut()
        && frame.context_line.is_none()
        && line.chars().any(|mark| !matches!(mark, '^' | '~' | ' '))
    {
        frame.context_line = Some(cut::line(line, stack::LONGEST_NAME));
    }
}

/// `json.decoder.JSONDecodeError: Expecting value`; `KeyboardInterrupt` says no more than that.
fn exception(frames: &mut Vec<Frame>, part: Part) -> Option<Exception> {
    let frames = std::mem::take(frames);
    let said = match &part {
        Part::Value(said) => said.trim_end(),
        Part::Frames if !frames.is_empty() => "",
        _ => return None,
    };
    let (name, value) = match said.split_once(':') {
        Some((name, value)) if is_name(name) => (name, value.trim_start()),
        None if is_name(said) => (said, ""),
        _ => ("Exception", said),
    };
    let (module, ty) = name.rsplit_once('.').map_or((None, name), |(module, ty)| (Some(module), ty));
    let mut exception = stack::exception(ty, value, frames);
    exception.module = module.map(|module| cut::line(module, stack::LONGEST_NAME));
    Some(exception)
}

fn is_name(text: &str) -> bool {
    !text.is_empty() && text.chars().all(|part| part.is_alphanumeric() || matches!(part, '_' | '.' | '<' | '>'))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_chain_with_everything_python_prints() {
        let text = r#"lookup failed
for bob
Traceback (most recent call last):
  File "/srv/app/shop.py", line 12, in find
    return table[key]
           ~~~~~^^^^^
KeyError: 'k'

During handling of the above exception, another exception occurred:

Traceback (most recent call last):
  File "/srv/app/main.py", line 3, in <module>
    find()
  File "/venv/lib/python3.12/site-packages/web/app.py", line 9, in call
  [Previous line repeated 996 more times]
  File "C:\odd, line 1, in x.py", line 4
shop.errors.NotFound: no such
thing: k
"#;
        let found = read(text).unwrap();
        assert_eq!(found.before.as_deref(), Some("lookup failed\nfor bob"));
        let [first, second] = found.chain.as_slice() else { panic!("{found:?}") };
        assert_eq!((first.ty.as_str(), first.value.as_deref()), ("KeyError", Some("'k'")));
        let frame = &first.stacktrace.as_ref().unwrap().frames[0];
        assert_eq!((frame.function.as_deref(), frame.lineno), (Some("find"), Some(12)));
        assert_eq!((frame.context_line.as_deref(), frame.in_app), (Some("return table[key]"), Some(true)));
        assert_eq!((second.ty.as_str(), second.module.as_deref()), ("NotFound", Some("shop.errors")));
        assert_eq!(second.value.as_deref(), Some("no such\nthing: k"));
        let files: Vec<_> =
            second.stacktrace.iter().flat_map(|stack| &stack.frames).map(|frame| frame.filename.as_deref()).collect();
        assert_eq!(files, [Some("/srv/app/main.py"), Some("web/app.py"), Some("C:/odd, line 1, in x.py")]);
    }

    #[test]
    fn what_is_none_is_left_alone() {
        assert!(read("no trace").is_none());
        assert!(read("Traceback (most recent call last):").is_none());
        let bare =
            read("Traceback (most recent call last):\n  File \"a.py\", line 1, in f\nKeyboardInterrupt").unwrap();
        assert_eq!((bare.chain[0].ty.as_str(), &bare.chain[0].value), ("KeyboardInterrupt", &None));
    }
}
