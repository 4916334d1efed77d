//! The whole program beside programs that are not ours: curl and openssl.

use super::stage::{Directory, eventually, message};
use metlog_testkit::{Authority, Paper};
use std::io::{BufRead, BufReader, Write};
use std::path::PathBuf;
use std::process::{Child, Command, Output, Stdio};

const PROGRAM: &str = env!("CARGO_BIN_EXE_metlog-router");

/// A router with TLS everywhere, in a process of its own.
struct Router {
    child: Child,
    directory: Directory,
    authority: Authority,
    paper: Paper,
    client: Paper,
}

impl Router {
    fn start() -> Self {
        let (directory, authority) = (Directory::new(), Authority::new());
        let (paper, client) = (authority.paper(&["localhost"]), authority.paper(&["client"]));
        let tls = format!(
            "cert_file = '{}'\nkey_file = '{}'\nclient_ca_file = '{}'",
            paper.cert.display(),
            paper.key.display(),
            authority.ca_file().display()
        );
        let text = format!(
            "[router]\nhttp = '127.0.0.1:0'\ndrain = '2s'\n[router.tls]\n{tls}\n[inputs.http]\n[inputs.tcp]\n\
             listen = '127.0.0.1:0'\nack = true\n[inputs.tcp.tls]\n{tls}\n[endpoints.file]\npath = 'all.jsonl'\n\
             [endpoints.store]\n"
        );
        std::fs::write(directory.0.join("router.toml"), text).unwrap();
        let log = std::fs::File::create(directory.0.join("log.txt")).unwrap();
        let mut command = Command::new(PROGRAM);
        command.args(["run", "--config", "router.toml"]).current_dir(&directory.0);
        let child = command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(log).spawn().unwrap();
        let mut router = Router { child, directory, authority, paper, client };
        eventually("it starts", || {
            assert!(router.child.try_wait().unwrap().is_none(), "{}", router.log());
            router.log().contains("see what becomes of it")
        });
        router
    }

    fn log(&self) -> String {
        std::fs::read_to_string(self.directory.0.join("log.txt")).unwrap()
    }

    /// Its place, as it prints it.
    fn port(&self, begin: &str) -> u16 {
        let log = self.log();
        let (_, rest) = log.split_once(begin).unwrap_or_else(|| panic!("no {begin} in\n{log}"));
        let place = rest.lines().next().unwrap();
        place.rsplit_once(':').unwrap().1.parse().unwrap()
    }

    fn url(&self) -> String {
        format!("https://localhost:{}", self.port("input http: https://127.0.0.1"))
    }

    /// What curl says, as somebody with a certificate.
    fn curl(&self, path: &str, more: &[&str]) -> Output {
        let mut command = self.curl_without(path, more);
        command.arg("--cert").arg(&self.client.cert).arg("--key").arg(&self.client.key);
        command.output().expect("curl is there")
    }

    fn curl_without(&self, path: &str, more: &[&str]) -> Command {
        let mut command = Command::new("curl");
        command.args(["-sS", "--max-time", "30", "--noproxy", "*", "--cacert"]).arg(self.authority.ca_file());
        command.args(more).arg(format!("{}{path}", self.url()));
        command
    }

    fn own(&self, arguments: &[&str], ca: &PathBuf) -> Output {
        let mut command = Command::new(PROGRAM);
        command.args(arguments).args(["--to", &self.url(), "--ca-file"]).arg(ca);
        command.arg("--client-cert").arg(&self.client.cert).arg("--client-key").arg(&self.client.key);
        command.output().expect("it runs")
    }

    fn status(&self) -> serde_json::Value {
        serde_json::from_slice(&self.curl("/v1/status", &[]).stdout).expect("the status")
    }

    /// The account, at the end.
    fn stop(mut self, delivered: u64) {
        eventually("all are delivered", || {
            let status = self.status();
            let lines = status["endpoints"].as_array().expect("endpoints").clone();
            lines.iter().all(|line| line["delivered"] == delivered)
        });
        assert_eq!(self.status()["unaccounted"], 0);
        self.child.kill().unwrap();
        self.child.wait().unwrap();
        assert!(!self.log().contains("panicked"), "{}", self.log());
    }
}

impl Drop for Router {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn words(output: &Output) -> String {
    format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr))
}

