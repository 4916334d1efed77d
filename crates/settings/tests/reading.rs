//! Settings structs from trees: what is taken for what, and the exact words when something is wrong.

use metlog_settings::{Node, Secret, Size, Span, ini, read, toml};
use serde::Deserialize;
use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

fn lookup(name: &str) -> Option<String> {
    match name {
        "PORT" => Some("5565".into()),
        "YES" => Some("yes".into()),
        "TOKEN" => Some("hunter2".into()),
        _ => None,
    }
}

fn from_ini<T: serde::de::DeserializeOwned>(text: &str) -> Result<T, String> {
    let tree = ini::read("m.ini", text, false, &lookup).unwrap();
    read(tree.get("s").unwrap()).map_err(|problems| problems.to_string())
}

fn from_toml<T: serde::de::DeserializeOwned>(text: &str) -> Result<T, String> {
    read(&toml::read("m.toml", text, &lookup).unwrap()).map_err(|problems| problems.to_string())
}

#[derive(Debug, Deserialize, PartialEq)]
#[serde(deny_unknown_fields)]
struct Sender {
    host: String,
    port: u16,
    #[serde(default)]
    bindstrs: Vec<String>,
    #[serde(default)]
    verbose: bool,
    rate: Option<f64>,
    #[serde(default)]
    limit: Size,
    wait: Option<Span>,
}

#[test]
fn what_is_asked_for_is_what_comes() {
    let text = "[s]\nhost = 5\nport = ${PORT}\nbindstrs = tcp://127.0.0.1:5565\nverbose = ${YES}\nrate = 1.5\nlimit = 10 MiB\nwait = 2\n";
    let expected = Sender {
        host: "5".into(),
        port: 5565,
        // Metlog splatted a lone text character by character, or looked for substrings in it.
        bindstrs: vec!["tcp://127.0.0.1:5565".into()],
        verbose: true,
        rate: Some(1.5),
        limit: Size(10 << 20),
        wait: Some(Span(Duration::from_secs(2))),
    };
    assert_eq!(from_ini(text), Ok(expected));
}

#[test]
fn text_asked_for_is_text_as_written() {
    #[derive(Debug, Deserialize, PartialEq)]
    struct Texts {
        a: String,
        b: String,
        c: String,
        d: Vec<String>,
        e: BTreeSet<u8>,
        f: Vec<String>,
        g: char,
        h: u128,
    }
    let text = "[s]\na = 007\nb = off\nc = -3\nd =\n  1\n  yes\n  x\ne = 3\nf =\ng = 7\nh = 340282366920938463463\n";
    let expected = Texts {
        a: "007".into(),
        b: "off".into(),
        c: "-3".into(),
        d: vec!["1".into(), "yes".into(), "x".into()],
        e: BTreeSet::from([3]),
        f: vec![],
        g: '7',
        h: 340_282_366_920_938_463_463,
    };
    assert_eq!(from_ini(text), Ok(expected));
    let texts: BTreeMap<String, String> = from_toml("a = 5\nb = 0x1f").unwrap();
    assert_eq!(texts, BTreeMap::from([("a".into(), "5".into()), ("b".into(), "31".into())]));
    assert_eq!(
        from_toml::<BTreeMap<String, String>>("a = true\nb = 1.5"),
        Err("m.toml:1:5: `a`: expected text, found `true`\nm.toml:2:5: `b`: expected text, found number `1.5`".into())
    );
}

#[test]
fn every_problem_of_a_section_at_once() {
    let text = "[s]\nhots = localhost\nport = 70000\nverbose = maybe\nrate = fast\nlimit = 10M\nwait = 5 parsecs\nbindstr = x\n";
    let expected = "\
m.ini:1:1: missing key `host`
m.ini:2:1: unknown key `hots`, expected one of `host`, `port`, `bindstrs`, `verbose`, `rate`, `limit`, `wait`; did you mean `host`?
m.ini:3:8: `port`: expected a whole number from 0 to 65535, found number `70000`
m.ini:4:11: `verbose`: expected `true` or `false`, found text `maybe`
m.ini:5:8: `rate`: expected a number, found text `fast`
m.ini:6:9: `limit`: `10M` can be meant in two ways; write 10 MiB (1024s) or 10 MB (1000s)
m.ini:7:8: `wait`: `5 parsecs` is not a time such as `250ms`, `1s`, `5m`, `2h` or `1d`, or a number of seconds
m.ini:8:1: unknown key `bindstr`, expected one of `host`, `port`, `bindstrs`, `verbose`, `rate`, `limit`, `wait`; did you mean `bindstrs`?";
    assert_eq!(from_ini::<Sender>(text), Err(expected.into()));
}

