//! `/v1/tail`: looking on live. Whoever looks follows the spool at its end, so that a stream that breaks off goes on behind
//! the last id that was seen; what is too much is left out, evenly, and said so.

use super::query::asked::Asked;
use super::query::{Answer, Kept, Wrong, bad};
use super::{Shared, gone};
use crate::intake::Floor;
use crate::router::Router;
use crate::tail::{Onlooker, Sight};
use axum::body::{Body, Bytes};
use axum::extract::{Extension, RawQuery, State};
use axum::http::{HeaderMap, header};
use axum::response::IntoResponse;
use metlog_http::Refused;
use metlog_message::{Head, head, wire};
use metlog_query::page::visit;
use metlog_query::store::{Order, Row};
use metlog_query::{Expr, Shelf};
use std::collections::VecDeque;
use std::convert::Infallible;
use std::ops::ControlFlow;
use std::sync::{Arc, Weak};
use std::time::{Duration, Instant};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// Onlookers at a time.
const SEATS: usize = 64;
/// How often there is a look at what is new.
const LOOK: Duration = Duration::from_millis(50);
/// Messages of one look that a query is held against: 20 000 a second.
const HELD: usize = 1000;
/// Messages a second if nobody says, and at the most.
const RATE: (u64, u64) = (200, 100_000);
/// Bytes of one look that are sent.
const BYTES: usize = 1 << 20;
/// How many of the ids since the last one seen are looked at, and how many messages of them are sent.
const BACK: (u64, usize) = (20_000, 1000);
/// How long that may take in a store.
const TIME: Duration = Duration::from_secs(1);
/// A comment now and then keeps proxies from closing the line.
const STILL_HERE: Duration = Duration::from_secs(15);
/// Between two words about what is left out.
const TELLING: Duration = Duration::from_secs(1);

/// Who may look on.
#[derive(Clone)]
pub(super) struct Seats(Arc<Semaphore>);

impl Default for Seats {
    fn default() -> Self {
        Seats(Arc::new(Semaphore::new(SEATS)))
    }
}

pub(super) async fn tail(
    State(router): Shared,
    kept: Kept,
    headers: HeaderMap,
    seats: Seats,
    RawQuery(query): RawQuery,
) -> Answer {
    let asked = Asked::of_address(query, &["query", "after", "rate"])?;
    let expr = asked.text("query").map(|_| asked.expr()).transpose()?;
    let rate = asked.number("rate", 1..=RATE.1)?.unwrap_or(RATE.0);
    // A browser that comes back says it in a header; what the address says is from when it first came.
    let last = headers.get("last-event-id").map(|id| id.to_str().ok().and_then(|id| id.trim().parse::<u64>().ok()));
    let after = match last {
        Some(None) => return Err(bad("`Last-Event-ID` is no id of a message; leave it out to begin now")),
        Some(last) => last,
        None => asked.number("after", 0..=u64::MAX)?,
    };
    let Ok(seat) = seats.0.try_acquire_owned() else {
        return Err(Refused::later("too many look on already", Duration::from_secs(5)).into());
    };
    let Some(strong) = router.upgrade() else { return Ok(gone()) };
    let floor = strong.floor.clone();
    let onlooker = floor.tail.watch();
    let position = floor.spool.next_id();
    drop(strong);
    let mut begin = Vec::new();
    if let Some(after) = after {
        let (shelf, expr) = (kept.map(|Extension(shelf)| shelf), expr.clone());
        let caught_up = tokio::task::spawn_blocking(move || {
            since(&floor, shelf.as_ref(), expr.as_ref(), after, position).map(|since| since.events())
        });
        let failed = || Wrong::from(Refused::later("what came meanwhile could not be read", Duration::from_secs(1)));
        begin = caught_up.await.map_err(|_| failed())??;
    }
    let now = Instant::now();
    let follower = Follower {
        router,
        expr,
        onlooker,
        position,
        rate: rate as f64,
        allowance: rate as f64,
        looked: now,
        told: None,
        spoke: now,
        seen: 0,
        sent: 0,
        begin: Some(begin),
        _seat: seat,
    };
    let events = futures_util::stream::unfold(follower, |follower| async move {
        let (bytes, follower) = follower.next().await?;
        Some((Ok::<_, Infallible>(Bytes::from(bytes)), follower))
    });
    let headers = [(header::CONTENT_TYPE, "text/event-stream"), (header::CACHE_CONTROL, "no-store")];
    Ok((headers, Body::from_stream(events)).into_response())
}

