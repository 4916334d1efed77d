//! The house is in order: folders, registry, examples and READMEs say the same.

use metlog::config::Config;
use metlog::plugin::{FilterEntry, MethodEntry, SenderEntry};
use metlog_http::server::DialectEntry;
use metlog_pipeline::{BeaconEntry, EndpointEntry, InputEntry};
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

/// The client's entries in the registry: name and example.
fn of_client() -> Vec<(&'static str, &'static str)> {
    let senders = SenderEntry::all().into_iter().map(|entry| (entry.name, entry.example));
    let filters = FilterEntry::all().into_iter().map(|entry| (entry.name, entry.example));
    let methods = MethodEntry::all().into_iter().map(|entry| (entry.name, entry.example));
    senders.chain(filters).chain(methods).collect()
}

/// The router's own.
fn of_router() -> Vec<(&'static str, &'static str)> {
    let inputs = InputEntry::all().into_iter().map(|entry| (entry.name, entry.example));
    let endpoints = EndpointEntry::all().into_iter().map(|entry| (entry.name, entry.example));
    let dialects = DialectEntry::all().into_iter().map(|entry| (entry.name, entry.example));
    let beacons = BeaconEntry::all().into_iter().map(|entry| (entry.name, entry.example));
    inputs.chain(endpoints).chain(dialects).chain(beacons).collect()
}

#[test]
fn every_folder_is_linked_and_every_name_is_there_once() {
    // Those that this build was not asked for have a folder all the same.
    let (left_out, built): (Vec<PathBuf>, Vec<PathBuf>) = folders().into_iter().partition(|folder| {
        folder.file_name().and_then(|name| name.to_str()).is_some_and(|name| metlog_router::LEFT_OUT.contains(&name))
    });
    assert_eq!(left_out.len(), metlog_router::LEFT_OUT.len(), "{left_out:?}");
    let on_disk: BTreeSet<String> = built.iter().flat_map(|folder| examples(folder)).collect();
    let linked: BTreeSet<String> =
        of_client().into_iter().chain(of_router()).map(|(_, example)| example.to_owned()).collect();
    let astray: Vec<&String> = on_disk.symmetric_difference(&linked).collect();
    assert!(astray.is_empty(), "in a folder and not in the registry, or the other way round: {astray:#?}");
    let names: Vec<&str> = of_client().into_iter().map(|(name, _)| name).collect();
    let once: BTreeSet<&str> = names.iter().copied().collect();
    assert_eq!(names.len(), once.len(), "{names:?}");
}

#[test]
fn every_example_is_a_configuration() {
    for (name, example) in of_client() {
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
fn every_section_is_a_configuration_of_the_router() {
    for (kind, sections) in metlog_router::sections() {
        for (name, section) in sections {
            let plan = metlog_router::config::from_toml(name, &section);
            let plan = plan.unwrap_or_else(|problems| panic!("{kind} {name}:\n{problems}\n{section}"));
            let count = [plan.inputs.len(), plan.endpoints.len()].iter().sum::<usize>();
            assert_eq!(count, usize::from(!["filter", "fleet"].contains(&kind)), "{kind} {name}:\n{section}");
        }
    }
}

#[test]
fn what_a_build_leaves_out_is_said_with_how_to_get_it() {
    for name in metlog_router::LEFT_OUT {
        for section in ["inputs", "endpoints"] {
            let said = metlog_router::config::from_toml("test.toml", &format!("[{section}.here]\ntype = '{name}'\n"));
            let said = said.map(drop).expect_err("left out").to_string();
            assert!(said.contains(&format!("--features {name}")), "{said}");
        }
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
