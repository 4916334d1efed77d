//! A store in memory: the simplest there is, so that it can be the measure of others. For tests.

use crate::facts::Facts;
use crate::store::{Backup, Change, Cursor, End, Order, Row, Scan, Size, Store, Trouble};
use metlog_message::Timestamp;
use std::collections::{BTreeMap, HashMap};
use std::ops::{Bound, ControlFlow};
use std::sync::{Arc, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};

/// Rows that are taken at a time, so that nobody who is given one holds up a writer.
const AT_A_TIME: usize = 256;

/// Keeps everything, until the program ends. Nothing expires.
#[derive(Debug, Default)]
pub struct Memory(RwLock<Kept>);

#[derive(Debug, Default)]
struct Kept {
    messages: BTreeMap<Cursor, Arc<One>>,
    places: HashMap<u64, Timestamp>,
}

#[derive(Debug, Clone)]
struct One {
    facts: Facts,
    archived: Option<Timestamp>,
    raw: Vec<u8>,
}

impl Memory {
    /// Empty.
    pub fn new() -> Self {
        Memory::default()
    }

    /// Takes messages at these positions. A position that is there already is passed over, as is a message that is there
    /// at another one, and what is no message.
    pub fn write<'a>(&self, batch: impl IntoIterator<Item = (u64, &'a [u8])>) {
        let mut kept = self.write_lock();
        for (position, raw) in batch {
            let Some(facts) = Facts::of(raw, true).filter(|_| !kept.places.contains_key(&position)) else { continue };
            let timestamp = facts.timestamp;
            let moment = Cursor { timestamp, position: 0 }..=Cursor { timestamp, position: u64::MAX };
            if kept.messages.range(moment).any(|(_, one)| facts.is_again(raw, &one.raw)) {
                continue;
            }
            kept.places.insert(position, timestamp);
            let one = Arc::new(One { facts, archived: None, raw: raw.to_vec() });
            kept.messages.insert(Cursor { timestamp, position }, one);
        }
    }

    fn read_lock(&self) -> RwLockReadGuard<'_, Kept> {
        self.0.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn write_lock(&self) -> RwLockWriteGuard<'_, Kept> {
        self.0.write().unwrap_or_else(PoisonError::into_inner)
    }

    /// The next rows behind this one, inside the bounds of time.
    fn some(&self, scan: &Scan, after: Option<Cursor>) -> Vec<(Cursor, Arc<One>)> {
        let kept = self.read_lock();
        let place = |timestamp| Cursor { timestamp, position: 0 };
        let mut from = scan.narrow.since.map_or(Bound::Unbounded, |since| Bound::Included(place(since)));
        let mut to = scan.narrow.until.map_or(Bound::Unbounded, |until| Bound::Excluded(place(until)));
        let inside = |cursor: &Cursor| {
            scan.narrow.since.is_none_or(|since| cursor.timestamp >= since)
                && scan.narrow.until.is_none_or(|until| cursor.timestamp < until)
        };
        match (after, scan.order) {
            // Beyond the bounds on the side that is reached first, it says nothing.
            (Some(after), Order::OldestFirst) if scan.narrow.since.is_none_or(|since| after.timestamp >= since) => {
                from = Bound::Excluded(after);
            }
            (Some(after), Order::NewestFirst) if scan.narrow.until.is_none_or(|until| after.timestamp < until) => {
                to = Bound::Excluded(after);
            }
            _ => {}
        }
        let key = |bound: &Bound<Cursor>| match bound {
            Bound::Included(cursor) | Bound::Excluded(cursor) => Some(*cursor),
            Bound::Unbounded => None,
        };
        // A map refuses a range that ends before it begins.
        if key(&from).zip(key(&to)).is_some_and(|(from, to)| from >= to) {
            return Vec::new();
        }
        let range = kept.messages.range((from, to)).filter(|(cursor, _)| inside(cursor));
        let copy = |(cursor, one): (&Cursor, &Arc<One>)| (*cursor, Arc::clone(one));
        match scan.order {
            Order::OldestFirst => range.take(AT_A_TIME).map(copy).collect(),
            Order::NewestFirst => range.rev().take(AT_A_TIME).map(copy).collect(),
        }
    }
}

impl Store for Memory {
    fn scan(&self, scan: &Scan, each: &mut dyn FnMut(&Row<'_>) -> ControlFlow<()>) -> Result<End, Trouble> {
        let mut after = scan.after;
        loop {
            if scan.deadline.is_over() {
                return Ok(End::Late);
            }
            let some = self.some(scan, after);
            for (cursor, one) in &some {
                let facts = &one.facts;
                if !scan.narrow.contains(cursor.position, facts, one.archived.is_some()) {
                    continue;
                }
                let row = Row {
                    position: cursor.position,
                    timestamp: cursor.timestamp,
                    severity: facts.severity,
                    kind: &facts.kind,
                    logger: &facts.logger,
                    archived: one.archived,
                    raw: &one.raw,
                };
                if each(&row).is_break() {
                    return Ok(End::Enough);
                }
            }
            match some.last() {
                Some((cursor, _)) => after = Some(*cursor),
                None => return Ok(End::All),
            }
        }
    }

    fn change(&self, change: Change, positions: &[u64]) -> Result<u64, Trouble> {
        let mut kept = self.write_lock();
        let mut changed = 0;
        for position in positions {
            let Some(timestamp) = kept.places.get(position).copied() else { continue };
            let cursor = Cursor { timestamp, position: *position };
            match change {
                Change::Delete => {
                    kept.places.remove(position);
                    kept.messages.remove(&cursor);
                }
                Change::Archive | Change::Restore => {
                    let Some(one) = kept.messages.get_mut(&cursor) else { continue };
                    if one.archived.is_some() == (change == Change::Archive) {
                        continue;
                    }
                    Arc::make_mut(one).archived = (change == Change::Archive).then(Timestamp::now);
                }
            }
            changed += 1;
        }
        Ok(changed)
    }

    fn size(&self) -> Result<Size, Trouble> {
        let kept = self.read_lock();
        let count = |number: usize| u64::try_from(number).unwrap_or(u64::MAX);
        Ok(Size {
            messages: count(kept.messages.len()),
            archived: count(kept.messages.values().filter(|one| one.archived.is_some()).count()),
            bytes: 0,
            oldest: kept.messages.keys().next().map(|cursor| cursor.timestamp),
            newest: kept.messages.keys().next_back().map(|cursor| cursor.timestamp),
        })
    }

    fn backup(&self, _note: &str) -> Result<Backup, Trouble> {
        Err(Trouble::Refused("what is kept in memory only has no backups".to_owned()))
    }

    fn backups(&self) -> Result<Vec<Backup>, Trouble> {
        Ok(Vec::new())
    }
}
