//! No room: at the spool's own cap, at what has to stay free on its disk, and on a disk that is really full. Whoever can
//! wait waits, whoever cannot is counted, and when there is room again everything goes on.
//!
//! The disks are small ones in memory, where a namespace of our own may mount them.

mod program;
mod stage;

use metlog_testkit::http::{Answer, HttpPeer, Request};
use program::{Program, inputs};
use socket2::{Domain, Socket, Type};
use stage::{Directory, eventually, message_of, number};
use std::collections::BTreeMap;
use std::io::Write;
use std::net::{SocketAddr, TcpStream, UdpSocket};
use std::process::Command;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::SeqCst};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

/// Says to this program that it has a namespace in which it may mount.
const INSIDE: &str = "METLOG_MAY_MOUNT";
const CYCLES: u64 = 5;

/// What is in the way.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Limit {
    /// `spool.max_bytes`
    Cap,
    /// `spool.free_floor`
    Floor,
    /// The disk itself.
    Disk,
}

impl Limit {
    fn settings(self) -> &'static str {
        match self {
            Limit::Cap => "[spool]\nmax_bytes = '1 MiB'\n",
            Limit::Floor => "[spool]\nfree_floor = '512 KiB'\nsegment_bytes = '128 KiB'\n",
            Limit::Disk => "[spool]\nfree_floor = '0 B'\nsegment_bytes = '128 KiB'\n",
        }
    }

    /// What `/health/ready` says.
    fn why(self) -> &'static [&'static str] {
        match self {
            Limit::Cap => &["spool.max_bytes", "waiting for out"],
            Limit::Floor => &["spool.free_floor"],
            Limit::Disk => &["spool"],
        }
    }
}

/// Does something under each limit; under those of a disk in a namespace of its own, where this test is run again.
fn under_each_limit(test: &str, run: impl Fn(Limit)) {
    if std::env::var_os(INSIDE).is_some() {
        run(Limit::Floor);
        return run(Limit::Disk);
    }
    let program = std::env::current_exe().expect("a path");
    let place = env!("CARGO_TARGET_TMPDIR");
    let again = format!(
        "mount -t tmpfs none {place:?} && umount {place:?} || exit 77; exec {program:?} --exact {test} --nocapture"
    );
    let inside =
        |more: &[&str]| Command::new("unshare").args(more).args(["-m", "sh", "-c", &again]).env(INSIDE, "yes").output();
    let tried = [&["-U", "-r"][..], &[]].into_iter().filter_map(|more| inside(more).ok());
    let mut ran = tried.filter(|output| matches!(output.status.code(), Some(0 | 101)));
    match ran.next() {
        Some(output) if output.status.success() => {}
        Some(output) => {
            panic!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr))
        }
        // Not by `println`, which shows nothing of a test that passes.
        None => {
            let note = format!("skipped: {test} on a small disk, since nothing can be mounted here\n");
            std::io::stderr().write_all(note.as_bytes()).expect("written");
        }
    }
    run(Limit::Cap);
}

/// A router whose data is where there is little room.
struct Cramped {
    program: Option<Program>,
    mounted: Option<std::path::PathBuf>,
}

impl Cramped {
    fn start(limit: Limit, config: &str) -> Cramped {
        let directory = Directory::new();
        let data = directory.0.join("metlog-data");
        std::fs::create_dir(&data).unwrap();
        let mounted = (limit != Limit::Cap).then_some(data);
        if let Some(data) = &mounted {
            let mount =
                Command::new("mount").args(["-t", "tmpfs", "-o", "size=1536k,mode=700", "none"]).arg(data).status();
            assert!(mount.unwrap().success());
        }
        let config = inputs() + limit.settings() + config;
        Cramped { program: Some(Program::start_in(directory, &config)), mounted }
    }

    fn stop(mut self) {
        let directory = self.program.take().expect("once").stop();
        drop(self);
        drop(directory);
    }
}

impl std::ops::Deref for Cramped {
    type Target = Program;
    fn deref(&self) -> &Program {
        self.program.as_ref().expect("until the stop")
    }
}

