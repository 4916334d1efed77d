//! Keys over real sockets: who is let in where, and what becomes of whoever is not.

mod support;

use metlog_http::axum::Router;
use metlog_http::axum::body::{Body, Bytes};
use metlog_http::axum::extract::State;
use metlog_http::axum::http::Request;
use metlog_http::axum::routing::{delete, get, post};
use metlog_http::server::Counters;
use metlog_http::server::keys::{Gate, Hash, Key, Keys, Rate, Scope, new_key};
use metlog_http::{Dialect, Door, Refused, ServerLimits};
use metlog_settings::Secret;
use metlog_testkit::eventually;
use metlog_testkit::inlet::Recorder;
use std::convert::Infallible;
use std::io::Read;
use std::sync::atomic::{AtomicU64, Ordering::SeqCst};
use std::sync::{Arc, LazyLock};
use std::time::{Duration, Instant};
use support::{Answer, Running, request};

const LONG: Duration = Duration::from_secs(10);

/// Writes, reads and changes; a path for two of them. Counts the bodies that it was given to write.
#[derive(Default)]
struct Example(Arc<AtomicU64>);

impl Dialect for Example {
    fn routes(self: Box<Self>, door: Door) -> Router {
        async fn write(
            State((door, bodies)): State<(Door, Arc<AtomicU64>)>,
            request: Request<Body>,
        ) -> Result<String, Refused> {
            let content = door.content(request).await?;
            bodies.fetch_add(1, SeqCst);
            let push = |body: &[u8], inlet: &mut metlog_pipeline::Inlet| {
                body.split(|byte| *byte == b'\n').for_each(|line| inlet.push(line));
            };
            let (receipt, ()) = door.take(content, push).await?;
            Ok((receipt.accepted + receipt.rejected.len()).to_string())
        }
        async fn search(State(door): State<Door>, request: Request<Body>) -> Result<String, Refused> {
            Ok(format!("found {}", door.content(request).await?.len()))
        }
        async fn endless() -> Body {
            let tick = async |()| {
                tokio::time::sleep(Duration::from_millis(20)).await;
                Some((Ok::<_, Infallible>(Bytes::from_static(b"tick\n")), ()))
            };
            Body::from_stream(futures_util::stream::unfold((), tick))
        }
        let read = async || "read";
        let reading = Router::new()
            .route("/both", get(read))
            .route("/search", post(search))
            .route("/tail", get(endless))
            .with_state(door.clone());
        let admin = Router::new().route("/change", delete(async || "changed"));
        let any = Router::new().route("/version", get(async || "1"));
        Router::new()
            .route("/both", post(write))
            .route("/write", post(write).get(read))
            .with_state((door.clone(), self.0))
            .merge(door.for_reading(reading))
            .merge(door.for_admin(admin))
            .merge(door.for_any_key(any))
    }
}

static WRITES: LazyLock<Secret> = LazyLock::new(|| new_key().expect("random bytes"));
static READS: LazyLock<Secret> = LazyLock::new(|| new_key().expect("random bytes"));
static BOTH: LazyLock<Secret> = LazyLock::new(|| new_key().expect("random bytes"));
static ADMIN: LazyLock<Secret> = LazyLock::new(|| new_key().expect("random bytes"));
static ELSEWHERE: LazyLock<Secret> = LazyLock::new(|| new_key().expect("random bytes"));
static HERE: LazyLock<Secret> = LazyLock::new(|| new_key().expect("random bytes"));

fn known(name: &str, key: &Secret, scopes: &[Scope]) -> Key {
    Key::new(name, Hash::of(key.reveal().as_bytes()), scopes)
}

fn all() -> Vec<Key> {
    vec![
        known("writes", &WRITES, &[Scope::Ingest]),
        known("reads", &READS, &[Scope::Read]),
        known("both", &BOTH, &[Scope::Ingest, Scope::Read]),
        known("admin", &ADMIN, &[Scope::Admin]),
        known("elsewhere", &ELSEWHERE, &[Scope::Admin]).within(["other".to_owned()]),
        known("here", &HERE, &[Scope::Ingest]).within(["other".to_owned(), "example".to_owned()]),
    ]
}

fn start_with(gate: Arc<Gate>, keyless: bool) -> Running {
    start_example(gate, keyless, Example::default())
}

fn start_example(gate: Arc<Gate>, keyless: bool, example: Example) -> Running {
    Running::behind(gate, ServerLimits::default(), |server| {
        let guard = server.guard();
        Router::new()
            .route("/health", get(async || "alive"))
            .merge(guard.for_reading(Router::new().route("/status", get(async || "well"))))
            .merge(guard.for_any_key(Router::new().route("/", get(async || "{}"))))
            .merge(server.door(Recorder::new().inlet()).lead_to("example", keyless, Box::new(example)))
    })
}

