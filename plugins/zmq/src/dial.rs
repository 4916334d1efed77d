//! A socket of ours that connects: to a publisher that binds, as metlog-node's does. The crate `zeromq` speaks here, to
//! a peer that the configuration names; when it loses the peer, it is replaced.

use crate::arrival::{commit, take};
use crate::input::Kind;
use metlog_pipeline::{Inlet, Reason, Stop};
use std::future::{Future, poll_fn};
use std::pin::pin;
use std::task::Poll;
use std::time::Duration;
use tokio::time::{Instant, sleep, timeout};
use zeromq::{PullSocket, Socket, SocketEvent, SocketOptions, SocketRecv, SubSocket, ZmqMessage};

/// Pauses between two attempts grow from the first to the second.
const SHORTEST: Duration = Duration::from_millis(50);
const LONGEST: Duration = Duration::from_secs(5);
/// One attempt, ZeroMQ's handshake included.
const ATTEMPT: Duration = Duration::from_secs(3);
/// The most messages between two commits.
const BATCH: usize = 1024;
/// A stop takes what comes until nothing has for so long …
const QUIET: Duration = Duration::from_millis(20);
/// … but not longer than this.
const DRAIN: Duration = Duration::from_secs(1);

/// Where to connect, what as, and where messages go.
pub(crate) struct Dial {
    pub endpoint: String,
    pub kind: Kind,
    pub topics: Vec<String>,
    pub limit: usize,
    pub inlet: Inlet,
}

impl Dial {
    /// Connects, takes what comes, connects again, until told to stop.
    pub async fn run(mut self, stop: Stop) {
        let mut pause = SHORTEST;
        while !stop.is_stopped() {
            let since = Instant::now();
            match self.kind {
                Kind::Sub => self.subscriber(&stop).await,
                Kind::Pull => self.puller(&stop).await,
            }
            // A connection that held for a while was a good one.
            if since.elapsed() > LONGEST {
                pause = SHORTEST;
            }
            tokio::select! {
                () = sleep(pause) => {}
                () = stop.stopped() => {}
            }
            pause = (pause * 2).min(LONGEST);
        }
    }

    async fn subscriber(&mut self, stop: &Stop) {
        let mut socket = SubSocket::with_options(options());
        for topic in &self.topics {
            // Nobody is connected whom it could fail at.
            let _ = socket.subscribe(topic).await;
        }
        self.serve(socket, stop).await;
    }

    async fn puller(&mut self, stop: &Stop) {
        self.serve(PullSocket::with_options(options()), stop).await;
    }

    async fn serve(&mut self, mut socket: impl Socket + SocketRecv, stop: &Stop) {
        let mut events = socket.monitor();
        let connected = tokio::select! {
            connected = socket.connect(&self.endpoint) => connected.is_ok(),
            () = stop.stopped() => false,
        };
        // Noticed by whoever reads: the event comes when the stream has ended, after the last message.
        let mut gone = move || {
            std::iter::from_fn(|| events.try_recv().ok()).any(|event| matches!(event, SocketEvent::Disconnected(_)))
        };
        let mut drained = None;
        let mut here = connected;
        while here {
            let waiting = async {
                match drained {
                    None => next(&mut socket, &mut gone).await,
                    Some(until) if Instant::now() < until => {
                        timeout(QUIET, next(&mut socket, &mut gone)).await.unwrap_or(None)
                    }
                    Some(_) => None,
                }
            };
            tokio::select! {
                biased;
                message = waiting => {
                    here = message.is_some();
                    let mut count = 0;
                    let mut message = message;
                    while let Some(one) = message {
                        self.take(&one);
                        count += 1;
                        message = if count < BATCH { now(&mut socket).await } else { None };
                    }
                }
                () = stop.stopped(), if drained.is_none() => drained = Some(Instant::now() + DRAIN),
            }
            commit(&mut self.inlet, stop).await;
        }
    }

    /// Earlier frames than the last one are a topic.
    fn take(&mut self, message: &ZmqMessage) {
        match message.iter().last() {
            Some(frame) if frame.len() <= self.limit => take(frame, &mut self.inlet),
            Some(frame) => {
                let part = frame.get(..1024).unwrap_or(frame);
                let why = format!("a message of {} bytes, more than `max_message` allows", frame.len());
                self.inlet.refuse(part, Reason::TooLarge, &why);
            }
            None => {}
        }
    }
}

fn options() -> SocketOptions {
    let mut options = SocketOptions::default();
    options.connect_timeout(ATTEMPT);
    options
}

/// The next message; nothing when the peer is gone.
async fn next(socket: &mut impl SocketRecv, gone: &mut impl FnMut() -> bool) -> Option<ZmqMessage> {
    let mut received = pin!(socket.recv());
    poll_fn(|context| match received.as_mut().poll(context) {
        Poll::Ready(message) => Poll::Ready(message.ok()),
        Poll::Pending if gone() => Poll::Ready(None),
        Poll::Pending => Poll::Pending,
    })
    .await
}

/// A message that is here already.
async fn now(socket: &mut impl SocketRecv) -> Option<ZmqMessage> {
    let mut received = pin!(socket.recv());
    poll_fn(|context| match received.as_mut().poll(context) {
        Poll::Ready(message) => Poll::Ready(message.ok()),
        Poll::Pending => Poll::Ready(None),
    })
    .await
}