/// Whether a message is meant. What nobody wanted has no position.
fn meant(expr: &Expr, position: u64, raw: &[u8]) -> bool {
    let Ok(head) = head::scan(raw, &wire::Limits::NONE) else { return false };
    let Head { timestamp, severity, kind, logger, .. } = &head;
    expr.holds(&Row { position, timestamp: *timestamp, severity: *severity as u8, kind, logger, archived: None, raw })
}

fn event(out: &mut Vec<u8>, id: Option<u64>, message: &[u8]) {
    if let Some(id) = id {
        out.extend_from_slice(format!("id: {id}\n").as_bytes());
    }
    out.extend_from_slice(b"data: ");
    out.extend_from_slice(message);
    out.extend_from_slice(b"\n\n");
}

fn sampled(out: &mut Vec<u8>, seen: u64, sent: u64) {
    out.extend_from_slice(format!("event: sampled\ndata: {{\"seen\":{seen},\"sent\":{sent}}}\n\n").as_bytes());
}

/// What came while nobody looked.
#[derive(Default)]
struct Since {
    /// The newest ones.
    messages: VecDeque<(u64, Vec<u8>)>,
    bytes: usize,
    /// How many there were, those that were not looked at among them.
    seen: u64,
}

impl Since {
    fn push(&mut self, id: u64, raw: &[u8]) {
        self.seen += 1;
        self.bytes += raw.len();
        self.messages.push_back((id, raw.to_vec()));
        while self.messages.len() > BACK.1 || self.bytes > 4 * BYTES {
            let Some((_, raw)) = self.messages.pop_front() else { break };
            self.bytes -= raw.len();
        }
    }

    fn events(&self) -> Vec<u8> {
        let mut out = Vec::with_capacity(self.bytes + 64 * self.messages.len());
        if self.seen > self.messages.len() as u64 {
            sampled(&mut out, self.seen, self.messages.len() as u64);
        }
        self.messages.iter().for_each(|(id, raw)| event(&mut out, Some(*id), raw));
        out
    }
}

