//! A fleet seen as one: real routers that hear each other over a real NATS server, what they say of all of them, and what
//! becomes of that when routers die and come back, when the server does, and when others speak in between.

mod program;
mod stage;

use metlog_router::config;
use metlog_testkit::Nats;
use program::{FILE, Program};
use serde_json::{Value, json};
use stage::{Directory, eventually, message};
use std::io::{Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream, UdpSocket};
use std::process::{Command, Output};

const PROGRAM: &str = env!("CARGO_BIN_EXE_metlog-router");

fn fleet(nats: &Nats, name: &str) -> String {
    format!("[fleet]\nurls = ['{}']\nname = '{name}'\nevery = '200ms'\n", nats.url())
}

const OPEN: &str = "[inputs.tcp]\nlisten = '127.0.0.1:0'\n[inputs.udp]\nlisten = '127.0.0.1:0'\n[inputs.http]\n";

/// A router of the fleet that keeps everything in a file.
fn member(nats: &Nats, name: &str) -> Program {
    Program::start_in(Directory::new(), &(fleet(nats, name) + OPEN + FILE))
}

fn seen(router: &Program) -> Value {
    let answer = router.ask("/v1/fleet?parts=true");
    assert_eq!(answer.status, 200, "{}", answer.body);
    serde_json::from_str(&answer.body).expect("JSON")
}

/// Names and states, in the order they are told.
fn states(router: &Program) -> Vec<(String, String)> {
    let text = |row: &Value, key: &str| row[key].as_str().expect("text").to_owned();
    let told = seen(router);
    let mut all: Vec<_> =
        told["routers"].as_array().expect("rows").iter().map(|row| (text(row, "name"), text(row, "state"))).collect();
    all.sort();
    all
}

fn are(router: &Program, wanted: &[(&str, &str)]) -> bool {
    states(router) == wanted.iter().map(|(name, state)| ((*name).to_owned(), (*state).to_owned())).collect::<Vec<_>>()
}

/// Received, accepted at endpoints, delivered, and the law.
fn total(router: &Program) -> (u64, u64, u64) {
    let total = seen(router)["total"].clone();
    for path in ["/inputs/unaccounted", "/endpoints/unaccounted", "/unaccounted"] {
        assert_eq!(total.pointer(path), Some(&json!(0)), "{total:#}");
    }
    let count = |path: &str| total.pointer(path).and_then(Value::as_u64).expect("a count");
    (count("/inputs/received"), count("/endpoints/accepted"), count("/endpoints/delivered"))
}

fn connected(router: &Program) -> bool {
    seen(router)["link"]["state"] == json!("connected")
}

/// Lines over TCP, read to the last by the router.
fn send(router: &Program, numbers: std::ops::Range<u64>) {
    let mut stream = TcpStream::connect(router.place("tcp")).expect("connects");
    let text: String = numbers.map(|number| message(number) + "\n").collect();
    stream.write_all(text.as_bytes()).expect("written");
    stream.shutdown(Shutdown::Write).expect("shut");
    stream.read_to_end(&mut Vec::new()).expect("read to the end");
}

/// Whoever may publish at the server, without a library that would keep him from saying anything strange.
struct Stranger(TcpStream);

impl Stranger {
    fn at(nats: &Nats) -> Self {
        let mut stream = TcpStream::connect(("127.0.0.1", nats.port())).expect("connects");
        stream.write_all(b"CONNECT {\"verbose\":false,\"pedantic\":false}\r\n").expect("written");
        Stranger(stream)
    }

    fn say(&mut self, words: &[u8]) {
        let head = format!("PUB metlog-fleet {}\r\n", words.len());
        self.0.write_all(&[head.as_bytes(), words, b"\r\n"].concat()).expect("written");
    }
}

fn refused(router: &Program, reason: &str) -> u64 {
    router.metric(&format!("metlog_fleet_refused_total{{reason=\"{reason}\"}}"))
}

fn command(arguments: &[&str]) -> Output {
    Command::new(PROGRAM).arg("status").args(arguments).output().expect("it runs")
}

fn said(output: &Output) -> String {
    let text = [&output.stdout, &output.stderr].map(|text| String::from_utf8_lossy(text)).concat();
    assert!(text.chars().all(|c| c == '\n' || !c.is_control()), "{text:?}");
    text
}

