//! Call sites: one static per macro call, with the one word that decides what the call does.
//!
//! A disabled call costs one load and one test. The word also holds the site's number and the client's, so that an
//! enabled call needs no other look-up. Whenever a client is set up, replaced or closed, every word is rewritten.

use crate::client::Core;
use crate::engine;
use metlog_message::Severity;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// The call does something: emit, or find out.
pub const LIVE: u64 = 1;
/// Nobody has looked at this site yet.
const UNKNOWN: u64 = 2;
/// The call takes the slow path: first call, a method in its place, or a paced client.
pub const SLOW: u64 = 4;
/// The call adds to a slot of its thread in place of sending a message.
pub const AGGREGATE: u64 = 8;

const CLIENT_SHIFT: u32 = 8;
const SITE_SHIFT: u32 = 32;
const CLIENT_MASK: u64 = 0x00ff_ffff;

/// A word for a call with an explicit client.
pub fn word(site: u32, client: u32, flags: u64) -> u64 {
    u64::from(site) << SITE_SHIFT | (u64::from(client) & CLIENT_MASK) << CLIENT_SHIFT | flags
}

/// The site's number in a word.
#[inline(always)]
pub fn site_of(word: u64) -> u32 {
    (word >> SITE_SHIFT) as u32
}

/// The client's number in a word.
#[inline(always)]
pub fn client_of(word: u64) -> u32 {
    (word >> CLIENT_SHIFT & CLIENT_MASK) as u32
}

/// What kind of message a site makes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// Type `oldstyle`, with the severity of its helper.
    Log(Severity),
    /// Type `counter`.
    Counter,
    /// Type `timer`, measured here.
    Timer,
    /// Type `timer`, measured by the caller: never disabled, never sampled.
    TimerSend,
    /// Any other type; its name is the site's name.
    Custom,
}

/// What is known of a call when the program is compiled.
#[derive(Debug)]
pub struct Meta {
    /// What it makes.
    pub kind: Kind,
    /// Name of the counter or timer, or the type; empty when only known at run time.
    pub name: &'static str,
    /// The text with its `{}`.
    pub text: &'static str,
    /// How many values fill the text (or are the payload); they come first in a record.
    pub text_args: usize,
    /// Names of the values after them.
    pub fields: &'static [&'static str],
    /// The helper's own word where its severity does not say it: `trace`, `fatal`.
    pub level: &'static str,
    /// Where.
    pub module: &'static str,
    /// Where.
    pub file: &'static str,
    /// Where.
    pub line: u32,
}

impl Meta {
    /// The message type.
    pub fn type_name(&self) -> &'static str {
        match self.kind {
            Kind::Log(_) => "oldstyle",
            Kind::Counter => "counter",
            Kind::Timer | Kind::TimerSend => "timer",
            Kind::Custom => self.name,
        }
    }

    /// Whether messages have a name and a rate.
    pub fn is_metric(&self) -> bool {
        matches!(self.kind, Kind::Counter | Kind::Timer | Kind::TimerSend)
    }

    /// Whether calls give this value themselves.
    pub const fn has(&self, name: &str) -> bool {
        find(self.fields, name) < self.fields.len()
    }
}

/// The place of a name among names, or `names.len()`: usable in constants.
pub const fn find(names: &[&str], name: &str) -> usize {
    let mut at = 0;
    while at < names.len() {
        if same(names[at], name) {
            return at;
        }
        at += 1;
    }
    at
}

/// Where a call's sampling rate stands among its values, the first of which is the count.
pub const fn rate_at(names: &[&str]) -> usize {
    let at = find(names, "rate");
    if at < names.len() { at + 1 } else { usize::MAX }
}

const fn same(left: &str, right: &str) -> bool {
    let (left, right) = (left.as_bytes(), right.as_bytes());
    if left.len() != right.len() {
        return false;
    }
    let mut at = 0;
    while at < left.len() {
        if left[at] != right[at] {
            return false;
        }
        at += 1;
    }
    true
}

/// Whether a format string needs nothing but `count` values in order, so that formatting can wait.
pub const fn plain(text: &str, count: usize) -> bool {
    let text = text.as_bytes();
    let (mut at, mut found) = (0, 0);
    while at < text.len() {
        let next = if at + 1 < text.len() { text[at + 1] } else { 0 };
        match (text[at], next) {
            (b'{', b'}') => {
                found += 1;
                at += 2;
            }
            (b'{', b'{') | (b'}', b'}') => at += 2,
            (b'{', _) | (b'}', _) => return false,
            _ => at += 1,
        }
    }
    found == count
}

/// How long a path is with `.` for `::`.
pub const fn dotted_len(path: &str) -> usize {
    let (path, mut at, mut colons) = (path.as_bytes(), 0, 0);
    while at < path.len() {
        colons += (path[at] == b':') as usize;
        at += 1;
    }
    path.len() - colons / 2
}

