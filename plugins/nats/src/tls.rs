//! TLS through rustls with the `ring` provider, as for HTTP. Verification cannot be switched off.

use crate::config::Tls;
use async_nats::rustls::pki_types::pem::PemObject;
use async_nats::rustls::pki_types::{CertificateDer, PrivateKeyDer};
use async_nats::rustls::{ClientConfig, RootCertStore, crypto};
use std::path::Path;
use std::sync::Arc;

/// Reads the certificate files, anew for each connection.
pub fn client(tls: &Tls) -> Result<ClientConfig, String> {
    let mut roots = RootCertStore::empty();
    // A system's store nearly always holds a certificate or two that nobody can parse; they trust nothing.
    roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
    if let Some(path) = &tls.ca_file {
        for certificate in certificates("ca_file", path)? {
            roots.add(certificate).map_err(|error| format!("`tls.ca_file` {}: {error}", path.display()))?;
        }
    }
    let builder = ClientConfig::builder_with_provider(Arc::new(crypto::ring::default_provider()))
        .with_safe_default_protocol_versions()
        .map_err(|error| format!("TLS cannot be set up: {error}"))?
        .with_root_certificates(roots);
    let (Some(cert), Some(key)) = (&tls.client_cert, &tls.client_key) else {
        return Ok(builder.with_no_client_auth());
    };
    let chain = certificates("client_cert", cert)?;
    let key = PrivateKeyDer::from_pem_file(key)
        .map_err(|error| format!("`tls.client_key` {}: no private key in it ({error})", key.display()))?;
    builder
        .with_client_auth_cert(chain, key)
        .map_err(|error| format!("`tls.client_cert` and `tls.client_key` do not belong together: {error}"))
}

fn certificates(setting: &str, path: &Path) -> Result<Vec<CertificateDer<'static>>, String> {
    let wrong = |why: String| format!("`tls.{setting}` {}: {why}; it needs a PEM file", path.display());
    let certificates: Vec<_> = CertificateDer::pem_file_iter(path)
        .and_then(Iterator::collect)
        .map_err(|error| wrong(format!("no certificates can be read from it ({error})")))?;
    if certificates.is_empty() { Err(wrong("it holds no certificate".into())) } else { Ok(certificates) }
}
