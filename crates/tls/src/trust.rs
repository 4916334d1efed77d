//! Whom a connection trusts, and what it shows of itself.

use crate::files::{Named, unfit};
use crate::provider;
use rustls::{ClientConfig, RootCertStore};
use serde::Deserialize;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::SystemTime;

/// Settings of every connection with TLS, under the same names wherever they stand.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Trust {
    /// Trusts the authorities in this PEM file besides the system's own.
    pub ca_file: Option<PathBuf>,
    /// Trusts nobody but those in `ca_file`. `false` by default.
    pub only_ca_file: bool,
    /// Shows this certificate (PEM, chain included) to a server that asks for one. Needs `client_key`.
    pub client_cert: Option<PathBuf>,
    /// The private key of `client_cert` (PEM).
    pub client_key: Option<PathBuf>,
}

impl Trust {
    /// What is wrong with these settings, without touching a file; `place` is what stands before their names.
    ///
    /// # Errors
    /// Which setting, and why.
    pub fn check(&self, place: &str) -> Result<(), String> {
        match (&self.client_cert, &self.client_key) {
            (Some(_), None) => return Err(format!("`{place}client_cert` is set without `{place}client_key`")),
            (None, Some(_)) => return Err(format!("`{place}client_key` is set without `{place}client_cert`")),
            _ => {}
        }
        if self.only_ca_file && self.ca_file.is_none() {
            return Err(format!("`{place}only_ca_file` trusts nobody at all without `{place}ca_file`"));
        }
        Ok(())
    }

    fn named<'a>(place: &'a str, setting: &'static str, path: &'a Path) -> Named<'a> {
        Named { place, setting, path }
    }

    /// Reads the files and says what will soon be wrong with them.
    ///
    /// # Errors
    /// What is wrong already: which file, and what would be right.
    pub fn examine(&self, place: &str) -> Result<Vec<String>, String> {
        self.config(place, &[])?;
        let mut remarks = Vec::new();
        if let Some(path) = &self.ca_file {
            remarks.extend(Self::named(place, "ca_file", path).dates(false)?);
        }
        if let Some(path) = &self.client_cert {
            remarks.extend(Self::named(place, "client_cert", path).dates(true)?);
        }
        if let Some(path) = &self.client_key {
            remarks.extend(Self::named(place, "client_key", path).exposed());
        }
        Ok(remarks)
    }

    /// Reads the files. `alpn`: the protocols spoken through it, if the peer wants to hear of them.
    ///
    /// # Errors
    /// Which file, what is wrong with it, and what would be right.
    pub fn open(&self, place: &str, alpn: &'static [&'static [u8]]) -> Result<Trusted, String> {
        self.check(place)?;
        let stamps = self.stamps();
        let config = Arc::new(self.config(place, alpn)?);
        let now = Mutex::new((stamps, config));
        Ok(Trusted(Arc::new(Inner { trust: self.clone(), place: place.to_owned(), alpn, now })))
    }

    fn config(&self, place: &str, alpn: &[&[u8]]) -> Result<ClientConfig, String> {
        let builder = ClientConfig::builder_with_provider(provider())
            .with_safe_default_protocol_versions()
            .map_err(|error| format!("TLS cannot be set up: {error}"))?
            .with_root_certificates(self.roots(place)?);
        let mut config = match (&self.client_cert, &self.client_key) {
            (Some(cert), Some(key)) => {
                let cert = Self::named(place, "client_cert", cert);
                let key = Self::named(place, "client_key", key);
                let (chain, secret) = (cert.certificates()?, key.key()?);
                builder.with_client_auth_cert(chain, secret).map_err(|error| unfit(cert, key, &error))?
            }
            _ => builder.with_no_client_auth(),
        };
        config.alpn_protocols = alpn.iter().map(|name| name.to_vec()).collect();
        Ok(config)
    }

    fn roots(&self, place: &str) -> Result<RootCertStore, String> {
        let mut roots = RootCertStore::empty();
        if !self.only_ca_file {
            // A system's store nearly always holds a certificate or two that nobody can parse; they trust nothing.
            roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
        }
        if let Some(path) = &self.ca_file {
            Self::named(place, "ca_file", path).authorities(&mut roots)?;
        }
        if roots.is_empty() {
            return Err(format!(
                "this system has no certificate authorities to trust; install its ca-certificates package, or name the \
                 one you need in `{place}ca_file`"
            ));
        }
        Ok(roots)
    }

    fn stamps(&self) -> Stamps {
        [&self.ca_file, &self.client_cert, &self.client_key].map(|path| stamp(path.as_deref()?))
    }
}

/// When each file was written, and which it is.
type Stamps = [Option<(SystemTime, u64, u64)>; 3];

fn stamp(path: &Path) -> Option<(SystemTime, u64, u64)> {
    use std::os::unix::fs::MetadataExt as _;
    let found = std::fs::metadata(path).ok()?;
    Some((found.modified().ok()?, found.len(), found.ino()))
}

/// What [`Trust`] says, read; and read again when its files have changed, so that a certificate can be renewed under a
/// connection that comes and goes. Files that are not right leave what was read before in force.
#[derive(Clone)]
pub struct Trusted(Arc<Inner>);

struct Inner {
    trust: Trust,
    place: String,
    alpn: &'static [&'static [u8]],
    now: Mutex<(Stamps, Arc<ClientConfig>)>,
}

impl std::fmt::Debug for Trusted {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("Trusted").field(&self.0.trust).finish()
    }
}

impl Trusted {
    /// For the next connection.
    pub fn config(&self) -> Arc<ClientConfig> {
        let inner = &*self.0;
        // Looked at before they are read: what changes in between is read again the next time.
        let stamps = inner.trust.stamps();
        let mut now = inner.now.lock().unwrap_or_else(PoisonError::into_inner);
        if now.0 != stamps
            && let Ok(config) = inner.trust.config(&inner.place, inner.alpn)
        {
            *now = (stamps, Arc::new(config));
        }
        now.1.clone()
    }

    /// What is wrong, in words that name these settings; see [`crate::explain`].
    pub fn explain(&self, error: &(dyn std::error::Error + 'static)) -> Option<String> {
        crate::explain(error, &self.0.place)
    }
}
