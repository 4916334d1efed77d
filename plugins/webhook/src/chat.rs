//! A notice for Slack, and for Mattermost, Rocket.Chat and others that take the same.
//!
//! In the text of a message nothing is markup: `&`, `<` and `>` are written as Slack asks, which ends its links and
//! mentions, and behind each `@` stands a character without width, which ends those of the others. Links are neither
//! followed nor previewed.

use metlog_alerts::{Item, Notice, text};
use metlog_message::{Fields, Severity, Value};

/// Events shown; Slack itself shows no more than twenty attachments.
const ITEMS: usize = 20;
/// Characters of an event's text, and of a field's.
const TEXT: usize = 2000;
const FIELD: usize = 300;
/// Fields of an event.
const FIELDS: usize = 10;

/// The request's body.
pub fn message(prefix: &str, notice: &Notice) -> Value {
    let shown = &notice.items.get(..ITEMS).unwrap_or(&notice.items);
    let rest: u64 = notice.items.iter().skip(ITEMS).map(|item| item.count + item.held).sum::<u64>() + notice.left_out;
    let mut attachments: Vec<Value> = shown.iter().map(|item| attachment(item, notice.items.len() > 1)).collect();
    if rest > 0 {
        let mut more = Fields::new();
        more.set("text", format!("and {rest} more messages"));
        attachments.push(Value::Map(more));
    }
    let mut body = Fields::new();
    body.set("text", harmless(format!("{prefix} {}", notice.headline()).trim()));
    body.set("attachments", attachments);
    for (key, value) in [("mrkdwn", false), ("link_names", false), ("unfurl_links", false), ("unfurl_media", false)] {
        body.set(key, value);
    }
    Value::Map(body)
}

fn attachment(item: &Item, several: bool) -> Value {
    let mut out = Fields::new();
    let line = harmless(&item.headline());
    out.set("fallback", line.as_str());
    out.set("color", color(item.severity()));
    if several {
        out.set("title", line);
    }
    let mut words = item.counted().join(" ");
    let mut fields = Vec::new();
    if let Some(message) = &item.message {
        if !words.is_empty() {
            words.push_str("\n\n");
        }
        words.push_str(&text::page(&message.payload, TEXT));
        let host = message.hostname.as_deref().unwrap_or_default();
        let known = [("type", message.kind.as_str()), ("logger", &message.logger), ("host", host)];
        let all = known.into_iter().chain(message.fields.iter().map(|(name, value)| (name.as_str(), value.as_str())));
        fields.extend(all.filter(|(_, value)| !value.is_empty()).take(FIELDS).map(|(name, value)| field(name, value)));
        out.set("ts", message.timestamp.unix_seconds());
    }
    out.set("text", harmless(&words));
    out.set("fields", fields);
    out.set("mrkdwn_in", Vec::<Value>::new());
    Value::Map(out)
}

fn field(name: &str, value: &str) -> Value {
    let mut field = Fields::new();
    field.set("title", harmless(&text::line(name, FIELD)));
    field.set("value", harmless(&text::page(value, FIELD)));
    field.set("short", value.chars().count() <= 30);
    Value::Map(field)
}

fn color(severity: Severity) -> &'static str {
    match severity {
        Severity::Emergency | Severity::Alert | Severity::Critical | Severity::Error => "danger",
        Severity::Warning => "warning",
        Severity::Notice | Severity::Informational | Severity::Debug => "good",
    }
}

/// Text in which nothing is markup or calls anybody.
fn harmless(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '@' | '＠' | '﹫' => out.extend([c, '\u{200b}']),
            c => out.push(c),
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use metlog_alerts::{Brief, Cause};
    use metlog_message::{Message, wire};
    use metlog_testkit::sample;
    use proptest::prelude::*;

    fn item(message: &Message) -> Item {
        Item { cause: Cause::Each, group: vec![], count: 1, held: 0, message: Some(Box::new(Brief::new(message))) }
    }

    fn json(notice: &Notice) -> String {
        let mut out = Vec::new();
        wire::write_value(&mut out, &message("[metlog]", notice));
        String::from_utf8(out).unwrap()
    }

    fn check(message: &Message, times: usize) {
        let text = json(&Notice { number: 1, items: vec![item(message); times], left_out: 0 });
        assert!(!text.contains(['<', '>', '\n', '\r']), "{text}");
        let at = text.split('@').skip(1).all(|rest| rest.starts_with('\u{200b}'));
        assert!(at, "{text}");
        assert!(text.replace("&amp;", "").replace("&lt;", "").replace("&gt;", "").find('&').is_none(), "{text}");
        assert!(text.len() < 400_000, "{}", text.len());
    }

    #[test]
    fn nobody_is_called_and_nothing_is_markup() {
        let mut evils = sample::nasty();
        evils.extend(
            ["<!channel> <!here|here> <@U1> @channel @here @everyone ＠all", "<http://x|click>", "&lt;!channel&gt;"]
                .map(String::from),
        );
        evils.push("<@".repeat(500_000));
        for evil in evils {
            let evil = evil.as_str();
            check(&Message::new(evil).logger(evil).payload(evil).field(evil, evil), 1);
            check(&Message::new(evil).logger(evil).payload(evil).field(evil, evil), 100);
        }
    }

    proptest! {
        #[test]
        fn whatever_it_says(kind in any::<String>(), payload in "[<>&@!a\n\u{200b}]{0,80}") {
            check(&Message::new(kind).payload(payload), 1);
        }
    }

    #[test]
    fn a_message_looks_like_this() {
        let mut message =
            Message::new("oldstyle").logger("shop").severity(Severity::Error).payload("a < b\nat @x").field("n", 7);
        message.timestamp = metlog_message::Timestamp::from_unix_seconds(1_795_255_200);
        assert_eq!(
            json(&Notice { number: 1, items: vec![item(&message)], left_out: 0 }),
            "{\"text\":\"[metlog] error shop: a &lt; b\",\"attachments\":[{\"fallback\":\"error shop: a &lt; b\",\"color\":\"danger\",\
             \"ts\":1795255200,\"text\":\"a &lt; b\\nat @\u{200b}x\",\"fields\":[{\"title\":\"type\",\"value\":\"oldstyle\",\"short\":true},\
             {\"title\":\"logger\",\"value\":\"shop\",\"short\":true},{\"title\":\"n\",\"value\":\"7\",\"short\":true}],\"mrkdwn_in\":[]}],\
             \"mrkdwn\":false,\"link_names\":false,\"unfurl_links\":false,\"unfurl_media\":false}"
        );
        let many = json(&Notice { number: 1, items: vec![item(&message); 25], left_out: 3 });
        assert!(
            many.contains("and 8 more messages") && many.contains("28 messages, 25 kinds, the worst error shop"),
            "{many}"
        );
    }
}
