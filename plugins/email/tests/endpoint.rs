//! The endpoint against a mail server that fails wherever one can.

mod support;

use metlog_alerts as _;
use metlog_email as _;
use metlog_message::{Message, Severity};
use metlog_pipeline::{EndpointEntry, SendError};
use metlog_testkit::smtp::{Act, Offers, SmtpPeer, Stage};
use metlog_testkit::{eventually, sample, settings};
use std::collections::BTreeSet;
use std::time::{Duration, Instant};
use support::{address, body, encryption, open, try_open};

fn error(payload: &str) -> Message {
    Message::new("oldstyle").logger("shop.checkout").severity(Severity::Error).payload(payload)
}

fn plain() -> SmtpPeer {
    SmtpPeer::new(Offers::default())
}

fn signed_in() -> Offers {
    Offers { auth: vec!["PLAIN", "LOGIN"], user: Some(("metlog", "hunter2")), ..Offers::default() }
}

const USER: &str = "username = 'metlog'\npassword = 'hunter2'";

fn is_retry(result: &Result<(), SendError>, words: &str) {
    let Err(SendError::Retry { why, .. }) = result else { panic!("{result:?}") };
    assert!(why.contains(words), "{why}");
}

fn is_pause(result: &Result<(), SendError>, words: &str) {
    let Err(SendError::Pause { why }) = result else { panic!("{result:?}") };
    assert!(why.contains(words), "{why}");
}

fn is_refuse(result: &Result<(), SendError>, words: &str) {
    let Err(SendError::Refuse { why, which }) = result else { panic!("{result:?}") };
    assert!(why.contains(words) && which == &[0], "{why} {which:?}");
}

#[test]
fn the_example_opens() {
    let entry = EndpointEntry::find("email").expect("registered");
    let mut root = settings(entry.example);
    let endpoints = root.as_table_mut().and_then(|root| root.remove("endpoints")).expect("a section");
    let mut section = endpoints.get("pager").cloned().expect("an endpoint");
    let table = section.as_table_mut().expect("a table");
    // Keys of every endpoint.
    table.remove("type");
    table.remove("severity_max");
    (entry.read)(&section).unwrap_or_else(|problems| panic!("{problems}"))().expect("opens");
}

#[test]
fn wrong_settings_are_told() {
    let base = "server = 'mail.example.org'\nfrom = 'a@h'\nto = ['b@h']\n";
    for (toml, words) in [
        ("tls = 'none'", "`tls` is `none`, and mail.example.org is another machine"),
        ("dangerously_unencrypted = true", "leave it away"),
        ("server = 'mail:25'", "`server` is \"mail:25\""),
        ("server = '127.0.0.2x y'", "`server`"),
        ("port = 0", "587 is usual here"),
        ("from = 'nobody'", "`from` holds \"nobody\""),
        ("to = []", "`to` names 0 recipients"),
        ("to = ['a@h\\nBcc']", "`to` holds"),
        ("username = 'x'", "`username` is set without"),
        ("password = 'hunter2'", "`username` is missing"),
        ("username = 'x'\npassword = 'hunter2'\npassword_file = 'f'", "both set"),
        ("username = 'x'\npassword_file = 'no such file'", "`password_file` no such file"),
        ("ca_file = 'no such file'", "`ca_file` no such file"),
        ("prefix = \"a\\nb\"", "`prefix`"),
        ("hello = 'a b'", "`hello`"),
        ("timeout = '0s'", "`timeout`"),
        ("more_than = 3", "`more_than` means something only when `when` is `rate`"),
        ("when = 'sometimes'", "each"),
        ("digset = '5m'", "digest"),
    ] {
        let why = try_open(&format!("{base}{toml}")).err().unwrap_or_else(|| panic!("{toml} is taken"));
        assert!(why.contains(words) && !why.contains("hunter2"), "{toml}: {why}");
    }
}

