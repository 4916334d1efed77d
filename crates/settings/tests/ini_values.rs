//! Every row of the table of value conversions that Metlog's INI files rely on.

use metlog_settings::{Kind, Node, ini};

fn lookup(name: &str) -> Option<String> {
    match name {
        "A" => Some("5".into()),
        "B" => Some("bee".into()),
        "EMPTY" => Some(String::new()),
        "TRICKY" => Some("x\n[other]\ninjected = ${B} %(s)s".into()),
        _ => None,
    }
}

/// The value of `k`, whose text follows the `=` directly.
fn value(raw: &str) -> Result<Node, String> {
    let text = format!("[s]\nk ={raw}\n");
    let tree = ini::read("m.ini", &text, false, &lookup).map_err(|problems| problems.to_string())?;
    assert_eq!(tree.as_table().map(|table| table.len()), Some(1), "more than one section from {raw:?}");
    tree.get("s").and_then(|s| s.get("k")).cloned().ok_or_else(|| "no value".into())
}

fn json(raw: &str) -> serde_json::Value {
    value(raw).unwrap_or_else(|problem| panic!("{raw:?}: {problem}")).to_json()
}

#[test]
fn every_row_of_the_conversion_table() {
    let rows = [
        // Whole numbers in base ten, and nothing else that looks like a number.
        ("12", r#"12"#),
        (" 12 ", r#"12"#),
        ("-3", r#"-3"#),
        ("007", r#"7"#),
        ("+3", r#""+3""#),
        ("1.5", r#""1.5""#),
        ("1e3", r#""1e3""#),
        ("0x1f", r#""0x1f""#),
        ("1_000", r#""1_000""#),
        ("12abc", r#""12abc""#),
        ("- 3", r#""- 3""#),
        ("-", r#""-""#),
        // Eight words, in any case.
        ("true", "true"),
        ("T", "true"),
        ("Yes", "true"),
        ("on", "true"),
        ("false", "false"),
        ("F", "false"),
        ("no", "false"),
        ("OFF", "false"),
        ("1", "1"),
        ("0", "0"),
        ("y", r#""y""#),
        ("n", r#""n""#),
        ("None", r#""None""#),
        ("", r#""""#),
        // Arbitrary precision in the original; the digits as text here, which loses none of them.
        ("123456789012345678901234567890123456789012", r#""123456789012345678901234567890123456789012""#),
        ("\"quoted\"", r#""\"quoted\"""#),
        ("a,b", r#""a,b""#),
        // What is looked up is not converted again.
        ("${A}", r#""5""#),
        // The original dropped the rest.
        ("${A}/x", r#""5/x""#),
        // The original left it unchanged.
        ("x${A}", r#""x5""#),
        // The original looked for a variable called `A}${B`.
        ("${A}${B}", r#""5bee""#),
        ("a ${A} b ${B} c", r#""a 5 b bee c""#),
        ("${NOPE:-fall back}", r#""fall back""#),
        ("${EMPTY:-fall back}", r#""fall back""#),
        ("${EMPTY}", r#""""#),
        ("${NOPE:-}", r#""""#),
        ("${NOPE:-${B}!}", r#""bee!""#),
        ("${NOPE:-{\"a\": 1}}", r#""{\"a\": 1}""#),
        ("$${A} $A $$", r#""${A} $A $$""#),
        ("foo\n bar", r#"["foo","bar"]"#),
        // The one way to write a list of one.
        ("\n foo", r#"["foo"]"#),
        // The original crashed on integers and booleans in a list.
        ("1\n 2", "[1,2]"),
        ("yes\n 2\n x", r#"[true,2,"x"]"#),
        ("${A}\n ${B}\n c", r#"["5","bee","c"]"#),
        ("\n ${EMPTY}\n c", r#"["c"]"#),
    ];
    for (raw, expected) in rows {
        assert_eq!(json(raw).to_string(), expected, "{raw:?}");
    }
}

#[test]
fn references_that_are_wrong() {
    let rows = [
        ("${NOPE}", "m.ini:2:4: environment variable `NOPE` is not set; set it, or give a default: `${NOPE:-default}`"),
        (
            "\n a\n ${NOPE}/x",
            "m.ini:4:2: environment variable `NOPE` is not set; set it, or give a default: `${NOPE:-default}`",
        ),
        // The original: "variable not found: None".
        (
            "${}",
            "m.ini:2:4: `${}` names no variable; write `${NAME}` or `${NAME:-default}`, or `$${` for a literal `${`",
        ),
        ("a ${A", "m.ini:2:4: `${` is never closed; write `$${` for a literal `${`"),
    ];
    for (raw, expected) in rows {
        assert_eq!(value(raw).map(|node| node.to_json()), Err(expected.to_owned()), "{raw:?}");
    }
}

#[test]
fn a_variable_cannot_add_structure() {
    let node = value("${TRICKY}").unwrap();
    assert_eq!(node.kind, Kind::Text("x\n[other]\ninjected = ${B} %(s)s".into()));
}

#[test]
fn what_was_written_stays_known() {
    assert_eq!(value("007").unwrap().as_str(), Some("007"));
    assert_eq!(value("off").unwrap().as_str(), Some("off"));
    assert_eq!(value("${B}").unwrap().written.as_deref(), Some("${B}"));
}

#[test]
fn values_grow_only_so_far() {
    let long = "x".repeat(100_000);
    let lookup = |name: &str| (name == "L").then(|| long.clone());
    let text = format!("[s]\nk = {}\n", "${L}".repeat(200));
    let problems = ini::read("m.ini", &text, false, &lookup).unwrap_err().to_string();
    assert_eq!(problems, "m.ini:2:5: the values of this file expand to too much text");
    let deep = format!("[s]\nk = {}x{}\n", "${N:-".repeat(100_000), "}".repeat(100_000));
    let problems = ini::read("m.ini", &deep, false, &|_| None).unwrap_err().to_string();
    assert_eq!(problems, "m.ini:2:5: defaults of `${…}` are nested too deeply");
}
