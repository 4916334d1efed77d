//! `check`: the same reading as a start, certificate files included, and nothing opened.

use super::wrong;
use crate::config;
use std::path::PathBuf;
use std::process::ExitCode;

/// Arguments of `check`.
#[derive(clap::Args, Debug)]
pub struct Check {
    /// The file.
    file: PathBuf,
}

impl Check {
    pub(super) fn go(self) -> ExitCode {
        let read = config::load(Some(&self.file)).and_then(|plan| plan.examine().map(|remarks| (plan, remarks)));
        match read {
            Ok((plan, remarks)) => {
                plan.warnings.iter().chain(&remarks).for_each(|warning| eprintln!("note: {warning}"));
                let (inputs, endpoints) = (plan.inputs.len(), plan.endpoints.len());
                println!("{}: in order; inputs: {inputs}, endpoints: {endpoints}", self.file.display());
                ExitCode::SUCCESS
            }
            Err(problems) => wrong(&problems),
        }
    }
}
