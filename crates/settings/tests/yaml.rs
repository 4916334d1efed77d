//! YAML and JSON: the same tree with the same places.

use metlog_settings::{Kind, Node, Problems, toml, yaml};

fn read(text: &str) -> Result<Node, Problems> {
    yaml::read("r.yaml", text, &|name| (name == "HOME").then(|| "/home/ann".to_owned()))
}

fn at<'a>(node: &'a Node, path: &str) -> &'a Node {
    path.split('.').fold(node, |node, key| node.get(key).unwrap_or_else(|| panic!("no {key} in {path}")))
}

const AS_TOML: &str = r#"
[router]
http = "127.0.0.1:5568"
drain = "2s"
threads = 2
[inputs.udp]
listen = ["127.0.0.1:5566", "[::1]:5566"]
trusted_network = false
[endpoints.out]
type = "file"
path = "/home/ann/all.jsonl"
"#;

#[test]
fn all_formats_say_the_same() {
    let as_yaml = "
router:
  http: 127.0.0.1:5568
  drain: 2s   # a comment
  threads: 2
inputs:
  udp:
    listen:
      - 127.0.0.1:5566
      - '[::1]:5566'
    trusted_network: false
endpoints:
  out: {type: file, path: \"${HOME}/all.jsonl\"}
";
    let as_json = r#"{"router": {"http": "127.0.0.1:5568", "drain": "2s", "threads": 2},
        "inputs": {"udp": {"listen": ["127.0.0.1:5566", "[::1]:5566"], "trusted_network": false}},
        "endpoints": {"out": {"type": "file", "path": "${HOME}\/all.jsonl"}}}"#;
    let toml = toml::read("r.toml", AS_TOML, &|_| None).expect("right").to_json();
    assert_eq!(read(as_yaml).expect("right").to_json(), toml);
    assert_eq!(read(as_json).expect("right").to_json(), toml);
}

#[test]
fn every_key_and_value_has_its_place() {
    let node = read("a:\n  ü: [1,\n    two]\nb: x\n").expect("right");
    let place = |path: &str| at(&node, path).origin.to_string();
    assert_eq!((place("a"), place("a.ü"), place("b")), ("r.yaml:2:3".into(), "r.yaml:2:6".into(), "r.yaml:4:4".into()));
    let Kind::List(items) = &at(&node, "a.ü").kind else { panic!("a list") };
    assert_eq!(items[1].origin.to_string(), "r.yaml:3:5");
    let key = at(&node, "a").as_table().expect("a table").key_origin("ü").expect("there");
    assert_eq!(key.to_string(), "r.yaml:2:3");
}

#[test]
fn plain_scalars_mean_what_the_core_schema_says() {
    for (text, kind) in [
        ("", Kind::Null),
        ("~", Kind::Null),
        ("true", Kind::Bool(true)),
        ("no", Kind::Text("no".into())),
        ("on", Kind::Text("on".into())),
        ("007", Kind::Int(7)),
        ("-12", Kind::Int(-12)),
        ("0x1f", Kind::Int(31)),
        ("1.5e3", Kind::Float(1500.0)),
        (".inf", Kind::Float(f64::INFINITY)),
        ("infinity", Kind::Text("infinity".into())),
        ("1.2.3", Kind::Text("1.2.3".into())),
        ("2026-11-21", Kind::Text("2026-11-21".into())),
        ("10 MiB", Kind::Text("10 MiB".into())),
        ("'5'", Kind::Text("5".into())),
        ("\"a\\nb\"", Kind::Text("a\nb".into())),
    ] {
        let node = read(&format!("k: {text}\n")).expect(text);
        assert_eq!(at(&node, "k").kind, kind, "{text}");
    }
    let node = read("password: 007\n").expect("right");
    assert_eq!(at(&node, "password").written.as_deref(), Some("007"), "it may be asked for as text");
    assert_eq!(read("# nothing\n").expect("right").to_json(), serde_json::json!({}));
}

#[test]
fn what_is_wrong_is_said_with_its_place() {
    for (text, words) in [
        ("a: 1\na: 2\n", "r.yaml:2:1: `a` is here a second time"),
        ("a: &x 1\nb: *x\n", "r.yaml:1:7: anchors (`&name`) are not understood here"),
        ("a: !!str 1\n", "tags (`!name`) are not understood"),
        ("a: 1\n---\nb: 2\n", "r.yaml:2:1: a second document begins here"),
        ("? [a]\n: 1\n", "cannot be a key"),
        ("a: [1, 2\nb: 3\n", "r.yaml:2:"),
        ("a:\n\t- 1\n", "r.yaml:2:"),
        ("a: ${NOBODY}\nb: ${NOR_HER}\n", "r.yaml:1:4: "),
        ("{\"a\": 1,, }", "r.yaml:1:"),
        ("a: 'open\n", "r.yaml:"),
    ] {
        let problems = read(text).expect_err(text).to_string();
        assert!(problems.contains(words), "{text:?}: {problems}");
    }
    let both = read("a: ${NOBODY}\nb: ${NOR_HER}\n").expect_err("two").to_string();
    assert!(both.contains("r.yaml:2:4"), "all of them at once: {both}");
}

#[test]
fn nothing_makes_it_recurse_or_grow() {
    for deep in
        [format!("a: {}{}", "[".repeat(100_000), "]".repeat(100_000)), "- ".repeat(50_000), "{a: ".repeat(50_000)]
    {
        assert!(read(&deep).is_err());
    }
    let laughs: String = (1..9).map(|n| format!("l{n}: &l{n} [*l{0}, *l{0}]\n", n - 1)).collect();
    assert!(read(&format!("l0: &l0 x\n{laughs}")).is_err());
}
