//! `plugins`, `example`, `init`: what this program can do, to read and to copy.

use super::exit;
use crate::config;
use metlog_http::server::DialectEntry;
use metlog_pipeline::{BeaconEntry, EndpointEntry, FilterEntry, InputEntry, SenderEntry};
use metlog_settings::suggest;
use std::collections::BTreeMap;
use std::process::ExitCode;

/// Arguments of `plugins`.
#[derive(clap::Args, Debug)]
pub struct Plugins {}

/// Arguments of `example`.
#[derive(clap::Args, Debug)]
pub struct Example {
    /// What: `input`, `filter`, `endpoint` or `fleet`.
    kind: String,
    /// Which, as `plugins` lists it.
    name: String,
}

/// Arguments of `init`.
#[derive(clap::Args, Debug)]
pub struct Init {}

/// Every plugin by kind and name, with a section to copy into a configuration.
pub fn sections() -> BTreeMap<&'static str, BTreeMap<&'static str, String>> {
    let mut all = BTreeMap::new();
    let inputs = InputEntry::all().into_iter().map(|entry| (entry.name, entry.example.to_owned()));
    all.insert("input", inputs.collect::<BTreeMap<_, _>>());
    let filters = FilterEntry::all().into_iter().map(|entry| (entry.name, of_client(entry.example, entry.name)));
    all.insert("filter", filters.collect());
    all.insert(
        "dialect",
        DialectEntry::all().into_iter().map(|entry| (entry.name, entry.example.to_owned())).collect(),
    );
    let fleets = BeaconEntry::all().into_iter().map(|entry| (entry.name, entry.example.to_owned()));
    all.insert("fleet", fleets.collect());
    let mut endpoints: BTreeMap<_, _> =
        SenderEntry::all().into_iter().map(|entry| (entry.name, of_client(entry.example, entry.name))).collect();
    endpoints.extend(EndpointEntry::all().into_iter().map(|entry| (entry.name, entry.example.to_owned())));
    all.insert("endpoint", endpoints);
    all
}

/// A client's section as a router has it.
pub(super) fn of_client(example: &str, name: &str) -> String {
    let line = |line: &str| {
        let line =
            line.replace("[metlog.sender]", &format!("[endpoints.{name}]")).replace("[metlog.filters.", "[filters.");
        match line.split_once('=') {
            Some((key, value)) if ["class", "provider"].contains(&key.trim()) => format!("type ={value}"),
            _ => line,
        }
    };
    let lines: Vec<String> = example.lines().map(line).collect();
    lines.join("\n")
}

impl Plugins {
    pub(super) fn go(self) -> ExitCode {
        for (kind, names) in sections() {
            let names: Vec<&str> = names.into_keys().collect();
            println!("{kind}s: {}", names.join(", "));
        }
        ExitCode::SUCCESS
    }
}

impl Example {
    pub(super) fn go(self) -> ExitCode {
        let all = sections();
        let singular = self.kind.strip_suffix('s').unwrap_or(&self.kind);
        let Some(plugins) = all.get(singular) else {
            let known: Vec<&str> = all.into_keys().collect();
            eprintln!("`{}` is no kind of plugin; there are {}", self.kind, known.join(", "));
            return exit::usage();
        };
        match plugins.get(self.name.as_str()) {
            Some(example) => {
                println!("{}", example.trim_end());
                ExitCode::SUCCESS
            }
            None => {
                let meant = suggest::nearest(&self.name, plugins.keys().copied());
                let meant = meant.map(|name| format!("; did you mean `{name}`?")).unwrap_or_default();
                eprintln!("no {singular} is called `{}`{meant}", self.name);
                exit::usage()
            }
        }
    }
}

impl Init {
    pub(super) fn go(self) -> ExitCode {
        print!("{}", config::DEFAULT);
        ExitCode::SUCCESS
    }
}
