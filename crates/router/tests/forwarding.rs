//! Router to router in one process: an outage of an hour by a clock that is played, a spool that gets full meanwhile,
//! routers in a row and in a circle, refusals, and whoever pretends to be a router.

mod program;
mod stage;

use metlog_http::server::keys::Hash;
use metlog_router::deliver::Clock;
use program::{free_port, request};
use stage::{Directory, Running, Script, dead_letters, eventually, message, message_of, plan};
use std::io::{BufRead, BufReader, Write};
use std::net::{Shutdown, TcpListener, TcpStream, UdpSocket};
use std::sync::atomic::{AtomicBool, Ordering::SeqCst};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

const TCP: &str = "[inputs.tcp]\nlisten = '127.0.0.1:0'\n";

fn web(port: u16) -> String {
    format!("[inputs.web]\ntype = 'http'\ndialects = ['http']\nlisten = '127.0.0.1:{port}'\n")
}

fn script(name: &str) -> String {
    format!("[endpoints.{name}]\ntype = 'scripted'\nname = '{name}'\n")
}

/// An endpoint that forwards to this port.
fn to(name: &str, port: u16) -> String {
    format!("[endpoints.{name}]\ntype = 'router'\nurl = 'http://127.0.0.1:{port}'\nbatch_wait = '5ms'\n")
}

const SOON: &str = "retry_min = '5ms'\nretry_max = '50ms'\n";

fn delivered(running: &Running, endpoint: &str) -> u64 {
    let account = running.account();
    account.endpoints.iter().find(|line| line.name == endpoint).expect("configured").counts.delivered
}

fn numbers(range: std::ops::Range<u64>) -> Vec<u64> {
    range.collect()
}

/// Takes connections and ends them, and notes when, until it is dropped.
struct Dead {
    port: u16,
    at: Arc<Mutex<Vec<Instant>>>,
    over: Arc<AtomicBool>,
    thread: Option<std::thread::JoinHandle<()>>,
}

impl Dead {
    fn new(clock: &Clock) -> Dead {
        let port = free_port();
        let listener = TcpListener::bind(("127.0.0.1", port)).unwrap();
        let (at, over) = (Arc::<Mutex<Vec<Instant>>>::default(), Arc::<AtomicBool>::default());
        let (tries, ended, clock) = (at.clone(), over.clone(), clock.clone());
        let thread = std::thread::spawn(move || {
            for connection in listener.incoming() {
                if ended.load(SeqCst) {
                    return;
                }
                drop(connection);
                tries.lock().unwrap().push(clock.now());
            }
        });
        Dead { port, at, over, thread: Some(thread) }
    }
}

impl Drop for Dead {
    fn drop(&mut self) {
        self.over.store(true, SeqCst);
        let _ = TcpStream::connect(("127.0.0.1", self.port));
        self.thread.take().unwrap().join().unwrap();
    }
}

#[test]
fn after_an_hour_of_outage_everything_arrives_and_nobody_was_pestered() {
    const HOUR: Duration = Duration::from_secs(3600);
    const STEP: Duration = Duration::from_secs(5);
    // What every endpoint has if nothing else is said.
    const LONGEST: Duration = Duration::from_secs(30);
    const ROOM: u64 = 64 << 20;
    let (edge_at, central_at) = (Directory::new(), Directory::new());
    let clock = Clock::played();
    let dead = Dead::new(&clock);
    let port = dead.port;
    let text = format!("[spool]\nmax_bytes = '{ROOM} B'\nsegment_bytes = '256 KiB'\n{TCP}{}", to("central", port));
    let edge = Running::try_start_by(&plan(&edge_at, &text), clock.clone()).unwrap();
    let began = clock.now();
    let mut sent = 0;
    while clock.now() - began < HOUR {
        edge.send("tcp", (sent..sent + 40).map(message));
        sent += 40;
        eventually("the deliverer waits", || clock.resting() == 1);
        clock.advance(STEP);
    }
    let tries = dead.at.lock().unwrap().clone();
    drop(dead);
    let gaps: Vec<Duration> = tries.windows(2).map(|pair| pair[1] - pair[0]).collect();
    let longest = gaps.iter().max().expect("several tries");
    // A try shows with the step of the clock behind its time; the machine's own time comes on top.
    assert!(*longest <= LONGEST + 2 * STEP + Duration::from_secs(10), "{longest:?} between two tries");
    assert!((60..=400).contains(&tries.len()), "{} tries in an hour", tries.len());
    let late = gaps.iter().skip(gaps.len() / 2);
    assert!(late.clone().all(|gap| *gap >= LONGEST / 2 - STEP), "it settles at the longest: {gaps:?}");
    let line = edge.balanced().endpoints.remove(0);
    assert_eq!((line.buffered, line.counts.delivered), (sent, 0));
    let bytes = edge.router.floor.spool.status().bytes;
    assert!(bytes > sent * 100 && bytes < sent * 400 && bytes < ROOM, "{bytes} bytes for {sent} messages");

    let arrived = Script::named("after-the-hour");
    let central = Running::start(&central_at, &(web(port) + &script("after-the-hour")));
    eventually("everything", || {
        clock.advance(STEP);
        arrived.count() as u64 >= sent
    });
    assert_eq!(arrived.numbers(), numbers(0..sent));
    eventually("settled", || edge.balanced().endpoints[0].counts.delivered == sent);
    assert_eq!(central.balanced().inputs["web"].counts.accepted, sent);
    assert_eq!(edge.stop(), Default::default());
    central.stop();
}

