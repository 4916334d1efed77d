//! Whoever looks on live. What somebody wants they read from the spool, as any reader does; only what nobody wants, and is
//! kept nowhere, is shown to them here. Looking costs the router next to nothing when nobody does, and never holds it up.

use std::sync::Arc;
use tokio::sync::broadcast;
use tokio::sync::broadcast::error::TryRecvError;

/// Messages a slow onlooker may be behind.
const BEHIND: usize = 1024;
/// Longer ones are not shown, so that what waits to be seen is bounded.
const LONGEST: usize = 64 * 1024;

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
    /// So many messages went by too fast, or were too long.
    Missed(u64),
}

impl Tail {
    /// Whether anybody does. Takes a lock: ask once per batch.
    pub fn is_watched(&self) -> bool {
        self.0.receiver_count() > 0
    }

    /// Shows a message that nobody wants to all onlookers.
    pub fn show(&self, message: &[u8]) {
        let shown = if message.len() > LONGEST { &[] } else { message };
        // Nobody there any more: fine.
        let _ = self.0.send(shown.into());
    }

    /// A new onlooker.
    pub fn watch(&self) -> Onlooker {
        Onlooker(self.0.subscribe())
    }
}

impl Onlooker {
    /// The next thing to see, if there is one already.
    pub fn glance(&mut self) -> Option<Sight> {
        match self.0.try_recv() {
            Ok(message) if message.is_empty() => Some(Sight::Missed(1)),
            Ok(message) => Some(Sight::Message(message)),
            Err(TryRecvError::Lagged(count)) => Some(Sight::Missed(count)),
            Err(TryRecvError::Empty | TryRecvError::Closed) => None,
        }
    }
}
