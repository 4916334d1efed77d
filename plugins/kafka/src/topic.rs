//! To which topic a message goes. What a message says becomes a part of a name that cannot be anything else: every byte
//! beyond letters, digits and `-` is escaped, so that no dot makes two parts of one and no name is illegal.

use metlog_message::Head;
use metlog_message::name::{self, Escape};
use std::borrow::Cow;

/// Values in one name, at the most; with [`TEMPLATE`] a name stays within the 249 bytes that Kafka allows.
const PLACES: usize = 3;

/// Bytes of a template.
const TEMPLATE: usize = 48;

/// Bytes of a name.
const NAME: usize = 249;

/// `_` and two digits for any other byte; what is too long ends in `_-` and a checksum.
const ESCAPE: Escape = Escape { plain: |byte| byte.is_ascii_alphanumeric() || byte == b'-', mark: '_', cut: "_-" };

/// `metlog`, or `metlog.{type}`.
#[derive(Debug, Clone)]
pub(crate) struct Template(name::Template);

impl Template {
    /// Takes a template apart.
    pub fn parse(text: &str) -> Result<Self, String> {
        let wrong = |why: &str| format!("`topic` is `{text}`: {why}; it is written like `metlog` or `metlog.{{type}}`");
        let template = name::Template::parse(text).map_err(|why| wrong(&why))?;
        match template.fixed() {
            Some(name) => check_name(name).map_err(wrong)?,
            None if !template.texts().all(|text| text.bytes().all(is_legal)) => {
                return Err(wrong("between the braces there are letters, digits, `.`, `_` and `-`"));
            }
            None if template.places() > PLACES || text.len() > TEMPLATE => return Err(wrong("it is too long")),
            None => {}
        }
        Ok(Template(template))
    }

    /// The one topic, if all messages go to one.
    pub fn fixed(&self) -> Option<&str> {
        self.0.fixed()
    }

    /// The topic of a message.
    pub fn topic(&self, head: &Head<'_>) -> Cow<'_, str> {
        self.fixed().map_or_else(|| Cow::Owned(self.0.name(head, &ESCAPE)), Cow::Borrowed)
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

#[cfg(test)]
mod tests {
    use super::*;
    use metlog_message::name::LONGEST;
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
        assert_eq!(long.len(), LONGEST);
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
            prop_assert!(parts.iter().all(|part| !part.is_empty() && part.len() <= LONGEST));
        }
    }
}
