//! The real program, as a user meets it.

mod stage;

use stage::{Directory, eventually, message};
use std::io::{Read, Write};
use std::net::{TcpStream, UdpSocket};
use std::path::Path;
use std::process::{Child, Command, Output, Stdio};

const PROGRAM: &str = env!("CARGO_BIN_EXE_metlog-router");

/// A router in a directory of its own.
struct Router {
    child: Child,
    directory: Directory,
}

impl Router {
    fn start(directory: Directory, arguments: &[&str]) -> Router {
        let log = std::fs::File::create(directory.0.join("log.txt")).unwrap();
        let mut command = Command::new(PROGRAM);
        command.args(arguments).current_dir(&directory.0).stdin(Stdio::null()).stdout(Stdio::null()).stderr(log);
        let router = Router { child: command.spawn().unwrap(), directory };
        eventually("it starts", || router.log().contains("endpoint "));
        router
    }

    fn log(&self) -> String {
        std::fs::read_to_string(self.directory.0.join("log.txt")).unwrap()
    }

    /// The address after `input NAME:`.
    fn place(&self, input: &str) -> String {
        let log = self.log();
        let line =
            log.lines().find_map(|line| line.split_once(&format!("input {input}: "))).expect("said at the start");
        line.1.split(' ').next().unwrap().rsplit('/').next().unwrap().to_owned()
    }

    fn signal(&self, signal: &str) {
        assert!(Command::new("kill").args([signal, &self.child.id().to_string()]).status().unwrap().success());
    }

    fn ask(&self, path: &str) -> String {
        let mut stream = TcpStream::connect(self.place("http")).unwrap();
        stream.write_all(format!("GET {path} HTTP/1.0\r\nHost: localhost\r\n\r\n").as_bytes()).unwrap();
        let mut text = String::new();
        stream.read_to_string(&mut text).unwrap();
        text.split_once("\r\n\r\n").unwrap().1.to_owned()
    }

    fn metric(&self, line: &str) -> u64 {
        let text = self.ask("/metrics");
        let value = text.lines().find_map(|each| each.strip_prefix(line)?.trim().parse().ok());
        value.unwrap_or_else(|| panic!("no {line} in\n{text}"))
    }

    /// The account, at the end of every test.
    fn stop(mut self) -> Directory {
        let text = self.ask("/metrics");
        let remainders: Vec<&str> = text.lines().filter(|line| line.starts_with("metlog_unaccounted")).collect();
        assert!(!remainders.is_empty() && remainders.iter().all(|line| line.ends_with(" 0")), "{remainders:?}");
        self.signal("-TERM");
        assert!(self.child.wait().unwrap().success(), "{}", self.log());
        assert!(self.log().trim_end().ends_with("unaccounted for: 0"), "{}", self.log());
        std::mem::replace(&mut self.directory, Directory::new())
    }
}