fn start() -> Running {
    start_with(Gate::new(Keys::new(all())), false)
}

fn bearer(key: &Secret) -> String {
    format!("Authorization: Bearer {}\r\n", key.reveal())
}

fn count(running: &Running, which: fn(&Counters) -> &AtomicU64) -> u64 {
    which(&running.counters).load(SeqCst)
}

const ROUTES: [&str; 11] = [
    "GET /health",
    "GET /nothing",
    "GET /",
    "GET /version",
    "POST /write",
    "GET /write",
    "POST /both",
    "GET /both",
    "POST /search",
    "GET /status",
    "DELETE /change",
];

/// The statuses of all routes, one digit each: 2 for 200, 1 for 401, 3 for 403, 4 for 404.
fn statuses(running: &Running, headers: &str) -> String {
    let digit = |what: &str| match running.ask(&format!("{what}\r\n{headers}"), b"x").status {
        200 => '2',
        401 => '1',
        403 => '3',
        404 => '4',
        other => panic!("{other} to {what} with {headers}"),
    };
    ROUTES.map(digit).iter().collect()
}

#[test]
fn every_route_for_every_key() {
    let running = start();
    let unknown = new_key().expect("random bytes");
    // health, nothing, home, version, write, read of writers, write and read on one path, search, status, change
    let table = [
        (String::new(), "24111111111"),
        (bearer(&unknown), "24111111111"),
        (bearer(&WRITES), "24222223333"),
        (bearer(&READS), "24223332223"),
        (bearer(&BOTH), "24222222223"),
        (bearer(&ADMIN), "24222222222"),
        (bearer(&ELSEWHERE), "24233333333"),
        (bearer(&HERE), "24222223333"),
    ];
    for (headers, expected) in table {
        assert_eq!(statuses(&running, &headers), expected, "{headers}");
    }
    let refused = count(&running, |counters| &counters.without_key) + count(&running, |counters| &counters.wrong_key);
    assert_eq!(refused, 18);
    assert!(count(&running, |counters| &counters.wrong_scope) > 0);
}

#[test]
fn without_keys_nobody_is_asked_and_where_all_may_write_they_may_do_nothing_else() {
    let running = start_with(Arc::default(), false);
    assert_eq!(statuses(&running, ""), "24222222222");
    assert_eq!(statuses(&running, &bearer(&WRITES)), "24222222222");
    assert_eq!(running.ask(&format!("GET /key/{}/write", WRITES.reveal()), b"").body, "read");
    let running = start_with(Gate::new(Keys::new(all())), true);
    assert_eq!(statuses(&running, ""), "24122221111");
    assert_eq!(statuses(&running, "Authorization: Basic ZWxhc3RpYzpjaGFuZ2VtZQ==\r\n"), "24122221111");
    assert_eq!(statuses(&running, &bearer(&READS)), "24222222223");
}

#[test]
fn what_a_dialect_does_with_other_paths_takes_a_key_too() {
    struct Everything;
    impl Dialect for Everything {
        fn routes(self: Box<Self>, _: Door) -> Router {
            Router::new().fallback(async || "whatever it was")
        }
    }
    let running = Running::behind(Gate::new(Keys::new(all())), ServerLimits::default(), |server| {
        let door = server.door(Recorder::new().inlet());
        Router::new().route("/health", get(async || "alive")).merge(door.lead_to(
            "example",
            false,
            Box::new(Everything),
        ))
    });
    let ask = |headers: &str| running.ask(&format!("PUT /what/ever\r\n{headers}"), b"x").status;
    assert_eq!([ask(""), ask(&bearer(&READS)), ask(&bearer(&WRITES))], [401, 403, 200]);
    assert_eq!(running.ask("GET /health", b"").status, 200);
}

