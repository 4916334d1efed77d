//! Messages for tests. Each carries its number, so that what arrived can be told from what did not.

use metlog_message::message::Origin;
use metlog_message::{Fields, Lines, Message, Severity, Timestamp, wire};

/// The message of this number.
pub fn message(number: u64) -> Message {
    let mut message = Message::new("contract")
        .payload(format!("message {number}"))
        .severity(Severity::Notice)
        .logger("metlog.tests")
        .field("number", number);
    message.timestamp = Timestamp::from_nanos(1_795_212_050_000_000_000 + number as i64 * 1_000_000);
    message.pid = Some(4711);
    message.hostname = Some("app01".into());
    message.origin = Some(Origin { client: "00000000c0ffee00".into(), seq: number + 1 });
    message
}

/// Its line.
pub fn line(number: u64) -> Vec<u8> {
    let mut line = Vec::new();
    wire::write(&mut line, &message(number));
    line
}

/// The number of a message's line, if it is one of ours.
pub fn number(line: &[u8]) -> Option<u64> {
    number_of(&wire::read(line, &wire::Limits::default()).ok()?.message)
}

/// The number of a message, if it is one of ours.
pub fn number_of(message: &Message) -> Option<u64> {
    message.fields.get("number").and_then(|number| number.as_i64()).and_then(|number| number.try_into().ok())
}

/// So many of them.
pub fn lines(from: u64, count: u64) -> Lines {
    (from..from + count).map(line).collect()
}

/// Payloads that break careless code.
pub fn nasty() -> Vec<String> {
    let mut all: Vec<String> = [
        "",
        "line\nline\r\nline",
        "\u{0}\u{1}\u{1b}[31mred\u{7f}",
        "\"quotes\" and \\backslashes\\",
        "\u{2028}\u{2029}\u{85}\u{feff}",
        "täxt 日本 🦀 \u{202e}reversed",
        "{\"type\":\"inner\"}\n{\"type\":\"inner\"}",
        "%s %n ${HOME} $(id) `id` '; drop table logs; --",
        "=HYPERLINK(\"http://x\")",
        "<script>alert(1)</script>",
        "GET / HTTP/1.1\r\nHost: x\r\n\r\n",
    ]
    .map(str::to_owned)
    .to_vec();
    // Near the most that one datagram takes.
    all.push("日x".repeat(15_000));
    all
}

/// With fields in one order, since the wire has none.
pub fn sorted(mut message: Message) -> Message {
    for fields in [&mut message.fields, &mut message.extra] {
        let mut all: Vec<_> = std::mem::take(fields).into_iter().collect();
        all.sort_by(|(one, _), (other, _)| one.cmp(other));
        *fields = all.into_iter().collect::<Fields>();
    }
    message
}
