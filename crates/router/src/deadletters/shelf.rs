//! Dead letters that are kept: found again page by page from the end, read again one after the other, and taken out.
//!
//! A letter is taken out by writing blanks over it, so that what is in it is gone, and every other letter stays where it
//! is: its place is its id. A file without letters is deleted. Nothing is read whole; what is counted is counted once.

use super::DeadLetters;
use memchr::{memchr, memchr_iter, memrchr};
use metlog_message::wire::{self, strict};
use std::collections::BTreeMap;
use std::fmt;
use std::fs::{File, OpenOptions};
use std::io::{self, ErrorKind};
use std::os::unix::fs::FileExt;
use std::path::PathBuf;
use std::str::FromStr;
use std::sync::PoisonError;
use std::time::{Duration, Instant};

/// What is read at a time.
const CHUNK: usize = 64 * 1024;
/// A longer line is none of ours.
const LONGEST: usize = 64 << 20;
/// One page looks through so much at the most: places where all letters have been taken out are looked through too.
const LOOK: u64 = 256 << 20;

/// Where a letter is: its file, its first byte there, and a sum of its beginning, so that an id of an earlier time is not
/// taken for a letter of today.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Id {
    file: u64,
    at: u64,
    sum: u32,
}

impl Id {
    fn of(file: u64, at: u64, line: &[u8]) -> Self {
        let fnv = |hash: u32, byte: &u8| (hash ^ u32::from(*byte)).wrapping_mul(0x0100_0193);
        Id { file, at, sum: line.iter().take(256).fold(0x811c_9dc5, fnv) }
    }
}

impl fmt::Display for Id {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}-{}-{:08x}", self.file, self.at, self.sum)
    }
}

impl FromStr for Id {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let read = || {
            let mut parts = text.split('-');
            let digits = |part: &str| part.bytes().all(|byte| byte.is_ascii_digit()).then(|| part.parse().ok())?;
            let (file, at, sum) = (digits(parts.next()?)?, digits(parts.next()?)?, parts.next()?);
            let plain = sum.len() == 8 && sum.bytes().all(|byte| byte.is_ascii_hexdigit()) && parts.next().is_none();
            Some(Id { file, at, sum: u32::from_str_radix(sum, 16).ok().filter(|_| plain)? })
        };
        let short: String = text.chars().take(64).collect();
        read().ok_or_else(|| format!("`{short}` is no id of a dead letter; take one of the list"))
    }
}

/// A letter that was found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Found {
    /// Its place.
    pub id: Id,
    /// When it was put there.
    pub at: String,
    /// `input udp` or `endpoint archive`.
    pub from: String,
    /// A label: `malformed`, `refused`, …
    pub reason: String,
    /// For people.
    pub why: String,
    /// Its id in the spool, if it had got that far.
    pub position: Option<u64>,
    /// As it came, with marks where it was no UTF-8, and without its end if it was long.
    pub message: Vec<u8>,
    /// How long it was when it came.
    pub bytes: u64,
}

impl Found {
    fn of(id: Id, line: &[u8]) -> Self {
        let mut found = Found {
            id,
            at: String::new(),
            from: String::new(),
            reason: "unreadable".to_owned(),
            why: "this line of the file is damaged".to_owned(),
            position: None,
            message: Vec::new(),
            bytes: 0,
        };
        let text = |value: &[u8]| strict::text(value).unwrap_or_default().into_owned();
        let number = |value: &[u8]| std::str::from_utf8(value).ok().and_then(|digits| digits.parse().ok());
        let read = strict::members(line, &wire::Limits::NONE, |name, value| match name {
            b"\"at\"" => found.at = text(value),
            b"\"from\"" => found.from = text(value),
            b"\"reason\"" => found.reason = text(value),
            b"\"why\"" => found.why = text(value),
            b"\"id\"" => found.position = number(value),
            b"\"bytes\"" => found.bytes = number(value).unwrap_or(0),
            b"\"text\"" => found.message = text(value).into_bytes(),
            b"\"message\"" => (found.message, found.bytes) = (value.to_vec(), value.len() as u64),
            _ => {}
        });
        if read.is_err() {
            found.message = String::from_utf8_lossy(line).into_owned().into_bytes();
        }
        found
    }

