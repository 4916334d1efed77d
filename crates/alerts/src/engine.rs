//! Messages and time in, notices out.
//!
//! Time is what the caller says it is, so that a test can let it stand still: how long ago the engine began. It counts
//! messages when they get here, not when they say they happened: clocks of other hosts decide nothing, and a backlog
//! counts as it arrives.

mod group;
mod seen;

use crate::notice::{Brief, Cause, Item, Notice};
use crate::rules::{Rules, Trigger};
use group::{Group, Key, Rate};
use seen::Seen;
use std::collections::HashMap;
use std::time::Duration;

/// Groups at the most; what belongs to none of these is one group together.
const GROUPS: usize = 10_000;
/// Events in one notice at the most; more are counted.
const ITEMS: usize = 100;
const MINUTE: Duration = Duration::from_secs(60);
/// How often groups are looked through for those that nothing is known of any more.
const SWEEP: Duration = Duration::from_secs(10);

/// Decides what a person is told.
#[derive(Debug)]
pub struct Engine {
    rules: Rules,
    room: usize,
    groups: HashMap<Key, Group>,
    /// For want of room.
    other: Group,
    allowed: Allowance,
    alerts: Alerts,
    collected: Collected,
    presence: Presence,
    now: Duration,
    swept: Duration,
    number: u64,
}

/// So many in a minute, which begins with the first.
#[derive(Debug, Default)]
struct Allowance {
    until: Duration,
    used: u32,
}

impl Allowance {
    fn take(&mut self, now: Duration, most: u32) -> bool {
        if now >= self.until {
            *self = Allowance { until: now + MINUTE, used: 0 };
        }
        let free = self.used < most;
        self.used += u32::from(free);
        free
    }
}

/// Messages that ask for a notice themselves.
#[derive(Debug, Default)]
struct Alerts {
    allowed: Allowance,
    held: u64,
    first: Option<Box<Brief>>,
}

/// What waits for its digest.
#[derive(Debug, Default)]
struct Collected {
    due: Duration,
    items: Vec<Item>,
    left_out: u64,
}

impl Collected {
    fn add(&mut self, item: Item, due: Duration) {
        if self.items.is_empty() {
            self.due = due;
        }
        if self.items.len() < ITEMS {
            self.items.push(item);
        } else {
            self.left_out += item.count + item.held;
        }
    }
}

/// When the last message came, and whether it was told that none does.
#[derive(Debug, Default)]
struct Presence {
    last: Duration,
    told: bool,
}

impl Engine {
    /// By these rules; nothing has come yet, and time is zero.
    pub fn new(rules: Rules) -> Self {
        Self::with_room(rules, GROUPS)
    }

    fn with_room(rules: Rules, room: usize) -> Self {
        Engine {
            rules,
            room,
            groups: HashMap::new(),
            other: Group::default(),
            allowed: Allowance::default(),
            alerts: Alerts::default(),
            collected: Collected::default(),
            presence: Presence::default(),
            now: Duration::ZERO,
            swept: Duration::ZERO,
            number: 0,
        }
    }

    /// A message came. What is to be told at once is added to `out`.
    ///
    /// # Errors
    /// If it is no message; nothing else has changed then.
    pub fn feed(&mut self, text: &[u8], now: Duration, out: &mut Vec<Notice>) -> Result<(), String> {
        let seen = Seen::of(text)?;
        // Both read all there is to read, so that nothing fails half way.
        let alert = seen.is_alert()?;
        let key = if alert { Key::default() } else { seen.key(&self.rules.per)? };
        self.now = self.now.max(now);
        self.came(&seen, out)?;
        if alert {
            return self.alert(&seen, out);
        }
        match self.rules.trigger {
            Trigger::Absence { .. } => Ok(()),
            Trigger::Each => self.hit(key, 1, Cause::Each, &seen, out),
            Trigger::Rate { more_than, within } => {
                let now = self.now;
                let group = self.group(&key);
                let rate = group.rate.get_or_insert_with(|| Box::new(Rate::new(within)));
                let count = rate.add(now);
                if count <= more_than {
                    return Ok(());
                }
                rate.clear();
                self.hit(key, count, Cause::Rate { more_than, within }, &seen, out)
            }
        }
    }

