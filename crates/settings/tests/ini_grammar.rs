//! One case for each rule of the INI grammar, with what the original did where we differ.

use metlog_settings::{Node, ini};
use serde_json::json;

fn read(text: &str) -> Result<Node, String> {
    ini::read("m.ini", text, false, &|_| None).map_err(|problems| problems.to_string())
}

fn ok(text: &str) -> serde_json::Value {
    read(text).unwrap_or_else(|problem| panic!("{text:?}: {problem}")).to_json()
}

fn wrong(text: &str) -> String {
    read(text).map(|node| node.to_json()).expect_err(text)
}

#[test]
fn sections_keep_their_case_and_options_lose_it() {
    assert_eq!(ok("[Metlog]\nSender_Upper = Value\n"), json!({"Metlog": {"sender_upper": "Value"}}));
}

#[test]
fn both_separators_and_only_the_first_counts() {
    assert_eq!(
        ok("[s]\na = x\nb: y\nc : d=e\nf:=1\na b = 2"),
        json!({"s": {"a": "x", "b": "y", "c": "d=e", "f": "=1", "a b": 2}})
    );
}

#[test]
fn comments_in_column_one() {
    assert_eq!(ok("# a\n; b\nrem c\nREM\n[s]\nrem = 5\nk = v\nremx = 1\n"), json!({"s": {"k": "v", "remx": 1}}));
}

#[test]
fn an_inline_comment_is_a_semicolon_after_white_space() {
    assert_eq!(
        ok("[s]\na = x ; c\nb = x;y\nc = x # y\nd = x\t; c\n"),
        json!({"s": {"a": "x", "b": "x;y", "c": "x # y", "d": "x"}})
    );
    // The original looked at the first semicolon only, and kept a comment that came first.
    assert_eq!(ok("[s]\na = x;y ; c\nb = ; c\nc =; c\n"), json!({"s": {"a": "x;y", "b": "", "c": "; c"}}));
}

#[test]
fn continuation_lines_make_lists() {
    assert_eq!(ok("[s]\nlist =\n    a\n\tb\n  c\nq = 1\n"), json!({"s": {"list": ["a", "b", "c"], "q": 1}}));
}

#[test]
fn blank_lines_and_comments_do_not_end_a_value() {
    assert_eq!(ok("[s]\nk = a\n\n   \n b\n# c\nrem d\n e\n"), json!({"s": {"k": ["a", "b", "e"]}}));
}

#[test]
fn indented_comment_signs_are_list_elements() {
    assert_eq!(ok("[s]\nk = a\n # b\n ; c\n d ; e\n"), json!({"s": {"k": ["a", "# b", "; c", "d ; e"]}}));
}

#[test]
fn interpolation() {
    assert_eq!(ok("[s]\nb = x\na = <%(B)s> 100%%\n"), json!({"s": {"b": "x", "a": "<x> 100%"}}));
    assert_eq!(ok("[s]\na = %(b)s\nb = 1\n 2\n"), json!({"s": {"a": [1, 2], "b": [1, 2]}}));
    assert_eq!(wrong("[s]\na = 50%\n"), "m.ini:2:5: `%` begins a reference, `%(name)s`; for a percent sign write `%%`");
    assert_eq!(
        wrong("[s]\na = %(b)d\n"),
        "m.ini:2:5: `%` begins a reference, `%(name)s`; for a percent sign write `%%`"
    );
    assert_eq!(
        wrong("[s]\nhost = x\na = %(hots)s\n"),
        "m.ini:3:5: `%(hots)s` names no option of [s] or [DEFAULT]; did you mean `host`?"
    );
    assert_eq!(wrong("[s]\na = %(a)s\n"), "m.ini:2:5: `%(…)s` references go too deep; do they go in a circle?");
}

#[test]
fn interpolation_cannot_explode() {
    let mut text = String::from("[s]\nz0 =\n");
    for level in 1..10 {
        text.push_str(&format!("z{level} = {}\n", format!("%(z{})s", level - 1).repeat(20)));
    }
    let started = std::time::Instant::now();
    assert!(wrong(&text).contains("expand to too much text"));
    assert!(started.elapsed().as_secs() < 20, "took {:?}", started.elapsed());
}

#[test]
fn default_section_supplies_references_and_nothing_else() {
    // The original put `home` into every section, where filters and plugins broke on it.
    assert_eq!(
        ok("[DEFAULT]\nhome = /x\n[s]\nk = %(home)s/y\n[t]\n"),
        json!({"s": {"k": "/x/y"}, "t": {}, "DEFAULT": {"home": "/x"}})
    );
    assert_eq!(ok("[default]\nhome = /x\n"), json!({"default": {"home": "/x"}}));
}

#[test]
fn sections_merge_and_of_two_options_the_last_one_counts() {
    assert_eq!(ok("[s]\na = 1\n[t]\n[s]\nb = 2\n"), json!({"s": {"a": 1, "b": 2}, "t": {}}));
    let text = "[s]\na = 1\n  9\n\n[t]\n[s]\nA = 2\n  3\nb = %(a)s\n";
    assert_eq!(ok(text), json!({"s": {"a": [2, 3], "b": [2, 3]}, "t": {}}));
    assert_eq!(ok("[s]\na = ${NOT_SET}\na = 1\n"), json!({"s": {"a": 1}}), "the first one is not even looked at");
}

