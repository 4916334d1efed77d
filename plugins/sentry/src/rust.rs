//! Errors as our client and the usual error-report crates print them, and the backtraces of Rust's standard library.

use crate::cut;
use crate::stack::{self, Found};
use sentry_types::protocol::v7::Frame;

/// Lines behind which a backtrace begins: our client's, and those of error reports.
const STACKS: [&str; 3] = ["Stack:", "Stack backtrace:", "stack backtrace:"];
const CAUSED: &str = "Caused by:";
/// Frames of taking the backtrace and of panicking, which are about how it is told and not about what went wrong.
const TELLING: [&str; 12] = [
    "std::backtrace",
    "backtrace::",
    "metlog::",
    "std::panicking",
    "core::panicking",
    "std::panic::",
    "rust_begin_unwind",
    "__rustc::rust_begin_unwind",
    "__rust_end_short_backtrace",
    "std::sys::backtrace",
    "std::sys_common::backtrace",
    // What a panic hook is kept in.
    "<alloc::boxed::Box<",
];
/// What begins the names of functions that are not the application's.
const FOREIGN: [&str; 7] = ["std::", "core::", "alloc::", "tokio::", "__rust", "_start", "__libc"];
/// What the system calls before the application begins.
const SYSTEM: [&str; 4] = ["main", "clone", "clone3", "start_thread"];

/// The errors of a text that has causes or a backtrace in it.
pub fn read(text: &str, told: bool) -> Option<Found> {
    let lines: Vec<&str> = text.lines().collect();
    let at = lines.iter().position(|line| STACKS.contains(&line.trim()));
    let (said, stack) = lines.split_at(at.unwrap_or(lines.len()));
    let mut frames = frames(stack.get(1..).unwrap_or_default());
    let mut said = said;
    if at.is_none() {
        // A bare backtrace, as fields hold it.
        let bare = self::frames(&lines);
        if bare.len() > 1 && lines.first().is_some_and(|line| frame(line).is_some()) {
            (said, frames) = (&[], bare);
        }
    }
    // Java and JavaScript list frames between the causes; taken for lines of a text they would tell nonsense.
    let foreign = said.iter().any(|line| line.starts_with([' ', '\t']) && line.trim_start().starts_with("at "));
    let (error, causes) = chain(said);
    if foreign || (frames.is_empty() && causes.is_empty()) {
        return None;
    }

    let mut found = Found::new("native");
    let (before, error) = match error.split_once('\n') {
        Some((before, error)) if told => (Some(before), error),
        _ => (None, error.as_str()),
    };
    // What `exception!` says for whoever says nothing.
    found.before = before.filter(|before| *before != "an error").map(str::to_owned);
    for cause in causes.iter().rev() {
        found.push(Some(stack::exception("Error", cause.trim(), Vec::new())));
    }
    let (ty, value) = match error.strip_prefix("panic: ") {
        Some(value) => ("panic", value),
        None => ("Error", error),
    };
    found.push(Some(stack::exception(ty, value.trim(), frames)));
    Some(found)
}

/// What stands before the first cause, and the causes, outermost first.
fn chain(lines: &[&str]) -> (String, Vec<String>) {
    let (mut error, mut causes): (Vec<&str>, Vec<String>) = (Vec::new(), Vec::new());
    // In the list that error reports print: `Caused by:`, then `    0: …` or an indented text alone.
    let mut listed = false;
    for line in lines {
        if let Some(cause) = line.strip_prefix(CAUSED) {
            listed = cause.trim().is_empty();
            if !listed {
                causes.push(cause.trim().to_owned());
            } else {
                causes.push(String::new());
            }
            continue;
        }
        let numbered = line.trim_start().split_once(": ").filter(|(number, _)| listed && number.parse::<u8>().is_ok());
        match (causes.last_mut(), numbered) {
            (None, _) => error.push(line),
            (Some(last), Some((_, cause))) if last.is_empty() => *last = cause.to_owned(),
            (Some(_), Some((_, cause))) => causes.push(cause.to_owned()),
            (Some(last), None) if last.len() < stack::LONGEST_VALUE => {
                if !last.is_empty() {
                    last.push('\n');
                }
                last.push_str(line.trim());
            }
            _ => {}
        }
    }
    causes.retain(|cause| !cause.trim().is_empty());
    (error.join("\n").trim_end().to_owned(), causes)
}

