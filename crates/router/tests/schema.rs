//! The schema for editors says of a configuration what the router says of it.

use metlog_router::config;
use metlog_router::sections;
use metlog_settings::toml;
use serde_json::{Value, json};
use std::process::Command;

fn schema() -> Value {
    let output = Command::new(env!("CARGO_BIN_EXE_metlog-router")).arg("schema").output().unwrap();
    assert!(output.status.success() && output.stderr.is_empty());
    serde_json::from_slice(&output.stdout).expect("JSON")
}

fn parsed(text: &str) -> Value {
    toml::read("test.toml", text, &|_| None).unwrap_or_else(|problems| panic!("{problems}\n{text}")).to_json()
}

/// As much of JSON Schema as ours uses; it stops at any word it does not know. What is wrong, and where.
fn wrong(root: &Value, schema: &Value, value: &Value, at: &str) -> Option<String> {
    let Value::Object(words) = schema else {
        return (schema == &json!(false)).then(|| format!("{at}: nothing is allowed here"));
    };
    if let Some(target) = words.get("$ref").and_then(Value::as_str) {
        assert_eq!(words.len(), 1, "draft 7 ignores what stands beside a reference: {schema}");
        let target = root.pointer(target.strip_prefix('#').unwrap()).unwrap_or_else(|| panic!("nothing at {target}"));
        return wrong(root, target, value, at);
    }
    let here = |schema: &Value| wrong(root, schema, value, at);
    words.iter().find_map(|(word, rule)| {
        let fits = match word.as_str() {
            "$schema" | "title" | "description" | "definitions" | "then" | "else" => true,
            "type" => match rule {
                Value::Array(words) => words.iter().any(|word| is(word, value)),
                word => is(word, value),
            },
            "const" => value == rule,
            "enum" => rule.as_array().unwrap().contains(value),
            "minimum" => value.as_f64().is_none_or(|number| number >= rule.as_f64().unwrap()),
            "maximum" => value.as_f64().is_none_or(|number| number <= rule.as_f64().unwrap()),
            "pattern" => value.as_str().is_none_or(|text| matches(rule, text)),
            "required" => {
                let has =
                    |key: &Value| value.as_object().is_none_or(|object| object.contains_key(key.as_str().unwrap()));
                rule.as_array().unwrap().iter().all(has)
            }
            "anyOf" => rule.as_array().unwrap().iter().any(|schema| here(schema).is_none()),
            "allOf" => return rule.as_array().unwrap().iter().find_map(here),
            "if" => {
                let branch = if here(rule).is_none() { "then" } else { "else" };
                return words.get(branch).and_then(here);
            }
            "items" => {
                let mut items = value.as_array().into_iter().flatten();
                return items.find_map(|item| wrong(root, rule, item, &format!("{at}[]")));
            }
            "propertyNames" => {
                return value.as_object().into_iter().flatten().find_map(|(key, _)| wrong(root, rule, &json!(key), at));
            }
            "properties" => {
                return value.as_object().into_iter().flatten().find_map(|(key, value)| {
                    rule.get(key).and_then(|schema| wrong(root, schema, value, &format!("{at}.{key}")))
                });
            }
            "additionalProperties" => {
                let named = |key: &str| words.get("properties").is_some_and(|properties| properties.get(key).is_some());
                let mut others = value.as_object().into_iter().flatten().filter(|(key, _)| !named(key));
                return others.find_map(|(key, value)| wrong(root, rule, value, &format!("{at}.{key}")));
            }
            other => panic!("the test does not know `{other}`"),
        };
        (!fits).then(|| format!("{at}: {value} does not fit {word}: {rule}"))
    })
}

fn is(word: &Value, value: &Value) -> bool {
    match word.as_str().unwrap() {
        "object" => value.is_object(),
        "array" => value.is_array(),
        "string" => value.is_string(),
        "boolean" => value.is_boolean(),
        "number" => value.is_number(),
        "integer" => value.is_i64() || value.is_u64(),
        other => panic!("the test does not know the type `{other}`"),
    }
}

fn matches(pattern: &Value, text: &str) -> bool {
    match pattern.as_str().unwrap() {
        r"\$\{" => text.contains("${"),
        "^[A-Za-z0-9_.-]{1,64}$" => {
            (1..=64).contains(&text.len())
                && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"_.-".contains(&byte))
        }
        other => panic!("the test does not know the pattern `{other}`"),
    }
}

