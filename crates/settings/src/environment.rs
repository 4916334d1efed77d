//! Where variables come from: the process environment, over a `.env` file. Neither is ever changed.

use crate::{Problems, dotenv};
use std::collections::BTreeMap;
use std::fmt;

/// Variables by name. Prints names only: values are secrets as often as not.
#[derive(Clone, Default)]
pub struct Environment {
    process: bool,
    more: BTreeMap<String, String>,
}

impl Environment {
    /// The process environment, over the nearest `.env` file from the current directory upwards.
    ///
    /// # Errors
    /// If there is such a file and something is wrong with it.
    pub fn load() -> Result<Self, Problems> {
        let here = std::env::current_dir().ok();
        let more = here.and_then(|here| dotenv::find(&here)).map(|path| dotenv::read_file(&path)).transpose()?;
        Ok(Environment { process: true, more: more.unwrap_or_default() })
    }

    /// The process environment alone.
    pub fn process() -> Self {
        Environment { process: true, more: BTreeMap::new() }
    }

    /// These variables alone.
    pub fn fixed<K: Into<String>, V: Into<String>>(variables: impl IntoIterator<Item = (K, V)>) -> Self {
        let more = variables.into_iter().map(|(name, value)| (name.into(), value.into())).collect();
        Environment { process: false, more }
    }

    /// A variable. One that is not UTF-8 counts as not set.
    pub fn get(&self, name: &str) -> Option<String> {
        // `std::env::var` panics on names that no process can have.
        let possible = self.process && !name.is_empty() && !name.contains(['=', '\0']);
        let set = possible.then(|| std::env::var(name).ok()).flatten();
        set.or_else(|| self.more.get(name).cloned())
    }

    /// All names that begin with `prefix`, in alphabetical order.
    pub fn names(&self, prefix: &str) -> Vec<String> {
        let process = self.process.then(std::env::vars_os).into_iter().flatten();
        let process = process.filter_map(|(name, _)| name.into_string().ok());
        let mut names: Vec<String> = process.chain(self.more.keys().cloned()).collect();
        names.retain(|name| name.starts_with(prefix));
        names.sort();
        names.dedup();
        names
    }
}

impl fmt::Debug for Environment {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Environment").field("process", &self.process).field("more", &self.more.keys()).finish()
    }
}