#[test]
fn three_routers_are_one_sum_and_a_killed_one_counts_once() {
    let nats = Nats::new();
    // What the first one takes it also hands on; the others take that from a stream they share.
    let stream = format!("urls = ['{}']\nstream = {{ name = 'METLOG' }}\n", nats.url());
    let relay = format!("[endpoints.relay]\ntype = 'nats'\n{stream}");
    let taker = format!("[inputs.nats]\n{stream}ack_wait = '10m'\n");
    let first = Program::start_in(Directory::new(), &(fleet(&nats, "edge") + OPEN + FILE + &relay));
    let taking = |name: &str| fleet(&nats, name) + OPEN + &taker + FILE;
    let second = Program::start_in(Directory::new(), &taking("left"));
    let third = Program::start_in(Directory::new(), &taking("right"));
    let running = [("edge", "running"), ("left", "running"), ("right", "running")];
    for router in [&first, &second, &third] {
        eventually("each sees all three", || are(router, &running) && connected(router));
    }
    send(&first, 0..100);
    let socket = UdpSocket::bind("127.0.0.1:0").expect("a socket");
    for number in 100..150 {
        socket.send_to(message(number).as_bytes(), second.place("udp")).expect("sent");
        eventually("it arrives", || second.accepted("udp") == number - 99);
    }
    // 100 over TCP, 50 over UDP, 100 from the stream; in the first router for two endpoints.
    for router in [&first, &second, &third] {
        eventually("every message is in the sums", || total(router) == (250, 350, 350));
        let sums = seen(router)["total"].clone();
        assert_eq!(sums["transports"]["nats"], json!({ "given": 100, "taken": 100 }));
        assert_eq!(
            (&sums["transports"]["tcp"]["taken"], &sums["transports"]["udp"]["taken"]),
            (&json!(100), &json!(50))
        );
        assert_eq!(sums["routers"], json!({ "conflict": 0, "running": 3, "silent": 0, "stopped": 0 }));
    }
    let row = seen(&third)["routers"]
        .as_array()
        .expect("rows")
        .iter()
        .find(|row| row["name"] == "edge")
        .cloned()
        .expect("there");
    let parts: Vec<&str> = row["parts"]["endpoints"]
        .as_array()
        .expect("parts")
        .iter()
        .map(|part| part["name"].as_str().expect("a name"))
        .collect();
    assert!(
        parts.contains(&"relay")
            && parts.contains(&"all")
            && row["parts"]["cut"] == json!({ "inputs": 0, "endpoints": 0 }),
        "{row:#}"
    );
    assert_eq!(third.metric("metlog_fleet_routers{state=\"running\"}"), 3);

    let place = format!("http://{}", third.place("http"));
    let table = said(&command(&["--fleet", "--to", &place]));
    for part in
        ["right *", "edge ", "3 of 3 running", "250 received = 250 accepted + 0 refused", "nats: 100 given, 100 taken"]
    {
        assert!(table.contains(part), "{part} is not in\n{table}");
    }
    let own: Value =
        serde_json::from_slice(&command(&["--fleet", "--nats", &nats.url(), "--json"]).stdout).expect("JSON");
    assert_eq!((&own["total"]["inputs"]["received"], own["routers"].as_array().map(Vec::len)), (&json!(250), Some(3)));

    let directory = second.kill();
    let silent = [("edge", "running"), ("left", "silent"), ("right", "running")];
    for router in [&first, &third] {
        eventually("it is silent", || are(router, &silent));
        assert_eq!(total(router), (250, 350, 350), "its last numbers stay");
    }
    assert!(said(&command(&["--fleet", "--to", &place])).contains("2 of 3 running"));

    let second = Program::start_in(directory, &taking("left"));
    for router in [&first, &third] {
        eventually("it is back", || are(router, &running));
        assert_eq!(total(router).0, 250, "and counts once");
        assert_eq!(seen(router)["total"]["lives_before"], json!(1));
    }
    // What it had delivered within a second of its end it may deliver again, which counts as what it is.
    eventually("nothing waits", || total(&first).1 == total(&first).2);
    let (_, _, delivered) = total(&first);
    let again = delivered.checked_sub(350).expect("never less than before");
    assert!(again <= 150, "{again}");
    send(&second, 150..160);
    let whole = (260, 360 + again, 360 + again);
    for router in [&first, &third] {
        eventually("and counts on", || total(router) == whole);
    }
    // Its own first life it has never heard of.
    assert_eq!(seen(&second)["total"]["lives_before"], json!(0));

    second.stop();
    for router in [&first, &third] {
        eventually("it has said that it stops", || {
            are(router, &[("edge", "running"), ("left", "stopped"), ("right", "running")])
        });
        assert_eq!(total(router), whole);
    }
    first.stop();
    third.stop();
}

