//! The page's source with the tools it needs, in a folder below target, so that nothing is written into the source.

use std::path::{Path, PathBuf};
use std::process::{Command, Output};

/// All of it, ready: `npm ci` runs when what it would install has changed. Each user has a folder of its own.
pub fn page(name: &str) -> PathBuf {
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("page");
    let place = Path::new(env!("CARGO_TARGET_TMPDIR")).join(name);
    std::fs::create_dir_all(&place).expect("a folder");
    let wanted = std::fs::read(source.join("package-lock.json")).expect("the lock file");
    let installed = place.join("installed.json");
    let fresh = std::fs::read(&installed).is_ok_and(|there| there == wanted);
    for entry in std::fs::read_dir(&source).expect("the source").flatten() {
        if entry.file_name() == "node_modules" {
            continue;
        }
        let to = place.join(entry.file_name());
        let _ = std::fs::remove_dir_all(&to);
        run(Command::new("cp").arg("-r").arg(entry.path()).arg(&to));
    }
    if !fresh {
        let _ = std::fs::remove_file(&installed);
        run(Command::new("npm").args(["ci", "--no-audit", "--no-fund"]).current_dir(&place));
        std::fs::write(&installed, &wanted).expect("a file");
    }
    place
}

/// Runs it; what it said is told if it fails.
pub fn run(command: &mut Command) -> Output {
    let output = command.output().unwrap_or_else(|error| panic!("{command:?}: {error}"));
    let said = [output.stdout.as_slice(), output.stderr.as_slice()].map(String::from_utf8_lossy).concat();
    assert!(output.status.success(), "{command:?}:\n{said}");
    output
}
