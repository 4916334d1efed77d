use metlog_message::Severity;
use metlog_pipeline::registry::Configured;
use metlog_pipeline::{Event, Filter, FilterEntry, inventory};
use serde::de::value::{I64Deserializer, MapAccessDeserializer, StrDeserializer};
use serde::de::{Error, MapAccess, SeqAccess, Unexpected, Visitor};
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
    /// For each type the least severe that passes: a table of severities, or of tables with `severity` as in Metlog;
    /// or, for INI, which has no tables, lines such as `oldstyle: 4`. Given twice, a type has the last one.
    pub types: Limits,
}

/// For each type the least severe that passes.
#[derive(Debug, Default)]
pub struct Limits(BTreeMap<String, Severity>);

impl<'de> Deserialize<'de> for Limits {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        struct Forms;
        impl<'de> Visitor<'de> for Forms {
            type Value = Limits;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a table of types with a severity each, or lines such as `oldstyle: 4`")
            }
            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Limits, A::Error> {
                let mut limits = Limits::default();
                while let Some((kind, Limit(least))) = map.next_entry::<String, Limit>()? {
                    limits.0.insert(kind, least);
                }
                Ok(limits)
            }
            fn visit_seq<A: SeqAccess<'de>>(self, mut lines: A) -> Result<Limits, A::Error> {
                let mut limits = Limits::default();
                while let Some(Line(kind, least)) = lines.next_element()? {
                    limits.0.insert(kind, least);
                }
                Ok(limits)
            }
            fn visit_str<E: Error>(self, line: &str) -> Result<Limits, E> {
                let Line(kind, least) = Line::deserialize(StrDeserializer::new(line))?;
                Ok(Limits(BTreeMap::from([(kind, least)])))
            }
        }
        from.deserialize_any(Forms)
    }
}

/// A severity, or Metlog's table around it.
struct Limit(Severity);

impl<'de> Deserialize<'de> for Limit {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        struct Either;
        impl<'de> Visitor<'de> for Either {
            type Value = Limit;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a severity, or a table with `severity`")
            }
            fn visit_i64<E: Error>(self, number: i64) -> Result<Limit, E> {
                Severity::deserialize(I64Deserializer::new(number)).map(Limit)
            }
            fn visit_u64<E: Error>(self, number: u64) -> Result<Limit, E> {
                self.visit_i64(i64::try_from(number).unwrap_or(i64::MAX))
            }
            fn visit_str<E: Error>(self, name: &str) -> Result<Limit, E> {
                Severity::deserialize(StrDeserializer::new(name)).map(Limit)
            }
            fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<Limit, A::Error> {
                let config = SeverityConfig::deserialize(MapAccessDeserializer::new(map))?;
                Ok(Limit(config.severity))
            }
        }
        from.deserialize_any(Either)
    }
}

/// `type: severity`. Types may hold colons, severities do not.
struct Line(String, Severity);

impl<'de> Deserialize<'de> for Line {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        struct Text;
        impl Visitor<'_> for Text {
            type Value = Line;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a type and a severity, such as `oldstyle: 4`")
            }
            fn visit_str<E: Error>(self, line: &str) -> Result<Line, E> {
                let parts =
                    line.rsplit_once(':').and_then(|(kind, least)| Some((kind.trim(), Severity::parse(least)?)));
                let (kind, least) = parts.ok_or_else(|| E::invalid_value(Unexpected::Str(line), &self))?;
                Ok(Line(kind.to_owned(), least))
            }
        }
        from.deserialize_str(Text)
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
        Ok(TypeSeverityMax(config.types.0))
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
