//! Endpoints that go and come back, and one that does to its clients whatever a web server can do: nothing is lost,
//! nothing passes anything else, every message is accounted for.

mod stage;

use metlog_message::Timestamp;
use metlog_pipeline::SendError;
use metlog_testkit::http::{Answer, Close, HttpPeer, Request};
use socket2::SockRef;
use stage::{Directory, Running, Script, dead_letters, eventually, message, message_of, number};
use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering::SeqCst};
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::{Duration, Instant};

const TCP: &str = "[inputs.tcp]\nlisten = '127.0.0.1:0'\n";

fn scripted(name: &str) -> String {
    format!("[endpoints.{name}]\ntype = 'scripted'\nname = '{name}'\nretry_min = '5ms'\nretry_max = '20ms'\n")
}

fn producer(number: u64) -> String {
    format!("producer {number}")
}

/// Three connections that send side by side.
fn produce(running: &Running, each: u64) {
    std::thread::scope(|scope| {
        for at in 0..3 {
            scope.spawn(move || running.send("tcp", (0..each).map(|n| message_of(&producer(at), 6, n))));
        }
    });
}

/// The numbers of each producer, in the order in which they arrived.
fn by_producer<'a>(texts: impl IntoIterator<Item = &'a str>) -> BTreeMap<String, Vec<u64>> {
    let mut all: BTreeMap<String, Vec<u64>> = BTreeMap::new();
    for text in texts {
        all.entry(text.split('"').nth(3).expect("a type").to_owned()).or_default().push(number(text));
    }
    all
}

fn whole_and_in_order(script: &Script, each: u64) {
    let got = script.got.lock().unwrap();
    let found = by_producer(got.iter().map(|(_, text)| text.as_str()));
    for at in 0..3 {
        assert_eq!(found[&producer(at)], (0..each).collect::<Vec<_>>(), "{}", producer(at));
    }
}

#[test]
fn gone_and_back_and_gone_again_while_much_is_coming() {
    const EACH: u64 = 6000;
    let directory = Directory::new();
    let script = Script::named("twice");
    *script.pause.lock().unwrap() = Duration::from_millis(2);
    let running = Running::start(&directory, &format!("{TCP}{}", scripted("twice")));
    std::thread::scope(|scope| {
        scope.spawn(|| produce(&running, EACH));
        for outage in 1..=2 {
            // The second one comes while what the first one held up is still on its way.
            eventually("it delivers", || script.count() > 1000 * outage);
            script.fail(SendError::retry("gone"));
            let before = running.account().endpoints[0].failures;
            eventually("it is tried", || running.account().endpoints[0].failures > before + 5);
            running.balanced();
            script.mend();
        }
    });
    eventually("everything", || script.count() as u64 == 3 * EACH);
    whole_and_in_order(&script, EACH);
    eventually("settled", || running.balanced().endpoints[0].counts.delivered == 3 * EACH);
    running.stop();
}

#[test]
fn one_that_comes_and_goes_all_the_time_gets_everything_once() {
    const EACH: u64 = 500;
    let directory = Directory::new();
    let script = Script::named("flapping");
    let running = Running::start(&directory, &format!("{TCP}{}", scripted("flapping")));
    let over = AtomicBool::default();
    // Sends for as long as it takes to meet enough outages, however slow the machine.
    let sent = std::thread::scope(|scope| {
        scope.spawn(|| {
            let mut random = fastrand::Rng::with_seed(7);
            while !over.load(SeqCst) {
                // Also such that took a part of a batch before they failed.
                script.fail(SendError::Retry { why: "gone".into(), after: None, done: random.usize(0..3) });
                std::thread::sleep(Duration::from_millis(10));
                script.mend();
                std::thread::sleep(Duration::from_millis(random.u64(0..15)));
            }
        });
        let mut sent = 0;
        let met = metlog_testkit::eventually(Duration::from_secs(60), || {
            running.send("tcp", (sent..sent + EACH).map(message));
            sent += EACH;
            running.account().endpoints[0].failures > 10
        });
        let there = metlog_testkit::eventually(Duration::from_secs(60), || script.count() as u64 >= sent);
        over.store(true, SeqCst);
        assert!(met, "only {} outages were met", running.account().endpoints[0].failures);
        assert!(there, "{} of {sent}", script.count());
        sent
    });
    assert_eq!(script.numbers(), (0..sent).collect::<Vec<_>>());
    eventually("settled", || running.balanced().endpoints[0].counts.delivered == sent);
    running.stop();
}

