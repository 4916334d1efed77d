//! `schema`: what a configuration can look like, for editors that complete and check while one types.
//!
//! It is made from the types that read the configuration, so it knows what this program knows, plugins included. It is
//! stricter than they are where they are lenient: a number is written as one, or as a `${VARIABLE}`, not as text.

use super::{exit, lists};
use crate::config::{EndpointKeys, FleetSettings, HttpInput, KeySettings, RouterSettings, SpoolSettings};
use metlog_http::server::DialectEntry;
use metlog_pipeline::describe::{Form, Shape, describe};
use metlog_pipeline::{BeaconEntry, EndpointEntry, FilterEntry, InputEntry, SenderEntry};
use metlog_settings::{Kind, Node, Problems, Table, toml};
use serde_json::{Map, Value, json};
use std::collections::BTreeMap;
use std::io::Write;
use std::process::ExitCode;

/// Arguments of `schema`.
#[derive(clap::Args, Debug)]
pub struct Schema {}

impl Schema {
    pub(super) fn go(self) -> ExitCode {
        let text = format!("{:#}\n", schema());
        match std::io::stdout().write_all(text.as_bytes()) {
            Ok(()) => ExitCode::SUCCESS,
            Err(_) => exit::failed(),
        }
    }
}

/// Where a text stands for something else that will only be known at the start.
const VARIABLE: &str = r"\$\{";

/// The configuration's JSON Schema, draft 7, which all editors know.
pub fn schema() -> Value {
    let texts = source_texts();
    let own = |name: &str, shape: Shape| table(&shape, texts.get(name).unwrap_or(&BTreeMap::new()));
    let common = common(&own);
    let kinds = [inputs(&own), filters(), endpoints(&common)];
    let mut definitions = Map::from_iter([(COMMON.to_owned(), common)]);
    let mut properties = Map::new();
    properties.insert("router".to_owned(), own("RouterSettings", describe::<RouterSettings>()));
    properties.insert("spool".to_owned(), own("SpoolSettings", describe::<SpoolSettings>()));
    let key = own("KeySettings", describe::<KeySettings>());
    properties.insert("keys".to_owned(), keys(key));
    for kind in kinds {
        let singular = kind.name;
        properties.insert(format!("{singular}s"), kind.sections());
        definitions.insert(singular.to_owned(), kind.any());
        for plugin in kind.plugins {
            definitions.insert(format!("{singular}.{}", plugin.name), plugin.section);
        }
    }
    let fleet = fleet(&own);
    let usual = reference(fleet.name, "nats");
    let any = json!({ "$ref": "#/definitions/fleet" });
    let section = json!({ "if": { "required": ["type"] }, "then": any, "else": &usual, "anyOf": [&usual, true] });
    properties.insert("fleet".to_owned(), section);
    definitions.insert("fleet".to_owned(), fleet.any());
    definitions.extend(fleet.plugins.into_iter().map(|plugin| (format!("fleet.{}", plugin.name), plugin.section)));
    json!({
        "$schema": "http://json-schema.org/draft-07/schema#",
        "title": format!("metlog-router {}", env!("CARGO_PKG_VERSION")),
        "type": "object",
        "properties": properties,
        "additionalProperties": false,
        "definitions": definitions,
    })
}

fn keys(mut key: Value) -> Value {
    name_dialects(&mut key, &["dialects"]);
    if let Some(section) = key.as_object_mut() {
        section.insert("required".to_owned(), json!(["scope", "hash"]));
    }
    let names = json!({ "pattern": "^[A-Za-z0-9_.-]{1,64}$" });
    json!({ "type": "object", "propertyNames": names, "additionalProperties": key })
}

/// One kind of section: `inputs`, `filters` or `endpoints`.
struct Sections {
    name: &'static str,
    plugins: Vec<Plugin>,
}

/// What a section's `type` can be.
struct Plugin {
    name: &'static str,
    aliases: &'static [&'static str],
    /// The section's schema.
    section: Value,
}

impl Plugin {
    fn names(&self) -> impl Iterator<Item = &'static str> {
        std::iter::once(self.name).chain(self.aliases.iter().copied())
    }
}

fn reference(kind: &str, name: &str) -> Value {
    json!({ "$ref": format!("#/definitions/{kind}.{name}") })
}

