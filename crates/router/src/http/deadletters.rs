//! `/v1/deadletters`: what could not be taken or delivered, looked at, sent in again, thrown away.

use super::control::{Body, busy, failed, known};
use super::query::asked::Asked;
use super::query::{Answer, Wrong, bad};
use super::{Shared, gone, json};
use crate::deadletters::{DeadLetters, Found, Id};
use crate::intake::Floor;
use crate::router::Router;
use axum::extract::{Extension, RawQuery, State};
use metlog_http::Refused;
use metlog_message::{Value, wire};
use metlog_pipeline::Inlet;
use serde_json::json as tree;
use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// Letters of one page, if it does not say, and at the most.
const PAGE: (u64, u64) = (50, 500);
/// Bytes of messages on one page; the first is always given.
const BYTES: usize = 4 << 20;
/// How long letters are counted for one answer.
const COUNTING: Duration = Duration::from_millis(300);
/// Letters that one request names.
const MOST: usize = 10_000;
/// Letters that are sent in with one write.
const BATCH: usize = 256;
/// How long one request sends letters in. Whoever wants more asks again.
const TIME: Duration = Duration::from_secs(30);

/// Does something with the letters where that holds up nobody.
async fn work<T: Send + 'static>(
    floor: &Arc<Floor>,
    act: impl FnOnce(&DeadLetters) -> io::Result<T> + Send + 'static,
) -> Result<T, Wrong> {
    let floor = floor.clone();
    let done = tokio::task::spawn_blocking(move || act(&floor.dead)).await;
    let done = done.map_err(|_| failed("the dead letters could not be looked at"))?;
    done.map_err(|error| failed(format!("the dead letters: {error}")))
}

pub(super) async fn list(State(router): Shared, RawQuery(query): RawQuery) -> Answer {
    let asked = Asked::of_address(query, &["limit", "before"])?;
    let limit = asked.number("limit", 1..=PAGE.1)?.unwrap_or(PAGE.0);
    let before = asked.text("before").map(str::parse::<Id>).transpose().map_err(bad)?;
    let Some(router) = router.upgrade() else { return Ok(gone()) };
    let limits = router.floor.limits;
    let told = work(&router.floor, move |dead| {
        let listing = dead.list(before, usize::try_from(limit).unwrap_or(usize::MAX), BYTES)?;
        let stock = dead.stock(COUNTING)?;
        let letters: Vec<_> = listing.letters.iter().map(|letter| told(letter, &limits)).collect();
        let next = listing.next.map(|id| id.to_string());
        Ok(tree!({
            "letters": letters, "next": next, "total": stock.letters, "bytes": stock.bytes, "counted": stock.counted,
        }))
    });
    Ok(json(told.await?.to_string()))
}

fn told(letter: &Found, limits: &wire::Limits) -> serde_json::Value {
    let of_endpoint = letter.from.starts_with("endpoint ");
    let cause = match (letter.reason.as_str(), of_endpoint) {
        ("refused", true) => "refused by the endpoint".to_owned(),
        ("gave_up", true) => "given up: the endpoint could not be reached for too long".to_owned(),
        (reason, true) => reason.to_owned(),
        (_, false) => letter.why.clone(),
    };
    tree!({
        "id": letter.id.to_string(), "when": letter.at, "where": letter.from, "cause": cause, "reason": letter.reason,
        "reply": of_endpoint.then_some(&letter.why), "message": String::from_utf8_lossy(&letter.message),
        "bytes": letter.bytes, "position": letter.position, "whole": letter.is_whole(),
        "valid": letter.is_whole() && wire::read(&letter.message, limits).is_ok(),
    })
}

/// Which letters.
enum Which {
    All,
    These(Vec<Id>),
}

impl Which {
    fn of(body: &Body) -> Result<Self, Wrong> {
        let wrong = || bad("expected either {\"ids\": [\"…\"]} or {\"all\": true}");
        let body = body.map().ok_or_else(wrong)?;
        known(body, &["ids", "all"])?;
        match (body.get("ids"), body.get("all")) {
            (None | Some(Value::Null), Some(Value::Bool(true))) => Ok(Which::All),
            (Some(Value::List(ids)), None | Some(Value::Null | Value::Bool(false))) => {
                if ids.len() > MOST {
                    return Err(bad(format!("{} ids; at most {MOST} at a time", ids.len())));
                }
                let ids = ids.iter().map(|id| id.as_str().ok_or_else(wrong)?.parse().map_err(bad));
                // Each once, in the order in which they came.
                let ids: BTreeSet<Id> = ids.collect::<Result<_, Wrong>>()?;
                Ok(Which::These(ids.into_iter().collect()))
            }
            _ => Err(wrong()),
        }
    }
}

