//! The published Python clients as they are, all on one port of the real program: what they write is kept once in every
//! place, what they read back is what they wrote, and a router that dies takes nothing along that it had answered.

#[path = "clients/oracle.rs"]
mod oracle;
mod program;
#[path = "clients/published.rs"]
mod published;
mod stage;

use metlog_testkit::Postgres;
use oracle::Oracle;
use program::{FILE, Program, request};
use published::{ALL, Client, MADSCI_NEW, MADSCI_OLD, found_in, run_all};
use serde_json::Value;
use stage::{Directory, eventually};
use std::collections::BTreeMap;
use std::path::Path;
use std::process::Command;
use std::sync::{Arc, Mutex};
use std::time::Duration;

const STORE: &str = "[endpoints.store]\n";

fn postgres(database: &str) -> String {
    format!("[endpoints.database]\ntype = 'postgres'\nurl = '{}'\n", Postgres::shared().url(database))
}

/// All that is in the router's store, byte for byte, in order of the bytes.
fn exported(router: &Program, key: &str) -> Vec<String> {
    // Which waits for what was answered before.
    let settled = router.ask(&format!("{key}/v1/messages?limit=1"));
    assert!(settled.body.contains("\"settled\":true"), "{}", settled.body);
    let export = router.ask(&format!("{key}/v1/messages/export"));
    assert_eq!(export.status, 200, "{}", export.body);
    lines(&export.body)
}

fn in_postgres(database: &str) -> Vec<String> {
    let raw = "select coalesce(raw, convert_from(raw_bytes, 'UTF8')) from metlog_messages";
    lines(&Postgres::shared().sql(database, raw))
}

fn lines(text: &str) -> Vec<String> {
    let mut lines: Vec<String> = text.lines().map(str::to_owned).collect();
    lines.sort();
    lines
}

/// Says where they differ: all of them would fill many screens.
#[track_caller]
fn assert_same(one: &[String], other: &[String], what: &str) {
    let differs = one.iter().zip(other).find(|(one, other)| one != other);
    let short = |line: &str| line.chars().take(600).collect::<String>();
    let differs = differs.map(|(one, other)| format!("\n{}\n{}", short(one), short(other)));
    assert!(
        differs.is_none() && one.len() == other.len(),
        "{what}: {} and {}{}",
        one.len(),
        other.len(),
        differs.unwrap_or_default()
    );
}

fn parsed(lines: &[String]) -> Vec<Value> {
    lines.iter().map(|line| serde_json::from_str(line).unwrap_or_else(|why| panic!("{why}: {line}"))).collect()
}

#[test]
fn what_all_say_at_once_is_kept_once_in_every_place_with_every_field() {
    let database = Postgres::shared().database();
    let router = Program::start_in(
        Directory::new(),
        &format!(
            "[inputs.http]\n{STORE}{}{FILE}\
             [endpoints.loud]\ntype = 'file'\npath = 'loud.jsonl'\nseverity_max = 3\ntypes = ['log', 'log_error']\n\
             [filters.checkout]\ntype = 'field'\npath = 'service'\nequals = 'checkout'\n\
             [endpoints.checkout]\ntype = 'file'\npath = 'checkout.jsonl'\nfilters = ['checkout']\n",
            postgres(&database)
        ),
    );
    let home = router.ask("/");
    let home: Value = serde_json::from_str(&home.body).unwrap_or_else(|why| panic!("{why}: {home:?}"));
    assert_eq!((&home["status"], &home["manager_type"]), (&"ok".into(), &"event_manager".into()), "{home}");

    let url = format!("http://{}", router.place("http"));
    let said = run_all(&router.path("home"), |client| (client.everything.to_owned(), vec![url.clone()]));
    let accepted = router.accepted("http") as usize;
    eventually("the endpoints have it", || {
        ["all", "store", "database"].iter().all(|endpoint| router.delivered(endpoint) as usize == accepted)
    });
    let file = lines(&router.text("all.jsonl"));
    assert_eq!(file.len(), accepted);
    // Masterlog's script sends one in each of three ways whose time is long over: stores do not keep it.
    let lasts = |line: &String| !line.contains("\"expires_at\":\"2026-01-01");
    let lasting: Vec<String> = file.iter().filter(|line| lasts(line)).cloned().collect();
    assert_eq!(lasting.len() + 3, file.len());
    assert_same(&lasting, &exported(&router, ""), "file and store");
    let rows: Vec<String> = in_postgres(&database).into_iter().filter(lasts).collect();
    assert_same(&lasting, &rows, "file and PostgreSQL");

    let mut by_dialect: BTreeMap<String, Vec<Value>> = BTreeMap::new();
    for message in parsed(&file) {
        by_dialect.entry(message["via"].as_str().expect("a dialect").to_owned()).or_default().push(message);
    }
    for (name, found) in &by_dialect {
        let said: Vec<&str> =
            ALL.iter().zip(&said).filter(|(client, _)| client.dialect == name).map(|(_, said)| said.as_str()).collect();
        found_in(name, found, &said);
    }
    assert_eq!(by_dialect.len(), 4);

    let passing = |passes: fn(&Value) -> bool| -> Vec<String> {
        file.iter().zip(parsed(&file)).filter(|(_, message)| passes(message)).map(|(line, _)| line.clone()).collect()
    };
    let loud = passing(|message| {
        message["severity"].as_u64().is_some_and(|severity| severity <= 3)
            && (message["type"] == "log" || message["type"] == "log_error")
    });
    let checkout = passing(|message| message["fields"]["service"] == "checkout");
    for (name, expected) in [("loud", loud), ("checkout", checkout)] {
        assert!(!expected.is_empty() && expected.len() < accepted, "{name}");
        eventually("it is filtered", || lines(&router.text(&format!("{name}.jsonl"))).len() == expected.len());
        assert_same(&lines(&router.text(&format!("{name}.jsonl"))), &expected, name);
    }
    let status: Value = serde_json::from_str(&router.ask("/v1/status").body).expect("JSON");
    let refused =
        status["inputs"]["http"]["refused"].as_object().expect("reasons").iter().filter(|(_, count)| **count != 0);
    assert_eq!((&status["unaccounted"], refused.count()), (&0.into(), 0), "{status}");
    router.stop();
}

