use metlog_message::wire::{Piece, Splitter};
use metlog_pipeline::registry::Configured;
use metlog_pipeline::{Inlet, Input, InputEntry, Reason, Stop, inventory};
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::Errno;
use serde::Deserialize;
use std::os::fd::{AsFd, OwnedFd};
use std::time::Duration;

/// Read at a time, and committed.
const READ: usize = 256 * 1024;
/// So long a read waits for something to come. A thread that reads cannot be told to stop, only asked now and then.
const PATIENCE: Duration = Duration::from_millis(250);
/// Read at the most after it is time to stop: what a pipe may hold by then.
const LAST: usize = 1024 * 1024;
/// So long it is waited for what was committed last, once it is time to stop.
const FAREWELL: Duration = Duration::from_secs(2);

/// Settings of `stdin`: none.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Config {}

/// Reads messages until the end of the input.
pub struct StdinInput(OwnedFd);

impl StdinInput {
    /// One that reads from somewhere else: a pipe, a file.
    pub fn of(from: impl Into<OwnedFd>) -> Self {
        StdinInput(from.into())
    }
}

impl Configured for StdinInput {
    type Config = Config;

    fn open(_: Config) -> Result<Self, String> {
        let own = std::io::stdin().as_fd().try_clone_to_owned();
        own.map(StdinInput).map_err(|error| format!("standard input cannot be read: {error}"))
    }
}

#[async_trait::async_trait]
impl Input for StdinInput {
    fn place(&self) -> String {
        "standard input".to_owned()
    }

    async fn run(self: Box<Self>, mut inlet: Inlet, stop: Stop) -> Result<(), String> {
        let mut splitter = Splitter::new(inlet.message_limit());
        let mut from = self.0;
        let mut buffer = vec![0; READ];
        let mut left = LAST;
        let ended = loop {
            let patience = if stop.is_stopped() { Duration::ZERO } else { PATIENCE };
            let part;
            // Reading blocks, so it has a thread, never for longer than that.
            let read = tokio::task::spawn_blocking(move || {
                let part = read(&from, &mut buffer, patience);
                (from, buffer, part)
            });
            (from, buffer, part) = read.await.map_err(|error| format!("reading broke off: {error}"))?;
            match part.map_err(|error| format!("standard input: {error}"))? {
                Some(0) => break true,
                Some(count) => {
                    splitter.push(buffer.get(..count).unwrap_or_default());
                    while let Some(piece) = splitter.next_piece() {
                        push(&mut inlet, piece);
                    }
                    if !commit(&mut inlet, &stop).await {
                        break false;
                    }
                    left = if stop.is_stopped() { left.saturating_sub(count) } else { left };
                }
                None if stop.is_stopped() => break false,
                None => {}
            }
            if left == 0 {
                break false;
            }
        };
        while let Some(piece) = splitter.finish() {
            match piece {
                Piece::Message(part) if !ended => {
                    inlet.refuse(&part, Reason::Truncated, "the router stopped amid a message of standard input");
                }
                piece => push(&mut inlet, piece),
            }
        }
        commit(&mut inlet, &stop).await;
        // Whoever piped a file in and sees the router end takes all of it to be safe.
        let durable = inlet.durable();
        tokio::select! {
            durable = durable => durable.map_err(|full| full.why),
            () = late(&stop) => Ok(()),
        }
    }
}

/// Ends when it has been time to stop for a while.
async fn late(stop: &Stop) {
    stop.stopped().await;
    tokio::time::sleep(FAREWELL).await;
}

/// Hands over what was pushed, and waits for room: whoever writes to a pipe can be made to wait. False if it is time to
/// stop and there is none.
async fn commit(inlet: &mut Inlet, stop: &Stop) -> bool {
    while let Err(full) = inlet.commit() {
        if stop.is_stopped() {
            // Nobody can read it again.
            inlet.drop_pushed(Reason::SpoolFull);
            return false;
        }
        let _ = tokio::time::timeout(full.retry_after, stop.stopped()).await;
    }
    true
}

fn push(inlet: &mut Inlet, piece: Piece) {
    match piece {
        Piece::Message(text) => inlet.push(&text),
        Piece::Oversized(bytes) => {
            let why = format!("a message of {bytes} bytes on standard input; the limit is {}", inlet.message_limit());
            inlet.refuse(b"", Reason::TooLarge, &why);
        }
    }
}

/// Reads what is there; nought is the end, none is nothing for so long.
fn read(from: &OwnedFd, buffer: &mut [u8], patience: Duration) -> rustix::io::Result<Option<usize>> {
    let time = Timespec { tv_sec: 0, tv_nsec: patience.subsec_nanos().into() };
    let come = poll(&mut [PollFd::new(from, PollFlags::IN)], Some(&time));
    match come.and_then(|come| if come == 0 { Err(Errno::AGAIN) } else { rustix::io::read(from, buffer) }) {
        // Somebody else at the same terminal or pipe may have been quicker.
        Err(Errno::AGAIN | Errno::INTR) => Ok(None),
        read => read.map(Some),
    }
}

inventory::submit! {
    InputEntry::of::<StdinInput>("stdin", &[], include_str!("../example.input.toml"))
}
