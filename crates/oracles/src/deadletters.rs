//! Dead letters, written to real files.

use crate::place::Place;
use crate::{choices, shown};
use metlog_message::wire;
use metlog_router::deadletters::{DeadLetters, Letter};
use serde_json::Value;

/// More of a message is cut off, and of a cause.
const KEPT: usize = 64 * 1024;
const WHY: usize = 1024;

/// One letter is one line of JSON that says what it was told, whatever that was: reason, cause and message are lines of
/// the input, the message its last one, to the end. If the first byte is odd and the message is JSON, it came through
/// the spool.
pub fn dead_letter(data: &[u8]) {
    thread_local! {
        static DEAD: (DeadLetters, Place) = {
            let place = Place::new("dead-letter");
            (DeadLetters::new(place.path().join("dead"), 1 << 20), place)
        };
    }
    let ([kind], rest) = choices(data);
    let mut parts = rest.splitn(3, |byte| *byte == b'\n');
    let mut text = || String::from_utf8_lossy(parts.next().unwrap_or_default());
    let (from, why) = (text(), text());
    let message = parts.next().unwrap_or_default();
    let stored = kind & 1 == 1 && !message.contains(&b'\n') && serde_json::from_slice::<Value>(message).is_ok();
    let id = stored.then_some(u64::from(kind) << 56);
    let letter = Letter { from: &from, reason: "refused", why: &why, id, message };
    let line = DEAD.with(|(dead, _)| written(dead, letter));

    let line = line.strip_suffix(b"\n").unwrap_or_else(|| panic!("no newline ends {}", shown(&line)));
    let read: Value = serde_json::from_slice(line).unwrap_or_else(|error| panic!("{error}: {}", shown(line)));
    if !stored {
        assert!(!line.iter().any(|byte| *byte < b' ' || *byte == 0x7f), "a control character in {}", shown(line));
    }
    assert!(wire::read_value(line).is_ok() || stored, "our own reader refuses {}", shown(line));
    let cause = why.get(..why.floor_char_boundary(WHY)).unwrap_or_default();
    assert_eq!((&read["from"], &read["why"]), (&Value::from(&*from), &Value::from(cause)));
    assert_eq!(read["id"], id.map_or(Value::Null, Value::from));
    if stored {
        assert_eq!(read["message"], serde_json::from_slice::<Value>(message).expect("seen before"));
    } else {
        let kept = String::from_utf8_lossy(message.get(..KEPT).unwrap_or(message));
        assert_eq!((&read["bytes"], &read["text"]), (&Value::from(message.len()), &Value::from(kept)));
    }
}

/// What a letter adds to the last file.
fn written(dead: &DeadLetters, letter: Letter<'_>) -> Vec<u8> {
    let last = || dead.files().expect("a folder").pop();
    let before = last();
    dead.keep(std::iter::once(letter)).expect("a disk");
    let (number, path, bytes) = last().expect("a file");
    let start = before.filter(|(before, ..)| *before == number).map_or(0, |(.., bytes)| bytes);
    let text = std::fs::read(path).expect("a file");
    assert_eq!(text.len() as u64, bytes);
    text.get(usize::try_from(start).expect("small")..).expect("it grows").to_vec()
}
