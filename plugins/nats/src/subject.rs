//! Under which subject a message goes. What a message says becomes tokens that cannot be anything else: every byte
//! beyond letters, digits, `_` and `-` is escaped, so that no dot makes two tokens of one and no wildcard stands for
//! other people's.

use metlog_message::Head;
use metlog_message::name::{self, Escape};

/// Values in one subject, at the most; with it a subject is bounded.
const PLACES: usize = 8;

/// Bytes of a template.
const TEMPLATE: usize = 256;

/// `%` and two digits for any other byte; what is too long ends in `~` and a checksum.
pub(crate) const ESCAPE: Escape = Escape { plain: is_plain, mark: '%', cut: "~" };

/// `metlog.{type}.{severity}.{logger}`, taken apart.
#[derive(Debug, Clone)]
pub(crate) struct Template(name::Template);

impl Template {
    /// Takes a template apart.
    pub fn parse(text: &str) -> Result<Self, String> {
        let wrong = |why: &str| {
            format!("`subject` is `{text}`: {why}; it is written like `metlog.{{type}}.{{severity}}.{{logger}}`")
        };
        let template = Template(name::Template::parse(text).map_err(|why| wrong(&why))?);
        let plain = |byte: u8| is_plain(byte) || byte == b'.';
        if !template.0.texts().all(|text| text.bytes().all(plain)) {
            return Err(wrong("between the braces there are letters, digits, `_`, `-` and dots"));
        }
        if template.0.places() > PLACES || text.len() > TEMPLATE {
            return Err(wrong("it is too long"));
        }
        if template.tokens().iter().any(String::is_empty) {
            return Err(wrong("a dot stands between two parts"));
        }
        Ok(template)
    }

    /// Its tokens, `*` for whatever a message decides.
    fn tokens(&self) -> Vec<String> {
        let text = self.0.with("*");
        text.split('.').map(|token| if token.contains('*') { "*".to_owned() } else { token.to_owned() }).collect()
    }

    /// Whether a stream of these subjects takes all it can become.
    pub fn fits(&self, subjects: &[String]) -> bool {
        let tokens = self.tokens();
        subjects.iter().any(|subject| covers(subject, &tokens))
    }

    /// The subject of a message.
    pub fn subject(&self, head: &Head<'_>) -> String {
        self.0.name(head, &ESCAPE)
    }
}

fn covers(pattern: &str, tokens: &[String]) -> bool {
    let mut tokens = tokens.iter();
    for wanted in pattern.split('.') {
        match (wanted, tokens.next()) {
            (_, None) => return false,
            (">", Some(_)) => return true,
            ("*", Some(_)) => {}
            (wanted, Some(token)) if wanted == token => {}
            _ => return false,
        }
    }
    tokens.next().is_none()
}

const fn is_plain(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-')
}

#[cfg(test)]
mod tests {
    use super::*;
    use metlog_message::name::LONGEST;
    use metlog_message::{Message, head, wire};
    use proptest::prelude::*;

    fn subject(template: &str, kind: &str, logger: &str) -> String {
        let mut text = Vec::new();
        wire::write(&mut text, &Message::new(kind).logger(logger));
        let head = head::scan(&text, &wire::Limits::NONE).expect("strict");
        Template::parse(template).expect("a template").subject(&head)
    }

    #[test]
    fn what_a_message_says_is_one_token() {
        let usual = "metlog.{type}.{severity}.{logger}";
        assert_eq!(subject(usual, "counter", "app_1"), "metlog.counter.6.app_1");
        assert_eq!(subject(usual, "a.b", "x*>"), "metlog.a%2Eb.6.x%2A%3E");
        assert_eq!(subject(usual, "$JS", ""), "metlog.%24JS.6.%");
        assert_eq!(subject("app-{type}", "ä\r\nPUB x", "l"), "app-%C3%A4%0D%0APUB%20x");
        let long = subject("{logger}", "t", &"a".repeat(1000));
        assert_eq!(long.len(), LONGEST);
        assert_ne!(long, subject("{logger}", "t", &"a".repeat(1001)));
        assert_eq!(subject("{logger}", "t", &"a".repeat(55)), "a".repeat(55));
    }

    #[test]
    fn a_template_makes_subjects_and_nothing_else() {
        for bad in ["", ".", "a..b", "a.", "{type", "{host}", "a b", "a.*", "a.>", "$JS.{type}", "{type}.", "ä"] {
            assert!(Template::parse(bad).is_err_and(|why| why.contains("metlog.{type}")), "{bad}");
        }
        let long = "{type}".repeat(9);
        assert!(Template::parse(&long).is_err());
    }

    #[test]
    fn whether_a_stream_takes_it() {
        let fits =
            |template: &str, subject: &str| Template::parse(template).expect("a template").fits(&[subject.to_owned()]);
        for subject in ["metlog.>", "metlog.*.*.*", ">", "*.*.*.*", "metlog.*.>"] {
            assert!(fits("metlog.{type}.{severity}.{logger}", subject), "{subject}");
        }
        for subject in ["metlog", "metlog.*", "metlog.log.*.*", "other.>", "metlog.*.*.*.*"] {
            assert!(!fits("metlog.{type}.{severity}.{logger}", subject), "{subject}");
        }
        assert!(!fits("metlog", "metlog.>"));
        assert!(fits("a-{type}.b", "*.b"));
    }

    proptest! {
        #[test]
        fn whatever_is_said(kind in ".{1,200}", logger in ".{0,200}") {
            let subject = subject("metlog.{type}.{severity}.{logger}", &kind, &logger);
            prop_assert!(subject.bytes().all(|byte| is_plain(byte) || matches!(byte, b'.' | b'%' | b'~')));
            let tokens: Vec<&str> = subject.split('.').collect();
            prop_assert_eq!(tokens.len(), 4);
            prop_assert!(tokens.iter().all(|token| !token.is_empty() && token.len() <= LONGEST));
        }
    }
}
