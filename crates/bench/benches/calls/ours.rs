//! metlog's calls.

use crate::{Outcome, Place};
use metlog::{Client, Event, Filter, Lines, Overflow, SendError, Sender, Setup, Severity};
use metlog_bench::machine;
use metlog_bench::measure::{self, Plan};
use metlog_null::NullSender;
use std::fs::File;
use std::hint::black_box;
use std::io::Write;
use std::time::Duration;

/// A file with nothing around it, as the peers have it.
struct ToFile(File);

impl Sender for ToFile {
    fn send(&mut self, batch: &Lines) -> Result<(), SendError> {
        self.0.write_all(batch.bytes()).map_err(SendError::retry)
    }
}

/// What a configured severity filter is.
struct UpToInfo;

impl Filter for UpToInfo {
    fn keep(&mut self, event: &Event<'_>) -> bool {
        event.head.severity <= Severity::Informational
    }

    fn decide(&self, _kind: &str, severity: Severity) -> Option<bool> {
        Some(severity <= Severity::Informational)
    }
}

/// Opens the client, then ties the caller to one processor: metlog's threads stay free.
fn open(setup: Setup) -> Result<Client, metlog::Error> {
    let client = Client::open(setup)?;
    client.make_default();
    client.warm();
    machine::pin();
    Ok(client)
}

macro_rules! line {
    ($number:expr) => {
        metlog::info!("request served"; user_id = $number, path = black_box("/api/v1/items"), took = $number as f64 * 0.25)
    };
}

/// Eight call sites, as a program has many: the compiler then decides anew what it inlines. Each is called a thousand
/// times before the next, so that choosing between them costs nothing here.
macro_rules! of_eight {
    ($number:expr, $call:expr) => {
        match $number / 1024 % 8 {
            0 => $call,
            1 => $call,
            2 => $call,
            3 => $call,
            4 => $call,
            5 => $call,
            6 => $call,
            _ => $call,
        }
    };
}

pub fn log(plan: &Plan, place: &Place) -> Outcome {
    let client = open(Setup::new("bench").sender(ToFile(File::create(place.log())?)))?;
    let numbers = measure::spread(plan, |number| line!(number));
    drop(client.shutdown(Duration::from_secs(10)));
    Ok((numbers, place.missing(plan.spread_calls())?))
}

pub fn log_of_eight(plan: &Plan, place: &Place) -> Outcome {
    let client = open(Setup::new("bench").sender(ToFile(File::create(place.log())?)))?;
    let numbers = measure::spread(plan, |number| of_eight!(number, line!(number)));
    drop(client.shutdown(Duration::from_secs(10)));
    Ok((numbers, place.missing(plan.spread_calls())?))
}

pub fn incr(plan: &Plan, _place: &Place) -> Outcome {
    let client = open(Setup::new("bench").sender(NullSender))?;
    let numbers = measure::spread(plan, |_| metlog::incr!("requests"));
    Ok((numbers, client.shutdown(Duration::from_secs(10)).stats.lost()))
}

pub fn incr_of_eight(plan: &Plan, _place: &Place) -> Outcome {
    let client = open(Setup::new("bench").sender(NullSender))?;
    let numbers = measure::spread(plan, |number| of_eight!(number, metlog::incr!("requests")));
    Ok((numbers, client.shutdown(Duration::from_secs(10)).stats.lost()))
}

pub fn incr_sum(plan: &Plan, _place: &Place) -> Outcome {
    let client = open(Setup::new("bench").aggregate(Duration::from_secs(1)).sender(NullSender))?;
    let numbers = measure::repeated(plan, |_| metlog::incr!("requests"));
    Ok((numbers, client.shutdown(Duration::from_secs(10)).stats.lost()))
}

pub fn timer(plan: &Plan, _place: &Place) -> Outcome {
    let client = open(Setup::new("bench").sender(NullSender))?;
    let numbers = measure::spread(plan, |_| drop(metlog::timer!("request")));
    Ok((numbers, client.shutdown(Duration::from_secs(10)).stats.lost()))
}

pub fn timer_sum(plan: &Plan, _place: &Place) -> Outcome {
    let client = open(Setup::new("bench").aggregate(Duration::from_secs(1)).sender(NullSender))?;
    let numbers = measure::repeated(plan, |_| drop(metlog::timer!("request")));
    Ok((numbers, client.shutdown(Duration::from_secs(10)).stats.lost()))
}

pub fn log_off(plan: &Plan, _place: &Place) -> Outcome {
    let client = open(Setup::new("bench").filter(UpToInfo).sender(NullSender))?;
    let numbers = measure::repeated(plan, |number| metlog::debug!("request served"; user_id = number));
    let taken = client.shutdown(Duration::from_secs(10)).stats.taken;
    if taken > 0 { Err("the filter did not switch the call off".into()) } else { Ok((numbers, 0)) }
}

pub fn timer_off(plan: &Plan, _place: &Place) -> Outcome {
    let client = open(Setup::new("bench").disable_timer("request").sender(NullSender))?;
    let numbers = measure::repeated(plan, |_| drop(metlog::timer!("request")));
    let taken = client.shutdown(Duration::from_secs(10)).stats.taken;
    if taken > 0 { Err("the timer was not switched off".into()) } else { Ok((numbers, 0)) }
}

/// Callers wait for room, so that nothing is lost and the background thread is the slowest part.
fn patient() -> Setup {
    Setup::new("bench").overflow(Overflow::Block).block_timeout(Duration::from_secs(10)).ring_bytes(1 << 20)
}

pub fn far_null(plan: &Plan, _place: &Place) -> Outcome {
    let client = open(patient().sender(NullSender))?;
    let numbers = measure::flow(plan, |number| line!(number), || drop(client.flush(Duration::from_secs(60))));
    Ok((numbers, client.shutdown(Duration::from_secs(10)).stats.lost()))
}

pub fn far_file(plan: &Plan, place: &Place) -> Outcome {
    let client = open(patient().sender(ToFile(File::create(place.log())?)))?;
    let numbers = measure::flow(plan, |number| line!(number), || drop(client.flush(Duration::from_secs(60))));
    drop(client.shutdown(Duration::from_secs(10)));
    Ok((numbers, place.missing(plan.messages)?))
}