#[test]
fn a_message_becomes_a_mail() {
    let peer = plain();
    let mut endpoint = open(&peer, "to = ['ops@example.org', 'Chef <boss@example.org>']");
    let mut message = error("no money\nat all").field("order", 17);
    message.hostname = Some("app01".into());
    assert_eq!(endpoint.write(&[message]), Ok(()));
    let mails = peer.mails();
    let [mail] = mails.as_slice() else { panic!("{mails:?}") };
    assert_eq!(
        (mail.from.as_str(), mail.to.as_slice()),
        ("metlog@example.org", &["ops@example.org", "boss@example.org"].map(String::from)[..])
    );
    assert_eq!(mail.header("To").as_deref(), Some("ops@example.org, Chef <boss@example.org>"));
    assert_eq!(mail.header("Subject").as_deref(), Some("[metlog] error shop.checkout: no money"));
    assert_eq!(mail.header("X-Metlog-Severity").as_deref(), Some("error"));
    assert_eq!(mail.header("Importance").as_deref(), Some("High"));
    let text = body(mail);
    for words in ["severity  error (3)", "host      app01", "    no money\n    at all\n", "    order = 17\n"] {
        assert!(text.contains(words), "{words}: {text}");
    }
    assert_eq!(peer.lines().first().map(String::as_str), Some("EHLO [127.0.0.1]"));
    assert!(eventually(Duration::from_secs(5), || peer.lines().last().map(String::as_str) == Some("QUIT")));
}

#[test]
fn each_can_have_a_mail_of_its_own() {
    let peer = plain();
    let mut endpoint = open(&peer, "to = ['a@h', 'b@h']\nseparate = true");
    assert_eq!(endpoint.write(&[error("x")]), Ok(()));
    let mails = peer.mails();
    assert_eq!(mails.iter().map(|mail| mail.to.clone()).collect::<Vec<_>>(), [["a@h"], ["b@h"]]);
    assert_eq!(mails.iter().map(|mail| mail.header("To").unwrap()).collect::<Vec<_>>(), ["a@h", "b@h"]);
    let ids: BTreeSet<_> = mails.iter().map(|mail| mail.header("Message-ID")).collect();
    assert_eq!((ids.len(), peer.connections()), (2, 1));
}

#[test]
fn no_message_can_add_a_header_a_recipient_or_a_command() {
    let peer = plain();
    let mut endpoint = open(&peer, "throttle = '0s'\nper_minute = 1000");
    let mut evils = sample::nasty();
    evils.extend(
        [
            "\r\n.\r\nMAIL FROM:<evil@example.org>\r\nRCPT TO:<victim@example.org>\r\nDATA\r\nhi\r\n.\r\n",
            "\n.\nRSET\n",
            "\r.\rQUIT\r",
            "x\r\nBcc: victim@example.org",
            "x\nTo: victim@example.org\n\n<html>",
            "=?utf-8?q?a=0d=0aBcc:_victim?=",
            ".",
            "..",
        ]
        .map(str::to_owned),
    );
    evils.push("日\r\n.\r\nx".repeat(1024 * 1024 / 8));
    for (at, evil) in evils.iter().enumerate() {
        let short: String = evil.chars().take(40).collect();
        let mut message =
            Message::new(short.clone()).logger(short.clone()).field(short.clone(), short).payload(evil.as_str());
        message.hostname = Some("h\r\nBcc: x@y".into());
        assert_eq!(endpoint.write(&[message]), Ok(()), "{at}");
    }
    let mails = peer.mails();
    assert_eq!(mails.len(), evils.len());
    let known: BTreeSet<String> = mails[0].header_names().into_iter().collect();
    assert_eq!(known.len(), 14);
    for mail in &mails {
        assert_eq!(
            (mail.from.as_str(), mail.to.as_slice()),
            ("metlog@example.org", &["ops@example.org".to_owned()][..])
        );
        assert_eq!(mail.header_names().into_iter().collect::<BTreeSet<_>>(), known);
        assert!(mail.text.len() < 100_000, "{}", mail.text.len());
        assert!(
            mail.text.is_ascii() && !String::from_utf8_lossy(&mail.text).replace("\r\n", "").contains(['\r', '\n'])
        );
        body(mail);
    }
    let words: BTreeSet<String> =
        peer.lines().iter().map(|line| line.split(' ').next().unwrap_or_default().to_owned()).collect();
    assert_eq!(words.into_iter().collect::<Vec<_>>(), ["DATA", "EHLO", "MAIL", "QUIT", "RCPT"]);
}

