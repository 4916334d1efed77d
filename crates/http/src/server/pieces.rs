//! Cutting a body into messages without looking into them: a list, JSON lines, objects one after another, objects over
//! several lines.
//!
//! For JSON the cuts are exact. Between two parts of one value that stand on different lines there is a brace, a bracket,
//! a comma or a colon at the end of the one line or at the begin of the other; so two bytes tell whether an object goes
//! on, and lines, which is what comes nearly always, cost a search for newlines. What is no JSON is cut by lines: a bad
//! line costs itself only. Time is linear in the body, whatever it holds.

use memchr::{memchr, memchr_iter, memchr2};

/// A part of a body.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Piece<'a> {
    /// The bytes of a message, or what stands where one should be.
    Message(&'a [u8]),
    /// The last part of a list that has no end.
    Unfinished(&'a [u8]),
}

/// Who takes what a list is cut into; a function takes pieces.
pub trait Takes<'a> {
    /// Takes the element that a text begins with, if it can tell its end by itself and that [`is_element`]; says how long
    /// it was. What is not taken so is cut, and comes as a piece.
    fn ahead(&mut self, _text: &'a [u8]) -> Option<usize> {
        None
    }

    /// Takes a piece.
    fn piece(&mut self, piece: Piece<'a>);
}

impl<'a, F: FnMut(Piece<'a>)> Takes<'a> for F {
    fn piece(&mut self, piece: Piece<'a>) {
        self(piece);
    }
}

/// Cuts a body. A list at its begin may lie over any lines; one after that has a line to itself.
pub fn pieces<'a>(body: &'a [u8], mut each: impl FnMut(Piece<'a>)) {
    let body = body.strip_prefix(b"\xef\xbb\xbf").unwrap_or(body).trim_ascii_start();
    let rest = match body.split_first() {
        Some((b'[', list)) => elements(list, &mut each),
        _ => body,
    };
    lines(rest, &mut each);
}

/// Cuts the list that a body holds under this name, as in `{"logs":[…]}`, or that it is. False if there is none: then
/// nothing was given.
pub fn listed<'a>(body: &'a [u8], name: &str, mut each: impl Takes<'a>) -> bool {
    let body = body.strip_prefix(b"\xef\xbb\xbf").unwrap_or(body).trim_ascii_start();
    let list = match body.split_first() {
        Some((b'[', list)) => Some(list),
        Some((b'{', members)) => list_named(members, name.as_bytes()),
        _ => None,
    };
    list.map(|list| elements(list, &mut each)).is_some()
}

/// Whether so much of what is ahead is on one line, as a message has to be, and all of the element.
pub fn is_element(ahead: &[u8], length: usize) -> bool {
    ahead.split_at_checked(length).is_some_and(|(element, rest)| {
        memchr2(b'\n', b'\r', element).is_none() && matches!(rest.trim_ascii_start().first(), Some(b',' | b']'))
    })
}

/// What follows the bracket of the list of this name, in an object whose brace is open.
fn list_named<'a>(mut members: &'a [u8], name: &[u8]) -> Option<&'a [u8]> {
    loop {
        members = members.trim_ascii_start();
        let end = members.strip_prefix(b"\"").and_then(|text| quoted(text, 0))?;
        let (found, rest) = (members.get(1..=end)?, members.get(end + 2..)?);
        let value = rest.trim_ascii_start().strip_prefix(b":")?.trim_ascii_start();
        let rest = match value.first()? {
            b'[' if found == name => return value.get(1..),
            b'[' | b'{' => value.get(self::end(value, false)?..)?,
            b'"' => value.get(quoted(value, 1)? + 1..)?,
            _ => value.get(memchr2(b',', b'}', value)?..)?,
        };
        members = rest.trim_ascii_start().strip_prefix(b",")?;
    }
}

/// The elements of a list whose bracket is open; gives what follows its end.
fn elements<'a>(mut list: &'a [u8], each: &mut impl Takes<'a>) -> &'a [u8] {
    loop {
        list = list.trim_ascii_start();
        match list.split_first() {
            Some((b']', rest)) => return rest,
            Some((b',', rest)) => list = rest,
            _ => {
                if let Some(rest) = each.ahead(list).filter(|length| *length > 0).and_then(|length| list.get(length..))
                {
                    list = rest;
                } else if let Some((element, rest)) = end(list, true).and_then(|end| list.split_at_checked(end)) {
                    each.piece(Piece::Message(element.trim_ascii_end()));
                    list = rest;
                } else {
                    each.piece(Piece::Unfinished(list));
                    return &[];
                }
            }
        }
    }
}

