//! Sizes, times, suggestions, `.env` files and the environment.

use metlog_settings::{Environment, Origin, Problem, Problems, Size, Span, dotenv, suggest};
use std::time::Duration;

#[test]
fn sizes() {
    let rows = [
        ("10 MiB", Ok(10 << 20)),
        ("512KiB", Ok(512 << 10)),
        ("1GB", Ok(1_000_000_000)),
        ("1.5 kib", Ok(1536)),
        ("17", Ok(17)),
        ("17 b", Ok(17)),
        ("0", Ok(0)),
        ("18446744073709551615", Ok(u64::MAX)),
        ("2 m", Err("`2 m` can be meant in two ways; write 2 MiB (1024s) or 2 MB (1000s)")),
        ("18446744073709551616", Err("`18446744073709551616` is more than 2^64 bytes")),
        ("99999999 TiB", Err("`99999999 TiB` is more than 2^64 bytes")),
        ("99999999.5 TiB", Err("`99999999.5 TiB` is more than 2^64 bytes")),
        ("", Err("`` is not a size such as `512 KiB`, `10 MiB` or `1 GB`, or a number of bytes")),
        ("MiB", Err("`MiB` is not a size such as `512 KiB`, `10 MiB` or `1 GB`, or a number of bytes")),
        ("-1", Err("`-1` is not a size such as `512 KiB`, `10 MiB` or `1 GB`, or a number of bytes")),
        ("1.2.3 MB", Err("`1.2.3 MB` is not a size such as `512 KiB`, `10 MiB` or `1 GB`, or a number of bytes")),
    ];
    for (text, expected) in rows {
        assert_eq!(text.parse::<Size>(), expected.map(Size).map_err(str::to_owned), "{text:?}");
    }
    assert_eq!(Size(10 << 20).to_string(), "10 MiB");
    assert_eq!(Size(1000).to_string(), "1000 B");
}

#[test]
fn times() {
    let rows = [
        ("250ms", Some(Duration::from_millis(250))),
        ("1s", Some(Duration::from_secs(1))),
        ("5m", Some(Duration::from_secs(300))),
        ("2 h", Some(Duration::from_secs(7200))),
        ("1d", Some(Duration::from_secs(86_400))),
        ("1h 30m", Some(Duration::from_secs(5400))),
        ("1.5s", Some(Duration::from_millis(1500))),
        ("10us", Some(Duration::from_micros(10))),
        ("10", Some(Duration::from_secs(10))),
        ("0.25", Some(Duration::from_millis(250))),
        ("0s", Some(Duration::ZERO)),
        ("", None),
        ("s", None),
        ("-1s", None),
        ("1 parsec", None),
        ("1h x", None),
        ("99999999999999999999999999999999999999999999d", None),
        ("1e999", None),
        (".", None),
    ];
    for (text, expected) in rows {
        assert_eq!(text.parse::<Span>().ok(), expected.map(Span), "{text:?}");
    }
    let problem = "soon".parse::<Span>().unwrap_err();
    assert_eq!(problem, "`soon` is not a time such as `250ms`, `1s`, `5m`, `2h` or `1d`, or a number of seconds");
    assert_eq!(Span(Duration::from_millis(1500)).to_string(), "1500ms");
    assert_eq!(Span(Duration::from_secs(7200)).to_string(), "2h");
}

#[test]
fn suggestions() {
    let known = ["host", "port", "bindstrs", "severity_max", "udp", "tcp"];
    let nearest = |name| suggest::nearest(name, known);
    assert_eq!(nearest("hots"), Some("host"));
    assert_eq!(nearest("HOST"), Some("host"));
    assert_eq!(nearest("severitymax"), Some("severity_max"));
    assert_eq!(nearest("udq"), Some("udp"));
    assert_eq!(nearest("password"), None);
    assert_eq!(nearest("x"), None);
    assert_eq!(suggest::distance("ca", "ac"), 1);
    assert_eq!(suggest::distance("", "abc"), 3);
    assert_eq!(suggest::distance("kitten", "sitting"), 3);
}