#[test]
fn with_all_of_them_gone_everything_is_kept_for_each() {
    const EACH: u64 = 2000;
    let directory = Directory::new();
    let names = ["all a", "all b", "all c"].map(|name| name.replace(' ', "-"));
    let scripts = names.each_ref().map(|name| Script::named(name));
    scripts.iter().for_each(|script| script.fail(SendError::retry("gone")));
    let text = TCP.to_owned() + &names.each_ref().map(|name| scripted(name)).concat();
    let running = Running::start(&directory, &text);
    produce(&running, EACH);
    let account = running.balanced();
    for line in &account.endpoints {
        assert_eq!((line.buffered, line.counts.delivered), (3 * EACH, 0), "{}", line.name);
    }
    // One comes back after the other; who is back waits for nobody.
    for script in &scripts {
        script.mend();
        eventually("everything", || script.count() as u64 == 3 * EACH);
        whole_and_in_order(script, EACH);
    }
    eventually("settled", || running.balanced().endpoints.iter().all(|line| line.buffered == 0));
    running.stop();
}

#[test]
fn one_dead_of_six_is_nobody_elses_trouble() {
    const EACH: u64 = 2000;
    let directory = Directory::new();
    let names: Vec<String> = (0..6).map(|at| format!("six-{at}")).collect();
    let scripts: Vec<_> = names.iter().map(|name| Script::named(name)).collect();
    scripts[3].fail(SendError::Pause { why: "no key".into() });
    let text = TCP.to_owned() + &names.iter().map(|name| scripted(name)).collect::<String>();
    let running = Running::start(&directory, &text);
    produce(&running, EACH);
    let (dead, alive) = (&scripts[3], scripts.iter().enumerate().filter(|(at, _)| *at != 3));
    for (_, script) in alive {
        eventually("the others complete", || script.count() as u64 == 3 * EACH);
        whole_and_in_order(script, EACH);
    }
    let line = &running.balanced().endpoints[3];
    assert_eq!((line.buffered, line.state.error.as_deref()), (3 * EACH, Some("no key")));
    dead.mend();
    eventually("and that one later", || dead.count() as u64 == 3 * EACH);
    whole_and_in_order(dead, EACH);
    eventually("settled", || running.balanced().endpoints.iter().all(|line| line.counts.delivered == 3 * EACH));
    running.stop();
}

#[test]
fn a_web_server_that_is_stopped_in_the_middle_gets_what_it_missed() {
    const EACH: u64 = 3000;
    let directory = Directory::new();
    let got: Arc<Mutex<Vec<String>>> = Arc::default();
    let ending = Arc::new(AtomicBool::default());
    let (kept, ends) = (got.clone(), ending.clone());
    let mut server = HttpPeer::new(move |request: &Request| {
        let lines = String::from_utf8_lossy(&request.body);
        kept.lock().unwrap().extend(lines.lines().map(str::to_owned));
        // Its end comes between taking messages and saying so.
        let close = if ends.load(SeqCst) { Close::Instead } else { Close::Never };
        Answer::new(200, "{}").delay(Duration::from_millis(5)).close(close)
    });
    let url = server.url();
    let running = Running::start(
        &directory,
        &format!(
            "{TCP}[endpoints.web]\ntype = 'http'\nurl = '{url}'\ncompress = 'none'\nbatch_messages = 50\n\
             retry_min = '5ms'\nretry_max = '50ms'\n"
        ),
    );
    std::thread::scope(|scope| {
        scope.spawn(|| produce(&running, EACH));
        for round in 1..=4 {
            eventually("it gets something", || got.lock().unwrap().len() > round * 1500);
            let before = running.account().endpoints[0].failures;
            ending.store(true, SeqCst);
            server.stop();
            eventually("it is missed", || running.account().endpoints[0].failures > before);
            ending.store(false, SeqCst);
            server.start();
        }
    });
    eventually("everything", || running.balanced().endpoints[0].counts.delivered == 3 * EACH);
    let got = got.lock().unwrap();
    let mut repeated = false;
    for (name, numbers) in by_producer(got.iter().map(String::as_str)) {
        // What it took without a word it gets again.
        repeated |= numbers.len() as u64 > EACH;
        let mut seen = BTreeSet::new();
        let first: Vec<u64> = numbers.into_iter().filter(|number| seen.insert(*number)).collect();
        assert_eq!(first, (0..EACH).collect::<Vec<_>>(), "{name}");
    }
    assert!(repeated, "it was never stopped in the middle");
    running.stop();
}

