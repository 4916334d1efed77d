//! One accepted connection: its handshake, then whatever it sends, one commit per read.

use crate::arrival::{commit, take};
use crate::roster::Seat;
use crate::session::{Session, Violation};
use metlog_pipeline::{Away, Inlet, Reason, Stop};
use std::cell::RefCell;
use std::future::poll_fn;
use std::io;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::task::{Poll, ready};
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncWrite, AsyncWriteExt, ReadBuf};
use tokio::sync::Semaphore;
use tokio::time::{Instant, timeout, timeout_at};

/// How long a peer may take over its handshake, and over reading what we answer.
const HANDSHAKE: Duration = Duration::from_secs(10);
/// How long a message may take from its first byte to its last.
const STALL: Duration = Duration::from_secs(60);
/// A stop reads on until a peer has been silent for so long …
const QUIET: Duration = Duration::from_millis(20);
/// … but not longer than this.
const DRAIN: Duration = Duration::from_secs(1);

/// What is read at a time. All connections of a thread read into one buffer, so that an idle one costs next to nothing:
/// what a connection has of its own is the beginning of a message that has not come whole.
const READ: usize = 128 * 1024;
/// A message that takes more than one read needs one of so many passes while it is under way, so that all peers
/// together cannot make us hold more than that many of them.
pub(crate) const PASSES: usize = 64;

thread_local! {
    static BUFFER: RefCell<Vec<u8>> = RefCell::new(vec![0; READ]);
}

/// A connection of any kind.
pub(crate) trait Io: AsyncRead + AsyncWrite + Send + Unpin {}
impl<T: AsyncRead + AsyncWrite + Send + Unpin> Io for T {}

/// One peer, from greeting to end.
pub(crate) struct Connection<T> {
    pub io: T,
    pub session: Session,
    /// Where messages go; whoever only answers has none.
    pub inlet: Option<Inlet>,
    pub seat: Seat,
    /// See [`PASSES`].
    pub passes: Arc<Semaphore>,
}

/// Why a connection is over.
enum End {
    /// The peer went, orderly or not.
    Gone,
    /// It was stuck, in the middle of something.
    Stalled,
    /// It did what it may not.
    Violation(Violation),
}

impl<T: Io> Connection<T> {
    /// Serves the peer until it goes, does what it may not, or it is time to stop.
    pub async fn run(mut self, stop: Stop) {
        let end = self.serve(&stop).await;
        self.account(end);
        self.commit(&stop).await;
    }

    async fn serve(&mut self, stop: &Stop) -> Option<End> {
        let mut stopped = pin!(stop.stopped());
        let hands = async {
            self.write(Session::opening()).await?;
            while !self.session.is_open() {
                self.step().await?;
            }
            Ok(())
        };
        tokio::select! {
            shaken = timeout(HANDSHAKE, hands) => match shaken {
                Ok(Ok(())) => {}
                Ok(Err(end)) => return Some(end),
                Err(_) => return Some(End::Stalled),
            },
            () = &mut stopped => return None,
        }
        let mut pass = None;
        let mut begun = (self.session.progress(), Instant::now());
        loop {
            self.commit(stop).await;
            if self.session.progress() != begun.0 {
                begun = (self.session.progress(), Instant::now());
                pass = None;
            }
            if pass.is_none() && self.session.expected() > READ {
                let passes = Arc::clone(&self.passes);
                pass = tokio::select! {
                    pass = passes.acquire_owned() => pass.ok(),
                    () = &mut stopped => return self.drain().await,
                };
                begun.1 = Instant::now();
            }
            let amid = self.session.is_amid_message();
            let step = async {
                match amid {
                    true => timeout_at(begun.1 + STALL, self.step()).await.unwrap_or(Err(End::Stalled)),
                    false => self.step().await,
                }
            };
            tokio::select! {
                biased;
                step = step => match step {
                    Ok(()) => {}
                    Err(end) => return Some(end),
                },
                () = &mut stopped => return self.drain().await,
            }
        }
    }

    /// What is under way already, when it is time to stop.
    async fn drain(&mut self) -> Option<End> {
        let until = Instant::now() + DRAIN;
        while Instant::now() < until {
            match timeout(QUIET, self.step()).await {
                Ok(Ok(())) => {}
                Ok(Err(end)) => return Some(end),
                Err(_) => break,
            }
        }
        None
    }

    /// One read, and the answer if there is one.
    async fn step(&mut self) -> Result<(), End> {
        let Connection { io, session, inlet, seat, .. } = self;
        let was_open = session.is_open();
        let mut out = Vec::new();
        let read = poll_fn(|context| {
            BUFFER.with_borrow_mut(|buffer| {
                let mut buffer = ReadBuf::new(buffer);
                let read = ready!(Pin::new(&mut *io).poll_read(context, &mut buffer));
                if read.is_err() || buffer.filled().is_empty() {
                    return Poll::Ready(Err(End::Gone));
                }
                let fed = session.feed(buffer.filled(), &mut out, &mut |frame| {
                    if let Some(inlet) = inlet {
                        take(frame, inlet);
                    }
                });
                Poll::Ready(fed.map_err(End::Violation))
            })
        })
        .await;
        if !was_open && session.is_open() {
            seat.settle();
        }
        // Also after a violation, which it may be told of.
        let written = self.write(&out).await;
        read.and(written)
    }

    async fn write(&mut self, out: &[u8]) -> Result<(), End> {
        if out.is_empty() {
            return Ok(());
        }
        let written: Result<io::Result<()>, _> = timeout(HANDSHAKE, self.io.write_all(out)).await;
        written.map_err(|_| End::Stalled)?.map_err(|_| End::Gone)
    }

    async fn commit(&mut self, stop: &Stop) {
        if let Some(inlet) = &mut self.inlet {
            commit(inlet, stop).await;
        }
    }

    /// A message that did not come whole was received all the same.
    fn account(&mut self, end: Option<End>) {
        let Some(inlet) = &mut self.inlet else { return };
        if !self.session.is_open() {
            if matches!(end, Some(End::Stalled | End::Violation(_))) {
                inlet.turned_away(Away::Protocol);
            }
            return;
        }
        let part = self.session.unfinished();
        match end {
            Some(End::Violation(Violation::TooLarge(length))) => {
                let why = format!("a message of {length} bytes was announced, more than `max_message` allows");
                inlet.refuse(part, Reason::TooLarge, &why);
            }
            Some(End::Violation(Violation::Garbled(why))) => {
                inlet.refuse(part, Reason::Malformed, &format!("not ZeroMQ as it should be: {why}"));
            }
            _ if !self.session.is_amid_message() => {}
            Some(End::Gone) => inlet.refuse(part, Reason::Truncated, "the connection ended in the middle of a message"),
            Some(End::Stalled) => inlet.refuse(part, Reason::Truncated, "the peer stopped in the middle of a message"),
            None => inlet.refuse(part, Reason::Truncated, "the router stopped in the middle of a message"),
        }
    }
}
