//! The CEF text: `date host CEF:version|vendor|product|device version|signature|name|severity|key=value key=value`.

/// Lines are cut here: syslog daemons of CEF's time took 1024 bytes.
pub(crate) const MAX_LINE: usize = 1024;

/// No value is longer, in characters; CEF says so of most keys. Without a limit a long header of a request could push
/// the whole event over what receivers take, and so hide it.
const MAX_VALUE: usize = 1023;

/// The keys every line has, in this order.
pub(crate) const KEYS: [&str; 7] = ["cs1Label", "cs1", "requestMethod", "request", "src", "dhost", "suser"];

fn escape(out: &mut String, text: &str, special: char) {
    for c in text.chars().take(MAX_VALUE) {
        match c {
            // Letters, not the characters themselves: an event must not be able to begin a line of its own.
            '\n' => out.push_str("\\n"),
            '\r' => out.push_str("\\r"),
            c if c == '\\' || c == special => out.extend(['\\', c]),
            c => out.push(c),
        }
    }
}

/// The part up to the last `|`.
pub(crate) fn header(date: &str, host: &str, fields: [&str; 7]) -> String {
    let mut line = format!("{date} {host} CEF:");
    for field in fields {
        escape(&mut line, field, '|');
        line.push('|');
    }
    line
}

/// Appends ` key=value`, without the blank at the beginning of the extensions.
pub(crate) fn extend(line: &mut String, key: &str, value: &str) {
    if !line.ends_with('|') {
        line.push(' ');
    }
    let good = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '-' | '.');
    line.extend(key.chars().take(MAX_VALUE).map(|c| if good(c) { c } else { '_' }));
    line.push('=');
    escape(line, value, '=');
}

/// Appends what fits, short values first. From the first that does not fit on, all are left out; their keys are
/// returned.
pub(crate) fn extend_all(line: &mut String, mut extensions: Vec<(String, String)>) -> Vec<String> {
    extensions.sort_by(|(a, x), (b, y)| (x.len(), a.len(), a).cmp(&(y.len(), b.len(), b)));
    let mut rest = extensions.into_iter();
    let mut left_out = Vec::new();
    for (key, value) in rest.by_ref() {
        if KEYS.contains(&key.as_str()) {
            left_out.push(key);
            continue;
        }
        let before = line.len();
        extend(line, &key, &value);
        if line.len() > MAX_LINE {
            line.truncate(before);
            left_out.push(key);
            break;
        }
    }
    left_out.extend(rest.map(|(key, _)| key));
    left_out
}
