//! The input against real files that are written, renamed, cut and removed while it reads.
#![cfg(unix)]

use metlog_file as _;
use metlog_message::wire;
use metlog_pipeline::{Input, InputEntry, Reason, Stop};
use metlog_testkit::inlet::Recorder;
use metlog_testkit::{eventually, sample, settings};
use proptest::prelude::*;
use std::fs::OpenOptions;
use std::io::Write;
use std::path::PathBuf;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;
use tokio::sync::watch;
use tokio::task::JoinHandle;

static FOLDERS: AtomicUsize = AtomicUsize::new(0);
const SOON: Duration = Duration::from_secs(5);

/// A folder that goes with the test, and a runtime.
struct Stage {
    folder: PathBuf,
    runtime: tokio::runtime::Runtime,
    recorder: Recorder,
}

/// An input that runs.
struct Running {
    tell: watch::Sender<bool>,
    task: JoinHandle<Result<(), String>>,
}

impl Stage {
    fn new() -> Self {
        let number = FOLDERS.fetch_add(1, Ordering::Relaxed);
        let folder = std::env::temp_dir().join(format!("metlog-file-tail-{}-{number}", std::process::id()));
        let _ = std::fs::remove_dir_all(&folder);
        std::fs::create_dir_all(&folder).expect("a folder");
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build();
        Stage { folder, runtime: runtime.expect("a runtime"), recorder: Recorder::new() }
    }

    fn open(&self, more: &str) -> Result<Box<dyn Input>, String> {
        let (paths, state) = (self.folder.join("*.jsonl"), self.folder.join("state"));
        let toml = if more.contains("paths") { String::new() } else { format!("paths = [{paths:?}]\n") };
        let settings = settings(&format!("{toml}state = {state:?}\npoll = '5ms'\n{more}"));
        let entry = InputEntry::find("file").expect("registered");
        (entry.read)(&settings).unwrap_or_else(|problems| panic!("{problems}"))()
    }

    fn run(&self, more: &str) -> Running {
        let input = self.open(more).unwrap_or_else(|why| panic!("{why}"));
        let (tell, stop) = Stop::new();
        let running = Running { tell, task: self.runtime.spawn(input.run(self.recorder.inlet(), stop)) };
        // It has looked once.
        assert!(eventually(SOON, || self.folder.join("state").exists() || running.task.is_finished()));
        running
    }

    fn stop(&self, running: Running) {
        running.tell.send(true).expect("it runs");
        let ended = self.runtime.block_on(async { tokio::time::timeout(SOON, running.task).await });
        ended.expect("in time").expect("no panic").unwrap_or_else(|why| panic!("{why}"));
        assert_eq!(self.recorder.seen().forgotten, 0);
    }

    fn append(&self, name: &str, bytes: &[u8]) {
        let file = OpenOptions::new().create(true).append(true).open(self.folder.join(name));
        file.and_then(|mut file| file.write_all(bytes)).expect("written");
    }

    fn lines(&self, name: &str, from: u64, count: u64) {
        self.append(name, sample::lines(from, count).bytes());
    }

    fn rename(&self, from: &str, to: &str) {
        std::fs::rename(self.folder.join(from), self.folder.join(to)).expect("renamed");
    }

    fn numbers(&self) -> Vec<u64> {
        self.recorder.seen().accepted.iter().map(|line| sample::number(line).expect("ours")).collect()
    }

    /// Waits until so many have come.
    fn await_count(&self, count: usize) {
        assert!(eventually(SOON, || self.recorder.accepted() >= count), "{} of {count}", self.recorder.accepted());
    }

    fn await_exactly(&self, numbers: impl IntoIterator<Item = u64>) {
        let numbers: Vec<u64> = numbers.into_iter().collect();
        self.await_count(numbers.len());
        assert_eq!(self.numbers(), numbers);
    }
}

impl Drop for Stage {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.folder);
    }
}

