//! A router with a filter and an endpoint of its own, chosen by name in a configuration like the built-in ones:
//! `cargo run --example own_router -- run --config router.toml`.

use metlog_pipeline::registry::Configured;
use metlog_pipeline::{Endpoint, EndpointEntry, Event, Filter, FilterEntry, Picked, SendError, inventory};
use serde::Deserialize;
use std::path::PathBuf;

/// Settings of `business`.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Hours {
    /// Hours of the day, in UTC, in which messages pass.
    hours: Vec<i64>,
}

/// Passes what happened in business hours.
struct Business {
    hours: Vec<i64>,
}

impl Configured for Business {
    type Config = Hours;

    fn check(config: &Hours) -> Result<(), String> {
        match config.hours.iter().find(|hour| !(0..24).contains(*hour)) {
            Some(hour) => Err(format!("`hours` has {hour}; there are 0 to 23")),
            None => Ok(()),
        }
    }

    fn open(config: Hours) -> Result<Self, String> {
        Ok(Business { hours: config.hours })
    }
}

impl Filter for Business {
    fn keep(&mut self, event: &Event<'_>) -> bool {
        let hour = event.head.timestamp.unix_seconds().rem_euclid(86_400) / 3600;
        self.hours.contains(&hour)
    }
}

inventory::submit! {
    FilterEntry::of::<Business>("business", &[], "[metlog.filters.business]\nprovider = \"business\"\nhours = [8, 9, 10]\n")
}

/// Settings of `tally`.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Where {
    /// The file.
    path: PathBuf,
}

/// Writes how many messages there have been.
struct Tally {
    path: PathBuf,
    count: usize,
}

impl Configured for Tally {
    type Config = Where;

    fn open(config: Where) -> Result<Self, String> {
        let before = std::fs::read_to_string(&config.path).ok().and_then(|text| text.trim().parse().ok());
        Ok(Tally { path: config.path, count: before.unwrap_or(0) })
    }
}

impl Endpoint for Tally {
    fn write(&mut self, batch: &Picked<'_>) -> Result<(), SendError> {
        let count = self.count + batch.lines().len();
        // Written before it is remembered: if the disk refuses, the batch comes again.
        std::fs::write(&self.path, format!("{count}\n")).map_err(|error| SendError::retry(error.to_string()))?;
        self.count = count;
        Ok(())
    }
}

inventory::submit! { EndpointEntry::of::<Tally>("tally", &[], "[endpoints.tally]\npath = \"tally.txt\"\n") }

fn main() -> std::process::ExitCode {
    metlog_router::main()
}
