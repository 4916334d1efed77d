//! The input against libzmq, our own senders, old versions of the protocol by hand, and peers that mean harm. Nothing
//! may go without a trace, and a good client must not notice a bad one.

mod support;

use metlog_pipeline::{Input, InputEntry, Reason, Stop};
use metlog_testkit::inlet::Seen;
use metlog_testkit::{Recorder, eventually, sample, settings};
use std::io::{Read, Write};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};
use support::client::{Client, connect};
use support::{PATIENCE, endpoint, insist, open as open_sender};
use tokio::sync::watch;

fn open(toml: &str) -> Result<Box<dyn Input>, String> {
    let entry = InputEntry::find("zmq").expect("there");
    (entry.read)(&settings(toml)).map_err(|problems| problems.to_string())?()
}

/// An input at work.
struct Running {
    recorder: Recorder,
    stop: watch::Sender<bool>,
    thread: JoinHandle<Result<(), String>>,
}

impl Running {
    fn start(toml: &str) -> Self {
        Self::with(toml, Recorder::new())
    }

    fn with(toml: &str, recorder: Recorder) -> Self {
        let input = open(toml).unwrap_or_else(|error| panic!("{error}"));
        let (tell, stop) = Stop::new();
        let inlet = recorder.inlet();
        let thread = std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().build().expect("a runtime");
            runtime.block_on(input.run(inlet, stop))
        });
        Running { recorder, stop: tell, thread }
    }

    fn on(at: &str, more: &str) -> Self {
        Self::start(&format!("bind = '{at}'\n{more}"))
    }

    /// Waits until so many numbered messages have come.
    fn until(&self, count: usize) {
        let there =
            eventually(PATIENCE, || self.recorder.accepted() >= count && numbers(&self.recorder.seen()).len() >= count);
        assert!(there, "{} of {count}", numbers(&self.recorder.seen()).len());
    }

    fn until_received(&self, count: u64) {
        let there = eventually(PATIENCE, || self.recorder.received() >= count);
        assert!(there, "{} of {count}", self.recorder.received());
    }

    /// Stops it; everything it was given must be settled.
    fn stop(self) -> Seen {
        self.stop.send(true).expect("the input listens");
        self.thread.join().expect("no panic").expect("no error");
        let seen = self.recorder.seen();
        assert_eq!((seen.pending, seen.forgotten), (0, 0));
        seen
    }
}

/// The numbers of the messages, without those that only tried the path.
fn numbers(seen: &Seen) -> Vec<u64> {
    seen.accepted.iter().filter_map(|message| sample::number(message)).collect()
}

fn in_order(seen: &Seen, count: u64) {
    assert_eq!(numbers(seen), (0..count).collect::<Vec<_>>());
}

/// Starts a publisher of libzmq and waits until it is heard.
fn publisher(running: &Running, arguments: &[&str]) -> Client {
    let before = running.recorder.received();
    let mut client = Client::start(arguments);
    running.until_received(before + 1);
    client.go();
    assert_eq!(client.line(), "\"sent\"");
    client
}

#[test]
fn metlogs_clients_are_heard() {
    let at = endpoint();
    let running = Running::on(&at, "");
    let client = publisher(&running, &["pub", &at, "--count", "20000"]);
    client.finish();
    running.until(20_000);
    let seen = running.stop();
    in_order(&seen, 20_000);
    assert_eq!(seen.refused, []);
}

#[test]
fn a_topic_goes_before_the_message_and_is_no_part_of_it() {
    let at = endpoint();
    let running = Running::on(&at, "subscribe = ['top', 'other']");
    let client = publisher(&running, &["pub", &at, "--topic", "topic", "--pad", "1000"]);
    running.until(1000);
    client.finish();
    in_order(&running.stop(), 1000);

    let running = Running::on(&at, "subscribe = 'other'");
    let mut silent = connect(&at);
    silent.greet("PUB");
    assert_eq!(silent.frame(), (0, b"\x01other".to_vec()));
    running.stop();
}