fn lines<'a>(mut text: &'a [u8], each: &mut impl FnMut(Piece<'a>)) {
    // Once an object without an end was met, looking for that of another would look at everything again.
    let mut hopeless = false;
    loop {
        text = text.trim_ascii_start();
        if text.is_empty() {
            return;
        }
        let (line, rest) = text.split_at_checked(memchr(b'\n', text).unwrap_or(text.len())).unwrap_or((text, &[]));
        let line = line.trim_ascii_end();
        match line.first() {
            Some(b'{') if !hopeless && goes_on(line, rest) => {
                text = over_lines(text, rest, &mut hopeless, each);
                continue;
            }
            Some(b'{') => objects(line, each),
            Some(b'[') if end(line, false) == Some(line.len()) => {
                elements(line.get(1..).unwrap_or_default(), each);
            }
            _ => each(Piece::Message(line)),
        }
        text = rest;
    }
}

/// The objects that begin on a line, the last of which may end on a later one. Gives what follows; `rest` is what
/// follows the line.
fn over_lines<'a>(
    mut text: &'a [u8],
    rest: &'a [u8],
    hopeless: &mut bool,
    each: &mut impl FnMut(Piece<'a>),
) -> &'a [u8] {
    while text.len() > rest.len() && text.first() == Some(&b'{') {
        let Some((object, after)) = end(text, false).and_then(|end| text.split_at_checked(end)) else {
            *hopeless = true;
            break;
        };
        each(Piece::Message(object));
        text = after.trim_ascii_start();
    }
    match text.len().checked_sub(rest.len()).and_then(|left| text.get(..left)) {
        Some(left) if !left.is_empty() => {
            objects(left.trim_ascii_end(), each);
            rest
        }
        _ => text,
    }
}

/// Whether the object that begins on this line ends on a later one.
fn goes_on(line: &[u8], rest: &[u8]) -> bool {
    let next = || rest.trim_ascii_start().first().copied();
    matches!(line.last(), Some(b'{' | b'[' | b',' | b':')) || matches!(next(), Some(b'}' | b']' | b',' | b':'))
}

/// The objects on one line: one, unless there is another brace right behind one that closes.
fn objects<'a>(line: &'a [u8], each: &mut impl FnMut(Piece<'a>)) {
    let several = |at: usize| line.get(at + 1..).unwrap_or_default().trim_ascii_start().first() == Some(&b'{');
    let mut rest = line;
    // The braces may stand in a text, so this only says that it is worth a closer look.
    if memchr_iter(b'}', line).any(several) {
        while let Some((object, after)) = end(rest, false).and_then(|end| rest.split_at_checked(end)) {
            each(Piece::Message(object));
            rest = after.trim_ascii_start();
            if rest.first() != Some(&b'{') {
                break;
            }
        }
    }
    if !rest.is_empty() {
        each(Piece::Message(rest));
    }
}

/// Where the element of a list ends, which is before the comma or bracket that follows; or else where the object or list
/// that begins here ends.
fn end(text: &[u8], listed: bool) -> Option<usize> {
    let (mut at, mut depth) = (0, 0_usize);
    loop {
        let ahead = text.get(at..)?;
        at += ahead.iter().position(|byte| matches!(byte, b'"' | b',' | b'[' | b']' | b'{' | b'}'))?;
        match text.get(at)? {
            b'"' => at = quoted(text, at + 1)?,
            b'{' | b'[' => depth += 1,
            b',' | b']' if listed && depth == 0 => return Some(at),
            b'}' | b']' => {
                depth = depth.saturating_sub(1);
                if depth == 0 && !listed {
                    return Some(at + 1);
                }
            }
            _ => {}
        }
        at += 1;
    }
}

