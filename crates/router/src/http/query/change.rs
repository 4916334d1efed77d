//! Archiving, restoring and deleting: `{"query": "…"}` or `{"positions": [1, 2]}`, one of them, and a `limit`.

use super::asked::known_name;
use super::{Answer, DEADLINE, Desk, Kept, Wrong, bad};
use axum::extract::Request;
use metlog_message::{Timestamp, Value};
use metlog_query::change::{BATCH, Changed, change_all};
use metlog_query::page::MOST;
use metlog_query::{Change, Expr, language};
use serde_json::json as tree;
use std::time::Instant;

/// Messages that one request changes, if it does not say.
const USUAL: u64 = 100_000;

/// Changes what a body says.
pub(super) async fn change(desk: &Desk, kept: Kept, request: Request, change: Change) -> Answer {
    let body = desk.body(request).await?;
    let body = body.as_map().ok_or_else(|| bad("expected an object with a `query` or with `positions`"))?;
    body.iter().try_for_each(|(name, _)| known_name("key", name, &["query", "positions", "limit"]))?;
    let done = match (body.get("query"), body.get("positions")) {
        (Some(Value::Str(query)), None) if !query.trim().is_empty() => {
            let expr = meant(query, change)?;
            let limit = match body.get("limit") {
                None => USUAL,
                Some(limit) => {
                    whole(limit).filter(|limit| *limit > 0).ok_or_else(|| bad("`limit` is a number from 1"))?
                }
            };
            let deadline = Instant::now() + DEADLINE.1;
            desk.ask(kept, move |store, _| Ok(change_all(store, &expr, change, limit, deadline)?)).await?
        }
        (None, Some(Value::List(positions))) if !body.contains("limit") => {
            let positions = positions.iter().map(whole).collect::<Option<Vec<u64>>>();
            let mut positions = positions
                .filter(|positions| positions.len() <= MOST)
                .ok_or_else(|| bad(format!("`positions` are whole numbers, at most {MOST} of them")))?;
            positions.sort_unstable();
            positions.dedup();
            let work = move |store: &dyn metlog_query::Store, _| {
                let mut changed = 0;
                for some in positions.chunks(BATCH) {
                    changed += store.change(change, some)?;
                }
                Ok(Changed { changed, done: true })
            };
            desk.ask(kept, work).await?
        }
        (None, Some(_)) => {
            return Err(bad("`positions` is a list of whole numbers, and a `limit` does not go with it"));
        }
        _ => return Err(bad("expected either a `query` that is not empty, or `positions`; `*` means everything")),
    };
    desk.answer(tree!({"changed": done.changed, "done": done.done}).to_string().into_bytes())
}

fn whole(value: &Value) -> Option<u64> {
    match value {
        Value::Int(number) => u64::try_from(*number).ok(),
        Value::UInt(number) => Some(*number),
        _ => None,
    }
}

/// What a query means to be changed. Only archived messages can be restored, so a query need not speak of them then.
fn meant(query: &str, change: Change) -> Result<Expr, Wrong> {
    let read = |query: &str| language::parse(query, Timestamp::now()).map_err(Wrong::Query);
    let expr = read(query)?;
    if change == Change::Restore { read(&format!("({query}) archived:yes")) } else { Ok(expr) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_restored_is_archived() {
        let meant =
            |query: &str| meant(query, Change::Restore).map(|expr| expr.to_string()).map_err(|why| why.to_string());
        assert_eq!(meant("a OR b").as_deref(), Ok("(a OR b) archived:yes"));
        assert_eq!(meant("a archived:no").as_deref(), Ok("a archived:no archived:yes"));
        assert!(meant("a) OR (b").is_err_and(|why| why.starts_with("column 2: ")));
    }
}
