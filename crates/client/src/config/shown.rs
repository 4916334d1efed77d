//! The effective configuration as it can be read back: what was written, with secrets struck out.

use metlog_message::{Fields, Value};
use metlog_settings::{Kind, Node};

/// A key whose name contains one of these words holds a secret; too many struck out is better than one too few.
const SECRET: [&str; 9] = ["password", "passwd", "secret", "token", "key", "dsn", "auth", "credential", "cookie"];

/// The tree as a value.
pub fn value(node: &Node) -> Value {
    show("", node)
}

fn show(key: &str, node: &Node) -> Value {
    // A reference to a variable is shown as it was written: the variable may hold anything.
    if let Some(written) = node.written.as_deref().filter(|written| written.contains("${")) {
        return Value::from(written);
    }
    match &node.kind {
        Kind::Table(table) => Value::Map(table.iter().map(|(key, _, node)| (key, show(key, node))).collect::<Fields>()),
        _ if is_secret(key) => Value::from("***"),
        Kind::List(list) => Value::List(list.iter().map(|node| show(key, node)).collect()),
        Kind::Text(text) => Value::from(without_password(text)),
        Kind::Bool(truth) => Value::Bool(*truth),
        Kind::Int(number) => Value::from(*number),
        Kind::Float(number) => Value::Float(*number),
        _ => Value::Null,
    }
}

fn is_secret(key: &str) -> bool {
    let key = key.to_ascii_lowercase();
    !key.ends_with("_file") && SECRET.iter().any(|word| key.contains(word))
}

/// `http://user:password@host` without the middle.
fn without_password(text: &str) -> String {
    let Some((scheme, rest)) = text.split_once("://") else { return text.to_owned() };
    let end = rest.find(['/', '?', '#']).unwrap_or(rest.len());
    match rest.get(..end).and_then(|authority| authority.rsplit_once('@')) {
        Some((_, host)) => format!("{scheme}://***@{host}{}", rest.get(end..).unwrap_or_default()),
        None => text.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn secrets_are_struck_out_and_the_rest_is_not() {
        let json = serde_json::json!({
            "logger": "shop", "api_key": "k1", "password": ["a"], "key_file": "/etc/key",
            "nested": {"auth_token": 5, "url": "https://u:p@host/path"},
        });
        let shown = serde_json::to_string(&value(&Node::from_json(&json))).expect("JSON");
        for secret in ["k1", "\"a\"", "u:p", "5"] {
            assert!(!shown.contains(secret), "{shown}");
        }
        for kept in ["shop", "/etc/key", "https://***@host/path"] {
            assert!(shown.contains(kept), "{shown}");
        }
    }
}