#[test]
fn a_wrong_value_is_not_reported_as_missing_too() {
    let expected = "m.ini:2:8: `port`: expected a whole number from 0 to 65535, found text `x`\nm.ini:3:8: `host`: expected text, found a list";
    assert_eq!(from_ini::<Sender>("[s]\nport = x\nhost = a\n b\n"), Err(expected.into()));
    assert_eq!(from_ini::<Sender>("[s]\n"), Err("m.ini:1:1: missing key `host`\nm.ini:1:1: missing key `port`".into()));
}

#[test]
fn looked_up_text_is_not_shown() {
    let problems = from_ini::<Sender>("[s]\nhost = h\nport = x${TOKEN}\n").unwrap_err();
    assert_eq!(problems, "m.ini:3:8: `port`: expected a whole number from 0 to 65535, found text `x${TOKEN}`");
    let problems = from_ini::<Sender>("[s]\nhost = h\nport = 1\nwait = ${TOKEN}\n").unwrap_err();
    assert!(problems.starts_with("m.ini:4:8: `wait`: `${TOKEN}` is not a time"), "{problems}");
    let problems = from_toml::<BTreeMap<String, Sync>>("a = '${TOKEN}'").unwrap_err();
    assert!(problems.starts_with("m.toml:1:5: `a`: unknown value `${TOKEN}`, expected"), "{problems}");
}

#[derive(Debug, Deserialize, PartialEq)]
#[serde(rename_all = "snake_case")]
enum Sync {
    Ack,
    Off,
    Every(Span),
    Custom { wait: Span, bytes: Size },
}

#[derive(Debug, Deserialize, PartialEq)]
#[serde(tag = "type", rename_all = "snake_case")]
enum Filter {
    Severity { max: u8 },
    Types { types: Vec<String> },
}

#[derive(Debug, Deserialize, PartialEq)]
#[serde(untagged)]
enum Target {
    One(String),
    Many(Vec<String>),
}

#[derive(Debug, Deserialize, PartialEq)]
#[serde(deny_unknown_fields)]
struct Router {
    sync: Sync,
    spool: Spool,
    #[serde(default)]
    filters: BTreeMap<String, Filter>,
    #[serde(default)]
    to: Option<Target>,
    #[serde(default)]
    pair: Option<(u8, String)>,
    #[serde(default, with = "metlog_settings::duration")]
    every: Duration,
}

#[derive(Debug, Deserialize, PartialEq)]
#[serde(deny_unknown_fields)]
struct Spool {
    path: String,
    max: Size,
    #[serde(default)]
    inner: Vec<Inner>,
}

#[derive(Debug, Deserialize, PartialEq)]
#[serde(deny_unknown_fields)]
struct Inner {
    key: u8,
}

#[test]
fn nested_structs_enums_and_lists() {
    let text = r#"
        sync = "ack"
        to = ["a", "b"]
        pair = [1, "x"]
        every = "250ms"
        spool = { path = "p", max = "1 GiB", inner = [{ key = 1 }, { key = "2" }] }
        filters = { loud = { type = "severity", max = 4 }, kinds = { type = "types", types = ["a"] } }
    "#;
    let router: Router = from_toml(text).unwrap();
    assert_eq!(router.sync, Sync::Ack);
    assert_eq!(router.to, Some(Target::Many(vec!["a".into(), "b".into()])));
    assert_eq!(router.pair, Some((1, "x".into())));
    assert_eq!(router.every, Duration::from_millis(250));
    assert_eq!(router.spool.inner, [Inner { key: 1 }, Inner { key: 2 }]);
    assert_eq!(router.filters["loud"], Filter::Severity { max: 4 });
    assert_eq!(
        from_toml::<BTreeMap<String, Sync>>("a = { every = '1s' }").unwrap()["a"],
        Sync::Every(Span(Duration::from_secs(1)))
    );
    let custom: BTreeMap<String, Sync> = from_toml("a.custom = { wait = 1, bytes = 2 }").unwrap();
    assert_eq!(custom["a"], Sync::Custom { wait: Span(Duration::from_secs(1)), bytes: Size(2) });
    // INI reads `off` as false; a variant of that name is meant all the same.
    #[derive(Debug, Deserialize)]
    struct Holder {
        sync: Sync,
    }
    assert_eq!(from_ini::<Holder>("[s]\nsync = off").unwrap().sync, Sync::Off);
}

