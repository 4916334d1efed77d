//! Metlog's semantics, and what a configuration may say.

use metlog_filters::{SeverityMax, TypeBlacklist, TypeSeverityMax, TypeWhitelist};
use metlog_message::wire::Limits;
use metlog_message::{Message, Severity, head, wire};
use metlog_pipeline::{Event, Filter, FilterEntry};
use metlog_testkit::{ini_settings, of_example, settings};

fn filter(name: &str, toml: &str) -> Box<dyn Filter> {
    let entry = FilterEntry::find(name).expect("a filter");
    (entry.read)(&settings(toml)).unwrap_or_else(|problems| panic!("{problems}"))().expect("opens")
}

fn ini_filter(name: &str, options: &str) -> Box<dyn Filter> {
    let entry = FilterEntry::find(name).expect("a filter");
    (entry.read)(&ini_settings(options)).unwrap_or_else(|problems| panic!("{problems}"))().expect("opens")
}

/// Both ways of asking agree.
fn passes(filter: &mut dyn Filter, kind: &str, severity: u8) -> bool {
    let severity = Severity::from_number(severity.into()).expect("0 to 7");
    let mut text = Vec::new();
    wire::write(&mut text, &Message::new(kind).severity(severity));
    let head = head::scan(&text, &Limits::default()).expect("strictly right");
    let kept = filter.keep(&Event { head: &head, raw: &text });
    assert_eq!(filter.decide(kind, severity), Some(kept));
    kept
}

fn severities(filter: &mut dyn Filter, kind: &str) -> Vec<u8> {
    (0..8).filter(|severity| passes(filter, kind, *severity)).collect()
}

#[test]
fn severity_max_includes_its_limit() {
    for mut filter in [
        filter("severity_max", "severity = 3"),
        filter("metlog.filters.severity_max_provider", "severity = '3'"),
        filter("SEVERITY_MAX", "severity = 'error'"),
        ini_filter("metlog.filters.severity_max_provider", "severity = 3"),
        Box::new(SeverityMax::new(Severity::Error)),
    ] {
        assert_eq!(severities(&mut *filter, "x"), [0, 1, 2, 3]);
    }
}

#[test]
fn lists_compare_whole_types() {
    for mut filter in [
        filter("type_whitelist", "types = 'timer'"),
        filter("metlog.filters.type_whitelist_provider", "types = ['timer']"),
        ini_filter("metlog.filters.type_whitelist_provider", "types = timer"),
        ini_filter("metlog.filters.type_whitelist_provider", "types =\n    timer\n"),
        Box::new(TypeWhitelist::new(["timer"])),
    ] {
        let passed: Vec<&str> =
            ["timer", "time", "im", "", "foo"].into_iter().filter(|kind| passes(&mut *filter, kind, 6)).collect();
        assert_eq!(passed, ["timer"]);
    }
    for mut filter in [
        filter("type_blacklist", "types = ['foo', 'bar']"),
        ini_filter("metlog.filters.type_blacklist_provider", "types = foo\n    bar"),
        Box::new(TypeBlacklist::new(["foo", "bar"])),
    ] {
        let passed: Vec<&str> =
            ["foo", "fo", "bar", "", "baz"].into_iter().filter(|kind| passes(&mut *filter, kind, 6)).collect();
        assert_eq!(passed, ["fo", "", "baz"]);
    }
}

#[test]
fn limits_by_type() {
    for mut filter in [
        filter("type_severity_max", "types = { foo = 3, bar = { severity = 5 } }"),
        filter("metlog.filters.type_severity_max_provider", "types.foo.severity = 'error'\ntypes.bar = 'notice'"),
        ini_filter("metlog.filters.type_severity_max_provider", "types = foo: 3\n    bar: notice"),
        Box::new(TypeSeverityMax::new([("foo", Severity::Error), ("bar", Severity::Notice)])),
    ] {
        assert_eq!(severities(&mut *filter, "foo").len(), 4);
        assert_eq!(severities(&mut *filter, "bar").len(), 6);
        assert_eq!(severities(&mut *filter, "other").len(), 8);
    }
}

#[test]
fn a_line_is_split_at_its_last_colon() {
    let mut filter = ini_filter("type_severity_max", "types = app:audit : 2");
    assert_eq!(severities(&mut *filter, "app:audit").len(), 3);
    assert_eq!(severities(&mut *filter, "app").len(), 8);
}

#[test]
fn unusual_types_are_types() {
    let long = "x".repeat(10_000);
    for kind in ["", " ", "Timer", "日本", "a\nb\"c\u{0}", &long] {
        assert!(passes(&mut TypeWhitelist::new([kind]), kind, 0), "{kind:?}");
        assert!(!passes(&mut TypeWhitelist::new(["timer"]), kind, 0), "{kind:?}");
        assert!(!passes(&mut TypeBlacklist::new([kind]), kind, 0), "{kind:?}");
        assert!(!passes(&mut TypeSeverityMax::new([(kind, Severity::Emergency)]), kind, 1), "{kind:?}");
    }
    assert!(!passes(&mut TypeWhitelist::new(Vec::<String>::new()), "timer", 0), "an empty list passes nothing");
}

#[test]
fn mistakes_are_told_with_their_place() {
    for (name, toml, words) in [
        ("severity_max", "severity = 8", "test.toml:1:12: "),
        ("severity_max", "severity = 'loud'", "a severity: 0 to 7, or a name such as `warning`"),
        ("severity_max", "severty = 3", "did you mean `severity`?"),
        ("type_severity_max", "types = { foo = [] }", "a severity, or a table with `severity`"),
        ("type_severity_max", "types = { foo = { severty = 1 } }", "did you mean `severity`?"),
        ("type_severity_max", "types = ['foo: 3', 'bar: loud']", "test.toml:1:20: "),
        ("type_severity_max", "types = 'foo'", "a type and a severity, such as `oldstyle: 4`"),
        ("type_severity_max", "types = 3", "a table of types with a severity each, or lines such as `oldstyle: 4`"),
    ] {
        let entry = FilterEntry::find(name).expect("a filter");
        let problems = (entry.read)(&settings(toml)).err().expect("refused").to_string();
        assert!(problems.contains(words), "{problems}");
    }
}

#[test]
fn the_examples_load() {
    let all = FilterEntry::all();
    assert_eq!(all.len(), 11);
    for entry in all {
        (entry.read)(&of_example(entry.example)).unwrap_or_else(|problems| panic!("{}: {problems}", entry.name))()
            .expect("opens");
    }
}

#[test]
fn the_readme_s_example_loads() {
    let (_, after) = include_str!("../README.md").split_once("```toml\n").expect("an example");
    let (example, _) = after.split_once("```").expect("its end");
    let root = settings(example);
    let filters = root.get("metlog").and_then(|main| main.get("filters")).and_then(|filters| filters.as_table());
    let mut names = Vec::new();
    for (_, _, section) in filters.expect("filters").iter() {
        let mut section = section.clone();
        let metlog_settings::Kind::Table(table) = &mut section.kind else { panic!("a section") };
        let provider = table.remove("provider").expect("a provider");
        let metlog_settings::Kind::Text(name) = provider.kind else { panic!("a name") };
        let entry = FilterEntry::find(&name).expect("a filter");
        (entry.read)(&section).unwrap_or_else(|problems| panic!("{name}: {problems}"))().expect("opens");
        names.push(name);
    }
    assert_eq!(names, ["severity_max", "logger", "field", "sample", "rate_limit", "dedup"]);
}
