//! Certificates and keys in PEM files, and what is wrong with them.

use crate::validity;
use rustls::RootCertStore;
use rustls::pki_types::pem::{self, PemObject};
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use std::io::Read;
use std::path::Path;

/// A system's whole store of authorities is a tenth of it.
const LARGEST: u64 = 4 << 20;

/// Certificates of one file: a chain is short, a store of authorities some hundreds.
const MOST: usize = 4096;

/// A file and the setting that names it.
#[derive(Clone, Copy)]
pub struct Named<'a> {
    /// In front of the setting's own name: `tls.`, `connection.`, or nothing.
    pub place: &'a str,
    pub setting: &'static str,
    pub path: &'a Path,
}

impl Named<'_> {
    pub fn wrong(&self, why: impl std::fmt::Display) -> String {
        format!("`{}{}` {}: {why}", self.place, self.setting, self.path.display())
    }

    fn bytes(&self) -> Result<Vec<u8>, String> {
        let mut bytes = Vec::new();
        let file = std::fs::File::open(self.path).map_err(|error| self.wrong(format!("cannot be opened: {error}")))?;
        let read = file.take(LARGEST + 1).read_to_end(&mut bytes);
        read.map_err(|error| self.wrong(format!("cannot be read: {error}")))?;
        if bytes.len() as u64 > LARGEST {
            return Err(self.wrong(format!("it is larger than {LARGEST} bytes, which no PEM file of certificates is")));
        }
        Ok(bytes)
    }

    /// The certificates in it, one at least.
    pub fn certificates(&self) -> Result<Vec<CertificateDer<'static>>, String> {
        let bytes = self.bytes()?;
        let found = CertificateDer::pem_slice_iter(&bytes).take(MOST).collect::<Result<Vec<_>, _>>();
        let found = found.map_err(|error| self.wrong(format!("its PEM is damaged ({error})")))?;
        if !found.is_empty() {
            return Ok(found);
        }
        let has_key = PrivateKeyDer::from_pem_slice(&bytes).is_ok();
        let instead = if has_key { ", but a private key, which has a setting of its own" } else { "" };
        Err(self.wrong(format!("no certificate is in it{instead}; it needs PEM, `-----BEGIN CERTIFICATE-----`")))
    }

    /// The private key in it.
    pub fn key(&self) -> Result<PrivateKeyDer<'static>, String> {
        let bytes = self.bytes()?;
        let error = match PrivateKeyDer::from_pem_slice(&bytes) {
            Ok(key) => return Ok(key),
            Err(error) => error,
        };
        let holds = |what: &[u8]| bytes.windows(what.len()).any(|part| part == what);
        Err(self.wrong(match error {
            pem::Error::NoItemsFound if holds(b"ENCRYPTED PRIVATE KEY") => {
                "its private key is encrypted, and nobody is there to type the password; `openssl pkey -in FILE -out \
                 FILE` writes it without"
                    .to_owned()
            }
            pem::Error::NoItemsFound => {
                let instead = if holds(b"BEGIN CERTIFICATE") { ", but a certificate" } else { "" };
                format!("no private key is in it{instead}; it needs PEM, `-----BEGIN PRIVATE KEY-----`")
            }
            error => format!("its PEM is damaged ({error})"),
        }))
    }

    /// The authorities in it, added to those that are trusted.
    pub fn authorities(&self, roots: &mut RootCertStore) -> Result<(), String> {
        for certificate in self.certificates()? {
            roots
                .add(certificate)
                .map_err(|error| self.wrong(format!("a certificate in it cannot be used: {error}")))?;
        }
        Ok(())
    }

    /// What is or will soon be wrong with the dates of the certificates in it, of a chain's first one if it is a chain.
    pub fn dates(&self, chain: bool) -> Result<Vec<String>, String> {
        let most = if chain { 1 } else { MOST };
        let certificates = self.certificates()?;
        Ok(certificates.iter().take(most).filter_map(|one| validity::remark(one)).map(|why| self.wrong(why)).collect())
    }

    /// Whether others on this machine can read a key.
    pub fn exposed(&self) -> Option<String> {
        use std::os::unix::fs::PermissionsExt as _;
        let mode = std::fs::metadata(self.path).ok()?.permissions().mode();
        (mode & 0o004 != 0).then(|| self.wrong("everybody on this machine can read the private key; `chmod 600` it"))
    }
}

/// Why a certificate and a key cannot be used together.
pub fn unfit(cert: Named<'_>, key: Named<'_>, error: &rustls::Error) -> String {
    match error {
        rustls::Error::InconsistentKeys(_) => {
            key.wrong(format!("this key does not belong to the certificate in {}", cert.path.display()))
        }
        rustls::Error::General(_) => key.wrong(format!("this key cannot be used: {error}")),
        _ => cert.wrong(format!("it cannot be used: {error}")),
    }
}