/// A path with `.` for `::`; `N` is its [`dotted_len`].
pub const fn dotted<const N: usize>(path: &str) -> [u8; N] {
    let (path, mut out, mut from, mut to) = (path.as_bytes(), [b'.'; N], 0, 0);
    while to < N {
        if path[from] == b':' {
            from += 2;
        } else {
            out[to] = path[from];
            from += 1;
        }
        to += 1;
    }
    out
}

/// One macro call in the program.
pub struct Site {
    word: AtomicU64,
    /// Several clients use it.
    shared: AtomicBool,
    /// What the compiler knows.
    pub meta: Meta,
}

struct Sites {
    all: Vec<&'static Site>,
    /// The default client, for calls that name none.
    client: Option<Arc<Core>>,
}

static SITES: Mutex<Sites> = Mutex::new(Sites { all: Vec::new(), client: None });

fn sites() -> MutexGuard<'static, Sites> {
    // A panic while it was held cannot have left it half changed: every change is one assignment.
    SITES.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Site {
    /// Made by the macros.
    pub const fn new(meta: Meta) -> Self {
        Site { word: AtomicU64::new(LIVE | UNKNOWN | SLOW), shared: AtomicBool::new(false), meta }
    }

    /// What the call has to do.
    #[inline(always)]
    pub fn word(&self) -> u64 {
        self.word.load(Ordering::Relaxed)
    }

    /// Gives the site its number and its word, once; later calls return the word.
    #[cold]
    pub fn known(&'static self) -> u64 {
        let mut sites = sites();
        if !is_known(self.word()) {
            let number = self.enter(&mut sites);
            self.word.store(judge(self, number, sites.client.as_deref()), Ordering::Relaxed);
        }
        self.word()
    }

    /// The same for a call that names its client. A site used with several clients in turn comes here each time, and
    /// adds nothing up: its slots could not say whose they are.
    #[cold]
    pub fn known_for(&'static self, core: &Core) -> u64 {
        let before = self.word();
        let rival = client_of(before) != core.number && engine::client(client_of(before)).is_some();
        if is_known(before) && rival {
            self.shared.store(true, Ordering::Relaxed);
        }
        let mut sites = sites();
        let number = if is_known(self.word()) { site_of(self.word()) } else { self.enter(&mut sites) };
        let word = judge(self, number, Some(core));
        self.word.store(word, Ordering::Relaxed);
        word
    }

    fn enter(&'static self, sites: &mut Sites) -> u32 {
        sites.all.push(self);
        // Numbers begin at 1: 0 stands for messages that come from no site.
        u32::try_from(sites.all.len()).unwrap_or(u32::MAX)
    }
}

/// Whether the site has its number.
#[inline(always)]
pub fn is_known(word: u64) -> bool {
    word & UNKNOWN == 0
}

fn judge(site: &Site, number: u32, client: Option<&Core>) -> u64 {
    match client {
        Some(core) => {
            let unwanted = if site.shared.load(Ordering::Relaxed) { AGGREGATE } else { 0 };
            word(number, core.number, core.judge(&site.meta) & !unwanted)
        }
        None => word(number, 0, 0),
    }
}

/// Makes this the client of all calls that name none, and rewrites every site's word.
///
/// Sites that name a client are rewritten too: they notice at their next call that the word is not theirs.
pub fn set_default(client: Option<Arc<Core>>) {
    let mut sites = sites();
    sites.client = client;
    for (at, site) in sites.all.iter().enumerate() {
        site.word.store(judge(site, at as u32 + 1, sites.client.as_deref()), Ordering::Relaxed);
    }
}

/// Puts a client in the place of the default one, if `old` is that.
pub fn replace_default(old: &Core, next: Arc<Core>) {
    if default_client().is_some_and(|default| default.number == old.number) {
        set_default(Some(next));
    }
}

/// Rewrites the words of a client's sites after it changed its mind.
pub fn rejudge(core: &Core) {
    let sites = sites();
    for (at, site) in sites.all.iter().enumerate() {
        if client_of(site.word()) == core.number {
            site.word.store(judge(site, at as u32 + 1, Some(core)), Ordering::Relaxed);
        }
    }
}

/// The default client.
pub fn default_client() -> Option<Arc<Core>> {
    sites().client.clone()
}

/// The sites numbered after `known`, for a reader that keeps a copy.
pub fn after(known: usize) -> Vec<&'static Site> {
    sites().all.get(known..).map(<[_]>::to_vec).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn plain_texts_are_told_from_those_that_need_the_formatter() {
        assert!(plain("no braces", 0));
        assert!(plain("user {} of {}", 2));
        assert!(plain("{{literal}} {}", 1));
        for text in ["{name}", "{:?}", "{0}", "{:>5}", "{", "}"] {
            assert!(!plain(text, 1), "{text}");
        }
        assert!(!plain("{} {}", 1), "format! then reports the missing argument");
    }

    #[test]
    fn a_word_holds_site_client_and_flags() {
        let word = word(70_000, 300, LIVE | AGGREGATE);
        assert_eq!((site_of(word), client_of(word), word & 0xff), (70_000, 300, LIVE | AGGREGATE));
    }
}
