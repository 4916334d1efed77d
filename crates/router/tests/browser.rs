//! The page in a real browser, asked of the real program: `page/browser/*.test.mjs`, one concern each.
//!
//! Pictures of what was seen, and of what failed, are in `target/screenshots`. With `METLOG_SCREENSHOTS=docs/screenshots`
//! those that the documentation shows are written anew.

mod node;

use std::path::{Path, PathBuf};
use std::process::Command;

#[test]
fn the_page_in_a_browser() {
    let place = node::page("browser");
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    let mut command = Command::new("node");
    // In one process, so that one browser serves all.
    command.args(["--test-reporter=spec", "browser/all.mjs"]).current_dir(&place);
    command.env("METLOG_ROUTER", env!("CARGO_BIN_EXE_metlog-router"));
    command.env("METLOG_PICTURES", Path::new(env!("CARGO_TARGET_TMPDIR")).join("../screenshots"));
    if let Some(wanted) = std::env::var_os("METLOG_SCREENSHOTS") {
        command.env("METLOG_SCREENSHOTS", root.join(PathBuf::from(wanted)));
    }
    let output = node::run(&mut command);
    let said = String::from_utf8_lossy(&output.stdout);
    println!("{said}");
    // A runner that found nothing to run would be content.
    let passed = said.lines().find_map(|line| line.split_once(" pass ")?.1.trim().parse::<usize>().ok());
    assert!(passed.is_some_and(|count| count > 0), "{said}");
}
