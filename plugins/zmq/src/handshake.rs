//! Metlog's handshake: an empty request, and any reply within the time means that the router is there.
//!
//! It carries no token and proves nothing about the path the messages take; that is what the subscription is for.

use bytes::Bytes;
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::time::{Duration, Instant};
use tokio::time::{sleep, timeout};
use zeromq::{ReqSocket, Socket, SocketOptions, SocketRecv, SocketSend, ZmqMessage};

/// One handshake over a socket of its own. On the wire it is two empty frames: REQ's delimiter, and the request.
pub(crate) async fn shake(endpoint: &str, within: Duration) -> bool {
    let request = async {
        let mut options = SocketOptions::default();
        options.connect_timeout(within);
        let mut socket = ReqSocket::with_options(options);
        socket.connect(endpoint).await?;
        socket.send(ZmqMessage::from(Bytes::new())).await?;
        socket.recv().await
    };
    matches!(timeout(within, request).await, Ok(Ok(_)))
}

/// What the last handshake said; nothing before the first one has ended.
#[derive(Debug, Default)]
pub(crate) struct Verdict {
    router: Mutex<Option<bool>>,
    changed: Condvar,
}

impl Verdict {
    /// Whether the last handshake was answered.
    pub fn is_there(&self) -> bool {
        self.router.lock().unwrap_or_else(PoisonError::into_inner).unwrap_or(false)
    }

    /// Waits for the first one.
    pub fn wait(&self, within: Duration) {
        let deadline = Instant::now() + within;
        let mut router = self.router.lock().unwrap_or_else(PoisonError::into_inner);
        while router.is_none() {
            let left = deadline.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return;
            }
            (router, _) = self.changed.wait_timeout(router, left).unwrap_or_else(PoisonError::into_inner);
        }
    }

    fn set(&self, is_there: bool) {
        *self.router.lock().unwrap_or_else(PoisonError::into_inner) = Some(is_there);
        self.changed.notify_all();
    }
}

/// Shakes hands at once and then again and again, until it is dropped.
pub(crate) async fn watch(endpoint: String, within: Duration, every: Duration, verdict: Arc<Verdict>) {
    loop {
        verdict.set(shake(&endpoint, within).await);
        sleep(every).await;
    }
}
