//! The input against the plugin's own sender, plain sockets, overload and nonsense. Nothing may go without a trace.

use metlog_pipeline::{Input, InputEntry, Reason, SenderEntry, Stop};
use metlog_testkit::{Recorder, eventually, sample, settings};
use metlog_udp as _;
use std::net::{SocketAddr, UdpSocket};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};
use tokio::sync::watch;

/// How long anything may take that has to happen: long, because the machine may be busy.
const PATIENCE: Duration = Duration::from_secs(60);

fn open(toml: &str) -> Result<Box<dyn Input>, String> {
    let entry = InputEntry::find("udp").expect("there");
    (entry.read)(&settings(toml)).unwrap_or_else(|problems| panic!("{problems}"))()
}

/// The addresses in what an input says of its place.
fn addresses(input: &dyn Input) -> Vec<SocketAddr> {
    let place = input.place();
    place.split([' ', ',']).filter_map(|word| word.parse().ok()).collect()
}

/// An input at work.
struct Running {
    stop: watch::Sender<bool>,
    thread: JoinHandle<Result<(), String>>,
}

impl Running {
    fn start(input: Box<dyn Input>, recorder: &Recorder) -> Self {
        let (tell, stop) = Stop::new();
        let inlet = recorder.inlet();
        let thread = std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
            runtime.block_on(input.run(inlet, stop))
        });
        Running { stop: tell, thread }
    }

    fn stop(self) {
        self.stop.send(true).expect("the input listens");
        self.thread.join().expect("no panic").expect("no error");
    }
}

/// An input on a free port, and a socket connected to it.
fn start(recorder: &Recorder, more: &str) -> (Running, UdpSocket) {
    let input = open(&format!("listen = '127.0.0.1:0'\n{more}")).expect("opens");
    let socket = connected(addresses(&*input)[0]);
    (Running::start(input, recorder), socket)
}

fn connected(address: SocketAddr) -> UdpSocket {
    let socket = UdpSocket::bind("127.0.0.1:0").expect("a free port");
    socket.connect(address).expect("connected");
    socket
}

#[test]
fn what_our_sender_sends_arrives_as_it_was() {
    let recorder = Recorder::new();
    let input = open("listen = '127.0.0.1:0'").expect("opens");
    let port = addresses(&*input)[0].port();
    let running = Running::start(input, &recorder);
    let mut sender = metlog_testkit::open("udp", &format!("port = {port}")).expect("opens");
    let mut sent = Vec::new();
    for batch in 0..20 {
        let lines = sample::lines(batch * 100, 100);
        sent.extend(lines.iter().map(<[u8]>::to_vec));
        sender.send(&lines).expect("sent");
        // Not faster than it reads: this is about what arrives, not about how much can.
        assert!(
            eventually(PATIENCE, || recorder.accepted() == sent.len()),
            "{} of {}",
            recorder.accepted(),
            sent.len()
        );
    }
    running.stop();
    let seen = recorder.seen();
    assert_eq!(seen.accepted, sent);
    assert_eq!((seen.received(), seen.lost, seen.forgotten, seen.pending), (2000, 0, 0, 0));
}

#[test]
fn a_datagram_holds_a_message_or_several_lines_or_one_laid_out_over_several() {
    let recorder = Recorder::new();
    let (running, socket) = start(&recorder, "");
    let line = |number| String::from_utf8(sample::line(number)).expect("JSON");
    socket.send(&sample::line(0)).expect("sent");
    socket.send(format!("{}\n", line(1)).as_bytes()).expect("sent");
    socket.send(format!("{}\r\n\r\n{}\n", line(2), line(3)).as_bytes()).expect("sent");
    let pretty = line(4).replacen('{', "{\n    ", 1).replace(",\"", ",\n    \"");
    socket.send(pretty.as_bytes()).expect("sent");
    assert!(eventually(PATIENCE, || recorder.accepted() == 5), "{:?}", recorder.seen());
    running.stop();
    let seen = recorder.seen();
    assert_eq!(seen.accepted[..4], [line(0), line(1), line(2), line(3)].map(String::into_bytes));
    assert_eq!(seen.accepted[4], pretty.as_bytes());
    assert_eq!(seen.received(), 5);
}