/// What has come behind one id and before another: from the spool, and what is not there any more from the store.
fn since(floor: &Floor, shelf: Option<&Shelf>, expr: Option<&Expr>, after: u64, end: u64) -> Result<Since, Wrong> {
    let mut since = Since::default();
    let first = after.saturating_add(1).max(end.saturating_sub(BACK.0));
    let oldest = floor.spool.status().oldest_id.min(end);
    // Of what is not in the spool any more nobody knows how much it was.
    since.seen = first.saturating_sub(after.saturating_add(1).max(oldest));
    if first < oldest
        && let Some(shelf) = shelf
    {
        // By time, which need not be the order of ids: so these are put into that order.
        let mut older: Vec<(u64, Vec<u8>)> = Vec::new();
        let (mut looked, mut bytes) = (0_u64, 0);
        let expr = expr.cloned().unwrap_or(Expr::EVERYTHING);
        let (_asker, store) = shelf.lend();
        visit(&store, &expr, Order::NewestFirst, None, Instant::now() + TIME, &mut |row| {
            looked += 1;
            if (first..oldest).contains(&row.position) {
                bytes += row.raw.len();
                older.push((row.position, row.raw.to_vec()));
            }
            let enough = older.len() >= BACK.1 || bytes > 4 * BYTES || looked > BACK.0;
            if enough { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
        })?;
        older.sort_unstable_by_key(|(id, _)| *id);
        older.iter().for_each(|(id, raw)| since.push(*id, raw));
    }
    let read = floor.spool.look_through(first..end, None, &mut |first_id, _, batch| {
        for (id, raw) in (first_id..).zip(batch.lines().iter().take(batch.messages())) {
            if (first..end).contains(&id) && expr.is_none_or(|expr| meant(expr, id, raw)) {
                since.push(id, raw);
            }
        }
        ControlFlow::Continue(())
    });
    read.map_err(|error| Refused::later(format!("the spool: {error}"), Duration::from_secs(1)))?;
    Ok(since)
}

/// One onlooker.
struct Follower {
    router: Weak<Router>,
    expr: Option<Expr>,
    onlooker: Onlooker,
    /// The next id to be looked at.
    position: u64,
    rate: f64,
    allowance: f64,
    looked: Instant,
    /// When it was last told that something is left out, and when anything was last said.
    told: Option<Instant>,
    spoke: Instant,
    /// Since then.
    seen: u64,
    sent: u64,
    begin: Option<Vec<u8>>,
    _seat: OwnedSemaphorePermit,
}

/// What one look brings: messages of which some may be sent, and how many there were beside them.
#[derive(Default)]
struct Sights {
    messages: Vec<(Option<u64>, Vec<u8>)>,
    seen: u64,
}

impl Follower {
    /// The next bytes to send; `None` at the end of the router.
    async fn next(mut self) -> Option<(Vec<u8>, Self)> {
        if let Some(begin) = self.begin.take().filter(|begin| !begin.is_empty()) {
            return Some((begin, self));
        }
        loop {
            tokio::time::sleep(LOOK).await;
            let floor = self.router.upgrade().filter(|router| !router.is_stopping())?.floor.clone();
            // Inputs share the event loop, and a query may take long.
            let look = tokio::task::spawn_blocking(move || {
                let mut out = Vec::new();
                self.look(&floor, &mut out);
                (out, self)
            });
            let mut out;
            (out, self) = look.await.ok()?;
            let now = Instant::now();
            if out.is_empty() && now.saturating_duration_since(self.spoke) >= STILL_HERE {
                out.extend_from_slice(b": still here\n\n");
            }
            if !out.is_empty() {
                self.spoke = now;
                return Some((out, self));
            }
        }
    }

    fn look(&mut self, floor: &Floor, out: &mut Vec<u8>) {
        let now = Instant::now();
        let passed = now.saturating_duration_since(std::mem::replace(&mut self.looked, now));
        self.allowance = (self.allowance + passed.as_secs_f64() * self.rate).min(self.rate.max(1.0));
        let sights = self.sights(floor);
        self.seen += sights.seen;
        let most = self.allowance as usize;
        let chosen = evenly(sights.messages.len(), most);
        for at in chosen {
            if out.len() > BYTES {
                break;
            }
            let Some((id, message)) = sights.messages.get(at) else { break };
            event(out, *id, message);
            self.sent += 1;
            self.allowance -= 1.0;
        }
        let due = self.told.is_none_or(|told| now.saturating_duration_since(told) >= TELLING);
        if self.seen > self.sent && due {
            sampled(out, self.seen, self.sent);
            self.told = Some(now);
            (self.seen, self.sent) = (0, 0);
        } else if self.seen == self.sent {
            (self.seen, self.sent) = (0, 0);
        }
    }

    /// What is new. Of what is far too much only some is looked at.
    fn sights(&mut self, floor: &Floor) -> Sights {
        let mut sights = Sights::default();
        let frames = floor.spool.recent(self.position, usize::MAX);
        if let Some(first) = frames.first() {
            // Gone from memory before anybody looked.
            sights.seen += first.first_id.saturating_sub(self.position);
        }
        let from = self.position;
        let spans = frames.iter().map(|frame| {
            let skip = usize::try_from(from.saturating_sub(frame.first_id)).unwrap_or(usize::MAX);
            (frame, skip, frame.batch.messages().saturating_sub(skip))
        });
        let spans: Vec<_> = spans.collect();
        let all: usize = spans.iter().map(|(_, _, count)| count).sum();
        sights.seen += all as u64;
        // Without a query nothing is looked at that is not sent.
        let held = if self.expr.is_some() { HELD } else { self.allowance as usize };
        let (mut chosen, mut before) = (evenly(all, held).peekable(), 0);
        for (frame, skip, count) in spans {
            while let Some(at) = chosen.next_if(|at| *at < before + count) {
                let place = skip + at - before;
                let Some(message) = frame.batch.lines().get(place) else { continue };
                self.consider(Some(frame.first_id + place as u64), message, &mut sights);
            }
            before += count;
        }
        if let Some(last) = frames.last() {
            self.position = last.end().max(self.position);
        }
        for _ in 0..HELD {
            match self.onlooker.glance() {
                Some(Sight::Message(message)) => {
                    sights.seen += 1;
                    self.consider(None, &message, &mut sights);
                }
                Some(Sight::Missed(count)) => sights.seen += count,
                None => break,
            }
        }
        sights
    }

    fn consider(&self, id: Option<u64>, message: &[u8], sights: &mut Sights) {
        match &self.expr {
            // What is not meant was not missed.
            Some(expr) if !meant(expr, id.unwrap_or(0), message) => sights.seen -= 1,
            _ => sights.messages.push((id, message.to_vec())),
        }
    }
}

/// So many of all places, the same distance from each other.
fn evenly(all: usize, most: usize) -> impl Iterator<Item = usize> {
    let count = all.min(most);
    (0..count).map(move |at| (at as u128 * all as u128 / count.max(1) as u128) as usize)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places_are_chosen_evenly() {
        let chosen = |all, most| evenly(all, most).collect::<Vec<_>>();
        assert_eq!(chosen(3, 10), [0, 1, 2]);
        assert_eq!(chosen(10, 4), [0, 2, 5, 7]);
        assert!(chosen(0, 4).is_empty() && chosen(4, 0).is_empty());
    }
}
