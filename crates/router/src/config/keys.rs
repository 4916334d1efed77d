//! `[keys.*]`: who may use the HTTP ports, and for what.

use super::{Named, Problem, Problems};
use crate::http::check_dialects;
use metlog_http::server::keys::{Hash, Key, Keys, Rate, Scope};
use serde::Deserialize;
use std::collections::HashMap;

/// `[keys.NAME]`
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct KeySettings {
    /// What it is good for: `ingest` writes, `read` reads, `admin` does both and whatever changes the router.
    pub scope: Vec<Scope>,
    /// What `metlog-router key new` or `metlog-router key hash` printed. The key itself is written down nowhere here.
    pub hash: Hash,
    /// Messages, or requests that write none, in a time: `1000/s`, `60/min`, `5000/h`. What is beyond it is answered with
    /// 429.
    #[serde(default)]
    pub rate: Option<Rate>,
    /// The only dialects it is good for; without this all of them, and what the router says of itself.
    #[serde(default)]
    pub dialects: Vec<String>,
}

/// Every request that brings a key is compared with all of them.
const MOST: usize = 1024;

pub(super) fn plan(sections: &[Named<'_>], problems: &mut Problems) -> Keys {
    let mut keys = Vec::new();
    let mut seen: HashMap<Hash, &str> = HashMap::new();
    for Named { name, place, node, .. } in sections {
        let Some(settings): Option<KeySettings> = problems.note(metlog_settings::read(node)) else { continue };
        let KeySettings { scope, hash, rate, dialects } = settings;
        let at = |key: &str| node.get(key).map_or(&node.origin, |node| &node.origin);
        if scope.is_empty() {
            let message = "`scope` is empty; a key is good for `ingest`, `read` or `admin`, or for several of them";
            problems.push(Problem::at(at("scope"), message));
        }
        if let Some(other) = seen.insert(hash, name) {
            let message = format!("`[keys.{other}]` is the same key: nobody could tell which of the two is meant");
            problems.push(Problem::at(at("hash"), message));
        }
        check_dialects("dialects", &dialects, node, problems);
        if keys.len() == MOST {
            problems.push(Problem::at(place, format!("there are at most {MOST} keys")));
            break;
        }
        keys.push(Key::new(*name, hash, scope).within(dialects).at_most(rate));
    }
    Keys::new(keys)
}
