//! Configurations, TOML and INI.

use metlog_settings::{Environment, Kind, Layers, Node, Origin, Problems};

/// What problems call the text.
const NAME: &str = "metlog.conf";

/// The router's whole configuration: right, or wrong at places that are there, each told on one line, and the same when
/// read again.
pub fn settings_toml(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else { return };
    let read = || metlog_router::config::from_toml(NAME, text).map(drop);
    let first = read();
    if let Err(problems) = &first {
        told(text, problems);
        let said = problems.iter().map(ToString::to_string).find(|said| said.contains('\n'));
        assert_eq!(said, None, "not one line");
    }
    assert_eq!(first, read(), "read again");
    tree(text, |layers| layers.toml(NAME, text));
}

/// The tree of an INI file, with and without sections in sections: every key and value has its place.
pub fn settings_ini(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else { return };
    for nested in [false, true] {
        tree(text, |layers| layers.ini(NAME, text, nested));
    }
}

fn tree(text: &str, layer: impl Fn(Layers) -> Layers) {
    let environment = Environment::fixed([("HOST", "a.example"), ("EMPTY", ""), ("TRICK", "${HOST}\n[router]\na = 1")]);
    match layer(Layers::new(environment)).merge() {
        Ok(root) => places(text, &root),
        Err(problems) => told(text, &problems),
    }
}

fn told(text: &str, problems: &Problems) {
    assert!(!problems.is_empty(), "an error without a problem");
    for problem in problems.iter() {
        assert!(!problem.to_string().is_empty(), "nothing is said");
        if let Some(origin) = &problem.origin {
            stands(text, origin);
        }
    }
}

fn places(text: &str, node: &Node) {
    stands(text, &node.origin);
    match &node.kind {
        Kind::Table(table) => {
            for (_, key, value) in table.iter() {
                stands(text, key);
                places(text, value);
            }
        }
        Kind::List(list) => list.iter().for_each(|value| places(text, value)),
        _ => {}
    }
}

/// A line of the text, and a column of that line or the one behind its last.
fn stands(text: &str, origin: &Origin) {
    if origin.line == 0 {
        return;
    }
    assert_eq!(&*origin.file, NAME);
    let line = text.split('\n').nth(origin.line as usize - 1).unwrap_or_else(|| panic!("{origin} is not in the text"));
    let most = line.chars().count() + 1;
    assert!((1..=most).contains(&(origin.column as usize)), "{origin}, but the line has {most} columns");
}
