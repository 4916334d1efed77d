//! Whatever is put into a line is what a reader of CEF gets out of it.

mod support;

use metlog_cef::{Cef, Event};
use metlog_message::Value;
use proptest::prelude::*;
use support::client;

/// Splits where `separator` stands without a backslash, and undoes the escapes of the parts.
fn unescape(text: &str, separator: char) -> Vec<String> {
    let mut parts = vec![String::new()];
    let mut characters = text.chars();
    while let Some(c) = characters.next() {
        let c = match c {
            '\\' => match characters.next().expect("something behind every backslash") {
                'n' => '\n',
                'r' => '\r',
                other => {
                    assert!(other == '\\' || other == separator, "\\{other} is no escape");
                    other
                }
            },
            c if c == separator => {
                parts.push(String::new());
                continue;
            }
            c => c,
        };
        parts.last_mut().unwrap().push(c);
    }
    parts
}

/// Header fields, and extensions in order.
fn read(line: &str) -> (Vec<String>, Vec<(String, String)>) {
    assert!(!line.contains(['\n', '\r']), "one line: {line:?}");
    // The header ends at the seventh separator that stands alone.
    let mut escaped = false;
    let bars = line.char_indices().filter(|(_, c)| {
        let bar = *c == '|' && !escaped;
        escaped = *c == '\\' && !escaped;
        bar
    });
    let end = bars.map(|(at, _)| at).nth(6).expect("seven separators");
    let header = unescape(&line[..end], '|');
    // A key is the word before an equals sign that stands alone; so a value ends at the last blank before the next one.
    let mut extensions: Vec<(String, String)> = Vec::new();
    let mut key = String::new();
    for (at, part) in unescape(&line[end + 1..], '=').into_iter().enumerate() {
        if at == 0 {
            key = part;
            continue;
        }
        extensions.push((std::mem::take(&mut key), part));
        let last = extensions.last_mut().unwrap();
        if let Some((value, next)) = last.1.clone().rsplit_once(' ') {
            last.1 = value.to_owned();
            key = next.to_owned();
        }
    }
    // The very last value has no key behind it.
    if let Some(last) = extensions.last_mut()
        && !key.is_empty()
    {
        last.1 = format!("{} {key}", last.1);
    }
    (header, extensions)
}

/// Mostly what has a meaning in CEF. A last word would be taken for a key by `read`, so texts end in no blank.
fn text() -> impl Strategy<Value = String> {
    let parts =
        ["|", "\\", "=", "\n", "\r", " ", "a", "src=1.2.3.4", " suser=x", "CEF:0|", "é", "\u{2028}", "\0", "\\n"];
    prop::collection::vec(prop::sample::select(parts.to_vec()), 0..12).prop_map(|parts| format!("{}.", parts.concat()))
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 512, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn lines_read_back(
        name in text(), signature in text(), user in text(), path in text(), agent in text(), host in text(), value in text(),
    ) {
        let client = client("vendor = 'v|'\nproduct = 'p\\'\ndevice_version = '''\n1'''\n");
        let event = Event::new(&name, 3)
            .signature(&signature)
            .user(&user)
            .request("GET", &path)
            .from_address("::1")
            .host(&host)
            .user_agent(&agent)
            .extension("k", value.as_str());
        let (header, extensions) = read(&client.cef(&event).unwrap());
        let expected = ["Nov 20 22:00:50 web01 CEF:0", "v|", "p\\", "1", &signature, &name, "3"];
        prop_assert_eq!(header, expected);
        let expected = [
            ("cs1Label", "requestClientApplication"),
            ("cs1", &agent),
            ("requestMethod", "GET"),
            ("request", &path),
            ("src", "::1"),
            ("dhost", &host),
            ("suser", &user),
            ("k", &value),
        ];
        prop_assert_eq!(extensions, expected.map(|(key, value)| (key.to_owned(), value.to_owned())));
    }

    #[test]
    fn keys_and_lengths_do_no_harm(keys in prop::collection::vec(("\\PC{0,20}", "\\PC{0,300}"), 0..12)) {
        let client = client("vendor = 'v'\nproduct = 'p'\ndevice_version = '1'\n");
        let event = keys.iter().fold(Event::new("n", 1), |event, (key, value)| event.extension(key, value.as_str()));
        let line = client.cef(&event).unwrap();
        prop_assert!(line.len() <= 1024);
        let message = client.take().remove(0);
        let left_out = message.fields.get("cef_left_out").and_then(Value::as_list).map_or(0, <[Value]>::len);
        let different: std::collections::BTreeSet<&String> = keys.iter().map(|(key, _)| key).collect();
        let (_, extensions) = unescaped_keys(&line);
        prop_assert_eq!(extensions - 7 + left_out, different.len());
    }
}

/// How many equals signs stand alone, each behind a key.
fn unescaped_keys(line: &str) -> (&str, usize) {
    let at = line.find("cs1Label=").unwrap();
    (&line[..at], unescape(&line[at..], '=').len() - 1)
}
