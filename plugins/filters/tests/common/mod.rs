//! Filters as configurations make them, and messages to ask them about.
// Not every test needs all of it.
#![allow(dead_code)]

use metlog_message::wire::Limits;
use metlog_message::{Message, head, wire};
use metlog_pipeline::{Event, Filter, FilterEntry};
use metlog_settings::Node;

pub fn open(name: &str, settings: &Node) -> Result<Box<dyn Filter>, String> {
    let entry = FilterEntry::find(name).expect("a filter");
    (entry.read)(settings).map_err(|problems| problems.to_string())?()
}

pub fn filter(name: &str, toml: &str) -> Box<dyn Filter> {
    open(name, &metlog_testkit::settings(toml)).unwrap_or_else(|problems| panic!("{problems}"))
}

/// Asks with a message; where type and severity decide, that answer has to be the same.
pub fn keeps(filter: &mut (impl Filter + ?Sized), message: &Message) -> bool {
    let mut text = Vec::new();
    wire::write(&mut text, message);
    event(&text, |event| {
        let kept = filter.keep(event);
        let known = filter.decide(&message.kind, message.severity);
        assert!(known.is_none_or(|known| known == kept), "{known:?}, {kept}");
        kept
    })
}

/// Looks at text as filters see it.
pub fn event<T>(text: &[u8], look: impl FnOnce(&Event<'_>) -> T) -> T {
    let head = head::scan(text, &Limits::default()).expect("strictly right");
    look(&Event { head: &head, raw: text })
}