impl Drop for Cramped {
    fn drop(&mut self) {
        if let Some(data) = &self.mounted {
            let _ = Command::new("umount").arg("-l").arg(data).status();
        }
    }
}

/// An endpoint that comes and goes, and what it got: numbers by type, in order.
struct Neighbour {
    http: HttpPeer,
    got: Arc<Mutex<BTreeMap<String, Vec<u64>>>>,
}

impl Neighbour {
    fn new() -> Neighbour {
        let got: Arc<Mutex<BTreeMap<String, Vec<u64>>>> = Arc::default();
        let kept = got.clone();
        let http = HttpPeer::new(move |request: &Request| {
            let mut kept = kept.lock().unwrap();
            for line in String::from_utf8_lossy(&request.body).lines() {
                let kind = line.split('"').nth(3).expect("a type").to_owned();
                kept.entry(kind).or_default().push(number(line));
            }
            Answer::new(200, "{}")
        });
        Neighbour { http, got }
    }

    fn endpoint(&self, name: &str, more: &str) -> String {
        let url = self.http.url();
        format!(
            "[endpoints.{name}]\ntype = 'http'\nurl = '{url}'\ncompress = 'none'\nretry_min = '10ms'\nretry_max = '100ms'\n{more}\n"
        )
    }

    fn got(&self, kind: &str) -> Vec<u64> {
        self.got.lock().unwrap().get(kind).cloned().unwrap_or_default()
    }
}

