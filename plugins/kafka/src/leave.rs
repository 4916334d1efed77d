//! Letting go of a client of librdkafka, which may take longer than anybody waits: it looks names up, and it repeats what
//! brokers owe an answer for until there is one.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc;
use std::time::Duration;

/// Clients of this program on their way out at once. Each has threads and connections.
const MOST: usize = 32;

static DOOR: Door = Door { most: MOST, inside: AtomicUsize::new(0) };

/// Whether there may be another client. There may be none while too many have not ended.
pub(crate) fn admit() -> Result<(), String> {
    DOOR.admit()
}

/// Ends a client, and waits so long for it. What takes longer goes on by itself.
pub(crate) fn end<T: Send + 'static>(client: T, patience: Duration) {
    DOOR.end(client, patience);
}

/// Through which clients go.
struct Door {
    most: usize,
    inside: AtomicUsize,
}

impl Door {
    fn admit(&self) -> Result<(), String> {
        match self.inside.load(Ordering::Relaxed) {
            inside if inside < self.most => Ok(()),
            inside => Err(format!(
                "{inside} earlier connections to Kafka have been closed and have not ended; they do when their brokers \
                 answer, or when this program is started anew"
            )),
        }
    }

    fn end<T: Send + 'static>(&'static self, client: T, patience: Duration) {
        self.inside.fetch_add(1, Ordering::Relaxed);
        let passage = Passage(&self.inside);
        let (tell, ended) = mpsc::channel::<()>();
        let end = move || {
            drop(client);
            drop(passage);
            drop(tell);
        };
        // Without a thread it ends right here, since what cannot be run is dropped.
        if std::thread::Builder::new().name("metlog-kafka".to_owned()).spawn(end).is_ok() {
            let _ = ended.recv_timeout(patience);
        }
    }
}

/// One that has not ended.
struct Passage(&'static AtomicUsize);

impl Drop for Passage {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use metlog_testkit::eventually;
    use std::time::Instant;

    /// Does not end before it is told to.
    struct Stubborn(mpsc::Receiver<()>);

    impl Drop for Stubborn {
        fn drop(&mut self) {
            let _ = self.0.recv();
        }
    }

    #[test]
    fn nobody_waits_for_long_and_there_are_not_too_many() {
        static DOOR: Door = Door { most: 3, inside: AtomicUsize::new(0) };
        let long = Duration::from_secs(60);
        DOOR.end("ends at once", long);
        assert!(eventually(long, || DOOR.inside.load(Ordering::Relaxed) == 0));
        let began = Instant::now();
        let held: Vec<mpsc::Sender<()>> = (0..3)
            .map(|_| {
                assert_eq!(DOOR.admit(), Ok(()));
                let (hold, told) = mpsc::channel();
                DOOR.end(Stubborn(told), Duration::from_millis(10));
                hold
            })
            .collect();
        assert!(began.elapsed() < long);
        let why = DOOR.admit().expect_err("three of three");
        assert!(why.contains("3 earlier connections"), "{why}");
        drop(held);
        assert!(eventually(long, || DOOR.admit().is_ok() && DOOR.inside.load(Ordering::Relaxed) == 0));
    }
}