impl Drop for Router {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn run(arguments: &[&str], stdin: &str, directory: &Path) -> Output {
    let mut command = Command::new(PROGRAM);
    command.args(arguments).current_dir(directory).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().unwrap();
    child.stdin.take().unwrap().write_all(stdin.as_bytes()).unwrap();
    child.wait_with_output().unwrap()
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8(bytes.to_vec()).unwrap()
}

const CONFIG: &str = "[router]\nhttp = '127.0.0.1:0'\n[inputs.http]\n[inputs.udp]\nlisten = '127.0.0.1:0'\n[inputs.tcp]\nlisten = '127.0.0.1:0'\n\
                      [endpoints.all]\ntype = 'file'\npath = 'all.jsonl'\n";

fn configured(text: &str) -> Directory {
    let directory = Directory::new();
    std::fs::write(directory.0.join("router.toml"), text).unwrap();
    directory
}

fn lines(directory: &Path) -> usize {
    std::fs::read_to_string(directory.join("all.jsonl")).map_or(0, |text| text.lines().count())
}

#[test]
fn from_every_input_into_the_file_and_the_status() {
    let router = Router::start(configured(CONFIG), &["run", "--config", "router.toml"]);
    let at = format!("http://{}", router.place("http"));
    let here = router.directory.0.clone();

    let sent = run(&["send", "--to", &at, "it works", "-f", "user_id=42", "--severity", "warning"], "", &here);
    assert_eq!(text(&sent.stdout), "{\"accepted\":1,\"rejected\":[]}\n", "{}", text(&sent.stderr));
    let many: String = (0..10).map(|n| message(n) + "\n").collect();
    assert!(run(&["send", "--to", &at], &many, &here).status.success());
    assert_eq!(run(&["send", "--to", &at], "no message\n", &here).status.code(), Some(1));

    let udp = UdpSocket::bind("127.0.0.1:0").unwrap();
    udp.send_to(message(11).as_bytes(), router.place("udp")).unwrap();
    TcpStream::connect(router.place("tcp")).unwrap().write_all((message(12) + "\n").as_bytes()).unwrap();
    eventually("all are in the file", || lines(&here) == 13);
    assert_eq!(router.metric("metlog_delivered_total{endpoint=\"all\"}"), 13);
    assert_eq!(router.metric("metlog_refused_total{input=\"http\",reason=\"malformed\"}"), 1);

    let status = text(&run(&["status", "--to", &at], "", &here).stdout);
    assert!(status.contains("unaccounted for: 0") && status.contains("running"), "{status}");
    let json = text(&run(&["status", "--to", &at, "--json"], "", &here).stdout);
    assert!(json.starts_with('{') && json.contains("\"unaccounted\":0"), "{json}");
    assert_eq!(router.ask("/health/live"), "alive\n");
    assert_eq!(router.ask("/health/ready"), "{\"ready\":true}");
    router.stop();
}

#[test]
fn tail_follows_live() {
    let router = Router::start(configured(CONFIG), &["run", "--config", "router.toml"]);
    let at = format!("http://{}", router.place("http"));
    let mut tail = Command::new(PROGRAM).args(["tail", "--to", &at]).stdout(Stdio::piped()).spawn().unwrap();
    let mut out = tail.stdout.take().unwrap();
    let reader = std::thread::spawn(move || {
        let mut seen = Vec::new();
        let mut byte = [0];
        while seen.last() != Some(&b'\n') && out.read(&mut byte).is_ok_and(|count| count == 1) {
            seen.push(byte[0]);
        }
        text(&seen)
    });
    eventually("it has seen one", || {
        run(&["send", "--to", &at], &message(1), &router.directory.0);
        std::thread::sleep(std::time::Duration::from_millis(50));
        reader.is_finished()
    });
    assert_eq!(reader.join().unwrap(), message(1) + "\n");
    tail.kill().unwrap();
    tail.wait().unwrap();
    router.stop();
}

#[test]
fn a_hangup_reads_the_file_again_and_a_wrong_file_changes_nothing() {
    let router = Router::start(configured(CONFIG), &["run", "--config", "router.toml"]);
    let here = router.directory.0.clone();
    std::fs::write(here.join("router.toml"), CONFIG.replace("'all.jsonl'\n", "'all.jsonl'\nseverity_mx = 3\n"))
        .unwrap();
    router.signal("-HUP");
    eventually("it is refused", || router.log().contains("reload refused"));
    assert!(router.log().contains("router.toml:11:1: unknown key `severity_mx`"), "{}", router.log());
    TcpStream::connect(router.place("tcp")).unwrap().write_all((message(1) + "\n").as_bytes()).unwrap();
    eventually("as before", || lines(&here) == 1);

    std::fs::write(here.join("router.toml"), CONFIG.replace("'all.jsonl'\n", "'all.jsonl'\nseverity_max = 3\n"))
        .unwrap();
    router.signal("-HUP");
    eventually("it is applied", || router.log().contains("reloaded: changed all"));
    TcpStream::connect(router.place("tcp")).unwrap().write_all((message(2) + "\n").as_bytes()).unwrap();
    eventually("it is filtered", || router.metric("metlog_filtered_total{endpoint=\"all\"}") == 1);
    assert_eq!(lines(&here), 1);

    std::fs::rename(here.join("all.jsonl"), here.join("moved.jsonl")).unwrap();
    std::fs::write(here.join("router.toml"), CONFIG).unwrap();
    router.signal("-HUP");
    eventually("it is applied", || router.log().matches("reloaded: changed all").count() == 2);
    TcpStream::connect(router.place("tcp")).unwrap().write_all((message(3) + "\n").as_bytes()).unwrap();
    eventually("into a new file", || lines(&here) == 1);
    assert_eq!(router.metric("metlog_reloads_total"), 2);
    assert_eq!(router.metric("metlog_reloads_refused_total"), 1);
    router.stop();
}

#[test]
fn what_waits_is_delivered_after_the_next_start() {
    let config = CONFIG.replace("type = 'file'\npath = 'all.jsonl'", "type = 'tcp'\naddress = '127.0.0.1:1'")
        + "[endpoints.all2]\ntype = 'null'\n";
    let router = Router::start(configured(&(config + "[spool]\nsync = '1s'\n")), &["run", "--config", "router.toml"]);
    let lines_of = |range: std::ops::Range<u64>| range.map(|n| message(n) + "\n").collect::<String>();
    TcpStream::connect(router.place("tcp")).unwrap().write_all(lines_of(0..100).as_bytes()).unwrap();
    eventually("they wait", || router.metric("metlog_buffered{endpoint=\"all\"}") == 100);
    let directory = router.stop();
    let log = std::fs::read_to_string(directory.0.join("log.txt")).unwrap();
    assert!(log.contains("endpoint all: 100 messages wait in the spool for the next start"), "{log}");

    std::fs::write(directory.0.join("router.toml"), CONFIG).unwrap();
    let router = Router::start(directory, &["run", "--config", "router.toml"]);
    eventually("the endpoint of that name gets them", || lines(&router.directory.0) == 100);
    router.stop();
}

#[test]
fn a_second_router_in_the_same_directory_is_refused() {
    let router = Router::start(configured(CONFIG), &["run", "--config", "router.toml"]);
    let second = run(&["run", "--config", "router.toml"], "", &router.directory.0);
    let why = text(&second.stderr);
    assert_eq!(second.status.code(), Some(1));
    assert!(why.contains(&format!("belongs to process {}", router.child.id())), "{why}");
    router.stop();
}

#[test]
fn check_explain_plugins_example_init_completions_man() {
    let directory = configured(
        "[inputs.udp]\nlisten = '127.0.0.1:0'\n[filters.loud]\ntype = 'severity_max'\nseverity = 3\n[endpoints.pager]\ntype = 'null'\nfilters = ['loud']\n[endpoints.all]\ntype = 'null'\n",
    );
    let run = |arguments: &[&str], stdin: &str| run(arguments, stdin, &directory.0);
    let check = run(&["check", "router.toml"], "");
    assert_eq!(text(&check.stdout), "router.toml: in order; inputs: 1, endpoints: 2\n");
    std::fs::write(directory.0.join("wrong.toml"), "[endpoints.x]\ntype = 'nul'\n").unwrap();
    let wrong = run(&["check", "wrong.toml"], "");
    assert_eq!(wrong.status.code(), Some(2));
    assert!(
        text(&wrong.stderr).contains("wrong.toml:2:8: unknown endpoint `nul`")
            && text(&wrong.stderr).contains("did you mean `null`?")
    );
    assert_eq!(run(&["check", "missing.toml"], "").status.code(), Some(2));

    let explained = run(&["explain", "--config", "router.toml"], &(message(1) + "\nrubbish\n"));
    assert_eq!(explained.status.code(), Some(3), "one of them is no message");
    let said = text(&explained.stdout);
    assert!(
        said.contains("not pager: filter `loud` said no\n  -> all\n") && said.contains("message 2: refused"),
        "{said}"
    );

    assert!(text(&run(&["plugins"], "").stdout).contains("inputs: file, nats, stdin, tcp, udp, zmq"));
    let example = text(&run(&["example", "endpoint", "statsd"], "").stdout);
    assert!(example.starts_with("[endpoints."), "{example}");
    let unknown = run(&["example", "endpoint", "statds"], "");
    assert!(unknown.status.code() == Some(2) && text(&unknown.stderr).contains("did you mean `statsd`?"));

    let init = run(&["init"], "");
    std::fs::write(directory.0.join("init.toml"), &init.stdout).unwrap();
    assert!(run(&["check", "init.toml"], "").status.success());
    assert!(text(&run(&["completions", "bash"], "").stdout).contains("explain"));
    assert!(text(&run(&["man"], "").stdout).starts_with(".ie"));
    assert_eq!(run(&["frobnicate"], "").status.code(), Some(2));
    assert_eq!(run(&["status", "--to", "http://127.0.0.1:1"], "").status.code(), Some(1));
}

#[test]
fn without_a_configuration_it_listens_here_and_keeps_everything() {
    let free = |port: u16| std::net::TcpListener::bind(("127.0.0.1", port)).is_ok();
    if ![5565, 5567, 5568].into_iter().all(free) {
        println!("skipped: a default port is in use on this machine");
        return;
    }
    let router = Router::start(Directory::new(), &[]);
    let log = router.log();
    let command = log.lines().find_map(|line| line.split_once("send a first message: ")).expect("said").1.to_owned();
    let sent = Command::new("sh").args(["-c", &command]).output().unwrap();
    assert_eq!(text(&sent.stdout), "{\"accepted\":1,\"rejected\":[]}", "{command}");
    let command = log.lines().find_map(|line| line.split_once("find it again: ")).expect("said").1;
    let command = command.split_once("; how else").expect("both").0.to_owned();
    let found = Command::new("sh").args(["-c", &command]).output().unwrap();
    assert!(text(&found.stdout).contains("\"payload\":\"it works\""), "{command}: {}", text(&found.stdout));
    router.stop();
}
