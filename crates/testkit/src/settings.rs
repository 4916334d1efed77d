//! Settings for plugins in tests: from text, and from the examples that plugins carry.

use metlog_pipeline::{Sender, SenderEntry};
use metlog_settings::{Environment, Kind, Layers, Node};

/// TOML text as settings; `test.toml` is what problems call it.
///
/// # Panics
/// If it is not TOML.
pub fn settings(toml: &str) -> Node {
    let layers = Layers::new(Environment::fixed([("", ""); 0])).toml("test.toml", toml);
    layers.merge().unwrap_or_else(|problems| panic!("{problems}"))
}

/// The options of one INI section as settings; `test.ini` is what problems call it, and its first line is a header.
///
/// # Panics
/// If it is not INI.
pub fn ini_settings(options: &str) -> Node {
    let text = format!("[section]\n{options}");
    let root = Layers::new(Environment::fixed([("", ""); 0])).ini("test.ini", &text, false).merge();
    let root = root.unwrap_or_else(|problems| panic!("{problems}"));
    root.get("section").cloned().expect("the section")
}

/// A sender as a configuration makes it.
///
/// # Errors
/// Why it does not open.
///
/// # Panics
/// If there is no sender of this name, or the settings are wrong.
pub fn open(sender: &str, toml: &str) -> Result<Box<dyn Sender>, String> {
    let entry = SenderEntry::find(sender).unwrap_or_else(|unknown| panic!("{unknown}"));
    (entry.read)(&settings(toml)).unwrap_or_else(|problems| panic!("{problems}"))()
}

/// The settings in a plugin's example: its first sender, filter or plugin, without the name it is chosen by.
///
/// # Panics
/// If the example holds none.
pub fn of_example(example: &str) -> Node {
    let mut root = settings(example);
    let main = root.as_table_mut().and_then(|root| root.remove("metlog")).expect("a section `metlog`");
    let named = ["filters", "plugins", "senders"].iter().find_map(|kind| {
        let (_, _, first) = main.get(kind)?.as_table()?.iter().next()?;
        Some(first.clone())
    });
    let mut section = named.or_else(|| main.get("sender").cloned()).expect("a sender, filter or plugin");
    if let Kind::Table(table) = &mut section.kind {
        table.remove("class");
        table.remove("provider");
        table.remove("override");
    }
    section
}