/// What a web server does to one request.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Fault {
    Status(u16),
    /// With `Retry-After: 1`.
    Later(u16),
    /// Closes as soon as somebody connects.
    CloseAtOnce,
    CloseInstead,
    /// Ends amid the head of a good answer.
    HalfHead,
    /// Ends amid the body of a good answer; the status has come, so the messages are taken.
    HalfBody,
    /// A good answer, a byte at a time.
    Drip,
    /// The same, longer than anybody waits.
    DripForEver,
    Silence,
    /// A good answer that never ends.
    Huge,
    /// A bad one.
    HugeError,
    /// Resets the connection amid the request.
    Reset,
    NoHttp,
    /// A good answer that is longer than it says.
    WrongLength,
    Redirect,
}

impl Fault {
    const ALL: [Fault; 23] = [
        Fault::Status(400),
        Fault::Status(401),
        Fault::Status(403),
        Fault::Status(404),
        Fault::Status(408),
        Fault::Status(413),
        Fault::Status(500),
        Fault::Status(503),
        Fault::Later(429),
        Fault::Later(503),
        Fault::CloseAtOnce,
        Fault::CloseInstead,
        Fault::HalfHead,
        Fault::HalfBody,
        Fault::Drip,
        Fault::DripForEver,
        Fault::Silence,
        Fault::Huge,
        Fault::HugeError,
        Fault::Reset,
        Fault::NoHttp,
        Fault::WrongLength,
        Fault::Redirect,
    ];

    /// Whether the server takes the messages nevertheless.
    fn takes(self) -> bool {
        matches!(self, Fault::HalfBody | Fault::Drip | Fault::Huge | Fault::WrongLength)
    }

    /// Whether an operator hears of it: not of a kept connection that breaks, which is replaced once without a word, and
    /// not of a refusal, until it is known whose it is.
    fn shows(self) -> bool {
        let broken = matches!(self, Fault::CloseInstead | Fault::HalfHead | Fault::Reset | Fault::NoHttp);
        !self.takes() && !broken && !matches!(self, Fault::Status(400 | 413))
    }
}

/// Numbers that the server refuses whatever comes with them.
const POISON: [(u64, u16); 2] = [(321, 400), (654, 413)];

/// For one request, in the settings of the endpoints.
const TIMEOUT: Duration = Duration::from_millis(400);

#[derive(Default)]
struct Desk {
    script: VecDeque<Fault>,
    served: BTreeMap<Fault, Instant>,
    /// When the first request came after a fault that asked for a pause.
    after_later: Vec<Duration>,
    asked_for_a_pause: Option<Instant>,
    got: Vec<String>,
}

/// A server that follows a script, with a good answer between any two faults.
struct Faulty {
    address: SocketAddr,
    desk: Arc<Mutex<Desk>>,
    stop: Arc<AtomicBool>,
    thread: Option<std::thread::JoinHandle<()>>,
}

impl Faulty {
    fn new() -> Faulty {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        // The one that needs a connection of its own comes first, since good answers keep theirs.
        let mut script = VecDeque::from([Fault::CloseAtOnce]);
        script.extend(
            Fault::ALL
                .into_iter()
                .filter(|fault| *fault != Fault::CloseAtOnce)
                .flat_map(|fault| [fault, Fault::Status(200)]),
        );
        let desk = Arc::new(Mutex::new(Desk { script, ..Desk::default() }));
        let (shared, stop) = (desk.clone(), Arc::new(AtomicBool::default()));
        let over = stop.clone();
        let thread = std::thread::spawn(move || {
            for connection in listener.incoming() {
                if over.load(SeqCst) {
                    break;
                }
                let _ = converse(&connection.unwrap(), &shared);
            }
        });
        Faulty { address, desk, stop, thread: Some(thread) }
    }

