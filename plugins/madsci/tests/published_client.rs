//! The published clients 0.5.2 and 0.8.1, as they are, against the dialect: all they can write, and all they can ask.

mod support;

use metlog_testkit::python;
use std::process::Command;
use support::House;

/// Their own packages do not hold each other to one release, and no release works with pydantic 2.14. The same as the
/// servers' tests, so that one environment serves both.
const NEW: &[&str] = &["madsci_event_manager==0.8.1", "madsci_client==0.8.1", "madsci_common==0.8.1", "pydantic<2.14"];
const OLD: &[&str] =
    &["madsci_event_manager==0.5.2", "madsci_client==0.5.2", "madsci_common==0.5.2", "pydantic<2.14", "mongomock"];

#[test]
fn client_0_8_1_writes_and_reads_all_it_can() {
    writes_and_reads(NEW);
}

#[test]
fn client_0_5_2_writes_and_reads_all_it_can() {
    writes_and_reads(OLD);
}

fn writes_and_reads(packages: &[&str]) {
    let house = House::new();
    let home = std::path::Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("client-{}", packages[1]));
    std::fs::create_dir_all(&home).expect("a folder for its own logs");
    let client = Command::new(python(packages))
        .arg(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/support/client.py"))
        .arg(format!("http://{}", house.at))
        .current_dir(&home)
        // Settings and proxies of whoever runs this are not the client's.
        .env_clear()
        .env("HOME", &home)
        .env("PYTHONIOENCODING", "utf-8")
        .output()
        .expect("Python starts");
    let said = String::from_utf8_lossy(&client.stderr);
    let tail: String = said.lines().rev().take(40).collect::<Vec<_>>().into_iter().rev().collect::<Vec<_>>().join("\n");
    assert!(client.status.success(), "{tail}");
    let seen = house.recorder.seen();
    assert_eq!((seen.refused, seen.pending, seen.forgotten), (Vec::new(), 0, 0));
    let output = String::from_utf8_lossy(&client.stdout);
    let sent = output.lines().last().and_then(|line| line.strip_prefix("{\"sent\": ")?.strip_suffix('}')?.parse().ok());
    assert_eq!(Some(seen.accepted.len()), sent, "each once");
}
