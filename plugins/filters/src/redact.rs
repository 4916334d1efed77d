//! Takes out of messages what must not be kept: values by their places and names, and whatever looks like a secret.

mod blot;
mod secrets;
mod walk;

use crate::field::Pattern;
use crate::path::Path;
use metlog_pipeline::registry::Configured;
use metlog_pipeline::{Edit, Event, Filter, FilterEntry, Reason, inventory};
use metlog_settings::{Secret, source};
pub use secrets::Preset;
use secrets::{Mark, Secrets};
use serde::Deserialize;
use std::borrow::Cow;
use std::path::PathBuf;
use std::sync::Arc;
use walk::Walk;

/// More in one list is a mistake, and each costs time with each message.
const MOST: usize = 256;

/// Bytes of what stands in for a secret.
const MAX_MARK: usize = 64;

/// Bytes of a key's file.
const MAX_KEY: usize = 4096;

/// Settings of `redact`. At least one of the four lists.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RedactConfig {
    /// Places of values that must not be kept: in the fields, `payload` or inside it, `logger`, `metlog_hostname`. They
    /// lead through lists, to each of their elements.
    #[serde(default)]
    pub fields: Vec<Path>,
    /// Names of such values wherever they stand, in capitals or not.
    #[serde(default)]
    pub names: Vec<String>,
    /// Regular expressions: what they find in a text, a number or a name must not be kept.
    #[serde(default)]
    pub patterns: Vec<Pattern>,
    /// The same for what many have: `bearer`, `jwt`, `credit-card`, `email`, `aws-key`, `private-key`.
    #[serde(default)]
    pub presets: Vec<Preset>,
    /// What stands there instead; `***` if it is not given.
    pub with: Option<String>,
    /// `mask`: `with` stands there instead; `drop`: nothing does, name included; `hash`: something that is the same for
    /// equal values.
    #[serde(default)]
    pub action: Action,
    /// What hashes are made with, so that nobody else can try values until one fits.
    pub key: Option<Secret>,
    /// A file with the key.
    pub key_file: Option<PathBuf>,
}

/// What happens to a value.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Action {
    /// Something else stands there.
    #[default]
    Mask,
    /// It is gone.
    Drop,
    /// Something stands there that tells equal values from others.
    Hash,
}

/// Takes values out of messages. As an editor it changes them; as a plain filter it passes those in which there is nothing
/// to take out.
#[derive(Debug, Clone)]
pub struct Redact {
    rules: Arc<Rules>,
    scratch: Vec<u8>,
}

#[derive(Debug)]
struct Rules {
    /// Whole: `fields.user.ssn`.
    paths: Vec<String>,
    names: Vec<String>,
    secrets: Secrets,
}

impl Rules {
    fn is_named(&self, name: &str) -> bool {
        self.names.iter().any(|known| known.eq_ignore_ascii_case(name))
    }

    /// Whether a value of this name could be one of those at the places, wherever it stands.
    fn is_at_an_end(&self, name: &str) -> bool {
        let ends = |path: &String| path.strip_suffix(name).is_some_and(|way| way.is_empty() || way.ends_with('.'));
        !name.is_empty() && self.paths.iter().any(ends)
    }
}

impl Filter for Redact {
    fn keep(&mut self, event: &Event<'_>) -> bool {
        self.scratch.clear();
        Walk::over(&self.rules, event.raw, &mut self.scratch).message() == Some(false)
    }

    fn edit(&mut self, event: &Event<'_>, out: &mut Vec<u8>) -> Edit {
        match Walk::over(&self.rules, event.raw, out).message() {
            Some(false) => Edit::Keep,
            Some(true) => Edit::Changed,
            None => Edit::Drop { reason: Reason::Malformed, why: Cow::Borrowed("cannot be searched for secrets") },
        }
    }

    fn blot(&mut self, bytes: &[u8], out: &mut Vec<u8>) -> bool {
        let blotted = blot::blot(&self.rules, &String::from_utf8_lossy(bytes));
        out.extend_from_slice(blotted.as_deref().unwrap_or_default().as_bytes());
        blotted.is_some()
    }

