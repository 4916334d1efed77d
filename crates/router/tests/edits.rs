//! `router.edit`: what must not be kept is kept nowhere, who sends too much is told so, and every message is accounted for.

mod program;
mod stage;

use program::{FILE, Program, inputs};
use stage::{Directory, Running, Script, dead_letters, eventually, message, plan};
use std::io::{Read, Write};
use std::net::{Shutdown, TcpStream};
use std::path::Path;
use std::process::{Command, Stdio};

const TCP: &str = "[inputs.tcp]\nlisten = '127.0.0.1:0'\n";

const SECRETS: &str = "[filters.secrets]\ntype = 'redact'\nnames = ['password']\nfields = ['user.ssn', 'payload.card']\n\
                       presets = ['credit-card', 'bearer', 'jwt', 'email', 'aws-key', 'private-key']\n";

fn endpoint(name: &str) -> String {
    format!("[endpoints.{name}]\ntype = 'scripted'\nname = '{name}'\n")
}

/// In parts, so that not even this program's own file has one.
fn secrets() -> [String; 4] {
    [["hun", "ter2"], ["4111", "111111111111"], ["078-05", "-1120"], ["tok3n", "Tok3nTok3n"]]
        .map(|parts| parts.concat())
}

/// Everything below a directory, name and bytes.
fn files(directory: &Path, all: &mut Vec<(String, Vec<u8>)>) {
    for entry in std::fs::read_dir(directory).unwrap().map(Result::unwrap) {
        if entry.file_type().unwrap().is_dir() {
            files(&entry.path(), all);
        } else {
            all.push((entry.path().display().to_string(), std::fs::read(entry.path()).unwrap()));
        }
    }
}

fn contains(bytes: &[u8], text: &str) -> bool {
    bytes.windows(text.len()).any(|window| window == text.as_bytes())
}

/// With `rest` after the fields' brace.
fn with(payload: &str, fields: &str, rest: &str) -> String {
    format!(
        r#"{{"type":"visible","timestamp":"2026-11-21T08:00:00.000000Z","logger":"app","severity":6,"payload":{payload},"fields":{fields},"env_version":"0.8","metlog_pid":1,"metlog_hostname":"h"{rest}}}"#
    )
}

