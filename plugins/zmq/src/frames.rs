//! Batches as ZeroMQ frames, cut so that what is in hand is bounded in messages and in bytes.

use bytes::Bytes;
use metlog_message::Lines;
use std::sync::Arc;

/// A joined frame ends when the next message would take it beyond this many bytes: large enough that the cost per
/// frame no longer shows, far below what routers accept as one message.
const JOINED: usize = 128 * 1024;

/// The most that is handed to the sockets at once. A single larger message still goes, alone.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Limit {
    pub messages: usize,
    pub bytes: usize,
}

/// Part of a batch as frames, all in one piece of memory that the links share.
#[derive(Debug, Clone)]
pub(crate) struct Frames {
    pub frames: Arc<[Bytes]>,
    /// How many messages the frames hold.
    pub messages: usize,
}

/// Cuts the batch from this message on; `None` at its end. With `join`, one frame holds many messages with a newline
/// between two.
pub(crate) fn cut(batch: &Lines, from: usize, limit: Limit, join: bool) -> Option<Frames> {
    let (mut text, mut ends, mut messages) = (Vec::new(), Vec::new(), 0);
    let mut frame_start = 0;
    while let Some(message) = batch.get(from + messages) {
        if messages > 0 && (messages >= limit.messages || text.len() + message.len() > limit.bytes) {
            break;
        }
        if join && text.len() > frame_start {
            if text.len() - frame_start + message.len() < JOINED {
                text.push(b'\n');
            } else {
                ends.push(text.len());
                frame_start = text.len();
            }
        }
        text.extend_from_slice(message);
        messages += 1;
        if !join {
            ends.push(text.len());
        }
    }
    if messages == 0 {
        return None;
    }
    if join {
        ends.push(text.len());
    }
    let text = Bytes::from(text);
    let mut start = 0;
    let frames = ends
        .into_iter()
        .map(|end| {
            let frame = text.slice(start..end);
            start = end;
            frame
        })
        .collect();
    Some(Frames { frames, messages })
}

#[cfg(test)]
mod tests {
    use super::*;

    const WIDE: Limit = Limit { messages: usize::MAX, bytes: usize::MAX };

    fn texts(frames: &Frames) -> Vec<&[u8]> {
        frames.frames.iter().map(|frame| frame.as_ref()).collect()
    }

    #[test]
    fn one_frame_per_message_without_newline() {
        let batch: Lines = ["{\"a\":1}", "{}", "{\"b\":2}"].into_iter().collect();
        let cut = cut(&batch, 0, WIDE, false).unwrap();
        assert_eq!(texts(&cut), [&b"{\"a\":1}"[..], b"{}", b"{\"b\":2}"]);
        assert_eq!(cut.messages, 3);
    }

    #[test]
    fn joined_messages_have_a_newline_between_two_and_none_at_the_end() {
        let batch: Lines = ["{\"a\":1}", "{}"].into_iter().collect();
        let cut = cut(&batch, 0, WIDE, true).unwrap();
        assert_eq!(texts(&cut), [&b"{\"a\":1}\n{}"[..]]);
        assert_eq!(cut.messages, 2);
    }

    #[test]
    fn a_joined_frame_does_not_grow_without_end_and_loses_nothing() {
        let message = "x".repeat(1000);
        let batch: Lines = (0..1000).map(|_| &message).collect();
        let cut = cut(&batch, 0, WIDE, true).unwrap();
        assert_eq!(cut.messages, 1000);
        assert!(cut.frames.len() > 1 && cut.frames.iter().all(|frame| frame.len() <= JOINED));
        let lines: usize = cut.frames.iter().map(|frame| frame.split(|&byte| byte == b'\n').count()).sum();
        assert_eq!(lines, 1000);
        assert!(cut.frames.iter().all(|frame| !frame.starts_with(b"\n") && !frame.ends_with(b"\n")));
    }

    #[test]
    fn both_limits_hold_and_the_parts_make_up_the_batch() {
        let batch: Lines = (0..10).map(|number| format!("{{\"n\":{number}}}")).collect();
        for (limit, expected) in [
            (Limit { messages: 4, bytes: usize::MAX }, vec![4, 4, 2]),
            (Limit { messages: usize::MAX, bytes: 21 }, vec![3, 3, 3, 1]),
            (Limit { messages: 0, bytes: 0 }, vec![1; 10]),
        ] {
            let (mut from, mut parts) = (0, Vec::new());
            while let Some(part) = cut(&batch, from, limit, false) {
                from += part.messages;
                parts.push(part.messages);
            }
            assert_eq!(parts, expected);
        }
    }

    #[test]
    fn one_message_larger_than_the_limit_goes_alone() {
        let large = "x".repeat(5000);
        let batch: Lines = ["{}", &large, "{}"].into_iter().collect();
        let limit = Limit { messages: 100, bytes: 1000 };
        assert_eq!(cut(&batch, 0, limit, false).unwrap().messages, 1);
        assert_eq!(cut(&batch, 1, limit, false).unwrap().messages, 1);
        assert_eq!(cut(&batch, 2, limit, false).unwrap().messages, 1);
        assert!(cut(&batch, 3, limit, false).is_none());
    }
}
