//! The input against the plugin's own sender, plain sockets, a full spool and nonsense. Nothing may go without a trace.

use metlog_pipeline::{Away, Input, InputEntry, Reason, SenderEntry, Stop};
use metlog_tcp as _;
use metlog_testkit::{Recorder, eventually, sample, settings};
use std::io::{Read, Write};
use std::net::{Shutdown, TcpStream};
use std::thread::JoinHandle;
use std::time::Duration;
use tokio::sync::watch;

const PATIENCE: Duration = Duration::from_secs(60);

fn open(toml: &str) -> Result<Box<dyn Input>, String> {
    let entry = InputEntry::find("tcp").expect("there");
    (entry.read)(&settings(toml)).unwrap_or_else(|problems| panic!("{problems}"))()
}

struct Running {
    address: String,
    stop: watch::Sender<bool>,
    thread: JoinHandle<Result<(), String>>,
}

impl Running {
    fn start(recorder: &Recorder, more: &str) -> Self {
        let input = open(&format!("listen = '127.0.0.1:0'\n{more}")).expect("opens");
        let address = input.place().trim_start_matches("tcp://").to_owned();
        let (tell, stop) = Stop::new();
        let inlet = recorder.inlet();
        let thread = std::thread::spawn(move || {
            let runtime =
                tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().expect("a runtime");
            runtime.block_on(input.run(inlet, stop))
        });
        Running { address, stop: tell, thread }
    }

    fn connect(&self) -> TcpStream {
        TcpStream::connect(&self.address).expect("connects")
    }

    /// Sends, ends, and waits until all was read.
    fn say(&self, text: &[u8]) {
        let mut stream = self.connect();
        stream.write_all(text).expect("sent");
        stream.shutdown(Shutdown::Write).expect("ended");
        stream.read_to_end(&mut Vec::new()).expect("read to its end");
    }

    fn stop(self) {
        self.stop.send(true).expect("the input listens");
        self.thread.join().expect("no panic").expect("no error");
    }
}

fn lines(from: u64, count: u64) -> Vec<u8> {
    sample::lines(from, count).bytes().to_vec()
}

#[test]
fn what_the_sender_sends_arrives_as_it_was() {
    let recorder = Recorder::new();
    let running = Running::start(&recorder, "");
    let entry = SenderEntry::find("tcp").expect("there");
    let address = format!("address = '{}'", running.address);
    let mut sender =
        (entry.read)(&settings(&address)).unwrap_or_else(|problems| panic!("{problems}"))().expect("opens");
    for batch in 0..20 {
        sender.send(&sample::lines(batch * 1000, 1000)).expect("sent");
    }
    sender.close(Duration::from_secs(5)).expect("closed");
    assert!(eventually(PATIENCE, || recorder.accepted() == 20_000), "{}", recorder.accepted());
    let seen = recorder.seen();
    assert!(
        seen.accepted.iter().zip(0..).all(|(line, number)| *line == sample::line(number)),
        "in order, byte for byte"
    );
    running.stop();
    assert_eq!(recorder.seen().received(), 20_000);
}

/// Closing over acknowledgements that still come would reset the connection, and lose what the input has not read.
#[test]
fn acknowledgements_that_nobody_reads_cost_no_message() {
    let recorder = Recorder::new();
    let running = Running::start(&recorder, "ack = true");
    let entry = SenderEntry::find("tcp").expect("there");
    let address = format!("address = '{}'", running.address);
    const ROUNDS: usize = 20;
    for round in 0..ROUNDS as u64 {
        let open = (entry.read)(&settings(&address)).unwrap_or_else(|problems| panic!("{problems}"));
        let mut sender = open().expect("opens");
        for batch in 0..4 {
            sender.send(&sample::lines(round * 4000 + batch * 1000, 1000)).expect("sent");
        }
        sender.close(Duration::from_secs(5)).expect("closed");
    }
    assert!(eventually(PATIENCE, || recorder.accepted() == ROUNDS * 4000), "{}", recorder.accepted());
    running.stop();
    assert_eq!(recorder.seen().received(), ROUNDS as u64 * 4000);
}

#[test]
fn json_without_newlines_and_over_several_lines_is_taken_too() {
    let recorder = Recorder::new();
    let running = Running::start(&recorder, "");
    let mut stream = running.connect();
    stream.write_all(&sample::line(1)).expect("sent");
    assert!(eventually(PATIENCE, || recorder.accepted() == 1), "{:?}", recorder.seen());
    // Two with nothing between them are handed on as one piece, which the router takes apart, or as two: as they are read.
    stream.write_all(&[sample::line(2), sample::line(3)].concat()).expect("sent");
    assert!(eventually(PATIENCE, || recorder.received() >= 2), "{:?}", recorder.seen());
    let pretty = String::from_utf8(sample::line(4)).expect("text").replacen("{\"", "{\n  \"", 1);
    stream.write_all(format!("\n{pretty}\n").as_bytes()).expect("sent");
    drop(stream);
    let taken = || recorder.seen().accepted.last().is_some_and(|last| last == pretty.as_bytes());
    assert!(eventually(PATIENCE, taken), "{:?}", recorder.seen());
    running.stop();
}

