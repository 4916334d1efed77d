//! Several sources over each other, later ones winning key by key. `config` merges; this module carries places through.
//!
//! `config` keeps an origin for each value but none for keys and tables, takes dots in top-level names for paths, and
//! forgets the order of keys. So each source is read into a located tree first, handed to `config`, and what comes
//! back is matched with those trees.

use crate::{Environment, Kind, MAX_BYTES, Node, Origin, Problem, Problems, Table, ini, source, toml, yaml};
use config::{Config, ConfigError, Map, Source, Value, ValueKind};
use std::path::Path;

/// The error of `config::Format`; behind it are our [`Problems`].
pub type Failure = Box<dyn std::error::Error + Send + Sync>;

/// Sources, lowest first.
#[derive(Debug, Clone, Default)]
pub struct Layers {
    environment: Environment,
    trees: Vec<Node>,
    problems: Problems,
}

impl Layers {
    /// Nothing yet; `${VAR}` will be looked up in `environment`.
    pub fn new(environment: Environment) -> Self {
        Layers { environment, ..Layers::default() }
    }

    /// A file, by its extension TOML, YAML, JSON or INI (with flat section names).
    #[must_use]
    pub fn file(mut self, path: &Path) -> Self {
        let name = path.display().to_string();
        let Some(text) = self.problems.note(source::read_file(path, MAX_BYTES)) else { return self };
        match path.extension().and_then(|extension| extension.to_str()) {
            Some("toml") => self.toml(&name, &text),
            Some("ini" | "cfg" | "conf") => self.ini(&name, &text, false),
            Some("yaml" | "yml" | "json") => self.yaml(&name, &text),
            _ => {
                let message =
                    "is of no known kind; its name must end in .toml, .yaml, .yml, .json, .ini, .cfg or .conf";
                self.problems.push(Problem::at(&Origin::named(&name), message));
                self
            }
        }
    }

    /// TOML text; `name` is what problems call it.
    #[must_use]
    pub fn toml(mut self, name: &str, text: &str) -> Self {
        let read = toml::read(name, text, &|variable| self.environment.get(variable));
        self.trees.extend(self.problems.note(read));
        self
    }

    /// YAML or JSON text.
    #[must_use]
    pub fn yaml(mut self, name: &str, text: &str) -> Self {
        let read = yaml::read(name, text, &|variable| self.environment.get(variable));
        self.trees.extend(self.problems.note(read));
        self
    }

    /// INI text; `nested` makes `[a.b]` a section inside `a`.
    #[must_use]
    pub fn ini(mut self, name: &str, text: &str, nested: bool) -> Self {
        let read = ini::read(name, text, nested, &|variable| self.environment.get(variable));
        self.trees.extend(self.problems.note(read));
        self
    }

    /// A tree from elsewhere.
    #[must_use]
    pub fn tree(mut self, tree: Node) -> Self {
        self.trees.push(tree);
        self
    }

    /// Variables such as `PREFIX__SECTION__KEY`, over what is there so far. Names are matched with existing sections
    /// and keys whatever their case, since variables are written in capitals; others become lower case.
    #[must_use]
    pub fn variables(mut self, prefix: &str) -> Self {
        let mut root = Table::default();
        for name in self.environment.names(&format!("{prefix}__")) {
            let origin = Origin::named(&format!("environment variable {name}"));
            let path = name.get(prefix.len() + 2..).unwrap_or_default();
            let mut node = Node::new(origin, Kind::Text(self.environment.get(&name).unwrap_or_default()));
            node.written = Some(format!("${{{name}}}").into());
            let placed = override_with(&mut root, self.trees.iter().collect(), path, node);
            self.problems.note(placed);
        }
        self.tree(Node::new(Origin::named("the environment"), Kind::Table(root)))
    }

    /// All of it as one tree.
    ///
    /// # Errors
    /// Every problem of every source.
    pub fn merge(mut self) -> Result<Node, Problems> {
        let mut builder = Config::builder();
        for tree in &self.trees {
            builder = builder.add_source(Located(tree.clone()));
        }
        let trees: Vec<&Node> = self.trees.iter().collect();
        let merged = builder.build().map(|config| located(&config.cache, &trees, true));
        let merged = self.problems.note(merged.map_err(|error| Problem::anywhere(error.to_string())));
        self.problems.or(merged.unwrap_or_else(|| Node::new(Origin::named("nothing"), Kind::Null)))
    }
}

fn override_with(table: &mut Table, known: Vec<&Node>, path: &str, node: Node) -> Result<(), Problem> {
    let (name, rest) = path.split_once("__").map_or((path, None), |(name, rest)| (name, Some(rest)));
    if name.is_empty() {
        return Err(Problem::at(&node.origin, "must have a name on each side of every `__`"));
    }
    let mut names = known.iter().filter_map(|node| node.as_table()).flat_map(Table::iter).map(|(name, _, _)| name);
    let name = names.find(|known| known.eq_ignore_ascii_case(name)).map_or_else(|| name.to_lowercase(), str::to_owned);
    let Some(rest) = rest else {
        table.insert(name, node.origin.clone(), node);
        return Ok(());
    };
    let below = known.iter().filter_map(|node| node.get(&name)).collect();
    override_with(table.section(&name, &node.origin)?, below, rest, node)
}

