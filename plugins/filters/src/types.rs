use metlog_message::Severity;
use metlog_pipeline::registry::Configured;
use metlog_pipeline::{Event, Filter, FilterEntry, inventory};
use serde::Deserialize;
use std::collections::BTreeSet;

/// Settings of `type_whitelist` and `type_blacklist`.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TypesConfig {
    /// The types; one alone needs no list. Compared whole: Metlog took a single one for a text to search in.
    pub types: BTreeSet<String>,
}

/// Passes these types only.
#[derive(Debug, Clone)]
pub struct TypeWhitelist(BTreeSet<String>);

/// Passes all types but these.
#[derive(Debug, Clone)]
pub struct TypeBlacklist(BTreeSet<String>);

impl TypeWhitelist {
    /// Passes these.
    pub fn new<K: Into<String>>(types: impl IntoIterator<Item = K>) -> Self {
        TypeWhitelist(types.into_iter().map(Into::into).collect())
    }
}

impl TypeBlacklist {
    /// Passes all but these.
    pub fn new<K: Into<String>>(types: impl IntoIterator<Item = K>) -> Self {
        TypeBlacklist(types.into_iter().map(Into::into).collect())
    }
}

impl Filter for TypeWhitelist {
    fn keep(&mut self, event: &Event<'_>) -> bool {
        self.0.contains(&*event.head.kind)
    }

    fn decide(&self, kind: &str, _severity: Severity) -> Option<bool> {
        Some(self.0.contains(kind))
    }
}

impl Filter for TypeBlacklist {
    fn keep(&mut self, event: &Event<'_>) -> bool {
        !self.0.contains(&*event.head.kind)
    }

    fn decide(&self, kind: &str, _severity: Severity) -> Option<bool> {
        Some(!self.0.contains(kind))
    }
}

impl Configured for TypeWhitelist {
    type Config = TypesConfig;
    fn open(config: TypesConfig) -> Result<Self, String> {
        Ok(TypeWhitelist(config.types))
    }
}

impl Configured for TypeBlacklist {
    type Config = TypesConfig;
    fn open(config: TypesConfig) -> Result<Self, String> {
        Ok(TypeBlacklist(config.types))
    }
}

inventory::submit! {
    FilterEntry::of::<TypeWhitelist>(
        "type_whitelist",
        &["type_whitelist_provider", "metlog.filters.type_whitelist", "metlog.filters.type_whitelist_provider"],
        include_str!("../example-type_whitelist.toml"),
    )
}
inventory::submit! {
    FilterEntry::of::<TypeBlacklist>(
        "type_blacklist",
        &["type_blacklist_provider", "metlog.filters.type_blacklist", "metlog.filters.type_blacklist_provider"],
        include_str!("../example-type_blacklist.toml"),
    )
}