impl Sections {
    /// A section that says its type. Conditions give exact errors; the alternatives, of which one is always met, are for
    /// editors that look there for what can be completed.
    fn any(&self) -> Value {
        let names: Vec<&str> = self.plugins.iter().flat_map(Plugin::names).collect();
        let cases = self.plugins.iter().map(|plugin| {
            let these: Vec<&str> = plugin.names().collect();
            json!({
                "if": { "properties": { "type": { "enum": these } }, "required": ["type"] },
                "then": reference(self.name, plugin.name),
            })
        });
        let mut hints: Vec<Value> = self.plugins.iter().map(|plugin| reference(self.name, plugin.name)).collect();
        hints.push(json!(true));
        json!({
            "type": "object",
            "properties": { "type": { "enum": names } },
            "required": ["type"],
            "allOf": cases.collect::<Vec<_>>(),
            "anyOf": hints,
        })
    }

    /// All sections of this kind. One with a plugin's name needs no type, and may have another.
    fn sections(&self) -> Value {
        let any = json!({ "$ref": format!("#/definitions/{}", self.name) });
        let mut named = Map::new();
        for plugin in &self.plugins {
            let this = reference(self.name, plugin.name);
            for name in plugin.names() {
                let section =
                    json!({ "if": { "required": ["type"] }, "then": &any, "else": &this, "anyOf": [&this, true] });
                named.insert(name.to_owned(), section);
            }
        }
        json!({
            "type": "object",
            "propertyNames": { "pattern": "^[A-Za-z0-9_.-]{1,64}$" },
            "properties": named,
            "additionalProperties": any,
        })
    }
}

fn inputs(own: &dyn Fn(&str, Shape) -> Value) -> Sections {
    let plugin = |entry: &&'static InputEntry| {
        let read = |node: &Node| (entry.read)(node).map(drop);
        plugin(entry.name, entry.aliases, entry.example, &(entry.describe)(), &read)
    };
    let mut plugins: Vec<Plugin> = InputEntry::all().iter().map(plugin).collect();
    let mut http = own("HttpInput", describe::<HttpInput>());
    name_dialects(&mut http, &["dialects", "keyless"]);
    set(&mut http, "type", json!({ "const": "http" }));
    for entry in DialectEntry::all() {
        set(&mut http, entry.name, json!({ "type": "object", "description": "What this dialect is told." }));
    }
    plugins.push(Plugin { name: "http", aliases: &[], section: http });
    Sections { name: "input", plugins }
}

/// These keys hold names of dialects.
fn name_dialects(section: &mut Value, keys: &[&str]) {
    let dialects: Vec<&str> = DialectEntry::all().into_iter().map(|entry| entry.name).collect();
    for key in keys {
        if let Some(property) = section.pointer_mut(&format!("/properties/{key}")) {
            let text = property.get("description").and_then(Value::as_str).unwrap_or_default().to_owned();
            *property = described(list(json!({ "enum": dialects })), &text);
        }
    }
}

fn filters() -> Sections {
    let plugin = |entry: &&'static FilterEntry| {
        let read = |node: &Node| (entry.read)(node).map(drop);
        plugin(entry.name, entry.aliases, &lists::of_client(entry.example, entry.name), &(entry.describe)(), &read)
    };
    let mut plugins: Vec<Plugin> = FilterEntry::all().iter().map(plugin).collect();
    let words = [
        ("any", "Passes what one of these passes."),
        ("all", "Passes what all of these pass."),
        ("not", "Passes what none of these passes."),
    ];
    plugins.extend(words.into_iter().map(|(name, what)| {
        let of = list(json!({ "type": "string" }));
        let section = json!({
            "type": "object",
            "description": what,
            "properties": { "type": { "const": name }, "of": described(of, "Names of filters.") },
            "required": ["of"],
            "additionalProperties": false,
        });
        Plugin { name, aliases: &[], section }
    }));
    Sections { name: "filter", plugins }
}

/// The name of what every endpoint can be told.
const COMMON: &str = "endpoint-keys";

fn common(own: &dyn Fn(&str, Shape) -> Value) -> Value {
    let mut common = own("EndpointKeys", describe::<EndpointKeys>());
    let names = || list(json!({ "type": "string" }));
    set(&mut common, "from_inputs", described(names(), "The inputs it takes from; without this, all."));
    set(&mut common, "filters", described(names(), "Filters a message has to pass, in this order."));
    common
}

