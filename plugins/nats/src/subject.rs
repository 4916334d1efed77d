//! Under which subject a message goes. What a message says becomes tokens that cannot be anything else: every byte
//! beyond letters, digits, `_` and `-` is escaped, so that no dot makes two tokens of one and no wildcard stands for
//! other people's.

use metlog_message::Head;
use std::fmt::Write as _;

/// Bytes of what one value becomes, at the most.
const TOKEN: usize = 64;

/// Values in one subject, at the most; with it a subject is bounded.
const PLACES: usize = 8;

/// Bytes of a template.
const TEMPLATE: usize = 256;

/// A part of a template.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Part {
    Text(String),
    Type,
    Severity,
    Logger,
}

/// `metlog.{type}.{severity}.{logger}`, taken apart.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Template(Vec<Part>);

impl Template {
    /// Takes a template apart.
    pub fn parse(text: &str) -> Result<Self, String> {
        let wrong = |why: &str| {
            format!("`subject` is `{text}`: {why}; it is written like `metlog.{{type}}.{{severity}}.{{logger}}`")
        };
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
        let plain = |byte: u8| is_plain(byte) || byte == b'.';
        if parts.iter().any(|part| matches!(part, Part::Text(text) if !text.bytes().all(plain))) {
            return Err(wrong("between the braces there are letters, digits, `_`, `-` and dots"));
        }
        if parts.iter().filter(|part| !matches!(part, Part::Text(_))).count() > PLACES || text.len() > TEMPLATE {
            return Err(wrong("it is too long"));
        }
        let template = Template(parts);
        if template.tokens().iter().any(String::is_empty) {
            return Err(wrong("a dot stands between two parts"));
        }
        Ok(template)
    }

    /// Its tokens, `*` for whatever a message decides.
    fn tokens(&self) -> Vec<String> {
        let text: String = self.0.iter().map(|part| if let Part::Text(text) = part { text } else { "*" }).collect();
        text.split('.').map(|token| if token.contains('*') { "*".to_owned() } else { token.to_owned() }).collect()
    }

    /// Whether a stream of these subjects takes all it can become.
    pub fn fits(&self, subjects: &[String]) -> bool {
        let tokens = self.tokens();
        subjects.iter().any(|subject| covers(subject, &tokens))
    }

    /// The subject of a message.
    pub fn subject(&self, head: &Head<'_>) -> String {
        let mut subject = String::with_capacity(96);
        for part in &self.0 {
            match part {
                Part::Text(text) => subject.push_str(text),
                Part::Type => confine(&mut subject, &head.kind),
                Part::Severity => {
                    let _ = write!(subject, "{}", head.severity.number());
                }
                Part::Logger => confine(&mut subject, &head.logger),
            }
        }
        subject
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

/// One token of whatever is said: `%` and two digits for any other byte, `%` alone for nothing. What is too long is cut,
/// and ends in `~` and a checksum of the whole.
pub(crate) fn confine(subject: &mut String, value: &str) {
    if value.is_empty() {
        return subject.push('%');
    }
    let begin = subject.len();
    for (at, byte) in value.bytes().enumerate() {
        // Room for what is longest here, an escape, and then for a checksum, if anything is left.
        let ends = at + 1 == value.len();
        let room = if ends { TOKEN } else { TOKEN - CHECKSUM };
        let size = if is_plain(byte) { 1 } else { 3 };
        if subject.len() - begin + size > room {
            let _ = write!(subject, "~{:08x}", checksum(value.as_bytes()));
            return;
        }
        if is_plain(byte) {
            subject.push(char::from(byte));
        } else {
            let _ = write!(subject, "%{byte:02X}");
        }
    }
}

/// `~` and eight digits.
const CHECKSUM: usize = 9;

/// FNV-1a: two that are cut at the same place are told apart, unless somebody wants them not to be.
fn checksum(bytes: &[u8]) -> u32 {
    bytes.iter().fold(0x811c_9dc5, |sum, byte| (sum ^ u32::from(*byte)).wrapping_mul(0x0100_0193))
}

#[cfg(test)]
mod tests {
    use super::*;
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
        assert_eq!(long.len(), TOKEN);
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
            prop_assert!(tokens.iter().all(|token| !token.is_empty() && token.len() <= TOKEN));
        }
    }
}