#[test]
fn heartbeats_are_answered() {
    let at = endpoint();
    let running = Running::on(&at, "");
    // libzmq hangs up on a peer that does not answer; it would then have sent some to nobody.
    let client = publisher(&running, &["pub", &at, "--heartbeat", "50", "--pause", "100", "--count", "1000"]);
    running.until(1000);
    client.finish();
    in_order(&running.stop(), 1000);

    let running = Running::on(&at, "");
    let mut client = connect(&at);
    client.greet("PUB");
    client.frame();
    client.stream.write_all(b"\x04\x09\x04PING\0\x01ab").expect("sent");
    assert_eq!(client.frame(), (4, b"\x04PONGab".to_vec()));
    running.stop();
}

#[test]
fn a_pusher_is_pulled_from_and_waits_while_the_spool_is_full() {
    let at = endpoint();
    let running = Running::on(&at, "socket = 'pull'");
    running.recorder.set_full(true);
    let client = Client::start(&["push", &at, "--count", "30000", "--pad", "1000"]);
    assert!(eventually(PATIENCE, || running.recorder.seen().full > 5));
    assert_eq!(running.recorder.accepted(), 0);
    let held = running.recorder.seen().pending;
    assert!(held > 0 && held < 2000, "one read at the most waits here: {held}");
    running.recorder.set_full(false);
    running.until(30_000);
    drop(client);
    in_order(&running.stop(), 30_000);
}

#[test]
fn our_senders_are_heard() {
    let at = endpoint();
    let running = Running::on(&at, "");
    let mut plain = open_sender("zmq_pub", &format!("bindstrs = '{at}'\nconnect_wait = '30s'")).expect("opens");
    let mut joined = open_sender("zmq_pub", &format!("bindstrs = '{at}'\nconnect_wait = '30s'\nbatch_frames = true"))
        .expect("opens");
    for batch in 0..10 {
        insist(&mut *plain, sample::lines(batch * 200, 100));
        running.until(batch as usize * 200 + 100);
        insist(&mut *joined, sample::lines(batch * 200 + 100, 100));
        running.until(batch as usize * 200 + 200);
    }
    drop((plain, joined));
    let seen = running.stop();
    let sent: Vec<Vec<u8>> = (0..2000).map(sample::line).collect();
    assert!(seen.accepted == sent, "byte for byte");
    assert_eq!(seen.received(), 2000);
}

#[test]
fn handshakes_are_answered_as_the_original_did() {
    let (at, reply) = (endpoint(), endpoint());
    let running = Running::on(&at, &format!("handshake = '{reply}'"));
    let client = Client::start(&["req", &reply, "--count", "3"]);
    for _ in 0..3 {
        assert_eq!(client.line(), "[\"\"]");
    }
    let toml =
        format!("handshake_bind = '{reply}'\nconnect_bind = '{at}'\nhandshake_timeout = 20000\nconnect_wait = '30s'");
    let mut sender = open_sender("zmq_handshake_pub", &toml).expect("opens");
    sender.send(&sample::lines(0, 100)).expect("the router is there");
    running.until(100);
    drop(sender);

    // libzmq 2: a request, and its answer, in frames of 1.0.
    let mut old = connect(&reply);
    old.stream.write_all(&[1, 0, 1, 1, 1, 0]).expect("sent");
    let mut answer = [0; 14];
    old.stream.read_exact(&mut answer).expect("answered");
    assert_eq!(answer[10..], [1, 1, 1, 0]);
    let seen = running.stop();
    in_order(&seen, 100);
    assert_eq!(seen.received(), 100, "requests are no messages");
}

#[test]
fn the_versions_of_old_clients_are_spoken() {
    let at = endpoint();
    let running = Running::on(&at, "");
    // 1.0, libzmq 2: no identity, one-byte lengths and long ones.
    let mut one = connect(&at);
    one.stream.write_all(&[1, 0]).expect("sent");
    let message = sample::line(0);
    one.stream.write_all(&[0xff]).expect("sent");
    one.stream.write_all(&(message.len() as u64 + 1).to_be_bytes()).expect("sent");
    one.stream.write_all(&[0]).expect("sent");
    one.stream.write_all(&message).expect("sent");
    running.until(1);
    // 2.0, libzmq 3: it publishes once it has been asked.
    let mut two = connect(&at);
    two.stream.write_all(&[0xff, 0, 0, 0, 0, 0, 0, 0, 1, 0x7f, 1, 1, 0, 0]).expect("sent");
    let mut heard = [0; 17];
    two.stream.read_exact(&mut heard).expect("asked");
    assert_eq!(heard[10..], [3, 2, 0, 0, 0, 1, 1]);
    two.send(&sample::line(1));
    running.until(2);
    drop((one, two));
    in_order(&running.stop(), 2);
}

