//! `GET /stats`: counts over everything that is kept, however it came.

use metlog_http::Refused;
use metlog_http::axum::Extension;
use metlog_http::axum::body::Body;
use metlog_http::axum::http::{Response, StatusCode};
use metlog_http::server::json;
use metlog_message::wire::{self, Limits};
use metlog_message::{Timestamp, Value};
use metlog_query::{End, Narrow, Order, Row, Scan, Shelf, Store, Trouble};
use std::collections::HashMap;
use std::ops::ControlFlow;
use std::time::{Duration, Instant};

/// For the look through the store.
const PATIENCE: Duration = Duration::from_secs(2);

/// Loggers that are told apart; whoever sends chooses them, memory must not follow.
const LOGGERS: usize = 10_000;

/// Services that an answer names.
const SERVICES: usize = 10;

const HOUR: i64 = 3600 * 1_000_000_000;

pub async fn answer(shelf: Option<Extension<Shelf>>) -> Result<Response<Body>, Refused> {
    let Some(Extension(shelf)) = shelf else {
        let why = "nothing is kept here: the router's configuration has no endpoint that stores";
        return Err(Refused::new(StatusCode::SERVICE_UNAVAILABLE, why));
    };
    shelf.settled().await;
    let (_asker, store) = shelf.lend();
    let asked = tokio::task::spawn_blocking(move || Stats::of(&store)).await;
    match asked {
        Ok(Ok(stats)) => Ok(json(StatusCode::OK, stats.written())),
        Ok(Err(trouble)) => Err(Refused::later(trouble.to_string(), Duration::from_secs(1))),
        Err(_) => Err(Refused::new(StatusCode::INTERNAL_SERVER_ERROR, "the store could not be read")),
    }
}

#[derive(Default)]
struct Stats {
    total: u64,
    /// FATAL, ERROR, WARN, INFO, DEBUG, TRACE
    levels: [u64; 6],
    services: HashMap<String, u64>,
    recent_errors: u64,
    complete: bool,
}

const LEVELS: [&str; 6] = ["FATAL", "ERROR", "WARN", "INFO", "DEBUG", "TRACE"];

impl Stats {
    /// Newest first, so that what there is no time for is old.
    fn of(store: &dyn Store) -> Result<Self, Trouble> {
        let size = store.size()?;
        let mut stats =
            Stats { total: size.messages.saturating_sub(size.archived), complete: true, ..Stats::default() };
        let since = Timestamp::from_nanos(Timestamp::now().nanos().saturating_sub(HOUR));
        let scan = Scan {
            narrow: Narrow { archived: Some(false), exact: true, ..Narrow::default() },
            order: Order::NewestFirst,
            after: None,
            deadline: (Instant::now() + PATIENCE).into(),
        };
        let mut seen = 0;
        let end = store.scan(&scan, &mut |row| {
            if row.archived.is_none() {
                seen += 1;
                stats.count(row, since);
            }
            ControlFlow::Continue(())
        })?;
        if end == End::All {
            // More may have come since the size was asked.
            stats.total = seen;
        } else {
            stats.complete = false;
        }
        Ok(stats)
    }

    fn count(&mut self, row: &Row<'_>, since: Timestamp) {
        let level = match row.severity {
            0..=2 => 0,
            3 => 1,
            4 => 2,
            5 | 6 => 3,
            _ if is_trace(row.raw) => 5,
            _ => 4,
        };
        if let Some(count) = self.levels.get_mut(level) {
            *count += 1;
        }
        self.recent_errors += u64::from(row.severity == 3 && row.timestamp > since);
        if let Some(count) = self.services.get_mut(row.logger) {
            *count += 1;
        } else if self.services.len() < LOGGERS {
            self.services.insert(row.logger.to_owned(), 1);
        } else {
            self.complete = false;
        }
    }

    fn written(&self) -> Vec<u8> {
        let mut levels: Vec<(&str, u64)> =
            LEVELS.into_iter().zip(self.levels).filter(|(_, count)| *count > 0).collect();
        levels.sort_by_key(|(_, count)| std::cmp::Reverse(*count));
        let mut services: Vec<(&str, u64)> =
            self.services.iter().map(|(name, count)| (name.as_str(), *count)).collect();
        services.sort_by(|(name, count), (other, others)| others.cmp(count).then(name.cmp(other)));
        let mut out = b"{\"total_logs\":".to_vec();
        wire::write_u64(&mut out, self.total);
        write_list(&mut out, b",\"level_distribution\":[", b"{\"level\":", &levels);
        write_list(
            &mut out,
            b",\"service_distribution\":[",
            b"{\"service\":",
            services.get(..SERVICES).unwrap_or(&services),
        );
        out.extend_from_slice(b",\"recent_errors_1h\":");
        wire::write_u64(&mut out, self.recent_errors);
        out.extend_from_slice(if self.complete { b",\"complete\":true}" } else { b",\"complete\":false}" });
        out
    }
}

fn write_list(out: &mut Vec<u8>, head: &[u8], name: &[u8], counts: &[(&str, u64)]) {
    out.extend_from_slice(head);
    for (at, (what, count)) in counts.iter().enumerate() {
        if at > 0 {
            out.push(b',');
        }
        out.extend_from_slice(name);
        wire::write_str(out, what);
        out.extend_from_slice(b",\"count\":");
        wire::write_u64(out, *count);
        out.push(b'}');
    }
    out.push(b']');
}

/// A debug message whose field `level` says so.
fn is_trace(raw: &[u8]) -> bool {
    let Ok(read) = wire::read(raw, &Limits::NONE) else { return false };
    read.message.fields.get("level").and_then(Value::as_str).is_some_and(|level| level.eq_ignore_ascii_case("trace"))
}