    fn desk(&self) -> MutexGuard<'_, Desk> {
        self.desk.lock().unwrap()
    }
}

impl Drop for Faulty {
    fn drop(&mut self) {
        self.stop.store(true, SeqCst);
        let _ = TcpStream::connect(self.address);
        if let Some(thread) = self.thread.take()
            && !std::thread::panicking()
        {
            thread.join().expect("no panic");
        }
    }
}

/// Takes the next fault, if `only` lets it.
fn next(desk: &Mutex<Desk>, only: impl Fn(Fault) -> bool) -> Option<Fault> {
    let mut desk = desk.lock().unwrap();
    let fault = *desk.script.front()?;
    if !only(fault) {
        return None;
    }
    desk.script.pop_front();
    desk.served.insert(fault, Instant::now());
    Some(fault)
}

fn converse(connection: &TcpStream, desk: &Mutex<Desk>) -> std::io::Result<()> {
    connection.set_read_timeout(Some(Duration::from_secs(20)))?;
    connection.set_write_timeout(Some(Duration::from_secs(2)))?;
    let mut reader = BufReader::new(connection);
    if next(desk, |fault| fault == Fault::CloseAtOnce).is_some() {
        return Ok(());
    }
    loop {
        let mut length = 0;
        let mut line = String::new();
        loop {
            line.clear();
            if reader.read_line(&mut line)? == 0 {
                return Ok(());
            }
            if let Some(value) = line.to_ascii_lowercase().strip_prefix("content-length:") {
                length = value.trim().parse().expect("a length");
            }
            if line == "\r\n" {
                break;
            }
        }
        if next(desk, |fault| fault == Fault::Reset).is_some() {
            reader.read_exact(&mut vec![0; length / 2])?;
            SockRef::from(connection).set_linger(Some(Duration::ZERO))?;
            return Ok(());
        }
        let mut body = vec![0; length];
        reader.read_exact(&mut body)?;
        let body = String::from_utf8(body).expect("text");
        if !answer(connection, &body, desk)? {
            return Ok(());
        }
    }
}

/// False if the connection ends.
fn answer(mut out: &TcpStream, body: &str, desk: &Mutex<Desk>) -> std::io::Result<bool> {
    {
        let mut desk = desk.lock().unwrap();
        if let Some(at) = desk.asked_for_a_pause.take() {
            desk.after_later.push(at.elapsed());
        }
    }
    let poison = POISON.iter().find(|(poison, _)| body.lines().any(|line| number(line) == *poison));
    let fault = match poison {
        Some((_, status)) => Fault::Status(*status),
        None => next(desk, |_| true).unwrap_or(Fault::Status(200)),
    };
    if fault.takes() || fault == Fault::Status(200) {
        desk.lock().unwrap().got.extend(body.lines().map(str::to_owned));
    }
    let mut say = |text: &str| out.write_all(text.as_bytes());
    let good = "HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: 2\r\n\r\n{}";
    match fault {
        Fault::Status(status) => {
            say(&format!("HTTP/1.1 {status} Said\r\ncontent-length: 2\r\n\r\n{{}}"))?;
            return Ok(true);
        }
        Fault::Later(status) => {
            say(&format!("HTTP/1.1 {status} Said\r\nretry-after: 1\r\ncontent-length: 0\r\n\r\n"))?;
            desk.lock().unwrap().asked_for_a_pause = Some(Instant::now());
            return Ok(true);
        }
        Fault::Redirect => {
            say("HTTP/1.1 302 Found\r\nlocation: http://127.0.0.1:1/\r\ncontent-length: 0\r\n\r\n")?;
            return Ok(true);
        }
        Fault::CloseAtOnce | Fault::CloseInstead | Fault::Reset => {}
        Fault::HalfHead => say("HTTP/1.1 200 OK\r\ncontent-le")?,
        Fault::HalfBody => say("HTTP/1.1 200 OK\r\ncontent-length: 100\r\n\r\n{\"accepted\":")?,
        Fault::Drip => {
            for byte in good.chars() {
                say(&byte.to_string())?;
                std::thread::sleep(Duration::from_millis(1));
            }
            return Ok(true);
        }
        Fault::DripForEver => {
            let began = Instant::now();
            say("HTTP/1.1 200 OK\r\n")?;
            // Until the client has had enough, which shows when nobody reads any more.
            while began.elapsed() < TIMEOUT * 3 && say("x-more: and more\r\n").is_ok() {
                std::thread::sleep(Duration::from_millis(20));
            }
        }
        Fault::Silence => std::thread::sleep(TIMEOUT + TIMEOUT / 2),
        Fault::Huge | Fault::HugeError => {
            let status = if fault == Fault::Huge { 200 } else { 500 };
            say(&format!("HTTP/1.1 {status} Said\r\ncontent-length: 1000000000000\r\n\r\n"))?;
            let part = "x".repeat(64 * 1024);
            // A client that reads all of it would be at it for as long as it waits.
            let began = Instant::now();
            while say(&part).is_ok() {
                assert!(began.elapsed() < Duration::from_secs(20), "it reads without an end");
            }
        }
        Fault::NoHttp => say("\u{16}\u{3}\u{1} this is no HTTP\n\n\n")?,
        Fault::WrongLength => say(&format!("{good}and more than was said"))?,
    }
    Ok(false)
}

