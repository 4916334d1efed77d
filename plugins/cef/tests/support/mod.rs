//! The method on a stage.

use metlog_message::{Message, Timestamp};
use metlog_testkit::Stage;

fn template() -> Message {
    let timestamp = Timestamp::parse("2026-11-20T22:00:50.348839Z").expect("a timestamp");
    Message { hostname: Some("web01".into()), timestamp, ..Message::new("") }
}

/// With the method as these settings make it.
pub fn client(settings: &str) -> Stage {
    named("cef", settings).unwrap_or_else(|wrong| panic!("{wrong}"))
}

/// The same under another name.
pub fn named(name: &str, settings: &str) -> Result<Stage, String> {
    Stage::open("cef", name, settings, template())
}

/// With the method of the example.
#[allow(dead_code, reason = "one of two test programs needs it")]
pub fn of_example() -> Stage {
    Stage::of_example("cef", template())
}
