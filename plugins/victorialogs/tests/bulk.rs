//! Elasticsearch's bulk: pairs of lines, an item for each, and what shippers ask before they send.

mod support;

use metlog_message::{Fields, Value, wire};
use metlog_pipeline::Reason;
use serde_json::json;
use support::Running;

fn fields(json: &str) -> Fields {
    match wire::read_value(json.as_bytes()) {
        Ok(Value::Map(fields)) => fields,
        other => panic!("{other:?}"),
    }
}

#[test]
fn documents_with_what_their_action_says() {
    let (running, mut before) = (Running::new(), (0, 0));
    for (method, path) in [
        ("POST", "/_bulk"),
        ("PUT", "/_bulk/"),
        ("POST", "/shop/_bulk"),
        ("PUT", "/insert/elasticsearch/_bulk?refresh=true"),
        ("POST", "/insert/elasticsearch/shop/_bulk/"),
    ] {
        let body = "{\"create\":{}}\n{\"message\":\"a\",\"@timestamp\":\"2026-09-21T14:13:20.5Z\",\"level\":\"warn\"}\r\n\n\
            {\"index\":{\"_index\":\"own\",\"_id\":\"x1\",\"routing\":\"r\"}}\n{\"message\":\"b\",\"id\":\"x2\"}\n\
            {\"index\":null}\n{}";
        let kind = "application/vnd.elasticsearch+x-ndjson; compatible-with=8";
        let answer = running.ask(&format!("{method} {path}\r\nContent-Type: {kind}\r\n"), body);
        let items = json!([{"create": {"status": 201}}, {"index": {"status": 201}}, {"index": {"status": 201}}]);
        assert_eq!((answer.status, answer.json()), (200, json!({"took": 0, "errors": false, "items": items})));
        assert!(answer.head.contains("\r\nx-elastic-product: elasticsearch"), "{answer:?}");
        let (made, refused) = running.new_ones(&mut before);
        assert_eq!((made.len(), refused.len()), (3, 0));
        let texts: Vec<_> = made.iter().map(|message| message.payload.to_text().into_owned()).collect();
        assert_eq!(texts, ["a", "b", ""]);
        assert_eq!(made[0].timestamp.nanos(), 1_790_000_000_500_000_000);
        let index = if path.contains("shop") { r#"{"_index":"shop"}"# } else { "{}" };
        assert_eq!(made[0].fields, fields(index));
        assert_eq!(made[1].fields, fields(r#"{"id":"x2","_index":"own"}"#), "a document's own id counts");
    }
    running
        .ask("POST /_bulk?_msg_field=text&_time_field=at", "{\"index\":{}}\n{\"text\":\"t\",\"at\":5,\"message\":1}");
    let message = running.new_ones(&mut before).0.remove(0);
    assert_eq!((message.payload.as_str(), message.timestamp.nanos()), (Some("t"), 5_000_000_000));
    assert_eq!(message.fields, fields(r#"{"message":1}"#));
}

#[test]
fn each_refused_document_has_its_item() {
    let running = Running::new();
    let body = r#"{"index":{}}
{"message":"good"}
{"index":{}}
{"@timestamp":"soon"}
{"delete":{"_id":"1"}}
{"update":{"_id":"1"}}
{"doc":{}}
{"create":{}}
no JSON
what is this
{"explode":{}}
{"index":{},"create":{}}
{"index":5}
{"create":{}}
{"message":"good"}
{"index":{}}"#;
    let answer = running.ask("POST /_bulk", body);
    let said = answer.json();
    assert_eq!((answer.status, &said["errors"]), (200, &true.into()));
    let items: Vec<(&str, u64)> = said["items"]
        .as_array()
        .expect("a list")
        .iter()
        .filter_map(|item| item.as_object()?.iter().next())
        .map(|(name, item)| (name.as_str(), item["status"].as_u64().expect("a number")))
        .collect();
    assert_eq!(
        items,
        [
            ("index", 201),
            ("index", 400),
            ("delete", 400),
            ("update", 400),
            ("create", 400),
            ("index", 400),
            ("index", 400),
            ("index", 400),
            ("index", 400),
            ("create", 201),
            ("index", 400),
        ]
    );
    let error = &said["items"][1]["index"]["error"];
    assert!(error["type"].is_string() && error["reason"].as_str().is_some_and(|why| why.contains("@timestamp")));
    let seen = running.recorder.seen();
    assert_eq!((seen.accepted.len(), seen.refused.len(), seen.count(Reason::Truncated)), (2, 9, 1));
    assert_eq!(seen.refused[0].part, br#"{"@timestamp":"soon"}"#);
}

#[test]
fn only_a_body_without_any_sense_is_a_bad_one() {
    let running = Running::new();
    assert_eq!(running.ask("POST /_bulk", "").json(), json!({"took": 0, "errors": false, "items": []}));
    let answer = running.ask("POST /_bulk", "no JSON\n{}\n");
    let said = answer.json();
    assert_eq!((answer.status, &said["status"]), (400, &400.into()));
    assert!(said["error"]["reason"].is_string() && answer.head.contains("x-elastic-product"), "{answer:?}");
    assert_eq!(running.recorder.seen().refused.len(), 2);
    // A long answer names the first hundred reasons.
    let answer = running.ask("POST /_bulk", "{\"index\":{}}\n{}\n".to_owned() + &"{\"index\":{}}\n5\n".repeat(200));
    assert_eq!(answer.body.matches("see the dead letters").count(), 100);
}

#[test]
fn what_shippers_ask_before() {
    let running = Running::new();
    let base = "/insert/elasticsearch";
    for path in ["", "/"] {
        let answer = running.ask(&format!("GET {base}{path}"), "");
        assert_eq!((answer.status, &answer.json()["version"]["number"]), (200, &"8.9.0".into()));
        running.ask(&format!("HEAD {base}{path}"), "").is_silent(200);
    }
    assert_eq!(running.ask(&format!("GET {base}/_license"), "").json()["license"]["status"], "active");
    assert_eq!(running.ask(&format!("GET {base}/_cluster/health"), "").json()["status"], "green");
    assert_eq!(running.ask("GET /_cluster/health", "").json()["status"], "green");
    for asked in [
        "GET _ilm/policy/filebeat",
        "PUT _ilm/policy/filebeat",
        "HEAD _index_template/logs",
        "PUT _index_template/logs",
        "GET _ingest/pipeline/x",
        "GET _nodes",
        "GET _nodes/http",
        "GET _logstash/pipeline",
        "GET logstash",
        "GET _rollup/",
    ] {
        let (method, path) = asked.split_once(' ').expect("two words");
        let answer = running.ask(&format!("{method} {base}/{path}"), "");
        assert!(
            answer.status == 200 && answer.head.contains("x-elastic-product: elasticsearch"),
            "{asked}: {answer:?}"
        );
        assert_eq!(answer.body, if method == "HEAD" { "" } else { "{}" });
    }
    assert_eq!(running.ask("GET /_bulk", "").status, 405);
    assert_eq!(running.ask(&format!("GET {base}/nothing"), "").status, 404);
}