/// Its whole script: writes, reads, reports; and with 0.8.1 archiving, purging and backups too.
fn reads_back(client: &Client, endpoint: &str) {
    let router = Program::start_in(Directory::new(), &format!("[inputs.http]\n{endpoint}"));
    let url = format!("http://{}/", router.place("http"));
    let said = client.run("../../plugins/madsci/tests/support/client.py", &[url], &router.path("home"));
    let sent: Value = serde_json::from_str(said.lines().last().expect("it says")).expect("JSON");
    assert_eq!(Some(router.accepted("http")), sent["sent"].as_u64(), "each once");
    router.stop();
}

#[test]
fn madsci_0_8_1_reads_from_the_store_what_it_wrote() {
    reads_back(&MADSCI_NEW, STORE);
}

#[test]
fn madsci_0_5_2_reads_from_postgresql_what_it_wrote() {
    reads_back(&MADSCI_OLD, &postgres(&Postgres::shared().database()));
}

const DEATHS: u32 = 6;

/// Makes the file that tells the clients to stop, also when the test fails.
struct AtEnd<'a>(&'a Path);

impl Drop for AtEnd<'_> {
    fn drop(&mut self) {
        std::fs::write(self.0, "").unwrap();
    }
}

#[test]
fn a_router_that_is_killed_while_all_send_has_everything_it_answered_and_nothing_twice() {
    let database = Postgres::shared().database();
    let config = format!("[inputs.http]\n{STORE}{}{FILE}", postgres(&database));
    let address = Arc::new(Mutex::new(String::new()));
    // One for each, since it answers one request at a time.
    let oracles = ALL.map(|_| Oracle::before(address.clone()));
    let start = |directory: Directory| {
        let router = Program::start_in(directory, &config);
        *address.lock().unwrap() = router.place("http");
        router
    };
    let (directory, homes) = (Directory::new(), Directory::new());
    let stop = homes.0.join("stop");
    let (router, said) = std::thread::scope(|scope| {
        let mut router = start(directory);
        let clients = scope.spawn(|| {
            run_all(&homes.0, |client| {
                let at = ALL.iter().position(|other| other.name == client.name).expect("one of them");
                let url = oracles.get(at).expect("one each").url();
                ("tests/clients/steady.py".to_owned(), vec![client.name.to_owned(), url, stop.display().to_string()])
            })
        });
        let told = AtEnd(&stop);
        eventually("all of them send", || oracles.iter().all(|oracle| oracle.answered() > 20));
        for _ in 0..DEATHS {
            let directory = router.kill();
            std::thread::sleep(Duration::from_millis(fastrand::u64(..300)));
            router = start(directory);
            std::thread::sleep(Duration::from_millis(500 + fastrand::u64(..500)));
        }
        drop(told);
        (router, clients.join().unwrap())
    });

    let stored = exported(&router, "");
    let mut kept: BTreeMap<String, u64> = BTreeMap::new();
    for message in parsed(&stored) {
        let mark = message["payload"].as_str().expect("a text").to_owned();
        *kept.entry(mark).or_default() += 1;
    }
    let mut unanswered = 0;
    for ((client, oracle), said) in ALL.iter().zip(&oracles).zip(&said) {
        let sent: u64 = said.trim().lines().last().expect("a number").parse().expect("a number");
        for number in 0..sent {
            let mark = format!("<{}:{number}>", client.name);
            let ((yes, no), kept) = (oracle.requests(&mark), kept.remove(&mark).unwrap_or(0));
            unanswered += no;
            assert!(kept > 0 || yes == 0, "{mark} was answered and is lost");
            // The first three give no ids, so a repeat after a silence is another message to anybody.
            let most = if client.dialect == "madsci" { 1 } else { yes + no };
            assert!(kept <= most, "{mark} is there {kept} times, for {yes} requests with an answer and {no} without");
            assert!(yes <= 1 || client.dialect == "madsci", "{mark} was answered {yes} times");
            assert!(yes > 0 || !client.persists, "{mark} was never answered, and its client does not give up");
        }
        assert!(sent > 100 && oracle.answered() > 50, "{}: {sent}", client.name);
    }
    assert!(kept.is_empty(), "nobody sent {:?}", kept.keys().take(9).collect::<Vec<_>>());
    assert!(unanswered > 0, "no request was under way when the router died: then this test says nothing");
    eventually("PostgreSQL has it", || in_postgres(&database).len() >= stored.len());
    assert_same(&stored, &in_postgres(&database), "store and PostgreSQL");
    // The file may have some twice, since it cannot be asked what it has.
    eventually("the file has it", || {
        let mut file: BTreeMap<String, u64> = BTreeMap::new();
        lines(&router.text("all.jsonl")).into_iter().for_each(|line| *file.entry(line).or_default() += 1);
        stored
            .iter()
            .all(|line| file.get_mut(line).is_some_and(|left| left.checked_sub(1).map(|less| *left = less).is_some()))
    });
    router.stop();
}

