//! Sender and endpoint against a real server.

mod common;

use async_nats::jetstream::stream::{Config, DiscardPolicy, StorageType};
use base64::Engine as _;
use common::{Raw, Stored};
use metlog_message::{Lines, Message, wire};
use metlog_nats as _;
use metlog_pipeline::{Endpoint, EndpointEntry, Picked, SendError, Sender, SenderEntry};
use metlog_testkit::{Arrived, Nats, Peer, Policy, drive, of_example, open, sample, settings};
use std::collections::BTreeSet;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

const PATIENCE: Duration = Duration::from_secs(60);

fn sender(url: &str, more: &str) -> Box<dyn Sender> {
    open("nats", &format!("urls = ['{url}']\n{more}")).expect("opens")
}

fn named(url: &str) -> Box<dyn Sender> {
    sender(url, "stream = { name = 'T' }\ntimeout = '2s'")
}

struct InNats {
    server: Nats,
    up: bool,
    seen: Vec<Arrived>,
    next: u64,
}

impl InNats {
    fn new() -> Self {
        InNats { server: Nats::new(), up: true, seen: Vec::new(), next: 1 }
    }
}

impl Peer for InNats {
    fn sender(&mut self) -> Box<dyn Sender> {
        named(&self.server.url())
    }
    fn arrived(&mut self) -> Vec<Arrived> {
        if self.up {
            let (more, next) = Raw::connect(&self.server).stored("T", self.next);
            self.seen.extend(more.iter().map(|stored| Arrived::of_json(&stored.payload)));
            self.next = next;
        }
        self.seen.clone()
    }
    fn stop(&mut self) -> bool {
        self.server.kill();
        self.up = false;
        true
    }
    fn start(&mut self) {
        self.server.start();
        self.up = true;
    }
}

metlog_testkit::contract!(InNats::new());

fn all(server: &Nats) -> Vec<Stored> {
    Raw::connect(server).stored("T", 1).0
}

fn numbers(stored: &[Stored]) -> Vec<u64> {
    stored.iter().map(|stored| sample::number(&stored.payload).expect("a sample")).collect()
}

fn pause(result: Result<(), SendError>) -> String {
    match result {
        Err(SendError::Pause { why }) => why,
        other => panic!("no pause: {other:?}"),
    }
}

#[test]
fn examples_are_settings() {
    let entry = SenderEntry::find("nats").expect("there");
    drop((entry.read)(&of_example(entry.example)).unwrap_or_else(|problems| panic!("{problems}")));
    let entry = EndpointEntry::find("nats").expect("there");
    let example = settings(entry.example);
    let mut section = example.get("endpoints").and_then(|endpoints| endpoints.get("fleet")).expect("there").clone();
    section.as_table_mut().expect("a table").remove("type");
    drop((entry.read)(&section).unwrap_or_else(|problems| panic!("{problems}")));
}

#[test]
fn a_batch_that_comes_twice_is_stored_once_also_after_a_crash() {
    let mut server = Nats::new();
    let lines = sample::lines(0, 3000);
    assert_eq!(named(&server.url()).send(&lines), Ok(()));
    assert_eq!(named(&server.url()).send(&lines), Ok(()));
    server.kill();
    server.start();
    assert_eq!(named(&server.url()).send(&lines), Ok(()));
    let stored = all(&server);
    assert_eq!(numbers(&stored), (0..3000).collect::<Vec<_>>());
    assert_eq!(stored[7].subject, "metlog.contract.5.metlog%2Etests");
    assert_eq!(stored[7].id.as_deref(), Some("00000000c0ffee00-8"));
}

#[test]
fn what_a_message_says_stays_one_token() {
    let server = Nats::new();
    let hostile = ["a.b", "*", ">", "$JS.API.STREAM.DELETE.T", "x y\r\nPUB z 1\r\n\r\n", "ä", &"l".repeat(5000), ""];
    let mut lines = Lines::new();
    for word in hostile {
        let kind = if word.is_empty() { "t" } else { word };
        lines.push_with(|text| wire::write(text, &Message::new(kind).logger(word)));
    }
    assert_eq!(named(&server.url()).send(&lines), Ok(()));
    let stored = all(&server);
    assert_eq!(stored.len(), hostile.len());
    for (stored, line) in stored.iter().zip(lines.iter()) {
        assert_eq!(stored.payload, line);
        let tokens: Vec<&str> = stored.subject.split('.').collect();
        assert!(tokens.len() == 4 && tokens[0] == "metlog" && stored.subject.len() < 200, "{}", stored.subject);
        assert!(!stored.subject.contains(['*', '>', '$', ' ', '\r', '\n']), "{}", stored.subject);
    }
}

