//! One socket to one endpoint: connects, waits for the subscription, publishes, reconnects.
//!
//! ```text
//!   Starting ─► Away ◄──────────── connection lost, or stuck ─────────────┐
//!                │ connect (again after 50 ms … 5 s)                      │
//!                └────────► Silent ── first subscription ──► Ready ───────┘
//! ```

use crate::board::{Board, Status};
use crate::peers::Peers;
use bytes::Bytes;
use std::future::{Future, poll_fn};
use std::pin::pin;
use std::sync::{Arc, mpsc as std_mpsc};
use std::task::Poll;
use std::time::Duration;
use tokio::sync::mpsc;
use tokio::time::{Instant, sleep, timeout};
use zeromq::{Socket, SocketOptions, SocketRecv, SocketSend, XPubSocket, ZmqMessage};

/// Pauses between two attempts to connect grow from the first to the second.
const SHORTEST: Duration = Duration::from_millis(50);
const LONGEST: Duration = Duration::from_secs(5);
/// One attempt, ZeroMQ's own handshake included. Within it the crate tries again and again by itself.
const ATTEMPT: Duration = Duration::from_secs(3);

/// Who goes to whom.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Way {
    /// We connect, the router binds: Metlog's way.
    Connect,
    /// We bind, routers connect: metlog-node's way.
    Bind,
}

/// Frames to publish, and where to say what became of them.
pub(crate) struct Job {
    pub frames: Arc<[Bytes]>,
    pub answer: std_mpsc::Sender<(usize, Result<(), String>)>,
}

/// A link, before it runs.
pub(crate) struct Link {
    pub number: usize,
    pub endpoint: String,
    pub way: Way,
    pub board: Arc<Board>,
    pub jobs: mpsc::Receiver<Job>,
    /// How long publishing one job may take before the other end counts as stuck.
    pub patience: Duration,
}

/// What the other end did.
#[derive(Debug)]
enum Event {
    Subscribed,
    Unsubscribed,
    /// Something that means nothing here.
    Noise,
    /// It is gone (with `Way::Bind`: the last one is).
    Gone(String),
}

/// Why a socket is of no more use.
enum End {
    /// The other end is gone.
    Lost(String),
    /// No more jobs will come.
    Closed,
}

impl Link {
    /// Runs until nobody can send jobs any more.
    pub async fn run(mut self) {
        let mut pause = SHORTEST;
        loop {
            let socket = self.while_away(open(self.endpoint.clone(), self.way)).await;
            let why = match socket {
                None => return,
                Some(Err(why)) => why,
                Some(Ok((socket, peers))) => {
                    let since = Instant::now();
                    let end = self.serve(socket, peers).await;
                    // A connection that held for a while was a good one. One that dies at once, again and again, is
                    // tried less and less often.
                    if since.elapsed() > LONGEST {
                        pause = SHORTEST;
                    }
                    match end {
                        End::Closed => return,
                        End::Lost(why) => why,
                    }
                }
            };
            self.board.set(self.number, Status::Away(why));
            if self.while_away(sleep(pause)).await.is_none() {
                return;
            }
            pause = (pause * 2).min(LONGEST);
        }
    }

    /// Waits for something while jobs that come are sent back at once. `None` when no more can come.
    async fn while_away<T>(&mut self, what: impl Future<Output = T>) -> Option<T> {
        let mut what = pin!(what);
        loop {
            tokio::select! {
                done = &mut what => return Some(done),
                job = self.jobs.recv() => {
                    let _ = job?.answer.send((self.number, Err(format!("{} is away", self.endpoint))));
                }
            }
        }
    }

    async fn serve(&mut self, mut socket: XPubSocket, peers: Peers) -> End {
        let mut subscriptions = 0usize;
        loop {
            let listens = subscriptions > 0 && peers.any();
            self.board.set(self.number, if listens { Status::Ready } else { Status::Silent });
            // A socket that is bound goes on without any peer; a connection does not.
            let mind = self.way == Way::Connect || subscriptions > 0;
            let event = tokio::select! {
                biased;
                event = next(&mut socket, &peers, mind) => event,
                job = self.jobs.recv() => {
                    let Some(job) = job else {
                        // Whatever the other end said last is read first: a connection that is closed over unread
                        // bytes takes its own last bytes with it.
                        while let Some(Event::Subscribed | Event::Unsubscribed | Event::Noise) =
                            next_now(&mut socket, &peers, mind).await
                        {}
                        return End::Closed;
                    };
                    let result = self.publish(&mut socket, &peers, &job.frames, &mut subscriptions).await;
                    let lost = result.clone().err();
                    let _ = job.answer.send((self.number, result));
                    match lost {
                        Some(why) => return End::Lost(why),
                        None => continue,
                    }
                }
            };
            match event {
                Event::Gone(why) if self.way == Way::Connect => return End::Lost(why),
                event => count(&mut subscriptions, &event),
            }
        }
    }

