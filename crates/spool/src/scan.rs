//! Looking through the journal's files, whatever state they are in.

use crate::fs::{Fs, QUARANTINE, patiently};
use crate::options::OpenError;
use crate::recover::Recovery;
use crate::segment::{Head, Header, MAX_HEADER, NoHeader, PerSlot, Step, Walk, id_in, slots_of, unpack};
use crate::state::write_all;
use crate::view::NONE;
use metlog_message::Batch;
use std::collections::BTreeSet;
use std::io;
use std::sync::Arc;

/// The largest damaged place that is kept.
const MOST_QUARANTINE: u64 = 64 << 20;

/// A file being looked at.
pub(crate) struct Found<F: Fs> {
    pub name: String,
    pub file: Arc<F::File>,
    pub size: u64,
    pub header: Option<Header>,
    pub start: u64,
    pub first: u64,
    pub salt: Option<u32>,
}

/// The files of a journal.
pub(crate) struct Listing<F: Fs> {
    /// In order.
    pub files: Vec<Found<F>>,
    /// Those without a message.
    pub useless: Vec<String>,
    /// The highest id a name tells.
    pub highest: u64,
}

/// What looking through a file brought.
#[derive(Debug)]
pub(crate) struct Scan {
    /// Where the last whole frame ends.
    pub end: u64,
    /// The id behind its last message.
    pub last_id: u64,
    pub frames: u64,
    pub messages: u64,
    /// How many messages for each slot: all of them, and those before its cursor.
    pub counts: PerSlot,
    pub before: PerSlot,
    pub last: i64,
    /// Damaged places with whole frames behind them.
    pub damage: Vec<Hole>,
    /// Messages in frames behind the last whole one, as far as their heads tell.
    pub torn: u64,
    pub salt: Option<u32>,
    pub first_id: Option<u64>,
}

/// A place where frames are missing.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Hole {
    pub from: u64,
    pub to: u64,
    /// The first message missing, and how many.
    pub id: u64,
    pub messages: u64,
}

/// Looks through a file's frames; `below`: ids from here on are not valid in it.
pub(crate) fn scan<F: Fs>(
    fs: &F,
    found: &Found<F>,
    below: u64,
    cursors: &PerSlot,
    mut progress: impl FnMut(u64),
) -> Scan {
    let mut walk = Walk::<F>::new(found.file.clone(), found.start, found.size, found.salt, found.first);
    walk.below = below;
    // What cannot be read is damaged as well, as far as we can tell.
    walk.stubborn = true;
    let mut scan = Scan {
        end: found.start,
        last_id: found.first,
        frames: 0,
        messages: 0,
        counts: NONE,
        before: NONE,
        last: i64::MIN,
        damage: Vec::new(),
        torn: 0,
        salt: None,
        first_id: None,
    };
    let mut batch = Batch::new();
    let mut bad: Option<(u64, u64)> = None;
    while let Ok(step) = walk.step(fs) {
        progress(walk.at);
        match step {
            Step::End => break,
            Step::Damage { from, .. } => bad = bad.or(Some((from, 0))),
            Step::Frame(head) => {
                let at = walk.at;
                let whole = walk.body(fs, &head).is_ok_and(|body| unpack(&head, body, &mut batch));
                walk.pass(&head, true);
                if !whole {
                    let (from, torn) = bad.unwrap_or((at, 0));
                    bad = Some((from, torn + u64::from(head.count)));
                    continue;
                }
                let missing = head.first.saturating_sub(scan.last_id);
                let from = bad.take().map_or(at, |(from, _)| from);
                if from < at || missing > 0 {
                    scan.damage.push(Hole { from, to: at, id: scan.last_id, messages: missing });
                }
                note(&mut scan, &head, &batch, cursors);
                scan.end = walk.at;
            }
        }
    }
    scan.torn = bad.map_or(0, |(_, torn)| torn);
    scan.salt = walk.salt;
    scan
}

