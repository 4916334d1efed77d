//! What the router says of its interface is what it serves: held against the real program by a validator that others wrote.

mod program;
mod stage;

use metlog_testkit::python;
use program::Program;
use serde_json::Value;
use stage::message_of;
use std::collections::BTreeSet;
use std::path::Path;
use std::process::Command;

const SPEC: &str = include_str!("../src/http/docs/openapi.json");
const VALIDATOR: &[&str] = &["openapi-spec-validator==0.7.2"];

#[test]
fn every_route_of_the_document_is_served_as_it_says() {
    let config = "[inputs.http]\n[endpoints.store]\npath = 'messages.db'\n";
    let program = Program::start_in(stage::Directory::new(), config);
    for (number, kind) in ["log", "timer", "counter"].into_iter().enumerate() {
        let message = message_of(kind, 4, number as u64).replace("\"m\"", "\"12.5\"");
        assert_eq!(program.post(message.as_bytes()).status, 200);
    }
    let mut check = Command::new(python(VALIDATOR));
    check.arg(Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/docs/check.py"));
    let output = check.arg(format!("http://{}", program.place("http"))).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    program.stop();
}

/// Paths and verbs in `.route("/path", get(…).post(…))`.
fn routes(source: &str) -> BTreeSet<(String, String)> {
    let mut routes = BTreeSet::new();
    for (_, rest) in source.match_indices(".route(\"").map(|(at, found)| source.split_at(at + found.len())) {
        let (path, rest) = rest.split_once('"').unwrap();
        let (call, _) = rest.split_once('\n').unwrap();
        let verbs = ["get", "post", "put", "delete", "patch"].into_iter();
        let verbs: Vec<&str> = verbs.filter(|verb| call.contains(&format!("{verb}("))).collect();
        // A route whose handler has a name of its own.
        let verbs = if verbs.is_empty() { vec!["get"] } else { verbs };
        routes.extend(verbs.into_iter().map(|verb| (path.to_owned(), verb.to_owned())));
    }
    routes
}

#[test]
fn every_route_that_is_served_is_in_the_document() {
    let spec: Value = serde_json::from_str(SPEC).unwrap();
    let documented: BTreeSet<(String, String)> = spec["paths"]
        .as_object()
        .unwrap()
        .iter()
        .flat_map(|(path, verbs)| verbs.as_object().unwrap().keys().map(|verb| (path.clone(), verb.clone())))
        .collect();
    let here = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut served = BTreeSet::new();
    for file in [
        "src/http.rs",
        "src/http/page.rs",
        "src/http/query.rs",
        "src/http/docs.rs",
        "../../plugins/http/src/dialect.rs",
    ] {
        let found = routes(&std::fs::read_to_string(here.join(file)).unwrap());
        assert!(!found.is_empty(), "{file}");
        served.extend(found);
    }
    // The same with a slash behind it is served for the sake of clients that put one there.
    served.retain(|(path, _)| !path.ends_with('/'));
    assert_eq!(served, documented);
    assert_eq!(spec["info"]["version"], env!("CARGO_PKG_VERSION"));
}
