//! Another certificate while messages flow.

use super::stage::{Directory, Running, eventually, message, plan};
use super::support::{connect, trusting};
use metlog_testkit::Authority;
use std::io::Write;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::SeqCst};

#[test]
fn a_new_certificate_is_for_new_connections_and_a_broken_one_for_nobody() {
    let (old, new) = (Authority::new(), Authority::new());
    let paper = old.paper(&["localhost"]);
    let directory = Directory::new();
    let tls = format!("cert_file = '{}'\nkey_file = '{}'", paper.cert.display(), paper.key.display());
    let text = format!(
        "[inputs.tcp]\nlisten = '127.0.0.1:0'\n[inputs.tcp.tls]\n{tls}\n[inputs.http]\nlisten = '127.0.0.1:0'\n\
         [inputs.http.tls]\n{tls}\n[endpoints.null]\n"
    );
    let running = Running::start(&directory, &text);
    let again = || running.router.reload(&plan(&directory, &text));
    let (port, http) = (running.port("tcp"), running.port("http"));
    let (trusts_old, trusts_new) = (trusting(old.ca_file()), trusting(new.ca_file()));
    let shown = |trust| [port, http].map(|port| connect(port, trust, "localhost").is_ok());
    let (sent, done) = (AtomicU64::new(0), AtomicBool::new(false));
    std::thread::scope(|scope| {
        let lasting = connect(port, &trusts_old, "localhost").expect("it is right");
        let (sent, done) = (&sent, &done);
        scope.spawn(move || {
            // One connection through all of it, with something under way at every moment.
            let mut stream = lasting;
            while !done.load(SeqCst) {
                stream.write_all(format!("{}\n", message(sent.load(SeqCst))).as_bytes()).expect("it goes on");
                sent.fetch_add(1, SeqCst);
                std::thread::sleep(std::time::Duration::from_millis(1));
            }
            stream.conn.send_close_notify();
            stream.flush().expect("ended");
        });
        let progress = |what: &str| {
            let before = sent.load(SeqCst);
            eventually(what, || sent.load(SeqCst) > before + 10);
        };
        progress("messages flow");
        assert_eq!(shown(&trusts_old), [true; 2]);

        // A file that is not whole changes nothing, and is named.
        std::fs::write(&paper.cert, "half a certif").expect("written");
        let why = again().expect_err("it is broken");
        assert!(why.contains(&paper.cert.display().to_string()) && why.contains("no certificate is in it"), "{why}");
        assert_eq!(shown(&trusts_old), [true; 2], "the old one stays");
        progress("messages flow past a broken file");

        // So does a certificate whose key has not come yet.
        let fresh = new.paper(&["localhost"]);
        std::fs::copy(&fresh.cert, &paper.cert).expect("copied");
        let why = again().expect_err("they do not fit");
        assert!(why.contains("does not belong to the certificate"), "{why}");
        assert_eq!(shown(&trusts_old), [true; 2], "the old one stays");

        paper.become_like(&fresh);
        assert_eq!(shown(&trusts_old), [true; 2], "nothing changes by itself");
        let changes = again().expect("both are right");
        assert_eq!(changes.renewed, ["tcp", "http"]);
        assert!(changes.changed.is_empty() && changes.to_string().contains("tcp, http"), "{changes}");
        assert_eq!((shown(&trusts_old), shown(&trusts_new)), ([false; 2], [true; 2]));
        progress("the connection of before goes on");
        done.store(true, SeqCst);
    });
    eventually("nothing is lost", || running.account().inputs["tcp"].counts.accepted == sent.load(SeqCst));
    assert_eq!(running.router.reloads.refused.load(SeqCst), 2);
    running.balanced();
}
