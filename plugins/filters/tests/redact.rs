//! `redact`: what it takes out, what it leaves as it was, and that nothing gets past it.

mod common;

use common::{event, open};
use metlog_filters::{Redact, RedactConfig};
use metlog_message::wire::{self, Limits};
use metlog_message::{Message, head};
use metlog_pipeline::registry::Configured;
use metlog_pipeline::{Edit, Filter};
use metlog_testkit::{of_example, settings};
use proptest::prelude::*;

fn redact(toml: &str) -> Redact {
    let config: RedactConfig = metlog_settings::read(&settings(toml)).unwrap_or_else(|problems| panic!("{problems}"));
    Redact::open(config).unwrap_or_else(|why| panic!("{why}"))
}

/// The message afterwards; `None`: the same as before.
fn edited(filter: &mut dyn Filter, text: &str) -> Option<String> {
    let mut out = Vec::new();
    let edit = event(text.as_bytes(), |event| filter.edit(event, &mut out));
    assert_eq!(event(text.as_bytes(), |event| filter.keep(event)), edit == Edit::Keep, "{text}");
    match edit {
        Edit::Keep => {
            assert!(out.is_empty());
            None
        }
        Edit::Changed => {
            let scanned = head::scan(&out, &Limits::default());
            assert!(scanned.is_ok(), "{text}\n{}", String::from_utf8_lossy(&out));
            Some(String::from_utf8(out).expect("UTF-8"))
        }
        dropped => panic!("{dropped:?}: {text}"),
    }
}

fn message(fields: &str, payload: &str, more: &str) -> String {
    format!(
        r#"{{"type":"log", "timestamp":"2026-11-21T08:00:00Z","logger":"app","severity":6,"payload":{payload},"fields":{fields}{more}}}"#
    )
}

fn fields(filter: &mut dyn Filter, fields: &str) -> String {
    let before = message(fields, "\"\"", "");
    let after = edited(filter, &before).unwrap_or(before);
    let (_, rest) = after.split_once("\"fields\":").expect("fields");
    rest.strip_suffix('}').expect("an object").to_owned()
}

