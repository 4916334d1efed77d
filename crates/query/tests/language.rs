//! The query box: what is printed reads as the same, and mistakes say where and what.

mod common;

use metlog_message::Timestamp;
use metlog_query::language::parse;
use proptest::prelude::*;

proptest! {
    #[test]
    fn what_is_printed_reads_as_the_same(expr in common::expr()) {
        let printed = expr.to_string();
        let read = parse(&printed, Timestamp::now());
        prop_assert_eq!(read.as_ref().ok(), Some(&expr), "{}\n{:?}", printed, read);
    }

    /// Whatever is typed: an answer, never a panic, and what is understood keeps its meaning.
    #[test]
    fn anything_may_be_typed(query in prop::collection::vec(prop::sample::select(vec![
        "a", " ", " ", "(", ")", "\"", "-", "NOT ", " OR ", "AND", ":", "=", "<", "!=", "~/", "/", "*", "type", "severity", "since",
        "until:", "has:", "1h", "{\"$gt\":1}", "{", "\\", "Ü", "fields.", "error", "archived:", "any", "😀", "\u{301}", "İ", ".",
    ]), 0..14)) {
        let query = query.concat();
        if let Ok(expr) = parse(&query, Timestamp::from_nanos(common::NOON)) {
            let printed = expr.to_string();
            prop_assert_eq!(parse(&printed, Timestamp::now()).ok(), Some(expr), "{} printed as {}", query, printed);
        }
    }
}

#[test]
fn mistakes_say_where_and_what_would_be_right() {
    for (query, mistake) in [
        ("a )", "column 3: `)` without `(`"),
        ("a (b", "column 3: the `)` to this `(` is missing"),
        ("日志 \"b", "column 4: the closing quote"),
        ("()", "column 2: a condition is missing before `)`"),
        ("a OR", "column 5: a condition is missing here"),
        ("OR a", "column 1: `OR` stands between two conditions"),
        ("severity:eror", "column 10: `eror` is no severity; did you mean `error`?"),
        ("severity<=9", "column 11: `9` is no severity; it is 0 to 7"),
        ("archived:yess", "column 10: `archived:yess`: did you mean `yes`?"),
        ("since:someday", "column 7: `someday` is no moment"),
        ("since>1h", "column 6: `since` takes `:`"),
        ("field.user:1", "column 1: did you mean `fields.user`?"),
        ("type.a:1", "column 1: `type` holds no other values; a field of this name is `fields.type.a`"),
        ("a..b:1", "column 1: `a..b` is not a path"),
        ("a: b", "column 3: a value is missing here"),
        ("a:(b OR c)", "column 3: one value goes with one operator"),
        ("a~x", "column 3: a pattern stands between slashes"),
        ("a~/(/", "column 3: no regular expression: unclosed group"),
        ("a~/x/q", "column 3: there is no flag `q`"),
        ("a~/(x{1000}){1000}/", "column 3: the pattern needs more than"),
        ("a*b", "column 2: a star ends a word"),
        ("!!", "column 1: only letters and digits are looked for"),
        (":x", "column 1: a name is missing"),
        ("a:{\"$sizes\":1}", "column 3: at $sizes: there is no operator `$sizes` here; did you mean `$size`?"),
        ("a:{\"$size\":1", "column 3: operators stand in a JSON object"),
        ("a:\"x\"y", "column 6: a blank is missing after the closing quote"),
        ("position:x", "column 10: `x` is no position"),
    ] {
        let found = parse(query, Timestamp::now()).expect_err(query).to_string();
        assert!(found.starts_with(mistake), "{query}\n{found}");
    }
}

#[test]
fn everything_is_bounded() {
    let mistake = |query: String| parse(&query, Timestamp::now()).expect_err(&query).to_string();
    assert!(mistake("x".repeat(4097)).contains("at most 4096"));
    assert!(parse(&"(".repeat(4096), Timestamp::now()).is_err());
    assert!(mistake("(".repeat(40) + "a" + &")".repeat(40)).contains("nested too deep"));
    assert!(mistake("-".repeat(40) + "a").contains("nested too deep"));
    assert!(mistake("a ".repeat(300)).contains("too many conditions"));
    assert!(parse(&"a ".repeat(256), Timestamp::now()).is_ok());
    assert!(mistake("a~/x/ ".repeat(31) + "b a~/x/").contains("too many conditions, of which a pattern counts"));
    assert!(parse(&"a~/x/ ".repeat(32), Timestamp::now()).is_ok());
    assert!(mistake(format!("\"{}\"", "a ".repeat(65))).contains("too many words"));
    let deep = "a:".to_owned() + &"{\"$not\":".repeat(40) + "{\"$gt\":1}" + &"}".repeat(40);
    assert!(mistake(deep).contains("too deep"));
    assert!(mistake(format!("a:{{\"$all\":[{}1]}}", "1,".repeat(300))).contains("too many conditions"));
}

#[test]
fn moments_are_written_in_many_ways() {
    let now = Timestamp::parse("2026-11-21T09:30:00Z").unwrap();
    for (written, meant) in [
        ("now", "2026-11-21T09:30:00Z"),
        ("1h", "2026-11-21T08:30:00Z"),
        ("-1h", "2026-11-21T08:30:00Z"),
        ("1h30m", "2026-11-21T08:00:00Z"),
        ("2d", "2026-11-19T09:30:00Z"),
        ("today", "2026-11-21T00:00:00Z"),
        ("yesterday", "2026-11-20T00:00:00Z"),
        ("2026-11-20", "2026-11-20T00:00:00Z"),
        ("2026-11-20T10:00Z", "2026-11-20T10:00:00Z"),
        ("2026-11-20T10:00+02:00", "2026-11-20T08:00:00Z"),
        ("\"2026-11-20 10:00:05.5\"", "2026-11-20T10:00:05.5Z"),
        ("1795168800", "2026-11-20T10:00:00Z"),
    ] {
        let short = parse(&format!("since:{written}"), now);
        assert_eq!(short, parse(&format!("since:{meant}"), now), "{written}");
        assert!(short.is_ok());
    }
}

#[test]
fn queries_print_as_people_would_write_them() {
    let now = Timestamp::parse("2026-11-21T09:30:00Z").unwrap();
    for (query, printed) in [
        ("", "archived:no"),
        ("archived:any", "archived:any"),
        ("Disk \"full up\"  type:timer", "disk \"full up\" type:timer archived:no"),
        ("a OR b c", "(a OR b c) archived:no"),
        ("a OR archived:yes", "a OR archived:yes"),
        ("user_id=42 since:1h", "fields.user_id:42 since:2026-11-21T08:30:00.000000Z archived:no"),
        ("NOT (a b)", "-(a b) archived:no"),
        ("severity:warn logger:web*", "severity:4 logger:web* archived:no"),
        ("x~/a b/i .via.x:1", "fields.x~/a b/i .via.x:1 archived:no"),
        ("metlog::client https://example.org/a", "\"metlog client\" \"https example org a\" archived:no"),
        ("a:\"::b\" a:\"//b\"", "fields.a:\"::b\" fields.a:\"//b\" archived:no"),
        ("\"odd name\":{\"$size\":2}", "\"fields.odd name\":{\"$size\":2} archived:no"),
    ] {
        assert_eq!(parse(query, now).unwrap().to_string(), printed);
    }
}
