//! What several tests need.
#![allow(dead_code)]

use metlog_message::Batch;
use metlog_spool::simulated::Simulated;
use metlog_spool::{AppendError, Disk, Fs, Options, ReadError, Reader, Recovery, SlotStatus, Spool};
use std::path::PathBuf;
use std::sync::Arc;
use std::task::{Context, Poll, Wake, Waker};
use std::thread::Thread;

/// A directory of its own, which goes with it.
pub struct Place(pub PathBuf);

impl Place {
    pub fn new(name: &str) -> Self {
        let path = std::env::temp_dir().join(format!("metlog-spool-{}-{name}", std::process::id()));
        let _ = std::fs::remove_dir_all(&path);
        Place(path)
    }

    pub fn disk(&self) -> Disk {
        Disk::open(&self.0).unwrap()
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

pub fn batch(messages: &[(&str, u64)]) -> Batch {
    let mut batch = Batch::new();
    messages.iter().for_each(|(text, wants)| batch.push(text.as_bytes(), *wants));
    batch
}

/// Files of two kilobytes, so that something happens.
pub fn small() -> Options {
    Options { segment_bytes: 2048, window_bytes: 600, free_floor: 0, max_bytes: 1 << 20, ..Options::default() }
}

pub fn open<F: Fs>(fs: F, options: Options) -> (Arc<Spool<F>>, Recovery) {
    Spool::open(fs, options).unwrap()
}

pub fn append<F: Fs>(spool: &Spool<F>, messages: &[(&str, u64)]) -> Result<u64, AppendError> {
    spool.append(batch(messages)).map(|appended| appended.first_id).map_err(|(_, error)| error)
}

pub fn slot<F: Fs>(spool: &Spool<F>, name: &str) -> SlotStatus {
    spool.slots().into_iter().find(|slot| slot.name == name).unwrap()
}

struct Unpark(Thread);

impl Wake for Unpark {
    fn wake(self: Arc<Self>) {
        self.0.unpark();
    }
}

/// Waits for a future on this thread.
pub fn wait<T>(future: impl Future<Output = T>) -> T {
    let waker = Waker::from(Arc::new(Unpark(std::thread::current())));
    let mut future = std::pin::pin!(future);
    loop {
        match future.as_mut().poll(&mut Context::from_waker(&waker)) {
            Poll::Ready(value) => return value,
            Poll::Pending => std::thread::park(),
        }
    }
}

/// Everything appended is on disk.
pub fn sync<F: Fs>(spool: &Arc<Spool<F>>) -> Result<(), AppendError> {
    wait(spool.when_durable(spool.next_id()))
}

/// What a reader finds from its position on: ids and texts of the messages of its slot; and how often it met with damage.
pub fn drain<F: Fs>(reader: &mut Reader<F>, slot: u32) -> (Vec<(u64, String)>, u64) {
    let mut found = Vec::new();
    let mut damage = 0;
    loop {
        let position = reader.position();
        let frame = match reader.try_next() {
            Ok(Some(frame)) => frame,
            Ok(None) => return (found, damage),
            Err(ReadError::Damaged { .. }) => {
                damage += 1;
                assert!(damage < 10_000, "it does not get on");
                continue;
            }
            Err(ReadError::Io { .. }) => continue,
        };
        let first = usize::try_from(position.saturating_sub(frame.first_id)).unwrap();
        for (at, wants) in frame.batch.wants().iter().enumerate().skip(first) {
            if wants & (1 << slot) != 0 {
                let text = String::from_utf8(frame.batch.lines().get(at).unwrap().to_vec()).unwrap();
                found.push((frame.first_id + at as u64, text));
            }
        }
    }
}

/// A directory as it would be found after the power went, with whoever had it still believing in it.
pub fn crash(spool: Arc<Spool<Simulated>>, fs: &Simulated, seed: u64) -> Simulated {
    let after = fs.crash(seed);
    drop(spool);
    after
}
