//! Contract: whoever keeps messages and finds them again.

use crate::asker::{Asker, Deadline, Lent};
use metlog_message::Timestamp;
use metlog_pipeline::inventory;
use metlog_pipeline::registry::{Configured, Opener, Reader, blame};
use std::fmt;
use std::ops::ControlFlow;
use std::path::Path;
use std::pin::Pin;
use std::sync::Arc;

/// Keeps messages. Every call may block; whoever serves many people calls it off the event loop.
///
/// Positions are given by the store, grow, are never used twice, and stay with a message.
pub trait Store: Send + Sync {
    /// Gives every message inside `scan.narrow`, in order, until `each` breaks off or time is up. It may give others too.
    ///
    /// # Errors
    /// If the store cannot be read.
    fn scan(&self, scan: &Scan, each: &mut dyn FnMut(&Row<'_>) -> ControlFlow<()>) -> Result<End, Trouble>;

    /// Changes these messages, at most some thousand at a time; those that are not there are passed over. How many were.
    ///
    /// # Errors
    /// If the store cannot be written; then none was changed.
    fn change(&self, change: Change, positions: &[u64]) -> Result<u64, Trouble>;

    /// What it holds.
    ///
    /// # Errors
    /// If the store cannot be read.
    fn size(&self) -> Result<Size, Trouble>;

    /// Copies all of it to a new file beside its own, while it goes on being written. The note is kept with it.
    ///
    /// # Errors
    /// If it cannot be copied, or this store leaves backups to its own tools, which the error then names.
    fn backup(&self, note: &str) -> Result<Backup, Trouble>;

    /// The backups there are, newest first.
    ///
    /// # Errors
    /// If they cannot be listed.
    fn backups(&self) -> Result<Vec<Backup>, Trouble>;

    /// Puts a copy in the place of all it holds, while nobody uses it; what it held is kept aside. Without `act` only
    /// looks whether that would work.
    ///
    /// # Errors
    /// If the copy is not whole, the store is in use, or takes nothing back; then nothing is changed.
    fn restore(&self, copy: &Path, act: bool) -> Result<Exchange, Trouble> {
        let (copy, doing) = (copy.display(), if act { "is taken back" } else { "would be taken back" });
        Err(Trouble::Refused(format!("nothing {doing} from {copy}: this store has tools of its own for that")))
    }
}

/// What to look through.
#[derive(Debug, Clone)]
pub struct Scan {
    /// Which messages at least.
    pub narrow: Narrow,
    /// Which first: by timestamp, then by position.
    pub order: Order,
    /// Only those behind this one, in that order.
    pub after: Option<Cursor>,
    /// Give up then; to be looked at between rows that are not given, too.
    pub deadline: Deadline,
}

/// Bounds that every index can work with: what is found lies inside all of them. Empty lists bound nothing.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Narrow {
    /// Not before.
    pub since: Option<Timestamp>,
    /// Before.
    pub until: Option<Timestamp>,
    /// Not less severe, that is not of a higher number.
    pub severity_max: Option<u8>,
    /// Not more severe.
    pub severity_min: Option<u8>,
    /// One of these types.
    pub types: Vec<String>,
    /// One of these loggers.
    pub loggers: Vec<String>,
    /// One of these ids.
    pub ids: Vec<String>,
    /// One of these traces.
    pub traces: Vec<String>,
    /// At one of these positions.
    pub positions: Vec<u64>,
    /// The payload has all of these words, as [`crate::words`] cuts them; with `true`, one that begins so.
    pub words: Vec<(String, bool)>,
    /// Archived ones: only, not, or both.
    pub archived: Option<bool>,
    /// Whether everything inside these bounds is wanted, so that a store may count without looking at messages.
    pub exact: bool,
}

/// Which come first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Order {
    /// The latest.
    #[default]
    NewestFirst,
    /// The earliest.
    OldestFirst,
}

/// A place in the order: everything up to this message has been seen.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Cursor {
    /// Its timestamp.
    pub timestamp: Timestamp,
    /// Its position.
    pub position: u64,
}

/// A message that was found.
#[derive(Debug, Clone, Copy)]
pub struct Row<'a> {
    /// Its place in the store.
    pub position: u64,
    /// When it happened.
    pub timestamp: Timestamp,
    /// 0 to 7.
    pub severity: u8,
    /// Its type.
    pub kind: &'a str,
    /// Its logger.
    pub logger: &'a str,
    /// Since when it is archived.
    pub archived: Option<Timestamp>,
    /// Its bytes, as they came.
    pub raw: &'a [u8],
}