#[cfg(unix)]
#[test]
fn files_work_like_addresses_and_do_not_stay() {
    let path = std::env::temp_dir().join(format!("metlog-zmq-input-{}.sock", std::process::id()));
    let at = format!("ipc://{}", path.display());
    // As a router leaves it that was killed.
    drop(std::os::unix::net::UnixListener::bind(&path).expect("bound"));
    let running = Running::on(&at, "");
    let client = publisher(&running, &["pub", &at]);
    running.until(1000);
    client.finish();
    let taken = open(&format!("bind = '{at}'")).err().expect("in use");
    assert!(taken.contains(&at), "{taken}");
    in_order(&running.stop(), 1000);
    assert!(!path.exists());
}

#[test]
fn several_endpoints_and_many_connections() {
    let (here, there) = (endpoint(), endpoint());
    let running = Running::start(&format!("bind = ['{here}', '{there}']"));
    let mut clients = Vec::new();
    for (round, at) in [&here, &there, &here].into_iter().enumerate() {
        clients.push(publisher(&running, &["pub", at, "--count", "500"]));
        running.until((round + 1) * 500);
    }
    clients.into_iter().for_each(Client::finish);
    let seen = running.stop();
    let mut numbers = numbers(&seen);
    numbers.sort_unstable();
    assert_eq!(numbers, (0..1500).map(|number| number / 3).collect::<Vec<_>>());
}

#[test]
fn publishers_that_bind_are_connected_to_and_found_again() {
    for (kind, socket) in [("pub", "sub"), ("push", "pull")] {
        let at = endpoint();
        let running = Running::start(&format!("connect = '{at}'\nsocket = '{socket}'"));
        for round in 1..=2 {
            let client = match kind {
                "pub" => publisher(&running, &["pub", &at, "--bind"]),
                _ => Client::start(&["push", &at, "--bind"]),
            };
            running.until(round * 1000);
            // Gone without a word, as a host that lost its power.
            drop(client);
        }
        let seen = running.stop();
        assert_eq!(numbers(&seen), (0..1000).chain(0..1000).collect::<Vec<_>>(), "{kind}");
        assert_eq!(seen.refused, []);
    }
}

#[test]
fn our_own_sender_that_binds_is_connected_to() {
    let at = endpoint();
    let running = Running::start(&format!("connect = '{at}'"));
    let mut sender =
        open_sender("zmq_pub", &format!("bindstrs = '{at}'\nconnect_wait = '30s'\nbind = true")).expect("opens");
    insist(&mut *sender, sample::lines(0, 500));
    running.until(500);
    drop(sender);
    in_order(&running.stop(), 500);
}

#[test]
fn a_stop_takes_what_is_under_way() {
    let at = endpoint();
    let running = Running::on(&at, "socket = 'pull'");
    running.recorder.set_full(true);
    let mut client = connect(&at);
    client.greet("PUSH");
    client.send(&sample::line(0));
    assert!(eventually(PATIENCE, || running.recorder.seen().full > 0));
    // These stay with the system, and the last one is not whole.
    for number in 1..1000 {
        client.send(&sample::line(number));
    }
    client.stream.write_all(&[0, 200, b'{']).expect("sent");
    running.recorder.set_full(false);
    let seen = running.stop();
    in_order(&seen, 1000);
    assert_eq!((seen.received(), seen.count(Reason::Truncated)), (1001, 1));
    client.closed();
}

#[test]
fn a_stop_does_not_wait_for_room() {
    let at = endpoint();
    let running = Running::on(&at, "socket = 'pull'");
    running.recorder.set_full(true);
    let mut client = connect(&at);
    client.greet("PUSH");
    client.send(&sample::line(0));
    assert!(eventually(PATIENCE, || running.recorder.seen().full > 0));
    let seen = running.stop();
    assert_eq!((seen.received(), seen.count(Reason::SpoolFull)), (1, 1));
}