    /// Time has passed. What it brings is added to `out`.
    pub fn tick(&mut self, now: Duration, out: &mut Vec<Notice>) {
        self.now = self.now.max(now);
        let now = self.now;
        if let Trigger::Absence { absent_for } = self.rules.trigger {
            let lasting = now.saturating_sub(self.presence.last);
            if lasting >= absent_for && !self.presence.told {
                self.presence.told = true;
                self.tell(
                    Item { cause: Cause::Absent { lasting }, group: Vec::new(), count: 0, held: 0, message: None },
                    out,
                );
            }
        }
        if self.alerts.held > 0 && self.alerts.allowed.take(now, self.rules.per_minute) {
            let item = self.held_alerts();
            self.tell(item, out);
        }
        for key in self.due() {
            self.release(&key, out);
        }
        if self.collected.due <= now {
            self.digest(out);
        }
        if now >= self.swept + SWEEP {
            self.swept = now;
            self.groups.retain(|_, group| group.is_of_use(now));
        }
    }

    /// Everything that was held back or collected, in one notice: there is no later.
    pub fn finish(&mut self, out: &mut Vec<Notice>) {
        if self.alerts.held > 0 {
            let item = self.held_alerts();
            self.collected.add(item, self.now);
        }
        let mut keys: Vec<Option<Key>> = self.groups.keys().cloned().map(Some).collect();
        keys.sort();
        keys.push(None);
        for key in keys {
            if let Some(item) = self.held(&key, Duration::ZERO) {
                self.collected.add(item, self.now);
            }
        }
        self.digest(out);
    }

    /// Time after which a message that was only collected has been told.
    pub fn digest_time(&self) -> Duration {
        self.rules.digest
    }

    fn tell(&mut self, item: Item, out: &mut Vec<Notice>) {
        self.number += 1;
        out.push(Notice { number: self.number, items: vec![item], left_out: 0 });
    }

    fn digest(&mut self, out: &mut Vec<Notice>) {
        if !self.collected.items.is_empty() {
            let Collected { items, left_out, .. } = std::mem::take(&mut self.collected);
            self.number += 1;
            out.push(Notice { number: self.number, items, left_out });
        }
    }

    /// For the rule of absence: a message came.
    fn came(&mut self, seen: &Seen<'_>, out: &mut Vec<Notice>) -> Result<(), String> {
        if let Trigger::Absence { .. } = self.rules.trigger {
            let after = self.now.saturating_sub(self.presence.last);
            if self.presence.told {
                let message = Some(Box::new(Brief::new(seen.message()?)));
                self.tell(Item { cause: Cause::Back { after }, group: Vec::new(), count: 0, held: 0, message }, out);
            }
            self.presence = Presence { last: self.now, told: false };
        }
        Ok(())
    }

    fn alert(&mut self, seen: &Seen<'_>, out: &mut Vec<Notice>) -> Result<(), String> {
        if self.alerts.allowed.take(self.now, self.rules.per_minute) {
            let message = Some(Box::new(Brief::new(seen.message()?)));
            let held = std::mem::take(&mut self.alerts.held);
            self.alerts.first = None;
            self.tell(Item { cause: Cause::Alert, group: Vec::new(), count: 1, held, message }, out);
        } else {
            if self.alerts.held == 0 {
                self.alerts.first = Some(Box::new(Brief::glimpse(seen.message()?)));
            }
            self.alerts.held += 1;
        }
        Ok(())
    }

    fn held_alerts(&mut self) -> Item {
        let count = std::mem::take(&mut self.alerts.held);
        Item { cause: Cause::Alert, group: Vec::new(), count, held: 0, message: self.alerts.first.take() }
    }