#[test]
fn the_first_time_it_begins_at_the_end_or_the_beginning_as_told() {
    for (start, expected) in [("end", vec![10, 11, 20]), ("beginning", vec![0, 1, 2, 10, 11, 20])] {
        let stage = Stage::new();
        // The last line is not finished yet.
        let line = sample::line(10);
        stage.lines("a.jsonl", 0, 3);
        stage.append("a.jsonl", &line[..50]);
        let running = stage.run(&format!("start = '{start}'"));
        stage.append("a.jsonl", &[&line[50..], b"\n"].concat());
        stage.lines("a.jsonl", 11, 1);
        stage.await_count(expected.len() - 1);
        stage.lines("later.jsonl", 20, 1);
        stage.append("other.txt", b"not ours\n");
        stage.await_exactly(expected);
        stage.stop(running);
        assert_eq!(stage.recorder.seen().refused, []);
    }
}

#[test]
fn rotation_while_somebody_writes_loses_nothing() {
    let stage = Stage::new();
    let running = stage.run("");
    // As programs do it: the name goes, the file is still written to for a while, then a new one is made.
    let path = stage.folder.join("a.jsonl");
    for round in 0..20_u64 {
        let mut file = OpenOptions::new().create(true).append(true).open(&path).expect("opens");
        for number in round * 100..round * 100 + 80 {
            file.write_all(&[&sample::line(number)[..], b"\n"].concat()).expect("written");
        }
        // What is renamed before anybody has looked cannot be known.
        stage.await_count(round as usize * 100 + 1);
        stage.rename("a.jsonl", &format!("a.jsonl.{round}"));
        for number in round * 100 + 80..round * 100 + 100 {
            file.write_all(&[&sample::line(number)[..], b"\n"].concat()).expect("written");
        }
        if round % 2 == 0 {
            std::fs::remove_file(stage.folder.join(format!("a.jsonl.{round}"))).expect("removed");
        }
    }
    stage.await_count(2000);
    stage.stop(running);
    let mut numbers = stage.numbers();
    numbers.sort_unstable();
    assert!(numbers.into_iter().eq(0..2000));
}

#[test]
fn a_file_that_is_cut_begins_anew() {
    let stage = Stage::new();
    let running = stage.run("");
    stage.lines("a.jsonl", 0, 20);
    stage.await_exactly(0..20);
    let cut = || {
        let file = OpenOptions::new().write(true).open(stage.folder.join("a.jsonl")).expect("opens");
        file.set_len(0).expect("cut");
    };
    cut();
    stage.lines("a.jsonl", 20, 3);
    stage.await_exactly(0..23);
    // Grown beyond where it was before anybody looked; and an unfinished line went with what was cut.
    stage.append("a.jsonl", b"{\"type\":\"unfinis");
    std::thread::sleep(Duration::from_millis(50));
    cut();
    stage.lines("a.jsonl", 23, 30);
    stage.await_exactly(0..53);
    stage.stop(running);
    let seen = stage.recorder.seen();
    assert_eq!(seen.refused.len(), 1);
    assert_eq!((seen.refused[0].reason, &seen.refused[0].part[..]), (Reason::Truncated, &b"{\"type\":\"unfinis"[..]));
}

#[test]
fn a_new_start_goes_on_where_the_old_one_ended() {
    let stage = Stage::new();
    let mut layout = Vec::new();
    wire::indented(&mut layout, &sample::message(3));
    let running = stage.run("");
    // In the middle of a line, of a message of many lines, behind one that has no end of line.
    stage.lines("a.jsonl", 0, 2);
    let line = sample::line(2);
    stage.append("a.jsonl", &line[..30]);
    stage.append("b.jsonl", &layout[..60]);
    stage.append("c.jsonl", &sample::line(4));
    stage.await_count(3);
    stage.stop(running);
    stage.append("a.jsonl", &line[30..]);
    stage.append("a.jsonl", &[b"\n", &sample::line(5)[..], &sample::line(6)].concat());
    stage.append("b.jsonl", &layout[60..]);
    stage.append("c.jsonl", &[b"\n", &sample::line(7)[..]].concat());
    // New while nobody looked, and renamed while nobody looked.
    stage.lines("d.jsonl", 8, 1);
    stage.rename("a.jsonl", "a.jsonl.old");
    stage.lines("a.jsonl", 9, 1);
    let running = stage.run("");
    stage.await_count(10);
    stage.stop(running);
    let mut numbers = stage.numbers();
    numbers.sort_unstable();
    assert!(numbers.into_iter().eq(0..10), "each once: {:?}", stage.numbers());
    assert_eq!(stage.recorder.seen().refused, []);
}

