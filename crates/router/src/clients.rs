//! What each client has sent, by its running numbers: what got lost on the way, and what came twice.
//!
//! Everything is bounded: so many clients, so far back, so many holes each. What falls out of the bounds is counted and
//! passed on as it is.

pub mod claims;

use claims::Claims;
use foldhash::fast::RandomState;
use metlog_message::{Head, head, wire};
use metlog_spool::{Fs, Spool};
use std::collections::HashMap;
use std::io;
use std::ops::ControlFlow;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

/// How far back a number can still be told from one that came already.
const WINDOW: u64 = 65_536;
/// Holes remembered per client. A connection that loses every other message makes many small ones.
const HOLES: usize = 1024;
const CLIENTS: usize = 10_000;
const NAME: usize = 64;
/// So many bytes of the spool are looked through at the start for what clients had sent: what nobody had acknowledged when
/// the router ended is among the last.
const REMEMBERED: u64 = 64 << 20;
/// A client that was silent for so long makes room when there are too many.
const IDLE: Duration = Duration::from_secs(600);

/// What a running number says about its message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Seen {
    /// For the first time, as far as we can know.
    New,
    /// It came before.
    Again,
}

/// All clients.
#[derive(Default)]
pub struct Clients {
    tracks: Mutex<HashMap<Box<str>, Track, RandomState>>,
    /// Holes that nothing can fill any more, of clients past and present.
    closed: AtomicU64,
    untracked: AtomicU64,
    /// What is noted and not in the spool yet.
    pub claims: Claims,
}

/// What is known about all clients together.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, serde::Serialize)]
pub struct Losses {
    /// Clients being followed.
    pub clients: usize,
    /// Messages that were numbered and never came.
    pub lost: u64,
    /// Messages whose number could not be judged: too many clients, or too late.
    pub untracked: u64,
}

/// What is known about one client.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
pub struct ClientLosses {
    /// Its `metlog_client`.
    pub client: String,
    /// Its highest number.
    pub highest: u64,
    /// How many of its numbers never came, so far.
    pub lost: u64,
}

/// What is known about one client, and when and where it came in last.
#[derive(Debug, Clone)]
pub struct Client {
    /// Its `metlog_client`.
    pub name: String,
    /// `input udp`
    pub from: Arc<str>,
    /// Its highest number.
    pub highest: u64,
    /// Messages that came and were no repetition.
    pub received: u64,
    /// Numbers that never came, so far.
    pub lost: u64,
    /// Messages that came once more.
    pub duplicates: u64,
    /// When the last one came.
    pub last_seen: Instant,
}

struct Track {
    from: Arc<str>,
    received: u64,
    duplicates: u64,
    /// The first number seen; what came before it was perhaps sent to somebody else.
    first: u64,
    highest: u64,
    /// Ranges of numbers not seen, first and last, growing.
    holes: Vec<(u64, u64)>,
    closed: u64,
    /// Some were given up.
    gave_up: bool,
    /// Holes below are no losses: what the spool does not have from before the start may have been for nobody.
    forgiven: u64,
    /// Nothing has come since the start.
    from_before: bool,
    last_seen: Instant,
}

impl Track {
    fn see(&mut self, seq: u64) -> Option<Seen> {
        if seq > self.highest {
            if seq > self.highest + 1 {
                self.holes.push((self.highest + 1, seq - 1));
            }
            self.highest = seq;
            if std::mem::take(&mut self.from_before) {
                self.forgiven = self.forgiven.max(seq);
            }
            return Some(Seen::New);
        }
        if seq < self.first || seq + WINDOW <= self.highest {
            return None;
        }
        let at = self.holes.partition_point(|(_, last)| *last < seq);
        match self.holes.get(at).copied() {
            Some((first, last)) if first <= seq => {
                let parts = [(first, seq - 1), (seq + 1, last)];
                self.holes.splice(at..=at, parts.into_iter().filter(|(first, last)| first <= last));
                Some(Seen::New)
            }
            // A hole given up to keep their number down is a hole all the same.
            _ if self.gave_up && self.holes.first().is_none_or(|(first, _)| seq < *first) => None,
            _ => Some(Seen::Again),
        }
    }

