//! What the stream knows of a message and the message does not say: a running number, and a time. Such a message can come
//! twice, to two routers even, like any other, and without these a store that both write to could not know it again.

use async_nats::jetstream::stream::Info;
use memchr::memmem::Finder;
use metlog_message::message::Origin;
use metlog_message::wire::{self, Limits, Note};
use metlog_message::{Timestamp, head};
use std::io::Write as _;

/// Of a stream's name; with the moment beside it, it is short enough for whoever counts by client.
const NAME: usize = 40;

/// Numbers the messages of one stream.
pub(crate) struct Numbers {
    client: String,
    keys: [Finder<'static>; 2],
    text: Vec<u8>,
}

impl Numbers {
    /// Of this stream. A stream that was made anew counts from 1 again, so the moment it was made belongs to the name.
    pub fn of(stream: &Info) -> Self {
        let name: String = stream.config.name.chars().take(NAME).collect();
        Self::called(format!("{name}-{:x}", stream.created.unix_timestamp_nanos()))
    }

    fn called(client: String) -> Self {
        Numbers { client, keys: ["\"metlog_seq\"", "\"timestamp\""].map(Finder::new), text: Vec::new() }
    }

    /// The message with what it lacks, in no more bytes than `most`; as it is, if it lacks nothing or is no message.
    pub fn complete<'a>(&'a mut self, message: &'a [u8], reply: &str, most: usize) -> &'a [u8] {
        // Those of our clients lack nothing, and are told by a glance.
        if self.keys.iter().all(|key| key.find(message).is_some()) {
            return message;
        }
        match place(reply).and_then(|place| self.written(message, place)) {
            Some(()) if self.text.len() <= most => &self.text,
            _ => message,
        }
    }

    fn written(&mut self, message: &[u8], (seq, time): (u64, Timestamp)) -> Option<()> {
        self.text.clear();
        if let Ok(head) = head::scan(message, &Limits::NONE) {
            if head.origin.is_some() {
                return None;
            }
            let end = message.iter().rposition(|byte| *byte == b'}')?;
            self.text.extend_from_slice(message.get(..end)?);
            // A stream's name is letters, digits, `_` and `-`.
            return write!(self.text, ",\"metlog_client\":\"{}\",\"metlog_seq\":{seq}}}", self.client).ok();
        }
        // What is not strictly right, the router writes anew in any case.
        let wire::Read { mut message, notes, .. } = wire::read(message, &Limits::default()).ok()?;
        let unsaid = |note: &Note| matches!(note, Note::Missing("timestamp") | Note::Unreadable("timestamp"));
        if notes.iter().any(unsaid) {
            message.timestamp = time;
        }
        message.origin.get_or_insert_with(|| Origin { client: self.client.clone(), seq });
        wire::write(&mut self.text, &message);
        Some(())
    }
}

/// Place in the stream and time, as they stand in the subject for acknowledgements:
/// `$JS.ACK.<stream>.<consumer>.<deliveries>.<place>.<place of the consumer>.<time>.<pending>`; newer servers put domain
/// and account before the stream.
fn place(reply: &str) -> Option<(u64, Timestamp)> {
    let before = if reply.split('.').count() >= 11 { 7 } else { 5 };
    let mut tokens = reply.split('.').skip(before);
    let seq = tokens.next()?.parse().ok()?;
    Some((seq, Timestamp::from_nanos(tokens.nth(1)?.parse().ok()?)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use metlog_message::{Message, Severity};

    const REPLY: &str = "$JS.ACK.T.metlog.1.7.9.1795212050000001000.3";

    fn completed(message: &[u8]) -> Vec<u8> {
        let mut numbers = Numbers::called("T-17".into());
        numbers.complete(message, REPLY, usize::MAX).to_vec()
    }

    #[test]
    fn a_message_gets_what_it_lacks_and_keeps_what_it_says() {
        let strict = r#"{"type":"t","timestamp":"2026-11-21T08:00:00.000000Z","logger":"","severity":6,"payload":"a \"metlog_seq\": {}","fields":{}"#;
        let numbered = format!(r#"{strict},"metlog_client":"T-17","metlog_seq":7}}"#);
        assert_eq!(completed(format!("{strict}}}").as_bytes()), numbered.as_bytes());
        assert_eq!(completed(format!("{strict} }}\n").as_bytes()), numbered.replace("{},", "{} ,").as_bytes());
        assert_eq!(completed(numbered.as_bytes()), numbered.as_bytes());
        let foreign = wire::read(&completed(br#"{"type":"x","payload":"hi"}"#), &Limits::NONE).expect("read").message;
        assert_eq!(foreign.timestamp.nanos(), 1_795_212_050_000_001_000);
        assert_eq!(foreign.origin, Some(Origin { client: "T-17".into(), seq: 7 }));
        let own = Message::new("x").severity(Severity::Error);
        let mut line = Vec::new();
        wire::write(&mut line, &Message { origin: Some(Origin { client: "c".into(), seq: 1 }), ..own });
        assert_eq!(completed(&line), line);
    }

    #[test]
    fn what_is_no_message_stays_as_it_is() {
        for text in [&b""[..], b"{", b"[1]", b"\xff\0", b"{\"cut\"}", b"{} {}"] {
            assert_eq!(completed(text), text);
        }
        let mut numbers = Numbers::called("T-17".into());
        let line = br#"{"type":"t"}"#;
        for reply in ["", "$JS.ACK.T.metlog", "$JS.ACK.T.metlog.1.x.9.1795212050000001000.3", "$JS.ACK.T.m.1.7.9.x.3"] {
            assert_eq!(numbers.complete(line, reply, usize::MAX), line);
        }
        assert_eq!(numbers.complete(line, REPLY, line.len() + 10), line, "too large for the router afterwards");
    }

    #[test]
    fn the_place_of_old_and_new_servers() {
        let there = Some((7, Timestamp::from_nanos(5)));
        assert_eq!(place("$JS.ACK.T.metlog.1.7.9.5.3"), there);
        assert_eq!(place("$JS.ACK._.hash.T.metlog.1.7.9.5.3"), there);
        assert_eq!(place("$JS.ACK.dom.hash.T.metlog.1.7.9.5.3.random"), there);
    }
}
