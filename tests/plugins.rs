//! The house is in order: folders, registry, examples and READMEs say the same.

use metlog::config::Config;
use metlog::plugin::{FilterEntry, MethodEntry, SenderEntry};
use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

fn folders() -> Vec<PathBuf> {
    let plugins = Path::new(env!("CARGO_MANIFEST_DIR")).join("plugins");
    let entries = std::fs::read_dir(plugins).expect("the folder of plugins");
    let mut folders: Vec<PathBuf> = entries.map(|entry| entry.expect("an entry").path()).collect();
    folders.sort();
    folders
}

fn examples(folder: &Path) -> Vec<String> {
    let files = std::fs::read_dir(folder).expect("a plugin's folder").map(|entry| entry.expect("an entry").path());
    let is_example = |path: &PathBuf| {
        let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
        name.starts_with("example") && name.ends_with(".toml")
    };
    files.filter(is_example).map(|path| std::fs::read_to_string(path).expect("an example")).collect()
}

/// All entries of the registry: name and example.
fn registered() -> Vec<(&'static str, &'static str)> {
    let senders = SenderEntry::all().into_iter().map(|entry| (entry.name, entry.example));
    let filters = FilterEntry::all().into_iter().map(|entry| (entry.name, entry.example));
    let methods = MethodEntry::all().into_iter().map(|entry| (entry.name, entry.example));
    senders.chain(filters).chain(methods).collect()
}

#[test]
fn every_folder_is_linked_and_every_name_is_there_once() {
    let on_disk: BTreeSet<String> = folders().iter().flat_map(|folder| examples(folder)).collect();
    let linked: BTreeSet<String> = registered().into_iter().map(|(_, example)| example.to_owned()).collect();
    assert_eq!(on_disk, linked, "each plugin's example is in the registry, and the other way round");
    let names: Vec<&str> = registered().into_iter().map(|(name, _)| name).collect();
    let once: BTreeSet<&str> = names.iter().copied().collect();
    assert_eq!(names.len(), once.len(), "{names:?}");
}

#[test]
fn every_example_is_a_configuration() {
    for (name, example) in registered() {
        assert!(example.contains("[metlog."), "{name}: an example can be put into a file as it is");
        // A filter or a method alone is no client.
        let whole = match example.contains("[metlog.sender") {
            true => example.to_owned(),
            false => format!("{example}\n[metlog.sender]\nclass = 'null'\n"),
        };
        let setup = Config::toml(whole).environment(metlog::config::Environment::fixed([("TOKEN", "x")])).setup();
        // Methods and filters are made by it; files and sockets are not touched.
        setup.map(drop).unwrap_or_else(|error| panic!("{name}: {error}"));
    }
}

#[test]
fn every_readme_tells_the_same_things() {
    for folder in folders() {
        let readme = std::fs::read_to_string(folder.join("README.md")).unwrap_or_default();
        for heading in ["## Settings", "## Example", "## Delivery", "## Limits"] {
            assert!(readme.contains(heading), "{}: no `{heading}`", folder.display());
        }
    }
}