#[test]
fn values_go_by_place_and_name_and_the_rest_stays_as_it_is() {
    let mut filter = redact("fields = ['token', 'fields.user.ssn']\nnames = ['password']\nwith = '<\"gone\">'");
    for (before, after) in [
        (r#"{}"#, r#"{}"#),
        (r#"{"a": "token" , "b":[1,  2.50]}"#, r#"{"a": "token" , "b":[1,  2.50]}"#),
        (r#"{"token":"x","deep":{"token":"x"}}"#, r#"{"token":"<\"gone\">","deep":{"token":"x"}}"#),
        (r#"{ "token" : [1,{"a":2}] , "b" : 1 }"#, r#"{ "token" : "<\"gone\">" , "b" : 1 }"#),
        (r#"{"token":null,"token":{}}"#, r#"{"token":"<\"gone\">","token":"<\"gone\">"}"#),
        (r#"{"\u0074oken":"\u0041"}"#, r#"{"\u0074oken":"<\"gone\">"}"#),
        (r#"{"user":{"ssn":1,"n":2}}"#, r#"{"user":{"ssn":"<\"gone\">","n":2}}"#),
        (r#"{"user.ssn":1,"ssn":2}"#, r#"{"user.ssn":"<\"gone\">","ssn":2}"#),
        (r#"{"user":[{"ssn":1},[{"ssn":2}]]}"#, r#"{"user":[{"ssn":"<\"gone\">"},[{"ssn":"<\"gone\">"}]]}"#),
        (
            r#"{"a":[[{"PassWord":"x"}]],"Password":1}"#,
            r#"{"a":[[{"PassWord":"<\"gone\">"}]],"Password":"<\"gone\">"}"#,
        ),
        (r#"{"passwords":"x","pass":"y"}"#, r#"{"passwords":"x","pass":"y"}"#),
    ] {
        assert_eq!(fields(&mut filter, before), after, "{before}");
    }
    let inside = message("{}", r#""{\"password\":\"p\",\"n\":{\"password\":[\"q\"]}}""#, r#","password":"r""#);
    let after = edited(&mut redact("names = ['password']"), &inside).expect("changed");
    assert_eq!(
        after,
        message("{}", r#""{\"password\":\"***\",\"n\":{\"password\":\"***\"}}""#, r#","password":"***""#)
    );
}

#[test]
fn what_is_dropped_takes_its_name_and_one_comma_with_it() {
    let mut filter = redact("names = ['x']\npatterns = ['[0-9]{4}']\naction = 'drop'");
    for (before, after) in [
        (r#"{"x":1}"#, "{}"),
        (r#"{ "x" : {"y":[1]} }"#, "{  }"),
        (r#"{"x":1,"x":2}"#, "{}"),
        (r#"{"x":1, "a":2}"#, r#"{"a":2}"#),
        (r#"{"a":2, "x":1}"#, r#"{"a":2}"#),
        (r#"{"a":1,"x":1,"x":2,"b":{"x":0,"c":[{"x":0}]}}"#, r#"{"a":1,"b":{"c":[{}]}}"#),
        (r#"{"x":1,"x":2,"a":"1234 5","x":3,"b":12345}"#, r#"{"a":" 5","b":"5"}"#),
    ] {
        assert_eq!(fields(&mut filter, before), after, "{before}");
    }
    let mut payload = redact("fields = ['payload', 'logger']\naction = 'drop'");
    let after = edited(&mut payload, &message("{}", "[1,2]", "")).expect("changed");
    assert_eq!(after, message("{}", "\"\"", "").replace("\"app\"", "\"\""));
}

#[test]
fn equal_values_have_equal_hashes() {
    let file = std::env::temp_dir().join(format!("metlog-redact-key-{}", std::process::id()));
    std::fs::write(&file, "one\n").expect("written");
    let mut filters = [
        redact("names = ['user']\naction = 'hash'\nkey = 'one'"),
        redact(&format!("names = ['user']\naction = 'hash'\nkey_file = '{}'", file.display())),
        redact("names = ['user']\naction = 'hash'\nkey = 'two'"),
    ];
    std::fs::remove_file(&file).expect("ours");
    let [one, same, other] = filters
        .each_mut()
        .map(|filter| fields(filter, r#"{"user":"anna","b":{"user":"\u0061nna"},"c":{"user":"bob"}}"#));
    assert_eq!(one, same);
    assert_ne!(one, other);
    let hashes: Vec<&str> = one.split('"').filter(|part| part.starts_with('#')).collect();
    assert!(hashes.len() == 3 && hashes[0] == hashes[1] && hashes[1] != hashes[2], "{one}");
    assert!(!format!("{:?}", filters[0]).contains("one"));
}

#[test]
fn patterns_look_into_texts_numbers_and_names_but_not_into_what_tells_messages_apart() {
    let mut filter = redact("patterns = ['\\b\\d{13,19}\\b']\npresets = ['email']");
    let before = r#"{"type":"4111111111111111","timestamp":"2026-11-21T08:00:00Z","logger":"a@b.example","severity":6,
        "payload":["a 4111111111111111","\u0034111111111111111\n", 4111111111111111, 1.5, {"me@b.example":true}],
        "fields":{"n":-4111111111111111},"env_version":"x@y.zz","metlog_pid":4111111111111111,"metlog_hostname":"h@b.cc",
        "metlog_client":"4111111111111111","metlog_seq":4111111111111111,"via":"q@r.st"}"#;
    let after = edited(&mut filter, before).expect("changed");
    let expected = r#"{"type":"4111111111111111","timestamp":"2026-11-21T08:00:00Z","logger":"***","severity":6,
        "payload":["a ***","***\n", "***", 1.5, {"***":true}],
        "fields":{"n":"-***"},"env_version":"***","metlog_pid":0,"metlog_hostname":"***",
        "metlog_client":"4111111111111111","metlog_seq":4111111111111111,"via":"***"}"#;
    assert_eq!(after, expected);
    let cards = &mut redact("presets = ['credit-card']");
    assert_eq!(
        fields(cards, r#"{"a":0.4111111111111111,"b":4111111111111111}"#),
        r#"{"a":0.4111111111111111,"b":"***"}"#
    );
}

#[test]
fn what_is_no_message_holds_nothing_either() {
    let mut filter = redact(
        "names = ['password']\nfields = ['user.ssn', 'payload.card']\npatterns = ['^\\d{9}$']\npresets = ['credit-card', 'bearer']",
    );
    let mut blotted = |text: &str| {
        let mut out = Vec::new();
        let found = filter.blot(text.as_bytes(), &mut out);
        assert_eq!(found, !out.is_empty());
        found.then(|| String::from_utf8(out).expect("text"))
    };
    for (before, after) in [
        ("nothing to see", None),
        (r#"{"type":"x","n":1"#, None),
        (r#"{"password":"hunter2","n":1"#, Some(r#"{"password":"***","n":1"#)),
        (r#"{"password" : "hunt"#, Some(r#"{"password" : "***""#)),
        (r#"{"password":"hun\"ter","n"#, Some(r#"{"password":"***","n"#)),
        (r#"half","password":["a",{"b":"]"}],"n":1"#, Some(r#"half","password":"***","n":1"#)),
        (r#"{"password":{"a":"}","#, Some(r#"{"password":"***""#)),
        (r#"{"password":hunter2}"#, Some(r#"{"password":"***"}"#)),
        (r#"{"user":{"ssn":123,"a":1}"#, Some(r#"{"user":{"ssn":"***","a":1}"#)),
        (r#"{"user.ssn":"1""#, Some(r#"{"user.ssn":"***""#)),
        (r#"{"n":"123456789","m":123456789,"#, Some(r#"{"n":"***","m":***,"#)),
        (r#"{"n":"1234567890","#, None),
        (r#"{"t":"Bearer abcdefghi","#, Some(r#"{"t":"***","#)),
        (r#"{"payload":"{\"password\":\"hunter2\",\"n\":1}""#, Some(r#"{"payload":"{\"password\":\"***\",\"n\":1}""#)),
        (r#"{"\u0070assword":"hunter2","#, Some(r#"{"\u0070assword":"***","#)),
        (r#"{"n":"a\n\u0034111 1111 1111 1111"#, Some("{\"n\":\"a\n***")),
    ] {
        assert_eq!(blotted(before).as_deref(), after, "{before}");
    }
    let mut out = Vec::new();
    assert!(filter.blot(b"\xff\"password\":\"x\xff", &mut out));
    assert_eq!(String::from_utf8(out).expect("text"), "\u{fffd}\"password\":\"***\"");
}

#[test]
fn mistakes_are_told_with_their_place() {
    for (toml, words) in [
        ("", "`redact` needs `fields`, `names`, `patterns` or `presets`"),
        ("fields = ['severity']", "test.toml:1:1: `fields`: `severity` is never changed"),
        ("fields = ['fields']", "`fields` is never changed"),
        ("fields = ['metlog_client']", "is never changed"),
        ("names = ['']", "the empty name"),
        ("patterns = ['(']", "is wrong at its character 1"),
        ("patterns = ['\\d*']", "test.toml:1:1: `patterns`: `\\d*` is found in the empty text"),
        ("patterns = ['x']\nwith = 'xxx'", "test.toml:2:1: `with`: `xxx` itself is found"),
        ("patterns = ['\\*']", "`***` itself is found"),
        ("presets = ['email', 'mail']", "test.toml:1:21: "),
        ("names = ['a']\naction = 'hash'", "test.toml:2:1: `action = \"hash\"` needs `key`"),
        ("names = ['a']\nkey = 'k'", "test.toml:2:1: `key` is for"),
        ("names = ['a']\naction = 'hash'\nkey = 'k'\nkey_file = 'f'", "both set"),
        ("names = ['a']\naction = 'hash'\nkey = ''", "`key` is empty"),
        ("names = ['a']\naction = 'drop'\nwith = 'x'", "`with` is for"),
        ("names = ['a']\naction = 'burn'", "burn"),
        ("names = ['a']\naction = 'hash'\nkey_file = '/nowhere/key'", "`key_file`"),
    ] {
        let problems = open("redact", &settings(toml)).err().unwrap_or_else(|| panic!("taken: {toml}"));
        assert!(problems.contains(words), "{toml}\n{problems}");
    }
    assert!(open("redact", &of_example(include_str!("../example-redact.toml"))).is_ok());
}

/// JSON, and how it is written.
#[derive(Debug, Clone)]
enum Json {
    Plain(String),
    /// And whether every character is escaped.
    Text(String, bool),
    List(Vec<Json>),
    Object(Vec<(String, bool, Json)>),
}

fn quoted(text: &str, escaped: bool) -> String {
    if escaped {
        return format!("\"{}\"", text.chars().map(|c| format!("\\u{:04X}", u32::from(c))).collect::<String>());
    }
    let mut out = Vec::new();
    wire::write_str(&mut out, text);
    String::from_utf8(out).expect("UTF-8")
}

impl Json {
    fn write(&self, between: &str) -> String {
        let all = |parts: Vec<String>| parts.join(&format!("{between},{between}"));
        match self {
            Json::Plain(text) => text.clone(),
            Json::Text(text, escaped) => quoted(text, *escaped),
            Json::List(list) => format!("[{between}{}]", all(list.iter().map(|json| json.write(between)).collect())),
            Json::Object(members) => {
                let member = |(name, escaped, value): &(String, bool, Json)| {
                    format!("{}{between}:{between}{}", quoted(name, *escaped), value.write(between))
                };
                format!("{{{between}{}}}", all(members.iter().map(member).collect()))
            }
        }
    }

    /// The rules again, as one would write them down.
    fn without(&self, ways: &[String], rules: &Rules) -> Json {
        match self {
            Json::Plain(text) => rules.hide(text).map_or_else(|| self.clone(), |text| Json::Text(text, false)),
            Json::Text(text, _) => rules.hide(text).map_or_else(|| self.clone(), |text| Json::Text(text, false)),
            Json::List(list) => Json::List(list.iter().map(|json| json.without(ways, rules)).collect()),
            Json::Object(members) => {
                let after = members.iter().filter_map(|(name, escaped, value)| {
                    let hit = ways.contains(name) || rules.named && name.eq_ignore_ascii_case("pw");
                    if hit && rules.drop {
                        return None;
                    }
                    let begin = format!("{name}.");
                    let further: Vec<String> =
                        ways.iter().filter_map(|way| way.strip_prefix(&begin).map(str::to_owned)).collect();
                    let value = if hit { Json::Text("***".into(), false) } else { value.without(&further, rules) };
                    let (name, escaped) = rules.hide(name).map_or((name.clone(), *escaped), |name| (name, false));
                    Some((name, escaped, value))
                });
                Json::Object(after.collect())
            }
        }
    }
}

struct Rules {
    named: bool,
    numbers: bool,
    drop: bool,
}

impl Rules {
    /// `[0-9]{4,}` by hand.
    fn hide(&self, text: &str) -> Option<String> {
        let (mut out, mut run, mut found) = (String::new(), String::new(), false);
        for c in text.chars().map(Some).chain([None]) {
            if let Some(digit) = c.filter(char::is_ascii_digit) {
                run.push(digit);
                continue;
            }
            let hides = self.numbers && run.len() >= 4;
            found |= hides;
            out.push_str(if !hides {
                &run
            } else if self.drop {
                ""
            } else {
                "***"
            });
            run.clear();
            out.extend(c);
        }
        // What has come together may be one in its turn.
        if found { Some(self.hide(&out).unwrap_or(out)) } else { None }
    }
}

fn json() -> impl Strategy<Value = Json> {
    let leaf = prop_oneof![
        prop_oneof!["true", "null", "-?[1-9][0-9]{0,6}", "0\\.[0-9]{1,6}", "1e5"].prop_map(Json::Plain),
        ("[a-c 0-9\"\\\\é\n]{0,9}", any::<bool>()).prop_map(|(text, escaped)| Json::Text(text, escaped)),
    ];
    leaf.prop_recursive(4, 40, 5, |inner| {
        let name = prop_oneof!["a", "b", "a\\.b", "pw", "Pw", "pww", "type", "[0-9]{3,5}", "\"é"];
        prop_oneof![
            proptest::collection::vec(inner.clone(), 0..5).prop_map(Json::List),
            proptest::collection::vec((name, any::<bool>(), inner), 0..5).prop_map(Json::Object),
        ]
    })
}

fn object() -> impl Strategy<Value = Json> {
    json().prop_map(|json| match json {
        Json::Object(_) => json,
        other => Json::Object(vec![("a".to_owned(), false, other)]),
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]

    /// Byte for byte what the rules say, whatever the message looks like.
    #[test]
    fn it_does_what_the_rules_say_and_nothing_else(
        payload in json(), fields in object(), extra in json(), logger in "[a-c0-9]{0,8}",
        named: bool, numbers: bool, drop: bool, spaced: bool,
    ) {
        let rules = Rules { named, numbers, drop };
        // Where something goes, so do the blanks around it; which of them is not worth a rule.
        let between = if spaced && !drop { " " } else { "" };
        let mut toml = "fields = ['fields.a.b', 'payload.a', 'b.a.b']\n".to_owned();
        toml.push_str(if named { "names = ['pw']\n" } else { "" });
        toml.push_str(if numbers { "patterns = ['[0-9]{4,}']\n" } else { "" });
        toml.push_str(if drop { "action = 'drop'\n" } else { "" });
        let whole = |payload: &Json, fields: &Json, extra: &Json, logger: &str| format!(
            r#"{{"type":"12345","timestamp":"2026-11-21T08:00:00Z","logger":"{logger}","severity":6,"payload":{},"fields":{},"x":{}}}"#,
            payload.write(between), fields.write(between), extra.write(between),
        );
        let before = whole(&payload, &fields, &extra, &logger);
        let ways = |ways: &[&str]| ways.iter().map(|way| (*way).to_owned()).collect::<Vec<_>>();
        let expected = whole(
            &payload.without(&ways(&["a"]), &rules),
            &fields.without(&ways(&["a.b", "b.a.b"]), &rules),
            &extra.without(&[], &rules),
            &rules.hide(&logger).unwrap_or_else(|| logger.clone()),
        );
        let mut filter = redact(&toml);
        let after = edited(&mut filter, &before);
        let same = after.is_none();
        prop_assert_eq!(after.as_deref().unwrap_or(&before), &expected);
        prop_assert_eq!(same, before == expected, "what did not change is not written again");
        prop_assert!(edited(&mut filter, &expected).is_none_or(|again| again == expected), "once is enough");
    }

    /// Cut off anywhere, with another byte somewhere: the value of a name is not there.
    #[test]
    fn nothing_of_a_broken_message_is_kept_that_must_not_be(
        cut in 0..400_usize, at in 0..400_usize, byte: u8, escaped: bool, inside: bool, fields in object(),
    ) {
        let secret = Json::Object(vec![("password".to_owned(), escaped, Json::Text("XYZZY \"PLUGH".to_owned(), escaped))]);
        let payload = if inside { quoted(&secret.write(" "), false) } else { secret.write("") };
        let mut text = message(&fields.write(""), &payload, "").into_bytes();
        let from = text.windows(7).position(|seven| seven == b"payload").expect("there");
        text.truncate(cut.max(from));
        // Not in the name itself, or it is another one.
        if at < from && at < text.len() {
            text[at] = byte;
        }
        let mut out = Vec::new();
        let kept = if redact("names = ['password']").blot(&text, &mut out) { out } else { text };
        let kept = String::from_utf8_lossy(&kept);
        prop_assert!(!kept.contains("XYZ") && !kept.contains("PLU") && !kept.contains("u0058"), "{kept}");
    }

    /// Whatever comes, it ends, and what it keeps is searched.
    #[test]
    fn any_bytes_can_be_searched(bytes in proptest::collection::vec(any::<u8>(), 0..200), text in "[\"\\\\:{}\\[\\],pw 0-9u]{0,60}") {
        let mut filter = redact("names = ['pw']\nfields = ['a.p']\npatterns = ['^\\d{4,}$', '[a-c]{3}']\npresets = ['credit-card']");
        for bytes in [bytes.as_slice(), text.as_bytes()] {
            let mut out = Vec::new();
            filter.blot(bytes, &mut out);
        }
    }
}

#[test]
fn the_client_s_own_messages_pass_unread_in_what_they_mean() {
    let mut text = Vec::new();
    let mut message = Message::new("log").payload("caf\u{e9} \u{2028} \"x\"");
    message.fields.set("n", 5);
    wire::write(&mut text, &message);
    let mut filter =
        redact("names = ['password']\npresets = ['bearer', 'jwt', 'credit-card', 'email', 'aws-key', 'private-key']");
    assert_eq!(edited(&mut filter, std::str::from_utf8(&text).expect("text")), None);
}
