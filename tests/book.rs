//! What the book says of clients: their configurations are read, and the router with plugins of its own does what it says.

use metlog::config::{Config, Environment};
use metlog_testkit::book::{Page, pages};
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

#[test]
fn every_configuration_of_a_client_is_read() {
    let mut count = 0;
    for block in pages().iter().flat_map(Page::blocks).filter(|block| block.rule.as_deref() == Some("client")) {
        let config = match block.language.as_str() {
            "toml" => Config::toml(block.text),
            "ini" => Config::ini(block.text),
            other => panic!("{}: a client reads no {other}", block.place),
        };
        // Files and sockets are not touched.
        let setup = config.environment(Environment::fixed([("METLOG", "")])).setup();
        setup.map(drop).unwrap_or_else(|error| panic!("{}: {error}", block.place));
        count += 1;
    }
    assert!(count >= 5, "{count} configurations");
}

/// A directory of its own, which goes with it.
struct Place(PathBuf);

impl Drop for Place {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

/// The example: as `cargo test` has built it beside us, or, if it was told to run this test alone, built now.
fn example() -> Command {
    let us = std::env::current_exe().expect("a path");
    let built = us.parent().and_then(Path::parent).map(|folder| folder.join("examples/own_router"));
    if let Some(built) = built.filter(|built| built.exists()) {
        return Command::new(built);
    }
    let mut cargo = Command::new(env!("CARGO"));
    cargo.args(["run", "--quiet", "--example", "own_router", "--manifest-path"]);
    cargo.arg(Path::new(env!("CARGO_MANIFEST_DIR")).join("Cargo.toml")).arg("--");
    cargo
}

#[test]
fn a_router_has_plugins_of_its_own() {
    let place = Place(std::env::temp_dir().join(format!("metlog-own-router-{}", std::process::id())));
    std::fs::create_dir_all(&place.0).expect("a directory");
    let router = |arguments: &[&str], input: &str| {
        let mut router = example();
        router.args(arguments).current_dir(&place.0).stdin(Stdio::piped());
        router.stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = router.spawn().expect("it runs");
        child.stdin.take().expect("piped").write_all(input.as_bytes()).expect("it reads");
        let output = child.wait_with_output().expect("it ends");
        let text = [output.stdout, output.stderr].concat();
        (output.status.success(), String::from_utf8(text).expect("UTF-8"))
    };
    let config = "[router]\nhttp = ''\n[inputs.stdin]\n[filters.open]\ntype = 'business'\nhours = [10, 11]\n\
                  [endpoints.count]\ntype = 'tally'\npath = 'count.txt'\nfilters = ['open']\n";
    std::fs::write(place.0.join("router.toml"), config).expect("a file");
    std::fs::write(place.0.join("wrong.toml"), config.replace("11", "31")).expect("a file");

    let (_, listed) = router(&["plugins"], "");
    assert!(listed.contains("business") && listed.contains("tally"), "{listed}");
    assert!(router(&["check", "router.toml"], "").0);
    let (right, said) = router(&["check", "wrong.toml"], "");
    assert!(!right && said.contains("`hours` has 31"), "{said}");

    let message =
        |hour: u32| format!("{{\"type\":\"oldstyle\",\"timestamp\":\"2026-11-21T{hour}:00:00Z\",\"payload\":\"x\"}}\n");
    let (right, said) = router(&["explain", "-c", "router.toml"], &(message(11) + &message(23)));
    assert!(right && said.contains("-> count") && said.contains("not count: filter `open` said no"), "{said}");
}
