//! The input at real pipes, and in a process of its own.
#![cfg(unix)]

use metlog_message::wire;
use metlog_pipeline::{Input, InputEntry, Reason, Stop};
use metlog_stdin::StdinInput;
use metlog_testkit::inlet::Recorder;
use metlog_testkit::{eventually, sample, settings};
use std::io::{PipeWriter, Write};
use std::process::{Command, Stdio};
use std::time::Duration;
use tokio::sync::watch;
use tokio::task::JoinHandle;

const SOON: Duration = Duration::from_secs(5);

struct Stage {
    recorder: Recorder,
    runtime: tokio::runtime::Runtime,
    pipe: Option<PipeWriter>,
    tell: watch::Sender<bool>,
    task: Option<JoinHandle<Result<(), String>>>,
}

impl Stage {
    fn new(limit: usize) -> Self {
        let (read, write) = std::io::pipe().expect("a pipe");
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
        let recorder = Recorder::new();
        recorder.set_message_limit(limit);
        let (tell, stop) = Stop::new();
        let task = runtime.spawn(Box::new(StdinInput::of(read)).run(recorder.inlet(), stop));
        Stage { recorder, runtime, pipe: Some(write), tell, task: Some(task) }
    }

    fn write(&mut self, bytes: &[u8]) {
        self.pipe.as_mut().expect("open").write_all(bytes).expect("written");
    }

    /// Lets it run until something is so.
    fn until(&self, so: impl Fn() -> bool) {
        let run = |time| self.runtime.block_on(async { tokio::time::sleep(Duration::from_millis(time)).await });
        assert!(eventually(SOON, || {
            run(5);
            so()
        }));
    }

    fn ended(&mut self) -> Result<(), String> {
        let task = self.task.take().expect("once");
        let ended = self.runtime.block_on(async { tokio::time::timeout(SOON, task).await });
        assert_eq!((self.recorder.seen().forgotten, self.recorder.seen().pending), (0, 0));
        ended.expect("in time").expect("no panic")
    }

    fn numbers(&self) -> Vec<u64> {
        self.recorder.seen().accepted.iter().map(|line| sample::number(line).expect("ours")).collect()
    }
}

#[test]
fn lines_and_layouts_until_the_end() {
    let mut stage = Stage::new(2000);
    let mut layout = Vec::new();
    wire::indented(&mut layout, &sample::message(2));
    stage.write(sample::lines(0, 2).bytes());
    stage.write(&layout[..40]);
    stage.until(|| stage.recorder.accepted() == 2);
    stage.write(&layout[40..]);
    stage.write(&[&sample::line(3)[..], b"\nno message\n", &[b'x'; 5000], b"\n", &sample::line(4)].concat());
    stage.pipe = None;
    assert_eq!(stage.ended(), Ok(()));
    assert_eq!(stage.numbers(), [0, 1, 2, 3, 4], "the last one without an end of line");
    let seen = stage.recorder.seen();
    assert_eq!((seen.refused.len(), seen.count(Reason::Malformed), seen.count(Reason::TooLarge)), (2, 1, 1));
}

#[test]
fn the_end_waits_until_all_is_safe() {
    let mut stage = Stage::new(1 << 20);
    stage.recorder.set_unsynced(true);
    stage.write(sample::lines(0, 2).bytes());
    stage.pipe = None;
    stage.until(|| stage.recorder.accepted() == 2);
    stage.runtime.block_on(async { tokio::time::sleep(Duration::from_millis(300)).await });
    assert!(!stage.task.as_ref().expect("there").is_finished());
    stage.recorder.set_unsynced(false);
    assert_eq!(stage.ended(), Ok(()));
}

#[test]
fn who_writes_waits_while_there_is_no_room() {
    let mut stage = Stage::new(1 << 20);
    stage.recorder.set_full(true);
    let mut pipe = stage.pipe.take().expect("open");
    // More than a pipe and a read hold together.
    let writer = std::thread::spawn(move || pipe.write_all(sample::lines(0, 5000).bytes()).expect("written"));
    stage.until(|| stage.recorder.seen().full >= 3);
    assert!(!writer.is_finished());
    assert_eq!(stage.recorder.received(), 0);
    stage.recorder.set_full(false);
    stage.until(|| stage.recorder.accepted() == 5000);
    writer.join().expect("written");
    assert_eq!(stage.ended(), Ok(()));
    assert!(stage.numbers().into_iter().eq(0..5000));
}

#[test]
fn what_the_pipe_holds_is_read_before_it_stops() {
    let mut stage = Stage::new(1 << 20);
    stage.tell.send(true).expect("it listens");
    stage.write(&[sample::lines(0, 100).bytes(), b"{\"type\":\"half"].concat());
    assert_eq!(stage.ended(), Ok(()));
    assert!(stage.numbers().into_iter().eq(0..100));
    let seen = stage.recorder.seen();
    assert_eq!((seen.refused.len(), seen.refused[0].reason), (1, Reason::Truncated));
    // Without room, what was read is counted.
    let mut stage = Stage::new(1 << 20);
    stage.recorder.set_full(true);
    stage.write(sample::lines(0, 10).bytes());
    stage.until(|| stage.recorder.seen().full >= 1);
    stage.tell.send(true).expect("it listens");
    assert_eq!(stage.ended(), Ok(()));
    assert_eq!(stage.recorder.seen().count(Reason::SpoolFull), 10);
    // An idle one ends soon.
    let mut stage = Stage::new(1 << 20);
    stage.until(|| true);
    stage.tell.send(true).expect("it listens");
    assert_eq!(stage.ended(), Ok(()));
}

/// In a process whose standard input is ours: this test again.
#[test]
fn standard_input_is_what_a_configuration_opens() {
    const INSIDE: &str = "METLOG_STDIN_INSIDE";
    let entry = InputEntry::find("stdin").expect("registered");
    if std::env::var_os(INSIDE).is_some() {
        let root = settings(entry.example);
        let mut section = root.get("inputs").and_then(|all| all.get("stdin")).cloned().expect("the section");
        section.as_table_mut().expect("a table").remove("type");
        let input: Box<dyn Input> =
            (entry.read)(&section).unwrap_or_else(|problems| panic!("{problems}"))().expect("open");
        assert_eq!(input.place(), "standard input");
        let (recorder, (_tell, stop)) = (Recorder::new(), Stop::new());
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
        runtime.block_on(input.run(recorder.inlet(), stop)).expect("read to its end");
        println!("\naccepted {}", recorder.accepted());
        return;
    }
    let mut inside = Command::new(std::env::current_exe().expect("a path"));
    inside.args(["--exact", "standard_input_is_what_a_configuration_opens", "--nocapture"]).env(INSIDE, "1");
    let mut child = inside.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().expect("runs");
    child.stdin.take().expect("piped").write_all(sample::lines(0, 1000).bytes()).expect("written");
    let output = child.wait_with_output().expect("ended");
    assert!(String::from_utf8_lossy(&output.stdout).contains("\naccepted 1000\n"), "{output:?}");
    let problems = (entry.read)(&settings("path = 'x'")).err().expect("no such setting");
    assert!(problems.to_string().contains("path"), "{problems}");
}
