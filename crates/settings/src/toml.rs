//! TOML to the same located tree. The crate `toml` parses and gives byte spans; values may hold `${VAR}` as in INI.

use crate::expand::{Expander, has_references};
use crate::origin::Places;
use crate::{Environment, Kind, Lookup, MAX_DEPTH, Node, Problem, Problems, Table, layers, source};
use ::toml::Spanned;
use ::toml::de::{DeTable, DeValue};

/// The TOML format: for [`read()`], for [`crate::Layers`], and for `config::File`.
#[derive(Debug, Clone, Default)]
pub struct Toml {
    /// Where `${VAR}` is looked up when `config` does the reading.
    pub environment: Environment,
}

/// Reads TOML text; `file` is what problems call it.
///
/// # Errors
/// All problems of the text at once.
pub fn read(file: &str, text: &str, lookup: Lookup<'_>) -> Result<Node, Problems> {
    source::check(file, text)?;
    let places = Places::new(file, text);
    let (table, errors) = DeTable::parse_recoverable(text);
    let mut reader = Reader { places, expander: Expander::new(lookup), problems: Problems::new() };
    for error in errors {
        let origin = reader.places.at(error.span().map_or(text.len(), |span| span.start));
        reader.problems.push(Problem::at(&origin, error.message()));
    }
    // What stands around a mistake may have been understood wrongly: no second opinion on it.
    if !reader.problems.is_empty() {
        return Err(reader.problems);
    }
    let kind = reader.table(table.into_inner(), 0);
    reader.problems.sort();
    reader.problems.or(Node::new(reader.places.at(0), kind))
}

struct Reader<'a> {
    places: Places<'a>,
    expander: Expander<'a>,
    problems: Problems,
}

impl Reader<'_> {
    fn table(&mut self, table: DeTable<'_>, depth: usize) -> Kind {
        let mut entries: Vec<_> = table.into_iter().collect();
        entries.sort_by_key(|(key, _)| key.span().start);
        let mut table = Table::default();
        for (key, value) in entries {
            let key_origin = self.places.at(key.span().start);
            let node = self.value(value, depth + 1);
            table.insert(key.into_inner(), key_origin, node);
        }
        Kind::Table(table)
    }

    fn value(&mut self, value: Spanned<DeValue<'_>>, depth: usize) -> Node {
        let origin = self.places.at(value.span().start);
        if depth > MAX_DEPTH {
            self.problems.push(Problem::at(&origin, format!("is nested deeper than {MAX_DEPTH} levels")));
            return Node::new(origin, Kind::Null);
        }
        let kind = match value.into_inner() {
            DeValue::String(text) if has_references(&text) => {
                let expanded = self.expander.expand(&text).map_err(|message| Problem::at(&origin, message));
                let kind = Kind::Text(self.problems.note(expanded).unwrap_or_default());
                return Node { origin, kind, written: Some(text.into()) };
            }
            DeValue::String(text) => Kind::Text(text.into_owned()),
            DeValue::Integer(number) => match i128::from_str_radix(number.as_str(), number.radix()) {
                Ok(number) => Kind::Int(number),
                Err(_) => Kind::Text(number.to_string()),
            },
            DeValue::Float(number) => match number.as_str().parse() {
                Ok(number) => Kind::Float(number),
                Err(_) => Kind::Text(number.to_string()),
            },
            DeValue::Boolean(truth) => Kind::Bool(truth),
            DeValue::Datetime(time) => Kind::Text(time.to_string()),
            DeValue::Array(list) => Kind::List(list.into_iter().map(|value| self.value(value, depth + 1)).collect()),
            DeValue::Table(table) => self.table(table, depth),
        };
        Node::new(origin, kind)
    }
}

impl config::Format for Toml {
    fn parse(&self, uri: Option<&String>, text: &str) -> Result<config::Map<String, config::Value>, layers::Failure> {
        let file = uri.map_or("<text>", String::as_str);
        let node = read(file, text, &|name| self.environment.get(name))?;
        Ok(layers::to_config(&node))
    }
}

impl config::FileStoredFormat for Toml {
    fn file_extensions(&self) -> &'static [&'static str] {
        &["toml"]
    }
}