#[test]
fn what_was_not_safe_comes_again_and_nothing_else() {
    let stage = Stage::new();
    let running = stage.run("");
    stage.lines("a.jsonl", 0, 10);
    stage.await_count(10);
    // Written down a moment after it was committed.
    let state = stage.folder.join("state");
    let offset = format!("\"offset\":\"{}\"", sample::lines(0, 10).bytes().len());
    assert!(eventually(SOON, || std::fs::read_to_string(&state).is_ok_and(|text| text.contains(&offset))));
    stage.recorder.set_unsynced(true);
    stage.lines("a.jsonl", 10, 5);
    stage.await_count(15);
    std::thread::sleep(Duration::from_millis(50));
    assert!(std::fs::read_to_string(&state).is_ok_and(|text| text.contains(&offset)), "not before it is safe");
    stage.stop(running);
    assert!(std::fs::read_to_string(&state).is_ok_and(|text| text.contains(&offset)));
    stage.recorder.set_unsynced(false);
    let running = stage.run("");
    stage.await_exactly((0..15).chain(10..15));
    // Given up by the router without a word, as when it crashes.
    running.task.abort();
    assert!(stage.runtime.block_on(running.task).is_err());
    std::thread::sleep(Duration::from_millis(400));
    stage.lines("a.jsonl", 15, 1);
    let running = stage.run("");
    stage.await_exactly((0..15).chain(10..16));
    stage.stop(running);
}

#[test]
fn a_file_waits_while_there_is_no_room() {
    let stage = Stage::new();
    let running = stage.run("");
    stage.recorder.set_full(true);
    stage.lines("a.jsonl", 0, 10);
    assert!(eventually(SOON, || stage.recorder.seen().full >= 3));
    assert_eq!(stage.recorder.received(), 0);
    stage.recorder.set_full(false);
    stage.await_exactly(0..10);
    stage.recorder.set_full(true);
    stage.lines("a.jsonl", 10, 10);
    assert!(eventually(SOON, || stage.recorder.seen().full >= 6));
    stage.stop(running);
    assert_eq!(stage.recorder.seen().count(Reason::SpoolFull), 10, "given back, and said so");
    stage.recorder.set_full(false);
    let running = stage.run("");
    stage.await_exactly(0..20);
    stage.stop(running);
}