#[test]
fn dotenv_values() {
    let text = "\
# comment
A=1
export B = two words  # comment
C='literal \\n $X # not a comment'  # comment
D=\"a\\tb \\\"c\\\" \\$X\"
E=
F=a#b
KEY=\"-----BEGIN-----
abc
-----END-----\"
A=2\r
";
    let expected = [
        ("A", "2"),
        ("B", "two words"),
        ("C", "literal \\n $X # not a comment"),
        ("D", "a\tb \"c\" $X"),
        ("E", ""),
        ("F", "a#b"),
        ("KEY", "-----BEGIN-----\nabc\n-----END-----"),
    ];
    let read = dotenv::read(".env", text).unwrap();
    assert_eq!(read.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect::<Vec<_>>(), expected);
}

#[test]
fn dotenv_mistakes_are_located_and_swallow_nothing() {
    let text = "junk\n1A=x\nA='open\nB=\"a\" b\nC=\"\\q\"\nD=\"two\nlines\"\nbad\n";
    let expected = "\
.env:1:1: expected `NAME=value` or a comment
.env:2:1: the name of a variable has letters, digits and `_` only, and begins with no digit
.env:3:3: this quote is never closed
.env:4:3: only a comment may follow a quoted value
.env:5:3: in double quotes `\\` begins `\\n`, `\\t`, `\\r`, `\\\"`, `\\\\` or `\\$`; single quotes are literal
.env:8:1: expected `NAME=value` or a comment";
    assert_eq!(dotenv::read(".env", text).unwrap_err().to_string(), expected);
}

#[test]
fn dotenv_is_found_upwards() {
    let top = std::env::temp_dir().join(format!("metlog-dotenv-{}", std::process::id()));
    let deep = top.join("a/b");
    std::fs::create_dir_all(&deep).unwrap();
    std::fs::write(top.join(".env"), "A=1").unwrap();
    assert_eq!(dotenv::find(&deep), Some(top.join(".env")));
    assert_eq!(dotenv::read_file(&top.join(".env")).unwrap()["A"], "1");
    std::fs::remove_dir_all(&top).unwrap();
}

#[test]
fn the_environment_shows_names_only() {
    let environment = Environment::fixed([("TOKEN", "hunter2")]);
    assert_eq!(environment.get("TOKEN").as_deref(), Some("hunter2"));
    assert_eq!(environment.get("PATH"), None);
    assert!(!format!("{environment:?}").contains("hunter2"));
    let process = Environment::process();
    assert!(process.get("PATH").is_some());
    assert_eq!(process.get("A=B\0"), None);
    assert!(process.names("PA").contains(&"PATH".to_owned()));
}

#[test]
fn origins_survive_as_text() {
    for origin in [Origin::new(&"C:\\a b.ini".into(), 3, 14), Origin::named("the environment"), Origin::named("a:b")] {
        assert_eq!(Origin::parse(&origin.to_string()), origin);
    }
}

#[test]
fn problems_of_several_sections_are_one_report() {
    let place = Origin::new(&"m.ini".into(), 3, 1);
    let mut all = Problems::new();
    all.push(Problem::at(&place, "unknown sender `upd`").suggest(Some("udp")));
    all.merge(Problem::anywhere("no sender"));
    assert_eq!(all.note(Err::<(), _>(Problem::at(&Origin::new(&"m.ini".into(), 2, 9), "late"))), None);
    all.sort();
    assert_eq!(all.to_string(), "no sender\nm.ini:2:9: late\nm.ini:3:1: unknown sender `upd`; did you mean `udp`?");
    assert_eq!(all.len(), 3);
    let error: Box<dyn std::error::Error> = Box::new(all.or(()).unwrap_err());
    assert!(error.to_string().starts_with("no sender"));
    assert_eq!(Problems::new().or(5), Ok(5));
}