#[test]
fn what_passes_is_tried_again_and_nobody_gets_it_twice() {
    let peer = plain();
    let mut endpoint = open(&peer, "throttle = '0s'\ntimeout = '300ms'");
    let batch = [error("x")];
    let mut tries = 0;
    for (stage, act, words) in [
        (Stage::Connect, Act::reply(421, "busy"), "its greeting with 421 busy"),
        (Stage::Connect, Act::Drop, "ended amid"),
        (Stage::Connect, Act::Hang, "no answer in time"),
        (Stage::Connect, Act::Drip, "no answer in time"),
        (Stage::Connect, Act::Say("SSH-2.0-x\r\n".into()), "does not speak SMTP"),
        (Stage::Connect, Act::Say("220-x\r\n".repeat(9000)), "does not speak SMTP"),
        (Stage::Connect, Act::Say("2".repeat(5000)), "a line without an end"),
        (Stage::Connect, Act::Say("999 x\r\n".into()), "does not speak SMTP"),
        (Stage::Ehlo, Act::Drop, "ended amid"),
        (Stage::Ehlo, Act::Say("250-\r\n250   \r\nx".into()), ""),
        (Stage::Mail, Act::reply(451, "later"), "MAIL FROM with 451 later"),
        (Stage::Rcpt, Act::reply(450, "greylisted"), "recipient ops@example.org with 450 greylisted"),
        (Stage::Rcpt, Act::reply(421, "closing"), "RCPT TO with 421 closing"),
        (Stage::Data, Act::reply(452, "disk full"), "DATA with 452 disk full"),
        (Stage::Data, Act::Hang, "no answer in time"),
        (Stage::End, Act::reply(451, "try later"), "the mail with 451 try later"),
        (Stage::End, Act::Drop, "ended amid"),
        (Stage::End, Act::Say("nonsense\r\n".into()), "does not speak SMTP"),
    ] {
        peer.script(stage, [act.clone()]);
        let began = Instant::now();
        is_retry(&endpoint.try_write(&batch), words);
        assert!(began.elapsed() < Duration::from_secs(3), "{stage:?} {act:?}: {:?}", began.elapsed());
        tries += 1;
    }
    assert_eq!((peer.mails().len(), tries), (0, 18));
    assert_eq!(endpoint.try_write(&batch), Ok(()));
    assert_eq!(endpoint.try_write(&batch), Ok(()), "known already");
    assert_eq!(peer.mails().len(), 1);
}

#[test]
fn nonsense_ends_a_try_in_time_and_never_the_endpoint() {
    let peer = plain();
    let mut endpoint = open(&peer, "throttle = '0s'\ntimeout = '100ms'");
    let stages = [Stage::Connect, Stage::Ehlo, Stage::Mail, Stage::Rcpt, Stage::Data, Stage::End];
    for seed in 0..48 {
        let mut random = fastrand::Rng::with_seed(seed);
        let words = [
            "2", "250", "220", "354", "5", "-", " ", "\r", "\n", "\r\n", "\0", "é", "\u{1b}", "STARTTLS", "AUTH", "  ",
        ];
        let text: String = (0..random.usize(0..20)).filter_map(|_| random.choice(words)).collect();
        peer.script(stages[seed as usize % stages.len()], [Act::Say(text.clone())]);
        let began = Instant::now();
        let result = endpoint.write(&[error("x")]);
        assert!(began.elapsed() < Duration::from_secs(2), "{text:?}: {result:?}");
        if let Err(why) = result {
            assert!(!why.why().chars().any(char::is_control), "{why}");
        }
    }
}