#[test]
fn what_is_no_message_is_refused_or_becomes_one() {
    for plain in [false, true] {
        let stage = Stage::new();
        stage.recorder.set_message_limit(1000);
        let running = stage.run(&format!("plain = {plain}"));
        stage.lines("a.jsonl", 0, 1);
        stage.append("a.jsonl", b"plain text\n\n   \n[1, 2]\n");
        stage.append("a.jsonl", &[&[b'x'; 300_000][..], b"\n{\"payload\": 1}\nbroken \xff\r\n"].concat());
        stage.lines("a.jsonl", 1, 1);
        stage.append("a.jsonl", b"the end");
        stage.await_count(if plain { 6 } else { 2 });
        stage.stop(running);
        let seen = stage.recorder.seen();
        assert_eq!(seen.count(Reason::TooLarge), 1);
        assert!(seen.refused.iter().any(|refused| refused.why.contains("300000 bytes")), "{:?}", seen.refused);
        if !plain {
            assert_eq!((seen.accepted.len(), seen.count(Reason::Malformed)), (2, 4));
            continue;
        }
        assert_eq!(seen.refused.len(), 1);
        let limits = wire::Limits::default();
        let texts = seen.accepted.iter().map(|line| wire::read(line, &limits).expect("a message").message);
        let texts: Vec<_> = texts.map(|message| (message.kind, message.payload.to_text().into_owned())).collect();
        let oldstyle = |text: &str| ("oldstyle".to_owned(), text.to_owned());
        let wrapped = ["plain text", "[1, 2]", "{\"payload\": 1}", "broken \u{fffd}"].map(oldstyle);
        assert_eq!(texts[1..5], wrapped);
        assert_eq!((texts[0].0.as_str(), texts[5].1.as_str()), ("contract", "message 1"));
        // The line without an end is read when it has one.
        let running = stage.run("plain = true");
        stage.append("a.jsonl", b" of it\n");
        stage.await_count(7);
        stage.stop(running);
        let last = wire::read(&stage.recorder.seen().accepted[6], &limits).expect("a message").message;
        assert_eq!(last.payload.to_text(), "the end of it");
        assert!(last.fields.get("file").is_some_and(|file| file.to_text().ends_with("/a.jsonl")));
    }
}

#[test]
fn links_and_what_is_no_file() {
    let stage = Stage::new();
    stage.lines("secret", 0, 1);
    stage.lines("chosen", 1, 1);
    let link = |from: &str, to: &str| {
        std::os::unix::fs::symlink(stage.folder.join(from), stage.folder.join(to)).expect("linked");
    };
    link("secret", "planted.jsonl");
    link("chosen", "named");
    std::fs::create_dir(stage.folder.join("folder.jsonl")).expect("made");
    let pipe = std::process::Command::new("mkfifo").arg(stage.folder.join("pipe.jsonl")).status();
    assert!(pipe.is_ok_and(|status| status.success()));
    let paths = format!(
        "paths = [{:?}, {:?}, {:?}]\nstart = 'beginning'",
        stage.folder.join("*.jsonl"),
        stage.folder.join("named"),
        stage.folder.join("not/there/*.jsonl"),
    );
    let running = stage.run(&paths);
    stage.lines("a.jsonl", 2, 1);
    stage.await_count(2);
    stage.stop(running);
    assert_eq!(stage.numbers(), [1, 2]);
    std::fs::remove_file(stage.folder.join("state")).expect("removed");
    let running = stage.run(&format!("{paths}\nsymlinks = true"));
    stage.await_count(5);
    stage.stop(running);
    assert_eq!(stage.recorder.seen().refused, []);
}

#[test]
fn files_beyond_the_limit_are_told_once_and_wait() {
    let stage = Stage::new();
    for number in 0..514 {
        stage.lines(&format!("{number:03}.jsonl"), number, 1);
    }
    let running = stage.run("start = 'beginning'");
    stage.await_count(512);
    assert!(eventually(SOON, || stage.recorder.seen().refused.len() == 2));
    std::thread::sleep(Duration::from_millis(50));
    stage.stop(running);
    let seen = stage.recorder.seen();
    assert_eq!((seen.accepted.len(), seen.refused.len()), (512, 2));
    assert!(seen.refused[0].why.contains("512 files are followed already"), "{}", seen.refused[0].why);
}

#[test]
fn its_own_state_is_not_followed() {
    let stage = Stage::new();
    let running = stage.run(&format!("paths = [{:?}]\nstart = 'beginning'", stage.folder.join("*")));
    stage.lines("a", 0, 3);
    stage.await_exactly(0..3);
    std::thread::sleep(Duration::from_millis(100));
    stage.stop(running);
    assert_eq!(stage.recorder.seen().received(), 3);
}

