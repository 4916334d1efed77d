//! Contract: how the routers of a fleet hear of each other.

use crate::Stop;
use async_trait::async_trait;
use std::sync::Arc;
use tokio::sync::watch;

/// A place where every router of a fleet says now and then how it is, and hears what the others say.
///
/// Nothing is kept there and nothing acknowledged: a word that does not arrive is followed by a newer one. It runs as a
/// task beside the way of the messages, on which nothing waits for it.
#[async_trait]
pub trait Beacon: Send {
    /// Where that is, as a person would write it. Who says the same hears each other.
    fn place(&self) -> String;

    /// Says each word of ours that is new and gives `air` every word it hears, ours too: so the router knows that both
    /// ways are open. When told to stop, it says the word it has not said yet, if a moment is enough for that.
    ///
    /// # Errors
    /// What happened and what would be right. The router shows it, and opens the beacon again after a moment.
    async fn run(self: Box<Self>, air: Air, stop: Stop) -> Result<(), String>;
}

/// A word of ours.
pub type Word = Arc<[u8]>;

/// The router's side of a [`Beacon`].
#[derive(Clone)]
pub struct Air {
    words: watch::Receiver<Word>,
    ears: Arc<dyn Ears>,
}

impl Air {
    /// For the router: what is sent is said, or left out where a newer word is there already.
    pub fn new(ears: Arc<dyn Ears>) -> (watch::Sender<Word>, Air) {
        let (say, words) = watch::channel(Word::from([]));
        (say, Air { words, ears })
    }

    /// The latest word, once there is one that was not said yet; never, if the router only listens. May be dropped at any
    /// time without losing anything.
    pub async fn word(&mut self) -> Word {
        match self.words.changed().await {
            Ok(()) => self.words.borrow_and_update().clone(),
            Err(_) => std::future::pending().await,
        }
    }

    /// The latest word, if it was not said yet and whoever wants it said still waits for that.
    pub fn left(&mut self) -> Option<Word> {
        self.words.has_changed().unwrap_or(false).then(|| self.words.borrow_and_update().clone())
    }

    /// What somebody said, whoever it was. Takes little time and never fails: what cannot be used is counted.
    pub fn hear(&self, word: &[u8]) {
        self.ears.hear(word);
    }

    /// Counts words that are known to have been lost because they came too fast.
    pub fn missed(&self, count: u64) {
        self.ears.missed(count);
    }
}

/// What listens behind an [`Air`], whose methods say what each of these means.
#[allow(missing_docs)]
pub trait Ears: Send + Sync {
    fn hear(&self, word: &[u8]);
    fn missed(&self, count: u64);
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Deaf;

    impl Ears for Deaf {
        fn hear(&self, _: &[u8]) {}
        fn missed(&self, _: u64) {}
    }

    fn ready<T>(future: impl Future<Output = T>) -> Option<T> {
        let mut context = std::task::Context::from_waker(std::task::Waker::noop());
        match std::pin::pin!(future).poll(&mut context) {
            std::task::Poll::Ready(value) => Some(value),
            std::task::Poll::Pending => None,
        }
    }

    #[test]
    fn the_latest_word_is_said_once_and_those_before_it_never() {
        let (say, mut air) = Air::new(Arc::new(Deaf));
        assert!(ready(air.word()).is_none() && air.left().is_none(), "nothing to say");
        let word = |text: &str| Word::from(text.as_bytes());
        say.send_replace(word("one"));
        say.send_replace(word("two"));
        assert_eq!(ready(air.word()), Some(word("two")));
        assert!(ready(air.word()).is_none() && air.left().is_none(), "it was said");
        say.send_replace(word("three"));
        assert_eq!(air.left(), Some(word("three")), "what is said at the end");
        drop(say);
        assert!(ready(air.word()).is_none(), "nobody will say anything any more");
    }
}
