//! YAML, and JSON as the part of it that it is, to the same located tree. The crate `saphyr-parser` gives events with
//! places; what a plain scalar means is YAML 1.2's core schema, in which `no` is a text.
//!
//! Anchors, aliases, tags and several documents are refused: a configuration needs none, and aliases of aliases are how
//! a small file becomes a large one.

use crate::expand::{Expander, has_references};
use crate::{Environment, Kind, Lookup, MAX_DEPTH, Node, Origin, Problem, Problems, Table, layers, source};
use saphyr_parser::{Event, Marker, Parser, ScalarStyle, ScanError, Span};
use std::sync::Arc;

/// The YAML format: for [`read()`], for [`crate::Layers`], and for `config::File`.
#[derive(Debug, Clone, Default)]
pub struct Yaml {
    /// Where `${VAR}` is looked up when `config` does the reading.
    pub environment: Environment,
}

/// Reads YAML or JSON text; `file` is what problems call it.
///
/// # Errors
/// The first mistake of form, or else all problems of the values.
pub fn read(file: &str, text: &str, lookup: Lookup<'_>) -> Result<Node, Problems> {
    source::check(file, text)?;
    let mut reader = Reader {
        file: file.into(),
        expander: Expander::new(lookup),
        problems: Problems::new(),
        open: Vec::new(),
        root: None,
    };
    for event in Parser::new_from_str(text) {
        let (event, span) = event.map_err(|error| reader.malformed(&error))?;
        let origin = reader.origin(span);
        reader.take(event, origin)?;
    }
    let root = reader.root.unwrap_or_else(|| Node::new(Origin::new(&reader.file, 1, 1), Kind::Null));
    reader.problems.sort();
    reader.problems.or(match root.kind {
        Kind::Null => Node::new(root.origin, Kind::Table(Table::default())),
        _ => root,
    })
}

/// A list or mapping whose end has not come.
enum Open {
    List(Origin, Vec<Node>),
    /// With the key whose value comes next.
    Map(Origin, Table, Option<(String, Origin)>),
}

struct Reader<'a> {
    file: Arc<str>,
    expander: Expander<'a>,
    problems: Problems,
    open: Vec<Open>,
    root: Option<Node>,
}