#[test]
fn nonsense_costs_itself_only() {
    let recorder = Recorder::new();
    recorder.set_message_limit(10_000);
    let running = Running::start(&recorder, "");
    let long = vec![b'x'; 1_000_000];
    let parts: [&[u8]; 7] =
        [b"GET / HTTP/1.1\r\n", &lines(0, 1), b"\0\xff\xfe\n", &long, b"\n", &lines(1, 1), b"{\"cut"];
    running.say(&parts.concat());
    assert!(eventually(PATIENCE, || recorder.received() == 6), "{:?}", recorder.seen());
    let seen = recorder.seen();
    assert_eq!(seen.accepted, [sample::line(0), sample::line(1)]);
    assert_eq!((seen.count(Reason::Malformed), seen.count(Reason::TooLarge)), (3, 1));
    running.stop();
}

#[test]
fn a_full_spool_makes_the_sender_wait_and_loses_nothing() {
    let recorder = Recorder::new();
    recorder.set_full(true);
    let running = Running::start(&recorder, "");
    let mut stream = running.connect();
    stream.set_write_timeout(Some(Duration::from_millis(300))).expect("set");
    let text = lines(0, 100_000);
    let mut sent = 0;
    while let Ok(count) = stream.write(&text[sent..(sent + 65536).min(text.len())]) {
        sent += count;
    }
    assert!(sent < text.len(), "all of {sent} bytes were taken while there was no room");
    assert_eq!(recorder.accepted(), 0);
    recorder.set_full(false);
    stream.set_write_timeout(None).expect("set");
    stream.write_all(&text[sent..]).expect("sent");
    stream.shutdown(Shutdown::Write).expect("ended");
    assert!(eventually(PATIENCE, || recorder.accepted() == 100_000), "{}", recorder.accepted());
    running.stop();
    assert_eq!(recorder.seen().received(), 100_000);
}

#[test]
fn an_acknowledgement_waits_for_the_disk() {
    let recorder = Recorder::new();
    recorder.set_unsynced(true);
    let running = Running::start(&recorder, "ack = true");
    let mut stream = running.connect();
    stream.write_all(&[&lines(0, 10)[..], b"no\n"].concat()).expect("sent");
    assert!(eventually(PATIENCE, || recorder.received() == 11), "{:?}", recorder.seen());
    stream.set_read_timeout(Some(Duration::from_millis(200))).expect("set");
    let mut answer = [0; 100];
    assert!(stream.read(&mut answer).is_err(), "not before it is on disk");
    recorder.set_unsynced(false);
    stream.set_read_timeout(Some(PATIENCE)).expect("set");
    let count = stream.read(&mut answer).expect("answered");
    assert_eq!(answer[..count], *b"{\"accepted\":10,\"rejected\":1}\n");
    drop(stream);
    running.stop();
}

#[test]
fn too_many_connections_are_closed_and_the_others_go_on() {
    let recorder = Recorder::new();
    let running = Running::start(&recorder, "per_address = 3");
    let mut kept: Vec<TcpStream> = (0..3).map(|_| running.connect()).collect();
    for (number, stream) in kept.iter_mut().enumerate() {
        stream.write_all(&lines(number as u64, 1)).expect("sent");
    }
    assert!(eventually(PATIENCE, || recorder.accepted() == 3), "{:?}", recorder.seen());
    let mut more = running.connect();
    assert_eq!(more.read(&mut [0; 1]).unwrap_or(0), 0, "closed");
    kept.pop();
    let room = || {
        let mut stream = running.connect();
        stream.set_read_timeout(Some(Duration::from_millis(100))).expect("set");
        // Closed ones end at once; one that is let in has nothing to say.
        stream
            .read(&mut [0; 1])
            .is_err_and(|error| matches!(error.kind(), std::io::ErrorKind::WouldBlock | std::io::ErrorKind::TimedOut))
    };
    assert!(eventually(PATIENCE, room), "the place of a connection that is gone");
    running.stop();
}

#[test]
fn who_says_nothing_for_too_long_goes_and_is_counted() {
    let recorder = Recorder::new();
    let running = Running::start(&recorder, "idle_timeout = '300ms'");
    let mut stream = running.connect();
    stream.write_all(&lines(0, 1)).expect("sent");
    stream.set_read_timeout(Some(PATIENCE)).expect("set");
    assert_eq!(stream.read(&mut [0; 1]).expect("an end"), 0);
    let gone = || recorder.seen().turned_away_for.get(&Away::Idle) == Some(&1);
    assert!(eventually(PATIENCE, gone), "{:?}", recorder.seen());
    running.stop();
    assert_eq!((recorder.accepted(), recorder.received()), (1, 1));
}

#[test]
fn what_has_arrived_before_the_end_is_taken() {
    let recorder = Recorder::new();
    let running = Running::start(&recorder, "");
    let mut stream = running.connect();
    stream.write_all(&lines(0, 1)).expect("sent");
    assert!(eventually(PATIENCE, || recorder.accepted() == 1), "{:?}", recorder.seen());
    stream.write_all(&lines(1, 500)).expect("sent");
    running.stop();
    assert_eq!(recorder.accepted(), 501);
}

#[test]
fn beyond_this_machine_it_wants_to_be_told_that_the_network_is_trusted() {
    let entry = InputEntry::find("tcp").expect("there");
    let why = (entry.read)(&settings("ack = true\nlisten = '0.0.0.0:0'")).err().expect("refused").to_string();
    assert!(why.starts_with("test.toml:2:1: `listen = ") && why.contains("trusted_network = true"), "{why}");
    open("listen = '0.0.0.0:0'\ntrusted_network = true").expect("opens");
    let example = settings(entry.example);
    let section = example.get("inputs").and_then(|inputs| inputs.get("tcp")).expect("the section");
    drop((entry.read)(section).unwrap_or_else(|problems| panic!("{problems}")));
}