#[test]
fn problems_deep_inside_are_all_found() {
    let text = r#"
sync = "akc"
every = -1
pair = [1]
to = 5
[spool]
max = "lots"
inner = [{ key = 1 }, { kye = 2 }, { key = 300 }, 7]
[filters.loud]
type = "severity"
max = "x"
[filters.other]
type = "severty"
[unknown]
"#;
    let expected = "\
m.toml:2:8: `sync`: unknown value `akc`, expected one of `ack`, `off`, `every`, `custom`; did you mean `ack`?
m.toml:3:9: `every`: expected a time such as `250ms`, `1s`, `5m`, `2h` or `1d`, or a number of seconds, found number `-1`
m.toml:4:8: `pair`: expected a tuple of size 2, found 1 elements
m.toml:5:6: `to`: data did not match any variant of untagged enum Target
m.toml:6:1: missing key `spool.path`
m.toml:7:7: `spool.max`: `lots` is not a size such as `512 KiB`, `10 MiB` or `1 GB`, or a number of bytes
m.toml:8:23: missing key `spool.inner[1].key`
m.toml:8:25: unknown key `spool.inner[1].kye`, expected `key`; did you mean `key`?
m.toml:8:44: `spool.inner[2].key`: expected a whole number from 0 to 255, found number `300`
m.toml:8:51: `spool.inner[3]`: expected a table, found number `7`
m.toml:9:1: `filters.loud`: expected a whole number from 0 to 255, found text `x`
m.toml:13:8: `filters.other.type`: unknown value `severty`, expected one of `severity`, `types`; did you mean `severity`?
m.toml:14:2: unknown key `unknown`, expected one of `sync`, `spool`, `filters`, `to`, `pair`, `every`";
    assert_eq!(from_toml::<Router>(text), Err(expected.into()));
}

#[test]
fn what_no_stand_in_fits_is_left_out_and_not_reported_twice() {
    #[derive(Debug, Deserialize)]
    #[serde(deny_unknown_fields)]
    #[expect(dead_code, reason = "only read")]
    struct Endpoint {
        filter: Filter,
        filters: Vec<Filter>,
        pair: (Filter, u8),
        port: u16,
    }
    #[derive(Debug, Deserialize)]
    #[expect(dead_code, reason = "only read")]
    struct Endpoints {
        one: Endpoint,
        two: Endpoint,
    }
    let text = r#"
[one]
filters = [{ type = "x" }, { type = "severity", max = 1 }, { type = "y" }]
pair = [{ type = "z" }, 1]
port = 'p'
[two]
filter = 5
"#;
    let expected = "\
m.toml:2:1: missing key `one.filter`
m.toml:3:21: `one.filters[0].type`: unknown value `x`, expected one of `severity`, `types`
m.toml:3:69: `one.filters[2].type`: unknown value `y`, expected one of `severity`, `types`
m.toml:4:18: `one.pair[0].type`: unknown value `z`, expected one of `severity`, `types`
m.toml:5:8: `one.port`: expected a whole number from 0 to 65535, found text `p`
m.toml:7:10: `two.filter`: expected internally tagged enum Filter, found number `5`";
    assert_eq!(from_toml::<Endpoints>(text).unwrap_err(), expected);
}

#[test]
fn flattened_settings_report_no_ghosts() {
    #[derive(Debug, Deserialize)]
    struct Common {
        #[expect(dead_code, reason = "only read")]
        host: String,
    }
    #[derive(Debug, Deserialize)]
    struct Outer {
        #[serde(flatten)]
        #[expect(dead_code, reason = "only read")]
        common: Common,
        #[expect(dead_code, reason = "only read")]
        port: u16,
    }
    assert_eq!(
        from_toml::<Outer>("port = 'x'").unwrap_err(),
        "m.toml:1:8: `port`: expected a whole number from 0 to 65535, found text `x`\nm.toml:1:1: missing key `host`"
            .split('\n')
            .rev()
            .collect::<Vec<_>>()
            .join("\n")
    );
    assert_eq!(from_toml::<BTreeMap<String, Filter>>("a = {}").unwrap_err(), "m.toml:1:5: missing key `a.type`");
}