#[test]
fn a_mail_keeps_its_id_over_its_tries() {
    let peer = plain();
    let mut endpoint = open(&peer, "to = ['a@h', 'b@h', 'c@h']\nthrottle = '0s'");
    peer.recipient("b@h", [Act::reply(450, "greylisted")]);
    peer.recipient("c@h", [Act::reply(550, "nobody")]);
    is_retry(&endpoint.try_write(&[error("x")]), "recipient b@h with 450 greylisted");
    assert_eq!(endpoint.try_write(&[error("x")]), Ok(()));
    let mails = peer.mails();
    assert_eq!(mails.iter().map(|mail| mail.to.clone()).collect::<Vec<_>>(), [["a@h"], ["b@h"]]);
    assert_eq!(mails[0].header("Message-ID"), mails[1].header("Message-ID"));
    assert_eq!(mails[0].header("Date"), mails[1].header("Date"));
    let said = endpoint.endpoint.tick().expect_err("a remark").to_string();
    assert!(said.contains("others got the mail, but") && said.contains("c@h with 550 nobody"), "{said}");
    assert_eq!(endpoint.endpoint.tick(), Ok(()), "said once");
}

#[test]
fn a_full_mailbox_does_not_hold_up_the_others_for_ever() {
    let peer = plain();
    let mut endpoint = open(&peer, "to = ['a@h', 'full@h']\nthrottle = '0s'");
    peer.recipient("full@h", (0..10).map(|_| Act::reply(452, "full")));
    let batch = [error("x")];
    is_retry(&endpoint.try_write(&batch), "452 full");
    is_retry(&endpoint.try_write(&batch), "452 full");
    assert_eq!(endpoint.try_write(&batch), Ok(()));
    assert_eq!(peer.mails().len(), 1);
    assert!(endpoint.endpoint.tick().expect_err("a remark").to_string().contains("full@h with 452 full"));
}

#[test]
fn what_somebody_has_to_change_pauses_and_what_is_the_mails_fault_is_refused() {
    let peer = plain();
    let mut endpoint = open(&peer, "throttle = '0s'");
    peer.script(Stage::Connect, [Act::reply(554, "blocked")]);
    is_pause(&endpoint.try_write(&[error("x")]), "greeting with 554 blocked");
    peer.script(Stage::Ehlo, [Act::reply(502, "no")]);
    is_pause(&endpoint.try_write(&[error("x")]), "EHLO with 502 no");
    peer.script(Stage::Mail, [Act::reply(550, "not you")]);
    is_pause(&endpoint.try_write(&[error("x")]), "MAIL FROM with 550 not you");
    peer.script(Stage::Rcpt, [Act::reply(550, "nobody here")]);
    is_pause(&endpoint.try_write(&[error("x")]), "550 nobody here; check `to`");
    peer.script(Stage::Data, [Act::reply(530, "who?")]);
    is_pause(&endpoint.try_write(&[error("x")]), "530 who?");
    assert_eq!(endpoint.write(&[error("x")]), Ok(()));

    peer.script(Stage::End, [Act::Say("554-5.7.1 looks\x1b[2J\r\n554 like spam\r\n".into())]);
    is_refuse(&endpoint.write(&[error("y")]), "answers the mail with 554 5.7.1 looks [2J like spam");
    peer.script(Stage::Mail, [Act::reply(552, "too large")]);
    is_refuse(&endpoint.write(&[error("z")]), "552 too large");
    assert_eq!(endpoint.write(&[error("good")]), Ok(()));
    assert_eq!(peer.mails().len(), 2);
}

