//! Each example runs and says what it promises. One after another: they are built by the same cargo.

use std::process::Command;
use std::sync::{Mutex, PoisonError};

static ONE_AT_A_TIME: Mutex<()> = Mutex::new(());

/// Runs `cargo run` with these arguments and returns what was printed.
fn run(arguments: &[&str]) -> String {
    let _turn = ONE_AT_A_TIME.lock().unwrap_or_else(PoisonError::into_inner);
    let output = Command::new(env!("CARGO"))
        .args(["run", "--quiet"])
        .args(arguments)
        .current_dir(env!("CARGO_MANIFEST_DIR"))
        .env("RUST_BACKTRACE", "0")
        .output()
        .expect("cargo runs");
    let text = String::from_utf8(output.stdout).expect("UTF-8");
    assert!(output.status.success(), "{text}\n{}", String::from_utf8_lossy(&output.stderr));
    text
}

/// The messages among the lines.
fn messages(text: &str) -> Vec<serde_json::Value> {
    text.lines().filter(|line| line.starts_with('{')).map(|line| serde_json::from_str(line).expect("JSON")).collect()
}

#[test]
fn hello() {
    let messages = messages(&run(&["--example", "hello"]));
    let payloads: Vec<&str> = messages.iter().filter_map(|message| message["payload"].as_str()).collect();
    assert_eq!(payloads[..3], ["hello, world", "1", "3"]);
    assert!(payloads[3].starts_with("a number was expected\ninvalid digit found in string"));
    assert_eq!(messages[0]["fields"]["answer"], 42);
}

#[test]
fn timers_and_counters() {
    let text = run(&["--example", "timers_and_counters"]);
    let messages = messages(&text);
    let sum = |name: &str| -> u64 {
        let own = messages.iter().filter(|message| message["fields"]["name"] == name);
        own.filter_map(|message| message["payload"].as_str()?.parse::<u64>().ok()).sum()
    };
    assert_eq!((sum("requests"), sum("bytes"), sum("work.done")), (1000, 512_000, 1));
    assert!(messages.iter().all(|message| message["fields"]["name"] != "noisy"));
    assert!(messages.iter().any(|message| message["fields"]["name"] == "timers_and_counters.work"), "{text}");
    assert!(text.contains("42 page 17") && text.contains("all sent"), "{text}");
}

#[test]
fn context_across_tasks() {
    let messages = messages(&run(&["--example", "context_across_tasks"]));
    assert_eq!(messages.len(), 13);
    for user in 1..=3 {
        let own: Vec<_> = messages.iter().filter(|message| message["fields"]["user_id"] == user).collect();
        assert_eq!(own.len(), 4);
        assert!(own.iter().all(|message| message["fields"]["trace_id"] == "4bf92f3577b34da6"));
    }
}

#[test]
fn web_service() {
    let messages = messages(&run(&["--example", "web_service"]));
    let timed = messages.iter().filter(|message| message["fields"]["status"].is_number());
    assert!(timed.count() >= 2, "{messages:?}");
}

#[test]
fn own_sender() {
    let target = format!("--target-dir={}/target", env!("CARGO_MANIFEST_DIR"));
    let text = run(&["--manifest-path", "examples/own-sender/Cargo.toml", &target]);
    assert!(text.starts_with(">>{\"type\":\"oldstyle\"") && text.contains("from a sender of our own"), "{text}");
}
