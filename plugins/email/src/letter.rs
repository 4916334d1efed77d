//! A notice as a mail.
//!
//! The subject's words and the body are the only places where a message's text gets to. The one is a single line of
//! printable ASCII or encoded words (RFC 2047), the other is base64: so there is no byte with which a message could begin
//! a header, a recipient or a command.

use crate::address::Mailbox;
use metlog_alerts::{Notice, text};
use metlog_message::{Severity, Timestamp};

/// Characters of a subject.
const SUBJECT: usize = 120;
/// Bytes of text in an encoded word: with its frame and a header's name it keeps within 76.
const WORD: usize = 36;
/// Bytes of the body in a line, of which base64 makes 76.
const LINE: usize = 57;

/// What a letter is made of, besides its recipients.
pub struct Letter<'a> {
    pub from: &'a Mailbox,
    pub prefix: &'a str,
    pub notice: &'a Notice,
    /// The left part of its id: the same as often as the notice is tried, so that a mail reader shows one of two.
    pub id: &'a str,
    pub date: Timestamp,
}

impl Letter<'_> {
    /// Head and body for these recipients, every line ended by CR LF.
    pub fn text(&self, to: &[&Mailbox]) -> String {
        let Letter { from, prefix, notice, id, date } = self;
        let severity = notice.severity();
        // The numbers are those that MADSci's mails carry, for whoever sorts by them.
        let (importance, priority) = match severity {
            Severity::Emergency | Severity::Alert | Severity::Critical | Severity::Error => ("High", "1"),
            Severity::Warning | Severity::Notice => ("Normal", "5"),
            Severity::Informational | Severity::Debug => ("Low", "3"),
        };
        let to: Vec<String> = to.iter().map(|mailbox| written(mailbox)).collect();
        let mut out = String::new();
        let mut header = |name: &str, value: &str| out.extend([name, ": ", value, "\r\n"]);
        header("Date", &date_of(*date));
        header("From", &written(from));
        header("To", &to.join(",\r\n "));
        header("Subject", &words(&text::line(&format!("{prefix} {}", notice.headline()), SUBJECT)));
        header("Message-ID", &format!("<{id}@{}>", from.domain()));
        header("X-Metlog-Severity", severity.name());
        if let Some(message) = notice.worst().and_then(|item| item.message.as_deref()) {
            header("X-Metlog-Type", &words(&text::line(&message.kind, SUBJECT)));
        }
        header("X-Metlog-Messages", &notice.messages().to_string());
        header("Importance", importance);
        header("X-Priority", priority);
        // RFC 3834: nobody's absence is answered to.
        header("Auto-Submitted", "auto-generated");
        header("MIME-Version", "1.0");
        header("Content-Type", "text/plain; charset=utf-8");
        header("Content-Transfer-Encoding", "base64");
        out.push_str("\r\n");
        for line in notice.to_string().as_bytes().chunks(LINE) {
            base64(&mut out, line);
            out.push_str("\r\n");
        }
        out
    }
}

fn written(mailbox: &Mailbox) -> String {
    let Mailbox { name, address } = mailbox;
    if name.is_empty() {
        return address.clone();
    }
    let plain = name.chars().all(|c| c.is_ascii_alphanumeric() || c == ' ');
    let name = if plain { name.clone() } else { encoded(name) };
    format!("{name} <{address}>")
}

/// A header's value: as it is if that is plain, or else in encoded words.
fn words(line: &str) -> String {
    let plain = line.bytes().all(|byte| matches!(byte, b' '..=b'~')) && !line.contains("=?");
    if plain { line.to_owned() } else { encoded(line) }
}

fn encoded(line: &str) -> String {
    let mut out = String::new();
    let mut rest = line;
    while !rest.is_empty() {
        // A character's bytes stay in one word.
        let (word, after) = rest.split_at_checked(rest.floor_char_boundary(WORD)).unwrap_or((rest, ""));
        if !out.is_empty() {
            out.push_str("\r\n ");
        }
        out.push_str("=?utf-8?B?");
        base64(&mut out, word.as_bytes());
        out.push_str("?=");
        rest = after;
    }
    out
}

