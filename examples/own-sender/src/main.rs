//! A sender of one's own, chosen by name in a configuration like the built-in ones.

use metlog::plugin::{Configured, SenderEntry, inventory};
use metlog::{Lines, SendError, Sender};
use serde::Deserialize;
use std::io::Write;

/// Prints what it is given, behind a prefix.
struct Prefixed {
    prefix: String,
}

/// Settings of `prefixed`.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Settings {
    prefix: String,
}

impl Configured for Prefixed {
    type Config = Settings;

    fn open(Settings { prefix }: Settings) -> Result<Self, String> {
        Ok(Prefixed { prefix })
    }
}

impl Sender for Prefixed {
    fn send(&mut self, batch: &Lines) -> Result<(), SendError> {
        let mut out = std::io::stdout().lock();
        for (done, message) in batch.iter().enumerate() {
            // Said exactly, so that nothing is sent twice when the rest is tried again.
            let retry = |error| SendError::retry_after_first(done, error);
            write!(out, "{}", self.prefix).and_then(|()| out.write_all(message)).and_then(|()| writeln!(out)).map_err(retry)?;
        }
        Ok(())
    }
}

inventory::submit! { SenderEntry::of::<Prefixed>("prefixed", &[], "class = \"prefixed\"\nprefix = \"> \"\n") }

fn main() -> Result<(), metlog::Error> {
    let _guard = metlog::from_text(
        "
        [metlog]
        logger = own
        sender_class = prefixed
        sender_prefix = >>
        ",
        "metlog",
    )?
    .guard();
    metlog::notice!("from a sender of our own");
    Ok(())
}
