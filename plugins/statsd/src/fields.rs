//! Values of a JSON object, found in its bytes.
//!
//! The head scan has vouched for the bytes; what is not as it should be is not found, and never more than passed over.

use memchr::memchr2;
use metlog_message::{Value, wire};
use std::borrow::Cow;

/// The values under these names, as they are written. Of two equal names the last one counts, as for the reader.
pub fn find<'a, const N: usize>(object: &'a [u8], names: [&str; N]) -> [Option<&'a [u8]>; N] {
    let mut found = [None; N];
    each(object, |key, value| {
        if let Some(place) = names.iter().position(|name| key == name.as_bytes()).and_then(|at| found.get_mut(at)) {
            *place = Some(value);
        }
    });
    found
}

/// Each name and its value in turn.
pub fn each<'a>(object: &'a [u8], mut see: impl FnMut(&[u8], &'a [u8])) {
    let mut walk = Walk { bytes: object, at: 0 };
    let _end_or_surprise = walk.object(&mut see);
}

/// The text of a value that is one.
pub fn text(value: &[u8]) -> Option<Cow<'_, str>> {
    let inside = value.strip_prefix(b"\"")?.strip_suffix(b"\"")?;
    if !inside.contains(&b'\\') {
        return std::str::from_utf8(inside).ok().map(Cow::Borrowed);
    }
    match wire::read_value(value) {
        Ok(Value::Str(text)) => Some(Cow::Owned(text)),
        _ => None,
    }
}

/// The text of a text, or a number or truth as it is written.
pub fn word(value: &[u8]) -> Option<Cow<'_, str>> {
    match value.first()? {
        b'"' => text(value),
        b'-' | b'0'..=b'9' | b't' | b'f' => std::str::from_utf8(value).ok().map(Cow::Borrowed),
        _ => None,
    }
}

/// The number of a number, or of a text that holds one. Infinities and what is not a number are none.
pub fn number(value: &[u8]) -> Option<f64> {
    let word = word(value)?;
    let digits = word.trim();
    // Rust would take `infinity`, too.
    if !digits.bytes().all(|byte| byte.is_ascii_digit() || b"+-.eE".contains(&byte)) {
        return None;
    }
    digits.parse().ok().filter(|number: &f64| number.is_finite())
}

struct Walk<'a> {
    bytes: &'a [u8],
    at: usize,
}

impl<'a> Walk<'a> {
    fn object(&mut self, see: &mut impl FnMut(&[u8], &'a [u8])) -> Option<()> {
        self.blanks();
        self.take(b'{')?;
        loop {
            self.blanks();
            let quoted = self.value()?;
            let raw = quoted.strip_prefix(b"\"")?.strip_suffix(b"\"")?;
            self.blanks();
            self.take(b':')?;
            self.blanks();
            let value = self.value()?;
            if raw.contains(&b'\\') {
                see(text(quoted)?.as_bytes(), value);
            } else {
                see(raw, value);
            }
            self.blanks();
            self.take(b',')?;
        }
    }

    fn blanks(&mut self) {
        while matches!(self.bytes.get(self.at), Some(b' ' | b'\n' | b'\r' | b'\t')) {
            self.at += 1;
        }
    }

    fn take(&mut self, byte: u8) -> Option<()> {
        (*self.bytes.get(self.at)? == byte).then(|| self.at += 1)
    }

    fn value(&mut self) -> Option<&'a [u8]> {
        let start = self.at;
        match self.bytes.get(start)? {
            b'"' => self.string()?,
            b'{' | b'[' => self.nested()?,
            _ => {
                let rest = self.bytes.get(start..)?;
                self.at += rest.iter().position(|byte| b",]} \t\r\n".contains(byte)).unwrap_or(rest.len());
            }
        }
        self.bytes.get(start..self.at).filter(|value| !value.is_empty())
    }

    fn string(&mut self) -> Option<()> {
        self.at += 1;
        loop {
            let found = self.at + memchr2(b'"', b'\\', self.bytes.get(self.at..)?)?;
            let quote = *self.bytes.get(found)? == b'"';
            self.at = found + if quote { 1 } else { 2 };
            if quote {
                return Some(());
            }
        }
    }

    fn nested(&mut self) -> Option<()> {
        let mut depth = 0_usize;
        loop {
            match self.bytes.get(self.at)? {
                b'"' => {
                    self.string()?;
                    continue;
                }
                b'{' | b'[' => depth += 1,
                b'}' | b']' => depth -= 1,
                _ => {}
            }
            self.at += 1;
            if depth == 0 {
                return Some(());
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn finds_what_is_there_and_the_last_of_two() {
        let object = br#"{ "a" : {"name":"no","x":["}",{"]":1}]} , "name":"first","n\u0061me":"last","rate":0.5}"#;
        let [name, rate, none] = find(object, ["name", "rate", "x"]);
        assert_eq!((name.and_then(text), rate.and_then(number), none), (Some("last".into()), Some(0.5), None));
        assert_eq!(find(b"{}", ["a"]), [None]);
    }

    #[test]
    fn numbers_are_numbers_or_texts_of_them() {
        let all: [(&[u8], Option<f64>); 10] = [
            (b"1", Some(1.0)),
            (b"\" -2.5 \"", Some(-2.5)),
            (b"1e3", Some(1000.0)),
            (b"\"1\"", Some(1.0)),
            (b"\"inf\"", None),
            (b"\"NaN\"", None),
            (b"\"\"", None),
            (b"1e999", None),
            (b"true", None),
            (b"[1]", None),
        ];
        for (text, expected) in all {
            assert_eq!(number(text), expected, "{}", String::from_utf8_lossy(text));
        }
    }

    #[test]
    fn broken_bytes_are_passed_over() {
        for broken in
            [&b""[..], b"{", b"{\"a", b"{\"a\"", b"{\"a\":", b"{\"a\":\"", b"{\"a\":[", b"{\"a\":\"\\", b"}", b"{,}"]
        {
            assert_eq!(find(broken, ["a"]), [None]);
        }
    }
}