fn endpoints(common: &Value) -> Sections {
    let mut plugins: BTreeMap<&str, Plugin> = BTreeMap::new();
    for entry in SenderEntry::all() {
        let read = |node: &Node| (entry.read)(node).map(drop);
        let example = lists::of_client(entry.example, entry.name);
        plugins.insert(entry.name, plugin(entry.name, entry.aliases, &example, &(entry.describe)(), &read));
    }
    for entry in EndpointEntry::all() {
        let read = |node: &Node| (entry.read)(node).map(drop);
        plugins.insert(entry.name, plugin(entry.name, entry.aliases, entry.example, &(entry.describe)(), &read));
    }
    for plugin in plugins.values_mut() {
        for key in common.get("properties").and_then(Value::as_object).into_iter().flat_map(Map::keys) {
            set(&mut plugin.section, key, json!({ "$ref": format!("#/definitions/{COMMON}/properties/{key}") }));
        }
    }
    Sections { name: "endpoint", plugins: plugins.into_values().collect() }
}

/// `[fleet]`, by its type.
fn fleet(own: &dyn Fn(&str, Shape) -> Value) -> Sections {
    let common = own("FleetSettings", describe::<FleetSettings>());
    let plugin = |entry: &&'static BeaconEntry| {
        let read = |node: &Node| (entry.read)(node).map(drop);
        let mut plugin = plugin(entry.name, entry.aliases, entry.example, &(entry.describe)(), &read);
        for (key, value) in common.get("properties").and_then(Value::as_object).into_iter().flatten() {
            set(&mut plugin.section, key, value.clone());
        }
        plugin
    };
    Sections { name: "fleet", plugins: BeaconEntry::all().iter().map(plugin).collect() }
}

type Read<'a> = &'a dyn Fn(&Node) -> Result<(), Problems>;

/// A plugin's section: its keys, what its example says of each, and those it cannot do without.
fn plugin(
    name: &'static str,
    aliases: &'static [&'static str],
    example: &str,
    shape: &Shape,
    read: Read<'_>,
) -> Plugin {
    let mut section = table(shape, &remarks(example));
    set(&mut section, "type", json!({ "const": name }));
    if let Some(type_key) = section.pointer_mut("/properties/type").filter(|_| !aliases.is_empty()) {
        let names: Vec<&str> = std::iter::once(name).chain(aliases.iter().copied()).collect();
        *type_key = json!({ "enum": names });
    }
    let needed = needed(shape, example, read);
    if let (Some(section), false) = (section.as_object_mut(), needed.is_empty()) {
        section.insert("allOf".to_owned(), Value::Array(needed));
    }
    Plugin { name, aliases, section }
}

/// The keys without which the example is refused, each with the other names it goes by.
fn needed(shape: &Shape, example: &str, read: Read<'_>) -> Vec<Value> {
    let Some(Form::Table { fields, .. }) = shape.forms.first() else { return Vec::new() };
    let Some(given) = first_section(example) else { return Vec::new() };
    let known = |key: &str| fields.iter().any(|(name, _)| name == key);
    let table = |keep: &dyn Fn(&str) -> Option<String>| {
        let mut table = Table::default();
        for (key, place, node) in given.as_table().into_iter().flat_map(Table::iter).filter(|(key, _, _)| known(key)) {
            if let Some(key) = keep(key) {
                table.insert(key, place.clone(), node.clone());
            }
        }
        Node::new(given.origin.clone(), Kind::Table(table))
    };
    let missing = |key: &str, node: &Node| {
        let said = format!("missing key `{key}`");
        read(node).is_err_and(|problems| problems.iter().any(|problem| problem.message == said))
    };
    let keys: Vec<&str> = fields.iter().map(|(name, _)| name.as_str()).collect();
    let needed = keys.iter().filter(|key| missing(key, &table(&|other| (other != **key).then(|| other.to_owned()))));
    let groups = needed.map(|key| {
        let stands_in = |other: &&&str| {
            read(&table(&|k| Some(if k == *key { (**other).to_owned() } else { k.to_owned() }))).is_ok()
        };
        let names: Vec<Value> = keys.iter().filter(stands_in).map(|name| json!({ "required": [name] })).collect();
        match names.as_slice() {
            [] => json!({ "required": [key] }),
            [one] => one.clone(),
            _ => json!({ "anyOf": names }),
        }
    });
    groups.collect()
}

/// The first `[kind.name]` in an example.
fn first_section(example: &str) -> Option<Node> {
    let root = toml::read("example", example, &|_| None).ok()?;
    let (_, _, kind) = root.as_table()?.iter().next()?;
    let (_, _, section) = kind.as_table()?.iter().next()?;
    Some(section.clone())
}

