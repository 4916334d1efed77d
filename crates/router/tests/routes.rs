//! `explain` and real routing agree, over configurations and messages made at random.

use metlog_message::batch::bit;
use metlog_message::{Message, Severity, head, wire};
use metlog_pipeline::Event;
use metlog_router::config;
use metlog_router::routes::{Judge, Routes};
use proptest::prelude::*;
use std::fmt::Write;

const TYPES: [&str; 5] = ["oldstyle", "counter", "timer", "alert", "bid"];

/// One filter, which may refer to those before it.
fn filter(at: usize) -> BoxedStrategy<String> {
    let types = prop::collection::vec(prop::sample::select(TYPES.to_vec()), 1..4);
    let plain = prop_oneof![
        (0..8).prop_map(|severity| format!("type = 'severity_max'\nseverity = {severity}")),
        types.clone().prop_map(|types| format!("type = 'type_whitelist'\ntypes = {types:?}")),
        types.prop_map(|types| format!("type = 'type_blacklist'\ntypes = {types:?}")),
        (0..3).prop_map(|n| format!("type = 'field'\npath = 'n'\nat_most = {n}")),
        prop::sample::select(vec!["web*", "db"]).prop_map(|glob| format!("type = 'logger'\nis = ['{glob}']")),
    ];
    if at == 0 {
        return plain.boxed();
    }
    let of = prop::collection::vec(0..at, 1..4).prop_map(|of| {
        let of: Vec<String> = of.into_iter().map(|at| format!("f{at}")).collect();
        format!("of = {of:?}")
    });
    let combined =
        (prop::sample::select(vec!["any", "all", "not"]), of).prop_map(|(kind, of)| format!("type = '{kind}'\n{of}"));
    prop_oneof![plain, combined].boxed()
}

fn configuration() -> impl Strategy<Value = String> {
    let filters = (filter(0), filter(1), filter(2), filter(3), filter(4));
    let endpoint = (
        prop::option::of(0..8),
        prop::option::of(prop::collection::vec(prop::sample::select(TYPES.to_vec()), 0..4)),
        prop::option::of(prop::sample::select(vec!["one", "two"])),
        prop::collection::vec(0..5, 0..4),
        any::<bool>(),
    );
    (filters, prop::collection::vec(endpoint, 1..6)).prop_map(|((a, b, c, d, e), endpoints)| {
        let mut text =
            "[inputs.one]\ntype = 'tcp'\nlisten = '127.0.0.1:1'\n[inputs.two]\ntype = 'tcp'\nlisten = '127.0.0.1:2'\n"
                .to_owned();
        for (at, filter) in [a, b, c, d, e].into_iter().enumerate() {
            let _ = writeln!(text, "[filters.f{at}]\n{filter}");
        }
        for (at, (severity, types, input, filters, alerts)) in endpoints.into_iter().enumerate() {
            let filters: Vec<String> = filters.into_iter().map(|at| format!("f{at}")).collect();
            let _ = writeln!(text, "[endpoints.e{at}]\ntype = 'null'\nfilters = {filters:?}\nalerts = {alerts}");
            text.extend(severity.map(|severity| format!("severity_max = {severity}\n")));
            text.extend(types.map(|types| format!("types = {types:?}\n")));
            text.extend(input.map(|input| format!("from_inputs = ['{input}']\n")));
        }
        text
    })
}

fn message() -> impl Strategy<Value = Message> {
    let kind = prop::sample::select([&TYPES[..], &["unheard-of"]].concat());
    let logger = prop::sample::select(vec!["web", "webshop", "db", ""]);
    (kind, 0_i64..8, logger, prop::option::of(0_i64..4), prop::option::of(any::<bool>())).prop_map(
        |(kind, severity, logger, n, alert)| {
            let severity = Severity::from_number(severity).expect("one of the eight");
            let mut message = Message::new(kind).severity(severity).logger(logger);
            if let Some(n) = n {
                message = message.field("n", n);
            }
            match alert {
                Some(alert) => message.field("alert", alert),
                None => message,
            }
        },
    )
}

