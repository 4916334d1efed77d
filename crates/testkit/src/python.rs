//! A Python with packages from PyPI, in a virtual environment under the target folder, made once.

use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::Command;

/// The interpreter of an environment that has these packages.
///
/// # Panics
/// If it cannot be made; the message says which step failed. A test that needs a peer does not pass without it.
pub fn python(packages: &[&str]) -> PathBuf {
    let target = target();
    std::fs::create_dir_all(&target).expect("the target folder");
    let name: String =
        packages.join("-").chars().map(|c| if c.is_ascii_alphanumeric() || c == '-' { c } else { '_' }).collect();
    let folder = target.join(format!("python-{name}"));
    let lock = File::create(target.join(format!("python-{name}.lock"))).expect("a lock file");
    // Tests of several programs run at a time; one of them installs, the others wait.
    lock.lock().expect("a lock");
    let (python, ready) = (folder.join("bin/python"), folder.join("ready"));
    if !ready.exists() {
        run(Command::new("python3").args(["-m", "venv", "--clear"]).arg(&folder));
        if !packages.is_empty() {
            let mut install = Command::new(&python);
            install.args(["-m", "pip", "install", "--quiet", "--disable-pip-version-check"]).args(packages);
            run(&mut install);
        }
        File::create(ready).expect("a mark");
    }
    python
}

fn run(command: &mut Command) {
    let output = command.output().unwrap_or_else(|error| panic!("{command:?}: {error}"));
    assert!(output.status.success(), "{command:?}: {}", String::from_utf8_lossy(&output.stderr));
}

/// The folder cargo builds in: this program runs out of it.
fn target() -> PathBuf {
    let program = std::env::current_exe().expect("a path");
    let target = program.ancestors().find(|folder| folder.join("CACHEDIR.TAG").exists());
    target.map_or_else(std::env::temp_dir, Path::to_path_buf)
}