    /// Whether it is all there, byte for byte: what was long was cut, and what was no UTF-8 is not what it was.
    pub fn is_whole(&self) -> bool {
        self.message.len() as u64 == self.bytes
    }
}

/// A page of letters.
#[derive(Debug, Default)]
pub struct Listing {
    /// The last one first.
    pub letters: Vec<Found>,
    /// Where the next page begins, if there may be one.
    pub next: Option<Id>,
}

/// How many letters there are.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Stock {
    /// As far as they have been counted.
    pub letters: u64,
    /// Bytes of their files.
    pub bytes: u64,
    /// Whether they have all been counted.
    pub counted: bool,
}

/// What is known of a file: how far it has been looked through, and how many letters are there.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Counted {
    upto: u64,
    letters: u64,
}

pub(super) type Index = BTreeMap<u64, Counted>;

fn is_letter(line: &[u8]) -> bool {
    line.first().is_some_and(|byte| *byte != b' ')
}

impl DeadLetters {
    fn path(&self, file: u64) -> PathBuf {
        self.directory.join(format!("{file:08}.jsonl"))
    }

    fn index(&self) -> std::sync::MutexGuard<'_, Index> {
        self.index.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The letters before this one, or the last ones: so many, and so many bytes of messages.
    ///
    /// # Errors
    /// If they cannot be read.
    pub fn list(&self, before: Option<Id>, limit: usize, bytes: usize) -> io::Result<Listing> {
        let mut listing = Listing::default();
        let (mut looked, mut taken) = (0, 0);
        for (number, path, size) in self.files()?.into_iter().rev() {
            let end = match before {
                Some(before) if number > before.file => continue,
                Some(before) if number == before.file => before.at.min(size),
                _ => size,
            };
            let file = match File::open(&path) {
                Ok(file) => file,
                Err(error) if error.kind() == ErrorKind::NotFound => continue,
                Err(error) => return Err(error),
            };
            let done = backward(&file, end, &mut |at, line| {
                let id = Id::of(number, at, line);
                looked += line.len() as u64 + 1;
                let full = listing.letters.len() >= limit || taken >= bytes && !listing.letters.is_empty();
                if full || looked > LOOK {
                    // Nothing before the end of this line has been given: the next page begins behind it.
                    listing.next = Some(Id { at: at + line.len() as u64 + 1, ..id });
                    return false;
                }
                if is_letter(line) {
                    let found = Found::of(id, line);
                    taken += found.message.len();
                    listing.letters.push(found);
                }
                true
            })?;
            if !done {
                break;
            }
        }
        Ok(listing)
    }

    /// How many there are; counts for so long at the most, and goes on with that the next time.
    ///
    /// # Errors
    /// If they cannot be read.
    pub fn stock(&self, within: Duration) -> io::Result<Stock> {
        let until = Instant::now() + within;
        let files = self.files()?;
        let mut index = self.index();
        index.retain(|number, _| files.iter().any(|(other, _, _)| other == number));
        let mut stock = Stock { counted: true, ..Stock::default() };
        for (number, path, size) in files {
            let counted = index.entry(number).or_default();
            if counted.upto < size {
                match File::open(&path) {
                    Ok(file) => stock.counted &= count(&file, size, counted, until)?,
                    Err(error) if error.kind() == ErrorKind::NotFound => continue,
                    Err(error) => return Err(error),
                }
            }
            stock.letters += counted.letters;
            stock.bytes += size;
        }
        Ok(stock)
    }

    /// The place behind the last letter there is: whoever works through all of them stops there, however many come meanwhile.
    ///
    /// # Errors
    /// If they cannot be read.
    pub fn end(&self) -> io::Result<Id> {
        let last = self.files()?.pop();
        Ok(last.map_or(Id { file: 0, at: 0, sum: 0 }, |(file, _, at)| Id { file, at, sum: 0 }))
    }