#[test]
fn absurd_lengths_end_their_connection_and_nothing_else() {
    let at = endpoint();
    let running = Running::on(&at, "max_message = '10 KiB'");
    let mut good = connect(&at);
    good.greet("PUB");
    let lengths = [1_u64 << 63, 1 << 62, 1 << 40, 1 << 33, 10 * 1024 + 1, u64::MAX];
    for (round, length) in lengths.into_iter().enumerate() {
        let mut bad = connect(&at);
        bad.greet("PUB");
        bad.send(&sample::line(2 * round as u64));
        bad.stream.write_all(&[2]).expect("sent");
        bad.stream.write_all(&length.to_be_bytes()).expect("sent");
        bad.closed();
        good.send(&sample::line(2 * round as u64 + 1));
        running.until(2 * round + 2);
    }
    let seen = running.stop();
    in_order(&seen, 12);
    assert_eq!((seen.received(), seen.count(Reason::TooLarge)), (18, 6));
    assert!(seen.refused[0].why.contains("9223372036854775808 bytes"), "{}", seen.refused[0].why);
}

#[test]
fn tiny_frames_and_torn_ones_are_accounted_for() {
    let at = endpoint();
    let running = Running::on(&at, "");
    let mut tiny = connect(&at);
    tiny.greet("PUB");
    tiny.stream.write_all(&[0; 20_000]).expect("sent");
    tiny.stream.write_all(&[0, 1, b'{'].repeat(10_000)).expect("sent");
    running.until_received(20_000);
    // Both read their subscription first: a system that closes over something unread takes back what it sent.
    let mut torn = connect(&at);
    torn.greet("PUB");
    torn.frame();
    torn.send(&sample::line(0));
    torn.stream.write_all(&[2, 0, 0, 0, 0, 0, 1, 0, 0, b'{']).expect("sent");
    drop(torn);
    running.until_received(20_002);
    // Between two frames of one message.
    let mut half = connect(&at);
    half.greet("PUB");
    half.frame();
    half.stream.write_all(&[1, 1, b't']).expect("sent");
    drop(half);
    running.until_received(20_003);
    drop(tiny);
    let seen = running.stop();
    in_order(&seen, 1);
    assert_eq!((seen.count(Reason::Malformed), seen.count(Reason::Truncated), seen.received()), (20_000, 2, 20_003));
}

#[test]
fn more_large_messages_at_a_time_than_may_be_held_all_arrive() {
    let at = endpoint();
    let running = Running::on(&at, "");
    // As many again as there are passes for messages of this size, none of them whole.
    let large = |number: u64| {
        let mut message = sample::line(number);
        message.pop();
        message.resize(300_000, b' ');
        message.push(b'}');
        message
    };
    let mut clients: Vec<_> = (0..128).map(|_| connect(&at)).collect();
    for (number, client) in clients.iter_mut().enumerate() {
        client.greet("PUB");
        client.stream.write_all(&[&[2][..], &300_001_u64.to_be_bytes()].concat()).expect("sent");
        client.stream.write_all(&large(number as u64)[..200_000]).expect("sent");
    }
    let mut small = connect(&at);
    small.greet("PUB");
    small.send(&sample::line(128));
    running.until(1);
    // A client whose turn has not come gets its rest away only when it has.
    let rests = clients.into_iter().enumerate().map(|(number, mut client)| {
        std::thread::spawn(move || {
            client.stream.write_all(&large(number as u64)[200_000..]).expect("sent");
            client
        })
    });
    let rests: Vec<_> = rests.collect();
    running.until(129);
    rests.into_iter().for_each(|rest| drop(rest.join().expect("sent")));
    let seen = running.stop();
    let mut numbers = numbers(&seen);
    numbers.sort_unstable();
    assert_eq!(numbers, (0..129).collect::<Vec<_>>());
    assert_eq!(seen.received(), 129);
}