#[test]
fn a_stream_that_is_otherwise_is_refused_with_both() {
    let server = Nats::new();
    let raw = Raw::connect(&server);
    let there = Config {
        name: "T".into(),
        subjects: vec!["metlog.*.*.*".into()],
        max_bytes: 1024 * 1024,
        max_age: Duration::from_secs(3600),
        storage: StorageType::Memory,
        num_replicas: 1,
        ..Config::default()
    };
    raw.make(there.clone());
    let asked = "stream = { name = 'T', subjects = ['metlog.>'], max_bytes = '2 MiB', max_age = '2h', storage = 'file', \
                 duplicate_window = '1m', retention = 'work_queue', replicas = 3 }";
    let why = pause(sender(&server.url(), asked).send(&sample::lines(0, 1)));
    for words in [
        "`subjects` is [metlog.>] here and [metlog.*.*.*] there",
        "`max_bytes` is 2 MiB here and 1 MiB there",
        "`max_age` is 2h here and 1h there",
        "`storage` is file here and memory there",
        "`duplicate_window` is 1m here and 2m there",
        "`retention` is workqueue here and limits there",
        "`replicas` is 3 here and 1 there",
        "`discard` is new here and old there",
        "nats stream edit",
    ] {
        assert!(why.contains(words), "{words}: {why}");
    }
    assert_eq!(raw.config("T").map(|config| config.max_bytes), Some(1024 * 1024), "left as it was");
    let fits = "stream = { name = 'T', max_bytes = '1 MiB', discard = 'old' }";
    assert_eq!(sender(&server.url(), fits).send(&sample::lines(0, 1)), Ok(()));
}

#[test]
fn a_stream_that_is_missing_is_made_or_asked_for() {
    let server = Nats::new();
    let why = pause(sender(&server.url(), "timeout = '2s'").send(&sample::lines(0, 10)));
    assert!(why.contains("no stream") && why.contains("`stream`"), "{why}");
    let asked = "stream = { name = 'T', max_bytes = '3 MiB', max_age = '1d', duplicate_window = '5m' }";
    assert_eq!(sender(&server.url(), asked).send(&sample::lines(0, 10)), Ok(()));
    let made = Raw::connect(&server).config("T").expect("made");
    assert_eq!(
        (made.max_bytes, made.discard, made.subjects),
        (3 << 20, DiscardPolicy::New, vec!["metlog.>".to_owned()])
    );
    // More copies than there are servers.
    let three = "subject = 'x'\nstream = { name = 'X', subjects = ['x'], replicas = 3 }";
    let why = pause(sender(&server.url(), three).send(&sample::lines(0, 1)));
    assert!(why.contains("making the stream `X`"), "{why}");
    let wrong = SenderEntry::find("nats").expect("there").read;
    let why = wrong(&settings("stream = { name = 'T', subjects = ['other.>'] }")).err().expect("refused").to_string();
    assert!(why.contains("widen `stream.subjects`"), "{why}");
}

#[test]
fn a_message_too_large_for_the_server_is_refused_alone() {
    let server = Nats::with(|_| "max_payload: 10000".to_owned());
    let mut lines = sample::lines(0, 3);
    lines.push_with(|text| wire::write(text, &sample::message(3).payload("x".repeat(20_000))));
    lines.push(b"no message");
    lines.append(&sample::lines(4, 2));
    match named(&server.url()).send(&lines) {
        Err(SendError::Refuse { why, which }) => {
            assert_eq!(which, [3, 4]);
            assert!(why.contains("10000 bytes") && why.contains("no message"), "{why}");
        }
        other => panic!("{other:?}"),
    }
    assert_eq!(numbers(&all(&server)), [0, 1, 2, 4, 5]);
}

#[test]
fn a_full_stream_takes_no_more_and_forgets_nothing() {
    let server = Nats::new();
    let mut sender = sender(&server.url(), "stream = { name = 'T', max_bytes = '100 KiB' }\ntimeout = '2s'");
    let outcome = drive(&mut *sender, sample::lines(0, 1000), Duration::from_millis(300));
    assert!(outcome.sent > 50 && outcome.given_up > 500, "{outcome:?}");
    assert!(outcome.errors.iter().all(|error| matches!(error, SendError::Retry { .. })), "{:?}", outcome.errors[0]);
    assert!(outcome.errors[0].why().contains("full"), "{}", outcome.errors[0]);
    let there: BTreeSet<u64> = numbers(&all(&server)).into_iter().collect();
    assert!(outcome.numbers.sent.is_subset(&there), "what was confirmed is there");
    Raw::connect(&server).purge("T");
    assert_eq!(sender.send(&sample::lines(5000, 100)), Ok(()));
}

