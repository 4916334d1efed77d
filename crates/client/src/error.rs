//! What can go wrong while a client is set up.

use metlog_settings::Problems;
use std::fmt;

/// Why there is no client.
#[derive(Clone, PartialEq, Eq)]
pub enum Error {
    /// The configuration is wrong: every mistake, with file, line and column. Nothing was opened.
    Config(Problems),
    /// The configuration is right, and a sender could not be opened: what, where, and what would be right.
    Open(String),
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Error::Config(problems) => write!(f, "{problems}"),
            Error::Open(why) => f.write_str(why),
        }
    }
}

impl fmt::Debug for Error {
    /// The words for people here too: this is what `fn main() -> Result<(), metlog::Error>` prints.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "metlog is not set up\n{self}")
    }
}

impl std::error::Error for Error {}

impl From<Problems> for Error {
    fn from(problems: Problems) -> Self {
        Error::Config(problems)
    }
}

impl From<metlog_settings::Problem> for Error {
    fn from(problem: metlog_settings::Problem) -> Self {
        Error::Config(problem.into())
    }
}