    /// Its message was not kept after all.
    fn unsee(&mut self, seq: u64) {
        let at = self.holes.partition_point(|(_, last)| *last < seq);
        if seq <= self.highest && self.holes.get(at).is_none_or(|(first, _)| seq < *first) {
            self.received = self.received.saturating_sub(1);
            self.holes.insert(at, (seq, seq));
        }
    }

    /// Gives up holes too old or too many. How many messages that were.
    fn close_old(&mut self) -> u64 {
        let floor = (self.highest + 1).saturating_sub(WINDOW);
        let old = self.holes.partition_point(|(_, last)| *last < floor);
        let old = old.max(self.holes.len().saturating_sub(HOLES));
        self.gave_up |= old > 0;
        let forgiven = self.forgiven;
        let losses = self.holes.drain(..old).filter(|(first, _)| *first >= forgiven);
        let closed = losses.map(|(first, last)| last - first + 1).sum();
        self.closed += closed;
        closed
    }

    fn open(&self) -> u64 {
        let losses = self.holes.iter().filter(|(first, _)| *first >= self.forgiven);
        losses.map(|(first, last)| last - first + 1).sum()
    }
}

/// The tracks, locked for one batch.
pub struct Session<'a> {
    clients: &'a Clients,
    from: Option<&'a Arc<str>>,
    /// Others get the rest.
    part: bool,
    tracks: MutexGuard<'a, HashMap<Box<str>, Track, RandomState>>,
}

impl Clients {
    /// For the messages of a batch.
    pub fn session(&self) -> Session<'_> {
        let tracks = self.tracks.lock().unwrap_or_else(PoisonError::into_inner);
        Session { clients: self, from: None, part: false, tracks }
    }

    /// For the messages of a batch that comes from here.
    pub fn session_from<'a>(&'a self, from: &'a Arc<str>) -> Session<'a> {
        Session { from: Some(from), ..self.session() }
    }

    /// Looks through the newest messages of the spool, which were taken before this start: their clients may repeat them,
    /// since nobody told them so. What is not there counts neither as known nor as lost.
    ///
    /// # Errors
    /// If it cannot be read. What was found until then is known.
    pub fn remember<F: Fs>(&self, spool: &Spool<F>, limits: &wire::Limits) -> io::Result<()> {
        let from: Arc<str> = "the spool".into();
        let mut session = self.session_from(&from);
        let now = Instant::now();
        let next = spool.next_id();
        let looked = spool.look_through(spool.newest(REMEMBERED)..next, None, &mut |_, _, batch| {
            for message in batch.lines().iter().take(batch.messages()) {
                if let Ok(Head { origin: Some((client, seq)), .. }) = head::scan(message, limits) {
                    session.see(&client, seq, now);
                }
            }
            ControlFlow::Continue(())
        });
        for track in session.tracks.values_mut() {
            (track.received, track.duplicates, track.closed) = (0, 0, 0);
            (track.forgiven, track.from_before) = (track.highest + 1, true);
        }
        drop(session);
        self.closed.store(0, Relaxed);
        self.untracked.store(0, Relaxed);
        looked
    }

    /// The sum.
    pub fn losses(&self) -> Losses {
        let session = self.session();
        let open: u64 = session.tracks.values().map(Track::open).sum();
        Losses {
            clients: session.tracks.len(),
            lost: open + self.closed.load(Relaxed),
            untracked: self.untracked.load(Relaxed),
        }
    }

    /// The clients: those that lost the most first, and then those that came last; at most so many.
    pub fn all(&self, count: usize) -> Vec<Client> {
        let session = self.session();
        let each = session.tracks.iter().map(|(name, track)| (track.open() + track.closed, track, name));
        let mut all: Vec<_> = each.collect();
        all.sort_unstable_by(|(lost, track, name), (other_lost, other, other_name)| {
            other_lost.cmp(lost).then(other.last_seen.cmp(&track.last_seen)).then(name.cmp(other_name))
        });
        all.truncate(count);
        let told = all.into_iter().map(|(lost, track, name)| Client {
            name: name.to_string(),
            from: track.from.clone(),
            highest: track.highest,
            received: track.received,
            lost,
            duplicates: track.duplicates,
            last_seen: track.last_seen,
        });
        told.collect()
    }

    /// The clients that lost the most, at most so many.
    pub fn worst(&self, count: usize) -> Vec<ClientLosses> {
        let session = self.session();
        let each = session.tracks.iter().map(|(name, track)| ClientLosses {
            client: name.to_string(),
            highest: track.highest,
            lost: track.open() + track.closed,
        });
        let mut all: Vec<ClientLosses> = each.filter(|client| client.lost > 0).collect();
        all.sort_by(|a, b| b.lost.cmp(&a.lost).then_with(|| a.client.cmp(&b.client)));
        all.truncate(count);
        all
    }
}

