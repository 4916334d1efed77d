//! TLS through rustls with the `ring` provider: nothing but a C compiler is needed to build it.
//!
//! Verification cannot be switched off. A private authority is added with `ca_file`.

use super::options::Connection;
use std::path::Path;
use std::sync::Arc;
use tokio_rustls::TlsConnector;
use tokio_rustls::rustls::pki_types::pem::PemObject;
use tokio_rustls::rustls::pki_types::{CertificateDer, PrivateKeyDer};
use tokio_rustls::rustls::{ClientConfig, RootCertStore, crypto};

/// Reads the certificate files. Called only for `https`, so that nobody else depends on them.
pub(super) fn connector(connection: &Connection) -> Result<TlsConnector, String> {
    let builder = ClientConfig::builder_with_provider(Arc::new(crypto::ring::default_provider()))
        .with_safe_default_protocol_versions()
        .map_err(|error| format!("TLS cannot be set up: {error}"))?
        .with_root_certificates(roots(connection.ca_file.as_deref())?);
    connection.check()?;
    let mut config = match (&connection.client_cert, &connection.client_key) {
        (Some(cert), Some(key)) => {
            let chain = certificates("connection.client_cert", cert)?;
            let key = PrivateKeyDer::from_pem_file(key).map_err(|error| {
                format!("`connection.client_key` {}: no private key in it ({error})", key.display())
            })?;
            builder.with_client_auth_cert(chain, key).map_err(|error| {
                format!("`connection.client_cert` and `connection.client_key` do not belong together: {error}")
            })?
        }
        _ => builder.with_no_client_auth(),
    };
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    Ok(TlsConnector::from(Arc::new(config)))
}

fn roots(ca_file: Option<&Path>) -> Result<RootCertStore, String> {
    let mut roots = RootCertStore::empty();
    // A system's store nearly always holds a certificate or two that nobody can parse; they trust nothing.
    roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
    if let Some(path) = ca_file {
        for certificate in certificates("connection.ca_file", path)? {
            roots.add(certificate).map_err(|error| format!("`connection.ca_file` {}: {error}", path.display()))?;
        }
    }
    if roots.is_empty() {
        return Err(
            "this system has no certificate authorities to trust; install its ca-certificates package, or name \
                    the one you need in `connection.ca_file`"
                .into(),
        );
    }
    Ok(roots)
}

fn certificates(setting: &str, path: &Path) -> Result<Vec<CertificateDer<'static>>, String> {
    let wrong = |why: String| format!("`{setting}` {}: {why}; it needs a PEM file", path.display());
    let certificates: Vec<_> = CertificateDer::pem_file_iter(path)
        .and_then(Iterator::collect)
        .map_err(|error| wrong(format!("no certificates can be read from it ({error})")))?;
    if certificates.is_empty() { Err(wrong("it holds no certificate".into())) } else { Ok(certificates) }
}
