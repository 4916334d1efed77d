//! Selectors, against an evaluator that was written for this test alone and looks at nothing but JSON.

mod common;

use metlog_message::{Timestamp, Value, wire};
use metlog_query::selector::{parse, write};
use proptest::prelude::*;
use serde_json::{Value as Json, json};
use std::cmp::Ordering;

fn value(json: &Json) -> Value {
    wire::read_value_within(json.to_string().as_bytes(), &wire::Limits::NONE).unwrap()
}

/// All that a path may mean; none where there is nothing.
fn places<'a>(json: &'a Json, path: &[&str]) -> Vec<Option<&'a Json>> {
    let Some((first, rest)) = path.split_first() else { return vec![Some(json)] };
    match json {
        Json::Object(map) => map.get(*first).map_or(vec![None], |inner| places(inner, rest)),
        Json::Array(items) => {
            let mut all = Vec::new();
            if let Some(item) = first.parse().ok().and_then(|at: usize| items.get(at)) {
                all.extend(places(item, rest));
            }
            for item in items.iter().filter(|item| item.is_object()) {
                all.extend(places(item, path));
            }
            all
        }
        _ => vec![None],
    }
}

fn moment(text: &str) -> Option<Timestamp> {
    Timestamp::parse(text)
}

fn order(one: &Json, other: &Json) -> Option<Ordering> {
    match (one, other) {
        (Json::Number(one), Json::Number(other)) => one.as_f64()?.partial_cmp(&other.as_f64()?),
        (Json::Bool(one), Json::Bool(other)) => Some(one.cmp(other)),
        (Json::String(one), Json::String(other)) => match (moment(one), moment(other)) {
            (Some(one), Some(other)) => Some(one.cmp(&other)),
            _ => Some(one.cmp(other)),
        },
        _ => None,
    }
}

fn same(one: &Json, other: &Json) -> bool {
    match (one, other) {
        (Json::Array(one), Json::Array(other)) => {
            one.len() == other.len() && (0..one.len()).all(|at| same(&one[at], &other[at]))
        }
        (Json::Object(one), Json::Object(other)) => {
            one.len() == other.len() && one.keys().all(|key| other.get(key).is_some_and(|other| same(&one[key], other)))
        }
        (Json::Null, Json::Null) => true,
        _ => order(one, other) == Some(Ordering::Equal),
    }
}

/// One operator, of one place. Inside `$elemMatch` an item that is a list is not looked into.
fn operator(name: &str, wanted: &Json, place: Option<&Json>, all: &Json, into: bool) -> bool {
    let any = |right: &dyn Fn(&Json) -> bool| {
        let items = place.and_then(Json::as_array).filter(|_| into);
        place.is_some_and(right) || items.is_some_and(|items| items.iter().any(right))
    };
    let is = |wanted: &Json| any(&|found| same(found, wanted)) || place.is_none() && wanted.is_null();
    match name {
        "$eq" => is(wanted),
        "$gt" => any(&|found| order(found, wanted) == Some(Ordering::Greater)),
        "$lt" => any(&|found| order(found, wanted) == Some(Ordering::Less)),
        "$gte" if wanted.is_null() => is(wanted),
        "$lte" if wanted.is_null() => is(wanted),
        "$gte" => any(&|found| order(found, wanted).is_some_and(Ordering::is_ge)),
        "$lte" => any(&|found| order(found, wanted).is_some_and(Ordering::is_le)),
        "$in" => wanted.as_array().unwrap().iter().any(is),
        "$exists" => place.is_some(),
        "$size" => place.and_then(Json::as_array).is_some_and(|items| Some(items.len() as u64) == wanted.as_u64()),
        "$regex" => any(&|found| {
            // Only of patterns that are plain text.
            let (one, other) = (found.as_str().unwrap_or("\u{0}none"), wanted.as_str().unwrap());
            if all.get("$options").is_some() {
                one.to_lowercase().contains(&other.to_lowercase())
            } else {
                one.contains(other)
            }
        }),
        "$elemMatch" => place.and_then(Json::as_array).is_some_and(|items| {
            items.iter().any(|item| match wanted.as_object().unwrap().keys().next() {
                Some(key) if key.starts_with('$') => conditions(wanted, &[Some(item)], false),
                _ => item.is_object() && holds(item, wanted),
            })
        }),
        other => panic!("{other}"),
    }
}

