//! Everything that is meant, as a file.
//!
//! One scan goes on for as long as the client keeps up, since to begin again in its middle may cost the store as much as
//! all that was before. For a client that does not, it ends, and another goes on behind it when the client has taken what
//! there is: whoever reads slowly holds no turn, no state of the store, and no memory but some portions.

use super::{DEADLINE, Desk, Wrong, csv};
use axum::body::{Body, Bytes};
use axum::http::header;
use axum::response::{IntoResponse, Response};
use metlog_http::Refused;
use metlog_http::server::quote;
use metlog_query::store::{Cursor, Order};
use metlog_query::{Asker, End, Expr, Lent, Path, Shelf, visit};
use serde_json::json as tree;
use std::io;
use std::ops::ControlFlow;
use std::time::{Duration, Instant};
use tokio::runtime::Handle;
use tokio::sync::{OwnedSemaphorePermit, mpsc};
use tokio::task::JoinHandle;
use tokio::time::timeout;

/// Bytes that are sent at a time.
const PORTION: usize = 256 * 1024;
/// One is being made, one waits, one is being sent.
const PORTIONS: usize = 3;
/// How long a scan waits for the client to take one, and how long it goes on at all while others wait for their turn.
const PATIENCE: (Duration, Duration) = (Duration::from_millis(250), Duration::from_secs(10));
/// How long the next scan waits for its turn. Whoever has half of a file would rather wait than begin anew.
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
    /// Whether there is a message in it yet.
    pub begun: bool,
}

/// How a scan ended.
enum Ended {
    /// It goes on with another.
    Pausing,
    Whole,
    /// Before everything was found.
    Early,
}

impl Export {
    /// Gives full portions away; what is left is in `out`.
    fn scan(&mut self, store: &Lent, out: &mut Vec<u8>, client: &Client) -> Result<Ended, Wrong> {
        let Export { expr, order, after, left, time, columns, begun } = self;
        let (began, mut waited) = (Instant::now(), Duration::ZERO);
        let seen = visit(store, expr, *order, *after, began + (*time).min(DEADLINE.1), &mut |row| {
            if *left == 0 {
                return ControlFlow::Break(());
            }
            if out.len() >= PORTION {
                let asked = Instant::now();
                let taken = began.elapsed() < PATIENCE.1 && client.take(out);
                waited += asked.elapsed();
                if !taken {
                    return ControlFlow::Break(());
                }
            }
            (*left, *after, *begun) = (*left - 1, Some(row.cursor()), true);
            match columns {
                Some(columns) => csv::row(columns, row, out),
                None => {
                    out.extend_from_slice(row.raw);
                    out.push(b'\n');
                }
            }
            ControlFlow::Continue(())
        })?;
        *time = time.saturating_sub(began.elapsed().saturating_sub(waited));
        *after = seen.seen.or(*after);
        Ok(match seen.end {
            End::All => Ended::Whole,
            End::Enough if *left == 0 => Ended::Whole,
            End::Late if time.is_zero() => Ended::Early,
            End::Enough | End::Late => Ended::Pausing,
        })
    }

    /// The answer, once it is known that there is one.
    pub(super) async fn answer(self, desk: Desk, shelf: Shelf, turn: OwnedSemaphorePermit) -> Result<Response, Wrong> {
        let (kind, name) = match self.columns {
            Some(_) => ("text/csv; charset=utf-8", "attachment; filename=\"messages.csv\""),
            None => ("application/x-ndjson", "attachment; filename=\"messages.jsonl\""),
        };
        let mut head = Vec::new();
        self.columns.iter().for_each(|columns| csv::head(columns, &mut head));
        let house = House { _room: desk.room(PORTIONS * PORTION)?, desk, shelf };
        let first = Scanning::begin(house, self, head, turn).next(true).await?;
        let body = futures_util::stream::unfold(Some(first), |step| async {
            Some(match step? {
                Step::Scanning(bytes, scanning) => (Ok(bytes), Some(scanning.more().await)),
                Step::Pausing(bytes, house, export) => (Ok(bytes), Some(house.resume(*export).await)),
                Step::Last(bytes, cut) => (Ok(bytes), cut.then_some(Step::Cut)),
                Step::Cut => {
                    // What has been found goes out first: an error leaves behind what is not sent yet.
                    tokio::time::sleep(FLUSH).await;
                    (Err(io::Error::other("not everything was found in time")), None)
                }
            })
        });
        let headers = [(header::CONTENT_TYPE, kind), (header::CONTENT_DISPOSITION, name)];
        Ok((headers, Body::from_stream(body)).into_response())
    }

