//! The real standard streams, which only a process of its own has to itself: each test runs itself again inside one.

use metlog_pipeline::{SendError, Sender, SenderEntry};
use metlog_stdout as _;
use metlog_testkit::{Arrived, sample, settings};
use std::io::Write;
use std::process::{Command, Output, Stdio};

const INSIDE: &str = "METLOG_STDOUT_INSIDE";

fn is_inside() -> bool {
    std::env::var_os(INSIDE).is_some()
}

/// This test again, alone in a process with this standard error.
fn again(test: &str, stderr: Stdio) -> Output {
    let mut inside = Command::new(std::env::current_exe().expect("a path"));
    inside.args(["--exact", test, "--nocapture"]).env(INSIDE, "1").stdout(Stdio::piped()).stderr(stderr);
    inside.spawn().and_then(|child| child.wait_with_output()).expect("runs")
}

fn open(name: &str, toml: &str) -> Box<dyn Sender> {
    let entry = SenderEntry::find(name).expect("there");
    (entry.read)(&settings(toml)).unwrap_or_else(|problems| panic!("{problems}"))().expect("opens")
}

#[test]
fn messages_come_after_what_the_program_printed_before() {
    if is_inside() {
        print!("printed, not flushed\n>");
        open("stdout", "").send(&sample::lines(0, 3)).expect("written");
        print!("<");
        std::io::stdout().flush().expect("written");
        open("stream", "stream = 'stderr'\nformat = 'text'").send(&sample::lines(3, 1)).expect("written");
        std::process::exit(0);
    }
    let output = again("messages_come_after_what_the_program_printed_before", Stdio::piped());
    let out = String::from_utf8_lossy(&output.stdout);
    let (_, out) = out.split_once("printed, not flushed\n>").expect("printed first");
    let numbers: Vec<u64> = out.lines().take(3).map(|line| Arrived::of_json(line.as_bytes()).number).collect();
    assert_eq!((numbers, out.lines().nth(3)), (vec![0, 1, 2], Some("<")), "{out}");
    let err = String::from_utf8_lossy(&output.stderr);
    assert!(
        err.ends_with(" notice        metlog.tests: [contract] message 3 number=3\n"),
        "no colours in a pipe: {err}"
    );
}

#[test]
fn a_program_whose_output_nobody_reads_goes_on() {
    if is_inside() {
        let answer = open("stream", "stream = 'stderr'").send(&sample::lines(0, 3));
        std::process::exit(if matches!(answer, Err(SendError::Pause { .. })) { 42 } else { 1 });
    }
    let (reader, writer) = std::io::pipe().expect("a pipe");
    drop(reader);
    let output = again("a_program_whose_output_nobody_reads_goes_on", writer.into());
    assert_eq!(output.status.code(), Some(42));
}