#[test]
fn who_may_not_is_told_at_once_and_no_secret_is_shown() {
    let nkey = "SUACSSL3UAHUDXKFSNVUZRF5UHPMWZ6BFDTJ7M6USDXIEDNPPQYYYCU3VY";
    let public = "UDXU4RCSJNZOIQHZNWXHXORDPRTGNJAHAHFRGZNEEJCPQTT2M7NLCNF4";
    let server = Nats::with(|_| {
        format!(
            "authorization {{ users = [\n{{ user: app, password: hunter2 }}\n{{ nkey: {public} }}\n\
             {{ user: half, password: h, permissions: {{ publish: [\"$JS.API.>\", \"metlog.other.>\"] }} }}\n] }}"
        )
    });
    let login = |login: &str| sender(&server.url(), &format!("stream = {{ name = 'T' }}\nlogin = {{ {login} }}"));
    let began = Instant::now();
    for wrong in ["user = 'app', password = 'hunter3'", "token = 'hunter2'", ""] {
        let why = pause(login(wrong).send(&sample::lines(0, 1)));
        assert!(why.contains("`login`") && !why.contains("hunter"), "{why}");
    }
    let why = pause(login("nkey = 'SUNONSENSE'").send(&sample::lines(0, 1)));
    assert!(why.contains("login.nkey") && !why.contains("NONSENSE"), "{why}");
    assert_eq!(login("user = 'app', password = 'hunter2'").send(&sample::lines(0, 5)), Ok(()));
    assert_eq!(login(&format!("nkey = '{nkey}'")).send(&sample::lines(5, 5)), Ok(()));
    let why = pause(login("user = 'half', password = 'h'").send(&sample::lines(10, 5)));
    assert!(why.to_lowercase().contains("permissions violation"), "{why}");
    assert!(began.elapsed() < Duration::from_secs(9), "{:?}", began.elapsed());
    let why = open("nats", "login = { creds_file = 'no/such.creds' }").expect("opens").send(&sample::lines(0, 1));
    assert!(pause(why).contains("no/such.creds"));

    let server = Nats::with(|_| "authorization { token: hunter2 }".to_owned());
    let login = |login: &str| sender(&server.url(), &format!("stream = {{ name = 'T' }}\nlogin = {{ {login} }}"));
    pause(login("token = 'hunter3'").send(&sample::lines(0, 1)));
    assert_eq!(login("token = 'hunter2'").send(&sample::lines(0, 1)), Ok(()));
}