#[test]
fn two_quotes_are_an_empty_value() {
    assert_eq!(ok("[s]\na = \"\"\nb =\nc = \"x\"\n"), json!({"s": {"a": "", "b": "", "c": "\"x\""}}));
}

#[test]
fn backslashes_are_not_escapes() {
    assert_eq!(ok("[s]\na = C:\\new\\table\n"), json!({"s": {"a": "C:\\new\\table"}}));
}

#[test]
fn line_ends_and_a_byte_order_mark_do_not_matter() {
    assert_eq!(ok("[s]\r\na = 1\r\n  2\r\n"), json!({"s": {"a": [1, 2]}}));
    let text = metlog_settings::source::decode("m.ini", b"\xef\xbb\xbf[s]\na=1", 100).unwrap();
    assert_eq!(ok(text), json!({"s": {"a": 1}}));
}

#[test]
fn an_indented_block_is_taken_as_a_whole() {
    let text = "\n    [s]\n    a = 1\n      2\n    b = 3\n    b = 4\n";
    assert_eq!(ok(text), json!({"s": {"a": [1, 2], "b": 4}}));
}

#[test]
fn a_mistake_costs_its_own_line_and_all_are_reported() {
    let text = "early = 1\nalso = 2\n[s]\nno equals here\n  hanging on it\n[t]\n= 5\nk = 1\n[u] junk\n  x\n[v\nk = 2\n[]\n[w] ; fine\n  indented\n";
    let expected = "\
m.ini:1:1: `early` stands in no section; write `[name]` above it
m.ini:4:1: expected `name = value`, `[section]` or a comment
m.ini:7:1: a value needs a name: `name = value`
m.ini:9:5: only a comment may follow `[u]`
m.ini:11:1: a section is written `[name]`; the `]` is missing
m.ini:13:1: a section needs a name: `[name]`
m.ini:15:3: an indented line continues a value, but none is above it";
    assert_eq!(wrong(text), expected);
}

#[test]
fn a_malformed_line_does_not_swallow_the_header_below_it() {
    let tree = wrong("[a]\njunk\n[b]\n= 1\n");
    assert!(tree.ends_with("m.ini:4:1: a value needs a name: `name = value`"), "{tree}");
}

#[test]
fn dotted_sections_nest_only_on_request() {
    let text = "[a.b]\nk = 1\n[a]\nc = 2\n";
    assert_eq!(ok(text), json!({"a.b": {"k": 1}, "a": {"c": 2}}));
    let nested = |text: &str| ini::read("m.ini", text, true, &|_| None);
    assert_eq!(nested(text).unwrap().to_json(), json!({"a": {"b": {"k": 1}, "c": 2}}));
    let problems = nested("[a]\nb = 1\n[a.b]\n[c.d]\n[c]\nd = 1\n[e..f]\n").unwrap_err().to_string();
    let expected = "\
m.ini:3:1: `b` cannot be a section, it has a value since m.ini:2:1
m.ini:6:1: `d` cannot have a value, it is a section since m.ini:4:1
m.ini:7:1: [e..f] is no path of section names";
    assert_eq!(problems, expected);
    let deep = format!("[{}a]\n", "a.".repeat(100_000));
    assert!(nested(&deep).is_err());
}

#[test]
fn every_value_knows_its_place() {
    let tree = read("[s]\n  \nkéy :  vålue\nlist =\n  a\n   b\n").unwrap();
    let section = tree.get("s").unwrap();
    let table = section.as_table().unwrap();
    assert_eq!(section.origin.to_string(), "m.ini:1:1");
    assert_eq!(table.key_origin("kéy").unwrap().to_string(), "m.ini:3:1");
    assert_eq!(table.get("kéy").unwrap().origin.to_string(), "m.ini:3:8");
    let places: Vec<_> =
        table.get("list").unwrap().as_list().unwrap().iter().map(|node| node.origin.to_string()).collect();
    assert_eq!(places, ["m.ini:5:3", "m.ini:6:4"]);
}

#[test]
fn sections_and_options_keep_the_order_of_the_file() {
    let tree = read("[z]\n[metlog_filter_b]\ny = 1\nx = 2\n[metlog_filter_a]\n").unwrap();
    let names: Vec<_> = tree.as_table().unwrap().iter().map(|(name, _, _)| name.to_owned()).collect();
    assert_eq!(names, ["z", "metlog_filter_b", "metlog_filter_a"]);
    let options = tree.get("metlog_filter_b").unwrap().as_table().unwrap();
    assert_eq!(options.iter().map(|(name, _, _)| name).collect::<Vec<_>>(), ["y", "x"]);
}

#[test]
fn only_so_much_is_read() {
    let problems = wrong(&"#".repeat(metlog_settings::MAX_BYTES + 1));
    assert_eq!(problems, "m.ini: is larger than 1048576 bytes, the most this may have");
    let junk = wrong(&"junk\n".repeat(1000));
    assert_eq!(junk.lines().count(), 101);
    assert!(junk.ends_with("… and 900 more"));
}
