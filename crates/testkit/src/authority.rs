//! A certificate authority and what it signs, right and wrong, as the files that settings name.

use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, DnType, IsCa, KeyPair};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering};

/// The year that everything lasts to, unless a test says otherwise.
const LONG: i32 = 2090;

/// An authority with a folder of its own, which goes with it.
#[derive(Debug)]
pub struct Authority {
    issuer: CertifiedIssuer<'static, KeyPair>,
    folder: PathBuf,
    signed: AtomicUsize,
}

/// A certificate and its key, as PEM files.
#[derive(Debug, Clone)]
pub struct Paper {
    /// The certificate.
    pub cert: PathBuf,
    /// Its key.
    pub key: PathBuf,
}

impl Paper {
    /// Takes this one's place with another one's content.
    ///
    /// # Panics
    /// If a file cannot be written.
    pub fn become_like(&self, other: &Paper) {
        std::fs::copy(&other.cert, &self.cert).expect("copied");
        std::fs::copy(&other.key, &self.key).expect("copied");
    }
}

impl Authority {
    /// One that nobody knows yet.
    ///
    /// # Panics
    /// If its files cannot be written.
    #[allow(clippy::new_without_default)]
    pub fn new() -> Self {
        static NUMBER: AtomicUsize = AtomicUsize::new(0);
        let name = format!("metlog-authority-{}-{}", std::process::id(), NUMBER.fetch_add(1, Ordering::Relaxed));
        let mut params = CertificateParams::new(Vec::new()).expect("no names");
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        // Two of one name would be one that changed its key.
        params.distinguished_name.push(DnType::CommonName, &*name);
        params.not_after = rcgen::date_time_ymd(LONG, 1, 1);
        let key = KeyPair::generate().expect("a key");
        let issuer = CertifiedIssuer::self_signed(params, key).expect("an authority");
        let folder = std::env::temp_dir().join(name);
        std::fs::create_dir_all(&folder).expect("a folder");
        std::fs::write(folder.join("ca.pem"), issuer.pem()).expect("written");
        Authority { issuer, folder, signed: AtomicUsize::new(0) }
    }

    /// The file that makes somebody trust it.
    pub fn ca_file(&self) -> PathBuf {
        self.folder.join("ca.pem")
    }

    /// A certificate for these names and addresses.
    pub fn paper(&self, names: &[&str]) -> Paper {
        self.paper_of_years(names, 2020, LONG)
    }

    /// The same, from the first day of a year to that of another.
    ///
    /// # Panics
    /// If a name is none, or a file cannot be written.
    pub fn paper_of_years(&self, names: &[&str], from: i32, to: i32) -> Paper {
        let (params, key) = made(names, from, to);
        let signed = params.signed_by(&key, &self.issuer).expect("signed");
        self.write(&signed.pem(), &key)
    }

    /// A certificate that vouches for itself.
    ///
    /// # Panics
    /// If a name is none, or a file cannot be written.
    pub fn self_signed(&self, names: &[&str]) -> Paper {
        let (params, key) = made(names, 2020, LONG);
        self.write(&params.self_signed(&key).expect("signed").pem(), &key)
    }

    /// Any other file beside these.
    ///
    /// # Panics
    /// If it cannot be written.
    pub fn file(&self, name: &str, content: &str) -> PathBuf {
        let path = self.folder.join(name);
        std::fs::write(&path, content).expect("written");
        path
    }

    fn write(&self, cert: &str, key: &KeyPair) -> Paper {
        use std::os::unix::fs::PermissionsExt as _;
        let number = self.signed.fetch_add(1, Ordering::Relaxed);
        let paper = Paper {
            cert: self.file(&format!("cert-{number}.pem"), cert),
            key: self.file(&format!("key-{number}.pem"), &key.serialize_pem()),
        };
        std::fs::set_permissions(&paper.key, std::fs::Permissions::from_mode(0o600)).expect("owned");
        paper
    }

    /// Its folder.
    pub fn folder(&self) -> &Path {
        &self.folder
    }
}

fn made(names: &[&str], from: i32, to: i32) -> (CertificateParams, KeyPair) {
    let names = names.iter().map(|name| (*name).to_owned()).collect::<Vec<_>>();
    let mut params = CertificateParams::new(names).expect("names");
    params.distinguished_name.push(DnType::CommonName, "one of metlog's tests");
    params.not_before = rcgen::date_time_ymd(from, 1, 1);
    params.not_after = rcgen::date_time_ymd(to, 1, 1);
    (params, KeyPair::generate().expect("a key"))
}

impl Drop for Authority {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.folder);
    }
}