/// Where the text ends that begins here, behind its quotation mark.
fn quoted(text: &[u8], mut at: usize) -> Option<usize> {
    loop {
        at += memchr2(b'"', b'\\', text.get(at..)?)?;
        if text.get(at) == Some(&b'"') {
            return Some(at);
        }
        at += 2;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use serde_json::Value;
    use std::time::{Duration, Instant};

    fn cut(body: &[u8]) -> Vec<Result<&[u8], &[u8]>> {
        let mut all = Vec::new();
        pieces(body, |piece| {
            all.push(match piece {
                Piece::Message(bytes) => Ok(bytes),
                Piece::Unfinished(bytes) => Err(bytes),
            });
        });
        all
    }

    #[test]
    fn forms_of_a_body() {
        for (body, expected) in [
            ("", &[][..]),
            (" \r\n ", &[]),
            ("[]", &[]),
            ("[ ]\n", &[]),
            ("{}", &["{}"]),
            ("\u{feff}{\"a\":1}", &["{\"a\":1}"]),
            ("{\"a\":1}\n\n{\"b\":2}\r\n", &["{\"a\":1}", "{\"b\":2}"]),
            ("{\"a\":1}{\"b\":2} {\"c\":\"}{\"}", &["{\"a\":1}", "{\"b\":2}", "{\"c\":\"}{\"}"]),
            ("{\"c\":\"} {\\\"}{\"}", &["{\"c\":\"} {\\\"}{\"}"]),
            (
                "{\n \"a\": {}\n}\n{\"b\":2}\n{\"c\"\n:{}\n,\"d\":1}",
                &["{\n \"a\": {}\n}", "{\"b\":2}", "{\"c\"\n:{}\n,\"d\":1}"],
            ),
            ("[1, {\"a\":[1,2]} ,\"],\",null]\n{\"b\":2}", &["1", "{\"a\":[1,2]}", "\"],\"", "null", "{\"b\":2}"]),
            ("{\"a\":1}\n[{\"b\":2},{\"c\":3}]\n", &["{\"a\":1}", "{\"b\":2}", "{\"c\":3}"]),
        ] {
            let expected: Vec<_> = expected.iter().map(|piece| Ok(piece.as_bytes())).collect();
            assert_eq!(cut(body.as_bytes()), expected, "{body}");
        }
    }

    #[test]
    fn a_list_inside_an_object() {
        for (body, expected) in [
            ("{\"logs\":[{\"a\":[1]},2 , {b:}]}", Some(&["{\"a\":[1]}", "2", "{b:}"][..])),
            ("\u{feff} { \"x\" : 1.5,\"y\":\"]}\\\"\", \"z\":{\"logs\":[0]}, \"logs\" :\n[ ] }", Some(&[])),
            ("{\"logs\":1,\"a\":[[]],\"logs\":[3],\"logs\":[4]}", Some(&["3"])),
            ("[1,{}]", Some(&["1", "{}"])),
            ("{\"logs\":{}}", None),
            ("{\"log\":[1]}", None),
            ("{\"logs", None),
            ("{\"logs\"", None),
            ("{\"logs\":", None),
            ("{\"a\":[", None),
            ("{\"a\":\"", None),
            ("{\"a\":1", None),
            ("{\"\\\\\":1,\"logs\":[5]", Some(&["5"])),
            ("{}", None),
            ("", None),
            ("x", None),
        ] {
            let mut found = Vec::new();
            let list = listed(body.as_bytes(), "logs", |piece| found.push(piece));
            let expected: Option<Vec<_>> =
                expected.map(|all| all.iter().map(|one| Piece::Message(one.as_bytes())).collect());
            assert_eq!(list.then_some(found), expected, "{body}");
        }
        let mut cut = Vec::new();
        assert!(listed(b"{\"logs\":[1,{", "logs", |piece| cut.push(piece)));
        assert_eq!(cut, [Piece::Message(b"1"), Piece::Unfinished(b"{")]);
    }

    #[test]
    fn what_is_bad_costs_itself_only() {
        for (body, expected) in [
            ("{\"a\":1\n{\"b\":2}\n", &["{\"a\":1", "{\"b\":2}"][..]),
            ("{\"a\":[\n{\"b\":2}\n", &["{\"a\":[", "{\"b\":2}"]),
            ("{\n{\n{\"b\":2}", &["{", "{", "{\"b\":2}"]),
            ("no json\n{\"b\":2}\nnor this", &["no json", "{\"b\":2}", "nor this"]),
            ("{\"b\":2}\n[INFO\n{\"b\":3}", &["{\"b\":2}", "[INFO", "{\"b\":3}"]),
            ("{\"b\":\"\n{\"b\":3}", &["{\"b\":\"", "{\"b\":3}"]),
            ("[{\"a\":1},{a:},{\"b\":2}]", &["{\"a\":1}", "{a:}", "{\"b\":2}"]),
            ("[}, {\"b\":2}]", &["}", "{\"b\":2}"]),
        ] {
            let expected: Vec<_> = expected.iter().map(|piece| Ok(piece.as_bytes())).collect();
            assert_eq!(cut(body.as_bytes()), expected, "{body}");
        }
        assert_eq!(cut(b"[{\"a\":1},{\"b\":"), [Ok(&b"{\"a\":1}"[..]), Err(&b"{\"b\":"[..])]);
        assert_eq!(cut(b"[{\"a\":1},"), [Ok(&b"{\"a\":1}"[..]), Err(&b""[..])]);
    }

    /// Anything quadratic takes hours for these.
    #[test]
    fn hostile_bodies_take_linear_time() {
        let filler = "5,".repeat(5000);
        for part in [
            "{\n",
            "{,\n",
            "[\n",
            "{\"\n",
            "{\"a\":\n5,5,5\n",
            "}",
            "} ",
            "}{",
            "{}",
            "\"",
            "\\",
            "{\"}{\"",
            " \n",
            filler.as_str(),
        ] {
            for begin in ["", "[", "{\n", "\n{"] {
                let body = begin.to_owned() + &part.repeat((1 << 20) / part.len());
                let began = Instant::now();
                pieces(body.as_bytes(), |_| {});
                assert!(began.elapsed() < Duration::from_secs(10), "{begin:?} and then {part:?} again and again");
            }
        }
    }

    fn value() -> impl Strategy<Value = Value> {
        let text = prop_oneof!["[ -~]{0,6}", "[\\[\\]{},:\"\\\\\n]{0,6}", any::<String>()];
        let leaf = prop_oneof![
            Just(Value::Null),
            any::<bool>().prop_map(Value::from),
            any::<i64>().prop_map(Value::from),
            text.clone().prop_map(Value::from),
        ];
        leaf.prop_recursive(4, 24, 4, move |inner| {
            prop_oneof![
                prop::collection::vec(inner.clone(), 0..4).prop_map(Value::from),
                prop::collection::vec((text.clone(), inner), 0..4)
                    .prop_map(|pairs| Value::Object(pairs.into_iter().collect())),
            ]
        })
    }

    fn object() -> impl Strategy<Value = Value> {
        value().prop_map(|value| match value {
            Value::Object(_) => value,
            other => serde_json::json!({ "v": other }),
        })
    }

    fn parsed(body: &str) -> Vec<Value> {
        let whole = |piece: Result<&[u8], &[u8]>| serde_json::from_slice(piece.expect("has an end")).expect("JSON");
        cut(body.as_bytes()).into_iter().map(whole).collect()
    }

    proptest! {
        #[test]
        fn a_list_has_the_elements_that_serde_json_finds(values in prop::collection::vec(value(), 0..8), pretty: bool) {
            let list = Value::from(values.clone());
            let body = if pretty { serde_json::to_string_pretty(&list) } else { serde_json::to_string(&list) };
            prop_assert_eq!(parsed(&body.expect("JSON")), values);
        }

        #[test]
        fn objects_are_found_however_they_are_laid_out(
            objects in prop::collection::vec((object(), any::<bool>(), prop::sample::select(vec!["", " ", "\n", "\r\n", "\n \n"])), 0..8),
        ) {
            let mut body = String::new();
            for (object, pretty, between) in &objects {
                let text = if *pretty { serde_json::to_string_pretty(object) } else { serde_json::to_string(object) };
                body.push_str(&text.expect("JSON"));
                body.push_str(between);
            }
            let values: Vec<Value> = objects.into_iter().map(|(object, ..)| object).collect();
            prop_assert_eq!(parsed(&body), values);
        }

        /// Whatever comes: pieces are in order, and only blanks and the signs of lists stand between them.
        #[test]
        fn nothing_is_lost(body in prop_oneof!["[\\[\\]{},:\"\\\\\n a1]{0,40}", any::<String>()]) {
            let body = body.as_bytes();
            let mut at = 0;
            for piece in cut(body) {
                let (Ok(piece) | Err(piece)) = piece;
                let begin = piece.as_ptr() as usize - body.as_ptr() as usize;
                if piece.is_empty() { continue }
                prop_assert!(begin >= at);
                prop_assert!(body[at..begin].iter().all(|byte| b" \t\r\n\x0c[],\xef\xbb\xbf".contains(byte)));
                at = begin + piece.len();
            }
            prop_assert!(body[at..].iter().all(|byte| b" \t\r\n\x0c[],\xef\xbb\xbf".contains(byte)), "{:?}", &body[at..]);
        }
    }
}