fn verdict(schema: &Value, text: &str) -> Option<String> {
    wrong(schema, schema, &parsed(text), "")
}

/// Every section that `metlog-router example` prints.
fn examples() -> Vec<(String, String)> {
    let all = sections().into_iter().filter(|(kind, _)| ["input", "filter", "endpoint", "fleet"].contains(kind));
    let all =
        all.flat_map(|(kind, examples)| examples.into_iter().map(move |(name, text)| (format!("{kind}.{name}"), text)));
    let all: Vec<_> = all.collect();
    assert!(all.len() > 20);
    all
}

#[test]
fn every_example_fits_and_no_unknown_key_does() {
    let schema = schema();
    assert_eq!(verdict(&schema, config::DEFAULT), None);
    for (name, text) in examples() {
        assert!(config::from_toml("test.toml", &text).is_ok(), "{name}");
        assert_eq!(verdict(&schema, &text), None, "{name}\n{text}");
        let with_more = format!("{text}\nno_such_key = 1\n");
        assert!(config::from_toml("test.toml", &with_more).is_err(), "{name}");
        assert!(verdict(&schema, &with_more).is_some_and(|why| why.contains("no_such_key")), "{name}");
    }
}

#[test]
fn every_key_it_offers_is_known() {
    let schema = schema();
    let mut keys = 0;
    for (name, text) in examples() {
        for key in schema["definitions"][&name]["properties"].as_object().unwrap().keys() {
            keys += 1;
            let text = format!("{text}\n{key} = [[[]]]\n");
            if let Err(problems) = config::from_toml("test.toml", &text) {
                let said = problems.to_string();
                assert!(!said.contains(&format!("unknown key `{key}`")), "{name}: {said}");
            }
        }
    }
    assert!(keys > 200, "{keys}");
}

#[test]
fn a_key_that_is_needed_is_needed_here_too() {
    let schema = schema();
    let mut needed = 0;
    for (name, text) in examples() {
        let mut lines: Vec<&str> = text.lines().filter(|line| !line.starts_with('#')).collect();
        for at in (0..lines.len()).rev().filter(|at| *at > 0) {
            let line = lines.remove(at);
            let rest = lines.join("\n");
            let said =
                config::from_toml("test.toml", &rest).err().map(|problems| problems.to_string()).unwrap_or_default();
            if said.contains("missing key") {
                needed += 1;
                assert!(verdict(&schema, &rest).is_some(), "{name} without {line}: {said}");
            } else if said.is_empty() {
                assert_eq!(verdict(&schema, &rest), None, "{name} without {line}");
            }
            lines.insert(at, line);
        }
    }
    assert!(needed > 8, "{needed}");
}