fn table(shape: &Shape, texts: &BTreeMap<String, String>) -> Value {
    let mut value = value(shape);
    for (key, text) in texts {
        if let Some(property) = value.pointer_mut(&format!("/properties/{key}")) {
            let of_type =
                property.get("description").and_then(Value::as_str).map(|of_type| format!("{text} ({of_type})"));
            *property = described(property.take(), of_type.as_deref().unwrap_or(text));
        }
    }
    value
}

fn described(mut value: Value, text: &str) -> Value {
    if let Some(object) = value.as_object_mut() {
        object.insert("description".to_owned(), json!(text));
    }
    value
}

fn set(section: &mut Value, key: &str, value: Value) {
    if let Some(properties) = section.get_mut("properties").and_then(Value::as_object_mut) {
        properties.insert(key.to_owned(), value);
    }
}

/// A list, or one that is not written as a list.
fn list(element: Value) -> Value {
    json!({ "anyOf": [&element, { "type": "array", "items": &element }] })
}

fn value(shape: &Shape) -> Value {
    let any_text = shape.forms.contains(&Form::Text);
    let mut forms: Vec<Value> = shape.forms.iter().map(|one| form(one, any_text)).collect();
    let value = match forms.len() {
        0 => json!({}),
        1 => forms.remove(0),
        _ => json!({ "anyOf": forms }),
    };
    match &shape.expected {
        Some(text) => described(value, text),
        None => value,
    }
}

/// `any_text`: another form of the same value is text, whatever it says.
fn form(form: &Form, any_text: bool) -> Value {
    let scalar = |word: &str| match any_text {
        true => json!({ "type": word }),
        false => json!({ "type": [word, "string"], "pattern": VARIABLE }),
    };
    match form {
        Form::Truth => scalar("boolean"),
        Form::Number => scalar("number"),
        Form::Text => json!({ "type": "string" }),
        Form::Choice(words) => json!({ "anyOf": [{ "enum": words }, { "type": "string", "pattern": VARIABLE }] }),
        Form::List(element) => list(value(element)),
        Form::Map(element) => json!({ "type": "object", "additionalProperties": value(element) }),
        Form::Whole { least, most } => {
            let mut value = scalar("integer");
            for (word, bound) in [("minimum", least), ("maximum", most)] {
                if let (Some(object), Some(bound)) = (value.as_object_mut(), bound) {
                    object.insert(word.to_owned(), json!(bound));
                }
            }
            value
        }
        Form::Table { fields, closed } => {
            let properties: Map<String, Value> =
                fields.iter().map(|(name, shape)| (name.clone(), value(shape))).collect();
            json!({ "type": "object", "properties": properties, "additionalProperties": !closed })
        }
    }
}

/// What an example says of its keys: the comment behind each, whether the line itself is a comment or not.
fn remarks(example: &str) -> BTreeMap<String, String> {
    let remark = |line: &str| {
        let line = line.trim_start_matches(['#', ' ']);
        let (key, rest) = line.split_once(" = ")?;
        let mut quote = None;
        let at = rest.char_indices().find(|(_, c)| match (quote, c) {
            (None, '#') => true,
            (None, '"' | '\'') => {
                quote = Some(*c);
                false
            }
            (Some(open), c) if open == *c => {
                quote = None;
                false
            }
            _ => false,
        });
        let text = rest.get(at?.0 + 1..)?.trim();
        let is_key = key.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'_');
        (is_key && !text.is_empty()).then(|| (key.to_owned(), text.to_owned()))
    };
    example.lines().filter_map(remark).collect()
}

/// The comments of our own settings, by struct and field: what the source says of a key is what the user is told.
fn source_texts() -> BTreeMap<String, BTreeMap<String, String>> {
    let mut all: BTreeMap<String, BTreeMap<String, String>> = BTreeMap::new();
    let (mut of, mut text) = (None, Vec::new());
    for line in concat!(
        include_str!("../config/sections.rs"),
        include_str!("../config/keys.rs"),
        include_str!("../config/fleet.rs")
    )
    .lines()
    .map(str::trim)
    {
        if let Some(comment) = line.strip_prefix("///") {
            text.push(comment.trim());
        } else if let Some(name) = line.strip_prefix("pub struct ") {
            of = name.split(' ').next();
            text.clear();
        } else if let (Some(of), Some((key, _))) =
            (of, line.strip_prefix("pub ").and_then(|line| line.split_once(": ")))
        {
            all.entry(of.to_owned()).or_default().insert(key.to_owned(), text.join(" ").replace('`', ""));
            text.clear();
        } else if !line.starts_with("#[") {
            text.clear();
        }
    }
    all
}