#[test]
fn the_password_is_not_sent_where_it_could_be_read_and_not_told() {
    // STARTTLS is what is wanted, and not offered.
    let bare = SmtpPeer::new(signed_in());
    let mut endpoint = open(&bare, &format!("tls = 'starttls'\n{USER}"));
    is_pause(&endpoint.try_write(&[error("x")]), "does not offer STARTTLS");
    assert_eq!(bare.lines(), ["EHLO [127.0.0.1]"]);

    let (upgrade, ca) = encryption("starttls", &["127.0.0.1"]);
    let trusting = format!("tls = 'starttls'\nca_file = '{}'\n{USER}", ca.display());
    let peer = SmtpPeer::new(Offers { start_tls: Some(upgrade), ..signed_in() });
    let mut endpoint = open(&peer, &trusting);
    // Said in the clear behind the go-ahead: whoever stands between would speak for the server.
    peer.script(Stage::StartTls, [Act::Say("220 go\r\n250 AUTH PLAIN\r\n".into()), Act::reply(454, "not now")]);
    is_retry(&endpoint.try_write(&[error("x")]), "in the clear after STARTTLS");
    is_retry(&endpoint.try_write(&[error("x")]), "STARTTLS with 454 not now");
    peer.script(Stage::StartTls, [Act::reply(502, "never")]);
    is_pause(&endpoint.try_write(&[error("x")]), "STARTTLS with 502 never");
    assert!(peer.lines().iter().all(|line| line == "STARTTLS" || line.starts_with("EHLO")), "{:?}", peer.lines());
    assert_eq!(endpoint.write(&[error("x")]), Ok(()));
    let mails = peer.mails();
    assert_eq!((mails[0].encrypted, mails[0].user.clone()), (true, Some(("metlog".into(), "hunter2".into()))));
    assert!(peer.lines().iter().filter(|line| line.contains("AUTH")).all(|line| line.starts_with("tls ")));

    // Somebody else's certificate.
    let mut stranger =
        open(&peer, &trusting.replace(&ca.display().to_string(), &encryption("other", &["h"]).1.display().to_string()));
    is_retry(&stranger.try_write(&[error("x")]), "TLS handshake failed");
    let named = trusting + "\nserver = 'localhost'";
    is_retry(&open(&peer, &named).try_write(&[error("x")]), "TLS handshake failed");
    assert_eq!(peer.mails().len(), 1);
}

#[test]
fn encrypted_from_the_first_byte() {
    let (upgrade, ca) = encryption("tls", &["localhost"]);
    let peer = SmtpPeer::new(Offers { tls: Some(upgrade), ..signed_in() });
    let mut endpoint = open(&peer, &format!("tls = 'tls'\nserver = 'localhost'\nca_file = '{}'\n{USER}", ca.display()));
    assert_eq!(endpoint.write(&[error("x")]), Ok(()));
    assert!(peer.mails()[0].encrypted);
    let mut blind = open(&peer, &format!("tls = 'tls'\nca_file = '{}'", ca.display()));
    is_retry(&blind.try_write(&[error("x")]), "TLS handshake failed");
}

#[test]
fn signing_in() {
    for auth in [vec!["PLAIN"], vec!["LOGIN"], vec!["CRAM-MD5", "LOGIN", "PLAIN"]] {
        let peer = SmtpPeer::new(Offers { auth, ..signed_in() });
        assert_eq!(open(&peer, USER).write(&[error("x")]), Ok(()));
        assert_eq!(peer.mails()[0].user, Some(("metlog".into(), "hunter2".into())));
    }
    let peer = SmtpPeer::new(Offers { auth: vec!["CRAM-MD5"], ..signed_in() });
    is_pause(&open(&peer, USER).try_write(&[error("x")]), "it offers only CRAM-MD5; PLAIN and LOGIN can be used");
    is_pause(&open(&plain(), USER).try_write(&[error("x")]), "takes no password here");

    // The played server repeats what it was given, as real ones should not.
    let peer = SmtpPeer::new(signed_in());
    is_pause(&open(&peer, "").try_write(&[error("x")]), "530 5.7.0 who are you?");
    let wrong = open(&peer, "username = 'metlog'\npassword = 'wrong-secret'").try_write(&[error("x")]);
    is_pause(&wrong, "535 5.7.8 metlog with *** is nobody");
    peer.script(Stage::Auth, [Act::reply(454, "not now")]);
    is_retry(&open(&peer, USER).try_write(&[error("x")]), "454 not now");

    // A password in a file can be replaced while we run.
    let file = std::path::Path::new(env!("CARGO_TARGET_TMPDIR")).join("password");
    std::fs::write(&file, "old\n").expect("written");
    let mut endpoint = open(&peer, &format!("username = 'metlog'\npassword_file = '{}'", file.display()));
    is_pause(&endpoint.try_write(&[error("x")]), "535");
    std::fs::write(&file, "hunter2\n").expect("written");
    assert_eq!(endpoint.try_write(&[error("x")]), Ok(()));
}

