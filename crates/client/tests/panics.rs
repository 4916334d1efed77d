//! Panics as messages. One test: the hook is the process's.

mod common;

use common::{Kept, settle};
use metlog::{Client, Setup, Severity, Value};

#[test]
fn a_panic_is_told_before_it_goes_on() {
    let kept = Kept::new();
    let before = std::sync::Arc::new(std::sync::atomic::AtomicU32::new(0));
    let counted = before.clone();
    std::panic::set_hook(Box::new(move |_| {
        counted.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
    }));
    let client = Client::open(Setup::new("app").panics(true).sender(kept.sender())).expect("opens");
    metlog::tell_panics();
    client.make_default();
    let thread = std::thread::Builder::new().name("worker".into());
    let ended = thread.spawn(|| panic!("out of {}", "luck")).expect("starts").join();
    assert!(ended.is_err());
    // Already there: a program that aborts has no later.
    let message = kept.one();
    assert_eq!((message.severity, message.kind.as_str()), (Severity::Critical, "oldstyle"));
    assert!(message.payload.to_text().starts_with("panic: out of luck\nStack:\n"), "{:?}", message.payload);
    assert_eq!(message.fields.get("panic"), Some(&Value::Bool(true)));
    assert_eq!(message.fields.get("thread"), Some(&Value::from("worker")));
    assert!(message.fields.get("file").and_then(Value::as_str).is_some_and(|file| file.ends_with("panics.rs")));
    assert_eq!(before.load(std::sync::atomic::Ordering::Relaxed), 1, "the hook that was there runs too");
    settle(&client);
    assert!(client.shutdown(std::time::Duration::from_secs(1)).complete);
    let _ = std::thread::spawn(|| panic!("told to nobody")).join();
    assert_eq!(kept.len(), 1);
}