/// A thousand messages of now past every fault: each arrives once and in order, or is a dead letter if nobody takes it.
fn past_every_fault(kind: &str, more: &str) {
    const COUNT: u64 = 1000;
    let directory = Directory::new();
    let faulty = Faulty::new();
    let running = Running::start(
        &directory,
        &format!(
            "{TCP}[endpoints.web]\ntype = '{kind}'\nurl = 'http://{}'\ncompress = 'none'\ntimeout = '{}ms'\n\
             batch_messages = 20\nretry_min = '5ms'\nretry_max = '30ms'\n{more}\n",
            faulty.address,
            TIMEOUT.as_millis()
        ),
    );
    let now = Timestamp::now().to_string();
    let sent: Vec<String> = (0..COUNT).map(|n| message(n).replace("2026-11-21T08:00:00.000000Z", &now)).collect();
    running.send("tcp", sent.clone());
    eventually("every message has its verdict", || {
        let line = &running.balanced().endpoints[0];
        line.counts.delivered + line.counts.dead == COUNT
    });
    let line = running.balanced().endpoints.remove(0);
    assert_eq!((line.counts.dead, line.counts.dropped, line.skipped, line.lost), (POISON.len() as u64, 0, 0, 0));
    running.stop();

    let desk = faulty.desk();
    let missing: Vec<Fault> = Fault::ALL.into_iter().filter(|fault| !desk.served.contains_key(fault)).collect();
    assert!(missing.is_empty(), "never served: {missing:?}");
    let told = Fault::ALL.into_iter().filter(|fault| fault.shows()).count() as u64;
    assert!(line.failures >= told, "{} failures of {told}", line.failures);
    assert_eq!(desk.after_later.len(), 2, "both pauses were asked for");
    assert!(desk.after_later.iter().all(|pause| *pause >= Duration::from_secs(1)), "{:?}", desk.after_later);
    let wanted: Vec<&String> =
        sent.iter().filter(|text| !POISON.iter().any(|(poison, _)| number(text) == *poison)).collect();
    let got: Vec<&String> = desk.got.iter().collect();
    assert_eq!(
        got.iter().map(|text| number(text)).collect::<Vec<_>>(),
        wanted.iter().map(|text| number(text)).collect::<Vec<_>>()
    );
    assert!(got == wanted, "not a byte changed");
    let letters = dead_letters(&directory);
    assert_eq!(letters.len(), POISON.len(), "{letters:#?}");
    for ((poison, status), letter) in POISON.iter().zip(&letters) {
        assert!(
            letter.contains(&format!("\"n\":{poison}")) && letter.contains(&format!("answered {status}")),
            "{letter}"
        );
    }
}

#[test]
fn the_http_endpoint_gets_past_every_fault_of_a_web_server() {
    past_every_fault("http", "");
}

#[test]
fn the_victorialogs_endpoint_gets_past_every_fault_of_a_web_server() {
    past_every_fault("victorialogs", "settle = '0s'\nflush_interval = '10ms'");
}
