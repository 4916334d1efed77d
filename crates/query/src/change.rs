//! Archives, restores or deletes everything that is meant, in batches.

use crate::expr::Expr;
use crate::page::visit;
use crate::store::{Change, Cursor, End, Order, Store, Trouble};
use std::ops::ControlFlow;
use std::time::Instant;

/// Messages that are changed at a time.
pub const BATCH: usize = 1000;

/// What became of a change.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Changed {
    /// How many messages.
    pub changed: u64,
    /// Whether that was all that was meant; otherwise the limit or the deadline came first, and the same call goes on.
    pub done: bool,
}

/// Changes all messages of which `expr` holds, the earliest first, `limit` at the most. What is archived already is not
/// archived again. Messages that come meanwhile may or may not be among them.
///
/// # Errors
/// If the store cannot be read or written. What was changed before stays so.
pub fn change_all(
    store: &dyn Store,
    expr: &Expr,
    change: Change,
    limit: u64,
    deadline: Instant,
) -> Result<Changed, Trouble> {
    // A store finds more quickly what is left to do if it is told.
    let left = match change {
        Change::Archive => Expr::all_of([expr.clone(), Expr::Archived(false)]),
        Change::Restore => Expr::all_of([expr.clone(), Expr::Archived(true)]),
        Change::Delete => expr.clone(),
    };
    let mut all = Changed::default();
    let mut after: Option<Cursor> = None;
    loop {
        let room = usize::try_from(limit - all.changed).unwrap_or(BATCH).min(BATCH);
        let mut positions = Vec::new();
        let seen = visit(store, &left, Order::OldestFirst, after, deadline, &mut |row| {
            if positions.len() >= room {
                return ControlFlow::Break(());
            }
            positions.push(row.position);
            ControlFlow::Continue(())
        })?;
        if !positions.is_empty() {
            all.changed += store.change(change, &positions)?.min(limit - all.changed);
        }
        after = seen.seen.or(after);
        match seen.end {
            End::All => return Ok(Changed { done: true, ..all }),
            End::Late => return Ok(all),
            End::Enough if all.changed >= limit => return Ok(all),
            End::Enough => {}
        }
    }
}