impl Reader<'_> {
    fn origin(&self, span: Span) -> Origin {
        self.place(&span.start)
    }

    fn place(&self, marker: &Marker) -> Origin {
        let number = |place: usize| u32::try_from(place).unwrap_or(u32::MAX);
        Origin::new(&self.file, number(marker.line()), number(marker.col()).saturating_add(1))
    }

    fn malformed(&self, error: &ScanError) -> Problem {
        Problem::at(&self.place(error.marker()), error.info())
    }

    fn take(&mut self, event: Event<'_>, origin: Origin) -> Result<(), Problem> {
        let plain =
            |what: &str| Problem::at(&origin, format!("{what} are not understood here: write the value itself"));
        match event {
            Event::Alias(_) => return Err(plain("aliases (`*name`)")),
            Event::Scalar(_, _, anchor, _) | Event::SequenceStart(anchor, _) | Event::MappingStart(anchor, _)
                if anchor > 0 =>
            {
                return Err(plain("anchors (`&name`)"));
            }
            Event::Scalar(_, _, _, Some(_)) | Event::SequenceStart(_, Some(_)) | Event::MappingStart(_, Some(_)) => {
                return Err(plain("tags (`!name`)"));
            }
            Event::DocumentStart(_) if self.root.is_some() => {
                return Err(Problem::at(&origin, "a second document begins here, and one is all a configuration has"));
            }
            Event::Scalar(text, style, _, _) => return self.scalar(&text, style, origin),
            Event::SequenceStart(..) => self.begin(Open::List(origin, Vec::new()))?,
            Event::MappingStart(..) => self.begin(Open::Map(origin, Table::default(), None))?,
            Event::SequenceEnd | Event::MappingEnd => {
                let node = match self.open.pop() {
                    Some(Open::List(origin, items)) => Node::new(origin, Kind::List(items)),
                    Some(Open::Map(origin, table, _)) => Node::new(origin, Kind::Table(table)),
                    None => return Ok(()),
                };
                return self.put(node);
            }
            _ => {}
        }
        Ok(())
    }

    fn begin(&mut self, open: Open) -> Result<(), Problem> {
        let (Open::List(origin, _) | Open::Map(origin, ..)) = &open;
        if self.open.len() >= MAX_DEPTH {
            return Err(Problem::at(origin, format!("is nested deeper than {MAX_DEPTH} levels")));
        }
        if let Some(Open::Map(_, _, None)) = self.open.last() {
            return Err(Problem::at(origin, "a list or mapping cannot be a key"));
        }
        self.open.push(open);
        Ok(())
    }

    fn scalar(&mut self, text: &str, style: ScalarStyle, origin: Origin) -> Result<(), Problem> {
        if let Some(Open::Map(_, table, key @ None)) = self.open.last_mut() {
            if table.get(text).is_some() {
                return Err(Problem::at(&origin, format!("`{text}` is here a second time")));
            }
            *key = Some((text.to_owned(), origin));
            return Ok(());
        }
        if has_references(text) {
            let expanded = self.expander.expand(text).map_err(|message| Problem::at(&origin, message));
            let kind = Kind::Text(self.problems.note(expanded).unwrap_or_default());
            return self.put(Node { origin, kind, written: Some(text.into()) });
        }
        let kind = if style == ScalarStyle::Plain { plain(text) } else { Kind::Text(text.to_owned()) };
        // A password may be 007.
        let written = matches!(kind, Kind::Int(_) | Kind::Bool(_)).then(|| text.into());
        self.put(Node { origin, kind, written })
    }

    fn put(&mut self, node: Node) -> Result<(), Problem> {
        match self.open.last_mut() {
            None => self.root = Some(node),
            Some(Open::List(_, items)) => items.push(node),
            Some(Open::Map(_, table, key)) => match key.take() {
                Some((key, origin)) => table.insert(key, origin, node),
                None => return Err(Problem::at(&node.origin, "a list or mapping cannot be a key")),
            },
        }
        Ok(())
    }
}

/// What a scalar without quotes means.
fn plain(text: &str) -> Kind {
    let digits = |prefix: &str, radix| i128::from_str_radix(text.strip_prefix(prefix)?, radix).ok();
    match text {
        "" | "~" | "null" | "Null" | "NULL" => Kind::Null,
        "true" | "True" | "TRUE" => Kind::Bool(true),
        "false" | "False" | "FALSE" => Kind::Bool(false),
        ".inf" | ".Inf" | ".INF" | "+.inf" => Kind::Float(f64::INFINITY),
        "-.inf" | "-.Inf" | "-.INF" => Kind::Float(f64::NEG_INFINITY),
        ".nan" | ".NaN" | ".NAN" => Kind::Float(f64::NAN),
        _ => {
            let whole = digits("0x", 16).or_else(|| digits("0o", 8)).or_else(|| text.parse().ok());
            // `parse` would take words such as `infinity`, too.
            let numeric = text.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'+' | b'-' | b'.' | b'e' | b'E'));
            let float = || text.parse().ok().filter(|_| numeric).map(Kind::Float);
            whole.map(Kind::Int).or_else(float).unwrap_or_else(|| Kind::Text(text.to_owned()))
        }
    }
}

impl config::Format for Yaml {
    fn parse(&self, uri: Option<&String>, text: &str) -> Result<config::Map<String, config::Value>, layers::Failure> {
        let file = uri.map_or("<text>", String::as_str);
        let node = read(file, text, &|name| self.environment.get(name))?;
        Ok(layers::to_config(&node))
    }
}

impl config::FileStoredFormat for Yaml {
    fn file_extensions(&self) -> &'static [&'static str] {
        &["yaml", "yml", "json"]
    }
}
