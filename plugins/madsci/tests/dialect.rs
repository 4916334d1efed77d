//! Every route over real sockets, in the words of both releases.

mod support;

use metlog_http::DialectEntry;
use metlog_message::{Lines, Severity, Value, wire};
use metlog_pipeline::{Reason, SendError};
use metlog_testkit::{eventually, open, sample, settings};
use std::sync::atomic::Ordering::Relaxed;
use std::time::Duration;
use support::{Answer, House};

const OLD: &str = "python-requests/2.34.2";
const NEW: &str = "python-httpx/0.28.1";
const ULID: &str = "01ARZ3NDEKTSV4RRFFQ69G5FAV";

/// An event of this number, a minute after the one before.
fn event(number: u32, rest: &str) -> String {
    format!(r#"{{"event_id":"e{number}","event_timestamp":"2026-01-01T10:{number:02}:00Z"{rest}}}"#)
}

fn filled(count: u32, rest: impl Fn(u32) -> String) -> House {
    let house = House::new();
    for number in 0..count {
        assert_eq!(house.post(&event(number, &rest(number))).status, 200);
    }
    house
}

#[track_caller]
fn names(answer: &Answer, expected: &[&str]) {
    assert_eq!(answer.names(), expected);
}

#[test]
fn settings_are_checked() {
    let read = |toml: &str| (DialectEntry::find("madsci").expect("there").read)(&settings(toml));
    let opened = |toml: &str| read(toml).unwrap_or_else(|problems| panic!("{problems}"))();
    assert!(opened("timezone = 'Europe/Berlin'\nmanager_id = '01ARZ3NDEKTSV4RRFFQ69G5FAV'").is_ok());
    for (toml, why) in [
        ("timezone = 'Berlin'", "`timezone` is `Berlin`, which is no zone; write one such as `Europe/Berlin`"),
        ("manager_id = 'x'", "`manager_id` is `x`, which is no ULID: 26 digits and capitals"),
        ("max_events = 0", "`max_events` is 0, so nothing could be read"),
    ] {
        assert_eq!(opened(toml).err().as_deref(), Some(why));
    }
    assert!(read("zone = 'UTC'").is_err());
}

#[test]
fn an_event_is_answered_with_itself_in_the_words_of_who_asks() {
    let house = House::new();
    let sent = format!(
        r#"{{"event_id":"{ULID}","event_type":"experiment_stop","event_timestamp":"2026-01-01T10:00:00","source":{{"node_id":"{ULID}"}},"event_data":{{"message":"m","n":NaN}},"labels":["x"]}}"#
    );
    let answer = |kind: &str, more: &str| {
        format!(
            concat!(
                r#"{{"_id":"{}","event_type":"{}","log_level":20,"alert":false,"event_timestamp":"2026-01-01T10:00:00","#,
                r#""source":{{"node_id":"{}"}},"event_data":{{"message":"m","n":"NaN"}},"trace_id":null,"span_id":null,"#,
                r#""archived":false,"archived_at":null,"labels":["x"]{}}}"#
            ),
            ULID, kind, ULID, more
        )
    };
    let beside = r#","metlog_event_type":"experiment_stop""#;
    for path in ["/event", "/event/"] {
        for (agent, expected) in [
            (OLD, answer("experiment_stop", "")),
            (NEW, answer("experiment_cancelled", beside)),
            ("curl/8", answer("unknown", beside)),
        ] {
            assert_eq!(house.ask_as(agent, &format!("POST {path}"), &sent).body, expected);
            assert_eq!(house.ask_as(agent, &format!("GET /event/{ULID}"), "").body, expected);
            assert_eq!(house.ask_as(agent, &format!("GET /event/{ULID}/"), "").body, expected);
        }
    }
    let [message] = &house.messages()[..] else { panic!("once") };
    assert_eq!((message.kind.as_str(), message.severity), ("experiment_stop", Severity::Informational));
    assert_eq!(message.extra.get("via"), Some(&"madsci".into()));
}

#[test]
fn what_is_no_event_goes_to_the_dead_letters_and_keeps_no_client_busy() {
    let house = House::new();
    for (body, id, why) in [
        (
            r#"{"event_id":"x","event_type":"lunch"}"#,
            Value::from("x"),
            "`event_type` is `lunch`, which neither release knows",
        ),
        (
            r#"{"event_id":"y","log_level":25}"#,
            "y".into(),
            "`log_level` is 0, 10, 20, 30, 40 or 50, or one of their names",
        ),
        (r#"{"event_id":"\u00fc","alert":2}"#, "\u{fc}".into(), "`alert` is true or false"),
        ("[]", Value::Null, "an event is a JSON object"),
        ("nonsense", Value::Null, "byte 0: expected a value"),
        ("", Value::Null, "empty"),
    ] {
        let answer = house.post(body);
        assert_eq!((answer.status, answer.at("_id"), answer.at("metlog_refused")), (200, id, why.into()));
        assert!(answer.body.is_ascii() && answer.body.len() < 1000);
    }
    let seen = house.recorder.seen();
    assert_eq!((seen.count(Reason::Malformed), seen.accepted.len(), seen.pending), (6, 0, 0));
    assert_eq!(seen.refused[0].part, br#"{"event_id":"x","event_type":"lunch"}"#);

    let large = format!(r#"{{"event_id":"z","event_data":"{}"}}"#, "x".repeat(2_000_000));
    assert_eq!(house.post(&large).at("metlog_refused"), "2000032 bytes, at most 1048576 are allowed".into());
    assert_eq!(house.recorder.seen().count(Reason::TooLarge), 1);
    // The router's own limit is another, and told in the same way.
    let house = House::new();
    house.recorder.set_message_limit(300);
    let answer = house.post(&event(1, &format!(r#","event_data":"{}""#, "x".repeat(300))));
    assert_eq!((answer.at("_id"), answer.at("metlog_refused")), ("e1".into(), "not a message".into()));
}

#[test]
fn a_body_beyond_all_limits_stops_the_old_client_too() {
    let house = House::new();
    let huge = " ".repeat(17 * 1024 * 1024);
    let answer = house.ask_as(OLD, "POST /event", &huge);
    assert_eq!((answer.status, answer.at("_id")), (200, Value::Null));
    assert_eq!(house.ask_as(NEW, "POST /event", &huge).status, 413);
    assert_eq!(house.recorder.seen().count(Reason::TooLarge), 1);
}

#[test]
fn of_a_repeat_the_first_stays() {
    let house = House::new();
    house.post(&event(1, r#","event_data":"first""#));
    let answer = house.post(&event(1, r#","event_data":"second""#));
    assert_eq!((answer.status, answer.at("event_data")), (200, "second".into()));
    assert_eq!(house.ask("GET /event/e1", "").at("event_data"), "first".into());
    assert_eq!(house.recorder.accepted(), 1);
}

#[test]
fn twice_at_the_same_time_is_once() {
    let house = House::new();
    house.recorder.set_unsynced(true);
    std::thread::scope(|scope| {
        let asking: Vec<_> = (0..4).map(|_| scope.spawn(|| house.post(&event(1, "")).status)).collect();
        assert!(eventually(Duration::from_secs(10), || house.recorder.accepted() == 1));
        std::thread::sleep(Duration::from_millis(100));
        assert!(asking.iter().all(|one| !one.is_finished()), "nobody is answered before it is safe");
        house.recorder.set_unsynced(false);
        assert!(asking.into_iter().all(|one| one.join().expect("no panic") == 200));
    });
    assert_eq!(house.recorder.accepted(), 1);
}

#[test]
fn what_was_not_taken_is_not_taken_for_a_repeat() {
    let house = House::new();
    house.recorder.set_full(true);
    let answer = house.post(&event(1, ""));
    assert_eq!(answer.status, 503);
    assert!(answer.head.contains("retry-after: 1"), "{answer:?}");
    house.recorder.set_full(false);
    assert_eq!(house.post(&event(1, "")).status, 200);
    assert_eq!(house.recorder.accepted(), 1);
}

#[test]
fn a_repeat_from_before_the_window_is_known_by_the_store() {
    let house = House::new();
    let mut line = Vec::new();
    let old = metlog_madsci::event::Event::read(wire::read_value(event(1, "").as_bytes()).expect("JSON")).expect("one");
    wire::write(&mut line, &metlog_madsci::mapping::message(old.clone(), old.moment().0));
    let mut inlet = house.recorder.inlet();
    inlet.push(&line);
    inlet.commit().expect("room");
    assert_eq!(house.ask("GET /event/e1", "").status, 200, "and that has filled the store");
    assert_eq!(house.post(&event(1, "")).status, 200);
    assert_eq!(house.recorder.accepted(), 1);
}

#[test]
fn a_time_without_a_zone_is_the_settings_zone() {
    let house = House::with("timezone = 'Europe/Berlin'", true);
    house.post(r#"{"event_id":"a","event_timestamp":"2026-07-01T12:00:00"}"#);
    assert_eq!(house.messages()[0].timestamp.to_string(), "2026-07-01T10:00:00.000000Z");
    let answer = house.ask("GET /events?start_time=2026-07-01T11:59:00&end_time=2026-07-01T10:00:00Z", "");
    names(&answer, &["a"]);
    assert_eq!(answer.at("a.event_timestamp"), "2026-07-01T12:00:00".into(), "as it was written");
    assert_eq!(house.ask("GET /settings?include_defaults=false", "").names(), ["settings"]);
    assert_eq!(house.ask("GET /settings?include_defaults=false", "").at("settings.timezone"), "Europe/Berlin".into());
}

#[test]
fn the_latest_events_come_first_and_in_pages() {
    let house = filled(10, |number| format!(r#","log_level":{}"#, number % 6 * 10));
    names(&house.ask("GET /events?number=3", ""), &["e9", "e8", "e7"]);
    names(&house.ask("GET /events/?number=3&offset=8", ""), &["e1", "e0"]);
    names(&house.ask("GET /events?level=40", ""), &["e5", "e4"]);
    names(&house.ask("GET /events?level=CRITICAL", ""), &["e5"]);
    assert_eq!(house.ask("GET /events?level=10", "").names().len(), 8, "0 is less than DEBUG");
    assert_eq!(house.ask("GET /events?level=-1", "").names().len(), 10);
    names(&house.ask("GET /events?level=99", ""), &[]);
    let range = "GET /events?start_time=2026-01-01T10:03:00%2B00:00&end_time=2026-01-01T10:05:00Z";
    names(&house.ask(range, ""), &["e5", "e4", "e3"]);
    let all = house.ask("GET /events?number=0", "");
    assert_eq!((all.names().len(), all.head.contains("x-metlog-partial")), (10, false));
    for bad in ["number=-1", "number=x", "level=loud", "start_time=noon", "include_archived=perhaps"] {
        let answer = house.ask(&format!("GET /events?{bad}"), "");
        assert_eq!(answer.status, 422, "{bad}");
        assert!(answer.at("detail").as_str().is_some_and(|why| why.contains(bad.split('=').next().unwrap_or(""))));
    }
}

#[test]
fn an_answer_that_does_not_hold_everything_says_so() {
    let house = House::with("max_events = 4", true);
    for number in 0..6 {
        house.post(&event(number, ""));
    }
    for (query, count, partial) in
        [("number=0", 4, true), ("number=5", 4, true), ("number=0&offset=2", 4, false), ("number=3", 3, false)]
    {
        let answer = house.ask(&format!("GET /events?{query}"), "");
        assert_eq!((answer.names().len(), answer.head.contains("x-metlog-partial")), (count, partial), "{query}");
    }
    assert!(house.ask("POST /events/query", "{}").head.contains("x-metlog-partial: more than one answer holds"));
    house.store.late.store(true, Relaxed);
    assert!(house.ask("GET /events", "").head.contains("x-metlog-partial: the store was not done in time"));
    assert_eq!(house.ask("GET /event/nobody", "").status, 503);
}

#[test]
fn many_bytes_are_more_than_one_answer_holds() {
    let large = "x".repeat(900_000);
    let house = filled(40, |_| format!(r#","event_data":"{large}""#));
    let answer = house.ask("GET /events?number=0", "");
    assert!(answer.head.contains("x-metlog-partial: more bytes"), "{}", answer.head);
    assert!(answer.body.len() < 33 * 1024 * 1024, "{}", answer.body.len());
    let count = answer.body.matches("\"_id\":").count();
    assert!((35..40).contains(&count), "{count}");
    let rest = house.ask(&format!("GET /events?number=0&offset={count}"), "");
    assert_eq!(rest.body.matches("\"_id\":").count(), 40 - count);
}

#[test]
fn only_events_are_events() {
    let house = filled(1, |_| String::new());
    let mut inlet = house.recorder.inlet();
    inlet.push(&sample::line(1));
    inlet.push(br#"{"type":"x","payload":"madsci","fields":{"event_id":"z"},"via":"masterlog"}"#);
    inlet.commit().expect("room");
    names(&house.ask("GET /events?number=0", ""), &["e0"]);
    names(&house.ask("POST /events/query", "{}"), &["e0"]);
    let answer = house.ask("GET /event/z", "");
    assert_eq!((answer.status, answer.at("detail")), (404, "Event with ID z not found".into()));
}

#[test]
fn a_selector_is_taken_from_wherever_it_is() {
    let house = filled(4, |number| {
        format!(
            r#","log_level":{},"event_data":{{"message":"m{number}","n":{number}}},"source":{{"node_id":"{ULID}"}}"#,
            number * 10 + 10
        )
    });
    let query = |query: &str, body: &str| house.ask(&format!("POST /events/query{query}"), body);
    for body in [
        r#"{"log_level":{"$gte":30}}"#,
        r#"{"$and":[{"event_data.n":{"$in":[2,3,9]}},{"source.node_id":{"$exists":true}}]}"#,
        r#"{"$or":[{"_id":"e3"},{"event_id":"e2"}]}"#,
        r#"{"event_timestamp":{"$gte":"2026-01-01T11:02:00+01:00"}}"#,
        r#"{"event_data.message":{"$regex":"^m[23]$"}}"#,
    ] {
        names(&query("", body), &["e3", "e2"]);
        names(&query("/", body), &["e3", "e2"]);
    }
    names(&query("?selector=%7B%22log_level%22%3A40%7D", ""), &["e3"]);
    names(
        &query("?selector=%7B%27log_level%27%3A+%7B%27%24gt%27%3A+10%7D%2C+%27alert%27%3A+False%7D", ""),
        &["e3", "e2", "e1"],
    );
    assert_eq!(query("", "").names().len(), 4, "the old client leaves an empty selector out");
    for (asked, body, why) in [
        ("?selector=source&selector=log_level", "", "only the selector's keys arrived"),
        ("?selector=log_level", "", "only the selector's keys arrived"),
        ("?selector={x}", "", "no Python literal"),
        ("", "{", "the selector is no JSON"),
        ("", r#"{"a":{"$where":"1"}}"#, "$where"),
    ] {
        let answer = query(asked, body);
        let detail = answer.at("detail");
        assert!(answer.status == 400 && detail.as_str().is_some_and(|detail| detail.contains(why)), "{answer:?}");
        assert!(answer.body.is_ascii() && answer.body.len() < 1000);
    }
}

#[test]
fn a_selector_speaks_its_askers_words() {
    let house = House::new();
    house.post(&event(1, r#","event_type":"experiment_stop""#));
    house.post(&event(2, r#","event_type":"experiment_cancelled""#));
    let both = ["e2", "e1"];
    names(&house.ask_as(NEW, "POST /events/query", r#"{"event_type":"experiment_cancelled"}"#), &both);
    names(&house.ask_as(OLD, "POST /events/query", r#"{"event_type":"experiment_stop"}"#), &both);
    names(&house.ask("POST /events/query", r#"{"event_type":"experiment_stop"}"#), &["e1"]);
}

#[test]
fn events_are_set_aside_and_thrown_away() {
    let house = filled(6, |_| String::new());
    house.post(&event(6, r#","archived":true,"archived_at":"2020-01-01T00:00:00Z""#));
    let archive = |body: &str| house.ask("POST /events/archive", body);
    let done = archive(r#"{"event_ids":["e1","e3","nobody"]}"#);
    assert_eq!(done.body, r#"{"archived_count":2,"message":"Successfully archived 2 events"}"#);
    assert_eq!(archive(r#"{"event_ids":["e1"]}"#).at("archived_count"), 0.into());
    names(&house.ask("GET /events", ""), &["e5", "e4", "e2", "e0"]);
    assert_eq!(house.ask("GET /events?include_archived=true", "").names().len(), 7);
    let archived = house.ask("GET /events/archived", "").names();
    assert_eq!((archived.len(), archived[2].as_str()), (3, "e6"), "set aside longest ago");
    assert_eq!(house.ask("GET /events/archived/?number=1&offset=2", "").names(), ["e6"]);
    let one = house.ask("GET /event/e1", "");
    assert_eq!(one.at("archived"), true.into());
    assert!(one.at("archived_at").as_str().is_some_and(|at| at.ends_with('Z')));

    let before = archive(r#"{"before_date":"2026-01-01T10:04:00","batch_size":1}"#);
    assert_eq!(before.at("archived_count"), 2.into());
    names(&house.ask("GET /events", ""), &["e5", "e4"]);
    for bad in ["{}", r#"{"event_ids":[]}"#, r#"{"event_ids":"e1"}"#, r#"{"before_date":"noon"}"#, "[]", ""] {
        assert_eq!(archive(bad).status, 422, "{bad}");
    }

    let purge = |query: &str| house.ask(&format!("DELETE /events/archived{query}"), "");
    let message = "Permanently deleted 1 archived events older than 365 days";
    assert_eq!(purge("").body, format!(r#"{{"deleted_count":1,"message":"{message}"}}"#));
    assert_eq!(purge("?older_than_days=1").at("deleted_count"), 0.into());
    assert_eq!(purge("?older_than_days=99999999999").at("deleted_count"), 0.into());
    assert_eq!(purge("/?older_than_days=0").at("deleted_count"), 4.into());
    assert_eq!(house.ask("GET /event/e1", "").status, 404);
    assert_eq!(house.ask("GET /events?number=0&include_archived=1", "").names(), ["e5", "e4"]);
    assert_eq!(purge("?older_than_days=-1").status, 422);
}

#[test]
fn more_than_a_batch_is_set_aside() {
    let house = House::new();
    let mut inlet = house.recorder.inlet();
    for number in 0..2500 {
        let event =
            metlog_madsci::event::Event::read(Value::Map([("event_id", format!("n{number}"))].into_iter().collect()));
        let event = event.expect("an event");
        let mut line = Vec::new();
        wire::write(&mut line, &metlog_madsci::mapping::message(event.clone(), event.moment().0));
        inlet.push(&line);
    }
    inlet.commit().expect("room");
    let done = house.ask("POST /events/archive", r#"{"before_date":"2100-01-01"}"#);
    assert_eq!(done.at("archived_count"), 2500.into());
    names(&house.ask("GET /events", ""), &[]);
    assert_eq!(house.ask("GET /events/archived?number=0", "").names().len(), 2500);
    assert_eq!(house.ask("DELETE /events/archived?older_than_days=0", "").at("deleted_count"), 2500.into());
}

#[test]
fn backups_under_both_names() {
    let house = House::new();
    let none = r#"{"backup_enabled":true,"backup_dir":"","available_backups":[]}"#;
    assert_eq!(house.ask("GET /backup/status", "").body, none);
    let made = house.ask("POST /backup", r#"{"description":"before the move"}"#);
    assert_eq!(made.body, r#"{"backup_path":"metlog-data/backups/0.db","status":"completed"}"#);
    assert_eq!(house.ask("POST /backup/", "").at("status"), "completed".into());
    assert_eq!(house.ask("POST /backup", "[").status, 422);
    for path in ["/backup", "/backup/", "/backup/status", "/backup/status/"] {
        let answer = house.ask(&format!("GET {path}"), "");
        assert_eq!(answer.at("backup_dir"), "metlog-data/backups".into());
        let Value::List(backups) = answer.at("available_backups") else { panic!("{answer:?}") };
        let expected = concat!(
            r#"{"path":"metlog-data/backups/0.db","created_at":"2026-11-20T22:00:50.000000Z","size_bytes":4096,"#,
            r#""is_valid":true,"description":"before the move"}"#
        );
        assert_eq!(backups[1].to_text(), expected);
    }
}

#[test]
fn it_says_what_it_is() {
    let house = House::with(&format!("name = 'lab 3'\nmanager_id = '{ULID}'"), true);
    let definition = format!(
        r#"{{"name":"lab 3","description":"metlog, a router for typed messages","manager_id":"{ULID}","manager_type":"event_manager"}}"#
    );
    for path in ["/", "/definition", "/definition/"] {
        assert_eq!(house.ask(&format!("GET {path}"), "").body, definition);
    }
    let health = house.ask("GET /health", "");
    assert_eq!((health.at("healthy"), health.at("db_connected")), (true.into(), true.into()));
    let settings = house.ask("GET /settings?include_schema=true", "");
    assert_eq!(settings.at("settings.max_events"), 10_000.into());
    assert_eq!(settings.at("schema.properties.timezone.type"), "string".into());
    assert!(house.ask("GET /settings", "").map().at("schema").is_none());
}

#[test]
fn without_a_store_events_are_taken_and_questions_answered_with_503() {
    let house = House::with("", false);
    assert_eq!(house.post(&event(1, "")).status, 200);
    assert_eq!(house.recorder.accepted(), 1);
    for line in [
        "GET /event/e1",
        "GET /events",
        "POST /events/query",
        "GET /events/archived",
        "DELETE /events/archived",
        "POST /backup",
        "GET /backup",
        "GET /utilization/sessions",
        "GET /utilization/periods",
        "GET /utilization/users",
    ] {
        let answer = house.ask(line, "");
        assert_eq!(answer.body, r#"{"error":"no store is configured, so nothing can be read"}"#, "{line}");
        assert_eq!(answer.status, 503);
    }
    assert_eq!(house.ask("GET /health", "").at("healthy"), true.into());
    assert_eq!(house.ask("GET /health", "").at("db_connected"), false.into());
    assert_eq!(house.ask("PUT /event", "").status, 405);
}

#[test]
fn our_sender_and_our_dialect_give_back_the_message() {
    let house = House::new();
    let mut sender = open("madsci", &format!("event_server_url = 'http://{}'", house.at)).expect("opens");
    let mut batch = Lines::new();
    for (at, payload) in sample::nasty().iter().enumerate() {
        let message = sample::message(at as u64).payload(payload.as_str()).field("node_id", ULID).field("id", "own");
        batch.push_with(|line| wire::write(line, &message));
    }
    sender.send(&batch).expect("all are taken");
    sender.send(&batch).expect("and taken for repeats");
    let messages = house.messages();
    assert_eq!(messages.len(), sample::nasty().len());
    for (line, mut message) in batch.iter().zip(messages) {
        let sent = wire::read(line, &wire::Limits::NONE).expect("a message").message;
        message.extra.remove("via").expect("how it came");
        let id = message.fields.remove("event_id").expect("what it is found by");
        assert_eq!(message, sent);
        // Found although stores take its own `id` for its id.
        let found = house.ask(&format!("GET /event/{}", id.to_text()), "");
        assert_eq!(found.at("event_data.number"), sent.fields.get("number").expect("a number").clone());
    }
}

#[test]
fn our_sender_hears_what_was_refused() {
    let house = House::new();
    house.recorder.set_message_limit(600);
    let mut sender = open("madsci", &format!("event_server_url = 'http://{}'", house.at)).expect("opens");
    let mut batch = Lines::new();
    batch.push(&sample::line(0));
    let large = sample::message(1).payload("x".repeat(600));
    batch.push_with(|line| wire::write(line, &large));
    batch.push(&sample::line(2));
    match sender.send(&batch) {
        Err(SendError::Refuse { which, .. }) => assert_eq!(which, [1]),
        other => panic!("{other:?}"),
    }
    assert_eq!(house.recorder.accepted(), 2);
}

#[test]
fn reports_are_objects_or_tables() {
    let house = filled(2, |number| {
        format!(
            r#","event_type":"workcell_{}","source":{{"workcell_id":"{ULID}"}}"#,
            ["start", "stop"][number as usize]
        )
    });
    for name in ["sessions", "users", "user", "periods"] {
        for path in [format!("/utilization/{name}"), format!("/utilization/{name}/")] {
            assert!(!house.ask(&format!("GET {path}"), "").map().contains("error"), "{path}");
            let table = house.ask(&format!("GET {path}?csv_format=true"), "");
            assert!(table.head.contains("content-type: text/csv") && table.head.contains("attachment; filename="));
            assert!(table.body.starts_with("==="), "{table:?}");
            for bad in
                ["save_to_file=true&output_path=/tmp", "start_time=noon", "start_time=2026-01-02&end_time=2026-01-01"]
            {
                let answer = house.ask(&format!("GET {path}?{bad}"), "");
                assert_eq!((answer.status, answer.names()), (200, vec!["error".to_owned()]), "{bad}");
            }
        }
    }
    assert_eq!(
        house.ask("GET /utilization/periods?analysis_type=yearly", "").body,
        r#"{"error":"`analysis_type` is hourly, daily, weekly or monthly"}"#
    );
    let periods = house.ask("GET /utilization/periods?user_timezone=Mars/Olympus&include_users=false", "");
    assert_eq!(periods.at("summary_metadata.user_timezone"), "UTC".into());
    assert!(!periods.map().contains("user_utilization"));
    house.store.late.store(true, Relaxed);
    let late = house.ask("GET /utilization/sessions?start_time=2026-01-01", "");
    assert_eq!(late.body, r#"{"error":"the store was not done in time; ask for a shorter range"}"#);
}
