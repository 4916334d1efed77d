//! Keys from their making to their end: the real program, its own clients, and everybody else's ways.

mod stage;

use stage::{Directory, eventually, message};
use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};

const PROGRAM: &str = env!("CARGO_BIN_EXE_metlog-router");

fn run(here: &Path, arguments: &[&str], key: Option<&str>, stdin: &str) -> Output {
    let mut command = Command::new(PROGRAM);
    command.args(arguments).current_dir(here).env_clear();
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    if let Some(key) = key {
        command.env("METLOG_KEY", key);
    }
    let mut child = command.spawn().unwrap();
    // One that refuses its arguments does not read.
    let _ = child.stdin.take().unwrap().write_all(stdin.as_bytes());
    child.wait_with_output().unwrap()
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8(bytes.to_vec()).unwrap()
}

/// A router in a directory of its own, which others can reach.
struct Running {
    child: Child,
    directory: Directory,
}

impl Running {
    fn start(config: &str) -> Running {
        let directory = Directory::new();
        std::fs::write(directory.0.join("router.toml"), config).unwrap();
        let log = std::fs::File::create(directory.0.join("log.txt")).unwrap();
        let mut command = Command::new(PROGRAM);
        command.args(["run", "--config", "router.toml"]).current_dir(&directory.0).env_clear();
        let child = command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(log).spawn().unwrap();
        let mut running = Running { child, directory };
        eventually("it starts", || {
            assert!(running.child.try_wait().unwrap().is_none(), "{}", running.log());
            running.log().contains("see what becomes of it")
        });
        running
    }

    fn here(&self) -> &Path {
        &self.directory.0
    }

    fn log(&self) -> String {
        std::fs::read_to_string(self.here().join("log.txt")).unwrap()
    }

    fn url(&self) -> String {
        let log = self.log();
        let port = log.split_once("input http: http://0.0.0.0:").expect("said at the start").1;
        format!("http://127.0.0.1:{}", port.lines().next().unwrap())
    }

    fn reload(&self, config: &str, says: &str) {
        std::fs::write(self.here().join("router.toml"), config).unwrap();
        assert!(Command::new("kill").args(["-HUP", &self.child.id().to_string()]).status().unwrap().success());
        eventually(says, || self.log().contains(says));
    }

    /// Status and body.
    fn ask(&self, what: &str, headers: &str, body: &str) -> (u16, String) {
        let url = self.url();
        let mut stream = TcpStream::connect(url.strip_prefix("http://").unwrap()).unwrap();
        let length = body.len();
        write!(stream, "{what} HTTP/1.0\r\nHost: logs.example\r\nContent-Length: {length}\r\n{headers}\r\n{body}")
            .unwrap();
        let mut text = String::new();
        stream.read_to_string(&mut text).unwrap();
        let (head, body) = text.split_once("\r\n\r\n").unwrap();
        (head.split(' ').nth(1).unwrap().parse().unwrap(), body.to_owned())
    }