pub(super) async fn drop_them(State(router): Shared, Extension(body): Extension<Body>) -> Answer {
    let which = Which::of(&body)?;
    let Some(router) = router.upgrade() else { return Ok(gone()) };
    let _at_work = router.floor.dead.at_work.try_lock().map_err(|_| at_work())?;
    let dropped = work(&router.floor, move |dead| match which {
        Which::All => dead.take_out_all(),
        Which::These(ids) => dead.take_out(&ids),
    });
    let dropped = dropped.await?;
    crate::say!("{dropped} dead letters were thrown away");
    Ok(json(tree!({"dropped": dropped}).to_string()))
}

fn at_work() -> Wrong {
    busy("somebody else is working through the dead letters; try again when that is done")
}

/// What became of letters that were to be sent in again.
#[derive(Debug, Default)]
struct Outcome {
    replayed: u64,
    refused: u64,
    gone: u64,
    /// Why the first ones were refused.
    why: Vec<serde_json::Value>,
    done: bool,
}

impl Outcome {
    fn refuse(&mut self, id: Id, why: &str) {
        self.refused += 1;
        if self.why.len() < 20 {
            self.why.push(tree!({"id": id.to_string(), "error": why}));
        }
    }
}

pub(super) async fn replay(State(router): Shared, Extension(body): Extension<Body>) -> Answer {
    let which = Which::of(&body)?;
    let Some(router) = router.upgrade() else { return Ok(gone()) };
    // On its own: whoever leaves must not leave letters behind that are in already.
    let done = tokio::spawn(async move {
        let _at_work = router.floor.dead.at_work.try_lock().map_err(|_| at_work())?;
        send_in(&router, which).await
    });
    let outcome = done.await.map_err(|_| failed("sending letters in failed"))??;
    crate::say!("dead letters: {} sent in again, {} refused", outcome.replayed, outcome.refused);
    let Outcome { replayed, refused, gone, why, done } = outcome;
    Ok(json(tree!({"replayed": replayed, "refused": refused, "gone": gone, "errors": why, "done": done}).to_string()))
}

async fn send_in(router: &Arc<Router>, which: Which) -> Result<Outcome, Wrong> {
    let (floor, until) = (&router.floor, Instant::now() + TIME);
    let mut outcome = Outcome::default();
    let mut ways = BTreeMap::new();
    match which {
        Which::These(ids) => {
            for ids in ids.chunks(BATCH) {
                if Instant::now() >= until {
                    return Ok(outcome);
                }
                for id in ids {
                    // One by one: they may be large.
                    let id = *id;
                    match work(floor, move |dead| dead.find(id)).await? {
                        Some(letter) => batch(router, &mut ways, vec![letter], &mut outcome).await?,
                        None => outcome.gone += 1,
                    }
                }
            }
        }
        Which::All => {
            // Not those that come of this.
            let end = work(floor, DeadLetters::end).await?;
            let mut after = None;
            while Instant::now() < until {
                let letters = work(floor, move |dead| dead.following(after, end, BATCH, BYTES)).await?;
                let Some(last) = letters.last() else {
                    outcome.done = true;
                    return Ok(outcome);
                };
                after = Some(last.id);
                batch(router, &mut ways, letters, &mut outcome).await?;
            }
            return Ok(outcome);
        }
    }
    outcome.done = true;
    Ok(outcome)
}

type Ways = BTreeMap<String, Option<Inlet>>;

/// Sends letters in, each where it belongs, and takes out those that are safe.
async fn batch(router: &Arc<Router>, ways: &mut Ways, letters: Vec<Found>, outcome: &mut Outcome) -> Result<(), Wrong> {
    let mut by_way: BTreeMap<String, Vec<Found>> = BTreeMap::new();
    for letter in letters {
        if letter.is_whole() {
            by_way.entry(letter.from.clone()).or_default().push(letter);
        } else {
            outcome.refuse(letter.id, "not all of it was kept, or not as it came");
        }
    }
    for (from, letters) in by_way {
        let way = ways.entry(from.clone()).or_insert_with(|| router.way_back(&from));
        let Some(way) = way else {
            let why = format!("there is no {from} any more");
            letters.iter().for_each(|letter| outcome.refuse(letter.id, &why));
            continue;
        };
        letters.iter().for_each(|letter| way.push(&letter.message));
        let receipt = match way.commit() {
            Ok(receipt) => receipt,
            Err(full) => {
                way.drop_pushed(metlog_pipeline::Reason::SpoolFull);
                return Err(Refused::later(full.why, full.retry_after).into());
            }
        };
        way.durable().await.map_err(|full| Wrong::from(Refused::later(full.why, full.retry_after)))?;
        // A letter may hold several messages; if any is refused it stays.
        let refused: BTreeMap<usize, &str> =
            receipt.rejected.iter().map(|rejected| (rejected.index, rejected.why.as_str())).collect();
        let mut safe = Vec::new();
        for (at, letter) in letters.iter().enumerate() {
            match refused.get(&at) {
                Some(why) => outcome.refuse(letter.id, why),
                None => safe.push(letter.id),
            }
        }
        outcome.replayed += safe.len() as u64;
        work(&router.floor, move |dead| dead.take_out(&safe)).await?;
    }
    Ok(())
}
