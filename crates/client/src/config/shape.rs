//! Every form of configuration becomes one tree.
//!
//! | INI | TOML | here |
//! | --- | --- | --- |
//! | `sender_class`, `sender_x` | `[metlog.sender]` | `senders.sender` |
//! | `[metlog_sender_NAME]` | `[metlog.senders.NAME]` | `senders.NAME` |
//! | `[metlog_filter…]` | `[metlog.filters.NAME]` | `filters.NAME` |
//! | `[metlog_plugin…]` | `[metlog.plugins.NAME]` | `plugins.NAME` |
//! | `global_x` | `[metlog.global]` | `global.x` |

use metlog_settings::{Kind, Node, Origin, Problem, Problems, Table, suggest};

/// The main section of a file, with the sections that belong to it inside.
pub fn section(root: Node, name: &str) -> Result<Node, Problems> {
    let Node { origin, kind: Kind::Table(root), .. } = root else {
        return Err(Problem::anywhere(format!("there is no section `[{name}]`: the configuration is empty")).into());
    };
    let Some(mut main) = root.get(name).cloned() else {
        let names: Vec<&str> = root.iter().map(|(key, _, _)| key).collect();
        let there = if names.is_empty() { "it has none".into() } else { format!("it has [{}]", names.join("], [")) };
        let meant = suggest::nearest(name, names.iter().copied());
        return Err(Problem::at(&origin, format!("there is no section `[{name}]`: {there}")).suggest(meant).into());
    };
    let Some(table) = main.as_table_mut() else {
        return Err(Problem::at(&main.origin, format!("`{name}` must be a section")).into());
    };
    // Metlog's options in `[DEFAULT]` were options of every section. Those that mean something here still are.
    let defaults = root.get("DEFAULT").and_then(Node::as_table);
    for (key, place, node) in defaults.into_iter().flat_map(Table::iter) {
        if super::keys::is_main(key) && table.get(key).is_none() {
            table.insert(key, place.clone(), node.clone());
        }
    }
    for (key, place, node) in root.iter() {
        let Some(rest) = key.strip_prefix(name) else { continue };
        for (kind, under) in [("_filter", "filters"), ("_plugin", "plugins"), ("_sender", "senders")] {
            if let Some(label) = rest.strip_prefix(kind) {
                let label = label.strip_prefix('_').unwrap_or(label);
                let label = if label.is_empty() { kind.trim_start_matches('_') } else { label };
                inside(table, under, place)?.insert(label, place.clone(), node.clone());
            }
        }
    }
    Ok(main)
}

/// The table under a key, made if there is none.
fn inside<'a>(table: &'a mut Table, key: &str, place: &Origin) -> Result<&'a mut Table, Problem> {
    if table.get(key).is_none() {
        table.insert(key, place.clone(), Node::new(place.clone(), Kind::Table(Table::default())));
    }
    match table.get_mut(key) {
        Some(Node { kind: Kind::Table(inner), .. }) => Ok(inner),
        _ => Err(Problem::at(
            place,
            format!("`{key}` must be a table of named sections, since this is one more of them"),
        )),
    }
}

/// Flat keys with a prefix go into the table of that name; as in Metlog, they win over what is in it already.
pub fn nest(main: Node) -> Result<Node, Problems> {
    let Node { origin, kind: Kind::Table(main), written } = main else { return Ok(main) };
    let mut problems = Problems::new();
    let mut nested = Table::default();
    let mut flat = Vec::new();
    for (key, place, node) in main.iter() {
        let parts = [("sender_", "sender"), ("global_", "global")];
        match parts.iter().find_map(|(prefix, under)| Some((*under, key.strip_prefix(prefix)?))) {
            Some((under, name)) if !name.is_empty() => flat.push((under, name, place, node)),
            _ => nested.insert(key, place.clone(), node.clone()),
        }
    }
    for (under, name, place, node) in flat {
        if let Some(table) = problems.note(inside(&mut nested, under, place)) {
            table.insert(name, place.clone(), node.clone());
        }
    }
    // The one sender of the short form is a sender like the others, under the name that statistics show.
    if let Some(place) = nested.key_origin("sender").cloned()
        && let Some(Node { kind: Kind::Table(sender), .. }) = nested.remove("sender")
        && let Some(senders) = problems.note(inside(&mut nested, "senders", &place))
    {
        let mut merged = senders.remove("sender").and_then(|node| node.as_table().cloned()).unwrap_or_default();
        for (key, place, node) in sender.iter() {
            merged.insert(key, place.clone(), node.clone());
        }
        senders.insert("sender", place.clone(), Node::new(place.clone(), Kind::Table(merged)));
    }
    problems.or(Node { origin, kind: Kind::Table(nested), written })
}

/// A filter or plugin as it was configured.
pub struct Named {
    pub label: String,
    pub place: Origin,
    pub table: Table,
}

/// Named sections, or the dictionary form's pairs of provider and settings.
pub fn entries(node: Option<&Node>, problems: &mut Problems) -> Vec<Named> {
    match node.map(|node| (&node.kind, &node.origin)) {
        None => Vec::new(),
        Some((Kind::Table(table), _)) => {
            let entries = table.iter().filter_map(|(label, place, node)| {
                let table = problems.note(entry(node))?;
                Some(Named { label: label.to_owned(), place: place.clone(), table })
            });
            entries.collect()
        }
        Some((Kind::List(list), _)) => {
            let entries = list.iter().enumerate().filter_map(|(at, node)| {
                let table = problems.note(entry(node))?;
                Some(Named { label: format!("{}", at + 1), place: node.origin.clone(), table })
            });
            entries.collect()
        }
        Some((_, origin)) => {
            problems.push(Problem::at(origin, "expected named sections, or a list of `[provider, settings]` pairs"));
            Vec::new()
        }
    }
}

fn entry(node: &Node) -> Result<Table, Problem> {
    let wrong = || Problem::at(&node.origin, "expected a section with a `provider`, or a pair `[provider, settings]`");
    match &node.kind {
        Kind::Table(table) => Ok(table.clone()),
        Kind::List(pair) => {
            let (provider, mut table) = match pair.as_slice() {
                [provider] => (provider, Table::default()),
                [provider, Node { kind: Kind::Table(table), .. }] => (provider, table.clone()),
                _ => return Err(wrong()),
            };
            table.insert("provider", provider.origin.clone(), provider.clone());
            Ok(table)
        }
        _ => Err(wrong()),
    }
}
