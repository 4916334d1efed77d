//! Messages on standard error: one line of JSON each, as Metlog's ZeroMQ senders write them.

use metlog_message::Lines;
use std::io::{self, Write};

/// Writes these lines with one call, so that lines of other threads do not end up inside them.
pub(crate) fn write(lines: &[u8]) -> io::Result<()> {
    let mut stderr = io::stderr().lock();
    stderr.write_all(lines)?;
    stderr.flush()
}

/// `debug_stderr`: every message once, however often it has to be sent.
#[derive(Debug, Default)]
pub(crate) struct Echo {
    on: bool,
    /// What was written but not sent yet: it comes again, at the front of the next batch.
    ahead: Vec<u8>,
}

impl Echo {
    pub fn new(on: bool) -> Self {
        Echo { on, ahead: Vec::new() }
    }

    /// Whether messages are written here anyway.
    pub fn is_on(&self) -> bool {
        self.on
    }

    /// Writes what was not written before. That it may fail is the debugger's trouble, not the message's.
    pub fn before(&mut self, batch: &Lines) {
        if self.on {
            let _ = write(self.unseen(batch.bytes()));
        }
    }

    fn unseen<'a>(&self, batch: &'a [u8]) -> &'a [u8] {
        batch.strip_prefix(self.ahead.as_slice()).unwrap_or(batch)
    }

    /// Remembers what was not sent: all after the first `done` messages.
    pub fn after(&mut self, batch: &Lines, done: usize) {
        if self.on {
            self.ahead.clear();
            for message in batch.iter().skip(done) {
                self.ahead.extend_from_slice(message);
                self.ahead.push(b'\n');
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_message_that_is_sent_again_is_not_written_again() {
        let mut echo = Echo::new(true);
        let batch: Lines = ["{\"n\":1}", "{\"n\":2}"].into_iter().collect();
        assert_eq!(echo.unseen(batch.bytes()), batch.bytes());
        echo.after(&batch, 1);
        let next: Lines = ["{\"n\":2}", "{\"n\":3}"].into_iter().collect();
        assert_eq!(echo.unseen(next.bytes()), b"{\"n\":3}\n");
        echo.after(&next, 2);
        let last: Lines = ["{\"n\":3}"].into_iter().collect();
        assert_eq!(echo.unseen(last.bytes()), b"{\"n\":3}\n");
    }
}