#[test]
fn it_and_the_router_agree() {
    let schema = schema();
    let right = [
        "",
        "[router]\nhttp = ''\ndrain = '5s'\nthreads = 2\n",
        "[spool]\nsync = '1s'\nmax_bytes = 1000000\nkeep = 0.5\n",
        "[inputs.http]\nlisten = '127.0.0.1:0'\ndialects = 'http'\n",
        "[inputs.http]\nkeyless = ['http']\n[keys.app]\nscope = 'ingest'\nhash = 'sha256:1111111111111111111111111111111111111111111111111111111111111111'\nrate = '5/s'\ndialects = 'http'\n",
        "[inputs.udp]\nlisten = ['127.0.0.1:0', '127.0.0.1:1']\n",
        "[inputs.other]\ntype = 'udp'\nlisten = '127.0.0.1:0'\n",
        "[inputs.udp]\ntype = 'tcp'\nlisten = '127.0.0.1:0'\nack = true\n",
        "[filters.a]\ntype = 'not'\nof = 'b'\n[filters.b]\ntype = 'severity_max'\nseverity = 'warning'\n",
        "[filters.severity_max]\nseverity = 4\n",
        "[filters.f]\ntype = 'field'\npath = 'n'\nequals = 500\n",
        "[filters.f]\ntype = 'field'\npath = 'n'\nin = ['a', 5, true]\n",
        "[filters.old]\ntype = 'metlog.filters.severity_max'\nseverity = 4\n",
        "[endpoints.null]\nworkers = 4\nbatch_bytes = '1 MiB'\ntypes = 'counter'\nfilters = []\n",
        "[endpoints.x]\ntype = 'file'\npath = 'x'\ncompress = 'zstd'\nrotate_bytes = '1 MiB'\nseverity_max = 3\n",
        "[endpoints.x]\ntype = 'http'\nurl = 'http://127.0.0.1:1'\nconnection = { connect_timeout = '1s' }\n",
    ];
    for text in right {
        if let Err(problems) = config::from_toml("test.toml", text) {
            panic!("{problems}\n{text}");
        }
        assert_eq!(verdict(&schema, text), None, "{text}");
    }
    let not = [
        ("[endpoint.x]\n", ".endpoint"),
        ("[router]\nhtpp = ''\n", ".router.htpp"),
        ("[router]\nthreads = -1\n", ".router.threads"),
        ("[spool]\nmax_bytes = true\n", ".spool.max_bytes"),
        ("[inputs.upd]\n", ".inputs.upd"),
        ("[inputs.a]\ntype = 'tpc'\n", ".inputs.a.type"),
        ("[inputs.tcp]\nlisten = '127.0.0.1:1'\nakc = true\n", ".inputs.tcp.akc"),
        ("[inputs.http]\ndialects = ['htpp']\n", ".inputs.http.dialects"),
        ("[inputs.http]\nkeyless = ['htpp']\n", ".inputs.http.keyless"),
        ("[keys.app]\nscope = 'ingest'\n", ".keys.app"),
        ("[keys.app]\nscope = 'reed'\nhash = '${H:-}'\n", ".keys.app.scope"),
        ("[keys.app]\nkey = 'x'\nscope = 'read'\nhash = ''\n", ".keys.app.key"),
        ("[inputs]\nudp = 3\n", ".inputs.udp"),
        ("[inputs.'a b']\ntype = 'udp'\n", ".inputs"),
        ("[filters.a]\ntype = 'any'\n", ".filters.a"),
        ("[filters.a]\ntype = 'severity_max'\nseverity = -1\n", ".filters.a.severity"),
        ("[endpoints.x]\ntype = 'file'\n", ".endpoints.x"),
        ("[endpoints.x]\ntype = 'file'\npath = 'x'\ncompress = 'zst'\n", ".endpoints.x.compress"),
        ("[endpoints.x]\ntype = 'null'\nworkers = 0\n", ".endpoints.x.workers"),
        ("[endpoints.x]\ntype = 'null'\nfilters = 3\n", ".endpoints.x.filters"),
        ("[endpoints.x]\ntype = 'null'\nrequired = []\n", ".endpoints.x.required"),
    ];
    for (text, place) in not {
        assert!(config::from_toml("test.toml", text).is_err(), "{text}");
        let why = verdict(&schema, text).unwrap_or_else(|| panic!("taken for right:\n{text}"));
        assert!(why.starts_with(&format!("{place}:")), "{why}\n{text}");
    }
}

#[test]
fn what_stands_for_something_else_fits_everywhere() {
    let schema = schema();
    let text = "[router]\nthreads = '${THREADS}'\ndata = '${HOME}/d'\ntrusted_network = '${X:-true}'\n[spool]\nkeep = '${K}'\n\
                [endpoints.x]\ntype = 'file'\npath = 'x'\nformat = '${F}'\nworkers = '${N}'\n";
    let value: Value = serde_json::from_str(&{
        // Read without looking anything up.
        let sections = text.replace("${", "@{");
        parsed(&sections).to_string().replace("@{", "${")
    })
    .unwrap();
    assert_eq!(wrong(&schema, &schema, &value, ""), None);
}

#[test]
fn every_key_of_our_own_says_what_it_is() {
    let schema = schema();
    let ours = ["/properties/router", "/properties/spool", "/definitions/endpoint-keys", "/definitions/input.http"];
    for place in ours {
        let properties = schema.pointer(place).and_then(|section| section["properties"].as_object()).unwrap();
        for (key, property) in properties.iter().filter(|(key, _)| *key != "type") {
            assert!(property["description"].as_str().is_some_and(|text| text.len() > 10), "{place}: {key} {property}");
        }
    }
    assert_eq!(
        schema["definitions"]["endpoint.file"]["properties"]["rotate_every"]["description"]
            .as_str()
            .map(|text| text.starts_with("at midnight UTC")),
        Some(true)
    );
}
