//! The journal, opened over whatever is in its directory.
//!
//! ```text
//! input    a byte: 1, checksums are put right first; 2, names of slots are other ones
//!          and then files, each: a byte, 0 the state, 1 to 8 segments; its length, two bytes, the less significant first;
//!          as much of it as there is
//! ```
//! A state is filled up to its full length with zeros.

use crate::choices;
use metlog_message::Batch;
use metlog_message::batch::bit;
use metlog_spool::simulated::Simulated;
use metlog_spool::{Options, Reader, Spool};
use std::collections::BTreeMap;
use std::pin::pin;
use std::sync::Arc;
use std::task::{Context, Poll, Wake, Waker};
use std::thread::Thread;
use std::time::{Duration, Instant};

/// Bytes of one of the state's two places, and of all of it.
const PLACE: usize = 64 * 1024;

/// It opens, unless it says why not; readers come to an end, with messages in order; what is appended then is there when
/// it is opened again, behind all that was there.
pub fn spool(data: &[u8]) {
    let ([flags], rest) = choices(data);
    let fs = Simulated::new();
    for (name, mut content) in files(rest) {
        if flags & 1 == 1 {
            reseal(&mut content);
        }
        fs.set_content(&name, &content);
    }
    let names = if flags & 2 == 0 { ["files", "pager"] } else { ["files", "other"] };
    let Some(first) = visit(&fs, names, None) else { return };
    let fs = fs.kill();
    let second = visit(&fs, names, Some(first)).expect("it has been open before");
    assert!(second > first, "{second} again, after {first}");
}

fn files(mut rest: &[u8]) -> BTreeMap<String, Vec<u8>> {
    let mut files = BTreeMap::new();
    while !rest.is_empty() {
        let ([which, low, high], behind) = choices(rest);
        let (content, behind) = behind.split_at(usize::from(u16::from_le_bytes([low, high])).min(behind.len()));
        let mut content = content.to_vec();
        let name = match which % 9 {
            0 => {
                content.resize(content.len().max(2 * PLACE), 0);
                "state".to_owned()
            }
            number => format!("seg-{:020}.mls", 1 + u64::from(number - 1) * 6),
        };
        files.insert(name, content);
        rest = behind;
    }
    files
}

/// Opens, reads, appends, closes. Gives the id of what it appended; none if it does not open.
fn visit(fs: &Simulated, names: [&str; 2], before: Option<u64>) -> Option<u64> {
    let options =
        Options { segment_bytes: 2048, window_bytes: 600, free_floor: 0, max_bytes: 1 << 20, ..Options::default() };
    let (spool, recovery) = match Spool::open(fs.clone(), options) {
        Ok(opened) => opened,
        Err(error) => {
            assert!(before.is_none() && !error.to_string().is_empty(), "{error}");
            return None;
        }
    };
    assert!(before.is_none() || recovery.clean, "closed, but: {recovery:?}");
    let slots = names.map(|name| spool.slot(name, true).ok());
    let mut last = None;
    for slot in slots.into_iter().flatten() {
        let ids = drain(&mut spool.reader(slot), slot);
        last = last.max(ids.last().copied());
        if let (Some(before), true) = (before, Some(slot) == slots[0]) {
            assert!(ids.contains(&before), "{before} was on disk: {ids:?}, {recovery:?}");
        }
    }
    let mut batch = Batch::new();
    batch.push(b"{\"type\":\"new\"}", u64::MAX);
    let first = spool.append(batch).map(|appended| appended.first_id).map_err(|(_, error)| error);
    let first = first.unwrap_or_else(|error| panic!("nothing can be appended: {error}: {recovery:?}"));
    assert!(last.is_none_or(|last| last < first), "{first} appended behind {last:?}: {recovery:?}");
    wait(spool.when_durable(spool.next_id())).expect("a disk without faults");
    spool.close();
    slots[0].map(|_| first)
}

/// The ids of a slot's messages.
fn drain(reader: &mut Reader<Simulated>, slot: u32) -> Vec<u64> {
    let mut ids: Vec<u64> = Vec::new();
    for _ in 0..100_000 {
        let position = reader.position();
        let Ok(frame) = reader.try_next() else { continue };
        let Some(frame) = frame else { return ids };
        assert!(frame.end() > position, "it stands still at {position}");
        let lines = frame.batch.lines();
        for ((id, line), wants) in (frame.first_id..).zip(lines.iter()).zip(frame.batch.wants()) {
            if id >= position && wants & bit(slot) != 0 {
                assert!(ids.last().is_none_or(|last| *last < id), "{id} after {ids:?}");
                assert!(line.len() <= lines.bytes().len());
                ids.push(id);
            }
        }
    }
    panic!("it does not come to an end: {:?}", reader.position());
}

/// Makes checksums right, so that not they alone are tried: of a state's places, of a header, and of frames as far as
/// their lengths lead from one to the next.
fn reseal(content: &mut [u8]) {
    if content.len() >= 2 * PLACE {
        content.chunks_mut(PLACE).for_each(seal_by_length);
        return;
    }
    seal_by_length(content);
    let Some(mut at) = number(content, 12) else { return };
    while let Some(frame) = content.get_mut(at..).filter(|frame| frame.starts_with(&[0xf5, b'M', b'L', 1])) {
        let Some(length) = number(frame, 8) else { return };
        if let Some(body) = frame.get(48..length) {
            let sum = crc32c::crc32c(body);
            put(frame, 40, sum);
        }
        let Some(head) = frame.get(..44) else { return };
        let sum = crc32c::crc32c(head);
        put(frame, 44, sum);
        at += length.max(1);
    }
}

/// What has its length at its twelfth byte and ends with its checksum.
fn seal_by_length(content: &mut [u8]) {
    let Some(end) = number(content, 12).and_then(|length| length.checked_sub(4)) else { return };
    let Some(sum) = content.get(..end).map(crc32c::crc32c) else { return };
    put(content, end, sum);
}

fn number(bytes: &[u8], at: usize) -> Option<usize> {
    Some(u32::from_le_bytes(bytes.get(at..at.checked_add(4)?)?.try_into().ok()?) as usize)
}

fn put(bytes: &mut [u8], at: usize, number: u32) {
    if let Some(place) = bytes.get_mut(at..at + 4) {
        place.copy_from_slice(&number.to_le_bytes());
    }
}

struct Unpark(Thread);

impl Wake for Unpark {
    fn wake(self: Arc<Self>) {
        self.0.unpark();
    }
}

/// Waits for a future on this thread, but not for ever: nobody else would say that the spool's own thread is gone.
fn wait<T>(future: impl Future<Output = T>) -> T {
    let waker = Waker::from(Arc::new(Unpark(std::thread::current())));
    let mut future = pin!(future);
    let end = Instant::now() + Duration::from_secs(20);
    loop {
        if let Poll::Ready(value) = future.as_mut().poll(&mut Context::from_waker(&waker)) {
            return value;
        }
        assert!(Instant::now() < end, "the spool does not sync");
        std::thread::park_timeout(Duration::from_secs(1));
    }
}