    fn kept(&self) -> usize {
        std::fs::read_to_string(self.here().join("all.jsonl")).map_or(0, |text| text.lines().count())
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Keys as an operator makes them: the file of each, and the section that was printed.
struct Made {
    directory: Directory,
    sections: String,
}

impl Made {
    fn new(keys: &[(&str, &str)]) -> Made {
        let mut made = Made { directory: Directory::new(), sections: String::new() };
        for (name, scope) in keys {
            let file = format!("{name}.key");
            let arguments = ["key", "new", "--name", name, "--scope", scope, "--out", &file];
            let output = run(&made.directory.0, &arguments, None, "");
            assert!(output.status.success() && output.stderr.is_empty(), "{}", text(&output.stderr));
            made.sections += &text(&output.stdout);
        }
        made
    }

    fn file(&self, name: &str) -> PathBuf {
        self.directory.0.join(format!("{name}.key"))
    }

    fn key(&self, name: &str) -> String {
        std::fs::read_to_string(self.file(name)).unwrap().trim().to_owned()
    }

    /// Without the section of this key.
    fn without(&self, name: &str) -> String {
        let sections = self.sections.split_inclusive("\"\n[").map(|section| section.trim_end_matches('['));
        let kept = sections.filter(|section| !section.trim_start_matches('[').starts_with(&format!("keys.{name}]")));
        kept.map(|section| if section.starts_with('[') { section.to_owned() } else { format!("[{section}") }).collect()
    }
}

const CONFIG: &str = "[router]\nhttp = '0.0.0.0:0'\n[spool]\nkeep = '1h'\n[inputs.http]\n\
                      [endpoints.all]\ntype = 'file'\npath = 'all.jsonl'\n";

#[test]
fn keys_are_made_once_shown_once_and_kept_as_hashes() {
    let made = Made::new(&[("app", "ingest")]);
    let here = made.directory.0.as_path();
    let key = made.key("app");
    assert_eq!(made.file("app").metadata().unwrap().permissions().mode() & 0o777, 0o600);
    let hash = text(&run(here, &["key", "hash"], None, &format!("{key}\n")).stdout);
    assert_eq!(made.sections, format!("[keys.app]\nscope = \"ingest\"\nhash = \"{}\"\n", hash.trim()));
    assert!(!made.sections.contains(&key));
    // Not over another key.
    let again = run(here, &["key", "new", "--out", "app.key"], None, "");
    assert_eq!((again.status.code(), again.stdout.len()), (Some(1), 0));
    assert_eq!(made.key("app"), key);

    // The key alone on standard output, the section beside it.
    let printed = run(here, &["key", "new", "--name", "a.b", "--scope", "read,ingest", "--rate", "5/min"], None, "");
    let (other, section) = (text(&printed.stdout), text(&printed.stderr));
    assert!(other.starts_with("metlog_") && other.lines().count() == 1 && other.trim() != key, "{other}");
    let section = section.split_once("[keys.").unwrap().1;
    assert!(section.starts_with("\"a.b\"]\nscope = [\"read\", \"ingest\"]\nhash = \"sha256:"), "{section}");
    std::fs::write(here.join("r.toml"), format!("{CONFIG}[keys.{section}")).unwrap();
    let check = run(here, &["check", "r.toml"], None, "");
    assert!(check.status.success(), "{}", text(&check.stderr));

    for (stdin, code, says) in [
        (&key[..20], 2, "its checksum is wrong"),
        ("hunter2", 2, "32 to 256 printable"),
        ("", 2, "32 to 256 printable"),
        ("correct-horse-battery-staple-and-more\nnext line", 0, "can be guessed"),
    ] {
        let output = run(here, &["key", "hash"], None, stdin);
        let said = text(&output.stderr);
        assert!(output.status.code() == Some(code) && said.contains(says), "{stdin}: {said}");
        assert!(stdin.is_empty() || !said.contains(stdin), "{said}");
    }
    for wrong in [&["--scope", "reed"][..], &["--name", "a b"], &["--rate", "fast"]] {
        assert_eq!(run(here, &[&["key", "new"], wrong].concat(), None, "").status.code(), Some(2), "{wrong:?}");
    }
}

#[test]
fn every_client_of_ours_brings_its_key() {
    let made = Made::new(&[("app", "ingest"), ("eye", "read"), ("ops", "admin")]);
    let router = Running::start(&format!("{CONFIG}{}", made.sections));
    let (url, here) = (router.url(), router.here().to_owned());
    assert!(router.log().contains("keys: app, eye, ops\n"), "{}", router.log());
    let app = made.file("app").display().to_string();
    let command = |arguments: &[&str], key: Option<&str>| run(&here, arguments, key, "");

    let without = command(&["send", "--to", &url, "x"], None);
    let said = text(&without.stderr);
    assert!(without.status.code() == Some(1) && said.contains("answers 401") && said.contains("--key-file"), "{said}");
    let half = command(&["send", "--to", &url, "x"], Some(&made.key("app")[..30]));
    assert!(text(&half.stderr).contains("METLOG_KEY: this key is mistyped"), "{}", text(&half.stderr));
    let missing = command(&["send", "--to", &url, "x", "--key-file", "no.key"], None);
    assert!(text(&missing.stderr).contains("no.key"), "{}", text(&missing.stderr));

    assert!(command(&["send", "--to", &url, "--key-file", &app, "one"], None).status.success());
    assert!(command(&["send", "--to", &url, "two"], Some(&made.key("ops"))).status.success());
    // The file has the last word.
    assert!(command(&["send", "--to", &url, "--key-file", &app, "three"], Some(&made.key("eye"))).status.success());
    let refused = command(&["status", "--to", &url, "--key-file", &app], None);
    assert!(text(&refused.stderr).contains("answers 403") && !text(&refused.stderr).contains("--key-file"));
    let status = command(&["status", "--to", &url], Some(&made.key("eye")));
    assert!(text(&status.stdout).contains("unaccounted for: 0"), "{}", text(&status.stderr));
    eventually("they are kept", || router.kept() == 3);

    let replay = ["spool", "replay", "--config", "router.toml", "--endpoint", "all", "--url", &url, "--apply"];
    eventually("they are known to be delivered", || text(&command(&replay[..8], None).stdout).contains("3 messages"));
    let refused = command(&replay, None);
    assert!(refused.status.code() == Some(1) && text(&refused.stderr).contains("answers 401"));
    let replayed = command(&replay, Some(&made.key("app")));
    assert!(text(&replayed.stdout).contains("3 messages"), "{}{}", text(&replayed.stdout), text(&replayed.stderr));
    eventually("they are there again", || router.kept() == 6);

    let refused = command(&["tail", "--to", &url], None);
    assert!(text(&refused.stderr).contains("answers 401"), "{}", text(&refused.stderr));
    let mut tail = Command::new(PROGRAM)
        .args(["tail", "--to", &url])
        .env("METLOG_KEY", made.key("eye"))
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let mut lines = BufReader::new(tail.stdout.take().unwrap()).lines();
    let seen = std::thread::spawn(move || (lines.next(), lines.next()));
    eventually("it has seen one", || {
        run(&here, &["send", "--to", &url], Some(&made.key("app")), &message(1));
        std::thread::sleep(std::time::Duration::from_millis(50));
        // Its key is taken away, and what it follows ends.
        router.reload(&format!("{CONFIG}{}", made.without("eye")), "removed key eye");
        seen.is_finished()
    });
    assert_eq!(tail.wait().unwrap().code(), Some(1));
    assert!(seen.join().unwrap().1.is_none());
}

#[test]
fn a_router_that_sends_to_a_router_brings_its_key() {
    let made = Made::new(&[("next", "ingest")]);
    let last = Running::start(&format!("{CONFIG}{}", made.sections));
    let endpoint = format!(
        "[endpoints.next]\ntype = 'http'\nurl = '{}'\nkey_file = '{}'\n",
        last.url(),
        made.file("next").display()
    );
    let first = Running::start(&format!("{CONFIG}{}{endpoint}", made.sections));
    let sent = run(first.here(), &["send", "--to", &first.url(), "x"], Some(&made.key("next")), "");
    assert!(sent.status.success(), "{}", text(&sent.stderr));
    eventually("it has gone the whole way", || last.kept() == 1);
}

#[test]
fn others_bring_it_as_they_can_and_a_reload_takes_it_away() {
    let made = Made::new(&[("app", "ingest"), ("eye", "read")]);
    let router = Running::start(&format!("{CONFIG}{}", made.sections));
    let key = made.key("app");
    let post =
        |router: &Running, path: &str, headers: &str| router.ask(&format!("POST {path}"), headers, &message(1)).0;
    let messages = "/v1/messages";
    assert_eq!(router.ask("GET /health/live", "", ""), (200, "alive\n".to_owned()));
    assert_eq!(router.ask("GET /health/ready", "", "").0, 200);
    for path in ["/metrics", "/v1/status", "/v1/tail"] {
        assert_eq!(router.ask(&format!("GET {path}"), "", "").0, 401, "{path}");
        assert_eq!(router.ask(&format!("GET /key/{key}{path}"), "", "").0, 403, "{path}");
    }
    assert_eq!(router.ask(&format!("GET /key/{}/metrics", made.key("eye")), "", "").0, 200);
    assert_eq!(post(&router, messages, ""), 401);
    assert_eq!(post(&router, messages, &format!("Authorization: Bearer {key}\r\n")), 200);
    assert_eq!(post(&router, messages, &format!("X-Api-Key: {key}\r\n")), 200);
    assert_eq!(post(&router, &format!("/key/{key}{messages}"), ""), 200);
    assert_eq!(post(&router, &format!("/key/{}{messages}", made.key("eye")), ""), 403);
    eventually("all of them and no others", || router.kept() == 3);
    let metrics = router.ask(&format!("GET /key/{}/metrics", made.key("eye")), "", "").1;
    assert!(metrics.contains("reason=\"no_key\"} 4\n") && metrics.contains("reason=\"scope\"} 4\n"), "{metrics}");

    assert!(metrics.contains("metlog_key_requests_total{key=\"app\"} 6\n"), "{metrics}");

    // Without any key the port would be open to everybody: the running configuration stays.
    router.reload(CONFIG, "reload refused");
    assert!(router.log().contains("and there are no keys"), "{}", router.log());
    assert_eq!((post(&router, messages, ""), post(&router, &format!("/key/{key}{messages}"), "")), (401, 200));
    router.reload(&format!("{CONFIG}{}", made.without("app")), "reloaded: removed key app");
    assert_eq!(post(&router, &format!("/key/{key}{messages}"), ""), 401);
    let changed = format!("{CONFIG}{}", made.sections.replace("\"read\"", "[\"read\", \"ingest\"]"));
    router.reload(&changed, "reloaded: added key app; changed key eye");
    assert_eq!(post(&router, &format!("/key/{}{messages}", made.key("eye")), ""), 200);
    for secret in [&key, &made.key("eye")] {
        assert!(!router.log().contains(secret), "{}", router.log());
        let spoken = router.ask(&format!("GET /key/{secret}/nowhere"), "", "").1;
        assert!(!spoken.contains(secret), "{spoken}");
    }
}

#[test]
fn whoever_cannot_send_a_key_may_write_where_that_is_said_and_read_nothing() {
    let made = Made::new(&[("eye", "read")]);
    let config = CONFIG.replace("[inputs.http]\n", "[inputs.http]\nkeyless = ['http']\n");
    let config = config.replace("[router]\n", "[router]\ntrusted_network = true\n");
    let router = Running::start(&format!("{config}{}", made.sections));
    assert_eq!(router.ask("POST /v1/messages", "", &message(1)).0, 200);
    assert_eq!(router.ask("POST /v1/messages", "Authorization: Basic dTpw\r\n", &message(2)).0, 200);
    assert_eq!((router.ask("GET /v1/status", "", "").0, router.ask("GET /metrics", "", "").0), (401, 401));
    eventually("both are kept", || router.kept() == 2);
}
