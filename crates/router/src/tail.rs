//! Whoever looks on live. Looking costs the router next to nothing when nobody does, and never holds it up: who is too
//! slow misses messages and is told how many.

use std::sync::Arc;
use tokio::sync::broadcast;

/// Messages a slow onlooker may be behind.
const BEHIND: usize = 1024;

/// Where onlookers look.
pub struct Tail(broadcast::Sender<Arc<[u8]>>);

impl Default for Tail {
    fn default() -> Self {
        Tail(broadcast::Sender::new(BEHIND))
    }
}

/// Looks on until it is dropped.
pub struct Onlooker(broadcast::Receiver<Arc<[u8]>>);

/// What an onlooker sees.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Sight {
    /// A message.
    Message(Arc<[u8]>),
    /// So many messages went by too fast.
    Missed(u64),
}

impl Tail {
    /// Whether anybody does. Takes a lock: ask once per batch.
    pub fn is_watched(&self) -> bool {
        self.0.receiver_count() > 0
    }

    /// Shows a message to all onlookers.
    pub fn show(&self, message: &[u8]) {
        // Nobody there any more: fine.
        let _ = self.0.send(message.into());
    }

    /// A new onlooker.
    pub fn watch(&self) -> Onlooker {
        Onlooker(self.0.subscribe())
    }
}

impl Onlooker {
    /// The next thing to see; `None` at the end of the router.
    pub async fn next(&mut self) -> Option<Sight> {
        match self.0.recv().await {
            Ok(message) => Some(Sight::Message(message)),
            Err(broadcast::error::RecvError::Lagged(count)) => Some(Sight::Missed(count)),
            Err(broadcast::error::RecvError::Closed) => None,
        }
    }
}