#[test]
fn a_dead_server_comes_back() {
    let mut peer = plain();
    let mut endpoint = open(&peer, "throttle = '0s'");
    peer.stop();
    is_retry(&endpoint.try_write(&[error("x")]), "cannot connect to 127.0.0.1");
    peer.start();
    assert_eq!(endpoint.try_write(&[error("x")]), Ok(()));
    assert_eq!(peer.mails().len(), 1);
    let nowhere = address(&peer).replace("127.0.0.1", "no-such-host.invalid") + "\ndangerously_unencrypted = true";
    is_retry(&try_open(&nowhere).expect("opens").try_write(&[error("x")]), "the name");
}

#[test]
fn more_of_the_same_is_held_back_and_told_at_the_end() {
    let peer = plain();
    let mut endpoint = open(&peer, "");
    let storm: Vec<Message> = (0..500).map(|number| error(&format!("number {number}"))).collect();
    assert_eq!(endpoint.write(&storm), Ok(()));
    let loud = error("look at me").field("alert", true);
    assert_eq!(endpoint.write(&[loud]), Ok(()));
    assert_eq!(endpoint.endpoint.close(Duration::from_secs(5)), Ok(()));
    let subjects: Vec<String> = peer.mails().iter().filter_map(|mail| mail.header("Subject")).collect();
    assert_eq!(
        subjects,
        [
            "[metlog] error shop.checkout: number 0",
            "[metlog] error shop.checkout: look at me",
            "[metlog] error shop.checkout: 499 more: number 1",
        ]
    );
    assert!(body(&peer.mails()[2]).contains("499 messages were held back. This is the first of them."));
    assert_eq!(peer.mails()[2].header("X-Metlog-Messages").as_deref(), Some("499"));
}

#[test]
fn an_absence_and_a_digest_come_by_the_clock() {
    let peer = plain();
    let mut absence = open(&peer, "when = 'absence'\nabsent_for = '1s'");
    assert!(eventually(Duration::from_secs(10), || {
        assert_eq!(absence.endpoint.tick(), Ok(()));
        peer.mails().len() == 1
    }));
    assert_eq!(absence.write(&[error("x")]), Ok(()));
    let mut digest = open(&peer, "digest = '1s'\nthrottle = '0s'");
    assert_eq!(digest.write(&[error("one"), Message::new("t").payload("two")]), Ok(()));
    assert_eq!(peer.mails().len(), 2);
    assert!(eventually(Duration::from_secs(10), || {
        assert_eq!(digest.endpoint.tick(), Ok(()));
        peer.mails().len() == 3
    }));
    let subjects: Vec<String> = peer.mails().iter().filter_map(|mail| mail.header("Subject")).collect();
    assert!(subjects[0].starts_with("[metlog] no message for 1"), "{subjects:?}");
    assert!(subjects[1].starts_with("[metlog] messages again, after 1"), "{subjects:?}");
    assert_eq!(subjects[2], "[metlog] 2 messages, 2 kinds, the worst error shop.checkout");
}
