//! `/v1/pipeline` and `/v1/clients`: what comes in, where it goes, what waits and what went wrong, once a second.

use super::query::Answer;
use super::query::asked::Asked;
use super::{Shared, gone, json, off_loop};
use crate::accounting::{Doing, EndpointLine};
use crate::deliver::Progress;
use crate::router::{AGAIN, Router};
use crate::topology::EndpointShape;
use axum::extract::{RawQuery, State};
use axum::response::{IntoResponse, Response};
use metlog_message::Timestamp;
use serde::Serialize;
use serde_json::{Value, json as tree};
use std::sync::PoisonError;
use std::sync::atomic::Ordering::Relaxed;
use std::time::{Duration, Instant};

/// What an endpoint is doing, for people.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
enum Acting {
    Delivering,
    Waiting,
    Retrying,
    /// By an order.
    Paused,
    /// Until somebody puts right what only a person can.
    Held,
}

/// An endpoint's delivery, beside its account.
#[derive(Debug, Clone, Default)]
pub struct Standing {
    /// Somebody holds it up.
    pub paused: bool,
    /// What is being delivered again.
    pub again: Option<Progress>,
}

pub(super) async fn pipeline(State(router): Shared) -> Response {
    match off_loop(router, |router| of(router).to_string()).await {
        Some(text) => json(text),
        None => gone(),
    }
}

fn of(router: &Router) -> Value {
    let account = router.account();
    let topology = router.topology();
    let places: std::collections::BTreeMap<String, String> = router.places().into_iter().collect();
    let (spool, slots, now) = (router.floor.spool.status(), router.floor.spool.slots(), Instant::now());
    let mut trend = router.trend.lock().unwrap_or_else(PoisonError::into_inner);
    trend.keep(|name| topology.endpoints.iter().any(|endpoint| endpoint.name == name));
    let kinds = topology.inputs.iter().map(|(name, kind)| (name.as_str(), kind.as_str()));
    // What came from there comes in once more.
    let kinds = kinds.chain(account.inputs.contains_key(AGAIN).then_some((AGAIN, AGAIN)));
    let inputs = kinds.filter_map(|(name, kind)| {
        let line = account.inputs.get(name)?;
        Some(tree!({
            "name": name, "type": kind, "place": places.get(name), "counts": line.counts,
            "unaccounted": line.unaccounted,
        }))
    });
    let endpoints = topology.endpoints.iter().filter_map(|shape| {
        let line = account.endpoints.iter().find(|line| line.name == shape.name)?;
        let moves = trend.moves(&line.name, line.counts.delivered, now);
        Some(endpoint(shape, line, &router.standing(&line.name), moves))
    });
    let (inputs, endpoints): (Vec<_>, Vec<_>) = (inputs.collect(), endpoints.collect());
    let floor = router.free_floor();
    let seconds = |time: Duration| time.as_secs_f64().round();
    let losses = router.floor.clients.losses();
    let repeated: u64 = account.inputs.values().map(|line| line.counts.duplicates).sum();
    tree!({
        "started": router.started_at.to_string(), "now": Timestamp::now().to_string(),
        "version": env!("CARGO_PKG_VERSION"), "inputs": inputs, "filters": topology.filters, "edits": topology.edits,
        "endpoints": endpoints,
        "spool": {
            "bytes": spool.bytes, "max_bytes": spool.max_bytes, "free": spool.free,
            "full_in_s": trend.full_in(&spool, &slots, floor, now).map(seconds),
            "next_id": spool.next_id, "durable_id": spool.durable_id, "oldest_id": spool.oldest_id,
            "sync_ms": trend.sync(&spool).map(|time| (time.as_secs_f64() * 1e6).round() / 1e3),
            "error": spool.last_error,
        },
        "clients": {
            "tracked": losses.clients, "untracked": losses.untracked, "lost": losses.lost, "duplicates": repeated,
        },
        "dead_letters": router.floor.dead.totals(),
        "unaccounted": account.unaccounted(),
        "reloads": {
            "applied": router.reloads.applied.load(Relaxed), "refused": router.reloads.refused.load(Relaxed),
        },
    })
}

fn endpoint(shape: &EndpointShape, line: &EndpointLine, standing: &Standing, moves: bool) -> Value {
    let state = match line.state.doing {
        _ if standing.paused => Acting::Paused,
        Doing::Paused => Acting::Held,
        Doing::Retrying => Acting::Retrying,
        _ if moves || line.buffered > 0 => Acting::Delivering,
        _ => Acting::Waiting,
    };
    let trying = matches!(state, Acting::Retrying | Acting::Held);
    let retry = line.state.retry_at.filter(|_| trying).map(|at| (at - Timestamp::now().nanos() / 1_000_000).max(0));
    let numbers = tree!({
        "state": state,
        "last_error": line.state.error, "last_error_at": line.state.error_at.map(moment),
        "retry_in_ms": retry,
        "accepted": line.accepted, "filtered": line.filtered, "delivered": line.counts.delivered,
        "dead_lettered": line.counts.dead,
        "dropped": {"given_up": line.counts.dropped, "no_room": line.skipped, "damaged": line.lost},
        "buffered": line.buffered, "oldest_ms": (line.buffered > 0).then_some(line.oldest_ms),
        "redelivered": line.redelivered, "failures": line.failures, "unaccounted": line.unaccounted,
        "again": standing.again,
    });
    let mut whole = tree!(shape);
    if let (Value::Object(whole), Value::Object(numbers)) = (&mut whole, numbers) {
        whole.extend(numbers);
    }
    whole
}

/// Unix milliseconds as a moment.
fn moment(millis: i64) -> String {
    Timestamp::from_nanos(millis.saturating_mul(1_000_000)).to_string()
}

/// Clients in one answer.
const MOST_CLIENTS: u64 = 1000;

pub(super) async fn clients(State(router): Shared, RawQuery(query): RawQuery) -> Answer {
    let asked = Asked::of_address(query, &["limit"])?;
    let limit = asked.number("limit", 1..=MOST_CLIENTS)?.unwrap_or(50);
    let told = off_loop(router, move |router| {
        let (now, wall) = (Instant::now(), Timestamp::now().nanos());
        let all = router.floor.clients.all(usize::try_from(limit).unwrap_or(usize::MAX));
        let told = all.iter().map(|client| {
            let ago = i64::try_from(now.saturating_duration_since(client.last_seen).as_nanos()).unwrap_or(i64::MAX);
            tree!({
                "client": client.name, "input": client.from.strip_prefix("input ").unwrap_or(&client.from),
                "last_seq": client.highest, "received": client.received, "lost": client.lost,
                "duplicates": client.duplicates,
                "last_seen": Timestamp::from_nanos(wall.saturating_sub(ago)).to_string(),
            })
        });
        tree!({"clients": told.collect::<Vec<_>>()}).to_string()
    });
    Ok(told.await.map_or_else(gone, json).into_response())
}