impl Row<'_> {
    /// Where the next page begins.
    pub fn cursor(&self) -> Cursor {
        Cursor { timestamp: self.timestamp, position: self.position }
    }
}

/// How a scan ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum End {
    /// Everything was given.
    All,
    /// Whoever asked had enough.
    Enough,
    /// The deadline came first.
    Late,
}

/// What can be done to a message that is kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Change {
    /// Set aside: not found unless asked for.
    Archive,
    /// Back again.
    Restore,
    /// Gone.
    Delete,
}

/// What a store holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Size {
    /// Messages, archived ones too.
    pub messages: u64,
    /// Those that are archived.
    pub archived: u64,
    /// On disk.
    pub bytes: u64,
    /// The earliest timestamp.
    pub oldest: Option<Timestamp>,
    /// The latest.
    pub newest: Option<Timestamp>,
}

/// A copy of a store.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Backup {
    /// The file.
    pub path: String,
    /// When it was made.
    pub made: Timestamp,
    /// Its size.
    pub bytes: u64,
    /// Whether it was read through and found whole.
    pub whole: bool,
    /// What was said when it was made.
    pub note: String,
}

/// A copy that takes the place of what a store holds, or would.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Exchange {
    /// What the copy says of itself, if it was made as one.
    pub copy: Option<Backup>,
    /// What is in it.
    pub holds: Size,
    /// Where it goes.
    pub place: String,
    /// What was there, or why that cannot be read; none if nothing was.
    pub before: Option<Result<Size, Trouble>>,
    /// Where that is now, once it is done.
    pub kept: Option<String>,
}

/// Why a store could not answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Trouble {
    /// Not now: it is not reachable, or not open yet.
    Away(String),
    /// Not this: it cannot do that, or not with these values.
    Refused(String),
}

impl fmt::Display for Trouble {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Trouble::Away(why) | Trouble::Refused(why) => f.write_str(why),
        }
    }
}

impl std::error::Error for Trouble {}

/// When what was acknowledged before now can be found.
pub type Settled = Pin<Box<dyn Future<Output = bool> + Send>>;

/// The store that questions go to, for the handlers of HTTP routes: an axum extension, absent if nothing is kept.
#[derive(Clone)]
pub struct Shelf {
    store: Arc<dyn Store>,
    settled: Arc<dyn Fn() -> Settled + Send + Sync>,
}

impl Shelf {
    /// This store, and how to wait for it.
    pub fn new(store: Arc<dyn Store>, settled: impl Fn() -> Settled + Send + Sync + 'static) -> Self {
        Shelf { store, settled: Arc::new(settled) }
    }

    /// The store, for somebody who asks; what is asked ends when that is dropped.
    pub fn lend(&self) -> (Asker, Lent) {
        Lent::new(self.store.clone())
    }

    /// Waits until everything acknowledged before the call is in the store: a second at most, then false. Whoever
    /// writes and then reads finds what it wrote.
    pub async fn settled(&self) -> bool {
        (self.settled)().await
    }
}

/// A store that can be asked, of the same name and with the same settings as the endpoint that fills it.
pub struct StoreEntry {
    /// The endpoint's name.
    pub name: &'static str,
    /// Reads settings.
    pub read: Reader<Arc<dyn Store>>,
}

inventory::collect!(StoreEntry);

impl StoreEntry {
    /// The entry of `T`.
    pub const fn of<T: Configured + Store>(name: &'static str) -> Self {
        StoreEntry {
            name,
            read: |node| {
                let config = metlog_settings::read::<T::Config>(node)?;
                T::check(&config).map_err(|why| blame(node, why))?;
                let open: Opener<Arc<dyn Store>> = Box::new(move || {
                    let made: Arc<dyn Store> = Arc::new(T::open(config)?);
                    Ok(made)
                });
                Ok(open)
            },
        }
    }

    /// The one of this name.
    pub fn find(name: &str) -> Option<&'static StoreEntry> {
        inventory::iter::<StoreEntry>.into_iter().find(|entry| entry.name.eq_ignore_ascii_case(name))
    }
}