#[test]
fn what_waited_in_a_killed_router_is_counted_where_it_waits_now() {
    let nats = Nats::new();
    // Nobody is there to take what the endpoint has.
    let away = format!(
        "[endpoints.away]\ntype = 'tcp'\naddress = '127.0.0.1:{}'\nretry_max = '100ms'\n",
        program::free_port()
    );
    let configured = fleet(&nats, "worker") + OPEN + &away;
    let watcher = member(&nats, "watcher");
    let worker = Program::start_in(Directory::new(), &configured);
    send(&worker, 0..40);
    let waiting = |router: &Program| seen(router)["total"]["endpoints"]["buffered"].clone();
    eventually("they wait", || total(&watcher) == (40, 40, 0) && waiting(&watcher) == json!(40));
    eventually("and it is said why", || {
        let told = seen(&watcher);
        let row = told["routers"].as_array().expect("rows").iter().find(|row| row["name"] == "worker").expect("there");
        row["troubles"][0].as_str().is_some_and(|said| said.starts_with("away is retrying: "))
    });
    let mut worker = worker;
    for lives in 1..=3 {
        let directory = worker.kill();
        eventually("silent, and still counted", || are(&watcher, &[("watcher", "running"), ("worker", "silent")]));
        assert_eq!((total(&watcher), waiting(&watcher)), ((40, 40, 0), json!(40)));
        worker = Program::start_in(directory, &configured);
        eventually("it is back", || seen(&watcher)["total"]["lives_before"] == json!(lives));
        assert_eq!((total(&watcher), waiting(&watcher)), ((40, 40, 0), json!(40)), "no message twice");
    }
    // A reload takes the endpoint away, and gives it back: the sums go neither down nor up.
    let reload = |worker: &Program, config: &str| {
        std::fs::write(worker.path("router.toml"), format!("[router]\nhttp = '127.0.0.1:0'\ndrain = '2s'\n{config}"))
            .expect("written");
        let headers = [("Content-Type", "application/json"), ("X-Metlog", "1")];
        let answer = worker.request("POST /v1/reload", &headers, b"{}").expect("an answer");
        assert_eq!(answer.status, 200, "{}", answer.body);
        answer.body
    };
    let renamed = fleet(&nats, "another") + OPEN;
    assert!(reload(&worker, &renamed).contains("changed fleet"), "the fleet's name, too");
    eventually("it goes by another name", || are(&watcher, &[("another", "running"), ("watcher", "running")]));
    assert_eq!(
        (total(&watcher), waiting(&watcher)),
        ((40, 40, 0), json!(40)),
        "they wait for an endpoint that may return"
    );
    reload(&worker, &configured);
    eventually("as it was", || are(&watcher, &[("watcher", "running"), ("worker", "running")]));
    assert_eq!((total(&watcher), waiting(&watcher)), ((40, 40, 0), json!(40)));
    assert!(reload(&worker, OPEN).contains("fleet"), "out of the fleet");
    eventually("nobody says anything any more", || are(&watcher, &[("watcher", "running"), ("worker", "silent")]));
    assert_eq!(seen(&worker)["place"], Value::Null);
    worker.stop();
    watcher.stop();
}

#[test]
fn the_server_may_be_away_as_long_as_it_likes() {
    let mut nats = Nats::new();
    let (one, other) = (member(&nats, "one"), member(&nats, "other"));
    let running = [("one", "running"), ("other", "running")];
    eventually("they hear each other", || are(&one, &running) && are(&other, &running));
    nats.kill();
    eventually("it is said that nobody can be heard", || {
        let link = seen(&one)["link"].clone();
        link["state"] == json!("away")
            && link["why"].as_str().is_some_and(|why| why.contains("NATS") || why.contains("connect"))
    });
    eventually("nor is", || are(&one, &[("one", "running"), ("other", "silent")]));
    assert_eq!(one.metric("metlog_fleet_connected"), 0);
    send(&one, 0..20);
    eventually("messages go on", || one.delivered("all") == 20);
    eventually("what is its own it knows", || total(&one) == (20, 20, 20));
    let told = said(&command(&["--fleet", "--to", &format!("http://{}", one.place("http"))]));
    assert!(told.contains("not connected to it (away)") && told.contains("1 of 2 running"), "{told}");
    let output = command(&["--fleet", "--nats", &nats.url()]);
    assert!(!output.status.success() && said(&output).contains("cannot connect to nats://"), "{output:?}");
    nats.start();
    for router in [&one, &other] {
        eventually("by themselves they are together again", || connected(router) && are(router, &running));
        eventually("and know what happened meanwhile", || total(router) == (20, 20, 20));
    }
    // Held, a server answers nothing at all, and a router stops all the same.
    nats.freeze(true);
    one.stop();
    nats.freeze(false);
    other.stop();
}

