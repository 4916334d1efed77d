//! Found messages, page by page, or all of them one after the other.

use crate::expr::Expr;
use crate::store::{Cursor, End, Order, Row, Scan, Store, Trouble};
use metlog_message::Timestamp;
use std::fmt::Write as _;
use std::ops::ControlFlow;
use std::time::Instant;

/// Messages of one page.
pub const MOST: usize = 10_000;
/// Bytes of one page: messages may be large. The first message is always given.
pub const MOST_BYTES: usize = 16 * 1024 * 1024;
/// After so many bytes of messages the clock is looked at. Each counts for a little more than it has.
const BYTES_PER_LOOK: usize = 64 * 1024;

/// A message on a page.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Found {
    /// Its place in the store.
    pub position: u64,
    /// When it happened.
    pub timestamp: Timestamp,
    /// Since when it is archived.
    pub archived: Option<Timestamp>,
    /// Its bytes, as they came.
    pub raw: Vec<u8>,
}

/// Some of the messages that were asked for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Page {
    /// In order.
    pub messages: Vec<Found>,
    /// Where the next page begins, if there may be one: also when time was up, however few were found.
    pub next: Option<Cursor>,
    /// Whether time was up first.
    pub partial: bool,
    /// How many messages were looked at.
    pub scanned: u64,
}

/// Finds messages of which `expr` holds: at most `limit` ([`MOST`]) of them, and [`MOST_BYTES`].
///
/// # Errors
/// If the store cannot be read.
pub fn find(
    store: &dyn Store,
    expr: &Expr,
    order: Order,
    after: Option<Cursor>,
    limit: usize,
    deadline: Instant,
) -> Result<Page, Trouble> {
    let limit = limit.clamp(1, MOST);
    let mut messages: Vec<Found> = Vec::new();
    let mut bytes = 0;
    let mut full = false;
    // Stops at the first that is too much, so that a page that is full by chance promises no other.
    let visit = visit(store, expr, order, after, deadline, &mut |row| {
        full = messages.len() >= limit || !messages.is_empty() && bytes + row.raw.len() > MOST_BYTES;
        if full {
            return ControlFlow::Break(());
        }
        bytes += row.raw.len();
        let (position, timestamp, archived) = (row.position, row.timestamp, row.archived);
        messages.push(Found { position, timestamp, archived, raw: row.raw.to_vec() });
        ControlFlow::Continue(())
    })?;
    let last = messages.last().map(|last| Cursor { timestamp: last.timestamp, position: last.position });
    let next = match visit.end {
        End::All => None,
        End::Enough => last,
        End::Late => visit.seen.or(after),
    };
    // Late before anything was seen: the same page again.
    Ok(Page { messages, next, partial: visit.end == End::Late, scanned: visit.scanned })
}

/// How far a visit came.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Visit {
    /// How it ended.
    pub end: End,
    /// The last message that was looked at and, if it was meant, taken.
    pub seen: Option<Cursor>,
    /// How many messages were looked at.
    pub scanned: u64,
    /// How many of them were meant.
    pub matched: u64,
}

/// Gives every message of which `expr` holds, in order, until `each` breaks off or time is up. The one it breaks off at
/// counts as not taken. Nothing is kept: this is what exports, counts and changes are made of.
///
/// # Errors
/// If the store cannot be read.
pub fn visit(
    store: &dyn Store,
    expr: &Expr,
    order: Order,
    after: Option<Cursor>,
    deadline: Instant,
    each: &mut dyn FnMut(&Row<'_>) -> ControlFlow<()>,
) -> Result<Visit, Trouble> {
    let narrow = expr.narrow();
    let mut visit = Visit { end: End::All, seen: None, scanned: 0, matched: 0 };
    if narrow.is_nothing() {
        return Ok(visit);
    }
    let (mut late, mut bytes) = (false, 0);
    let end = store.scan(&Scan { narrow, order, after, deadline: deadline.into() }, &mut |row| {
        // A store looks at the clock too, but perhaps not while it has rows at hand.
        if bytes > BYTES_PER_LOOK {
            bytes = 0;
            late = Instant::now() >= deadline;
        }
        if late {
            return ControlFlow::Break(());
        }
        bytes += 128 + row.raw.len();
        let meant = expr.holds(row);
        if meant && each(row).is_break() {
            return ControlFlow::Break(());
        }
        visit.scanned += 1;
        visit.matched += u64::from(meant);
        visit.seen = Some(row.cursor());
        ControlFlow::Continue(())
    })?;
    visit.end = if late { End::Late } else { end };
    Ok(visit)
}

impl Cursor {
    /// As text that [`Cursor::parse`] reads and people cannot guess: it goes with this order only.
    pub fn to_text(self, order: Order) -> String {
        let bytes = self.bytes(order);
        bytes.iter().chain(&sum(&bytes)).fold(String::with_capacity(42), |mut text, byte| {
            let _never_fails = write!(text, "{byte:02x}");
            text
        })
    }

    /// Reads what [`Cursor::to_text`] wrote for the same order.
    ///
    /// # Errors
    /// If it is anything else.
    pub fn parse(text: &str, order: Order) -> Result<Self, String> {
        let wrong = || "the cursor is not one of ours; take `next` of an earlier answer, or leave it out".to_owned();
        let digits = text.as_bytes();
        let pairs = digits.chunks_exact(2).map(|pair| {
            let [high, low] = pair else { return None };
            let of = |digit: &u8| char::from(*digit).to_digit(16).filter(|_| !digit.is_ascii_uppercase());
            u8::try_from(of(high)? * 16 + of(low)?).ok()
        });
        let bytes: Option<Vec<u8>> = pairs.take(22).collect();
        let bytes: [u8; 21] =
            bytes.filter(|_| digits.len() == 42).and_then(|bytes| bytes.try_into().ok()).ok_or_else(wrong)?;
        let ([way], rest) = bytes.split_first_chunk::<1>().map(|(way, rest)| (*way, rest)).ok_or_else(wrong)?;
        let (timestamp, rest) = rest.split_first_chunk::<8>().ok_or_else(wrong)?;
        let (position, _sum) = rest.split_first_chunk::<8>().ok_or_else(wrong)?;
        let cursor = Cursor {
            timestamp: Timestamp::from_nanos(i64::from_be_bytes(*timestamp)),
            position: u64::from_be_bytes(*position),
        };
        let made = |order: Order| cursor.to_text(order) == text;
        match order {
            order if made(order) => Ok(cursor),
            Order::NewestFirst if way == 1 && made(Order::OldestFirst) => Err(other_order()),
            Order::OldestFirst if way == 0 && made(Order::NewestFirst) => Err(other_order()),
            _ => Err(wrong()),
        }
    }

    fn bytes(self, order: Order) -> [u8; 17] {
        let mut bytes = [u8::from(order == Order::OldestFirst); 17];
        let (_, rest) = bytes.split_at_mut(1);
        let values = self.timestamp.nanos().to_be_bytes().into_iter().chain(self.position.to_be_bytes());
        rest.iter_mut().zip(values).for_each(|(place, byte)| *place = byte);
        bytes
    }
}

fn other_order() -> String {
    "the cursor goes with the other order; leave it out to begin anew".to_owned()
}

/// Against slips of the hand, not against malice: a cursor opens nothing that the query does not.
fn sum(bytes: &[u8]) -> [u8; 4] {
    let hash = bytes.iter().fold(0x811c_9dc5_u32, |hash, byte| (hash ^ u32::from(*byte)).wrapping_mul(0x0100_0193));
    (hash ^ 0x6d65_746c).to_be_bytes()
}