fn conditions(wanted: &Json, places: &[Option<&Json>], into: bool) -> bool {
    let one =
        |name: &str, wanted: &Json, all: &Json| places.iter().any(|place| operator(name, wanted, *place, all, into));
    match wanted.as_object().filter(|map| map.keys().any(|key| key.starts_with('$'))) {
        None => one("$eq", wanted, wanted),
        Some(map) => map.iter().all(|(name, inner)| match name.as_str() {
            "$options" => true,
            "$ne" => !one("$eq", inner, wanted),
            "$nin" => !one("$in", inner, wanted),
            "$not" => !conditions(inner, places, into),
            "$exists" => one("$exists", inner, wanted) == inner.as_bool().unwrap(),
            "$all" => {
                let items = inner.as_array().unwrap();
                !items.is_empty() && items.iter().all(|item| one("$eq", item, wanted))
            }
            name => one(name, inner, wanted),
        }),
    }
}

fn holds(document: &Json, selector: &Json) -> bool {
    selector.as_object().unwrap().iter().all(|(name, wanted)| {
        let each = || wanted.as_array().unwrap().iter();
        match name.as_str() {
            "$and" => each().all(|inner| holds(document, inner)),
            "$or" => each().any(|inner| holds(document, inner)),
            "$nor" => !each().any(|inner| holds(document, inner)),
            path => conditions(wanted, &places(document, &path.split('.').collect::<Vec<_>>()), true),
        }
    })
}

fn plain() -> impl Strategy<Value = Json> {
    prop_oneof![
        Just(Json::Null),
        any::<bool>().prop_map(Json::from),
        (-1..4_i64).prop_map(Json::from),
        (-2..6_i32).prop_map(|quarter| Json::from(f64::from(quarter) / 2.0)),
        prop::sample::select(vec![
            "",
            "x",
            "xy",
            "XY",
            "1",
            "2026-11-20T10:00:00Z",
            "2026-11-20T11:00:00+01:00",
            "2026-11-20T12:00:00Z",
        ])
        .prop_map(Json::from),
    ]
}

fn key() -> impl Strategy<Value = String> {
    prop::sample::select(vec!["a", "b", "0", "fields", "timestamp"]).prop_map(str::to_owned)
}

fn any_json() -> impl Strategy<Value = Json> {
    plain().prop_recursive(3, 16, 3, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..3).prop_map(Json::from),
            prop::collection::vec((key(), inner), 0..3).prop_map(|entries| Json::Object(entries.into_iter().collect())),
        ]
    })
}

fn document() -> impl Strategy<Value = Json> {
    prop::collection::vec((key(), any_json()), 0..5).prop_map(|entries| Json::Object(entries.into_iter().collect()))
}

fn condition() -> impl Strategy<Value = Json> {
    let list = || prop::collection::vec(any_json(), 0..3).prop_map(Json::from);
    let one = prop_oneof![
        (prop::sample::select(vec!["$eq", "$ne"]), any_json()),
        (prop::sample::select(vec!["$gt", "$gte", "$lt", "$lte"]), plain()),
        (prop::sample::select(vec!["$in", "$nin", "$all"]), list()),
        (Just("$exists"), any::<bool>().prop_map(Json::from)),
        (Just("$size"), (0..3_u64).prop_map(Json::from)),
        (Just("$regex"), prop::sample::select(vec!["x", "Y", "1"]).prop_map(Json::from)),
    ];
    let operators = prop::collection::vec((one, any::<bool>()), 1..3).prop_map(|all| {
        let mut map = serde_json::Map::new();
        for ((name, wanted), flag) in all {
            if name == "$regex" && flag {
                map.insert("$options".to_owned(), json!("i"));
            }
            map.insert(name.to_owned(), wanted);
        }
        Json::Object(map)
    });
    let leaf = prop_oneof![1 => any_json(), 3 => operators.clone()];
    leaf.prop_recursive(3, 6, 2, move |inner| {
        let some = inner.clone();
        prop_oneof![
            operators.clone().prop_map(|inner| json!({ "$not": inner })),
            operators.clone().prop_map(|inner| json!({ "$elemMatch": inner })),
            prop::collection::vec((key(), some), 0..3)
                .prop_map(|entries| { json!({ "$elemMatch": Json::Object(entries.into_iter().collect()) }) }),
        ]
    })
}

fn selector() -> impl Strategy<Value = Json> {
    let path = prop::collection::vec(key(), 1..4).prop_map(|names| names.join("."));
    let leaf = prop::collection::vec((path, condition()), 0..3)
        .prop_map(|entries| Json::Object(entries.into_iter().collect::<serde_json::Map<_, _>>()));
    leaf.prop_recursive(3, 8, 3, |inner| {
        (prop::sample::select(vec!["$and", "$or", "$nor"]), prop::collection::vec(inner, 1..3))
            .prop_map(|(name, parts)| json!({ name: parts }))
    })
}