/// Messages and what is none, each with a secret somewhere, and how many are taken.
fn lines() -> (Vec<String>, u64) {
    let [word, card, ssn, token] = secrets();
    let escaped: String = word.bytes().map(|byte| format!("\\u{byte:04x}")).collect();
    let good = [
        with("\"m\"", &format!(r#"{{"password":"{word}","n":1}}"#), ""),
        with("\"m\"", &format!(r#"{{"a":[{{"\u0070assword":["{word}"]}}],"n":2}}"#), ""),
        with("\"m\"", &format!(r#"{{"password":"{escaped}","password":"{word}"}}"#), ""),
        with(&format!(r#""paid with {card} today""#), "{}", ""),
        with(&format!(r#"{{"card":"{word}","amount":{card}}}"#), "{}", ""),
        with("\"m\"", &format!(r#"{{"user":{{"ssn":"{ssn}"}}}}"#), ""),
        with(&format!(r#""{{\"password\":\"{word}\"}}""#), &format!(r#"{{"h":"Bearer {token}"}}"#), ""),
        with("\"m\"", "{}", &format!(r#","password":"{word}","{card}":true"#)),
        with("\"m\"", "{}", "").replace("\"app\"", &format!("\"{card}\"")),
        format!(
            "{}{}",
            with("\"m\"", &format!(r#"{{"password":"{word}"}}"#), ""),
            with(&format!("\"{card}\""), "{}", "")
        ),
        // Mended.
        format!(r#"{{"type":"visible","fields":{{"password":"{word}"}},"payload":NaN}}"#),
        format!(r#"{{"type":"visible","payload":"{card}","severity":"6"}}"#),
    ];
    let bad = [
        format!(r#"no json, {card}, Bearer {token}"#),
        format!(r#"{{"type":"visible","fields":{{"password":"{word}""#),
        format!(r#"{{"type":"visible","fields":{{"user":{{"ssn":"{ssn}"}}"#),
        format!(r#"{{"type":"visible","payload":"{{\"password\":\"{word}"#),
        format!(r#"{{"type":"visible","payload":"\n{}""#, card.replacen('4', "\\u0034", 1)),
        format!(r#"{{"fields":{{"password":"{word}"}}}}"#),
        with("\"m\"", &format!(r#"{{"password":"{word}"}}"#), "")
            .replace("\"app\"", &format!("\"{}\"", "x".repeat(200))),
        with("\"m\"", &format!("{}{{\"password\":\"{word}\"}}{}", "{\"a\":".repeat(40), "}".repeat(40)), ""),
    ];
    let taken = good.len() as u64 + 1;
    (good.into_iter().chain(bad).collect(), taken)
}

#[test]
fn a_secret_is_in_no_file() {
    let config = format!(
        "edit = ['secrets']\n{SECRETS}[spool]\nkeep = '1h'\nsync = 'ack'\n{}{FILE}[endpoints.store]\npath = 'data/kept.db'\n",
        inputs()
    );
    let program = Program::start_in(Directory::new(), &config);
    let (lines, taken) = lines();
    let refused = lines.len() as u64 + 1 - taken;
    let mut stream = TcpStream::connect(("127.0.0.1", program.port("tcp"))).unwrap();
    stream.write_all((lines.join("\n") + "\n").as_bytes()).unwrap();
    stream.shutdown(Shutdown::Write).unwrap();
    stream.read_to_end(&mut Vec::new()).unwrap();
    for line in &lines {
        program.post(line.as_bytes());
    }
    let [word, card, _, _] = secrets();
    let rows = format!(
        "{{\"_msg\":\"visible {card}\",\"password\":\"{word}\"}}\n{{\"_msg\":\"{card}\",\"password\":\"{word}\n"
    );
    program.request("POST /insert/jsonline", &[], rows.as_bytes());
    eventually("all over TCP", || program.accepted("tcp") == taken);
    eventually("all over HTTP", || program.accepted("http") >= taken);
    let accepted = program.accepted("tcp") + program.accepted("http");
    eventually("all are delivered", || program.delivered("all") == accepted && program.delivered("store") == accepted);
    assert_eq!(["malformed", "too_large"].map(|reason| program.refused("tcp", reason)).iter().sum::<u64>(), refused);
    let text = program.text("all.jsonl");
    assert_eq!(text.lines().count() as u64, accepted);
    assert!(
        text.contains(r#""fields":{"password":"***","n":1}"#) && text.contains(r#""payload":"paid with *** today""#)
    );
    let directory = program.stop();
    let mut all = Vec::new();
    files(&directory.0, &mut all);
    for (name, bytes) in &all {
        for secret in &secrets() {
            assert!(!contains(bytes, secret), "{secret} in {name}");
        }
        assert!(!contains(bytes, "u0068") && !contains(bytes, "u0034"), "an escaped one in {name}");
    }
    let visible = |part: &str| all.iter().any(|(name, bytes)| name.contains(part) && contains(bytes, "visible"));
    assert!(
        ["/spool/", "/dead-letters/", "all.jsonl", "kept.db"].iter().all(|part| visible(part)),
        "the search finds things"
    );
}

#[test]
fn of_what_is_long_and_no_message_the_searched_beginning_is_kept() {
    let directory = Directory::new();
    let running = Running::start(&directory, &format!("edit = 'secrets'\n{SECRETS}{TCP}{}", endpoint("long")));
    let [word, card, _, _] = secrets();
    for at in [65_000, 65_530, 72_000, 81_915, 200_000] {
        running.send(
            "tcp",
            [format!("{{\"a\" {} \"password\":\"{word}{}", card.clone() + &" ".repeat(at), "x".repeat(300_000))],
        );
    }
    eventually("all are refused", || running.account().inputs["tcp"].counts.refused[0] == 5);
    running.stop();
    let letters = dead_letters(&directory);
    assert_eq!(letters.len(), 5);
    for letter in letters {
        assert!(!letter.contains(&word[..3]) && !letter.contains(&card), "{}", &letter[..300]);
        assert!(letter.len() < 100_000);
    }
}

#[test]
fn a_message_without_secrets_keeps_its_bytes() {
    let directory = Directory::new();
    let script = Script::named("unedited");
    let running = Running::start(&directory, &format!("edit = 'secrets'\n{SECRETS}{TCP}{}", endpoint("unedited")));
    running.send("tcp", (0..500).map(message));
    eventually("all arrive", || script.count() == 500);
    assert!(script.got.lock().unwrap().iter().all(|(_, text)| *text == message(stage::number(text))));
    assert_eq!(running.balanced().inputs["tcp"].counts.accepted, 500);
}

fn numbered(client: &str, seq: u64) -> String {
    let message = message(seq);
    let open = message.strip_suffix('}').unwrap();
    format!(r#"{open},"metlog_client":"{client}","metlog_seq":{seq}}}"#)
}

#[test]
fn who_sends_too_much_is_told_so_and_nobody_else_is_held_up() {
    let fair = "[filters.fair]\ntype = 'quota'\nmessages = '10/h'\nburst = '1h'\n";
    let program = Program::start_in(Directory::new(), &format!("edit = ['fair']\n{fair}{}{FILE}", inputs()));
    let all = |client: &str, range: std::ops::RangeInclusive<u64>| {
        let lines: Vec<String> = range.map(|seq| numbered(client, seq)).collect();
        program.post(lines.join("\n").as_bytes())
    };
    let answer = all("loud", 1..=30);
    assert_eq!(answer.status, 200, "{answer:?}");
    assert!(answer.body.starts_with(r#"{"accepted":10,"rejected":[{"index":10,"error":"over the quota of 10 messages/h by metlog_client (`fair`)"}"#), "{answer:?}");
    // What was turned down is not known when it comes again; what was taken is.
    let answer = all("loud", 11..=30);
    assert_eq!((answer.status, answer.body.starts_with(r#"{"accepted":0,"#)), (400, true), "{answer:?}");
    assert!(all("loud", 1..=10).body.contains(r#""accepted":10,"duplicates":10,"rejected":[]"#));
    assert!(all("calm", 1..=10).body.starts_with(r#"{"accepted":10,"rejected":[]"#));
    let mut stream = TcpStream::connect(("127.0.0.1", program.port("tcp"))).unwrap();
    stream.write_all((31..=40).map(|seq| numbered("loud", seq) + "\n").collect::<String>().as_bytes()).unwrap();
    stream.shutdown(Shutdown::Write).unwrap();
    stream.read_to_end(&mut Vec::new()).unwrap();
    eventually("the flood is counted", || program.refused("tcp", "quota") == 10);
    assert_eq!((program.refused("http", "quota"), program.accepted("http"), program.accepted("tcp")), (40, 20, 0));
    eventually("the others are delivered", || program.delivered("all") == 20);
    assert_eq!(program.metric("metlog_dead_letters_written_total"), 0, "a flood does not fill the disk");
    let said = program.log().lines().filter(|line| line.contains("over the quota")).count();
    assert_eq!(said, 1, "once a minute: {}", program.log());
    program.stop();
}

#[test]
fn what_cannot_go_on_edited_goes_nowhere() {
    let directory = Directory::new();
    let script = Script::named("narrow");
    let long = "x".repeat(64);
    let config = format!(
        "message_bytes = '600 B'\nedit = ['secrets', 'loud']\n[filters.secrets]\ntype = 'redact'\nnames = ['password']\nwith = '{long}'\n\
         [filters.loud]\ntype = 'severity_max'\nseverity = 6\n{TCP}{}",
        endpoint("narrow")
    );
    let running = Running::start(&directory, &config);
    let filled = |bytes: usize| {
        let text = with("\"\"", r#"{"n":1,"password":12345}"#, "");
        text.replace("\"h\"", &format!("\"{}\"", "h".repeat(bytes - text.len() + 1)))
    };
    let debug = message(3).replace("\"severity\":6", "\"severity\":7");
    running.send("tcp", [filled(600), filled(500), debug, message(2)]);
    eventually("two arrive", || script.count() == 2);
    let got = script.got.lock().unwrap().iter().map(|(_, text)| text.clone()).collect::<String>();
    assert!(got.contains(&long) && !got.contains("12345"), "{got}");
    let refused = running.balanced().inputs["tcp"].counts.refused;
    assert_eq!(refused, [0, 1, 0, 0, 0, 1], "too large, and not wanted");
    running.stop();
    let letters = dead_letters(&directory);
    assert_eq!(letters.len(), 1, "what an editor did not want is counted");
    assert!(letters[0].contains("beyond the limits once it is edited") && !letters[0].contains("12345"), "{letters:?}");
}

#[test]
fn a_reload_changes_editors_and_keeps_what_they_have_counted() {
    let directory = Directory::new();
    let script = Script::named("reloaded");
    let text = |edit: &str, more: &str| {
        let fair = format!("[filters.fair]\ntype = 'quota'\nmessages = '5/h'\nburst = '1h'\nby = 'logger'\n{more}");
        format!("edit = {edit}\n{SECRETS}{fair}{TCP}{}", endpoint("reloaded"))
    };
    let running = Running::start(&directory, &text("['fair']", ""));
    let secret = |n: u64| message(n).replace("\"n\"", "\"password\":\"XYZZY\",\"n\"");
    let refused = || running.account().inputs["tcp"].counts.refused[4];
    // One connection through all of it, with what it has cached.
    let mut stream = TcpStream::connect(("127.0.0.1", running.port("tcp"))).unwrap();
    let mut send = |from: u64| {
        stream.write_all((from..from + 8).map(|n| secret(n) + "\n").collect::<String>().as_bytes()).unwrap()
    };
    send(0);
    eventually("five of eight", || script.count() == 5 && refused() == 3);
    running.router.reload(&plan(&directory, &text("['secrets', 'fair']", ""))).unwrap();
    send(10);
    eventually("none: it has had its share", || refused() == 11);
    running.router.reload(&plan(&directory, &text("['secrets', 'fair']", "# another\nbytes = '1 GB/s'\n"))).unwrap();
    send(20);
    eventually("five again", || script.count() == 10 && refused() == 14);
    let wrong = text(
        "['secrets', 'key']",
        "[filters.key]\ntype = 'redact'\nnames = ['a']\naction = 'hash'\nkey_file = '/nowhere/key'\n",
    );
    let why = running.router.reload(&plan(&directory, &wrong)).unwrap_err();
    assert!(why.contains("filter `key`: `key_file`"), "{why}");
    running.router.reload(&plan(&directory, &text("['secrets']", ""))).unwrap();
    send(30);
    eventually("all of them", || script.count() == 18 && refused() == 14);
    let got: Vec<(u64, String)> = script.got.lock().unwrap().clone();
    let hidden = |text: &str| !text.contains("XYZZY") && text.contains(r#""password":"***""#);
    assert!(got.iter().all(|(_, text)| hidden(text) == (stage::number(text) >= 10)), "{got:#?}");
    drop(stream);
}

fn run(arguments: &[&str], stdin: &str, directory: &Path) -> (Option<i32>, String) {
    let mut command = Command::new(env!("CARGO_BIN_EXE_metlog-router"));
    command.args(arguments).current_dir(directory).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().unwrap();
    child.stdin.take().unwrap().write_all(stdin.as_bytes()).unwrap();
    let output = child.wait_with_output().unwrap();
    (output.status.code(), [output.stdout, output.stderr].map(|text| String::from_utf8(text).unwrap()).concat())
}

#[test]
fn explain_shows_what_goes_on_and_never_what_does_not() {
    let directory = Directory::new();
    let fair = "[filters.fair]\ntype = 'quota'\nmessages = '2/h'\nburst = '1h'\nby = 'type'\n";
    let text = format!("[router]\nedit = ['secrets', 'fair']\n{SECRETS}{fair}{TCP}[endpoints.all]\ntype = 'null'\n");
    std::fs::write(directory.0.join("r.toml"), text).unwrap();
    let [word, card, _, _] = secrets();
    let lines = [
        with("\"m\"", &format!(r#"{{"password":"{word}"}}"#), "").replace("\"app\"", &format!("\"{card}\"")),
        with("\"m\"", "{}", ""),
        with(&format!("\"{card}\""), "{}", ""),
        format!("{{\"password\":\"{word}\""),
    ];
    let (code, said) = run(&["explain", "--config", "r.toml"], &lines.join("\n"), &directory.0);
    assert_eq!(code, Some(3), "{said}");
    let first = format!(
        "message 1: type \"visible\", severity 6, logger \"***\"\n  edit secrets: changed\n  edit fair: unchanged\n  goes on as: {}\n  -> all\n",
        with("\"m\"", r#"{"password":"***"}"#, "").replace("\"app\"", "\"***\"")
    );
    assert!(said.starts_with(&first), "{said}");
    assert!(said.contains("logger \"app\"\n  edit secrets: unchanged\n  edit fair: unchanged\n  -> all\n"), "{said}");
    assert!(said.contains("message 3: refused (quota): over the quota of 2 messages/h by type (`fair`)\n"), "{said}");
    assert!(!said.contains(&word) && !said.contains(&card), "{said}");
}

#[test]
fn check_finds_wrong_names_of_editors() {
    let directory = Directory::new();
    let check = |edit: &str, filters: &str| {
        let text = format!("[router]\nedit = {edit}\n{SECRETS}{filters}{TCP}[endpoints.all]\ntype = 'null'\n");
        std::fs::write(directory.0.join("r.toml"), text).unwrap();
        run(&["check", "r.toml"], "", &directory.0)
    };
    let combined = "[filters.both]\ntype = 'any'\nof = ['secrets']\n";
    for (edit, words) in [
        ("['secret']", "r.toml:2:9: no filter is called `secret`; there are both, secrets; did you mean `secrets`?"),
        ("'x'", "r.toml:2:8: no filter is called `x`"),
        ("['secrets', 'secrets']", "r.toml:2:20: `secrets` is named twice"),
        ("['both']", "r.toml:2:9: `both` combines filters"),
        ("[3]", "r.toml:2:9: "),
        ("{ a = 1 }", "r.toml:2:8: "),
    ] {
        let (code, said) = check(edit, combined);
        assert!(code == Some(2) && said.contains(words), "{edit}: {said}");
    }
    assert_eq!(check("['secrets']", "").1, "r.toml: in order; inputs: 1, endpoints: 1\n");
    // One that was forgotten there protects nobody.
    let (code, said) = check("[]", "");
    assert!(code == Some(0) && said.contains("note: filter secrets: nobody asks it"), "{said}");
}