/// Frames of a backtrace, the outermost call first.
fn frames(lines: &[&str]) -> Vec<Frame> {
    let mut frames: Vec<Frame> = Vec::new();
    for line in lines {
        if let Some(place) = line.trim_start().strip_prefix("at ") {
            if let Some(frame) = frames.last_mut() {
                locate(frame, place);
            }
        } else if let Some(frame) = frame(line).or_else(|| inlined(line).filter(|_| !frames.is_empty())) {
            frames.push(frame);
        }
    }
    let is_telling = |frame: &Frame| {
        frame.function.as_deref().is_some_and(|name| TELLING.iter().any(|begin| name.starts_with(begin)))
    };
    let telling = frames.iter().take_while(|frame| is_telling(frame)).count();
    if telling < frames.len() {
        frames.drain(..telling);
    }
    frames.reverse();
    frames
}

/// `   3: shop::find`, or with an address: `   3:     0x55d0c1 - shop::find::h0123456789abcdef`.
fn frame(line: &str) -> Option<Frame> {
    let (number, rest) = line.trim_start().split_once(':')?;
    number.parse::<u32>().ok()?;
    let rest = rest.strip_prefix(' ')?.trim();
    let name = match rest.split_once(" - ") {
        Some((address, name)) if address.starts_with("0x") => name,
        _ => rest,
    };
    named(name)
}

/// A call that the compiler put into the one before: a name without a number.
fn inlined(line: &str) -> Option<Frame> {
    let name = line.strip_prefix("      ")?.trim();
    named(name).filter(|_| !name.is_empty() && !name.contains(": "))
}

fn named(name: &str) -> Option<Frame> {
    let name = match name.rsplit_once("::h") {
        Some((name, hash)) if hash.len() == 16 && hash.bytes().all(|digit| digit.is_ascii_hexdigit()) => name,
        _ => name,
    };
    let name = cut::line(name, stack::LONGEST_NAME);
    if name.is_empty() {
        return None;
    }
    let bare = name.trim_start_matches(['<', '&', '(']);
    let bare = bare.strip_prefix("dyn ").unwrap_or(bare);
    let package = bare.split_once("::").map(|(package, _)| package);
    let is_word = |package: &&str| package.chars().all(|one| one.is_alphanumeric() || one == '_');
    Some(Frame {
        package: package.filter(is_word).map(str::to_owned),
        in_app: Some(!is_foreign(bare)),
        function: Some(name),
        ..Frame::default()
    })
}

/// Whether a function, without the brackets around its type, belongs to a library that everybody has.
fn is_foreign(bare: &str) -> bool {
    let begins = |name: &str| FOREIGN.iter().any(|begin| name.starts_with(begin));
    // `usize as core::slice::…`: what a primitive does is never the application's.
    let of_primitive = bare.split_once(" as ").is_some_and(|(ty, what)| !ty.contains("::") && begins(what));
    begins(bare) || of_primitive || SYSTEM.contains(&bare)
}

