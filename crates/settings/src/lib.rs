//! Configuration, from text to typed settings, without ever losing the place in the file.
//!
//! - [`ini`], [`toml`], [`yaml`] with JSON: text to a located tree; [`ini`] reads what Metlog's Python read
//! - [`expand`]: `${VAR}` and `${VAR:-default}`, after parsing, so that a variable cannot add structure
//! - [`node`]: the tree; every key and value knows its file, line and column
//! - [`layers`]: several files and the environment over each other, through the crate `config`
//! - [`read()`]: the tree to a serde struct, reporting everything that is wrong at once
//! - [`size`], [`duration`], [`secret`]: types for settings structs
//! - [`dotenv`], [`environment`]: where variables come from; the process environment is never changed
//! - [`problem`], [`suggest`]: what a person reads when something is wrong
//!
//! This crate names no plugin and knows no key of metlog's. Files are taken as hostile: see the `MAX_` constants.

mod de;
pub mod dotenv;
pub mod duration;
pub mod environment;
pub mod expand;
pub mod ini;
pub mod layers;
pub mod node;
pub mod origin;
pub mod problem;
mod read;
pub mod secret;
pub mod size;
pub mod source;
pub mod suggest;
pub mod toml;
mod unfit;
pub mod yaml;

pub use duration::Span;
pub use environment::Environment;
pub use ini::Ini;
pub use layers::Layers;
pub use node::{Kind, Node, Table};
pub use origin::Origin;
pub use problem::{Problem, Problems};
pub use read::read;
pub use secret::Secret;
pub use size::Size;
pub use toml::Toml;
pub use yaml::Yaml;

/// No file is read beyond this many bytes; a configuration is written by hand.
pub const MAX_BYTES: usize = 1024 * 1024;

/// No tree is deeper: readers and `Drop` recurse, and a stack overflow cannot be caught.
pub const MAX_DEPTH: usize = 64;

/// Where `${VAR}` is looked up.
pub type Lookup<'a> = &'a dyn Fn(&str) -> Option<String>;