#[test]
fn a_spool_that_gets_full_meanwhile_holds_who_can_wait_and_counts_who_cannot() {
    let (edge_at, central_at) = (Directory::new(), Directory::new());
    let port = free_port();
    let text = format!(
        "[spool]\nmax_bytes = '1 MiB'\nsegment_bytes = '128 KiB'\n[inputs.tcp]\nlisten = '127.0.0.1:0'\nack = true\n\
         [inputs.udp]\nlisten = '127.0.0.1:0'\n{}{SOON}",
        to("central", port)
    );
    let edge = Running::start(&edge_at, &text);
    let (acknowledged, all) = (Arc::new(Mutex::new(0_u64)), 12_000);
    let (port_of_tcp, counted) = (edge.port("tcp"), acknowledged.clone());
    // Nobody waits for these two: they are held up on purpose.
    std::thread::spawn(move || {
        let mut stream = TcpStream::connect(("127.0.0.1", port_of_tcp)).unwrap();
        let answers = BufReader::new(stream.try_clone().unwrap());
        std::thread::spawn(move || {
            for line in answers.lines().map_while(Result::ok) {
                let rest = line.strip_prefix("{\"accepted\":").unwrap_or_else(|| panic!("{line}"));
                *counted.lock().unwrap() = rest.split([',', '}']).next().unwrap().parse().unwrap();
            }
        });
        for start in (0..all).step_by(100) {
            let text: String = (start..start + 100).flat_map(|n| [message_of("tcp", 6, n), "\n".into()]).collect();
            stream.write_all(text.as_bytes()).unwrap();
        }
        stream.shutdown(Shutdown::Write).unwrap();
    });
    eventually("no room", || edge.router.floor.refusing.lock().unwrap().is_some());
    let places = edge.router.places();
    let (_, udp) = places.iter().find(|(name, _)| name == "udp").unwrap();
    let port_of_udp = udp.split_once(':').unwrap().1;
    let digits = port_of_udp.find(|digit: char| !digit.is_ascii_digit()).unwrap_or(port_of_udp.len());
    let port_of_udp: u16 = port_of_udp[..digits].parse().unwrap_or_else(|_| panic!("{udp}"));
    let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
    eventually("one that cannot wait is counted", || {
        let _ = socket.send_to(message_of("udp", 6, 0).as_bytes(), ("127.0.0.1", port_of_udp));
        edge.account().inputs["udp"].counts.refused.iter().sum::<u64>() > 20
    });
    let (held, bytes) = (*acknowledged.lock().unwrap(), edge.router.floor.spool.status().bytes);
    assert!(held < all && bytes <= 1 << 20, "{held} of {all} in {bytes} bytes");
    edge.balanced();

    let arrived = Script::named("after-the-flood");
    let central = Running::start(&central_at, &(web(port) + &script("after-the-flood")));
    eventually("everything that was accepted", || {
        let taken = edge.account().inputs.values().map(|line| line.counts.accepted).sum::<u64>();
        *acknowledged.lock().unwrap() == all && taken == arrived.count() as u64
    });
    let got = arrived.got.lock().unwrap().clone();
    let of_tcp: Vec<u64> =
        got.iter().filter(|(_, text)| text.contains(r#""type":"tcp""#)).map(|(_, text)| stage::number(text)).collect();
    assert_eq!(of_tcp, numbers(0..all));
    central.balanced();
    eventually("settled", || edge.balanced().endpoints[0].buffered == 0);
    edge.stop();
}

#[test]
fn three_routers_in_a_row_pass_on_every_byte_and_know_each_other() {
    let places = [Directory::new(), Directory::new(), Directory::new()];
    let (regional_port, central_port) = (free_port(), free_port());
    let arrived = Script::named("at-the-end");
    let central = Running::start(&places[2], &(web(central_port) + &script("at-the-end")));
    let between = web(regional_port) + &to("central", central_port) + SOON;
    let regional = Running::start(&places[1], &between);
    let edge = Running::start(&places[0], &(TCP.to_owned() + &to("regional", regional_port) + SOON));
    let numbered = |n: u64| {
        let message = message(n);
        format!(r#"{},"metlog_client":"c1","metlog_seq":{n}}}"#, message.strip_suffix('}').unwrap())
    };
    edge.send("tcp", (1..1001).map(numbered));
    eventually("half", || arrived.count() == 1000);
    // One in the middle is replaced by itself; who was before it goes on where they were.
    regional.stop();
    edge.send("tcp", (1001..2001).map(numbered));
    let regional = Running::start(&places[1], &between);
    eventually("all", || arrived.count() == 2000);
    let got = arrived.got.lock().unwrap().clone();
    assert!((1..).zip(&got).all(|(n, (_, text))| *text == numbered(n)), "not a byte changed");
    let from = central.router.floor.clients.all(1).remove(0).from;
    let number = |running: &Running| metlog_http::forward::number(running.router.floor.identity);
    assert_eq!(&*from, format!("input web, from router {}/central", number(&regional)));
    // What came over two routers says so to the third one.
    let frames = central.router.floor.spool.recent(0, usize::MAX);
    let passed: Vec<&str> =
        frames.iter().filter_map(|frame| metlog_router::forwards::passed(frame.batch.noted())).collect();
    let way = [number(&edge), number(&regional)];
    assert!(!passed.is_empty() && passed.iter().all(|passed| *passed == way.join(",")), "{passed:?} {way:?}");
    for running in [edge, regional, central] {
        eventually("settled", || running.balanced().endpoints[0].buffered == 0);
        running.stop();
    }
}

#[test]
fn a_circle_ends_where_it_began_and_everything_else_goes_on() {
    let places = [Directory::new(), Directory::new()];
    let ports = [free_port(), free_port()];
    let (at_one, at_two) = (Script::named("circle-one"), Script::named("circle-two"));
    let one = TCP.to_owned() + &web(ports[0]) + &script("circle-one") + &to("two", ports[1]) + SOON;
    let two = TCP.to_owned() + &web(ports[1]) + &script("circle-two") + &to("one", ports[0]) + SOON;
    let one = Running::start(&places[0], &one);
    let two = Running::start(&places[1], &two);
    one.send("tcp", (0..500).map(|n| message_of("one", 6, n)));
    two.send("tcp", (0..300).map(|n| message_of("two", 6, n)));
    let dead = |running: &Running| running.account().endpoints[1].counts.dead;
    eventually("what went round is put aside", || dead(&one) == 300 && dead(&two) == 500);
    assert_eq!((delivered(&one, "two"), delivered(&two, "one")), (500, 300));
    assert_eq!((at_one.count(), at_two.count()), (800, 800), "everywhere once");
    let loops = one.router.floor.forwards.totals().loops + two.router.floor.forwards.totals().loops;
    assert!((1..10).contains(&loops), "asked {loops} times, not for each message");
    one.balanced();
    one.stop();
    two.stop();
    let letters = dead_letters(&places[1]);
    assert!(letters.iter().all(|letter| letter.contains("a loop")), "{:?}", letters.first());
}

#[test]
fn one_that_leads_to_itself_is_held_and_says_so() {
    let place = Directory::new();
    let port = free_port();
    let arrived = Script::named("itself");
    let text = TCP.to_owned() + &web(port) + &script("itself") + &to("me", port) + "retry_max = '100ms'\n";
    let mut running = Running::start(&place, &text);
    running.send("tcp", (0..10).map(message));
    eventually("it says so", || {
        running.account().endpoints[1].state.error.as_ref().is_some_and(|why| why.contains("leads back to this router"))
    });
    assert_eq!((arrived.count(), running.balanced().endpoints[1].buffered), (10, 10));
    let left = running.stop_within(Duration::from_secs(1));
    assert_eq!(left.waiting["me"], 10);
}

#[test]
fn what_the_other_one_refuses_is_kept_here_with_its_words() {
    let (edge_at, central_at) = (Directory::new(), Directory::new());
    let port = free_port();
    let arrived = Script::named("narrow");
    let central = "message_bytes = '2 KiB'\n".to_owned() + &web(port) + &script("narrow");
    let central = Running::start(&central_at, &central);
    let edge = Running::start(&edge_at, &(TCP.to_owned() + &to("central", port) + SOON));
    let large = |n: u64| message(n).replace(r#""m""#, &format!("{:?}", "x".repeat(3000)));
    edge.send("tcp", (0..1000).map(|n| if n % 250 == 7 { large(n) } else { message(n) }));
    eventually("all have a verdict", || edge.balanced().endpoints[0].buffered == 0);
    let counts = edge.account().endpoints[0].counts;
    assert_eq!((counts.delivered, counts.dead), (996, 4));
    eventually("all arrive", || arrived.count() == 996);
    assert!(arrived.numbers().windows(2).all(|pair| pair[0] < pair[1]), "in order");
    let refused = central.balanced().inputs["web"].counts.refused.iter().sum::<u64>();
    assert_eq!(refused, 4);
    edge.stop();
    central.stop();
    let letters = dead_letters(&edge_at);
    assert_eq!(letters.len(), 4);
    assert!(letters[0].contains("2048") && letters[0].contains(r#""from":"endpoint central""#), "{}", letters[0]);
    assert_eq!(dead_letters(&central_at), Vec::<String>::new(), "they are in one place");
}

#[test]
fn whoever_pretends_to_be_a_router_harms_nobody_but_themselves() {
    let directory = Directory::new();
    let port = free_port();
    let arrived = Script::named("pretended");
    let key = |name: &str| format!("[keys.{name}]\nscope = ['ingest']\nhash = '{}'\n", Hash::of(name.as_bytes()));
    let text = web(port) + &script("pretended") + &key("alice") + &key("mallory");
    let central = Running::start(&directory, &text);
    let at = format!("127.0.0.1:{port}");
    let post = |key: &str, from: &str, ids: &str, passed: &str, body: &str| {
        let bearer = format!("Bearer {key}");
        let headers =
            [("Authorization", bearer.as_str()), ("Metlog-From", from), ("Metlog-Ids", ids), ("Metlog-Passed", passed)];
        let headers: Vec<_> = headers.into_iter().filter(|(_, value)| !value.is_empty()).collect();
        let answer = request(&at, "POST /v1/messages", &headers, body.as_bytes()).expect("an answer");
        (answer.status, answer.body)
    };
    let lines = |numbers: std::ops::Range<u64>| numbers.flat_map(|n| [message(n), "\n".into()]).collect::<String>();
    let (a, ten) = ("00000000000000aa", lines(0..10));
    let from = format!("{a}/central");
    // Not one of these is taken, and none takes memory for what it says.
    for (ids, passed) in [
        ("", a),
        ("1*10", ""),
        ("1*9", a),
        ("1*11", a),
        ("1*18446744073709551615", a),
        ("18446744073709551610*10", a),
        ("1,18446744073709551615*9", a),
        ("0*5,0*5", a),
        ("1*10", "x"),
        ("x", a),
        ("1*10,", a),
        (&"1,".repeat(5000), a),
        ("1*10", &format!("{a},").repeat(500)),
    ] {
        let (status, body) = post("alice", &from, ids, passed, &ten);
        assert_eq!(status, 412, "{:.80} {:.80}: {body}", ids, passed);
    }
    for from in ["aa/central", "/", "00000000000000AA/central", "00000000000000aa/", "00000000000000aa/ "] {
        assert_eq!(post("alice", from, "1*10", a, &ten).0, 412, "{from}");
    }
    assert_eq!(post("nobody", &from, "1*10", a, &ten).0, 401);
    assert_eq!(arrived.count(), 0);
    // Somebody else's number does not make their messages old.
    assert_eq!(post("mallory", &from, "1*10", a, &ten), (200, r#"{"accepted":10,"rejected":[]}"#.into()));
    assert_eq!(post("alice", &from, "1*10", a, &ten), (200, r#"{"accepted":10,"rejected":[]}"#.into()));
    let again = (200, r#"{"accepted":10,"duplicates":10,"rejected":[]}"#.into());
    assert_eq!(post("alice", &from, "1*10", a, &ten), again);
    assert_eq!(post("mallory", &from, "18446744073709551600*10", a, &ten).0, 200);
    for number in 0..300 {
        assert_eq!(post("mallory", &format!("{number:016x}/x"), "5", a, &lines(0..1)).0, 200);
    }
    assert_eq!(post("alice", &from, "1*10", a, &ten), again, "known among all those");
    let (status, body) =
        post("mallory", &from, "1*10", &metlog_http::forward::number(central.router.floor.identity), &ten);
    assert!(status == 409 && body.contains("a loop"), "{status} {body}");
    // A bad line in between costs itself, and all bad ones are no bad request.
    let mixed = format!("{}\nrubbish\n{}", message(1), lines(2..3));
    let (status, body) = post("alice", &from, "50*3", a, &mixed);
    assert!(status == 200 && body.starts_with(r#"{"accepted":2,"rejected":[{"index":1,"#), "{body}");
    let (status, body) = post("alice", &from, "60*2", a, "rubbish\nrubbish\n");
    assert!(status == 200 && body.starts_with(r#"{"accepted":0,"#), "{body}");
    eventually("all", || arrived.count() == 10 + 10 + 10 + 300 + 2);
    central.balanced();
    central.stop();
}