proptest! {
    #[test]
    fn selectors_select_what_the_naive_evaluator_does(document in document(), selector in selector()) {
        let expr = parse(&value(&selector)).map_err(|mistake| TestCaseError::fail(format!("{mistake} in {selector}")))?;
        prop_assert_eq!(expr.holds_document(&value(&document)), holds(&document, &selector), "{} of {}", selector, document);
    }

    #[test]
    fn what_is_written_reads_as_the_same(selector in selector()) {
        let expr = parse(&value(&selector)).unwrap();
        let written = write(&expr);
        prop_assert_eq!(parse(&written), Ok(expr), "{}", written.to_text());
    }

    #[test]
    fn selectors_can_be_typed(selector in selector()) {
        let expr = parse(&value(&selector)).unwrap();
        let printed = expr.to_string();
        // More than fits a query is not meant to be typed.
        if printed.len() < 4096 {
            prop_assert_eq!(metlog_query::language::parse(&printed, Timestamp::now()), Ok(expr), "{}", printed);
        }
    }
}

#[test]
fn madsci_asks_like_this() {
    let event = value(&json!({
        "_id": "01J", "event_type": "node_start", "log_level": 30, "alert": false, "event_timestamp": "2026-11-20T11:00:00+01:00",
        "source": {"node_id": "n1", "lab_id": "l1"}, "event_data": {"message": "up", "tags": ["a", "b"]}, "archived": false,
    }));
    for (selector, expected) in [
        (json!({}), true),
        (json!({"event_type": "node_start", "log_level": {"$gte": 30}}), true),
        (json!({"source.node_id": "n1"}), true),
        (json!({"source": {"node_id": "n1"}}), false),
        (json!({"source": {"lab_id": "l1", "node_id": "n1"}}), true),
        (json!({"event_timestamp": {"$gte": "2026-11-20T10:00:00Z", "$lt": "2026-11-20T10:00:01Z"}}), true),
        (json!({"event_data.tags": "b"}), true),
        (json!({"event_data.tags": {"$all": ["a", "b"], "$size": 2}}), true),
        (json!({"event_data.message": {"$regex": "^UP$", "$options": "i"}}), true),
        (json!({"log_level": {"$regex": "3"}}), false),
        (json!({"log_level": "30"}), false),
        (json!({"trace_id": null}), true),
        (json!({"trace_id": {"$exists": false}, "archived": {"$ne": true}}), true),
        (json!({"$nor": [{"alert": true}, {"log_level": {"$lt": 20}}]}), true),
        (json!({"log_level": {"$not": {"$in": [20, 30]}}}), false),
    ] {
        let expr = parse(&value(&selector)).unwrap();
        assert_eq!(expr.holds_document(&event), expected, "{selector}");
    }
}

#[test]
fn mistakes_say_where_and_what_would_be_right() {
    let mut deep = json!({"a": 1});
    for _ in 0..40 {
        deep = json!({ "$and": [deep] });
    }
    let many: Vec<Json> = (0..300).map(|_| json!({"a": 1})).collect();
    let long: Vec<Json> = (0..2000).map(Json::from).collect();
    for (selector, mistake) in [
        (json!([]), "a selector is an object"),
        (json!({"a": {"$gtt": 1}}), "at a.$gtt: there is no operator `$gtt` here; did you mean `$gt`?"),
        (json!({"$or": [{}, {"a.b": {"$where": "x"}}]}), "at $or[1].a.b.$where: there is no operator `$where`"),
        (json!({"$orr": []}), "at $orr: there is no operator `$orr` here; did you mean `$or`?"),
        (json!({"$and": []}), "at $and: takes a list of selectors that is not empty"),
        (json!({"$where": "1"}), "at $where: there is no operator `$where` here; there are $and, $or, $nor"),
        (json!({"a": {"$gt": 1, "b": 2}}), "at a: operators and the name `b`"),
        (json!({"a": {"$gt": [1]}}), "at a.$gt: takes a number"),
        (json!({"a": {"$in": 1}}), "at a.$in: takes a list"),
        (json!({"a": {"$in": long}}), "at a.$in: 2000 values, at most 1024"),
        (json!({"a": {"$regex": "("}}), "at a.$regex: no regular expression"),
        (json!({"a": {"$regex": "(x{1000}){1000}"}}), "at a.$regex: the pattern needs more"),
        (json!({"a": {"$options": "i"}}), "at a.$options: goes with `$regex` only"),
        (json!({"a": {"$size": -1}}), "at a.$size: takes a number of items"),
        (json!({"a": {"$exists": "yes"}}), "at a.$exists: takes true or false"),
        (json!({"a": {"$not": 5}}), "at a.$not: takes an object of operators"),
        (json!({"a..b": 5}), "at a..b: `a..b` is not a path"),
        (json!({ "$or": many }), "at $or[256].a: too many conditions"),
        (deep, "at $and[0].$and[0]"),
    ] {
        let found = parse(&value(&selector)).expect_err(&selector.to_string()).to_string();
        assert!(found.starts_with(mistake), "{selector}\n{found}");
    }
}
