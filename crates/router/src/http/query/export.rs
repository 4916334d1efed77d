//! Everything that is meant, as a file. Looked for portion by portion, each when the client has taken the one before:
//! however slowly it reads, it holds no turn, no state of the store and no memory but a portion's.

use super::csv;
use super::{Desk, Wrong};
use axum::body::{Body, Bytes};
use axum::http::header;
use axum::response::{IntoResponse, Response};
use metlog_http::server::quote;
use metlog_query::store::{Cursor, Order, Store};
use metlog_query::{End, Expr, Path, Shelf, visit};
use serde_json::json as tree;
use std::io;
use std::ops::ControlFlow;
use std::time::{Duration, Instant};
use tokio::sync::OwnedSemaphorePermit;

/// Bytes that are looked for at a time.
const PORTION: usize = 512 * 1024;
/// How long a portion waits for its turn. Whoever has half of a file would rather wait than begin anew.
const TURN: Duration = Duration::from_secs(60);

/// How long what was found before has to get into the socket.
const FLUSH: Duration = Duration::from_millis(100);

/// What is to be written, and how.
pub(super) struct Export {
    pub expr: Expr,
    pub order: Order,
    pub after: Option<Cursor>,
    /// Messages still wanted.
    pub left: u64,
    /// How long may still be looked; waiting for the client is not counted.
    pub time: Duration,
    /// Of CSV; none: JSON lines.
    pub columns: Option<Vec<Path>>,
}

/// How a portion ended.
enum Ended {
    Full,
    Whole,
    /// Before everything was found, for this reason.
    Early(String),
}

impl Export {
    fn portion(&mut self, store: &dyn Store, out: &mut Vec<u8>) -> Result<Ended, Wrong> {
        let Export { expr, order, after, left, time, columns } = self;
        let began = Instant::now();
        let seen = visit(store, expr, *order, *after, began + *time, &mut |row| {
            if *left == 0 || out.len() >= PORTION {
                return ControlFlow::Break(());
            }
            *left -= 1;
            match columns {
                Some(columns) => csv::row(columns, row, out),
                None => {
                    out.extend_from_slice(row.raw);
                    out.push(b'\n');
                }
            }
            ControlFlow::Continue(())
        })?;
        *time = time.saturating_sub(began.elapsed());
        *after = seen.seen.or(*after);
        Ok(match seen.end {
            End::All => Ended::Whole,
            End::Enough if *left == 0 => Ended::Whole,
            End::Enough => Ended::Full,
            End::Late => Ended::Early("time was up; ask for less, or with a longer `deadline`".to_owned()),
        })
    }

    /// The answer, once its first portion is there.
    pub(super) async fn answer(self, desk: Desk, shelf: Shelf, turn: OwnedSemaphorePermit) -> Result<Response, Wrong> {
        let (kind, name) = match self.columns {
            Some(_) => ("text/csv; charset=utf-8", "attachment; filename=\"messages.csv\""),
            None => ("application/x-ndjson", "attachment; filename=\"messages.jsonl\""),
        };
        let mut first = Vec::new();
        self.columns.iter().for_each(|columns| csv::head(columns, &mut first));
        let room = desk.room(PORTION)?;
        let sending = Sending { export: self, desk, shelf, _room: room };
        let first = sending.next(first, turn).await?;
        let body = futures_util::stream::unfold(Some(first), |step| async {
            Some(match step? {
                Step::Cut => {
                    // What has been found goes out first: an error leaves behind what is not sent yet.
                    tokio::time::sleep(FLUSH).await;
                    (Err(io::Error::other("not everything was found in time")), None)
                }
                Step::Last(bytes, cut) => (Ok(bytes), cut.then_some(Step::Cut)),
                Step::More(bytes, sending) => (Ok(bytes), Some(sending.more().await)),
            })
        });
        let headers = [(header::CONTENT_TYPE, kind), (header::CONTENT_DISPOSITION, name)];
        Ok((headers, Body::from_stream(body)).into_response())
    }
}

/// An export on its way.
struct Sending {
    export: Export,
    desk: Desk,
    shelf: Shelf,
    _room: OwnedSemaphorePermit,
}

enum Step {
    More(Bytes, Box<Sending>),
    /// The end; with `true` the connection breaks off behind it, for CSV has no place in which to say why.
    Last(Bytes, bool),
    Cut,
}

impl Sending {
    async fn next(self, mut out: Vec<u8>, turn: OwnedSemaphorePermit) -> Result<Step, Wrong> {
        let Sending { mut export, desk, shelf, _room } = self;
        let made = desk.work(&shelf, turn, move |store| {
            let ended = export.portion(store, &mut out)?;
            Ok((export, out, ended))
        });
        let (export, mut out, ended) = made.await?;
        let as_csv = export.columns.is_some();
        Ok(match ended {
            Ended::Full => Step::More(out.into(), Box::new(Sending { export, desk, shelf, _room })),
            Ended::Whole => Step::Last(out.into(), false),
            Ended::Early(why) => {
                if !as_csv {
                    last_line(&why, export.after, export.order, &mut out);
                }
                Step::Last(out.into(), as_csv)
            }
        })
    }

    /// The next portion, for a client that has part of the file already: errors are its last line.
    async fn more(self: Box<Self>) -> Step {
        let (as_csv, after, order) = (self.export.columns.is_some(), self.export.after, self.export.order);
        let done = match self.desk.turn(TURN).await {
            Ok(turn) => self.next(Vec::with_capacity(PORTION + 4096), turn).await,
            Err(wrong) => Err(wrong),
        };
        done.unwrap_or_else(|wrong| {
            if as_csv {
                return Step::Cut;
            }
            let mut out = Vec::new();
            last_line(&wrong.to_string(), after, order, &mut out);
            Step::Last(out.into(), false)
        })
    }
}

/// It has no `type`, so it is no message.
fn last_line(why: &str, after: Option<Cursor>, order: Order, out: &mut Vec<u8>) {
    let next = after.map(|after| after.to_text(order));
    out.extend_from_slice(b"{\"partial\":true,\"error\":");
    quote(out, why);
    out.extend_from_slice(format!(",\"next\":{}}}\n", tree!(next)).as_bytes());
}
