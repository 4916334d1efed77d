//! Events of other systems made into messages without taking them apart: what stands in an event as JSON goes into the
//! message as it stands.

use memchr::memchr2;
use metlog_message::wire::{self, Limits, Refusal};
use metlog_message::{Severity, Timestamp, Value};
use metlog_pipeline::Reason;

/// Has an event mapped: as it stands if it is strictly right and on one line, else what a lenient reader makes of it.
/// `map` says nothing if what it gets is not strictly right, says a thing twice, or is no event; it is then asked once
/// more, with a text that is right and says nothing twice.
///
/// # Errors
/// Why nothing can be made of it, for the dead letters.
pub fn understood<T>(
    event: &[u8],
    largest: usize,
    rewritten: &mut Vec<u8>,
    mut map: impl FnMut(&[u8]) -> Option<T>,
) -> Result<T, (Reason, String)> {
    if memchr2(b'\n', b'\r', event).is_none()
        && let Some(made) = map(event)
    {
        return Ok(made);
    }
    let limits = Limits { bytes: largest, names: usize::MAX, name: usize::MAX, ..Limits::default() };
    let value = wire::read_value_within(event, &limits).map_err(|refusal| (reason(&refusal), refusal.to_string()))?;
    if !matches!(value, Value::Map(_)) {
        return Err((Reason::Malformed, "expected an object".to_owned()));
    }
    rewritten.clear();
    wire::write_value(rewritten, &value);
    map(rewritten).ok_or_else(|| (Reason::Malformed, "an object without anything that an event has".to_owned()))
}

fn reason(refusal: &Refusal) -> Reason {
    match refusal {
        Refusal::Empty | Refusal::Syntax { .. } | Refusal::NotAnObject | Refusal::NoType => Reason::Malformed,
        _ => Reason::TooLarge,
    }
}

/// A message made of parts of an event.
#[derive(Debug, Clone, Copy)]
pub struct Parts<'a> {
    /// Its type.
    pub kind: &'a str,
    /// When it happened.
    pub timestamp: Timestamp,
    /// Its logger.
    pub logger: &'a str,
    /// How bad it is.
    pub severity: Severity,
    /// Strictly valid JSON.
    pub payload: &'a [u8],
    /// The members of an object, without its braces.
    pub fields: &'a [u8],
    /// The sender's process.
    pub pid: Option<i64>,
    /// The sender's host, a text in quotes.
    pub hostname: Option<&'a [u8]>,
    /// The dialect's name.
    pub via: &'a str,
}

impl Parts<'_> {
    /// Writes the message, as [`wire::write`] does.
    pub fn write(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(b"{\"type\":");
        wire::write_str(out, self.kind);
        out.extend_from_slice(b",\"timestamp\":\"");
        out.extend_from_slice(&self.timestamp.text());
        out.extend_from_slice(b"\",\"logger\":");
        wire::write_str(out, self.logger);
        out.extend_from_slice(b",\"severity\":");
        wire::write_u64(out, self.severity.number().into());
        out.extend_from_slice(b",\"payload\":");
        out.extend_from_slice(self.payload);
        out.extend_from_slice(b",\"fields\":{");
        out.extend_from_slice(self.fields);
        out.extend_from_slice(b"},\"env_version\":\"0.8\"");
        if let Some(pid) = self.pid {
            out.extend_from_slice(b",\"metlog_pid\":");
            wire::write_i64(out, pid);
        }
        if let Some(hostname) = self.hostname {
            out.extend_from_slice(b",\"metlog_hostname\":");
            out.extend_from_slice(hostname);
        }
        out.extend_from_slice(b",\"via\":");
        wire::write_str(out, self.via);
        out.push(b'}');
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use metlog_message::Message;

    #[test]
    fn parts_are_written_as_messages_are() {
        let mut message = Message::new("k\"").payload("p\n").severity(Severity::Alert).logger("l\u{e4}");
        message.fields = [("a", 1), ("b", 2)].into_iter().collect();
        message.extra = [("via", "v")].into_iter().collect();
        for (pid, hostname) in [(None, None), (Some(-7), Some("h\\"))] {
            message.pid = pid;
            message.hostname = hostname.map(str::to_owned);
            let (mut whole, mut parts) = (Vec::new(), Vec::new());
            wire::write(&mut whole, &message);
            Parts {
                kind: &message.kind,
                timestamp: message.timestamp,
                logger: &message.logger,
                severity: message.severity,
                payload: br#""p\n""#,
                fields: br#""a":1,"b":2"#,
                pid,
                hostname: hostname.map(|_| br#""h\\""#.as_slice()),
                via: "v",
            }
            .write(&mut parts);
            assert_eq!(String::from_utf8_lossy(&parts), String::from_utf8_lossy(&whole));
        }
    }

    #[test]
    fn an_event_is_asked_for_again_only_where_it_is_not_strict() {
        let try_with = |event: &[u8], takes: fn(&[u8]) -> bool| {
            let mut seen = Vec::new();
            let made = understood(event, 100, &mut Vec::new(), |json| {
                seen.push(String::from_utf8_lossy(json).into_owned());
                takes(json).then_some(())
            });
            (made.map_err(|(reason, _)| reason), seen)
        };
        let (always, never) = (|_: &[u8]| true, |_: &[u8]| false);
        assert_eq!(try_with(b"{\"a\" : 1}", always), (Ok(()), vec!["{\"a\" : 1}".to_owned()]));
        assert_eq!(try_with(b"{\n\"a\" : 1}", always), (Ok(()), vec!["{\"a\":1}".to_owned()]));
        let twice = vec!["{\"a\":1,\"a\":2}".to_owned(), "{\"a\":2}".to_owned()];
        assert_eq!(try_with(b"{\"a\":1,\"a\":2}", never), (Err(Reason::Malformed), twice));
        for (event, reason) in [
            (&b"[1]"[..], Reason::Malformed),
            (b"", Reason::Malformed),
            (b"{", Reason::Malformed),
            (&[b' '; 101], Reason::TooLarge),
            (&[b'['; 50], Reason::TooLarge),
        ] {
            assert_eq!(try_with(event, never).0, Err(reason));
        }
    }
}