#[test]
fn curl_and_our_own_commands_speak_with_it_and_strangers_do_not() {
    let router = Router::start();
    let answer = words(&router.curl("/v1/messages", &["-d", &message(1)]));
    assert!(answer.contains("\"accepted\":1"), "{answer}");
    // Without a certificate.
    let refused = router.curl_without("/v1/messages", &["-d", &message(2)]).output().expect("curl is there");
    assert!(!refused.status.success(), "{}", words(&refused));
    // An old version of TLS, where this curl still knows it.
    let old = router.curl("/health/live", &["--tls-max", "1.1", "--ciphers", "DEFAULT@SECLEVEL=0"]);
    assert!(!old.status.success(), "{}", words(&old));
    let plain = router.url().replace("https://", "http://");
    let output = Command::new("curl").args(["-sS", "--noproxy", "*", "--max-time", "30", &plain]).output().unwrap();
    assert!(words(&output).contains("this port speaks TLS"), "{}", words(&output));

    let ca = router.authority.ca_file();
    let sent = router.own(&["send", "hello", "--type", "greeting"], &ca);
    assert!(sent.status.success() && words(&sent).contains("\"accepted\":1"), "{}", words(&sent));
    let stranger = Authority::new();
    for arguments in [&["status"][..], &["send", "x"], &["tail"], &["find", "hello"]] {
        let refused = words(&router.own(arguments, &stranger.ca_file()));
        assert!(refused.contains("not trusted here") && refused.contains("`--ca-file`"), "{arguments:?}: {refused}");
    }
    eventually("it is found", || words(&router.own(&["find", "hello"], &ca)).contains("hello"));
    let status = words(&router.own(&["status"], &ca));
    assert!(status.contains("unaccounted for: 0"), "{status}");
    let place = router.url().replace("localhost", "127.0.0.1");
    for reason in ["plaintext", "no_certificate", "distrusted"] {
        let told = status.lines().find(|line| line.starts_with(&format!("turned away at {place}")));
        assert!(told.is_some_and(|line| line.contains(reason)), "{reason}: {status}");
    }
    let metrics = words(&router.curl("/metrics", &[]));
    let line = format!("metlog_http_connections_refused_total{{port=\"{place}\",reason=\"plaintext\"}} 1");
    assert!(metrics.contains(&line), "{metrics}");
    router.stop(2);
}

#[test]
fn openssl_sends_and_is_acknowledged() {
    let router = Router::start();
    let port = router.port("input tcp: tls://127.0.0.1");
    let mut openssl = Command::new("openssl");
    openssl.args(["s_client", "-quiet", "-no_ign_eof", "-verify_return_error", "-servername", "localhost"]);
    openssl.args(["-verify_hostname", "localhost", "-connect", &format!("127.0.0.1:{port}"), "-CAfile"]);
    openssl.arg(router.authority.ca_file()).arg("-cert").arg(&router.client.cert).arg("-key").arg(&router.client.key);
    let mut child =
        openssl.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::null()).spawn().expect("openssl is there");
    let mut input = child.stdin.take().unwrap();
    let mut answers = BufReader::new(child.stdout.take().unwrap()).lines();
    for number in 1..=3 {
        writeln!(input, "{}", message(number)).unwrap();
        let answer = answers.next().expect("an acknowledgement").unwrap();
        assert_eq!(answer, format!("{{\"accepted\":{number},\"rejected\":0}}"));
    }
    drop(input);
    let _ = child.kill();
    child.wait().unwrap();
    router.stop(3);
}

#[test]
fn a_certificate_is_renewed_by_an_order_over_http() {
    let router = Router::start();
    let reload = || {
        words(&router.curl(
            "/v1/reload",
            &["-X", "POST", "-H", "X-Metlog: 1", "-H", "Content-Type: application/json", "-d", "{}"],
        ))
    };
    std::fs::write(&router.paper.cert, "nothing").unwrap();
    let refused = reload();
    assert!(refused.contains("no certificate is in it") && refused.contains("router.toml:5:1"), "{refused}");
    assert!(router.log().contains("reload refused"), "{}", router.log());
    assert_eq!(words(&router.curl("/health/live", &[])), "alive\n", "the old one stays");

    // `check` says the same, and a start ends with it.
    let check = Command::new(PROGRAM).args(["check", "router.toml"]).current_dir(&router.directory.0).output().unwrap();
    assert_eq!(check.status.code(), Some(2));
    assert!(words(&check).contains("no certificate is in it"), "{}", words(&check));

    let other = Authority::new();
    router.paper.become_like(&other.paper_of_years(&["localhost"], 2020, 2021));
    let check = Command::new(PROGRAM).args(["check", "router.toml"]).current_dir(&router.directory.0).output().unwrap();
    assert!(check.status.success() && words(&check).contains("expired on 2021-01-01"), "{}", words(&check));
    router.paper.become_like(&other.paper(&["localhost"]));
    assert!(reload().contains("certificates read again: router.http, tcp"), "{}", router.log());
    let output = router.curl("/health/live", &[]);
    assert!(!output.status.success(), "the old authority has not signed it");
    let ca = other.ca_file();
    let output = router.curl("/health/live", &["--cacert", &ca.display().to_string()]);
    assert_eq!(words(&output), "alive\n");
}
