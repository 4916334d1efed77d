//! Who a listener is, and whom it lets in.

use crate::files::{Named, unfit};
use crate::provider;
use metlog_settings::Span;
use rustls::server::WebPkiClientVerifier;
use rustls::{RootCertStore, ServerConfig};
use serde::Deserialize;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

/// Settings of every listener with TLS, as its table `tls`.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Identity {
    /// Our certificate and what leads from it to its authority, as PEM. Read again on a reload, as the others here.
    pub cert_file: PathBuf,
    /// The private key of `cert_file`, as PEM.
    pub key_file: PathBuf,
    /// Lets in only who shows a certificate that one of the authorities in this PEM file has signed.
    #[serde(default)]
    pub client_ca_file: Option<PathBuf>,
    /// From a connection's begin to the end of its handshake. `10s` by default.
    #[serde(default = "handshake_timeout")]
    pub handshake_timeout: Span,
    /// Handshakes at one time; for one more the oldest is thrown out. 256 by default.
    #[serde(default = "handshakes")]
    pub handshakes: usize,
}

fn handshake_timeout() -> Span {
    Span(Duration::from_secs(10))
}

fn handshakes() -> usize {
    256
}

impl Identity {
    /// With these files, and everything else as it is by default.
    pub fn new(cert_file: impl Into<PathBuf>, key_file: impl Into<PathBuf>) -> Self {
        Identity {
            cert_file: cert_file.into(),
            key_file: key_file.into(),
            client_ca_file: None,
            handshake_timeout: handshake_timeout(),
            handshakes: handshakes(),
        }
    }

    /// What is wrong with these settings, without touching a file.
    ///
    /// # Errors
    /// Which setting, and why.
    pub fn check(&self) -> Result<(), String> {
        let timeout = self.handshake_timeout.duration();
        if timeout < Duration::from_millis(100) || timeout > Duration::from_secs(600) {
            return Err("`tls.handshake_timeout` can be 100ms to 10m; 10s is usual".into());
        }
        if self.handshakes == 0 {
            return Err("`tls.handshakes` is 0: nobody could ever come in; 256 is usual".into());
        }
        Ok(())
    }

    /// Whether it knows who comes.
    pub fn asks(&self) -> bool {
        self.client_ca_file.is_some()
    }

    /// Reads the files and says what will soon be wrong with them.
    ///
    /// # Errors
    /// What is wrong already: which file, and what would be right.
    pub fn examine(&self) -> Result<Vec<String>, String> {
        self.config(&[])?;
        let mut remarks = self.named("cert_file", &self.cert_file).dates(true)?;
        remarks.extend(self.named("key_file", &self.key_file).exposed());
        if let Some(path) = &self.client_ca_file {
            remarks.extend(self.named("client_ca_file", path).dates(false)?);
        }
        Ok(remarks)
    }

    fn named<'a>(&self, setting: &'static str, path: &'a Path) -> Named<'a> {
        Named { place: "tls.", setting, path }
    }

    pub(crate) fn config(&self, alpn: &[&[u8]]) -> Result<ServerConfig, String> {
        let builder = ServerConfig::builder_with_provider(provider())
            .with_safe_default_protocol_versions()
            .map_err(|error| format!("TLS cannot be set up: {error}"))?;
        let builder = match &self.client_ca_file {
            None => builder.with_no_client_auth(),
            Some(path) => {
                let named = self.named("client_ca_file", path);
                let mut roots = RootCertStore::empty();
                named.authorities(&mut roots)?;
                let verifier = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider()).build();
                builder.with_client_cert_verifier(verifier.map_err(|error| named.wrong(error))?)
            }
        };
        let (cert, key) = (self.named("cert_file", &self.cert_file), self.named("key_file", &self.key_file));
        let (chain, secret) = (cert.certificates()?, key.key()?);
        let mut config = builder.with_single_cert(chain, secret).map_err(|error| unfit(cert, key, &error))?;
        config.alpn_protocols = alpn.iter().map(|name| name.to_vec()).collect();
        Ok(config)
    }
}