/// A token as `nsc` makes them.
fn token(issuer: &nkeys::KeyPair, subject: &nkeys::KeyPair, nats: &str) -> String {
    let encode = |text: &str| base64::engine::general_purpose::URL_SAFE_NO_PAD.encode(text);
    let claims = format!(
        r#"{{"jti":"X","iat":1700000000,"iss":"{}","name":"n","sub":"{}","nats":{nats}}}"#,
        issuer.public_key(),
        subject.public_key()
    );
    let signed = format!("{}.{}", encode(r#"{"typ":"JWT","alg":"ed25519-nkey"}"#), encode(&claims));
    let signature = issuer.sign(signed.as_bytes()).expect("signed");
    format!("{signed}.{}", base64::engine::general_purpose::URL_SAFE_NO_PAD.encode(signature))
}

#[test]
fn a_credentials_file_lets_in_and_another_operators_does_not() {
    let limits = r#""subs":-1,"data":-1,"payload":-1,"imports":-1,"exports":-1,"wildcards":true,"conn":-1,"leaf":-1,
        "mem_storage":-1,"disk_storage":-1,"streams":-1,"consumer":-1"#;
    let account = format!(r#"{{"limits":{{{limits}}},"type":"account","version":2}}"#);
    let user = r#"{"pub":{},"sub":{},"subs":-1,"data":-1,"payload":-1,"type":"user","version":2}"#;
    let house = || {
        let (operator, system, app) =
            (nkeys::KeyPair::new_operator(), nkeys::KeyPair::new_account(), nkeys::KeyPair::new_account());
        let person = nkeys::KeyPair::new_user();
        let root = format!(r#"{{"type":"operator","version":2,"system_account":"{}"}}"#, system.public_key());
        let creds = format!(
            "-----BEGIN NATS USER JWT-----\n{}\n------END NATS USER JWT------\n\n\
             -----BEGIN USER NKEY SEED-----\n{}\n------END USER NKEY SEED------\n",
            token(&app, &person, user),
            person.seed().expect("a seed")
        );
        // The system's own account has no streams.
        let plain =
            account.replace(r#""mem_storage":-1,"disk_storage":-1,"streams":-1,"consumer":-1"#, r#""streams":0"#);
        let config = format!(
            "operator: \"{}\"\nsystem_account: {}\nresolver: MEMORY\nresolver_preload: {{\n{}: \"{}\"\n{}: \"{}\"\n}}",
            token(&operator, &operator, &root),
            system.public_key(),
            system.public_key(),
            token(&operator, &system, &plain),
            app.public_key(),
            token(&operator, &app, &account)
        );
        (config, creds)
    };
    let ((config, ours), (_, theirs)) = (house(), house());
    let mut place = None;
    let server = Nats::with(|folder| {
        place = Some(folder.to_owned());
        config
    });
    let file = place.expect("a folder").join("creds");
    let text = format!("stream = {{ name = 'T' }}\ntimeout = '5s'\nlogin = {{ creds_file = '{}' }}", file.display());
    let mut sender = sender(&server.url(), &text);
    std::fs::write(&file, "nonsense").expect("written");
    assert!(pause(sender.send(&sample::lines(0, 1))).contains("`login.creds_file`"));
    std::fs::write(&file, theirs).expect("written");
    assert!(pause(sender.send(&sample::lines(0, 1))).contains("authorization violation"));
    // The file is read again.
    std::fs::write(&file, ours).expect("written");
    assert_eq!(sender.send(&sample::lines(0, 100)), Ok(()));
}

#[test]
fn tls_is_verified_or_there_is_no_connection() {
    let authority = || {
        let key = rcgen::KeyPair::generate().expect("a key");
        let mut params = rcgen::CertificateParams::new(Vec::new()).expect("names");
        params.is_ca = rcgen::IsCa::Ca(rcgen::BasicConstraints::Unconstrained);
        let pem = params.self_signed(&key).expect("signed").pem();
        (rcgen::Issuer::new(params, key), pem)
    };
    let ((issuer, ours), (_, other)) = (authority(), authority());
    let sign = |name: &str| {
        let key = rcgen::KeyPair::generate().expect("a key");
        let params = rcgen::CertificateParams::new(vec![name.to_owned()]).expect("names");
        (params.signed_by(&key, &issuer).expect("signed").pem(), key.serialize_pem())
    };
    let ((server_cert, server_key), (client_cert, client_key)) = (sign("127.0.0.1"), sign("client"));
    let mut place = None;
    let server = Nats::with(|folder| {
        let files = [
            ("cert", &server_cert),
            ("key", &server_key),
            ("ca", &ours),
            ("other", &other),
            ("ccert", &client_cert),
            ("ckey", &client_key),
        ];
        for (name, text) in files {
            std::fs::write(folder.join(name), text).expect("written");
        }
        place = Some(folder.to_owned());
        let file = |name: &str| folder.join(name).display().to_string();
        format!(
            "tls {{ cert_file: '{}', key_file: '{}', ca_file: '{}', verify: true }}",
            file("cert"),
            file("key"),
            file("ca")
        )
    });
    let place = place.expect("a folder");
    let file = |name: &str| place.join(name).display().to_string();
    let try_with = |tls: &str| {
        sender(&server.url(), &format!("timeout = '2s'\nstream = {{ name = 'T' }}\ntls = {{ {tls} }}"))
            .send(&sample::lines(0, 1))
    };
    let ours = format!("client_cert = '{}', client_key = '{}'", file("ccert"), file("ckey"));
    for wrong in [ours.clone(), format!("ca_file = '{}', {ours}", file("other"))] {
        let why = pause(try_with(&wrong));
        assert!(why.contains("`tls.ca_file`"), "{why}");
    }
    try_with(&format!("ca_file = '{}'", file("ca"))).expect_err("the server wants our certificate");
    let why = pause(try_with("ca_file = 'no/such.pem'"));
    assert!(why.contains("no/such.pem"), "{why}");
    assert_eq!(try_with(&format!("ca_file = '{}', {ours}", file("ca"))), Ok(()));

    // A server without TLS, where TLS is a must.
    let plain = Nats::new();
    let result = sender(&plain.url().replace("nats://", "tls://"), "timeout = '2s'").send(&sample::lines(0, 1));
    result.expect_err("not in the clear");
}

fn endpoint(server: &Nats, more: &str) -> Box<dyn Endpoint> {
    let text = format!("urls = ['{}']\nstream = {{ name = 'T' }}\n{more}", server.url());
    let entry = EndpointEntry::find("nats").expect("there");
    (entry.read)(&settings(&text)).unwrap_or_else(|problems| panic!("{problems}"))().expect("opens")
}

#[test]
fn a_message_without_a_number_is_known_by_its_place_in_the_spool() {
    let server = Nats::new();
    let make = |word: &str| {
        let mut lines = Lines::new();
        for number in 0..10 {
            let mut message = sample::message(number).payload(word);
            message.origin = None;
            lines.push_with(|text| wire::write(text, &message));
        }
        lines
    };
    let ids: Vec<u64> = (100..110).collect();
    let one = make("one");
    for _ in 0..3 {
        assert_eq!(endpoint(&server, "router = 'a'").write(&Picked::new(&one, &ids)), Ok(()));
    }
    assert_eq!(all(&server).len(), 10);
    // Another router's, and another router's by the same name.
    assert_eq!(endpoint(&server, "router = 'b'").write(&Picked::new(&one, &ids)), Ok(()));
    assert_eq!(endpoint(&server, "router = 'a'").write(&Picked::new(&make("two"), &ids)), Ok(()));
    let stored = all(&server);
    assert_eq!(stored.len(), 30);
    assert!(stored[0].id.as_deref().is_some_and(|id| id.starts_with("a-100-")), "{:?}", stored[0].id);
}

#[test]
fn a_server_killed_under_load_keeps_what_it_confirmed_and_keeps_it_once() {
    let mut server = Nats::new();
    let url = server.url();
    let stop = AtomicBool::new(false);
    let sent = std::thread::scope(|scope| {
        let worker = scope.spawn(|| {
            let mut sender = named(&url);
            let mut sent = 0;
            while !stop.load(Ordering::Relaxed) {
                let outcome = drive(&mut *sender, sample::lines(sent, 2000), Policy::within(PATIENCE));
                assert_eq!(outcome.sent, 2000, "{:?}", outcome.errors.last());
                sent += 2000;
            }
            sent
        });
        for cycle in 0..5 {
            std::thread::sleep(Duration::from_millis(150 + 40 * cycle));
            server.kill();
            std::thread::sleep(Duration::from_millis(20));
            server.start();
        }
        std::thread::sleep(Duration::from_millis(300));
        stop.store(true, Ordering::Relaxed);
        worker.join().expect("no panic")
    });
    let raw = Raw::connect(&server);
    assert_eq!(raw.count("T"), sent, "as many as were confirmed");
    let (stored, _) = raw.stored("T", 1);
    let mut there = numbers(&stored);
    there.sort_unstable();
    assert!(there.into_iter().eq(0..sent), "each once");
}

#[test]
fn a_server_that_answers_nothing_costs_its_time_out_and_no_more() {
    let server = Nats::new();
    let mut sender = sender(&server.url(), "stream = { name = 'T' }\ntimeout = '1s'");
    assert_eq!(sender.send(&sample::lines(0, 100)), Ok(()));
    server.freeze(true);
    for _ in 0..2 {
        let began = Instant::now();
        let result = sender.send(&sample::lines(100, 100));
        assert!(matches!(result, Err(SendError::Retry { .. })), "{result:?}");
        assert!(began.elapsed() < Duration::from_secs(3), "{:?}", began.elapsed());
    }
    server.freeze(false);
    let outcome = drive(&mut *sender, sample::lines(100, 100), PATIENCE);
    assert_eq!(outcome.sent, 100, "{outcome:?}");
    assert_eq!(numbers(&all(&server)), (0..200).collect::<Vec<_>>());
}

#[test]
fn of_several_servers_one_will_do() {
    let server = Nats::new();
    let gone = Nats::new().url();
    let text = format!("urls = ['{gone}', '{}', '{gone}']\nstream = {{ name = 'T' }}", server.url());
    for number in 0..5 {
        let mut sender = open("nats", &text).expect("opens");
        assert_eq!(sender.send(&sample::lines(number, 1)), Ok(()));
    }
}