fn note(scan: &mut Scan, head: &Head, batch: &Batch, cursors: &PerSlot) {
    scan.first_id = scan.first_id.or(Some(head.first));
    scan.last_id = head.end();
    scan.last = head.received;
    scan.frames += 1;
    scan.messages += u64::from(head.count);
    for slot in slots_of(batch.any()) {
        let all = batch.wanted(slot as u32, 0) as u64;
        let cursor = cursors.get(slot).copied().unwrap_or(0);
        let behind = usize::try_from(cursor.saturating_sub(head.first)).unwrap_or(usize::MAX);
        let before = all - batch.wanted(slot as u32, behind) as u64;
        if let (Some(count), Some(settled)) = (scan.counts.get_mut(slot), scan.before.get_mut(slot)) {
            *count += all;
            *settled += before;
        }
    }
}

/// The journal's files in order, and the names of those that are no use.
pub(crate) fn find<F: Fs>(fs: &F, recovery: &mut Recovery) -> Result<Listing<F>, OpenError> {
    let names = fs.list().map_err(|error| OpenError::io("list the spool", &error))?;
    let mut files = Vec::new();
    let mut useless = Vec::new();
    let mut highest = 0;
    for name in names {
        let Some(id) = id_in(&name) else { continue };
        highest = highest.max(id);
        let opened = patiently(|| fs.open(&name).and_then(|file| Ok((fs.size(&file)?, file))));
        let (size, file) = match opened {
            Ok((size, file)) => (size, Arc::new(file)),
            Err(error) => {
                recovery.unreadable.push(format!("{name}: {error}"));
                continue;
            }
        };
        let mut found = Found { name, file, size, header: None, start: 0, first: id, salt: None };
        match Header::read(&beginning(fs, &found)) {
            Ok((header, start)) => {
                (found.first, found.salt, found.start) = (header.first, Some(header.salt), start);
                found.header = Some(header);
                if found.size <= start { useless.push(found.name) } else { files.push(found) }
            }
            Err(NoHeader::Version(version)) => {
                let why = format!(
                    "{} is of format {version}, this metlog knows 1: start the newer one, or another directory",
                    found.name
                );
                return Err(OpenError::Io { why });
            }
            Err(NoHeader::Damaged) => {
                let look = scan(fs, &found, u64::MAX, &NONE, |_| ());
                match look.first_id {
                    Some(first) => {
                        // Copied under another name, it tells its place itself.
                        found.first = if id <= first { id } else { first };
                        found.salt = look.salt;
                        files.push(found);
                    }
                    None => useless.push(found.name),
                }
            }
        }
    }
    // Of two with the same place the one with the right name counts, or the longer one.
    let right = |found: &Found<F>| id_in(&found.name) == Some(found.first);
    files.sort_by(|a, b| (a.first, !right(a), b.size, &a.name).cmp(&(b.first, !right(b), a.size, &b.name)));
    let mut taken = BTreeSet::new();
    files.retain(|found| {
        let new = taken.insert(found.first);
        if !new {
            useless.push(found.name.clone());
        }
        new
    });
    Ok(Listing { files, useless, highest })
}

fn beginning<F: Fs>(fs: &F, found: &Found<F>) -> Vec<u8> {
    let mut bytes = vec![0; MAX_HEADER.min(usize::try_from(found.size).unwrap_or(MAX_HEADER))];
    let mut filled = 0;
    while let Some(into) = bytes.get_mut(filled..).filter(|into| !into.is_empty()) {
        match fs.read(&found.file, filled as u64, into) {
            Ok(0) => break,
            Ok(count) => filled += count,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(_) => break,
        }
    }
    bytes.truncate(filled);
    bytes
}

/// Copies damaged bytes to where nobody minds them. `None`: they are there already, or there is no room for them.
pub(crate) fn quarantine<F: Fs>(fs: &F, name: &str, file: &F::File, from: u64, to: u64) -> Option<String> {
    let size = usize::try_from(to - from).ok().filter(|size| *size > 0 && *size as u64 <= MOST_QUARANTINE)?;
    let kept = format!("{QUARANTINE}/{name}-at-{from}");
    let into = fs.create(&kept).ok()?;
    let mut bytes = vec![0; size.min(64 * 1024)];
    let mut at = from;
    while at < to {
        let left = usize::try_from(to - at).unwrap_or(usize::MAX).min(bytes.len());
        let part = bytes.get_mut(..left)?;
        let count = match fs.read(file, at, part) {
            Ok(count) if count > 0 => count,
            // What cannot be read cannot be kept.
            _ => return Some(kept),
        };
        write_all(fs, &into, at - from, part.get(..count)?).ok()?;
        at += count as u64;
    }
    Some(kept)
}