/// `./src/main.rs:10:5`; paths may have colons of their own.
fn locate(frame: &mut Frame, place: &str) {
    let mut parts = place.trim().rsplitn(3, ':');
    let (last, middle, first) = (parts.next(), parts.next(), parts.next());
    let number = |part: Option<&str>| part.and_then(|part| part.parse::<u64>().ok());
    let file = match (first, number(middle), number(last)) {
        (Some(file), Some(line), Some(column)) => {
            (frame.lineno, frame.colno) = (Some(line), Some(column));
            file
        }
        (_, _, Some(line)) => {
            frame.lineno = Some(line);
            place.trim().rsplit_once(':').map_or(place, |(file, _)| file)
        }
        _ => place.trim(),
    };
    let file = cut::line(&file.replace('\\', "/"), stack::LONGEST_NAME);
    if file.starts_with("/rustc/") || file.contains("/.cargo/registry/") || file.contains("/rustlib/src/") {
        frame.in_app = Some(false);
    }
    frame.filename = Some(file.strip_prefix("./").unwrap_or(&file).to_owned());
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn our_client_s_form() {
        let text = "lookup failed\nno such table\nCaused by: disk gone\nfor good\nCaused by: smoke\nStack:\n   \
            0: std::backtrace_rs::backtrace::libunwind::trace\n             at /rustc/abc/library/std/src/x.rs:117:9\n   \
            1: metlog::trouble::with_stack\n             at /x/crates/client/src/trouble.rs:84:21\n   \
            2: <shop::Table as shop::Find>::find::h0123456789abcdef\n             at ./src/table.rs:10:5\n      \
            shop::inlined\n             at C:\\src\\main.rs:11:6\n   \
            3: shop::main\n   4: std::rt::lang_start\n";
        let found = read(text, true).unwrap();
        assert_eq!((found.before.as_deref(), found.platform), (Some("lookup failed"), "native"));
        let said: Vec<_> = found.chain.iter().map(|one| one.value.as_deref().unwrap_or_default()).collect();
        assert_eq!(said, ["smoke", "disk gone\nfor good", "no such table"]);
        let frames = &found.chain[2].stacktrace.as_ref().unwrap().frames;
        let names: Vec<_> = frames.iter().map(|frame| frame.function.as_deref().unwrap_or_default()).collect();
        assert_eq!(names, ["std::rt::lang_start", "shop::main", "shop::inlined", "<shop::Table as shop::Find>::find"]);
        assert_eq!(frames[3].filename.as_deref(), Some("src/table.rs"));
        assert_eq!((frames[3].lineno, frames[3].colno, frames[3].in_app), (Some(10), Some(5), Some(true)));
        assert_eq!((frames[2].filename.as_deref(), frames[2].lineno), (Some("C:/src/main.rs"), Some(11)));
        assert_eq!((frames[3].package.as_deref(), frames[0].in_app), (Some("shop"), Some(false)));
        assert!(found.chain[1].stacktrace.is_none());
    }

    #[test]
    fn the_form_of_error_reports() {
        let text = "cannot start\n\nCaused by:\n    0: no config\n    1: No such file\n       or directory\n\n\
            Stack backtrace:\n   0:     0x55d0 - app::main\n";
        let found = read(text, false).unwrap();
        let said: Vec<_> = found.chain.iter().map(|one| one.value.as_deref().unwrap_or_default()).collect();
        assert_eq!(said, ["No such file\nor directory", "no config", "cannot start"]);
        assert!(found.chain[2].stacktrace.is_some() && found.before.is_none());
        let alone = read("a\n\nCaused by:\n    b: c", false).unwrap();
        assert_eq!(alone.chain[0].value.as_deref(), Some("b: c"));
    }

    #[test]
    fn a_bare_backtrace_and_none() {
        let bare = read("   0: app::f\n             at src/f.rs:1\n   1: app::main\n", false).unwrap();
        let frames = &bare.chain[0].stacktrace.as_ref().unwrap().frames;
        assert_eq!((frames.len(), frames[1].lineno, frames[1].colno), (2, Some(1), None));
        let java = "java.lang.X: a\n\tat shop.A.f(A.java:1)\nCaused by: java.lang.Y: b\n\tat shop.B.g(B.java:2)";
        for text in ["", "Stack:", "text\nStack:\nnothing here", "1: one\nis none", "a: b", java] {
            assert!(read(text, true).is_none(), "{text:?}");
        }
        let panic = read("panic: index out of bounds\nStack:\n   0: core::panicking::panic\n   1: app::f\n", true);
        let panic = panic.unwrap();
        assert_eq!(
            (panic.chain[0].ty.as_str(), panic.chain[0].value.as_deref()),
            ("panic", Some("index out of bounds"))
        );
    }

    #[test]
    fn the_real_thing() {
        let text = format!("it broke\nStack:\n{}", std::backtrace::Backtrace::force_capture());
        let found = read(&text, true).unwrap();
        let frames = &found.chain[0].stacktrace.as_ref().unwrap().frames;
        let last = frames.last().and_then(|frame| frame.function.as_deref()).unwrap_or_default();
        assert!(last.contains("the_real_thing"), "{last}: {text}");
        assert!(frames.last().and_then(|frame| frame.lineno).is_some(), "{text}");
    }
}
