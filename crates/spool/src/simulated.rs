//! A file system in memory that forgets what was not synced, and fails when told to. For tests.
//!
//! It is as nasty as the rules allow: of what was not synced, a crash keeps any sectors and any names, in any combination;
//! and a sync that fails leaves what it should have written neither dirty nor on disk.

use crate::fs::Fs;
use std::collections::{BTreeMap, BTreeSet};
use std::io::{self, IoSlice};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// The unit a disk writes whole.
const SECTOR: usize = 512;

/// How a call fails.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Fault {
    /// The disk says it cannot.
    Io,
    /// The disk is full.
    Full,
    /// A write takes half of what it is given.
    Short,
}

/// The directory. A clone is the same one; after [`Simulated::crash`] or [`Simulated::kill`] only what these return works.
#[derive(Clone)]
pub struct Simulated {
    inner: Arc<Mutex<Inner>>,
    life: u64,
}

/// An open file.
#[derive(Debug, Clone, Copy)]
pub struct Handle {
    inode: u64,
}

#[derive(Default)]
struct Inner {
    life: u64,
    names: BTreeMap<String, u64>,
    durable_names: BTreeMap<String, u64>,
    /// Changes of names since the last sync: what is there then, or nothing.
    pending: Vec<Vec<(String, Option<u64>)>>,
    inodes: BTreeMap<u64, Inode>,
    next: u64,
    calls: u64,
    fault: Option<(u64, Fault, bool)>,
    injected: BTreeMap<Fault, u64>,
    capacity: Option<u64>,
}

#[derive(Default, Clone)]
struct Inode {
    cached: Vec<u8>,
    durable: Vec<u8>,
    dirty: BTreeSet<usize>,
}

/// Repeatable chance.
struct Dice(u64);

impl Dice {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    fn below(&mut self, limit: usize) -> usize {
        self.next() as usize % limit.max(1)
    }
}

impl Default for Simulated {
    fn default() -> Self {
        Simulated::new()
    }
}

impl Simulated {
    /// An empty directory.
    pub fn new() -> Self {
        Simulated { inner: Arc::default(), life: 0 }
    }

    fn inner(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The power goes. Whoever still has this directory gets errors; what is returned is what the next start finds.
    pub fn crash(&self, seed: u64) -> Simulated {
        let mut dice = Dice(seed);
        let mut inner = self.inner();
        let mut names = std::mem::take(&mut inner.durable_names);
        for change in std::mem::take(&mut inner.pending) {
            if dice.below(2) == 0 {
                change.into_iter().for_each(|(name, inode)| put(&mut names, name, inode));
            }
        }
        inner.names.clone_from(&names);
        inner.durable_names = names;
        inner.inodes.values_mut().for_each(|inode| inode.crash(&mut dice));
        inner.next_life()
    }

    /// The process ends. The system has everything.
    pub fn kill(&self) -> Simulated {
        self.inner().next_life()
    }

    /// The n-th call from now on fails (0: the next one); `ever_after`: and all behind it.
    pub fn fail(&self, call: u64, fault: Fault, ever_after: bool) {
        let mut inner = self.inner();
        inner.fault = Some((inner.calls + call, fault, ever_after));
    }

    /// No more faults.
    pub fn heal(&self) {
        self.inner().fault = None;
    }

    /// Calls so far.
    pub fn calls(&self) -> u64 {
        self.inner().calls
    }

    /// How often each fault has really happened.
    pub fn injected(&self, fault: Fault) -> u64 {
        self.inner().injected.get(&fault).copied().unwrap_or(0)
    }

    /// The disk has so many bytes.
    pub fn set_capacity(&self, bytes: Option<u64>) {
        self.inner().capacity = bytes;
    }

    /// All files, also in folders.
    pub fn names(&self) -> Vec<String> {
        self.inner().names.keys().cloned().collect()
    }

    /// A file's content.
    pub fn content(&self, name: &str) -> Option<Vec<u8>> {
        let inner = self.inner();
        Some(inner.inodes.get(inner.names.get(name)?)?.cached.clone())
    }

    /// Makes a file, or gives it another content; on disk at once.
    pub fn set_content(&self, name: &str, content: &[u8]) {
        let mut inner = self.inner();
        inner.next += 1;
        let number = inner.next;
        let inode = Inode { cached: content.to_vec(), durable: content.to_vec(), dirty: BTreeSet::new() };
        inner.inodes.insert(number, inode);
        inner.names.insert(name.to_owned(), number);
        inner.durable_names.insert(name.to_owned(), number);
    }

    /// Takes a file away; at once.
    pub fn lose(&self, name: &str) {
        let mut inner = self.inner();
        inner.names.remove(name);
        inner.durable_names.remove(name);
    }

    /// The same files in a directory of its own.
    pub fn copy(&self) -> Simulated {
        let copy = Simulated::new();
        for name in self.names() {
            copy.set_content(&name, &self.content(&name).unwrap_or_default());
        }
        copy
    }

    /// Counts a call, and fails it if that is its fate. True: the write is to be short.
    fn call(&self, writes: bool) -> io::Result<(MutexGuard<'_, Inner>, bool)> {
        let mut inner = self.inner();
        if inner.life != self.life {
            return Err(io::Error::other("this process is dead"));
        }
        let number = inner.calls;
        inner.calls += 1;
        let due = inner.fault.filter(|(at, _, ever_after)| number == *at || (*ever_after && number > *at));
        let Some((_, fault, _)) = due else { return Ok((inner, false)) };
        if fault == Fault::Short && !writes {
            return Ok((inner, false));
        }
        *inner.injected.entry(fault).or_default() += 1;
        match fault {
            Fault::Io => Err(io::Error::from_raw_os_error(rustix::io::Errno::IO.raw_os_error())),
            Fault::Full => Err(io::Error::from_raw_os_error(rustix::io::Errno::NOSPC.raw_os_error())),
            Fault::Short => Ok((inner, true)),
        }
    }
}

fn put(names: &mut BTreeMap<String, u64>, name: String, inode: Option<u64>) {
    match inode {
        Some(inode) => names.insert(name, inode),
        None => names.remove(&name),
    };
}

fn missing() -> io::Error {
    io::ErrorKind::NotFound.into()
}

impl Inner {
    fn change(&mut self, changes: Vec<(String, Option<u64>)>) {
        changes.iter().cloned().for_each(|(name, inode)| put(&mut self.names, name, inode));
        self.pending.push(changes);
    }

