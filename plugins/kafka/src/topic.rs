//! To which topic a message goes. What a message says becomes a part of a name that cannot be anything else: every byte
//! beyond letters, digits and `-` is escaped, so that no dot makes two parts of one and no name is illegal.

use metlog_message::Head;
use std::borrow::Cow;
use std::fmt::Write as _;

/// Bytes of what one value becomes, at the most.
const PART: usize = 64;

/// Values in one name, at the most; with [`TEMPLATE`] a name stays within the 249 bytes that Kafka allows.
const PLACES: usize = 3;

/// Bytes of a template.
const TEMPLATE: usize = 48;

/// Bytes of a name.
const NAME: usize = 249;

/// A part of a template.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Part {
    Text(String),
    Type,
    Severity,
    Logger,
}

/// `metlog`, or `metlog.{type}`, taken apart.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Template(Vec<Part>);

impl Template {
    /// Takes a template apart.
    pub fn parse(text: &str) -> Result<Self, String> {
        let wrong = |why: &str| format!("`topic` is `{text}`: {why}; it is written like `metlog` or `metlog.{{type}}`");
        let mut parts = Vec::new();
        let mut rest = text;
        while let Some((before, after)) = rest.split_once('{') {
            let (name, after) = after.split_once('}').ok_or_else(|| wrong("a brace is not closed"))?;
            parts.push(Part::Text(before.to_owned()));
            parts.push(match name {
                "type" => Part::Type,
                "severity" => Part::Severity,
                "logger" => Part::Logger,
                _ => return Err(wrong(&format!("there is no `{{{name}}}`, only type, severity and logger"))),
            });
            rest = after;
        }
        parts.push(Part::Text(rest.to_owned()));
        parts.retain(|part| *part != Part::Text(String::new()));
        let template = Template(parts);
        match template.fixed() {
            Some(name) => check_name(name).map_err(wrong)?,
            None => {
                let legal = |part: &Part| matches!(part, Part::Text(text) if !text.bytes().all(is_legal));
                if template.0.iter().any(legal) {
                    return Err(wrong("between the braces there are letters, digits, `.`, `_` and `-`"));
                }
                let places = template.0.iter().filter(|part| !matches!(part, Part::Text(_))).count();
                if places > PLACES || text.len() > TEMPLATE {
                    return Err(wrong("it is too long"));
                }
            }
        }
        Ok(template)
    }

    /// The one topic, if all messages go to one.
    pub fn fixed(&self) -> Option<&str> {
        match self.0.as_slice() {
            [Part::Text(name)] => Some(name),
            [] => Some(""),
            _ => None,
        }
    }

    /// The topic of a message.
    pub fn topic(&self, head: &Head<'_>) -> Cow<'_, str> {
        if let Some(name) = self.fixed() {
            return Cow::Borrowed(name);
        }
        let mut topic = String::with_capacity(96);
        for part in &self.0 {
            match part {
                Part::Text(text) => topic.push_str(text),
                Part::Type => confine(&mut topic, &head.kind),
                Part::Severity => {
                    let _ = write!(topic, "{}", head.severity.number());
                }
                Part::Logger => confine(&mut topic, &head.logger),
            }
        }
        Cow::Owned(topic)
    }
}

/// Whether Kafka takes it as a topic's name.
pub(crate) fn check_name(name: &str) -> Result<(), &'static str> {
    match name {
        "" => Err("it is empty"),
        "." | ".." => Err("that is no name"),
        name if name.len() > NAME => Err("a name has at most 249 bytes"),
        name if !name.bytes().all(is_legal) => Err("a name has letters, digits, `.`, `_` and `-`"),
        _ => Ok(()),
    }
}

const fn is_legal(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'_' | b'-')
}

const fn is_plain(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || byte == b'-'
}

/// `_-` and eight digits.
const CHECKSUM: usize = 10;

/// One part of whatever is said: `_` and two hexadecimal digits for any other byte, `_` alone for nothing. What is too
/// long is cut, and ends in `_-` and a checksum of the whole.
fn confine(topic: &mut String, value: &str) {
    if value.is_empty() {
        return topic.push('_');
    }
    let begin = topic.len();
    for (at, byte) in value.bytes().enumerate() {
        // Room for a checksum, if anything is left.
        let room = if at + 1 == value.len() { PART } else { PART - CHECKSUM };
        let size = if is_plain(byte) { 1 } else { 3 };
        if topic.len() - begin + size > room {
            let _ = write!(topic, "_-{:08x}", checksum(value.as_bytes()));
            return;
        }
        if is_plain(byte) {
            topic.push(char::from(byte));
        } else {
            let _ = write!(topic, "_{byte:02X}");
        }
    }
}

/// FNV-1a: two that are cut at the same place are told apart, unless somebody wants them not to be.
fn checksum(bytes: &[u8]) -> u32 {
    bytes.iter().fold(0x811c_9dc5, |sum, byte| (sum ^ u32::from(*byte)).wrapping_mul(0x0100_0193))
}

#[cfg(test)]
mod tests {
    use super::*;
    use metlog_message::{Message, head, wire};
    use proptest::prelude::*;

    fn topic(template: &str, kind: &str, logger: &str) -> String {
        let mut text = Vec::new();
        wire::write(&mut text, &Message::new(kind).logger(logger));
        let head = head::scan(&text, &wire::Limits::NONE).expect("strict");
        Template::parse(template).expect("a template").topic(&head).into_owned()
    }

    #[test]
    fn what_a_message_says_is_one_part() {
        let all = "metlog.{type}.{severity}.{logger}";
        assert_eq!(topic(all, "counter", "app-1"), "metlog.counter.6.app-1");
        assert_eq!(topic(all, "a.b", "x_y"), "metlog.a_2Eb.6.x_5Fy");
        assert_eq!(topic(all, "__consumer_offsets", ""), "metlog._5F_5Fconsumer_5Foffsets.6._");
        assert_eq!(topic("{type}", "..", ""), "_2E_2E");
        let long = topic("{logger}", "t", &"a".repeat(1000));
        assert_eq!(long.len(), PART);
        assert_ne!(long, topic("{logger}", "t", &"a".repeat(1001)));
        assert_eq!(topic("metlog", "counter", "x"), "metlog");
    }

    #[test]
    fn a_template_makes_names_and_nothing_else() {
        let long = "a".repeat(250);
        for bad in ["", ".", "..", "{type", "{host}", "a b", "ä", "a/{type}", &long, "{type}{type}{type}{type}"] {
            assert!(Template::parse(bad).is_err_and(|why| why.contains("metlog.{type}")), "{bad}");
        }
        assert!(Template::parse(&"a".repeat(249)).is_ok());
    }

    proptest! {
        #[test]
        fn whatever_is_said(kind in ".{1,200}", logger in ".{0,200}") {
            let topic = topic("metlog.{type}.{severity}.{logger}", &kind, &logger);
            prop_assert_eq!(check_name(&topic), Ok(()));
            let parts: Vec<&str> = topic.split('.').collect();
            prop_assert_eq!(parts.len(), 4);
            prop_assert!(parts.iter().all(|part| !part.is_empty() && part.len() <= PART));
        }
    }
}