#[test]
fn what_strangers_say_is_refused_counted_and_bounded() {
    let nats = Nats::new();
    // So rarely that nobody is silent by accident, and makes room for a stranger.
    let rarely = |name: &str| {
        let fleet = fleet(&nats, name).replace("200ms", "3s");
        Program::start_in(Directory::new(), &(fleet + OPEN + FILE))
    };
    let (one, other) = (rarely("one"), rarely("other"));
    send(&one, 0..30);
    let running = [("one", "running"), ("other", "running")];
    eventually("they hear each other", || are(&other, &running) && total(&other) == (30, 30, 30));
    let mut stranger = Stranger::at(&nats);
    stranger.say(b"");
    stranger.say(b"hello \x1b[2J");
    stranger.say(&[b'['; 30_000]);
    stranger.say(&vec![b' '; 900_000]);
    stranger.say(b"{\"form\":7}");
    let zeros =
        |terms: &[&str]| terms.iter().map(|term| ((*term).to_owned(), json!(0))).collect::<serde_json::Map<_, _>>();
    let lie = |name: &str, instance: u64| {
        json!({
            "form": 1, "name": name, "instance": format!("{instance:016x}"), "version": "9", "started": 0, "uptime": 1, "every": 60_000,
            "number": 1, "ends": false, "backlog": 0, "oldest": 0, "unaccounted": 0, "transports": {},
            "inputs": zeros(&["received", "accepted", "unwanted", "refused", "duplicates", "lost", "turned_away", "bytes"]),
            "endpoints": zeros(&["accepted", "delivered", "filtered", "dead_lettered", "dropped", "buffered", "redelivered", "failures"]),
            "spool": { "bytes": 0, "max_bytes": 1 }, "input_parts": [], "endpoint_parts": [], "cut": { "inputs": 0, "endpoints": 0 },
        })
    };
    stranger.say(lie("\u{1b}[31mred\u{7}", 1).to_string().as_bytes());
    stranger.say(lie("<img src=x>", 2).to_string().as_bytes());
    for (reason, count) in [("malformed", 5), ("too_large", 1), ("form", 1)] {
        eventually("each is counted", || refused(&one, reason) == count && refused(&other, reason) == count);
    }
    assert!(are(&one, &running) && total(&one) == (30, 30, 30), "and counts for nothing");
    assert!(one.log().contains("fleet: something that was heard is refused"), "{}", one.log());

    for number in 0..2000 {
        stranger.say(lie(&format!("fake-{number}"), 100 + number).to_string().as_bytes());
    }
    // Those that came too fast are counted by the handful.
    eventually("there is an end", || refused(&one, "too_many") + refused(&one, "missed") > 0);
    eventually("it is full", || states(&one).len() == 1000);
    let told = seen(&one);
    assert_eq!(told["routers"].as_array().map(Vec::len), Some(1000), "no more are kept");
    assert_eq!(
        serde_json::from_str::<Value>(&one.ask("/v1/fleet?limit=3").body).expect("JSON")["left_out"],
        json!(997)
    );
    let real: Vec<_> = states(&one).into_iter().filter(|(name, _)| !name.starts_with("fake")).collect();
    assert_eq!(real.len(), 2, "who was there is still there: {real:?}");
    assert_eq!(total(&one), (30, 30, 30));
    for name in ["one", "other"] {
        assert!(real.iter().any(|(real, state)| real == name && state == "running"), "{real:?}");
    }
    one.stop();
    other.stop();
}

#[test]
fn two_routers_of_one_name_are_told_apart_and_told_of() {
    let nats = Nats::new();
    let (one, other, third) = (member(&nats, "twin"), member(&nats, "twin"), member(&nats, "third"));
    send(&one, 0..10);
    send(&other, 0..20);
    for router in [&one, &other, &third] {
        eventually("everybody sees it", || {
            are(router, &[("third", "running"), ("twin", "conflict"), ("twin", "conflict")])
        });
        eventually("and both count", || total(router) == (30, 30, 30));
    }
    eventually("it is said", || {
        third.log().contains("more than one router is called `twin`: give each a `fleet.name`")
    });
    assert!(said(&command(&["--fleet", "--to", &format!("http://{}", third.place("http"))])).contains("conflict"));
    [one, other, third].into_iter().for_each(|router| drop(router.stop()));
}

