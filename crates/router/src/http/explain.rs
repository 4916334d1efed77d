//! `/v1/explain`: where would this message go? Nothing is sent, counted or kept.

use super::control::{Body, known};
use super::query::{Answer, Wrong, bad};
use super::{Shared, gone, json};
use crate::router::Router;
use axum::extract::{Request, State};
use axum::http::StatusCode;
use metlog_http::Refused;
use metlog_http::server::Bounds;
use metlog_message::{Value, head, wire};
use metlog_pipeline::Event;
use serde_json::{Value as Tree, json as tree};
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::Semaphore;

/// Messages that are explained at a time: each has the editors opened anew.
const AT_ONCE: usize = 2;
/// A body: the largest message, escaped as text.
const BODY: usize = 8 << 20;

/// What explaining needs.
#[derive(Clone)]
pub(super) struct Desk {
    pub(super) bounds: Arc<Bounds>,
    turns: Arc<Semaphore>,
}

impl Desk {
    pub(super) fn new(bounds: Arc<Bounds>) -> Self {
        Desk { bounds, turns: Arc::new(Semaphore::new(AT_ONCE)) }
    }
}

pub(super) async fn explain(State(router): Shared, desk: Desk, request: Request) -> Answer {
    let body = Body::read(request, &desk.bounds, BODY).await?;
    let wrong = || bad("expected {\"message\": {…} or \"…\", \"input\": \"…\"}, of which the second may be left out");
    let body = body.map().ok_or_else(wrong)?;
    known(body, &["message", "input"])?;
    let text = match body.get("message") {
        Some(Value::Str(text)) => text.clone().into_bytes(),
        Some(value @ Value::Map(_)) => {
            let mut text = Vec::new();
            wire::write_value(&mut text, value);
            text
        }
        _ => return Err(wrong()),
    };
    let input = match body.get("input") {
        None | Some(Value::Null) => None,
        Some(Value::Str(name)) => Some(name.clone()),
        Some(_) => return Err(wrong()),
    };
    let Some(router) = router.upgrade() else { return Ok(gone()) };
    let number = router.input_number(input.as_deref()).ok_or_else(|| {
        let known: Vec<String> = router.topology().inputs.into_iter().map(|(name, _)| name).collect();
        bad(format!("no input is of this name; there are {}", known.join(", ")))
    })?;
    let turn = desk.turns.acquire_owned().await;
    let told = tokio::task::spawn_blocking(move || {
        let _turn = turn;
        of(&router, number, &text)
    });
    match told.await {
        Ok(Ok(told)) => Ok(json(told.to_string())),
        Ok(Err(why)) => Err(Refused::later(why, Duration::from_secs(1)).into()),
        Err(_) => Err(Wrong::from(Refused::new(StatusCode::INTERNAL_SERVER_ERROR, "explaining failed"))),
    }
}

/// What the door would do with it, step by step.
fn of(router: &Router, input: u32, text: &[u8]) -> Result<Tree, String> {
    let limits = &router.floor.limits;
    let refused = |notes: &[String], edits: &[Tree], reason: &str, why: &str| {
        tree!({
            "understood": null, "notes": notes, "refused": why, "reason": reason, "edits": edits, "endpoints": [],
            "filters": [],
        })
    };
    let read = match wire::read(text, limits) {
        Ok(read) => read,
        Err(refusal) => return Ok(refused(&[], &[], "malformed", &refusal.to_string())),
    };
    let notes: Vec<String> = read.notes.iter().map(ToString::to_string).collect();
    let mut mended = Vec::new();
    let raw = if head::scan(text, limits).is_ok() {
        text
    } else {
        wire::write(&mut mended, &read.message);
        &mended
    };
    let beyond = "beyond the limits once it is mended";
    let Ok(head) = head::scan(raw, limits) else { return Ok(refused(&notes, &[], "too_large", beyond)) };
    if head.kind.len() > crate::intake::NAME || head.logger.len() > crate::intake::NAME {
        return Ok(refused(&notes, &[], "too_large", "a type or logger has at most 128 bytes"));
    }
    let (mut edited, mut edits) = (Vec::new(), Vec::new());
    let verdict = match router.fresh_hand()? {
        None => Ok(false),
        Some(mut hand) => hand.edit(raw, &head, limits, &mut edited, |step| {
            edits.push(tree!({"edit": step.editor, "changed": step.changed}));
        }),
    };
    let (raw, head) = match verdict {
        Ok(false) => (raw, head),
        Ok(true) => match head::scan(&edited, limits) {
            Ok(head) => (edited.as_slice(), head),
            Err(_) => return Ok(refused(&notes, &edits, "too_large", "beyond the limits once it is edited")),
        },
        Err(dropped) => return Ok(refused(&notes, &edits, dropped.reason.name(), &dropped.why)),
    };
    let routes = router.floor.routes();
    let event = Event { head: &head, raw };
    let endpoints = routes.explain(input, &event).into_iter().map(|(route, verdict)| {
        let why = verdict.err().map(|refusal| refusal.to_string());
        tree!({"endpoint": route.endpoint, "takes": why.is_none(), "why": why})
    });
    let endpoints: Vec<Tree> = endpoints.collect();
    let filters = routes.opinions(&event).into_iter().map(|(filter, says)| tree!({"filter": filter, "says": says}));
    Ok(tree!({
        "understood": String::from_utf8_lossy(raw), "notes": notes, "refused": null, "reason": null, "edits": edits,
        "endpoints": endpoints, "filters": filters.collect::<Vec<_>>(),
    }))
}
