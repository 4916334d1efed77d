//! Who is let in: passwords, rights, certificates.

use crate::support::{Bed, endpoint};
use metlog_pipeline::SendError;
use metlog_query::Narrow;
use metlog_testkit::{Postgres, sample, settings};
use std::path::Path;
use std::sync::OnceLock;

const PASSWORD: &str = "hunter2-geheim";

struct Guarded {
    server: Postgres,
    /// The authority that has signed the server's certificate.
    ca: String,
}

/// A server that wants passwords and speaks TLS as `localhost`.
fn guarded() -> &'static Guarded {
    static GUARDED: OnceLock<Guarded> = OnceLock::new();
    GUARDED.get_or_init(|| {
        let server = Postgres::new();
        let key = rcgen::KeyPair::generate().expect("a key");
        let mut params = rcgen::CertificateParams::new(Vec::new()).expect("parameters");
        params.is_ca = rcgen::IsCa::Ca(rcgen::BasicConstraints::Unconstrained);
        let authority = params.self_signed(&key).expect("a certificate");
        let issuer = rcgen::Issuer::new(params, key);
        let own = rcgen::KeyPair::generate().expect("a key");
        let params = rcgen::CertificateParams::new(vec!["localhost".into()]).expect("parameters");
        let certificate = params.signed_by(&own, &issuer).expect("signed");
        server.file("server.crt", &certificate.pem());
        server.file("server.key", &own.serialize_pem());
        let ca = server.file("ca.crt", &authority.pem());
        server.file(
            "pg_hba.conf",
            "local all metlog trust\n\
             host all plain 127.0.0.1/32 scram-sha-256\n\
             hostssl all secret 127.0.0.1/32 scram-sha-256\n\
             hostssl all secret ::1/128 scram-sha-256\n",
        );
        server.sql("postgres", "alter system set ssl = on");
        for user in ["plain", "secret"] {
            server.sql("postgres", &format!("create user {user} password '{PASSWORD}'"));
        }
        server.sql("postgres", "grant create on schema public to secret");
        server.sql("postgres", "select pg_reload_conf()");
        let on = || server.sql("postgres", "show ssl") == "on";
        assert!(metlog_testkit::eventually(std::time::Duration::from_secs(5), on));
        Guarded { server, ca: ca.display().to_string() }
    })
}

/// What comes of a first batch.
fn attempt(user: &str, host: &str, database: &str, more: &str) -> Result<(), SendError> {
    let url = format!("postgres://{user}@{host}:{}/{database}", guarded().server.port());
    let toml = format!("url = '{url}'\n{more}");
    let mut bed = Bed { endpoint: endpoint(&toml).expect("opens"), ..Bed::at(&url, database.into(), more) };
    bed.write(&[sample::message(0)])
}

fn paused(outcome: Result<(), SendError>, words: &[&str]) {
    let Err(SendError::Pause { why }) = &outcome else { panic!("{outcome:?}") };
    assert!(words.iter().all(|word| why.contains(word)), "{why}");
    assert!(!why.contains(PASSWORD), "{why}");
}

#[test]
fn who_is_not_let_in_waits_and_says_why() {
    let password = format!("password = '{PASSWORD}'");
    paused(
        attempt("plain", "127.0.0.1", "postgres", "password = 'wrong'"),
        &["password authentication failed", "28P01"],
    );
    paused(attempt("plain", "127.0.0.1", "postgres", ""), &["password missing"]);
    paused(attempt("nobody", "127.0.0.1", "postgres", &password), &["pg_hba.conf", "28000"]);
    paused(attempt("plain", "127.0.0.1", "nowhere", &password), &["nowhere", "3D000", "create the database"]);
    paused(attempt("plain", "127.0.0.1", "postgres", &password), &["permission denied", "42501", "own the table"]);
    paused(attempt("plain", "127.0.0.1", "postgres", "password_file = '/nonexistent/file'"), &["password_file"]);
}

#[test]
fn encrypted_means_verified() {
    let password = format!("password = '{PASSWORD}'");
    let ca = format!("{password}\nca_file = '{}'", guarded().ca);
    // The server wants TLS, and on loopback we do not offer it unasked.
    paused(attempt("secret", "127.0.0.1", "postgres", &password), &["no encryption", "28000"]);
    // Every word but `disable` verifies.
    for mode in ["prefer", "require", "verify-ca", "verify-full"] {
        let mode = format!("sslmode = '{mode}'");
        paused(
            attempt("secret", "localhost", "postgres", &format!("{password}\n{mode}")),
            &["UnknownIssuer", "ca_file"],
        );
        paused(attempt("secret", "127.0.0.1", "postgres", &format!("{ca}\n{mode}")), &["certificate", "127.0.0.1"]);
        assert_eq!(attempt("secret", "localhost", "postgres", &format!("{ca}\n{mode}")), Ok(()), "{mode}");
    }
    // A server without it.
    let url = format!("postgres://metlog@localhost:{}/postgres", Postgres::shared().port());
    let mut bed = Bed::at(&url, "postgres".into(), "sslmode = 'verify-full'");
    paused(bed.write(&[sample::message(0)]), &["server does not support TLS"]);
}

#[test]
fn a_password_may_stand_in_a_file_that_changes() {
    let path = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("postgres-password-{}", std::process::id()));
    std::fs::write(&path, "old\n").expect("written");
    let more = format!(
        "password_file = '{}'\nca_file = '{}'\nsslmode = 'require'\ntable = 'filed'",
        path.display(),
        guarded().ca
    );
    let url = format!("postgres://secret@localhost:{}/postgres", guarded().server.port());
    let mut bed = Bed::at(&url, "postgres".into(), &more);
    paused(bed.write(&[sample::message(0)]), &["28P01"]);
    std::fs::write(&path, format!("{PASSWORD}\n")).expect("written");
    assert_eq!(bed.write(&[sample::message(0)]), Ok(()));
    assert_eq!(bed.positions(Narrow::default()), [1]);
    std::fs::remove_file(&path).expect("removed");
}

#[test]
fn the_example_opens_and_wrong_settings_are_told() {
    let entry = metlog_pipeline::EndpointEntry::find("postgres").expect("registered");
    let mut root = settings(entry.example);
    let endpoints = root.as_table_mut().and_then(|root| root.remove("endpoints")).expect("a section");
    let mut section = endpoints.get("database").cloned().expect("an endpoint");
    section.as_table_mut().expect("a table").remove("type");
    assert!((entry.read)(&section).unwrap_or_else(|problems| panic!("{problems}"))().is_ok());
    for (toml, words) in [
        ("table = 'x'", "url"),
        ("url = 'localhost'", "test.toml:1:1: `url` is no address of a PostgreSQL server"),
        ("url = 'postgres://h/d'\ntable = 'a.b'", "test.toml:2:1: `table` is `a.b`"),
        ("url = 'postgres://h/d'\nsslmode = 'allow'", "sslmode"),
        ("url = 'postgres://h/d'\nclient_cert = 'x'", "`client_cert`"),
        ("url = 'postgres://h/d'\nreaders = 0", "`readers`"),
        ("url = 'postgres://h/d'\nca_file = '/nonexistent/ca'", "`ca_file` /nonexistent/ca"),
    ] {
        let why = endpoint(toml).err().unwrap_or_else(|| panic!("{toml}"));
        assert!(why.contains(words), "{toml}: {why}");
    }
}
