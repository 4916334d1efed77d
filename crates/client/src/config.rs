//! Configuration: INI as Metlog's, TOML, a program's own value, environment variables; over each other.
//!
//! Read in three steps, each of which collects everything that is wrong before the next begins:
//!
//! - `shape`: every form becomes one tree: main keys, `senders`, `filters`, `plugins`, `global`
//! - `keys`: the tree becomes typed settings, and those a [`Setup`]; no file or socket is touched
//! - `shown`: the tree as it can be read back, with secrets struck out
//!
//! `METLOG__KEY` and `METLOG__SENDERS__NAME__KEY` in the environment or in a `.env` file win over the file.

mod keys;
mod shape;
mod shown;

use crate::{Client, Error, Setup};
use metlog_message::Value;
pub use metlog_settings::Environment;
use metlog_settings::{Layers, Node, Problem, Problems};
use std::io::Read;
use std::path::{Path, PathBuf};

/// The section that is read when none is named, and the prefix of environment variables.
const SECTION: &str = "metlog";

/// A configuration that is not read yet.
///
/// ```
/// let setup = metlog::config::Config::toml("[metlog]\nlogger = 'shop'\n[metlog.sender]\nclass = 'null'").setup()?;
/// let client = metlog::Client::open(setup)?;
/// assert_eq!(client.logger(), "shop");
/// # Ok::<(), metlog::Error>(())
/// ```
#[derive(Debug, Clone)]
pub struct Config {
    source: Source,
    section: String,
    environment: Option<Environment>,
}

#[derive(Debug, Clone)]
enum Source {
    File(PathBuf),
    Ini(String),
    Toml(String),
    /// The main section itself.
    Value(Box<Node>),
}

impl Config {
    fn of(source: Source) -> Self {
        Config { source, section: SECTION.into(), environment: None }
    }

    /// A file: `.toml`, or `.ini`, `.cfg` or `.conf`.
    pub fn file(path: impl Into<PathBuf>) -> Self {
        Config::of(Source::File(path.into()))
    }

    /// INI text. What all lines are indented by is taken away, so that it may stand indented in a program.
    pub fn ini(text: impl AsRef<str>) -> Self {
        Config::of(Source::Ini(dedent(text.as_ref())))
    }

    /// TOML text.
    pub fn toml(text: impl Into<String>) -> Self {
        Config::of(Source::Toml(text.into()))
    }

    /// The main section as a value: Metlog's dictionary form.
    pub fn value(value: &Value) -> Self {
        let json = serde_json::to_value(value).unwrap_or_default();
        Config::of(Source::Value(Box::new(Node::from_json(&json))))
    }

    /// Nothing but environment variables: `METLOG__LOGGER`, `METLOG__SENDER_CLASS`, ….
    pub fn from_environment() -> Self {
        Config::value(&Value::Map(Default::default()))
    }

    /// The name of the main section; `metlog` otherwise.
    #[must_use]
    pub fn section(mut self, name: impl Into<String>) -> Self {
        self.section = name.into();
        self
    }

    /// Where `${VAR}` and `METLOG__…` come from; the process environment and the nearest `.env` file otherwise.
    #[must_use]
    pub fn environment(mut self, environment: Environment) -> Self {
        self.environment = Some(environment);
        self
    }

    /// Reads and checks everything, and opens nothing.
    ///
    /// # Errors
    /// All that is wrong, with file, line and column.
    pub fn setup(self) -> Result<Setup, Error> {
        keys::setup(self.tree()?)
    }

    /// Reads, checks and opens.
    ///
    /// # Errors
    /// All that is wrong; nothing is open then.
    pub fn open(self) -> Result<Client, Error> {
        Client::open(self.setup()?)
    }

    /// The main section in its one form, environment included.
    fn tree(self) -> Result<Node, Problems> {
        let environment = match self.environment {
            Some(environment) => environment,
            None => Environment::load()?,
        };
        let layers = || Layers::new(environment.clone());
        let main = match self.source {
            Source::File(path) => shape::section(layers().file(&path).merge()?, &self.section)?,
            Source::Ini(text) => shape::section(layers().ini("configuration", &text, false).merge()?, &self.section)?,
            Source::Toml(text) => shape::section(layers().toml("configuration", &text).merge()?, &self.section)?,
            Source::Value(main) => *main,
        };
        let main = shape::nest(main)?;
        if main.as_table().is_none() {
            return Err(Problem::at(&main.origin, "expected a table of settings").into());
        }
        // Once more, because a variable may say `SENDER_CLASS` in the short form.
        shape::nest(layers().tree(main).variables(&SECTION.to_uppercase()).merge()?)
    }
}

/// A client from a file, by its extension INI or TOML.
///
/// # Errors
/// All that is wrong; nothing is open then.
pub fn from_file(path: impl AsRef<Path>, section: &str) -> Result<Client, Error> {
    Config::file(path.as_ref()).section(section).open()
}

/// A client from INI text.
///
/// # Errors
/// All that is wrong; nothing is open then.
pub fn from_text(text: &str, section: &str) -> Result<Client, Error> {
    Config::ini(text).section(section).open()
}

/// A client from a stream of INI text, of at most a mebibyte.
///
/// # Errors
/// All that is wrong; nothing is open then.
pub fn from_stream(stream: impl Read, section: &str) -> Result<Client, Error> {
    let mut bytes = Vec::new();
    let most = metlog_settings::MAX_BYTES as u64 + 1;
    let read = stream.take(most).read_to_end(&mut bytes);
    read.map_err(|error| Problems::from(Problem::anywhere(format!("the configuration cannot be read: {error}"))))?;
    let text = metlog_settings::source::decode("configuration", &bytes, metlog_settings::MAX_BYTES);
    Config::of(Source::Ini(text.map_err(Problems::from)?.to_owned())).section(section).open()
}

/// A client from TOML text.
///
/// # Errors
/// All that is wrong; nothing is open then.
pub fn from_toml(text: &str, section: &str) -> Result<Client, Error> {
    Config::toml(text).section(section).open()
}

/// A client from a value: Metlog's dictionary form.
///
/// # Errors
/// All that is wrong; nothing is open then.
pub fn from_value(value: &Value) -> Result<Client, Error> {
    Config::value(value).open()
}

/// Takes away the indentation that all lines have in common; blank lines have none to compare.
fn dedent(text: &str) -> String {
    let indent = |line: &str| line.len() - line.trim_start_matches([' ', '\t']).len();
    let common = text.lines().filter(|line| !line.trim().is_empty()).map(indent).min().unwrap_or(0);
    let cut = |line: &str| line.get(common..).unwrap_or_default().to_owned();
    text.lines().map(cut).collect::<Vec<_>>().join("\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_all_lines_are_indented_by_goes() {
        assert_eq!(dedent("\n    [metlog]\n    types = a\n        b\n"), "\n[metlog]\ntypes = a\n    b");
        assert_eq!(dedent("no indent\n  here"), "no indent\n  here");
    }
}
