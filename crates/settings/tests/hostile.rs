//! Whatever the bytes are, the readers answer; they neither panic nor loop.

use metlog_settings::{Node, Secret, Size, Span, dotenv, expand, ini, read, source, toml};
use proptest::prelude::*;
use serde::Deserialize;
use std::collections::BTreeMap;
use std::time::Duration;

fn lookup(name: &str) -> Option<String> {
    (name.len() < 2).then(|| format!("<{name}>\n[x]\ny=1"))
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
#[expect(dead_code, reason = "only read")]
struct Everything {
    a: Option<u8>,
    b: Vec<String>,
    c: BTreeMap<String, Size>,
    d: Option<Span>,
    k: Choice,
    s: Option<Box<Everything>>,
}

#[derive(Debug, Deserialize)]
#[expect(dead_code, reason = "only read")]
enum Choice {
    A,
    B(u8),
    C(u8, String),
    D { a: bool },
}

fn try_all(bytes: &[u8]) {
    let Ok(text) = source::decode("x", bytes, 1 << 20) else { return };
    let trees =
        [ini::read("x", text, true, &lookup), ini::read("x", text, false, &lookup), toml::read("x", text, &lookup)];
    for tree in trees {
        match tree {
            Ok(tree) => check(tree),
            Err(problems) => assert!(!problems.to_string().is_empty()),
        }
    }
    let _ = dotenv::read("x", text);
    let _ = expand::expand(text, &lookup);
    let _ = text.parse::<Span>();
    let _ = text.parse::<Size>();
}

fn check(mut tree: Node) {
    if let Err(problems) = read::<Everything>(&tree) {
        assert!(!problems.is_empty());
    }
    let _ = read::<BTreeMap<String, BTreeMap<String, String>>>(&tree);
    let _ = tree.resolve_files(&["a"]);
    let _ = Node::from_json(&tree.to_json());
    let merged = metlog_settings::Layers::default().tree(tree.clone()).merge().unwrap();
    assert_eq!(merged, tree);
}

/// Text made of what the formats give a meaning to.
fn syntax() -> impl Strategy<Value = String> {
    let parts = [
        "[",
        "]",
        "[s]\n",
        "[a.b]",
        "\n",
        "\n ",
        " ",
        "=",
        ":",
        ";",
        " ;",
        "#",
        "%",
        "%(",
        ")s",
        "%(a)s",
        "${",
        "}",
        ":-",
        "$",
        "a",
        "b",
        "k",
        "s",
        "a = ",
        "5",
        "1.5",
        "-",
        "\"",
        "'",
        "\\",
        "{",
        ",",
        ".",
        "rem",
        "DEFAULT",
        "é",
        "\r\n",
        "\t",
        "10 MiB",
        "1h",
        "export ",
        "\u{feff}",
        "\0",
        "a_file = 'x'\n",
        "[[s]]\n",
        "k = { B = 1 }\n",
        "true",
        "\"a.b\" = 1\n",
        "\"x\\\"y[0]\" = 1\n",
        "[\"q.r\".s]\n",
        "'k[1].z' = {}\n",
        "= 1\n",
    ];
    prop::collection::vec(prop::sample::select(parts.to_vec()), 0..60).prop_map(|parts| parts.concat())
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 512, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn any_bytes(bytes in prop::collection::vec(any::<u8>(), 0..300)) {
        try_all(&bytes);
    }

    #[test]
    fn any_text(text in "\\PC{0,200}") {
        try_all(text.as_bytes());
    }

    #[test]
    fn any_syntax(text in syntax()) {
        try_all(text.as_bytes());
    }

    #[test]
    fn sizes_and_times_round_trip(bytes: u64, seconds: u64, nanoseconds in 0u32..1_000_000_000) {
        prop_assert_eq!(Size(bytes).to_string().parse::<Size>(), Ok(Size(bytes)));
        let span = Span(Duration::new(seconds, nanoseconds));
        prop_assert_eq!(span.to_string().parse::<Span>(), Ok(span));
    }

    #[test]
    fn numbers_are_converted_as_metlog_did(number: i64) {
        let text = format!("[s]\nk = {number}\n");
        let tree = ini::read("x", &text, false, &lookup).unwrap();
        prop_assert_eq!(tree.to_json(), serde_json::json!({"s": {"k": number}}));
    }
}

#[test]
fn a_file_of_a_secret_has_an_end_and_something_in_it() {
    let path = std::env::temp_dir().join(format!("metlog-settings-secret-{}", std::process::id()));
    let read = |text: &str| {
        std::fs::write(&path, text).expect("written");
        Secret::from_file(&path).map(|secret| secret.reveal().to_owned())
    };
    assert_eq!(read(" two words\r\n"), Ok(" two words".to_owned()));
    for (text, words) in [("", "is empty"), (" \n", "is empty"), ("hunter2\0", "a NUL")] {
        let why = read(text).expect_err(words);
        assert!(why.starts_with(&*path.to_string_lossy()) && why.contains(words) && !why.contains("hunter2"), "{why}");
    }
    std::fs::remove_file(&path).expect("removed");
    for (path, words) in [("/dev/zero", "is larger than"), ("no/such/file", "no/such/file: cannot be read")] {
        let why = Secret::from_file(path.as_ref()).expect_err(words);
        assert!(why.contains(words), "{why}");
    }
}