/// Appends what base64 makes of the bytes.
pub fn base64(out: &mut String, bytes: &[u8]) {
    const DIGITS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    for three in bytes.chunks(3) {
        let [a, b, c] = [0, 1, 2].map(|at| u32::from(three.get(at).copied().unwrap_or(0)));
        let bits = a << 16 | b << 8 | c;
        for (at, shift) in [18, 12, 6, 0].into_iter().enumerate() {
            let digit = DIGITS.get((bits >> shift & 63) as usize).copied().unwrap_or(b'=');
            out.push(char::from(if at <= three.len() { digit } else { b'=' }));
        }
    }
}

/// `Sat, 21 Nov 2026 10:00:00 +0000`
fn date_of(moment: Timestamp) -> String {
    const DAYS: [&str; 7] = ["Thu", "Fri", "Sat", "Sun", "Mon", "Tue", "Wed"];
    const MONTHS: [&str; 12] = ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];
    let text = moment.to_string();
    let part = |from: usize, to: usize| text.get(from..to).unwrap_or_default();
    let month: usize = part(5, 7).parse().unwrap_or(1);
    let day = DAYS.get(moment.unix_seconds().div_euclid(86_400).rem_euclid(7) as usize).unwrap_or(&"Thu");
    let month = MONTHS.get(month.wrapping_sub(1)).unwrap_or(&"Jan");
    format!("{day}, {} {month} {} {} +0000", part(8, 10), part(0, 4), part(11, 19))
}

#[cfg(test)]
mod tests {
    use super::*;
    use metlog_alerts::{Brief, Cause, Item};
    use metlog_message::Message;
    use metlog_testkit::{sample, smtp};
    use proptest::prelude::*;

    fn notice(message: &Message) -> Notice {
        let message = Some(Box::new(Brief::new(message)));
        Notice {
            number: 1,
            items: vec![Item { cause: Cause::Each, group: vec![], count: 1, held: 0, message }],
            left_out: 0,
        }
    }

    fn letter(message: &Message) -> String {
        let (from, to) = (Mailbox::parse("from", "metlog <m@h>").unwrap(), Mailbox::parse("to", "ä b <a@h>").unwrap());
        let date = Timestamp::parse("2026-11-21T10:00:00Z").unwrap();
        Letter { from: &from, prefix: "[metlog]", notice: &notice(message), id: "x", date }.text(&[&to, &from])
    }

    /// What a reader makes of encoded words.
    fn read(value: &str) -> String {
        let words = value.replace("?= =?", "?==?");
        let Some(rest) = words.strip_prefix("=?utf-8?B?") else { return value.to_owned() };
        let bytes = rest.strip_suffix("?=").unwrap().split("?==?utf-8?B?").flat_map(|word| {
            assert!(word.len() <= 75);
            smtp::base64(word.as_bytes()).unwrap()
        });
        String::from_utf8(bytes.collect()).unwrap()
    }

    const NAMES: [&str; 14] = [
        "Date",
        "From",
        "To",
        "Subject",
        "Message-ID",
        "X-Metlog-Severity",
        "X-Metlog-Type",
        "X-Metlog-Messages",
        "Importance",
        "X-Priority",
        "Auto-Submitted",
        "MIME-Version",
        "Content-Type",
        "Content-Transfer-Encoding",
    ];

