//! `plugins`, `example`, `init`: what this program can do, to read and to copy.

use super::exit;
use crate::config;
use metlog_http::server::DialectEntry;
use metlog_pipeline::{EndpointEntry, FilterEntry, InputEntry, SenderEntry};
use metlog_settings::suggest;
use std::collections::BTreeMap;
use std::process::ExitCode;

/// Arguments of `plugins`.
#[derive(clap::Args, Debug)]
pub struct Plugins {}

/// Arguments of `example`.
#[derive(clap::Args, Debug)]
pub struct Example {
    /// What: `input`, `filter` or `endpoint`.
    kind: String,
    /// Which, as `plugins` lists it.
    name: String,
}

/// Arguments of `init`.
#[derive(clap::Args, Debug)]
pub struct Init {}

/// Every plugin by kind and name, with its example.
pub(crate) fn all() -> BTreeMap<&'static str, BTreeMap<&'static str, &'static str>> {
    let mut all = BTreeMap::new();
    all.insert("input", InputEntry::all().into_iter().map(|entry| (entry.name, entry.example)).collect::<BTreeMap<_, _>>());
    all.insert("filter", FilterEntry::all().into_iter().map(|entry| (entry.name, entry.example)).collect());
    all.insert("dialect", DialectEntry::all().into_iter().map(|entry| (entry.name, entry.example)).collect());
    let mut endpoints: BTreeMap<_, _> = SenderEntry::all().into_iter().map(|entry| (entry.name, entry.example)).collect();
    endpoints.extend(EndpointEntry::all().into_iter().map(|entry| (entry.name, entry.example)));
    all.insert("endpoint", endpoints);
    all
}

impl Plugins {
    pub(super) fn go(self) -> ExitCode {
        for (kind, names) in all() {
            let names: Vec<&str> = names.into_keys().collect();
            println!("{kind}s: {}", names.join(", "));
        }
        ExitCode::SUCCESS
    }
}

impl Example {
    pub(super) fn go(self) -> ExitCode {
        let all = all();
        let singular = self.kind.strip_suffix('s').unwrap_or(&self.kind);
        let Some(plugins) = all.get(singular) else {
            let known: Vec<&str> = all.into_keys().collect();
            eprintln!("`{}` is no kind of plugin; there are {}", self.kind, known.join(", "));
            return exit::usage();
        };
        match plugins.get(self.name.as_str()) {
            Some(example) => {
                println!("[{singular}s.{}]\n{}", self.name, example.trim_end());
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