/// What may happen to a file between two looks.
#[derive(Debug, Clone)]
enum Deed {
    Write { lines: u64, torn: bool },
    Rename,
    Restart,
    Look,
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 24, max_shrink_iters: 40, failure_persistence: None, ..ProptestConfig::default() })]
    #[test]
    fn whatever_is_done_to_it_each_line_comes_once(deeds in prop::collection::vec(prop_oneof![
        5 => (0_u64..40, any::<bool>()).prop_map(|(lines, torn)| Deed::Write { lines, torn }),
        2 => Just(Deed::Rename),
        2 => Just(Deed::Restart),
        1 => Just(Deed::Look),
    ], 1..25)) {
        let stage = Stage::new();
        let mut running = Some(stage.run(""));
        let (mut next, mut renamed, mut rest, mut unseen) = (0, 0, Vec::new(), true);
        for deed in deeds {
            match deed {
                Deed::Write { lines, torn } => {
                    stage.append("a.jsonl", &std::mem::take(&mut rest));
                    stage.lines("a.jsonl", next, lines);
                    next += lines;
                    if torn {
                        let line = [&sample::line(next)[..], b"\n"].concat();
                        let (now, later) = line.split_at(line.len() * (next as usize % 7) / 7);
                        stage.append("a.jsonl", now);
                        rest = later.to_vec();
                        next += 1;
                    }
                }
                Deed::Rename if stage.folder.join("a.jsonl").exists() => {
                    stage.append("a.jsonl", &std::mem::take(&mut rest));
                    if running.is_some() {
                        stage.await_count(next as usize);
                        unseen = false;
                    }
                    // A name that fits, or one that does not: under that, what nobody has ever seen cannot be found.
                    let fits = unseen || renamed % 2 == 1;
                    let to = format!("{renamed}.{}", if fits { "jsonl" } else { "old" });
                    stage.rename("a.jsonl", &to);
                    renamed += 1;
                    unseen = true;
                }
                Deed::Rename => {}
                Deed::Restart => match running.take() {
                    Some(old) => stage.stop(old),
                    None => running = Some(stage.run("")),
                },
                Deed::Look => std::thread::sleep(Duration::from_millis(10)),
            }
        }
        stage.append("a.jsonl", &rest);
        let running = running.unwrap_or_else(|| stage.run(""));
        let came = eventually(SOON, || stage.recorder.accepted() as u64 >= next);
        stage.stop(running);
        let mut numbers = stage.numbers();
        numbers.sort_unstable();
        prop_assert!(came && numbers.iter().copied().eq(0..next), "{next} were written: {numbers:?}");
        prop_assert_eq!(stage.recorder.seen().refused, []);
    }
}

#[test]
fn wrong_settings_say_what_would_be_right() {
    let stage = Stage::new();
    let read = |toml: &str| (InputEntry::find("file").expect("registered").read)(&settings(toml));
    for (paths, right) in
        [("[]", "/var/log/app/*.jsonl"), ("['/var/log/']", "not a file"), ("['/var/**/x']", "one `*` for each folder")]
    {
        let told = read(&format!("state = 'x'\npaths = {paths}")).err().expect("refused").to_string();
        assert!(told.starts_with("test.toml:2:1: `paths` ") && told.contains(right), "{told}");
    }
    let opener = read("paths = ['x']\nstate = '/not/there/x'").unwrap_or_else(|problems| panic!("{problems}"));
    assert!(opener().err().expect("refused").contains("no such folder"));
    std::fs::write(stage.folder.join("state"), "{\"metlog_followed_files\":").expect("written");
    assert!(stage.open("").err().expect("refused").contains("not a state"));
    let root = settings(InputEntry::find("file").expect("registered").example);
    let mut section = root.get("inputs").and_then(|all| all.get("app")).cloned().expect("the section");
    section.as_table_mut().expect("a table").remove("type");
    (InputEntry::find("file").expect("there").read)(&section).map(drop).unwrap_or_else(|problems| panic!("{problems}"));
}