    fn another(&self) -> Option<Box<dyn Filter>> {
        Some(Box::new(Redact { rules: self.rules.clone(), scratch: Vec::new() }))
    }
}

/// A place whose value can be another text.
fn is_open(path: &str) -> bool {
    let first = path.split('.').next().unwrap_or_default();
    ["payload", "logger", "metlog_hostname"].contains(&first) || (first == "fields" && path != first)
}

impl Configured for Redact {
    type Config = RedactConfig;

    fn check(config: &RedactConfig) -> Result<(), String> {
        let RedactConfig { fields, names, patterns, presets, with, action, key, key_file } = config;
        let lists = [("fields", fields.len()), ("names", names.len()), ("patterns", patterns.len())];
        if lists.iter().all(|(_, count)| *count == 0) && presets.is_empty() {
            return Err("`redact` needs `fields`, `names`, `patterns` or `presets`: what must not be kept".into());
        }
        if let Some((name, count)) = lists.iter().find(|(_, count)| *count > MOST) {
            return Err(format!("`{name}` has {count} entries, at most {MOST} are allowed"));
        }
        if let Some(path) = fields.iter().map(Path::to_string).find(|path| !is_open(path)) {
            let right = "a field, `payload` or inside it, `logger` or `metlog_hostname`";
            return Err(format!("`fields`: `{path}` is never changed; name {right}"));
        }
        if names.iter().any(String::is_empty) {
            return Err("`names`: the empty name is none".into());
        }
        if let Some(pattern) = patterns.iter().find(|pattern| pattern.regex().is_match("")) {
            let pattern = pattern.regex().as_str();
            return Err(format!("`patterns`: `{pattern}` is found in the empty text, and so everywhere"));
        }
        match (action, key.is_some() || key_file.is_some()) {
            (Action::Hash, false) => return Err("`action = \"hash\"` needs `key` or `key_file`".into()),
            (Action::Mask | Action::Drop, true) => return Err("`key` is for `action = \"hash\"`".into()),
            _ => {}
        }
        if key.is_some() && key_file.is_some() {
            return Err("`key_file` and `key` are both set; keep one of the two".into());
        }
        if key.as_ref().is_some_and(|key| key.reveal().is_empty()) {
            return Err("`key` is empty".into());
        }
        if let Some(with) = with {
            if *action != Action::Mask {
                return Err("`with` is for `action = \"mask\"`".into());
            }
            if with.len() > MAX_MARK {
                return Err(format!("`with` has {} bytes, at most {MAX_MARK} are allowed", with.len()));
            }
        }
        let mark = with.as_deref().unwrap_or(secrets::MASK);
        if Secrets::new(patterns, presets, Mark::Mask(String::new())).finds(mark) {
            return Err(format!("`with`: `{mark}` itself is found by `patterns`; choose another text"));
        }
        Ok(())
    }

    fn open(config: RedactConfig) -> Result<Self, String> {
        Self::check(&config)?;
        let RedactConfig { fields, names, patterns, presets, with, action, key, key_file } = config;
        let mark = match action {
            Action::Mask => Mark::Mask(with.unwrap_or_else(|| secrets::MASK.to_owned())),
            Action::Drop => Mark::Drop,
            Action::Hash => Mark::hash(&hash_key(key, key_file)?)?,
        };
        let secrets = Secrets::new(&patterns, &presets, mark);
        let paths = fields.iter().map(Path::to_string).collect();
        Ok(Redact { rules: Arc::new(Rules { paths, names, secrets }), scratch: Vec::new() })
    }
}

fn hash_key(key: Option<Secret>, file: Option<PathBuf>) -> Result<Secret, String> {
    let Some(path) = file else { return key.ok_or_else(|| "`key` is missing".to_owned()) };
    let text = source::read_file(&path, MAX_KEY).map_err(|problem| format!("`key_file`: {problem}"))?;
    let text = text.trim_end_matches(['\r', '\n']);
    if text.is_empty() { Err(format!("`key_file`: {} is empty", path.display())) } else { Ok(Secret::new(text)) }
}

inventory::submit! {
    FilterEntry::of::<Redact>("redact", &[], include_str!("../example-redact.toml"))
}