#[test]
fn validation_of_the_struct_itself_is_placed() {
    #[derive(Debug, Deserialize)]
    #[serde(try_from = "u8")]
    struct Even;
    impl TryFrom<u8> for Even {
        type Error = String;
        fn try_from(number: u8) -> Result<Self, String> {
            if number.is_multiple_of(2) { Ok(Even) } else { Err(format!("{number} is odd")) }
        }
    }
    #[derive(Debug, Deserialize)]
    #[serde(deny_unknown_fields)]
    struct Two {
        #[expect(dead_code, reason = "only read")]
        a: Even,
        #[serde(alias = "bee")]
        #[expect(dead_code, reason = "only read")]
        b: Even,
    }
    let expected = "m.toml:1:5: `a`: 3 is odd\nm.toml:2:5: `b`: 5 is odd";
    assert_eq!(from_toml::<Two>("a = 3\nb = 5").unwrap_err(), expected);
    let expected = "m.toml:3:1: `bee`: is `b` under another name, and both are set; keep one of the two";
    assert_eq!(from_toml::<Two>("a = 2\nb = 2\nbee = 4").unwrap_err(), expected);
}

#[test]
fn settings_from_a_program_name_their_path() {
    let value = serde_json::json!({"host": "h", "port": 1, "nested": null, "limit": [1.5, u64::MAX, i64::MIN]});
    let node = Node::from_json(&value);
    assert_eq!(node.to_json(), value);
    let expected = "\
the program: unknown key `nested`, expected one of `host`, `port`, `bindstrs`, `verbose`, `rate`, `limit`, `wait`
the program: `limit`: expected a size such as `512 KiB`, `10 MiB` or `1 GB`, or a number of bytes, found a list";
    let mut problems: Vec<String> =
        read::<Sender>(&node).unwrap_err().iter().map(|problem| problem.to_string()).collect();
    problems.sort_by_key(|problem| !problem.contains("unknown"));
    assert_eq!(problems.join("\n"), expected);
}

#[test]
fn secrets_do_not_print() {
    #[derive(Debug, Deserialize)]
    struct Login {
        token: Secret,
    }
    let login: Login = from_ini("[s]\ntoken = ${TOKEN}").unwrap();
    assert_eq!(format!("{login:?} {}", login.token), "Login { token: *** } ***");
    assert_eq!(login.token.reveal(), "hunter2");
    assert_eq!(from_ini::<Login>("[s]\ntoken = 007").unwrap().token.reveal(), "007");
    let wrong = |text: &str| from_toml::<Login>(text).unwrap_err();
    assert_eq!(wrong("token = 12.34"), "m.toml:1:9: `token`: expected text, found a number");
    assert_eq!(wrong("token = true"), "m.toml:1:9: `token`: expected text, found a truth value");
    assert_eq!(wrong("token = ['x']"), "m.toml:1:9: `token`: expected text, found a list");
    assert_eq!(serde_json::from_str::<Secret>("\"x\"").unwrap().reveal(), "x");
}

#[test]
fn secrets_from_files() {
    let path = std::env::temp_dir().join(format!("metlog-secret-{}", std::process::id()));
    std::fs::write(&path, "hunter2\n").unwrap();
    let text = format!(
        "token_file = '{}'\npassword_file = 'x'\npassword = 'y'\nkey_file = '/no/such'\nname_file = 5\n",
        path.display()
    );
    let mut node = toml::read("m.toml", &text, &lookup).unwrap();
    let expected = "\
m.toml:2:1: `password` and `password_file` are both set; keep one of the two
m.toml:4:12: `key_file`: /no/such cannot be read: No such file or directory (os error 2)
m.toml:5:13: `name_file`: expected the path of a file";
    let problems = node.resolve_files(&["token", "password", "key", "name", "absent"]).unwrap_err();
    assert_eq!(problems.to_string(), expected);
    std::fs::remove_file(&path).unwrap();
    assert_eq!(node.to_json(), serde_json::json!({"token": "hunter2", "password": "y"}));
    let problems = read::<BTreeMap<String, u8>>(&node).unwrap_err().to_string();
    assert!(!problems.contains("hunter2"), "{problems}");
}

#[test]
fn very_many_mistakes_end() {
    let text: String = (0..20_000).map(|n| format!("k{n} = 1\n")).collect();
    let started = std::time::Instant::now();
    let problems = from_toml::<Sender>(&text).unwrap_err();
    assert_eq!(problems.lines().count(), 100);
    assert!(started.elapsed().as_secs() < 60, "took {:?}", started.elapsed());
}