#[test]
fn each_brings_its_key_as_it_can_and_a_wrong_one_brings_nothing() {
    let directory = Directory::new();
    let mut sections = String::new();
    let keys = [("app", "ingest"), ("eye", "read")].map(|(name, scope)| {
        let file = format!("{name}.key");
        let mut made = Command::new(env!("CARGO_BIN_EXE_metlog-router"));
        made.args(["key", "new", "--name", name, "--scope", scope, "--out", &file]).current_dir(&directory.0);
        let made = made.output().unwrap();
        assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
        sections += &String::from_utf8(made.stdout).unwrap();
        std::fs::read_to_string(directory.0.join(file)).unwrap().trim().to_owned()
    });
    let [app, eye] = keys.map(|key| format!("/key/{key}"));
    let config = format!("[inputs.http]\nkeyless = ['victorialogs']\n{STORE}{sections}");
    let router = Program::start_in(directory, &config);
    let place = router.place("http");
    let url = format!("http://{place}");
    let said = run_all(&router.path("home"), |client| {
        let key = app.trim_start_matches("/key/").to_owned();
        let arguments = vec![client.dialect.to_owned(), url.clone(), key, format!("{url}{app}")];
        ("tests/clients/keys.py".to_owned(), arguments)
    });
    let [masterlog, logcollector, ..] = &said;
    assert!(masterlog.starts_with("False Master Log returned HTTP 401"), "{masterlog}");
    assert_eq!(logcollector.matches("HTTP 401").count(), 2, "{logcollector}");

    let stored = parsed(&exported(&router, &eye));
    let mut kept: Vec<(&str, &str)> = stored
        .iter()
        .map(|message| (message["via"].as_str().expect("a text"), message["payload"].as_str().expect("a text")))
        .collect();
    kept.sort_unstable();
    let once = ["logcollector", "madsci", "madsci", "masterlog", "masterlog", "victorialogs"];
    assert_eq!(kept, once.map(|dialect| (dialect, "with a key")));

    let ask = |what: &str| request(&place, what, &[], b"{}").expect("an answer").status;
    for path in ["/events", "/stats", "/v1/messages"] {
        assert_eq!(ask(&format!("GET {path}")), 401, "{path}");
        assert_eq!(ask(&format!("GET {app}{path}")), 403, "{path}");
        assert_eq!(ask(&format!("GET {eye}{path}")), 200, "{path}");
    }
    assert_eq!((ask(&format!("POST {eye}/events/query")), ask(&format!("POST {app}/events/query"))), (200, 403));
    for what in ["POST /events/archive", "DELETE /events/archived", "POST /backup"] {
        let (method, path) = what.split_once(' ').expect("two words");
        assert_eq!(ask(what), 401, "{what}");
        assert_eq!([&app, &eye].map(|key| ask(&format!("{method} {key}{path}"))), [403, 403], "{what}");
    }
    for path in ["/logs", "/api/v1/logs", "/api/v1/logs/batch", "/event"] {
        assert_eq!(ask(&format!("POST {path}")), 401, "{path}");
        assert_eq!(ask(&format!("POST {eye}{path}")), 403, "{path}");
    }
    let page = router.ask(&format!("{eye}/metrics")).body;
    let refused = |reason: &str| {
        let name = format!("reason=\"{reason}\"");
        let mut lines = page.lines().filter(|line| line.starts_with("metlog_http_requests_refused_total"));
        lines.find_map(|line| line.split_once(&name)?.1.trim_start_matches('}').trim().parse::<u64>().ok())
    };
    // One by each client that can have a wrong one or none, and again by that which does not give up; and those above.
    assert!(refused("wrong_key") >= Some(4) && refused("no_key") >= Some(3 + 10), "{page}");
    assert_eq!(program::value(&page, "metlog_accepted_total{input=\"http\"}"), Some(6), "{page}");
    assert!(
        page.lines().filter(|line| line.starts_with("metlog_unaccounted")).all(|line| line.ends_with(" 0")),
        "{page}"
    );
}
