//! What Metlog's plugin for Sentry sent: messages of type `sentry`, whose payload is an event of that time, packed.

use crate::cut;
use crate::stack::{self, Found, LONGEST_NAME};
use metlog_message::{Fields, Value, wire};
use sentry_types::protocol::v7::{Exception, Frame};
use std::io::Read;

/// Bytes of an unpacked event at the most.
const UNPACKED: u64 = 1024 * 1024;
/// Where the events of different years have their errors.
const ERRORS: [&str; 2] = ["sentry.interfaces.Exception", "exception"];
const STACKS: [&str; 2] = ["sentry.interfaces.Stacktrace", "stacktrace"];

/// The errors of a packed event: base64 of zlib of JSON.
pub fn read(payload: &str) -> Option<Found> {
    let packed = base64(payload.trim())?;
    let mut text = Vec::new();
    let unpacked = flate2::read::ZlibDecoder::new(packed.as_slice()).take(UNPACKED).read_to_end(&mut text);
    unpacked.ok()?;
    let Value::Map(event) = wire::read_value(&text).ok()? else { return None };
    let errors = ERRORS.iter().find_map(|name| event.get(name)?.as_map())?;
    let mut found = Found::new("python");
    match errors.get("values").and_then(Value::as_list) {
        Some(values) => {
            values.iter().filter_map(Value::as_map).for_each(|error| found.push(Some(exception(error, None))))
        }
        None => {
            let stack = STACKS.iter().find_map(|name| event.get(name)?.as_map());
            found.push(Some(exception(errors, stack)));
        }
    }
    found.packed = true;
    found.before = event.get("message").and_then(Value::as_str).map(str::to_owned);
    (!found.chain.is_empty()).then_some(found)
}

fn exception(error: &Fields, stack: Option<&Fields>) -> Exception {
    let stack = error.get("stacktrace").and_then(Value::as_map).or(stack);
    let frames = stack.and_then(|stack| stack.get("frames")).and_then(Value::as_list).unwrap_or_default();
    let told = |name: &str| error.get(name).map(Value::to_text).unwrap_or_default();
    let mut exception =
        stack::exception(&told("type"), &told("value"), frames.iter().filter_map(Value::as_map).map(frame).collect());
    exception.module = error.get("module").and_then(Value::as_str).map(|module| cut::line(module, LONGEST_NAME));
    exception
}

/// A frame without the values of its variables: whoever reads issues need not see them.
fn frame(frame: &Fields) -> Frame {
    let text = |name: &str| frame.get(name).and_then(Value::as_str).map(|text| cut::line(text, LONGEST_NAME));
    let path = text("abs_path").unwrap_or_default();
    Frame {
        function: text("function"),
        module: text("module"),
        filename: text("filename"),
        lineno: frame.get("lineno").and_then(Value::as_i64).and_then(|line| line.try_into().ok()),
        context_line: text("context_line"),
        in_app: Some(crate::python::is_in_app(&path)),
        abs_path: Some(path).filter(|path| !path.is_empty()),
        ..Frame::default()
    }
}

/// RFC 4648; line breaks in between are passed over.
fn base64(text: &str) -> Option<Vec<u8>> {
    let (mut out, mut bits, mut count) = (Vec::new(), 0u32, 0);
    for byte in text.trim_end_matches('=').bytes().filter(|byte| !byte.is_ascii_whitespace()) {
        let digit = match byte {
            b'A'..=b'Z' => byte - b'A',
            b'a'..=b'z' => byte - b'a' + 26,
            b'0'..=b'9' => byte - b'0' + 52,
            b'+' => 62,
            b'/' => 63,
            _ => return None,
        };
        bits = bits << 6 | u32::from(digit);
        count += 6;
        if count >= 8 {
            count -= 8;
            out.push((bits >> count) as u8);
        }
    }
    Some(out).filter(|out| !out.is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Packed by Python: `b64encode(zlib.compress(json.dumps(event)))`, an event of raven 2's form.
    const EVENT: &str = "eJxtUU1PwzAM/StVLgWJbW0ZX73vxBFOTFOVZS4Ly5LIScuqqf8dO1qRhohycJ79nu2Xs/DovkBFUWeiFHeZCGAjDnNtI2ArFYT5W5TqEJFiKjqLFuURAoVrijuronaW2a22OxaQ29B4GfeMLQL2C+n9Iuydn/uB80e36wxLCQYZabUBS6ITdik02oJ1BJYVvTxCoxxNdeJZ12IHbcYtbw4w3NZiQyWXdMNE1sroIMQObRbl1sCaSjes7F2IV2KJ3ksMaUMvQ/h2uGONfN+xE1UuxnEzUhX0ZFCjU7Ioq/vlw+PT84vcKhro75t7qc541PF3t8mmANgDNtPeZFKR/DfUwBCyLP79jNVJgb9YfhZx8In9CsMK0aFIa5gugfkhv/YbJm4QvEnU9I9RHj3nKpp9VjzMivK9LOqC70diQwjy86pJnbHy+AOrsbJw";

    #[test]
    fn an_event_of_raven() {
        let found = read(EVENT).unwrap();
        assert_eq!(found.before.as_deref(), Some("KeyError: 'k'"));
        let [error] = found.chain.as_slice() else { panic!("{found:?}") };
        assert_eq!(
            (error.ty.as_str(), error.value.as_deref(), error.module.as_deref()),
            ("KeyError", Some("'k'"), Some("exceptions"))
        );
        let frames = &error.stacktrace.as_ref().unwrap().frames;
        assert_eq!(
            (frames[0].function.as_deref(), frames[0].lineno, frames[0].in_app),
            (Some("find"), Some(12), Some(true))
        );
        assert_eq!((frames[0].filename.as_deref(), frames[0].module.as_deref()), (Some("shop.py"), Some("shop")));
        assert!(!format!("{found:?}").contains("hunter2"), "variables stay out");
    }

    #[test]
    fn what_is_none_is_left_alone() {
        for text in ["", "plain text", "====", "AAAA", "eJwDAAAAAAE=", "日本"] {
            assert!(read(text).is_none(), "{text}");
        }
    }
}