    /// Writes each frame to the connection. `Ok` means that the system has taken all of them and that the connection
    /// was still there afterwards.
    async fn publish(
        &self,
        socket: &mut XPubSocket,
        peers: &Peers,
        frames: &[Bytes],
        subscriptions: &mut usize,
    ) -> Result<(), String> {
        let gone = || format!("the connection to {} broke", self.endpoint);
        let write = async {
            for frame in frames {
                socket.send(ZmqMessage::from(frame.clone())).await.map_err(|error| format!("{}: {error}", gone()))?;
                if !peers.any() {
                    return Err(gone());
                }
            }
            Ok(())
        };
        match timeout(self.patience, write).await {
            Ok(written) => written?,
            Err(_) => return Err(format!("{} took a batch not within {:?}", self.endpoint, self.patience)),
        }
        // The crate keeps most write errors to itself. But then the system also reports the connection as closed:
        // let the runtime ask, then look.
        tokio::task::yield_now().await;
        while let Some(event) = next_now(socket, peers, true).await {
            if let Event::Gone(why) = event {
                return Err(why);
            }
            count(subscriptions, &event);
        }
        Ok(())
    }
}

fn count(subscriptions: &mut usize, event: &Event) {
    *subscriptions = match event {
        Event::Subscribed => subscriptions.saturating_add(1),
        Event::Unsubscribed => subscriptions.saturating_sub(1),
        Event::Noise => *subscriptions,
        Event::Gone(_) => 0,
    };
}

/// A socket with its first connection, or bound.
async fn open(endpoint: String, way: Way) -> Result<(XPubSocket, Peers), String> {
    let mut options = SocketOptions::default();
    options.connect_timeout(ATTEMPT);
    let mut socket = XPubSocket::with_options(options);
    match way {
        Way::Connect => {
            let peers = Peers::of(&socket);
            match socket.connect(&endpoint).await {
                Ok(()) => Ok((socket, peers)),
                Err(zeromq::ZmqError::ConnectTimeout(_)) => Err(format!("no ZeroMQ subscriber answers at {endpoint}")),
                Err(error) => Err(format!("cannot connect to {endpoint}: {error}")),
            }
        }
        Way::Bind => match socket.bind(&endpoint).await {
            Ok(_) => {
                let peers = Peers::of(&socket);
                Ok((socket, peers))
            }
            Err(error) => Err(format!("cannot bind {endpoint}: {error}")),
        },
    }
}

/// What the other end does next. With `mind`, being alone is an event.
async fn next(socket: &mut XPubSocket, peers: &Peers, mind: bool) -> Event {
    let mut received = pin!(socket.recv());
    poll_fn(|cx| match received.as_mut().poll(cx) {
        Poll::Ready(Ok(message)) => Poll::Ready(understand(&message)),
        Poll::Ready(Err(_)) if !mind || peers.any() => Poll::Ready(Event::Noise),
        Poll::Ready(Err(error)) => Poll::Ready(Event::Gone(format!("the subscriber broke off: {error}"))),
        Poll::Pending if mind && !peers.any() => Poll::Ready(Event::Gone("the subscriber went away".to_owned())),
        Poll::Pending => Poll::Pending,
    })
    .await
}

/// What it has already done.
async fn next_now(socket: &mut XPubSocket, peers: &Peers, mind: bool) -> Option<Event> {
    let mut event = pin!(next(socket, peers, mind));
    poll_fn(|cx| match event.as_mut().poll(cx) {
        Poll::Ready(event) => Poll::Ready(Some(event)),
        Poll::Pending => Poll::Ready(None),
    })
    .await
}

fn understand(message: &ZmqMessage) -> Event {
    match message.get(0).and_then(|frame| frame.first()) {
        Some(1) if message.len() == 1 => Event::Subscribed,
        Some(0) if message.len() == 1 => Event::Unsubscribed,
        _ => Event::Noise,
    }
}