    fn check(message: &Message) {
        let text = letter(message);
        let lines: Vec<&str> = text.strip_suffix("\r\n").unwrap().split("\r\n").collect();
        for line in &lines {
            assert!(line.len() <= 200 && line.bytes().all(|byte| matches!(byte, b' '..=b'~')), "{line:?}");
            assert!(!line.starts_with('.'));
        }
        let mail = smtp::Mail {
            from: String::new(),
            to: vec![],
            text: text.clone().into_bytes(),
            user: None,
            encrypted: false,
            connection: 0,
        };
        assert_eq!(mail.header_names(), NAMES);
        let notice = notice(message);
        let subject = read(&mail.header("Subject").unwrap());
        assert_eq!(subject, text::line(&format!("[metlog] {}", notice.headline()), 120));
        assert!(subject.chars().count() <= 120 && !subject.chars().any(char::is_control));
        let kind = &notice.items[0].message.as_ref().unwrap().kind;
        assert!(message.kind.starts_with(kind));
        assert_eq!(read(&mail.header("X-Metlog-Type").unwrap()), text::line(kind, 120));
        assert_eq!(String::from_utf8(smtp::base64(mail.body()).unwrap()).unwrap(), notice.to_string());
    }

    #[test]
    fn whatever_a_message_says_stays_in_its_place() {
        for evil in sample::nasty().into_iter().chain(
            [
                "x\r\nBcc: evil@example.org",
                "x\nBcc: evil@example.org\n\nbody",
                "\r\n.\r\nMAIL FROM:<evil@example.org>\r\n",
                "\n.\nRCPT TO:<evil@example.org>\n",
                "\r.\rDATA",
                ".",
                "=?utf-8?B?QmNjOiBldmls?=",
                "=?utf-8?q?=0d=0aBcc:_x?=",
                "a\u{2028}Bcc: x\u{85}y\u{b}z\u{c}",
                "\u{202e}gro.elpmaxe@live",
            ]
            .map(str::to_owned),
        ) {
            check(&Message::new(evil.clone()).payload(evil.clone()).field("f", evil.clone()));
            check(&Message::new("t").logger(evil.clone()).payload("p").field(evil, 1));
        }
        check(&Message::new("t").payload("日\r\n.\r\n".repeat(150_000)));
    }

    proptest! {
        #[test]
        fn any_text_stays_in_its_place(kind in any::<String>(), logger in any::<String>(), payload in any::<String>()) {
            check(&Message::new(kind).logger(logger).payload(payload));
        }

        #[test]
        fn base64_can_be_read_again(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
            let mut text = String::new();
            base64(&mut text, &bytes);
            prop_assert_eq!(text.len() % 4, 0);
            prop_assert_eq!(smtp::base64(text.as_bytes()), Some(bytes));
        }
    }

    #[test]
    fn a_head_looks_like_this() {
        let mut message = Message::new("oldstyle").logger("shop.checkout").payload("no money\nat all");
        message.severity = Severity::Error;
        let text = letter(&message);
        let (head, body) = text.split_once("\r\n\r\n").unwrap();
        assert_eq!(
            head.split("\r\n").collect::<Vec<_>>(),
            [
                "Date: Sat, 21 Nov 2026 10:00:00 +0000",
                "From: metlog <m@h>",
                "To: =?utf-8?B?w6QgYg==?= <a@h>,",
                " metlog <m@h>",
                "Subject: [metlog] error shop.checkout: no money",
                "Message-ID: <x@h>",
                "X-Metlog-Severity: error",
                "X-Metlog-Type: oldstyle",
                "X-Metlog-Messages: 1",
                "Importance: High",
                "X-Priority: 1",
                "Auto-Submitted: auto-generated",
                "MIME-Version: 1.0",
                "Content-Type: text/plain; charset=utf-8",
                "Content-Transfer-Encoding: base64",
            ]
        );
        assert!(body.split("\r\n").all(|line| line.len() <= 76));
        for (day, expected) in
            [("1970-01-01", "Thu, 01 Jan 1970"), ("2024-02-29", "Thu, 29 Feb 2024"), ("1969-12-31", "Wed, 31 Dec 1969")]
        {
            let date = Timestamp::parse(&format!("{day}T23:59:59Z")).unwrap();
            assert_eq!(date_of(date), format!("{expected} 23:59:59 +0000"));
        }
    }
}