    /// So many messages of a group are worth telling.
    fn hit(
        &mut self,
        key: Key,
        count: u64,
        cause: Cause,
        seen: &Seen<'_>,
        out: &mut Vec<Notice>,
    ) -> Result<(), String> {
        let (now, digest, throttle) = (self.now, self.rules.digest, self.rules.throttle);
        let pausing = self.group(&key).until > now;
        if pausing || digest.is_zero() && !self.allowed.take(now, self.rules.per_minute) {
            let later = self.allowed.until;
            let group = self.group(&key);
            if !pausing {
                group.until = later;
            }
            if group.held == 0 {
                group.first = Some(Box::new(Brief::glimpse(seen.message()?)));
            }
            group.held += count;
            return Ok(());
        }
        let brief = seen.message().map(if digest.is_zero() { Brief::new } else { Brief::glimpse })?;
        let named = self.groups.contains_key(&key);
        let group = self.group(&key);
        group.until = now + throttle;
        group.first = None;
        let held = std::mem::take(&mut group.held);
        let group = if named { self.named(&key) } else { Vec::new() };
        self.leave(Item { cause, group, count, held, message: Some(Box::new(brief)) }, out);
        Ok(())
    }

    /// To the digest, if there is one, or else away.
    fn leave(&mut self, item: Item, out: &mut Vec<Notice>) {
        if self.rules.digest.is_zero() {
            self.tell(item, out);
        } else {
            self.collected.add(item, self.now + self.rules.digest);
        }
    }

    /// The group of this key, or the one for all others; a new one as long as there is room.
    fn group(&mut self, key: &Key) -> &mut Group {
        if !self.groups.contains_key(key) && self.groups.len() < self.room {
            self.groups.insert(key.clone(), Group::default());
        }
        self.groups.get_mut(key).unwrap_or(&mut self.other)
    }

    fn named(&self, key: &Key) -> Vec<(String, String)> {
        self.rules.per.iter().cloned().zip(key.values()).collect()
    }

    /// Groups whose pause is over and that have held something back, in the order they are to be told; `None` is the
    /// one for all others.
    fn due(&self) -> Vec<Option<Key>> {
        let is_due = |group: &Group| group.held > 0 && group.until <= self.now;
        let mut due: Vec<(Duration, Option<Key>)> = self
            .groups
            .iter()
            .filter(|(_, group)| is_due(group))
            .map(|(key, group)| (group.until, Some(key.clone())))
            .collect();
        if is_due(&self.other) {
            due.push((self.other.until, None));
        }
        due.sort();
        due.into_iter().map(|(_, key)| key).collect()
    }

    fn release(&mut self, key: &Option<Key>, out: &mut Vec<Notice>) {
        let (now, digest, throttle) = (self.now, self.rules.digest, self.rules.throttle);
        if digest.is_zero() && !self.allowed.take(now, self.rules.per_minute) {
            let later = self.allowed.until;
            if let Some(group) = self.known(key) {
                group.until = later;
            }
        } else if let Some(item) = self.held(key, now + throttle) {
            self.leave(item, out);
        }
    }

    fn known(&mut self, key: &Option<Key>) -> Option<&mut Group> {
        match key {
            Some(key) => self.groups.get_mut(key),
            None => Some(&mut self.other),
        }
    }

    /// What a group has held back; it pauses until then.
    fn held(&mut self, key: &Option<Key>, until: Duration) -> Option<Item> {
        let group = self.known(key).filter(|group| group.held > 0)?;
        group.until = until;
        let (count, message) = (std::mem::take(&mut group.held), group.first.take());
        let group = key.as_ref().map(|key| self.named(key)).unwrap_or_default();
        Some(Item { cause: Cause::Held, group, count, held: 0, message })
    }
}

#[cfg(test)]
mod tests;
