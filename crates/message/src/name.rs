//! Names in which messages have a say: topics, subjects. What a message says becomes a part of a name that cannot be
//! anything else, whatever it says.

use crate::Head;
use std::fmt::Write as _;

/// Bytes of what one value becomes, at the most.
pub const LONGEST: usize = 64;

#[derive(Debug, Clone, PartialEq, Eq)]
enum Part {
    Text(String),
    Type,
    Severity,
    Logger,
}

/// `metlog.{type}.{severity}.{logger}`, taken apart.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Template(Vec<Part>);

impl Template {
    /// Takes a template apart.
    ///
    /// # Errors
    /// If its braces are none of these.
    pub fn parse(text: &str) -> Result<Self, String> {
        let mut parts = Vec::new();
        let mut rest = text;
        while let Some((before, after)) = rest.split_once('{') {
            let (name, after) = after.split_once('}').ok_or("a brace is not closed")?;
            parts.push(Part::Text(before.to_owned()));
            parts.push(match name {
                "type" => Part::Type,
                "severity" => Part::Severity,
                "logger" => Part::Logger,
                _ => return Err(format!("there is no `{{{name}}}`, only type, severity and logger")),
            });
            rest = after;
        }
        parts.push(Part::Text(rest.to_owned()));
        parts.retain(|part| *part != Part::Text(String::new()));
        Ok(Template(parts))
    }

    /// The one name, if messages have no say.
    pub fn fixed(&self) -> Option<&str> {
        match self.0.as_slice() {
            [Part::Text(name)] => Some(name),
            [] => Some(""),
            _ => None,
        }
    }

    /// How often messages have a say.
    pub fn places(&self) -> usize {
        self.0.iter().filter(|part| !matches!(part, Part::Text(_))).count()
    }

    /// What stands around the places.
    pub fn texts(&self) -> impl Iterator<Item = &str> {
        self.0.iter().filter_map(|part| if let Part::Text(text) = part { Some(text.as_str()) } else { None })
    }

    /// The template with this in each place.
    pub fn with(&self, place: &str) -> String {
        self.0.iter().map(|part| if let Part::Text(text) = part { text } else { place }).collect()
    }

    /// The name that a message makes of it.
    pub fn name(&self, head: &Head<'_>, escape: &Escape) -> String {
        let mut name = String::with_capacity(96);
        for part in &self.0 {
            match part {
                Part::Text(text) => name.push_str(text),
                Part::Type => escape.push(&mut name, &head.kind),
                Part::Severity => name.push(char::from(b'0' + head.severity.number())),
                Part::Logger => escape.push(&mut name, &head.logger),
            }
        }
        name
    }
}

/// How a text becomes one part of a name.
#[derive(Debug, Clone, Copy)]
pub struct Escape {
    /// The bytes that stay, all of them ASCII, and not `mark`.
    pub plain: fn(u8) -> bool,
    /// Stands before the two hexadecimal digits of any other byte, and alone for nothing.
    pub mark: char,
    /// Stands between the beginning of what is too long and a checksum of the whole; no escape begins like it.
    pub cut: &'static str,
}

impl Escape {
    /// Appends it, [`LONGEST`] bytes at the most.
    pub fn push(&self, name: &mut String, text: &str) {
        if text.is_empty() {
            return name.push(self.mark);
        }
        let begin = name.len();
        let checksum = self.cut.len() + 8;
        for (at, byte) in text.bytes().enumerate() {
            let plain = (self.plain)(byte);
            // Room for a checksum, if anything is left.
            let room = if at + 1 == text.len() { LONGEST } else { LONGEST - checksum };
            if name.len() - begin + if plain { 1 } else { 3 } > room {
                // Writing to a text cannot fail.
                let _ = write!(name, "{}{:08x}", self.cut, fnv(text.as_bytes()));
                return;
            }
            if plain {
                name.push(char::from(byte));
            } else {
                let _ = write!(name, "{}{byte:02X}", self.mark);
            }
        }
    }
}

/// FNV-1a: two that are cut at the same place are told apart, unless somebody wants them not to be.
fn fnv(bytes: &[u8]) -> u32 {
    bytes.iter().fold(0x811c_9dc5, |sum, byte| (sum ^ u32::from(*byte)).wrapping_mul(0x0100_0193))
}

#[cfg(test)]
mod tests {
    use super::*;

    const ESCAPE: Escape = Escape { plain: |byte| byte.is_ascii_alphanumeric(), mark: '%', cut: "~" };

    fn part(text: &str) -> String {
        let mut name = "before.".to_owned();
        ESCAPE.push(&mut name, text);
        name.split_off(7)
    }

    #[test]
    fn a_text_is_one_part_however_long_it_is() {
        assert_eq!((part("a.B-1"), part(""), part("\u{e4}")), ("a%2EB%2D1".into(), "%".into(), "%C3%A4".into()));
        for (text, longest) in [("a".repeat(55), 55), ("a".repeat(56), 56), ("a".repeat(57), 64), (".".repeat(99), 63)]
        {
            assert_eq!(part(&text).len(), longest, "{}", text.len());
        }
        let [one, other] = [56, 57].map(|count| part(&format!("{}!", "a".repeat(count))));
        assert!(one != other && one.contains('~') && other.contains('~'), "{one} {other}");
    }

    #[test]
    fn templates_are_text_and_three_words_in_braces() {
        let template = Template::parse("a.{type}-{logger}{severity}").expect("a template");
        assert_eq!((template.places(), template.fixed(), template.with("*")), (3, None, "a.*-**".to_owned()));
        assert!(template.texts().eq(["a.", "-"]));
        assert_eq!(Template::parse("a}b").expect("text").fixed(), Some("a}b"));
        assert_eq!(Template::parse("").expect("nothing").fixed(), Some(""));
        for (wrong, why) in [("{type", "not closed"), ("{host}", "no `{host}`"), ("{}", "no `{}`")] {
            assert!(Template::parse(wrong).is_err_and(|said| said.contains(why)), "{wrong}");
        }
    }
}
