//! An event as what is posted, within Sentry's sizes.

use sentry_types::protocol::v7::{Envelope, Event, Values};
use std::mem::take;

/// Bytes of an envelope. Sentry refuses events above 1 MiB, and above 200 kB as compressed; what is smaller than that
/// before it is compressed always fits.
pub const LARGEST: usize = 190_000;

/// The bytes of an event's envelope. One that is too large loses what helps least, until it fits.
pub fn of(mut event: Event<'static>) -> Result<Vec<u8>, String> {
    for step in 0.. {
        let mut body = Vec::new();
        let envelope: Envelope = event.clone().into();
        envelope.to_writer(&mut body).map_err(|error| format!("it cannot be written as an envelope: {error}"))?;
        if body.len() <= LARGEST {
            return Ok(body);
        }
        let Some(left_out) = shrink(&mut event, step) else {
            return Err(format!("its event is {} bytes, and Sentry takes {LARGEST}", body.len()));
        };
        event.extra.insert("metlog_cut".into(), left_out.into());
    }
    Err("its event has no end".into())
}

/// Takes something away and says what; none when nothing is left to take.
fn shrink(event: &mut Event<'static>, step: usize) -> Option<&'static str> {
    let stacks = event.exception.values.iter_mut().filter_map(|error| error.stacktrace.as_mut());
    match step {
        0 => {
            let crumbs = &mut event.breadcrumbs.values;
            crumbs.drain(..crumbs.len().saturating_sub(20));
            Some("breadcrumbs")
        }
        1 => {
            event.breadcrumbs = Values::new();
            stacks.flat_map(|stack| &mut stack.frames).for_each(|frame| frame.context_line = None);
            Some("breadcrumbs, source lines")
        }
        2 => {
            event.extra.retain(|name, value| name == "metlog" || value.to_string().len() < 1024);
            Some("breadcrumbs, source lines, large fields")
        }
        3 => {
            for stack in stacks {
                let (all, kept) = (stack.frames.len(), 20);
                if all > kept {
                    stack.frames.drain(..all - kept);
                    stack.frames_omitted = Some((0, (all - kept) as u64));
                }
            }
            Some("breadcrumbs, source lines, large fields, outer frames")
        }
        4 => {
            event.extra.clear();
            let errors = &mut event.exception.values;
            errors.drain(..errors.len().saturating_sub(5));
            Some("breadcrumbs, source lines, fields, outer frames, first causes")
        }
        5 => {
            take(&mut event.tags);
            Some("breadcrumbs, source lines, fields, outer frames, first causes, tags")
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::event::{self, Shape};
    use crate::place::Part;
    use crate::trail::Trails;
    use metlog_message::message::Origin;
    use metlog_message::{Fields, Message, Severity, Timestamp, Value, wire};
    use proptest::prelude::*;

    fn text() -> impl Strategy<Value = String> {
        let line = prop_oneof![
            Just("Traceback (most recent call last):".to_owned()),
            Just("During handling of the above exception, another exception occurred:".to_owned()),
            Just("Stack:".to_owned()),
            "Caused by: ?\\PC{0,9}",
            "  File \"\\PC{0,9}\", line [0-9]{1,25}, in \\PC{0,9}",
            "   [0-9]{1,12}: (0x[0-9a-f]{4} - )?\\PC{0,9}(::h[0-9a-f]{16})?",
            "             at \\PC{0,9}:[0-9]{0,25}:[0-9]{0,9}",
            "[A-Za-z.]{1,9}: \\PC{0,9}",
            "(?s).{0,20}",
        ];
        let lines = prop::collection::vec(line, 0..12).prop_map(|lines| lines.join("\n"));
        (lines, prop_oneof![9 => Just(1usize), 1 => 1usize..2000]).prop_map(|(text, times)| text.repeat(times))
    }

    fn value() -> impl Strategy<Value = Value> {
        let leaf = prop_oneof![
            Just(Value::Null),
            any::<bool>().prop_map(Value::from),
            any::<i64>().prop_map(Value::from),
            any::<u128>().prop_map(Value::from),
            any::<f64>().prop_map(Value::from),
            text().prop_map(Value::from),
        ];
        leaf.prop_recursive(8, 40, 6, |inner| {
            prop_oneof![
                prop::collection::vec(inner.clone(), 0..6).prop_map(Value::List),
                prop::collection::vec((".{0,12}", inner), 0..6)
                    .prop_map(|entries| Value::Map(entries.into_iter().collect())),
            ]
        })
    }

    fn message() -> impl Strategy<Value = Message> {
        let name = "exception|error_type|stack_trace|backtrace|error|user_id|trace_id|span_id|release|environment|file|line|panic|tag|.{0,12}";
        let fields = prop::collection::vec((name, value()), 0..8).prop_map(|all| all.into_iter().collect::<Fields>());
        let origin = prop::option::of((".{0,20}", any::<u64>()));
        (text(), text(), 0i64..8, any::<i64>(), prop_oneof![text().prop_map(Value::from), value()], fields, origin)
            .prop_map(|(kind, logger, severity, nanos, payload, fields, origin)| Message {
                severity: Severity::from_number(severity).unwrap_or_default(),
                timestamp: Timestamp::from_nanos(nanos),
                hostname: Some(logger.clone()),
                pid: Some(nanos),
                origin: origin.map(|(client, seq)| Origin { client, seq }),
                fields,
                ..Message::new(kind).payload(payload).logger(logger)
            })
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(96))]
        #[test]
        fn any_message_makes_a_valid_envelope(one in message(), before in prop::collection::vec(message(), 0..20)) {
            let shape = Shape {
                release: None,
                environment: Some("test".into()),
                tags: vec!["tag".into(), "error".into()],
                fingerprint: Part::all(&["type", "place", "field:tag"].map(str::to_owned)).unwrap(),
            };
            let mut trails = Trails::new(100);
            for (id, said) in before.into_iter().enumerate() {
                trails.add(id as u64, &Message { origin: one.origin.clone(), ..said });
            }
            let mut line = Vec::new();
            wire::write(&mut line, &one);
            let id = event::id(&one, 50, &line);
            let body = of(event::of(&one, id, &shape, trails.before(50, &one))).unwrap();
            prop_assert!(body.len() <= LARGEST);

            let mut lines = body.splitn(3, |&byte| byte == b'\n');
            let mut next = || serde_json::from_slice::<serde_json::Value>(lines.next().unwrap_or_default()).unwrap();
            let (head, item) = (next(), next());
            let rest = lines.next().unwrap_or_default();
            prop_assert_eq!(&head["event_id"], &serde_json::Value::from(id.to_string()));
            prop_assert_eq!(item["length"].as_u64(), Some(rest.len() as u64 - 1));
            let event: serde_json::Value = serde_json::from_slice(rest).unwrap();
            let length = |value: &serde_json::Value| value.as_str().map_or(0, |text| text.chars().count());
            prop_assert!(length(&event["message"]) <= 8192 && length(&event["logger"]) <= 64);
            for (_, tag) in event["tags"].as_object().into_iter().flatten() {
                prop_assert!((1..=200).contains(&length(tag)) && tag.as_str().is_some_and(|tag| !tag.contains('\n')));
            }
            prop_assert!(event["timestamp"].as_f64().is_some_and(|time| time >= 0.0));
            let _: Event<'static> = serde_json::from_value(event).unwrap();
        }
    }
}
