//! Against a mail server and a reader of mails that somebody else wrote: aiosmtpd, and Python's own.

use metlog_email as _;
use metlog_message::{Fields, Lines, Message, Severity, wire};
use metlog_pipeline::{EndpointEntry, Picked};
use metlog_testkit::service::{map, text};
use metlog_testkit::{python, sample, settings};
use std::io::{BufRead, BufReader};
use std::net::TcpListener;
use std::process::{Child, ChildStdout, Command, Stdio};

struct Server {
    process: Child,
    said: BufReader<ChildStdout>,
    port: u16,
}

impl Server {
    fn new() -> Self {
        let port = TcpListener::bind("127.0.0.1:0").and_then(|free| free.local_addr()).expect("a free port").port();
        let mut process = Command::new(python(&["aiosmtpd==1.4.6"]))
            .args(["-u", concat!(env!("CARGO_MANIFEST_DIR"), "/tests/support/server.py"), &port.to_string()])
            .stdout(Stdio::piped())
            .spawn()
            .expect("it starts");
        let said = BufReader::new(process.stdout.take().expect("a pipe"));
        let mut server = Server { process, said, port };
        assert!(server.mail().is_empty(), "it listens");
        server
    }

    fn mail(&mut self) -> Fields {
        let mut line = String::new();
        self.said.read_line(&mut line).expect("a line");
        map(line.trim().as_bytes())
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

#[test]
fn its_reader_finds_what_we_meant_and_nothing_else() {
    let mut server = Server::new();
    let entry = EndpointEntry::find("email").expect("registered");
    let toml = format!(
        "server = '127.0.0.1'\nport = {}\ntls = 'none'\nfrom = 'Metlög (prod) <metlog@example.org>'\nprefix = ''\n\
         to = ['a@example.org', 'Bö <b@example.org>']\nthrottle = '0s'\nper_minute = 1000",
        server.port
    );
    let read = (entry.read)(&settings(&toml)).unwrap_or_else(|problems| panic!("{problems}"));
    let mut endpoint = read().expect("opens");

    let mut payloads = sample::nasty();
    payloads.extend(
        ["x\r\n.\r\nRCPT TO:<evil@example.org>", "\n.\n", "=?utf-8?b?QmNjOiB4?=", "日本語 🦀 ".repeat(30).as_str()]
            .map(String::from),
    );
    for (number, payload) in payloads.iter().enumerate() {
        let mut message =
            Message::new("täg\r\nBcc: x").logger("shop").severity(Severity::Error).payload(payload.as_str());
        message.hostname = Some("app01".into());
        let mut line = Vec::new();
        wire::write(&mut line, &message);
        let lines: Lines = [line].into_iter().collect();
        assert_eq!(endpoint.write(&Picked::new(&lines, &[number as u64])), Ok(()), "{payload:?}");

        let mail = server.mail();
        let of = |key: &str| text(&mail, key);
        assert_eq!((of("from"), of("to")), ("metlog@example.org".into(), "a@example.org;b@example.org".into()));
        assert_eq!((of("shown"), of("name")), ("a@example.org;b@example.org".into(), "Metlög (prod)".into()));
        assert_eq!(of("names").split(';').count(), 14, "{}", of("names"));
        let kind = metlog_alerts::text::line("täg\r\nBcc: x", 120);
        let first = metlog_alerts::text::first_line(payload);
        let first = if first.is_empty() { "täg\r\nBcc: x" } else { first };
        let subject =
            metlog_alerts::text::line(&format!("error shop: {}", metlog_alerts::text::start(first, 1000).0), 120);
        assert_eq!((of("subject"), of("type")), (subject, kind));
        assert_eq!(of("defects"), "");
        assert!(of("body").contains("severity  error (3)") && of("date").starts_with("20"), "{mail:?}");
        let shown = metlog_alerts::text::page(payload, 200);
        for line in shown.strip_suffix('…').unwrap_or(&shown).lines() {
            assert!(of("body").contains(&format!("    {line}")), "{line:?} in {}", of("body"));
        }
    }
}
