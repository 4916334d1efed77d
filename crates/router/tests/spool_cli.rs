//! `metlog-router spool …`, on spools that a real router has left behind, has open, or that were damaged.

mod stage;

use metlog_message::Timestamp;
use serde_json::Value;
use stage::{Directory, eventually, message, number};
use std::collections::BTreeMap;
use std::io::{BufRead, BufReader, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

const PROGRAM: &str = env!("CARGO_BIN_EXE_metlog-router");
const DEAD: &str = "[endpoints.dead]\ntype = 'http'\nurl = 'http://127.0.0.1:1'\n";
const ALIVE: &str = "[endpoints.alive]\ntype = 'null'\n";

/// A router's directory, configuration and ports.
struct House {
    directory: Directory,
    config: PathBuf,
    tcp: u16,
    http: u16,
}

/// What a command said.
struct Said {
    code: Option<i32>,
    out: String,
    err: String,
}

fn free_port() -> u16 {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port()
}

impl House {
    fn new(endpoints: &str) -> House {
        let directory = Directory::new();
        let config = directory.0.join("router.toml");
        let house = House { directory, config, tcp: free_port(), http: free_port() };
        house.configure(endpoints);
        house
    }

    fn configure(&self, endpoints: &str) {
        let (tcp, http, data) = (self.tcp, self.http, self.data());
        let text = format!(
            "[router]\nhttp = '127.0.0.1:{http}'\ndata = '{}'\ndrain = '300ms'\n[spool]\nsegment_bytes = '16 KiB'\nkeep = '1h'\n\
             [inputs.http]\n[inputs.tcp]\nlisten = '127.0.0.1:{tcp}'\nack = true\n{endpoints}",
            data.display()
        );
        std::fs::write(&self.config, text).unwrap();
    }

    fn data(&self) -> PathBuf {
        self.directory.0.join("data")
    }

    fn start(&self) -> Running {
        let log = std::fs::OpenOptions::new().create(true).append(true).open(self.directory.0.join("log.txt")).unwrap();
        let mut command = Command::new(PROGRAM);
        command.arg("run").arg("--config").arg(&self.config).env_remove("METLOG_ROUTER_CONFIG");
        let child = command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(log).spawn().unwrap();
        eventually("the router listens", || TcpStream::connect(("127.0.0.1", self.tcp)).is_ok());
        Running(child)
    }

    /// Sends messages and waits until they are safe.
    fn send(&self, lines: &[String]) {
        let stream = TcpStream::connect(("127.0.0.1", self.tcp)).unwrap();
        let mut answers = BufReader::new(stream.try_clone().unwrap());
        let mut answer = String::new();
        for part in lines.chunks(10) {
            let text: String = part.iter().flat_map(|line| [line.as_str(), "\n"]).collect();
            (&stream).write_all(text.as_bytes()).unwrap();
            // One after the other, so that there are many frames.
            answer.clear();
            answers.read_line(&mut answer).unwrap();
        }
        stream.shutdown(Shutdown::Write).unwrap();
        let rest = answers.lines().map(Result::unwrap).last().unwrap_or(answer);
        assert!(rest.starts_with(&format!("{{\"accepted\":{},", lines.len())), "{rest}");
    }

    fn spool(&self, arguments: &[&str]) -> Said {
        let config = self.config.display().to_string();
        let mut all = vec![arguments[0], "--config", &config];
        all.extend(&arguments[1..]);
        spool(&all)
    }

    fn status(&self) -> Value {
        let said = self.spool(&["status", "--json"]);
        assert_eq!(said.code, Some(0), "{}", said.err);
        serde_json::from_str(&said.out).unwrap()
    }

    /// The id of the message of this number, while the first one is still there.
    fn id(&self, number: u64) -> u64 {
        self.status()["oldest_id"].as_u64().unwrap() + number - 1
    }
}

fn spool(arguments: &[&str]) -> Said {
    let mut command = Command::new(PROGRAM);
    command.arg("spool").args(arguments).env_remove("METLOG_ROUTER_CONFIG").env_remove("METLOG_ROUTER_URL");
    let output = command.stdin(Stdio::null()).output().unwrap();
    let text = |bytes| String::from_utf8(bytes).unwrap();
    Said { code: output.status.code(), out: text(output.stdout), err: text(output.stderr) }
}

struct Running(Child);

impl Running {
    fn stop(mut self) {
        let _ = Command::new("kill").arg("-TERM").arg(self.0.id().to_string()).status();
        assert!(self.0.wait().unwrap().success());
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// Every file below a directory, with what is in it.
fn contents(directory: &Path) -> BTreeMap<PathBuf, Vec<u8>> {
    let mut all = BTreeMap::new();
    for entry in std::fs::read_dir(directory).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            all.extend(contents(&path));
        } else {
            all.insert(path.clone(), std::fs::read(&path).unwrap());
        }
    }
    all
}

fn copy(from: &Path, to: &Path) {
    std::fs::create_dir_all(to).unwrap();
    std::process::Command::new("cp").arg("-a").arg(from.join(".")).arg(to).status().unwrap();
}

/// The journal's files, oldest first.
fn journal(directory: &Path) -> Vec<PathBuf> {
    let files =
        contents(directory).into_keys().filter(|path| path.extension().is_some_and(|extension| extension == "mls"));
    files.filter(|path| path.parent() == Some(directory)).collect()
}

fn messages(range: std::ops::Range<u64>) -> Vec<String> {
    range.map(message).collect()
}

fn lines(text: &str) -> Vec<String> {
    text.lines().map(str::to_owned).collect()
}

/// A spool with 600 messages nobody could deliver, closed.
fn left_behind() -> (House, Vec<String>) {
    let house = House::new(&format!("{DEAD}{ALIVE}"));
    let running = house.start();
    let sent = messages(1..601);
    house.send(&sent);
    running.stop();
    (house, sent)
}

#[test]
fn a_whole_spool_is_told_of_and_exported_and_left_as_it_is() {
    let (house, sent) = left_behind();
    let before = contents(&house.data());
    let status = house.status();
    assert_eq!(
        (&status["messages"], &status["closed"], &status["damaged_places"]),
        (&600.into(), &true.into(), &0.into())
    );
    let [first, hundredth, last, next] = [1, 100, 250, 601].map(|number| house.id(number));
    assert!(first > 1_000_000_000_000_000, "no spool before this one has given {first} to a message");
    assert_eq!((&status["oldest_id"], &status["next_id"]), (&first.into(), &next.into()));
    assert!(status["segments"].as_u64().unwrap() > 3 && status["bytes"].as_u64().unwrap() > 60_000, "{status}");
    let endpoint =
        |name: &str| status["endpoints"].as_array().unwrap().iter().find(|one| one["name"] == name).unwrap().clone();
    let (dead, alive) = (endpoint("dead"), endpoint("alive"));
    let length: usize = sent.iter().map(|line| line.len() + 1).sum();
    assert_eq!(
        (&dead["cursor"], &dead["waiting"], &dead["waiting_bytes"]),
        (&first.into(), &600.into(), &length.into())
    );
    assert_eq!((&alive["cursor"], &alive["waiting"], &alive["orphan"]), (&next.into(), &0.into(), &false.into()));
    let table = house.spool(&["status"]);
    assert!(
        table.out.contains(&format!("600 messages, the oldest has id {first}")) && table.err.is_empty(),
        "{}{}",
        table.out,
        table.err
    );

    let check = house.spool(&["check"]);
    assert_eq!((check.code, check.err.as_str()), (Some(0), ""), "no bar where no terminal is");
    assert!(check.out.contains("whole; 600 messages in"), "{}", check.out);

    let export = house.spool(&["export"]);
    assert_eq!((export.code, lines(&export.out)), (Some(0), sent.clone()), "as it was sent");
    assert_eq!(export.err, "600 messages\n");
    let (from, to) = (hundredth.to_string(), last.to_string());
    let part = house.spool(&["export", "--endpoint", "dead", "--from", &from, "--to", &to]);
    assert_eq!(lines(&part.out), sent[99..249]);
    let data = house.data().display().to_string();
    assert_eq!(lines(&spool(&["export", "--data", &data]).out), sent, "without a configuration");

    let plan = house.spool(&["repair"]);
    assert_eq!((plan.code, plan.out.as_str()), (Some(0), "there is nothing to repair\n"), "{}", plan.err);
    assert!(before == contents(&house.data()), "looking changes nothing");

    let file = house.directory.0.join("out.jsonl").display().to_string();
    assert_eq!(house.spool(&["export", "-o", &file]).code, Some(0));
    assert_eq!(lines(&std::fs::read_to_string(&file).unwrap()), sent);
    let again = house.spool(&["export", "-o", &file]);
    assert_eq!(again.code, Some(1), "nothing is written over");
    assert!(again.err.contains("out.jsonl: File exists"), "{}", again.err);
}

#[test]
fn what_makes_no_sense_ends_with_two_and_what_is_not_there_with_one() {
    let (house, _) = left_behind();
    let said = house.spool(&["export", "--endpoint", "daed"]);
    assert_eq!(said.code, Some(2));
    assert!(
        said.err.contains("no endpoint called `daed` has a cursor here") && said.err.contains("did you mean `dead`?"),
        "{}",
        said.err
    );
    assert_eq!(house.spool(&["replay"]).code, Some(2), "--endpoint is needed");
    let nowhere = house.directory.0.join("nowhere").display().to_string();
    let said = spool(&["status", "--data", &nowhere]);
    assert_eq!(said.code, Some(1));
    assert!(said.err.contains("there is no spool in"), "{}", said.err);
    std::fs::write(&house.config, "[router]\nhtpp = ''\n").unwrap();
    let said = house.spool(&["check"]);
    assert_eq!(said.code, Some(2));
    assert!(said.err.contains("unknown key `htpp`"), "{}", said.err);
}

#[test]
fn beside_a_running_router_one_can_look_and_change_nothing() {
    let house = House::new(&format!("{DEAD}{ALIVE}"));
    let running = house.start();
    let sent = messages(1..201);
    house.send(&sent);
    assert_eq!(house.status()["messages"], 200);
    assert_eq!(house.status()["closed"], false);
    let check = house.spool(&["check"]);
    assert_eq!(check.code, Some(0), "{}", check.out);
    assert_eq!(lines(&house.spool(&["export"]).out), sent);
    assert_eq!(house.spool(&["repair"]).code, Some(0));
    let pid = running.0.id().to_string();
    for change in [
        &["repair", "--apply"][..],
        &["drop", "--data", &house.data().display().to_string(), "--endpoint", "dead", "--apply"],
    ] {
        let said = if change[0] == "drop" { spool(change) } else { house.spool(change) };
        assert_eq!(said.code, Some(1), "{change:?} {}", said.out);
        assert!(said.err.contains(&format!("belongs to process {pid}: stop that")), "{}", said.err);
    }
    house.send(&messages(201..211));
    assert_eq!(
        lines(&house.spool(&["export", "--from", &house.id(201).to_string()]).out),
        messages(201..211),
        "it goes on"
    );
    running.stop();
}

#[test]
fn damage_is_listed_and_repaired_with_the_original_kept() {
    let (house, sent) = left_behind();
    let data = house.directory.0.join("copy");
    copy(&house.data().join("spool"), &data);
    let on_copy = |command: &str, more: &[&str]| {
        let data = data.display().to_string();
        let mut all = vec![command, "--data", &data];
        all.extend(more);
        spool(&all)
    };
    // In the middle of the second file.
    let file = journal(&data)[1].clone();
    let mut bytes = std::fs::read(&file).unwrap();
    let at = bytes.len() / 2;
    bytes[at] ^= 0x10;
    std::fs::write(&file, &bytes).unwrap();
    let name = file.file_name().unwrap().to_str().unwrap().to_owned();

    let check = on_copy("check", &[]);
    assert_eq!(check.code, Some(3));
    assert!(
        check.out.starts_with(&format!("{name}: bytes ")) && check.out.contains("1 damaged places"),
        "{}",
        check.out
    );
    let listed: Value = serde_json::from_str(&on_copy("check", &["--json"]).out).unwrap();
    assert_eq!((&listed["whole"], listed["damaged"].as_array().map(Vec::len)), (&false.into(), Some(1)));
    assert_eq!(on_copy("check", &["--json"]).code, Some(3));

    let left: Vec<u64> = lines(&on_copy("export", &[]).out).iter().map(|line| number(line)).collect();
    let lost = sent.len() - left.len();
    assert!(left.is_sorted() && lost > 0 && lost <= 60, "{lost} lost");
    assert!(check.out.contains(&format!("{lost} messages are missing")), "{}", check.out);

    let before = contents(&data);
    let plan = on_copy("repair", &[]);
    assert_eq!(plan.code, Some(0));
    assert!(
        plan.out.contains("would be kept in quarantine/") && plan.out.contains("nothing was changed"),
        "{}",
        plan.out
    );
    assert!(before == contents(&data), "a plan is no deed");
    let done = on_copy("repair", &["--apply"]);
    assert_eq!(done.code, Some(0), "{}", done.err);
    assert!(done.out.contains("kept in quarantine/") && done.out.ends_with("done\n"), "{}", done.out);
    let kept: Vec<Vec<u8>> = contents(&data.join("quarantine")).into_values().collect();
    assert_eq!(kept.len(), 1);
    assert!(bytes.windows(kept[0].len()).any(|window| window == kept[0]) && kept[0].len() > 100, "the original");
    let after: Vec<u64> = lines(&on_copy("export", &[]).out).iter().map(|line| number(line)).collect();
    assert_eq!(after, left, "nothing more was lost");
}

#[test]
fn an_end_that_was_never_finished_is_cut_off_and_kept() {
    let (house, sent) = left_behind();
    let spool_directory = house.data().join("spool");
    let last = journal(&spool_directory).pop().unwrap();
    let whole = std::fs::read(&last).unwrap();
    let torn = [whole.as_slice(), b"this was going to be a frame"].concat();
    std::fs::write(&last, &torn).unwrap();
    assert_eq!(house.spool(&["check"]).code, Some(3), "a closed spool has no such end");
    let plan = house.spool(&["repair"]);
    assert!(
        plan.out.contains("28 bytes behind byte") && plan.out.contains("would be kept in quarantine/ and cut off"),
        "{}",
        plan.out
    );
    assert!(std::fs::read(&last).unwrap() == torn);
    assert_eq!(house.spool(&["repair", "--apply"]).code, Some(0));
    assert!(std::fs::read(&last).unwrap() == whole, "as it was");
    let kept: Vec<Vec<u8>> = contents(&spool_directory.join("quarantine")).into_values().collect();
    assert_eq!(kept, [b"this was going to be a frame".to_vec()]);
    assert_eq!(house.spool(&["check"]).code, Some(0));
    assert_eq!(lines(&house.spool(&["export"]).out), sent);
}

#[test]
fn an_orphan_is_told_of_and_dropped() {
    let (house, _) = left_behind();
    let said = house.spool(&["drop", "--endpoint", "dead", "--apply"]);
    assert_eq!(said.code, Some(2));
    assert!(said.err.contains("`dead` is an endpoint of the configuration"), "{}", said.err);
    house.configure(ALIVE);
    assert!(house.spool(&["status"]).out.contains("no such endpoint any more"));
    let before = contents(&house.data());
    let plan = house.spool(&["drop", "--endpoint", "dead"]);
    assert_eq!(plan.code, Some(0));
    assert!(plan.out.contains("the cursor of `dead`, for which 600 messages wait, would be forgotten"), "{}", plan.out);
    assert!(before == contents(&house.data()), "a plan is no deed");
    let done = house.spool(&["drop", "--endpoint", "dead", "--apply"]);
    assert_eq!(done.code, Some(0), "{}", done.err);
    let status = house.status();
    let names: Vec<&str> =
        status["endpoints"].as_array().unwrap().iter().map(|one| one["name"].as_str().unwrap()).collect();
    assert_eq!(names, ["alive"]);
    assert_eq!(
        (&status["messages"], &status["closed"]),
        (&600.into(), &true.into()),
        "the router deletes, by its own rules"
    );
    let running = house.start();
    house.send(&messages(601..602));
    running.stop();
    assert_eq!(house.status()["endpoints"][0]["waiting"], 0, "and goes on as ever");
}

#[test]
fn what_was_delivered_is_delivered_again() {
    let house = House::new("");
    let out = house.directory.0.join("out.jsonl");
    let arrived = || std::fs::read_to_string(&out).map(|text| lines(&text)).unwrap_or_default();
    house.configure(&format!("[endpoints.out]\ntype = 'file'\npath = '{}'\n", out.display()));
    let running = house.start();
    let now = Timestamp::now().to_string();
    let numbered = |n: u64| {
        let line = if n < 60 {
            message(n).replace("2026-11-21T08:00:00.000000Z", "2001-01-01T00:00:00.000000Z")
        } else {
            message(n).replace("2026-11-21T08:00:00.000000Z", &now)
        };
        format!("{},\"metlog_client\":\"c\",\"metlog_seq\":{n}}}", line.strip_suffix('}').unwrap())
    };
    let sent: Vec<String> = (1..101).map(numbered).collect();
    house.send(&sent);
    eventually("delivered", || arrived().len() == 100);
    let [tenth, twentieth, next] = [10, 20, 101].map(|number| house.id(number).to_string());
    let settled: u64 = next.parse().unwrap();
    eventually("settled", || house.status()["endpoints"][0]["cursor"] == settled);

    let part = ["replay", "--endpoint", "out", "--from", &tenth, "--to", &twentieth];
    let plan = house.spool(&part);
    assert_eq!(plan.code, Some(0), "{}", plan.err);
    assert!(
        plan.out.starts_with("10 messages, ")
            && plan.out.contains(&format!("ids {tenth} to {}, would be sent to http://127.0.0.1:", house.id(19))),
        "{}",
        plan.out
    );
    assert!(plan.out.contains("filters judge them again"), "{}", plan.out);
    assert_eq!(house.status()["messages"], 100, "a plan is no deed");

    let done = house.spool(&[&part[..], &["--apply"]].concat());
    assert_eq!(done.code, Some(0), "{}", done.err);
    assert!(done.out.starts_with("10 messages, ") && done.out.ends_with("; 0 were refused\n"), "{}", done.out);
    eventually("again", || arrived().len() == 110);
    let again = arrived().split_off(100);
    assert_eq!(again.iter().map(|line| number(line)).collect::<Vec<_>>(), (10..20).collect::<Vec<_>>());
    assert!(
        again.iter().zip(&sent[9..19]).all(|(again, sent)| sent.starts_with(again.strip_suffix('}').unwrap())),
        "all but the number"
    );

    let recent =
        house.spool(&["replay", "--endpoint", "out", "--to", &next, "--since", "1h", "--skip", "15", "--apply"]);
    assert_eq!(recent.code, Some(0), "{}", recent.err);
    eventually("the recent ones", || arrived().len() == 136);
    assert_eq!(arrived()[110..].iter().map(|line| number(line)).collect::<Vec<_>>(), (75..101).collect::<Vec<_>>());
    running.stop();
    let nobody = house.spool(&["replay", "--endpoint", "out", "--apply"]);
    assert_eq!(nobody.code, Some(1));
    assert!(
        nobody.err.contains("nobody listens there") && nobody.err.contains("0 messages were sent; `--skip 0`"),
        "{}",
        nobody.err
    );
}
