//! The reference pages of the book, made from what the program says of itself and from the comments in its source.

mod source;

use metlog_testkit::book::root;
use serde_json::{Map, Value};
use source::Source;
use std::collections::BTreeMap;
use std::fmt::Write;
use std::process::Command;

/// What is in none of the sections: each endpoint knows these keys.
const COMMON: &str = "endpoint-keys";

fn program(arguments: &[&str]) -> String {
    let output = Command::new(env!("CARGO_BIN_EXE_metlog-router"))
        .args(arguments)
        .env("COLUMNS", "100")
        .output()
        .expect("the program runs");
    assert!(output.status.success(), "{arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).expect("UTF-8")
}

/// Name and text of each page.
pub fn pages(metrics: &str) -> BTreeMap<String, String> {
    let schema: Value = serde_json::from_str(&program(&["schema"])).expect("JSON");
    let book = Book { schema, source: Source::read(&root()), sections: listed() };
    let pages = [
        ("cli", cli()),
        ("configuration", book.configuration()),
        ("inputs", book.plugins("input", "Inputs")),
        ("dialects", book.dialects()),
        ("filters", book.plugins("filter", "Filters")),
        ("endpoints", book.plugins("endpoint", "Endpoints")),
        ("metrics", metrics_page(metrics)),
        ("http", http()),
    ];
    pages.into_iter().map(|(name, text)| (format!("reference/{name}.md"), text)).collect()
}

fn head(title: &str) -> String {
    format!(
        "# {title}\n\n<!-- Made by crates/router/tests/reference. Written anew by: \
         METLOG_WRITE_REFERENCE=1 cargo test -p metlog-router --test book reference -->\n\n"
    )
}

/// One paragraph or cell: in one line, without what would end a cell.
fn flat(text: &str) -> String {
    text.split_whitespace().collect::<Vec<_>>().join(" ").replace('|', "\\|")
}

/// Every sub-command's help.
fn cli() -> String {
    let mut out = head("Command line");
    help(&mut Vec::new(), &mut out);
    out
}

fn help(path: &mut Vec<String>, out: &mut String) {
    let mut arguments: Vec<&str> = path.iter().map(String::as_str).collect();
    arguments.push("--help");
    let text = program(&arguments);
    let name = path.iter().fold("metlog-router".to_owned(), |name, word| name + " " + word);
    let lines: Vec<&str> = text.lines().map(str::trim_end).collect();
    let _ = writeln!(out, "## {name}\n\n```text\n{}\n```\n", lines.join("\n").trim_end());
    let commands = lines.iter().skip_while(|line| **line != "Commands:").skip(1).take_while(|line| !line.is_empty());
    let names = commands.filter_map(|line| line.strip_prefix("  ").filter(|line| !line.starts_with(' ')));
    let names: Vec<String> = names.filter_map(|line| Some(line.split_whitespace().next()?.to_owned())).collect();
    for name in names.into_iter().filter(|name| name != "help") {
        path.push(name);
        help(path, out);
        path.pop();
    }
}

/// What `plugins` lists, by kind.
fn listed() -> BTreeMap<String, Vec<String>> {
    let text = program(&["plugins"]);
    let kinds = text.lines().filter_map(|line| line.split_once("s: "));
    kinds.map(|(kind, names)| (kind.to_owned(), names.split(", ").map(str::to_owned).collect())).collect()
}

struct Book {
    schema: Value,
    source: Source,
    sections: BTreeMap<String, Vec<String>>,
}

impl Book {
    fn definition(&self, name: &str) -> &Map<String, Value> {
        self.schema["definitions"][name]["properties"].as_object().unwrap_or_else(|| panic!("no {name}"))
    }

    fn configuration(&self) -> String {
        let mut out = head("Configuration");
        out.push_str(
            "A file is TOML, INI, JSON or YAML, by its extension. Sizes and times carry units. `${VAR}` and `${VAR:-default}` are filled \
             in after parsing; variables such as `METLOG_ROUTER__SPOOL__MAX_BYTES` win over the file.\n\n",
        );
        for (name, own) in [("router", "RouterSettings"), ("spool", "SpoolSettings")] {
            let properties = self.schema["properties"][name]["properties"].as_object().expect("an own section");
            let _ = writeln!(out, "## `[{name}]`\n");
            self.table(&mut out, "crates/router", &[own], properties, &[]);
        }
        let _ = writeln!(out, "## `[keys.NAME]`\n");
        let keys = &self.schema["properties"]["keys"]["additionalProperties"];
        let properties = keys["properties"].as_object().expect("keys of a key");
        self.table(&mut out, "crates/router", &["KeySettings"], properties, &required(keys));
        let _ = writeln!(out, "## Every endpoint\n\nBeside what its own section in [Endpoints](endpoints.md) says:\n");
        self.table(&mut out, "crates/router", &["EndpointKeys"], self.definition(COMMON), &[]);
        let _ = writeln!(out, "## `[fleet]`\n\nWhich routers this one belongs to.\n");
        if let Some(fleet) = self.schema["properties"]["fleet"]["properties"].as_object() {
            self.table(&mut out, "plugins/nats", &[], fleet, &[]);
        }
        for name in self.sections.get("fleet").into_iter().flatten() {
            let example = program(&["example", "fleet", name]);
            let _ = writeln!(out, "<!-- example -->\n```toml\n{}\n```\n", example.trim_end());
        }
        for (title, link) in [("Inputs", "inputs"), ("Filters", "filters"), ("Endpoints", "endpoints")] {
            let _ = writeln!(
                out,
                "## `[{link}.NAME]`\n\n`type` says which, or the section's name does: [{title}]({link}.md).\n"
            );
        }
        out
    }

    fn plugins(&self, kind: &str, title: &str) -> String {
        let mut out = head(title);
        let prefix = format!("{kind}.");
        let all = self.schema["definitions"].as_object().expect("definitions");
        let common = self.definition(COMMON);
        for (definition, section) in all {
            let Some(name) = definition.strip_prefix(&prefix) else { continue };
            let _ = writeln!(out, "## {name}\n");
            let own = self.source.folder(kind, name);
            if let Some(folder) = &own {
                let short = folder.trim_start_matches("plugins/");
                let _ = writeln!(out, "What it does and promises: [plugins/{short}]({BLOB}/{folder}/README.md)\n");
            }
            let folder = own.unwrap_or_else(|| "crates/router".to_owned());
            let properties = section["properties"].as_object().expect("keys");
            let shared = |key: &str| key == "type" || (kind == "endpoint" && common.contains_key(key));
            let keys: Map<String, Value> = properties
                .iter()
                .filter(|(key, _)| !shared(key))
                .map(|(key, value)| (key.clone(), value.clone()))
                .collect();
            if keys.is_empty() {
                let _ = writeln!(out, "Nothing to set.\n");
            } else {
                let structs: &[&str] = if definition == "input.http" { &["HttpInput"] } else { &[] };
                self.table(&mut out, &folder, structs, &keys, &required(section));
            }
            if self.sections.get(kind).is_some_and(|names| names.iter().any(|listed| listed == name)) {
                let example = program(&["example", kind, name]);
                let _ = writeln!(out, "<!-- example -->\n```toml\n{}\n```\n", example.trim_end());
            }
        }
        out
    }

    fn dialects(&self) -> String {
        let mut out = head("Dialects");
        out.push_str("What an input `http` speaks, all of them unless `dialects` names some.\n\n");
        for name in self.sections.get("dialect").into_iter().flatten() {
            let folder = self.source.folder("dialect", name).unwrap_or_else(|| panic!("the folder of dialect {name}"));
            let _ = writeln!(out, "## {name}\n\n[{folder}]({BLOB}/{folder}/README.md)\n");
            let example = program(&["example", "dialect", name]);
            let _ = writeln!(out, "<!-- example -->\n```toml\n{}\n```\n", example.trim_end());
        }
        out
    }

    fn table(&self, out: &mut String, folder: &str, structs: &[&str], keys: &Map<String, Value>, needed: &[String]) {
        let _ = writeln!(out, "| key | value | default | |\n| --- | --- | --- | --- |");
        self.rows(out, folder, structs, keys, needed, "");
        out.push('\n');
    }

    fn rows(
        &self,
        out: &mut String,
        folder: &str,
        structs: &[&str],
        keys: &Map<String, Value>,
        needed: &[String],
        before: &str,
    ) {
        let names: Vec<&str> = keys.keys().map(String::as_str).collect();
        for (key, value) in keys {
            let said = self.source.field(folder, structs, &names, key);
            let described = remark(value["description"].as_str().unwrap_or_default());
            let text = said.as_ref().map_or(described, |said| &said.text);
            let default = match &said {
                _ if needed.contains(key) => "required".to_owned(),
                Some(said) => said.default.as_ref().map(|default| format!("`{default}`")).unwrap_or_default(),
                None => String::new(),
            };
            let _ = writeln!(out, "| `{before}{key}` | {} | {default} | {} |", form(value), flat(text));
            if let Some(inner) = value["properties"].as_object() {
                self.rows(out, folder, &[], inner, &required(value), &format!("{before}{key}."));
            }
        }
    }
}

const BLOB: &str = "https://github.com/metlog/metlog/blob/main";

fn required(section: &Value) -> Vec<String> {
    let all = section["allOf"].as_array().into_iter().flatten().chain([section]);
    let names = all.flat_map(|one| one["required"].as_array().into_iter().flatten());
    names.filter_map(|name| name.as_str().map(str::to_owned)).collect()
}

/// What is said of a value, without how such values are written: that has a column of its own.
fn remark(text: &str) -> &str {
    let of_type = ["a time such as", "a size such as"].iter().filter_map(|word| text.find(word)).min();
    of_type.map_or(text, |at| text.get(..at).unwrap_or_default().trim_end_matches(['(', ' ']))
}

/// What a value looks like, in a few words.
fn form(value: &Value) -> String {
    let any: Vec<&Value> = value["anyOf"].as_array().into_iter().flatten().chain([value]).collect();
    let words: Vec<String> = any
        .iter()
        .flat_map(|one| one["enum"].as_array().into_iter().flatten())
        .filter_map(|word| Some(format!("`{}`", word.as_str()?)))
        .collect();
    let described = value["description"].as_str().unwrap_or_default();
    let types: Vec<&str> = any
        .iter()
        .flat_map(|one| one["type"].as_array().into_iter().flatten().chain([&one["type"]]))
        .filter_map(Value::as_str)
        .collect();
    let list = any.iter().any(|one| one["type"] == "array");
    match () {
        () if !words.is_empty() && list => format!("list of {}", words.join(", ")),
        () if !words.is_empty() => words.join(", "),
        () if described.contains("a time such as") => "time".to_owned(),
        () if described.contains("a size such as") => "size".to_owned(),
        () if list => "list".to_owned(),
        () if types.contains(&"object") => "table".to_owned(),
        () if types.contains(&"boolean") => "`true`, `false`".to_owned(),
        () if types.contains(&"integer") || types.contains(&"number") => "number".to_owned(),
        () => "text".to_owned(),
    }
}

/// What `/metrics` says of itself.
fn metrics_page(text: &str) -> String {
    let mut out = head("Metrics");
    out.push_str("`GET /metrics`, in Prometheus's form.\n\n| metric | kind | labels | |\n| --- | --- | --- | --- |\n");
    let mut all: BTreeMap<&str, (String, &str, Vec<String>)> = BTreeMap::new();
    for line in text.lines() {
        if let Some((name, help)) = line.strip_prefix("# HELP ").and_then(|rest| rest.split_once(' ')) {
            all.entry(name).or_default().0 = flat(help);
        } else if let Some((name, kind)) = line.strip_prefix("# TYPE ").and_then(|rest| rest.split_once(' ')) {
            all.entry(name).or_default().1 = kind;
        } else if let Some((name, labels)) = line.split_once('{') {
            let labels = labels.split("=\"").filter_map(|part| part.rsplit([',', '"']).next()).map(str::to_owned);
            let known = &mut all.entry(name).or_default().2;
            for label in
                labels.filter(|label| label.chars().all(|c| c.is_ascii_lowercase() || c == '_') && !label.is_empty())
            {
                if !known.contains(&label) {
                    known.push(label);
                }
            }
        }
    }
    for (name, (help, kind, labels)) in all {
        let labels: Vec<String> = labels.iter().map(|label| format!("`{label}`")).collect();
        let _ = writeln!(out, "| `{name}` | {kind} | {} | {help} |", labels.join(", "));
    }
    out.push('\n');
    out
}

/// Every route of the interface's own description.
fn http() -> String {
    let spec =
        std::fs::read_to_string(root().join("crates/router/src/http/docs/openapi.json")).expect("the description");
    let spec: Value = serde_json::from_str(&spec).expect("JSON");
    let mut out = head("HTTP");
    out.push_str(
        "The router's own interface. `/docs` of a running router lets you try it, `/v1/openapi.json` is for programs. The routes of \
         other systems stand in the READMEs of the [dialects](dialects.md).\n\n",
    );
    for (path, verbs) in spec["paths"].as_object().expect("paths") {
        for (verb, route) in verbs.as_object().expect("verbs") {
            let _ = writeln!(
                out,
                "## {} {path}\n\n{}\n",
                verb.to_uppercase(),
                flat(route["summary"].as_str().unwrap_or_default())
            );
            if let Some(text) = route["description"].as_str() {
                let _ = writeln!(out, "{}\n", flat(text).replace("\\|", "|"));
            }
            let given: Vec<&Value> = route["parameters"].as_array().into_iter().flatten().collect();
            if !given.is_empty() {
                let _ = writeln!(out, "| argument | in | |\n| --- | --- | --- |");
                for one in given {
                    let one =
                        one["$ref"].as_str().and_then(|at| spec.pointer(at.trim_start_matches('#'))).unwrap_or(one);
                    let text = |key: &str| flat(one[key].as_str().unwrap_or_default());
                    let _ = writeln!(out, "| `{}` | {} | {} |", text("name"), text("in"), text("description"));
                }
                out.push('\n');
            }
            let answers = route["responses"].as_object().into_iter().flatten();
            let answers = answers.map(|(status, answer)| {
                let answer =
                    answer["$ref"].as_str().and_then(|at| spec.pointer(at.trim_start_matches('#'))).unwrap_or(answer);
                format!("- `{status}` {}", flat(answer["description"].as_str().unwrap_or_default()).replace("\\|", "|"))
            });
            let answers: Vec<String> = answers.collect();
            if !answers.is_empty() {
                let _ = writeln!(out, "{}\n", answers.join("\n"));
            }
        }
    }
    out
}