#[test]
fn those_who_do_not_shake_hands_are_no_burden() {
    let at = endpoint();
    let running = Running::on(&at, "max_connections = 20");
    let mut first = connect(&at);
    first.greet("PUB");
    let opened = Instant::now();
    let mut slow = connect(&at);
    slow.stream.write_all(&[0xff, 0, 0]).expect("sent");
    // More than there are seats, again and again; the good one among them gets one each time.
    for round in 0..10 {
        let flood: Vec<_> = (0..60).map(|_| connect(&at)).collect();
        let mut good = connect(&at);
        good.greet("PUB");
        good.send(&sample::line(2 * round));
        running.until(2 * round as usize + 1);
        first.send(&sample::line(2 * round + 1));
        running.until(2 * round as usize + 2);
        drop(flood);
    }
    slow.closed();
    // With seats to spare, one that says half a greeting is waited for, but not for ever.
    let mut slow = connect(&at);
    slow.stream.write_all(&[0xff, 0, 0]).expect("sent");
    let began = Instant::now();
    slow.closed();
    assert!(began.elapsed() > Duration::from_secs(9) && opened.elapsed() < PATIENCE);
    first.send(&sample::line(20));
    running.until(21);
    let seen = running.stop();
    assert_eq!(seen.received(), 21);
    in_order(&seen, 21);
}

#[test]
fn strangers_are_turned_away_in_order() {
    let at = endpoint();
    let running = Running::on(&at, "");
    for wrong in ["REQ", "PUSH", "SUB", "", "NONSENSE"] {
        let mut peer = connect(&at);
        peer.greet(wrong);
        peer.closed();
    }
    for nonsense in [&b"GET / HTTP/1.1\r\n\r\n"[..], &[0xff; 64], &[0; 64], b"{\"type\":\"x\"}\n"] {
        let mut peer = connect(&at);
        peer.stream.write_all(nonsense).expect("sent");
        peer.stream.shutdown(std::net::Shutdown::Write).expect("ended");
        peer.closed();
    }
    let mut good = connect(&at);
    good.greet("PUB");
    good.send(&sample::line(0));
    running.until(1);
    let seen = running.stop();
    assert!((5..=9).contains(&seen.turned_away), "{} were turned away", seen.turned_away);
    in_order(&seen, 1);
}

#[test]
fn settings_are_checked() {
    for (toml, words) in [
        ("bind = 'tcp://0.0.0.0:5565'", "test.toml:1:1: `bind` is `tcp://0.0.0.0:5565`, which other hosts can reach"),
        ("bind = 'tcp://0.0.0.0:5565'", "`trusted_network = true`"),
        ("bind = 'tcp://*:5565'", "`trusted_network = true`"),
        ("bind = ['tcp://127.0.0.1:5565', 'tcp://192.0.2.1:5565']", "other hosts"),
        ("handshake = 'tcp://[::]:5564'", "`handshake`"),
        ("bind = '127.0.0.1:5565'", "tcp://127.0.0.1:5565"),
        ("connect = 'inproc://x'", "`connect`"),
        ("subscribe = []", "means everything"),
        ("socket = 'pub'", "pull"),
        ("max_connections = 0", "test.toml:1:1: `max_connections` is 0"),
        ("socket = 'pull'\nmax_message = 0", "test.toml:2:1: `max_message` is 0"),
    ] {
        let told = open(toml).err().expect("refused");
        assert!(told.contains(words), "{toml}: {told}");
    }
    let name = settings("bind = 'tcp://no-such-host.invalid:5565'");
    let opener = (InputEntry::find("zmq").expect("there").read)(&name).expect("nobody was asked yet");
    let told = opener().err().expect("refused");
    assert!(told.contains("`bind` is `tcp://no-such-host.invalid:5565`: "), "{told}");
    let at = endpoint();
    let input = open(&format!("bind = '{at}'\nconnect = 'tcp://127.0.0.1:1'")).expect("opens");
    assert_eq!(input.place(), format!("{at}, connected to tcp://127.0.0.1:1"));
    let told = open(&format!("bind = '{at}'")).err().expect("in use");
    assert!(told.contains(&at), "{told}");
    open(&format!("bind = '{}'\ntrusted_network = true", endpoint().replace("127.0.0.1", "*"))).expect("opens");

    let entry = InputEntry::find("zmq").expect("there");
    let example = settings(entry.example);
    let section = example.get("inputs").and_then(|inputs| inputs.get("zmq")).expect("the section");
    let _ = (entry.read)(section).unwrap_or_else(|problems| panic!("{problems}"));
}