#[test]
fn the_command_says_what_is_wrong_and_shows_nothing_that_moves_the_cursor() {
    let alone = Program::start_in(Directory::new(), &(OPEN.to_owned() + FILE));
    let output = command(&["--fleet", "--to", &format!("http://{}", alone.place("http"))]);
    assert!(!output.status.success() && said(&output).contains("no fleet is configured there"), "{output:?}");
    let told = seen(&alone);
    assert_eq!(
        (&told["place"], &told["link"], told["routers"].as_array().map(Vec::len)),
        (&Value::Null, &Value::Null, Some(1))
    );
    assert!(!alone.ask("/metrics").body.contains("metlog_fleet"), "nothing where there is none");
    let output = command(&["--fleet", "--config", &alone.path("router.toml").display().to_string()]);
    assert!(!output.status.success() && said(&output).contains("no fleet is configured there"), "{output:?}");
    alone.stop();
    for (arguments, words) in [
        (&["--nats", "nats://x"][..], "--fleet"),
        (&["--fleet", "--nats", "nats://u:p@x"], "`login`"),
        (&["--fleet", "--nats", "nats://x", "--subject", "a b"], "no subject"),
        (&["--fleet", "--config", "no/such/file.toml"], "no/such/file.toml"),
    ] {
        let output = command(arguments);
        assert!(output.status.code() == Some(2) && said(&output).contains(words), "{arguments:?}: {output:?}");
    }
    // Whoever answers may be anybody.
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let place = format!("http://{}", listener.local_addr().expect("an address"));
    let body = json!({
        "place": "\u{1b}]0;title\u{7}", "since": "\u{9b}2J",
        "routers": [{ "name": "\u{1b}[31mred\r\n", "state": "\u{1b}c", "troubles": ["\u{8}\u{8}"] }],
        "total": { "transports": { "\u{1b}[H": { "given": 1, "taken": 1 } } },
    });
    let answer = format!("HTTP/1.0 200 OK\r\n\r\n{body}");
    let served = std::thread::spawn(move || {
        let (mut stream, _) = listener.accept().expect("somebody");
        let mut asked = [0; 4096];
        let count = stream.read(&mut asked).expect("a question");
        stream.write_all(answer.as_bytes()).expect("written");
        String::from_utf8_lossy(asked.get(..count).unwrap_or_default()).into_owned()
    });
    assert!(said(&command(&["--fleet", "--to", &place])).contains("[31mred"));
    assert!(served.join().expect("served").starts_with("GET /v1/fleet"));
}

#[test]
fn wrong_settings_are_told_where_they_stand() {
    let long = format!("name = '{}'", "a".repeat(65));
    for (settings, words) in [
        ("name = \"a b\"", "r.toml:2:1: `name` is `a b`: letters, digits"),
        ("name = \"a\\u001b\"", "`name` is `a\\u{1b}`"),
        (&long, "at most 64"),
        ("every = '10ms'", "r.toml:2:1: `every` is 10ms; 200ms to 1min are possible"),
        ("every = '5m'", "`every` is 300s"),
        ("every = 'soon'", "r.toml:2:"),
        ("type = 'kafkaesque'", "r.toml:2:8: unknown fleet type `kafkaesque`, this program has nats"),
        ("type = 1", "`type` must be the name of a plugin"),
        ("nmae = 'a'", "did you mean `name`?"),
        ("subjct = 'a'", "did you mean `subject`?"),
        (
            "subject = 'metlog.>'",
            "r.toml:2:1: `subject`: `metlog.>` is no subject of one fleet; one is written like `metlog-fleet`",
        ),
        ("subject = ''", "is no subject"),
        ("subject = '$JS.API'", "is no subject"),
        ("urls = []", "`urls` needs 1 to 64 servers"),
        ("urls = ['nats://u:hunter2@h']", "`login`"),
        ("login = { user = 'u' }", "`user` goes with `password`"),
        ("tls = { client_cert = 'x' }", "`tls.client_key`"),
        ("timeout = '1ms'", "`timeout`"),
    ] {
        let problems = match config::from_toml("r.toml", &format!("[fleet]\n{settings}\n")) {
            Err(problems) => problems.to_string(),
            Ok(_) => panic!("{settings} is taken"),
        };
        assert!(problems.contains(words) && !problems.contains("hunter2"), "{settings}: {problems}");
    }
    assert!(
        config::from_toml("r.toml", "fleet = 'nats'\n").is_err_and(|problems| problems.to_string().contains("[fleet]"))
    );
    let plan = config::from_toml("r.toml", "[fleet]\n").unwrap_or_else(|problems| panic!("{problems}"));
    let fleet = plan.fleet.expect("a fleet");
    assert!(!fleet.name.is_empty() && fleet.every.as_secs() == 1);
    let place = fleet.open().unwrap_or_else(|why| panic!("{why}")).place();
    assert_eq!(place, "nats://127.0.0.1:4222, subject metlog-fleet");
}
