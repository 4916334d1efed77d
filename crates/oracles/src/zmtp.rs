//! ZMTP, what a peer says to the input `zmq`.
//!
//! The first byte of an input says what we are, the second how what the peer says is torn.

use crate::{choices, shown, tears};
use metlog_zmq::session::{Role, Session, Violation};

/// The largest frame.
const LIMIT: usize = 512;

/// Where what the peer says is torn makes no difference to what is understood, answered and held against it; no message
/// is larger than a frame may be, and no more is held than that.
pub fn zmtp(data: &[u8]) {
    let ([role, seed], bytes) = choices(data);
    let [whole, single, torn] = tears(bytes, seed).map(|parts| listen(role, &parts));
    assert_eq!(single, whole, "byte by byte");
    assert_eq!(torn, whole, "torn");
}

#[derive(Debug, PartialEq)]
struct Heard {
    messages: Vec<Vec<u8>>,
    answers: String,
    end: Result<(), Violation>,
    is_open: bool,
    amid: bool,
}

fn listen(role: u8, parts: &[&[u8]]) -> Heard {
    let role = match role % 4 {
        0 => Role::Pull,
        1 => Role::Rep,
        2 => Role::Sub(vec![Vec::new()]),
        _ => Role::Sub(vec![b"{\"a".to_vec(), b"{\"b".to_vec()]),
    };
    let mut session = Session::new(role, LIMIT);
    let (mut out, mut messages) = (Vec::new(), Vec::new());
    let mut end = Ok(());
    for part in parts {
        end = session.feed(part, &mut out, &mut |message| messages.push(message.to_vec()));
        if end.is_err() {
            break;
        }
        // A command may be larger than a frame may be here, but not than this; and all has a header.
        assert!(session.unfinished().len() <= LIMIT.max(8 * 1024) + 10, "{} bytes held", session.unfinished().len());
        assert!(session.unfinished().len() <= session.expected(), "more is held than is waited for");
    }
    assert!(messages.iter().all(|message| message.len() <= LIMIT), "a message beyond the limit");
    Heard { messages, answers: shown(&out), end, is_open: session.is_open(), amid: session.is_amid_message() }
}