    fn next_life(&mut self) -> Simulated {
        self.life += 1;
        self.fault = None;
        let files: BTreeMap<_, _> = self.inodes.iter().map(|(number, inode)| (*number, inode.clone())).collect();
        let inner = Inner {
            life: 0,
            names: self.names.clone(),
            durable_names: self.durable_names.clone(),
            pending: self.pending.clone(),
            inodes: files,
            next: self.next,
            capacity: self.capacity,
            ..Inner::default()
        };
        Simulated { inner: Arc::new(Mutex::new(inner)), life: 0 }
    }

    fn used(&self) -> u64 {
        self.names.values().filter_map(|inode| self.inodes.get(inode)).map(|inode| inode.cached.len() as u64).sum()
    }

    fn inode(&mut self, handle: &Handle) -> io::Result<&mut Inode> {
        self.inodes.get_mut(&handle.inode).ok_or_else(missing)
    }
}

impl Inode {
    fn write(&mut self, at: usize, bytes: &[u8]) {
        let end = at + bytes.len();
        if self.cached.len() < end {
            // Growing touches the sectors between as well.
            let from = self.cached.len() / SECTOR;
            self.dirty.extend(from..end.div_ceil(SECTOR));
            self.cached.resize(end, 0);
        }
        if let Some(place) = self.cached.get_mut(at..end) {
            place.copy_from_slice(bytes);
        }
        self.dirty.extend(at / SECTOR..end.div_ceil(SECTOR));
    }

    fn crash(&mut self, dice: &mut Dice) {
        let (old, new) = (self.durable.len(), self.cached.len());
        let length = match dice.below(3) {
            0 => old,
            1 => new,
            _ => old.min(new) + dice.below(old.abs_diff(new) + 1),
        };
        let mut after = self.durable.clone();
        after.resize(length, 0);
        for sector in &self.dirty {
            let from = sector * SECTOR;
            let to = (from + SECTOR).min(length).min(new);
            if from < to && dice.below(2) == 0 {
                let fresh = self.cached.get(from..to).unwrap_or_default();
                if let Some(place) = after.get_mut(from..to) {
                    place.copy_from_slice(fresh);
                }
            }
        }
        *self = Inode { cached: after.clone(), durable: after, dirty: BTreeSet::new() };
    }

    fn sync(&mut self) {
        let length = self.cached.len();
        self.durable.resize(length, 0);
        for sector in std::mem::take(&mut self.dirty) {
            let from = sector * SECTOR;
            let to = (from + SECTOR).min(length);
            if let (Some(place), Some(fresh)) = (self.durable.get_mut(from..to), self.cached.get(from..to)) {
                place.copy_from_slice(fresh);
            }
        }
    }
}

impl Fs for Simulated {
    type File = Handle;

