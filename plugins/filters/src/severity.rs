use metlog_message::Severity;
use metlog_pipeline::registry::Configured;
use metlog_pipeline::{Event, Filter, FilterEntry, inventory};
use serde::de::{Error, Visitor};
use serde::{Deserialize, Deserializer};
use std::collections::BTreeMap;
use std::fmt;

/// Settings of `severity_max`.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SeverityConfig {
    /// The least severe that passes: with 4, warnings pass and notices do not.
    pub severity: Severity,
}

/// Passes what is at least this severe.
#[derive(Debug, Clone)]
pub struct SeverityMax(Severity);

impl SeverityMax {
    /// The least severe that passes.
    pub const fn new(least: Severity) -> Self {
        SeverityMax(least)
    }
}

impl Filter for SeverityMax {
    fn keep(&mut self, event: &Event<'_>) -> bool {
        event.head.severity <= self.0
    }

    fn decide(&self, _kind: &str, severity: Severity) -> Option<bool> {
        Some(severity <= self.0)
    }
}

impl Configured for SeverityMax {
    type Config = SeverityConfig;
    fn open(config: SeverityConfig) -> Result<Self, String> {
        Ok(SeverityMax(config.severity))
    }
}

/// Settings of `type_severity_max`.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TypeSeverityConfig {
    /// For each type the least severe that passes, as a severity or as a table with `severity`.
    pub types: BTreeMap<String, Limit>,
}

/// A severity, or Metlog's table around it.
#[derive(Debug)]
pub struct Limit(pub Severity);

impl<'de> Deserialize<'de> for Limit {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        struct Either;
        impl<'de> Visitor<'de> for Either {
            type Value = Limit;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a severity, or a table with `severity`")
            }
            fn visit_i64<E: Error>(self, number: i64) -> Result<Limit, E> {
                Severity::deserialize(serde::de::value::I64Deserializer::new(number)).map(Limit)
            }
            fn visit_u64<E: Error>(self, number: u64) -> Result<Limit, E> {
                self.visit_i64(i64::try_from(number).unwrap_or(i64::MAX))
            }
            fn visit_str<E: Error>(self, name: &str) -> Result<Limit, E> {
                Severity::deserialize(serde::de::value::StrDeserializer::new(name)).map(Limit)
            }
            fn visit_map<A: serde::de::MapAccess<'de>>(self, map: A) -> Result<Limit, A::Error> {
                let config = SeverityConfig::deserialize(serde::de::value::MapAccessDeserializer::new(map))?;
                Ok(Limit(config.severity))
            }
        }
        from.deserialize_any(Either)
    }
}

/// Passes every type that is not named, and of the named ones what is at least as severe as their limit.
#[derive(Debug, Clone)]
pub struct TypeSeverityMax(BTreeMap<String, Severity>);

impl TypeSeverityMax {
    /// For each type the least severe that passes.
    pub fn new<K: Into<String>>(limits: impl IntoIterator<Item = (K, Severity)>) -> Self {
        TypeSeverityMax(limits.into_iter().map(|(kind, least)| (kind.into(), least)).collect())
    }

    fn passes(&self, kind: &str, severity: Severity) -> bool {
        self.0.get(kind).is_none_or(|least| severity <= *least)
    }
}

impl Filter for TypeSeverityMax {
    fn keep(&mut self, event: &Event<'_>) -> bool {
        self.passes(&event.head.kind, event.head.severity)
    }

    fn decide(&self, kind: &str, severity: Severity) -> Option<bool> {
        Some(self.passes(kind, severity))
    }
}

impl Configured for TypeSeverityMax {
    type Config = TypeSeverityConfig;
    fn open(config: TypeSeverityConfig) -> Result<Self, String> {
        Ok(TypeSeverityMax::new(config.types.into_iter().map(|(kind, limit)| (kind, limit.0))))
    }
}

inventory::submit! {
    FilterEntry::of::<SeverityMax>(
        "severity_max",
        &["severity_max_provider", "metlog.filters.severity_max", "metlog.filters.severity_max_provider"],
        include_str!("../example-severity_max.toml"),
    )
}
inventory::submit! {
    FilterEntry::of::<TypeSeverityMax>(
        "type_severity_max",
        &["type_severity_max_provider", "metlog.filters.type_severity_max", "metlog.filters.type_severity_max_provider"],
        include_str!("../example-type_severity_max.toml"),
    )
}
