//! Endpoints whose peer is not who it should be: they keep what they have, and say what is wrong.

use super::stage::{Directory, Running, eventually, message, message_of};
use super::support::{Before, Peer, Way};
use metlog_testkit::Authority;

/// One endpoint of every kind that can speak TLS, each to a peer on this machine.
struct Matrix {
    peers: [Peer; 3],
    config: String,
}

/// How many endpoints that is.
const KINDS: usize = 8;

fn matrix(way: &Way, ca: &Authority) -> Matrix {
    let peers = [Before::Nothing, Before::Postgres, Before::Nats].map(|before| Peer::new(before, way.clone()));
    let [plain, postgres, nats] = [&peers[0], &peers[1], &peers[2]].map(|peer| peer.port);
    let trust = format!("ca_file = '{}'\nonly_ca_file = true\n", ca.ca_file().display());
    let common = "retry_max = '200ms'\n";
    let http = |name: &str, own: &str| {
        format!("[endpoints.{name}]\n{common}{own}\n[endpoints.{name}.connection]\nconnect_timeout = '2s'\n{trust}")
    };
    let config = [
        "[inputs.tcp]\nlisten = '127.0.0.1:0'\n".to_owned(),
        format!("[endpoints.tcp]\n{common}address = 'localhost:{plain}'\n[endpoints.tcp.tls]\n{trust}"),
        http("http", &format!("url = 'https://localhost:{plain}'")),
        http("victorialogs", &format!("url = 'https://localhost:{plain}'")),
        http("webhook", &format!("url = 'https://localhost:{plain}/hook'")),
        http("sentry", &format!("dsn = 'https://key@localhost:{plain}/1'")),
        format!(
            "[endpoints.email]\n{common}server = 'localhost'\nport = {plain}\ntls = 'tls'\ntimeout = '3s'\n\
             from = 'a@example.org'\nto = ['b@example.org']\n{trust}"
        ),
        format!(
            "[endpoints.postgres]\n{common}url = 'postgres://u@localhost:{postgres}/d'\nsslmode = 'verify-full'\n\
             timeout = '3s'\n{trust}"
        ),
        format!(
            "[endpoints.nats]\n{common}urls = ['tls://localhost:{nats}']\ntimeout = '3s'\nstream = {{ name = 'T' }}\n\
             [endpoints.nats.tls]\n{trust}"
        ),
    ]
    .concat();
    Matrix { peers, config }
}

/// Every endpoint says these words, nothing leaves the router, and nothing is lost.
fn everybody_waits(what: &str, way: &Way, ca: &Authority, words: &[&str]) {
    let Matrix { peers, config } = matrix(way, ca);
    let directory = Directory::new();
    let running = Running::start(&directory, &config);
    running.send("tcp", (0..3).map(|number| message_of("oldstyle", 3, number)));
    eventually(&format!("{what}: everybody has tried"), || {
        let lines = running.account().endpoints;
        lines.iter().filter(|line| line.state.error.is_some()).count() == KINDS
    });
    for line in running.balanced().endpoints {
        let why = line.state.error.unwrap_or_default();
        assert!(words.is_empty() || words.iter().any(|word| why.contains(word)), "{what}: {}: {why}", line.name);
        let counts = line.counts;
        assert_eq!((counts.delivered, counts.dead, counts.dropped, line.buffered), (0, 0, 0, 3), "{}", line.name);
    }
    assert!(peers.iter().all(|peer| peer.got().is_empty()), "{what}: not a byte of a message");
    running.stop();
}

#[test]
fn a_peer_that_is_not_who_it_should_be_gets_nothing_and_the_reason_is_told() {
    let (authority, stranger) = (Authority::new(), Authority::new());
    let here = &["localhost"];
    let tls = |paper| Way::Tls(paper, None);
    let trusted = "an authority that is not trusted here (UnknownIssuer)";
    for (what, way, words) in [
        ("wrong authority", tls(stranger.paper(here)), trusted),
        ("self-signed", tls(authority.self_signed(here)), trusted),
        ("expired", tls(authority.paper_of_years(here, 2020, 2021)), "certificate expired on 2021-01-01"),
        (
            "not yet valid",
            tls(authority.paper_of_years(here, 2080, 2081)),
            "certificate is not valid before 2080-01-01",
        ),
        ("wrong name", tls(authority.paper(&["example.org"])), "is not for `localhost` but for"),
        ("no TLS", Way::Plaintext, "does not speak TLS on this port"),
        ("TLS 1.1", Way::TooOld, "speaks no TLS that we do, 1.2 or 1.3"),
    ] {
        everybody_waits(what, &way, &authority, &[words]);
    }
}

#[test]
fn a_peer_that_hangs_up_or_says_nothing_is_tried_again() {
    let authority = Authority::new();
    everybody_waits("hangs up", &Way::HangUp, &authority, &[]);
    everybody_waits("silence", &Way::Silence, &authority, &[]);
}

#[test]
fn a_certificate_of_ours_that_is_missing_is_asked_for() {
    let authority = Authority::new();
    let way = Way::Tls(authority.paper(&["localhost"]), Some(authority.ca_file()));
    // Some hear of it in the handshake, others from the first answer.
    everybody_waits("no certificate", &way, &authority, &["wants a certificate of ours"]);
}

#[test]
fn what_was_kept_goes_out_when_the_peer_is_right_again() {
    let authority = Authority::new();
    let peer = Peer::new(Before::Nothing, Way::Tls(authority.paper_of_years(&["localhost"], 2020, 2021), None));
    let config = format!(
        "[inputs.tcp]\nlisten = '127.0.0.1:0'\n[endpoints.tcp]\nretry_max = '200ms'\naddress = 'localhost:{}'\n\
         [endpoints.tcp.tls]\nca_file = '{}'\nonly_ca_file = true\n",
        peer.port,
        authority.ca_file().display()
    );
    let directory = Directory::new();
    let running = Running::start(&directory, &config);
    running.send("tcp", (0..500).map(message));
    eventually("it has tried", || running.account().endpoints.iter().any(|line| line.state.error.is_some()));
    peer.mend(Way::Tls(authority.paper(&["localhost"]), None));
    eventually("all are there", || peer.got().lines().count() == 500);
    let got: Vec<String> = peer.got().lines().map(str::to_owned).collect();
    assert_eq!(got, (0..500).map(message).collect::<Vec<_>>(), "each once, in order");
    eventually("all are counted", || running.balanced().endpoints.iter().all(|line| line.counts.delivered == 500));
}