    /// Letters behind a place and before another, in the order in which they came: so many, and so many bytes. Fewer only at
    /// the end.
    ///
    /// # Errors
    /// If they cannot be read.
    pub fn following(&self, after: Option<Id>, end: Id, limit: usize, bytes: usize) -> io::Result<Vec<Found>> {
        let mut letters: Vec<Found> = Vec::new();
        let mut taken = 0;
        for (number, path, size) in self.files()? {
            let from = match after {
                Some(after) if number < after.file => continue,
                // The line itself is passed over below.
                Some(after) if number == after.file => after.at,
                _ => 0,
            };
            let size = match number.cmp(&end.file) {
                std::cmp::Ordering::Less => size,
                std::cmp::Ordering::Equal => end.at.min(size),
                std::cmp::Ordering::Greater => break,
            };
            let file = match File::open(&path) {
                Ok(file) => file,
                Err(error) if error.kind() == ErrorKind::NotFound => continue,
                Err(error) => return Err(error),
            };
            let mut at = from;
            while at < size {
                if letters.len() >= limit || taken >= bytes && !letters.is_empty() {
                    return Ok(letters);
                }
                let Some(line) = line_at(&file, at, size)? else { break };
                let here = after.is_some_and(|after| (number, at) == (after.file, after.at));
                if is_letter(&line) && !here {
                    let found = Found::of(Id::of(number, at, &line), &line);
                    taken += found.message.len();
                    letters.push(found);
                }
                at += line.len() as u64 + 1;
            }
        }
        Ok(letters)
    }

