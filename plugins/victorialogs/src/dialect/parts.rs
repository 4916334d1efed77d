//! JSON taken apart without being read, so that a large body costs no more than its text, and a broken part itself.
//!
//! Cuts are exact for JSON. What is none is given out as a part that whoever reads it will refuse.

use memchr::memchr2;

/// The members of an object or the elements of a list. An error is what stands where one should be, and the last.
pub struct Parts<'a> {
    rest: &'a [u8],
    open: u8,
    state: State,
}

#[derive(Clone, Copy, PartialEq)]
enum State {
    Begin,
    Inside,
    Done,
}

/// A name and what it names; elements have no name.
pub type Part<'a> = Result<(&'a [u8], &'a [u8]), &'a [u8]>;

impl<'a> Parts<'a> {
    /// Of an object.
    pub fn members(text: &'a [u8]) -> Self {
        Parts { rest: text.trim_ascii(), open: b'{', state: State::Begin }
    }

    /// Of a list.
    pub fn elements(text: &'a [u8]) -> Self {
        Parts { rest: text.trim_ascii(), open: b'[', state: State::Begin }
    }

    fn wrong(&mut self) -> Option<Part<'a>> {
        self.state = State::Done;
        Some(Err(self.rest)).filter(|_| !self.rest.is_empty())
    }

    fn value(&mut self) -> &'a [u8] {
        let (value, rest) = self.rest.split_at_checked(end(self.rest)).unwrap_or((self.rest, &[]));
        self.rest = rest.trim_ascii_start();
        value.trim_ascii_end()
    }
}

impl<'a> Iterator for Parts<'a> {
    type Item = Part<'a>;

    fn next(&mut self) -> Option<Part<'a>> {
        let close = self.open + 2;
        let (first, after) = match (self.state, self.rest.split_first()) {
            (State::Done, _) => return None,
            (_, Some((byte, after))) => (*byte, after.trim_ascii_start()),
            // It breaks off; the part that does so says it.
            (_, None) => return None,
        };
        let begun = self.state == State::Inside;
        self.state = State::Inside;
        match first {
            b',' if begun => self.rest = after,
            byte if !begun && byte == self.open && after.first() != Some(&close) => self.rest = after,
            byte if begun && byte == close || !begun && byte == self.open => {
                let after = if begun { after } else { after.get(1..).unwrap_or_default().trim_ascii_start() };
                self.rest = after;
                return self.wrong();
            }
            _ => return self.wrong(),
        }
        let whole = self.rest;
        if self.open == b'[' {
            return match self.value() {
                [] => self.wrong(),
                value => Some(Ok((&[], value))),
            };
        }
        let name = self.value();
        match self.rest.split_first() {
            Some((b':', after)) if name.first() == Some(&b'"') => {
                self.rest = after.trim_ascii_start();
                Some(Ok((name, self.value())))
            }
            _ => {
                self.rest = whole;
                self.wrong()
            }
        }
    }
}

/// Where the value ends that begins here; the end of the text, if it does not.
fn end(text: &[u8]) -> usize {
    let (mut at, mut depth) = (0, 0_usize);
    while let Some(byte) = text.get(at) {
        match byte {
            b'"' => at = quoted(text, at + 1),
            b'{' | b'[' => depth += 1,
            b'}' | b']' | b',' | b':' if depth == 0 => return at,
            b'}' | b']' => {
                depth -= 1;
                if depth == 0 {
                    return at + 1;
                }
            }
            _ => {}
        }
        at += 1;
        if depth == 0 && byte == &b'"' {
            return at;
        }
    }
    text.len()
}

/// Where the text's last quotation mark is.
fn quoted(text: &[u8], mut at: usize) -> usize {
    while let Some(found) = text.get(at..).and_then(|rest| memchr2(b'"', b'\\', rest)) {
        at += found;
        if text.get(at) == Some(&b'"') {
            return at;
        }
        at += 2;
    }
    text.len()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn members(text: &str) -> Vec<Result<(&str, &str), &str>> {
        Parts::members(text.as_bytes()).map(shown).collect()
    }

    fn elements(text: &str) -> Vec<Result<&str, &str>> {
        Parts::elements(text.as_bytes()).map(|part| shown(part).map(|(_, value)| value)).collect()
    }

    fn shown(part: Part<'_>) -> Result<(&str, &str), &str> {
        let text = |bytes| std::str::from_utf8(bytes).expect("UTF-8");
        part.map(|(name, value)| (text(name), text(value))).map_err(text)
    }

    #[test]
    fn what_is_right() {
        assert_eq!(
            members(r#" { "a" : [1,{"b":"]}"}] , "c":{}, "d" : -1e5 ,"":"\\" } "#),
            [Ok(("\"a\"", r#"[1,{"b":"]}"}]"#)), Ok(("\"c\"", "{}")), Ok(("\"d\"", "-1e5")), Ok(("\"\"", r#""\\""#)),]
        );
        assert_eq!(elements(r#"[ [1 , 2],"x\"]", null]"#), [Ok("[1 , 2]"), Ok(r#""x\"]""#), Ok("null")]);
        assert!(members("{ }").is_empty() && elements("[]").is_empty() && elements("").is_empty());
    }

    #[test]
    fn what_is_wrong_is_given_out() {
        assert_eq!(elements("[1,2] x"), [Ok("1"), Ok("2"), Err("x")]);
        assert_eq!(elements("[] x"), [Err("x")]);
        assert_eq!(elements("[1,[2,3"), [Ok("1"), Ok("[2,3")]);
        assert_eq!(elements("[1,\"2"), [Ok("1"), Ok("\"2")]);
        assert_eq!(elements("{\"a\":1}"), [Err("{\"a\":1}")]);
        assert_eq!(elements("[1,,2]"), [Ok("1"), Err(",2]")]);
        assert_eq!(members("{\"a\":1,b:2}"), [Ok(("\"a\"", "1")), Err("b:2}")]);
        assert_eq!(members("{\"a\""), [Err("\"a\"")]);
        assert_eq!(members("{\"a\":1"), [Ok(("\"a\"", "1"))]);
        assert_eq!(members("5"), [Err("5")]);
    }

    proptest! {
        #[test]
        fn as_serde_json_finds_them(list in prop::collection::vec("[\\[\\]{},:\"\\\\ a]{0,6}", 0..6), deep: bool) {
            let list: Vec<serde_json::Value> =
                list.iter().map(|text| if deep { serde_json::json!({ text: [text, 5] }) } else { text.as_str().into() }).collect();
            let text = serde_json::to_string(&list).expect("JSON");
            let found: Vec<serde_json::Value> =
                elements(&text).into_iter().map(|part| serde_json::from_str(part.expect("whole")).expect("JSON")).collect();
            prop_assert_eq!(found, list);
        }

        #[test]
        fn parts_come_in_order_whatever_it_is(text in prop_oneof!["[\\[\\]{},:\"\\\\ a1]{0,40}", any::<String>()], object: bool) {
            let parts = if object { Parts::members(text.as_bytes()) } else { Parts::elements(text.as_bytes()) };
            let mut at = text.as_ptr() as usize;
            for part in parts {
                let (name, value) = part.unwrap_or_else(|broken| (broken, &[]));
                for piece in [name, value].into_iter().filter(|piece| !piece.is_empty()) {
                    prop_assert!(piece.as_ptr() as usize >= at);
                    at = piece.as_ptr() as usize + piece.len();
                }
            }
        }
    }
}