impl Session<'_> {
    /// For messages of which only a part comes here: those that do not come are no losses.
    #[must_use]
    pub fn of_a_part(self, part: bool) -> Self {
        Session { part, ..self }
    }

    /// Notes a message.
    pub fn see(&mut self, client: &str, seq: u64, now: Instant) -> Seen {
        if client.len() > NAME || seq > u64::MAX - WINDOW {
            self.clients.untracked.fetch_add(1, Relaxed);
            return Seen::New;
        }
        if let Some(track) = self.tracks.get_mut(client) {
            track.last_seen = now;
            if self.part {
                track.forgiven = u64::MAX;
            }
            if let Some(from) = self.from
                && !Arc::ptr_eq(from, &track.from)
            {
                track.from = from.clone();
            }
            let seen = track.see(seq);
            *(if seen == Some(Seen::Again) { &mut track.duplicates } else { &mut track.received }) += 1;
            let closed = if track.holes.is_empty() { 0 } else { track.close_old() };
            if closed > 0 {
                self.clients.closed.fetch_add(closed, Relaxed);
            }
            return seen.unwrap_or_else(|| {
                self.clients.untracked.fetch_add(1, Relaxed);
                Seen::New
            });
        }
        if self.tracks.len() >= CLIENTS {
            self.make_room(now);
        }
        if self.tracks.len() >= CLIENTS {
            self.clients.untracked.fetch_add(1, Relaxed);
        } else {
            let from = self.from.cloned().unwrap_or_default();
            let track = Track {
                from,
                received: 1,
                duplicates: 0,
                first: seq,
                highest: seq,
                holes: Vec::new(),
                closed: 0,
                gave_up: false,
                forgiven: if self.part { u64::MAX } else { 0 },
                from_before: false,
                last_seen: now,
            };
            self.tracks.insert(client.into(), track);
        }
        Seen::New
    }

    /// Takes it back: its message was not kept after all, and will be sent again.
    pub fn unsee(&mut self, client: &str, seq: u64) {
        if let Some(track) = self.tracks.get_mut(client) {
            track.unsee(seq);
        }
    }

    #[cold]
    fn make_room(&mut self, now: Instant) {
        let closed = &self.clients.closed;
        self.tracks.retain(|_, track| {
            let stays = now.saturating_duration_since(track.last_seen) < IDLE;
            if !stays {
                closed.fetch_add(track.open(), Relaxed);
            }
            stays
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    fn lost(clients: &Clients) -> u64 {
        clients.losses().lost
    }

    #[test]
    fn holes_are_losses_until_they_are_filled() {
        let (clients, now) = (Clients::default(), Instant::now());
        let mut see = |seq| clients.session().see("a", seq, now);
        assert_eq!(
            [5, 6, 10, 8, 8, 6].map(&mut see),
            [Seen::New, Seen::New, Seen::New, Seen::New, Seen::Again, Seen::Again]
        );
        assert_eq!(lost(&clients), 2, "7 and 9; what came before 5 may have gone elsewhere");
        clients.session().unsee("a", 8);
        assert_eq!(lost(&clients), 3);
        assert_eq!(
            [8, 7, 9, 9].map(|seq| clients.session().see("a", seq, now)),
            [Seen::New, Seen::New, Seen::New, Seen::Again]
        );
        assert_eq!((lost(&clients), clients.losses().untracked), (0, 0));
        assert_eq!([4, 4].map(|seq| clients.session().see("a", seq, now)), [Seen::New, Seen::New], "before the first");
        assert_eq!(clients.losses().untracked, 2);
    }

    #[test]
    fn what_the_spool_has_is_known_and_what_it_has_not_is_no_loss() {
        use metlog_message::Batch;
        let directory = std::env::temp_dir().join(format!("metlog-clients-{}", std::process::id()));
        let disk = metlog_spool::Disk::open(&directory).expect("a directory");
        let (spool, _) = Spool::open(disk, metlog_spool::Options::default()).expect("a spool");
        let mut batch = Batch::new();
        for seq in [3, 4, 9] {
            let text = format!(
                r#"{{"type":"a","timestamp":"2026-11-21T08:00:00.000000Z","logger":"","severity":6,"payload":"","fields":{{}},"env_version":"0.8","metlog_pid":1,"metlog_hostname":"h","metlog_client":"a","metlog_seq":{seq}}}"#
            );
            batch.push(text.as_bytes(), 1);
        }
        batch.note(b"none");
        spool.append(batch).expect("room");
        let (clients, now) = (Clients::default(), Instant::now());
        clients.remember(&spool, &wire::Limits::default()).expect("read");
        let mut see = |seq| clients.session().see("a", seq, now);
        assert_eq!([3, 9, 6, 6].map(&mut see), [Seen::Again, Seen::Again, Seen::New, Seen::Again]);
        // Between 9 and 20 may have been what nobody wanted; after that everything comes past here.
        assert_eq!([20, 22].map(&mut see), [Seen::New, Seen::New]);
        assert_eq!(lost(&clients), 1, "21");
        assert_eq!(clients.losses().untracked, 0);
        drop(spool);
        std::fs::remove_dir_all(&directory).expect("made here");
    }

    #[test]
    fn of_what_comes_in_parts_nothing_is_lost_and_what_comes_twice_is_known() {
        let (clients, now) = (Clients::default(), Instant::now());
        let see = |seq| clients.session().of_a_part(true).see("a", seq, now);
        let every_third = (0..30_000).map(|number| number * 3);
        assert!(every_third.clone().all(|seq| see(seq) == Seen::New));
        assert_eq!([89_997, 89_995, 89_995].map(see), [Seen::Again, Seen::New, Seen::Again]);
        assert_eq!((lost(&clients), clients.worst(10).len()), (0, 0));
        clients.session().see("b", 1, now);
        clients.session().see("b", 5, now);
        assert_eq!(lost(&clients), 3, "another client's are");
    }

    #[test]
    fn any_order_within_the_window_agrees_with_a_set() {
        let clients = Clients::default();
        let now = Instant::now();
        let (mut set, mut state) = (BTreeSet::new(), 7_u64);
        clients.session().see("a", 1000, now);
        set.insert(1000);
        for _ in 0..20_000 {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            let seq = 1000 + (state >> 33) % 900;
            let expected = if set.insert(seq) { Seen::New } else { Seen::Again };
            assert_eq!(clients.session().see("a", seq, now), expected, "{seq}");
            let highest = set.last().copied().unwrap_or_default();
            assert_eq!(lost(&clients), highest - 999 - set.len() as u64);
        }
    }

    #[test]
    fn what_is_too_old_or_too_much_is_counted_and_passes() {
        let (clients, now) = (Clients::default(), Instant::now());
        let mut session = clients.session();
        for seq in [1, 3, 200_000, 2, 3] {
            assert_eq!(session.see("a", seq, now), Seen::New, "{seq}");
        }
        for seq in (1..10_000).map(|n| n * 2) {
            session.see("b", seq, now);
        }
        assert!(session.tracks.get("b").is_some_and(|track| track.holes.len() <= HOLES));
        assert_eq!(session.see("b", 3, now), Seen::New, "a hole that was given up");
        for other in 0..2 * CLIENTS {
            session.see(&format!("c{other}"), 1, now);
        }
        assert_eq!(session.tracks.len(), CLIENTS);
        session.see("late", 1, now + IDLE);
        assert_eq!(session.tracks.len(), 1);
        session.see(&"x".repeat(1000), 1, now);
        session.see("y", u64::MAX, now);
        assert_eq!(session.tracks.len(), 1);
        drop(session);
        let losses = clients.losses();
        assert_eq!(losses.lost, 1 + 199_996 + 9_998, "holes outlive their client");
        assert_eq!(losses.untracked as usize, 2 + 1 + (CLIENTS + 2) + 2);
    }
}