#[test]
fn nonsense_is_refused_one_for_one_and_disturbs_nobody() {
    let recorder = Recorder::new();
    let (running, socket) = start(&recorder, "");
    let mut sent = 0;
    for (number, nonsense) in [
        &b""[..],
        b"\n",
        b" \r\n \n",
        b"{",
        b"}",
        b"\xff\xfe\x00",
        b"null",
        b"[]",
        b"{}x",
        &[0; 60_000],
        &[b'['; 60_000],
    ]
    .into_iter()
    .enumerate()
    {
        socket.send(nonsense).expect("sent");
        socket.send(&sample::line(number as u64)).expect("sent");
        sent += 1;
        assert!(eventually(PATIENCE, || recorder.received() == 2 * sent), "{number}");
    }
    running.stop();
    let seen = recorder.seen();
    assert_eq!((seen.accepted.len() as u64, seen.refused.len() as u64), (sent, sent));
    assert_eq!(seen.count(Reason::Malformed), sent);
}

#[cfg(target_os = "linux")]
#[test]
fn at_overload_received_and_lost_are_what_was_sent() {
    let recorder = Recorder::new();
    let (running, socket) = start(&recorder, "receive_buffer = '16 KiB'");
    let line = sample::line(1);
    let mut sent = 0;
    // Until it was too much, which depends on the machine; then as much again, so that losses lie amid messages.
    let end = Instant::now() + PATIENCE;
    while recorder.seen().lost == 0 && Instant::now() < end {
        for _ in 0..2000 {
            socket.send(&line).expect("sent");
            sent += 1;
        }
    }
    for _ in 0..20_000 {
        socket.send(&line).expect("sent");
        sent += 1;
    }
    running.stop();
    let seen = recorder.seen();
    assert!(seen.lost > 0 && seen.received() > 0);
    assert_eq!(seen.received() + seen.lost, sent);
}

#[cfg(target_os = "linux")]
#[test]
fn losses_after_the_last_datagram_are_told_without_waiting_for_another() {
    let recorder = Recorder::new();
    let input = open("listen = '127.0.0.1:0'\nreceive_buffer = '4 KiB'").expect("opens");
    let socket = connected(addresses(&*input)[0]);
    for number in 0..100 {
        socket.send(&sample::line(number)).expect("sent");
    }
    let running = Running::start(input, &recorder);
    assert!(eventually(PATIENCE, || recorder.received() + recorder.seen().lost == 100), "{:?}", recorder.seen());
    let seen = recorder.seen();
    assert!(seen.lost > 0);
    running.stop();
    assert_eq!(recorder.received() + recorder.seen().lost, 100);
}

#[test]
fn while_the_spool_is_full_messages_are_dropped_and_counted() {
    let recorder = Recorder::new();
    let (running, socket) = start(&recorder, "");
    recorder.set_full(true);
    for number in 0..50 {
        socket.send(&sample::line(number)).expect("sent");
    }
    socket.send(b"nonsense").expect("sent");
    assert!(eventually(PATIENCE, || recorder.received() == 51));
    recorder.set_full(false);
    socket.send(&sample::line(50)).expect("sent");
    assert!(eventually(PATIENCE, || recorder.accepted() == 1));
    running.stop();
    let seen = recorder.seen();
    assert_eq!((seen.count(Reason::SpoolFull), seen.count(Reason::Malformed)), (50, 1));
    assert_eq!((seen.received(), seen.lost), (52, 0));
}

