//! A notice as JSON of our own, for a program.

use metlog_alerts::{Brief, Cause, Item, Notice};
use metlog_message::{Fields, Value};

/// The request's body. `id` is the same as often as the notice is tried.
pub fn message(id: &str, notice: &Notice) -> Value {
    let mut out = Fields::new();
    out.set("id", id);
    out.set("text", notice.headline());
    out.set("severity", notice.severity().number());
    out.set("messages", notice.messages());
    out.set("left_out", notice.left_out);
    out.set("items", notice.items.iter().map(item).collect::<Vec<Value>>());
    Value::Map(out)
}

fn item(item: &Item) -> Value {
    let mut out = Fields::new();
    out.set("cause", item.cause.word());
    out.set("count", item.count);
    out.set("held", item.held);
    match item.cause {
        Cause::Rate { more_than, within } => {
            out.set("more_than", more_than);
            out.set("within_seconds", within.as_secs_f64());
        }
        Cause::Absent { lasting: time } | Cause::Back { after: time } => out.set("seconds", time.as_secs_f64()),
        Cause::Each | Cause::Held | Cause::Alert => {}
    }
    let mut group = Fields::new();
    item.group.iter().for_each(|(name, value)| group.set(name, value.as_str()));
    out.set("group", group);
    out.set("message", item.message.as_deref().map(brief));
    Value::Map(out)
}

fn brief(message: &Brief) -> Value {
    let mut out = Fields::new();
    out.set("type", message.kind.as_str());
    out.set("timestamp", message.timestamp.to_string());
    out.set("logger", message.logger.as_str());
    out.set("severity", message.severity.number());
    out.set("payload", message.payload.as_str());
    out.set("payload_cut", message.cut);
    let mut fields = Fields::new();
    message.fields.iter().for_each(|(name, value)| fields.set(name, value.as_str()));
    out.set("fields", fields);
    out.set("fields_left_out", message.more_fields as u64);
    out.set("metlog_hostname", message.hostname.clone());
    out.set("metlog_pid", message.pid);
    Value::Map(out)
}
