//! A database of its own for each test, an endpoint that writes there and a store that reads.

use metlog_message::{Lines, Message, Timestamp, wire};
use metlog_pipeline::{Endpoint, EndpointEntry, Picked, SendError};
use metlog_postgres as _;
use metlog_query::{End, Narrow, Order, Scan, Store, StoreEntry};
use metlog_testkit::{Postgres, settings};
use std::ops::ControlFlow;
use std::sync::Arc;
use std::time::{Duration, Instant};

pub struct Bed {
    pub database: String,
    pub toml: String,
    pub endpoint: Box<dyn Endpoint>,
    pub store: Arc<dyn Store>,
}

pub fn endpoint(toml: &str) -> Result<Box<dyn Endpoint>, String> {
    let entry = EndpointEntry::find("postgres").expect("registered");
    (entry.read)(&settings(toml)).map_err(|problems| problems.to_string())?()
}

pub fn store(toml: &str) -> Arc<dyn Store> {
    let entry = StoreEntry::find("postgres").expect("registered");
    (entry.read)(&settings(toml)).unwrap_or_else(|problems| panic!("{problems}"))().expect("opens")
}

impl Bed {
    pub fn new() -> Self {
        Bed::with("")
    }

    pub fn with(more: &str) -> Self {
        let server = Postgres::shared();
        let database = server.database();
        Bed::at(&server.url(&database), database, more)
    }

    pub fn at(url: &str, database: String, more: &str) -> Self {
        let toml = format!("url = '{url}'\n{more}");
        Bed { endpoint: endpoint(&toml).expect("opens"), store: store(&toml), database, toml }
    }

    pub fn sql(&self, sql: &str) -> String {
        Postgres::shared().sql(&self.database, sql)
    }

    /// Writes messages with the ids 1, 2, 3 …
    pub fn write(&mut self, messages: &[Message]) -> Result<(), SendError> {
        let ids: Vec<u64> = (1..=messages.len() as u64).collect();
        self.write_as(messages, &ids)
    }

    pub fn write_as(&mut self, messages: &[Message], ids: &[u64]) -> Result<(), SendError> {
        self.endpoint.write(&Picked::new(&lines(messages), ids))
    }

    pub fn found(&self, narrow: Narrow, order: Order) -> Vec<(u64, Vec<u8>)> {
        found(&*self.store, narrow, order)
    }

    pub fn positions(&self, narrow: Narrow) -> Vec<u64> {
        self.found(narrow, Order::OldestFirst).into_iter().map(|found| found.0).collect()
    }
}

/// What a scan finds: position and bytes.
pub fn found(store: &dyn Store, narrow: Narrow, order: Order) -> Vec<(u64, Vec<u8>)> {
    let mut found = Vec::new();
    let end = store.scan(&scan(narrow, order), &mut |row| {
        found.push((row.position, row.raw.to_vec()));
        ControlFlow::Continue(())
    });
    assert_eq!(end, Ok(End::All));
    found
}

pub fn scan(narrow: Narrow, order: Order) -> Scan {
    Scan { narrow, order, after: None, deadline: (Instant::now() + Duration::from_secs(30)).into() }
}

pub fn lines(messages: &[Message]) -> Lines {
    let mut lines = Lines::new();
    for message in messages {
        lines.push_with(|out| wire::write(out, message));
    }
    lines
}

pub fn moment(text: &str) -> Timestamp {
    Timestamp::parse(text).expect("a moment")
}

/// A message at that moment.
pub fn at(text: &str) -> Message {
    let mut message = Message::new("log").payload("something happened");
    message.timestamp = moment(text);
    message
}

/// The month so many months before this one, such as `2026-11`: which months have partitions depends on the clock.
pub fn month(back: i64) -> String {
    let now = Timestamp::now().to_string();
    let number = |from: usize, to: usize| now[from..to].parse::<i64>().expect("a number");
    let count = number(0, 4) * 12 + number(5, 7) - 1 - back;
    format!("{:04}-{:02}", count / 12, count % 12 + 1)
}

/// The partition of a month.
pub fn partition(month: &str) -> String {
    format!("metlog_messages_p{}", month.replace('-', "_"))
}