#[test]
fn a_stop_reads_what_the_system_has_and_frees_the_port() {
    let recorder = Recorder::new();
    let input = open("listen = '127.0.0.1:0'\nbatch = 7").expect("opens");
    let address = addresses(&*input)[0];
    let socket = connected(address);
    for number in 0..100 {
        socket.send(&sample::line(number)).expect("sent");
    }
    let (tell, stop) = Stop::new();
    tell.send(true).expect("told");
    let runtime = tokio::runtime::Builder::new_current_thread().build().expect("a runtime");
    runtime.block_on(input.run(recorder.inlet(), stop)).expect("no error");
    let seen = recorder.seen();
    assert_eq!(seen.accepted, (0..100).map(sample::line).collect::<Vec<_>>());
    assert_eq!(seen.commits, 100_u64.div_ceil(7), "one commit per read");
    UdpSocket::bind(address).expect("free again");
}

#[test]
fn an_input_that_is_given_up_ends_its_thread() {
    let recorder = Recorder::new();
    let input = open("listen = '127.0.0.1:0'").expect("opens");
    let address = addresses(&*input)[0];
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().expect("a runtime");
    let (_tell, stop) = Stop::new();
    let running = input.run(recorder.inlet(), stop);
    let given_up = runtime.block_on(async { tokio::time::timeout(Duration::from_millis(50), running).await });
    assert!(given_up.is_err());
    assert!(eventually(PATIENCE, || UdpSocket::bind(address).is_ok()));
}

#[test]
fn several_addresses_of_both_families() {
    let recorder = Recorder::new();
    let input = open("listen = ['127.0.0.1:0', 'localhost:0', '[::1]:0']").expect("opens");
    let addresses = addresses(&*input);
    assert_eq!(addresses.len(), 3);
    assert!(addresses[1].is_ipv4());
    let running = Running::start(input, &recorder);
    let six = UdpSocket::bind("[::1]:0").expect("a free port");
    six.send_to(&sample::line(0), addresses[2]).expect("sent");
    for address in &addresses[..2] {
        connected(*address).send(&sample::line(1)).expect("sent");
    }
    assert!(eventually(PATIENCE, || recorder.accepted() == 3));
    running.stop();
    assert_eq!(recorder.seen().others, 3, "an inlet of its own for each socket");
}

#[cfg(target_os = "linux")]
#[test]
fn the_receive_buffer_is_told() {
    let input = open("listen = '127.0.0.1:0'\nreceive_buffer = '128 KiB'").expect("opens");
    assert!(input.place().ends_with("(receive buffer 128 KiB)"), "{}", input.place());
}

#[test]
fn settings_are_checked() {
    let entry = InputEntry::find("udp").expect("there");
    for (toml, words) in [
        ("listen = []", "test.toml:1:1: `listen` is an empty list"),
        ("listen = '127.0.0.1'", "`127.0.0.1:5566`"),
        ("listen = 'no-such-host.invalid:5566'", "no-such-host.invalid"),
        ("listen = '0.0.0.0:0'", "`trusted_network = true`"),
        ("listen = '[::]:0'", "`trusted_network = true`"),
        ("listen = ['127.0.0.1:0', '192.0.2.1:0']", "other hosts"),
        ("batch = 0", "between 1 and 1024"),
        ("batch = 1025", "between 1 and 1024"),
    ] {
        let told = (entry.read)(&settings(toml)).err().expect("refused").to_string();
        assert!(told.contains(words), "{toml}: {told}");
    }
    open("listen = '0.0.0.0:0'\ntrusted_network = true").expect("opens");

    let taken = UdpSocket::bind("127.0.0.1:0").expect("a free port").local_addr().expect("an address");
    let first = open(&format!("listen = '{taken}'")).expect("opens");
    let told = open(&format!("listen = '{taken}'")).err().expect("refused");
    assert!(told.contains(&taken.to_string()), "{told}");
    drop(first);

    let example = settings(entry.example);
    let section = example.get("inputs").and_then(|inputs| inputs.get("udp")).expect("the section");
    let _ = (entry.read)(section).unwrap_or_else(|problems| panic!("{problems}"));
    SenderEntry::find("udp").expect("both directions under one name");
}