#[test]
fn a_key_wherever_a_client_can_put_it() {
    use base64::Engine;
    let coded = |text: String| base64::engine::general_purpose::STANDARD.encode(text);
    let running = start();
    let key = WRITES.reveal();
    for headers in [
        format!("Authorization: Bearer {key}\r\n"),
        format!("authorization: bearer {key}\r\n"),
        format!("Authorization: Basic {}\r\n", coded(format!("anybody:{key}"))),
        format!("Authorization: Basic {}\r\n", coded(format!("{key}:"))),
        format!("Authorization: ApiKey {}\r\n", coded(format!("id:{key}"))),
        format!("Authorization: ApiKey {key}\r\n"),
        format!("X-Api-Key: {key}\r\n"),
        // A proxy's own word does no harm.
        format!("Authorization: Basic {}\r\nX-Api-Key: {key}\r\n", coded("proxy:secret".to_owned())),
    ] {
        let answer = running.ask(&format!("POST /write\r\n{headers}"), b"{}");
        assert_eq!((answer.status, answer.body.as_str()), (200, "1"), "{headers}");
    }
    for path in [format!("/key/{key}/write"), format!("/key/{key}//write"), format!("/key/{key}/write?x=1")] {
        assert_eq!(running.ask(&format!("POST {path}"), b"{}").body, "1", "{path}");
    }
    for head in [
        format!("POST /write?key={key}"),
        format!("POST /write?api_key={key}&token={key}&access_token={key}"),
        format!("POST /write/key/{key}"),
        format!("POST /write\r\nCookie: key={key}\r\n"),
        format!("POST /write\r\nAuthorization: Digest {key}\r\n"),
        format!("POST /write\r\nAuthorization: Bearer {}\r\n", &key[..key.len() - 1]),
        format!("POST /write\r\nAuthorization: Bearer {key}A\r\n"),
        format!("POST /write\r\nAuthorization: Bearer {}\r\n", key.to_uppercase()),
    ] {
        assert!(matches!(running.ask(&head, b"{}").status, 401 | 404), "{head}");
    }
}

#[test]
fn a_refusal_says_what_to_do_and_no_key() {
    let running = start();
    let ask = |headers: &str| running.ask(&format!("POST /write\r\n{headers}"), b"x");
    let challenges = |answer: &Answer| answer.head.to_ascii_lowercase().matches("www-authenticate").count();
    let without = ask("");
    assert_eq!((without.status, without.header("www-authenticate")), (401, Some("Bearer realm=\"metlog\"")));
    assert!(without.body.contains("/key/KEY") && without.body.is_ascii() && without.body.len() < 512);
    assert_eq!(challenges(&without), 1);
    // A browser can then ask whoever sits before it.
    assert_eq!(challenges(&ask("Accept: text/html,*/*\r\n")), 2);
    let wrong = ask("X-Api-Key: hunter2\r\n");
    assert_eq!(wrong.status, 401);
    assert!(wrong.body.contains("not known") && !wrong.body.contains("hunter2"), "{wrong:?}");
    let scope = ask(&bearer(&READS));
    assert_eq!((scope.status, challenges(&scope)), (403, 0));
    assert!(scope.body.contains("ingest") && !scope.body.contains(READS.reveal()), "{scope:?}");
    let lost = running.ask(&format!("GET /key/{}/nowhere", READS.reveal()), b"");
    assert!(lost.status == 404 && !lost.body.contains(READS.reveal()), "{lost:?}");
}

#[test]
fn a_body_is_not_asked_for_before_its_key_is_known() {
    let bodies = Arc::<AtomicU64>::default();
    let running = start_example(Gate::new(Keys::new(all())), false, Example(bodies.clone()));
    let mut client = running.connect();
    client.write("POST /write HTTP/1.1\r\nHost: localhost\r\nExpect: 100-continue\r\nContent-Length: 16000000\r\n\r\n");
    let began = Instant::now();
    assert_eq!(client.answer().expect("an answer").status, 401);
    assert!(began.elapsed() < Duration::from_secs(1), "{:?}: it waited for the body", began.elapsed());
    // Whoever writes without looking gets to read the answer, however much it is.
    let mut client = running.connect();
    let _ = client.try_write(request("POST /write", &vec![b'x'; 4 << 20]));
    assert_eq!(client.answer().expect("an answer").status, 401);
    assert_eq!((bodies.load(SeqCst), running.bounds.in_flight()), (0, 0));
    let mut client = running.connect();
    let head = format!("POST /write\r\nExpect: 100-continue\r\n{}", bearer(&WRITES));
    client.write(request(&head, b"x"));
    assert_eq!(client.answer().expect("asked for it").status, 100);
    assert_eq!(client.answer().expect("an answer").status, 200);
    assert_eq!(bodies.load(SeqCst), 1);
}

#[test]
fn one_connection_has_as_many_masters_as_requests() {
    let running = start();
    let mut client = running.connect();
    let mut all = Vec::new();
    for (headers, body) in
        [(String::new(), "a\nb"), (bearer(&WRITES), "c\nd"), (bearer(&READS), "e"), (bearer(&WRITES), "f")]
    {
        all.extend(request(&format!("POST /write\r\n{headers}"), body.as_bytes()));
    }
    // The body of a refused request must not be taken for the next one.
    all.extend(request("POST /write", &request(&format!("POST /write\r\n{}", bearer(&WRITES)), b"inner")));
    all.extend(request("GET /health", b""));
    client.write(all);
    let statuses: Vec<u16> = (0..6).map(|_| client.answer().expect("an answer").status).collect();
    assert_eq!(statuses, [401, 200, 403, 200, 401, 200]);
}