    /// The letter of this id; `None`: it is not there any more.
    ///
    /// # Errors
    /// If it cannot be read.
    pub fn find(&self, id: Id) -> io::Result<Option<Found>> {
        let opened = OpenOptions::new().read(true).open(self.path(id.file));
        match opened {
            Ok(file) => Ok(checked(&file, id)?.map(|line| Found::of(id, &line))),
            Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// Takes letters out. How many were there.
    ///
    /// # Errors
    /// If a file cannot be written; those before are gone.
    pub fn take_out(&self, ids: &[Id]) -> io::Result<u64> {
        let mut ids = ids.to_vec();
        ids.sort_unstable();
        ids.dedup();
        let mut index = self.index();
        let mut gone = 0;
        for of_file in ids.chunk_by(|a, b| a.file == b.file) {
            let Some(number) = of_file.first().map(|id| id.file) else { continue };
            let file = match OpenOptions::new().read(true).write(true).open(self.path(number)) {
                Ok(file) => file,
                Err(error) if error.kind() == ErrorKind::NotFound => continue,
                Err(error) => return Err(error),
            };
            for id in of_file {
                let Some(line) = checked(&file, *id)? else { continue };
                file.write_all_at(&vec![b' '; line.len()], id.at)?;
                gone += 1;
                if let Some(counted) = index.get_mut(&number).filter(|counted| id.at < counted.upto) {
                    counted.letters = counted.letters.saturating_sub(1);
                }
            }
            file.sync_data()?;
            self.tidy(number, &mut index)?;
        }
        Ok(gone)
    }

    /// Deletes a file in which there is no letter any more.
    fn tidy(&self, number: u64, index: &mut Index) -> io::Result<()> {
        let Some(counted) = index.get(&number).filter(|counted| counted.letters == 0) else { return Ok(()) };
        let path = self.path(number);
        // Nobody writes meanwhile.
        let mut open = self.lock();
        let size = std::fs::metadata(&path).map_or(0, |data| data.len());
        if size == counted.upto {
            if open.number == number {
                open.file = None;
            }
            remove(&path)?;
            index.remove(&number);
        }
        Ok(())
    }

    /// Takes out all that are there now. How many there were.
    ///
    /// # Errors
    /// If a file cannot be read or deleted.
    pub fn take_out_all(&self) -> io::Result<u64> {
        let files = {
            let mut open = self.lock();
            // What comes from now on goes to another file.
            open.file = None;
            self.files()?
        };
        let mut index = self.index();
        let mut gone = 0;
        for (number, path, size) in files {
            let counted = index.entry(number).or_default();
            match File::open(&path) {
                Ok(file) => count(&file, size, counted, Instant::now() + Duration::from_secs(3600))?,
                Err(error) if error.kind() == ErrorKind::NotFound => continue,
                Err(error) => return Err(error),
            };
            let letters = counted.letters;
            remove(&path)?;
            index.remove(&number);
            gone += letters;
        }
        match File::open(&self.directory) {
            Ok(directory) => directory.sync_all()?,
            Err(error) if error.kind() == ErrorKind::NotFound => {}
            Err(error) => return Err(error),
        }
        Ok(gone)
    }
}

fn remove(path: &std::path::Path) -> io::Result<()> {
    match std::fs::remove_file(path) {
        Err(error) if error.kind() != ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}

/// What is there, from a place on: so many bytes if there are.
fn read_at(file: &File, at: u64, size: usize) -> io::Result<Vec<u8>> {
    let mut bytes = vec![0; size];
    let mut filled = 0;
    while let Some(into) = bytes.get_mut(filled..).filter(|into| !into.is_empty()) {
        match file.read_at(into, at + filled as u64) {
            Ok(0) => break,
            Ok(count) => filled += count,
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    bytes.truncate(filled);
    Ok(bytes)
}

/// The line that begins here, without its end; `None`: it has none before this size.
fn line_at(file: &File, at: u64, size: u64) -> io::Result<Option<Vec<u8>>> {
    let mut line = Vec::new();
    let mut chunk = 4096;
    loop {
        let from = at + line.len() as u64;
        let left = usize::try_from(size.saturating_sub(from)).unwrap_or(usize::MAX);
        if left == 0 || line.len() > LONGEST {
            return Ok(None);
        }
        let more = read_at(file, from, chunk.min(left))?;
        match memchr(b'\n', &more) {
            Some(end) => {
                line.extend_from_slice(more.get(..end).unwrap_or_default());
                return Ok(Some(line));
            }
            None if more.is_empty() => return Ok(None),
            None => line.extend_from_slice(&more),
        }
        chunk = (chunk * 4).min(1 << 20);
    }
}

/// The line of an id, if it is the one that was meant.
fn checked(file: &File, id: Id) -> io::Result<Option<Vec<u8>>> {
    let starts = id.at == 0 || read_at(file, id.at - 1, 1)? == b"\n";
    if !starts {
        return Ok(None);
    }
    let line = line_at(file, id.at, file.metadata()?.len())?;
    Ok(line.filter(|line| is_letter(line) && Id::of(id.file, id.at, line) == id))
}

/// Gives the lines before a place, the last one first, with where each begins and without its end. What is behind the last
/// end of a line is being written, or was when everything ended. False if it was broken off.
fn backward(file: &File, end: u64, each: &mut dyn FnMut(u64, &[u8]) -> bool) -> io::Result<bool> {
    // Bytes from `at` on, up to behind the end of the last line that has not been given.
    let (mut held, mut at, mut chunk) = (Vec::new(), end, CHUNK);
    let mut begun = false;
    loop {
        let without_end = held.len().saturating_sub(usize::from(begun));
        match memrchr(b'\n', held.get(..without_end).unwrap_or_default()) {
            Some(place) => {
                if begun && !each(at + place as u64 + 1, held.get(place + 1..without_end).unwrap_or_default()) {
                    return Ok(false);
                }
                begun = true;
                held.truncate(place + 1);
                chunk = CHUNK;
            }
            None if at == 0 => {
                return Ok(!begun || each(0, held.get(..without_end).unwrap_or_default()));
            }
            None if held.len() > LONGEST => {
                return Err(io::Error::other("a line that is too long to be a dead letter"));
            }
            None => {
                let size = usize::try_from(at).unwrap_or(usize::MAX).min(chunk);
                let mut more = read_at(file, at - size as u64, size)?;
                if more.len() < size {
                    return Err(ErrorKind::UnexpectedEof.into());
                }
                at -= size as u64;
                more.extend_from_slice(&held);
                held = more;
                chunk = (chunk * 2).min(1 << 22);
            }
        }
    }
}

/// Counts letters from where it stopped. False: time was up.
fn count(file: &File, size: u64, counted: &mut Counted, until: Instant) -> io::Result<bool> {
    // From the beginning of a line on.
    let mut at = counted.upto;
    let mut starts = true;
    let (mut letters, mut open) = (0, false);
    while at < size {
        if Instant::now() >= until {
            return Ok(false);
        }
        let left = usize::try_from(size - at).unwrap_or(usize::MAX);
        let bytes = read_at(file, at, (4 * CHUNK).min(left))?;
        if bytes.is_empty() {
            break;
        }
        let mut from = 0;
        for end in memchr_iter(b'\n', &bytes) {
            let line = bytes.get(from..end).unwrap_or_default();
            letters += u64::from(if starts { is_letter(line) } else { open });
            (from, starts) = (end + 1, true);
            counted.upto = at + end as u64 + 1;
            counted.letters += std::mem::take(&mut letters);
        }
        let rest = bytes.get(from..).unwrap_or_default();
        if starts && !rest.is_empty() {
            (open, starts) = (is_letter(rest), false);
        }
        at += bytes.len() as u64;
    }
    Ok(true)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::deadletters::Letter;
    use std::io::Write;

    #[test]
    fn letters_are_found_from_the_end_past_what_is_torn_taken_out_or_garbled() {
        let directory = std::env::temp_dir().join(format!("metlog-dead-{}-shelf", std::process::id()));
        let _ = std::fs::remove_dir_all(&directory);
        let dead = DeadLetters::new(directory.clone(), 1 << 20);
        let keep = |dead: &DeadLetters, message: &[u8]| {
            let letter = Letter { from: "input udp", reason: "malformed", why: "no", id: None, message };
            dead.keep(std::iter::once(letter)).expect("kept");
        };
        let text = |number: usize| format!("m{number}").repeat(1 + number % 7 * 3000);
        (0..60).for_each(|number| keep(&dead, text(number).as_bytes()));
        let (mut found, mut before) = (Vec::new(), None);
        loop {
            let page = dead.list(before, 7, 100_000).expect("a page");
            found.extend(page.letters);
            before = page.next;
            if before.is_none() {
                break;
            }
        }
        assert_eq!(found.len() as u64, dead.stock(Duration::from_secs(5)).expect("counted").letters);
        assert!(found.len() > 20, "what is there after the oldest files have gone: {}", found.len());
        for (letter, number) in found.iter().zip((0..60).rev()) {
            let meant = text(number);
            assert!(meant.as_bytes().starts_with(&letter.message), "{number}");
            assert_eq!((letter.bytes, letter.is_whole()), (meant.len() as u64, true), "{number}");
            assert_eq!(letter.id.to_string().parse(), Ok(letter.id));
        }
        // The same, the other way.
        let end = dead.end().expect("an end");
        let forward = dead.following(None, end, 1000, usize::MAX).expect("all");
        assert!(forward.iter().rev().eq(&found));
        let behind = dead.following(forward.first().map(|first| first.id), end, 2, usize::MAX).expect("two");
        assert_eq!(behind, forward[1..3]);

        let taken: Vec<Id> = found.iter().step_by(2).map(|letter| letter.id).collect();
        assert_eq!(dead.take_out(&taken).expect("taken out"), taken.len() as u64);
        assert_eq!(dead.take_out(&taken).expect("none left"), 0);
        let left = dead.list(None, 1000, usize::MAX).expect("a page").letters;
        assert!(left.iter().eq(found.iter().skip(1).step_by(2)));
        assert_eq!(dead.stock(Duration::from_secs(5)).expect("counted").letters, left.len() as u64);

        // Half a line of a crash is none; what somebody else wrote is shown as it is.
        let (_, last, _) = dead.files().expect("files").pop().expect("one");
        let mut file = OpenOptions::new().append(true).open(last).expect("open");
        file.write_all(b"garbled\n{\"at\":\"half").expect("written");
        let dead = DeadLetters::new(directory.clone(), 1 << 20);
        let all = dead.list(None, 1000, usize::MAX).expect("a page").letters;
        assert_eq!((all[0].reason.as_str(), all[0].message.as_slice()), ("unreadable", b"garbled".as_slice()));
        assert_eq!(all[1..], left);
        assert_eq!(dead.stock(Duration::from_secs(5)).expect("counted").letters, all.len() as u64);
        assert_eq!(dead.take_out_all().expect("gone"), all.len() as u64);
        assert_eq!(dead.files().expect("none"), []);
        let _ = std::fs::remove_dir_all(directory);
    }
}
