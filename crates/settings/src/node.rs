//! The located tree that every format is read into and every settings struct is read from.

use crate::{Origin, Problem};
use serde_json::Value;
use std::collections::BTreeMap;

/// A value and where it was written.
#[derive(Debug, Clone, PartialEq)]
pub struct Node {
    /// Where the value begins; for a section, its header.
    pub origin: Origin,
    /// The value.
    pub kind: Kind,
    /// The file's own text, where the value no longer tells it: `007` and `off` in INI, `${TOKEN}` for what stood in
    /// the variable. It answers when text is asked for after all (a password may be `007`), and it is what errors
    /// show, so that no secret gets into a log.
    pub written: Option<Box<str>>,
}

/// What a value is.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub enum Kind {
    /// JSON's null; neither INI nor TOML has it.
    Null,
    /// `true` or `false`, in INI also `yes`, `on`, `t` and their opposites.
    Bool(bool),
    /// A whole number. One beyond 128 bits stays text.
    Int(i128),
    /// Any other number. INI has none: there it stays text until a number is asked for.
    Float(f64),
    /// Text.
    Text(String),
    /// A list.
    List(Vec<Node>),
    /// A section or inline table.
    Table(Table),
    /// Stands for a value already reported as wrong or missing, while the rest is checked. Only inside [`crate::read()`].
    #[doc(hidden)]
    Hole(u8),
}

/// What a hole tries to pass for, one after the other, where nothing is known about what is asked for. After the last
/// one the table or list around it does without it.
pub(crate) const DISGUISES: u8 = 5;

/// Keys and values in the order of the file.
#[derive(Debug, Clone, Default)]
pub struct Table {
    entries: BTreeMap<String, Entry>,
    next: usize,
}

#[derive(Debug, Clone)]
struct Entry {
    order: usize,
    key: Origin,
    node: Node,
}

/// The same entries in the same order, however they came about.
impl PartialEq for Table {
    fn eq(&self, other: &Self) -> bool {
        self.iter().eq(other.iter())
    }
}

impl Table {
    /// The value of a key.
    pub fn get(&self, key: &str) -> Option<&Node> {
        self.entries.get(key).map(|entry| &entry.node)
    }

    /// The same, to change it.
    pub fn get_mut(&mut self, key: &str) -> Option<&mut Node> {
        self.entries.get_mut(key).map(|entry| &mut entry.node)
    }

    /// Where the key itself was written.
    pub fn key_origin(&self, key: &str) -> Option<&Origin> {
        self.entries.get(key).map(|entry| &entry.key)
    }

    /// Adds or replaces; a replaced key keeps its position.
    pub fn insert(&mut self, key: impl Into<String>, key_origin: Origin, node: Node) {
        let key = key.into();
        let order = self.entries.get(&key).map_or(self.next, |entry| entry.order);
        self.next += 1;
        self.entries.insert(key, Entry { order, key: key_origin, node });
    }

    /// Takes a key out.
    pub fn remove(&mut self, key: &str) -> Option<Node> {
        self.entries.remove(key).map(|entry| entry.node)
    }

    /// How many keys.
    pub fn len(&self) -> usize {
        self.entries.len()
    }

    /// Whether there is no key.
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// Key, where it was written, and value; in the order of the file.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &Origin, &Node)> {
        let mut all: Vec<_> = self.entries.iter().collect();
        all.sort_by_key(|(_, entry)| entry.order);
        all.into_iter().map(|(key, entry)| (key.as_str(), &entry.key, &entry.node))
    }

    /// The table under this key, made if there is none yet.
    pub(crate) fn section(&mut self, key: &str, origin: &Origin) -> Result<&mut Table, Problem> {
        if !self.entries.contains_key(key) {
            self.insert(key, origin.clone(), Node::new(origin.clone(), Kind::Table(Table::default())));
        }
        match self.entries.get_mut(key) {
            Some(Entry { node: Node { kind: Kind::Table(table), .. }, .. }) => Ok(table),
            Some(Entry { key: first, .. }) => {
                Err(Problem::at(origin, format!("`{key}` cannot be a section, it has a value since {first}")))
            }
            None => Err(Problem::at(origin, format!("`{key}` cannot be a section"))),
        }
    }
}

impl Node {
    /// A value at a place.
    pub fn new(origin: Origin, kind: Kind) -> Self {
        Node { origin, kind, written: None }
    }

    /// The value of a key, if this is a table that has it.
    pub fn get(&self, key: &str) -> Option<&Node> {
        self.as_table().and_then(|table| table.get(key))
    }

    /// Whether this is a hole that nothing fits.
    pub(crate) fn is_gone(&self) -> bool {
        matches!(self.kind, Kind::Hole(at) if at > DISGUISES)
    }

    /// The table, if this is one.
    pub fn as_table(&self) -> Option<&Table> {
        match &self.kind {
            Kind::Table(table) => Some(table),
            _ => None,
        }
    }

    /// The same, to change it.
    pub fn as_table_mut(&mut self) -> Option<&mut Table> {
        match &mut self.kind {
            Kind::Table(table) => Some(table),
            _ => None,
        }
    }

    /// The list, if this is one.
    pub fn as_list(&self) -> Option<&[Node]> {
        match &self.kind {
            Kind::List(list) => Some(list),
            _ => None,
        }
    }

    /// The text, if this is text, or something that the file wrote as bare text.
    pub fn as_str(&self) -> Option<&str> {
        match &self.kind {
            Kind::Text(text) => Some(text),
            Kind::Bool(_) | Kind::Int(_) => self.written.as_deref(),
            _ => None,
        }
    }

    /// The same tree from JSON, for settings that come from a program and not from a file.
    pub fn from_json(value: &Value) -> Self {
        let origin = Origin::named("the program");
        let kind = match value {
            Value::Null => Kind::Null,
            Value::Bool(truth) => Kind::Bool(*truth),
            Value::Number(number) => match (number.as_i128(), number.as_f64()) {
                (Some(whole), _) => Kind::Int(whole),
                (None, Some(float)) => Kind::Float(float),
                (None, None) => Kind::Text(number.to_string()),
            },
            Value::String(text) => Kind::Text(text.clone()),
            Value::Array(list) => Kind::List(list.iter().map(Node::from_json).collect()),
            Value::Object(map) => {
                let mut table = Table::default();
                for (key, value) in map {
                    table.insert(key, origin.clone(), Node::from_json(value));
                }
                Kind::Table(table)
            }
        };
        Node::new(origin, kind)
    }

    /// The values as JSON. Nothing is redacted: secrets are in clear. What JSON has no number for becomes text.
    pub fn to_json(&self) -> Value {
        match &self.kind {
            Kind::Null | Kind::Hole(_) => Value::Null,
            Kind::Bool(truth) => Value::Bool(*truth),
            Kind::Int(number) => match (i64::try_from(*number), u64::try_from(*number)) {
                (Ok(number), _) => number.into(),
                (_, Ok(number)) => number.into(),
                _ => number.to_string().into(),
            },
            Kind::Float(number) => {
                serde_json::Number::from_f64(*number).map_or_else(|| number.to_string().into(), Value::Number)
            }
            Kind::Text(text) => text.as_str().into(),
            Kind::List(list) => list.iter().map(Node::to_json).collect(),
            Kind::Table(table) => table.iter().map(|(key, _, node)| (key.to_owned(), node.to_json())).collect(),
        }
    }
}