#[test]
fn keys_that_are_much_too_long_are_wrong_and_nothing_more() {
    let running = start();
    let long = "A".repeat(20_000);
    for head in [
        format!("POST /write\r\nAuthorization: Bearer {long}\r\n"),
        format!("POST /write\r\nAuthorization: Basic {long}\r\n"),
        format!("POST /write\r\nAuthorization: ApiKey {long}\r\n"),
        format!("POST /write\r\nX-Api-Key: {long}\r\n"),
        format!("POST /key/{long}/write"),
        format!("POST /write\r\n{}", "X-Api-Key: a\r\n".repeat(90)),
    ] {
        assert_eq!(running.ask(&head, b"x").status, 401);
    }
    assert_eq!(running.ask(&format!("POST /write\r\n{}", "X-Api-Key: a\r\n".repeat(200)), b"x").status, 431);
    let right = format!("POST /write\r\n{}", bearer(&WRITES));
    assert_eq!(running.ask(&right, b"x").status, 200);
}

#[test]
fn too_many_wrong_keys_are_told_to_wait_and_the_right_one_is_not() {
    let running = start();
    let mut client = running.connect();
    let mut ask = |key: &str| client.ask(&format!("POST /write\r\nX-Api-Key: {key}\r\n"), b"x");
    let statuses: Vec<u16> = (0..60).map(|number| ask(&format!("wrong{number}")).status).collect();
    assert_eq!(statuses.iter().take(20).filter(|status| **status == 401).count(), 20, "{statuses:?}");
    assert!(statuses.iter().filter(|status| **status == 429).count() > 25, "{statuses:?}");
    let last = ask("wrong");
    assert_eq!((last.status, last.header("retry-after")), (429, Some("1")));
    assert_eq!(ask(WRITES.reveal()).status, 200);
    assert!(count(&running, |counters| &counters.wrong_keys) > 25);
}

#[test]
fn messages_beyond_a_rate_wait() {
    let rate: Rate = "10/s".parse().expect("a rate");
    let key = || known("slow", &BOTH, &[Scope::Ingest, Scope::Read]).at_most(Some(rate));
    let gate = Gate::new(Keys::new([key()]));
    let running = start_with(gate.clone(), false);
    let ask = |what: &str, body: &str| running.ask(&format!("{what}\r\n{}", bearer(&BOTH)), body.as_bytes());
    assert_eq!(ask("GET /both", "").status, 200);
    // One request may go beyond it, and the next ones pay for that.
    assert_eq!(ask("POST /write", &["m"; 50].join("\n")).body, "50");
    let late = ask("POST /write", "m");
    assert_eq!(late.status, 429, "{late:?}");
    let wait: u64 = late.header("retry-after").expect("a time").parse().expect("seconds");
    assert!((3..=5).contains(&wait), "{wait}");
    assert_eq!((ask("GET /both", "").status, ask("POST /search", "x").status), (429, 429));
    // Another configuration with the same key refills nothing.
    gate.set(&Keys::new([key(), known("new", &WRITES, &[Scope::Ingest])]));
    assert_eq!(ask("POST /write", "m").status, 429);
    assert_eq!(count(&running, |counters| &counters.over_rate), 4);
    assert!(eventually(LONG, || ask("POST /write", "m").status == 200));
}

#[test]
fn a_key_that_is_taken_away_ends_what_goes_on_with_it() {
    let gate = Gate::new(Keys::new(all()));
    let running = start_with(gate.clone(), false);
    let tail = |key: &Secret| {
        let mut client = running.connect();
        client.write(request(&format!("GET /tail\r\n{}", bearer(key)), b""));
        let mut first = [0; 64];
        assert!(client.socket.read(&mut first).is_ok_and(|read| read > 0) && first.starts_with(b"HTTP/1.1 200"));
        client.socket
    };
    let (mut stays, mut goes) = (tail(&READS), tail(&BOTH));
    gate.set(&Keys::new(all().into_iter().filter(|key| key.name() != "both")));
    let began = Instant::now();
    let _ = goes.read_to_end(&mut Vec::new());
    assert!(began.elapsed() < LONG, "{:?}", began.elapsed());
    let mut more = [0; 64];
    for _ in 0..10 {
        assert!(stays.read(&mut more).expect("it goes on") > 0);
    }
    assert_eq!(running.ask(&format!("GET /both\r\n{}", bearer(&BOTH)), b"").status, 401);
    assert_eq!(gate.keys().all().iter().find(|key| key.name() == "reads").expect("still there").used(), 1);
}
