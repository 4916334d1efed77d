//! TOML to the located tree.

use metlog_settings::{MAX_DEPTH, toml};
use serde_json::json;

fn lookup(name: &str) -> Option<String> {
    (name == "HOME").then(|| "/home/me".to_owned())
}

#[test]
fn values_and_references() {
    let text = r#"
        a = "${HOME}/x"
        b = [1, 2.5, true, "t"]
        c = { d = 0x1f, "e.f" = 1979-05-27 }
        [g.h]
        i = ''
        [[j]]
        [[j]]
        k = "$${HOME}"
    "#;
    let tree = toml::read("m.toml", text, &lookup).unwrap();
    let expected = json!({
        "a": "/home/me/x", "b": [1, 2.5, true, "t"], "c": {"d": 31, "e.f": "1979-05-27"},
        "g": {"h": {"i": ""}}, "j": [{}, {"k": "${HOME}"}],
    });
    assert_eq!(tree.to_json(), expected);
}

#[test]
fn keys_and_values_know_their_place() {
    let tree = toml::read("m.toml", "# é\n[a]\n\"é\" = { b =  [1,\n  2] }\n", &lookup).unwrap();
    let a = tree.get("a").unwrap();
    assert_eq!(a.origin.to_string(), "m.toml:2:1");
    assert_eq!(a.as_table().unwrap().key_origin("é").unwrap().to_string(), "m.toml:3:1");
    let inner = a.get("é").unwrap();
    assert_eq!(inner.origin.to_string(), "m.toml:3:7");
    let list = inner.get("b").unwrap();
    assert_eq!(list.origin.to_string(), "m.toml:3:14");
    assert_eq!(list.as_list().unwrap()[1].origin.to_string(), "m.toml:4:3");
}

#[test]
fn keys_keep_the_order_of_the_file() {
    let tree = toml::read("m.toml", "z = 1\na = 2\n[y]\n[b]\n", &lookup).unwrap();
    let keys: Vec<_> = tree.as_table().unwrap().iter().map(|(key, _, _)| key).collect();
    assert_eq!(keys, ["z", "a", "y", "b"]);
}

#[test]
fn mistakes_are_located() {
    let problems = toml::read("m.toml", "a = 1\nb = \nc = 2\na = 3\n", &lookup).unwrap_err().to_string();
    assert_eq!(
        problems,
        "m.toml:2:5: string values must be quoted, expected literal string\nm.toml:4:1: duplicate key"
    );
    let problems = toml::read("m.toml", "a = \"${NOPE}\"\nb = [\"${ALSO}\"]\n", &lookup).unwrap_err().to_string();
    let expected = "\
m.toml:1:5: environment variable `NOPE` is not set; set it, or give a default: `${NOPE:-default}`
m.toml:2:6: environment variable `ALSO` is not set; set it, or give a default: `${ALSO:-default}`";
    assert_eq!(problems, expected);
}

#[test]
fn depth_is_limited() {
    for text in [
        format!("a = {}{}", "[".repeat(MAX_DEPTH + 5), "]".repeat(MAX_DEPTH + 5)),
        format!("{}a = 1", "a.".repeat(MAX_DEPTH + 5)),
        format!("[{}a]", "a.".repeat(300_000)),
        format!("a = {}", "[".repeat(500_000)),
    ] {
        assert!(toml::read("m.toml", &text, &lookup).is_err());
    }
}

#[test]
fn one_endless_line_is_no_trouble() {
    let keys: String = (0..60_000).map(|n| format!("é{n}=1,").replace('é', "\"é\".")).collect();
    let text = format!("a = {{ {} }}", keys.trim_end_matches(','));
    let started = std::time::Instant::now();
    let _ = toml::read("m.toml", &text, &lookup);
    assert!(started.elapsed().as_secs() < 20, "took {:?}", started.elapsed());
}