/// A tree as `config` sees it.
#[derive(Debug, Clone)]
struct Located(Node);

impl Source for Located {
    fn clone_into_box(&self) -> Box<dyn Source + Send + Sync> {
        Box::new(self.clone())
    }

    fn collect(&self) -> Result<Map<String, Value>, ConfigError> {
        Ok(to_config(&self.0))
    }
}

/// A tree for `config`. Top-level names that it would take apart at their dots are put in quotes.
pub(crate) fn to_config(node: &Node) -> Map<String, Value> {
    let entries = node.as_table().into_iter().flat_map(Table::iter);
    entries.map(|(key, _, node)| (quoted(key), to_value(node))).collect()
}

fn quoted(key: &str) -> String {
    if key.contains(['.', '[']) { format!("\"{key}\"") } else { key.to_owned() }
}

fn to_value(node: &Node) -> Value {
    let kind = match &node.kind {
        Kind::Null | Kind::Hole(_) => ValueKind::Nil,
        Kind::Bool(truth) => ValueKind::Boolean(*truth),
        Kind::Int(number) => i64::try_from(*number).map_or(ValueKind::I128(*number), ValueKind::I64),
        Kind::Float(number) => ValueKind::Float(*number),
        Kind::Text(text) => ValueKind::String(text.clone()),
        Kind::List(list) => ValueKind::Array(list.iter().map(to_value).collect()),
        Kind::Table(table) => {
            ValueKind::Table(table.iter().map(|(k, _, node)| (k.to_owned(), to_value(node))).collect())
        }
    };
    Value::new(Some(&node.origin.to_string()), kind)
}

/// The merged value with the places, order and written text of the trees it came from.
fn located(value: &Value, trees: &[&Node], top: bool) -> Node {
    let origin = value.origin().map_or_else(|| Origin::named("the program"), Origin::parse);
    if let ValueKind::Table(map) = &value.kind {
        let sources: Vec<&Node> = trees.iter().copied().filter(|node| node.as_table().is_some()).collect();
        let origin = sources.first().map_or(origin, |node| node.origin.clone());
        let mut left: Vec<&String> = map.keys().collect();
        left.sort();
        let known = sources.iter().filter_map(|node| node.as_table()).flat_map(Table::iter);
        let known: Vec<String> = known.map(|(key, _, _)| if top { quoted(key) } else { key.to_owned() }).collect();
        let mut table = Table::default();
        for key in known.iter().chain(left) {
            let Some(value) = map.get(key) else { continue };
            let name = if top { unquoted(key) } else { key };
            if table.get(name).is_some() {
                continue;
            }
            let below: Vec<&Node> = sources.iter().filter_map(|node| node.get(name)).collect();
            let node = located(value, &below, false);
            let last = sources.iter().rev().find_map(|node| node.as_table()?.key_origin(name));
            table.insert(name, last.unwrap_or(&node.origin).clone(), node);
        }
        return Node::new(origin, Kind::Table(table));
    }
    let same = trees.iter().rev().find(|node| Some(node.origin.to_string().as_str()) == value.origin());
    same.map_or_else(|| Node::new(origin, plain(value)), |node| (*node).clone())
}

fn unquoted(key: &str) -> &str {
    let inner = key.strip_prefix('"').and_then(|key| key.strip_suffix('"'));
    inner.filter(|inner| inner.contains(['.', '['])).unwrap_or(key)
}

/// A value that some other source of `config` made.
fn plain(value: &Value) -> Kind {
    match &value.kind {
        ValueKind::Nil | ValueKind::Table(_) => Kind::Null,
        ValueKind::Boolean(truth) => Kind::Bool(*truth),
        ValueKind::I64(number) => Kind::Int((*number).into()),
        ValueKind::I128(number) => Kind::Int(*number),
        ValueKind::U64(number) => Kind::Int((*number).into()),
        ValueKind::U128(number) => i128::try_from(*number).map_or_else(|_| Kind::Text(number.to_string()), Kind::Int),
        ValueKind::Float(number) => Kind::Float(*number),
        ValueKind::String(text) => Kind::Text(text.clone()),
        ValueKind::Array(list) => Kind::List(list.iter().map(|value| located(value, &[], false)).collect()),
    }
}

/// What `config` merged from formats of ours and sources of its own: the way in for a builder made elsewhere. Keys
/// have their values' places.
pub fn from_config(config: &Config) -> Node {
    located(&config.cache, &[], true)
}
