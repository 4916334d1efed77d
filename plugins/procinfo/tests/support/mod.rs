//! The method on a stage, and its messages as numbers.
#![allow(dead_code, reason = "each test program needs another part")]

use metlog_message::{Message, Value};
use metlog_testkit::Stage;

fn template() -> Message {
    Message { hostname: Some("web.example.org".into()), pid: Some(1), ..Message::new("") }
}

/// With the method as these settings make it.
pub fn client(settings: &str) -> Stage {
    named("procinfo", settings).unwrap_or_else(|wrong| panic!("{wrong}"))
}

/// The same under another name.
pub fn named(name: &str, settings: &str) -> Result<Stage, String> {
    Stage::open("procinfo", name, settings, template())
}

/// With the method of the example.
pub fn of_example() -> Stage {
    Stage::of_example("procinfo", template())
}

/// What was sent since, as `group/name` and number.
pub fn numbers(client: &Stage) -> Vec<(String, f64)> {
    let number = |message: Message| {
        let text = |name| message.fields.get(name).and_then(Value::as_str).unwrap_or_default().to_owned();
        let group = text("logger").split('.').nth(1).unwrap_or_default().to_owned();
        (format!("{group}/{}", text("name")), message.payload.as_f64().expect("a number"))
    };
    client.take().into_iter().map(number).collect()
}

/// One of them.
pub fn number(client: &Stage, name: &str) -> f64 {
    let numbers = numbers(client);
    let found = numbers.iter().find(|(found, _)| found == name);
    found.unwrap_or_else(|| panic!("no {name} in {numbers:?}")).1
}
