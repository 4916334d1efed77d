//! Files and the environment over each other, through `config`.

use config::{Config, Environment as Variables, File};
use metlog_settings::{Environment, Ini, Layers, Node, Problems, Toml, layers};
use serde_json::json;
use std::collections::HashMap;

#[test]
fn our_formats_layer_through_configs_own_builder() {
    let variables = HashMap::from([("APP_METLOG__LOGGER".to_owned(), "from the environment".to_owned())]);
    let environment = Environment::fixed([("PORT", "5565")]);
    let built = Config::builder()
        .add_source(File::from_str("[metlog]\nlogger = file\nlist =\n  a\n  b\npath = C:\\new\n", Ini::default()))
        .add_source(File::from_str("[metlog]\nport = \"${PORT}\"", Toml { environment }))
        .add_source(Variables::with_prefix("APP").prefix_separator("_").separator("__").source(Some(variables)))
        .build()
        .unwrap();
    let tree = layers::from_config(&built);
    let expected =
        json!({"metlog": {"logger": "from the environment", "list": ["a", "b"], "path": "C:\\new", "port": "5565"}});
    assert_eq!(tree.to_json(), expected);
    let place = |key: &str| tree.get("metlog").unwrap().get(key).unwrap().origin.to_string();
    assert_eq!(place("logger"), "the environment");
    assert_eq!(place("path"), "<text>:6:8");
}

#[test]
fn problems_survive_configs_error() {
    let error = Config::builder().add_source(File::from_str("junk\n", Ini::default())).build().unwrap_err();
    let config::ConfigError::FileParse { cause, .. } = error else { panic!("{error}") };
    let problems = cause.downcast::<Problems>().unwrap();
    assert_eq!(problems.to_string(), "<text>:1:1: expected `name = value`, `[section]` or a comment");
}

fn places(node: &Node) -> Vec<(String, String, String)> {
    let entries = node.as_table().unwrap().iter();
    entries.map(|(key, origin, node)| (key.to_owned(), origin.to_string(), node.origin.to_string())).collect()
}

#[test]
fn order_places_and_dots_survive_merging() {
    let merged = Layers::new(Environment::default())
        .ini("base.ini", "[z]\n[metlog.x]\nk = 007\nb = 1\n[a]\n", false)
        .ini("over.ini", "[metlog.x]\nb =   2\n[new]\n", false)
        .merge()
        .unwrap();
    let row = |a: &str, b: &str, c: &str| (a.to_owned(), b.to_owned(), c.to_owned());
    let expected = [
        row("z", "base.ini:1:1", "base.ini:1:1"),
        row("metlog.x", "over.ini:1:1", "base.ini:2:1"),
        row("a", "base.ini:5:1", "base.ini:5:1"),
        row("new", "over.ini:3:1", "over.ini:3:1"),
    ];
    assert_eq!(places(&merged), expected);
    let inner = merged.get("metlog.x").unwrap();
    assert_eq!(places(inner), [row("k", "base.ini:3:1", "base.ini:3:5"), row("b", "over.ini:2:1", "over.ini:2:7")]);
    // `config` has no room for it; the tree it came from does.
    assert_eq!(inner.get("k").unwrap().written.as_deref(), Some("007"));
}

#[test]
fn variables_find_their_section_whatever_its_case() {
    // `config`'s own environment source makes a second section `receiver_main` beside the first.
    let environment = Environment::fixed([
        ("APP__RECEIVER_MAIN__BIND", "tcp://0.0.0.0:1"),
        ("APP__NEW__DEEP__KEY", "5"),
        ("OTHER", "x"),
    ]);
    let merged = Layers::new(environment)
        .ini("m.ini", "[Receiver_Main]\nbind = tcp://127.0.0.1:1\nkeep = 1\n", false)
        .variables("APP")
        .merge()
        .unwrap();
    let expected = json!({
        "Receiver_Main": {"bind": "tcp://0.0.0.0:1", "keep": 1},
        "new": {"deep": {"key": "5"}},
    });
    assert_eq!(merged.to_json(), expected);
    let bind = merged.get("Receiver_Main").unwrap().get("bind").unwrap();
    assert_eq!(bind.origin.to_string(), "environment variable APP__RECEIVER_MAIN__BIND");
}

#[test]
fn all_sources_report_at_once() {
    let environment = Environment::fixed([("APP____X", "1"), ("APP__A", "1"), ("APP__A__B", "2")]);
    let problems = Layers::new(environment)
        .ini("a.ini", "junk\n", false)
        .toml("b.toml", "a = \n")
        .file(std::path::Path::new("no/such/file.toml"))
        .variables("APP")
        .merge()
        .unwrap_err()
        .to_string();
    let expected = "\
a.ini:1:1: expected `name = value`, `[section]` or a comment
b.toml:1:5: string values must be quoted, expected literal string
no/such/file.toml: cannot be read: No such file or directory (os error 2)
environment variable APP__A__B: `a` cannot be a section, it has a value since environment variable APP__A
environment variable APP____X: must have a name on each side of every `__`";
    assert_eq!(problems, expected);
}

#[test]
fn files_are_read_by_their_extension() {
    let directory = std::env::temp_dir().join(format!("metlog-settings-{}", std::process::id()));
    std::fs::create_dir_all(&directory).unwrap();
    let write = |name: &str, text: &[u8]| {
        let path = directory.join(name);
        std::fs::write(&path, text).unwrap();
        path
    };
    let ini = write("a.ini", b"[a.b]\nk = 1\n");
    let toml = write("b.toml", b"\xef\xbb\xbf[a]\nk = 2\n");
    let merged = Layers::new(Environment::default()).file(&ini).file(&toml).merge().unwrap();
    assert_eq!(merged.to_json(), json!({"a.b": {"k": 1}, "a": {"k": 2}}));
    let odd = Layers::default().file(&write("c.xyz", b"")).merge().unwrap_err().to_string();
    assert!(
        odd.ends_with(
            "c.xyz: is of no known kind; its name must end in .toml, .yaml, .yml, .json, .ini, .cfg or .conf"
        ),
        "{odd}"
    );
    let bytes = Layers::default().file(&write("d.ini", b"[a]\nk = \xff\n")).merge().unwrap_err().to_string();
    assert!(bytes.ends_with("d.ini:2:5: is not UTF-8 text from here on"), "{bytes}");
    std::fs::remove_dir_all(&directory).unwrap();
}