    fn list(&self) -> io::Result<Vec<String>> {
        let (inner, _) = self.call(false)?;
        Ok(inner.names.keys().filter(|name| !name.contains('/')).cloned().collect())
    }

    fn create(&self, name: &str) -> io::Result<Handle> {
        let (mut inner, _) = self.call(false)?;
        if inner.names.contains_key(name) {
            return Err(io::ErrorKind::AlreadyExists.into());
        }
        inner.next += 1;
        let inode = inner.next;
        inner.inodes.insert(inode, Inode::default());
        inner.change(vec![(name.to_owned(), Some(inode))]);
        Ok(Handle { inode })
    }

    fn open(&self, name: &str) -> io::Result<Handle> {
        let (inner, _) = self.call(false)?;
        inner.names.get(name).map(|inode| Handle { inode: *inode }).ok_or_else(missing)
    }

    fn size(&self, file: &Handle) -> io::Result<u64> {
        let (mut inner, _) = self.call(false)?;
        Ok(inner.inode(file)?.cached.len() as u64)
    }

    fn read(&self, file: &Handle, at: u64, into: &mut [u8]) -> io::Result<usize> {
        let (mut inner, _) = self.call(false)?;
        let content = &inner.inode(file)?.cached;
        let rest = usize::try_from(at).ok().and_then(|at| content.get(at..)).unwrap_or_default();
        let count = rest.len().min(into.len());
        if let (Some(into), Some(rest)) = (into.get_mut(..count), rest.get(..count)) {
            into.copy_from_slice(rest);
        }
        Ok(count)
    }

    fn write(&self, file: &Handle, at: u64, parts: &[IoSlice<'_>]) -> io::Result<usize> {
        let (mut inner, short) = self.call(true)?;
        let mut bytes: Vec<u8> = parts.iter().flat_map(|part| part.iter().copied()).collect();
        if short {
            bytes.truncate((bytes.len() / 2).max(1));
        }
        let at = usize::try_from(at).map_err(io::Error::other)?;
        let grows = (at + bytes.len()).saturating_sub(inner.inode(file)?.cached.len()) as u64;
        let left = inner.capacity.map_or(u64::MAX, |capacity| capacity.saturating_sub(inner.used()));
        if grows > left {
            let fits = bytes.len() - usize::try_from(grows - left).unwrap_or(usize::MAX).min(bytes.len());
            if fits == 0 {
                return Err(io::Error::from_raw_os_error(rustix::io::Errno::NOSPC.raw_os_error()));
            }
            bytes.truncate(fits);
        }
        inner.inode(file)?.write(at, &bytes);
        Ok(bytes.len())
    }

    fn cut(&self, file: &Handle, to: u64) -> io::Result<()> {
        let (mut inner, _) = self.call(false)?;
        let inode = inner.inode(file)?;
        let to = usize::try_from(to).map_err(io::Error::other)?;
        inode.cached.resize(to, 0);
        inode.dirty.insert(to / SECTOR);
        Ok(())
    }

    fn sync(&self, file: &Handle) -> io::Result<()> {
        match self.call(false) {
            Ok((mut inner, _)) => {
                inner.inode(file)?.sync();
                Ok(())
            }
            Err(error) => {
                let mut inner = self.inner();
                if inner.life == self.life {
                    inner.inode(file)?.dirty.clear();
                }
                Err(error)
            }
        }
    }

    fn sync_names(&self) -> io::Result<()> {
        let (mut inner, _) = self.call(false)?;
        inner.pending.clear();
        inner.durable_names = inner.names.clone();
        Ok(())
    }

    fn rename(&self, from: &str, to: &str) -> io::Result<()> {
        let (mut inner, _) = self.call(false)?;
        let inode = *inner.names.get(from).ok_or_else(missing)?;
        inner.change(vec![(from.to_owned(), None), (to.to_owned(), Some(inode))]);
        Ok(())
    }

    fn remove(&self, name: &str) -> io::Result<()> {
        let (mut inner, _) = self.call(false)?;
        if !inner.names.contains_key(name) {
            return Err(missing());
        }
        inner.change(vec![(name.to_owned(), None)]);
        Ok(())
    }

    fn free(&self) -> io::Result<u64> {
        let (inner, _) = self.call(false)?;
        Ok(inner.capacity.map_or(1 << 40, |capacity| capacity.saturating_sub(inner.used())))
    }
}
