//! Bounds: text and values of any size as so much of them as Sentry keeps, and nothing in them that it chokes on.

use metlog_message::{Fields, Value};
use sentry_types::protocol::v7::value;

/// Sentry's own depth for free data is seven, and what is around a value takes two of them.
const DEPTH: usize = 5;

/// At most so many characters; what was cut ends in an ellipsis. Control characters other than line breaks and tabs
/// become U+FFFD: Sentry's databases cannot hold NUL, and each would take six bytes as JSON.
pub fn text(text: &str, characters: usize) -> String {
    let mut rest = text.chars();
    let mut out: String = rest.by_ref().take(characters).map(harmless).collect();
    if rest.next().is_some() {
        out.pop();
        out.push('…');
    }
    out
}

/// The same in one line.
pub fn line(line: &str, characters: usize) -> String {
    text(line, characters).replace(['\n', '\r', '\t'], " ").trim().to_owned()
}

fn harmless(character: char) -> char {
    match character {
        '\n' | '\r' | '\t' => character,
        control if control.is_control() => char::REPLACEMENT_CHARACTER,
        other => other,
    }
}

/// Bytes of JSON that may still be used.
pub struct Room(pub usize);

impl Room {
    /// What of an object has room, and how many of its names, all depths together, had none.
    pub fn map(&mut self, fields: &Fields, each: usize, left_out: &mut usize) -> value::Map<String, value::Value> {
        self.map_at(fields, each, DEPTH, left_out)
    }

    fn map_at(
        &mut self,
        fields: &Fields,
        each: usize,
        depth: usize,
        left_out: &mut usize,
    ) -> value::Map<String, value::Value> {
        let mut map = value::Map::new();
        for (name, value) in fields.iter() {
            let name = text(name, 200);
            match self.take(name.len() + 4).and_then(|()| self.value(value, each, depth, left_out)) {
                Some(value) => drop(map.insert(name, value)),
                None => *left_out += 1,
            }
        }
        map
    }

    /// What of a value has room: its texts have `each` characters at the most.
    pub fn value(&mut self, of: &Value, each: usize, depth: usize, left_out: &mut usize) -> Option<value::Value> {
        Some(match of {
            Value::Null => value::Value::Null,
            Value::Bool(truth) => (*truth).into(),
            Value::Int(number) => (*number).into(),
            Value::UInt(number) => (*number).into(),
            Value::Float(number) if number.is_finite() => (*number).into(),
            Value::Str(said) => {
                let said = text(said, each.min(self.0));
                self.take(written(&said))?;
                return Some(said.into());
            }
            Value::List(items) if depth > 1 => {
                self.take(2)?;
                let mut list = Vec::new();
                for item in items {
                    match self.take(1).and_then(|()| self.value(item, each, depth - 1, left_out)) {
                        Some(item) => list.push(item),
                        None => *left_out += 1,
                    }
                }
                return Some(list.into());
            }
            Value::Map(fields) if depth > 1 => {
                self.take(2)?;
                return Some(self.map_at(fields, each, depth - 1, left_out).into());
            }
            // Deeper than Sentry looks, or a number that it has no type for.
            other => {
                let said = text(&other.to_text(), each.min(self.0));
                self.take(written(&said))?;
                return Some(said.into());
            }
        })
        .filter(|_| self.take(24).is_some())
    }

    fn take(&mut self, bytes: usize) -> Option<()> {
        self.0 = self.0.checked_sub(bytes)?;
        Some(())
    }
}

/// Bytes of a text as JSON.
fn written(text: &str) -> usize {
    2 + text.len() + text.bytes().filter(|byte| matches!(byte, b'"' | b'\\' | b'\n' | b'\r' | b'\t')).count()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_is_cut_by_characters_and_harmless() {
        assert_eq!(text("日本語", 3), "日本語");
        assert_eq!(text("日本語x", 3), "日本…");
        assert_eq!(text("a\0b\u{1b}c\nd", 9), "a\u{fffd}b\u{fffd}c\nd");
        assert_eq!(line(" a\nb\t", 9), "a b");
        assert_eq!(text("x", 0), "…");
    }

    #[test]
    fn what_has_no_room_is_counted() {
        let mut left_out = 0;
        let fields: Fields = [("a", "x".repeat(50)), ("b", "y".repeat(500)), ("c", "z".into())].into_iter().collect();
        let map = Room(100).map(&fields, 60, &mut left_out);
        assert_eq!(map.get("a").and_then(|a| a.as_str()).map(str::len), Some(50));
        assert!(serde_json::to_vec(&map).unwrap().len() <= 110, "{map:?}");
        assert_eq!(left_out + map.len(), 3);
    }

    #[test]
    fn what_is_too_deep_becomes_text() {
        let deep = (0..30).fold(Value::from(1), |inner, _| Value::from(vec![inner]));
        let value = Room(1000).value(&deep, 100, DEPTH, &mut 0).unwrap();
        assert_eq!(value.to_string(), format!("[[[[\"{}1{}\"]]]]", "[".repeat(26), "]".repeat(26)));
    }
}