fn routes(text: &str) -> Routes {
    let plan = config::from_toml("random", text).unwrap_or_else(|problems| panic!("{problems}\n{text}"));
    let slots = (0..).zip(&plan.endpoints).map(|(slot, endpoint)| (endpoint.name.clone(), slot)).collect();
    plan.routes(&slots).expect("opens")
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(300))]
    #[test]
    fn explain_says_what_routing_does(text in configuration(), messages in prop::collection::vec((0_u32..2, message()), 1..40)) {
        let routes = routes(&text);
        let mut judges = [Judge::default(), Judge::default()];
        for (input, message) in messages {
            let mut raw = Vec::new();
            wire::write(&mut raw, &message);
            let head = head::scan(&raw, &wire::Limits::default()).expect("ours");
            let wants = judges[input as usize].wants(&routes, input, &head, &raw);
            let explained = routes.explain(input, &Event { head: &head, raw: &raw });
            let yes = explained.iter().filter(|(_, verdict)| verdict.is_ok()).fold(0, |all, (route, _)| all | bit(route.slot));
            prop_assert_eq!(wants, yes, "input {} message {:?}\n{}", input, message, text);
        }
    }
}

#[test]
fn an_alert_reaches_who_tells_people_past_every_filter() {
    let text = "
        [inputs.one]
        type = 'tcp'
        listen = '127.0.0.1:1'
        [inputs.two]
        type = 'tcp'
        listen = '127.0.0.1:2'
        [endpoints.pager]
        type = 'webhook'
        url = 'http://127.0.0.1:1/'
        severity_max = 0
        from_inputs = ['one']
        [endpoints.quiet]
        type = 'webhook'
        url = 'http://127.0.0.1:1/'
        severity_max = 0
        alerts = false
        [endpoints.loud]
        type = 'null'
        severity_max = 0
        alerts = true
        [endpoints.file]
        type = 'null'
        severity_max = 0";
    let routes = routes(text);
    let wants = |input: u32, json: &str| {
        let text = format!(
            "{{\"type\":\"x\",\"timestamp\":\"2026-11-21T08:00:00Z\",\"logger\":\"\",\"severity\":6,\"payload\":\"\",\"fields\":{json}}}"
        );
        let head = head::scan(text.as_bytes(), &wire::Limits::default()).expect(json);
        Judge::default().wants(&routes, input, &head, text.as_bytes())
    };
    assert_eq!(wants(0, "{\"alert\":true}"), bit(0) | bit(2));
    assert_eq!(wants(1, "{\"a\":1, \"alert\" : true}"), bit(2), "not of that input");
    for none in [
        "{}",
        "{\"alert\":false}",
        "{\"alert\":\"true\"}",
        "{\"a\":{\"alert\":true}}",
        "{\"a\":\"\\\"alert\\\":true\"}",
    ] {
        assert_eq!(wants(0, none), 0, "{none}");
    }
}

#[test]
fn two_endpoints_with_one_sample_get_the_same_messages_and_a_limit_counts_each_once() {
    let text = "
        [filters.half]
        type = 'sample'
        rate = 0.5
        [filters.few]
        type = 'rate_limit'
        per_second = 1
        burst = 10
        [endpoints.a]
        type = 'null'
        filters = ['half']
        [endpoints.b]
        type = 'null'
        filters = ['half']
        [endpoints.c]
        type = 'null'
        filters = ['few']
        [endpoints.d]
        type = 'null'
        filters = ['few']
        [endpoints.e]
        type = 'null'
        severity_max = 2
        filters = ['few']";
    let routes = routes(text);
    let mut judge = Judge::default();
    let mut raw = Vec::new();
    wire::write(&mut raw, &Message::new("x"));
    let head = head::scan(&raw, &wire::Limits::default()).expect("ours");
    let wants: Vec<u64> = (0..1000).map(|_| judge.wants(&routes, 0, &head, &raw)).collect();
    let count = |slot: u32| wants.iter().filter(|wants| *wants & bit(slot) != 0).count();
    assert!(wants.iter().all(|wants| (wants & bit(0) == 0) == (wants & bit(1) == 0)));
    assert!((300..700).contains(&count(0)), "{}", count(0));
    assert!(count(2) == count(3) && (10..13).contains(&count(2)), "{}", count(2));
    assert_eq!(count(4), 0);
}