    /// The last portion of what is not all. It has no `type`, so it is no message. CSV has no place for it: there the
    /// connection breaks off.
    fn cut_short(&self, mut out: Vec<u8>, why: &str) -> Step {
        let as_csv = self.columns.is_some();
        if !as_csv {
            let next = self.after.map(|after| after.to_text(self.order));
            out.extend_from_slice(b"{\"partial\":true,\"error\":");
            quote(&mut out, why);
            out.extend_from_slice(format!(",\"next\":{}}}\n", tree!(next)).as_bytes());
        }
        Step::Last(out.into(), as_csv)
    }
}

/// The way from a scan to the client.
struct Client {
    give: mpsc::Sender<Bytes>,
    runtime: Handle,
}

impl Client {
    /// Whether it takes this soon; then it is empty.
    fn take(&self, out: &mut Vec<u8>) -> bool {
        let Ok(Ok(place)) = self.runtime.block_on(timeout(PATIENCE.0, self.give.reserve())) else { return false };
        place.send(std::mem::replace(out, Vec::with_capacity(PORTION + PORTION / 8)).into());
        true
    }
}

/// What all scans of an export share.
struct House {
    desk: Desk,
    shelf: Shelf,
    _room: OwnedSemaphorePermit,
}

impl House {
    /// The next scan, for a client that has part of the file already: errors are its last line.
    async fn resume(self, export: Export) -> Step {
        match self.desk.turn(TURN).await {
            Ok(turn) => Scanning::begin(self, export, Vec::new(), turn).more().await,
            Err(wrong) => export.cut_short(Vec::new(), &wrong.to_string()),
        }
    }
}

/// A portion, and how it goes on.
enum Step {
    Scanning(Bytes, Box<Scanning>),
    Pausing(Bytes, House, Box<Export>),
    /// With `true` the connection breaks off behind it.
    Last(Bytes, bool),
    Cut,
}

/// A scan that is going on.
struct Scanning {
    house: House,
    portions: mpsc::Receiver<Bytes>,
    done: JoinHandle<(Export, Vec<u8>, Result<Ended, Wrong>)>,
    _asker: Asker,
}

impl Scanning {
    fn begin(house: House, mut export: Export, mut out: Vec<u8>, turn: OwnedSemaphorePermit) -> Box<Self> {
        let (give, portions) = mpsc::channel(1);
        let client = Client { give, runtime: Handle::current() };
        let (asker, store) = house.shelf.lend();
        let done = tokio::task::spawn_blocking(move || {
            let _turn = turn;
            let ended = export.scan(&store, &mut out, &client);
            (export, out, ended)
        });
        Box::new(Scanning { house, portions, done, _asker: asker })
    }

    /// The next portion; of the first one also why there is none at all.
    async fn next(mut self: Box<Self>, first: bool) -> Result<Step, Wrong> {
        if let Some(portion) = self.portions.recv().await {
            return Ok(Step::Scanning(portion, self));
        }
        let (export, out, ended) = self.done.await.map_err(|_| broken())?;
        Ok(match ended {
            Ok(Ended::Pausing) => Step::Pausing(out.into(), self.house, Box::new(export)),
            Ok(Ended::Whole) => Step::Last(out.into(), false),
            Ok(Ended::Early) => export.cut_short(out, "time was up; ask for less, or with a longer `deadline`"),
            Err(wrong) if first && !export.begun => return Err(wrong),
            Err(wrong) => export.cut_short(out, &wrong.to_string()),
        })
    }

    /// The same for a client that has part of the file.
    async fn more(self: Box<Self>) -> Step {
        // It panicked, and nobody knows how far it came.
        self.next(false).await.unwrap_or(Step::Cut)
    }
}

fn broken() -> Wrong {
    Refused::new(axum::http::StatusCode::INTERNAL_SERVER_ERROR, "the question failed").into()
}