/// A message of about a kilobyte.
fn large(kind: &str, n: u64) -> String {
    message_of(kind, 6, n).replace(r#""payload":"m""#, &format!(r#""payload":"{}""#, "m".repeat(800)))
}

fn batch(kind: &str, range: std::ops::Range<u64>) -> Vec<u8> {
    range.flat_map(|n| (large(kind, n) + "\n").into_bytes()).collect()
}

/// Posts until there is no room, not even for one: the number behind the last one that was taken, and the answer.
fn fill(program: &Program, from: u64) -> (u64, program::Answer) {
    let mut next = from;
    for size in [50, 1] {
        loop {
            assert!(next < from + 5000, "it is never full");
            let answer = program.post(&batch("post", next..next + size));
            match answer.status {
                200 => next += size,
                _ if size == 1 => return (next, answer),
                _ => break,
            }
        }
    }
    unreachable!("the last loop returns")
}

/// Sends without a pause until it is told to stop; the system's buffers are kept small, so that it is held back soon.
struct Sender {
    sent: Arc<AtomicU64>,
    stop: Arc<AtomicBool>,
    thread: std::thread::JoinHandle<()>,
}

impl Sender {
    fn start(program: &Program, from: u64) -> Sender {
        let (sent, stop) = (Arc::new(AtomicU64::new(from)), Arc::new(AtomicBool::default()));
        let socket = Socket::new(Domain::IPV4, Type::STREAM, None).unwrap();
        socket.set_send_buffer_size(16 * 1024).unwrap();
        socket.connect(&program.place("tcp").parse::<SocketAddr>().unwrap().into()).unwrap();
        let mut stream = TcpStream::from(socket);
        let (so_far, over) = (sent.clone(), stop.clone());
        let thread = std::thread::spawn(move || {
            while !over.load(SeqCst) {
                let next = so_far.load(SeqCst);
                stream.write_all(&batch("stream", next..next + 1)).expect("the connection stays");
                so_far.store(next + 1, SeqCst);
            }
        });
        Sender { sent, stop, thread }
    }

    fn sent(&self) -> u64 {
        self.sent.load(SeqCst)
    }

    /// Ends with a whole message: how many it has sent.
    fn finish(self) -> u64 {
        self.stop.store(true, SeqCst);
        self.thread.join().expect("no panic");
        self.sent.load(SeqCst)
    }
}

fn whole(kind: &str, got: &[u64], acknowledged: u64) {
    assert_eq!(got, (0..acknowledged).collect::<Vec<_>>(), "{kind}: all of them, once, in order");
}

#[test]
fn a_full_spool_holds_back_refuses_and_counts_and_goes_on_when_there_is_room() {
    under_each_limit("a_full_spool_holds_back_refuses_and_counts_and_goes_on_when_there_is_room", |limit| {
        let mut out = Neighbour::new();
        let program = Cramped::start(limit, &out.endpoint("out", ""));
        let (mut posted, mut streamed) = (0, 0);
        for cycle in 0..CYCLES {
            out.http.stop();
            let (next, refusal) = fill(&program, posted);
            assert!(next > posted + 100, "{limit:?}, cycle {cycle}: only {} messages fit", next - posted);
            posted = next;
            assert_eq!(refusal.status, 503, "{refusal:?}");
            assert!(refusal.head.contains("\r\nretry-after: 1\r\n"), "{refusal:?}");
            let ready = program.ask("/health/ready");
            assert_eq!(ready.status, 503, "{ready:?}");
            assert!(limit.why().iter().all(|word| ready.body.contains(word)), "{ready:?}");
            assert_eq!(program.ask("/health/live").status, 200);

            let sender = Sender::start(&program, streamed);
            let mut before = u64::MAX;
            eventually("the sender is held back", || {
                std::thread::sleep(Duration::from_millis(100));
                std::mem::replace(&mut before, sender.sent()) == sender.sent()
            });

            let dropped = program.refused("udp", "spool_full");
            let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
            for n in 0..20 {
                socket.send_to(large("datagram", n).as_bytes(), program.place("udp")).unwrap();
            }
            eventually("datagrams are counted", || program.refused("udp", "spool_full") == dropped + 20);
            program.balanced();

            out.http.start();
            let began = Instant::now();
            eventually("it takes messages again", || program.post(&batch("post", posted..posted + 1)).status == 200);
            posted += 1;
            eventually("it says so", || program.ask("/health/ready").status == 200);
            eventually("the sender goes on", || sender.sent() > before + 50);
            assert!(began.elapsed() < Duration::from_secs(2), "{limit:?}, cycle {cycle}: after {:?}", began.elapsed());
            streamed = sender.finish();
            eventually("all is delivered", || {
                out.got("post").len() as u64 >= posted && out.got("stream").len() as u64 >= streamed
            });
            eventually("the account agrees", || program.metric("metlog_buffered{endpoint=\"out\"}") == 0);
            program.balanced();
        }
        whole("post", &out.got("post"), posted);
        whole("stream", &out.got("stream"), streamed);
        assert_eq!(out.got("datagram"), [0; 0]);
        assert_eq!(program.accepted("http"), posted);
        assert_eq!(program.refused("tcp", "spool_full"), 0, "who can wait loses nothing");
        program.stop();
    });
}

#[test]
fn an_endpoint_that_need_not_have_everything_is_skipped_and_the_router_goes_on() {
    under_each_limit("an_endpoint_that_need_not_have_everything_is_skipped_and_the_router_goes_on", |limit| {
        let mut loose = Neighbour::new();
        let all = Neighbour::new();
        let program = Cramped::start(limit, &(all.endpoint("all", "") + &loose.endpoint("loose", "required = false")));
        let dropped = || program.metric("metlog_dropped_total{endpoint=\"loose\"}");
        let mut posted = 0;
        for cycle in 0..CYCLES {
            loose.http.stop();
            let before = dropped();
            // Twice what there is room for.
            for _ in 0..40 {
                // The required one may be a moment behind.
                eventually("it is taken", || program.post(&batch("post", posted..posted + 50)).status == 200);
                posted += 50;
            }
            eventually("the other one has all", || program.delivered("all") == posted);
            let skipped = dropped() - before;
            assert!((500..2000).contains(&skipped), "{limit:?}, cycle {cycle}: {skipped} skipped");
            program.balanced();
            loose.http.start();
            eventually("the rest is delivered", || program.metric("metlog_buffered{endpoint=\"loose\"}") == 0);
            assert_eq!(program.delivered("loose") + dropped(), posted);
            assert_eq!(program.ask("/health/ready").status, 200);
        }
        whole("post", &all.got("post"), posted);
        let got = loose.got("post");
        assert_eq!(got.len() as u64, posted - dropped());
        assert!(got.is_sorted_by(|one, next| one < next), "in order, none twice");
        assert_eq!(got.last(), Some(&(posted - 1)), "the oldest are skipped, not the newest");
        program.stop();
    });
}
