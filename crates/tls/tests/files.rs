//! Files that are right, and everything that can be wrong with them.

use metlog_testkit::{Authority, Paper};
use metlog_tls::{Acceptor, Identity, Trust};

fn trust(authority: &Authority, paper: &Paper) -> Trust {
    Trust {
        ca_file: Some(authority.ca_file()),
        client_cert: Some(paper.cert.clone()),
        client_key: Some(paper.key.clone()),
        ..Trust::default()
    }
}

#[test]
fn what_is_right_opens_and_nothing_is_said_about_it() {
    let authority = Authority::new();
    let paper = authority.paper(&["localhost"]);
    let trust = trust(&authority, &paper);
    trust.open("tls.", &[]).expect("opens");
    assert_eq!(trust.examine("tls."), Ok(Vec::new()));
    let identity = Identity::new(&paper.cert, &paper.key);
    Acceptor::open(&identity, &[]).expect("opens");
    assert_eq!(identity.examine(), Ok(Vec::new()));
    let asking = Identity { client_ca_file: Some(authority.ca_file()), ..identity };
    assert!(asking.asks());
    assert_eq!(asking.examine(), Ok(Vec::new()));
}

#[test]
fn a_file_that_is_wrong_is_named_with_what_would_be_right() {
    let authority = Authority::new();
    let (one, two) = (authority.paper(&["localhost"]), authority.paper(&["localhost"]));
    let missing = authority.folder().join("missing.pem");
    let empty = authority.file("empty.pem", "");
    let garbage = authority.file("garbage.pem", "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n");
    let damaged = authority.file("damaged.pem", "-----BEGIN CERTIFICATE-----\n!!!!\n-----END CERTIFICATE-----\n");
    let locked = "-----BEGIN ENCRYPTED PRIVATE KEY-----\nAAAA\n-----END ENCRYPTED PRIVATE KEY-----\n";
    let locked = authority.file("locked.pem", locked);
    let large = authority.file("large.pem", &"x".repeat(5 << 20));
    for (cert, key, setting, words) in [
        (&missing, &one.key, "cert_file", "cannot be opened"),
        (&empty, &one.key, "cert_file", "no certificate is in it; it needs PEM"),
        (&one.key, &one.key, "cert_file", "but a private key"),
        (&garbage, &one.key, "cert_file", "cannot be used"),
        (&damaged, &one.key, "cert_file", "PEM is damaged"),
        (&large, &one.key, "cert_file", "larger than"),
        (&one.cert, &missing, "key_file", "cannot be opened"),
        (&one.cert, &one.cert, "key_file", "but a certificate"),
        (&one.cert, &locked, "key_file", "is encrypted"),
        (&one.cert, &two.key, "key_file", "does not belong to the certificate"),
    ] {
        let identity = Identity::new(cert, key);
        let why = Acceptor::open(&identity, &[]).map(drop).expect_err(words);
        let file = if setting == "cert_file" { cert } else { key };
        assert!(why.starts_with(&format!("`tls.{setting}` {}: ", file.display())) && why.contains(words), "{why}");
        assert_eq!(identity.examine(), Err(why), "told before the start as well");
        let settings = Trust { client_cert: Some(cert.clone()), client_key: Some(key.clone()), ..Trust::default() };
        let settings = Trust { ca_file: Some(authority.ca_file()), only_ca_file: true, ..settings };
        let why = settings.open("", &[]).map(drop).expect_err(words);
        let setting = if setting == "cert_file" { "client_cert" } else { "client_key" };
        assert!(why.starts_with(&format!("`{setting}` ")) && why.contains(words), "{why}");
    }
    for file in [&missing, &empty, &one.key, &damaged] {
        let trust = Trust { ca_file: Some(file.clone()), ..Trust::default() };
        let why = trust.open("connection.", &[]).map(drop).expect_err("no authority");
        assert!(why.starts_with("`connection.ca_file` "), "{why}");
        let identity = Identity { client_ca_file: Some(file.clone()), ..Identity::new(&one.cert, &one.key) };
        let why = identity.examine().expect_err("no authority");
        assert!(why.starts_with("`tls.client_ca_file` "), "{why}");
    }
}

#[test]
fn settings_that_make_no_sense_together_are_refused_before_any_file_is_read() {
    let half = Trust { client_cert: Some("no/such/file".into()), ..Trust::default() };
    assert_eq!(half.check("tls."), Err("`tls.client_cert` is set without `tls.client_key`".into()));
    let half = Trust { client_key: Some("no/such/file".into()), ..Trust::default() };
    assert_eq!(half.check(""), Err("`client_key` is set without `client_cert`".into()));
    let nobody = Trust { only_ca_file: true, ..Trust::default() };
    assert!(nobody.check("").is_err_and(|why| why.contains("trusts nobody")));
    let identity = Identity { handshakes: 0, ..Identity::new("no/such", "files") };
    assert!(identity.check().is_err_and(|why| why.contains("`tls.handshakes`")));
}

#[test]
fn dates_and_open_keys_are_remarked_upon_and_no_error() {
    use std::os::unix::fs::PermissionsExt as _;
    let authority = Authority::new();
    let old = authority.paper_of_years(&["localhost"], 2020, 2021);
    let early = authority.paper_of_years(&["localhost"], 2080, 2081);
    std::fs::set_permissions(&early.key, std::fs::Permissions::from_mode(0o644)).expect("opened");
    let said = Identity::new(&old.cert, &old.key).examine().expect("it can be used");
    assert!(matches!(said.as_slice(), [one] if one.contains("expired on 2021-01-01")), "{said:?}");
    let said = trust(&authority, &early).examine("tls.").expect("it can be used");
    assert_eq!(said.len(), 2, "{said:?}");
    assert!(said.iter().any(|one| one.starts_with("`tls.client_cert`") && one.contains("not valid before 2080-01-01")));
    assert!(said.iter().any(|one| one.starts_with("`tls.client_key`") && one.contains("everybody")));
}

#[test]
fn what_is_trusted_follows_its_files_as_long_as_they_are_right() {
    let authority = Authority::new();
    let (one, two) = (authority.paper(&["one"]), authority.paper(&["two"]));
    let trusted = trust(&authority, &one).open("", &[]).expect("opens");
    let before = trusted.config();
    assert!(std::sync::Arc::ptr_eq(&before, &trusted.config()), "nothing changed, nothing is read");
    std::fs::write(&one.cert, "half a file").expect("written");
    assert!(std::sync::Arc::ptr_eq(&before, &trusted.config()), "what is wrong changes nothing");
    one.become_like(&two);
    assert!(!std::sync::Arc::ptr_eq(&before, &trusted.config()), "what is right does");
}
