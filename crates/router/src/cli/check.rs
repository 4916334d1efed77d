//! `check`: the same reading as a start, and nothing opened.

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
        match config::load(Some(&self.file)) {
            Ok(plan) => {
                plan.warnings.iter().for_each(|warning| eprintln!("note: {warning}"));
                let (inputs, endpoints) = (plan.inputs.len(), plan.endpoints.len());
                println!("{}: in order; inputs: {inputs}, endpoints: {endpoints}", self.file.display());
                ExitCode::SUCCESS
            }
            Err(problems) => wrong(&problems),
        }
    }
}
