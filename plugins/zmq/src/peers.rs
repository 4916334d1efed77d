//! Whether anybody is connected to a socket.
//!
//! An XPUB socket of the crate `zeromq` says nothing when a peer leaves: no event, no error, later messages just go
//! nowhere. But each of its connections holds a share of the socket's options for as long as it lives, and shares
//! can be counted from outside. Should a later version keep its options differently, the tests of this module and
//! every reconnect test fail: nothing goes wrong silently.

use std::sync::{Arc, Weak};
use zeromq::{Socket, SocketOptions, XPubSocket};

/// Counts the connections of one socket.
pub(crate) struct Peers {
    options: Weak<SocketOptions>,
    /// Shares that are no connections: the socket's own, and one per listener.
    idle: usize,
}

impl Peers {
    /// Of a socket without connections yet: just made, or just bound.
    pub fn of(socket: &XPubSocket) -> Self {
        let options = Arc::downgrade(socket.backend().socket_options());
        let idle = options.strong_count();
        Peers { options, idle }
    }

    /// How many there are, those still shaking hands included.
    pub fn count(&self) -> usize {
        self.options.strong_count().saturating_sub(self.idle)
    }

    /// Whether there is one.
    pub fn any(&self) -> bool {
        self.count() > 0
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::future::{Future, poll_fn};
    use std::pin::pin;
    use std::task::Poll;
    use std::time::Duration;
    use zeromq::{SocketRecv, SubSocket};

    /// Polls the publisher, as it must be for a departure to be noticed, until so many are connected.
    async fn until(publisher: &mut XPubSocket, peers: &Peers, count: usize) {
        let reached = poll_fn(|cx| {
            while pin!(publisher.recv()).poll(cx).is_ready() {}
            if peers.count() == count { Poll::Ready(()) } else { Poll::Pending }
        });
        let reached = tokio::time::timeout(Duration::from_secs(20), reached).await;
        assert!(reached.is_ok(), "{} connected instead of {count}", peers.count());
    }

    #[test]
    fn connections_are_counted_as_they_come_and_go() {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            let mut publisher = XPubSocket::new();
            let endpoint = publisher.bind("tcp://127.0.0.1:0").await.unwrap().to_string();
            let peers = Peers::of(&publisher);
            assert_eq!(peers.count(), 0);

            let mut one = SubSocket::new();
            one.subscribe("").await.unwrap();
            one.connect(&endpoint).await.unwrap();
            until(&mut publisher, &peers, 1).await;
            let mut two = SubSocket::new();
            two.subscribe("").await.unwrap();
            two.connect(&endpoint).await.unwrap();
            until(&mut publisher, &peers, 2).await;

            drop(one);
            until(&mut publisher, &peers, 1).await;
            drop(two);
            until(&mut publisher, &peers, 0).await;
            assert!(!peers.any());
        });
    }
}
