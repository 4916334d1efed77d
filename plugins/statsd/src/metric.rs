//! What a message counts.

use crate::fields;
use crate::line::{self, Kind, Tags};
use metlog_message::{Head, head, wire};
use std::borrow::Cow;

/// How names are made.
#[derive(Debug)]
pub struct Naming {
    /// In front of every name, its dot included.
    pub prefix: String,
    /// Whether the logger stands between prefix and name.
    pub namespace: bool,
    pub tags: Tags,
    pub tag_fields: Vec<String>,
}

/// One measurement. Its memory is kept from one message to the next.
#[derive(Debug, Default)]
pub struct Metric {
    pub name: String,
    /// What stands behind the type.
    pub suffix: String,
    pub value: f64,
    pub rate: f64,
    /// A message that had to be read leniently, rewritten strictly.
    pub rewritten: Vec<u8>,
}

impl Metric {
    /// Becomes what a message counts. The error says why it counts nothing.
    pub fn read(&mut self, message: &[u8], naming: &Naming) -> Result<Kind, String> {
        let limits = wire::Limits::NONE;
        if let Ok(head) = head::scan(message, &limits) {
            return self.take(&head, message, naming);
        }
        let read = wire::read(message, &limits).map_err(|refusal| refusal.to_string())?;
        let mut strict = std::mem::take(&mut self.rewritten);
        strict.clear();
        wire::write(&mut strict, &read.message);
        let taken = match head::scan(&strict, &limits) {
            Ok(head) => self.take(&head, &strict, naming),
            Err(head::NotStrict) => Err("it is beyond the limits of a message".to_owned()),
        };
        self.rewritten = strict;
        taken
    }

    fn take(&mut self, head: &Head<'_>, message: &[u8], naming: &Naming) -> Result<Kind, String> {
        let kind = match &*head.kind {
            "counter" => Kind::Counter,
            "timer" => Kind::Timer,
            "gauge" => Kind::Gauge,
            other => return Err(format!("its type is {other:?}; counter, timer and gauge are what statsd knows")),
        };
        let [name, logger, rate] = fields::find(head.fields, ["name", "logger", "rate"]);
        let name = name.and_then(fields::text).filter(|name| !name.is_empty());
        let Some(name) = name else { return Err("it has no text `fields.name`".to_owned()) };
        let Some(value) = fields::number(head.payload) else {
            return Err(format!("its payload {} is no number", excerpt(head.payload)));
        };
        if kind == Kind::Timer && value < 0.0 {
            return Err(format!("its payload {value} is negative, which no time is"));
        }
        let rate = match rate.filter(|rate| *rate != b"null") {
            None => 1.0,
            Some(text) => match fields::number(text) {
                Some(rate) if rate > 0.0 => rate.min(1.0),
                _ => return Err(format!("its `fields.rate` {} is no number above 0", excerpt(text))),
            },
        };
        self.value = value;
        // A gauge is what it is, however often it was looked at.
        self.rate = if kind == Kind::Gauge { 1.0 } else { rate };

        self.name.clear();
        self.suffix.clear();
        self.name.push_str(&naming.prefix);
        if naming.namespace {
            let logger = logger.and_then(fields::text).unwrap_or(Cow::Borrowed(&head.logger));
            if !logger.is_empty() {
                line::clean(&mut self.name, &logger);
                self.name.push('.');
            }
        }
        line::clean(&mut self.name, &name);
        for key in &naming.tag_fields {
            let [mut value] = fields::find(head.fields, [key]);
            if value.is_none() {
                [value] = fields::find(message, [key]);
            }
            let word = value.and_then(fields::word);
            line::tag(&mut self.name, &mut self.suffix, naming.tags, key, word.as_deref());
        }
        Ok(kind)
    }
}

