//! What holds of a row, of its document, and inside the bounds for a store.

mod common;

use common::{expr, row, written};
use metlog_message::{Message, Timestamp, Value, wire};
use metlog_query::expr::Expr;
use metlog_query::view::document;
use metlog_query::{Facts, Narrow, Row, language};
use proptest::prelude::*;

/// Of a document there is no position.
fn has_position(expr: &Expr) -> bool {
    match expr {
        Expr::All(parts) | Expr::Any(parts) => parts.iter().any(has_position),
        Expr::Not(inner) => has_position(inner),
        Expr::Position(_) => true,
        _ => false,
    }
}

proptest! {
    #[test]
    fn a_row_and_its_document_agree(written in written(), expr in expr()) {
        let facts = Facts::of(&written.raw, true).unwrap();
        let row = row(&written, &facts);
        if !has_position(&expr) {
            prop_assert_eq!(expr.holds(&row), expr.holds_document(&document(&row)), "{}", expr);
        }
    }

    #[test]
    fn what_holds_lies_inside_the_bounds(written in written(), expr in expr()) {
        let facts = Facts::of(&written.raw, true).unwrap();
        let holds = expr.holds(&row(&written, &facts));
        let narrow = expr.narrow();
        let inside = narrow.contains(written.position, &facts, written.archived);
        prop_assert!(inside || !holds, "{} holds, but not {:?}", expr, narrow);
        prop_assert!(!narrow.exact || inside == holds, "{} is not exactly {:?}", expr, narrow);
        prop_assert!(!narrow.is_nothing() || !inside);
    }

    #[test]
    fn the_opposite_is_the_opposite(written in written(), expr in expr()) {
        let facts = Facts::of(&written.raw, true).unwrap();
        let row = row(&written, &facts);
        prop_assert_ne!(expr.holds(&row), expr.clone().negated().holds(&row));
    }
}

fn holds(query: &str, message: &Message) -> bool {
    let mut raw = Vec::new();
    wire::write(&mut raw, message);
    let facts = Facts::of(&raw, true).unwrap();
    let row = Row {
        position: 1,
        timestamp: facts.timestamp,
        severity: facts.severity,
        kind: &facts.kind,
        logger: &facts.logger,
        archived: None,
        raw: &raw,
    };
    language::parse(query, Timestamp::now()).unwrap().holds(&row)
}

#[test]
fn queries_mean_what_they_say() {
    let fields = wire::read_value(
        br#"{"user_id":42,"http":{"status":503},"tags":["a","b"],"a.b":1,"items":[{"n":1},{"n":2}],"when":"2026-11-20T11:00:00+01:00","none":null,"ok":true}"#,
    );
    let Ok(Value::Map(fields)) = fields else { panic!() };
    let mut message = Message::new("timer").logger("web.api").payload("Disk full: 93.5 on /dev/sda");
    message.fields = fields;
    for (query, expected) in [
        ("", true),
        ("disk", true),
        ("DISK full", true),
        ("full disk", true),
        ("\"full disk\"", false),
        ("\"disk full\"", true),
        ("\"disk fu\"*", true),
        ("fu*", true),
        ("fu", false),
        ("93", true),
        ("dev/sda", true),
        ("dev/sdb", false),
        ("type:timer logger:web*", true),
        ("logger:*.api logger:w*b*i", true),
        ("logger=web*", false),
        ("logger:web", false),
        ("severity<=4", false),
        ("severity:info", true),
        ("severity>error severity!=7", true),
        ("user_id=42", true),
        ("user_id:\"42\"", true),
        ("user_id>41 user_id<=42.0", true),
        ("fields.user_id:42", true),
        ("http.status:5*", true),
        ("http.status:4* OR http.status>=500", true),
        ("http.status~/^5\\d\\d$/", true),
        ("tags:b", true),
        ("tags:c", false),
        ("tags:{\"$size\":2}", true),
        ("tags.0:b", false),
        ("tags.1:b", true),
        ("a.b:1", true),
        ("items.n:2", true),
        ("items:{\"$elemMatch\":{\"n\":{\"$gt\":1}}}", true),
        ("when>=2026-11-20T10:00:00Z when<2026-11-20T10:01Z", true),
        ("when:2026-11-20T10:00:00Z", true),
        ("when>2026-11-21", false),
        ("has:none -has:nothing", true),
        ("none:null", true),
        ("ok:true", true),
        ("since:1h", true),
        ("until:1h", false),
        ("since:1h until:now", true),
        ("-disk OR (type:counter AND full)", false),
        ("NOT (disk empty)", true),
        ("archived:yes", false),
        ("archived:any", true),
        ("archived:yes OR type:timer", true),
        ("*", true),
        ("user_id:*", true),
        ("payload:*full*", true),
        ("payload~/FULL/i", true),
        ("position:1", true),
        (".via:x", false),
    ] {
        assert_eq!(holds(query, &message), expected, "{query}");
    }
    assert!(holds("payload>100 payload<=250.5", &Message::new("timer").payload("250.5")));
    assert!(!holds("payload>100", &Message::new("timer").payload("99")));
}

#[test]
fn ids_and_traces_are_found_by_their_fields() {
    let long = "x".repeat(200);
    for (id, event_id, query, expected) in [
        ("a", "b", "id:a", true),
        ("a", "b", "id:b", false),
        ("", "b", "id:b", true),
        (long.as_str(), "b", "id:b", true),
        (long.as_str(), "b", &format!("id:{long}"), true),
        ("a", long.as_str(), &format!("id:{long}"), true),
    ] {
        let message = Message::new("t").field("id", id).field("event_id", event_id);
        assert_eq!(holds(query, &message), expected, "{query} of {id:.9} {event_id:.9}");
    }
    assert!(holds("trace:t1", &Message::new("t").field("trace_id", "t1")));
}

#[test]
fn bounds_are_as_narrow_as_an_index_can_use() {
    let now = Timestamp::now();
    let narrow = |query: &str| language::parse(query, now).unwrap().narrow();
    let found = narrow("type:timer logger:a since:1h until:now severity<=3 disk archived:any");
    assert!(found.exact && found.until == Some(now) && found.severity_max == Some(3), "{found:?}");
    assert_eq!((found.types.as_slice(), found.words.len()), (&["timer".to_owned()][..], 1));
    assert_eq!(narrow("type:a OR archived:any"), Narrow::everything());
    let found = narrow("(type:a OR type:b) -severity:7");
    assert!(found.exact && found.types.len() == 2 && found.severity_max == Some(6), "{found:?}");
    assert!(!narrow("type:a x:1 OR type:a x:2").exact, "of neither is the type all");
    assert!(narrow("type:a type:b").is_nothing());
    assert!(narrow("since:now until:1h").is_nothing());
    assert!(!narrow("user_id:1").exact);
    assert_eq!(narrow("(type:a since:2h) OR (type:b since:1h)").types.len(), 2);
    assert_eq!(narrow("-since:1h").until.map(Timestamp::nanos), Some(now.nanos() - 3_600_000_000_000));
}
