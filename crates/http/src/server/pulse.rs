//! Whether a connection is alive, and who is to blame if not.
//!
//! hyper knows one time-out, for heads, and lets it run between two requests as well. So the connection is watched from
//! beneath (bytes read, writes that wait) and from above (requests begun and answered), and one timer per connection
//! looks at both a few times in the shortest time-out: a busy connection sets no timers at all.

use super::{Counters, ServerLimits};
use http_body::{Body, Frame, SizeHint};
use metlog_pipeline::Away;
use std::io::{self, IoSlice};
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, ready};
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::{Instant, Sleep, sleep, sleep_until};

/// What a connection is waiting for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Phase {
    /// A head: since the connection began, or since its first byte.
    Head,
    /// Us; or a body, which has a time-out of its own.
    Answer,
    /// The next request.
    Idle,
}

#[derive(Debug)]
struct State {
    phase: Phase,
    since: Instant,
    /// A write is waiting for the client since then.
    stuck: Option<Instant>,
    /// Whether there has been a request yet.
    served: bool,
    /// The server ends.
    ending: bool,
}

/// How long a request that has begun to come when the server ends may go on to do so.
const LAST: Duration = Duration::from_secs(1);

/// The state of one connection.
#[derive(Debug, Clone)]
pub(super) struct Pulse(Arc<Mutex<State>>);

/// What took too long.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Overdue {
    Head,
    Idle,
    Write,
    End,
}

impl Pulse {
    pub(super) fn new() -> Self {
        let (phase, since) = (Phase::Head, Instant::now());
        Pulse(Arc::new(Mutex::new(State { phase, since, stuck: None, served: false, ending: false })))
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn enter(&self, phase: Phase) {
        let mut state = self.state();
        (state.phase, state.since) = (phase, Instant::now());
    }

    /// A head is whole.
    pub(super) fn request(&self) {
        self.enter(Phase::Answer);
        self.state().served = true;
    }

    /// The server ends. False if nothing of this connection is worth waiting for.
    pub(super) fn end(&self) -> bool {
        let mut state = self.state();
        state.ending = true;
        state.served
    }

    fn read(&self) {
        let mut state = self.state();
        if state.phase == Phase::Idle {
            (state.phase, state.since) = (Phase::Head, Instant::now());
        }
    }

    fn wrote(&self, waits: bool) {
        let mut state = self.state();
        match (waits, state.stuck) {
            (true, None) => state.stuck = Some(Instant::now()),
            (false, Some(_)) => state.stuck = None,
            _ => {}
        }
    }

    /// Ends when something has taken too long.
    pub(super) async fn overdue(&self, limits: &ServerLimits) -> Overdue {
        let waits = [limits.header_timeout, limits.idle_timeout, limits.write_timeout].map(|span| span.duration());
        let shortest = waits.iter().min().copied().unwrap_or_default();
        let look = (shortest / 8).clamp(Duration::from_millis(5), Duration::from_secs(1));
        loop {
            sleep(look).await;
            let now = Instant::now();
            let State { phase, since, stuck, ending, .. } = *self.state();
            let waited = now.saturating_duration_since(since);
            if stuck.is_some_and(|stuck| now.saturating_duration_since(stuck) > limits.write_timeout.duration()) {
                return Overdue::Write;
            }
            match phase {
                Phase::Head if ending && waited > LAST => return Overdue::End,
                Phase::Head if waited > limits.header_timeout.duration() => return Overdue::Head,
                Phase::Idle if waited > limits.idle_timeout.duration() => return Overdue::Idle,
                _ => {}
            }
        }
    }
}

/// The first byte of TLS, which begins no request.
const TLS: u8 = 0x16;

/// A socket that tells its pulse.
pub(super) struct Watched<S> {
    pub socket: S,
    pub pulse: Pulse,
    /// Whether the first byte has yet to be looked at, and who counts those that speak TLS; none where they should.
    pub unseen: Option<Arc<Counters>>,
}

impl<S: AsyncRead + Unpin> AsyncRead for Watched<S> {
    fn poll_read(mut self: Pin<&mut Self>, context: &mut Context<'_>, into: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let before = into.filled().len();
        ready!(Pin::new(&mut self.socket).poll_read(context, into))?;
        if let Some(first) = into.filled().get(before) {
            let first = *first;
            self.pulse.read();
            if let Some(counters) = self.unseen.take()
                && first == TLS
            {
                counters.turn_away(Away::Tls);
                return Poll::Ready(Err(io::ErrorKind::InvalidData.into()));
            }
        }
        Poll::Ready(Ok(()))
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Watched<S> {
    fn poll_write(mut self: Pin<&mut Self>, context: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let wrote = Pin::new(&mut self.socket).poll_write(context, bytes);
        self.pulse.wrote(wrote.is_pending());
        wrote
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        parts: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let wrote = Pin::new(&mut self.socket).poll_write_vectored(context, parts);
        self.pulse.wrote(wrote.is_pending());
        wrote
    }

    fn is_write_vectored(&self) -> bool {
        self.socket.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.socket).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.socket).poll_shutdown(context)
    }
}

/// An answer's body, which ends a request when it is gone.
pub(super) struct Answer {
    pub body: axum::body::Body,
    pub pulse: Pulse,
}

impl Body for Answer {
    type Data = bytes::Bytes;
    type Error = axum::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Self::Data>, Self::Error>>> {
        Pin::new(&mut self.body).poll_frame(context)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

impl Drop for Answer {
    fn drop(&mut self) {
        self.pulse.enter(Phase::Idle);
    }
}

/// A request's body that fails if it comes too slowly: whoever reads it is protected, knowingly or not.
pub(super) struct Timely {
    body: hyper::body::Incoming,
    patience: Duration,
    rate: u64,
    began: Option<Instant>,
    received: u64,
    timer: Option<Pin<Box<Sleep>>>,
}

/// A body came too slowly.
#[derive(Debug)]
pub(super) struct TooSlow;

impl std::fmt::Display for TooSlow {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("the body came too slowly")
    }
}

impl std::error::Error for TooSlow {}

impl Timely {
    pub(super) fn new(body: hyper::body::Incoming, limits: &ServerLimits) -> Self {
        Timely {
            body,
            patience: limits.body_timeout.duration(),
            rate: limits.body_rate.bytes().max(1),
            began: None,
            received: 0,
            timer: None,
        }
    }
}

impl Body for Timely {
    type Data = bytes::Bytes;
    type Error = Box<dyn std::error::Error + Send + Sync>;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Self::Data>, Self::Error>>> {
        let this = &mut *self;
        if let Poll::Ready(frame) = Pin::new(&mut this.body).poll_frame(context) {
            if let Some(Ok(frame)) = &frame {
                this.received += frame.data_ref().map_or(0, |data| data.len() as u64);
            }
            return Poll::Ready(frame.map(|frame| frame.map_err(Into::into)));
        }
        // Every second's worth of bytes moves the deadline by a second, so a steady trickle does not last for ever.
        let began = *this.began.get_or_insert_with(Instant::now);
        let earned = Duration::from_millis(this.received.saturating_mul(1000) / this.rate);
        let deadline = began + this.patience + earned;
        let timer = this.timer.get_or_insert_with(|| Box::pin(sleep_until(deadline)));
        if timer.deadline() != deadline {
            timer.as_mut().reset(deadline);
        }
        ready!(timer.as_mut().poll(context));
        Poll::Ready(Some(Err(TooSlow.into())))
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}