/// Enough of a value to recognise it.
fn excerpt(value: &[u8]) -> String {
    let mut text: String = String::from_utf8_lossy(value).chars().take(40).collect();
    if text.len() < value.len() {
        text.push('…');
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use metlog_message::{Fields, Message, Value};
    use proptest::prelude::*;

    const ALL: [Tags; 4] = [Tags::None, Tags::Dogstatsd, Tags::Influx, Tags::Graphite];

    /// Takes a line apart from the outside in; every part must be of letters that no part ends with.
    fn is_sound(line: &str, tags: Tags) -> bool {
        let word =
            |text: &str| !text.is_empty() && text.bytes().all(|b| b.is_ascii_alphanumeric() || b"_.-".contains(&b));
        let pairs = |text: &str, between: char, equals: char| {
            text.split(between).all(|pair| pair.split_once(equals).is_some_and(|(key, value)| word(key) && word(value)))
        };
        let (line, suffix) = line.split_once("|#").map_or((line, None), |(line, tags)| (line, Some(tags)));
        let Some((name, rest)) = line.split_once(':') else { return false };
        let mut parts = rest.split('|');
        let number =
            |text: &str| text.bytes().all(|b| b.is_ascii_digit() || b"-.".contains(&b)) && text.parse::<f64>().is_ok();
        let value = parts.next().is_some_and(number);
        let kind = parts.next().is_some_and(|kind| ["c", "ms", "g"].contains(&kind));
        let rate = parts.next().is_none_or(|rate| rate.strip_prefix('@').is_some_and(number));
        let (open, close) = match tags {
            Tags::Influx => (',', true),
            Tags::Graphite => (';', true),
            _ => (';', false),
        };
        let (name, inside) = name.split_once(open).map_or((name, None), |(name, tags)| (name, Some(tags)));
        word(name)
            && inside.is_none_or(|inside| close && pairs(inside, open, '='))
            && suffix.is_none_or(|suffix| tags == Tags::Dogstatsd && pairs(suffix, ',', ':'))
            && value
            && kind
            && rate
            && parts.next().is_none()
    }

    fn values() -> impl Strategy<Value = Value> {
        prop_oneof![
            any::<String>().prop_map(Value::from),
            "[:|@#;,=\n\r\0\"\\\\ a.]{0,12}".prop_map(Value::from),
            any::<f64>().prop_map(Value::from),
            any::<i64>().prop_map(Value::from),
            any::<bool>().prop_map(Value::from),
            Just(Value::Null),
            Just(Value::List(vec!["x\n".into()])),
            Just(Value::Map([("|c\n", 1)].into_iter().collect::<Fields>())),
        ]
    }

    proptest! {
        #[test]
        fn no_line_holds_a_separator_that_came_from_a_message(
            kind in prop_oneof![Just("counter"), Just("timer"), Just("gauge")],
            (payload, name, logger, rate) in (values(), values(), values(), values()),
            (key, value) in ("[:|#a=]{1,4}", values()),
            own in any::<String>(),
            dialect in 0..4_usize,
        ) {
            let message = Message::new(kind)
                .logger(own)
                .payload(payload)
                .field("name", name)
                .field("logger", logger)
                .field(key.clone(), value)
                .field("rate", rate);
            let mut text = Vec::new();
            wire::write(&mut text, &message);
            let tags = ALL[dialect];
            let naming = Naming { prefix: "p.".into(), namespace: true, tags, tag_fields: vec![key, "name".into()] };
            let mut metric = Metric::default();
            if let Ok(kind) = metric.read(&text, &naming) {
                let mut out = String::new();
                let Metric { name, suffix, value, rate, .. } = &metric;
                line::write(&mut out, kind, name, *value, *rate, suffix);
                prop_assert!(line::width(kind, name, *value, *rate, suffix) >= out.len());
                let out = out.strip_suffix('\n').expect("ended");
                let lines: Vec<&str> = out.split('\n').collect();
                prop_assert_eq!(lines.len(), if kind == Kind::Gauge && *value < 0.0 { 2 } else { 1 });
                prop_assert!(lines.iter().all(|line| is_sound(line, tags)), "{}", out);
            }
        }

        #[test]
        fn bytes_of_any_kind_are_a_metric_or_refused(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
            let naming = Naming { prefix: String::new(), namespace: true, tags: Tags::None, tag_fields: vec![] };
            let _either = Metric::default().read(&bytes, &naming);
        }
    }

    #[test]
    fn a_lenient_message_counts_as_its_strict_form() {
        let naming = Naming { prefix: String::new(), namespace: true, tags: Tags::None, tag_fields: vec![] };
        let mut metric = Metric::default();
        // Without an envelope worth the name, and a number that is a text.
        let sparse = br#"{"type":"timer","payload":"12.5","fields":{"name":"a"},"logger":null}"#;
        assert_eq!(metric.read(sparse, &naming), Ok(Kind::Timer));
        assert_eq!((metric.name.as_str(), metric.value, metric.rate), ("a", 12.5, 1.0));
    }
}
